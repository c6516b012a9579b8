"""Edits of MiniStack's source fit the installed one, and refuse any other."""

from importlib import import_module
from importlib.metadata import version

import pytest

from tidemill_cli.local import patches
from tidemill_cli.local.patches import EDITS, Edit, PatchMismatch

SCRIPT = "say hello"


def greet(name: str, greeting: str = "hello") -> str:
    return f"{greeting} {name}"


def _edit(name: str, before: str, after: str) -> Edit:
    return Edit(owner=__name__, name=name, before=before, after=after, reason="a test")


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test edits is as before after it."""
    for name in ("greet", "SCRIPT"):
        monkeypatch.setattr(import_module(__name__), name, globals()[name])


def test_an_edited_function_runs_the_new_source() -> None:
    patches.apply([_edit("greet", 'greeting: str = "hello"', 'greeting: str = "good evening"')])
    assert globals()["greet"]("Ada") == "good evening Ada"


def test_a_string_is_edited_in_place() -> None:
    patches.apply([_edit("SCRIPT", "hello", "goodbye")])
    assert globals()["SCRIPT"] == "say goodbye"


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(_edit("greet", "text that is not there", ""), id="text gone"),
        pytest.param(_edit("greet", "greeting", "salute"), id="text there more than once"),
        pytest.param(_edit("welcome", "hello", ""), id="function gone"),
    ],
)
def test_unknown_source_is_refused_with_the_version(edit: Edit) -> None:
    with pytest.raises(PatchMismatch, match=rf"MiniStack {version('ministack')} .*{edit.name}.*a test"):
        patches.apply([edit])


def test_one_misfit_leaves_all_as_it_was() -> None:
    with pytest.raises(PatchMismatch):
        patches.apply([_edit("SCRIPT", "hello", "goodbye"), _edit("greet", "not there", "")])
    assert globals()["SCRIPT"] == "say hello"


def test_no_two_edits_share_a_target() -> None:
    assert len({(edit.owner, edit.name) for edit in EDITS}) == len(EDITS)


def test_every_edit_fits_the_installed_ministack(monkeypatch: pytest.MonkeyPatch) -> None:
    for edit in EDITS:
        module, _, class_name = edit.owner.partition(":")
        owner = getattr(import_module(module), class_name) if class_name else import_module(module)
        monkeypatch.setattr(owner, edit.name, getattr(owner, edit.name))
    patches.apply()
    runtime = import_module("ministack.core.lambda_runtime")
    assert '"error_type": type(e).__name__' in runtime._PYTHON_WORKER_SCRIPT
    logs = import_module("ministack.services.cloudwatch_logs")
    line = '{"tidemill": "capture", "kind": "predictions"}'
    assert logs._subscription_pattern_matches('{ $.tidemill = "capture" }', line)
