"""A grammar as a constraint of the beam: its graph, the search under it, and the meaning of what was recognised."""

import math

import numpy as np
import pytest
from grammars import random_grammar, readings_of
from hypothesis import given, settings
from hypothesis import strategies as st

from speechgru.decoding import DecoderStream, DecodingOptions, GrammarConstraint, Phrases, decode
from speechgru.errors import TextError, UserError
from speechgru.grammar import Grammar
from speechgru.grammar.ambiguity import find_ambiguities
from speechgru.grammar.graph import SentenceGraph
from speechgru.text import TextRules, Vocabulary, normalize_text

CHARACTERS = Vocabulary(" 'abcelps")
seeds = st.integers(0, 2**32)


def texts_with_skip_words(grammar):
    texts = set(readings_of(grammar, normalize_text))
    words = [f"{word} " for word in grammar.skip_words]
    afters = [f" {word}" for word in grammar.skip_words]
    return {before + text + after for text in texts for before in ["", *words] for after in ["", *afters]}


def texts_of_graph(graph):
    found, waiting = set(), [("", graph.start)]
    while waiting:
        text, places = waiting.pop()
        if graph.ends(places):
            found.add(text)
        waiting += [(text + character, after) for character, after in graph.moves(places).items()]
    return found


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_the_graph_allows_the_sentences_of_the_grammar_and_no_other(seed):
    grammar = random_grammar(np.random.default_rng(seed))
    graph = grammar.graph(normalize_text)
    found = texts_of_graph(graph)
    assert found == texts_with_skip_words(grammar)
    plain = SentenceGraph(grammar.nodes, grammar.roots, (), normalize_text)
    assert grammar.num_sentences == len(texts_of_graph(plain)) == len(readings_of(grammar, normalize_text))


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_a_grammar_constrains_as_the_list_of_all_its_sentences(seed):
    rng = np.random.default_rng(seed)
    grammar = random_grammar(rng)
    texts = sorted(texts_of_graph(grammar.graph(normalize_text)))
    silence = bool(rng.integers(2))
    one = GrammarConstraint(grammar, silence=silence).compile(CHARACTERS)
    other = Phrases(texts, silence=silence).compile(CHARACTERS)
    compare_scorers(one, other, len(CHARACTERS))


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_a_grammar_constrains_a_vocabulary_of_words_as_the_list_of_all_its_sentences(seed):
    rng = np.random.default_rng(seed)
    grammar = random_grammar(rng)
    texts = sorted(texts_of_graph(grammar.graph(normalize_text)))
    vocabulary = Vocabulary.from_texts([*texts, *map(normalize_text, grammar.words())], unit="word")
    silence = bool(rng.integers(2))
    one = GrammarConstraint(grammar, silence=silence).compile(vocabulary)
    other = Phrases(texts, silence=silence).compile(vocabulary)
    compare_scorers(one, other, len(vocabulary))


def compare_scorers(one, other, num_columns):
    """Walks through all beginnings of sentences with both."""
    waiting = [(one.start(), other.start())]
    while waiting:
        state, expected = waiting.pop()
        assert one.steps_needed(state) == other.steps_needed(expected)
        assert one.finish(state) == other.finish(expected)
        for label in range(1, num_columns):
            (after, change), (wanted, expected_change) = one.extend(state, label), other.extend(expected, label)
            assert change == expected_change
            if change == 0:
                waiting.append((after, wanted))


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_the_beam_finds_under_a_grammar_what_it_finds_in_the_list_of_its_sentences(seed):
    rng = np.random.default_rng(seed)
    grammar = random_grammar(rng)
    texts = sorted(texts_of_graph(grammar.graph(normalize_text)))
    log_probs_SV = np.log(rng.dirichlet(np.full(len(CHARACTERS), 0.3), size=rng.integers(0, 14)) + 1e-9)
    log_probs_SV = log_probs_SV - np.logaddexp.reduce(log_probs_SV, axis=1, keepdims=True)
    how = {"vocabulary": CHARACTERS, "step_seconds": 0.04}
    found = decode(log_probs_SV, options=DecodingOptions(beam_width=200, n_best=3, grammar=grammar), **how)
    expected = decode(log_probs_SV, options=DecodingOptions(beam_width=200, n_best=3, phrases=Phrases(texts)), **how)
    assert [each.text for each in found] == [each.text for each in expected]
    assert [each.score for each in found] == pytest.approx([each.score for each in expected])
    # In a stream the same, however it is cut.
    stream = DecoderStream(options=DecodingOptions(beam_width=200, n_best=3, grammar=grammar), **how)
    for start in range(0, len(log_probs_SV), 3):
        stream.feed(log_probs_SV[start : start + 3])
        assert stream.partial().intent is None
    assert [(each.text, each.intent, each.slots) for each in stream.finish()] == [
        (each.text, each.intent, each.slots) for each in found
    ]
    readings = readings_of(grammar, normalize_text)
    for each in found:
        if each.text in readings:
            assert (each.intent, each.slots) in readings[each.text]


