"""orjson in the standard library's place: nobody is to notice."""

import json
import re
import sys
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import calls, tensors
from tidemill.limits import written_size
from tidemill.stages.captured import as_json
from tidemill.stages.wire import read_object, write

NUMBERS = st.one_of(
    st.sampled_from(calls.NUMBERS),
    st.from_regex(r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,24})?([eE][+-]?[0-9]{1,4})?", fullmatch=True),
    st.integers(2**62, 2**66).flatmap(lambda each: st.sampled_from([str(each), str(-each)])),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=8).map(json.dumps),
    st.text(max_size=8).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.sampled_from([*calls.HALVES, r'"\u2028\/"', '"\u2028\x85"', '"\x7f"', '"null"', r'"\x"', '"\t"']),
)
SPACES = st.sampled_from(["", "", "", " ", "\n", "\t", "\r\n", "\v", "\ufeff"])


def _listed(items: st.SearchStrategy[str], opening: str, closing: str) -> st.SearchStrategy[str]:
    return st.lists(items, max_size=4).map(lambda each: opening + ",".join(each) + closing)


def _spaced(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(SPACES, *(each for part in parts for each in (part, SPACES))).map("".join)


VALUES = st.recursive(
    NUMBERS | TEXTS | st.sampled_from(["null", "true", "false", "nul", ""]),
    lambda inner: (
        _listed(_spaced(inner), "[", "]")
        | _listed(_spaced(TEXTS | st.just('"a"'), st.just(":"), inner), "{", "}")
    ),
    max_leaves=12,
)  # fmt: skip
"""JSON as it may be written, and some that is none."""
BODIES = st.one_of(
    VALUES.map(lambda each: f'{{"rows": [{each}]}}'),
    _spaced(VALUES),
    (calls.events() | tensors.events()).map(lambda event: event["body"] or ""),
)

DOCUMENTS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(st.characters(exclude_categories=()))),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["a", "null"]), inner),
)


@contextmanager
def deep() -> Iterator[None]:
    """In Python 3.11 the standard library goes less deep than orjson, since both count the caller's own calls."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(3_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def check_read(data: bytes) -> bool:
    """Whether it was read, and then as the standard library reads what is valid."""
    document = read_object(data)
    if document is None:
        return False
    assert isinstance(document, dict)
    with deep():
        expected = json.loads(data.decode(), parse_constant=_refuse)
        # The form has the order of the names, and tells 1 from 1.0 and from True, and 0.0 from -0.0.
        assert repr(document) == repr(expected)
        json.dumps(document, ensure_ascii=False).encode()
    return True


def body_of(event: calls.Event) -> bytes:
    try:
        body = event["body"] or ""
        return b64decode(body) if event["isBase64Encoded"] else body.encode()
    except ValueError:
        return b""


@settings(max_examples=300, deadline=None, derandomize=True)
@given(BODIES)
def test_what_is_read_is_what_the_standard_library_reads(body: str) -> None:
    check_read(body.encode(errors="surrogatepass"))


def test_so_is_all_that_is_worth_a_try() -> None:
    bodies = map(body_of, calls.listed())
    read = [check_read(body) for body in bodies if len(body) < 100_000]
    assert min(read.count(True), read.count(False)) > 300


@pytest.mark.parametrize(
    "number",
    [
        *(str(sign * (2**bits + more)) for bits in (53, 63, 64) for more in (-1, 0, 1) for sign in (1, -1)),
        "9" * 18, "9" * 19, "-" + "9" * 18, "-" + "9" * 19, "9" * 25, "-" + "9" * 25, "1" + "0" * 40, "-0", "0",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "frame", ['{"a":%s}', '{"a": %s }', '{"a":[%s]}', '{"a":[1,%s,2]}', '{"a":\n%s}', '{"a":\t%s}', '{"a":\r%s}']
)
def test_a_whole_number_keeps_all_its_digits(frame: str, number: str) -> None:
    data = (frame % number).encode()
    document = read_object(data)
    assert document is None or repr(document) == repr(json.loads(data))


@pytest.mark.parametrize(
    "value", ["9" * 19, "-" + "9" * 18, "0." + "9" * 30, "-12.0000000000000000000000000001", '"' + "9" * 30 + '"']
)
def test_digits_that_cannot_be_lost_are_no_reason_for_the_long_way(value: str) -> None:
    assert read_object(f'{{"a": {value}, "b": [{value},{value}]}}'.encode()) is not None


@settings(max_examples=300, deadline=None, derandomize=True)
@given(DOCUMENTS, st.booleans())
def test_what_is_written_says_what_the_standard_library_writes(document: Any, counted: bool) -> None:
    """Whoever does not count what is None loses time alone."""
    nulls = _nulls(document) if counted else 0
    try:
        expected = as_json(document)
    except ValueError as error:
        with pytest.raises(ValueError, match=re.escape(str(error))):
            write(document, nulls)
        return
    written = write(document, nulls)
    assert repr(json.loads(written)) == repr(json.loads(expected))
    assert len(written.splitlines()) == 1


def _nulls(document: Any) -> int:
    if isinstance(document, dict | list):
        return sum(map(_nulls, document.values() if isinstance(document, dict) else document))
    return document is None


@given(st.text(st.characters(exclude_categories=())))
def test_text_takes_no_more_of_a_reply_than_was_reckoned(text: str) -> None:
    assert len(json.dumps(write([text]))) <= written_size([text])


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_refused_beside_what_is_missing(number: float) -> None:
    assert write([None, 1.0], nulls=1) == "[null,1.0]"
    with pytest.raises(ValueError, match="Out of range float"):
        write([None, number], nulls=1)


@pytest.mark.parametrize("document", [[2**70, None], {"\ud800": "annulled"}, "\udc00", {1: "a"}, [[[]]] * 3])
def test_what_orjson_does_not_take_is_written_all_the_same(document: Any) -> None:
    assert write(document) == as_json(document)


def test_text_is_written_as_it_is_but_for_what_may_end_a_line() -> None:
    assert write(["日本 é\x7f", "\x85\u2028\u2029\n"]) == '["日本 é\x7f","\\u0085\\u2028\\u2029\\n"]'
