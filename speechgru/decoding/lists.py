"""Decoding options from what a user lists: files and options of a command line."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from speechgru.decoding.custom_scorer import load_scorer
from speechgru.decoding.grammar import GrammarConstraint
from speechgru.decoding.gru_language import gru_language_from
from speechgru.decoding.hotwords import HOTWORD_BOOST
from speechgru.decoding.language import LanguageWeights, language_from
from speechgru.decoding.options import USUAL_BEAM_WIDTH, DecodingOptions
from speechgru.decoding.phrases import Phrases
from speechgru.decoding.scorers import Scorer
from speechgru.decoding.settings import DecodingSettings
from speechgru.errors import TextError, UserError
from speechgru.files import describe_undecodable, read_text, split_lines
from speechgru.grammar import Grammar
from speechgru.language.gru import is_gru
from speechgru.text import quoted


def options_from_lists(
    *,
    beam_width: int | None = None,
    n_best: int = 1,
    hotwords: Sequence[str] = (),
    hotword_file: str | Path | None = None,
    phrase_file: str | Path | None = None,
    repeat_phrases: bool = False,
    grammar: bool = False,
    grammar_file: str | Path | None = None,
    silence: bool = True,
    language: bool = False,
    language_model: str | Path | None = None,
    language_weight: float | None = None,
    word_bonus: float | None = None,
    unknown_penalty: float | None = None,
    blank_penalty: float | None = None,
    gru_language_model: str | Path | None = None,
    gru_weight: float | None = None,
    gru_word_bonus: float | None = None,
    rescore: Sequence[str] = (),
    scorers: Sequence[str] = (),
    threshold: float | None = None,
    settings: str | Path | None = None,
) -> DecodingOptions:
    """Options as people give them on a command line and in files.

    Args:
        beam_width: 1 is greedy; None is greedy too, unless something is asked for that needs a beam.
        n_best: hypotheses to give back at most.
        hotwords: `TEXT` or `TEXT=BOOST` each.
        hotword_file: a text file with a hotword a line, and after a tab its boost where it is not the usual one.
        phrase_file: a text file with a phrase a line: the only texts that are allowed.
        repeat_phrases: whether phrases may follow each other; else the text is one of them.
        grammar: whether the grammar that the recogniser carries is the only thing allowed.
        grammar_file: a grammar's file or folder: as `grammar`, another one.
        silence: whether nothing may be the answer too where phrases or a grammar are given.
        language: whether the language model that the recogniser carries scores texts.
        language_model: a language model's file: as `language`, another one.
        language_weight, word_bonus, unknown_penalty: what it counts (`LanguageWeights`).
        blank_penalty: what is taken off the blank at every step, where either kind of language model scores texts.
        gru_language_model: the file of a GRU language model that scores texts beside it.
        gru_weight, gru_word_bonus: what that counts (`GRULanguageScorer`).
        rescore: which language models score the beam's last texts alone (`DecodingOptions.rescore`).
        threshold: the least margin at which a text is accepted; the recogniser's own when None.
        scorers: `MODULE:FUNCTION` or `MODULE:FUNCTION=ARGUMENT` each; their code is run (`load_scorer`).
        settings: a file of numbers that are not given here (`DecodingSettings`), and the boost of hotwords without one.

    Raises:
        UserError: a file cannot be read, a boost is not a number, a scorer's code cannot be found, or the options
            contradict each other.
    """
    if repeat_phrases and phrase_file is None:
        raise UserError("phrases shall repeat, but none are given; name their file (--phrases FILE)")
    constraint = GrammarConstraint(None, silence=silence) if grammar else None
    if grammar_file is not None:
        constraint = GrammarConstraint(Grammar.load(grammar_file), silence=silence)
    if not silence and phrase_file is None and constraint is None:
        raise UserError(
            "silence shall be no answer, but nothing says what may be; name a file of phrases (--phrases FILE), or use "
            "the grammar (--grammar)"
        )
    if threshold is not None and phrase_file is None and constraint is None and not scorers:
        raise UserError(
            "a threshold judges what was found among the texts that may be, but any text may be; name a file of "
            "phrases (--phrases FILE), or use the grammar (--grammar)"
        )
    chosen = DecodingSettings(
        beam_width, None, language_weight, word_bonus, unknown_penalty, gru_weight, gru_word_bonus, blank_penalty
    )
    if settings is not None:
        chosen = chosen.over(DecodingSettings.read(settings))
    is_gru_alone = gru_language_model is not None and language_model is None and not language
    weights = chosen.language_weights
    if is_gru_alone:  # a file's numbers are the GRU's, and so is the penalty
        weights = LanguageWeights(language_weight, word_bonus, unknown_penalty)
    language_scorer: Scorer | None
    if language_model is not None and is_gru(language_model):
        own = LanguageWeights(language_weight, word_bonus, unknown_penalty, blank_penalty)
        language_scorer = gru_language_from(language_model, own.over(chosen.weights_of_only_gru))
    else:
        language_scorer = language_from(language, language_model, weights)
    beside = chosen.weights_of_only_gru if is_gru_alone else chosen.gru_weights
    if gru_language_model is None:  # a file's numbers may be of what is not asked for
        beside = LanguageWeights(gru_weight, gru_word_bonus)
    gru_scorer = gru_language_from(gru_language_model, beside)
    boosts: dict[str, float | None] = {}
    origins: dict[str, str] = {}
    phrases = None
    if phrase_file is not None:
        texts = []
        for where, line in _lines(phrase_file, "phrase"):
            texts.append(_single_spaces(line))
            origins.setdefault(texts[-1], where)
        phrases = Phrases(texts, repeat=repeat_phrases, silence=silence)
    given = [_hotword(f"hotword {entry!r}", entry, "=") for entry in hotwords]
    if hotword_file is not None:
        given += [_hotword(where, line, "\t") for where, line in _lines(hotword_file, "hotword")]
    for where, text, boost in given:
        if _shown(boosts.setdefault(text, boost)) != _shown(boost):
            raise TextError(
                f"{where}: {quoted(text)} stands twice, with the boosts {_shown(boosts[text])} and {_shown(boost)}; "
                "keep one"
            )
        if hotword_file is not None and where.startswith(f"{hotword_file}:"):
            origins[text] = where
    if chosen.beam_width is None:
        needs_beam = bool(boosts or phrases or constraint or language_scorer or gru_scorer or scorers or n_best > 1)
        chosen = dataclasses.replace(chosen, beam_width=max(USUAL_BEAM_WIDTH, n_best) if needs_beam else 1)
    return DecodingOptions(
        beam_width=chosen.beam_width or 1,
        n_best=n_best,
        hotwords=boosts,
        hotword_boost=HOTWORD_BOOST if chosen.hotword_boost is None else chosen.hotword_boost,
        phrases=phrases,
        grammar=constraint,
        language=language_scorer,
        gru_language=gru_scorer,
        rescore=rescore,
        scorers=[load_scorer(named) for named in scorers],
        threshold=threshold,
        origins=origins,
    )


def _shown(boost: float | None) -> str:
    return f"{HOTWORD_BOOST if boost is None else boost:g}"


def _hotword(where: str, entry: str, separator: str) -> tuple[str, str, float | None]:
    """Where it stands, the text and the boost of `TEXT` or `TEXT<separator>BOOST`; None without one."""
    text, found, number = entry.rpartition(separator) if separator in entry else (entry, "", "")
    boost = HOTWORD_BOOST
    if found:
        try:
            boost = float(number)
        except ValueError:
            boost = math.nan
        if not math.isfinite(boost):
            sign = "a tab" if separator == "\t" else repr(separator)
            raise TextError(f"{where}: the boost after {sign} must be a number such as 4.5, got {number!r}") from None
    text = _single_spaces(text)
    if not text:
        raise TextError(f"{where}: holds no word; give the text of a hotword")
    return where, text, boost if found else None


def _lines(path: str | Path, what: str) -> Iterator[tuple[str, str]]:
    """The lines of a text file that are not empty, each with its place."""
    try:
        lines = split_lines(read_text(path))
    except OSError as error:
        raise UserError(f"{path}: the list of {what}s cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: {describe_undecodable(error)}; save the list of {what}s as UTF-8") from error
    if not any(line.strip() for line in lines):
        raise UserError(f"{path}: holds no {what}; write one a line")
    return ((f"{path}:{number}", line) for number, line in enumerate(lines, start=1) if line.strip())


def _single_spaces(text: str) -> str:
    return " ".join(text.split())
