"""`tidemill report` of an upload: the account as text."""

from typing import Any

from tidemill_cli.commands.report import told
from tidemill_cli.console import Table


def account(**changes: Any) -> dict[str, Any]:
    parts = {"rows_read": 100, "accepted": 90, "quarantined": 7, "duplicates": 3}
    return {"source": "f.csv", **parts, "reasons": [], "more_reasons": 0, "findings": [], **changes}


def finding(weight: str, says: str) -> dict[str, Any]:
    return {"weight": weight, "kind": "unit_jump", "column": None, "says": says, "done": "look"}


def tables(account: dict[str, Any]) -> dict[str, list[Any]]:
    return {part.title: list(part.rows) for part in told(account) if isinstance(part, Table)}


def test_upload_begins_with_its_verdict_and_an_account_that_adds_up() -> None:
    assert next(told(account())) == (
        "f.csv is accepted: 90 accepted + 7 quarantined + 3 duplicates = 100 rows read"
    )  # fmt: skip
    warned = account(findings=[finding("warn", "a is odd")])
    assert str(next(told(warned))).startswith("f.csv is accepted with warnings: ")


def test_refused_upload_tells_all_that_must_be_mended_once() -> None:
    refused = account(accepted=0, invalid=["a is gone: look", "b is bad"], findings=[finding("fail", "a is gone")])
    assert list(told(refused)) == [
        "f.csv is refused: 0 accepted + 7 quarantined + 3 duplicates + 90 usable but refused = 100 rows read",
        "  mend: a is gone: look",
        "  mend: b is bad",
    ]


def test_findings_come_in_order_of_weight() -> None:
    found = [finding("note", "c"), finding("warn", "b"), finding("fail", "a")]
    assert [row[0] for row in tables(account(findings=found))["findings"]] == ["problem", "warning", "note"]


def test_reasons_come_with_their_first_place() -> None:
    first = {"column": "dep", "reason": "is not a date", "rows": 1_200, "row": 7, "line": 9, "value": "soon"}
    whole = {"column": "", "reason": "is cut off", "rows": 1, "row": 12, "line": None, "value": "a,b"}
    shown = tables(account(reasons=[first, whole], more_reasons=3))
    assert shown["why rows were quarantined (3 rarer reasons not shown)"] == [
        ("1,200", "dep", "is not a date", "line 9", "soon"),
        ("1", "the whole row", "is cut off", "row 12", "a,b"),
    ]
