"""The HTTP API: `infer` answers every path, so that what does not exist is told in the same words as the rest.

A caller's policy can still name single paths: IAM sees the path of the request, not the resource that took it.
"""

from collections.abc import Mapping, Sequence

from aws_cdk import RemovalPolicy
from aws_cdk.aws_apigateway import (
    AccessLogFormat,
    AuthorizationType,
    EndpointConfiguration,
    EndpointType,
    IApiKey,
    LambdaIntegration,
    LogGroupLogDestination,
    MethodLoggingLevel,
    MethodOptions,
    Period,
    QuotaSettings,
    ResponseType,
    RestApi,
    StageOptions,
    ThrottleSettings,
    UsagePlanPerApiStage,
)
from aws_cdk.aws_lambda import IFunction
from aws_cdk.aws_logs import LogGroup
from constructs import Construct

from infra.config import Environment

_REFUSALS: Sequence[tuple[ResponseType, str, Mapping[str, str]]] = (
    (ResponseType.THROTTLED, "Too Many Requests", {"Retry-After": "1"}),
    (ResponseType.QUOTA_EXCEEDED, "Too Many Requests", {"Retry-After": "86400"}),
    (ResponseType.REQUEST_TOO_LARGE, "Content Too Large", {}),
    (ResponseType.DEFAULT_4_XX, "Refused", {}),
    (ResponseType.DEFAULT_5_XX, "Unavailable", {"Retry-After": "2"}),
)
"""What the gateway itself answers, in infer's place, and the headers that it adds."""
_MESSAGE = "$context.error.messageString"


class Api(Construct):
    """Regional, paid by the request. `/health` is open to all; the environment says who may call the rest: whom IAM
    knows, who has the `key`, or anybody."""

    def __init__(self, scope: Construct, name: str, *, infer: IFunction, environment: Environment) -> None:
        super().__init__(scope, name)
        keyed = environment.authorization == "API_KEY"
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
            default_method_options=MethodOptions(
                authorization_type=AuthorizationType.IAM
                if environment.authorization == "AWS_IAM"
                else AuthorizationType.NONE,
                api_key_required=keyed,
            ),
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
        self.rest.root.add_resource("health").add_method(
            "GET", authorization_type=AuthorizationType.NONE, api_key_required=False
        )
        self.rest.root.add_proxy(any_method=True)
        self._answer_as_infer_does()
        self.key = self._make_key(environment) if keyed else None

    def _answer_as_infer_does(self) -> None:
        """Problem documents, so that a client reads one form of error. The gateway knows what it refuses and sets the
        status by itself."""
        for kind, title, headers in _REFUSALS:
            said = {"Content-Type": "application/problem+json", **headers}
            self.rest.add_gateway_response(
                kind.response_type.title().replace("_", ""),
                type=kind,
                response_headers={name: f"'{value}'" for name, value in said.items()},
                # The message comes with its quotes.
                templates={
                    "application/json": f'{{"type":"about:blank","title":"{title}","detail":{_MESSAGE}}}',
                },
            )

    def _make_key(self, environment: Environment) -> IApiKey:
        """AWS makes up its value, which is in no template: `aws apigateway get-api-key --include-value` shows it."""
        calls = environment.key_calls_a_month
        plan = self.rest.add_usage_plan(
            "Plan",
            description=f"Tidemill {environment.name}: what one key may call",
            throttle=ThrottleSettings(rate_limit=environment.key_rate, burst_limit=environment.key_burst),
            quota=QuotaSettings(limit=calls, period=Period.MONTH) if calls else None,
            api_stages=[UsagePlanPerApiStage(api=self.rest, stage=self.rest.deployment_stage)],
        )
        key = self.rest.add_api_key("Key", description=f"Tidemill {environment.name}")
        plan.add_api_key(key)
        return key
