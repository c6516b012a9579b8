"""What every handler does around its one call: structured logs with the ids of the work, metrics, our errors."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit, single_metric

from tidemill.aws.lines import Event
from tidemill.errors import TidemillError

Handler = Callable[[Event, Any], Any]

logger = Logger()

_IDS = ("model", "run", "candidate", "check")


def instrumented(handler: Handler) -> Handler:
    """Log the outcome once, with the ids that the event carries; an error of ours is one line, not a trace."""

    @wraps(handler)
    def wrapped(event: Event, context: Any) -> Any:
        logger.append_keys(**{name: event[name] for name in _IDS if name in event})
        logger.append_keys(request_id=getattr(context, "aws_request_id", ""))
        try:
            result = handler(event, context)
        except TidemillError as error:
            logger.warning("%s: %s", type(error).__name__, error)
            raise
        except Exception:
            logger.exception("failed unexpectedly")
            raise
        else:
            logger.info("done")
            return result
        finally:
            logger.clear_state()

    return wrapped


def count(name: str, value: float = 1, unit: MetricUnit = MetricUnit.Count, **dimensions: str) -> None:
    """One number in CloudWatch, by embedded metric format: it costs a log line and no call."""
    with single_metric(name, unit, value, default_dimensions=dimensions or None):
        pass


def record(measures: Mapping[str, float], **dimensions: str) -> None:
    """Numbers of units of their own."""
    for name, value in measures.items():
        count(name, value, MetricUnit.NoUnit, **dimensions)
