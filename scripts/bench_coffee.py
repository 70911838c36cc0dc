"""Scores a bundle on spoken coffee orders, as the public Speech-to-Intent Benchmark scores command acceptance.

    python scripts/bench_coffee.py build/coffee/bundle --source ../shared/data/coffee
    python scripts/bench_coffee.py build/coffee/bundle --source FOLDER --snr 24 12 6 --form dynamic --show 20

The bundle carries the grammar that it was trained for; the folder holds `labels.json` (file -> intent and slots),
`audio/` and `kitchen.wav`, the noise. An order is accepted when the intent and every slot are right, none missing and
none added. The noise starts at a place drawn for each recording, and its power is that of the recording less the
signal-to-noise ratio.

The table has the share of accepted orders, clean and at each ratio, by two ways of decoding: with the grammar as a
constraint, and greedily, the text then read by the grammar. Published means over noise levels: Dialogflow 77.6 %, Lex
84.5 %, Watson 86.8 %, LUIS 89.9 %, Rhino 97.6 %. The last line is one JSON object.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # also runs without an installation

from rich.console import Console
from rich.table import Table

from speechgru.audio.reading import read_recording
from speechgru.decoding import DecodingOptions
from speechgru.metrics import share_interval
from speechgru.runtime import Recognizer

console = Console(width=120, highlight=False)


def accepted(hypothesis, label):
    """Whether the intent and every slot are right; values are compared as words."""

    def words(slots):
        return {name: " ".join(str(value).lower().split()) for name, value in slots.items()}

    return hypothesis.intent == label["intent"] and words(hypothesis.slots) == words(label["slots"])


def with_noise(samples_N, noise_N, snr_db, rng):
    start = rng.integers(max(1, len(noise_N) - len(samples_N)))
    piece_N = np.resize(noise_N[start:], len(samples_N))
    power = np.mean(samples_N.astype(np.float64) ** 2)
    return samples_N + piece_N * np.float32(
        np.sqrt(power / np.mean(piece_N.astype(np.float64) ** 2) / 10 ** (snr_db / 10))
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--source", type=Path, required=True, help="folder of labels.json, audio/ and kitchen.wav")
    parser.add_argument("--form", default=None, help="form of the bundle")
    parser.add_argument(
        "--snr", type=float, nargs="*", default=[24, 21, 18, 15, 12, 9, 6], help="dB; clean is always there"
    )
    parser.add_argument("--beam", type=int, default=16, help="width of the beam")
    parser.add_argument("--seed", type=int, default=0, help="of the places in the noise")
    parser.add_argument("--show", type=int, default=0, help="clean orders to print that were not accepted")
    args = parser.parse_args()

    recognizer = Recognizer(args.bundle, form=args.form)
    if recognizer.grammar is None:
        parser.error(f"{args.bundle} carries no grammar; train with data.grammar")
    ways = {"grammar": DecodingOptions(beam_width=args.beam, grammar=recognizer.grammar), "greedy": DecodingOptions()}
    labels = json.loads((args.source / "labels.json").read_text())
    read = {name: read_recording(args.source / "audio" / name, sample_rate=recognizer.sample_rate) for name in labels}
    noise_N = read_recording(args.source / "kitchen.wav", sample_rate=recognizer.sample_rate).samples_N

    results, seconds, audio_seconds, shown = {}, 0.0, 0.0, []
    for snr in [None, *args.snr]:
        rng = np.random.default_rng([args.seed, 0 if snr is None else round(10 * snr)])
        right = {way: [] for way in ways}
        for name, label in labels.items():
            samples_N = read[name].samples_N
            samples_N = samples_N if snr is None else with_noise(samples_N, noise_N, snr, rng)
            for way, options in ways.items():
                started = time.process_time()
                hypothesis = recognizer.transcribe(samples_N, recognizer.sample_rate, options)
                if way == "greedy":
                    sentence = recognizer.grammar.parse(hypothesis.text)
                    right[way].append(sentence is not None and accepted(sentence, label))
                    continue
                seconds, audio_seconds = (
                    seconds + time.process_time() - started,
                    audio_seconds + len(samples_N) / recognizer.sample_rate,
                )
                right[way].append(accepted(hypothesis, label))
                if snr is None and not right[way][-1]:
                    shown.append((label["slots"], hypothesis.text))
        results["clean" if snr is None else f"{snr:g} dB"] = {way: right[way] for way in ways}

    table = Table(title=f"{len(labels)} coffee orders: accepted", title_justify="left")
    for column in ("", *ways):
        table.add_column(column, justify="left" if not column else "right")
    for level, right in results.items():
        table.add_row(level, *(f"{np.mean(right[way]):.1%}" for way in ways))
    together = {way: np.mean([right[way] for right in results.values()], axis=0) for way in ways}
    # The levels share their recordings, so there are as many independent cases as recordings.
    intervals = {way: share_interval(round(float(each.sum())), len(each)) for way, each in together.items()}
    table.add_row(
        "mean", *(f"{np.mean(together[way]):.1%} ({low:.1%} to {high:.1%})" for way, (low, high) in intervals.items())
    )
    console.print(table)
    console.print(f"processor time of a second of sound, decoding included: {seconds / audio_seconds:.4f} s")
    for slots, text in shown[: args.show]:
        console.print(f"{', '.join(str(value).strip() for value in slots.values())}  |  {text}")
    print(
        json.dumps(
            {
                "accepted": {
                    level: {way: round(float(np.mean(r[way])), 4) for way in ways} for level, r in results.items()
                },
                "mean": {way: round(float(np.mean(together[way])), 4) for way in ways},
                "interval": {way: [round(float(x), 4) for x in intervals[way]] for way in ways},
                "rtf": round(seconds / audio_seconds, 5),
                "size_bytes": recognizer.size_bytes,
            }
        )
    )


if __name__ == "__main__":
    main()
