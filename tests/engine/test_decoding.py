import dataclasses
import functools
import json
import pathlib
import subprocess
import sys
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers
from small_llama import CONFIG, apply, init, random_tokens

from commit_t5x.conversion import hf
from commit_t5x.engine import decoding, layerwise, prefilling
from commit_t5x.engine.sampling import Sampling
from commit_t5x.errors import InputError
from commit_t5x.model import llama
from commit_t5x.model.llama import Llama, RopeScaling

MODULE = Llama(CONFIG)
PARAMS = init(MODULE)
PROMPTS = [[1, 5, 6, 7, 8], [1], [1, *range(20)]]
NO_EOS = 0  # never the likeliest token in these tests; asserted


def naive(prompt, stop_ids, steps, module=MODULE, params=PARAMS):
    """Full passes over rows of one length; what is right of the last token does not matter."""
    tokens = np.zeros((1, 48), np.int32)
    tokens[0, : len(prompt)] = prompt
    generated = []
    for position in range(len(prompt), len(prompt) + steps):
        logits = apply(module, params, tokens)[0, position - 1]
        generated.append(int(np.argmax(logits)))
        if generated[-1] in stop_ids:
            break
        tokens[0, position] = generated[-1]
    return generated


@functools.cache
def by_full_passes():
    """Twenty tokens behind each of the prompts; computed by the worker that runs these tests."""
    return [naive(prompt, [], 20) for prompt in PROMPTS]


def test_ragged_prompts_decode_as_by_full_passes():
    assert NO_EOS not in sum(by_full_passes(), [])
    assert len({tuple(row) for row in by_full_passes()}) == 3
    assert decoding.decode(MODULE, PARAMS, PROMPTS, 20, NO_EOS) == by_full_passes()


FIRST, SECOND = [1, *range(2, 30)], [1, *range(30, 10, -1)]


def test_what_prompts_share_is_computed_once(passes):
    prompts = [[*FIRST, 7], [*SECOND, 8, 9], [*FIRST, 9, 4, 3], [*SECOND, 2]]
    prompts += [[*FIRST, 11, 4], FIRST, [*SECOND, 5, 5], [*FIRST, 3]]
    found = decoding.decode(MODULE, PARAMS, prompts, 12, NO_EOS)
    assert passes == [(2, 32), (8, 16)]
    assert found == [naive(prompt, [NO_EOS], 12) for prompt in prompts]
    # Where less than half is common, or rows are few, it doesn't pay.
    begun = [row[:12] for row in by_full_passes()]
    assert decoding.decode(MODULE, PARAMS, PROMPTS, 12, NO_EOS) == begun
    assert passes[2:] == [(3, 24)]


@pytest.mark.parametrize("scan_layers", [pytest.param(True, marks=pytest.mark.slow), False])
def test_what_the_last_prompts_began_with_is_kept_for_the_next(scan_layers, passes):
    module, params = MODULE, PARAMS
    if not scan_layers:
        module, params = decoding.unrolled(MODULE, dict(PARAMS))
    kept = prefilling.Prefix()
    for batch, sizes in (
        # A prompt alone is kept as it is; others begin with all of it but the end, or with less.
        ([[*FIRST, 7, 8]], [(1, 32)]),
        ([[*FIRST, 7, 9, 9]], [(1, 16)]),
        ([[*FIRST[:20], 3]], [(1, 16)]),
        # Some behind what is kept, some behind what is new, which is kept from then on.
        ([[*FIRST, 2], [*FIRST, 3, 3], [*SECOND, 8, 9], [*SECOND, 2]], [(1, 24), (4, 16)]),
        ([[*SECOND, 2, 2, 2]] * 4, [(4, 16)]),
        ([[*FIRST, 3]] * 4, [(1, 32), (4, 16)]),
        # Nothing in common.
        ([PROMPTS[0]], [(1, 16)]),
        ([[*FIRST, 3]], [(1, 32)]),
    ):
        del passes[:]
        found = decoding.decode(module, params, batch, 4, NO_EOS, kept=kept)
        assert found == [naive(prompt, [NO_EOS], 4) for prompt in batch]
        assert passes == sizes


