# Everything a user or a contributor runs. Each target needs Python 3.11+ and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where this is set, as in many containers, each of the processes that tests start compiles everything anew.
unexport PYTHONDONTWRITEBYTECODE
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo demo-finetune test test-long test-peers fuzz check audit compare-sdks survive bench bench-peers \
	bench-cold bench-memory bench-gpu bench-jobs bench-sdk explain-errors explain-pictures overload screenshots \
	format clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or later is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(INSTALLED): pyproject.toml setup.cfg | $(BIN)/python
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --editable '.[server]'
	@touch $@

$(INSTALLED)-test: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --group test
	@touch $@

$(INSTALLED)-check: $(INSTALLED)-test
	$(BIN)/python -m pip install --quiet --group check
	@touch $@

install: $(INSTALLED) ## Install the SDK and the server into .venv

demo: $(INSTALLED) ## Register, log in, choose a model, call it, read the result
	$(BIN)/python examples/demo.py

demo-finetune: $(INSTALLED) ## Train a head on a real encoder's embeddings of the demo's sentences (minutes; docs/training.md)
	$(BIN)/python -m reference_server.demo.fine_tune

# Threads of numpy in each of several processes wait for each other's cores; the server has one in each process too.
test test-long fuzz: export OPENBLAS_NUM_THREADS := 1
# Tests of a group share what it sets up (tests/conftest.py).
test: $(INSTALLED)-test ## Run the whole test suite, in one process more than there are cores, up to 4
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder

test-long: $(INSTALLED)-test ## Run the tests that take minutes: real models, crowds of publishers, everything at once
	$(BIN)/python -m pytest -m long

check: $(INSTALLED)-check ## Check format, lint, types and known weaknesses
	$(BIN)/python tools/make_sync_face.py --check
	$(BIN)/python tools/make_api_reference.py --check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --warn-unused-ignores tests/typing_api.py
	$(BIN)/basedpyright tests/typing_api.py
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive maas_client reference_server tools
	$(BIN)/python tools/audit.py

audit: $(INSTALLED)-check ## Ask the package index for known vulnerabilities of what is installed
	$(BIN)/python tools/audit.py

# How many examples each property gets.
fuzz: $(INSTALLED)-test ## Send the server and every parser thousands of generated inputs (long; docs/guides/fuzzing.md)
	$(BIN)/python -m pytest tests/http/hostile --hypothesis-profile=fuzz --timeout=7200 --hypothesis-show-statistics

PEERS := build/peers
$(PEERS)/%/.installed: tests/peers/%.txt | $(BIN)/python
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --requirement $<
	@touch $@

test-peers: $(INSTALLED)-test $(PEERS)/mlserver/.installed $(PEERS)/kserve/.installed $(PEERS)/triton/.installed ## Run the SDK against real MLServer, KServe and Triton servers (large downloads)
	$(BIN)/python -m pytest tests/peers

# How often to kill, what the choices follow from, and the server's worker processes.
KILLS := 200
SEED :=
WORKERS := 1
survive: $(INSTALLED)-test ## Kill a server at random moments and look for what it has lost (KILLS=200 SEED= WORKERS=1; 20 minutes)
	$(BIN)/python tests/survival/survive.py --kills $(KILLS) --workers $(WORKERS) $(if $(SEED),--seed $(SEED))

COMPARED := build/compare-sdks
compare-sdks: | $(BIN)/python ## Compare the SDK with others, by what they do (minutes; docs/comparison.md)
	$(PYTHON) -m venv $(COMPARED)
	$(COMPARED)/bin/python -m pip install --quiet --requirement benchmarks/compare_sdks/requirements.txt '.[async]'
	$(COMPARED)/bin/python benchmarks/compare_sdks/compare.py

$(INSTALLED)-bench: $(INSTALLED)-test
	$(BIN)/python -m pip install --quiet --group bench
	@touch $@

bench: $(INSTALLED)-bench ## Measure serving beside a lean FastAPI, raw ONNX Runtime and the peers that are installed (20 minutes; build/bench)
	$(BIN)/python benchmarks/serving/bench.py

# The wheels of `server` and `server-gpu` overwrite each other, so this has an environment of its own.
ON_GPU := build/gpu
bench-gpu: $(INSTALLED) ## Measure serving on a GPU beside raw ONNX Runtime on the same card (docs/performance.md)
	$(BIN)/python benchmarks/gpu/card.py
	$(PYTHON) -m venv $(ON_GPU)
	$(ON_GPU)/bin/python -m pip install --quiet --editable '.[server-gpu]' psutil
	$(ON_GPU)/bin/python benchmarks/gpu/bench.py

BENCH_PEERS := build/bench-peers
$(BENCH_PEERS)/%/.installed: benchmarks/serving/peers/%.txt | $(BIN)/python
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --requirement $<
	@touch $@

bench-peers: $(BENCH_PEERS)/litserve/.installed $(BENCH_PEERS)/mlserver/.installed $(BENCH_PEERS)/bentoml/.installed ## Install LitServe, MLServer and BentoML for `make bench` (large downloads)

bench-memory: $(INSTALLED)-bench ## Watch the server's memory over 200 loads and unloads and ten minutes of mixed load (build/bench)
	$(BIN)/python benchmarks/serving/memory.py

bench-cold: $(INSTALLED)-bench ## Measure what it costs to load a large sealed model
	$(BIN)/python benchmarks/serving/cold_load.py

OVERLOAD_SECONDS := 60
overload: $(INSTALLED)-bench ## Send twice what the server can do, and see that it goes on (OVERLOAD_SECONDS=60; build/bench)
	$(BIN)/python benchmarks/serving/overload.py --seconds $(OVERLOAD_SECONDS)

bench-jobs: $(INSTALLED)-bench ## Measure how much slower serving is while a job runs
	$(BIN)/python benchmarks/jobs.py

explain-errors: $(INSTALLED)-bench ## Measure the error of explanations against their budget (minutes; docs/interpretability)
	$(BIN)/python benchmarks/explain_errors.py

explain-pictures: $(INSTALLED)-test ## Make the pictures of docs/interpretability.md anew, with Debian's Chromium
	$(BIN)/python tools/explanation_pictures.py

bench-sdk: $(INSTALLED)-test ## Measure what the SDK costs: importing, a first client, each call
	$(BIN)/python benchmarks/sdk.py

screenshots: $(INSTALLED)-test ## Make the pictures of the console's guide anew, with Debian's Chromium
	$(BIN)/python tools/console_screenshots.py

format: $(INSTALLED)-check ## Format the code, and make the SDK's synchronous face
	$(BIN)/ruff format .
	$(BIN)/python tools/make_sync_face.py
	$(BIN)/ruff check --fix .
	$(BIN)/python tools/make_api_reference.py

clean: ## Remove the environment and every cache in the tree
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
