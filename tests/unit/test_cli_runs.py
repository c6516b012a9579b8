"""What the command says about a run: the state that the pipeline is in, and how a wait ends."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from tidemill.errors import NotFound
from tidemill_cli.cloud import Target
from tidemill_cli.console import Console
from tidemill_cli.runs import Run, Waiting, doing, wait


def entered(name: str, kind: str = "Task") -> dict[str, Any]:
    return {"type": f"{kind}StateEntered", "stateEnteredEventDetails": {"name": name}}


def test_before_the_first_state_the_pipeline_is_starting() -> None:
    assert doing([{"type": "ExecutionStarted"}]) == "starting"


def test_the_state_entered_last_is_the_one_it_is_in() -> None:
    assert doing([entered("Claim"), {"type": "TaskStateExited"}, entered("Prepare")]).startswith("Prepare (")


def test_candidates_are_counted_as_aws_tells_of_them() -> None:
    started = {"type": "MapStateStarted", "mapStateStartedEventDetails": {"length": 3}}
    inside = [entered("Train"), {"type": "TaskSucceeded"}, {"type": "MapIterationSucceeded"}]
    history = [entered("TrainCandidates", "Map"), started, *inside, entered("Train")]
    assert doing(history) == "TrainCandidates (training candidates, 1 of 3 done)"


def test_candidates_are_counted_as_the_local_cloud_tells_of_them() -> None:
    history = [
        entered("TrainCandidates", "Map"),
        *[{"type": "TaskScheduled"}] * 3,
        *[{"type": "TaskSucceeded"}] * 2,
    ]
    assert doing(history) == "TrainCandidates (training candidates, 2 of 3 done)"


def test_after_the_candidates_it_is_in_the_next_state() -> None:
    history = [entered("TrainCandidates", "Map"), {"type": "MapStateExited"}, entered("Validate")]
    assert doing(history) == "Validate (comparing with the champion)"


@dataclass
class Fake:
    """A registry and Step Functions that tell one thing after the other, and time that passes by itself."""

    items: Iterator[Mapping[str, Any] | None]
    execution: Mapping[str, Any] = field(default_factory=lambda: {"status": "RUNNING"})
    now: float = 0.0

    def run(self, model: str, run: str) -> Mapping[str, Any]:
        item = next(self.items)
        if item is None:
            raise NotFound("not yet")
        return {"run": run, **item}

    def describe_execution(self, **_: Any) -> Mapping[str, Any]:
        return self.execution

    def get_paginator(self, _: str) -> "Fake":
        return self

    def paginate(self, **_: Any) -> list[Mapping[str, Any]]:
        return [{"events": [entered("Prepare")]}]

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def wait(self, seconds: float) -> Run:
        @dataclass
        class Place:
            registry: Fake
            states: Fake

        waiting = Waiting(seconds, 1.0, self.sleep, lambda: self.now)
        return wait(cast("Target", Place(self, self)), "m", "r-1", Console(), waiting)


RUNNING = {"status": "running", "execution": "arn"}


def test_a_run_is_waited_for_from_before_its_claim_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    ended = {
        **RUNNING,
        "status": "promoted",
        "version": 2,
        "reasons": ["better"],
        "report": "models/m/2/report.html",
    }
    run = Fake(iter([None, RUNNING, RUNNING, ended])).wait(60)
    assert (run.status, run.version, run.reasons) == ("promoted", 2, ["better"])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "r-1: waiting for the pipeline to start",
        "r-1: Prepare (reading and cleaning the data)",
    ]


def test_a_run_that_takes_longer_than_the_wait_is_pending() -> None:
    fake = Fake(iter([RUNNING] * 10))
    assert fake.wait(3).status == "pending"
    assert fake.now == 3


def test_an_execution_that_broke_before_it_told_the_registry_is_a_failed_run() -> None:
    broken = {"status": "TIMED_OUT", "error": "States.Timeout", "cause": "too long"}
    run = Fake(iter([RUNNING, RUNNING]), broken).wait(60)
    assert run.status == "failed"
    assert run.reasons == ["the execution ended as TIMED_OUT: States.Timeout too long"]


def test_an_execution_that_ends_between_two_looks_is_not_called_failed() -> None:
    ended = {**RUNNING, "status": "rejected", "version": 2}
    assert Fake(iter([RUNNING, ended]), {"status": "SUCCEEDED"}).wait(60).status == "rejected"
