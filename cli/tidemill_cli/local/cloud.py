"""The local cloud: MiniStack with the project's stack on it, the template that goes to AWS."""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

from tidemill_cli.local import assembly, stack
from tidemill_cli.local.process import REGION, Instance, MiniStack, exclusive

Progress = Callable[[str], None]

PORT = 4566
STACK = "Tidemill-local"
REST_API_URL = re.compile(r"https://(?P<api>[a-z0-9]+)\.execute-api\.[^/]+/(?P<stage>[^/]+)/?")


@dataclass(frozen=True)
class Deployment:
    """How to reach what is deployed. `outputs` is empty where nothing is."""

    endpoint: str
    outputs: Mapping[str, str] = field(default_factory=dict)
    region: str = REGION

    def client_kwargs(self) -> dict[str, Any]:
        """For `boto3.client(service, **…)`. The keys are dummies and never the user's own."""
        return {
            "endpoint_url": self.endpoint,
            "region_name": self.region,
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
            # A proxy of the environment is for the outside world.
            "config": Config(proxies={}),
        }

    def client(self, service: str) -> Any:
        # Whatever profile the user's environment names is not asked for; it may not even exist.
        session = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
        return boto3.Session(botocore_session=session).client(service, **self.client_kwargs())  # type: ignore[call-overload]

    @property
    def api_url(self) -> str:
        """The output EndpointUrl as it is answered here, without a slash at its end."""
        url = self.outputs["EndpointUrl"]
        if match := REST_API_URL.fullmatch(url):
            return f"{self.endpoint}/restapis/{match['api']}/{match['stage']}/_user_request_"
        return url.rstrip("/")


@dataclass(frozen=True)
class Status:
    """`deployment` is None while nothing runs; `outdated` is True where `up` has something to do."""

    deployment: Deployment | None
    pid: int | None
    outdated: bool
    folder: Path
    log: Path


class LocalCloud:
    """One folder is one cloud. It outlives the process that started it; what it stores outlives `down`."""

    def __init__(self, root: Path, folder: Path | None = None, *, port: int = PORT) -> None:
        """`port` 0 takes any; another than the wished one is taken where that is in use."""
        self._root = root.resolve()
        self._folder = (folder or root / ".tidemill" / "local").resolve()
        self._lock = self._folder / "command.lock"
        self._record = self._folder / "cloud.json"
        self._ministack = MiniStack(self._folder, port)

    def up(self, progress: Progress = lambda _: None, *, deploy: bool = True) -> Deployment:
        """Started and up to date with the sources; without `deploy` only started, for `cdk deploy`."""
        with exclusive(self._lock):
            instance = self._ministack.running()
            if instance is None:
                progress("starting MiniStack")
                instance = self._ministack.start()
            if deploy and self._outdated(instance):
                self._deploy(instance, progress)
            return self._deployment(instance)

    def down(self) -> bool:
        """False where nothing was running."""
        with exclusive(self._lock):
            return self._ministack.stop()

    def reset(self) -> None:
        """Down, and nothing that was stored is left."""
        with exclusive(self._lock):
            self._ministack.stop()
            for path in self._folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path != self._lock:
                    path.unlink()

    def status(self) -> Status:
        instance = self._ministack.running()
        return Status(
            deployment=self._deployment(instance) if instance else None,
            pid=instance.pid if instance else None,
            outdated=instance is None or self._outdated(instance),
            folder=self._folder,
            log=self._ministack.log,
        )

    def _deployment(self, instance: Instance) -> Deployment:
        reached = Deployment(instance.endpoint)
        deployed = stack.describe(reached.client("cloudformation"), STACK)
        return replace(reached, outputs=stack.outputs(deployed)) if deployed else reached

    def _outdated(self, instance: Instance) -> bool:
        """What was deployed last is other sources, or not what is there: someone else may deploy here too."""
        if not self._record.exists():
            return True
        deployed = stack.describe(Deployment(instance.endpoint).client("cloudformation"), STACK)
        if deployed is None:
            return True
        current = {"digest": assembly.digest(self._root), "revision": stack.revision(deployed)}
        return bool(json.loads(self._record.read_text()) != current)

    def _deploy(self, instance: Instance, progress: Progress) -> None:
        reached = Deployment(instance.endpoint)
        cloudformation, s3 = reached.client("cloudformation"), reached.client("s3")
        # Taken before the sources are read: a change during synthesis is deployed by the next `up`.
        digest = assembly.digest(self._root)
        progress("synthesizing the CDK app")
        assets, template = assembly.synthesize(self._root, self._folder / "cdk.out", REGION)
        progress("publishing code")
        if stack.describe(cloudformation, stack.TOOLKIT) is None:
            toolkit = json.dumps(stack.TOOLKIT_TEMPLATE)
            stack.deploy(cloudformation, {"StackName": stack.TOOLKIT, "TemplateBody": toolkit})
        stack.publish(s3, assets)
        progress(f"deploying the stack {STACK}")
        url = f"{reached.endpoint}/{template.bucket}/{template.key}"
        deployed = stack.deploy(
            cloudformation, {"StackName": STACK, "TemplateURL": url, "Capabilities": ["CAPABILITY_NAMED_IAM"]}
        )
        self._record.write_text(json.dumps({"digest": digest, "revision": stack.revision(deployed)}))
