"""A BentoML service around the pipeline."""

import os

import bentoml
import joblib
import pandas as pd

NUMBERS = ("age", "income", "tenure", "balance", "rate", "visits")


@bentoml.service(workers=2, traffic={"timeout": 30})
class Predictor:
    def __init__(self) -> None:
        self.pipeline = joblib.load(os.environ["PIPELINE"])

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, rows: list[dict]) -> list[list[float]]:  # type: ignore[type-arg]
        frame = pd.DataFrame(rows).drop(columns="customer")
        shares: list[list[float]] = self.pipeline.predict_proba(
            frame.astype(dict.fromkeys(NUMBERS, "float32"))
        ).tolist()
        return shares
