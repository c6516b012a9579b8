"""What each function calls while a whole loop runs, against what the template lets it do.

The local cloud asks nobody's policy, so this is where a grant that is missing is seen before an account refuses it.
"""

import fnmatch
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import boto3
import pytest

from infra.stages import STAGES
from tests.cloud import Cloud
from tests.cloud import cloud as make_cloud
from tests.infra.template import Template
from tests.integration.test_monitoring import MONITORED, check, label, predict, wait_for_retrain
from tests.tables import csv, trips
from tidemill.aws.stores import Serving, Stores

NAMES = {"data": "DataBucket", "models": "ModelBucket", "captures": "CaptureBucket", "registry": "RegistryTable"}
PARTS = ("CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload")

FEW = """
target = "late"
id = "trip"
[train]
candidates = ["linear"]
trials = 1
"""
"""Of so few rows, Train compares recipes."""

IDLE = {
    # Only an upload whose key names no model is told at once.
    "claim": {"sns:Publish NoticeTopicArn"},
    "prepare": {
        # Only what broke off is aborted, and only an event without a version reads the newest.
        "s3:AbortMultipartUpload DataBucket/datasets/*",
        "s3:GetObject DataBucket/uploads/*",
    },
    # A version without a manifest is one that somebody took away.
    "deploy": {"s3:ListBucket ModelBucket"},
    "infer": {"s3:ListBucket ModelBucket"},
    # So is a spec: then that of the champion holds.
    "list_models": {"s3:ListBucket DataBucket"},
    "monitor": {"s3:ListBucket DataBucket"},
    "batch": {
        "s3:AbortMultipartUpload DataBucket/batch-results/*",
        "s3:GetObject DataBucket/batch/*",
        "s3:ListBucket ModelBucket",
    },
}
"""Granted for what does not happen in a loop that goes well."""

Calls = Mapping[str, set[tuple[str, str, frozenset[str]]]]
"""Function → action, place, and the attributes that a write names."""


