"""A grammar travels with a run and its bundle, and gives what a device recognises an intent and slots."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from speechgru.decoding import DecodingOptions
from speechgru.errors import BundleError, UserError
from speechgru.grammar import Grammar
from speechgru.runs import RunFolder
from speechgru.runtime import Recognizer
from speechgru.runtime import recognizer as recognizer_module
from speechgru.runtime.transcription import transcribe
from speechgru.scoring import evaluate
from speechgru.scoring import page as page_module
from speechgru.text import Vocabulary

VOCABULARY = Vocabulary(" 'abcdefghijklmnopqrstuvwxyz")
LAMP = """
language: en
intents:
  Lamp: {data: [{sentences: ["lamp {state}", "lamp to {level}"], slots: {device: lamp}}]}
lists:
  state: {values: ["on", "off"]}
  level: {range: {from: 1, to: 99}}
"""
#: What the model of these bundles writes for whatever it gets.
HEARD = "lanp to nintynin"


@pytest.fixture
def lamp(tmp_path):
    (tmp_path / "lamp.yaml").write_text(LAMP)
    return Grammar.load(tmp_path / "lamp.yaml")


@pytest.fixture
def make_bundle(tmp_path, monkeypatch):
    """A grammar or None -> a bundle that carries it, whose model recognises `HEARD`."""
    rows = []
    for label in VOCABULARY.encode(HEARD):
        for on in (label, 0):
            rows.append(np.full(len(VOCABULARY), 0.1 / (len(VOCABULARY) - 1)))
            rows[-1][on] = 0.9

    class Engine:
        streams = False

        def __init__(self, path, **options):
            pass

        def recognize(self, samples_N):
            return np.log(np.array(rows, np.float32))

    monkeypatch.setattr(recognizer_module, "Engine", Engine)

    def make(grammar):
        metadata = {
            "bundle_version": 3, "sample_rate": 8000, "step_seconds": 0.04, "unit": "character",
            "entries": list(VOCABULARY.entries), "text": {}, "models": {"none": {"file": "model.tflite"}},
            "default_form": "none", "grammar": grammar,
        }  # fmt: skip
        folder = tmp_path / "bundle"
        folder.mkdir(exist_ok=True)
        (folder / "bundle.json").write_text(json.dumps(metadata), encoding="utf-8")
        shutil.copy(Path(__file__).parent / "data" / "bundles" / "v1" / "model.tflite", folder)
        return folder

    return make


def test_a_bundle_finds_its_grammar_and_uses_it_when_asked(make_bundle, lamp):
    recognizer = Recognizer(make_bundle(lamp.as_record()))
    assert recognizer.grammar == lamp
    greedy = recognizer.transcribe(np.ones(4000), 8000)
    assert (greedy.text, greedy.intent, greedy.slots) == (HEARD, None, {})
    for given in (True, lamp):
        found = recognizer.transcribe(np.ones(4000), 8000, grammar=given)
        assert (found.text, found.intent) == ("lamp to ninety nine", "Lamp")
        assert found.slots == {"device": "lamp", "level": 99} and type(found.slots["level"]) is int
    options = DecodingOptions(beam_width=4, n_best=2, grammar=True)
    assert recognizer.transcribe_n_best(np.ones(4000), 8000, options)[0].intent == "Lamp"
    assert recognizer.transcribe(np.ones(4000), 8000, DecodingOptions(), grammar=True).intent == "Lamp"


def test_asking_again_prepares_nothing_again(make_bundle, lamp):
    recognizer = Recognizer(make_bundle(lamp.as_record()))
    assert recognizer._preparation.with_grammar(None, True) is recognizer._preparation.with_grammar(None, True)
    prepared = recognizer.prepare(recognizer._preparation.with_grammar(None, True))
    assert recognizer.prepare(recognizer._preparation.with_grammar(None, True)) is prepared


def test_a_bundle_without_a_grammar_says_so(make_bundle, lamp):
    recognizer = Recognizer(make_bundle(None))
    assert recognizer.grammar is None
    with pytest.raises(UserError, match=r"this recogniser carries no grammar; give one \(--grammar-file FILE\)"):
        recognizer.transcribe(np.ones(4000), 8000, grammar=True)
    assert recognizer.transcribe(np.ones(4000), 8000, grammar=lamp).intent == "Lamp"
    damaged = Recognizer(make_bundle({"format": 7}))
    with pytest.raises(BundleError, match="bundle: the grammar has format 7"):
        _ = damaged.grammar


def test_records_and_the_command_line_show_what_is_meant(make_bundle, lamp, tmp_path, write_wav, run_command):
    bundle, audio = make_bundle(lamp.as_record()), write_wav(tmp_path, seconds=0.5)
    (record,) = transcribe(bundle, [audio], decoding=DecodingOptions(beam_width=8, n_best=2, grammar=True))
    assert (record["intent"], record["slots"]) == ("Lamp", {"device": "lamp", "level": 99})
    assert [each["intent"] for each in record["n_best"]] == ["Lamp", "Lamp"]
    code, out, _ = run_command("transcribe", bundle, audio, "--grammar", "--json")
    (printed,) = json.loads(out)
    assert (code, printed["text"], printed["slots"]) == (0, "lamp to ninety nine", {"device": "lamp", "level": 99})
    code, out, _ = run_command("transcribe", bundle, audio, "--grammar-file", tmp_path / "lamp.yaml")
    assert code == 0 and "Lamp" in out and "level=99" in out
    (printed,) = json.loads(run_command("transcribe", bundle, audio, "--json")[1])
    assert (printed["text"], printed["intent"], printed["slots"]) == (HEARD, None, {})
    code, out, err = run_command("transcribe", bundle, audio, "--grammar-file", tmp_path / "none.yaml")
    assert (code, out) == (2, "") and "none.yaml: there is no such grammar" in err


def test_evaluate_counts_commands_whose_intent_and_slots_are_right(make_bundle, lamp, tmp_path, write_wav, write_lines):
    audio = str(write_wav(tmp_path, seconds=0.5))
    right = {"device": "lamp", "level": 99}
    lines = [
        {"audio_filepath": audio, "duration": 0.5, "text": text, **more}
        for text, more in [
            ("lamp to ninety nine", {"intent": "Lamp", "slots": right}),
            ("lamp to ninety nine", {"intent": "Lamp", "slots": {**right, "level": 9}}),
            ("lamp to ninety nine", {"intent": "Lamp", "slots": {"device": "lamp"}}),
            ("lamp to ninety nine", {"intent": "Fan", "slots": right}),
            ("something else", {}),
        ]
    ]
    manifest = write_lines(tmp_path / "test.jsonl", lines)
    bundle = make_bundle(lamp.as_record())
    record = evaluate(bundle, manifest, decoding=DecodingOptions(beam_width=8, grammar=True))
    commands = record["commands"]
    assert (commands["num_commands"], commands["num_accepted"], commands["acceptance"]) == (4, 1, 0.25)
    assert commands["wrong_slots"] == {"level": 2}
    assert record["decoding"]["grammar"] == lamp.digest
    assert record["utterances"][0]["intent"] == "Lamp" and record["utterances"][0]["slots"] == right
    facts = page_module._facts(record)
    assert "25.00% of 4" in facts and "level=2" in facts
    meaning = page_module._described(record["utterances"][0])["caption"]
    assert meaning.endswith("Understood: Lamp, device=lamp, level=99.")
    assert evaluate(bundle, manifest)["commands"] is None


def test_a_run_keeps_a_copy_of_its_grammar(lamp, tmp_path):
    pytest.importorskip("tensorflow", reason="training needs it")
    from speechgru.train.opening import keep_grammar

    folder = RunFolder(tmp_path)
    keep_grammar(folder, lamp)
    assert Grammar.load(folder.grammar) == lamp
    keep_grammar(folder, None)
    assert not folder.grammar.exists()
