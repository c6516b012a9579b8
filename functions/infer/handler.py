"""The endpoint: API Gateway's proxy event in, its proxy reply out."""

import base64
import json
from functools import cache
from typing import Any

from tidemill.aws.stores import Stores
from tidemill.aws.telemetry import Event, count, environment, logger, now
from tidemill.errors import StoreUnavailable, TidemillError
from tidemill.flows.infer import Endpoint
from tidemill.stages.http import Request, Response, problem, respond


@cache
def endpoint() -> Endpoint:
    return Endpoint(Stores.of("infer", environment()), now, lambda name, value, model: count(name, value, model=model))


def handler(event: Event, _context: Any) -> dict[str, Any]:
    request = _request(event)
    try:
        response = respond(request, endpoint())
    except StoreUnavailable as error:
        logger.warning("%s", error)
        response = problem(503, "the service cannot reach its stores; try again", headers={"Retry-After": "2"})
    except TidemillError:
        logger.exception("cannot serve")
        response = problem(500, "the service is not able to answer; its operators can see why in the log")
    return _reply(response)


def _request(event: Event) -> Request:
    raw = event.get("body") or ""
    body = base64.b64decode(raw) if event.get("isBase64Encoded") else raw.encode()
    return Request(event["httpMethod"], event["path"], body, event["requestContext"]["requestId"])


def _reply(response: Response) -> dict[str, Any]:
    return {
        "statusCode": response.status,
        "headers": dict(response.headers),
        "body": json.dumps(response.document, allow_nan=False),
    }
