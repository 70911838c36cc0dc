"""Subwords: spelling as SentencePiece does, files, and decoding with pieces, held to texts by brute force."""

import contextlib
import io
import itertools
import math
import random
import re

import numpy as np
import pytest
from grammars import random_grammar
from hypothesis import given, settings
from hypothesis import strategies as st
from languages import TOY, Definition

from speechgru.decoding import (
    DecoderStream,
    DecodingOptions,
    GrammarConstraint,
    KeywordScorer,
    LanguageScorer,
    LanguageWeights,
    Phrases,
    beam_decode,
    decode,
    greedy_decode,
)
from speechgru.decoding.hotwords import Hotwords
from speechgru.decoding.scorers import columns_of
from speechgru.errors import TextError
from speechgru.language import read_language_model
from speechgru.text import Subwords, Vocabulary, normalize_text
from speechgru.text.subword_training import train_subwords

SPACE = "\u2581"
#: A language of few letters, whose pieces overlap: every word has several spellings.
PIECES = Vocabulary.of_subwords(Subwords([SPACE, "a", "b", "ab", SPACE + "a"], [-3.0, -2.0, -2.5, -2.2, -2.1]))
seeds = st.integers(0, 2**32 - 1)


def words_of(seed, *, letters, count=400, longest=7):
    rng = random.Random(seed)
    return ["".join(rng.choices(letters, k=rng.randint(1, longest))) for _ in range(count)]


def texts_of(seed, *, letters):
    words, rng = words_of(seed, letters=letters), random.Random(seed + 1)
    return [" ".join(rng.choices(words, k=rng.randint(1, 9))) for _ in range(300)]


# --- spelling ---


@pytest.fixture(scope="module")
def sentencepiece():
    return pytest.importorskip("sentencepiece", reason="the package sentencepiece is not installed")


def train_theirs(sentencepiece, texts, **options):
    content = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=content, minloglevel=2, character_coverage=1.0, **options
    )
    return content.getvalue()


@pytest.mark.parametrize("method", ["unigram", "bpe"])
@pytest.mark.parametrize(
    ("letters", "count"), [("abcdefgh", 60), ("'abcdefghijklmnopqrstuvwxyzäöüß", 300), ("的一是", 24)]
)
def test_words_are_spelt_as_sentencepiece_spells_them(sentencepiece, method, letters, count):
    texts = texts_of(count, letters=letters)
    content = train_theirs(
        sentencepiece, texts, model_type=method, vocab_size=count, normalization_rule_name="identity"
    )
    theirs, ours = sentencepiece.SentencePieceProcessor(model_proto=content), Subwords.parse(content)
    vocabulary = Vocabulary.of_subwords(ours)
    for word in {*words_of(7, letters=letters, count=2500, longest=14), *" ".join(texts).split()}:
        assert [ours.pieces[place] for place in ours.spell(word)[0]] == theirs.encode(word, out_type=str)
    for text in texts:
        labels = vocabulary.encode(text)
        assert vocabulary.decode(labels) == text
        expected = theirs.encode(text, out_type=str)
        if [
            vocabulary.entries[label - 1] for label in labels
        ] != expected:  # rounding has chosen among equal sums there
            sums = [math.fsum(ours.scores[ours.pieces.index(piece)] for piece in expected)]
            assert math.fsum(ours.scores[label - 1] for label in labels) == pytest.approx(*sums, abs=1e-4)


def best_by_brute_force(subwords, word):
    """The highest sum of any way to put a word together."""
    scores, text = dict(zip(subwords.pieces, subwords.scores, strict=True)), SPACE + word
    best = [0.0] + [-math.inf] * len(text)
    for end in range(1, len(text) + 1):
        best[end] = max(best[start] + scores.get(text[start:end], -math.inf) for start in range(end))
    return best[-1]


@given(seeds)
def test_a_unigram_spelling_has_the_highest_sum_of_all(seed):
    rng = np.random.default_rng(seed)
    pieces = ["".join(each) for n in (1, 2, 3) for each in itertools.product("ab", repeat=n)]
    pieces = [SPACE, *pieces[:2], *rng.permutation(pieces[2:])[:5], SPACE + "a", SPACE + "ba"]
    subwords = Subwords(pieces, rng.normal(-4, 2, len(pieces)).tolist())
    for word in ("a", "ba", "abab", "bbbaabab"):
        labels, unknown = subwords.spell(word)
        assert not unknown and "".join(pieces[label] for label in labels) == SPACE + word
        assert sum(subwords.scores[label] for label in labels) == pytest.approx(best_by_brute_force(subwords, word))


