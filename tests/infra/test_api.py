import json

import pytest

from infra.app import NO_BUNDLING, synthesize
from tests.infra.conftest import Synthesized
from tests.infra.template import Template

ROUTES = {"GET /health", "ANY ", "ANY /{proxy+}"}


def routes(template: Template) -> dict[str, str]:
    """`GET /path` → its authorisation: AWS_IAM, API_KEY or NONE."""
    resources = template.of_type("AWS::ApiGateway::Resource")

    def path(name: str) -> str:
        if name not in resources:
            return ""
        return f"{path(template.show(resources[name]['ParentId']))}/{resources[name]['PathPart']}"

    return {
        f"{method['HttpMethod']} {path(template.show(method['ResourceId']))}": (
            "API_KEY" if method.get("ApiKeyRequired") else method["AuthorizationType"]
        )
        for method in template.of_type("AWS::ApiGateway::Method").values()
    }


def test_all_but_health_is_one_route_so_that_one_place_tells_what_does_not_exist(template: Template) -> None:
    assert set(routes(template)) == ROUTES


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_all_but_health_must_be_signed_in_the_cloud(synthesized: Synthesized, environment: str) -> None:
    authorizations = routes(synthesized(environment))
    assert authorizations.pop("GET /health") == "NONE"
    assert set(authorizations.values()) == {"AWS_IAM"}


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Template:
    folder = tmp_path_factory.mktemp("keyed")
    said = {"authorization": "API_KEY", "key_rate": 3, "key_burst": 5, "key_calls_a_month": 1_000}
    synthesize({**NO_BUNDLING, **said}, outdir=folder)
    return Template.load(folder / "Tidemill-dev.template.json")


def test_all_but_health_needs_the_key_where_that_is_configured(keyed: Template) -> None:
    authorizations = routes(keyed)
    assert authorizations.pop("GET /health") == "NONE"
    assert set(authorizations.values()) == {"API_KEY"}


@pytest.mark.parametrize("environment", ["local", "dev", "prod"])
def test_infer_is_told_who_may_call_so_that_it_can_describe_it(synthesized: Synthesized, environment: str) -> None:
    found = synthesized(environment)
    told = found.functions["infer"]["Environment"]["Variables"]["AUTHORIZATION"]
    assert told == routes(found)["ANY /{proxy+}"]


def test_a_key_has_a_plan_of_its_own_and_its_value_is_in_no_template(keyed: Template) -> None:
    plan, key = keyed.the("AWS::ApiGateway::UsagePlan"), keyed.the("AWS::ApiGateway::ApiKey")
    assert plan["Throttle"] == {"RateLimit": 3, "BurstLimit": 5}
    assert plan["Quota"] == {"Limit": 1_000, "Period": "MONTH"}
    (name,) = keyed.of_type("AWS::ApiGateway::ApiKey")
    assert keyed.show(keyed.the("AWS::ApiGateway::UsagePlanKey")["KeyId"]) == keyed.outputs["ApiKeyId"] == name
    assert "Value" not in key


def test_without_a_key_there_is_no_plan(template: Template) -> None:
    assert not template.of_type("AWS::ApiGateway::UsagePlan")
    assert "ApiKeyId" not in template.outputs


def test_what_the_gateway_refuses_is_a_problem_document_and_a_throttle_says_when_to_come_back(
    template: Template,
) -> None:
    answers = {one["ResponseType"]: one for one in template.of_type("AWS::ApiGateway::GatewayResponse").values()}
    assert {"DEFAULT_4XX", "DEFAULT_5XX", "REQUEST_TOO_LARGE", "THROTTLED", "QUOTA_EXCEEDED"} == set(answers)
    for answer in answers.values():
        headers = answer["ResponseParameters"]
        assert headers["gatewayresponse.header.Content-Type"] == "'application/problem+json'"
        said = answer["ResponseTemplates"]["application/json"].replace("$context.error.messageString", '"why"')
        assert json.loads(said)["detail"] == "why"
        # None hides a status behind another one.
        assert "StatusCode" not in answer
    waiting = {
        kind for kind, one in answers.items() if "gatewayresponse.header.Retry-After" in one["ResponseParameters"]
    }
    assert waiting == {"THROTTLED", "QUOTA_EXCEEDED", "DEFAULT_5XX"}


def test_calls_are_not_signed_on_the_local_cloud(synthesized: Synthesized) -> None:
    assert set(routes(synthesized("local")).values()) == {"NONE"}


def test_every_route_is_answered_by_infer(template: Template) -> None:
    (infer,) = [
        name
        for name, function in template.of_type("AWS::Lambda::Function").items()
        if function is template.functions["infer"]
    ]
    integrations = [method["Integration"] for method in template.of_type("AWS::ApiGateway::Method").values()]
    assert {integration["Type"] for integration in integrations} == {"AWS_PROXY"}
    assert all(f"functions/{infer}/invocations" in template.show(integration["Uri"]) for integration in integrations)


def test_stage_is_v1_and_throttled_and_writes_an_access_log(template: Template) -> None:
    stage = template.the("AWS::ApiGateway::Stage")
    assert stage["StageName"] == "v1"
    (settings,) = stage["MethodSettings"]
    assert (settings["ThrottlingRateLimit"], settings["ThrottlingBurstLimit"]) == (50, 100)
    assert template.show(stage["AccessLogSetting"]["DestinationArn"]) in template.of_type("AWS::Logs::LogGroup")


def test_access_log_tells_nothing_of_who_called(template: Template) -> None:
    fields = json.loads(template.the("AWS::ApiGateway::Stage")["AccessLogSetting"]["Format"])
    assert not {"ip", "user", "caller"} & set(fields)


def test_gateway_logs_its_own_failures_for_as_long_as_the_rest_and_no_bodies(template: Template) -> None:
    (settings,) = template.the("AWS::ApiGateway::Stage")["MethodSettings"]
    assert (settings["LoggingLevel"], settings["DataTraceEnabled"]) == ("ERROR", False)
    # Under the name that API Gateway gives it: the group that it would make itself has no retention.
    (api,) = template.of_type("AWS::ApiGateway::RestApi")
    names = [template.show(one.get("LogGroupName")) for one in template.of_type("AWS::Logs::LogGroup").values()]
    assert f"API-Gateway-Execution-Logs_{api}/v1" in names


def test_api_is_regional(template: Template) -> None:
    assert template.the("AWS::ApiGateway::RestApi")["EndpointConfiguration"]["Types"] == ["REGIONAL"]


def test_role_that_writes_access_logs_outlives_the_stack(template: Template) -> None:
    # It is set once an account and region: without it other APIs of the account would lose their logs.
    (account,) = template.of_type("AWS::ApiGateway::Account").values()
    role = template.show(account["CloudWatchRoleArn"])
    assert template.policies_of(role) == ["Retain", "Retain"]
