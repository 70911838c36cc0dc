"""Law 4 for the beam: scores, order, hotwords, phrases and language models against all paths and all texts."""

from __future__ import annotations

import itertools
import logging
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechgru.decoding import (
    Hotwords,
    Hypothesis,
    Phrases,
    PrefixScorer,
    Pruning,
    align,
    beam_decode,
    collapse,
    greedy_decode,
)
from speechgru.decoding import beam as beam_module
from speechgru.decoding.scorers import compile_together
from speechgru.errors import TextError
from speechgru.text import Vocabulary

VOCABULARY = Vocabulary([" ", "a", "b"])
SPACE, A, B = 1, 2, 3
WIDE = 2000  # more than there are texts in any case below
seeds = st.integers(0, 2**32 - 1)


def decode(log_probs_SV, **options):
    return beam_decode(log_probs_SV, **{"vocabulary": VOCABULARY, "step_seconds": 0.04, **options})


def all_of(log_probs_SV, **options):
    """Every text that the widest beam ends with."""
    return decode(log_probs_SV, beam_width=WIDE, n_best=WIDE, **options)


def random_log_probs(seed, *, steps=None, num_labels=4, sharpness=None):
    """Log-probabilities without ties: peaky or flat, one to five steps."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(1, 6) if steps is None else steps
    logits = rng.normal(0, rng.uniform(0.3, 4) if sharpness is None else sharpness, (steps, num_labels))
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def log_probs_of(path, *, peak=0.7, num_labels=4):
    probabilities = np.full((len(path), num_labels), (1 - peak) / (num_labels - 1))
    probabilities[range(len(path)), path] = peak
    return np.log(probabilities)


@st.composite
def log_probs_with_ties(draw, normalize=True):
    """One to five steps of four labels from few values, some of them impossible; sums are exact if not normalised."""
    rows = draw(
        st.lists(
            st.lists(st.sampled_from([-math.inf, -4.0, -3.0, -2.0, 0.0]), min_size=4, max_size=4).filter(
                lambda row: max(row) > -math.inf
            ),
            min_size=1,
            max_size=5,
        )
    )
    logits = np.array(rows)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)) if normalize else logits


def texts_by_brute_force(log_probs_SV, blank_id=0):
    """The probability of every text: all paths, added up by what they spell."""
    steps, num_labels = log_probs_SV.shape
    texts = {}
    for path in itertools.product(range(num_labels), repeat=steps):
        probability = math.exp(math.fsum(log_probs_SV[range(steps), path]))
        if probability:
            texts.setdefault(collapse(path, blank_id=blank_id), []).append(probability)
    return {labels: math.log(math.fsum(parts)) for labels, parts in texts.items()}


def slow_beam(log_probs_SV, *, beam_width, scorer=None, keep=-math.inf):
    """The textbook's beam, with every candidate written down and no word about speed: {labels: score}."""
    beam = {(): (0.0, -math.inf)}

    def state_and_bonus(labels):
        state, bonus = scorer.start() if scorer else None, 0.0
        for label in labels if scorer else ():
            state, change = scorer.extend(state, label)
            bonus += change
            if change == -math.inf:
                break
        return state, bonus

    for step, row in enumerate(log_probs_SV):
        candidates = {}

        def add(labels, blank, label, candidates=candidates):
            parts = candidates.setdefault(labels, ([], []))
            parts[0].append(blank)
            parts[1].append(label)

        for labels, (blank, last) in beam.items():
            total = np.logaddexp(blank, last)
            add(labels, total + row[0], last + row[labels[-1]] if labels else -math.inf)
            for label in range(1, len(row)):
                spelt = (blank if labels[-1:] == (label,) else total) + row[label]
                add((*labels, label), -math.inf, spelt)
        ranked = []
        for labels, (blanks, lasts) in candidates.items():
            state, bonus = state_and_bonus(labels)
            if bonus == -math.inf:
                continue
            needs = scorer.steps_needed(state) if scorer else (0, 0)
            left = len(log_probs_SV) - 1 - step
            blank = np.logaddexp.reduce(blanks) if needs[0] <= left else -math.inf
            last = np.logaddexp.reduce(lasts) if needs[1] <= left else -math.inf
            ranked.append((np.logaddexp(blank, last) + bonus, labels, blank, last))
        ranked.sort(key=lambda entry: -entry[0])
        ranked = [entry for entry in ranked[:beam_width] if entry[0] > -math.inf and entry[0] >= ranked[0][0] + keep]
        beam = {labels: (blank, last) for _, labels, blank, last in ranked}
    ends = {}
    for labels, (blank, last) in beam.items():
        state, bonus = state_and_bonus(labels)
        score = np.logaddexp(blank, last) + bonus + (scorer.finish(state) if scorer else 0.0)
        if score > -math.inf:
            ends[labels] = score
    return ends


