"""A model's window of captured predictions, read in blocks: memory does not grow with the window, but for what is
labelled."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.flows.captures import Captures
from tidemill.schema import Schema
from tidemill.stages.answers import answer_columns
from tidemill.stages.blocks import Block, BlockReader
from tidemill.stages.drift import Compared
from tidemill.stages.reference import Reference, Watch
from tidemill.stages.window import Window


@dataclass(frozen=True)
class CapturedWindow:
    """`labelled`: the answers to rows whose labels came, as `Block` has them, beside their `labels`."""

    features: Window
    compared: list[Compared]
    labels: list[Any]
    answers: npt.NDArray[np.float64]

    @property
    def rows(self) -> int:
        return self.features.rows


@dataclass(frozen=True)
class WindowReader:
    captures: Captures
    model: str
    version: int
    schema: Schema
    reference: Reference

    def read(self, start: datetime, end: datetime, labels: Mapping[str, Any]) -> CapturedWindow:
        """`labels` by the ids of predictions."""
        watch = Watch(self.reference, self.schema)
        columns = [c for c in self.schema.features if c.name in self.reference.features.columns]
        reader = BlockReader(self.schema, columns, self.version, start.isoformat(), end.isoformat())
        wanted, found, answers = pa.array(list(labels), pa.string()), [], [self._none()]
        for lines in self.captures.blocks("predictions", self.model, start, end):
            block = reader(lines)
            watch.add(block.columns, answer_columns(self.schema, block.values, block.places), block.rows)
            ids, values = _labelled(block, wanted)
            found += [labels[identity] for identity in ids]
            answers.append(values)
        features = watch.features
        return CapturedWindow(features, watch.compared(features), found, np.concatenate(answers))

    def _none(self) -> npt.NDArray[np.float64]:
        return np.empty((0, *([len(self.schema.classes)] if self.schema.classes else [])))


def _labelled(block: Block, wanted: pa.StringArray) -> tuple[list[str], npt.NDArray[np.float64]]:
    chosen = pc.is_in(block.ids, wanted)
    return block.ids.filter(chosen).to_pylist(), block.values[chosen.to_numpy(zero_copy_only=False)]
