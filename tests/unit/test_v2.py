"""The Open Inference Protocol: tensors become rows, answers become tensors."""

from typing import Any

import pytest

from tests.unit.builders import Alone, dataset, observations, served

GOOD: dict[str, Any] = {
    "size": ("FP32", [50.5, None]),
    "flag": ("BOOL", [True, False]),
    "day": ("BYTES", ["2024-03-01", "2024-03-02"]),
    "colour": ("BYTES", ["red", "blue"]),
    "town": ("BYTES", ["town 3", ""]),
}


@pytest.fixture(scope="module", params=["binary", "multiclass", "regression"])
def alone(request: pytest.FixtureRequest) -> Alone:
    return Alone(served(dataset(observations(400, task=request.param))))


@pytest.fixture(scope="module")
def binary() -> Alone:
    return Alone(served(dataset(observations(400, task="binary"))))


def tensor(name: str, datatype: Any, data: Any, shape: Any = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data, **more}


def tensors(**changed: Any) -> list[dict[str, Any]]:
    return [tensor(name, *said) for name, said in {**GOOD, **changed}.items()]


def infer(alone: Alone, body: Any, more: str = "", **headers: str) -> tuple[int, Any]:
    response = alone.call("POST", f"/v2/models/demo{more}/infer", body, **headers)
    return response.status, response.document


def test_the_answers_are_those_of_predict(alone: Alone) -> None:
    rows = [dict(zip(GOOD, values, strict=True)) for values in zip(*(data for _, data in GOOD.values()), strict=True)]
    usual: Any = alone.call("POST", "/models/demo/predict", {"rows": rows}).document
    status, reply = infer(alone, {"inputs": tensors()})
    outputs = {output["name"]: output for output in reply["outputs"]}
    assert (status, reply["model_name"], reply["model_version"]) == (200, "demo", "3")
    assert outputs["prediction"]["data"] == [each["prediction"] for each in usual["predictions"]]
    assert outputs["id"]["data"] == [each["id"] for each in usual["predictions"]]
    shares = [share for each in usual["predictions"] for share in each.get("probabilities", {}).values()]
    assert outputs.get("probabilities", {"data": []})["data"] == shares


def test_outputs_are_as_the_metadata_says(alone: Alone) -> None:
    metadata: Any = alone.call("GET", "/v2/models/demo").document
    _, reply = infer(alone, {"inputs": tensors()})
    assert len(reply["outputs"]) == len(metadata["outputs"])
    for said, output in zip(metadata["outputs"], reply["outputs"], strict=True):
        assert (output["name"], output["datatype"]) == (said["name"], said["datatype"])
        assert output["shape"] == [2, *said["shape"][1:]]
        assert len(output["data"]) == 2 * (output["shape"][1] if len(output["shape"]) > 1 else 1)


def test_the_metadata_names_each_field_and_its_datatype(binary: Alone) -> None:
    metadata: Any = binary.call("GET", "/v2/models/demo").document
    assert metadata["versions"] == ["3"]
    assert {one["name"]: one["datatype"] for one in metadata["inputs"]} == {
        "size": "FP64", "flag": "BOOL", "day": "BYTES", "colour": "BYTES", "town": "BYTES",
    }  # fmt: skip
    assert metadata["outputs"][2]["parameters"] == {"classes": '["no", "yes"]'}


def test_a_column_may_be_flat_or_nested(binary: Alone) -> None:
    flat = infer(binary, {"inputs": tensors()})
    nested = [tensor(name, kind, [[value] for value in data], [2, 1]) for name, (kind, data) in GOOD.items()]
    assert infer(binary, {"inputs": nested}) == flat
    assert infer(binary, {"inputs": [tensor(name, kind, data, [2, 1]) for name, (kind, data) in GOOD.items()]}) == flat


