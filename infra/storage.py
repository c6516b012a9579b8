"""What is kept: three buckets and the registry."""

from aws_cdk import Duration
from aws_cdk.aws_dynamodb import (
    Attribute,
    AttributeType,
    BillingMode,
    PointInTimeRecoverySpecification,
    Table,
)
from aws_cdk.aws_s3 import (
    BlockPublicAccess,
    Bucket,
    BucketEncryption,
    CfnBucket,
    LifecycleRule,
    ObjectOwnership,
)
from constructs import Construct

from infra.config import Environment

UPLOADS = "uploads/"
"""Starts the pipeline. Nothing of ours writes under it, nor under `BATCH`."""
BATCH = "batch/"
"""Is answered, file by file."""


class Storage(Construct):
    """Data and models are versioned: an upload is claimed by version, a model's version is never rewritten."""

    def __init__(self, scope: Construct, name: str, *, environment: Environment) -> None:
        super().__init__(scope, name)
        self.data = self._bucket("Data", environment, versioned=True)
        self.models = self._bucket(
            "Models",
            environment,
            LifecycleRule(id="candidates", prefix="candidates/", expiration=Duration.days(30)),
            versioned=True,
        )
        self.captures = self._bucket(
            "Captures",
            environment,
            LifecycleRule(id="captures", expiration=Duration.days(environment.capture_days)),
            versioned=False,
        )
        self.registry = Table(
            self,
            "Registry",
            partition_key=Attribute(name="pk", type=AttributeType.STRING),
            sort_key=Attribute(name="sk", type=AttributeType.STRING),
            billing_mode=BillingMode.PAY_PER_REQUEST,
            point_in_time_recovery_specification=PointInTimeRecoverySpecification(point_in_time_recovery_enabled=True),
            deletion_protection=environment.keeps_data,
            removal_policy=environment.removal_policy,
        )
        _send_events(self.data)

    def _bucket(self, name: str, environment: Environment, *rules: LifecycleRule, versioned: bool) -> Bucket:
        abort = LifecycleRule(id="incomplete", abort_incomplete_multipart_upload_after=Duration.days(7))
        old = LifecycleRule(id="noncurrent", noncurrent_version_expiration=Duration.days(environment.noncurrent_days))
        return Bucket(
            self,
            name,
            block_public_access=BlockPublicAccess.BLOCK_ALL,
            encryption=BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            object_ownership=ObjectOwnership.BUCKET_OWNER_ENFORCED,
            versioned=versioned,
            lifecycle_rules=[abort, *([old] if versioned else []), *rules],
            removal_policy=environment.removal_policy,
        )


def _send_events(bucket: Bucket) -> None:
    """`event_bridge_enabled=True` would bring a function of CDK's, with a role, to do what one property does."""
    resource = bucket.node.default_child
    if not isinstance(resource, CfnBucket):
        raise TypeError(f"{bucket.node.path} is not a bucket of this stack")
    resource.notification_configuration = CfnBucket.NotificationConfigurationProperty(
        event_bridge_configuration=CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
    )
