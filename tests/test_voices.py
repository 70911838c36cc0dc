"""Voice engines: the same speech for the same arguments, people in one split, faults that name their sentence."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pickle
import shlex
import shutil
import sys

import numpy as np
import pytest

from speechgru.errors import CorpusError
from speechgru.voices import (
    ENGINES,
    Sources,
    choose_cast,
    festival,
    find_engine,
    flite,
    kokoro,
    mbrola,
    missing_engines,
    people,
    piper,
    rhvoice,
)
from speechgru.voices.cache import SpeechCache, default_folder
from speechgru.voices.cast import Without
from speechgru.voices.engine import ALL, Configurable
from speechgru.voices.percent import PercentVoice
from speechgru.voices.programs import run_for_speech

# Writes a tone whose length is the text's and whose pitch is the voice's: "speech" of a command of the user's own.
PROGRAM = """
import math, struct, sys, wave
text, voice, out = sys.argv[1:4]
if text == "fail": print("no such word"); sys.exit(3)
if text == "nothing": sys.exit(0)
with wave.open(out, "wb") as file:
    file.setparams((1, 2, 8000, 0, "NONE", ""))
    for n in range(400 * len(text)):
        file.writeframes(struct.pack("<h", int(9000 * math.sin(n * (1 + len(voice)) / 40))))
