import pytest
import tensorflow as tf

from commit_t5x.mixing.counts import MixCounts, counting
from commit_t5x.mixing.graph_mixer import GraphMixer
from commit_t5x.mixing.lexicon import Lexicon
from commit_t5x.mixing.mixer import CodeMixer

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
    counts = MixCounts()
    with counting(counts):
        ds = _pipeline(mixer)
    assert counts.words == 0  # nothing was read yet
    list(ds)
    mixed = [mixer.mix_with_replacements(text, (seed, 0)) for seed, text in enumerate(TEXTS)]
    assert counts.words == sum(one.words for one in mixed) == 11
    assert counts.replaced == sum(one.replaced for one in mixed)
    assert ratio < 1 or counts.replaced == 5


def test_pipelines_built_elsewhere_do_not_count():
    mixer = CodeMixer(Lexicon.from_pairs(LEXICON), 1.0)
    counts = MixCounts()
    with counting(counts):
        pass
    list(_pipeline(mixer))
    assert counts.words == counts.replaced == 0
