"""The corpus doctor names what is wrong with which line, accuses nothing else, and keeps the rest."""

import json

import numpy as np
import pytest
import soundfile

from speechgru.config.sections import RunConfig
from speechgru.errors import ManifestError, UserError
from speechgru.text import Vocabulary
from speechgru.utterances.check import check
from speechgru.utterances.manifest import read_manifest


def change(**sections):
    """A configuration with what the messages below name fixed, whatever the defaults are."""
    fixed = {
        "data": {"sample_rate": 16000, "num_workers": 3},
        "text": {"characters": " 'abcdefghijklmnopqrstuvwxyz"},
        "model": {"subsampling_factor": 2},
    }
    return RunConfig.model_validate({name: fixed.get(name, {}) | sections.get(name, {}) for name in fixed | sections})


CONFIG = change()


@pytest.fixture
def sick(tmp_path, write_wav, write_lines):
    """A manifest with one utterance of each sickness between healthy ones, and by line the reason and its message."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "corpus"
    good = iter(range(100))

    def healthy(**more):
        number = next(good)
        seconds = float(rng.uniform(0.5, 1.5))
        suffix = (".wav", ".flac", ".ogg")[number % 3]
        path = write_wav(folder, f"good{number}{suffix}", seconds=seconds, sample_rate=(8000, 16000, 44100)[number % 3])
        return {"audio_filepath": path.name, "duration": soundfile.info(path).duration, "text": "Yes, it's on!", **more}

    write_wav(folder, "truncated.wav")
    (folder / "truncated.wav").write_bytes((folder / "truncated.wav").read_bytes()[:-10000])
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("turn on the light\n" * 9, encoding="utf-8")
    write_wav(folder, "zero.wav", seconds=0)
    write_wav(folder, "plain.wav")
    write_wav(folder, "tiny.wav", seconds=0.05)
    write_wav(folder, "brief.wav", seconds=0.3)
    write_wav(folder, "long.wav", seconds=31, sample_rate=4000)
    write_wav(folder, "short.ogg", seconds=0.5)

    def line(name, text="yes", duration=1.0, **more):
        return {"audio_filepath": name, "duration": duration, "text": text, **more}

    entries = [
        (healthy(), None, None),
        (line("truncated.wav"), "unreadable", "is truncated: its header promises 32000 bytes, 22000 are there; copy"),
        (healthy(), None, None),
        (line("empty.wav"), "unreadable", "is empty (0 bytes); record or copy it again"),
        (line("text.wav"), "unreadable", "cannot be decoded (Format not recognised); it is not a recording"),
        (healthy(speaker="ada", snr_db=20), None, None),
        (line("zero.wav", duration=0.0), "no samples", "holds no samples; record it again"),
        (line("zero.wav", duration=0.5), "no samples", "holds no samples; record it again"),
        (line("missing.wav"), "unreadable", "no such recording (No such file or directory)"),
        (line("plain.wav", "groß 7"), "unknown character", "'ß' (U+00DF), '7' (U+0037) are not in the vocabulary"),
        (line("plain.wav", "yes", 0.4, offset=0.3), None, None),
        (line("tiny.wav", duration=0.05), "too short", "0.050 s, below data.min_duration_seconds (0.1)"),
        (line("long.wav", duration=31.0), "too long", "31.0 s, above data.max_duration_seconds (30); cut it into segm"),
        (
            line("brief.wav", "balloon", 0.3) | {"text": "all the balloons are in the hall"},
            "too few steps",
            "0.300 s give 16 steps, too few for the 32 characters of 'all the balloons are in the hall' (CTC needs 36)",
        ),
        (
            line("short.ogg", duration=2.0),
            "duration mismatch",
            "is 0.500 s long, shorter than the segment from 0 s to 2",
        ),
        (line("plain.wav", "", 1.0), None, None),
        (healthy(), None, None),
    ]
    manifest = write_lines(folder / "m.jsonl", [entry for entry, _, _ in entries])
    expected = {number: (reason, part) for number, (_, reason, part) in enumerate(entries, start=1) if reason}
    return manifest, expected, len(entries)


def test_each_sickness_is_named_and_nothing_else(sick):
    manifest, expected, count = sick
    (findings,) = check([manifest], config=CONFIG)
    assert {problem.utterance.line: problem.reason for problem in findings.problems} == {
        line: reason for line, (reason, _) in expected.items()
    }
    for problem in findings.problems:
        assert problem.message.startswith(problem.utterance.audio_filepath + ": ")
        assert expected[problem.utterance.line][1] in problem.message
    healthy = [line for line in range(1, count + 1) if line not in expected]
    assert [examined.utterance.line for examined in findings.usable] == healthy
    assert sum(findings.counts.values()) == len(expected)
    assert findings.counts["no samples"] == 2


def test_the_cleaned_manifest_holds_exactly_the_rest(sick, tmp_path):
    manifest, expected, count = sick
    (findings,) = check([manifest], config=CONFIG, out=tmp_path / "new" / "clean.jsonl")
    cleaned = read_manifest(tmp_path / "new" / "clean.jsonl")
    kept = [utterance for utterance in read_manifest(manifest) if utterance.line not in expected]
    assert len(cleaned) == len(kept) == count - len(expected)
    for new, old in zip(cleaned, kept, strict=True):
        same = ("audio_filepath", "text", "speaker", "extra")
        assert [getattr(new, name) for name in same] == [getattr(old, name) for name in same]
        assert (new.duration, new.offset) == pytest.approx((old.duration, old.offset), abs=1e-6)
    (again,) = check([tmp_path / "new" / "clean.jsonl"], config=CONFIG)
    assert not again.problems
    assert len(again.usable) == len(findings.usable)


def test_the_order_is_the_manifests_with_any_number_of_workers(sick):
    manifest, _, _ = sick
    answers = []
    for num_workers in (1, 2, 8):
        (findings,) = check([manifest], config=change(data={"num_workers": num_workers}))
        answers.append((findings.usable, findings.problems))
    assert answers[0] == answers[1] == answers[2]
    lines = [problem.utterance.line for problem in answers[0][1]]
    assert lines == sorted(lines)


def test_progress_counts_every_utterance(sick):
    manifest, expected, count = sick
    calls = []
    check([manifest], config=CONFIG, progress=lambda *arguments: calls.append(arguments))
    assert [done for _, done, _, _ in calls] == list(range(1, count + 1))
    assert {(stage, total) for stage, _, total, _ in calls} == {("checking m.jsonl", count)}
    assert calls[0][3] == ""
    assert calls[-1][3] == f"{len(expected)} left out"


def test_a_problem_is_ready_for_json(sick):
    manifest, _, _ = sick
    (findings,) = check([manifest], config=CONFIG)
    record = json.loads(json.dumps(findings.problems[0].as_record(manifest)))
    assert record.keys() == {"manifest", "line", "audio_filepath", "reason", "message"}
    assert (record["manifest"], record["line"], record["reason"]) == (str(manifest), 2, "unreadable")


def test_the_checked_manifest_is_not_touched(sick):
    manifest, _, _ = sick
    before = {path: path.read_bytes() for path in manifest.parent.iterdir()}
    check([manifest], config=CONFIG)
    assert {path: path.read_bytes() for path in manifest.parent.iterdir()} == before


@pytest.fixture
def one(tmp_path, write_wav, write_lines):
    """Checks one utterance; gives its problem's reason, or None."""

    def one(text="yes", *, seconds=1.0, config=CONFIG, vocabulary=None, **more):
        path = write_wav(tmp_path, "one.wav", seconds=seconds)
        record = {"audio_filepath": str(path), "duration": seconds, "text": text, **more}
        manifest = write_lines(tmp_path / "one.jsonl", [record])
        (findings,) = check([manifest], config=config, vocabulary=vocabulary)
        return findings.problems[0].reason if findings.problems else None

    return one


