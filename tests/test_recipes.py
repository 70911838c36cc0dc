"""The recipes of public corpora: each prepares a made copy, trains a small model on it for two steps, and is scored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from corpus_trees import TREES

from speechgru.corpora import prepare

ROOT = Path(__file__).resolve().parents[1]
#: What makes a recipe's model and its run small; all else is the recipe's own.
SMALL = (
    "model.units=8", "model.num_layers=1", "model.subsampling_channels=8", "train.max_steps=2", "train.warmup_steps=1",
    "train.evaluate_every_steps=2", "train.checkpoint_every_steps=2", "train.show_examples=0", "data.num_workers=1",
)  # fmt: skip
RECIPES = {
    "librispeech_100": "librispeech",
    "common_voice": "common_voice",
    "speech_commands": "speech_commands",
    "an4": "an4",
}


@pytest.mark.parametrize(
    ("recipe", "corpus"),
    # Four seconds each; the one with noise and rooms stands for all.
    [pytest.param(*names, marks=() if names[0] == "an4" else pytest.mark.slow) for names in RECIPES.items()],
)
def test_a_recipe_trains_on_what_prepare_wrote(run_command, tmp_path, monkeypatch, recipe, corpus):
    monkeypatch.chdir(tmp_path)
    TREES[corpus](tmp_path / "source")
    code, out, err = run_command("prepare", corpus, "--source", "source", "--out", f"data/{corpus}")
    assert code == 0, err
    assert f"{corpus} in data/{corpus}" in out and "next: speechgru check" in " ".join(err.split())
    more = ()
    if recipe == "an4":  # with noise and rooms of the two corpora that are mixed with
        for name in ("musan", "rirs_noises"):
            TREES[name](tmp_path / "sounds")
            prepare(name, tmp_path / "data" / name, source=tmp_path / "sounds")
        more = (
            "augment.noise_probability=1", "augment.noise_kinds=[recorded]", "augment.reverb_probability=1",
            "augment.noise_manifest=data/musan/noise.jsonl",
            "augment.reverb_manifest=data/rirs_noises/real_rooms.jsonl",
        )  # fmt: skip
    code, out, err = run_command("train", ROOT / "configs" / f"{recipe}.yaml", "--run", "run", *SMALL, *more, "--json")
    assert code == 0, err
    assert json.loads(out)["steps"] == 2
    if recipe == "speech_commands":
        code, out, err = run_command(
            "evaluate", "run", "--manifest", f"data/{corpus}/test.jsonl", "--slice", "class", "--json"
        )
        assert code == 0, err
        assert json.loads(out)["wer"] is not None
    head = (ROOT / "configs" / f"{recipe}.yaml").read_text(encoding="utf-8").partition("\ndata:")[0]
    assert "no result is claimed" in head and f"speechgru prepare {corpus} " in head
