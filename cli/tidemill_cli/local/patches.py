"""What MiniStack does unlike Lambda and the loop depends on, corrected in its source before it serves.

Each edit names text that must be there exactly once: with another MiniStack the launcher stops and says so,
because a Retry by exception name that silently matches nothing is worse than no local cloud.
"""

import importlib
import inspect
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from types import FunctionType


class PatchMismatch(RuntimeError):
    """MiniStack's source is not what an edit was written for."""


@dataclass(frozen=True)
class Edit:
    """One replacement in the function or string `name` of `owner`, a `module` or a `module:Class`."""

    owner: str
    name: str
    before: str
    after: str
    reason: str


EDITS = (
    Edit(
        owner="ministack.core.lambda_runtime",
        name="_PYTHON_WORKER_SCRIPT",
        before=""""error": str(e), "trace": traceback.format_exc()}) + "\\n")
""",
        after=""""error": str(e), "error_type": type(e).__name__, "trace": traceback.format_exc()}) + "\\n")
        sys.stderr.write("\\x1e\\n")
        sys.stderr.flush()
""",
        reason="the worker says which exception a handler raised, and where the log of a call ends",
    ),
    Edit(
        owner="ministack.services.lambda_svc",
        name="_execute_function_warm",
        before='error_type = "Runtime.HandlerError"',
        after='error_type = result.get("error_type", "Runtime.HandlerError")',
        reason="Retry and Catch of Step Functions match the exception's class name",
    ),
    Edit(
        owner="ministack.core.lambda_runtime:Worker",
        name="_drain_stderr_bounded",
        before="lines.append(self._stderr_queue.get_nowait())",
        after="""line = self._stderr_queue.get(timeout=1)
            if line == "\\x1e":
                break
            lines.append(line)
            start = time.time()""",
        reason="a call waits for its whole log, from which captures are made, and no longer",
    ),
    Edit(
        owner="ministack.services.cloudwatch_logs",
        name="_subscription_pattern_matches",
        before='r"[A-Za-z0-9_./:-]+"',
        after='r"[A-Za-z0-9_/:-]+"',
        reason="the `$.name` of a subscription's pattern is a word of the line",
    ),
    Edit(
        owner="ministack.services.s3",
        name="_fire_s3_event",
        before='"sequencer": sequencer or "0"},',
        after='"sequencer": sequencer or "0", **({"version-id": version_id} if version_id else {})},',
        reason="an upload is claimed by its version",
    ),
    Edit(
        owner="ministack.services.stepfunctions",
        name="_invoke_nested_start_execution",
        before='payload.get("__type", "States.Runtime"),',
        after='"StepFunctions." + payload.get("__type", "Unknown") + "Exception",',
        reason="a retrain that is already running is caught by AWS's name for it",
    ),
)


def apply(edits: Iterable[Edit] = EDITS) -> None:
    """Raises PatchMismatch before anything is changed that cannot be changed whole."""
    for owner, name, value in [(*_locate(edit), _edited(edit)) for edit in edits]:
        setattr(owner, name, value)


def _locate(edit: Edit) -> tuple[object, str]:
    module, _, class_name = edit.owner.partition(":")
    owner: object = importlib.import_module(module)
    return (getattr(owner, class_name) if class_name else owner), edit.name


def _edited(edit: Edit) -> object:
    owner, name = _locate(edit)
    target = getattr(owner, name, "")
    source = textwrap.dedent(inspect.getsource(target)) if isinstance(target, FunctionType) else str(target)
    if source.count(edit.before) != 1:
        raise PatchMismatch(
            f"MiniStack {version('ministack')} is not the one that Tidemill knows: {edit.owner}.{name} "
            f"should hold `{edit.before}` once, so that {edit.reason}; install the one in the requirements"
        )
    source = source.replace(edit.before, edit.after)
    if not isinstance(target, FunctionType):
        return source
    namespace: dict[str, object] = {}
    code = compile(source, target.__code__.co_filename, "exec", dont_inherit=True)
    exec(code, target.__globals__, namespace)  # noqa: S102  MiniStack's own source, one line of it changed.
    return namespace[name]
