"""Commands for language models: language train, language convert and language show."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from speechgru.cli.console import (
    Commands,
    JsonFlag,
    Table,
    app,
    first_of,
    print_beginning,
    print_json,
    print_next,
    print_notes,
    show_progress,
    split,
    terminal,
)
from speechgru.errors import UserError
from speechgru.visible import counted

PruneEntropy = Annotated[
    float | None,
    typer.Option(help="Drop n-grams without which the perplexity rises by less than this share each, such as 1e-6."),
]

group = typer.Typer(cls=Commands, help="Train, convert and look at language models.", no_args_is_help=True)
app.add_typer(group, name="language")


@group.callback()
def _group() -> None:
    """Train, convert and look at language models."""


@group.command()
def train(
    texts: Annotated[
        list[Path], typer.Argument(help="Text files, one sentence a line, perhaps .gz; or manifests (.jsonl).")
    ],
    out: Annotated[Path, typer.Option(help="The model to write: .ngram (small), .arpa or .arpa.gz.")],
    order: Annotated[int, typer.Option(min=1, max=10, help="Words of its longest n-grams.")] = 3,
    prune: Annotated[
        str, typer.Option(help="Counts up to which n-grams are dropped, one an order, the last for all above: 0,0,1.")
    ] = "0",
    prune_entropy: PruneEntropy = None,
    rules: Annotated[
        Path | None,
        typer.Option(help="A run, bundle or configuration whose text rules the texts go through; else the usual ones."),
    ] = None,
    normalize: Annotated[
        bool, typer.Option("--normalize/--no-normalize", help="Whether texts go through the text rules at all.")
    ] = True,
    exact: Annotated[
        bool, typer.Option("--exact", help="Of .ngram: keep logarithms as they are, at twice the size.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Train an n-gram model of texts: interpolated modified Kneser-Ney, as KenLM's lmplz.

    Example: `speechgru language train sentences.txt --rules bundle --out lm.ngram`
    """
    print_beginning(f"reading {first_of(texts)}")
    from speechgru.files import require_unread
    from speechgru.language.files import require_form, write_language_model
    from speechgru.language.kneser_ney import train as verb
    from speechgru.language.texts import TextFiles

    require_form(out)
    require_unread([out], [*texts, rules])
    if rules is not None and not normalize:
        raise UserError("--rules and --no-normalize exclude each other: text that goes through no rules needs none")
    try:
        cutoffs = [int(count) for count in split(prune)]
    except ValueError:
        raise UserError(f"--prune takes whole numbers, one an order, such as 0,0,1, got {prune!r:.60}") from None
    with show_progress(quiet=as_json) as progress:
        files = TextFiles(texts, _rules_of(rules).normalize if normalize else str, progress)
        trained = verb(files, order=order, prune=cutoffs, progress=progress)
        model = _pruned(trained.model, prune_entropy, trained.counts)
        facts = {"sentences": files.num_sentences, "words": files.num_words, "prune": cutoffs}
        write_language_model(model, out, exact=exact, facts=facts | _pruning(prune_entropy), progress=progress)
    record = _describe(model, out) | {
        "sentences": files.num_sentences,
        "text_words": files.num_words,
        "discounts": trained.discounts,
        "notes": trained.notes,
    }
    if as_json:
        print_json(record)
        return
    print_notes(trained.notes)
    _print_model(record)
    print_next("transcribe", _bundle_of(rules), "HELLO.wav", "--language-model", out)


def _pruned(model: Any, threshold: float | None, counts: Any = None) -> Any:
    from speechgru.language.pruning import prune

    return model if threshold is None else prune(model, threshold, counts=counts)


def _pruning(threshold: float | None) -> dict[str, float]:
    """What a model's file says of it."""
    return {} if threshold is None else {"prune_entropy": threshold}


@group.command()
def convert(
    model: Annotated[Path, typer.Argument(help="A language model: ARPA (.gz too), KenLM's trie, or .ngram.")],
    out: Annotated[Path, typer.Argument(help="The file to write: .ngram (small), .arpa or .arpa.gz.")],
    rules: Annotated[
        Path | None,
        typer.Option(help="A run, bundle or configuration by whose text rules its words are rewritten."),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Of .ngram: keep logarithms as they are, at twice the size.")
    ] = False,
    prune_entropy: PruneEntropy = None,
    as_json: JsonFlag = False,
) -> None:
    """Write a language model in another form.

    Example: `speechgru language convert 3-gram.arpa.gz lm.ngram`
    """
    print_beginning(f"reading {model}")
    from speechgru.files import require_unread
    from speechgru.language import read_language_model
    from speechgru.language.files import require_form, write_language_model
    from speechgru.language.kenlm import require_listed

    require_form(out)
    require_unread([out], [model, rules])
    with show_progress(quiet=as_json) as progress:
        listed = require_listed(read_language_model(model, progress=progress), model)
        if rules is not None:
            listed = listed.rewritten(_rules_of(rules).normalize, name=str(model))
        listed = _pruned(listed, prune_entropy)
        facts = {"made of": model.name} | _pruning(prune_entropy)
        write_language_model(listed, out, exact=exact, facts=facts, progress=progress)
    record = _describe(listed, out)
    if as_json:
        print_json(record)
        return
    _print_model(record)
    print_next("transcribe", _bundle_of(rules), "HELLO.wav", "--language-model", out)


