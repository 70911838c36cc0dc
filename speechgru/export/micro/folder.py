"""The folder `micro` of a bundle: the forms of a model of single steps, and all that runs them as C."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.errors import UserError
from speechgru.export.convert import Inputs, inputs_of, to_tflite
from speechgru.export.graphs import STEP, Graphs
from speechgru.export.micro.interpreter import MicroInterpreter, least_arena
from speechgru.export.micro.sources import front_end_obstacle, write_front_end, write_model
from speechgru.export.micro.steps import StepPredictor, run_steps
from speechgru.files import sha256_of, write_json
from speechgru.runtime.tflite import SignatureFacts, describe
from speechgru.text import Vocabulary

#: The forms that a microcontroller runs, and what its files are called.
MICRO_FORMS = {"none": "speechgru_model_float32", "int8": "speechgru_model_int8"}


def require_micro_forms(quantize: Sequence[str]) -> None:
    """Refuses forms that TensorFlow Lite Micro has no kernels for.

    Raises:
        UserError: one is among them.
    """
    for form in quantize:
        if form not in MICRO_FORMS:
            raise UserError(
                f"the form {form} does not run on a microcontroller: TensorFlow Lite Micro has no products of floats "
                f"with weights in {'16-bit floats' if form == 'float16' else '8 bits'}; export the format micro by "
                f"itself with --quantize {','.join(MICRO_FORMS)} or one of these"
            )


@dataclass(frozen=True)
class MicroModel:
    """A form of the model.

    Args:
        form: one of `MICRO_FORMS`.
        content: its `.tflite` file.
        arena_bytes: memory that the interpreter needs on this machine.
        predictor: the model under TensorFlow Lite Micro, behind the front end that training has.
    """

    form: str
    content: bytes
    arena_bytes: int
    predictor: StepPredictor


class MicroModels:
    """A model's forms for a microcontroller, each run by TensorFlow Lite Micro.

    Args:
        graphs: its functions.
        vocabulary: its labels.

    Raises:
        UserError: the model, or its front end, does not fit a microcontroller; the message names the key to change.
    """

    def __init__(self, graphs: Graphs, *, vocabulary: Vocabulary):
        self._function = graphs.step()  # a model that cannot be computed so is refused here
        obstacle = front_end_obstacle(graphs.model)
        if obstacle is not None:
            raise UserError(obstacle)
        self._graphs, self._vocabulary = graphs, vocabulary
        self._delay_steps = graphs.model.stream_geometry().delay_steps
        self._float = to_tflite({STEP: self._function}, form="none")
        self._made: dict[str, MicroModel] = {}

    @property
    def signature(self) -> SignatureFacts:
        """The inputs and outputs, the same in every form, in the order in which the interpreter numbers them."""
        return describe(self._float).signatures[0]

    def make(self, form: str, *, recordings: Iterable[np.ndarray]) -> MicroModel:
        """Makes a form, and runs it once.

        Args:
            form: one of `MICRO_FORMS`.
            recordings: `samples_N` each, that `int8` is calibrated on.

        Raises:
            UserError: it cannot be made, or does not run under TensorFlow Lite Micro.
        """
        content = self._float
        if form == "int8":
            content = to_tflite({STEP: self._function}, form=form, calibration=self._calibration(recordings))
        arena_bytes = least_arena(content)
        interpreter = MicroInterpreter(content, arena_bytes=arena_bytes)
        predictor = StepPredictor(
            interpreter.run, front_end=self._features, signature=self.signature, delay_steps=self._delay_steps
        )
        self._made[form] = MicroModel(form, content, arena_bytes, predictor)
        return self._made[form]

    def write(self, folder: Path) -> dict[str, Any]:
        """Writes what was made, with the front end; returns what `micro.json` says of it.

        Args:
            folder: made here.
        """
        folder.mkdir()
        write_front_end(folder, self._graphs.model, vocabulary=self._vocabulary, signature=self.signature)
        record: dict[str, Any] = {
            "signature": dataclasses.asdict(self.signature),
            "delay_steps": self._delay_steps,
            "tflite_micro_version": importlib.metadata.version("tflite-micro"),
            "models": {},
        }
        for form, made in self._made.items():
            name = MICRO_FORMS[form]
            write_model(folder, name, made.content, arena_bytes=made.arena_bytes)
            file = folder / f"{name}.tflite"
            file.write_bytes(made.content)
            record["models"][form] = {
                "file": file.name,
                "source": f"{name}.c",
                "size_bytes": len(made.content),
                "sha256": sha256_of(file),
                "arena_bytes": made.arena_bytes,
                "operators": describe(made.content).operators,
            }
        write_json(folder / "micro.json", record)
        return record

    def _features(self, samples_N: np.ndarray) -> np.ndarray:
        return self._graphs.front_end_stages(samples_N)["features"]

    def _calibration(self, recordings: Iterable[np.ndarray]) -> Iterator[Inputs]:
        """The inputs of every step of some recordings, in the order of the function's arguments."""
        run, names = MicroInterpreter(self._float).run, inputs_of(self._function)
        for samples_N in recordings:
            features_TD = self._features(samples_N)
            for inputs, _ in run_steps(run, features_TD, signature=self.signature, delay_steps=self._delay_steps):
                yield [inputs[name] for name in names]
