"""Commands for corpora: prepare, check and listen."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from speechgru.cli.console import (
    JsonFlag,
    Table,
    app,
    first_of,
    import_module,
    near,
    needs_training_packages,
    print_beginning,
    print_json,
    print_next,
    show_progress,
    terminal,
)
from speechgru.errors import UserError
from speechgru.files import held_alone, require_own_folder
from speechgru.visible import counted

if TYPE_CHECKING:
    from speechgru.corpora import Corpus

#: Lines that a row of a table names.
_MOST_LINES = 20
#: Where `prepare` keeps the words that it was given, for its help.
_GIVEN = "speechgru.prepare"


class _PrepareCommand(TyperCommand):
    """`prepare`, whose help lists the corpora, and after the name of one its options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[_GIVEN] = list(args)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from speechgru.corpora import CORPORA

        super().format_help(ctx, formatter)
        named = next((CORPORA[word] for word in ctx.meta.get(_GIVEN, ()) if word in CORPORA), None)
        if named:
            _print_options(named)
            return
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2))
        for corpus in CORPORA.values():
            table.add_row(corpus.name, corpus.summary)
        terminal.print(table, highlight=False)
        terminal.print()
        terminal.print("`speechgru prepare CORPUS --help` lists the options of one.", highlight=False)


def _print_options(corpus: Corpus) -> None:
    """Prints what a corpus is and its options; of one that is spoken also who can speak."""
    terminal.print(f"{corpus.name}: {corpus.summary}", highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2))
    for option in corpus.options.values():
        table.add_row(f"  {option.name}={'none' if option.default is None else option.default}", option.meaning)
    if corpus.options:
        terminal.print(table, highlight=False)
        terminal.print()
        terminal.print("KEY=VALUE may also be written --key VALUE, and KEY=true also --key alone.", highlight=False)
    if {"engine", "engines"} & set(corpus.options):
        from speechgru.voices import ENGINES

        terminal.print()
        for engine in ENGINES.values():
            terminal.print(f"engine {engine.name}: {engine.summary} (licence: {engine.licence})", highlight=False)


def _complete_corpora(incomplete: str) -> list[str]:
    """What `prepare` may be asked for, for the shell."""
    from speechgru.corpora import CORPORA

    return [name for name in CORPORA if name.startswith(incomplete)]


