"""What can be said of the state machines without running them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tidemill import errors

FILES = sorted((Path(__file__).parents[2] / "statemachines").glob("*.asl.json"))
OF_AWS = ("States.", "Lambda.", "StepFunctions.", "DynamoDB.")
PUBLISH = "arn:aws:states:::sns:publish"
START = "arn:aws:states:::states:startExecution"


def states(machine: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, state in machine["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from states(state["ItemProcessor"])


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def machine(request: pytest.FixtureRequest) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(request.param.read_text())
    return document


def test_machine_and_every_task_have_a_timeout(machine: dict[str, Any]) -> None:
    assert machine["TimeoutSeconds"] > 0
    endless = [name for name, state in states(machine) if state["Type"] == "Task" and "TimeoutSeconds" not in state]
    assert endless == []


def test_every_caught_or_retried_error_exists(machine: dict[str, Any]) -> None:
    for name, state in states(machine):
        for rule in [*state.get("Retry", []), *state.get("Catch", [])]:
            for error in rule["ErrorEquals"]:
                assert error.startswith(OF_AWS) or hasattr(errors, error), f"{name}: {error}"


def test_nothing_is_retried_whatever_it_was(machine: dict[str, Any]) -> None:
    blind = [
        name
        for name, state in states(machine)
        for rule in state.get("Retry", [])
        if "States.ALL" in rule["ErrorEquals"]
    ]
    assert blind == []


def test_every_notice_is_sent_again_whatever_sns_calls_its_error(machine: dict[str, Any]) -> None:
    """AWS lists no names of the errors of SNS, and a name that is none is retried by nobody. Told twice is better than
    never."""
    for name, state in states(machine):
        if state.get("Resource") == PUBLISH:
            retried = {error for rule in state.get("Retry", []) for error in rule["ErrorEquals"]}
            assert retried >= {"States.TaskFailed", "States.Timeout"}, name


def test_a_notice_that_cannot_be_sent_ends_nothing_else(machine: dict[str, Any]) -> None:
    for name, state in states(machine):
        if state.get("Resource") == PUBLISH:
            assert {"States.ALL"} in [set(rule["ErrorEquals"]) for rule in state.get("Catch", [])], name


def test_a_start_that_is_tried_again_has_a_name_by_which_it_is_the_same(machine: dict[str, Any]) -> None:
    for name, state in states(machine):
        if state.get("Resource") == START:
            assert state["Parameters"]["Name.$"] == "$.check", name


def test_input_errors_are_never_retried(machine: dict[str, Any]) -> None:
    for _, state in states(machine):
        for rule in state.get("Retry", []):
            assert not [error for error in rule["ErrorEquals"] if error.startswith("Invalid")]


def test_every_transition_leads_to_a_state_of_its_machine(machine: dict[str, Any]) -> None:
    def check(scope: dict[str, Any]) -> None:
        known = set(scope["States"])
        assert scope["StartAt"] in known
        for state in scope["States"].values():
            targets = [state.get("Next"), state.get("Default")]
            targets += [rule["Next"] for rule in [*state.get("Choices", []), *state.get("Catch", [])]]
            assert {target for target in targets if target} <= known
            if "ItemProcessor" in state:
                check(state["ItemProcessor"])

    check(machine)


def test_every_map_says_where_its_items_are(machine: dict[str, Any]) -> None:
    """A Map without ItemsPath succeeds on the local cloud with one item, and fails on AWS."""
    assert all("ItemsPath" in state for _, state in states(machine) if state["Type"] == "Map")