"""


BUILT_IN = [name for name in ENGINES if name != "command"]


@pytest.fixture
def line(tmp_path):
    """A command line whose program is Python, so that its tests run everywhere."""
    program = tmp_path / "my tts.py"
    program.write_text(PROGRAM)
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(program))} {{text}} {{voice}} {{out}}"


def engine_here(name):
    """An engine, or a skip with the reason why it cannot speak here."""
    reason = missing_engines().get(name)
    if reason:
        pytest.skip(reason)
    return find_engine(name)


@pytest.mark.parametrize("name", BUILT_IN)
def test_speech_depends_on_its_arguments_alone(name):
    engine = engine_here(name)
    rng = np.random.default_rng(1)
    texts = ["light on", 'say "stop" (now) \\ $(exit)', "one, two? three."]
    voices = [engine.draw_voice(ALL, rng, is_digits=False, is_wide=wide) for wide in (False, True, True)]
    forward = [engine.speak(text, voice, seed=7) for text, voice in zip(texts, voices, strict=True)]
    backward = [engine.speak(text, voice, seed=7) for text, voice in zip(texts[::-1], voices[::-1], strict=True)]
    for (first_N, rate), (second_N, _) in zip(forward, backward[::-1], strict=True):
        assert first_N.dtype == np.float32 and 0.05 < np.abs(first_N).max() <= 1 and 8000 <= rate <= 48000
        assert 0.3 < len(first_N) / rate < 8
        np.testing.assert_array_equal(first_N, second_N)


def test_the_noise_of_piper_follows_the_seed_and_its_scale():
    engine = engine_here("piper")
    voice = engine.draw_voice(ALL, np.random.default_rng(0), is_digits=False, is_wide=False)
    still = dataclasses.replace(voice, noise_scale=0.0, noise_w=0.0)
    one_N, two_N = (engine.speak("no", voice, seed=seed)[0] for seed in (1, 2))
    assert one_N.shape != two_N.shape or not np.array_equal(one_N, two_N)
    np.testing.assert_array_equal(*(engine.speak("no", still, seed=seed)[0] for seed in (1, 2)))


def test_too_little_noise_for_a_long_sentence_of_piper_is_mended(monkeypatch):
    engine = engine_here("piper")
    voice = engine.draw_voice(ALL, np.random.default_rng(0), is_digits=False, is_wide=False)
    whole_N, _ = engine.speak("no", voice, seed=1)
    monkeypatch.setattr(piper, "_NOISE_SAMPLES", 16)
    np.testing.assert_array_equal(engine.speak("no", voice, seed=1)[0], whole_N)


def test_a_wide_variety_reaches_further_in_every_engine():
    for name in BUILT_IN:
        if name in missing_engines():
            continue
        engine, spread = find_engine(name), {}
        for is_wide in (False, True):
            rng = np.random.default_rng(0)
            drawn = [engine.draw_voice(ALL, rng, is_digits=False, is_wide=is_wide).facts for _ in range(200)]
            fact = "rate" if name in ("espeak", "mbrola") else "stretch"
            spread[is_wide] = max(each[fact] for each in drawn) / min(each[fact] for each in drawn)
        assert spread[True] > 1.3 * spread[False]


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_person_is_in_two_splits_and_all_voices_are_in_one(name):
    engine = engine_here(name)
    by_split = {split: {engine.person(voice) for voice in engine.voices(split)} for split in ("train", "dev", "test")}
    assert sum(map(len, by_split.values())) == len(set().union(*by_split.values()))
    voices = [voice for split in by_split for voice in engine.voices(split)]
    assert sorted(voices) == sorted(engine.voices(ALL))


def test_one_persons_voices_stay_together_and_ten_percent_are_held_out():
    voices = [f"{number}-{size}" for number in range(40) for size in ("low", "high")]
    person = lambda voice: voice.partition("-")[0]  # noqa: E731
    dealt = {split: people.voices_of(split, voices, person) for split in ("train", "dev", "test")}
    assert {split: len(own) for split, own in dealt.items()} == {"train": 64, "dev": 8, "test": 8}
    assert not {person(voice) for voice in dealt["test"]} & {person(voice) for voice in dealt["train"]}
    assert people.voices_of("dev", ["ada", "ben"], str) == () and people.voices_of("train", ["ada", "ben"], str)
    rng = np.random.default_rng(0)
    drawn = [people.draw_of(ALL, ["a-1", "b-1", "b-2", "b-3"], person, rng) for _ in range(300)]
    assert 110 < drawn.count("a-1") < 190, "a person with three voices speaks as often as one with one"


def test_people_of_piper_are_datasets_and_speakers_whatever_the_size():
    person = ENGINES["piper"].person
    assert person("en_US-lessac-low") == person("en_US-lessac-high") != person("en_US-joe-medium")
    assert person("en_GB-vctk-medium/p239") != person("en_GB-vctk-medium/p240")
    assert person("en_US-arctic-medium/slt") == ENGINES["flite"].person("slt") == "slt"


def test_a_folder_of_voices_is_used_in_place_of_packages_and_each_speaker_is_a_voice(tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    for name, speakers in (("xx_XX-solo-low", {}), ("xx_XX-many-low", {"ann": 0, "bob": 1})):
        (tmp_path / "deep" / f"{name}.onnx").write_bytes(b"no model")
        (tmp_path / "deep" / f"{name}.onnx.json").write_text(f'{{"speaker_id_map": {speakers!r}}}'.replace("'", '"'))
    (tmp_path / "other.onnx").write_bytes(b"of something else")
    engine = ENGINES["piper"]
    assert isinstance(engine, Configurable)
    mine = engine.configured(Sources(folder=tmp_path))
    assert mine.voices(ALL) == ("xx_XX-many-low/ann", "xx_XX-many-low/bob", "xx_XX-solo-low")
    if not engine.why_unavailable():
        voice = mine.draw_voice(ALL, np.random.default_rng(0), is_digits=False, is_wide=True)
        with pytest.raises(CorpusError, match=r"low.onnx: cannot be loaded as a Piper voice"):
            mine.speak("one", voice, seed=0)
        (tmp_path / "empty").mkdir()
        beside = find_engine("piper", Sources(folder=tmp_path / "empty"))
        assert beside.voices(ALL) == engine.voices(ALL), "a folder with another engine's voices leaves the packages'"
        monkeypatch.setattr(piper, "_models", lambda folder: {})
        with pytest.raises(CorpusError, match=r"no voice in .*empty, nor in any installed package; .*joe-us"):
            find_engine("piper", Sources(folder=tmp_path / "empty"))


@pytest.fixture
def kokoros(tmp_path):
    """A folder with a small graph in place of Kokoro's model, which speaks a style's first unit, and four voices."""
    onnx = pytest.importorskip("onnx", reason="the stand-in for Kokoro's model is made with onnx")
    pytest.importorskip("onnxruntime", reason="Kokoro's model runs by onnxruntime")
    from onnx import TensorProto, helper

    folder = tmp_path / "kokoro"
    folder.mkdir()
    constants = {"first": [0], "one": [1], "units": [1], "tenth": [2400], "flat": [-1]}
    nodes = [
        helper.make_node("Slice", ["style", "first", "one", "units"], ["level"]),
        helper.make_node("Cast", ["input_ids"], ["counted"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["counted", "nothing"], ["zeros"]),
        helper.make_node("Add", ["zeros", "level"], ["levels"]),
        helper.make_node("Div", ["levels", "speed"], ["faster"]),
        helper.make_node("Reshape", ["faster", "flat"], ["row"]),
        helper.make_node("Tile", ["row", "tenth"], ["waveform"]),
    ]
    graph = helper.make_graph(
        nodes,
        "stand-in",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "tokens"]),
            helper.make_tensor_value_info("style", TensorProto.FLOAT, [1, 256]),
            helper.make_tensor_value_info("speed", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["samples"])],
        [
            *(helper.make_tensor(name, TensorProto.INT64, [1], value) for name, value in constants.items()),
            helper.make_tensor("nothing", TensorProto.FLOAT, [1], [0.0]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(folder / "kokoro-v1.0.onnx"))
    styles = {name: np.full((510, 1, 256), level, np.float32) for name, level in LEVELS.items()}
    styles["af_heart"][:, 0, 0] += np.arange(510, dtype=np.float32) / 10_000
    styles["af_heart"].tofile(folder / "af_heart.bin")
    np.savez(folder / "voices.npz", **{name: each for name, each in styles.items() if name != "af_heart"})
    return folder


LEVELS = {"af_heart": 0.2, "bm_george": 0.4, "em_santa": 0.6, "pm_santa": 0.8}


def test_kokoro_speaks_with_the_style_of_as_many_phonemes_and_with_mixes(kokoros):
    engine = find_engine("kokoro", Sources(folder=kokoros))
    assert engine.voices(ALL) == ("af_heart", "bm_george", "em_santa", "pm_santa")
    assert {engine.person(voice) for voice in ("em_santa", "pm_santa")} == {"kokoro/m_santa"}
    spoken = kokoro.to_phonemes("left", is_british=False)
    assert spoken == "lˈɛft"
    first_N, rate = engine.speak("left", kokoro.Voice("af_heart"), seed=1)
    assert (len(first_N), rate) == (2400 * (len(spoken) + 2), 24_000)
    assert first_N[0] == pytest.approx(0.2 + 0.0005, abs=4e-5)  # the sixth row: five phonemes and stresses
    mixed_N, _ = engine.speak("left", kokoro.Voice("bm_george", 2.0, "em_santa", 0.25), seed=1)
    assert mixed_N[0] == pytest.approx((0.75 * 0.4 + 0.25 * 0.6) / 2, abs=4e-5)
    np.testing.assert_array_equal(engine.speak("left", kokoro.Voice("af_heart"), seed=2)[0], first_N)
    long_N, _ = engine.speak("left " * 120, kokoro.Voice("bm_george"), seed=1)  # more than the model can speak at once
    assert len(long_N) == 2400 * (len(" ".join([spoken] * 120)) - 1 + 2 * 2)
    with pytest.raises(CorpusError, match="Kokoro has no voice 'af_bella'; it has af_heart, bm_george"):
        engine.speak("left", kokoro.Voice("af_bella"), seed=1)
    with pytest.raises(CorpusError, match=r"kokoro-v1\.0\.onnx"):
        engine.speak("left", dataclasses.replace(kokoro.Voice("af_heart"), speed=np.zeros(2)), seed=1)


def test_kokoro_mixes_in_people_of_the_same_split_only(kokoros):
    engine = find_engine("kokoro", Sources(folder=kokoros))
    rng = np.random.default_rng(0)
    drawn = [engine.draw_voice(ALL, rng, is_digits=False, is_wide=True) for _ in range(200)]
    assert 60 < sum(bool(each.mixed_with) for each in drawn) < 140
    assert all(engine.person(each.mixed_with) != engine.person(each.voice) for each in drawn if each.mixed_with)
    assert all(0.1 <= each.mix <= 0.5 for each in drawn if each.mixed_with)
    for split in ("train", "dev", "test"):
        ours = engine.voices(split)
        for _ in range(30):
            voice = engine.draw_voice(split, rng, is_digits=False, is_wide=True)
            assert voice.voice in ours and (not voice.mixed_with or voice.mixed_with in ours)
    assert not any(engine.draw_voice(ALL, rng, is_digits=True, is_wide=False).mixed_with for _ in range(30))


@pytest.mark.parametrize(
    ("text", "american", "british"),
    [
        ("set an alarm for ten, please.", "sˈɛt ən əlˈɑɹm fɔɹ tˈɛn, plˈiz.", "sˈɛt ən əlˈɑːm fɔː tˈɛn, plˈiːz."),
        ("no joy", "nˈO ʤˈY", "nˈQ ʤˈY"),
        ("the first church; now", "ðə fˈɜɹst ʧˈɜɹʧ; nˈW", "ðə fˈɜːst ʧˈɜːʧ; nˈW"),
        ("", "", ""),
    ],
)
def test_phonemes_are_written_as_kokoro_was_taught_them(text, american, british):
    pytest.importorskip("espeakng_loader", reason="eSpeak NG gives the phonemes")
    assert kokoro.to_phonemes(text, is_british=False) == american
    assert kokoro.to_phonemes(text, is_british=True) == british


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "af_heart.bin").write_bytes(bytes(400)), "af_heart is no voice of Kokoro's: 100 n"),
        (lambda folder: (folder / "voices.npz").write_bytes(b"PK\x03\x04 cut"), "no voice of Kokoro's"),
        (lambda folder: shutil.copy(folder / "voices.npz", folder / "more.npz"), "has the voice bm_george once more"),
        (lambda folder: shutil.copy(folder / "kokoro-v1.0.onnx", folder / "kokoro.onnx"), "has several of Kokoro's"),
        (lambda folder: (folder / "kokoro-v1.0.onnx").unlink(), "has not both its model and voices"),
        (lambda folder: (folder / "kokoro-v1.0.onnx").write_bytes(b"no graph"), "cannot be loaded as Kokoro's model"),
    ],
)
def test_a_folder_that_is_not_kokoros_is_explained(kokoros, change, message):
    change(kokoros)
    with pytest.raises(CorpusError, match=message):
        find_engine("kokoro", Sources(folder=kokoros)).speak("left", kokoro.Voice("bm_george"), seed=0)


def test_a_voice_that_is_not_there_is_named():
    for name in ("flite", "festival", "piper", "mbrola", "rhvoice", "pico"):
        if name not in missing_engines():
            engine = find_engine(name)
            voice = engine.draw_voice(ALL, np.random.default_rng(0), is_digits=False, is_wide=False)
            field = "model" if name == "piper" else "voice"
            with pytest.raises(CorpusError, match=r"has no .*voice 'nobody'; it has \w+"):
                engine.speak("one", dataclasses.replace(voice, **{field: "nobody"}), seed=0)


def test_missing_programs_say_how_to_get_them(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    commands = {"flite": "flite", "festival": "festival", "rhvoice": "RHVoice-test", "pico": "pico2wave"}
    commands["mbrola"] = "espeak-ng and mbrola"
    for name, command in commands.items():
        with pytest.raises(CorpusError, match=f"{name} cannot be used: the command {command} is not installed.*apt"):
            find_engine(name)


# Programs that need not be installed here: one that keeps how it was called, and writes a tone.

STAND_IN = """#!{python}
import json, pathlib, sys, wave
here, arguments = pathlib.Path(__file__).parent, sys.argv[1:]
if arguments == ["--voices=mb"]:
    print((here / "voices").read_text())
    sys.exit()
