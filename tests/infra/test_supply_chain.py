import ast
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from infra import audit, sbom, upgrade
from infra.app import ROOT
from infra.bundling import LIMIT, Bundle
from infra.lock import DEV, LAYERS, NotLockedError
from infra.packages import DEPENDENCY_LAYERS, OWN_LAYERS, BundlingError, Target, default_runtime, read_lock
from infra.stages import STAGES

TARGET = Target(runtime="python3.12", architecture="x86_64")

# What a service says of a package

KNOWN = {audit.KNOWN: [{"id": "PYSEC-2019-1", "affected": []}]}
HOLE = {
    "id": "GHSA-aaaa-bbbb-cccc",
    "aliases": ["CVE-2026-1"],
    "affected": [
        {
            "package": {"name": "alpha", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.0.1"}]}],
        }
    ],
}


@dataclass
class Service:
    """Speaks OSV's API: (package, version) → its vulnerabilities, or the raw body of an answer."""

    knows: Mapping[tuple[str, str], Any]
    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def serve(knows: Mapping[tuple[str, str], Any]) -> Iterator[Service]:
    service = Service(knows)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked = (query["package"]["name"], query["version"])
            service.asked.append(asked)
            known = knows.get(asked, [])
            body = known if isinstance(known, bytes) else json.dumps({"vulns": known} if known else {}).encode()
            self.send_response(500 if body == b"" else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_port}/v1/query"
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def pin(name: str, version: str, marker: str = "") -> str:
    return f"{name}=={version}{marker and f' ; {marker}'} \\\n    --hash=sha256:{'ab' * 32}\n"


def write_project(folder: Path) -> Path:
    """`beta` is another one for each Python."""
    (folder / "requirements").mkdir()
    beta = pin("beta", "1.0", "python_full_version < '3.12'") + pin("beta", "2.0", "python_full_version >= '3.12'")
    (folder / DEV).write_text(pin("alpha", "1.0") + beta + pin("gamma", "3.0"))
    (folder / LAYERS).write_text(pin("alpha", "1.0") + pin("beta", "2.0"))
    (folder / audit.ACCEPTED).write_text("")
    for layer in DEPENDENCY_LAYERS:
        (folder / "layers" / layer).mkdir(parents=True)
        (folder / "layers" / layer / "requirements.in").write_text("alpha\n" if layer == "data" else "")
    (folder / "pyproject.toml").write_text('[project]\nname = "tidemill"\nversion = "0.7.0"\nlicense = "MIT"\n')
    return folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(audit, "ROOT", tmp_path)
    return write_project(tmp_path)


# The audit


def test_every_locked_version_is_asked_for_and_none_is_known(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serve(KNOWN) as service:
        assert audit.main(["--osv-url", service.url]) == 0
    assert sorted(service.asked[1:]) == [("alpha", "1.0"), ("beta", "1.0"), ("beta", "2.0"), ("gamma", "3.0")]
    assert "No known vulnerability" in capsys.readouterr().out


def test_finding_fails_and_is_told_with_what_mends_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serve({**KNOWN, ("alpha", "1.0"): [HOLE]}) as service:
        assert audit.main(["--osv-url", service.url]) == 1
    out = capsys.readouterr().out
    assert "alpha 1.0: CVE-2026-1 (GHSA-aaaa-bbbb-cccc), fixed in 1.0.1" in out
    assert "No known vulnerability" not in out


def test_finding_in_the_version_of_another_python_fails(project: Path) -> None:
    with serve({**KNOWN, ("beta", "1.0"): [HOLE]}) as service:
        assert audit.main(["--osv-url", service.url]) == 1


def test_accepted_finding_passes_and_is_told_with_its_reason(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / audit.ACCEPTED).write_text(
        '[[accepted]]\npackage = "alpha"\nid = "CVE-2026-1"\nreason = "we call nothing of it"\nuntil = 9999-12-31\n'
    )
    with serve({**KNOWN, ("alpha", "1.0"): [HOLE]}) as service:
        assert audit.main(["--osv-url", service.url]) == 0
    assert "since we call nothing of it" in capsys.readouterr().out


FINDING = audit.Finding("alpha", "1.0", ("GHSA-aaaa-bbbb-cccc", "CVE-2026-1"), ("1.0.1",))
ACCEPTANCE = audit.Acceptance("Alpha", "CVE-2026-1", "we call nothing of it", date(2027, 1, 31))


def test_acceptance_holds_on_its_last_day() -> None:
    assert audit.judge([FINDING], [ACCEPTANCE], date(2027, 1, 31))[0] == []


def test_expired_acceptance_fails_beside_its_finding() -> None:
    failures, _ = audit.judge([FINDING], [ACCEPTANCE], date(2027, 2, 1))
    assert failures == [
        "alpha 1.0: GHSA-aaaa-bbbb-cccc (CVE-2026-1), fixed in 1.0.1",
        "requirements/audit.toml: CVE-2026-1 of Alpha was accepted until 2027-01-31 only",
    ]


@pytest.mark.parametrize("other", [{"package": "gamma"}, {"id": "CVE-2026-2"}], ids=str)
def test_acceptance_covers_its_own_finding_only(other: dict[str, Any]) -> None:
    failures, _ = audit.judge([FINDING], [replace(ACCEPTANCE, **other)], date(2027, 1, 1))
    assert failures == [str(FINDING)]


def test_acceptance_of_what_is_not_found_any_more_is_told() -> None:
    assert audit.judge([], [ACCEPTANCE], date(2027, 1, 1)) == (
        [],
        ["requirements/audit.toml: CVE-2026-1 of Alpha is not found any more, take it out"],
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[accepted]]\npackage = 'alpha'\nid = 'CVE-2026-1'\nuntil = 2027-01-31", "entry 1 needs"),
        ("[[accepted]]\npackage = 'alpha'\nid = 'CVE-2026-1'\nreason = ''\nuntil = 2027-01-31", "entry 1 needs"),
        ("[[accepted]]\npackage = 'alpha'\nid = 'CVE-2026-1'\nreason = 'x'\nuntil = 'never'", "entry 1 needs"),
        ("[[ignored]]\npackage = 'alpha'", "not ignored"),
        ("[[accepted", "not valid TOML"),
    ],
)
def test_acceptance_without_reason_or_end_is_refused(
    project: Path, text: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / audit.ACCEPTED).write_text(text)
    assert audit.main([]) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    "knows",
    [
        {},
        {**KNOWN, ("gamma", "3.0"): b""},
        {**KNOWN, ("gamma", "3.0"): b"<html>Sign in to the network</html>"},
    ],
    ids=["knows nothing", "fails midway", "is another page"],
)
def test_service_that_cannot_know_gives_no_verdict(
    project: Path, knows: dict[tuple[str, str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(knows) as service:
        assert audit.main(["--osv-url", service.url]) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"No verdict: could not ask {service.url} (")
    assert "No known vulnerability" not in told.out


def test_service_that_does_not_know_a_package_gives_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    hole = {"id": "PYSEC-2019-1", "aliases": [], "fix_versions": []}
    answers = iter(
        [
            [{"name": "django", "version": "2.2", "vulns": [hole]}],
            [{"name": "alpha", "version": "1.0", "vulns": []}, {"name": "gamma", "skip_reason": "not found"}],
        ]
    )

    def run(*_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(stdout=json.dumps({"dependencies": next(answers)}), stderr="")

    monkeypatch.setattr("subprocess.run", run)
    with pytest.raises(audit.CouldNotAskError, match="it does not know gamma"):
        audit.ask((), [("alpha", "1.0"), ("gamma", "3.0")])


def test_service_that_is_not_there_gives_no_verdict_in_one_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve({}) as service:
        pass
    assert audit.main(["--osv-url", service.url]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "refused" in line


def test_own_acceptances_are_whole() -> None:
    audit.read_accepted((ROOT / audit.ACCEPTED).read_text(encoding="utf-8"))


# What is never opened


def unpickles(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    told = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    return (
        name in ("joblib.load", "eval", "exec", "__import__")
        or name.endswith((".read_pickle", ".unpickle"))
        or (name in ("np.load", "numpy.load") and told.get("allow_pickle") != "False")
    )


@pytest.mark.parametrize("folder", ["functions", *(f"layers/{layer}/python" for layer in OWN_LAYERS)])
def test_nothing_that_ships_opens_a_pickle_or_runs_what_it_reads(folder: str) -> None:
    nodes = [(path, node) for path in (ROOT / folder).rglob("*.py") for node in ast.walk(ast.parse(path.read_bytes()))]
    imported = {name for _, node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for name in modules(node)}
    assert imported
    assert not imported & {"pickle", "cloudpickle", "dill", "marshal", "shelve"}
    assert not [(path, node.lineno) for path, node in nodes if isinstance(node, ast.Call) and unpickles(node)]


def test_only_own_estimators_are_imported_by_a_name_and_that_is_looked_up_among_those_deployed() -> None:
    """Whoever may write a spec may choose among them, and bring nothing of their own."""
    own = ROOT / "layers/core/python/tidemill/stages/own.py"
    callers = [
        path
        for folder in ("functions", "layers")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2]
        in ("import_module", "run_path", "run_module", "spec_from_file_location", "exec_module", "load_module")
    ]
    assert callers == [own]
    text = own.read_text(encoding="utf-8")
    assert text.index("if name not in known:") < text.index("import_module(f")


def modules(node: ast.Import | ast.ImportFrom) -> set[str]:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    return {name.partition(".")[0] for name in names}


# The bill of materials


def build_layers(folder: Path) -> dict[str, Path]:
    """`alpha` needs `beta`, and both layers have it."""
    folders = {layer: folder / layer / "python" for layer in ("data", "ml")}
    for layer, name, version, more in (
        ("data", "alpha", "1.0", "License-Expression: BSD-3-Clause\nRequires-Dist: beta\n"),
        ("data", "Beta", "2.0", "Classifier: License :: OSI Approved :: MIT License\n"),
        ("ml", "Beta", "2.0", "Classifier: License :: OSI Approved :: MIT License\n"),
    ):
        info = folders[layer] / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{more}")
    return folders


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    layers = build_layers(tmp_path_factory.mktemp("layers"))
    return sbom.describe(layers, TARGET, write_project(tmp_path_factory.mktemp("project")))


def components(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {component["name"].lower(): component for component in document["components"]}


def layers_of(component: dict[str, Any]) -> list[str]:
    return [entry["value"] for entry in component["properties"] if entry["name"] == "tidemill:layer"]


def test_document_is_what_the_standard_says(document: dict[str, Any]) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) is None


def test_document_describes_our_own_version_and_what_it_needs(document: dict[str, Any]) -> None:
    described = document["metadata"]["component"]
    assert (described["name"], described["version"]) == ("tidemill", "0.7.0")
    needs = {entry["ref"]: entry.get("dependsOn", []) for entry in document["dependencies"]}
    assert needs[described["bom-ref"]] == [components(document)["alpha"]["bom-ref"]]
    assert needs[components(document)["alpha"]["bom-ref"]] == [components(document)["beta"]["bom-ref"]]


def test_package_has_its_version_licence_hashes_and_layers(document: dict[str, Any]) -> None:
    assert {name: one["version"] for name, one in components(document).items()} == {"alpha": "1.0", "beta": "2.0"}
    beta = components(document)["beta"]
    assert beta["licenses"][0]["license"]["id"] == "MIT"
    (files,) = [one for one in beta["externalReferences"] if one["type"] == "distribution"]
    assert files["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    assert {name: layers_of(one) for name, one in components(document).items()} == {
        "alpha": ["data"],
        "beta": ["data", "ml"],
    }


def test_same_layers_give_the_same_document_wherever_they_lie(
    document: dict[str, Any], project: Path, tmp_path: Path
) -> None:
    assert json.dumps(sbom.describe(build_layers(tmp_path / "built"), TARGET, project)) == json.dumps(document)
    assert "timestamp" not in document["metadata"]
    assert "serialNumber" not in document


@pytest.mark.slow
def test_document_of_the_real_layers_has_all_that_is_locked_for_them() -> None:
    target = Target(runtime=default_runtime(), architecture="x86_64")
    text = sbom.write(target).read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    purls = {component["purl"] for component in json.loads(text)["components"]}
    locked = (line.split()[0].split("==") for line in read_lock(ROOT / LAYERS, target).values())
    assert purls == {f"pkg:pypi/{name}@{version}" for name, version in locked}


# The upgrade

OLD = upgrade.State({DEV: {"alpha": "1.0", "mypy": "1.1"}, LAYERS: {"alpha": "1.0"}}, {"train": 100_000_000})
NEW = upgrade.State(
    {DEV: {"alpha": "1.1", "mypy": "1.2"}, LAYERS: {"alpha": "1.1", "beta": "2.0"}}, {"train": 131_072_000}
)


def test_changed_versions_are_told_once_the_deployed_ones_first() -> None:
    told = [" ".join(line.split()) for line in upgrade.tell(OLD, NEW)]
    assert told[:5] == [
        "changed, of those deployed: 2",
        "alpha 1.0 → 1.1",
        "beta – → 2.0",
        "changed, of those for developers: 1",
        "mypy 1.1 → 1.2",
    ]


def test_weight_of_each_function_is_told_before_and_after() -> None:
    *_, last = upgrade.tell(OLD, NEW)
    assert last.split() == ["train", "100,000,000", "131,072,000", "+31,072,000", "50.0%"]


def test_package_with_several_versions_is_told_with_all() -> None:
    lock = pin("beta", "10.0", "python_version >= '3.12'") + pin("beta", "9.0", "python_version < '3.12'")
    assert upgrade.read_versions(lock) == {"beta": "9.0, 10.0"}


def heavy(size: int) -> Bundle:
    layers = (*OWN_LAYERS, *DEPENDENCY_LAYERS)
    packages = {layer: {f"of-{layer}": size if layer == "ml" else 0} for layer in layers}
    return Bundle(folders={}, packages=packages, digests={}, byte_code=None)


def test_upgrade_tells_of_the_built_layers_before_and_after(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {False: 1000, True: 3000}
    locked: list[bool] = []
    monkeypatch.setattr(upgrade, "build", lambda _: heavy(sizes[bool(locked)]))
    monkeypatch.setattr(upgrade, "lock", lambda *, upgrade: locked.append(upgrade))
    assert upgrade.main([]) == 0
    assert locked == [True]
    told = capsys.readouterr().out.splitlines()[-len(STAGES) - 1 : -1]
    differences = {line.split()[0]: line.split()[3] for line in told}
    assert differences == {stage.name: "+2,000" if "ml" in stage.all_layers else "+0" for stage in STAGES}


def test_upgrade_over_the_limit_fails_and_says_how_to_go_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(upgrade, "build", lambda _: heavy(LIMIT))
    monkeypatch.setattr(upgrade, "lock", lambda **_: None)
    assert upgrade.main([]) == 1
    told = capsys.readouterr().err
    assert "train unzips to" in told
    assert "git restore requirements/dev.txt requirements/layers.txt" in told


def test_upgrade_that_cannot_be_built_fails_and_says_how_to_go_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    locked: list[bool] = []

    def build_the_old_only(_: Target) -> Bundle:
        if locked:
            raise BundlingError("no wheel of alpha")
        return heavy(0)

    monkeypatch.setattr(upgrade, "build", build_the_old_only)
    monkeypatch.setattr(upgrade, "lock", lambda *, upgrade: locked.append(upgrade))
    assert upgrade.main([]) == 1
    assert "git restore requirements/dev.txt requirements/layers.txt" in capsys.readouterr().err


def test_upgrade_that_cannot_be_locked_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*, upgrade: bool) -> None:
        raise NotLockedError("could not be locked")

    monkeypatch.setattr(upgrade, "build", lambda _: heavy(0))
    monkeypatch.setattr(upgrade, "lock", fail)
    assert upgrade.main([]) == 1
    assert "could not be locked" in capsys.readouterr().err
