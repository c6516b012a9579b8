"""The entry point of `cdk.json`. It needs no account, no credentials, no Docker and no Node of the machine."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from aws_cdk import Annotations, App
from aws_cdk.cx_api import CloudAssembly

from infra.config import FILE, Environment, SettingsError, read_environment
from infra.packages import BundlingError
from infra.stack import TidemillStack

ROOT = Path(__file__).resolve().parents[1]

NO_BUNDLING: Mapping[str, object] = {"aws:cdk:bundling-stacks": []}
"""Context with which no layer is built: each is its source folder, as tests and the local cloud want it."""

LOCAL_ACCOUNT = "000000000000"
"""The account that the local cloud says it is."""


class LocalInTheCloudError(Exception):
    """The environment that asks nobody who they are was to go where anybody could call it."""


def synthesize(
    context: Mapping[str, object] | None = None, *, settings: str = "", outdir: Path | None = None
) -> CloudAssembly:
    """Writes the cloud assembly. `context` goes over that of `cdk.json`, and `-c` of the CDK CLI over both.

    `settings` are a project's own, in the form of `environments.toml`.
    """
    flags = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    app = App(
        context={**flags, **(context or {})},
        outdir=str(outdir) if outdir else None,
        analytics_reporting=False,
    )
    environment = read_environment(app.node.get_all_context(), settings)
    _keep_local(environment)
    stack = TidemillStack(app, f"Tidemill-{environment.name}", root=ROOT, environment=environment)
    if environment.authorization == "NONE" and environment.name != "local":
        said = "authorization is NONE: whoever finds the endpoint may predict, send labels, and run up your bill"
        Annotations.of(stack).add_warning_v2("tidemill:open-endpoint", said)
    return app.synth()


def _keep_local(environment: Environment) -> None:
    # The CDK CLI says here whose credentials it has; without it, nothing is deployed by them.
    account = os.environ.get("CDK_DEFAULT_ACCOUNT", LOCAL_ACCOUNT)
    if environment.name == "local" and account != LOCAL_ACCOUNT:
        raise LocalInTheCloudError(
            f"environment 'local' takes calls from anybody, and account {account} is not the local cloud: "
            "deploy dev, staging or prod"
        )


def main() -> int:
    # Of the folder that the CDK CLI runs this in: where cdk.json is.
    file = Path(FILE)
    settings = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
    try:
        synthesize(settings=settings)
    except (SettingsError, LocalInTheCloudError, BundlingError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
