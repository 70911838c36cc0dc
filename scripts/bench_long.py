"""Times `Recognizer.transcribe_file` over the length of a recording: seconds, processor seconds and peak memory.

    python scripts/bench_long.py build/quickstart/bundle                    # 1, 10, 30 and 60 minutes
    python scripts/bench_long.py build/quickstart/bundle --speech build/quickstart/corpus/test.jsonl --minutes 2 10
    python scripts/bench_long.py bundle --speech test.jsonl --minutes 60 --command
    python scripts/bench_long.py bundle --speech test.jsonl --joined 2 5 30 --utterances 300
    python scripts/bench_long.py bundle --speech dev.jsonl --around --utterances 60

The recording is one WAV file of 16 bits: the manifest's utterances one after the other, again and again, or syllables
of noise where none is given. Each length runs in a process of its own, which prints the peak of its memory and how much
of it was there before the recording. With --whole the shortest length is computed as one as well, and the words are
counted that differ from those of the windows. With --command the longest is given to `speechgru transcribe --out` in
place of all that, and its words are compared with those of each utterance recognised by itself.

With --joined nothing is timed: words and errors are counted of utterances one by one and of so many after one another,
computed as one (`at_once`) and in the windows that fit the model; and with a model that streams in a stream, without an
end and with one after 0.8 s of silence. With --around the words of an utterance's own steps are counted, with speech or
silence before or after it.

The last line is one JSON object: `seconds`, `processor_seconds` and `peak_mib` by minutes, and `linear`, the
processor's seconds a minute of the longest over those of the shortest; with --command `seconds`, `processor_seconds`
and `peak_mib` of the command, its `words`, those of the utterances (`words_alone`) and the `differences`; with --joined
the counts by number joined and way.
"""

import argparse
import difflib
import itertools
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # also runs without an installation

import numpy as np
import soundfile
from bench_gru import peak_bytes
from rich.console import Console
from rich.table import Table

console = Console(width=120, highlight=False)


