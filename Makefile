# `make` lists the targets; all of them work on a fresh clone with Python 3.11 or later and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ETCD := $(VENV)/etcd
SYSTEMD := $(VENV)/systemd
TOOLS := $(CURDIR)/$(ETCD)/usr/bin:$(CURDIR)/$(SYSTEMD)/tool
WORKERS ?= 2
FUZZ_MINUTES ?= 10
MINUTES ?= 60
STORE ?= sqlite
SEEDS ?= 10000
AMOUNT ?= ci
FAULTS_MINUTES ?= 60
FAULTS_ci = SYNCCRON_FAULTS=long SYNCCRON_KILLS=40 $(BIN)/pytest -m faults --timeout 1800
FAULTS_release = $(BIN)/python -m tests.faults.release --minutes $(FAULTS_MINUTES) --rows $(ROWS)

.DEFAULT_GOAL := help
.PHONY: help demo test faults fuzz soak explore simulate check format completions man deploy bench lock sbom audit clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml requirements-dev.lock
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "synccron needs Python 3.11 or later; set PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: $(STAMP)  ## run real jobs on a node of its own for some seconds
	$(BIN)/python examples/demo.py

$(ETCD): $(STAMP) .ci/etcd
	.ci/etcd $@
	@touch $@

$(SYSTEMD): .ci/systemd
	.ci/systemd $(CURDIR)/$@
	@touch $@

test: $(STAMP) $(ETCD) $(SYSTEMD)  ## run all tests
	PATH="$(TOOLS):$$PATH" $(BIN)/pytest --numprocesses $(WORKERS) --dist loadgroup

faults: $(STAMP) $(ETCD)  ## break everything, and print what broke (AMOUNT=release FAULTS_MINUTES=60 ROWS=: more of it)
	PATH="$(CURDIR)/$(ETCD)/usr/bin:$$PATH" $(FAULTS_$(AMOUNT))

soak: $(STAMP) $(ETCD)  ## let three nodes live long while things break (MINUTES=60 STORE=sqlite|etcd SEED=)
	PATH="$(CURDIR)/$(ETCD)/usr/bin:$$PATH" $(BIN)/python -m tests.faults.soak --minutes $(MINUTES) --store $(STORE) $(if $(SEED),--seed $(SEED))

fuzz: $(STAMP) $(ETCD)  ## spoilt expressions, files, crontabs, records and command lines, for FUZZ_MINUTES in all
	PATH="$(CURDIR)/$(ETCD)/usr/bin:$$PATH" PYTHONPATH=. $(BIN)/python -m tests.fuzz.run --minutes $(FUZZ_MINUTES) $(FUZZ)

explore: $(STAMP)  ## every order of steps to a depth of 6, and a million random ones, against the laws
	PYTHONPATH=. $(BIN)/python -m tests.simulation.explore

simulate: $(STAMP)  ## SEEDS (10000) runs of whole nodes on a simulated clock, against the laws
	PYTHONPATH=. $(BIN)/python -m tests.simulation.simulate --seeds $(SEEDS) --processes $(WORKERS)

check: $(STAMP)  ## lint, format, types, the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

completions: $(STAMP)  ## write completions/ anew
	$(BIN)/python -m synccron.cli.completion completions

man: $(STAMP)  ## write man/synccron.1 anew
	$(BIN)/python -m synccron.cli.man man

deploy: $(STAMP)  ## write the units in deploy/ anew
	$(BIN)/python -m synccron.cli.unit deploy

.PHONY: screenshots
screenshots: $(STAMP)  ## take the screenshots of the docs anew
	$(BIN)/python examples/screenshots.py

bench: $(STAMP) $(ETCD)  ## measure, and write docs/performance.md (BENCH=short: a little of each)
	PATH="$(CURDIR)/$(ETCD)/usr/bin:$$PATH" BENCH=$(BENCH) $(BIN)/python -m benchmarks.run $(SECTIONS)

sbom:  ## write sbom.cdx.json anew: what synccron is made of, with versions and hashes
	$(PYTHON) .ci/sbom sbom.cdx.json

audit: $(STAMP)  ## ask for known vulnerabilities of what is locked (asks the advisories of PyPI: needs network)
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/pip install --quiet --disable-pip-version-check 'pip-audit>=2.7,<3'
	$(VENV)/audit/bin/pip-audit --requirement requirements-dev.lock --require-hashes --disable-pip --strict --progress-spinner off

lock:  ## renew requirements-dev.lock with the newest versions that pyproject.toml allows
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --group dev --all-extras --no-emit-index-url --generate-hashes pyproject.toml --custom-compile-command "make lock" --output-file requirements-dev.lock

clean:  ## remove what was built, installed or cached
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
