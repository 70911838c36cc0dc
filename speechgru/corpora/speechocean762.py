"""speechocean762: 5,000 English sentences read by 250 people whose mother tongue is Mandarin, half of them children.

Public home: the GitHub repository jimbozhang/speechocean762 and OpenSLR 101; free for commercial and other use (CC BY
4.0). Zhang et al. 2021, "speechocean762: An Open-Source Non-native English Speech Corpus For Pronunciation Assessment"
(arXiv 2104.01378). Its official split is by speaker: 125 people are the test set. Of the 125 others, one in ten makes
the dev set here.
"""

from __future__ import annotations

from pathlib import Path

from speechgru.audio.reading import read_header
from speechgru.corpora.kaldi_tables import read_table
from speechgru.corpora.splits import choose_by_name
from speechgru.errors import AudioError, CorpusError
from speechgru.progress import Progress, silent
from speechgru.utterances.manifest import Utterance, write_manifest

_DEV_SHARE = 0.1
_SHOWN = 3


def prepare(
    out: Path, *, source: Path | None = None, seed: int = 0, progress: Progress = silent, dev_share: float = _DEV_SHARE
) -> dict[str, Path]:
    """Writes the manifests; the recordings stay where they are.

    Args:
        out: the folder to write.
        source: the folder that holds `train` and `test` in Kaldi's layout (`text`, `utt2spk`, `wav.scp` with paths
            relative to `source`, and, where they are there, `spk2age` and `spk2gender`).
        seed: not used: which speakers are the dev set is decided by their names.
        progress: called as it reads.
        dev_share: of the speakers of `train` that make the dev set, 0 to 0.5; of few speakers one, where it is above 0.

    Returns:
        The manifests "train", "dev" and "test"; every line has the `speaker`, and `age` in years and `gender` (`m`,
        `f`) where the corpus gives them.

    Raises:
        CorpusError: there is no source, or a file of it is missing, cannot be read, or does not fit the others.
    """
    if source is None:
        raise CorpusError("speechocean762: name the unpacked corpus with --source; it holds train/ and test/")
    if isinstance(dev_share, bool) or not 0 <= dev_share <= 0.5:
        raise CorpusError(f"speechocean762: dev_share must be a share from 0 to 0.5, got {dev_share!r}")
    splits: dict[str, list[Utterance]] = {"train": [], "dev": []}
    learnt = _read_part(source, "train", progress)
    dev = choose_by_name({str(utterance.speaker) for utterance in learnt}, dev_share)
    for utterance in learnt:
        splits["dev" if utterance.speaker in dev else "train"].append(utterance)
    splits["test"] = _read_part(source, "test", progress)
    if dev_share == 0:
        del splits["dev"]
    for split, chosen in splits.items():
        if not chosen:
            where, advice = source / ("test" if split == "test" else "train"), "dev_share=0 makes no dev set"
            raise CorpusError(
                f"{where}: holds too few speakers for {split}; {advice if split != 'test' else 'add some'}"
            )
    return {split: write_manifest(out / f"{split}.jsonl", chosen) for split, chosen in splits.items()}


def _read_part(source: Path, part: str, progress: Progress) -> list[Utterance]:
    folder = source / part
    texts, paths, speakers = (read_table(folder / name) for name in ("text", "wav.scp", "utt2spk"))
    ages, genders = (read_table(folder / name, optional=True) for name in ("spk2age", "spk2gender"))
    apart = sorted(texts.keys() ^ paths.keys() | texts.keys() ^ speakers.keys())
    if apart:
        shown = ", ".join(apart[:_SHOWN])
        raise CorpusError(
            f"{folder}: text, wav.scp and utt2spk do not name the same utterances ({shown}); unpack it anew"
        )
    utterances = []
    for number, (name, text) in enumerate(sorted(texts.items())):
        if number % 100 == 0:
            progress(f"reading {part}", number, len(texts), "")
        path, speaker = source / paths[name], speakers[name]
        try:
            header = read_header(path)
        except AudioError as error:
            raise CorpusError(f"{str(error).partition(';')[0]}; unpack the corpus anew") from error
        duration = header.num_samples / header.sample_rate
        extra: dict[str, object] = {"age": int(ages[speaker])} if speaker in ages else {}
        if speaker in genders:
            extra["gender"] = genders[speaker]
        utterances.append(Utterance(str(path), duration, text.lower(), speaker=speaker, extra=extra))
    progress(f"reading {part}", len(texts), len(texts), "")
    return utterances
