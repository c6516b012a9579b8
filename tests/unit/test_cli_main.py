"""The command line itself: usage, exit codes, and what goes to stdout."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tidemill.errors import InvalidRequest, InvalidUpload, NotFound, StoreUnavailable
from tidemill_cli.commands import registry
from tidemill_cli.console import Result
from tidemill_cli.local.errors import StackFailed
from tidemill_cli.main import main
from tidemill_cli.session import Session

Captured = pytest.CaptureFixture[str]


def fails_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def work(_: Session) -> Result:
        raise error

    monkeypatch.setattr(registry, "models", work)


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `tidemill models` was told."""
    seen: dict[str, Any] = {}

    def work(session: Session) -> Result:
        seen.update(session.options)
        return Result({"models": []}, ["nothing"])

    monkeypatch.setattr(registry, "models", work)
    return seen


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidUpload("bad file"), 3),
        (InvalidRequest(["bad", "row"]), 3),
        (NotFound("no such model"), 4),
        (StoreUnavailable("away"), 1),
        (StackFailed("no stack"), 1),
        (ZeroDivisionError("oh"), 1),
        (KeyboardInterrupt(), 1),
    ],
)
def test_every_error_is_one_sentence_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured, error: BaseException, code: int
) -> None:
    fails_with(monkeypatch, error)
    assert main(["models"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tidemill: ")
    assert len(err.splitlines()) == 1


def test_with_json_an_error_is_one_document_on_stdout(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    fails_with(monkeypatch, NotFound("no such model"))
    assert main(["models", "--json"]) == 4
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": "no such model"}
    assert err == "tidemill: no such model\n"


def test_debugging_shows_where_it_happened(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    fails_with(monkeypatch, ZeroDivisionError("oh"))
    monkeypatch.setenv("TIDEMILL_DEBUG", "1")
    assert main(["models"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["upload", "m"],
        ["upload", "m", "f", "--nonsense"],
        ["predict", "m"],
        ["predict", "m", "{}", "--file", "f"],
        ["report", "m", "--run", "r", "--check", "c"],
        ["rollback", "m", "--to", "one"],
        ["models", "--local", "--region", "eu-west-1"],
        ["models", "--environment", "moon"],
        ["local"],
    ],
)
def test_wrong_usage_is_exit_code_2(capsys: Captured, arguments: list[str]) -> None:
    assert main([*arguments, "--json"]) == 2
    assert "error" in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("arguments", [["--region", "r", "models"], ["models", "--region", "r"]])
def test_global_options_are_taken_before_and_after_the_command(options: dict[str, Any], arguments: list[str]) -> None:
    assert main(arguments) == 0
    assert options == {"region": "r"}


@pytest.mark.parametrize("arguments", [["--json", "models"], ["models", "--json"]])
def test_json_is_taken_before_and_after_the_command(
    options: dict[str, Any], capsys: Captured, arguments: list[str]
) -> None:
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out) == {"models": []}


def test_brackets_in_what_users_write_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(registry, "models", lambda _: Result({}, ["column [red]x[/red] :smile:"]))
    main(["models"])
    assert capsys.readouterr().out == "column [red]x[/red] :smile:\n"


def test_without_a_command_it_says_what_there_is(capsys: Captured) -> None:
    assert main([]) == 0
    assert "rollback" in capsys.readouterr().out


def test_help_does_not_wait_for_what_only_commands_need() -> None:
    heavy = "{'pandas', 'pyarrow', 'boto3', 'numpy', 'botocore'} & set(sys.modules)"
    code = f"import sys; from tidemill_cli.main import main; main(['--help']); print({heavy}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment())
    assert done.stderr.strip() == "set()"


def _environment() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(path for path in sys.path if path)}
