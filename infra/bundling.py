"""Builds the layers, without Docker: `python -m infra.bundling` also prints what each function weighs.

pip installs the whole lock once, for Lambda's platform, so that one resolved set is dealt out to the layers. A build is
kept under a digest of all that went into it. It is made beside its place and moved there when it is finished.

Not CDK's `ILocalBundling`: that wants a Docker image which is never used, and turns our errors into Node's.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.utils import canonicalize_name

from infra.packages import (
    DEPENDENCY_LAYERS,
    MACHINES,
    RUNTIMES,
    Target,
    deal,
    default_runtime,
    read_lock,
    read_roots,
)
from infra.stages import STAGES, Stage

ROOT = Path(__file__).resolve().parents[1]
LOCK = Path("requirements/layers.txt")
KEPT = Path(".tidemill/layers")

LIMIT = 262_144_000
"""Bytes that a function and its layers may unzip to."""

_PRUNED_FOLDERS = {"__pycache__", "include", "includes", "test", "tests"}
_PRUNED_SUFFIXES = {
    *(".a", ".c", ".cc", ".cpp", ".f", ".f90", ".h", ".hpp"),
    *(".proto", ".pxd", ".pxi", ".pyi", ".pyx", ".tp"),
}
# libarrow_substrait stays: lib.so links it.
_PRUNED_PATHS = re.compile(
    r"bin/|share/"
    r"|pyarrow/src/|pyarrow/_(azurefs|dataset_orc|flight|gcsfs|hdfs|orc|pyarrow_cpp_tests|s3fs)\."
    r"|pyarrow/lib\w*(_flight|_s3)\."
    # A wheel has no symbolic links: of three copies the one stays that the others link by name, `….so.<abi>`.
    r"|pyarrow/libarrow_python\w*\.so(\.\d+\.\d+\.\d+)?$"
    # The C library of its own: the Python module has the same code inside.
    r"|onnxruntime/capi/libonnxruntime\.so"
    # Not needed to fit, to convert or to run.
    r"|onnx/(backend|fuzz|reference)/|onnxruntime/(quantization|tools|transformers)/|sklearn/datasets/(data|descr|images)/"
    # Written by pip for itself, and no longer true once pruned.
    r"|[^/]+\.dist-info/(INSTALLER|RECORD|REQUESTED|direct_url\.json)$"
)


class LayersTooLargeError(Exception):
    """A function would not deploy; to be solved by moving packages to other layers, or by pruning more."""


@dataclass(frozen=True)
class Bundle:
    """Layer → its folder, and layer → package → bytes. `core` is one package, `tidemill`."""

    folders: Mapping[str, Path]
    packages: Mapping[str, Mapping[str, int]]

    def size(self, layer: str) -> int:
        return sum(self.packages[layer].values())


def build(target: Target, root: Path = ROOT) -> Bundle:
    """Builds what is not kept yet."""
    compiler = find_compiler(target)
    built = _once(root / KEPT / _digest(root, target, compiler), lambda folder: _build(folder, root, target, compiler))
    source = root / "layers" / "core"
    core = _once(
        root / KEPT / f"core-{_digest_folder(source, compiler)}",
        lambda folder: _build_core(folder, source, compiler),
    )
    packages = json.loads((built / "packages.json").read_text(encoding="utf-8"))
    return Bundle(
        folders={"core": core, **{layer: built / layer for layer in DEPENDENCY_LAYERS}},
        packages={"core": {"tidemill": _size(core)}, **packages},
    )


def weigh(stage: Stage, bundle: Bundle, root: Path = ROOT) -> int:
    """Bytes of the function and all its layers, unzipped."""
    return _size(root / "functions" / stage.name) + sum(bundle.size(layer) for layer in stage.all_layers)


def check(bundle: Bundle, root: Path = ROOT, limit: int = LIMIT) -> None:
    """Raises `LayersTooLargeError` where Lambda would refuse a function, and names its biggest packages."""
    problems = []
    for stage in STAGES:
        weight = weigh(stage, bundle, root)
        if weight > limit:
            sizes = [(size, name) for layer in stage.all_layers for name, size in bundle.packages[layer].items()]
            biggest = ", ".join(f"{name} {size / 1e6:.1f} MB" for size, name in sorted(sizes, reverse=True)[:5])
            problems.append(
                f"{stage.name} unzips to {weight:,} bytes, {weight - limit:,} over the limit of {limit:,}; "
                f"its biggest packages: {biggest}"
            )
    if problems:
        raise LayersTooLargeError("\n".join(problems))


def find_compiler(target: Target) -> str | None:
    """A Python of the runtime's minor version: only that one writes byte code that Lambda reads."""
    for candidate in (sys.executable, shutil.which(target.runtime)):
        if candidate and _version(candidate).rpartition(".")[0] == target.python:
            # What is on the PATH may be a version manager's stub, which works in this folder and environment only.
            return _say(candidate, "sys.executable")
    return None


def no_byte_code(target: Target) -> str:
    return f"no {target.runtime} on the PATH: the layers have no byte code, and every cold start compiles for seconds"


def _version(python: str) -> str:
    return _say(python, "platform.python_version()")


def _say(python: str, expression: str) -> str:
    program = f"import platform, sys; print({expression})"
    # Not checked: a stub without the version that it stands for only complains.
    return subprocess.run([python, "-c", program], capture_output=True, text=True, check=False).stdout.strip()


def _once(folder: Path, make: Callable[[Path], None]) -> Path:
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix="unfinished-") as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            make(made)
            try:
                made.rename(folder)
            except OSError:
                # Another build of the same was faster, and has made the same.
                if not folder.exists():
                    raise
    return folder


