"""The command `tidemill`: every sub-command's arguments, and what its exit code says.

0 done · 2 wrong usage · 3 invalid input · 4 not found · 1 anything else. The work is in `commands/`, which is
imported by the sub-command that needs it: pyarrow and boto3 take a second that --help does not wait for.
"""
# ruff: noqa: PLC0415

import inspect
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial, wraps
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tidemill.errors import InvalidInput, NotFound, TidemillError
from tidemill_cli.console import Console, Result
from tidemill_cli.local.errors import LocalCloudError
from tidemill_cli.session import Session

_PANEL = "Everywhere"
_EVERYWHERE: dict[str, Any] = {
    "as_json": (
        Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.", rich_help_panel=_PANEL)],
        False,
    ),
    "local": (
        Annotated[bool, typer.Option("--local", help="Work on the local cloud.", rich_help_panel=_PANEL)],
        False,
    ),
    "profile": (
        Annotated[str, typer.Option(metavar="NAME", help="AWS profile.", rich_help_panel=_PANEL)],
        "",
    ),
    "region": (Annotated[str, typer.Option(metavar="NAME", help="AWS region.", rich_help_panel=_PANEL)], ""),
    "environment": (
        Annotated[
            Literal["dev", "staging", "prod"] | None,
            typer.Option(help="Which stack on AWS, Tidemill-ENVIRONMENT; dev if not said.", rich_help_panel=_PANEL),
        ],
        None,
    ),
}

Model = Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.", show_default=False)]
Timeout = Annotated[float, typer.Option(metavar="SECONDS", help="Seconds to wait at most.", min=0)]

app = typer.Typer(
    help="Machine learning that turns when data comes in: upload a file, get a model behind an endpoint.",
    epilog="Works on the local cloud when it runs, else on AWS; --profile, --region and --environment ask for AWS.",
    add_completion=False,
)
local = typer.Typer(help="The cloud on this machine.")
app.add_typer(local, name="local")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code; never a stack trace, unless TIDEMILL_DEBUG asks for one."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    console = Console(as_json="--json" in given)
    try:
        outcome = app(given or ["--help"], prog_name="tidemill", standalone_mode=False, obj=Session(console))
        if isinstance(outcome, Result):
            console.show(outcome)
            return outcome.exit_code
        return int(outcome or 0)
    except BrokenPipeError:
        # Who reads has read enough; Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001
        if os.environ.get("TIDEMILL_DEBUG"):
            traceback.print_exc()
        code, sentence = _explained(error)
        console.fail(sentence, {"errors": error.fields} if hasattr(error, "fields") else {})
        return code


def _explained(error: Exception) -> tuple[int, str]:
    """Exit code and one sentence."""
    notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    match error:
        case InvalidInput():
            return 3, f"{error}{notes}"
        case NotFound():
            return 4, f"{error}{notes}"
        case TidemillError() | LocalCloudError():
            return 1, f"{error}{notes}"
        case typer.TyperException():
            context = getattr(error, "ctx", None)
            hint = f" (see `{context.command_path} --help`)" if context else ""
            return 2, f"{error.format_message().rstrip('.')}{hint}"
        case OSError(filename=str(name), strerror=str(reason)):
            return 1, f"{name}: {reason}"
    sentence = " ".join(str(error).split()) or "no reason given"
    return 1, f"{type(error).__name__}: {sentence} (TIDEMILL_DEBUG=1 shows where)"


def _with_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Takes the options that every command has, before the sub-command and after it, and gives a `Session`."""
    own = list(inspect.signature(function).parameters.values())[1:]
    everywhere = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        for name, (annotation, default) in _EVERYWHERE.items()
    ]
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    parameters = [context, *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own), *everywhere]

    @wraps(function)
    def command(context: typer.Context, **arguments: Any) -> Any:
        session: Session = context.obj
        given = {name: arguments.pop(name) for name in _EVERYWHERE}
        del given["as_json"]  # The console knows.
        session.note(**given)
        if session.options.get("local") and len(session.options) > 1:
            raise typer.BadParameter(
                "it cannot be used together with --profile, --region or --environment",
                context,
                param_hint="--local",
            )
        try:
            return function(session, **arguments)
        except KeyboardInterrupt:
            raise TidemillError("interrupted; what was started on the cloud goes on there") from None

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _command(function: Callable[..., Result], name: str | None = None) -> Callable[..., Result]:
    app.command(name)(_with_options(function))
    return function


def _local_command(function: Callable[..., Result]) -> Callable[..., Result]:
    local.command()(_with_options(function))
    return function


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"tidemill {package_version('tidemill')}")
        raise typer.Exit


@app.callback()
@_with_options
def _everywhere(
    _session: Session,
    version: Annotated[
        bool,
        typer.Option("--version", help="Say which version this is.", callback=_say_version, is_eager=True),
    ] = False,
) -> None:
    """What is said before the sub-command."""


@_command
def init(
    session: Session,
    model: Model,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV or Parquet file.", show_default=False)],
    target: Annotated[str, typer.Option(metavar="COLUMN", help="The column to predict.", show_default=False)],
    id: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column that names a row.")] = None,  # noqa: A002
    time: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column that says when it happened.")] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="A column known only after the fact; may be repeated."),
    ] = None,
    task: Annotated[
        Literal["classification", "regression"] | None, typer.Option(help="Told from the target if not said.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to write it; MODEL.toml if not said.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the spec that there is.")] = False,
) -> Result:
    """Write a model's spec from data and upload it."""
    from tidemill_cli.commands.init import init as work
    from tidemill_cli.specfile import minimal

    return work(session, model, file, minimal(target, task, id, time, exclude or ()), out=out, force=force)


