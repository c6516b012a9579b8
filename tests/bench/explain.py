"""Explanations against exact Shapley values, and what a row of them costs: `python -m tests.bench.explain`.

Accuracy, on 8 columns: the exact values are by all 256 coalitions over 1,000 training rows. Errors are root mean
squares over rows and columns, in the unit of the answer (a probability); `of chance` is against the exact values over
the same reference rows, which leaves the orders alone. `told` is the standard error that is told with a contribution,
`within 2` the share of contributions that are within two of it.

Cost: milliseconds of the processor a row, by the version's own limit of rows in one call. Exits with 1 where a claim
does not hold.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import factorial
from typing import Any

# Before numpy is loaded.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from tests.bench.serve import Verdicts
from tidemill.encoding import Matrix
from tidemill.limits import explained_rows
from tidemill.stages import explain, npy
from tidemill.stages.export import to_onnx
from tidemill.stages.onnx_model import OnnxModel


def _forest(trees: int) -> RandomForestClassifier:
    return RandomForestClassifier(trees, min_samples_leaf=5, random_state=0, n_jobs=1)


ESTIMATORS: dict[str, Callable[[], Any]] = {
    "linear": lambda: LogisticRegression(max_iter=500),
    "forest": lambda: _forest(200),
    "boosting": lambda: HistGradientBoostingClassifier(random_state=0),
    "largest": lambda: _forest(830),
}
"""`largest` has a graph of about 25 MB, the most that the gate lets through."""
USUAL = ("linear", "forest", "boosting")
_TRAINING, _BACKGROUND, _ROWS = 5_000, 1_000, 40

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Subject:
    answer: Callable[[Matrix], Array]
    training: Matrix
    rows: Matrix
    references: Matrix
    megabytes: float


def subject(name: str, columns: int) -> Subject:
    """Two classes, by pairs of columns that are correlated and interact."""
    rng = np.random.default_rng(columns)
    matrix = rng.normal(size=(_TRAINING + _ROWS, columns)).astype(np.float32)
    matrix[:, 1::2] += matrix[:, : columns // 2 * 2 : 2]
    score = matrix[:, 0] + matrix[:, 1] * matrix[:, 2] + 0.5 * matrix[:, 3 % columns] ** 2 - 1
    target = rng.random(len(matrix)) < 1 / (1 + np.exp(-score))
    training = matrix[:_TRAINING]
    graph = to_onnx(ESTIMATORS[name]().fit(training, target[:_TRAINING].astype(int)), columns, classifier=True)
    model = OnnxModel(graph)
    drawn = npy.parsed(explain.draw(training, np.ones(_TRAINING, dtype=np.bool_)))
    return Subject(lambda rows: model.predict(rows)[:, 1], training, matrix[_TRAINING:], drawn, len(graph) / 1e6)


def exact(answer: Callable[[Matrix], Array], row: Matrix, known: Matrix) -> Array:
    """The definition, over all coalitions."""
    columns = len(row)
    inside = (np.arange(2**columns)[:, None] >> np.arange(columns) & 1).astype(np.bool_)
    worth = np.array([answer(np.where(mask, row, known)).mean() for mask in inside])
    sizes = inside.sum(axis=1)
    found = np.zeros(columns)
    for column in range(columns):
        without = np.flatnonzero(~inside[:, column])
        shares = [factorial(size) * factorial(columns - size - 1) / factorial(columns) for size in sizes[without]]
        found[column] = np.dot(shares, worth[without + (1 << column)] - worth[without])
    return found


def accuracy(verdicts: Verdicts) -> None:
    head = ("model", "contribution", "error", "of chance", "told", "within 2")
    print("Accuracy, 8 columns, 12 rows\n" + "".join(f"{each:>14}" for each in head))
    for name in USUAL:
        one = subject(name, 8)
        rows = one.rows[:12]
        found = [explain.shapley(one.answer, row, one.references, [1] * 8) for row in rows]
        values, told = (np.array([getattr(each, part) for each in found]) for part in ("values", "errors"))
        whole = np.array([exact(one.answer, row, one.training[:_BACKGROUND]) for row in rows])
        same = np.array([exact(one.answer, row, one.references) for row in rows])
        within = float((np.abs(values - whole) <= 2 * told).mean())
        numbers = (_size(whole), _size(values - whole), _size(values - same), _size(told))
        print(f"{name:>14}" + "".join(f"{number:>14.4f}" for number in numbers) + f"{within:>14.0%}")
        verdicts.at_most(f"{name}: error, of the size of a contribution", _size(values - whole) / _size(whole), 0.2)
        verdicts.at_most(f"{name}: contributions beyond two of the error told", 1 - within, 0.2)


def cost(verdicts: Verdicts) -> None:
    head = ("model", "columns", "graph, MB", "ms a row", "rows a call", "s a call")
    print("\nCost, of the processor\n" + "".join(f"{each:>14}" for each in head))
    for columns in (12, 50, 400):
        for name in ESTIMATORS if columns == 12 else USUAL:
            one = subject(name, columns)
            most = explained_rows(columns, len(one.references))
            taken = _seconds(one, columns, one.rows[: max(2, min(most, _ROWS // (1 + columns // 50)))])
            print(f"{name:>14}{columns:>14}{one.megabytes:>14.2f}{1_000 * taken:>14.1f}{most:>14}{most * taken:>14.1f}")
            verdicts.at_most(f"{name}, {columns} columns: the longest call", most * taken, 12.0, " s")


def _seconds(one: Subject, columns: int, rows: Matrix) -> float:
    begun = time.process_time()
    for row in rows:
        explain.shapley(one.answer, row, one.references, [1] * columns)
    return (time.process_time() - begun) / len(rows)


def _size(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def main() -> int:
    verdicts = Verdicts()
    accuracy(verdicts)
    cost(verdicts)
    failed = len(verdicts.failed)
    print(f"\n{failed} claims do not hold" if failed else "\nAll claims hold.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
