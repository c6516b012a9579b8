"""The whole loop on real data, on the local cloud: `make demo`.

Everything is done with the `tidemill` command, as a user would; this script only chooses what to do next and tells
what came of it.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from examples.flights.prepare_data import Tables, write_tables

SPEC = Path(__file__).with_name("flights.toml")
ROW = (
    '{"flight_id": "demo", "carrier": "B6", "origin": "JFK", "dest": "BOS", "distance": 187, "weekday": "Fri",'
    ' "departure_minute": 1110, "arrival_minute": 1185, "temperature": 71.0, "dew_point": 66.0, "humidity": 84.0,'
    ' "wind_direction": 180.0, "wind_speed": 14.0, "wind_gust": null, "precipitation": 0.08, "pressure": 1008.0,'
    ' "visibility": 4.0}'
)


class DemoFailed(Exception):
    """A step did not end as it must; the message says which."""


@dataclass
class Story:
    """What happened, for the table at the end."""

    console: Console
    started: float = field(default_factory=time.monotonic)
    lines: list[tuple[str, str, str]] = field(default_factory=list)

    def chapter(self, title: str) -> None:
        self.console.print(f"\n[bold]{title}[/bold]  [dim]{self.clock()}[/dim]")

    def tell(self, what: str, came_of_it: str, *, at: str = "") -> None:
        self.console.print(f"  {came_of_it}")
        self.lines.append((at or self.clock(), what, came_of_it))

    def table(self) -> Table:
        table = Table(title="What happened", title_justify="left", show_lines=True)
        for column in ("at", "what", "what came of it"):
            table.add_column(column, overflow="fold")
        for line in self.lines:
            table.add_row(*line)
        return table

    def clock(self) -> str:
        seconds = int(time.monotonic() - self.started)
        return f"{seconds // 60}:{seconds % 60:02d}"


def main() -> int:
    console = Console(highlight=False)
    story = Story(console)
    try:
        with tempfile.TemporaryDirectory(prefix="tidemill-") as folder:
            _play(story, Path(folder))
    except DemoFailed as error:
        console.print(story.table())
        console.print(f"\n[bold red]The demo failed:[/bold red] {error}")
        return 1
    return 0


def _play(story: Story, folder: Path) -> None:
    story.chapter("The local cloud")
    tidemill("local", "up")
    url = tidemill("endpoint")["url"]
    story.tell("local cloud", f"the template is deployed; the endpoint is {url}")

    story.chapter("The data: flights that left New York in 2013")
    tables = write_tables(folder)
    model = _free_name()
    tidemill("spec", model, str(SPEC))
    story.tell("spec", f"model {model!r}: will a flight arrive over 15 minutes late, known an hour before departure?")

    first = _winter(story, model, tables)
    checked = _spring(story, model, tables)
    second = _retrain(story, checked)
    _broken(story, model, tables, second)
    _rollback(story, model, first, second)

    story.console.print()
    story.console.print(story.table())
    _where(story.console, model, url, checked, first, second)
    story.console.print(
        f"\n[bold green]The loop turned[/bold green] in {int(time.monotonic() - story.started)} s: upload, champion, "
        "drift, retrain, better champion, quarantine, rollback. The local cloud stays up: "
        "`tidemill local down` stops it, `tidemill local reset` deletes it."
    )


def _winter(story: Story, model: str, tables: Tables) -> int:
    story.chapter("Winter is uploaded; a first champion")
    run = tidemill("upload", model, str(tables.winter), "--wait")
    _expect(run["status"] == "promoted", f"the first upload ended as {run['status']}: {run['reasons']}")
    report = tidemill("report", model, "--run", run["run"])
    score = report["summary"]
    told = f"ROC AUC {score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})"
    rows = f"{score['held_out']:,} held-out rows"
    story.tell("upload of winter", f"version {run['version']} serves; {told} on {rows}")
    return int(run["version"])


def _spring(story: Story, model: str, tables: Tables) -> dict[str, Any]:
    story.chapter("Spring: predictions over HTTP, and later what really happened")
    began = time.monotonic()
    predicted = len(tidemill("predict", model, "--file", str(tables.spring))["predictions"])
    rate = predicted / (time.monotonic() - began)
    story.tell("predictions", f"{predicted:,} flights predicted over HTTP ({rate:,.0f} a second, in chunks)")
    labelled = tidemill("label", model, "--file", str(tables.labels))["accepted"]
    story.tell("labels", f"{labelled:,} of them came with what really happened")
    story.chapter("The drift check")
    at = story.clock()
    checked = tidemill("monitor", model, "--wait-retrain")
    _expect(checked["action"] == "retrain", f"the check decided on {checked['action']}: {checked['reason']}")
    story.tell("check", f"{checked['verdict']}, {checked['action']}: {checked['reason']}", at=at)
    return checked


def _retrain(story: Story, checked: dict[str, Any]) -> int:
    story.chapter("The retrain that the check started")
    run = checked["retrain"]
    _expect(run["status"] == "promoted", f"the retrain ended as {run['status']}: {run['reasons']}")
    story.tell("retrain", f"version {run['version']} serves: {'; '.join(run['reasons'])}")
    return int(run["version"])


def _broken(story: Story, model: str, tables: Tables, champion: int) -> None:
    story.chapter("A broken file")
    run = tidemill("upload", model, str(tables.broken), "--wait", may_exit=(3,))
    _expect(run["status"] == "invalid", f"the broken file ended as {run['status']}")
    story.tell("upload of a broken file", f"invalid: {run['reasons'][0]}")
    answer = tidemill("predict", model, ROW)
    _expect(answer["version"] == champion, f"version {answer['version']} answers after the broken file")
    late = answer["predictions"][0]["probabilities"]["true"]
    story.tell("a prediction after it", f"version {champion} still answers: {late:.0%} likely to be late")


def _rollback(story: Story, model: str, first: int, second: int) -> None:
    story.chapter("Rollback, and back")
    tidemill("rollback", model)
    _expect(_champion(model) == first, "the rollback did not bring the first champion back")
    tidemill("rollback", model, "--to", str(second))
    _expect(_champion(model) == second, "the second champion did not come back")
    story.tell("rollback and back", f"version {first} served again, then version {second}; the history has both")


def _where(console: Console, model: str, url: str, checked: dict[str, Any], first: int, second: int) -> None:
    table = Table(title="Where to look", title_justify="left", show_header=False)
    for name, options in (
        ("report of the first champion", ("--version", str(first))),
        ("report of the second", ("--version", str(second))),
        ("report of the check", ("--check", checked["check"])),
        ("report of the broken file", ()),
    ):
        table.add_row(name, tidemill("report", model, *options)["path"])
    table.add_row("endpoint", url)
    table.add_row("history", f"tidemill history {model}")
    console.print(table)
    console.print("One prediction by hand:")
    print(f"curl -s {url}/models/{model}/predict -d '{{\"rows\": [{ROW}]}}'")


def _free_name() -> str:
    """A second demo on the same local cloud gets a model of its own: nothing that is there is touched."""
    taken = {entry["model"] for entry in tidemill("models")["models"]}
    return next(name for n in range(1, 1000) if (name := "flights" if n == 1 else f"flights-{n}") not in taken)


def _champion(model: str) -> int | None:
    version: int | None = next(entry["version"] for entry in tidemill("models")["models"] if entry["model"] == model)
    return version


def tidemill(*arguments: str, may_exit: Sequence[int] = ()) -> dict[str, Any]:
    """The command's own JSON; its progress goes to the terminal. Raises `DemoFailed` with its error."""
    command = [sys.executable, "-m", "tidemill_cli.main", *arguments, "--local", "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    document: dict[str, Any] = json.loads(done.stdout or "{}")
    if done.returncode not in (0, *may_exit):
        raise DemoFailed(f"`tidemill {' '.join(arguments[:2])}` ended with {done.returncode}: {document.get('error')}")
    return document


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DemoFailed(otherwise)


if __name__ == "__main__":
    sys.exit(main())
