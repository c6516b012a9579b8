"""Bodies as they come, on their way to the service."""

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest

from tidemill.stages.http import Request, respond
from tidemill.stages.rows import Row

BODY = '{"rows": [{"size": 1, "town": "Zürich"}]}'


class Echo:
    """Answers with the rows that reach it, and keeps what it hears of those that do not."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, str]] = []

    def refused(self, name: str, request: str, error: Exception) -> None:
        self.heard.append((name, request, str(error)))

    def predict(self, name: str, rows: Sequence[Row], request: str, *, explain: bool) -> dict[str, Any]:
        return {"rows": rows, "explain": explain}

    def label(self, name: str, labels: Sequence[Row], request: str) -> dict[str, Any]:
        return {"labels": labels}


def send(body: str | bytes, *, is_base64: bool = False) -> tuple[int, Any]:
    """Bytes as API Gateway hands on what it takes for binary."""
    text = base64.b64encode(body).decode() if isinstance(body, bytes) else body
    request = Request("POST", "/models/trips/predict", text, "q", is_base64 or isinstance(body, bytes))
    echo: Any = Echo()
    response = respond(request, echo)
    return response.status, response.document


@pytest.mark.parametrize(
    "body", ["{not json", '{"rows": []}', '{"rows": [1]}', '{"rows": [{}], "explain": 1}', "[" * 9_999]
)
def test_the_service_hears_of_a_body_in_which_no_rows_could_be_read(body: str) -> None:
    echo: Any = Echo()
    assert respond(Request("POST", "/models/trips/predict", body, "q"), echo).status == 400
    [(name, request, _)] = echo.heard
    assert (name, request) == ("trips", "q")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/models/trips/predict"), ("POST", "/models/No%20Body/predict"), ("POST", "/models")]
)
def test_the_service_hears_of_no_other_refusal(method: str, path: str) -> None:
    echo: Any = Echo()
    assert respond(Request(method, path, "{not json", "q"), echo).status in (400, 404, 405)
    assert echo.heard == []


@pytest.mark.parametrize(
    "body", [BODY, BODY.encode(), "\ufeff" + BODY, b"\xef\xbb\xbf" + BODY.encode(), BODY.replace("ü", r"\u00fc")]
)
def test_a_body_is_read_as_text_and_as_binary_with_and_without_a_mark(body: str | bytes) -> None:
    status, reply = send(body)
    assert status == 200
    assert reply["rows"] == [{"size": 1, "town": "Zürich"}]


@pytest.mark.parametrize("body", ["a", "e30", "AA=A", "é", "\ud800"])
def test_what_is_no_base64_is_refused_in_words(body: str) -> None:
    status, reply = send(body, is_base64=True)
    assert status == 400
    assert "is not the base64 that it is said to be" in reply["detail"]


@pytest.mark.parametrize(
    "body", [BODY.replace("Z", "\ud800"), BODY.replace("Z", r"\ud800"), BODY.replace("Z", r"\udc00").encode()]
)
def test_half_a_character_is_refused_however_it_is_written(body: str | bytes) -> None:
    status, reply = send(body)
    assert status == 400
    assert "is half of a character" in reply["detail"]


@pytest.mark.parametrize(
    "body",
    [
        BODY.encode("utf-16"),
        BODY.replace("Z", r"\ud800").encode("utf-16-le"),
        BODY.encode("latin-1"),
        BODY.encode().replace(b"Z", b"\xed\xa0\x80"),
    ],
)
def test_what_is_not_utf8_is_no_json(body: bytes) -> None:
    status, reply = send(body)
    assert status == 400
    assert any(words in reply["detail"] for words in ("is not UTF-8", "is not valid JSON"))


def test_a_number_of_too_many_digits_is_told_as_that() -> None:
    status, reply = send(BODY.replace("1", "1" * 5_000))
    assert status == 400
    assert reply["detail"] == "the body has a whole number of more digits than can be read"


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_what_json_has_no_numbers_for_is_named(constant: str) -> None:
    _, reply = send(BODY.replace("1", constant))
    assert reply["detail"] == f"the body is not valid JSON: {constant} is no number there"


def test_a_document_says_what_it_is() -> None:
    _, reply = send("[]")
    assert json.loads(json.dumps(reply)) == {
        "type": "about:blank", "title": "Bad Request", "status": 400,
        "detail": "the body must be a JSON object, not list",
    }  # fmt: skip
