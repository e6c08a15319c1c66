"""Every gin file is parsed and finalised; what it binds is built, large networks by shape alone."""

import dataclasses
import functools
import json
import re
import shutil
import types

import gin
import jax
import jax.numpy as jnp
import pytest
from macros import REQUIRED, bindings

from commit_t5x import resources
from commit_t5x.data import preprocessors, qa_prompts, sources, templates
from commit_t5x.data.feature_converters import DecoderFeatureConverter
from commit_t5x.engine import gin_utils
from commit_t5x.errors import InputError
from commit_t5x.mixing import mixer
from commit_t5x.mixing.schedule import MixSchedule
from commit_t5x.model import llama
from commit_t5x.model.hidden_state_distance import HiddenStateDistance

ROOT = resources.path("gin")
FILES = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.gin"))
TABLES = ("main_results", "table3", "table4", "hidden_states")
RUNS = [name for name in FILES if name.split("/")[0] in TABLES]
RECIPES = [name for name in FILES if name.startswith("recipes/")] + ["quickstart.gin"]
MINIATURE = [name for name in FILES if name.startswith("miniature/")]
CURVES = [name for name in FILES if name.startswith("miniature_curves/")]
EVALUATIONS = [name for name in FILES if name.startswith("evaluation/")]
MODELS = [name.split("/")[1].removesuffix(".gin") for name in FILES if name.startswith("models/")]
SIZES = [name for name in MODELS if name != "from_checkpoint"]


def load(*files, **macros):
    gin_utils.load(files, bindings(**macros))


@pytest.fixture
def built():
    """Returns the arguments of `train`, as gin builds them."""
    return lambda: gin.get_bindings("commit_t5x.engine.train.train", resolve_references=True)


def required(name):
    """Those of a file; a recipe that begins with a longer vocabulary has no new rows here."""
    return REQUIRED | ({"NEW_ROWS_ONLY_STEPS": "0"} if "extend" in name else {})


@pytest.mark.parametrize("name", RUNS + RECIPES)
def test_training_files_build_what_train_needs(name, built):
    load(name, "models/debug.gin", **required(name), HIDDEN_STATE_END="2")
    arguments = built()
    assert arguments["model_dir"] == "out"
    assert isinstance(arguments["model"].module, llama.Llama)
    assert arguments["model"].module.config.num_layers == 2
    cfg = arguments["train_dataset_cfg"]
    assert cfg.mixture_or_task_name in (
        "alpaca_en",
        "alpaca_codemix_hi",
        "alpaca_naive_codemix_hi",
        "alpaca_codemix_pairs_hi",
        "wikipedia_hi",
        "wikipedia_codemix_hi",
        "mix_alpaca_codemix_hi_2_alpaca_en_1_wikipedia_codemix_hi_1",
        "mix_alpaca_en_1_translation_hi_1",
    )
    assert set(cfg.task_feature_lengths) == {*DecoderFeatureConverter.TASK_FEATURES, "row"}


TABLE = {
    "main_results/alpaca.gin": ("alpaca_en", 1210, 36, 0.9),
    "main_results/commit.gin": ("alpaca_codemix_hi", 1210, 36, 0.9),
    "main_results/align.gin": ("wikipedia_codemix_hi", 10000, 300, 0.5),
    "main_results/align_commit.gin": ("alpaca_codemix_hi", 1210, 36, 0.9),
    "table3/naive_clm.gin": ("wikipedia_hi", 10000, 300, 0.5),
    "table3/codemixed_clm.gin": ("wikipedia_codemix_hi", 10000, 300, 0.5),
    "table3/naive_clm_commit.gin": ("alpaca_codemix_hi", 1210, 36, 0.9),
    "table3/codemixed_clm_commit.gin": ("alpaca_codemix_hi", 1210, 36, 0.9),
    "hidden_states/l2.gin": ("alpaca_codemix_pairs_hi", 10000, 300, 0.9),
    "hidden_states/avgdist.gin": ("alpaca_codemix_pairs_hi", 10000, 300, 0.9),
    "hidden_states/cos.gin": ("alpaca_codemix_pairs_hi", 10000, 300, 0.9),
    "table4/naive_codemix.gin": ("alpaca_naive_codemix_hi", 1210, 36, 0.9),
    "table4/commit.gin": ("alpaca_codemix_hi", 1210, 36, 0.9),
}


