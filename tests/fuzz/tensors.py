"""Requests of the Open Inference Protocol that somebody may send, good and hostile."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.calls import (
    LONG,
    METHODS,
    NAMES,
    NUMBERS,
    ROW,
    TEXTS,
    USUAL,
    VALUES,
    Event,
    Pairs,
    Raw,
    damaged,
    event,
    nested,
    one_in,
    written,
)

INFER = "/v2/models/two/infer"
DATATYPES = (
    "BOOL", "BYTES", "FP16", "FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64",
)  # fmt: skip
OF_FIELD: Mapping[str, str] = {"size": "FP64", "flag": "BOOL"}
ODD: Sequence[Any] = (None, True, 0, -1, 1.5, "", "x", [], {}, [[]], [{}], {"a": 1}, [1, 2], [None], ["a"], [[1], 2])
SHAPES: Sequence[Any] = (
    *ODD, [0], [-1], [1, 1], [1, 2], [1, 0], [-1, -1], [1, 1, 1], [1.0], [True], ["1"], [Raw("1e18")], [10**18],
    [2**63], [Raw("1" + "0" * 4_000)], [Raw("1" + "0" * 5_000)], [Raw("NaN")], [Raw("-0")], [1] * 10_000,
    Raw(nested(900)), Raw(nested(100_000)), Raw('{"__proto__": 1}'),
)  # fmt: skip
DATA: Sequence[Any] = (
    *ODD, [[1]], [[[1]]], [[1, 2]], [[1], [2]], [Raw("NaN")], [[Raw("NaN")]], [Raw("Infinity")], Raw("NaN"), [1, "x"],
    [Raw("1" + "0" * 5_000)], [Raw("1" + "0" * 4_000)], [Raw(nested(900))], Raw(nested(100_000)), [{}], [{"a": 1}],
    "AAAA", [*range(10_001)], [0] * 1_000_000,
)  # fmt: skip
OUTPUTS: Sequence[Any] = (
    *ODD, "prediction", {"name": "prediction"}, [{"name": "id"}], ["id", "probabilities"], [{"name": None}],
    [{"name": "x" * 1_000_000}], [{"name": "probabilities"}] * 100_000, ["prediction"] * 3, [{"name": ["id"]}],
    [{"name": "id", "parameters": {"binary_data": True}}], [{"name": "probabilities", "parameters": 5}],
    [Raw(nested(900))], [{"name": Raw(nested(900))}], [*map(str, range(50_000))],
)  # fmt: skip
ABOUT = (
    "/openapi.json", "/docs", "/docs/", "/models/two/schema", "/models/number/schema", "/models/nobody/schema",
    "/models/TWO/schema", "/models/two/schema/x", "/v2", "/v2/", "/v2/health", "/v2/health/live", "/v2/health/ready",
    "/v2/health/asleep", "/v2/models", "/v2/models/two", "/v2/models/number", "/v2/models/nobody",
    "/v2/models/two/ready", "/v2/models/two/versions", "/v2/models/two/versions/1", "/v2/models/two/versions/1/ready",
    "/v2/models/two/versions/2",
    "/v2/models/two/versions/01", "/v2/models/two/versions/-1/infer", "/v2/models/two/versions/" + "9" * 5_000,
    "/v2/models/two/versions/\ud800", "/v2/models/two/versions/1/infer", "/v2/models/two/versions/1/versions/1",
    "/v2/models/\ud800/infer", "/v2/models/../two", "/v2/models/" + "x" * 8_000, "/v2/" + "/" * 5_000,
    "/v2/repository/index",
    "/v2/models/nobody/infer", "/v2/models/number/infer", INFER, "/v1/models/two:predict", "/V2", "/openapi.json/x",
    "/openapi.yaml", "/v2/models/two/infer/x", "/v2/models/two/generate",
)  # fmt: skip


def tensor(name: Any, data: Any, datatype: Any = None, shape: Any = None, **more: Any) -> dict[str, Any]:
    """As `name` has it in the model that is fuzzed, of one row for each value, if nothing else is said."""
    rows = len(data) if isinstance(data, list) else 1
    kind = OF_FIELD.get(name, "BYTES") if isinstance(name, str) else "BYTES"
    return {
        "name": name, "datatype": kind if datatype is None else datatype, "shape": [rows] if shape is None else shape,
        "data": data, **more,
    }  # fmt: skip


def tensors(rows: int = 1, **changed: Any) -> list[dict[str, Any]]:
    """Good ones, but for those that are changed: to their data."""
    return [tensor(name, changed.get(name, [value] * rows)) for name, value in ROW.items()]


def infer(inputs: Any, path: str = INFER, **besides: Any) -> Event:
    return event(written({"inputs": inputs, **besides}), path)


def listed() -> list[Event]:
    """What is worth a try every time."""
    whole = written({"inputs": tensors()})
    return [
        *(event(body, path, method) for path in ABOUT for method in ("GET", "POST") for body in (None, whole)),
        *(event(whole, INFER, method) for method in METHODS),
        *_of_tensors(),
        *_of_calls(),
    ]


def _of_tensors() -> list[Event]:
    size = ROW["size"]
    rest = [each for each in tensors() if each["name"] != "size"]
    numbers = [*map(Raw, NUMBERS)]
    return [
        *(infer([*rest, tensor("size", [size], shape=shape)]) for shape in SHAPES if shape is not None),
        *(infer([*rest, tensor("size", [size], kind)]) for kind in (*DATATYPES, "FP8", "fp64", "", "x" * 1_000_000)),
        *(infer([*rest, tensor("size", [size], kind)]) for kind in ODD if kind is not None),
        *(infer([*rest, tensor("size", data, shape=[1])]) for data in DATA),
        *(infer([*rest, tensor("size", data)]) for data in DATA),
        *(infer([*rest, tensor("size", [each], kind)]) for each in numbers for kind in ("FP64", "INT64", "BYTES")),
        *(infer([*rest, tensor("size", [each])]) for each in (*TEXTS, *ODD)),
        *(infer(tensors(1, **{name: [each]})) for each in TEXTS for name in ("key", "day", "colour", "price")),
        *(infer([*rest, tensor(name, [size], "FP64")]) for name in (*ODD, *TEXTS)),
        *(infer([*rest, {**tensor("size", [size]), "parameters": each}]) for each in (*ODD, {"binary_data_size": 8})),
        infer([*rest, {"name": "size", "datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": 8}}]),
        *(
            infer([*rest, {k: v for k, v in tensor("size", [size]).items() if k != left}])
            for left in ("name", "datatype", "shape", "data")
        ),
        infer([*rest, Pairs([*tensor("size", ["x"]).items(), *tensor("size", [size]).items()])]),
    ]  # fmt: skip


def _of_calls() -> list[Event]:
    good = tensors()
    many = 10_000
    return [
        *(infer(each) for each in ODD),
        *(infer([each]) for each in ODD),
        *(event(written(each), INFER) for each in ODD),
        *(infer(good, outputs=each) for each in OUTPUTS),
        *(infer(good, id=each) for each in (*ODD, *TEXTS, *(Raw(f'"{text}"') for text in LONG), *map(Raw, NUMBERS))),
        *(infer(good, parameters=each) for each in (*ODD, {"explain": True}, {"binary_data_output": True})),
        *(infer([each for each in good if each["name"] != left]) for left in ROW),
        infer([*good, *good]),
        infer([*good, tensor("size", [1.0])]),
        infer([*good, tensor("size", [1.0, 2.0])]),
        infer([*good, tensor("unknown", [1.0], "FP64")]),
        infer([tensor(f"f{i}", [1], "INT8") for i in range(50_000)]),
        infer([tensor("size", [1])] * 50_000),
        infer([tensor("x" * 3_900_000, [1], "INT8")]),
        infer([{"name": "x" * 3_900_000}]),
        *(infer([tensor(Raw(f'"{text}"'), [1], "INT8")]) for text in LONG),
        *(infer(tensors(key=[Raw(f'"{text}"')])) for text in LONG),
        *(infer(tensors(colour=[Raw(f'"{text}"')])) for text in LONG),
        infer(tensors(1_000)),
        infer([tensor("size", [1.5] * many), tensor("flag", [True] * many), tensor("day", [None] * many)]),
        infer([tensor("size", [[1.5]] * many, shape=[many, 1])]),
        infer([tensor("size", [1.5] * (many + 1))]),
        infer([tensor("size", [float("nan")] * many)]),
        infer([tensor("size", ["x"] * many, "BYTES")]),
        infer([tensor("key", [f"k-{i}" for i in range(many)]), tensor("size", [1.5] * many)]),
        infer(good, "/v2/models/number/infer"),
        infer(good, "/v2/models/nobody/infer"),
        infer(good, "/v2/models/two/versions/1/infer"),
        infer(good, "/v2/models/two/versions/2/infer"),
        event(written({"inputs": good}).encode() + b"\0\0\0\x01", INFER),
        event(written({"inputs": good}).encode("utf-16"), INFER),
        event(written({"inputs": good}).replace("k-1", "\ud800"), INFER),
        event(written({"inputs": good}), INFER, headers={"inference-HEADER-content-length": "10"}),
        event(written({"inputs": good}), INFER, headers=None),
        event("x" * 6_000_000, INFER),
        event(written({"rows": [ROW]}), INFER),
        event(json.dumps({"inputs": good}), "/models/two/predict"),
        *(event(body, INFER) for body in (None, "", " ", "{", "null", "NaN", "[]", nested(100_000))),
    ]  # fmt: skip


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Mostly tensors as they should be, or with one that is not."""
    rows = draw(st.integers(1, 3))
    inputs: list[Any] = []
    for name, value in ROW.items():
        usual = USUAL.get(name, [value])
        data: Any = [draw(st.sampled_from(usual)) if draw(one_in(4)) else value for _ in range(rows)]
        inputs.append(tensor(name, data))
    if draw(one_in(3)):
        wrong = draw(st.sampled_from(["name", "datatype", "shape", "data", "parameters"]))
        values = {"datatype": st.sampled_from(DATATYPES), "shape": st.sampled_from(SHAPES), "name": NAMES}
        inputs[draw(st.integers(0, len(inputs) - 1))][wrong] = draw(values.get(wrong, VALUES) | VALUES)
    if draw(one_in(5)):
        inputs.append(tensor(draw(NAMES), draw(st.lists(VALUES, max_size=3)), draw(st.sampled_from(DATATYPES))))
    if draw(one_in(5)):
        inputs.pop(draw(st.integers(0, len(inputs) - 1)))
    body: dict[str, Any] = {"inputs": inputs}
    if draw(one_in(4)):
        body["outputs"] = draw(VALUES | st.sampled_from(OUTPUTS[:-6]))
    if draw(one_in(4)):
        body[draw(st.sampled_from(["id", "parameters"]))] = draw(VALUES)
    model = draw(st.sampled_from([*["two"] * 6, *["number"] * 3, "nobody"]))
    path = draw(st.sampled_from(ABOUT)) if draw(one_in(20)) else f"/v2/models/{model}/infer"
    return event(draw(damaged(written(body))), path, draw(st.sampled_from(METHODS)) if draw(one_in(20)) else "POST")
