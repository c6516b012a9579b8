"""What a loader maps of an object must not change, however it was linked or patched."""

import shutil
import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from infra import elf, pruning, wheels
from infra.app import ROOT
from infra.bundling import build
from infra.lock import LAYERS
from infra.packages import MACHINES, Target, default_runtime, read_lock

HEADER = 64
ENTRY = 56
LOAD, DYNAMIC, STACK = 1, 2, 0x6474E551


class Segment(NamedTuple):
    kind: int
    offset: int
    address: int
    content: bytes = b""
    align: int = 0x1000


def assemble(*segments: Segment, rest: bytes = b"") -> bytes:
    """An object whose table follows its header; what lies between segments is filled with what nobody loads."""
    table = b"".join(
        struct.pack("<IIQQQQQQ", one.kind, 5, one.offset, one.address, 0, len(one.content), len(one.content), one.align)
        for one in segments
    )
    end = max(one.offset + len(one.content) for one in segments)
    data = bytearray(b"?" * end)
    for one in segments:
        data[one.offset : one.offset + len(one.content)] = one.content
    shape = (HEADER, ENTRY, len(segments), 64, 3, 2)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, 62, 1, 0, HEADER, end, 0, *shape)
    data[: HEADER + len(table)] = header + table
    return bytes(data) + rest


def image(data: bytes) -> list[tuple[object, ...]]:
    """Every segment as it is in memory, but for the header and the table, which say where in the file it is."""
    (start,) = struct.unpack_from("<Q", data, 32)
    (count,) = struct.unpack_from("<H", data, 56)
    masked = bytes(HEADER) + data[HEADER:start] + bytes(count * ENTRY) + data[start + count * ENTRY :]
    segments: list[tuple[object, ...]] = []
    for index in range(count):
        kind, flags, offset, address, _, size, memory, align = struct.unpack_from(
            "<IIQQQQQQ", data, start + index * ENTRY
        )
        if kind == LOAD:
            assert (address - offset) % align == 0, "a loader refuses this"
        assert offset + size <= len(data)
        segments.append((kind, flags, address, size, memory, align, masked[offset : offset + size]))
    return segments


CODE = Segment(LOAD, 0, 0, bytes(range(256)) * 2)
DATA = Segment(LOAD, 0x200, 0x2200, b"data")


def test_what_lies_behind_the_last_segment_goes() -> None:
    data = assemble(CODE, DATA, rest=b"symbols" * 100)
    assert len(elf.slim(data)) == 0x204
    assert image(elf.slim(data)) == image(data)


def test_what_lies_between_segments_goes_by_whole_pages() -> None:
    data = assemble(CODE, DATA._replace(offset=0x9200))
    assert len(elf.slim(data)) == 0x204, "0x200 is the first offset behind the code that fits the address 0x2200"
    assert image(elf.slim(data)) == image(data)


def test_segment_within_another_moves_with_it() -> None:
    data = assemble(CODE, DATA._replace(offset=0x9200), Segment(DYNAMIC, 0x9202, 0x2202, b"ta"))
    assert image(elf.slim(data)) == image(data)
    assert image(elf.slim(data))[2][-1] == b"ta"


def test_segment_that_says_something_of_the_stack_only_has_no_place() -> None:
    data = assemble(CODE, DATA, Segment(STACK, 0, 0), rest=b"symbols")
    assert image(elf.slim(data)) == image(data)


def test_sections_are_no_longer_pointed_to() -> None:
    slim = elf.slim(assemble(CODE, rest=b"sections"))
    assert struct.unpack_from("<Q", slim, 40) == (0,)
    assert struct.unpack_from("<HH", slim, 60) == (0, 0)


def test_slim_object_stays_as_it_is() -> None:
    slim = elf.slim(assemble(CODE, DATA._replace(offset=0x9200), rest=b"symbols"))
    assert elf.slim(slim) == slim


@pytest.mark.parametrize(
    "data",
    [
        b"INPUT(libfoo.so.1)",
        b"\x7fELF\x01\x01" + bytes(100),
        b"\x7fELF\x02\x01",
        assemble(CODE, Segment(LOAD, 0x100, 0x2100, b"overlapping")),
        assemble(CODE, Segment(LOAD, 0x200, 0x2200), rest=b"zeros only"),
        assemble(CODE, Segment(DYNAMIC, 0x200, 0x2200, b"outside")),
        assemble(CODE, DATA)[:-1],
        assemble(Segment(LOAD, HEADER, 0x1000 + HEADER, bytes(100))),
    ],
    ids=["a script", "32 bits", "cut short", "overlap", "no bytes", "outside", "cut off", "no header"],
)
def test_object_of_another_layout_stays_as_it_is(data: bytes) -> None:
    assert elf.slim(data) == data


def packages() -> Path:
    spec = find_spec("numpy")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parents[1]


def objects(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*.so*") if path.read_bytes().startswith(b"\x7fELF")]


@pytest.mark.skipif(sys.platform != "linux", reason="the developer's own wheels have objects of another kind")
def test_slim_numpy_loads_and_solves(tmp_path: Path) -> None:
    # With numpy.libs, which auditwheel has patched, and which does not load once GNU strip was there.
    for name in ("numpy", "numpy.libs"):
        shutil.copytree(packages() / name, tmp_path / name, ignore=shutil.ignore_patterns("tests", "*.pyc"))
    found = objects(tmp_path)
    before = sum(path.stat().st_size for path in found)
    for path in found:
        path.write_bytes(elf.slim(path.read_bytes()))
    assert sum(path.stat().st_size for path in found) < before
    program = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
assert np.__file__.startswith(sys.argv[1])
a = np.random.default_rng(0).normal(size=(50, 50))
assert np.allclose(np.linalg.solve(a, a @ np.ones(50)), 1)
"""
    subprocess.run([sys.executable, "-I", "-S", "-c", program, str(tmp_path)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", MACHINES)
def test_every_object_of_the_layers_is_mapped_as_it_came(architecture: str, tmp_path: Path) -> None:
    target = Target(runtime=default_runtime(), architecture=architecture)
    raw = tmp_path / "python"
    wheels.install(raw, read_lock(ROOT / LAYERS, target), target, lambda _: None)
    pruning.prune(raw)
    came = {path.relative_to(raw): path for path in objects(raw)}
    built = {
        path.relative_to(folder / "python"): path
        for folder in build(target).folders.values()
        for path in objects(folder)
    }
    assert built.keys() == came.keys()
    assert not [str(name) for name, path in built.items() if image(path.read_bytes()) != image(came[name].read_bytes())]
    smaller = sum(path.stat().st_size for path in built.values()) / sum(path.stat().st_size for path in came.values())
    assert smaller < 0.95
