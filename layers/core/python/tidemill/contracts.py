"""What crosses a state boundary: the events of the two state machines, read and written in one place."""

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Literal

from tidemill.errors import InvalidSpec, InvalidUpload
from tidemill.names import model_name

Status = Literal["running", "promoted", "rejected", "duplicate", "invalid", "failed"]
FINAL: frozenset[Status] = frozenset({"promoted", "rejected", "duplicate", "invalid", "failed"})
"""Statuses that a run keeps; a run is `running` until then."""

UPLOADS = "uploads/"
BATCH = "batch/"
BY_HAND = "by hand"
"""What the source of a run begins with that a person ordered."""


@dataclass(frozen=True)
class Upload:
    """One version of one uploaded object: what S3 says it wrote, whatever replaced it since."""

    bucket: str
    key: str
    version_id: str
    size: int

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> "Upload":
        """Takes S3's "Object Created" as EventBridge delivers it."""
        detail = event["detail"]
        entry = detail["object"]
        return cls(detail["bucket"]["name"], entry["key"], entry.get("version-id", ""), int(entry.get("size", 0)))

    @property
    def model(self) -> str:
        """The folder under `uploads/` or `batch/`; empty where there is none."""
        return self._place[0]

    @property
    def path(self) -> str:
        """Below the model's folder."""
        return self._place[1]

    @property
    def _place(self) -> tuple[str, str]:
        top = BATCH if self.key.startswith(BATCH) else UPLOADS
        model, slash, path = self.key.removeprefix(top).partition("/")
        return (model, path) if slash else ("", model)

    def check(self) -> None:
        """Raises `InvalidUpload` for a key that names no model that could exist, or no file."""
        top = BATCH if self.key.startswith(BATCH) else UPLOADS
        if not self.key.startswith(top) or not self.model or not self.path:
            raise InvalidUpload(f"{self.key} is not under {top}MODEL/: upload to {top}MODEL/FILE")
        try:
            model_name(self.model)
        except InvalidSpec as error:
            raise InvalidUpload(f"{self.key}: {error}") from None

    @property
    def is_folder(self) -> bool:
        return self.key.endswith("/") and not self.size

    @property
    def name(self) -> str:
        return self.key.rsplit("/", 1)[-1]

    @property
    def run(self) -> str:
        """The same delivery twice is the same run."""
        return run_id(self.bucket, self.key, self.version_id)


@dataclass(frozen=True)
class Order:
    """A retrain that a check asked for; with `who`, a person, whose order has a name of its own for `check`."""

    check: str
    reason: str
    who: str = ""

    @property
    def source(self) -> str:
        return f"{BY_HAND} of {self.who}" if self.who else f"check {self.check}"


@dataclass(frozen=True)
class Start:
    """How a pipeline execution begins: by an upload, or by the monitoring machine's order."""

    model: str
    run: str
    upload: Upload | None = None
    order: Order | None = None

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> "Start":
        """Takes S3's "Object Created" as EventBridge delivers it, or `{"model", "check", "reason", "who"?}`."""
        if "check" in event:
            order = Order(event["check"], event["reason"], event.get("who", ""))
            return cls(event["model"], retrain_run(event["model"], order.check), order=order)
        upload = Upload.from_event(event)
        return cls(upload.model, upload.run, upload=upload)


@dataclass(frozen=True)
class LogBatch:
    """What the subscription of a log delivers: lines of one stream. A redelivery has the same `id`."""

    id: str
    lines: Sequence[str]

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> "LogBatch":
        """Takes CloudWatch's "awslogs"; the message by which it looks whether anybody is there has no lines."""
        document = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
        events = document["logEvents"] if document["messageType"] == "DATA_MESSAGE" else []
        name = "\0".join([document["logGroup"], document["logStream"], *(entry["id"] for entry in events[:1])])
        return cls(hashlib.sha256(name.encode()).hexdigest()[:16], [entry["message"] for entry in events])


