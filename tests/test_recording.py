"""Recording a person: few prompts with every word, bad recordings offered again, nothing lost."""

import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from speechgru.cli import console
from speechgru.errors import CorpusError, UserError
from speechgru.recording import SoundDeviceMicrophone, record
from speechgru.recording.corpus import RecordingFolder
from speechgru.recording.from_folder import match_files
from speechgru.recording.prompts import choose_prompts, cover
from speechgru.recording.quality import judge_recording
from speechgru.utterances.check import check
from speechgru.utterances.manifest import read_manifest

ROOMS, COLOURS = ("kitchen", "hall", "attic", "bathroom"), ("red", "green", "blue")
RATE = 16000


class Lights:
    """A grammar of 24 sentences, as `speechgru.grammar.Grammar` offers them."""

    def draw(self, rng):
        room, colour = rng.choice(ROOMS), rng.choice(COLOURS)
        return SimpleNamespace(text=f"{rng.choice(['make', 'turn'])} the {room} light {colour}")

    def words(self):
        return ("attic", "bathroom", "blue", "green", "hall", "kitchen", "light", "make", "red", "the", "turn")

    def as_record(self):
        return {"rooms": ROOMS, "colours": COLOURS}

    def parse(self, text):
        _, _, room, _, colour = text.split()
        return SimpleNamespace(intent="Colour", slots={"room": room, "colour": colour})


class Arrays:
    """A microphone that gives arrays in turn."""

    sample_rate = RATE

    def __init__(self, *arrays):
        self.arrays, self.is_on, self.num_stops = list(arrays), False, 0

    def __call__(self):
        return self

    def start(self):
        assert not self.is_on
        self.is_on = True

    def stop(self):
        self.is_on, self.num_stops = False, self.num_stops + 1
        return self.arrays.pop(0)


def speech(make_speech, *, seconds=1.6, level=0.3, seed=0):
    """Speech with quiet around it, as a person leaves it."""
    quiet = 0.001 * np.random.default_rng(seed).standard_normal(RATE // 4).astype(np.float32)
    return np.concatenate([quiet, make_speech(seconds, level=level, seed=seed), quiet])


def answering(*answers):
    """Answers in turn; an exception is raised in place of an answer."""
    left = list(answers)

    def ask(question):
        answer = left.pop(0)
        if isinstance(answer, type):
            raise answer
        return answer

    ask.left = left
    return ask


# -- prompts ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.text("abcdef ", min_size=1, max_size=9), min_size=1, max_size=20))
def test_a_cover_holds_every_word_and_every_text_of_it_brings_a_new_one(texts):
    words = {word for text in texts for word in text.split()}
    chosen = cover(texts, most=len(texts))
    seen = set()
    for text in chosen:
        assert set(text.split()) - seen
        seen |= set(text.split())
    assert seen == words


def test_the_first_prompts_hold_every_word_of_the_grammar():
    prompts = choose_prompts(Lights(), 10)
    assert len(prompts) == len(set(prompts)) == 10
    assert {word for text in prompts[:4] for word in text.split()} == set(Lights().words()), "four rooms need four"
    again = {word for text in prompts[4:8] for word in text.split()}
    assert again == set(Lights().words()), "and the next ones hold every word again"
    assert choose_prompts(Lights(), 10) == prompts != choose_prompts(Lights(), 10, seed=1)


def test_a_grammar_with_fewer_sentences_than_prompts_is_read_in_several_takes():
    prompts = choose_prompts(Lights(), 30)
    assert len(prompts) == 30 and len(set(prompts)) == 24


# -- quality ---------------------------------------------------------------------------------------------------------


def test_good_speech_has_no_fault(make_speech):
    quality = judge_recording(speech(make_speech), RATE, "turn the hall light red")
    assert quality.is_good and quality.seconds == pytest.approx(2.1)
    assert quality.peak_db == pytest.approx(-10.5, abs=0.3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda samples_N: 0 * samples_N, "is silent"),
        (lambda samples_N: 0.02 * samples_N, r"is quiet \(its loudest sample is at -44 dB, wanted are -30 or more\)"),
        (lambda samples_N: np.clip(8 * samples_N, -1, 1), "cut off at the top"),
        (lambda samples_N: samples_N + 0.2, "lie around"),
        (lambda samples_N: samples_N[:800], "0.050 s, below data.min_duration_seconds"),
        (lambda samples_N: samples_N[4000:8000], "too few for the 23 characters"),
        (
            lambda samples_N: np.tile(samples_N, 6),
            "is 12.6 s long for 'turn the hall light red'; stop the recording soon",
        ),
        (lambda samples_N: samples_N[9000:], "begins in the middle of speech"),
        (lambda samples_N: samples_N[:-9000], "ends in the middle of speech"),
    ],
)
def test_a_fault_is_named(make_speech, change, message):
    samples_N = change(speech(make_speech)).astype(np.float32)
    quality = judge_recording(samples_N, RATE, "turn the hall light red", name="7.wav")
    messages = [*quality.problems, *quality.suspicions]
    assert not quality.is_good and all(each.startswith("7.wav: ") for each in messages)
    assert any(re.search(message, each) for each in messages), messages


