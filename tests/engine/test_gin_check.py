"""What gin reads is refused before anything is built: values, names, scopes and files."""

import re

import macros
import pytest

from commit_t5x.engine import gin_utils
from commit_t5x.errors import InputError

FILES = ["recipes/commit.gin", "models/debug.gin"]


def load(*bindings, files=FILES):
    gin_utils.load(files, [*macros.bindings(**macros.REQUIRED), *bindings])


def error(*bindings, files=FILES):
    with pytest.raises(InputError) as caught:
        load(*bindings, files=files)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Binding -> what the line says that is taken, and the flag that it suggests.
WRONG = {
    "CODEMIX_RATIO='0.9'": ("a number from 0 to 1", "--gin.CODEMIX_RATIO=0.9"),
    "CODEMIX_RATIO=1.5": ("a number from 0 to 1", "--gin.CODEMIX_RATIO=1"),
    "CODEMIX_RATIO=True": ("a number from 0 to 1", "--gin.CODEMIX_RATIO=0.9"),
    "CODEMIX_RATIO=@optim.adamw": ("a number from 0 to 1", "--gin.CODEMIX_RATIO=0.9"),
    "RESPONSE_CODEMIX_RATIO=-0.1": ("a number from 0 to 1, or None", ""),
    "TRAIN_STEPS='12'": ("a whole number from 1 on", "--gin.TRAIN_STEPS=12"),
    "TRAIN_STEPS=12.5": ("a whole number from 1 on", "--gin.TRAIN_STEPS=12"),
    "BATCH_SIZE='2'": ("a whole number from 1 on", "--gin.BATCH_SIZE=2"),
    "BATCH_SIZE=2.0": ("a whole number from 1 on", "--gin.BATCH_SIZE=2"),
    "SEQUENCE_LENGTH='96'": ("a whole number from 1 on", "--gin.SEQUENCE_LENGTH=96"),
    "TASK_FEATURE_LENGTHS=5": ("{a text in quotes: a whole number from 1 on, ...}", "'inputs'"),
    "LEARNING_RATE='2e-3'": ("a number from 0 on", "--gin.LEARNING_RATE=0.002"),
    "LEARNING_RATE=-1": ("a number from 0 on", "--gin.LEARNING_RATE=2e-05"),
    "LEARNING_RATE=1e999": ("a number from 0 on", "--gin.LEARNING_RATE=2e-05"),
    "WARMUP_STEPS=-1": ("a whole number from 0 on", "--gin.WARMUP_STEPS=36"),
    "DROPOUT_RATE=1.5": ("a number from 0 on and below 1", "--gin.DROPOUT_RATE=0.0"),
    "NUM_MICROBATCHES=0": ("a whole number from 1 on, or None", "--gin.NUM_MICROBATCHES=1"),
    "NUM_PARTITIONS=0": ("a whole number from 1 on", "--gin.NUM_PARTITIONS=1"),
    "PARAMETER_PARTITIONING_DIMS=3": ("a whole number from 1 to 2", ""),
    "RANDOM_SEED=-1": ("a whole number from 0 to 4294967295", "--gin.RANDOM_SEED=42"),
    "RANDOM_SEED=None": ("a whole number from 0 to 4294967295", "--gin.RANDOM_SEED=42"),
    "STATS_PERIOD=0": ("a whole number from 1 on", "--gin.STATS_PERIOD=10"),
    "CHECKPOINT_PERIOD=0": ("a whole number from 1 on, or None", "--gin.CHECKPOINT_PERIOD=1"),
    "PROFILE_STEPS=(3,)": ("[a whole number from 1 on, ...] of length 2", "(1, 2)"),
    "Z_LOSS=-1": ("a number from 0 on", "--gin.Z_LOSS=0.0"),
    "LOSS_NORMALIZING_FACTOR='MEAN'": ("one of 'AVERAGE_PER_SEQUENCE'", "AVERAGE_PER_SEQUENCE"),
    "MODEL_DIR=None": ("a text in quotes", "--gin.MODEL_DIR=\"'out'\""),
    "MODEL_DIR=''": ("a text in quotes that isn't empty", "--gin.MODEL_DIR=\"'out'\""),
    "LANGUAGE=5": ("a text in quotes", "--gin.LANGUAGE=\"'hi'\""),
    "TOKENIZER=['a']": ("a text in quotes", "--gin.TOKENIZER=\"'a'\""),
    "DTYPE='float33'": ("one of 'float32', 'bfloat16'", "--gin.DTYPE=\"'float32'\""),
    "REMAT_POLICY='some'": ("one of 'none', 'minimal', 'full'", "--gin.REMAT_POLICY=\"'none'\""),
    "CODEMIX_SCHEDULE=(0, 0.5)": ("[(a number from 0 on, a number from 0 to 1), ...]", "(0, 0.5),"),
    "CODEMIX_LANGUAGES=['hi']": (": a number above 0, ...}, or None", "{'hi': 1}"),
    "REPLACEMENTS={'guesses': 1.0}": ("'dictionary', 'alignment'", "{'dictionary': 1}"),
    "BROKEN_RECORDS='ignore'": ("one of 'stop', 'skip'", "--gin.BROKEN_RECORDS=\"'stop'\""),
    "SHUFFLE='False'": ("True or False", "--gin.SHUFFLE=False"),
    "PACK='false'": ("True or False", "--gin.PACK=False"),
    "SHUFFLE=1": ("True or False", "--gin.SHUFFLE=False"),
    "make_mixer.protected='url'": ("[a text in quotes", "--gin.make_mixer.protected=\"('url',)\""),
    "make_mixer.segmenter='characters'": ("one of 'space', 'whitespace'", "'space'"),
    "LONG_EXAMPLES='x'": ("one of 'cut_input', 'cut_response'", "'cut_input'"),
    "LONG_DOCUMENTS='x'": ("one of 'split', 'keep'", "'split'"),
    "RESPONSE_MASK='x'": ("one of 'exact', 'paper'", "'exact'"),
    "PACKING='rows'": ("one of 'segments', 'filled', 'stream'", ""),
    "train/utils.DatasetConfig.batch_size='3'": ("a whole number", "DatasetConfig.batch_size=3"),
    "NUM_LAYERS='2'": ("a whole number from 1 on, or None", "--gin.NUM_LAYERS=2"),
    "NETWORK='llama'": ("a Module (@...())", ""),
    "OPTIMIZER=5": ("an Optimizer (@...())", "--gin.OPTIMIZER=None"),
    "OPTIMIZER=@optim.adamw": ("an Optimizer (@...())", ""),
    "VOCABULARY='samples'": ("a Tokenizer (@...())", ""),
    "MODEL=3": ("a DecoderOnlyModel (@...())", ""),
}


