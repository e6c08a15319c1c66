"""A network, a vocabulary and SeqIO tasks that are small enough for tests of the engine."""

import dataclasses
import functools
import string
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import seqio
import tensorflow as tf
from flax import linen as nn
from flax.linen import partitioning as nn_partitioning

from commit_t5x.data import feature_converters
from commit_t5x.engine import models, partitioning, utils
from commit_t5x.model import optim

VOCAB_SIZE = 32
LENGTH = 16


class TinyVocabulary(seqio.Vocabulary):
    """pad 0, bos 1, eos 2, the letters from 3 on, space and newline last."""

    _CHARACTERS = string.ascii_lowercase + " \n"

    @property
    def bos_id(self):
        return 1

    @property
    def eos_id(self):
        return 2

    @property
    def unk_id(self):
        return 0

    eos_ids = (2,)
    special_tokens = {"<eos>": 2}

    @property
    def _base_vocab_size(self):
        return 3 + len(self._CHARACTERS)

    def _encode(self, s):
        return [3 + self._CHARACTERS.index(character) for character in s]

    def _decode(self, ids):
        return "".join(self._CHARACTERS[index - 3] for index in ids if index >= 3)

    def _encode_tf(self, s):
        table = tf.constant([3 + self._CHARACTERS.find(chr(byte)) for byte in range(256)])
        return tf.gather(table, tf.cast(tf.io.decode_raw(s, tf.uint8), tf.int32))

    def _decode_tf(self, ids):
        raise NotImplementedError

    def __eq__(self, other):
        return isinstance(other, TinyVocabulary)

    __hash__ = None


VOCABULARY = TinyVocabulary()


@dataclasses.dataclass(frozen=True)
class TinyConfig:
    vocab_size: int = VOCAB_SIZE
    emb_dim: int = 8
    mlp_dim: int = 16
    max_length: int = LENGTH
    norm_eps: float = 1e-6

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


class TinyNetwork(nn.Module):
    """Predicts from a token and the mean of those so far; has T5X's logical axes."""

    config: TinyConfig = TinyConfig()
    dropout_rate: float = 0.0

    def setup(self):
        config = self.config

        def weight(name, shape, axes):
            init = nn.initializers.normal(0.3)
            return nn_partitioning.param_with_axes(
                name, init, shape, jnp.float32, axes=axes, module=self
            )

        self.embedding = weight(
            "embedding", (config.vocab_size, config.emb_dim), ("vocab", "embed")
        )
        self.wi = weight("wi", (config.emb_dim, config.mlp_dim), ("embed", "mlp"))
        self.wo = weight("wo", (config.mlp_dim, config.emb_dim), ("mlp", "embed"))
        self.head = weight("head", (config.emb_dim, config.vocab_size), ("embed", "vocab"))
        self.dropout = nn.Dropout(self.dropout_rate)

    def __call__(
        self,
        decoder_input_tokens,
        decoder_target_tokens,
        decoder_segment_ids=None,
        decoder_positions=None,
        *,
        enable_dropout=True,
    ):
        return self.hidden(decoder_input_tokens, enable_dropout=enable_dropout) @ self.head

    def hidden(self, tokens, segment_ids=None, positions=None, *, enable_dropout):
        x = self.embedding[tokens]
        counts = jnp.arange(1, x.shape[1] + 1)[:, None]
        x = x + jnp.cumsum(x, axis=1) / counts
        x = nn_partitioning.with_sharding_constraint(x, ("batch", "length", "embed"))
        return self.dropout(nn.silu(x @ self.wi), deterministic=not enable_dropout) @ self.wo

    def output_kernel(self):
        return self.head


