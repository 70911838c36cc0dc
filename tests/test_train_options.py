"""What a run can be asked for: optimizers, schedules, when it ends, in which order."""

import functools
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

tf = pytest.importorskip("tensorflow", reason="training needs TensorFlow")
import keras  # noqa: E402
from tones import assert_same_weights, history_of, make_config, weights_of  # noqa: E402

from speechgru import train as training  # noqa: E402
from speechgru.config import RunConfig, save_config  # noqa: E402
from speechgru.config.resuming import resume  # noqa: E402
from speechgru.config.sections import TrainConfig  # noqa: E402
from speechgru.dataset import make_sampler, open_corpus, split  # noqa: E402
from speechgru.dataset.sampling import Draws  # noqa: E402
from speechgru.errors import ConfigError  # noqa: E402
from speechgru.model.build import build_model  # noqa: E402
from speechgru.runs import RunFolder, load_checkpoint  # noqa: E402
from speechgru.text import Vocabulary  # noqa: E402
from speechgru.train.failures import advice_on_memory  # noqa: E402
from speechgru.train.monitor import choose_monitor, describe_dev  # noqa: E402
from speechgru.train.opening import require_same_vocabulary  # noqa: E402
from speechgru.train.state import TrainingState  # noqa: E402
from speechgru.utterances.negatives import add_negatives  # noqa: E402

pytestmark = pytest.mark.usefixtures("no_pages")

OPTIMIZERS = {"adamw": "AdamW", "adam": "Adam", "lion": "Lion", "sgd": "SGD"}

#: What makes a run short to wait for.
SMALL = ("model.direction=forward", "features.normalization=utterance")


@pytest.fixture
def tones_config(tones_config):
    return functools.partial(tones_config, *SMALL)


# -- the corpus's statistics -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalization", ["global", "running"])
def test_whatever_divides_by_the_corpuss_deviation_has_measured_it(normalization, tones_config, tmp_path):
    config = tones_config(f"features.normalization={normalization}", "train.max_steps=1", "train.ema=0.9")
    training.train(config, tmp_path / "run")
    corpus, vocabulary, _ = open_corpus(config)
    front_end = build_model(config, len(vocabulary)).front_end
    mean_D, deviation_D = training.corpus_statistics(front_end, corpus, config=config)
    arrays, _ = weights_of(tmp_path / "run")
    np.testing.assert_allclose(arrays["model/0"], mean_D, rtol=1e-5)
    np.testing.assert_allclose(arrays["model/1"], deviation_D, rtol=1e-5)
    assert deviation_D.min() > 1.5, "white noise and tones: log-mels far from deviation 1"


# -- learning rates --------------------------------------------------------------------------------------------------


def rates(count, *, num_steps=None, **settings):
    options = {"settings": TrainConfig(learning_rate=0.3, **settings), "num_steps": num_steps or count}
    return [training.learning_rate_at(step, **options) for step in range(count)]


@pytest.mark.parametrize(("num_steps", "warmup"), [(50, 10), (50, 1), (7, 6), (50, 0), (1, 0)])
def test_cosine_is_kerass(num_steps, warmup):
    """Keras counts from 0 while it warms up, where a first step with no learning rate would be lost."""
    found = rates(num_steps, warmup_steps=warmup)
    if warmup:
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, num_steps - warmup, warmup_target=0.3, warmup_steps=warmup
        )
    else:
        schedule = keras.optimizers.schedules.CosineDecay(0.3, num_steps)
    expected = [float(schedule(step + 1 if step < warmup else step)) for step in range(num_steps)]
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-7)
    assert max(found) == pytest.approx(0.3) and found[0] > 0


def test_noam_is_its_formula_scaled_to_its_peak():
    """Vaswani et al. 2017, equation 3: min(s^-0.5, s * w^-1.5), here times the peak * w^0.5."""
    warmup, found = 16, rates(200, schedule="noam", warmup_steps=16)
    expected = [0.3 * warmup**0.5 * min(s**-0.5, s * warmup**-1.5) for s in range(1, 201)]
    assert found == pytest.approx(expected)
    assert int(np.argmax(found)) == warmup - 1 and found[warmup - 1] == pytest.approx(0.3)
    assert found[4 * warmup - 1] == pytest.approx(0.15)


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_a_constant_stays_and_a_plateau_falls_by_its_scale(schedule):
    assert rates(20, schedule=schedule, warmup_steps=4) == pytest.approx([0.075, 0.15, 0.225, *[0.3] * 17])
    settings = TrainConfig(learning_rate=0.3, schedule="plateau", warmup_steps=4)
    assert training.learning_rate_at(9, settings=settings, num_steps=20, plateau_scale=0.25) == pytest.approx(0.075)


