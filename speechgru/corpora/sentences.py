"""Sentences of a book or any other text, spoken offline in the voices of several engines: open vocabulary."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from speechgru.corpora import grammar
from speechgru.corpora.arguments import parse_weights
from speechgru.corpora.pieces import draw, hold_words_back, read_pieces
from speechgru.corpora.planning import Sentence, check_whole, sizes_of
from speechgru.corpora.spoken import speak_corpus
from speechgru.errors import CorpusError
from speechgru.files import require_unread
from speechgru.grammar.splits import split_of
from speechgru.progress import Progress, silent
from speechgru.text import normalize_text
from speechgru.visible import counted
from speechgru.voices import Sources, choose_cast

#: What a language model may learn from, beside the manifests.
LANGUAGE_NAME = "language.txt"
_MIN_UTTERANCES = 12


def prepare(
    out: Path,
    *,
    source: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    text: Path | None = None,
    utterances: int = 6000,
    min_words: int = 3,
    max_words: int = 14,
    unseen_words: float = 0.0,
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
    """Speaks sentences of a text into `out`, as the corpus commands does those of a grammar.

    No sentence and no person is in two splits. `language.txt` has every sentence of the text that is in neither dev nor
    test, one a line and normalised, spoken or not: for a language model (`speechgru language train`).

    Args:
        out: the folder to write.
        source: must be None; the corpus is spoken, not read.
        seed: 0 or more. The same seed and options give the same bytes, however many workers speak, with the same
            releases of the engines.
        progress: called after every 100 utterances.
        text: a text file such as a book, UTF-8, with an empty line between paragraphs (needed).
        utterances: how many in all, at least 12; about 87 % train, 5 % dev, 8 % test; fewer where the text has no more.
        min_words: words of a sentence, at least.
        max_words: words of a sentence, at most; longer ones are cut at commas.
        unseen_words: share of the different words of test that no other sentence has, in language.txt neither.
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
        The manifests by split. Every line also has `engine`, `voice`, `snr_db` and what the engine reports of the
        voice.

    Raises:
        CorpusError: an argument is out of range, the text cannot be read or has too few sentences, an engine is not
            installed or failed, or `out` cannot be written.
    """
    if source is not None:
        raise CorpusError(f"sentences: takes no source, got {source}; name the text with --text")
    if text is None:
        raise CorpusError("sentences: needs --text, a text file such as a book")
    require_unread([out / LANGUAGE_NAME], [text])
    sources = Sources(voices, voice_command, tuple(command_voices or ()))
    check_whole(
        seed=(seed, 0), utterances=(utterances, _MIN_UTTERANCES), workers=(workers, 1), min_words=(min_words, 1)
    )
    check_whole(max_words=(max_words, min_words))
    if isinstance(unseen_words, bool) or not 0 <= unseen_words <= 0.5:
        raise CorpusError(f"sentences: unseen_words must be a share from 0 to 0.5, got {unseen_words!r}")
    cast, left_out = choose_cast(
        parse_weights("sentences", engines),
        train_engines=train_engines or (),
        test_engines=test_engines or (),
        sources=sources,
    )
    chosen, learnt, notes = _choose(
        read_pieces(text, least=min_words, most=max_words),
        where=text,
        utterances=utterances,
        unseen_words=unseen_words,
        seed=seed,
    )
    plan = [
        Sentence(seed=(seed, place, index), split=split, text=piece)
        for place, split in enumerate(grammar.SPLITS)
        for index, piece in enumerate(chosen[split])
    ]
    return speak_corpus(
        out,
        plan,
        cast,
        variety=variety,
        left_out=left_out,
        notes=notes,
        beside={LANGUAGE_NAME: "".join(f"{normalize_text(piece)}\n" for piece in learnt)},
        cache=cache,
        workers=workers,
        progress=progress,
    )


def _choose(
    pieces: list[str], *, where: Path, utterances: int, unseen_words: float, seed: int
) -> tuple[dict[str, list[str]], list[str], list[str]]:
    """What is spoken in each split, what a language model may learn from, and what a person should know of it."""
    sizes = sizes_of(utterances)
    own: dict[str, list[str]] = {split: [] for split in grammar.SPLITS}
    for piece in pieces:
        own[split_of(normalize_text(piece))].append(piece)
    rng = np.random.default_rng([seed, len(pieces)])
    chosen = {"test": draw(own["test"], sizes["test"], rng)}
    taken = set(chosen["test"])
    rest = [piece for piece in pieces if piece not in taken]
    unseen, rest = hold_words_back(chosen["test"], rest, share=unseen_words)
    left = set(rest)
    for split in ("dev", "train"):
        chosen[split] = draw([piece for piece in own[split] if piece in left], sizes[split], rng)
    empty = [split for split in grammar.SPLITS if not chosen[split]]
    if empty:
        raise CorpusError(
            f"{where}: {counted(len(pieces), 'sentence')} that can be spoken: too few for {', '.join(empty)}; name a "
            "longer text, allow other lengths (min_words, max_words), or lower unseen_words"
        )
    dev = set(chosen["dev"])
    words = {word for piece in chosen["test"] for word in normalize_text(piece).split()}
    note = (
        f"{len(pieces):,} sentences in {where.name}; {len(unseen):,} of the {len(words):,} different words of test are "
        "in no other sentence"
    )
    return chosen, [piece for piece in rest if piece not in dev], [note]
