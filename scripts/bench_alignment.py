"""Measures `speechgru align`: how far word times are off, how fast it is, and its memory over length.

    speechgru prepare fsdd --source ../shared/data/fsdd --out corpus joined=5
    python scripts/bench_alignment.py BUNDLE --dev corpus/dev_joined.jsonl --test corpus/test_joined.jsonl

Times: strings of digits joined from recordings that are trimmed to the word, so that each start and end is known.
Beside what `align` gives stand other ways to place words: the labels' spikes as they are, spikes moved by their median
error on the dev set, and the middles between spikes. What `align` does was chosen on the dev set; the test set is
reported.

Speed and memory: log-probabilities of 10 minutes, an hour and three hours (--minutes), a clear path with errors, each
in a process of its own, which prints what the alignment added to the memory's peak; and an hour of the test set's
recordings, one after the other, through the model and all. The last line is one JSON object.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # also runs without an installation

import numpy as np
from bench_gru import peak_bytes
from bench_long import write_recording
from rich.console import Console
from rich.table import Table

console = Console(width=120, highlight=False)
STEPS_A_SECOND, COLUMNS = 25, 29


def placed(recognizer, manifest):
    """Of each utterance: true edges of its words, those of `align`, those of the spikes; seconds, [words, 2] each."""
    from speechgru.align import align_manifest
    from speechgru.audio.reading import read_recording
    from speechgru.decoding import align

    found = []
    for utterance, timed in align_manifest(recognizer, manifest)[0]:
        samples_N = read_recording(utterance.audio_filepath, sample_rate=recognizer.sample_rate).samples_N
        labels = recognizer.vocabulary.encode(recognizer.text_rules.normalize(utterance.text))
        spans = align(recognizer.log_probs(samples_N), labels)
        spikes = [(spans[a][0], spans[b - 1][1]) for a, b in recognizer.vocabulary.word_spans(labels)]
        given = [(word.start_seconds, word.end_seconds) for word in timed.words]
        found.append((np.array(utterance.extra["joins"]), np.array(given), recognizer.step_seconds * np.array(spikes)))
    return found


def errors_of(found, bias=None):
    """Errors of starts and ends by the way that words were placed, seconds."""
    errors = {"align": [], "spikes": [], "middles between spikes": []}
    for true, given, spikes in found:
        middles = spikes.copy()
        middles[:-1, 1] = middles[1:, 0] = (spikes[:-1, 1] + spikes[1:, 0]) / 2
        for name, edges in zip(errors, (given, spikes, middles), strict=True):
            errors[name].append(edges - true)
    errors = {name: np.concatenate(parts) for name, parts in errors.items()}
    bias = np.median(errors["spikes"], axis=0) if bias is None else bias
    errors["spikes, moved"] = errors["spikes"] - bias
    return errors, bias


def synthetic(minutes):
    """Log-probabilities of a clear path with errors, and its labels."""
    from speechgru.decoding import collapse

    rng, steps = np.random.default_rng(0), round(60 * minutes * STEPS_A_SECOND)
    path_S = np.where(rng.random(steps) < 0.35, rng.integers(1, COLUMNS, size=steps), 0)
    scores_SV = 2 * rng.standard_normal((steps, COLUMNS), np.float32)
    scores_SV[np.arange(steps), path_S] += 8
    scores_SV[rng.random(steps) < 0.3] *= 0.3
    scores_SV -= np.log(np.exp(scores_SV).sum(axis=1, keepdims=True))
    return scores_SV, list(collapse(path_S))


def measure(minutes):
    """Aligns synthetic log-probabilities in this process; prints one JSON object."""
    from speechgru.decoding import align

    align(*synthetic(2))  # loads what is compiled
    log_probs_SV, labels = synthetic(minutes)
    before, started = peak_bytes(), time.process_time()
    align(log_probs_SV, labels)
    print(json.dumps({"seconds": time.process_time() - started, "bytes": peak_bytes() - before, "labels": len(labels)}))


def measure_hour(recognizer, manifest):
    """Processor seconds for an hour of a manifest's recordings with their texts, read from a file."""
    from speechgru.align import align
    from speechgru.utterances.manifest import read_manifest

    with tempfile.TemporaryDirectory() as temporary:
        audio, text = Path(temporary) / "hour.wav", Path(temporary) / "hour.txt"
        utterances, seconds, lines = read_manifest(manifest), 0.0, []
        while seconds < 3600 - max(one.duration for one in utterances):
            one = utterances[len(lines) % len(utterances)]
            lines.append(one.text)
            seconds += one.duration
        write_recording(audio, seconds / 60, manifest, recognizer.sample_rate)
        text.write_text("\n".join(lines), encoding="utf-8")
        before, started = peak_bytes(), time.process_time()
        timed = align(recognizer, audio, text)
        return time.process_time() - started, peak_bytes() - before, len(timed.words), timed.record["confidence"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--dev", type=Path, help="a manifest with joins")
    parser.add_argument("--test", type=Path, help="a manifest with joins")
    parser.add_argument("--minutes", type=float, nargs="+", default=[10, 60, 180])
    parser.add_argument("--measure", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure)
        return
    answer = {}
    if arguments.bundle:
        from speechgru.runtime import Recognizer

        recognizer, bias = Recognizer(arguments.bundle), None
        table = Table("words placed by", "set", "start, ms", "end, ms", "all, ms", title="Median error of word edges")
        for name in ("dev", "test"):
            errors, bias = errors_of(placed(recognizer, getattr(arguments, name)), bias)
            for way, errors_N2 in errors.items():
                starts, ends = 1000 * np.median(np.abs(errors_N2), axis=0)
                both = 1000 * np.median(np.abs(errors_N2))
                table.add_row(way, name, f"{starts:.0f}", f"{ends:.0f}", f"{both:.0f}")
                answer[f"{name}, {way}, ms"] = round(both, 1)
        console.print(table)
        seconds, added, words, confidence = measure_hour(recognizer, arguments.test)
        answer["real_hour"] = {
            "processor_seconds": round(seconds, 1),
            "added_mib": round(added / 2**20),
            "words": words,
        }
        answer["real_hour"] |= {"confidence": round(confidence, 3), "hours_a_minute": round(60 / seconds, 2)}
    table = Table("minutes", "labels", "processor s", "hours a minute", "MiB added", title="Alignment alone")
    for minutes in arguments.minutes:
        command = [sys.executable, __file__, "--measure", str(minutes)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        record = json.loads(done.stdout.splitlines()[-1])
        speed = minutes / record["seconds"]
        table.add_row(
            f"{minutes:g}",
            f"{record['labels']:,}",
            f"{record['seconds']:.2f}",
            f"{speed:,.0f}",
            f"{record['bytes'] / 2**20:.1f}",
        )
        answer[f"{minutes:g} minutes"] = {
            "processor_seconds": round(record["seconds"], 3),
            "added_mib": round(record["bytes"] / 2**20, 1),
            "hours_a_minute": round(speed),
        }
    console.print(table)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
