import os
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

from infra import archive


def write(folder: Path) -> tuple[bytes, str]:
    digest = archive.write(folder, file := BytesIO())
    return file.getvalue(), digest


def make(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def test_zip_has_every_file_in_one_order(tmp_path: Path) -> None:
    zipped, _ = write(make(tmp_path, b__a="1", a="2", b__B="3"))
    with ZipFile(BytesIO(zipped)) as file:
        assert {name: file.read(name) for name in file.namelist()} == {"a": b"2", "b/B": b"3", "b/a": b"1"}
        assert file.namelist() == ["a", "b/B", "b/a"]


def test_time_and_owner_and_order_of_writing_do_not_matter(tmp_path: Path) -> None:
    one, other = make(tmp_path / "one", a="1", b="2"), make(tmp_path / "other", b="2", a="1")
    os.utime(one / "a", (1, 1))
    (one / "b").chmod(0o600)
    assert write(one) == write(other)


def test_everybody_may_read(tmp_path: Path) -> None:
    # Lambda's functions run as a user to whom nothing in /opt belongs.
    folder = make(tmp_path, a="1")
    (folder / "a").chmod(0o600)
    zipped, _ = write(folder)
    with ZipFile(BytesIO(zipped)) as file:
        assert file.getinfo("a").external_attr >> 16 == 0o100644


def test_other_name_or_content_has_another_digest(tmp_path: Path) -> None:
    digests = {
        write(make(tmp_path / "1", ab="c"))[1],
        write(make(tmp_path / "2", a="bc"))[1],
        write(make(tmp_path / "3", ab="d"))[1],
    }
    assert len(digests) == 3