def test_characters_that_no_piece_has_are_named_and_refused():
    assert PIECES.unknown("ab cab dé") == ["c", "d", "é"] == PIECES.unwritable("ab cab dé")
    assert PIECES.unknown("  a b ") == [] == PIECES.unknown(" ")
    with pytest.raises(
        TextError, match=r"take 3: 'c' \(U\+0063\) is not in the vocabulary; spell the transcript with known ch"
    ):
        PIECES.encode("ab cab", where="take 3")
    # U+2581 in a text would be read as the border of a word
    assert PIECES.unknown(f"a{SPACE}b") == [SPACE]


def test_a_character_within_a_piece_alone_is_written_where_the_piece_is():
    vocabulary = Vocabulary.of_subwords(Subwords([SPACE, "a", "qu"], [-1.0, -1.0, -1.0]))
    assert vocabulary.decode(vocabulary.encode("qua")) == "qua"
    assert vocabulary.unknown("qa") == ["q"]


@pytest.mark.parametrize("method", ["unigram", "bpe"])
def test_trained_pieces_hold_every_character_and_as_many_as_asked(sentencepiece, method):
    texts = [*texts_of(3, letters="abcdefgh"), "", "ü"]
    subwords = train_subwords(texts, count=50, method=method)
    assert len(subwords.pieces) == 50 and subwords.method == method
    assert {*"abcdefghü", SPACE} <= {*subwords.pieces}
    assert subwords == train_subwords(texts, count=50, method=method)


@pytest.mark.parametrize(
    ("texts", "count", "message"),
    [
        (
            ["", ""],
            20,
            "no transcript holds a character, so there are no subwords; give data.train recordings in which",
        ),
        (["abc abd"], 4, "text.subwords is 4, but the transcripts have 5 different characters, each of which is a"),
        (["abc abd"], 4000, r"text.subwords is 4000, but the transcripts give at most \d+ pieces; give fewer"),
        ([f"a{SPACE}b"], 20, r"transcripts hold '▁' \(U\+2581\), which marks the beginning of a word among subwords"),
    ],
)
def test_texts_that_give_no_such_pieces_are_refused(sentencepiece, texts, count, message):
    for method in ("unigram", "bpe"):
        with pytest.raises(TextError, match=message):
            train_subwords(texts, count=count, method=method)


def test_marks_in_transcripts_are_text_like_any_other(sentencepiece):
    texts = ["a <unk> <s> b</s> #x"] * 9
    for method in ("unigram", "bpe"):
        vocabulary = Vocabulary.of_subwords(train_subwords(texts, count=12, method=method))
        assert vocabulary.decode(vocabulary.encode(texts[0])) == texts[0]


def test_the_smallest_corpus_gives_its_characters(sentencepiece):
    assert {*train_subwords(["a"], count=2, method="unigram").pieces} == {SPACE, "a"}


# --- files ---


def test_a_saved_vocabulary_of_subwords_loads_as_itself_to_the_last_bit(tmp_path):
    rng = np.random.default_rng(0)
    pieces = [SPACE, "<space>", "<blank>", "#", "ä", SPACE + "the", "\U0001f600"]
    for method in ("unigram", "bpe"):
        scores = rng.normal(-5, 3, len(pieces)).astype(np.float32).tolist()
        vocabulary = Vocabulary.of_subwords(Subwords(pieces, scores, method))
        vocabulary.save(tmp_path / "vocabulary.txt")
        assert Vocabulary.load(tmp_path / "vocabulary.txt") == vocabulary
        assert Vocabulary.of_subword_file(tmp_path / "vocabulary.txt") == vocabulary
        assert Vocabulary.from_record(vocabulary.as_record()) == vocabulary
    first = (tmp_path / "vocabulary.txt").read_text(encoding="utf-8").split("\n")[0]
    assert first == "<blank> (one subword and its score a line: bpe)"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a\t-1\nb", "line 3 must be a subword, a tab and its score, got 'b'"),
        ("a\t-1\nb\tx", r"line 3 must be a subword, a tab and its score, got 'b\\tx'"),
        ("a\tnan", "the score of the subword 'a' must be a number, got nan"),
        ("a\t-1\na\t-2", "the vocabulary holds 'a' more than once"),
        (f"a{SPACE}b\t-1", "vocabulary entry 1 must be a piece of one word, ▁ only at its beginning, got 'a▁b'"),
        ("a b\t-1", "vocabulary entry 1 must be a piece of one word"),
        ("\t-1", "vocabulary entry 1 must be a piece of one word"),
    ],
)
def test_a_damaged_vocabulary_of_subwords_is_refused(tmp_path, lines, message):
    path = tmp_path / "vocabulary.txt"
    path.write_text(f"<blank> (one subword and its score a line: unigram)\n{lines}\n", encoding="utf-8")
    with pytest.raises(TextError, match=f"vocabulary.txt: {message}"):
        Vocabulary.load(path)


