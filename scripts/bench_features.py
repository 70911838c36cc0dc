"""Times the log-mel front end beside librosa's, and on a device.

    python scripts/bench_features.py             # 60 s of 16 kHz audio
    python scripts/bench_features.py --cores 1   # everything on one core

Everybody makes the same frames of the same samples in one process on the same cores, in turn, so that a change of the
machine's load meets all of them; a figure is the median of all repetitions. A turn is a pause, in which the threads of
the library before stop spinning (they would take a core away for some 20 ms), two calls that wake the library's own,
and three that count. First our numbers must be librosa's to 1e-4. kaldi-native-fbank, where it is installed, has the
same work to do but other filters: only its time is comparable.

The device's figure is of a TFLite file with nothing but the front end, at batch 1 and any length, on one thread.

The last line is one JSON object: `logmel_vs_librosa`, how many times as fast as the faster of librosa's ways we are,
and `tflite_logmel_ms_per_s`, milliseconds on a device's one thread for a second of audio.
"""

import argparse
import importlib.util
import json
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # also runs without an installation

SAMPLE_RATE, FRAME_LENGTH, HOP_LENGTH, N_FFT = 16000, 400, 160, 512
N_MELS, F_MIN, F_MAX, LOG_FLOOR = 40, 20.0, 8000.0, 1e-8
TOLERANCE = 1e-4


def make_samples(seconds):
    """A voice-like tone of changing pitch over noise, the same every time."""
    time_N = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase_N = 2 * np.pi * (150 * time_N + 20 * np.sin(time_N))
    voice_N = sum(np.sin(harmonic * phase_N) / harmonic for harmonic in range(1, 9))
    noise_N = np.random.default_rng(0).normal(size=len(time_N))
    return (0.1 * voice_N * np.sin(3 * time_N) ** 2 + 0.01 * noise_N).astype(np.float32)


def make_layer():
    from speechgru.features import LogMel

    return LogMel(
        sample_rate=SAMPLE_RATE, frame_length=FRAME_LENGTH, hop_length=HOP_LENGTH, n_fft=N_FFT, n_mels=N_MELS,
        f_min=F_MIN, f_max=F_MAX, log_floor=LOG_FLOOR,
    )  # fmt: skip


def ours(samples_N):
    """Returns a function without arguments that computes log-mel in a graph, as training does."""
    import tensorflow as tf

    layer = make_layer()

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32), tf.TensorSpec([None], tf.int32)])
    def function(samples_BN, num_samples_B):
        return layer(samples_BN, num_samples_B)[0]

    samples_BN, num_samples_B = tf.constant(samples_N[None]), tf.constant([len(samples_N)])
    return lambda: function(samples_BN, num_samples_B).numpy()[0]


