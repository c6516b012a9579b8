"""The HTTP API: `infer` answers every path, so that what does not exist is told in the same words as the rest.

A caller's policy can still name single paths: IAM sees the path of the request, not the resource that took it.
"""

from aws_cdk import RemovalPolicy
from aws_cdk.aws_apigateway import (
    AccessLogFormat,
    AuthorizationType,
    EndpointConfiguration,
    EndpointType,
    LambdaIntegration,
    LogGroupLogDestination,
    MethodLoggingLevel,
    MethodOptions,
    RestApi,
    StageOptions,
)
from aws_cdk.aws_lambda import IFunction
from aws_cdk.aws_logs import LogGroup
from constructs import Construct

from infra.config import Environment

_AUTHORIZATIONS = {"AWS_IAM": AuthorizationType.IAM, "NONE": AuthorizationType.NONE}


class Api(Construct):
    """Regional, paid by the request. `/health` is open to all; the environment says who may call the rest."""

    def __init__(self, scope: Construct, name: str, *, infer: IFunction, environment: Environment) -> None:
        super().__init__(scope, name)
        logs = LogGroup(
            self, "AccessLogs", retention=environment.log_retention, removal_policy=environment.removal_policy
        )
        self.rest = RestApi(
            self,
            "Rest",
            rest_api_name=f"tidemill-{environment.name}",
            endpoint_configuration=EndpointConfiguration(types=[EndpointType.REGIONAL]),
            # One permission for the whole API: one a method would be ten more resources that say the same.
            default_integration=LambdaIntegration(infer, scope_permission_to_method=False),
            default_method_options=MethodOptions(authorization_type=_AUTHORIZATIONS[environment.authorization]),
            # API Gateway writes logs through one role an account and region, so it must outlive this stack.
            cloud_watch_role=True,
            cloud_watch_role_removal_policy=RemovalPolicy.RETAIN,
            deploy_options=StageOptions(
                stage_name="v1",
                throttling_rate_limit=environment.throttle_rate,
                throttling_burst_limit=environment.throttle_burst,
                # Why the gateway itself refused or failed; what callers send is in no log.
                logging_level=MethodLoggingLevel.ERROR,
                data_trace_enabled=False,
                access_log_destination=LogGroupLogDestination(logs),
                access_log_format=AccessLogFormat.json_with_standard_fields(
                    caller=False,
                    http_method=True,
                    ip=False,
                    protocol=True,
                    request_time=True,
                    resource_path=True,
                    response_length=True,
                    status=True,
                    user=False,
                ),
            ),
        )
        # API Gateway would make this group itself, and keep it for ever.
        errors = LogGroup(
            self,
            "ErrorLogs",
            log_group_name=f"API-Gateway-Execution-Logs_{self.rest.rest_api_id}/v1",
            retention=environment.log_retention,
            removal_policy=environment.removal_policy,
        )
        self.rest.deployment_stage.node.add_dependency(errors)
        # CDK's own output, which the stack gives under the name that the command knows.
        self.rest.node.try_remove_child("Endpoint")
        self.rest.root.add_resource("health").add_method("GET", authorization_type=AuthorizationType.NONE)
        self.rest.root.add_proxy(any_method=True)
