"""A dimension of the search space: the values that one configuration key may have, and when it is searched at all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import pydantic

from speechgru.config.section import Section


class Dimension(Section):
    """The values of one key.

    A choice takes any values of YAML, lists and null among them. A range of integers or numbers holds both its ends;
    with `log` it is searched evenly in the logarithm. `when` names other keys of the space with the values that they
    must have for this one to be searched; where they have not, the key keeps the base configuration's value.

    Raises:
        ValueError: a range is empty, or something belongs to another type.
    """

    type: Literal["choice", "int", "float", "boolean"]
    values: tuple[Any, ...] | None = pydantic.Field(default=None, strict=False)
    min: int | float | None = None
    max: int | float | None = None
    step: int | float | None = None
    log: bool = False
    when: dict[str, tuple[Any, ...]] | None = pydantic.Field(default=None, strict=False)

    @pydantic.field_validator("when", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not value:
            raise ValueError("must name keys with their values, such as {model.direction: forward}")
        return {key: tuple(wanted) if isinstance(wanted, list) else (wanted,) for key, wanted in value.items()}

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Dimension:
        if self.type in ("choice", "boolean"):
            given = [name for name in ("min", "max", "step") if getattr(self, name) is not None]
            if given or self.log:
                raise ValueError(f"{' and '.join(given) or 'log'}: belongs to a range (type int or float)")
            if self.type == "boolean" and self.values is not None:
                raise ValueError("values: a boolean is false or true; for one of them alone use `set`")
            if self.type == "choice":
                self._check_choices()
            return self
        if self.values is not None:
            raise ValueError("values belong to type: choice; a range has min and max")
        if self.min is None or self.max is None:
            raise ValueError("a range needs min and max")
        numbers = [number for number in (self.min, self.max, self.step) if number is not None]
        if any(isinstance(number, bool) or not math.isfinite(number) for number in numbers):
            raise ValueError("min, max and step must be finite numbers")
        if self.type == "int" and not all(isinstance(number, int) for number in numbers):
            raise ValueError("min, max and step of an int must be whole numbers; for others use type: float")
        if self.min >= self.max:
            raise ValueError(f"min ({self.min}) must be below max ({self.max}); for one value use `set`")
        if self.log and self.min <= 0:
            raise ValueError(f"a logarithmic range must begin above 0, got min {self.min}")
        if self.step is not None and self.log:
            raise ValueError("step and log do not go together; list the values with type: choice")
        if self.step is not None and not 0 < self.step <= self.max - self.min:
            raise ValueError(f"step ({self.step}) must be above 0 and fit between min and max")
        return self

    def _check_choices(self) -> None:
        if not self.values:
            raise ValueError("a choice needs values, a list")
        for number, value in enumerate(self.values):
            if any(type(value) is type(other) and value == other for other in self.values[:number]):
                raise ValueError(f"values holds {value!r} twice")

    @property
    def is_listed(self) -> bool:
        """Whether it has finitely many values, one by one."""
        return self.type in ("choice", "boolean") or self.step is not None or (self.type == "int" and not self.log)

    def listed(self) -> tuple[Any, ...]:
        """All values, where it is listed."""
        if self.type == "boolean":
            return (False, True)
        if self.type == "choice":
            return self.values or ()
        step = 1 if self.step is None else self.step
        low, high = self._ends()
        count = math.floor((high - low) / step + 1e-9) + 1
        values = [low + number * step for number in range(count)]
        # 0.1 and 0.2 make 0.30000000000000004; a person wrote neither.
        return tuple(values if self.type == "int" else (float(f"{value:.12g}") for value in values))

    def _ends(self) -> tuple[int | float, int | float]:
        if self.min is None or self.max is None:
            raise ValueError(f"a {self.type} has no ends")
        return self.min, self.max

    def extremes(self) -> tuple[Any, ...]:
        """The values by which a range is judged: its ends; all of a choice."""
        if self.type in ("choice", "boolean"):
            return self.listed()
        low, high = self._ends()
        last = self.listed()[-1] if self.is_listed else high
        return (low, last) if self.type == "int" else (float(low), float(last))

    def is_active(self, values: Mapping[str, Any]) -> bool:
        """Whether it is searched, given the values of the keys before it."""
        return all(
            key in values and any(type(values[key]) is type(w) and values[key] == w for w in wanted)
            for key, wanted in (self.when or {}).items()
        )

    def describe(self) -> str:
        """Its values in words."""
        if self.type in ("choice", "boolean"):
            return ", ".join("none" if value is None else str(value) for value in self.listed())
        step = f" in steps of {self.step:g}" if self.step is not None else ""
        return f"{self.min:g} to {self.max:g}{step}{', logarithmic' if self.log else ''}"