(here / "called.json").write_text(json.dumps([arguments, sys.stdin.read()]))
with wave.open(next(each for each in arguments if each.endswith(".wav")), "wb") as file:
    file.setparams((1, 2, 16000, 0, "NONE", ""))
    file.writeframes(bytes([0, 64]) * 1600)
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Makes a program of this name that is found first; gives what its last call was given."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def make(name):
        (tmp_path / name).write_text(STAND_IN.format(python=sys.executable))
        (tmp_path / name).chmod(0o755)
        return lambda: json.loads((tmp_path / "called.json").read_text())

    return make


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script that starts by its first line")
def test_pico_is_given_its_settings_as_markup_and_the_text_as_text(stand_in):
    called = stand_in("pico2wave")
    engine = find_engine("pico")
    samples_N, rate = engine.speak("<break> & -go", type(_drawn(engine))("en-GB", 80, 110), seed=0)
    assert (len(samples_N), rate) == (1600, 16000)
    arguments, _ = called()
    assert arguments[:2] == ["-l", "en-GB"]
    assert arguments[-1] == '<speed level="80"><pitch level="110">&lt;break&gt; &amp; -go</pitch></speed>'
    assert engine.voices("test") == (), "two people fill no three splits"


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script that starts by its first line")
def test_rhvoice_is_given_the_text_on_its_input_and_its_voices_are_the_english_ones(stand_in, tmp_path, monkeypatch):
    called = stand_in("RHVoice-test")
    monkeypatch.setenv("RHVOICEDATAPATH", str(tmp_path))
    monkeypatch.setattr(rhvoice, "_installed", functools.cache(rhvoice._installed.__wrapped__))
    with pytest.raises(CorpusError, match="RHVoice has no English voice; install them"):
        find_engine("rhvoice")
    for name, language in (("alan", "English"), ("slt", "English"), ("anna", "Russian")):
        (tmp_path / "voices" / name).mkdir(parents=True)
        (tmp_path / "voices" / name / "voice.info").write_text(f"name={name.title()}\nlanguage={language}\n")
    monkeypatch.setattr(rhvoice, "_installed", functools.cache(rhvoice._installed.__wrapped__))
    engine = find_engine("rhvoice")
    assert engine.voices(ALL) == ("alan", "slt") and engine.person("slt") == ENGINES["flite"].person("slt")
    engine.speak("-go on", PercentVoice("alan", 90, 105), seed=0)
    arguments, written = called()
    assert arguments[:6] == ["-p", "alan", "-r", "90", "-t", "105"] and written == "-go on"


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script that starts by its first line")
def test_mbrola_speaks_with_the_english_voices_whose_recordings_are_there(stand_in, tmp_path, monkeypatch):
    called = stand_in("espeak-ng")
    stand_in("mbrola")
    (tmp_path / "voices").write_text(
        "Pty Language       Age/Gender VoiceName          File                 Other Languages\n"
        " 6  de              --/M      german-mbrola-4    mb/mb-de4            \n"
        " 9  en              --/M      en-german-4        mb/mb-de4-en         \n"
        " 3  en-uk           --/M      english-mb-en1     mb/mb-en1            (en-gb 3)(en 2)\n"
        " 2  en-us           --/F      us-mbrola-1        mb/mb-us1            \n"
    )
    for name in ("de4", "us1"):
        (tmp_path / "recordings" / name).mkdir(parents=True)
    monkeypatch.setattr(mbrola, "_DATABASES", tmp_path / "recordings")
    monkeypatch.setattr(mbrola, "_installed", functools.cache(mbrola._installed.__wrapped__))
    engine = find_engine("mbrola")
    assert engine.voices(ALL) == ("mb-de4-en", "mb-us1"), "the recordings of en1 are not there"
    assert engine.person("mb-de4-en") == engine.person("mb-de4") != engine.person("mb-us1")
    engine.speak("go", mbrola.Voice("mb-us1", 150, 60, 2), seed=0)
    arguments, written = called()
    assert arguments[:8] == ["-v", "mb-us1", "-s", "150", "-p", "60", "-g", "2"] and written == "go"


