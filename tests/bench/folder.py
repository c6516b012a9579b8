"""A folder on this machine's disk for a bucket. It needs no more than the functions do, so that a bench which weighs
one can use it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from tidemill.aws.objects import Objects


class Folder(Objects):
    def get(self, key: str, version_id: str = "") -> bytes:
        return Path(self.bucket, key).read_bytes()

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        path = Path(self.bucket, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def keys(self, prefix: str, start_after: str = "") -> Iterator[str]:
        files = (path for path in Path(self.bucket, prefix).rglob("*") if path.is_file())
        names = sorted(str(path.relative_to(self.bucket)) for path in files)
        yield from (name for name in names if name > start_after)


def objects(folder: Path) -> Objects:
    return Folder(cast("Any", None), str(folder))
