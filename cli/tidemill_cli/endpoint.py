"""The HTTP endpoint, called over one connection that is kept; what it refuses becomes our errors."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.exceptions import HTTPClientError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from tidemill.errors import InvalidRequest, NotFound, StoreUnavailable, TidemillError
from tidemill.limits import answered_rows, explained_rows, reference_rows
from tidemill_cli.cloud import Target

MOST_ROWS = 2_000
"""Rows of one call: an answer takes well under the 29 s that API Gateway waits."""
MOST_BYTES = 3_900_000
"""Bytes of one call; the endpoint takes 4,000,000."""

_TRIES = 5
_AGAIN = frozenset({429, 503})
_JSON = {"Content-Type": "application/json"}

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Chunk:
    """`count` entries from place `start` on, as the body of one call."""

    start: int
    count: int
    body: bytes


class RefusedRows(InvalidRequest):
    """The endpoint's own account of each bad value, with rows counted over all chunks."""

    def __init__(self, sentence: str, fields: Sequence[Mapping[str, Any]]) -> None:
        self.fields = list(fields)
        super().__init__(sentence)


class Endpoint:
    """Raises `InvalidRequest` for what the endpoint refuses, `NotFound`, and `StoreUnavailable` when it is not well."""

    def __init__(self, target: Target, sleep: Callable[[float], None] = time.sleep) -> None:
        self._target = target
        self._sleep = sleep
        proxies = {} if target.is_local else get_environ_proxies(target.url)
        self._http = URLLib3Session(proxies=proxies, timeout=35)

    def model(self, name: str) -> dict[str, Any]:
        return self._call("GET", f"/models/{name}")

    def predict(self, name: str, chunk: Chunk) -> dict[str, Any]:
        return self._call("POST", f"/models/{name}/predict", chunk)

    def label(self, name: str, chunk: Chunk) -> dict[str, Any]:
        return self._call("POST", f"/models/{name}/labels", chunk)

    def _call(self, method: str, path: str, chunk: Chunk | None = None) -> dict[str, Any]:
        """A call that was throttled, or met a service that asks for patience, is made again."""
        for attempt in range(1, _TRIES + 1):
            response = self.send(method, path, _JSON if chunk else {}, chunk.body if chunk else None)
            if response.status_code not in _AGAIN or attempt == _TRIES:
                break
            self._sleep(_patience(response.headers, attempt))
        document = _json(response.content)
        if response.status_code >= 300:
            raise _refusal(response.status_code, document, chunk)
        return document

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> AWSResponse:
        """One call and whatever is answered; raises `StoreUnavailable` where nothing is."""
        request = AWSRequest(method, f"{self._target.url}{path}", dict(headers), body)
        if self._target.sign:
            self._target.sign(request)
        try:
            return self._http.send(request.prepare())
        except HTTPClientError as error:
            raise StoreUnavailable(f"the endpoint {self._target.url} cannot be reached: {error}") from None


def chunks(name: str, entries: Sequence[Row], most_rows: int = MOST_ROWS, **besides: bool) -> Iterator[Chunk]:
    """The bodies `{name: […], **besides}` that carry all entries, none too long in rows or in bytes."""
    head, tail = json.dumps({**besides, name: []})[:-2].encode(), b"]}"
    frame = len(head) + len(tail)
    start, size = 0, frame
    texts: list[bytes] = []
    for place, entry in enumerate(entries):
        text = _encoded(place, entry)
        if frame + len(text) > MOST_BYTES:
            raise InvalidRequest(f"row {place} has {len(text):,} bytes as JSON, more than one call can take")
        if texts and (len(texts) == most_rows or size + len(text) + 1 > MOST_BYTES):
            yield Chunk(start, len(texts), b",".join(texts).join((head, tail)))
            start, size, texts = place, frame, []
        texts.append(text)
        size += len(text) + 1
    if texts:
        yield Chunk(start, len(texts), b",".join(texts).join((head, tail)))


def rows_a_call(model: Mapping[str, Any], *, explain: bool = False) -> int:
    """Fewer where a model with many classes answers much for each row, and to explain them."""
    most = min(MOST_ROWS, answered_rows(model["target"]["classes"]))
    if not explain:
        return most
    columns = sum(field["role"] == "feature" for field in model["fields"])
    return min(most, explained_rows(columns, reference_rows(columns)))


def _encoded(place: int, entry: Row) -> bytes:
    try:
        return json.dumps(entry, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"row {place} cannot be written as JSON: {error}") from None


def _patience(headers: Mapping[str, str], attempt: int) -> float:
    try:
        return min(30.0, float(headers["Retry-After"]))
    except (KeyError, ValueError):
        return 0.5 * float(2**attempt)


def _json(content: bytes) -> dict[str, Any]:
    """What a gateway answers in the service's place need not be JSON."""
    try:
        document = json.loads(content)
    except ValueError:
        return {"detail": content[:200].decode(errors="replace")}
    return document if isinstance(document, dict) else {"detail": str(document)}


def _refusal(status: int, document: Mapping[str, Any], chunk: Chunk | None) -> TidemillError:
    sentence = str(document.get("detail") or document.get("message") or document.get("Message") or "no reason given")
    start = chunk.start if chunk else 0
    if status == 404:
        return NotFound(sentence)
    if status == 400 and "errors" in document:
        fields = [{**entry, "row": start + entry["row"]} for entry in document["errors"]]
        return RefusedRows(f"{sentence}: {_first_fields(fields)}", fields)
    where = f"rows {start:,} to {start + chunk.count - 1:,}: " if chunk and start else ""
    if status in (400, 413):
        return InvalidRequest(f"{where}{sentence}")
    if status == 403:
        return StoreUnavailable(f"the endpoint refuses this caller (403): {sentence}")
    return StoreUnavailable(f"{where}the endpoint answered {status}: {sentence}")


def _first_fields(fields: Sequence[Mapping[str, Any]], most: int = 5) -> str:
    shown = [f"row {e['row']} {e['field']!r}: expected {e['expected']}, got {e['got']}" for e in fields[:most]]
    return "; ".join(shown) + ("; …" if len(fields) > most else "")
