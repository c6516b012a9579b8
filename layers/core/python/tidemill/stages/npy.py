"""Arrays of rows on disk in NumPy's own format, written piece by piece and read in windows: never whole, never mapped,
never pickled."""

import io
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

WINDOW = 1 << 18
"""Rows that are in memory at a time."""
_HEADER = 128


class Writer:
    """Appends rows; the header, which has their number, is written when the file is closed."""

    def __init__(self, path: Path, kind: npt.DTypeLike, width: int | None = None) -> None:
        self.rows = 0
        self._kind, self._shape = np.dtype(kind), () if width is None else (width,)
        self._file = path.open("wb")
        self._file.write(self._header())

    def add(self, rows: npt.NDArray[Any]) -> None:
        self._file.write(np.ascontiguousarray(rows, self._kind).data)
        self.rows += len(rows)

    def close(self) -> None:
        self._file.seek(0)
        self._file.write(self._header())
        self._file.close()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None
    ) -> None:
        self.close()

    def _header(self) -> bytes:
        """NumPy leaves room for the number of rows to grow, so that its length is always the same."""
        buffer = io.BytesIO()
        facts = {"descr": self._kind.str, "fortran_order": False, "shape": (self.rows, *self._shape)}
        np.lib.format.write_array_header_1_0(buffer, facts)
        header = buffer.getvalue()
        if len(header) != _HEADER:
            raise ValueError(f"a header of {len(header)} bytes: rows were written behind {_HEADER}")
        return header


def spread(rows: int, most: int) -> npt.NDArray[np.int64]:
    """Places of at most so many rows, evenly over all of them."""
    return np.linspace(0, rows - 1, min(most, rows)).astype(np.int64)


def windows(path: Path, rows: int = WINDOW) -> Iterator[npt.NDArray[Any]]:
    """The array of a file, so many rows at a time."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, kind = np.lib.format.read_array_header_1_0(file)
        width = int(np.prod(shape[1:], dtype=np.int64))
        for start in range(0, shape[0], rows):
            count = min(rows, shape[0] - start)
            yield np.fromfile(file, kind, count * width).reshape(count, *shape[1:])


def filtered(path: Path, kept: npt.NDArray[np.bool_]) -> None:
    """Leave out of a file the rows that are not `kept`."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, kind = np.lib.format.read_array_header_1_0(file)
    new = path.with_suffix(".new")
    with Writer(new, kind, shape[1] if len(shape) > 1 else None) as writer:
        start = 0
        for window in windows(path):
            writer.add(window[kept[start : start + len(window)]])
            start += len(window)
    new.replace(path)


def parsed(data: bytes) -> npt.NDArray[Any]:
    """The array of a file's bytes, read-only and without a copy of them."""
    file = io.BytesIO(data)
    np.lib.format.read_magic(file)
    shape, _, kind = np.lib.format.read_array_header_1_0(file)
    return np.frombuffer(data, kind, offset=file.tell()).reshape(shape)