def test_the_table_below_names_every_run():
    assert sorted(TABLE) == RUNS


@pytest.mark.parametrize("name", RUNS)
def test_runs_are_the_papers(name, built):
    load(name, **REQUIRED)
    assert gin.query_parameter("%NUM_PARTITIONS") == 8  # the cores of a v3-8
    load(name, **REQUIRED, NUM_PARTITIONS="1")
    arguments = built()
    task, steps, warmup, ratio = TABLE[name]
    cfg, network = arguments["train_dataset_cfg"], arguments["model"].module
    assert cfg.mixture_or_task_name == task
    assert (cfg.batch_size, cfg.shuffle, cfg.pack, cfg.seed) == (16, False, True, 42)
    assert set(cfg.task_feature_lengths.values()) == {512}
    assert arguments["total_steps"] == steps
    assert network.config == llama.PRESETS["7b"]
    rates = {
        network.residual_dropout_rate,
        network.embedding_dropout_rate,
        network.attention_dropout_rate,
    }
    assert rates == {0.05}
    assert network.forgetful_mask_max_ratio == 0.1
    assert arguments["random_seed"] == 42
    assert arguments["model"].loss_normalizing_factor == "AVERAGE_PER_SEQUENCE"
    rate = arguments["model"].optimizer_def.learning_rate
    assert [float(rate(step)) for step in (0, warmup, steps)] == pytest.approx([0, 2e-5, 1e-7])
    if "codemix" in task:
        assert mixer.make_mixer("en", "hi").ratio == ratio
    row = name.removeprefix("hidden_states/").removesuffix(".gin")
    kind = row if name.startswith("hidden_states/") else None
    expected = HiddenStateDistance(kind, start=0, end=5, weight=1.0, places="positions")
    assert arguments["model"].hidden_state_distance == expected
    # The quirks reach the objects that mix, mask and pack.
    assert not mixer.make_mixer("en", "hi").lexicon.translations("Water")
    assert arguments["model"].FEATURE_CONVERTER_CLS()._row.packing == "stream"
    options = gin.get_bindings(preprocessors.encode_prompt_response)
    assert options == {"response_mask": "paper"}


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_put_every_quirk_right(name, built):
    sized = ["models/debug.gin"] if "extend" in name else []  # its network is the checkpoint's
    load(name, *sized, **required(name), NUM_PARTITIONS="1")
    arguments = built()
    assert arguments["train_dataset_cfg"].shuffle
    assert arguments["model"].loss_normalizing_factor == "NUM_REAL_TARGET_TOKENS"
    assert arguments["model"].FEATURE_CONVERTER_CLS().pack
    assert arguments["model"].hidden_state_distance.places == "words"
    assert gin.get_bindings(preprocessors.encode_prompt_response) == {"response_mask": "exact"}
    if name != "recipes/align.gin":
        assert mixer.make_mixer("en", "hi").lexicon.translations("Water")


DEBUG_SIZE = {"llama.Llama.config": "@llama.preset()", "llama.preset.name": "'debug'"}


