"""LLaMA's forward pass in plain NumPy: one token, head and row at a time where that reads best."""

import numpy as np


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def rms_norm(x, scale, epsilon):
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + epsilon) * scale


def linear(x, weights):
    return x @ weights["kernel"] + weights.get("bias", 0.0)


def rotate(x, theta):
    """Turns x [length, heads, dim] by its positions, pairs (i, i + dim / 2)."""
    length, _, dim = x.shape
    result = np.empty_like(x)
    for position in range(length):
        for pair in range(dim // 2):
            angle = position * theta ** (-2 * pair / dim)
            a, b = x[position, :, pair], x[position, :, pair + dim // 2]
            result[position, :, pair] = a * np.cos(angle) - b * np.sin(angle)
            result[position, :, pair + dim // 2] = b * np.cos(angle) + a * np.sin(angle)
    return result


def attention(x, weights, cfg, hidden_keys, drop):
    """x [length, width]; hidden_keys: bool [length], keys that no query sees."""
    length = len(x)
    query, key, value = (
        linear(x, weights[name]).reshape(length, -1, cfg.head_dim)
        for name in ("query", "key", "value")
    )
    query, key = rotate(query, cfg.rope_theta), rotate(key, cfg.rope_theta)
    attended = np.empty((length, cfg.num_heads, cfg.head_dim))
    probabilities = np.zeros((cfg.num_heads, length, length))
    for head in range(cfg.num_heads):
        shared = head // (cfg.num_heads // cfg.num_kv_heads)
        scores = query[:, head] @ key[:, shared].T / np.sqrt(cfg.head_dim)
        for q in range(length):
            for k in range(length):
                if k > q or hidden_keys[k]:
                    scores[q, k] = -np.inf
        probabilities[head] = softmax(scores)
    probabilities = drop(probabilities)
    for head in range(cfg.num_heads):
        shared = head // (cfg.num_heads // cfg.num_kv_heads)
        attended[:, head] = probabilities[head] @ value[:, shared]
    return linear(attended.reshape(length, -1), weights["out"])


def mlp(x, weights):
    gate = linear(x, weights["wi_0"])
    return linear(gate / (1 + np.exp(-gate)) * linear(x, weights["wi_1"]), weights["wo"])


def logits(params, cfg, tokens, hidden_keys=None, drop=lambda name, row, x: x):
    """Returns the logits [batch, length, vocab] in float64.

    Args:
      params: of an unrolled network.
      cfg: LlamaConfig without rope scaling.
      tokens: [batch, length].
      hidden_keys: bool [batch, length] of forgetful masking.
      drop: (place, row, array) -> array; what dropout does at "embedding", ("attention", layer),
        ("residual", layer, 0 or 1).
    """
    result = []
    for row, ids in enumerate(tokens):
        hidden = np.zeros(len(ids), bool) if hidden_keys is None else hidden_keys[row]
        table = np.float64(params["token_embedder"]["embedding"])
        x = drop("embedding", row, table[ids])
        for layer in range(cfg.num_layers):
            w = params[f"layers_{layer}"]
            y = rms_norm(x, w["pre_self_attention_layer_norm"]["scale"], cfg.norm_eps)
            y = attention(
                y,
                w["self_attention"],
                cfg,
                hidden,
                lambda p, layer=layer, row=row: drop(("attention", layer), row, p),
            )
            x = x + drop(("residual", layer, 0), row, y)
            y = rms_norm(x, w["pre_mlp_layer_norm"]["scale"], cfg.norm_eps)
            x = x + drop(("residual", layer, 1), row, mlp(y, w["mlp"]))
        x = rms_norm(x, params["decoder_norm"]["scale"], cfg.norm_eps)
        head = table.T if cfg.tied_embeddings else params["logits_dense"]["kernel"]
        result.append(x @ head)
    return np.array(result)
