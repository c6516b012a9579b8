import pytest
from cfnlint.api import lint

from infra.config import ENVIRONMENTS
from tests.infra.conftest import Synthesized

IGNORED = {
    "W3005": "CDK lets what has a role wait for the role and its policy; the first would follow from the reference",
}


@pytest.fixture(scope="module")
def found(synthesized: Synthesized) -> set[tuple[str, str]]:
    """Rule and message of every error and every warning, of all environments."""
    texts = [synthesized(name).text for name in ENVIRONMENTS]
    return {(match.rule.id, f"{match.rule.id}: {match.message}") for text in texts for match in lint(text)}


def test_templates_are_clean_by_cfn_lint(found: set[tuple[str, str]]) -> None:
    assert sorted(message for rule, message in found if rule not in IGNORED) == []


def test_no_rule_is_ignored_that_finds_nothing(found: set[tuple[str, str]]) -> None:
    assert set(IGNORED) <= {rule for rule, _ in found}
