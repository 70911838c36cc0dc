"""The folder that `listen` writes: sounds, pictures, a record."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from speechgru.config.sections import RunConfig
from speechgru.errors import UserError
from speechgru.files import atomic_path, for_soundfile, read_text, write_json
from speechgru.listen.augmented import FrontEnd, Probe, count_frames, plain
from speechgru.listen.page import Band, Picture, Version

#: Names of what a folder holds; `listen.json` also says that it is ours to write over.
PAGE, RECORD, _AUDIO, _PICTURES = "index.html", "listen.json", "audio", "pictures"

#: What a folder may hold (`files_of`).
_OWN = re.compile(
    rf"{re.escape(PAGE)}|{_AUDIO}/\d{{2,}}_(original|copy\d+)\.wav"
    rf"|{_PICTURES}/\d{{2,}}_(original|copy\d+_(augmented|final))\.png"
)

#: The frequency whose place the pictures mark, so that warping shows.
GUIDE_HZ = 1000

#: More masks of time than these are summed up in a caption; the bars show them all.
_MOST_LISTED = 3


@dataclass(frozen=True)
class Writer:
    """Writes sounds and pictures into the folder, and records what they are."""

    out: Path
    config: RunConfig
    front_end: FrontEnd

    def original(self, name: str, samples_N: np.ndarray) -> tuple[Version, dict[str, Any]]:
        """The recording itself."""
        audio, record = self._write_audio(f"{name}_original", samples_N)
        picture = self._picture(f"{name}_original", "As recorded", self.front_end.features(samples_N))
        return Version("Recording", audio, _lowered(record), [picture]), {**record, "picture": picture.image}

    def copy(
        self,
        name: str,
        title: str,
        probe: Probe,
        samples_N: np.ndarray,
        *,
        seed: tf.Tensor,
        length_draws: np.ndarray,
        utterance_id: str,
    ) -> tuple[Version, dict[str, Any]]:
        """One augmented copy."""
        augmented_N, draws, facts = probe.samples(samples_N, seed, length_draws)
        audio, record = self._write_audio(name, augmented_N)
        if not count_frames(augmented_N, self.config):
            raise UserError(
                f"{utterance_id}: {title.lower()} has {len(augmented_N)} samples, too few for a frame; "
                "lower augment.speed_share"
            )
        features_TD = self.front_end.features(augmented_N)
        before = self._picture(f"{name}_augmented", "Augmented", features_TD)
        drawn = probe.features_drawn(seed)
        factor = drawn.get("frequency_warp", 1.0)
        final_TD = probe.features(features_TD, seed)
        # What the same seed hides of a picture without a zero are its masks.
        is_hidden_TM = self.front_end.log_mel_of(probe.features(np.ones_like(features_TD), seed)) == 0
        frames, filters = _hidden(is_hidden_TM)
        num_frames, n_mels = is_hidden_TM.shape
        frame_seconds = self.config.hop_length / self.config.data.sample_rate
        times = [(round(start * frame_seconds, 4), round(end * frame_seconds, 4)) for start, end in frames]
        bands_hz = [
            (round(self.front_end.hz_of(low - 0.5), 1), round(self.front_end.hz_of(high - 0.5), 1))
            for low, high in filters
        ]
        moved = self.front_end.place_of(GUIDE_HZ) / factor
        after = self._picture(
            f"{name}_final",
            _caption(factor, self.front_end.hz_of(moved), times, bands_hz),
            final_TD,
            guide=self.front_end.share_of(moved),
            time_masks=[
                Band(start / num_frames, end / num_frames, f"hidden from {low:.2f} to {high:.2f} s")
                for (start, end), (low, high) in zip(frames, times, strict=True)
            ],
            frequency_masks=[
                Band(start / n_mels, end / n_mels, f"hidden from {low:.0f} to {high:.0f} Hz")
                for (start, end), (low, high) in zip(filters, bands_hz, strict=True)
            ],
        )
        facts = [*facts, *_lowered(record)]
        return Version(title, audio, facts or ["nothing drawn"], [before, after]), {
            "seed": seed.numpy().tolist(),
            **record,
            "draws": draws,
            "frequency_warp": plain(factor),
            **{key: plain(value) for key, value in drawn.items() if key != "frequency_warp"},
            "time_masks_seconds": times,
            "frequency_masks_hz": bands_hz,
            "pictures": [before.image, after.image],
        }

    def _write_audio(self, name: str, samples_N: np.ndarray) -> tuple[str, dict[str, Any]]:
        """A 16-bit WAV; the only change is a lower level where samples go past what it can hold."""
        import soundfile

        peak = float(np.abs(samples_N).max(initial=0.0))
        lowered = peak > 1.0
        with atomic_path(self.out / _AUDIO / f"{name}.wav") as temporary:
            scaled_N = samples_N / peak if lowered else samples_N
            # 16 bits end one step below 1.
            scaled_N = np.clip(scaled_N, -1.0, 1.0 - 2.0**-15)
            soundfile.write(
                for_soundfile(temporary), scaled_N, self.config.data.sample_rate, format="WAV", subtype="PCM_16"
            )
        file = f"{_AUDIO}/{name}.wav"
        return file, {
            "audio": file,
            "peak": plain(peak),
            "lowered_db": plain(20 * math.log10(peak)) if lowered else 0.0,
        }

    def _picture(self, name: str, caption: str, features_TD: np.ndarray, **marks: Any) -> Picture:
        import matplotlib
        from matplotlib.image import imsave

        log_mel_TM, (low, high) = self.front_end.log_mel_of(features_TD), self.front_end.range
        scaled_TM = np.clip((log_mel_TM - low) / (high - low), 0, 1)
        colours = matplotlib.colormaps["magma"](scaled_TM.T[::-1], bytes=True)
        with atomic_path(self.out / _PICTURES / f"{name}.png") as temporary:
            imsave(temporary, np.ascontiguousarray(colours), format="png")
        marks.setdefault("guide", self.front_end.share_of(self.front_end.place_of(GUIDE_HZ)))
        duration = len(log_mel_TM) * self.config.hop_length / self.config.data.sample_rate
        return Picture(f"{_PICTURES}/{name}.png", caption, duration, len(log_mel_TM), **marks)


def _hidden(is_hidden_TM: np.ndarray) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The hidden bands of frames and of filters, neighbours joined, each from its first to after its last."""
    is_hidden_T = is_hidden_TM.all(axis=1)
    rest_TM = is_hidden_TM[~is_hidden_T]
    is_hidden_M = rest_TM.all(axis=0) if len(rest_TM) else np.zeros(is_hidden_TM.shape[1], bool)
    return _stretches(is_hidden_T), _stretches(is_hidden_M)


