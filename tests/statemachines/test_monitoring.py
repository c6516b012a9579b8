"""The real monitoring machine, on moto: what becomes of an order that cannot be carried out, and of a notice that
cannot be sent."""

import json
from types import SimpleNamespace

import boto3
import pytest
from moto.sns.exceptions import InternalError
from moto.sns.models import SNSBackend
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import EvalTimeoutError
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sfn import (
    StateTaskServiceSfn,
)

from tests.cloud import Cloud
from tests.integration.test_monitoring import MONITORED, label, predict
from tests.tables import trips


@pytest.fixture
def checked(cloud: Cloud) -> Cloud:
    """A model whose check finds nothing to tell."""
    cloud.champion(MONITORED, 3_000)
    return cloud


@pytest.fixture
def dropped(cloud: Cloud) -> Cloud:
    """A model whose performance has dropped, so that a check calls for a retrain."""
    cloud.champion(MONITORED, 3_000)
    frame = trips(1_000, seed=8, flipped=True, start=50_000)
    predict(cloud, frame)
    label(cloud, frame)
    return cloud


def notices(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts that the machine publishes."""
    sent: list[str] = []
    publish = SNSBackend.publish

    def keep(self: SNSBackend, message: str, *rest: object, **more: object) -> str:
        sent.append(message)
        return publish(self, message, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(SNSBackend, "publish", keep)
    return sent


def retry_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrier_decl, "time", SimpleNamespace(sleep=lambda _: None))


def refuse(monkeypatch: pytest.MonkeyPatch, named: str, times: int) -> list[str]:
    """The texts of notices that SNS refuses: those that name this, the first `times` of them."""
    refused: list[str] = []
    publish = SNSBackend.publish

    def fail(self: SNSBackend, message: str, *rest: object, **more: object) -> str:
        if named in message and len(refused) < times:
            refused.append(message)
            raise InternalError("try again")
        return publish(self, message, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(SNSBackend, "publish", fail)
    retry_at_once(monkeypatch)
    return refused


def champion_without_files(model: str) -> None:
    """Every check of it fails."""
    client = boto3.client("dynamodb")
    known = client.get_item(TableName="registry", Key={"pk": {"S": "MODEL#trips"}, "sk": {"S": "CHAMPION"}})["Item"]
    client.put_item(TableName="registry", Item={**known, "pk": {"S": f"MODEL#{model}"}})


def test_an_order_whose_start_is_refused_is_told_and_forgotten(dropped: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = notices(monkeypatch)
    boto3.client("stepfunctions").delete_state_machine(stateMachineArn=dropped.machines["pipeline"])
    registry = dropped.stores.registry
    assert dropped.run("monitoring", {"models": ["trips"]})["status"] == "SUCCEEDED"
    [text] = sent
    assert text.startswith("A check of model trips called for a retrain (roc_auc is ")
    assert "could not be started: " in text
    assert "StateMachineDoesNotExist" in text
    assert registry.governor("trips") == {**registry.governor("trips"), "order": "", "ordered": ""}
    # The next one is not told that a run is under way.
    assert dropped.run("monitoring", {"models": ["trips"]})["status"] == "SUCCEEDED"
    assert len(sent) == 2
    assert "could not be started" in sent[1]


def test_an_order_that_another_has_followed_is_left_alone(dropped: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = notices(monkeypatch)
    boto3.client("stepfunctions").delete_state_machine(stateMachineArn=dropped.machines["pipeline"])
    registry = dropped.stores.registry
    move = type(registry).move_governor

    def overtaken(self: object, model: str, expected: dict[str, object], state: dict[str, object]) -> bool:
        return move(registry, model, expected, {**state, "order": "c-of-another"})

    monkeypatch.setattr(type(registry), "move_governor", overtaken)
    assert dropped.run("monitoring", {"models": ["trips"]})["status"] == "SUCCEEDED"
    assert registry.governor("trips")["order"] == "c-of-another"
    assert len(sent) == 1


def test_a_start_whose_answer_is_lost_is_tried_again_and_starts_nothing_twice(
    dropped: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, tries = notices(monkeypatch), []
    start = StateTaskServiceSfn._eval_service_task

    def lost(self: StateTaskServiceSfn, **given: object) -> None:
        tries.append(given)
        start(self, **given)  # type: ignore[arg-type]
        if len(tries) == 1:
            raise EvalTimeoutError

    monkeypatch.setattr(StateTaskServiceSfn, "_eval_service_task", lost)
    retry_at_once(monkeypatch)
    assert dropped.run("monitoring", {"models": ["trips"]})["status"] == "SUCCEEDED"
    order = dropped.stores.registry.governor("trips")["order"]
    runs = boto3.client("stepfunctions").list_executions(stateMachineArn=dropped.machines["pipeline"])["executions"]
    assert (len(tries), [run["name"] for run in runs]) == (2, [order])
    assert not any("could not be started" in text for text in sent)


def test_a_check_that_fails_is_told_once_while_it_does(checked: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = notices(monkeypatch)
    models, key = checked.stores.models, "models/trips/1/manifest.json"
    manifest = models.get(key)

    def fails() -> None:
        models.put(key, b"{}")
        assert checked.run("monitoring", {"models": ["trips"]})["status"] == "SUCCEEDED"

    fails()
    fails()
    [text] = sent
    assert text.startswith("The check of model trips failed, and is made again at its next time: ")
    assert "KeyError" in text
    models.put(key, manifest)
    checked.run("monitoring", {"models": ["trips"]})
    assert len(sent) == 1
    fails()
    assert len(sent) == 2


def test_another_failure_of_a_check_is_told(checked: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = notices(monkeypatch)
    for broken in (b"{}", b"no JSON"):
        checked.stores.models.put("models/trips/1/manifest.json", broken)
        checked.run("monitoring", {"models": ["trips"]})
    assert ["KeyError" in sent[0], "JSONDecodeError" in sent[1], len(sent)] == [True, True, 2]


def test_a_window_that_is_none_is_the_answer_to_who_asked_and_no_notice(
    checked: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = notices(monkeypatch)
    window = {"start": "2001-01-02T00:00:00Z", "end": "2001-01-01T00:00:00Z"}
    execution = checked.run("monitoring", {"models": ["trips"], "window": window})
    assert "does not end after it starts" in execution["output"]
    assert sent == []


def test_a_notice_that_is_refused_at_first_is_sent_all_the_same(
    checked: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = notices(monkeypatch)
    refused = refuse(monkeypatch, "trips", times=4)
    checked.stores.models.put("models/trips/1/manifest.json", b"{}")
    execution = checked.run("monitoring", {"models": ["trips"]})
    assert (execution["status"], json.loads(execution["output"])["unsent"]) == ("SUCCEEDED", [])
    assert len(refused) == 4
    assert sent == refused[:1]


def test_a_notice_that_cannot_be_sent_fails_the_execution_in_words_when_the_other_checks_are_done(
    dropped: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion_without_files("planes")
    sent = notices(monkeypatch)
    refused = refuse(monkeypatch, "planes", times=99)
    execution = dropped.run("monitoring", {"models": ["planes", "trips"]})
    assert (execution["status"], execution["error"]) == ("FAILED", "NoticesUnsent")
    assert execution["cause"].startswith("Notices of these models could not be sent: ")
    assert '{"model":"planes","error":"SNS.InternalErrorException"}' in execution["cause"]
    assert len(refused) == 5
    # The retrain that the other model's check called for is ordered and told.
    [text] = sent
    assert text.startswith("roc_auc is ")
    runs = boto3.client("stepfunctions").list_executions(stateMachineArn=dropped.machines["pipeline"])["executions"]
    assert [run["name"] for run in runs] == [dropped.stores.registry.governor("trips")["order"]]


def test_a_failing_check_that_nobody_was_told_of_is_told_at_the_next_one(
    checked: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = notices(monkeypatch)
    refuse(monkeypatch, "trips", times=5)
    checked.stores.models.put("models/trips/1/manifest.json", b"{}")
    ended = [checked.run("monitoring", {"models": ["trips"]})["status"] for _ in range(3)]
    assert ended == ["FAILED", "SUCCEEDED", "SUCCEEDED"]
    assert len(sent) == 1


def test_a_failure_that_another_execution_told_meanwhile_stays_known(
    checked: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, key = boto3.client("dynamodb"), {"pk": {"S": "MODEL#trips"}, "sk": {"S": "FAILING"}}

    def overtaken(*_: object, **__: object) -> str:
        client.put_item(TableName="registry", Item={**key, "error": {"S": "KeyError"}, "at": {"S": "of another"}})
        raise InternalError("try again")

    monkeypatch.setattr(SNSBackend, "publish", overtaken)
    retry_at_once(monkeypatch)
    checked.stores.models.put("models/trips/1/manifest.json", b"{}")
    assert checked.run("monitoring", {"models": ["trips"]})["status"] == "FAILED"
    assert client.get_item(TableName="registry", Key=key)["Item"]["error"] == {"S": "KeyError"}
