"""A step of training: parts add up, gradients are clipped, what cannot be used changes nothing, averages follow."""

import functools
import itertools
import threading

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="training needs TensorFlow")
import keras  # noqa: E402
from losses import Losses  # noqa: E402
from tones import make_config, weights_of  # noqa: E402

from speechgru import train as training  # noqa: E402
from speechgru.config import save_config  # noqa: E402
from speechgru.config.sections import TrainConfig  # noqa: E402
from speechgru.ctc import ctc_loss  # noqa: E402
from speechgru.dataset import open_corpus, training_batches  # noqa: E402
from speechgru.errors import BundleError  # noqa: E402
from speechgru.model.build import build_model  # noqa: E402
from speechgru.runs import RunFolder, load_checkpoint, save_checkpoint  # noqa: E402
from speechgru.scoring.evaluation import evaluate  # noqa: E402
from speechgru.scoring.predictions import load_run  # noqa: E402
from speechgru.scoring.trained_run import TrainedRun  # noqa: E402
from speechgru.text import Vocabulary  # noqa: E402
from speechgru.train import phases  # noqa: E402
from speechgru.train.ahead import Ahead  # noqa: E402
from speechgru.train.learner import Learner  # noqa: E402
from speechgru.train.state import TrainingState  # noqa: E402
from speechgru.train.step import TrainStep  # noqa: E402

#: A model without dropout and features that stay as they are, so that the same weights give the same gradient.
PLAIN = (
    "model.dropout=0.0",
    "model.direction=forward",
    "augment.frequency_warp_share=0.0",
    "features.normalization=utterance",
    "train.clip_norm=0.5",
    "train.ema=0.5",
)


pytestmark = pytest.mark.usefixtures("no_pages")

#: A run of twelve steps without evaluation or dropout; twelve go over an epoch's end, where a batch holds 4 utterances.
UNSCORED = ("model.dropout=0.0", "model.direction=forward", "data.dev=null")


def losses_of(config, run, **options):
    losses = Losses()
    training.train(config, run, callbacks=[losses], **options)
    return losses.values


@pytest.fixture(scope="module")
def unscored(tones, tmp_path_factory):
    """Losses and folder of that run."""
    folder = tmp_path_factory.mktemp("unscored")
    return losses_of(make_config(tones, folder / "config.yaml", *UNSCORED), folder / "run"), folder / "run"


class Bench:
    """A TrainStep by plain gradient descent, whose state a test can put back."""

    def __init__(self, config):
        self.config = config
        self.corpus, vocabulary, _ = open_corpus(config)
        self.model = build_model(config, len(vocabulary))
        self.optimizer = keras.optimizers.SGD(1.0)
        self.optimizer.build(self.model.trainable_variables)
        self.step = TrainStep(self.model, self.optimizer, config=config, form="samples")
        self._held = [*self.model.variables, *self.optimizer.variables, *self.step.averages]
        self._first = self.state()

    def state(self):
        return [variable.numpy() for variable in self._held]

    def reset(self):
        self.step.drop()
        for variable, value in zip(self._held, self._first, strict=True):
            variable.assign(value)

    def weights(self):
        return [variable.numpy() for variable in self.model.trainable_variables]

    def averages(self):
        return [average.numpy() for average in self.step.averages]

    @functools.cache  # noqa: B019
    def parts(self, number=1, steps=1):
        """The parts of the first steps' batches."""
        train = self.config.train.model_copy(update={"accumulate": number})
        config = self.config.model_copy(update={"train": train})
        return list(itertools.islice(training_batches(self.corpus, config=config), number * steps))

    def gathered(self, *batches, loss_scale=1.0):
        for batch in batches:
            self.step.gather([batch], loss_scale=loss_scale)
        return self.step.reduce(loss_scale=loss_scale)

    def updated(self, *batches, learning_rate=1.0):
        """The outcome and how far each weight moved, from the first state on."""
        self.reset()
        before = self.weights()
        outcome = self.gathered(*batches)
        self.step.apply(outcome, learning_rate=learning_rate)
        return outcome, [after - b for after, b in zip(self.weights(), before, strict=True)]


