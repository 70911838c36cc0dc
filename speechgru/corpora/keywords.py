"""Keywords among other speech, spoken offline: what a device that always listens learns to tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.corpora import grammar
from speechgru.corpora.arguments import parse_weights, texts_of
from speechgru.corpora.near_words import near_words, parts_of
from speechgru.corpora.planning import check_whole, plan
from speechgru.corpora.spoken import speak_corpus
from speechgru.errors import CorpusError
from speechgru.grammar.splits import split_of
from speechgru.progress import Progress, silent
from speechgru.text import normalize_text, quoted
from speechgru.utterances.keywords import keep_keywords, keywords_in
from speechgru.voices import Sources, choose_cast

_MIN_UTTERANCES = 12
_MOST_KEYWORDS = 10
#: Shares of the utterances: a keyword is in the first, something that sounds nearly like one in the second, and the
#: rest are sentences of anything else.
_KEYWORD_SHARE, _NEAR_SHARE = 0.4, 0.3
#: How a keyword, or what is near it, stands: alone, in front of a sentence, behind one. As often for both, so that its
#: place says nothing.
_ALONE_SHARE, _IN_FRONT_SHARE = 0.5, 0.3
#: Words of a sentence in front or behind, at most: of longer ones the words next to it.
_MOST_WORDS = 6
_NUM_HOUSEHOLD = 2000


def prepare(
    out: Path,
    *,
    source: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    keywords: list[str] | None = None,
    utterances: int = 6000,
    others: Path | None = None,
    words: Path | None = None,
    near: int = 40,
    language: str = "en",
    engines: list[str] | None = None,
    train_engines: list[str] | None = None,
    test_engines: list[str] | None = None,
    voices: Path | None = None,
    voice_command: str | None = None,
    command_voices: list[str] | None = None,
    variety: str = "wide",
    cache: str | None = "default",
    workers: int | None = None,
) -> dict[str, Path]:
    """Speaks keywords, what sounds nearly like them, and anything else into `out`, as the corpus commands does.

    A keyword stands alone, in front of a sentence or behind one. What is near it stands just so: its parts ("compu",
    "puter"), and the words that share most of its sounds. No person is in two splits.

    Args:
        out: the folder to write.
        source: must be None; the corpus is spoken, not read.
        seed: 0 or more. The same seed and options give the same bytes, however many workers speak, with the same
            releases of the engines.
        progress: called after every 100 utterances.
        keywords: one to ten, such as computer,jarvis (needed).
        utterances: how many in all, at least 12; about 87 % train, 5 % dev, 8 % test.
        others: a manifest, or a text of a sentence a line, of what else is said; none stands for household commands.
        words: a text of a word a line; those that sound like a keyword are spoken, beside those of others.
        near: how many words that sound like it are spoken for each keyword.
        language: of the keywords; by its sounds words are near.
        engines: those that speak, with weights, such as espeak=3,flite=1; none stands for all that are here.
        train_engines: those of them that speak in train only, with all their voices.
        test_engines: further ones that speak in no other split than a test of their own, test_ENGINE.jsonl.
        voices: a folder of voice files: .onnx for Piper and Kokoro, .flitevox for flite.
        voice_command: a program of your own, such as 'mytts --voice {voice} --out {out} {text}'.
        command_voices: the voices of that program.
        variety: wide (of rates, pitches, pauses, silence and level, as people differ) or usual.
        cache: the folder of speech that slow engines spoke before; default is the user's cache, none is none.
        workers: processes; none starts one for each CPU core that this process may use.

    Returns:
        The manifests by split. A line's `text` is its keywords alone, and empty where there is none; `said` is all that
        is spoken where that is more, `near` what in it sounds nearly like a keyword. Every line also has `engine`,
        `voice`, `snr_db` and what the engine reports of the voice.

    Raises:
        CorpusError: an argument is out of range, no keyword is given or one stands twice, an engine is not installed
            or failed, a file cannot be read, or `out` cannot be written.
        ManifestError: `others` is a damaged manifest.
    """
    if source is not None:
        raise CorpusError(f"keywords: takes no source, got {source}; name the keywords with keywords=computer,jarvis")
    sources = Sources(voices, voice_command, tuple(command_voices or ()))
    check_whole(seed=(seed, 0), utterances=(utterances, _MIN_UTTERANCES), workers=(workers, 1), near=(near, 0))
    spotted = require_keywords(keywords or ())
    sentences = _without(spotted, texts_of(others, option="--others") if others else _household(seed))
    listed = [word for text in sentences for word in text.split()]
    listed += texts_of(words, option="--words") if words else []
    similar = near_words(spotted, listed, language=language, most=near)
    cast, left_out = choose_cast(
        parse_weights("keywords", engines),
        train_engines=train_engines or (),
        test_engines=test_engines or (),
        sources=sources,
    )
    by_split = {split: [text for text in sentences if split_of(text) == split] for split in grammar.SPLITS}
    draw = _Draw(spotted, {each: [*parts_of(each), *similar[each]] for each in spotted}, by_split)
    manifests = speak_corpus(
        out,
        plan(draw, seed=seed, utterances=utterances, is_split=False),
        cast,
        variety=variety,
        left_out=left_out,
        notes=[f"spoken as near to {keyword}: {', '.join(texts)}" for keyword, texts in draw.near.items()],
        cache=cache,
        workers=workers,
        progress=progress,
    )
    return {split: keep_keywords(manifest, manifest, spotted) for split, manifest in manifests.items()}


def require_keywords(keywords: Sequence[str]) -> list[str]:
    """Keywords as transcripts have them, one to ten different ones.

    Raises:
        CorpusError: there are none or too many, or one has no letter, stands twice, or has a hyphen.

    >>> require_keywords(["Hey, Jarvis!", "computer"])
    ['hey jarvis', 'computer']
    """
    parted = next((keyword for keyword in keywords if "-" in keyword), None)
    if parted is not None:
        raise CorpusError(
            f"keywords: {quoted(parted)} has a hyphen; write it as it is spoken, as one word or with spaces (only "
            "`pipelines/keywords.py --keywords` takes a keyword in its parts, to listen for each of them)"
        )
    written = [normalize_text(keyword) for keyword in keywords]
    if not 1 <= len(written) <= _MOST_KEYWORDS:
        raise CorpusError(
            f"keywords: one to {_MOST_KEYWORDS} are spotted, got {len(written)}; name them as keywords=computer,jarvis"
        )
    for keyword, given in zip(written, keywords, strict=True):
        if not keyword:
            raise CorpusError(f"keywords: {quoted(given)} has no letter; write the keyword as it is spoken")
        if written.count(keyword) > 1:
            raise CorpusError(f"keywords: {quoted(keyword)} is given twice; give it once")
    return written


class _Draw:
    """Draws what is said: a keyword, something near one, or anything else.

    Args:
        keywords: those that are spotted.
        near: what sounds like each of them.
        sentences: anything else, by split.
    """

    def __init__(self, keywords: Sequence[str], near: dict[str, list[str]], sentences: dict[str, list[str]]):
        self.near = near
        self._keywords, self._sentences = keywords, sentences

    def __call__(self, split: str, rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
        sentences = self._sentences[split] or self._sentences["train"]
        sentence = sentences[rng.integers(len(sentences))]
        kind = rng.random()
        keyword = self._keywords[rng.integers(len(self._keywords))]
        near = self.near[keyword]
        if kind < _KEYWORD_SHARE:
            return self._placed(keyword, sentence, rng), {}
        if kind < _KEYWORD_SHARE + _NEAR_SHARE and near:
            text = near[rng.integers(len(near))]
            return self._placed(text, sentence, rng), {"near": text}
        return sentence, {}

    @staticmethod
    def _placed(text: str, sentence: str, rng: np.random.Generator) -> str:
        place, words = rng.random(), sentence.split()
        if place < _ALONE_SHARE:
            return text
        if place < _ALONE_SHARE + _IN_FRONT_SHARE:
            return " ".join([text, *words[:_MOST_WORDS]])
        return " ".join([*words[-_MOST_WORDS:], text])


def _household(seed: int) -> list[str]:
    rng = np.random.default_rng([seed, _NUM_HOUSEHOLD])
    return [grammar.draw_sentence(rng) for _ in range(_NUM_HOUSEHOLD)]


def _without(keywords: Sequence[str], texts: Sequence[str]) -> list[str]:
    """The sentences in which no keyword is said, as transcripts have them."""
    written = [normalize_text(text) for text in texts]
    free = [text for text in written if text and not keywords_in(text, keywords)]
    if not free:
        raise CorpusError("keywords: a keyword is said in every sentence of --others; name some of anything else")
    return free