def test_an_empty_recording_is_a_problem():
    assert judge_recording(np.empty(0, np.float32), RATE, "on").problems


# -- at the microphone -----------------------------------------------------------------------------------------------


def test_prompts_are_recorded_offered_again_skipped_and_repeated_and_the_folder_is_a_corpus(make_speech, tmp_path):
    out, told = tmp_path / "me", []
    good = [speech(make_speech, seed=k) for k in range(4)]
    quiet = 0.02 * good[0]
    microphone = Arrays(good[0], quiet, good[1], quiet, good[2], good[3])
    ask = answering(
        "", "",  # 1: good
        "", "", "", "", "",  # 2: too quiet, offered again, good
        "s",  # 3: skipped
        "", "", "k",  # 4: too quiet, kept all the same
        "r", "", "",  # 4 again: good
        "", "",  # 5: good
        "q",
    )  # fmt: skip
    sitting = record(Lights(), out, num_prompts=6, microphone=microphone, ask=ask, tell=told.append)
    assert not ask.left and not microphone.arrays and sitting.missing == (3, 6)
    prompts = (out / "prompts.txt").read_text().splitlines()
    lines = read_manifest(out / "recordings.jsonl")
    assert [line.extra["prompt"] for line in lines] == [1, 2, 4, 5]
    assert [line.text for line in lines] == [prompts[k] for k in (0, 1, 3, 4)]
    assert {line.speaker for line in lines} == {"me"}
    assert lines[0].extra["slots"]["room"] == prompts[0].split()[2] and lines[0].extra["intent"] == "Colour"
    assert json.loads((out / "grammar.json").read_text())["rooms"] == list(ROOMS)
    samples_N, rate = soundfile.read(lines[2].audio_filepath, dtype="float32")
    assert rate == RATE
    np.testing.assert_allclose(samples_N, good[2], atol=2**-15)
    assert sum("is quiet" in line for line in told) == 2
    assert sum(line.startswith("kept: ") for line in told) == 5
    (findings,) = check([out / "recordings.jsonl"])
    assert len(findings.usable) == 4 and not findings.problems and not findings.suspicions

    # The next sitting asks for what is missing alone, and for more prompts where more are wanted.
    microphone, told = Arrays(good[0]), []
    sitting = record(
        Lights(), out, num_prompts=7, microphone=microphone, ask=answering("", "", EOFError), tell=told.append
    )
    assert told[0] == "4 of 7 prompts are recorded." and "3 of 7:" in told[1]
    assert sitting.missing == (6, 7) and (out / "prompts.txt").read_text().splitlines()[:6] == prompts
    assert len(set((out / "prompts.txt").read_text().splitlines())) == 7


def test_a_recording_that_nobody_can_learn_from_is_not_kept_even_when_asked(make_speech, tmp_path):
    microphone = Arrays(np.zeros(RATE, np.float32))
    sitting = record(Lights(), tmp_path, num_prompts=1, microphone=microphone, ask=answering("", "", "q"))
    assert sitting.missing == (1,) and not sitting.manifest.exists()
    assert sitting.words_left == Lights().words()


def test_ctrl_c_keeps_what_was_recorded_and_leaves_the_microphone_off(make_speech, tmp_path):
    microphone = Arrays(speech(make_speech), speech(make_speech, seed=1))
    with pytest.raises(KeyboardInterrupt):
        record(Lights(), tmp_path, microphone=microphone, ask=answering("", "", "", KeyboardInterrupt))
    assert not microphone.is_on and microphone.num_stops == 2
    assert [line.extra["prompt"] for line in read_manifest(tmp_path / "recordings.jsonl")] == [1]
    assert [path.name for path in (tmp_path / "audio").iterdir()] == ["0001.flac"]


def test_another_grammars_folder_is_refused(tmp_path):
    record(Lights(), tmp_path, num_prompts=2)

    class Others(Lights):
        def as_record(self):
            return {"rooms": ()}

    with pytest.raises(CorpusError, match=r"grammar\.json: is another grammar than the one given; give another --out"):
        record(Others(), tmp_path)


