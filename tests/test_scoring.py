"""Scoring: what a record holds, slices by any field, and no text that depends on the batch."""

import dataclasses
import json

import numpy as np
import pytest

from speechgru.config.load import save_config
from speechgru.config.sections import RunConfig
from speechgru.decoding import Hypothesis, Word
from speechgru.errors import UserError
from speechgru.runs import RunFolder, save_checkpoint
from speechgru.scoring.evaluation import FEW_UTTERANCES, error_rates, evaluate, score
from speechgru.scoring.predictions import Decoded
from speechgru.scoring.unknown import count_unknown
from speechgru.text import Vocabulary
from speechgru.utterances.examination import Examined
from speechgru.utterances.manifest import Utterance


def make_hypothesis(text, *, confidences=None):
    texts = text.split()
    confidences = confidences or [0.9] * len(texts)
    words = tuple(
        Word(word, 0.1 * place, 0.1 * place + 0.05, confidence)
        for place, (word, confidence) in enumerate(zip(texts, confidences, strict=True))
    )
    return Hypothesis(text=text, words=words)


def make_decoded(rows):
    """Rows of (reference, hypothesis, fields of the utterance)."""
    examples = [
        Examined(
            Utterance(f"/{place}.wav", 0.0, reference, line=place + 1, **fields), reference, (), 8000 * (place + 1)
        )
        for place, (reference, _, fields) in enumerate(rows)
    ]
    hypotheses = [
        hypothesis if isinstance(hypothesis, Hypothesis) else make_hypothesis(hypothesis) for _, hypothesis, _ in rows
    ]
    return Decoded(examples, hypotheses, 0.1, 8000, [])


ROWS = [
    ("turn on", "turn on", {"speaker": "ada", "extra": {"snr": 20}}),
    ("turn off", "turn of", {"speaker": "bob", "extra": {"snr": 0}}),
    ("off lamp", "of lamp now", {"speaker": "bob", "extra": {"snr": 0}}),
    ("on the light", "on light", {"extra": {}}),
]


def test_what_is_unknown_to_the_recogniser_is_counted_and_an_error():
    rows = [
        ("zebra on", "<unk> on", {}),  # rightly no word of its own
        ("turn off", "<unk> off", {}),  # a word that it has
        ("on", "on <unk>", {}),  # nothing was said
        ("lamp", "off", {}),
        ("<unk>", "<unk>", {}),  # written so by somebody, with punctuation kept
    ]
    counts = {"recognised": 4, "for_unknown_words": 2, "unknown_words": 3}
    decoded = make_decoded(rows)
    spelling = Vocabulary.with_letters(["off", "on", "turn"], "abz")
    assert count_unknown(decoded, spelling) == count_unknown(decoded, spelling.written) == counts
    assert score(decoded, name="test")["errors"] == 4
    assert count_unknown(decoded, Vocabulary(["off", "on"], unit="word")) is None
    assert count_unknown(decoded, Vocabulary("<unk>")) is None, "five characters"


def test_a_record_is_json_and_its_rates_are_errors_over_words():
    record = json.loads(json.dumps(score(make_decoded(ROWS), name="test", slices=("speaker", "snr", "duration"))))
    assert (record["words"], record["substitutions"], record["insertions"], record["deletions"]) == (9, 2, 1, 1)
    assert record["wer"] == 4 / 9 and record["sentence_error_rate"] == 3 / 4
    assert record["audio_seconds"] == 10.0
    low, high = record["wer_interval"]
    assert low <= record["wer"] <= high
    first = record["utterances"][0]
    assert (first["duration"], first["words"], first["word_errors"]) == (1.0, 2, 0)
    assert first["hypothesis_words"][1] == {
        "text": "on", "start_seconds": 0.1, "end_seconds": pytest.approx(0.15), "confidence": 0.9
    }  # fmt: skip


