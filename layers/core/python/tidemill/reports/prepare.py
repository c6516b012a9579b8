"""The report of one upload: what was read, what was accepted, and why the rest was not."""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from tidemill.reports import charts
from tidemill.reports.page import (
    NOTHING,
    Markup,
    count,
    facts,
    finite,
    items,
    join,
    moment,
    name,
    number,
    page,
    paragraphs,
    percent,
    section,
    sentence,
    table,
    tag,
    text,
    unit,
    verdict,
)

_BINS = 24
_MOST_REASONS, _MOST_COLUMNS, _MOST_ROWS = 20, 60, 20


def render(
    account: Mapping[str, Any], profile: Mapping[str, Any] | None, *, quarantine: Sequence[Mapping[str, Any]]
) -> str:
    """`profile` describes the accepted rows; an account with "invalid" is of an upload that was refused whole."""
    sections = [
        None if account.get("invalid") else _balance(account),
        _reasons(account.get("reasons") or {}),
        section("Warnings", items(map(sentence, account["warnings"]))) if account.get("warnings") else None,
        _columns(profile["columns"]) if profile and profile.get("columns") else None,
        _rows(quarantine, account.get("quarantined", 0)) if quarantine else None,
    ]
    sub = f"{count(account['rows_read'])} rows read"
    footer = "Drawn from account.json and profile.json of this partition. The rows are beside them as Parquet."
    return page("Data report", str(account["source"]), sub, _verdict(account), sections, footer)


def _verdict(account: Mapping[str, Any]) -> Markup:
    read, accepted = account["rows_read"], account["accepted"]
    if account.get("invalid"):
        return verdict(
            "fail", "Refused", "Nothing of this upload was accepted. Mend it and upload it again.",
            paragraphs([sentence(problem) for problem in account["invalid"]]),
        )  # fmt: skip
    left_out = [
        f"{count(account[part])} {label}"
        for part, label in (("quarantined", "quarantined"), ("duplicates", "duplicates"))
        if account[part]
    ]
    says = f"{count(accepted)} of {count(read)} rows accepted" + (f"; {', '.join(left_out)}." if left_out else ".")
    return verdict("warn" if account.get("warnings") else "pass", "Accepted", says)


def _balance(account: Mapping[str, Any]) -> Markup:
    parts = [
        ("accepted", "pass", "Accepted"),
        ("quarantined", "fail", "Quarantined"),
        ("duplicates", "warn", "Duplicates"),
    ]
    read = account["rows_read"]
    stripe = tag(
        "div",
        *(tag("span", style=f"flex:{account[key]}", class_=tone) for key, tone, _ in parts if account[key]),
        class_="share",
        aria_hidden="true",
    )
    numbers = [
        (label, join([count(account[key]), unit(percent(account[key] / read if read else 0))]))
        for key, _, label in parts
    ]
    total = sum(account[key] for key, _, _ in parts)
    sum_of = f"{' + '.join(count(account[key]) for key, _, _ in parts)} = {count(total)}"
    note = f"Every row is accounted for: {sum_of} rows read."
    if total != read:
        note = f"The account does not add up: {sum_of}, but {count(read)} rows were read."
    return section("Rows", stripe, facts([*numbers, ("Read", count(read))]), note=note)


def _reasons(reasons: Mapping[str, int]) -> Markup | None:
    if not reasons:
        return None
    ranked = sorted(reasons.items(), key=lambda item: -item[1])
    shown = [(text(reason), float(times), count(times)) for reason, times in ranked[:_MOST_REASONS]]
    more = f"{count(len(ranked) - _MOST_REASONS)} rarer reasons are not shown." if len(ranked) > _MOST_REASONS else None
    return section(
        "Why rows were quarantined", charts.ranking(shown, ("Reason", "Values")), more and tag("p", more, class_="note")
    )