def test_unrolled_network_copies_no_weights():
    given = jax.tree.map(jnp.copy, PARAMS)
    stacked = given["layers"]["mlp"]["wo"]["kernel"]
    module, params = decoding.unrolled(MODULE, given)
    assert not module.scan_layers
    assert {"layers_0", "layers_1", "layers_2"} < set(params)
    assert "layers" not in given
    own = params["layers_1"]["mlp"]["wo"]["kernel"]
    assert own.unsafe_buffer_pointer() == stacked.unsafe_buffer_pointer() + own.nbytes


def test_unrolled_layers_that_are_not_aligned_leave_no_stacked_ones_behind():
    params = {"layers": {"kernel": jnp.ones((3, 5, 7))}}
    stacked = weakref.ref(params["layers"]["kernel"])
    unrolled = llama.unstack_layers(params, consume=True)
    assert stacked() is None
    assert unrolled["layers_2"]["kernel"].shape == (5, 7)


def test_unrolled_layers_are_one_program():
    module, params = decoding.unrolled(MODULE, jax.tree.map(jnp.copy, PARAMS))
    # On a host with several devices an answer would end in an error otherwise.
    assert not any(leaf.committed for leaf in jax.tree.leaves(params))
    before = layerwise._layer._cache_size()
    decoding.decode(module, params, [[1] * 11] * 5, 1, NO_EOS)
    assert layerwise._layer._cache_size() == before + 1


def test_unrolled_network_decodes_alike():
    module, params = decoding.unrolled(MODULE, jax.tree.map(jnp.copy, PARAMS))
    assert decoding.decode(module, params, PROMPTS, 20, NO_EOS) == by_full_passes()
    assert decoding.unrolled(module, params)[1] is params


VARIETIES = {
    "multi-head": dataclasses.replace(CONFIG, num_kv_heads=CONFIG.num_heads),
    "grouped": CONFIG,
    "tied": dataclasses.replace(CONFIG, tied_embeddings=True),
    "biased": dataclasses.replace(CONFIG, attention_bias=True, mlp_bias=True, head_dim=12),
    "llama3": dataclasses.replace(
        CONFIG,
        rope_theta=500000.0,
        rope_scaling=RopeScaling("llama3", 8.0, original_max_length=32),
    ),
}


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(
            config, id=name, marks=() if name in ("grouped", "llama3") else pytest.mark.slow
        )
        for name, config in VARIETIES.items()
    ],
)
def test_continuations_are_those_of_hugging_face(tmp_path, config):
    module = Llama(config, scan_layers=False)
    params = init(module, seed=3)
    hf.export_hf(params, config, tmp_path / "hf")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    theirs.generation_config.eos_token_id = None
    longest = max(map(len, PROMPTS))
    rows = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in PROMPTS])
    lengths = torch.tensor([[len(prompt)] for prompt in PROMPTS])
    generated = theirs.generate(
        rows,
        attention_mask=(torch.arange(longest) >= longest - lengths).long(),
        max_new_tokens=20,
        do_sample=False,
        pad_token_id=0,
    )
    expected = generated[:, longest:].tolist()
    assert NO_EOS not in sum(expected, [])
    assert len(set(sum(expected, []))) > 5
    assert decoding.decode(module, params, PROMPTS, 20, NO_EOS) == expected


def test_what_is_drawn_depends_on_seed_and_number_alone():
    def draw(prompts, **options):
        return decoding.decode(
            MODULE, PARAMS, prompts, 12, NO_EOS, sampling=Sampling(1.5, top_p=0.99), **options
        )

    together = draw(PROMPTS)
    assert draw(PROMPTS) == together
    assert all(a != b for a, b in zip(together, draw(PROMPTS, seed=1), strict=True))
    # Alone, in another place, and beside a prompt that needs more padding.
    assert draw(PROMPTS[1:2], streams=[1]) == together[1:2]
    assert draw([[1] * 20, PROMPTS[1]], streams=[9, 1])[1] == together[1]
    first, second = draw([PROMPTS[2], PROMPTS[2]])
    assert first != second


