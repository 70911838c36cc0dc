"""The command that trains GRU language models: language train-gru."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from speechgru.cli.console import (
    JsonFlag,
    first_of,
    import_module,
    needs_training_packages,
    print_beginning,
    print_json,
    print_next,
    show_progress,
    terminal,
)
from speechgru.cli.language import group
from speechgru.visible import counted

#: What tells a key with its value from a file.
_OVERRIDE = re.compile(r"(data|model|train)\.\w+=.*", re.DOTALL)


@group.command("train-gru")
def train_gru(
    texts: Annotated[
        list[str],
        typer.Argument(
            help="Files of a line an utterance, or manifests; and keys to set, such as model.units=256.",
            metavar="TEXTS|KEY=VALUE",
        ),
    ],
    recogniser: Annotated[
        Path, typer.Option(help="The bundle or run folder whose labels it predicts, by whose text rules.")
    ],
    run: Annotated[Path, typer.Option(help="The run folder; a run that is there is resumed.")],
    dev: Annotated[
        list[Path] | None, typer.Option(help="Texts to score by; else a twentieth of the others. May be repeated.")
    ] = None,
    form: Annotated[str, typer.Option(help="How the weights lie in the file: float32, float16, int8.")] = "int8",
    as_json: JsonFlag = False,
) -> None:
    """Train a GRU language model for a recogniser, or resume the one in the run folder.

    It ends with RUN/model.gru, a file of some hundred kB, which `transcribe`, `evaluate` and `export` take.
    Example: `speechgru language train-gru texts.txt --recogniser bundle --run runs/language`
    """
    files = [text for text in texts if not _OVERRIDE.fullmatch(text)]
    print_beginning(f"reading {first_of(files)}")
    from speechgru.config.language import language_config
    from speechgru.files import require_own_folder
    from speechgru.language.gru import require_form
    from speechgru.language.labelled import require_texts
    from speechgru.runtime.labels import labels_of

    require_own_folder(run, kind="language model's run")
    require_form(form)
    overrides = [text for text in texts if _OVERRIDE.fullmatch(text)]
    config = language_config(overrides, train=files, dev=dev or [])
    vocabulary, rules = labels_of(recogniser)
    require_texts([*config.data.train, *config.data.dev])  # before TensorFlow is loaded, which takes seconds
    verb = needs_training_packages(lambda: import_module("speechgru.train.language").train_language_model)
    with show_progress(quiet=as_json) as progress:
        result = verb(config, run, vocabulary=vocabulary, rules=rules, form=form, progress=progress)
    if as_json:
        print_json(_record(result))
        return
    for note in result.notes:
        terminal.print(note, style="yellow", soft_wrap=True)
    scores = result.scores
    terminal.print(
        f"{result.run}: {counted(result.steps, 'step')} in {result.seconds:.0f} s, {result.num_weights:,} weights, "
        f"{counted(result.num_train, 'text')}; ended by {result.ended}; best at step {result.best_step:,}",
        soft_wrap=True,
    )
    terminal.print(
        f"perplexity of {counted(result.num_dev, 'held-out text')}: {scores['perplexity']:.2f} a {vocabulary.unit}, "
        f"{scores['word_perplexity']:.1f} a word; {scores['bits_per_character']:.3f} bits a character",
        soft_wrap=True,
    )
    terminal.print(f"{result.model}: {result.size_bytes / 1000:,.0f} kB", soft_wrap=True)
    print_next("evaluate", recogniser, "--manifest", "DEV.jsonl", "--gru-language-model", result.model)


def _record(result: Any) -> dict[str, Any]:
    import dataclasses

    return {**dataclasses.asdict(result), "run": str(result.run), "model": str(result.model)}
