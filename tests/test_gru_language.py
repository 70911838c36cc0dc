"""GRU language models on a device: their equations, their files, and what they change in a beam."""

import itertools
import math

import numpy as np
import pytest
from gru_reference import gru_reference
from language_models import all_texts, random_log_probs, random_model

from speechgru.decoding import (
    DecoderStream,
    DecodingOptions,
    GRULanguageScorer,
    Hotwords,
    Spelling,
    beam_decode,
    decode,
    options_from_lists,
    rescore,
)
from speechgru.decoding.language import LanguageWeights
from speechgru.decoding.rescoring import changes_of
from speechgru.decoding.scorers import PrefixScorer
from speechgru.errors import BundleError, LanguageError, UserError
from speechgru.export.language import open_carried
from speechgru.language import GRULanguageModel, read_language_model
from speechgru.runtime.language import language_of
from speechgru.text import Vocabulary

MODEL = random_model()
SCORER = GRULanguageScorer(MODEL, LanguageWeights(0.7, 0.4))
LOG_PROBS_SV = random_log_probs(5, 4)


def searched(scorers, *, log_probs_SV=LOG_PROBS_SV, vocabulary=MODEL.vocabulary, beam_width=200, **options):
    hypotheses = beam_decode(
        log_probs_SV,
        vocabulary=vocabulary,
        step_seconds=0.04,
        beam_width=beam_width,
        n_best=beam_width,
        scorers=scorers,
        **options,
    )
    return {hypothesis.labels: hypothesis.score for hypothesis in hypotheses}


