import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from infra import kept
from infra.app import ROOT

HALF = """
import sys
from pathlib import Path
from infra import kept

def make(folder: Path) -> None:
    (folder / "half").write_text("half")
    print("half", flush=True)
    sys.stdin.read()

kept.once(Path(sys.argv[1]), make, print)
"""


def whole(folder: Path) -> None:
    (folder / "whole").write_text("whole")


def once(folder: Path) -> Path:
    return kept.once(folder, whole, pytest.fail)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"lock"}


def test_what_is_kept_is_not_made_again(tmp_path: Path) -> None:
    once(tmp_path / "a-1")
    kept.once(tmp_path / "a-1", lambda _: pytest.fail("made again"), pytest.fail)


def test_what_is_put_beside_is_not_kept(tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        whole(folder)
        folder.with_name("scratch").write_text("")

    kept.once(tmp_path / "a-1", make, pytest.fail)
    assert names(tmp_path) == {"a-1"}
    assert names(tmp_path / "a-1") == {"whole"}


def test_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def make(folder: Path) -> None:
        whole(folder)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        kept.once(tmp_path / "a-1", make, pytest.fail)
    assert not names(tmp_path)


def test_build_that_was_killed_is_never_used_and_is_removed_by_the_next(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HALF, str(tmp_path / "a-1")]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as build:
        assert build.stdout is not None
        assert build.stdout.readline() == b"half\n"
        build.send_signal(signal.SIGKILL)
    (left,) = names(tmp_path)
    assert left.startswith("unfinished-")

    def make(folder: Path) -> None:
        assert names(tmp_path) == {folder.parent.name}, "its room on the disk is free before more is needed"
        whole(folder)

    assert names(kept.once(tmp_path / "a-1", make, pytest.fail)) == {"whole"}
    assert names(tmp_path) == {"a-1"}


def test_second_build_waits_for_the_first_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def flock(_: object, how: int) -> None:
        if how & fcntl.LOCK_NB:
            raise BlockingIOError
        seen.append("it is over")

    def make(folder: Path) -> None:
        seen.append("made")
        whole(folder)

    monkeypatch.setattr(fcntl, "flock", flock)
    kept.once(tmp_path / "a-1", make, seen.append)
    assert seen == ["another build is under way, waiting for it", "it is over", "made"]


def test_what_another_build_has_made_meanwhile_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda *_: (tmp_path / "a-1").mkdir())
    kept.once(tmp_path / "a-1", lambda _: pytest.fail("made again"), pytest.fail)


def used(folder: Path, moment: int) -> None:
    os.utime(folder, (moment, moment))


def test_last_two_that_were_used_stay(tmp_path: Path) -> None:
    for moment, name in enumerate(("a-1", "a-2", "b-1")):
        used(once(tmp_path / name), moment)
    once(tmp_path / "a-1")
    once(tmp_path / "a-3")
    assert names(tmp_path) == {"a-1", "a-3", "b-1"}


def test_removal_that_is_cut_short_leaves_nothing_to_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for moment, name in enumerate(("a-1", "a-2")):
        used(once(tmp_path / name), moment)

    def cut_short(folder: Path) -> None:
        (folder / "whole").unlink()
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(kept, "shutil", SimpleNamespace(rmtree=cut_short))
        with pytest.raises(ZeroDivisionError):
            once(tmp_path / "a-3")
    assert names(once(tmp_path / "a-1")) == {"whole"}
