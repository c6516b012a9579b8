"""What differs between the environments: every setting, its bounds, its defaults, and what a project says of it.

A project says it in `environments.toml`, or for one call by `-c KEY=VALUE`; docs/operating.md has the table.
"""

import difflib
import json
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from aws_cdk import Duration, RemovalPolicy
from aws_cdk.aws_logs import RetentionDays

from infra.packages import MACHINES, RUNTIMES, Target, default_runtime
from infra.stages import STAGES

FILE = "environments.toml"
ON_AWS = "aws"
"""The section of `FILE` that all environments on AWS start from; a section of an environment goes over it."""


class SettingsError(ValueError):
    """All that is wrong with the settings, one sentence each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One deployment. `memory` (MB by function) overrides the table of stages; throttles are requests a second."""

    name: str
    keeps_data: bool = False
    log_days: int = 7
    capture_days: int = 30
    noncurrent_days: int = 30
    monitor_minutes: int = 60
    authorization: str = "AWS_IAM"
    throttle_rate: int = 50
    throttle_burst: int = 100
    key_rate: int = 10
    key_burst: int = 20
    key_calls_a_month: int = 0
    capture: str = "log"
    memory: Mapping[str, int] = field(default_factory=dict)
    notice_email: str = ""
    architecture: str = "x86_64"
    runtime: str = field(default_factory=default_runtime)
    snapstart: bool = False
    provisioned_concurrency: int = 0

    @property
    def removal_policy(self) -> RemovalPolicy:
        return RemovalPolicy.RETAIN if self.keeps_data else RemovalPolicy.DESTROY

    @property
    def log_retention(self) -> RetentionDays:
        return _RETENTIONS[self.log_days]

    @property
    def monitor_every(self) -> Duration:
        return Duration.minutes(self.monitor_minutes)

    @property
    def target(self) -> Target:
        return Target(runtime=self.runtime, architecture=self.architecture)


_RETENTIONS = {
    1: RetentionDays.ONE_DAY,
    3: RetentionDays.THREE_DAYS,
    5: RetentionDays.FIVE_DAYS,
    7: RetentionDays.ONE_WEEK,
    14: RetentionDays.TWO_WEEKS,
    30: RetentionDays.ONE_MONTH,
    60: RetentionDays.TWO_MONTHS,
    90: RetentionDays.THREE_MONTHS,
    180: RetentionDays.SIX_MONTHS,
    365: RetentionDays.ONE_YEAR,
    731: RetentionDays.TWO_YEARS,
    1827: RetentionDays.FIVE_YEARS,
    3653: RetentionDays.TEN_YEARS,
}

_ALL = (
    Environment(
        name="local",
        log_days=1,
        # No one signs calls to their own laptop.
        authorization="NONE",
        throttle_rate=1000,
        throttle_burst=2000,
        key_rate=1000,
        key_burst=2000,
    ),
    Environment(name="dev"),
    Environment(name="staging", log_days=30, capture_days=90),
    Environment(
        name="prod",
        keeps_data=True,
        log_days=180,
        capture_days=400,
        throttle_rate=200,
        throttle_burst=400,
        # 1,769 MB buys one whole vCPU; with less, a cold start runs on a share of one.
        memory={"infer": 1769},
    ),
)
ENVIRONMENTS = {environment.name: environment for environment in _ALL}


@dataclass(frozen=True)
class Setting:
    """What a value must be, in words and as a test."""

    expected: str
    accepts: Callable[[Any], bool]


def _one_of(known: Collection[Any]) -> Setting:
    return Setting(f"one of {', '.join(map(str, known))}", lambda value: type(value) in (str, int) and value in known)


def _whole(low: int, high: int) -> Setting:
    return Setting(
        f"a whole number from {low:,} to {high:,}", lambda value: type(value) is int and low <= value <= high
    )


_BOOLEAN = Setting("true or false", lambda value: type(value) is bool)
# What SNS takes, it checks itself, by a mail to it; here only what is no address at all is found.
_ADDRESS = Setting('an e-mail address, or "" for none', lambda value: value == "" or "@" in str(value)[1:-1])

