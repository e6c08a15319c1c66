import shutil

import chat_model
import pytest
from lm_eval.api import instance
from lm_eval.models import huggingface

from commit_t5x import errors
from commit_t5x.engine import decoding
from commit_t5x.evaluation import lm_eval_model

QUESTIONS = [
    "Background:\n\nIt rains in Delhi.\n\nQuestion:Where does it rain?\n\nAnswer:",
    "पृष्ठभूमि:\n\nदिल्ली में वर्षा होती है।\n\nसवाल:वर्षा कहाँ होती है?\n\nउत्तर:",
    "Πληροφορίες ιστορικού:\n\nΒρέχει.\n\nΕρώτηση: Τι;\n\nΑπάντηση:",
    "พื้นหลัง:\n\nฝนตกที่เดลี\n\nคำถาม:ที่ไหน\n\nตอบ:",
    "hello",
    "ends in a newline\n",
    "x y z " * 20,
]
PAIRS = [
    ("It rains", " in Delhi"),
    ("It rains ", "in Delhi"),  # lm-eval moves the space over
    ("", "hello world"),
    ("वर्षा", " कहाँ होती है"),
    ("कख " * 200, "दिल्ली"),  # longer than the model
]
TEXTS = ["It rains in Delhi. " * 80, "नमस्ते", "a"]
GREEDY = {"until": ["\n"], "do_sample": False, "max_gen_toks": 24}


def requests(kind, arguments):
    return [instance.Instance(kind, {}, args, idx=i) for i, args in enumerate(arguments)]


def generate(model, texts=QUESTIONS, **options):
    return model.generate_until(
        requests("generate_until", [(text, {**GREEDY, **options}) for text in texts])
    )


def reference(tiny_model, **options):
    """lm-eval's own model on the export."""
    place = str(tiny_model.exported)
    return huggingface.HFLM(pretrained=place, device="cpu", dtype="float32", **options)


@pytest.fixture(scope="module")
def native(tiny_model):
    return lm_eval_model.CommitLM(str(tiny_model.native), batch_size=4)


def greedy(model, tokens):
    """Returns the ids that follow some tokens."""
    module, params = model._model.module, model._model.params
    [ids] = decoding.decode(module, params, [tokens], GREEDY["max_gen_toks"], eos_id=2)
    return ids


@pytest.fixture(scope="module", params=[False, True], ids=["no_bos", "bos"])
def pair(request, tiny_model):
    """Our model on the native checkpoint, and lm-eval's own on the export, fed alike."""
    ours = lm_eval_model.CommitLM(str(tiny_model.native), batch_size=4, add_bos=request.param)
    return ours, reference(tiny_model, add_bos_token=request.param)


def test_tokens_are_those_of_hf(pair):
    ours, reference = pair
    for text in QUESTIONS:
        assert ours.tok_encode(text) == reference.tok_encode(text)


def test_greedy_answers_are_those_of_hf(pair):
    ours, reference = pair
    answers = generate(ours)
    assert answers == generate(reference)
    assert len(set(answers)) == len(QUESTIONS)  # the model listens to its context


def test_loglikelihoods_are_those_of_hf(pair):
    ours, reference = pair
    mine = ours.loglikelihood(requests("loglikelihood", PAIRS))
    theirs = reference.loglikelihood(requests("loglikelihood", PAIRS))
    for (logprob, is_greedy), (expected, expected_greedy) in zip(mine, theirs, strict=True):
        assert logprob == pytest.approx(expected, abs=1e-3)
        assert is_greedy == expected_greedy


def test_rolling_loglikelihoods_are_those_of_hf(tiny_model, native):
    asked = requests("loglikelihood_rolling", [(text,) for text in TEXTS])
    mine = native.loglikelihood_rolling(asked)
    theirs = reference(tiny_model, add_bos_token=False).loglikelihood_rolling(asked)
    # The first text has 721 tokens, so that rounding adds up.
    assert mine == pytest.approx(theirs, rel=1e-6, abs=1e-3)


def test_export_gives_the_answers_of_the_checkpoint(tiny_model, native):
    exported = lm_eval_model.CommitLM(str(tiny_model.exported), batch_size=4)
    assert generate(exported) == generate(native)


def test_checkpoint_folder_is_as_good_as_the_model_directory(tiny_model, native):
    model = lm_eval_model.CommitLM(str(tiny_model.native / "checkpoint_0"), batch_size=4)
    assert generate(model) == generate(native)


def test_answers_end_at_a_stop_string(native):
    free = generate(native, until=[])
    stopped = generate(native)
    assert stopped == [text.split("\n")[0] for text in free]
    assert any("\n" in text for text in free)
    # Over several tokens, and more than one.
    [text] = generate(native, QUESTIONS[:1], until=[])
    several = [text[8:14], text[3:6]]
    assert generate(native, QUESTIONS[:1], until=several) == [text[:3]]


@pytest.mark.slow
def test_drawn_answers_follow_the_seed(tiny_model, native):
    options = {"do_sample": True, "temperature": 1.5, "top_k": 0, "top_p": 0.99, "until": []}
    drawn = generate(native, **options)
    assert all(a != b for a, b in zip(drawn, generate(native, until=[]), strict=True))
    assert generate(native, **{**options, "top_k": 1}) == generate(native, until=[])
    other = lm_eval_model.CommitLM(str(tiny_model.native), batch_size=4, seed=1)
    assert generate(other, **options) != drawn


