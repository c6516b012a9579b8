"""What the endpoint refused in a window: a producer that renamed a field leaves no prediction to judge it by."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tidemill.names import Kind
from tidemill.schema import Schema
from tidemill.stages.captured import Record
from tidemill.stages.feed import FeedProblem

SHARE = 0.1
"""Of a window's rows: from more refused ones on, those that were answered do not speak for it."""
BODY = "the body"
_TOLD = 3
_NO: Mapping[Kind, str] = {
    "numeric": "no usable number",
    "boolean": "neither true nor false",
    "categorical": "no text",
    "datetime": "no usable date",
}


@dataclass(frozen=True, slots=True)
class Refused:
    """`rows` of the requests in which `field` had this problem: absent, null, unusable or too_large. "" is the body."""

    field: str
    problem: str
    sentence: str
    requests: int
    rows: int


@dataclass(frozen=True, slots=True)
class Refusals:
    """Of one version. A request is refused whole, so `rows` has its good ones too; it is one row where none could be
    read. `problems`: that of the most rows first, without up to `more` of one request; `others`: rows that other
    versions refused, by version."""

    requests: int = 0
    rows: int = 0
    problems: Sequence[Refused] = ()
    more: int = 0
    others: Mapping[int, int] = field(default_factory=dict)

    def sentence(self, answered: int) -> str:
        """Empty where none was refused."""
        if not self.rows:
            return ""
        told = [f"{one.sentence} ({_counted(one.rows, 'row')})" for one in self.problems[:_TOLD]]
        hidden = len(self.problems) - _TOLD
        more = [f"and {_counted(hidden, 'problem')} more"] if hidden > 0 else []
        of = f"{self.rows:,} of {_counted(self.rows + answered, 'row')}"
        return f"{of} refused, in {_counted(self.requests, 'request')}: {', '.join([*told, *more])}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "others": {str(version): rows for version, rows in self.others.items()}}


def refusals(records: Iterable[Record], version: int, schema: Schema) -> Refusals:
    """Of what was captured in a window."""
    requests, rows, others = Counter[tuple[str, str]](), Counter[tuple[str, str]](), Counter[int]()
    count = total = more = 0
    for record in records:
        if record["version"] != version:
            others[record["version"]] += record["rows"]
            continue
        count, total, more = count + 1, total + record["rows"], max(more, record["more"])
        for name, problem in record["problems"]:
            requests[name, problem] += 1
            rows[name, problem] += record["rows"]
    kinds = {column.name: column.kind for column in schema.columns}
    found = [
        Refused(name, problem, _sentence(name, problem, kinds), requests[name, problem], of)
        for (name, problem), of in rows.most_common()
    ]
    return Refusals(count, total, found, more, others)


def refused_feed(found: Refusals, answered: int, needed: int) -> FeedProblem | None:
    """None where fewer rows than `needed` were refused, or a smaller share than is beyond a single caller's mistake."""
    if found.rows < needed or found.rows <= SHARE * (found.rows + answered):
        return None
    remedy = (
        "let the producer send the fields as the model has them, or upload data of the new form, so that a version "
        "learns it"
    )
    return FeedProblem(found.problems[0].field or BODY, "refused", f"{found.sentence(answered)}; {remedy}")


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _sentence(name: str, problem: str, kinds: Mapping[str, Kind]) -> str:
    if not name:
        return "the request is too large" if problem == "too_large" else f"{BODY} cannot be used"
    if problem == "unusable":
        return f"{name} is {_NO[kinds[name]] if name in kinds else 'no such value'}"
    return f"{name} is {problem}"
