"""Many streams over one model, in turns, for minutes: whether each gives the text of the whole recording, and memory.

    python scripts/bench_streams.py BUNDLE MANIFEST [--streams 20] [--minutes 2] [--form dynamic]

Each stream is somebody who speaks one recording after the other, in pieces of random length. The last line is JSON:
`num_recordings`, `num_different` (texts that are not the whole recording's), `audio_seconds_per_second`, `rss_mb` after
a third of the time and at the end, and `memory_growth`, the second over the first.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from speechgru.audio.reading import read_recording
from speechgru.cli import run_command
from speechgru.errors import UserError
from speechgru.runtime import Recognizer
from speechgru.utterances.manifest import read_manifest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--form", default=None)
    args = parser.parse_args()

    recognizer = Recognizer(args.bundle, form=args.form)
    rate, rng = recognizer.sample_rate, np.random.default_rng(0)
    utterances = read_manifest(args.manifest)[:200]
    sounds = [
        read_recording(one.audio_filepath, sample_rate=rate, offset=one.offset, duration=one.duration).samples_N
        for one in utterances
    ]
    if not sounds:
        raise UserError(f"{args.manifest}: holds no recording to speak")
    expected = [recognizer.transcribe(samples_N, rate).text for samples_N in sounds]
    speakers = [itertools.islice(itertools.cycle(range(len(sounds))), k, None) for k in range(args.streams)]
    speaking = [begin(recognizer, next(speaker)) for speaker in speakers]
    num_recordings = num_different = num_samples = 0
    memory, started = [], time.perf_counter()
    reported = 0.0
    while (now := time.perf_counter() - started) < 60 * args.minutes:
        if now >= reported:
            memory.append((now, resident_mb()))
            reported += 60 * args.minutes / 12
        for k, (stream, number, place) in enumerate(speaking):
            size = int(rng.integers(1, rate // 5))
            stream.feed(sounds[number][place : place + size])
            num_samples += len(sounds[number][place : place + size])
            if place + size < len(sounds[number]):
                speaking[k] = (stream, number, place + size)
                continue
            num_recordings += 1
            num_different += stream.finish().text != expected[number]
            speaking[k] = begin(recognizer, next(speakers[k]))
    seconds = time.perf_counter() - started
    memory.append((seconds, resident_mb()))

    table = Table("second", "resident memory, MB", title=f"{args.streams} streams over one {recognizer.form} model")
    for second, megabytes in memory:
        table.add_row(f"{second:.0f}", f"{megabytes:.1f}")
    console = Console()
    console.print(table)
    settled = memory[len(memory) // 3][1]
    result = {
        "streams": args.streams,
        "seconds": round(seconds, 1),
        "num_recordings": num_recordings,
        "num_different": num_different,
        "audio_seconds_per_second": round(num_samples / rate / seconds, 1),
        "rss_mb": [settled, memory[-1][1]],
        "memory_growth": round(memory[-1][1] / settled, 4),
    }
    console.print(
        f"{num_recordings:,} recordings, {num_different} differ from the whole recording's text; "
        f"{result['audio_seconds_per_second']:.0f} seconds of speech a second"
    )
    print(json.dumps(result))


def begin(recognizer: Recognizer, number: int) -> tuple:
    """A new stream, its recording, and the position of its next sample."""
    return recognizer.stream(), number, 0


def resident_mb() -> float:
    """Memory of this process that is in use now, MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * 4096 / 1e6, 1)


if __name__ == "__main__":
    run_command(main)
