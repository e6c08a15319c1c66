"""The LLaMA network, called as T5X calls its decoder-only networks."""

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.linen import partitioning as nn_partitioning

from commit_t5x import ranges
from commit_t5x.model import attention, causal_attention, layers, lora, rotary
from commit_t5x.model.llama_config import LlamaConfig, RopeScaling
from commit_t5x.model.llama_presets import PRESETS, preset
from commit_t5x.model.lora import FACTORS, Lora

__all__ = [
    "PRESETS",
    "Llama",
    "LlamaConfig",
    "RopeScaling",
    "preset",
    "unstack_layers",
]

_RESIDUAL_AXES = ("batch", "length", "embed")
# So few layers are scanned without a loop: what one keeps for its backward pass is cleared and
# copied, an eighth of a small network's step. Results are the same to the bit. Not with remat: XLA
# would keep what is to be computed anew.
_FEW_LAYERS = 4
_ALIGNMENT = 64  # of XLA's buffers on CPUs, in bytes; what lies otherwise would be copied
_REMAT_POLICIES = {
    "full": None,  # keep each layer's input only
    "minimal": jax.checkpoint_policies.save_only_these_names(layers.KEPT),
}


class DecoderLayer(nn.Module):
    """RMSNorm and attention, RMSNorm and MLP, each added to the residual stream.

    Returns (x, None): the carry and the output of a scan over layers.
    """

    config: LlamaConfig
    dtype: Any = jnp.float32
    residual_dropout_rate: float = 0.0
    attention_dropout_rate: float = 0.0
    init_stddev: float = layers.INIT_STDDEV
    lora: Lora = Lora()
    attention_kernel: causal_attention.Kernel = "xla"

    @nn.compact
    def __call__(self, x: jax.Array, context: attention.AttentionContext) -> tuple[jax.Array, None]:
        cfg = self.config
        dropout = layers.Dropout(self.residual_dropout_rate, deterministic=context.deterministic)
        x = layers.with_sharding_constraint(x, _RESIDUAL_AXES)
        y = layers.RMSNorm(cfg.norm_eps, self.dtype, name="pre_self_attention_layer_norm")(x)
        y = attention.Attention(
            num_heads=cfg.num_heads,
            num_kv_heads=cfg.num_kv_heads,
            head_dim=cfg.head_dim,
            rotary_frequencies=_frequencies(cfg),
            use_bias=cfg.attention_bias,
            dropout_rate=self.attention_dropout_rate,
            dtype=self.dtype,
            init_stddev=self.init_stddev,
            lora=self.lora,
            kernel=self.attention_kernel,
            name="self_attention",
        )(y, context)
        y = layers.with_sharding_constraint(y, _RESIDUAL_AXES)
        x = layers.with_sharding_constraint(x + dropout(y), _RESIDUAL_AXES)
        y = layers.RMSNorm(cfg.norm_eps, self.dtype, name="pre_mlp_layer_norm")(x)
        mlp = layers.MLP(
            cfg.mlp_dim, cfg.mlp_bias, self.dtype, self.init_stddev, self.lora, name="mlp"
        )
        y = mlp(y, context.deterministic)
        y = layers.with_sharding_constraint(y, _RESIDUAL_AXES)
        return layers.with_sharding_constraint(x + dropout(y), _RESIDUAL_AXES), None


