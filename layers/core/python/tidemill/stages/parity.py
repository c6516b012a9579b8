"""How far an exported graph is from the pipeline that it was made from, without what either of them needs to run."""

from dataclasses import dataclass

TOLERANCE = 1e-4
"""Largest difference that a row may show; for regression relative to the values' own spread."""


@dataclass(frozen=True)
class Parity:
    """How far the exported graph is from the pipeline, on rows it was not fitted on."""

    rows: int
    largest: float
    beyond: int

    @property
    def holds(self) -> bool:
        return self.beyond == 0
