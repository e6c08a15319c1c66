import functools
import itertools

import numpy as np
import pytest
import seqio

from commit_t5x.data import preprocessors
from commit_t5x.errors import InputError
from commit_t5x.inspection import examples
from commit_t5x.mixing.lexicon import Lexicon
from commit_t5x.mixing.mixer import CodeMixer
from commit_t5x.mixing.schedule import MixSchedule
from commit_t5x.vocabularies import configured

LENGTHS = {"inputs": 100, "targets": 100, "row": 100}


@pytest.fixture
def read(samples, bind):
    def read(name, count=40, **options):
        """Returns examples of a task, or of the task of that name."""
        task = seqio.get_mixture_or_task(name) if isinstance(name, str) else name
        options = {"sequence_length": LENGTHS, "seed": 3, "start": 0, **options}
        split = task.splits[0]
        return [e for e, _ in examples.read(task, split=split, count=count, **options)]

    return read


def roles(example):
    """Returns role -> text."""
    return {
        role: "".join(part.piece.text for part in parts)
        for role, parts in itertools.groupby(example.text.parts, key=lambda part: part.role)
    }


def places(example, role):
    """Returns the characters of the text that a role covers."""
    ends = [*itertools.accumulate(len(part.piece.text) for part in example.text.parts)]
    spans = zip([0, *ends], ends, example.text.parts, strict=False)
    return {n for start, end, part in spans if part.role == role for n in range(start, end)}


def lossy(example):
    """Returns the characters that tokens with loss stand for."""
    return "".join(
        example.text.text[start:end]
        for (start, end), _ in itertools.groupby((t.start, t.end) for t in example.tokens if t.loss)
    )


def test_blocked_template_and_fates(read, bind):
    bind("length_policy.fit_prompt_response.too_long", "cut_input")
    got = read("alpaca_codemix_hi", sequence_length=dict.fromkeys(LENGTHS, 75))
    assert {example.fate for example in got} == {"whole", "cut", "dropped"}
    for example in got:
        parts = roles(example)
        assert parts["template"].endswith("### Response:")
        assert example.text.source.startswith("Below is an instruction that describes a task")
        assert example.text.text.startswith("Below is an instruction that describes a task")
        away = [token for token in example.tokens if token.row is None]
        if example.fate == "dropped":
            assert len(away) == len(example.tokens) > 75
            continue
        assert lossy(example) == parts["output"]
        assert example.tokens[-1].id == configured.get_vocabulary().eos_id
        assert example.tokens[-1].loss
        assert bool(away) == (example.fate == "cut")
        if away:
            assert len(example.tokens) - len(away) == 75
            assert {token.start for token in away} <= places(example, "input")


def test_naive_template_shows_its_replaced_words(read):
    [example] = read("alpaca_naive_codemix_el", 1)
    assert not example.text.text.startswith("Below is an instruction that describes a task")
    assert example.text.source.startswith("Below is an instruction that describes a task")
    assert any(part.role == "template" and part.piece.replaced for part in example.text.parts)


def test_the_papers_mask_spares_the_first_token_of_the_response(read, bind):
    bind("encode_prompt_response.response_mask", "paper")
    [example] = read("alpaca_en", 1)
    assert example.text.text.endswith(":Tea, coffee and hot milk.")
    assert lossy(example) == "ea, coffee and hot milk."


