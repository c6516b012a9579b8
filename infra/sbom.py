"""Writes what the layers hold as CycloneDX: `python -m infra.sbom`. The same layers give the same bytes.

The tool reads the built layers, since only there is what a function gets, with its licences and needs; the hashes are
the lock's, of every file that pip would have taken.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra.bundling import build
from infra.lock import LAYERS, ROOT
from infra.packages import DEPENDENCY_LAYERS, BundlingError, Target, read_pins, read_roots, read_target


def write(target: Target, root: Path = ROOT) -> Path:
    """The file, beside what was built."""
    built = build(target, root).folders
    folders = {layer: built[layer] / "python" for layer in DEPENDENCY_LAYERS}
    document = describe(folders, target, root)
    file = root / ".tidemill" / f"sbom-{target.runtime}-{target.architecture}.json"
    file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return file


def describe(folders: Mapping[str, Path], target: Target, root: Path = ROOT) -> dict[str, Any]:
    """Of layers, by their folders of packages. Without a time or a serial number, which would differ each time."""
    document = _scan(list(folders.values()), root / "pyproject.toml")
    pins = {pin.name: pin for pin in read_pins((root / LAYERS).read_text(encoding="utf-8")) if pin.applies(target)}
    layers = {layer: _packages(folder) for layer, folder in folders.items()}
    for component in document["components"]:
        name = canonicalize_name(component["name"])
        hashes = [{"alg": "SHA-256", "content": one.removeprefix("sha256:")} for one in pins[name].hashes]
        component["externalReferences"] = [
            *component.get("externalReferences", []),
            {"type": "distribution", "url": component["purl"], "comment": "the locked files", "hashes": hashes},
        ]
        holders = sorted(layer for layer, packages in layers.items() if name in packages)
        component["properties"] = [
            *component.get("properties", []),
            *({"name": "tidemill:layer", "value": layer} for layer in holders),
        ]
    roots = {canonicalize_name(Requirement(line).name) for lines in read_roots(root).values() for line in lines}
    ours = {one["bom-ref"] for one in document["components"] if canonicalize_name(one["name"]) in roots}
    described = document["metadata"]["component"]["bom-ref"]
    document["dependencies"] = [
        *(one for one in document["dependencies"] if one["ref"] != described),
        {"ref": described, "dependsOn": sorted(ours)},
    ]
    document["metadata"]["properties"] += [
        {"name": "tidemill:runtime", "value": target.runtime},
        {"name": "tidemill:architecture", "value": target.architecture},
    ]
    return document


def _scan(folders: Sequence[Path], project: Path) -> dict[str, Any]:
    command = [
        # It is told below what only we know: what our own code needs.
        *(sys.executable, "-W", "ignore", "-m", "cyclonedx_py", "environment"),
        *("--output-reproducible", "--pyproject", str(project)),
        # Without its site-packages, this Python has no packages but those on the path.
        *("-S", sys.executable),
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _packages(folder: Path) -> set[str]:
    return {canonicalize_name(one.name) for one in distributions(path=[str(folder)])}


def main(arguments: Sequence[str] | None = None) -> int:
    target = read_target(arguments, prog="python -m infra.sbom", description="Writes what the layers hold.")
    try:
        file = write(target)
    except BundlingError as error:
        print(f"No SBOM: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError:
        print("No SBOM: the layers could not be read, for the reason above.", file=sys.stderr)
        return 1
    count = len(json.loads(file.read_text(encoding="utf-8"))["components"])
    print(f"{file.relative_to(ROOT)}: {count} packages, each with its version, licence as declared, hashes and layers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
