# make demo | make test | make lint | make clean | make help. Plain make: the 3.81 of macOS is enough.

PYTHON ?= python3
VENV ?= .venv
OUT ?= runs/demo
PYTEST_ARGS ?=

BIN := $(VENV)/bin
# Quiet, but warnings and errors are shown.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo test lint samples clean
.DEFAULT_GOAL := help

help:
	@echo "make demo [OUT=runs/demo]  collect, train ECoT and RAD, evaluate, report"
	@echo "make test                  run the tests (PYTEST_ARGS='-k reasoning' for some of them)"
	@echo "make lint                  ruff"
	@echo "make samples               data_samples/ again"
	@echo "make clean                 remove $(VENV), caches and build leftovers; runs/ stays"
	@echo "PYTHON=python3.12 chooses the interpreter of a new $(VENV)"

demo: $(VENV)/.installed
	$(BIN)/radlite demo --out "$(OUT)"

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m "not slow" $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .

# How data_samples/ was made. Episodes are lossless webp, small enough to ship.
samples: $(VENV)/.installed
	$(BIN)/radlite collect --embodiment robot --episodes 17 --seed 7 --image-format webp --overwrite --out data_samples/robot
	$(BIN)/radlite collect --embodiment human --episodes 18 --seed 8 --image-format webp --overwrite --out data_samples/human

clean:
	rm -rf "$(VENV)" build dist radlite.egg-info .pytest_cache .ruff_cache .hypothesis
	find radlite tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is newer than what it was made from, so nothing is installed twice.
# torch goes first and alone: its version decides between a CPU build and gigabytes of CUDA (see constraints.txt).
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "radlite needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "creating $(VENV)"; $(PYTHON) -m venv "$(VENV)"; }
	@echo "installing torch (a few minutes the first time)"
	@$(PIP) torch
	@echo "installing radlite"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing what the tests need"
	@$(PIP) --editable '.[dev]'
	@touch $@
