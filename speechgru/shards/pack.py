"""Packing manifests into shards, for corpora that are larger than memory or lie in too many files.

Only what training would use is packed (`examination`), resampled, in the manifests' order. The job can be killed at
any moment: the same command resumes it, and ends with the very files that one without a break would have written.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import tensorflow as tf

from speechgru.config.sections import RunConfig
from speechgru.errors import AudioError, ConfigError, CorpusError, UserError
from speechgru.files import room_for, sha256_of
from speechgru.model.build import build_front_end
from speechgru.process.locked_folder import locked_folder
from speechgru.process.ordered import map_in_order
from speechgru.progress import Progress, silent
from speechgru.shards.folder import read_summary, write_shard, write_summary
from speechgru.shards.job import Job, Plan, Planned
from speechgru.shards.parts import Part
from speechgru.shards.records import EncodedRecord, Form, Record, ShardFile, encode_record
from speechgru.shards.settings import refuse_changed_samples, settings_of
from speechgru.stores import Store, cache_folder, is_remote, joined
from speechgru.utterances.examination import read_utterance
from speechgru.utterances.manifest import read_manifest


@dataclass(frozen=True)
class ShardSummary:
    """What `shard` did.

    Args:
        out: the folder of shards, or its address.
        form: what the records hold.
        num_shards: shards in all.
        num_kept: shards that an earlier run had finished.
        num_records: utterances packed.
        num_skipped: utterances left out, listed in `skipped.jsonl`.
        size_bytes: of all shards.
        seconds: seconds of audio packed.
    """

    out: str | Path
    form: Form
    num_shards: int
    num_kept: int
    num_records: int
    num_skipped: int
    size_bytes: int
    seconds: float


def shard(
    manifests: Sequence[str | Path],
    out: str | Path,
    *,
    config: RunConfig,
    form: Form = "samples",
    shard_megabytes: float = 128,
    part: Part | None = None,
    progress: Progress = silent,
) -> ShardSummary:
    """Packs manifests into checksummed shards, or resumes the job in `out`.

    Args:
        manifests: paths, in the order in which their utterances are packed.
        out: the folder to write, or its address on a store (`s3://bucket/shards`). One that holds the same job is
            resumed: finished shards are verified and kept. On a store the state of an unfinished job, and one shard at
            a time, lie in the user's folder of caches.
        config: sample rate, front end, text rules, and what `examination` leaves out.
        form: `samples` loses nothing: int16 where they are exactly that, else float32. `features` is log-mel that is
            not normalised, float32; augmentation of samples must then be off.
        shard_megabytes: a shard is closed when it reaches this size, in units of 10^6 bytes.
        part: pack this part alone, into a folder of its own below `out`; `merge` makes one of all parts.
        progress: called after each utterance and each verified shard.

    Returns:
        What was done.

    Raises:
        ConfigError: the configuration does not go with the form, or the folder holds another job.
        UserError: too many utterances cannot be used, or the folder cannot be written; finished shards are kept.
        ManifestError, AudioError: a manifest cannot be read, or a recording changed while it was packed.
    """
    paths = [Path(manifest) for manifest in manifests]
    _refuse(out, paths, config, form, shard_megabytes)
    if part is not None:
        part.require_alone(config)
        out = joined(str(out), part.folder) if is_remote(out) else Path(out) / part.folder
    store = Store(str(out)) if is_remote(out) else None
    out = Path(out) if store is None else work_folder(store.url)
    utterances = [read_manifest(manifest) for manifest in paths]
    # As training does it: what is tested must not be trained on.
    dev = config.data.dev if "leak" in config.check.leave_out else None
    held_out = read_manifest(dev) if dev else []
    settings = settings_of(config)
    job = {
        "form": form,
        "shard_megabytes": float(shard_megabytes),
        "manifests": [
            {"path": _shown(manifest), "sha256": sha256_of(manifest), "num_utterances": len(lines)}
            for manifest, lines in zip(paths, utterances, strict=True)
        ],
        "held_out": {"path": _shown(Path(dev)), "sha256": sha256_of(dev)} if dev else None,
        "settings": settings,
    }
    if part is not None:
        job["part"] = part.as_record(utterances, config)
    with room_for(out), locked_folder(out, activity="is writing shards here", advice="wait for it"):
        folder = Job(out, job, store=store)
        known, damaged = folder.known_shards(progress)
        if folder.is_finished and not damaged:
            folder.clean()
            return summarize(folder.place, read_summary(folder.place), num_kept=len(known))
        plan = folder.read_plan(utterances)
        if plan is None:
            folder.require_writable()  # reading all recordings takes long
            plan = folder.make_plan(paths, utterances, held_out, config, progress, part)
        encode, num_features = _make_encoder(config, form)
        shards, num_kept = _pack(
            folder, plan, known, damaged, encode, max_bytes=shard_megabytes * 1e6, config=config, progress=progress
        )
        if part is not None:
            folder.keep_plan()  # before the summary, which says that all is there
        summary = write_summary(
            out,
            shards,
            form=form,
            sample_rate=config.data.sample_rate,
            num_features=num_features,
            vocabulary=plan.vocabulary,
            settings=settings,
            sources={
                "num_skipped": plan.num_skipped,
                "shard_megabytes": job["shard_megabytes"],
                "manifests": job["manifests"],
                "held_out": job["held_out"],
                "plan_sha256": plan.sha256,
                **({"part": job["part"]} if part is not None else {}),
            },
        )
        folder.finish()
    return summarize(folder.place, summary, num_kept=num_kept)


def work_folder(url: str) -> Path:
    """Where the state of a job lies whose shards go to a store."""
    return cache_folder() / "packing" / hashlib.sha256(url.encode()).hexdigest()[:16]


def _refuse(out: str | Path, manifests: Sequence[Path], config: RunConfig, form: str, shard_megabytes: float) -> None:
    if not manifests:
        raise ConfigError("no manifest to pack; name at least one")
    if form not in get_args(Form):
        raise ConfigError(f"the form must be {' or '.join(get_args(Form))}, got {form!r}")
    if not 0 < shard_megabytes < math.inf:
        raise ConfigError(f"shard_megabytes must be a number above 0, got {shard_megabytes!r}")
    if config.data.audio_engine == "tensorflow_io":
        raise ConfigError("data.audio_engine is tensorflow_io, but shards are read with soundfile; set it to auto")
    if form == "features":
        refuse_changed_samples(config)
    if is_remote(out):
        return
    try:
        os.fspath(out).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{out!r}: is not UTF-8, the only names that TensorFlow writes to; choose another") from error
    if os.path.exists(out) and not os.path.isdir(out):
        raise UserError(f"{out}: is a file; shards need a folder")


def _shown(path: Path) -> str:
    """An absolute path as text that any file can hold."""
    return str(path.absolute()).encode("utf-8", "backslashreplace").decode()


def summarize(out: str | Path, summary: dict[str, Any], *, num_kept: int) -> ShardSummary:
    """What a summary says, and how many shards were there before."""
    return ShardSummary(
        out=out,
        form=summary["form"],
        num_shards=len(summary["shards"]),
        num_kept=num_kept,
        num_records=summary["num_records"],
        num_skipped=summary["num_skipped"],
        size_bytes=summary["size_bytes"],
        seconds=summary["seconds"],
    )


def _make_encoder(config: RunConfig, form: Form) -> tuple[Callable[[Planned], EncodedRecord], int | None]:
    """What makes a record of an utterance, in any thread; and the numbers a frame."""
    num_features: int | None = None
    if form == "features":
        log_mel_of = _make_log_mel(config)
        num_features = int(log_mel_of.get_concrete_function().structured_outputs.shape[-1])

    def encode(planned: Planned) -> EncodedRecord:
        utterance, wanted = planned.utterance, planned.num_samples
        try:
            samples_N = read_utterance(utterance, sample_rate=config.data.sample_rate).samples_N
        except AudioError as error:
            raise AudioError(f"{error} (it could be read when the job began; finished shards are kept)") from error
        if len(samples_N) != wanted:
            raise AudioError(
                f"{utterance.audio_filepath}: has {len(samples_N)} samples now, {wanted} when the job began; "
                "a corpus must not change while it is packed: start again in an empty folder"
            )
        record = Record(
            utterance_id=utterance.utterance_id,
            audio_filepath=utterance.audio_filepath,
            offset=utterance.offset,
            duration=utterance.duration,
            speaker=utterance.speaker,
            text=utterance.text,
            labels_L=np.array(planned.labels, np.int32),
            values=samples_N if form == "samples" else log_mel_of(tf.constant(samples_N)).numpy(),
        )
        return encode_record(record, num_samples=wanted)

    return encode, num_features


def _make_log_mel(config: RunConfig) -> Any:
    """A function `samples_N` -> `log_mel_TM` by the run's own layer, always on the CPU."""
    with tf.device("CPU:0"):  # the same bytes with a GPU and without
        layer = build_front_end(config).log_mel

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.float32)])
    def log_mel_of(samples_N: tf.Tensor) -> tf.Tensor:
        with tf.device("CPU:0"):
            log_mel_BTM, _ = layer(samples_N[None], tf.shape(samples_N)[:1])
            return log_mel_BTM[0]

    return log_mel_of


