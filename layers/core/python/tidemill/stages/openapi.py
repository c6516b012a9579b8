"""The API as OpenAPI 3.1. Each model has paths of its own, so that a client made from this has its fields, typed."""

from collections.abc import Mapping, Sequence
from typing import Any

from tidemill.names import MODEL_NAME
from tidemill.stages import contract
from tidemill.stages.contract import Contract, Node
from tidemill.stages.v2 import DATATYPES, LONGEST_ID, VERSION

_SCHEMES: Mapping[str, tuple[str, Node]] = {
    "AWS_IAM": (
        "sigv4",
        {
            "type": "apiKey",
            "name": "Authorization",
            "in": "header",
            "description": "A signature of the caller's own role: SigV4, service execute-api.",
            "x-amazon-apigateway-authtype": "awsSigv4",
        },
    ),
    "API_KEY": ("apiKey", {"type": "apiKey", "name": "x-api-key", "in": "header"}),
}
_REFUSALS: Mapping[int, tuple[str, str]] = {
    400: ("BadRequest", "It cannot be used as it was sent; `errors` names each bad value of a row."),
    403: ("Forbidden", "The caller may not call this. The gateway says it, without `status`."),
    404: ("NotFound", "There is no such model or route."),
    405: ("WrongMethod", "The route has another method."),
    413: ("TooLarge", "More than one call can take; the limit is in `detail`."),
    429: ("Throttled", "Too many calls. The gateway says it, without `status`."),
    500: ("Unable", "The service is not able to answer; its log says why."),
    503: ("Away", "A store cannot be reached in this moment."),
}
_HEADERS: Mapping[int, tuple[str, str]] = {
    405: ("Allow", "The method that it has."),
    429: ("Retry-After", "Seconds to wait."),
    503: ("Retry-After", "Seconds to wait."),
}
_OFTEN = (403, 405, 429, 500, 503)
_PROBLEM: Node = {
    "type": "object",
    "description": "RFC 9457.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {"type": "array", "maxItems": 100, "items": {"$ref": "#/components/schemas/BadValue"}},
    },
    "required": ["type", "title", "detail"],
}
_BAD_VALUE: Node = {
    "type": "object",
    "properties": {
        "row": {"type": "integer", "description": "From 0."},
        **{name: {"type": "string"} for name in ("field", "expected", "got")},
    },
    "required": ["row", "field", "expected", "got"],
}
_MODEL = {
    "name": "model",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": f"^{MODEL_NAME.pattern}$"},
}
_MODEL_VERSION = {
    "name": "version",
    "in": "path",
    "required": True,
    "description": "The champion's: no other serves.",
    "schema": {"type": "string"},
}


def document(contracts: Sequence[Contract], authorization: str, unread: Sequence[str] = ()) -> Node:
    """`unread`: models that serve, or should, and whose contract cannot be read."""
    scheme = _SCHEMES.get(authorization)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tidemill", "version": VERSION, "description": _description(unread)},
        # Beside this document, whatever the stage or the proxy that it is read through.
        "servers": [{"url": "."}],
        "security": [{scheme[0]: []}] if scheme else [],
        "tags": [
            *({"name": each.model, "description": _of_model(each)} for each in contracts),
            {"name": "models"},
            {"name": "about", "description": "What the API says of itself."},
            {"name": "v2", "description": "The Open Inference Protocol."},
        ],
        "paths": _general() | _protocol() | {path: item for each in contracts for path, item in _own(each).items()},
        "components": {
            "schemas": _GENERAL_SCHEMAS | {n: node for each in contracts for n, node in _own_schemas(each).items()},
            "responses": {name: _refusal(status) for status, (name, _) in _REFUSALS.items()}
            | {"V2Refused": {"description": "One sentence says why.", "content": _json("V2Error")}},
            **({"securitySchemes": dict([scheme])} if scheme else {}),
        },
    }


