"""`tidemill local up | down | status | reset`: the cloud on this machine."""

from typing import Any

from tidemill_cli.cloud import local_cloud
from tidemill_cli.console import Result, Table
from tidemill_cli.local.cloud import Deployment
from tidemill_cli.session import Session


def up(session: Session, *, deploy: bool = True, port: int | None = None) -> Result:
    with session.console.progress("looking for the local cloud") as update:
        deployment = local_cloud(port).up(update, deploy=deploy)
    document = {"running": True, **_described(deployment)}
    if not deployment.outputs:
        text = f"MiniStack runs at {deployment.endpoint}, and nothing is deployed on it"
        return Result(document, [text])
    return Result(
        document,
        [
            f"the local cloud runs at {deployment.endpoint}",
            f"HTTP endpoint: {deployment.api_url}",
            "next: tidemill init MODEL FILE --target COLUMN",
        ],
    )


def down(_session: Session) -> Result:
    stopped = local_cloud().down()
    said = "the local cloud is stopped; what it stores is kept" if stopped else "the local cloud was not running"
    return Result({"stopped": stopped}, [said])


def reset(_session: Session) -> Result:
    local_cloud().reset()
    return Result({"reset": True}, ["the local cloud is stopped and empty"])


def status(_session: Session) -> Result:
    found = local_cloud().status()
    document: dict[str, Any] = {
        "running": found.deployment is not None,
        "outdated": found.outdated,
        "folder": str(found.folder),
        "log": str(found.log),
        "pid": found.pid,
    }
    if found.deployment is None:
        return Result(document, ["the local cloud is not running: start it with `tidemill local up`"])
    document |= _described(found.deployment)
    rows = [(name, value) for name, value in document.items() if name not in ("running", "outputs")]
    text: list[str | Table] = [Table((), [*rows, *found.deployment.outputs.items()], "the local cloud")]
    if found.outdated:
        text.append("its code is not that of the sources: `tidemill local up` deploys them")
    return Result(document, text)


def _described(deployment: Deployment) -> dict[str, Any]:
    url = deployment.api_url if deployment.outputs else None
    return {
        "aws_endpoint": deployment.endpoint,
        "region": deployment.region,
        "url": url,
        "outputs": dict(deployment.outputs),
    }
