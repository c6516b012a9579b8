from dataclasses import fields
from typing import Any

import pytest

from infra.app import ROOT
from infra.config import ENVIRONMENTS, SETTINGS, Environment, SettingsError, read_environment


def problems(context: dict[str, object] | None = None, text: str = "") -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        read_environment(context or {}, text)
    return caught.value.problems


def test_environment_is_dev_unless_told() -> None:
    assert read_environment({}) == ENVIRONMENTS["dev"]


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environment_is_its_defaults_where_nothing_is_said(name: str) -> None:
    assert read_environment({"environment": name}) == ENVIRONMENTS[name]


def test_every_field_is_a_setting_and_every_setting_a_field() -> None:
    own = {one.name for one in fields(Environment)} - {"name", "memory"}
    assert {key for key in SETTINGS if not key.startswith("memory.")} == own


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_defaults_are_within_their_bounds(name: str) -> None:
    environment = ENVIRONMENTS[name]
    values = {one.name: getattr(environment, one.name) for one in fields(Environment)}
    memory = {f"memory.{function}": size for function, size in values.pop("memory").items()}
    del values["name"]
    for key, value in {**values, **memory}.items():
        assert SETTINGS[key].accepts(value), key


def test_calls_must_be_signed_everywhere_but_on_the_local_cloud() -> None:
    unsigned = {name for name, environment in ENVIRONMENTS.items() if environment.authorization == "NONE"}
    assert unsigned == {"local"}


def test_only_prod_keeps_its_data() -> None:
    assert {name for name, environment in ENVIRONMENTS.items() if environment.keeps_data} == {"prod"}


def test_what_costs_while_it_is_not_used_is_off() -> None:
    on = [one.name for one in ENVIRONMENTS.values() if one.snapstart or one.provisioned_concurrency]
    assert on == []


def test_what_lambda_does_not_take_together_is_refused() -> None:
    (said,) = problems({"snapstart": "true", "provisioned_concurrency": "2"})
    assert said == "dev: snapstart and provisioned_concurrency exclude each other on Lambda: take one of the two away"


FILE = """
[aws]
notice_email = "ops@example.org"
capture_days = 60

[prod]
capture_days = 90
memory.train = 8192

[local]
log_days = 3
"""


def test_a_section_goes_over_what_all_on_aws_have_and_that_over_the_defaults() -> None:
    prod = read_environment({"environment": "prod"}, FILE)
    assert (prod.notice_email, prod.capture_days, prod.log_days) == ("ops@example.org", 90, 180)
    assert prod.memory == {"infer": 1769, "train": 8192}
    assert read_environment({}, FILE).capture_days == 60


def test_what_all_on_aws_have_is_not_for_the_local_cloud() -> None:
    local = read_environment({"environment": "local"}, FILE)
    assert (local.notice_email, local.capture_days, local.log_days) == ("", 30, 3)


def test_what_the_command_line_says_goes_over_the_file_and_is_text() -> None:
    said = {"environment": "prod", "capture_days": "7", "snapstart": "true", "memory.train": "512"}
    prod = read_environment(said, FILE)
    assert (prod.capture_days, prod.snapstart, prod.memory["train"]) == (7, True, 512)


def test_context_of_cdk_is_left_alone() -> None:
    of_cdk: dict[str, object] = {"@aws-cdk/core:x": True, "aws:cdk:bundling-stacks": [], "vpc:account=1": {}}
    assert read_environment(of_cdk) == ENVIRONMENTS["dev"]


@pytest.mark.parametrize(
    ("context", "sentence"),
    [
        ({"environment": "prd"}, '-c environment = "prd": one of local, dev, staging, prod is expected'),
        ({"environment": 7}, "-c environment = 7: one of local, dev"),
        ({"enviroment": "prod"}, "-c setting 'enviroment' is unknown; did you mean environment?"),
        ({"qwx": "1"}, "-c setting 'qwx' is unknown; known are: environment, architecture, authorization,"),
        ({"architecture": "arm"}, '-c architecture = "arm": one of x86_64, arm64 is expected'),
        ({"runtime": "python3.11"}, '-c runtime = "python3.11": one of python3.12, python3.13 is expected'),
        ({"runtime": ["python3.13"]}, '-c runtime = ["python3.13"]: one of'),
        ({"snapstart": "yes"}, '-c snapstart = "yes": true or false is expected'),
        ({"keeps_data": "1"}, "-c keeps_data = 1: true or false is expected"),
        ({"log_days": "8"}, "-c log_days = 8: one of 1, 3, 5, 7, 14,"),
        ({"log_days": "true"}, "-c log_days = true: one of 1, 3, 5"),
        ({"capture_days": "0"}, "-c capture_days = 0: a whole number from 1 to 3,650 is expected"),
        ({"capture_days": "1.5"}, "-c capture_days = 1.5: a whole number"),
        ({"memory.infer": "127"}, "-c memory.infer = 127: a whole number from 128 to 10,240 is expected"),
        ({"memory.infr": "512"}, "-c setting 'memory.infr' is unknown; did you mean memory.infer?"),
        ({"notice_email": "ops"}, '-c notice_email = "ops": an e-mail address, or "" for none is expected'),
    ],
)
def test_a_wrong_value_is_one_sentence_that_says_what_is_expected(context: dict[str, object], sentence: str) -> None:
    (problem,) = problems(context)
    assert problem.startswith(sentence), problem


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[prod\n", "environments.toml is not TOML: "),
        (
            'notice_email = "a@b.org"',
            "environments.toml: notice_email stands in no section; write it below one of [aws],",
        ),
        ("[production]", "environments.toml: section 'production' is unknown; did you mean prod?"),
        ("[dev]\nlog_day = 7", "environments.toml [dev] setting 'log_day' is unknown; did you mean log_days?"),
        ('[dev]\nlog_days = "7"', 'environments.toml [dev] log_days = "7": one of 1, 3, 5'),
        ("[dev]\nmemory = 512", "environments.toml [dev] setting 'memory' is unknown"),
        ("[dev]\nsnapstart = 1979-05-27", 'environments.toml [dev] snapstart = "1979-05-27": true or false'),
    ],
)
def test_a_wrong_line_of_the_file_is_named_with_its_section(text: str, sentence: str) -> None:
    (problem,) = problems(text=text)
    assert problem.startswith(sentence), problem


def test_sections_of_other_environments_are_checked_as_well() -> None:
    assert len(problems({"environment": "dev"}, "[prod]\nlog_days = 8\nmemory.infer = 1\n[staging]\nx = 1")) == 3


def shown(value: Any) -> str:
    return (
        {True: "true", False: "false", "": "none"}.get(value, str(value)) if type(value) in (bool, str) else str(value)
    )


def test_the_table_in_the_documents_has_every_setting_with_its_defaults() -> None:
    text = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")
    ]
    table = {row[0].strip("`"): row[1:5] for row in rows}
    for key in SETTINGS:
        if key == "runtime" or key.startswith("memory."):
            continue
        defaults = [shown(getattr(ENVIRONMENTS[name], key)) for name in ("local", "dev", "staging", "prod")]
        assert table[key] == defaults, key
    assert {"runtime", "memory.FUNCTION"} <= set(table)
