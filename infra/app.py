"""The entry point of `cdk.json`. It needs no account, no credentials, no Docker and no Node of the machine."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from aws_cdk import App
from aws_cdk.cx_api import CloudAssembly

from infra.bundling import LayersTooLargeError
from infra.config import UnknownSettingError, read_environment
from infra.packages import LockError
from infra.stack import TidemillStack

ROOT = Path(__file__).resolve().parents[1]

NO_BUNDLING: Mapping[str, object] = {"aws:cdk:bundling-stacks": []}
"""Context with which no layer is built: each is its source folder, as tests and the local cloud want it."""


def synthesize(context: Mapping[str, object] | None = None, *, outdir: Path | None = None) -> CloudAssembly:
    """Writes the cloud assembly. `context` goes over that of `cdk.json`, and `-c` of the CDK CLI over both."""
    flags = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    app = App(
        context={**flags, **(context or {})},
        outdir=str(outdir) if outdir else None,
        analytics_reporting=False,
    )
    environment = read_environment(app.node.try_get_context)
    TidemillStack(app, f"Tidemill-{environment.name}", root=ROOT, environment=environment)
    return app.synth()


def main() -> int:
    try:
        synthesize()
    except (UnknownSettingError, LayersTooLargeError, LockError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
