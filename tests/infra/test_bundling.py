import errno
import hashlib
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from zipfile import ZipFile

import pytest

from infra import archive, bundling, elf
from infra.bundling import BUDGET, Bundle, LayersTooLargeError, build, check, find_compiler, table
from infra.packages import DEPENDENCY_LAYERS, OWN_LAYERS, BundlingError, LockError, Target
from tests.infra.test_elf import CODE, assemble

# Not a runtime of Lambda where 3.11 tests, but the one Python that is surely here to compile.
TARGET = Target(runtime=f"python3.{sys.version_info.minor}", architecture="x86_64")


OBJECT = assemble(CODE, rest=b"symbols")


def make_wheel(folder: Path, name: str, files: Mapping[str, str | bytes], requires: str = "") -> str:
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
                "base/fast.so": OBJECT,
            },
        ),
        make_wheel(wheels, "wide", {"wide.py": "import base\n"}, requires="base"),
    ]
    root = tmp_path / "project"
    for layer in (*OWN_LAYERS, *DEPENDENCY_LAYERS):
        (root / "layers" / layer / "python").mkdir(parents=True)
    wanted = {"powertools": "", "data": "base", "ml": "base", "export": "wide", "serve": "wide", "score": "wide"}
    for layer, package in wanted.items():
        (root / "layers" / layer / "requirements.in").write_text(f"{package}\n")
    (root / "layers" / "core" / "python" / "ours.py").write_text("VALUE = 2\n")
    (root / "layers" / "estimators" / "python" / "own.py").write_text("VALUE = 4\n")
    (root / "requirements").mkdir()
    (root / "requirements" / "layers.txt").write_text("\n".join(lines))
    return root


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def of_size(**layers: int) -> Bundle:
    every = {**dict.fromkeys((*OWN_LAYERS, *DEPENDENCY_LAYERS), 0), **layers}
    packages = {layer: {f"of-{layer}": size} for layer, size in every.items()}
    return Bundle(folders={}, packages=packages, digests={}, byte_code=None)


def lock(root: Path) -> Path:
    return root / "requirements" / "layers.txt"


def zips(bundle: Bundle) -> dict[str, bytes]:
    return {layer: bundle.archive(layer).read_bytes() for layer in bundle.folders}


