"""Tidemill's handler behind a bare ASGI application: what API Gateway would send is made of the request."""

import uuid
from typing import Any

from handler import handler  # type: ignore[import-not-found] # functions/infer is on the path


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    reply = handler(
        {
            "httpMethod": scope["method"],
            "path": scope["path"],
            "body": body.decode(),
            "isBase64Encoded": False,
            "requestContext": {"requestId": str(uuid.uuid4())},
        },
        None,
    )
    headers = [(name.lower().encode(), value.encode()) for name, value in reply["headers"].items()]
    content = reply["body"].encode()
    headers.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": reply["statusCode"], "headers": headers})
    await send({"type": "http.response.body", "body": content})
