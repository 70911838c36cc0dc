"""Batches: what manifests and shards hold, augmented anew each time, the same for a seed, resumable at any step."""

import itertools
import json

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="batches are tf.data")

from speechgru.config.sections import RunConfig  # noqa: E402
from speechgru.dataset import (  # noqa: E402
    Augmentation,
    Corpus,
    ManifestSource,
    augment_seed,
    batches_of,
    make_sampler,
    open_corpus,
    training_batches,
)
from speechgru.dataset.sampling import Part  # noqa: E402
from speechgru.dataset.stretches import Stretches  # noqa: E402
from speechgru.errors import ConfigError, UserError  # noqa: E402
from speechgru.shards.pack import shard  # noqa: E402
from speechgru.utterances.examination import Examined  # noqa: E402
from speechgru.utterances.manifest import Utterance, write_manifest  # noqa: E402

LETTERS = "abcd"


def make_config(**sections):
    sections = {"data": {}, "train": {}, **sections}
    return RunConfig.model_validate(
        {
            **sections,
            "data": {"sample_rate": 8000, **sections["data"]},
            "text": {"characters": LETTERS, **sections.get("text", {})},
            "train": {"batch_size": 4, "seed": 3, **sections["train"]},
        }
    )


def evaluation_batches(corpus, *, config, batch_size=32):
    """Each utterance once, as recorded, the longest first."""
    if not isinstance(corpus, Corpus):
        corpus = Corpus([ManifestSource(corpus, config=config)])
    order = np.argsort(-corpus.num_frames, kind="stable")
    return batches_of(corpus, order, config=config, batch_size=batch_size)


CONFIG = make_config()
#: Nothing that changes a waveform: what shards of features ask for.
UNTOUCHED = {"gain_db": 0.0, "silence_seconds": 0.0, "noise_probability": 0.0}


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    import soundfile

    folder, rng, made = tmp_path_factory.mktemp("audio"), np.random.default_rng(0), []
    for k in range(11):
        count = int(rng.integers(900, 4000))
        path = folder / f"{k}.wav"
        soundfile.write(path, rng.normal(size=count) * 0.1, 8000, subtype="FLOAT")
        labels = tuple(int(label) for label in rng.integers(1, 5, size=rng.integers(0, 6)))
        text = "".join(LETTERS[label - 1] for label in labels)
        made.append(Examined(Utterance(str(path), count / 8000, text), text, labels, count))
    return made


@pytest.fixture
def corpus(examples):
    return Corpus([ManifestSource(examples, config=CONFIG)])


@pytest.fixture(scope="module")
def manifest(examples, tmp_path_factory):
    path = tmp_path_factory.mktemp("manifest") / "train.jsonl"
    return str(write_manifest(path, [example.utterance for example in examples]))


def rows_of(batches, values="samples_BN", counts="num_samples_B"):
    """Each row without its padding, by index; the versions in the order seen."""
    rows = {}
    for batch in batches:
        for row, index in enumerate(batch["index_B"].numpy()):
            rows.setdefault(int(index), []).append(batch[values][row, : int(batch[counts][row])].numpy())
    return rows


def assert_same_batches(first, second):
    for expected, batch in zip(first, second, strict=True):
        assert expected.keys() == batch.keys()
        for key, value in expected.items():
            np.testing.assert_array_equal(value, batch[key], err_msg=key)


def test_evaluation_gives_every_recording_as_it_is(examples):
    seen = {}
    for batch in evaluation_batches(examples, config=CONFIG, batch_size=4):
        for row, index in enumerate(batch["index_B"].numpy()):
            count, num_labels = int(batch["num_samples_B"][row]), int(batch["num_labels_B"][row])
            assert count == examples[index].num_samples
            assert tuple(batch["labels_BL"][row, :num_labels].numpy()) == examples[index].labels
            assert not batch["samples_BN"][row, count:].numpy().any()
            seen[int(index)] = batch["samples_BN"][row, :count].numpy()
    assert sorted(seen) == list(range(11))


def test_no_thread_tunes_the_stream_which_its_end_would_wait_for_by_the_wall_clock(corpus):
    assert training_batches(corpus, config=CONFIG).options().autotune.enabled is False


def test_a_resumed_stream_sees_the_very_next_batches(corpus):
    whole = list(training_batches(corpus, config=CONFIG).take(10))
    for start in (1, 3, 7):  # an epoch has 3 batches
        assert_same_batches(whole[start:], training_batches(corpus, config=CONFIG, start_step=start).take(10 - start))


