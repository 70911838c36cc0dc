"""Damaged recordings: each is read, or named in an error; none ends the process, hangs it or takes its memory.

The reader stands on C code, which could end the process. So the cases run in child processes (this file, run as a
program), with a limit of time for each case and of memory for all. Where a child dies, the case at which it died fails
with its form and number, and another child resumes behind it.
"""

from __future__ import annotations

import faulthandler
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechgru.audio.reading import read_recording
from speechgru.errors import AudioError

#: format, subtype, suffix
FORMS = {
    "wav-16": ("WAV", "PCM_16", ".wav"),
    "wav-8": ("WAV", "PCM_U8", ".wav"),
    "wav-24": ("WAV", "PCM_24", ".wav"),
    "wav-float": ("WAV", "FLOAT", ".wav"),
    "wav-double": ("WAV", "DOUBLE", ".wav"),
    "wav-alaw": ("WAV", "ALAW", ".wav"),
    "wav-ima": ("WAV", "IMA_ADPCM", ".wav"),
    "wav-ms": ("WAV", "MS_ADPCM", ".wav"),
    "wav-gsm": ("WAV", "GSM610", ".wav"),
    "wavex": ("WAVEX", "PCM_16", ".wav"),
    "rf64": ("RF64", "PCM_16", ".wav"),
    "w64": ("W64", "PCM_16", ".w64"),
    "flac-16": ("FLAC", "PCM_16", ".flac"),
    "flac-24": ("FLAC", "PCM_24", ".flac"),
    "flac-streamed": ("FLAC", "PCM_16", ".flac"),
    "vorbis": ("OGG", "VORBIS", ".ogg"),
    "opus": ("OGG", "OPUS", ".opus"),
    "mp3": ("MP3", "MPEG_LAYER_III", ".mp3"),
    "mp3-streamed": ("MP3", "MPEG_LAYER_III", ".mp3"),
    "aiff": ("AIFF", "PCM_16", ".aiff"),
    "au": ("AU", "PCM_16", ".au"),
    "caf": ("CAF", "PCM_16", ".caf"),
    "sphere": ("NIST", "PCM_16", ".sph"),
}
NUM_CASES = 60
SECONDS_A_CASE = 10
GIGABYTES = 2
#: From files of some thousand bytes: the rate may rise sixteenfold, and a frame may hold more than it did.
MOST_SAMPLES = 1 << 22


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """Flips, overwrites, cuts, pads, repeats or takes out bytes; half of the places lie in the first 200 bytes."""
    damaged = bytearray(content)

    def place() -> int:
        return int(rng.integers(min(200, len(damaged)) if rng.random() < 0.5 else len(damaged)))

    for _ in range(rng.integers(1, 4)):
        kind = rng.integers(8)
        if len(damaged) < 16:
            break
        if kind == 0:  # single bits
            for _ in range(rng.integers(1, 9)):
                damaged[place()] ^= 1 << rng.integers(8)
        elif kind == 1:
            damaged[place()] = rng.choice([0, 1, 0x7F, 0x80, 0xFF])
        elif kind == 2:  # a length or a count that cannot be
            value = int(rng.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000]))
            start = place()
            damaged[start : start + 4] = value.to_bytes(4, str(rng.choice(["big", "little"])))
        elif kind == 3:
            del damaged[place() :]
        elif kind == 4:
            damaged += rng.bytes(int(rng.integers(1, 3000)))
        elif kind == 5:
            damaged += bytes(int(rng.integers(1, 3000)))
        elif kind == 6:
            start = place()
            damaged[start:start] = damaged[start : start + int(rng.integers(1, 500))]
        else:
            start = place()
            del damaged[start : start + int(rng.integers(1, 500))]
    return bytes(damaged)


def run_cases(folder: Path, reader: str, skip: int, forms: list[str]) -> None:
    """The child: prints which case begins, and its outcome."""
    import resource

    if reader == "tensorflow_io":  # TensorFlow alone reserves more addresses than the limit
        from speechgru.audio.in_graph import load_samples
    else:
        resource.setrlimit(resource.RLIMIT_AS, (GIGABYTES << 30, GIGABYTES << 30))
    for form, case in [(form, case) for form in forms for case in range(NUM_CASES)][skip:]:
        print(json.dumps({"form": form, "case": case}), flush=True)
        whole = next(folder.glob(f"{form}.*"))
        path = whole.with_name(f"damaged-{whole.name}")
        path.write_bytes(damage(whole.read_bytes(), np.random.default_rng([case, *form.encode()])))
        # A thread of its own ends the process, even while C code holds the interpreter.
        faulthandler.dump_traceback_later(1 if reader == "hang" else SECONDS_A_CASE, exit=True)
        if reader == "die" and case == 3:
            os.abort()
        if reader == "hang" and case == 3:
            time.sleep(60)
        try:
            if reader == "tensorflow_io":
                samples_N = load_samples(str(path), 0.0, -1.0, sample_rate=16000, engine=reader).numpy()
            else:
                offset, duration = [(0.0, None), (0.1, 0.1)][case % 2]
                samples_N = read_recording(path, sample_rate=16000, offset=offset, duration=duration).samples_N
        except AudioError as error:
            is_named = str(error).startswith(f"{path}: ") and len(str(error)) > len(str(path)) + 10
            outcome, detail = "error" if is_named else "failed", str(error)
        except BaseException as error:  # the parent reports it
            outcome, detail = "failed", f"{type(error).__name__}: {error}"
        else:
            is_sane = samples_N.dtype == np.float32 and np.isfinite(samples_N).all() and len(samples_N) < MOST_SAMPLES
            outcome, detail = "samples" if is_sane else "failed", f"{samples_N.dtype} {samples_N.shape}"
        print(json.dumps({"form": form, "case": case, "outcome": outcome, "detail": detail}), flush=True)
    faulthandler.cancel_dump_traceback_later()


