import ast
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions, packages_distributions
from itertools import combinations
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from infra.app import ROOT
from infra.packages import (
    DEPENDENCY_LAYERS,
    OWN_LAYERS,
    LockError,
    Target,
    check_lock,
    deal,
    read_lock,
    read_pins,
    read_roots,
)
from infra.stages import STAGES, Stage

TARGET = Target(runtime="python3.12", architecture="x86_64")
TARGETS = pytest.mark.parametrize(
    "target",
    [
        Target(runtime=runtime, architecture=architecture)
        for runtime in ("python3.12", "python3.13")
        for architecture in ("x86_64", "arm64")
    ],
    ids=str,
)
LAYERS = ROOT / "requirements" / "layers.txt"
DEV = ROOT / "requirements" / "dev.txt"

IN_THE_RUNTIME = {"boto3", "botocore"}


def installed() -> dict[str, list[str]]:
    """Package → what it needs, from the metadata of the developer's environment, which has the same versions."""
    return {canonicalize_name(one.name): one.requires or [] for one in distributions()}


@pytest.fixture(scope="module")
def dealt() -> Mapping[str, frozenset[str]]:
    return deal(read_roots(ROOT), installed(), TARGET)


def imports(node: ast.AST) -> set[str]:
    """All modules that are imported beneath a node, those inside functions too, but not those for the type checker."""
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return set()
        case ast.Import(names=names):
            return {alias.name for alias in names}
        case ast.ImportFrom(module=str(module), names=names):
            return {module, *(f"{module}.{alias.name}" for alias in names)}
    return set().union(*map(imports, ast.iter_child_nodes(node)))


def reachable(stage: str) -> set[str]:
    """Third-party names that a handler imports, itself or through our own modules."""
    folders = [ROOT / "layers" / layer / "python" for layer in OWN_LAYERS]
    waiting = [ROOT / "functions" / stage / "handler.py"]
    seen: set[Path] = set()
    names: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in imports(ast.parse(path.read_text(encoding="utf-8"))):
            waiting += [path for folder in folders for path in modules_of(name, folder)]
            names.add(name.partition(".")[0])
    return names - set(sys.stdlib_module_names) - set(OWN_LAYERS.values())


def modules_of(name: str, folder: Path) -> list[Path]:
    """The file of a module. Of the own estimators' package all: which one is imported is the spec's choice."""
    path = folder.joinpath(*name.split("."))
    if name == OWN_LAYERS["estimators"]:
        return list(path.glob("*.py"))
    return [path.with_suffix(".py")] if path.with_suffix(".py").exists() else []


def requires(**packages: Sequence[str]) -> dict[str, Sequence[str]]:
    """A resolved set in which every layer's only root is `base`, unless told otherwise."""
    return {"base": [], **packages}


def roots(**layers: Sequence[str]) -> dict[str, Sequence[str]]:
    return {layer: layers.get(layer, []) for layer in DEPENDENCY_LAYERS}


@TARGETS
def test_layers_hold_the_versions_that_tests_run_with(target: Target) -> None:
    developer = {name: line.split()[0] for name, line in read_lock(DEV, target).items()}
    shipped = {name: line.split()[0] for name, line in read_lock(LAYERS, target).items()}
    assert shipped == {name: developer[name] for name in shipped}


@pytest.mark.parametrize("lock", [LAYERS, DEV], ids=lambda path: path.name)
def test_every_package_is_locked_with_hashes_and_no_index(lock: Path) -> None:
    assert all(" --hash=sha256:" in line for line in read_lock(lock, TARGET).values())
    assert "://" not in lock.read_text(encoding="utf-8")


@TARGETS
def test_every_locked_package_lies_in_a_layer(target: Target) -> None:
    dealt = deal(read_roots(ROOT), installed(), target)
    assert frozenset().union(*dealt.values()) == set(read_lock(LAYERS, target))


def test_sdk_is_not_shipped_since_lambda_has_it() -> None:
    assert not IN_THE_RUNTIME & set(read_lock(LAYERS, TARGET))


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_no_package_is_twice_in_the_layers_of_a_function(stage: Stage, dealt: Mapping[str, frozenset[str]]) -> None:
    layers = [layer for layer in stage.all_layers if layer in dealt]
    assert not any(dealt[one] & dealt[other] for one, other in combinations(layers, 2))


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_layer_comes_with_those_that_it_lies_on(stage: Stage) -> None:
    assert all(set(DEPENDENCY_LAYERS.get(layer, ())) <= set(stage.all_layers) for layer in stage.all_layers)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_function_imports_only_what_its_layers_have(stage: Stage, dealt: Mapping[str, frozenset[str]]) -> None:
    shipped = frozenset().union(*(dealt[layer] for layer in stage.all_layers if layer in dealt)) | IN_THE_RUNTIME
    owners = packages_distributions()
    strangers = {
        name
        for name in reachable(stage.name)
        if not shipped & {canonicalize_name(owner) for owner in owners.get(name, [name])}
    }
    assert not strangers


