# make quickstart: set up, then convert, corrupt, train and compare on data that needs no download
# make test:       set up, then ruff, mypy and all tests

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP     = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SEEDS  ?= 0 1 2
OUT    ?= quickstart
DATA    = $(OUT)/data
RUNS    = $(OUT)/runs

.PHONY: help install quickstart test lint docs clean
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
	    for method in default selfie; do \
	        $(BIN)/trainer run $$method --preset quick --seed $$seed --data $(DATA)/digits-pair-0.4-seed$$seed \
	            --run-dir $(RUNS)/$$method-seed$$seed --overwrite --report-every 20; \
	    done; \
	    { set +x; } 2>/dev/null; \
	done
	$(BIN)/datatools verify $(DATA)/digits-pair-0.4-seed0
	$(BIN)/trainer report $(RUNS) --out $(OUT)
	@echo "the picture: $(OUT)/learning-curves.png"

test: $(VENV)/.installed-dev lint
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-dev
	$(BIN)/python docs/commands.py

clean:
	rm -rf $(OUT) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