@given(
    st.sampled_from(["cosine", "noam", "plateau", "constant"]),
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(0, 200),
)
def test_a_learning_rate_is_never_negative_nor_above_its_peak(schedule, num_steps, warmup, step):
    """Steps beyond the end are ones that nobody does; even so a cosine has ended there."""
    settings = TrainConfig(learning_rate=0.3, schedule=schedule, warmup_steps=warmup)
    rate = training.learning_rate_at(step, settings=settings, num_steps=num_steps)
    assert 0 <= rate <= 0.3 * (1 + 1e-9)
    if step < num_steps:
        assert rate > 0
    elif schedule == "cosine":
        assert rate == pytest.approx(0, abs=1e-12)


def test_noam_without_a_warm_up_is_refused():
    with pytest.raises(ValueError, match="set warmup_steps to at least 1"):
        TrainConfig(schedule="noam", warmup_steps=0)


# -- optimizers ------------------------------------------------------------------------------------------------------


def make_layer():
    layer = keras.layers.Dense(3)
    layer.build((None, 4))
    layer.bias.assign([1.0, -2.0, 3.0])
    return layer


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_learns(name):
    keras.utils.set_random_seed(0)  # whatever was made before: lion goes the same way in each step, however far it is
    rng, layer = np.random.default_rng(0), make_layer()
    inputs_BD = rng.normal(size=(64, 4)).astype(np.float32)
    wanted_BD = inputs_BD @ rng.normal(size=(4, 3)).astype(np.float32) + 0.5
    optimizer = training.make_optimizer(TrainConfig(optimizer=name, learning_rate=0.02))
    assert type(optimizer).__name__ == OPTIMIZERS[name]
    losses = []
    for _ in range(300):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((layer(inputs_BD) - wanted_BD) ** 2)
        optimizer.apply(tape.gradient(loss, layer.trainable_variables), layer.trainable_variables)
        losses.append(float(loss))
    assert losses[-1] < losses[0] / 20


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_decay_without_a_gradient_and_biases_do_not(name):
    layer = make_layer()
    kernel, bias = layer.kernel.numpy(), layer.bias.numpy()
    optimizer = training.make_optimizer(TrainConfig(optimizer=name, learning_rate=0.1, weight_decay=0.2))
    optimizer.apply([tf.zeros_like(v.value) for v in layer.trainable_variables], layer.trainable_variables)
    decayed = 1.0 if name == "adam" else 1.0 - 0.1 * 0.2
    np.testing.assert_allclose(layer.kernel.numpy(), decayed * kernel, rtol=1e-6)
    np.testing.assert_array_equal(layer.bias.numpy(), bias)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_optimizer_clips_by_itself(name):
    optimizer = training.make_optimizer(TrainConfig(optimizer=name))
    assert optimizer.clipnorm is optimizer.global_clipnorm is optimizer.clipvalue is None


# -- when it ends ----------------------------------------------------------------------------------------------------


def test_a_run_is_counted_in_epochs_stops_when_its_time_is_over_and_resumes_when_given_more(tones_config, tmp_path):
    """60 utterances in batches of 8: a pass has 8 steps, and a stop that is a float is counted in passes."""
    run = tmp_path / "run"
    common = ("train.max_epochs=0.75", "train.optimizer=lion", "train.schedule=noam", "data.dev=null")
    result = training.train(tones_config(*common, "train.max_minutes=1e-6"), run)
    assert (result.steps, result.ended) == (1, "max_minutes")
    config = tones_config(*common, "train.max_minutes=60")
    result = training.train(config, run, stop_after=0.5)
    assert (result.steps, result.ended) == (4, "stop_after")
    assert load_checkpoint(RunFolder(run).best)[1]["step"] == 4, "without a dev set the last weights are the run's"
    result = training.train(config, run)
    assert (result.steps, result.ended, result.best_wer) == (6, "max_epochs", None)
    assert load_checkpoint(RunFolder(run).best)[1]["step"] == 6
    end = RunFolder(run).read_history()[-1]
    assert (end["kind"], end["reason"], end["epoch"]) == ("end", "max_epochs", 0.625)


