"""The API's own description: a valid one, of every route, with each model's own fields."""

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.unit.builders import Alone, dataset, observations, served
from tidemill.stages.openapi import document

AUTHORIZATIONS = ("AWS_IAM", "API_KEY", "NONE")


@pytest.fixture(scope="module")
def alone() -> Alone:
    return Alone(served(dataset(observations(300, task="binary"))))


def described(alone: Alone, authorization: str = "AWS_IAM") -> dict[str, Any]:
    return document([alone.contract("demo")], authorization)


@pytest.mark.parametrize("authorization", AUTHORIZATIONS)
@pytest.mark.parametrize("models", [0, 1])
def test_it_is_valid_with_and_without_models(alone: Alone, authorization: str, models: int) -> None:
    OpenAPIV31SpecValidator(document([alone.contract("demo")] * models, authorization, ["old"])).validate()


def test_every_path_that_it_has_is_one_that_is_answered(alone: Alone) -> None:
    for path, item in described(alone)["paths"].items():
        for method in {"get", "post"} & set(item):
            concrete = path.replace("{model}", "demo").replace("{version}", "3")
            response = alone.call(method.upper(), concrete, {} if method == "post" else None)
            assert response.status in (200, 400), (path, response.body)
            assert response.status == 200 or method == "post"


def test_replies_are_what_their_schemas_say(alone: Alone) -> None:
    api = described(alone)
    registry: Registry[Any] = Registry().with_resource("urn:api", DRAFT202012.create_resource(api))
    for path, item in api["paths"].items():
        if "get" not in item or path in {"/docs", "/models/{model}"}:
            continue
        schema = item["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        whole = {"$ref": f"urn:api{schema['$ref']}"} if "$ref" in schema else schema
        reply = alone.call("GET", path.replace("{model}", "demo").replace("{version}", "3"))
        Draft202012Validator(whole, registry=registry).validate(reply.document)


def test_names_that_no_model_has_are_refused_by_the_description_as_by_the_endpoint(alone: Alone) -> None:
    for path, item in described(alone)["paths"].items():
        if "{model}" not in path:
            continue
        (schema,) = [each["schema"] for each in item["parameters"] if each["name"] == "model"]
        valid = Draft202012Validator(schema).is_valid
        assert all(map(valid, ("demo", "a-1_b")))
        assert not any(map(valid, ("Demo", "é", "-", "x" * 41)))
        for method in {"get", "post"} & set(item):
            response = alone.call(method.upper(), path.replace("{model}", "Demo").replace("{version}", "3"), {})
            assert response.status == 400
            assert {"400", "default"} & set(item[method]["responses"])


@pytest.mark.parametrize(
    "changed",
    [
        {"inputs": []}, {"id": 5}, {"id": "x" * 1_001}, {"inputs": [{}]},
        *({"inputs": [{"name": "size", "datatype": kind, "shape": shape, "data": [50.0]}]} for kind, shape in (
            ("FP8", [1]), ("FP64", []), ("FP64", [0]), ("FP64", [-1]), ("FP64", [1, 2]), ("FP64", [1, 1, 1]))),
    ],
)  # fmt: skip
def test_tensors_that_the_description_refuses_the_endpoint_refuses(alone: Alone, changed: dict[str, Any]) -> None:
    registry: Registry[Any] = Registry().with_resource("urn:api", DRAFT202012.create_resource(described(alone)))
    schema = Draft202012Validator({"$ref": "urn:api#/components/schemas/V2Request"}, registry=registry)
    good = {"id": "mine", "inputs": [{"name": "size", "datatype": "FP64", "shape": [1, 1], "data": [50.0]}]}
    for body, valid in ((good, True), ({**good, **changed}, False)):
        assert schema.is_valid(body) == valid
        assert (alone.call("POST", "/v2/models/demo/infer", body).status == 200) == valid


def test_a_model_has_a_path_and_schemas_of_its_own(alone: Alone) -> None:
    api = described(alone)
    body = api["paths"]["/models/demo/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/demo.Request"}
    assert set(api["components"]["schemas"]["demo.Row"]["properties"]) == {"size", "flag", "day", "colour", "town"}


def test_names_are_such_as_openapi_allows_and_operations_have_one_each(alone: Alone) -> None:
    api = described(alone)
    assert all(re.fullmatch(r"[a-zA-Z0-9._-]+", name) for kind in api["components"].values() for name in kind)
    operations = [item[method] for item in api["paths"].values() for method in ("get", "post") if method in item]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("authorization", "names", "header"),
    [("AWS_IAM", ["sigv4"], "Authorization"), ("API_KEY", ["apiKey"], "x-api-key"), ("NONE", [], "")],
)
def test_it_says_how_the_stack_authorises_and_that_health_is_open(
    alone: Alone, authorization: str, names: list[str], header: str
) -> None:
    api = described(alone, authorization)
    assert [name for scheme in api["security"] for name in scheme] == names
    assert [scheme["name"] for scheme in api["components"].get("securitySchemes", {}).values()] == [header][
        : len(names)
    ]
    assert api["paths"]["/health"]["get"]["security"] == []
    assert "security" not in api["paths"]["/docs"]["get"]


def test_its_server_is_beside_it_whatever_the_stage(alone: Alone) -> None:
    assert described(alone)["servers"] == [{"url": "."}]


def test_refusals_are_problem_documents_and_throttles_say_when_to_come_back(alone: Alone) -> None:
    api = described(alone)
    answers = api["paths"]["/models/demo/predict"]["post"]["responses"]
    assert {"400", "403", "404", "405", "413", "429", "500", "503"} < set(answers)
    for status, answer in answers.items():
        if status != "200":
            named = api["components"]["responses"][answer["$ref"].rpartition("/")[2]]
            assert list(named["content"]) == ["application/problem+json"]
            assert ("Retry-After" in named.get("headers", {})) == (status in ("429", "503"))


def test_a_model_that_cannot_be_read_is_named(alone: Alone) -> None:
    assert document([], "NONE", ["old"])["info"]["description"].endswith("cannot be read: old.")