def _drawn(engine):
    return engine.draw_voice(ALL, np.random.default_rng(0), is_digits=False, is_wide=False)


@pytest.mark.parametrize(
    ("listed", "voices"), [("kal awb_time slt", ("kal", "slt")), ("kal awb_time kal16 slt", ("kal16", "slt"))]
)
def test_voices_of_flite_that_read_the_time_only_or_are_narrower_copies_are_left_out(listed, voices, monkeypatch):
    done = type("Done", (), {"stdout": f"Voices available: {listed} \n"})
    monkeypatch.setattr(flite.subprocess, "run", lambda *_, **__: done)
    assert flite._built_in.__wrapped__() == voices


# A command of the user's own.


def test_a_command_speaks_each_sentence_as_one_argument_and_runs_nothing_else(tmp_path, line):
    engine = find_engine("command", Sources(command=line, command_voices=("ann", "bob", "cleo")))
    assert [len(engine.voices(split)) for split in ("train", "dev", "test")] == [1, 1, 1]
    voice = engine.draw_voice("train", np.random.default_rng(0), is_digits=False, is_wide=True)
    text = f"a; touch {tmp_path / 'owned'} $(touch {tmp_path / 'owned'}) {{out}} {{voice}}"
    samples_N, rate = engine.speak(text, voice, seed=0)
    assert (len(samples_N), rate) == (400 * len(text), 8000) and not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fail", "ended with code 3: no such word"),
        ("nothing", "wrote no file speech.wav"),
        ("-rf", "would read '-rf' as an option"),
        ("a\0b", "cannot be started"),
    ],
)
def test_a_command_that_fails_is_reported_with_what_it_printed(line, text, message):
    engine = find_engine("command", Sources(command=line))
    with pytest.raises(CorpusError, match=message):
        engine.speak(text, engine.draw_voice("train", np.random.default_rng(0), is_digits=False, is_wide=True), seed=0)


