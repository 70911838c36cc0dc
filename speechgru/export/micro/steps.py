"""A recording on its way through a model of single steps, whatever runs the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from speechgru import lengths
from speechgru.decoding.predictor import predict_row_by_row
from speechgru.runtime.tflite import SignatureFacts

#: A model's run: inputs by name -> outputs by name.
Run = Callable[[dict[str, np.ndarray]], Mapping[str, np.ndarray]]


def run_steps(
    run: Run, features_TD: np.ndarray, *, signature: SignatureFacts, delay_steps: int
) -> Iterator[tuple[dict[str, np.ndarray], Mapping[str, np.ndarray]]]:
    """Runs a model (`Graphs.step`) over a recording's frames, step by step, as a microcontroller does.

    Args:
        run: the model.
        features_TD: the frames, as the model reads them.
        signature: its inputs and outputs.
        delay_steps: runs until the first step's answer comes.

    Yields:
        Inputs and outputs of each run.

    Example:
        >>> from speechgru.runtime.tflite import TensorFacts
        >>> signature = SignatureFacts(
        ...     "step",
        ...     (TensorFacts("features", (1, 3, 2), "float32"), TensorFacts("state", (1, 1), "float32")),
        ...     (TensorFacts("state", (1, 1), "float32"),),
        ... )
        >>> def run(inputs):
        ...     return {"state": inputs["state"] + inputs["features"].sum()}
        >>> runs = run_steps(run, np.ones([3, 2], np.float32), signature=signature, delay_steps=0)
        >>> [outputs["state"].item() for _, outputs in runs]  # of frames -1 to 1, 0 to 2, 1 to 3
        [4.0, 10.0, 14.0]
    """
    shapes = {tensor.name: tensor.shape for tensor in signature.inputs}
    window_frames = shapes["features"][1]
    factor = window_frames // 2
    num_steps = lengths.num_steps(len(features_TD), subsampling_factor=factor)
    # Zeros before the first frame, and behind the last one until all steps' answers have come.
    behind = (num_steps + delay_steps) * factor + factor + 1 - len(features_TD)
    padded_TD = np.pad(features_TD, [(factor, behind), (0, 0)])
    state_names = [tensor.name for tensor in signature.outputs if tensor.name in shapes]
    states: dict[str, np.ndarray] = {name: np.zeros(shapes[name], np.float32) for name in state_names}
    for step in range(num_steps + delay_steps if num_steps else 0):
        first = step * factor
        inputs = {"features": padded_TD[None, first : first + window_frames], **states}
        if "num_steps" in shapes:
            inputs["num_steps"] = np.array([step < num_steps], np.int32)
        outputs = run(inputs)
        yield inputs, outputs
        states = {name: outputs[name] for name in state_names}


class StepPredictor:
    """A model of single steps as a `decoding.Predictor` of whole recordings.

    Args:
        run: the model.
        front_end: `samples_N` -> `features_TD`.
        signature: the model's inputs and outputs.
        delay_steps: runs until the first step's answer comes.
    """

    def __init__(
        self,
        run: Run,
        *,
        front_end: Callable[[np.ndarray], np.ndarray],
        signature: SignatureFacts,
        delay_steps: int,
    ):
        self._run, self._front_end, self._signature, self._delay_steps = run, front_end, signature, delay_steps

    def log_probs(self, samples_N: np.ndarray) -> np.ndarray:
        """One recording: `samples_N` at the model's sample rate -> `log_probs_SV`."""
        runs = run_steps(
            self._run, self._front_end(samples_N), signature=self._signature, delay_steps=self._delay_steps
        )
        found = [outputs["log_probs"][0] for _, outputs in runs][self._delay_steps :]
        num_labels = next(tensor.shape[1] for tensor in self._signature.outputs if tensor.name == "log_probs")
        return np.stack(found) if found else np.zeros([0, num_labels], np.float32)

    def batch_log_probs(self, samples_BN: np.ndarray, num_samples_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Several recordings, one after the other: `samples_BN`, `num_samples_B` -> `log_probs_BSV`, `num_steps_B`."""
        return predict_row_by_row(self, samples_BN, num_samples_B)
