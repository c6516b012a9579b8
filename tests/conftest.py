from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.cloud import Cloud
from tests.cloud import cloud as make_cloud
from tests.tables import SPEC
from tidemill.aws.stores import Notices

# How long an example takes says more of the machine than of what is tested.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """Tidemill on moto, empty."""
    with make_cloud() as made:
        yield made


@pytest.fixture(scope="module")
def serving() -> Iterator[Cloud]:
    """Tidemill on moto, with a champion of trips for all tests of a module."""
    with make_cloud() as cloud:
        cloud.champion(SPEC.replace('"linear", "boosting"', '"linear"'), 1_000)
        yield cloud


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Subjects and texts of notices."""
    notices: list[str] = []
    monkeypatch.setattr(Notices, "publish", lambda _, subject, text: notices.append(f"{subject}\n{text}"))
    return notices
