"""Builds the layers, without Docker: `python -m infra.bundling` also prints what each function weighs.

pip installs the whole lock once, for Lambda's platform, so that one resolved set is dealt out to the layers. A build is
kept under a digest of all that went into it. It is made beside its place and moved there when it is finished, by one
process at a time.

Not CDK's `ILocalBundling`: that wants a Docker image which is never used, and turns our errors into Node's.
"""

import argparse
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from infra import archive, elf, kept, pruning, wheels
from infra.lock import LAYERS, ROOT
from infra.packages import (
    DEPENDENCY_LAYERS,
    MACHINES,
    OWN_LAYERS,
    RUNTIMES,
    BundlingError,
    Target,
    check_lock,
    deal,
    default_runtime,
    read_lock,
    read_pins,
    read_roots,
)
from infra.stages import STAGES, Stage

KEPT = Path(".tidemill/layers")

LIMIT = 262_144_000
"""Bytes that a function and its layers may unzip to."""
BUDGET = LIMIT * 95 // 100
"""What `make layers` allows, so that the next versions of the packages still fit."""

_ROOM = 1_000_000_000
"""Bytes that a build may need on the disk, of which half are kept."""
_CONTENTS = "contents.json"
_BUILDERS = ("archive", "bundling", "elf", "packages", "pruning", "wheels")
"""The modules that decide what is in a layer."""


class LayersTooLargeError(BundlingError):
    """A function would not deploy; to be solved by moving packages to other layers, or by pruning more."""


@dataclass(frozen=True)
class Bundle:
    """By layer: its folder, its packages' bytes, and a digest of what it holds. Our own are one package each.

    `byte_code` is the version of the Python that compiled it, if one did.
    """

    folders: Mapping[str, Path]
    packages: Mapping[str, Mapping[str, int]]
    digests: Mapping[str, str]
    byte_code: str | None

    def size(self, layer: str) -> int:
        return sum(self.packages[layer].values())

    def archive(self, layer: str) -> Path:
        return self.folders[layer].with_suffix(".zip")


def build(target: Target, root: Path = ROOT) -> Bundle:
    """Builds what is not kept yet, and says so on stderr. Raises `BundlingError`."""
    place = root / KEPT
    try:
        roots = read_roots(root)
        check_lock(read_pins((root / LAYERS).read_text(encoding="utf-8")), roots, target)
        compiler = _Compiler.find(target)
        name = f"{target.runtime}-{target.architecture}-{_digest(root, compiler)}"
        built = kept.once(place / name, lambda folder: _build(folder, root, roots, target, compiler), _tell)
        own = {layer: _own_layer(layer, place, root, target, compiler) for layer in OWN_LAYERS}
    except OSError as error:
        raise BundlingError(_explain(error, target, place)) from error
    contents = {
        layer: content for folder in (*own.values(), built) for layer, content in _read_contents(folder).items()
    }
    return Bundle(
        folders={layer: own.get(layer, built) / layer for layer in (*OWN_LAYERS, *DEPENDENCY_LAYERS)},
        packages={layer: content["packages"] for layer, content in contents.items()},
        digests={layer: content["digest"] for layer, content in contents.items()},
        byte_code=compiler.version if compiler else None,
    )


def weigh(stage: Stage, bundle: Bundle, root: Path = ROOT) -> int:
    """Bytes of the function and all its layers, unzipped."""
    code = sum(path.stat().st_size for path in _sources(root / "functions" / stage.name))
    return code + sum(bundle.size(layer) for layer in stage.all_layers)


def check(bundle: Bundle, root: Path = ROOT, limit: int = LIMIT) -> None:
    """Raises `LayersTooLargeError` where a function is over the limit, and names its biggest packages."""
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
    compiler = _Compiler.find(target)
    return compiler.path if compiler else None


def no_byte_code(target: Target) -> str:
    return f"no {target.runtime} on the PATH: the layers have no byte code, and every cold start compiles for seconds"


