import re

from infra.config import ENVIRONMENTS
from tests.infra import snapshot
from tests.infra.conftest import Synthesized


def test_resources_are_those_of_the_snapshot_or_make_snapshot_was_forgotten(synthesized: Synthesized) -> None:
    templates = {name: synthesized(name) for name in ENVIRONMENTS}
    assert snapshot.lines(templates) == snapshot.FILE.read_text(encoding="utf-8").splitlines()


def test_names_in_the_snapshot_have_no_hash() -> None:
    assert snapshot.stable("StorageData6BB23F4E", "dev") == "StorageData"
    assert snapshot.stable("ApiRestDeploymentF1B0A2C3" + "0a" * 16, "dev") == "ApiRestDeployment"
    assert not [
        line for line in snapshot.FILE.read_text(encoding="utf-8").splitlines() if re.search(r"[\dA-F]{6}", line)
    ]
