"""The recogniser on a device: bundles of both versions, and decoding as its user asks, without a model."""

import json
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from speechgru.decoding import DecodingOptions, Phrases
from speechgru.errors import BundleError, TextError
from speechgru.runtime import BUNDLE_VERSION, Recognizer, read_bundle
from speechgru.runtime import recognizer as module
from speechgru.text import TextRules, Vocabulary

#: What the first version wrote, as far as the recogniser reads it.
OLD = """{
  "bundle_version": 1,
  "speechgru_version": "0.1.0",
  "sample_rate": 8000,
  "step_seconds": 0.02,
  "characters": " 'fin",
  "blank_id": 0,
  "text": {"lowercase": true, "remove_punctuation": true},
  "models": {"none": {"file": "model.tflite", "size_bytes": 3}},
  "default_form": "none"
}"""
NEW = json.loads(OLD) | {
    "bundle_version": 2, "unit": "word", "entries": ["lights", "off", "on"],
    "text": {"lowercase": True, "remove_punctuation": True, "keep_punctuation": "", "normalization": "NFC"},
}  # fmt: skip
del NEW["characters"]


@pytest.fixture
def recognizer(tmp_path, monkeypatch):
    """Makes a recogniser of a bundle's metadata that always gives the same."""

    def make(metadata, probs_SV=((0.6, 0.4),)):
        (tmp_path / "bundle.json").write_text(metadata if isinstance(metadata, str) else json.dumps(metadata))
        shutil.copy(Path(__file__).parent / "data" / "bundles" / "v1" / "model.tflite", tmp_path)

        class Engine:
            streams = False

            def __init__(self, path, **options):
                pass

            def recognize(self, samples_N):
                return np.log(np.array(probs_SV, np.float32) + 1e-9) - 1e-6

        monkeypatch.setattr(module, "Engine", Engine)
        return Recognizer(tmp_path)

    return make


def test_a_bundle_of_the_first_version_is_read_with_the_rules_of_its_day(recognizer):
    old = recognizer(OLD)
    assert old.vocabulary == Vocabulary(" 'fin")
    assert old.text_rules == TextRules(normalization="NFKC")
    assert old.text_rules.normalize("\ufb01n") == "fin", "ligatures were taken apart"
    assert recognizer(NEW).text_rules.normalize("\ufb01n") == "\ufb01n"
    for metadata in (old.metadata, NEW):
        assert metadata["entries"] and metadata["unit"] and metadata["text"]["normalization"]


def test_words_are_heard_as_words(recognizer):
    hypothesis = recognizer(NEW, [(0, 1, 0, 0), (1, 0, 0, 0), (0, 0, 0, 1)]).transcribe(np.ones(80), 8000)
    assert hypothesis.text == "lights on"
    assert [word.text for word in hypothesis.words] == ["lights", "on"]


def test_hotwords_go_through_the_bundles_rules_and_are_prepared_once(recognizer, monkeypatch):
    device = recognizer(NEW, [(0, 1, 0, 0), (1, 0, 0, 0), (0, 0, 0.4, 0.6)])
    options = DecodingOptions(beam_width=4, n_best=2, hotwords={"OFF": 3.0})
    assert device.transcribe(np.ones(80), 8000).text == "lights on"
    assert device.transcribe(np.ones(80), 8000, options).text == "lights off"
    readings = device.transcribe_n_best(np.ones(80), 8000, options)
    assert [hypothesis.text for hypothesis in readings] == ["lights off", "lights on"]
    asked = []
    monkeypatch.setattr(TextRules, "normalize", lambda self, text: asked.append(text) or text)
    device.transcribe(np.ones(80), 8000, options)
    assert asked == []
    only = DecodingOptions(beam_width=4, phrases=Phrases(["off"]))
    assert device.transcribe(np.ones(80), 8000, only).text == "off"
    assert device.transcribe(np.ones(80), 8000).text == "lights on", "greedy again where nothing is asked for"


def test_a_phrase_that_the_bundle_cannot_write_is_named_before_the_first_sound(recognizer):
    options = DecodingOptions(beam_width=4, phrases=Phrases(["lights on", "lamps on"]))
    with pytest.raises(TextError, match=r"phrase 'lamps on': 'lamps' is not among the words that this recogniser writ"):
        recognizer(NEW).prepare(options)


def test_letters_with_accents_may_be_written_in_either_way(recognizer):
    device = recognizer(NEW | {"unit": "character", "entries": list(" é")})
    prepared = device.prepare(DecodingOptions(beam_width=4, hotwords=[unicodedata.normalize("NFD", "É")]))
    assert prepared.hotwords == {"é": 6.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"bundle_version": BUNDLE_VERSION + 1},
            f"is of version {BUNDLE_VERSION + 1}, this speechgru reads up to {BUNDLE_VERSION}; update speechgru",
        ),
        ({"stream": {"geometry": {"hop_length": 80}}}, "is damaged"),
        (
            {"entries": ["on", "on"]},
            r"is damaged \(the vocabulary holds 'on' more than once\); export the bundle again",
        ),
        ({"entries": 3}, "is damaged"),
        ({"text": {"lowercase": 3}}, "is damaged"),
        ({"text": {"casefold": True}}, "is damaged"),
    ],
)
def test_a_bundle_that_does_not_make_sense_is_refused(tmp_path, change, message):
    (tmp_path / "bundle.json").write_text(json.dumps(NEW | change))
    with pytest.raises(BundleError, match=message):
        read_bundle(tmp_path)


def test_a_bundle_states_its_language_or_that_of_its_grammar(tmp_path):
    def language_of(**changes):
        (tmp_path / "bundle.json").write_text(json.dumps(NEW | changes))
        return read_bundle(tmp_path)["language"]

    assert language_of() is None, "older bundles have none"
    assert language_of(language="de") == "de"
    assert language_of(grammar={"language": "en"}) == "en"
    with pytest.raises(BundleError, match=r"is damaged \(a language is a text such as 'en', got 3\)"):
        language_of(language=3)
