"""The stores that a function may use, named by its settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemill.aws import clients
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


@dataclass(frozen=True)
class Stores:
    """A store that the function has no setting for is there, and refuses every call."""

    data: Objects
    models: Objects
    captures: Objects
    registry: Registry
    notices: Notices

    @classmethod
    def of(cls, function: str, environment: Mapping[str, str]) -> "Stores":
        """Raises `InvalidSettings` with every setting that is missing."""
        settings = Settings.of(function, environment)
        s3 = clients.s3()
        return cls(
            Objects(s3, settings.data_bucket),
            Objects(s3, settings.model_bucket),
            Objects(s3, settings.capture_bucket),
            Registry(clients.dynamodb(), settings.registry_table),
            Notices(clients.sns(), settings.notice_topic),
        )
