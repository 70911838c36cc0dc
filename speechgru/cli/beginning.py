"""Commands to begin with: init writes a configuration, config prints and explains what may stand in one."""

from __future__ import annotations

import difflib
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from speechgru.cli.console import (
    JsonFlag,
    Table,
    app,
    err,
    number_column,
    print_beginning,
    print_json,
    print_next,
    terminal,
)
from speechgru.errors import UserError

#: Each question of `init`: what is asked, and what each answer means.
_QUESTIONS: dict[str, tuple[str, dict[str, str]]] = {
    "use": (
        "What will it transcribe?",
        {
            "files": "recordings, or commands once they are said: the fewest errors, but it can never stream",
            "microphone": "somebody who is still speaking: the text grows meanwhile, with a few errors more",
        },
    ),
    "source": (
        "What is it made from?",
        {
            "grammar": "a file of sentence templates: speech engines say them, and nothing else is recognised",
            "recordings": "a folder of recordings with their texts, or of manifests that were prepared before",
        },
    ),
}


@app.command()
def init(
    config: Annotated[Path, typer.Argument(help="The YAML file to write.")],
    use: Annotated[
        str | None, typer.Option(help="files or microphone: whether it must stream. Asked for where it is left out.")
    ] = None,
    grammar: Annotated[
        str | None, typer.Option(help="Recognise a grammar's commands: its file, or the name of one of the package's.")
    ] = None,
    recordings: Annotated[
        Path | None, typer.Option(help="Learn from this folder of recordings with texts, or of prepared manifests.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder for the manifests that `prepare` will write; else data/ and the name.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Write the configuration to start from, asking what cannot be changed later.

    Without a terminal give the options. The last line is the command that comes next.
    Example: `speechgru init my.yaml --use files --grammar household`
    """
    from speechgru.files import require_file_place

    require_file_place(config)
    if config.exists():
        raise UserError(f"{config}: is there already, and nothing is overwritten; name another file")
    if grammar is not None and recordings is not None:
        raise UserError("--grammar and --recordings exclude each other; `prepare commands --others` mixes both later")
    uses = _QUESTIONS["use"][1]
    if use is not None and use not in uses:
        raise UserError(f"--use is {' or '.join(uses)}, got {use!r}")
    can_ask = sys.stdin.isatty() and not as_json
    use = use or _choose("use", "--use files or --use microphone", can_ask=can_ask)
    if grammar is None and recordings is None:
        if _choose("source", "--grammar FILE or --recordings FOLDER", can_ask=can_ask) == "grammar":
            grammar = _ask("its file, or a name such as household")
        else:
            recordings = Path(_ask("the folder")).expanduser()
    print_beginning(f"reading {recordings if grammar is None else grammar}")
    from speechgru.config.starting import write_config

    prepare: list[str | Path]
    folder = data or Path("data") / config.stem
    if grammar is not None:
        _require_grammar(grammar)
        prepare = ["prepare", "commands", "--grammar", grammar, "--out", folder]
    else:
        assert recordings is not None
        if (recordings / "train.jsonl").is_file() and data is None:
            folder = recordings
        else:
            _require_recordings(recordings)
        prepare = ["prepare", "folder", "--source", recordings, "--out", folder]
    write_config(config, use=use, data=folder, of_grammar=grammar is not None)
    following = prepare
    if (folder / "train.jsonl").is_file():
        following = ["train", config, "--run", Path("runs") / config.stem]
    if as_json:
        answers = {"use": use, "grammar": grammar, "recordings": recordings and str(recordings), "data": str(folder)}
        print_json({"config": str(config), **answers, "next": ["speechgru", *map(str, following)]})
        return
    terminal.print(f"{config}: for {use}, from {'a grammar' if grammar is not None else 'recordings'}", soft_wrap=True)
    print_next(*following)


def _require_grammar(grammar: str) -> None:
    from speechgru.cli.console import needs_training_packages
    from speechgru.grammar import Grammar

    needs_training_packages(lambda: Grammar.load(grammar))


def _require_recordings(folder: Path) -> None:
    from speechgru.audio.finding import find_recordings

    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    if not find_recordings(folder):
        raise UserError(f"{folder}: holds neither recordings nor a train.jsonl; name the folder of your recordings")


def _choose(name: str, options: str, *, can_ask: bool) -> str:
    """The answer to one of the questions, by its name or its first letters.

    Raises:
        UserError: there is nobody to ask; names the options to give.
    """
    question, answers = _QUESTIONS[name]
    if not can_ask:
        raise UserError(f"{question[0].lower()}{question[1:-1]}: give {options}")
    err.print(question)
    for answer, meaning in answers.items():
        err.print(f"  {answer}: {meaning}", highlight=False)
    while True:
        given = _ask(" or ".join(answers)).lower()
        found = [answer for answer in answers if answer.startswith(given)]
        if len(found) == 1:
            return found[0]


def _ask(what: str) -> str:
    """What a person types, once it is something."""
    while True:
        try:
            given = input(f"{what}> ").strip()
        except EOFError as error:
            raise typer.Abort from error
        if given:
            return given


def _complete_names(incomplete: str) -> list[str]:
    """What `config` may be asked for, for the shell."""
    from speechgru.config.explained import explain, packaged_files

    keys = list(explain())
    names = [*packaged_files(), *dict.fromkeys(key.split(".")[0] for key in keys), *keys]
    return [name for name in names if name.startswith(incomplete)]


@app.command()
def config(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A file of the package's, a section such as model, or a key such as model.units.",
            autocompletion=_complete_names,
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Print the configurations that come with the package, and explain their keys.

    Example: `speechgru config`, `speechgru config commands > my.yaml`, and `speechgru config model.units`
    """
    from speechgru.config.explained import explain, packaged_files, summaries

    if name is None:
        _print_list(summaries(), list(dict.fromkeys(key.split(".")[0] for key in explain())), as_json=as_json)
        return
    if name in (files := packaged_files()):
        text = files[name].read_text(encoding="utf-8")
        if as_json:
            print_json({"name": name, "text": text})
        else:
            sys.stdout.write(text)
            sys.stdout.flush()
            print_next(*_after_file(name))
        return
    explanations = explain()
    found = [each for key, each in explanations.items() if name in (key, key.split(".")[0])]
    if not found:
        near = difflib.get_close_matches(name, [*files, *explanations], n=1)
        near = [each for each in (*files, *explanations) if re.split("[./]", each)[-1] == name][:1] or near
        hint = f"did you mean {near[0]}?" if near else "`speechgru config` lists them"
        raise UserError(f"{name!r} is neither a configuration of the package, nor a section or key; {hint}")
    if as_json:
        print_json([vars(each) for each in found])
        return
    table = Table(number_column("key"), "default, values, meaning", show_lines=True)
    for each in found:
        table.add_row(each.key, f"{each.default} ({each.kind})\n{each.meaning}")
    terminal.print(table)
    print_next("train", "CONFIG.yaml", "--run", "RUN", f"{found[0].key}=VALUE")


def _after_file(name: str) -> list[str]:
    """The command that a packaged file is for."""
    if name.startswith("grammars/"):
        own = name.removeprefix("grammars/")
        return ["prepare", "commands", "--grammar", own, "--out", f"data/{own}"]
    verb = "tune" if name.startswith("sweep") else "train"
    return [verb, name, "--run", f"{'sweeps' if verb == 'tune' else 'runs'}/first", "data.train=TRAIN", "data.dev=DEV"]


def _print_list(files: dict[str, str], sections: list[str], *, as_json: bool) -> None:
    if as_json:
        print_json({"files": files, "sections": sections})
        return
    table = Table("name", "what it is for")
    for name, summary in files.items():
        table.add_row(name, summary)
    terminal.print(table)
    terminal.print(f"sections, whose keys it explains: {', '.join(sections)}", soft_wrap=True)
    print_next("config", "commands")
