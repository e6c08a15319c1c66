"""T5X, with this project's loss, data and checkpoints: what gin/engines/t5x/ binds.

T5X's own binaries run these. Batches, losses, initial weights and random numbers are the native
engine's, so a run can change engines at any checkpoint. docs/t5x.md tells how to install T5X.
"""

import functools
import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
import seqio
from clu import metric_writers
from clu import metrics as clu_metrics
from flax import linen as nn
from t5x import decoding, gin_utils, metrics, optimizers, trainer, utils
from t5x import models as t5x_models

from commit_t5x import disk, ranges
from commit_t5x.engine import adapters, checkpoints, losses, model_files, models, restoring
from commit_t5x.engine.sampling import Sampling
from commit_t5x.errors import InputError
from commit_t5x.model.hidden_state_distance import HiddenStateDistance
from commit_t5x.model.lora import Lora
from commit_t5x.model.optim import Optimizer
from commit_t5x.t5x_adapter import data, states
from commit_t5x.vocabularies.tokenizer import Tokenizer

# What the loss of the whole batch is divided by, [batch, 1]: a feature, so that each microbatch
# gets it along with its rows.
_DENOMINATOR = "loss_denominator"


class DecoderOnlyModel(t5x_models.DecoderOnlyModel):
    """T5X's model with the native engine's loss and metrics.

    Under T5X's own model, too, the network trains, scores and answers. But T5X means something else
    by AVERAGE_PER_SEQUENCE, and makes all logits of a batch at once.

    Args:
      module, vocabulary, feature_converter_cls, loss_normalizing_factor, z_loss,
        loss_chunk_length, hidden_state_distance: as in `commit_t5x.engine.models.DecoderOnlyModel`.
      optimizer_def: an optax transformation, such as `optim.adamw` makes.
      decode_fn: see `decode_fn` below.

    Where T5X's train state has flax_mutables, these are the weights that low-rank factors leave as
    they are; see `states`.
    """

    def __init__(
        self,
        module: nn.Module,
        vocabulary: seqio.Vocabulary,
        optimizer_def: Optimizer | optax.GradientTransformation | None = None,
        feature_converter_cls: Callable[..., seqio.FeatureConverter] | None = None,
        decode_fn: Callable = decoding.temperature_sample,
        loss_normalizing_factor: losses.NormalizingFactor = losses.AVERAGE_PER_SEQUENCE,
        z_loss: ranges.NotNegative = 0.0,
        loss_chunk_length: ranges.Positive | None = None,
        hidden_state_distance: HiddenStateDistance | None = None,
    ):
        super().__init__(
            module,
            vocabulary,
            None if optimizer_def is None else _wrapped(optimizer_def),
            decode_fn=decode_fn,
            feature_converter_cls=feature_converter_cls,
        )
        self._engine_model = models.DecoderOnlyModel(
            module,
            vocabulary,
            loss_normalizing_factor=loss_normalizing_factor,
            z_loss=z_loss,
            loss_chunk_length=loss_chunk_length,
            hidden_state_distance=hidden_state_distance,
        )

    @property
    def hidden_state_distance(self) -> HiddenStateDistance:
        """What training adds to the cross entropy."""
        return self._engine_model.hidden_state_distance

    def get_initial_variables(self, rng, input_shapes, input_types=None):
        """Returns the native engine's parameters of the same key."""
        variables = self._engine_model.get_initial_variables(rng)
        return states.collections(variables, self._engine_model.lora)

    def with_denominator(self, batch: models.Batch) -> dict[str, jax.Array]:
        """Returns a whole batch from which `loss_fn` may be given some rows at a time."""
        rows = len(batch["decoder_target_tokens"])
        denominator = self._engine_model.loss_denominator(batch)
        return {**batch, _DENOMINATOR: jnp.broadcast_to(denominator, (rows, 1))}

    def loss_fn(self, params, batch, dropout_rng, flax_mutables=None):
        """Returns the loss, and T5X's metrics under the native engine's names."""
        loss, sums = self._engine_model.loss_fn(
            states.joined(params, flax_mutables), batch, dropout_rng, batch.get(_DENOMINATOR)
        )
        per_step = {*sums} - {"correct"}
        found = {
            **{name: metrics.AveragePerStep(total=sums[name]) for name in per_step},
            "accuracy": clu_metrics.Average(total=sums["correct"], count=sums["loss_tokens"]),
            "tokens_per_second": metrics.TimeRate.from_model_output(numerator=sums["tokens"]),
            "steps_per_second": metrics.StepsPerTime.from_model_output(),
        }
        return loss, found if flax_mutables is None else (found, flax_mutables)

    def eval_fn(self, params, batch, flax_mutables=None):
        """Returns loss and metrics that average over an evaluation's batches as over one."""
        params, one = states.joined(params, flax_mutables), jnp.ones((), jnp.float32)
        loss, sums = self._engine_model.cross_entropy(params, batch, None, one)
        num_rows = jnp.sum(jnp.any(batch["decoder_target_tokens"] != 0, axis=-1))
        count = self._engine_model.loss_denominator(batch, num_rows)
        return loss / count, {
            "loss": clu_metrics.Average(total=loss, count=count),
            "z_loss": clu_metrics.Average(total=sums["z_loss"], count=count),
            "accuracy": clu_metrics.Average(total=sums["correct"], count=sums["loss_tokens"]),
        }

    def score_batch(self, params, batch, return_intermediates=False, flax_mutables=None):
        """Returns T5X's scores."""
        params = states.joined(params, flax_mutables)
        return super().score_batch(params, batch, return_intermediates)

    def predict_batch(self, params, batch, rng=None, flax_mutables=None):
        """Returns the answers of `predict_batch_with_aux` alone."""
        return self.predict_batch_with_aux(params, batch, rng, flax_mutables=flax_mutables)[0]

    def predict_batch_with_aux(self, params, batch, rng=None, *, flax_mutables=None, **options):
        """Returns T5X's answers, in which EOS stands for the padding behind an answer.

        T5X pads with 0, which its vocabularies leave out of a text; LLaMA's tokenizer writes it.
        """
        params = states.joined(params, flax_mutables)
        tokens, aux = super().predict_batch_with_aux(params, batch, rng, **options)
        places = jnp.arange(tokens.shape[-1])
        ends = jnp.max(jnp.where(tokens != 0, places + 1, 0), axis=-1, keepdims=True)
        return jnp.where(places < ends, tokens, self.output_vocabulary.eos_id), aux