def _description(unread: Sequence[str]) -> str:
    said = "Predictions of tabular models, each with the fields that its own data had."
    return f"{said} Not described, since their contract cannot be read: {', '.join(unread)}." if unread else said


def _of_model(each: Contract) -> str:
    target = each.schema.target.name
    what = f"one of {len(each.classes)} classes" if each.classes else "a number"
    return f"Version {each.version} predicts {target}, {what}, from {len(each.schema.features)} fields."


def _own(each: Contract) -> Node:
    name = each.model
    return {
        f"/models/{name}/predict": _post(
            name, f"predict_{name}", f"Predict rows of {name}", f"{name}.Request", 200, f"{name}.Reply"
        ),
        f"/models/{name}/labels": _post(
            name, f"label_{name}", f"Say what became of predictions of {name}", f"{name}.Labels", 202, "Accepted"
        ),
    }


def _own_schemas(each: Contract) -> Node:
    name = each.model
    return {
        f"{name}.Row": contract.row(each.schema),
        f"{name}.Request": contract.request(each, _ref(f"{name}.Row")),
        f"{name}.Reply": contract.reply(each),
        f"{name}.Labels": contract.labels(each),
    }


def _general() -> Node:
    page = {"text/html": {"schema": {"type": "string"}}}
    health = _get("about", "health", "Whether the service runs", _json("Health"))
    return {
        "/health": {"get": health["get"] | {"security": []}},
        "/openapi.json": _get(
            "about", "openapi", "This document", {"application/json": {"schema": {"type": "object"}}}
        ),
        "/docs": _get("about", "docs", "A page to read about the API and to try it", page),
        "/models": _get("models", "models", "All models", _json("Models")),
        "/models/{model}": _get("models", "model", "A model, and its fields", _json("Model"), _MODEL),
        "/models/{model}/schema": _get(
            "models", "schema", "The JSON Schema of a row", {"application/json": {"schema": {"type": "object"}}}, _MODEL
        ),
    }


def _protocol() -> Node:
    """Errors have a form of their own there."""
    said = {"default": {"$ref": "#/components/responses/V2Refused"}}
    found: Node = {
        "/v2": _get("v2", "v2_server", "The server", _json("V2Server")),
        "/v2/health/live": _get("v2", "v2_live", "Whether it runs", _json("V2Live")),
        "/v2/health/ready": _get("v2", "v2_ready", "Whether it can answer", _json("V2Ready")),
    }
    for more, base, parameters in (
        ("", "/v2/models/{model}", (_MODEL,)),
        ("_version", "/v2/models/{model}/versions/{version}", (_MODEL, _MODEL_VERSION)),
    ):
        found[base] = _get("v2", f"v2_model{more}", "A model's tensors", _json("V2Model"), *parameters)
        found[f"{base}/ready"] = _get("v2", f"v2_model{more}_ready", "Whether it serves", _json("V2Ready"), *parameters)
        infer = _post("v2", f"v2_infer{more}", "Predict tensors", "V2Request", 200, "V2Response")
        found[f"{base}/infer"] = infer | {"parameters": list(parameters)}
    for item in found.values():
        for operation in (item[method] for method in ("get", "post") if method in item):
            answers = operation["responses"]
            operation["responses"] = {key: one for key, one in answers.items() if key < "300"} | said
    return found


def _get(tag: str, identity: str, summary: str, content: Node, *parameters: Node) -> Node:
    refused = (400, 404, *_OFTEN) if parameters else _OFTEN
    operation = {
        "tags": [tag],
        "operationId": identity,
        "summary": summary,
        "responses": {"200": {"description": "The answer.", "content": content}} | _refused(refused),
    }
    return {"get": operation} | ({"parameters": list(parameters)} if parameters else {})


def _post(tag: str, identity: str, summary: str, body: str, status: int, answer: str) -> Node:
    return {
        "post": {
            "tags": [tag],
            "operationId": identity,
            "summary": summary,
            "requestBody": {"required": True, "content": _json(body)},
            "responses": {str(status): {"description": "The answer.", "content": _json(answer)}}
            | _refused((400, 404, 413, *_OFTEN)),
        }
    }


