"""MiniStack with Tidemill's patches, in its own process: `python -m tidemill_cli.local.launcher LOCK PORT`.

The lock is held for as long as this process lives and its content tells who holds it: a pid is only trusted
while its owner is alive. It binds 127.0.0.1 and nothing else: MiniStack asks nobody who they are and runs
what it is given.
"""

import asyncio
import fcntl
import json
import os
import signal
import sys
from pathlib import Path

from hypercorn.asyncio import serve
from hypercorn.config import Config
from ministack.app import _build_persistence_save_dict, app
from ministack.core.persistence import save_all

from tidemill_cli.local import patches
from tidemill_cli.local.process import HOST


def main(lock_path: Path, port: int) -> None:
    patches.apply()
    with lock_path.open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate()
        json.dump({"pid": os.getpid(), "port": port}, lock)
        lock.flush()
        asyncio.run(_serve(port))


async def _serve(port: int) -> None:
    config = Config()
    config.bind = [f"{HOST}:{port}"]
    config.keep_alive_timeout = 75
    await serve(app, config, shutdown_trigger=_saved_and_gone)


async def _saved_and_gone() -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    # No other thread may change a table while it is copied.
    sys.setswitchinterval(60)
    save_all(_build_persistence_save_dict())
    # MiniStack's own way out saves the same, but waits for handlers first: up to 15 minutes.
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