def test_a_run_of_constant_rate_is_lengthened_to_what_it_would_have_been(tones_config, tmp_path):
    """An evaluation is due at its former end, so that nothing at all differs."""
    common = ("train.schedule=constant", "train.warmup_steps=1", "train.evaluate_every_steps=2", "train.patience=9")
    long = tones_config(*common, "train.max_steps=4")
    training.train(long, tmp_path / "long")
    assert training.train(tones_config(*common, "train.max_steps=2"), tmp_path / "run").ended == "max_steps"
    said = []
    result = training.train(long, tmp_path / "run", progress=lambda *words: said.append(words[-1]))
    assert (result.steps, result.ended) == (4, "max_steps")
    assert any("train.max_steps (2 there, 4 now)" in note for note in said)
    assert_same_weights(tmp_path / "long", tmp_path / "run")
    assert "max_steps: 4" in RunFolder(tmp_path / "run").config.read_text()


@pytest.mark.parametrize(
    ("overrides", "is_claimed", "advice"),
    [
        ((), False, "raise train.accumulate (now 1), which computes it in parts, or lower data.max_duration_seconds"),
        ((), True, "in parts to the same result; the same command then resumes the run from its last checkpoint"),
        (("model.normalization=batch",), True, "lower data.max_duration_seconds (now 30) or train.batch_size (now 8)"),
        (("train.accumulate=8",), False, "lower data.max_duration_seconds (now 30) or train.batch_size (now 8)"),
        (("train.accumulate=8",), True, "in another --run; the last checkpoint of this one is intact"),
        (("train.batch_frames=4000",), False, "data.max_duration_seconds (now 30) and then train.batch_frames (4,000)"),
    ],
)  # fmt: skip
def test_advice_on_memory_can_be_followed_as_it_is_written(tones_config, tmp_path, overrides, is_claimed, advice):
    folder, config = RunFolder(tmp_path / "run"), tones_config(*overrides)
    folder.checkpoints.mkdir(parents=True)
    save_config(folder.config, config)
    if is_claimed:
        folder.checkpoint(4).write_bytes(b"")
    found = advice_on_memory(folder, config)
    assert advice in found
    if "raise train.accumulate" in found and is_claimed:
        assert resume(folder, tones_config(*overrides, "train.accumulate=2")).notes == ()


@pytest.mark.parametrize(
    ("before", "change"),
    [("abc", r"lost 'c'"), ("a", r"has new 'b'"), ("cb", r"lost 'c' and has new 'a'"), ("ba", "in another order")],
)
def test_a_run_whose_corpus_gives_other_labels_now_is_not_resumed(tones_config, tmp_path, before, change):
    """Its checkpoint would fit where there are as many, and every letter would stand for another."""
    folder = RunFolder(tmp_path / "run")
    folder.checkpoints.mkdir(parents=True)
    save_config(folder.config, tones_config())
    Vocabulary(before).save(folder.vocabulary)
    require_same_vocabulary(folder, Vocabulary("ab"))
    folder.checkpoint(4).write_bytes(b"")
    with pytest.raises(ConfigError, match=rf"\({change}\).*another --run with train\.start_from="):
        require_same_vocabulary(folder, Vocabulary("ab"))
    require_same_vocabulary(folder, Vocabulary(before))


def test_patience_ends_a_run_and_plateaus_lower_its_learning_rate(tones_config, tmp_path):
    """By a learning rate too small to change a word: the first score is the best, and none is lower."""
    config = tones_config(
        "train.optimizer=sgd", "train.schedule=plateau", "train.plateau_patience=2", "train.plateau_factor=0.5",
        "train.learning_rate=1e-7", "train.warmup_steps=0", "train.evaluate_every_steps=1", "train.patience=4",
    )  # fmt: skip
    result = training.train(config, tmp_path / "run")
    assert (result.steps, result.ended) == (5, "patience")
    arrays, state = weights_of(tmp_path / "run")
    assert (state["plateau_scale"], state["evaluations_since_best"]) == (0.25, 4)
    assert arrays["optimizer/1"] == pytest.approx(0.5e-7), "the fifth step's, before the second fall"
    history = RunFolder(tmp_path / "run").read_history()
    assert [r["step"] for r in history if r["kind"] == "dev"] == [1, 2, 3, 4, 5]
    assert history[-1]["reason"] == "patience"
    assert training.train(config, tmp_path / "run").steps == 5, "it stays at its end"


