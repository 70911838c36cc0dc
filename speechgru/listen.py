"""Hear and see what training hears: recordings beside the copies that augmentation makes of them, as a page."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from speechgru import lengths
from speechgru.audio import error_of
from speechgru.augment import draw_warp_factors
from speechgru.config import RunConfig
from speechgru.dataset import Augmentation, augment_seed, draw_lengths, utterance_reader
from speechgru.errors import AudioError, UserError
from speechgru.examination import read_utterance
from speechgru.features import hz_to_mel, mel_to_hz, part_of_front_end
from speechgru.files import atomic_path, write_json
from speechgru.manifest import Utterance, read_manifest
from speechgru.model import build_front_end
from speechgru.progress import Progress, silent
from speechgru.report.of_listening import Band, Heard, Picture, Version, write_listening_page

#: Names of what a folder holds; `listen.json` also says that it is ours to write over.
_PAGE, _RECORD, _AUDIO, _PICTURES = "index.html", "listen.json", "audio", "pictures"

#: The frequency whose place the pictures mark, so that warping shows.
_GUIDE_HZ = 1000
#: Where the frequency axis may have ticks, the most telling first.
_TICKS_HZ = (1000, 4000, 500, 2000, 8000, 250, 3000, 16000, 125, 6000, 12000)

#: More masks of time than these are summed up in a caption; the bars show them all.
_MOST_TOLD = 3

#: A deviation is at least so much of a nat, so that a filter that hears nothing is not blown up.
_LEAST_DEVIATION = 0.1


def listen(
    manifest: str | Path,
    *,
    config: RunConfig,
    out: str | Path,
    count: int = 6,
    copies: int = 3,
    seed: int | None = None,
    progress: Progress = silent,
) -> Path:
    """Writes a folder with a page that plays and shows recordings and what training makes of them.

    Args:
        manifest: the recordings; the babble of other speech comes from them too.
        config: the run; its augmentation is shown at full strength, whatever its ramp.
        out: the folder to write: a new or empty one, or that of an earlier call, which is written over.
        count: utterances, evenly spread over the manifest; all of a shorter one.
        copies: augmented versions of each: what the first epochs would hear.
        seed: of the augmentation; the run's own when None.
        progress: told after each utterance.

    Returns:
        The page, `index.html` in `out`. Beside it stand `audio/` (16-bit WAV at the run's sample rate), `pictures/`
        (PNG, a pixel a frame and mel filter) and `listen.json`, which says what was drawn.

    Raises:
        ManifestError: a manifest cannot be read.
        AudioError: a recording cannot be read, or holds nothing; names it.
        UserError: `out` holds other things, cannot be written, or a number is out of range.
    """
    for name, number in (("count", count), ("copies", copies)):
        if number < 1:
            raise UserError(f"{name} is how many to write, at least 1; got {number}")
    utterances = read_manifest(manifest)
    chosen = spread(len(utterances), count)
    if seed is not None:
        config = config.model_copy(update={"train": config.train.model_copy(update={"seed": seed})})
    ear = _Ear(config, utterances)
    front_end = _FrontEnd(config)
    originals = [_read(utterances[index], config) for index in chosen]
    front_end.learn(originals)
    out = Path(out)
    files = _files(len(chosen), copies)
    _claim(out, files)
    writer = _Writer(out, config, front_end)
    heard, records = [], []
    for number, index in enumerate(chosen, start=1):
        utterance, samples_N = utterances[index], originals[number - 1]
        name = f"{number:02d}"
        version, record = writer.original(name, samples_N)
        versions = [version]
        records.append(
            {
                "utterance_id": utterance.utterance_id,
                "audio_filepath": utterance.audio_filepath,
                "offset": utterance.offset,
                "duration": len(samples_N) / config.data.sample_rate,
                "text": utterance.text,
                "speaker": utterance.speaker,
                "index": index,
                "original": record,
                "copies": [],
            }
        )
        for copy in range(copies):
            version, record = writer.copy(
                f"{name}_copy{copy + 1}",
                f"Copy {copy + 1}",
                ear,
                samples_N,
                seed=augment_seed(config, copy, index),
                length_draws=draw_lengths(config.train.seed, copy, len(utterances))[index],
                utterance_id=utterance.utterance_id,
            )
            versions.append(version)
            records[-1]["copies"].append(record)
        heard.append(_heard(utterance, len(samples_N) / config.data.sample_rate, versions))
        progress("augmenting", number, len(chosen), "")
    page = _write_page(out, manifest, config, heard, len(utterances), config.train.seed, front_end)
    write_json(
        out / _RECORD,
        {
            "manifest": str(Path(manifest).absolute()),
            "seed": config.train.seed,
            "strength": 1.0,
            "sample_rate": config.data.sample_rate,
            "augment": config.augment.model_dump(mode="json"),
            "utterances": records,
            "files": files,
        },
    )
    return page


def spread(total: int, count: int) -> list[int]:
    """At most `count` of `total` places, evenly spread, the first and the last among them where there are two."""
    if count >= total:
        return list(range(total))
    return sorted({round(place) for place in np.linspace(0, total - 1, count)}) if count > 1 else [0]


class _Ear:
    """What training hears and sees of one utterance, with what was drawn in words that JSON can hold.

    Args:
        config: the run.
        utterances: other speech, for babble.

    Raises:
        ManifestError: the manifest of noise or of impulse responses cannot be read.
    """

    def __init__(self, config: RunConfig, utterances: Sequence[Utterance]):
        self._config = config
        self._augmentation = Augmentation(config, read_speech=utterance_reader(utterances, config=config))

    def hear(
        self, samples_N: np.ndarray, seed: tf.Tensor, length_draws: np.ndarray
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """The samples that training hears, and what was drawn for them, by name.

        Raises:
            AudioError: noise, a response or other speech cannot be read.
        """
        try:
            augmented_N, draws = self._augmentation.of_samples(samples_N, seed, length_draws)
        except tf.errors.OpError as error:
            message = error_of(error)
            if message is None:
                raise
            raise AudioError(message) from error
        told = {key: _plain(value.numpy().item()) for key, value in draws.items()}
        if not told.get("reverberated", True):
            told.pop("reverb_seconds", None)
        kind = told.pop("noise_kind", -1)
        if kind < 0:
            told.pop("noise_snr_db", None)
        else:
            told["noise_kind"] = self._config.augment.noise_kinds[kind]
        return augmented_N.numpy(), told

    def see(self, features_TD: np.ndarray, seed: tf.Tensor) -> np.ndarray:
        """The features that training sees: warped, then with bands hidden behind zeros."""
        num_frames_B = tf.constant([len(features_TD)], tf.int32)
        return self._augmentation.of_features(features_TD[None], num_frames_B, seed[None])[0].numpy()

    def warp_factor(self, seed: tf.Tensor) -> float:
        """The factor that `see` stretches the filter axis by."""
        return float(draw_warp_factors(seed[None], warp_share=self._config.augment.frequency_warp_share)[0])


class _FrontEnd:
    """The run's front end, its normalisation learnt from the recordings on the page, and its frequency axis."""

    def __init__(self, config: RunConfig):
        settings = config.features
        self._model = build_front_end(config)
        self._normalization, self._n_mels, self._mel_scale = settings.normalization, settings.n_mels, settings.mel_scale
        first, last = hz_to_mel([settings.f_min_hz, config.f_max_hz], mel_scale=settings.mel_scale)
        self._first_mel, self._mel_step = first, (last - first) / (self._n_mels + 1)
        self.range = (0.0, 1.0)

    def learn(self, recordings: Sequence[np.ndarray]) -> None:
        """Takes the statistics of the normalisation, and the range of the colours, from the recordings."""
        if self._normalization == "global":
            before = part_of_front_end(self._model, normalized=False)
            frames_TD = np.concatenate([_run(before, samples_N) for samples_N in recordings]).astype(np.float64)
            deviation_D = np.maximum(_LEAST_DEVIATION, frames_TD.std(axis=0))
            self._model.get_layer("normalization").set_statistics(frames_TD.mean(axis=0), deviation_D)
        values = np.concatenate([self.log_mel_of(self.features(samples_N)).ravel() for samples_N in recordings])
        low, high = np.percentile(values, [2, 99.5])
        self.range = (float(low), float(max(high, low + 1e-6)))

    def features(self, samples_N: np.ndarray) -> np.ndarray:
        """`samples_N` -> what the model gets, `features_TD`."""
        return _run(self._model, samples_N)

    def log_mel_of(self, features_TD: np.ndarray) -> np.ndarray:
        """The part of the features that a picture shows: the log-mel without its slopes."""
        return features_TD[:, : self._n_mels]

    def place_of(self, hz: float) -> float:
        """Where a frequency stands on the filter axis: m at the centre of filter m."""
        return float((hz_to_mel(hz, mel_scale=self._mel_scale) - self._first_mel) / self._mel_step - 1)

    def hz_of(self, place: float) -> float:
        """The frequency at a place of the filter axis."""
        return float(mel_to_hz((place + 1) * self._mel_step + self._first_mel, mel_scale=self._mel_scale))

    def share_of(self, place: float) -> float:
        """A place of the filter axis as a share of a picture's height, from below."""
        return (place + 0.5) / self._n_mels


def _run(front_end: keras.Model, samples_N: np.ndarray) -> np.ndarray:
    features_BTD, num_frames_B = front_end([samples_N[None], np.array([len(samples_N)], np.int32)])
    return np.asarray(features_BTD)[0, : int(num_frames_B[0])]


def _read(utterance: Utterance, config: RunConfig) -> np.ndarray:
    samples_N = read_utterance(utterance, sample_rate=config.data.sample_rate).samples_N
    if not _num_frames(samples_N, config):
        raise AudioError(
            f"{utterance.audio_filepath}: {len(samples_N)} samples hold no frame; `speechgru check` names such "
            "utterances, leave them out"
        )
    return samples_N


def _num_frames(samples_N: np.ndarray, config: RunConfig) -> int:
    return lengths.num_frames(
        len(samples_N), n_fft=config.n_fft, hop_length=config.hop_length, center=config.features.center
    )


@dataclass(frozen=True)
class _Writer:
    """Writes sounds and pictures into the folder and says what they are."""

    out: Path
    config: RunConfig
    front_end: _FrontEnd

    def original(self, name: str, samples_N: np.ndarray) -> tuple[Version, dict[str, Any]]:
        """The recording itself."""
        audio, record = self._write_audio(f"{name}_original", samples_N)
        picture = self._picture(f"{name}_original", "As recorded", self.front_end.features(samples_N))
        return Version("Recording", audio, _lowered(record), [picture]), {**record, "picture": picture.image}

    def copy(
        self,
        name: str,
        title: str,
        ear: _Ear,
        samples_N: np.ndarray,
        *,
        seed: tf.Tensor,
        length_draws: np.ndarray,
        utterance_id: str,
    ) -> tuple[Version, dict[str, Any]]:
        """One augmented copy."""
        heard_N, draws = ear.hear(samples_N, seed, length_draws)
        audio, record = self._write_audio(name, heard_N)
        if not _num_frames(heard_N, self.config):
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
        moved = self.front_end.place_of(_GUIDE_HZ) / factor
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
            "frequency_warp": _plain(factor),
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
            "peak": _plain(peak),
            "lowered_db": _plain(20 * math.log10(peak)) if lowered else 0.0,
        }

    def _picture(self, name: str, caption: str, features_TD: np.ndarray, **marks: Any) -> Picture:
        import matplotlib
        from matplotlib.image import imsave

        log_mel_TM, (low, high) = self.front_end.log_mel_of(features_TD), self.front_end.range
        scaled_TM = np.clip((log_mel_TM - low) / (high - low), 0, 1)
        colours = matplotlib.colormaps["magma"](scaled_TM.T[::-1], bytes=True)
        with atomic_path(self.out / _PICTURES / f"{name}.png") as temporary:
            imsave(temporary, np.ascontiguousarray(colours), format="png")
        marks.setdefault("guide", self.front_end.share_of(self.front_end.place_of(_GUIDE_HZ)))
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
    parts = [f"{_GUIDE_HZ} Hz moved to {guide_hz:.0f} Hz" if factor != 1 else "not warped"]
    hidden = [f"{low:.0f} to {high:.0f} Hz" for low, high in bands_hz]
    if len(times) > _MOST_TOLD:
        seconds = sum(end - start for start, end in times)
        hidden.append(f"{len(times)} stretches of {seconds:.2f} s in all")
    else:
        hidden += [f"{start:.2f} to {end:.2f} s" for start, end in times]
    parts.append(f"hidden {', '.join(hidden)}" if hidden else "nothing hidden")
    return "Seen: " + "; ".join(parts)