def test_decoding_stops_at_a_newline_token(native, monkeypatch):
    lengths = []
    decode = decoding.decode

    def spy(*args, **kwargs):
        generated = decode(*args, **kwargs)
        lengths.extend(map(len, generated))
        return generated

    monkeypatch.setattr(decoding, "decode", spy)
    generate(native)
    assert min(lengths) < GREEDY["max_gen_toks"]


def test_long_contexts_are_cut_from_the_left(native):
    text = " ".join(str(i) for i in range(300))
    room = native.max_length - GREEDY["max_gen_toks"]
    tokens = native.tok_encode(text)
    assert len(tokens) > room
    expected = native.vocabulary.decode(greedy(native, tokens[-room:]))
    assert generate(native, [text], until=[]) == [expected]


def test_cut_keeps_bos(tiny_model):
    model = lm_eval_model.CommitLM(str(tiny_model.native), add_bos=True)
    assert model._cut([1, 5, 6, 7, 8], room=3) == [1, 7, 8]
    assert model._cut([1, 5, 6], room=3) == [1, 5, 6]


def test_paper_truncation_loses_as_many_tokens_as_the_context(tiny_model, native):
    paper = lm_eval_model.CommitLM(str(tiny_model.native), batch_size=4, paper_truncation=True)
    room = native.max_length - GREEDY["max_gen_toks"]
    text = "x y z " * 60
    tokens = native.tok_encode(text)
    lost = len(tokens) - room
    assert 0 < lost
    expected = native.vocabulary.decode(greedy(native, tokens[-room:])[lost:])
    assert generate(paper, [text], until=[]) == [expected]
    assert generate(paper, QUESTIONS) == generate(native, QUESTIONS)  # which all fit


def test_leading_newlines_make_an_answer_empty_unless_skipped(tiny_model, native, monkeypatch):
    newline, word = 13, native.tok_encode("Delhi")
    monkeypatch.setattr(
        decoding, "decode", lambda *args, **kwargs: [[newline, newline, *word, newline]]
    )
    assert generate(native, ["Q"]) == [""]
    model = lm_eval_model.CommitLM(str(tiny_model.native), skip_leading_newlines=True)
    assert generate(model, ["Q"]) == ["Delhi"]


def test_empty_context_starts_from_bos(native):
    assert generate(native, [""], until=[]) == [native.vocabulary.decode(greedy(native, [1]))]


def test_options_are_reported(native):
    assert native.get_model_info()["add_bos"] is False
    assert native.get_model_info()["tokenizer"].startswith("3,000 tokens ")
    assert native.tokenizer_name == "tokenizer.model"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"device": "cuda"}, "device 'cuda': set JAX_PLATFORMS instead"),
        ({"batch_size": "auto"}, "batch_size 'auto': give a positive number"),
        ({"batch_size": 0}, "batch_size 0: give a positive number"),
        ({"dtype": "int8"}, "dtype: 'int8' doesn't fit; it takes"),
        ({"tokenizer": "none.model"}, "none.model: no such tokenizer"),
    ],
)
def test_bad_arguments(tiny_model, arguments, message):
    with pytest.raises(errors.InputError, match=message):
        lm_eval_model.CommitLM(str(tiny_model.native), **arguments)


def test_no_checkpoint(tmp_path):
    with pytest.raises(errors.InputError, match="not a checkpoint of a known format"):
        lm_eval_model.CommitLM(str(tmp_path))


def test_export_without_tokenizer(tiny_model, tmp_path):
    folder = tmp_path / "export"
    shutil.copytree(tiny_model.exported, folder)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(errors.InputError, match="no tokenizer in it; name one with tokenizer=FILE"):
        lm_eval_model.CommitLM(str(folder))
    model = lm_eval_model.CommitLM(
        str(folder), tokenizer=str(tiny_model.exported / "tokenizer.model")
    )
    assert model.tok_encode("hello")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"do_sample": True, "temperature": -1.0}, "temperature: -1.0 doesn't fit"),
        ({"max_gen_toks": 256}, "max_gen_toks 256: leaves no room .* --gen_kwargs max_gen_toks=N"),
    ],
)
def test_bad_generation_options(native, options, message):
    with pytest.raises(errors.InputError, match=message):
        generate(native, ["Q"], **options)


def test_continuation_longer_than_the_model(native):
    with pytest.raises(errors.InputError, match="longer than the model's 256"):
        native.loglikelihood(requests("loglikelihood", [("a", "x " * 400)]))


def test_every_eos_of_a_chat_model_ends_an_answer(tmp_path):
    model = lm_eval_model.CommitLM(str(chat_model.write(tmp_path)))
    assert generate(model, [chat_model.PROMPT], until=[]) == [chat_model.ANSWER]
    model = lm_eval_model.CommitLM(str(chat_model.write(tmp_path / "one", lists_both=False)))
    options = {"until": [chat_model.END_OF_TURN], "max_gen_toks": 8}
    assert generate(model, [chat_model.PROMPT], **options) == [chat_model.ANSWER]