@pytest.mark.parametrize("binding", WRONG)
def test_wrong_values_name_what_is_taken_and_what_is_suggested_passes(binding):
    taken, suggested = WRONG[binding]
    message = error(binding)
    name, _, value = binding.partition("=")
    assert message.startswith(f"{name.replace('utils.', '')}: ")
    assert f"it takes {taken}" in message or taken in message.partition("it takes")[2]
    assert suggested in message
    example = re.search(r'e\.g\. --gin\.([\w/.]+)=(?:"(.+)"|(\S+))$', message)
    if example:
        load(f"{example[1]} = {example[2] or example[3]}")


@pytest.mark.parametrize(
    "binding",
    [
        "CODEMIX_RATIO=1",  # an int for a float
        "CODEMIX_SCHEDULE=[[0, 0.5], [10, 1]]",  # lists for tuples
        "CODEMIX_SCHEDULE=((0, 0.5),)",
        "make_mixer.protected=['url', 'code']",
        "make_mixer.protected=()",
        "PROFILE_STEPS=[10, 12]",
        "CODEMIX_LANGUAGES={'hi': 2, 'el': 1}",
        "TASK_FEATURE_LENGTHS={'inputs': %SEQUENCE_LENGTH, 'targets': 8}",
        "NUM_MICROBATCHES=None",
        "OPTIMIZER=@optim.adamw()",
        "LEARNING_RATE=0",
        "train/DatasetConfig.seed=None",
        "infer_eval/DatasetConfig.split='test'",
        "MODEL/DecoderOnlyModel.z_loss=1e-4",  # a macro is a scope, too
    ],
)
def test_right_values_pass(binding):
    load(binding)


