"""An assembled data set in the data bucket: which partitions it has, and what each of their rows is for."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tidemill.aws.objects import Objects
from tidemill.aws.paths import dataset_prefix, partition_prefix
from tidemill.schema import Schema
from tidemill.spec import ModelSpec, parse_spec
from tidemill.stages import npy
from tidemill.stages.dataset import Dataset, Part, Rows, StoredPart, gather


@dataclass(frozen=True)
class StoredDataset(Rows):
    """`facts` is dataset.json as it was written."""

    schema: Schema
    spec: ModelSpec
    names: tuple[str, ...]
    facts: dict[str, Any]

    @property
    def partitions(self) -> list[str]:
        return [str(part["content"]) for part in self.facts["parts"]]

    def since(self, level: int) -> list[str]:
        """The partitions of the rows that have at least that recency."""
        return [self.partitions[place] for place in np.unique(self.partition[self.recency >= level]).tolist()]

    def mostly_since(self, level: int) -> list[str]:
        """Those of them of whose rows most have it, and the newest where there is none."""
        of = np.bincount(self.partition)
        within = np.bincount(self.partition[self.recency >= level], minlength=len(of))
        mostly = np.flatnonzero(within * 2 >= np.maximum(of, 1)).tolist()
        return [self.partitions[place] for place in mostly or [-1]]


def save(objects: Objects, model: str, name: str, dataset: Dataset, parts: Sequence[Part], spec: str) -> None:
    """dataset.json is written last: a data set that has one is whole."""
    prefix = dataset_prefix(model, name)
    state = io.BytesIO()
    np.save(state, dataset.state, allow_pickle=False)
    objects.put(f"{prefix}state.npy", state.getvalue())
    objects.put_json(f"{prefix}profile.json", dataset.training_profile.to_json())
    objects.put_json(
        f"{prefix}dataset.json",
        {
            "dataset": name,
            "model": model,
            "spec": spec,
            "schema": dataset.schema.to_json(),
            "names": list(dataset.names),
            "parts": [{"content": part.content, "names": list(part.names), "rows": part.rows} for part in parts],
            "class_places": list(dataset.class_places),
            "late_classes": list(dataset.late_classes),
            "rows": dataset.rows,
            "held_out": dataset.held_out,
            "cutoff": dataset.cutoff,
            "examples": [{"at": at, "row": row} for at, row in dataset.examples],
        },
    )


def load(objects: Objects, model: str, name: str) -> StoredDataset:
    prefix = dataset_prefix(model, name)
    facts = objects.get_json(f"{prefix}dataset.json")
    names = tuple(facts["names"])
    rows = gather(
        [_stored(objects, model, part) for part in facts["parts"]],
        npy.parsed(objects.get(f"{prefix}state.npy")),
        names,
        facts["class_places"],
        timed=facts["cutoff"] is not None,
    )
    return StoredDataset(
        **vars(rows),
        schema=Schema.from_json(facts["schema"]),
        spec=parse_spec(facts["spec"]),
        names=names,
        facts=facts,
    )


def _stored(objects: Objects, model: str, part: dict[str, Any]) -> StoredPart:
    prefix = partition_prefix(model, str(part["content"]))
    return StoredPart(part["names"], int(part["rows"]), lambda array: npy.parsed(objects.get(f"{prefix}{array}.npy")))
