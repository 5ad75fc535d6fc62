# make repro   make the environment and reproduce the study in params.yaml; with JOBS=2 two cells at once
# make smoke   reproduce the toy study in a copy of the last commit, .smoke/
# make test    make the environment and run every check: format, lint, types, import floors, documents, tests
# make docs    build the documents as pages that open offline: site/index.html
# make readme  put the newest results into README.md, docs/ and the comparison of a profile's page
# make compare REV=main   the results of another branch beside those of the working tree: compare.html
# make lock    refresh requirements.lock from pyproject.toml
.DEFAULT_GOAL := help
.PHONY: help env repro smoke test docs readme compare lock

PYTHON ?= python3
JOBS ?= 1
BIN := .venv/bin
UV := $(or $(shell command -v uv),.uv/bin/uv)

help:
	@sed -n 's/^# //p' Makefile

repro: env
	. $(BIN)/activate && spectroscope repro --jobs $(JOBS)

smoke: JOBS = 2
smoke: env
	rm -rf .smoke && git clone --quiet . .smoke && cp studies/smoke.yaml .smoke/params.yaml && rm -f .smoke/dvc.lock
	. $(BIN)/activate && cd .smoke && spectroscope repro --jobs $(JOBS)
	@echo "the page of the toy study: .smoke/reports/index.html"

test: env
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python -m pytest

docs: env
	$(BIN)/mkdocs build --strict --quiet

readme: env
	$(BIN)/python -m scripts.readme
	$(BIN)/python -m scripts.public_networks

compare: env
	$(BIN)/python -m spectroscope.cli compare $(or $(REV),$(error expected a revision, such as REV=main, got none))

lock: $(UV)
	$(UV) pip compile --quiet --universal --no-header --generate-hashes --upgrade \
		--extra pipeline --extra attacks --group pyproject.toml:dev --output-file requirements.lock pyproject.toml

env: .venv/made

.venv/made: requirements.lock pyproject.toml | $(UV)
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("expected Python >= 3.11, got " + sys.version)'
	test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable . # the command
	touch $@

.uv/bin/uv:
	if $(PYTHON) -m pip --version >/dev/null 2>&1; then $(PYTHON) -m pip install --quiet --target .uv uv; \
	else $(PYTHON) -m venv .uv && .uv/bin/python -m pip install --quiet uv; fi
