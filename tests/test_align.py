"""Words of a known text in a recording, and recordings with their texts cut into a corpus."""

import itertools
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechgru.align import align, matching, segment, split_words
from speechgru.align.boundaries import word_edges
from speechgru.align.known_text import encode_words
from speechgru.align.loudness import Loudness
from speechgru.align.splicing import Piece, splice
from speechgru.align.units import cut_into_units
from speechgru.audio import reading
from speechgru.cli import console as cli
from speechgru.errors import TextError, UserError
from speechgru.runtime import Recognizer
from speechgru.runtime import recognizer as module
from speechgru.text import TextRules, Vocabulary
from speechgru.utterances.check import check
from speechgru.utterances.manifest import Utterance, read_manifest, write_manifest

RATE, STEP = 8000, 160
LETTERS = " abcdefghijkl"
METADATA = {
    "bundle_version": 2, "sample_rate": RATE, "step_seconds": STEP / RATE, "unit": "character",
    "entries": list(LETTERS), "text": {}, "models": {"none": {"file": "model.tflite"}}, "default_form": "none",
    "features": {"n_fft": 256, "hop_length": STEP, "center": True},
}  # fmt: skip


#: The room's noise, and how much louder a breath is, which is written as a space.
NOISE, BREATH = 0.003, 1.5


def level_of(letter):
    """The mean of a letter's absolute samples."""
    return NOISE * BREATH * np.sqrt(2 / np.pi) if letter == " " else 0.04 * LETTERS.index(letter)


def letters_of(samples_N):
    """A model that writes the letter of each step's level."""
    steps = 1 + len(samples_N) // STEP
    levels_S = np.abs(np.pad(samples_N, (0, STEP))[: steps * STEP].reshape(steps, STEP)).mean(axis=1)
    known_V = np.array([NOISE * np.sqrt(2 / np.pi), *map(level_of, LETTERS)])
    scores_SV = np.full([steps, len(known_V)], np.log(0.1 / (len(known_V) - 1)))
    scores_SV[np.arange(steps), np.abs(levels_S[:, None] - known_V).argmin(axis=1)] = np.log(0.9)
    return scores_SV.astype(np.float32)


def speak(text, rng, *, mistakes=0.0):
    """Samples of a text, and [start, end] of its words in seconds: letters of 60 ms with 20 ms between."""
    steps, words, breaths = [0.0] * int(rng.integers(5, 15)), [], []
    for word in text.split():
        breaths += [len(steps) + 1] if words else []
        steps += [0.0] * 4 if words else []
        begin = len(steps)
        for letter in word:
            spoken = LETTERS[rng.integers(1, len(LETTERS))] if rng.random() < mistakes else letter
            steps += [level_of(spoken)] * 3 + [0.0]
        words.append((begin * STEP / RATE, (len(steps) - 1) * STEP / RATE))
    steps += [0.0] * int(rng.integers(5, 15))
    noise_S = np.full(len(steps), NOISE)
    noise_S[breaths] *= BREATH
    signs_N = rng.choice([-1.0, 1.0], size=len(steps) * STEP)
    samples_N = np.repeat(steps, STEP) * signs_N + np.repeat(noise_S, STEP) * rng.normal(size=len(signs_N))
    return samples_N.astype(np.float32), words