def test_nan_as_numpy_writes_it_is_a_missing_number(binary: Alone) -> None:
    body = b'{"inputs": [{"name": "size", "datatype": "FP64", "shape": [2], "data": [50.5, %s]}]}'
    assert infer(binary, body % b"NaN") == infer(binary, body % b"null")
    assert infer(binary, body % b"Infinity")[0] == 400


def test_the_caller_names_its_request_and_chooses_outputs(binary: Alone) -> None:
    asked = {
        "id": "mine",
        "inputs": tensors(),
        "outputs": [{"name": "prediction", "parameters": {"binary_data": True}}],
    }
    _, reply = infer(binary, asked)
    assert (reply["id"], [output["name"] for output in reply["outputs"]]) == ("mine", ["prediction"])


def test_warnings_are_a_parameter_of_the_reply(binary: Alone) -> None:
    _, reply = infer(binary, {"inputs": tensors(colour=("BYTES", ["pink", "red"]), new=("INT8", [1, 2]))})
    assert 'category "pink" was not seen' in reply["parameters"]["warnings"]
    assert "'new' is not known" in reply["parameters"]["warnings"]


@pytest.mark.parametrize("kind", ["INT8", "UINT64", "FP16", "FP64"])
def test_a_number_may_come_as_any_of_its_datatypes(binary: Alone, kind: str) -> None:
    assert infer(binary, {"inputs": tensors(size=(kind, [50, 51]))})[0] == 200


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([], "must have 'inputs'"),
        ({"size": [1]}, "must have 'inputs'"),
        ([1], "inputs[0] must be an object"),
        ([tensor("size", "FP8", [1])], 'datatype "FP8" is none of BOOL, BYTES'),
        ([tensor("size", ["FP32"], [1])], "is none of BOOL"),
        ([tensor("size", "FP32", "1")], "`data` must be a list"),
        ([tensor("size", "FP32", None, [1], parameters={"binary_data_size": 4})], "binary_data=False"),
        ([tensor("size", "FP32", [1, 2], [1, 2])], "must be [rows] or [rows, 1]"),
        ([tensor("size", "FP32", [1, 2], [True])], "must be [rows] or [rows, 1]"),
        ([tensor("size", "FP32", [1, 2], [3])], "2 values do not fill the shape [3]"),
        ([tensor("size", "INT32", [1, 2.5])], "value 1 is 2.5, which is not INT32"),
        ([tensor("size", "FP32", [True])], "value 0 is true, which is not FP32"),
        ([tensor("size", "FP32", [[1, 2]], [1])], "value 0 is [1, 2], which is not FP32"),
        ([tensor("size", "FP32", [1]), tensor("size", "FP32", [1])], "'size' is there twice"),
        (
            [tensor("size", "FP32", [1]), tensor("flag", "BOOL", [True, True])],
            "differ in their rows: 'size' 1, 'flag' 2",
        ),
        ([tensor("size", "FP32", [])], "must be [rows] or [rows, 1]"),
        (tensors(size=("BYTES", ["far", "1"])), "row 0 'size': expected a number, got \"far\""),
        ([tensor("a", "X", [1]), tensor("b", "Y", [1])], 'datatype "X" is none of'),
    ],
)
def test_what_cannot_be_used_is_told_in_one_sentence(binary: Alone, inputs: Any, said: str) -> None:
    status, reply = infer(binary, {"inputs": inputs})
    assert (status, list(reply)) == (400, ["error"])
    assert said in reply["error"]


def test_every_tensor_that_cannot_be_used_is_told_at_once(binary: Alone) -> None:
    _, reply = infer(binary, {"inputs": [tensor("a", "X", [1]), tensor("b", "Y", [1])], "outputs": [{"name": "c"}]})
    assert reply["error"].count("; ") == 2


@pytest.mark.parametrize("wanted", [["id", "id"], [{"name": "probabilities"}] * 50_000])
def test_an_output_is_asked_for_once(binary: Alone, wanted: Any) -> None:
    status, reply = infer(binary, {"inputs": tensors(), "outputs": wanted})
    assert (status, "is asked for twice" in reply["error"]) == (400, True)


