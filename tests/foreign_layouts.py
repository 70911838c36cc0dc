"""One tiny corpus in the layouts of other tools, to the letter."""

import csv
import gzip
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from conftest import make_speech

RATE = 8000


@dataclass(frozen=True)
class Line:
    """An utterance of the corpus."""

    name: str
    text: str
    speaker: str
    samples_N: np.ndarray

    @property
    def duration(self):
        return len(self.samples_N) / RATE

    def encode(self, form="WAV"):
        stream = io.BytesIO()
        soundfile.write(stream, self.samples_N, RATE, format=form, subtype="PCM_16")
        return stream.getvalue()


def make_line(name, text, speaker, seconds, seed):
    return Line(name, text, speaker, make_speech(seconds, sample_rate=RATE, seed=seed))


#: Six people; accents, an apostrophe, and durations that are all different.
CORPUS = {
    "train": [
        make_line("ada-1", "turn on the light", "ada", 1.0, 1),
        make_line("ada-2", "it's twenty degrees", "ada", 0.9, 2),
        make_line("bob-1", "größer als zuvor", "bob", 0.8, 3),
        make_line("eve-1", "the light is on", "eve", 1.1, 4),
    ],
    "dev": [make_line("dan-1", "turn it on", "dan", 0.7, 5)],
    "test": [make_line("mia-1", "is the light on", "mia", 0.6, 6), make_line("mia-2", "it is", "mia", 0.5, 7)],
}


def expected():
    """What each layout's manifests hold: text, duration in milliseconds, speaker."""
    return {
        split: sorted((e.text, round(e.duration * 1000), e.speaker) for e in lines) for split, lines in CORPUS.items()
    }


