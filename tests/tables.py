"""Made-up tables whose truth is known: a target that two columns decide, and noise."""

import io

import numpy as np
import pandas as pd

SPEC = """
target = "late"
id = "trip"
[train]
candidates = ["linear", "boosting"]
trials = 1
"""


def trips(rows: int, *, seed: int = 0, wind: float = 0.0, flipped: bool = False, start: int = 0) -> pd.DataFrame:
    """`wind` moves a feature's mean; `flipped` turns the relation with the target around (concept drift)."""
    rng = np.random.default_rng(seed)
    distance = rng.lognormal(5, 0.6, rows)
    speed = rng.normal(wind, 1, rows)
    carrier = rng.choice(["ash", "birch", "cedar"], rows, p=[0.5, 0.3, 0.2])
    slow = np.where(carrier == "cedar", 1.2, 0.0)
    logit = 1.6 * (speed - wind) * (-1 if flipped else 1) + slow - 0.5
    late = rng.random(rows) < 1 / (1 + np.exp(-logit))
    return pd.DataFrame(
        {
            "trip": [f"t{start + i}" for i in range(rows)],
            "distance": distance.round(1),
            "wind": speed.round(3),
            "carrier": carrier,
            "late": np.where(late, "yes", "no"),
        }
    )


def csv(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_csv(buffer, index=False)
    return buffer.getvalue()
