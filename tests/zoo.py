"""What people bring: forms of sound, tables, scripts and names, and what is right for each.

Each cage is written on the spot from samples that the newest stored bundle transcribes as "ab", so that a right
transcript is known whatever the form.
"""

from __future__ import annotations

import csv
import io
import json
import os
import struct
import sys
import unicodedata
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

RATE = 8000


@dataclass(frozen=True)
class Form:
    """A form of sound.

    Args:
        suffix: of the file's name.
        write: writes samples (float32 at `RATE`) to a path.
        is_read: whether it must be read; else it must be refused by name.
        is_exact: whether its samples are the same but for their rate and last bits, so that its text is theirs too.
    """

    suffix: str
    write: Callable[[Path, np.ndarray], None]
    is_read: bool = True
    is_exact: bool = True


def _sound(*, rate: int = RATE, channels: Callable[[np.ndarray], np.ndarray] | None = None, **options: str):
    def write(path: Path, samples_N: np.ndarray) -> None:
        if rate != RATE:
            samples_N = soxr.resample(samples_N, RATE, rate)
        sound = samples_N if channels is None else channels(samples_N)
        with open(path, "wb") as stream:
            soundfile.write(stream, sound, rate, **({"format": path.suffix[1:].upper()} | options))

    return write


def _changed(change: Callable[[bytes], bytes], **options):
    """A WAV file, or another form, whose bytes are then changed."""

    def write(path: Path, samples_N: np.ndarray) -> None:
        _sound(**({"format": "WAV"} | options))(path, samples_N)
        path.write_bytes(change(path.read_bytes()))

    return write


def _content(content: bytes):
    def write(path: Path, samples_N: np.ndarray) -> None:
        path.write_bytes(content)

    return write


def _number(place: int, form: str, value: int) -> Callable[[bytes], bytes]:
    """Puts a number at a place of a header."""
    return lambda content: content[:place] + struct.pack(form, value) + content[place + struct.calcsize(form) :]


def _chunk_before(content: bytes, *, name: bytes = b"LIST", size: int = 26) -> bytes:
    """A WAV file with a chunk before its sound."""
    chunk = name + struct.pack("<I", size) + bytes(size + size % 2)
    content = content[:36] + chunk + content[36:]
    return content[:4] + struct.pack("<I", len(content) - 8) + content[8:]


def _without_xing(content: bytes) -> bytes:
    return content.replace(b"Xing", bytes(4), 1).replace(b"Info", bytes(4), 1)


def _id3(content: bytes) -> bytes:
    return b"ID3\x04\0\0\0\0\x10\0" + bytes(2048) + content


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.wav", b"RIFF")
    return stream.getvalue()


