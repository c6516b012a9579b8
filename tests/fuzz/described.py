"""The endpoint by its own description: schemathesis reads /openapi.json over loopback, and sends what follows from it.

`python -m tests.fuzz.described [--examples 20]`; an environment of its own is made for it once. No reply may be of 5xx,
have a status, a header or a body that the description does not have, or be a good one to what it does not allow.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from functions.infer import handler as infer
from tests.bench.pinned import environment
from tests.fuzz.serve import fuzzing
from tests.gateway import gateway

PINNED, CHOSEN = (Path(__file__).with_name(f"schemathesis.{end}").absolute() for end in ("txt", "toml"))


def main(examples: int) -> int:
    command = environment(PINNED, "schemathesis (half a minute)").with_name("schemathesis")
    with fuzzing(), gateway(lambda event: infer.handler(event, None)) as server, TemporaryDirectory() as folder:
        url = f"http://{server.address}"
        arguments = ["run", f"{url}/openapi.json", "--url", url, "--continue-on-failure", "-n", str(examples)]
        return subprocess.run([command, "--config-file", CHOSEN, *arguments], cwd=folder, check=False).returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--examples", type=int, default=20)
    sys.exit(main(parser.parse_args().examples))
