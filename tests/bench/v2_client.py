"""The endpoint as tritonclient sees it: `python -m tests.bench.v2_client [--record]`.

A model of two classes is trained on moto's stores, and `infer` answers on loopback behind a path, as API Gateway's is.
`--record` writes the requests as events of API Gateway, which tests/integration/test_described.py replays.
"""

import argparse
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

from tests.bench.pinned import environment
from tests.cloud import ROOT, cloud
from tests.gateway import Gateway, gateway
from tests.tables import SPEC, csv, trips

PINNED = Path(__file__).with_name("v2.txt")
ASKS = Path(__file__).with_name("v2_asks.py")
RECORDED = ROOT / "tests/events/tritonclient.json"


@contextmanager
def serving() -> Iterator[Gateway]:
    with cloud() as behind:
        behind.spec("trips", SPEC.replace('"linear", "boosting"', '"linear"'))
        behind.train("trips", "first.csv", csv(trips(1_000)))
        with gateway(lambda event: behind.invoke("infer", event)) as server:
            yield server


def main(*, record: bool) -> int:
    python = environment(PINNED, "tritonclient (half a minute)")
    # What the functions log; the client's own output goes past it.
    with redirect_stdout(StringIO()), serving() as server:
        done = subprocess.run([str(python), str(ASKS), server.address], check=False)
    if record:
        RECORDED.write_text(json.dumps(server.events, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return done.returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--record", action="store_true")
    raise SystemExit(main(record=parser.parse_args().record))
