"""The check of a grammar: its size, samples, and what may be taken for something else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rapidfuzz.distance import Levenshtein

from speechgru.grammar.ambiguity import find_ambiguities
from speechgru.grammar.definition import Grammar
from speechgru.grammar.drawing import Drawing
from speechgru.grammar.graph import SentenceGraph
from speechgru.grammar.nodes import Node, Slot
from speechgru.grammar.sentence import Sentence
from speechgru.text import normalize_text
from speechgru.voices.phonemes import phonemes_of

#: Values of a slot that are compared with each other, at most; and sayings of one value.
_MAX_VALUES, _MAX_SAYINGS = 400, 4
#: Two values are close where at most this share of the sounds of the longer one differs, or one sound alone.
_CLOSE_SHARE = 0.2
_MAX_CLOSE = 30


def check_grammar(grammar: Grammar, *, samples: int = 3, seed: int = 0) -> dict[str, Any]:
    """Describes a grammar and finds what in it may be taken for something else.

    Args:
        grammar: the grammar.
        samples: sentences to draw of each intent.
        seed: draws them.

    Returns:
        A JSON-ready record: `Grammar.summary`, `notes`, `intents` (`name`, `num_sentences`, `is_counted`, `samples`),
        `ambiguous` (`text`, and `used` and `other`, the readings) with `ambiguous_complete`, whether all were looked
        for, `confusable` (`slot`, the values `one` and `other` as spoken, `distance` in sounds) and `sounds`: whether
        by eSpeak NG's `phonemes` or, where it is not installed or lacks the language, by `spelling`.
    """
    rng = np.random.default_rng(seed)
    drawn: dict[str, dict[str, None]] = {}
    for intent in grammar.intents:
        alone = Grammar(grammar.language, grammar.nodes, (intent,))
        drawn[intent.name] = dict.fromkeys(alone.draw(rng).text for _ in range(samples))
    ambiguous, complete = find_ambiguities(grammar, normalize_text)
    confusable, sounds = _confusable(grammar)
    return {
        **grammar.summary(),
        "notes": list(grammar.notes),
        "intents": [_intent(grammar, name) | {"samples": list(texts)} for name, texts in drawn.items()],
        "ambiguous": [
            {"text": each.text, "used": _reading(each.used), "other": _reading(each.other)} for each in ambiguous
        ],
        "ambiguous_complete": complete,
        "confusable": confusable,
        "sounds": sounds,
    }


def _intent(grammar: Grammar, name: str) -> dict[str, Any]:
    (intent,) = (each for each in grammar.intents if each.name == name)
    roots = [root for block in intent.blocks for root in block.sentences]
    count = SentenceGraph(grammar.nodes, roots, (), normalize_text).count()
    return {
        "name": name,
        "num_sentences": grammar.ways[name] if count is None else count,
        "is_counted": count is not None,
    }


def _reading(sentence: Sentence) -> dict[str, Any]:
    return {"intent": sentence.intent, "slots": dict(sentence.slots)}


def _confusable(grammar: Grammar) -> tuple[list[dict[str, Any]], str]:
    """Pairs of values of a slot that sound nearly alike, the closest first."""
    spoken: dict[str, dict[str, Any]] = {}
    for node in grammar.nodes:
        if isinstance(node, Slot) and len(spoken.setdefault(node.name, {})) < _MAX_VALUES:
            for text in _sayings(grammar.nodes, node):
                spoken[node.name].setdefault(text, text if node.value is None else node.value)
    texts = sorted({text for values in spoken.values() for text in values})
    phonemes = phonemes_of(texts, language=grammar.language)
    sounds = dict(zip(texts, texts if phonemes is None else phonemes, strict=True))
    found = []
    for slot, values in spoken.items():
        names = list(values)
        for position, one in enumerate(names):
            for other in names[position + 1 :]:
                if values[one] == values[other]:
                    continue
                longest = max(len(sounds[one]), len(sounds[other]))
                limit = max(1, int(_CLOSE_SHARE * longest))
                distance = Levenshtein.distance(sounds[one], sounds[other], score_cutoff=limit)
                if distance <= limit and longest > 2:
                    found.append({"slot": slot, "one": one, "other": other, "distance": distance})
    found.sort(key=lambda pair: (pair["distance"], pair["slot"], pair["one"], pair["other"]))
    return found[:_MAX_CLOSE], "spelling" if phonemes is None else "phonemes"


def _sayings(nodes: Sequence[Node], slot: Slot) -> list[str]:
    """Some of the ways to say a value: those that a few draws give."""
    rng, drawing = np.random.default_rng(0), Drawing(nodes, (), ())
    found = dict.fromkeys(normalize_text(drawing.write(slot.item, rng)) for _ in range(_MAX_SAYINGS))
    return [text for text in found if text]
