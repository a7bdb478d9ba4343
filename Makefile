# Needs Python 3.11 or newer and make, nothing else. `make help` lists what there is.
PYTHON ?= python3
VENV ?= .venv
DIST ?= dist
BIN := $(VENV)/bin
# The mark of an environment that is up to date. `SETUP=` says that VENV is somebody else's and complete.
SETUP ?= $(VENV)/.ready
# How often the random ones among the faults are tried, with other dice each time.
FAULT_SEEDS ?= 1
# At most 3, 20 and 90 minutes (ARGS="--minutes 12" for less).
BENCH_SIZE ?= medium

.DEFAULT_GOAL := help
.PHONY: help setup demo up example-python example-node test test-whole faults check bus-burst round-trips-large incremental-fuzz bench bench-workers bench-encryption bench-memory bench-cost bench-queue bench-api docs pictures build lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(SETUP)  ## make the virtual environment, everything pinned by hash

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: $(PYTHON) is older than 3.11"; \
		echo "hint: make PYTHON=/path/to/a/newer/python3 …"; exit 1; }
	@echo "Setting up $(VENV) (once) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(SETUP)  ## snapshot a real database on the fleet, lose it, bring it back
	@$(BIN)/snapfleet demo

up: $(SETUP)  ## run the embedded fleet until Ctrl-C
	@$(BIN)/snapfleet up

example-python: $(SETUP)  ## a service in Python gets its database back over the event bus
	@$(BIN)/python -m examples.consciousness.run python

example-node: $(SETUP)  ## the same in Node, with nothing of ours (needs node 20 and npm)
	@$(BIN)/python -m examples.consciousness.run node

test: $(SETUP)  ## run the tests against real servers (ARGS="-k name" picks some)
	@$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

test-whole: $(SETUP)  ## the same and their long variants, which try what others, or the faults, try too
	@$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder --whole $(ARGS)

faults: $(SETUP)  ## break a fleet in every known way, and look every promise up after each (FAULT_SEEDS=3)
	@$(BIN)/python -m tests.faults --seeds $(FAULT_SEEDS) $(ARGS)

check: $(SETUP)  ## formatter, linter, types, import rules, installed packages
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/uv pip check --quiet --python $(BIN)/python

round-trips-large: $(SETUP)  ## 10,000 tables, 50,000 large objects, rows of 900 MB, there and back (ARGS="--major 15")
	@$(BIN)/python -m tests.large $(ARGS)

incremental-fuzz: $(SETUP)  ## random statements, and each incremental snapshot compared with what reading gives (ARGS="--steps 10000 --seed 1")
	@$(BIN)/python -m tests.incremental $(ARGS)

bench: $(SETUP)  ## ours and every other way to do it, in turn (BENCH_SIZE=small|medium|large, ARGS="--only growth")
	@$(BIN)/python -m benchmarks.speed --size $(BENCH_SIZE) $(ARGS)

bench-workers: $(SETUP)  ## is the copy faster with two workers than with one? (ARGS="--rounds 3")
	@$(BIN)/python -m benchmarks.two_workers $(ARGS)

bus-burst: $(SETUP)  ## 10,000 requests five times each, readers killed, Redis restarted (ARGS="--requests 500")
	@$(BIN)/python -m benchmarks.bus_burst $(ARGS)

bench-encryption: $(SETUP)  ## what encryption costs, in processor time, size and memory (ARGS="--rounds 7")
	@$(BIN)/python -m benchmarks.encryption $(ARGS)

bench-memory: $(SETUP)  ## peak memory of every process, on the sample and on one four times as large
	@$(BIN)/python -m benchmarks.memory $(ARGS)

bench-api: $(SETUP)  ## 50 clients of the REST API for a minute over 100,000 snapshots (ARGS="--seconds 10")
	@$(BIN)/python -m benchmarks.api $(ARGS)

bench-queue: $(SETUP)  ## 1,000 tiny databases: snapshots per second, doorbell to claim, what is idle (ARGS="--jobs 50")
	@$(BIN)/python -m benchmarks.queue $(ARGS)

bench-cost: $(SETUP)  ## what one worker costs at rest and at work, in memory and connections
	@$(BIN)/python -m benchmarks.cost $(ARGS)

docs: $(SETUP)  ## the documentation as pages for a browser, in site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

pictures: $(SETUP)  ## take the pictures of docs/monitoring.md (needs Debian's prometheus and chromium)
	@$(BIN)/python -m monitoring.pictures

build: $(SETUP)  ## build the wheel into dist/
	@$(BIN)/python -m hatchling build -t wheel -d $(DIST)

lock: $(SETUP)  ## pin what pyproject.toml asks for; a pin moves only where it has to
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --all-extras --python-version 3.11 \
		--no-emit-index-url pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
		--no-emit-index-url -c requirements.lock pyproject.toml -o deploy/requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
		--no-emit-index-url -c requirements.lock deploy/build.in -o deploy/build.lock

clean:  ## remove what can be made again; .snapfleet, which holds data, stays
	@rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
