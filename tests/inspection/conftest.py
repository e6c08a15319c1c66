"""What the tests of inspection share."""

import pytest

from commit_t5x import tasks  # noqa: F401 (registration)
from commit_t5x.mixing.lexicon import Lexicon
from commit_t5x.mixing.mixer import CodeMixer
from commit_t5x.mixing.segmenters import WhitespaceSegmenter


@pytest.fixture
def mixer():
    """Knows five words, one as a phrase too, and one that it replaces by itself."""
    lexicon = Lexicon.from_pairs(
        [
            ("tea", "चाय"),
            ("milk", "दूध"),
            ("hot milk", "गरम दूध"),
            ("and", "और"),
            ("cup", "कप"),
            ("radio", "radio"),
        ]
    )
    return CodeMixer(lexicon, ratio=1.0, segmenter=WhitespaceSegmenter(), phrases=True)