def test_the_rules_are_the_configurations(one):
    assert one("groß", config=RunConfig()) is None, "the default is every character of the corpus"
    assert one("light on", config=change(text={"unit": "word", "words": ["light", "off"]})) == "unknown word"
    assert one("light on", config=change(text={"unit": "word"})) is None
    assert one("50%", config=change(text={"characters": "05%", "keep_punctuation": "%"})) is None
    assert one("groß", config=change(text={"characters": "groß"})) is None
    assert one("groß", vocabulary=Vocabulary("gro")) == "unknown character"
    assert one("Yes", config=change(text={"lowercase": False})) == "unknown character"
    assert one("yes!", config=change(text={"remove_punctuation": False})) == "unknown character"
    assert one(seconds=2.0, config=change(data={"max_duration_seconds": 1.5})) == "too long"
    assert one(seconds=0.3, config=change(data={"min_duration_seconds": 0.4})) == "too short"
    text = "as many letters as there are seconds times fifty"  # 48 of them, "there are" has no doubled one
    assert one(text) is None
    assert one(text, config=change(model={"subsampling_factor": 4})) == "too few steps"


def test_steps_are_counted_to_the_last_one(one):
    """1600 samples give 1 + 1600 // 160 = 11 frames and 6 steps: 6 letters fit, 7 do not, nor 6 with a doubled one."""
    assert one("abcdef", seconds=0.1) is None
    assert one("abcdefg", seconds=0.1) == "too few steps"
    assert one("abccde", seconds=0.1) == "too few steps"
    assert one("abccd", seconds=0.1) is None


