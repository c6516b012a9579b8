"""Environments of Python that the product does without: made on demand, once for what is pinned."""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ENVIRONMENTS = Path(".tidemill/bench")


def environment(pinned: Path, what: str) -> Path:
    """The interpreter that has what the lock `pinned` names; `what` tells whoever waits."""
    root = ENVIRONMENTS / hashlib.sha256(pinned.read_bytes()).hexdigest()[:12]
    python, ready = root / "bin/python", root / "ready"
    if not ready.exists():
        print(f"Installing {what} …", file=sys.stderr)
        venv.create(root, clear=True, with_pip=True)
        command = [python, "-m", "pip", "install", "-q", "--no-deps", "--require-hashes", "-r", pinned]
        subprocess.run([*map(str, command)], check=True, stderr=subprocess.DEVNULL)
        ready.touch()
    return python.absolute()