def _pack(
    folder: Job,
    plan: Plan,
    known: Sequence[ShardFile],
    damaged: set[int],
    encode: Callable[[Planned], EncodedRecord],
    *,
    max_bytes: float,
    config: RunConfig,
    progress: Progress,
) -> tuple[list[ShardFile], int]:
    """Writes the shards that are not there yet, or are damaged; gives all, and how many were there."""
    shards: list[ShardFile] = []
    total, done, num_kept = len(plan.utterances), 0, 0
    records: Iterator[EncodedRecord] | None = None

    def counted(encoded: Iterator[EncodedRecord], start: int) -> Iterator[EncodedRecord]:
        for number, record in enumerate(encoded, start=start + 1):
            progress("packing", number, total, f"shard {len(shards) + 1}")
            yield record

    with contextlib.ExitStack() as stack:
        while done < total:
            number = len(shards)
            if number < len(known) and number not in damaged:
                folder.fetch_index(known[number])
                shards.append(known[number])
                num_kept += 1
                stack.close()
                records = None
            else:
                if records is None:
                    rest = itertools.islice(plan.utterances, done, None)
                    encoded = map_in_order(encode, rest, workers=config.data.num_workers)
                    records = counted(stack.enter_context(contextlib.closing(encoded)), done)
                shards.append(write_shard(folder.out, number, records, max_bytes=max_bytes))
                if number in damaged and shards[-1].num_records != known[number].num_records:
                    raise CorpusError(
                        f"{folder.out / known[number].file}: was damaged, and holds {shards[-1].num_records} records "
                        f"now, {known[number].num_records} before: the recordings have changed; start again in an "
                        "empty folder"
                    )
                folder.hand_over(shards[-1])
                folder.add_finished(shards[-1])
            done += shards[-1].num_records
    return shards, num_kept