def test_an_utterance_is_augmented_anew_in_each_epoch(corpus):
    versions = rows_of(training_batches(corpus, config=CONFIG).take(9))
    assert all(len(values) == 3 for values in versions.values())
    assert not any(a.shape == b.shape and np.allclose(a, b) for a, b, _ in versions.values())


def test_all_kinds_of_augmentation_run_together_and_repeat(examples, manifest):
    config = make_config(
        features={"dither": 1e-4},
        augment={
            "speed_share": 0.1,
            "reverb_probability": 1.0,
            "noise_probability": 1.0,
            "noise_kinds": ["white", "pink", "babble", "recorded"],
            "noise_manifest": manifest,
        },
    )
    corpus = Corpus([ManifestSource(examples, config=config)])
    first = list(training_batches(corpus, config=config).take(6))
    assert_same_batches(first, list(training_batches(corpus, config=config).take(6)))
    for versions in rows_of(first).values():
        assert all(np.isfinite(samples_N).all() and samples_N.any() for samples_N in versions)


def test_seeds_name_run_pass_and_utterance():
    for seed, number_of_pass, index in ((0, 0, 0), (3, 2, 9), (2**31 - 1, 5, 2**31 - 1)):
        pair = augment_seed(make_config(train={"seed": seed}), number_of_pass, index).numpy()
        assert (int(pair[0]) - (seed * 7919 + number_of_pass)) % 2**32 == 0 and pair[1] == index


def test_impulse_responses_of_a_manifest_are_used(examples, tmp_path):
    import soundfile

    response_N = np.zeros(400, np.float32)
    response_N[[0, 200]] = 1.0, 0.9
    soundfile.write(tmp_path / "room.wav", response_N, 8000, subtype="FLOAT")
    manifest = write_manifest(tmp_path / "rooms.jsonl", [Utterance(str(tmp_path / "room.wav"), 0.05, "")])
    config = make_config(augment={**UNTOUCHED, "reverb_probability": 1.0, "reverb_manifest": str(manifest)})
    click_N = np.zeros(1000, np.float32)
    click_N[100] = 1.0
    heard_N = Augmentation(config).augment_samples(click_N, tf.constant([1, 2]), tf.zeros(3))[0].numpy()
    assert heard_N.argmax() == 100
    assert heard_N[300] / heard_N[100] == pytest.approx(0.9, abs=1e-3)


def test_the_ramp_grows_from_nothing_to_all_of_it(examples):
    config = make_config(augment={"ramp_epochs": 2.0, "gain_db": 20.0, "noise_probability": 1.0})
    ramp = Augmentation(config).strength
    assert [float(ramp(epoch)) for epoch in (0.0, 0.5, 2.0, 9.0)] == [0.0, 0.25, 1.0, 1.0]
    assert float(Augmentation(CONFIG).strength(0.0)) == 1.0
    corpus = Corpus([ManifestSource(examples, config=config)])
    first = next(iter(training_batches(corpus, config=config)))
    plain = rows_of(evaluation_batches(examples, config=config))
    for index, (samples_N,) in rows_of([first]).items():
        np.testing.assert_array_equal(samples_N, plain[index][0])


@pytest.mark.parametrize("form", ["samples", "features"])
def test_shards_give_what_the_manifest_gives(examples, manifest, tmp_path, form):
    sections = {"augment": UNTOUCHED} if form == "features" else {}
    config = make_config(**sections)
    shard([manifest], tmp_path / "shards", config=config, form=form, shard_megabytes=0.03)
    packed, vocabulary, problems = open_corpus(make_config(**sections, data={"train": str(tmp_path / "shards")}))
    assert (packed.form, len(packed), problems) == (form, 11, [])
    assert "".join(vocabulary.characters) == LETTERS
    assert len(packed.parts[0].blocks) > 1
    assert packed.name(3) == examples[3].utterance.utterance_id
    corpus = Corpus([ManifestSource(examples, config=config)])
    np.testing.assert_array_equal(packed.num_frames, corpus.num_frames)
    if form == "samples":
        assert_same_batches(
            list(evaluation_batches(corpus, config=config)), list(evaluation_batches(packed, config=config))
        )
        first = rows_of(training_batches(corpus, config=config).take(3))
        second = rows_of(training_batches(packed, config=config).take(3))
        for index in range(11):  # the order is another one, for shards are read few at a time
            np.testing.assert_array_equal(first[index][0], second[index][0])
    else:
        from speechgru.model.build import build_front_end

        log_mel = build_front_end(config).log_mel
        rows = rows_of(training_batches(packed, config=config).take(3), "log_mel_BTM", "num_frames_B")
        for index, (samples_N,) in rows_of(evaluation_batches(examples, config=config)).items():
            expected_BTM, _ = log_mel(samples_N[None], np.array([len(samples_N)]))
            np.testing.assert_allclose(rows[index][0], expected_BTM[0], atol=1e-5)


