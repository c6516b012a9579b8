"""The demo's tables: what they promise, and nothing that only the future knows."""

from pathlib import Path

import pandas as pd
import pytest

from examples.flights.prepare_data import COLUMNS, SPRING, SPRING_ROWS, WINTER, WINTER_ROWS, Tables, write_tables
from tests.unit.builders import prepare
from tidemill.spec import ModelSpec, parse_spec
from tidemill.stages.partition import Partition

AFTER_DEPARTURE = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "tailnum"}
SPEC = Path(__file__).parents[2] / "examples" / "flights" / "flights.toml"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return write_tables(tmp_path_factory.mktemp("flights"))


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return parse_spec(SPEC.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def accepted(tables: Tables, spec: ModelSpec) -> Partition:
    return prepare(tables.winter.read_bytes(), spec, name="winter.csv")


@pytest.fixture(scope="module")
def winter(tables: Tables) -> pd.DataFrame:
    return pd.read_csv(tables.winter)


@pytest.fixture(scope="module")
def spring(tables: Tables) -> pd.DataFrame:
    return pd.read_csv(tables.spring)


def test_winter_carries_the_target_and_spring_does_not(winter: pd.DataFrame, spring: pd.DataFrame) -> None:
    assert list(winter) == list(COLUMNS)
    assert list(spring) == [name for name in COLUMNS if name != "late"]
    assert (len(winter), len(spring)) == (WINTER_ROWS, SPRING_ROWS)


def test_a_flight_has_one_id_over_all_tables(winter: pd.DataFrame, spring: pd.DataFrame) -> None:
    assert pd.concat([winter["flight_id"], spring["flight_id"]]).is_unique


def test_spring_is_the_season_after_winter_in_order_of_departure(winter: pd.DataFrame, spring: pd.DataFrame) -> None:
    departures = pd.concat([winter, spring])["scheduled_departure"]
    assert departures.is_monotonic_increasing
    days = winter["flight_id"].str[:10], spring["flight_id"].str[:10]
    assert (days[0].min(), days[0].max()) == (str(WINTER[0]), str(WINTER[1]))
    assert (days[1].min(), days[1].max()) == (str(SPRING[0]), str(SPRING[1]))


def test_every_prediction_has_its_label(tables: Tables, spring: pd.DataFrame) -> None:
    labels = pd.read_csv(tables.labels, dtype=str)
    assert list(labels) == ["id", "label"]
    assert labels["id"].tolist() == spring["flight_id"].tolist()
    assert set(labels["label"]) == {"true", "false"}


def test_no_feature_is_known_only_after_departure(accepted: Partition) -> None:
    features = {column.name for column in accepted.schema.features}
    assert features == set(COLUMNS) - {"flight_id", "scheduled_departure", "late"}
    assert not features & AFTER_DEPARTURE


def test_weather_is_the_reading_of_two_hours_before(winter: pd.DataFrame) -> None:
    """LaGuardia, 1 January: 41.00 °F at 8 h UTC, 39.92 °F at 10 h UTC, the hour of this departure."""
    first = winter.set_index("flight_id").loc["2013-01-01-UA1714-LGA"]
    assert first["scheduled_departure"] == "2013-01-01T10:29:00Z"
    assert first["temperature"] == pytest.approx(41.00)


def test_winter_is_accepted_whole_and_without_a_warning(accepted: Partition) -> None:
    assert accepted.account["accepted"] == WINTER_ROWS
    assert accepted.schema.classes == ("false", "true")
    assert [entry for entry in accepted.account["findings"] if entry["weight"] != "note"] == []


def test_broken_june_is_refused_for_its_temperatures(tables: Tables, spec: ModelSpec, accepted: Partition) -> None:
    june = prepare(tables.broken.read_bytes(), spec, accepted, name="broken.csv")
    assert "'temperature' is not a number" in "; ".join(june.invalid)


def test_the_tables_are_the_same_bytes_each_time(tables: Tables, tmp_path: Path) -> None:
    again = write_tables(tmp_path)
    assert again.broken.read_bytes() == tables.broken.read_bytes()
    assert again.spring.read_bytes() == tables.spring.read_bytes()
