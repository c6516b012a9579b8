"""Which locked package lies in which layer. Pure: it reads the lock and what packages say that they need."""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

# Not python3.11: it is Amazon Linux 2, whose glibc 2.26 loads no wheel of numpy 2.3 or later, nor of onnxruntime.
RUNTIMES = ("python3.12", "python3.13")
MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
"""Lambda's name of an architecture → that of Linux and of wheels."""

OWN_LAYERS: Mapping[str, str] = {"core": "tidemill", "estimators": "tidemill_estimators"}
"""A layer of our own code → the one package in it."""
DEPENDENCY_LAYERS: Mapping[str, Sequence[str]] = {
    "powertools": (),
    "data": ("powertools",),
    "ml": ("powertools",),
    "export": ("powertools", "ml"),
    "serve": ("powertools",),
    "score": ("powertools", "data"),
}
"""A layer → the layers that it lies on, whose packages it does not repeat."""

RELOCK = "run `python -m infra.lock`"


class BundlingError(Exception):
    """No layers, for a reason that somebody can mend: the message is one sentence with the remedy."""


class LockError(BundlingError):
    """The lock and the layers do not fit together; to be re-locked with `python -m infra.lock`."""


def default_runtime() -> str:
    """The Python that runs this, which can then compile the layers, or the nearest that Lambda has."""
    own = f"python3.{sys.version_info.minor}"
    return own if own in RUNTIMES else RUNTIMES[0]


@dataclass(frozen=True, kw_only=True)
class Target:
    """What the layers are built for."""

    runtime: str
    architecture: str

    def __str__(self) -> str:
        return f"{self.runtime} on {self.architecture}"

    @property
    def python(self) -> str:
        return self.runtime.removeprefix("python")

    @property
    def machine(self) -> str:
        return MACHINES[self.architecture]

    @property
    def platforms(self) -> tuple[str, ...]:
        """The wheel tags that Amazon Linux 2023 loads, newest first: any glibc up to its 2.34.

        With `manylinux2014` alone, pip finds old versions or none.
        """
        tags = [f"manylinux_2_{minor}_{self.machine}" for minor in range(34, 16, -1)]
        return (*tags, f"manylinux2014_{self.machine}")

    @property
    def markers(self) -> dict[str, str]:
        """Lambda's. pip would evaluate markers for the Python that it runs on, whatever its `--python-version`."""
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }


def read_target(arguments: Sequence[str] | None, *, prog: str, description: str) -> Target:
    """What a command was asked to look at."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("--runtime", choices=RUNTIMES, default=default_runtime())
    parser.add_argument("--architecture", choices=list(MACHINES), default="x86_64")
    return Target(**vars(parser.parse_args(arguments)))


@dataclass(frozen=True)
class Pin:
    """A line of a lock. A package has several where Pythons or platforms need different versions of it."""

    name: str
    specifier: str
    marker: Marker | None
    hashes: tuple[str, ...]

    @property
    def version(self) -> str:
        return self.specifier.removeprefix("==")

    def applies(self, target: Target) -> bool:
        return self.marker is None or self.marker.evaluate(dict(target.markers))


def read_pins(lock: str) -> list[Pin]:
    """Of the lock's text, all that it holds, whatever the platform."""
    pins = []
    for line in lock.replace("\\\n", " ").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        start, *hashes = line.split(" --hash=")
        requirement = _requirement(start.strip(), "the lock")
        name, specifier = canonicalize_name(requirement.name), str(requirement.specifier)
        pins.append(Pin(name, specifier, requirement.marker, tuple(one.strip() for one in hashes)))
    return pins


def read_lock(lock: Path, target: Target) -> dict[str, str]:
    """Package → its line, `name==version --hash=…`, of those that the target needs."""
    return {
        pin.name: " --hash=".join([f"{pin.name}{pin.specifier}", *pin.hashes])
        for pin in read_pins(lock.read_text(encoding="utf-8"))
        if pin.applies(target)
    }


def read_roots(root: Path) -> dict[str, list[str]]:
    """Layer → the packages that it is for, as its `requirements.in` names them."""
    roots: dict[str, list[str]] = {}
    for layer in DEPENDENCY_LAYERS:
        text = (root / "layers" / layer / "requirements.in").read_text(encoding="utf-8")
        roots[layer] = [line for line in (line.partition("#")[0].strip() for line in text.splitlines()) if line]
    return roots


def check_lock(pins: Iterable[Pin], roots: Mapping[str, Iterable[str]], target: Target) -> None:
    """Raises `LockError` with all that the layers ask for and the lock does not have, before anything is downloaded."""
    locked = {pin.name: pin for pin in pins if pin.applies(target)}
    problems = [f"{name} is locked without a hash" for name, pin in locked.items() if not pin.hashes]
    for layer, lines in roots.items():
        for line in lines:
            wanted = _requirement(line, f"layers/{layer}/requirements.in")
            pin = locked.get(canonicalize_name(wanted.name))
            if pin is None:
                problems.append(f"{layer} asks for {wanted.name}, which is not locked")
            elif not wanted.specifier.contains(pin.version, prereleases=True):
                problems.append(f"{layer} asks for {wanted.name}{wanted.specifier}, and {pin.version} is locked")
    if problems:
        raise LockError(f"requirements/layers.txt does not fit the layers: {'; '.join(problems)}; {RELOCK}")


def _requirement(text: str, source: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement:
        raise LockError(f"'{text}' in {source} is not a requirement: take it out, then {RELOCK}") from None


def deal(
    roots: Mapping[str, Iterable[str]], requires: Mapping[str, Sequence[str]], target: Target
) -> dict[str, frozenset[str]]:
    """Layer → its packages: all that its roots need, less what lies beneath it.

    `requires` holds every package of the one resolved set with the `Requires-Dist` lines of its metadata.
    """
    dealt: dict[str, frozenset[str]] = {}
    for layer, beneath in DEPENDENCY_LAYERS.items():
        needed = _closure(roots[layer], requires, target)
        dealt[layer] = needed.difference(*(dealt[lower] for lower in beneath))
    return dealt


def _closure(names: Iterable[str], requires: Mapping[str, Sequence[str]], target: Target) -> frozenset[str]:
    waiting = [Requirement(name) for name in names]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in requires:
            raise LockError(f"the layers need '{name}', which is not locked: {RELOCK}")
        for extra in {"", *requirement.extras} - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            environment = {**target.markers, "extra": extra}
            lines = (Requirement(line) for line in requires[name])
            waiting += [need for need in lines if not need.marker or need.marker.evaluate(dict(environment))]
    return frozenset(name for name, _ in seen)
