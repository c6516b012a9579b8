"""Requests that somebody may send to the endpoint, in the form in which API Gateway hands them on."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

Event = dict[str, Any]

ROW: Mapping[str, Any] = {
    "key": "k-1", "seen": "2024-05-01T10:00:00Z", "size": 50.5, "flag": True, "day": "2024-03-01T07:00:00Z",
    "colour": "red", "town": "town 3", "price": "1.234,50 €", "note": "of no use",
}  # fmt: skip
"""Of the model that is fuzzed: id, time, a number, a boolean, a date, two categories, a number as text, and a column
that is left out."""
USUAL: Mapping[str, Sequence[Any]] = {
    "key": ["k-2", 7, None, "", "é", "😀" * 50],
    "size": [1, 2.5, -3e5, 3e38, 1e-40, None, "NA"],
    "flag": ["yes", "F", False, None, " on "],
    "day": ["2024-03-01", "2024-12-31T23:59:59.999999+02:00", None, "n/a"],
    "colour": ["red", " green ", "mauve", "RED", None, "e\u0301", "\u200b"],
    "price": [5, "-7 €", "1.234.567,8 €", ",5"],
}
"""What is answered, though some of it with a warning."""


@dataclass(frozen=True)
class Raw:
    """JSON that `json.dumps` would not write."""

    text: str


@dataclass(frozen=True)
class Pairs:
    """An object whose names may come twice."""

    pairs: Sequence[tuple[str, Any]]


def written(value: object) -> str:
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{json.dumps(name)}: {written(each)}" for name, each in value.pairs) + "}"
    if isinstance(value, dict):
        return written(Pairs([*value.items()]))
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return json.dumps(value)


def event(body: str | bytes | None, path: str = "/models/two/predict", method: str = "POST", **facts: Any) -> Event:
    """Bytes are what API Gateway takes for binary."""
    binary = isinstance(body, bytes)
    return {
        "httpMethod": method,
        "path": path,
        "headers": {"Content-Type": "application/json"},
        "body": base64.b64encode(body).decode() if isinstance(body, bytes) else body,
        "isBase64Encoded": binary,
        "requestContext": {"requestId": "q"},
        **facts,
    }


def rows(*sent: Any, **besides: Any) -> str:
    return written({"rows": [*sent], **besides})


def labels(*sent: Any, path: str = "/models/two/labels") -> Event:
    return event(written({"labels": [*sent]}), path)


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    return opening * depth + "1" + closing * depth


NUMBERS = (
    "NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e-400", "3.5e38", "-0", "-0.0", "1E5", "1.0", "0.1e1",
    "9" * 400, "9" * 4_300, "9" * 5_001, f"0.{'3' * 100_000}", f"{'7' * 100_000}.0", "01", "+1", ".5", "1.", "0x10",
    "1_000", "--1",
)  # fmt: skip
TEXTS = (
    "", " ", "50.5", "1e400", "NaN", "nan", "null", "NA", "true", "yes", "\0", "a\0b", "\ufeff", "\u200b", "e\u0301",
    "日本", "😀", "\u202e", "\x7f", "\x1b[31m", '"', "\\", "'; --", "<script>", "{{7*7}}", "${jndi:x}", "../..", "١٢",
    "２", "１.２３４,５０ €", "1.234,50 €", "€", "2024-02-30", "0000-01-01", "9999-12-31T23:59:60Z",
    "0001-01-01T00:00+01:00", "9999-12-31T23:59:59-23:59", "x" * 10_000, "k-1",
)  # fmt: skip
LONG = tuple(each * (3_900_000 // len(each.encode())) for each in ("é", "😀", r"\"", r"\u0000", "\x7f", r"\\"))
"""Of which each letter becomes more in a reply."""
DEPTHS = (50, 300, 600, 900, 980, 990, 1_015, 2_000)
NO_BASE64 = ("{", "====", "a", "abc", "é", "AA=A", "\0", " ", "\ud800", "e30", "e30=", "e30=\n", "-_-_")
HALVES = (r'"\ud800"', r'"\udc00x"', r'"\ud83d\ud83d"', r'"\ud83d\ude00"', r'"\u0000"')
PATHS = (
    "", "/", "//", "/models", "/models/", "/models//predict", "/models/two/predict/", "//models//two//predict",
    "/models/two", "/models/two/labels", "/models/nobody/predict", "/models/Two/predict", "/models/%74wo/predict",
    "/models/two%2Fpredict", "/models/../models/two/predict", "/models/../../etc/passwd", "/models/%2e%2e/predict",
    "/models/two\0/predict", "/models/tw\u00f6/predict", "/models/😀", "/models/" + "x" * 8_000, "/" * 5_000,
    "/models/two/predict/more", "/models/two/explain", "/health", "/health/x", "/models/two?x=1", "/models/ two",
    "/MODELS/two/predict", "\\models\\two", "/models/two/predict;x=1", "/models/\ud800",
)  # fmt: skip
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "get", "", "TRACE", "POST ", "P\u00d6ST")


def listed() -> list[Event]:
    """What is worth a try every time."""
    return [
        *_numbers(),
        *_texts(),
        *_shapes(),
        *_sizes(),
        *_bytes(),
        *_labels(),
        *(event(rows(ROW), path, method) for path in PATHS for method in ("GET", "POST")),
        *(
            event(body, path, method)
            for method in METHODS
            for path in ("/models/two/predict", "/health")
            for body in (None, rows(ROW))
        ),
    ]


def _numbers() -> list[Event]:
    return [
        event(body)
        for number in map(Raw, NUMBERS)
        for body in (
            *(
                rows({**ROW, name: number})
                for name in ("size", "flag", "colour", "day", "key", "seen", "note", "price")
            ),
            rows({**ROW, "unknown": number}),
            rows(ROW, besides=number),
            rows({**ROW, "size": 5}, {**ROW, "size": number}, {**ROW, "size": 6}),
            rows(ROW, explain=number),
            number.text,
        )
    ]


def _texts() -> list[Event]:
    texts = [*map(json.dumps, TEXTS), *HALVES]
    fields = ("size", "flag", "colour", "day", "key", "seen", "price")
    return [
        *(event(rows({**ROW, name: Raw(text)})) for text in texts for name in fields),
        *(event(f'{{"rows": [{{{text}: 1, "size": 3}}]}}') for text in texts),
        *(event(rows(ROW, explain=Raw(text))) for text in texts),
        *(event(json.loads(text) if "\\ud8" not in text else text) for text in texts),
    ]


def _shapes() -> list[Event]:
    odd: list[Any] = [None, True, False, 0, 1, [], {}, [[]], [{}], {"a": 1}, [1, 2], ["a"], "rows", -1.5]
    return [
        *(event(written(each)) for each in odd),
        *(event(written({"rows": each})) for each in odd),
        *(event(written({"rows": [ROW, each]})) for each in odd),
        *(event(written({"rows": [ROW], "explain": each})) for each in odd),
        *(event(written({"rows": [{**ROW, name: each}]})) for each in odd for name in ROW),
        *(event(rows({name: value for name, value in ROW.items() if name != left})) for left in ROW),
        event(rows(ROW, explain=True)),
        event(rows(*[ROW] * 40, explain=True)),
        event(rows(*[ROW] * 101, explain=True)),
        event(rows({**ROW, "size": 3.4e38}, explain=True)),
        event(written(Pairs([("rows", [ROW]), ("rows", 5)]))),
        event(written(Pairs([("rows", 5), ("rows", [ROW])]))),
        event(written(Pairs([("rows", [Pairs([("size", "x"), *ROW.items(), ("size", 3)])])]))),
        event(written(Pairs([("rows", [ROW]), ("explain", True), ("explain", False)]))),
        event(written({"ROWS": [ROW]})),
        event(written({"inputs": [ROW], "rows ": [ROW]})),
        event(rows(ROW) + rows(ROW)),
        event(rows(ROW)[:-1]),
        event(rows(ROW).replace('"', "'")),
        event(rows(ROW).replace(",", ",,", 1)),
        event(f"callback({rows(ROW)})"),
        event("distance,size\n1,2\n"),
        event("rows=1&size=2", headers={"Content-Type": "application/x-www-form-urlencoded"}),
        event(rows(ROW), headers={"Content-Type": "text/plain"}),
        event(rows(ROW), headers=None),
        event(rows(ROW), headers={"Content-Type": "application/json; charset=utf-16"}),
        *(event(None), event(""), event(" "), event("\n\t"), event("null")),
    ]  # fmt: skip


def _sizes() -> list[Event]:
    """Up to what the endpoint says that it takes, and beyond."""
    deep = 100_000
    return [
        event(nested(deep)),
        event("[" * deep),
        event(nested(deep, '{"a":', "}")),
        event(rows({**ROW, "size": Raw(nested(deep))})),
        event(rows({**ROW, "unknown": Raw(nested(deep))})),
        *(event(rows({**ROW, name: Raw(nested(depth))})) for name in (*ROW, "other") for depth in DEPTHS),
        event(rows(*[{}] * 100_000)),
        event(rows(*[{}] * 10_001)),
        event(rows(*[{}] * 10_000)),
        event(rows(*[{"size": "x"}] * 10_000)),
        event(rows(*[ROW] * 10_000)),
        event(rows(*[{**ROW, "key": i} for i in range(10_000)])),
        event(rows(*[{**ROW, "day": "2024-02-30"}] * 10_000)),
        event(rows(*[{**ROW, "colour": f"{i:x}"} for i in range(10_000)])),
        event(rows(*[{f"f{i}-{j}": 1 for j in range(30)} for i in range(9_000)])),
        event(rows({**ROW, **{f"f{j}": j for j in range(200_000)}})),
        *(event(rows({**ROW, name: "x" * 3_900_000})) for name in (*ROW, "unknown")),
        *(event(rows({**ROW, name: "1" * 3_900_000})) for name in ("price", "day", "seen")),
        *(event(rows({**ROW, name: "1.111" * 700_000 + " "})) for name in ("price", "day")),
        *(event(rows({**ROW, "price": each * 1_900_000})) for each in ("€", " ", "1.", ",5")),
        *(event(rows({**ROW, "key": Raw(f'"{text}"')})) for text in LONG),
        *(event(f'{{"rows": [{{"{text}": 1}}]}}') for text in LONG),
        *(event(f'{{"{text}": 1}}') for text in LONG),
        *(labels({"id": "k-1", "label": Raw(f'"{text}"')}) for text in LONG),
        event(rows(*[{**ROW, "key": "\u00e9" * 150} for _ in range(2_500)])),
        event(rows({**ROW, "size": Raw("9" * 3_900_000)})),
        event(rows({**ROW, "size": Raw("0." + "9" * 3_900_000)})),
        event(rows({**ROW, "size": Raw("1" + "0" * 3_900_000 + "e-3899990")})),
        event(" " * 4_000_000 + rows(ROW)),
        event(rows(ROW) + " " * 3_990_000),
        event("x" * 6_000_000),
        event("é" * 2_000_001),
        event("[" + "1," * 1_900_000 + "1]"),
        event('{"rows": [' + "{}," * 9_999 + "[]]}"),
    ]  # fmt: skip


def _bytes() -> list[Event]:
    plain = rows(ROW).encode()
    return [
        event(plain),
        event(b"\xef\xbb\xbf" + plain),
        event("\ufeff" + rows(ROW)),
        *(event(rows(ROW).encode(coding)) for coding in ("utf-16", "utf-16-be", "utf-32", "utf-7", "cp500")),
        event(rows({**ROW, "key": Raw(r'"\ud800"')}).encode("utf-16-le")),
        event(plain.replace(b"k-1", b"\xff\xfe")),
        event(plain.replace(b"k-1", b"\xed\xa0\x80")),
        event(plain.replace(b"k-1", b"\xc0\x80")),
        event(plain.replace(b"k-1", b"\0")),
        event(bytes(range(256))),
        event(b"\x1f\x8b\x08" + plain),
        event(b"\x80\x04cposix\nsystem\n(S'false'\ntR."),
        event(b""),
        *(event(text, isBase64Encoded=True) for text in (*NO_BASE64, rows(ROW))),
        event("\ud800", isBase64Encoded=False),
        event(rows(ROW).replace("k-1", "\ud800")),
    ]  # fmt: skip


def _labels() -> list[Event]:
    good = {"id": "k-1", "label": "yes"}
    odd: list[Any] = [*map(Raw, NUMBERS), *TEXTS, *map(Raw, HALVES), None, True, [], {}, [1], {"a": 1}, 5, -1.5]
    places = [(name, model) for name in good for model in ("two", "number")]
    return [
        *(labels({**good, name: each}, path=f"/models/{model}/labels") for each in odd for name, model in places),
        *(labels(each) for each in (good, {}, {"id": "k"}, {"label": "yes"}, None, 3, "x", [good])),
        labels({**good, "more": Raw("1e400")}),
        labels(*[good] * 10_000),
        labels(*[{"id": 1, "label": "x" * 200_000}] * 19),
        labels({"id": "x" * 3_900_000, "label": "yes"}),
        labels({"id": "k-1", "label": "😀" * 900_000}),
        labels({"id": "k-1", "label": Raw(nested(900))}),
        event(written({"labels": []}), "/models/two/labels"),
        event(written({"rows": [good]}), "/models/two/labels"),
        event(written({"labels": [good]}), "/models/nobody/labels"),
    ]  # fmt: skip


def _values() -> st.SearchStrategy[Any]:
    scalars = st.one_of(
        st.sampled_from([*map(Raw, NUMBERS), *TEXTS, *map(Raw, HALVES)]),
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=()), max_size=30),
        st.sampled_from([*ROW.values()]),
    )
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
        max_leaves=6,
    )


def one_in(count: int) -> st.SearchStrategy[bool]:
    """Hypothesis takes the ends of a range more often than what is between."""
    return st.sampled_from([place == count // 2 for place in range(count)])


VALUES = _values()
NAMES = st.sampled_from([*ROW]) | st.text(st.characters(exclude_categories=()), max_size=10)


@st.composite
def rows_sent(draw: st.DrawFn) -> Any:
    """Mostly as they should be, or with one value that is not."""
    row = dict(ROW)
    for name in draw(st.lists(st.sampled_from([*USUAL]), max_size=4)):
        row[name] = draw(st.sampled_from(USUAL[name]))
    if draw(one_in(20)):
        return draw(VALUES)
    if draw(one_in(3)):
        row[draw(NAMES)] = draw(VALUES)
    if draw(one_in(5)):
        row.pop(draw(st.sampled_from([*ROW])), None)
    return Pairs([*row.items(), *row.items()]) if draw(one_in(10)) else row


@st.composite
def damaged(draw: st.DrawFn, body: str) -> str | bytes:
    """Cut, flipped, mixed up or written in other ways; mostly as it was."""
    data = body.encode(errors="surrogatepass")
    place = draw(st.integers(0, max(0, len(data) - 1)))
    ways: Sequence[Callable[[], str | bytes]] = (
        lambda: data[:place],
        lambda: data[:place] + draw(st.binary(min_size=1, max_size=4)) + data[place:],
        lambda: data[:place] + draw(st.binary(min_size=1, max_size=4)) + data[place + 2 :],
        lambda: body[:place] + body[place + 1 :],
        lambda: body[:place] + draw(st.text(st.characters(exclude_categories=()), max_size=3)) + body[place:],
        lambda: body + body,
        lambda: body.encode(draw(st.sampled_from(["utf-16", "utf-32", "utf-8-sig"])), errors="surrogatepass"),
        lambda: data,
    )  # fmt: skip
    return draw(st.sampled_from(ways))() if draw(one_in(8)) else body


@st.composite
def events(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from([*["rows"] * 7, *["labels"] * 2, "anything"]))
    model = draw(st.sampled_from([*["two"] * 6, *["number"] * 3, "nobody"]))
    path, method = f"/models/{model}/predict", "POST"
    if kind == "rows":
        body: Any = {"rows": draw(st.lists(rows_sent(), min_size=1, max_size=4))}
        if draw(st.booleans()):
            body["explain"] = draw(VALUES) if draw(one_in(5)) else draw(st.booleans())
    elif kind == "labels":
        path = f"/models/{model}/labels"
        usual = st.fixed_dictionaries({"id": st.sampled_from(["k-1", 7]), "label": st.sampled_from(["yes", "no", 5.5])})
        odd = st.fixed_dictionaries({"id": VALUES, "label": VALUES})
        body = {"labels": draw(st.lists(odd if draw(one_in(3)) else usual, min_size=1, max_size=3))}
    else:
        body = draw(VALUES)
    if isinstance(body, dict) and draw(one_in(10)):
        body = {**body, draw(NAMES): draw(VALUES)}
    if draw(one_in(20)):
        path, method = draw(st.sampled_from(PATHS)), draw(st.sampled_from(METHODS))
    facts = {"isBase64Encoded": True} if draw(one_in(30)) else {}
    return event(draw(damaged(written(body))), path, method, **facts)