def tf_signal(samples_N):
    """The usual recipe: tf.signal.stft, its absolute value, one product with tf.signal's mel matrix (HTK's scale)."""
    import tensorflow as tf

    filters_FM = tf.signal.linear_to_mel_weight_matrix(N_MELS, N_FFT // 2 + 1, SAMPLE_RATE, F_MIN, F_MAX)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32)])
    def function(samples_BN):
        samples_BN = tf.pad(samples_BN, [[0, 0], [N_FFT // 2, N_FFT // 2]])
        spectrum_BTF = tf.signal.stft(samples_BN, FRAME_LENGTH, HOP_LENGTH, N_FFT)
        mel_BTM = tf.matmul(tf.square(tf.abs(spectrum_BTF)), filters_FM)
        return tf.math.log(tf.maximum(mel_BTM, LOG_FLOOR))

    samples_BN = tf.constant(samples_N[None])
    return lambda: function(samples_BN).numpy()[0]


def librosa_melspectrogram(samples_N):
    import librosa

    def function():
        mel_MT = librosa.feature.melspectrogram(
            y=samples_N, sr=SAMPLE_RATE, n_fft=N_FFT, hop_length=HOP_LENGTH, win_length=FRAME_LENGTH, n_mels=N_MELS,
            fmin=F_MIN, fmax=F_MAX, pad_mode="constant",
        )  # fmt: skip
        return np.log(np.maximum(mel_MT, LOG_FLOOR)).T

    return function


def librosa_stft(samples_N):
    """librosa's transform with its filters made once, before the clock runs."""
    import librosa

    filters_MF = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS, fmin=F_MIN, fmax=F_MAX)

    def function():
        spectrum_FT = librosa.stft(
            samples_N, n_fft=N_FFT, hop_length=HOP_LENGTH, win_length=FRAME_LENGTH, pad_mode="constant"
        )
        power_FT = np.square(spectrum_FT.real) + np.square(spectrum_FT.imag)
        return np.log(np.maximum(filters_MF @ power_FT, LOG_FLOOR)).T

    return function


def kaldi(samples_N):
    import kaldi_native_fbank

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq = SAMPLE_RATE
    options.frame_opts.dither = options.frame_opts.preemph_coeff = 0.0
    options.frame_opts.snip_edges = False
    options.frame_opts.window_type = "hanning"
    options.mel_opts.num_bins, options.mel_opts.low_freq, options.mel_opts.high_freq = N_MELS, F_MIN, F_MAX

    def function():
        computer = kaldi_native_fbank.OnlineFbank(options)
        computer.accept_waveform(SAMPLE_RATE, samples_N)
        computer.input_finished()
        return np.stack([computer.get_frame(frame) for frame in range(computer.num_frames_ready)])

    return function


def tflite(samples_N):
    """Returns a function without arguments that runs the front end's TFLite file on one thread."""
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    layer = make_layer()

    @tf.function(input_signature=[tf.TensorSpec([1, None], tf.float32, name="samples")])
    def one(samples):
        return layer(samples, tf.reshape(tf.shape(samples)[1], [1]))[0]

    converter = tf.lite.TFLiteConverter.from_concrete_functions([one.get_concrete_function()], one)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    interpreter = Interpreter(model_content=converter.convert(), num_threads=1)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, [1, len(samples_N)])
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, samples_N[None])
    output = interpreter.get_output_details()[0]["index"]

    def function():
        interpreter.invoke()
        return interpreter.get_tensor(output)[0]

    return function


def medians(functions, repetitions):
    """Gives each function `repetitions` turns; returns the median seconds of a call."""
    seconds = {name: [] for name in functions}
    for _ in range(repetitions):
        for name, function in functions.items():
            time.sleep(0.1)
            for call in range(5):
                start = time.perf_counter()
                function()
                if call >= 2:
                    seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the audio")
    parser.add_argument("--repetitions", type=int, default=11, help="turns of three counted calls each")
    parser.add_argument("--cores", type=int, help="number of cores to use (Linux); all by default")
    arguments = parser.parse_args()
    if arguments.cores:  # before any library counts them
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])

    samples_N = make_samples(arguments.seconds)
    makers = {
        "LogMel": ours,
        "librosa melspectrogram": librosa_melspectrogram,
        "librosa stft, filters kept": librosa_stft,
        "tf.signal.stft": tf_signal,
    }
    if importlib.util.find_spec("kaldi_native_fbank"):
        makers["kaldi-native-fbank"] = kaldi
    functions = {name: maker(samples_N) for name, maker in makers.items()} | {"LogMel, TFLite": tflite(samples_N)}
    outputs = {name: function() for name, function in functions.items()}
    reference_TM = outputs["librosa melspectrogram"]
    same = ("LogMel", "librosa stft, filters kept", "LogMel, TFLite")
    differences = {name: float(np.abs(outputs[name] - reference_TM).max()) for name in same}
    wrong = {name: difference for name, difference in differences.items() if not difference < TOLERANCE}
    if wrong:
        sys.exit(f"not librosa's numbers, so that no time is comparable: {wrong}")

    seconds = medians(functions, arguments.repetitions)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    ours_seconds = seconds["LogMel"]
    print(f"{arguments.seconds:g} s of {SAMPLE_RATE} Hz audio, {len(reference_TM):,} frames, {N_MELS} mel filters")
    print(f"{cores} cores (TFLite one thread); medians of {3 * arguments.repetitions}\n")
    print(f"{'':28s} {'ms':>8s} {'speed of LogMel relative to it':>34s} {'largest difference':>20s}")
    for name, value in seconds.items():
        difference = f"{differences[name]:20.1e}" if name in differences else ""
        print(f"{name:28s} {value * 1e3:8.2f} {value / ours_seconds:34.2f} {difference}")
    librosa_seconds = min(value for name, value in seconds.items() if name.startswith("librosa"))
    answer = {
        "logmel_vs_librosa": round(librosa_seconds / ours_seconds, 2),
        "tflite_logmel_ms_per_s": round(seconds["LogMel, TFLite"] * 1e3 / arguments.seconds, 3),
        "logmel_largest_difference": differences["LogMel"],
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
