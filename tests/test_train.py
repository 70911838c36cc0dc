"""Training: it learns, it resumes exactly (law 7), and it leaves out what it says it leaves out."""

import contextlib
import dataclasses
import gc
import json
import re
import shutil
import weakref

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="training needs TensorFlow")

from tones import (  # noqa: E402
    SAMPLE_RATE,
    Killed,
    assert_same_weights,
    history_of,
    kill_at,
    make_config,
    weights_of,
    write_tones,
)

from speechgru import native  # noqa: E402
from speechgru import train as training  # noqa: E402
from speechgru.decoding import DecodingOptions, Phrases  # noqa: E402
from speechgru.errors import BundleError, ConfigError, DiskError, ManifestError, TextError, UserError  # noqa: E402
from speechgru.export import QUANTIZATIONS, export  # noqa: E402
from speechgru.runs import RunFolder  # noqa: E402
from speechgru.runtime.transcription import transcribe  # noqa: E402
from speechgru.scoring import TrainedRun  # noqa: E402
from speechgru.scoring.evaluation import evaluate  # noqa: E402
from speechgru.shards.pack import shard  # noqa: E402
from speechgru.train import graphs  # noqa: E402
from speechgru.utterances.check import check  # noqa: E402
from speechgru.utterances.manifest import Utterance, read_manifest, write_manifest  # noqa: E402

pytestmark = pytest.mark.usefixtures("no_pages")

#: A run whose model and scores do not matter: tracing one direction and no evaluation costs half as much.
BRIEF = ("model.direction=forward", "data.dev=null")


@pytest.fixture(scope="module")
def whole(tones, tmp_path_factory):
    """A run of twelve steps that nothing happened to. Copy it before changing it."""
    folder = tmp_path_factory.mktemp("whole")
    training.train(make_config(tones, folder / "config.yaml"), folder / "run")
    return folder / "run"


@pytest.fixture
def copied(whole, tmp_path):
    """A copy of that run."""
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


def test_training_learns_and_the_bundle_hears_the_same(tones, tones_config, tmp_path):
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    config = tones_config("train.max_steps=300", "train.evaluate_every_steps=100", "train.checkpoint_every_steps=100")
    result = training.train(config, run)
    assert result.steps == 300 and result.num_skipped == 0
    trained = TrainedRun(run)
    scores = evaluate(trained, tones / "dev.jsonl")
    assert scores["cer"] < 0.1, "tones are easy"
    assert result.best_wer == pytest.approx(scores["wer"]), "the best weights are the ones evaluated"
    metadata = export(trained, bundle, quantize=QUANTIZATIONS, formats=["tflite", "savedmodel"])
    assert set(metadata["models"]) == set(QUANTIZATIONS) and (bundle / "saved_model").is_dir()
    for form in QUANTIZATIONS:
        assert evaluate(bundle, tones / "dev.jsonl", form=form)["cer"] <= scores["cer"] + 0.05, form
    assert json.loads((bundle / "bundle.json").read_text())["dev"]["wer"] == pytest.approx(scores["wer"])
    front_end = json.loads((bundle / "bundle.json").read_text())["features"]
    assert len(front_end["mean"]) == len(front_end["deviation"]) == front_end["n_mels"]
    by_file = evaluate(bundle, tones / "dev.jsonl")
    assert [u["hypothesis"] for u in by_file["utterances"]] == [u["hypothesis"] for u in scores["utterances"]]
    first = read_manifest(tones / "dev.jsonl")[0]
    (record,) = transcribe(bundle, [first.audio_filepath])
    assert record["text"] == by_file["utterances"][0]["hypothesis"]
    history = RunFolder(run).read_history()
    losses = [entry["loss"] for entry in history if entry["kind"] == "train"]
    assert losses[-1] < losses[0] / 3
    provenance = json.loads(RunFolder(run).provenance.read_text())
    assert provenance["versions"]["keras"]
    heard = json.loads((bundle / "bundle.json").read_text())["training_seconds"]
    assert heard == provenance["training_seconds"] and 0.3 < heard["typical"] <= heard["longest"] < 10.0
    moved = tmp_path / "elsewhere" / "bundle"
    shutil.copytree(bundle, moved)
    shutil.rmtree(bundle)
    assert transcribe(moved, [first.audio_filepath])[0]["text"] == record["text"], "a bundle moves as one folder"


