"""The one place that turns what AWS raises into our errors."""

from collections.abc import Iterator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from tidemill.errors import InvalidSettings, NotFound, StoreUnavailable

_ABSENT = frozenset({"NoSuchKey", "NoSuchVersion", "404", "ResourceNotFoundException", "NoSuchBucket"})
_REFUSED = frozenset({"AccessDenied", "AccessDeniedException", "403", "UnauthorizedOperation"})


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """`doing` finishes the sentence "failed while …"; conditional failures pass, since they are answers."""
    try:
        yield
    except ClientError as error:
        if is_conditional(error):
            raise
        code = code_of(error)
        if code in _ABSENT:
            raise NotFound(f"not found while {doing}") from error
        if code in _REFUSED:
            raise InvalidSettings(f"{code} while {doing}: the role in use lacks a permission for it") from error
        raise StoreUnavailable(f"{code} while {doing}") from error
    except (BotoCoreError, Boto3Error) as error:
        raise StoreUnavailable(f"{type(error).__name__} while {doing}: {error}") from error


def is_conditional(error: ClientError) -> bool:
    """Somebody else was first: a write's condition did not hold."""
    if code_of(error) == "TransactionCanceledException":
        reasons = error.response.get("CancellationReasons", [])
        return any(reason.get("Code") == "ConditionalCheckFailed" for reason in reasons)
    return code_of(error) in ("ConditionalCheckFailedException", "PreconditionFailed")


def code_of(error: ClientError) -> str:
    return error.response["Error"].get("Code", "Unknown")