def test_manifests_and_shards_mix_by_weight(examples, manifest, tmp_path):
    shard([manifest], tmp_path / "shards", config=CONFIG)
    config = make_config(data={"train": [manifest, str(tmp_path / "shards")], "train_weights": [1, 3]})
    corpus, _, _ = open_corpus(config)
    assert len(corpus) == 22 and corpus.name(21) == corpus.name(10) == examples[10].utterance.utterance_id
    seen = np.concatenate([batch["index_B"] for batch in training_batches(corpus, config=config).take(24)])
    assert (seen >= 11).mean() == pytest.approx(0.75, abs=0.06)
    rows = rows_of(evaluation_batches(corpus, config=config))
    for index in range(11):
        np.testing.assert_array_equal(rows[index][0], rows[index + 11][0])


def test_shards_that_do_not_fit_the_run_are_refused(manifest, tmp_path):
    shard([manifest], tmp_path / "samples", config=CONFIG)
    untouched = make_config(augment=UNTOUCHED)
    shard([manifest], tmp_path / "features", config=untouched, form="features")
    data = {"train": str(tmp_path / "samples")}
    features = {"train": str(tmp_path / "features")}
    both = {"train": [str(tmp_path / "features"), str(tmp_path / "samples")]}
    with pytest.raises(ConfigError, match=r"samples.*sample_rate"):
        open_corpus(make_config(data={**data, "sample_rate": 16000}))
    with pytest.raises(ConfigError, match=r"characters"):
        open_corpus(make_config(data=data, text={"characters": "abcde"}))
    with pytest.raises(ConfigError, match=r"n_mels"):
        open_corpus(make_config(data=features, features={"n_mels": 20}, augment=UNTOUCHED))
    with pytest.raises(ConfigError, match=r"gain_db"):
        open_corpus(make_config(data=features))
    with pytest.raises(ConfigError, match="mixes features and samples"):
        open_corpus(make_config(data=both, augment=UNTOUCHED))
    with pytest.raises(ConfigError, match=r"data\.joined_share joins samples, and data.train names packed features"):
        open_corpus(make_config(data={**features, "joined_share": 0.5}, augment=UNTOUCHED))


def test_records_that_this_configuration_cannot_use_are_left_out_and_named(manifest, tmp_path):
    shard([manifest], tmp_path / "shards", config=CONFIG)
    data = {"train": str(tmp_path / "shards"), "min_duration_seconds": 0.2, "max_skipped_share": 1.0}
    corpus, _, problems = open_corpus(make_config(data=data))
    direct, _, expected = open_corpus(make_config(data={**data, "train": manifest}))
    assert 0 < len(corpus) < 11
    np.testing.assert_array_equal(corpus.num_frames, direct.num_frames)
    assert {(p["audio_filepath"], p["reason"]) for p in problems} == {
        (p["audio_filepath"], p["reason"]) for p in expected
    }
    with pytest.raises(UserError, match=r"max_skipped_share"):
        open_corpus(make_config(data={**data, "max_skipped_share": 0.0}))


def test_lengths_are_known_before_the_recordings_are_read(examples):
    augment = {"speed_share": 0.3, "silence_seconds": 0.4}
    config = make_config(augment=augment)
    corpus = Corpus([ManifestSource(examples, config=config)])
    sampler = make_sampler(corpus, config=config)
    for batch, (epoch, draws) in zip(
        training_batches(corpus, config=config).take(6), sampler.batches_from(0), strict=False
    ):
        frames = 1 + batch["num_samples_B"].numpy() // config.hop_length
        assert np.abs(frames - sampler.frames_of(draws, int(epoch))).max() <= 2


def test_batches_by_frames_reach_training(examples):
    config = make_config(train={"batch_frames": 3100})
    corpus = Corpus([ManifestSource(examples, config=config)])
    batch = next(iter(training_batches(corpus, config=config)))
    assert len(batch["index_B"]) == 11  # all of them fit


def test_the_line_of_a_noise_that_cannot_be_read_is_reported(examples, tmp_path):
    (tmp_path / "noise.jsonl").write_text(json.dumps({"audio_filepath": "none.wav", "duration": 1, "text": ""}) + "\n")
    from speechgru.train import train

    config = make_config(
        augment={"noise_kinds": ["recorded"], "noise_manifest": str(tmp_path / "noise.jsonl")},
        data={"train": str(write_manifest(tmp_path / "t.jsonl", [example.utterance for example in examples]))},
    )
    with pytest.raises(UserError, match=r"noise\.jsonl:1: .*none\.wav: no such recording"):
        train(config, tmp_path / "run")