@pytest.mark.parametrize(
    ("command", "voices", "message"),
    [
        (None, (), "no command was given; give one, such as --voice-command"),
        ("'unclosed {text} {out}", (), "cannot be split into arguments"),
        ("say {text}", (), r"lacks \{out\}"),
        ("{text} {out}", (), r"lacks \{text\}"),
        ("surely-not-installed {text} {out}", (), "no program 'surely-not-installed'"),
        ("python {text} {out}", ("a", "b"), r"has no \{voice\} for the voices a, b"),
    ],
)
def test_a_command_line_that_cannot_speak_is_explained(command, voices, message):
    with pytest.raises(CorpusError, match=message):
        find_engine("command", Sources(command=command, command_voices=voices))


def test_what_is_no_audio_and_what_hangs_is_an_error(monkeypatch):
    def writes(content):
        return lambda out: [sys.executable, "-c", f"open({str(out)!r}, 'w').write({content!r})"]

    with pytest.raises(CorpusError, match="not audio"):
        run_for_speech(writes("words"))
    monkeypatch.setattr("speechgru.voices.programs.TIMEOUT_SECONDS", 0.2)
    with pytest.raises(CorpusError, match=r"stopped after 0.2 s"):
        run_for_speech(lambda out: [sys.executable, "-c", "import time; time.sleep(60)"])


