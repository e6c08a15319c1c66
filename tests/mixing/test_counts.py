import numpy as np
import pytest
import tensorflow as tf

from commit_t5x.errors import InputError
from commit_t5x.mixing import hit_rate
from commit_t5x.mixing.counts import Counts, counting
from commit_t5x.mixing.graph_mixer import GraphMixer
from commit_t5x.mixing.lexicon import Lexicon
from commit_t5x.mixing.mixer import CodeMixer, make_mixer

TEXTS = ["I live in new york now", "coffee, and  tea!", "", "nothing here"]
LEXICON = [("new york", "न्यूयॉर्क"), ("coffee", "कॉफ़ी"), ("tea", "चाय"), ("live", "रहना")]


def _pipeline(mixer):
    ds = tf.data.Dataset.from_tensor_slices((TEXTS, [(seed, 0) for seed in range(len(TEXTS))]))
    mix = GraphMixer(mixer)
    return ds.batch(2).map(lambda t, s: mix(t, tf.cast(s, tf.int64)), num_parallel_calls=2)


@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("calibrated", [True, False])
def test_counts_are_those_of_the_python_face(ratio, calibrated):
    mixer = CodeMixer(Lexicon.from_pairs(LEXICON), ratio, phrases=True, calibrated=calibrated)
    counts = Counts()
    with counting(counts):
        ds = _pipeline(mixer)
    assert counts.words == 0  # nothing was read yet
    list(ds)
    mixed = [mixer.mix_with_replacements(text, (seed, 0)) for seed, text in enumerate(TEXTS)]
    assert counts.words == sum(one.words for one in mixed) == 11
    assert counts.replaced == sum(one.replaced for one in mixed)
    assert counts.hits == 5
    assert ratio < 1 or counts.replaced == 5


def test_pipelines_built_elsewhere_do_not_count():
    mixer = CodeMixer(Lexicon.from_pairs(LEXICON), 1.0)
    counts = Counts()
    with counting(counts):
        pass
    list(_pipeline(mixer))
    assert counts.words == counts.replaced == 0


def _mixer(language, known="tea"):
    return CodeMixer(Lexicon.from_pairs([(known, "चाय")]), source_language=language)


def test_words_that_no_dictionary_knows_end_the_run():
    # Another task's mixer of the same mixture knows its words.
    counts, mixer, other = Counts(), _mixer("en"), _mixer("sw")
    counts._add_words(mixer, 999, 0, 0)
    counts._add_words(other, 1000, 1000, 0)
    with pytest.raises(InputError, match="DICT_DIR: of the first 1,099 words .* knows 0 "):
        counts._add_words(mixer, 100, 0, 0)


# "the" is 8.6 % of the words of the English sample; there is none in Swahili.
@pytest.mark.parametrize(
    "language, hits, said",
    [
        ("sw", 99, "99 (9.9%):"),
        ("sw", 100, ""),
        ("en", 99, "99 (9.9%), of the sample text in 'en' "),
    ],
)
def test_a_low_hit_rate_is_said_once(caplog, language, hits, said):
    counts, mixer = Counts(), _mixer(language, "the")
    for _ in range(3):
        counts._add_words(mixer, 1000, hits, hits)
    expected = f"DICT_DIR: of the first 1,000 words the dictionary knows {said}"
    assert [expected in record.getMessage() for record in caplog.records] == [True] * bool(said)


def test_a_low_hit_rate_is_far_below_that_of_the_sample(bind):
    bind("load_dictionary.directory", "samples")
    mixer = make_mixer("en", "hi", case_variants=True)
    share = hit_rate.Known(mixer).expected
    assert share > 0.6
    low = [hit_rate.Known(mixer, 1000, round(1000 * part * share)).is_low for part in (0.49, 0.51)]
    assert low == [True, False]


def _examples(counts, *, kept, cut, dropped):
    fits = np.repeat([True, True, False], [kept, cut, dropped])
    counts._add_examples(fits, np.arange(len(fits)) >= kept, "row 16")


def test_a_run_whose_examples_are_all_dropped_ends():
    counts = Counts()
    _examples(counts, kept=0, cut=0, dropped=199)
    with pytest.raises(InputError, match=r"each of the first 200 .*; raise SEQUENCE_LENGTH"):
        _examples(counts, kept=0, cut=0, dropped=1)


def test_shares_are_said_once_and_in_the_end(caplog):
    counts = Counts()
    _examples(counts, kept=100, cut=0, dropped=0)
    assert counts.summary() is None
    for _ in range(3):
        _examples(counts, kept=50, cut=40, dropped=10)
    [record] = caplog.records
    said = "of 200 examples read 40 (20.0%) cut and 10 (5.0%) dropped, as too long (row 16)"
    assert record.getMessage() == said
    assert counts.summary().startswith("of 400 examples read 120 (30.0%) cut and 30 (7.5%) dropped")


def test_a_run_whose_outputs_are_empty_ends(caplog):
    counts = Counts()
    counts._add_outputs(np.array(150 * [1] + 50 * [9]))  # EOS counts
    [record] = caplog.records
    assert "of the first 200 examples 150 (75.0%) have an empty output" in record.getMessage()
    counts._add_outputs(np.array(200 * [1]))
    assert len(caplog.records) == 1
    with pytest.raises(InputError, match=r"of the first 200 examples 200 .100.0%. have an empty"):
        Counts()._add_outputs(np.ones(200))