def spoken(text, vocabulary, *, sure=0.9):
    """Log-probabilities of a model that recognises a text, a blank after each label."""
    rows = []
    for label in vocabulary.encode(text):
        for on in (label, 0):
            row = np.full(len(vocabulary), (1 - sure) / (len(vocabulary) - 1))
            row[on] = sure
            rows.append(row)
    return np.log(np.array(rows).reshape(-1, len(vocabulary)))


LETTERS = Vocabulary(" 'abcdefghijklmnopqrstuvwxyz")


@pytest.fixture(scope="module")
def household():
    return Grammar.load("household")


@pytest.mark.parametrize(
    ("heard", "text", "intent", "slots"),
    [
        ("sett the kichen lights to ninty percent", "set the kitchen lights to ninety percent", "SetLight",
         {"room": "kitchen", "light": "lights", "percent": 90}),
        ("swich off the fann", "switch off the fan", "TurnDevice", {"power": "off", "device": "fan"}),
        ("", "", None, {}),
    ],
)  # fmt: skip
def test_what_is_recognised_under_a_grammar_has_an_intent_and_slots(household, heard, text, intent, slots):
    options = DecodingOptions(beam_width=16, grammar=household).prepared(normalize=normalize_text, vocabulary=LETTERS)
    found = decode(spoken(heard, LETTERS), vocabulary=LETTERS, step_seconds=0.02, options=options)[0]
    assert (found.text, found.intent, found.slots) == (text, intent, slots)
    assert all(type(found.slots[name]) is type(value) for name, value in slots.items())


def test_silence_is_not_allowed_where_every_recording_holds_a_sentence(household):
    log_probs_SV = np.full((60, len(LETTERS)), -12.0)
    log_probs_SV[:, 0] = 0.0
    for silence in (True, False):
        options = DecodingOptions(beam_width=16, grammar=GrammarConstraint(household, silence=silence))
        found = decode(log_probs_SV, vocabulary=LETTERS, step_seconds=0.02, options=options)[0]
        assert bool(found.text) != silence and (found.intent is None) == silence


def test_a_graph_is_as_large_as_the_grammar_and_not_as_its_sentences(tmp_path):
    words = " ".join("<word>" for _ in range(12))
    lists = ", ".join(f"'w{'abcdefghij'[i // 10]}{'abcdefghij'[i % 10]}'" for i in range(100))
    path = tmp_path / "large.yaml"
    path.write_text(
        f"language: en\nintents: {{A: {{data: [{{sentences: ['{words}', 'do {words}']}}]}}}}\n"
        f"expansion_rules: {{word: '{{word}}'}}\nlists: {{word: {{values: [{lists}]}}}}\n"
    )
    grammar = Grammar.load(path)
    assert grammar.num_sentences == 2 * 10**24 and grammar.is_counted
    graph = grammar.graph(normalize_text)
    assert graph.num_nodes < 500
    options = DecodingOptions(beam_width=16, grammar=grammar)
    text = "do waa wbj wjj waa wab wac wad wae waf wag wah wai"
    found = decode(spoken(text, LETTERS), vocabulary=LETTERS, step_seconds=0.02, options=options)[0]
    assert (found.text, found.intent) == (text, "A")


