"""Infer: the endpoint's service, with its models in memory and its captures in the bucket."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tidemill.aws import lines
from tidemill.aws.stores import Serving
from tidemill.errors import InvalidRequest, StoreUnavailable, TidemillError, TooLarge
from tidemill.flows.captures import Captures
from tidemill.flows.champions import Champions, Served, Start, start_thread
from tidemill.stages import wire
from tidemill.stages.captured import Batch, Record, batch_of, lines_of, records_of, refusal_of, rows_of
from tidemill.stages.classes import label_problem
from tidemill.stages.rows import Row
from tidemill.stages.serve import Answers, InvalidRows, ServedModel, written_as

if TYPE_CHECKING:
    from tidemill.stages.contract import Contract
    from tidemill.stages.http import Page

Count = Callable[[str, float, str], None]
Sink = Callable[[Batch], int]
"""Takes a request's rows on their way to the capture bucket; how many of them are kept."""


@dataclass
class Endpoint:
    """Implements `tidemill.stages.http.Service`. `count(name, value, model)` reports a metric, `tell(level, message)`
    writes to the log. For `start` see `Champions`."""

    stores: Serving
    clock: Callable[[], datetime]
    count: Count
    tell: Callable[[str, str], None] = lines.tell
    start: Start = start_thread
    _champions: Champions = field(init=False)
    _sink: Sink = field(init=False)

    def __post_init__(self) -> None:
        self._champions = Champions(self.stores, self.clock, self._degraded, self.start)
        self._sink = _write_lines if self.stores.capture == "log" else self._store

    def models(self) -> list[dict[str, Any]]:
        """Every model that a run was ever claimed for; `version` is null while none serves."""
        listed = []
        for name in self.stores.registry.models():
            champion = self.stores.registry.champion(name)
            listed.append(
                {
                    "model": name,
                    "version": champion.version if champion else None,
                    "since": champion.since if champion else None,
                }
            )
        return listed

    def model(self, name: str) -> dict[str, Any]:
        served = self._champions.of(name)
        schema = served.model.schema
        return {
            "model": name,
            "version": served.model.version,
            "since": served.champion.since,
            "task": schema.task,
            "target": {
                "name": schema.target.name,
                "kind": schema.target.kind,
                "classes": list(schema.classes),
                **written_as(schema.target),
            },
            "fields": served.model.fields(),
            **_said(degraded=served.degraded),
        }

    def predict(self, name: str, rows: Sequence[Row], request: str, *, explain: bool = False) -> dict[str, Any]:
        served = self._champions.of(name)
        try:
            return self._predict(served, name, rows, request, explain=explain)
        except (InvalidRequest, RecursionError) as error:
            self._refused(name, served.model.version, len(rows), request, error)
            raise

    def refused(self, name: str, request: str, error: Exception) -> None:
        """Counts as one row; nothing is loaded for its sake."""
        try:
            version = self._champions.version(name)
        except StoreUnavailable as away:
            self.tell("WARNING", str(away))
            return
        if version is not None:
            self._refused(name, version, 1, request, error)

    def _predict(
        self, served: Served, name: str, rows: Sequence[Row], request: str, *, explain: bool
    ) -> dict[str, Any]:
        model = served.model
        answers = model.predict(rows, request)
        replies = answers.to_json()
        if explain:
            explained = self._explain(served, rows, answers)
            replies = [reply | {"explanation": each} for reply, each in zip(replies, explained, strict=True)]
        self._capture(batch_of(answers, name, model.version, request, self.clock()))
        self.count("Predictions", len(rows), name)
        return {
            "model": name,
            "version": model.version,
            "predictions": replies,
            **_said(warnings=answers.warnings, degraded=served.degraded),
        }

    def label(self, name: str, labels: Sequence[Row], request: str) -> dict[str, Any]:
        """Labels are kept as they come and joined by id when a check or a retrain reads them."""
        model = self._champions.of(name).model
        problems = [problem for i, entry in enumerate(labels) for problem in _label_problems(i, entry, model)]
        if problems:
            raise InvalidRequest(problems[:20])
        time = self.clock().isoformat()
        records = [{"id": str(entry["id"]), "label": entry["label"], "time": time} for entry in labels]
        if not self._put("labels", name, request, records):
            raise StoreUnavailable("the labels could not be stored: send them again")
        self.count("Labels", len(labels), name)
        return {"model": name, "accepted": len(labels)}

    def contract(self, name: str) -> "Contract":
        from tidemill.stages.contract import Contract  # noqa: PLC0415 a prediction needs none of it

        model = self._champions.of(name).model
        return Contract(name, model.version, model.schema)

    def openapi(self) -> dict[str, Any]:
        from tidemill.flows import described  # noqa: PLC0415 a prediction needs none of it

        return described.openapi(self.stores, self.tell)

    def docs(self) -> "Page":
        from tidemill.reports import docs  # noqa: PLC0415 a prediction needs none of it

        return docs.page()

    def _explain(self, served: Served, rows: Sequence[Row], answers: Answers) -> list[dict[str, Any]]:
        if served.explainer is None:
            # No prediction waits for the import of what few ask for.
            from tidemill.flows.explainers import load  # noqa: PLC0415

            served.explainer = load(self.stores.models, served.model)
        return served.explainer.explain(rows, answers.matrix)

    def _refused(self, name: str, version: int, rows: int, request: str, error: Exception) -> None:
        """All rows of the request, since none is answered."""
        self._capture(refusal_of(rows, _problems(error), name, version, request, self.clock()))
        self.count("Refused", rows, name)

    def _capture(self, batch: Batch) -> None:
        """A reply never fails because its capture did; what is lost is counted."""
        try:
            lost = rows_of(batch) - self._sink(batch)
        except ValueError:
            # JSON has 1e400, and no reader of a capture does; as a feature's value it was refused before.
            raise InvalidRequest("the body has a number that is too large to be kept: send it as text") from None
        if lost:
            self.count("CaptureLost", lost, batch["model"])

    def _store(self, batch: Batch) -> int:
        stored = self._put(batch["kind"], batch["model"], batch["request"], records_of(batch))
        return rows_of(batch) if stored else 0

    def _put(self, kind: str, name: str, request: str, records: Sequence[Record]) -> bool:
        try:
            Captures(self.stores.captures).write(kind, name, request, records)
        except StoreUnavailable as error:
            self.tell("WARNING", str(error))
            return False
        return True

    def _degraded(self, name: str, error: TidemillError) -> None:
        self.tell("WARNING", f"the last good version of {name} goes on: {type(error).__name__}: {error}")
        self.count("Degraded", 1, name)


def _write_lines(batch: Batch) -> int:
    kept = 0
    for count, line in lines_of(batch, wire.write):
        lines.write(line)
        kept += count
    return kept


def _problems(error: Exception) -> Sequence[tuple[str, str]]:
    """As `refusal_of` takes them."""
    if isinstance(error, InvalidRows):
        return error.kinds
    return [("", "too_large" if isinstance(error, TooLarge) else "unusable")]


def _said(**facts: Any) -> Mapping[str, Any]:
    """What a reply has only where there is something to say."""
    return {name: value for name, value in facts.items() if value}


def _label_problems(place: int, entry: Row, model: ServedModel) -> list[str]:
    problems = []
    if not isinstance(entry.get("id"), str | int) or isinstance(entry.get("id"), bool):
        problems.append(f"labels[{place}].id must be the id of a prediction")
    if problem := label_problem(entry.get("label"), model.schema):
        problems.append(f"labels[{place}].label {problem}")
    return problems
