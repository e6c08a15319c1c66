import jax
import numpy as np
import pytest
import tiny


@pytest.mark.parametrize("packed", [True, False])
def test_tokens_of_id_0_count_and_padding_does_not(packed):
    batch = {
        "decoder_target_tokens": np.array([[0, 5, 0, 2, 0, 0], [7, 0, 0, 0, 0, 0]], np.int32),
        "decoder_loss_weights": np.array([[0, 0, 1, 1, 0, 0], [0, 0, 1, 0, 0, 0]], np.int32),
    }
    batch["decoder_input_tokens"] = np.roll(batch["decoder_target_tokens"], 1, axis=1)
    if packed:
        batch["decoder_segment_ids"] = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0]], np.int32)
    model = tiny.model()
    params = jax.jit(model.get_initial_variables)(jax.random.PRNGKey(0))["params"]
    assert jax.jit(model.loss_fn)(params, batch)[1]["tokens"] == 4 + 3
