"""Requests of all kinds through the handler of infer: those that are listed, and some hundred others, always the same.

`make fuzz-serve` sends ten thousand, others every time, and says how long the slowest took.
"""

import json

from functions.infer import handler as infer
from tests.fuzz.calls import ROW, event, rows
from tests.fuzz.serve import fuzzing, problems, send_all


def test_no_request_gets_a_reply_that_the_contract_does_not_have() -> None:
    with fuzzing() as fuzzed:
        send_all(fuzzed, 300, again=True)
    assert not fuzzed.wrong
    assert min(fuzzed.statuses[status] for status in (200, 202, 400, 404, 405, 413)) >= 10


def test_what_is_wrong_would_be_seen() -> None:
    """Each claim can fail."""
    good = {"headers": {"Content-Type": "application/json"}}
    odd = {"name": "probabilities", "shape": [1, 2], "data": [0.7, 0.7, 0.7]}
    seen = [
        *problems({"statusCode": 500, "body": "{}", **good}, [], 0),
        *problems({"statusCode": 200, "body": '{"a": NaN}', **good}, [], 0),
        *problems({"statusCode": 200, "body": "{}", **good}, [], 1),
        *problems({"statusCode": 400, "body": '{"status": 400}', **good}, [], 0),
        *problems({"statusCode": 200, "body": f'{{"a": "{"x" * 7_000_000}"}}', **good}, [], 0),
        *problems({"statusCode": 400, "body": '{"detail": "no"}', **good}, [], 0, "/v2/models/two/infer"),
        *problems(
            {"statusCode": 200, "body": json.dumps({"outputs": [odd, odd]}), **good}, [], 0, "/v2/models/two/infer"
        ),
        *problems({"statusCode": 200, "body": "<p>", **good}, [], 0, "/docs"),
    ]
    text = "; ".join(seen)
    for words in (
        "status 500",
        "no JSON",
        "1 objects were stored",
        "says too little",
        "a reply of 7,0",
        "an error with ['detail']",
        "0 captures, 0 lost, 0 damaged lines of 1",
        "outputs called",
        "with 3 values",
        "whose sum is 2.",
        "a page with",
    ):
        assert words in text


def test_an_exception_and_a_prediction_without_a_capture_would_be_seen() -> None:
    with fuzzing() as fuzzed:
        fuzzed.send({**event(rows(ROW)), "path": None})
        fuzzed.written.clear()
        reply = infer.handler(event(rows(ROW)), None)
        assert not [*problems(reply, fuzzed.written, 0)]
        assert [*problems(reply, [], 0)] == ["0 captures, 0 lost, 0 damaged lines of 1 predictions"]
        fuzzed.written.clear()
        refused = infer.handler(event('{"rows": [{}]}'), None)
        assert not [*problems(refused, fuzzed.written, 0)]
        assert [*problems(refused, [], 0)] == ["0 refusals captured with status 400"]
    assert fuzzed.statuses[502] == 1
    assert fuzzed.wrong[0].startswith("AttributeError")
