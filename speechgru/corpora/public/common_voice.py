"""Mozilla Common Voice: sentences that volunteers read, in more than a hundred languages, as MP3.

CC0. Since 2025 it is had from the Mozilla Data Collective (mozilladatacollective.com) with an account whose terms were
accepted; older addresses are dead, and no copy may be passed on. Its layout, of one language:

    cv-corpus-VERSION-DATE/LANGUAGE/{train,dev,test,validated,invalidated,other}.tsv
    cv-corpus-VERSION-DATE/LANGUAGE/clips/*.mp3

The official splits are by speaker, and no sentence is read twice in them. What else was validated, `train=validated`
adds to train.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from speechgru.corpora.public.copies import Clip, Copy, require_one_of, write
from speechgru.corpora.public.lines import read_cells
from speechgru.corpora.public.source import find_language, require_folder
from speechgru.corpora.splits import SPLITS
from speechgru.errors import CorpusError
from speechgru.progress import Progress, silent

_ADVICE = (
    "it is had from mozilladatacollective.com with an account: accept the terms of a language's dataset, download and "
    "unpack it"
)
#: Columns that a line keeps where they say something, by their names since version 17 and before.
_KEPT = {
    "age": "age",
    "gender": "gender",
    "accents": "accents",
    "accent": "accents",
    "variant": "variant",
    "sentence_domain": "sentence_domain",
    "segment": "segment",
}
#: Letters of a speaker's identifier that a line keeps, of 128: 64 bits of the hash that it is.
_SPEAKER_LETTERS = 16


def prepare(
    out: Path,
    *,
    source: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    language: str | None = None,
    train: str = "train",
    max_down_votes: int | None = None,
    skip_missing: bool = False,
) -> dict[str, Path]:
    """Writes manifests of one language; the recordings stay where they are.

    Args:
        out: the folder to write.
        source: the folder of a language, or one above it.
        seed: not used: the splits are official.
        progress: called as it measures.
        language: the language's folder, such as de or zh-CN, where there are several.
        train: what train.jsonl holds: train, the official set, or validated, every validated clip whose speaker and
            sentence are in neither dev nor test.
        max_down_votes: the most votes against a clip of train; none sets no limit.
        skip_missing: whether to leave out what lacks its text or recording, stands twice, or cannot be read.

    Returns:
        The manifests "train", "dev" and "test". Every line has the `speaker` (the beginning of the corpus's hash), and
        `age`, `gender`, `accents`, `variant`, `sentence_domain` and `segment` where they are known.

    Raises:
        CorpusError: there is no source or no such language, or the copy is not whole.
    """
    require_one_of("common_voice", "train", train, ("train", "validated"))
    if max_down_votes is not None and (isinstance(max_down_votes, bool) or max_down_votes < 0):
        raise CorpusError(f"common_voice: max_down_votes must be 0 or more, got {max_down_votes!r}")
    folder = find_language(
        "common_voice", require_folder("common_voice", source, _ADVICE), language, "train.tsv", "clips"
    )
    copy = Copy("common_voice", folder)
    rows = {split: list(_rows(folder, split if split != "train" else train)) for split in SPLITS}
    held_out = [row for split in ("dev", "test") for row in rows[split]]
    speakers = {row["client_id"] for row in held_out}
    sentences = {_folded(row["sentence"]) for row in held_out}
    clips = {row["path"] for row in held_out}
    for split in SPLITS:
        for row in rows[split]:
            if split == "train" and max_down_votes is not None and int(row["down_votes"]) > max_down_votes:
                copy.passed_over[f"more than {max_down_votes} votes against it"] += 1
            elif split != "train" or train == "train":
                copy.add(split, _clip(folder, row))
            elif row["path"] in clips:
                pass  # it is in dev or test itself
            elif row["client_id"] in speakers:
                copy.passed_over["validated, but by a speaker of dev or test"] += 1
            elif _folded(row["sentence"]) in sentences:
                copy.passed_over["validated, but with a sentence of dev or test"] += 1
            else:
                copy.add(split, _clip(folder, row))
    needed = [split for split in SPLITS if rows[split] or split == "train"]
    copy.notes += [
        f"{split}.tsv is empty: this language has no official {split} set" for split in SPLITS if not rows[split]
    ]
    return write(copy, out, needed=needed, skip_missing=skip_missing, progress=progress)


def _rows(folder: Path, table: str) -> Iterator[dict[str, str]]:
    path = folder / f"{table}.tsv"
    for number, row in read_cells(path, needed=("client_id", "path", "sentence", "down_votes")):
        if not row["down_votes"].isdecimal():
            raise CorpusError(f"{path}:{number}: has {row['down_votes']!r} votes; the file was edited: unpack it anew")
        yield row


def _folded(sentence: str) -> str:
    return " ".join(sentence.casefold().split())


def _clip(folder: Path, row: dict[str, str]) -> Clip:
    name = row["path"] if "." in row["path"] else f"{row['path']}.mp3"  # the first versions left it out
    extra: dict[str, object] = {new: row[old] for old, new in _KEPT.items() if row.get(old)}
    return Clip(os.path.join(folder, "clips", name), row["sentence"], row["client_id"][:_SPEAKER_LETTERS], extra)
