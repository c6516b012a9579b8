"""What the local cloud puts on top: one row by its endpoint, beside the core behind a bare server, in turns.

Its gateway, its start of the function's process and its emulated log are MiniStack's, and no measure of AWS: so it is
printed apart, and no claim is made of it.
"""

import asyncio
import json
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

from tests.bench.serve_http import Server, answers, client, core, environment_of_rivals, request_of, started
from tests.bench.subject import rows
from tests.cloud import ROOT
from tidemill.aws.objects import Objects
from tidemill.aws.registry import Registry
from tidemill_cli.local.cloud import LocalCloud

if TYPE_CHECKING:
    from tests.bench.serve import Bench

_TURNS, _CALLS, _SECONDS = 10, 20, 30.0


def run(bench: "Bench") -> None:
    subject = bench.subjects["boosting"]
    sent = json.dumps({"rows": rows(1)}).encode()
    bare = core(environment_of_rivals(), subject, sent, bench.environment)
    with TemporaryDirectory() as folder:
        cloud = LocalCloud(ROOT, Path(folder), port=0)
        try:
            deployment = cloud.up()
            models = Objects(deployment.client("s3"), deployment.outputs["ModelBucket"])
            subject.serve(models, Registry(deployment.client("dynamodb"), deployment.outputs["RegistryTable"]))
            url = urlsplit(f"{deployment.api_url}/models/{subject.name}/predict")
            through = Server((), url.path, sent, {})
            assert url.port is not None
            assert asyncio.run(answers(url.port, through))
            with started(bare) as port:
                taken = asyncio.run(_measure({"tidemill": (port, bare), "local cloud": (url.port, through)}))
        finally:
            cloud.reset()
    print(f"\n{'The local cloud beside it, one row, ms':<44}{'p50':>9}{'p99':>9}")
    for name, times in taken.items():
        print(f"  {name:<42}{statistics.median(times):>9.2f}{np.quantile(times, 0.99):>9.2f}")


async def _measure(asked: dict[str, tuple[int, Server]]) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in asked}
    for turn in range(_TURNS + 1):
        for name, (port, server) in asked.items():
            times = await client(port, request_of(server), _CALLS, time.monotonic() + _SECONDS)
            # The first turn warms up.
            taken[name] += times if turn else []
    return taken
