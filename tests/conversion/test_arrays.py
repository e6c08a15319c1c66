import numpy as np
import pytest

from commit_t5x.conversion import arrays
from commit_t5x.errors import InputError


@pytest.mark.parametrize("stored", arrays.DTYPES)
@pytest.mark.parametrize("wanted", arrays.DTYPES)
def test_a_transposed_matrix_of_many_tiles(stored, wanted):
    matrix = np.random.default_rng(0).standard_normal((33, 1030), np.float32)
    matrix = matrix.astype(arrays.DTYPES[stored]).T
    expected = np.ascontiguousarray(matrix).astype(arrays.DTYPES[wanted])
    whole = arrays.converted(matrix, wanted, "w")
    assert whole.flags.c_contiguous and whole.dtype == expected.dtype
    np.testing.assert_array_equal(whole, expected)
    np.testing.assert_array_equal(np.concatenate([*arrays.rows(matrix, wanted, "w")]), expected)


@pytest.mark.parametrize("stored", arrays.DTYPES)
@pytest.mark.parametrize("wanted", arrays.DTYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_not_converted(stored, wanted, value):
    vector = np.ones(5, arrays.DTYPES[stored])
    vector[3] = value
    with pytest.raises(InputError, match="w: holds values that aren't finite; fetch"):
        arrays.converted(vector, wanted, "w")


def test_large_values_are_finite_though_their_sum_is_not():
    assert arrays.converted(np.full(5, 3e38, np.float32), "float32", "w")[0] > 2e38


def test_a_file_that_ends_too_early(tmp_path):
    (tmp_path / "w").write_bytes(bytes(range(10)))
    assert arrays.read(tmp_path / "w", 4, 3).tolist() == [4, 5, 6]
    with pytest.raises(InputError, match="w: ends too early; fetch it again"):
        arrays.read(tmp_path / "w", 4, 7)
