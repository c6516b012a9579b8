"""One model in two worlds: a scikit-learn pipeline on pandas, and the version of Tidemill that says the same."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tidemill.aws.objects import Objects
from tidemill.aws.paths import version_prefix
from tidemill.aws.registry import Registry
from tidemill.encoding import encode
from tidemill.schema import Column, Schema
from tidemill.stages import evaluate
from tidemill.stages.export import to_onnx
from tidemill.stages.onnx_model import OnnxModel

NUMBERS = ("age", "income", "tenure", "balance", "rate", "visits")
CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "plan": ("basic", "plus", "team", "trial"),
    "channel": ("fair", "mail", "partner", "phone", "shop", "web"),
    "city": tuple(f"city {i:02d}" for i in range(40)),
}
FEATURES = (*NUMBERS, "member", *CATEGORIES)
CLASSES = ("no", "yes")
ESTIMATORS = {
    "linear": lambda: LogisticRegression(max_iter=500),
    "forest": lambda: RandomForestClassifier(200, min_samples_leaf=5, random_state=0, n_jobs=1),
    "boosting": lambda: HistGradientBoostingClassifier(random_state=0),
}
_TRAINING_ROWS = 5_000


@dataclass(frozen=True)
class Subject:
    """`name` is an estimator's; `folder` has pipeline.joblib, model.onnx and the version's other files."""

    name: str
    folder: Path

    @property
    def joblib(self) -> Path:
        return self.folder / "pipeline.joblib"

    @property
    def graph(self) -> Path:
        return self.folder / "model.onnx"

    def serve(self, models: Objects, registry: Registry) -> None:
        """The champion, where infer finds it."""
        for path in filter(Path.is_file, self.folder.iterdir()):
            models.put(f"{version_prefix(self.name, 1)}{path.name}", path.read_bytes())
        now = datetime.now(UTC)
        registry.promote(self.name, 1, expected=None, run="bench", who="bench", why="bench", now=now)


def rows(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """JSON rows as a client sends them; every tenth balance is not known."""
    frame = _frame(count, seed)
    named = [{"customer": f"c-{seed}-{i}", **row} for i, row in enumerate(frame.to_dict("records"))]
    return [{str(name): None if value != value else value for name, value in row.items()} for row in named]


def frame_of(requested: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(requested, columns=list(FEATURES))
    # The graph's numbers have 32 bits: the same ones, so that a split of a tree cannot fall between the two.
    return frame.astype(dict.fromkeys(NUMBERS, np.float32))


def matrix_of(subject: Subject, frame: pd.DataFrame) -> Any:
    """What the graph takes."""
    return _matrix(Schema.from_json(json.loads((subject.folder / "manifest.json").read_text())["schema"]), frame)


def make(name: str, folder: Path) -> Subject:
    """Fits both pipelines on the same rows, and asserts that they say the same of others."""
    folder.mkdir(parents=True, exist_ok=True)
    schema = Schema(
        (
            Column("customer", "categorical", "id"),
            *(Column(each, "numeric", "feature", each == "balance", low=-1e6, high=1e6) for each in NUMBERS),
            Column("member", "boolean", "feature"),
            *(Column(each, "categorical", "feature", vocabulary=words) for each, words in CATEGORIES.items()),
            Column("bought", "categorical", "target"),
        ),
        "binary",
        CLASSES,
    )
    frame = frame_of(rows(_TRAINING_ROWS, seed=0))
    target = np.array(CLASSES)[_bought(frame).astype(int)]
    plain = _pipeline(name, list(CATEGORIES), list(NUMBERS)).fit(frame, target)
    matrix = _matrix(schema, frame)
    places = list(range(len(NUMBERS) + 1, len(FEATURES)))
    exported = _pipeline(name, places, list(range(len(NUMBERS)))).fit(matrix, target)
    subject = Subject(name, folder)
    joblib.dump(plain, subject.joblib)
    graph = to_onnx(exported, matrix.shape[1], classifier=True)
    model = OnnxModel(graph)
    other = rows(500, seed=2)
    examples = dict(enumerate(other[:20]))
    golden = json.dumps(evaluate.golden_rows(model, _matrix(schema, frame_of(other)), examples)).encode()
    manifest = {
        "model": name,
        "version": 1,
        "schema": schema.to_json(),
        "digests": {
            "model.onnx": hashlib.sha256(graph).hexdigest(),
            "golden.json": hashlib.sha256(golden).hexdigest(),
        },
    }
    subject.graph.write_bytes(graph)
    (folder / "golden.json").write_bytes(golden)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    gap = np.abs(plain.predict_proba(frame_of(other)) - model.predict(_matrix(schema, frame_of(other)))).max()
    assert gap < 1e-4, f"{name}: the two worlds differ by {gap}"
    return subject


def _pipeline(name: str, categories: list[Any], numbers: list[Any]) -> Pipeline:
    steps: list[Any] = [("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), categories)]
    # Boosting takes gaps and scales as they are; a linear model takes neither, an exported forest no gaps.
    if name == "linear":
        steps.append(("numbers", make_pipeline(SimpleImputer(), StandardScaler()), numbers))
    if name == "forest":
        steps.append(("numbers", SimpleImputer(), numbers))
    return Pipeline([("columns", ColumnTransformer(steps, remainder="passthrough")), ("fit", ESTIMATORS[name]())])


def _frame(count: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        "age": rng.integers(18, 90, count),
        "income": rng.lognormal(10, 0.5, count).round(2),
        "tenure": rng.gamma(2, 20, count).round(1),
        "balance": rng.normal(500, 300, count).round(2),
        "rate": rng.random(count).round(4),
        "visits": rng.poisson(7, count),
        "member": rng.random(count) < 0.4,
    }
    for name, words in CATEGORIES.items():
        columns[name] = np.array(words)[rng.integers(0, len(words), count)]
    columns["balance"][::10] = np.nan
    return pd.DataFrame(columns)


def _bought(frame: pd.DataFrame) -> Any:
    rng = np.random.default_rng(9)
    score = (frame["rate"] - 0.5) * 4 + (frame["plan"] == "team") - (frame["age"] - 50) / 40 + frame["member"] * 0.5
    return rng.random(len(frame)) < 1 / (1 + np.exp(-score))


def _matrix(schema: Schema, frame: pd.DataFrame) -> Any:
    columns = {name: frame[name].to_numpy(dtype=object if name in CATEGORIES else np.float64) for name in frame.columns}
    return encode(schema, columns, len(frame))
