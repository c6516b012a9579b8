"""An assembled data set in the data bucket: numbers as .npy parts, which numpy alone reads, and never a pickle."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.aws.objects import Objects
from tidemill.encoding import Matrix
from tidemill.schema import Schema
from tidemill.spec import ModelSpec, parse_spec


@dataclass(frozen=True)
class StoredDataset:
    """See `tidemill.stages.assemble.Dataset`; `facts` is dataset.json as it was written."""

    schema: Schema
    spec: ModelSpec
    names: tuple[str, ...]
    matrix: Matrix
    target: npt.NDArray[np.float64]
    held_out: npt.NDArray[np.bool_]
    keys: npt.NDArray[np.uint64]
    moments: npt.NDArray[np.int64] | None
    facts: dict[str, Any]


def save(
    objects: Objects,
    prefix: str,
    *,
    facts: dict[str, Any],
    profile: dict[str, Any],
    arrays: dict[str, npt.NDArray[Any] | None],
) -> None:
    """dataset.json is written last: a data set that has one is whole."""
    for name, array in arrays.items():
        if array is not None:
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            objects.put(f"{prefix}matrix/{name}.npy", buffer.getvalue())
    objects.put_json(f"{prefix}profile.json", profile)
    objects.put_json(f"{prefix}dataset.json", facts)


def load(objects: Objects, prefix: str) -> StoredDataset:
    facts = objects.get_json(f"{prefix}dataset.json")

    def array(name: str) -> Any:
        return np.load(io.BytesIO(objects.get(f"{prefix}matrix/{name}.npy")), allow_pickle=False)

    return StoredDataset(
        schema=Schema.from_json(facts["schema"]),
        spec=parse_spec(facts["spec"]),
        names=tuple(facts["names"]),
        matrix=array("matrix"),
        target=array("target"),
        held_out=array("held_out"),
        keys=array("keys"),
        moments=array("moments") if facts["has_moments"] else None,
        facts=facts,
    )
