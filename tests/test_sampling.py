"""The order of batches: every utterance its due, little padding, the same for a seed, from any step on."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("tensorflow", reason="batches are tf.data")

from speechgru.dataset import sampling
from speechgru.dataset.sampling import NUM_LENGTH_DRAWS, Part, Sampler, draw_lengths, heard_seconds, padding_share


def make(num_frames, **options):
    return Sampler(np.asarray(num_frames), **{"batch_size": 4, "seed": 0, **options})


def flat(batches):
    return np.concatenate([batch.indices for batch in batches]).tolist()


@pytest.mark.parametrize(("first", "count"), [(0, 5), (1, 5), (2, 1), (7, 10), (90, 10)])
def test_numbers_are_drawn_for_a_part_alone_and_are_those_of_the_whole(first, count):
    whole = np.random.default_rng([3, 3, 1]).random((100, NUM_LENGTH_DRAWS), np.float32)
    np.testing.assert_array_equal(draw_lengths(3, 1, 100), whole)
    np.testing.assert_array_equal(draw_lengths(3, 1, count, first=first), whole[first : first + count])


def test_a_tiny_part_beside_a_large_one_costs_nothing_of_the_large_one(monkeypatch):
    drawn = []
    draw = sampling.draw_lengths
    monkeypatch.setattr(sampling, "draw_lengths", lambda *args, **more: drawn.append(args[2]) or draw(*args, **more))
    sampler = Sampler(np.full(2010, 50), parts=[Part(2000), Part(10)], weights=[1, 1], batch_size=16, seed=0)
    sampler.plan_epoch(0)
    assert sum(drawn) < 2 * 2010 + 2000, "as many numbers as utterances are drawn, and at most a pass more of each part"


@given(st.lists(st.integers(0, 500), min_size=1, max_size=200), st.integers(1, 20), st.integers(0, 3))
def test_an_epoch_holds_each_utterance_once(num_frames, batch_size, epoch):
    batches = make(num_frames, batch_size=batch_size).plan_epoch(epoch)
    assert sorted(flat(batches)) == list(range(len(num_frames)))
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    assert all((batch.passes == epoch).all() for batch in batches)


@given(st.lists(st.integers(0, 500), min_size=1, max_size=200), st.integers(500, 3000))
def test_batches_by_frames_hold_no_more_than_that_padding_included(num_frames, batch_frames):
    sampler = make(num_frames, batch_frames=batch_frames)
    batches = sampler.plan_epoch(0)
    assert sorted(flat(batches)) == list(range(len(num_frames)))
    assert max(sampler.num_frames[batch.indices].max() * len(batch) for batch in batches) <= batch_frames


def test_batches_by_frames_are_filled():
    rng = np.random.default_rng(0)
    sampler = make(rng.integers(100, 1500, size=5000), batch_frames=20_000)
    batches = sampler.plan_epoch(0)
    real = sampler.num_frames.sum()
    assert len(batches) < 1.2 * real / 20_000
    assert padding_share(sampler, batches, 0) < 0.1


def test_padding_is_little_and_counted_right():
    rng = np.random.default_rng(0)
    sampler = make(rng.integers(50, 500, size=1003), batch_size=16)
    batches = sampler.plan_epoch(0)
    assert len(batches) == 63
    padded = np.concatenate([np.full(len(b), sampler.num_frames[b.indices].max()) for b in batches])
    share = padding_share(sampler, batches, 0)
    assert share == pytest.approx(1 - sampler.num_frames.sum() / padded.sum())
    assert 0 < share < 0.1


def test_orders_differ_by_epoch_and_seed_and_repeat_for_the_same():
    orders = {(s, e): flat(make(np.arange(100), seed=s).plan_epoch(e)) for s in (0, 1) for e in (0, 1)}
    assert len({tuple(order) for order in orders.values()}) == 4
    assert orders[0, 1] == flat(make(np.arange(100)).plan_epoch(1))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_frames": 300},
        {"parts": [Part(20), Part(17)], "weights": [3, 1]},
        {"parts": [Part(20, (5, 8, 7)), Part(17)], "batch_frames": 250},
    ],
)
def test_the_stream_from_any_step_is_the_streams_own_tail(options):
    num_frames = np.random.default_rng(1).integers(1, 200, size=37)
    whole = list(itertools.islice(make(num_frames, **options).batches_from(0), 60))
    epochs = [epoch for epoch, _ in whole]
    assert epochs == sorted(epochs) and epochs[0] == 0 and epochs[-1] > 2
    for start in (1, 9, 10, 25, 47):
        tail = itertools.islice(make(num_frames, **options).batches_from(start), 60 - start)
        for (epoch, expected), (resumed_epoch, batch) in zip(whole[start:], tail, strict=True):
            assert epoch == resumed_epoch
            np.testing.assert_array_equal(expected.indices, batch.indices)
            np.testing.assert_array_equal(expected.passes, batch.passes)


@given(
    st.lists(st.tuples(st.integers(1, 60), st.floats(0.1, 10)), min_size=1, max_size=4),
    st.integers(1, 6),
)
def test_a_mixture_draws_each_part_by_its_weight_and_goes_round_in_it(parts_weights, epochs):
    counts, weights = zip(*parts_weights, strict=True)
    total = sum(counts)
    sampler = make(np.ones(total), parts=[Part(count) for count in counts], weights=weights)
    draws = [sampler.draw_epoch(epoch) for epoch in range(epochs)]
    assert all(len(draw) == total for draw in draws)
    indices = np.concatenate([draw.indices for draw in draws])
    borders = np.cumsum([0, *counts])
    for (start, end), weight in zip(itertools.pairwise(borders), weights, strict=True):
        times = np.bincount(indices[(indices >= start) & (indices < end)] - start, minlength=end - start)
        assert times.max() - times.min() <= 1  # nobody again before everybody
        assert abs(times.sum() - epochs * total * weight / sum(weights)) <= epochs
    pairs = np.concatenate([np.stack([draw.indices, draw.passes], axis=1) for draw in draws])
    assert len(np.unique(pairs, axis=0)) == len(pairs)  # so that no two draws are augmented alike


def test_blocks_are_read_few_at_a_time():
    blocks = (50,) * 40
    draws = make(np.ones(2000), parts=[Part(2000, blocks)]).draw_epoch(0)
    assert sorted(draws.indices.tolist()) == list(range(2000))
    for start in range(0, 2000, 400):
        assert len(set((draws.indices[start : start + 400] // 50).tolist())) == 8
    assert (np.diff(draws.indices[:400]) != 1).mean() > 0.9


def test_what_augmentation_makes_longer_stands_with_its_like():
    rng = np.random.default_rng(0)

    def augmented(num_frames, length_draws, epoch):
        return (num_frames + (100 + 100 * epoch) * length_draws[:, 1]).astype(np.int32)

    sampler = make(rng.integers(30, 100, size=2000), batch_size=16, augmented=augmented)
    plain = make(sampler.num_frames, batch_size=16)
    for epoch in (0, 3):
        assert padding_share(sampler, sampler.plan_epoch(epoch), epoch) < 0.05
        assert padding_share(sampler, plain.plan_epoch(epoch), epoch) > 0.2


def test_length_draws_do_not_depend_on_what_comes_after():
    few, many = draw_lengths(3, 1, 10), draw_lengths(3, 1, 1000)
    np.testing.assert_array_equal(few, many[:10])
    assert many.min() >= 0 and many.max() < 1 and abs(many.mean() - 0.5) < 0.05
    assert not (draw_lengths(3, 2, 10) == few).any()


def test_what_training_hears_is_counted_by_its_sound():
    words_and_sentences = make([50] * 900 + [400] * 100 + [2000], batch_size=16)
    assert heard_seconds(words_and_sentences, frame_seconds=0.01) == {"typical": 0.5, "longest": 20.0}
    one_is_longer = make([50] * 900 + [400] * 1000 + [420], batch_size=16)
    assert heard_seconds(one_is_longer, frame_seconds=0.01) == {"typical": 4.0, "longest": 4.2}
    twice = make([50] * 900 + [400] * 300, batch_size=16, augmented=lambda frames, draws, epoch: 2 * frames)
    assert heard_seconds(twice, frame_seconds=0.01) == {"typical": 8.0, "longest": 8.0}
    parts = [Part(900), Part(300)]
    weighted = make([50] * 900 + [400] * 300, batch_size=16, parts=parts, weights=[99.0, 1.0])
    assert heard_seconds(weighted, frame_seconds=0.01)["typical"] == 0.5


def test_an_utterance_longer_than_a_batch_stands_alone():
    batches = make([10, 900, 900, 20], batch_frames=800).plan_epoch(0)
    assert sorted(tuple(sorted(batch.indices.tolist())) for batch in batches) == [(0, 3), (1,), (2,)]


def test_wrong_parts_are_reported():
    with pytest.raises(ValueError, match="add up"):
        make([1, 2, 3], parts=[Part(2)])
    with pytest.raises(ValueError, match="no utterances"):
        next(make([]).batches_from(0))
