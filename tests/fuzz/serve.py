"""Requests of all kinds through the handler of infer, in one process: `python -m tests.fuzz.serve [--requests 10000]`.

Ends with how many of each status there were, the slowest ones, and a verdict: no reply of 5xx, none that is not what
docs/http-api.md says, none slower than a second, all captured of what was answered, and of what was refused that it was
and no more.
"""

import argparse
import io
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NoReturn, cast
from unittest.mock import patch

import numpy as np
from hypothesis import HealthCheck, given, settings

from functions.infer import handler as infer
from tests.fuzz import calls, tensors
from tests.fuzz.calls import Event
from tests.unit.builders import artifacts, background, dataset, observations, trained
from tidemill.aws import lines
from tidemill.aws.failures import Refused
from tidemill.aws.objects import Objects
from tidemill.aws.registry import Champion
from tidemill.aws.stores import Serving
from tidemill.flows.infer import Endpoint
from tidemill.stages.captured import PREDICTIONS, REFUSALS, read_lines

SLOWEST = 1.0
"""Seconds of the processor, which do not depend on who else works there."""
LARGEST_REPLY = 6_291_556
"""Bytes that Lambda takes from a function."""
LONGEST_DETAIL = 20_000
"""Characters."""
PROBLEM = {"type", "title", "status", "detail", "errors"}
_SPEC = """
target = "y"
id = "key"
time = "seen"
exclude = ["note"]
[columns.price]
decimal = ","
thousands = "."
unit = "€"
"""


@dataclass
class Memory:
    """As much of S3's client as serving calls, and of the registry; models are champions, each in its first version."""

    objects: dict[str, bytes] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    def get_object(self, *, Bucket: str, Key: str) -> Mapping[str, Any]:  # noqa: N803 boto3's names
        if Key not in self.objects:
            raise Refused("NoSuchKey", Key)
        return {"Body": io.BytesIO(self.objects[Key])}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, ContentType: str) -> Mapping[str, Any]:  # noqa: N803
        self.objects[Key] = Body
        return {}

    def champion(self, model: str) -> Champion | None:
        return Champion(1, "2030-01-01T00:00:00.000+00:00", "r") if model in self.names else None

    def models(self) -> list[str]:
        return self.names

    def stores(self) -> Serving:
        anything = cast("Any", self)
        return Serving(
            models=Objects(anything, "models"), captures=Objects(anything, "captures"), registry=anything, capture="log"
        )


@cache
def models() -> Mapping[str, bytes]:
    """Of two classes and of a number, in the bucket's keys."""
    found: dict[str, bytes] = {}
    for name, task in (("two", "binary"), ("number", "regression")):
        frame = observations(400, task=task)
        rng = np.random.default_rng(3)
        frame.insert(0, "key", [f"k-{i}" for i in range(len(frame))])
        frame.insert(1, "seen", frame["day"].ffill().bfill())
        prices = rng.integers(1_000, 9_000, len(frame)).tolist()
        frame["price"] = [f"{each // 1000}.{each % 1000:03},50 €" for each in prices]
        frame["note"] = "of no use"
        data = dataset(frame, _SPEC)
        manifest, graph, golden = artifacts(data, trained("linear", data).onnx)
        files = {"model.onnx": graph, "golden.json": golden, "background.npy": background(data, manifest)}
        files["manifest.json"] = json.dumps({**manifest, "model": name, "version": 1}).encode()
        found |= {f"models/{name}/1/{file}": content for file, content in files.items()}
    return found


@cache
def columns() -> Mapping[str, Sequence[str]]:
    """Their names, by model."""
    manifests = {name: json.loads(models()[f"models/{name}/1/manifest.json"]) for name in ("two", "number")}
    return {name: [column["name"] for column in one["schema"]["columns"]] for name, one in manifests.items()}


