"""Reads a synthesized template: resources by type, policies in words."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

Properties = dict[str, Any]

_VERBS = {
    "s3:GetObject*": "read",
    "s3:GetBucket*": "list",
    "s3:List*": "list",
    "s3:PutObject": "write",
    "s3:PutObjectLegalHold": "write",
    "s3:PutObjectRetention": "write",
    "s3:PutObjectTagging": "write",
    "s3:PutObjectVersionTagging": "write",
    "s3:Abort*": "write",
    "dynamodb:BatchGetItem": "read",
    "dynamodb:ConditionCheckItem": "read",
    "dynamodb:DescribeTable": "read",
    "dynamodb:GetItem": "read",
    "dynamodb:GetRecords": "read",
    "dynamodb:GetShardIterator": "read",
    "dynamodb:Query": "read",
    "dynamodb:Scan": "read",
    "dynamodb:BatchWriteItem": "write",
    "dynamodb:DeleteItem": "write",
    "dynamodb:PutItem": "write",
    "dynamodb:UpdateItem": "write",
    "sns:Publish": "publish",
    "lambda:InvokeFunction": "invoke",
    "states:StartExecution": "start",
    "sqs:SendMessage": "send",
    "logs:CreateLogStream": "log",
    "logs:PutLogEvents": "log",
}
"""Action → verb. What is not here is told as it is, and no expectation has it."""


@dataclass(frozen=True)
class Template:
    body: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> "Template":
        return cls(json.loads(path.read_text(encoding="utf-8")))

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
        """All that a role may do, in words, such as `write ModelBucket/candidates/*`."""
        assert "ManagedPolicyArns" not in self.of_type("AWS::IAM::Role")[role]
        return {
            f"{verb} {place}"
            for policy in self.of_type("AWS::IAM::Policy").values()
            if role in map(self.show, policy["Roles"])
            for statement in policy["PolicyDocument"]["Statement"]
            for verb, place in self._sentences(statement)
        }

    def function_may(self, stage: str) -> set[str]:
        """Beside writing its own logs and dead letters."""
        function = self.functions[stage]
        own = {
            f"log {self.show(function['LoggingConfig']['LogGroup'])}",
            f"send {self.show(function['DeadLetterConfig']['TargetArn'])}",
        }
        allowed = self.may(self.show(function["Role"]))
        assert own <= allowed
        return allowed - own

    def machine_may(self, name: str) -> set[str]:
        """Beside the delivery of logs, whose actions know no resource."""
        allowed = self.may(self.show(self.machines[name]["RoleArn"]))
        return {sentence for sentence in allowed if not re.fullmatch(r"logs:\w+ \*", sentence)}

    def _sentences(self, statement: dict[str, Any]) -> Iterator[tuple[str, str]]:
        assert statement["Effect"] == "Allow"
        for resource in _listed(statement["Resource"]):
            name, slash, rest = self.show(resource).partition("/")
            # A function's `:*` are its versions and aliases.
            place = self._names.get(name, self._names.get(name.removesuffix(":*"), name)) + slash + rest
            for action in _listed(statement["Action"]):
                verb = _VERBS.get(action, action)
                # Reading objects has no meaning for a bucket, nor listing for an object.
                if not (action.startswith("s3:") and (verb == "list") == bool(slash) and verb in ("list", "read")):
                    yield verb, place


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
