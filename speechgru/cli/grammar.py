"""Commands for grammars: grammar check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speechgru.cli.console import (
    Commands,
    JsonFlag,
    Table,
    app,
    print_beginning,
    print_json,
    print_next,
    terminal,
)

group = typer.Typer(cls=Commands, help="Look at grammars of sentence templates.", no_args_is_help=True)
app.add_typer(group, name="grammar")


@group.callback()
def _group() -> None:
    """Look at grammars of sentence templates."""


@group.command()
def check(
    grammar: Annotated[Path, typer.Argument(help="A grammar's file or folder, or the name of one of the package's.")],
    samples: Annotated[int, typer.Option(min=0, help="Sentences to show of each intent.")] = 3,
    as_json: JsonFlag = False,
) -> None:
    """Show a grammar's size, samples, ambiguous sentences, and values that sound nearly alike.

    Example: `speechgru grammar check my.yaml`
    """
    print_beginning(f"reading {grammar}")
    from speechgru.grammar import Grammar, describe_grammar, describe_slots
    from speechgru.grammar.check import check_grammar

    record = check_grammar(Grammar.load(grammar), samples=samples)
    if as_json:
        print_json(record)
        return
    terminal.print(f"{grammar}: {describe_grammar(record)}", soft_wrap=True)
    for note in record["notes"]:
        terminal.print(note, soft_wrap=True)
    table = Table("intent", "sentences", "such as")
    for intent in record["intents"]:
        number = f"{intent['num_sentences']:,}" if intent["is_counted"] else f"at most {intent['num_sentences']:,}"
        table.add_row(intent["name"], number, "\n".join(intent["samples"]))
    terminal.print(table)
    if record["ambiguous"]:
        table = Table("ambiguous", "read as", "not as")
        for each in record["ambiguous"]:
            readings = (f"{each[key]['intent']}: {describe_slots(each[key]['slots'])}" for key in ("used", "other"))
            table.add_row(each["text"], *readings)
        terminal.print(table)
    if not record["ambiguous_complete"]:
        terminal.print("the grammar is too large to look for every ambiguous sentence", soft_wrap=True)
    if record["confusable"]:
        title = "nearly alike" if record["sounds"] == "phonemes" else "nearly alike in spelling (no eSpeak NG for this)"
        table = Table("slot", "value", "value", "sounds apart", title=title)
        for pair in record["confusable"]:
            table.add_row(pair["slot"], pair["one"], pair["other"], str(pair["distance"]))
        terminal.print(table)
    print_next("prepare", "commands", "--grammar", grammar, "--out", Path("data") / grammar.stem)
