"""The models in memory, over a change of champion, with bad artifacts, and in too little room."""

import hashlib
import json
import pickle
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.builders import artifacts, dataset, observations, trained
from tidemill.aws.registry import Champion
from tidemill.aws.stores import Serving
from tidemill.errors import InvalidRequest, ModelIncompatible, NotFound, StoreUnavailable
from tidemill.flows.champions import BESIDE_GRAPH, FRESH, STALE, TIMES_GRAPH
from tidemill.flows.infer import Endpoint

ROW = {"size": 50.0, "flag": True, "day": "2024-03-01", "colour": "red", "town": "town 3"}


@dataclass
class Bucket:
    """`read` has the keys in order."""

    data: dict[str, bytes] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)

    def get(self, key: str) -> bytes:
        self.read.append(key)
        if key not in self.data:
            raise NotFound(f"not found while reading {key}")
        return self.data[key]

    def get_json(self, key: str) -> Any:
        return json.loads(self.get(key))

    def put(self, key: str, data: bytes, content_type: str) -> None:
        pass


@dataclass
class Pointers:
    versions: dict[str, int] = field(default_factory=dict)
    away: bool = False

    def champion(self, model: str) -> Champion | None:
        if self.away:
            raise StoreUnavailable("ProvisionedThroughputExceeded")
        version = self.versions.get(model)
        return Champion(version, "2030", "r") if version else None


@dataclass
class World:
    """`beside` has what runs beside the requests and was not let run yet."""

    models: Bucket = field(default_factory=Bucket)
    pointers: Pointers = field(default_factory=Pointers)
    now: datetime = datetime(2030, 1, 1, tzinfo=UTC)
    counted: Counter[str] = field(default_factory=Counter)
    beside: list[Any] = field(default_factory=list)

    def endpoint(self, *, room: int = 500_000_000, **settings: Any) -> Endpoint:
        anything: Any = self
        stores = Serving(
            models=anything.models, captures=anything.models, registry=anything.pointers, capture="log", room=room
        )
        chosen: dict[str, Any] = {"start": self.beside.append, "tell": lambda *_: None, **settings}
        return Endpoint(stores, lambda: self.now, lambda name, value, _: self.counted.update({name: value}), **chosen)

    def put(self, model: str, version: int, estimator: str) -> None:
        """Of two estimators, whose answers differ."""
        manifest, graph, golden = VERSIONS[estimator]
        files = {
            "manifest.json": json.dumps({**manifest, "model": model, "version": version}).encode(),
            "model.onnx": graph,
            "golden.json": golden,
        }
        self.models.data |= {f"models/{model}/{version}/{name}": data for name, data in files.items()}

    def promote(self, model: str, version: int, estimator: str = "linear") -> None:
        self.put(model, version, estimator)
        self.pointers.versions[model] = version

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def catch_up(self) -> None:
        while self.beside:
            self.beside.pop(0)()


VERSIONS: dict[str, tuple[dict[str, Any], bytes, bytes]] = {}


@pytest.fixture(scope="module", autouse=True)
def versions() -> None:
    data = dataset(observations(400, task="binary"))
    VERSIONS.update({name: artifacts(data, trained(name, data).onnx) for name in ("linear", "boosting")})


@pytest.fixture
def world() -> World:
    made = World()
    made.promote("m", 1)
    return made


def test_ten_thousand_requests_over_changes_of_the_champion_each_have_their_answer_from_one_version(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = world.endpoint(start=ThreadPoolExecutor(1).submit)
    of_version = {}
    for version, estimator in ((1, "linear"), (2, "boosting")):
        world.promote("m", version, estimator)
        of_version[version] = world.endpoint().predict("m", [ROW], "q")["predictions"]
    assert of_version[1] != of_version[2]
    world.pointers.versions["m"] = 1
    seen: Counter[int] = Counter()

    def ask(number: int) -> None:
        if number % 1_000 == 999:
            world.pointers.versions["m"] = 3 - world.pointers.versions["m"]
        if number % 10 == 0:
            world.later(FRESH)
        reply = endpoint.predict("m", [ROW], "q")
        assert reply["predictions"] == of_version[reply["version"]]
        assert "degraded" not in reply
        seen[reply["version"]] += 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(10_000)))
    capsys.readouterr()
    assert seen[1] + seen[2] == 10_000
    assert min(seen.values()) > 1_000
    assert not world.counted["Degraded"]


def test_no_reply_waits_for_a_look_at_the_champion(world: World) -> None:
    endpoint = world.endpoint()
    endpoint.predict("m", [ROW], "q")
    world.promote("m", 2, "boosting")
    world.later(FRESH)
    assert [endpoint.predict("m", [ROW], "q")["version"] for _ in range(3)] == [1, 1, 1]
    assert len(world.beside) == 1
    world.catch_up()
    assert endpoint.predict("m", [ROW], "q")["version"] == 2