def assert_same_scores(hypotheses, expected, tolerance=1e-9):
    """All texts of `expected` with their scores, in its order wherever scores differ."""
    found = {hypothesis.labels: hypothesis.score for hypothesis in hypotheses}
    assert len(found) == len(hypotheses)
    assert found == pytest.approx(expected, abs=tolerance)
    scores = [hypothesis.score for hypothesis in hypotheses]
    assert scores == sorted(scores, reverse=True)
    in_order = [(-hypothesis.score, hypothesis.labels) for hypothesis in hypotheses]
    assert in_order == sorted(in_order)


# --- the search ---


@settings(max_examples=60)
@given(log_probs_with_ties())
def test_a_wide_beam_finds_every_text_with_its_probability(log_probs_SV):
    assert_same_scores(all_of(log_probs_SV), texts_by_brute_force(log_probs_SV))


@settings(max_examples=60)
@given(seeds, st.integers(1, 4))
def test_n_best_are_the_best_of_all_texts(seed, n_best):
    log_probs_SV = random_log_probs(seed)
    texts = texts_by_brute_force(log_probs_SV)
    best = sorted(texts, key=texts.get, reverse=True)[:n_best]
    assert [hypothesis.labels for hypothesis in decode(log_probs_SV, beam_width=WIDE, n_best=n_best)] == best


@settings(max_examples=150)
@given(seeds, st.integers(1, 6), st.sampled_from([-math.inf, -4.0, -1.0]))
def test_a_narrow_beam_is_the_textbooks(seed, beam_width, keep):
    log_probs_SV = random_log_probs(seed, steps=8)
    found = decode(
        log_probs_SV,
        beam_width=beam_width,
        n_best=beam_width,
        pruning=None if keep == -math.inf else Pruning(beam_log_prob=keep),
    )
    assert_same_scores(found, slow_beam(log_probs_SV, beam_width=beam_width, keep=keep))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ([A, A, A], "a"),
        ([A, 0, A], "aa"),
        ([A, 0, 0, A, A], "aa"),
        ([A, B, A], "aba"),
        ([0, 0, 0], ""),
        ([A], "a"),
        ([0], ""),
        ([SPACE, A, SPACE, 0, SPACE, B, SPACE], "a b"),
    ],
)
def test_texts_of_clear_paths(path, text):
    assert decode(log_probs_of(path, peak=0.97))[0].text == text


def test_the_best_text_may_not_be_the_best_path():
    log_probs_SV = np.log([[0.6, 0.4], [0.6, 0.4]])
    vocabulary = Vocabulary(["a"])
    assert greedy_decode(log_probs_SV, vocabulary=vocabulary, step_seconds=1).text == ""
    best, second = decode(log_probs_SV, vocabulary=vocabulary, n_best=16)
    assert (best.text, second.text) == ("a", "")
    assert best.score == pytest.approx(math.log(0.64))
    assert best.posterior == pytest.approx(0.64)


def test_no_step_is_the_empty_text():
    assert decode(np.zeros((0, 4), np.float32)) == [Hypothesis(posterior=1.0)]


def test_blanks_alone():
    log_probs_SV = np.full((3, 4), -np.inf)
    log_probs_SV[:, 0] = 0.0
    (only,) = decode(log_probs_SV, n_best=16)
    assert (only.text, only.score, only.posterior, only.confidence) == ("", 0.0, 1.0, 1.0)


def test_equal_scores_go_to_the_shorter_text_and_the_lower_label():
    for steps in (1, 2, 3):
        hypotheses = all_of(np.full((steps, 4), math.log(0.25)))
        in_order = [(-round(hypothesis.score, 9), hypothesis.labels) for hypothesis in hypotheses]
        assert in_order == sorted(in_order)
    assert [h.labels for h in decode(np.full((1, 4), math.log(0.25)), beam_width=2, n_best=2)] == [(), (SPACE,)]


def test_scores_of_long_utterances_do_not_underflow():
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 1, (3000, 4))
    log_probs_SV = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    hypothesis = decode(log_probs_SV, beam_width=4)[0]
    assert -3000 * math.log(4) < hypothesis.score < -1000
    assert 0 < hypothesis.confidence < 1


@settings(max_examples=30)
@given(seeds, st.integers(1, 3))
def test_the_blank_may_be_any_column(seed, blank_id):
    log_probs_SV = random_log_probs(seed)
    moved_SV = np.insert(log_probs_SV[:, 1:], blank_id, log_probs_SV[:, 0], axis=1)
    options = {"hotwords": {"a b": 2.0}, "phrases": Phrases(["a", "b", "ab"], repeat=True), "n_best": 8}
    expected = decode(log_probs_SV, **options)
    found = decode(moved_SV, blank_id=blank_id, **options)
    assert [h.text for h in found] == [h.text for h in expected]
    assert [h.score for h in found] == [h.score for h in expected]
    assert [h.words for h in found] == [h.words for h in expected]


def test_float32_is_summed_in_double_precision():
    log_probs_SV = random_log_probs(5, steps=5).astype(np.float32)
    assert_same_scores(all_of(log_probs_SV), texts_by_brute_force(log_probs_SV.astype(np.float64)), tolerance=1e-12)


