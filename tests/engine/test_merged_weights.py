import numpy as np
import pytest

from commit_t5x.engine import adapters, checkpoints, merged_weights


@pytest.mark.parametrize("place", [(0, 0, 0), (1, 2, 3), (2, 700, 1100)])
def test_fingerprint_sees_every_weight(place, tmp_path):
    kernel = np.zeros((3, 701, 1101), np.float32)
    found = []
    for name, value in (("one", 0), ("same", 0), ("other", 1e-4)):
        kernel[place] = value
        params = {"layers": {"mlp": {"wo": {"kernel": kernel}}}}
        checkpoints.save_params(tmp_path / name, params, None, None)
        found.append(merged_weights.fingerprint(name, adapters.open_params(tmp_path / name)[1]))
    assert found[0] == found[1] != found[2]
