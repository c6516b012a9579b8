"""What `tidemill doctor` makes of the facts. Pure: facts in, findings out; `facts` gathers them."""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

Verdict = Literal["ok", "warn", "fail", "unknown"]
Fact = TypeVar("Fact")

NODE = (22, 24)
"""The releases that jsii supports; 20 still runs, with a page of warnings."""
BUILD_BYTES = 3_000_000_000
"""What a first build of the layers takes: downloads, unpacked wheels, and both while they are pruned (1.1 GB kept)."""
DEFAULT_CONCURRENCY = 1000
"""Of an account that AWS does not hold to be new; a new one has less, and less memory a function."""
NEW_ACCOUNT_MEMORY = 3008
NEVER_MADE = ("REVIEW_IN_PROGRESS", "CREATE_FAILED", "ROLLBACK_IN_PROGRESS", "ROLLBACK_FAILED", "ROLLBACK_COMPLETE")
"""How a stack stands whose first deployment did not get to its end."""


@dataclass(frozen=True)
class Unknown:
    """A fact that could not be had, and why."""

    reason: str


@dataclass(frozen=True)
class Finding:
    """One line of the checkup; only `fail` is reason enough not to deploy."""

    check: str
    verdict: Verdict
    found: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a template asks of the machine that builds it and of the account that gets it."""

    environment: str
    runtime: str
    architecture: str
    memory: Mapping[str, int]
    concurrency: int
    bootstrap: int
    cli: str
    unsigned: bool
    emails: Sequence[str] = ()

    @classmethod
    def of(cls, environment: str, template: Mapping[str, Any], manifest: Mapping[str, Any]) -> "Needs":
        """Of a cloud assembly's files, parsed."""

        def properties(kind: str) -> Iterator[Mapping[str, Any]]:
            return (one["Properties"] for one in template["Resources"].values() if one["Type"] == f"AWS::{kind}")

        functions = {
            one["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]: one for one in properties("Lambda::Function")
        }
        one = next(iter(functions.values()))
        # Each Map of a state machine calls as many at once as it says; beside them somebody predicts.
        machines = " ".join(json.dumps(one["DefinitionString"]) for one in properties("StepFunctions::StateMachine"))
        maps = re.findall(r'\\*"MaxConcurrency\\*": *(\d+)', machines)
        stack = manifest["artifacts"][f"Tidemill-{environment}"]
        return cls(
            environment=environment,
            runtime=one["Runtime"],
            architecture=one["Architectures"][0],
            memory={name: function["MemorySize"] for name, function in functions.items()},
            concurrency=sum(map(int, maps)) + 1,
            bootstrap=stack["properties"]["requiresBootstrapStackVersion"],
            cli=manifest.get("minimumCliVersion", "2.0.0"),
            unsigned=any(
                method["HttpMethod"] == "ANY" and method["AuthorizationType"] == "NONE"
                for method in properties("ApiGateway::Method")
            ),
            emails=[one["Endpoint"] for one in properties("SNS::Subscription") if one["Protocol"] == "email"],
        )


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The one that builds. `compilers` are the Pythons on it that could compile for Lambda, such as `python3.13`;
    `activated` says whether `python` is this one, since the CDK CLI runs the app by that name."""

    python: str
    activated: bool
    compilers: Collection[str]
    node: str | Unknown
    cdk: str | Unknown | None
    drifted: Sequence[str] | Unknown
    free_bytes: int
    layers_built: bool


@dataclass(frozen=True, kw_only=True)
class Local:
    """The local cloud. `stack` is the status of the stack on it, None where there is none."""

    endpoint: str | None
    outdated: bool
    stack: str | None
    folder: str
    writable: bool
    port: int
    port_taken: bool


@dataclass(frozen=True)
class Caller:
    account: str
    arn: str


@dataclass(frozen=True)
class Refused:
    """AWS does not take the credentials, or there are none."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A stack of the name that the deployment wants."""

    status: str
    description: str

    @property
    def was_made(self) -> bool:
        return self.status not in NEVER_MADE


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Lambda's, of the account and region."""

    concurrency: int
    unreserved: int
    code_bytes: int
    code_used: int


@dataclass(frozen=True, kw_only=True)
class Account:
    """What can be asked of an account. None means that it is not there, `Unknown` that nobody could tell."""

    region: str | None
    regions: Collection[str]
    runtimes: Collection[str]
    endpoint: str | None
    caller: Caller | Refused | Unknown
    bootstrap: int | Unknown | None
    stack: Deployed | Unknown | None
    limits: Limits | Unknown
    logs_role: str | Unknown | None
    listeners: Mapping[str, bool] | Unknown | None


def examine_machine(machine: Machine, needs: Needs | Unknown, *, for_aws: bool) -> Iterator[Finding]:
    if for_aws and not machine.activated:
        found = f"{machine.python}, but the CDK CLI runs `python`, which here is another or none"
        yield Finding("python", "warn", found, "`source .venv/bin/activate` before `cdk`")
    else:
        yield Finding("python", "ok", machine.python)
    yield _judged("node", machine.node, _node)
    yield _judged("packages", machine.drifted, _packages)
    if isinstance(needs, Unknown):
        yield Finding("template", "fail", needs.reason, "mend that first; nothing can be deployed before")
        return
    yield Finding("template", "ok", f"{needs.environment}: {needs.runtime} on {needs.architecture}")
    if not for_aws:
        return
    yield _byte_code(machine, needs)
    yield _judged("cdk", machine.cdk, lambda version: _cdk(version, needs))
    yield _disk(machine)


def examine_local(local: Local | Unknown) -> Iterator[Finding]:
    if isinstance(local, Unknown):
        remedy = "`tidemill local down`, then `tidemill local up`"
        yield Finding("local cloud", "fail", f"it runs and does not answer: {local.reason}", remedy)
        return
    if local.writable:
        yield Finding("state folder", "ok", local.folder)
    else:
        yield Finding("state folder", "fail", f"{local.folder} cannot be written to", "give yourself the right to")
    up = "`tidemill local up`"
    if local.endpoint is None:
        yield Finding("local cloud", "warn", "it is not running", f"{up} starts it")
        if local.port_taken:
            found = f"something else listens on {local.port}"
            yield Finding("port", "warn", found, f"{up} takes another one; `tidemill local status` says which")
        else:
            yield Finding("port", "ok", f"{local.port} is free")
        return
    yield Finding("local cloud", "ok", f"it runs at {local.endpoint}")
    if local.stack is None:
        yield Finding("stack", "warn", "nothing is deployed", f"{up} deploys it")
    elif not local.stack.endswith("_COMPLETE") or "ROLLBACK" in local.stack:
        yield Finding("stack", "fail", f"it is {local.stack}", "`tidemill local reset`, then `tidemill local up`")
    elif local.outdated:
        yield Finding("stack", "warn", f"{local.stack}, of other sources than these", f"{up} deploys these")
    else:
        yield Finding("stack", "ok", f"{local.stack}, of these sources")


def examine_account(account: Account, needs: Needs | Unknown) -> Iterator[Finding]:
    if account.endpoint:
        found = f"AWS_ENDPOINT_URL sends all calls to {account.endpoint}, which is not AWS"
        yield Finding("endpoint", "warn", found, "`unset AWS_ENDPOINT_URL` to reach the account")
    yield _region(account)
    yield _credentials(account.caller)
    if isinstance(needs, Unknown):
        return
    yield _runtime(account, needs)
    yield _judged("bootstrap", account.bootstrap, lambda version: _bootstrap(version, needs, account))
    yield _judged("stack", account.stack, lambda stack: _stack(stack, needs))
    yield _judged("concurrency", account.limits, lambda limits: _concurrency(limits, needs))
    yield _judged("memory", account.limits, lambda limits: _memory(limits, needs, account.stack))
    yield _judged("code storage", account.limits, _code_storage)
    yield _judged("api logs", account.logs_role, _logs_role)
    yield _judged("notices", account.listeners, lambda listeners: _notices(listeners, needs))
    if needs.unsigned:
        found = "authorization is NONE: whoever finds the endpoint may call it"
        yield Finding("authorization", "warn", found, 'authorization = "AWS_IAM" in environments.toml')
    else:
        yield Finding("authorization", "ok", "calls must be signed")


def _judged(check: str, fact: Fact | Unknown, judge: Callable[[Fact], Finding]) -> Finding:
    if isinstance(fact, Unknown):
        return Finding(check, "unknown", f"could not check: {fact.reason}")
    return judge(fact)


def _node(version: str) -> Finding:
    if int(version.partition(".")[0]) in NODE:
        return Finding("node", "ok", version)
    remedy = "unset JSII_NODE; the one in .venv is right"
    return Finding("node", "warn", f"{version}; jsii supports {NODE[0]} and {NODE[-1]}", remedy)


def _packages(drifted: Sequence[str]) -> Finding:
    if not drifted:
        return Finding("packages", "ok", "those of the lock")
    more = f" and {len(drifted) - 3} more" if len(drifted) > 3 else ""
    return Finding("packages", "warn", f"not those of the lock: {', '.join(drifted[:3])}{more}", "`make setup`")


def _byte_code(machine: Machine, needs: Needs) -> Finding:
    if needs.runtime in machine.compilers:
        return Finding("byte code", "ok", f"there is a {needs.runtime} to compile the layers with")
    found = f"no {needs.runtime} is here to compile the layers with, so every cold start compiles for seconds"
    return Finding("byte code", "warn", found, f"install {needs.runtime}, or set `runtime` to a Python that is here")


def _cdk(version: str | None, needs: Needs) -> Finding:
    latest = "`npx aws-cdk@latest`"
    if version is None:
        return Finding("cdk", "ok", f"none is installed; {latest} brings one ({needs.cli} or later is needed)")
    if _numbers(version) < _numbers(needs.cli):
        found = f"{version} cannot read this app's assembly, which wants {needs.cli}"
        return Finding("cdk", "fail", found, f"`npm install --global aws-cdk@latest`, or {latest}")
    return Finding("cdk", "ok", version)


def _disk(machine: Machine) -> Finding:
    free = f"{machine.free_bytes / 1e9:.1f} GB are free"
    if machine.free_bytes >= BUILD_BYTES or machine.layers_built:
        return Finding("disk", "ok", free)
    found = f"{free}, and building the layers may take {BUILD_BYTES / 1e9:.0f}"
    return Finding("disk", "warn", found, "make room, or point .tidemill elsewhere by a link")


def _region(account: Account) -> Finding:
    remedy = "set AWS_REGION, or give --region or a profile that has one"
    if account.region is None:
        return Finding("region", "fail", "none is set", remedy)
    if account.region not in account.regions:
        return Finding("region", "fail", f"{account.region} is no region of Lambda that boto3 knows", remedy)
    return Finding("region", "ok", account.region)


def _credentials(caller: Caller | Refused | Unknown) -> Finding:
    match caller:
        case Unknown(reason):
            return Finding("credentials", "unknown", f"could not check: {reason}")
        case Refused(reason):
            remedy = "`aws sso login` or `aws configure`; --profile names others"
            return Finding("credentials", "fail", reason, remedy)
    if caller.arn.endswith(":root"):
        remedy = "make a role for deployments; the root user can do everything, mistakes too"
        return Finding("credentials", "warn", f"the root user of account {caller.account}", remedy)
    return Finding("credentials", "ok", f"{caller.arn}, account {caller.account}")


def _runtime(account: Account, needs: Needs) -> Finding:
    if needs.runtime in account.runtimes:
        return Finding("runtime", "ok", f"{needs.runtime} on {needs.architecture}")
    return Finding("runtime", "fail", f"Lambda has no {needs.runtime}", "set `runtime` in environments.toml")


def _bootstrap(version: int | None, needs: Needs, account: Account) -> Finding:
    number = account.caller.account if isinstance(account.caller, Caller) else "ACCOUNT"
    where = f"aws://{number}/{account.region}"
    command = f"`npx aws-cdk@latest bootstrap {where}`, once an account and region"
    if version is None:
        return Finding("bootstrap", "fail", f"{where} is not bootstrapped", command)
    if version < needs.bootstrap:
        found = f"{where} has version {version}, and {needs.bootstrap} is needed"
        return Finding("bootstrap", "fail", found, command)
    return Finding("bootstrap", "ok", f"version {version}")


_STANDS: Sequence[tuple[str, Verdict, str, str]] = (
    ("REVIEW_IN_PROGRESS", "ok", ": only looked at, not deployed yet", ""),
    (
        "CREATE_FAILED|ROLLBACK_COMPLETE|ROLLBACK_FAILED",
        "fail",
        ": it was never made, and cannot be updated",
        "`aws cloudformation delete-stack --stack-name {name}`, then deploy",
    ),
    (
        "DELETE_FAILED",
        "fail",
        "",
        "its events say why; empty its buckets, then `aws cloudformation delete-stack --stack-name {name}`",
    ),
    (
        ".*_FAILED",
        "fail",
        "",
        "its events say why; `aws cloudformation continue-update-rollback --stack-name {name}`, then deploy",
    ),
    (".*_IN_PROGRESS", "warn", "", "wait until that has ended"),
    ("UPDATE_ROLLBACK_COMPLETE", "warn", ": the last deployment failed", "its events say why; deploy again"),
    (".*_COMPLETE", "ok", "", ""),
)
"""Status, as a pattern → what it means for a deployment, what to add to it, what to do; the first that fits."""


def _stack(stack: Deployed | None, needs: Needs) -> Finding:
    name = f"Tidemill-{needs.environment}"
    if stack is None:
        return Finding("stack", "ok", f"{name} is not deployed yet")
    found = f"{name} is {stack.status}"
    if not stack.description.startswith("Tidemill"):
        remedy = "deploy to another account, region or environment, or delete that stack"
        return Finding("stack", "fail", f"{found}, and was not made by this app", remedy)
    verdict, said, remedy = next(
        (verdict, said, remedy) for pattern, verdict, said, remedy in _STANDS if re.fullmatch(pattern, stack.status)
    )
    return Finding("stack", verdict, f"{found}{said}", remedy.format(name=name))


def _concurrency(limits: Limits, needs: Needs) -> Finding:
    found = f"{limits.unreserved} executions at once"
    if limits.unreserved >= needs.concurrency:
        return Finding("concurrency", "ok", found)
    said = f"{found}; a run, a check and a prediction together want {needs.concurrency}, and wait for each other"
    ask = f"--service-code lambda --quota-code L-B99A9384 --desired-value {DEFAULT_CONCURRENCY}"
    return Finding("concurrency", "warn", said, f"`aws service-quotas request-service-quota-increase {ask}`")


def _memory(limits: Limits, needs: Needs, stack: Deployed | Unknown | None) -> Finding:
    large = {name: size for name, size in needs.memory.items() if size > NEW_ACCOUNT_MEMORY}
    most = max(needs.memory.values())
    if not large or (isinstance(stack, Deployed) and stack.was_made) or limits.concurrency >= DEFAULT_CONCURRENCY:
        return Finding("memory", "ok", f"at most {most:,} MB a function")
    found = (
        f"{', '.join(large)} want {most:,} MB; with {limits.concurrency} executions at once this is a new account, "
        f"and those may have {NEW_ACCOUNT_MEMORY:,}, which no call tells"
    )
    lines = ", ".join(f"memory.{name} = {NEW_ACCOUNT_MEMORY}" for name in large)
    return Finding("memory", "warn", found, f"if deploying says so: {lines} in environments.toml")


def _code_storage(limits: Limits) -> Finding:
    found = f"{limits.code_used / 1e9:.1f} of {limits.code_bytes / 1e9:.0f} GB"
    if limits.code_used < 0.9 * limits.code_bytes:
        return Finding("code storage", "ok", found)
    return Finding("code storage", "warn", found, "delete old versions of functions and layers")


def _logs_role(role: str | None) -> Finding:
    if role is None:
        return Finding("api logs", "ok", "API Gateway has no role to write logs; the deployment sets one")
    name = role.rpartition("/")[2]
    if name.startswith("Tidemill-"):
        return Finding("api logs", "ok", f"API Gateway writes them as {name}")
    found = f"all APIs of this region write logs as {name}; the deployment puts a role of its own there"
    return Finding("api logs", "warn", found, "see that no policy of yours names that role")


def _notices(listeners: Mapping[str, bool] | None, needs: Needs) -> Finding:
    """`listeners` is None before the first deployment, which makes the topic and asks the address."""
    if listeners is None and needs.emails:
        return Finding("notices", "ok", f"to {', '.join(needs.emails)}, whom AWS will ask to confirm")
    if not listeners:
        return Finding("notices", "warn", "nobody hears of alarms", "notice_email in environments.toml, then deploy")
    pending = [address for address, confirmed in listeners.items() if not confirmed]
    if pending:
        remedy = "open AWS's mail and confirm; a deployment with another address asks that one"
        return Finding("notices", "warn", f"{', '.join(pending)} did not confirm", remedy)
    return Finding("notices", "ok", f"to {', '.join(listeners)}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
