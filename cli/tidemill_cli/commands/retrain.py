"""`tidemill retrain`, `governor`: a retrain that a person orders, and what holds back those that checks ask for."""

import json
from dataclasses import asdict
from datetime import UTC, datetime

from tidemill.aws.failures import translated
from tidemill.contracts import retrain_run
from tidemill.flows import govern
from tidemill_cli.console import Result, Table
from tidemill_cli.runs import Run, Waiting, wait
from tidemill_cli.session import Session


def retrain(session: Session, model: str, reason: str, *, waiting: Waiting | None) -> Result:
    target = session.target
    order = govern.order(target.known(model), reason, target.who(), target.registry, datetime.now(UTC))
    try:
        with translated("starting the pipeline"):
            target.states.start_execution(
                stateMachineArn=target.outputs["PipelineArn"],
                name=order.check,
                input=json.dumps({"model": model, **asdict(order)}),
            )
    except Exception:
        govern.forget(model, order.check, target.registry)
        raise
    run = Run(model, retrain_run(model, order.check))
    return (wait(target, model, run.run, session.console, waiting) if waiting else run).result(target)


def governor(session: Session, model: str, *, pause: bool, resume: bool, reason: str) -> Result:
    target, now = session.target, datetime.now(UTC)
    spec, instead = target.watched_by(model)
    if pause:
        govern.pause(model, reason, target.who(), target.registry, now)
    elif resume:
        govern.resume(model, reason, target.who(), target.registry, now)
    found = {**govern.standing(model, spec.retrain, target.registry, now), "spec": instead}
    seconds = f"{found['seconds']:,} of {found['seconds_per_month']:,} seconds"
    rows = [
        ("a check may retrain", "yes" if found["allowed"] else f"no: {found['why']}"),
        ("paused", found["paused"] or None),
        ("in vain in a row", f"{found['in_vain']} of {found['breaker']} that open the breaker"),
        ("in 30 days", f"{found['retrains']} of {found['per_month']} retrains, {seconds}"),
        ("spec", instead or None),
    ]
    return Result({"model": model, **found}, [Table((), rows, model)])
