"""Builds the real layers (from an index, once) and goes the whole loop on them alone, as Lambda does.

Handlers run unchanged, each call in a clean interpreter of the runtime's version, on the stores of a local cloud.
"""

import platform
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from infra.bundling import Bundle, build, check, find_compiler
from infra.packages import DEPENDENCY_LAYERS, MACHINES, RUNTIMES, Target
from infra.stages import STAGES, Stage
from tests.cloud import ACCOUNT, CREDENTIALS, Cloud, account
from tests.infra.clean_interpreter import CleanInterpreter, bring_sdk, leave_out, libraries
from tests.infra.stage_cases import Call, loop
from tidemill_cli.local.process import MiniStack

pytestmark = pytest.mark.slow

LAYERS = pytest.mark.parametrize("layer", DEPENDENCY_LAYERS)

_OF_ONNXRUNTIME = "onnxruntime requires it, for tools and not for a session: what is locked stays a closed set"
NEVER_MISSED: Mapping[str, Mapping[str, str]] = {
    "powertools": {"jmespath": "the runtime's own takes its place, of a version that is not ours to choose"},
    "export": {"flatbuffers": _OF_ONNXRUNTIME, "packaging": _OF_ONNXRUNTIME},
    "serve": {"flatbuffers": _OF_ONNXRUNTIME, "packaging": _OF_ONNXRUNTIME, "protobuf": _OF_ONNXRUNTIME},
    "score": {"flatbuffers": _OF_ONNXRUNTIME, "packaging": _OF_ONNXRUNTIME, "protobuf": _OF_ONNXRUNTIME},
}
"""Layer → libraries without which every stage works, and why they are shipped all the same."""


@dataclass(repr=False)
class Walk:
    """The whole loop. `trouble`: how it ended early; `missed`: a layer's library → how a call failed without it.

    Each call is first made without one library, for each that was not missed before. That it works after that, on all
    of its layers, shows that it was the library and not the repetition.
    """

    bundle: Bundle
    interpreter: CleanInterpreter
    views: Path
    worked: set[str] = field(default_factory=set)
    trouble: str = ""
    missed: dict[tuple[str, str], str] = field(default_factory=dict)

    def go(self, calls: Generator[Call, Any, None]) -> None:
        answer = None
        try:
            while True:
                call = calls.send(answer)
                stage = next(stage for stage in STAGES if stage.name == call.stage)
                layers = {layer: self.bundle.folders[layer] for layer in stage.all_layers}
                self._go_without(stage, call, layers)
                reply = self.interpreter.invoke(stage, call.event, list(layers.values()))
                if reply.error:
                    raise AssertionError(reply.error)
                answer = reply.answer
                self.worked.add(stage.name)
        except StopIteration:
            pass
        except AssertionError as error:
            self.worked.discard(call.stage)
            self.trouble = f"{call}: {error}"

    def _go_without(self, stage: Stage, call: Call, layers: Mapping[str, Path]) -> None:
        for layer in (layer for layer in stage.all_layers if layer in DEPENDENCY_LAYERS):
            for library in self.bundle.packages[layer]:
                if (layer, library) in self.missed:
                    continue
                view = self.views / f"{layer}-without-{library}"
                if not view.exists():
                    leave_out(library, layers[layer], view)
                reply = self.interpreter.invoke(stage, call.event, list({**layers, layer: view}.values()))
                if reply.error:
                    self.missed[layer, library] = f"{call}: {reply.error.splitlines()[-1]}"


@pytest.fixture(scope="module", params=RUNTIMES)
def target(request: pytest.FixtureRequest) -> Target:
    architectures = {machine: architecture for architecture, machine in MACHINES.items()}
    target = Target(runtime=request.param, architecture=architectures[platform.machine()])
    if find_compiler(target) is None:
        pytest.skip(f"no {target.runtime} on this machine")
    return target


@pytest.fixture(scope="module")
def bundle(target: Target) -> Bundle:
    return build(target)


@pytest.fixture(scope="module")
def walk(target: Target, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Walk:
    python = find_compiler(target)
    assert python
    sdk, views = tmp_path_factory.mktemp("runtime"), tmp_path_factory.mktemp("views")
    bring_sdk(sdk)
    ministack = MiniStack(tmp_path_factory.mktemp("stores"), port=0)
    aws = {"AWS_ENDPOINT_URL": ministack.start().endpoint, "AWS_ACCESS_KEY_ID": ACCOUNT}
    walk = Walk(bundle, CleanInterpreter(python, sdk, {**CREDENTIALS, **aws}), views)
    try:
        with account(**aws) as stores:
            walk.go(loop(Cloud(stores, {})))
    finally:
        ministack.stop()
    return walk


def test_every_function_fits(bundle: Bundle) -> None:
    check(bundle)


@LAYERS
def test_layer_holds_its_libraries_and_nothing_beside_them(layer: str, bundle: Bundle) -> None:
    found = libraries(bundle.folders[layer])
    whole = {library for library, names in found.items() if any(not name.endswith(".dist-info") for name in names)}
    assert whole == set(found) == set(bundle.packages[layer])


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_stage_does_its_work_on_its_layers_alone(stage: Stage, walk: Walk) -> None:
    assert stage.name in walk.worked, walk.trouble


def test_loop_on_the_layers_comes_to_its_end(walk: Walk) -> None:
    assert not walk.trouble


@LAYERS
def test_stage_fails_without_any_one_library_of_its_layers(layer: str, bundle: Bundle, walk: Walk) -> None:
    """All stages work without those that it names: take them out of the layer, or say in the table why they stay."""
    assert not walk.trouble
    not_missed = {library for library in bundle.packages[layer] if (layer, library) not in walk.missed}
    assert not_missed == set(NEVER_MISSED.get(layer, ()))


def test_library_is_missed_as_one_that_cannot_be_imported(walk: Walk) -> None:
    """And not for another reason, such as a store that did not answer."""
    assert all("ModuleNotFoundError" in how for how in walk.missed.values()), walk.missed
