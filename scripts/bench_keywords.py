"""Counts how often bundles miss keywords that real people say, and how often they report one that nobody said.

    python scripts/bench_keywords.py build/keywords/bundle --source ../shared/data/wake-words \\
        --negatives build/keywords/people/test.jsonl kathleen.jsonl --noise ../shared/data/coffee/kitchen.wav
    python scripts/bench_keywords.py bundles/16 bundles/32 bundles/64 ...       # widths side by side
    python scripts/bench_keywords.py bundle --keywords com-pu-ter jar-vis ...   # written in parts

The source has a folder of recordings for each keyword. They, the negatives and stretches of noise are shuffled and
joined to one stream, clean and with noise under each recording, and the bundle listens to it as a device that is always
on. For each keyword: misses at one false accept in ten hours, and at the bundle's own threshold with the false accepts
there. The hours say what can be told: where they are fewer than ten, "one in ten hours" means none at all, and the
interval shows which rates that leaves possible.

The anchor is the public Wake Word Benchmark of the same recordings, of six words in noise at 10 dB: misses of 52.0 %
(PocketSphinx), 31.9 % (Snowboy) and 2.7 % (Porcupine) at one false accept in ten hours, in which people speak for a
fifth of the time: two hours of speech. "Speech a fifth" counts so too: five hours for each hour of negatives. As there,
the signal-to-noise ratio is that of the loudest 32 ms of the recording and of the noise under it. The last line is one
JSON object.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # also runs without an installation

from rich.console import Console
from rich.table import Table

from speechgru.audio.reading import read_recording
from speechgru.corpora.keywords import require_keywords
from speechgru.metrics import share_interval
from speechgru.runtime import Recognizer
from speechgru.scoring.keywords import (
    describe_keyword,
    keyword_curves,
    listen_for_keywords,
    recordings_of,
)
from speechgru.utterances.keywords import parts_in

console = Console(width=140, highlight=False)
PIECE_SECONDS = 10.0
FRAME_SECONDS = 0.032
#: Share of the anchor's stream in which people speak.
SPEECH_SHARE = 0.2


def loudest_energy(samples_N, frame_length):
    """The energy of the loudest frame."""
    num_frames = max(1, len(samples_N) // frame_length)
    frames_FN = np.resize(samples_N, (num_frames, min(frame_length, len(samples_N)))).astype(np.float64)
    return float((frames_FN**2).sum(axis=1).max())


def with_noise(samples_N, noise_N, *, snr_db, sample_rate, rng):
    """A recording over noise, cut from a drawn place; scaled so that nothing is clipped."""
    start = int(rng.integers(len(noise_N)))
    under_N = np.resize(np.roll(noise_N, -start), len(samples_N))
    frame_length = round(FRAME_SECONDS * sample_rate)
    signal, noise = (loudest_energy(part_N, frame_length) for part_N in (samples_N, under_N))
    if not signal or not noise:
        return samples_N
    mixed_N = samples_N + under_N * np.float32(np.sqrt(signal / noise / 10 ** (snr_db / 10)))
    return (mixed_N / max(1.0, float(np.abs(mixed_N).max()))).astype(np.float32)


def coloured_noise(num_samples, rng, *, slope):
    """Gaussian noise whose amplitude falls with frequency to the power `slope`, at a drawn level."""
    spectrum = np.fft.rfft(rng.standard_normal(num_samples))
    spectrum[1:] *= np.arange(1, len(spectrum)) ** -slope
    spectrum[0] = 0.0
    noise_N = np.fft.irfft(spectrum, num_samples)
    level = 10 ** (rng.uniform(-50, -20) / 20)
    return np.clip(level * noise_N / noise_N.std(), -1, 1).astype(np.float32)


def stretches_of_noise(noise_N, *, seconds, sample_rate, rng):
    """The recorded noise, and as much white, pink and brown noise as asked for, in pieces."""
    length = round(PIECE_SECONDS * sample_rate)
    yield from (noise_N[start : start + length] for start in range(0, len(noise_N), length))
    for number in range(round(seconds / PIECE_SECONDS)):
        yield coloured_noise(length, rng, slope=(0.0, 0.5, 1.0)[number % 3])


def listen(recognizer, recordings, keywords, *, noise_N, snr_db, seed, progress):
    """The shuffled recordings as one stream; each mixed with noise where a ratio is given."""
    rng = np.random.default_rng([seed, 0 if snr_db is None else round(10 * snr_db)])
    order = rng.permutation(len(recordings))

    def mixed():
        for place in order:
            text, samples_N = recordings[place]
            if snr_db is not None:
                samples_N = with_noise(samples_N, noise_N, snr_db=snr_db, sample_rate=recognizer.sample_rate, rng=rng)
            yield text, samples_N

    return listen_for_keywords(recognizer, mixed(), keywords, progress=progress)


def measure(recognizer, streams, *, per_hour):
    """A record for each keyword: strictly, and with speech for a fifth of the time."""
    known = recognizer.keyword_thresholds
    for keyword, curve in keyword_curves(streams).items():
        record = describe_keyword(keyword, curve, threshold=known.get(keyword, 0.0), false_accepts_per_hour=per_hour)
        fifth = curve.describe(curve.at_false_accepts(per_hour / SPEECH_SHARE))
        yield record | {"speech_a_fifth": fifth}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--source", type=Path, required=True, help="a folder of recordings for each keyword")
    parser.add_argument("--negatives", type=Path, nargs="+", required=True, help="manifests of other speech")
    parser.add_argument("--noise", type=Path, required=True, help="a recording of noise")
    parser.add_argument("--keywords", nargs="+", default=None, help="with their parts; else the folders' names")
    parser.add_argument("--form", default=None, help="form of the bundles")
    parser.add_argument("--snr", type=float, nargs="*", default=[10.0], help="dB; clean is always there")
    parser.add_argument("--false-accepts-per-hour", type=float, default=0.1)
    parser.add_argument("--coloured-minutes", type=float, default=30.0, help="of white, pink and brown noise alone")
    parser.add_argument("--most", type=int, default=None, help="recordings of each manifest, for a quick look")
    parser.add_argument("--seed", type=int, default=0, help="of order and noise")
    args = parser.parse_args()
    folders = sorted(folder for folder in args.source.iterdir() if folder.is_dir())
    spoken = require_keywords([folder.name.replace("_", " ") for folder in folders])
    given = [parts_in(keyword) for keyword in args.keywords or spoken]
    if sorted(name for name, _ in given) != sorted(spoken):
        raise SystemExit(f"--keywords names {', '.join(spoken)} (com-pu-ter in parts), got {' '.join(args.keywords)}")
    keywords = [dict(given)[name] for name in spoken]

    recognizer = Recognizer(args.bundles[0], form=args.form)
    rate, rng = recognizer.sample_rate, np.random.default_rng(args.seed)
    noise_N = read_recording(args.noise, sample_rate=rate).samples_N
    recordings, hours = [], {}

    def add(name, pairs):
        pairs = list(pairs)[: args.most]
        hours[name] = sum(len(samples_N) for _, samples_N in pairs) / rate / 3600
        recordings.extend(pairs)
        console.print(f"{name}: {len(pairs):,} recordings, {hours[name]:.2f} h")

    for folder, keyword in zip(folders, keywords, strict=True):
        files = sorted(path for path in folder.iterdir() if path.is_file())
        add(f"said: {keyword}", ((keyword, read_recording(path, sample_rate=rate).samples_N) for path in files))
    for manifest in args.negatives:
        pairs = recordings_of(recognizer, [manifest])
        add(str(manifest), (pair for pair in pairs if not any(f" {each} " in f" {pair[0]} " for each in spoken)))
    noises = stretches_of_noise(noise_N, seconds=60 * args.coloured_minutes, sample_rate=rate, rng=rng)
    add("noise alone", (("", piece_N) for piece_N in noises))

    results = []
    for bundle in args.bundles:
        recognizer = Recognizer(bundle, form=args.form)
        model = recognizer.metadata["model"]
        for snr_db in [None, *args.snr]:
            stream = listen(
                recognizer,
                recordings,
                keywords,
                noise_N=noise_N,
                snr_db=snr_db,
                seed=args.seed,
                progress=lambda *_: None,
            )
            records = list(measure(recognizer, [stream], per_hour=args.false_accepts_per_hour))
            results.append(
                {
                    "bundle": str(bundle),
                    "form": recognizer.form,
                    "units": model["units"],
                    "parameters": recognizer.metadata["parameters"],
                    "size_bytes": recognizer.size_bytes,
                    "rtf": round(stream.seconds / stream.audio_seconds, 5),
                    "snr_db": snr_db,
                    "keywords": records,
                }
            )
            show(results[-1], per_hour=args.false_accepts_per_hour)
    for result in results:
        for record in result["keywords"]:
            del record["curve"]
    print(json.dumps({"hours": {name: round(value, 3) for name, value in hours.items()}, "results": results}))


def show(result, *, per_hour):
    """Prints a bundle in one condition."""
    condition = "clean" if result["snr_db"] is None else f"noise at {result['snr_db']:g} dB"
    title = (
        f"{result['bundle']}: {result['units']} units, {result['parameters']:,} weights, "
        f"{result['size_bytes'] / 1000:,.0f} kB ({result['form']}), RTF {result['rtf']:.4f}; {condition}"
    )
    table = Table(title=title, title_justify="left")
    asked = f"{per_hour:g} an hour"
    for column in (
        "keyword", "said", "hours without", f"missed at {asked}", "95 %", "speech a fifth",
        "own threshold", "false an hour",
    ):  # fmt: skip
        table.add_column(column, justify="left" if column == "keyword" else "right")
    for record in result["keywords"]:
        low, high = record["chosen"]["miss_interval"]
        least, most = record["in_use"]["false_accepts_interval"]
        table.add_row(
            record["keyword"],
            f"{record['num_commands']:,}",
            f"{record['negative_seconds'] / 3600:.2f}",
            f"{record['chosen']['miss_rate']:.1%}",
            f"{low:.1%} to {high:.1%}",
            f"{record['speech_a_fifth']['miss_rate']:.1%}",
            f"{record['in_use']['miss_rate']:.1%}",
            f"{record['in_use']['false_accepts_per_hour']:.2f} ({least:.2f} to {most:.2f})",
        )
    mean = {
        key: np.mean([record[key]["miss_rate"] for record in result["keywords"]])
        for key in ("chosen", "speech_a_fifth", "in_use")
    }
    missed = [share_interval(r["chosen"]["num_misses"], r["num_commands"]) for r in result["keywords"]]
    low, high = np.mean(missed, axis=0)
    table.add_row(
        "mean", "", "", f"{mean['chosen']:.1%}", f"{low:.1%} to {high:.1%}", f"{mean['speech_a_fifth']:.1%}",
        f"{mean['in_use']:.1%}", "",
    )  # fmt: skip
    console.print(table)


if __name__ == "__main__":
    main()
