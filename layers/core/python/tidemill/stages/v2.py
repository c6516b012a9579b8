"""The Open Inference Protocol (KServe's V2 over REST): tensors in, tensors out, one tensor a field.

A field's tensor has one value a row, of shape [n] or [n, 1]; the rows that they make are predicted as any others are.
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tidemill.errors import InvalidRequest, NotFound, TooLarge
from tidemill.schema import Column
from tidemill.stages.contract import Contract
from tidemill.stages.rows import Row, quoted, shown

if TYPE_CHECKING:
    from tidemill.stages.http import Service

VERSION = "1"
"""Of the HTTP API, as its stage says it."""
PLATFORM = "onnxruntime_onnx"
MISSING = "NaN"
"""NumPy has no other word for a number that is missing, and its clients write it out."""
_BINARY = (
    "the binary tensor extension is not served: send `data` as JSON (tritonclient: "
    "set_data_from_numpy(…, binary_data=False))"
)
_FLOAT, _WHOLE = frozenset({int, float}), frozenset({int})
DATATYPES: Mapping[str, frozenset[type]] = {
    "BOOL": frozenset({bool}),
    "BYTES": frozenset({str}),
    **dict.fromkeys(("FP16", "FP32", "FP64"), _FLOAT),
    **dict.fromkeys((f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)), _WHOLE),
}
"""What JSON has of each."""
_OF_KIND = {"numeric": "FP64", "boolean": "BOOL", "categorical": "BYTES", "datetime": "BYTES"}
_MOST_PROBLEMS = 20
LONGEST_ID = 1_000


@dataclass(frozen=True)
class Asked:
    """`id` is the caller's own name for the request, empty without one; `outputs` in the order asked for."""

    id: str
    rows: Sequence[Row]
    outputs: Sequence[str]


def about(what: str, service: "Service") -> dict[str, Any]:
    """The server: itself, `live`, or `ready` when its stores can be reached."""
    if what == "live":
        return {"live": True}
    if what == "ready":
        service.models()
        return {"ready": True}
    return {"name": "tidemill", "version": VERSION, "extensions": []}


def check_version(contract: Contract, version: Sequence[str]) -> None:
    if list(version) != [str(contract.version)]:
        named = f"version {version[0]}" if version else "a version without a number"
        raise NotFound(
            f"{named} of {contract.model} does not serve: its champion does, version {contract.version}, "
            f"at /v2/models/{contract.model}"
        )


def check_headers(headers: Mapping[str, str]) -> None:
    """tritonclient says by a header where its JSON ends, and bytes begin."""
    if "inference-header-content-length" in map(str.lower, headers):
        raise InvalidRequest(_BINARY)


def metadata(contract: Contract) -> dict[str, Any]:
    columns = [column for column in contract.schema.columns if column.role in ("feature", "id", "time")]
    return {
        "name": contract.model,
        "versions": [str(contract.version)],
        "platform": PLATFORM,
        "inputs": [_input(column) for column in columns],
        "outputs": [
            {"name": name, "datatype": datatype, "shape": [-1, *shape], **_named(name, contract)}
            for name, (datatype, shape) in _outputs(contract).items()
        ],
    }


def asked(document: Mapping[str, Any], contract: Contract) -> Asked:
    """Raises `InvalidRequest` with every tensor that cannot be used, and `TooLarge`."""
    problems: list[str] = []
    identity = document.get("id", "")
    if not isinstance(identity, str) or len(identity) > LONGEST_ID:
        problems.append(f"`id` must be text of at most {LONGEST_ID:,} characters, not {shown(identity)}")
    columns = _columns(document.get("inputs"), problems)
    outputs = _output_names(document.get("outputs"), _outputs(contract), problems)
    counts = {name: len(values) for name, values in columns.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{quoted(name)} {count:,}" for name, count in list(counts.items())[:10])
        problems.append(f"the inputs differ in their rows: {told}")
    if problems:
        raise InvalidRequest(problems[:_MOST_PROBLEMS])
    rows = next(iter(counts.values()))
    if rows > contract.most_rows:
        raise TooLarge(f"{rows:,} rows, and {contract.most_rows:,} is the limit of one call: send them in chunks")
    names = list(columns)
    return Asked(
        identity,
        [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)],
        outputs,
    )


def reply(asked: Asked, contract: Contract, answer: Mapping[str, Any]) -> dict[str, Any]:
    """`answer` as `Service.predict` gives it."""
    predictions, known = answer["predictions"], _outputs(contract)
    data: dict[str, list[Any]] = {name: [row[name] for row in predictions] for name in ("id", "prediction")}
    if contract.classes:
        data["probabilities"] = [share for row in predictions for share in row["probabilities"].values()]
    said = {
        "warnings": "; ".join(answer.get("warnings", ())),
        "degraded": answer.get("degraded", ""),
    }
    parameters = {name: text for name, text in said.items() if text}
    return {
        "model_name": answer["model"],
        "model_version": str(answer["version"]),
        **({"id": asked.id} if asked.id else {}),
        **({"parameters": parameters} if parameters else {}),
        "outputs": [
            {
                "name": name,
                "datatype": known[name][0],
                "shape": [len(predictions), *known[name][1]],
                **_named(name, contract),
                "data": data[name],
            }
            for name in asked.outputs
        ],
    }


