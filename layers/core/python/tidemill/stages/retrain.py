"""Retrain: what a check's findings call for, and whether the governor lets it happen.

broken feed                                     quarantine: tell, never retrain
performance dropped, measured or estimated      retrain, if there is something new to learn from; else tell
drift of what the model does not go by          note
drift with performance shown fine, in this
window or in ones with the same drift           note
drift that is not yet persistent                note
drift that persists, where labels will judge    note
drift that persists, where no labels come       retrain, if there is something new to learn from; else tell
nothing, or too few rows to say                 quiet

For a month after a retrain that was rejected, as many labels must be new as it was judged on, or as judge by
themselves if those are fewer, and twice as many for each that was rejected before it; until then: tell.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Literal

from tidemill.contracts import BY_HAND, Action
from tidemill.limits import LONGEST_RUN
from tidemill.spec import Monitor, Retrain
from tidemill.stages.schedule import disjoint

if TYPE_CHECKING:
    from tidemill.stages.feed import FeedProblem

IMPORTANT = 0.05
"""Share of the model's importance that the drifted columns must hold for their drift to be more than a note."""
ALIKE = 1.5
"""Up to so many times as much as in a window which labels showed fine, drift is the same, and what looks broken too."""
MONTH = timedelta(days=30)

MOST_CAUSES = 100
"""Of a broken feed that later checks remember one by one: a table may have thousands of columns."""

_MOST_DOUBLINGS = 10
_TOLD, _LONGEST = 10, 300
_UNIMPORTANT, _HARMLESS = "unimportant drift", "harmless drift"


@dataclass(frozen=True)
class Findings:
    """What one window showed. `problems` are those that break a feed; `drift` is the report's verdict, `weight` what
    drifted holds of the importance, `unproven` the same of what `unproven` leaves; `new_labels` and `new_uploads` are
    what a retrain could learn from beyond what was judged before. `in_vain`: how many labels must be new after retrains
    that were rejected, see `backed_off`; `labels_come`: labels have judged a window of late, so that they will judge
    this one."""

    problems: "Sequence[FeedProblem]"
    performance: str
    performance_sentence: str
    drift: str
    drift_sentence: str
    new_labels: int
    new_uploads: int
    weight: float = 1.0
    unproven: float = 1.0
    in_vain: int = 0
    labels_come: bool = False


@dataclass(frozen=True)
class Decision:
    """`tell`: whether a person should hear of it. `finding` names it for later checks, and `about` what it is told of:
    see `news`; of what has none, such as a retrain that starts, people hear each time."""

    action: Action
    reason: str
    tell: bool = False
    finding: str = ""
    about: Sequence[str] = ()


def triage(
    findings: Findings,
    past: Sequence[tuple[datetime, datetime, str]],
    window: tuple[datetime, datetime],
    monitor: Monitor,
    retrain: Retrain,
) -> Decision:
    """`past`: (start, end, evidence) of earlier checks of this champion, the newest first."""
    if findings.problems:
        return _quarantine(findings.problems)
    if findings.performance in ("dropped", "estimated_drop"):
        return _learn(findings.performance_sentence, findings, retrain)
    if findings.drift != "drift":
        return Decision("quiet", f"{findings.drift_sentence}; {findings.performance_sentence}")
    needed, windows = monitor.patience
    seen = persistence(past, window, windows)
    if min(findings.weight, findings.unproven) < IMPORTANT or findings.performance == "fine" or seen < needed:
        return _note(findings, f"seen in {seen} of the last {windows} windows, acted on from {needed}")
    if findings.labels_come:
        return Decision("note", f"{findings.drift_sentence}, and it persists: labels will tell whether it does harm")
    return _learn(f"{findings.drift_sentence}, and it persists", findings, retrain)


def _quarantine(problems: "Sequence[FeedProblem]") -> Decision:
    """The report has every problem; the reason goes into records and messages, which have a largest size."""
    sentences = [problem.sentence[:_LONGEST] for problem in problems[:_TOLD]]
    hidden = len(problems) - _TOLD
    more = [f"and {hidden:,} problems more"] if hidden > 0 else []
    causes = [problem.look[:_LONGEST] for problem in problems[:MOST_CAUSES]]
    reason = f"the feed looks broken: {'; '.join([*sentences, *more])}"
    return Decision("quarantine", reason, tell=True, finding="feed", about=causes)


