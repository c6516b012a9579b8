"""A year of flights in which what changes is known; its law is told in `tests.bench.year`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from examples.flights.prepare_data import load_flights

DAY = timedelta(days=1)
A_YEAR = pd.Timedelta(days=365)
TURNED = ("EWR", "LGA")
"""The airports whose day turns around."""
SILENT = 3 * DAY
"""Of a holiday: so long nobody asks, and after that few do."""
ASKED_FOR = timedelta(hours=3)
"""One request has the flights of so long: an hour's each would be three times as many objects to read, all the year."""
_FEW = 0.1
_METRES = 1_609.344
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Span:
    """Both days included."""

    first: date
    last: date

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last


@dataclass(frozen=True)
class Plan:
    """What is planted in which days; the change stays."""

    days: Span
    broken: Span
    holiday: Span
    change: date
    rows: int
    """A day, on average, and as many in last year's."""

    def __iter__(self) -> Iterator[date]:
        return (self.days.first + n * DAY for n in range((self.days.last - self.days.first).days + 1))


YEAR = Plan(
    Span(date(2013, 1, 1), date(2013, 12, 31)),
    broken=Span(date(2013, 3, 11), date(2013, 3, 17)),
    holiday=Span(date(2013, 5, 25), date(2013, 5, 29)),
    change=date(2013, 7, 15),
    rows=250,
)
QUICK = Plan(
    Span(date(2013, 1, 1), date(2013, 4, 8)),
    broken=Span(date(2013, 1, 21), date(2013, 1, 27)),
    holiday=Span(date(2013, 2, 9), date(2013, 2, 13)),
    change=date(2013, 2, 25),
    rows=150,
)


@dataclass(frozen=True)
class Day:
    """A local day's flights in order of departure: `rows` as requests have them, `late` what became of them."""

    day: date
    rows: Sequence[dict[str, Any]]
    late: Sequence[bool]

    def requests(self) -> Iterator[tuple[datetime, Sequence[dict[str, Any]]]]:
        """Those that depart within `ASKED_FOR`, with the moment when they are asked for, which is an hour before it."""
        for begins, rows in groupby(self.rows, key=_begins):
            yield begins - timedelta(hours=1), list(rows)


@dataclass(frozen=True)
class World:
    """`history` is a file to upload; `live` has the rows of each local day that has any."""

    history: bytes
    live: Mapping[date, pd.DataFrame]

    @classmethod
    def of(cls, plan: Plan) -> "World":
        flights = load_flights()
        share = min(plan.rows / (len(flights) / 2 / flights["flight_id"].str[:10].nunique()), 1.0)
        drawn = _drawn(flights["flight_id"])
        history = flights[drawn < share / 2]
        live = flights[(drawn >= 0.5) & (drawn < (1 + share) / 2)]
        return cls(_a_year_ago(history).to_csv(index=False).encode(), _lived(live, plan))

    def day(self, day: date) -> Day:
        if day not in self.live:
            return Day(day, [], [])
        flights = self.live[day]
        late = (flights["late"] == "true").tolist()
        known = flights.drop(columns="late").astype(object)
        rows: Any = known.where(known.notna(), None).to_dict("records")
        return Day(day, rows, late)


def turned_around(flights: pd.DataFrame) -> pd.Series:
    """Who is late where the day turns around: at the airports of `TURNED`, of the flights of one local day in order of
    departure, the first gets what became of the last, and so on."""
    late = flights["late"].copy()
    chosen = flights[flights["origin"].isin(TURNED)].sort_values(["departure_minute", "flight_id"])
    for _, one in chosen.groupby([chosen["flight_id"].str[:10], "origin"]):
        late.loc[one.index] = one["late"].to_numpy()[::-1]
    return late


def metric_units(flights: pd.DataFrame) -> pd.DataFrame:
    """As after an exporter's update: metres for miles, Celsius for Fahrenheit."""
    celsius = {name: ((flights[name] - 32) / 1.8).round(2) for name in ("temperature", "dew_point")}
    return flights.assign(distance=(flights["distance"] * _METRES).round().astype(int), **celsius)


def _lived(flights: pd.DataFrame, plan: Plan) -> dict[date, pd.DataFrame]:
    days = pd.to_datetime(flights["flight_id"].str[:10]).dt.date
    changed, broken = days >= plan.change, days.map(plan.broken.__contains__)
    flights = flights.assign(late=flights["late"].mask(changed, turned_around(flights[changed])))
    flights = pd.concat([flights[~broken], metric_units(flights[broken])]).sort_index()
    silent = days.map(Span(plan.holiday.first, plan.holiday.first + SILENT - DAY).__contains__)
    # Not by the share that drew the flights: that is spent.
    few = days.map(plan.holiday.__contains__) & (_drawn(flights["flight_id"] + "?") >= _FEW)
    asked = flights[days.map(plan.days.__contains__) & ~silent & ~few]
    return {day: asked.loc[places] for day, places in asked.groupby(days.loc[asked.index]).groups.items()}


def _a_year_ago(flights: pd.DataFrame) -> pd.DataFrame:
    moments = pd.to_datetime(flights["scheduled_departure"]) - A_YEAR
    ids = (pd.to_datetime(flights["flight_id"].str[:10]) - A_YEAR).dt.strftime("%Y-%m-%d")
    return flights.assign(
        flight_id=ids + flights["flight_id"].str[10:], scheduled_departure=moments.dt.strftime(_MOMENT)
    )


def _drawn(ids: "pd.Series[str]") -> Any:
    """A number from 0 to 1 of each text, always the same."""
    return pd.util.hash_array(ids.to_numpy(dtype=object)) / np.float64(2**64)


def _begins(row: Mapping[str, Any]) -> datetime:
    moment = datetime.strptime(row["scheduled_departure"], _MOMENT).replace(tzinfo=UTC)
    return moment - (moment - _EPOCH) % ASKED_FOR