def _heard(utterance: Utterance, seconds: float, versions: Sequence[Version]) -> Heard:
    facts = [f"{seconds:.2f} s"] + ([f"speaker {utterance.speaker}"] if utterance.speaker else [])
    return Heard(utterance.utterance_id, utterance.text, facts, versions)


def _files(count: int, copies: int) -> list[str]:
    """All that a folder will hold beside `listen.json`."""
    files = [_PAGE]
    for number in range(1, count + 1):
        names = [f"{number:02d}_copy{copy}" for copy in range(1, copies + 1)]
        files += [f"{_AUDIO}/{name}.wav" for name in (f"{number:02d}_original", *names)]
        files.append(f"{_PICTURES}/{number:02d}_original.png")
        files += [f"{_PICTURES}/{name}_{stage}.png" for name in names for stage in ("heard", "seen")]
    return files


def _claim(out: Path, files: Sequence[str]) -> None:
    """Makes the folder ours: empty, or rid of what an earlier call wrote, and of nothing else."""
    record = out / _RECORD
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


def _write_page(
    out: Path,
    manifest: str | Path,
    config: RunConfig,
    heard: Sequence[Heard],
    total: int,
    seed: int,
    front_end: _FrontEnd,
) -> Path:
    ramp = config.augment.ramp_epochs
    strength = "full" + (f"; training reaches it after {ramp:g} epochs" if ramp else "")
    normalization = config.features.normalization
    reading = [
        "“Heard” is the log-mel of the copy that plays; “Seen” is what the model gets of it, warped in frequency and "
        f"with bands hidden behind {'zeros' if normalization == 'none' else 'the mean'}. Bars at the edges mark those "
        f"bands; the dotted line is what stood at {_GUIDE_HZ} Hz. All pictures have one scale of colours, and those of "
        "one utterance one time axis.",
        "Levels are normalised as the model gets them"
        + {
            "global": ", here by the mean and deviation of the recordings on this page in place of the corpus's.",
            "utterance": ", by each copy's own mean and deviation.",
            "none": ": not at all.",
        }[normalization],
    ]
    return write_listening_page(
        out / _PAGE,
        title=f"What training hears of {Path(manifest).name}",
        lead=f"{len(heard)} of {total:,} recordings, each over copies as the first epochs would hear them.",
        settings=[*_settings(config), ("Strength", strength), ("Seed", str(seed))],
        reading=reading,
        utterances=heard,
        hz_ticks=[(str(hz), front_end.share_of(front_end.place_of(hz))) for hz in _TICKS_HZ],
    )


