"""Times each stage that augments samples, as training runs it in its input pipeline.

    python scripts/bench_augment.py                     # a voice-like tone, 3 s at 16 kHz
    python scripts/bench_augment.py --audio speech.wav  # speech of your own

Each stage stands alone in a graph with its defaults and a share of 1, so that every utterance is changed; the last row
is all of them together. In turn, so that a change of the machine's load meets all of them, each augments one utterance
with another seed; a figure is the median over the turns of the processor time of all threads, a second of sound.

The last line is one JSON object: milliseconds a second of sound by the stage's switch, and `all`.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # also runs without an installation

SAMPLE_RATE = 16000

#: What switches on each stage of samples that needs no recordings, and kinds apart whose costs differ.
ROWS = {
    "nothing": {},
    "speed_share": {"speed_share": 0.1},
    "prosody_probability": {"prosody_probability": 1.0},
    "voice_probability": {"voice_probability": 1.0},
    "reverb_probability": {"reverb_probability": 1.0},
    "noise: white": {"noise_probability": 1.0},
    "noise: pink": {"noise_probability": 1.0, "noise_kinds": ("pink",)},
    "equalizer_db": {"equalizer_db": 6.0},
    "clipping_probability": {"clipping_probability": 1.0},
    "transmission: telephone": {"transmission_probability": 1.0, "transmission_kinds": ("telephone",)},
    "transmission: mu_law": {"transmission_probability": 1.0, "transmission_kinds": ("mu_law",)},
    "transmission: narrowband": {"transmission_probability": 1.0, "transmission_kinds": ("narrowband",)},
    "transmission: mp3": {"transmission_probability": 1.0, "transmission_kinds": ("mp3",)},
    "transmission: opus": {"transmission_probability": 1.0, "transmission_kinds": ("opus",)},
    "gain_db": {"gain_db": 6.0},
}
ROWS["all"] = {
    **{key: value for row, keys in ROWS.items() if "transmission" not in row for key, value in keys.items()},
    **ROWS["transmission: telephone"],
}


def make_speech(seconds):
    """A voice-like tone of changing pitch with pauses, over faint noise, the same every time."""
    time_N = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase_N = 2 * np.pi * (150 * time_N + 20 * np.sin(time_N))
    voice_N = sum(np.sin(harmonic * phase_N) / harmonic for harmonic in range(1, 9))
    noise_N = np.random.default_rng(0).normal(size=len(time_N))
    return (0.1 * voice_N * np.sin(3 * time_N) ** 2 + 0.001 * noise_N).astype(np.float32)


def augmenter(keys):
    """The stages with these keys alone, as one graph: samples and a seed -> samples."""
    import tensorflow as tf

    from speechgru.augment import STAGES, FeatureStage, Scene
    from speechgru.augment.chain import Chain
    from speechgru.config.sections import AugmentConfig

    off = {stage.switch: type(stage.model_fields[stage.switch].default)(0) for stage in STAGES}
    stages = AugmentConfig.model_validate({**off, **keys}).stages
    chain = Chain([stage for stage in stages if not isinstance(stage, FeatureStage)], scene=Scene(SAMPLE_RATE))
    return tf.function(
        lambda samples_N, seed: chain.augment_samples(samples_N, seed)[0],
        input_signature=[tf.TensorSpec([None]), tf.TensorSpec([2], tf.int32)],
        autograph=False,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", help="a recording to augment, in place of a tone")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of the tone")
    parser.add_argument("--repetitions", type=int, default=15)
    arguments = parser.parse_args()
    import tensorflow as tf

    from speechgru.audio.reading import read_recording, resample

    samples_N = make_speech(arguments.seconds)
    if arguments.audio:
        recording = read_recording(arguments.audio)
        samples_N = resample(recording.samples_N, source_rate=recording.sample_rate, sample_rate=SAMPLE_RATE)
    seconds, samples_N = len(samples_N) / SAMPLE_RATE, tf.constant(samples_N)
    functions = {row: augmenter(keys) for row, keys in ROWS.items()}
    times = {row: [] for row in ROWS}
    for repetition in range(-2, arguments.repetitions):  # the first turns trace and warm up
        for row, function in functions.items():
            before = time.process_time()
            function(samples_N, tf.constant([7, repetition]))
            if repetition >= 0:
                times[row].append(1000 * (time.process_time() - before) / seconds)
    figures = {row: round(statistics.median(values), 2) for row, values in times.items()}
    print(f"{seconds:.2f} s of sound; milliseconds of processor time a second of it")
    for row, figure in figures.items():
        print(f"{row:<24}{figure:>8.2f}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
