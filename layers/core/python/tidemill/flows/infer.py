"""Infer: the endpoint's service, with its models in memory and its captures in the bucket."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tidemill.aws.paths import version_prefix
from tidemill.aws.registry import Champion
from tidemill.aws.stores import Stores
from tidemill.encoding import LARGEST
from tidemill.errors import InvalidRequest, ModelIncompatible, NotFound, StoreUnavailable
from tidemill.flows.captures import Captures, Record
from tidemill.stages.classes import class_name
from tidemill.stages.serve import Answers, Row, ServedModel, written_as

FRESH = 5.0
"""Seconds for which the champion pointer is believed before it is read again."""

Count = Callable[[str, float, str], None]


@dataclass
class _Loaded:
    champion: Champion
    model: ServedModel
    read_at: datetime


@dataclass
class Endpoint:
    """Implements `tidemill.stages.http.Service`. `count(name, value, model)` reports a metric."""

    stores: Stores
    clock: Callable[[], datetime]
    count: Count
    _loaded: dict[str, _Loaded] = field(default_factory=dict)

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
        loaded = self._serving(name)
        schema = loaded.model.schema
        return {
            "model": name,
            "version": loaded.model.version,
            "since": loaded.champion.since,
            "task": schema.task,
            "target": {
                "name": schema.target.name,
                "kind": schema.target.kind,
                "classes": list(schema.classes),
                **written_as(schema.target),
            },
            "fields": loaded.model.fields(),
        }

    def predict(self, name: str, rows: Sequence[Row], request: str) -> dict[str, Any]:
        model = self._serving(name).model
        answers = model.predict(rows, request)
        self._capture(name, "predictions", request, _records(answers, model.version, self.clock()))
        self.count("Predictions", len(rows), name)
        reply: dict[str, Any] = {
            "model": name,
            "version": model.version,
            "predictions": [answer.to_json() for answer in answers.answers],
        }
        if answers.warnings:
            reply["warnings"] = answers.warnings
        return reply

    def label(self, name: str, labels: Sequence[Row], request: str) -> dict[str, Any]:
        """Labels are kept as they come and joined by id when a check or a retrain reads them."""
        model = self._serving(name).model
        problems = [problem for i, entry in enumerate(labels) for problem in _label_problems(i, entry, model)]
        if problems:
            raise InvalidRequest(problems[:20])
        time = self.clock().isoformat()
        records = [{"id": str(entry["id"]), "label": entry["label"], "time": time} for entry in labels]
        if not self._capture(name, "labels", request, records):
            raise StoreUnavailable("the labels could not be stored: send them again")
        self.count("Labels", len(labels), name)
        return {"model": name, "accepted": len(labels)}

    def _capture(self, name: str, kind: str, request: str, records: list[Record]) -> bool:
        """A reply never fails because its capture did; what is lost is counted."""
        try:
            Captures(self.stores.captures).write(kind, name, self.clock(), request, records)
        except StoreUnavailable:
            self.count("CaptureLost", len(records), name)
            return False
        return True

    def _serving(self, name: str) -> _Loaded:
        """The champion in memory. When the pointer or the new artifacts are bad, the last good one goes on."""
        loaded, now = self._loaded.get(name), self.clock()
        if loaded and (now - loaded.read_at).total_seconds() < FRESH:
            return loaded
        try:
            fresh = self._load(name, loaded, now)
        except (StoreUnavailable, ModelIncompatible, NotFound):
            if loaded is None:
                raise
            self.count("Degraded", 1, name)
            loaded.read_at = now
            return loaded
        self._loaded[name] = fresh
        return fresh

    def _load(self, name: str, loaded: _Loaded | None, now: datetime) -> _Loaded:
        champion = self.stores.registry.champion(name)
        if champion is None:
            raise NotFound(f"model {name!r} does not exist, or has no champion yet")
        if loaded and loaded.champion.version == champion.version:
            return _Loaded(champion, loaded.model, now)
        prefix = version_prefix(name, champion.version)
        models = self.stores.models
        served = ServedModel(
            models.get_json(f"{prefix}manifest.json"),
            models.get(f"{prefix}model.onnx"),
            models.get(f"{prefix}golden.json"),
        )
        return _Loaded(champion, served, now)


def _records(answers: Answers, version: int, moment: datetime) -> list[Record]:
    return [
        {
            "id": answer.id,
            "time": moment.isoformat(),
            "version": version,
            "row": answer.captured,
            "prediction": answer.prediction,
            "probabilities": answer.probabilities,
        }
        for answer in answers.answers
    ]


def _label_problems(place: int, entry: Row, model: ServedModel) -> list[str]:
    problems = []
    if not isinstance(entry.get("id"), str | int) or isinstance(entry.get("id"), bool):
        problems.append(f"labels[{place}].id must be the id of a prediction")
    label, schema = entry.get("label"), model.schema
    if schema.task == "regression":
        if isinstance(label, bool) or not isinstance(label, int | float) or not -LARGEST <= label <= LARGEST:
            problems.append(f"labels[{place}].label must be a number, as {schema.target.name!r} is")
    elif class_name(label, schema.target) not in schema.classes:
        known = ", ".join(schema.classes[:10])
        problems.append(f"labels[{place}].label must be one of {known}, not {label!r}")
    return problems
