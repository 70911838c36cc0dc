"""Negatives: recordings in which nobody gives a command, and whatever is accepted is false."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

from speechgru.errors import UserError
from speechgru.scoring.recordings import ScoringSet, stated_seconds
from speechgru.text import TextRules
from speechgru.utterances.manifest import Utterance, read_manifest

#: Seconds of a negative that are decoded as one utterance, at most. A recogniser that listens to an hour of it would
#: end an utterance at every pause, and might accept a command in each.
_PIECE_SECONDS = 10.0


def negative_set(
    manifest: str | Path,
    *,
    sample_rate: int,
    kept_bytes: int = 0,
    is_command: Callable[[str], bool] = lambda text: False,
) -> tuple[ScoringSet, int]:
    """The recordings of a manifest as negatives; what is spoken need not be known.

    Recordings longer than 10 s are decoded in parts of equal length, 10 s at most.

    Args:
        manifest: the recordings.
        sample_rate: Hz that the recogniser works at.
        kept_bytes: see `ScoringSet`.
        is_command: whether a transcript is a command: to accept it is right, so such a recording is no negative.

    Returns:
        The negatives, and how many recordings were left out because a command is spoken in them.

    Raises:
        ManifestError: the manifest cannot be read.
        UserError: every recording is a command.
    """
    everything = read_manifest(manifest, needs_text=False)
    negatives = [utterance for utterance in everything if not (utterance.text.strip() and is_command(utterance.text))]
    if not negatives:
        raise UserError(
            f"{manifest}: a command is spoken in each of its recordings, and none is a negative; name recordings of "
            "something else"
        )
    utterances = [part for utterance in negatives for part in _parts(utterance)]
    recordings = ScoringSet(
        manifest,
        sample_rate=sample_rate,
        text=TextRules(),
        kept_bytes=kept_bytes,
        needs_words=False,
        utterances=utterances,
    )
    return recordings, len(everything) - len(negatives)


def _parts(utterance: Utterance) -> Iterator[Utterance]:
    utterance = dataclasses.replace(utterance, text="")
    seconds = stated_seconds(utterance)
    number = max(1, -int(-seconds // _PIECE_SECONDS))
    if number == 1:
        yield utterance
        return
    for part in range(number):
        offset = utterance.offset + seconds * part / number
        yield dataclasses.replace(utterance, offset=offset, duration=seconds / number, segment=True)
