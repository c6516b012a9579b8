"""cdk-nag's AwsSolutions over every environment, and what of it we answer with a reason instead of a change.

python -m infra.nag     prints each suppression with its reason and places; exit 1 on a finding that nothing suppresses

The reasons are here and not at the constructs: a deployment does not carry them, and one page shows all of them.
"""

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from tempfile import TemporaryDirectory

from aws_cdk import App
from cdk_nag import AwsSolutionsChecks

from infra.app import NO_BUNDLING, ROOT
from infra.config import ENVIRONMENTS
from infra.stack import TidemillStack
from infra.stages import STAGES


@dataclass(frozen=True, order=True)
class Finding:
    """`detail` is what a rule found of several: an action, a resource, a policy. `where` is a path below the stack."""

    environment: str
    rule: str
    where: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.environment}: {self.rule} {self.where} {self.detail}".rstrip()


@dataclass(frozen=True)
class Suppression:
    """Of one rule at these places, and of these details there: a wildcard that is new is a finding again."""

    rule: str
    where: tuple[str, ...]
    reason: str
    details: tuple[str, ...] = ("",)
    environments: tuple[str, ...] = tuple(ENVIRONMENTS)

    def findings(self) -> set[Finding]:
        each = product(self.environments, self.where, self.details)
        return {Finding(environment, self.rule, where, detail) for environment, where, detail in each}


def _prefixes(who: str, *places: str) -> Suppression:
    return Suppression(
        "IAM5",
        (f"{who}/Role/DefaultPolicy",),
        "objects are named while the system runs: a prefix of one bucket is the narrowest that a policy can say",
        tuple(f"Resource::Storage{place}/*" for place in places),
    )


_MACHINES = ("Pipeline/Machine", "Monitoring/Machine")
_METHODS = ("Api/Rest/Default/ANY", "Api/Rest/Default/{proxy+}/ANY")
_HEALTH = "Api/Rest/Default/health/GET"
_STAGE = "Api/Rest/DeploymentStage.v1"

SUPPRESSIONS = (
    _prefixes("Prepare", "Data/uploads", "Data/specs", "Data/datasets", "Captures/predictions", "Captures/labels"),
    _prefixes("Train", "Data/datasets", "Models/candidates", "Models/models"),
    _prefixes("Validate", "Data/datasets", "Models/candidates", "Models/models"),
    _prefixes("Deploy", "Models/models"),
    _prefixes("Infer", "Models/models", "Captures/labels"),
    _prefixes("Capture", "Captures/predictions", "Captures/refusals"),
    _prefixes("Batch", "Data/batch", "Data/batch-results", "Models/models"),
    _prefixes("ListModels", "Data/specs"),
    _prefixes(
        "Monitor",
        "Data/specs",
        "Models/models",
        "Captures/predictions",
        "Captures/refusals",
        "Captures/labels",
        "Captures/drift",
    ),
    Suppression(
        "IAM5",
        tuple(f"{machine}/Role/DefaultPolicy" for machine in _MACHINES),
        "the delivery of a machine's logs: these eight actions of CloudWatch Logs know no resource",
        ("Resource::*",),
    ),
    Suppression(
        "IAM4",
        ("Api/Rest/CloudWatchRole",),
        "API Gateway writes the logs of all APIs of an account and region through this one role, so it cannot be ours "
        "alone, and the managed policy is the one that its service asks for",
        ("Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs",),
    ),
    Suppression(
        "L1",
        tuple(f"{stage.name.title().replace('_', '')}/Function" for stage in STAGES),
        "the runtime is configuration: the one that the locked wheels and the layers' byte code are made for",
    ),
    Suppression(
        "S1",
        ("Storage/Data", "Storage/Models", "Storage/Captures"),
        "access logs would be a fourth bucket that grows with every prediction; whoever must know who read what turns "
        "on CloudTrail's data events, which cover these buckets and all others",
    ),
    Suppression(
        "SF2",
        _MACHINES,
        "X-Ray's actions know no resource, and an execution's history and log have each step with its times",
    ),
    Suppression("SQS3", ("Schedules/DeadLetters",), "it is the queue of dead letters"),
    Suppression(
        "APIG2",
        ("Api/Rest",),
        "infer checks every request against the model's own schema, which the template cannot know, and names each "
        "field that is wrong; API Gateway would refuse some of them earlier and say less",
    ),
    Suppression(
        "APIG3",
        (_STAGE,),
        "a web ACL is billed by the month; calls are signed and throttled, and the endpoint can take one from outside",
    ),
    Suppression("APIG4", (_HEALTH,), "a probe has no credentials, and the answer says nothing but that it answers"),
    Suppression("COG4", (_HEALTH,), "as APIG4"),
    Suppression("COG4", _METHODS, "callers are programs with a role, whom IAM knows; a user pool is for people"),
    Suppression(
        "APIG4",
        _METHODS,
        "nobody signs calls to their own laptop, and this environment is refused anywhere else",
        environments=("local",),
    ),
)


def findings(environment: str) -> set[Finding]:
    """All that the pack finds, suppressed or not."""
    flags = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    with TemporaryDirectory() as folder:
        app = App(context={**flags, **NO_BUNDLING}, outdir=folder, analytics_reporting=False)
        TidemillStack(app, "Tidemill", root=ROOT, environment=ENVIRONMENTS[environment])
        report = AwsSolutionsChecks(app).validate_scope(app)
        return {
            _finding(environment, violation.rule_name, str(resource.construct_path))
            for violation in report.violations
            for resource in violation.violating_resources
        }


def _finding(environment: str, rule: str, path: str) -> Finding:
    """From `AwsSolutions-IAM5[Resource::<StorageData6BB23F4E.Arn>/specs/*]`: without hashes, which nobody reads."""
    name, _, detail = rule.removeprefix("AwsSolutions-").partition("[")
    where = path.partition("/")[2].removesuffix("/Resource")
    return Finding(environment, name, where, re.sub(r"<(\w+)[0-9A-F]{8}\.Arn>", r"\1", detail.removesuffix("]")))


def problems(found: set[Finding], suppressions: Iterable[Suppression]) -> list[str]:
    """What nothing suppresses, and what is suppressed for nothing: that would hide what comes there next."""
    suppressed = {finding for suppression in suppressions for finding in suppression.findings()}
    return [
        *(f"not suppressed: {finding}" for finding in sorted(found - suppressed)),
        *(f"suppressed, and not found: {finding}" for finding in sorted(suppressed - found)),
    ]


def main() -> int:
    found = {finding for name in ENVIRONMENTS for finding in findings(name)}
    for suppression in SUPPRESSIONS:
        print(_shown(suppression))
    wrong = problems(found, SUPPRESSIONS)
    print("\n".join(["", *wrong, ""] if wrong else [""]), end="")
    verdict = f"FAILED: {len(wrong)} to mend" if wrong else "Clean: each has its reason"
    print(f"{len(found)} findings of AwsSolutions in {', '.join(ENVIRONMENTS)}. {verdict}.")
    return 1 if wrong else 0


def _shown(suppression: Suppression) -> str:
    everywhere = suppression.environments == tuple(ENVIRONMENTS)
    places = [f"{where} {detail}".rstrip() for where, detail in product(suppression.where, suppression.details)]
    limit = "" if everywhere else f" ({', '.join(suppression.environments)} only)"
    return "\n".join([f"{suppression.rule}{limit}: {suppression.reason}", *(f"    {place}" for place in places)])


if __name__ == "__main__":
    sys.exit(main())