def test_documents(read, bind):
    bind("encode_documents.repeat_special_tokens", True)
    vocabulary = configured.get_vocabulary()
    for example in read("wikipedia_codemix_th", 20, sequence_length=dict.fromkeys(LENGTHS, 30)):
        assert example.fate == "split"
        assert [t.row for t in example.tokens] == [n // 30 for n in range(len(example.tokens))]
        assert lossy(example) == example.text.text
        bos, eos = vocabulary.bos_id, vocabulary.eos_id
        assert [t.id for t in example.tokens if t.start == t.end] == [bos, eos, eos]
        assert example.tokens_before == len(vocabulary.encode(example.text.source))
        assert example.tokens_after == len(vocabulary.encode(example.text.text))


def test_a_question_cut_from_the_left(read):
    whole, cut = (
        read("xquad_el", 1, sequence_length=lengths)[0]
        for lengths in (None, {"inputs": 20, "targets": 20})
    )
    assert (whole.fate, cut.fate) == ("whole", "cut")
    assert whole.text.text.endswith(lossy(whole)) and lossy(whole) == roles(whole)["answer"]
    away = [token for token in cut.tokens if token.row is None]
    assert cut.tokens[: len(away)] == tuple(away)
    assert len([token for token in cut.tokens[len(away) :] if not token.loss]) == 20
    assert [token.id for token in cut.tokens] == [token.id for token in whole.tokens]


def test_options_of_gin_reach_the_python_text(read, bind):
    # Were one of them left out, the text would differ from the pipeline's.
    bind("make_mixer.ratio", 0.8)
    bind("fill_prompt.response_ratio", 0.0)
    bind("get_prompts.language", "hi")
    bind("MixSchedule.factors", ((0, 0.0), (20, 1.0)))
    got = read("alpaca_codemix_hi")
    assert MixSchedule().factors
    assert not got[0].text.replacements and got[-1].text.replacements
    for example in got:
        output = [part.piece for part in example.text.parts if part.role == "output"]
        assert not any(piece.replaced for piece in output)


def test_a_mixer_with_two_faces_is_a_bug(read):
    mixers = iter([CodeMixer(Lexicon({"Name": (word,)}), ratio=1.0) for word in ("a", "b")])
    step = functools.partial(preprocessors.fill_prompt, mixer=lambda: next(mixers))
    task = seqio.get_mixture_or_task("alpaca_codemix_hi")
    steps = [
        step if getattr(old, "func", old) is preprocessors.fill_prompt else old
        for old in task.preprocessors
    ]
    task = seqio.Task("two_faces", task.source, task.output_features, steps)
    with pytest.raises(AssertionError, match="aren't those of the text"):
        read(task, 1)


def test_a_task_of_other_preprocessors_is_refused(read):
    source = seqio.FunctionDataSource(lambda split, shuffle_files, seed=None: None, ["train"])
    task = seqio.Task("foreign", source, output_features={}, preprocessors=[])
    with pytest.raises(InputError, match="foreign: can't be inspected.*encode_documents"):
        read(task)


@pytest.mark.parametrize(
    "name, policy, rows",
    [
        ("alpaca_codemix_hi", "fit_prompt_response.too_long", {0, 1}),
        ("wikipedia_th", "fit_documents.too_long", {1, 2}),  # cached as tokens
        pytest.param(
            *("wikipedia_codemix_th", "fit_documents.too_long", {1, 2}), marks=pytest.mark.slow
        ),
    ],
)
def test_rows_are_those_of_the_task(samples, bind, name, policy, rows):
    # So short that examples are cut, dropped or split.
    lengths = dict.fromkeys(LENGTHS, 80)
    bind(f"length_policy.{policy}", "cut_input" if "alpaca" in name else "split")
    task = seqio.get_mixture_or_task(name)
    expected = task.get_dataset(lengths, split="train", shuffle=False, seed=3)
    got = list(
        examples.read(task, split="train", sequence_length=lengths, seed=3, start=0, count=10**6)
    )
    same([row for _, rows in got for row in rows], expected)
    assert {example.rows for example, _ in got} >= rows
    for example, rows in got:
        for number, row in enumerate(rows):
            kept = [token for token in example.tokens if token.row == number]
            assert [token.id for token in kept] == [*row["inputs"], *row["targets"]]
            assert sum(token.loss for token in kept) == len(row["targets"])


def same(got, expected):
    for a, b in zip(got, expected.as_numpy_iterator(), strict=True):
        assert set(a) == set(b) == {"inputs", "targets"}
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def test_a_window_of_a_later_epoch(samples, bind):
    bind("length_policy.fit_documents.too_long", "keep")
    task = seqio.get_mixture_or_task("wikipedia_codemix_el")
    options = {"split": "train", "seed": 3}
    ds = task.get_dataset(None, shuffle=False, num_epochs=2, trim_output_features=False, **options)
    size = sum(1 for _ in task.source.get_dataset("train", shuffle=False))
    options |= {"sequence_length": None, "start": 5, "count": 3}
    first, second = (list(examples.read(task, epoch=epoch, **options)) for epoch in (0, 1))
    for epoch, got in enumerate((first, second)):
        same([row for _, rows in got for row in rows], ds.skip(epoch * size + 5).take(3))
        assert [example.index for example, _ in got] == [5, 6, 7]
    assert [e.text.text for e, _ in first] != [e.text.text for e, _ in second]


def test_a_task_without_draws_is_alike_in_every_epoch(read):
    first, third = (read("wikipedia_th", 2, start=1, epoch=epoch) for epoch in (0, 2))
    assert first == third
    assert [example.index for example in first] == [1, 2]
