"""What the search tries: each candidate's parameters, between which values, the default first."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from tidemill.spec import Ranges

Params = Mapping[str, float]


@dataclass(frozen=True)
class Dimension:
    """`log`: drawn evenly over its orders of magnitude."""

    default: float
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def at(self, share: float) -> float:
        """The value below which that share of the range lies."""
        if self.log:
            value = float(self.low * (self.high / self.low) ** share)
        else:
            value = self.low + (self.high - self.low) * share
        return round(value) if self.whole else float(f"{value:.4g}")

    def within(self, low: float, high: float) -> "Dimension":
        """The same between other ends. A range from 0 has no orders of magnitude."""
        return replace(self, default=min(max(self.default, low), high), low=low, high=high, log=self.log and low > 0)

    @property
    def fixed(self) -> bool:
        return self.low == self.high


Space = Mapping[str, Dimension]

_BALANCE = Dimension(0, 0, 1)
"""0: every row counts alike; 1: every class does."""
_LOG_TARGET = Dimension(0, 0, 1, whole=True)
_SPACES: Mapping[str, Space] = {
    "linear": {"strength": Dimension(1, 1e-3, 1e2, log=True)},
    "forest": {
        "trees": Dimension(100, 100, 100, whole=True),
        "min_samples_leaf": Dimension(10, 1, 100, log=True, whole=True),
        "max_features": Dimension(0.5, 0.2, 1),
    },
    "boosting": {
        "learning_rate": Dimension(0.08, 0.03, 0.2, log=True),
        "max_leaf_nodes": Dimension(31, 7, 63, log=True, whole=True),
        "min_samples_leaf": Dimension(20, 5, 200, log=True, whole=True),
        "max_features": Dimension(1, 0.3, 1),
        "l2_regularization": Dimension(0, 0.01, 100, log=True),
        "max_iter": Dimension(500, 10, 500, whole=True),
    },
}
_ROWS_A_LEAF, _MOST_BY_DEFAULT = 1_500, 127
"""Of boosting, by default, between its usual number of leaves and the most: on 260,000 rows 127 leaves reached in 150
trees more than 31 in 500."""
STOPPED = "max_iter"
"""The one parameter that is not drawn: early stopping finds it between its ends."""


def space(candidate: str, ranges: Ranges, *, rows: int, rare: bool, skewed: bool) -> Space:
    """What there is to search. `rare`: a class is under `metrics.RARE_SHARE`; `skewed`: of a regression target."""
    found = dict(_SPACES[candidate])
    if leaves := found.get("max_leaf_nodes"):
        more = min(rows // _ROWS_A_LEAF, _MOST_BY_DEFAULT)
        if more > leaves.default:
            found["max_leaf_nodes"] = replace(leaves, default=more, high=2 * more + 1)
    if rare or "balance" in ranges:
        found["balance"] = _BALANCE
    if skewed or "log_target" in ranges:
        found["log_target"] = _LOG_TARGET
    return found | {name: found[name].within(*ends) for name, ends in ranges.items()}


def defaults(candidate: str) -> Params:
    """What a version that was trained before a parameter was there is taken to have had."""
    known = {**_SPACES.get(candidate, {}), "balance": _BALANCE, "log_target": _LOG_TARGET}
    return {name: dimension.default for name, dimension in known.items()}


def settings(space: Space, trials: int, seed: int) -> Iterator[Params]:
    """The defaults, then random ones that fill each dimension evenly (a Latin hypercube), none of them twice.

    The same seed gives the same sequence.
    """
    drawn = {name: dimension for name, dimension in space.items() if name != STOPPED}
    rng = np.random.default_rng(seed)
    shares = {name: (rng.permutation(trials) + rng.random(trials)) / trials for name in drawn}
    seen: list[Params] = []
    for place in range(trials):
        params = {
            name: dimension.at(float(shares[name][place])) if place and not dimension.fixed else dimension.default
            for name, dimension in drawn.items()
        }
        if params not in seen:
            seen.append(params)
            yield params
