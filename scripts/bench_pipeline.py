"""Measures the way from files to batches: its speed, its padding, its memory, and how long training waits for it.

    python scripts/bench_pipeline.py                      # the real digits of ../shared/data/fsdd, and generated FLACs
    python scripts/bench_pipeline.py --recordings FOLDER  # another folder of recordings in place of the digits

Four tables: the decoders side by side, in turn within one process; the pipeline alone (decode, resample, augment,
pad) in hours of audio a minute; a training with the default model, its padding, and the share of its time that it
waited for batches (the first step, which compiles, left out); the peak memory of reading a manifest, and the same ten
times over, each in a process of its own. The last line is one JSON object: the worst `wait_share`, `padding_share` and
`memory_10x_vs_1x` of the corpora, the least `audio_hours_per_minute`. Run it on a machine that does nothing else.
"""

import argparse
import importlib.util
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # also runs without an installation

import numpy as np  # noqa: E402
import soundfile  # noqa: E402

from speechgru.config.sections import RunConfig  # noqa: E402
from speechgru.utterances.manifest import Utterance, read_manifest, write_manifest  # noqa: E402

#: Batches that a memory measurement reads: with the shuffling, any utterance may be among them.
MEMORY_BATCHES = 60


def generated_flacs(folder, count=120, seconds=10.0, sample_rate=16000):
    """Voiced syllables over faint noise, and a text as long as speech would have."""
    rng = np.random.default_rng(0)
    utterances = []
    for k in range(count):
        length = seconds * rng.uniform(0.8, 1.2)
        time_N = np.arange(round(length * sample_rate)) / sample_rate
        phase_N = 2 * math.pi * np.cumsum(rng.uniform(90, 220) * (1 + 0.1 * np.sin(4 * time_N))) / sample_rate
        voiced_N = sum(np.sin(h * phase_N) / h for h in range(1, 20))
        samples_N = 0.1 * voiced_N * np.sin(12 * time_N) ** 2 + 0.003 * rng.standard_normal(len(time_N))
        path = folder / f"{k}.flac"
        soundfile.write(path, samples_N, sample_rate)
        text = " ".join("".join(rng.choice(list("aeiolnrst"), rng.integers(2, 8))) for _ in range(round(2 * length)))
        utterances.append(Utterance(str(path), len(samples_N) / sample_rate, text))
    return write_manifest(folder / "train.jsonl", utterances)


def recordings_of(source, folder):
    """A manifest over a folder of recordings; the digits' names say what was spoken."""
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    utterances = []
    for path in sorted(path for path in source.rglob("*") if path.suffix.lower() in (".wav", ".flac", ".ogg", ".mp3")):
        information = soundfile.info(path)
        first = path.stem.split("_")[0]
        text = words[int(first)] if first.isdecimal() and int(first) < 10 else ""
        utterances.append(Utterance(str(path), information.frames / information.samplerate, text))
    return write_manifest(folder / "train.jsonl", utterances)


def make_config(manifest, **train):
    sample_rate = soundfile.info(read_manifest(manifest)[0].audio_filepath).samplerate
    return RunConfig.model_validate(
        {
            "data": {"train": [str(manifest)], "sample_rate": sample_rate, "max_skipped_share": 1.0},
            "train": {"evaluate_every_steps": 10**6, "checkpoint_every_steps": 10**6, **train},
        }
    )