def error(problem: Any) -> dict[str, Any]:
    """A problem document in the protocol's form: one sentence."""
    fields = problem.get("errors", ())
    told = [f"row {one['row']} {one['field']!r}: expected {one['expected']}, got {one['got']}" for one in fields[:5]]
    return {"error": ": ".join([problem["detail"], *(["; ".join(told)] if told else [])])}


def _input(column: Column) -> dict[str, Any]:
    required = column.role == "feature" and not column.nullable
    facts = {"kind": column.kind, "role": column.role, "required": required}
    return {"name": column.name, "datatype": _OF_KIND[column.kind], "shape": [-1], "parameters": facts}


def _outputs(contract: Contract) -> dict[str, tuple[str, list[int]]]:
    """Datatype and shape of each, without the rows."""
    found: dict[str, tuple[str, list[int]]] = {"id": ("BYTES", []), "prediction": (_datatype(contract), [])}
    return found | ({"probabilities": ("FP64", [len(contract.classes)])} if contract.classes else {})


def _datatype(contract: Contract) -> str:
    kinds = set(map(type, contract.classes)) or {float}
    if kinds <= _FLOAT:
        return "INT64" if kinds == _WHOLE else "FP64"
    return "BOOL" if kinds == {bool} else "BYTES"


def _named(output: str, contract: Contract) -> dict[str, Any]:
    """A parameter is text, a number or a boolean: the classes are JSON in a text."""
    if output != "probabilities":
        return {}
    return {"parameters": {"classes": json.dumps(list(contract.schema.classes), ensure_ascii=False)}}


def _columns(tensors: Any, problems: list[str]) -> dict[str, list[Any]]:
    if not isinstance(tensors, list) or not tensors:
        raise InvalidRequest("the body must have 'inputs', a list with one tensor a field")
    columns: dict[str, list[Any]] = {}
    for place, tensor in enumerate(tensors):
        try:
            name, values = _tensor(place, tensor)
            if name in columns:
                raise ValueError(f"inputs[{place}]: {quoted(name)} is there twice")
            columns[name] = values
        except ValueError as error:
            problems.append(str(error))
    return columns


def _tensor(place: int, tensor: Any) -> tuple[str, list[Any]]:
    """Name and values, one of each row; raises ValueError with what is wrong."""
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise ValueError(f"inputs[{place}] must be an object with a name, shape, datatype and data")
    name: str = tensor["name"]
    said = f"input {quoted(name)}"
    shape: Any = tensor.get("shape")
    datatype, data = tensor.get("datatype"), tensor.get("data")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise ValueError(f"{said}: datatype {shown(datatype)} is none of {', '.join(DATATYPES)}")
    if not isinstance(data, list):
        parameters = tensor.get("parameters")
        binary = isinstance(parameters, dict) and "binary_data_size" in parameters
        raise ValueError(f"{said}: {_BINARY if binary else '`data` must be a list of its values'}")
    if not _is_column(shape):
        raise ValueError(f"{said}: shape {shown(shape)} must be [rows] or [rows, 1], one value a row and a field")
    values = [each[0] if isinstance(each, list) and len(each) == 1 else each for each in data]
    if len(values) != shape[0]:
        raise ValueError(f"{said}: {len(values):,} values do not fill the shape {shown(shape)}")
    taken = DATATYPES[datatype] | {type(None)}
    if not set(map(type, values)) <= taken:
        row, wrong = next((i, each) for i, each in enumerate(values) if type(each) not in taken)
        raise ValueError(f"{said}: value {row} is {shown(wrong)}, which is not {datatype}")
    return name, values


def _is_column(shape: Any) -> bool:
    if not isinstance(shape, list) or not all(type(size) is int and size > 0 for size in shape):
        return False
    return len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)


def _output_names(wanted: Any, known: Mapping[str, Any], problems: list[str]) -> list[str]:
    """All without a wish; one that asks for bytes is answered as JSON, which its client reads too."""
    if not wanted:
        return list(known)
    entries = wanted if isinstance(wanted, list) else [wanted]
    named = [entry.get("name") if isinstance(entry, dict) else entry for entry in entries]
    names = [name for name in named if isinstance(name, str) and name in known]
    unknown = [name for name in named if not isinstance(name, str) or name not in known]
    problems += [f"output {shown(name)} is none of {', '.join(known)}" for name in unknown[:_MOST_PROBLEMS]]
    problems += [f"output {name!r} is asked for twice" for name in known if names.count(name) > 1]
    return names
