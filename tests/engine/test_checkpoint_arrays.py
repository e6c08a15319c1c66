import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from commit_t5x.engine import checkpoint_arrays
from commit_t5x.errors import InputError

RNG = np.random.default_rng(0)
WEIGHTS = {
    "layers/wi": RNG.normal(size=(3, 70, 100_000)).astype(np.float32),  # 28 MB a layer
    "embedding": RNG.normal(size=(500, 10)).astype(np.float32),
}
CHUNKS = {"layers/wi": (1, 70, 50_000), "embedding": (500, 10)}


def chunks(stores):
    return {path: store.chunk_layout.read_chunk.shape for path, store in stores.items()}


@pytest.mark.parametrize("as_array", [np.asarray, jnp.asarray])
def test_a_run_saves_layer_by_layer(as_array, tmp_path):
    wi, embedding = (as_array(WEIGHTS[path]) for path in WEIGHTS)
    state = {"target": {"layers": {"wi": wi}, "embedding": embedding}, "state": {"step": 3}}
    save_args = checkpoint_arrays.save_args(state)
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state, save_args=save_args)
    stores = checkpoint_arrays.open_all(tmp_path / "state", WEIGHTS)
    assert chunks(stores) == CHUNKS
    for path, store in stores.items():
        np.testing.assert_array_equal(store.read().result(), WEIGHTS[path])


@pytest.mark.parametrize("use_ocdbt", [True, False])
def test_created_arrays_are_what_orbax_restores(use_ocdbt, tmp_path):
    state = {"target": {"layers": {"wi": np.zeros(())}, "embedding": np.zeros(())}}
    handler = ocp.PyTreeCheckpointHandler(use_ocdbt=use_ocdbt)
    with ocp.Checkpointer(handler) as checkpointer:
        checkpointer.save(tmp_path / "state", args=ocp.args.PyTreeSave(state))
    shapes = {path: weight.shape for path, weight in WEIGHTS.items()}
    stores = checkpoint_arrays.create_all(tmp_path / "state", shapes)
    assert chunks(stores) == CHUNKS
    stores["embedding"].write(WEIGHTS["embedding"]).result()
    for layer in (2, 0, 1):
        stores["layers/wi"][layer].write(WEIGHTS["layers/wi"][layer]).result()
    with ocp.PyTreeCheckpointer() as checkpointer:
        target = checkpointer.restore(tmp_path / "state")["target"]
    np.testing.assert_array_equal(target["embedding"], WEIGHTS["embedding"])
    np.testing.assert_array_equal(target["layers"]["wi"], WEIGHTS["layers/wi"])


def test_missing_arrays(tmp_path):
    with pytest.raises(InputError, match="state: not a readable checkpoint") as caught:
        checkpoint_arrays.open_all(tmp_path / "state", ["gone"])
    assert "\n" not in str(caught.value)
