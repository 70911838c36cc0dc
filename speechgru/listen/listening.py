"""The verb: recordings beside the copies that augmentation makes of them, as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.config.sections import RunConfig
from speechgru.dataset import augment_seed, draw_lengths
from speechgru.errors import UserError
from speechgru.files import write_json
from speechgru.listen.augmented import FrontEnd, Probe, read_samples
from speechgru.listen.folder import GUIDE_HZ, PAGE, RECORD, Writer, claim, files_of
from speechgru.listen.page import Example, Version, write_listening_page
from speechgru.progress import Progress, silent
from speechgru.utterances.manifest import Utterance, distinct_names, read_manifest
from speechgru.visible import counted

#: Where the frequency axis may have ticks, the most telling first.
_TICKS_HZ = (1000, 4000, 500, 2000, 8000, 250, 3000, 16000, 125, 6000, 12000)


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
        copies: augmented versions of each: those of the first epochs.
        seed: of the augmentation; the run's own when None.
        progress: called after each utterance.

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
    probe = Probe(config, utterances)
    front_end = FrontEnd(config)
    originals = [read_samples(utterances[index], config) for index in chosen]
    front_end.learn(originals)
    out = Path(out)
    files = files_of(len(chosen), copies)
    claim(out, files)
    names = distinct_names([utterances[index] for index in chosen])
    writer = Writer(out, config, front_end)
    examples: list[Example] = []
    records: list[dict[str, Any]] = []
    for number, index in enumerate(chosen, start=1):
        utterance, samples_N, title = utterances[index], originals[number - 1], names[number - 1]
        name = f"{number:02d}"
        version, record = writer.original(name, samples_N)
        versions = [version]
        records.append(
            {
                "utterance_id": title,
                "audio_filepath": utterance.audio_filepath,
                "offset": utterance.offset,
                "channel": utterance.channel,
                "duration": len(samples_N) / config.data.sample_rate,
                "text": utterance.text,
                "speaker": utterance.speaker,
                "index": index,
                "original": record,
                "copies": [],
            }
        )
        for copy in range(copies):
            seed_of_copy = augment_seed(config, copy, index)
            heard_N, others = probe.joined(index, copy, seed_of_copy) or (samples_N, [])
            version, record = writer.copy(
                f"{name}_copy{copy + 1}",
                f"Copy {copy + 1}" + (f", joined with {counted(len(others), 'more')}" if others else ""),
                probe,
                heard_N,
                seed=seed_of_copy,
                length_draws=draw_lengths(config.train.seed, copy, len(utterances))[index],
                utterance_id=title,
            )
            versions.append(version)
            if others:
                record["joined_with"] = [utterances[other].utterance_id for other in others]
            records[-1]["copies"].append(record)
        examples.append(_example(title, utterance, len(samples_N) / config.data.sample_rate, versions))
        progress("augmenting", number, len(chosen), "")
    page = _write_page(out, manifest, config, examples, len(utterances), config.train.seed, front_end)
    write_json(
        out / RECORD,
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


def _example(title: str, utterance: Utterance, seconds: float, versions: Sequence[Version]) -> Example:
    facts = [f"{seconds:.2f} s"] + ([f"speaker {utterance.speaker}"] if utterance.speaker else [])
    return Example(title, utterance.text, facts, versions)


def _write_page(
    out: Path,
    manifest: str | Path,
    config: RunConfig,
    examples: Sequence[Example],
    total: int,
    seed: int,
    front_end: FrontEnd,
) -> Path:
    ramp = config.augment.ramp_epochs
    strength = "full" + (f"; training reaches it after {ramp:g} epochs" if ramp else "")
    normalization = config.features.normalization
    reading = [
        "“Augmented” is the log-mel of the copy that plays; “Final” is what the model gets of it, warped in frequency "
        f"and with bands hidden behind {'zeros' if normalization == 'none' else 'the mean'}. Bars at the edges mark "
        f"those bands; the dotted line is what stood at {GUIDE_HZ} Hz. All pictures have one scale of colours, and "
        "those of one utterance one time axis.",
        "Levels are normalised as the model gets them"
        + {
            "global": ", here by the mean and deviation of the recordings on this page in place of the corpus's.",
            "running": ", here by the running mean and the deviation of the recordings on this page in place of the "
            "corpus's.",
            "utterance": ", by each copy's own mean and deviation.",
            "none": ": not at all.",
        }[normalization],
    ]
    return write_listening_page(
        out / PAGE,
        title=f"What training gets of {Path(manifest).name}",
        lead=f"{len(examples)} of {total:,} recordings, each over copies as the first epochs train on them.",
        settings=[*_settings(config), ("Strength", strength), ("Seed", str(seed))],
        reading=reading,
        utterances=examples,
        hz_ticks=[(str(hz), front_end.share_of(front_end.place_of(hz))) for hz in _TICKS_HZ],
    )


def _settings(config: RunConfig) -> list[tuple[str, str]]:
    """Each stage of augmentation with its extent, or that it is off."""
    return [(stage.title, stage.extent if stage.is_on else "off") for stage in config.augment.stages]
