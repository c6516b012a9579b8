from collections.abc import Mapping, Sequence
from html import escape
from typing import Any


def render(
    account: Mapping[str, Any], profile: Mapping[str, Any] | None, *, quarantine: Sequence[Mapping[str, Any]]
) -> str:
    return f"<!doctype html><meta charset=utf-8><pre>{escape(repr(account))}</pre>"
