"""The stores that a function may use, named by its settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemill.aws import clients, lean
from tidemill.aws.failures import translated
from tidemill.aws.objects import Objects
from tidemill.aws.registry import Registry
from tidemill.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient


@dataclass(frozen=True)
class Notices:
    client: "SNSClient"
    topic: str

    def publish(self, subject: str, text: str) -> None:
        """SNS takes 100 characters of ASCII as a subject."""
        short = subject.encode("ascii", "replace").decode()[:100]
        with translated("publishing a notice"):
            self.client.publish(TopicArn=self.topic, Subject=short, Message=text)


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What answers requests, over clients that cost a cold start little.

    `capture` and `authorization`: see `Settings`. `room`: bytes of memory that models may take.
    """

    models: Objects
    captures: Objects
    registry: Registry
    capture: str = "store"
    authorization: str = "NONE"
    room: int = 500_000_000

    @classmethod
    def of_infer(cls, environment: Mapping[str, str]) -> "Serving":
        """Raises `InvalidSettings` with every setting that is missing."""
        settings = Settings.of("infer", environment)
        s3 = lean.s3()
        return cls(
            models=Objects(s3, settings.model_bucket),
            captures=Objects(s3, settings.capture_bucket),
            registry=Registry(lean.dynamodb(), settings.registry_table),
            capture=settings.capture,
            authorization=settings.authorization,
            # MB; half of it is for the models, the rest for the interpreter, the requests and a model that comes new.
            room=int(environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")) * 500_000,
        )


@dataclass(frozen=True, kw_only=True)
class Stores(Serving):
    """A store that the function has no setting for is there, and refuses every call."""

    data: Objects
    notices: Notices

    @classmethod
    def of(cls, function: str, environment: Mapping[str, str]) -> "Stores":
        """Raises `InvalidSettings` with every setting that is missing."""
        settings = Settings.of(function, environment)
        s3 = clients.s3()
        return cls(
            models=Objects(s3, settings.model_bucket),
            captures=Objects(s3, settings.capture_bucket),
            registry=Registry(clients.dynamodb(), settings.registry_table),
            data=Objects(s3, settings.data_bucket),
            notices=Notices(clients.sns(), settings.notice_topic),
        )