@dataclass(frozen=True)
class Claimed:
    """The pipeline's state after Claim; every later state adds its own result beside these.

    `ignored`: the empty object that the S3 console makes for a folder, or a key that names no possible model.
    """

    model: str
    run: str
    status: Literal["claimed", "duplicate", "ignored"]
    upload: Upload | None = None
    order: Order | None = None

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> "Claimed":
        upload, order = event.get("upload"), event.get("order")
        return cls(
            event["model"],
            event["run"],
            event["status"],
            Upload(**upload) if upload else None,
            Order(**order) if order else None,
        )

    def to_event(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Prepared:
    """The data set of a run, or why there is none: `duplicate` when its content was trained on before, `invalid` when
    the sender must act. That is an answer and not an error: no alarm rings for a file with a mistake in it."""

    status: Literal["ready", "duplicate", "invalid"]
    dataset: str = ""
    candidates: Sequence[str] = ()
    rows: int = 0
    held_out: int = 0
    report: str = ""
    reasons: Sequence[str] = ()

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> "Prepared":
        return cls(**event)

    def to_event(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class TrainRequest:
    """One branch of the Map."""

    model: str
    run: str
    dataset: str
    candidate: str

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> "TrainRequest":
        return cls(event["model"], event["run"], event["dataset"], event["candidate"])


@dataclass(frozen=True)
class Candidate:
    """What a branch hands on: where its artifacts are, how it scored, and the seconds that it took; `failed` says why
    there are none."""

    candidate: str
    prefix: str = ""
    score: float | None = None
    failed: str = ""
    seconds: float = 0.0

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> "Candidate":
        if "error" in event:
            return cls(event["candidate"], failed=describe_error(event["error"]))
        return cls(**event)

    def to_event(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class ValidateRequest:
    """The pipeline's state after Train."""

    model: str
    run: str
    prepared: Prepared
    candidates: Sequence[Candidate]

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> "ValidateRequest":
        return cls(
            event["model"],
            event["run"],
            Prepared.from_event(event["prepared"]),
            [Candidate.from_event(entry) for entry in event["candidates"]],
        )


@dataclass(frozen=True)
class Judged:
    """The gate's verdict on a version, against the champion that it was compared with (None: the first)."""

    version: int
    promote: bool
    champion: int | None
    report: str
    reasons: Sequence[str]

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> "Judged":
        return cls(**event)

    def to_event(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Outcome:
    """How a run ended, in words; what Notify records and tells. `champion`: the version that stays, of a run whose own
    was not better; `seconds`: what the candidates trained, added up; `cut_off`: nobody but Step Functions knows that it
    ended; `ordered`: by a check or a person, and not begun by an upload.
    """

    model: str
    run: str
    status: Status
    version: int | None = None
    reasons: Sequence[str] = ()
    report: str = ""
    champion: int | None = None
    seconds: float = 0.0
    cut_off: bool = False
    ordered: bool = False

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> "Outcome":
        """Reads the pipeline's state, whichever way it came to its end; or Step Functions' "Execution Status Change" of
        an execution that was ended from outside."""
        if "detail" in event:
            start = Start.from_event(json.loads(event["detail"]["input"]))
            reason = f"the execution ended as {event['detail']['status']} before the pipeline did"
            ordered = start.order is not None
            return cls(start.model, start.run, "failed", reasons=[reason], cut_off=True, ordered=ordered)
        ended = partial(cls, event["model"], event["run"], ordered=bool(event.get("order")))
        prepared, judged = event.get("prepared", {}), event.get("judged", {})
        report = judged.get("report") or prepared.get("report", "")
        seconds = sum(Candidate.from_event(entry).seconds for entry in event.get("candidates", ()))
        if "error" in event:
            reasons = [describe_error(event["error"])]
            return ended("failed", judged.get("version"), reasons, report, seconds=seconds)
        if prepared["status"] != "ready":
            return ended(prepared["status"], None, prepared["reasons"], report)
        version, reasons = judged["version"], judged["reasons"]
        if judged["promote"]:
            return ended("promoted", version, reasons, report, seconds=seconds)
        return ended("rejected", version, reasons, report, judged["champion"], seconds)

    def to_event(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Window:
    """A span of time, start included, end not; ISO 8601 in UTC."""

    start: str
    end: str


@dataclass(frozen=True)
class CheckRequest:
    """One branch of the monitoring machine's Map. Without a window: the spec's, up to `at`.

    `at` is when the execution listed its models, so that a repeated check is the same check. `backfill`: the window is
    one that the schedule would have had.
    """

    model: str
    at: str
    window: Window | None = None
    backfill: bool = False

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> "CheckRequest":
        window = event.get("window")
        return cls(event["model"], event["at"], Window(**window) if window else None, event.get("backfill", False))

    @property
    def by_hand(self) -> bool:
        """A person's own window, which may be any: it is looked at, and no other check goes by it."""
        return self.window is not None and not self.backfill


Action = Literal["quiet", "note", "quarantine", "retrain"]


@dataclass(frozen=True)
class Checked:
    """What a check decided, for the monitoring machine's Choice and the notice. `measures` are of the present: a past
    window has none."""

    model: str
    check: str
    action: Action
    verdict: str
    reason: str
    report: str = ""
    notice: str = ""
    measures: Mapping[str, float] = field(default_factory=dict)

    def to_event(self) -> dict[str, Any]:
        return asdict(self)


def describe_error(error: Mapping[str, str]) -> str:
    """A caught error of a state machine, `{"Error", "Cause"}`, as one sentence."""
    cause = error.get("Cause", "")
    try:
        document = json.loads(cause)
    except ValueError:
        document = None
    message = document.get("errorMessage", cause) if isinstance(document, dict) else cause
    return f"{error['Error']}: {message}"


def retrain_run(model: str, check: str) -> str:
    """The run that a check, or a person's order, starts."""
    return run_id("check", model, check)


def run_id(*parts: str) -> str:
    """Content-derived, so that a repeated event is the same run."""
    return "r-" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
