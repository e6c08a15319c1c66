"""The network without its head, one compiled layer for all.

Scanned layers are one program. Unrolled ones, which a CPU decodes faster, would be one that is many
times longer to trace, to compile, and to read where it is kept: here they are calls of one layer's.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax

from commit_t5x.model import attention, llama


def hidden(
    module: llama.Llama,
    params: Mapping[str, Any],
    cache: Mapping[str, Any],
    tokens: jax.Array,
    segment_ids: jax.Array | None = None,
    positions: jax.Array | None = None,
    *,
    decode: bool = False,
    prefill: bool = False,
    max_decode_length: int | None = None,
    last_only: bool = False,
) -> tuple[jax.Array, dict[str, Any]]:
    """Returns the hidden states, [batch, length, embed], and the new key-value cache.

    Args:
      module: the network; its dropout is off.
      params: its weights.
      cache: as the last call returned it, whose arrays are used up; {} for none.
      tokens, segment_ids, positions, decode, prefill, max_decode_length: of `Llama.hidden`.
      last_only: of the last position, [batch, 1, embed].
    """
    options = {"decode": decode, "prefill": prefill, "max_decode_length": max_decode_length}
    if module.scan_layers:
        x, cache = _whole(module, params, cache, tokens, segment_ids, positions, **options)
        return x[:, -1:] if last_only else x, cache
    rest = outer(params)
    x, context = _embed(module, rest, tokens, segment_ids, positions, **options)
    layer, caches = module.layer(), {}
    for name in (f"layers_{i}" for i in range(module.config.num_layers)):
        x, caches[name] = _layer(layer, params[name], cache.get(name, {}), x, context)
    return _norm(module, rest, x, last_only), caches


def outer(params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the weights of what is not in layers: embedding, last norm and head."""
    return {name: value for name, value in params.items() if not name.startswith("layers")}


_OPTIONS = ("decode", "prefill", "max_decode_length")


@functools.partial(jax.jit, static_argnums=0, static_argnames=_OPTIONS, donate_argnums=2)
def _whole(module, params, cache, *arrays, **options):
    variables = {"params": params} | ({"cache": cache} if cache else {})
    x, made = module.apply(
        variables, *arrays, enable_dropout=False, mutable=["cache"], method="hidden", **options
    )
    return x, made.get("cache", {})


@functools.partial(jax.jit, static_argnums=0, static_argnames=_OPTIONS)
def _embed(module, params, *arrays, **options):
    return module.apply(
        {"params": params}, *arrays, enable_dropout=False, method="embed", **options
    )


@functools.partial(jax.jit, static_argnums=0, donate_argnums=2)
def _layer(layer: llama.DecoderLayer, params, cache, x, context: attention.AttentionContext):
    variables = {"params": params} | ({"cache": cache} if cache else {})
    (x, _), made = layer.apply(variables, x, context, mutable=["cache"])
    return x, made.get("cache", {})


@functools.partial(jax.jit, static_argnums=(0, 3))
def _norm(module, params, x, last_only):
    x = x[:, -1:] if last_only else x
    return module.apply({"params": params}, x, method=lambda network, x: network.decoder_norm(x))
