"""Reads a synthesized template: resources by type, policies in words."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

Properties = dict[str, Any]


@dataclass(frozen=True)
class Template:
    body: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> "Template":
        return cls(json.loads(path.read_text(encoding="utf-8")))

    @cached_property
    def text(self) -> str:
        return json.dumps(self.body)

    def of_type(self, kind: str) -> dict[str, Properties]:
        """Logical id → properties."""
        return {name: one.get("Properties", {}) for name, one in self.body["Resources"].items() if one["Type"] == kind}

    def the(self, kind: str) -> Properties:
        """Of the only resource of its type."""
        (only,) = self.of_type(kind).values()
        return only

    def policies_of(self, name: str) -> list[str]:
        """How the resource is kept: its deletion and its replacement policy."""
        resource = self.body["Resources"][name]
        return [resource["DeletionPolicy"], resource["UpdateReplacePolicy"]]

    @cached_property
    def outputs(self) -> dict[str, str]:
        return {name: self.show(output["Value"]) for name, output in self.body["Outputs"].items()}

    @cached_property
    def functions(self) -> dict[str, Properties]:
        """Stage → its function."""
        return {
            one["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]: one
            for one in self.of_type("AWS::Lambda::Function").values()
        }

    @cached_property
    def machines(self) -> dict[str, Properties]:
        """ "PipelineArn" and "MonitoringArn" → the machine, as the outputs name them."""
        machines = self.of_type("AWS::StepFunctions::StateMachine")
        return {name: machines[value] for name, value in self.outputs.items() if value in machines}

    @cached_property
    def _names(self) -> dict[str, str]:
        """Logical id → what a reader calls it."""
        functions = self.of_type("AWS::Lambda::Function")
        by_output = {self.show(output["Value"]): name for name, output in self.body["Outputs"].items()}
        stages = {name: one["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] for name, one in functions.items()}
        return {**by_output, **stages}

    def show(self, value: Any) -> str:
        """A reference as the logical id that it points to, joined with what stands around it."""
        match value:
            case {"Ref": name} | {"Fn::GetAtt": [name, *_]}:
                return str(name)
            case {"Fn::Join": [separator, parts]}:
                return str(separator).join(self.show(part) for part in parts)
            case _:
                return str(value)

    def may(self, role: str) -> set[str]:
        """All that a role may do, such as `s3:PutObject ModelBucket/candidates/*`, and under which conditions."""
        assert "ManagedPolicyArns" not in self.of_type("AWS::IAM::Role")[role]
        return {
            sentence
            for policy in self.of_type("AWS::IAM::Policy").values()
            if role in map(self.show, policy["Roles"])
            for statement in policy["PolicyDocument"]["Statement"]
            for sentence in self._sentences(statement)
        }

    def function_may(self, stage: str) -> set[str]:
        """Beside writing its own logs."""
        function = self.functions[stage]
        logs = self.show(function["LoggingConfig"]["LogGroup"])
        own = {f"logs:CreateLogStream {logs}", f"logs:PutLogEvents {logs}"}
        allowed = self.may(self.show(function["Role"]))
        assert own <= allowed
        return allowed - own

    def machine_may(self, name: str) -> set[str]:
        """Beside the delivery of logs, whose actions know no resource."""
        allowed = self.may(self.show(self.machines[name]["RoleArn"]))
        return {sentence for sentence in allowed if not re.fullmatch(r"logs:\w+ \*", sentence)}

    def _sentences(self, statement: dict[str, Any]) -> Iterator[str]:
        assert statement["Effect"] == "Allow"
        when = _told(statement.get("Condition"))
        for resource in _listed(statement["Resource"]):
            # A function's own ARN and `$LATEST` are the same function.
            name, slash, rest = self.show(resource).removesuffix(":$LATEST").partition("/")
            for action in _listed(statement["Action"]):
                yield f"{action} {self._names.get(name, name)}{slash}{rest}{when}"


def _told(condition: Any) -> str:
    """A condition that is not known here is an error: nobody would see it."""
    match condition:
        case None:
            return ""
        case {"StringLike": {"s3:prefix": prefixes, **others}, **more} if not others and not more:
            return " only " + " ".join(_listed(prefixes))
        case {"ForAllValues:StringNotEquals": {"dynamodb:Attributes": names, **others}, **more} if not (others or more):
            return " without " + " ".join(sorted(_listed(names)))
    raise AssertionError(f"an unknown condition: {condition}")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
