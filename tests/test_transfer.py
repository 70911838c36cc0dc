"""Starting from another run: what is carried over, what is new, what stays as it is, what is refused."""

import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from speechgru.config.beginning import require_trained_labels
from speechgru.config.load import save_config
from speechgru.config.sections import RunConfig
from speechgru.ctc import ctc_loss
from speechgru.errors import BundleError, ConfigError, TextError, UserError
from speechgru.model.build import build_model
from speechgru.runs import RunFolder, load_checkpoint, save_checkpoint
from speechgru.text import Vocabulary
from speechgru.train.spelling import Spelling
from speechgru.train.transfer import freeze, start_from

LETTERS = Vocabulary(" abc")


def small_config(*, sample_rate=8000, features=None, model=None, seed=0):
    return RunConfig.model_validate(
        {
            "data": {"sample_rate": sample_rate},
            "features": {"n_mels": 8, **(features or {})},
            "model": {"units": 6, "subsampling_channels": 5, "normalization": "batch", **(model or {})},
            "train": {"seed": seed},
        }
    )


@pytest.fixture(scope="module", name="source")
def _source(tmp_path_factory):
    """A run's folder: weights as training might leave them, corpus statistics and moving averages included."""
    path = tmp_path_factory.mktemp("source")
    config = small_config(seed=7, model={"dropout": 0.0})
    model = build_model(config, len(LETTERS))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(np.abs(rng.normal(size=weight.shape)) + 0.1)
    folder = RunFolder(path)
    save_config(folder.config, config)
    LETTERS.save(folder.vocabulary)
    arrays = {f"model/{k}": variable.numpy() for k, variable in enumerate(model.variables)}
    save_checkpoint(folder.best, arrays, {"step": 1})
    return path, model


def build(vocabulary, config=None, **options):
    return build_model(config or small_config(), len(vocabulary), **options)


def weights_by_layer(model):
    """Of the front end's and encoder's layers."""
    layers = [*model.front_end.model.layers, *model.encoder.model.layers]
    return {layer.name: layer.get_weights() for layer in layers if layer.weights}


def assert_same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_the_same_vocabulary_carries_everything_over(source, precision):
    path, model_there = source
    model = build(LETTERS, precision=precision)
    transferred = start_from(path, model, config=small_config(), vocabulary=LETTERS)
    assert (transferred.source, transferred.num_kept, transferred.num_new, transferred.entries_new) == (path, 4, 0, ())
    there, here = weights_by_layer(model_there), weights_by_layer(model)
    assert list(there) == list(here)
    assert {"normalization", "subsampling", "norm_0", "gru_0", "norm_1", "gru_1", "logits"} == set(here)
    for name in here:
        assert_same(here[name], there[name])


def test_another_vocabulary_keeps_the_columns_that_both_have_and_makes_the_others_anew(source):
    path, model_there = source
    vocabulary = Vocabulary("cé a7")
    model = build(vocabulary)
    fresh = model.encoder.logits.layer.get_weights()
    transferred = start_from(path, model, config=small_config(), vocabulary=vocabulary)
    assert (transferred.num_kept, transferred.num_new, transferred.entries_new) == (3, 2, ("é", "7"))
    there, here = weights_by_layer(model_there), weights_by_layer(model)
    for name in here.keys() - {"logits"}:
        assert_same(here[name], there[name])
    for weight, weight_there, made in zip(here["logits"], there["logits"], fresh, strict=True):
        # Labels here: blank, c, é, space, a, 7; there: blank, space, a, b, c.
        np.testing.assert_array_equal(weight[..., [0, 1, 3, 4]], weight_there[..., [0, 4, 1, 2]])
        np.testing.assert_array_equal(weight[..., [2, 5]], made[..., [2, 5]])


