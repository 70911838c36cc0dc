"""speechocean762 in Kaldi's layout: splits by speaker, what a line holds, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from speechgru.corpora import prepare
from speechgru.errors import CorpusError
from speechgru.utterances.manifest import read_manifest


@pytest.fixture
def source(tmp_path: Path, write_wav: Callable[..., Path]) -> Path:
    """Twenty people of the train part and two of the test part, one sentence each."""
    folder = tmp_path / "source"
    for part, speakers in (("train", range(20)), ("test", range(20, 22))):
        tables: dict[str, list[str]] = {"text": [], "wav.scp": [], "utt2spk": [], "spk2age": [], "spk2gender": []}
        for speaker in speakers:
            write_wav(folder / "audio", f"{speaker}1.wav", seconds=0.1)
            tables["text"].append(f"{speaker}1\tWE CALL IT BEAR")
            tables["wav.scp"].append(f"{speaker}1 audio/{speaker}1.wav")
            tables["utt2spk"].append(f"{speaker}1 {speaker:04d}")
            tables["spk2age"].append(f"{speaker:04d}\t{6 + speaker}")
            tables["spk2gender"].append(f"{speaker:04d} f")
        (folder / part).mkdir()
        for name, lines in tables.items():
            (folder / part / name).write_text("\n".join(lines) + "\n")
    return folder


def test_the_official_test_part_is_the_test_set_and_no_speaker_is_in_two_splits(source: Path, tmp_path: Path):
    manifests = prepare("speechocean762", tmp_path / "out", source=source, dev_share=0.3)
    splits = {split: read_manifest(path) for split, path in manifests.items()}
    assert [utterance.speaker for utterance in splits["test"]] == ["0020", "0021"]
    train, dev = ({utterance.speaker for utterance in splits[split]} for split in ("train", "dev"))
    assert not train & dev and len(train | dev) == 20
    assert 2 <= len(dev) <= 10
    assert splits["test"][1].text == "we call it bear"
    assert splits["test"][1].extra == {"age": 27, "gender": "f"}
    assert splits["test"][1].duration == pytest.approx(0.1)


def test_without_a_dev_share_everybody_is_trained_on(source: Path, tmp_path: Path):
    manifests = prepare("speechocean762", tmp_path / "out", source=source, dev_share=0.0)
    assert sorted(manifests) == ["test", "train"]
    assert len(read_manifest(manifests["train"])) == 20


@pytest.mark.parametrize("count", [2, 3, 6])
def test_of_few_people_one_is_the_dev_set(source: Path, tmp_path: Path, count: int):
    for name in ("text", "wav.scp", "utt2spk"):
        lines = (source / "train" / name).read_text().split("\n")[: count + 1]
        (source / "train" / name).write_text("\n".join(lines[1:]) + "\n")
    for share in (0.0001, 0.02):
        manifests = prepare("speechocean762", tmp_path / f"{share}", source=source, dev_share=share)
        train, dev = ({each.speaker for each in read_manifest(manifests[split])} for split in ("train", "dev"))
        assert len(dev) == 1 and len(train) == count - 1 and not train & dev
    for name in ("text", "wav.scp", "utt2spk"):
        (source / "train" / name).write_text((source / "train" / name).read_text().split("\n")[0] + "\n")
    with pytest.raises(CorpusError, match="train: holds too few speakers for dev; dev_share=0 makes no dev set"):
        prepare("speechocean762", tmp_path / "one", source=source)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train/text", "01\tA B\n", "train: text, wav.scp and utt2spk do not name the same utterances"),
        ("train/utt2spk", "01\n", "utt2spk:1: expected a name and a value"),
        ("audio/31.wav", "", "31.wav: is empty"),
    ],
)
def test_a_damaged_corpus_is_refused_by_name(source: Path, tmp_path: Path, file: str, content: str, message: str):
    (source / file).write_text(content)
    with pytest.raises(CorpusError, match=message):
        prepare("speechocean762", tmp_path / "out", source=source)


def test_a_folder_that_is_not_the_corpus_is_refused(tmp_path: Path):
    with pytest.raises(CorpusError, match="train/text: no such file; name the folder that holds train/"):
        prepare("speechocean762", tmp_path / "out", source=tmp_path)
    with pytest.raises(CorpusError, match="--source"):
        prepare("speechocean762", tmp_path / "out")


def test_the_real_corpus_has_5000_utterances_of_250_people(shared_data: Path, tmp_path: Path):
    manifests = prepare("speechocean762", tmp_path / "out", source=shared_data / "speechocean762")
    splits = {split: read_manifest(path) for split, path in manifests.items()}
    assert len(splits["test"]) == 2500 and len(splits["train"]) + len(splits["dev"]) == 2500
    speakers = {split: {utterance.speaker for utterance in utterances} for split, utterances in splits.items()}
    assert len(speakers["test"]) == 125 and len(speakers["train"] | speakers["dev"]) == 125
    assert not (speakers["train"] | speakers["dev"]) & speakers["test"]
