"""What goes wrong with small inputs, through the command's entry point, as users meet it.

A row of CASES is a command, the exit code, and words of the line (or of the output) that say what
is wrong and what to do. What needs more than that is tested where it is at home:

- words: mixing/test_lemmas.py (closed classes), test_clusters.py (cuts), test_characters.py
  (canonical equivalence), test_casing.py (Turkish, Greek), test_lexicon.py (weights of variants);
- the schedule in packed rows: mixing/test_schedule.py; the length policy's counts:
  data/test_length_policy.py;
- every EOS and added token, through conversion and back: conversion/test_convert.py; when
  decoding: test_language_model.py;
- Meta's context lengths, which need torch: conversion/test_meta.py; a Trainer's files and indices:
  conversion/test_convert.py, test_safetensors_files.py;
- a damaged last checkpoint: engine/test_train.py; each task of a mixture: engine/test_evaluate.py;
- SIGINT, SIGTERM, SIGKILL, a full disk: conversion/test_convert.py, test_disk.py, test_cli.py,
  engine/test_train.py;
- tables and their names: evaluation/test_report_formats.py; torch and triton beside TensorFlow:
  test_quiet.py, test_startup.py.
"""

import json
import shutil

import chat_model
import gin
import pytest
import sentencepiece_models

from commit_t5x import cli, resources

REQUIRED = {
    "MODEL_DIR": "'out'",
    "LANGUAGE": "'hi'",
    "DICT_DIR": "'samples'",
    "TOKENIZER": "'samples'",
    "ALPACA_PATH": "'samples'",
    "INITIAL_CHECKPOINT_PATH": "None",
    "SEQUENCE_LENGTH": "96",
    "BATCH_SIZE": "2",
    "TRAIN_STEPS": "1",
    "WARMUP_STEPS": "0",
    # A network of one's own, from random weights.
    "EMBED_DIM": "16",
    "MLP_DIM": "16",
    "NUM_LAYERS": "1",
    "NUM_HEADS": "2",
    "NUM_KV_HEADS": "1",
    "VOCAB_SIZE": "3000",
}


def train(*files, **macros):
    return (
        *("train", "--gin_file=recipes/commit.gin", "--gin_file=models/debug.gin", *files),
        *(f"--gin.{name}={value}" for name, value in {**REQUIRED, **macros}.items()),
    )


def inspect(**macros):
    flags = [f"--gin.{name}={value}" for name, value in macros.items()]
    return "inspect", "alpaca_codemix_hi", "--num_examples=1", "--report_examples=9", *flags


def lm_eval(*flags, model="native"):
    fixed = ("--data-dir=samples", "--limit=1", "--gen_kwargs=max_gen_toks=4")
    given = ("--tasks=ogx_xquad_hi", f"--model_args=pretrained={model}")
    return "lm-eval", *given, *fixed, *flags


def infer(**macros):
    given = {"CHECKPOINT_PATH": "'native'", "MAX_NEW_TOKENS": "2", "BATCH_SIZE": "1", **macros}
    flags = [f"--gin.{name}={value}" for name, value in given.items()]
    return "infer", "--gin_file=evaluation/infer.gin", *flags