@pytest.fixture(scope="module")
def only_bench(tones, tmp_path_factory):
    return Bench(make_config(tones, tmp_path_factory.mktemp("bench") / "config.yaml", *PLAIN))


@pytest.fixture
def bench(only_bench):
    only_bench.reset()
    return only_bench


def test_a_run_without_a_dev_score_is_evaluated_by_what_its_newest_checkpoint_would_ship(tones_config, tmp_path):
    """The running average of what is trained, and the rest as it is: nothing else would have been scored there."""
    config = tones_config("train.ema=0.5", 'train.freeze=["subsampling"]', "model.normalization=batch")
    vocabulary = Vocabulary("ab")
    learner = Learner(config, vocabulary, form="samples", strategy=tf.distribute.get_strategy())
    for place, variable in enumerate([*learner.model.variables, *learner.step.averages]):
        variable.assign(tf.fill(variable.shape, tf.cast(place, variable.dtype)))
    folder = RunFolder(tmp_path / "run")
    folder.checkpoints.mkdir(parents=True)
    save_config(folder.config, config)
    vocabulary.save(folder.vocabulary)
    save_checkpoint(folder.checkpoint(20), learner.arrays(), {"step": 20})
    with pytest.raises(BundleError, match="no dev score has chosen weights yet"):
        load_run(folder.path)
    learner.ship()
    trained = TrainedRun(folder.path, newest=True)
    for found, expected in zip(trained.model.variables, learner.shipped.variables, strict=True):
        np.testing.assert_array_equal(found.numpy(), expected.numpy())
    assert trained.note.startswith("the weights are those of step_00000020.npz, the newest checkpoint")


