"""What the doctor makes of facts, none of which is gathered here."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from tidemill_cli.checkup import (
    Account,
    Caller,
    Deployed,
    Finding,
    Limits,
    Local,
    Machine,
    Needs,
    Refused,
    Unknown,
    examine_account,
    examine_local,
    examine_machine,
)

NEEDS = Needs(
    environment="prod",
    runtime="python3.13",
    architecture="arm64",
    memory={"claim": 256, "train": 4096},
    concurrency=16,
    bootstrap=6,
    cli="2.1148.0",
    unsigned=False,
    emails=["ops@example.org"],
)
MACHINE = Machine(
    python="3.13.1",
    activated=True,
    compilers=["python3.13"],
    node="24.19.0",
    cdk="2.1148.1",
    drifted=[],
    free_bytes=10**11,
    layers_built=False,
)
ACCOUNT = Account(
    region="eu-central-1",
    regions=["eu-central-1", "us-east-1"],
    runtimes=["python3.12", "python3.13"],
    endpoint=None,
    caller=Caller("123456789012", "arn:aws:sts::123456789012:assumed-role/deploy/me"),
    bootstrap=30,
    stack=Deployed(status="UPDATE_COMPLETE", description="Tidemill, environment prod"),
    limits=Limits(concurrency=1000, unreserved=1000, code_bytes=80_000_000_000, code_used=10**9),
    logs_role="arn:aws:iam::123456789012:role/Tidemill-prod-ApiRestCloudWatchRole",
    listeners={"ops@example.org": True},
)
LOCAL = Local(
    endpoint="http://127.0.0.1:4566",
    outdated=False,
    stack="CREATE_COMPLETE",
    folder="state",
    writable=True,
    port=4566,
    port_taken=True,
)


def the(check: str, findings: Iterable[Finding]) -> Finding:
    """The only finding of its name."""
    (only,) = [finding for finding in findings if finding.check == check]
    return only


def of_machine(check: str, **facts: Any) -> Finding:
    return the(check, examine_machine(replace(MACHINE, **facts), NEEDS, for_aws=True))


def of_account(check: str, needs: Needs = NEEDS, **facts: Any) -> Finding:
    return the(check, examine_account(replace(ACCOUNT, **facts), needs))


def of_stack(status: str, description: str = "Tidemill, environment prod") -> Finding:
    return of_account("stack", stack=Deployed(status=status, description=description))


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    findings = [*examine_machine(MACHINE, NEEDS, for_aws=True), *examine_account(ACCOUNT, NEEDS), *examine_local(LOCAL)]
    assert {finding.verdict for finding in findings} == {"ok"}
    assert not any(finding.remedy for finding in findings)


@pytest.mark.parametrize(
    ("facts", "check", "verdict", "words"),
    [
        ({"activated": False}, "python", "warn", "the CDK CLI runs `python`, which here is another"),
        ({"node": "20.20.2"}, "node", "warn", "jsii supports 22 and 24"),
        ({"node": Unknown("no such file")}, "node", "unknown", "could not check: no such file"),
        ({"drifted": ["boto3 1.0 for 2.0"]}, "packages", "warn", "boto3 1.0 for 2.0"),
        ({"drifted": ["a", "b", "c", "d", "e"]}, "packages", "warn", "a, b, c and 2 more"),
        ({"compilers": []}, "byte code", "warn", "no python3.13 is here"),
        ({"cdk": "2.1147.9"}, "cdk", "fail", "2.1147.9 cannot read this app's assembly, which wants 2.1148.0"),
        ({"cdk": None}, "cdk", "ok", "npx aws-cdk@latest"),
        ({"free_bytes": 10**9}, "disk", "warn", "1.0 GB are free"),
        ({"free_bytes": 10**9, "layers_built": True}, "disk", "ok", "1.0 GB are free"),
    ],
)
def test_a_machine_is_told_what_it_lacks(facts: dict[str, Any], check: str, verdict: str, words: str) -> None:
    finding = of_machine(check, **facts)
    assert (finding.verdict, words in finding.found) == (verdict, True), finding
    assert bool(finding.remedy) == (verdict in ("warn", "fail"))


def test_without_a_template_its_reason_is_what_to_mend_first() -> None:
    why = Unknown("setting 'memery' is unknown")
    assert the("template", examine_machine(MACHINE, why, for_aws=True)) == Finding(
        "template", "fail", "setting 'memery' is unknown", "mend that first; nothing can be deployed before"
    )
    assert [finding.check for finding in examine_account(ACCOUNT, why)] == ["region", "credentials"]


def test_the_local_cloud_needs_neither_the_cdk_cli_nor_byte_code() -> None:
    bare = replace(MACHINE, cdk="1.0.0", compilers=[], activated=False)
    assert {finding.verdict for finding in examine_machine(bare, NEEDS, for_aws=False)} == {"ok"}


@pytest.mark.parametrize(
    ("facts", "check", "verdict", "words"),
    [
        ({"region": None}, "region", "fail", "none is set"),
        ({"region": "mars-1"}, "region", "fail", "mars-1 is no region"),
        ({"endpoint": "http://127.0.0.1:1"}, "endpoint", "warn", "not AWS"),
        ({"caller": Refused("the token has expired")}, "credentials", "fail", "the token has expired"),
        ({"caller": Unknown("no answer")}, "credentials", "unknown", "could not check: no answer"),
        ({"caller": Caller("1", "arn:aws:iam::1:root")}, "credentials", "warn", "the root user of account 1"),
        ({"runtimes": ["python3.12"]}, "runtime", "fail", "Lambda has no python3.13"),
        ({"bootstrap": None}, "bootstrap", "fail", "aws://123456789012/eu-central-1 is not bootstrapped"),
        ({"bootstrap": 5}, "bootstrap", "fail", "has version 5, and 6 is needed"),
        ({"bootstrap": Unknown("denied")}, "bootstrap", "unknown", "could not check: denied"),
        ({"stack": None}, "stack", "ok", "Tidemill-prod is not deployed yet"),
        ({"logs_role": None}, "api logs", "ok", "the deployment sets one"),
        ({"logs_role": "arn:aws:iam::1:role/theirs"}, "api logs", "warn", "write logs as theirs"),
        ({"listeners": {"a@b.org": False}}, "notices", "warn", "a@b.org did not confirm"),
        ({"listeners": {}}, "notices", "warn", "nobody hears of alarms"),
        ({"listeners": None}, "notices", "ok", "ops@example.org, whom AWS will ask"),
    ],
)
def test_an_account_is_told_what_it_lacks(facts: dict[str, Any], check: str, verdict: str, words: str) -> None:
    finding = of_account(check, **facts)
    assert (finding.verdict, words in finding.found) == (verdict, True), finding
    assert bool(finding.remedy) == (verdict in ("warn", "fail"))


def test_an_account_without_bootstrap_is_told_the_command_for_it() -> None:
    assert "bootstrap aws://123456789012/eu-central-1" in of_account("bootstrap", bootstrap=None).remedy


@pytest.mark.parametrize(
    ("status", "verdict", "remedy"),
    [
        ("CREATE_COMPLETE", "ok", ""),
        ("UPDATE_COMPLETE", "ok", ""),
        ("REVIEW_IN_PROGRESS", "ok", ""),
        ("UPDATE_IN_PROGRESS", "warn", "wait"),
        ("UPDATE_ROLLBACK_COMPLETE", "warn", "deploy again"),
        ("ROLLBACK_COMPLETE", "fail", "delete-stack --stack-name Tidemill-prod"),
        ("CREATE_FAILED", "fail", "delete-stack --stack-name Tidemill-prod"),
        ("DELETE_FAILED", "fail", "empty its buckets"),
        ("UPDATE_ROLLBACK_FAILED", "fail", "continue-update-rollback --stack-name Tidemill-prod"),
    ],
)
def test_how_a_stack_stands_says_whether_it_can_be_deployed(status: str, verdict: str, remedy: str) -> None:
    finding = of_stack(status)
    assert finding.verdict == verdict
    assert status in finding.found
    assert remedy in finding.remedy
    assert bool(finding.remedy) == bool(remedy)


def test_a_stack_of_that_name_which_others_made_is_left_to_them() -> None:
    finding = of_stack("CREATE_COMPLETE", description="A shop")
    assert (finding.verdict, finding.found) == (
        "fail",
        "Tidemill-prod is CREATE_COMPLETE, and was not made by this app",
    )


def new_account(**facts: Any) -> dict[str, Any]:
    return {"limits": Limits(concurrency=10, unreserved=10, code_bytes=8 * 10**10, code_used=0), **facts}


def test_a_new_account_is_told_the_quota_to_ask_for() -> None:
    finding = of_account("concurrency", **new_account())
    assert finding.verdict == "warn"
    assert "10 executions at once" in finding.found
    assert "want 16" in finding.found
    assert "L-B99A9384" in finding.remedy


def test_a_new_account_may_refuse_large_functions_until_one_was_made() -> None:
    finding = of_account("memory", **new_account(stack=None))
    assert finding.verdict == "warn"
    assert finding.found.startswith("train want 4,096 MB")
    assert "memory.train = 3008" in finding.remedy
    assert of_account("memory", **new_account()).verdict == "ok"
    never_made = Deployed(status="ROLLBACK_COMPLETE", description="Tidemill")
    assert of_account("memory", **new_account(stack=never_made)).verdict == "warn"
    small = replace(NEEDS, memory={"train": 3008})
    assert of_account("memory", small, **new_account(stack=None)).verdict == "ok"


def test_code_storage_that_runs_out_is_told_before_it_has() -> None:
    full = Limits(concurrency=1000, unreserved=1000, code_bytes=100, code_used=90)
    assert of_account("code storage", limits=full).verdict == "warn"


def test_an_endpoint_that_anybody_may_call_is_pointed_out() -> None:
    assert of_account("authorization", replace(NEEDS, unsigned=True)).verdict == "warn"


@pytest.mark.parametrize(
    ("facts", "check", "verdict", "words"),
    [
        ({"endpoint": None}, "local cloud", "warn", "not running"),
        ({"endpoint": None}, "port", "warn", "something else listens on 4566"),
        ({"endpoint": None, "port_taken": False}, "port", "ok", "4566 is free"),
        ({"stack": None}, "stack", "warn", "nothing is deployed"),
        ({"stack": "ROLLBACK_COMPLETE"}, "stack", "fail", "ROLLBACK_COMPLETE"),
        ({"stack": "UPDATE_FAILED"}, "stack", "fail", "UPDATE_FAILED"),
        ({"outdated": True}, "stack", "warn", "of other sources"),
        ({"writable": False}, "state folder", "fail", "cannot be written to"),
    ],
)
def test_the_local_cloud_is_told_what_it_lacks(facts: dict[str, Any], check: str, verdict: str, words: str) -> None:
    finding = the(check, examine_local(replace(LOCAL, **facts)))
    assert (finding.verdict, words in finding.found) == (verdict, True), finding
    assert bool(finding.remedy) == (verdict in ("warn", "fail"))


def test_a_local_cloud_that_does_not_answer_fails() -> None:
    (finding,) = examine_local(Unknown("no answer"))
    assert finding.verdict == "fail"
    assert "does not answer: no answer" in finding.found