def test_a_segment_is_measured_not_its_file(one):
    assert one("yes", seconds=1.0, duration=0.05, offset=0.5) == "too short"
    assert one("yes", seconds=1.0, duration=0.3, offset=0.9) == "duration mismatch"
    assert one("yes", seconds=1.0, duration=0.0) is None  # 0: not known, so the whole file


def test_several_manifests_are_cleaned_into_a_folder_by_name(sick, tmp_path, write_wav, write_lines):
    manifest, expected, count = sick
    path = write_wav(tmp_path, "b.wav")
    other = write_lines(tmp_path / "other.jsonl", [{"audio_filepath": str(path), "duration": 1.0, "text": "b"}])
    first, second = check([manifest, other], config=CONFIG, out=tmp_path / "clean")
    assert (first.manifest, second.manifest) == (manifest, other)
    assert len(read_manifest(tmp_path / "clean" / "m.jsonl")) == count - len(expected)
    assert len(read_manifest(tmp_path / "clean" / "other.jsonl")) == 1


def test_one_manifest_is_cleaned_into_a_folder_that_is_there(sick, tmp_path):
    manifest, expected, count = sick
    (tmp_path / "clean").mkdir()
    check([manifest], config=CONFIG, out=tmp_path / "clean")
    assert len(read_manifest(tmp_path / "clean" / "m.jsonl")) == count - len(expected)


def test_a_manifest_can_be_cleaned_in_place(sick):
    manifest, expected, count = sick
    check([manifest], config=CONFIG, out=manifest)
    assert len(read_manifest(manifest)) == count - len(expected)
    quarantine = manifest.with_name("m.quarantine.jsonl")
    left_out = quarantine.read_bytes()
    (manifest.parent / "by_another_name").symlink_to(manifest.parent)
    for out in (manifest, manifest.parent / "by_another_name"):
        check([manifest], config=CONFIG, out=out)
        assert quarantine.read_bytes() == left_out, "nothing else has those lines any more"


def test_manifests_of_one_name_do_not_overwrite_each_other(sick, tmp_path, write_lines):
    manifest, _, _ = sick
    (tmp_path / "b").mkdir()
    other = write_lines(tmp_path / "b" / "m.jsonl", [{"audio_filepath": "x.wav", "duration": 1.0, "text": "b"}])
    calls = []
    with pytest.raises(UserError, match=r"2 manifests, and several would be written to m\.jsonl; clean one"):
        check([manifest, other], config=CONFIG, out=tmp_path / "clean", progress=lambda *a: calls.append(a))
    assert not calls
    quarantine = write_lines(tmp_path / "m.quarantine.jsonl", ["{}"])
    with pytest.raises(UserError, match=r"several would be written to m\.quarantine\.jsonl"):
        check([manifest, quarantine], config=CONFIG, out=tmp_path / "clean")
    file = write_lines(tmp_path / "file.jsonl", ["{}"])
    other = other.rename(tmp_path / "b" / "n.jsonl")
    with pytest.raises(UserError, match=r"file\.jsonl: is a file; several cleaned manifests need a folder"):
        check([manifest, other], config=CONFIG, out=file)


def test_a_line_that_is_not_an_utterance_ends_the_check(tmp_path, write_lines):
    manifest = write_lines(tmp_path / "m.jsonl", ["not json"])
    with pytest.raises(ManifestError, match=r"m\.jsonl:1: is not JSON"):
        check([manifest])


def test_the_synthetic_corpus_is_healthy(tiny_corpus):
    findings = check(list(tiny_corpus.values()))
    assert [found.problems for found in findings] == [[], [], []]
    assert sum(len(found.usable) for found in findings) == 60


def test_negatives_alone_are_checked_though_nobody_says_a_word(tmp_path, write_wav, write_lines):
    lines = [
        {"audio_filepath": write_wav(tmp_path, "tv.wav").name, "duration": 1.0, "text": text} for text in ("", "?!")
    ]
    (found,) = check([write_lines(tmp_path / "negatives.jsonl", lines)])
    assert len(found.usable) == 2 and found.problems == []