def test_a_score_is_progress_only_where_it_is_lower():
    settings = TrainConfig(schedule="plateau", plateau_patience=2, plateau_factor=0.5)
    state, scales, best, since = TrainingState(), [], [], []
    for step, wer in enumerate([0.9, 0.5, 0.5, 0.6, 0.6, 0.6, 0.4, 0.7, 0.4], start=1):
        state.step = step
        best.append(state.record_score(wer, wer, settings=settings))
        scales.append(state.plateau_scale)
        since.append(state.evaluations_since_best)
    assert best == [True, True, False, False, False, False, True, False, False], "the earlier of two equal ones"
    assert scales == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]
    assert since == [0, 0, 1, 2, 3, 4, 0, 1, 2]
    assert (state.best_wer, state.best_step) == (0.4, 7)


def test_of_equal_rates_the_lower_loss_is_best_and_without_one_the_earlier():
    settings, state, best = TrainConfig(), TrainingState(), []
    scores = [(0.5, 9.0), (0.0, 4.0), (0.0, 5.0), (0.0, 1.0), (0.0, 1.0 - 1e-9), (0.0, None), (0.5, 0.1)]
    for step, (wer, loss) in enumerate(scores, start=1):
        state.step = step
        best.append(state.record_score(wer, wer, settings=settings, loss=loss))
    assert best == [True, True, False, True, False, False, False]
    assert (state.best_wer, state.best_loss, state.best_step, state.evaluations_since_best) == (0.0, 1.0, 4, 3)
    # A missed command counts before any rate, and any rate before the loss.
    state = TrainingState()
    scores = [(0.2, 0.1, 0.0, 9.0), (0.1, 0.0, 0.5, 0.1), (0.2, 0.1, 0.0, 8.0), (0.2, 0.05, 0.0, 9.0)]
    best = [
        state.record_score(wer, cer, settings=settings, misses=misses, loss=loss) for wer, cer, misses, loss in scores
    ]
    assert best == [True, False, True, True]
    # A run from before losses were recorded keeps what it has, until a rate is lower.
    old = {key: value for key, value in state.as_record().items() if key != "best_loss"}
    state = TrainingState.from_record(old, where="old")
    assert not state.record_score(0.2, 0.05, settings=settings, misses=0.0, loss=1.0)
    assert state.record_score(0.2, 0.0, settings=settings, misses=0.0, loss=2.0) and state.best_loss == 2.0


def test_characters_decide_where_words_do_not():
    """Mandarin's word error rate stays at 100 % while characters are learnt; and of equal ones they decide anywhere."""
    for monitor in ("wer", "cer"):
        state = TrainingState()
        best = [
            state.record_score(1.0, cer, settings=TrainConfig(), monitor=monitor) for cer in (0.88, 0.6, 0.6, 0.36, 0.4)
        ]
        assert best == [True, True, False, True, False]
        assert (state.best_wer, state.best_cer, state.evaluations_since_best) == (1.0, 0.36, 1)
    by_words, by_characters = TrainingState(), TrainingState()
    for wer, cer in ((0.5, 0.2), (0.4, 0.3), (0.4, 0.25), (0.6, 0.1)):
        by_words.record_score(wer, cer, settings=TrainConfig(), monitor="wer")
        by_characters.record_score(wer, cer, settings=TrainConfig(), monitor="cer")
    assert (by_words.best_wer, by_words.best_cer) == (0.4, 0.25)
    assert (by_characters.best_wer, by_characters.best_cer) == (0.6, 0.1)