# -- the model -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_layers", [1, 2])
def test_its_steps_are_the_equations(num_layers):
    """Against the slow GRU of the tests, written from the equations, in double precision."""
    model = random_model(num_layers=num_layers)
    labels = [2, 1, 1, 3, 2]
    outputs_TU = model._arrays["embedding"].astype(np.float64)[[0, *labels]]
    for number in range(num_layers):
        layer = model._layer(number)
        outputs_1TU, _ = gru_reference(
            outputs_TU[None],
            lengths_B=[6],
            h_BU=np.zeros([1, model.units]),
            kernel=layer.kernel_DG,
            recurrent=layer.recurrent_kernel_UG,
            b=layer.bias_2G[0],
            c=layer.bias_2G[1],
            reset_after=True,
            update_gate="keep",
        )
        outputs_TU = outputs_1TU[0]
    logits_TV = outputs_TU @ model._arrays["kernel"] + model._arrays["bias"]
    expected_TV = logits_TV - np.log(np.exp(logits_TV).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(model.log_probs(labels), expected_TV, atol=2e-6)
    following = [*labels, 0]
    assert model.score([labels])[0] == pytest.approx(expected_TV[np.arange(6), following].sum(), abs=1e-5)


def test_the_probabilities_of_all_texts_that_may_end_add_up_with_those_that_go_on():
    ended = MODEL.score([labels for n in range(5) for labels in itertools.product([1, 2, 3], repeat=n)])
    open_ones = 0.0
    for labels in itertools.product([1, 2, 3], repeat=5):
        rows = MODEL.log_probs(labels)
        open_ones += math.exp(sum(rows[place, label] for place, label in enumerate(labels)))
    assert np.exp(ended).sum() + open_ones == pytest.approx(1.0, abs=1e-5)


def test_texts_have_one_score_alone_and_beside_others():
    texts = [[1, 2], [], [3, 3, 3, 1, 2], [2]]
    np.testing.assert_allclose(MODEL.score(texts), [MODEL.score([text])[0] for text in texts], atol=1e-6)
    assert MODEL.score([]).shape == (0,)


# -- its file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "tolerance"), [("float32", 0.0), ("float16", 5e-3), ("int8", 0.15)])
def test_a_file_gives_the_same_model_back(tmp_path, form, tolerance):
    path = tmp_path / "a model, groß.gru"
    big = random_model(units=32, width=8, num_layers=2, scale=0.2)
    model = big.in_form(form)
    model.facts["dev"] = {"perplexity": 3.5}
    model.save(path)
    again = GRULanguageModel.load(path)
    assert (again.vocabulary, again.rules, again.form, again.facts) == (
        model.vocabulary,
        model.rules,
        form,
        model.facts,
    )
    np.testing.assert_array_equal(again.log_probs([1, 2, 3]), model.log_probs([1, 2, 3]))
    np.testing.assert_allclose(again.log_probs([1, 2, 3]), big.log_probs([1, 2, 3]), atol=tolerance or 1e-12)
    again.save(tmp_path / "again.gru")
    assert (tmp_path / "again.gru").read_bytes() == path.read_bytes()
    numbers = {"float32": 4, "float16": 2, "int8": 1}[form]
    assert path.stat().st_size < numbers * model.num_weights + 4 * 5000


def test_any_changed_byte_is_noticed(tmp_path):
    path = tmp_path / "model.gru"
    MODEL.save(path)
    content = path.read_bytes()
    for place in range(31, len(content), 97):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(LanguageError, match=r"model\.gru: the language model is damaged \(its checksum is wrong\)"):
            GRULanguageModel.load(path)
    path.write_bytes(content[:-7])
    with pytest.raises(LanguageError, match="is damaged"):
        GRULanguageModel.load(path)


def test_what_is_no_such_file_is_refused_by_name(tmp_path):
    (tmp_path / "model.arpa").write_text("\\data\\\n")
    for name, message in (("model.arpa", "not a GRU language model"), ("missing.gru", "cannot be read"), (".", "read")):
        with pytest.raises(LanguageError, match=message):
            GRULanguageModel.load(tmp_path / name)


# -- in a beam -------------------------------------------------------------------------------------------------------


def changed(labels, *, weight=0.7, bonus=0.4):
    return weight * MODEL.score([labels])[0] + bonus * len(MODEL.vocabulary.word_spans(labels))


def test_a_wide_beam_scores_every_text_as_a_search_over_all_paths():
    expected = {labels: score + changed(labels) for labels, score in all_texts(LOG_PROBS_SV).items()}
    found = searched([SCORER], beam_width=len(expected))
    assert found == pytest.approx(expected, abs=1e-5)
    assert list(found) == sorted(expected, key=expected.get, reverse=True)


def test_a_narrow_beam_gives_the_scores_that_its_prefixes_have():
    expected = {labels: score + changed(labels) for labels, score in all_texts(LOG_PROBS_SV).items()}
    (best, score), *_ = searched([SCORER], beam_width=12).items()
    assert best == max(expected, key=expected.get)
    assert score == pytest.approx(expected[best], abs=0.05)


@pytest.mark.parametrize("blank_id", [0, 1, 3])
def test_columns_may_stand_in_another_order_than_the_models_labels(blank_id):
    vocabulary = Vocabulary(" ba")
    column_of = dict(zip(vocabulary.entries, [c for c in range(4) if c != blank_id], strict=True))
    order = [blank_id, *(column_of[entry] for entry in MODEL.vocabulary.entries)]
    log_probs_SV = np.empty_like(LOG_PROBS_SV)
    log_probs_SV[:, order] = LOG_PROBS_SV
    found = searched([SCORER], log_probs_SV=log_probs_SV, vocabulary=vocabulary, blank_id=blank_id)
    expected = {tuple(order[label] for label in labels): score for labels, score in searched([SCORER]).items()}
    assert found == pytest.approx(expected, abs=1e-6)


def test_all_prefixes_of_a_step_are_read_in_one_product(monkeypatch):
    class Unprepared(PrefixScorer):
        """The same, asked one by one."""

        max_change = 0.4

        def __init__(self):
            self._scorer = SCORER.compile(MODEL.vocabulary)
            self.start, self.extend, self.finish = self._scorer.start, self._scorer.extend, self._scorer.finish

        start = extend = finish = None

    log_probs_SV, rows = random_log_probs(40, 4), []
    one_by_one = searched([Unprepared()], log_probs_SV=log_probs_SV, beam_width=8)
    step = GRULanguageModel.step

    def counted(self, states_BKU, labels_B):
        rows.append(len(labels_B))
        return step(self, states_BKU, labels_B)

    monkeypatch.setattr(GRULanguageModel, "step", counted)
    together = searched([SCORER], log_probs_SV=log_probs_SV, beam_width=8)
    assert together == pytest.approx(one_by_one, abs=1e-5)
    assert len(rows) <= 42, "the start, each step and the end"
    assert max(rows) <= 8 and sum(rows) > 2 * len(rows)


def test_a_stream_ends_with_what_a_whole_recording_has():
    options = DecodingOptions(beam_width=16, n_best=5, gru_language=SCORER, rescorers=[SCORER])
    log_probs_SV = random_log_probs(30, 4)
    stream = DecoderStream(vocabulary=MODEL.vocabulary, step_seconds=0.04, options=options)
    for start in range(0, 30, 7):
        stream.feed(log_probs_SV[start : start + 7])
        assert stream.partial().score < 0
    whole = decode(log_probs_SV, vocabulary=MODEL.vocabulary, step_seconds=0.04, options=options)
    assert [each.labels for each in stream.finish()] == [each.labels for each in whole]
    assert [each.score for each in stream.finish()] == pytest.approx([each.score for each in whole])


def test_it_scores_beside_hotwords():
    hotwords = Hotwords({"ba": 3.0})
    expected = searched([hotwords])
    found = searched([SCORER, hotwords])
    assert found == pytest.approx({labels: score + changed(labels) for labels, score in expected.items()}, abs=1e-5)


def test_a_weight_and_a_bonus_of_0_leave_the_recogniser_alone():
    assert searched([GRULanguageScorer(MODEL, LanguageWeights(0.0, 0.0))]) == pytest.approx(searched([]))


@pytest.mark.parametrize(
    ("entries", "unit", "texts"),
    [
        ("ab ", "character", ["a ba", "", " a  b ", "   "]),
        (["on", "off", "the"], "word", ["the on", "off", ""]),
    ],
)
def test_each_word_has_its_bonus(entries, unit, texts):
    vocabulary = Vocabulary(entries, unit=unit)
    model = random_model(vocabulary)
    compiled = GRULanguageScorer(model, LanguageWeights(0.0, 2.0)).compile(vocabulary)
    labels = [tuple(vocabulary.encode(text)) for text in texts]
    assert changes_of(compiled, labels) == {
        each: pytest.approx(2.0 * len(text.split())) for each, text in zip(labels, texts, strict=True)
    }


def test_a_language_model_that_shall_rescore_is_asked_at_the_end_alone():
    at_once = DecodingOptions(beam_width=30, n_best=30, rescorers=[SCORER])
    named = DecodingOptions(beam_width=30, n_best=30, gru_language=SCORER, rescore=["gru"])
    found = [decode(LOG_PROBS_SV, vocabulary=MODEL.vocabulary, step_seconds=0.04, options=o) for o in (at_once, named)]
    assert found[0] == found[1]
    assert named.description == at_once.description and named.as_record()["rescore"] == ["gru"]
    for listed, message in (
        (["grammar"], "rescore lists language and gru, or one of them, got 'grammar'"),
        ("gru", "rescore lists"),
    ):
        with pytest.raises(UserError, match=message):
            DecodingOptions(beam_width=4, gru_language=SCORER, rescore=listed)
    with pytest.raises(UserError, match="rescore names language, and no such language model is given"):
        DecodingOptions(beam_width=4, gru_language=SCORER, rescore=["language"])


def test_a_recogniser_with_other_labels_is_refused_by_their_names():
    for vocabulary, message in (
        (Vocabulary("abc "), r"'c' \(U\+0063\) is among the characters that this recogniser writes, and not among"),
        (Vocabulary(["a", "b"], unit="word"), "predicts characters, and this recogniser writes words"),
    ):
        with pytest.raises(UserError, match=message):
            SCORER.prepared(Spelling(str, vocabulary))
    fewer = searched([SCORER], log_probs_SV=random_log_probs(4, 3), vocabulary=Vocabulary("ab"))
    assert len(fewer) == len(all_texts(random_log_probs(4, 3)))
    with pytest.raises(UserError, match="gru_language must be a GRULanguageModel, such as"):
        DecodingOptions(beam_width=4, gru_language="model.gru")


def test_options_say_and_record_what_scores():
    options = DecodingOptions(beam_width=8, gru_language=MODEL, rescorers=[SCORER])
    said = "GRU of 5 units over 3 characters"
    assert options.description == (
        f"beam of 8, {said} (weight 0.5, bonus 0.5 a word), rescored by {said} (weight 0.7, bonus 0.4 a word)"
    )
    record = options.as_record()
    assert record["gru_language_model"] == {"model": said, "weight": 0.5, "word_bonus": 0.5, "blank_penalty": 0.0}
    assert record["rescorers"] == [f"{said} (weight 0.7, bonus 0.4 a word)"]
    with pytest.raises(UserError, match="a beam width of 1 is greedy decoding"):
        DecodingOptions(rescorers=[SCORER])


# -- a second pass ---------------------------------------------------------------------------------------------------


def test_rescoring_adds_what_a_model_says_of_the_texts_with_which_a_beam_ends():
    first = all_texts(LOG_PROBS_SV)
    expected = {labels: score + changed(labels) for labels, score in first.items()}
    found = searched([], rescorers=[SCORER])
    assert found == pytest.approx({labels: expected[labels] for labels in found}, abs=1e-4)
    assert list(found) == sorted(found, key=found.get, reverse=True)
    assert searched([]).keys() == found.keys()


def test_a_list_of_hypotheses_is_rescored_as_the_beam_rescores_it():
    kwargs = {"vocabulary": MODEL.vocabulary, "step_seconds": 0.04, "beam_width": 30, "n_best": 30}
    plain = beam_decode(LOG_PROBS_SV, **kwargs)
    rescored = rescore(plain, [SCORER], vocabulary=MODEL.vocabulary)
    expected = beam_decode(LOG_PROBS_SV, rescorers=[SCORER], **kwargs)
    assert [each.labels for each in rescored] == [each.labels for each in expected]
    assert [each.score for each in rescored] == pytest.approx([each.score for each in expected])
    assert [each.posterior for each in rescored] == pytest.approx([each.posterior for each in expected])
    assert sum(each.posterior for each in rescored) == pytest.approx(1)
    assert rescore(plain, [], vocabulary=MODEL.vocabulary) == plain
    assert rescore([], [SCORER], vocabulary=MODEL.vocabulary) == []


def test_texts_that_begin_alike_are_asked_about_once():
    asked = []

    class Counting(PrefixScorer):
        def start(self):
            return ()

        def extend(self, state, label):
            asked.append((*state, label))
            return (*state, label), -math.inf if label == 3 else -1.0

        def finish(self, state):
            return -0.5

    changes = changes_of(Counting(), [(1, 2), (1, 2, 2), (1,), (), (1, 3, 1)])
    assert changes == {(1, 2): -2.5, (1, 2, 2): -3.5, (1,): -1.5, (): -0.5, (1, 3, 1): -math.inf}
    assert sorted(asked) == [(1,), (1, 2), (1, 2, 2), (1, 3)]


# -- in a bundle -----------------------------------------------------------------------------------------------------


def test_a_bundle_carries_it_as_it_carries_n_grams(tmp_path):
    path = tmp_path / "model.gru"
    MODEL.in_form("int8").save(path)
    carried = open_carried(path, LanguageWeights(0.8), Spelling(str, MODEL.vocabulary))
    assert (carried.kind, carried.file, carried.description) == ("gru", "language.gru", MODEL.description)
    (tmp_path / carried.file).write_bytes(carried.content)
    scorer = language_of(tmp_path, {"language_model": carried.as_record()})
    assert scorer.weights.weight == 0.8
    own = DecodingOptions(beam_width=30, language=True).with_language_of(lambda: scorer)
    given = options_from_lists(beam_width=30, language_model=path, language_weight=0.8)
    beside = options_from_lists(beam_width=30, gru_language_model=path, gru_weight=0.8)
    kwargs = {"vocabulary": MODEL.vocabulary, "step_seconds": 0.04}
    expected = decode(LOG_PROBS_SV, options=beside, **kwargs)
    assert decode(LOG_PROBS_SV, options=own, **kwargs) == decode(LOG_PROBS_SV, options=given, **kwargs) == expected
    weighted = options_from_lists(language=True, language_weight=0.1).with_language_of(lambda: scorer)
    assert weighted.language.weights.weight == 0.1
    with pytest.raises(
        UserError, match=r"model\.gru: .* among the characters that this recogniser writes, and not among"
    ):
        open_carried(path, LanguageWeights(), Spelling(str, Vocabulary("xyz")))
    (tmp_path / carried.file).write_bytes(carried.content[:-1])
    with pytest.raises(BundleError, match="is damaged"):
        language_of(tmp_path, {"language_model": carried.as_record()})
    with pytest.raises(
        LanguageError, match=r"which predicts labels and lists no words; .* takes it \(--gru-language-model\)"
    ):
        read_language_model(path)
