import json

import chat_model
import numpy as np
import pytest
import torch
import transformers

import commit_t5x
from commit_t5x.errors import InputError
from commit_t5x.vocabularies import configured


@pytest.fixture(scope="module", params=["native", "exported"])
def model(request, tiny_model):
    return commit_t5x.load(getattr(tiny_model, request.param))


@pytest.fixture(scope="module")
def theirs(tiny_model):
    return transformers.AutoModelForCausalLM.from_pretrained(tiny_model.exported)


PROMPTS = ["Tea grows in", "The river, wide and slow,"]


def test_answers_are_those_of_transformers(model, theirs):
    expected = []
    for prompt in PROMPTS:
        ids = [model.tokenizer.bos_id, *model.tokenizer.encode(prompt)]
        options = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
        found = theirs.generate(torch.tensor([ids]), **options)[0, len(ids) :]
        expected.append(model.tokenizer.decode(found.tolist()))
    assert len(set(expected)) == 2
    assert model.generate(PROMPTS, max_new_tokens=6, batch_size=2) == expected
    cut = model.generate(PROMPTS, max_new_tokens=6, stop=[expected[0][1]])
    assert cut[0] == expected[0][:1]


def test_scores_are_those_of_transformers(model, theirs):
    pairs = [("Tea grows in", " Assam and in Sri Lanka"), ("", "Tea"), ("a", "bc")]
    for pair, score in zip(pairs, model.loglikelihood(pairs, batch_size=2), strict=True):
        ids = [model.tokenizer.bos_id, *model.tokenizer.encode("".join(pair))]
        starts = model.tokenizer.encode_batch(["".join(pair).encode()])[1]
        scored = int(np.sum(starts >= len(pair[0])))
        assert scored
        with torch.no_grad():
            logprobs = theirs(torch.tensor([ids])).logits[0].log_softmax(-1)
        expected = [logprobs[place - 1, ids[place]].item() for place in range(-scored, 0)]
        assert score.logprob == pytest.approx(sum(expected), rel=1e-4)


def test_a_saved_model_is_the_same_with_its_tokenizer(model, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    again = commit_t5x.load(tmp_path / "saved")
    assert again.config == model.config
    assert again.generate(PROMPTS, max_new_tokens=4) == model.generate(PROMPTS, max_new_tokens=4)
    transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    with pytest.raises(InputError, match="exists already"):
        model.save_pretrained(tmp_path / "saved")


def test_bad_input(tiny_model, tmp_path):
    model = commit_t5x.load(tiny_model.native)
    with pytest.raises(InputError, match=r"prompts: 'Tea' doesn't fit; .* e.g. \('Tea',\)"):
        model.generate("Tea")
    with pytest.raises(InputError, match="continuation '': has no token of its own"):
        model.loglikelihood([("Tea", "")])
    with pytest.raises(InputError, match="dtype 'float16': use float32 or bfloat16"):
        commit_t5x.load(tiny_model.native, dtype="float16")
    with pytest.raises(InputError, match="nowhere: no such file or directory"):
        commit_t5x.load(tmp_path / "nowhere")
    with pytest.raises(InputError, match="gone.model: no such tokenizer"):
        commit_t5x.load(tiny_model.native, tokenizer="gone.model")


def test_a_tokenizer_of_more_tokens_than_the_network_has_is_refused(tiny_model, tmp_path):
    model = commit_t5x.load(tiny_model.exported)
    model.save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / "tokenizer.model"
    if path.exists():
        path.unlink()  # tokenizer.json is left
    tokenizer = json.loads((tmp_path / "model" / "tokenizer.json").read_text(encoding="utf-8"))
    added = {"id": configured.load(tmp_path / "model").vocab_size, "content": "<more>"}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    tokenizer["added_tokens"].append({**added, **flags, "special": True})
    (tmp_path / "model" / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(InputError, match="tokenizer has 3,001 tokens, the network 3,000 rows"):
        commit_t5x.load(tmp_path / "model")


def test_an_answer_ends_at_every_eos_of_a_chat_model(tmp_path):
    exported = chat_model.write(tmp_path)
    commit_t5x.convert(exported, tmp_path / "native", to="native")
    tokenizer = transformers.AutoTokenizer.from_pretrained(exported)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(exported)
    prompt = tokenizer(chat_model.PROMPT, return_tensors="pt")
    [ids] = theirs.generate(**prompt, max_new_tokens=8, do_sample=False, pad_token_id=0)
    answer = tokenizer.decode(ids[prompt.input_ids.shape[1] :], skip_special_tokens=True)
    assert answer == chat_model.ANSWER
    for path in (exported, tmp_path / "native"):
        answers = commit_t5x.load(path).generate([chat_model.PROMPT], max_new_tokens=8)
        assert answers == [chat_model.ANSWER]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stop": "\n\n"}, "stop: "),
        ({"batch_size": 0}, "batch_size: 0 "),
        ({"max_new_tokens": 2.5}, "max_new_tokens: 2.5 "),
        ({"max_new_tokens": 0}, "max_new_tokens: 0 "),
        ({"seed": -1}, "seed: -1 "),
        ({"add_bos": "no"}, "add_bos: 'no' "),
    ],
)
def test_options_that_do_not_fit(model, options, message):
    with pytest.raises(InputError, match=f"{message}.*doesn't fit; it takes"):
        model.generate(["Tea"], **options)