def sentence(rng, words=6):
    letters = list(LETTERS[1:])
    return " ".join("".join(rng.choice(letters, size=rng.integers(3, 8))) for _ in range(words)) + "."


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    class Engine:
        streams = False

        def __init__(self, path, **options):
            pass

        def recognize(self, samples_N):
            return letters_of(samples_N)

    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "bundle.json").write_text(json.dumps(METADATA))
    shutil.copy(Path(__file__).parent / "data" / "bundles" / "v1" / "model.tflite", folder)
    monkeypatch.setattr(module, "Engine", Engine)
    return folder


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["speechgru", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err and "has a fault" not in err
        return caught.value.code or 0, out, err

    return run


# Where words begin and end


def test_loudness_is_the_same_however_it_is_cut_and_at_any_rate():
    rng = np.random.default_rng(0)
    for rate in (8000, 11025, 44100):
        samples_N = rng.normal(size=rate // 3).astype(np.float32)
        found = []
        for piece in (7, 1000, len(samples_N)):
            loudness = Loudness(rate)
            for start in range(0, len(samples_N), piece):
                loudness.feed(samples_N[start : start + piece])
            assert loudness.duration == pytest.approx(1 / 3, abs=1e-3)
            found.append(loudness.decibels_T())
        np.testing.assert_allclose(found[0], found[2], atol=1e-3)
        np.testing.assert_allclose(found[1], found[2], atol=1e-3)
        assert abs(len(found[0]) - 34) <= 1 and np.abs(found[0]).max() < 3
    assert Loudness(8000).decibels_T().tolist() == [-90.0]


def test_words_begin_and_end_where_the_pause_between_them_does():
    """Spikes stand in the middle of their letters; the words around them are loud."""
    decibels_T = np.full(301, -60.0, np.float32)
    for begin, end in ((50, 90), (110, 160), (160, 200), (290, 301)):
        decibels_T[begin:end] = -20.0
    firsts, lasts = [(30, 31), (60, 61), (84, 85), (147, 148)], [(40, 41), (74, 75), (95, 96), (149, 150)]
    edges = word_edges(firsts, lasts, decibels_T=decibels_T, step_seconds=0.02, duration=3.0)
    expected = [(0.5, 0.9), (1.1, 1.595), (1.595, 2.0), (2.9, 3.0)]
    assert np.abs(np.array(edges) - expected).max() < 0.025
    assert all(a < b for a, b in edges) and all(one[1] <= two[0] for one, two in itertools.pairwise(edges))


def test_a_recording_s_words_have_their_times(bundle, tmp_path):
    rng = np.random.default_rng(1)
    text = "Abba, fed – Jill; cab\n\n'leak' a bad-egg"
    samples_N, words = speak("abba fed jill cab leak a bad egg", rng)
    soundfile.write(tmp_path / "a.wav", samples_N, RATE)
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    timed = align(Recognizer(bundle), tmp_path / "a.wav", tmp_path / "a.txt")
    assert [word.text for word in timed.words] == ["Abba,", "fed –", "Jill;", "cab", "'leak'", "a", "bad-egg"]
    found = np.array([(word.start_seconds, word.end_seconds) for word in timed.words])
    expected = np.array([*words[:6], (words[6][0], words[7][1])])
    assert np.abs(found - expected).max() < 0.04
    assert min(word.confidence for word in timed.words) == pytest.approx(0.9, abs=1e-3)
    for word in timed.words:
        assert word.labels[0].start_seconds == word.start_seconds and word.labels[-1].end_seconds == word.end_seconds
    assert "".join(label.text for label in timed.words[6].labels) == "bad egg"


def test_long_recordings_are_read_in_blocks_and_give_the_same(bundle, tmp_path, monkeypatch):
    rng = np.random.default_rng(2)
    lines = [sentence(rng) for _ in range(12)]
    samples_N, words = speak(" ".join(lines).replace(".", ""), rng)
    soundfile.write(tmp_path / "a.wav", samples_N, RATE)
    (tmp_path / "a.txt").write_text("\n".join(lines), encoding="utf-8")
    whole = align(Recognizer(bundle), tmp_path / "a.wav", tmp_path / "a.txt")
    monkeypatch.setattr(reading, "_BLOCK", 7001)
    cut = align(Recognizer(bundle, window_seconds=9.0), tmp_path / "a.wav", tmp_path / "a.txt")
    assert [word.text for word in cut.words] == [word.text for word in whole.words]
    for one, two, (start, end) in zip(cut.words, whole.words, words, strict=True):
        assert (one.start_seconds, one.end_seconds) == (two.start_seconds, two.end_seconds)
        assert one.start_seconds == pytest.approx(start, abs=0.05) and one.end_seconds == pytest.approx(end, abs=0.05)


# Texts


def test_words_that_cannot_be_written_are_named_or_left_out():
    words = split_words("abba 42\nzoë cab, 42 –", TextRules())
    vocabulary = Vocabulary(LETTERS)
    with pytest.raises(
        TextError, match=r"t\.txt: the model cannot write '42' \(line 1\), 'zoë' \(line 2\); write as it is spoken, or"
    ):
        encode_words(words, vocabulary, where="t.txt")
    text = encode_words(words, vocabulary, where="t.txt", leave_out_unknown=True)
    assert [word.text for word in text.words] == ["abba", "cab,"] and len(text.left_out) == 3
    gap = text.gap_label
    expected = [*vocabulary.encode("abba"), gap, *vocabulary.encode("cab"), gap]
    assert list(text.labels) == expected and text.spans == ((0, 4), (5, 8))
    with pytest.raises(TextError, match="holds no word that the model can write"):
        encode_words(split_words("42 zoë", TextRules()), vocabulary, where="t.txt", leave_out_unknown=True)


def test_what_was_left_out_does_not_move_its_neighbours(bundle, tmp_path):
    rng = np.random.default_rng(3)
    samples_N, words = speak("abba cab kid gel", rng)
    soundfile.write(tmp_path / "a.wav", samples_N, RATE)
    (tmp_path / "a.txt").write_text("abba 99 kid gel")
    timed = align(Recognizer(bundle), tmp_path / "a.wav", tmp_path / "a.txt", leave_out_unknown=True)
    found = np.array([(word.start_seconds, word.end_seconds) for word in timed.words])
    assert np.abs(found - [words[0], words[2], words[3]]).max() < 0.06
    assert timed.record["left_out"] == ["99"] and "1 word was left out" in timed.record["notes"][0]


def test_units_are_sentences_lines_or_as_long_as_can_be():
    rules = TextRules()

    def cut(text):
        words = split_words(text, rules)
        return [" ".join(word.text for word in words[a:b]) for a, b in cut_into_units(words)]

    assert cut("Title of it\n\nThis is the first sentence, it is. No. And this one is the second!”") == [
        "Title of it", "This is the first sentence, it is.", "No. And this one is the second!”"
    ]  # fmt: skip
    poem = "\n".join(f"line number {'x' * 20} of a poem without an end" for _ in range(8))
    assert cut(poem) == poem.splitlines()
    endless = cut(" ".join(["word"] * 200))
    assert len(endless) == 5 and {len(unit.split()) for unit in endless} == {40}
    assert cut("") == [] and cut("–") == ["–"]


# Segments


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book of which a fifth of the letters are misheard, with pieces missing in the sound and in the text."""
    monkeypatch.setattr(matching, "_IMPOSTORS", 20)
    rng = np.random.default_rng(4)
    sentences = [sentence(rng) for _ in range(24)]
    not_spoken, not_written = {3, 11, 12}, {0, 1, 7, 17, 18, 23}
    pieces, places, now = [], {}, 0
    for number, one in enumerate(sentences):
        if number not in not_spoken:
            samples_N, words = speak(one.replace(".", ""), rng, mistakes=0.2)
            places[number] = (now / RATE + words[0][0], now / RATE + words[-1][1])
            now += len(samples_N)
            pieces.append(samples_N)
    soundfile.write(tmp_path / "my book.wav", np.concatenate(pieces), RATE)
    text = [one.capitalize() for number, one in enumerate(sentences) if number not in not_written]
    (tmp_path / "book.txt").write_text("Title, 1899\n\n" + "\n".join(text), encoding="utf-8")
    expected = {one: place for number, place in places.items() if (one := sentences[number].capitalize()) in text}
    return tmp_path / "my book.wav", tmp_path / "book.txt", expected, len(not_spoken)


def test_a_book_is_cut_into_what_is_in_its_sound_and_in_its_text(bundle, book):
    audio, text, expected, num_not_spoken = book
    done = segment(Recognizer(bundle), audio, text)
    assert len(done.segments) >= len(expected) - 1
    exact = 0
    for one in done.segments:
        start, end = expected[one.text]
        assert start - 0.3 < one.offset < end and start < one.offset + one.duration < end + 0.3
        assert 1.0 <= one.duration <= 20.0
        exact += one.offset <= start + 0.05 and end - 0.05 <= one.offset + one.duration
    assert exact >= 0.5 * len(done.segments), "words at an end that were misheard may be missing"
    texts = [one for one in done.left_out if one["kind"] == "text"]
    assert len(texts) == 1 + num_not_spoken + len(expected) - len(done.segments)
    assert texts[0]["reason"] == "the model cannot write Title,, 1899" and texts[0]["line"] == 1
    assert len([one for one in done.left_out if one["kind"] == "sound"]) >= 3


def test_long_sentences_are_cut_at_pauses_and_short_ones_joined(bundle, book):
    audio, text, _, _ = book
    short = segment(Recognizer(bundle), audio, text, most_seconds=2.0)
    assert len(short.segments) > 20 and max(one.duration for one in short.segments) <= 2.0
    long = segment(Recognizer(bundle), audio, text, least_seconds=4.0)
    assert {len(one.text.split()) % 6 for one in long.segments} == {0}
    assert max(len(one.text.split()) for one in long.segments) >= 12
    with pytest.raises(UserError, match="utterances need 0 < least seconds < most seconds, got 5 and 2"):
        segment(Recognizer(bundle), audio, text, least_seconds=5.0, most_seconds=2.0)


def test_a_text_of_another_recording_is_refused(bundle, book, tmp_path):
    rng = np.random.default_rng(9)
    (tmp_path / "other.txt").write_text("\n".join(sentence(rng) for _ in range(20)))
    with pytest.raises(UserError, match=r"my book\.wav and .*other\.txt: the model recognises too little of this text"):
        segment(Recognizer(bundle), book[0], tmp_path / "other.txt")


# The command line


def test_align_prints_and_writes_every_form(bundle, tmp_path, run):
    rng = np.random.default_rng(5)
    audio, text = tmp_path / "ä talk.wav", tmp_path / "t.txt"
    soundfile.write(audio, speak("abba cab", rng)[0], RATE)
    text.write_text("Abba cab.")
    code, out, err = run("align", bundle, audio, text)
    assert code == 0 and "cab." in out and "0.90" in out and "next: speechgru align" in err
    code, out, _ = run("align", bundle, audio, text, "--json")
    assert code == 0 and json.loads(out)[0]["words"][1]["text"] == "cab."
    for name in ("a.TextGrid", "a.ctm", "a.srt", "a.vtt", "a.json"):
        code, out, err = run("align", bundle, audio, text, "--out", tmp_path / name)
        assert (code, out) == (0, "") and (tmp_path / name).stat().st_size > 40
    code, out, _ = run("align", bundle, audio, text, "--format", "audacity")
    assert out.count("\t") == 4 and out.endswith("cab.\n")
    code, _, err = run("transcribe", bundle, audio, "--out", tmp_path / "b.srt")
    assert code == 0 and "abba cab" in (tmp_path / "b.srt").read_text()
    (tmp_path / "ä talk.txt").write_text("Abba cab, as somebody wrote it down.")
    beside = ["transcribe", bundle, audio, "--format", "audacity", "--out", tmp_path]
    code, _, err = run(*beside)
    assert code == 2 and "talk.txt: is there already; name another folder, or add --replace" in err
    assert "somebody" in (tmp_path / "ä talk.txt").read_text()
    code, _, err = run(*beside, "--replace")
    assert code == 0 and (tmp_path / "ä talk.txt").read_text().count("\t") == 4 and "wrote 1 file into" in err
    code, out, _ = run("transcribe", bundle, audio, audio, "--format", "ctm")
    assert code == 0 and len(out.splitlines()) == 4


def test_a_manifest_s_recordings_are_aligned_each(bundle, tmp_path, run):
    rng = np.random.default_rng(6)
    first_N, words = speak("abba cab", rng)
    second_N, _ = speak("kid", rng)
    soundfile.write(tmp_path / "two.wav", np.concatenate([first_N, second_N]), RATE)
    cut = len(first_N) / RATE
    utterances = [
        Utterance(str(tmp_path / "two.wav"), cut, "abba cab", offset=0.0, segment=True),
        Utterance(str(tmp_path / "two.wav"), len(second_N) / RATE, "kid", offset=cut),
        Utterance(str(tmp_path / "gone.wav"), 1.0, "kid"),
        Utterance(str(tmp_path / "two.wav"), 0.2, "abba cab kid leak", offset=0.1, segment=True),
    ]
    manifest = write_manifest(tmp_path / "m.jsonl", utterances)
    code, out, err = run("align", bundle, manifest, "--format", "ctm")
    rows = [line.split() for line in out.splitlines()]
    assert code == 2 and [row[4] for row in rows] == ["abba", "cab", "kid"]
    assert float(rows[0][2]) == pytest.approx(words[0][0], abs=0.05) and float(rows[2][2]) > cut
    assert "gone.wav" in err and "m.jsonl:4: 4 words need" in err
    code, _, err = run("align", bundle, manifest, "--format", "vtt", "--out", tmp_path / "folder")
    assert code == 2 and len(list((tmp_path / "folder").iterdir())) == 2


def test_what_cannot_be_delivered_is_refused_before_anything_is_computed(bundle, tmp_path, run):
    sounds = tmp_path / "sounds"
    for name in ("a.wav", "more/a.wav"):
        (sounds / name).parent.mkdir(parents=True, exist_ok=True)
        (sounds / name).write_bytes(b"no sound: whoever computes first says so")
    (sounds / "a.txt").write_text("Abba cab.")
    (sounds / "a.jsonl").write_text("Abba cab.")
    manifest = write_manifest(sounds / "m.jsonl", [Utterance(str(sounds / "a.wav"), 1.0, "kid")] * 2)
    before = {path: path.read_bytes() for path in sounds.rglob("*") if path.is_file()}
    (tmp_path / "link.wav").hardlink_to(sounds / "a.wav")
    wav, text, lost = sounds / "a.wav", sounds / "a.txt", "is what this command reads, and would be lost"
    for arguments, message in (
        (["transcribe", bundle, wav, "--format", "audacity", "--out", wav], f"a.wav: {lost}"),
        (["transcribe", bundle, wav, "--format", "audacity", "--out", tmp_path / "link.wav"], f"link.wav: {lost}"),
        (["align", bundle, wav, text, "--format", "audacity", "--out", wav], f"a.wav: {lost}"),
        (["align", bundle, wav, text, "--format", "audacity", "--out", text], f"a.txt: {lost}"),
        (["align", bundle, wav, text, "--format", "audacity", "--out", sounds], f"a.txt: {lost}"),
        (["segment", bundle, wav, sounds / "a.jsonl", "--out", sounds], f"a.jsonl: {lost}"),
        (["align", bundle, manifest, "--format", "ctm", "--out", manifest], f"m.jsonl: {lost}"),
        (["align", bundle, manifest, "--format", "ctm", "--out", wav], f"a.wav: {lost}"),
        (["align", bundle, manifest, "--out", tmp_path / "all.srt"], "srt holds one recording a file, and these are 2"),
        (["transcribe", bundle, sounds, "--out", tmp_path / "all.srt"], "srt holds one recording a file"),
        (["transcribe", bundle, sounds, "--format", "vtt"], "they would be printed one behind the other"),
        (["transcribe", bundle, sounds, "--format", "vtt", "--out", tmp_path / "o"], "would be written as a.vtt"),
    ):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "") and message in err.splitlines()[-1] and err.count("error: ") == 1, arguments
    assert before == {path: path.read_bytes() for path in sounds.rglob("*") if path.is_file()}
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "sounds", "link.wav"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.wav"], "Missing argument 'TEXT'"),
        (["a.wav", "none.txt"], "none.txt: no such file; write what is said into it"),
        (["a.wav", "empty.txt"], "empty.txt: holds no word"),
        (["a.wav", "zeros.txt"], "zeros.txt: is no text"),
        (["a.wav", "a.wav"], "a.wav: "),
        (["a.wav", "number.txt"], "number.txt: the model cannot write '42' (line 1)"),
        (["a.wav", "long.txt"], "is this its text?"),
        (["none.wav", "t.txt"], "none.wav"),
        (["a.wav", "t.txt", "--out", "x.docx"], "the suffix .docx names no form"),
        (["a.wav", "t.txt", "--out", "folder"], "does not say the form; add --format"),
        (["a.wav", "t.txt", "--out", "t.txt/x.srt"], "t.txt"),
        (["a.wav", "t.txt", "--json", "--format", "srt"], "--json prints all of it"),
        (["m.jsonl", "t.txt"], "a manifest has its texts itself"),
        (["a.wav", "t.txt", "--channel", "3"], "number 3 was asked for"),
    ],
)
def test_mistakes_are_one_message(bundle, tmp_path, monkeypatch, run, arguments, message):
    monkeypatch.chdir(tmp_path)
    soundfile.write("a.wav", speak("abba", np.random.default_rng(0))[0], RATE)
    for name, text in {"t.txt": "abba", "empty.txt": " \n–", "zeros.txt": "a\0b", "number.txt": "abba 42"}.items():
        Path(name).write_text(text, encoding="utf-8")
    Path("long.txt").write_text("abba " * 500)
    code, _, err = run("align", bundle, *arguments)
    assert code == 2 and message in err.splitlines()[-1] and err.count("error: ") == 1


def test_a_corpus_of_segments_is_checked_and_read(bundle, book, tmp_path, run):
    audio, text, expected, _ = book
    out = tmp_path / "corpus"
    code, printed, err = run("segment", bundle, audio, text, "--out", out, "--speaker", "ada")
    assert code == 0 and "left out: text" in printed and "next: speechgru check" in err
    utterances = read_manifest(out / "my book.jsonl")
    assert len(utterances) >= len(expected) - 1 and {one.speaker for one in utterances} == {"ada"}
    left_out = json.loads((out / "my book_left_out.json").read_text(encoding="utf-8"))
    assert {one["kind"] for one in left_out} == {"text", "sound"}
    (findings,) = check([out / "my book.jsonl"])
    assert not findings.problems
    code, printed, _ = run("segment", bundle, audio, text, "--out", out, "--json")
    assert code == 0 and json.loads(printed)["segments"] == len(utterances)


# Sentences of words that people said


@pytest.fixture
def people(tmp_path):
    rng = np.random.default_rng(5)
    utterances = []
    for speaker, texts in {"ann": ["bad kid", "cab lid", "leak bad"], "bo": ["kid jab", "cabbage"]}.items():
        for number, text in enumerate(texts):
            path = tmp_path / f"{speaker}{number}.wav"
            samples_N, _ = speak(text, rng)
            soundfile.write(path, samples_N, RATE, subtype="FLOAT")
            utterances.append(Utterance(str(path), len(samples_N) / RATE, text, speaker))
    templates = "language: en\nintents: {Say: {data: [{sentences: ['(bad|kid) cab [(lid|fig)]']}]}}\n"
    (tmp_path / "grammar.yaml").write_text(templates)
    return write_manifest(tmp_path / "people.jsonl", utterances), tmp_path / "grammar.yaml"


def test_people_say_sentences_that_they_never_said(bundle, people, tmp_path, run):
    manifest, templates = people
    options = ["--grammar", templates, "--model", bundle, "--utterances", "24", "--sample-rate", str(RATE)]
    code, out, _ = run("splice", manifest, *options, "--out", tmp_path / "out", "--json")
    record = json.loads(out)
    assert code == 0 and record["words"] == {"bad": 2, "kid": 2, "cab": 1, "lid": 1} and record["speakers"] == 2
    assert record["missing"] == ["fig"]
    said = {"ann": {"bad", "kid", "cab", "lid"}, "bo": {"kid"}}
    spliced = read_manifest(record["manifest"])
    # Nobody says "fig": no sentence has it. "cabbage" holds no "cab".
    assert {u.text for u in spliced} == {"bad cab", "kid cab", "bad cab lid", "kid cab lid"}
    for utterance in spliced:
        samples_N, _ = soundfile.read(utterance.audio_filepath, dtype="float32")
        words = utterance.text.split()
        for word, speaker, (start, end) in zip(
            words, utterance.extra["speakers"], utterance.extra["joins"], strict=True
        ):
            assert word in said[speaker]
            if speaker == utterance.speaker:  # another's is brought to this one's level, and a letter here is a level
                heard = letters_of(samples_N[round(start * RATE) : round(end * RATE)]).argmax(axis=1)
                letters = [LETTERS[label - 1] for label, _ in itertools.groupby(heard) if label]
                assert "".join(letters).replace(" ", "") == word
    assert {u.speaker for u in spliced} == {"ann", "bo"}
    assert "nobody says fig: no sentence has it" in run("splice", manifest, *options, "--out", tmp_path / "again")[2]
    for utterance in spliced:
        again = tmp_path / "again" / "spliced" / Path(utterance.audio_filepath).name
        assert again.read_bytes() == Path(utterance.audio_filepath).read_bytes()


def test_words_cut_tight_lose_what_is_soft_at_their_ends(tmp_path):
    """A hiss, a vowel 20 dB above it and a hiss: with all thresholds that reach it the hiss goes, and no vowel."""
    rng, parts = np.random.default_rng(3), {"hiss": round(0.1 * RATE), "vowel": round(0.2 * RATE)}
    hiss_N = 0.03 * rng.normal(size=parts["hiss"])
    vowel_N = 0.42 * np.sin(2 * np.pi * 200 / RATE * np.arange(parts["vowel"]))
    samples_N = np.concatenate([hiss_N, vowel_N, hiss_N])
    soundfile.write(tmp_path / "word.wav", samples_N, RATE, subtype="PCM_16")
    whole = Piece("six", Utterance(str(tmp_path / "word.wav"), len(samples_N) / RATE, "six", "ann"), 0.0, 0.4)
    lengths = {}
    for tight_share in (0.0, 1.0):
        spliced = splice(
            [whole], lambda _: "six six", tmp_path / "out", num_utterances=20, sample_rate=RATE, tight_share=tight_share
        )
        lengths[tight_share] = [
            round((end - start) * 1000) for one in read_manifest(spliced) for start, end in one.extra["joins"]
        ]
    assert set(lengths[0.0]) == {400}
    # Half of the thresholds lie above the hiss: 200 ms of vowel and 40 around it at most are left, or all of it.
    tight = [length for length in lengths[1.0] if length < 300]
    assert {length <= 250 for length in tight} == {True} and min(tight) >= 200
    assert 0.3 < len(tight) / len(lengths[1.0]) < 0.7 and max(lengths[1.0]) <= 400


def test_what_was_spliced_is_not_removed_to_splice_it_again(tmp_path):
    """Under another manifest's name: the sound that is read would be gone before it is read."""
    soundfile.write(tmp_path / "word.wav", np.full(RATE // 2, 0.1), RATE, subtype="PCM_16")
    options = {"num_utterances": 2, "sample_rate": RATE}
    word = Piece("six", Utterance(str(tmp_path / "word.wav"), 0.5, "six", "ann"), 0.0, 0.5)
    first = splice([word], lambda _: "six six", tmp_path, **options)
    before = {path: path.read_bytes() for path in (first, *tmp_path.glob("spliced/*"))}
    again = Piece("six", read_manifest(first)[0], 0.0, 0.5)
    (tmp_path / "link").symlink_to(tmp_path)
    for out in (tmp_path, tmp_path / "link"):
        with pytest.raises(UserError, match=r"spliced/000000\.flac: is what this command reads, and would be lost"):
            splice([again], lambda _: "six six", out, **options)
        assert {path: path.read_bytes() for path in before} == before
    with pytest.raises(UserError, match="nobody is known to say"):
        splice([word], lambda _: "seven", tmp_path, **options)
    assert not first.exists(), "a manifest of sound that is about to change"


def test_what_cannot_be_spliced_is_one_message(bundle, people, tmp_path, run):
    manifest, templates = people
    options = ["--model", bundle, "--sample-rate", str(RATE), "--utterances", "2"]
    (tmp_path / "other.yaml").write_text("language: en\nintents: {Say: {data: [{sentences: ['fig [bad]']}]}}\n")
    code, _, err = run("splice", manifest, "--grammar", tmp_path / "other.yaml", *options, "--out", tmp_path / "out")
    assert code == 2 and "nobody is known to say fig" in err
    lines = manifest.read_text()
    (tmp_path / "spliced.jsonl").write_text(lines)
    code, _, err = run("splice", tmp_path / "spliced.jsonl", "--grammar", templates, *options, "--out", tmp_path)
    assert code == 2 and "spliced.jsonl" in err and (tmp_path / "spliced.jsonl").read_text() == lines
    (tmp_path / "bo0.wav").write_bytes(b"RIFF")
    code, _, err = run("splice", manifest, "--grammar", templates, *options, "--out", tmp_path / "out")
    assert code == 2 and "bo0.wav" in err and not (tmp_path / "out" / "spliced.jsonl").exists()