@dataclass(frozen=True)
class _Compiler:
    path: str
    version: str

    @staticmethod
    def find(target: Target) -> "_Compiler | None":
        for candidate in (sys.executable, shutil.which(target.runtime)):
            # What is on the PATH may be a version manager's stub, which works in this folder and environment only,
            # and a stub without the version that it stands for only complains.
            program = "import platform, sys; print(sys.executable); print(platform.python_version())"
            done = candidate and subprocess.run([candidate, "-c", program], capture_output=True, text=True, check=False)
            path, version = (done.stdout.splitlines() if done else []) or ("", "")
            if version.rpartition(".")[0] == target.python:
                return _Compiler(path, version)
        return None

    def compile(self, folder: Path) -> None:
        """/opt is read-only: without byte code in the layer, every cold start compiles for seconds."""
        command = [
            *(self.path, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
            *("-s", str(folder.parent), "-p", "/opt", str(folder)),
        ]
        # In one process: which strings are shared is part of the byte code, and depends on what was compiled before.
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = " ".join((done.stdout + done.stderr).split())
            if wheels.FULL.search(said):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise BundlingError(f"Python {self.version} at {self.path} could not compile the layers: {said}")


def _tell(line: str) -> None:
    print(f"layers: {line}", file=sys.stderr, flush=True)


def _explain(error: OSError, target: Target, place: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"the disk is full: building the layers for {target} takes {_ROOM / 1e9:.0f} GB at {place}; "
            "make room, then try again"
        )
    return f"cannot build the layers for {target}: {error.strerror or error}: {error.filename or place}"


def _build(
    folder: Path, root: Path, roots: Mapping[str, Sequence[str]], target: Target, compiler: _Compiler | None
) -> None:
    # pip takes a disk that is full within a download for a network that fails.
    if shutil.disk_usage(folder).free < _ROOM:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    _tell(f"building for {target}, to be kept until the lock changes")
    everything = folder.with_name("python")
    wheels.install(everything, read_lock(root / LAYERS, target), target, _tell)
    installed = {str(canonicalize_name(one.name)): one for one in distributions(path=[str(everything)])}
    requires = {name: one.requires or [] for name, one in installed.items()}
    entries = _entries(installed)
    _tell("pruning and slimming")
    pruning.prune(everything)
    _slim(everything)
    if compiler:
        _tell(f"compiling with Python {compiler.version}")
        compiler.compile(everything)
    sizes: dict[str, dict[str, int]] = {}
    for layer, names in deal(roots, requires, target).items():
        (folder / layer).mkdir()
        own = {name: _pieces(everything, entries[name]) for name in sorted(names)}
        for piece in (piece for pieces in own.values() for piece in pieces):
            _link(everything / piece, folder / layer / "python" / piece)
        sizes[layer] = {name: sum(_size(everything / piece) for piece in own[name]) for name in own}
    _tell("zipping")
    _pack(folder, sizes)
    _tell(f"built for {target}")


def _own_layer(layer: str, place: Path, root: Path, target: Target, compiler: _Compiler | None) -> Path:
    """The folder that has a layer of our code, built if it is not kept: by itself, so that a change builds no other."""
    source = root / "layers" / layer

    def make(folder: Path) -> None:
        shutil.copytree(source, folder / layer, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        if compiler:
            compiler.compile(folder / layer / "python")
        _pack(folder, {layer: {OWN_LAYERS[layer]: _size(folder / layer)}})

    name = f"{layer}-{target.runtime}-{_digest_own(source, compiler)}"
    return kept.once(place / name, make, _tell)


def _pack(folder: Path, sizes: Mapping[str, Mapping[str, int]]) -> None:
    """Zips each layer beside its folder, and writes down what it holds."""

    def pack(layer: str) -> str:
        with (folder / f"{layer}.zip").open("wb") as file:
            return archive.write(folder / layer, file)

    # Threads are enough: zlib works outside the interpreter's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        digests = pool.map(pack, sizes)
    contents = {
        layer: {"digest": digest, "packages": sizes[layer]} for layer, digest in zip(sizes, digests, strict=True)
    }
    (folder / _CONTENTS).write_text(json.dumps(contents, indent=1), encoding="utf-8")


def _read_contents(built: Path) -> dict[str, Any]:
    contents: dict[str, Any] = json.loads((built / _CONTENTS).read_text(encoding="utf-8"))
    return contents


def _entries(installed: Mapping[str, Distribution]) -> dict[str, list[str]]:
    """Package → the top-level files and folders that are its own."""
    owner: dict[str, str] = {}
    for name, one in installed.items():
        for entry in {file.parts[0] for file in one.files or []} - {"..", "bin", "share"}:
            if owner.setdefault(entry, name) != name:
                raise BundlingError(
                    f"{name} and {owner[entry]} both install '{entry}', which cannot be dealt to one layer: "
                    "take one of them out of layers/*/requirements.in"
                )
    return {name: sorted(entry for entry, its in owner.items() if its == name) for name in installed}


def _pieces(folder: Path, entries: Iterable[str]) -> list[Path]:
    """The entries, and the byte code of those that are single modules: it lies in a folder that all share."""
    modules = [Path(entry).stem for entry in entries if entry.endswith(".py")]
    byte_code = [path for module in modules for path in folder.glob(f"__pycache__/{module}.*.pyc")]
    return [*map(Path, entries), *(path.relative_to(folder) for path in byte_code)]


def _slim(folder: Path) -> None:
    for path in folder.rglob("*.so*"):
        content = path.read_bytes()
        slim = elf.slim(content)
        if slim != content:
            path.write_bytes(slim)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=os.link)
    else:
        os.link(source, target)


def _sources(folder: Path) -> list[Path]:
    """What a folder has but byte code, which is not shipped from there."""
    return [path for _, path in archive.files(folder) if "__pycache__" not in path.parts]


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(file.stat().st_size for _, file in archive.files(path))


def _digest(root: Path, compiler: _Compiler | None) -> str:
    sources = [root / LAYERS, *(root / "layers" / layer / "requirements.in" for layer in DEPENDENCY_LAYERS)]
    return _hash([*_tools(compiler), *(path.read_bytes() for path in sources)])


def _digest_own(source: Path, compiler: _Compiler | None) -> str:
    parts = [(str(path.relative_to(source)).encode(), path.read_bytes()) for path in _sources(source)]
    return _hash([*_tools(compiler), *(part for pair in parts for part in pair)])


def _tools(compiler: _Compiler | None) -> list[bytes]:
    code = (Path(__file__).with_name(f"{name}.py") for name in _BUILDERS)
    return [f"{compiler and compiler.version}".encode(), *(path.read_bytes() for path in code)]


def _hash(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8) + part)
    return digest.hexdigest()[:16]


