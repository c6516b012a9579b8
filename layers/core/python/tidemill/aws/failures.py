"""The one place that turns what AWS and its clients raise into our errors.

boto3's errors are known by where they come from, not by their classes: to import those would cost infer more than all
else that it imports.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tidemill.errors import InvalidSettings, NotFound, StoreUnavailable, TidemillError

_ABSENT = frozenset({"NoSuchKey", "NoSuchVersion", "404", "ResourceNotFoundException", "NoSuchBucket"})
_REFUSED = frozenset({"AccessDenied", "AccessDeniedException", "403", "UnauthorizedOperation"})
_SDK = frozenset({"boto3", "botocore", "s3transfer"})


class ConditionFailed(Exception):
    """Somebody else was first: a write's condition did not hold. An answer, and no failure."""


class Refused(Exception):
    """AWS answered our own client that it will not; `response` has the shape of that of botocore's ClientError."""

    def __init__(self, code: str, message: str) -> None:
        self.response = {"Error": {"Code": code, "Message": message}}
        super().__init__(f"{code}: {message}")


class Unreachable(Exception):
    """Our own client got no answer, however often it asked."""


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """`doing` finishes the sentence "failed while …"; a condition that did not hold is told by `ConditionFailed`."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, Refused | Unreachable) and not _of_the_sdk(error):
            raise
        answer = getattr(error, "response", None)
        if isinstance(answer, dict) and "Error" in answer:
            raise _meaning(answer, doing) from error
        raise StoreUnavailable(f"{type(error).__name__} while {doing}: {error}") from error


def _of_the_sdk(error: Exception) -> bool:
    """Clients make classes of their own at run time, so any ancestor counts."""
    return any(kind.__module__.partition(".")[0] in _SDK for kind in type(error).__mro__)


def _meaning(answer: Mapping[str, Any], doing: str) -> ConditionFailed | TidemillError:
    code = answer["Error"].get("Code", "Unknown")
    if _is_conditional(code, answer):
        return ConditionFailed(code)
    if code in _ABSENT:
        return NotFound(f"not found while {doing}")
    if code in _REFUSED:
        return InvalidSettings(f"{code} while {doing}: the role in use lacks a permission for it")
    return StoreUnavailable(f"{code} while {doing}")


def _is_conditional(code: str, answer: Mapping[str, Any]) -> bool:
    if code == "TransactionCanceledException":
        return any(reason.get("Code") == "ConditionalCheckFailed" for reason in answer.get("CancellationReasons", ()))
    return code in ("ConditionalCheckFailedException", "PreconditionFailed")
