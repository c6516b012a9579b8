"""Explain: by how much each column moved one answer away from the usual one, by the graph and numpy alone.

Sampled Shapley values (Štrumbelj and Kononenko 2014): the row's columns come into a reference row one after another in
a random order, and each is credited with the change that it makes; then in the reverse order, which takes out much of
the chance (Mitchell et al. 2022). All parts of a column come at once.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.encoding import Matrix, encoded_widths
from tidemill.errors import InvalidRequest, ModelIncompatible, TooLarge
from tidemill.limits import MOST_OF_EXPLANATIONS, REFERENCE_ROWS, explained_rows, reference_rows, written_size
from tidemill.stages import npy
from tidemill.stages.rows import Row
from tidemill.stages.serve import ServedModel

BACKGROUND = "background.npy"
"""Of a version, beside its graph: rows of the training side as the graph takes them, (n, k) float32."""
_SEED = 7
_STRONGEST = 5
_LONGEST_TEXT = 100
_CELLS = 1 << 21
"""Numbers that the graph gets at a time."""

Array = npt.NDArray[np.float64]
Answer = Callable[[Matrix], Array]
"""One number for each row of a matrix."""


@dataclass(frozen=True)
class Contributions:
    """By column: `values` sum to the row's answer less `base`, the mean answer of the reference rows. `errors` are
    standard errors: by so much they would differ with other orders and other reference rows."""

    base: float
    values: Array
    errors: Array


class Explainer:
    """A version that explains itself by its reference rows.

    Explained is the prediction of a regression, of two classes the probability of the second, of more that of the
    class that was answered.
    """

    def __init__(self, model: ServedModel, references: bytes) -> None:
        if hashlib.sha256(references).hexdigest() != model.digests[BACKGROUND]:
            raise ModelIncompatible(f"{BACKGROUND} of version {model.version} is not what its manifest says")
        self._model = model
        self._columns = [column.name for column in model.schema.features]
        self._widths = encoded_widths(model.schema)
        self._references: Matrix = npy.parsed(references)[: reference_rows(len(self._columns))]
        self._most = explained_rows(len(self._columns), len(self._references))

    def explain(self, rows: Sequence[Row], matrix: Matrix) -> list[dict[str, Any]]:
        """Each row's explanation, in the shape of the HTTP contract; `matrix` has the same rows. Raises `TooLarge` for
        more than a call has time for."""
        if len(rows) > self._most:
            raise TooLarge(
                f"{len(rows):,} rows to explain, and {self._most} is the limit of one call for this model of "
                f"{len(self._columns)} columns: send them in chunks, or without 'explain'"
            )
        told: list[dict[str, Any]] = []
        for row, encoded, place in zip(rows, matrix, self._places(matrix), strict=True):
            found = shapley(self._answer(place), encoded, self._references, self._widths)
            if not np.isfinite(found.values).all():
                raise InvalidRequest(
                    f"row {len(told)} cannot be explained: with values so large the model's answer has no end"
                )
            told.append(self._to_json(row, place, found))
        size = written_size(told)
        if size > MOST_OF_EXPLANATIONS:
            raise TooLarge(
                f"the explanations alone are {size:,} bytes of the reply, and {MOST_OF_EXPLANATIONS:,} is the limit: "
                "send fewer rows a call"
            )
        return told

    def _places(self, matrix: Matrix) -> Sequence[int | None]:
        """Of the classes whose probabilities are explained."""
        _, places = self._model.answer(matrix)
        if places is None:
            return [None] * len(matrix)
        return [1] * len(matrix) if len(self._model.schema.classes) == 2 else places.tolist()

    def _answer(self, place: int | None) -> Answer:
        def answer(matrix: Matrix) -> Array:
            values, _ = self._model.answer(matrix)
            return values if place is None else values[:, place]

        return answer

    def _to_json(self, row: Row, place: int | None, found: Contributions) -> dict[str, Any]:
        strongest = np.argsort(-np.abs(found.values), kind="stable")
        said = {} if place is None else {"class": self._model.schema.classes[place]}
        return said | {
            "base": found.base,
            "contributions": [
                {
                    "field": self._columns[at],
                    "value": _shortened(row.get(self._columns[at])),
                    "contribution": float(found.values[at]),
                    "error": float(found.errors[at]),
                }
                for at in strongest[:_STRONGEST]
            ],
            "others": float(found.values[strongest[_STRONGEST:]].sum()),
        }


def draw(matrix: Matrix, training: npt.NDArray[np.bool_]) -> bytes:
    """background.npy: an even draw of the training rows, the same one every time, and each beginning of it another."""
    places = np.random.default_rng(_SEED).permutation(np.flatnonzero(training))[:REFERENCE_ROWS]
    file = io.BytesIO()
    np.save(file, matrix[places], allow_pickle=False)
    return file.getvalue()


def shapley(answer: Answer, row: Matrix, references: Matrix, widths: Sequence[int]) -> Contributions:
    """`row` (k,), `references` (n, k) with one pair of orders each, `widths` the places that each column has of k. The
    same row has the same orders wherever and whenever it is sent."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(row.tobytes()).digest()[:8]))
    turns = rng.permuted(np.tile(np.arange(len(widths)), (len(references), 1)), axis=1)
    ends = answer(np.vstack([references, row]))
    pairs = np.zeros(turns.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        for each in (turns, len(widths) - 1 - turns):
            paths: list[Any] = [ends[:-1], _between(answer, row, references, widths, each), [ends[-1]] * len(each)]
            pairs += np.take_along_axis(np.diff(np.column_stack(paths), axis=1), each, axis=1) / 2
        errors = pairs.std(axis=0, ddof=1) / np.sqrt(len(pairs))
        return Contributions(float(ends[:-1].mean()), pairs.mean(axis=0), errors)


def _between(
    answer: Answer, row: Matrix, references: Matrix, widths: Sequence[int], turns: npt.NDArray[np.int64]
) -> Array:
    """The answers on the way from each reference row to `row`, without both ends: (n, columns - 1). `turns[i, c]` says
    when column c comes into reference row i."""
    steps = np.arange(1, len(widths))[:, None]
    at_once = max(1, _CELLS // max(1, len(steps) * len(row)))
    answers = np.empty((len(references), len(steps)))
    for start in range(0, len(references) if len(steps) else 0, at_once):
        chunk = slice(start, start + at_once)
        came = np.repeat(turns[chunk, None, :] < steps, widths, axis=2)
        mixed = np.where(came, row, references[chunk, None, :])
        answers[chunk] = answer(mixed.reshape(-1, len(row))).reshape(-1, len(steps))
    return answers


def _shortened(value: object) -> object:
    long = isinstance(value, str) and len(value) > _LONGEST_TEXT
    return f"{str(value)[:_LONGEST_TEXT]}…" if long else value
