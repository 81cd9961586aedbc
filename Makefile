# make help lists what there is. Everything sets itself up: a virtual environment from hash-pinned files, the Debian
# packages that the embedded database needs, the database itself. Later runs skip what is done.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; exit; }; done; echo python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
SOURCES := $(wildcard audit collector generator inference ledger migrations outbox service store tally tests witness)
# make test runs all tests in two processes; make test ARGS="-k chain" runs a part of them in one, and
# make test ARGS="-n 2 tests/faults" in two. Each process has a database server of its own.
ARGS ?= -n 2

.DEFAULT_GOAL := help
.PHONY: help demo test up down lint format bench lock setup clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup ## bring everything up, stream a fleet, verify, tamper, verify again (results in var/demo/)
	@$(BIN)/python -m tally.demo

test: setup ## run all tests against a real TimescaleDB, in two processes; ARGS="-k chain" runs a part
	@$(BIN)/python -m tally.embedded
	@$(BIN)/python -m pytest $(ARGS)

up: setup ## start database and services, and stay in the foreground until Ctrl-C
	@$(BIN)/tally up

down: setup ## stop everything that `make up` or `tally up --detach` started
	@$(BIN)/tally down

lint: setup ## ruff (lint and format) and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/mypy $(SOURCES)

format: setup ## let ruff put the sources in shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format $(SOURCES)

bench: setup ## measure, print a table, write JSON under var/bench/
	@$(BIN)/tally bench

COMPILE = $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-header --no-annotate \
	--python-version 3.11

lock: setup ## pin requirements*.in again, with the hashes that the package index states
	@for set in requirements requirements-dev; do \
		$(COMPILE) --universal $$set.in -o $$set.txt >/dev/null || exit 2; done
	@$(COMPILE) --universal requirements-mlflow.in -c requirements.txt -o requirements-mlflow.txt >/dev/null
	@# The index has PyTorch's CUDA build alone, with gigabytes of libraries; PIP_FIND_LINKS names the CPU wheels.
	@$(COMPILE) --python-platform x86_64-manylinux_2_28 --find-links "$${PIP_FIND_LINKS:?name a folder or page of \
		PyTorch CPU wheels}" requirements-train.in -c requirements.txt -o requirements-train.txt >/dev/null
	@grep -q '^torch==.*+cpu ' requirements-train.txt

setup: $(VENV)/.installed ## the virtual environment and the Debian packages that it needs
	@:

# The stamps: .packages is renewed when the pinned files change, .installed when pyproject.toml or the list of packages does.
$(VENV)/.packages: requirements-dev.txt tally/system_packages.sh
	@sh tally/system_packages.sh $(PYTHON)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "tally: installing Python packages into $(VENV)"
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@

$(VENV)/.installed: $(VENV)/.packages pyproject.toml $(wildcard */__init__.py)
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

clean: ## remove caches and build results; keeps the data of var/
	@rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis ./*.egg-info
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## also stop the stack and remove the virtual environment and all local data
	@if [ -x $(BIN)/tally ]; then $(BIN)/tally down; fi
	@rm -rf --one-file-system var $(VENV)
