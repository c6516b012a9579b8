"""From the log's subscription to the capture bucket, and from there to whoever reads a window."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cloud import ROOT, Cloud, awslogs
from tests.cloud import cloud as make_cloud
from tidemill.aws.objects import Objects
from tidemill.contracts import LogBatch
from tidemill.errors import StoreUnavailable
from tidemill.flows.capture import capture
from tidemill.flows.captures import Captures
from tidemill.stages.labels import newest

NOON = datetime(2026, 7, 4, 12, tzinfo=UTC)
EVENTS = ROOT / "tests" / "events"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with make_cloud() as made:
        yield made


def line(seconds: float, *ids: str, model: str = "trips") -> str:
    time = NOON + timedelta(seconds=seconds)
    document = {
        "tidemill": "capture",
        "kind": "predictions",
        "model": model,
        "version": 1,
        "request": f"q{seconds}",
        "time": time.isoformat(),
        "classes": ["no", "yes"],
        "ids": ids,
        "columns": {"size": [1.0] * len(ids)},
        "predictions": ["no"] * len(ids),
        "shares": [[0.9, 0.1]] * len(ids),
    }
    return json.dumps(document)


def read(cloud: Cloud, start: float, end: float, model: str = "trips") -> list[str]:
    window = NOON + timedelta(seconds=start), NOON + timedelta(seconds=end)
    return [record["id"] for record in Captures(cloud.stores.captures).read("predictions", model, *window)]


def keys(cloud: Cloud) -> list[str]:
    return list(cloud.stores.captures.keys("predictions/"))


def test_many_requests_of_a_minute_are_one_object(cloud: Cloud) -> None:
    cloud.invoke("capture", awslogs([line(i, f"k{i}") for i in range(30)]))
    assert len(keys(cloud)) == 1
    assert read(cloud, 0, 60) == [f"k{i}" for i in range(30)]


@pytest.mark.parametrize(("start", "end", "expected"), [(50, 70, [50, 60]), (55, 65, [60]), (60, 60.5, [60])])
def test_a_window_is_read_exactly_whatever_the_objects_hold(
    cloud: Cloud, start: float, end: float, expected: Sequence[int]
) -> None:
    cloud.invoke("capture", awslogs([line(i, f"k{i}") for i in range(0, 130, 10)]))
    assert read(cloud, start, end) == [f"k{i}" for i in expected]


def test_records_come_in_the_order_of_their_time_whoever_delivered_them_first(cloud: Cloud) -> None:
    cloud.invoke("capture", awslogs([line(30, "k30"), line(50, "k50")], stream="b"))
    cloud.invoke("capture", awslogs([line(10, "k10"), line(40, "k40"), line(70, "k70")], stream="a"))
    assert read(cloud, 0, 120) == ["k10", "k30", "k40", "k50", "k70"]


def test_a_batch_that_comes_late_is_in_the_window_of_its_time(cloud: Cloud) -> None:
    cloud.invoke("capture", awslogs([line(90, "k90")]))
    assert read(cloud, 0, 60) == []
    cloud.invoke("capture", awslogs([line(20, "k20")]))
    assert read(cloud, 0, 60) == ["k20"]


def test_a_redelivery_writes_the_same_objects_again(cloud: Cloud) -> None:
    event = awslogs([line(10, "k10"), line(70, "k70")])
    cloud.invoke("capture", event)
    before = {key: cloud.stores.captures.get(key) for key in keys(cloud)}
    cloud.invoke("capture", event)
    assert {key: cloud.stores.captures.get(key) for key in keys(cloud)} == before
    assert len(before) == 2


def test_lines_that_are_delivered_again_among_others_count_once(cloud: Cloud) -> None:
    cloud.invoke("capture", awslogs([line(10, "k10"), line(11, "k11")]))
    cloud.invoke("capture", awslogs([line(11, "k11"), line(12, "k12")]))
    assert read(cloud, 0, 60) == ["k10", "k11", "k12"]


def test_models_are_kept_apart(cloud: Cloud) -> None:
    cloud.invoke("capture", awslogs([line(1, "a"), line(2, "b", model="other")]))
    assert (read(cloud, 0, 60), read(cloud, 0, 60, "other")) == (["a"], ["b"])


def test_damaged_lines_are_counted_and_the_others_are_kept(cloud: Cloud) -> None:
    lost: list[int] = []
    batch = LogBatch.from_event(awslogs([line(1, "a"), line(2, "b")[:100], "REPORT RequestId: q"]))
    assert capture(batch, cloud.stores, lost.append) == {"lines": 3, "objects": 1, "damaged": 1}
    assert lost == [1]
    assert read(cloud, 0, 60) == ["a"]


def test_when_the_store_is_away_the_batch_is_to_be_delivered_again(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise StoreUnavailable("S3 is away")

    event = awslogs([line(1, "a")])
    with monkeypatch.context() as away:
        away.setattr(Objects, "put", refuse)
        with pytest.raises(StoreUnavailable):
            cloud.invoke("capture", event)
    cloud.invoke("capture", event)
    assert read(cloud, 0, 60) == ["a"]


DYING = """
import os, signal, sys
from tidemill.aws import lines
for line in sys.stdin.read().splitlines():
    lines.write(line)
os.write(2, b"the reply")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_function_that_is_killed_right_after_its_reply_has_lost_nothing(cloud: Cloud) -> None:
    # The last is short enough to wait in a buffer.
    sizes = (1_500, 1_500, 1)
    written = "\n".join(line(i, *(f"{i}-{place}-{'x' * 50}" for place in range(rows))) for i, rows in enumerate(sizes))
    path = {"PYTHONPATH": str(ROOT / "layers" / "core" / "python")}
    died = subprocess.run(
        [sys.executable, "-c", DYING], input=written, capture_output=True, text=True, check=False, env=path
    )
    assert (died.returncode, died.stderr) == (-signal.SIGKILL, "the reply")
    cloud.invoke("capture", awslogs(died.stdout.splitlines()))
    assert len(read(cloud, 0, 60)) == sum(sizes)


def test_cloudwatch_looking_whether_anybody_is_there_writes_nothing(cloud: Cloud) -> None:
    event = json.loads((EVENTS / "awslogs-control.json").read_text())
    assert cloud.invoke("capture", event) == {"lines": 0, "objects": 0, "damaged": 0}
    assert keys(cloud) == []


def test_a_delivery_as_cloudwatch_makes_it_is_what_the_endpoint_answered(cloud: Cloud) -> None:
    event = json.loads((EVENTS / "awslogs-captures.json").read_text())
    assert cloud.invoke("capture", event) == {"lines": 3, "objects": 2, "damaged": 1}
    records = cloud.captured()
    assert [(record["id"], record["prediction"]) for record in records] == [
        ("t9", "yes"),
        ("t10", "no"),
        ("t11", "yes"),
    ]
    assert records[0]["row"] == {"trip": "t9", "distance": 120.5, "carrier": "c\u00e8dre"}


def test_of_labels_that_came_twice_the_newest_counts_within_a_second_too(cloud: Cloud) -> None:
    captures = Captures(cloud.stores.captures)
    for name, microseconds, label in (("z", 100, "old"), ("a", 200, "new")):
        time = NOON + timedelta(microseconds=microseconds)
        captures.write("labels", "trips", name, [{"id": "k", "label": label, "time": time.isoformat()}])
    assert newest(cloud.captured("labels"), (NOON + timedelta(hours=1)).isoformat()).by_id == {"k": "new"}
