"""Corpora: from a raw folder, a download or nothing to manifests. One module each."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechgru.corpora import (
    commands,
    deepspeech,
    espnet,
    folder,
    fsdd,
    huggingface,
    kaldi,
    keywords,
    lhotse,
    nemo,
    sentences,
    speechocean762,
    synthetic,
)
from speechgru.corpora.options import Option, options_of, parse_options, require_option
from speechgru.corpora.public import (
    an4,
    audiomnist,
    common_voice,
    fleurs,
    librispeech,
    ljspeech,
    mini_librispeech,
    mls,
    musan,
    rirs_noises,
    speech_commands,
    tedlium3,
    timit,
    vctk,
    voxpopuli,
    yesno,
)
from speechgru.errors import CorpusError
from speechgru.files import require_folder_place
from speechgru.progress import Progress, silent

__all__ = ["CORPORA", "Corpus", "Option", "find_corpus", "prepare"]


@dataclass(frozen=True)
class Corpus:
    """A corpus that can be prepared.

    Args:
        name: as given on the command line.
        summary: one line for people.
        prepare: the module's function: `prepare(out, *, source, seed, progress)` with whatever options of its own,
            keyword arguments with a default that its docstring explains under `Args:` (`options.options_of`).
    """

    name: str
    summary: str
    prepare: Callable[..., dict[str, Path]]

    @property
    def options(self) -> dict[str, Option]:
        """The options that this corpus alone has, by name.

        >>> [option.name for option in CORPORA["folder"].options.values()]
        ['dev_share', 'test_share', 'table', 'speaker_folders', 'word_folders', 'skip_missing', 'folds']
        """
        return options_of(self.prepare)

    def parse_options(self, given: Iterable[str]) -> dict[str, Any]:
        """The options that `KEY=VALUE` arguments stand for.

        Raises:
            CorpusError: an argument is not of that form, or not of this corpus.

        >>> CORPORA["folder"].parse_options(["dev_share=0.2"])
        {'dev_share': 0.2}
        """
        return parse_options(self.name, self.options, given)


#: The corpora by name. A new one is its module and a line here.
CORPORA: dict[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        Corpus("synthetic", "household commands and digits, spoken offline by a voice engine", synthetic.prepare),
        Corpus("commands", "sentences of a grammar of yours, spoken offline by several engines", commands.prepare),
        Corpus(
            "keywords", "one to ten keywords among other speech, spoken offline by several engines", keywords.prepare
        ),
        Corpus("sentences", "sentences of a book or other text, spoken offline by several engines", sentences.prepare),
        Corpus("fsdd", "Free Spoken Digit Dataset: 3,000 recordings of digits, and connected digits", fsdd.prepare),
        Corpus(
            "speechocean762",
            "5,000 English sentences read by 250 people, half of them children",
            speechocean762.prepare,
        ),
        Corpus(
            "folder",
            "your own recordings, with a .txt beside each, a table, or a folder for each word",
            folder.prepare,
        ),
        Corpus("librispeech", "a thousand hours of English audiobooks by 2,484 people", librispeech.prepare),
        Corpus("mini_librispeech", "seven hours of LibriSpeech, to try things out", mini_librispeech.prepare),
        Corpus("common_voice", "Mozilla's sentences read by volunteers, any language", common_voice.prepare),
        Corpus("speech_commands", "35 English words by 2,618 people, and background noise", speech_commands.prepare),
        Corpus("an4", "1,078 English names, addresses and spelled words by 84 people", an4.prepare),
        Corpus("yesno", "60 recordings of yes and no in Hebrew by one man", yesno.prepare),
        Corpus("tedlium3", "452 hours of English talks, in segments", tedlium3.prepare),
        Corpus("vctk", "44,000 English sentences by 110 people of many accents", vctk.prepare),
        Corpus("ljspeech", "24 hours of English sentences by one woman", ljspeech.prepare),
        Corpus("audiomnist", "30,000 English digits by 60 people", audiomnist.prepare),
        Corpus("fleurs", "some ten hours in each of 102 languages", fleurs.prepare),
        Corpus("mls", "audiobooks in eight languages", mls.prepare),
        Corpus("voxpopuli", "speeches in the European Parliament in 16 languages, in segments", voxpopuli.prepare),
        Corpus("timit", "6,300 English sentences by 630 people, as words or phones", timit.prepare),
        Corpus("musan", "noise, music and speech to mix with", musan.prepare),
        Corpus("rirs_noises", "impulse responses of rooms, and noise", rirs_noises.prepare),
        Corpus("kaldi", "Kaldi data directories (wav.scp, text, segments)", kaldi.prepare),
        Corpus("espnet", "ESPnet's dump/raw, also with wav.ark and flac.ark", espnet.prepare),
        Corpus("nemo", "NeMo manifests, plain and tarred", nemo.prepare),
        Corpus("lhotse", "lhotse's cuts, recordings with supervisions, and Shar", lhotse.prepare),
        Corpus("huggingface", "Hugging Face data sets on disk: audiofolder, parquet, arrow", huggingface.prepare),
        Corpus(
            "deepspeech", "tables of DeepSpeech and Coqui (wav_filename,wav_filesize,transcript)", deepspeech.prepare
        ),
    )
}


def find_corpus(name: str) -> Corpus:
    """The corpus of a name.

    Raises:
        CorpusError: no corpus has this name; names the nearest one, and all.

    >>> find_corpus("fsdd").summary
    'Free Spoken Digit Dataset: 3,000 recordings of digits, and connected digits'
    """
    if name not in CORPORA:
        near = difflib.get_close_matches(name, CORPORA, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise CorpusError(f"no corpus is named {name!r}; {hint}known are {', '.join(CORPORA)}")
    return CORPORA[name]


def prepare(
    corpus: str,
    out: str | Path,
    *,
    source: str | Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    **options: Any,
) -> dict[str, Path]:
    """Prepares a corpus: writes `train.jsonl`, `dev.jsonl`, `test.jsonl` and what audio they need into a folder.

    Args:
        corpus: a name of `CORPORA`.
        out: the folder to write; made when it is missing.
        source: the raw corpus, for those that have one.
        seed: for whatever is drawn by chance.
        progress: called as the work proceeds.
        **options: those of `CORPORA[corpus].options`.

    Returns:
        The manifests by split: "train", "dev", "test" and what else the corpus writes.

    Raises:
        CorpusError: the corpus or an option is not known, or the corpus cannot be prepared.
        UserError: `out` is a file.

    >>> import numpy as np, soundfile
    >>> Path("recordings").mkdir()
    >>> for number, word in enumerate(("yes", "no", "stop")):
    ...     soundfile.write(f"recordings/{word}.wav", np.full(800, 0.1 * number), 8000)
    ...     _ = Path(f"recordings/{word}.txt").write_text(word)
    >>> manifests = prepare("folder", "corpus", source="recordings")
    >>> {split: len(path.read_text().splitlines()) for split, path in manifests.items()}
    {'train': 1, 'dev': 1, 'test': 1}
    """
    chosen = find_corpus(corpus)
    for option in options:
        require_option(corpus, chosen.options, option)
    require_folder_place(out)
    out = Path(out).absolute()
    source = None if source is None else Path(source).absolute()
    return chosen.prepare(out, source=source, seed=seed, progress=progress, **options)
