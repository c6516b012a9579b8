"""FastAPI around the pipeline, as its own tutorial has it."""

import os

import joblib
import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel

pipeline = joblib.load(os.environ["PIPELINE"])
app = FastAPI()

NUMBERS = ("age", "income", "tenure", "balance", "rate", "visits")


class Row(BaseModel):
    customer: str
    age: float
    income: float
    tenure: float
    balance: float | None
    rate: float
    visits: float
    member: bool
    plan: str
    channel: str
    city: str


class Request(BaseModel):
    rows: list[Row]


@app.post("/predict")  # type: ignore[untyped-decorator]
def predict(request: Request) -> dict[str, list[list[float]]]:
    frame = pd.DataFrame([row.model_dump(exclude={"customer"}) for row in request.rows])
    shares = pipeline.predict_proba(frame.astype(dict.fromkeys(NUMBERS, "float32")))
    return {"predictions": shares.tolist()}