def utterances(manifest, sample_rate):
    """Samples of a manifest's utterances, or of syllables of noise, for ever."""
    from speechgru.audio.reading import read_recording
    from speechgru.utterances.manifest import read_manifest

    rng = np.random.default_rng(0)
    while True:
        if manifest is None:
            loud_N = np.repeat(rng.uniform(0, 0.3, size=20), sample_rate // 5)
            yield (loud_N * rng.normal(size=len(loud_N))).astype(np.float32)
            continue
        for one in read_manifest(manifest):
            yield read_recording(
                one.audio_filepath, sample_rate=sample_rate, offset=one.offset, duration=one.duration
            ).samples_N


def write_recording(path, minutes, manifest, sample_rate):
    left = round(60 * minutes * sample_rate)
    with soundfile.SoundFile(path, "w", sample_rate, 1, "PCM_16") as file:
        for samples_N in utterances(manifest, sample_rate):
            file.write(samples_N[:left])
            left -= len(samples_N[:left])
            if not left:
                return


def parts_of(manifest, sample_rate, seconds):
    """The utterances of which a recording is made, whole ones alone."""
    left = round(seconds * sample_rate)
    for samples_N in utterances(manifest, sample_rate):
        if len(samples_N) > left:
            return
        left -= len(samples_N)
        yield samples_N


def command(bundle, path, minutes, manifest, sample_rate):
    """Times `transcribe --out`, and compares its words with those of the parts."""
    from speechgru.runtime import Recognizer

    out = path.with_suffix(".json")
    arguments = [sys.executable, "-m", "speechgru.cli", "transcribe", bundle, path, "--format", "json", "--out", out]
    root = Path(__file__).resolve().parent.parent
    start = time.perf_counter()
    subprocess.run([str(each) for each in arguments], check=True, env={**os.environ, "PYTHONPATH": str(root)})
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = {"seconds": time.perf_counter() - start, "processor_seconds": used.ru_utime + used.ru_stime}
    answer["peak_mib"] = used.ru_maxrss / 2**10
    words = json.loads(out.read_text(encoding="utf-8"))[0]["words"]
    device = Recognizer(bundle)
    alone = [
        word
        for part in parts_of(manifest, sample_rate, 60 * minutes)
        for word in device.transcribe(part, sample_rate).text.split()
    ]
    together = [word["text"] for word in words]
    codes = difflib.SequenceMatcher(None, alone, together, autojunk=False).get_opcodes()
    differences = sum(max(end - first, after - here) for kind, first, end, here, after in codes if kind != "equal")
    counted = {"words": len(together), "words_alone": len(alone), "differences": differences}
    return {key: round(value, 2) for key, value in answer.items()} | counted


def read_some(device, manifest, number, seed):
    """Samples and normalised words of some of a manifest's utterances."""
    from speechgru.audio.reading import read_recording
    from speechgru.utterances.manifest import read_manifest

    lines = read_manifest(manifest)
    chosen = [lines[place] for place in np.random.default_rng(seed).permutation(len(lines))[:number]]
    samples = [
        read_recording(
            one.audio_filepath, sample_rate=device.sample_rate, offset=one.offset, duration=one.duration
        ).samples_N
        for one in chosen
    ]
    return samples, [device.text_rules.normalize(one.text).split() for one in chosen]


def around(bundle, form, manifest, number, seed):
    """Counts the words of utterances by what stands around them in what is computed as one."""
    from speechgru.decoding import DecodingOptions, decode
    from speechgru.metrics import count_errors
    from speechgru.runtime import Recognizer

    device = Recognizer(bundle, form=form, window_seconds=math.inf)
    step = round(device.step_seconds * device.sample_rate)
    samples, references = read_some(device, manifest, number, seed)
    samples = [each[: len(each) // step * step] for each in samples]
    how = {"vocabulary": device.vocabulary, "step_seconds": device.step_seconds, "options": DecodingOptions()}
    silence_N = np.random.default_rng(seed).normal(0, 1e-4, 20 * device.sample_rate // step * step).astype(np.float32)

    def others(number, count):
        return np.concatenate([samples[(number + each) % len(samples)] for each in range(1, count + 1)])

    ways = {
        "nothing": lambda number: ([], []),
        "20 s of silence before and after it": lambda number: ([silence_N], [silence_N]),
        "five others before it": lambda number: ([others(number, 5)], []),
        "five others after it": lambda number: ([], [others(number, 5)]),
        "five others before and after it": lambda number: ([others(number, 5)], [others(number + 5, 5)]),
        "itself twice before and after it": lambda number: ([samples[number]] * 2, [samples[number]] * 2),
    }
    table = Table("around it", title=f"{len(samples)} utterances of {manifest}, {bundle}", title_justify="left")
    for column in ("words", "deleted", "WER"):
        table.add_column(column, justify="right")
    answer = {}
    for way, place in ways.items():
        found = {"words": 0, "deletions": 0, "errors": 0, "reference": 0}
        for number, own_N in enumerate(samples):
            before, after = place(number)
            first, count = sum(map(len, before)) // step, len(own_N) // step
            log_probs_SV = device.log_probs(np.concatenate([*before, own_N, *after]))[first : first + count]
            words = decode(log_probs_SV, **how)[0].text.split()
            errors = count_errors(references[number], words)
            found["words"] += len(words)
            found["reference"] += len(references[number])
            found["deletions"] += errors.deletions
            found["errors"] += errors.substitutions + errors.insertions + errors.deletions
        answer[way] = found
        wer = 100 * found["errors"] / max(1, found["reference"])
        table.add_row(way, str(found["words"]), str(found["deletions"]), f"{wer:.1f} %")
    console.print(table)
    print(json.dumps(answer))


def joined(bundle, form, manifest, counts, number, seed):
    """Counts words and errors of utterances one by one, and of several after one another."""
    from speechgru.decoding import EndpointRule
    from speechgru.metrics import count_errors
    from speechgru.runtime import Recognizer

    device, at_once = Recognizer(bundle, form=form), Recognizer(bundle, form=form, window_seconds=math.inf)
    rate = device.sample_rate
    samples, references = read_some(device, manifest, number, seed)

    def streamed(samples_N, endpoint):
        stream = device.stream(endpoint=endpoint)
        ended = stream.feed(samples_N).ended
        return " ".join(each.text for each in (*ended, stream.finish()))

    ways = {
        "at_once": lambda samples_N: at_once.transcribe(samples_N, rate).text,
        "in_windows": lambda samples_N: device.transcribe(samples_N, rate).text,
    }
    if device.streams:
        ways["stream"] = lambda samples_N: streamed(samples_N, None)
        ways["stream_0.8"] = lambda samples_N: streamed(samples_N, EndpointRule(trailing_seconds=0.8))
    table = Table("joined", title=f"{len(samples)} utterances of {manifest}, {bundle}", title_justify="left")
    for column in ("way", "words", "right", "substituted", "inserted", "deleted", "WER"):
        table.add_column(column, justify="left" if column == "way" else "right")
    answer = {}
    for count in counts:
        for way, transcribe in ways.items():
            found = {"words": 0, "reference": 0, "substitutions": 0, "insertions": 0, "deletions": 0}
            for first in range(0, len(samples), count):
                expected = list(itertools.chain.from_iterable(references[first : first + count]))
                words = transcribe(np.concatenate(samples[first : first + count])).split()
                errors = count_errors(expected, words)
                found["words"] += len(words)
                found["reference"] += len(expected)
                for kind in ("substitutions", "insertions", "deletions"):
                    found[kind] += getattr(errors, kind)
            wrong = [found[kind] for kind in ("substitutions", "insertions", "deletions")]
            found["wer"] = round(sum(wrong) / max(1, found["reference"]), 4)
            answer.setdefault(str(count), {})[way] = found
            right = found["reference"] - found["substitutions"] - found["deletions"]
            table.add_row(str(count), way, *map(str, (found["words"], right, *wrong)), f"{100 * found['wer']:.1f} %")
    console.print(table)
    limits = device.limits
    console.print(f"as one up to {limits.whole_seconds:.1f} s, windows of {limits.window_seconds:.1f} s beyond")
    print(json.dumps(answer))


def measure(bundle, form, beam_width, path, whole):
    """Transcribes a file in this process; prints one JSON object."""
    from speechgru.decoding import DecodingOptions
    from speechgru.runtime import Recognizer

    device = Recognizer(bundle, form=form, **({"window_seconds": math.inf} if whole else {}))
    device.log_probs(np.zeros(device.sample_rate, np.float32))
    before, start, start_processor = peak_bytes(), time.perf_counter(), time.process_time()
    hypothesis = device.transcribe_file(path, DecodingOptions(beam_width=beam_width))
    record = {"seconds": time.perf_counter() - start, "processor": time.process_time() - start_processor}
    print(json.dumps(record | {"before": before, "peak": peak_bytes(), "text": hypothesis.text}))


def run(arguments, path, *, whole=False):
    command = [sys.executable, __file__, arguments.bundle, "--measure", path, "--beam-width", arguments.beam_width]
    command += ["--form", arguments.form] if arguments.form else []
    command += ["--whole"] if whole else []
    done = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10, 30, 60])
    parser.add_argument("--speech", type=Path, help="a manifest of what is said")
    parser.add_argument("--form", help="which of the bundle's models")
    parser.add_argument("--beam-width", type=int, default=1)
    parser.add_argument("--whole", action="store_true", help="compare the shortest with all of it computed as one")
    parser.add_argument("--command", action="store_true", help="time `transcribe --out` on the longest; needs --speech")
    parser.add_argument("--joined", type=int, nargs="+", help="count the words of so many utterances after one another")
    parser.add_argument("--around", action="store_true", help="count the words of utterances by what is around them")
    parser.add_argument("--utterances", type=int, default=300, help="with --joined and --around: of how many")
    parser.add_argument("--seed", type=int, default=0, help="with --joined and --around: which of the manifest")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.bundle, arguments.form, arguments.beam_width, arguments.measure, arguments.whole)
        return
    if (arguments.joined or arguments.around or arguments.command) and arguments.speech is None:
        parser.error("--joined, --around and --command count words; give --speech")
    if arguments.around:
        around(arguments.bundle, arguments.form, arguments.speech, arguments.utterances, arguments.seed)
        return
    if arguments.joined:
        counts = sorted({1, *arguments.joined})
        joined(arguments.bundle, arguments.form, arguments.speech, counts, arguments.utterances, arguments.seed)
        return
    from speechgru.metrics import count_errors
    from speechgru.runtime import read_bundle

    sample_rate = read_bundle(arguments.bundle)["sample_rate"]
    if arguments.command:
        with tempfile.TemporaryDirectory() as temporary:
            path, minutes = Path(temporary) / "long.wav", max(arguments.minutes)
            write_recording(path, minutes, arguments.speech, sample_rate)
            print(json.dumps(command(arguments.bundle, path, minutes, arguments.speech, sample_rate)))
        return
    answer = {"seconds": {}, "processor_seconds": {}, "peak_mib": {}}
    table = Table("minutes", title=f"One recording, one thread, {arguments.bundle}", title_justify="left")
    for column in ("s", "processor s", "s / minute", "peak MiB", "of it before", "words"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "long.wav"
        for minutes in sorted(arguments.minutes):
            write_recording(path, minutes, arguments.speech, sample_rate)
            found = run(arguments, path)
            key = f"{minutes:g}"
            answer["seconds"][key] = round(found["seconds"], 3)
            answer["processor_seconds"][key] = round(found["processor"], 3)
            answer["peak_mib"][key] = round(found["peak"] / 2**20)
            table.add_row(
                key,
                f"{found['seconds']:.2f}",
                f"{found['processor']:.2f}",
                f"{found['seconds'] / minutes:.3f}",
                f"{found['peak'] / 2**20:.0f}",
                f"{found['before'] / 2**20:.0f}",
                f"{len(found['text'].split()):,}",
            )
            if arguments.whole and minutes == min(arguments.minutes):
                whole = run(arguments, path, whole=True)
                errors = count_errors(whole["text"].split(), found["text"].split())
                answer["different_words"] = errors.substitutions + errors.insertions + errors.deletions
                answer["words"] = len(whole["text"].split())
    console.print(table)
    if "words" in answer:
        console.print(f"{answer['different_words']} of {answer['words']:,} words differ from those computed as one")
    per_minute = [seconds / float(minutes) for minutes, seconds in answer["processor_seconds"].items()]
    answer["linear"] = round(per_minute[-1] / per_minute[0], 3)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
