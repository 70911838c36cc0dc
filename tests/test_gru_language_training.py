"""Training GRU language models: the loop of recognisers, over labels."""

import json

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="training needs TensorFlow")
from tones import history_of, weights_of  # noqa: E402

from speechgru.config.language import language_config  # noqa: E402
from speechgru.errors import ConfigError, LanguageError  # noqa: E402
from speechgru.language import GRULanguageModel, Perplexity  # noqa: E402
from speechgru.language.labelled import label_texts, read_texts  # noqa: E402
from speechgru.runs import RunFolder  # noqa: E402
from speechgru.text import TextRules, Vocabulary  # noqa: E402
from speechgru.train.language import train_language_model  # noqa: E402
from speechgru.train.language.loop import padded  # noqa: E402
from speechgru.train.language.model import build_language_model, for_device, text_losses  # noqa: E402
from speechgru.train.language.run import held_out  # noqa: E402
from speechgru.train.language.step import LanguageLearner  # noqa: E402

VOCABULARY = Vocabulary(" abc")
QUICK = (
    *("model.units=12", "model.embedding=6", "train.batch_size=8", "train.max_steps=12", "train.warmup_steps=2"),
    *("train.evaluate_every_steps=6", "train.checkpoint_every_steps=4"),
)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A file of 120 texts of a language that is easy to learn: after a comes b, then c or the end."""
    rng = np.random.default_rng(0)
    lines = [" ".join("ab" + "c" * rng.integers(0, 2) for _ in range(rng.integers(1, 8))) for _ in range(120)]
    path = tmp_path_factory.mktemp("texts") / "meine texte.txt"
    path.write_text("\n".join([*lines, "", "Ab, ABC!"]), encoding="utf-8")
    return path


def trained(texts, run, *overrides, vocabulary=VOCABULARY, dev=(), **options):
    config = language_config([*QUICK, *overrides], train=[texts], dev=dev)
    return train_language_model(config, run, vocabulary=vocabulary, rules=TextRules(), **options)


@pytest.fixture(scope="module")
def unstopped(texts, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "unstopped"
    return trained(texts, run), run


# -- the model and its loss ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_layers", [1, 2])
def test_a_device_computes_what_is_trained(num_layers):
    config = language_config([*QUICK, f"model.num_layers={num_layers}"], train=["x"], dev=[])
    model = build_language_model(config, len(VOCABULARY))
    rng = np.random.default_rng(1)
    model.set_weights([weight + 0.3 * rng.normal(size=weight.shape) for weight in model.get_weights()])
    rows = [np.array(labels, np.int32) for labels in ([1, 2, 3, 4, 4], [], [2], [3, 1])]
    batch = padded(rows)
    nats_B = text_losses(model, batch["labels_BL"], batch["num_labels_B"], training=False).numpy()
    ours = for_device(model, config, vocabulary=VOCABULARY, rules=TextRules(), facts={})
    np.testing.assert_allclose(-ours.score(rows), nats_B, rtol=2e-6)


def test_the_gradient_of_a_batch_in_parts_is_that_of_the_batch(texts):
    """The sparse gradient of the embedding among them; without dropout, which draws for each part anew."""
    config = language_config([*QUICK, "model.dropout=0.0"], train=[texts], dev=[])
    learner = LanguageLearner(config, len(VOCABULARY))
    rows = [np.array(labels, np.int32) for labels in ([1, 2, 3], [2, 2], [4], [3, 1, 1, 2])]

    def batch(rows):
        count = len(rows)
        others = {"index_B": tf.range(count), "parts_left_B": tf.zeros([count], tf.int32)}
        return padded(rows) | others | {"weight_B": tf.ones([count]), "epoch_B": tf.zeros([count])}

    (loss_B, feasible_B), *_ = learner.step.gather([batch(rows)])
    whole, sums = learner.step.reduce(), learner.step._sums.numpy()
    learner.step.drop()
    for part in (rows[:1], rows[1:]):
        learner.step.gather([batch(part)])
    parts = learner.step.reduce()
    assert whole.loss == pytest.approx(loss_B.mean()) == pytest.approx(parts.loss) and feasible_B.all()
    np.testing.assert_allclose(learner.step._sums.numpy(), sums, rtol=1e-5, atol=1e-6)


# -- a run -----------------------------------------------------------------------------------------------------------


def test_it_learns_and_writes_what_a_device_reads(texts, tmp_path):
    result = trained(
        texts, tmp_path / "run", "train.max_steps=150", "train.evaluate_every_steps=50", "model.dropout=0.1"
    )
    assert result.ended == "max_steps" and result.num_left_out == 0 and result.num_train + result.num_dev == 121
    assert result.scores["perplexity"] < 2.0, "five labels; two choices after each ab"
    model = GRULanguageModel.load(result.model)
    assert (model.vocabulary, model.form, result.size_bytes) == (VOCABULARY, "int8", result.model.stat().st_size)
    assert model.facts["dev"] == result.scores
    likely, unlikely = model.score([VOCABULARY.encode("ab abc"), VOCABULARY.encode("ba cab")])
    assert likely > unlikely + 5
    records = RunFolder(result.run).read_history()
    scores = [record for record in records if record["kind"] == "dev"]
    assert [record["step"] for record in scores] == [50, 100, 150]
    # In the history by the weights as they were trained, in the file by rounded ones.
    best = min(scores, key=lambda record: record["perplexity"])
    assert result.best_step == best["step"]
    for name, value in result.scores.items():
        assert best[name] == pytest.approx(value, rel=2e-2)


def test_a_stopped_and_resumed_run_is_the_one_that_was_not(texts, unstopped, tmp_path):
    run = tmp_path / "run"
    assert trained(texts, run, stop_after=7).ended == "stop_after"
    result = trained(texts, run)
    expected, folder = unstopped
    assert (result.steps, result.ended, result.scores) == (expected.steps, expected.ended, expected.scores)
    assert history_of(run) == history_of(folder)
    arrays, others = weights_of(run)[0], weights_of(folder)[0]
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, others[name], err_msg=name)
    assert (run / "model.gru").read_bytes() == (folder / "model.gru").read_bytes()


def test_it_ends_where_theheld_out_texts_gain_no_more(texts, tmp_path):
    overrides = ("train.learning_rate=1e-9", "train.patience=2", "train.evaluate_every_steps=1", "train.max_steps=40")
    result = trained(texts, tmp_path / "run", *overrides, "train.weight_decay=0.0", "train.schedule=constant")
    assert result.ended == "patience" and result.steps < 40


def test_the_same_command_may_be_given_again_and_another_one_not(texts, unstopped, tmp_path):
    expected, run = unstopped
    assert trained(texts, run).scores == expected.scores
    with pytest.raises(
        ConfigError, match=r"unstopped: holds a run of another configuration: model\.units \(12 there, 9"
    ):
        trained(texts, run, "model.units=9")
    with pytest.raises(ConfigError, match="holds a run for a recogniser with other labels"):
        trained(texts, run, vocabulary=Vocabulary(" abcd"))
    recogniser = RunFolder(tmp_path / "recogniser")
    recogniser.path.mkdir()
    recogniser.config.write_text("{}")
    with pytest.raises(ConfigError, match="holds a recogniser's run; give the language model another --run"):
        trained(texts, recogniser.path)


# -- texts -----------------------------------------------------------------------------------------------------------


def test_texts_that_are_none_are_refused_by_name(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\n \n")
    with pytest.raises(LanguageError, match=r"a\.txt: holds no text; write an utterance a line"):
        read_texts(path)
    path.write_text("one\n\n two\n")
    assert [(origin, text.strip()) for origin, text in read_texts(path)] == [(f"{path}:1", "one"), (f"{path}:3", "two")]


def test_what_a_recogniser_cannot_write_is_left_out_and_said(texts, tmp_path):
    given = [("t:1", "Ab!"), ("t:2", "abx"), ("t:3", "c" * 9), ("t:4", "?"), ("t:5", "a b")]
    labelled, left_out = label_texts(given, rules=TextRules(), vocabulary=VOCABULARY, max_labels=5)
    assert [VOCABULARY.decode(labelled[place]) for place in range(len(labelled))] == ["ab", "a b"]
    assert labelled.num_words.tolist() == [1, 2] and labelled.num_characters.tolist() == [2, 3]
    assert [(each.origin, each.reason) for each in left_out] == [
        ("t:2", "'x' (U+0078) is no label of the recogniser's"),
        ("t:3", "'ccccccccc' has 9 labels"),
    ]
    foreign = tmp_path / "foreign.txt"
    foreign.write_text("xyz\nab\nabc\nb\n")
    with pytest.raises(
        LanguageError, match=r"1 of 4 texts cannot be learnt from, more than data\.max_skipped_share \(0\.1\)"
    ):
        trained(foreign, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_unknown_words_have_the_label_for_them():
    vocabulary = Vocabulary.with_letters(["on", "off"], "dfno")
    labelled, left_out = label_texts([("t:1", "on dod off")], rules=TextRules(), vocabulary=vocabulary, max_labels=9)
    assert not left_out and vocabulary.written.decode(labelled[0]) == "on <unk> off"


def test_no_text_is_both_learnt_andheld_out(texts):
    labelled, _ = label_texts(read_texts(texts), rules=TextRules(), vocabulary=VOCABULARY, max_labels=99)
    is_dev = held_out(labelled, 0.2)
    sides = [{tuple(labelled[place]) for place in np.flatnonzero(side)} for side in (is_dev, ~is_dev)]
    assert not sides[0] & sides[1] and 0 < is_dev.sum() < 60


def test_texts_all_alike_are_refused(tmp_path):
    path = tmp_path / "same.txt"
    path.write_text("ab\n" * 5)
    with pytest.raises(LanguageError, match="holds no text to score by; give two different texts at least"):
        trained(path, tmp_path / "run")


def test_perplexities_count_each_texts_end():
    texts, _ = label_texts([("t:1", "ab c")], rules=TextRules(), vocabulary=VOCABULARY, max_labels=9)
    perplexity = Perplexity.of(texts, lambda rows: np.array([-np.log(32.0) for _ in rows]))
    assert (perplexity.labels, perplexity.words, perplexity.characters) == (5, 3, 5)
    record = perplexity.as_record()
    assert record["perplexity"] == pytest.approx(2.0) and record["bits_per_character"] == pytest.approx(1.0)
    assert record["word_perplexity"] == pytest.approx(32 ** (1 / 3))


# -- the configuration -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.unit=3", r"unknown key model\.unit; did you mean model\.units\?"),
        ("model.units=many", r"model\.units: .*valid integer.*, got 'many'"),
        ("train.ctc=op", r"train: train\.ctc is a key of a recogniser's training|is a key of a recogniser's training"),
        ("units=3", "expected section.key=value, such as model.units=256"),
        ("data.train=x.txt", "name the texts as arguments"),
        ("model.units=[", "the value is not valid YAML"),
    ],
)
def test_keys_that_are_none_are_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        language_config([override], train=["x"], dev=[])


def test_a_runs_configuration_holds_every_key_that_counts(unstopped):
    from speechgru.config.language import load_language_config

    _, run = unstopped
    config = load_language_config(run / "language.yaml")
    assert config.model.units == 12 and "ctc" not in config.as_record()["train"]
    provenance = json.loads((run / "provenance.json").read_text())
    assert len(provenance["corpus"]["data.train"][0]) == 64