class Llama(nn.Module):
    """A decoder of the LLaMA family.

    Attributes:
      config: sizes and constants; the weights' shapes follow from it alone.
      dtype: of the computation, "float32" or "bfloat16"; weights, softmax and logits are fp32.
      residual_dropout_rate: on what attention and MLP add to the residual stream.
      embedding_dropout_rate: on the embedded tokens.
      attention_dropout_rate: on the attention weights.
      forgetful_mask_max_ratio: see `attention.forgetful_mask`; 0 turns it off.
      scan_layers: one compiled layer for all; weights and cache then have a leading `layers` axis.
        Otherwise layer i is named `layers_i`.
      remat_policy: what the backward pass recomputes: "none", "minimal" (all but linear layers) or
        "full" (all but the layers' inputs).
      init_stddev: of the layers' new kernels. 0.02 is about 1 / sqrt(width) for widths in
        the thousands; a narrow network may want more.
      lora: low-rank factors over weights that aren't trained; by default there are none.
      attention_kernel: see `causal_attention.attend`.

    Raises:
      InputError: by use, for factors that don't fit the network.

    Example:
      >>> module = Llama(preset("debug"))
      >>> tokens = jnp.ones((2, 8), jnp.int32)
      >>> variables = module.init(jax.random.key(0), tokens, tokens, enable_dropout=False)
      >>> module.apply({"params": variables["params"]}, tokens, tokens, enable_dropout=False).shape
      (2, 8, 32000)
    """

    config: LlamaConfig
    dtype: ranges.Dtype = "float32"
    residual_dropout_rate: ranges.ShareBelowOne = 0.0
    embedding_dropout_rate: ranges.ShareBelowOne = 0.0
    attention_dropout_rate: ranges.ShareBelowOne = 0.0
    forgetful_mask_max_ratio: ranges.Share = 0.0
    scan_layers: bool = True
    remat_policy: Literal["none", "minimal", "full"] = "none"
    init_stddev: ranges.PositiveNumber = layers.INIT_STDDEV
    lora: Lora = Lora()
    attention_kernel: causal_attention.Kernel = "xla"

    def setup(self):
        cfg, dtype = self.config, jnp.dtype(self.dtype)
        self.lora.check_targets(cfg.tied_embeddings)
        self.token_embedder = layers.Embed(cfg.vocab_size, cfg.emb_dim, dtype, self.lora)
        self.embedding_dropout = layers.Dropout(self.embedding_dropout_rate)
        layer, options = self._layer_class(), self._layer_options()
        if self.scan_layers:
            is_short = cfg.num_layers <= _FEW_LAYERS and self.remat_policy == "none"
            scanned = nn_partitioning.scan_with_axes(
                layer,
                variable_axes={"params": 0, "cache": 0, "intermediates": 0},
                split_rngs={"params": True, "dropout": True},
                in_axes=nn.broadcast,
                length=cfg.num_layers,
                unroll=cfg.num_layers if is_short else 1,
                axis_name="layers",
                axes_collections=("params", "cache"),
            )
            if not self.is_initializing():  # new weights stay in fp32
                scanned = nn.map_variables(scanned, "params", _cast_kernels(dtype))
            self.layers = scanned(**options)
        else:
            self.layers = [layer(**options) for _ in range(cfg.num_layers)]
        self.decoder_norm = layers.RMSNorm(cfg.norm_eps, dtype)
        if not cfg.tied_embeddings:
            options = {"dtype": dtype, "out_dtype": jnp.float32, "lora": self.lora}
            self.logits_dense = layers.Linear(cfg.vocab_size, ("embed", "vocab"), **options)

    @nn.nowrap
    def layer(self) -> DecoderLayer:
        """Returns one layer by itself, to be applied to the weights of any."""
        return DecoderLayer(**self._layer_options())

    @nn.nowrap
    def _layer_options(self) -> dict[str, Any]:
        return dict(
            config=self.config,
            dtype=jnp.dtype(self.dtype),
            residual_dropout_rate=self.residual_dropout_rate,
            attention_dropout_rate=self.attention_dropout_rate,
            init_stddev=self.init_stddev,
            lora=self.lora,
            attention_kernel=self.attention_kernel,
        )

    def _layer_class(self) -> type[nn.Module]:
        if self.remat_policy == "none":
            return DecoderLayer
        return nn_partitioning.remat(
            DecoderLayer,
            policy=_REMAT_POLICIES[self.remat_policy],
            prevent_cse=not self.scan_layers,
        )

    def __call__(
        self,
        decoder_input_tokens: jax.Array,
        decoder_target_tokens: jax.Array | None = None,
        decoder_segment_ids: jax.Array | None = None,
        decoder_positions: jax.Array | None = None,
        decoder_causal_attention: jax.Array | None = None,
        *,
        enable_dropout: bool = True,
        decode: bool = False,
        max_decode_length: int | None = None,
        prefill: bool = False,
        prefill_lengths: jax.Array | None = None,
    ) -> jax.Array:
        """Returns the logits of the next token, fp32 [batch, length, vocab].

        Padding on the right needs no mask, as causal queries never see it.

        Args:
          decoder_input_tokens: int [batch, length], shifted right: BOS first.
          decoder_target_tokens: unused; T5X passes it.
          decoder_segment_ids: int [batch, length] of packed rows; tokens see their segment only.
          decoder_positions: int [batch, length]; counted along the row by default.
          decoder_causal_attention: int [batch, length], 1 over a bidirectional prefix.
          enable_dropout: for training; needs an rng named `dropout` where a rate is not 0.
          decode: the first call, on rows of full length, creates the empty cache; later calls, on
            rows of length 1, append a token to it, or, with decoder_positions, several (those at
            negative positions are padding). The collection `cache` must be mutable.
          max_decode_length: length of a cache that this call creates; that of the row by default.
          prefill: fills the cache from the row's start, creating it where there is none.
          prefill_lengths: int [batch]; tokens of each row that count, the whole row by default.
            Decoding goes on behind them. Rows padded on the left need none; they have
            decoder_segment_ids and, here and in each step, decoder_positions.
        """
        hidden = self.hidden(
            decoder_input_tokens,
            decoder_segment_ids,
            decoder_positions,
            decoder_causal_attention,
            enable_dropout=enable_dropout,
            decode=decode,
            max_decode_length=max_decode_length,
            prefill=prefill,
            prefill_lengths=prefill_lengths,
        )
        return self.logits(hidden)

    def hidden(self, *inputs: jax.Array | None, **options: Any) -> jax.Array:
        """Returns what `logits` takes, [batch, length, embed]; arguments are those of `embed`."""
        x, context = self.embed(*inputs, **options)
        for layer in [self.layers] if self.scan_layers else self.layers:
            x, _ = layer(x, context)
        return self.decoder_norm(x)

    def embed(
        self,
        tokens: jax.Array,
        segment_ids: jax.Array | None = None,
        positions: jax.Array | None = None,
        causal_attention: jax.Array | None = None,
        *,
        enable_dropout: bool,
        decode: bool = False,
        max_decode_length: int | None = None,
        prefill: bool = False,
        prefill_lengths: jax.Array | None = None,
    ) -> tuple[jax.Array, attention.AttentionContext]:
        """Returns what the first layer takes, [batch, length, embed], and what all layers share.

        Arguments are those of __call__.
        """
        batch, length = tokens.shape
        if prefill and decode:
            raise ValueError("prefill and decode exclude each other")
        step_positions = positions if decode else None
        if positions is None:
            positions = jnp.arange(length)[None]
        mask = attention.decoder_mask(length, segment_ids, causal_attention)
        if enable_dropout and self.forgetful_mask_max_ratio > 0.0:
            mask = mask & attention.forgetful_mask(
                self.make_rng("dropout"), batch, length, self.forgetful_mask_max_ratio, segment_ids
            )
        context = attention.AttentionContext(
            mask=mask,
            rotary_table=rotary.table(positions, jnp.float32(_frequencies(self.config))),
            positions=step_positions,
            prefill_lengths=prefill_lengths,
            is_causal=causal_attention is None,
            deterministic=not enable_dropout,
            decode=decode,
            prefill=prefill,
            max_decode_length=max_decode_length,
        )
        x = self.token_embedder(tokens.astype(jnp.int32))
        x = layers.with_sharding_constraint(x, _RESIDUAL_AXES)
        return self.embedding_dropout(x, deterministic=not enable_dropout), context

    def logits(self, hidden: jax.Array) -> jax.Array:
        """Returns fp32 logits [..., vocab] of the final hidden states [..., embed]."""
        head = self.token_embedder.attend if self.config.tied_embeddings else self.logits_dense
        return head(hidden)

    def output_kernel(self) -> jax.Array:
        """Returns the head's weights, fp32 [embed, vocab]: `logits` are the product with them."""
        if self.config.tied_embeddings:
            return self.token_embedder.table().T
        weights = self.logits_dense.variables["params"]
        kernel, *factors = (weights.get(name) for name in ("kernel", lora.SCALE, *FACTORS))
        return lora.merged(kernel, *factors, self.lora.scaling)


