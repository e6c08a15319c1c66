import functools
import itertools

import pytest
import seqio

from commit_t5x.data import preprocessors
from commit_t5x.inspection import examples, pipeline, readers
from commit_t5x.mixing.lexicon import Lexicon
from commit_t5x.mixing.mixer import CodeMixer
from commit_t5x.mixing.schedule import MixSchedule
from commit_t5x.vocabularies import configured

LENGTHS = {"inputs": 100, "targets": 100, "row": 100}


@pytest.fixture
def read(samples, bind):
    def read(name, count=40, **options):
        task = seqio.get_mixture_or_task(name) if isinstance(name, str) else name
        options = {"sequence_length": LENGTHS, "seed": 3, "start": 0, **options}
        split = task.splits[0]
        return [e for e, _ in examples.read(task, split=split, count=count, **options)]

    return read


def roles(example):
    return {
        role: "".join(example.text.text[s.start : s.end] for s in spans)
        for role, spans in itertools.groupby(example.text.roles, key=lambda span: span.role)
    }


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
            span = next(span for span in example.text.roles if span.role == "input")
            assert all(span.start <= token.start < span.end for token in away)


def test_naive_template_shows_its_replaced_words(read):
    [example] = read("alpaca_naive_codemix_el", 1)
    assert not example.text.text.startswith("Below is an instruction that describes a task")
    assert example.text.source.startswith("Below is an instruction that describes a task")
    template = [span for span in example.text.roles if span.role == "template"]
    assert any(
        span.start <= found.start < span.end
        for span in template
        for found in example.text.replacements
    )


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
    bind("MixSchedule.factors", ((0, 0.0), (10, 1.0)))
    bind("MixSchedule.examples_per_step", 2)
    got = read("alpaca_codemix_hi")
    assert MixSchedule().factors
    assert not got[0].text.replacements and got[-1].text.replacements
    for example in got:
        output = next(span for span in example.text.roles if span.role == "output")
        assert all(found.start < output.start for found in example.text.replacements)


def test_a_mixer_with_two_faces_is_a_bug(samples):
    mixers = iter([CodeMixer(Lexicon({"Name": (word,)}), ratio=1.0) for word in ("a", "b")])
    step = functools.partial(preprocessors.fill_prompt, mixer=lambda: next(mixers))
    task = seqio.get_mixture_or_task("alpaca_codemix_hi")
    steps = [
        step if pipeline.function(old) is preprocessors.fill_prompt else old
        for old in task.preprocessors
    ]
    task = seqio.Task("two_faces", task.source, task.output_features, steps)
    options = {"split": "train", "sequence_length": None, "seed": 0, "start": 0, "count": 1}
    reader = readers.make_reader(task)
    with pytest.raises(AssertionError, match="in Python .*in the pipeline"):
        reader.read(list(pipeline.trace(task, **options)))