# --- pruning ---


@settings(max_examples=60)
@given(seeds, st.floats(-6, -0.2))
def test_pruned_labels_count_as_impossible_but_never_the_best(seed, limit):
    log_probs_SV = random_log_probs(seed)
    pruned_SV = np.full(log_probs_SV.shape, -np.inf)
    for step, label in np.ndindex(log_probs_SV.shape):
        if log_probs_SV[step, label] >= limit or label == log_probs_SV[step].argmax():
            pruned_SV[step, label] = log_probs_SV[step, label]
    found = all_of(log_probs_SV, pruning=Pruning(token_log_prob=limit))
    assert_same_scores(found, texts_by_brute_force(pruned_SV))


@settings(max_examples=60)
@given(seeds, st.floats(0.3, 0.999))
def test_skipping_blank_steps_takes_no_more_than_it_says(seed, limit):
    log_probs_SV = random_log_probs(seed)
    log_probs_SV[::2, 0] += 3
    log_probs_SV -= np.log(np.exp(log_probs_SV).sum(axis=1, keepdims=True))
    blank_S = np.exp(log_probs_SV[:, 0])
    bound = (1 - blank_S)[blank_S >= limit].sum()
    exact = texts_by_brute_force(log_probs_SV)
    found = {h.labels: h.score for h in all_of(log_probs_SV, pruning=Pruning(blank_log_prob=math.log(limit)))}
    for labels, score in exact.items():
        lost = math.exp(score) - math.exp(found.get(labels, -math.inf))
        assert -1e-12 <= lost <= bound + 1e-12


