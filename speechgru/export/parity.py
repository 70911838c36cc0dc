"""Whether every exported form agrees with the trained model, measured on recordings before anything is kept."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechgru import metrics
from speechgru.decoding import Predictor, greedy_decode
from speechgru.errors import BundleError
from speechgru.process.children import run_code
from speechgru.runtime import Recognizer
from speechgru.text import Vocabulary
from speechgru.utterances.examination import Examined, read_utterance

#: Largest difference of a log-probability that float32 may make by computing in another order.
FLOAT_TOLERANCE = 1e-3
#: Recordings that are compared at most, evenly through the dev set; a stream runs over the first few of them.
MOST_UTTERANCES, _STREAMED = 200, 20
#: Samples a second of a stream's pieces in the comparison: such as a sound card gives.
_PIECE_SECONDS = 0.037


@dataclass(frozen=True)
class FormParity:
    """How a form compares with the trained model on the same recordings.

    Args:
        form: `Keras`, `SavedModel`, or a TFLite form such as `dynamic`.
        size_bytes: of the file; None for Keras.
        max_difference: the greatest difference of a log-probability from Keras'; of Keras 0.
        wer: word error rate, a fraction; None where no reference holds a word.
        wer_change: the same less Keras'; None likewise.
        rtf: seconds of computing per second of audio, one recording at a time, one thread, decoding included.
        stream_difference: the greatest difference of a log-probability between a stream in small pieces and the same
            form's whole recordings; None where the form does not stream.
        stream_rtf: the stream's real-time factor.
        start_seconds: from nothing to a recogniser that is loaded, in a process of its own; TFLite only.
        peak_memory_mb: of that process, after it transcribed a recording.
    """

    form: str
    size_bytes: int | None
    max_difference: float
    wer: float | None
    wer_change: float | None
    rtf: float | None = None
    stream_difference: float | None = None
    stream_rtf: float | None = None
    start_seconds: float | None = None
    peak_memory_mb: float | None = None

    def as_record(self) -> dict[str, Any]:
        """The comparison as JSON-ready fields, without those that do not apply."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