@pytest.mark.parametrize("prompt", ["", ', "prompt": "x"', ', "prompt": [1]', ', "prompt": 0', ', "prompt": 1e999'])
def test_a_manifest_of_other_recordings_is_refused_and_nothing_written_beside_it(tmp_path, prompt):
    line = f'{{"audio_filepath": "a.wav", "duration": 1.0, "text": "hello"{prompt}}}\n'
    (tmp_path / "recordings.jsonl").write_text(line)
    with pytest.raises(CorpusError, match=r"recordings\.jsonl:1: has no number of a prompt .*; give another --out"):
        record(Lights(), tmp_path, num_prompts=2)
    assert [path.name for path in tmp_path.iterdir()] == ["recordings.jsonl"]
    assert (tmp_path / "recordings.jsonl").read_text() == line


def test_a_missing_package_or_library_is_one_message_that_shows_the_other_way(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UserError, match=r"pip install 'speechgru\[microphone\]'; or record elsewhere.*--from"):
        SoundDeviceMicrophone()

    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice")
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(UserError, match=r"needs PortAudio \(PortAudio library not found\); install it.*--from"):
        SoundDeviceMicrophone()


def test_the_systems_microphone_records_blocks_and_says_when_there_is_none(monkeypatch):
    class Stream:
        def __init__(self, *, samplerate, channels, dtype, device, callback):
            assert (samplerate, channels, dtype, device) == (8000, 1, "float32", "desk")
            self.callback, self.calls = callback, []

        def start(self):
            block_NC = np.zeros((3, 1), np.float32)
            for value in (0.1, 0.2):
                block_NC[:] = value  # the library uses its memory again
                self.callback(block_NC, 3, None, None)

        def stop(self):
            self.calls.append("stop")

        def close(self):
            assert self.calls == ["stop"]

    def check_input_settings(*, device, **settings):
        if device != "desk":
            raise ValueError("No input device matching 'attic'")

    module = SimpleNamespace(InputStream=Stream, check_input_settings=check_input_settings)
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    microphone = SoundDeviceMicrophone(sample_rate=8000, device="desk")
    assert len(microphone.stop()) == 0
    for _ in range(2):
        microphone.start()
        np.testing.assert_allclose(microphone.stop(), [0.1] * 3 + [0.2] * 3)
    with pytest.raises(UserError, match=r"no microphone records 16,000 Hz here \(No input device matching 'attic'\)"):
        SoundDeviceMicrophone(device="attic")
    with pytest.raises(UserError, match=r"name one with --device, or give recordings as files$"):  # to `transcribe`
        SoundDeviceMicrophone(device="attic", for_corpus=False)


# -- from a folder ---------------------------------------------------------------------------------------------------


def write_files(folder, make_speech, names, *, rate=RATE, **options):
    folder.mkdir()
    for k, name in enumerate(names):
        soundfile.write(folder / name, speech(make_speech, seed=k, **options), rate)


def test_files_are_matched_by_number_or_by_order(make_speech, tmp_path):
    def matched(*names, num_prompts=3):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for name in names:
            (folder / name).touch()
        return {number: path.name for number, path in match_files(folder, num_prompts).items()}

    assert matched("3.wav", "me 01.flac", "notes.txt", ".2.wav") == {1: "me 01.flac", 3: "3.wav"}
    assert matched("a.wav", "b.wav", "c.wav") == {1: "a.wav", 2: "b.wav", 3: "c.wav"}
    assert matched("take 0.wav", "take 1.wav", "take 2.wav") == {1: "take 0.wav", 2: "take 1.wav", 3: "take 2.wav"}
    with pytest.raises(CorpusError, match=r"its 2 files \(a\.wav, b\.wav\) belongs to which of 3 prompts; end each"):
        matched("a.wav", "b.wav")
    with pytest.raises(CorpusError, match="its 2 files"):
        matched("1.wav", "me-1.wav")
    with pytest.raises(CorpusError, match="holds no audio file"):
        matched("notes.txt")
    with pytest.raises(CorpusError, match="no such folder"):
        match_files(tmp_path / "none", 3)


def test_good_files_are_kept_and_bad_ones_named_and_looked_at_again(make_speech, tmp_path):
    out, source = tmp_path / "me", tmp_path / "phone"
    record(Lights(), out, num_prompts=4)
    assert len((out / "prompts.txt").read_text().splitlines()) == 4, "written first, to be read elsewhere"
    write_files(source, make_speech, ["1.wav", "2.flac", "3.wav"], rate=22050)
    soundfile.write(source / "2.flac", np.zeros(22050), 22050)
    (source / "3.wav").write_bytes(b"RIFF")
    sitting = record(Lights(), out, num_prompts=4, source=source, speaker="ada")
    assert sitting.missing == (2, 3, 4)
    assert len(sitting.messages) == 2
    assert "2.flac: is silent" in sitting.messages[0] and "3.wav" in sitting.messages[1]
    (line,) = read_manifest(out / "recordings.jsonl")
    assert line.speaker == "ada" and line.audio_filepath.endswith("audio/0001.wav")
    assert (out / "audio" / "0001.wav").read_bytes() == (source / "1.wav").read_bytes()

    soundfile.write(source / "2.flac", speech(make_speech, seed=5), RATE)
    (source / "3.wav").unlink()
    (source / "1.wav").unlink()
    sitting = record(Lights(), out, num_prompts=4, source=source)
    assert sitting.missing == (3, 4) and not sitting.messages
    assert sitting.seconds == pytest.approx(2.1 + 2.1 * RATE / 22050, abs=0.01)