@group.command()
def show(
    model: Annotated[Path, typer.Argument(help="A language model: ARPA (.gz too), KenLM's binary, or .ngram.")],
    text: Annotated[
        list[Path] | None, typer.Option("--text", help="Texts to measure it on: its perplexity; may be repeated.")
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(help="A run, bundle or configuration whose text rules these go through; else the usual ones."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what a language model holds, and how well it predicts texts.

    Example: `speechgru language show lm.ngram --text dev.txt`
    """
    print_beginning(f"reading {model}")
    from speechgru.language import read_language_model
    from speechgru.language.texts import TextFiles

    with show_progress(quiet=as_json) as progress:
        opened = read_language_model(model, progress=progress)
        record = _describe(opened, model)
        if text:
            record["measured"] = _measure(opened, TextFiles(text, _rules_of(rules).normalize, progress))
    if as_json:
        print_json(record)
        return
    _print_model(record)
    print_next("transcribe", _bundle_of(rules), "HELLO.wav", "--language-model", model)


def _measure(model: Any, sentences: Any) -> dict[str, float | int]:
    """A model's perplexity, ends of sentences among the words; and without the words that it does not know."""
    total = known = 0.0
    count = unknown = 0
    for words in sentences:
        for _, log_prob, is_known in model.scores(" ".join(words)):
            count += 1
            total += log_prob
            if is_known:
                known += log_prob
            else:
                unknown += 1
    if not count:
        raise UserError("the texts to measure on hold no word; give some in which something is said")
    return {
        "perplexity": _exp(-total / count),
        "perplexity_of_known": _exp(-known / max(1, count - unknown)),
        "words": sentences.num_words,
        "unknown_words": unknown,
    }


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))


def _describe(model: Any, path: Path) -> dict[str, Any]:
    orders = getattr(model, "orders", None)
    return {
        "file": str(path),
        "description": model.description,
        "size_bytes": path.stat().st_size,
        "order": model.order,
        "ngrams": None if orders is None else [len(order.words_N) for order in orders],
        "measured": None,
    }


def _print_model(record: dict[str, Any]) -> None:
    table = Table("fact", "value", title=record["file"])
    table.add_row("model", record["description"])
    table.add_row("size", f"{record['size_bytes'] / 1000:,.0f} kB")
    if record["ngrams"] is not None:
        table.add_row("n-grams", ", ".join(f"{count:,}" for count in record["ngrams"]))
    if "sentences" in record:
        table.add_row(
            "trained on", f"{counted(record['sentences'], 'sentence')}, {counted(record['text_words'], 'word')}"
        )
    measured = record["measured"]
    if measured is not None:
        share = measured["unknown_words"] / max(1, measured["words"])
        table.add_row("perplexity", f"{measured['perplexity']:,.1f}")
        table.add_row("of known words", f"{measured['perplexity_of_known']:,.1f}")
        table.add_row("unknown words", f"{measured['unknown_words']:,} of {measured['words']:,} ({share:.2%})")
    terminal.print(table)


def _bundle_of(rules: Path | None) -> str | Path:
    """What the next command transcribes with: the bundle whose text rules were named, if one was."""
    from speechgru.runtime import is_bundle

    return rules if rules is not None and is_bundle(rules) else "bundle"


def _rules_of(path: Path | None) -> Any:
    """The text rules of a run, a bundle or a configuration; the usual ones where none is named.

    Raises:
        UserError: it is none of these.
    """
    from speechgru.runtime import is_bundle
    from speechgru.runtime.bundle import read_bundle
    from speechgru.text import TextRules

    if path is None:
        return TextRules()
    if is_bundle(path):
        return TextRules(**read_bundle(path)["text"])
    config = path / "config.yaml" if path.is_dir() else path
    if config.suffix not in (".yaml", ".yml") or not config.is_file():
        raise UserError(
            f"{path}: is neither a run folder (config.yaml), a bundle (bundle.json) nor a configuration (.yaml); name "
            "one whose text rules count, or leave --rules out"
        )
    from speechgru.config import load_config

    return load_config(config, stored=path.is_dir()).text.rules