def _settings(config: RunConfig) -> list[tuple[str, str]]:
    """Each kind of augmentation with its range, or that it is off."""
    settings = config.augment
    low_db, high_db = settings.noise_snr_db_min, settings.noise_snr_db_max
    rooms = (
        f"recorded in {Path(settings.reverb_manifest).name}"
        if settings.reverb_manifest
        else f"{settings.reverb_seconds_min:g} to {settings.reverb_seconds_max:g} s"
    )
    time_masks = [f"{settings.time_masks}"] if settings.time_masks else []
    if settings.time_masks_per_second:
        time_masks.append(f"{settings.time_masks_per_second:g} a second")
    kinds: list[tuple[str, Any, str]] = [
        ("Speed", settings.speed_share, f"up to {_percent(settings.speed_share)} faster or slower"),
        ("Rooms", settings.reverb_probability, f"{_percent(settings.reverb_probability)} of utterances, {rooms}"),
        ("Quiet", settings.silence_seconds, f"up to {settings.silence_seconds:g} s before and after"),
        (
            "Noise",
            settings.noise_probability,
            f"{_percent(settings.noise_probability)} of utterances, {', '.join(settings.noise_kinds)}, "
            f"{low_db:g} to {high_db:g} dB below the speech",
        ),
        ("Timbre", settings.equalizer_db, f"frequencies up to {settings.equalizer_db:g} dB louder or softer"),
        ("Level", settings.gain_db, f"up to {settings.gain_db:g} dB up or down"),
        ("Warping", settings.frequency_warp_share, f"up to {_percent(settings.frequency_warp_share)} up or down"),
        (
            "Time masks",
            bool(time_masks) and settings.time_mask_share,
            f"{' and '.join(time_masks)}, up to {_percent(settings.time_mask_share)} of the utterance each",
        ),
        (
            "Frequency masks",
            settings.frequency_masks and settings.frequency_mask_share,
            f"{settings.frequency_masks}, up to {_percent(settings.frequency_mask_share)} of the filters each",
        ),
    ]
    return [(name, told if is_on else "off") for name, is_on, told in kinds]


def _plain(value: Any) -> Any:
    """A number as it was drawn, without the digits that float32 does not hold."""
    return round(value, 6) if isinstance(value, float) else value


def _percent(share: float) -> str:
    return f"{100 * share:.3g}\u202f%"