class Parity:
    """Compares forms with the trained model.

    Args:
        trained: the trained model.
        examples: recordings with references.
        sample_rate: Hz.
        vocabulary: the labels.
        step_seconds: seconds from one step to the next.
        max_wer_change: how much a form's word error rate may be above the model's, absolute.
    """

    def __init__(
        self,
        trained: Predictor,
        examples: Sequence[Examined],
        *,
        sample_rate: int,
        vocabulary: Vocabulary,
        step_seconds: float,
        max_wer_change: float,
    ):
        chosen = examples[:: max(1, -(-len(examples) // MOST_UTTERANCES))]
        self.references = [example.text for example in chosen]
        self.recordings = [read_utterance(e.utterance, sample_rate=sample_rate).samples_N for e in chosen]
        self._audio_seconds = sum(map(len, self.recordings)) / sample_rate
        self._sample_rate, self._max_wer_change = sample_rate, max_wer_change
        self._decode = lambda log_probs_SV: (
            greedy_decode(log_probs_SV, vocabulary=vocabulary, step_seconds=step_seconds).text
        )
        # Digital silence is in no corpus and in every stream, and it is where 16-bit floats fail.
        self._sounds = [*self.recordings, np.zeros(sample_rate // 2, np.float32)]
        self._expected = [trained.log_probs(samples_N) for samples_N in self._sounds]
        self._wer = self._wer_of([self._decode(expected_SV) for expected_SV in self._expected[:-1]])
        self.forms = [FormParity("Keras", None, 0.0, self._wer, 0.0)]

    @property
    def num_utterances(self) -> int:
        """Recordings that are compared."""
        return len(self.recordings)

    def compare(
        self, name: str, predictor: Predictor, *, size_bytes: int, is_exact: bool, is_timed: bool = True
    ) -> FormParity:
        """Compares one form.

        Args:
            name: the form's.
            predictor: runs it.
            size_bytes: of its file.
            is_exact: whether its numbers must be the model's to float rounding.
            is_timed: whether this machine's time says something of it.

        Raises:
            BundleError: it differs by more than the tolerance.
        """
        difference, started = 0.0, time.perf_counter()
        outputs = [predictor.log_probs(samples_N) for samples_N in self.recordings]
        texts = [self._decode(log_probs_SV) for log_probs_SV in outputs]
        seconds = time.perf_counter() - started
        outputs.append(predictor.log_probs(self._sounds[-1]))
        for log_probs_SV, expected_SV in zip(outputs, self._expected, strict=True):
            if log_probs_SV.shape != expected_SV.shape or not np.isfinite(log_probs_SV).all():
                raise BundleError(
                    f"{name} gives {log_probs_SV.shape[0]} steps of {log_probs_SV.shape[1]} labels where the trained "
                    f"model gives {expected_SV.shape[0]} of {expected_SV.shape[1]}, or numbers that are not finite; "
                    "nothing was written"
                )
            difference = max(difference, float(np.abs(log_probs_SV - expected_SV).max(initial=0.0)))
        wer = self._wer_of(texts)
        change = None if wer is None or self._wer is None else wer - self._wer
        self.forms.append(
            FormParity(
                name,
                size_bytes,
                difference,
                wer,
                change,
                metrics.real_time_factor(seconds, self._audio_seconds) if is_timed else None,
            )
        )
        if is_exact and difference > FLOAT_TOLERANCE:
            raise BundleError(
                f"{name} differs from the trained model by {difference:.2g} in a log-probability, allowed are "
                f"{FLOAT_TOLERANCE:g}; nothing was written. It is a fault of speechgru or TensorFlow: please report it"
            )
        if change is not None and change > self._max_wer_change:
            raise BundleError(
                f"{name} has a word error rate of {wer:.2%} on {len(texts)} recordings, {change:.2%} above "
                f"the trained model's; allowed are {self._max_wer_change:.2%}. Nothing was written; leave the form "
                "out, or allow more (--max-wer-change)"
            )
        return self.forms[-1]

    def compare_tflite(self, bundle: Path, form: str, *, is_exact: bool) -> None:
        """Compares a form of a bundle, whole and as a stream, and weighs its process.

        Raises:
            BundleError: it differs by more than the tolerance.
        """
        recognizer = Recognizer(bundle, form=form, window_seconds=math.inf)  # the trained model has no windows
        found = self.compare(f"TFLite {form}", recognizer, size_bytes=recognizer.size_bytes, is_exact=is_exact)
        more: dict[str, Any] = _weigh(bundle, form, self.recordings[0])
        if recognizer.streams:
            more |= self._compare_stream(recognizer)
        self.forms[-1] = dataclasses.replace(found, **more)
        difference = more.get("stream_difference", 0.0)
        if is_exact and difference > FLOAT_TOLERANCE:
            raise BundleError(
                f"TFLite {form} differs by {difference:.2g} in a log-probability between streams and whole recordings, "
                f"allowed are {FLOAT_TOLERANCE:g}; nothing was written. It is a fault of speechgru: please report it"
            )

    def _compare_stream(self, recognizer: Recognizer) -> dict[str, float]:
        difference, seconds, audio = 0.0, 0.0, 0
        piece = max(1, round(_PIECE_SECONDS * self._sample_rate))
        for samples_N in self.recordings[:_STREAMED]:
            expected_SV = recognizer.log_probs(samples_N)
            started = time.perf_counter()
            streamed_SV = recognizer.stream_log_probs(samples_N, piece=piece)
            seconds += time.perf_counter() - started
            audio += len(samples_N)
            difference = max(difference, float(np.abs(streamed_SV - expected_SV).max(initial=0.0)))
        rtf = metrics.real_time_factor(seconds, audio / self._sample_rate)
        return {"stream_difference": difference, "stream_rtf": rtf}

    def _wer_of(self, texts: Sequence[str]) -> float | None:
        pairs = zip(self.references, texts, strict=True)
        return metrics.total(metrics.word_errors(reference, hypothesis) for reference, hypothesis in pairs).rate


#: What a process on a device does; it prints its measurements as JSON.
_DEVICE = """
import json, pathlib, re, sys, time
started = time.perf_counter()
import numpy as np
from speechgru.runtime import Recognizer
recognizer = Recognizer(sys.argv[1], form=sys.argv[2])
loaded = time.perf_counter() - started
samples_N = np.frombuffer(sys.stdin.buffer.read(), np.float32)
recognizer.transcribe(samples_N, recognizer.sample_rate)
status = pathlib.Path("/proc/self/status")  # where there is one: the other number may be that of the process before
if status.exists():
    peak = int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]) / 1024
elif sys.platform == "win32":  # which has no such number
    peak = None
else:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)
print(json.dumps({"start_seconds": round(loaded, 4), "peak_memory_mb": peak and round(peak, 1)}))
"""


def _weigh(bundle: Path, form: str, samples_N: np.ndarray) -> dict[str, float]:
    done = subprocess.run(
        run_code(_DEVICE, str(bundle), form),
        input=np.ascontiguousarray(samples_N, np.float32).tobytes(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise BundleError(
            f"TFLite {form} does not run in a process of its own ({reason[-1] if reason else done.returncode}); "
            "nothing was written"
        )
    return json.loads(done.stdout.decode().splitlines()[-1])
