"""The commands of a grammar: its sentences with intent and slots, spoken offline in the voices of several engines."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.corpora.arguments import parse_weights, texts_of
from speechgru.corpora.planning import Sentence, check_whole, plan
from speechgru.corpora.spoken import GRAMMAR_NAME, speak_corpus
from speechgru.errors import CorpusError
from speechgru.grammar import Grammar
from speechgru.progress import Progress, silent
from speechgru.voices import Sources, choose_cast

_MIN_UTTERANCES = 12
#: In the seeds of what is no command, where a command has the number of its split.
_OTHERS = 9


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
    others: Path | None = None,
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
        voices: a folder of voice files: .onnx for Piper and Kokoro, .flitevox for flite.
        voice_command: a program of your own, such as 'mytts --voice {voice} --out {out} {text}'.
        command_voices: the voices of that program.
        others: a manifest, or a text of a sentence a line, of what is no command: said by voices of train, in others/.
        variety: wide (of rates, pitches, pauses, silence and level, as people differ) or usual.
        cache: the folder of speech that slow engines spoke before; default is the user's cache, none is none.
        workers: processes; none starts one for each CPU core that this process may use.

    Returns:
        The manifests by split, and that of `others` by this name. Every line also has `intent`, `slots`, `engine`,
        `voice`, `snr_db` and what the engine reports of the voice.

    Raises:
        CorpusError: an argument is out of range, an engine is not installed or failed, `others` cannot be read or holds
            no sentence, or `out` cannot be written.
        ManifestError: `others` is a damaged manifest.
        GrammarError: the grammar cannot be read, or has too few sentences.
    """
    if source is not None:
        raise CorpusError(f"commands: takes no source, got {source}; name the sentence templates with --grammar")
    if grammar is None:
        raise CorpusError("commands: needs --grammar, a YAML file of sentence templates")
    sources = Sources(voices, voice_command, tuple(command_voices or ()))
    check_whole(seed=(seed, 0), utterances=(utterances, _MIN_UTTERANCES), workers=(workers, 1))
    templates = Grammar.load(grammar)

    def draw(split: str, rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
        sentence = templates.draw(rng, split)
        return sentence.text, {"intent": sentence.intent, "slots": dict(sentence.slots)}

    cast, left_out = choose_cast(
        parse_weights("commands", engines),
        train_engines=train_engines or (),
        test_engines=test_engines or (),
        sources=sources,
    )
    speak = functools.partial(
        speak_corpus, cast=cast, variety=variety, left_out=left_out, cache=cache, workers=workers, progress=progress
    )
    manifests: dict[str, Path] = {}
    if others is not None:
        texts = texts_of(others, option="--others")
        spoken = [Sentence((seed, _OTHERS, index), "train", text) for index, text in enumerate(texts)]
        manifests = {"others": speak(out / "others", spoken)["train"]}
    return {
        **speak(
            out,
            plan(draw, seed=seed, utterances=utterances, is_split=templates.is_split),
            notes=templates.notes,
            beside={GRAMMAR_NAME: templates.to_json()},
        ),
        **manifests,
    }
