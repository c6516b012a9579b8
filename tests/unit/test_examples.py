"""The demo's tables: what they promise, and nothing that only the future knows."""

from pathlib import Path

import pandas as pd
import pytest

from examples.flights.prepare_data import COLUMNS, SPRING, SPRING_ROWS, WINTER, WINTER_ROWS, Tables, write_tables
from tidemill.errors import InvalidUpload
from tidemill.spec import ModelSpec, parse_spec
from tidemill.stages.prepare import clean, first_schema
from tidemill.stages.tables import read_table

AFTER_DEPARTURE = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "tailnum"}
SPEC = Path(__file__).parents[2] / "examples" / "flights" / "flights.toml"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return write_tables(tmp_path_factory.mktemp("flights"))


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return parse_spec(SPEC.read_text(encoding="utf-8"))


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


def test_no_feature_is_known_only_after_departure(tables: Tables, spec: ModelSpec) -> None:
    schema = first_schema(read_table("winter.csv", tables.winter.read_bytes()), spec)
    features = {column.name for column in schema.features}
    assert features == set(COLUMNS) - {"flight_id", "scheduled_departure", "late"}
    assert not features & AFTER_DEPARTURE


def test_weather_is_the_reading_of_two_hours_before(winter: pd.DataFrame) -> None:
    """LaGuardia, 1 January: 41.00 °F at 8 h UTC, 39.92 °F at 10 h UTC, the hour of this departure."""
    first = winter.set_index("flight_id").loc["2013-01-01-UA1714-LGA"]
    assert first["scheduled_departure"] == "2013-01-01T10:29:00Z"
    assert first["temperature"] == pytest.approx(41.00)


def test_winter_is_accepted_whole(tables: Tables, spec: ModelSpec) -> None:
    raw = read_table("winter.csv", tables.winter.read_bytes())
    partition, schema = clean(raw, spec, first_schema(raw, spec), source="winter.csv")
    assert partition.account["accepted"] == WINTER_ROWS
    assert schema.classes == ("false", "true")


def test_broken_june_is_refused_for_its_temperatures(tables: Tables, spec: ModelSpec) -> None:
    winter = read_table("winter.csv", tables.winter.read_bytes())
    _, schema = clean(winter, spec, first_schema(winter, spec), source="winter.csv")
    june = read_table("broken.csv", tables.broken.read_bytes())
    with pytest.raises(InvalidUpload, match="'temperature' is not a number"):
        clean(june, spec, schema, source="broken.csv")


def test_the_tables_are_the_same_bytes_each_time(tables: Tables, tmp_path: Path) -> None:
    again = write_tables(tmp_path)
    assert again.broken.read_bytes() == tables.broken.read_bytes()
    assert again.spring.read_bytes() == tables.spring.read_bytes()
