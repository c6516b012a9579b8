import hashlib
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZipFile

import pytest

from infra.bundling import Bundle, LayersTooLargeError, build, check, find_compiler
from infra.packages import DEPENDENCY_LAYERS, Target

# Not a runtime of Lambda where 3.11 tests, but the one Python that is surely here to compile.
TARGET = Target(runtime=f"python3.{sys.version_info.minor}", architecture="x86_64")


def make_wheel(folder: Path, name: str, files: Mapping[str, str], requires: str = "") -> str:
    """Writes a wheel and answers with its line in the lock."""
    info = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    content = {
        **files,
        f"{info}/METADATA": metadata + (f"Requires-Dist: {requires}\n" if requires else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    content[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*content, f"{info}/RECORD"])
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    with ZipFile(wheel, "w") as archive:
        for path, text in content.items():
            archive.writestr(path, text)
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project, whose packages are wheels in a folder: `wide` needs `base`, on which it may lie."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    lines = [
        make_wheel(
            wheels,
            "base",
            {
                "base/__init__.py": "VALUE = 1\n",
                "base/tests/test_base.py": "",
                "base/include/base.h": "",
                "base/stub.pyi": "",
            },
        ),
        make_wheel(wheels, "wide", {"wide.py": "import base\n"}, requires="base"),
    ]
    root = tmp_path / "project"
    for layer in ("core", *DEPENDENCY_LAYERS):
        (root / "layers" / layer / "python").mkdir(parents=True)
    for layer, package in {"powertools": "", "data": "base", "ml": "base", "export": "wide", "serve": "wide"}.items():
        (root / "layers" / layer / "requirements.in").write_text(f"{package}\n")
    (root / "layers" / "core" / "python" / "ours.py").write_text("VALUE = 2\n")
    (root / "requirements").mkdir()
    (root / "requirements" / "layers.txt").write_text("\n".join(lines))
    return root


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def of_size(**layers: int) -> Bundle:
    every = {"core": 0, **dict.fromkeys(DEPENDENCY_LAYERS, 0), **layers}
    return Bundle(folders={}, packages={layer: {f"of-{layer}": size} for layer, size in every.items()})


def test_packages_lie_in_their_layers_without_repeating_what_is_beneath(project: Path) -> None:
    bundle = build(TARGET, project)
    assert {layer: set(packages) for layer, packages in bundle.packages.items()} == {
        "core": {"tidemill"},
        "powertools": set(),
        "data": {"base"},
        "ml": {"base"},
        "export": {"wide"},
        "serve": {"base", "wide"},
    }


def test_tests_headers_and_stubs_are_pruned(project: Path) -> None:
    built = files(build(TARGET, project).folders["data"])
    assert "python/base/__init__.py" in built
    assert not any(name.endswith((".h", ".pyi")) or "/tests/" in name for name in built)


def test_modules_are_compiled_for_good(project: Path) -> None:
    serve = build(TARGET, project).folders["serve"] / "python"
    for byte_code in (serve / "wide.py", serve / "base" / "__init__.py"):
        (compiled,) = byte_code.parent.glob(f"__pycache__/{byte_code.stem}.*.pyc")
        # Flag 0b01: known by a hash of the source, which is never checked.
        assert int.from_bytes(compiled.read_bytes()[4:8], "little") == 0b01


def test_our_own_layer_is_compiled_too(project: Path) -> None:
    assert [name for name in files(build(TARGET, project).folders["core"]) if name.endswith(".pyc")]


def test_same_lock_gives_the_same_bytes(project: Path) -> None:
    first = {layer: files(folder) for layer, folder in build(TARGET, project).folders.items()}
    (project / ".tidemill").rename(project / "elsewhere")
    assert {layer: files(folder) for layer, folder in build(TARGET, project).folders.items()} == first


def test_second_build_takes_what_is_kept(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build(TARGET, project)
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    assert build(TARGET, project) == first


def test_change_of_our_code_builds_our_layer_only(project: Path) -> None:
    first = build(TARGET, project).folders
    (project / "layers" / "core" / "python" / "ours.py").write_text("VALUE = 3\n")
    second = build(TARGET, project).folders
    assert {layer for layer in first if first[layer] != second[layer]} == {"core"}


def test_build_that_fails_leaves_nothing_to_be_used(project: Path) -> None:
    lock = project / "requirements" / "layers.txt"
    lock.write_text(lock.read_text().replace("sha256:", "sha256:0", 1)[:-1])
    with pytest.raises(subprocess.CalledProcessError):
        build(TARGET, project)
    assert not list((project / ".tidemill" / "layers").iterdir())


def test_size_counts_every_byte(project: Path) -> None:
    bundle = build(TARGET, project)
    for layer, folder in bundle.folders.items():
        assert bundle.size(layer) == sum(map(len, files(folder).values()))


def test_function_that_lambda_would_refuse_is_named_with_its_biggest_packages(tmp_path: Path) -> None:
    with pytest.raises(LayersTooLargeError) as caught:
        check(of_size(ml=200_000_000, export=62_144_001), tmp_path)
    first, second = str(caught.value).splitlines()
    assert first == (
        "train unzips to 262,144,001 bytes, 1 over the limit of 262,144,000; its biggest packages: "
        "of-ml 200.0 MB, of-export 62.1 MB, of-powertools 0.0 MB, of-core 0.0 MB"
    )
    assert second.startswith("validate unzips to")


def test_function_of_exactly_the_limit_is_taken(tmp_path: Path) -> None:
    check(of_size(ml=200_000_000, export=62_144_000), tmp_path)


def test_code_of_the_function_counts(tmp_path: Path) -> None:
    (tmp_path / "functions" / "train").mkdir(parents=True)
    (tmp_path / "functions" / "train" / "handler.py").write_text("#")
    with pytest.raises(LayersTooLargeError, match=r"\Atrain unzips to 262,144,001"):
        check(of_size(ml=200_000_000, export=62_144_000), tmp_path)


def test_compiler_is_of_the_minor_version_of_the_runtime() -> None:
    assert find_compiler(TARGET) == sys.executable
    assert find_compiler(Target(runtime="python3.2", architecture="x86_64")) is None
