"""Which error rate of the dev set the weights are chosen by, and which of two scores is the better."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from speechgru.config.sections import RunConfig
from speechgru.visible import counted

Monitor = Literal["wer", "cer"]

#: Scripts written without spaces between words, by the first word of their letters' Unicode names. Source: Unicode
#: Standard Annex 14, line-breaking classes SA (complex context) and ID (ideographic), but Hangul, which has spaces.
_WITHOUT_SPACES = {
    "BOPOMOFO", "CJK", "HIRAGANA", "IDEOGRAPHIC", "JAVANESE", "KATAKANA", "KATAKANA-HIRAGANA", "KHMER", "LAO",
    "MYANMAR", "NEW", "TAI", "THAI", "TIBETAN", "YI",
}  # fmt: skip


#: A dev set of fewer utterances is said to be too small.
_FEW_TO_CHOOSE_BY = 20


def choose_monitor(config: RunConfig, references: Iterable[str]) -> Monitor:
    """What `train.monitor` stands for.

    `auto` is the character error rate where most letters of the references are of scripts without spaces: a sentence
    is one word there, and wrong until its last letter is right. Labels that are words stand apart in any script.

    Args:
        config: the run's configuration.
        references: the dev set's transcripts.
    """
    if config.train.monitor != "auto":
        return config.train.monitor
    if config.text.unit == "word":
        return "wer"
    letters = [letter for text in references for letter in text if unicodedata.category(letter).startswith("L")]
    without = sum(unicodedata.name(letter, "?").split(" ")[0] in _WITHOUT_SPACES for letter in letters)
    return "cer" if 2 * without > len(letters) else "wer"


def describe_dev(references: Sequence[str] | None) -> list[str]:
    """What a person should know of the set that weights are chosen by; nothing of one that serves.

    Args:
        references: the dev set's transcripts; None where there is no dev set.

    >>> describe_dev(["turn on the lights"] * 40)
    []
    """
    if references is None:
        return [
            "there is no dev set (data.dev): the weights after the last step are kept, and what the run learns by "
            "heart, or wrongly, goes unseen; `speechgru prepare folder` sets some recordings aside"
        ]
    if len(references) >= _FEW_TO_CHOOSE_BY:
        return []
    words = sum(len(reference.split()) for reference in references)
    return [
        f"the dev set has {counted(len(references), 'utterance')} with {counted(words, 'word')}, too few to tell good "
        "weights from better ones: look at the interval of its score. `speechgru prepare folder ... folds=5` makes "
        "five pairs of train and dev, in which each recording is held out once"
    ]


def rank(wer: float, cer: float, *, monitor: Monitor, misses: float | None = None) -> tuple[float, float, float]:
    """What a better score has less of: misses where there are negatives, the monitored rate, and then the other one.

    >>> rank(0.5, 0.1, monitor="wer") < rank(0.5, 0.2, monitor="wer") < rank(0.6, 0.0, monitor="wer")
    True
    """
    return (misses or 0.0, *((wer, cer) if monitor == "wer" else (cer, wer)))


def describe_score(wer: float, cer: float | None, *, monitor: Monitor, digits: int = 1) -> str:
    """A dev score in words, the rate first that decides.

    >>> describe_score(1.0, 0.36, monitor="cer")
    'CER 36.0%, WER 100.0%'
    >>> describe_score(0.12, 0.04, monitor="wer")
    'WER 12.0%'
    """
    if monitor == "wer" or cer is None:
        return f"WER {wer:.{digits}%}"
    return f"CER {cer:.{digits}%}, WER {wer:.{digits}%}"


def monitor_in(records: Iterable[Mapping[str, Any]]) -> Monitor:
    """What a run was monitored by, from its history; runs from before there was a choice by the word error rate."""
    found = [record.get("monitor") for record in records if record.get("kind") == "session"]
    return "cer" if found and found[-1] == "cer" else "wer"


def interval_of(records: Sequence[Mapping[str, Any]], monitor: Monitor) -> tuple[float, float] | None:
    """Where the monitored rate of a run's best weights may lie at 95 %; None where its dev set is no small one.

    Args:
        records: the run's history.
        monitor: which rate.
    """
    kept = [record for record in records if record.get("kind") == "dev" and record.get("best") is True]
    found = kept[-1].get(f"{monitor}_interval") if kept else None
    return None if found is None else (found[0], found[1])
