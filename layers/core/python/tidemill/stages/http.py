"""The HTTP contract: routes, bodies, statuses; errors as problem+json (RFC 9457). No AWS."""

import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from tidemill.errors import InvalidRequest, InvalidSpec, NotFound, TooLarge
from tidemill.names import model_name
from tidemill.stages import wire
from tidemill.stages.rows import Row, quoted, shown
from tidemill.stages.serve import MOST_ROWS, InvalidRows

if TYPE_CHECKING:
    from tidemill.stages.contract import Contract

LARGEST_BODY = 4_000_000
"""Bytes. A Lambda takes 6 MB of JSON, in which this body is one escaped string."""

_TITLES = {400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 413: "Content Too Large"}


@dataclass(frozen=True)
class Request:
    """`path` without the stage; `body` as API Gateway hands it on; `id` is unique a request; `headers` in whatever case
    they came."""

    method: str
    path: str
    body: str
    id: str
    is_base64: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def parts(self) -> list[str]:
        return [part for part in self.path.split("/") if part]


@dataclass(frozen=True)
class Page:
    """HTML, and the headers that bound what it may do."""

    html: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Response:
    """`document` is JSON, or text that goes out as it is."""

    status: int
    document: Mapping[str, Any] | str
    headers: Mapping[str, str]

    @property
    def body(self) -> str:
        return self.document if isinstance(self.document, str) else wire.write(self.document)


class Service(Protocol):
    """What the routes need; every method but `refused` raises `NotFound` for a model that is not there."""

    def models(self) -> list[dict[str, Any]]: ...
    def model(self, name: str) -> dict[str, Any]: ...
    def predict(self, name: str, rows: Sequence[Row], request: str, *, explain: bool) -> dict[str, Any]: ...
    def refused(self, name: str, request: str, error: Exception) -> None:
        """Hears of a body in which no rows could be read for `predict`; never raises."""

    def label(self, name: str, labels: Sequence[Row], request: str) -> dict[str, Any]: ...
    def contract(self, name: str) -> "Contract": ...
    def openapi(self) -> dict[str, Any]: ...
    def docs(self) -> Page: ...


def respond(request: Request, service: Service) -> Response:
    """Never raises for what a client sent."""
    try:
        status, document = _route(request, service)
    except (InvalidRequest, InvalidSpec, NotFound, _WrongMethod, RecursionError) as error:
        return in_form(request, _refusal(error))
    if isinstance(document, Page):
        return Response(status, document.html, {"Content-Type": "text/html; charset=utf-8", **document.headers})
    return Response(status, document, {"Content-Type": "application/json"})


def _refusal(error: Exception) -> Response:
    match error:
        case TooLarge():
            return problem(413, str(error))
        case InvalidRows():
            return problem(400, str(error), errors=error.fields)
        case NotFound():
            return problem(404, str(error))
        case _WrongMethod():
            return problem(405, str(error), headers={"Allow": error.allowed})
        case RecursionError():
            return problem(400, "the body is nested too deeply: send flat rows")
    return problem(400, str(error))


def problem(status: int, detail: str, errors: Sequence[Any] = (), headers: Mapping[str, str] | None = None) -> Response:
    document: dict[str, Any] = {
        "type": "about:blank", "title": _TITLES.get(status, "Error"), "status": status, "detail": detail,
    }  # fmt: skip
    if errors:
        document["errors"] = list(errors)
    return Response(status, document, {"Content-Type": "application/problem+json", **(headers or {})})


def in_form(request: Request, problem: Response) -> Response:
    """A problem as the route's protocol has it."""
    if request.parts[:1] != ["v2"]:
        return problem
    from tidemill.stages import v2  # noqa: PLC0415 most callers never need it

    return Response(problem.status, v2.error(problem.document), {**problem.headers, "Content-Type": "application/json"})


class _WrongMethod(Exception):
    def __init__(self, method: str, allowed: str) -> None:
        self.allowed = allowed
        super().__init__(f"{method} is not possible here; use {allowed}")


def _route(request: Request, service: Service) -> tuple[int, Mapping[str, Any] | Page]:
    match request.parts:
        case ["health"]:
            _only(request, "GET")
            return 200, {"status": "ok"}
        case ["models"]:
            _only(request, "GET")
            return 200, {"models": service.models()}
        case ["models", name]:
            _only(request, "GET")
            return 200, service.model(model_name(name))
        case ["models", name, "predict"]:
            _only(request, "POST")
            return 200, _predict(request, model_name(name), service)
        case ["models", name, "labels"]:
            _only(request, "POST")
            labels = _list_of(_body(request), "labels", MOST_ROWS)
            return 202, service.label(model_name(name), labels, request.id)
    return 200, _route_more(request, service)


