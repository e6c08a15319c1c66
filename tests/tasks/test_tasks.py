"""The registered tasks, on the shipped samples."""

import functools
import itertools
import json

import pytest
import seqio

from commit_t5x import resources
from commit_t5x.data import sources
from commit_t5x.data.feature_converters import DecoderFeatureConverter
from commit_t5x.data.qa_prompts import get_labels, qa_prompt
from commit_t5x.errors import InputError
from commit_t5x.mixing import mixer
from commit_t5x.tasks import families
from commit_t5x.vocabularies import configured

pytestmark = pytest.mark.usefixtures("samples")


def examples(name, split="train", count=-1):
    task = seqio.get_mixture_or_task(name)
    ds = task.get_dataset(None, split=split, shuffle=False, seed=0)
    return list(ds.take(count).as_numpy_iterator())


@functools.cache
def plain():
    """Twenty examples of Alpaca."""
    return examples("alpaca_en", count=20)


def decoded(example):
    return configured.get_vocabulary().decode([*example["inputs"], *example["targets"]])


@pytest.mark.parametrize("language", ["hi", "el", "th"])
def test_codemix_changes_words_and_blocks_the_template(language):
    mixed = examples(f"alpaca_codemix_{language}", count=20)
    naive = examples(f"alpaca_naive_codemix_{language}", count=20)
    header = "Below is an instruction that describes a task"
    assert all(decoded(example).startswith(header) for example in plain() + mixed)
    assert not any(decoded(example).startswith(header) for example in naive)
    changed = sum(decoded(a) != decoded(b) for a, b in zip(plain(), mixed, strict=True))
    assert changed > 15


def test_pairs_are_the_examples_of_two_tasks():
    pairs = examples("alpaca_codemix_pairs_hi", count=20)
    for pair, mixed, alone in zip(
        pairs, examples("alpaca_codemix_hi", count=20), plain(), strict=True
    ):
        for example, side in ((alone, "pair_plain_tokens"), (mixed, "pair_mixed_tokens")):
            tokens = [*example["inputs"], *example["targets"]]
            assert pair[side].tolist() == tokens[:-1]  # no EOS
        assert [pair["inputs"].tolist(), pair["targets"].tolist()] == [
            alone["inputs"].tolist(),
            alone["targets"].tolist(),
        ]


@pytest.mark.parametrize("language", ["hi", "el"])
def test_wikipedia_mixes_towards_english(language):
    plain = examples(f"wikipedia_{language}", count=10)
    mixed = examples(f"wikipedia_codemix_{language}", count=10)
    for before, after in zip(plain, mixed, strict=True):
        text, mix = decoded(before), decoded(after)
        assert sum(map(str.isascii, mix)) > sum(map(str.isascii, text)) + 20


def test_ratio_0_is_exactly_the_plain_task(bind):
    bind("make_mixer.ratio", 0.0)
    for plain, mixed in zip(
        examples("wikipedia_hi"), examples("wikipedia_codemix_hi"), strict=True
    ):
        assert plain["targets"].tolist() == mixed["targets"].tolist()


def test_thai_is_mixed_once_it_is_segmented(bind):
    def english(segmenter):
        bind("make_mixer.segmenter", segmenter)
        text = "".join(decoded(e) for e in examples("wikipedia_codemix_th", count=10))
        return sum(c.isascii() and c.isalpha() for c in text)

    assert english("language") > 10 * english("space")


@pytest.mark.parametrize(
    "task, lengths",
    [
        ("alpaca_codemix_hi", {"inputs": 160, "targets": 96}),
        pytest.param("wikipedia_codemix_hi", {"targets": 256}, marks=pytest.mark.slow),
        pytest.param("commit_mix_hi", {"inputs": 160, "targets": 96}, marks=pytest.mark.slow),
    ],
)
def test_seqios_converter_makes_the_same_rows(task, lengths):
    def rows(converter):
        ds = seqio.get_dataset(task, lengths, converter, seed=0, verbose=False)
        return list(ds.take(20).as_numpy_iterator())

    vocabulary = configured.get_vocabulary()
    ours = rows(DecoderFeatureConverter(vocabulary=vocabulary))
    theirs = rows(seqio.DecoderFeatureConverter(bos_id=vocabulary.bos_id))
    assert len(ours) == len(theirs) >= 10
    for row, other in zip(ours, theirs, strict=True):
        assert row.keys() == other.keys() - {"decoder_causal_attention"}
        used = row["decoder_segment_ids"] > 0  # SeqIO begins the padding with BOS, too
        for name, values in row.items():
            assert (values == other[name])[used].all()
            assert (values[~used] == 0).all()


@pytest.mark.parametrize(
    "language, english_labels",
    [("en", False), *itertools.product(["el", "hi", "th"], [False, True])],
)
def test_questions_and_scores(language, english_labels):
    name = families.name("xquad_en" if english_labels else "xquad", language)
    got = examples(name, split="validation")
    source = list(sources.squad_examples(resources.path("samples") / f"xquad.{language}.json"))
    assert len(got) == len(source) == 30
    labels = get_labels("en" if english_labels else language)
    for example, row in zip(got, source, strict=True):
        prompt = qa_prompt("xquad", labels, row["context"], row["question"])
        assert example["inputs_pretokenized"].decode() == prompt
    task = seqio.get_mixture_or_task(name)
    targets = [task.postprocess_fn("", example=row, is_target=True) for row in got]
    answers = [f" {target['answers'][0]}\nmore" for target in targets]
    right = [task.postprocess_fn(answer, example=None, is_target=False) for answer in answers]
    official, diagnostics = task.metric_fns
    assert official(targets, right) == {"exact_match": 100.0, "f1": 100.0}
    assert official(targets, ["zzz"] * 30) == {"exact_match": 0.0, "f1": 0.0}
    assert diagnostics(targets, right)["context_span"] == 100.0
    wrong = diagnostics(targets, ["zzz"] * 15 + [""] * 15)
    assert wrong["empty"] == 50.0 and wrong["context_span"] == 0.0
    assert wrong["target_script" if language == "en" else "latin_script"] == 50.0
    assert ("word_f1" in wrong) == (language == "th")


def test_mlqa_reads_the_official_files(bind, tmp_path):
    sample = (resources.path("samples") / "xquad.hi.json").read_text(encoding="utf-8")
    questions = json.loads(sample)
    (tmp_path / "test-context-hi-question-hi.json").write_text(sample, encoding="utf-8")
    questions["data"] = questions["data"][:1]
    dev = json.dumps(questions)
    (tmp_path / "dev-context-hi-question-hi.json").write_text(dev, encoding="utf-8")
    bind("Locations.mlqa", str(tmp_path))
    test, validation = (examples("mlqa_enhi", split=split) for split in ("test", "validation"))
    assert len(test) == 30 > len(validation)
    assert b"\n\nQuestion: " in test[0]["inputs_pretokenized"]


def test_mixers_are_made_when_a_task_is_built(bind):
    bind("load_dictionary.directory", "nowhere")
    with pytest.raises(InputError, match="nowhere/en-hi.txt"):
        examples("alpaca_codemix_hi")
    bind("load_dictionary.directory", "samples")
    assert mixer.make_mixer("en", "hi").lexicon
