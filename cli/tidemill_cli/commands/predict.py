"""`tidemill predict` and `tidemill label`: any number of rows through the HTTP endpoint, in chunks."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tidemill.errors import TidemillError
from tidemill.names import model_name
from tidemill_cli.console import Result, Table
from tidemill_cli.endpoint import Chunk, Endpoint, chunks, rows_a_call
from tidemill_cli.rows import columns_of, labels_of_file, rows_of_argument, rows_of_file
from tidemill_cli.session import Session

_COUNTED = re.compile(r"(.*) \((\d+) rows\)")
_SHOWN = 20
_SHOWN_CLASSES = 6


def predict(
    session: Session,
    model: str,
    *,
    argument: str | None = None,
    file: Path | None = None,
    out: Path | None = None,
    explain: bool = False,
) -> Result:
    """One of `argument` and `file`. The reply is that of HTTP, for all rows."""
    endpoint = Endpoint(session.target)
    described = endpoint.model(model_name(model))
    rows = rows_of_file(file, columns_of(described["fields"])) if file else rows_of_argument(argument or "")
    replies: list[dict[str, Any]] = []
    with session.console.progress(f"predicting {len(rows):,} rows") as update:
        asked = {"explain": True} if explain else {}
        for chunk in chunks("rows", rows, rows_a_call(described, explain=explain), **asked):
            update(f"predicting {len(rows):,} rows" + (f", {chunk.start:,} done" if chunk.start else ""))
            replies.append(endpoint.predict(model, chunk))
    document = _joined(replies)
    if out:
        _write_csv(out, document["predictions"], described["target"]["classes"])
    return Result(document, _text(document, out))


def label(session: Session, model: str, file: Path) -> Result:
    endpoint = Endpoint(session.target)
    described = endpoint.model(model_name(model))
    labels = labels_of_file(file, described)
    accepted = 0
    with session.console.progress(f"sending {len(labels):,} labels") as update:
        for chunk in chunks("labels", labels):
            update(f"sending {len(labels):,} labels" + (f", {accepted:,} done" if accepted else ""))
            accepted += _send(endpoint, model, chunk, accepted)
    return Result({"model": model, "accepted": accepted}, [f"{accepted:,} labels of {model} were accepted"])


def _send(endpoint: Endpoint, model: str, chunk: Chunk, before: int) -> int:
    """Who has sent half of the labels should know it; the same label twice does no harm."""
    try:
        return int(endpoint.label(model, chunk)["accepted"])
    except TidemillError as error:
        if before:
            error.add_note(f"the first {before:,} labels were accepted")
        raise


def _joined(replies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """As if it had been one call; a champion that changed between two of them is told in a warning."""
    warnings = _merged(warning for reply in replies for warning in reply.get("warnings", ()))
    versions = list(dict.fromkeys(reply["version"] for reply in replies))
    if len(versions) > 1:
        warnings.append(
            f"the champion changed meanwhile: rows were answered by versions {', '.join(map(str, versions))}"
        )
    document = {
        "model": replies[-1]["model"],
        "version": versions[-1],
        "predictions": [entry for reply in replies for entry in reply["predictions"]],
    }
    return document | ({"warnings": warnings} if warnings else {})


def _merged(warnings: Iterable[str]) -> list[str]:
    """Each warning once, with the rows of all chunks together."""
    counts: Counter[str] = Counter()
    for warning in warnings:
        counted = _COUNTED.fullmatch(warning)
        counts[counted[1] if counted else warning] += int(counted[2]) if counted else 1
    return [f"{text} ({count:,} rows)" if count > 1 else text for text, count in counts.items()]


def _write_csv(path: Path, predictions: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> None:
    """Explanations, where there are any, as the reply has them: one column of JSON."""
    explained = ["explanation"] if any("explanation" in entry for entry in predictions) else []
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "prediction", *(f"probability_{name}" for name in classes), *explained])
        for entry in predictions:
            shares = entry.get("probabilities", {})
            told = [json.dumps(entry[name], ensure_ascii=False) for name in explained]
            row = [entry["id"], _as_text(entry["prediction"]), *(shares.get(name) for name in classes), *told]
            writer.writerow(row)


def _as_text(prediction: Any) -> Any:
    """True as an upload would have it, so that the file can come back as one."""
    return str(prediction).lower() if isinstance(prediction, bool) else prediction


def _text(document: Mapping[str, Any], out: Path | None) -> list[str | Table]:
    predictions = document["predictions"]
    classes = list(predictions[0].get("probabilities", {}))[:_SHOWN_CLASSES]
    table = Table(
        ("id", "prediction", *(f"p({name})" for name in classes)),
        [
            (entry["id"], _as_text(entry["prediction"]), *(entry["probabilities"][name] for name in classes))
            for entry in predictions[:_SHOWN]
        ],
        f"{document['model']}, version {document['version']}",
    )
    more = len(predictions) - _SHOWN
    text: list[str | Table] = [table]
    if out:
        text.append(f"{len(predictions):,} predictions are in {out}")
    elif more > 0:
        text.append(f"and {more:,} more: --out FILE writes all of them")
    text += [_explained(entry) for entry in predictions[:_SHOWN] if "explanation" in entry]
    return text + [f"warning: {warning}" for warning in document.get("warnings", ())]


def _explained(entry: Mapping[str, Any]) -> str:
    """What moved a prediction away from the usual one, the strongest first."""
    told = entry["explanation"]
    total = told["base"] + sum(each["contribution"] for each in told["contributions"]) + told["others"]
    what = f"the probability of {told['class']}" if "class" in told else "the prediction"
    moved = [
        f"{each['field']} {_value(each['value'])} {_moved(each['contribution'])} (± {each['error']:.2g})"
        for each in told["contributions"]
    ]
    others = [f"all other fields {_moved(told['others'])}"] if told["others"] else []
    return f"{entry['id']}: {what} is {total:.3g}, usually {told['base']:.3g}: {', '.join([*moved, *others])}"


def _value(value: Any) -> str:
    return "(missing)" if value is None else f"= {_as_text(value)}"


def _moved(contribution: float) -> str:
    return f"{'takes off' if contribution < 0 else 'adds'} {abs(contribution):.3g}"
