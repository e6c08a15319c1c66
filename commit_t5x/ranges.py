"""Types of parameters with a range, for annotations; `signatures` checks values against them."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Interval, MinLen


@dataclasses.dataclass(frozen=True, eq=False)
class Example:
    """A value that an error may suggest, as a part of an annotation.

    Example:
      >>> Annotated[str, Example("samples")]
    """

    value: Any


Count = Annotated[int, Ge(0)]
Positive = Annotated[int, Ge(1)]
Seed = Annotated[int, Interval(ge=0, le=2**32 - 1)]
NumDims = Annotated[int, Interval(ge=1, le=2)]  # of what is partitioned

NotNegative = Annotated[float, Ge(0)]
PositiveNumber = Annotated[float, Gt(0)]
Share = Annotated[float, Interval(ge=0, le=1)]
PositiveShare = Annotated[float, Interval(gt=0, le=1)]
ShareBelowOne = Annotated[float, Interval(ge=0, lt=1)]

Dtype = Literal["float32", "bfloat16"]
Text = Annotated[str, MinLen(1)]
Path = Annotated[str, MinLen(1), Example("out")]
Location = Annotated[str, MinLen(1), Example("samples")]
Language = Annotated[str, MinLen(1), Example("hi")]
Task = Annotated[str, MinLen(1), Example("alpaca_codemix_hi")]
Lengths = Annotated[Mapping[str, Positive], Example({"inputs": 384, "targets": 128})]