def table(bundle: Bundle, target: Target, root: Path = ROOT) -> Iterator[str]:
    """Zipped are the layers; the code of a function is less than a kilobyte."""
    yield f"{target}, {f'byte code of Python {bundle.byte_code}' if bundle.byte_code else 'without byte code'}"
    yield f"{'function':<12} {'layers':<36} {'packages':>8} {'unzipped':>12} {'zipped':>12} {'of the limit':>12}"
    for stage in STAGES:
        layers = stage.all_layers
        count = sum(len(bundle.packages[layer]) for layer in layers)
        weight = weigh(stage, bundle, root)
        zipped = sum(bundle.archive(layer).stat().st_size for layer in layers)
        share = f"{weight / LIMIT:.1%}"
        yield f"{stage.name:<12} {' '.join(layers):<36} {count:>8} {weight:>12,} {zipped:>12,} {share:>12}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.bundling", description="Builds and weighs the layers.")
    parser.add_argument("--runtime", choices=RUNTIMES, default=default_runtime())
    parser.add_argument("--architecture", choices=list(MACHINES), help="both, unless told")
    chosen = parser.parse_args(arguments)
    failed = False
    for architecture in [chosen.architecture] if chosen.architecture else MACHINES:
        target = Target(runtime=chosen.runtime, architecture=architecture)
        try:
            bundle = build(target)
            print("\n".join(table(bundle, target)), flush=True)
            if bundle.byte_code is None:
                print(no_byte_code(target), file=sys.stderr)
            check(bundle, limit=BUDGET)
        except BundlingError as error:
            print(error, file=sys.stderr)
            failed = True
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
