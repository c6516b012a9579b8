"""The shapes of the function that serves: called directly, or by an alias of a published version."""

from pathlib import Path

import pytest

from infra.app import NO_BUNDLING, synthesize
from infra.packages import DEPENDENCY_LAYERS, OWN_LAYERS
from tests.infra.template import Template

VERSION, ALIAS = "AWS::Lambda::Version", "AWS::Lambda::Alias"


def built(folder: Path, **context: object) -> Template:
    synthesize({**NO_BUNDLING, **context}, outdir=folder)
    return Template.load(folder / "Tidemill-dev.template.json")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return built(tmp_path_factory.mktemp("snapstart"), snapstart=True)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return built(tmp_path_factory.mktemp("provisioned"), provisioned_concurrency=3)


def test_copies_that_are_kept_ready_are_of_the_version_that_the_api_calls(ready: Template) -> None:
    alias = ready.the(ALIAS)
    assert alias["ProvisionedConcurrencyConfig"] == {"ProvisionedConcurrentExecutions": 3}
    assert [ready.show(alias["FunctionVersion"])] == list(ready.of_type(VERSION))
    assert callees(ready) == set(ready.of_type(ALIAS))
    assert not any("SnapStart" in function for function in ready.functions.values())


def callees(template: Template) -> set[str]:
    """What the API may call, and does."""
    uris = [template.show(one["Integration"]["Uri"]) for one in template.of_type("AWS::ApiGateway::Method").values()]
    called = {uri.rpartition("functions/")[2].partition("/")[0] for uri in uris}
    allowed = {
        template.show(one["FunctionName"])
        for one in template.of_type("AWS::Lambda::Permission").values()
        if one["Principal"] == "apigateway.amazonaws.com"
    }
    assert called == allowed
    return called


def test_without_it_nothing_is_published(template: Template) -> None:
    assert not template.of_type(VERSION)
    assert not template.of_type(ALIAS)
    assert not any("SnapStart" in function for function in template.functions.values())
    assert callees(template) <= set(template.of_type("AWS::Lambda::Function"))


def test_with_it_only_infer_is_snapped(started: Template) -> None:
    snapped = {name for name, function in started.functions.items() if "SnapStart" in function}
    assert snapped == {"infer"}
    assert started.functions["infer"]["SnapStart"] == {"ApplyOn": "PublishedVersions"}


def test_with_it_the_api_calls_the_alias_of_the_published_version(started: Template) -> None:
    (version,) = started.of_type(VERSION)
    (alias,) = started.of_type(ALIAS)
    assert started.show(started.the(ALIAS)["FunctionVersion"]) == version
    assert callees(started) == {alias}


def test_the_version_before_is_kept_to_go_back_to(started: Template) -> None:
    (version,) = started.of_type(VERSION)
    assert started.policies_of(version) == ["Retain", "Retain"]


@pytest.mark.parametrize("setting", [{"memory.infer": 2048}, {"architecture": "arm64"}])
def test_a_change_of_the_function_publishes_another_version(
    started: Template, tmp_path: Path, setting: dict[str, object]
) -> None:
    changed = built(tmp_path, snapstart=True, **setting)
    assert set(changed.of_type(VERSION)) != set(started.of_type(VERSION))


def test_a_change_of_the_core_publishes_another_version(
    started: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All our code is in a layer: an alias of a version that does not follow it would serve the old code for ever."""
    from aws_cdk.aws_lambda import Code  # noqa: PLC0415

    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "changed.py").write_text("x = 1")
    monkeypatch.setattr(
        "infra.layers.Layers._contents",
        lambda *_: dict.fromkeys((*OWN_LAYERS, *DEPENDENCY_LAYERS), Code.from_asset(str(tmp_path / "core"))),
    )
    changed = built(tmp_path / "out", snapstart=True)
    assert set(changed.of_type(VERSION)) != set(started.of_type(VERSION))
