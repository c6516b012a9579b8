"""Asks for known vulnerabilities of every locked package: `python -m infra.audit`. Nothing is installed.

Exit 0: none is known that was not accepted; 1: some are; 2: no one could be asked, which is no verdict.

pip-audit asks, but it takes a service that knows no package for one that knows no vulnerability, and it leaves out what
a marker keeps from the Python that runs it. So a service is first asked for one that it must know, and every version in
the locks is asked for.
"""

import argparse
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from packaging.utils import canonicalize_name

from infra.lock import LOCKS, ROOT
from infra.packages import read_pins

ACCEPTED = Path("requirements/audit.toml")
KNOWN = ("django", "2.2")
"""A package that is locked nowhere, and a version with dozens of published vulnerabilities."""

NOT_COVERED = (
    "Not covered: the AWS CDK CLI, which comes from npm; Node.js and other native code inside wheels; "
    "the Python and the boto3 that Lambda brings."
)

Version = tuple[str, str]


class CouldNotAskError(Exception):
    """A service that is not there, or that cannot know."""


class InvalidAcceptanceError(Exception):
    """An entry of the list that nobody could hold anybody to."""


@dataclass(frozen=True)
class Finding:
    """`ids`: the advisory and its other names, such as the CVE."""

    package: str
    version: str
    ids: tuple[str, ...]
    fixed: tuple[str, ...]

    def __str__(self) -> str:
        others = f" ({', '.join(self.ids[1:])})" if self.ids[1:] else ""
        remedy = f"fixed in {', '.join(self.fixed)}" if self.fixed else "no version is known that fixes it"
        return f"{self.package} {self.version}: {self.ids[0]}{others}, {remedy}"


@dataclass(frozen=True)
class Acceptance:
    """That a finding does not concern us, why, and until when that may be believed."""

    package: str
    id: str
    reason: str
    until: date

    def covers(self, finding: Finding) -> bool:
        return canonicalize_name(self.package) == finding.package and self.id in finding.ids


def read_accepted(text: str) -> list[Acceptance]:
    """Raises `InvalidAcceptanceError` for an entry that lacks one of its four keys."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidAcceptanceError(f"is not valid TOML: {error}") from None
    accepted = []
    for number, entry in enumerate(document.pop("accepted", []), 1):
        texts = [entry.get(key) for key in ("package", "id", "reason")]
        # A date, and not the moment that TOML has too, which is a date as well to Python.
        whole = all(isinstance(one, str) and one for one in texts) and type(entry.get("until")) is date
        if not whole or len(entry) != 4:
            raise InvalidAcceptanceError(
                f"entry {number} needs package, id and reason as text, until as a date such as 2027-01-31, no other key"
            )
        accepted.append(Acceptance(**entry))
    if document:
        raise InvalidAcceptanceError(f"knows [[accepted]] only, not {', '.join(document)}")
    return accepted


def judge(findings: Iterable[Finding], accepted: Sequence[Acceptance], today: date) -> tuple[list[str], list[str]]:
    """What fails, and what is worth a word."""
    valid = [one for one in accepted if today <= one.until]
    expired = [one for one in accepted if today > one.until]
    failures = [str(finding) for finding in findings if not any(one.covers(finding) for one in valid)]
    failures += [f"{ACCEPTED}: {one.id} of {one.package} was accepted until {one.until} only" for one in expired]
    notes = [
        f"accepted until {one.until}: {finding}, since {one.reason}"
        for finding in findings
        for one in valid
        if one.covers(finding)
    ]
    notes += [
        f"{ACCEPTED}: {one.id} of {one.package} is not found any more, take it out"
        for one in valid
        if not any(one.covers(finding) for finding in findings)
    ]
    return failures, notes


def ask(service: Sequence[str], versions: Iterable[Version]) -> list[Finding]:
    """Raises `CouldNotAskError` unless the service has told of every version."""
    if not _ask_at_once(service, [KNOWN]):
        raise CouldNotAskError(f"it knows of no vulnerability of {KNOWN[0]} {KNOWN[1]}, which has many")
    findings = []
    waiting = sorted(set(versions))
    while waiting:
        # pip-audit takes one version of a package at a time.
        at_once = list({name: (name, version) for name, version in waiting}.values())
        waiting = [one for one in waiting if one not in at_once]
        findings += _ask_at_once(service, at_once)
    return sorted(findings, key=str)


def _ask_at_once(service: Sequence[str], versions: Sequence[Version]) -> list[Finding]:
    with TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text("".join(f"{name}=={version}\n" for name, version in versions), encoding="utf-8")
        command = [
            *(sys.executable, "-m", "pip_audit", "--requirement", str(requirements)),
            *("--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"),
            *service,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        entries = json.loads(done.stdout)["dependencies"]
    except ValueError:
        raise CouldNotAskError(_last_line(done.stderr)) from None
    unknown = [entry for entry in entries if "skip_reason" in entry]
    if unknown or len(entries) != len(versions):
        raise CouldNotAskError(f"it does not know {unknown[0]['name'] if unknown else 'all of the packages'}")
    return [_finding(entry, vulnerability) for entry in entries for vulnerability in entry["vulns"]]


def _finding(entry: dict[str, Any], vulnerability: dict[str, Any]) -> Finding:
    ids = (vulnerability["id"], *sorted(vulnerability["aliases"]))
    return Finding(entry["name"], entry["version"], ids, tuple(vulnerability["fix_versions"]))


def _last_line(text: str) -> str:
    """Of what pip-audit told or, of a chain of errors, its first cause."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].rpartition("Caused by ")[2][:200] if lines else "pip-audit said nothing"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.audit", description="Asks for known vulnerabilities.")
    parser.add_argument("--osv-url", help="ask only this service, which speaks OSV's API, such as a mirror of your own")
    url = parser.parse_args(arguments).osv_url
    osv = ("--vulnerability-service", "osv")
    services = {url: (*osv, "--osv-url", url)} if url else {"PyPI": (), "OSV": osv}
    try:
        accepted = read_accepted((ROOT / ACCEPTED).read_text(encoding="utf-8"))
    except InvalidAcceptanceError as error:
        print(f"{ACCEPTED} {error}", file=sys.stderr)
        return 2
    pins = [pin for lock in LOCKS for pin in read_pins((ROOT / lock).read_text(encoding="utf-8"))]
    versions = {(pin.name, pin.version) for pin in pins}
    refusals = []
    for name, service in services.items():
        print(f"Asking {name} about {len(versions)} versions in {' and '.join(map(str, LOCKS))} …", flush=True)
        try:
            findings = ask(service, versions)
        except CouldNotAskError as error:
            refusals.append(f"{name} ({error})")
            continue
        return _tell(name, *judge(findings, accepted, datetime.now(UTC).date()))
    print(f"No verdict: could not ask {', nor '.join(refusals)}.", file=sys.stderr)
    return 2


def _tell(service: str, failures: Sequence[str], notes: Sequence[str]) -> int:
    for line in (*notes, *failures):
        print(line)
    print(NOT_COVERED)
    if failures:
        print(f"FAILED: {len(failures)} to be mended, as {service} knows today.")
        return 1
    print(f"No known vulnerability that was not accepted, as {service} knows today.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