def _route_more(request: Request, service: Service) -> Mapping[str, Any] | Page:
    """What the API says of itself, and what other protocols ask it."""
    match request.parts:
        case ["models", name, "schema"]:
            _only(request, "GET")
            from tidemill.stages import contract  # noqa: PLC0415 a prediction needs none of it

            return contract.row_document(service.contract(model_name(name)))
        case ["openapi.json"]:
            _only(request, "GET")
            return service.openapi()
        case ["docs"]:
            _only(request, "GET")
            return service.docs()
        case ["v2"] | ["v2", "health", "live" | "ready"]:
            _only(request, "GET")
            from tidemill.stages import v2  # noqa: PLC0415 most callers never need it

            return v2.about(request.parts[-1], service)
        case ["v2", "models", name, *rest]:
            return _route_v2(request, model_name(name), rest, service)
    raise NotFound(
        f"there is nothing at {request.path}; see GET /models, GET /models/MODEL, "
        "POST /models/MODEL/predict, POST /models/MODEL/labels, GET /health, and all the others in GET /openapi.json"
    )


def _predict(request: Request, name: str, service: Service) -> Mapping[str, Any]:
    try:
        body = _body(request)
        rows, explain = _list_of(body, "rows", MOST_ROWS), _flag(body, "explain")
    except (InvalidRequest, RecursionError) as error:
        service.refused(name, request.id, error)
        raise
    return service.predict(name, rows, request.id, explain=explain)


def _route_v2(request: Request, name: str, rest: Sequence[str], service: Service) -> Mapping[str, Any]:
    """The Open Inference Protocol's routes of a model: its champion is the one version that it serves."""
    from tidemill.stages import v2  # noqa: PLC0415 most callers never need it

    contract = service.contract(name)
    if rest[:1] == ["versions"]:
        v2.check_version(contract, rest[1:2])
        rest = rest[2:]
    match rest:
        case []:
            _only(request, "GET")
            return v2.metadata(contract)
        case ["ready"]:
            _only(request, "GET")
            return {"name": name, "ready": True}
        case ["infer"]:
            _only(request, "POST")
            try:
                v2.check_headers(request.headers)
                asked = v2.asked(_body(request, v2.MISSING), contract)
            except (InvalidRequest, RecursionError) as error:
                service.refused(name, request.id, error)
                raise
            return v2.reply(asked, contract, service.predict(name, asked.rows, request.id, explain=False))
    raise NotFound(f"there is nothing at {request.path}; see GET /v2/models/{name}, POST /v2/models/{name}/infer")


def _only(request: Request, method: str) -> None:
    if request.method != method:
        raise _WrongMethod(request.method, method)


def _body(request: Request, missing: str = "") -> Mapping[str, Any]:
    """`missing`: a word beside JSON's own that means null."""
    data = _bytes(request)
    if len(data) > LARGEST_BODY:
        raise TooLarge(f"the body has {len(data):,} bytes, and {LARGEST_BODY:,} is the limit: send fewer rows a call")
    if not data:
        raise InvalidRequest("the body is empty: send a JSON object")
    document = wire.read_object(data)
    return _read(data, missing) if document is None else document


def _read(data: bytes, missing: str) -> Mapping[str, Any]:
    """The whole of what a body may be, which `read_object` is the short cut for."""

    def constant(word: str) -> None:
        if word != missing:
            raise InvalidRequest(f"the body is not valid JSON: {word} is no number there")

    try:
        # Not as bytes: those may be UTF-16 for the parser, which then lets halves of characters through.
        text = data.decode("utf-8-sig")
        document = json.loads(text, parse_constant=constant)
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body is not UTF-8, from byte {error.start} on") from None
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from None
    except ValueError:
        raise InvalidRequest("the body has a whole number of more digits than can be read") from None
    if "\\u" in text:
        _check_text(document)
    if not isinstance(document, dict):
        raise InvalidRequest(f"the body must be a JSON object, not {type(document).__name__}")
    return document


def _bytes(request: Request) -> bytes:
    try:
        return b64decode(request.body) if request.is_base64 else request.body.encode()
    except UnicodeEncodeError as error:
        raise _half_a_character(error) from None
    except ValueError as error:
        raise InvalidRequest(f"the body is not the base64 that it is said to be: {error}") from None


def _list_of(document: Mapping[str, Any], name: str, most: int) -> Sequence[Row]:
    entries = document.get(name)
    unknown = sorted(set(document) - {name})
    if not isinstance(entries, list) or not entries:
        hint = f" (it has {', '.join(map(quoted, unknown[:5]))})" if unknown else ""
        raise InvalidRequest(f"the body must have {name!r}, a list with at least one object{hint}")
    if len(entries) > most:
        raise TooLarge(f"{len(entries):,} {name}, and {most:,} is the limit of one call: send them in chunks")
    if {dict}.issuperset(map(type, entries)):
        return entries
    wrong = next(i for i, entry in enumerate(entries) if not isinstance(entry, dict))
    raise InvalidRequest(f"{name}[{wrong}] must be a JSON object, not {type(entries[wrong]).__name__}")


def _flag(document: Mapping[str, Any], name: str) -> bool:
    value = document.get(name, False)
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name!r} must be true or false, not {shown(value)}")
    return value


def _check_text(document: object) -> None:
    """An escape may be half of a character, which no file or store takes."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise _half_a_character(error) from None


def _half_a_character(error: UnicodeEncodeError) -> InvalidRequest:
    half = error.object[error.start : error.start + 1]
    return InvalidRequest(f"the body is not valid text: {half!r} is half of a character")