@pytest.mark.parametrize(
    ("references", "monitor"),
    [
        (["turn on the lights"], "wer"),
        (["включи свет"], "wer"),
        (["불을 켜 줘"], "wer"),
        (["打开灯"], "cer"),
        (["打开 灯"], "cer"),
        (["でんきをつけて"], "cer"),
        (["ライトをオン"], "cer"),
        (["เปิดไฟ"], "cer"),
        (["ເປີດໄຟ"], "cer"),
        (["បើកភ្លើង"], "cer"),
        (["打开 wifi", "关闭 wifi"], "wer"),
        (["打开客厅灯 wifi"], "cer"),
        ([""], "wer"),
        (["123"], "wer"),
        ([], "wer"),
    ],
)
def test_the_monitor_is_chosen_by_the_script(references, monitor):
    assert choose_monitor(RunConfig(), references) == monitor
    words = RunConfig.model_validate({"text": {"unit": "word"}})
    assert choose_monitor(words, references) == "wer", "words that are labels stand apart"
    for asked in ("wer", "cer"):
        assert choose_monitor(RunConfig.model_validate({"train": {"monitor": asked}}), references) == asked


def test_a_dev_set_that_is_too_small_or_none_is_said():
    (said,) = describe_dev(["yes no yes no"] * 3)
    assert said.startswith("the dev set has 3 utterances with 12 words, too few") and "folds=5" in said
    (said,) = describe_dev(None)
    assert said.startswith("there is no dev set (data.dev)") and "goes unseen" in said
    assert describe_dev(["yes"] * 20) == []


def test_with_negatives_the_fewest_misses_are_best_and_then_the_lower_rate():
    settings, state = TrainConfig(), TrainingState()
    scores = [(0.9, 1.0), (0.2, 0.5), (0.3, 0.4), (0.1, 0.6), (0.25, 0.4), (0.25, 0.4)]
    best = [state.record_score(wer, wer, settings=settings, misses=misses) for wer, misses in scores]
    assert best == [True, True, True, False, True, False]
    assert (state.best_wer, state.best_misses, state.evaluations_since_best) == (0.25, 0.4, 1)
    old = {key: value for key, value in state.as_record().items() if key not in ("best_misses", "best_cer")}
    state = TrainingState.from_record(old, where="old")
    assert state.best_misses is state.best_cer is None, "from before there were negatives and tie-breaks"
    assert state.record_score(0.25, 0.25, settings=settings) and not state.record_score(0.25, 0.25, settings=settings)


def test_a_run_with_negatives_learns_silence_and_records_its_misses(tones, tones_config, tmp_path):
    import soundfile

    noise_N = 0.05 * np.random.default_rng(0).standard_normal(8000 * 12)
    soundfile.write(tones / "noise.wav", noise_N, 8000)
    added = add_negatives([tones / "noise.wav"], tones / "negatives.jsonl")
    assert added.seconds == 12.0
    config = tones_config(
        f'data.train=["{tones}/train.jsonl", "{tones}/negatives.jsonl"]',
        f"data.negatives={tones}/negatives.jsonl",
        "train.false_accepts_per_hour=0",
        "train.max_steps=4",
        "train.evaluate_every_steps=2",
    )
    result = training.train(config, tmp_path / "run")
    assert (result.num_train, result.num_skipped) == (61, 0), "an empty text is learnt as blanks"
    scored = [record for record in RunFolder(tmp_path / "run").read_history() if record["kind"] == "dev"]
    assert len(scored) == 2
    for record in scored:
        assert 0 <= record["misses"] <= 1 and record["false_accepts_per_hour"] == 0.0
    with pytest.raises(ConfigError, match="negatives pick the best weights together with dev, but dev names no"):
        tones_config(f"data.negatives={tones}/negatives.jsonl", "data.dev=null")


@pytest.mark.parametrize("schedule", ["cosine", "noam", "constant"])
def test_only_the_plateaus_schedule_has_plateaus(schedule):
    settings, state = TrainConfig(schedule=schedule, plateau_patience=1), TrainingState()
    for _ in range(5):
        state.record_score(0.5, 0.5, settings=settings)
    assert (state.plateau_scale, state.evaluations_since_best) == (1.0, 4)


class Seen(keras.callbacks.Callback):
    """Stops at the first evaluation and keeps what it was called with."""

    def __init__(self):
        super().__init__()
        self.reported = []

    def on_train_begin(self, logs=None):
        self.reported.append("begin")

    def on_train_batch_end(self, batch, logs=None):
        self.reported.append(("batch", batch, sorted(logs)))

    def on_epoch_end(self, epoch, logs=None):
        self.reported.append(("epoch", sorted(logs)))
        assert logs["val_wer"] >= 0 and logs["val_cer"] >= 0
        self.wer = logs["val_wer"]
        self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.reported.append("end")


