"""The real monitoring machine, on moto: what becomes of an order that cannot be carried out."""

import boto3
import pytest

from tests.cloud import Cloud
from tests.integration.test_monitoring import MONITORED, label, predict
from tests.tables import csv, trips


@pytest.fixture
def dropped(cloud: Cloud) -> Cloud:
    """A model whose performance has dropped, so that a check calls for a retrain."""
    cloud.spec("trips", MONITORED)
    assert cloud.train("trips", "first.csv", csv(trips(3_000)))["status"] == "promoted"
    frame = trips(1_000, seed=8, flipped=True, start=50_000)
    predict(cloud, frame)
    label(cloud, frame)
    return cloud


def notices(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts that the machine publishes."""
    from moto.sns.models import SNSBackend  # noqa: PLC0415

    sent: list[str] = []
    publish = SNSBackend.publish

    def keep(self: SNSBackend, message: str, *rest: object, **more: object) -> str:
        sent.append(message)
        return publish(self, message, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(SNSBackend, "publish", keep)
    return sent


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
