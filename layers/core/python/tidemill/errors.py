"""Every error that Tidemill raises on purpose.

TidemillError
├── InvalidInput            the sender must act; never retried
│   ├── InvalidUpload       the file (or the lack of a spec for it) cannot become a data set
│   ├── InvalidSpec         the model spec has a mistake
│   └── InvalidRequest      an HTTP call or a command cannot be answered as it was sent
│       └── TooLarge        … since it is more than one call can take
├── NotFound                the named model, version, run or object does not exist
├── TrainingFailed          a candidate cannot be fitted to its rows, or not exported
├── NothingTrained          every candidate of a run failed
├── ChampionMoved           another run promoted meanwhile; judge again against the new champion
├── StoreUnavailable        S3, DynamoDB or SNS failed in passing; retried
├── ModelIncompatible       an artifact does not do what its manifest says; we must act
└── InvalidSettings         a function was deployed with missing or wrong settings; we must act

The state machines catch these by class name, so a name here is a contract with `statemachines/`.
"""

from collections.abc import Sequence
from typing import Any


class TidemillError(Exception):
    """Base of all of them; the message names what was wrong, where, and what to do."""


class InvalidInput(TidemillError):
    """Carries every problem found, not only the first; the message is their sentences joined."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("; ".join(self.problems))


class InvalidUpload(InvalidInput):
    """The uploaded file cannot become a data set; `rejected` has the rows that made it so, where rows did."""

    def __init__(self, problems: str | Sequence[str], rejected: Sequence[Any] = ()) -> None:
        super().__init__(problems)
        self.rejected = tuple(rejected)


class InvalidSpec(InvalidInput):
    """The model spec has a mistake."""


class InvalidRequest(InvalidInput):
    """An HTTP call or a command cannot be answered as it was sent."""


class TooLarge(InvalidRequest):
    """More than one call can take; the message has the limit."""


class NotFound(TidemillError):
    """The named model, version, run or object does not exist."""


class TrainingFailed(TidemillError):
    """A candidate cannot be fitted to its rows, or not exported; the message says what does in its place."""


class NothingTrained(TidemillError):
    """Every candidate of a run failed; the message has each one's reason."""


class ChampionMoved(TidemillError):
    """The champion is no longer the one that the gate compared against."""


class StoreUnavailable(TidemillError):
    """A store failed in passing; the same call may succeed in a moment."""


class ModelIncompatible(TidemillError):
    """An artifact does not do what its manifest says."""


class InvalidSettings(TidemillError):
    """A function was deployed with missing or wrong settings."""
