import errno
import sys
from pathlib import Path

import pytest

from infra import wheels
from infra.packages import BundlingError, Target

TARGET = Target(runtime="python3.12", architecture="arm64")

RETRY = (
    "WARNING: Retrying (Retry(total={left}, connect=None, read=None, redirect=None, status=None)) after connection "
    "broken by '{reason}': /simple/numpy/\n"
)
REFUSED = """NewConnectionError("HTTPSConnection(host='index.test', port=443): Failed to establish a new connection: \
[Errno 111] Connection refused")"""
UNKNOWN = """NameResolutionError("HTTPSConnection(host='index.test', port=443): Failed to resolve 'index.test' \
([Errno -2] Name or service not known)")"""
SLOW = """ReadTimeoutError("HTTPSConnectionPool(host='index.test', port=443): Read timed out. (read timeout=15.0)")"""
NOTHING_FOUND = """\
ERROR: Could not find a version that satisfies the requirement numpy==2.5.5 (from versions: none)
ERROR: No matching distribution found for numpy==2.5.5
"""
NO_WHEEL = """\
ERROR: Could not find a version that satisfies the requirement numpy==2.5.99 (from versions: 2.5.4, 2.5.5)
ERROR: No matching distribution found for numpy==2.5.99
"""
BROKEN_OFF = """\
  WARNING: Connection interrupted while downloading.
error: incomplete-download

× Download failed after 6 attempts because not enough bytes were received (10.5 MB/35.3 MB)
╰─> URL: https://index.test/scipy-1.18.1-cp312-cp312-manylinux_2_28_aarch64.whl

note: This is an issue with network connectivity, not pip.
hint: Use --resume-retries to configure resume attempt limit.
"""
WRONG_HASH = """\
Collecting numpy==2.5.5 (from -r requirements.txt (line 1))
ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated the package versions, \
please update the hashes. Otherwise, examine the package contents carefully; someone may have tampered with them.
    numpy==2.5.5 from https://index.test/packages/99/numpy-2.5.5-cp312-cp312-manylinux_2_28_aarch64.whl \
(from -r requirements.txt (line 1)):
        Expected sha256 aaaaaaaa
             Got        704d8192

"""


def pip(folder: Path, monkeypatch: pytest.MonkeyPatch, said: str, code: int = 0) -> None:
    """Puts a program in pip's place that says this and ends so."""
    (folder / "said").write_text(said)
    program = folder / "python"
    program.write_text(f"#!/bin/sh\ncat '{folder / 'said'}'\nexit {code}\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))


def explain(said: str) -> str:
    sentence = wheels.explain(said, TARGET)
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (REFUSED, "Failed to establish a new connection: [Errno 111] Connection refused"),
        (UNKNOWN, "Failed to resolve 'index.test' ([Errno -2] Name or service not known)"),
        (SLOW, "Read timed out. (read timeout=15.0)"),
    ],
    ids=["refused", "unknown", "slow"],
)
def test_index_that_cannot_be_reached_is_told_with_the_reason(broken: str, reason: str) -> None:
    retries = "".join(RETRY.format(left=left, reason=broken) for left in (2, 1, 0))
    assert explain(retries + NOTHING_FOUND) == (
        "cannot reach the package index at index.test while building the layers for python3.12 on arm64: "
        f"{reason}; check the network, the proxy and `pip config list`, then try again"
    )


def test_index_that_breaks_off_within_a_wheel_cannot_be_reached_either() -> None:
    assert explain(BROKEN_OFF) == (
        "cannot reach the package index while building the layers for python3.12 on arm64: Download failed after 6 "
        "attempts because not enough bytes were received (10.5 MB/35.3 MB); "
        "check the network, the proxy and `pip config list`, then try again"
    )


def test_index_that_is_not_trusted_is_told_as_one_that_cannot_be_reached() -> None:
    reason = "SSLError(SSLError(1, '[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)'))"
    assert "the layers for python3.12 on arm64: [SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006);" in (
        explain(RETRY.format(left=0, reason=reason) + NOTHING_FOUND)
    )


def test_index_that_answered_in_the_end_is_not_blamed() -> None:
    assert explain(RETRY.format(left=2, reason=REFUSED) + NO_WHEEL).startswith("no wheel of numpy 2.5.99")


def test_wheel_that_does_not_exist_is_told_with_the_platform_and_the_remedy() -> None:
    assert explain(NO_WHEEL) == (
        "no wheel of numpy 2.5.99 for python3.12 on arm64 (cp312, manylinux2014_aarch64 to manylinux_2_34_aarch64) in "
        "the package index: name a version that has one in requirements/dev.in, then run `python -m infra.lock`"
    )


def test_file_that_is_not_the_locked_one_is_told_with_its_hash() -> None:
    assert explain(WRONG_HASH) == (
        "numpy-2.5.5-cp312-cp312-manylinux_2_28_aarch64.whl is not the file that was locked (its sha256 is 704d8192): "
        "somebody may have changed it, or the lock; if you know why, run `python -m infra.lock`"
    )


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("noise\nERROR: HTTP error 403\nmore noise\n", "HTTP error 403"),
        ("error: no-reason\n\n× It is broken\n╰─> Really.\n\nhint: Mend it.\n", "It is broken"),
        ("/usr/bin/python3: No module named pip\n", "/usr/bin/python3: No module named pip"),
        ("", "it did not say why"),
    ],
    ids=["an error", "a diagnosis", "no pip", "nothing"],
)
def test_other_failure_is_told_in_the_words_of_pip(said: str, reason: str) -> None:
    assert explain(said) == f"pip failed while building the layers for python3.12 on arm64: {reason}"


def test_full_disk_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"
    pip(tmp_path, monkeypatch, said, code=1)
    with pytest.raises(OSError, match="No space left on device") as caught:
        wheels.install(tmp_path / "made", {}, TARGET, pytest.fail)
    assert caught.value.errno == errno.ENOSPC


def test_failure_comes_as_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip(tmp_path, monkeypatch, NO_WHEEL, code=1)
    with pytest.raises(BundlingError, match=r"\Ano wheel of numpy 2\.5\.99"):
        wheels.install(tmp_path / "made", {}, TARGET, pytest.fail)


def test_progress_is_a_line_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = """\
Collecting numpy==2.5.5 (from -r requirements.txt (line 1))
  Downloading numpy-2.5.5-cp312-cp312-manylinux_2_28_aarch64.whl.metadata (62 kB)
  Downloading https://index.test/numpy-2.5.5-cp312-cp312-manylinux_2_28_aarch64.whl (15.7 MB)
Collecting scipy==1.18.1 (from -r requirements.txt (line 2))
  Using cached scipy-1.18.1-cp312-cp312-manylinux_2_28_aarch64.whl (35.3 MB)
Processing ./wheels/six-1.17.0-py2.py3-none-any.whl (from -r requirements.txt (line 3))
Installing collected packages: six, numpy, scipy
"""
    pip(tmp_path, monkeypatch, RETRY.format(left=2, reason=REFUSED) + said)
    told: list[str] = []
    wheels.install(tmp_path / "made", dict.fromkeys(("numpy", "scipy", "six"), ""), TARGET, told.append)
    assert told == [
        "the package index does not answer, trying again",
        "1/3 downloading numpy 2.5.5, 15.7 MB",
        "2/3 using cached scipy 1.18.1, 35.3 MB",
        "3/3 processing six 1.17.0",
        "unpacking",
    ]
