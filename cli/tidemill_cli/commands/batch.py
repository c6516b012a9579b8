"""`tidemill batch`: a file of rows, answered where it is stored."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidemill.aws.paths import batch_prefix
from tidemill.contracts import BATCH, Upload
from tidemill.errors import NotFound, TidemillError
from tidemill.names import model_name
from tidemill_cli.cloud import Target
from tidemill_cli.console import Console, Result, Table
from tidemill_cli.rows import existing_file
from tidemill_cli.runs import Waiting
from tidemill_cli.session import Session

_EXIT_CODES = {"invalid": 3, "failed": 1}


def batch(session: Session, model: str, file: Path, waiting: Waiting, out: Path | None = None) -> Result:
    """The predictions are in `out`, the rows that could not be answered beside it."""
    target, console, size = session.target, session.console, existing_file(file).stat().st_size
    if target.registry.champion(target.known(model_name(model))) is None:
        raise NotFound(f"model {model!r} has no champion yet: upload data to train one first")
    with console.progress(f"uploading {file.name} ({size / 1e6:,.1f} MB)"), file.open("rb") as stream:
        uploaded = target.put_upload(model, file.name, stream, size, BATCH)
    summary = _wait(target, uploaded, console, waiting)
    files = _fetch(target, summary, file, out) if "written" in summary else {}
    return _result({**summary, **files})


def _wait(target: Target, uploaded: Upload, console: Console, waiting: Waiting) -> dict[str, Any]:
    key = f"{batch_prefix(uploaded.model, uploaded.path, uploaded.run)}summary.json"
    with console.progress(f"answering {uploaded.name}"):
        summary: dict[str, Any] | None = waiting.until(
            lambda seen: seen is not None, lambda: target.data.find_json(key)
        )
    if summary is None:
        raise TidemillError(
            f"{uploaded.name} is not answered after {waiting.seconds:g} s: it goes on, and "
            f"s3://{target.data.bucket}/{key} will tell when it has ended"
        )
    return summary


def _fetch(target: Target, summary: Mapping[str, Any], file: Path, out: Path | None) -> dict[str, str]:
    """What was written, under the names that it has on this machine."""
    written = summary["written"]
    kept = out or Path(f"{file.stem}.predictions{Path(written['predictions']).suffix}")
    target.data.download(written["predictions"], kept)
    if not summary["problems"]:
        return {"out": str(kept)}
    problems = kept.with_name(f"{kept.stem}.problems.csv")
    target.data.download(written["problems"], problems)
    return {"out": str(kept), "out_problems": str(problems)}


def _result(document: Mapping[str, Any]) -> Result:
    reasons = "; ".join(document.get("reasons", ()))
    said = {
        "status": document["status"],
        "version": document.get("version"),
        "rows": document.get("rows"),
        "answered": document.get("answered"),
        "not answered": document.get("problems"),
        "reasons": reasons,
        "predictions": document.get("out"),
        "problems": document.get("out_problems"),
    }
    rows = [(name, value) for name, value in said.items() if value not in (None, "")]
    text: list[str | Table] = [Table((), rows, document["model"])]
    code = _EXIT_CODES.get(document["status"], 0)
    text += [f"warning: {warning}" for warning in document.get("warnings", ())]
    return Result(document, text, code, reasons if code else "")
