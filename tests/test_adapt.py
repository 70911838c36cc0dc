"""Adaptation: folds that are fair, a length chosen by them, a run that is better or is not shipped."""

import itertools
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("tensorflow", reason="adapting trains")

import tones as tone_corpus
from tones import Killed, make_config, write_tones

from speechgru import adapt as room
from speechgru.adapt import AdaptOptions, adapt
from speechgru.adapt.comparison import (
    compare,
    record_of_texts,
    why_not_better_for_the_person,
    why_not_better_in_general,
)
from speechgru.adapt.options import configure, with_length
from speechgru.adapt.recordings import Recordings, deal_folds, find_recordings, join_words
from speechgru.adapt.trials import FoldResult, choose_length, fold_order
from speechgru.cli import console
from speechgru.config import RunConfig
from speechgru.dataset import open_corpus
from speechgru.errors import BundleError, ConfigError, UserError
from speechgru.export import export
from speechgru.files import write_json, write_text
from speechgru.runs import RunFolder, load_checkpoint
from speechgru.scoring import TrainedRun
from speechgru.text import Vocabulary
from speechgru.train import train
from speechgru.utterances.examination import Examined, make_vocabulary
from speechgru.utterances.manifest import Utterance, read_manifest, write_manifest

pytestmark = pytest.mark.usefixtures("no_pages")
TEXTS = ["a", "b", "ab", "ba", "aab", "bba", "abab", "a", "b", "ab", "ba", "bab"]
#: Three folds of twelve recordings, at a learning rate by which a model of 16 units learns a voice in 32 steps.
OPTIONS = {"folds": 3, "steps": 32, "overrides": ["train.learning_rate=1e-2"]}