def _note(findings: Findings, few: str) -> Decision:
    if findings.weight < IMPORTANT:
        little = f"they hold {findings.weight:.1%} of what the model goes by, acted on from {IMPORTANT:.0%}"
        return Decision("note", f"{findings.drift_sentence}; {little}", finding=_UNIMPORTANT)
    if findings.performance == "fine":
        return Decision("note", f"{findings.drift_sentence}, and yet {findings.performance_sentence}")
    if findings.unproven < IMPORTANT:
        alike = "as in past windows, which labels showed fine"
        return Decision("note", f"{findings.drift_sentence}, {alike}", finding=_HARMLESS)
    return Decision("note", f"{findings.drift_sentence}; {few}")


def _learn(why: str, findings: Findings, retrain: Retrain) -> Decision:
    if findings.new_uploads or findings.new_labels >= max(retrain.min_new_labels, findings.in_vain):
        return Decision("retrain", why, tell=True)
    if findings.new_labels >= retrain.min_new_labels:
        few = f"{findings.new_labels:,} labels are new since the last retrain, which brought nothing better"
        wait = f"the next one waits for {findings.in_vain:,}, or until a month has passed, or for `tidemill retrain`"
        sentence = f"{why}, but {few}: {wait}"
        return Decision("note", sentence, tell=True, finding="too little new", about=["too little new"])
    missing = f"send labels (at least {max(retrain.min_new_labels, findings.in_vain):,}) or upload newer data"
    sentence = f"{why}, but there is nothing new to learn from: {missing}"
    return Decision("note", sentence, tell=True, finding="nothing new", about=["nothing new"])


def evidence(check: Mapping[str, Any]) -> str:
    """What the registry's record of a check says of drift: of a broken feed nothing, of drift in what the model does
    not go by, or that is known to do no harm, that it was none."""
    if check["action"] == "quarantine":
        return "insufficient_data"
    return "no_drift" if check.get("finding") in (_UNIMPORTANT, _HARMLESS) else str(check["verdict"])


def shown_fine(checks: Sequence[Mapping[str, Any]]) -> Mapping[str, float]:
    """The largest effect of each column that drifted in windows which labels showed fine, since the last drop.
    `checks`: the registry's records of one version, the newest first."""
    found: dict[str, float] = {}
    for check in checks:
        if "dropped" in (check.get("performance"), check.get("together")):
            break
        if check.get("performance") == "fine":
            for name, effect in check.get("drifted", {}).items():
                found[name] = max(effect, found.get(name, 0.0))
    return found


def unproven(effects: Mapping[str, float], fine: Mapping[str, float]) -> list[str]:
    """Columns that drifted by more than they did where labels showed the model `fine`."""
    return [name for name, effect in effects.items() if effect > ALIKE * fine.get(name, 0.0)]


def persistence(past: Sequence[tuple[datetime, datetime, str]], window: tuple[datetime, datetime], windows: int) -> int:
    """In how many of the last `windows` disjoint windows, this one included, drift was found."""
    said = [(start, end, verdict) for start, end, verdict in past if verdict != "insufficient_data"]
    chosen = disjoint([(start, end) for start, end, _ in said], window)[: windows - 1]
    return 1 + sum(said[place][2] == "drift" for place in chosen)


@dataclass(frozen=True)
class PastRun:
    """A run of the model, the newest first in every list of them. `seconds`: what its candidates trained, added up."""

    started: datetime
    status: str
    retrain: bool
    finished: datetime | None = None
    seconds: float = 0.0
    version: int | None = None
    by_hand: bool = False

    def under_way(self, now: datetime) -> bool:
        return self.status == "running" and now - self.started < LONGEST_RUN

    def in_vain(self, now: datetime) -> bool:
        """A retrain that brought nothing better; so is one that never ended."""
        return self.retrain and self.status != "promoted" and not self.under_way(now)

    def spent(self, now: datetime) -> float:
        """Seconds, at least those that passed: of a candidate that failed nobody measured what it took."""
        end = self.finished or min(now, self.started + LONGEST_RUN)
        return max(self.seconds, (end - self.started).total_seconds())