def sentence(root: Path) -> str:
    """Why it cannot be built."""
    with pytest.raises(BundlingError) as caught:
        build(TARGET, root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_packages_lie_in_their_layers_without_repeating_what_is_beneath(project: Path) -> None:
    bundle = build(TARGET, project)
    assert {layer: set(packages) for layer, packages in bundle.packages.items()} == {
        "core": {"tidemill"},
        "estimators": {"tidemill_estimators"},
        "powertools": set(),
        "data": {"base"},
        "ml": {"base"},
        "export": {"wide"},
        "serve": {"base", "wide"},
        "score": {"wide"},
    }


def test_tests_headers_and_stubs_are_pruned(project: Path) -> None:
    built = files(build(TARGET, project).folders["data"])
    assert "python/base/__init__.py" in built
    assert not any(name.endswith((".h", ".pyi")) or "/tests/" in name for name in built)


def test_objects_are_slimmed(project: Path) -> None:
    assert files(build(TARGET, project).folders["data"])["python/base/fast.so"] == elf.slim(OBJECT) != OBJECT


def test_modules_are_compiled_for_good(project: Path) -> None:
    serve = build(TARGET, project).folders["serve"] / "python"
    for byte_code in (serve / "wide.py", serve / "base" / "__init__.py"):
        (compiled,) = byte_code.parent.glob(f"__pycache__/{byte_code.stem}.*.pyc")
        # Flag 0b01: known by a hash of the source, which is never checked.
        assert int.from_bytes(compiled.read_bytes()[4:8], "little") == 0b01


@pytest.mark.parametrize("layer", OWN_LAYERS)
def test_our_own_layers_are_compiled_too(project: Path, layer: str) -> None:
    assert [name for name in files(build(TARGET, project).folders[layer]) if name.endswith(".pyc")]


def test_same_lock_gives_the_same_bytes(project: Path) -> None:
    first = build(TARGET, project)
    before = zips(first)
    (project / ".tidemill").rename(project / "elsewhere")
    second = build(TARGET, project)
    assert zips(second) == before
    assert second.digests == first.digests


def test_zip_of_a_layer_has_all_of_its_folder(project: Path) -> None:
    bundle = build(TARGET, project)
    for layer, folder in bundle.folders.items():
        with ZipFile(bundle.archive(layer)) as zipped:
            assert {name: zipped.read(name) for name in zipped.namelist()} == files(folder)


def test_layers_of_other_content_have_other_digests(project: Path) -> None:
    digests = build(TARGET, project).digests
    assert digests["data"] == digests["ml"], "base alone"
    assert digests["export"] == digests["score"], "wide alone"
    assert len({digests[layer] for layer in digests.keys() - {"ml", "score"}}) == len(digests) - 2


def test_second_build_takes_what_is_kept_without_a_word(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = build(TARGET, project)
    assert "layers: 1/2 processing base 1.0" in capsys.readouterr().err.splitlines()
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    assert build(TARGET, project) == first
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("changed", OWN_LAYERS)
def test_change_of_our_code_builds_its_layer_only(project: Path, changed: str) -> None:
    first = build(TARGET, project).folders
    (project / "layers" / changed / "python" / "new.py").write_text("VALUE = 3\n")
    second = build(TARGET, project).folders
    assert {layer for layer in first if first[layer] != second[layer]} == {changed}


def test_builds_of_two_targets_stand_beside_each_other(project: Path) -> None:
    other = replace(TARGET, architecture="arm64")
    folders = {build(TARGET, project).folders["data"], build(other, project).folders["data"]}
    assert len(folders) == 2
    assert all(folder.exists() for folder in folders)


def test_file_that_is_not_the_locked_one_is_refused_and_leaves_nothing(project: Path) -> None:
    digest = hashlib.sha256(b"another file").hexdigest()
    first, second = lock(project).read_text().splitlines()
    lock(project).write_text(f"{first.partition(':')[0]}:{digest}\n{second}\n")
    assert sentence(project).startswith("base-1.0-py3-none-any.whl is not the file that was locked")
    assert [path.name for path in (project / ".tidemill" / "layers").iterdir()] == ["lock"]


def test_wheel_that_does_not_exist_is_named(project: Path) -> None:
    lock(project).write_text(lock(project).read_text().replace("base==1.0", "base==2.0"))
    assert sentence(project).startswith(f"no wheel of base 2.0 for {TARGET} (cp3")


def test_index_that_cannot_be_reached_is_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name)
    # Nobody listens at the port of "discard".
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9")
    assert sentence(project).startswith("cannot reach the package index at 127.0.0.1 while building the layers for")


def test_lock_that_lacks_a_package_is_told_before_anything_is_built(project: Path) -> None:
    (project / "layers" / "ml" / "requirements.in").write_text("base\nxgboost\n")
    with pytest.raises(LockError, match="ml asks for xgboost, which is not locked"):
        build(TARGET, project)
    assert not (project / ".tidemill").exists()


def test_lock_that_is_not_there_is_told(project: Path) -> None:
    lock(project).unlink()
    assert sentence(project) == f"cannot build the layers for {TARGET}: No such file or directory: {lock(project)}"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT], ids=errno.errorcode.get)
def test_full_disk_is_told_and_leaves_nothing(project: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def fail(*_: object) -> str:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(archive, "write", fail)
        assert sentence(project).startswith("the disk is full: building the layers")
    assert [path.name for path in (project / ".tidemill" / "layers").iterdir()] == ["lock"]
    assert build(TARGET, project).folders["data"].exists()


def test_disk_without_room_is_told_before_anything_is_downloaded(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=999_999_999))
    place = project / ".tidemill" / "layers"
    assert sentence(project) == (
        f"the disk is full: building the layers for {TARGET} takes 1 GB at {place}; make room, then try again"
    )
    assert capsys.readouterr().err == ""


def test_packages_that_share_a_folder_are_told(project: Path) -> None:
    line = make_wheel(project.parent / "wheels", "rival", {"base/more.py": ""})
    lock(project).write_text(f"{lock(project).read_text()}\n{line}\n")
    assert "both install 'base'" in sentence(project)


def test_module_that_does_not_compile_is_told(project: Path) -> None:
    (project / "layers" / "core" / "python" / "ours.py").write_text("def:\n")
    assert "could not compile the layers" in sentence(project)
    assert "ours.py" in sentence(project)


