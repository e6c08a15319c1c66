"""What a row consists of, and how long it is; without TensorFlow, for plans."""

from collections.abc import Mapping
from typing import Literal

import gin

from commit_t5x.errors import InputError

Packing = Literal["segments", "filled", "stream"]

FEATURES = ("decoder_target_tokens", "decoder_input_tokens", "decoder_loss_weights")
# Beside them, where a row tells its sequences apart.
SEGMENTS = ("decoder_segment_ids", "decoder_positions")
# What lengths are given of.
LENGTHS = ("inputs", "targets", "row")


def check_lengths(lengths: Mapping[str, int]) -> None:
    """Raises InputError if none are given, or one of a feature that rows don't have."""
    if not lengths:
        raise InputError(
            f"TASK_FEATURE_LENGTHS: {lengths} gives no lengths, which rows need; "
            'e.g. {"inputs": 512, "targets": 512, "row": 512}'
        )
    for name in lengths:
        if name not in LENGTHS:
            raise InputError(
                f"TASK_FEATURE_LENGTHS: no feature '{name}'; give lengths for inputs and targets, "
                "and for the row if they share one"
            )


def row_length(lengths: Mapping[str, int]) -> int:
    """Returns the tokens of a row.

    Raises:
      InputError: see check_lengths.

    Example:
      >>> row_length({"inputs": 384, "targets": 128})
      512
      >>> row_length({"inputs": 512, "targets": 512, "row": 512})
      512
    """
    check_lengths(lengths)
    return lengths.get("row") or sum(lengths.values())


@gin.configurable
class RowFeatures:
    """The features of the rows that `feature_converters.DecoderFeatureConverter` makes.

    Args:
      pack: put several sequences into a row; else one a row, padded.
      packing: the converter's.

    Attributes:
      packing: how rows are packed; None if they aren't.
      pack: whether a row tells its sequences apart, as with SeqIO's; a stream doesn't.

    Example:
      >>> RowFeatures(packing="stream").get_model_feature_lengths({"targets": 8})
      {'decoder_target_tokens': 8, 'decoder_input_tokens': 8, 'decoder_loss_weights': 8}
    """

    def __init__(self, pack: bool = True, *, packing: Packing = "segments"):
        self.packing = packing if pack else None
        self.pack = pack and packing != "stream"

    def get_model_feature_lengths(self, task_feature_lengths: Mapping[str, int]) -> dict[str, int]:
        """Returns feature -> tokens, under the name that SeqIO's converters have for it."""
        names = [*FEATURES, *(SEGMENTS if self.pack else ())]
        if not self.packing and "row" not in task_feature_lengths:
            names.append("decoder_causal_attention")
        return dict.fromkeys(names, row_length(task_feature_lengths))
