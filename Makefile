# make demo | make paper | make test | make lint | make clean | make help. Plain make: the 3.81 of macOS is enough.

PYTHON ?= python3
VENV ?= .venv
LEROBOT := .venv-lerobot
HANDS := .venv-hands
OUT ?= runs/demo
PAPER_ARGS ?=
PYTEST_ARGS ?=

BIN := $(VENV)/bin
# Quiet, but warnings and errors are shown.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo paper lab test test-notebooks test-browser test-lerobot test-hands test-ray lint notebooks assignment samples clean
.DEFAULT_GOAL := help

help:
	@echo "make demo [OUT=runs/demo]  collect, train ECoT and RAD, evaluate, report"
	@echo "make paper [PAPER_ARGS='--scale small']  the paper's tables: what is not done yet, then tables and figures"
	@echo "make lab                   the course in JupyterLab, from notebooks/00_start_here.ipynb on"
	@echo "make test                  run the tests (PYTEST_ARGS='-k reasoning' for some of them)"
	@echo "make test-notebooks        run every notebook and solution; times and memory go to runs/notebooks.json"
	@echo "make test-browser          the notebooks' widgets in JupyterLab and Chromium"
	@echo "make test-lerobot          datasets to and from LeRobot's own package, installed in $(LEROBOT)"
	@echo "make test-hands            hands found by MediaPipe, two versions of it, installed in $(HANDS)"
	@echo "make test-ray              many clips on Ray, installed in $(VENV)"
	@echo "make lint                  ruff"
	@echo "make notebooks             notebooks/*.ipynb again, from notebooks/source"
	@echo "make assignment            what students and graders get, in runs/assignment (RADLITE=... see docs/teaching.md)"
	@echo "make samples               data_samples/ again"
	@echo "make clean                 remove $(VENV), $(LEROBOT), $(HANDS), caches and build leftovers; runs/ stays"
	@echo "PYTHON=python3.12 chooses the interpreter of a new $(VENV)"

demo: $(VENV)/.installed
	$(BIN)/radlite demo --out "$(OUT)"

paper: $(VENV)/.installed-figures
	$(BIN)/radlite experiment paper $(PAPER_ARGS)

lab: $(VENV)/.installed-lab
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks/00_start_here.ipynb  # root: in a container

# One thread a process, a process a core: small models on few cores gain nothing from more threads.
test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile -m "not slow and not browser and not notebooks and not lerobot and not hands and not ray" $(PYTEST_ARGS)

test-notebooks: $(VENV)/.installed-grading
	$(BIN)/python -m pytest -m notebooks tests/notebooks --durations=0 $(PYTEST_ARGS)

test-browser: $(VENV)/.installed-browser
	$(BIN)/python -m pytest -m browser tests/browser $(PYTEST_ARGS)

test-lerobot: $(VENV)/.installed-dev $(LEROBOT)/.installed
	RADLITE_LEROBOT_PYTHON="$(LEROBOT)/bin/python" $(BIN)/python -m pytest -m lerobot tests/lerobot $(PYTEST_ARGS)

test-hands: $(VENV)/.installed-dev $(HANDS)/.installed
	RADLITE_HANDS="$(HANDS)" $(BIN)/python -m pytest -m hands tests/hands $(PYTEST_ARGS)

test-ray: $(VENV)/.installed-ray
	$(BIN)/python -m pytest -m ray tests/ray $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .

notebooks: $(VENV)/.installed-dev
	$(BIN)/python notebooks/source/build.py

assignment: $(VENV)/.installed-grading notebooks
	$(BIN)/python docs/grading/assignment.py $(if $(RADLITE),--radlite "$(RADLITE)")

# How data_samples/ was made. Episodes are lossless webp, small enough to ship.
samples: $(VENV)/.installed
	$(BIN)/radlite collect --embodiment robot --episodes 17 --seed 7 --image-format webp --overwrite --out data_samples/robot
	$(BIN)/radlite collect --embodiment human --episodes 18 --seed 8 --image-format webp --overwrite --out data_samples/human

clean:
	rm -rf "$(VENV)" "$(LEROBOT)" "$(HANDS)" build dist radlite.egg-info .pytest_cache .ruff_cache .hypothesis
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

$(VENV)/.installed-lab: $(VENV)/.installed
	@echo "installing JupyterLab and what the notebooks use"
	@$(PIP) --editable '.[notebooks,gpu]'
	@touch $@

$(VENV)/.installed-figures: $(VENV)/.installed
	@echo "installing what draws figures as PNG"
	@$(PIP) --editable '.[figures]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing what the tests need"
	@$(PIP) --editable '.[dev,notebooks,gpu]'
	@touch $@

$(VENV)/.installed-grading: $(VENV)/.installed-dev
	@echo "installing otter-grader"
	@$(PIP) --editable '.[dev,notebooks,gpu,grading]'
	@touch $@

$(VENV)/.installed-browser: $(VENV)/.installed-dev
	@echo "installing what the browser tests need"
	@$(PIP) --editable '.[dev,notebooks,gpu,browser]'
	@touch $@

$(VENV)/.installed-ray: $(VENV)/.installed-dev
	@echo "installing Ray"
	@$(PIP) --editable '.[dev,notebooks,gpu,ray]'
	@touch $@

# LeRobot wants other versions than radlite, so it has an environment of its own; tests/lerobot/constraints.txt says why
# this is not simply `pip install lerobot`.
LEROBOT_PIP := $(LEROBOT)/bin/python -m pip install --quiet --disable-pip-version-check --constraint tests/lerobot/constraints.txt
$(LEROBOT)/.installed: tests/lerobot/constraints.txt | $(VENV)/.installed
	@echo "installing LeRobot in $(LEROBOT) (a few minutes)"
	@$(BIN)/python -m venv --clear "$(LEROBOT)"
	@$(LEROBOT_PIP) torch
	@$(LEROBOT_PIP) accelerate av datasets draccus huggingface_hub pillow
	@$(LEROBOT_PIP) --no-deps lerobot torchvision
	@touch $@

# The last mediapipe with models in its wheel wants numpy below 2, and the current one has none: an environment for each, with only
# what finding hands needs (no jax, no sound). The current one borrows the other's models, so nothing is fetched.
$(HANDS)/.installed: tests/hands/bundled.txt tests/hands/current.txt | $(VENV)/.installed
	@for name in bundled current; do \
	  $(HANDS)/$$name/bin/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m venv "$(HANDS)/$$name" || exit 1; \
	  echo "installing MediaPipe, $$name"; \
	  $(HANDS)/$$name/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r tests/hands/$$name.txt || exit 1; \
	done
	@touch $@
