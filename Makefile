# `make help` lists what can be done here.

PYTHON    ?= python3
VENV      ?= .venv
PORT      ?= 8888
N         ?= 1000
SEED      ?= 1
JOBS      ?= 2
NOTEBOOKS ?= $(sort $(wildcard notebooks/*.ipynb))

SHELL := /bin/bash
RUN   := $(VENV)/bin/python
# Half the tests wait for a kernel, a lab or a browser, so two workers pay off on two cores.
# Tests of a browser take longest, and both begin with them if nothing changes the order: see conftest.py.
PYTEST := $(RUN) -m pytest -n 2 --no-loadscope-reorder
NBVAL  := --nbval --nbval-current-env notebooks

# Stamps: what is installed from the lock, and the project itself.
LOCKED := $(VENV)/installed-lock
READY  := $(VENV)/installed-project

.DEFAULT_GOAL := help
.PHONY: help venv lab test lint format types unit golden browser debian prove notebooks export bench lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(READY) ## create the virtual environment from the lock file

$(LOCKED): requirements.lock tools/venv.sh tools/overrides.json
	@PYTHON=$(PYTHON) bash tools/venv.sh $(VENV)
	@touch $@

$(READY): $(LOCKED) pyproject.toml
	$(VENV)/bin/uv pip install --quiet --python $(RUN) --no-deps --no-build-isolation --editable .
	@touch $@

lab: $(READY) ## open JupyterLab on the notebooks (PORT=8888)
	@exec bash tools/lab.sh $(VENV) $(PORT)

test: lint types $(READY) debian ## run every check: lint, types, tests, notebooks, browser
	$(PYTEST) tests $(NBVAL)

lint: $(READY) ## check style and formatting
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(VENV)/bin/oxlint --quiet flannelviz/views/stage tests/browser tests/views

format: $(READY) ## repair style and formatting
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

types: $(READY) ## check the types of the library
	$(RUN) -m mypy

unit: $(READY) ## run the tests that need no browser
	$(PYTEST) -m "not browser" tests

golden: $(READY) ## run the notebooks and compare with their saved outputs
	$(PYTEST) $(NBVAL)

browser: $(READY) debian ## run the notebooks in JupyterLab in Chromium
	$(PYTEST) -m browser tests

debian: ## install what tests need of Debian: Chromium, CNI plugins, iptables
	@bash tools/debian.sh

prove: $(READY) debian ## ask a real kernel whether the model is right (N=1000 SEED=1 JOBS=2)
	@$(RUN) -m prove $(N) --seed $(SEED) --jobs $(JOBS)

notebooks: $(READY) ## execute the notebooks and write them, the same bytes each time
	$(RUN) tools/notebooks.py $(NOTEBOOKS)

export: $(READY) ## write the notebooks as pages that work from disk, to build/pages/
	@mkdir -p build/pages
	$(RUN) -m flannelviz.export --output build/pages $(NOTEBOOKS)

bench: $(READY) ## measure against the budgets
	@why=$$($(VENV)/bin/uv pip install --quiet --python $(RUN) --require-hashes -r bench/requirements.txt 2>&1) || \
		echo "flannelviz: the comparison with pytricia is left out, it cannot be installed:" $$(grep error: <<<"$$why" | tail -n 1)
	$(RUN) bench/run.py

lock: ## renew requirements.lock and the pins of binder/
	@PYTHON=$(PYTHON) bash tools/lock.sh

clean: ## remove the virtual environment and everything that was built
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
