"""`tidemill try`: what a run would train, trained on this machine from a spec and a file."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tidemill.encoding import Matrix
from tidemill.errors import InvalidUpload, TrainingFailed
from tidemill.spec import ModelSpec
from tidemill.stages import npy
from tidemill.stages.assemble import assemble
from tidemill.stages.dataset import StoredPart, gather
from tidemill.stages.folds import TrainingSide
from tidemill.stages.metrics import or_none
from tidemill.stages.partition import make_partition
from tidemill.stages.search import mean_score
from tidemill.stages.tables import open_table
from tidemill.stages.train import train
from tidemill_cli.console import Result, Table
from tidemill_cli.rows import existing_file
from tidemill_cli.session import Session

_SHOWN = ("candidate", "metric", "score", "dummy", "bytes", "seconds")


def attempt(session: Session, spec: ModelSpec, file: Path) -> Result:
    """Every candidate by cross-validation; the held-out rows only prove the export, since the gate is to judge by
    them."""
    with session.console.progress(f"reading {file.name}") as say:
        side, unseen = _read(existing_file(file), spec)
        candidates = []
        for candidate in spec.train.competing:
            say(f"training {candidate}")
            candidates.append(_trained(candidate, side, unseen, spec))
    failed = [entry["candidate"] for entry in candidates if entry["failed"]]
    return Result(
        {"rows": len(side), "task": side.schema.task, "candidates": candidates},
        [
            Table(
                ("candidate", "metric", "cross-validated", "without features", "bytes", "seconds"),
                [[entry[key] for key in _SHOWN] for entry in candidates],
                f"{len(side):,} training rows of {file.name}",
            ),
            *(f"{entry['candidate']}: {entry['failed'] or _proved(entry['parity'])}" for entry in candidates),
        ],
        exit_code=1 if failed else 0,
        problem=f"{', '.join(failed)}: a run would not train this" if failed else "",
    )


def _read(file: Path, spec: ModelSpec) -> tuple[TrainingSide, Matrix]:
    """The training side and the matrix of the rows held out, as the first upload of a model would give them."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        table = open_table(file, file.name)
        partition = make_partition(table, spec, None, folder / "partition", size=file.stat().st_size)
        if partition.invalid:
            raise InvalidUpload(partition.invalid)
        part = partition.part("")
        data = assemble([part], partition.schema, spec, folder / "index", new=True)
        stored = StoredPart(part.names, part.rows, lambda name: npy.parsed(part.fetch(f"{name}.npy").read_bytes()))
        rows = gather([stored], data.state, data.names, data.class_places, timed=data.cutoff is not None)
    return TrainingSide.of(data.schema, rows), rows.matrix[rows.held_out]


def _trained(candidate: str, side: TrainingSide, unseen: Matrix, spec: ModelSpec) -> dict[str, Any]:
    begun = time.monotonic()
    entry = dict.fromkeys((*_SHOWN, "parity", "failed")) | {"candidate": candidate}
    try:
        made = train(candidate, side, spec, unseen, lambda: begun + spec.train.seconds - time.monotonic())
    except TrainingFailed as error:
        return entry | {"failed": str(error)}
    return entry | {
        "metric": made.metric,
        "score": or_none(mean_score(made.scores)),
        "dummy": or_none(made.dummy_score),
        "bytes": len(made.onnx),
        "seconds": round(time.monotonic() - begun, 1),
        "parity": asdict(made.parity),
    }


def _proved(parity: Mapping[str, Any]) -> str:
    return f"its graph answers {parity['rows']:,} held-out rows as it does, to {parity['largest']:.1g}"
