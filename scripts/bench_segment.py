"""Makes an audiobook whose text is not quite its text, cuts it with `speechgru segment`, and counts what became of it.

    python scripts/bench_segment.py BUNDLE --source ../shared/data/kathleen

The book: the sentences of CMU Arctic's first set as one person reads them, one after the other with pauses of 0.3 to
1.2 s of noise. A preface is spoken that is not in the text; a title and a heading are written that nobody speaks; of
the sentences 5 % are written and not spoken, 5 % spoken and not written, single ones and rows of two to four; some are
read twice. The first half of the set (--part dev) is for choosing, the second (--part test) for reporting.

An utterance is right where its text is what is spoken in it, whole sentences, and begins and ends less than half a
second from theirs; else it is wrong. A sentence that is written and spoken is missed where no right utterance has it.
The last line is one JSON object.
"""

import argparse
import csv
import json
import re
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # also runs without an installation

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

console = Console(width=120, highlight=False)
RATE = 16000
PARTS = {"dev": (1, 300), "test": (301, 600)}
HEAD = ["THE ARCTIC PROMPTS", "", "Chapter the first, in which a good many things are read aloud.", ""]


def sentences(source, letter, first, last):
    """(file, text) of the prompts of a set, each text once."""
    found = {}
    with open(source / "transcripts.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            name = re.fullmatch(r"audio/arctic_([ab])(\d+)_\d+\.ogg", row["file"])
            if name and name[1] == letter and first <= int(name[2]) <= last:
                found.setdefault(row["text"], source / row["file"])
    return [(path, text) for text, path in found.items()]


def make_book(source, part, seed):
    """Samples, the text, and what is spoken: start, end, text, whether it is written."""
    from speechgru.audio.reading import read_recording

    rng = np.random.default_rng(seed)
    rows = sentences(source, "a", *PARTS[part])
    kinds = np.array(["both"] * len(rows), dtype=object)
    for kind in ("written", "spoken"):
        for first in rng.integers(0, len(rows) - 5, size=3):
            kinds[first : first + rng.integers(2, 5)] = kind
    left, count = rng.permutation(np.flatnonzero(kinds == "both")), len(rows) // 20
    for place, kind in enumerate(("written", "spoken", "twice")):
        kinds[left[place * count : (place + 1) * count]] = kind
    preface = [(path, text, "spoken") for path, text in sentences(source, "b", 1, 8)]
    pieces, spoken, lines, num_samples = [], [], list(HEAD), 0
    for path, text, kind in [*preface, *((*row, kind) for row, kind in zip(rows, kinds, strict=True))]:
        if kind != "spoken":
            lines.append(text + ("\n" if rng.random() < 0.15 else ""))
        for _ in range({"written": 0, "twice": 2}.get(kind, 1)):
            pause_N = 2e-4 * rng.normal(size=int(rng.uniform(0.3, 1.2) * RATE))
            samples_N = read_recording(path, sample_rate=RATE).samples_N
            begin = num_samples + len(pause_N)
            num_samples = begin + len(samples_N)
            pieces += [pause_N, samples_N]
            spoken.append((begin / RATE, num_samples / RATE, text, kind != "spoken"))
    return np.concatenate(pieces), "\n".join(lines) + "\n", spoken


def judge(segments, spoken, normalize):
    """Counts of utterances that are right, wrong in their text, wrong at their edges; and of sentences missed."""
    counts, covered = {"right": 0, "wrong_text": 0, "wrong_edges": 0}, set()
    for one in segments:
        begin, end = one.offset, one.offset + one.duration
        inside = [row for row in spoken if begin < (row[0] + row[1]) / 2 < end]
        if normalize(" ".join(row[2] for row in inside)) != normalize(one.text):
            counts["wrong_text"] += 1
            console.print(f"wrong: {one.text!r} for {[row[2] for row in inside]} (cost {one.cost})", markup=False)
        elif begin > inside[0][0] + 0.5 or begin < inside[0][0] - 0.5 or abs(end - inside[-1][1]) > 0.5:
            counts["wrong_edges"] += 1
            covered |= {row[2] for row in inside}
        else:
            counts["right"] += 1
            covered |= {row[2] for row in inside}
    expected = {row[2] for row in spoken if row[3]}
    return counts | {"sentences": len(expected), "missed": len(expected - covered)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--source", type=Path, required=True, help="the folder with transcripts.csv")
    parser.add_argument("--part", choices=PARTS, default="test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder that keeps the book")
    arguments = parser.parse_args()
    from speechgru.align import segment
    from speechgru.runtime import Recognizer

    samples_N, text, spoken = make_book(arguments.source, arguments.part, arguments.seed)
    recognizer = Recognizer(arguments.bundle)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / "book.flac", samples_N, RATE)
        (folder / "book.txt").write_text(text, encoding="utf-8")
        started = time.process_time()
        done = segment(recognizer, folder / "book.flac", folder / "book.txt")
        seconds = time.process_time() - started
    answer = judge(done.segments, spoken, recognizer.text_rules.normalize)
    answer |= {"part": arguments.part, "minutes": round(done.duration / 60, 2), "processor_seconds": round(seconds, 2)}
    answer["utterances"] = len(done.segments)
    answer["kept_share"] = round(1 - answer["missed"] / answer["sentences"], 4)
    answer["wrong_share"] = round((answer["wrong_text"] + answer["wrong_edges"]) / max(1, len(done.segments)), 4)
    table = Table(*answer, title=f"{arguments.bundle}, seed {arguments.seed}", title_justify="left")
    table.add_row(*map(str, answer.values()))
    console.print(table)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
