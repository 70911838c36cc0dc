"""ESPnet's dump: Kaldi data directories below `dump/raw`, whose recordings are files or places in arks.

```
dump/raw/train/wav.scp        ada-1 dump/raw/train/data/format.1/data_wav.ark:6
dump/raw/train/text, utt2spk, feats_type (raw), audio_format (flac.ark), utt2num_samples
```

Paths are relative to the recipe's folder. Recordings inside arks are copied out of them into `OUT/audio`: a manifest
names files. Layout: ESPnet `espnet2/fileio`, `egs2/TEMPLATE/asr1/asr.sh`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from speechgru.corpora.described import Described, Faults
from speechgru.corpora.extracting import Extraction
from speechgru.corpora.kaldi import read_directory, usual_directories
from speechgru.corpora.sets import prepare_sets
from speechgru.errors import CorpusError
from speechgru.files import read_text
from speechgru.progress import Progress, silent


def prepare(
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
    """Writes manifests of an ESPnet dump; recordings inside arks are copied out of them.

    Args:
        out: the folder to write; `audio` in it has what is copied.
        source: the recipe's folder, its `dump/raw`, or one set of it.
        seed: not used: nothing is drawn by chance.
        progress: called as it reads.
        train: the set for train below dump/raw, or several (a,b); none looks for those with the usual names.
        dev: the set for dev.
        test: the set for test.
        dev_share: of the people of train that make dev, 0 to 0.5, where there is no set for it.
        skip_missing: whether to leave out what lacks its transcript or recording, or cannot be read.

    Returns:
        The manifests by split.

    Raises:
        CorpusError: there are no such sets, they hold features, a table is missing or faulty, or an ark is cut.
    """
    raw = None if source is None else next((path for path in (source / "dump" / "raw",) if path.is_dir()), source)
    return prepare_sets(
        "espnet",
        out,
        source=raw,
        given={"train": train, "dev": dev, "test": test},
        usual=usual_directories,
        read=_read_set,
        kind="a set of ESPnet's dump/raw (wav.scp, text)",
        within=(".", "raw"),
        dev_share=dev_share,
        skip_missing=skip_missing,
        progress=progress,
    )


def _read_set(folder: Path, split: str, faults: Faults, extraction: Extraction) -> Iterator[Described]:
    try:
        kind = read_text(folder / "feats_type").strip()
    except OSError:
        kind = "raw"
    if kind != "raw":
        raise CorpusError(f"{folder / 'feats_type'}: is {kind}, which is features; name a set of dump/raw, with sound")
    return read_directory(folder, split, faults, extraction)
