from collections.abc import Mapping, Sequence
from html import escape
from typing import Any


def render(report: Mapping[str, Any]) -> str:
    return f"<!doctype html><meta charset=utf-8><pre>{escape(repr(report))}</pre>"