def decoders(manifest, repetitions):
    """Times real time that each decoder reads a manifest's first recordings, one at a time."""
    import tensorflow as tf

    from speechgru.audio.in_graph import has_tensorflow_io, load_samples

    utterances = read_manifest(manifest)[:200]
    paths = tf.data.Dataset.from_tensor_slices([utterance.audio_filepath for utterance in utterances])
    rate = make_config(manifest).data.sample_rate
    audio_seconds = sum(utterance.duration for utterance in utterances)
    engines = ["soundfile", "tensorflow_io"] if has_tensorflow_io() else ["soundfile"]
    seconds = {(engine, to): [] for engine in engines for to in (rate, rate * 3 // 2)}
    for repetition in range(repetitions + 1):
        for (engine, to), times in seconds.items():
            started = time.perf_counter()
            for _ in paths.map(
                lambda path, to=to, engine=engine: load_samples(path, 0.0, -1.0, sample_rate=to, engine=engine)
            ):
                pass
            if repetition:  # the first one fills the caches
                times.append(time.perf_counter() - started)
    return {key: audio_seconds / statistics.median(times) for key, times in seconds.items()}


def throughput(manifest, repetitions):
    """Seconds of audio that the augmented, padded batches hold for each second that they take."""
    from speechgru.dataset import open_corpus, training_batches

    config = make_config(manifest)
    corpus, _, _ = open_corpus(config)
    rates = []
    batches = iter(training_batches(corpus, config=config))
    next(batches)
    for _ in range(repetitions):
        started, samples = time.perf_counter(), 0
        for _ in range(40):
            samples += int(next(batches)["num_samples_B"].numpy().sum())
        rates.append(samples / config.data.sample_rate / (time.perf_counter() - started))
    return statistics.median(rates)


def training(manifest, steps, folder):
    from speechgru.train import train

    return train(make_config(manifest, max_steps=steps), folder)


def peak_memory(manifest, form):
    """Peak resident bytes of a process that reads batches, and nothing else."""
    command = [sys.executable, str(Path(__file__).resolve()), "--memory-of", str(manifest), form]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def print_memory(path, form):
    from speechgru.dataset import make_sampler, open_corpus, training_batches

    manifest = Path(path) if form == "manifest" else Path(path).with_suffix(".shards")
    config = make_config(path)
    config = config.model_copy(update={"data": config.data.model_copy(update={"train": (str(manifest),)})})
    corpus, _, _ = open_corpus(config)
    assert make_sampler(corpus, config=config).plan_epoch(0)
    for _ in training_batches(corpus, config=config).take(MEMORY_BATCHES):
        pass
    status = Path("/proc/self/status")
    if status.exists():
        print(next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) * 1024)
    else:
        import resource

        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # bytes on macOS


def memory(manifest, folder):
    """Peak bytes for one and ten times the corpus, by form."""
    from speechgru.shards.pack import shard

    tenfold = folder / "tenfold.jsonl"
    lines = read_manifest(manifest)
    write_manifest(tenfold, [replace(line, line=0) for _ in range(10) for line in lines])
    sizes = {}
    for form in ("manifest", "shards"):
        for times, path in ((1, manifest), (10, tenfold)):
            if form == "shards":
                shard([path], path.with_suffix(".shards"), config=make_config(path))
            sizes[form, times] = peak_memory(path, form)
    return sizes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=Path, default=ROOT.parent / "shared" / "data" / "fsdd" / "recordings")
    parser.add_argument("--steps", type=int, default=200, help="training steps for a corpus")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        print_memory(Path(arguments.memory_of[0]), arguments.memory_of[1])
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        corpora = {}
        if arguments.recordings.is_dir():
            (folder / "recordings").mkdir()
            corpora["recordings"] = recordings_of(arguments.recordings, folder / "recordings")
        else:
            print(f"{arguments.recordings}: not there; generated recordings only")
        (folder / "flac").mkdir()
        corpora["10 s FLAC"] = generated_flacs(folder / "flac")
        for name, manifest in corpora.items():
            lines = read_manifest(manifest)
            print(f"{name}: {len(lines):,} utterances, {sum(line.duration for line in lines) / 60:.1f} minutes")

        print("\ndecoders, times real time (one reader)")
        for name, manifest in corpora.items():
            for (engine, rate), speed in decoders(manifest, arguments.repetitions).items():
                print(f"  {name:12s} to {rate:6,d} Hz  {engine:14s} {speed:9,.0f}")
        if not importlib.util.find_spec("tensorflow_io"):
            print("  tensorflow_io is not installed here")

        answer = {"wait_share": 0.0, "padding_share": 0.0, "memory_10x_vs_1x": 0.0, "audio_hours_per_minute": math.inf}
        print("\nthe pipeline alone, hours of audio a minute")
        for name, manifest in corpora.items():
            rate = throughput(manifest, arguments.repetitions) / 60
            answer["audio_hours_per_minute"] = min(answer["audio_hours_per_minute"], round(rate, 1))
            print(f"  {name:12s} {rate:6.1f}")

        print(f"\ntraining the default model, {arguments.steps} steps of 32")
        for name, manifest in corpora.items():
            result = training(manifest, arguments.steps, folder / f"run {name}")
            print(
                f"  {name:12s} {1e3 * result.seconds / result.steps:6.0f} ms a step, waiting {result.wait_share:.2%}, "
                f"padding {result.padding_share:.2%}",
                flush=True,
            )
            for key in ("wait_share", "padding_share"):
                answer[key] = max(answer[key], round(getattr(result, key), 4))

        print("\npeak memory of reading, MB: the corpus, and ten times the corpus")
        for name, manifest in corpora.items():
            sizes = memory(manifest, manifest.parent)
            for form in ("manifest", "shards"):
                once, tenfold = sizes[form, 1], sizes[form, 10]
                print(f"  {name:12s} {form:10s} {once / 1e6:7.0f} {tenfold / 1e6:7.0f}  {tenfold / once:.3f}")
                answer["memory_10x_vs_1x"] = max(answer["memory_10x_vs_1x"], round(tenfold / once, 3))
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
