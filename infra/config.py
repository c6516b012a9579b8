"""What differs between the environments, and the only reader of CDK's context."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from aws_cdk import Duration, RemovalPolicy
from aws_cdk.aws_logs import RetentionDays

from infra.packages import MACHINES, RUNTIMES, Target, default_runtime

Authorization = Literal["AWS_IAM", "NONE"]


class UnknownSettingError(ValueError):
    """A context value that nothing is known about; the message names those that are known."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One deployment. `memory` (MB by function) overrides the table of stages; throttles are requests a second."""

    name: str
    removal_policy: RemovalPolicy
    log_retention: RetentionDays
    capture_days: int
    monitor_every: Duration
    authorization: Authorization = "AWS_IAM"
    throttle_rate: int = 50
    throttle_burst: int = 100
    memory: Mapping[str, int] = field(default_factory=dict)
    notice_email: str | None = None
    architecture: str = "x86_64"
    runtime: str = field(default_factory=default_runtime)

    @property
    def keeps_data(self) -> bool:
        return self.removal_policy is RemovalPolicy.RETAIN

    @property
    def target(self) -> Target:
        return Target(runtime=self.runtime, architecture=self.architecture)


_ALL = (
    Environment(
        name="local",
        removal_policy=RemovalPolicy.DESTROY,
        log_retention=RetentionDays.ONE_DAY,
        capture_days=30,
        monitor_every=Duration.hours(1),
        # No one signs calls to their own laptop.
        authorization="NONE",
        throttle_rate=1000,
        throttle_burst=2000,
    ),
    Environment(
        name="dev",
        removal_policy=RemovalPolicy.DESTROY,
        log_retention=RetentionDays.ONE_WEEK,
        capture_days=30,
        monitor_every=Duration.hours(1),
    ),
    Environment(
        name="staging",
        removal_policy=RemovalPolicy.DESTROY,
        log_retention=RetentionDays.ONE_MONTH,
        capture_days=90,
        monitor_every=Duration.hours(1),
    ),
    Environment(
        name="prod",
        removal_policy=RemovalPolicy.RETAIN,
        log_retention=RetentionDays.SIX_MONTHS,
        capture_days=400,
        monitor_every=Duration.hours(1),
        throttle_rate=200,
        throttle_burst=400,
        # 1,769 MB buys one whole vCPU; with less, a cold start runs on a share of one.
        memory={"infer": 1769},
    ),
)
ENVIRONMENTS = {environment.name: environment for environment in _ALL}


def read_environment(context: Callable[[str], object]) -> Environment:
    """Reads `environment`, `runtime`, `architecture` and `notice_email`, all of which may be left out."""

    def choose(key: str, default: str, known: Collection[str]) -> str:
        value = default if context(key) is None else str(context(key))
        if value not in known:
            raise UnknownSettingError(f"{key} '{value}' is unknown; known are: {', '.join(known)}")
        return value

    environment = ENVIRONMENTS[choose("environment", "dev", ENVIRONMENTS)]
    email = context("notice_email")
    return replace(
        environment,
        runtime=choose("runtime", environment.runtime, RUNTIMES),
        architecture=choose("architecture", environment.architecture, MACHINES),
        notice_email=str(email) if email else None,
    )
