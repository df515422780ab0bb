# make rollout   a minute of the embedded model, with the base package alone
# make test      everything that must hold before a change lands; JOBS=2 tests side by side
# make soak      MINUTES=10 of random programs, engine against oracle, then the tests' long forms
# make mutate    changes in the kernels, one at a time, each of which the comparisons must notice
# make bench     the suites that `python -m benchmarks` names, which print the README's figures;
#                the one of quantization if DATA=dataset says where its games are
# make embed     WORLD=run AGENT=run DATA=dataset: the embedded models, of two training runs; the
#                set that they play, the golden hashes, and the parts of pages that show them
#
# Both installs share .venv and are editable, so each may follow the other.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
OLDEST := $(VENV)/numba-oldest
FRAMES ?= 3600
MINUTES ?= 10
JOBS ?= 2

.PHONY: rollout test soak mutate bench embed clean

rollout: $(VENV)/installed-base
	$(BIN)/wmq rollout --int8 --frames $(FRAMES)

test: $(VENV)/installed-dev $(VENV)/installed-oldest
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile

soak: $(VENV)/installed-dev $(VENV)/installed-oldest
	$(BIN)/python -m tests.wmq_kernels.soak --minutes $(MINUTES)
	$(BIN)/python -m pytest -q -m soak

mutate: $(VENV)/installed-dev
	$(BIN)/python -m tests.wmq_kernels.mutate

bench: $(VENV)/installed-dev
	for suite in $$($(BIN)/python -m benchmarks | grep -vx quantization); do \
	    $(BIN)/python -m benchmarks $$suite || exit 1; done
	$(if $(DATA),$(BIN)/python -m benchmarks quantization --data $(DATA) -o build/quantization)

embed: $(VENV)/installed-dev
	$(BIN)/wmq export $(WORLD) --half -o wmq/embedded/world.onnx
	$(BIN)/wmq export $(AGENT) --half -o $(AGENT).onnx
	$(BIN)/wmq calibrate wmq/embedded/world.onnx --data $(DATA) -o wmq/embedded/world.wmq
	$(BIN)/wmq calibrate $(AGENT).onnx --data $(DATA) -o wmq/embedded/agent.wmq
	$(BIN)/python -m wmq.calibration.make_set wmq/embedded/world.wmq \
	    -o calib/sets/self-play-v2.safetensors
	$(BIN)/python -m tests.support.golden renew
	for page in docs/make_*.py; do $(BIN)/python $$page || exit 1; done

$(VENV)/installed-base: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[dev]'
	touch $(VENV)/installed-base $@

# The lowest versions that pyproject.toml allows, for the tests of equal bits.  Where they can't
# be had the build goes on: those tests are skipped and quote the obstacle.
$(VENV)/installed-oldest: pyproject.toml constraints-oldest.txt
	rm -rf $(OLDEST) $@
	$(PYTHON) -m venv $(OLDEST)
	if $(OLDEST)/bin/python -m pip --disable-pip-version-check install --quiet \
	    --only-binary :all: -c constraints-oldest.txt --editable . 2> $(OLDEST)/errors; \
	then touch $@; \
	else (grep -m 1 ERROR $(OLDEST)/errors || echo "pip failed") > $(OLDEST)/obstacle; \
	    echo "without the oldest numba: $$(cat $(OLDEST)/obstacle)" >&2; fi

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
