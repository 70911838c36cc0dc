"""The shard job as an Apache Beam pipeline, for an engine that a company has: Dataflow, Flink, Spark.

An element is a part (`parts.Part`), and its work is what `speechgru shard --part` does, with all that it refuses and
resumes. The parts are merged when all are there, so the folder is, to the byte, what one machine writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speechgru.config.sections import RunConfig
from speechgru.errors import ConfigError, UserError
from speechgru.progress import Progress, silent
from speechgru.shards.merge import merge
from speechgru.shards.pack import ShardSummary, shard
from speechgru.shards.parts import Part
from speechgru.shards.records import Form


def shard_by_beam(
    manifests: Sequence[str | Path],
    out: str | Path,
    *,
    config: RunConfig,
    num_parts: int,
    form: Form = "samples",
    shard_megabytes: float = 128,
    options: Sequence[str] = (),
    progress: Progress = silent,
) -> ShardSummary:
    """Packs manifests by a Beam pipeline and merges the parts.

    Args:
        manifests, config, form, shard_megabytes: as for `shard`. The workers must see the manifests and recordings.
        out: the folder or store for the shards, which the workers and this process must see.
        num_parts: elements of the pipeline; several for each worker, so that a slow one does not keep all waiting.
        options: Beam's own, such as `--runner=DataflowRunner`; none runs it here.
        progress: called as the parts are merged.

    Returns:
        What the folder holds.

    Raises:
        ConfigError: `num_parts` is no number of parts.
        UserError: apache-beam is not installed, or a part cannot be packed.
    """
    if isinstance(num_parts, bool) or not isinstance(num_parts, int) or not 0 < num_parts < 100_000:
        raise ConfigError(f"num_parts must be a number from 1 to 99999, got {num_parts!r}")
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ModuleNotFoundError as error:
        raise UserError(f"a Beam pipeline needs {error.name}: pip install 'speechgru[beam]'") from error
    Part(1, num_parts).require_alone(config)
    job = {
        "manifests": [str(Path(manifest).absolute()) for manifest in manifests],
        "out": str(out),
        "config": config.model_dump(mode="json"),
        "form": form,
        "shard_megabytes": shard_megabytes,
    }
    try:
        with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
            numbers = pipeline | "parts" >> beam.Create([(number, num_parts) for number in range(1, num_parts + 1)])
            _ = numbers | "spread" >> beam.Reshuffle() | "pack" >> beam.Map(pack_part, job=job)
    except UserError:
        raise
    except Exception as error:  # Beam wraps what an element raises
        reason = str(error).strip().splitlines()
        raise UserError(f"{out}: the pipeline ended ({reason[0] if reason else error!r}); run it again") from error
    return merge(out, progress=progress)


def pack_part(place: tuple[int, int], *, job: dict[str, Any]) -> int:
    """An element's work: packs a part, or resumes it; gives the number of its records."""
    number, of = place
    summary = shard(
        job["manifests"],
        job["out"],
        config=RunConfig.model_validate(job["config"]),
        form=job["form"],
        shard_megabytes=job["shard_megabytes"],
        part=Part(number, of),
    )
    return summary.num_records