def test_a_given_model_is_read_without_its_own_marks_and_normaliser(sentencepiece, tmp_path):
    texts = texts_of(5, letters="abcdefgh")
    content = train_theirs(sentencepiece, texts, vocab_size=80, byte_fallback=False, control_symbols=["<x>"])
    path = tmp_path / "my pieces.model"
    path.write_bytes(content)
    theirs = sentencepiece.SentencePieceProcessor(model_proto=content)
    vocabulary = Vocabulary.of_subword_file(path)
    assert len(vocabulary.entries) == 80 - 4  # <unk>, <s>, </s>, <x>
    for text in texts[:50]:
        assert [vocabulary.entries[label - 1] for label in vocabulary.encode(text)] == theirs.encode(text, out_type=str)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_type": "char"}, "is a model of words or characters"),
        ({"model_type": "word"}, "is a model of words or characters"),
        ({"treat_whitespace_as_suffix": True}, "marks words otherwise than by ▁ at the beginning"),
        ({"add_dummy_prefix": False}, "marks words otherwise than by ▁ at the beginning"),
        ({"user_defined_symbols": ["<laugh>"]}, "has user-defined or unused pieces"),
        ({"split_by_whitespace": False}, "its piece '.*' is of several words"),
    ],
)
def test_models_that_spell_otherwise_are_refused(sentencepiece, tmp_path, options, message):
    (tmp_path / "a.model").write_bytes(
        train_theirs(sentencepiece, ["ab cd ab cd"] * 20, vocab_size=12, hard_vocab_limit=False, **options)
    )
    with pytest.raises(TextError, match=f"a.model: {message}"):
        Vocabulary.of_subword_file(tmp_path / "a.model")