# Stretches


def joined_config(**data):
    quiet = {"gain_db": 0.0, "silence_seconds": 0.0, "noise_probability": 0.0, "speed_share": 0.0}
    return make_config(data={"joined_share": 1.0, "joined_seconds": 1.5, **data}, augment=quiet)


def test_an_utterance_is_joined_with_others_sound_and_labels(examples):
    config = joined_config()
    corpus = Corpus([ManifestSource(examples, config=config)], space_label=9)
    stretches = Stretches.of(corpus.num_frames, corpus.parts, config=config)
    rows = 0
    for batch in itertools.islice(training_batches(corpus, config=config), 4):
        for row, index in enumerate(batch["index_B"].numpy()):
            number_of_pass = int(batch["seed_B2"][row, 0]) - int(augment_seed(config, 0, 0)[0])
            joined = stretches.joined(np.array([index]), np.array([number_of_pass]))
            others = [other for other in joined.others_BK[0] if other >= 0]
            parts = [examples[place] for place in (index, *others)]
            num_samples, num_labels = int(batch["num_samples_B"][row]), int(batch["num_labels_B"][row])
            pauses = int(joined.pauses_BK.sum()) * config.hop_length
            assert num_samples == sum(part.num_samples for part in parts) + pauses <= 1.6 * 8000
            expected = []
            for part in parts:
                expected += [*([9] if expected and part.labels else []), *part.labels]
            assert batch["labels_BL"][row, :num_labels].numpy().tolist() == expected
            samples_N = batch["samples_BN"][row].numpy()
            recorded_N, _ = corpus.load(tf.constant(index))
            np.testing.assert_array_equal(samples_N[: len(recorded_N)], recorded_N)
            if others:
                last_N, _ = corpus.load(tf.constant(int(others[-1])))
                np.testing.assert_array_equal(samples_N[num_samples - len(last_N) : num_samples], last_N)
                pause_N = samples_N[len(recorded_N) :][: int(joined.pauses_BK[0, 0]) * config.hop_length]
                assert 0.05 < pause_N.std() < 0.15, "as loud as the quietest moments of noise of 0.1"
                rows += 1
    assert rows >= 10


def test_stretches_resume_and_stay_within_their_part_and_length():
    num_frames = np.random.default_rng(0).integers(20, 300, size=4000).astype(np.int32)
    parts = [Part(1000), Part(0), Part(3000)]
    stretches = Stretches(num_frames, parts, share=0.3, most_frames=1000, pause_frames=(5, 30), seed=3)
    indices = np.arange(4000)
    joined = stretches.joined(indices, np.full(4000, 2))
    is_joined = joined.others_BK[:, 0] >= 0
    assert abs(is_joined.mean() - 0.3) < 0.03
    assert joined.num_frames_B.max() <= 1000 and (joined.num_frames_B[~is_joined] == num_frames[~is_joined]).all()
    assert np.quantile(joined.num_frames_B[is_joined], 0.9) > 700, "lengths up to the longest"
    for index in np.flatnonzero(is_joined):
        others = joined.others_BK[index][joined.others_BK[index] >= 0]
        assert ((others < 1000) == (index < 1000)).all() and index not in others
        pauses = joined.pauses_BK[index][: len(others)]
        assert pauses.min() >= 5 and pauses.max() <= 30
        assert joined.num_frames_B[index] == num_frames[index] + num_frames[others].sum() + pauses.sum()
    few = stretches.joined(indices[1234:1240], np.full(6, 2))
    np.testing.assert_array_equal(few.others_BK, joined.others_BK[1234:1240])
    assert not np.array_equal(stretches.joined(indices, np.full(4000, 3)).others_BK, joined.others_BK)


def test_joined_batches_are_the_same_from_any_step_on(examples):
    config = joined_config(joined_share=0.5)
    corpus = Corpus([ManifestSource(examples, config=config)])
    batches = list(itertools.islice(training_batches(corpus, config=config), 5))
    (again,) = itertools.islice(training_batches(corpus, config=config, start_step=4), 1)
    for key, values in again.items():
        np.testing.assert_array_equal(values, batches[4][key])


def test_what_cannot_be_joined_is_refused():
    with pytest.raises(ValueError, match="joined_share joins recordings that this process reads, and service names"):
        joined_config(service="grpc://localhost:5050")
