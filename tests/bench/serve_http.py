"""Over HTTP on loopback, one row: our core, FastAPI, BentoML and MLflow, in the bench's own environment of Python.

Ours, FastAPI's and MLflow's run behind uvicorn, BentoML's behind its own; two workers each. One connection gives the
latency, eight the throughput. Counts are bounded, and so is the time of each turn.
"""

import asyncio
import hashlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.bench.subject import FEATURES, Subject, rows
from tests.cloud import ROOT

if TYPE_CHECKING:
    from tests.bench.serve import Bench

RIVALS = Path(__file__).parent / "rivals"
REQUIREMENTS = RIVALS / "requirements.txt"
_CALLS, _CONNECTIONS, _SECONDS, _START_SECONDS = 100, 8, 10.0, 120.0


@dataclass(frozen=True)
class Server:
    """`command` runs in `RIVALS` with {port} filled in; `body` is one row as this server wants it."""

    command: Sequence[str]
    path: str
    body: bytes
    environment: Mapping[str, str]


def environment_of_rivals() -> Path:
    """Installed once, and anew after a change of the requirements."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    folder = ROOT / ".tidemill" / f"rivals-{digest}"
    ready = folder / ".ready"
    if not ready.exists():
        print(f"Installing what to compare with into {folder.relative_to(ROOT)} (some minutes) …", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(folder / "bin" / "pip"), "install", "-qq", "--disable-pip-version-check", "-r", str(REQUIREMENTS)]
        subprocess.run(pip, check=True)
        ready.touch()
    return folder / "bin"


def run(bench: "Bench") -> None:
    subject = bench.subjects["boosting"]
    (row,) = rows(1)
    servers = _servers(environment_of_rivals(), subject, row, bench.environment)
    with ExitStack() as running:
        ports = {name: running.enter_context(started(server)) for name, server in servers.items()}
        found = asyncio.run(_measure(servers, ports, turns=4 if bench.quick else 20))
    print(f"\n{'HTTP on loopback, one row, ms':<36}{'p50':>9}{'p99':>9}{'a second':>10}")
    for name, (median, high, rate) in found.items():
        print(f"  {name:<34}{median:>9.2f}{high:>9.2f}{rate:>10.0f}")
    ours = found.pop("tidemill")
    found.pop("nothing but uvicorn")
    best = [min(each[place] for each in found.values()) for place in (0, 1)]
    bench.verdicts.at_least("HTTP, p50, lower than the best of the others", best[0] / ours[0], 5)
    bench.verdicts.at_least("HTTP, p99, lower than the best of the others", best[1] / ours[1], 5)


def _servers(bin_: Path, subject: Subject, row: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Server]:
    uvicorn = _uvicorn(bin_)
    known = _known(bin_, subject, environment)
    sent = json.dumps({"rows": [row]}).encode()
    saved = subject.folder / "mlflow"
    subprocess.run(
        [str(bin_ / "python"), str(RIVALS / "save_mlflow.py"), str(subject.joblib), str(saved)],
        env=known, check=True, capture_output=True,
    )  # fmt: skip
    mlflow = [str(bin_ / "mlflow"), "models", "serve", "-m", str(saved), "--env-manager", "local", "--workers", "2"]
    bento = [str(bin_ / "bentoml"), "serve", "bento:Predictor", "--host", "127.0.0.1", "--port", "{port}"]
    split = {"columns": list(FEATURES), "data": [[row[name] for name in FEATURES]]}
    return {
        "nothing but uvicorn": Server([*uvicorn, "nothing:app"], "/", sent, known),
        "tidemill": core(bin_, subject, sent, environment),
        "FastAPI + joblib": Server([*uvicorn, "fastapi_joblib:app"], "/predict", sent, known),
        "BentoML": Server(bento, "/predict", sent, known),
        "MLflow": Server(
            [*mlflow, "--host", "127.0.0.1", "--port", "{port}"],
            "/invocations",
            json.dumps({"dataframe_split": split}).encode(),
            known,
        ),
    }


def core(bin_: Path, subject: Subject, sent: bytes, environment: Mapping[str, str]) -> Server:
    """Ours, behind nothing but a server."""
    path = os.pathsep.join(map(str, (ROOT / "functions" / "infer", ROOT / "layers" / "core" / "python")))
    known = {**_known(bin_, subject, environment), "PYTHONPATH": path}
    return Server([*_uvicorn(bin_), "core:app"], f"/models/{subject.name}/predict", sent, known)


def _uvicorn(bin_: Path) -> list[str]:
    return [str(bin_ / "uvicorn"), "--host", "127.0.0.1", "--port", "{port}", "--workers", "2", "--no-access-log"]


def _known(bin_: Path, subject: Subject, environment: Mapping[str, str]) -> dict[str, str]:
    return {**environment, "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}", "PIPELINE": str(subject.joblib)}


@contextmanager
def started(server: Server) -> Iterator[int]:
    """Its port, when it answers; what it writes is read and thrown away, as a log's agent would."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = int(chosen.getsockname()[1])
    command = [part.replace("{port}", str(port)) for part in server.command]
    with (
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as reader,
        subprocess.Popen(
            command, cwd=RIVALS, env={**server.environment}, stdout=reader.stdin, stderr=reader.stdin,
            start_new_session=True,
        ) as process,
    ):  # fmt: skip
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not asyncio.run(answers(port, server)):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"did not start: {' '.join(command)}")
                time.sleep(0.2)
            yield port
        finally:
            # Its own session, so that the workers end with it.
            os.killpg(process.pid, 15)
            process.wait(20)
            assert reader.stdin is not None
            reader.stdin.close()


async def answers(port: int, server: Server) -> bool:
    try:
        return await asyncio.wait_for(_call(*await asyncio.open_connection("127.0.0.1", port), request_of(server)), 10)
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False


async def _measure(
    servers: Mapping[str, Server], ports: Mapping[str, int], turns: int
) -> dict[str, tuple[float, float, float]]:
    """Median and 99th percentile of one connection, in ms; requests a second of several. All take turns."""
    taken: dict[str, list[float]] = {name: [] for name in servers}
    rates: dict[str, list[float]] = {name: [] for name in servers}
    for turn in range(turns + 1):
        for name, server in servers.items():
            request, until = request_of(server), time.monotonic() + _SECONDS
            alone = await client(ports[name], request, _CALLS, until)
            begun = time.perf_counter()
            each = await asyncio.gather(
                *(client(ports[name], request, _CALLS // 4, until) for _ in range(_CONNECTIONS))
            )
            # The first turn warms up.
            if turn:
                rates[name].append(sum(map(len, each)) / (time.perf_counter() - begun))
                taken[name] += alone
    return {
        name: (statistics.median(taken[name]), float(np.quantile(taken[name], 0.99)), statistics.median(rates[name]))
        for name in servers
    }


async def client(port: int, request: bytes, calls: int, until: float) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    taken: list[float] = []
    while len(taken) < calls and time.monotonic() < until:
        begun = time.perf_counter()
        assert await _call(reader, writer, request)
        taken.append(1000 * (time.perf_counter() - begun))
    writer.close()
    return taken


def request_of(server: Server) -> bytes:
    head = (
        f"POST {server.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(server.body)}\r\n\r\n"
    )
    return head.encode() + server.body


async def _call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bool:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(length)
    return head.split(b" ", 2)[1] == b"200"
