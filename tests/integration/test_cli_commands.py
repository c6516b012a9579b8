"""The command against a stack on AWS, as moto has it, with the real pipeline and the real endpoint behind HTTP."""

import json
import re
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pandas as pd
import pytest
from botocore.exceptions import ClientError

from tests.cloud import ACCOUNT, Cloud, cloud
from tests.tables import SPEC, csv, trips
from tidemill.contracts import Upload
from tidemill_cli.cloud import Target
from tidemill_cli.main import main

AWS = ["--environment", "staging", "--region", "us-east-1"]


@dataclass
class Server:
    """HTTP/1.1 in front of `answer`: method, path, body → status, document. Sees headers and connections."""

    answer: Callable[[str, str, str], tuple[int, Any]]
    headers: list[dict[str, str]] = field(default_factory=list)
    peers: set[Any] = field(default_factory=set)
    statuses: list[int] = field(default_factory=list)
    url: str = ""

    def __enter__(self) -> "Server":
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                server.headers.append({name.lower(): value for name, value in self.headers.items()})
                server.peers.add(self.client_address)
                first = server.statuses.pop(0) if server.statuses else None
                path = urlsplit(self.path).path.removeprefix("/v1")
                status, document = (first, {}) if first else server.answer(self.command, path, body)
                reply = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(reply)))
                if first:
                    self.send_header("Retry-After", "0")
                self.end_headers()
                self.wfile.write(reply)

            do_GET = do_POST = do  # noqa: N815

            def log_message(self, format: str, *_: Any) -> None:  # noqa: A002
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@dataclass
class Command:
    """`tidemill … --json` on the stack: exit code and document."""

    cloud: Cloud
    server: Server
    folder: Path
    capture: Any = None

    def __call__(self, *arguments: str) -> tuple[int, Any]:
        code = main([*arguments, "--json", *AWS])
        out, self.said = self.capture.readouterr()
        # The handlers run in this process, and their metrics go to stdout as well.
        [document] = [line for line in out.splitlines() if not line.startswith('{"_aws"')]
        return code, json.loads(document)

    def file(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.write_bytes(data)
        return str(path)


@dataclass
class Formation:
    """CloudFormation with the one stack: moto's own wants packages that nothing else here needs."""

    outputs: dict[str, str]

    def describe_stacks(self, *, StackName: str) -> dict[str, Any]:  # noqa: N803
        if StackName != "Tidemill-staging":
            error: Any = {"Code": "ValidationError", "Message": f"Stack with id {StackName} does not exist"}
            raise ClientError({"Error": error}, "DescribeStacks")
        outputs = [{"OutputKey": key, "OutputValue": value} for key, value in self.outputs.items()]
        stack = f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/{StackName}/1"
        return {"Stacks": [{"StackId": stack, "Outputs": outputs}]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """A model `trips` whose first version serves, made by the pipeline that moto runs."""
    put = Target.put_upload

    def put_and_run(target: Target, model: str, name: str, file: Any, size: int) -> Upload:
        """S3's event, which moto does not send."""
        upload = put(target, model, name, file, size)
        entry = {"key": upload.key, "version-id": upload.version_id, "size": upload.size}
        made.run("pipeline", {"detail": {"bucket": {"name": upload.bucket}, "object": entry}})
        return upload

    patch = pytest.MonkeyPatch()
    with (
        cloud() as made,
        Server(lambda method, path, body: made.http(method, path, body=body or None)) as server,
    ):
        formation = Formation(
            {
                "DataBucket": "data",
                "ModelBucket": "models",
                "CaptureBucket": "captures",
                "RegistryTable": "registry",
                "PipelineArn": made.machines["pipeline"],
                "MonitoringArn": made.machines["monitoring"],
                "EndpointUrl": f"{server.url}/",
            }
        )
        client = boto3.Session.client

        def formed(session: boto3.Session, service_name: str, **arguments: Any) -> Any:
            if service_name == "cloudformation":
                return formation
            return client(session, service_name, **arguments)  # type: ignore[call-overload]

        patch.setattr(boto3.Session, "client", formed)
        patch.setattr(Target, "put_upload", put_and_run)
        folder = tmp_path_factory.mktemp("work")
        patch.chdir(folder)
        made.spec("trips", SPEC)
        made.train("trips", "first.csv", csv(trips(1_500)))
        yield Command(made, server, folder)
        patch.undo()


@pytest.fixture
def command(trained: Command, capsys: pytest.CaptureFixture[str]) -> Command:
    trained.capture = capsys
    trained.server.headers.clear()
    trained.server.peers.clear()
    return trained


# Where to work


def test_a_stack_that_is_not_deployed_is_not_found(command: Command) -> None:
    code = main(["models", "--environment", "prod", "--json"])
    assert code == 4
    assert "Tidemill-prod is not deployed in us-east-1" in json.loads(command.capture.readouterr().out)["error"]


def test_on_aws_it_says_where_it_works(command: Command) -> None:
    command("models")
    assert command.said == "on AWS: Tidemill-staging in us-east-1, account 123456789012\n"


def test_endpoint_says_the_url_of_the_stack(command: Command) -> None:
    assert command("endpoint") == (0, {"url": command.server.url})


# Specs


def test_init_writes_and_uploads_what_it_inferred(command: Command) -> None:
    file = command.file("new.csv", csv(trips(300)))
    code, document = command("init", "new", file, "--target", "late", "--id", "trip")
    assert code == 0
    assert (document["task"], document["classes"]) == ("binary", ["no", "yes"])
    roles = {column["name"]: (column["kind"], column["role"]) for column in document["columns"]}
    assert roles["trip"] == ("categorical", "id")
    assert roles["wind"] == ("numeric", "feature")
    text = Path("new.toml").read_text(encoding="utf-8")
    assert command.cloud.stores.data.get("specs/new.toml").decode() == text


def test_init_does_not_replace_a_spec_unless_told_to(command: Command) -> None:
    file = command.file("kept.csv", csv(trips(300)))
    before = command.cloud.stores.data.get("specs/trips.toml")
    code, document = command("init", "trips", file, "--target", "late")
    assert code == 3
    assert "has a spec already" in document["error"]
    assert command.cloud.stores.data.get("specs/trips.toml") == before
    assert not Path("trips.toml").exists()


def test_init_with_force_keeps_what_was_edited(command: Command) -> None:
    file = command.file("forced.csv", csv(trips(300)))
    Path("forced.toml").write_text('target = "edited"\n', encoding="utf-8")
    assert command("init", "forced", file, "--target", "late")[0] == 3
    assert command("init", "forced", file, "--target", "late", "--force")[0] == 0
    assert Path("forced.toml.bak").read_text(encoding="utf-8") == 'target = "edited"\n'


def test_init_shows_bad_rows_and_writes_the_spec_that_may_allow_them(command: Command) -> None:
    frame = trips(300).astype({"wind": object})
    frame.loc[:14, "wind"] = "calm"
    code, document = command("init", "calm", command.file("calm.csv", csv(frame)), "--target", "late")
    assert code == 0
    assert "15 of 300 rows will be quarantined (15 × column 'wind' is not a number)" in document["warnings"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target", "latr"], "target 'latr' of the spec is not a column"),
        (["--target", "late", "--exclude", "winds"], "exclude 'winds' of the spec is not a column"),
        (["--target", "late", "--id", "late"], "target 'late' cannot be"),
        (["--target", "late", "--time", "wind"], "holds no dates"),
        (["--target", "carrier", "--task", "regression"], "a regression needs numbers"),
    ],
)
def test_init_refuses_what_does_not_fit_the_file(command: Command, arguments: list[str], said: str) -> None:
    file = command.file("odd.csv", csv(trips(300)))
    code, document = command("init", "odd", file, *arguments)
    assert code == 3
    assert said in document["error"]
    assert not Path("odd.toml").exists()


@pytest.mark.parametrize("name", ["a/b", "Upper", "", "x" * 41])
def test_a_model_name_that_is_not_allowed_is_invalid_everywhere(command: Command, name: str) -> None:
    file = command.file("name.csv", csv(trips(10)))
    for arguments in (
        ["init", name, file, "--target", "late"],
        ["upload", name, file],
        ["predict", name, "{}"],
    ):
        code, document = command(*arguments)
        assert code == 3
        assert "is not allowed" in document["error"]


def test_an_edited_spec_is_checked_before_it_is_uploaded(command: Command) -> None:
    code, document = command("spec", "edited", command.file("bad.toml", b'target = "late"\n[gate]\nmodes = 1\n'))
    assert (code, document) == (3, {"error": "gate.modes is not a known key; did you mean gate.mode?"})
    assert command("spec", "edited")[0] == 4
    code, document = command("spec", "edited", command.file("good.toml", b'target = "late"\n'))
    assert (code, document["changed"]) == (0, True)
    assert command("spec", "edited")[1] == {"model": "edited", "spec": 'target = "late"\n'}


@pytest.mark.parametrize(("name", "warned"), [("monotone", False), ("monotony", True)])
def test_an_estimator_that_this_checkout_does_not_have_is_a_warning(command: Command, name: str, warned: bool) -> None:
    spec = command.file("own.toml", f'target = "late"\n[train]\nestimator = "{name}"\n'.encode())
    code, document = command("spec", "edited", spec)
    assert code == 0
    assert [text[:70] for text in document["warnings"]] == warned * [
        "train.estimator = 'monotony' is none of the own estimators (monotone):"
    ]


# Uploads and runs


def test_upload_without_a_spec_says_what_to_do_and_uploads_nothing(command: Command) -> None:
    code, document = command("upload", "fresh", command.file("fresh.csv", csv(trips(10))))
    assert code == 3
    assert "tidemill init fresh" in document["error"]
    assert list(command.cloud.stores.data.keys("uploads/fresh/")) == []


def test_upload_names_the_run_that_the_pipeline_claims(command: Command) -> None:
    file = command.file("more.csv", csv(trips(300, seed=3, start=5_000)))
    code, document = command("upload", "trips", file)
    assert (code, document["status"]) == (0, "pending")
    assert command.cloud.stores.registry.run("trips", document["run"])["source"] == "uploads/trips/more.csv"


def test_upload_with_wait_tells_how_the_run_ended(command: Command) -> None:
    code, document = command("upload", "trips", command.file("first.csv", csv(trips(1_500))), "--wait")
    assert code == 0
    assert list(document) == ["model", "run", "status", "version", "reasons", "report"]
    assert document["status"] == "duplicate"


def test_an_upload_that_cannot_be_used_is_invalid_and_shows_its_quarantine(command: Command) -> None:
    frame = trips(100).astype({"wind": object})
    frame.loc[:49, "wind"] = "calm"
    code, document = command("upload", "trips", command.file("calm.csv", csv(frame)), "--wait")
    assert (code, document["status"]) == (3, "invalid")
    assert "50 of 100 rows cannot be used" in command.said
    code, shown = command("report", "trips", "--run", document["run"])
    assert code == 0
    assert Path(shown["path"]).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert len(shown["quarantine"]) == 50
    assert shown["quarantine"][0] == {
        "line": 2,
        "file": "calm.csv", "row": 1, "column": "wind", "value": "calm", "reason": "is not a number",
    }  # fmt: skip


def test_a_file_that_does_not_exist_is_not_found(command: Command) -> None:
    assert command("upload", "trips", "nowhere.csv")[0] == 4


def test_models_and_runs_are_what_the_registry_has(command: Command) -> None:
    listed = {entry["model"]: entry for entry in command("models")[1]["models"]}
    assert listed["trips"]["version"] == 1
    runs = command("runs", "trips")[1]["runs"]
    assert runs[-1]["status"] == "promoted"
    assert runs[-1]["report"] == "s3://models/models/trips/1/report.html"


@pytest.mark.parametrize("name", ["runs", "history", "report", "rollback", "monitor", "governor"])
def test_an_unknown_model_is_not_found(command: Command, name: str) -> None:
    assert command(name, "nobody") == (
        4,
        {"error": "model 'nobody' does not exist; `tidemill models` lists those that do"},
    )


def test_report_of_a_version_has_its_gist_and_can_be_opened(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    code, document = command("report", "trips", "--version", "1", "--out", "there/r.html", "--open")
    assert (code, document["path"]) == (0, "there/r.html")
    assert document["summary"]["metric"] == "roc_auc"
    assert opened == [Path("there/r.html").resolve().as_uri()]


@pytest.mark.parametrize("option", [["--version", "99"], ["--run", "r-none"], ["--check", "c-none"]])
def test_a_report_of_what_does_not_exist_is_not_found(command: Command, option: list[str]) -> None:
    assert command("report", "trips", *option)[0] == 4


def test_rollback_is_written_down_with_the_callers_name(command: Command) -> None:
    registry = command.cloud.stores.registry
    registry.put_version("rolled", 1, run="a")
    registry.put_version("rolled", 2, run="b")
    now = datetime.now(UTC)
    registry.claim_run("rolled", "a", now)
    registry.promote("rolled", 1, expected=None, run="a", who="pipeline", why="first", now=now)
    registry.promote("rolled", 2, expected=1, run="b", who="pipeline", why="better", now=now)
    assert command("rollback", "rolled") == (0, {"model": "rolled", "version": 1, "previous": 2})
    assert command("rollback", "rolled", "--to", "1") == (0, {"model": "rolled", "version": 1, "previous": 1})
    assert command("rollback", "rolled", "--to", "7")[0] == 4
    last = command("history", "rolled")[1]["events"][-1]
    assert (last["version"], last["previous"]) == (1, 2)
    assert last["who"].startswith("arn:aws:")


# The endpoint


def test_calls_are_signed_and_keep_their_connection(command: Command) -> None:
    rows = trips(4_500).drop(columns="late")
    code, document = command("predict", "trips", "--file", command.file("rows.csv", csv(rows)))
    assert code == 0
    assert [entry["id"] for entry in document["predictions"]] == list(rows["trip"])
    assert len(command.server.headers) == 4  # the model, and three chunks
    assert len(command.server.peers) == 1
    for headers in command.server.headers:
        assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=")
        assert "/us-east-1/execute-api/aws4_request" in headers["authorization"]


def test_predictions_have_the_shape_of_http(command: Command) -> None:
    row = {"trip": "t9", "distance": 120.5, "wind": 3.0, "carrier": "cedar"}
    code, document = command("predict", "trips", json.dumps(row))
    assert code == 0
    assert (document["model"], document["version"]) == ("trips", 1)
    assert document["predictions"][0]["id"] == "t9"
    assert set(document["predictions"][0]) == {"id", "prediction", "probabilities"}


def test_predictions_go_to_a_file_as_well(command: Command) -> None:
    rows = command.file("few.csv", csv(trips(3).drop(columns="late")))
    assert command("predict", "trips", "--file", rows, "--out", "out.csv")[0] == 0
    lines = Path("out.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "id,prediction,probability_no,probability_yes"
    assert len(lines) == 4
    code, document = command("predict", "trips", "--file", rows, "--out", "out.csv", "--explain")
    assert code == 0
    told = pd.read_csv("out.csv")["explanation"].map(json.loads).tolist()
    assert told == [each["explanation"] for each in document["predictions"]]


def test_what_moved_predictions_is_told_of_all_rows_in_as_many_calls_as_it_takes(command: Command) -> None:
    rows = command.file("some.csv", csv(trips(150).drop(columns="late")))
    code, document = command("predict", "trips", "--file", rows, "--explain")
    assert code == 0
    assert len(command.server.headers) == 3  # the model, and two chunks
    assert [len(each["explanation"]["contributions"]) for each in document["predictions"]] == [3] * 150


def test_what_moved_a_prediction_is_told_in_words(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"trip": "t9", "distance": 120.5, "wind": 2.5, "carrier": "cedar"}
    assert main(["predict", "trips", json.dumps(row), "--explain", *AWS]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("t9: ")]
    assert re.match(
        r"t9: the probability of yes is 0\.\d+, usually 0\.\d+: wind = 2\.5 adds 0\.\d+ \(± 0\.\d+\), ", line
    )


def test_bad_values_are_named_by_their_row_in_the_whole_file(command: Command) -> None:
    frame = trips(2_500).drop(columns="late").astype({"wind": object})
    frame.loc[2_400, "wind"] = "calm"
    code, document = command("predict", "trips", "--file", command.file("calm-rows.csv", csv(frame)))
    assert code == 3
    assert document["errors"] == [{"row": 2_400, "field": "wind", "expected": "a number", "got": '"calm"'}]


def test_a_throttled_call_is_made_again(command: Command) -> None:
    command.server.statuses.extend([429, 503])
    row = {"trip": "t9", "distance": 120.5, "wind": 3.0, "carrier": "cedar"}
    assert command("predict", "trips", json.dumps(row))[0] == 0


def test_an_endpoint_that_fails_is_told_in_one_sentence(command: Command) -> None:
    command.server.statuses.append(500)
    code, document = command("predict", "trips", "{}")
    assert (code, document["error"]) == (1, "the endpoint answered 500: no reason given")


def test_a_model_without_a_champion_is_not_found(command: Command) -> None:
    assert command("predict", "nobody", "{}")[0] == 4
    assert command("label", "nobody", "--file", command.file("l.csv", b"id,label\na,yes\n"))[0] == 4


def test_labels_are_sent_in_chunks(command: Command) -> None:
    frame = trips(2_100)[["trip", "late"]]
    code, document = command("label", "trips", "--file", command.file("labels.csv", csv(frame)))
    assert (code, document) == (0, {"model": "trips", "accepted": 2_100})
    assert len(command.server.headers) == 3


def test_labels_of_no_class_are_refused_with_what_went_before(command: Command) -> None:
    frame = trips(2_100)[["trip", "late"]]
    frame.loc[2_050, "late"] = "perhaps"
    code, document = command("label", "trips", "--file", command.file("perhaps.csv", csv(frame)))
    assert code == 3
    assert "'perhaps'" in document["error"]
    assert document["error"].endswith("the first 2,000 labels were accepted")


# Checks


def test_a_check_is_made_now_and_its_report_can_be_fetched(command: Command) -> None:
    code, document = command("monitor", "trips", "--window", "2013-01-01/2013-01-02T12:00:00Z")
    assert code == 0
    assert (document["action"], document["verdict"], document["run"]) == ("quiet", "insufficient_data", None)
    code, shown = command("report", "trips", "--check", document["check"])
    assert code == 0
    assert shown["summary"]["window"] == "2013-01-01T00:00:00+00:00/2013-01-02T12:00:00+00:00"


def test_labels_that_a_check_could_not_use_are_told_beside_its_verdict(command: Command) -> None:
    captures = command.cloud.stores.captures
    captures.put("labels/trips/late.csv", b"id,label\nt1,perhaps\n")
    problem = "late.csv: a label must be one of no, yes, not 'perhaps' (1 row)"
    asked = ("monitor", "trips", "--window", "2013-01-01/2013-01-02")
    assert command(*asked)[1]["label_problems"] == [problem]
    assert main([*asked, *AWS]) == 0
    assert f"problems with labels: {problem}" in command.capture.readouterr().out
    captures.client.delete_object(Bucket="captures", Key="labels/trips/late.csv")
    assert command(*asked)[1]["label_problems"] == []


def test_what_an_outage_left_unchecked_is_made_up_for_once_the_oldest_window_first(command: Command) -> None:
    registry = command.cloud.stores.registry
    version = registry.champion("trips").version  # type: ignore[union-attr]
    three_days_ago = datetime.now(UTC) - timedelta(days=3)
    registry.promote("trips", version, expected=version, run="r-before", who="ann", why="an outage", now=three_days_ago)
    newest = command("monitor", "trips")[1]["check"]
    code, document = command("monitor", "trips", "--backfill", "7")
    assert code == 0, document
    windows = [one["window"] for one in document["checks"]]
    assert windows[0]["end"] == windows[1]["start"]
    (last,) = [item for item in registry.checks("trips") if item["check"] == newest]
    assert windows[-1]["end"] <= last["start"]
    assert command("monitor", "trips", "--backfill", "7")[1]["checks"] == []


def no_run_under_way(command: Command) -> None:
    """Other tests of this process may have started one and gone on."""
    end = time.monotonic() + 120
    while any(run["status"] == "running" for run in command.cloud.stores.registry.runs("trips")):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_retrain_is_ordered_with_a_reason_and_waited_for(command: Command) -> None:
    no_run_under_way(command)
    code, document = command("retrain", "trips", "--reason", "newer code", "--wait")
    assert code == 0, document
    assert document["status"] in ("promoted", "rejected")
    run = command.cloud.stores.registry.run("trips", document["run"])
    assert run["source"].startswith("by hand of arn:aws:")
    asked = [event for event in command("history", "trips")[1]["events"] if event["what"] == "ordered"]
    assert [event["why"] for event in asked] == ["newer code"]


def test_retrains_are_paused_and_resumed_with_a_reason(command: Command) -> None:
    code, document = command("governor", "trips", "--pause", "--reason", "the fair")
    assert (code, document["allowed"]) == (0, False)
    assert "the fair" in document["why"]
    assert "the fair" in command("governor", "trips")[1]["paused"]
    assert command("governor", "trips", "--resume", "--reason", "it is over")[1]["paused"] == ""
    assert command("governor", "trips", "--pause")[0] == 2


def test_the_governor_goes_by_the_present_spec_and_says_if_it_cannot(command: Command) -> None:
    command.cloud.spec("trips", SPEC + "\n[retrain]\nper_month = 7\n")
    document = command("governor", "trips")[1]
    assert (document["per_month"], document["spec"]) == (7, "")
    command.cloud.spec("trips", "target =")
    document = command("governor", "trips")[1]
    assert document["per_month"] == 10
    assert document["spec"].startswith(
        "by the spec that the champion was trained under, since the spec is not valid TOML"
    )
    command.cloud.spec("trips", SPEC)


@pytest.mark.parametrize(
    "window", ["", "2013-01-01", "yesterday/today", "2013-01-02/2013-01-01", "2900-01-01/2900-01-02"]
)
def test_a_window_that_is_none_is_invalid(command: Command, window: str) -> None:
    code, document = command("monitor", "trips", "--window", window)
    assert (code, "InvalidRequest" in document["error"]) == (3, False)


@pytest.mark.parametrize("asked", [("retrain", "trips"), ("governor", "trips", "--pause")])
def test_a_reason_that_says_nothing_is_none(command: Command, asked: tuple[str, ...]) -> None:
    assert command(*asked, "--reason", " ")[0] == 2
