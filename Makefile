# make quickstart: set up, then convert, corrupt, train and compare on data that needs no download
# make test:       set up, then ruff, mypy and all tests
# make check:      set up, then ruff, mypy and the fast tests: under a minute on two cores
# make durations:  run all tests and record in tests/slow_tests.txt which are slow
# make chaos:      kills, power cuts, full disks and rivals at every point, about a quarter of an hour; SEED=1 for other moments
# make site:       the documentation as a site, in site/
# make matrix:     the fast tests on each Python there is of 3.11 to 3.13, and with the oldest dependencies promised
# make test-browser: set up, then look at the pages of report and review in a headless Chromium, installed with apt where there is none
# make test-ray:   set up with Ray, then a sweep on a cluster of two nodes on this machine, one of which is killed

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP     = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SEEDS  ?= 0 1 2
ONLY   ?=
OUT    ?= quickstart
SEED   ?= 0
DATA    = $(OUT)/data
RUNS    = $(OUT)/runs

.PHONY: help install quickstart check test durations chaos site matrix test-browser test-ray lint docs clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

install: $(VENV)/.installed

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else f"Python 3.11 to 3.13 is needed, this is {v[0]}.{v[1]}; name one: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing (TensorFlow is large, minutes on a slow line)"
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing with what tests need (TensorFlow is large, minutes on a slow line)"
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.installed

quickstart: $(VENV)/.installed
	$(BIN)/datatools convert --dataset digits --root $(DATA) --overwrite
	@set -e; for seed in $(SEEDS); do \
	    set -x; \
	    $(BIN)/datatools corrupt --rate 0.4 --type pair --seed $$seed --data $(DATA)/digits --overwrite; \
	    for method in default active-bias co-teaching selfie; do \
	        $(BIN)/trainer run $$method --preset quick --seed $$seed --data $(DATA)/digits-pair-0.4-seed$$seed \
	            --run-dir $(RUNS)/$$method-seed$$seed --overwrite --report-every 20; \
	    done; \
	    { set +x; } 2>/dev/null; \
	done
	$(BIN)/datatools verify $(DATA)/digits-pair-0.4-seed0
	$(BIN)/trainer report $(RUNS) --out $(OUT)/report
	@echo "the page: $(OUT)/report/report.html, the picture: $(OUT)/report/learning-curves.png"

test: $(VENV)/.installed-dev lint
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# The tests that are not in tests/slow_tests.txt; those that took longest are named, in case one of them belongs there
check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --quiet --numprocesses 2 --dist loadfile -m 'not slow' --durations 3 --durations-min 1

durations: $(VENV)/.installed-dev
	rm -f .durations.tsv
	$(BIN)/python -m pytest -p tests.durations
	$(BIN)/python tests/durations.py

# Both the tests marked `chaos` and the fast ones beside them; a line at the end counts what was attempted
chaos: $(VENV)/.installed-dev
	CHAOS_SEED=$(SEED) $(BIN)/python -m pytest tests/chaos --quiet --numprocesses 2

site: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# ONLY=oldest, or 3.12, for a part of it
matrix:
	$(PYTHON) tests/matrix.py $(ONLY)

test-browser: $(VENV)/.installed-dev
	@command -v chromium chromium-browser google-chrome >/dev/null || { \
	    command -v apt-get >/dev/null \
	        || { echo "no Chromium and no apt-get here: install chromium or google-chrome and run this again" >&2; exit 1; }; \
	    sudo=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	    $$sudo apt-get update && $$sudo apt-get install --yes --no-install-recommends chromium fonts-dejavu-core; }
	$(BIN)/python -m pytest tests/trainer/report/test_report_browser.py tests/trainer/review/test_review_browser.py

test-ray: $(VENV)/.installed-dev
	$(PIP) --editable '.[ray]'
	$(BIN)/python -m pytest tests/trainer/sweep/test_sweep_ray.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-dev
	$(BIN)/python docs/commands.py
	$(BIN)/python docs/configuration.py

clean:
	rm -rf $(OUT) build dist site .matrix *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
