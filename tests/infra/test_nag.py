import dataclasses

import pytest

from infra.config import ENVIRONMENTS
from infra.nag import SUPPRESSIONS, Finding, Suppression, findings, problems

ONE = Suppression("S1", ("Storage/Data",), "a reason", environments=("dev",))


@pytest.fixture(scope="module")
def found() -> set[Finding]:
    return {finding for name in ENVIRONMENTS for finding in findings(name)}


def test_every_finding_of_the_pack_has_its_reason_and_no_reason_is_idle(found: set[Finding]) -> None:
    assert problems(found, SUPPRESSIONS) == []


def test_calls_that_nobody_signs_are_a_finding_everywhere_but_on_a_laptop(found: set[Finding]) -> None:
    unsigned = {finding for finding in found if finding.rule == "APIG4" and "/ANY" in finding.where}
    assert {finding.environment for finding in unsigned} == {"local"}
    as_in_dev = {dataclasses.replace(finding, environment="dev") for finding in unsigned}
    told = [problem for problem in problems(as_in_dev, SUPPRESSIONS) if problem.startswith("not suppressed: dev")]
    assert len(told) == len(unsigned) > 0


def test_finding_that_nothing_suppresses_is_told_with_its_place() -> None:
    new = Finding("dev", "S1", "Storage/Models")
    assert problems({*ONE.findings(), new}, [ONE]) == ["not suppressed: dev: S1 Storage/Models"]


def test_suppression_of_nothing_is_told_since_it_would_hide_what_comes_next() -> None:
    assert problems(set(), [ONE]) == ["suppressed, and not found: dev: S1 Storage/Data"]


def test_wildcards_are_suppressed_one_by_one() -> None:
    assert all(one.details != ("",) for one in SUPPRESSIONS if one.rule.startswith("IAM"))
