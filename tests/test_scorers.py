"""A scorer of a beam reaches every way of decoding: a new kind as a field, a user's own in Python and by command."""

import dataclasses
import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import word_penalty
from word_penalty import WordPenalty

from speechgru.cli import console as cli
from speechgru.decoding import (
    DecoderStream,
    DecodingOptions,
    Phrases,
    PrefixScorer,
    Pruning,
    beam_decode,
    decode,
    options_from_lists,
)
from speechgru.decoding.scorers import JointScorer
from speechgru.errors import UserError
from speechgru.runtime import Recognizer
from speechgru.runtime import recognizer as recognizer_module
from speechgru.runtime.transcription import transcribe
from speechgru.scoring import evaluate
from speechgru.text import Vocabulary

VOCABULARY = Vocabulary(" ab")
#: "a b" is the most probable text, "ab" the most probable of one word.
PROBS_SV = [[0.1, 0.1, 0.8, 0.0], [0.3, 0.65, 0.05, 0.0], [0.1, 0.0, 0.1, 0.8], [0.9, 0.1, 0.0, 0.0]]
with np.errstate(divide="ignore"):
    LOG_PROBS_SV = np.log(np.array(PROBS_SV, np.float32))

#: What adding a kind of scorer takes: a class, and a field of `DecodingOptions` that holds one.
OptionsWithPenalty = dataclasses.make_dataclass(
    "OptionsWithPenalty", [("word_penalty", WordPenalty | None, None)], bases=(DecodingOptions,), frozen=True
)


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A bundle whose model gives `LOG_PROBS_SV` for whatever it gets."""

    class Engine:
        streams = False

        def __init__(self, path, **options):
            pass

        def recognize(self, samples_N):
            return LOG_PROBS_SV

    monkeypatch.setattr(recognizer_module, "Engine", Engine)
    metadata = {
        "bundle_version": 2, "sample_rate": 8000, "step_seconds": 0.04, "unit": "character", "entries": list(" ab"),
        "text": {}, "models": {"none": {"file": "model.tflite"}}, "default_form": "none",
    }  # fmt: skip
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "bundle.json").write_text(json.dumps(metadata), encoding="utf-8")
    shutil.copy(Path(__file__).parent / "data" / "bundles" / "v1" / "model.tflite", folder)
    return folder


@pytest.fixture
def manifest(tmp_path, write_wav, write_lines):
    lines = [{"audio_filepath": str(write_wav(tmp_path, seconds=0.5)), "duration": 0.5, "text": "ab"}]
    return write_lines(tmp_path / "test.jsonl", lines)


@pytest.mark.parametrize(
    ("options", "text", "description"),
    [
        ({}, "a b", "beam of 8"),
        ({"word_penalty": WordPenalty(2.0)}, "ab", "beam of 8, 2 off a word"),
        ({"scorers": [WordPenalty(2.0)]}, "ab", "beam of 8, 2 off a word"),
        ({"scorers": [word_penalty.make]}, "ab", "beam of 8, scorer make"),
        ({"scorers": [word_penalty.make(VOCABULARY)]}, "ab", "beam of 8, scorer CompiledWordPenalty"),
        ({"word_penalty": WordPenalty(2.0), "hotwords": {"a b": 9.0}}, "a b", "beam of 8, 1 hotword, 2 off a word"),
        ({"scorers": [WordPenalty(-9)], "phrases": Phrases(["ab"])}, "ab", "beam of 8, one of 1 phrase, -9 off a word"),
    ],
    # Not the objects' addresses: workers must collect the same names.
    ids=["none", "key", "scorer", "factory", "compiled", "key and hotwords", "scorer and phrases"],
)  # fmt: skip
def test_a_scorer_reaches_transcription_evaluation_and_streams(bundle, manifest, tmp_path, options, text, description):
    options = OptionsWithPenalty(beam_width=8, **options)
    recognizer = Recognizer(bundle)
    assert recognizer.transcribe(np.ones(4000), 8000, options).text == text
    (record,) = transcribe(bundle, [tmp_path / "a.wav"], decoding=options)
    assert record["text"] == text
    record = evaluate(bundle, manifest, decoding=options)
    assert (record["utterances"][0]["hypothesis"], record["wer"] == 0.0) == (text, text == "ab")
    assert record["decoding"]["description"] == description
    assert json.loads(json.dumps(record["decoding"]))["beam_width"] == 8
    for cut in range(len(LOG_PROBS_SV) + 1):
        stream = DecoderStream(vocabulary=VOCABULARY, step_seconds=0.04, options=recognizer.prepare(options))
        stream.feed(LOG_PROBS_SV[:cut])
        stream.partial()
        stream.feed(LOG_PROBS_SV[cut:])
        assert stream.finish()[0].text == text


def test_the_record_names_what_scored():
    record = OptionsWithPenalty(beam_width=4, word_penalty=WordPenalty(2.0), scorers=[word_penalty.make]).as_record()
    assert (record["word_penalty"], record["scorers"], record["hotwords"]) == (2.0, ["scorer make"], {})


def test_a_scorer_is_made_once_for_a_recogniser(bundle):
    made = []

    def counted(vocabulary):
        made.append(vocabulary)
        return word_penalty.make(vocabulary)

    recognizer, options = Recognizer(bundle), DecodingOptions(beam_width=4, scorers=[counted])
    recognizer.prepare(options)
    assert made == [VOCABULARY], "a mistake in it shows before the first sound"
    for _ in range(3):
        recognizer.transcribe(np.ones(4000), 8000, options)
    assert made == [VOCABULARY]


def test_scores_are_those_of_the_beam_with_the_scorers_as_they_are():
    options = OptionsWithPenalty(beam_width=8, n_best=8, word_penalty=WordPenalty(1.5), scorers=[word_penalty.make])
    common = {"vocabulary": VOCABULARY, "step_seconds": 0.04}
    expected = beam_decode(
        LOG_PROBS_SV, **common, beam_width=8, n_best=8, scorers=[WordPenalty(1.5), word_penalty.make(VOCABULARY)]
    )
    assert decode(LOG_PROBS_SV, **common, options=options) == expected
    free = {one.labels: one.score for one in beam_decode(LOG_PROBS_SV, **common, beam_width=50, n_best=50)}
    for one in expected:
        assert one.score == pytest.approx(free[one.labels] - 3.5 * len(one.text.split()), abs=1e-6)


def test_what_makes_no_scorer_is_named():
    options = DecodingOptions(beam_width=4, scorers=[lambda vocabulary: 0.5])
    with pytest.raises(UserError, match=r"scorer <lambda>: for a vocabulary it must give a PrefixScorer, got 0\.5"):
        options.prepared(normalize=str.lower, vocabulary=VOCABULARY)


class NoB(PrefixScorer):
    """Allows texts without the letter b."""

    max_change, is_constraint = 0.0, True

    def start(self):
        return 0

    def extend(self, state, label):
        return 0, -math.inf if label == 3 else 0.0

    def finish(self, state):
        return 0.0


def test_pruning_that_could_forbid_what_a_scorer_allows_is_refused():
    options = DecodingOptions(beam_width=4, scorers=[NoB()], pruning=Pruning(token_log_prob=-5.0))
    with pytest.raises(UserError, match="token_log_prob and blank_log_prob would leave out labels"):
        decode(LOG_PROBS_SV, vocabulary=VOCABULARY, step_seconds=0.04, options=options)


def test_of_several_scorers_the_one_that_breaks_its_promise_is_named_and_constraints_are_asked_first():
    asked = []

    class Costly(NoB):
        is_constraint = False

        def extend(self, state, label):
            asked.append(label)
            return 0, 1.0 if label == 2 else 0.0

    joint = JointScorer([Costly(), NoB()])
    assert joint.is_constraint
    assert joint.extend(joint.start(), 3) == (None, -math.inf) and not asked
    with pytest.raises(
        UserError, match=r"Costly\.extend changed the score by 1\.0 at label 2; .* its max_change, 0\.0"
    ):
        joint.extend(joint.start(), 2)


# --- on the command line ---


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs the command line in a folder that holds `word_penalty.py`; gives the exit code and what was printed."""
    shutil.copy(Path(word_penalty.__file__), tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["speechgru", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return caught.value.code, out, err

    return run


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "a b"),
        (["--scorer", "word_penalty.py:make"], "ab"),
        (["--scorer", "word_penalty.py:make=0.01"], "a b"),
        (["--scorer", "word_penalty:make=3", "--scorer", "word_penalty.py:make=-3"], "a b"),
    ],
    ids=str,
)
def test_a_users_file_scores_on_the_command_line(run, bundle, manifest, arguments, text):
    code, out, _ = run("transcribe", bundle, "a.wav", "--json", *arguments)
    assert (code, json.loads(out)[0]["text"]) == (0, text)
    code, out, _ = run("evaluate", bundle, "--manifest", manifest, "--json", *arguments)
    record = json.loads(out)
    assert (code, record["utterances"][0]["hypothesis"]) == (0, text)
    assert record["decoding"]["scorers"] == [f"scorer {name}" for name in arguments[1::2]]


