# make rollout   a minute of the embedded model, with the base package alone
# make test      everything that must hold before a change lands
# make soak      the long forms of the tests (pytest -m soak), such as 600 frames, engine and oracle
# make bench     the suites of benchmarks/, which print the README's figures
#
# Both installs share .venv and are editable, so each may follow the other.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
FRAMES ?= 3600

.PHONY: rollout test soak bench clean

rollout: $(VENV)/installed-base
	$(BIN)/wmq rollout --int8 --frames $(FRAMES)

test: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q

soak: $(VENV)/installed-dev
	$(BIN)/python -m pytest -q -m soak

bench: $(VENV)/installed-dev
	for suite in benchmarks/[a-z]*.py; do $(BIN)/python $$suite || exit 1; done

$(VENV)/installed-base: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[dev]'
	touch $(VENV)/installed-base $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