def _stretches(is_hidden: np.ndarray) -> list[tuple[int, int]]:
    """From the first to after the last of each stretch of True."""
    edges = np.flatnonzero(np.diff(is_hidden.astype(int), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _lowered(record: dict[str, Any]) -> list[str]:
    if not record["lowered_db"]:
        return []
    return [f"peak {record['peak']:.2f}: this file is {record['lowered_db']:.1f} dB quieter than what training gets"]


def _caption(
    factor: float, guide_hz: float, times: Sequence[tuple[float, float]], bands_hz: Sequence[tuple[float, float]]
) -> str:
    """What was done to a picture, in words."""
    parts = [f"{GUIDE_HZ} Hz moved to {guide_hz:.0f} Hz" if factor != 1 else "not warped"]
    hidden = [f"{low:.0f} to {high:.0f} Hz" for low, high in bands_hz]
    if len(times) > _MOST_LISTED:
        seconds = sum(end - start for start, end in times)
        hidden.append(f"{len(times)} stretches of {seconds:.2f} s in all")
    else:
        hidden += [f"{start:.2f} to {end:.2f} s" for start, end in times]
    parts.append(f"hidden {', '.join(hidden)}" if hidden else "nothing hidden")
    return "Final: " + "; ".join(parts)


def files_of(count: int, copies: int) -> list[str]:
    """All that a folder will hold beside `listen.json`."""
    files = [PAGE]
    for number in range(1, count + 1):
        names = [f"{number:02d}_copy{copy}" for copy in range(1, copies + 1)]
        files += [f"{_AUDIO}/{name}.wav" for name in (f"{number:02d}_original", *names)]
        files.append(f"{_PICTURES}/{number:02d}_original.png")
        files += [f"{_PICTURES}/{name}_{stage}.png" for name in names for stage in ("augmented", "final")]
    return files


def claim(out: Path, files: Sequence[str]) -> None:
    """Makes the folder ours: empty, or rid of what an earlier call wrote, and of nothing else."""
    record = out / RECORD
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; name a folder to write")
    if record.exists():
        try:
            written = json.loads(read_text(record))["files"]
            earlier = [out / name for name in written if (out / name).is_relative_to(out)]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(
                f"{record}: cannot be read as the record of an earlier `speechgru listen`; name another folder"
            ) from error
        for path in earlier:  # what is written here, and nothing else, whatever a stranger's record says
            if _OWN.fullmatch(path.relative_to(out).as_posix()) and not path.parent.is_symlink():
                path.unlink(missing_ok=True)
    elif out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out}: holds other things; name a new folder, or one that `speechgru listen` wrote")
    # Recorded before anything is written, so that a call that is stopped leaves a folder that the next may use.
    write_json(record, {"files": list(files)})
