"""The product through a simulated year: its own flows on moto's stores, in this process, at moments that it is told."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from time import perf_counter
from typing import Any

from tests.bench.year_world import DAY, Day
from tests.cloud import Cloud
from tidemill.aws.paths import check_prefix
from tidemill.aws.stores import Stores
from tidemill.contracts import Checked, CheckRequest, Outcome, Prepared, Start, TrainRequest, ValidateRequest
from tidemill.errors import TidemillError
from tidemill.flows import train, validate
from tidemill.flows.claim import claim
from tidemill.flows.deploy import deploy
from tidemill.flows.infer import Endpoint
from tidemill.flows.monitor import monitor
from tidemill.flows.notify import notify
from tidemill.flows.prepare import prepare

MODEL = "flights"
LABELS_LATE = 3 * DAY
CHECKED_AT = time(6, tzinfo=UTC)
"""Of the day after: New York sleeps from 5 to 8, so that a window of a day is one local day's requests."""
_BEFORE_CHECK = timedelta(minutes=30)
_SECONDS = 900.0
"""Of a train function that was just started."""

State = dict[str, Any]


@dataclass(frozen=True)
class Checkup:
    """One day's check; `together` is what it found of the newest windows with labels, `refused` the governor's reason,
    `outcome` that of the retrain that was started."""

    day: date
    checked: Checked
    predictions: int
    together: str
    refused: str
    outcome: Outcome | None


@dataclass
class Loop:
    """`now` is the endpoint's clock; it begins when the history is uploaded."""

    stores: Stores
    now: datetime
    _endpoint: Endpoint = field(init=False)

    def __post_init__(self) -> None:
        self._endpoint = Endpoint(self.stores, lambda: self.now, _count, start=lambda work: work())

    def begin(self, spec: str, history: bytes) -> Outcome:
        """The first champion, from one upload."""
        cloud = Cloud(self.stores, {})
        cloud.spec(MODEL, spec)
        return self._run(Start.from_event(cloud.upload(MODEL, "history.csv", history)), self.now)

    def answer(self, day: Day) -> list[float]:
        """The probabilities of being late, as the endpoint replied; it captured what it answered."""
        said: list[float] = []
        for self.now, rows in day.requests():
            reply = self._endpoint.predict(MODEL, rows, f"q{self.now:%Y%m%d%H}")
            said += [each["probabilities"]["true"] for each in reply["predictions"]]
        return said

    def label(self, day: Day, now: datetime) -> None:
        if day.rows:
            self.now = now - _BEFORE_CHECK
            labels = [{"id": row["flight_id"], "label": late} for row, late in zip(day.rows, day.late, strict=True)]
            self._endpoint.label(MODEL, labels, f"l{day.day:%Y%m%d}")

    def check(self, day: date, now: datetime) -> Checkup:
        """As the monitoring machine does it: the check, and the pipeline where it says so."""
        checked = monitor(CheckRequest(MODEL, now.isoformat()), self.stores)
        report = self.stores.captures.get_json(f"{check_prefix(MODEL, checked.check)}report.json")
        order = {"model": MODEL, "check": checked.check, "reason": checked.reason}
        outcome = self._run(Start.from_event(order), now) if checked.action == "retrain" else None
        together = (report["together"] or {"status": ""})["status"]
        return Checkup(day, checked, report["predictions"], together, report["governor"], outcome)

    def _run(self, start: Start, now: datetime) -> Outcome:
        """As the pipeline machine does it; all at one moment, but for its end."""
        claimed = claim(start, self.stores, start.run, now)
        state: State = claimed.to_event()
        _caught(state, lambda: self._steps(state, prepare(claimed, self.stores, now), now))
        outcome = Outcome.from_event(state)
        return notify(outcome, self.stores, now + timedelta(seconds=outcome.seconds))

    def _steps(self, state: State, prepared: Prepared, now: datetime) -> None:
        state["prepared"] = prepared.to_event()
        if prepared.status != "ready":
            return
        state["candidates"] = [self._train(state, prepared, candidate) for candidate in prepared.candidates]
        judged = validate.run(ValidateRequest.from_event(state), self.stores)
        state["judged"] = judged.to_event()
        if judged.promote:
            deploy(state, self.stores, now)

    def _train(self, state: State, prepared: Prepared, name: str) -> State:
        """Its time stands still, so that the year comes out the same on any machine; what it took is measured."""
        branch: State = {"model": MODEL, "run": state["run"], "dataset": prepared.dataset, "candidate": name}
        begun = perf_counter()

        def step() -> None:
            trained = train.run(TrainRequest.from_event(branch), self.stores, lambda: _SECONDS)
            branch["trained"] = replace(trained, seconds=round(perf_counter() - begun, 1)).to_event()

        _caught(branch, step)
        result: State = branch.get("trained", branch)
        return result


def checked_at(day: date) -> datetime:
    return datetime.combine(day + DAY, CHECKED_AT)


def _caught(state: State, step: Callable[[], None]) -> None:
    """An error of ours becomes part of the state, as Step Functions writes it there; any other is the bench's own."""
    try:
        step()
    except TidemillError as error:
        state["error"] = {"Error": type(error).__name__, "Cause": json.dumps({"errorMessage": str(error)})}


def _count(name: str, value: float, model: str) -> None:
    if name in ("CaptureLost", "Degraded"):
        raise SystemExit(f"{name} {value:g} of {model}: the year is not what it should be")
