"""Small tables, and what the stages make of them."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tests.tables import csv
from tidemill.errors import NotFound
from tidemill.profile import merge
from tidemill.reports import docs
from tidemill.spec import ModelSpec, parse_spec
from tidemill.stages import evaluate, npy
from tidemill.stages.assemble import assemble
from tidemill.stages.contract import Contract
from tidemill.stages.dataset import Dataset, Part, Rows, StoredPart, gather
from tidemill.stages.explain import BACKGROUND, draw
from tidemill.stages.folds import TrainingSide
from tidemill.stages.http import Page, Request, Response, respond
from tidemill.stages.onnx_model import OnnxModel
from tidemill.stages.openapi import document as openapi_document
from tidemill.stages.partition import Before, Partition, make_partition
from tidemill.stages.rows import Row
from tidemill.stages.serve import ServedModel
from tidemill.stages.tables import Table, open_table
from tidemill.stages.train import Trained, train

TOWNS = [f"town {i}" for i in range(20)]
FOREVER: Callable[[], float] = lambda: 1e9  # noqa: E731


@dataclass(frozen=True)
class Data:
    """A data set as it is stored, and as Train takes it."""

    dataset: Dataset
    rows: Rows

    schema = property(lambda self: self.dataset.schema)
    names = property(lambda self: self.dataset.names)
    cutoff = property(lambda self: self.dataset.cutoff)
    examples = property(lambda self: self.dataset.examples)
    training_profile = property(lambda self: self.dataset.training_profile)
    matrix = property(lambda self: self.rows.matrix)
    target = property(lambda self: self.rows.target)
    held_out = property(lambda self: self.rows.held_out)
    keys = property(lambda self: self.rows.keys)
    moments = property(lambda self: self.rows.moments)


def opened(data: str | bytes, name: str = "data.csv") -> Table:
    path = Path(mkdtemp()) / "upload"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return open_table(path, name)


def prepare(data: str | bytes, spec: ModelSpec, *before: Partition, name: str = "data.csv") -> Partition:
    """The partition of an upload that comes after others."""
    known = None
    if before:
        known = Before(before[-1].schema, reduce(merge, (one.profile for one in before)), "previous")
    return make_partition(opened(data, name), spec, known, Path(mkdtemp()), size=len(data))


def assembled(partitions: Sequence[Partition], spec: ModelSpec, *, new: bool = True) -> Data:
    """The partitions in their order, the last one just made."""
    parts = [one.part(one.folder.name) for one in partitions]
    data = assemble(parts, partitions[-1].schema, spec, Path(mkdtemp()), new=new)
    stored = [StoredPart(one.names, one.rows, partial(_array, one)) for one in parts]
    return Data(data, gather(stored, data.state, data.names, data.class_places, timed=data.cutoff is not None))


def _array(part: Part, name: str) -> npt.NDArray[Any]:
    return npy.parsed(part.fetch(f"{name}.npy").read_bytes())


def values_of(partition: Partition) -> pd.DataFrame:
    """The accepted rows."""
    return pd.read_parquet(partition.folder / "part-0.parquet")


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


def dataset(frame: pd.DataFrame, spec: ModelSpec | str = 'target = "y"') -> Data:
    parsed = parse_spec(spec) if isinstance(spec, str) else spec
    return assembled([prepare(csv(frame), parsed)], parsed)


def training_side(data: Data) -> TrainingSide:
    return TrainingSide.of(data.schema, data.rows)


def trained(candidate: str, data: Data, seconds_left: Callable[[], float] = FOREVER, trials: int = 1) -> Trained:
    spec = parse_spec(f'target = "y"\n[train]\ntrials = {trials}')
    return train(candidate, training_side(data), spec, data.matrix[data.held_out], seconds_left)


def artifacts(data: Data, graph: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    """manifest, model.onnx, golden.json, as Validate writes them."""
    golden = json.dumps(evaluate.golden_rows(OnnxModel(graph), data.matrix, dict(data.examples))).encode()
    manifest = {
        "model": "demo",
        "version": 3,
        "threshold": None,
        "schema": data.schema.to_json(),
        "digests": {
            "model.onnx": hashlib.sha256(graph).hexdigest(),
            "golden.json": hashlib.sha256(golden).hexdigest(),
        },
    }
    return manifest, graph, golden


def background(data: Data, manifest: dict[str, Any]) -> bytes:
    """background.npy, whose digest the manifest gets."""
    drawn = draw(data.matrix, ~data.held_out)
    manifest["digests"][BACKGROUND] = hashlib.sha256(drawn).hexdigest()
    return drawn


def served(data: Data) -> ServedModel:
    return ServedModel(*artifacts(data, trained("linear", data).onnx))


@dataclass(frozen=True)
class Alone:
    """The service of one model, without stores."""

    served: ServedModel
    authorization: str = "NONE"

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        """`body` as JSON; bytes as API Gateway hands on what it takes for binary."""
        binary = isinstance(body, bytes)
        sent = b64encode(body).decode() if binary else "" if body is None else json.dumps(body)
        return respond(Request(method, path, sent, "q", binary, headers), self)

    def models(self) -> list[dict[str, Any]]:
        return [{"model": self.served.name, "version": self.served.version, "since": "2030-01-01"}]

    def model(self, name: str) -> dict[str, Any]:
        return {"model": self._known(name), "version": self.served.version, "fields": self.served.fields()}

    def predict(self, name: str, rows: Sequence[Row], request: str, *, explain: bool) -> dict[str, Any]:
        answers = self.served.predict(rows, request)
        said = {"warnings": list(answers.warnings)} if answers.warnings else {}
        known = {"model": self._known(name), "version": self.served.version}
        return known | {"predictions": answers.to_json()} | said

    def refused(self, name: str, request: str, error: Exception) -> None:
        """Nobody reads it."""

    def label(self, name: str, labels: Sequence[Row], _request: str) -> dict[str, Any]:
        return {"model": self._known(name), "accepted": len(labels)}

    def contract(self, name: str) -> Contract:
        return Contract(self._known(name), self.served.version, self.served.schema)

    def openapi(self) -> dict[str, Any]:
        return openapi_document([self.contract(self.served.name)], self.authorization)

    def docs(self) -> Page:
        return docs.page()

    def _known(self, name: str) -> str:
        if name != self.served.name:
            raise NotFound(f"model {name!r} does not exist, or has no champion yet")
        return name


def words(document: Mapping[str, Any]) -> str:
    """A reply as one text to look for words in."""
    return json.dumps(document)