def _wrapped(optimizer: Any) -> optimizers.OptaxWrapper:
    """Returns T5X's optimizer of one of optax, of Adafactor as well.

    T5X's table of states lacks that one's: its sums of rows and columns are small, and each device
    has all of them.
    """
    optimizers.OptaxStatePartitionRules._RULES.setdefault(
        optax.FactoredState, lambda state, _: jax.tree.map(lambda _: None, state)
    )
    return optimizers.OptaxWrapper(optimizer)


class Trainer(trainer.Trainer):
    """T5X's trainer, for which microbatches leave loss and gradients as they are.

    T5X's own adds up the losses of the microbatches, each divided by what belongs to itself.

    Args:
      num_microbatches: as in T5X.
      learning_rate_fn: for the metrics; by default the optimizer's own schedule.
      **options: T5X's.
    """

    def __init__(
        self,
        num_microbatches: ranges.Positive | None = None,
        learning_rate_fn: optax.Schedule | None = None,
        **options: Any,
    ):
        options["model"].hidden_state_distance.check_microbatches(num_microbatches)
        optimizer = options["model"].optimizer_def
        if learning_rate_fn is None and optimizer is not None:
            unknown = optax.constant_schedule(jnp.nan)
            learning_rate_fn = getattr(optimizer.optax_optimizer, "learning_rate", unknown)
        super().__init__(
            num_microbatches=num_microbatches, learning_rate_fn=learning_rate_fn, **options
        )

    @functools.cached_property
    def _partitioned_train_step(self):
        def train_step(state, batch):
            grads, sums, frozen = trainer.accumulate_grads_microbatched(
                self._model,
                state,
                self._model.with_denominator(batch),
                self._get_step_rng(state.step),
                self._num_microbatches,
                self._partitioner.data_partition_spec,
            )
            state, sums = trainer.apply_grads(
                state,
                grads,
                sums,
                self._learning_rate_fn(state.step),
                self._weight_metrics_computer,
                {"flax_mutables": frozen} if frozen else None,
            )
            sums["grad_norm"] = metrics.AveragePerStep(total=optax.tree.norm(grads))
            sums["param_norm"] = metrics.AveragePerStep(total=optax.tree.norm(state.params))
            return state, sums

        axes = self._train_state_axes
        return self._partitioner.partition(
            train_step,
            in_axis_resources=(axes, self._partitioner.data_partition_spec),
            out_axis_resources=(axes, None),
            donate_argnums=(0,),
        )


