"""Serve against the usual ways, side by side: `python -m tests.bench.serve [--quick] [part …]`.

cold    a fresh process, from its start to its first reply, with the artifacts in an object store on loopback
warm    in one process, API Gateway's event in, its reply out; 1, 100 and 1,000 rows; ours writes its captures
http    on loopback, one row: our core, FastAPI, BentoML and MLflow, all behind uvicorn with two workers
cloud   the same row by the local cloud's endpoint: what its gateway and its emulation put on top
memory  resident, of a warm function with a forest of 200 trees

All take turns, so that what else the machine does hits all alike; ratios are of medians. Every process has one thread
for numerics, as a function of Lambda with one vCPU has. The object store is a local cloud, started for the run. Exits
with 1 where a claim does not hold.
"""

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# Before numpy is loaded, here and in every child.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import numpy as np

from tests.bench import serve_cloud, serve_http
from tests.bench.subject import ESTIMATORS, Subject, frame_of, make, matrix_of, rows
from tests.cloud import CREDENTIALS, ENVIRONMENT, ROOT, account
from tidemill_cli.local.process import MiniStack

HEADLINE = "boosting"
PACKAGES = str(distribution("numpy").locate_file(""))
HANDLERS: Mapping[str, tuple[Sequence[str], str]] = {
    "tidemill": ([str(ROOT / "functions" / "infer"), str(ROOT / "layers" / "core" / "python"), PACKAGES], "handler"),
    "conventional": ([str(Path(__file__).parent / "rivals"), PACKAGES], "conventional"),
}
"""Kind → where it is found, and its module."""
_COLD = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
handler = __import__(sys.argv[2])
reply = handler.handler(json.loads(sys.argv[3]), None)
print("", "first reply", reply["statusCode"], sep="\\n", flush=True)
"""
_RESIDENT = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
handler = __import__(sys.argv[2])
for event in json.load(sys.stdin):
    assert handler.handler(event, None)["statusCode"] == 200
print()
print(open("/proc/self/status").read().partition("VmRSS:")[2].split()[0])
"""
_FLOOR = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
import numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[2], providers=["CPUExecutionProvider"])
session.run(None, {"X": numpy.zeros((1, session.get_inputs()[0].shape[1]), numpy.float32)})
print("", "first reply", 200, sep="\\n", flush=True)
"""


@dataclass
class Verdicts:
    """Claims, printed as they are judged."""

    failed: list[str] = field(default_factory=list)

    def at_most(self, what: str, value: float, limit: float, unit: str = "") -> None:
        self._judge(f"{what}: {value:.3g}{unit}, at most {limit:.3g}{unit}", value <= limit)

    def at_least(self, what: str, value: float, limit: float) -> None:
        self._judge(f"{what}: {value:.1f}×, at least {limit:.0f}×", value >= limit)

    def _judge(self, sentence: str, holds: bool) -> None:
        print(f"{'holds ' if holds else 'FAILS '} {sentence}")
        if not holds:
            self.failed.append(sentence)


@dataclass(frozen=True)
class Bench:
    subjects: Mapping[str, Subject]
    environment: Mapping[str, str]
    quick: bool
    verdicts: Verdicts


def event(model: str, sent: Sequence[Any]) -> dict[str, Any]:
    """As API Gateway's REST API sends it to a function."""
    return {
        "resource": "/{proxy+}",
        "path": f"/models/{model}/predict",
        "httpMethod": "POST",
        "headers": {"Content-Type": "application/json"},
        "multiValueHeaders": {"Content-Type": ["application/json"]},
        "queryStringParameters": None,
        "requestContext": {"requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef", "stage": "v1"},
        "body": json.dumps({"rows": sent}),
        "isBase64Encoded": False,
    }