def test_words_share_nothing_with_characters_but_the_blank(source):
    path, model_there = source
    vocabulary = Vocabulary(["a", "b", "lamp"], unit="word")
    model = build(vocabulary)
    fresh = model.encoder.logits.layer.get_weights()
    transferred = start_from(path, model, config=small_config(), vocabulary=vocabulary)
    assert (transferred.num_kept, transferred.entries_new) == (0, ("a", "b", "lamp"))
    last_there, last = weights_by_layer(model_there)["logits"], weights_by_layer(model)["logits"]
    for weight, weight_there, made in zip(last, last_there, fresh, strict=True):
        np.testing.assert_array_equal(weight[..., 0], weight_there[..., 0])
        np.testing.assert_array_equal(weight[..., 1:], made[..., 1:])


def with_words(path, words):
    """Gives a run of letters a second head over words, as the base has it; returns its kernel and bias."""
    folder = RunFolder(path)
    Vocabulary(words, unit="word").save(folder.words)
    arrays, state = load_checkpoint(folder.best)
    rng = np.random.default_rng(3)
    depth = next(array.shape[0] for array in reversed(list(arrays.values())) if array.ndim == 2)
    head = [rng.normal(size=shape).astype(np.float16) for shape in ((depth, len(words) + 1), (len(words) + 1,))]
    save_checkpoint(folder.best, arrays | {f"words/{k}": array for k, array in enumerate(head)}, state)
    return head


def test_words_that_a_run_of_letters_knows_beside_them_are_taken_over(source, tmp_path):
    path, model_there = source
    shutil.copytree(path, tmp_path / "base")
    head = with_words(tmp_path / "base", ["lamp", "on", "<unk>"])
    vocabulary = Vocabulary.with_letters(["off", "on", "lamp"], "ab")
    model = build(vocabulary)
    spelling = Spelling(model, vocabulary, small_config().train)
    fresh = model.encoder.logits.layer.get_weights()
    transferred = start_from(tmp_path / "base", model, config=small_config(), vocabulary=vocabulary, spelling=spelling)
    assert (transferred.num_kept, transferred.entries_new) == (3, ("off",))
    for weight, weight_there, made in zip(model.encoder.logits.layer.get_weights(), head, fresh, strict=True):
        # Labels here: blank, off, on, lamp, <unk>; there: blank, lamp, on, <unk>. Its own blank, not that of letters.
        np.testing.assert_array_equal(weight[..., [0, 2, 3, 4]], weight_there[..., [0, 2, 1, 3]])
        np.testing.assert_array_equal(weight[..., 1], made[..., 1])
    letters_there = weights_by_layer(model_there)["logits"]
    for weight, weight_there in zip(spelling.layer.get_weights(), letters_there, strict=True):
        np.testing.assert_array_equal(weight[..., [0, 2, 3]], weight_there[..., [0, 2, 3]])

    # A run of letters takes the letters, and one whose words are all known may keep its last layer.
    model = build(LETTERS)
    assert start_from(tmp_path / "base", model, config=small_config(), vocabulary=LETTERS).num_new == 0
    assert_same(weights_by_layer(model)["logits"], letters_there)
    start = {"start_from": str(tmp_path / "base"), "freeze": ["logits"]}
    frozen = small_config().model_copy(update={"train": small_config().train.model_copy(update=start)})
    require_trained_labels(frozen, Vocabulary(["on", "lamp"], unit="word"))
    with pytest.raises(ConfigError, match=r"1 labels are new to .*base and could not be learnt \('off'\)"):
        require_trained_labels(frozen, Vocabulary(["on", "off"], unit="word"))

    words = RunFolder(tmp_path / "base").words
    lines = words.read_text()
    words.write_text(lines.replace("on\n", "on\nnew\n"))
    with pytest.raises(
        BundleError, match=r"words\.txt: has 4 entries, and the weights in best\.npz are of 3; one of the"
    ):
        start_from(tmp_path / "base", build(vocabulary), config=small_config(), vocabulary=vocabulary)
    words.write_text(lines)
    arrays, state = load_checkpoint(RunFolder(tmp_path / "base").best)
    save_checkpoint(RunFolder(tmp_path / "base").best, {k: v for k, v in arrays.items() if "words" not in k}, state)
    with pytest.raises(BundleError, match=r"best\.npz: the weights of the words in words\.txt are missing"):
        start_from(tmp_path / "base", build(vocabulary), config=small_config(), vocabulary=vocabulary)


