"""A model's window of captured predictions, read in blocks: memory does not grow with the window, but for its answers
and for what is labelled."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.flows.captures import Captures
from tidemill.schema import Column, Schema
from tidemill.stages.answers import answer_columns
from tidemill.stages.blocks import Block, BlockReader
from tidemill.stages.drift import Compared
from tidemill.stages.labels import Given
from tidemill.stages.reference import Reference, Watch
from tidemill.stages.window import Window

Array = npt.NDArray[np.float64]
_FIRST_STEP = timedelta(minutes=5)
"""So much is read first where it is not known how far back to read, and then twice as much each time."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class CapturedWindow:
    """`answers` to all rows, as `Block` has them; `labelled` to those whose labels came. `others` counts the rows that
    other versions answered, by version."""

    features: Window
    compared: list[Compared]
    answers: Array
    labelled: Given
    others: Mapping[int, int]

    @property
    def rows(self) -> int:
        return self.features.rows


@dataclass(frozen=True)
class Reach:
    """`newest`: when the last prediction was made; None where there is none."""

    start: datetime
    newest: datetime | None


@dataclass(frozen=True)
class WindowReader:
    """Of one version's predictions."""

    captures: Captures
    model: str
    version: int
    schema: Schema

    def read(self, start: datetime, end: datetime, reference: Reference, labelled: Iterable[str]) -> CapturedWindow:
        """`labelled`: the ids of predictions that have a label."""
        watch = Watch(reference, self.schema)
        columns = [c for c in self.schema.features if c.name in reference.features.columns]
        chosen, answers, others = _Labelled(self.schema, labelled), [_none(self.schema)], Counter[int]()
        for block in self._blocks(start, end, columns):
            watch.add(block.columns, answer_columns(self.schema, block.values, block.places), block.rows)
            chosen.add(block)
            answers.append(block.values)
            others.update(block.others)
        features = watch.features
        return CapturedWindow(features, watch.compared(features), np.concatenate(answers), chosen.given, others)

    def read_labelled(self, start: datetime, end: datetime, labelled: Iterable[str]) -> tuple[Given, int]:
        """The labelled rows alone, and how many more there are."""
        chosen, rows = _Labelled(self.schema, labelled), 0
        for block in self._blocks(start, end, ()):
            chosen.add(block)
            rows += block.rows
        return chosen.given, rows - len(chosen.given.ids)

    def reaching_back(self, rows: int, since: datetime, end: datetime) -> Reach:
        """Where the newest `rows` predictions before `end` begin: those of one moment are not taken apart. Where there
        are not so many, with the first one after `since`."""
        newest = np.empty(0, dtype=np.int64)
        until, step = end, _FIRST_STEP
        while len(newest) < rows and until > since:
            start = max(since, until - step)
            newest = np.concatenate([self._newest(rows - len(newest), start, until), newest])
            until, step = start, 2 * step
        if not len(newest):
            return Reach(since, None)
        return Reach(_moment(newest[0]), _moment(newest[-1]))

    def _newest(self, rows: int, start: datetime, end: datetime) -> npt.NDArray[np.int64]:
        """When the newest predictions of a span of time were made, in microseconds, rising."""
        pieces = [np.empty(0, dtype=np.int64)]
        for block in self._blocks(start, end, ()):
            pieces.append(block.times.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy())
            # Not block by block: many rows would be sorted again for each.
            if sum(map(len, pieces)) > 2 * rows:
                pieces = [np.sort(np.concatenate(pieces))[-rows:]]
        return np.sort(np.concatenate(pieces))[-rows:]

    def _blocks(self, start: datetime, end: datetime, columns: Sequence[Column]) -> Iterator[Block]:
        reader = BlockReader(self.schema, columns, self.version, start.isoformat(), end.isoformat())
        return map(reader, self.captures.blocks("predictions", self.model, start, end))


@dataclass
class _Labelled:
    """Gathers rows that have a label."""

    schema: Schema
    ids: Iterable[str]
    _wanted: pa.StringArray = field(init=False)
    _taken: list[Given] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._wanted = pa.array(list(self.ids), pa.string())

    def add(self, block: Block) -> None:
        chosen = pc.is_in(block.ids, self._wanted)
        ids, times = block.ids.filter(chosen).to_pylist(), block.times.filter(chosen).to_pylist()
        self._taken.append(Given(ids, times, block.values[chosen.to_numpy(zero_copy_only=False)]))

    @property
    def given(self) -> Given:
        return Given(
            [identity for one in self._taken for identity in one.ids],
            [time for one in self._taken for time in one.times],
            np.concatenate([_none(self.schema), *(one.values for one in self._taken)]),
        )


def _moment(microseconds: np.int64) -> datetime:
    return _EPOCH + timedelta(microseconds=int(microseconds))


def _none(schema: Schema) -> Array:
    return np.empty((0, *([len(schema.classes)] if schema.classes else [])))
