"""The base that comes with the package, and configurations that start from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from speechgru.config import base_model
from speechgru.config.base_model import BASE_FOLDER, start_folder, take_from_base
from speechgru.config.load import load_config
from speechgru.errors import ConfigError
from speechgru.runs import RunFolder

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
        "best.npz",
        "card.json",
        "provenance.json",
    }
    assert sum(path.stat().st_size for path in files) <= _MAX_BYTES
    assert RunFolder(BASE_FOLDER).read_training_seconds() == {"typical": 4.4, "longest": 16.52}
    card = json.loads((BASE_FOLDER / "card.json").read_text())
    assert all(corpus["licence"] and corpus["source"] for corpus in card["corpora"])
    assert "/" not in (BASE_FOLDER / "config.yaml").read_text(), "no path of the machine that made it"


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
