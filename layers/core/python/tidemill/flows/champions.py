"""The models in memory: each one its model's champion, kept fresh beside the requests, bounded, swapped whole.

A champion is looked up again when `FRESH` seconds have passed, by a thread that runs beside the request which noticed;
that request is answered by the model in memory, and waits for nothing. Where nobody asked for `STALE` seconds the look
comes first, so that no reply comes from a champion that was replaced longer ago than that. When it fails, the last good
model goes on and says so.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock, Thread
from typing import TYPE_CHECKING

from tidemill.aws.objects import Objects
from tidemill.aws.paths import version_prefix
from tidemill.aws.registry import Champion
from tidemill.aws.stores import Serving
from tidemill.errors import ModelIncompatible, NotFound, TidemillError
from tidemill.stages.serve import ServedModel

if TYPE_CHECKING:
    from tidemill.stages.explain import Explainer

FRESH = 5.0
STALE = 60.0
TIMES_GRAPH, BESIDE_GRAPH = 6, 300_000
"""Bytes of memory that a loaded model takes for each byte of its graph, and besides: `make bench-serve ARGS=memory`."""

Start = Callable[[Callable[[], object]], object]


def start_thread(work: Callable[[], object]) -> None:
    Thread(target=work, daemon=True).start()


@dataclass
class Served:
    """One model as it answers. `degraded` says why it may not be the champion; empty where it is. `explainer` is there
    from the first explanation on."""

    champion: Champion
    model: ServedModel
    size: int
    looked: datetime
    degraded: str = ""
    looking: bool = False
    explainer: "Explainer | None" = None


@dataclass
class Champions:
    """`failed(model, error)` hears of every look that failed. One model always has room.

    `start` runs what it is given beside the caller.
    """

    stores: Serving
    clock: Callable[[], datetime]
    failed: Callable[[str, TidemillError], None]
    start: Start = start_thread
    _kept: dict[str, Served] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def of(self, name: str) -> Served:
        """Raises `NotFound`, `StoreUnavailable` or `ModelIncompatible` while no good version was ever loaded."""
        served = self._kept.get(name)
        if served is None:
            return self._swap(name, None, self._load(name, self._champion(name)))
        with self._lock:
            # The last place is that of the model used last.
            self._kept[name] = self._kept.pop(name, served)
        age = (self.clock() - served.looked).total_seconds()
        if age >= STALE:
            return self._look(name, served)
        if age >= FRESH and not served.looking:
            served.looking = True
            self.start(lambda: self._look(name, served))
        return served

    def version(self, name: str) -> int | None:
        """Which one answers, without loading it; None for a model that is not there. Raises `StoreUnavailable`."""
        served = self._kept.get(name)
        if served:
            return served.model.version
        champion = self.stores.registry.champion(name)
        return champion.version if champion else None

    def _look(self, name: str, served: Served) -> Served:
        """Never raises: whatever is wrong, the model in memory is good."""
        champion: Champion | None = None
        try:
            champion = self._champion(name)
            if champion.version == served.champion.version:
                served.champion, served.degraded = champion, ""
            else:
                return self._swap(name, served, self._load(name, champion))
        except TidemillError as error:
            served.degraded = _why(served, champion)
            self.failed(name, error)
        finally:
            served.looked, served.looking = self.clock(), False
        return served

    def _champion(self, name: str) -> Champion:
        champion = self.stores.registry.champion(name)
        if champion is None:
            raise NotFound(f"model {name!r} does not exist, or has no champion yet")
        return champion

    def _load(self, name: str, champion: Champion) -> Served:
        model, graph = load(self.stores.models, name, champion.version)
        return Served(champion, model, TIMES_GRAPH * graph + BESIDE_GRAPH, self.clock())

    def _swap(self, name: str, before: Served | None, served: Served) -> Served:
        """What answers from now on: `served`, unless another came into the place of `before` meanwhile.

        A look may sleep for hours, when the function is frozen under it, and shall not bring back what it saw then.
        """
        with self._lock:
            present = self._kept.pop(name, before)
            served = served if present is before else present or served
            self._kept[name] = served
            while len(self._kept) > 1 and sum(each.size for each in self._kept.values()) > self.stores.room:
                del self._kept[next(iter(self._kept))]
        return served


def load(models: Objects, name: str, version: int) -> tuple[ServedModel, int]:
    """A version, and the bytes of its graph; raises `ModelIncompatible` where something of it is not as it was made, or
    not there: who asks named a model, and no artifact."""
    prefix = version_prefix(name, version)
    try:
        manifest, graph = models.get_json(f"{prefix}manifest.json"), models.get(f"{prefix}model.onnx")
        return ServedModel(manifest, graph, models.get(f"{prefix}golden.json")), len(graph)
    except NotFound as error:
        raise ModelIncompatible(f"version {version} of {name} is not whole: {error}") from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelIncompatible(f"version {version} of {name} is not whole: {error!r}") from error


def _why(served: Served, champion: Champion | None) -> str:
    answers = f"version {served.champion.version} answers"
    if champion is None:
        return f"{answers}: which version is the champion could not be read"
    return f"{answers}: the champion, version {champion.version}, could not be loaded"
