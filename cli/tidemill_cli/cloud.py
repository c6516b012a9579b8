"""The cloud that a command works on: the local one or AWS, with its stores, clients and HTTP endpoint."""

import getpass
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, BinaryIO

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError, NoCredentialsError, NoRegionError, ProfileNotFound

from tidemill.aws.failures import translated
from tidemill.aws.objects import Objects
from tidemill.aws.paths import spec_key, version_prefix
from tidemill.aws.registry import Champion, Registry
from tidemill.contracts import UPLOADS, Upload
from tidemill.errors import NotFound
from tidemill.flows.specs import watched_by
from tidemill.names import model_name
from tidemill.spec import ModelSpec, parse_spec
from tidemill_cli.local.cloud import Deployment, LocalCloud

_HOLDERS = {"datasets": "DataBucket", "models": "ModelBucket", "drift": "CaptureBucket"}


@dataclass(frozen=True)
class Wish:
    """What the options say about where to work; empty where they say nothing."""

    local: bool = False
    profile: str = ""
    region: str = ""
    environment: str = ""

    @property
    def aws(self) -> bool:
        return bool(self.profile or self.region or self.environment)


@dataclass(frozen=True)
class Target:
    """One deployed stack. `sign` puts on a request what the endpoint knows its callers by: a signature, or a key."""

    name: str
    is_local: bool
    outputs: Mapping[str, str]
    client: Callable[[str], Any]
    url: str
    who: Callable[[], str]
    sign: Callable[[AWSRequest], None] | None = None

    @cached_property
    def data(self) -> Objects:
        return Objects(self.client("s3"), self.outputs["DataBucket"])

    @cached_property
    def registry(self) -> Registry:
        return Registry(self.client("dynamodb"), self.outputs["RegistryTable"])

    @cached_property
    def states(self) -> Any:
        """The client of Step Functions."""
        return self.client("stepfunctions")

    def holding(self, key: str) -> Objects:
        """The bucket that a key of a report or a partition is in."""
        return Objects(self.client("s3"), self.outputs[_HOLDERS[key.split("/", 1)[0]]])

    def uri_of_spec(self, model: str) -> str:
        return f"s3://{self.data.bucket}/{spec_key(model)}"

    def uri(self, key: str | None) -> str | None:
        return f"s3://{self.holding(key).bucket}/{key}" if key else None

    def put_upload(self, model: str, name: str, file: BinaryIO, size: int, top: str = UPLOADS) -> Upload:
        """Streamed, so that a gigabyte needs no gigabyte of memory."""
        key = f"{top}{model}/{name}"
        with translated(f"uploading {name}"):
            answer = self.data.client.put_object(Bucket=self.data.bucket, Key=key, Body=file)
        return Upload(self.data.bucket, key, answer.get("VersionId", ""), size)

    def spec(self, model: str) -> str | None:
        """The model's spec as it was written, None where there is none."""
        try:
            return self.data.get(spec_key(model)).decode(errors="replace")
        except NotFound:
            return None

    def champion(self, model: str) -> Champion:
        """Raises `NotFound` for a model that is not known, or that has none."""
        champion = self.registry.champion(self.known(model))
        if champion is None:
            raise NotFound(f"model {model!r} has no champion to check yet")
        return champion

    def watched_by(self, model: str) -> tuple[ModelSpec, str]:
        """The spec by which the champion is checked and retrained, and why that is not the present one; raises
        `NotFound` without a champion."""
        key = f"{version_prefix(model, self.champion(model).version)}manifest.json"
        return watched_by(model, parse_spec(self.holding(key).get_json(key)["spec"]), self.data)

    def known(self, model: str) -> str:
        """The name itself; raises `NotFound` where neither a run nor a spec has it."""
        name = model_name(model)
        if name not in self.registry.models() and self.spec(name) is None:
            raise NotFound(f"model {name!r} does not exist; `tidemill models` lists those that do")
        return name