def cold(bench: Bench) -> None:
    subject = bench.subjects[HEADLINE]
    sent = json.dumps(event(subject.name, rows(1)))
    commands = {"floor": [_FLOOR, json.dumps([PACKAGES]), str(subject.graph)]}
    for kind, (path, module) in HANDLERS.items():
        commands[kind] = [_COLD, json.dumps(path), module, sent]
    for command in commands.values():
        _first_reply(command, bench.environment)
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(5 if bench.quick else 25):
        for name, command in commands.items():
            taken[name].append(_first_reply(command, bench.environment))
    _table("Cold: process start to first reply, ms", {name: _summary(times) for name, times in taken.items()})
    median = {name: statistics.median(times) for name, times in taken.items()}
    bench.verdicts.at_most("cold, of the conventional", median["tidemill"] / median["conventional"], 0.2)
    bench.verdicts.at_most("cold, of the floor", median["tidemill"] / median["floor"], 2.5)


def _first_reply(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Milliseconds. As Lambda starts it: no site-packages but what the path names, no byte code written."""
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", "-c", *command],
        env={**environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if line == "first reply\n":
                taken = 1000 * (time.perf_counter() - begun)
                assert next(process.stdout) == "200\n"
                return taken
        raise AssertionError(process.stderr.read())


def warm(bench: Bench) -> None:
    for name, subject in bench.subjects.items():
        results = _child(bench, subject)
        for count, each in results.items():
            _table(f"Warm, {name}, {count} rows, ms", {what: _summary(times) for what, times in each["taken"].items()})
            _table("  … of the processor alone", {what: _summary(times) for what, times in each["busy"].items()})
            if name != HEADLINE:
                continue
            median = {what: statistics.median(times) for what, times in each["taken"].items()}
            ratio = median["conventional"] / median["tidemill"]
            if count == "1":
                added = median["tidemill"] - median["bare ONNX"]
                bench.verdicts.at_most("warm, 1 row, beyond the bare prediction", added, 0.25, " ms")
            least = {"1": 20.0, "100": 5.0, "1000": 3.0}[count]
            bench.verdicts.at_least(f"warm, {count} rows, faster than the conventional", ratio, least)


def warm_child(subject: Subject, quick: bool) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Milliseconds of each call, by the clock and of the processor, in turns of some calls of each kind."""
    import onnxruntime  # noqa: PLC0415 the parent process has no use for it

    from functions.infer.handler import handler as ours  # noqa: PLC0415
    from tests.bench.rivals.conventional import handler as conventional  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(subject.graph), options, providers=["CPUExecutionProvider"])
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for count in (1, 100, 1000):
        sent = rows(count)
        call, matrix = event(subject.name, sent), matrix_of(subject, frame_of(sent))
        kinds: dict[str, Callable[[], Any]] = {
            "bare ONNX": partial(session.run, None, {"X": matrix}),
            "tidemill": partial(ours, call, None),
            "conventional": partial(conventional, call, None),
        }
        _assert_same(kinds["tidemill"](), kinds["conventional"]())
        gc.collect()
        gc.freeze()
        taken: dict[str, list[float]] = {name: [] for name in kinds}
        busy: dict[str, list[float]] = {name: [] for name in kinds}
        calls = {1: 40, 100: 10, 1000: 4}[count]
        for _ in range(5 if quick else 50):
            for name, function in kinds.items():
                for _ in range(calls):
                    begun, worked = time.perf_counter(), time.process_time()
                    function()
                    busy[name].append(1000 * (time.process_time() - worked))
                    taken[name].append(1000 * (time.perf_counter() - begun))
        found[str(count)] = {"taken": taken, "busy": busy}
    return found


def _assert_same(ours: Mapping[str, Any], conventional: Mapping[str, Any]) -> None:
    assert ours["statusCode"] == conventional["statusCode"] == 200, (ours, conventional)
    pairs = zip(json.loads(ours["body"])["predictions"], json.loads(conventional["body"])["predictions"], strict=True)
    for one, other in pairs:
        assert one["id"] == other["id"]
        assert abs(one["probabilities"]["yes"] - other["probabilities"]["yes"]) < 1e-4


