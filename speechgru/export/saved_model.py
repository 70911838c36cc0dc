"""A SavedModel for servers: the same functions over the same weights, each a signature."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from speechgru.audio.in_graph import decode_bytes
from speechgru.export.graphs import AUDIO, BATCH, FEATURES, Graphs
from speechgru.runtime import RECOGNIZE

#: Each signature's inputs and outputs; the model card repeats it.
SIGNATURES = {
    BATCH: "`samples` float32 [B, N] in [-1, 1], zeros after each end, and `num_samples` int32 [B] -> `log_probs` "
    "[B, S, V], `num_steps` [B]",
    RECOGNIZE: "`samples` float32 [1, N] -> `log_probs` [1, S, V]",
    FEATURES: "`log_mel` float32 [1, T, M], the front end's before any normalisation -> `log_probs` [1, S, V]",
    AUDIO: "`audio` string [], the bytes of a WAV of 16 bits, a FLAC of 16 bits or an Ogg Vorbis file at the model's "
    "rate -> `log_probs` [1, S, V]; whoever loads the SavedModel must `import tensorflow_io` before",
}


def save_model(graphs: Graphs, path: Path, *, sample_rate: int, with_audio: bool) -> list[str]:
    """Writes the SavedModel.

    Args:
        graphs: the functions.
        path: the folder.
        sample_rate: Hz of the model's samples.
        with_audio: whether to give it the signature for encoded bytes, which needs tensorflow-io here and wherever the
            SavedModel is loaded.

    Returns:
        The names of its signatures.
    """
    signatures: dict[str, Any] = {BATCH: graphs.batch(), RECOGNIZE: graphs.recognize(), FEATURES: graphs.features()}
    if with_audio:
        recognize = signatures[RECOGNIZE]

        @tf.function(autograph=False, input_signature=[tf.TensorSpec([], tf.string, name="audio")])
        def recognize_audio(audio: tf.Tensor) -> dict[str, tf.Tensor]:
            samples_N = decode_bytes(audio, sample_rate=sample_rate)
            return {"log_probs": recognize(samples=samples_N[None])["log_probs"]}

        signatures[AUDIO] = recognize_audio.get_concrete_function()
    # TensorFlow takes no name that is not UTF-8.
    with tempfile.TemporaryDirectory() as folder:
        made = os.path.join(folder, "saved_model")
        tf.saved_model.save(graphs, made, signatures=signatures)
        shutil.move(made, path)
    return list(signatures)


@contextlib.contextmanager
def _plain_name(path: str | Path) -> Iterator[str]:
    """A path to the same folder for TensorFlow, which reads `[`, `]`, a backslash and others as patterns of names."""
    with tempfile.TemporaryDirectory() as folder:
        plain = os.path.join(folder, "saved_model")
        try:
            os.symlink(os.path.abspath(path), plain, target_is_directory=True)
        except OSError:  # Windows wants a right for it
            shutil.copytree(path, plain)
        yield plain


class SavedModelPredictor:
    """A SavedModel as a `decoding.Predictor`.

    Args:
        path: the folder `saved_model` of a bundle.
    """

    def __init__(self, path: str | Path):
        with _plain_name(path) as plain:
            self._loaded = tf.saved_model.load(plain)  # kept: its functions do not keep their weights
        self._one, self._batch = (self._loaded.signatures[name] for name in (RECOGNIZE, BATCH))

    def log_probs(self, samples_N: np.ndarray) -> np.ndarray:
        """One recording: `samples_N` at the model's sample rate -> `log_probs_SV`."""
        return self._one(samples=tf.constant(samples_N[None]))["log_probs"][0].numpy()

    def batch_log_probs(self, samples_BN: np.ndarray, num_samples_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Several recordings: `samples_BN`, `num_samples_B` -> `log_probs_BSV`, `num_steps_B`."""
        outputs = self._batch(samples=tf.constant(samples_BN), num_samples=tf.constant(num_samples_B))
        return outputs["log_probs"].numpy(), outputs["num_steps"].numpy()
