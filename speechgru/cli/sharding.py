"""The command for a corpus in a few large files: shard."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from speechgru.cli.console import (
    JsonFlag,
    app,
    first_of,
    import_module,
    needs_training_packages,
    print_beginning,
    print_json,
    print_next,
    show_progress,
    terminal,
)
from speechgru.errors import CorpusError, UserError
from speechgru.files import require_own_folder
from speechgru.visible import counted


@app.command()
def shard(
    manifests: Annotated[
        list[Path] | None, typer.Argument(help="Manifests to pack, in this order.", metavar="MANIFEST...")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(help="Folder for the shards, or s3://BUCKET/FOLDER; an unfinished job there is resumed."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="The configuration they are meant for.")] = None,
    form: Annotated[str, typer.Option(help="samples, or features: log-mel, for training without augmentation.")] = (
        "samples"
    ),
    shard_megabytes: Annotated[float, typer.Option(help="Size of a file.")] = 128,
    part: Annotated[
        str | None,
        typer.Option(
            help="Pack one part of several, each on a machine of its own, such as 3/16.", metavar="NUMBER/ALL"
        ),
    ] = None,
    merge: Annotated[
        str | None,
        typer.Option(help="Pack nothing: verify all parts in this folder and make one of them.", metavar="FOLDER"),
    ] = None,
    verify: Annotated[
        str | None,
        typer.Option(help="Pack nothing: compare the checksums of this folder of shards.", metavar="FOLDER"),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Pack a corpus into a few large, checksummed files, for corpora larger than memory.

    `data.train` then names the folder in place of the manifests.
    Example: `speechgru shard data/big/train.jsonl --config my.yaml --out shards/train`, and after copying the folder
    `speechgru shard --verify shards/train`, which ends with code 2 where a file is damaged. Many machines run it with
    `--part 1/16` to `--part 16/16` and the same `--out`, and one `speechgru shard --merge shards/train` afterwards.
    """
    from speechgru.stores import is_remote, require_lasting

    for flag, folder in (("--verify", verify), ("--merge", merge)):
        if folder is not None and (manifests or out is not None or part or (verify and merge)):
            raise UserError(f"{flag} packs nothing; give it alone, or leave it out to pack the manifests")
    for place in filter(None, (out, merge, verify)):
        require_lasting(place)
    if verify is not None:
        _verify_shards(verify, as_json=as_json)
        return
    if merge is not None:
        print_beginning(f"reading {merge}")
        verb = needs_training_packages(lambda: import_module("speechgru.shards.merge").merge)
        with show_progress(quiet=as_json) as progress:
            summary = verb(merge, progress=progress)
        _print_shards(summary, None, as_json=as_json)
        return
    if not manifests or out is None:
        raise UserError("packing needs manifests and --out; `speechgru shard --help` shows an example")
    print_beginning(f"reading {first_of(manifests)}")
    from speechgru.config.load import load_config
    from speechgru.config.sections import RunConfig
    from speechgru.utterances import read_manifest

    # Before TensorFlow is loaded, which takes seconds.
    if not is_remote(out):
        require_own_folder(out, kind="corpus of shards")
    settings = load_config(config) if config else RunConfig()
    for manifest in manifests:
        read_manifest(manifest)
    packing = needs_training_packages(lambda: import_module("speechgru.shards.pack"))
    chosen = {} if part is None else {"part": packing.Part.parse(part)}
    with show_progress(quiet=as_json) as progress:
        summary = packing.shard(
            manifests, out, config=settings, form=form, shard_megabytes=shard_megabytes, progress=progress, **chosen
        )
    _print_shards(summary, config, as_json=as_json, merge_in=out if part else None)


def _print_shards(summary: Any, config: Path | None, *, as_json: bool, merge_in: str | None = None) -> None:
    """What packing or merging did, and the next command."""
    if as_json:
        print_json({**dataclasses.asdict(summary), "out": str(summary.out)})
        return
    kept = f" ({summary.num_kept:,} there already)" if summary.num_kept else ""
    terminal.print(
        f"{summary.out}: {counted(summary.num_records, 'utterance')}, {summary.seconds / 3600:.2f} hours, as "
        f"{summary.form} in {counted(summary.num_shards, 'shard')}{kept}, {summary.size_bytes / 1e6:,.1f} MB",
        soft_wrap=True,
    )
    if summary.num_skipped:
        terminal.print(
            f"{counted(summary.num_skipped, 'utterance was', 'utterances were')} left out; see "
            f"{summary.out}/skipped.jsonl",
            style="yellow",
            soft_wrap=True,
        )
    if merge_in is not None:
        try:
            import_module("speechgru.shards.merge").find_parts(merge_in)
        except CorpusError as error:  # others are still to be packed
            terminal.print(str(error), soft_wrap=True, highlight=False, markup=False)
        else:
            print_next("shard", "--merge", merge_in)
    else:
        print_next("train", config or "CONFIG.yaml", "--run", "RUN", f"data.train={summary.out}")


def _verify_shards(folder: str, *, as_json: bool) -> None:
    """Prints which files of a folder of shards are damaged.

    Raises:
        CorpusError: the folder holds no finished shards, or one is damaged.
    """
    print_beginning(f"reading {folder}")
    module = needs_training_packages(lambda: import_module("speechgru.shards.folder"))
    with show_progress(quiet=as_json) as progress:
        damages = module.verify(folder, progress=progress)
    num_shards = len(module.read_summary(folder)["shards"])
    if as_json:
        print_json({"folder": str(folder), "num_shards": num_shards, "damages": damages})
        if damages:
            raise typer.Exit(2)
    elif damages:
        for damage in damages:
            terminal.print(damage, soft_wrap=True, highlight=False)
        raise CorpusError(f"{folder}: {len(damages)} of {num_shards} shards are damaged")
    else:
        terminal.print(
            f"{folder}: {counted(num_shards, 'shard is', 'shards are')} intact", soft_wrap=True, highlight=False
        )
        print_next("train", "CONFIG.yaml", "--run", "RUN", f"data.train={folder}")
