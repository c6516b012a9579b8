"""A simulated year of the loop, beside what others would have done: `python -m tests.bench.year [--quick]`.

The flights that left New York in 2013 are the examples', with their columns and target. A hash of the flight puts it
into one of two halves, and each is thinned to about 250 flights a day. One half is last year's history: its dates are
moved back by 365 days, and it is uploaded once, for the first champion. The other half is the live year. So every
season was seen before, both halves obey one law, and the only true change is the one that is planted. (They share
their storms as well: on days of which the other half was learned, a model is better than it could be. That is so for
all that are compared.)

Planted, on the days that `year_world` has:

- A broken feed, for a week. The distance comes in metres and not in miles, temperature and dew point in Celsius and not
  in Fahrenheit; what happened to the flights is as ever. Models are asked, and captures are written, with that.
- A quiet holiday: for three days no request, for two more a tenth of them.
- A change of what the columns mean, which stays. At Newark and LaGuardia, two thirds of the flights, the day turns
  around: in order of departure, the first flight of a day gets what became of the last one, the second what became of
  the last but one, and so on. So early flights are late where late ones were, and so are the carriers that fly early.
  The features are not touched, and of each day and airport as many flights are late as before.

Every three hours the endpoint, which has the champion's graph, is asked for the flights that depart within three, an
hour before the first; it captures what it answers. What became of the flights is sent three days late. Then a day is
checked, and retrained where the check and its governor say so, by the flows and in the order of the state machines, on
moto's stores, at simulated times. Everything but the search (`year.toml`) is at its defaults.

Beside it, on the same rows as they were asked, with the first champion's recipe and no gate:

- never: the first champion, for ever;
- monthly: on the first of each month fitted to all labelled rows, and deployed;
- oracle: see `year_rivals.oracle`; its labels come at once, it knows the days of the broken feed and of the change, and
  on each day it has the better of two models. No one can have it.

The score of a day is the ROC AUC of its answers.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
from moto import mock_aws
from threadpoolctl import threadpool_limits

from tests.bench.simulated import WORKERS, Claims, head, line
from tests.bench.year_loop import LABELS_LATE, MODEL, Checkup, Loop, checked_at
from tests.bench.year_rivals import Encoded, Material, Rivals, months, score
from tests.bench.year_story import story
from tests.bench.year_world import DAY, QUICK, YEAR, Plan, World
from tests.cloud import account
from tidemill.aws import datasets
from tidemill.aws.paths import version_prefix
from tidemill.aws.stores import Stores
from tidemill.flows.champions import load
from tidemill.stages.recipes import Recipe
from tidemill.stages.serve import ServedModel

SPEC = Path(__file__).with_name("year.toml")
MARGIN = 0.005
ANSWERED_WITHIN = 21 * DAY
"""Three days until the first labels come; a first retrain, which is judged on rows that are mostly of before; and then
2,000 rows that judge by themselves, eight days of them, three days late; and a week for days that show no drop."""
REGAINED = 0.5
WEEK, REDRAWN, SEED = 7, 10_000, 2013

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Year:
    """`scores`: of each way, by day; `checks`: the registry's records at the end, by the checks' names; `promised`: the
    evaluation of the first champion."""

    plan: Plan
    promised: float
    checkups: Sequence[Checkup]
    checks: Mapping[str, Mapping[str, Any]]
    scores: Mapping[str, Scores]

    def where(self, holds: Callable[[date], bool]) -> npt.NDArray[np.bool_]:
        return np.array([holds(day) for day in self.plan])

    def retrains(self, days: Sequence[date]) -> list[Checkup]:
        return [checkup for checkup in self.checkups if checkup.outcome and checkup.day in days]


def lived(plan: Plan) -> Year:
    world = World.of(plan)
    with TemporaryDirectory() as folder, mock_aws(), account() as stores, threadpool_limits(1):
        loop = Loop(stores, datetime.combine(plan.days.first, time(tzinfo=UTC)))
        first = loop.begin(SPEC.read_text(), world.history)
        if first.status != "promoted" or first.version is None:
            raise SystemExit(f"the first upload ended as {first.status}: {'; '.join(first.reasons)}")
        champion, _ = load(stores.models, MODEL, first.version)
        never, material = _compared(champion, world, plan, stores)
        # This process has a core to itself.
        workers = max((os.cpu_count() or 1) - 1, 1)
        os.environ.update(WORKERS)
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            rivals = Rivals.start(pool, material, Path(folder) / "material")
            ours, checkups = _live(loop, world, plan)
            scores = {"ours": ours, "never": never, **rivals.scores()}
        evaluation = stores.models.get_json(f"{version_prefix(MODEL, first.version)}evaluation.json")
        return Year(
            plan,
            evaluation["candidate"]["interval"]["value"],
            checkups,
            {one["check"]: one for one in stores.registry.checks(MODEL)},
            {name: np.array(values) for name, values in scores.items()},
        )


def _compared(champion: ServedModel, world: World, plan: Plan, stores: Stores) -> tuple[list[float], Material]:
    """The first champion's scores, and what the others are fitted to: encoded as it takes them."""
    manifest = stores.models.get_json(f"{version_prefix(MODEL, champion.version)}manifest.json")
    uploaded = datasets.load(stores.data, MODEL, manifest["dataset"])
    scores, days = [], []
    for day in map(world.day, plan):
        matrix, late = uploaded.matrix[:0], np.array(day.late, dtype=np.float64)
        said: Sequence[float] = ()
        if day.rows:
            answers = champion.predict(day.rows, "never")
            matrix, said = answers.matrix, [shares[1] for shares in answers.shares or ()]
        scores.append(score(late, said))
        days.append(Encoded(matrix, late))
    recipe = Recipe(manifest["candidate"], champion.schema, manifest["params"])
    return scores, Material(plan, recipe, Encoded(uploaded.matrix, uploaded.target), days)