def test_a_callback_sees_the_run_and_may_end_it(tones_config, tmp_path):
    seen = Seen()
    result = training.train(tones_config("train.evaluate_every_steps=2"), tmp_path / "run", callbacks=[seen])
    assert (result.steps, result.ended, result.best_wer) == (2, "callback", seen.wer)
    batches = [("batch", number, ["loss"]) for number in (0, 1)]
    assert seen.reported == ["begin", *batches, ("epoch", ["val_cer", "val_wer"]), "end"]


# -- stopping early --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unstopped(tones, tmp_path_factory):
    """A run of twelve steps in one go, with all that a stop could disturb: an average, plateaus, a dev set."""
    folder = tmp_path_factory.mktemp("unstopped")
    config = make_config(tones, folder / "config.yaml", *SMALL, *STOPPABLE)
    assert training.train(config, folder / "run").ended == "max_steps"
    return folder / "run"


#: Evaluations at steps 4, 8 and 12, each of which may lower the learning rate.
STOPPABLE = (
    "train.evaluate_every_steps=4", "train.checkpoint_every_steps=5", "train.ema=0.5", "train.schedule=plateau",
    "train.plateau_patience=1", "train.patience=9",
)  # fmt: skip


def assert_same_run(one, other):
    assert_same_weights(one, other)
    (arrays, record), (others, other_record) = (load_checkpoint(RunFolder(run).best) for run in (one, other))
    assert record == other_record and arrays.keys() == others.keys()
    assert all(np.array_equal(array, others[name]) for name, array in arrays.items())
    assert history_of(one) == history_of(other)


def test_a_run_that_was_stopped_ends_with_the_weights_of_one_that_was_not(tones_config, unstopped, tmp_path):
    config, run = tones_config(*STOPPABLE), tmp_path / "run"
    for stop, steps in (
        (2, 2),  # before the first evaluation
        (6, 6),  # between two
        (3, 6),  # it is beyond its stop already
        (8, 8),  # where an evaluation is due
    ):
        result = training.train(config, run, stop_after=stop)
        assert (result.steps, result.ended) == (steps, "stop_after")
        assert result.best_wer is not None and RunFolder(run).best.is_file(), "a stopped run can be judged"
        assert RunFolder(run).read_history()[-1]["reason"] == "stop_after"
    assert training.train(config, run, stop_after=100).ended == "max_steps", "a stop beyond the end is none"
    assert_same_run(unstopped, run)


def test_the_evaluation_of_a_stop_is_undone_even_where_it_was_the_best(tones_config, unstopped, tmp_path, monkeypatch):
    """The score of the stop at step 6 is made up: better than everything before and after it."""
    from speechgru.train.recognition import RecognitionLoop

    real = RecognitionLoop._score

    def score(self):
        if self.state.step != 6:
            return real(self)
        self._learner.ship()
        return {"wer": 0.0, "cer": 0.0}

    monkeypatch.setattr(RecognitionLoop, "_score", score)
    config, run = tones_config(*STOPPABLE), tmp_path / "run"
    result = training.train(config, run, stop_after=6)
    assert (result.best_wer, result.best_step) == (0.0, 6)
    assert load_checkpoint(RunFolder(run).best)[1] == {"step": 6, "best_wer": 0.0}
    (stop,) = [record for record in RunFolder(run).read_history() if record.get("at_stop")]
    assert (stop["kind"], stop["step"], stop["best"]) == ("dev", 6, True)
    assert training.train(config, run).best_wer > 0.0
    assert_same_run(unstopped, run)


@pytest.mark.parametrize("stop_after", [0, -3, 0.0, math.nan, True, "3"])
def test_a_stop_that_is_no_number_of_steps_is_refused(tones_config, tmp_path, stop_after):
    with pytest.raises(ConfigError, match="stop_after: expected a number of steps"):
        training.train(tones_config(), tmp_path / "run", stop_after=stop_after)


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.dev=null", "train.schedule=plateau"], r"train\.schedule waits for a better dev score, but data\.dev"),
        (
            ["data.dev=null", "train.patience=3"],
            r"train\.patience waits for a better dev score, but data\.dev names no",
        ),
        (["train.accumulate=9"], r"accumulate \(9\) must not exceed batch_size \(8\)"),
        (["train.schedule=noam", "train.warmup_steps=0"], r"set warmup_steps to at least 1"),
        (["train.optimizer=adagrad"], r"train\.optimizer"),
        (["train.ema=1"], r"train\.ema"),
        (["train.precision=float16"], r"train\.precision"),
        (["train.max_minutes=0"], r"train\.max_minutes"),
    ],
)
def test_what_cannot_be_is_refused(tones_config, overrides, message):
    with pytest.raises(ConfigError, match=message):
        tones_config(*overrides)