def test_a_row_of_optional_words_is_counted_in_bounded_time(tmp_path, monkeypatch):
    """Each word may follow each before it; where it is the same word, a text may be at all of them."""
    path = tmp_path / "optional.yaml"

    def load(words):
        path.write_text(f"language: en\nintents: {{A: {{data: [{{sentences: ['go {words}']}}]}}}}\n")
        return Grammar.load(path)

    few = load(" ".join(["[on]"] * 40))
    assert few.num_sentences == 41 and few.is_counted
    assert few.graph(normalize_text).count(max_looks=1000) is None
    assert load(" ".join(f"[{one}{other}]" for one in "abcd" for other in "efg")).num_sentences == 2**12
    assert find_ambiguities(few, normalize_text) == ([], True)
    monkeypatch.setattr("speechgru.grammar.ambiguity.MAX_LOOKS", 1000)
    assert find_ambiguities(few, normalize_text) == ([], False)


def test_options_describe_the_grammar(household):
    options = DecodingOptions(beam_width=8, grammar=household)
    assert options.description == "beam of 8, a grammar of 111,648,976 sentences"
    record = options.as_record()
    assert record["grammar"] == household.digest and record["silence"] is True
    assert DecodingOptions().as_record()["grammar"] is None
    assert DecodingOptions(beam_width=8, grammar=Grammar.from_record(household.as_record())) == options


def test_a_grammar_that_a_recogniser_cannot_use_is_refused(household):
    with pytest.raises(UserError, match="a beam width of 1 is greedy decoding, which applies no hotwords, phrases, g"):
        DecodingOptions(grammar=household)
    with pytest.raises(UserError, match="grammar must be a Grammar, or True for the recogniser's own, got 'household'"):
        DecodingOptions(beam_width=16, grammar="household")
    options = DecodingOptions(beam_width=16, grammar=True)
    with pytest.raises(UserError, match="this recogniser carries no grammar"):
        options.prepared(normalize=normalize_text, vocabulary=LETTERS)
    assert options.with_grammar_of(household) == DecodingOptions(beam_width=16, grammar=household)
    with pytest.raises(TextError, match=r"the grammar's text .*'z' .*is not among the characters that this recogniser"):
        DecodingOptions(beam_width=16, grammar=household).prepared(
            normalize=normalize_text, vocabulary=Vocabulary(" 'abcdefghijklmnopqrstuvwxy")
        )
    words = Vocabulary(["lights"], unit="word")
    with pytest.raises(TextError, match="not among the words that this recogniser writes"):
        DecodingOptions(beam_width=16, grammar=household).prepared(normalize=normalize_text, vocabulary=words)


def test_other_text_rules_change_what_is_written_and_not_what_it_means(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text(
        "language: fr\nintents: {A: {data: [{sentences: [\"allume [l']{x}, s'il te plaît\"]}]}}\n"
        "lists: {x: {values: ['Été']}}\n",
        encoding="utf-8",
    )
    grammar = Grammar.load(path)
    rules = TextRules(lowercase=False, remove_punctuation=False)
    texts = {rules.normalize: "allume l'Été, s'il te plaît", normalize_text: "allume l'été s'il te plaît"}
    for normalize, text in texts.items():
        vocabulary = Vocabulary.from_texts(["allume l'Été, s'il te plaît", "allume l'été s'il te plaît"])
        options = DecodingOptions(beam_width=32, grammar=grammar).prepared(normalize=normalize, vocabulary=vocabulary)
        found = decode(spoken(text, vocabulary), vocabulary=vocabulary, step_seconds=0.02, options=options)[0]
        assert (found.text, found.intent, found.slots) == (text, "A", {"x": "Été"})
        assert found.score > -math.inf


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_a_drawn_sentence_is_read_back_and_the_first_reading_is_the_one_that_is_read(seed):
    rng = np.random.default_rng(seed)
    grammar = random_grammar(rng)
    readings = readings_of(grammar, normalize_text)
    for _ in range(5):
        sentence = grammar.draw(rng)
        read = grammar.parse(sentence.text)
        assert read is not None and normalize_text(read.text) == normalize_text(sentence.text)
        if not grammar.skip_words:
            assert (sentence.intent, dict(sentence.slots)) in readings[normalize_text(sentence.text)]
    if not grammar.skip_words:
        for text, meanings in readings.items():
            read = grammar.parse(text)
            assert (read.intent, dict(read.slots)) == meanings[0]
