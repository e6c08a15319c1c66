"""What a row consists of, and how long it is."""

import pytest

from commit_t5x.data import row_features
from commit_t5x.data.feature_converters import DecoderFeatureConverter
from commit_t5x.errors import InputError


def test_the_length_of_a_row():
    assert row_features.row_length({"inputs": 3, "targets": 4}) == 7
    assert row_features.row_length({"inputs": 3, "targets": 4, "row": 4}) == 4
    row_features.check_lengths({"inputs": 3, "targets": 4, "row": 4})
    with pytest.raises(InputError, match="no feature 'rows'"):
        row_features.check_lengths({"targets": 4, "rows": 4})
    with pytest.raises(InputError, match="TASK_FEATURE_LENGTHS: None gives no lengths"):
        row_features.row_length(None)


@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize("packing", ["segments", "filled", "stream"])
def test_names_are_those_that_the_converter_declares(pack, packing):
    row = row_features.RowFeatures(pack, packing=packing)
    names = {*row.get_model_feature_lengths({"inputs": 3, "targets": 4})}
    declared = {*DecoderFeatureConverter.MODEL_FEATURES}
    segments = {*DecoderFeatureConverter.PACKING_FEATURE_DTYPES}
    assert names - {"decoder_causal_attention"} == declared | (segments if row.pack else set())
    assert ("decoder_causal_attention" in names) == (not pack)
