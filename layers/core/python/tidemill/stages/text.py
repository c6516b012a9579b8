"""Any text file as UTF-8 with plain line ends, a piece at a time: unpacked, decoded, and never trusted."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

import pyarrow as pa

from tidemill.errors import InvalidUpload
from tidemill.stages.records import line_ends

PIECE = 8_000_000
LARGEST_UNPACKED = 8_000_000_000
_LONG_LINE = 1 << 16
_SUSPECT = 100_000_000
_RATIO = 200
"""Tables shrink to a tenth, seldom to a fiftieth: what shrinks more, and is large, was made to fill a disk."""

BINARY_MAGICS = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"BZh": "bzip2 data",
    b"\xfd7zXZ": "xz data",
    b"SQLite format 3\0": "a SQLite database",
    b"ORC": "ORC data",
    b"Obj\x01": "Avro data",
    b"\x7fELF": "a program",
    b"\xff\xfe\0\0": "UTF-32 text",
    b"\0\0\xfe\xff": "UTF-32 text",
}
Item = TypeVar("Item")
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_UNPACKED_ONLY = {b"PAR1": "Parquet data", _GZIP: "gzip data", _ZSTD: "zstd data"}


class Text:
    """`description` and `strange`, the lines that were not UTF-8, are complete once all pieces were read."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        with path.open("rb") as file:
            start = file.read(4)
        self.packing = "gzip" if start.startswith(_GZIP) else "zstd" if start == _ZSTD else ""
        head = next(self._unpacked(1 << 16), b"")
        for magic, what in (BINARY_MAGICS | (_UNPACKED_ONLY if self.packing else {})).items():
            if head.startswith(magic):
                inside = f", once unpacked from {self.packing}," if self.packing else ""
                raise InvalidUpload(f"{name} is{inside} {what}, not a table: upload CSV, Parquet or JSON Lines")
        self.encoding = _encoding(head)
        if self.encoding == "utf-8-sig" and head.count(b"\0") > len(head) / 20:
            raise InvalidUpload(f"{name} is not text: it has NUL bytes and no known encoding")
        self.strange = 0
        self.first_strange = 0

    @property
    def description(self) -> str:
        encoding = "UTF-16" if self.encoding.startswith("utf-16") else "UTF-8"
        return ", ".join(filter(None, ["Windows-1252" if self.strange else encoding, self.packing]))

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """Whole lines, with the number of the first one; without a byte order mark. The last may have no line end."""
        decode = codecs.getincrementaldecoder(self.encoding)(errors="replace").decode
        plain = self.encoding == "utf-8-sig"
        rest, line, first = b"", 1, True
        self.strange = 0
        for raw, last in with_last(self._unpacked(PIECE)):
            # Half a character at the end is damage that must be seen.
            piece = raw if plain else decode(raw, final=last).encode("utf-8", "replace")
            if first:
                piece, first = piece.removeprefix(codecs.BOM_UTF8), False
            piece = rest + piece if rest else piece
            rest = b""
            if not (last or piece.endswith(b"\n")):
                # A line end may be two characters, of which the second is still to come.
                whole = len(piece) - piece.endswith(b"\r")
                stop = max(piece.rfind(b"\n", 0, whole), piece.rfind(b"\r", 0, whole)) + 1
                rest, piece = piece[stop:], piece[:stop]
                if len(rest) > 4 * PIECE:
                    raise InvalidUpload(f"{self._name} has a line of more than {4 * PIECE:,} bytes: it is no table")
            if piece:
                piece = self._clean(piece, line)
                yield line, piece
                line += line_ends(piece)

    def _clean(self, piece: bytes, line: int) -> bytes:
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if piece.isascii():
            return piece
        try:
            piece.decode()
        except UnicodeDecodeError:
            return self._decoded_by_line(piece, line)
        return piece

    def _decoded_by_line(self, piece: bytes, first: int) -> bytes:
        """Files are put together from others: each line is what it can be."""
        lines = piece.split(b"\n")
        for place, raw in enumerate(lines):
            try:
                raw.decode()
            except UnicodeDecodeError:
                lines[place] = raw.decode("cp1252", "replace").encode()
                self.first_strange = first + place if not self.strange else self.first_strange
                self.strange += 1
        return b"\n".join(lines)

    def _unpacked(self, size: int) -> Iterator[bytes]:
        packed, unpacked = self._path.stat().st_size, 0
        try:
            with self._path.open("rb") as raw, self._opened(raw) as file:
                take = _lines_of_packed if self.packing else _lines
                while data := take(file, size):
                    unpacked += len(data)
                    if self.packing and (
                        unpacked > LARGEST_UNPACKED or (unpacked > _SUSPECT and unpacked > _RATIO * packed)
                    ):
                        raise InvalidUpload(
                            f"{self._name} unpacks to more than {unpacked:,} bytes from {packed:,}: "
                            "no table shrinks so much; upload it unpacked, in parts"
                        )
                    yield data
        except (EOFError, zlib.error, gzip.BadGzipFile, pa.ArrowException, OSError) as error:
            if not self.packing:
                raise
            raise InvalidUpload(
                f"{self._name} is damaged {self.packing} data: it ends or breaks after {unpacked:,} unpacked bytes "
                f"({str(error).splitlines()[0][:100] if str(error) else type(error).__name__})"
            ) from None

    def _opened(self, raw: BinaryIO) -> BinaryIO:
        if self.packing == "gzip":
            return cast("BinaryIO", gzip.GzipFile(fileobj=raw))
        if self.packing == "zstd":
            # pyarrow's own stream cannot read to the end of a line.
            stream = pa.CompressedInputStream(pa.PythonFile(raw), "zstd")
            return cast("BinaryIO", io.BufferedReader(stream, 1 << 20))
        return raw


def _lines(file: BinaryIO, size: int) -> bytes:
    """To the end of a line, so that most pieces need not be cut. It is looked for first: to append is to copy."""
    start = file.tell()
    file.seek(size, io.SEEK_CUR)
    rest = len(file.readline(_LONG_LINE))
    file.seek(start)
    return file.read(size + rest)


def _lines_of_packed(file: BinaryIO, size: int) -> bytes:
    """As `_lines`, where going back means to unpack again."""
    return file.read(size) + file.readline(_LONG_LINE)


def with_last(items: Iterator[Item]) -> Iterator[tuple[Item, bool]]:
    """Each with whether no other follows."""
    held: list[Item] = []
    for item in items:
        if held:
            yield held.pop(), False
        held.append(item)
    yield from ((item, True) for item in held)


def _encoding(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    pairs = len(head) // 2
    # Without a mark: in UTF-16, every other byte of western text is 0.
    if pairs and head[1::2].count(b"\0") > 0.8 * pairs and head[::2].count(b"\0") < 0.1 * pairs:
        return "utf-16-le"
    if pairs and head[::2].count(b"\0") > 0.8 * pairs and head[1::2].count(b"\0") < 0.1 * pairs:
        return "utf-16-be"
    return "utf-8-sig"
