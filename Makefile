# make repro   make the environment and reproduce the whole pipeline
# make test    make the environment and run every check: format, lint, import floors, types, tests
# make readme  put the newest result tables into README.md and docs/measures.md
# make lock    refresh requirements.lock from pyproject.toml
.DEFAULT_GOAL := help
.PHONY: help env repro test readme lock

PYTHON ?= python3
BIN := .venv/bin
UV := $(or $(shell command -v uv),.uv/bin/uv)

help:
	@sed -n 's/^# //p' Makefile

repro: env
	. $(BIN)/activate && dvc repro

test: env
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python -m pytest

readme: env
	$(BIN)/python scripts/readme.py

lock: $(UV)
	$(UV) pip compile --quiet --universal --no-header --generate-hashes --upgrade \
		--all-extras --group pyproject.toml:dev --output-file requirements.lock pyproject.toml

env: .venv/made

.venv/made: requirements.lock | $(UV)
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("expected Python >= 3.11, got " + sys.version)'
	test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	touch $@

.uv/bin/uv:
	if $(PYTHON) -m pip --version >/dev/null 2>&1; then $(PYTHON) -m pip install --quiet --target .uv uv; \
	else $(PYTHON) -m venv .uv && .uv/bin/python -m pip install --quiet uv; fi