def test_more_parts_than_a_batch_by_frames_has_utterances_are_no_fault(tones_config):
    assert tones_config("train.accumulate=9", "train.batch_frames=5000").train.accumulate == 9


# -- the order -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [(), ("data.max_duration_seconds=2.0", "train.batch_frames=500")])
def test_the_first_epoch_may_be_sorted_and_the_second_is_not(tones_config, by):
    config = tones_config("train.sorted_first_epoch=true", "augment.silence_seconds=0", *by)
    corpus, _, _ = open_corpus(config)
    sampler = make_sampler(corpus, config=config)
    longest = []
    for epoch in (0, 1):
        batches = sampler.plan_epoch(epoch)
        assert sorted(np.concatenate([batch.indices for batch in batches])) == list(range(60))
        longest.append([corpus.num_frames[batch.indices].max() for batch in batches])
    assert longest[0] == sorted(longest[0]) and longest[0][0] < longest[0][-1]
    assert longest[1] != sorted(longest[1])
    first = [batch.indices.tolist() for _, batch in itertools.islice(sampler.batches_from(0), len(longest[0]))]
    assert first == [batch.indices.tolist() for batch in sampler.plan_epoch(0)]
    shuffled = make_sampler(corpus, config=tones_config("augment.silence_seconds=0", *by))
    second = [[batch.indices.tolist() for batch in each.plan_epoch(1)] for each in (sampler, shuffled)]
    assert second[0] == second[1], "from the second epoch on it is as if it had not been asked for"


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 5))
def test_replicas_share_every_part_of_a_batch(count, parts, num_replicas):
    batch = Draws(np.arange(count) + 100, np.full(count, 7), np.random.default_rng(0).random((count, 3)))
    shares = [split(batch, parts=parts, replica=r, num_replicas=num_replicas) for r in range(num_replicas)]
    assert {len(share) for share in shares} == {min(parts, count)}
    counted = []
    for same_part in zip(*shares, strict=True):
        assert len({len(draws) for draws, _ in same_part}) == 1, "every replica as many as every other"
        part = np.sort(np.concatenate([draws.indices[weights == 1] for draws, weights in same_part]))
        np.testing.assert_array_equal(part, np.arange(part[0], part[0] + len(part)), "a stretch of the batch")
        counted.append(part)
        for draws, weights in same_part:
            assert weights.dtype == np.float32 and set(weights.tolist()) <= {0.0, 1.0}
            assert set(draws.indices.tolist()) <= set(part.tolist()), "what fills up is of the same part"
            np.testing.assert_array_equal(draws.length_draws, batch.length_draws[draws.indices - 100])
        assert sum(int((weights == 0).sum()) for _, weights in same_part) < num_replicas
    np.testing.assert_array_equal(np.concatenate(counted), batch.indices)
    sizes = [len(part) for part in counted]
    assert max(sizes) - min(sizes) <= 1


# -- another seed ----------------------------------------------------------------------------------------------------


def test_another_seed_gives_another_run(tones_config, unstopped, tmp_path):
    """The same seed gives the same run: a run that is killed before its first checkpoint begins anew (law 7)."""
    training.train(tones_config(*STOPPABLE, "train.seed=1"), tmp_path / "run")
    (one, _), (other, _) = weights_of(unstopped), weights_of(tmp_path / "run")
    assert one.keys() == other.keys()
    trained = [name for name, array in one.items() if name.startswith("model/") and array.dtype == np.float32]
    assert sum(not np.array_equal(one[name], other[name]) for name in trained) > len(trained) / 2
    losses = [
        [r["loss"] for r in RunFolder(run).read_history() if r["kind"] == "train"]
        for run in (unstopped, tmp_path / "run")
    ]  # fmt: skip
    assert losses[0] != losses[1]