def test_what_is_no_model_is_refused(sentencepiece, tmp_path):
    content = train_theirs(sentencepiece, texts_of(2, letters="abc"), vocab_size=20, normalization_rule_name="identity")
    rng, path = np.random.default_rng(0), tmp_path / "a.model"
    damaged = [b"", b"\x0a", b"PK\x03\x04 zip", "Grüße".encode() * 50, content[: len(content) // 2] + b"\xff"]
    damaged += [rng.bytes(200) for _ in range(300)]
    for each in damaged:
        path.write_bytes(each)
        with pytest.raises(TextError, match=r"a\.model: "):
            Vocabulary.of_subword_file(path)
    for place in range(0, len(content), 3):  # one wrong byte may give another model, and never another error
        with contextlib.suppress(TextError):
            Subwords.parse(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
    with pytest.raises(TextError, match="missing: the subword model cannot be read"):
        Vocabulary.of_subword_file(tmp_path / "missing")
    Vocabulary("ab").save(tmp_path / "letters")
    with pytest.raises(TextError, match="letters: is a vocabulary of characters; give one of subwords"):
        Vocabulary.of_subword_file(tmp_path / "letters")


# --- texts and words of labels ---


@given(st.lists(st.integers(1, 5), max_size=12))
def test_words_of_any_labels_are_the_words_of_their_text(labels):
    spans = PIECES.word_spans(labels)
    words = [PIECES.decode(labels[first:after]) for first, after in spans]
    assert all(words) and words == PIECES.decode(labels).split()
    assert PIECES.decode(labels) == " ".join(
        "".join(PIECES.entries[label - 1] for label in labels).replace(SPACE, " ").split()
    )
    left_out = [k for k in range(len(labels)) if not any(first <= k < after for first, after in spans)]
    assert all(labels[k] == PIECES.space_label for k in left_out)


# --- decoding ---


def random_log_probs(seed, *, steps=None):
    rng = np.random.default_rng(seed)
    steps = rng.integers(1, 6) if steps is None else steps
    logits = rng.normal(0, rng.uniform(0.3, 4), (steps, len(PIECES)))
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def labels_by_brute_force(log_probs_SV):
    """The probability of every label sequence: all paths, added up."""
    found = {}
    for path in itertools.product(range(log_probs_SV.shape[1]), repeat=len(log_probs_SV)):
        labels = tuple(label for label, _ in itertools.groupby(path) if label)
        found.setdefault(labels, []).append(math.exp(log_probs_SV[range(len(path)), path].sum()))
    return {labels: math.fsum(parts) for labels, parts in found.items()}


def texts_by_brute_force(log_probs_SV, *, is_written=lambda labels: True):
    """The log-probability of every text: all ways to put it together, added up."""
    found = {}
    for labels, probability in labels_by_brute_force(log_probs_SV).items():
        if is_written(labels):
            found.setdefault(PIECES.decode(labels), []).append(probability)
    return {text: math.log(math.fsum(parts)) for text, parts in found.items()}


def all_of(log_probs_SV, **options):
    return beam_decode(log_probs_SV, vocabulary=PIECES, step_seconds=0.04, beam_width=9000, n_best=9000, **options)


def test_a_text_is_one_hypothesis_with_the_probability_of_all_its_spellings():
    for seed in range(6):
        log_probs_SV = random_log_probs(seed, steps=4)
        found = all_of(log_probs_SV)
        assert {each.text: each.score for each in found} == pytest.approx(texts_by_brute_force(log_probs_SV), abs=1e-9)
        assert len({each.text for each in found}) == len(found)
        assert math.fsum(each.posterior for each in found) == pytest.approx(1)
        assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
        best = labels_by_brute_force(log_probs_SV)
        for each in found[:20]:
            same = {labels: p for labels, p in best.items() if PIECES.decode(labels) == each.text}
            assert best[each.labels] == pytest.approx(max(same.values()))
            assert [word.text for word in each.words] == each.text.split()


def hotword_score(text, boosts):
    words = text.split()
    return sum(
        boost * sum(words[k : k + len(hotword.split())] == hotword.split() for k in range(len(words)))
        for hotword, boost in boosts.items()
    )


@settings(max_examples=15)
@given(
    seeds, st.sampled_from([{"ab": 2.0}, {"a": 1.0, "a ab": 3.0, "b": -1.0}, {"aab": 4.0, "ab": -2.0, "a b a": 1.0}])
)
def test_hotwords_count_as_words_however_they_are_spelt(seed, boosts):
    log_probs_SV = random_log_probs(seed, steps=4)
    expected = {text: score + hotword_score(text, boosts) for text, score in texts_by_brute_force(log_probs_SV).items()}
    found = {each.text: each.score for each in all_of(log_probs_SV, hotwords=boosts)}
    assert found == pytest.approx(expected, abs=1e-9)


@settings(max_examples=60)
@given(seeds, st.lists(st.integers(1, 5), max_size=9))
def test_the_limit_of_a_hotwords_change_is_kept_and_its_changes_add_up(seed, labels):
    rng = random.Random(seed)
    boosts = {text: rng.uniform(-3, 6) for text in rng.sample(["a", "b", "ab", "aab", "a b", "ab ab", "ba"], k=3)}
    scorer = Hotwords(boosts).compile(PIECES)
    state, total = scorer.start(), 0.0
    for label in labels:
        state, change = scorer.extend(state, label)
        assert change <= scorer.max_change + 1e-12
        total += change
    assert total + scorer.finish(state) == pytest.approx(hotword_score(PIECES.decode(labels), boosts), abs=1e-9)


def test_the_limit_of_a_hotwords_change_is_tight_enough_to_prune_by():
    scorer = Hotwords({"abab": 6.0}).compile(PIECES)
    assert 6.0 * 2 / 4 <= scorer.max_change <= 6.0


@pytest.mark.parametrize("seed", range(3))
def test_a_language_model_scores_words_however_they_are_spelt(tmp_path, seed):
    (tmp_path / "toy.arpa").write_text(TOY)
    scorer = LanguageScorer(read_language_model(tmp_path / "toy.arpa"), LanguageWeights(0.7, 0.5, 4.0))
    definition, log_probs_SV = Definition(TOY), random_log_probs(seed, steps=4)
    expected = {}
    for text, score in texts_by_brute_force(log_probs_SV).items():
        words = text.split()
        unknown = sum(word not in ("a", "b", "ab") for word in words)
        expected[text] = score + 0.7 * sum(definition.scores(text)) + 0.5 * len(words) - 4.0 * unknown
    found = {each.text: each.score for each in all_of(log_probs_SV, scorers=[scorer])}
    assert found == pytest.approx(expected, abs=1e-4)


def is_begun(labels):
    """Whether labels write a text as constraints have it: with a space in front of every word and nowhere else."""
    written = "".join(map(PIECES.writes, labels))
    return written == "".join(f" {word}" for word in written.split())


@settings(max_examples=40)
@given(
    seeds, st.sampled_from([["ab", "b"], ["a b", "a", "ba ab"], ["aab", ""], ["ab ab"]]), st.booleans(), st.booleans()
)
def test_phrases_allow_their_texts_in_every_spelling_and_no_other(seed, texts, repeat, silence):
    phrases = Phrases(texts, repeat=repeat, silence=silence)
    log_probs_SV = random_log_probs(seed, steps=4)
    one = "|".join(re.escape(each) for each in texts if each)
    pattern = f"(?:{one})(?: (?:{one}))*" if repeat else one
    allowed = {
        text: score
        for text, score in texts_by_brute_force(log_probs_SV, is_written=is_begun).items()
        if re.fullmatch(pattern, text) or (not text and (silence or "" in texts))
    }
    found = all_of(log_probs_SV, phrases=phrases)
    if not allowed:
        assert found[0].score == -math.inf
        return
    scores = {each.text: each.score for each in found}
    assert scores.keys() == allowed.keys()
    # A lone space begins a text too: silence may be written with it.
    assert {t: s for t, s in scores.items() if t} == pytest.approx({t: s for t, s in allowed.items() if t}, abs=1e-9)


def fewest_steps(scorer, state, label, *, most=9):
    """The steps of the shortest end behind a state, by trying all labels: after a blank, and after the label itself."""

    def shortest(state, last, left):
        if scorer.finish(state) > -math.inf:
            return 0
        if not left:
            return math.inf
        return min(
            (
                1 + (each == last) + shortest(after, each, left - 1)
                for each in range(1, len(PIECES))
                for after, change in [scorer.extend(state, each)]
                if change > -math.inf
            ),
            default=math.inf,
        )

    return shortest(state, None, most), shortest(state, label, most)


@pytest.mark.parametrize("texts", [["aa"], ["aaaa", "b"], ["ab ab", "ba"], ["bbbb a"]])
@pytest.mark.parametrize("repeat", [False, True])
def test_the_steps_that_a_phrase_still_needs_are_the_fewest(texts, repeat):
    scorer = Phrases(texts, repeat=repeat, silence=False).compile(PIECES)
    waiting, seen = [(scorer.start(), None)], 0
    while waiting and seen < 150:
        state, label = waiting.pop(0)
        seen += 1
        assert scorer.steps_needed(state) == fewest_steps(scorer, state, label)
        for each in range(1, len(PIECES)):
            after, change = scorer.extend(state, each)
            if change > -math.inf:
                waiting.append((after, each))


def test_a_phrase_of_a_thousand_words_needs_no_deep_stack():
    text = " ".join(["abba"] * 1000)
    scorer = Phrases([text], silence=False).compile(PIECES)
    assert scorer.steps_needed(scorer.start())[0] <= len(PIECES.encode(text)) + 2000


@settings(max_examples=20)
@given(seeds)
def test_a_grammar_constrains_subwords_as_the_list_of_all_its_sentences(seed):
    rng = np.random.default_rng(seed)
    grammar = random_grammar(rng)
    graph = grammar.graph(normalize_text)
    texts, waiting = set(), [("", graph.start)]
    while waiting:
        text, places = waiting.pop()
        if graph.ends(places):
            texts.add(text)
        waiting += [(text + character, after) for character, after in graph.moves(places).items()]
    letters = sorted({*"".join(texts), *"abc'els"} - {" "})
    pairs = sorted({text[k : k + 2].replace(" ", SPACE) for text in texts for k in range(len(text) - 1)})
    pairs = [pair for pair in pairs if SPACE not in pair[1:]]
    pieces = [SPACE, *letters, *pairs]
    vocabulary = Vocabulary.of_subwords(Subwords(pieces, [-1.0] * len(pieces)))
    silence = bool(rng.integers(2))
    one = GrammarConstraint(grammar, silence=silence).compile(vocabulary)
    other = Phrases(sorted(texts), silence=silence).compile(vocabulary)
    waiting, done = [(one.start(), other.start())], set()
    while waiting:
        pair = waiting.pop()
        if pair in done:
            continue
        done.add(pair)
        state, expected = pair
        assert one.steps_needed(state) == other.steps_needed(expected)
        assert one.finish(state) == other.finish(expected)
        for label in range(1, len(vocabulary)):
            (after, change), (wanted, expected_change) = one.extend(state, label), other.extend(expected, label)
            assert change == expected_change
            if change == 0:
                waiting.append((after, wanted))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"beam_width": 4, "n_best": 3},
        {"beam_width": 8, "hotwords": {"ab": 3.0, "b a": 2.0}},
        {"beam_width": 8, "phrases": Phrases(["ab", "b a"], repeat=True)},
    ],
    ids=["greedy", "beam", "hotwords", "phrases"],
)
def test_a_stream_ends_with_what_decoding_all_steps_gives(options):
    options = DecodingOptions(**options).prepared(normalize=normalize_text, vocabulary=PIECES)
    how = {"vocabulary": PIECES, "step_seconds": 0.04, "options": options}
    for seed in range(20):
        log_probs_SV = random_log_probs(seed, steps=25)
        stream, rng = DecoderStream(**how), np.random.default_rng(seed)
        first = 0
        while first < 25:
            after = first + int(rng.integers(1, 6))
            stream.feed(log_probs_SV[first:after])
            partial = stream.partial()
            assert partial.text.split() == [word.text for word in partial.words]
            first = after
        expected = decode(log_probs_SV, **how)
        found = stream.finish()
        assert [(each.text, each.labels, each.words) for each in found] == [
            (each.text, each.labels, each.words) for each in expected
        ]


