import pytest

from commit_t5x.errors import InputError
from commit_t5x.evaluation import generation_options, harness


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("max_gen_tok=4", "max_gen_tok: commit_t5x has no such option; did you mean max_gen_toks"),
        ("max_gen_toks=many", "max_gen_toks: 'many' doesn't fit; it takes a whole number"),
        ("max_gen_toks=0", "max_gen_toks: 0 doesn't fit; it takes a whole number .* 1"),
        ("temperature=-1", "temperature: -1 doesn't fit; it takes a number"),
        ("num_beams=2", "num_beams: commit_t5x has no such option"),
        ("until=", "until=: is empty; give a string"),
        ("max_tokens=4,max_gen_toks=5", "max_gen_toks and max_tokens: are the same"),
        ("temperature=0.5", "temperature=0.5: answers are the likeliest ones; .* do_sample=True"),
        ("do_sample=True,temperature=0", "temperature=0: answers are to be drawn"),
    ],
)
def test_options_of_generation_are_checked_before_anything_is_loaded(given, said):
    with pytest.raises(InputError, match=f"^--gen_kwargs {said}"):
        harness.run(tasks=["ogx_xquad_hi"], gen_kwargs=given)


def test_options_that_a_model_of_transformers_has():
    given = {"num_beams": 2, "max_tokens": 4, "until": ["\n"]}
    assert generation_options.checked("hf", given) == {
        **{"num_beams": 2, "max_gen_toks": 4, "until": ["\n"]}
    }
    with pytest.raises(InputError, match="hf has no such option; did you mean num_beams"):
        generation_options.checked("hf", {"num_beam": 2})
