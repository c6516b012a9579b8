"""Handlers as Lambda runs them: a new interpreter finds the function, its layers and the runtime's SDK, and no more."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from infra.app import ROOT
from infra.stages import Stage
from tests.cloud import ENVIRONMENT

IN_THE_RUNTIME = ("boto3", "botocore", "s3transfer", "urllib3", "jmespath", "dateutil", "six")

_INVOKE = """
import json, sys, time, types
given = json.load(sys.stdin)
sys.path += given["path"]
import handler
stop_at = time.monotonic() + 900
context = types.SimpleNamespace(
    aws_request_id="r", get_remaining_time_in_millis=lambda: 1000 * (stop_at - time.monotonic())
)
answer = handler.handler(given["event"], context)
print()
print(json.dumps(answer))
"""


@dataclass(frozen=True)
class Reply:
    """`error`: what an interpreter said that came to no answer."""

    answer: Any = None
    error: str = ""


@dataclass(frozen=True)
class CleanInterpreter:
    """`aws` leads the SDK to the stores; `sdk` is a folder that `bring_sdk` made."""

    python: str
    sdk: Path
    aws: Mapping[str, str]

    def invoke(self, stage: Stage, event: Any, layers: Sequence[Path]) -> Reply:
        """Without site-packages, the variables of this process, or byte code being written."""
        path = [ROOT / "functions" / stage.name, *(layer / "python" for layer in layers), self.sdk]
        done = subprocess.run(
            [self.python, "-I", "-S", "-B", "-c", _INVOKE],
            input=json.dumps({"path": [*map(str, path)], "event": event}),
            env={**self.aws, **{name: ENVIRONMENT[name] for name in stage.environment}},
            capture_output=True,
            text=True,
            check=False,
        )
        return Reply(error=done.stderr) if done.returncode else Reply(json.loads(done.stdout.splitlines()[-1]))


def bring_sdk(folder: Path) -> None:
    """What Lambda's runtime brings, here of the developer's environment, and nothing beside it."""
    for name in IN_THE_RUNTIME:
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        source = Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)
        (folder / source.name).symlink_to(source)


@cache
def _owners() -> Mapping[str, str]:
    """File or folder at the top of site-packages → its library, in the developer's environment."""
    owners = {}
    for name, one in ((one.name, one) for one in distributions()):
        owners.update({file.parts[0]: str(canonicalize_name(name)) for file in one.files or ()})
    return owners


def libraries(layer: Path) -> dict[str, set[str]]:
    """Library → its files and folders at the top of a built layer, by the developer's environment, which has the same
    libraries. All of the layer is somebody's, but for the folder of byte code that single modules share."""
    found: dict[str, set[str]] = {}
    for name in (entry.name for entry in (layer / "python").iterdir() if entry.name != "__pycache__"):
        described = name.endswith(".dist-info")
        owner = canonicalize_name(name.partition("-")[0]) if described else _owners()[name]
        found.setdefault(owner, set()).add(name)
    return found


def leave_out(library: str, layer: Path, view: Path) -> None:
    """Makes the folder `view`: a layer that has all of the built one but this library."""
    (view / "python").mkdir(parents=True)
    for owner, names in libraries(layer).items():
        for name in names if owner != library else ():
            (view / "python" / name).symlink_to(layer / "python" / name)