def decode_fn(
    temperature: ranges.NotNegative = 0.0,
    top_k: ranges.Positive | None = None,
    top_p: ranges.PositiveShare = 1.0,
    max_new_tokens: ranges.Positive | None = None,
    seed: ranges.Seed = 0,
) -> Callable:
    """Returns T5X's `temperature_sample` with the native engine's options.

    Raises:
      InputError: a value is out of range, or T5X can't combine them.
    """
    Sampling(temperature, top_k, top_p)  # checks them
    if top_k is not None and top_p < 1:
        raise InputError("TOP_K, TOP_P: T5X takes one of the two; leave the other at its default")
    topp = top_p if top_p < 1 else 0.0
    # T5X counts them on from the prompt's tokens that aren't 0, and takes BOS for a 0.
    steps = None if max_new_tokens is None else max_new_tokens - 1

    def decode(*, decode_rng: jax.Array | None = None, **arguments: Any):
        return decoding.temperature_sample(
            decode_rng=jax.random.fold_in(
                jax.random.PRNGKey(0) if decode_rng is None else decode_rng, seed
            ),
            temperature=temperature,
            topk=top_k or 0,
            topp=topp,
            max_decode_steps=steps,
            **arguments,
        )

    return decode


def checkpoint(
    path: ranges.Path | None, module: nn.Module, vocabulary: Any = None, **options: Any
) -> utils.RestoreCheckpointConfig | None:
    """Returns what makes T5X evaluate a checkpoint, or answer with it; None where there is no path.

    Args:
      path: a model directory, for its latest checkpoint, or a checkpoint_N folder; in the cloud,
        such a folder.
      module, vocabulary: the network, whose configuration is compared with the checkpoint's, and
        its tokenizer, which is, too; None isn't.
      **options: T5X's.

    Raises:
      InputError: there is no checkpoint, or it is of another network or tokenizer.
    """
    if path is None:
        return None
    if "://" not in path:
        folder = checkpoints.find(path).absolute()
        model_files.check_config(folder.parent, module.config)
        restoring.check_tokenizer(folder.parent, vocabulary)
        path = str(folder)
        reader = functools.partial(states.WeightReader, module=module)
        options = {"checkpoint_manager_cls": reader, **options}
    return utils.RestoreCheckpointConfig(path=path, mode="specific", dtype="float32", **options)


def initial_weights(
    path: ranges.Path | None, module: nn.Module, vocabulary: Any = None
) -> utils.RestoreCheckpointConfig | None:
    """Returns what makes T5X start from weights in the cloud: steps and the optimizer begin anew.

    Where they lie on this machine, `states.TrainStateInitializer` starts from them, if they fit.

    Raises:
      InputError: as `checkpoint`; or low-rank factors without weights on this machine.
    """
    options = getattr(module, "lora", Lora())
    if options.rank is not None:  # said here, as T5X builds the data before it asks for weights
        if path is None:
            adapters.describe(options, path)
        disk.check_local(path)
    found = checkpoint(
        *(path, module, vocabulary),
        state_transformation_fns=[_weights_alone],
        fallback_to_scratch=True,
    )
    return found if found is not None and "://" in found.path else None


def _weights_alone(
    saved: Mapping[str, Any], wanted: Mapping[str, Any], *, is_resuming: bool = False
) -> Mapping[str, Any]:
    return saved if is_resuming else {"target": saved["target"]}


def checkpoint_period(period: ranges.Positive | None, total_steps: ranges.Positive) -> int:
    """Returns the steps between checkpoints; without a period, the last step's is the only one."""
    return total_steps if period is None else period


def summarize_config(
    model_dir: str,
    summary_writer: metric_writers.MetricWriter | None,
    step: int,
    *,
    module: nn.Module,
    vocabulary: Tokenizer | seqio.Vocabulary,
) -> None:
    """Writes config.gin, and beside it the network's configuration and the tokenizer.

    Raises:
      InputError: no export could hold the tokenizer.
    """
    tokenizer = getattr(vocabulary, "tokenizer", vocabulary)  # a vocabulary's, or by itself
    if isinstance(tokenizer, Tokenizer):
        tokenizer.check_exportable()
    gin_utils.summarize_gin_config(model_dir, summary_writer, step)
    if jax.process_index() == 0:
        with tempfile.TemporaryDirectory() as aside:
            folder = pathlib.Path(aside)
            model_files.write(folder, module.config, tokenizer)
            data.copy_files(folder, model_dir)
