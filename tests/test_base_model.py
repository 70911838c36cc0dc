"""The base that comes with the package, and configurations that start from it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from speechgru.config import base_model
from speechgru.config.base_model import BASE_FOLDER, start_folder, take_from_base
from speechgru.config.load import load_config, save_config
from speechgru.config.sections import RunConfig
from speechgru.errors import ConfigError
from speechgru.files import write_json
from speechgru.runs import RunFolder, save_checkpoint
from speechgru.text import Vocabulary

_MAX_BYTES = 3_000_000


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base of another shape than the defaults."""
    (tmp_path / "config.yaml").write_text(
        "data: {sample_rate: 8000, num_workers: 7}\nfeatures: {n_mels: 31}\nmodel: {units: 77, dropout: 0.2}\n"
    )
    return tmp_path


def test_a_run_that_starts_from_the_base_has_its_model_and_features(base: Path):
    document = {"train": {"start_from": "base"}, "text": {"unit": "word"}}
    take_from_base(document, base)
    assert document["features"] == {"n_mels": 31}
    assert document["model"] == {"units": 77, "dropout": 0.2}
    assert document["data"] == {"sample_rate": 8000}, "how the base read its own corpus is nobody else's matter"
    assert document["text"] == {"unit": "word"}


def test_what_a_person_writes_stands(base: Path):
    document = {"train": {"start_from": "base"}, "model": {"dropout": 0.0}, "features": None}
    take_from_base(document, base)
    assert document["model"] == {"units": 77, "dropout": 0.0}
    assert document["features"] == {"n_mels": 31}


@pytest.mark.parametrize("train", [{"start_from": "./base"}, {"start_from": None}, {}, None])
def test_another_start_takes_nothing_over(train: dict | None, base: Path):
    document = {"train": train}
    take_from_base(document, base)
    assert document == {"train": train}


def test_where_there_is_no_base_the_way_to_make_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ConfigError, match=r"no base; make it with scripts/make_base\.py"):
        take_from_base({"train": {"start_from": "base"}}, tmp_path)


def test_the_word_base_is_kept_in_a_configuration_and_a_path_is_made_absolute(tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text("train: {start_from: base}\n")
    config = load_config(file)
    assert config.train.start_from == "base"
    assert start_folder("base") == BASE_FOLDER
    assert load_config(file, ["train.start_from=./base"]).train.start_from == str(Path("base").absolute())


def test_the_base_is_small_and_says_what_it_was_trained_on():
    files = [path for path in BASE_FOLDER.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {
        "config.yaml",
        "vocabulary.txt",
        "words.txt",
        "best.npz",
        "card.json",
        "provenance.json",
    }
    assert sum(path.stat().st_size for path in files) <= _MAX_BYTES
    assert RunFolder(BASE_FOLDER).read_training_seconds() == {"typical": 3.73, "longest": 21.14}
    card = json.loads((BASE_FOLDER / "card.json").read_text())
    assert all(corpus["licence"] and corpus["source"] for corpus in card["corpora"])
    words = Vocabulary.load(RunFolder(BASE_FOLDER).words)
    assert words.unit == "word" and {"kitchen", "seven", "<unk>"} <= set(words.entries)
    assert card["num_words"] == len(words.entries) - 1
    assert "/" not in (BASE_FOLDER / "config.yaml").read_text(), "no path of the machine that made it"


def test_what_is_kept_of_a_run_of_words_are_its_letters_with_the_words_beside_them(tmp_path: Path):
    from speechgru.model.build import build_model
    from speechgru.scoring.predictions import load_run
    from speechgru.train.spelling import Spelling
    from speechgru.train.transfer import start_from

    spec = importlib.util.spec_from_file_location("make_base", Path(__file__).parents[1] / "scripts" / "make_base.py")
    make_base = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_base)

    config = RunConfig.model_validate(
        {
            "data": {"sample_rate": 8000, "train": [str(tmp_path / "x.jsonl")], "dev": str(tmp_path / "y.jsonl")},
            "text": {"unit": "word", "words": ["lamp", "on"], "unknown_words": "spell"},
            "features": {"n_mels": 8},
            "model": {"units": 6, "subsampling_channels": 5},
        }
    )
    vocabulary = Vocabulary.with_letters(["lamp", "on"], "'almnop")
    model = build_model(config, len(vocabulary))
    spelling = Spelling(model, vocabulary, config.train)
    run = RunFolder(tmp_path / "run")
    save_config(run.config, config)
    vocabulary.save(run.vocabulary)
    write_json(run.provenance, {"training_seconds": {"typical": 1.0, "longest": 2.0}})
    parts = {"model": model.variables, "spelling": spelling.layer.variables}
    arrays = {f"{part}/{k}": variable.numpy() for part, held in parts.items() for k, variable in enumerate(held)}
    save_checkpoint(run.best, arrays | {"average/0": np.zeros(3)}, {"step": 1})
    make_base.keep(run, tmp_path / "base", seed=0, overrides=[], dev={"wer": 0.5, "cer": 0.25, "step": 1})

    kept_config, letters, kept = load_run(tmp_path / "base")
    assert letters.unit == "character" and letters.entries == (" ", *"'almnop")
    assert kept_config.data.train == () and str(tmp_path) not in (tmp_path / "base" / "config.yaml").read_text()
    for weight, there in zip(kept.encoder.logits.layer.weights, spelling.layer.get_weights(), strict=True):
        np.testing.assert_allclose(weight.numpy(), there, atol=2e-3)
    for weight, there in zip(kept.variables[:-2], model.variables[:-2], strict=True):
        np.testing.assert_allclose(weight.numpy(), there.numpy(), atol=2e-3)
    again = build_model(config, len(vocabulary))
    assert start_from(tmp_path / "base", again, config=config, vocabulary=vocabulary).num_new == 0
    last, last_there = (each.encoder.logits.layer.get_weights() for each in (again, model))
    for weight, there in zip(last, last_there, strict=True):
        np.testing.assert_allclose(weight, there, atol=2e-3)


def test_the_base_writes_letters_of_a_person_whom_it_never_met(shared_data: Path):
    from rapidfuzz.distance import Levenshtein

    from speechgru.audio.reading import read_recording
    from speechgru.decoding.greedy import greedy_decode
    from speechgru.model.predictor import KerasPredictor
    from speechgru.scoring.predictions import load_run

    config, vocabulary, model = load_run(BASE_FOLDER)
    predictor = KerasPredictor(model)
    lines = (shared_data / "kathleen" / "transcripts.csv").read_text().splitlines()[1:200:20]
    errors, length = 0, 0
    for line in lines:
        name, text = line.split(",", 1)
        reference = " ".join("".join(c for c in text.lower() if c.isalpha() or c in " '").split())
        path = shared_data / "kathleen" / name
        samples_N = read_recording(path, sample_rate=config.data.sample_rate).samples_N
        hypothesis = greedy_decode(predictor.log_probs(samples_N), vocabulary=vocabulary, step_seconds=0.04)
        errors += Levenshtein.distance(reference, hypothesis.text)
        length += len(reference)
    assert 0 < errors / length < 0.6, errors / length


def test_the_module_names_the_folder_of_the_package():
    assert base_model.BASE_FOLDER.parent.name == "speechgru"
