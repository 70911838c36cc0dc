"""What packing a corpus has to do, and what of it is done."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from speechgru import jsonlines
from speechgru.config.differences import find_differences
from speechgru.config.sections import RunConfig
from speechgru.errors import ConfigError, CorpusError, UserError
from speechgru.files import atomic_path, open_file, read_text, write_json
from speechgru.progress import Progress
from speechgru.shards.folder import damage_of, read_summary
from speechgru.shards.parts import Part
from speechgru.shards.places import SHARDS
from speechgru.shards.records import SUMMARY_NAME, ShardFile
from speechgru.shards.settings import complete_settings
from speechgru.stores import Store
from speechgru.text import Vocabulary
from speechgru.utterances.examination import examine, make_vocabulary
from speechgru.utterances.manifest import Utterance

#: The plan of a part that is finished.
PLAN_NAME = "plan.jsonl"
#: What an atomic writer leaves in the folder when it is killed.
_LEFTOVER = re.compile(
    r"\.(shard-\d+(\.index)?|shards|skipped|plan|job|finished)\.\w{8}(\.speechgru-unfinished)?\.(tfrecord|npy|json|jsonl)"
)


@dataclass(frozen=True)
class Planned:
    """An utterance to pack."""

    utterance: Utterance
    labels: tuple[int, ...]
    num_samples: int


@dataclass(frozen=True)
class Plan:
    """What to pack, in order; kept in the folder while the job is unfinished, so that it is read only once."""

    utterances: list[Planned]
    vocabulary: Vocabulary
    num_skipped: int
    sha256: str


class Job:
    """The state of a job in its folder.

    `unfinished/` holds `job.json` (what is asked for), `plan.jsonl` (what to pack) and `finished.jsonl` (a line for
    each finished shard); it goes when `shards.json` is there.
    """

    def __init__(self, out: Path, job: dict[str, Any], *, store: Store | None = None):
        self.out, self.job, self._store = out, job, store
        #: Where the finished shards lie.
        self.place: str | Path = out if store is None else store.url
        self._work = out / "unfinished"
        self._job_path, self._plan_path = self._work / "job.json", self._work / PLAN_NAME
        self._finished_path = self._work / "finished.jsonl"
        self.is_finished = store.size(SUMMARY_NAME) is not None if store else (out / SUMMARY_NAME).exists()
        self._plan_sha256: str | None = None
        for path in out.iterdir():
            if _LEFTOVER.fullmatch(path.name):
                path.unlink()

    def known_shards(self, progress: Progress) -> tuple[list[ShardFile], set[int]]:
        """The shards that an earlier run finished, and the numbers of those that are damaged since.

        Raises:
            ConfigError: the folder holds another job.
        """
        if self.is_finished:
            summary = read_summary(self.place)
            self._refuse_other_job(summary)
            self._plan_sha256 = summary["plan_sha256"]
            shards = [ShardFile(**fields) for fields in summary["shards"]]
        elif self._job_path.exists():
            self._refuse_other_job(self._read_job())
            shards = self._read_finished()
        else:
            if not self._store and any(self.out.glob(SHARDS)):
                raise ConfigError(
                    f"{self.out}: holds shards of a job that is not known (no {SUMMARY_NAME}, no {self._job_path.name} "
                    f"in {self._work.name}/); choose another --out, or empty the folder"
                )
            shards = []
        damaged: set[int] = set()
        note = ""
        for number, shard in enumerate(shards):
            damage = self._damage_of(shard)
            if damage is not None:
                damaged.add(number)
                note = f"{len(damaged)} to write anew, the last because: {damage}"
            progress("verifying finished shards", number + 1, len(shards), note)
        return shards, damaged

    def read_plan(self, utterances: Sequence[Sequence[Utterance]]) -> Plan | None:
        """The plan that an earlier run made; None where there is none."""
        if not self._job_path.exists():
            return None
        stored = self._read_job()
        by_line = [{utterance.line: utterance for utterance in lines} for lines in utterances]
        planned, digest = [], hashlib.sha256()
        with open_file(self._plan_path) as stream:
            for line in stream:
                digest.update(line)
                manifest, number, num_samples, labels = json.loads(line)
                planned.append(Planned(by_line[manifest][number], tuple(labels), num_samples))
        if digest.hexdigest() != stored["plan_sha256"]:
            raise CorpusError(f"{self._plan_path}: is damaged (its SHA-256 is wrong); start again in an empty folder")
        return Plan(planned, Vocabulary.from_record(stored["vocabulary"]), stored["num_skipped"], stored["plan_sha256"])

    def make_plan(
        self,
        manifests: Sequence[Path],
        utterances: Sequence[Sequence[Utterance]],
        held_out: Sequence[Utterance],
        config: RunConfig,
        progress: Progress,
        part: Part | None = None,
    ) -> Plan:
        """Examines all utterances, or a part's; writes `skipped.jsonl`, the plan, and last `job.json`: the job begins.

        Raises:
            UserError: more utterances cannot be used than `data.max_skipped_share` allows.
            CorpusError: shards are to be written anew, and the recordings are no longer those that they hold.
        """
        vocabulary = make_vocabulary(config, [utterance for lines in utterances for utterance in lines])
        planned: list[Planned] = []
        problems: list[dict[str, object]] = []
        digest = hashlib.sha256()
        with atomic_path(self._plan_path) as temporary, open(temporary, "wb") as stream:
            lines_of = utterances if part is None else part.share(utterances)
            for number, (manifest, lines) in enumerate(zip(manifests, lines_of, strict=True)):
                usable, left_out = examine(
                    lines,
                    config=config,
                    vocabulary=vocabulary,
                    progress=progress,
                    stage=f"reading {manifest.name}",
                    held_out=held_out,
                )
                problems += [problem.as_record(manifest) for problem in left_out]
                for examined in usable:
                    planned.append(Planned(examined.utterance, tuple(examined.labels), examined.num_samples))
                    fields = [number, examined.utterance.line, examined.num_samples, list(examined.labels)]
                    line = json.dumps(fields, separators=(",", ":")).encode() + b"\n"
                    digest.update(line)
                    stream.write(line)
        jsonlines.write_lines(self.out / "skipped.jsonl", problems)
        if part is None:  # else the parts together are asked, when they are merged
            refuse_too_few(len(planned), problems, config.data.max_skipped_share, where=self.out / "skipped.jsonl")
        sha256 = digest.hexdigest()
        if self._plan_sha256 not in (None, sha256):
            raise CorpusError(
                f"{self.out}: has damaged shards, and the recordings have changed since they were packed, so that "
                "they cannot be mended; pack into another --out"
            )
        kept = {"vocabulary": vocabulary.as_record(), "num_skipped": len(problems), "plan_sha256": sha256}
        write_json(self._job_path, {**self.job, **kept})
        return Plan(planned, vocabulary, len(problems), sha256)

    def _damage_of(self, shard: ShardFile) -> str | None:
        """What is wrong with a shard; of one on a store by its size, as reading all of them back would take as long."""
        if self._store is None:
            return damage_of(self.out, shard)
        size = self._store.size(shard.file)
        index = self._store.size(shard.index)
        if size == shard.size_bytes and index is not None:
            return None
        return f"{self.place}/{shard.file}: has {size or 0:,} bytes, not {shard.size_bytes:,}, or lacks its index"

    def require_writable(self) -> None:
        """Writes an empty `skipped.jsonl` to a store, so that a job of hours hears at once what it may not do.

        Raises:
            UserError: the store refuses, or has no such place.
        """
        if self._store is not None and not self.is_finished:
            jsonlines.write_lines(self.out / "skipped.jsonl", [])
            self._store.put(self.out / "skipped.jsonl", "skipped.jsonl")

    def hand_over(self, shard: ShardFile) -> None:
        """Moves a shard that was just written to the store, where there is one; its index stays here, too."""
        if self._store is not None:
            self._store.put(self.out / shard.index, shard.index)
            self._store.put(self.out / shard.file, shard.file)
            (self.out / shard.file).unlink()

    def finish(self) -> None:
        """Puts the summary where the shards are, last, which makes them finished ones; drops the state of the job."""
        if self._store is not None:
            self._store.put(self.out / "skipped.jsonl", "skipped.jsonl")
            self._store.put(self.out / SUMMARY_NAME, SUMMARY_NAME)
        self.clean()

    def fetch_index(self, shard: ShardFile) -> None:
        """Brings the index of a shard that was there before to this machine, for the summary."""
        if self._store is not None and not (self.out / shard.index).exists():
            content = self._store.read(shard.index)
            with atomic_path(self.out / shard.index) as temporary:
                temporary.write_bytes(content)

    def add_finished(self, shard: ShardFile) -> None:
        """Notes a shard as finished, to stay so after a crash."""
        jsonlines.append(self._finished_path, asdict(shard), durable=True)

    def clean(self) -> None:
        """Drops the state of a job that is finished; of one on a store all that is here.

        A folder of that name may hold what is somebody else's, which stays.
        """
        with contextlib.suppress(OSError):  # there is none, or it holds something else
            for path in self._work.iterdir():
                if path in (self._job_path, self._plan_path, self._finished_path) or _LEFTOVER.fullmatch(path.name):
                    path.unlink()
            self._work.rmdir()
        if self._store is not None:
            for path in self.out.iterdir():
                if path.name in (SUMMARY_NAME, PLAN_NAME, "skipped.jsonl") or path.match("shard-*"):
                    path.unlink()

    def _read_job(self) -> dict[str, Any]:
        try:
            return json.loads(read_text(self._job_path))
        except ValueError as error:
            raise CorpusError(f"{self._job_path}: is damaged ({error}); start again in an empty folder") from error

    def _read_finished(self) -> list[ShardFile]:
        """The noted shards from the first on without a gap; of one noted twice the later note."""
        noted: dict[str, ShardFile] = {}
        for record in jsonlines.read_records(self._finished_path):
            with contextlib.suppress(TypeError):  # not a shard's fields
                shard = ShardFile(**record)
                noted[shard.file] = shard
        names = (f"shard-{number:05d}.tfrecord" for number in itertools.count())
        return [noted[name] for name in itertools.takewhile(noted.__contains__, names)]

    def _refuse_other_job(self, stored: dict[str, Any]) -> None:
        # What the folder knows beyond what was asked for, such as the number of its records, is not compared.
        there, here = (
            {**{key: job.get(key) for key in self.job if key != "settings"}, **complete_settings(job)}
            for job in (stored, self.job)
        )
        changed = find_differences(there, here)
        if changed:
            raise ConfigError(
                f"{self.place}: holds {'shards' if self.is_finished else 'unfinished shards'} of another command: "
                f"{'; '.join(map(str, changed))}; give the same to resume it, or choose another --out"
            )

    def keep_plan(self) -> None:
        """Keeps the plan of a part beside its shards: merging makes the checksum of the whole plan of it."""
        with atomic_path(self.out / PLAN_NAME) as temporary:
            shutil.copyfile(self._plan_path, temporary)
        if self._store is not None:
            self._store.put(self.out / PLAN_NAME, PLAN_NAME)


def refuse_too_few(
    num_planned: int, problems: Sequence[dict[str, Any]], max_skipped_share: float, *, where: str | Path
) -> None:
    """Refuses a corpus of which too much cannot be used.

    Args:
        num_planned: usable utterances.
        problems: a record for each of the others, as `skipped.jsonl` has them.
        max_skipped_share: of all, as the configuration has it.
        where: the file that lists them.

    Raises:
        UserError: names their number and the first of them.
    """
    total = num_planned + len(problems)
    if num_planned and len(problems) / total <= max_skipped_share:
        return
    first = "\n".join(f"  {record['message']}" for record in problems[:5])
    raise UserError(
        f"{len(problems)} of {total} utterances cannot be used, more than data.max_skipped_share "
        f"({max_skipped_share:g}) allows; {where} lists all:\n{first}"
    )
