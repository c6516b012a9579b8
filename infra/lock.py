"""Locks all third-party packages: `python -m infra.lock`, and with `--upgrade` to their newest versions.

One lock is for the developer, one for the layers. The second is constrained by the first, so that Lambda runs with what
the tests ran with. Both hold hashes, no index, and markers for every platform and Python.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEV = Path("requirements/dev.txt")
LAYERS = Path("requirements/layers.txt")
LOCKS = (DEV, LAYERS)


class NotLockedError(Exception):
    """The requirements have no solution, or the index did not answer; the locks are as they were."""


def sources(lock: Path, root: Path = ROOT) -> list[Path]:
    """The files that say what the lock is for, from the root."""
    if lock == DEV:
        return [DEV.with_suffix(".in")]
    return sorted(path.relative_to(root) for path in (root / "layers").glob("*/requirements.in"))


def lock(*, upgrade: bool = False, root: Path = ROOT) -> None:
    """Both or neither: raises `NotLockedError` after uv has said why."""
    before = {path: (root / path).read_bytes() for path in LOCKS}
    try:
        _compile(root, DEV, "3.11", *(["--upgrade"] if upgrade else []))
        # 3.12 is the oldest runtime that can load the wheels: see RUNTIMES in packages.py.
        _compile(root, LAYERS, "3.12", "--constraints", str(DEV))
    except subprocess.CalledProcessError:
        for path, content in before.items():
            (root / path).write_bytes(content)
        raise NotLockedError("could not be locked, for the reason above; the locks are as they were") from None


def _compile(root: Path, lock: Path, python: str, *options: str) -> None:
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile"),
        *("--universal", "--python-version", python),
        *("--generate-hashes", "--no-emit-index-url", "--quiet"),
        *("--custom-compile-command", "python -m infra.lock"),
        *("--output-file", str(lock)),
        *options,
        *map(str, sources(lock, root)),
    ]
    subprocess.run(command, cwd=root, check=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.lock", description="Locks all third-party packages.")
    parser.add_argument("--upgrade", action="store_true", help="move all to their newest versions")
    try:
        lock(upgrade=parser.parse_args(arguments).upgrade)
    except NotLockedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