def test_check_ends_rows():
    seen = []

    def check(rows):
        seen.append([len(row) for row in rows])
        return [len(row) >= limit for row, limit in zip(rows, (4, 100, 9), strict=True)]

    decoded = decoding.decode(MODULE, PARAMS, PROMPTS, 20, NO_EOS, check=check, check_period=4)
    assert seen == [[5, 5, 5], [5, 9, 9], [5, 13, 9], [5, 17, 9], [5, 20, 9]]
    expected = zip(by_full_passes(), (5, 20, 9), strict=True)
    assert decoded == [row[:count] for row, count in expected]


def test_stops_at_eos_and_stop_tokens():
    eos, stop = by_full_passes()[0][7], by_full_passes()[2][3]
    expected = [naive(prompt, [eos, stop], 20) for prompt in PROMPTS]
    assert expected != by_full_passes()
    assert len({len(row) for row in expected}) > 1
    decoded = decoding.decode(MODULE, PARAMS, PROMPTS, 20, eos, stop_ids=[stop])
    assert decoded == expected
    assert decoded[0][-1] in (eos, stop)


def test_a_step_copies_no_cache(monkeypatch):
    module, params = decoding.unrolled(MODULE, dict(PARAMS))
    program, compiled = decoding._advance_program(), []

    def spy(*args):
        compiled.append(program.lower(*args).compile().as_text())
        return program(*args)

    monkeypatch.setattr(decoding, "_advance_program", lambda: spy)
    decoding.decode(module, params, PROMPTS[:1], 4, NO_EOS)
    cached = f"f32[1,{CONFIG.num_kv_heads},64,{CONFIG.head_dim}]"
    lines = [line for line in compiled[0].splitlines() if f" = {cached}" in line]
    assert any("dynamic-update-slice" in line for line in lines)
    assert not any(" copy(" in line for line in lines)


def test_number_of_new_tokens_is_exact_within_a_bucket():
    for steps in (1, 2, 13):
        decoded = decoding.decode(MODULE, PARAMS, PROMPTS[:1], steps, NO_EOS)
        assert decoded == [by_full_passes()[0][:steps]]


def test_lengths_of_one_bucket_share_a_program():
    def programs():
        return layerwise._whole._cache_size(), decoding._advance_program()._cache_size()

    decoding.decode(MODULE, PARAMS, [[1, 2], [1, 3]], 9, NO_EOS)
    before = programs()
    for length, steps in ((1, 3), (7, 16), (16, 1)):
        prompts = [[1] * length, [1, 3]]
        decoding.decode(MODULE, PARAMS, prompts, steps, 5, stop_ids=range(steps))
    assert programs() == before
    # The caches of short prompts have one size, and so their steps one program.
    decoding.decode(MODULE, PARAMS, [[1] * 25, [1, 3]], 9, NO_EOS)
    assert programs() == (before[0] + 1, before[1])
    decoding.decode(MODULE, PARAMS, [[1] * 49, [1, 3]], 9, NO_EOS)
    assert programs() == (before[0] + 2, before[1] + 1)
    # Neither does a seed, or a check, ask for another program.
    for seed in (1, 2):
        decoding.decode(
            MODULE, PARAMS, [[1, 2], [1, 3]], 9, NO_EOS, seed=seed, check=lambda rows: [False] * 2
        )
    assert programs() == (before[0] + 2, before[1] + 1)


def test_ends_when_all_rows_are_done():
    # The steps that are allowed would take minutes.
    stops = [by_full_passes()[0][0], by_full_passes()[1][0]]
    decoded = decoding.decode(MODULE, PARAMS, PROMPTS[:2], 20_000, NO_EOS, stop_ids=stops)
    assert decoded == [[stops[0]], [stops[1]]]


def test_bucket():
    sizes = [prefilling.bucket(length) for length in range(1, 3000)]
    assert all(size >= length for length, size in enumerate(sizes, start=1))
    assert sorted(set(sizes))[:9] == [16, 24, 32, 48, 64, 96, 128, 160, 192]
    assert len(set(sizes)) == 25
    assert max(size / length for length, size in enumerate(sizes, start=1) if length > 16) < 1.5
    assert max(size / length for length, size in enumerate(sizes, start=1) if length > 128) < 1.25


