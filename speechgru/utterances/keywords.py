"""Manifests for a recogniser of keywords: of what is said, it shall write the keywords and nothing else."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from speechgru.text import normalize_text
from speechgru.utterances.manifest import Utterance, read_manifest, write_manifest

#: Recordings of one file with less between them follow each other.
_ADJACENT_SECONDS = 1e-3


def keywords_in(text: str, keywords: Sequence[str]) -> str:
    """The keywords of a text, in order, with one space between two; a longer keyword before one that is part of it.

    >>> keywords_in("Hey, Jarvis! Ask the computer, not the computers.", ["computer", "jarvis", "hey jarvis"])
    'hey jarvis computer'
    """
    return " ".join(_pattern(keywords).findall(normalize_text(text)))


def keep_keywords(manifest: str | Path, out: str | Path, keywords: Sequence[str]) -> Path:
    """Writes a manifest anew with nothing but keywords in its texts, so that all else is learnt as silence.

    Args:
        manifest: recordings with what is said in them.
        out: the manifest to write, which may be the same.
        keywords: as transcripts have them.

    Returns:
        `out`. Where something else is said, its lines have the whole transcript as `said`.

    Raises:
        ManifestError: the manifest cannot be read.
    """
    kept = []
    for utterance in read_manifest(manifest, needs_text=False):
        text = keywords_in(utterance.text, keywords)
        extra = utterance.extra if text == utterance.text else {**utterance.extra, "said": utterance.text}
        kept.append(dataclasses.replace(utterance, text=text, extra=extra))
    return write_manifest(out, kept)


def tell_all(manifest: str | Path, out: str | Path) -> Path:
    """Writes a manifest anew with all that is said in its texts: what `keep_keywords` took out comes back.

    Args:
        manifest: recordings with their keywords, and `said` where that is more.
        out: the manifest to write, which may be the same.

    Returns:
        `out`.

    Raises:
        ManifestError: the manifest cannot be read.
    """
    told = []
    for utterance in read_manifest(manifest, needs_text=False):
        extra = dict(utterance.extra)
        said = extra.pop("said", utterance.text)
        told.append(dataclasses.replace(utterance, text=said, extra=extra))
    return write_manifest(out, told)


def parts_in(keyword: str) -> tuple[str, str]:
    """A keyword that is given with its parts, as it is spoken and as a recogniser writes it, a label a part.

    Each part is then heard by itself, and what has only some of them is told from the keyword: "compared" begins as
    "computer" does, and has neither "pu" nor "ter".

    >>> parts_in("com-pu-ter"), parts_in("hey jar-vis"), parts_in("light")
    (('computer', 'com pu ter'), ('hey jarvis', 'hey jar vis'), ('light', 'light'))
    """
    return normalize_text(keyword.replace("-", "")), normalize_text(keyword.replace("-", " "))


def write_parts(manifest: str | Path, out: str | Path, parts: Mapping[str, str]) -> Path:
    """Writes a manifest anew with keywords as their parts.

    Args:
        manifest: recordings with what is said in them.
        out: the manifest to write, which may be the same.
        parts: what a keyword is written as, by keyword (`parts_in`).

    Returns:
        `out`.

    Raises:
        ManifestError: the manifest cannot be read.
    """
    keyword, written = _pattern(parts), []
    for utterance in read_manifest(manifest, needs_text=False):
        text = keyword.sub(lambda found: parts[found[0]], normalize_text(utterance.text))
        written.append(dataclasses.replace(utterance, text=text))
    return write_manifest(out, written)


def join_neighbours(manifest: str | Path, out: str | Path, *, seconds: float = 12.0) -> Path:
    """Writes a manifest of stretches: recordings that follow each other in one file, as one, some seconds long.

    A device that always listens has heard something before each keyword, and its model's state is never a new one;
    training on recordings alone does not teach that. Nothing is written but the manifest.

    Args:
        manifest: segments of longer files, such as spoken corpora are.
        out: the manifest to write.
        seconds: of a stretch, at most; a longer recording is a stretch by itself.

    Raises:
        ManifestError: the manifest cannot be read.
    """
    stretches: list[Utterance] = []
    for utterance in read_manifest(manifest, needs_text=False):
        last = stretches[-1] if stretches else None
        if (
            last is not None
            and (last.audio_filepath, last.channel) == (utterance.audio_filepath, utterance.channel)
            and abs(last.offset + last.duration - utterance.offset) < _ADJACENT_SECONDS
            and utterance.offset + utterance.duration - last.offset <= seconds
        ):
            text = " ".join(filter(None, (last.text, utterance.text)))
            duration = round(utterance.offset + utterance.duration - last.offset, 6)
            stretches[-1] = dataclasses.replace(last, text=text, duration=duration, speaker=None, extra={})
        else:
            stretches.append(utterance)
    return write_manifest(out, stretches)


def _pattern(keywords: Iterable[str]) -> re.Pattern[str]:
    """Finds keywords as whole words; a longer one before one that is part of it."""
    longest_first = sorted(map(re.escape, keywords), key=len, reverse=True)
    return re.compile(rf"(?<![^ ])(?:{'|'.join(longest_first)})(?![^ ])")
