# make demo    set up, then run the main job on the embedded default, and label the photographs in configs/photos
# make test    set up, then lint (ruff, spelling), type-check and test
# make clean   remove the runs and the caches

PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.ready

.PHONY: demo test lint types unit clean

$(SETUP): pyproject.toml setup.py constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "phrasebox needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(SETUP)

demo: $(SETUP)
	$(BIN)/phrasebox run configs/demo.yaml
	$(BIN)/phrasebox run configs/photos.yaml --until audit

test: lint types unit

lint: $(SETUP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell

types: $(SETUP)
	$(BIN)/mypy

unit: $(SETUP)
	OMP_NUM_THREADS=1 $(BIN)/pytest --durations=15

clean:
	rm -rf runs .pytest_cache .mypy_cache .ruff_cache .hypothesis