def _refused(statuses: Sequence[int]) -> Node:
    return {str(status): {"$ref": f"#/components/responses/{_REFUSALS[status][0]}"} for status in sorted(statuses)}


def _refusal(status: int) -> Node:
    said: Node = {
        "description": _REFUSALS[status][1],
        "content": {"application/problem+json": {"schema": _ref("Problem")}},
    }
    if status in _HEADERS:
        name, description = _HEADERS[status]
        said["headers"] = {name: {"description": description, "schema": {"type": "string"}}}
    return said


def _json(name: str) -> Node:
    return {"application/json": {"schema": _ref(name)}}


def _ref(name: str) -> Node:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> Node:
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}


def _list(items: Node) -> Node:
    return {"type": "array", "items": items}


_TEXT, _COUNT, _TRUTH = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
_ANY_OBJECT = {"type": "object"}
_SHAPE = _list({"type": "integer"})
_TENSOR = _object({"name": _TEXT, "datatype": _TEXT, "shape": _SHAPE}, {"parameters": _ANY_OBJECT})
_DATA = {"type": "array", "description": "Flat, or nested as the shape says; null, or NaN as NumPy writes it: missing."}
_COLUMN_SHAPE = {
    "type": "array", "prefixItems": [{"type": "integer", "minimum": 1}, {"const": 1}], "minItems": 1, "maxItems": 2,
}  # fmt: skip
_INPUT = _object(
    {"name": _TEXT, "datatype": {"enum": list(DATATYPES)}, "shape": _COLUMN_SHAPE, "data": _DATA},
    {"parameters": _ANY_OBJECT},
)
_OUTPUT = _object({"name": _TEXT, "datatype": _TEXT, "shape": _SHAPE, "data": _DATA}, {"parameters": _ANY_OBJECT})
_GENERAL_SCHEMAS: dict[str, Node] = {
    "Health": _object({"status": {"const": "ok"}}),
    "Models": _object({"models": _list(_ref("ListedModel"))}),
    "ListedModel": _object(
        {
            "model": _TEXT,
            "version": {"type": ["integer", "null"], "description": "null while none serves."},
            "since": {"type": ["string", "null"]},
        }
    ),
    "Model": _object(
        {
            "model": _TEXT,
            "version": _COUNT,
            "since": _TEXT,
            "task": {"enum": ["binary", "multiclass", "regression"]},
            "target": _ANY_OBJECT,
            "fields": _list(_ANY_OBJECT),
        },
        {"degraded": _TEXT},
    ),
    "Accepted": _object({"model": _TEXT, "accepted": _COUNT}),
    "Problem": _PROBLEM,
    "BadValue": _BAD_VALUE,
    "V2Server": _object({"name": _TEXT, "version": _TEXT, "extensions": _list(_TEXT)}),
    "V2Live": _object({"live": _TRUTH}),
    "V2Ready": _object({"ready": _TRUTH}, {"name": _TEXT}),
    "V2Tensor": _TENSOR,
    "V2Input": _INPUT,
    "V2Output": _OUTPUT,
    "V2Model": _object(
        {
            "name": _TEXT,
            "versions": _list(_TEXT),
            "platform": _TEXT,
            "inputs": _list(_ref("V2Tensor")),
            "outputs": _list(_ref("V2Tensor")),
        }
    ),
    "V2Request": _object(
        {"inputs": _list(_ref("V2Input")) | {"minItems": 1}},
        {
            "id": {"type": "string", "maxLength": LONGEST_ID},
            "parameters": _ANY_OBJECT,
            "outputs": _list(_object({"name": _TEXT})),
        },
    ),
    "V2Response": _object(
        {"model_name": _TEXT, "model_version": _TEXT, "outputs": _list(_ref("V2Output"))},
        {"id": _TEXT, "parameters": _ANY_OBJECT},
    ),
    "V2Error": _object({"error": _TEXT}),
}