def test_law_7_a_killed_and_resumed_run_ends_with_the_same_weights(tones_config, whole, tmp_path):
    """Killed before it has a checkpoint, and again after an evaluation that its checkpoint does not know of."""
    config, run = tones_config(), tmp_path / "run"
    for step in (1, 6):
        with pytest.raises(Killed):
            training.train(config, run, progress=kill_at(step))
    assert [path.name for path in RunFolder(run).list_checkpoints()] == ["step_00000004.npz"]
    assert training.train(config, run).steps == 12
    assert_same_weights(whole, run)
    assert history_of(whole) == history_of(run)


def test_a_damaged_checkpoint_is_refused_and_the_previous_one_used(tones_config, whole, copied):
    last, previous = RunFolder(copied).list_checkpoints()
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    said = []
    training.train(
        tones_config(), copied, progress=lambda stage, done, total, note="": said.append(f"{stage}: {note}")
    )  # fmt: skip
    assert any("resuming" in line and f"{last.name}: the checkpoint is damaged" in line for line in said)
    assert last.with_suffix(".damaged").exists() and previous.name == "step_00000008.npz"
    assert_same_weights(whole, copied)


def test_a_run_without_a_whole_checkpoint_is_not_begun_anew_in_silence(tones_config, copied):
    for path in RunFolder(copied).list_checkpoints():
        path.write_bytes(path.read_bytes()[:1000])
    damaged = r"step_00000012\.damaged, step_00000008\.damaged"
    with pytest.raises(BundleError, match=rf"no checkpoint is intact \({damaged}\)"):
        training.train(tones_config(), copied)


def test_resuming_with_another_configuration_is_refused_and_names_the_keys(tones_config, copied):
    with pytest.raises(ConfigError, match=r"model\.units \(16 there, 8 now\).*another --run"):
        training.train(tones_config("model.units=8"), copied)