@pytest.fixture(scope="module")
def calls() -> Calls:
    made: dict[str, set[tuple[str, str, frozenset[str]]]] = defaultdict(set)

    def recorded(service: str, function: str) -> Any:
        client = boto3.client(service)  # type: ignore[call-overload]

        def before(params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
            context["bucket"] = params.get("Bucket", "")
            made[function].update(asked(service, model.name, params))

        def after(http_response: Any, context: dict[str, Any], **_: Any) -> None:
            # S3 says so only to whoever may list the bucket.
            if http_response.status_code == 404:
                made[function].add(("s3:ListBucket", NAMES[context["bucket"]], frozenset()))

        client.meta.events.register("before-parameter-build", before)
        client.meta.events.register("after-call", after)
        return client

    of = Stores.of

    def watched(function: str, environment: Mapping[str, str]) -> Stores:
        stores, s3 = of(function, environment), recorded("s3", function)
        return replace(
            stores,
            data=replace(stores.data, client=s3),
            models=replace(stores.models, client=s3),
            captures=replace(stores.captures, client=s3),
            registry=replace(stores.registry, client=recorded("dynamodb", function)),
            notices=replace(stores.notices, client=recorded("sns", function)),
        )

    def watched_infer(environment: Mapping[str, str]) -> Serving:
        return replace(watched("infer", environment), capture=environment["CAPTURE"])

    infer = patch.object(Serving, "of_infer", watched_infer)
    with patch.object(Stores, "of", watched), infer, make_cloud() as cloud:
        loop(cloud)
    return made


def loop(cloud: Cloud) -> None:
    """All the ways that a run goes, once."""
    data = csv(trips(3_000))
    assert cloud.train("trips", "first.csv", data)["status"] == "invalid"
    cloud.spec("trips", MONITORED)
    second = cloud.train("trips", "second.csv", data)
    assert second["status"] == "promoted", second["reasons"]
    again = cloud.upload("trips", "third.csv", data)
    assert [cloud.run("pipeline", again)["status"] for _ in range(2)] == ["SUCCEEDED", "SUCCEEDED"]
    assert cloud.train("trips", "fourth.csv", csv(trips(300, seed=1, start=9_000)))["status"] == "rejected"
    assert cloud.http("GET", "/models")[0] == 200
    batch = cloud.upload("trips", "rows.csv", data, "batch")
    assert [cloud.invoke("batch", batch)["status"] for _ in range(2)] == ["answered", "answered"]
    damaged = cloud.upload("trips", "damaged.csv", b"wind\n1\n", "batch")
    assert cloud.invoke("batch", damaged)["status"] == "invalid"
    frame = trips(800, seed=7, start=50_000, flipped=True)
    predict(cloud, frame)
    assert cloud.http("POST", "/models/trips/predict", {"rows": [{}]})[0] == 400
    label(cloud, frame)
    begun = datetime.now(UTC) - timedelta(days=3)
    past = {"start": begun.isoformat(), "end": (begun + timedelta(days=1)).isoformat()}
    report = check(cloud, models=["trips"], window=past)["report"].replace(".html", ".json")
    boto3.client("s3").delete_object(Bucket="captures", Key=report)
    assert check(cloud)["action"] == "retrain"
    wait_for_retrain(cloud)
    cloud.spec("few", FEW)
    assert cloud.train("few", "first.csv", csv(trips(400)))["status"] == "promoted"
    assert cloud.train("few", "second.csv", csv(trips(100, seed=1, start=9_000)))["status"] == "rejected"


def asked(service: str, operation: str, params: Mapping[str, Any]) -> Iterator[tuple[str, str, frozenset[str]]]:
    """What IAM would be asked for a call."""
    none: frozenset[str] = frozenset()
    if service == "sns":
        yield "sns:Publish", "NoticeTopicArn", none
    elif operation == "TransactWriteItems":
        for item in params["TransactItems"]:
            (part,) = item
            yield from asked(service, f"{part}Item", item[part])
    elif service == "dynamodb":
        named = {*params.get("Item", {}), *params.get("ExpressionAttributeNames", {}).values()}
        yield f"dynamodb:{operation}", NAMES[params["TableName"]], frozenset(named)
    elif operation == "ListObjectsV2":
        yield "s3:ListBucket", f"{NAMES[params['Bucket']]} only {params['Prefix']}", none
    elif operation == "CopyObject":
        # botocore has made one text of the two by now.
        bucket, _, key = params["CopySource"].partition("/")
        yield "s3:GetObject", f"{NAMES[bucket]}/{key}", none
        yield "s3:PutObject", f"{NAMES[params['Bucket']]}/{params['Key']}", none
    else:
        action = "PutObject" if operation in PARTS else operation.replace("HeadObject", "GetObject")
        version = "Version" if "VersionId" in params else ""
        yield f"s3:{action}{version}", f"{NAMES[params['Bucket']]}/{params['Key']}", none


def allows(sentence: str, action: str, place: str, attributes: frozenset[str]) -> bool:
    granted, where = sentence.split(" ", 1)
    where, _, refused = where.partition(" without ")
    where, _, prefixes = where.partition(" only ")
    places = [f"{where} only {prefix}" for prefix in prefixes.split()] or [where]
    met = any(fnmatch.fnmatchcase(place, pattern) for pattern in places)
    return granted == action and met and not attributes & set(refused.split())


@pytest.mark.parametrize("stage", [stage.name for stage in STAGES])
def test_function_is_refused_nothing_that_it_asks_for(template: Template, calls: Calls, stage: str) -> None:
    may = template.function_may(stage)
    refused = {call for call in calls[stage] if not any(allows(sentence, *call) for sentence in may)}
    assert calls[stage]
    assert refused == set()


@pytest.mark.parametrize("stage", [stage.name for stage in STAGES])
def test_function_is_granted_nothing_that_it_does_not_ask_for(template: Template, calls: Calls, stage: str) -> None:
    may = template.function_may(stage)
    idle = {sentence for sentence in may if not any(allows(sentence, *call) for call in calls[stage])}
    assert idle == IDLE.get(stage, set())
