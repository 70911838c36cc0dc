"""TIMIT: 6,300 English sentences by 630 people of eight regions, with hand-made times of phones, 16 kHz, SPHERE.

It is had from the Linguistic Data Consortium (LDC93S1) for a fee. Its sets as they are reported: train (462 people),
dev (50) and the core test set (24 people), without the two sentences that all read (`SA`). Its names may be in capitals
or small letters; some copies have their recordings converted (`SX1.WAV.wav`).

With `labels=phones` a text is the 39 classes that results are given in (Lee & Hon 1989, "Speaker-independent phone
recognition using hidden Markov models", Table 3), one a word: `text.unit: word` makes each a label.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from speechgru.corpora.public.copies import Clip, Copy, files_below, require_one_of, write
from speechgru.corpora.public.lines import read_lines
from speechgru.corpora.public.source import require_folder
from speechgru.errors import CorpusError
from speechgru.progress import Progress, silent

#: The people of the sets that are reported; those of `TEST` that are in neither are left out.
_TEST = frozenset(
    """mdab0 mwbt0 felc0 mtas1 mwew0 fpas0 mjmp0 mlnt0 fpkt0 mlll0 mtls0 fjlm0 mbpm0 mklt0 fnlp0 mcmj0 mjdh0 fmgd0 mgrt0
    mnjm0 fdhc0 mjln0 mpam0 fmld0""".split()  # noqa: SIM905
)
_DEV = frozenset(
    """faks0 fdac1 fjem0 mgwt0 mjar0 mmdb1 mmdm2 mpdf0 fcmh0 fkms0 mbdg0 mbwm0 mcsh0 fadg0 fdms0 fedw0 mgjf0 mglb0 mrtk0
    mtaa0 mtdt0 mthc0 mwjg0 fnmr0 frew0 fsem0 mbns0 mmjr0 mdls0 mdlf0 mdvc0 mers0 fmah0 fdrw0 mrcs0 mrjm4 fcal1 mmwh0
    fjsj0 majc0 mjsw0 mreb0 fgjd0 fjmg0 mroa0 mteb0 mjfc0 mrjr0 fmml0 mrws1""".split()  # noqa: SIM905
)
#: The 61 phones that are another class, and q, the glottal stop, which is none; the others are their own.
_CLASS_OF = {
    **dict.fromkeys(("h#", "pau", "epi", "bcl", "dcl", "gcl", "pcl", "tcl", "kcl"), "sil"),
    **{"ao": "aa", "ax": "ah", "ax-h": "ah", "axr": "er", "hv": "hh", "ix": "ih", "el": "l", "em": "m"},
    **{"en": "n", "nx": "n", "eng": "ng", "zh": "sh", "ux": "uw", "q": ""},
}
_NAME = re.compile(r"(?P<name>s[axi]\d+)\.(wav|sph|flac)(\.wav)?", re.IGNORECASE)


def prepare(
    out: Path,
    *,
    source: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    labels: str = "words",
    full_test: bool = False,
    skip_missing: bool = False,
) -> dict[str, Path]:
    """Writes manifests of the sets as they are reported; the recordings stay where they are.

    Args:
        out: the folder to write.
        source: the corpus, at any depth above its folders `TRAIN` and `TEST`.
        seed: not used: the sets are fixed.
        progress: called as it measures.
        labels: words, or phones, the 39 classes.
        full_test: whether test holds all people of TEST but those of dev, instead of the core set.
        skip_missing: whether to leave out what lacks its labels, or cannot be read.

    Returns:
        The manifests "train", "dev" and "test"; every line has the `speaker`, the `region` (`dr1` to `dr8`) and the
        `gender` (`m`, `f`).

    Raises:
        CorpusError: there is no source, or the copy is not whole.
    """
    require_one_of("timit", "labels", labels, ("words", "phones"))
    folder = require_folder("timit", source, "it is had from the Linguistic Data Consortium, LDC93S1")
    copy = Copy("timit", folder)
    tables = {_key(path): path for path in files_below(folder, ".txt" if labels == "words" else ".phn")}
    seen = set()
    for path in files_below(folder, ".wav", ".sph", ".flac"):
        match = _NAME.fullmatch(os.path.basename(path))
        place = os.path.relpath(path, folder).lower().split(os.sep)
        part = next((each for each in place[:-3] if each in ("train", "test")), None)
        if match is None or part is None:
            continue
        speaker, region = place[-2], place[-3]
        split = part if part == "train" else "dev" if speaker in _DEV else "test"
        key = os.path.join(os.path.dirname(path), match["name"]).lower()
        if key in seen:
            copy.passed_over["converted copies beside their recordings"] += 1
            continue
        seen.add(key)
        if match["name"].lower().startswith("sa"):
            copy.passed_over["SA, which all read"] += 1
        elif split == "test" and speaker not in _TEST and not full_test:
            copy.passed_over["people of TEST who are in neither dev nor the core test set"] += 1
        elif key not in tables:
            copy.faults[path] = f"has no {'transcript (.TXT)' if labels == 'words' else 'phones (.PHN)'}"
        else:
            read = _read_words if labels == "words" else _read_phones
            text = read(Path(tables[key]))
            copy.add(split, Clip(path, text, speaker, {"region": region, "gender": speaker[0]}))
    return write(copy, out, skip_missing=skip_missing, progress=progress)


def _key(path: str) -> str:
    return os.path.splitext(path)[0].lower()


def _read_words(path: Path) -> str:
    """The sentence behind its first and last sample."""
    lines = [line for _, line in read_lines(path)]
    match = re.fullmatch(r"\s*\d+\s+\d+\s+(.*)", lines[0]) if len(lines) == 1 else None
    if match is None:
        raise CorpusError(f"{path}: expected one line of a first sample, a last one and a sentence; copy it anew")
    return match[1].strip()


def _read_phones(path: Path) -> str:
    """The classes of the phones, neighbours of one class once: closures and pauses are all silence."""
    classes: list[str] = []
    for number, line in read_lines(path):
        cells = line.split()
        if len(cells) != 3:
            raise CorpusError(f"{path}:{number}: expected a first sample, a last one and a phone; copy it anew")
        label = _CLASS_OF.get(cells[2], cells[2])
        if label and not (label == "sil" and classes[-1:] == ["sil"]):
            classes.append(label)
    return " ".join(classes)
