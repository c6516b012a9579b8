"""The table of stages: one Lambda function each."""

from dataclasses import dataclass

EVERY_FUNCTION = ("core", "powertools")
"""The layers that every function has, beside its own."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """`layers` come after `EVERY_FUNCTION`; `environment` names resources, whose values the stack knows."""

    name: str
    layers: tuple[str, ...] = ()
    environment: tuple[str, ...]
    timeout: int
    memory: int
    disk: int = 512

    @property
    def all_layers(self) -> tuple[str, ...]:
        return (*EVERY_FUNCTION, *self.layers)


STAGES = (
    Stage(name="claim", environment=("REGISTRY_TABLE", "NOTICE_TOPIC"), timeout=30, memory=256),
    Stage(
        name="prepare",
        layers=("data",),
        environment=("DATA_BUCKET", "CAPTURE_BUCKET", "REGISTRY_TABLE"),
        timeout=900,
        memory=4096,
        # MB: an upload of 4 GB, and all that is made of it.
        disk=10_240,
    ),
    Stage(
        name="train",
        layers=("ml", "export", "estimators"),
        environment=("DATA_BUCKET", "MODEL_BUCKET", "REGISTRY_TABLE"),
        timeout=900,
        memory=4096,
    ),
    Stage(
        name="validate",
        layers=("serve",),
        environment=("DATA_BUCKET", "MODEL_BUCKET", "REGISTRY_TABLE"),
        timeout=900,
        memory=4096,
    ),
    Stage(name="deploy", environment=("MODEL_BUCKET", "REGISTRY_TABLE"), timeout=60, memory=256),
    Stage(name="notify", environment=("REGISTRY_TABLE", "NOTICE_TOPIC"), timeout=30, memory=256),
    # 29 s: API Gateway gives up on its integration then.
    Stage(
        name="infer",
        layers=("serve",),
        environment=("MODEL_BUCKET", "CAPTURE_BUCKET", "REGISTRY_TABLE", "CAPTURE", "AUTHORIZATION"),
        timeout=29,
        memory=1024,
    ),
    # A batch of a log unzips to some megabytes.
    Stage(name="capture", environment=("CAPTURE_BUCKET",), timeout=60, memory=512),
    Stage(
        name="batch",
        layers=("data", "score"),
        environment=("DATA_BUCKET", "MODEL_BUCKET", "REGISTRY_TABLE", "NOTICE_TOPIC"),
        timeout=900,
        memory=3072,
        # MB: a file of 4 GB, and as much of predictions and of problems.
        disk=10_240,
    ),
    Stage(name="list_models", environment=("DATA_BUCKET", "REGISTRY_TABLE"), timeout=30, memory=256),
    Stage(
        name="monitor",
        layers=("data",),
        environment=("DATA_BUCKET", "MODEL_BUCKET", "CAPTURE_BUCKET", "REGISTRY_TABLE"),
        timeout=900,
        memory=2048,
    ),
)