def test_a_value_within_a_container_names_its_own_macro():
    message = error("TASK_FEATURE_LENGTHS={'inputs': %EVAL_STEPS, 'targets': 8}", "EVAL_STEPS='8'")
    assert message.startswith("EVAL_STEPS: '8' doesn't fit")


def test_a_macro_that_is_itself():
    message = error("STATS_PERIOD=%EVAL_PERIOD", "EVAL_PERIOD=%STATS_PERIOD")
    assert "_PERIOD: its value is itself; write --gin." in message


@pytest.mark.parametrize("word, meant", [("false", "False"), ("TRUE", "True"), ("none", "None")])
def test_words_of_other_languages(word, meant):
    assert error(f"SHUFFLE={word}").endswith(f"; write --gin.SHUFFLE={meant}")


def test_a_parameter_without_its_function():
    assert error("protected='url'").endswith("; did you mean make_mixer.protected?")


@pytest.mark.parametrize(
    "binding, message",
    [
        ("trian/DatasetConfig.batch_size=3", "trian/DatasetConfig: .*; did you mean train?"),
        ("train/SaveCheckpointConfig.period=3", "nothing calls SaveCheckpointConfig in the scope"),
        ("hi/make_mixer.ratio=0.5", "hi/make_mixer: .*; bind make_mixer without it"),
    ],
)
def test_scopes_that_nothing_calls(binding, message):
    assert re.search(message.replace("?", r"\?"), error(binding))


@pytest.fixture
def own_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text, name="own.gin"):
        (tmp_path / name).write_text(text)
        return name

    return write


def test_a_misspelt_macro_in_a_file(own_file):
    message = error(files=[*FILES, own_file("# Mine\n\nTRAIN_STEP = 5\n")])
    assert message.startswith("own.gin:3: TRAIN_STEP: nothing uses this macro; did you mean TRAIN_")


def test_macros_of_ones_own(own_file):
    load(files=[*FILES, own_file("MINE = 5\nTRAIN_STEPS = %MINE\n")])
    # The user has another value for what the file sets by its macro.
    load("TRAIN_STEPS=7", files=[*FILES, own_file("MINE = 5\nTRAIN_STEPS = %MINE\n")])


def test_a_macro_that_this_run_does_not_use_is_warned_of(own_file, capsys):
    required = ["CHECKPOINT_PATH='out'", "TOKENIZER='samples'", "INPUT_PATH='prompts.txt'"]
    files = ["evaluation/infer.gin", "models/debug.gin"]
    gin_utils.load(files, required)
    assert capsys.readouterr().err == ""
    gin_utils.load([*files, own_file("TRAIN_STEPS = 5\n")], required)
    assert capsys.readouterr().err == (
        "commit-t5x: warning: own.gin:1: TRAIN_STEPS: nothing in this run uses it, so 5 has no "
        "effect\n"
    )


@pytest.mark.parametrize("name", ["TASK_FAMILY", "PACKING"])
def test_a_flag_that_a_file_leaves_no_say_is_warned_of(name, tmp_path, capsys):
    (tmp_path / "own.gin").write_text(
        """
from __gin__ import dynamic_registration
from commit_t5x.data import feature_converters
from commit_t5x.tasks import names
include "recipes/commit.gin"
include "models/debug.gin"
names.task_name.family = "alpaca"
feature_converters.DecoderFeatureConverter.packing = "filled"
"""
    )
    value = {"TASK_FAMILY": "'wikipedia'", "PACKING": "'stream'"}[name]
    load(f"{name} = {value}", files=[str(tmp_path / "own.gin")])
    assert capsys.readouterr().err == (
        f"commit-t5x: warning: --gin.{name}: nothing in this run uses it, so {value} has no "
        "effect\n"
    )


def test_a_file_that_includes_itself(own_file):
    own_file("include 'one.gin'\n", "other.gin")
    name = own_file("include 'other.gin'\n", "one.gin")
    assert error(files=[name]) == (
        "one.gin: includes itself, by way of other.gin; take the include out"
    )
