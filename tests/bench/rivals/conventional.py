"""What the usual tutorials come to, written with care: Powertools' resolver validates, pandas makes a frame, and a
pipeline from joblib answers. One of the handlers that `tests.bench.serve` compares; it captures nothing."""

import io
import os
from functools import cache
from typing import Any

import boto3
import joblib
import pandas as pd
from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from pydantic import BaseModel, Field

logger = Logger()
app = APIGatewayRestResolver(enable_validation=True)


_NUMBERS = ("age", "income", "tenure", "balance", "rate", "visits")


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
    rows: list[Row] = Field(min_length=1, max_length=10_000)


class Prediction(BaseModel):
    id: str
    prediction: str
    probabilities: dict[str, float]


class Reply(BaseModel):
    predictions: list[Prediction]


@cache
def model() -> Any:
    answer = boto3.client("s3").get_object(Bucket=os.environ["MODEL_BUCKET"], Key=os.environ["MODEL_KEY"])
    return joblib.load(io.BytesIO(answer["Body"].read()))


@app.post("/models/<name>/predict")
def predict(name: str, request: Request) -> Reply:
    frame = pd.DataFrame([row.model_dump() for row in request.rows])
    pipeline = model()
    shares = pipeline.predict_proba(frame.drop(columns="customer").astype(dict.fromkeys(_NUMBERS, "float32")))
    classes = pipeline.classes_.tolist()
    return Reply(
        predictions=[
            Prediction(
                id=row.customer,
                prediction=classes[int(one.argmax())],
                probabilities=dict(zip(classes, one.tolist(), strict=True)),
            )
            for row, one in zip(request.rows, shares, strict=True)
        ]
    )


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return app.resolve(event, context)
