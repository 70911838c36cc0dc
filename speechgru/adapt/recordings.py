"""The person's recordings: where they are, which can be learnt from, and how they are dealt to folds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechgru.audio.reading import read_header
from speechgru.config.sections import RunConfig
from speechgru.corpora import connected
from speechgru.corpora.folder import read_folder
from speechgru.errors import UserError
from speechgru.progress import Progress, silent
from speechgru.recording.corpus import RECORDINGS_NAME
from speechgru.text import Vocabulary
from speechgru.utterances.examination import Examined, Problem, examine
from speechgru.utterances.manifest import Utterance, read_manifest
from speechgru.utterances.measurement import MeasurementLog, measurement_files

#: Problems that a message names at most.
_NAMED = 5
#: Strings that are joined for each recording of a single word.
_STRINGS_A_WORD = 6


@dataclass(frozen=True)
class Recordings:
    """A person's recordings.

    Args:
        usable: what can be learnt from, in the order given.
        left_out: a problem for each of the others, which names it.
    """

    usable: list[Examined]
    left_out: list[Problem]

    @property
    def seconds(self) -> float:
        """Seconds of audio that can be learnt from, as far as the manifest knows."""
        return sum(examined.utterance.duration for examined in self.usable)


def find_recordings(path: str | Path, *, progress: Progress = silent) -> list[Utterance]:
    """Reads what a person recorded.

    Args:
        path: a manifest, a folder that `speechgru record` filled, or a folder that `speechgru prepare folder`
            understands: recordings with their texts beside them, or in a table.
        progress: called as recordings of a folder are read.

    Raises:
        UserError: there is none of them, or it is not as expected; names file, line and fix.
    """
    path = Path(path)
    if not path.is_dir():
        return read_manifest(path)
    if (path / RECORDINGS_NAME).is_file():
        return read_manifest(path / RECORDINGS_NAME)
    prepared = sorted(file.name for file in path.glob("*.jsonl"))
    if prepared:
        raise UserError(
            f"{path}: holds the manifests {', '.join(prepared)}; name the one whose recordings shall be learnt from, "
            f"such as {path / prepared[-1]}"
        )
    return read_folder(path, progress=progress)


def examine_recordings(
    path: str | Path,
    *,
    config: RunConfig,
    vocabulary: Vocabulary,
    least: int,
    progress: Progress = silent,
) -> Recordings:
    """Sorts the recordings that a run can learn from, by the rules of every training, from those that it cannot.

    Args:
        path: what `find_recordings` reads.
        config: the run's configuration.
        vocabulary: what the run can write; a recording of anything else is left out.
        least: how many must be left.
        progress: called after each recording.

    Raises:
        UserError: there are too few that can be used; names what is wrong with the others.
    """
    utterances = find_recordings(path, progress=progress)
    usable, left_out = examine(
        utterances,
        config=config,
        vocabulary=vocabulary,
        progress=progress,
        stage="reading the recordings",
        log=MeasurementLog(None, known=measurement_files([path]) if Path(path).is_file() else ()),
    )
    spoken = []
    for examined in usable:
        if examined.text:
            spoken.append(examined)
        else:
            message = f"{examined.utterance.audio_filepath}: its text holds no word, so there is nothing to learn"
            left_out.append(Problem(examined.utterance, "empty text", message))
    if len(spoken) < least:
        named = "".join(f"\n  {problem.message}" for problem in left_out[:_NAMED])
        raise UserError(
            f"{path}: {len(spoken)} of {len(utterances)} recordings can be learnt from, and adapting needs {least} or "
            f"more, one for each fold{':' if named else '; record more sentences'}{named}"
        )
    return Recordings(spoken, left_out)


def join_words(
    found: Recordings,
    folds: Sequence[Sequence[int]],
    folder: Path,
    *,
    most_words: int,
    config: RunConfig,
    vocabulary: Vocabulary,
    progress: Progress = silent,
) -> tuple[Recordings, list[list[int]]]:
    """Joins recordings of single words into strings, each of recordings of one fold, so that folds stay apart.

    Args:
        found: the recordings; those of several words stay as they are.
        folds: their places.
        folder: where the strings are written.
        most_words: of a string; the fewest are 2.
        config: the run's configuration.
        vocabulary: what the run can write.
        progress: called as strings are written.

    Returns:
        The recordings with the strings behind them, six for each single word, and the folds with both.

    Raises:
        UserError: a fold has fewer than two single words, or they differ in their sample rates or channels.
    """
    usable, places_of = list(found.usable), [list(fold) for fold in folds]
    singles = [each.utterance for each in usable if len(each.text.split()) == 1]
    if not singles:
        raise UserError("none of the recordings is of a single word, so there is nothing to join; leave --join out")
    rate = _rate_of(singles)
    for number, fold in enumerate(folds):
        words = [usable[place].utterance for place in fold if len(usable[place].text.split()) == 1]
        if len(words) < 2:
            raise UserError(
                f"{len(words)} of the {len(fold)} recordings of fold {number + 1} are single words, too few to join; "
                "join none, or record more of them"
            )
        strings = connected.join(
            words,
            folder / f"{number}",
            num_utterances=_STRINGS_A_WORD * len(words),
            num_words=range(2, most_words + 1),
            sample_rate=rate,
            seed=(config.train.seed, 17, number),
            progress=progress,
        )
        examined, problems = examine(strings, config=config, vocabulary=vocabulary)
        if problems:
            raise UserError(problems[0].message)
        places_of[number] += range(len(usable), len(usable) + len(examined))
        usable += examined
    return Recordings(usable, found.left_out), places_of


def _rate_of(words: Sequence[Utterance]) -> int:
    """The sample rate of recordings, Hz.

    Raises:
        UserError: they differ, have several channels, or are parts of files, so that they cannot be joined as they are.
    """
    headers = [read_header(word.audio_filepath) for word in words]
    odd = [word for word, header in zip(words, headers, strict=True) if header.num_channels != 1 or word.segment]
    rates = sorted({header.sample_rate for header in headers})
    if odd or len(rates) != 1:
        what = f"{odd[0].audio_filepath} has not" if odd else f"they have {', '.join(f'{rate:,}' for rate in rates)} Hz"
        raise UserError(f"only whole recordings of one channel and one sample rate can be joined, and {what}")
    return rates[0]


def deal_folds(texts: Sequence[str], num_folds: int, *, seed: int) -> list[list[int]]:
    """Deals recordings to folds that are alike: about equally many, equally long, with the same texts.

    Several takes of a text go to different folds, so that no fold holds all of them: whoever says a sentence again
    says words that were recorded, and that is what a fold shall show.

    Args:
        texts: one a recording.
        num_folds: how many folds, at most one a recording.
        seed: another seed, another deal.

    Returns:
        The places of each fold's recordings, ascending.

    >>> deal_folds(["on", "off", "on", "off"], 2, seed=0)
    [[0, 1], [2, 3]]
    """
    places: dict[str, list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        places[text].append(place)
    shuffled = np.random.default_rng([seed, 11]).permutation(len(places))
    groups = [list(places.values())[k] for k in shuffled]
    groups.sort(key=lambda group: (-len(group), -len(texts[group[0]].split())))
    folds: list[list[int]] = [[] for _ in range(num_folds)]
    for number, place in enumerate(place for group in groups for place in group):
        folds[number % num_folds].append(place)
    return [sorted(fold) for fold in folds]