def test_the_head_that_learns_letters_takes_over_the_characters_of_the_other_run(source):
    path, model_there = source
    vocabulary = Vocabulary.with_letters(["a", "lamp"], "cz")
    model = build(vocabulary)
    spelling = Spelling(model, vocabulary, small_config().train)
    fresh = spelling.layer.get_weights()
    transferred = start_from(path, model, config=small_config(), vocabulary=vocabulary, spelling=spelling)
    assert (transferred.num_kept, transferred.entries_new) == (0, ("a", "lamp", "<unk>"))
    for weight, weight_there, made in zip(
        spelling.layer.get_weights(), weights_by_layer(model_there)["logits"], fresh, strict=True
    ):
        # Labels here: blank, space, c, z; there: blank, space, a, b, c.
        np.testing.assert_array_equal(weight[..., [0, 1, 2]], weight_there[..., [0, 1, 4]])
        np.testing.assert_array_equal(weight[..., 3], made[..., 3])


def test_the_head_that_learns_letters_is_taken_over_from_a_run_that_has_one(tmp_path):
    config, there = small_config(), Vocabulary.with_letters(["lamp"], "ab")
    model = build(there)
    spelling = Spelling(model, there, config.train)
    folder = RunFolder(tmp_path)
    save_config(folder.config, config)
    there.save(folder.vocabulary)
    parts = {"model": model.variables, "spelling": spelling.layer.variables}
    arrays = {f"{part}/{k}": variable.numpy() for part, held in parts.items() for k, variable in enumerate(held)}
    save_checkpoint(folder.best, arrays, {"step": 1})
    here = Vocabulary.with_letters(["lamp", "on"], "bx")
    model_here = build(here)
    own = Spelling(model_here, here, config.train)
    transferred = start_from(tmp_path, model_here, config=config, vocabulary=here, spelling=own)
    assert (transferred.num_kept, transferred.entries_new) == (2, ("on",)), "lamp and <unk>"
    for weight, weight_there in zip(own.layer.get_weights(), spelling.layer.get_weights(), strict=True):
        np.testing.assert_array_equal(weight[..., [0, 1, 2]], weight_there[..., [0, 1, 3]])


def test_a_model_of_another_shape_is_refused_with_every_key_and_both_values(source):
    path, _ = source
    config = small_config(sample_rate=16000, features={"deltas": 1}, model={"units": 7, "normalization": "layer"})
    with pytest.raises(ConfigError) as caught:
        start_from(path, build(LETTERS, config), config=config, vocabulary=LETTERS)
    message = str(caught.value)
    assert str(path) in message
    assert "data.sample_rate is 8000 there and 16000 here; features.deltas is 0 there and 1 here; " in message
    assert "model.units is 6 there and 7 here; model.normalization is batch there and layer here." in message
    assert "(data.sample_rate=8000 features.deltas=0 model.units=6 model.normalization=batch)" in message
    assert "dropout" not in message
    config = small_config(sample_rate=16000, features={"deltas": 1, "n_mels": 9}, model={"units": 7, "num_layers": 1})
    with pytest.raises(ConfigError, match=r"; and 1 more\. Configure this run as that one was \(.* model\.units=6\)"):
        start_from(path, build(LETTERS, config), config=config, vocabulary=LETTERS)


def test_a_bidirectional_model_can_learn_to_stream(source):
    path, there = source
    chunked = small_config(model={"direction": "chunked", "chunk_frames": 8, "lookahead_frames": 4})
    model = build(LETTERS, chunked)
    start_from(path, model, config=chunked, vocabulary=LETTERS)
    assert_same([*map(np.asarray, model.weights)], [*map(np.asarray, there.weights)])
    forward = small_config(model={"direction": "forward"})
    with pytest.raises(ConfigError, match=r"model\.direction is bidirectional there and forward here"):
        start_from(path, build(LETTERS, forward), config=forward, vocabulary=LETTERS)


