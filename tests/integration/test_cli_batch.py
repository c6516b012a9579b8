"""`tidemill batch`: uploaded, answered, fetched, told."""

from pathlib import Path
from typing import Any, BinaryIO

import boto3
import pandas as pd
import pytest

from tests.cloud import Cloud
from tests.tables import csv, trips
from tidemill.contracts import Upload
from tidemill.errors import InvalidRequest, NotFound, TidemillError
from tidemill_cli.cloud import Target
from tidemill_cli.commands.batch import batch
from tidemill_cli.console import Console, Result
from tidemill_cli.runs import Waiting
from tidemill_cli.session import Session


@pytest.fixture
def session(serving: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Session:
    """A file that is put there is answered at once, as its event would have it."""

    def client(service: str) -> Any:
        return boto3.client(service)  # type: ignore[call-overload]

    def put(_: Target, model: str, name: str, file: BinaryIO, size: int, top: str) -> Upload:
        event = serving.upload(model, name, file.read(), top.rstrip("/"))
        serving.invoke("batch", event)
        return Upload.from_event(event)

    monkeypatch.setattr(Target, "put_upload", put)
    monkeypatch.chdir(tmp_path)
    made = Session(Console())
    names = {"DataBucket": "data", "RegistryTable": "registry"}
    made.__dict__["target"] = Target("moto", False, names, client, "", lambda: "me")
    return made


ROWS = trips(40, seed=5, start=9_000).drop(columns="late")


def run(session: Session, data: bytes, out: Path | None = None, name: str = "rows.csv") -> Result:
    Path(name).write_bytes(data)
    return batch(session, "trips", Path(name), Waiting(0), out)


def test_answers_are_fetched_and_what_was_not_answered_beside_them(session: Session) -> None:
    result = run(session, csv(ROWS) + b"x,far,1,ash\n")
    assert (result.exit_code, result.document["answered"], result.document["problems"]) == (0, 40, 1)
    assert pd.read_csv("rows.predictions.csv")["id"].tolist() == ROWS["trip"].tolist()
    assert pd.read_csv("rows.predictions.problems.csv")["value"].tolist() == ["far"]


def test_without_problems_there_is_no_file_of_them(session: Session) -> None:
    result = run(session, csv(ROWS), Path("answers"))
    assert result.document["out"] == "answers"
    assert sorted(path.name for path in Path().iterdir()) == ["answers", "rows.csv"]


def test_parquet_comes_back_as_parquet(session: Session) -> None:
    ROWS.to_parquet("made.parquet")
    run(session, Path("made.parquet").read_bytes(), name="rows.parquet")
    assert len(pd.read_parquet("rows.predictions.parquet")) == 40


def test_a_file_that_cannot_be_used_is_invalid_input(session: Session) -> None:
    result = run(session, b"wind\n1\n")
    assert (result.exit_code, result.problem) == (3, "; ".join(result.document["reasons"]))
    assert "lacks 'distance'" in result.problem


def test_a_model_that_nobody_trained_is_not_found_and_nothing_is_uploaded(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Target, "put_upload", None)
    Path("rows.csv").write_bytes(csv(ROWS))
    with pytest.raises(NotFound, match="model 'nobody' does not exist"):
        batch(session, "nobody", Path("rows.csv"), Waiting(0))
    with pytest.raises(InvalidRequest, match="cannot be read"):
        batch(session, "trips", Path(), Waiting(0))


def test_an_answer_that_takes_long_is_told_with_where_it_will_be(
    session: Session, serving: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_put(_: Target, model: str, name: str, file: BinaryIO, size: int, top: str) -> Upload:
        return Upload.from_event(serving.upload(model, name, file.read(), top.rstrip("/")))

    monkeypatch.setattr(Target, "put_upload", only_put)
    with pytest.raises(TidemillError, match=r"after 0 s: it goes on, and s3://data/batch-results/trips/rows\.csv/r-"):
        run(session, csv(ROWS))
