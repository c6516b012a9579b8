"""Keeps what was built under a name that says what it was built from: `<series>-<digest>`.

Only what is finished ever has such a name, whenever and however hard a build was stopped.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

Tell = Callable[[str], None]

_UNFINISHED = "unfinished-"
_BUILDS_KEPT = 2
"""A target: what is used, and what was used before, to which one may go back."""


def once(folder: Path, make: Callable[[Path], None], tell: Tell) -> Path:
    """Makes the folder, unless it is there; all that `make` puts beside the folder that it is given is removed."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder.parent, tell):
            if not folder.exists():
                _clear(folder.parent)
                with TemporaryDirectory(dir=folder.parent, prefix=_UNFINISHED) as scratch:
                    made = Path(scratch) / "made"
                    made.mkdir()
                    make(made)
                    made.rename(folder)
                _retire(folder)
    # Its time says when it was last used.
    os.utime(folder)
    return folder


@contextmanager
def _alone(kept: Path, tell: Tell) -> Iterator[None]:
    """One build at a time: what is unfinished then is of the dead. The kernel frees the lock of who dies."""
    with (kept / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("another build is under way, waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _clear(kept: Path) -> None:
    for left in kept.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(left)


def _retire(newest: Path) -> None:
    """Removes what was built for the same target, but for the last that were used."""
    series = newest.name.rpartition("-")[0]
    builds = [path for path in newest.parent.iterdir() if path.name.rpartition("-")[0] == series and path != newest]
    for old in sorted(builds, key=lambda path: path.stat().st_mtime, reverse=True)[_BUILDS_KEPT - 1 :]:
        # First its name: a removal that is cut short must not leave half of it to be used.
        old.rename(old.with_name(f"{_UNFINISHED}{old.name}"))
    _clear(newest.parent)
