"""Corpora: from a raw folder, a download or nothing to manifests. One module each."""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechgru.corpora.options import Option, options_of, parse_options, require_option
from speechgru.errors import CorpusError
from speechgru.files import held_alone, require_own_folder, require_unread
from speechgru.progress import Progress, silent

__all__ = ["CORPORA", "Corpus", "Option", "find_corpus", "prepare"]


@dataclass(frozen=True)
class Corpus:
    """A corpus that can be prepared.

    Args:
        name: as given on the command line.
        summary: one line for people.
        module: where its `prepare(out, *, source, seed, progress)` is, imported when it is needed; one of this room
            begins with a dot. Options of its own are keyword arguments with a default that its docstring explains under
            `Args:` (`options.options_of`).
    """

    name: str
    summary: str
    module: str

    @property
    def prepare(self) -> Callable[..., dict[str, Path]]:
        """The function that prepares it."""
        prepare: Callable[..., dict[str, Path]] = importlib.import_module(self.module, __name__).prepare
        return prepare

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
        Corpus("synthetic", "household commands and digits, spoken offline by a voice engine", ".synthetic"),
        Corpus("commands", "sentences of a grammar of yours, spoken offline by several engines", ".commands"),
        Corpus("keywords", "one to ten keywords among other speech, spoken offline by several engines", ".keywords"),
        Corpus("sentences", "sentences of a book or other text, spoken offline by several engines", ".sentences"),
        Corpus("fsdd", "Free Spoken Digit Dataset: 3,000 recordings of digits, and connected digits", ".fsdd"),
        Corpus(
            "speechocean762",
            "5,000 English sentences read by 250 people, half of them children",
            ".speechocean762",
        ),
        Corpus(
            "folder",
            "your own recordings, with a .txt beside each, a table, or a folder for each word",
            ".folder",
        ),
        Corpus("librispeech", "a thousand hours of English audiobooks by 2,484 people", ".public.librispeech"),
        Corpus("mini_librispeech", "seven hours of LibriSpeech, to try things out", ".public.mini_librispeech"),
        Corpus("common_voice", "Mozilla's sentences read by volunteers, any language", ".public.common_voice"),
        Corpus("speech_commands", "35 English words by 2,618 people, and background noise", ".public.speech_commands"),
        Corpus("an4", "1,078 English names, addresses and spelled words by 84 people", ".public.an4"),
        Corpus("yesno", "60 recordings of yes and no in Hebrew by one man", ".public.yesno"),
        Corpus("tedlium3", "452 hours of English talks, in segments", ".public.tedlium3"),
        Corpus("vctk", "44,000 English sentences by 110 people of many accents", ".public.vctk"),
        Corpus("ljspeech", "24 hours of English sentences by one woman", ".public.ljspeech"),
        Corpus("audiomnist", "30,000 English digits by 60 people", ".public.audiomnist"),
        Corpus("fleurs", "some ten hours in each of 102 languages", ".public.fleurs"),
        Corpus("mls", "audiobooks in eight languages", ".public.mls"),
        Corpus("voxpopuli", "speeches in the European Parliament in 16 languages, in segments", ".public.voxpopuli"),
        Corpus("timit", "6,300 English sentences by 630 people, as words or phones", ".public.timit"),
        Corpus("musan", "noise, music and speech to mix with", ".public.musan"),
        Corpus("rirs_noises", "impulse responses of rooms, and noise", ".public.rirs_noises"),
        Corpus("kaldi", "Kaldi data directories (wav.scp, text, segments)", ".kaldi"),
        Corpus("espnet", "ESPnet's dump/raw, also with wav.ark and flac.ark", ".espnet"),
        Corpus("nemo", "NeMo manifests, plain and tarred", ".nemo"),
        Corpus("lhotse", "lhotse's cuts, recordings with supervisions, and Shar", ".lhotse"),
        Corpus("huggingface", "Hugging Face data sets on disk: audiofolder, parquet, arrow", ".huggingface"),
        Corpus("deepspeech", "tables of DeepSpeech and Coqui (wav_filename,wav_filesize,transcript)", ".deepspeech"),
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
        UserError: `out` is a file, was taken away in the meantime, or has another process that prepares a corpus there;
            or a manifest in it is what an option names.

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
    require_own_folder(out, kind="the manifests")
    out = Path(out).absolute()
    source = None if source is None else Path(source).absolute()
    files = [value for value in options.values() if isinstance(value, str | os.PathLike)]
    within = [] if source is None else [source / file for file in files]  # where tables are looked for, too
    require_unread([out / f"{split}.jsonl" for split in ("train", "dev", "test")], [*files, *within])
    with held_alone(out, activity="is preparing a corpus here", advice="wait for it, or name another folder"):
        return chosen.prepare(out, source=source, seed=seed, progress=progress, **options)