def test_needs_of_a_package_come_with_it() -> None:
    needs = requires(joblib=["cloudpickle>=1"], cloudpickle=[])
    assert deal(roots(ml=["joblib"]), needs, TARGET)["ml"] == {"joblib", "cloudpickle"}


def test_layer_does_not_repeat_what_lies_beneath_it() -> None:
    needs = requires(onnx=["numpy"], numpy=[])
    dealt = deal(roots(ml=["numpy"], export=["onnx"]), needs, TARGET)
    assert dealt["ml"] == {"numpy"}
    assert dealt["export"] == {"onnx"}


def test_needs_of_other_platforms_and_of_extras_stay_out() -> None:
    needs = requires(pandas=["tzdata; sys_platform == 'win32'", "pytest; extra == 'test'"], tzdata=[], pytest=[])
    assert deal(roots(data=["pandas"]), needs, TARGET)["data"] == {"pandas"}


def test_needs_of_an_extra_that_is_asked_for_come_with_it() -> None:
    needs = requires(alpha=["beta[fast]"], beta=["gamma; extra == 'fast'"], gamma=[])
    assert deal(roots(data=["alpha"]), needs, TARGET)["data"] == {"alpha", "beta", "gamma"}


def test_need_that_is_not_locked_is_named() -> None:
    with pytest.raises(LockError, match="'cloudpickle', which is not locked"):
        deal(roots(ml=["joblib"]), requires(joblib=["cloudpickle"]), TARGET)


def test_marker_is_read_for_lambda_and_not_for_this_python(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(
        "numpy==2.4.6 ; python_full_version < '3.12' \\\n    --hash=sha256:aa\n"
        "numpy==2.5.5 ; python_full_version >= '3.12' \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
        "    # via pandas\n"
        "colorama==0.4.6 ; sys_platform == 'win32' \\\n    --hash=sha256:dd\n"
    )
    assert read_lock(lock, TARGET) == {"numpy": "numpy==2.5.5 --hash=sha256:bb --hash=sha256:cc"}


def test_wheels_of_every_glibc_up_to_that_of_lambda_are_taken() -> None:
    # Amazon Linux 2023 has glibc 2.34.
    assert {"manylinux_2_34_x86_64", "manylinux_2_28_x86_64", "manylinux2014_x86_64"} <= set(TARGET.platforms)
    assert "manylinux_2_35_x86_64" not in TARGET.platforms


LOCKED = "alpha==1.0 --hash=sha256:aa\nbeta==2.0 ; sys_platform == 'win32' --hash=sha256:bb\ngamma==3.0\n"


def misfits(**layers: Sequence[str]) -> str:
    with pytest.raises(LockError) as caught:
        check_lock(read_pins(LOCKED.replace("gamma==3.0\n", "")), roots(**layers), TARGET)
    return str(caught.value)


def test_lock_that_has_all_that_is_asked_for_is_taken() -> None:
    check_lock(read_pins(LOCKED)[:2], roots(ml=["alpha>=1"], export=["Alpha"]), TARGET)


def test_all_that_the_lock_lacks_is_told_at_once_with_the_remedy() -> None:
    assert misfits(data=["delta"], ml=["alpha>=2"]) == (
        "requirements/layers.txt does not fit the layers: data asks for delta, which is not locked; "
        "ml asks for alpha>=2, and 1.0 is locked; run `python -m infra.lock`"
    )


def test_package_that_is_locked_for_another_platform_only_is_lacking() -> None:
    assert "data asks for beta, which is not locked" in misfits(data=["beta"])


def test_package_without_a_hash_is_not_taken() -> None:
    with pytest.raises(LockError, match="gamma is locked without a hash"):
        check_lock(read_pins(LOCKED), roots(), TARGET)


def test_line_that_is_no_requirement_is_told() -> None:
    with pytest.raises(LockError, match="'<<<<<<< HEAD' in the lock is not a requirement: take it out, then run"):
        read_pins(f"<<<<<<< HEAD\n{LOCKED}")


def test_our_lock_has_all_that_our_layers_ask_for() -> None:
    check_lock(read_pins(LAYERS.read_text(encoding="utf-8")), read_roots(ROOT), TARGET)


def test_remarks_in_the_requirements_are_no_packages(tmp_path: Path) -> None:
    for layer in DEPENDENCY_LAYERS:
        (tmp_path / "layers" / layer).mkdir(parents=True)
        (tmp_path / "layers" / layer / "requirements.in").write_text("# Why.\n\nalpha>=1  # not 0\n  # Else.\n")
    assert read_roots(tmp_path) == {layer: ["alpha>=1"] for layer in DEPENDENCY_LAYERS}
