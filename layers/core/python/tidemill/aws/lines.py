"""What infer writes to its log, a line of JSON each: what went wrong, metrics, and whatever else is to be carried on.

Powertools does the first two for the other functions. Its import takes longer than a reply, so here is the little of it
that serving needs, in the same form.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Event = Mapping[str, Any]


def now() -> datetime:
    return datetime.now(UTC)


def environment() -> Mapping[str, str]:
    return os.environ


def tell(level: str, message: str, **facts: Any) -> None:
    """Something that people read."""
    write(
        json.dumps(
            {
                "level": level,
                "message": message,
                "timestamp": now().isoformat(timespec="milliseconds"),
                "service": os.environ.get("POWERTOOLS_SERVICE_NAME", ""),
                **facts,
            },
            default=str,
        )
    )


def count(name: str, value: float = 1, **dimensions: str) -> None:
    """One number in CloudWatch, by embedded metric format: it costs a log line and no call."""
    dimensions["service"] = os.environ.get("POWERTOOLS_SERVICE_NAME", "")
    metric = {
        "Namespace": os.environ.get("POWERTOOLS_METRICS_NAMESPACE", ""),
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": name, "Unit": "Count"}],
    }
    described = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metric]}
    write(json.dumps({"_aws": described, **dimensions, name: [float(value)]}))


def write(line: str) -> None:
    """At once and whole: after the reply nothing runs."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
