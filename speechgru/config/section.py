"""What every section of a configuration is: strict about types, without unknown keys, never changed."""

from __future__ import annotations

import pydantic


class Section(pydantic.BaseModel):
    """Keys with their types and defaults."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)