@dataclass
class Fuzzed:
    """What came of the requests so far. `wrong` has in words what should not have been, with the request."""

    memory: Memory
    statuses: Counter[int] = field(default_factory=Counter)
    slowest: list[tuple[float, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)

    def send(self, event: Event) -> None:
        self.written.clear()
        event = {**event, "requestContext": {"requestId": f"q{sum(self.statuses.values())}"}}
        stored = len(self.memory.objects)
        begun = time.process_time()
        try:
            reply = infer.handler(event, None)
        except Exception as error:  # noqa: BLE001 Lambda makes a 502 of any
            self.statuses[502] += 1
            self._wrong(event, f"{type(error).__name__}: {str(error)[:200]}")
            return
        taken = time.process_time() - begun
        self.statuses[reply["statusCode"]] += 1
        self.slowest = sorted([*self.slowest, (taken, described(event))], reverse=True)[:5]
        for problem in problems(reply, self.written, len(self.memory.objects) - stored, event["path"]):
            self._wrong(event, problem)

    def _wrong(self, event: Event, what: str) -> None:
        self.wrong.append(f"{what} for {described(event)}")


def problems(
    reply: Mapping[str, Any], written: Sequence[str], stored: int, path: str = "/models/two/predict"
) -> Iterator[str]:
    """What of a reply is not as docs/http-api.md has it; `written` are the lines of the log, `stored` new objects."""
    status, size = reply["statusCode"], len(json.dumps(reply))
    if status not in (200, 202, 400, 404, 405, 413):
        yield f"status {status}"
    if size > LARGEST_REPLY:
        yield f"a reply of {size:,} bytes"
    route = [part for part in path.split("/") if part]
    if status == 200 and route == ["docs"]:
        yield from _of_page(reply, written)
        return
    try:
        document = json.loads(reply["body"], parse_constant=_refuse)
    except ValueError as error:
        yield f"no JSON: {error}"
        return
    protocol = route[:1] == ["v2"]
    outputs = document.get("outputs", ()) if protocol and route[-1] == "infer" else ()
    yield from _of_captures(written, outputs[0]["shape"][0] if outputs else len(document.get("predictions", ())))
    yield from _of_refusals(written, route, status)
    if stored != (status == 202):
        yield f"{stored} objects were stored with status {status}"
    if status >= 400:
        yield from (_of_error if protocol else _of_refusal)(reply, document)
    elif reply["headers"] != {"Content-Type": "application/json"}:
        yield f"headers {reply['headers']}"
    for entry in document.get("predictions", ()):
        yield from _of_prediction(entry, document["model"])
    yield from _of_outputs(outputs)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _of_captures(written: Sequence[str], rows: int) -> Iterator[str]:
    captured = read_lines(written)
    records = [record for (kind, _), each in captured.records.items() if kind == PREDICTIONS for record in each]
    lost = sum(int(json.loads(line)["CaptureLost"][0]) for line in written if '"CaptureLost"' in line)
    if captured.damaged or len(records) + lost != rows:
        yield f"{len(records)} captures, {lost} lost, {captured.damaged} damaged lines of {rows} predictions"
    try:
        # As whoever reads them writes them to a file.
        json.dumps(records, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        yield f"a capture that no file takes: {error}"


def _of_refusals(written: Sequence[str], route: Sequence[str], status: int) -> Iterator[str]:
    """One of each body that could not be answered, with names that the model has and no other text."""
    found = [(model, each) for (kind, model), each in read_lines(written).records.items() if kind == REFUSALS]
    records = [record for _, each in found for record in each]
    model = next(iter(route[2:] if route[:1] == ["v2"] else route[1:]), "")
    asked = route[-1:] in (["predict"], ["infer"]) and model in columns()
    if len(records) != (asked and status in (400, 413)):
        yield f"{len(records)} refusals captured with status {status}"
    for name, each in found:
        told = {text for record in each for problem in record["problems"] for text in problem}
        if not told <= {"", *columns()[name], "absent", "null", "unusable", "too_large"}:
            yield f"refusals with the words {sorted(told)[:5]}"


def _of_refusal(reply: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[str]:
    if reply["headers"].get("Content-Type") != "application/problem+json":
        yield f"headers {reply['headers']}"
    if document.get("status") != reply["statusCode"] or not set(document) <= PROBLEM:
        yield f"a problem document with {sorted(document)}"
    if not all(isinstance(document.get(name), str) and document[name] for name in ("type", "title", "detail")):
        yield "a problem document that says too little"
    if len(document.get("detail", "")) > LONGEST_DETAIL:
        yield f"a detail of {len(document['detail']):,} characters"
    if any(set(error) != {"row", "field", "expected", "got"} for error in document.get("errors", ())):
        yield "errors of another form"


def _of_page(reply: Mapping[str, Any], written: Sequence[str]) -> Iterator[str]:
    if "default-src 'none'" not in reply["headers"].get("Content-Security-Policy", ""):
        yield f"a page with the headers {reply['headers']}"
    yield from _of_captures(written, 0)


def _of_error(reply: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[str]:
    """Of the Open Inference Protocol."""
    said = document.get("error")
    if reply["headers"].get("Content-Type") != "application/json" or set(document) != {"error"}:
        yield f"an error with {sorted(document)} and the headers {reply['headers']}"
    if not isinstance(said, str) or not 0 < len(said) <= LONGEST_DETAIL:
        yield f"an error that says {ascii(said)[:100]}"


def _of_outputs(outputs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    names = [output["name"] for output in outputs]
    if len(set(names)) < len(names) or not set(names) <= {"id", "prediction", "probabilities"}:
        yield f"outputs called {names[:5]}"
    for output in outputs:
        if np.prod(output["shape"]) != len(output["data"]) or None in output["data"]:
            yield f"{output['name']} of shape {output['shape']} with {len(output['data'])} values"
        rows = output["shape"][0]
        if output["name"] == "probabilities" and abs(sum(output["data"]) - rows) > 1e-6 * rows:
            yield f"probabilities of {rows} rows whose sum is {sum(output['data'])}"


def _of_prediction(entry: Mapping[str, Any], model: str) -> Iterator[str]:
    value = entry["prediction"]
    if not isinstance(entry["id"], str) or not entry["id"]:
        yield f"the id {entry['id']!r}"
    if model == "two":
        value = entry["probabilities"]["yes"]
        if entry["prediction"] not in ("yes", "no") or abs(sum(entry["probabilities"].values()) - 1) > 1e-6:
            yield f"the prediction {entry}"
    if told := entry.get("explanation"):
        total = told["base"] + sum(each["contribution"] for each in told["contributions"]) + told["others"]
        if abs(total - value) > 1e-5 * max(1, abs(value)):
            yield f"an explanation of {total}, and not {value}"


def described(event: Event) -> str:
    """Short enough to print."""
    shown = ascii(event["body"])
    shown = shown if len(shown) < 300 else f"{shown[:200]}…{shown[-60:]} ({len(shown):,})"
    return f"{event['httpMethod']} {ascii(event['path'])[:80]} {'base64 ' if event['isBase64Encoded'] else ''}{shown}"


@contextmanager
def fuzzing() -> Iterator[Fuzzed]:
    """The handler with its stores in memory, and its log in a list."""
    fuzzed = Fuzzed(Memory(dict(models()), ["two", "number"]))

    def count(name: str, value: float, model: str) -> None:
        lines.count(name, value, model=model)

    endpoint = Endpoint(fuzzed.memory.stores(), lines.now, count, start=lambda work: work())
    with patch.object(infer, "endpoint", lambda: endpoint), patch.object(lines, "write", fuzzed.written.append):
        yield fuzzed


def listed() -> list[Event]:
    return [*calls.listed(), *tensors.listed()]


def send_all(fuzzed: Fuzzed, generated: int, *, again: bool) -> None:
    """What is listed, and so many others; `again`: the same ones every time."""
    for event in listed():
        fuzzed.send(event)

    @settings(
        max_examples=generated, deadline=None, derandomize=again, database=None, suppress_health_check=[*HealthCheck]
    )
    @given(calls.events() | tensors.events())
    def send(event: Event) -> None:
        fuzzed.send(event)

    send()


def main(requests: int) -> int:
    with fuzzing() as fuzzed:
        send_all(fuzzed, max(1, requests - len(listed())), again=False)
    print(
        f"{sum(fuzzed.statuses.values()):,} requests: "
        + ", ".join(f"{count:,} × {status}" for status, count in sorted(fuzzed.statuses.items()))
    )
    print("slowest, ms:")
    for taken, event in fuzzed.slowest:
        print(f"  {1_000 * taken:8.0f}  {event}")
    slow = fuzzed.slowest[0][0] > SLOWEST
    if slow:
        fuzzed.wrong.append(f"the slowest reply took {fuzzed.slowest[0][0]:.2f} s, and {SLOWEST:g} s is the limit")
    for sentence in fuzzed.wrong[:40]:
        print(f"FAILS  {sentence}")
    print(f"{len(fuzzed.wrong)} claims do not hold" if fuzzed.wrong else "All claims hold.")
    return 1 if fuzzed.wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000)
    sys.exit(main(parser.parse_args().requests))
