"""Locks the newest versions, builds the layers again and tells what changed: `python -m infra.upgrade`.

Nothing is installed, committed or deployed: whoever reads the tables decides.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from infra.bundling import LIMIT, LayersTooLargeError, build, check, weigh
from infra.lock import DEV, LAYERS, LOCKS, ROOT, NotLockedError, lock
from infra.packages import BundlingError, Target, read_pins, read_target
from infra.stages import STAGES

TAKE_BACK = f"git restore {' '.join(map(str, LOCKS))}"
NONE = "–"

Versions = Mapping[str, str]


@dataclass(frozen=True)
class State:
    """Lock → package → its versions, and function → its bytes."""

    versions: Mapping[Path, Versions]
    weights: Mapping[str, int]


def read_versions(lock: str) -> Versions:
    """Package → its version; with several for different Pythons or platforms, all of them."""
    found: dict[str, set[str]] = defaultdict(set)
    for pin in read_pins(lock):
        found[pin.name].add(pin.version)
    return {name: ", ".join(sorted(versions, key=Version)) for name, versions in sorted(found.items())}


def changes(before: Versions, after: Versions) -> Iterator[tuple[str, str, str]]:
    for name in sorted({*before, *after}):
        old, new = before.get(name, NONE), after.get(name, NONE)
        if old != new:
            yield name, old, new


def tell(before: State, after: State) -> Iterator[str]:
    """What is deployed first: a package of both locks is told once."""
    shipped = {name for state in (before, after) for name in state.versions[LAYERS]}
    for title, source, wanted in (("deployed", LAYERS, True), ("for developers", DEV, False)):
        changed = [
            one for one in changes(before.versions[source], after.versions[source]) if (one[0] in shipped) is wanted
        ]
        yield f"changed, of those {title}: {len(changed)}"
        yield from (f"  {name:<28} {old:>16} → {new}" for name, old, new in changed)
    yield f"{'function':<12} {'before':>12} {'after':>12} {'difference':>12} {'of the limit':>13}"
    for stage, old_weight in before.weights.items():
        weight = after.weights[stage]
        yield f"{stage:<12} {old_weight:>12,} {weight:>12,} {weight - old_weight:>+12,} {weight / LIMIT:>13.1%}"


def main(arguments: Sequence[str] | None = None) -> int:
    target = read_target(arguments, prog="python -m infra.upgrade", description="Locks and builds the newest.")
    print(f"Building what is locked, for {target.runtime} on {target.architecture} …", flush=True)
    try:
        before = _state(target)
    except BundlingError as error:
        print(f"Nothing has changed: {error}", file=sys.stderr)
        return 1
    print("Locking the newest versions …", flush=True)
    try:
        lock(upgrade=True)
    except NotLockedError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"The locks are new; the old ones come back with: {TAKE_BACK}\nBuilding what is locked now …", flush=True)
    try:
        after = _state(target)
    except BundlingError as error:
        print(f"The new versions could not be built; {TAKE_BACK}\n{error}", file=sys.stderr)
        return 1
    print("\n".join(tell(before, after)))
    try:
        check(build(target))
    except LayersTooLargeError as error:
        print(f"Over the limit, so it would not deploy; {TAKE_BACK}, or prune:\n{error}", file=sys.stderr)
        return 1
    print("Next: make audit, then make test, which installs the new versions first.")
    return 0


def _state(target: Target) -> State:
    bundle = build(target)
    versions = {path: read_versions((ROOT / path).read_text(encoding="utf-8")) for path in LOCKS}
    return State(versions, {stage.name: weigh(stage, bundle) for stage in STAGES})


if __name__ == "__main__":
    sys.exit(main())