def test_a_look_that_was_frozen_does_not_bring_back_what_it_saw(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = world.endpoint()
    endpoint.predict("m", [ROW], "q")
    world.promote("m", 2, "boosting")
    world.later(FRESH)
    endpoint.predict("m", [ROW], "q")
    get = world.models.get

    def frozen(key: str) -> bytes:
        """Between the pointer and the artifacts of version 2, all this happens."""
        monkeypatch.setattr(world.models, "get", get)
        world.promote("m", 3)
        world.later(STALE)
        assert endpoint.predict("m", [ROW], "q")["version"] == 3
        return get(key)

    monkeypatch.setattr(world.models, "get", frozen)
    world.catch_up()
    assert endpoint.predict("m", [ROW], "q")["version"] == 3


def test_a_champion_replaced_long_ago_never_answers(world: World) -> None:
    endpoint = world.endpoint()
    endpoint.predict("m", [ROW], "q")
    world.promote("m", 2, "boosting")
    world.later(STALE)
    assert endpoint.predict("m", [ROW], "q")["version"] == 2


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "golden.json"])
@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\x80\x04cos\nsystem\n", None])
def test_whatever_lies_in_the_bucket_the_last_good_model_serves_and_says_so(
    world: World, name: str, data: bytes | None
) -> None:
    endpoint = world.endpoint()
    endpoint.predict("m", [ROW], "q")
    world.promote("m", 2, "boosting")
    key = f"models/m/2/{name}"
    if data is None:
        del world.models.data[key]
    else:
        world.models.data[key] = data
    world.later(STALE)
    reply = endpoint.predict("m", [ROW], "q")
    assert reply["version"] == 1
    assert reply["degraded"] == "version 1 answers: the champion, version 2, could not be loaded"
    assert world.counted["Degraded"] == 1
    world.promote("m", 2, "boosting")
    world.later(STALE)
    assert "degraded" not in endpoint.predict("m", [ROW], "q")


def test_a_graph_that_is_not_the_manifests_is_refused_unread(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[bytes] = []
    monkeypatch.setattr("tidemill.stages.serve.OnnxModel", opened.append)
    world.models.data["models/m/1/model.onnx"] += b"\0"
    with pytest.raises(ModelIncompatible, match=r"model\.onnx of version 1 is not what its manifest says"):
        world.endpoint().predict("m", [ROW], "q")
    assert not opened


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "golden.json"])
def test_a_champion_whose_artifact_is_gone_is_our_failure_and_not_the_askers(world: World, name: str) -> None:
    del world.models.data[f"models/m/1/{name}"]
    with pytest.raises(ModelIncompatible, match=rf"version 1 of m is not whole: .*{name}"):
        world.endpoint().predict("m", [ROW], "q")