def test_what_stands_for_the_same_is_the_same(source):
    path, _ = source
    config = small_config(features={"f_max_hz": 4000.0})  # half of the sample rate: null's meaning
    start_from(path, build(LETTERS, config), config=config, vocabulary=LETTERS)
    config = small_config(features={"f_max_hz": 3000.0})
    with pytest.raises(ConfigError, match=r"features\.f_max_hz is null there and 3000\.0 here"):
        start_from(path, build(LETTERS, config), config=config, vocabulary=LETTERS)


def test_a_source_that_is_no_run_or_damaged_is_told_as_it_is(source, tmp_path):
    path, _ = source
    model = build(LETTERS)
    with pytest.raises(BundleError, match="not a run folder"):
        start_from(tmp_path / "missing", model, config=small_config(), vocabulary=LETTERS)
    folder = RunFolder(tmp_path)
    folder.config.write_bytes(RunFolder(path).config.read_bytes())
    with pytest.raises(UserError, match="no such checkpoint; train the run first"):
        start_from(tmp_path, model, config=small_config(), vocabulary=LETTERS)
    content = RunFolder(path).best.read_bytes()
    folder.best.parent.mkdir(exist_ok=True)
    folder.best.write_bytes(content[: len(content) // 2])
    with pytest.raises(TextError, match="the vocabulary cannot be read"):
        start_from(tmp_path, model, config=small_config(), vocabulary=LETTERS)
    LETTERS.save(folder.vocabulary)
    with pytest.raises(BundleError, match="the checkpoint is damaged"):
        start_from(tmp_path, model, config=small_config(), vocabulary=LETTERS)


def test_frozen_layers_stay_while_the_others_learn():
    model = build(LETTERS)
    frozen = {"subsampling", "norm_0", "gru_0"}
    freeze(model, sorted(frozen))
    optimizer = keras.optimizers.AdamW(0.1)
    optimizer.build(model.trainable_variables)
    moments = [variable for variable in optimizer.variables if len(variable.shape)]
    assert len(moments) == 2 * len(model.trainable_variables)
    before = weights_by_layer(model)
    samples_BN = np.random.default_rng(0).normal(size=[2, 3000]).astype("float32")
    with tf.GradientTape() as tape:
        logits_BSV, num_steps_B = model([samples_BN, np.array([3000, 1700], "int32")], training=True)
        loss = tf.reduce_sum(ctc_loss(logits_BSV, num_steps_B, tf.constant([[1, 2], [3, 0]]), tf.constant([2, 1])))
    optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
    after = weights_by_layer(model)
    for name in before:
        if name in frozen or name == "normalization":
            assert_same(before[name], after[name])
        else:
            for one, other in zip(before[name], after[name], strict=True):
                assert np.abs(one - other).max() > 0, name
    outside = model([samples_BN, np.array([3000, 1700], "int32")], training=False)
    assert np.isfinite(outside[0]).all()


def test_layers_that_cannot_be_frozen_are_refused():
    model = build(LETTERS)
    names = ["subsampling", "norm_0", "gru_0", "norm_1", "gru_1", "logits"]
    with pytest.raises(ConfigError) as caught:
        freeze(model, ["gru_0", "gru_9", "dropout_0"])
    assert f"no layer 'gru_9', 'dropout_0' with weights; it has {', '.join(names)}" in str(caught.value)
    assert model.encoder.layers_with_weights["gru_0"].trainable
    with pytest.raises(ConfigError, match="nothing is left to train"):
        freeze(model, names)
    freeze(model, [])
    freeze(model, names[:-1])
    with pytest.raises(ConfigError, match="nothing is left to train"):
        freeze(model, names[-1:])
    assert [variable.path.split("/")[0] for variable in model.trainable_variables] == ["logits", "logits"]
