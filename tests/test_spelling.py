"""Learning letters beside words: what each head learns from, what the loss is, what is kept and what is left behind."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

tf = pytest.importorskip("tensorflow", reason="training needs TensorFlow")
from losses import Losses  # noqa: E402
from tones import Killed, assert_same_weights, kill_at, make_config  # noqa: E402

from speechgru import train as training  # noqa: E402
from speechgru.config.sections import RunConfig  # noqa: E402
from speechgru.ctc import ctc_loss, quiet_start_loss  # noqa: E402
from speechgru.export import export  # noqa: E402
from speechgru.model.build import build_model  # noqa: E402
from speechgru.runs import RunFolder, load_checkpoint  # noqa: E402
from speechgru.runtime import Recognizer  # noqa: E402
from speechgru.scoring import evaluate  # noqa: E402
from speechgru.text import Vocabulary  # noqa: E402
from speechgru.train.learner import Learner  # noqa: E402
from speechgru.train.spelling import Spelling  # noqa: E402

CONFIG = RunConfig.model_validate(
    {
        "data": {"sample_rate": 8000},
        "features": {"n_mels": 8},
        "model": {"units": 6, "subsampling_channels": 5, "dropout": 0.0},
        "train": {"spelling_weight": 0.25},
    }
)
WORDS = Vocabulary.with_letters(["on", "off", "no"], "fnoa")

pytestmark = pytest.mark.usefixtures("no_pages")


@pytest.fixture(scope="module")
def spelling():
    return Spelling(build_model(CONFIG, len(WORDS)), WORDS, CONFIG.train)


def padded(rows):
    counts = np.array([len(row) for row in rows], np.int32)
    labels_BL = np.full((len(rows), max([1, *counts])), 3, np.int32)  # what stands beyond a row's labels counts nowhere
    for row_L, row in zip(labels_BL, rows, strict=True):
        row_L[: len(row)] = row
    return tf.constant(labels_BL), tf.constant(counts)


def rows_of(labels_BL, num_labels_B):
    return [row[:count].tolist() for row, count in zip(labels_BL.numpy(), num_labels_B.numpy(), strict=True)]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["on", "off", "no", "a", "fan", "oo", "nn"]), max_size=4), min_size=1, max_size=3)
)
def test_one_head_learns_the_words_and_the_other_the_letters_of_the_same_transcripts(spelling, said):
    batch = padded([WORDS.encode(" ".join(words)) for words in said])
    expected = [
        [WORDS.written.encode(word)[0] if word in WORDS.words else WORDS.unknown_label for word in words]
        for words in said
    ]
    assert rows_of(*spelling.words(*batch)) == expected
    characters = ("", *spelling.characters)
    spelt = ["".join(characters[label] for label in row) for row in rows_of(*spelling.letters(*batch))]
    assert spelt == [" ".join(words) for words in said]


def test_the_loss_is_that_of_the_letters_times_its_weight(spelling):
    outputs_BSD = tf.random.stateless_normal([4, 12, spelling.layer.kernel.shape[0]], seed=(1, 2))
    num_steps_B = tf.constant([12, 12, 4, 12])
    batch = padded([WORDS.encode(text) for text in ("on off", "fan a", "no fan", "on <unk>")])
    found = spelling.loss(outputs_BSD, num_steps_B, *batch, quiet_steps=2).numpy()
    logits_BSC = spelling.layer(outputs_BSD)
    expected = ctc_loss(logits_BSC, num_steps_B, *spelling.letters(*batch)).numpy()
    expected += quiet_start_loss(logits_BSC, num_steps_B, quiet_steps=2).numpy()
    np.testing.assert_allclose(found[:2], 0.25 * expected[:2], rtol=1e-5)
    assert (found[2:] == 0.0).all(), "six letters and a repeat do not fit four steps; nobody knows the letters of <unk>"


def test_its_outputs_are_those_that_the_models_own_head_reads(spelling):
    encoder = spelling.encoder
    features_BTD = tf.random.stateless_normal([2, 20, encoder.inputs[0].shape[-1]], seed=(3, 4))
    outputs_BSD, logits_BSV, num_steps_B = encoder([features_BTD, tf.constant([20, 11])])
    last = next(layer for layer in encoder.layers if layer.name == "logits")
    assert logits_BSV.shape[-1] == len(WORDS) == 5 and num_steps_B.shape == [2]
    np.testing.assert_allclose(last(outputs_BSD), logits_BSV, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def spelt_config(tones, tmp_path_factory):
    """The tones' words are two of the labels, and all that is said beside them is spelt."""

    def configure(*overrides):
        folder = tmp_path_factory.mktemp("spelt")
        known = ["text.unit=word", 'text.words=["ab", "ba"]', "text.unknown_words=spell", "text.characters=auto"]
        return make_config(tones, folder / "config.yaml", *known, "train.ema=0.9", *overrides)

    return configure


def test_a_run_learns_both_and_ships_the_words_alone(spelt_config, tones, tmp_path):
    config = spelt_config()
    run = RunFolder(tmp_path / "run")
    losses = Losses()
    training.train(config, run.path, callbacks=[losses])
    assert np.mean(losses.values[-3:]) < np.mean(losses.values[:3])
    vocabulary = Vocabulary.load(run.vocabulary)
    assert vocabulary.words == ("ab", "ba") and set("ab") <= set(vocabulary.letters)
    arrays, _ = load_checkpoint(run.best)
    assert arrays["spelling/0"].shape[-1] == len(vocabulary.letters) + 2
    assert evaluate(run.path, tones / "dev.jsonl")["num_utterances"] > 0
    export(run.path, tmp_path / "bundle", max_wer_change=1.0)
    entries = json.loads((tmp_path / "bundle" / "bundle.json").read_text())["entries"]
    assert entries == ["ab", "ba", "<unk>"] and Recognizer(tmp_path / "bundle").vocabulary == vocabulary.written


def test_a_run_that_was_killed_ends_with_the_same_two_heads(spelt_config, tmp_path):
    config = spelt_config("model.direction=forward", "data.dev=null")
    training.train(config, tmp_path / "whole")
    with pytest.raises(Killed):
        training.train(config, tmp_path / "killed", progress=kill_at(10))
    training.train(config, tmp_path / "killed")
    assert_same_weights(tmp_path / "whole", tmp_path / "killed")


def test_the_models_first_weights_are_those_that_it_has_without_the_second_head(spelt_config):
    config = spelt_config()
    alone = build_model(config, len(WORDS))
    beside = Learner(config, WORDS, form="samples", strategy=tf.distribute.get_strategy())
    for variable, expected in zip(beside.model.variables, alone.variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), expected.numpy())
