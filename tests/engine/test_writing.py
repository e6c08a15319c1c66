import pathlib

import pytest

from commit_t5x.engine.writing import writing
from commit_t5x.errors import InputError


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        ValueError("OUT_OF_RANGE: Error writing x: No space left on device [os_error_code='28']"),
    ],
)
def test_refusals_of_the_system_are_input_errors(error):
    expected = (
        r"^out/a: can't be written \(No space left on device\); finished checkpoints are kept"
    )
    with pytest.raises(InputError, match=expected), writing(pathlib.Path("out"), "a"):
        raise error


@pytest.mark.parametrize("error", [ValueError("shapes differ"), OSError("a library's own")])
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error), match=str(error)), writing(pathlib.Path("out")):
        raise error


def test_a_reader_that_has_gone_is_no_refusal():
    with pytest.raises(BrokenPipeError), writing(pathlib.Path("out")):
        raise BrokenPipeError(32, "Broken pipe")
