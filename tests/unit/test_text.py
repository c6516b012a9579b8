import codecs
import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from tidemill.errors import InvalidUpload
from tidemill.stages import text
from tidemill.stages.text import Text

Reader = Callable[[bytes], Text]


@pytest.fixture
def of(tmp_path: Path) -> Reader:
    def made(data: bytes) -> Text:
        path = tmp_path / "upload"
        path.write_bytes(data)
        return Text(path, "data.csv")

    return made


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces and looks for the end of a line of a few bytes."""
    monkeypatch.setattr(text, "PIECE", 7)
    monkeypatch.setattr(text, "_LONG_LINE", 3)


def whole(read: Text) -> str:
    return b"".join(piece for _, piece in read.pieces()).decode()


def zstd(data: bytes) -> bytes:
    packed: bytes = pa.compress(data, "zstd", asbytes=True)
    return packed


def refusal(made: Reader, data: bytes) -> str:
    with pytest.raises(InvalidUpload) as caught:
        whole(made(data))
    return str(caught.value)


@pytest.mark.parametrize("written", ["a\nb\n", "a\r\nb\r\n", "a\rb\r", "a\nb\r\n", "a\rb\n"])
def test_all_line_ends_become_one(of: Reader, written: str) -> None:
    assert whole(of(written.encode())) == "a\nb\n"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("before", range(12))
def test_a_line_end_is_one_wherever_a_piece_ends(of: Reader, end: str, before: int) -> None:
    lines = ["x" * before, "", "y", "", "", "zz"]
    read = of(end.join(lines).encode())
    assert whole(read) == "\n".join(lines)
    assert all(piece.endswith(b"\n") for _, piece in list(read.pieces())[:-1])


@pytest.mark.usefixtures("small")
def test_pieces_are_whole_lines_under_the_number_of_their_first(of: Reader) -> None:
    lines = [f"{row}\r\n" if row % 3 else f"{row}\n" for row in range(1, 40)]
    for number, piece in of("".join(lines).encode()).pieces():
        rows = piece.decode().split("\n")[:-1]
        assert rows == [str(number + place) for place in range(len(rows))]


@pytest.mark.parametrize("mark", [True, False], ids=["with a mark", "without"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("piece", [5, 7, 8_000_000])
def test_unicode_is_read_with_and_without_a_byte_order_mark(
    of: Reader, monkeypatch: pytest.MonkeyPatch, encoding: str, mark: bool, piece: int
) -> None:
    monkeypatch.setattr(text, "PIECE", piece)
    said = "name,town,colour\nÅse,日本,😀\nplain,text,x\n"
    read = of(("\ufeff" * mark + said).encode(encoding))
    assert whole(read) == said
    assert read.description == encoding[:6].upper().removesuffix("-")
    assert read.strange == 0


def test_half_a_character_at_the_end_is_not_lost(of: Reader) -> None:
    assert whole(of("a,b\n1,25".encode("utf-16")[:-1])) == "a,b\n1,2\ufffd"


@pytest.mark.usefixtures("small")
def test_lines_that_are_not_utf8_are_windows_text_and_are_counted(of: Reader) -> None:
    read = of("a\nnaïve\n".encode() + "50 €\nübel\n".encode("cp1252") + "ü\n".encode())
    for _ in range(2):
        assert whole(read) == "a\nnaïve\n50 €\nübel\nü\n"
        assert (read.strange, read.first_strange) == (2, 3)
    assert read.description == "Windows-1252"


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
def test_packed_text_is_unpacked(of: Reader, pack: Callable[[bytes], bytes]) -> None:
    said = "a,b\n" + "1,é\n" * 50_000
    assert whole(of(pack(said.encode()))) == said
    assert whole(of(pack(said.encode("utf-16")))) == said


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
def test_what_was_packed_in_parts_is_one_text(of: Reader, pack: Callable[[bytes], bytes]) -> None:
    assert whole(of(pack(b"a,b\n1,") + pack(b"2\n"))) == "a,b\n1,2\n"


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
def test_what_is_packed_is_looked_at_as_well(of: Reader, pack: Callable[[bytes], bytes]) -> None:
    assert "is, once unpacked from" in refusal(of, pack(b"\x89PNG\r\n\x1a\n"))
    assert "Parquet data, not a table" in refusal(of, pack(b"PAR1....PAR1"))
    assert "gzip data, not a table" in refusal(of, pack(gzip.compress(b"a,b\n1,2\n")))


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
@pytest.mark.parametrize("kept", [0.01, 0.5, 0.9, 0.99])
def test_packed_data_that_end_too_early_are_damaged(of: Reader, pack: Callable[[bytes], bytes], kept: float) -> None:
    packed = pack("".join(f"{row},{row * 7919 % 1009}\n" for row in range(20_000)).encode())
    cut = packed[: max(8, int(len(packed) * kept))]
    assert "data.csv is damaged" in refusal(of, cut)
    assert "Unsupported" not in refusal(of, cut)


def test_packed_data_with_a_wrong_byte_are_damaged(of: Reader) -> None:
    packed = bytearray(gzip.compress("".join(f"{row},x\n" for row in range(1_000)).encode()))
    packed[-6] ^= 0xFF
    assert "data.csv is damaged gzip data" in refusal(of, bytes(packed))


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
@pytest.mark.parametrize("filling", [b"\n", b"a,b\n", b"x"])
def test_a_bomb_is_stopped_before_it_is_unpacked(
    of: Reader, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes], filling: bytes
) -> None:
    monkeypatch.setattr(text, "_SUSPECT", 1_000_000)
    monkeypatch.setattr(text, "PIECE", 100_000)
    data = pack(filling * (4_000_000 // len(filling)))
    said = refusal(of, data)
    assert "no table shrinks so much" in said or "a line of more than" in said


def test_packed_data_have_a_largest_size_however_little_they_shrink(
    of: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "LARGEST_UNPACKED", 1_000)
    said = "".join(f"{row},{row * 7919 % 1009}\n" for row in range(200))
    assert "unpacks to more than" in refusal(of, gzip.compress(said.encode()))
    assert whole(of(said.encode())) == said


def test_a_line_without_end_is_no_table(of: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "PIECE", 100)
    monkeypatch.setattr(text, "_LONG_LINE", 10)
    assert "has a line of more than 400 bytes: it is no table" in refusal(of, b"a,b\n" + b"x" * 1_000)


@pytest.mark.parametrize("magic", text.BINARY_MAGICS, ids=text.BINARY_MAGICS.values())
def test_binary_files_are_called_by_what_they_are(of: Reader, magic: bytes) -> None:
    assert f"data.csv is {text.BINARY_MAGICS[magic]}, not a table" in refusal(of, magic + b"\0" * 60)


def test_many_nul_bytes_are_no_text_and_few_are(of: Reader) -> None:
    assert "is not text" in refusal(of, bytes(range(4)) * 100)
    assert whole(of(b"a,b\n" + b"1,2\n" * 50 + b"\0,2\n")).count("\0") == 1


def test_a_byte_order_mark_is_left_out_at_the_start_alone(of: Reader) -> None:
    assert whole(of(codecs.BOM_UTF8 + b"a\n" + codecs.BOM_UTF8 + b"b\n")) == "a\n\ufeffb\n"