@pytest.mark.parametrize(
    ("scorer", "message"),
    [
        (
            "word_penalty.py",
            "scorer 'word_penalty.py': name a function of a Python file or module, such as scorers.py:",
        ),
        ("none.py:make", "none.py: no such file; name the Python file that holds the scorer"),
        (
            "no_such_module:make",
            "scorer 'no_such_module:make': no module is named 'no_such_module'; name a file",
        ),
        ("word_penalty.py:wrong", "scorer 'word_penalty.py:wrong': word_penalty.py has no function wrong"),
        ("word_penalty.py:BLANK_ID", "word_penalty.py has no function BLANK_ID"),
        ("word_penalty.py:make=much", "ValueError: could not convert string to float: 'much' ("),
        (
            "word_penalty.py:WordPenalty",
            "scorer word_penalty.py:WordPenalty: for a vocabulary it must give a PrefixSco",
        ),
        ("broken.py:make", "scorer 'broken.py:make': ZeroDivisionError: division by zero ("),
        ("wrong.py:make", "Wrong.extend changed the score by nan at label"),
    ],
)
def test_a_scorer_that_cannot_be_used_is_one_message(run, bundle, write_wav, tmp_path, scorer, message):
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "wrong.py").write_text(
        "from word_penalty import CompiledWordPenalty\n"
        "class Wrong(CompiledWordPenalty):\n"
        "    def extend(self, state, label):\n"
        "        return state, float('nan')\n"
        "def make(vocabulary):\n"
        "    return Wrong(1.0, space=1)\n"
    )
    code, out, err = run("transcribe", bundle, write_wav(tmp_path), "--scorer", scorer)
    assert (code, out) == (2, "") and "Traceback" not in err
    assert message in err and err.count("\n") == 2  # the first names the bundle


def test_a_scorer_needs_a_beam(run, bundle, manifest):
    code, _, err = run("transcribe", bundle, "a.wav", "--scorer", "word_penalty.py:make", "--beam-width", 1)
    assert (
        code == 2
        and "a beam width of 1 is greedy decoding, which applies no hotwords, phrases, grammar, scorers" in err
    )


def test_no_code_is_loaded_before_the_mistakes_of_the_other_options(tmp_path):
    (tmp_path / "loud.py").write_text("raise SystemExit('loaded')\n")
    with pytest.raises(UserError, match="the boost after '=' must be a number"):
        options_from_lists(hotwords=["a=high"], scorers=[f"{tmp_path / 'loud.py'}:make"])
