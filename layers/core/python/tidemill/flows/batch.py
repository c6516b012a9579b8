"""Batch: answer a file of rows, with the champion of the moment that it is begun in."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from tidemill.aws.paths import batch_prefix
from tidemill.aws.stores import Stores
from tidemill.contracts import Upload
from tidemill.errors import InvalidInput, InvalidUpload, ModelIncompatible, NotFound
from tidemill.flows.champions import load
from tidemill.flows.ignored import why_ignored
from tidemill.stages.batch import answer_table
from tidemill.stages.serve import ServedModel
from tidemill.stages.tables import open_table

LARGEST_FILE = 4_000_000_000
"""Bytes: with its predictions and problems it has to fit the 10 GB of a function's own disk."""

Document = dict[str, Any]


def batch(upload: Upload, stores: Stores, now: datetime, seconds_left: Callable[[], float]) -> Document:
    """The summary, which is written last: a batch that has one is whole. The same upload delivered after that changes
    nothing, and before it writes the same, or what another version says under that version's name.

    What the sender must mend is a summary with status `invalid`, and a notice; so is a model that cannot answer.
    """
    ignored = why_ignored(upload, "a file of rows", stores.notices)
    if ignored is not None:
        return {"status": "ignored", **({"reasons": ignored} if ignored else {})}
    prefix = batch_prefix(upload.model, upload.path, upload.run)
    known: Document | None = stores.data.find_json(f"{prefix}summary.json")
    if known:
        return known
    facts = {
        "model": upload.model, "file": upload.key, "version_id": upload.version_id, "run": upload.run,
        "bytes": upload.size, "started": now.isoformat(),
    }  # fmt: skip
    try:
        summary = {**facts, **_answer(upload, prefix, stores, seconds_left)}
    except (InvalidInput, NotFound, ModelIncompatible) as error:
        reasons = error.problems if isinstance(error, InvalidInput) else [str(error)]
        status = "invalid" if isinstance(error, InvalidInput) else "failed"
        summary = {**facts, "status": status, "reasons": reasons}
        stores.notices.publish(
            f"Tidemill: {upload.model}: a batch cannot be answered",
            "\n".join([f"{upload.key}: {status}.", *reasons]),
        )
    stores.data.put_json(f"{prefix}summary.json", summary)
    return summary


def _answer(upload: Upload, prefix: str, stores: Stores, seconds_left: Callable[[], float]) -> Document:
    if upload.size > LARGEST_FILE:
        raise InvalidUpload(
            f"{upload.name} has {upload.size:,} bytes, more than the {LARGEST_FILE:,} that one function can answer: "
            "split it into parts"
        )
    model = _champion(upload.model, stores)
    with TemporaryDirectory() as name:
        folder = Path(name)
        stores.data.download(upload.key, folder / "file", upload.version_id)
        table = open_table(folder / "file", upload.name)
        answers = f"predictions{'.parquet' if table.description == 'Parquet' else '.csv'}"
        summary = answer_table(table, model, folder / answers, folder / "problems.csv", seconds_left)
        # Under the version: where two deliveries met two champions, neither mixes with the other.
        written = {
            "predictions": f"{prefix}version-{model.version}/{answers}",
            "problems": f"{prefix}version-{model.version}/problems.csv",
        }
        for key in written.values():
            stores.data.upload(folder / PurePosixPath(key).name, key)
    return {"status": "answered", "version": model.version, **asdict(summary), "written": written}


def _champion(name: str, stores: Stores) -> ServedModel:
    champion = stores.registry.champion(name)
    if champion is None:
        raise NotFound(f"model {name!r} does not exist, or has no champion yet: upload data to train one first")
    return load(stores.models, name, champion.version)[0]