class Bomb:
    """Whoever unpickles it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_no_pickle_of_the_bucket_is_ever_run(world: World, tmp_path: Path) -> None:
    made, proof = tmp_path / "made", tmp_path / "proof"
    pickle.loads(pickle.dumps(Bomb(proof)))  # noqa: S301 that it would have run is the point
    assert proof.exists()
    bomb = pickle.dumps(Bomb(made))
    names = ("model.joblib", "model.onnx", "golden.json", "manifest.json", "background.npy")
    endpoint = world.endpoint()
    endpoint.predict("m", [ROW], "q")
    for version, name in enumerate(names, start=2):
        world.promote("m", version, "boosting")
        world.models.data[f"models/m/{version}/{name}"] = bomb
        world.later(STALE)
        endpoint.predict("m", [ROW], "q")
    assert not made.exists()
    assert not [key for key in world.models.read if key.endswith(".joblib")]


@pytest.mark.parametrize("name", ["model.onnx", "golden.json"])
def test_a_manifest_with_another_digest_than_its_artifacts_never_serves(world: World, name: str) -> None:
    endpoint = world.endpoint()
    endpoint.predict("m", [ROW], "q")
    world.promote("m", 2, "boosting")
    manifest = world.models.get_json("models/m/2/manifest.json")
    manifest["digests"][name] = "0" * 64
    world.models.data["models/m/2/manifest.json"] = json.dumps(manifest).encode()
    world.later(STALE)
    reply = endpoint.predict("m", [ROW], "q")
    assert reply["version"] == 1
    assert "version 2, could not be loaded" in reply["degraded"]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_golden_rows_that_are_cut_and_have_the_manifests_digest_all_the_same_never_serve(
    world: World, share: float
) -> None:
    """As an upload that was cut short and then described."""
    endpoint = world.endpoint()
    endpoint.predict("m", [ROW], "q")
    world.promote("m", 2, "boosting")
    golden = world.models.data["models/m/2/golden.json"]
    world.models.data["models/m/2/golden.json"] = cut = golden[: int(share * len(golden))]
    manifest = world.models.get_json("models/m/2/manifest.json")
    manifest["digests"]["golden.json"] = hashlib.sha256(cut).hexdigest()
    world.models.data["models/m/2/manifest.json"] = json.dumps(manifest).encode()
    world.later(STALE)
    assert endpoint.predict("m", [ROW], "q")["version"] == 1


def test_a_graph_of_another_model_with_its_digest_does_not_answer_the_golden_rows(world: World) -> None:
    endpoint = world.endpoint()
    endpoint.predict("m", [ROW], "q")
    world.promote("m", 2, "boosting")
    graph = VERSIONS["linear"][1]
    world.models.data["models/m/2/model.onnx"] = graph
    manifest = world.models.get_json("models/m/2/manifest.json")
    manifest["digests"]["model.onnx"] = hashlib.sha256(graph).hexdigest()
    world.models.data["models/m/2/manifest.json"] = json.dumps(manifest).encode()
    world.later(STALE)
    assert endpoint.predict("m", [ROW], "q")["version"] == 1
    assert world.counted["Degraded"] == 1


def test_while_the_registry_is_away_nobody_waits_for_it(world: World) -> None:
    endpoint = world.endpoint()
    endpoint.predict("m", [ROW], "q")
    world.pointers.away = True
    for _ in range(20):
        world.later(FRESH)
        reply = endpoint.predict("m", [ROW], "q")
        world.catch_up()
    assert reply["degraded"] == "version 1 answers: which version is the champion could not be read"
    assert world.counted["Degraded"] == 20
    world.pointers.away = False
    world.later(FRESH)
    endpoint.predict("m", [ROW], "q")
    world.catch_up()
    assert "degraded" not in endpoint.predict("m", [ROW], "q")


def test_the_model_used_longest_ago_leaves_first(world: World) -> None:
    size = len(VERSIONS["linear"][1])
    endpoint = world.endpoint(room=2 * (TIMES_GRAPH * size + BESIDE_GRAPH))
    for name in ("a", "b", "c"):
        world.promote(name, 1)
    for name in ("a", "b", "a", "c"):
        endpoint.predict(name, [ROW], "q")
    world.models.read.clear()
    for name in ("a", "c"):
        endpoint.predict(name, [ROW], "q")
    assert not world.models.read
    endpoint.predict("b", [ROW], "q")
    assert world.models.read[0] == "models/b/1/manifest.json"


def test_one_model_has_room_however_large_it_is(world: World) -> None:
    endpoint = world.endpoint(room=1)
    for _ in range(2):
        endpoint.predict("m", [ROW], "q")
    assert len(world.models.read) == 3


def test_what_was_answered_is_a_line_of_the_log_that_becomes_records(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    from tidemill.stages.captured import records_of  # noqa: PLC0415

    reply = world.endpoint().predict("m", [ROW, {**ROW, "secret": "x"}], "q7")
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "capture" in line]
    assert (line["tidemill"], line["kind"], line["model"], line["request"]) == ("capture", "predictions", "m", "q7")
    records = records_of(line)
    assert [record["id"] for record in records] == ["q7-0", "q7-1"]
    assert [record["row"] for record in records] == [ROW, ROW]
    assert [record["probabilities"] for record in records] == [each["probabilities"] for each in reply["predictions"]]
    assert {(record["version"], record["time"]) for record in records} == {(1, world.now.isoformat())}


def test_lines_are_shorter_than_what_the_log_cuts_and_a_row_that_is_not_is_counted_as_lost(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{**ROW, "town": "t" * 1_000 + str(i)} for i in range(900)]
    rows[400] = {**ROW, "town": "t" * 300_000}
    world.endpoint().predict("m", rows, "q")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('{"tidemill"')]
    assert max(map(len, lines)) <= 200_000
    assert sum(len(json.loads(line)["ids"]) for line in lines) == 899
    assert world.counted["CaptureLost"] == 1


def test_a_number_that_no_reader_of_a_capture_has_is_refused_and_not_kept_as_a_missing_one(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InvalidRequest, match="too large to be kept"):
        world.endpoint().predict("m", [{**ROW, "y": None}, {**ROW, "y": float("inf")}], "q")
    told = capsys.readouterr().out
    assert '"predictions"' not in told
    assert '"refusals"' in told
