"""In paper fidelity the data path and the loss equal the original's, to the byte and the token.

The files of main_results/, table3/ and table4/, which include fidelity/paper.gin, are run through
the project and compared with tests/naive_original.py. Dictionaries are cut down to one translation
a word, the last in the file, and the ratio is 1, so that nothing is random.

The shipped samples are always compared. Real data are too, where two environment variables name
them: COMMIT_REAL_DATA a folder with muse/{source}-{target}.txt, xquad/xquad.{lang}.json and
alpaca/instructions.jsonl, and COMMIT_REAL_TOKENIZER a SentencePiece model.
"""

import ast
import dataclasses
import functools
import itertools
import json
import os
import pathlib

import gin
import jax
import naive_original as naive
import numpy as np
import pytest
import sentencepiece
import seqio
import tensorflow as tf

from commit_t5x import resources
from commit_t5x.data import preprocessors
from commit_t5x.engine import data, gin_utils
from commit_t5x.mixing import mixer
from commit_t5x.mixing.graph_mixer import GraphMixer
from commit_t5x.mixing.lexicon import Lexicon

REAL_DATA = os.environ.get("COMMIT_REAL_DATA")
REAL_TOKENIZER = os.environ.get("COMMIT_REAL_TOKENIZER")
NO_REAL_DATA = "COMMIT_REAL_DATA and COMMIT_REAL_TOKENIZER name no real data"

PAIRS = ("en-hi", "en-el", "en-th", "hi-en", "el-en", "th-en")
LANGUAGE = "hi"  # of the runs
EXAMPLES = 500  # at most
BATCH, LENGTH = 16, 512

# gin file: (task, what the original makes of an example)
INSTRUCTION_RUNS = {
    "main_results/alpaca.gin": ("alpaca_en", naive.plain),
    "main_results/commit.gin": ("alpaca_codemix_hi", naive.blocked),
    "table4/naive_codemix.gin": ("alpaca_naive_codemix_hi", naive.unblocked),
}
ALIGNMENT_RUNS = {
    "table3/naive_clm.gin": ("wikipedia_hi", lambda text, _: text),
    "table3/codemixed_clm.gin": ("wikipedia_codemix_hi", naive.mix),
}
RUNS = [*INSTRUCTION_RUNS, *ALIGNMENT_RUNS]

