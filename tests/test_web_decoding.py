"""The page's JavaScript is held to the Python it was written after, in Node.js: decoding, grammars, lengths, sound."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from grammars import random_grammar, readings_of

from speechgru import lengths
from speechgru.corpora.zipped import unpacked
from speechgru.decoding import DecoderStream, DecodingOptions, EndpointRule, KeywordSpotter, decode
from speechgru.decoding.grammar import GrammarConstraint
from speechgru.decoding.keywords import REFRACTORY_SECONDS, WINDOW_SECONDS
from speechgru.errors import TextError
from speechgru.recording.corpus import RecordingFolder
from speechgru.recording.quality import judge_recording
from speechgru.text import Subwords, Vocabulary, normalize_text
from speechgru.web.site import grammar_record

PAGE = Path(__file__).parents[1] / "speechgru" / "web" / "page"
SCRIPT = Path(__file__).with_name("web_decoding.mjs")
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(NODE is None, reason="Node.js, which runs the page's modules, is not installed")

CHARACTERS = Vocabulary(" 'abc")
WORDS = Vocabulary(["a", "aa", "ab", "b", "ba", "bb", "c", "please"], unit="word")
PIECES = ["\u2581", "a", "b", "c", "'", "ab", "\u2581a", "\u2581b", "\u2581please", "please"]
SUBWORDS = Vocabulary.of_subwords(Subwords(PIECES, [-1.0] * len(PIECES)))


def ask(questions):
    """Answers of the page's modules, one for each question."""
    done = subprocess.run(
        [NODE, str(SCRIPT), PAGE.as_uri()],
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def log_probs_of(rng, steps, columns, sharpness=2.0):
    logits_SV = sharpness * rng.normal(size=(steps, columns))
    logits_SV[:, 0] += rng.choice([0.0, 2.0])
    return (logits_SV - np.logaddexp.reduce(logits_SV, axis=1, keepdims=True)).astype(np.float32)


def written(log_probs_SV):
    return [[float(value) for value in row] for row in log_probs_SV]


def assert_same(found, expected):
    """A hypothesis of the page is one of Python's."""
    assert found["text"] == expected.text
    assert tuple(found["labels"]) == expected.labels
    assert tuple(map(tuple, found["spans"])) == expected.spans
    assert (found["intent"], found["slots"], found["accepted"]) == (
        expected.intent,
        dict(expected.slots),
        expected.accepted,
    )
    numbers = [(found[name], getattr(expected, name)) for name in ("score", "confidence", "posterior", "margin")]
    for word, other in zip(found["words"], expected.words, strict=True):
        assert word["text"] == other.text
        numbers += [(word["startSeconds"], other.start_seconds), (word["endSeconds"], other.end_seconds)]
        numbers.append((word["confidence"], other.confidence))
    for value, other in numbers:
        if value is None:  # JSON has no infinity
            assert other is None or other == -np.inf
        else:
            assert value == pytest.approx(other, rel=1e-9, abs=1e-9)


@pytest.fixture(scope="module")
def constraints():
    """Random grammars that each vocabulary can write, ready for it."""
    found = []
    for seed in range(60):
        grammar = random_grammar(np.random.default_rng([seed, 3]))
        for vocabulary in (CHARACTERS, SUBWORDS, WORDS):
            constraint = GrammarConstraint(grammar)
            try:
                constraint.compile(vocabulary)
            except TextError:
                continue
            found.append((constraint, vocabulary))
    assert len({vocabulary.unit for _, vocabulary in found}) == 3 and len(found) > 60
    return found


def test_greedy_and_beam_decoding_are_pythons():
    rng = np.random.default_rng(0)
    questions, expected = [], []
    for vocabulary in (CHARACTERS, SUBWORDS, WORDS):
        for steps in (0, 1, 2, 7, 40):
            for beam_width in (1, 2, 16):
                log_probs_SV = log_probs_of(rng, steps, len(vocabulary), sharpness=rng.uniform(0.5, 4))
                options = DecodingOptions(beam_width=beam_width)
                questions.append({"what": "decode", "vocabulary": vocabulary.as_record(), "beam_width": beam_width,
                                  "log_probs": written(log_probs_SV)})  # fmt: skip
                expected += decode(log_probs_SV, vocabulary=vocabulary, step_seconds=0.04, options=options)[:1]
    for found, hypothesis in zip(ask(questions), expected, strict=True):
        assert_same(found, hypothesis)


def test_equal_probabilities_go_to_the_same_label():
    log_probs_SV = np.log(np.full((6, len(CHARACTERS)), 1 / len(CHARACTERS), np.float32))
    for beam_width in (1, 4):
        (found,) = ask([{"what": "decode", "vocabulary": CHARACTERS.as_record(), "beam_width": beam_width,
                         "log_probs": written(log_probs_SV)}])  # fmt: skip
        options = DecodingOptions(beam_width=beam_width)
        (expected,) = decode(log_probs_SV, vocabulary=CHARACTERS, step_seconds=0.04, options=options)
        assert_same(found, expected)


def test_a_grammar_constrains_the_beam_as_in_python(constraints):
    rng = np.random.default_rng(1)
    questions, expected = [], []
    for constraint, vocabulary in constraints:
        for steps in (2, 12):
            log_probs_SV = log_probs_of(rng, steps, len(vocabulary), sharpness=rng.uniform(0.5, 3))
            options = DecodingOptions(beam_width=8, grammar=constraint, threshold=-1.0)
            questions.append({"what": "decode", "vocabulary": vocabulary.as_record(), "beam_width": 8,
                              "threshold": -1.0, "grammar": grammar_record(constraint),
                              "log_probs": written(log_probs_SV)})  # fmt: skip
            expected += decode(log_probs_SV, vocabulary=vocabulary, step_seconds=0.04, options=options)[:1]
    assert sum(hypothesis.intent is not None for hypothesis in expected) > 30
    for found, hypothesis in zip(ask(questions), expected, strict=True):
        assert_same(found, hypothesis)


def test_a_stream_is_pythons_at_every_piece(constraints):
    rng = np.random.default_rng(2)
    questions, expected = [], []
    chosen = [(None, CHARACTERS), (None, SUBWORDS), (None, WORDS), *constraints[::9]]
    for constraint, vocabulary in chosen:
        log_probs_SV = log_probs_of(rng, 15, len(vocabulary))
        pieces = np.split(log_probs_SV, sorted(rng.choice(15, size=4)))
        beam_width = 1 if constraint is None else 8
        options = DecodingOptions(beam_width=beam_width, grammar=constraint)
        stream = DecoderStream(vocabulary=vocabulary, step_seconds=0.04, options=options)
        partial = []
        for piece_SV in pieces:
            stream.feed(piece_SV)
            partial.append(stream.partial())
        expected.append((partial, stream.finish()[0]))
        questions.append({"what": "stream", "vocabulary": vocabulary.as_record(), "beam_width": beam_width,
                          "grammar": constraint and grammar_record(constraint),
                          "pieces": [written(piece_SV) for piece_SV in pieces]})  # fmt: skip
    for found, (partial, finished) in zip(ask(questions), expected, strict=True):
        for one, other in zip(found["partial"], partial, strict=True):
            assert_same(one, other)
        assert_same(found["finished"], finished)


def test_the_parser_gives_the_first_reading_of_every_sentence():
    questions, expected = [], []
    for seed in range(40):
        grammar = random_grammar(np.random.default_rng([seed, 5]))
        readings = readings_of(grammar, normalize_text)
        texts = [*list(readings)[:20], "no such sentence", *(f"please {text}" for text in list(readings)[:2])]
        questions.append({"what": "parse", "vocabulary": CHARACTERS.as_record(), "texts": texts,
                          "grammar": grammar_record(GrammarConstraint(grammar))})  # fmt: skip
        expected.append([grammar.parse(text) for text in texts])
    assert sum(sentence is not None for sentences in expected for sentence in sentences) > 100
    for found, sentences in zip(ask(questions), expected, strict=True):
        for reading, sentence in zip(found, sentences, strict=True):
            assert reading == (sentence and {"intent": sentence.intent, "slots": dict(sentence.slots)})


def test_an_endpoint_comes_at_pythons_step():
    rng = np.random.default_rng(3)
    rules = [
        {},
        {"trailing_seconds": 0.2, "start_seconds": 0.3},
        {"max_seconds": 0.5},
        {"start_seconds": None, "max_seconds": None},
    ]
    questions, expected = [], []
    for rule in rules:
        for quiet in (0.0, 8.0):
            log_probs_SV = log_probs_of(rng, 60, len(CHARACTERS))
            log_probs_SV[:, 0] += quiet
            log_probs_SV -= np.logaddexp.reduce(log_probs_SV, axis=1, keepdims=True)
            stream = DecoderStream(vocabulary=CHARACTERS, step_seconds=0.04, options=DecodingOptions())
            expected.append(stream.feed_until(log_probs_SV, EndpointRule(**rule)))
            names = {
                "trailing_seconds": "trailingSeconds",
                "start_seconds": "startSeconds",
                "max_seconds": "maxSeconds",
            }
            questions.append({"what": "endpoint", "vocabulary": CHARACTERS.as_record(),
                              "rule": {names[name]: value for name, value in rule.items()},
                              "log_probs": written(log_probs_SV)})  # fmt: skip
    assert ask(questions) == expected and None in expected and len(set(expected)) > 2


def test_lengths_of_streams_are_pythons():
    settings = [
        {"frame_length": 4, "n_fft": 4, "hop_length": 2, "center": True, "slope_frames": 0, "leading_samples": 0,
         "subsampling_factor": 2, "chunk_steps": 3, "lookahead_steps": 0, "delay_steps": 0},
        {"frame_length": 400, "n_fft": 512, "hop_length": 160, "center": False, "slope_frames": 4, "leading_samples": 1,
         "subsampling_factor": 3, "chunk_steps": 4, "lookahead_steps": 2, "delay_steps": 1},
        {"frame_length": 399, "n_fft": 511, "hop_length": 79, "center": True, "slope_frames": 2, "leading_samples": 1,
         "subsampling_factor": 1, "chunk_steps": 7, "lookahead_steps": 3, "delay_steps": 0},
    ]  # fmt: skip
    counts = [0, 1, 2, 79, 400, 511, 512, 513, 1999, 16000]
    asked = [{"what": "geometry", "geometry": each, "num_samples": counts} for each in settings]
    for answers, each in zip(ask(asked), settings, strict=True):
        geometry = lengths.StreamGeometry(**each)
        for answer, count in zip(answers, counts, strict=True):
            steps = geometry.num_steps(count)
            frames = lengths.num_frames(
                count, n_fft=each["n_fft"], hop_length=each["hop_length"], center=each["center"]
            )
            of_call = geometry.steps_of(1, num_steps=steps)
            assert answer == [
                frames, steps, geometry.num_calls(count), geometry.num_ready_calls(count),
                list(geometry.bounds(1, num_samples=count)), list(geometry.bounds(0)), [of_call.start, of_call.stop],
            ]  # fmt: skip


def test_another_rate_is_the_same_sound_however_it_is_cut():
    time_N = np.arange(4800) / 48000
    samples_N = (0.4 * np.sin(2 * np.pi * 440 * time_N) + 0.2 * np.sin(2 * np.pi * 3000 * time_N)).astype(np.float32)
    asked = [
        {"what": "resample", "samples": samples_N.tolist(), "source_rate": 48000, "sample_rate": rate, "piece": 128}
        for rate in (16000, 44100)
    ]
    for found, rate in zip(ask(asked), (16000, 44100), strict=True):
        assert len(found["whole"]) == round(4800 * rate / 48000)
        np.testing.assert_allclose(found["pieces"], found["whole"], rtol=0, atol=1e-7)
        time_N = np.arange(len(found["whole"])) / rate
        expected_N = 0.4 * np.sin(2 * np.pi * 440 * time_N) + 0.2 * np.sin(2 * np.pi * 3000 * time_N)
        middle = slice(200, -200)  # the sound begins and ends with a step, which rings
        np.testing.assert_allclose(np.array(found["whole"])[middle], expected_N[middle], rtol=0, atol=2e-4)


def test_what_the_new_rate_cannot_hold_is_taken_out():
    noise_N = np.sin(2 * np.pi * 11000 * np.arange(4800) / 48000)
    (found,) = ask(
        [{"what": "resample", "samples": noise_N.tolist(), "source_rate": 48000, "sample_rate": 16000, "piece": 500}]
    )
    assert np.abs(found["whole"][100:-100]).max() < 1e-3


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_wav_files_are_read_as_by_soundfile(subtype, tmp_path, make_speech):
    file = tmp_path / "a.wav"
    soundfile.write(file, make_speech(0.05, num_channels=2), 22050, subtype=subtype)
    (found,) = ask([{"what": "wav", "file": str(file)}])
    expected_NC, rate = soundfile.read(file, dtype="float32")
    assert found["sampleRate"] == rate
    np.testing.assert_allclose(found["samples"], expected_NC.mean(axis=1), rtol=0, atol=1e-7)


def test_what_is_no_wav_is_left_to_the_browser(tmp_path):
    files = {"short.wav": b"RIFF", "other.wav": b"OggS" + bytes(40), "law.wav": None}
    soundfile.write(tmp_path / "law.wav", np.zeros(100), 8000, subtype="ULAW")
    for name, content in files.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
    assert ask([{"what": "wav", "file": str(tmp_path / name)} for name in files]) == [None] * 3


def test_a_written_wav_is_read_by_soundfile(tmp_path, make_speech):
    samples_N = np.concatenate([make_speech(0.02, sample_rate=8000), [1.5, -1.5]])
    (content,) = ask([{"what": "written_wav", "samples": samples_N.tolist(), "sample_rate": 8000}])
    (tmp_path / "a.wav").write_bytes(bytes(content))
    found_N, rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert rate == 8000
    np.testing.assert_allclose(found_N, np.clip(samples_N, -1, 32767 / 32768), rtol=0, atol=0.51 / 32768)


def test_recordings_are_judged_as_by_record(make_speech):
    quiet_N = 0.001 * np.random.default_rng(0).normal(size=4000).astype(np.float32)
    good_N = np.concatenate([quiet_N, make_speech(1.0), quiet_N])
    sounds = {
        "good": good_N, "loud": np.clip(8 * good_N, -1, 1), "faint": 0.02 * good_N, "silent": 1e-5 * good_N,
        "cut off": make_speech(1.0)[2000:14000], "long": np.concatenate([good_N, np.tile(quiet_N, 24)]),
        "short": good_N[:1000],
    }  # fmt: skip
    questions = [
        {"what": "quality", "samples": sound_N.tolist(), "sample_rate": 16000, "text": "go on"}
        for sound_N in sounds.values()
    ]
    for name, found, sound_N in zip(sounds, ask(questions), sounds.values(), strict=True):
        expected = judge_recording(sound_N, 16000, "go on")
        assert bool(found["problem"]) == bool(expected.problems or "is silent" in " ".join(expected.suspicions)), name
        if not found["problem"]:
            assert len(found["suspicions"]) == len(expected.suspicions), (name, found, expected.suspicions)
            assert found["peakDb"] == pytest.approx(expected.peak_db, abs=0.1)


def test_what_the_studio_packs_is_a_folder_of_recordings(tmp_path):
    rng = np.random.default_rng(1)
    prompts = [
        {"text": text, "intent": "Light", "slots": {"place": text, "level": k}}
        for k, text in enumerate(["ab", "cä b", "b"])
    ]
    kept = {2: 0.5 * rng.normal(size=400).clip(-1, 1), 0: 0.3 * rng.normal(size=900).clip(-1, 1)}
    asked = {
        "what": "packed_folder", "file": str(tmp_path / "me.zip"), "speaker": "Jürgen 🎤 O'Neill", "prompts": prompts,
        "kept": [[place, [float(value) for value in np.float32(samples_N)]] for place, samples_N in kept.items()],
        "sample_rate": 8000, "grammar": '{"language": "en"}\n',
    }  # fmt: skip
    names = ["Jo Doe", "../..", "-rf", "", "ü", "a/b\\c"]
    name, folders = ask([asked, {"what": "folder_name", "speakers": names}])
    assert name == "Jürgen-O-Neill" and folders == ["Jo-Doe", "me", "rf", "me", "ü", "a-b-c"]
    with unpacked(tmp_path / "me.zip", tmp_path / "run" / "recordings") as found:
        assert found.name == name and (found / "grammar.json").read_text() == asked["grammar"]
        assert RecordingFolder(found).read_prompts() == [prompt["text"] for prompt in prompts]
        recorded = RecordingFolder(found).recorded()
        assert list(recorded) == [1, 3]
        for number, utterance in recorded.items():
            prompt, samples_N = prompts[number - 1], kept[number - 1]
            assert (utterance.text, utterance.speaker) == (prompt["text"], asked["speaker"])
            assert utterance.extra == {"prompt": number, "intent": "Light", "slots": prompt["slots"]}
            written_N, rate = soundfile.read(utterance.audio_filepath)
            assert rate == 8000 and utterance.duration == len(written_N) / rate
            np.testing.assert_allclose(written_N, samples_N, atol=1 / 32768)


def test_keywords_are_found_where_python_finds_them_with_its_scores():
    asked, expected = [], []
    for seed, texts in enumerate([["ab"], ["abba", "c", "a b"], ["aab", "b"]]):
        log_probs_SV = log_probs_of(np.random.default_rng(seed), 400, 6, sharpness=5.0)
        thresholds = dict.fromkeys(texts, -3.0 + seed)
        spotter = KeywordSpotter(thresholds, vocabulary=CHARACTERS, step_seconds=0.04)
        expected.append(spotter.feed(log_probs_SV))
        words = [
            {"text": text, "labels": [int(label) for label in CHARACTERS.encode(text)], "threshold": least}
            for text, least in thresholds.items()
        ]
        keywords = {"window_seconds": WINDOW_SECONDS, "refractory_seconds": REFRACTORY_SECONDS, "words": words}
        asked.append({"what": "keywords", "keywords": keywords, "log_probs": written(log_probs_SV)})
    for found, wanted in zip(ask(asked), expected, strict=True):
        assert len(wanted) > 2 and [each["keyword"] for each in found] == [each.keyword for each in wanted]
        np.testing.assert_allclose([each["seconds"] for each in found], [each.seconds for each in wanted], atol=1e-9)
        np.testing.assert_allclose([each["score"] for each in found], [each.score for each in wanted], atol=1e-9)
