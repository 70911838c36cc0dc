"""ESPnet's dump: Kaldi data directories below `dump/raw`, whose recordings are files or places in arks.

```
dump/raw/train/wav.scp        ada-1 dump/raw/train/data/format.1/data_wav.ark:6
dump/raw/train/text, utt2spk, feats_type (raw), audio_format (flac.ark), utt2num_samples
```

Paths are relative to the recipe's folder. Recordings inside arks are copied out of them into `OUT/audio`: a manifest
names files; sets of features are refused. Layout: ESPnet `espnet2/fileio`, `egs2/TEMPLATE/asr1/asr.sh`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from speechgru.corpora.described import Described, Faults
from speechgru.corpora.extracting import Extraction
from speechgru.corpora.kaldi import read_directory, usual_directories
from speechgru.corpora.sets import Layout
from speechgru.errors import CorpusError
from speechgru.files import read_text


def _read_set(folder: Path, split: str, faults: Faults, extraction: Extraction) -> Iterator[Described]:
    try:
        kind = read_text(folder / "feats_type").strip()
    except OSError:
        kind = "raw"
    if kind != "raw":
        raise CorpusError(f"{folder / 'feats_type'}: is {kind}, which is features; name a set of dump/raw, with sound")
    return read_directory(folder, split, faults, extraction)


prepare = Layout(
    "espnet",
    kind="a set of ESPnet's dump/raw (wav.scp, text)",
    usual=usual_directories,
    read=_read_set,
    within=(".", "raw"),
    root=lambda source: raw if (raw := source / "dump" / "raw").is_dir() else source,
).prepare
