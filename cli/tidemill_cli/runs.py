"""Runs of the pipeline as the command tells of them, and waiting for one with the truth about where it is."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from tidemill.aws.registry import Item
from tidemill.contracts import FINAL
from tidemill.errors import NotFound
from tidemill_cli.cloud import Target
from tidemill_cli.console import Console, Result, Table, Update

Seen = TypeVar("Seen")

_DOING = {
    "Claim": "claiming the run",
    "Prepare": "reading and cleaning the data",
    "TrainCandidates": "training candidates",
    "Validate": "comparing with the champion",
    "Deploy": "moving the champion",
    "Notify": "recording the outcome",
}
_EXIT_CODES = {"invalid": 3, "failed": 1}


@dataclass(frozen=True)
class Run:
    """One run as the registry has it; `pending` until it has ended."""

    model: str
    run: str
    status: str = "pending"
    version: int | None = None
    reasons: Sequence[str] = ()
    report: str | None = None
    started: str | None = None
    finished: str | None = None
    source: str = ""
    execution: str = ""

    @classmethod
    def of(cls, model: str, item: Item) -> "Run":
        facts = plain(item)
        status = str(facts["status"])
        return cls(
            model,
            str(facts["run"]),
            "pending" if status == "running" else status,
            facts.get("version"),
            facts.get("reasons", []),
            facts.get("report"),
            facts.get("started"),
            facts.get("finished"),
            facts.get("source", ""),
            facts.get("execution", ""),
        )

    def document(self, target: Target) -> dict[str, Any]:
        return {
            "model": self.model,
            "run": self.run,
            "status": self.status,
            "version": self.version,
            "reasons": list(self.reasons),
            "report": target.uri(self.report),
        }

    def result(self, target: Target) -> Result:
        """A rejected candidate is a result; an upload that cannot be used, or a run that failed, is a problem."""
        document = self.document(target)
        words = {
            **document,
            "version": self.version,
            "reasons": "; ".join(self.reasons),
            "report": self.hint(),
        }
        table = Table((), [(name, value) for name, value in words.items() if name != "model"], self.model)
        code = _EXIT_CODES.get(self.status, 0)
        return Result(document, [table], code, "; ".join(self.reasons) if code else "")

    def hint(self) -> str:
        """The command that shows more, once there is more."""
        if self.status == "pending":
            return f"tidemill runs {self.model} tells when it has ended"
        return f"tidemill report {self.model} --run {self.run}" if self.report else ""


def plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """A registry item without its keys."""
    return {name: value for name, value in item.items() if name not in ("pk", "sk")}


@dataclass(frozen=True)
class Waiting:
    """How a wait passes its time; a test passes it faster."""

    seconds: float = 7200.0
    every: float = 1.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def until(self, done: Callable[[Seen], bool], look: Callable[[], Seen]) -> Seen:
        """What was seen when it was done, or when the time was up."""
        end = self.clock() + self.seconds
        while True:
            seen, left = look(), end - self.clock()
            if done(seen) or left <= 0:
                return seen
            self.sleep(min(self.every, left))


def wait(target: Target, model: str, run: str, console: Console, waiting: Waiting) -> Run:
    """The run when it has ended, or as it is when the time is up. Says which state the pipeline is in."""
    with console.progress(f"{run}: waiting for the pipeline to start") as update:
        return waiting.until(lambda seen: seen.status in FINAL, lambda: _look(target, model, run, update))


def _look(target: Target, model: str, run: str, update: Update) -> Run:
    try:
        found = Run.of(model, target.registry.run(model, run))
    except NotFound:
        return Run(model, run)
    if found.status in FINAL or not found.execution:
        return found
    try:
        execution = target.states.describe_execution(executionArn=found.execution)
        if execution["status"] == "RUNNING":
            update(f"{run}: {doing(_history(target, found.execution))}")
            return found
    except ClientError:
        # Progress is a courtesy: the registry alone says how a run ended.
        return found
    return _ended(target, found, execution)


def _ended(target: Target, run: Run, execution: Mapping[str, Any]) -> Run:
    """The execution is over: the registry was told in its last state, unless that is what failed."""
    found = Run.of(run.model, target.registry.run(run.model, run.run))
    if found.status in FINAL:
        return found
    why = f"the execution ended as {execution['status']}: {execution.get('error', '')} {execution.get('cause', '')}"
    return Run(run.model, run.run, "failed", found.version, [why.strip()], found.report)


def _history(target: Target, execution: str) -> list[dict[str, Any]]:
    pages = target.states.get_paginator("get_execution_history").paginate(
        executionArn=execution, includeExecutionData=False
    )
    return [event for page in pages for event in page["events"]]


def doing(events: Iterable[Mapping[str, Any]]) -> str:
    """The state that the pipeline is in; inside of its Map, how many candidates are done."""
    state, inside, total, done = "", False, 0, 0
    counted_by_map = False
    for event in events:
        kind = event["type"]
        if kind.endswith("StateEntered") and not inside:
            state = event["stateEnteredEventDetails"]["name"]
            inside, total, done = kind == "MapStateEntered", 0, 0
        elif kind == "MapStateStarted":
            counted_by_map, total = True, event["mapStateStartedEventDetails"]["length"]
        elif kind == "MapStateExited":
            inside = False
        elif inside and counted_by_map:
            done += kind in ("MapIterationSucceeded", "MapIterationFailed")
        elif inside:
            # The local cloud tells of the Map's tasks, and not of the Map.
            total += kind == "TaskScheduled"
            done += kind == "TaskSucceeded"
    if not state:
        return "starting"
    count = f", {done} of {total} done" if inside and total else ""
    return f"{state} ({_DOING[state]}{count})" if state in _DOING else state