# (instruction, input, output), put after the examples of either corpus.
ODD_EXAMPLES = [
    ("", "", ""),
    ("Say nothing.", "", ""),  # no token bears loss
    ("Smile.", "", ")"),  # one token may hold the prompt's colon too
    ("Break the line.", " ", "\n\n"),
    ("water\ttea  (water)\xa0", "\u200bwater", " what is water? "),
    ("😀 पानी", "น้ำ water", "a\0b <s> </s> \u0301"),
    ("Repeat.", "water " * 600, "what is tea? " * 300),  # over several rows
]


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Data for both sides."""

    muse: pathlib.Path  # dictionaries, as they are
    one_each: pathlib.Path  # the same with one translation a word
    xquad: pathlib.Path
    alpaca: pathlib.Path
    wikipedia: pathlib.Path
    documents: tuple[str, ...]  # those of `wikipedia`
    tokenizer: pathlib.Path
    vocab_size: int

    @property
    def processor(self):
        return sentencepiece.SentencePieceProcessor(model_file=str(self.tokenizer))


def sample_data(folder):
    root = resources.path("samples")
    wikipedia = root / f"wikipedia.{LANGUAGE}.txt"
    write_examples(folder / "alpaca.jsonl", root / "alpaca.jsonl")
    return {
        "muse": resources.path("dicts"),
        "xquad": root,
        "alpaca": folder / "alpaca.jsonl",
        "wikipedia": wikipedia,
        "documents": tuple(wikipedia.read_text("utf-8").strip().split("\n\n")),
        "tokenizer": root / "tokenizer.model",
        "vocab_size": 3072,
    }


def real_data(folder):
    root = pathlib.Path(REAL_DATA)
    write_examples(folder / "alpaca.jsonl", root / "alpaca" / "instructions.jsonl")
    # XQuAD's contexts, translated from Wikipedia, stand in for its documents.
    documents = contexts(root / "xquad", LANGUAGE)
    records = "".join(json.dumps({"text": text}) + "\n" for text in documents)
    (folder / "wikipedia.jsonl").write_text(records, "utf-8")
    return {
        "muse": root / "muse",
        "xquad": root / "xquad",
        "alpaca": folder / "alpaca.jsonl",
        "wikipedia": folder / "wikipedia.jsonl",
        "documents": tuple(documents),
        "tokenizer": pathlib.Path(REAL_TOKENIZER),
        "vocab_size": 32000,
    }


def write_examples(path, source):
    fields = ("instruction", "input", "output")
    odd = [json.dumps(dict(zip(fields, example, strict=True))) for example in ODD_EXAMPLES]
    lines = source.read_text("utf-8").split("\n")[:EXAMPLES]
    path.write_text("\n".join([*filter(None, lines), *odd]), "utf-8")


@pytest.fixture(scope="module", params=["samples", "real_data"])
def corpus(request, tmp_path_factory):
    if request.param == "real_data" and not (REAL_DATA and REAL_TOKENIZER):
        pytest.skip(NO_REAL_DATA)
    folder = tmp_path_factory.mktemp("corpus")
    fields = sample_data(folder) if request.param == "samples" else real_data(folder)
    for pair in PAIRS:
        lines = [f"{s}\t{t}\n" for s, t in one_translation(fields["muse"], pair).items()]
        (folder / f"{pair}.txt").write_text("".join(lines), "utf-8")
    return Corpus(one_each=folder, **fields)


def one_translation(folder, pair):
    """Returns {source: target}; of several translations the last stays."""
    dictionary = naive.read_dictionary(folder / f"{pair}.txt")
    return {source: targets[-1] for source, targets in dictionary.items()}


def contexts(folder, language):
    articles = json.loads((folder / f"xquad.{language}.json").read_text("utf-8"))["data"]
    return [paragraph["context"] for article in articles for paragraph in article["paragraphs"]]


@functools.cache
def original(corpus, run):
    """Returns the original's text, tokens and mask of each example of a run."""
    processor = corpus.processor
    _, make = (INSTRUCTION_RUNS | ALIGNMENT_RUNS)[run]
    if run in ALIGNMENT_RUNS:
        dictionary = one_translation(corpus.muse, f"{LANGUAGE}-en")
        mixed = [(make(text, dictionary),) for text in corpus.documents]
        return [(text, *naive.tokens_of_document(processor, *text)) for text in mixed]
    dictionary = one_translation(corpus.muse, f"en-{LANGUAGE}")
    examples = map(json.loads, corpus.alpaca.read_text("utf-8").split("\n"))
    filled = [make(example, dictionary) for example in examples]
    return [(text, *naive.tokens_of_example(processor, *text)) for text in filled]


def original_batches(corpus, run):
    examples = [(tokens, mask) for _, tokens, mask in original(corpus, run)]
    return naive.batches(naive.over_and_over(examples), BATCH, LENGTH)


@pytest.fixture
def load(corpus):
    """Loads a gin file as a user does; returns the model, the data's configuration, the task."""

    def load(run):
        macros = {
            "MODEL_DIR": "unused",
            "LANGUAGE": LANGUAGE,
            "DICT_DIR": str(corpus.one_each),
            "TOKENIZER": str(corpus.tokenizer),
            "ALPACA_PATH": str(corpus.alpaca),
            "WIKIPEDIA_PATH": str(corpus.wikipedia),
            "CODEMIX_RATIO": 1.0,
            "VOCAB_SIZE": corpus.vocab_size,
        }
        bindings = [f"{name} = {value!r}" for name, value in macros.items()]
        gin_utils.load([run, "models/debug.gin"], bindings)
        train = gin.get_bindings("commit_t5x.engine.train.train", resolve_references=True)
        cfg = train["train_dataset_cfg"]
        assert (cfg.batch_size, cfg.task_feature_lengths["targets"]) == (BATCH, LENGTH)
        assert cfg.mixture_or_task_name == (INSTRUCTION_RUNS | ALIGNMENT_RUNS)[run][0]
        return train["model"], cfg, seqio.get_mixture_or_task(cfg.mixture_or_task_name)

    yield load
    gin.clear_config()


