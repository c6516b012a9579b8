from collections.abc import Callable
from functools import cache

import pytest

from infra.app import NO_BUNDLING, synthesize
from tests.infra.template import Template

Synthesized = Callable[[str], Template]


@pytest.fixture(scope="session")
def synthesized(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """Synthesizes an environment once a session, without building layers."""

    @cache
    def of(environment: str) -> Template:
        folder = tmp_path_factory.mktemp(environment)
        synthesize({**NO_BUNDLING, "environment": environment}, outdir=folder)
        return Template.load(folder / f"Tidemill-{environment}.template.json")

    return of


@pytest.fixture(scope="session")
def template(synthesized: Synthesized) -> Template:
    return synthesized("dev")