def test_size_counts_every_byte(project: Path) -> None:
    bundle = build(TARGET, project)
    for layer, folder in bundle.folders.items():
        assert bundle.size(layer) == sum(map(len, files(folder).values()))


def test_function_that_lambda_would_refuse_is_named_with_its_biggest_packages(tmp_path: Path) -> None:
    with pytest.raises(LayersTooLargeError) as caught:
        check(of_size(ml=200_000_000, export=62_144_001), tmp_path)
    assert str(caught.value) == (
        "train unzips to 262,144,001 bytes, 1 over the limit of 262,144,000; its biggest packages: "
        "of-ml 200.0 MB, of-export 62.1 MB, of-powertools 0.0 MB, of-estimators 0.0 MB, of-core 0.0 MB"
    )


def test_function_of_exactly_the_limit_is_taken(tmp_path: Path) -> None:
    check(of_size(ml=200_000_000, export=62_144_000), tmp_path)


def test_code_of_the_function_counts_but_not_what_python_left_beside_it(tmp_path: Path) -> None:
    (tmp_path / "functions" / "train" / "__pycache__").mkdir(parents=True)
    (tmp_path / "functions" / "train" / "handler.py").write_text("#")
    (tmp_path / "functions" / "train" / "__pycache__" / "handler.pyc").write_text("#" * 9)
    with pytest.raises(LayersTooLargeError, match=r"\Atrain unzips to 262,144,001"):
        check(of_size(ml=200_000_000, export=62_144_000), tmp_path)


def test_compiler_is_of_the_minor_version_of_the_runtime() -> None:
    assert find_compiler(TARGET) == sys.executable
    assert find_compiler(Target(runtime="python3.2", architecture="x86_64")) is None


def test_table_tells_of_each_function_and_of_the_byte_code(project: Path) -> None:
    bundle = build(TARGET, project)
    heading, _, *rows = table(bundle, TARGET, project)
    assert heading.startswith(f"{TARGET}, byte code of Python {sys.version_info.major}.{sys.version_info.minor}.")
    (train,) = (row.split() for row in rows if row.startswith("train"))
    layers = ("core", "powertools", "ml", "export", "estimators")
    unzipped = sum(bundle.size(layer) for layer in layers)
    zipped = sum(len(zips(bundle)[layer]) for layer in layers)
    # tidemill, base, wide and tidemill_estimators.
    assert train == ["train", *layers, "4", f"{unzipped:,}", f"{zipped:,}", "0.0%"]


def test_table_says_that_there_is_no_byte_code(project: Path) -> None:
    heading, *_ = table(replace(build(TARGET, project), byte_code=None), TARGET, project)
    assert heading == f"{TARGET}, without byte code"


def weighed(bundle: Bundle | BundlingError, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of the command, for one architecture that was built so."""

    def built(_: Target) -> Bundle:
        if isinstance(bundle, BundlingError):
            raise bundle
        return bundle

    monkeypatch.setattr(bundling, "build", built)
    monkeypatch.setattr(bundling, "table", lambda *_: ["the table"])
    return bundling.main(["--architecture", "arm64"])


def test_command_allows_95_percent_and_warns_of_missing_byte_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    room_for_the_code = 10_000
    assert weighed(of_size(ml=BUDGET - room_for_the_code), monkeypatch) == 0
    out, err = capsys.readouterr()
    assert out == "the table\n"
    assert "every cold start compiles" in err


def test_command_fails_above_95_percent_and_names_the_biggest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert BUDGET == 249_036_800
    assert weighed(of_size(ml=BUDGET), monkeypatch) == 2
    out, err = capsys.readouterr()
    assert out == "the table\n"
    assert "over the limit of 249,036,800; its biggest packages: of-ml 249.0 MB" in err


def test_command_tells_what_is_wrong_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert weighed(LockError("the lock is of yesterday"), monkeypatch) == 2
    assert capsys.readouterr() == ("", "the lock is of yesterday\n")


def test_command_builds_both_architectures_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Target] = []

    def build_none(target: Target) -> Bundle:
        built.append(target)
        return of_size()

    monkeypatch.setattr(bundling, "build", build_none)
    monkeypatch.setattr(bundling, "table", lambda *_: ["the table"])
    assert bundling.main(["--runtime", "python3.13"]) == 0
    assert built == [Target(runtime="python3.13", architecture=one) for one in ("x86_64", "arm64")]
