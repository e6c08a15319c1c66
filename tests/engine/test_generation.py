import jax
import pytest
import tiny
from small_llama import init

from commit_t5x.engine import decoding, generation
from commit_t5x.engine.sampling import Sampling
from commit_t5x.errors import InputError
from commit_t5x.model import llama

CONFIG = llama.LlamaConfig(
    vocab_size=tiny.VOCAB_SIZE, emb_dim=16, mlp_dim=24, num_layers=1, num_heads=2, num_kv_heads=1,
    head_dim=8, max_length=64,
)  # fmt: skip
MODEL = tiny.model(llama.Llama(CONFIG), optimizer_def=None)
PARAMS = init(MODEL.module, seed=4)
PROMPTS = [tiny.VOCABULARY.encode(text) for text in ("red", "blue green", "a", "pink and cyan")]


def generator(**options):
    options = {"max_new_tokens": 24, **options}
    return generation.Generator(
        MODEL.module, MODEL.vocabulary, tiny.partitioner(), PARAMS, **options
    )


ANSWERS = generator().answers(PROMPTS, 4)


@pytest.mark.slow
def test_batches_change_nothing():
    drawn = {"sampling": Sampling(2.0), "seed": 5}
    expected = generator(**drawn).answers(PROMPTS, 4)
    assert expected != ANSWERS
    assert expected != generator(**{**drawn, "seed": 6}).answers(PROMPTS, 4)
    for size in (1, 3):
        done = []
        assert generator().answers(PROMPTS, size, done.append) == ANSWERS
        assert sum(done) == len(PROMPTS)
        assert generator(**drawn).answers(PROMPTS, size) == expected


def test_prompts_that_are_cut_are_counted(caplog):
    assert generator().answers([*PROMPTS[1:], 9 * PROMPTS[0] + PROMPTS[2]], 4)[:3] == ANSWERS[1:]
    assert not caplog.records
    generator().answers([*PROMPTS[1:], 99 * PROMPTS[0]], 4)
    [record] = caplog.records
    assert record.getMessage().startswith("1 of 4 prompts are cut from the left, to their last 39 ")
    answer, cut = generator().answers([99 * PROMPTS[1], (99 * PROMPTS[1])[-39:]], 2)
    assert answer == cut


def test_a_stop_string_of_several_tokens_ends_decoding_early(monkeypatch):
    steps = []
    decode = decoding.decode

    def spy(*args, **kwargs):
        generated = decode(*args, **kwargs)
        steps.append(max(map(len, generated)))
        return generated

    monkeypatch.setattr(decoding, "decode", spy)
    longest = max(ANSWERS, key=len)
    stop = longest[2:5]
    [answer] = generator(stop=[stop]).answers([PROMPTS[ANSWERS.index(longest)]], 1)
    assert answer == longest.partition(stop)[0]
    assert len(longest) == 24
    assert steps[0] < 16
    for end in (stop, longest[1]):
        expected = [whole.partition(end)[0] for whole in ANSWERS]
        assert generator(stop=[end]).answers(PROMPTS, 4) == expected


@pytest.mark.parametrize("stop", [(), ("a",), ("qz",)])
def test_streamed_parts_make_the_answer(stop):
    for number, prompt in enumerate(PROMPTS):
        parts = []
        drawn = generator(stop=stop, sampling=Sampling(1.5), seed=2)
        drawn.stream(prompt, parts.append, number)
        assert "".join(parts) == drawn.answers(PROMPTS, 4)[number]
        assert all(parts)
        assert len(parts) > 3 or stop


class Bytes:
    """A vocabulary whose tokens are bytes."""

    vocab_size = 256
    eos_ids = (0,)
    special_tokens = {"<end>": 1}

    def decode(self, ids):
        return bytes(ids).decode("utf-8", errors="replace")


def test_what_may_still_change_is_held_back():
    stop = generation.StopStrings(Bytes(), ["###", "\n\n"])
    assert stop.certain("abcdef#") == "abcde"
    assert stop.certain("abc\n\nd") == "a"  # no more than needed: the rest comes at the end
    text = "नम"
    for end in range(1, 7):
        assert text.startswith(
            generation.StopStrings(Bytes(), []).certain(Bytes().decode(text.encode()[:end]))
        )
    assert generation.StopStrings(Bytes(), []).certain("ab\ufffd") == "ab"


def test_cut_and_ids():
    stop = generation.StopStrings(Bytes(), ["b", "cd"])
    assert stop.ids == [0, ord("b")]
    assert stop.cut("acdb") == "a"
    assert stop.cut("xyz") == "xyz"
    assert not generation.StopStrings(Bytes(), []) and stop
    assert generation.StopStrings(Bytes(), []).ids == [0]


def test_special_tokens_by_their_text():
    stop = generation.StopStrings(Bytes(), ["<end>", "b"])
    assert stop.ids == [0, 1, ord("b")]
    assert stop.text([ord("a"), 1, ord("c")]) == "a"
    assert generation.StopStrings(Bytes(), []).text([ord("a"), 1, 0, 2]) == "a\x01"


def test_no_room_for_a_prompt():
    with pytest.raises(InputError, match="max_new_tokens: 64 leaves no room for a prompt"):
        generator(max_new_tokens=64)


def test_unrolled_model_answers_alike():
    params = jax.tree.map(jax.numpy.copy, PARAMS)
    module, params = decoding.unrolled(MODEL.module, params)
    assert MODEL.module.scan_layers and not module.scan_layers
    unrolled = generation.Generator(
        *(module, MODEL.vocabulary, tiny.partitioner(), params), max_new_tokens=24
    )
    assert unrolled.answers(PROMPTS, 4) == ANSWERS
