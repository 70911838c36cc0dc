"""Decoding options as a bundle writes them: hotwords spelt, its grammar, language model and threshold filled in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from speechgru.decoding import DecodingOptions, Scorer
from speechgru.decoding.options import USUAL_BEAM_WIDTH
from speechgru.grammar import Grammar
from speechgru.text import TextRules, Vocabulary

#: What those who name no decoding get.
GREEDY = DecodingOptions()


class Preparation:
    """Prepares options once for the same ones, however often they are given.

    Args:
        text_rules, vocabulary: how the bundle writes.
        threshold: the least margin of a text that is accepted; None where the bundle was not calibrated.
    """

    def __init__(self, text_rules: TextRules, vocabulary: Vocabulary, *, threshold: float | None):
        self._text_rules, self._vocabulary, self._threshold = text_rules, vocabulary, threshold
        self._prepared: tuple[DecodingOptions, DecodingOptions] = (GREEDY, GREEDY)
        self._asked: tuple[DecodingOptions | None, Grammar | bool | None, DecodingOptions | None] = (None, None, None)

    def prepare(
        self,
        decoding: DecodingOptions | None,
        *,
        grammar_of: Callable[[], Grammar | None],
        language_of: Callable[[], Scorer | None],
    ) -> DecodingOptions:
        """The options with all that the bundle adds to them (`Recognizer.prepare`).

        Args:
            decoding: the options.
            grammar_of, language_of: give the grammar and the language model that the bundle carries.
        """
        given, prepared = self._prepared
        if decoding is not None and decoding is not given and decoding is not prepared:
            complete = decoding.with_grammar_of(grammar_of()).with_language_of(language_of)
            prepared = complete.prepared(normalize=self._text_rules.normalize, vocabulary=self._vocabulary)
            prepared = prepared.with_threshold(self._threshold)
            self._prepared = decoding, prepared
        return GREEDY if decoding is None else prepared

    def with_grammar(self, decoding: DecodingOptions | None, grammar: Grammar | bool | None) -> DecodingOptions | None:
        """The options with a grammar, the very same ones for the same arguments, so that they are prepared once."""
        if grammar is None or grammar is False:
            return decoding
        given, asked, options = self._asked
        if options is None or given is not decoding or asked is not grammar:
            options = decoding or GREEDY
            beam_width = options.beam_width if options.beam_width > 1 else USUAL_BEAM_WIDTH
            options = dataclasses.replace(options, beam_width=beam_width, grammar=grammar)
            self._asked = decoding, grammar, options
        return options
