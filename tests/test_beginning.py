"""What a run begins with is looked at before its corpus, and before anything is written."""

import json
import shutil

import pytest

pytest.importorskip("tensorflow", reason="the runs train")

from speechgru import train as training
from speechgru.adapt import AdaptOptions, adapt
from speechgru.config.beginning import require_beginning
from speechgru.errors import ConfigError, UserError
from speechgru.runs import RunFolder
from speechgru.tune.chief import tune
from speechgru.tune.sweep_file import load_sweep


@pytest.fixture(scope="module")
def start(tones, tmp_path_factory):
    """A run of one step."""
    from tones import make_config

    folder = tmp_path_factory.mktemp("start")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("speechgru.train.run.report_run", lambda run: None)
        training.train(make_config(tones, folder / "c.yaml", "train.max_steps=1"), folder / "run")
    return folder / "run"


@pytest.fixture
def places(start, tmp_path):
    """What may be named in the wrong place, by its name in the tests below."""
    bare, damaged, old = tmp_path / "bare", tmp_path / "damaged", tmp_path / "no-vocabulary"
    bare.mkdir()
    shutil.copy2(start / "config.yaml", bare)
    shutil.copytree(start, damaged)
    content = RunFolder(damaged).best.read_bytes()
    RunFolder(damaged).best.write_bytes(content[: len(content) // 2])
    shutil.copytree(start, old)
    (old / "vocabulary.txt").unlink()
    grammar = tmp_path / "grammar.yaml"
    grammar.write_text("language: en\nintents: {A: {data: [{sentences: [off]}]}}\n")
    (tmp_path / "broken.yaml").write_text("language: en\nintents: {A: {data: [{sentences: ['a [b']}]}}\n")
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "gone.jsonl").write_text('{"audio_filepath": "gone.wav", "duration": 1}\n')
    return {"HERE": str(tmp_path), "START": str(start)}


#: Mistakes that need no corpus, and what is said of each.
MISTAKES = {
    "train.start_from=HERE/nowhere": r"train\.start_from: \S*nowhere: not a run folder",
    "train.start_from=HERE/bare": r"train\.start_from: \S*best\.npz: no such checkpoint; train the run first",
    "train.start_from=HERE/damaged": r"train\.start_from: \S*best\.npz: the checkpoint is damaged",
    "train.start_from=HERE/no-vocabulary": r"train\.start_from: \S*vocabulary\.txt: the vocabulary cannot be read",
    "train.start_from=START model.units=8": r"weights of \S* are for another model: model\.units is 16 there and 8",
    "train.freeze=[gru_7]": r"train\.freeze: the model has no layer 'gru_7' with weights; it has subsampling, norm_0",
    "train.freeze=[subsampling,norm_0,gru_0,logits]": r"train\.freeze: nothing is left to train",
    "train.freeze=[gru_0]": r"train\.freeze keeps gru_0 as they are, and without train\.start_from they are as chance",
    "data.grammar=HERE/nowhere.yaml": r"nowhere\.yaml: there is no such grammar",
    "data.grammar=HERE/broken.yaml": r"broken\.yaml",
    "data.grammar=HERE/grammar.yaml": r"the grammar's text 'off': 'o' \(U\+006F\), .* not among the characters",
    "text.unit=word text.characters=auto text.words=grammar": r"text\.words is grammar, but data\.grammar names none",
    "text.unit=word text.words=[up] data.grammar=HERE/grammar.yaml": r"text 'off': 'off' is not among the words",
    "data.negatives=HERE/empty.jsonl": r"empty\.jsonl: holds no utterance",
    "augment.reverb_manifest=HERE/gone.jsonl augment.reverb_probability=1": r"gone\.jsonl:1: .*no such recor",
    "augment.noise_manifest=HERE/empty.jsonl augment.noise_kinds=[recorded]": r"empty\.jsonl: holds no utterance",
    "data.dev=HERE/empty.jsonl": r"empty\.jsonl: holds no utterance",
    "check.leave_out=[nothing]": r"check\.leave_out",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_that_needs_no_corpus_is_named_before_it_is_read(
    mistake, places, tones_config, tmp_path, monkeypatch
):
    overrides = mistake
    for name, path in places.items():
        overrides = overrides.replace(name, path)
    config = tones_config(*overrides.split())
    if "leave_out" not in mistake:  # the rules are asked by whoever reads

        def read(*arguments, **options):
            raise AssertionError("the corpus was read")

        monkeypatch.setattr("speechgru.train.run.open_corpus", read)
    with pytest.raises(UserError, match=MISTAKES[mistake]):
        training.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_labels_that_a_frozen_layer_could_not_learn_are_named_before_anything_is_written(start, tones_config, tmp_path):
    config = tones_config(f"train.start_from={start}", "text.characters=abc", "train.freeze=[logits]")
    with pytest.raises(ConfigError, match=r"train\.freeze holds logits, but 1 labels are new to \S* .*\('c'\)"):
        training.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("stop", [0, -1, True, "3", float("nan")])
def test_a_stop_that_is_none_is_named_at_once(stop, tones_config, tmp_path):
    with pytest.raises(ConfigError, match="stop_after: expected a number of steps"):
        training.train(tones_config(), tmp_path / "run", stop_after=stop)
    assert not (tmp_path / "run").exists()


def test_a_start_needs_to_fit_only_where_the_run_begins(start, tones_config, tmp_path, no_pages):
    copy, config = tmp_path / "copy", tones_config(f"train.start_from={tmp_path}/copy", "train.max_steps=2")
    shutil.copytree(start, copy)
    require_beginning(config)
    assert training.train(config, tmp_path / "run", stop_after=1).steps == 1
    shutil.rmtree(copy)
    assert training.train(config, tmp_path / "run").steps == 2


@pytest.mark.parametrize(
    "mistake", ["train.start_from=HERE/nowhere", "train.freeze=[gru_7]", "data.grammar=HERE/nowhere.yaml"]
)
def test_a_sweep_refuses_what_no_trial_could_begin_with(mistake, places, tones, tmp_path):
    from tones import write_config

    write_config(tones, tmp_path / "base.yaml")
    (tmp_path / "sweep.yaml").write_text(
        "base: base.yaml\nbudget: {trials: 2}\nspace: {train.learning_rate: {type: float, min: 1e-3, max: 1e-2}}\n"
        f"set: {json.dumps(dict([mistake.replace('HERE', places['HERE']).replace('[gru_7]', 'gru_7').split('=')]))}\n"
    )
    with pytest.raises(UserError, match=MISTAKES[mistake]):
        tune(load_sweep(tmp_path / "sweep.yaml"), tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("augment.noise_manifest=HERE/empty.jsonl augment.noise_kinds=[recorded]", "empty.jsonl: holds no utterance"),
        ("train.freeze=[gru_7]", "no layer 'gru_7'"),
    ],
)
def test_an_adaptation_does_too(override, message, places, start, tones, tmp_path):
    options = AdaptOptions(overrides=override.replace("HERE", places["HERE"]).split())
    with pytest.raises(UserError, match=message):
        adapt(start, tones / "dev.jsonl", tmp_path / "adapted", options=options)
    assert not (tmp_path / "adapted").exists()