@pytest.mark.parametrize("name", ["token_log_prob", "beam_log_prob", "blank_log_prob"])
@pytest.mark.parametrize("value", [0.5, math.nan])
def test_limits_are_logarithms(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a natural logarithm of at most 0"):
        Pruning(**{name: value})


# --- hotwords ---


def hotword_score(text, boosts):
    """Written from the definition: whole words, every occurrence."""
    words = text.split()
    return sum(
        boost * sum(words[i : i + len(hotword.split())] == hotword.split() for i in range(len(words)))
        for hotword, boost in boosts.items()
    )


def text_of(labels):
    return VOCABULARY.decode(labels)


BOOSTS = [
    {"a": 2.0},
    {"ab": 1.5},
    {"a": 1.0, "ab": 3.0, "b a": 2.0},
    {"a b": 2.0, "b a": 1.0, "a": -1.0},
    {"aa": 2.5, "aab": 1.0, "b": 0.25},
    {"a a": 2.0, "a a a": 4.0},
    {"ba": -2.0, "bab": -1.0},
]


@pytest.mark.parametrize("boosts", BOOSTS)
def test_hotwords_change_the_score_of_every_text_by_whole_matches(boosts):
    for seed in range(6):
        log_probs_SV = random_log_probs(seed, steps=5)
        texts = texts_by_brute_force(log_probs_SV)
        expected = {labels: score + hotword_score(text_of(labels), boosts) for labels, score in texts.items()}
        assert_same_scores(all_of(log_probs_SV, hotwords=boosts), expected)


def bonus_of(scorer, labels):
    """All that a scorer adds on the way of a text, and what it has added after each label."""
    state, bonus, bonuses = scorer.start(), 0.0, []
    for label in labels:
        state, change = scorer.extend(state, label)
        assert change <= scorer.max_change
        bonus += change
        bonuses.append(bonus)
    return bonus + scorer.finish(state), bonuses


def compiled(*, hotwords=(), boost=1.0, phrases=None, scorers=(), vocabulary=VOCABULARY):
    asked = [*([phrases] if phrases else []), *([Hotwords(hotwords, boost=boost)] if hotwords else []), *scorers]
    return compile_together(asked, vocabulary, blank_id=0)


@settings(max_examples=300)
@given(
    st.dictionaries(
        st.text(" ab", min_size=1, max_size=5).filter(lambda text: text.split()).map(lambda t: " ".join(t.split())),
        st.integers(-4, 4).map(float),
        min_size=1,
        max_size=5,
    ),
    st.text(" ab", max_size=14),
)
def test_the_boosts_of_any_text_are_those_of_its_whole_matches(boosts, text):
    total, _ = bonus_of(compiled(hotwords=boosts), VOCABULARY.encode(text))
    assert total == pytest.approx(hotword_score(text, boosts), abs=1e-9)


LETTERS = Vocabulary(" abcdefghijklmnopqrstuvwxyz")


def letters_bonus(text, hotwords, boost=6.0):
    scorer = compiled(hotwords=hotwords, boost=boost, vocabulary=LETTERS)
    return bonus_of(scorer, LETTERS.encode(text))


def test_a_hotword_is_rewarded_between_word_borders_only():
    for text in ("concatenate", "cats", "scat", "c at", "ca", "the catalogue"):
        assert letters_bonus(text, ["cat"])[0] == pytest.approx(0.0), text
    for text in ("cat", "the cat", "cat sat", " cat", "the  cat ", "a cat b"):
        assert letters_bonus(text, ["cat"])[0] == pytest.approx(6.0), text
    assert letters_bonus("cat cat cat", ["cat"])[0] == pytest.approx(18.0)


def test_a_match_is_rewarded_letter_by_letter_and_taken_back_when_it_breaks():
    assert letters_bonus("the cat", ["cat"])[1] == pytest.approx([0, 0, 0, 0, 2, 4, 6])
    assert letters_bonus("cats", ["cat"])[1] == pytest.approx([2, 4, 6, 0])
    assert letters_bonus("cab", ["cat"])[1] == pytest.approx([2, 4, 0])
    assert letters_bonus("cat s", ["cat"])[1] == pytest.approx([2, 4, 6, 6, 6])
    # two matches under way at a time, each with its share
    both = letters_bonus("new york", {"new york": 8.0, "york city": 9.0})[1]
    assert both == pytest.approx([1, 2, 3, 4, 5 + 1, 6 + 2, 7 + 3, 8 + 4])


def test_overlapping_hotwords_all_count():
    boosts = {"new york": 4.0, "york city": 3.0, "york": 1.0}
    assert letters_bonus("new york city", boosts)[0] == pytest.approx(8.0)
    assert letters_bonus("new york", boosts)[0] == pytest.approx(5.0)
    assert letters_bonus("new yorker", boosts)[0] == pytest.approx(0.0)
    # the longer match breaks, the shorter that began inside it goes on
    assert letters_bonus("new york citadel", boosts)[0] == pytest.approx(5.0)


def test_a_hotword_wins_over_a_slightly_better_text():
    log_probs_SV = np.log(
        [[0.02, 0.02, 0.95, 0.01], [0.97, 0.01, 0.01, 0.01], [0.02, 0.02, 0.44, 0.52], [0.97, 0.01, 0.01, 0.01]]
    )
    assert decode(log_probs_SV)[0].text == "ab"
    assert decode(log_probs_SV, hotwords=["aa"], hotword_boost=1.0)[0].text == "aa"
    assert decode(log_probs_SV, hotwords={"aa": 1.0}, beam_width=1)[0].text == "aa", "the beam lost it on the way"
    assert decode(log_probs_SV, hotwords={"aa": 1.0, "ab": 1.0})[0].text == "ab"


def test_without_a_space_the_ends_are_the_borders():
    vocabulary = Vocabulary("ab")
    scorer = compiled(hotwords=["ab"], vocabulary=vocabulary)
    assert [bonus_of(scorer, vocabulary.encode(text))[0] for text in ("ab", "abb", "aab", "abab", "")] == [
        1,
        0,
        0,
        0,
        0,
    ]


COMMANDS = Vocabulary(["lights", "off", "on"], unit="word")


@settings(max_examples=40)
@given(seeds, st.sampled_from([{"on": 1.0}, {"lights on": 2.0, "on": -0.5, "on on": 1.0, "on lights on": 3.0}]))
def test_hotwords_of_a_vocabulary_of_words(seed, boosts):
    log_probs_SV = random_log_probs(seed, steps=5)
    texts = texts_by_brute_force(log_probs_SV)
    expected = {labels: score + hotword_score(COMMANDS.decode(labels), boosts) for labels, score in texts.items()}
    found = all_of(log_probs_SV, vocabulary=COMMANDS, hotwords=boosts)
    assert_same_scores(found, expected)
    for hypothesis in found:
        assert [word.text for word in hypothesis.words] == hypothesis.text.split()
        assert hypothesis.text == COMMANDS.decode(hypothesis.labels)


@settings(max_examples=40)
@given(seeds, st.sampled_from([["on", "off"], ["lights on", "lights off", "on"], ["on on", ""]]), st.booleans())
def test_phrases_of_a_vocabulary_of_words(seed, texts, repeat):
    phrases = Phrases(texts, repeat=repeat)
    log_probs_SV = random_log_probs(seed, steps=int(np.random.default_rng(seed).integers(2, 6)))
    expected = {
        labels: score
        for labels, score in texts_by_brute_force(log_probs_SV).items()
        if is_allowed(COMMANDS.decode(labels), phrases)
    }
    found = all_of(log_probs_SV, vocabulary=COMMANDS, phrases=phrases)
    assert_same_scores(found if expected else [], expected)
    assert decode(log_probs_SV, vocabulary=COMMANDS, phrases=phrases, beam_width=1)[0].labels in (expected or [()])


@pytest.mark.parametrize(
    ("hotwords", "message"),
    [
        ("ab", "must be a list of phrases"),
        (iter(["ab"]), "must be a list of phrases"),
        ([" "], "at least one character other than a space, got ' '"),
        ({"a": math.inf}, "hotword 'a': the boost must be a finite number, got inf"),
        ({"a  b": 1.0, "a b": 2.0}, "hotword 'a b' stands twice, with the boosts 1.0 and 2.0"),
        (["aß"], r"hotword 'aß': 'ß' \(U\+00DF\) is not in the vocabulary"),
    ],
)
def test_hotwords_that_cannot_be(hotwords, message):
    with pytest.raises(TextError, match=message):
        decode(random_log_probs(0), hotwords=hotwords)


# --- phrases ---

PHRASE_LISTS = [
    Phrases(["a"], silence=False),
    Phrases(["ab", "abb", "b"]),
    Phrases(["aa", "b b", ""], silence=False),
    Phrases(["a b", "a a b"], silence=False),
    Phrases(["a", "b"], repeat=True, silence=False),
    Phrases(["a", "a b", "b a"], repeat=True),
    Phrases(["aab", "", "b"], repeat=True, silence=False),
    Phrases(["aabb aabb"]),
    Phrases(["aabb aabb"], silence=False),
]


def allowed_texts(phrases):
    return (*phrases.texts, "") if phrases.silence else phrases.texts


def is_allowed(text, phrases):
    """Written from the definition, as a regular expression."""
    one = "|".join(re.escape(each) for each in phrases.texts if each)
    pattern = f"(?:{one})(?: (?:{one}))*" if phrases.repeat else f"(?:{one})"
    return bool(re.fullmatch(pattern, text)) or (text == "" and "" in allowed_texts(phrases))


@pytest.mark.parametrize("phrases", PHRASE_LISTS, ids=str)
def test_phrases_leave_the_allowed_texts_with_their_probabilities(phrases):
    for seed in range(8):
        log_probs_SV = random_log_probs(seed)
        texts = texts_by_brute_force(log_probs_SV)
        expected = {labels: score for labels, score in texts.items() if is_allowed(text_of(labels), phrases)}
        found = all_of(log_probs_SV, phrases=phrases)
        if expected:
            assert_same_scores(found, expected)
        else:
            assert found == [Hypothesis(score=-math.inf, confidence=0.0, posterior=0.0)]


@settings(max_examples=200)
@given(seeds, st.sampled_from(PHRASE_LISTS), st.integers(1, 3))
def test_even_a_narrow_beam_ends_with_an_allowed_text_where_one_fits(seed, phrases, beam_width):
    log_probs_SV = random_log_probs(seed, steps=int(np.random.default_rng(seed).integers(1, 12)))
    texts = allowed_texts(phrases)
    shortest = min(len(text) + sum(one == two for one, two in itertools.pairwise(text)) for text in texts)
    best = decode(log_probs_SV, phrases=phrases, beam_width=beam_width)[0]
    if len(log_probs_SV) >= shortest:
        assert best.score > -math.inf
        assert is_allowed(text_of(best.labels), phrases)
    else:
        assert (best.text, best.score, best.confidence) == ("", -math.inf, 0.0)


@settings(max_examples=100)
@given(
    st.lists(st.text(" ab", min_size=1, max_size=6), min_size=1, max_size=4),
    st.booleans(),
    st.booleans(),
    st.text(" ab", max_size=9),
)
def test_prefixes_and_steps_needed_are_those_of_the_list(texts, repeat, silence, prefix):
    if not any(text.split() for text in texts):
        return
    phrases = Phrases(texts, repeat=repeat, silence=silence)
    scorer = compiled(phrases=phrases)
    # all allowed texts that are long enough to tell
    parts = [text for text in phrases.texts if text]
    longest = len(prefix) + max(map(len, parts)) + 1
    allowed = set(allowed_texts(phrases))
    grown = set(parts)
    while grown and repeat:
        grown = {f"{text} {part}" for text in grown for part in parts if len(text) + 1 + len(part) <= longest} - allowed
        allowed |= grown
    state, change = scorer.start(), 0.0
    for label in VOCABULARY.encode(prefix):
        state, change = scorer.extend(state, label)
        if change == -math.inf:
            break
    goes_on = [text[len(prefix) :] for text in allowed if text.startswith(prefix)]
    assert (change == 0.0) == bool(goes_on)
    if goes_on:
        assert (scorer.finish(state) == 0.0) == ("" in goes_on)

        def steps(text, before):
            return len(text) + sum(one == two for one, two in itertools.pairwise(before + text))

        assert scorer.steps_needed(state) == (
            min(steps(text, "") for text in goes_on),
            min(steps(text, prefix[-1:]) for text in goes_on),
        )


def test_a_phrase_that_cannot_end_in_time_does_not_win():
    log_probs_SV = log_probs_of([A, B, 0, 0], peak=0.97)
    phrases = Phrases(["abaab", "b"], silence=False)
    assert decode(log_probs_SV, phrases=phrases, beam_width=1)[0].text == "b"


def test_nothing_allowed_fits_is_reported():
    (nothing,) = decode(log_probs_of([A, A]), phrases=Phrases(["aa"], silence=False), n_best=5)
    assert (nothing.text, nothing.words, nothing.score) == ("", (), -math.inf)
    assert (nothing.confidence, nothing.posterior) == (0.0, 0.0)
    only_a = Phrases(["a"], silence=False)
    assert decode(np.zeros((0, 4)), phrases=only_a)[0].confidence == 0.0
    assert decode(np.zeros((0, 4)), phrases=["a"])[0].confidence == 0.0
    impossible = np.full((3, 4), -np.inf)
    impossible[:, B] = 0.0
    assert decode(impossible, phrases=only_a)[0].score == -math.inf


def test_silence_is_allowed_unless_asked_otherwise():
    silent_SV = log_probs_of([0] * 6)
    for allowed in (Phrases(["ab", "b"]), Phrases(["ab", "b"], repeat=True), Phrases(["", "ab"], silence=False)):
        (best,) = decode(silent_SV, phrases=allowed)
        assert (best.text, best.words) == ("", ()) and best.confidence > 0.5, allowed
    (forced,) = decode(silent_SV, phrases=Phrases(["ab", "b"], silence=False))
    assert forced.text == "b"
    (spoken,) = decode(log_probs_of([A, B, 0]), phrases=["ab", "b"])
    assert spoken.text == "ab", "silence takes no text's place"


def test_phrases_beat_the_free_search_however_improbable():
    log_probs_SV = np.full((400, 4), -60.0)
    log_probs_SV[:, 0] = 0.0
    phrases = Phrases(["ab ab ab ab ab", "ba"], silence=False)
    (best,) = decode(log_probs_SV, phrases=phrases, beam_width=2)
    assert best.text == "ba"
    one = Phrases(["ab ab ab ab ab"], silence=False)
    (best,) = decode(log_probs_SV, phrases=one, beam_width=1)
    assert best.text == "ab ab ab ab ab"
    # with a place for each of the 15 prefixes nothing is dropped: one label a step, 14 of 400 steps
    (best,) = decode(log_probs_SV, phrases=one, beam_width=15)
    assert best.score == pytest.approx(-60 * 14 + math.log(math.comb(400, 14)))


def test_repeats_need_the_space_that_parts_them():
    with pytest.raises(
        TextError, match=r"the space between repeated phrases: ' ' \(U\+0020\) is not in the vocabulary"
    ):
        decode(random_log_probs(0, num_labels=3), vocabulary=Vocabulary("ab"), phrases=Phrases(["a"], repeat=True))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Phrases("yes"), "must be a list of texts, got the one text 'yes'"),
        (lambda: Phrases([]), "at least one text that is not empty"),
        (lambda: Phrases(["", " "]), "at least one text that is not empty"),
        (lambda: decode(random_log_probs(0), phrases=["ax"]), r"phrase 'ax': 'x' \(U\+0078\) is not in the vocabulary"),
    ],
)
def test_phrases_that_cannot_be(make, message):
    with pytest.raises(TextError, match=message):
        make()


