"""A MiniStack is what holds the folder's lock, whatever the folder says."""

import fcntl
import json
import os
from pathlib import Path

import pytest

from tidemill_cli.local.process import Instance, MiniStack


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """As a MiniStack with this test's pid writes it."""
    path = tmp_path / "ministack.lock"
    path.write_text(json.dumps({"pid": os.getpid(), "port": 4566}))
    return path


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    assert MiniStack(tmp_path, 0).running() is None


def test_the_holder_of_the_lock_is_the_one_that_runs(lock: Path) -> None:
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert MiniStack(lock.parent, 0).running() == Instance(pid=os.getpid(), port=4566)


def test_a_pid_that_another_process_has_by_now_is_not_taken_for_it(lock: Path) -> None:
    assert MiniStack(lock.parent, 0).running() is None


def test_a_pid_that_another_process_has_by_now_is_not_ended(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *sent: signals.append(sent))
    monkeypatch.setattr(os, "killpg", lambda *sent: signals.append(sent))
    assert MiniStack(lock.parent, 0).stop() is False
    assert signals == []


def test_one_that_holds_the_lock_but_has_not_said_who_it_is_does_not_run_yet(lock: Path) -> None:
    lock.write_text("")
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert MiniStack(lock.parent, 0).running() is None
