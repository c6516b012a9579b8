"""`tidemill doctor`: what stands in the way of the local cloud, or of a deployment to an account."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from tidemill_cli import facts
from tidemill_cli.checkup import Finding, Needs, Unknown, examine_account, examine_local, examine_machine
from tidemill_cli.cloud import Wish, local_cloud, project_root
from tidemill_cli.console import Result
from tidemill_cli.session import Session

_SHOWN = {"ok": "ok", "warn": "warn", "fail": "FAIL", "unknown": "?"}


def doctor(session: Session) -> Result:
    wish = Wish(**session.options)
    where = f"environment {wish.environment or 'dev'} on AWS" if wish.aws else "the local cloud"
    with session.console.progress(f"examining this machine and {where}"):
        findings = list(_on_aws(wish) if wish.aws else _on_this_machine())
    failed = sum(finding.verdict == "fail" for finding in findings)
    return Result(
        {"ok": not failed, "where": where, "findings": [asdict(finding) for finding in findings]},
        [_line(finding) for finding in findings],
        exit_code=1 if failed else 0,
        problem=f"{failed} of {len(findings)} checks failed" if failed else "",
    )


def _on_aws(wish: Wish) -> Iterator[Finding]:
    root = project_root()
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(facts.account, wish)
        needs = facts.needs(root, wish.environment or "dev")
        yield from examine_machine(facts.machine(root, _runtime(needs)), needs, for_aws=True)
        yield from examine_account(asked.result(), needs)


def _on_this_machine() -> Iterator[Finding]:
    root = project_root()
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(facts.local, local_cloud())
        needs = facts.needs(root, "local")
        yield from examine_machine(facts.machine(root, _runtime(needs)), needs, for_aws=False)
        yield from examine_local(asked.result())


def _runtime(needs: Needs | Unknown) -> str | None:
    return None if isinstance(needs, Unknown) else needs.runtime


def _line(finding: Finding) -> str:
    line = f"{_SHOWN[finding.verdict]:<4}  {finding.check:<13} {finding.found}"
    return f"{line}\n      {'':<13} → {finding.remedy}" if finding.remedy else line
