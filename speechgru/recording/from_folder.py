"""Recordings that were made elsewhere: which file is which prompt's, and whether it is good enough."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from speechgru.audio.finding import is_hidden, suffixes
from speechgru.audio.reading import read_recording
from speechgru.errors import AudioError, CorpusError
from speechgru.progress import Progress, silent
from speechgru.recording.corpus import RecordingFolder, missing_prompts
from speechgru.recording.quality import judge_recording

#: A file's name ends in its prompt's number: `7.wav`, `0007.flac`, `Recording 7.m4a`, `me_07.wav`.
_NUMBER = re.compile(r"(\d+)\D*$")
#: Names that a message lists at most.
_SHOWN = 5


def keep_files(
    folder: RecordingFolder, prompts: Sequence[str], source: Path, *, progress: Progress = silent
) -> list[str]:
    """Copies the good files of a folder to the prompts that they are recordings of.

    Args:
        folder: where the recordings are kept; prompts that are recorded already are passed over.
        prompts: all of them.
        source: the folder of files.
        progress: called after each file.

    Returns:
        A message for each thing that is wrong with a file, which names it; such files are not kept, and are looked at
        again by the next call.

    Raises:
        CorpusError: there is no such folder, or it does not show which file is which prompt's.
        UserError: the folder cannot be written.
    """
    found = match_files(source, len(prompts))
    missing, messages = missing_prompts(prompts, folder.recorded()), []
    waiting = [number for number in missing if number in found]
    for done, number in enumerate(waiting, start=1):
        path, text = found[number], prompts[number - 1]
        try:
            recording = read_recording(path)
        except AudioError as error:
            messages.append(str(error))
        else:
            quality = judge_recording(recording.samples_N, recording.sample_rate, text, name=str(path))
            messages += [*quality.problems, *quality.suspicions]
            if quality.is_good:
                folder.keep_file(number, text, path)
        progress("reading the recordings", done, len(waiting), path.name)
    return messages


def match_files(source: Path, num_prompts: int) -> dict[int, Path]:
    """Which file is the recording of which prompt.

    Where every file's name ends in a number from 1 to the number of prompts, each in another, that is the prompt's.
    Else there must be a file for every prompt, and they are taken in the order of their names.

    Args:
        source: the folder of files.
        num_prompts: how many prompts there are.

    Raises:
        CorpusError: there is no such folder, no recording in it, or neither rule fits.
    """
    if not source.is_dir():
        what = "is a file" if source.exists() else "no such folder"
        raise CorpusError(f"{source}: {what}; name the folder of your recordings")
    files = sorted(path for path in source.iterdir() if path.suffix.lower() in suffixes() and path.is_file())
    files = [path for path in files if not is_hidden(path.name)]
    if not files:
        raise CorpusError(f"{source}: holds no audio file; expected one for each line of prompts.txt, such as 7.wav")
    ends = [_NUMBER.search(path.stem) for path in files]
    numbers = [int(end[1]) for end in ends if end is not None]
    if len(set(numbers)) == len(files) and min(numbers) >= 1 and max(numbers) <= num_prompts:
        return dict(zip(numbers, files, strict=True))
    if len(files) == num_prompts:
        return dict(enumerate(files, start=1))
    names = ", ".join(path.name for path in files[:_SHOWN]) + (", ..." if len(files) > _SHOWN else "")
    raise CorpusError(
        f"{source}: it is not clear which of its {len(files)} files ({names}) belongs to which of {num_prompts} "
        "prompts; end each name in its prompt's number, such as 7.wav, or have one file for each, in their order"
    )
