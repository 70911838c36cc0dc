"""Corpora that another tool has split into sets: which set is which split, and from their utterances to manifests."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechgru.corpora.described import Described, Faults, measure
from speechgru.corpora.extracting import Extraction
from speechgru.corpora.folder import NOTES_NAME
from speechgru.corpora.layouts import some
from speechgru.corpora.splits import SPLITS, choose_by_name
from speechgru.errors import CorpusError
from speechgru.files import require_unread, write_json
from speechgru.progress import Progress, silent
from speechgru.utterances.manifest import Utterance, write_manifest
from speechgru.visible import counted

#: What the sets of each split are called elsewhere; the first that is there counts.
USUAL: dict[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "dev": ("dev", "valid", "validation", "val"),
    "test": ("test", "testing", "eval"),
}

#: Gives the sets of a name in a folder, none where there is none.
Usual = Callable[[Path, str], Sequence[Path]]
#: Reads a set: its path, its split, what takes faults, what copies recordings out of archives.
ReadSet = Callable[[Path, str, Faults, Extraction], Iterable[Described]]


@dataclass(frozen=True)
class Layout:
    """How another tool lays out a corpus that it has split into sets; `prepare` is what `CORPORA` wants.

    Args:
        corpus: its name, for messages.
        kind: what a set is, with its article, for messages.
        usual: finds the sets that are named as usual, and with "" the source as a set of its own.
        read: reads a set.
        within: the folders below the source in which sets lie as usual; the first that has one counts.
        root: from what the user names to where sets are looked for.
    """

    corpus: str
    kind: str
    usual: Usual
    read: ReadSet
    within: Sequence[str] = (".",)
    root: Callable[[Path], Path] = Path

    def prepare(
        self,
        out: Path,
        *,
        source: Path | None = None,
        seed: int = 0,
        progress: Progress = silent,
        train: list[str] | None = None,
        dev: list[str] | None = None,
        test: list[str] | None = None,
        dev_share: float = 0.0,
        skip_missing: bool = False,
    ) -> dict[str, Path]:
        """Writes the manifests of such a corpus, and what must be copied out of archives.

        Args:
            out: the folder to write; `audio` in it has what is copied.
            source: a set, or the folder that holds one for each split.
            seed: not used: nothing is drawn by chance.
            progress: called as it reads.
            train: what is read for train below the source, or several (a,b); none looks for the usual names.
            dev: that for dev.
            test: that for test.
            dev_share: of the people of train (of its recordings where people are not known) that make dev, 0 to 0.5,
                where there is nothing for it.
            skip_missing: whether to leave out what lacks its transcript or recording, or cannot be read.

        Returns:
            The manifests by split.

        Raises:
            CorpusError: there are no such sets, or one is faulty: each layout's module says what it refuses.
        """
        return prepare_sets(
            self.corpus,
            out,
            source=None if source is None else self.root(source),
            given={"train": train, "dev": dev, "test": test},
            usual=self.usual,
            read=self.read,
            kind=self.kind,
            within=self.within,
            dev_share=dev_share,
            skip_missing=skip_missing,
            progress=progress,
        )


def prepare_sets(
    corpus: str,
    out: Path,
    *,
    source: Path | None,
    given: Mapping[str, Sequence[str] | None],
    usual: Usual,
    read: ReadSet,
    kind: str,
    within: Sequence[str] = (".",),
    dev_share: float,
    skip_missing: bool,
    progress: Progress,
) -> dict[str, Path]:
    """Writes the manifests of a corpus's sets, and beside them `prepared.json` with what is to be said of them.

    Args:
        corpus: its name, for messages.
        out: the folder to write.
        source: where the sets are.
        given: by split the sets that were asked for, each a path relative to the source; None where none was.
        usual: finds the sets that are named as usual, and with "" the source as a set of its own.
        read: reads a set.
        kind: what a set is, with its article, for messages.
        within: the folders below the source in which sets lie as usual; the first that has one counts.
        dev_share: of the people of train, or of the recordings where people are not known, those that make dev; 0
            to 0.5. For corpora that have no set for dev.
        skip_missing: whether what is faulty is left out, and not refused.
        progress: called as it reads.

    Returns:
        The manifests by split, each with an utterance at least.

    Raises:
        CorpusError: no source, no sets, a set that cannot be read, or one without a usable utterance.
        UserError: a manifest that is read would be overwritten.
    """
    if isinstance(dev_share, bool) or not isinstance(dev_share, int | float) or not 0 <= dev_share <= 0.5:
        raise CorpusError(f"{corpus}: dev_share must be a share from 0 to 0.5, got {dev_share!r}")
    if source is None:
        raise CorpusError(f"{corpus}: name {kind}, or a folder of them, with --source")
    source = source.expanduser().absolute()
    if not source.exists():
        raise CorpusError(f"{source}: no such file or folder; name {kind}, or a folder of them")
    sets, unread = _find_sets(corpus, source, given, usual, within, kind)
    if dev_share and "dev" in sets:
        raise CorpusError(f"{corpus}: dev is {sets['dev'][0]}; leave dev_share out, or name no dev")
    require_unread([out / f"{split}.jsonl" for split in SPLITS], [path for paths in sets.values() for path in paths])
    extraction = Extraction(out / "audio", progress=progress)
    splits: dict[str, list[Utterance]] = {}
    faults = Faults()
    for split, paths in sets.items():
        described = (each for path in paths for each in read(path, split, faults, extraction))
        splits[split] = measure(described, faults, progress=progress)
    if not skip_missing:
        faults.refuse()
    if dev_share:
        splits = _with_dev(splits, dev_share)
    for split, utterances in splits.items():
        if not utterances:
            where = sets.get(split, sets.get("train", [source]))
            raise CorpusError(f"{some(where)}: no utterance for {split}{_all_faulty(faults)}")
    others = [f"not read: {some(unread)}; train=NAME dev=NAME test=NAME say which is which"] if unread else []
    notes = [*others, *faults.notes, *([extraction.note] if extraction.note else [])]
    if faults.reasons:
        notes.append(f"left out: {counted(len(faults.reasons), 'utterance')}; {NOTES_NAME} names them")
    manifests = {split: write_manifest(out / f"{split}.jsonl", splits[split]) for split in SPLITS if split in splits}
    write_json(
        out / NOTES_NAME,
        {
            "corpus": corpus,
            "sets": {split: [str(path) for path in paths] for split, paths in sets.items()},
            "dev_share": dev_share,
            "notes": notes,
            "left_out": faults.reasons,
        },
    )
    return manifests


def _all_faulty(faults: Faults) -> str:
    return f"; all were left out, the first because: {next(iter(faults.reasons.values()))}" if faults.reasons else ""


def _find_sets(
    corpus: str,
    source: Path,
    given: Mapping[str, Sequence[str] | None],
    usual: Usual,
    within: Sequence[str],
    kind: str,
) -> tuple[dict[str, list[Path]], list[str]]:
    """The sets by split, and the names of those beside them that have no usual name.

    Raises:
        CorpusError: there is no set, none for train among several, or one stands twice.
    """
    named = {split: list(names) for split, names in given.items() if names}
    if named:
        base = source if source.is_dir() else source.parent
        sets = {split: [_named_set(base, name, split, usual, kind) for name in names] for split, names in named.items()}
        _refuse_twice(corpus, sets)
        return sets, []
    for folder in (source / each for each in within):
        found: dict[str, list[Path]] = {}
        for split, names in USUAL.items():
            paths = next((paths for name in names if (paths := usual(folder, name))), None)
            if paths:
                found[split] = list(paths)
        if found:
            unread = _unread(folder, usual, found)
            if unread and "train" not in found:
                raise CorpusError(
                    f"{folder}: holds {' and '.join(found)}, nothing that is called train, and {some(unread)}; "
                    f"{_which(corpus, source)}"
                )
            return found, unread
    alone = list(usual(source, ""))
    if alone:
        return {"train": alone}, []
    there = sorted(path.name for path in source.iterdir() if not path.name.startswith(".")) if source.is_dir() else []
    raise CorpusError(
        f"{source}: is not {kind}, and holds none that is called train, dev or test (it has "
        f"{some(there) or 'nothing'}); {_which(corpus, source)}"
    )


def _which(corpus: str, source: Path) -> str:
    return (
        f"say which is which: speechgru prepare {corpus} --source {shlex.quote(str(source))} train=NAME dev=NAME "
        "test=NAME"
    )


def _unread(folder: Path, usual: Usual, found: Mapping[str, Sequence[Path]]) -> list[str]:
    """The names of a folder's sets that are no split's, as `train_nodev` beside `test`."""
    read = {path for paths in found.values() for path in paths}
    unread = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = path.name.partition(".")[0]
        with contextlib.suppress(CorpusError):  # an incomplete one that nobody asked for
            named = [list(usual(folder, each)) for each in (name, name.rpartition("_")[2]) if each]
            if path not in read and [path] in named:
                unread.append(path.name)
    return unread


def _refuse_twice(corpus: str, sets: Mapping[str, Sequence[Path]]) -> None:
    """Refuses a set that is named for two splits, or twice for one.

    Raises:
        CorpusError: names it.
    """
    split_of: dict[Path, str] = {}
    for split, paths in sets.items():
        for path in paths:
            if (other := split_of.get(path.resolve())) is not None:
                raise CorpusError(f"{corpus}: {path} is named for {other} and again for {split}; name it once")
            split_of[path.resolve()] = split


def _named_set(base: Path, name: str, split: str, usual: Usual, kind: str) -> Path:
    path = base / Path(name).expanduser()
    if not path.exists():
        there = sorted(each.name for each in path.parent.iterdir()) if path.parent.is_dir() else []
        raise CorpusError(
            f"{path}: no such file or folder; {split} must name {kind} (there are {some(there) or 'none'})"
        )
    if not usual(path, ""):
        raise CorpusError(f"{path}: is not {kind}; {split} must name one")
    return path


def _with_dev(splits: dict[str, list[Utterance]], share: float) -> dict[str, list[Utterance]]:
    """The splits with a part of train as dev: people where all are known, else recordings."""
    train = splits.get("train", [])
    by_speaker = all(utterance.speaker is not None for utterance in train)
    units = [str(utterance.speaker) if by_speaker else utterance.audio_filepath for utterance in train]
    # A recording by its name, so that another folder divides alike.
    names = units if by_speaker else [Path(unit).name for unit in units]
    dev = choose_by_name(set(names), share)
    divided: dict[str, list[Utterance]] = {"train": [], "dev": []}
    for utterance, name in zip(train, names, strict=True):
        divided["dev" if name in dev else "train"].append(utterance)
    return {**splits, **divided}