# -- folds -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["a", "b", "a b", "b a b"]), min_size=5, max_size=40), st.integers(2, 5))
def test_every_recording_is_held_out_once_and_takes_of_a_text_by_different_folds(texts, num_folds):
    folds = deal_folds(texts, num_folds, seed=0)
    assert sorted(itertools.chain.from_iterable(folds)) == list(range(len(texts)))
    assert max(map(len, folds)) - min(map(len, folds)) <= 1
    for text, count in Counter(texts).items():
        takes = [sum(texts[place] == text for place in fold) for fold in folds]
        assert max(takes) == -(-count // num_folds), "no fold holds more takes of a text than it must"


def test_another_seed_deals_other_folds():
    texts = [f"text {k}" for k in range(20)]
    assert deal_folds(texts, 4, seed=0) == deal_folds(texts, 4, seed=0) != deal_folds(texts, 4, seed=1)


def test_the_length_with_the_fewest_errors_is_chosen_and_of_equals_the_surest_and_then_the_shortest():
    def fold(number, *, losses=(), **texts):
        texts = {int(steps[1:]): [text] for steps, text in texts.items()}
        losses = {steps: [loss] for steps, loss in zip(texts, losses or [0.0] * len(texts), strict=True)}
        return FoldResult(number, (number,), texts, losses)

    references = ["a b", "a b", "a b"]
    results = [
        fold(0, s0="x", s5="a b", s10="a b", s20="a b"),
        fold(1, s0="a", s5="a", s10="a b", s20="a b"),
        fold(2, s0="a b", s5="a b", s10="a b", s20="a x"),
    ]
    choice = choose_length(results, references)
    assert choice.steps == 10
    assert choice.texts[0] == ["x", "a", "a b"]
    # A fold's texts are read where the other two have the fewest errors, also where it has some there itself.
    assert choice.steps_of_folds == [10, 5, 10]
    assert choice.expected == ["a b", "a", "a b"]
    alike = [fold(0, s0="a", s5="a"), fold(1, s0="b", s5="b")]
    assert choose_length(alike, ["a", "b"]).steps == 0
    surer = [fold(0, s0="a", s5="a", losses=[0.2, 0.1]), fold(1, s0="b", s5="b", losses=[0.2, 0.25])]
    assert choose_length(surer, ["a", "b"]).steps == 5


def test_a_fold_result_survives_json():
    result = FoldResult(1, (2, 5), {0: ["a", ""], 10: ["a", "b"]}, {0: [0.5, 3.0], 10: [0.25, 0.5]})
    assert FoldResult.from_record(json.loads(json.dumps(result.as_record()))) == result


def test_single_words_are_joined_within_their_fold_alone(tmp_path, write_wav):
    words = [Utterance(str(write_wav(tmp_path, f"{k}.wav", seconds=0.5, seed=k)), 0.5, "ab"[k % 2]) for k in range(8)]
    lines = [*words, Utterance(str(write_wav(tmp_path, "8.wav", seconds=0.5)), 0.5, "a b")]
    found = Recordings([Examined(line, line.text, (), 8000) for line in lines], [])
    settings = {"config": RunConfig(), "vocabulary": Vocabulary(" ab")}
    folds = [[0, 1, 2, 3], [4, 5, 6, 7, 8]]
    joined, places = join_words(found, folds, tmp_path / "joined", most_words=3, **settings)
    assert joined.usable[:9] == found.usable and len(joined.usable) == 9 + 48
    assert sorted(places[0] + places[1]) == list(range(57))
    for fold, own in zip(folds, places, strict=True):
        names = {found.usable[place].utterance.utterance_id for place in fold} - {"8.wav"}
        strings = [joined.usable[place] for place in own[len(fold) :]]
        assert {name for string in strings for name in string.utterance.extra["recordings"]} == names
        assert all(2 <= len(string.text.split()) <= 3 and string.labels for string in strings)

    with pytest.raises(UserError, match="1 of the 2 recordings of fold 2 are single words, too few to join"):
        join_words(found, [[0, 1, 2], [3, 8]], tmp_path / "joined", most_words=3, **settings)
    with pytest.raises(UserError, match="none of the recordings is of a single word"):
        join_words(Recordings(found.usable[8:], []), [[0]], tmp_path / "joined", most_words=3, **settings)
    write_wav(tmp_path, "3.wav", seconds=0.5, sample_rate=8000)
    with pytest.raises(UserError, match=r"one sample rate can be joined, and they have 8,000, 16,000 Hz"):
        join_words(found, folds, tmp_path / "joined", most_words=3, **settings)


# -- the verdict -----------------------------------------------------------------------------------------------------


def texts_record(*pairs):
    examined = [Examined(Utterance("/a.wav", 1.0, reference), reference, (), 8000) for reference, _ in pairs]
    return record_of_texts("test", examined, [hypothesis for _, hypothesis in pairs], sample_rate=8000)


def test_a_record_of_texts_counts_all_kinds_of_errors():
    record = texts_record(("a b c", "a x c"), ("a b", "a"), ("c", "c d"))
    assert (record["substitutions"], record["deletions"], record["insertions"], record["words"]) == (1, 1, 1, 6)
    assert record["wer"] == 0.5 and record["sentence_error_rate"] == 1.0 and record["audio_seconds"] == 3.0
    low, high = record["wer_interval"]
    assert low <= 0.5 <= high
    assert json.loads(json.dumps(record)) == record


def test_no_error_is_not_certainty():
    low, high = texts_record(*[("a b c d e", "a b c d e")] * 10)["wer_interval"]
    assert low == 0 and high == pytest.approx(0.0713, abs=1e-4), "Wilson's interval of 0 of 50"


def test_a_run_is_refused_that_does_not_serve_the_person_better():
    good, bad = texts_record(("a", "a"), ("b", "b")), texts_record(("a", "a"), ("b", "x"))
    assert why_not_better_for_the_person(compare(bad, good), 10) == []
    assert "no length of training" in why_not_better_for_the_person(compare(bad, bad), 0)[0]
    (reason,) = why_not_better_for_the_person(compare(good, bad), 10)
    assert "the WER is 50.00%, and was 0.00% before" in reason
    assert compare(bad, good)["change_interval"] == [-1.0, 0.0]


def test_a_run_is_refused_that_forgets_more_than_is_allowed():
    good = texts_record(*[("a b c d e", "a b c d e")] * 20)
    worse = texts_record(*[("a b c d e", "a b c d e")] * 19, ("a b c d e", "a b c d x"))
    assert why_not_better_in_general(compare(good, worse), 0.01) == [], "one of 100 words is what is allowed"
    (reason,) = why_not_better_in_general(compare(good, worse), 0.009)
    assert "rises from 0.00% to 1.00%, by more than the 0.9 percentage points allowed" in reason
    assert why_not_better_in_general(compare(worse, good), 0.0) == []


# -- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"folds": 1}, "2 folds or more, got 1"),
        ({"steps": 0}, "1 step or more, got 0"),
        ({"share": 1.0}, "lies between 0 and 100 %, got 100 %"),
        ({"join": 1}, "2 words or more, and 0 joins none, got 1"),
        ({"max_forgetting": -0.1}, "0 to 100 percentage points, and what is allowed is -10"),
    ],
)
def test_options_out_of_range_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        AdaptOptions(**values)


