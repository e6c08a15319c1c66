"""What flows between the layers of a network, for training that compares it."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from commit_t5x.model.llama import Llama

_EMBEDDED, _LAYERS = "embedding_dropout", "layers"


def hidden_states(
    module: Llama,
    params: Any,
    tokens: jax.Array,
    segment_ids: jax.Array | None = None,
    *,
    last: int,
    dropout_rng: jax.Array | None = None,
) -> jax.Array:
    """Returns the hidden states 0 to `last`, [states, batch, length, embed].

    State 0 is what enters the first layer, embedded tokens behind their dropout; state i is what
    the i-th layer returns, and that of the last layer is normalised, as in Hugging Face's
    `output_hidden_states`. The layers above aren't computed.

    Args:
      module: the network.
      params: of it.
      tokens: int [batch, length], BOS first.
      segment_ids: int [batch, length], rising by 1, of rows in which tokens see their segment only.
      last: at most the number of layers.
      dropout_rng: None drops nothing.
    """
    layers, positions = max(last, 1), None
    if segment_ids is not None:
        places = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
        begins = segment_ids != jnp.pad(segment_ids, [(0, 0), (1, 0)])[:, :-1]
        positions = places - jax.lax.cummax(jnp.where(begins, places, 0), axis=1)
    lower = module.clone(config=dataclasses.replace(module.config, num_layers=layers))
    final, kept = lower.apply(
        {"params": _lower_params(params, layers)},
        tokens,
        segment_ids,
        positions,
        enable_dropout=dropout_rng is not None,
        rngs=None if dropout_rng is None else {"dropout": dropout_rng},
        method="hidden",
        capture_intermediates=lambda part, _: _is_kept(part.name),
        mutable=["intermediates"],
    )
    outputs = {name: value["__call__"][0] for name, value in kept["intermediates"].items()}
    states = [outputs.pop(_EMBEDDED)[None]]
    if module.scan_layers:
        states.append(outputs[_LAYERS][0])
    else:
        states += [outputs[f"{_LAYERS}_{i}"][0][None] for i in range(layers)]
    states = jnp.concatenate(states)[: last + 1]
    return states.at[last].set(final) if last == module.config.num_layers else states


def _is_kept(name: str | None) -> bool:
    return name is not None and (name == _EMBEDDED or name.partition("_")[0] == _LAYERS)


def _lower_params(params: Any, layers: int) -> dict[str, Any]:
    names = {f"{_LAYERS}_{i}" for i in range(layers)}
    params = {n: p for n, p in params.items() if n in names or not n.startswith(f"{_LAYERS}_")}
    if _LAYERS in params:
        params[_LAYERS] = jax.tree.map(lambda stacked: stacked[:layers], params[_LAYERS])
    return params
