"""What a row consists of, and how long it is."""

import pytest

from commit_t5x.data import row_features
from commit_t5x.errors import InputError


def test_the_length_of_a_row():
    assert row_features.row_length({"inputs": 3, "targets": 4}) == 7
    assert row_features.row_length({"inputs": 3, "targets": 4, "row": 4}) == 4
    row_features.check_lengths({"inputs": 3, "targets": 4, "row": 4})
    with pytest.raises(InputError, match="no feature 'rows'"):
        row_features.check_lengths({"targets": 4, "rows": 4})
    with pytest.raises(InputError, match="TASK_FEATURE_LENGTHS: None gives no lengths"):
        row_features.row_length(None)


@pytest.mark.parametrize(
    "pack, packing, more",
    [
        (True, "segments", {"decoder_segment_ids", "decoder_positions"}),
        (True, "filled", {"decoder_segment_ids", "decoder_positions"}),
        (True, "stream", set()),
        (False, "segments", {"decoder_causal_attention"}),
        (False, "stream", {"decoder_causal_attention"}),
    ],
)
def test_what_a_row_has_beside_tokens_and_weights(pack, packing, more):
    row = row_features.RowFeatures(pack, packing=packing)
    found = row.get_model_feature_lengths({"inputs": 3, "targets": 4})
    tokens = {"decoder_target_tokens", "decoder_input_tokens", "decoder_loss_weights"}
    assert found == dict.fromkeys(tokens | more, 7)
    assert row.pack == ("decoder_segment_ids" in found)