@pytest.mark.parametrize("limit", ["token_log_prob", "blank_log_prob"])
def test_pruning_that_could_forbid_a_phrase_is_refused(limit):
    with pytest.raises(ValueError, match="would leave out labels that an allowed text needs; with phrases or another"):
        decode(random_log_probs(0), phrases=["a"], pruning=Pruning(**{limit: -5.0}))


# --- other scorers ---


class Bigram(PrefixScorer):
    """A toy language model: log P(label | label before), 0 the border of the text."""

    max_change = 0.0

    def __init__(self, seed, weight=0.8):
        table = np.random.default_rng(seed).random((4, 4))
        self.table = weight * np.log(table / table.sum(axis=1, keepdims=True))
        self.asked = 0

    def start(self):
        return 0

    def extend(self, state, label):
        self.asked += 1
        return label, float(self.table[state, label])

    def finish(self, state):
        return float(self.table[state, 0])

    def of(self, labels):
        return sum(self.table[pair] for pair in itertools.pairwise((0, *labels, 0)))


@settings(max_examples=30)
@given(seeds)
def test_a_language_model_adds_its_scores(seed):
    log_probs_SV, model = random_log_probs(seed), Bigram(seed)
    expected = {labels: score + model.of(labels) for labels, score in texts_by_brute_force(log_probs_SV).items()}
    assert_same_scores(all_of(log_probs_SV, scorers=[model]), expected)


