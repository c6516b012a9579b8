"""Notify: record how a run ended, and tell whoever subscribed when it matters to them."""

from datetime import datetime

from tidemill.aws.stores import Stores
from tidemill.contracts import Outcome

_SUBJECTS = {
    "promoted": "version {version} now serves",
    "rejected": "version {version} was not better",
    "duplicate": "a retrain had nothing new to learn from",
    "invalid": "an upload cannot be used",
    "failed": "a run failed",
}
_UNMADE = "a retrain could not be made"


def notify(outcome: Outcome, stores: Stores, now: datetime) -> Outcome:
    """Of an upload that is a duplicate nobody is told: nothing happened. Who ordered a run waits for its end. Of a run
    that was cut off after its outcome was recorded, that outcome stays."""
    facts = {
        "status": outcome.status,
        "reasons": list(outcome.reasons),
        "seconds": outcome.seconds,
        **({"report": outcome.report} if outcome.report else {}),
    }
    finish = stores.registry.cut_off_run if outcome.cut_off else stores.registry.finish_run
    if not finish(outcome.model, outcome.run, now, **facts):
        return outcome
    if outcome.status not in ("duplicate", "promoted"):
        # A promotion wrote its event in the same transaction as the champion.
        stores.registry.record(
            outcome.model,
            now,
            what=outcome.status,
            version=outcome.version,
            who="pipeline",
            why="; ".join(outcome.reasons),
            run=outcome.run,
        )
    if outcome.status != "duplicate" or outcome.ordered:
        invalid_order = outcome.status == "invalid" and outcome.ordered
        subject = _UNMADE if invalid_order else _SUBJECTS[outcome.status].format(version=outcome.version)
        lines = [f"Model {outcome.model}, run {outcome.run}: {outcome.status}.", *outcome.reasons]
        if outcome.status == "duplicate":
            lines.append("Nothing was trained, for it would be the same model again: the version that serves goes on.")
            lines.append("What to do: send labels or upload newer data.")
        if outcome.champion:
            lines.append(f"Version {outcome.champion} goes on serving.")
        if outcome.report:
            lines.append(f"Report: {outcome.report} (tidemill report {outcome.model} --run {outcome.run})")
        stores.notices.publish(f"Tidemill: {outcome.model}: {subject}", "\n".join(lines))
    return outcome
