"""What goes wrong with small inputs, through the command's entry point, as users meet it.

A row of CASES is a command, the exit code, and words of the line (or of the output) that say what
is wrong and what to do, or with ! what mustn't be there. Cases of several commands follow below.

One kind can't be tried within this process, as it ends such a process: torch that brings triton,
beside TensorFlow. test_startup.py starts commands for that (test_lm_eval_through_transformers).
"""

import json
import os
import shutil
import signal
import unicodedata

import chat_model
import gin
import macros
import pyarrow.parquet
import pytest
import sentencepiece_models

from commit_t5x import cli, resources
from commit_t5x.conversion import stream
from commit_t5x.vocabularies import configured

REQUIRED = macros.REQUIRED | {
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


def train(*files, **others):
    return (
        *("train", "--gin_file=recipes/commit.gin", "--gin_file=models/debug.gin", *files),
        *macros.flags(**{**REQUIRED, **others}),
    )


def inspect(task="alpaca_codemix_hi", **others):
    given = {"DICT_DIR": "'samples'", "TOKENIZER": "'samples'", "CODEMIX_RATIO": "1.0", **others}
    return "inspect", task, "--num_examples=1", "--report_examples=9", *macros.flags(**given)


def inspect_text(language):
    """Shows the line of wikipedia.{language}.txt, mixed by the dictionary of the same folder."""
    given = {"WIKIPEDIA_PATH": f"'wikipedia.{language}.txt'", "DICT_DIR": "'words'"}
    return inspect(f"wikipedia_codemix_{language}", **given)


def lm_eval(*flags, model="native"):
    fixed = ("--data-dir=samples", "--limit=1", "--gen_kwargs=max_gen_toks=4")
    given = ("--tasks=ogx_xquad_hi", f"--model_args=pretrained={model}")
    return "lm-eval", *given, *fixed, *flags


def infer(**others):
    given = {"CHECKPOINT_PATH": "'native'", "MAX_NEW_TOKENS": "8", "BATCH_SIZE": "1", **others}
    return "infer", "--gin_file=evaluation/infer.gin", *macros.flags(**given)


@pytest.fixture(scope="module")
def inputs(tiny_model, tmp_path_factory):
    """A folder with what the cases read; they write elsewhere, or nothing."""
    folder = tmp_path_factory.mktemp("cases")
    shutil.copytree(tiny_model.native, folder / "native")
    shutil.copytree(tiny_model.exported, folder / "a b#%[x]'नई" / "hf")
    example = {"instruction": "Drink water.", "input": None, "output": "Red."}
    for name, lists_both in {"chat": True, "chat_with_one": False}.items():
        chat_model.write(tmp_path_factory.mktemp(name), lists_both).rename(folder / name)
    (folder / "null").mkdir()
    (folder / "null/a.jsonl").write_text(f"{json.dumps(example)}\n" * 5)
    table = pyarrow.Table.from_pylist([example] * 5)
    pyarrow.parquet.write_table(table, folder / "null/b.parquet")
    copied = {"instruction": "Say water.", "input": "", "output": "water"}
    without = {"input": "", "output": "water"}
    (folder / "broken.jsonl").write_text(f"{json.dumps(copied)}\n{json.dumps(without)}\n")
    (folder / "copied.jsonl").write_text(f"{json.dumps(copied)}\n" * 9)
    inflected = {**copied, "instruction": "During making, having thus: a wedding, a string, news."}
    (folder / "inflected.jsonl").write_text(json.dumps(inflected))
    for number, example in enumerate(10 * [copied, {**copied, "input": 99 * "tea "}]):
        with (folder / "long.jsonl").open("a") as file:
            file.write(f"{json.dumps({**example, 'number': number})}\n")
    (folder / "words").mkdir()
    for pair, entries in DICTIONARIES.items():
        lines = [f"{source}\t{target}\n" for source, target in entries.items()]
        (folder / f"words/{pair}.txt").write_text("".join(lines), encoding="utf-8")
    for language, text in TEXTS.items():
        (folder / f"wikipedia.{language}.txt").write_text(text, encoding="utf-8")
    (folder / "prompt.txt").write_text(chat_model.PROMPT)
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "prompts.jsonl").write_text('{"prompt": "tea"}\n')
    (folder / "folder.json").mkdir()
    (folder / "nothing.txt").write_text("")
    (folder / "latin1.gin").write_bytes("# é\nTRAIN_STEPS = 3\n".encode("latin-1"))
    for name, content in BROKEN_CONFIGS.items():
        shutil.copytree(tiny_model.exported, folder / name)
        config = json.loads((folder / name / "config.json").read_text())
        (folder / name / "config.json").write_text(json.dumps({**config, **content}))
    for name, content in BROKEN_INDICES.items():
        shutil.copytree(tiny_model.exported, folder / name)
        (folder / name / "model.safetensors").rename(folder / name / "model-1.safetensors")
        (folder / name / "model.safetensors.index.json").write_text(json.dumps(content))
    shutil.copytree(tiny_model.exported, folder / "of_a_trainer")
    for name in ("training_args.bin", "optimizer.bin"):
        (folder / "of_a_trainer" / name).write_bytes(b"pickled")
    shutil.copytree(tiny_model.native, folder / "latin1")
    (folder / "latin1/model_config.json").write_bytes("{'é': 1}".encode("latin-1"))
    pairs = (resources.path("dicts") / "en-hi.txt").read_text(encoding="utf-8").splitlines()
    turned = ["\t".join(reversed(pair.split("\t"))) for pair in pairs if "\t" in pair]
    (folder / "malformed").mkdir()
    (folder / "malformed/en-hi.txt").write_text("water\tपानी\nfire\tआग\tx\n", encoding="utf-8")
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


