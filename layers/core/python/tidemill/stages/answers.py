"""A model's answers as columns, so that they are profiled and tested for drift as features are."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tidemill.profile import Profile, profile
from tidemill.schema import Levels, Schema

Array = npt.NDArray[np.float64]
_DECIMALS = 4
_DIGITS = 5


def answer_columns(
    schema: Schema, values: Array, places: npt.NDArray[np.integer] | None
) -> Mapping[str, Array | Levels]:
    """`values` (n,) of a regression; of classes (n, classes), with the `places` of the answers among them.

    Rounded: one row alone is answered as among many but for the last digits, and a value that many rows share must
    stay one.
    """
    name = f"predicted {schema.target.name}"
    if places is None:
        return {name: _rounded(values)}
    binary = len(schema.classes) == 2
    share = values[:, 1] if binary else values.max(axis=1, initial=0.0)
    title = f"probability of {schema.classes[1]}" if binary else "highest probability"
    return {name: Levels(places.astype(np.int32), schema.classes), title: share.round(_DECIMALS)}


def profile_answers(columns: Mapping[str, Array | Levels]) -> Profile:
    kinds = {name: "categorical" if isinstance(one, Levels) else "numeric" for name, one in columns.items()}
    return profile(columns, kinds)


def _rounded(values: Array) -> Array:
    """To five digits."""
    with np.errstate(all="ignore"):
        scale = 10.0 ** (_DIGITS - 1 - np.floor(np.log10(np.abs(values))))
        return np.where(np.isfinite(scale) & (scale > 0), np.round(values * scale) / scale, values)
