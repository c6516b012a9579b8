"""`tidemill try`: what a run would train, without any cloud."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tables import csv, trips
from tidemill_cli.main import main
from tidemill_estimators import monotone

Try = Callable[[str], tuple[int, dict[str, Any]]]


@pytest.fixture
def attempt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Try:
    """The exit code and the document, of a spec's section [train]."""
    (tmp_path / "trips.csv").write_bytes(csv(trips(400)))

    def run(section: str) -> tuple[int, dict[str, Any]]:
        (tmp_path / "trips.toml").write_text(f'target = "late"\nid = "trip"\n[train]\ntrials = 1\n{section}')
        code = main(["try", str(tmp_path / "trips.toml"), str(tmp_path / "trips.csv"), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def test_all_that_a_run_would_train_is_trained_and_its_export_proved(
    attempt: Try, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monotone, "RISING", ("wind",))
    monkeypatch.setattr(monotone, "FALLING", ())
    code, document = attempt('candidates = ["linear"]\nestimator = "monotone"')
    assert code == 0
    assert [entry["candidate"] for entry in document["candidates"]] == ["linear", "own"]
    for entry in document["candidates"]:
        assert entry["score"] > entry["dummy"] == 0.5
        assert entry["parity"]["rows"] == 400 - document["rows"]
        assert entry["parity"]["beyond"] == 0
        assert entry["failed"] is None


def test_what_a_run_would_not_train_says_why_and_the_others_are_trained(attempt: Try) -> None:
    code, document = attempt('candidates = ["linear"]\nestimator = "monotone"')
    linear, own = document["candidates"]
    assert code == 1
    assert linear["score"] > 0.5
    assert own["failed"].endswith("no numeric column precipitation or visibility: correct RISING and FALLING")


def test_a_spec_with_a_mistake_and_a_file_that_is_none_are_told(attempt: Try, tmp_path: Path) -> None:
    assert attempt("metric = 3") == (3, {"error": "train.metric: 3 is not a name"})
    (tmp_path / "trips.csv").unlink()
    assert attempt("")[0] == 4
