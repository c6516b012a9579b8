"""The gate, step by step: each step's verdict and seconds, and one plain verdict at the end.

python -m tests.gate            all steps
python -m tests.gate static     only the steps whose name begins so
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence

PYTEST = [sys.executable, "-m", "pytest"]
AT_ONCE = [*PYTEST, "--numprocesses", "2"]
"""With a thread each: of two processes on two cores, threads that wait for a core keep it from the others."""
STEPS: Sequence[tuple[str, Sequence[str]]] = (
    ("static: ruff check", ["ruff", "check", "."]),
    ("static: ruff format", ["ruff", "format", "--check", "."]),
    (
        "static: mypy",
        ["mypy", "layers/core/python", "layers/estimators/python", "functions", "cli", "infra", "examples", "tests"],
    ),
    ("static: import-linter", ["lint-imports"]),
    ("unit", [*AT_ONCE, "tests/unit"]),
    ("integration", [*AT_ONCE, "tests/integration"]),
    ("fuzz", [*AT_ONCE, "tests/fuzz"]),
    ("statemachines", [*AT_ONCE, "tests/statemachines"]),
    ("infra", [*AT_ONCE, "tests/infra"]),
    ("e2e", [*PYTEST, "tests/e2e"]),
)


def main(chosen: str) -> int:
    """Every step runs, so that one look shows all that is wrong."""
    failed = []
    started = time.monotonic()
    for name, command in STEPS:
        if not name.startswith(chosen):
            continue
        print(f"── {name}", flush=True)
        begun = time.monotonic()
        threads = {"OMP_NUM_THREADS": "1"} if "--numprocesses" in command else {}
        code = subprocess.run(_in_venv(command), check=False, env={**os.environ, **threads}).returncode
        verdict = "ok" if code == 0 else f"FAILED (exit {code})"
        print(f"── {name}: {verdict}, {time.monotonic() - begun:.0f} s\n", flush=True)
        if code:
            failed.append(name)
    total = f"{time.monotonic() - started:.0f} s"
    print(f"FAILED after {total}: {', '.join(failed)}" if failed else f"All of it holds ({total}).")
    return 1 if failed else 0


def _in_venv(command: Sequence[str]) -> list[str]:
    """Tools by their module, so that the gate needs no activated environment."""
    if command[0] == sys.executable:
        return list(command)
    if command[0] == "lint-imports":
        return [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()"]
    return [sys.executable, "-m", *command]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
