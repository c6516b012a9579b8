"""Installs locked wheels for Lambda's platform, by the pip that runs here; its progress and failures in our words."""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from infra.packages import BundlingError, Target

Tell = Callable[[str], None]

FULL = re.compile("|".join(map(os.strerror, (errno.ENOSPC, errno.EDQUOT))))
"""How a program that we run says that the disk is full."""

_RETRIES = 3
_PROGRESS = re.compile(
    r" *(Downloading|Using cached|Processing) (?:\S*/)?([^\s/-]+)-([^\s/-]+)\S*\.whl(?= |$)(?: \(([\d.]+ \w+)\))?"
)
# "… after connection broken by 'ErrorName("HTTPSConnection(host='h', port=443): the reason")': /simple/name/"
_BROKEN = re.compile(r"Retry\(total=(\d+),.*connection broken by '(.*)': \S+$", re.MULTILINE)
_HOST = re.compile(r"host='([^']+)'")
_REASON = re.compile(r"[\"'](?:\w+\(.*?\): )?(.+?)[\"']\)+$")
_BROKEN_OFF = re.compile(r"^error: (?:connection|incomplete|proxy|ssl)-\S+\n\n× (.*)$", re.MULTILINE)
_MISSING = re.compile(r"^ERROR: No matching distribution found for (\S+)==(\S+)", re.MULTILINE)
_UNEXPECTED = re.compile(r"DO NOT MATCH THE HASHES.*?/([^/\s]+\.whl).*?Got +(\w+)", re.DOTALL)


def install(folder: Path, lines: Mapping[str, str], target: Target, tell: Tell) -> None:
    """`lines` are those of the lock, by package. Raises `BundlingError`, and `OSError` if the disk is full."""
    requirements = folder.with_name("requirements.txt")
    requirements.write_text("\n".join(lines.values()), encoding="utf-8")
    command = [
        *(sys.executable, "-m", "pip", "install", "--no-input", "--disable-pip-version-check"),
        *("--progress-bar", "off", f"--retries={_RETRIES}"),
        *("--requirement", str(requirements), "--require-hashes", "--target", str(folder)),
        # The lock is the whole set already. What a package says of Pythons, pip holds against the one it runs on.
        *("--no-deps", "--ignore-requires-python"),
        *("--only-binary", ":all:", "--no-compile"),
        *("--implementation", "cp", "--python-version", target.python),
        *(f"--platform={tag}" for tag in target.platforms),
    ]
    # So that nothing is left elsewhere, nor has to cross from one disk to another.
    environment = {**os.environ, "TMPDIR": str(folder.parent), "PYTHONUTF8": "1"}
    said = []
    found = 0
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
    ) as pip:
        for line in pip.stdout or ():
            said.append(line)
            if match := _PROGRESS.match(line):
                found += 1
                verb, name, version, size = match.groups()
                tell(f"{found}/{len(lines)} {verb.lower()} {name} {version}" + (f", {size}" if size else ""))
            elif "Retrying (" in line:
                tell("the package index does not answer, trying again")
            elif line.startswith("Installing collected"):
                tell("unpacking")
    if pip.returncode:
        if FULL.search("".join(said)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise BundlingError(explain("".join(said), target))


def explain(said: str, target: Target) -> str:
    """One sentence from all that pip said when it failed."""
    while_building = f"while building the layers for {target}"
    if match := _UNEXPECTED.search(said):
        file, digest = match.groups()
        return (
            f"{file} is not the file that was locked (its sha256 is {digest}): "
            "somebody may have changed it, or the lock; if you know why, run `python -m infra.lock`"
        )
    broken = [reason for left, reason in _BROKEN.findall(said) if left == "0"]
    if broken or _BROKEN_OFF.search(said):
        why = (broken or _BROKEN_OFF.findall(said))[-1]
        host, reason = _HOST.search(why), _REASON.search(why)
        return (
            f"cannot reach the package index{f' at {host[1]}' if host else ''} {while_building}: "
            f"{reason[1] if reason else why}; check the network, the proxy and `pip config list`, then try again"
        )
    if match := _MISSING.search(said):
        name, version = match.groups()
        newest, *_, oldest = target.platforms
        return (
            f"no wheel of {name} {version} for {target} (cp{target.python.replace('.', '')}, {oldest} to {newest}) "
            f"in the package index: name a version that has one in requirements/dev.in, then run `python -m infra.lock`"
        )
    errors = re.findall("^(?:ERROR: |× )(.*)$", said, re.MULTILINE)
    return f"pip failed {while_building}: {(errors or said.strip().splitlines() or ['it did not say why'])[-1]}"
