"""Locks all third-party packages: `python -m infra.lock`, and with `--upgrade` to their newest versions.

One lock is for the developer, one for the layers. The second is constrained by the first, so that Lambda runs with what
the tests ran with. Both hold hashes, no index, and markers for every platform and Python.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEV = Path("requirements/dev.txt")
LAYERS = Path("requirements/layers.txt")


def main() -> None:
    options = sys.argv[1:]
    _compile(DEV, [DEV.with_suffix(".in")], "3.11", *options)
    sources = sorted(path.relative_to(ROOT) for path in (ROOT / "layers").glob("*/requirements.in"))
    # 3.12 is the oldest runtime that can load the wheels: see RUNTIMES in config.py.
    _compile(LAYERS, sources, "3.12", "--constraints", str(DEV))


def _compile(lock: Path, sources: list[Path], python: str, *options: str) -> None:
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile"),
        *("--universal", "--python-version", python),
        *("--generate-hashes", "--no-emit-index-url", "--quiet"),
        *("--custom-compile-command", "python -m infra.lock"),
        *("--output-file", str(lock)),
        *options,
        *map(str, sources),
    ]
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