def test_words_have_the_times_and_confidences_of_their_pieces():
    log_probs_SV = np.log(np.full((6, 6), 0.02))
    for step, (label, peak) in enumerate([(5, 0.9), (3, 0.8), (0, 0.9), (1, 0.7), (4, 0.6), (0, 0.9)]):
        log_probs_SV[step, label] = math.log(peak)
    found = greedy_decode(log_probs_SV, vocabulary=PIECES, step_seconds=0.1)
    assert found.text == "ab ab" and found.labels == (5, 3, 1, 4)
    first, second = found.words
    assert (first.start_seconds, first.end_seconds) == (0.0, pytest.approx(0.2))
    assert (second.start_seconds, second.end_seconds) == (pytest.approx(0.3), pytest.approx(0.5))
    assert first.confidence == pytest.approx(math.sqrt(0.9 * 0.8)) and second.confidence == pytest.approx(
        math.sqrt(0.42)
    )


def test_a_lone_space_is_silence_to_an_endpoint():
    stream = DecoderStream(vocabulary=PIECES, step_seconds=0.1, options=DecodingOptions())
    log_probs_SV = np.log(np.full((3, 6), 0.02))
    for step, label in enumerate([2, PIECES.space_label, 0]):
        log_probs_SV[step, label] = math.log(0.9)
    stream.feed(log_probs_SV)
    assert stream.trailing_blank_steps == 2 and stream.has_label


def test_keywords_are_spelt_as_training_spells_them():
    scorer = KeywordScorer(["ab"], vocabulary=PIECES, step_seconds=0.04)
    labels = columns_of("ab", vocabulary=PIECES, blank_id=0, where="")
    log_probs_SV = np.log(np.full((len(labels), 6), 0.01))
    log_probs_SV[range(len(labels)), labels] = math.log(0.95)
    assert scorer.feed(log_probs_SV)[-1, 0] > 1


def test_what_no_piece_has_is_named_in_hotwords_phrases_and_grammars():
    for options, message in [
        ({"hotwords": ["abc"]}, r"hotword 'abc': 'c' \(U\+0063\) is not among the characters that this recogniser"),
        ({"phrases": Phrases(["ab", "x"])}, r"phrase 'x': 'x' \(U\+0078\) is not among the characters that this"),
    ]:
        with pytest.raises(TextError, match=message):
            DecodingOptions(beam_width=4, **options).prepared(normalize=normalize_text, vocabulary=PIECES)