@pytest.mark.parametrize("wanted", [["x" * 9_000], [{"name": ["id"]}], [None], 5, [*map(str, range(9_000))]])
def test_outputs_that_do_not_exist_are_told_shortly(binary: Alone, wanted: Any) -> None:
    status, reply = infer(binary, {"inputs": tensors(), "outputs": wanted})
    assert status == 400
    assert "is none of id, prediction, probabilities" in reply["error"]
    assert len(reply["error"]) < 3_000


@pytest.mark.parametrize("identity", [5, None, [], "x" * 1_001])
def test_the_callers_name_for_its_request_is_a_short_text(binary: Alone, identity: Any) -> None:
    status, reply = infer(binary, {"inputs": tensors(), "id": identity})
    assert (status, "`id` must be text of at most 1,000 characters" in reply["error"]) == (400, True)


@pytest.mark.parametrize(
    "odd",
    [
        tensor("x" * 9_000, "FP8", [1]), tensor("size", "x" * 9_000, [1]), tensor("size", "FP64", [1], [1] * 9_000),
        tensor("size", "FP64", [1], "x" * 9_000), tensor("size", "FP64", ["x" * 9_000]),
    ],
)  # fmt: skip
def test_of_what_was_sent_only_the_beginning_is_told(binary: Alone, odd: dict[str, Any]) -> None:
    status, reply = infer(binary, {"inputs": [odd]})
    assert (status, "…" in reply["error"]) == (400, True)
    assert len(reply["error"]) < 400


@pytest.mark.parametrize(
    "body", [b"\xff\xfe", b'{"id": "\xed\xa0\x80"}', rb'{"id": "\ud800"}', b'{"id": ' + b"1" * 5_000 + b"}", b"[]"]
)
def test_a_body_is_read_as_strictly_as_any_other(binary: Alone, body: bytes) -> None:
    status, reply = infer(binary, body)
    usual: Any = binary.call("POST", "/models/demo/predict", body).document
    assert (status, reply["error"]) == (400, usual["detail"])


def test_bytes_behind_the_json_are_refused_in_words(binary: Alone) -> None:
    status, reply = infer(binary, b'{"inputs": []}\x00\x01', **{"Inference-Header-Content-Length": "14"})
    assert (status, "binary tensor extension" in reply["error"]) == (400, True)


def test_too_many_rows_are_413(binary: Alone) -> None:
    status, reply = infer(binary, {"inputs": [tensor("size", "INT8", [1] * 10_001)]})
    assert (status, "10,000 is the limit" in reply["error"]) == (413, True)


def test_the_champion_serves_under_its_version_and_no_other_does(binary: Alone) -> None:
    assert infer(binary, {"inputs": tensors()}, "/versions/3")[0] == 200
    assert binary.call("GET", "/v2/models/demo/versions/3/ready").document == {"name": "demo", "ready": True}
    for version in ("/versions/2", "/versions", "/versions/latest"):
        status, reply = infer(binary, {"inputs": tensors()}, version)
        assert (status, "its champion does, version 3" in reply["error"]) == (404, True)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2", 200),
        ("GET", "/v2/health/live", 200),
        ("GET", "/v2/health/ready", 200),
        ("GET", "/v2/health/asleep", 404),
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/NOT%20A%20NAME/ready", 400),
        ("GET", "/v2/models/demo/other", 404),
        ("POST", "/v2/models/demo", 405),
        ("GET", "/v2/models/demo/infer", 405),
    ],
)
def test_errors_have_the_protocols_form(binary: Alone, method: str, path: str, status: int) -> None:
    response = binary.call(method, path)
    assert (response.status, response.headers["Content-Type"]) == (status, "application/json")
    assert ("error" in response.document) == (status != 200)
    assert ("Allow" in response.headers) == (status == 405)
