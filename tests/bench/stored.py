"""A data set on this machine's disk as Prepare leaves it in the bucket, and Train's flow on it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from tests.bench.folder import objects
from tidemill.aws import datasets
from tidemill.aws.datasets import StoredDataset
from tidemill.aws.paths import dataset_prefix, partition_prefix
from tidemill.aws.stores import Stores
from tidemill.contracts import Candidate, TrainRequest
from tidemill.flows import train
from tidemill.spec import parse_spec
from tidemill.stages.assemble import assemble
from tidemill.stages.dataset import LEFT_OUT
from tidemill.stages.partition import make_partition
from tidemill.stages.tables import open_table

FUNCTION_SECONDS = 900.0
MODEL, DATASET, _CONTENT = "bench", "data", "only"


@dataclass(frozen=True)
class _NoChampion:
    def champion(self, model: str) -> None:
        return None


def prepare(upload: Path, spec: str, folder: Path) -> None:
    parsed = parse_spec(spec)
    made = make_partition(open_table(upload, upload.name), parsed, None, folder / "made", size=upload.stat().st_size)
    if made.invalid:
        raise SystemExit(f"{upload.name}: {'; '.join(made.invalid)}")
    part = made.part(_CONTENT)
    dataset = assemble([part], made.schema, parsed, folder / "index", new=True)
    target = folder / partition_prefix(MODEL, _CONTENT)
    target.parent.mkdir(parents=True)
    made.folder.rename(target)
    datasets.save(objects(folder), MODEL, DATASET, dataset, [part], spec)


def dataset(folder: Path) -> StoredDataset:
    return datasets.load(objects(folder), MODEL, DATASET)


def matrix_bytes(folder: Path) -> int:
    facts = objects(folder).get_json(f"{dataset_prefix(MODEL, DATASET)}dataset.json")
    return int(facts["rows"]) * len(facts["names"]) * 4


def accepted(folder: Path) -> pd.DataFrame:
    """The data set's rows in their order, as Prepare typed them."""
    rows = pd.read_parquet(folder / partition_prefix(MODEL, _CONTENT) / "part-0.parquet")
    alive = np.load(folder / dataset_prefix(MODEL, DATASET) / "state.npy") != LEFT_OUT
    kept: pd.DataFrame = rows[alive]
    return kept


def trained(candidate: str, folder: Path, now: Callable[[], float]) -> Candidate:
    """One branch of the pipeline's Map, with the time that its function would have. `now` is in seconds."""
    bucket, begun = objects(folder), now()
    none = cast("Any", None)
    registry = cast("Any", _NoChampion())
    stores = Stores(data=bucket, models=bucket, captures=none, registry=registry, notices=none)
    request = TrainRequest(MODEL, "run", DATASET, candidate)
    return train.run(request, stores, lambda: FUNCTION_SECONDS - (now() - begun))