def _float_of(value: float):
    def write(path: Path, samples_N: np.ndarray) -> None:
        samples_N = samples_N.copy()
        samples_N[len(samples_N) // 2] = value
        _sound(subtype="FLOAT")(path, samples_N)

    return write


def _folder(path: Path, samples_N: np.ndarray) -> None:
    path.mkdir()


def _dangling(path: Path, samples_N: np.ndarray) -> None:
    path.symlink_to("nowhere.wav")


def _pipe(path: Path, samples_N: np.ndarray) -> None:
    os.mkfifo(path)


def _linked(path: Path, samples_N: np.ndarray) -> None:
    real = path.parent / ".real" / path.name
    real.parent.mkdir(exist_ok=True)
    _sound(format="WAV")(real, samples_N)
    path.symlink_to(os.path.join(".real", path.name))


def _wide(samples_N: np.ndarray, *, gains: Sequence[float]) -> np.ndarray:
    return np.stack([gain * samples_N for gain in gains], axis=1)


FORMS: dict[str, Form] = {
    "WAV, 16 bits": Form(".wav", _sound()),
    "WAV, 8 bits": Form(".wav", _sound(subtype="PCM_U8"), is_exact=False),
    "WAV, 24 bits": Form(".wav", _sound(subtype="PCM_24")),
    "WAV, 32 bits": Form(".wav", _sound(subtype="PCM_32")),
    "WAV, float": Form(".wav", _sound(subtype="FLOAT")),
    "WAV, double": Form(".wav", _sound(subtype="DOUBLE")),
    "WAV, A-law": Form(".wav", _sound(subtype="ALAW"), is_exact=False),
    "WAV, mu-law": Form(".wav", _sound(subtype="ULAW"), is_exact=False),
    "WAV, IMA ADPCM": Form(".wav", _sound(subtype="IMA_ADPCM"), is_exact=False),
    "WAV, Microsoft ADPCM": Form(".wav", _sound(subtype="MS_ADPCM"), is_exact=False),
    "WAV, GSM": Form(".wav", _sound(subtype="GSM610"), is_exact=False),
    "WAV, extensible": Form(".wav", _sound(format="WAVEX")),
    "WAV, capitals": Form(".WAV", _sound()),
    "WAV, called MP3": Form(".mp3", _sound(format="WAV")),
    "WAV, 44.1 kHz": Form(".wav", _sound(rate=44100)),
    "WAV, 11,025 Hz": Form(".wav", _sound(rate=11025)),
    "WAV, 192 kHz": Form(".wav", _sound(rate=192000)),
    "WAV, stereo": Form(".wav", _sound(channels=lambda samples_N: _wide(samples_N, gains=(1.0, 0.5)))),
    "WAV, one channel silent": Form(".wav", _sound(channels=lambda samples_N: _wide(samples_N, gains=(0.0, 1.0)))),
    "WAV, one channel inverted": Form(
        ".wav", _sound(channels=lambda samples_N: _wide(samples_N, gains=(1.0, -1.0))), is_exact=False
    ),
    "WAV, six channels": Form(".wav", _sound(channels=lambda samples_N: _wide(samples_N, gains=(1.0,) * 6))),
    "WAV, a chunk before": Form(".wav", _changed(_chunk_before)),
    "WAV, an odd chunk before": Form(".wav", _changed(lambda content: _chunk_before(content, name=b"bext", size=603))),
    "WAV, from a pipe": Form(".wav", _changed(_number(40, "<I", 0xFFFFFFFF))),
    "WAV, tags behind": Form(".wav", _changed(lambda content: content + b"id3 \x10\0\0\0ID3\x03" + bytes(12))),
    "WAV, a link": Form(".wav", _linked),
    "WAV, silent": Form(".wav", lambda path, samples_N: _sound()(path, 0 * samples_N), is_exact=False),
    "WAV, one sample": Form(".wav", lambda path, samples_N: _sound()(path, samples_N[:1]), is_exact=False),
    "WAV, clipped": Form(
        ".wav", lambda path, samples_N: _sound()(path, np.clip(20 * samples_N, -1, 1)), is_exact=False
    ),
    "WAV, off centre": Form(".wav", lambda path, samples_N: _sound()(path, samples_N + 0.3)),
    "FLAC": Form(".flac", _sound()),
    "FLAC, 24 bits": Form(".flac", _sound(subtype="PCM_24")),
    "FLAC, from a pipe": Form(
        ".flac",
        _changed(lambda content: content[:21] + bytes([content[21] & 0xF0]) + bytes(4) + content[26:], format="FLAC"),
    ),
    "Ogg Vorbis": Form(".ogg", _sound(), is_exact=False),
    "Ogg Opus": Form(".opus", _sound(format="OGG", subtype="OPUS"), is_exact=False),
    "MP3": Form(".mp3", _sound(), is_exact=False),
    "MP3, no count": Form(".mp3", _changed(_without_xing, format="MP3"), is_exact=False),
    "MP3, tags before": Form(".mp3", _changed(_id3, format="MP3"), is_exact=False),
    "AIFF": Form(".aiff", _sound()),
    "AIFF, float": Form(".aif", _sound(format="AIFF", subtype="FLOAT")),
    "AU": Form(".au", _sound()),
    "AU, mu-law": Form(".au", _sound(subtype="ULAW"), is_exact=False),
    "CAF": Form(".caf", _sound()),
    "CAF, ALAC": Form(".caf", _sound(subtype="ALAC_16")),
    "W64": Form(".w64", _sound()),
    "RF64": Form(".rf64", _sound()),
    "SPHERE": Form(".sph", _sound(format="NIST")),
    "VOC": Form(".voc", _sound()),
    "AVR": Form(".avr", _sound()),
    "IRCAM": Form(".sf", _sound(format="IRCAM")),
    "SVX": Form(".svx", _sound()),
    "MAT4": Form(".mat", _sound(format="MAT4")),
    "PVF": Form(".pvf", _sound()),
    "HTK": Form(".htk", _sound()),
    "PAF": Form(".paf", _sound()),
    "empty": Form(".wav", _content(b""), is_read=False),
    "no samples": Form(".wav", lambda path, samples_N: _sound()(path, samples_N[:0]), is_read=False),
    "a text": Form(".wav", _content(b"turn on the light\n"), is_read=False),
    "a text called MP3": Form(".mp3", _content(b"turn on the light\n"), is_read=False),
    "a web page": Form(".wav", _content(b"<!DOCTYPE html><html>404</html>"), is_read=False),
    "a pointer of Git LFS": Form(".flac", _content(b"version https://git-lfs.github.com/spec/v1\n"), is_read=False),
    "a ZIP archive": Form(".wav", _content(_zip()), is_read=False),
    "zeros": Form(".wav", _content(bytes(4096)), is_read=False),
    "noise": Form(".ogg", _content(np.random.default_rng(0).bytes(4096)), is_read=False),
    "a header alone": Form(".wav", _changed(lambda content: content[:44]), is_read=False),
    "half a header": Form(".wav", _changed(lambda content: content[:30]), is_read=False),
    "four bytes": Form(".flac", _content(b"fLaC"), is_read=False),
    "raw": Form(".raw", _content(bytes(4000)), is_read=False),
    "WAV, cut": Form(".wav", _changed(lambda content: content[: len(content) // 2]), is_read=False),
    "FLAC, cut": Form(".flac", _changed(lambda content: content[: len(content) // 2], format="FLAC"), is_read=False),
    "Ogg, cut": Form(".ogg", _changed(lambda content: content[: len(content) - 99], format="OGG"), is_read=False),
    "AIFF, cut": Form(".aiff", _changed(lambda content: content[: len(content) // 2], format="AIFF"), is_read=False),
    "FLAC, damaged": Form(
        ".flac",
        _changed(lambda content: content[:999] + bytes(999) + content[1998:], format="FLAC"),
        is_read=False,
    ),
    "WAV, size too small": Form(".wav", _changed(_number(40, "<I", 2000)), is_read=False),
    "WAV, 0 Hz": Form(".wav", _changed(_number(24, "<I", 0)), is_read=False),
    "WAV, 1 Hz": Form(".wav", _changed(_number(24, "<I", 1)), is_read=False),
    "WAV, 4 GHz": Form(".wav", _changed(_number(24, "<I", 0xFFFFFFFF)), is_read=False),
    "WAV, no channel": Form(".wav", _changed(_number(22, "<H", 0)), is_read=False),
    "WAV, 65,535 channels": Form(".wav", _changed(_number(22, "<H", 65535)), is_read=False),
    "WAV, no encoding": Form(".wav", _changed(_number(20, "<H", 0x7777)), is_read=False),
    "WAV, 0 bits": Form(".wav", _changed(_number(34, "<H", 0)), is_read=False),
    "not a number": Form(".wav", _float_of(float("nan")), is_read=False),
    "infinite": Form(".wav", _float_of(float("inf")), is_read=False),
    "of int16's size": Form(
        ".wav", lambda path, samples_N: _sound(subtype="FLOAT")(path, 32768 * samples_N), is_read=False
    ),
    "a folder": Form(".wav", _folder, is_read=False),
    "a dangling link": Form(".wav", _dangling, is_read=False),
    "a pipe": Form(".wav", _pipe, is_read=False),
}

#: Forms whose fault is in the sound, where their header does not show it.
HIDDEN = ("FLAC, cut", "FLAC, damaged", "not a number", "infinite", "of int16's size")
#: Forms that are read, and hold no sound to transcribe or to learn from.
SILENT = ("no samples",)
#: What `check` calls a recording that is not what its line says.
UNREADABLE = ("unreadable", "no samples", "duration mismatch", "ends early")

#: Names of files without their suffix. A slash and a null character are the only bytes that no name holds.
NAMES: dict[str, str] = {
    "plain": "0001",
    "a space": "turn on",
    "spaces around": " a ",
    "composed": "caf\u00e9",
    "decomposed": "cafe\u0301",
    "Chinese": "\u6253\u5f00\u706f",
    "Arabic": "\u0627\u0641\u062a\u062d",
    "emoji": "\U0001f600",
    "brackets": "a[1]",
    "markup": "[red]a",
    "link": "[link=a]",
    "emoji's name": ":smile:",
    "comma": "a,b",
    "semicolon": "a;b",
    "bar": "a|b",
    "equals": "a=b",
    "quote": 'a"b',
    "apostrophe": "it's",
    "backslash": "a\\b",
    "dash": "-a",
    "option": "--help",
    "tilde": "~a",
    "home": "~",
    "hash": "a#b",
    "percent": "%41%s",
    "braces": "{0}{a}",
    "dollar": "$HOME",
    "star": "*?",
    "ampersand": "&amp;<b>",
    "dots": "a..b",
    "colon": "http:a",
    "tab": "a\tb",
    "line": "a\nb",
    "escape": "\x1b[31ma",
    "bell": "\x07",
    "zero width": "a\u200bb",
    "right to left": "\u202ea",
    "long": "l" * 200,
    "not UTF-8": os.fsdecode(b"caf\xe9"),
}

#: Transcripts.
TEXTS: dict[str, str] = {
    "English": "turn on the light",
    "German": "Schöne Grüße, Straße!",
    "Turkish": "Işık ıİ",
    "Greek": "άναψε το φως",
    "Russian": "включи свет",
    "Arabic": "افتح الضوء",
    "Hebrew": "הדלק אור",
    "Hindi": "बत्ती जलाओ क्\u200dष",
    "Persian": "می\u200cخواهم",
    "Thai": "เปิดไฟ",
    "Chinese": "打开灯。",
    "Japanese": "電気をつけて",
    "Korean": "불을 켜",
    "Korean, decomposed": unicodedata.normalize("NFD", "불을 켜"),
    "Vietnamese": "bật đèn lên",
    "emoji": "👍🏽 ok 👨‍👩‍👧",
    "digits": "3.5 % von 1,000",
    "punctuation": "?!...",
    "apostrophes": "it’s o'clock",
    "markup": "[/red] :smile: <b>&amp;</b> {0} %s",
    "quotes": 'he said "yes"',
    "half a quote": '"yes',
    "backslashes": "a\\nb \\ud800",
    "zero width": "a\u200bb\ufeffc\u00add",
    "control": "a\x07b\x1b[31mc",
    "spaces": "a\u00a0b\u3000c\u2028d",
    "right to left": "\u202eabc\u202c",
    "combining alone": "\u0301\u0302",
    "ligatures": "ﬁn ǆ ½",
    "mathematics": "𝐚𝐛",
    "long": "ab " * 700,
    "one letter": "a",
    "spaces alone": "\u3000",
    "csv": "a, b; c | d",
    "formula": "=1+1",
}


def table_of(rows: Sequence[Sequence[str]], *, delimiter: str = ",", end: str = "\n") -> str:
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, lineterminator=end).writerows(rows)
    return stream.getvalue()


@dataclass(frozen=True)
class Layout:
    """A way to write transcripts down.

    Args:
        write: writes those of recordings (path relative to the folder, text) into a folder.
        is_read: whether it must be read, or may be refused.
    """

    write: Callable[[Path, list[tuple[str, str]]], None]
    is_read: bool = True


def _texts(folder: Path, entries: list[tuple[str, str]]) -> None:
    for name, text in entries:
        (folder / name).with_suffix(".txt").write_text(text, encoding="utf-8")


def _table(
    name: str = "transcripts.csv",
    *,
    header: Sequence[str] | None = ("file", "text"),
    cells: Callable[[str, str], Sequence[str]] = lambda name, text: (name, text),
    encoding: str = "utf-8",
    change: Callable[[str], str] = lambda text: text,
    **options: str,
):
    def write(folder: Path, entries: list[tuple[str, str]]) -> None:
        rows = [*([header] if header else []), *(cells(*entry) for entry in entries)]
        text = change(table_of(rows, **options))
        (folder / name).write_bytes(text.encode(encoding, "surrogateescape" if encoding == "utf-8" else "replace"))

    return write


def _bare(name: str, delimiter: str):
    """A table as Common Voice writes it: no quotes."""

    def write(folder: Path, entries: list[tuple[str, str]]) -> None:
        lines = [delimiter.join(cells) for cells in [("path", "sentence"), *entries]]
        (folder / name).write_bytes("\n".join([*lines, ""]).encode("utf-8", "surrogateescape"))

    return write


def _by_hand(content: bytes, name: str = "transcripts.csv"):
    def write(folder: Path, entries: list[tuple[str, str]]) -> None:
        (folder / name).write_bytes(content)

    return write


def _two_tables(folder: Path, entries: list[tuple[str, str]]) -> None:
    for name in ("transcripts.csv", "metadata.csv"):
        _table(name)(folder, entries)


LAYOUTS: dict[str, Layout] = {
    "texts beside": Layout(_texts),
    "comma": Layout(_table()),
    "semicolon": Layout(_table(delimiter=";")),
    "bar": Layout(_table(delimiter="|")),
    "tab": Layout(_table("transcripts.tsv", delimiter="\t")),
    "Common Voice": Layout(_bare("validated.tsv", "\t")),
    "Hugging Face": Layout(_table("metadata.csv", header=("file_name", "transcription"))),
    "no header": Layout(_table(header=None)),
    "Windows": Layout(_table(end="\r\n", encoding="utf-8-sig")),
    "old Mac": Layout(_table(end="\r")),
    "Excel": Layout(_table("a.tsv", delimiter="\t", encoding="utf-16")),
    "Excel, semicolon": Layout(_table(delimiter=";", change=lambda text: "sep=;\n" + text, end="\r\n")),
    "further columns": Layout(
        _table(header=("file", "text", "room", "speaker"), cells=lambda name, text: (name, text, "7", name[:1]))
    ),
    "empty column": Layout(_table(header=("file", "text", ""), cells=lambda name, text: (name, text, ""))),
    "blank lines": Layout(_table(change=lambda text: "\n\n" + text.replace("\n", "\n\n"))),
    "Latin-1": Layout(_table(encoding="latin-1"), is_read=False),
    "no text column": Layout(_table(header=("file", "words")), is_read=False),
    "a column twice": Layout(_table(header=("text", "text")), is_read=False),
    "a row too long": Layout(_table(change=lambda text: text.rstrip("\n") + ",a,b,c\n"), is_read=False),
    "a row twice": Layout(_table(change=lambda text: text + text.splitlines(True)[-1]), is_read=False),
    "a row missing": Layout(_table(change=lambda text: "".join(text.splitlines(True)[:-1])), is_read=False),
    "an unknown file": Layout(_table(change=lambda text: text + "none.wav,yes\n"), is_read=False),
    "a quote that does not end": Layout(_table(change=lambda text: text + '"none.wav,yes\n'), is_read=False),
    "a null character": Layout(_table(change=lambda text: text + "a\0.wav,yes\n"), is_read=False),
    "a name of 5,000 characters": Layout(_table(change=lambda text: text + "n" * 5000 + ".wav,yes\n"), is_read=False),
    "a cell of 200,000 characters": Layout(_table(change=lambda text: text + "n.wav," + "n" * 200000), is_read=False),
    "empty": Layout(_by_hand(b""), is_read=False),
    "header alone": Layout(_by_hand(b"file,text\n"), is_read=False),
    "no table": Layout(_by_hand(bytes(range(256))), is_read=False),
    "a spreadsheet": Layout(_by_hand(_zip()), is_read=False),
    "none at all": Layout(lambda folder, entries: None, is_read=False),
    "two tables": Layout(_two_tables, is_read=False),
}


def manifest_line(**fields: object) -> str:
    return json.dumps({"audio_filepath": "a.wav", "duration": 1.0, "text": "ab"} | fields)


#: Lines of a manifest, and whether each is one.
LINES: dict[str, tuple[bytes, bool]] = {
    "plain": (manifest_line().encode(), True),
    "Windows": (manifest_line().encode() + b"\r", True),
    "a mark": (b"\xef\xbb\xbf" + manifest_line().encode(), True),
    "UTF-16": (manifest_line().encode("utf-16"), True),
    "an offset": (manifest_line(offset=0.25, duration=0.5).encode(), True),
    "no duration": (manifest_line(duration=0).encode(), True),
    "an endless segment": (manifest_line(offset=1e10).encode(), True),
    "a speaker": (manifest_line(speaker="[/red]").encode(), True),
    "odd fields": (manifest_line(room=None, tags=["a", {"b": 1}], line=3).encode(), True),
    "ours": (manifest_line(extra={"a": 1}, reasons=[{"reason": "a", "message": "b"}]).encode(), True),
    "a missing file": (manifest_line(audio_filepath="none.wav").encode(), True),
    "a folder": (manifest_line(audio_filepath=".").encode(), True),
    "root": (manifest_line(audio_filepath="/").encode(), True),
    "a device": (manifest_line(audio_filepath="/dev/null").encode(), True),
    "a long name": (manifest_line(audio_filepath="n" * 5000).encode(), True),
    "an address": (manifest_line(audio_filepath="https://example.org/a.wav").encode(), True),
    "a null character": (manifest_line(audio_filepath="a\0.wav").encode(), False),
    "no name": (manifest_line(audio_filepath="").encode(), False),
    "a number for a name": (manifest_line(audio_filepath=7).encode(), False),
    "no text": (b'{"audio_filepath": "a.wav", "duration": 1}', False),
    "null": (manifest_line(text=None).encode(), False),
    "not a number": (manifest_line(duration=float("nan")).encode(), False),
    "infinite": (manifest_line(duration=float("inf")).encode(), False),
    "negative": (manifest_line(duration=-1).encode(), False),
    "a text for a number": (manifest_line(duration="1.0").encode(), False),
    "true": (manifest_line(duration=True).encode(), False),
    "400 digits": (manifest_line().replace("1.0", "1" * 400).encode(), False),
    "5,000 digits": (manifest_line().replace("1.0", "1" * 5000).encode(), False),
    "half a character": (manifest_line(text="\ud800").encode(), False),
    "half a character in a field": (manifest_line(note="\ud800").encode(), False),
    "deep": (b"[" * 100_000, False),
    "a list": (b"[1, 2]", False),
    "cut": (manifest_line().encode()[:30], False),
    "CSV": (b"file,text\na.wav,ab", False),
    "Latin-1": (b'{"audio_filepath": "caf\xe9.wav", "duration": 1, "text": "ab"}', False),
    "binary": (bytes(range(256)), False),
    "nothing": (b"", False),
    "spaces": (b" \n\n", False),
}


def samples_of(bundle: Path) -> np.ndarray:
    """The samples that a stored bundle transcribes as "ab"."""
    return np.load(bundle / "expected.npz")["samples"]


def is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def can_write_names() -> bool:
    return sys.platform not in ("win32", "darwin")