@settings(max_examples=30)
@given(seeds, st.sampled_from(BOOSTS), st.sampled_from(PHRASE_LISTS))
def test_scorers_add_up(seed, boosts, phrases):
    log_probs_SV, model = random_log_probs(seed, steps=5), Bigram(seed)
    expected = {
        labels: score + model.of(labels) + hotword_score(text_of(labels), boosts)
        for labels, score in texts_by_brute_force(log_probs_SV).items()
        if is_allowed(text_of(labels), phrases)
    }
    found = all_of(log_probs_SV, scorers=[model], hotwords=boosts, phrases=phrases)
    assert_same_scores(found if expected else [], expected)


@settings(max_examples=150)
@given(seeds, st.integers(1, 6), st.sampled_from(BOOSTS), st.sampled_from([None, *PHRASE_LISTS]), st.booleans())
def test_a_narrow_beam_with_scorers_is_the_textbooks(seed, beam_width, boosts, phrases, with_model):
    log_probs_SV = random_log_probs(seed, steps=7)
    options = {"hotwords": boosts, "phrases": phrases, "scorers": [Bigram(seed)] if with_model else []}
    expected = slow_beam(log_probs_SV, beam_width=beam_width, scorer=compiled(**options))
    found = decode(log_probs_SV, beam_width=beam_width, n_best=beam_width, **options)
    assert_same_scores(found if expected else [], expected)