def choose(wish: Wish) -> Target:
    """The local cloud when it runs and nothing asks for AWS; raises `NotFound` where there is nothing to work on."""
    if not wish.aws:
        deployment = local_cloud().status().deployment
        if deployment:
            return on_local(deployment)
        if wish.local:
            raise NotFound("the local cloud is not running: start it with `tidemill local up`")
    return on_aws(wish)


def local_cloud(port: int | None = None) -> LocalCloud:
    root = project_root()
    return LocalCloud(root) if port is None else LocalCloud(root, port=port)


def project_root() -> Path:
    """The checkout that one stands in, else the one that this command was installed from."""
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (folder / "cdk.json").exists() and (folder / "statemachines" / "pipeline.asl.json").exists():
            return folder
    return here


def on_local(deployment: Deployment) -> Target:
    if not deployment.outputs:
        raise NotFound("the local cloud runs and nothing is deployed on it: run `tidemill local up`")
    return Target(
        name="the local cloud",
        is_local=True,
        outputs=deployment.outputs,
        client=deployment.client,
        url=deployment.api_url,
        who=getpass.getuser,
        sign=_showing_key(deployment.client, deployment.outputs),
    )


def aws_session(wish: Wish) -> boto3.Session:
    """AWS_REGION counts, as it does for the AWS and the CDK CLI; boto3 alone knows AWS_DEFAULT_REGION only."""
    region = wish.region or os.environ.get("AWS_REGION")
    return boto3.Session(profile_name=wish.profile or None, region_name=region or None)


def on_aws(wish: Wish) -> Target:
    stack = f"Tidemill-{wish.environment or 'dev'}"
    try:
        session = aws_session(wish)
        described = session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    except ProfileNotFound as error:
        raise NotFound(f"{error}; see `aws configure list-profiles`") from None
    except (NoCredentialsError, NoRegionError) as error:
        missing = f"AWS {'has no region' if isinstance(error, NoRegionError) else 'has no credentials'}"
        remedy = "set one by --profile, --region or the AWS_ variables"
        if not wish.aws:
            missing = f"the local cloud is not running, and {missing}"
            remedy = f"start it with `tidemill local up`, or {remedy}"
        raise NotFound(f"{missing}: {remedy}") from None
    except ClientError as error:
        if "does not exist" in error.response["Error"].get("Message", ""):
            raise NotFound(
                f"stack {stack} is not deployed in {session.region_name}: deploy it with `cdk deploy`, or name another "
                "with --environment, --region or --profile"
            ) from None
        raise

    def client(service: str) -> Any:
        return session.client(service)  # type: ignore[call-overload]

    outputs = {entry["OutputKey"]: entry["OutputValue"] for entry in described.get("Outputs", ())}
    account = described["StackId"].split(":")[4]
    return Target(
        name=f"{stack} in {session.region_name}, account {account}",
        is_local=False,
        outputs=outputs,
        client=client,
        url=outputs["EndpointUrl"].rstrip("/"),
        who=lambda: str(session.client("sts").get_caller_identity()["Arn"]),
        sign=_showing_key(client, outputs) or _signer(session),
    )


def _showing_key(client: Callable[[str], Any], outputs: Mapping[str, str]) -> Callable[[AWSRequest], None] | None:
    """None where the endpoint has no key."""
    if "ApiKeyId" not in outputs:
        return None

    @cache
    def key() -> str:
        return str(client("apigateway").get_api_key(apiKey=outputs["ApiKeyId"], includeValue=True)["value"])

    def show(request: AWSRequest) -> None:
        request.headers["x-api-key"] = key()

    return show


def _signer(session: boto3.Session) -> Callable[[AWSRequest], None]:
    def sign(request: AWSRequest) -> None:
        credentials = session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        # Frozen for each request: a long run outlives temporary credentials, which the session renews.
        SigV4Auth(credentials.get_frozen_credentials(), "execute-api", session.region_name).add_auth(request)

    return sign