# -- with a run ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", name="base")
def _base(tones, no_pages, tmp_path_factory):
    """A run that has learnt the tones of everybody else, more or less."""
    folder = tmp_path_factory.mktemp("base")
    config = make_config(
        tones, folder / "config.yaml", "train.max_steps=80", "train.evaluate_every_steps=80", "data.train_weights=[1]"
    )
    train(config, folder / "run")
    return folder / "run"


@pytest.fixture(scope="module", name="me")
def _me(tmp_path_factory):
    """A person whose tones are others, with a recording in letters that the run cannot write, and a silent one."""
    folder = tmp_path_factory.mktemp("me")
    rng = np.random.default_rng(5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tone_corpus, "TONES", {"a": 800.0, "b": 1100.0, "z": 2000.0})
        lines = [write_tones(folder, f"{k:02d}.wav", text, rng) for k, text in enumerate([*TEXTS, "azb"])]
    return write_manifest(folder / "me.jsonl", lines)


def test_a_fold_never_draws_what_it_holds_out(base, me, tmp_path):
    trained = TrainedRun(base)
    manifest = write_manifest(tmp_path / "recordings.jsonl", read_manifest(me)[:-1])
    config = configure(trained, manifest, AdaptOptions(**OPTIONS, share=0.25))
    corpus, vocabulary, left_out = open_corpus(config)
    assert vocabulary == trained.vocabulary and left_out == []
    first = len(corpus) - len(TEXTS)
    held_out = [0, 3, 11]
    steps = [draws.indices for _, draws in fold_order(corpus, held_out, config=config, num_steps=40)]
    assert len(steps) == 40
    counts = Counter(np.concatenate(steps).tolist())
    assert not counts.keys() & {first + place for place in held_out}
    assert counts.keys() >= {first + place for place in range(len(TEXTS)) if place not in held_out}
    own = sum(count for place, count in counts.items() if place >= first)
    assert own / sum(counts.values()) == pytest.approx(0.25, abs=0.03)
    assert len(counts.keys() - set(range(first, len(corpus)))) > 50, "and what was learnt before is drawn too"