def test_a_start_that_fails_leaves_no_folder_behind(tones_config, tmp_path):
    with pytest.raises(ManifestError, match=r"nowhere\.jsonl: no such manifest"):
        training.train(tones_config("data.train=nowhere.jsonl"), tmp_path / "run")
    with pytest.raises(UserError, match=r"utterances cannot be used"):
        training.train(tones_config("text.characters=a"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_training_without_a_manifest_says_which_key(tones_config, tmp_path):
    config = tones_config()
    config = config.model_copy(update={"data": config.data.model_copy(update={"train": ()})})
    with pytest.raises(ConfigError, match=r"data\.train names no manifest"):
        training.train(config, tmp_path / "run")


@pytest.fixture
def faulty(tones):
    """The training manifest with one fault of each kind among the good lines."""
    import soundfile

    rng = np.random.default_rng(7)
    bad = []
    for name, text in (("truncated", "ab"), ("unknown", "a7"), ("hasty", "aaaaaaaaaaaabbbbbbbbb")):
        utterance = write_tones(tones, f"{name}.wav", "ab", rng)
        bad.append(dataclasses.replace(utterance, text=text))
    truncated = tones / "truncated.wav"
    truncated.write_bytes(truncated.read_bytes()[:2000])
    (tones / "empty.wav").write_bytes(b"")
    (tones / "text.wav").write_text("this is no recording at all, it only says so")
    soundfile.write(tones / "silentless.wav", np.zeros(0), SAMPLE_RATE)
    for name in ("empty", "text", "silentless", "missing"):
        bad.append(Utterance(str(tones / f"{name}.wav"), 0.5, "ab"))
    good = read_manifest(tones / "train.jsonl")
    write_manifest(tones / "faulty.jsonl", [*good[:20], *bad[:4], *good[20:40], *bad[4:], *good[40:]])
    return {utterance.audio_filepath for utterance in bad}


def test_training_over_a_faulty_manifest_skips_counts_and_lists_what_check_names(tones, tones_config, tmp_path, faulty):
    config = tones_config(*BRIEF, "train.max_steps=1", "data.max_skipped_share=0.2", train="faulty.jsonl")
    (findings,) = check([tones / "faulty.jsonl"], config=config)
    assert {problem.utterance.audio_filepath for problem in findings.problems} == faulty
    result = training.train(config, tmp_path / "run")
    assert result.num_skipped == len(faulty) == 7 and result.num_train == 60
    listed = [json.loads(line) for line in RunFolder(tmp_path / "run").skipped.read_text().splitlines()]
    assert {record["audio_filepath"] for record in listed} == faulty
    assert {record["line"]: record["reason"] for record in listed} == {
        problem.utterance.line: problem.reason for problem in findings.problems
    }


def test_training_runs_graphs_as_traced_around_compiled_code_and_sets_back_what_was_set(
    tones_config, tmp_path, monkeypatch
):
    def is_rewriting():
        return not tf.config.optimizer.get_experimental_options().get("disable_meta_optimizer", False)

    seen = []

    def stop(*arguments, **options):
        seen.append(is_rewriting())
        raise UserError("far enough")

    monkeypatch.setattr("speechgru.train.run._train", stop)
    for number, mode in enumerate((contextlib.nullcontext, native.operations_only)):
        with mode(), pytest.raises(UserError, match="far enough"):
            training.train(tones_config(), tmp_path / f"run{number}")
        assert is_rewriting()
    assert seen == [native.obstacle() is not None, True], "around compiled code nothing is gained by it"


def test_what_is_forgotten_takes_its_graph_with_it_and_nothing_else():
    def trace():
        @tf.custom_gradient
        def doubled(x):
            return tf.numpy_function(lambda x: np.float32(2 * x), [x], tf.float32), lambda upstream: 2 * upstream

        graph = tf.function(lambda x: tf.gradients(doubled(x), x)).get_concrete_function(tf.TensorSpec([], tf.float32))
        assert graph(tf.constant(1.0))[0] == 2
        return graph

    kept = trace()
    with graphs.forgotten():
        gone = weakref.ref(trace().graph)
        tf.RegisterGradient("OfAModuleThatIsImportedJustThen")(lambda operation, upstream: upstream)
    gc.collect()
    assert gone() is None
    assert kept(tf.constant(1.0))[0] == 2, "what was there before stays"
    with pytest.raises(KeyError, match="Registering two gradient with name 'OfAModuleThatIsImportedJustThen'"):
        tf.RegisterGradient("OfAModuleThatIsImportedJustThen")(lambda operation, upstream: upstream)


def test_too_many_faults_stop_training_before_it_starts(tones_config, tmp_path, faulty):
    with pytest.raises(UserError, match=r"7 of 67 training utterances cannot be used.*max_skipped_share \(0\.05\)"):
        training.train(tones_config("data.max_skipped_share=0.05", train="faulty.jsonl"), tmp_path / "run")


def test_a_recording_that_vanishes_while_training_is_named(tones, tones_config, tmp_path):
    utterances = read_manifest(tones / "train.jsonl")[:8]
    gone = tmp_path / "gone.wav"
    shutil.copy(utterances[0].audio_filepath, gone)
    write_manifest(tones / "vanishing.jsonl", [dataclasses.replace(utterances[0], audio_filepath=str(gone))])

    def vanish(stage, done, total, note=""):
        if stage == "measuring the corpus" and done == total:
            gone.unlink()

    with pytest.raises(DiskError, match=r"gone\.wav: no such recording"):
        training.train(tones_config(*BRIEF, train="vanishing.jsonl"), tmp_path / "run", progress=vanish)


def test_training_from_shards_of_features_learns_as_from_the_recordings(tones, tones_config, tmp_path):
    untouched = ("augment.gain_db=0", "augment.silence_seconds=0", "augment.noise_probability=0")
    untouched = (*BRIEF, *untouched, "train.max_steps=6")
    losses = {}
    for form in ("samples", "features"):
        shard([tones / "train.jsonl"], tmp_path / form, config=tones_config(*untouched), form=form)
        config = tones_config(*untouched, f"data.train={tmp_path / form}")
        training.train(config, tmp_path / f"run_{form}")
        losses[form] = [r["loss"] for r in RunFolder(tmp_path / f"run_{form}").read_history() if r["kind"] == "train"]
    assert losses["features"] == pytest.approx(losses["samples"], rel=1e-4)


@pytest.mark.parametrize("ctc", ["compiled", "op", "xla"])
def test_what_cannot_be_spelled_is_named_and_the_others_learn(tones, tones_config, tmp_path, monkeypatch, ctc):
    """Examination leaves such utterances out; here it does not look, as if shards had reported wrong lengths."""
    from speechgru.utterances import rules

    monkeypatch.setattr(rules, "RULES", tuple(rule for rule in rules.RULES if rule.name != "too few steps"))
    utterances = read_manifest(tones / "train.jsonl")[:16]
    bad = dataclasses.replace(utterances[3], text="ab" * 200)
    write_manifest(tones / "crowded.jsonl", [*utterances[:3], bad, *utterances[4:]])
    config = tones_config(*BRIEF, "train.batch_size=4", f"train.ctc={ctc}", train="crowded.jsonl")
    result = training.train(config, tmp_path / "run")
    assert (result.steps, result.num_infeasible, result.num_train) == (12, 1, 16)
    history = RunFolder(tmp_path / "run").read_history()
    reported = [entry for entry in history if entry["kind"] == "infeasible"]
    assert [entry["utterances"] for entry in reported] == [[bad.utterance_id]] * 3, "once an epoch"
    losses = [entry["loss"] for entry in history if entry["kind"] == "train"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    weights, _ = weights_of(tmp_path / "run")
    assert all(np.isfinite(array).all() for array in weights.values())


def test_a_batch_without_one_that_can_be_spelled_changes_nothing(tones, tones_config, tmp_path, monkeypatch):
    from speechgru.utterances import rules

    monkeypatch.setattr(rules, "RULES", tuple(rule for rule in rules.RULES if rule.level != "problem"))
    bad = dataclasses.replace(read_manifest(tones / "train.jsonl")[0], text="ab" * 200)
    write_manifest(tones / "hopeless.jsonl", [bad])
    config = tones_config(*BRIEF, "train.max_steps=2", train="hopeless.jsonl")
    result = training.train(config, tmp_path / "run")
    assert (result.steps, result.num_infeasible) == (2, 1)
    entry = next(entry for entry in RunFolder(tmp_path / "run").read_history() if entry["kind"] == "train")
    assert entry["loss"] is None
    after, _ = weights_of(tmp_path / "run")
    from speechgru.model.build import build_model

    before = build_model(config, 3).encoder.model.trainable_variables
    changed = [
        not any(array.shape == variable.shape and np.array_equal(array, variable) for array in after.values())
        for variable in before
    ]
    assert not any(changed)


def test_words_are_learnt_exported_and_heard(tones, tones_config, tmp_path):
    utterances = {split: read_manifest(tones / f"{split}.jsonl") for split in ("train", "dev")}
    for split, lines in utterances.items():
        spelt = [dataclasses.replace(u, text=" ".join({"a": "Low!", "b": "high"}[c] for c in u.text)) for u in lines]
        write_manifest(tones / f"{split}_words.jsonl", spelt)
    config = tones_config(
        "train.max_steps=300", "train.evaluate_every_steps=300", "text.characters=auto", "text.unit=word",
        f"data.dev={tones / 'dev_words.jsonl'}", train="train_words.jsonl",
    )  # fmt: skip
    training.train(config, tmp_path / "run")
    assert RunFolder(tmp_path / "run").vocabulary.read_text().split("\n")[1:3] == ["high", "low"]
    trained = TrainedRun(tmp_path / "run")
    scores = evaluate(trained, tones / "dev_words.jsonl")
    assert scores["wer"] < 0.1, "tones are easy"
    metadata = export(trained, tmp_path / "bundle")
    assert (metadata["unit"], metadata["entries"]) == ("word", ["high", "low"])
    assert metadata["text"] == {
        "normalization": "NFC", "lowercase": True, "remove_punctuation": True, "keep_punctuation": ""
    }  # fmt: skip
    by_bundle = evaluate(tmp_path / "bundle", tones / "dev_words.jsonl")
    assert by_bundle["wer"] == scores["wer"]
    options = DecodingOptions(beam_width=8, phrases=Phrases(["LOW", "High"], repeat=True))
    for recogniser in (trained, tmp_path / "bundle"):
        record = evaluate(recogniser, tones / "dev_words.jsonl", decoding=options)
        assert record["wer"] <= scores["wer"] + 0.05 and record["decoding"]["beam_width"] == 8
    with pytest.raises(TextError, match=r"phrase 'middle': 'middle' is not among the words that this recogniser writ"):
        evaluate(
            trained, tones / "dev_words.jsonl", decoding=DecodingOptions(beam_width=8, phrases=Phrases(["middle"]))
        )


def test_a_run_from_before_texts_had_rules_keeps_those_of_its_day(tones_config, tmp_path):
    config = tones_config(*BRIEF, "train.max_steps=1", "text.normalization=NFKC")
    run = RunFolder(tmp_path / "run")
    training.train(config, run.path)
    newer = re.compile(r"  (unit|words|normalization|keep_punctuation|ctc|optimizer|schedule|ema|keep_last): .*\n")
    run.config.write_text(newer.sub("", run.config.read_text()))
    from speechgru.scoring.predictions import load_run

    assert load_run(run.path)[0].text == config.text
    assert training.train(config, run.path).steps == 1
    run.config.write_text(newer.sub("", run.config.read_text()))
    with pytest.raises(ConfigError, match=r"text\.normalization \('NFKC' there, 'NFC' now\)"):
        training.train(tones_config(*BRIEF, "train.max_steps=1", "text.normalization=NFC"), run.path)
    assert training.train(tones_config(*BRIEF, "train.max_steps=1"), run.path).steps == 1, "the same command as then"
    assert load_run(run.path)[0].text == config.text


def test_weight_decay_leaves_biases_alone(whole):
    from speechgru.scoring.predictions import load_run

    config, _, model = load_run(whole)
    optimizer = training.make_optimizer(config.train)
    optimizer.build(model.trainable_variables)
    decays = {variable.path: optimizer._use_weight_decay(variable) for variable in model.trainable_variables}
    assert any(decays.values())
    assert not any(decay for path, decay in decays.items() if "bias" in path)


def test_a_test_set_without_a_word_has_false_words_and_no_rate_and_unknown_durations_are_measured(tones, whole):
    dev = read_manifest(tones / "dev.jsonl")
    write_manifest(tones / "unknown.jsonl", [dataclasses.replace(u, duration=0.0) for u in dev])
    scores = evaluate(whole, tones / "unknown.jsonl")
    assert scores["audio_seconds"] == pytest.approx(sum(u.duration for u in dev), rel=1e-3) and scores["rtf"] > 0
    write_manifest(tones / "wordless.jsonl", [dataclasses.replace(u, text="") for u in dev])
    scores = evaluate(whole, tones / "wordless.jsonl")
    assert (scores["wer"], scores["words"]) == (None, 0), "false words are counted, over no words"
    assert scores["silence"]["num_utterances"] == len(dev) and scores["silence"]["false_words"] == scores["errors"]
