"""Peak memory of preparing one CSV of mixed columns, against its size: what bounds an upload.

python -m tests.bench.prepare_memory 250000 1000000
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from tests.tables import csv
from tidemill.spec import parse_spec
from tidemill.stages.assemble import Accepted, assemble
from tidemill.stages.partition_file import to_parquet
from tidemill.stages.prepare import clean, first_schema
from tidemill.stages.tables import read_table


def make(rows: int) -> bytes:
    rng = np.random.default_rng(0)
    numbers = {f"n{i}": rng.normal(size=rows).round(4) for i in range(6)}
    frame = pd.DataFrame({"id": [f"r{i}" for i in range(rows)], **numbers})
    frame["t"] = pd.date_range("2020-01-01", periods=rows, freq="min").strftime("%Y-%m-%dT%H:%M:%SZ")
    frame["few"] = rng.choice(list("abcdef"), rows)
    frame["many"] = rng.choice([f"k{i}" for i in range(300)], rows)
    frame["flag"] = rng.choice(["true", "false"], rows)
    frame["y"] = rng.choice(["no", "yes"], rows)
    return csv(frame)


def prepare(file: Path) -> None:
    data = file.read_bytes()
    started = time.monotonic()
    spec = parse_spec('target = "y"\nid = "id"\ntime = "t"')
    raw = read_table("bench.csv", data)
    partition, schema = clean(raw, spec, first_schema(raw, spec), source="bench.csv")
    to_parquet(partition.columns, partition.keys, schema)
    assemble([Accepted(partition.columns, partition.keys)], schema, spec)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = len(data) / 1e6
    print(
        f"{len(partition.keys):>10,} rows, {size:>5.0f} MB: peak {peak:>6,.0f} MiB, "
        f"{peak * 1.048576 / size:.1f} times the file, {time.monotonic() - started:.1f} s"
    )


if __name__ == "__main__":
    for rows in map(int, sys.argv[1:] or ["250000", "1000000"]):
        # A process a size: the peak of one is no memory of the other.
        with tempfile.NamedTemporaryFile(suffix=".csv") as file:
            Path(file.name).write_bytes(make(rows))
            process = multiprocessing.get_context("spawn").Process(target=prepare, args=(Path(file.name),))
            process.start()
            process.join()
