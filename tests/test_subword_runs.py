"""Runs whose labels are subwords: corpus, training, resuming, transfer, adaptation, shards, sweeps, export, streams."""

import json
import shutil

import numpy as np
import pytest
from tones import assert_same_weights, make_config

from speechgru.adapt.options import AdaptOptions, configure
from speechgru.config.load import load_config
from speechgru.dataset import open_corpus
from speechgru.decoding import DecodingOptions
from speechgru.errors import ConfigError, TextError
from speechgru.export import export
from speechgru.runs import RunFolder
from speechgru.runtime import Recognizer
from speechgru.scoring.evaluation import evaluate
from speechgru.scoring.predictions import load_run
from speechgru.scoring.trained_run import TrainedRun
from speechgru.shards import shard
from speechgru.shards.reader import Shards
from speechgru.shards.settings import require_fit
from speechgru.text import Subwords, Vocabulary
from speechgru.train import train
from speechgru.train.transfer import start_from
from speechgru.tune.refusals import Refusals
from speechgru.tune.sweep_file import load_sweep
from speechgru.utterances.check import check
from speechgru.utterances.examination import examine, make_vocabulary
from speechgru.utterances.manifest import read_manifest, write_manifest

pytest.importorskip("sentencepiece", reason="the package sentencepiece is not installed (extra train)")
pytestmark = pytest.mark.usefixtures("no_pages", "short_turns")

SUBWORDS = ["text.unit=subword", "text.subwords=8", "text.characters=auto"]


@pytest.fixture(scope="module")
def configure_tones(tones, tmp_path_factory):
    def configure(*overrides):
        return make_config(tones, tmp_path_factory.mktemp("subwords") / "config.yaml", *SUBWORDS, *overrides)

    return configure


@pytest.fixture(scope="module")
def run(configure_tones, tmp_path_factory):
    """A run that streams; read it, do not change it."""
    path = tmp_path_factory.mktemp("runs") / "run"
    train(configure_tones("model.direction=forward", "train.max_steps=60", "train.quiet_start_ms=0"), path)
    return path