def test_the_restatement_uses_nothing_of_the_project():
    tree = ast.parse(pathlib.Path(naive.__file__).read_text("utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert {ast.unparse(node) for node in imports} == {"import unicodedata", "import numpy as np"}


@pytest.mark.parametrize("pair", PAIRS)
def test_dictionaries(corpus, pair):
    lexicon = Lexicon.load(corpus.muse / f"{pair}.txt")
    expected = naive.read_dictionary(corpus.muse / f"{pair}.txt")
    assert {source: list(targets) for source, targets in lexicon.items()} == expected


@pytest.mark.parametrize("pair", PAIRS)
def test_mixed_contexts(corpus, load, pair):
    source, target = pair.split("-")
    load("main_results/commit.gin")
    mix = mixer.make_mixer(source, target)
    originals = [text for lang in {"en", source} for text in contexts(corpus.xquad, lang)]
    dictionary = one_translation(corpus.muse, pair)
    expected = [naive.mix(text, dictionary) for text in originals]
    changed = sum(a != b for a, b in zip(originals, expected, strict=True))
    assert changed > len(originals) / 10
    seeds = np.stack([np.full(len(originals), 42), np.arange(len(originals))], axis=1)
    assert list(map(mix.mix, originals, map(tuple, seeds.tolist()))) == expected
    mixed = GraphMixer(mix)(tf.constant(originals), tf.constant(seeds))
    assert [text.decode() for text in mixed.numpy()] == expected


@pytest.mark.parametrize("run", RUNS)
def test_prompts_responses_and_documents(corpus, load, run):
    _, cfg, task = load(run)
    fields = ("text",) if run in ALIGNMENT_RUNS else ("prompt", "response")
    got = [
        tuple(example[field].decode() for field in fields)
        for example in data.get_examples(cfg, before_tokens(task))
    ]
    assert got == [text for text, _, _ in original(corpus, run)]


def before_tokens(task):
    """Returns the task as it is up to the step that tokenises."""
    encode = (preprocessors.encode_prompt_response, preprocessors.encode_documents)
    steps = list(itertools.takewhile(lambda step: step not in encode, task.preprocessors))
    steps.append(tf.data.Dataset.unbatch)
    return seqio.Task("before_tokens", task.source, preprocessors=steps, output_features={})


@pytest.mark.parametrize("run", RUNS)
def test_tokens_and_masks(corpus, load, run):
    _, cfg, task = load(run)
    cfg = dataclasses.replace(cfg, task_feature_lengths=None)
    got = list(data.get_examples(cfg, task))
    expected = original(corpus, run)
    assert len(got) == len(expected)
    for example, (_, tokens, mask) in zip(got, expected, strict=True):
        # BOS, which bears no loss, comes with the feature converter.
        inputs, targets = (example[name].tolist() for name in ("inputs", "targets"))
        assert [corpus.processor.bos_id(), *inputs, *targets] == tokens
        assert [0] * (1 + len(inputs)) + [1] * len(targets) == mask


@pytest.mark.parametrize("run", RUNS)
def test_batches(corpus, load, run):
    model, cfg, _ = load(run)
    epoch = sum(len(tokens) for _, tokens, _ in original(corpus, run))
    expected = original_batches(corpus, run)
    got = data.TrainIterator(cfg, model.FEATURE_CONVERTER_CLS)
    for _ in range(epoch // (BATCH * LENGTH) + 2):  # into the second epoch
        batch = next(got)
        inputs, targets, mask = next(expected)
        assert set(batch) == {
            "decoder_input_tokens",
            "decoder_target_tokens",
            "decoder_loss_weights",
        }
        np.testing.assert_array_equal(batch["decoder_input_tokens"], inputs)
        np.testing.assert_array_equal(batch["decoder_target_tokens"], targets)
        np.testing.assert_array_equal(batch["decoder_loss_weights"], mask)


def test_batch_loss(corpus, load):
    run = "main_results/commit.gin"
    model, _, _ = load(run)
    inputs, targets, mask = next(original_batches(corpus, run))
    mask[3] = 0  # a row within a long prompt
    batch = {
        "decoder_input_tokens": inputs,
        "decoder_target_tokens": targets,
        "decoder_loss_weights": mask,
    }
    # Fresh weights give all tokens nearly the same loss; larger ones don't.
    params = jax.jit(model.get_initial_variables)(jax.random.key(0))["params"]
    params = jax.tree.map(lambda value: 4 * value, params)

    @jax.jit
    def loss_and_logits(part):
        loss, _ = model.loss_fn(params, part, denominator=model.loss_denominator(batch))
        tokens = part["decoder_input_tokens"]
        return loss, model.module.apply({"params": params}, tokens, enable_dropout=False)

    # Four rows at a time, as logits over 32,000 words take room.
    loss, token_losses, size = 0.0, [], BATCH // 4
    for first in range(0, BATCH, size):
        part = {name: feature[first : first + size] for name, feature in batch.items()}
        part_loss, logits = loss_and_logits(part)
        loss += float(part_loss)
        token_losses += map(naive.token_losses, logits, part["decoder_target_tokens"])
    assert loss == pytest.approx(naive.batch_loss(token_losses, mask), rel=1e-6)
    # It is not the mean over tokens.
    assert loss != pytest.approx(np.average(token_losses, weights=mask), rel=1e-2)
