"""`tidemill proxy`: the endpoint for a browser, until it is interrupted."""

from contextlib import suppress

from tidemill.errors import InvalidRequest
from tidemill_cli.console import Result
from tidemill_cli.endpoint import Endpoint
from tidemill_cli.proxy import HOST, Proxy
from tidemill_cli.session import Session


def proxy(session: Session, port: int) -> Result:
    target = session.target
    try:
        server = Proxy(Endpoint(target), port)
    except OSError as error:
        raise InvalidRequest(f"{HOST}:{port} cannot be used ({error.strerror}): name another with --port") from None
    with server, suppress(KeyboardInterrupt):
        session.console.say(
            f"{server.url} answers as the endpoint of {target.name} does, to this machine alone; "
            f"{server.url}/docs shows what it takes; Ctrl-C ends it"
        )
        server.serve_forever()
    return Result({"url": server.url}, ["ended"])
