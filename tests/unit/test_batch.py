"""Files of rows, answered block by block."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.unit.builders import dataset, opened, served
from tidemill.errors import InvalidUpload
from tidemill.stages import batch
from tidemill.stages.batch import Summary, answer_table
from tidemill.stages.serve import ServedModel

SPEC = 'target = "y"\nid = "key"\n[columns.code]\nkind = "categorical"'


def frame(rows: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    size, code = rng.normal(0, 1, rows), rng.choice(["a", "b", "c"], rows)
    return pd.DataFrame(
        {
            "key": [f"k{i}" for i in range(rows)],
            "size": size.round(3),
            "code": code,
            "sent": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 10**6, rows), unit="min"),
            "y": np.where(size + (code == "c") > 0, "yes", "no"),
        }
    )


@pytest.fixture(scope="module")
def model() -> ServedModel:
    return served(dataset(frame(400), SPEC))


def answer(
    data: str | bytes, model: ServedModel, folder: Path, *, name: str = "rows.csv", seconds: float = 900.0
) -> tuple[Summary, pd.DataFrame, pd.DataFrame]:
    """The summary, the predictions and the problems."""
    predictions, problems = folder / "predictions", folder / "problems.csv"
    summary = answer_table(opened(data, name), model, predictions, problems, lambda: seconds)
    read = pd.read_parquet if name.endswith(".parquet") else pd.read_csv
    return summary, read(predictions), pd.read_csv(problems, keep_default_na=False)


def asked(rows: int = 50) -> pd.DataFrame:
    return frame(rows, seed=1).drop(columns="y")


def by_request(model: ServedModel, rows: pd.DataFrame) -> list[dict[str, Any]]:
    sent = json.loads(rows.to_json(orient="records", date_format="iso"))
    return model.predict(sent, "q").to_json()


def test_a_file_is_answered_as_requests_are(model: ServedModel, tmp_path: Path) -> None:
    rows = asked()
    summary, found, problems = answer(rows.to_csv(index=False), model, tmp_path)
    expected = by_request(model, rows)
    assert list(found.columns) == ["id", "prediction", "probability_no", "probability_yes"]
    assert found["id"].tolist() == [entry["id"] for entry in expected]
    assert found["prediction"].tolist() == [entry["prediction"] for entry in expected]
    shares = [entry["probabilities"]["yes"] for entry in expected]
    assert np.allclose(found["probability_yes"], shares, atol=1e-6)
    assert (summary.rows, summary.answered, summary.problems, len(problems)) == (50, 50, 0, 0)


def test_parquet_is_answered_as_parquet_with_the_same_answers(model: ServedModel, tmp_path: Path) -> None:
    rows = asked()
    packed = io.BytesIO()
    rows.to_parquet(packed)
    _, of_csv, _ = answer(rows.to_csv(index=False), model, tmp_path)
    _, of_parquet, _ = answer(packed.getvalue(), model, tmp_path, name="rows.parquet")
    assert of_parquet["id"].tolist() == of_csv["id"].tolist()
    assert of_parquet["prediction"].tolist() == of_csv["prediction"].tolist()
    assert np.allclose(of_parquet["probability_no"], of_csv["probability_no"], atol=1e-6)


def test_a_number_is_predicted_for_regression(tmp_path: Path) -> None:
    rows = frame(400).assign(y=lambda f: 3 * f["size"] + 1)
    model = served(dataset(rows, SPEC))
    _, found, _ = answer(asked().to_csv(index=False), model, tmp_path)
    assert list(found.columns) == ["id", "prediction"]
    assert np.allclose(found["prediction"], [entry["prediction"] for entry in by_request(model, asked())], atol=1e-4)


def test_without_an_id_answers_have_the_number_of_their_row(model: ServedModel, tmp_path: Path) -> None:
    text = asked(4).drop(columns="key").to_csv(index=False).replace("\n", "\nx,", 1)
    _, found, _ = answer(asked(4).drop(columns="key").to_csv(index=False), model, tmp_path)
    assert found["row"].tolist() == [1, 2, 3, 4]
    # A line that is none of the table still counts.
    _, found, problems = answer(text, model, tmp_path)
    assert found["row"].tolist() == [2, 3, 4]
    assert problems["row"].tolist() == [1]


def test_what_cannot_be_answered_is_told_with_line_column_value_and_reason(model: ServedModel, tmp_path: Path) -> None:
    text = "key,size,code,sent\nk1,1.5,a,2024-01-01\nk2,wide,a,someday\nk3,,a,2024-01-01\nk4,1,b\nk5,2,b,2024-01-02\n"
    summary, found, problems = answer(text, model, tmp_path)
    assert found["id"].tolist() == ["k1", "k5"]
    assert problems[["row", "line", "column", "value"]].values.tolist() == [
        [2, 3, "size", "wide"],
        [2, 3, "sent", "someday"],
        [3, 4, "size", ""],
        [4, 5, "", "k4,1,b"],
    ]
    assert problems["reason"].str.contains("is not a number|is not a date|no training row lacked it|3 fields").all()
    assert (summary.rows, summary.answered, summary.problems) == (5, 2, 3)


def test_rows_are_counted_over_blocks(model: ServedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.stages.text.PIECE", 700)
    rows = asked(200)
    lines = rows.to_csv(index=False).splitlines()
    lines[151] = "k150,wide,a,2024-01-01"
    summary, found, problems = answer("\n".join(lines), model, tmp_path)
    assert problems[["row", "line"]].values.tolist() == [[151, 152]]
    assert found["id"].tolist() == [key for key in rows["key"] if key != "k150"]
    assert summary.rows == 200
    whole = by_request(model, rows.drop(index=150))
    assert found["prediction"].tolist() == [entry["prediction"] for entry in whole]


def test_what_is_strange_is_answered_and_told(model: ServedModel, tmp_path: Path) -> None:
    rows = asked(5).assign(size=1e6, code="z", extra=1)
    summary, found, _ = answer(rows.to_csv(index=False), model, tmp_path)
    assert len(found) == 5
    text = "\n".join(summary.warnings)
    assert "column 'extra' is not known to the model and was ignored" in text
    assert "column 'code': a category that was not seen in training (5 rows)" in text
    assert "column 'size': a value outside of training's" in text


def test_a_file_without_a_column_that_is_needed_is_refused_with_all_of_them(model: ServedModel, tmp_path: Path) -> None:
    with pytest.raises(InvalidUpload, match=r"rows\.csv lacks 'size', 'code', without which the model answers no row"):
        answer("key,sent\nk1,2024-01-01\n", model, tmp_path)


def test_a_file_that_takes_too_long_is_refused_with_what_to_do(model: ServedModel, tmp_path: Path) -> None:
    with pytest.raises(InvalidUpload, match=r"first 50 rows alone took the time .* files of at most 25 rows"):
        answer(asked().to_csv(index=False), model, tmp_path, seconds=59.0)


def test_answers_that_do_not_fit_are_refused_with_the_limit(
    model: ServedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "LARGEST_ANSWER", 10)
    with pytest.raises(InvalidUpload, match="and 10 is the most; split it into files of at most 25 rows"):
        answer(asked().to_csv(index=False), model, tmp_path)
