from collections.abc import Iterator

import pytest

from tests.cloud import Cloud
from tests.cloud import cloud as make_cloud


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """Tidemill on moto, empty."""
    with make_cloud() as made:
        yield made
