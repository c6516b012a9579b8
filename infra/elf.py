"""Reduces a shared object to what a loader maps: no symbols for debuggers, no sections, no room left by patching.

In Python alone, so that a laptop slims the objects of any machine. `strip` knows those of its own machine only, and
breaks what auditwheel has patched, since it goes by sections; a loader goes by segments, and so does this.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_LOAD = 1
_64_BIT_LITTLE_ENDIAN = b"\x7fELF\x02\x01"
# Places in the header of a file: of the table of segments, of what says how large that is, and of the sections.
_TABLE_OFFSET, _TABLE_SHAPE, _SECTIONS_OFFSET, _SECTIONS_COUNT = 32, 54, 40, 60
_SEGMENT = struct.Struct("<IIQQQQQQ")


class _Segment(NamedTuple):
    kind: int
    flags: int
    offset: int
    address: int
    physical: int
    size: int
    memory: int
    align: int

    @property
    def end(self) -> int:
        return self.offset + self.size


class _UnusualError(Exception):
    """A file that is laid out in a way which no wheel is known to have."""


def slim(data: bytes) -> bytes:
    """An object whose every segment has the same bytes at the same address; as it was, where that is not certain."""
    if not data.startswith(_64_BIT_LITTLE_ENDIAN):
        return data
    try:
        return _rewrite(data)
    except (_UnusualError, struct.error):
        return data


def _rewrite(data: bytes) -> bytes:
    (table,) = struct.unpack_from("<Q", data, _TABLE_OFFSET)
    each, count = struct.unpack_from("<HH", data, _TABLE_SHAPE)
    segments = [_Segment(*_SEGMENT.unpack_from(data, table + index * each)) for index in range(count)]
    loaded = [segment for segment in segments if segment.kind == _LOAD]
    moves = list(_moves(loaded, len(data)))
    kept = bytearray()
    for old, new in zip(loaded, moves, strict=True):
        kept += bytes(new - len(kept)) + data[old.offset : old.end]
    table = _moved(table, each * count, loaded, moves)
    for index, segment in enumerate(segments):
        # An empty one, such as that which says what the stack may be, has no place in the file.
        offset = _moved(segment.offset, segment.size, loaded, moves) if segment.size else segment.offset
        _SEGMENT.pack_into(kept, table + index * each, *segment._replace(offset=offset))
    struct.pack_into("<Q", kept, _TABLE_OFFSET, table)
    struct.pack_into("<Q", kept, _SECTIONS_OFFSET, 0)
    # How many sections there are, and which of them has their names.
    struct.pack_into("<HH", kept, _SECTIONS_COUNT, 0, 0)
    return bytes(kept)


def _moves(loaded: Sequence[_Segment], size: int) -> Iterator[int]:
    """The new offset of each: the first after the one before it that a page of the same address can start with."""
    old_end = new_end = 0
    if not loaded or loaded[0].offset != 0:
        raise _UnusualError
    for segment in loaded:
        if segment.offset < old_end or not segment.size or segment.end > size:
            raise _UnusualError
        offset = new_end + (segment.offset - new_end) % max(segment.align, 1)
        yield offset
        old_end, new_end = segment.end, offset + segment.size


def _moved(offset: int, size: int, loaded: Sequence[_Segment], moves: Sequence[int]) -> int:
    for old, new in zip(loaded, moves, strict=True):
        if old.offset <= offset and offset + size <= old.end:
            return offset - old.offset + new
    raise _UnusualError