def _columns(columns: Mapping[str, Mapping[str, Any]]) -> Markup:
    rows = [
        (
            join([name(key), unit(column["kind"])]),
            percent(column["missing"] / column["rows"] if column["rows"] else None),
            _distribution(key, column),
            _summary(column),
        )
        for key, column in columns.items()
    ]
    heads = ("Column", "Missing", "Distribution", "Values")
    note = "Of the accepted rows. The outermost bars of a number's distribution hold all that lies beyond them."
    return section(f"{count(len(rows))} columns", table(heads, rows, "lr", most=_MOST_COLUMNS), note=note)


def _distribution(key: str, column: Mapping[str, Any]) -> Markup | None:
    heights = even_bins(column) if column["kind"] == "numeric" else _levels(column)
    return charts.bars(heights, f"Distribution of {key[:40]}") if heights else None


def _levels(column: Mapping[str, Any]) -> list[float]:
    ranked = [float(n) for n in (column.get("counts") or {}).values()]
    rest = sum(ranked[_BINS - 1 :]) + column.get("other", 0)
    return [*ranked[: _BINS - 1], rest] if rest else ranked


def even_bins(column: Mapping[str, Any]) -> list[float]:
    """Even bins between the 1 % and the 99 % point; a bin of the sketch is spread evenly over those it meets."""
    edges, counts = column["edges"], column["counts"]
    if len(edges) <= _BINS and column["atoms"] == "all":
        return [float(n) for n in counts]
    reached = list(accumulate(counts))
    low, high = (next(e for e, r in zip(edges, reached, strict=True) if r >= q * reached[-1]) for q in (0.01, 0.99))
    if low == high:
        low, high = column["min"], column["max"]
    if not math.isfinite(high - low) or low >= high:
        return []
    atoms = set(range(len(edges))) if column["atoms"] == "all" else set(column["atoms"])
    places = [min(float(_BINS), max(0.0, (edge - low) / (high - low) * _BINS)) for edge in edges]
    heights, before = [0.0] * _BINS, 0.0
    for i, (end, rows) in enumerate(zip(places, counts, strict=True)):
        start = end if i in atoms else before
        for place in range(min(int(start), _BINS - 1), min(int(end), _BINS - 1) + 1):
            part = (min(end, place + 1) - max(start, place)) / (end - start) if end > start else 1.0
            heights[place] += rows * part
        before = end
    return heights


def _summary(column: Mapping[str, Any]) -> object:
    present = column["rows"] - column["missing"] - column.get("infinite", 0)
    if present <= 0:
        return "no value"
    if column["kind"] == "datetime":
        return f"{moment(column['min'])} to {moment(column['max'])}"
    if column["kind"] == "numeric":
        spread = finite(column["variance"])
        around = f"mean {number(column['mean'])}" + ("" if spread is None else f", sd {number(math.sqrt(spread))}")
        infinite = f"; {count(column['infinite'])} infinite" if column["infinite"] else ""
        return join([f"{number(column['min'])} to {number(column['max'])}", unit(around + infinite)])
    levels = list(column["counts"].items())
    top = [join([text(level, 40), f" {percent(n / present)}"]) for level, n in levels[:3]]
    more = len(levels) - 3
    rest = f"and {count(more)} more" + (", and rarer ones" if column["other"] else "")
    return join([join(top, " · "), unit(rest) if more > 0 else None])


def _rows(quarantine: Sequence[Mapping[str, Any]], quarantined: int) -> Markup:
    rows = [
        (
            count(entry["row"]),
            name(entry["column"] or NOTHING),
            NOTHING if entry["value"] is None else tag("code", text(entry["value"], 120)),
            entry["reason"],
        )
        for entry in quarantine
    ]
    note = f"The first {count(len(rows))} findings, of {count(quarantined)} rows; all are in quarantine/part-0.parquet."
    return section(
        "Quarantined rows", table(("Row", "Column", "Value", "Reason"), rows, most=_MOST_ROWS, narrow=True), note=note
    )