def test_the_rates_that_training_keeps_are_those_of_the_record():
    record = score(make_decoded(ROWS), name="dev", resamples=0)
    few = error_rates(make_decoded(ROWS))
    assert (few["wer"], few["cer"]) == (record["wer"], record["cer"])
    for rate in ("wer", "cer"):
        low, high = few[f"{rate}_interval"]
        assert low < few[rate] < high, "of few utterances it is shown how little they are"
    many = make_decoded(ROWS * (FEW_UTTERANCES // len(ROWS) + 1))
    assert error_rates(many) == {"wer": record["wer"], "cer": record["cer"]}


def test_slices_hold_every_error_once():
    record = score(make_decoded(ROWS), name="test", slices=("speaker", "snr", "duration"))
    for entry in record["slices"]:
        assert sum(group["words"] for group in entry["groups"]) == record["words"]
        assert sum(group["errors"] for group in entry["groups"]) == 4
        assert sum(group["num_utterances"] for group in entry["groups"]) == 4
        for group in entry["groups"]:
            assert group["wer"] == group["errors"] / group["words"]
            assert group["wer_interval"][0] <= group["wer"] <= group["wer_interval"][1]
    speaker, snr, duration = record["slices"]
    assert (speaker["kind"], speaker["num_missing"]) == ("text", 1)
    assert [group.get("value") for group in speaker["groups"]] == ["bob", "ada", None]
    assert (snr["kind"], snr["num_missing"]) == ("number", 1)
    assert [(group.get("low"), group.get("high")) for group in snr["groups"]] == [
        (0.0, 0.0),
        (20.0, 20.0),
        (None, None),
    ]
    assert duration["num_missing"] == 0, "measured, where the manifest does not know"
    assert [group["low"] for group in duration["groups"]] == [1.0, 2.0, 3.0, 4.0]


def test_without_resamples_there_are_no_intervals():
    assert "wer_interval" not in json.dumps(score(make_decoded(ROWS), name="test", resamples=0, slices=("speaker",)))


def test_confusions_name_the_words():
    confusions = score(make_decoded(ROWS), name="test")["confusions"]
    assert confusions["substitutions"] == [{"reference": "off", "hypothesis": "of", "count": 2, "spoken": 2}]
    assert confusions["insertions"] == [{"word": "now", "count": 1}]
    assert confusions["deletions"] == [{"word": "the", "count": 1, "spoken": 1}]


def test_confidence_is_held_against_what_was_right():
    rows = [
        ("turn on", make_hypothesis("turn of", confidences=[0.95, 0.3]), {}),
        ("off", make_hypothesis("of", confidences=[0.6]), {}),
        ("light", make_hypothesis("", confidences=[]), {}),
    ]
    confidence = score(make_decoded(rows), name="test")["confidence"]
    assert (confidence["num_words"], confidence["num_right"], confidence["auc"]) == (3, 1, 1.0)
    assert confidence["calibration_error"] == pytest.approx((0.05 + 0.3 + 0.6) / 3)
    assert [entry["num_words"] for entry in confidence["bins"]] == [1, 1, 1]
    assert score(make_decoded(rows[2:]), name="test")["confidence"] is None


@pytest.fixture(scope="module")
def spoken(tmp_path_factory, request):
    """A run with random weights, whose labels come and go with the sound, and recordings of very different lengths."""
    tf = pytest.importorskip("tensorflow", reason="a run is scored by TensorFlow; it is not installed")
    from conftest import write_lines, write_wav

    from speechgru.model.build import build_model

    folder = tmp_path_factory.mktemp("spoken")
    config = RunConfig.model_validate(
        {"data": {"sample_rate": 8000}, "features": {"n_mels": 20}, "model": {"units": 16, "subsampling_channels": 12}}
    )
    vocabulary = Vocabulary(" abcd")
    model = build_model(config, len(vocabulary))
    kernel, bias = model.encoder.logits.layer.weights
    kernel.assign(20 * tf.random.stateless_normal(kernel.shape, [1, 2]))
    bias.assign([-100.0] + [0.0] * (len(vocabulary) - 1))  # no blanks: something is written at every step
    run = RunFolder(folder / "run")
    run.path.mkdir()
    save_config(run.config, config)
    vocabulary.save(run.vocabulary)
    save_checkpoint(run.best, {f"model/{k}": variable.numpy() for k, variable in enumerate(model.variables)}, {})
    lines = []
    for place, seconds in enumerate([0.3, 2.1, 0.9, 1.4, 0.2, 3.0, 0.7]):
        path = write_wav(folder, f"{place}.wav", seconds=seconds, sample_rate=8000, seed=place)
        lines.append({"audio_filepath": str(path), "duration": seconds, "text": "a bad cab", "room": place % 2 == 0})
    return run.path, write_lines(folder / "test.jsonl", lines)


def test_the_error_rate_does_not_depend_on_the_batch_size(spoken):
    run, manifest = spoken
    records = [evaluate(run, manifest, batch_size=size, slices=("room",)) for size in (1, 3, 32)]
    texts = [[entry["hypothesis"] for entry in record["utterances"]] for record in records]
    assert len(set(texts[0])) > 1 and any(texts[0]), "the test needs texts that differ"
    assert texts[0] == texts[1] == texts[2]
    assert len({record["wer"] for record in records}) == 1
    assert [group["value"] for group in records[0]["slices"][0]["groups"]] in (["yes", "no"], ["no", "yes"])
    for one, other in zip(records[0]["utterances"], records[2]["utterances"], strict=True):
        np.testing.assert_allclose(one["confidence"], other["confidence"], atol=1e-3)
    assert records[0]["path"] == str(run)


def test_a_recording_that_cannot_be_read_is_skipped_and_each_is_decoded_once(spoken, tmp_path, monkeypatch):
    from speechgru.utterances import examination
    from speechgru.utterances.manifest import read_manifest, write_manifest

    run, manifest = spoken
    (tmp_path / "broken.wav").write_text("no sound")
    utterances = read_manifest(manifest)
    utterances.insert(2, dataclasses.replace(utterances[0], audio_filepath=str(tmp_path / "broken.wav")))
    write_manifest(tmp_path / "test.jsonl", utterances)
    reads, read = [], examination.read_recording
    monkeypatch.setattr(
        examination, "read_recording", lambda path, **options: reads.append(path) or read(path, **options)
    )
    reported = []
    record = evaluate(run, tmp_path / "test.jsonl", batch_size=3, progress=lambda *args: reported.append(args[:3]))
    assert len(reads) == len(set(reads)) == 8
    assert record["num_skipped"] == 1 and record["skipped"][0]["line"] == 3
    whole = evaluate(run, manifest)
    assert [entry["hypothesis"] for entry in record["utterances"]] == [
        entry["hypothesis"] for entry in whole["utterances"]
    ]
    assert reported[-1] == ("scoring", 7, 7)


def test_a_field_that_nobody_has_is_named_before_the_work(spoken):
    run, manifest = spoken
    with pytest.raises(UserError, match=r"no line has the field 'snr' to score by; there are duration, offset, room, "):
        evaluate(run, manifest, slices=("snr",))


def test_a_field_that_is_no_number_and_no_text_is_named_with_its_line(spoken, tmp_path):
    from speechgru.utterances.manifest import read_manifest, write_manifest

    run, manifest = spoken
    utterances = read_manifest(manifest)
    utterances[1] = dataclasses.replace(utterances[1], extra={"joins": [0.1, 0.2]})
    write_manifest(tmp_path / "joined.jsonl", utterances)
    with pytest.raises(UserError, match=r"joined\.jsonl:2: joins is \[0\.1, 0\.2\]; a field to score by holds"):
        evaluate(run, tmp_path / "joined.jsonl", slices=("joins",))