def outcomes_of(folder: Path, forms: list[str], *, reader: str = "soundfile") -> list[dict]:
    """What came of each case; one that ended the child has `died`, or `hung`."""
    outcomes: list[dict] = []
    while len(outcomes) < NUM_CASES * len(forms):
        command = [sys.executable, __file__, str(folder), reader, str(len(outcomes)), *forms]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        reports = [json.loads(line) for line in done.stdout.splitlines()]
        outcomes += [record for record in reports if "outcome" in record]
        if done.returncode:
            assert reports and "outcome" not in reports[-1], done.stderr  # it did not even begin
            outcome = "hung" if "Timeout (" in done.stderr else "died"
            outcomes.append({**reports[-1], "outcome": outcome, "detail": f"{done.returncode}: {done.stderr[-2000:]}"})
    return outcomes


@pytest.fixture(scope="module")
def wholes(tmp_path_factory):
    """A folder with one small recording of each form that this libsndfile writes."""
    if sys.platform == "win32":
        pytest.skip("limits of memory are POSIX's")
    from conftest import write_wav

    folder = tmp_path_factory.mktemp("wholes")
    for form, (container, encoding, suffix) in FORMS.items():
        if not soundfile.check_format(container, encoding):
            continue
        path = write_wav(
            folder,
            form + suffix,
            seconds=0.25,
            num_channels=1 if form == "wav-gsm" else 1 + len(form) % 2,
            format=container,
            subtype=encoding,
        )
        content = bytearray(path.read_bytes())
        if form == "flac-streamed":
            assert content[:4] == b"fLaC"
            content[21] &= 0xF0  # the 36 bits of the count
            content[22:26] = bytes(4)
        elif form == "mp3-streamed":
            place = max(content.find(b"Xing"), content.find(b"Info"))
            assert place > 0
            content[place : place + 4] = bytes(4)
        path.write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def outcomes(wholes):
    """The outcomes of all cases."""
    return outcomes_of(wholes, [form for form in FORMS if list(wholes.glob(f"{form}.*"))])


def failures(records):
    return [record for record in records if record["outcome"] not in ("samples", "error")]


@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_recording_is_read_or_named(form, outcomes, record_property):
    records = [record for record in outcomes if record["form"] == form]
    if not records:
        pytest.skip(f"this libsndfile does not write {form}")
    record_property("outcomes", dict(Counter(record["outcome"] for record in records)))
    assert not failures(records)
    assert [record["case"] for record in records] == list(range(NUM_CASES))


def test_damage_gives_both_samples_and_errors(outcomes, record_property):
    counts = Counter(record["outcome"] for record in outcomes)
    record_property("outcomes", dict(counts))
    print(f"{len(outcomes)} damaged recordings: {dict(counts)}")
    assert len(outcomes) >= 600
    assert min(counts["samples"], counts["error"]) > 200


def test_the_whole_ones_are_read(wholes):
    for path in wholes.iterdir():
        if not path.name.startswith("damaged"):
            # ADPCM and GSM fill their last block, a streamed MP3 keeps what its encoder put before and after.
            assert 4000 - 1 <= len(read_recording(path).samples_N) < 4000 + 3 * 1152, path


@pytest.mark.parametrize(("reader", "outcome"), [("die", "died"), ("hang", "hung")])
def test_a_death_and_a_hang_would_be_noticed(wholes, reader, outcome):
    records = outcomes_of(wholes, ["wav-16"], reader=reader)
    assert [(record["case"], record["outcome"]) for record in failures(records)] == [(3, outcome)]
    assert len(records) == NUM_CASES


def test_tensorflow_io_reads_or_names_a_damaged_recording(wholes, record_property):
    pytest.importorskip("tensorflow_io", reason="tensorflow_io is not installed (it has no release for Python 3.13)")
    records = outcomes_of(wholes, ["wav-16", "wav-float", "flac-16", "vorbis", "mp3"], reader="tensorflow_io")
    counts = Counter(record["outcome"] for record in records)
    record_property("outcomes", dict(counts))
    assert not failures(records)
    assert min(counts["samples"], counts["error"]) > 50


if __name__ == "__main__":
    run_cases(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:])
