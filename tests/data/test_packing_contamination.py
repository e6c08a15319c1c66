"""What a packed token's logits depend on, seen with the network."""

import jax.numpy as jnp
import numpy as np
import pytest
import small_llama
import tensorflow as tf

from commit_t5x.data.feature_converters import DecoderFeatureConverter
from commit_t5x.model.llama import Llama
from commit_t5x.vocabularies.seqio_vocabulary import ConfiguredVocabulary

LENGTH = 16
MIDDLE = [7, 8, 9, 10, 2]


@pytest.fixture(scope="module")
def logits():
    module = Llama(small_llama.CONFIG)
    params = small_llama.init(module)

    def apply(row):
        features = {
            name: jnp.asarray(row[f"decoder_{name}"])[None]
            for name in ("segment_ids", "positions")
            if f"decoder_{name}" in row
        }
        features = {f"decoder_{name}": value for name, value in features.items()}
        tokens = jnp.asarray(row["decoder_input_tokens"])[None]
        return np.asarray(small_llama.apply(module, params, tokens, **features))[0]

    return apply


def packed(bind, packing, *sequences):
    bind("configured.get_vocabulary.tokenizer", "samples")
    signature = dict.fromkeys(
        DecoderFeatureConverter.TASK_FEATURES, tf.TensorSpec([None], tf.int32)
    )
    rows = [{"inputs": [], "targets": tokens} for tokens in sequences]
    ds = tf.data.Dataset.from_generator(lambda: iter(rows), output_signature=signature)
    converter = DecoderFeatureConverter(packing=packing, vocabulary=ConfiguredVocabulary())
    [row] = converter(ds, {"row": LENGTH}).as_numpy_iterator()
    return row


@pytest.mark.parametrize(
    "before, after",
    [
        ([20, 21, 2], [30, 31, 32, 2]),
        pytest.param([20, 21, 2], [22, 2], marks=pytest.mark.slow),
        pytest.param([40, 2], [50, 2], marks=pytest.mark.slow),
    ],
)
def test_segments_keep_neighbours_out(bind, logits, before, after):
    alone = logits(packed(bind, "segments", MIDDLE))[: len(MIDDLE)]
    row = packed(bind, "segments", before, MIDDLE, after)
    place = len(before)
    assert row["decoder_target_tokens"][place : place + len(MIDDLE)].tolist() == MIDDLE
    np.testing.assert_allclose(logits(row)[place : place + len(MIDDLE)], alone, atol=1e-5)


def test_in_the_papers_stream_neighbours_leak_in(bind, logits):
    one, other = (
        logits(packed(bind, "stream", before, MIDDLE)) for before in ([20, 21, 2], [40, 41, 2])
    )
    after = slice(4, 4 + len(MIDDLE))  # behind BOS and the neighbour
    assert np.abs(one[after] - other[after]).max(axis=-1).min() > 1e-2