def _live(loop: Loop, world: World, plan: Plan) -> tuple[list[float], list[Checkup]]:
    scores, checkups = [], []
    for day in plan:
        begun, flights, now = perf_counter(), world.day(day), checked_at(day)
        scores.append(score(flights.late, loop.answer(flights)))
        loop.label(world.day(day - LABELS_LATE), now)
        checkups.append(loop.check(day, now))
        if day.day == 1:
            print(f"{day:%B}: a day takes {perf_counter() - begun:.1f} s", file=sys.stderr, flush=True)
    return scores, checkups


def weekly(values: Scores) -> tuple[float, float, float]:
    """Mean, and its 95 % interval by a bootstrap of weeks (blocks of seven days: days in a row share their weather);
    days without a value are left out."""
    blocks = [values[place : place + WEEK] for place in range(0, len(values), WEEK)]
    sums = np.array([np.nansum(block) for block in blocks])
    counts = np.array([np.isfinite(block).sum() for block in blocks])
    drawn = np.random.default_rng(SEED).integers(0, len(blocks), (REDRAWN, len(blocks)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(sums.sum() / counts.sum()), float(low), float(high)


class Bench(Claims):
    def __init__(self, year: Year) -> None:
        self.year = year

    def scores(self) -> None:
        year = self.year
        print(f"\nMean ROC AUC of a day; the first champion's evaluation had {year.promised:.3f} on all rows at once\n")
        head("month", "ours", *[name for name in year.scores if name != "ours"], "ours: retrains", "promoted")
        for days in months(year.plan):
            self._months(f"{days[0]:%B}", days)
        days = list(year.plan)
        self._months("until the change", [day for day in days if day < year.plan.change])
        self._months("since the change", [day for day in days if day >= year.plan.change])
        self._months("all", days)
        left = int((~np.isfinite(year.scores["never"])).sum())
        print(f"\n{left} of {len(days)} days are left out: fewer than 30 rows, or one class only. By day, with a 95 %")
        print("interval by a bootstrap of weeks:\n")
        for name in (name for name in year.scores if name != "ours"):
            print(f"- ours - {name}: {shown(*weekly(year.scores['ours'] - year.scores[name]))}")

    def _months(self, name: str, days: Sequence[date]) -> None:
        chosen = self.year.where(days.__contains__)
        retrains = self.year.retrains(days)
        promoted = sum(each.outcome.status == "promoted" for each in retrains if each.outcome)
        means = (f"{np.nanmean(values[chosen]):.3f}" for values in self.year.scores.values())
        line(name, *means, f"{len(retrains)}", f"{promoted}")

    def checks(self) -> None:
        """What the retrains come from."""
        judged = ("dropped", "fine", "insufficient_labels")
        print("\nWhat the daily checks found; performance by labels as it was known in the end\n")
        head(
            "days", "checks", "labels: dropped", "fine", "too few", "dropped together", "estimated drop", "drift",
            "broken feed", "held back", "told",
        )  # fmt: skip
        facts = (*judged, "together", "estimated_drop", "drift", "quarantine", "refused", "told")
        for name, days in self._phases().items():
            checkups = [each for each in self.year.checkups if each.day in days]
            found = Counter(fact for each in checkups for fact in self._facts(each))
            line(name, f"{len(checkups)}", *(f"{found[fact]}" for fact in facts))

    def _phases(self) -> dict[str, list[date]]:
        plan = self.year.plan
        planted = [day for day in plan if day in plan.broken]
        return {
            "until the change": [day for day in plan if day < plan.change and day not in planted],
            "of the broken feed": planted,
            "since the change": [day for day in plan if day >= plan.change],
        }

    def _facts(self, checkup: Checkup) -> list[str]:
        record = self.year.checks[checkup.checked.check]
        happened = {
            "together": checkup.together == "dropped",
            "refused": checkup.refused,
            "told": checkup.checked.notice,
        }
        return [
            record["judged"]["status"],
            record["estimate"]["status"],
            record["verdict"],
            record["action"],
            *(name for name, said in happened.items() if said),
        ]

    def events(self) -> None:
        print("\nEvery event, by the day that was checked\n")
        head("day", "event", "what was said")
        for entry in story(self.year.checkups):
            line(*entry.cells())
        print()

    def claims(self) -> None:
        year, plan = self.year, self.year.plan
        days = list(plan)
        started, scheduled = len(year.retrains(days)), len(months(plan))
        self.claim(
            f"fewer retrains than the schedule: {started} of its {scheduled}", *["not fewer"] * (started >= scheduled)
        )
        mean, low, high = weekly(year.scores["ours"] - year.scores["monthly"])
        self.claim(
            f"a mean score surely no worse than the schedule's by {MARGIN}: {shown(mean, low, high)}",
            *["it may be"] * (low <= -MARGIN),
        )
        broken = [each for each in year.checkups if each.day in plan.broken]
        first = broken[0].checked
        told = first.action == "quarantine" and first.notice
        self.claim("the broken feed is told on its first day", *[f"{first.action}, and nobody heard"] * (not told))
        self.claim("no retrain in its week", *[f"{each.day}" for each in broken if each.outcome])
        holiday = [each for each in year.checkups if each.day in plan.holiday]
        heard = [f"{each.day}: {each.checked.reason}" for each in holiday if each.outcome or each.checked.notice]
        self.claim("no retrain and no notice by the holiday", *heard)
        answers = [each.day for each in year.retrains(days) if each.day >= plan.change and _promoted(each)]
        late = f"the first was on {answers[0]}" if answers else "none was"
        in_time = bool(answers) and answers[0] < plan.change + ANSWERED_WITHIN
        self.claim(f"a retrain is promoted within {ANSWERED_WITHIN.days} days of the change", *[late] * (not in_time))
        after = year.where(lambda day: day >= plan.change + ANSWERED_WITHIN)
        gained, possible = (np.nanmean((year.scores[n] - year.scores["never"])[after]) for n in ("ours", "oracle"))
        self.claim(
            f"from then on at least {REGAINED:.0%} of what the oracle has over the first champion",
            *[f"{gained:+.3f} of {possible:+.3f}"] * bool(gained < REGAINED * possible),
        )


def _promoted(checkup: Checkup) -> bool:
    return checkup.outcome is not None and checkup.outcome.status == "promoted"


def shown(mean: float, low: float, high: float) -> str:
    return f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fourteen weeks of fewer flights")
    parser.add_argument("--rows", type=int, help="flights a day, on average")
    options = parser.parse_args()
    plan, begun = QUICK if options.quick else YEAR, perf_counter()
    bench = Bench(lived(replace(plan, rows=options.rows or plan.rows)))
    bench.scores()
    bench.checks()
    bench.events()
    bench.claims()
    return bench.end(begun)


if __name__ == "__main__":
    sys.exit(main())
