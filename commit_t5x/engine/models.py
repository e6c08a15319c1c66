"""The model as the trainer sees it: a network, its vocabulary, its optimizer and its loss."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from commit_t5x import ranges
from commit_t5x.data import pair_features
from commit_t5x.engine import losses
from commit_t5x.engine.linear_cross_entropy import linear_cross_entropy
from commit_t5x.errors import InputError
from commit_t5x.model import lora
from commit_t5x.model.hidden_state_distance import HiddenStateDistance
from commit_t5x.model.optim import Optimizer
from commit_t5x.vocabularies import tokenizer
from commit_t5x.vocabularies.tokenizer import Tokenizer

Batch = Mapping[str, jax.Array]


class DecoderOnlyModel:
    """Wraps a decoder-only network, with T5X's name and arguments.

    Args:
      module: a network with the call signature of `commit_t5x.model.llama.Llama`, and its methods
        `hidden` and `output_kernel`.
      vocabulary: of the tokens; gives bos_id, eos_id and decoding.
      optimizer_def: e.g. `commit_t5x.model.optim.adamw(...)`, or any optax transformation. None for
        evaluation and inference.
      feature_converter_cls: makes SeqIO's feature converter, called with pack=True or False. None
        where no batches are read.
      loss_normalizing_factor: "AVERAGE_PER_SEQUENCE" or "NUM_REAL_TARGET_TOKENS"; see
        `commit_t5x.engine.losses`.
      z_loss: coefficient of the z-loss.
      loss_chunk_length: positions of each row whose logits exist at a time; None for all of them.
      hidden_state_distance: what training adds to the cross entropy; None for nothing.

    A batch maps feature names to integers [batch, length]: decoder_input_tokens,
    decoder_target_tokens, decoder_loss_weights, and for packed rows decoder_segment_ids and
    decoder_positions. For hidden_state_distance it also has the features of `pair_rows.beside`.

    Raises:
      InputError: more tokens than the network has rows, or states that it hasn't.
    """

    def __init__(
        self,
        module: nn.Module,
        vocabulary: Tokenizer,
        optimizer_def: Optimizer | optax.GradientTransformation | None = None,
        feature_converter_cls: Callable[..., Any] | None = None,
        loss_normalizing_factor: losses.NormalizingFactor = losses.AVERAGE_PER_SEQUENCE,
        z_loss: ranges.NotNegative = 0.0,
        loss_chunk_length: ranges.Positive | None = None,
        hidden_state_distance: HiddenStateDistance | None = None,
    ):
        rows = getattr(getattr(module, "config", None), "vocab_size", None)
        if rows is not None and vocabulary is not None:  # a step alone needs none
            tokenizer.check_fits(vocabulary, rows)
        self.module = module
        self.vocabulary = vocabulary
        self.optimizer_def = optimizer_def
        self.FEATURE_CONVERTER_CLS = feature_converter_cls
        self.loss_normalizing_factor = loss_normalizing_factor
        self.z_loss = z_loss
        self.loss_chunk_length = loss_chunk_length
        self.hidden_state_distance = hidden_state_distance or HiddenStateDistance()
        self.hidden_state_distance.check_layers(getattr(self.config, "num_layers", None))

    @property
    def config(self) -> Any:
        """The network's configuration, or None if it has none."""
        return getattr(self.module, "config", None)

    @property
    def lora(self) -> lora.Lora:
        """What of the network is trained; all of it where it has no low-rank factors."""
        return getattr(self.module, "lora", lora.Lora())

    def get_initial_variables(self, rng: jax.Array) -> Any:
        """Returns fresh parameters and, in the collection params_axes, their logical axes."""
        tokens = jnp.ones((1, 1), jnp.int32)  # no shape of a parameter depends on the batch's
        return self.module.init(rng, tokens, tokens, enable_dropout=False)

    def check_features(self, names: Collection[str]) -> None:
        """Raises InputError if a batch has no pairs to compare, or has some that nothing would."""
        kind = self.hidden_state_distance.kind
        has_pairs = any(name in names for name in pair_features.TASK_FEATURES)
        if kind is not None and not has_pairs:
            raise InputError(
                f"HIDDEN_STATE_DISTANCE: {kind!r} compares pairs, which this task hasn't; train on "
                "alpaca_codemix_pairs_hi or another language's, or set it to None"
            )
        if kind is None and has_pairs:
            raise InputError(
                "MIXTURE_OR_TASK_NAME: this task has pairs, and nothing would compare them; set "
                "HIDDEN_STATE_DISTANCE to l2, avgdist or cos, or train on alpaca_en"
            )

    def loss_denominator(self, batch: Batch, num_rows: jax.Array | int | None = None) -> jax.Array:
        """Returns what `loss_fn` divides by for a whole batch; see `losses.denominator`."""
        return losses.denominator(batch, self.loss_normalizing_factor, num_rows)

    def loss_fn(
        self,
        params: Any,
        batch: Batch,
        dropout_rng: jax.Array | None = None,
        denominator: jax.Array | None = None,
        frozen: Any = None,
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Returns what training minimises, and sums for the metrics.

        Args:
          params: of the network, or of it what is trained.
          batch: features [batch, length]; maybe a part of the batch that is trained on.
          dropout_rng: None drops nothing.
          denominator: of the whole batch, where `batch` is a part of it. Then the losses, their
            gradients and the sums of the parts add up to those of the whole.
          frozen: the other parameters, which have no gradients.

        Returns:
          As `cross_entropy`; with a hidden_state_distance, that is in the losses by its weight and
          beside them by itself.

        Raises:
          InputError: see `check_features`.
        """
        distance = self.hidden_state_distance
        self.check_features(batch)
        params = params if frozen is None else lora.joined(params, frozen)
        loss, sums = self.cross_entropy(params, batch, dropout_rng, denominator)
        if distance.kind is None:
            return loss, sums
        if dropout_rng is not None:
            dropout_rng = jax.random.fold_in(dropout_rng, 1)
        sides = (pair_features.of_side(batch, side) for side in pair_features.SIDES)
        found = distance(self.module, params, *sides, dropout_rng)
        loss = loss + distance.weight * found
        return loss, {**sums, "loss": loss, "hidden_state_distance": found}

    def cross_entropy(
        self,
        params: Any,
        batch: Batch,
        dropout_rng: jax.Array | None = None,
        denominator: jax.Array | None = None,
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Returns the cross entropy and sums for the metrics; an evaluation's loss.

        Args:
          params: of the network.
          batch, dropout_rng, denominator: as for `loss_fn`.

        Returns:
          The loss, and a dictionary of scalars: "loss", "z_loss", and the numbers of "correct"
          tokens (those with the largest logit, among the loss-bearing), of "loss_tokens" and of
          "tokens" (those that aren't padding).
        """
        hidden = self.module.apply(
            {"params": params},
            batch["decoder_input_tokens"],
            batch.get("decoder_segment_ids"),
            batch.get("decoder_positions"),
            enable_dropout=dropout_rng is not None,
            rngs=None if dropout_rng is None else {"dropout": dropout_rng},
            method="hidden",
        )
        kernel = self.module.apply({"params": params}, method="output_kernel")
        if denominator is None:
            denominator = self.loss_denominator(batch)
        targets, bearing = batch["decoder_target_tokens"], batch["decoder_loss_weights"] > 0
        weights = losses.token_weights(batch["decoder_loss_weights"], self.loss_normalizing_factor)
        loss, penalty, correct = linear_cross_entropy(
            hidden, kernel, targets, weights / denominator, self.z_loss, self.loss_chunk_length
        )
        sums = {
            "loss": loss,
            "z_loss": penalty,
            "correct": correct,
            "loss_tokens": jnp.sum(bearing),
            "tokens": _count_tokens(batch),
        }
        return loss, sums


def _count_tokens(batch: Batch) -> jax.Array:
    """Returns the number of tokens that aren't padding: id 0 is text in some vocabularies.

    Rows are padded at their ends, and the last token of a sequence isn't of id 0, or bears loss.
    """
    if "decoder_segment_ids" in batch:
        return jnp.sum(batch["decoder_segment_ids"] > 0)
    used = (batch["decoder_target_tokens"] != 0) | (batch["decoder_loss_weights"] > 0)
    return jnp.sum(jnp.max(used * jnp.arange(1, used.shape[1] + 1), axis=1))
