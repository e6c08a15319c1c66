"""The names of what examples, rows and batches have of pairs; see `pairs` and `pair_rows`."""

from collections.abc import Mapping
from typing import Any

PLAIN, MIXED = SIDES = ("pair_plain", "pair_mixed")
# Of an example: tokens of either side, and the unit that each belongs to.
TASK_FEATURES = tuple(f"{side}_{kind}" for side in SIDES for kind in ("tokens", "units"))
_SEGMENTS = tuple(f"{side}_segment_ids" for side in SIDES)


def carried(features: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what there is of pairs, for steps that leave it alone."""
    return {name: features[name] for name in TASK_FEATURES if name in features}


def of_side(batch: Mapping[str, Any], side: str) -> dict[str, Any]:
    """Returns what a batch has of a side: `tokens`, `units` and maybe `segment_ids`."""
    return {
        name.removeprefix(f"{side}_"): values
        for name, values in batch.items()
        if name.startswith(side)
    }


def model_features(segments: bool) -> tuple[str, ...]:
    """Returns the names of what a row has of pairs."""
    return (*TASK_FEATURES, *(_SEGMENTS if segments else ()))
