from itertools import product
from pathlib import Path
from typing import Any

import pytest

from infra.app import NO_BUNDLING, synthesize
from infra.config import ENVIRONMENTS
from infra.stages import STAGES
from infra.storage import BATCH, UPLOADS
from tests.infra.conftest import Synthesized
from tests.infra.template import Properties, Template

BUCKETS = ("DataBucket", "ModelBucket", "CaptureBucket")


def bucket(template: Template, name: str) -> Properties:
    return template.of_type("AWS::S3::Bucket")[template.outputs[name]]


def rules(template: Template, name: str) -> dict[str, dict[str, Any]]:
    return {rule["Id"]: rule for rule in bucket(template, name)["LifecycleConfiguration"]["Rules"]}


def refuses_plain_http(template: Template, kind: str, field: str, name: str) -> bool:
    """Whether the policy of `name` denies what does not come by TLS."""
    documents = [one["PolicyDocument"] for one in template.of_type(kind).values() if name in str(one[field])]
    return any(
        statement["Effect"] == "Deny" and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        for document in documents
        for statement in document["Statement"]
        if "Condition" in statement
    )


def test_there_are_no_buckets_but_the_three(template: Template) -> None:
    assert set(template.of_type("AWS::S3::Bucket")) == {template.outputs[name] for name in BUCKETS}


@pytest.mark.parametrize("name", BUCKETS)
def test_bucket_blocks_all_public_access(template: Template, name: str) -> None:
    assert set(bucket(template, name)["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket(template, name)["PublicAccessBlockConfiguration"]) == 4


@pytest.mark.parametrize("name", BUCKETS)
def test_bucket_is_encrypted(template: Template, name: str) -> None:
    (rule,) = bucket(template, name)["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


@pytest.mark.parametrize("name", BUCKETS)
def test_bucket_refuses_what_does_not_come_by_tls(template: Template, name: str) -> None:
    assert refuses_plain_http(template, "AWS::S3::BucketPolicy", "Bucket", template.outputs[name])


@pytest.mark.parametrize("name", BUCKETS)
def test_incomplete_uploads_are_aborted(template: Template, name: str) -> None:
    assert rules(template, name)["incomplete"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}


@pytest.mark.parametrize("name", ["DataBucket", "ModelBucket"])
def test_bucket_is_versioned_and_forgets_old_versions(template: Template, name: str) -> None:
    assert bucket(template, name)["VersioningConfiguration"] == {"Status": "Enabled"}
    assert rules(template, name)["noncurrent"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}


def test_candidates_expire_and_models_do_not(template: Template) -> None:
    expiring = {rule.get("Prefix") for rule in rules(template, "ModelBucket").values() if "ExpirationInDays" in rule}
    assert expiring == {"candidates/"}


@pytest.mark.parametrize(("environment", "days"), [("dev", 30), ("prod", 400)])
def test_captures_expire_after_the_days_of_the_environment(
    synthesized: Synthesized, environment: str, days: int
) -> None:
    assert rules(synthesized(environment), "CaptureBucket")["captures"]["ExpirationInDays"] == days


def test_only_the_data_bucket_sends_events(template: Template) -> None:
    sending = {name for name in BUCKETS if "NotificationConfiguration" in bucket(template, name)}
    assert sending == {"DataBucket"}


def test_registry_is_paid_on_demand_and_can_be_restored_to_any_second(template: Template) -> None:
    table = template.the("AWS::DynamoDB::Table")
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
    assert [key["AttributeName"] for key in table["KeySchema"]] == ["pk", "sk"]


def test_data_of_production_outlives_the_stack(synthesized: Synthesized) -> None:
    production = synthesized("prod")
    kept = [*BUCKETS, "RegistryTable"]
    assert all(production.policies_of(production.outputs[name]) == ["Retain", "Retain"] for name in kept)
    assert production.the("AWS::DynamoDB::Table")["DeletionProtectionEnabled"]


def test_data_of_development_goes_with_the_stack(template: Template) -> None:
    assert all(template.policies_of(template.outputs[name]) == ["Delete", "Delete"] for name in BUCKETS)


def test_no_stage_writes_where_a_file_would_start_anything(template: Template) -> None:
    patterns = [one["EventPattern"] for one in template.of_type("AWS::Events::Rule").values() if "EventPattern" in one]
    objects = [pattern["detail"]["object"] for pattern in patterns if "object" in pattern["detail"]]
    starting = [entry["prefix"] for each in objects for entry in each["key"]]
    assert sorted(starting) == [BATCH, UPLOADS]
    may = {sentence for stage in STAGES for sentence in template.function_may(stage.name)}
    written = [sentence.partition("/")[2].removesuffix("*") for sentence in may if sentence.startswith("s3:PutObject ")]
    assert sorted(written) == [
        "batch-results/", "candidates/", "datasets/", "drift/", "labels/", "models/", "predictions/", "refusals/",
    ]  # fmt: skip
    pairs = [*product(starting, written), *product(starting, starting)]
    assert not [
        (one, other) for one, other in pairs if one != other and (one.startswith(other) or other.startswith(one))
    ]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_production_cannot_be_deleted_by_one_wrong_command_and_the_rest_can(tmp_path: Path, environment: str) -> None:
    (stack,) = synthesize({**NO_BUNDLING, "environment": environment}, outdir=tmp_path).stacks
    assert bool(stack.termination_protection) == (environment == "prod")
