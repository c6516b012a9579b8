"""Prepare against pandas, side by side: `python -m tests.bench.prepare [ROWS]`, by default 5 million.

One CSV of 12 mixed columns, with copies and bad values in it. pandas: `read_csv`, `describe`, `to_parquet`. Tidemill:
all of Prepare but the transfer to S3: quarantine, copies found, profile, split, Parquet, matrix. Each run is a process
of its own, in turns; seconds are medians. Then the median peak memory at 1, 2 and 4 times the rows.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from tests.bench import quiet
from tidemill.spec import parse_spec
from tidemill.stages.assemble import assemble
from tidemill.stages.partition import make_partition
from tidemill.stages.tables import open_table

ROWS = 5_000_000
TURNS = 5
MEMORY_TURNS = 3
"""The peak of one run is 20 MB more or less, whatever the file."""
SPECS = {"tidemill": 'target = "bought"', "tidemill, with an id": 'target = "bought"\nid = "visit"'}
_PIECE = 250_000


def write_csv(path: Path, rows: int) -> None:
    """One row in a thousand is a copy of the one before, one in ten thousand has a word where a number belongs."""
    rng = np.random.default_rng(0)
    cities, plans = np.array([f"city {i:03d}" for i in range(400)]), np.array(["basic", "plus", "team", "trial"])
    with path.open("wb") as file:
        for start in range(0, rows, _PIECE):
            n = min(_PIECE, rows - start)
            source = np.arange(start, start + n)
            source[1::1000] = source[:-1:1000]
            rng = np.random.default_rng(start)
            place = source - start
            amount = np.exp(rng.normal(4, 1, n))[place].astype(str).astype(object)
            amount[::10_000] = "unknown"
            gaps = rng.random(n)[place] < 0.05
            day = np.datetime64("2024-01-01T00:00:00") + rng.integers(0, 50_000_000, n).astype("timedelta64[s]")
            table = pa.table(
                {
                    "visit": pa.array([f"v-{i:010d}" for i in source.tolist()]),
                    "started": pa.array(day[place]),
                    "city": cities[(rng.random(n) ** 2 * len(cities)).astype(int)[place]],
                    "plan": plans[rng.integers(0, len(plans), n)[place]],
                    "latitude": rng.normal(48, 3, n)[place],
                    "longitude": rng.normal(9, 4, n)[place],
                    "amount": pa.array(amount.tolist(), pa.string()),
                    "seconds": pa.array(rng.gamma(2, 60, n)[place].round(3), mask=gaps),
                    "pages": rng.poisson(7, n)[place],
                    "age": rng.integers(18, 90, n)[place],
                    "returning": rng.random(n)[place] < 0.4,
                    "bought": rng.random(n)[place] < 0.1,
                }
            )
            options = pyarrow.csv.WriteOptions(include_header=start == 0, quoting_style="needed")
            pyarrow.csv.write_csv(table, file, options)


def run(what: str, path: Path, folder: Path) -> dict[str, float]:
    begun = time.perf_counter()
    facts = {"rows": 0, "quarantined": 0}
    if what == "pandas":
        frame = pd.read_csv(path)
        frame.describe()
        frame.to_parquet(folder / "data.parquet", index=False)
        facts["rows"] = len(frame)
    else:
        spec = parse_spec(SPECS[what])
        table = open_table(path, path.name)
        made = make_partition(table, spec, None, folder / "partition", size=path.stat().st_size)
        data = assemble([made.part("only")], made.schema, spec, folder / "index", new=True)
        assert not made.invalid, made.invalid
        facts = {"rows": data.rows, "quarantined": made.account["quarantined"]}
    peak = quiet.peak() / 1e6
    return {"seconds": time.perf_counter() - begun, "peak": peak, **facts}


def _fresh(what: str, path: Path) -> dict[str, float]:
    with TemporaryDirectory(dir=path.parent) as folder:
        command = [sys.executable, "-m", "tests.bench.prepare", "--run", what, str(path), folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main(rows: int) -> None:
    with TemporaryDirectory() as name:
        path = Path(name) / "visits.csv"
        write_csv(path, rows)
        print(f"{rows:,} rows × 12 columns, {path.stat().st_size / 1e6:,.0f} MB; medians of {TURNS} turns\n")
        whats = ["pandas", *SPECS]
        runs: dict[str, list[dict[str, float]]] = {what: [] for what in whats}
        for _ in range(TURNS):
            for what in whats:
                runs[what].append(_fresh(what, path))
        base = statistics.median(each["seconds"] for each in runs["pandas"])
        print(f"{'':<22}{'seconds':>9}{'faster':>9}{'peak MB':>9}{'rows':>12}{'quarantined':>13}")
        for what in whats:
            seconds = statistics.median(each["seconds"] for each in runs[what])
            peak = max(each["peak"] for each in runs[what])
            last = runs[what][-1]
            print(
                f"{what:<22}{seconds:>9.2f}{base / seconds:>8.2f}×{peak:>9,.0f}"
                f"{last['rows']:>12,}{last['quarantined']:>13,}"
            )
        print(f"\n{'rows':<22}{'seconds':>9}{'':>9}{'peak MB':>9}{'growth':>9}")
        first = 0.0
        for times in (1, 2, 4):
            if times > 1:
                write_csv(path, rows * times)
            results = [_fresh("tidemill", path) for _ in range(MEMORY_TURNS)]
            seconds, peak = (statistics.median(each[key] for each in results) for key in ("seconds", "peak"))
            first = first or peak
            print(f"{rows * times:<22,}{seconds:>9.2f}{'':>9}{peak:>9,.0f}{peak / first - 1:>9.1%}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        print(json.dumps(run(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