def memory(bench: Bench) -> None:
    subject = bench.subjects["forest"]
    events = json.dumps([event(subject.name, rows(count)) for count in (1, 100, 1)])
    graph, pipeline = (path.stat().st_size / 1e6 for path in (subject.graph, subject.joblib))
    print(f"\nMemory, resident, forest of 200 trees (ONNX {graph:.1f} MB, joblib {pipeline:.1f} MB), MB")
    for kind, (path, module) in HANDLERS.items():
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-B", "-c", _RESIDENT, json.dumps(path), module],
            input=events,
            env={**bench.environment, "MODEL_KEY": _joblib_key(subject)},
            capture_output=True,
            text=True,
            check=True,
        )
        print(f"  {kind:<16}{int(done.stdout.splitlines()[-1]) / 1000:>8.0f}")


def _child(bench: Bench, subject: Subject) -> Any:
    """What a process of its own found; its output goes through a pipe, as a function's does."""
    found = subject.folder / "warm.json"
    command = [sys.executable, "-m", "tests.bench.serve", "--child", subject.name, str(subject.folder), str(found)]
    subprocess.run(
        [*command, *(["--quick"] if bench.quick else [])],
        env={**bench.environment, "MODEL_KEY": _joblib_key(subject), "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(found.read_text())


def _joblib_key(subject: Subject) -> str:
    return f"models/{subject.name}/1/{subject.joblib.name}"


def _summary(times: Sequence[float]) -> tuple[float, float]:
    return statistics.median(times), float(np.quantile(times, 0.99))


def _table(title: str, lines: Mapping[str, tuple[float, float]]) -> None:
    base = [*lines.values()][-1][0]
    print(f"\n{title:<44}{'p50':>9}{'p99':>9}{'faster':>9}")
    for name, (median, high) in lines.items():
        print(f"  {name:<42}{median:>9.3f}{high:>9.3f}{base / median:>8.1f}×")


@contextmanager
def prepared(folder: Path, names: Sequence[str], *, quick: bool) -> Iterator[Bench]:
    """The models in the stores of a local cloud."""
    ministack = MiniStack(folder / "cloud", port=0)
    aws = {"AWS_ENDPOINT_URL": ministack.start().endpoint}
    try:
        with account(**aws) as stores:
            subjects = {name: make(name, folder / name) for name in names}
            for subject in subjects.values():
                subject.serve(stores.models, stores.registry)
            kept = {name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
            environment = {
                **kept,
                **CREDENTIALS,
                **ENVIRONMENT,
                **aws,
                "CAPTURE": "log",
                "MODEL_KEY": _joblib_key(subjects[HEADLINE]),
            }
            yield Bench(subjects, environment, quick, Verdicts())
    finally:
        ministack.stop()


PARTS: Mapping[str, Callable[[Bench], None]] = {
    "cold": cold,
    "warm": warm,
    "http": serve_http.run,
    "cloud": serve_cloud.run,
    "memory": memory,
}


def main(chosen: Sequence[str], *, quick: bool) -> int:
    with TemporaryDirectory() as name, prepared(Path(name), [*ESTIMATORS], quick=quick) as bench:
        for part in chosen or PARTS:
            PARTS[part](bench)
        failed = bench.verdicts.failed
    print(f"\n{len(failed)} claims do not hold" if failed else "\nAll claims hold.")
    return 1 if failed else 0


def child(name: str, folder: str, found: str, *, quick: bool) -> None:
    subject = Subject(name, Path(folder))
    Path(found).write_text(json.dumps(warm_child(subject, quick)))


if __name__ == "__main__":
    given = [word for word in sys.argv[1:] if word != "--quick"]
    if given[:1] == ["--child"]:
        child(*given[1:], quick="--quick" in sys.argv)
    else:
        sys.exit(main(given, quick="--quick" in sys.argv))