@_command
def spec(
    session: Session,
    model: Model,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="The spec to check and upload.", show_default=False),
    ] = None,
) -> Result:
    """Show a model's spec, or check FILE and upload it."""
    from tidemill_cli.commands.init import put_spec, show_spec

    return put_spec(session, model, file) if file else show_spec(session, model)


@partial(_command, name="try")
def attempt(
    session: Session,
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="The spec, a TOML file.", show_default=False)],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV or Parquet file.", show_default=False)],
) -> Result:
    """Train on this machine what SPEC names, with FILE, and upload nothing."""
    from tidemill_cli.commands.init import read_spec
    from tidemill_cli.commands.trial import attempt as work

    return work(session, read_spec(spec)[1], file)


@_command
def upload(
    session: Session,
    model: Model,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV or Parquet file.", show_default=False)],
    wait: Annotated[bool, typer.Option("--wait", help="Until the run has ended.")] = False,
    timeout: Timeout = 7200,
) -> Result:
    """Upload a file: the pipeline prepares, trains, validates and deploys."""
    from tidemill_cli.commands.upload import upload as work
    from tidemill_cli.runs import Waiting

    return work(session, model, file, waiting=Waiting(timeout) if wait else None)


@_command
def predict(
    session: Session,
    model: Model,
    rows: Annotated[
        str | None, typer.Argument(metavar="[JSON]", help='An object, a list of them or {"rows": […]}.')
    ] = None,
    file: Annotated[Path | None, typer.Option(metavar="FILE", help="Rows in CSV, Parquet, JSON or JSON Lines.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the predictions as CSV, too.")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Tell which fields moved the first 20; with --json, all of them.")
    ] = False,
) -> Result:
    """Predict any number of rows."""
    from tidemill_cli.commands.predict import predict as work

    if (rows is None) == (file is None):
        raise typer.BadParameter("give rows either as JSON or with --file", param_hint="JSON")
    return work(session, model, argument=rows, file=file, out=out, explain=explain)


@_command
def batch(
    session: Session,
    model: Model,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Rows in CSV or Parquet.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write them; FILE.predictions if not said.")
    ] = None,
    timeout: Timeout = 3600,
) -> Result:
    """Predict all rows of a file of up to 4 GB, by one version."""
    from tidemill_cli.commands.batch import batch as work
    from tidemill_cli.runs import Waiting

    return work(session, model, file, Waiting(timeout), out)


@_command
def label(
    session: Session,
    model: Model,
    file: Annotated[Path, typer.Option(metavar="FILE", help="Columns id and label: CSV, Parquet, JSON, JSON Lines.")],
) -> Result:
    """Tell what came true of earlier predictions."""
    from tidemill_cli.commands.predict import label as work

    return work(session, model, file)


@_command
def monitor(
    session: Session,
    model: Model,
    window: Annotated[
        str | None,
        typer.Option(metavar="START/END", help="Which predictions; those of the spec's window if not said."),
    ] = None,
    backfill: Annotated[
        int | None,
        typer.Option(metavar="N", help="What an outage left unchecked of the last N windows, the oldest first.", min=1),
    ] = None,
    wait_retrain: Annotated[
        bool, typer.Option("--wait-retrain", help="Until a retrain has ended, if one starts.")
    ] = False,
    timeout: Timeout = 7200,
) -> Result:
    """Check drift and performance now; a retrain starts if it is called for."""
    from tidemill_cli.commands.monitor import backfill as work_back
    from tidemill_cli.commands.monitor import monitor as work
    from tidemill_cli.runs import Waiting

    if backfill is None:
        return work(session, model, window, Waiting(timeout), wait_retrain=wait_retrain)
    if window is not None or wait_retrain:
        raise typer.BadParameter("it stands for windows of its own, and waits for no retrain", param_hint="--backfill")
    return work_back(session, model, backfill, Waiting(timeout))


