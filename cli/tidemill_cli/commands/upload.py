"""`tidemill upload`: a file into the bucket, which starts the pipeline, and how its run ended."""

from pathlib import Path

from tidemill.contracts import FINAL
from tidemill.errors import InvalidRequest, InvalidUpload, NotFound
from tidemill.names import model_name
from tidemill_cli.console import Result
from tidemill_cli.runs import Run, Waiting, wait
from tidemill_cli.session import Session


def upload(session: Session, model: str, file: Path, *, waiting: Waiting | None = None) -> Result:
    """Without `waiting`, and when its time is up, the run is `pending`."""
    model_name(model)
    if not file.exists():
        raise NotFound(f"file {file} does not exist")
    target, console = session.target, session.console
    if target.spec(model) is None:
        raise InvalidUpload(
            f"model {model!r} has no spec: write one with `tidemill init {model} {file} --target COLUMN`, then upload"
        )
    size = _size(file)
    with console.progress(f"uploading {file.name} ({size / 1e6:,.1f} MB)"), file.open("rb") as stream:
        uploaded = target.put_upload(model, file.name, stream, size)
    run = Run(model, uploaded.run)
    if waiting:
        run = wait(target, model, uploaded.run, console, waiting)
        if run.status not in FINAL:
            console.say(
                f"{run.run} is still under way after {waiting.seconds:g} s: it goes on, see `tidemill runs {model}`"
            )
    return run.result(target)


def _size(file: Path) -> int:
    if not file.is_file():
        raise InvalidRequest(f"{file} is not a file")
    return file.stat().st_size