# Casts.


class Talker:
    """An engine of named people; cheap."""

    summary, licence, is_slow = "a fake", "none", False

    def __init__(self, name, *voices):
        self.name, self._voices = name, voices

    def why_unavailable(self):
        return "" if self._voices else "nobody is there; hire somebody"

    def voices(self, split):
        return people.voices_of(split, self._voices, self.person)

    def person(self, voice):
        return people.cmu_person(voice) or f"{self.name}/{voice}"

    def draw_voice(self, split, rng, *, is_digits, is_wide):
        return type("Voice", (), {"name": people.draw_of(split, self._voices, self.person, rng), "facts": {}})()


@pytest.fixture
def talkers(monkeypatch):
    chosen = [Talker("many", *"abcdefghij"), Talker("few", "x"), Talker("cmu", "slt", "kal", "rms"), Talker("none")]
    monkeypatch.setattr("speechgru.voices.ENGINES", {each.name: each for each in chosen})


def test_engines_speak_by_weight_and_each_split_has_its_own_people(talkers):
    cast, left_out = choose_cast({"many": 3, "few": 1})
    assert cast.splits == ("train", "dev", "test") and not left_out
    rng = np.random.default_rng(0)
    drawn = [cast.draw("train", rng) for _ in range(400)]
    assert 270 < sum(engine.name == "many" for engine, _ in drawn) < 330
    assert {cast.draw("test", rng)[0].name for _ in range(20)} == {"many"}, "one person alone is in train"
    cast.check(cast.splits)