def test_a_scorer_that_bounds_its_changes_is_asked_less_and_answers_the_same():
    log_probs_SV = random_log_probs(1, steps=40, sharpness=3.0)

    class History(Bigram):
        """The same scores with all labels as the state, so that no answer serves twice."""

        def start(self):
            return (0,)

        def extend(self, state, label):
            return (*state, label), super().extend(state[-1], label)[1]

        def finish(self, state):
            return super().finish(state[-1])

    bounded, free = History(1), History(1)
    free.max_change = math.inf
    assert decode(log_probs_SV, scorers=[bounded]) == decode(log_probs_SV, scorers=[free])
    assert bounded.asked < 0.7 * free.asked


@pytest.mark.parametrize("change", [math.nan, math.inf, 0.5])
def test_a_scorer_that_breaks_its_promise_is_reported(change):
    class Wrong(Bigram):
        def extend(self, state, label):
            return label, change

    with pytest.raises(ValueError, match=rf"Wrong\.extend changed the score by {change} at label"):
        decode(random_log_probs(0), scorers=[Wrong(0)])

    class WrongEnd(Bigram):
        def finish(self, state):
            return math.nan

    with pytest.raises(ValueError, match=r"WrongEnd\.finish must return a number below infinity, got nan"):
        decode(random_log_probs(0), scorers=[WrongEnd(0)])


# --- alignment, times, confidence ---


@settings(max_examples=80)
@given(log_probs_with_ties(normalize=False))
def test_alignment_is_the_best_path_of_its_labels(log_probs_SV):
    steps = len(log_probs_SV)
    best = {}
    for path in itertools.product(range(4), repeat=steps):  # the first of equals is the lowest
        score = log_probs_SV[range(steps), path].sum()
        labels = collapse(path)
        if labels not in best or score > best[labels][0]:
            best[labels] = (score, path)
    for labels, (score, path) in best.items():
        if score == -math.inf:
            if labels:
                with pytest.raises(ValueError, match="has probability 0"):
                    align(log_probs_SV, labels)
            continue
        runs = [(label, len(list(run))) for label, run in itertools.groupby(path)]
        ends = list(itertools.accumulate(length for _, length in runs))
        expected = [(end - length, end) for (label, length), end in zip(runs, ends, strict=True) if label]
        assert align(log_probs_SV, labels) == expected


@settings(max_examples=60)
@given(seeds, st.integers(1, 40))
def test_alignment_of_the_greedy_labels_is_the_greedy_path(seed, steps):
    log_probs_SV = random_log_probs(seed, steps=steps)
    greedy = greedy_decode(log_probs_SV, vocabulary=VOCABULARY, step_seconds=1)
    assert align(log_probs_SV, greedy.labels) == list(greedy.spans)


@pytest.mark.parametrize("peak", [0.4, 0.9])
def test_where_beam_and_greedy_agree_times_and_confidences_are_the_same(monkeypatch, peak):
    log_probs_SV = log_probs_of([0, A, A, 0, B, SPACE, 0, A, 0, 0], peak=peak)
    greedy = greedy_decode(log_probs_SV, vocabulary=VOCABULARY, step_seconds=0.1)
    by_path = {h.labels: h for h in decode(log_probs_SV, beam_width=64, n_best=64, step_seconds=0.1)}[greedy.labels]
    assert (by_path.text, by_path.words, by_path.spans) == (greedy.text, greedy.words, greedy.spans)
    assert by_path.confidence == greedy.confidence
    assert by_path.score > greedy.score  # all paths, not one

    def must_not_run(*_, **__):
        raise AssertionError("the greedy path was there")

    # a clear utterance needs no alignment
    clear_SV = log_probs_of([0, A, A, 0, B], peak=0.95)
    monkeypatch.setattr(beam_module, "align", must_not_run)
    assert decode(clear_SV)[0].text == "ab"


@settings(max_examples=60)
@given(seeds)
def test_times_are_those_of_the_alignment(seed):
    log_probs_SV = random_log_probs(seed, steps=9)
    for hypothesis in decode(log_probs_SV, n_best=5, step_seconds=0.5):
        assert list(hypothesis.spans) == align(log_probs_SV, hypothesis.labels)
        assert [word.text for word in hypothesis.words] == hypothesis.text.split()
        assert 0 <= hypothesis.confidence <= 1
        ends = [0.0]
        for word in hypothesis.words:
            assert ends[-1] <= word.start_seconds < word.end_seconds <= 4.5
            assert 0 <= word.confidence <= 1
            ends.append(word.end_seconds)


