"""The report of one upload: what came in, what became of it, and how it differs from the upload before it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tidemill.profile import Profile
from tidemill.reports import charts
from tidemill.reports.columns import Card
from tidemill.reports.page import (
    Markup,
    Tone,
    badge,
    closed,
    count,
    folded,
    items,
    join,
    name,
    page,
    section,
    sentence,
    size,
    table,
    tag,
    text,
    unit,
    verdict,
)

_MOST_PROBLEMS, _MOST_FINDINGS, _MOST_REASONS, _MOST_CARDS, _MOST_ROWS = 8, 14, 12, 60, 10
"""In sight; more of each are folded away, up to the following."""
_MOST_LISTED, _MOST_DRAWN = 300, 200
_WEIGHTS: Mapping[str, tuple[int, Tone, str]] = {
    "fail": (0, "fail", "problem"),
    "warn": (1, "warn", "warning"),
    "note": (2, "calm", "note"),
}
_LEFT_OUT = {
    "id": "names the row; a model that learned it would learn nothing",
    "excluded": "excluded in the spec",
    "unused": "no use to a model",
}


def render(
    account: Mapping[str, Any],
    profile: Mapping[str, Any] | None,
    *,
    quarantine: Sequence[Mapping[str, Any]],
    previous: Mapping[str, Any] | None,
) -> str:
    """`profile` describes the rows that could be used, `previous` those of the upload that was accepted before."""
    now = Profile.from_json(profile) if profile else Profile(0, {})
    before = Profile.from_json(previous) if previous else None
    findings = sorted(account["findings"], key=_weight)
    told = set(account.get("invalid") or ())
    with np.errstate(all="ignore"):  # values near the largest float
        drawn = _columns(account, now, before, findings)
    sections = [
        _flow(account) if account["rows_read"] else None,
        _findings([finding for finding in findings if _sentence(finding) not in told]),
        _reasons(account) if account["reasons"] else None,
        drawn,
        _left_out(account["columns"]),
        _rows(quarantine, account) if quarantine else None,
    ]
    footer = "account.json beside this page has the same as numbers." + (
        " quarantine/part-0.parquet has every row that could not be used, with its reasons." if quarantine else ""
    )
    return page(
        "Data report", str(account["source"]), _of_the_file(account), _verdict(account, findings), sections, footer
    )


def _of_the_file(account: Mapping[str, Any]) -> str:
    columns = len(account["columns"])
    facts = (
        account.get("description"),
        size(account["bytes"]),
        _many(account["rows_read"], "row") if account["rows_read"] or columns else None,
        _many(columns, "column") if columns else None,
    )
    return " · ".join(fact for fact in facts if fact)


def _verdict(account: Mapping[str, Any], findings: Sequence[Mapping[str, Any]]) -> Markup:
    read = account["rows_read"]
    invalid = account.get("invalid")
    if invalid:
        many = "one thing" if len(invalid) == 1 else f"{count(len(invalid))} things"
        says = f"Nothing of this upload was accepted, and nothing else has changed: mend {many} and upload it again."
        return verdict("fail", "Refused", says, *_problems(invalid, findings))
    whole = f"All {_many(read, 'row')} are accepted." if read == account["accepted"] else None
    says = whole or f"{count(account['accepted'])} of {_many(read, 'row')} are accepted."
    warnings = [finding for finding in findings if finding["weight"] == "warn"]
    if not warnings:
        return verdict("pass", "Accepted", says)
    look = f"{_many(len(warnings), 'warning')} to look at: the heaviest is that {warnings[0]['says']}."
    if len(warnings) == 1:
        look = sentence(warnings[0]["says"])
    return verdict("warn", "Accepted with warnings", says, tag("p", look))


def _problems(invalid: Sequence[str], findings: Sequence[Mapping[str, Any]]) -> Iterable[Markup | None]:
    known = {_sentence(finding): finding for finding in findings}

    def line(problem: str) -> Markup:
        finding = known.get(problem)
        if finding is None:
            return tag("li", sentence(problem))
        return tag("li", sentence(finding["says"]), tag("div", sentence(finding["done"]), class_="do"))

    lines = [line(problem) for problem in invalid[:_MOST_LISTED]]
    return [*folded(lines, _MOST_PROBLEMS, lambda some: tag("ul", *some, class_="problems")), _unlisted(len(invalid))]


def _unlisted(n: int) -> Markup | None:
    more = n - _MOST_LISTED
    return tag("p", f"{count(more)} more are in account.json.", class_="note") if more > 0 else None


def _flow(account: Mapping[str, Any]) -> Markup:
    read, accepted, quarantined, duplicates = (
        int(account[key]) for key in ("rows_read", "accepted", "quarantined", "duplicates")
    )
    parts: list[tuple[int, str, Tone]] = [
        (accepted, "accepted", "pass"),
        (quarantined, "quarantined", "fail"),
        (duplicates, "duplicates", "warn"),
    ]
    if account.get("invalid"):
        parts.insert(1, (read - accepted - quarantined - duplicates, "usable but refused", "calm"))
    total = sum(n for n, _, _ in parts)
    sum_of = " + ".join(f"{count(n)} {label}" for n, label, _ in parts)
    note = f"Every row is accounted for: {sum_of} = {count(total)} read."
    if total != read or min(n for n, _, _ in parts) < 0:
        return section("Rows", tag("p", f"The account does not add up: {sum_of}, but {count(read)} rows were read."))
    return section("Rows", charts.flow((read, "rows read"), parts, note), note=note)


def _findings(findings: Sequence[Mapping[str, Any]]) -> Markup | None:
    if not findings:
        return None
    lines = [
        tag(
            "li",
            badge(_tone(finding), f"{_WEIGHTS[finding['weight']][2].capitalize()}: {_kind(finding)}"),
            tag(
                "div",
                sentence(finding["says"]),
                tag("div", sentence(finding["done"]), class_="do") if finding["done"] else None,
            ),
        )
        for finding in findings[:_MOST_LISTED]
    ]
    each = [(label, sum(f["weight"] == weight for f in findings)) for weight, (_, _, label) in _WEIGHTS.items()]
    title = "Findings: " + ", ".join(_many(n, label) for label, n in each if n)
    drawn = folded(lines, _MOST_FINDINGS, lambda some: tag("ul", *some, class_="findings"))
    return section(title, *drawn, _unlisted(len(findings)))


def _weight(finding: Mapping[str, Any]) -> int:
    """0 is the heaviest."""
    return _WEIGHTS[finding["weight"]][0]


def _tone(finding: Mapping[str, Any]) -> Tone:
    return _WEIGHTS[finding["weight"]][1]


def _kind(finding: Mapping[str, Any]) -> str:
    return str(finding["kind"]).replace("_", " ")


def _sentence(finding: Mapping[str, Any]) -> str:
    return f"{finding['says']}: {finding['done']}"


def _reasons(account: Mapping[str, Any]) -> Markup:
    reasons = sorted(account["reasons"], key=lambda reason: -reason["rows"])
    most = max(reason["rows"] for reason in reasons) or 1
    rows = [
        (
            join([name(reason["column"]) if reason["column"] else "the whole row", unit(reason["reason"])]),
            charts.stripe(reason["rows"] / most),
            count(reason["rows"]),
            join([_place(reason), unit(_value(reason["value"], 60))]),
        )
        for reason in reasons
    ]
    note = "A row may have more than one reason; each comes with the first place where it was met."
    heads = ("Reason", "", "Rows", "First at")
    drawn = tag("div", table(heads, rows, "llr", most=_MOST_REASONS), class_="reasons")
    more = account.get("more_reasons")
    rarer = tag("p", f"{_many(more, 'rarer reason')} not shown.", class_="note") if more else None
    return section("Why rows were quarantined", drawn, rarer, note=note)


def _place(entry: Mapping[str, Any]) -> str:
    return f"row {count(entry['row'])}" if entry.get("line") is None else f"line {count(entry['line'])}"


def _value(value: object, most: int) -> Markup | str:
    return tag("code", text(value, most)) if value not in (None, "") else "empty"


def _columns(
    account: Mapping[str, Any], now: Profile, before: Profile | None, findings: Sequence[Mapping[str, Any]]
) -> Markup | None:
    if not now.columns:
        return None
    earlier = before.columns if before else {}
    gone = [key for key in earlier if key not in now.columns]
    known = {column["name"]: column for column in account["columns"]}
    told: dict[str, list[Mapping[str, Any]]] = {}
    for finding in findings:
        told.setdefault(finding["column"], []).append(finding)

    def card(key: str) -> Card:
        current, was = now.columns.get(key), earlier.get(key)
        if current and was and current.kind != was.kind:
            was = None
        own = told.get(key, [])
        badges = [
            badge(_tone(finding), words) for words, finding in {_kind(finding): finding for finding in own}.items()
        ]
        if current is None:
            badges.insert(0, badge(_tone(own[0]) if own else "calm", "not in this upload"))
        elif before and was is None:
            badges.insert(0, badge("calm", "new"))
        column = known.get(key, {})
        return Card(key, column.get("role", ""), column.get("note", ""), current, was, badges)

    def rank(card: Card) -> tuple[object, ...]:
        heaviest = min(map(_weight, told.get(card.name, [])), default=2)
        return card.role != "target", heaviest, card.now is not None, -round(card.moved, 2) if before else 0

    cards = sorted(map(card, [*now.columns, *gone]), key=rank)
    drawn = [card.draw() for card in cards[:_MOST_DRAWN]]
    more = len(cards) - _MOST_DRAWN
    return section(
        f"{_many(len(now.columns), 'column')}{' against the previous upload' if before else ''}",
        before and _changes([key for key in now.columns if key not in earlier], gone),
        *folded(drawn, _MOST_CARDS, lambda some: tag("div", *some, class_="cards")),
        tag("p", f"{count(more)} more{', which changed less,' if before else ''} are not drawn.", class_="note")
        if more > 0
        else None,
        note=_legend(account, now, before),
    )


def _legend(account: Mapping[str, Any], now: Profile, before: Profile | None) -> Markup:
    usable = " that could be used" if account.get("invalid") else ""
    ours = join([tag("span", class_="key calm"), f"{_many(now.rows, 'row')} of this upload{usable}"])
    if before is None:
        return join([ours, ". The target comes first."])
    theirs = join([tag("span", class_="key past"), f"{_many(before.rows, 'row')} of the previous one"])
    return join([ours, theirs, ". Both on one axis. What changed most comes first, after the target."])


def _changes(new: Sequence[str], gone: Sequence[str]) -> Markup | None:
    lines = [
        join([f"{label}: ", join((tag("code", name(key)) for key in keys[:_MOST_ROWS]), ", "), _and_more(keys)])
        for label, keys in (("New in this upload", new), ("No longer in it", gone))
        if keys
    ]
    return items(lines) if lines else None


def _and_more(keys: Sequence[str]) -> str:
    more = len(keys) - _MOST_ROWS
    return f" and {count(more)} more." if more > 0 else "."


def _left_out(columns: Sequence[Mapping[str, Any]]) -> Markup | None:
    """What the model does not learn from."""
    rows = [
        (name(column["name"]), column["role"], closed(column["note"] or _LEFT_OUT[column["role"]]))
        for column in columns
        if column["role"] in _LEFT_OUT
    ]
    if not rows:
        return None
    shown = table(("Column", "Role", "Why"), rows[:_MOST_LISTED], most=_MOST_ROWS, narrow=True)
    return section(f"{_many(len(rows), 'column')} not learned from", shown, _unlisted(len(rows)))


def _rows(quarantine: Sequence[Mapping[str, Any]], account: Mapping[str, Any]) -> Markup:
    lined = any(entry.get("line") is not None for entry in quarantine)
    rows = [
        (
            count(entry["line"] if lined else entry["row"]),
            name(entry["column"]) if entry["column"] else "the whole row",
            _value(entry["value"], 200),
            entry["reason"],
        )
        for entry in sorted(quarantine, key=lambda entry: entry["row"])
    ]
    note = (
        f"The first {_many(len(rows), 'finding')} in {_many(account['quarantined'], 'row')}"
        f"{', by the line of the file where the row begins' if lined else ''}; quarantine/part-0.parquet has all."
    )
    heads = ("Line" if lined else "Row", "Column", "Value", "Reason")
    shown = tag("div", table(heads, rows, "r", most=_MOST_ROWS), class_="examples")
    return section("Quarantined rows", shown, note=note)


def _many(n: int, what: str) -> str:
    return f"{count(n)} {what}" + ("" if n == 1 else "s")
