"""The commands of a grammar: its sentences with intent and slots, spoken offline in the voices of several engines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.corpora.planning import check_whole, plan
from speechgru.corpora.spoken import GRAMMAR_NAME, speak_corpus
from speechgru.errors import CorpusError
from speechgru.grammar import Grammar
from speechgru.progress import Progress, silent
from speechgru.voices import Sources, choose_cast

_MIN_UTTERANCES = 12


def prepare(
    out: Path,
    *,
    source: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    grammar: Path | None = None,
    utterances: int = 10000,
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
    """Speaks sentences of a grammar into `out`: `audio/*.wav` (16 kHz, mono, 16 bit), the manifests, `grammar.json`.

    Sentences are drawn evenly over intents and slot values. No person is in two splits; no sentence either, in a
    grammar of 1000 sentences or more. `voices.json` names the engines with their licences, and who speaks where.

    Args:
        out: the folder to write.
        source: must be None; the corpus is spoken, not read.
        seed: 0 or more. The same seed and options give the same bytes, however many workers speak, with the same
            releases of the engines.
        progress: called after every 100 utterances.
        grammar: the file or folder of sentence templates (needed).
        utterances: how many in all, at least 12; about 87 % train, 5 % dev, 8 % test.
        engines: those that speak, with weights, such as espeak=3,flite=1; none stands for all that are here.
        train_engines: those of them that speak in train only, with all their voices.
        test_engines: further ones that speak in no other split than a test of their own, test_ENGINE.jsonl.
        voices: a folder of voice files, .onnx for Piper and .flitevox for flite.
        voice_command: a program of your own, such as 'mytts --voice {voice} --out {out} {text}'.
        command_voices: the voices of that program.
        variety: wide (of rates, pitches, pauses, silence and level, as people differ) or usual.
        cache: the folder of speech that slow engines spoke before; default is the user's cache, none is none.
        workers: processes; none starts one for each CPU core that this process may use.

    Returns:
        The manifests by split. Every line also has `intent`, `slots`, `engine`, `voice`, `snr_db` and what the engine
        reports of the voice.

    Raises:
        CorpusError: an argument is out of range, an engine is not installed or failed, or `out` cannot be written.
        GrammarError: the grammar cannot be read, or has too few sentences.
    """
    if source is not None:
        raise CorpusError(f"commands: takes no source, got {source}; name the sentence templates with --grammar")
    if grammar is None:
        raise CorpusError("commands: needs --grammar, a YAML file of sentence templates")
    if voices is not None and not voices.is_dir():
        raise CorpusError(f"{voices}: no such folder; name a folder of .onnx or .flitevox files with --voices")
    check_whole(seed=(seed, 0), utterances=(utterances, _MIN_UTTERANCES), workers=(workers, 1))
    templates = Grammar.load(grammar)

    def draw(split: str, rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
        sentence = templates.draw(rng, split)
        return sentence.text, {"intent": sentence.intent, "slots": dict(sentence.slots)}

    cast, left_out = choose_cast(
        None if engines is None else _parse_weights(engines),
        train_engines=train_engines or (),
        test_engines=test_engines or (),
        sources=Sources(voices, voice_command, tuple(command_voices or ())),
    )
    return speak_corpus(
        out,
        plan(draw, seed=seed, utterances=utterances, is_split=templates.is_split),
        cast,
        variety=variety,
        left_out=left_out,
        notes=templates.notes,
        beside={GRAMMAR_NAME: templates.to_json()},
        cache=cache,
        workers=workers,
        progress=progress,
    )


def _parse_weights(engines: Sequence[str]) -> dict[str, float | None]:
    """Weights by engine: `espeak=3` -> 3.0; `espeak` alone -> None, its usual weight."""
    weights: dict[str, float | None] = {}
    for entry in engines:
        name, separator, text = entry.partition("=")
        if name in weights:
            raise CorpusError(f"commands: the voice engine {name} is given twice; give it once")
        try:
            weights[name] = float(text) if separator else None
        except ValueError:
            raise CorpusError(f"commands: expected ENGINE=WEIGHT such as espeak=3, got {entry!r}") from None
    if not weights:
        raise CorpusError("commands: engines is empty; name some, such as espeak=3,flite=1, or leave it out")
    return weights
