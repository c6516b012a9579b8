"""Do the columns still go together as they did? What no column shows alone: the error by which a window's rows miss
the principal components of the rows that a model learned from.

Every column becomes normal scores (van der Waerden 1952), by where the value lies among the reference's: what is far
out in one column alone decides nothing. A row's error is the sum of its squares along the components that are left
out, each in its own standard deviation (Hawkins 1974).
One half of the reference fits all of it, the other half says what errors are usual: an error is compared with errors of
rows that nothing was fitted to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from tidemill.encoding import Matrix
from tidemill.profile import NumericProfile, Profile, profile_column

FloatArray = npt.NDArray[np.float64]
NAME = "reconstruction error"
REFERENCE_ROWS = 10_000
FEWEST_REFERENCE = 1_000
FEWEST_WINDOW = 300
MOST_COLUMNS = 100
_KNOTS = 64
_RIDGE = 0.1
"""Added to each variance, of 1 a column: one that is almost none is hardly known."""
_DIGITS = 6


@dataclass(frozen=True)
class Scores:
    """A column's normal scores: `at` (knots,) rising, for categories their codes; 0 for what is missing or unknown."""

    at: FloatArray
    scores: FloatArray
    exact: bool

    @classmethod
    def of(cls, values: FloatArray, *, exact: bool) -> Scores:
        """Categories are ordered by how frequent they are; a missing one is a category."""
        values = values[np.isfinite(values)]
        at, counts = np.unique(values, return_counts=True)
        order = np.argsort(-counts, kind="stable") if exact else np.arange(len(at))
        reached = np.cumsum(counts[order])
        share = np.empty(len(at))
        share[order] = (reached - counts[order] / 2) / max(1, len(values))
        if not exact and len(at) > _KNOTS:
            places = np.unique(np.searchsorted(reached, np.linspace(0, 1, _KNOTS) * len(values)).clip(max=len(at) - 1))
            at, share = at[places], share[places]
        inverse = NormalDist().inv_cdf
        scores = np.array([inverse(each) for each in share.tolist()])
        return cls(at, np.round(scores, _DIGITS), exact)

    def __call__(self, values: FloatArray) -> FloatArray:
        if not len(self.at):
            return np.zeros(len(values))
        if not self.exact:
            found = np.interp(values, self.at, self.scores)
            found[np.isnan(found)] = 0.0
            return found
        places = np.searchsorted(self.at, values).clip(max=len(self.at) - 1)
        return np.where(self.at[places] == values, self.scores[places], 0.0)


@dataclass(frozen=True)
class Together:
    """`columns` names encoded columns; `weights` (columns, components) takes a row's scores to what is left of them;
    `usual` is the profile of the errors of reference rows."""

    columns: Mapping[str, Scores]
    weights: FloatArray
    usual: NumericProfile

    @property
    def profile(self) -> Profile:
        return Profile(self.usual.rows, {NAME: self.usual})

    def errors(self, matrix: Matrix, names: Sequence[str]) -> FloatArray:
        """Of encoded rows (n, len(names)): (n,)."""
        return _errors(self.columns, self.weights, matrix, names)

    def to_json(self) -> dict[str, Any]:
        return {
            "columns": {
                name: {"at": scores.at.tolist(), "scores": scores.scores.tolist(), "exact": scores.exact}
                for name, scores in self.columns.items()
            },
            "weights": self.weights.tolist(),
            "usual": self.profile.to_json(),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Together:
        columns = {
            name: Scores(np.array(entry["at"]), np.array(entry["scores"]), entry["exact"])
            for name, entry in document["columns"].items()
        }
        weights = np.array(document["weights"]).reshape(len(columns), -1)
        usual = cast("NumericProfile", Profile.from_json(document["usual"]).columns[NAME])
        return cls(columns, weights, usual)


def learn(matrix: Matrix, names: Sequence[str]) -> Together | None:
    """From reference rows, in the order of the data; None where there are too few rows or columns to tell."""
    half, other = matrix[::2], matrix[1::2]
    if len(matrix) < FEWEST_REFERENCE:
        return None
    columns = {}
    for place, name in list(enumerate(names))[:MOST_COLUMNS]:
        scores = Scores.of(half[:, place].astype(np.float64), exact=_is_code(name))
        if len(scores.at) > 1:
            columns[name] = scores
    if len(columns) < 2:
        return None
    drawn = _scores(columns, half, names)
    variances, components = np.linalg.eigh(np.corrcoef(drawn.T))
    least = variances <= min(1.0, float(np.median(variances)))
    weights = components[:, least] / np.sqrt(variances[least] + _RIDGE) / drawn.std(axis=0)[:, None]
    weights = np.round(weights, _DIGITS)
    usual = profile_column(_errors(columns, weights, other, names), "numeric")
    return Together(columns, weights, cast("NumericProfile", usual))


def _errors(columns: Mapping[str, Scores], weights: FloatArray, matrix: Matrix, names: Sequence[str]) -> FloatArray:
    left: FloatArray = _scores(columns, matrix, names) @ weights
    return np.asarray(np.square(left).sum(axis=1))


def _scores(columns: Mapping[str, Scores], matrix: Matrix, names: Sequence[str]) -> FloatArray:
    places = {name: place for place, name in enumerate(names)}
    drawn = np.empty((len(matrix), len(columns)))
    for at, (name, scores) in enumerate(columns.items()):
        drawn[:, at] = scores(matrix[:, places[name]].astype(np.float64))
    return drawn


def _is_code(name: str) -> bool:
    return name.startswith("categorical:")
