"""The settings of each function, parsed once from a mapping, with all that is wrong said at once."""

from collections.abc import Mapping
from dataclasses import dataclass

from tidemill.errors import InvalidSettings

NEEDS: Mapping[str, frozenset[str]] = {
    "claim": frozenset({"REGISTRY_TABLE", "NOTICE_TOPIC"}),
    "prepare": frozenset({"DATA_BUCKET", "CAPTURE_BUCKET", "REGISTRY_TABLE"}),
    "train": frozenset({"DATA_BUCKET", "MODEL_BUCKET", "REGISTRY_TABLE"}),
    "validate": frozenset({"DATA_BUCKET", "MODEL_BUCKET", "REGISTRY_TABLE"}),
    "deploy": frozenset({"MODEL_BUCKET", "REGISTRY_TABLE"}),
    "notify": frozenset({"REGISTRY_TABLE", "NOTICE_TOPIC"}),
    "infer": frozenset({"MODEL_BUCKET", "CAPTURE_BUCKET", "REGISTRY_TABLE", "CAPTURE", "AUTHORIZATION"}),
    "capture": frozenset({"CAPTURE_BUCKET"}),
    "batch": frozenset({"DATA_BUCKET", "MODEL_BUCKET", "REGISTRY_TABLE", "NOTICE_TOPIC"}),
    "list_models": frozenset({"DATA_BUCKET", "REGISTRY_TABLE"}),
    "monitor": frozenset({"DATA_BUCKET", "MODEL_BUCKET", "CAPTURE_BUCKET", "REGISTRY_TABLE"}),
}
"""What each function reads from its environment; the template's environment is tested against it."""

CHOICES: Mapping[str, tuple[str, ...]] = {
    "CAPTURE": ("log", "store"),
    "AUTHORIZATION": ("AWS_IAM", "API_KEY", "NONE"),
}


@dataclass(frozen=True)
class Settings:
    """Names of the stores; a store that a function does not need is the empty string."""

    data_bucket: str = ""
    model_bucket: str = ""
    capture_bucket: str = ""
    registry_table: str = ""
    notice_topic: str = ""
    capture: str = ""
    """How infer hands over what it answered: "log" writes a line that the log's subscription carries on, "store" an
    object, before the reply."""
    authorization: str = ""
    """Whom the API lets through to infer, which only tells it: AWS_IAM, API_KEY or NONE."""

    @classmethod
    def of(cls, function: str, environment: Mapping[str, str]) -> "Settings":
        needed = NEEDS[function]
        missing = sorted(name for name in needed if not environment.get(name))
        problems = [f"{name} is missing in function {function!r}" for name in missing]
        for name, known in CHOICES.items():
            if name in needed and environment.get(name) not in (None, "", *known):
                problems.append(f"{name}={environment[name]!r} is none of {', '.join(known)}")
        if problems:
            raise InvalidSettings("; ".join(problems))
        return cls(**{name.lower(): environment[name] for name in needed})
