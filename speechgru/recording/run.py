"""The verb: prompts from a grammar, recordings from a microphone or a folder, a corpus folder to adapt with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from speechgru.progress import Progress, silent
from speechgru.recording.corpus import PromptGrammar, RecordingFolder, missing_prompts
from speechgru.recording.from_folder import keep_files, match_files
from speechgru.recording.microphone import Microphone
from speechgru.recording.prompts import words_left
from speechgru.recording.session import Ask, Tell, record_prompts


@dataclass(frozen=True)
class Sitting:
    """Where a folder of recordings stands after a sitting.

    Args:
        manifest: that of the recordings; missing until there is one.
        num_prompts: how many prompts there are.
        missing: the numbers of those that were not recorded.
        seconds: seconds of all recordings.
        words_left: words of the grammar that no recording holds.
        messages: what was wrong with files that were not kept.
    """

    manifest: Path
    num_prompts: int
    missing: tuple[int, ...]
    seconds: float
    words_left: tuple[str, ...]
    messages: tuple[str, ...]


def record(
    grammar: PromptGrammar,
    out: str | Path,
    *,
    num_prompts: int = 30,
    source: str | Path | None = None,
    microphone: Callable[[], Microphone] | None = None,
    ask: Ask | None = None,
    tell: Tell = lambda line: None,
    speaker: str | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Sitting:
    """Records sentences of a grammar, as many as are missing, and judges each at once.

    The prompts are written first, so that they can also be recorded elsewhere. What was accepted is kept whatever
    happens; the same call goes on with what is missing.

    Args:
        grammar: what is read (`speechgru.grammar.Grammar`).
        out: the folder to write (`recording.corpus`).
        num_prompts: how many prompts there shall be; those that are there stay.
        source: a folder of recordings that were made elsewhere.
        microphone: opens the microphone, once the prompts are written; without it and `source` nothing is recorded.
        ask: asks the person at the microphone for a line.
        tell: shows the person a line.
        speaker: who speaks; the folder's name when None.
        seed: another seed, other prompts.
        progress: called after each file of `source`.

    Raises:
        UserError: no microphone, no such folder, files that belong to no prompt, or the folder cannot be written.
    """
    folder = RecordingFolder(out, speaker=speaker)
    if source is not None:  # before anything is written, so that a wrong folder claims no right one
        match_files(Path(source), folder.num_prompts(least=num_prompts))
    prompts = folder.open(grammar, num_prompts=num_prompts, seed=seed)
    messages: list[str] = []
    if source is not None:
        messages = keep_files(folder, prompts, Path(source), progress=progress)
    elif microphone is not None and ask is not None:
        record_prompts(folder, prompts, microphone(), ask=ask, tell=tell)
    recorded = folder.recorded()
    return Sitting(
        manifest=folder.manifest,
        num_prompts=len(prompts),
        missing=tuple(missing_prompts(prompts, recorded)),
        seconds=sum(utterance.duration for utterance in recorded.values()),
        words_left=tuple(words_left([" ".join(grammar.words())], (each.text for each in recorded.values()))),
        messages=tuple(messages),
    )