@dataclass(frozen=True)
class Governor:
    """What the registry remembers of a model's retrains, beside its runs; times are ISO 8601 in UTC.

    `order` is the check, or the person's call, that ordered the last one. `paused` says why none is started, `forgiven`
    up to when those in vain do not count. `told` is the refusal that people heard of, `told_by` the check that said so.
    """

    order: str = ""
    ordered: str = ""
    paused: str = ""
    forgiven: str = ""
    told: str = ""
    told_by: str = ""


@dataclass(frozen=True)
class Refusal:
    """`why` says until when, and what a person may do. `news`: whether one hears of it; not of a run under way, which
    tells how it ended, nor of the cooldown after a check's own retrain in vain (`known`), which told its reasons."""

    kind: Literal["under_way", "paused", "breaker", "cooldown", "runs", "seconds"]
    why: str
    known: bool = False

    @property
    def opened(self) -> bool:
        return self.kind == "breaker"

    @property
    def news(self) -> bool:
        return self.kind != "under_way" and not self.known


@dataclass(frozen=True)
class Ruling:
    """`governor` is what is to be remembered of it."""

    allowed: bool
    governor: Governor
    why: str = ""
    tell: bool = False


def rule(model: str, governor: Governor, runs: Sequence[PastRun], check: str, policy: Retrain, now: datetime) -> Ruling:
    """May this check start a retrain? A check that is repeated gets the same answer; a refusal is told once, however
    many checks meet it."""
    if governor.order == check:
        return Ruling(True, governor)
    refused = refusal(model, governor, runs, policy, now)
    if refused is None:
        return Ruling(True, replace(governor, order=check, ordered=now.isoformat()))
    if not refused.news:
        return Ruling(False, governor, refused.why)
    # While a breaker is open, a try in vain is no news.
    since = [run.started.isoformat() for run in runs if (run.status == "promoted" if refused.opened else run.retrain)]
    told = f"{refused.kind} {governor.paused or (since or [''])[0]}{governor.forgiven if refused.opened else ''}"
    again = governor.told == told and governor.told_by != check
    heard = governor if again else replace(governor, told=told, told_by=check)
    return Ruling(False, heard, refused.why, tell=not again)


def refusal(model: str, governor: Governor, runs: Sequence[PastRun], policy: Retrain, now: datetime) -> Refusal | None:
    """One at a time, not while paused, breaker, cooldown doubled for each retrain in a row that was in vain, and the
    month's budget: a retrain starts while less than that was used. An open breaker lets one try through a month, since
    the world may have changed where nobody was looking."""
    if any(run.under_way(now) for run in runs):
        ended = f"`tidemill runs {model}` tells when it has ended"
        return Refusal("under_way", f"a run of this model is under way: {ended}")
    by_hand = f"`tidemill retrain {model} --reason TEXT` starts one at once"
    resume = f"`tidemill governor {model} --resume --reason TEXT`"
    if governor.paused:
        return Refusal("paused", f"retrains are paused ({governor.paused}) until somebody says {resume}; {by_hand}")
    in_a_row = in_vain_in_a_row(governor, runs, policy, now)
    retrains = [run for run in runs if run.retrain]
    held = _held(retrains, in_a_row, policy, now)
    if held is None:
        return None
    free = _passes(retrains, in_a_row, policy, now)
    until = f"a check may start the next one from {free:%Y-%m-%d %H:%M}Z on" if free else "no check starts one"
    sooner = f", or once a run is promoted, or somebody says {resume}" if free and held.opened else ""
    return replace(held, why=f"{held.why}; {until}{sooner}; {by_hand}")


def _held(retrains: Sequence[PastRun], in_a_row: int, policy: Retrain, now: datetime) -> Refusal | None:
    """By what passes by itself."""
    if in_a_row >= policy.breaker and now - retrains[0].started < MONTH:
        last = "the last retrain" if in_a_row == 1 else f"the last {in_a_row} retrains"
        return Refusal("breaker", f"{last} brought nothing better, and the breaker opens at {policy.breaker}")
    wait = _wait(in_a_row, policy)
    if retrains and (passed := now - retrains[0].started) < wait:
        between = f"the last retrain began {_ago(passed)} ago, and {_ago(wait)} must lie between"
        return Refusal("cooldown", between, known=retrains[0].in_vain(now) and not retrains[0].by_hand)
    return _beyond_budget(*used(retrains, now), policy)


