"""The list of all resources, kept as a file so that a change of shape is seen in review.

python -m tests.infra.snapshot     rewrites it
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from infra.app import NO_BUNDLING, synthesize
from infra.config import ENVIRONMENTS
from tests.infra.template import Template

FILE = Path(__file__).parent / "snapshots" / "resources.txt"


def lines(templates: Mapping[str, Template]) -> list[str]:
    """`type name: environments`, sorted; an environment whose resource outlives the stack says so."""
    present: dict[str, list[str]] = {}
    for environment, template in templates.items():
        for name, resource in template.body["Resources"].items():
            kept = "(kept)" if resource.get("DeletionPolicy") == "Retain" else ""
            present.setdefault(f"{resource['Type']} {stable(name, environment)}", []).append(f"{environment}{kept}")
    return sorted(f"{resource}: {' '.join(environments)}" for resource, environments in present.items())


def stable(name: str, environment: str) -> str:
    """Without the hashes that CDK puts into it; a deployment of the API has a second one, of all that it deploys."""
    return re.sub(r"[0-9A-F]{8}([0-9a-f]{32})?", "", name).replace(f"Tidemill{environment}", "Tidemill")


def main() -> None:
    templates = {}
    for name in ENVIRONMENTS:
        with TemporaryDirectory() as folder:
            synthesize({**NO_BUNDLING, "environment": name}, outdir=Path(folder))
            templates[name] = Template.load(Path(folder) / f"Tidemill-{name}.template.json")
    FILE.write_text("\n".join(lines(templates)) + "\n", encoding="utf-8")
    sys.stdout.write(f"wrote {FILE}: look at what changed before you commit it\n")


if __name__ == "__main__":
    main()