def test_a_file_elsewhere_that_a_strange_manifest_names_stays(make_speech, tmp_path):
    folder, mine = RecordingFolder(tmp_path / "me"), tmp_path / "mine.wav"
    (prompt,) = folder.open(Lights(), num_prompts=1)
    folder.keep(1, prompt, speech(make_speech), RATE)
    mine.write_bytes(b"mine")
    line = json.loads(folder.manifest.read_text())
    folder.manifest.write_text(json.dumps({**line, "audio_filepath": str(mine)}) + "\n")
    folder.keep(1, prompt, speech(make_speech, seed=1), RATE)
    assert mine.read_bytes() == b"mine"
    (utterance,) = read_manifest(folder.manifest)
    assert utterance.audio_filepath == str(tmp_path / "me" / "audio" / "0001.flac")


def test_a_new_recording_of_a_prompt_replaces_the_older_file(make_speech, tmp_path):
    folder = RecordingFolder(tmp_path / "me")
    prompts = folder.open(Lights(), num_prompts=1)
    soundfile.write(tmp_path / "1.wav", speech(make_speech), RATE)
    folder.keep_file(1, prompts[0], tmp_path / "1.wav")
    folder.keep(1, prompts[0], speech(make_speech, seed=1), RATE)
    assert [path.name for path in (tmp_path / "me" / "audio").iterdir()] == ["0001.flac"]
    assert len(read_manifest(folder.manifest)) == 1


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs `speechgru record` with the answers of a person; gives the exit code and what was printed."""

    def run(*arguments, answers=(), microphone=None):
        monkeypatch.setattr("speechgru.recording.SoundDeviceMicrophone", lambda **settings: microphone)
        monkeypatch.setattr("builtins.input", answering(*answers))
        monkeypatch.setattr(sys, "argv", ["speechgru", "record", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            console.main()
        out, err = capsys.readouterr()
        return ended.value.code, " ".join(out.split()), err

    return run


def test_the_command_records_resumes_with_the_folders_grammar_and_ends_with_1_where_a_file_is_bad(
    command, make_speech, tmp_path
):
    pytest.importorskip("hassil", reason="reads the grammar (extra train)")
    grammar, out = tmp_path / "my.yaml", tmp_path / "me"
    grammar.write_text(
        "language: en\nintents:\n  Light:\n    data:\n      - sentences: ['turn the {room} light (on|off)']\n"
        "lists:\n  room: {values: [kitchen, hall]}\n"
    )
    code, _, message = command("--out", out)
    assert code == 2 and "holds no grammar yet; give the one to read from with --grammar" in message
    code, printed, _ = command(
        "--grammar", grammar, "--out", out, "--prompts", 3, answers=("", " Q ", "q"),
        microphone=Arrays(np.zeros(RATE, np.float32)),
    )  # fmt: skip
    assert code == 0 and "is silent" in printed and "recordings.jsonl: 0 of 3 prompts, 0 s" in printed
    code, printed, _ = command(
        "--out", out, "--prompts", 3, answers=("", "", "q"), microphone=Arrays(speech(make_speech))
    )
    assert code == 0 and "recordings.jsonl: 1 of 3 prompts, 2 s" in printed
    assert "words of the grammar that were not recorded: " in printed
    (line,) = read_manifest(out / "recordings.jsonl")
    assert line.extra["intent"] == "Light" and line.extra["slots"] == {"room": line.text.split()[2]}

    write_files(tmp_path / "phone", make_speech, ["2.wav"])
    soundfile.write(tmp_path / "phone" / "3.wav", np.zeros(RATE), RATE)
    code, printed, _ = command("--out", out, "--prompts", 3, "--from", tmp_path / "phone")
    assert code == 1 and "2 of 3 prompts" in printed and "3.wav: is silent" in printed
    code, printed, _ = command("--out", out, answers=(KeyboardInterrupt,), microphone=Arrays())
    assert code == 130 and len(read_manifest(out / "recordings.jsonl")) == 2