@pytest.mark.parametrize("name", MINIATURE)
def test_rows_of_the_miniature_differ_by_their_data(name, built):
    sizes = dict(DEBUG_SIZE)
    if "hidden" in name:
        sizes["HIDDEN_STATE_END"] = "2"  # which has two layers
    load(name, MODEL_DIR="'out'", INITIAL_CHECKPOINT_PATH="None", TOKENIZER="'samples'", **sizes)
    arguments = built()
    row = name.split("/")[1].removesuffix(".gin")
    family = {
        "alpaca": "alpaca_en",
        "naive_codemix": "alpaca_naive_codemix_qaa",
        "commit": "alpaca_codemix_qaa",
        "commit_lora": "alpaca_codemix_qaa",
        "align": "wikipedia_codemix_qaa",
        "align_commit": "alpaca_codemix_qaa",
        "align_naive": "wikipedia_codemix_qaa",  # at ratio 0
        "align_naive_commit": "alpaca_codemix_qaa",
        "hidden_l2": "alpaca_codemix_pairs_qaa",
        "hidden_avgdist": "alpaca_codemix_pairs_qaa",
        "hidden_cos": "alpaca_codemix_pairs_qaa",
    }
    is_alignment = row in ("align", "align_naive")
    cfg = arguments["train_dataset_cfg"]
    assert cfg.mixture_or_task_name == family[row]
    assert (cfg.batch_size, set(cfg.task_feature_lengths.values())) == (3, {384})
    assert arguments["total_steps"] == (300 if is_alignment else 900)
    assert arguments["model"].FEATURE_CONVERTER_CLS()._row.packing == (
        "filled" if is_alignment else "segments"
    )


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("smollm2/")])
def test_rows_of_smollm2_are_those_of_the_miniature(name, built):
    def differing(name):
        load(name, **REQUIRED, **DEBUG_SIZE)
        cfg = built()["train_dataset_cfg"]
        packing = built()["model"].FEATURE_CONVERTER_CLS()._row.packing
        return cfg.mixture_or_task_name, gin.query_parameter("%CODEMIX_RATIO"), packing

    ours = differing(name)
    assert ours == differing(name.replace("smollm2/", "miniature/"))


@pytest.mark.parametrize("name", CURVES)
def test_a_row_of_a_curve_is_commit_but_for_one_thing(name):
    def settings(name):
        load(name, MODEL_DIR="'out'")
        return {line for line in gin.config_str().splitlines() if line and line[0] not in "#"}

    commit, row = settings("miniature/commit.gin"), settings(name)
    changed = {line.partition(" =")[0] for line in row - commit} - {"COMPARED_WITH"}
    assert len({key for key in changed if key.isupper()}) == (name != "miniature_curves/commit.gin")


def test_both_fidelities_set_the_same_options():
    def options(name):
        gin.clear_config()
        gin.parse_config_file(str(ROOT / "fidelity" / name))
        return set(re.findall(r"^ *([\w.]+) *=", (ROOT / "fidelity" / name).read_text(), re.M))

    assert options("paper.gin") == options("improved.gin")


@pytest.mark.parametrize("size", SIZES)
def test_models_have_their_parameters(size, built):
    text = (ROOT / "models" / f"{size}.gin").read_text()
    stated = int(re.search(r"([\d,]{5,}) parameters", text)[1].replace(",", ""))
    load("recipes/commit.gin", f"models/{size}.gin", **REQUIRED, NUM_PARTITIONS="1")
    network = built()["model"].module
    tokens = jax.ShapeDtypeStruct((1, 8), jnp.int32)
    init = functools.partial(network.init, enable_dropout=False)
    shapes = jax.eval_shape(init, jax.random.key(0), tokens, tokens)
    leaves = jax.tree.leaves(shapes["params"])
    assert sum(leaf.size for leaf in leaves) == stated == llama.PRESETS[size].num_parameters


def test_every_preset_has_a_file():
    assert sorted(SIZES) == sorted(llama.PRESETS)


def test_the_network_of_a_checkpoint(built, tmp_path):
    config = dataclasses.replace(llama.PRESETS["debug"], num_layers=3)
    (tmp_path / "model_config.json").write_text(json.dumps(config.to_json()))
    macros = {**REQUIRED, "INITIAL_CHECKPOINT_PATH": f"'{tmp_path}'", "NUM_PARTITIONS": "1"}
    load("recipes/commit.gin", "models/from_checkpoint.gin", **macros)
    assert built()["model"].module.config == config


