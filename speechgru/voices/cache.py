"""Speech that was spoken before: of engines that take longer to speak than a disk to read.

A file's name is the hash of all that its speech depends on: engine, voice with its settings, seed and text.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechgru.files import atomic_path, for_soundfile, user_cache
from speechgru.voices.engine import Engine, Voice

#: Raised when speech is kept in another way, or an engine of ours speaks the same otherwise.
_VERSION = 1
_LIMIT_BYTES = 2_000_000_000
_SUFFIX = ".flac"


def default_folder() -> Path:
    """The folder of cached speech: `speechgru/speech` where this system keeps caches (`XDG_CACHE_HOME`).

    Raises:
        UserError: neither that nor a home is known, as in a container that knows no such user.
    """
    return user_cache(instead=", or give cache=none") / "speech"


@dataclass(frozen=True)
class SpeechCache:
    """Speech by engine, voice and text, in a folder; many processes may use it at once.

    A fault of the disk costs the cache, never the speech.

    Args:
        folder: made when it is missing.
        limit_bytes: what `trim` leaves at most.
    """

    folder: Path
    limit_bytes: int = _LIMIT_BYTES

    def speak(self, engine: Engine, text: str, voice: Voice, *, seed: int) -> tuple[np.ndarray, int]:
        """The speech of `engine.speak`, from the folder where it is there.

        The engine must give samples of 16 bits, so that what is kept is what was spoken.
        """
        import soundfile

        path = self._path(engine, text, voice, seed)
        with contextlib.suppress(OSError, soundfile.LibsndfileError):  # missing or damaged: spoken anew
            if path.is_file():
                samples_N, sample_rate = soundfile.read(for_soundfile(path), dtype="float32")
                os.utime(path)  # what is used stays
                return samples_N, int(sample_rate)
        samples_N, sample_rate = engine.speak(text, voice, seed=seed)
        with contextlib.suppress(OSError, ValueError, soundfile.LibsndfileError), atomic_path(path) as temporary:
            soundfile.write(for_soundfile(temporary), samples_N, sample_rate, format="FLAC", subtype="PCM_16")
        return samples_N, sample_rate

    def trim(self) -> None:
        """Removes what was not used for longest until the folder is within its limit."""
        with contextlib.suppress(OSError):
            files = [(path.stat(), path) for path in self.folder.rglob(f"*{_SUFFIX}")]
            size = sum(facts.st_size for facts, _ in files)
            for facts, path in sorted(files, key=lambda each: each[0].st_mtime):
                if size <= self.limit_bytes:
                    return
                path.unlink(missing_ok=True)
                size -= facts.st_size

    def _path(self, engine: Engine, text: str, voice: Voice, seed: int) -> Path:
        what = repr((_VERSION, engine.name, engine.cache_key, voice, seed, text))
        name = hashlib.sha256(what.encode()).hexdigest()[:40]
        return self.folder / name[:2] / (name[2:] + _SUFFIX)