@pytest.fixture(scope="module")
def inputs(tiny_model, tmp_path_factory):
    """A folder with what the cases read; they write elsewhere, or nothing."""
    folder = tmp_path_factory.mktemp("cases")
    shutil.copytree(tiny_model.native, folder / "native")
    shutil.copytree(tiny_model.exported, folder / "a b#%[x]'नई" / "hf")
    example = {"instruction": "Drink water.", "input": None, "output": "Red."}
    chat_model.write(tmp_path_factory.mktemp("chat")).rename(folder / "chat")
    (folder / "null.jsonl").write_text(f"{json.dumps(example)}\n" * 9)
    copied = {"instruction": "Say water.", "input": "", "output": "water"}
    (folder / "copied.jsonl").write_text(f"{json.dumps(copied)}\n" * 9)
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "tokenizer.model").write_text('{"model": {}}')
    (folder / "prompts.jsonl").write_text('{"prompt": "tea"}\n')
    (folder / "folder.json").mkdir()
    (folder / "nothing.txt").write_text("")
    (folder / "misspelt.gin").write_text("TRIAN_STEPS = 3\n")
    (folder / "scope.gin").write_text("nobody/train.train.total_steps = 3\n")
    (folder / "itself.gin").write_text("include 'itself.gin'\n")
    for name, content in BROKEN_CONFIGS.items():
        shutil.copytree(tiny_model.exported, folder / name)
        config = json.loads((folder / name / "config.json").read_text())
        (folder / name / "config.json").write_text(json.dumps({**config, **content}))
    for name, content in BROKEN_INDICES.items():
        shutil.copytree(tiny_model.exported, folder / name)
        (folder / name / "model.safetensors").rename(folder / name / "model-1.safetensors")
        (folder / name / "model.safetensors.index.json").write_text(json.dumps(content))
    shutil.copytree(tiny_model.native, folder / "latin1")
    (folder / "latin1/model_config.json").write_bytes("{'é': 1}".encode("latin-1"))
    pairs = (resources.path("dicts") / "en-hi.txt").read_text(encoding="utf-8").splitlines()
    turned = ["\t".join(reversed(pair.split("\t"))) for pair in pairs if "\t" in pair]
    (folder / "wrong_way").mkdir()
    (folder / "wrong_way/en-hi.txt").write_text("\n".join(turned), encoding="utf-8")
    identity = {"model_type": "bpe", "normalization_rule_name": "identity"}
    symbols = folder / "symbols.model"
    sentencepiece_models.train_model(symbols, **identity, user_defined_symbols=["<obs>"])
    sentencepiece_models.train_model(folder / "nfkc.model", model_type="bpe")
    scores = {"results": {"t": {"em,none": 10.0}}, "n-samples": {"t": {"effective": 20}}}
    for run, changes in RUNS.items():
        (folder / "runs" / run).mkdir(parents=True)
        (folder / "runs" / run / "results.json").write_text(json.dumps({**scores, **changes}))
    (folder / "broken.json").write_text(json.dumps({**scores, "n-samples": [20]}))
    return folder


BROKEN_CONFIGS = {
    "list_of_scaling": {"rope_scaling": [1]},
    "two_scalings": {"rope_scaling": {"rope_type": "linear", "factor": 2.0}},
    "text_factor": {"rope_parameters": {"rope_type": "linear", "factor": "two"}},
    "no_heads": {"num_attention_heads": 0},
}
BROKEN_INDICES = {
    "list_of_weights": [1],
    "numbers": {"weight_map": {"lm_head.weight": 1}},
    "outside": {"weight_map": {"lm_head.weight": "../native/model-1.safetensors"}},
}
RUNS = {
    "usual": {},
    "same": {},
    "fewer": {"n-samples": {"t": {"effective": 2}}},
    "older": {"versions": {"t": 0}, "results": {"t": {"em,none": float("nan")}}},
    "a|b": {},
}

WRONG_VALUES = {
    "SHUFFLE": "'False'",
    "PACK": "'false'",
    "make_mixer.protected": "'url'",
    "CODEMIX_RATIO": "'0.9'",
    "TRAIN_STEPS": "12.5",
    "BATCH_SIZE": "2.0",
    "SEQUENCE_LENGTH": "'96'",
    "LEARNING_RATE": "-1",
    "MODEL_DIR": "None",
    "LANGUAGE": "5",
    "TOKENIZER": "['a']",
    "RANDOM_SEED": "None",
    "STATS_PERIOD": "0",
    "DTYPE": "'float33'",
    "CODEMIX_SCHEDULE": "(0, 0.5)",
    "CODEMIX_LANGUAGES": "['hi']",
    "DROPOUT_RATE": "1.5",
    "NUM_MICROBATCHES": "0",
}