@pytest.mark.parametrize("name", EVALUATIONS)
def test_evaluation_files_are_complete(name, tmp_path):
    """Network and tokenizer are the checkpoint's, unless a file of models/ and a macro say more."""
    config = dataclasses.replace(llama.PRESETS["debug"], num_layers=3)
    (tmp_path / "model_config.json").write_text(json.dumps(config.to_json()))
    shutil.copy(resources.path("samples") / "tokenizer.model", tmp_path)
    macros = {"CHECKPOINT_PATH": f"'{tmp_path}'"}
    if "infer" in name:
        source = {"MIXTURE_OR_TASK_NAME": "'xquad_hi'", "XQUAD_PATH": "'samples'"}
        source = source if "task" in name else {"INPUT_PATH": "'prompts.txt'"}
        macros |= {"INFER_OUTPUT_DIR": "'o'", **source}
        run = "commit_t5x.engine.infer.infer"
    else:
        macros |= {"EVAL_OUTPUT_DIR": "'o'", "LANGUAGE": "'hi'"}
        run = "commit_t5x.engine.eval.evaluate"
    load(name, **macros)
    arguments = gin.get_bindings(run)
    assert arguments["output_dir"] == "o"
    assert arguments["model"].module.config == config
    assert arguments["model"].vocabulary.path == tmp_path / "tokenizer.model"
    load(name, "models/debug.gin", **macros, TOKENIZER="'samples'")
    assert gin.get_bindings(run)["model"].module.config.num_layers == 2


def test_prompts_of_a_family_and_language():
    macros = {"CHECKPOINT_PATH": "'out'", "INFER_OUTPUT_DIR": "'o'", "TOKENIZER": "'samples'"}
    files = ("evaluation/infer_task.gin", "models/debug.gin")
    load(*files, **macros, TASK_FAMILY="'xquad_en'", LANGUAGE="'el'")
    run = "commit_t5x.engine.infer.infer"
    arguments = gin.get_bindings(run, resolve_references=True)
    assert arguments["dataset_cfg"].mixture_or_task_name == "xquad_enel"
    load(*files, **macros)
    with pytest.raises(InputError, match="TASK_FAMILY: not set; name one of .*, or set MIXTURE"):
        gin.get_bindings(run, resolve_references=True)


def mixed(text):
    return mixer.make_mixer("en", "hi").mix(text, (0, 0), 1.0)


def prompt(instruction):
    return templates.get_prompts().without_input.render({"instruction": instruction}).text


def filling():
    return gin.get_bindings(preprocessors.fill_prompt)


def needs_labels(file):
    with pytest.raises(InputError, match=file):
        qa_prompts.get_labels("sw")
    return True


def needs(macro):
    with pytest.raises(InputError, match=macro):
        mixed("tea")
    return True


