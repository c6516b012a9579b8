"""Small tables, and what the stages make of them."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from tests.tables import csv
from tidemill.schema import Schema
from tidemill.spec import ModelSpec, parse_spec
from tidemill.stages import evaluate
from tidemill.stages.assemble import Accepted, Dataset, assemble
from tidemill.stages.onnx_model import OnnxModel
from tidemill.stages.prepare import Partition, clean, first_schema
from tidemill.stages.serve import ServedModel
from tidemill.stages.tables import RawTable, read_table
from tidemill.stages.train import Trained, TrainingSide, train

TOWNS = [f"town {i}" for i in range(20)]
FOREVER: Callable[[], float] = lambda: 1e9  # noqa: E731


def raw(text: str) -> RawTable:
    return read_table("data.csv", text.encode())


def prepare(table: RawTable, spec: ModelSpec) -> tuple[Partition, Schema]:
    return clean(table, spec, first_schema(table, spec), source="data.csv")


def observations(rows: int, *, task: str, seed: int = 0) -> pd.DataFrame:
    """Numbers, flags, dates, few and many categories, all with gaps, and a target that depends on them.

    A multi-class target has a class of about one row in a hundred.
    """
    rng = np.random.default_rng(seed)
    size = rng.normal(50, 12, rows)
    town = rng.integers(0, len(TOWNS), rows)
    colour = rng.choice(["red", "green", "blue"], rows)
    signal = (size - 50) / 12 + 0.15 * (town - 10) + (colour == "red")
    day = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 366 * 24, rows), unit="h")
    frame = pd.DataFrame(
        {
            "size": size.round(2),
            "flag": rng.choice(["true", "false"], rows),
            "day": day.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "colour": colour,
            "town": np.array(TOWNS)[town],
        }
    )
    gaps = rng.random(frame.shape) < 0.1
    frame = frame.mask(gaps)
    noisy = signal + rng.normal(0, 0.5, rows)
    if task == "regression":
        frame["y"] = (100 + 10 * noisy).round(3)
    elif task == "binary":
        frame["y"] = np.where(noisy > 0.3, "yes", "no")
    else:
        frame["y"] = np.select([noisy > 3.2, noisy > 0.8], ["rare", "high"], "low")
    return frame


def dataset(frame: pd.DataFrame, spec: ModelSpec | str = 'target = "y"') -> Dataset:
    parsed = parse_spec(spec) if isinstance(spec, str) else spec
    partition, schema = prepare(read_table("data.csv", csv(frame)), parsed)
    return assemble([Accepted(partition.columns, partition.keys)], schema, parsed)


def training_side(data: Dataset) -> TrainingSide:
    kept = ~data.held_out
    moments = None if data.moments is None else data.moments[kept]
    return TrainingSide(data.schema, data.matrix[kept], data.target[kept], moments)


def trained(candidate: str, data: Dataset, seconds_left: Callable[[], float] = FOREVER, trials: int = 1) -> Trained:
    spec = parse_spec(f'target = "y"\n[train]\ntrials = {trials}')
    return train(candidate, training_side(data), spec, data.matrix[data.held_out], seconds_left)


def artifacts(data: Dataset, graph: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    """manifest, model.onnx, golden.json, as Validate writes them."""
    golden = json.dumps(evaluate.golden_rows(OnnxModel(graph), data.matrix, dict(data.examples))).encode()
    manifest = {
        "model": "demo",
        "version": 3,
        "schema": data.schema.to_json(),
        "digests": {
            "model.onnx": hashlib.sha256(graph).hexdigest(),
            "golden.json": hashlib.sha256(golden).hexdigest(),
        },
    }
    return manifest, graph, golden


def served(data: Dataset, candidate: str = "linear") -> ServedModel:
    return ServedModel(*artifacts(data, trained(candidate, data).onnx))


def words(document: Mapping[str, Any]) -> str:
    """A reply as one text to look for words in."""
    return json.dumps(document)
