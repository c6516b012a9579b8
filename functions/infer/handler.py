"""The endpoint: API Gateway's proxy event in, its proxy reply out.

Only what the first reply needs is imported: docs/decisions/0009 has what each import costs.
"""

from functools import cache
from typing import Any

from tidemill.aws.lines import Event, count, environment, now, tell
from tidemill.aws.stores import Serving
from tidemill.errors import StoreUnavailable, TidemillError
from tidemill.flows.infer import Endpoint
from tidemill.stages.http import Request, Response, in_form, problem, respond


@cache
def endpoint() -> Endpoint:
    stores = Serving.of_infer(environment())
    return Endpoint(stores, now, lambda name, value, model: count(name, value, model=model))


def handler(event: Event, _context: Any) -> dict[str, Any]:
    request = _request(event)
    try:
        response = respond(request, endpoint())
    except StoreUnavailable as error:
        tell("WARNING", str(error), request_id=request.id)
        away = problem(503, "the service cannot reach its stores; try again", headers={"Retry-After": "2"})
        response = in_form(request, away)
    except TidemillError as error:
        tell("ERROR", f"cannot serve: {type(error).__name__}: {error}", request_id=request.id)
        unable = problem(500, "the service is not able to answer; its operators can see why in the log")
        response = in_form(request, unable)
    return _reply(response)


def _request(event: Event) -> Request:
    return Request(
        event["httpMethod"],
        event["path"],
        event.get("body") or "",
        event["requestContext"]["requestId"],
        bool(event.get("isBase64Encoded")),
        event.get("headers") or {},
    )


def _reply(response: Response) -> dict[str, Any]:
    return {
        "statusCode": response.status,
        "headers": dict(response.headers),
        "body": response.body,
    }