def test_a_prepared_batch_gives_the_same_step_to_the_bit(bench):
    outcome, moved = bench.updated(*bench.parts())
    (prepared,) = bench.step.prepare(bench.parts())
    assert "samples_BN" not in prepared and prepared["features_BTD"].shape[0] == len(prepared["num_samples_B"])
    again, moved_again = bench.updated(prepared)
    assert again == outcome
    for one, other in zip(moved, moved_again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_batch_in_two_towers_gives_the_gradient_of_one(tones, tmp_path, monkeypatch):
    """And each row's loss in its place, where rows are even, odd or only one, and some have nothing to learn from."""
    config = make_config(tones, tmp_path / "config.yaml", *PLAIN, "train.batch_size=16")
    towers = Bench(config)
    assert towers.step.num_towers == 2
    (batch,) = towers.parts()
    monkeypatch.setattr(phases, "TOWERS", 1)
    alone = TrainStep(towers.model, towers.optimizer, config=config, form="samples")
    assert alone.num_towers == 1

    def step_of(step, part):
        towers.reset()
        before = towers.weights()
        ((loss_B, feasible_B),) = step.gather([part])
        outcome = step.reduce()
        step.apply(outcome, learning_rate=1.0)
        return loss_B, feasible_B, outcome, [new - old for new, old in zip(towers.weights(), before, strict=True)]

    for count in (16, 5, 1):
        part = {name: values[:count] for name, values in batch.items()}
        part["num_labels_B"] = tf.where(tf.range(count) == 2, 400, part["num_labels_B"])
        loss_B, feasible_B, outcome, moved = step_of(towers.step, part)
        same_B, same_feasible_B, same, same_moved = step_of(alone, part)
        np.testing.assert_allclose(loss_B, same_B, rtol=1e-5)
        assert feasible_B.tolist() == same_feasible_B.tolist() == [row != 2 for row in range(count)]
        assert (outcome.loss, outcome.gradient_norm) == pytest.approx((same.loss, same.gradient_norm), rel=1e-5)
        assert outcome.num_utterances == count - (count > 2)
        for one, other in zip(moved, same_moved, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    "option", ["train.batch_size=15", "model.normalization=batch", "train.batch_frames=9000", "train.accumulate=2"]
)
def test_rows_that_are_few_or_depend_on_each_other_stay_together(tones, tmp_path, option):
    config = make_config(tones, tmp_path / "config.yaml", *PLAIN, "train.batch_size=16", option)
    assert Bench(config).step.num_towers == 1


def test_the_next_step_is_fetched_while_one_is_computed_and_its_error_is_its_own():
    answers, asked = iter([1, 2, OSError("gone"), 4]), []

    def fetch():
        asked.append(threading.current_thread())
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    ahead = Ahead(fetch)
    assert ahead.take() == 1
    assert ahead.take() == 2, "the third, which is being fetched, fails: that is not known before it is taken"
    with pytest.raises(OSError, match="gone"):
        ahead.take()
    assert len(asked) == 3, "after an error nothing is fetched"
    assert ahead.take(more=False) == 4
    ahead.close()
    assert len(asked) == 4 and len(set(asked)) == 1 and threading.current_thread() not in asked


def test_the_log_mel_of_a_step_is_computed_by_compiled_code(bench, monkeypatch):
    kernels = pytest.importorskip("speechgru.features.kernels", reason="the compiled log-mel needs Numba")
    calls, real = [], kernels.log_mel
    monkeypatch.setattr(kernels, "log_mel", lambda *arguments: calls.append(len(arguments[0])) or real(*arguments))
    bench.gathered(*bench.parts())
    assert calls and set(calls) == {len(bench.parts()[0]["num_samples_B"])}


def gradients_by_hand(model, batch):
    """The mean loss of a batch and its gradient, by Keras's and TensorFlow's own means."""
    with tf.GradientTape() as tape:
        logits_BSV, num_steps_B = model([batch["samples_BN"], batch["num_samples_B"]], training=True)
        loss_B = ctc_loss(logits_BSV, num_steps_B, batch["labels_BL"], batch["num_labels_B"])
        # A forward model's first 200 ms, ten steps, or the half of a shorter row, ought to be blanks.
        is_quiet_BS = tf.sequence_mask(tf.minimum(num_steps_B // 2, 10), tf.shape(logits_BSV)[1])
        blank_BS = tf.nn.log_softmax(logits_BSV)[:, :, 0]
        loss = tf.reduce_mean(loss_B - tf.reduce_sum(tf.where(is_quiet_BS, blank_BS, 0.0), axis=1))
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    return float(loss), [gradient.numpy().astype(np.float64) for gradient in gradients]


def norm_of(arrays):
    return np.sqrt(sum(np.square(array, dtype=np.float64).sum() for array in arrays))


def assert_close(arrays, others, **tolerance):
    for array, other in zip(arrays, others, strict=True):
        np.testing.assert_allclose(array, other, **tolerance)


def with_row(batch, row, **values):
    """A batch with some fields of one row replaced."""
    changed = {name: values_B.numpy().copy() for name, values_B in batch.items()}
    for name, value in values.items():
        array = changed[name]
        if array.ndim == 2 and len(value) > array.shape[1]:
            array = np.pad(array, [(0, 0), (0, len(value) - array.shape[1])])
        array[row] = 0
        if array.ndim == 2:
            array[row, : len(value)] = value
        else:
            array[row] = value
        changed[name] = array
    return {name: tf.constant(array) for name, array in changed.items()}


def spelled_too_long(batch, row):
    return with_row(batch, row, labels_BL=[1, 2] * 200, num_labels_B=400)


def without_row(batch, row):
    return {name: tf.concat([values_B[:row], values_B[row + 1 :]], axis=0) for name, values_B in batch.items()}


# -- the gradient and the clip ---------------------------------------------------------------------------------------


def test_a_step_goes_down_the_gradient_of_the_mean_loss_clipped_as_a_whole(bench):
    (batch,) = bench.parts()
    loss, gradients = gradients_by_hand(bench.model, batch)
    norm, clip = norm_of(gradients), bench.config.train.clip_norm
    assert norm > 10 * clip, "a gradient that is clipped"
    outcome, moves = bench.updated(batch, learning_rate=0.3)
    assert outcome.is_finite and outcome.num_utterances == 8
    assert outcome.loss == pytest.approx(loss, rel=1e-5)
    assert outcome.gradient_norm == pytest.approx(norm, rel=1e-4), "of all variables together, before clipping"
    assert norm_of(moves) == pytest.approx(0.3 * clip, rel=1e-4)
    assert_close(moves, [-0.3 * clip / norm * gradient for gradient in gradients], rtol=1e-3, atol=1e-6)
    assert any(len(move.shape) == 1 and np.abs(move).max() > 0 for move in moves), "biases learn too"


def test_a_small_gradient_is_not_clipped(bench, monkeypatch):
    (batch,) = bench.parts()
    monkeypatch.setattr(bench.step, "_settings", bench.config.train.model_copy(update={"clip_norm": 1e6}))
    outcome, moves = bench.updated(batch, learning_rate=1e-3)
    assert norm_of(moves) == pytest.approx(1e-3 * outcome.gradient_norm, rel=1e-4)


def test_the_scale_of_the_loss_leaves_no_trace(bench):
    (batch,) = bench.parts()
    plain, moves = bench.updated(batch)
    bench.reset()
    before = bench.weights()
    scaled = bench.gathered(batch, loss_scale=1024.0)
    assert (scaled.loss, scaled.num_utterances) == (plain.loss, plain.num_utterances)
    assert scaled.gradient_norm == pytest.approx(plain.gradient_norm, rel=1e-6)
    bench.step.apply(scaled, learning_rate=1.0, loss_scale=1024.0)
    assert_close([after - b for after, b in zip(bench.weights(), before, strict=True)], moves, rtol=1e-5, atol=1e-7)


# -- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [2, 3, 8])
def test_parts_add_up_to_their_batch(bench, number):
    outcome, moves = bench.updated(*bench.parts())
    parts = bench.parts(number)
    assert [int(part["parts_left_B"][0]) for part in parts] == list(range(number))[::-1]
    in_parts, moves_in_parts = bench.updated(*parts)
    assert in_parts.num_utterances == outcome.num_utterances == 8
    assert in_parts.loss == pytest.approx(outcome.loss, rel=1e-5)
    assert in_parts.gradient_norm == pytest.approx(outcome.gradient_norm, rel=1e-4)
    assert_close(moves_in_parts, moves, rtol=1e-3, atol=1e-6)


def test_accumulation_gives_the_same_run(unscored, tones_config, tmp_path):
    losses, run = unscored
    in_parts = losses_of(tones_config(*UNSCORED, "train.accumulate=4"), tmp_path / "run")
    assert len(losses) == 12 and losses[-1] < losses[0]
    assert in_parts == pytest.approx(losses, rel=1e-4)
    (whole, _), (accumulated, _) = weights_of(run), weights_of(tmp_path / "run")
    for name, array in whole.items():
        if name.startswith("model/"):
            np.testing.assert_allclose(accumulated[name], array, rtol=1e-3, atol=1e-3, err_msg=name)


# -- what changes nothing --------------------------------------------------------------------------------------------


def test_a_dropped_step_leaves_everything_as_it_was(bench):
    batch, later = bench.parts(steps=2)
    bench.step.apply(bench.gathered(batch), learning_rate=0.1)
    before = bench.state()
    bench.gathered(batch)
    bench.step.drop()
    for held, was in zip(bench.state(), before, strict=True):
        np.testing.assert_array_equal(held, was)
    after_drop = bench.gathered(later)
    bench.step.drop()
    assert bench.gathered(later) == after_drop, "nothing of the dropped gradient is left"
    assert after_drop.num_utterances == 8


def test_a_gradient_that_is_not_finite_is_told_and_dropping_forgets_it(bench):
    (batch,) = bench.parts()
    clean = bench.gathered(batch)
    bench.step.drop()
    damaged = with_row(batch, 2, samples_BN=[np.nan] * 400)
    ((loss_B, feasible_B),) = bench.step.gather([damaged])
    assert not np.isfinite(loss_B[2]) and np.isfinite(np.delete(loss_B, 2)).all() and feasible_B.all()
    assert not bench.step.reduce().is_finite
    bench.step.drop()
    assert bench.gathered(batch) == clean


def test_a_row_of_weight_0_counts_for_nothing(bench):
    (batch,) = bench.parts()
    outcome, moves = bench.updated(without_row(batch, 5))
    for changed in (batch, spelled_too_long(batch, 5)):
        weightless, same_moves = bench.updated(with_row(changed, 5, weight_B=0.0))
        assert weightless.num_utterances == outcome.num_utterances == 7
        assert weightless.loss == pytest.approx(outcome.loss, rel=1e-5)
        assert_close(same_moves, moves, rtol=1e-3, atol=1e-6)


def test_a_row_that_cannot_be_spelled_has_no_part(bench):
    (batch,) = bench.parts()
    outcome, moves = bench.updated(without_row(batch, 3))
    crowded = spelled_too_long(batch, 3)
    ((_, feasible_B),) = bench.step.gather([crowded])
    assert feasible_B.tolist() == [True] * 3 + [False] + [True] * 4
    others, same_moves = bench.updated(crowded)
    assert others.num_utterances == 7 and others.loss == pytest.approx(outcome.loss, rel=1e-5)
    assert_close(same_moves, moves, rtol=1e-3, atol=1e-6)


def test_a_batch_of_nothing_has_no_loss_and_no_gradient(bench):
    (batch,) = bench.parts()
    for row in range(8):
        batch = with_row(batch, row, weight_B=0.0)
    outcome = bench.gathered(batch)
    assert np.isnan(outcome.loss) and not outcome.is_finite
    assert (outcome.num_utterances, outcome.gradient_norm) == (0, 0.0)


def test_what_is_asked_is_reported(bench):
    assert bench.step.reduce(asked=1_000_001).asked == 1_000_001


# -- the running average ---------------------------------------------------------------------------------------------


def averaged(weights, decay):
    """Averages after each update in float64, from the weights before the first and after each."""
    average, averages = [w.astype(np.float64) for w in weights[0]], []
    for number, after in enumerate(weights[1:], start=1):
        keep = min(decay, number / (9 + number))
        average = [keep * a + (1 - keep) * w for a, w in zip(average, after, strict=True)]
        averages.append(average)
    return averages


def test_the_average_is_its_formulas(bench):
    weights, averages = [bench.weights()], []
    for number, batch in enumerate(bench.parts(steps=12)):  # past the ninth the decay is the configured 0.5
        bench.step.apply(bench.gathered(batch), learning_rate=0.1)
        weights.append(bench.weights())
        averages.append(bench.averages())
        if number == 5:  # a step that is dropped is none
            bench.gathered(batch)
            bench.step.drop()
    for expected, found in zip(averaged(weights, 0.5), averages, strict=True):
        assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_the_average_is_what_is_scored_and_kept(tones, tones_config, tmp_path):
    config = tones_config(
        "train.ema=0.5", "train.max_steps=11", "train.evaluate_every_steps=11", "train.checkpoint_every_steps=1",
        "train.keep_last=20", "model.direction=forward", "features.normalization=none",
    )  # fmt: skip
    result = training.train(config, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    _, _, shipped = load_run(folder.path)  # best.npz
    is_trained = [any(variable is t for t in shipped.trainable_variables) for variable in shipped.variables]
    first = [variable.numpy() for variable in build_model(config, 3).trainable_variables]
    weights, averages = [first], []
    for path in reversed(folder.list_checkpoints()):
        arrays, _ = load_checkpoint(path)
        weights.append([arrays[f"model/{k}"] for k, trained in enumerate(is_trained) if trained])
        averages.append([arrays[f"average/{k}"] for k in range(sum(is_trained))])
    assert len(averages) == 11
    for expected, found in zip(averaged(weights, 0.5), averages, strict=True):
        assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert result.best_step == 11
    for variable, average, weight in zip(shipped.trainable_variables, averages[-1], weights[-1], strict=True):
        np.testing.assert_array_equal(variable.numpy(), average)
        assert not np.array_equal(average, weight)
    assert evaluate(folder.path, tones / "dev.jsonl")["wer"] == pytest.approx(result.best_wer)


# -- precision -------------------------------------------------------------------------------------------------------


def test_the_scale_of_the_loss_halves_at_an_overflow_and_grows_after_long_peace():
    settings = TrainConfig(precision="mixed_float16")
    state = TrainingState.initial(settings)
    assert state.loss_scale == 2.0**10
    state.dropped_in_a_row, state.steps_since_overflow = 2, 100
    assert state.handle_overflow() and (state.loss_scale, state.steps_since_overflow) == (2.0**9, 0)
    for _ in range(1999):
        state.record_finite_step(settings)
    assert (state.loss_scale, state.steps_since_overflow, state.dropped_in_a_row) == (2.0**9, 1999, 0)
    state.record_finite_step(settings)
    assert (state.loss_scale, state.steps_since_overflow) == (2.0**10, 0)
    resumed = TrainingState.from_record(state.as_record(), where="a file")
    assert resumed == state
    for _ in range(10):
        assert state.handle_overflow()
    assert state.loss_scale == 1.0
    assert not state.handle_overflow() and state.loss_scale == 1.0, "a smaller scale would not mend it"


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_other_precisions_need_no_scale(precision):
    settings = TrainConfig(precision=precision)
    state = TrainingState.initial(settings)
    assert state.loss_scale == 1.0 and not state.handle_overflow()
    for _ in range(2001):
        state.record_finite_step(settings)
    assert state.loss_scale == 1.0


@pytest.mark.parametrize(("precision", "tolerance"), [("mixed_bfloat16", 0.05), ("mixed_float16", 0.01)])
def test_half_precision_learns_as_float32_does(unscored, tones_config, tmp_path, precision, tolerance):
    run = tmp_path / "run"
    losses = losses_of(tones_config(*UNSCORED, f"train.precision={precision}"), run)
    arrays, state = weights_of(run)
    assert {array.dtype for array in arrays.values()} <= {np.dtype(name) for name in ("float32", "int32", "int64")}
    assert state["loss_scale"] == (2.0**10 if precision == "mixed_float16" else 1.0)
    assert state["num_dropped"] == 0
    _, _, shipped = load_run(run)
    assert all(variable.dtype == "float32" for variable in shipped.trainable_variables)
    assert len(losses) == 12 and np.isfinite(losses).all()
    assert losses == pytest.approx(unscored[0], rel=tolerance)
    assert losses != unscored[0], "it really computes otherwise"


def test_a_long_scoring_is_a_stage_of_its_own(monkeypatch):
    from speechgru.train.log import TrainingLog

    clock = iter([0.0, 1.0, 3.0, 10.0, 10.5])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    reported = []
    log = TrainingLog(None, progress=lambda *report: reported.append(report))
    long = log.scoring()
    long("scoring", 32, 96, "")
    long("scoring", 64, 96, "")
    log.scoring()("scoring", 96, 96, "")
    assert reported == [("scoring dev", 64, 96, "")]