def _cast_kernels(dtype: Any) -> Callable[[Any], Any]:
    """Returns what casts the kernels and factors of all layers at once.

    Cast in the scanned layer, the backward loop would stack fp32 gradients of what was bf16. What
    is kept in less has none, and stays so: all layers of it would be wide at once.
    """

    def cast(path, leaf):
        wide = path[-1].key in ("kernel", *FACTORS) and leaf.dtype == jnp.float32
        return leaf.astype(dtype) if wide else leaf

    return functools.partial(jax.tree_util.tree_map_with_path, cast)


def _frequencies(cfg: LlamaConfig) -> tuple[float, ...]:
    return tuple(rotary.frequencies(cfg.head_dim, cfg.rope_theta, cfg.rope_scaling).tolist())


def unstack_layers(params: dict[str, Any], consume: bool = False) -> dict[str, Any]:
    """Turns weights of a scanned network into those of an unrolled one: layers -> layers_0, ...

    Args:
      params: of the scanned network.
      consume: take the stacked weights out of `params`, so that each is freed once it is sliced,
        unless someone else holds it.
    """
    rest = params if consume else dict(params)
    leaves, structure = jax.tree.flatten(rest.pop("layers"))
    slices = []
    while leaves:
        slices.append(jax.block_until_ready(_unstacked(leaves.pop(0))))
    layers_ = map(structure.unflatten, zip(*slices, strict=True))
    return rest | {f"layers_{i}": layer for i, layer in enumerate(layers_)}


def _unstacked(stacked: Any) -> list[Any]:
    if isinstance(stacked, jax.Array) and len(stacked.devices()) == 1:
        (device,) = stacked.devices()
        aligned = stacked.nbytes // len(stacked) % _ALIGNMENT == 0
        if device.platform == "cpu" and aligned:  # the same memory, no program for each shape
            # Committed only if the stacked one is: else the first layer, behind uncommitted
            # embeddings, would be a program of its own.
            place = device if stacked.committed else None
            return [jax.device_put(layer, place) for layer in np.asarray(stacked)]
    return [stacked[i] for i in range(len(stacked))]
