from pathlib import Path
from zipfile import ZipFile

import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Annotations, Match, Template

from infra import bundling
from infra.app import NO_BUNDLING
from infra.bundling import Bundle, LayersTooLargeError
from infra.config import ENVIRONMENTS
from infra.layers import Layers
from infra.packages import DEPENDENCY_LAYERS, OWN_LAYERS

LAYERS = (*OWN_LAYERS, *DEPENDENCY_LAYERS)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    for layer in LAYERS:
        (tmp_path / "layers" / layer).mkdir(parents=True)
        with ZipFile(tmp_path / "layers" / f"{layer}.zip", "w") as zipped:
            zipped.writestr("python/module.py", layer)
    return Bundle(
        folders={layer: tmp_path / "layers" / layer for layer in LAYERS},
        packages={layer: {f"of-{layer}": 1} for layer in LAYERS},
        digests={layer: f"digest-of-{layer}" for layer in LAYERS},
        byte_code=None,
    )


def stack(bundle: Bundle, monkeypatch: pytest.MonkeyPatch, environment: str = "dev", **context: object) -> Stack:
    monkeypatch.setattr(bundling, "build", lambda *_: bundle)
    stack = Stack(App(context=context, analytics_reporting=False), "Layers")
    Layers(stack, "Layers", root=bundle.folders["core"].parents[1], environment=ENVIRONMENTS[environment])
    return stack


def keys(stack: Stack) -> dict[str, str]:
    layers = Template.from_stack(stack).find_resources("AWS::Lambda::LayerVersion").values()
    return {layer["Properties"]["Description"].split()[-1]: layer["Properties"]["Content"]["S3Key"] for layer in layers}


def test_layer_is_deployed_anew_only_when_what_it_holds_has_changed(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = keys(stack(bundle, monkeypatch))
    assert before.keys() == set(LAYERS)
    assert all(key.endswith(".zip") for key in before.values())
    # Zipped anew, by another zlib.
    for layer in LAYERS:
        bundle.archive(layer).write_bytes(bundle.archive(layer).read_bytes() + b"\0")
    assert isinstance(bundle.digests, dict)
    bundle.digests["ml"] = "another"
    after = keys(stack(bundle, monkeypatch))
    assert {layer for layer in LAYERS if before[layer] != after[layer]} == {"ml"}


def test_missing_byte_code_is_a_warning(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    said = Match.string_like_regexp("every cold start compiles for seconds")
    Annotations.from_stack(stack(bundle, monkeypatch)).has_warning("/Layers/Layers", said)


def test_layers_that_lambda_would_refuse_are_not_synthesized(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(bundle.packages, dict)
    bundle.packages["ml"] = {"huge": bundling.LIMIT}
    with pytest.raises(LayersTooLargeError, match="train unzips to"):
        stack(bundle, monkeypatch)


@pytest.mark.parametrize(("environment", "context"), [("local", {}), ("dev", NO_BUNDLING)], ids=["local", "tests"])
def test_nothing_is_built_where_nobody_needs_it(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, environment: str, context: dict[str, object]
) -> None:
    one = stack(bundle, monkeypatch, environment, **context)
    monkeypatch.setattr(bundling, "build", lambda *_: pytest.fail("built"))
    assert keys(one).keys() == set(LAYERS)