def test_engines_are_kept_whole_for_train_or_for_a_test_of_their_own(talkers):
    cast, _ = choose_cast({"many": None, "cmu": None}, train_engines=["cmu"], test_engines=["few"])
    assert cast.splits == ("train", "dev", "test", "test_few")
    rng = np.random.default_rng(0)
    trained = {voice.name for engine, voice in (cast.draw("train", rng) for _ in range(300)) if engine.name == "cmu"}
    assert trained == {"slt", "kal", "rms"}
    assert {cast.draw("test", rng)[0].name for _ in range(30)} == {"many"}
    assert {cast.draw("test_few", rng)[1].name for _ in range(5)} == {"x"}
    weights = {member.engine.name: round(member.weight, 2) for member in cast.members}
    assert weights == {"many": 3.16, "cmu": 1.73, "few": 1.0}, "square roots of the numbers of people"


def test_everybody_here_speaks_by_default_but_those_who_are_kept_for_the_test(talkers, monkeypatch):
    cast, left_out = choose_cast(test_engines=["cmu"])
    assert {member.engine.name for member in cast.members} == {"many", "few", "cmu"}
    assert left_out == {"none": "nobody is there; hire somebody"}
    monkeypatch.setitem(sys.modules["speechgru.voices"].ENGINES, "few", Talker("few", "cmu_us_kal_com"))
    cast, left_out = choose_cast(test_engines=["cmu"])
    assert left_out["few"] == "kal is kept for the test, where cmu speaks with their voice"
    with pytest.raises(CorpusError, match="few has nobody left: kal is kept for the test, where cmu speaks"):
        choose_cast({"many": 1, "few": 1}, test_engines=["cmu"])
    monkeypatch.setitem(sys.modules["speechgru.voices"].ENGINES, "few", Talker("few", "cmu_us_slt_com"))
    cast, _ = choose_cast({"many": 1, "cmu": 1, "few": 1}, train_engines=["few"])
    with pytest.raises(CorpusError, match="the speaker of few/cmu_us_slt_com in train is that of cmu/slt in test"):
        cast.check(cast.splits)


def test_only_those_people_of_an_engine_are_left_out_who_are_kept_for_the_test(talkers, monkeypatch):
    some = Talker("some", "slt", "ann", "bob", "cleo")
    monkeypatch.setitem(sys.modules["speechgru.voices"].ENGINES, "some", some)
    for engines in (None, {"some": 1, "many": 1}):
        cast, left_out = choose_cast(engines, test_engines=["cmu"])
        cast.check(cast.splits)
        assert left_out["slt of some"] == "kept for the test, where cmu speaks with their voice"
        (member,) = (each for each in cast.members if each.engine.name == "some")
        assert set(member.engine.voices(ALL)) == {"ann", "bob", "cleo"} and member.engine.summary == "a fake"
        drawn = [member.engine.draw_voice(ALL, np.random.default_rng(seed), **USUAL).name for seed in range(90)]
        assert {"ann", "bob", "cleo"} == set(drawn) and 15 < drawn.count("ann") < 45
    member = pickle.loads(pickle.dumps(Without(ENGINES["espeak"], frozenset({"espeak/f4"}))))
    assert member.voices("dev") == ("m4", "michel") and member.name == "espeak", "as it goes to worker processes"


USUAL = {"is_digits": False, "is_wide": False}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"engines": {"mny": 1}}, "'mny'; did you mean 'many'"),
        ({"engines": {"none": 1}}, "none cannot be used: nobody is there"),
        ({"engines": {"many": 0}}, "weight of the voice engine many must be a positive number, got 0"),
        ({"engines": {"many": float("nan")}}, "must be a positive number, got nan"),
        ({"engines": {"many": 1}, "train_engines": ["few"]}, "few is kept for train and is none of many"),
        ({"engines": {"many": 1}, "test_engines": ["many"]}, "many is to speak in train and kept for the test"),
    ],
)
def test_a_cast_that_cannot_be_is_explained(talkers, arguments, message):
    with pytest.raises(CorpusError, match=message):
        choose_cast(**arguments)


