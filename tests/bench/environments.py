"""Environments of their own for what benches compare with: made once for what is pinned."""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ENVIRONMENTS = Path(".tidemill/bench")


def python(pinned: Path, what: str) -> Path:
    """The interpreter that has the packages of a requirements file with hashes; `what` they are, for who waits."""
    root = ENVIRONMENTS / hashlib.sha256(pinned.read_bytes()).hexdigest()[:12]
    interpreter, ready = root / "bin/python", root / "ready"
    if not ready.exists():
        print(f"Installing {what} (a minute or two) …", file=sys.stderr)
        venv.create(root, clear=True, with_pip=True)
        command = [interpreter, "-m", "pip", "install", "-q", "--no-deps", "--require-hashes", "-r", pinned]
        subprocess.run([*map(str, command)], check=True, stderr=subprocess.DEVNULL)
        ready.touch()
    return interpreter
