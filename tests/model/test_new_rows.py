import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from commit_t5x.errors import InputError
from commit_t5x.model import new_rows, optim

OLD = 3
PARAMS = {
    "token_embedder": {"embedding": jnp.ones((5, 2))},
    "layers": {"mlp": {"wo": {"kernel": jnp.ones((2, 2))}}},
    "logits_dense": {"kernel": jnp.ones((2, 5))},
}


@pytest.fixture
def model(tmp_path):
    (tmp_path / new_rows.FILE).write_text(json.dumps({"old_tokens": OLD}))
    return str(tmp_path)


def steps(optimizer, number):
    """Parameters after each step; gradients are drawn."""
    params, state, rng = PARAMS, optimizer.init(PARAMS), np.random.default_rng(0)
    for _ in range(number):
        grads = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), params)
        updates, state = jax.jit(optimizer.update)(grads, state, params)
        params = optax.apply_updates(params, updates)
        yield params


def test_new_rows_move_first_and_then_everything(model):
    plain = optim.adamw(0.1, weight_decay=0.1)
    first, second, third = steps(new_rows.first(plain, 2, model), 3)
    for params in (first, second):
        embedding = params["token_embedder"]["embedding"]
        head = params["logits_dense"]["kernel"]
        np.testing.assert_array_equal(embedding[:OLD], 1)
        np.testing.assert_array_equal(head[:, :OLD], 1)
        np.testing.assert_array_equal(params["layers"]["mlp"]["wo"]["kernel"], 1)
        assert np.all(embedding[OLD:] != 1) and np.all(head[:, OLD:] != 1)
    *_, alone = steps(plain, 2)
    for name, place in (("token_embedder", np.s_[OLD:]), ("logits_dense", np.s_[:, OLD:])):
        [(_, rows)], [(_, expected)] = second[name].items(), alone[name].items()
        np.testing.assert_allclose(rows[place], expected[place], rtol=1e-6)
    assert all(np.all(leaf != 1) for leaf in jax.tree.leaves(third))
    # Adam's steps are of the learning rate's size from the first one on.
    moved = jnp.abs(third["layers"]["mlp"]["wo"]["kernel"] - 1)
    assert moved.max() < 2 * 0.1


@pytest.mark.parametrize("before", [0, 1])
def test_old_rows_stay_while_everything_else_moves(model, before):
    optimizer = new_rows.first(optim.adamw(0.1, weight_decay=0.1), before, model, False)
    *_, params = steps(optimizer, before + 1)
    tables = (params["token_embedder"]["embedding"], params["logits_dense"]["kernel"].T)
    for table in tables:
        np.testing.assert_array_equal(table[:OLD], 1)
        assert np.all(table[OLD:] != 1)
    assert np.all(params["layers"]["mlp"]["wo"]["kernel"] != 1)


def test_no_steps_leave_the_optimizer_alone():
    plain = optim.adamw(0.1)
    assert new_rows.first(plain, 0, None) is plain


def test_the_learning_rate_is_told(model):
    assert new_rows.first(optim.adamw(0.25), 1, model).learning_rate(7) == 0.25


def test_a_checkpoint_in_the_directory(model):
    new_rows.first(optim.adamw(0.1), 1, f"{model}/checkpoint_0").init(PARAMS)


def test_bad_places(model, tmp_path):
    with pytest.raises(InputError, match="NEW_ROWS_ONLY_STEPS: there are no new rows; give INIT"):
        new_rows.first(optim.adamw(0.1), 1, None)
    with pytest.raises(InputError, match="vocabulary_extension.json: no such file; give INITIAL"):
        new_rows.first(optim.adamw(0.1), 1, str(tmp_path / "none" / "none"))
    with pytest.raises(InputError, match="the embedding isn't trained"):
        factors = {"lora_a": jnp.ones(2)}
        optimizer = new_rows.first(optim.adamw(0.1), 1, model)
        optimizer.update(factors, optimizer.init(factors), factors)
    with pytest.raises(InputError, match="TRAIN_OLD_ROWS: there are no new rows; .*new_rows.gin"):
        new_rows.first(optim.adamw(0.1), 0, None, False)
    with pytest.raises(InputError, match="TRAIN_OLD_ROWS: factors of logits_dense .* LORA_TARGETS"):
        beside = {**PARAMS, "logits_dense": {**PARAMS["logits_dense"], "lora_a": jnp.ones((2, 1))}}
        optimizer = new_rows.first(optim.adamw(0.1), 0, model, False)
        optimizer.update(beside, optimizer.init(beside), beside)
    (tmp_path / new_rows.FILE).write_text("{}")
    with pytest.raises(InputError, match="doesn't say which rows are new"):
        new_rows.first(optim.adamw(0.1), 1, model)