@pytest.fixture(scope="module")
def bundle(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundles") / "bundle"
    export(run, path, max_wer_change=1.0)
    return path


# --- from a corpus to labels ---


def test_the_pieces_are_found_in_the_training_transcripts_and_kept_in_the_run(run, tones, configure_tones):
    vocabulary = Vocabulary.load(RunFolder(run).vocabulary)
    assert vocabulary == make_vocabulary(configure_tones(), read_manifest(tones / "train.jsonl"))
    assert len(vocabulary) == 9 and vocabulary.unit == "subword"
    _, kept, model = load_run(run)
    assert kept == vocabulary and model.encoder.logits.layer.get_weights()[1].shape == (9,)


def test_labels_of_the_corpus_are_the_pieces_of_its_texts_and_repeats_need_a_step_more(configure_tones, tones):
    corpus, vocabulary, _ = open_corpus(configure_tones())
    utterances = read_manifest(tones / "train.jsonl")
    for index in (0, 7, 31):
        labels = corpus.load(np.int32(index))[1].numpy().tolist()
        assert vocabulary.decode(labels) == utterances[index].text
        assert labels == vocabulary.encode(utterances[index].text)
    letters = Vocabulary.of_subwords(Subwords(["\u2581", "a"], [-1.0, -1.0]))
    text, lines = "aaaaaaaa", [read_manifest(tones / "dev.jsonl")[0]]
    for count, usable in ((4, 1), (8, 0)):  # a step for each piece, and one between any two equal ones
        config = configure_tones("model.subsampling_factor=8", "text.subwords=2", "data.min_duration_seconds=0")
        line = type(lines[0])(lines[0].audio_filepath, lines[0].duration, text[:count])
        found, problems = examine([line], config=config, vocabulary=letters)
        steps = round(lines[0].duration * 100 / 8)
        assert len(found) == usable == (2 * count <= steps), (steps, problems)


def test_a_text_with_a_character_that_no_piece_has_is_left_out_by_name(configure_tones, tones, tmp_path):
    lines = read_manifest(tones / "train.jsonl")
    Vocabulary.of_subwords(Subwords(["\u2581", "a"], [-1.0, -1.5])).save(tmp_path / "a.txt")
    config = configure_tones(f"text.subword_model={tmp_path / 'a.txt'}")
    usable, problems = examine(lines, config=config, vocabulary=make_vocabulary(config, ()))
    assert {line.utterance.text for line in usable} <= {"a", "aa", "aaa", "aaaa"}
    assert {problem.reason for problem in problems} == {"unknown character"}
    assert (
        "'b' (U+0062) is not in the vocabulary, which holds those of text.subword_model; spell" in problems[0].message
    )


def test_check_counts_with_subwords(configure_tones, tones, tmp_path):
    findings = check([tones / "train.jsonl", tones / "dev.jsonl"], config=configure_tones())
    assert [found.facts.unknown_characters for found in findings] == [frozenset()] * 2
    with pytest.raises(TextError, match=r"text.subwords is 9000, but the transcripts give at most \d+ pieces"):
        check([tones / "train.jsonl"], config=configure_tones("text.subwords=9000"))
    silent = read_manifest(tones / "train.jsonl")[:2]
    write_manifest(tmp_path / "silent.jsonl", [type(one)(one.audio_filepath, one.duration, "") for one in silent])
    assert len(check([tmp_path / "silent.jsonl"], config=configure_tones())[0].usable) == 2


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["text.characters=ab"], "characters are given, but unit is subword"),
        (["text.words=[ab]"], "words are given, but unit is subword"),
        (["text.unit=word", "text.subword_model=x.model"], "subword_model is given, but unit is word"),
        (["text.subwords=0"], "text.subwords"),
        (["text.unit=character", "text.subwords=150"], "subwords is 150, but unit is character, which has no subwords"),
        (["text.unit=word", "text.subwords=200", "text.subword_method=bpe"], "subword_method is bpe, but unit is word"),
        (["text.subword_method=char"], "text.subword_method: should be 'unigram' or 'bpe', got 'char'"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(tones, tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=message):
        make_config(tones, tmp_path / "config.yaml", *SUBWORDS, *overrides)


def test_a_given_model_is_found_beside_the_configuration_and_asked_for_before_the_corpus(tones, tmp_path):
    make_config(tones, tmp_path / "config.yaml")
    text = (tmp_path / "config.yaml").read_text().replace("characters: ab", "unit: subword, subword_model: my.model")
    (tmp_path / "config.yaml").write_text(text)
    config = load_config(tmp_path / "config.yaml")
    assert config.text.subword_model == str(tmp_path / "my.model")
    with pytest.raises(TextError, match=r"my\.model: the subword model cannot be read"):
        train(config, tmp_path / "run")
    (tmp_path / "my.model").write_bytes(b"nothing of the kind")
    with pytest.raises(TextError, match=r"my\.model: is not a SentencePiece model, or a damaged one"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run" / "config.yaml").exists()


# --- resuming, other runs ---


def test_a_run_resumes_with_its_own_pieces_whatever_would_be_found_now(configure_tones, tmp_path, monkeypatch):
    config = configure_tones("text.subword_method=bpe")
    train(config, tmp_path / "whole")
    train(config, tmp_path / "stopped", stop_after=6)

    def other_version(*arguments, **options):
        raise AssertionError("the pieces of a run are in its vocabulary.txt")

    monkeypatch.setattr("speechgru.utterances.examination.train_subwords", other_version)
    train(config, tmp_path / "stopped")
    assert_same_weights(tmp_path / "whole", tmp_path / "stopped")


def test_a_run_with_a_given_model_resumes_when_its_file_is_gone(configure_tones, run, tmp_path):
    pieces = shutil.copy(RunFolder(run).vocabulary, tmp_path / "pieces.txt")
    config = configure_tones(f"text.subword_model={pieces}")
    train(config, tmp_path / "run", stop_after=2)
    (tmp_path / "pieces.txt").unlink()
    assert train(config, tmp_path / "run", stop_after=4).steps == 4
    Vocabulary.of_subwords(Subwords(["\u2581", "a", "b"], [-1.0, -1.5, -2.0])).save(tmp_path / "pieces.txt")
    with pytest.raises(ConfigError, match="gives other labels than the run has learnt"):
        train(config, tmp_path / "run", stop_after=6)


def test_another_vocabulary_keeps_the_columns_of_the_pieces_that_both_have(run, configure_tones):
    config, there, model_there = load_run(run)
    pieces = ["a", "\u2581", "bab", *there.entries[:3]]
    vocabulary = Vocabulary.of_subwords(Subwords(list(dict.fromkeys(pieces)), [-1.0] * len(set(pieces))))
    from speechgru.model import build_model

    model = build_model(config, len(vocabulary))
    transferred = start_from(run, model, config=config, vocabulary=vocabulary)
    shared = [entry for entry in vocabulary.entries if entry in there.entries]
    assert transferred.num_kept == len(shared) >= 4 and transferred.num_new == len(vocabulary) - 1 - len(shared)
    one, other = (each.encoder.logits.layer.get_weights()[0] for each in (model, model_there))
    for entry in shared:
        here, where = vocabulary.entries.index(entry) + 1, there.entries.index(entry) + 1
        np.testing.assert_array_equal(one[:, here], other[:, where])


def test_an_adaptation_keeps_the_pieces_of_the_run(run, tones):
    config = configure(TrainedRun(run), tones / "dev.jsonl", AdaptOptions())
    assert make_vocabulary(config, ()) == Vocabulary.load(RunFolder(run).vocabulary)


# --- shards, sweeps ---


def test_shards_hold_the_pieces_and_are_opened_with_them(configure_tones, tones, tmp_path):
    config = configure_tones()
    shard([tones / "train.jsonl"], tmp_path / "shards", config=config)
    shards = Shards.open(tmp_path / "shards")
    assert shards.vocabulary == make_vocabulary(config, read_manifest(tones / "train.jsonl"))
    packed = configure_tones(f"data.train={tmp_path / 'shards'}")
    assert open_corpus(packed)[1] == shards.vocabulary
    with pytest.raises(ConfigError, match=r"text\.subwords \(8 in the shards, 9 now\)"):
        require_fit(shards, configure_tones("text.subwords=9"))
    with pytest.raises(ConfigError, match=r"text\.subword_method \('unigram' in the shards, 'bpe' now\)"):
        require_fit(shards, configure_tones("text.subword_method=bpe"))
    shards.vocabulary.save(tmp_path / "same.txt")
    require_fit(shards, configure_tones(f"text.subword_model={tmp_path / 'same.txt'}"))
    Vocabulary.of_subwords(Subwords(["\u2581", "a", "b"], [-1.0] * 3)).save(tmp_path / "other.txt")
    with pytest.raises(ConfigError, match=r"text\.subword_model \('.*' in the shards, '▁ a b' now\)"):
        require_fit(shards, configure_tones(f"text.subword_model={tmp_path / 'other.txt'}"))


def test_a_sweep_searches_the_number_of_pieces_and_refuses_what_the_transcripts_do_not_give(
    configure_tones, tones, tmp_path
):
    make_config(tones, tmp_path / "config.yaml")
    (tmp_path / "sweep.yaml").write_text(
        "base: config.yaml\nspace:\n"
        "  text.unit: {type: choice, values: [character, subword]}\n"
        "  text.subwords: {type: int, min: 4, max: 4000, log: true, when: {text.unit: subword}}\n"
        "set: {text.characters: auto}\nbudget: {trials: 6}\n"
    )
    refusals = Refusals(load_sweep(tmp_path / "sweep.yaml"))
    assert refusals.reason({"text.unit": "character"}) is None
    assert refusals.reason({"text.unit": "subword", "text.subwords": 8}) is None
    found = refusals.reason({"text.unit": "subword", "text.subwords": 4000})
    assert found is not None and "text.subwords is 4000, but the transcripts give at most" in found


# --- what is shipped ---


def test_the_bundle_gives_the_texts_of_the_run_and_spells_as_it_does(run, bundle, tones):
    record = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    assert record["unit"] == "subword" and record["subwords"].keys() == {"method", "scores"}
    recognizer = Recognizer(bundle)
    assert recognizer.vocabulary == Vocabulary.load(RunFolder(run).vocabulary)
    one, other = (evaluate(path, tones / "dev.jsonl") for path in (run, bundle))
    assert (one["wer"], one["cer"]) == (other["wer"], other["cer"])
    single = Recognizer(next(bundle.glob("*.tflite")))
    assert single.vocabulary == recognizer.vocabulary, "the file alone says the same"


def test_a_microcontrollers_labels_write_the_space_before_a_word(run):
    from speechgru.export.micro.sources import _tables

    _, vocabulary, model = load_run(run)
    labels = _tables(model, vocabulary).split("speechgru_labels")[-1]
    assert '"\\040ab"' in labels and '"\\040"' in labels and "\\342" not in labels


@pytest.mark.parametrize("options", [{}, {"beam_width": 8}, {"beam_width": 8, "hotwords": ["ab", "bba"]}], ids=str)
def test_a_stream_gives_the_words_of_the_whole_recording(bundle, tones, options):
    from speechgru.audio.reading import read_recording

    recognizer, options = Recognizer(bundle), DecodingOptions(**options)
    texts = []
    for line in read_manifest(tones / "dev.jsonl"):
        samples_N = read_recording(line.audio_filepath, sample_rate=8000).samples_N
        whole = recognizer.transcribe(samples_N, 8000, options)
        stream = recognizer.stream(8000, options)
        for start in range(0, len(samples_N), 700):
            stream.feed(samples_N[start : start + 700])
        found = stream.finish()
        assert (found.text, found.words) == (whole.text, whole.words)
        texts.append(found.text)
    assert any(texts) or options.beam_width == 1