@_command
def retrain(
    session: Session,
    model: Model,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it stays in the model's history.")],
    wait: Annotated[bool, typer.Option("--wait", help="Until the run has ended.")] = False,
    timeout: Timeout = 7200,
) -> Result:
    """Retrain now, whatever the governor would say; only not beside another run of the model."""
    from tidemill_cli.commands.retrain import retrain as work
    from tidemill_cli.runs import Waiting

    if not reason.strip():
        raise typer.BadParameter("say why: it stays in the model's history", param_hint="--reason")
    return work(session, model, reason, waiting=Waiting(timeout) if wait else None)


@_command
def governor(
    session: Session,
    model: Model,
    pause: Annotated[bool, typer.Option("--pause", help="Let no check start a retrain.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="End a pause, and forget retrains that were in vain.")
    ] = False,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it stays in the model's history.")] = "",
) -> Result:
    """Say whether a check may start a retrain now, and if not, why."""
    from tidemill_cli.commands.retrain import governor as work

    if pause and resume:
        raise typer.BadParameter("it cannot be used together with --resume", param_hint="--pause")
    if (pause or resume) != bool(reason.strip()):
        raise typer.BadParameter("--pause and --resume each need a --reason", param_hint="--reason")
    return work(session, model, pause=pause, resume=resume, reason=reason)


@_command
def models(session: Session) -> Result:
    """List the models."""
    from tidemill_cli.commands.registry import models as work

    return work(session)


@_command
def runs(session: Session, model: Model) -> Result:
    """List a model's runs, the newest first."""
    from tidemill_cli.commands.registry import runs as work

    return work(session, model)


@_command
def history(session: Session, model: Model) -> Result:
    """Tell what happened to a model: who, what, why."""
    from tidemill_cli.commands.registry import history as work

    return work(session, model)


@_command
def rollback(
    session: Session,
    model: Model,
    to: Annotated[
        int | None,
        typer.Option(metavar="N", help="The version; the champion before this one if not said.", min=1),
    ] = None,
) -> Result:
    """Make an earlier version serve again."""
    from tidemill_cli.commands.registry import rollback as work

    return work(session, model, to)


@_command
def report(
    session: Session,
    model: Model,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Of this run; the newest if nothing is said.")] = None,
    version: Annotated[int | None, typer.Option(metavar="N", help="Of this version.", min=1)] = None,
    check: Annotated[str | None, typer.Option(metavar="CHECK", help="Of this check.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to write it; below .tidemill/reports if not said."),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show it in a browser.")] = False,
) -> Result:
    """Fetch the report of a run, a version or a check."""
    from tidemill_cli.commands.report import report as work

    if sum(value is not None for value in (run, version, check)) > 1:
        raise typer.BadParameter("name only one of a run, a version and a check", param_hint="--run")
    return work(session, model, run=run, version=version, check=check, out=out, show=open_)


@_command
def endpoint(session: Session) -> Result:
    """Say where the HTTP endpoint is."""
    from tidemill_cli.commands.registry import endpoint as work

    return work(session)


@_command
def proxy(
    session: Session,
    port: Annotated[int, typer.Option(metavar="N", help="On 127.0.0.1; 0 takes any.", min=0, max=65535)] = 8765,
) -> Result:
    """Answer on this machine as the endpoint does, signed: for a browser, which can sign nothing."""
    from tidemill_cli.commands.proxy import proxy as work

    return work(session, port)


@_command
def doctor(session: Session) -> Result:
    """Check this machine and the local cloud, or with --environment an account: what to mend before deploying."""
    from tidemill_cli.commands.doctor import doctor as work

    return work(session)


@_local_command
def up(
    session: Session,
    deploy: Annotated[bool, typer.Option(help="Without, MiniStack only starts, for `cdk deploy`.")] = True,
    port: Annotated[int | None, typer.Option(metavar="N", help="Another is taken where it is in use.", min=0)] = None,
) -> Result:
    """Start it, and deploy what has changed."""
    from tidemill_cli.commands.local import up as work

    return work(session, deploy=deploy, port=port)


@_local_command
def down(session: Session) -> Result:
    """Stop it; what it stores is kept."""
    from tidemill_cli.commands.local import down as work

    return work(session)


@_local_command
def status(session: Session) -> Result:
    """Say whether it runs, and where."""
    from tidemill_cli.commands.local import status as work

    return work(session)


@_local_command
def reset(session: Session) -> Result:
    """Stop it and delete all that it stores."""
    from tidemill_cli.commands.local import reset as work

    return work(session)


if __name__ == "__main__":
    sys.exit(main())