def _passes(retrains: Sequence[PastRun], in_a_row: int, policy: Retrain, now: datetime) -> datetime | None:
    """When all that holds a retrain back has passed, if none begins before; None where a budget is nothing."""
    ends = [run.started + _wait(in_a_row, policy) for run in retrains[:1]] + [run.started + MONTH for run in retrains]
    return next((end for end in sorted(ends) if end > now and not _held(retrains, in_a_row, policy, end)), None)


def _beyond_budget(started: int, spent: float, policy: Retrain) -> Refusal | None:
    if started >= policy.per_month:
        return Refusal("runs", f"the month's budget of retrains is used up, {started} of {policy.per_month} in 30 days")
    if spent >= policy.seconds_per_month:
        of = f"{spent:,.0f} of {policy.seconds_per_month:,}"
        return Refusal("seconds", f"the month's budget of seconds is used up, {of} in 30 days")
    return None


def in_vain_in_a_row(governor: Governor, runs: Sequence[PastRun], policy: Retrain, now: datetime) -> int:
    """Since the last promotion and what was forgiven.

    More than a month in which another could have begun, and none did, breaks a row: what lies on either side of it is
    no one trouble. A row that has opened the breaker stays one, and grows by each try in vain.
    """
    count, free = 0, None
    for place, run in reversed(list(enumerate(_counted(governor, runs)))):
        if not run.in_vain(now):
            continue
        if free and count < policy.breaker and run.started - free > MONTH:
            count = 0
        count += 1
        free = _free(runs[place:], count, policy)
    return count


def rejected_in_a_row(governor: Governor, runs: Sequence[PastRun], now: datetime) -> list[PastRun]:
    """The retrains that were judged and rejected, since the last promotion and what was forgiven, for a month each."""
    rejected = (run for run in _counted(governor, runs) if run.retrain and run.status == "rejected")
    return [run for run in rejected if now - run.started < MONTH]


def backed_off(judged_on: int, rejected: int) -> int:
    """Labels that must be new after so many rejected retrains in a row: `judged_on`, doubled for each before the
    last."""
    return judged_on << min(rejected - 1, _MOST_DOUBLINGS)


def _counted(governor: Governor, runs: Sequence[PastRun]) -> Iterator[PastRun]:
    """Since the last promotion and what was forgiven."""
    forgiven = datetime.fromisoformat(governor.forgiven) if governor.forgiven else None
    return takewhile(lambda run: run.status != "promoted" and not (forgiven and run.started <= forgiven), runs)


def _free(runs: Sequence[PastRun], in_a_row: int, policy: Retrain) -> datetime:
    """When cooldown and budget let another begin after these, at the latest."""
    begun = runs[0].started
    ended = runs[0].finished or begun + LONGEST_RUN
    free = max(begun + _wait(in_a_row, policy), ended)
    return begun + MONTH if _beyond_budget(*used(runs, free), policy) else free


def _wait(in_a_row: int, policy: Retrain) -> timedelta:
    return min(policy.cooldown * (1 << min(in_a_row, _MOST_DOUBLINGS)), max(policy.cooldown, MONTH))


def used(runs: Sequence[PastRun], now: datetime) -> tuple[int, float]:
    """Retrains of the last 30 days, and their seconds."""
    recent = [run for run in runs if run.retrain and now - run.started < MONTH]
    return len(recent), sum(run.spent(now) for run in recent)


def past_run(item: Mapping[str, Any]) -> PastRun:
    """From the registry's record of a run."""
    finished, source = item.get("finished"), str(item.get("source", ""))
    return PastRun(
        datetime.fromisoformat(str(item["started"])),
        str(item["status"]),
        source.startswith(("check ", BY_HAND)),
        datetime.fromisoformat(str(finished)) if finished else None,
        float(item.get("seconds") or 0.0),
        item.get("version"),
        source.startswith(BY_HAND),
    )


def unlearned(partitions: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]]) -> int:
    """How many accepted partitions no judged version has learned from: neither the run that brought one nor a later
    run came as far as the gate. To train again on what was judged would only give the same model again."""
    judged = [run for run in runs if run["status"] in ("promoted", "rejected")]
    return sum(
        not any(run["run"] == item["run"] or run["started"] >= item["accepted"] for run in judged)
        for item in partitions
    )


def _ago(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{minutes // 60} hours" if minutes < 72 * 60 else f"{minutes // 1440} days"
