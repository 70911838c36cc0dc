"""The folder that a person's recordings are kept in: prompts, sound, manifest, grammar; whole after every recording.

```
me/prompts.txt        what is read, a line each; their numbers from 1 name the recordings
me/audio/0007.flac    what was recorded for prompt 7
me/recordings.jsonl   the manifest of what was recorded, by prompt
me/grammar.json       the grammar that the prompts are from
```
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from speechgru.audio.reading import read_header
from speechgru.errors import CorpusError
from speechgru.files import atomic_path, for_soundfile, read_text, write_json, write_text
from speechgru.recording.prompts import SentenceSource, choose_prompts
from speechgru.utterances.manifest import Utterance, read_manifest, require_storable, write_manifest

#: The folder's files.
RECORDINGS_NAME, PROMPTS_NAME, GRAMMAR_NAME = "recordings.jsonl", "prompts.txt", "grammar.json"


class PromptGrammar(SentenceSource, Protocol):
    """What a folder keeps of a `speechgru.grammar.Grammar` and asks of it."""

    def as_record(self) -> Any:
        """The grammar, JSON-ready."""

    def parse(self, text: str) -> Any | None:
        """What a text means: its `intent` and `slots`; None where it is no sentence of the grammar."""


class RecordingFolder:
    """A folder of prompts and what was recorded of them.

    Args:
        path: the folder; made when something is first written.
        speaker: who speaks, for the manifest; the folder's name when None.
    """

    def __init__(self, path: str | Path, *, speaker: str | None = None):
        self.path = Path(path)
        self.speaker = speaker or self.path.absolute().name
        self._grammar: PromptGrammar | None = None

    @property
    def manifest(self) -> Path:
        """The manifest of what was recorded."""
        return self.path / RECORDINGS_NAME

    @property
    def prompts_file(self) -> Path:
        """What is read, a line each."""
        return self.path / PROMPTS_NAME

    def open(self, grammar: PromptGrammar, *, num_prompts: int, seed: int = 0) -> list[str]:
        """Chooses the prompts and writes them, or reads those that are there; adds more where more are asked for.

        Args:
            grammar: what they are drawn from.
            num_prompts: how many there shall be at least.
            seed: another seed, other prompts.

        Raises:
            CorpusError: the folder has another grammar's recordings, or others, or its prompts cannot be read.
            ManifestError: no manifest can hold the folder's name.
            UserError: the folder cannot be written.
        """
        require_storable(str(self.path.absolute()))
        self._grammar, record = grammar, json.loads(json.dumps(grammar.as_record()))
        stored = self.path / GRAMMAR_NAME
        if stored.exists() and self._read(stored) != record:
            raise CorpusError(f"{stored}: is another grammar than the one given; give another --out")
        self.recorded()  # somebody else's manifest is refused before anything is written beside it
        prompts = self.read_prompts() if self.prompts_file.exists() else []
        if len(prompts) < num_prompts:
            # The first prompts of a longer list may differ from those of a shorter one; those that are there stay.
            more = [text for text in choose_prompts(grammar, num_prompts, seed=seed) if text not in prompts]
            more = more or choose_prompts(grammar, num_prompts, seed=seed)
            prompts += (more * num_prompts)[: num_prompts - len(prompts)]
            write_json(stored, record)
            write_text(self.prompts_file, "".join(f"{text}\n" for text in prompts))
        return prompts

    def num_prompts(self, *, least: int) -> int:
        """How many prompts there will be where `open` is asked for `least`."""
        return max(least, len(self.read_prompts()) if self.prompts_file.exists() else 0)

    def read_prompts(self) -> list[str]:
        """The prompts, as they are in the folder.

        Raises:
            CorpusError: they cannot be read.
        """
        try:
            return [line for line in read_text(self.prompts_file).splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise CorpusError(f"{self.prompts_file}: the prompts cannot be read ({error})") from error

    def recorded(self) -> dict[int, Utterance]:
        """What was recorded, by the prompt's number.

        Raises:
            ManifestError: the manifest is damaged.
            CorpusError: it is of other recordings than those of prompts.
        """
        if not self.manifest.exists():
            return {}
        recorded = {}
        for utterance in read_manifest(self.manifest):
            number = utterance.extra.get("prompt")
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise CorpusError(
                    f"{self.manifest}:{utterance.line}: has no number of a prompt (prompt), so it is not of what "
                    "`speechgru record` wrote; give another --out"
                )
            recorded[number] = utterance
        return recorded

    def keep(self, number: int, text: str, samples_N: np.ndarray, sample_rate: int) -> Utterance:
        """Keeps what was recorded for a prompt; an older recording of it is replaced.

        Args:
            number: the prompt's, from 1.
            text: the prompt.
            samples_N: float32 in [-1, 1], kept as 16 bits.
            sample_rate: Hz.

        Raises:
            UserError: the folder cannot be written.
        """
        import soundfile

        path = self._audio(number, ".flac")
        with atomic_path(path) as temporary:
            soundfile.write(for_soundfile(temporary), samples_N, sample_rate, subtype="PCM_16")
        return self._enter(number, text, path, len(samples_N) / sample_rate)

    def keep_file(self, number: int, text: str, source: Path) -> Utterance:
        """Keeps a copy of a file as the recording of a prompt.

        Args:
            number: the prompt's, from 1.
            text: the prompt.
            source: a recording, in any format that is read here.

        Raises:
            UserError: it cannot be read, or the folder cannot be written.
        """
        path = self._audio(number, source.suffix.lower())
        with atomic_path(path) as temporary:
            shutil.copyfile(source, temporary)
        header = read_header(path)
        return self._enter(number, text, path, header.num_samples / header.sample_rate)

    def _audio(self, number: int, suffix: str) -> Path:
        return (self.path / "audio" / f"{number:04d}{suffix}").absolute()

    def _enter(self, number: int, text: str, path: Path, duration: float) -> Utterance:
        """Enters a recording in the manifest, and removes the file of an older one."""
        sentence = self._grammar.parse(text) if self._grammar is not None else None
        meaning = {} if sentence is None else {"intent": sentence.intent, "slots": dict(sentence.slots)}
        extra = {"prompt": number, **meaning}
        known = self.recorded()
        before = known.get(number)
        known[number] = Utterance(str(path), duration, text, speaker=self.speaker, extra=extra)
        write_manifest(self.manifest, (known[each] for each in sorted(known)))
        # Only a file of ours: a folder that came from elsewhere may name any file in its manifest.
        old = path if before is None else Path(before.audio_filepath)
        if old != path and old == self._audio(number, old.suffix):
            old.unlink(missing_ok=True)
        return known[number]

    @staticmethod
    def _read(path: Path) -> Any:
        try:
            return json.loads(read_text(path))
        except (OSError, ValueError) as error:
            raise CorpusError(f"{path}: cannot be read ({error}); remove it") from error


def missing_prompts(prompts: Sequence[str], recorded: dict[int, Utterance]) -> list[int]:
    """The numbers of the prompts that were not recorded."""
    return [number for number in range(1, len(prompts) + 1) if number not in recorded]
