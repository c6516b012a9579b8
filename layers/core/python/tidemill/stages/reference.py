"""What a version's windows are judged against, and a window counted against all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.encoding import Matrix, encode, encoded_names
from tidemill.profile import Profile
from tidemill.schema import Levels, Schema
from tidemill.stages.drift import Compared
from tidemill.stages.npy import spread
from tidemill.stages.together import FEWEST_WINDOW, MOST_COLUMNS, REFERENCE_ROWS, Together, learn
from tidemill.stages.window import Values, Window, WindowBuilder

Mask = npt.NDArray[np.bool_]
NOTHING = Profile(0, {})
_ALL_ROWS, _THEN_EVERY = 10_000, 10
"""So many rows say how the columns go together, and then every tenth: more would say the same."""


@dataclass(frozen=True)
class Reference:
    """`answers`: of rows that were held out; a version of before there was any has neither them nor `together`."""

    features: Profile
    answers: Profile = NOTHING
    together: Together | None = None

    def to_json(self) -> dict[str, Any]:
        """Without the features, which have a document of their own."""
        return {
            "answers": self.answers.to_json(),
            "together": self.together and self.together.to_json(),
        }

    @classmethod
    def from_json(cls, features: Mapping[str, Any], document: Mapping[str, Any] | None) -> Reference:
        profile = Profile.from_json(features)
        if document is None:
            return cls(profile)
        together = document["together"] and Together.from_json(document["together"])
        return cls(profile, Profile.from_json(document["answers"]), together)

    def without(self, names: Sequence[str]) -> Reference:
        """What is never captured has not gone missing."""
        kept = {name: column for name, column in self.features.columns.items() if name not in names}
        return replace(self, features=replace(self.features, columns=kept))


def learn_together(
    matrix: Matrix, training: Mask, schema: Schema, ranked: Sequence[str], dropped: Sequence[str]
) -> Together | None:
    """From encoded rows, evenly over those of `training`; the most important columns where there are too many. Dates
    are left out, since time moves on."""
    order = {name: place for place, name in enumerate(ranked)}
    usable = [c for c in schema.features if c.kind != "datetime" and c.name not in dropped]
    usable.sort(key=lambda column: order.get(column.name, len(order)))
    chosen = {name for c in usable[:MOST_COLUMNS] for name in encoded_names(replace(schema, columns=(c,)))}
    names = encoded_names(schema)
    places = [place for place, name in enumerate(names) if name in chosen]
    rows = np.flatnonzero(training)
    sample = matrix[rows[spread(len(rows), REFERENCE_ROWS)]][:, places]
    return learn(sample, [names[place] for place in places])


@dataclass
class Watch:
    """Counts a window, block by block, against all of the reference."""

    reference: Reference
    schema: Schema
    _features: WindowBuilder = field(init=False)
    _answers: WindowBuilder = field(init=False)
    _errors: WindowBuilder = field(init=False)
    _together: Schema | None = field(init=False)
    _measured: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        together = self.reference.together
        self._features, self._answers = WindowBuilder(self.reference.features), WindowBuilder(self.reference.answers)
        self._errors = WindowBuilder(together.profile if together else NOTHING)
        self._together = _of(self.schema, together) if together else None

    def add(self, columns: Mapping[str, Values], answers: Mapping[str, Values], rows: int) -> None:
        self._features.add(columns, rows)
        self._answers.add(answers, rows)
        together, schema = self.reference.together, self._together
        if together and schema and rows:
            chosen = np.arange(0, rows, 1 if self._measured < _ALL_ROWS else _THEN_EVERY)
            self._measured += len(chosen)
            matrix = encode(schema, {c.name: _taken(columns[c.name], chosen) for c in schema.features}, len(chosen))
            errors = together.errors(matrix, encoded_names(schema))
            self._errors.add(dict.fromkeys(together.profile.columns, errors), len(chosen))

    @property
    def features(self) -> Window:
        return self._features.window()

    def compared(self, features: Window) -> list[Compared]:
        found = [Compared(self.reference.features, features)]
        if self.reference.answers.columns:
            found.append(Compared(self.reference.answers, self._answers.window(), "answer"))
        if self.reference.together:
            errors = self._errors.window()
            found.append(Compared(self.reference.together.profile, errors, "together", FEWEST_WINDOW))
        return found


def _of(schema: Schema, together: Together) -> Schema:
    """Its columns alone."""
    kept = (c for c in schema.features if encoded_names(replace(schema, columns=(c,)))[0] in together.columns)
    return replace(schema, columns=tuple(kept))


def _taken(values: Values, rows: Any) -> Values:
    return Levels(values.codes[rows], values.names) if isinstance(values, Levels) else values[rows]