def test_bad_arguments():
    with pytest.raises(InputError, match="begin it with BOS"):
        decoding.decode(MODULE, PARAMS, [[1], []], 3, NO_EOS)
    assert decoding.decode(MODULE, PARAMS, [], 3, NO_EOS) == []


@pytest.mark.parametrize("scan_layers", [True, False])
def test_cache_by_t5x_contract_gives_the_logits_of_a_full_pass(scan_layers):
    """T5X makes the cache by a call with decode=True, prefills it, then feeds single tokens."""
    config = dataclasses.replace(CONFIG, num_layers=2)
    module = Llama(config, scan_layers=scan_layers)
    params = init(module)
    length, prompt_lengths = 10, jnp.array([4, 7])
    tokens = random_tokens(3, batch=2, length=length)
    expected = apply(module, params, tokens)

    @jax.jit
    def make_cache():
        ones = jnp.ones((2, length), jnp.int32)
        return module.apply(
            {"params": params}, ones, ones, enable_dropout=False, decode=True, mutable=["cache"]
        )[1]["cache"]

    @jax.jit
    def prefill(cache):
        # T5X leaves the last token of the prompt to the first step.
        inputs = tokens * (jnp.arange(length) < prompt_lengths[:, None])
        logits, variables = module.apply(
            {"params": params, "cache": cache},
            decoder_input_tokens=inputs,
            decoder_target_tokens=inputs,
            decoder_causal_attention=None,
            mutable=["cache"],
            enable_dropout=False,
            prefill=True,
            prefill_lengths=prompt_lengths - 1,
        )
        return logits, variables["cache"]

    @jax.jit
    def step(cache, token):
        logits, variables = module.apply(
            {"params": params, "cache": cache},
            token,
            token,
            enable_dropout=False,
            decode=True,
            max_decode_length=length,
            mutable=["cache"],
        )
        return logits[:, 0], variables["cache"]

    cache = make_cache()
    batch_axis = 1 if scan_layers else 0  # T5X's cache_offset
    for path, leaf in jax.tree_util.tree_flatten_with_path(cache)[0]:
        assert not leaf.any()
        if path[-1].key != "cache_index":
            assert (leaf.shape[batch_axis], leaf.shape[batch_axis + 2]) == (2, length)
    logits, cache = prefill(cache)
    for row, prompt_length in enumerate(prompt_lengths):
        np.testing.assert_allclose(
            logits[row, :prompt_length], expected[row, :prompt_length], rtol=1e-4, atol=1e-4
        )
    rows = jnp.arange(2)
    for offset in range(3):
        positions = prompt_lengths - 1 + offset
        logits, cache = step(cache, tokens[rows, positions][:, None])
        np.testing.assert_allclose(logits, expected[rows, positions], rtol=1e-4, atol=1e-4)
    # A row that has reached its end may be fed on, as T5X does while others are not done.
    for _ in range(3):
        logits, cache = step(cache, tokens[:, :1])
    assert np.isfinite(logits).all()


@pytest.mark.slow  # a process with devices of its own
def test_decodes_alike_on_a_mesh():
    # A process of its own, since the number of devices is fixed when JAX starts.
    script = pathlib.Path(__file__).with_name("mesh_decoding.py")
    output = subprocess.run(
        [sys.executable, str(script)], stdout=subprocess.PIPE, check=True
    ).stdout
    found = json.loads(output.splitlines()[-1])
    assert found["share"] == 0.5
    assert found["mesh"] == found["single"]
    greedy, drawn = found["single"]
    assert len(greedy[0]) == len(drawn[0]) == 12
    assert greedy != drawn


def test_weights_that_are_not_finite():
    params = jax.tree.map(lambda leaf: leaf.at[..., 0].set(jnp.nan), PARAMS)
    with pytest.raises(InputError, match="logits are not finite: its weights hold NaN"):
        decoding.decode(MODULE, params, PROMPTS, 20, NO_EOS)