CASES = {
    "null is an absent input": (inspect(ALPACA_PATH="'null.jsonl'"), 0, "water → पानी"),
    **{
        f"{name}={value}": (train(**{name: value}), 2, f"{name}: |doesn't fit; it takes |--gin.")
        for name, value in WRONG_VALUES.items()
    },
    "a unit of false": (train(SHUFFLE="false"), 2, "write --gin.SHUFFLE=False"),
    "no dictionary": (train(DICT_DIR="None"), 2, "DICT_DIR: not set|'samples'"),
    "a row below the template": (
        train(SEQUENCE_LENGTH="16"), 2, "each of the first |was dropped|raise SEQUENCE_LENGTH"
    ),
    "a dictionary the wrong way round": (
        train(DICT_DIR="'wrong_way'"), 2, "DICT_DIR: |knows 0|the wrong way round|dicts check"
    ),
    "user-defined symbols": (
        train(TOKENIZER="'symbols.model'"), 2, "symbols.model: |user-defined"
    ),
    "a normaliser that no export has": (train(TOKENIZER="'nfkc.model'"), 2, "nfkc.model: |nfkc"),
    "a misspelt macro in a file": (
        train("--gin_file=misspelt.gin"), 2, "misspelt.gin:1: TRIAN_STEPS|did you mean TRAIN_STEPS"
    ),
    "a scope that nothing calls": (
        train("--gin_file=scope.gin"), 2, "nobody/train|nothing calls|bind "
    ),
    "a file that includes itself": (train("--gin_file=itself.gin"), 2, "itself.gin|includes"),
    "infer over its prompts": (
        infer(INPUT_PATH="'prompts.jsonl'", INFER_OUTPUT_DIR="'.'"),
        *(2, "INFER_OUTPUT_DIR: prompts.jsonl is what is read; choose another place"),
    ),
    "infer without a prompt": (infer(INPUT_PATH="'nothing.txt'"), 2, "nothing.txt: holds no"),
    "infer into a file": (
        infer(INPUT_PATH="'prompts.jsonl'", INFER_OUTPUT_DIR="'picture.png'"),
        *(2, "picture.png/prompts.jsonl: can't be written"),
    ),
    "lm-eval into a folder with a file's name": (
        lm_eval("--output_path=folder.json"), 2, "folder.json: is a folder; name a file"
    ),
    "more ids than rows": (
        lm_eval("--model_args=pretrained=chat,tokenizer=native"), 2, "tokenizer|3,000"
    ),
    "a misspelt option": (
        lm_eval("--gen_kwargs=max_gen_tok=4"), 2, "max_gen_tok: |did you mean max_gen_toks"
    ),
    "an option that isn't a number": (lm_eval("--gen_kwargs=max_gen_toks=many"), 2, "=many: "),
    "no question": (lm_eval("--limit=0"), 2, "--limit: '0' doesn't fit; it takes"),
    "fewer than none": (lm_eval("--limit=-3"), 2, "--limit: '-3' doesn't fit; it takes"),
    "no task": (lm_eval("--tasks="), 2, "--tasks: names no task; give one"),
    "an argument of the model that isn't a number": (
        lm_eval("--model_args=pretrained=native,max_length=x"), 2, "max_length: 'x' doesn't fit"
    ),
    "an argument that is neither true nor false": (
        lm_eval("--model_args=pretrained=native,add_bos=maybe"), 2, "add_bos: 'maybe' doesn't fit"
    ),
    "a context longer than the model's": (
        lm_eval("--model_args=pretrained=native,max_length=999"), 2, "999: the model has 256"
    ),
    **{
        f"convert {name}": (("convert", "--to=native", name, "dst"), 2, f"error: {name}")
        for name in (*BROKEN_CONFIGS, *BROKEN_INDICES)
    },
    "convert latin1": (("convert", "--to=hf", "latin1", "dst"), 2, "model_config.json: |again"),
    "a picture for a tokenizer": (
        ("convert", "--to=hf", "--tokenizer=picture.png", "native", "dst"), 2, "picture.png: "
    ),
    "JSON named .model": (
        ("convert", "--to=hf", "--tokenizer=tokenizer.model", "native", "dst"),
        *(2, "tokenizer.model: not a SentencePiece model"),
    ),
    "convert over its source": (
        ("convert", "--to=hf", "--overwrite", "native/checkpoint_0", "native"),
        *(2, "DST: native is what is read; choose another place"),
    ),
    "signs in paths": (
        ("convert", "--to=native", "--dry-run", "a b#%[x]'नई/hf", "dst"), 0, "tokenizer|embed"
    ),
    "runs under other conditions": (
        ("report", "runs"), 0, "a\\|b|questions 2 instead of 20|NaN"
    ),
    "a result file of another shape": (
        ("report", "broken.json"), 2, "broken.json: n-samples: |make it anew or move it"
    ),
    "outputs whose words stand in the input": (
        inspect(ALPACA_PATH="'copied.jsonl'", CODEMIX_RATIO="0.0"),
        *(0, "first words|spelt otherwise in the prompt; begin outputs with a space"),
    ),
}  # fmt: skip


@pytest.fixture
def run(inputs, monkeypatch, capsys):
    monkeypatch.chdir(inputs)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def run(*arguments):
        try:
            code = cli.main([*map(str, arguments)])
        except SystemExit as stop:  # argparse's
            code = stop.code
        finally:
            gin.clear_config()
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize("case", CASES)
def test_case(run, case):
    arguments, wanted, words = CASES[case]
    code, out, err = run(*arguments)
    assert code == wanted, err
    assert "Traceback" not in err
    shown = out
    if code:
        [shown] = [line for line in err.splitlines() if ": error: " in line]
    for word in words.split("|"):
        assert word in shown
