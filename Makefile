# Targets for a fresh machine with Python 3.11 or later and make; `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help install quickstart test test-slow lint wheel clean
.DEFAULT_GOAL := help

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

# A stamp per extra: what setup.py and the pins say is installed once, and again when they change.
$(VENV)/.installed: setup.py pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (two minutes or so, once) ..."
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "Installing what the tests need ..."
	@$(PIP) --editable '.[test]'
	@touch $@

install: $(VENV)/.installed  ## make the environment and install the project into it

# Each step is a command that you would type yourself; make prints it.
QUICKSTART := quickstart_out
SCORE := $(BIN)/commit-t5x lm-eval --tasks ogx_xquad_hi,ogx_xquad_enhi --data-dir samples \
  --batch_size 10 --gen_kwargs max_gen_toks=32

quickstart: $(VENV)/.installed  ## the main job on shipped samples: train, export, score, report
	@rm -rf $(QUICKSTART)
	$(BIN)/commit-t5x train --gin_file=quickstart.gin --gin.MODEL_DIR="'$(QUICKSTART)/model'"
	$(BIN)/commit-t5x convert --from native --to hf $(QUICKSTART)/model $(QUICKSTART)/export
	$(SCORE) --model_args pretrained=$(QUICKSTART)/model \
	  --output_path $(QUICKSTART)/results/native.json
	$(SCORE) --model_args pretrained=$(QUICKSTART)/export \
	  --output_path $(QUICKSTART)/results/export.json
	$(BIN)/commit-t5x report $(QUICKSTART)/results

test: $(VENV)/.installed-test  ## lint and the test suite, at most 10 minutes on two cores
	$(BIN)/ruff check .
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-slow: $(VENV)/.installed-test  ## the tests that take minutes each
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.installed-test  ## ruff alone
	$(BIN)/ruff check .

wheel: $(VENV)/.installed  ## build a wheel into dist/
	@$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:  ## remove the environment and what runs have left
	rm -rf $(VENV) build dist $(QUICKSTART) *.egg-info