def batch(rows: int = 8, length: int = LENGTH, seed: int = 0) -> dict[str, np.ndarray]:
    """A batch with rows of different numbers of loss-bearing tokens; the first row has none."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(3, VOCAB_SIZE, (rows, length)).astype(np.int32)
    weights = np.arange(length) < np.linspace(0, length, rows).astype(int)[:, None]
    return {
        "decoder_input_tokens": np.pad(targets, [(0, 0), (1, 0)], constant_values=1)[:, :-1],
        "decoder_target_tokens": targets,
        "decoder_loss_weights": weights.astype(np.int32),
    }


def model(network: nn.Module | None = None, **options) -> models.DecoderOnlyModel:
    """A model over the tiny network."""
    return models.DecoderOnlyModel(
        TinyNetwork() if network is None else network,
        VOCABULARY,
        **{"optimizer_def": optim.adamw(1e-2), **options},
        feature_converter_cls=functools.partial(
            feature_converters.DecoderFeatureConverter, vocabulary=VOCABULARY
        ),
    )


def partitioner(**options) -> partitioning.PjitPartitioner:
    """A partitioner over one device."""
    return partitioning.PjitPartitioner(devices=jax.devices()[:1], **options)


def dataset_config(task: str = "tiny_train", **options) -> utils.DatasetConfig:
    """The tiny training data."""
    defaults = {
        "task_feature_lengths": {"inputs": LENGTH, "targets": LENGTH, "row": LENGTH},
        "split": "train",
        "batch_size": 4,
        "shuffle": True,
        "seed": 7,
    }
    return utils.DatasetConfig(task, **{**defaults, **options})


_WORDS = ("red", "green", "blue", "cyan", "white", "black", "pink")
_TEXTS = [f"{_WORDS[i % 7]} {_WORDS[i % 5]}"[: 3 + i % 9] for i in range(60)]
_VALIDATION_TEXTS = _TEXTS[:6]


def _texts(split):
    return _TEXTS if split == "train" else _VALIDATION_TEXTS


def _tensors(split, shuffle_files, seed=None):
    return tf.data.Dataset.from_tensor_slices({"text": _texts(split)})


def _generator(split, shuffle_files, seed=None):
    def generate():
        yield from ({"text": text} for text in _texts(split))

    return tf.data.Dataset.from_generator(
        generate, output_signature={"text": tf.TensorSpec((), tf.string)}
    )


RECORDS = None  # set by the test that reads them


def write_records(path) -> None:
    """Writes the texts to a TFRecord file."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for text in _TEXTS:
            writer.write(text.encode())


def _records(split, shuffle_files, seed=None):
    return tf.data.TFRecordDataset(str(RECORDS)).map(lambda text: {"text": text})


def _broken(split, shuffle_files, seed=None):
    def generate():
        from commit_t5x.errors import InputError

        yield {"text": "red"}
        raise InputError("data.jsonl:2: not JSON; mend the line")

    return tf.data.Dataset.from_generator(
        generate, output_signature={"text": tf.TensorSpec((), tf.string)}
    )


@seqio.map_over_dataset(num_seeds=1)
def _tokenize(example, seed):
    """Letters and EOS; a stateless draw, as a mixer makes, decides where the loss begins."""
    targets = tf.concat([VOCABULARY.encode_tf(example["text"]), [2]], axis=0)
    start = tf.random.stateless_uniform((), seed, 0, 3, tf.int32)
    return {"inputs": targets[:start], "targets": targets[start:]}


_FEATURES = {
    "inputs": seqio.Feature(VOCABULARY, add_eos=False),
    "targets": seqio.Feature(VOCABULARY, add_eos=False),
}
for _name, _source in (
    ("tiny_train", _tensors),
    ("tiny_generator", _generator),
    ("tiny_records", _records),
    ("tiny_broken", _broken),
):
    seqio.TaskRegistry.add(
        _name,
        source=seqio.FunctionDataSource(_source, splits=("train", "validation")),
        preprocessors=[_tokenize],
        output_features=_FEATURES,
    )


def _questions(split, shuffle_files, seed=None):
    return tf.data.Dataset.from_tensor_slices({"inputs": _TEXTS[:5], "targets": _TEXTS[1:6]})


def _exact_match(targets, predictions):
    pairs = zip(targets, predictions, strict=True)
    return {"exact_match": float(np.mean([target == said for target, said in pairs]))}


seqio.TaskRegistry.add(
    "tiny_questions",
    source=seqio.FunctionDataSource(_questions, splits=("validation",)),
    preprocessors=[seqio.preprocessors.tokenize],
    output_features=_FEATURES,
    metric_fns=[_exact_match],
)