def test_a_person_is_learnt_and_the_rest_not_forgotten_and_an_interrupted_adaptation_resumes(
    base, me, tmp_path, monkeypatch, capsys
):
    out, seen = tmp_path / "out", []

    def kill(stage, done, total, note=""):
        seen.append((stage, done))
        if (stage, done) == ("cross-validation", 34):
            raise Killed

    with pytest.raises(Killed):
        adapt(base, me, out, options=AdaptOptions(**OPTIONS), progress=kill)
    folder = RunFolder(out)
    assert "was not finished" in folder.not_better.read_text(), "half an adaptation cannot be exported"
    assert len((out / "folds.jsonl").read_text().splitlines()) == 1

    seen.clear()
    result = adapt(base, me, out, options=AdaptOptions(**OPTIONS), progress=lambda *told: seen.append(told[:2]))
    assert max(done for stage, done in seen if stage == "cross-validation") == 64, "one of three folds was done"
    assert result.is_better and result.reasons == () and not folder.not_better.exists()
    assert 0 < result.steps <= 32 and len(result.left_out) == 1
    assert "'z'" in result.left_out[0] and "12.wav" in result.left_out[0]
    before, after = result.person["before"], result.person["after"]
    assert before["num_utterances"] == after["num_utterances"] == len(TEXTS)
    assert after["wer"] <= before["wer"] - 0.5 and result.person["change_interval"][1] < 0
    assert result.general["after"]["wer"] <= result.general["before"]["wer"] + 0.01

    # A run folder like any other, of the last weights and nothing else's choice.
    _, state = load_checkpoint(folder.best)
    assert state["step"] == result.steps
    trained = TrainedRun(out)
    assert trained.config.train.start_from == str(base) and trained.config.train.max_steps == result.steps
    assert trained.config.data.train[-1] == str(out / "recordings.jsonl")
    assert [record["kind"] for record in folder.read_history()][-1] == "end"
    record = json.loads((out / "report" / "adaptation.json").read_text())
    assert record["verdict"] == "better"
    assert [entry["name"] for entry in record["lengths"]] == [f"{k} steps" for k in (0, 2, 4, 8, 16, 32)]
    general = {entry["name"]: entry["general_wer"] for entry in record["lengths"]}
    assert general["0 steps"] == result.general["before"]["wer"]
    allowed = [name for name, wer in general.items() if wer is not None and wer <= general["0 steps"] + 0.01]
    assert f"{result.steps} steps" in allowed, "no length that forgets too much is chosen where another helps"
    page = result.page.read_text()
    for words in ("ready to export", "Before and after", "How long to train", "12.wav", "<svg"):
        assert words in page, words

    # Once more, by the command: nothing is trained again. The threshold of the first run is not for these weights.
    assert result.notes == ()
    RunFolder(base).rejection.write_text("{}")
    monkeypatch.setattr("speechgru.adapt.trials.augmented_batches", None)
    arguments = [base, "--recordings", me, "--run", out, "--folds", 3, "--steps", 32, *OPTIONS["overrides"], "--json"]
    monkeypatch.setattr("sys.argv", ["speechgru", "adapt", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        console.main()
    RunFolder(base).rejection.unlink()
    assert ended.value.code == 0
    printed = json.loads(capsys.readouterr().out)
    (note,) = printed["notes"]
    assert f"choose a margin for it: speechgru calibrate {out} --dev" in note
    assert printed["is_better"] and printed["steps"] == result.steps
    assert printed["person"]["after"]["wer"] == after["wer"] and printed["left_out"] == list(result.left_out)

    with pytest.raises(ConfigError, match=r"holds a run of another configuration: train\.learning_rate \(0\.01"):
        adapt(base, me, out, options=AdaptOptions(folds=3, steps=32))
    fewer = write_manifest(tmp_path / "fewer.jsonl", read_manifest(me)[:6])
    with pytest.raises(ConfigError, match="holds an adaptation to other recordings"):
        adapt(base, fewer, out, options=AdaptOptions(**OPTIONS))


def zipped(manifest, folder):
    """A ZIP file of recordings with their manifest, as a site's studio saves it."""
    shutil.copytree(manifest.parent, folder)
    (folder / manifest.name).rename(folder / "recordings.jsonl")
    return Path(shutil.make_archive(str(folder), "zip", folder.parent, folder.name))


def test_what_does_not_help_is_not_shipped(base, me, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    arguments = [
        base,
        "--recordings",
        zipped(me, tmp_path / "Jo-Doe"),
        "--run",
        out,
        "--folds",
        2,
        "--steps",
        1,
        "train.learning_rate=1e-9",
    ]
    monkeypatch.setattr("sys.argv", ["speechgru", "adapt", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        console.main()
    assert ended.value.code == 1
    printed = " ".join(capsys.readouterr().out.split())
    # A step that changes no text may still be surer of the right ones, and be chosen: it is no better for that.
    why = r"not better: (no length of training makes fewer word errors|on recordings held out, at the length)"
    assert re.search(why, printed) and "12.wav" in printed
    assert re.match(why, RunFolder(out).not_better.read_text())
    assert not RunFolder(out).config.exists(), "nothing was trained"
    record = json.loads((out / "report" / "adaptation.json").read_text())
    assert record["verdict"] == "not better" and record["steps"] <= 1 and record["general"]["after"] is None
    assert record["recordings"] == str(tmp_path / "Jo-Doe.zip")
    assert all((out / "recordings").resolve() in Path(line.audio_filepath).parents
               for line in read_manifest(out / "recordings.jsonl"))  # fmt: skip
    assert "Not better, and not to be shipped" in (out / "report" / "adaptation.html").read_text()


def test_an_adaptation_that_is_taken_away_does_not_come_back_with_its_report(tmp_path, monkeypatch):
    def work(trained, recordings, folder, *options, **others):
        write_text(folder.not_better, "not judged")
        folder.path.rename(tmp_path / "away")
        write_json(folder.report / "adaptation.json", {})

    write_text(RunFolder(tmp_path / "base").config, "")
    monkeypatch.setattr("speechgru.adapt.run._adapt", work)
    with pytest.raises(UserError, match=r"out: is gone, moved or removed while this command worked there"):
        adapt(tmp_path / "base", tmp_path / "me.jsonl", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["away", "base"]


def test_a_run_that_is_not_better_is_not_exported(base, tmp_path):
    out = tmp_path / "out"
    RunFolder(out).checkpoints.mkdir(parents=True)
    for file in (RunFolder(base).config, RunFolder(base).vocabulary):
        (out / file.name).write_bytes(file.read_bytes())
    RunFolder(out).not_better.write_text("not better: it forgot\n")
    with pytest.raises(BundleError, match=r"out: not better: it forgot; export the run that it started from"):
        export(out, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_mistakes_are_named_before_anything_is_trained(base, me, tones, tmp_path):
    def adapted(recordings=me, out=tmp_path / "out", **options):
        return adapt(base, recordings, out, options=AdaptOptions(**options))

    with pytest.raises(UserError, match="is the run that is adapted"):
        adapted(out=base)
    with pytest.raises(ConfigError, match=r"'train\.max_steps=9'.*give --steps"):
        adapted(overrides=["train.max_steps=9"])
    with pytest.raises(ConfigError, match="the model stays that of the run"):
        adapted(overrides=["model.units=9"])
    with pytest.raises(UserError, match="no such manifest or folder of shards to mix in"):
        adapted(replay=[tmp_path / "gone.jsonl"])
    few = write_manifest(tmp_path / "few.jsonl", read_manifest(me)[-3:])
    with pytest.raises(UserError, match=r"2 of 3 recordings can be learnt from, and adapting needs 4 or(.|\n)*12\.wav"):
        adapted(few)
    few_zipped = zipped(write_manifest(tmp_path / "few" / "few.jsonl", read_manifest(few)), tmp_path / "packed")
    with pytest.raises(UserError, match=r"packed\.zip: its recordings\.jsonl names .*, which is not in the archive"):
        adapted(few_zipped)
    with pytest.raises(UserError, match=r"holds the manifests dev\.jsonl, train\.jsonl; name the one"):
        adapted(tones)
    assert not (tmp_path / "out").exists()
    recorded = write_manifest(tmp_path / "recorded" / "recordings.jsonl", read_manifest(me))
    before = recorded.read_bytes()
    for recordings in (recorded, recorded.parent):  # its lines that nothing is learnt from would be gone
        with pytest.raises(UserError, match=r"recordings\.jsonl: is what this command reads, and would be lost"):
            adapted(recordings, out=recorded.parent)
    (recorded.parent / "grammar.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"holds grammar\.json, and no run that wrote it"):
        adapted(out=recorded.parent)
    assert recorded.read_bytes() == before


def test_recordings_are_a_manifest_a_recorded_folder_or_a_folder_with_texts(me, tmp_path, write_wav):
    names = [utterance.utterance_id for utterance in read_manifest(me)]
    assert [utterance.utterance_id for utterance in find_recordings(me)] == names
    recorded = tmp_path / "recorded"
    recorded.mkdir()
    write_manifest(recorded / "recordings.jsonl", read_manifest(me))
    assert [utterance.utterance_id for utterance in find_recordings(recorded)] == names
    write_wav(tmp_path / "loose", "x.wav")
    (tmp_path / "loose" / "x.txt").write_text("ab\n")
    (found,) = find_recordings(tmp_path / "loose")
    assert (found.text, found.duration) == ("ab", 1.0)


def test_the_configuration_of_an_adaptation_keeps_the_model_and_mixes_in_what_was_learnt(base, me, tones):
    trained = TrainedRun(base)
    config = configure(trained, me, AdaptOptions(share=0.25, steps=160))
    assert config.model == trained.config.model and config.features == trained.config.features
    assert config.data.train == (str(tones / "train.jsonl"), str(me))
    assert config.data.train_weights == pytest.approx((0.75, 0.25))
    assert config.data.dev == str(tones / "dev.jsonl")
    assert config.data.grammar is None
    RunFolder(base).grammar.write_text("{}")
    assert configure(trained, me, AdaptOptions()).data.grammar == str(RunFolder(base).grammar), "the run's own copy"
    RunFolder(base).grammar.unlink()
    assert config.train.schedule == "constant" and config.train.warmup_steps == 9, "done before the first length is"
    two = configure(trained, me, AdaptOptions(replay=[tones / "train.jsonl", tones / "dev.jsonl"]))
    assert two.data.train_weights == pytest.approx((0.5 * 60 / 72, 0.5 * 12 / 72, 0.5)), "by their utterances"
    assert with_length(config, 40).train.max_steps == with_length(config, 40).train.evaluate_every_steps == 40
    assert room.AdaptOptions(steps=16).lengths == (0, 1, 2, 4, 8, 16)


def test_no_stage_makes_another_person_of_the_one_who_is_learnt(base, me, tmp_path):
    shutil.copytree(base, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    stored = yaml.safe_load(folder.config.read_text())
    stored["augment"] |= {"voice_probability": 0.5, "prosody_probability": 0.5, "frequency_warp_share": 0.1}
    folder.config.write_text(yaml.safe_dump(stored | {"augment": stored["augment"] | {"speed_share": 0.12}}))
    own = configure(TrainedRun(folder.path), me, AdaptOptions()).augment
    assert (own.voice_probability, own.prosody_probability, own.frequency_warp_share) == (0, 0, 0)
    assert own.speed_share == 0.05 and own.gain_db == stored["augment"]["gain_db"], "rooms and microphones stay"
    asked = AdaptOptions(overrides=["augment.voice_probability=0.25", "augment.speed_share=0.1"])
    own = configure(TrainedRun(folder.path), me, asked).augment
    assert (own.voice_probability, own.speed_share) == (0.25, 0.1)


def test_an_adaptation_keeps_the_words_of_the_run_and_the_letters_of_all_others(base, me, tmp_path):
    folder = RunFolder(shutil.copytree(base, tmp_path / "run"))
    num_classes = len(Vocabulary.load(folder.vocabulary))
    words = Vocabulary.with_letters(["a", "b", "ab", "ba", "aba", "bab"][: num_classes - 2], "xyab")
    assert len(words) == num_classes, "as many as the weights are for"
    words.save(folder.vocabulary)
    document = yaml.safe_load(folder.config.read_text())
    document["text"] |= {"unit": "word", "words": list(words.words), "unknown_words": "spell", "characters": "auto"}
    folder.config.write_text(yaml.safe_dump(document))
    config = configure(TrainedRun(folder.path), me, AdaptOptions())
    assert (config.text.words, config.text.unknown_words) == (words.words, "spell")
    assert make_vocabulary(config, ()) == words