@pytest.mark.parametrize(
    "override, value, reached",
    [
        ("TRAIN_STEPS", "70", lambda a: a.total_steps == 70),
        ("BATCH_SIZE", "4", lambda a: a.data.batch_size == 4),
        ("SEQUENCE_LENGTH", "64", lambda a: a.data.task_feature_lengths["targets"] == 64),
        ("LANGUAGE", "'el'", lambda a: a.data.mixture_or_task_name == "alpaca_codemix_el"),
        ("CODEMIX_RATIO", "0.25", lambda _: mixer.make_mixer("en", "hi").ratio == 0.25),
        ("CODEMIX_LANGUAGES", "{'el': 1}", lambda _: "και" in mixed("and")),
        ("REPLACEMENTS", "{'alignment': 1}", lambda _: needs("ALIGNMENT_DIR")),
        ("CODEMIX_SCHEDULE", "((0, 0.5),)", lambda _: MixSchedule().factors == ((0, 0.5),)),
        ("RESPONSE_CODEMIX_RATIO", "0.1", lambda _: filling() == {"response_ratio": 0.1}),
        ("PROMPT_LANGUAGE", "'el'", lambda _: "Απάντηση" in prompt("tea")),
        ("QA_LABELS", "'l.toml'", lambda _: needs_labels("l.toml")),
        ("BROKEN_RECORDS", "'skip'", lambda _: sources.Locations().broken_records == "skip"),
        ("DROPOUT_RATE", "0.5", lambda a: a.network.attention_dropout_rate == 0.5),
        ("FORGETFUL_MASK_MAX_RATIO", "0.3", lambda a: a.network.forgetful_mask_max_ratio == 0.3),
        ("DTYPE", "'bfloat16'", lambda a: a.network.dtype == "bfloat16"),
        ("VOCAB_SIZE", "4096", lambda a: a.network.config.vocab_size == 4096),
        ("EMBED_DIM", "256", lambda a: a.network.config.emb_dim == 256),
        ("MLP_DIM", "96", lambda a: a.network.config.mlp_dim == 96),
        ("NUM_LAYERS", "3", lambda a: a.network.config.num_layers == 3),
        ("NUM_HEADS", "8", lambda a: a.network.config.head_dim == 16),
        ("NUM_KV_HEADS", "2", lambda a: a.network.config.num_kv_heads == 2),
        ("HEAD_DIM", "64", lambda a: a.network.config.head_dim == 64),
        ("RANDOM_SEED", "3", lambda a: a.random_seed == a.data.seed == 3),
        ("SHUFFLE", "True", lambda a: a.data.shuffle),
        ("PACK", "False", lambda a: not a.data.pack),
        ("ALPACA_PATH", "'a.jsonl'", lambda _: sources.Locations().alpaca == "a.jsonl"),
        ("VALIDATION_EXAMPLES", "5", lambda _: sources.Locations().validation_examples == 5),
        ("INITIAL_CHECKPOINT_PATH", "'llama'", lambda a: a.checkpoint_cfg.restore.path == "llama"),
        ("CHECKPOINT_PERIOD", "50", lambda a: a.checkpoint_cfg.save.period == 50),
        ("HIDDEN_STATE_START", "1", lambda a: a.model.hidden_state_distance.start == 1),
        ("HIDDEN_STATE_END", "7", lambda a: a.model.hidden_state_distance.end == 7),
        ("HIDDEN_STATE_WEIGHT", "0.5", lambda a: a.model.hidden_state_distance.weight == 0.5),
        ("LEARNING_RATE", "1e-3", lambda a: float(a.rate(36)) == pytest.approx(1e-3)),
    ],
)
def test_overrides_reach_the_objects(override, value, reached, built):
    load("main_results/commit.gin", "models/debug.gin", **{**REQUIRED, override: value})
    found = built()
    assert reached(
        types.SimpleNamespace(
            **found,
            data=found["train_dataset_cfg"],
            network=found["model"].module,
            rate=found["model"].optimizer_def.learning_rate,
        )
    )


@pytest.mark.parametrize("name", [f for f in FILES if not f.startswith("engines/t5x")])
def test_files_open_with_a_header(name):
    text = (ROOT / name).read_text()
    assert text.startswith("# ")
    if name in RUNS + EVALUATIONS + MINIATURE + ["quickstart.gin"] or name.startswith("recipes/"):
        header = text.partition("from __gin__")[0]
        assert f"--gin_file={name}" in header and "# Hardware:" in header
    if name in RUNS:  # of a v3-8; how to run it elsewhere
        assert "--gin.NUM_PARTITIONS=None" in text
    assert len(text.splitlines()) < 130
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    "order", [("adafactor.gin", "new_rows.gin"), ("new_rows.gin", "adafactor.gin")]
)
def test_new_rows_wrap_another_optimizer_in_either_order(order):
    load("recipes/align.gin", *order, **REQUIRED)
    assert repr(gin.query_parameter("%OPTIMIZER")).endswith("new_rows.first()")
    assert repr(gin.query_parameter("new_rows.first.optimizer")) == "%INNER_OPTIMIZER"
    assert repr(gin.query_parameter("%INNER_OPTIMIZER")).endswith("optim.adafactor()")


def test_unknown_language_is_refused(built):
    load("main_results/commit.gin", "models/debug.gin", **{**REQUIRED, "LANGUAGE": "'Hindi!'"})
    with pytest.raises(InputError, match="LANGUAGE 'Hindi!': not a language code"):
        with gin_utils.plain_errors():
            built()