def test_a_split_without_a_voice_is_explained(talkers):
    for engines, message in (({"few": 1}, "few has no speaker for dev: three splits need three people"),):
        cast, _ = choose_cast(engines)
        with pytest.raises(CorpusError, match=message):
            cast.check(("train", "dev", "test"))


# The cache.


def test_cached_speech_is_what_was_spoken_and_is_spoken_once(tmp_path, line, monkeypatch):
    engine = find_engine("command", Sources(command=line, command_voices=("ann",)))
    voice = engine.draw_voice("train", np.random.default_rng(0), is_digits=False, is_wide=True)
    cache = SpeechCache(tmp_path / "cache")
    spoken_N, rate = cache.speak(engine, "one", voice, seed=1)
    calls = []
    monkeypatch.setattr(type(engine), "speak", lambda _, text, *__, **___: calls.append(text) or (spoken_N, 8000))
    kept_N, kept_rate = cache.speak(engine, "one", voice, seed=1)
    np.testing.assert_array_equal(kept_N, spoken_N)
    assert kept_N.dtype == np.float32 and kept_rate == rate and not calls
    cache.speak(engine, "two", voice, seed=1)
    cache.speak(engine, "one", voice, seed=2)
    other = find_engine("command", Sources(command=line + " loud", command_voices=("ann",)))
    cache.speak(other, "one", voice, seed=1)
    assert calls == ["two", "one", "one"], "text, seed and command line each count"
    for path in (tmp_path / "cache").rglob("*.flac"):
        path.write_bytes(b"damaged")
    cache.speak(engine, "one", voice, seed=1)
    assert calls[3:] == ["one"], "what is damaged is spoken anew"


def test_the_cache_drops_what_was_not_used_for_longest(tmp_path):
    cache = SpeechCache(tmp_path, limit_bytes=250)
    for number in range(4):
        path = tmp_path / f"{number}.flac"
        path.write_bytes(b"x" * 100)
        os.utime(path, (number, number))
    cache.trim()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2.flac", "3.flac"]


def test_a_cache_that_cannot_be_written_costs_no_speech(tmp_path, line):
    (tmp_path / "file").write_text("")
    engine = find_engine("command", Sources(command=line))
    voice = engine.draw_voice("train", np.random.default_rng(0), is_digits=False, is_wide=True)
    samples_N, _ = SpeechCache(tmp_path / "file").speak(engine, "one", voice, seed=0)
    assert len(samples_N) == 1200


def test_the_users_cache_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "speechgru" / "speech"


def test_stereo_of_a_program_becomes_one_channel(tmp_path):
    code = (
        "import sys, wave; f = wave.open(sys.argv[1], 'wb'); f.setparams((2, 2, 8000, 0, 'NONE', '')); "
        "f.writeframes(bytes([0, 64, 0, 0]) * 100)"
    )
    samples_N, rate = run_for_speech(lambda out: [sys.executable, "-c", code, str(out)])
    assert (samples_N.shape, rate) == ((100,), 8000) and samples_N == pytest.approx(0.25)


def test_festival_is_believed_when_it_speaks_twice_alike(monkeypatch):
    voice = festival.Voice("kal_diphone")
    monkeypatch.setattr(festival, "_installed", lambda: ("kal_diphone",))

    def answers(*values):
        left = iter(values)
        process = type("Process", (), {"speak": lambda *_: (np.full(3, next(left)), 16000)})
        monkeypatch.setattr(festival, "_process", process)

    answers(0.9, 0.1, 0.1)  # a tenth of a second of noise, and then what was asked for
    assert ENGINES["festival"].speak("one", voice, seed=0)[0][0] == 0.1
    answers(*range(9))
    with pytest.raises(CorpusError, match="Festival spoke 6 times, never twice alike"):
        ENGINES["festival"].speak("one", voice, seed=0)