DICTIONARIES = {
    # Stems of other words, as suffix rules find them: making, mak, betel nut.
    "en-hi": {"dur": "दर", "mak": "सुपारी", "hav": "हव", "thu": "गुरु", "wed": "बुध", "string": "डोरी"},
    "th-en": {"หล่า": "rallies", "คน": "person", "id": "ids"},
    "el-en": {"νερό": "water"},
}
TEXTS = {
    "th": "คนเหล่านี้ ที่ Riverside",
    "el": unicodedata.normalize("NFD", "το νερό"),
}
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

CASES = {
    "stems that are other words": (
        inspect(ALPACA_PATH="'inflected.jsonl'", DICT_DIR="'words'"),
        *(0, "1 of 10 words replaced|string → डोरी|!सुपारी"),
    ),
    "clusters and Latin words": (inspect_text("th"), 0, "คน → person|!rallies|!ids"),
    "decomposed letters": (inspect_text("el"), 0, "→ water"),
    "translations keep their weights, and a schedule goes by examples": (
        inspect(
            ALPACA_PATH="'copied.jsonl'",
            CODEMIX_LANGUAGES="{'hi': 1e9, 'th': 1}",
            CODEMIX_SCHEDULE="((4, 0.0), (5, 1.0))",
        ),
        *(0, "0 of 3 words replaced|12 words replaced|Say → कहो|!พูด"),
    ),
    "null is an absent input": (
        inspect(ALPACA_PATH="'null'"), 0, "water → |!### Input|mix report on 9 examples"
    ),
    "a value that doesn't fit": (
        train(BATCH_SIZE="2.0"), 2, "BATCH_SIZE: |doesn't fit; it takes |--gin."
    ),
    "no dictionary": (train(DICT_DIR="None"), 2, "DICT_DIR: not set|'samples'"),
    "a folder without a dictionary": (
        train(DICT_DIR="'nowhere'"), 2, "nowhere/en-hi.txt|DICT_DIR"
    ),
    "a dictionary with a malformed line": (
        train(DICT_DIR="'malformed'"), 2, "malformed/en-hi.txt:2: expected 2 columns, found 3"
    ),
    "an unknown language": (
        train(LANGUAGE="'xx'"), 2, "en-xx.txt|no dictionary en-xx there|set DICT_DIR"
    ),
    "no such tokenizer": (
        train(TOKENIZER="'gone.model'"), 2, "gone.model: no such tokenizer|TOKENIZER"
    ),
    "no such data": (
        train(ALPACA_PATH="'gone.jsonl'"), 2, "gone.jsonl: no such file|ALPACA_PATH"
    ),
    "data of the hub without a network": (
        train(ALPACA_PATH="'tatsu-lab/alpaca'"),
        *(2, "ALPACA_PATH: 'tatsu-lab/alpaca' cannot be had|local file"),
    ),
    "an example without an instruction": (
        train(ALPACA_PATH="'broken.jsonl'"), 2, "broken.jsonl:2|'instruction'"
    ),
    "no such checkpoint": (train(INITIAL_CHECKPOINT_PATH="'llama7b'"), 2, "llama7b"),
    "a warm-up longer than the run": (train(WARMUP_STEPS="100"), 2, "WARMUP_STEPS|TRAIN_STEPS"),
    "a vocabulary smaller than the tokenizer's": (train(VOCAB_SIZE="100"), 2, "3,000|100"),
    "a row below the template": (
        train(SEQUENCE_LENGTH="16"), 2, "each of the first |was dropped|raise SEQUENCE_LENGTH"
    ),
    "a dictionary the wrong way round": (
        train(DICT_DIR="'wrong_way'"), 2, "DICT_DIR: |knows 0|the wrong way round|dicts check"
    ),
    "user-defined symbols": (
        train(TOKENIZER="'symbols.model'"), 2, "symbols.model: |user-defined"
    ),
    "a normaliser that no export has": (
        train(TOKENIZER="'nfkc.model'"), 2, "nfkc.model: its normalisation (nmt_nfkc) |=identity"
    ),
    "a gin file in Latin-1": (train("--gin_file=latin1.gin"), 2, "latin1.gin: not UTF-8"),
    "a run in the cloud": (train(MODEL_DIR="'gs://bucket/out'"), 2, "gs://bucket/out: not a local"),
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
    "a path with a comma": (
        lm_eval("--model_args=pretrained=a,b"), 2, "--model_args: 'b' is no KEY=VALUE|comma"
    ),
    "an argument given twice": (
        lm_eval("--model_args=dtype=float32,dtype=bfloat16"), 2, "dtype is given twice"
    ),
    "more few-shot examples than there are": (
        lm_eval("--num_fewshot=3000"), 2, "--num_fewshot: 3000|ask for fewer"
    ),
    "stop strings of one's own": (
        lm_eval("--gen_kwargs=max_gen_toks=4,until=.", "--limit=1"), 0, "ogx_xquad_hi"
    ),
    "options of answers for a text": (
        lm_eval("--tasks=ogx_text_hi"), 2, "--gen_kwargs: none of the tasks generates answers"
    ),
    "lm-eval over a network's configuration": (
        lm_eval("--output_path=native/model_config.json"),
        *(2, "--output_path: native/model_config.json holds something else; choose another"),
    ),
    "a page over the data": (
        (*inspect(ALPACA_PATH="'copied.jsonl'"), "--html=copied.jsonl"),
        *(2, "--html: copied.jsonl holds something else"),
    ),
    "no example": (
        inspect("wikipedia_hi", WIKIPEDIA_PATH="'nothing.txt'"),
        *(2, "wikipedia_hi: no examples of split 'train' in nothing.txt"),
    ),
    "a run in another model's folder": (
        train(MODEL_DIR="'of_a_trainer'"), 2, "MODEL_DIR: of_a_trainer holds a Hugging Face model"
    ),
    "JSON for a dictionary": (("dicts", "check", "prompts.jsonl"), 2, "prompts.jsonl: .jsonl has"),
    "no question": (lm_eval("--limit=0"), 2, "--limit: '0' doesn't fit; it takes"),
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
    "convert what a Trainer left": (
        ("convert", "--to=native", "--dry-run", "of_a_trainer", "dst"), 0, "embed"
    ),
    "convert latin1": (("convert", "--to=hf", "latin1", "dst"), 2, "model_config.json: |again"),
    "convert over its source": (
        ("convert", "--to=hf", "--overwrite", "native/checkpoint_0", "native"),
        *(2, "DST: native holds what is read; choose another place"),
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
        assert not {"out", "dst"} & set(os.listdir())
    for word in words.split("|"):
        assert (word.removeprefix("!") in shown) != word.startswith("!")


@pytest.fixture
def trained(run, inputs, caplog):
    """A finished run's folder, made once, and what it said."""
    shown = inputs / "trained.log"
    if not shown.exists():
        code, _, err = run(*train(MODEL_DIR="'trained'", ALPACA_PATH="'long.jsonl'"))
        assert code == 0, err
        shown.write_text(err + caplog.text)
    return inputs / "trained", shown.read_text()


def test_what_is_cut_is_said_once_and_summed_up(trained):
    lines = [line for line in trained[1].splitlines() if "examples read" in line]
    assert len(lines) == 2
    assert all("(50.0%) cut and 0 (0.0%) dropped" in line for line in lines)


def test_a_run_does_not_go_on_with_other_data(run, trained):
    folder, _ = trained
    before = (folder / "config.gin").read_text()
    others = {"CODEMIX_RATIO": "0.5", "PACK": "False", "DICT_DIR": "'words'"}
    others["ALPACA_PATH"] = "'copied.jsonl'"
    code, _, err = run(*train(MODEL_DIR="'trained'", TRAIN_STEPS="2", **others))
    assert code == 2
    for difference in (
        "CODEMIX_RATIO was 0.9, is 0.5; ",
        "PACK was True, is False; ",
        "dictionary en-hi was [",
        "data of alpaca_codemix_hi was [",
        "or say that it is meant: --gin.ACCEPT_CHANGES=",
    ):
        assert difference in err
    assert (folder / "config.gin").read_text() == before


def test_one_pass_over_a_mixture_reads_all_rows(run, inputs):
    (inputs / "mixture.gin").write_text(
        "from __gin__ import dynamic_registration\n"
        "from commit_t5x.tasks import mixtures\n"
        "MIXTURE_OR_TASK_NAME = @mixtures.mixture()\n"
        "mixtures.mixture.rates = {'alpaca_en': 1, 'wikipedia_hi': 1}\n"
    )
    (inputs / "nine.txt").write_text("tea\n\n" * 9)
    rows = (inputs / "copied.jsonl").read_text().splitlines()[:5]
    (inputs / "five.jsonl").write_text("\n".join(rows))
    code, out, err = run(
        *("eval", "--gin_file=evaluation/xquad.gin", "--gin_file=mixture.gin"),
        *("--gin.CHECKPOINT_PATH='native'", "--gin.EVAL_OUTPUT_DIR='scores'"),
        *("--gin.ALPACA_PATH='five.jsonl'", "--gin.WIKIPEDIA_PATH='nine.txt'"),
        *("--gin.LANGUAGE='hi'", "--gin.SPLIT='train'", "--gin.BATCH_SIZE=4"),
    )
    assert code == 0, err
    [scores] = json.loads((inputs / "scores/results.json").read_text())["results"].values()
    assert scores["loss_tokens"] == 5 * 3 + 9 * 2  # "water" has two tokens and an end, "tea" one


@pytest.fixture
def chat(run, inputs):
    """Converts the chat model to our format, and back."""
    for to, source, target in (("native", "chat", "chat_native"), ("hf", "chat_native", "chat_hf")):
        if not (inputs / target).exists():
            assert run("convert", f"--to={to}", source, target)[0] == 0
    return inputs


def test_added_tokens_and_every_eos_travel(chat):
    first, last = (configured.find(chat / name) for name in ("chat", "chat_hf"))
    assert last.tokens() == first.tokens()
    assert last.tokens()[-2:] == [chat_model.END_OF_TURN, chat_model.ADDED]
    assert last.eos_ids == first.eos_ids == (first.eos_id, first.vocab_size - 2)
    for name in ("config.json", "generation_config.json"):
        fields = json.loads((chat / "chat_hf" / name).read_text())
        assert fields["eos_token_id"] == list(first.eos_ids)
        assert fields["bos_token_id"] == first.bos_id


def test_a_special_tokens_text_ends_an_answer(run, inputs):
    if not (inputs / "one_native").exists():
        assert run("convert", "--to=native", "chat_with_one", "one_native")[0] == 0
    stop = f"['{chat_model.END_OF_TURN}']"
    given = {"CHECKPOINT_PATH": "'one_native'", "INPUT_PATH": "'prompt.txt'", "STOP": stop}
    code, out, err = run(*infer(**given))
    assert code == 0, err
    assert json.loads(out)["prediction"] == chat_model.ANSWER


@pytest.mark.parametrize(
    "fields, flags, length",
    [
        ({}, [], 4096),  # Llama 2's params.json
        ({"rope_theta": 1000000}, [], 16384),  # CodeLlama's
        ({}, ["--max-length=512"], 512),
    ],
)
def test_context_of_metas_checkpoints(run, inputs, fields, flags, length):
    torch = pytest.importorskip("torch")
    (inputs / "meta").mkdir(exist_ok=True)
    params = {"dim": 8, "multiple_of": 8, "n_heads": 2, "n_layers": 1, "norm_eps": 1e-5, **fields}
    (inputs / "meta/params.json").write_text(json.dumps(params))
    names = {
        **{name: (16, 8) for name in ("tok_embeddings", "output")},
        **{name: (8,) for name in ("norm", "layers.0.attention_norm", "layers.0.ffn_norm")},
        **{f"layers.0.attention.{name}": (8, 8) for name in ("wq", "wk", "wv", "wo")},
        **{f"layers.0.feed_forward.{name}": (24, 8) for name in ("w1", "w3")},
        "layers.0.feed_forward.w2": (8, 24),
    }
    weights = {f"{name}.weight": torch.ones(shape) for name, shape in names.items()}
    torch.save(weights, inputs / "meta/consolidated.00.pth")
    code, _, err = run("convert", "--to=hf", "--overwrite", *flags, "meta", "from_meta")
    assert code == 0, err
    config = json.loads((inputs / "from_meta/config.json").read_text())
    assert config["max_position_embeddings"] == length


WRITING = {
    "convert": ("convert", "--to=hf", "native", "new/dst"),
    "report": ("report", "runs", "--output_dir=new"),
}


@pytest.mark.parametrize("command", WRITING)
def test_a_full_disk(run, inputs, full_disk, command):
    (inputs / "new").mkdir()
    with full_disk(0):
        code, _, err = run(*WRITING[command])
    assert code == 2 and "can't be written (File too large)" in err
    assert not list((inputs / "new").iterdir())
    (inputs / "new").rmdir()


def test_an_interrupted_conversion_leaves_nothing(run, inputs, monkeypatch):
    copy = stream.copy

    def interrupted(*arguments):
        copy(*arguments)
        os.kill(os.getpid(), signal.SIGINT)

    (inputs / ".dst.unfinished-killed").mkdir()  # by an earlier one that was killed
    # Shells start what runs in the background with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with monkeypatch.context() as patched:
        patched.setattr(stream, "copy", interrupted)
        code, _, err = run("convert", "--to=hf", "native", "dst")
    signal.signal(signal.SIGINT, before)
    assert (code, err) == (130, "commit-t5x: interrupted\n")
    assert not list(inputs.glob("*dst*")) and not list(inputs.glob(".dst*"))