def write_table(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{' '.join(map(str, row))}\n" for row in rows), encoding="utf-8")


def write_audio(folder, lines, form="WAV"):
    folder.mkdir(parents=True, exist_ok=True)
    for line in lines:
        (folder / f"{line.name}.{form.lower()}").write_bytes(line.encode(form))


def write_kaldi(root):
    """`data/train` and its like, paths relative to the folder above `data`."""
    for split, lines in CORPUS.items():
        write_audio(root / "wavs" / split, lines)
        folder = root / "data" / split
        write_table(folder / "wav.scp", [(e.name, f"wavs/{split}/{e.name}.wav") for e in lines])
        write_table(folder / "text", [(e.name, e.text) for e in lines])
        write_table(folder / "utt2spk", [(e.name, e.speaker) for e in lines])
        write_table(folder / "utt2dur", [(e.name, e.duration) for e in lines])
        write_table(folder / "spk2gender", sorted({(e.speaker, "f") for e in lines}))
    return root


def write_kaldi_segments(root):
    """One recording a split, cut by `segments`; paths relative to the data directory."""
    for split, lines in CORPUS.items():
        folder = root / split
        folder.mkdir(parents=True)
        soundfile.write(folder / "all.flac", np.concatenate([e.samples_N for e in lines]), RATE, subtype="PCM_16")
        ends = np.cumsum([e.duration for e in lines])
        write_table(folder / "wav.scp", [("all", "all.flac")])
        segments = [
            (e.name, "all", f"{end - e.duration:.4f}", f"{end:.4f}") for e, end in zip(lines, ends, strict=True)
        ]
        write_table(folder / "segments", segments)
        write_table(folder / "text", [(e.name, e.text) for e in lines])
        write_table(folder / "utt2spk", [(e.name, e.speaker) for e in lines])
    return root


def ark_entry(line, form):
    """As kaldiio writes it: Kaldi's WAV as it is, other forms behind a word and a length."""
    content = line.encode(form)
    if form == "WAV":
        return content
    size = len(content)
    length = size.to_bytes((size.bit_length() + 7) // 8, "little")
    return b"AUDIO" + bytes([len(length)]) + length + content


def write_espnet(root, form="FLAC"):
    for split, lines in CORPUS.items():
        folder = root / "dump" / "raw" / split
        name = f"data/format.1/data_wav.{form.lower()}.ark"
        (folder / name).parent.mkdir(parents=True)
        content, places = b"", []
        for line in lines:
            content += line.name.encode() + b" "
            places.append((line.name, f"dump/raw/{split}/{name}:{len(content)}"))
            content += ark_entry(line, form)
        (folder / name).write_bytes(content)
        write_table(folder / "wav.scp", places)
        write_table(folder / "text", [(e.name, e.text) for e in lines])
        write_table(folder / "utt2spk", [(e.name, e.speaker) for e in lines])
        write_table(folder / "utt2num_samples", [(e.name, len(e.samples_N)) for e in lines])
        (folder / "feats_type").write_text("raw\n")
        (folder / "audio_format").write_text(f"{form.lower()}.ark\n")
    return root


def write_espnet_wav(root):
    return write_espnet(root, "WAV")


def write_json_lines(path, records, *, last_newline=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(json.dumps(record, ensure_ascii=False) for record in records) + "\n" * last_newline
    content = text.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_nemo(root):
    for split, lines in CORPUS.items():
        write_audio(root / "wavs", lines)
        records = [
            {
                "audio_filepath": f"wavs/{e.name}.wav",
                "duration": round(e.duration, 2),
                "text": e.text,
                "speaker": e.speaker,
            }
            for e in lines
        ]
        write_json_lines(root / f"{split}_manifest.json", records, last_newline=False)
    return root


def write_tar(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def write_nemo_tarred(root):
    for split, lines in CORPUS.items():
        shards = [lines[::2], lines[1::2]] if len(lines) > 1 else [lines]
        records = []
        for number, part in enumerate(shards):
            write_tar(root / split / f"audio_{number}.tar", [(f"wavs_{e.name}.wav", e.encode()) for e in part])
            records += [
                {
                    "audio_filepath": f"wavs_{e.name}.wav", "duration": e.duration, "text": e.text,
                    "speaker": e.speaker, "shard_id": number,
                }
                for e in part
            ]  # fmt: skip
        write_json_lines(root / split / "tarred_audio_manifest.json", records)
    return root


def recording_of(line, source):
    return {
        "id": line.name, "sources": [source], "sampling_rate": RATE, "num_samples": len(line.samples_N),
        "duration": line.duration, "channel_ids": [0],
    }  # fmt: skip


def supervision_of(line):
    return {
        "id": line.name, "recording_id": line.name, "start": 0, "duration": line.duration, "channel": 0,
        "text": line.text, "language": "en", "speaker": line.speaker, "custom": {"room": "kitchen", "embedding": [1]},
    }  # fmt: skip


def cut_of(line, source):
    return {
        "id": f"{line.name}-0", "start": 0, "duration": line.duration, "channel": 0,
        "supervisions": [supervision_of(line)], "recording": recording_of(line, source), "type": "MonoCut",
    }  # fmt: skip


def write_lhotse_cuts(root):
    for split, lines in CORPUS.items():
        write_audio(root / "audio", lines, "FLAC")
        sources = [{"type": "file", "channels": [0], "source": f"audio/{e.name}.flac"} for e in lines]
        cuts = [cut_of(line, source) for line, source in zip(lines, sources, strict=True)]
        write_json_lines(root / f"tiny_cuts_{split}.jsonl.gz", cuts)
    return root


def write_lhotse_supervisions(root):
    for split, lines in CORPUS.items():
        write_audio(root / "audio", lines)
        sources = [{"type": "file", "channels": [0], "source": str(root / f"audio/{e.name}.wav")} for e in lines]
        recordings = [recording_of(line, source) for line, source in zip(lines, sources, strict=True)]
        write_json_lines(root / f"tiny_recordings_{split}.jsonl.gz", recordings)
        write_json_lines(root / f"tiny_supervisions_{split}.jsonl.gz", [supervision_of(e) for e in lines])
    return root


def write_lhotse_shar(root):
    source = {"type": "shar", "channels": [0], "source": ""}
    for split, lines in CORPUS.items():
        for number, line in enumerate(lines):
            cut = cut_of(line, source)
            write_json_lines(root / split / f"cuts.{number:06d}.jsonl.gz", [cut])
            members = [
                (f"{cut['id']}.flac", line.encode("FLAC")),
                (f"{cut['id']}.json", json.dumps(cut["recording"]).encode()),
            ]
            write_tar(root / split / f"recording.{number:06d}.tar", members)
    return root


def write_audiofolder(root, suffix=".csv"):
    for split, lines in CORPUS.items():
        folder = root / "data" / ("validation" if split == "dev" else split)
        write_audio(folder / "clips", lines)
        rows = [{"file_name": f"clips/{e.name}.wav", "transcription": e.text, "speaker_id": e.speaker} for e in lines]
        if suffix == ".jsonl":
            write_json_lines(folder / "metadata.jsonl", rows)
        else:
            write_rows(folder / "metadata.csv", rows)
    return root


def write_audiofolder_jsonl(root):
    return write_audiofolder(root, ".jsonl")


def write_rows(path, rows, delimiter=","):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def arrow_table(lines):
    import pyarrow

    sounds = [{"bytes": e.encode("FLAC"), "path": f"{e.name}.flac"} for e in lines]
    sound = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    columns = {
        "audio": pyarrow.array(sounds, sound), "sentence": [e.text for e in lines],
        "client_id": [e.speaker for e in lines], "up_votes": [2 for _ in lines],
        "words": [e.text.split() for e in lines],
    }  # fmt: skip
    return pyarrow.table(columns)


def write_parquet(root):
    import pyarrow.parquet

    (root / "data").mkdir(parents=True)
    for split, lines in CORPUS.items():
        parts = [lines[:1], lines[1:]] if len(lines) > 1 else [lines]
        name = "validation" if split == "dev" else split
        for number, part in enumerate(parts):
            path = root / "data" / f"{name}-{number:05d}-of-{len(parts):05d}.parquet"
            pyarrow.parquet.write_table(arrow_table(part), path)
    return root


def write_saved_to_disk(root):
    import pyarrow

    for split, lines in CORPUS.items():
        folder = root / ("validation" if split == "dev" else split)
        folder.mkdir(parents=True)
        table = arrow_table(lines)
        with pyarrow.ipc.new_stream(str(folder / "data-00000-of-00001.arrow"), table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
        (folder / "state.json").write_text('{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}')
    return root


def write_deepspeech(root, suffix=".csv"):
    for split, lines in CORPUS.items():
        write_audio(root / "clips", lines)
        rows = [
            {
                "wav_filename": f"clips/{e.name}.wav", "wav_filesize": len(e.encode()), "transcript": e.text,
                "speaker": e.speaker,
            }
            for e in lines
        ]  # fmt: skip
        write_rows(root / f"{split}{suffix}", rows, delimiter="\t" if suffix == ".tsv" else ",")
    return root


def write_coqui_tsv(root):
    return write_deepspeech(root, ".tsv")


#: The name of the corpus on the command line, and what writes the layout.
LAYOUTS = {
    "kaldi": ("kaldi", write_kaldi),
    "kaldi segments": ("kaldi", write_kaldi_segments),
    "espnet flac.ark": ("espnet", write_espnet),
    "espnet wav.ark": ("espnet", write_espnet_wav),
    "nemo": ("nemo", write_nemo),
    "nemo tarred": ("nemo", write_nemo_tarred),
    "lhotse cuts": ("lhotse", write_lhotse_cuts),
    "lhotse supervisions": ("lhotse", write_lhotse_supervisions),
    "lhotse shar": ("lhotse", write_lhotse_shar),
    "audiofolder csv": ("huggingface", write_audiofolder),
    "audiofolder jsonl": ("huggingface", write_audiofolder_jsonl),
    "parquet": ("huggingface", write_parquet),
    "saved to disk": ("huggingface", write_saved_to_disk),
    "deepspeech": ("deepspeech", write_deepspeech),
    "coqui tsv": ("deepspeech", write_coqui_tsv),
}
#: The layouts that pyarrow reads.
ARROW = ("parquet", "saved to disk")


def make_tree(layout, root: Path):
    """Writes a layout; gives its corpus's name and folder."""
    corpus, write = LAYOUTS[layout]
    return corpus, write(root)
