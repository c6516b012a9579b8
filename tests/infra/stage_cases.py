"""The whole loop on one small table, call by call, with the events that the state machines and the API would send."""

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from tests.cloud import Cloud, awslogs
from tests.tables import csv, trips

MODEL = "trips"
SPEC = """
target = "late"
id = "trip"
[train]
trials = 1
seconds = 5
"""
CANDIDATES = ("linear", "forest", "boosting")
ROWS, UNREADABLE = 1_500, 3


@dataclass(frozen=True)
class Call:
    stage: str
    event: Any

    def __str__(self) -> str:
        return f"{self.stage} {self.event.get('candidate', '')}".strip()


def loop(cloud: Cloud) -> Generator[Call, Any, None]:
    """Takes the answer to each call, and raises `AssertionError` where the stage did not do its work."""
    cloud.spec(MODEL, SPEC)
    state = yield from _prepared("first", cloud.upload(MODEL, "first.csv", csv(_with_mistakes(_table(ROWS)))))
    assert state["prepared"]["rows"] == ROWS - UNREADABLE, state

    yield from _trained(state, cloud)
    assert state["judged"]["promote"], state
    assert state["outcome"]["status"] == cloud.stores.registry.run(MODEL, state["run"])["status"] == "promoted"

    asked = _table(200, seed=7, start=50_000)
    rows = json.loads(asked.drop(columns="late").to_json(orient="records", date_format="iso"))
    predicted = yield _post("predict", {"rows": rows})
    assert predicted["statusCode"] == 200, predicted
    answers = [answer["prediction"] for answer in json.loads(predicted["body"])["predictions"]]
    assert (np.array(answers) == asked["late"]).mean() > 0.7
    captured = yield Call("capture", awslogs([_line(rows, json.loads(predicted["body"]))]))
    assert captured["objects"] == 1, captured
    answered = yield Call("batch", cloud.upload(MODEL, "rows.csv", csv(asked), "batch"))
    assert answered["answered"] == len(asked), answered
    labels = [{"id": row.trip, "label": row.late} for row in asked.itertuples()]
    labelled = yield _post("labels", {"labels": labels})
    assert labelled["statusCode"] == 202, labelled

    listed = yield Call("list_models", {})
    (request,) = listed["requests"]
    checked = yield Call("monitor", request)
    # Whichever verdict: a repeated request is captured twice.
    assert checked["verdict"] in ("no_drift", "drift"), checked
    assert cloud.stores.captures.get(checked["report"])

    order = {"model": MODEL, "check": checked["check"], "reason": "to see that labelled predictions are learned from"}
    state = yield from _prepared("second", order)
    assert state["prepared"]["rows"] == ROWS - UNREADABLE + len(asked), state


def _prepared(execution: str, event: dict[str, Any]) -> Generator[Call, Any, dict[str, Any]]:
    state: dict[str, Any] = yield Call("claim", {"execution": execution, "event": event})
    assert state["status"] == "claimed", state
    state["prepared"] = yield Call("prepare", state)
    assert state["prepared"]["status"] == "ready", state
    return state


def _trained(state: dict[str, Any], cloud: Cloud) -> Generator[Call, Any, None]:
    request = {"model": MODEL, "run": state["run"], "dataset": state["prepared"]["dataset"]}
    state["candidates"] = []
    for candidate in CANDIDATES:
        trained = yield Call("train", {**request, "candidate": candidate})
        assert cloud.stores.models.get(f"{trained['prefix']}model.onnx")
        state["candidates"].append(trained)
    state["judged"] = yield Call("validate", state)
    assert cloud.stores.models.get(state["judged"]["report"])
    state["deployed"] = yield Call("deploy", state)
    champion = cloud.stores.registry.champion(MODEL)
    assert champion
    assert champion.version == state["judged"]["version"]
    state["outcome"] = yield Call("notify", state)


def _post(what: str, document: Any) -> Call:
    return Call(
        "infer",
        {
            "httpMethod": "POST",
            "path": f"/models/{MODEL}/{what}",
            "body": json.dumps(document),
            "requestContext": {"requestId": what},
        },
    )


def _line(rows: Sequence[Mapping[str, Any]], reply: Mapping[str, Any]) -> str:
    """What infer wrote to its log."""
    answers, classes = reply["predictions"], list(reply["predictions"][0]["probabilities"])
    return json.dumps(
        {
            "tidemill": "capture",
            "kind": "predictions",
            "model": MODEL,
            "version": reply["version"],
            "request": "predict",
            "time": datetime.now(UTC).isoformat(),
            "classes": classes,
            "ids": [answer["id"] for answer in answers],
            "columns": {name: [row[name] for row in rows] for name in rows[0]},
            "predictions": [answer["prediction"] for answer in answers],
            "shares": [[answer["probabilities"][name] for name in classes] for answer in answers],
        }
    )


def _table(rows: int, *, seed: int = 0, start: int = 0) -> pd.DataFrame:
    """Every kind of column, and one with so many categories that trees encode it by the target."""
    rng = np.random.default_rng(seed)
    return trips(rows, seed=seed, start=start).assign(
        town=rng.choice([f"town {letter}" for letter in "abcdefghijklmnopqrst"], rows),
        left=pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 10_000, rows), unit="min"),
        rain=pd.Series(rng.choice(["true", "false", ""], rows)).replace("", None),
    )


def _with_mistakes(frame: pd.DataFrame) -> pd.DataFrame:
    distance = frame["distance"].astype(object)
    distance.iloc[:UNREADABLE] = "far"
    return frame.assign(distance=distance)
