"""Scores decoding on joined digits, whose words' times are known: how right, how well timed, how well doubted.

    python pipelines/fsdd.py --source ../shared/data/fsdd      # first: makes the bundle and the corpus
    python scripts/bench_digits.py build/fsdd/bundle build/fsdd/corpus/test_joined.jsonl
    python scripts/bench_digits.py ... --save digits.npz       # the log-probabilities, for bench_decoding.py --npz

The model runs once; its log-probabilities are decoded by best path, by beam search, and by beam search in which only
sequences of the ten digit words are allowed. For each: WER with its 95 % interval, the median distance between a word's
start and end and those of the recording that was joined there (of correct words), and how well confidence separates
right words from wrong ones: the area under the ROC curve, 1 where every wrong word has less confidence than every right
one, 0.5 where confidence says nothing. All of it once more under white noise, where there is more to get wrong. The
last line is one JSON object.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # also runs without an installation

from speechgru import metrics
from speechgru.decoding import DecodingOptions, Phrases, decode
from speechgru.runtime import Recognizer
from speechgru.utterances.examination import read_utterance
from speechgru.utterances.manifest import read_manifest

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WAYS = {
    "greedy": DecodingOptions(),
    "beam of 16": DecodingOptions(beam_width=16),
    "beam of 16, digits only": DecodingOptions(beam_width=16, phrases=Phrases(DIGITS, repeat=True)),
}


def word_results(utterance, hypothesis):
    """For each recognised word: its confidence, whether it is right, the distances of its start and end in seconds."""
    joins, words = iter(utterance.extra["joins"]), iter(hypothesis.words)
    for pair in metrics.align(utterance.text.split(), [word.text for word in hypothesis.words]):
        times = None if pair.reference is None else next(joins)
        if pair.hypothesis is None:
            continue
        word, is_right = next(words), pair.operation == "equal"
        distances = (abs(word.start_seconds - times[0]), abs(word.end_seconds - times[1])) if is_right else ()
        yield word.confidence, is_right, distances


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("manifest", type=Path, help="joined digits, by `speechgru prepare fsdd joined=5`")
    parser.add_argument("--form", help="which of the bundle's models to run")
    parser.add_argument("--snr-db", type=float, default=5.0, help="signal over noise in the second half, dB")
    parser.add_argument("--save", type=Path, help="write the log-probabilities here")
    arguments = parser.parse_args()
    recognizer = Recognizer(arguments.bundle, form=arguments.form)
    utterances = read_manifest(arguments.manifest)
    if not all("joins" in utterance.extra for utterance in utterances):
        parser.error(f"{arguments.manifest}: its lines hold no `joins`, the times of the words")
    rate = recognizer.sample_rate
    recordings = [read_utterance(line, sample_rate=rate).samples_N for line in utterances]
    audio_seconds = sum(line.duration for line in utterances)
    print(f"{len(utterances)} utterances, {audio_seconds / 60:.1f} minutes, TFLite {recognizer.form}\n")
    print(f"{'':36s} {'WER':>7s} {'95 % interval':>16s} {'start ms':>9s} {'end ms':>7s} {'AUC':>6s} x real time")
    answer = {}
    rng = np.random.default_rng(0)
    noisy = [add_noise(samples_N, rng, snr_db=arguments.snr_db) for samples_N in recordings]
    for condition, played in (("", recordings), (f"{arguments.snr_db:g} dB, ", noisy)):
        log_probs = [recognizer.log_probs(samples_N) for samples_N in played]
        if arguments.save and played is recordings:
            arrays = {f"utterance_{number}": array for number, array in enumerate(log_probs)}
            characters, step_seconds = "".join(recognizer.vocabulary.entries), recognizer.metadata["step_seconds"]
            np.savez(arguments.save, **arrays, characters=np.array(characters), step_seconds=np.array(step_seconds))
        for name, options in WAYS.items():
            key = name.replace(" of ", "").replace(", digits only", "_digits") + ("_noisy" if condition else "")
            answer |= {
                f"{key}_{what}": value
                for what, value in measure(condition + name, recognizer, utterances, log_probs, options).items()
            }
    print(json.dumps(answer))


def add_noise(samples_N, rng, *, snr_db):
    """White noise so far below the recording's own power."""
    level = np.sqrt(np.square(samples_N).mean() * 10 ** (-snr_db / 10))
    return (samples_N + level * rng.standard_normal(len(samples_N))).astype(np.float32)


def measure(name, recognizer, utterances, log_probs, options):
    """Decodes one way and prints its row."""
    options, step_seconds = recognizer.prepare(options), recognizer.metadata["step_seconds"]
    started = time.perf_counter()
    hypotheses = [
        decode(array, vocabulary=recognizer.vocabulary, step_seconds=step_seconds, options=options)[0]
        for array in log_probs
    ]
    speed = sum(line.duration for line in utterances) / (time.perf_counter() - started)
    errors = [metrics.word_errors(u.text, h.text) for u, h in zip(utterances, hypotheses, strict=True)]
    wer, interval = metrics.total(errors).rate, metrics.error_interval(errors)
    if wer is None or interval is None:
        raise SystemExit("no reference holds a word")
    low, high = interval
    words = [result for pair in zip(utterances, hypotheses, strict=True) for result in word_results(*pair)]
    start, end = (1e3 * statistics.median(d[side] for _, _, d in words if d) for side in (0, 1))
    auc = metrics.area_under_curve([confidence for confidence, _, _ in words], [right for _, right, _ in words])
    print(
        f"{name:36s} {wer:7.2%} {f'{low:.2%} to {high:.2%}':>16s} {start:9.0f} {end:7.0f} "
        f"{'-' if auc is None else f'{auc:.3f}':>6s} {speed:12,.0f}",
        flush=True,
    )
    auc = None if auc is None else round(auc, 3)
    return {"wer": round(wer, 4), "start_ms": round(start), "end_ms": round(end), "auc": auc}


if __name__ == "__main__":
    main()