@settings(max_examples=40)
@given(seeds)
def test_posteriors_are_shares_of_the_exponentiated_scores(seed):
    hypotheses = all_of(random_log_probs(seed), hotwords={"a": 1.0})
    assert sum(hypothesis.posterior for hypothesis in hypotheses) == pytest.approx(1)
    for one, two in itertools.pairwise(hypotheses):
        assert one.posterior >= two.posterior
        assert one.posterior / two.posterior == pytest.approx(math.exp(one.score - two.score))


def test_surer_posteriors_are_surer_hypotheses():
    sure = [decode(log_probs_of([A, 0, B], peak=peak))[0] for peak in (0.6, 0.8, 0.95, 0.999)]
    for one, two in itertools.pairwise(sure):
        assert one.posterior < two.posterior
        assert one.confidence < two.confidence
        assert one.words[0].confidence < two.words[0].confidence


@pytest.mark.parametrize(
    ("log_probs_SV", "labels", "message"),
    [
        (np.zeros((2, 4)), [A, A], "2 labels with 1 equal neighbours need 3 steps, but there are 2"),
        (np.zeros((2, 4)), [A, 0], r"other than the blank 0, got \[0\]"),
        (np.zeros((2, 4)), [4, -1], r"columns 0 to 3 other than the blank 0, got \[4, -1\]"),
        (np.zeros(3), [A], r"two axes \(steps, labels\), got shape \(3,\)"),
        (np.full((2, 4), -np.inf), [A], "every path that spells the 1 labels has probability 0"),
    ],
)
def test_what_cannot_be_aligned_is_said(log_probs_SV, labels, message):
    with pytest.raises(ValueError, match=message):
        align(log_probs_SV, labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_width": 0}, "beam_width must be at least 1, got 0"),
        ({"n_best": 0}, r"n_best must be 1 to beam_width \(16\), got 0"),
        ({"n_best": 17}, r"n_best must be 1 to beam_width \(16\), got 17"),
        ({"step_seconds": 0.0}, "step_seconds must be a positive"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        decode(random_log_probs(0), **options)


# --- peers ---


def by_text(hypotheses):
    """Scores of texts: what differs in spaces only is one text."""
    scores = {}
    for hypothesis in hypotheses:
        scores.setdefault(hypothesis.text, []).append(hypothesis.score)
    return {text: float(np.logaddexp.reduce(parts)) for text, parts in scores.items()}


def test_scores_are_pyctcdecodes():
    """It merges by words, so a text's score there is the sum over all spellings of its spaces."""
    pyctcdecode = pytest.importorskip("pyctcdecode")
    logging.getLogger("pyctcdecode").setLevel(logging.ERROR)
    decoder = pyctcdecode.build_ctcdecoder(["", *VOCABULARY.characters])
    for seed, limit in itertools.product(range(20), [-1000.0, -2.0]):
        log_probs_SV = random_log_probs(seed, steps=5)
        beams = decoder.decode_beams(log_probs_SV, beam_width=WIDE, beam_prune_logp=-1000, token_min_logp=limit)
        expected = {}
        for text, _, _, logit_score, _ in beams:
            expected.setdefault(text, []).append(logit_score)
        expected = {text: float(np.logaddexp.reduce(parts)) for text, parts in expected.items()}
        assert by_text(all_of(log_probs_SV, pruning=Pruning(token_log_prob=limit))) == pytest.approx(expected, abs=1e-6)


def test_scores_are_flashlight_texts():
    """Its lexicon-free decoder adds all alignments too, but gives a text apart for an end in a blank: we add those."""
    peer = pytest.importorskip("flashlight.lib.text.decoder")
    options = peer.LexiconFreeDecoderOptions(
        beam_size=WIDE,
        beam_size_token=4,
        beam_threshold=1000.0,
        lm_weight=0.0,
        sil_score=0.0,
        log_add=True,
        criterion_type=peer.CriterionType.CTC,
    )
    decoder = peer.LexiconFreeDecoder(options, peer.ZeroLM(), -1, 0, [])
    for seed in range(20):
        log_probs_SV = np.ascontiguousarray(random_log_probs(seed, steps=5), np.float32)
        steps, num_labels = log_probs_SV.shape
        expected = {}
        for result in decoder.decode(log_probs_SV.ctypes.data, steps, num_labels):
            expected.setdefault(collapse(result.tokens[1:-1]), []).append(result.score)
        expected = {labels: float(np.logaddexp.reduce(parts)) for labels, parts in expected.items()}
        assert {h.labels: h.score for h in all_of(log_probs_SV)} == pytest.approx(expected, abs=1e-9)
