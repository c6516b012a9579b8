"""Zips a folder so that the same files give the same bytes: no times, no owners, always in one order."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

# The oldest date that a zip can hold.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
# Lambda runs as a user that owns nothing: a regular file that all may read.
_MODE = 0o100644


def files(folder: Path) -> Iterator[tuple[str, Path]]:
    """By names that sort and read alike everywhere."""
    return iter(sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file()))


def write(folder: Path, target: IO[bytes]) -> str:
    """Answers with a digest of names and contents, which unlike the zip's own bytes no other zlib changes."""
    digest = hashlib.sha256()
    with ZipFile(target, "w", ZIP_DEFLATED) as archive:
        for name, path in files(folder):
            content = path.read_bytes()
            for part in (name.encode(), content):
                digest.update(len(part).to_bytes(8) + part)
            entry = ZipInfo(name, _EPOCH)
            entry.create_system = _UNIX
            entry.external_attr = _MODE << 16
            entry.compress_type = ZIP_DEFLATED
            archive.writestr(entry, content)
    return digest.hexdigest()