def _build(folder: Path, root: Path, target: Target, compiler: str | None) -> None:
    with TemporaryDirectory(dir=folder.parent) as scratch:
        everything = Path(scratch) / "python"
        _install(everything, read_lock(root / LOCK, target), target)
        installed = {str(canonicalize_name(one.name)): one for one in distributions(path=[str(everything)])}
        requires = {name: one.requires or [] for name, one in installed.items()}
        entries = _entries(installed)
        _prune(everything)
        _strip(everything, target)
        _compile(everything, compiler)
        sizes: dict[str, dict[str, int]] = {}
        for layer, names in deal(read_roots(root), requires, target).items():
            own = {name: _pieces(everything, entries[name]) for name in sorted(names)}
            for piece in (piece for pieces in own.values() for piece in pieces):
                _link(everything / piece, folder / layer / "python" / piece)
            sizes[layer] = {name: sum(_size(everything / piece) for piece in own[name]) for name in own}
        (folder / "packages.json").write_text(json.dumps(sizes, indent=1), encoding="utf-8")


def _install(folder: Path, lines: Mapping[str, str], target: Target) -> None:
    requirements = folder.with_name("requirements.txt")
    requirements.write_text("\n".join(lines.values()), encoding="utf-8")
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"),
        *("--requirement", str(requirements), "--require-hashes", "--target", str(folder)),
        # The lock is the whole set already. What a package says of Pythons, pip holds against the one it runs on.
        *("--no-deps", "--ignore-requires-python"),
        *("--only-binary", ":all:", "--no-compile"),
        *("--implementation", "cp", "--python-version", target.python),
        *(f"--platform={tag}" for tag in target.platforms),
    ]
    subprocess.run(command, check=True)


def _entries(installed: Mapping[str, Distribution]) -> dict[str, list[str]]:
    """Package → the top-level files and folders that are its own."""
    owner: dict[str, str] = {}
    for name, one in installed.items():
        for entry in {file.parts[0] for file in one.files or []} - {"..", "bin", "share"}:
            if owner.setdefault(entry, name) != name:
                raise ValueError(f"{name} and {owner[entry]} both install '{entry}': it cannot be dealt to one layer")
    return {name: sorted(entry for entry, its in owner.items() if its == name) for name in installed}


def _pieces(folder: Path, entries: Iterable[str]) -> list[Path]:
    """The entries, and the byte code of those that are single modules: it lies in a folder that all share."""
    modules = [Path(entry).stem for entry in entries if entry.endswith(".py")]
    byte_code = [path for module in modules for path in folder.glob(f"__pycache__/{module}.*.pyc")]
    return [*map(Path, entries), *(path.relative_to(folder) for path in byte_code)]


def _prune(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        name = path.relative_to(folder)
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif (
            _PRUNED_FOLDERS.intersection(name.parts[:-1])
            or path.suffix in _PRUNED_SUFFIXES
            or _PRUNED_PATHS.match(name.as_posix())
        ):
            path.unlink()


def _strip(folder: Path, target: Target) -> None:
    # What auditwheel has put into `*.libs` is patched, and no longer loads once stripped.
    objects = [path for path in folder.rglob("*.so*") if not path.relative_to(folder).parts[0].endswith(".libs")]
    tool = _strip_tool(target)
    if tool and objects:
        subprocess.run([tool, "--strip-unneeded", *map(str, sorted(objects))], check=True)


def _strip_tool(target: Target) -> str | None:
    """GNU strip knows the objects of its own machine only, LLVM's those of all."""
    same = platform.system() == "Linux" and platform.machine() == target.machine
    return (shutil.which("strip") if same else None) or shutil.which("llvm-strip")


def _compile(folder: Path, compiler: str | None) -> None:
    """/opt is read-only: without byte code in the layer, every cold start compiles for seconds."""
    if compiler is None:
        return
    command = [
        *(compiler, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
        *("-s", str(folder.parent), "-p", "/opt", str(folder)),
    ]
    # A fixed seed, since the order of a frozen set is part of the byte code.
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "0"})


def _build_core(folder: Path, source: Path, compiler: str | None) -> None:
    shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    _compile(folder / "python", compiler)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=os.link)
    else:
        os.link(source, target)


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(file.stat().st_size for file in _files(path))


def _digest(root: Path, target: Target, compiler: str | None) -> str:
    tools = f"{target} {compiler and _version(compiler)} {_strip_tool(target)}"
    sources = [root / LOCK, *(root / "layers" / layer / "requirements.in" for layer in DEPENDENCY_LAYERS)]
    code = [Path(__file__), Path(__file__).with_name("packages.py")]
    return _hash([tools.encode(), *(path.read_bytes() for path in sources + code)])


def _digest_folder(folder: Path, compiler: str | None) -> str:
    files = [path for path in _files(folder) if "__pycache__" not in path.parts]
    parts = [(str(path.relative_to(folder)).encode(), path.read_bytes()) for path in files]
    return _hash([f"{compiler and _version(compiler)}".encode(), *(part for pair in parts for part in pair)])


def _hash(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8) + part)
    return digest.hexdigest()[:16]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.bundling", description="Builds and weighs the layers.")
    parser.add_argument("--runtime", choices=RUNTIMES, default=default_runtime())
    parser.add_argument("--architecture", choices=list(MACHINES), default="x86_64")
    target = Target(**vars(parser.parse_args()))
    if find_compiler(target) is None:
        print(no_byte_code(target), file=sys.stderr)
    bundle = build(target)
    print(f"{'function':<12} {'layers':<32} {'unzipped':>12} {'of the limit':>13}")
    for stage in STAGES:
        weight = weigh(stage, bundle)
        print(f"{stage.name:<12} {' '.join(stage.all_layers):<32} {weight:>12,} {weight / LIMIT:>12.1%}")
    try:
        check(bundle)
    except LayersTooLargeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
