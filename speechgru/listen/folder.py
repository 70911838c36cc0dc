"""The folder that `listen` writes: sounds, pictures, a record."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from speechgru.config.sections import RunConfig
from speechgru.errors import UserError
from speechgru.files import atomic_path, write_json
from speechgru.listen.augmented import Ear, FrontEnd, count_frames, plain
from speechgru.listen.page import Band, Picture, Version

#: Names of what a folder holds; `listen.json` also says that it is ours to write over.
PAGE, RECORD, _AUDIO, _PICTURES = "index.html", "listen.json", "audio", "pictures"

#: The frequency whose place the pictures mark, so that warping shows.
GUIDE_HZ = 1000

#: More masks of time than these are summed up in a caption; the bars show them all.
_MOST_TOLD = 3


@dataclass(frozen=True)
class Writer:
    """Writes sounds and pictures into the folder and says what they are."""

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
        ear: Ear,
        samples_N: np.ndarray,
        *,
        seed: tf.Tensor,
        length_draws: np.ndarray,
        utterance_id: str,
    ) -> tuple[Version, dict[str, Any]]:
        """One augmented copy."""
        heard_N, draws = ear.hear(samples_N, seed, length_draws)
        audio, record = self._write_audio(name, heard_N)
        if not count_frames(heard_N, self.config):
            raise UserError(
                f"{utterance_id}: {title.lower()} has {len(heard_N)} samples, too few for a frame; "
                "lower augment.speed_share"
            )
        features_TD = self.front_end.features(heard_N)
        before = self._picture(f"{name}_heard", "Heard", features_TD)
        factor = ear.warp_factor(seed)
        seen_TD = ear.see(features_TD, seed)
        # What the same seed hides of a picture without a zero tells its masks.
        is_hidden_TM = self.front_end.log_mel_of(ear.see(np.ones_like(features_TD), seed)) == 0
        frames, filters = _hidden(is_hidden_TM)
        num_frames, n_mels = is_hidden_TM.shape
        frame_seconds = self.config.hop_length / self.config.data.sample_rate
        times = [tuple(round(edge * frame_seconds, 4) for edge in band) for band in frames]
        bands_hz = [tuple(round(self.front_end.hz_of(edge - 0.5), 1) for edge in band) for band in filters]
        moved = self.front_end.place_of(GUIDE_HZ) / factor
        after = self._picture(
            f"{name}_seen",
            _caption(factor, self.front_end.hz_of(moved), times, bands_hz),
            seen_TD,
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
        facts = [*_told(draws), *_lowered(record)]
        return Version(title, audio, facts or ["nothing drawn"], [before, after]), {
            "seed": seed.numpy().tolist(),
            **record,
            "draws": draws,
            "frequency_warp": plain(factor),
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
            soundfile.write(temporary, scaled_N, self.config.data.sample_rate, format="WAV", subtype="PCM_16")
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
    return tuple(  # type: ignore[return-value]
        np.flatnonzero(np.diff(is_hidden.astype(int), prepend=0, append=0)).reshape(-1, 2).tolist()
        for is_hidden in (is_hidden_T, is_hidden_M)
    )


def _told(draws: dict[str, Any]) -> list[str]:
    """What was drawn, in words, in the order in which it is done."""
    facts = []
    if "speed_factor" in draws:
        facts.append(f"speed × {draws['speed_factor']:.3f}")
    if draws.get("reverberated"):
        seconds = draws.get("reverb_seconds")
        facts.append("a recorded room" if seconds is None else f"a room of {seconds:.2f} s")
    before, after = (draws.get(f"silence_{side}_seconds", 0.0) for side in ("before", "after"))
    if before or after:
        facts.append(f"quiet: {before:.2f} s before, {after:.2f} s after")
    if "noise_kind" in draws:
        facts.append(f"{draws['noise_kind']} noise, {draws['noise_snr_db']:.0f} dB below the speech")
    if "gain_db" in draws:
        facts.append(f"level {draws['gain_db']:+.1f} dB")
    return [fact.replace("-", "−") if fact.startswith("level") else fact for fact in facts]


def _lowered(record: dict[str, Any]) -> list[str]:
    if not record["lowered_db"]:
        return []
    return [f"peak {record['peak']:.2f}: this file is {record['lowered_db']:.1f} dB quieter than what training hears"]


def _caption(
    factor: float, guide_hz: float, times: Sequence[tuple[float, float]], bands_hz: Sequence[tuple[float, float]]
) -> str:
    """What was done to a picture, in words."""
    parts = [f"{GUIDE_HZ} Hz moved to {guide_hz:.0f} Hz" if factor != 1 else "not warped"]
    hidden = [f"{low:.0f} to {high:.0f} Hz" for low, high in bands_hz]
    if len(times) > _MOST_TOLD:
        seconds = sum(end - start for start, end in times)
        hidden.append(f"{len(times)} stretches of {seconds:.2f} s in all")
    else:
        hidden += [f"{start:.2f} to {end:.2f} s" for start, end in times]
    parts.append(f"hidden {', '.join(hidden)}" if hidden else "nothing hidden")
    return "Seen: " + "; ".join(parts)


def files_of(count: int, copies: int) -> list[str]:
    """All that a folder will hold beside `listen.json`."""
    files = [PAGE]
    for number in range(1, count + 1):
        names = [f"{number:02d}_copy{copy}" for copy in range(1, copies + 1)]
        files += [f"{_AUDIO}/{name}.wav" for name in (f"{number:02d}_original", *names)]
        files.append(f"{_PICTURES}/{number:02d}_original.png")
        files += [f"{_PICTURES}/{name}_{stage}.png" for name in names for stage in ("heard", "seen")]
    return files


def claim(out: Path, files: Sequence[str]) -> None:
    """Makes the folder ours: empty, or rid of what an earlier call wrote, and of nothing else."""
    record = out / RECORD
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; name a folder to write")
    if record.exists():
        try:
            written = json.loads(record.read_text(encoding="utf-8"))["files"]
            earlier = [out / name for name in written]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{record}: cannot be read as that of an earlier listening; name another folder") from error
        for path in earlier:
            if path.parent in (out, out / _AUDIO, out / _PICTURES):
                path.unlink(missing_ok=True)
    elif out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out}: holds other things; name a new folder, or one that `speechgru listen` wrote")
    # Said before anything is written, so that a call that is stopped leaves a folder that the next may take.
    write_json(record, {"files": list(files)})


def percent(share: float) -> str:
    """A share as people write it."""
    return f"{100 * share:.3g}\u202f%"