SETTINGS: Mapping[str, Setting] = {
    "architecture": _one_of(MACHINES),
    "authorization": _one_of(("AWS_IAM", "API_KEY", "NONE")),
    "capture": _one_of(("log", "store")),
    "capture_days": _whole(1, 3650),
    "keeps_data": _BOOLEAN,
    "key_burst": _whole(1, 100_000),
    "key_calls_a_month": _whole(0, 1_000_000_000),
    "key_rate": _whole(1, 100_000),
    "log_days": _one_of(_RETENTIONS),
    "monitor_minutes": _whole(1, 44_640),
    "noncurrent_days": _whole(1, 3650),
    "notice_email": _ADDRESS,
    "provisioned_concurrency": _whole(0, 1_000),
    "runtime": _one_of(RUNTIMES),
    "snapstart": _BOOLEAN,
    "throttle_burst": _whole(1, 100_000),
    "throttle_rate": _whole(1, 100_000),
    **{f"memory.{stage.name}": _whole(128, 10_240) for stage in STAGES},
}


def read_environment(context: Mapping[str, object], text: str = "") -> Environment:
    """The environment that `context` names, dev if none, with what `text`, in the form of `FILE`, says of it.

    Raises SettingsError with all that is wrong, in the sections of other environments too: who changes the file for one
    shall not find out with the next.
    """
    problems: list[str] = []
    sections = dict(_sections(text, problems))
    said = {key: _typed(value) for key, value in context.items() if not _of_cdk(key)}
    given = dict(_checked(said, "-c ", {"environment": _one_of(ENVIRONMENTS), **SETTINGS}, problems))
    if problems:
        raise SettingsError(problems)
    name = given.pop("environment", "dev")
    shared = sections.get(ON_AWS, {}) if name != "local" else {}
    environment = _with(ENVIRONMENTS[name], {**shared, **sections.get(name, {}), **given})
    if environment.snapstart and environment.provisioned_concurrency:
        raise SettingsError(
            [f"{name}: snapstart and provisioned_concurrency exclude each other on Lambda: take one of the two away"]
        )
    return environment


def _sections(text: str, problems: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problems.append(f"{FILE} is not TOML: {error}")
        return
    names = (ON_AWS, *ENVIRONMENTS)
    for name, section in document.items():
        if not isinstance(section, dict):
            problems.append(f"{FILE}: {name} stands in no section; write it below one of [{'], ['.join(names)}]")
        elif name not in names:
            problems.append(_unknown(f"{FILE}: section", name, names))
        else:
            yield name, dict(_checked(dict(_flat(section)), f"{FILE} [{name}] ", SETTINGS, problems))


def _flat(section: Mapping[str, object], above: str = "") -> Iterator[tuple[str, object]]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _checked(
    said: Mapping[str, object], where: str, known: Mapping[str, Setting], problems: list[str]
) -> Iterator[tuple[str, Any]]:
    for key, value in said.items():
        if key not in known:
            problems.append(_unknown(f"{where}setting", key, known))
        elif not known[key].accepts(value):
            problems.append(f"{where}{key} = {json.dumps(value, default=str)}: {known[key].expected} is expected")
        else:
            yield key, value


def _unknown(what: str, name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    remedy = f"did you mean {near[0]}?" if near else f"known are: {', '.join(known)}"
    return f"{what} '{name}' is unknown; {remedy}"


def _of_cdk(key: str) -> bool:
    """Feature flags and what CDK looked up: `@aws-cdk/…`, `aws:…`, `availability-zones:account=…`."""
    return any(mark in key for mark in "@:")


def _typed(value: object) -> object:
    """`-c` gives text only: `256` is meant as a number, `true` as true, `arm64` as it is."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _with(environment: Environment, settings: Mapping[str, Any]) -> Environment:
    memory = {key.removeprefix("memory."): value for key, value in settings.items() if key.startswith("memory.")}
    own = {one.name: settings[one.name] for one in fields(Environment) if one.name in settings}
    return replace(environment, **own, memory={**environment.memory, **memory})