@app.command(cls=_PrepareCommand, context_settings={"ignore_unknown_options": True})
def prepare(
    corpus: Annotated[
        str,
        typer.Argument(
            help="Name of a corpus; all are listed below.", show_default=False, autocompletion=_complete_corpora
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for train.jsonl, dev.jsonl, test.jsonl.")],
    options: Annotated[
        list[str] | None,
        typer.Argument(help="Options of the corpus; see `prepare CORPUS --help`.", metavar="KEY=VALUE"),
    ] = None,
    source: Annotated[Path | None, typer.Option(help="Folder that holds the corpus already.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same corpus.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Make manifests from a corpus.

    Example: `speechgru prepare folder --source my_recordings --out data/mine`, or with options of the corpus
    `speechgru prepare fsdd joined=5 --out data/fsdd` and
    `speechgru prepare commands --grammar my.yaml --engines espeak=3,flite=1 --out data/mine`
    """
    print_beginning(f"preparing {corpus} into {out}")
    from speechgru.corpora import find_corpus
    from speechgru.corpora import prepare as verb

    chosen = find_corpus(corpus)
    switches = {name for name, option in chosen.options.items() if option.kind is bool}
    values = chosen.parse_options(_fold_flags(options or [], switches=switches))
    with show_progress(quiet=as_json) as progress:
        manifests = verb(corpus, out, source=source, seed=seed, progress=progress, **values)
    from speechgru.utterances.manifest import read_manifest

    if as_json:
        print_json({split: {"manifest": str(path), **_sizes(read_manifest(path))} for split, path in manifests.items()})
        return
    table = Table("manifest", "utterances", "minutes", title=f"{corpus} in {out}")
    for path in manifests.values():
        lines = read_manifest(path)
        table.add_row(str(near(path)), f"{len(lines):,}", f"{sum(line.duration for line in lines) / 60:.1f}")
    terminal.print(table)
    _print_notes(corpus, out)
    _print_voices(out)
    print_next("check", *map(near, manifests.values()))


def _sizes(lines: Sequence[Any]) -> dict[str, Any]:
    return {"utterances": len(lines), "seconds": sum(line.duration for line in lines)}


def _fold_flags(arguments: list[str], *, switches: Collection[str] = ()) -> list[str]:
    """Options of a corpus that were written as flags, as `KEY=VALUE`; others as they are.

    Args:
        arguments: as they stand on the command line.
        switches: the options that are true or false, and true where they are written without a value.

    >>> _fold_flags(["--test-engines", "piper", "--seed=1", "joined=5"])
    ['test_engines=piper', 'seed=1', 'joined=5']
    >>> _fold_flags(["--skip-missing", "--table", "a.csv"], switches=["skip_missing"])
    ['skip_missing=true', 'table=a.csv']
    >>> _fold_flags(["--word-folders", "false", "--no-speaker-folders"], switches=["word_folders", "speaker_folders"])
    ['word_folders=false', 'speaker_folders=false']
    """
    folded, left = [], list(arguments)
    while left:
        argument = left.pop(0)
        if not argument.startswith("-"):
            folded.append(argument)
            continue
        name, separator, value = argument.lstrip("-").partition("=")
        key = name.replace("-", "_")
        if not separator and key.startswith("no_") and key.removeprefix("no_") in switches:
            folded.append(f"{key.removeprefix('no_')}=false")
            continue
        if not separator and key in switches:
            value = left.pop(0) if left and left[0].lower() in ("true", "false") else "true"
        elif not separator:
            if not left:
                raise UserError(f"{argument} needs a value; `speechgru prepare CORPUS --help` lists the options")
            value = left.pop(0)
        folded.append(f"{key}={value}")
    return folded


def _print_notes(corpus: str, folder: Path) -> None:
    """Prints how recordings were read and split, where that was noted; another corpus's notes may lie there still."""
    from speechgru.corpora.folder import NOTES_NAME

    if (folder / NOTES_NAME).is_file():
        prepared = json.loads((folder / NOTES_NAME).read_text(encoding="utf-8"))
        for note in prepared["notes"] if prepared.get("corpus", "folder") == corpus else ():
            terminal.print(note, soft_wrap=True, highlight=False, markup=False)


def _print_voices(folder: Path) -> None:
    """Prints what a spoken corpus notes: who could have spoken, and did not, and why."""
    from speechgru.corpora.spoken import VOICES_NAME

    if (folder / VOICES_NAME).is_file():
        voices = json.loads((folder / VOICES_NAME).read_text(encoding="utf-8"))
        names = ", ".join(f"{name} ({engine['people']} people)" for name, engine in voices["engines"].items())
        terminal.print(f"voices: {names}", soft_wrap=True, highlight=False)
        for name, reason in voices["left_out"].items():
            terminal.print(f"without {name}: {reason}", soft_wrap=True, highlight=False)
        for note in voices["notes"]:
            terminal.print(note, soft_wrap=True, highlight=False)


@app.command()
def check(
    manifests: Annotated[
        list[Path], typer.Argument(help="Manifests to read; give the test set last.", metavar="MANIFEST...")
    ],
    config: Annotated[Path | None, typer.Option(help="The configuration they are meant for.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the clean manifest here (a folder for several), and what is left out beside it."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder for check.html and check.json; an interrupted check resumes there.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Read every recording and transcript once and report what is wrong with which line.

    Ends with code 1 when something is wrong or suspect. Example:
    `speechgru check data/mine/train.jsonl data/mine/test.jsonl --out clean --report build/check`
    """
    print_beginning(f"reading {first_of(manifests)}")
    from speechgru.config.load import load_config
    from speechgru.utterances.check import check as verb
    from speechgru.utterances.manifest import MEASUREMENTS_NAME

    # `check corpus/*.jsonl` names what was measured as the corpus was spoken, too.
    named, manifests = manifests, [path for path in manifests if path.name != MEASUREMENTS_NAME]
    if not manifests:
        raise UserError(f"{named[0]}: holds what was measured of recordings; name the manifests beside it")
    with show_progress(quiet=as_json) as progress:
        findings = verb(
            manifests, config=load_config(config) if config else None, out=out, report=report, progress=progress
        )
    if as_json:
        print_json([found.as_record() for found in findings])
    else:
        for found in findings:
            for accusations, title in ((found.problems, "left out"), (found.suspicions, "suspect")):
                _print_accusations(accusations, title=f"{found.manifest}: {title}")
            for shared in found.shared:
                terminal.print(_describe_shared(found.manifest, shared))
            counts = ", ".join(f"{count} {reason}" for reason, count in found.counts.items())
            suspect = ", ".join(f"{count} {reason}" for reason, count in found.suspicion_counts.items())
            terminal.print(
                f"{found.manifest}: {len(found.usable):,} usable"
                + (f", {counts}" if counts else "")
                + (f"; suspect: {suspect}" if suspect else "")
            )
        if report is not None:
            terminal.print(f"{report / 'check.html'} shows it all")
        usable = [line for found in findings for line in found.usable]
        if not usable or any(line.text for line in usable):  # noise alone trains nothing
            _print_after_check(manifests, config=config, out=out, is_faulty=any(found.problems for found in findings))
    if any(found.problems or found.suspicions for found in findings):
        raise typer.Exit(1)


def _print_after_check(manifests: Sequence[Path], *, config: Path | None, out: Path | None, is_faulty: bool) -> None:
    """The command after a check: training leaves out what the check would."""
    if is_faulty and out is None:
        several = len(manifests) > 1
        clean = Path("clean") if several else manifests[0].with_name(f"{manifests[0].stem}_clean.jsonl")
        print_next("check", *manifests, "--out", clean)
    elif config is None:
        folder = manifests[0].parent
        grammar = folder / "grammar.json"  # of sentences that were spoken
        if grammar.is_file():
            print_next("init", "my.yaml", "--grammar", grammar, "--data", folder)
        else:
            print_next("init", "my.yaml", "--recordings", folder)
    else:
        print_next("train", config, "--run", Path("runs") / config.stem)


def _print_accusations(accusations: list[Any], *, title: str, most: int = 5) -> None:
    """The first few of each reason; of the others, which are like them, the number and the lines."""
    if not accusations:
        return
    table = Table("line", "reason", "what is wrong", title=title, show_lines=True)
    by_reason: dict[str, list[Any]] = {}
    for accusation in accusations:
        by_reason.setdefault(accusation.reason, []).append(accusation)
    for reason, alike in by_reason.items():
        for accusation in alike[:most]:
            table.add_row(str(accusation.utterance.line), reason, accusation.message)
        others = [str(accusation.utterance.line) for accusation in alike[most:]]
        if others:
            lines = ", ".join(others[:_MOST_LINES]) + (", ..." if len(others) > _MOST_LINES else "")
            table.add_row("", reason, f"{len(others):,} more, in the lines {lines}; --report or --json lists all")
    terminal.print(table)


def _describe_shared(manifest: Path, shared: dict[str, Any]) -> str:
    """What a manifest has in common with one that is held out from it, in a sentence."""
    other = shared["manifest"]
    both = [f"{len(shared[what]):,} {what}" for what in ("speakers", "recordings") if shared[what]]
    unknown = (
        f" (speakers unknown in {counted(shared['speakers_unknown'], 'line')})" if shared["speakers_unknown"] else ""
    )
    if both:
        relation = f"shares {' and '.join(both)} with"
    else:
        relation = "shares no recording with" if unknown else "is held out from"
    return (
        f"{other} {relation} {manifest}{unknown}, which has "
        f"{shared['text_share']:.1%} of its texts and {1 - shared['unseen_word_share']:.1%} of its words"
    )


@app.command()
def listen(
    manifest: Annotated[Path, typer.Argument(help="The recordings.")],
    out: Annotated[Path, typer.Option(help="Folder for the sounds, the pictures and index.html.")],
    config: Annotated[Path | None, typer.Option(help="The configuration whose augmentation to apply.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Recordings to use, spread over the manifest.")] = 6,
    copies: Annotated[int, typer.Option(min=1, help="Augmented versions of each.")] = 3,
    as_json: JsonFlag = False,
) -> None:
    """Play and plot what training reads: recordings before and after augmentation.

    Example: `speechgru listen data/mine/train.jsonl --config my.yaml --out build/listen`
    """
    print_beginning(f"reading {manifest}")
    from speechgru.config.load import load_config
    from speechgru.config.sections import RunConfig
    from speechgru.utterances import read_manifest

    # Before TensorFlow is loaded, which takes seconds.
    require_own_folder(out, kind="the sounds")
    settings = load_config(config) if config else RunConfig()
    read_manifest(manifest)
    verb = needs_training_packages(lambda: import_module("speechgru.listen").listen)
    alone = held_alone(out, activity="is writing sounds here", advice="wait for it, or name another folder")
    with alone, show_progress(quiet=as_json) as progress:
        page = verb(manifest, config=settings, out=out, count=count, copies=copies, progress=progress)
    if as_json:
        print_json({"page": str(page)})
        return
    terminal.print(f"{page}: open it in a browser", soft_wrap=True)
    print_next("train", config or "CONFIG.yaml", "--run", "RUN")
