"""What a recogniser wrote as `<unk>`: how often, and for which words."""

from __future__ import annotations

from collections.abc import Mapping

from speechgru import metrics
from speechgru.scoring.predictions import Decoded
from speechgru.text import UNKNOWN_WORD, Vocabulary
from speechgru.visible import counted


def count_unknown(decoded: Decoded, vocabulary: Vocabulary) -> dict[str, int] | None:
    """How often `<unk>` was recognised, and for what.

    It is the text of no word: it counts as an error wherever it stands, also where it stands for a word that has no
    label, which a recogniser of a closed set rightly does not write.

    Args:
        decoded: references and hypotheses.
        vocabulary: the recogniser's.

    Returns:
        `recognised`; `for_unknown_words`, of these the ones in place of a word that has no label; `unknown_words`, how
        many such words were said. None where the recogniser has no label for `<unk>`.
    """
    if vocabulary.unit != "word" or UNKNOWN_WORD not in vocabulary.entries:
        return None
    known = {*vocabulary.words} - {UNKNOWN_WORD}
    counts = dict.fromkeys(("recognised", "for_unknown_words", "unknown_words"), 0)
    for example, hypothesis in zip(decoded.examples, decoded.hypotheses, strict=True):
        for pair in metrics.align(example.text.split(), hypothesis.text.split()):
            is_unknown = pair.reference is not None and pair.reference not in known
            counts["recognised"] += pair.hypothesis == UNKNOWN_WORD
            counts["for_unknown_words"] += is_unknown and pair.hypothesis == UNKNOWN_WORD
            counts["unknown_words"] += is_unknown
    return counts


def describe_unknown(counts: Mapping[str, int]) -> str:
    """What `count_unknown` found, in one sentence.

    >>> describe_unknown({"recognised": 3, "for_unknown_words": 2, "unknown_words": 4})
    '<unk> was recognised 3 times, 2 of them for one of the 4 words said that have no label; each counts as an error'
    """
    times = f"{counted(counts['recognised'], 'time')}"
    said = counted(counts["unknown_words"], "word said that has", "words said that have")
    return (
        f"{UNKNOWN_WORD} was recognised {times}, {counts['for_unknown_words']:,} of them for one of the "
        f"{said} no label; each counts as an error"
    )
