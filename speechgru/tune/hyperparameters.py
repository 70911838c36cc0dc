"""The search space in keras-tuner's terms, and its draws as values of the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from speechgru.tune.keras_tuner_adapter import HyperParameters
from speechgru.tune.space import Dimension


class SearchSpace:
    """The space as keras-tuner's hyperparameters; a choice is its place in the list, since it may have any YAML value.

    So is a number in steps: keras-tuner counts the steps by dividing floats, which loses the last where 0.5 / 0.1 falls
    below 5.

    Args:
        dimensions: the space by key, each after those of its conditions.
        listed: whether ranges become lists, as a grid needs them.
    """

    def __init__(self, dimensions: Mapping[str, Dimension], *, listed: bool = False):
        self._dimensions = dimensions
        self._choices = {
            key for key, d in dimensions.items() if d.type in ("choice", "boolean") or (listed and d.is_listed)
        }
        in_steps = {key for key, d in dimensions.items() if d.type == "float" and d.step is not None}
        self._by_place = self._choices | in_steps
        self.hyperparameters = HyperParameters()
        for key, dimension in dimensions.items():
            self._add(key, dimension, list((dimension.when or {}).items()))

    def _add(self, key: str, dimension: Dimension, conditions: list[tuple[str, Sequence[Any]]]) -> None:
        if conditions:
            parent, wanted = conditions[0]
            listed = self._dimensions[parent].listed()
            active = [value for value in listed if value in wanted]
            places = [listed.index(value) for value in active] if parent in self._by_place else active
            with self.hyperparameters.conditional_scope(parent, places):
                self._add(key, dimension, conditions[1:])
        elif key in self._choices:
            self.hyperparameters.Choice(key, list(range(len(dimension.listed()))))
        elif key in self._by_place:
            self.hyperparameters.Int(key, 0, len(dimension.listed()) - 1)
        else:
            kind = self.hyperparameters.Int if dimension.type == "int" else self.hyperparameters.Float
            sampling = "log" if dimension.log else "linear"
            kind(key, dimension.min, dimension.max, step=dimension.step, sampling=sampling)

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """keras-tuner's draw as values of the configuration; keys whose conditions do not hold are left out.

        Args:
            values: keras-tuner's, by key.
        """
        chosen: dict[str, Any] = {}
        for key, dimension in self._dimensions.items():
            if key in values and dimension.is_active(chosen):
                chosen[key] = self._value(key, dimension, values[key])
        return chosen

    def _value(self, key: str, dimension: Dimension, value: Any) -> Any:
        # A journal from before steps were places has the numbers themselves.
        if key in self._by_place and not isinstance(value, float):
            return dimension.listed()[int(value)]
        return int(value) if dimension.type == "int" else float(f"{value:.12g}")
