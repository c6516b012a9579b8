# make help
.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help setup test static unit integration infra e2e fuzz fuzz-serve bench-prepare bench-train bench-train-memory bench-gate bench-estimate bench-serve bench-explain bench-drift-power bench-drift-speed bench-year v2-client demo layers lock upgrade audit nag snapshot sbom clean

help: ## Say what can be made
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY) ## Install everything into .venv, the `tidemill` command too

$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11, 3.12 or 3.13 is needed; this is " + sys.version.split()[0])'
	@echo "Installing into .venv (about a minute the first time) …"
	@# An environment of another Python would be written over by halves: it is made anew.
	@[ "$$($(BIN)/python -c 'import sys; print(sys.version)' 2>/dev/null)" = "$$($(PYTHON) -c 'import sys; print(sys.version)')" ] \
		|| $(PYTHON) -m venv --clear .venv
	@$(BIN)/pip install -qq --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install -qq --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@
	@echo "Ready: $(BIN)/tidemill --help"

test: setup ## Everything that must hold: static checks, unit, integration, state machines, template, end to end
	@$(BIN)/python -m tests.gate

static: setup ## ruff, mypy --strict, import-linter
	@$(BIN)/python -m tests.gate static

unit: setup ## The pure core
	@$(BIN)/python -m tests.gate unit

e2e: setup ## The whole loop on the local cloud, and the CDK CLI against it
	@$(BIN)/python -m pytest tests/e2e -m "e2e or slow"

fuzz: setup ## Two thousand damaged files through Prepare (some minutes)
	@FUZZ_EXAMPLES=2000 $(BIN)/python -m pytest tests/fuzz

fuzz-serve: setup ## Ten thousand requests of all kinds through the handler of infer, and schemathesis by its OpenAPI (some minutes)
	@$(BIN)/python -m tests.fuzz.serve $(ARGS)
	@$(BIN)/python -m tests.fuzz.described

bench-serve: setup ## Serve against the usual ways, side by side (some minutes; ARGS="--quick cold warm" is less)
	@$(BIN)/python -m tests.bench.serve $(ARGS)

bench-explain: setup ## Explanations against exact Shapley values, and what a row costs (some minutes)
	@$(BIN)/python -m tests.bench.explain

bench-prepare: setup ## Prepare against pandas, side by side, and its peak memory (some minutes)
	@$(BIN)/python -m tests.bench.prepare

bench-gate: setup ## How often the gate is wrong, in simulated comparisons (some minutes)
	@$(BIN)/python -m tests.bench.gate $(ARGS)

bench-estimate: setup ## How good an estimate without labels is, in simulated windows (some minutes)
	@$(BIN)/python -m tests.bench.estimate $(ARGS)

v2-client: setup ## Call the endpoint by the Open Inference Protocol, with tritonclient, and print what it heard
	@$(BIN)/python -m tests.bench.v2_client $(ARGS)

bench-train: setup ## Train against scikit-learn and FLAML on public tables (ARGS="--seconds 15" is quick)
	@$(BIN)/python -m tests.bench.train $(ARGS)

bench-train-memory: setup ## Peak memory and time of training at 1 and 3 million rows
	@$(BIN)/python -m tests.bench.train_memory $(ARGS)

bench-drift-power: setup ## How often a check cries wolf, and what it misses, beside Evidently (a quarter of an hour; ARGS="--trials 100" is quick)
	@$(BIN)/python -m tests.bench.drift_power $(ARGS)

bench-drift-speed: setup ## A check of 1 million captured rows beside Evidently: time and memory (some minutes)
	@$(BIN)/python -m tests.bench.drift_speed $(ARGS)

bench-year: setup ## A simulated year of the loop beside a monthly schedule and an oracle (ARGS="--quick" is less)
	@$(BIN)/python -m tests.bench.year $(ARGS)

demo: setup ## The whole loop on real data, on the local cloud
	@$(BIN)/python -m examples.flights.demo

layers: setup ## Build the layers, weigh each function (both architectures; or ARCHITECTURE=arm64 RUNTIME=python3.13)
	@$(BIN)/python -m infra.bundling $(if $(ARCHITECTURE),--architecture $(ARCHITECTURE)) $(if $(RUNTIME),--runtime $(RUNTIME))

lock: setup ## Resolve all requirements again
	@$(BIN)/python -m infra.lock

upgrade: setup ## Lock the newest versions, build the layers, and print what changed and what it weighs
	@$(BIN)/python -m infra.upgrade

audit: setup ## Ask for known vulnerabilities of all that is locked
	@$(BIN)/python -m infra.audit

nag: setup ## cdk-nag's AwsSolutions over every environment: what it finds, and why some of it stays
	@$(BIN)/python -m infra.nag

snapshot: setup ## Write the list of resources anew, after a change of the template that was meant
	@$(BIN)/python -m tests.infra.snapshot

sbom: setup ## Write what the layers hold, as CycloneDX
	@$(BIN)/python -m infra.sbom

clean: ## Remove all that was built; the local cloud's state stays
	@rm -rf cdk.out .tidemill/layers .tidemill/reports .tidemill/sbom-* .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
