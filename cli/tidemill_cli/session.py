"""What one call of the command has: its console, and the cloud that it works on."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tidemill_cli.console import Console

if TYPE_CHECKING:
    from tidemill_cli.cloud import Target


@dataclass
class Session:
    """`options` are the global ones; the cloud is looked for when a command first needs it."""

    console: Console
    options: dict[str, Any] = field(default_factory=dict)

    def note(self, **options: Any) -> None:
        """What is said after the sub-command is added to what was said before it."""
        self.options.update({name: value for name, value in options.items() if value})

    @cached_property
    def target(self) -> "Target":
        # boto3 takes a quarter of a second to import, which --help and wrong usage do not wait for.
        from tidemill_cli.cloud import Wish, choose  # noqa: PLC0415

        target = choose(Wish(**self.options))
        if not target.is_local:
            self.console.say(f"on AWS: {target.name}")
        return target
