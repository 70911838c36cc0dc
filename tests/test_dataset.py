"""Batches: every utterance once an epoch, little padding, the same for a seed, and resumable at any step."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="batches are tf.data")

from speechgru.config import RunConfig  # noqa: E402
from speechgru.dataset import evaluation_batches, num_batches, plan_epoch, training_batches  # noqa: E402
from speechgru.examination import Examined  # noqa: E402
from speechgru.manifest import Utterance  # noqa: E402

CONFIG = RunConfig.model_validate({"data": {"sample_rate": 8000}, "train": {"batch_size": 4, "seed": 3}})


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    import soundfile

    folder, rng, made = tmp_path_factory.mktemp("audio"), np.random.default_rng(0), []
    for k in range(11):
        count = int(rng.integers(900, 4000))
        path = folder / f"{k}.wav"
        soundfile.write(path, rng.normal(size=count) * 0.1, 8000, subtype="FLOAT")
        labels = tuple(int(label) for label in rng.integers(1, 5, size=rng.integers(0, 6)))
        made.append(Examined(Utterance(str(path), count / 8000, "x"), "x", labels, count))
    return made


def test_a_plan_holds_each_utterance_once_and_pads_little():
    rng = np.random.default_rng(0)
    num_samples = rng.integers(8000, 80000, size=1003)
    batches = plan_epoch(num_samples, batch_size=16, seed=1, epoch=0)
    assert sorted(np.concatenate(batches).tolist()) == list(range(1003))
    assert len(batches) == num_batches(1003, batch_size=16) == 63
    padded = sum(num_samples[batch].max() * len(batch) for batch in batches)
    assert 1 - num_samples.sum() / padded < 0.1


def test_plans_differ_by_epoch_and_seed_and_repeat_for_the_same():
    num_samples = np.arange(100, 200)
    plans = {(s, e): plan_epoch(num_samples, batch_size=8, seed=s, epoch=e) for s in (0, 1) for e in (0, 1)}
    flat = {key: np.concatenate(plan).tolist() for key, plan in plans.items()}
    assert len({tuple(order) for order in flat.values()}) == 4
    assert flat[0, 1] == np.concatenate(plan_epoch(num_samples, batch_size=8, seed=0, epoch=1)).tolist()


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


def test_a_resumed_stream_sees_the_very_next_batches(examples):
    whole = list(training_batches(examples, config=CONFIG).take(10))
    for start in (1, 3, 7):  # an epoch has 3 batches
        resumed = training_batches(examples, config=CONFIG, start_step=start).take(10 - start)
        for expected, batch in zip(whole[start:], resumed, strict=True):
            for key, value in expected.items():
                np.testing.assert_array_equal(value, batch[key], err_msg=key)


def test_an_utterance_is_augmented_anew_in_each_epoch(examples):
    versions = {}
    for batch in training_batches(examples, config=CONFIG).take(9):
        for row, index in enumerate(batch["index_B"].numpy()):
            versions.setdefault(int(index), []).append(batch["samples_BN"][row, : batch["num_samples_B"][row]].numpy())
    assert all(len(values) == 3 for values in versions.values())
    assert not any(a.shape == b.shape and np.allclose(a, b) for a, b, _ in versions.values())
