"""What can go wrong on the local cloud; every message is one sentence for the person at the terminal.

LocalCloudError
├── MiniStackFailed   the emulator did not start or end: its log says more
├── SynthesisFailed   the CDK app gave no template
└── StackFailed       a resource could not be made: it is named with the reason
"""


class LocalCloudError(Exception):
    """Caught by the command, which shows its message and nothing else."""


class MiniStackFailed(LocalCloudError):
    """The emulator did not start or end."""


class SynthesisFailed(LocalCloudError):
    """The CDK app gave no template."""


class StackFailed(LocalCloudError):
    """A resource could not be made."""
