import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra.app import ROOT
from infra.lock import DEV, LAYERS, LOCKS, NotLockedError, lock, sources
from infra.packages import Pin, read_pins

EACH_LOCK = pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)

_REGISTRY = re.compile(r"https?://[^\s\"'`)>]*(pypi|pythonhosted|npmjs|/simple\b)|--(extra-)?index-url|--find-links")


def pins(path: Path) -> list[Pin]:
    return read_pins((ROOT / path).read_text(encoding="utf-8"))


def requirements(path: Path) -> list[Requirement]:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def named_as_reason(path: Path) -> dict[str, set[str]]:
    """Source → the packages that stand in the lock since the source names them, as uv notes beneath each."""
    found: dict[str, set[str]] = {}
    package = ""
    for line in (ROOT / path).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", " ")):
            package = canonicalize_name(re.split("[=[ ]", line)[0])
        elif reason := re.search(r"#.* -r (\S+)$", line):
            found.setdefault(reason[1], set()).add(package)
    return found


@EACH_LOCK
def test_every_line_of_a_lock_has_one_version_and_hashes(path: Path) -> None:
    assert all(re.fullmatch(r"==[\w.!+-]+", pin.specifier) for pin in pins(path))
    assert all(pin.hashes and all(re.fullmatch("sha256:[0-9a-f]{64}", one) for one in pin.hashes) for pin in pins(path))


@EACH_LOCK
def test_lock_names_no_place_to_take_packages_from(path: Path) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert "://" not in text
    assert not [line for line in text.splitlines() if line.startswith("-")]


@EACH_LOCK
def test_every_requirement_is_locked_at_a_version_that_it_allows(path: Path) -> None:
    locked = [(pin.name, pin.version) for pin in pins(path)]
    for requirement in (one for source in sources(path) for one in requirements(source)):
        versions = [version for name, version in locked if name == canonicalize_name(requirement.name)]
        assert versions, requirement
        assert all(requirement.specifier.contains(version, prereleases=True) for version in versions), requirement


@EACH_LOCK
def test_nothing_is_locked_for_a_requirement_that_is_gone(path: Path) -> None:
    assert named_as_reason(path) == {
        str(source): {canonicalize_name(one.name) for one in requirements(source)} for source in sources(path)
    }


def test_every_version_in_the_layers_is_one_that_developers_have() -> None:
    assert {(pin.name, pin.version) for pin in pins(LAYERS)} <= {(pin.name, pin.version) for pin in pins(DEV)}


def test_no_file_names_a_registry() -> None:
    """Where packages come from is a matter of the machine: a mirror's host would break every other one."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    texts = {name: (ROOT / name).read_bytes().decode(errors="replace") for name in listed if (ROOT / name).is_file()}
    assert texts
    assert not {name for name, text in texts.items() if _REGISTRY.search(text) and ROOT / name != Path(__file__)}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "requirements").mkdir()
    for path in LOCKS:
        (tmp_path / path).write_text("old")
    return tmp_path


def test_layers_are_locked_within_what_developers_have(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[Sequence[str]] = []
    monkeypatch.setattr("subprocess.run", lambda command, **_: commands.append(command))
    lock(upgrade=True, root=project)
    developers, layers = commands
    assert "--upgrade" in developers
    assert layers[layers.index("--constraints") + 1] == str(DEV)
    assert all("--generate-hashes" in command for command in commands)


def test_second_lock_that_fails_takes_the_first_back(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def solve(command: Sequence[str], cwd: Path, check: bool) -> None:
        path = Path(command[command.index("--output-file") + 1])
        (cwd / path).write_text("new")
        if path == LAYERS:
            raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr("subprocess.run", solve)
    with pytest.raises(NotLockedError, match="the locks are as they were"):
        lock(root=project)
    assert {(project / path).read_text() for path in LOCKS} == {"old"}
