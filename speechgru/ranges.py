"""The ranges of numbers in a configuration, as types that pydantic holds."""

from __future__ import annotations

from typing import Annotated

import pydantic

Count = Annotated[int, pydantic.Field(ge=1)]
NonNegativeInt = Annotated[int, pydantic.Field(ge=0)]
Positive = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, pydantic.Field(ge=0, le=1)]
HalfAtMost = Annotated[float, pydantic.Field(ge=0, le=0.5)]
Rate = Annotated[float, pydantic.Field(ge=0, lt=1)]
Finite = Annotated[float, pydantic.Field(allow_inf_nan=False)]
Milliseconds = Annotated[float, pydantic.Field(gt=0, le=1000)]
