"""`tidemill report`: the page that a run, a version or a check left, and its gist."""

import io
import webbrowser
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet

from tidemill.aws.paths import check_prefix, partition_prefix, version_prefix
from tidemill.aws.registry import content_of
from tidemill.errors import NotFound
from tidemill_cli.cloud import Target
from tidemill_cli.console import Result, Table
from tidemill_cli.runs import Run
from tidemill_cli.session import Session

_SHOWN = 20
_MOST_QUARANTINED = 1_000
"""Of the quarantine, what the document holds; an upload may have millions."""
_WEIGHTS = {"fail": "problem", "warn": "warning", "note": "note"}


@dataclass(frozen=True)
class _Page:
    """`key` of the HTML and what it is about; of an upload its account, and the first rows that were put aside."""

    key: str
    name: str
    about: Mapping[str, Any]
    summary: Mapping[str, Any]
    quarantine: list[dict[str, Any]]
    account: Mapping[str, Any] | None = None


def report(
    session: Session,
    model: str,
    *,
    run: str | None = None,
    version: int | None = None,
    check: str | None = None,
    out: Path | None = None,
    show: bool = False,
) -> Result:
    """Of the newest run, where nothing is named."""
    target = session.target
    target.known(model)
    if version is not None:
        page = _of_version(target, model, version)
    elif check is not None:
        page = _of_check(target, model, check)
    else:
        page = _of_run(target, model, run)
    path = out or Path(".tidemill") / "reports" / model / f"{page.name}.html"
    data = target.holding(page.key).get(page.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    if show:
        webbrowser.open(path.resolve().as_uri())
    document = {
        "model": model,
        **page.about,
        "report": target.uri(page.key),
        "path": str(path),
        "summary": dict(page.summary),
        "account": page.account,
        "quarantine": page.quarantine,
    }
    return Result(document, _text(page, model, path))


def _of_version(target: Target, model: str, version: int) -> _Page:
    target.registry.version(model, version)
    prefix = version_prefix(model, version)
    return _Page(f"{prefix}report.html", f"version-{version}", {"version": version}, _verdict(target, prefix), [])


def _of_check(target: Target, model: str, check: str) -> _Page:
    prefix = check_prefix(model, check)
    try:
        found = target.holding(prefix).get_json(f"{prefix}report.json")
    except NotFound:
        raise NotFound(f"check {check} of model {model!r} does not exist") from None
    summary = {
        "window": f"{found['window']['start']}/{found['window']['end']}",
        "predictions": found["predictions"],
        "verdict": found["drift"]["verdict"],
        "action": found["action"],
        "reason": found["reason"],
    }
    return _Page(f"{prefix}report.html", check, {"check": check}, summary, [])


def _of_run(target: Target, model: str, name: str | None) -> _Page:
    found = _run(target, model, name)
    if not found.report:
        why = "; ".join(found.reasons) or f"it is {found.status}"
        raise NotFound(f"run {found.run} has no report: {why}")
    summary = {"status": found.status, "source": found.source, "reasons": "; ".join(found.reasons)}
    if found.version is not None and found.report.startswith("models/"):
        summary |= _verdict(target, version_prefix(model, found.version))
    about = {"run": found.run, "version": found.version}
    prefix = _partition(target, model, found)
    if prefix is None:
        return _Page(found.report, found.run, about, summary, [])
    account = target.holding(prefix).get_json(f"{prefix}account.json")
    return _Page(found.report, found.run, about, summary, _quarantine(target, prefix), account)


def _run(target: Target, model: str, name: str | None) -> Run:
    if name:
        return Run.of(model, target.registry.run(model, name))
    newest = target.registry.runs(model)
    if not newest:
        raise NotFound(f"model {model!r} has had no run yet")
    return Run.of(model, newest[0])


def _partition(target: Target, model: str, run: Run) -> str | None:
    """Where the rows that a run brought are; a refused upload has its report there, too."""
    if run.report and run.report.startswith("datasets/"):
        return run.report.rsplit("/", 1)[0] + "/"
    own = (item for item in target.registry.partitions(model) if item["run"] == run.run)
    return next((partition_prefix(model, content_of(item)) for item in own), None)


def _quarantine(target: Target, prefix: str) -> list[dict[str, Any]]:
    """The first rows that were put aside, and why; empty where there are none."""
    try:
        data = target.data.get(f"{prefix}quarantine/part-0.parquet")
    except NotFound:
        return []
    batches = pyarrow.parquet.ParquetFile(io.BytesIO(data)).iter_batches(_MOST_QUARANTINED)
    return next((batch.to_pylist() for batch in batches), [])


def _verdict(target: Target, prefix: str) -> dict[str, Any]:
    """How a version did on its held-out rows, by its own evaluation."""
    evaluation = target.holding(prefix).get_json(f"{prefix}evaluation.json")
    measured = evaluation["candidate"]["interval"]
    summary = {
        "candidate": evaluation["candidate"]["candidate"],
        "metric": evaluation["metric"]["name"],
        "value": measured["value"],
        "low": measured["low"],
        "high": measured["high"],
        "held_out": evaluation["rows"]["held_out"],
    }
    failed = [check["sentence"] for check in evaluation["checks"] if not check["passed"]]
    return summary | {"gate": "; ".join(failed) if failed else "passed every check"}


def _text(page: _Page, model: str, path: Path) -> list[str | Table]:
    rows = [(name, value) for name, value in {**page.about, **page.summary}.items() if value is not None]
    text: list[str | Table] = [Table((), rows, model)]
    if page.account is not None:
        text += told(page.account)
    if page.quarantine:
        shown = page.quarantine[:_SHOWN]
        title = (
            "quarantined rows" if len(page.quarantine) == len(shown) else f"quarantined rows: the first {len(shown)}"
        )
        text.append(Table(tuple(shown[0]), [tuple(row.values()) for row in shown], title))
    return [*text, str(path)]


def told(account: Mapping[str, Any]) -> Iterator[str | Table]:
    """What became of an upload: its rows, all that must be mended, all findings, why rows were put aside."""
    invalid = account.get("invalid") or ()
    parts = {key: account[key] for key in ("accepted", "quarantined", "duplicates")}
    if invalid:
        parts["usable but refused"] = account["rows_read"] - sum(parts.values())
    verdict = "refused" if invalid else "accepted"
    if not invalid and any(finding["weight"] == "warn" for finding in account["findings"]):
        verdict = "accepted with warnings"
    sum_of = " + ".join(f"{n:,} {part}" for part, n in parts.items())
    yield f"{account['source']} is {verdict}: {sum_of} = {account['rows_read']:,} rows read"
    yield from (f"  mend: {problem}" for problem in invalid)
    order = list(_WEIGHTS)
    found = sorted(account["findings"], key=lambda finding: order.index(finding["weight"]))
    others = [finding for finding in found if f"{finding['says']}: {finding['done']}" not in invalid]
    if others:
        rows = [(_WEIGHTS[f["weight"]], f["kind"].replace("_", " "), f["says"], f["done"]) for f in others]
        yield Table(("weight", "finding", "says", "done"), rows, "findings")
    if account["reasons"]:
        reasons = [
            (f"{r['rows']:,}", r["column"] or "the whole row", r["reason"], _place(r), r["value"])
            for r in account["reasons"]
        ]
        more = account.get("more_reasons")
        title = f"why rows were quarantined{f' ({more:,} rarer reasons not shown)' if more else ''}"
        yield Table(("rows", "column", "reason", "first at", "value"), reasons, title)


def _place(reason: Mapping[str, Any]) -> str:
    return f"row {reason['row']:,}" if reason.get("line") is None else f"line {reason['line']:,}"
