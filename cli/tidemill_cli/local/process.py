"""One MiniStack per state folder: started, found again and ended by the lock that it holds."""

import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tidemill_cli.local.errors import MiniStackFailed

HOST = "127.0.0.1"
REGION = "us-east-1"
START_SECONDS = 60.0
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Instance:
    """A MiniStack that runs."""

    pid: int
    port: int

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.port}"


class MiniStack:
    """`port` is a wish: another one is taken where something else listens on it; 0 takes any."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        self._lock = folder / "ministack.lock"
        self.log = folder / "ministack.log"

    def running(self) -> Instance | None:
        if not self._lock.exists() or not (holder := _holder(self._lock)):
            return None
        return Instance(**json.loads(holder))

    def start(self) -> Instance:
        """Returns when it answers. Only for a folder where none is running."""
        port = self._port if self._port and _is_free(self._port) else _free_port()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock.touch()
        scratch = self._folder / "tmp"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tidemill_cli.local.launcher", str(self._lock), str(port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=self._environment(port, scratch),
                start_new_session=True,
            )
        # It outlives this command; where this process lives longer, no zombie is left.
        threading.Thread(target=process.wait, daemon=True).start()
        instance = Instance(process.pid, port)
        deadline = time.monotonic() + START_SECONDS
        while not _answers(instance):
            if process.returncode is not None or time.monotonic() > deadline:
                _signal(os.killpg, process.pid, signal.SIGKILL)
                raise MiniStackFailed(f"MiniStack did not start, see {self.log}: {_last_line(self.log)}")
            time.sleep(0.05)
        return instance

    def stop(self) -> bool:
        """Ends it with its state saved; False where none was running."""
        instance = self.running()
        if instance is None:
            return False
        _signal(os.kill, instance.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while self.running() and time.monotonic() < deadline:
            time.sleep(0.05)
        saved = self.running() is None
        # Its session is its own: what is left of it are handlers in the middle of something.
        _signal(os.killpg, instance.pid, signal.SIGKILL)
        if not saved:
            raise MiniStackFailed(f"MiniStack was killed after {STOP_SECONDS:.0f} s, see {self.log}")
        return True

    def _environment(self, port: int, scratch: Path) -> dict[str, str]:
        """No AWS setting of the user reaches a handler: keys to the real cloud have no business here."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        package_root = str(Path(__file__).parents[2])
        return {
            **inherited,
            "PYTHONPATH": _prepended(package_root, inherited.get("PYTHONPATH"), os.pathsep),
            "NO_PROXY": _prepended(HOST, inherited.get("NO_PROXY", inherited.get("no_proxy")), ","),
            "TMPDIR": str(scratch),
            "GATEWAY_PORT": str(port),
            "MINISTACK_REGION": REGION,
            "PERSIST_STATE": "1",
            "STATE_DIR": str(self._folder / "state"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self._folder / "s3"),
            "LAMBDA_EXECUTOR": "local",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """One at a time on this machine: the others wait, and the kernel frees it when its holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _holder(lock: Path) -> str:
    """What the holder wrote about itself, empty if there is none."""
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read()
        return ""


def _answers(instance: Instance) -> bool:
    # Not urllib: it would ask the environment's proxy.
    connection = http.client.HTTPConnection(HOST, instance.port, timeout=5)
    try:
        connection.request("GET", "/_ministack/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) != 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "(nothing)"


def _prepended(first: str, rest: str | None, separator: str) -> str:
    return f"{first}{separator}{rest}" if rest else first


def _signal(send: Callable[[int, int], None], pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        send(pid, number)
