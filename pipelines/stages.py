"""What the pipelines share: stages that are skipped when their outputs are there and their inputs have not changed."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

# TensorFlow's start-up chatter says nothing to a reader of the story; set before TensorFlow is loaded.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import soundfile
from rich.console import Console

from speechgru.audio.reading import read_recording
from speechgru.cli import show_progress
from speechgru.cli.tables import Table
from speechgru.files import sha256_of, write_json
from speechgru.progress import Pace, Progress, rough_duration
from speechgru.runs import RunFolder
from speechgru.runtime.transcription import transcribe
from speechgru.scoring.evaluation import evaluate
from speechgru.scoring.page import report_evaluation
from speechgru.scoring.trained_run import TrainedRun
from speechgru.utterances.check import check
from speechgru.utterances.manifest import read_manifest

if TYPE_CHECKING:
    from speechgru.config.sections import RunConfig
    from speechgru.decoding import DecodingOptions

#: Seconds of training after which the pace is that of the machine.
_SETTLED_SECONDS = 10.0


class Story:
    """The stages of one pipeline, printed to the terminal and recorded in `stages.json`.

    A stage is known by its inputs: the values it is given and the contents of the files it reads, and of the recordings
    that its manifests name. Code is not among them: after changing code, delete the folder (or the stage's outputs).

    Args:
        folder: where the pipeline writes everything.
    """

    def __init__(self, folder: Path):
        self.folder, self.console = folder, Console()
        self._file = folder / "stages.json"
        self._sums = Checksums(folder / "recordings.json")
        self._done: dict[str, Any] = json.loads(self._file.read_text()) if self._file.exists() else {}
        self._passed: list[str] = []  # the stages of this call, done now or before
        self._runs: dict[Path, TrainedRun] = {}

    def stage(
        self,
        name: str,
        work: Callable[[Progress], Any],
        *,
        inputs: Sequence[Any],
        outputs: Sequence[Path],
        folder: Path | None = None,
        resumes: bool = False,
    ) -> None:
        """Runs `work`, or skips it.

        Args:
            name: what the stage does, in a few words.
            work: the stage; gets a progress listener.
            inputs: paths of files (by content; of a manifest its recordings' too), a `Source`, and JSON-ready values
                that decide the outputs.
            outputs: the files or folders that `work` makes.
            folder: what the outputs are the visible part of, such as a corpus' folder: it is moved aside as one.
            resumes: whether `work` resumes where an interrupted one stopped, given the same inputs. Otherwise, and
                when its inputs have changed, old outputs are moved aside first and nothing is lost.
        """
        self._passed.append(name)
        fingerprint = hashlib.sha256(json.dumps([_identity(value) for value in inputs]).encode()).hexdigest()
        sounds = self._sums.of(inputs)
        before = self._done.get(name, {})
        same_sounds = before.get("recordings", sounds) == sounds  # what stages of before knew none of
        same = before.get("inputs") == fingerprint and same_sounds
        record: dict[str, Any] = {"inputs": fingerprint, "recordings": sounds, "finished": False}
        if same and before.get("finished") and all(output.exists() for output in outputs):
            self.console.print(f"[dim]{name}: already done[/]")
            if before.get("recordings") != sounds:
                self._record(name, before | {"recordings": sounds})
            return
        why = "its inputs have changed" if same_sounds else "recordings that it was made from have changed"
        if not same and folder is not None and folder.exists():
            self._move_aside(folder, f"{why if before else 'it was there before'}; another --out keeps both apart")
        elif not (same and resumes):
            for output in outputs:
                if output.is_dir():
                    self._move_aside(output, why)
                elif before and not same and output.exists():
                    self.print(f"{output}: {why}; it is written anew")
        self._record(name, record)
        self.console.rule(f"[bold]{name}", align="left")
        started, computed = time.monotonic(), _processor_seconds()
        with show_progress() as progress:
            work(progress)
        seconds = time.monotonic() - started
        done = {"finished": True, "seconds": round(seconds, 1)}
        self._record(name, record | done | {"processor_seconds": round(_processor_seconds() - computed, 1)})
        self.console.print(f"[dim]{name}: {seconds:.0f} s[/]")

    def open_run(self, run: Path) -> TrainedRun:
        """A trained run, loaded once for all stages that need its weights, and not before one does."""
        return self._runs.setdefault(run, TrainedRun(run))

    def check(self, manifests: Sequence[Path], config: RunConfig, *, clean: Path, report: Path) -> None:
        """Checks every recording and transcript, writes the page and prints what was found."""

        def work(progress: Progress) -> None:
            findings = check(manifests, config=config, out=clean, report=report, progress=progress)
            problems, suspicions = (
                sum((Counter(getattr(found, counts)) for found in findings), Counter[str]())
                for counts in ("counts", "suspicion_counts")
            )
            total = sum(found.facts.num_utterances for found in findings)
            self.print(f"{total:,} recordings: {_listed(problems, 'problem')}, {_listed(suspicions, 'suspicion')}")

        self.stage(
            "check it",
            work,
            inputs=[*manifests, config.model_dump(mode="json")],
            outputs=[clean, report / "check.html"],
        )

    def follow(self, run: Path, page: Path, progress: Progress, *, title: str) -> dict[str, Any]:
        """What makes a training show its results while it goes on: arguments of `train`.

        Once the machine's pace is known, a line says how long training will take. After each evaluation a transcript is
        printed, and the page, there from the first one on, is written again.
        """
        import keras

        from speechgru.train.page import report_run

        def announce(seconds: float) -> None:
            self.print(f"training: about {rough_duration(seconds)} to go on this machine, then scores and export")

        def after_evaluation(_epoch: int, _logs: Any = None) -> None:
            record = [record for record in RunFolder(run).read_history() if record["kind"] == "dev"][-1]
            report_run(run, page, title=title, num_pictures=0, notes=["Training is in progress."])
            self.print(f"step {record['step']:,}: word error rate {record['wer']:.1%} on unknown voices, such as")
            self.print("reference   {reference}\nhypothesis  {hypothesis}".format(**record["example"]))
            self.print(f"report   {page}")

        return {
            "progress": _announcing(progress, announce, stage="training"),
            "callbacks": [keras.callbacks.LambdaCallback(on_epoch_end=after_evaluation)],
        }

    def evaluate(
        self,
        recogniser: Path,
        manifest: Path,
        out: Path,
        *,
        name: str,
        form: str | None = None,
        decoding: DecodingOptions | None = None,
        negatives: Sequence[Path] = (),
    ) -> dict[str, Any]:
        """Scores a run's best weights, or one form of a bundle, and gives the record, which is kept in `out`.

        With manifests of `negatives` it counts there what is accepted that nobody said.

        Beside it stands a page of the same name that shows the errors.
        """
        best = RunFolder(recogniser).best
        page = out.with_suffix(".html")

        def work(progress: Progress) -> None:
            trained = self.open_run(recogniser) if best.exists() else None
            record = evaluate(
                trained or recogniser,
                manifest,
                form=form,
                name=name,
                decoding=decoding,
                negatives=negatives,
                progress=progress,
            )
            write_json(out, record)
            report_evaluation(record, page, probe=trained and trained.probe)

        self.stage(
            f"evaluate: {name}",
            work,
            inputs=[
                best if best.exists() else recogniser,
                manifest,
                form,
                name,
                *([decoding.as_record()] if decoding else []),
                *negatives,
            ],
            outputs=[out, page],
        )
        return json.loads(out.read_text())

    def transcribe(
        self, recogniser: Path, manifest: Path, out: Path, *, count: int, decoding: DecodingOptions | None = None
    ) -> list[tuple[str, str]]:
        """Transcribes a few of a manifest's recordings by a bundle, as a device would; gives references and hypotheses.

        A run that was not exported is a recogniser too.

        The recordings are written as files of their own, to play and to try: `1.wav` and so on, in the folder
        `examples` beside `out`.
        """
        best = RunFolder(recogniser).best
        utterances = read_manifest(manifest)
        chosen = utterances[:: max(1, len(utterances) // count)][:count]
        paths = [out.parent / "examples" / f"{number}.wav" for number in range(1, len(chosen) + 1)]

        def work(progress: Progress) -> None:
            paths[0].parent.mkdir(exist_ok=True)
            for utterance, path in zip(chosen, paths, strict=True):
                recording = read_recording(
                    utterance.audio_filepath, offset=utterance.offset, duration=utterance.duration or None
                )
                soundfile.write(path, recording.samples_N, recording.sample_rate, subtype="PCM_16")
            opened: Any = recogniser
            if best.exists():
                from speechgru.export.running import open_recognizer

                opened = open_recognizer(recogniser)
            write_json(out, transcribe(opened, paths, decoding=decoding, progress=progress))

        self.stage(
            f"transcribe {count} recordings",
            work,
            inputs=[
                best if best.exists() else recogniser,
                manifest,
                count,
                *([decoding.as_record()] if decoding else []),
            ],
            outputs=[out, *paths],
        )
        hypotheses = [record["text"] for record in json.loads(out.read_text())]
        return [(utterance.text, text) for utterance, text in zip(chosen, hypotheses, strict=True)]

    def print_results(self, scores: Sequence[dict[str, Any]], transcripts: Sequence[tuple[str, str]]) -> None:
        """Prints the scores of each form, and references beside hypotheses."""
        table = Table("", "WER", "95 % interval", "CER", "kB", "real-time factor", title="Results")
        for record in scores:
            low, high = record["wer_interval"]
            size = f"{record['size_bytes'] / 1000:,.0f}" if record["size_bytes"] else "–"
            table.add_row(
                record["name"],
                f"{record['wer']:.2%}",
                f"{low:.2%} to {high:.2%}",
                f"{record['cer']:.2%}",
                size,
                f"{record['rtf']:.4f}",
            )
        self.console.print(table)
        for reference, hypothesis in transcripts:
            self.print(f"reference   {reference}\nhypothesis  {hypothesis}")

    def print_table(self, headings: Sequence[str], rows: Sequence[Sequence[str]], *, title: str) -> None:
        """Prints a table."""
        table = Table(*headings, title=title)
        for row in rows:
            table.add_row(*row)
        self.console.print(table)

    def print_stages(self) -> None:
        """Prints how long each stage took, now or when it was run, and how many processors it kept busy."""
        records = [(name, self._done[name]) for name in self._passed]
        rows = [(name, record["seconds"], record.get("processor_seconds")) for name, record in records]
        total = sum(seconds for _, seconds, _ in rows)
        table = Table("stage", "s", "cores", title="Time")
        for name, seconds, computed in (*rows, ("all", total, None)):
            cores = "" if computed is None or not seconds else f"{computed / seconds:.1f}"
            table.add_row(name, f"{seconds:.1f}", cores)
        self.console.print(table)

    def print_paths(self, report: Path, errors: Path, bundle: Path, *, has_grammar: bool = False) -> None:
        """Prints where to look and what to type next; with a grammar in the bundle, how to see intents."""
        command = os.path.relpath(Path(sys.executable).with_name("speechgru"))
        examples = self.folder / "examples"
        self.print(f"report   {report}\nerrors   {errors}\nbundle   {bundle}\nexamples {examples}")
        self.print(f"try it   {command} transcribe {bundle} {examples / '1.wav'}")
        if has_grammar:
            self.print(f"intents  {command} transcribe {bundle} {examples / '1.wav'} --grammar --json")

    def print(self, line: str) -> None:
        """Prints a line."""
        self.console.print(line, highlight=False, soft_wrap=True)

    def _record(self, name: str, record: dict[str, Any]) -> None:
        self._done[name] = record
        write_json(self._file, self._done)

    def _move_aside(self, output: Path, why: str) -> None:
        number = 1
        while (target := output.with_name(f"{output.name}.old{number}")).exists():
            number += 1
        output.rename(target)
        self.print(f"{output}: the old one is kept as {target.name}, because {why}")


@dataclass(frozen=True)
class Source:
    """A folder of recordings that a stage reads, as an input: by its name, and by the contents of its recordings.

    Args:
        path: the folder; None where the stage downloads them.
    """

    path: Path | None

    def recordings(self) -> list[Path]:
        """The files in it, in order."""
        return sorted(file for file in self.path.rglob("*") if file.is_file()) if self.path else []


class Checksums:
    """Checksums of recordings, kept in a file: each is read once, and again when its size or time has changed.

    Args:
        file: where they are kept.
    """

    def __init__(self, file: Path):
        self._file = file
        try:
            known = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = None
        self._known: dict[str, list[int]] = known if isinstance(known, dict) else {}

    def of(self, inputs: Sequence[Any]) -> str | None:
        """What tells the recordings behind a stage's inputs from others; None where there are none."""
        before = dict(self._known)
        sums = [self._sum(path) for value in inputs for path in _recordings_of(value)]
        if self._known != before:
            write_json(self._file, self._known)
        return hashlib.sha256(json.dumps(sums).encode()).hexdigest() if sums else None

    def _sum(self, path: Path) -> list[int]:
        """Size and checksum of a recording; none of a missing one."""
        try:
            status = path.stat()
            known = self._known.get(str(path))
            if known is None or known[:2] != [status.st_size, status.st_mtime_ns]:
                with path.open("rb") as stream:
                    checksum = functools.reduce(lambda sum, block: zlib.crc32(block, sum), _blocks(stream), 0)
                known = self._known[str(path)] = [status.st_size, status.st_mtime_ns, checksum]
        except OSError:
            return []
        return [known[0], known[2]]


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: stream.read(1 << 20), b"")


def _recordings_of(value: Any) -> list[Path]:
    """The recordings behind an input of a stage, in order, each once."""
    if isinstance(value, Source):
        return value.recordings()
    if not isinstance(value, Path) or value.suffix != ".jsonl" or not value.is_file():
        return []
    utterances = read_manifest(value, needs_text=False)
    return [Path(name) for name in dict.fromkeys(utterance.audio_filepath for utterance in utterances)]


def _announcing(progress: Progress, announce: Callable[[float], None], *, stage: str) -> Progress:
    """Passes progress on, and announces once how many seconds a stage has to go."""
    pace, began = Pace(), 0.0
    is_announced = False

    def report(name: str, done: int, total: int, note: str = "") -> None:
        nonlocal began, is_announced
        progress(name, done, total, note)
        if name != stage or is_announced:
            return
        now = time.monotonic()
        began = began or now
        left = pace.seconds_left(done, total, now=now)
        if left is not None and now - began >= _SETTLED_SECONDS:
            is_announced = True
            announce(left)

    return report


def _listed(counts: Counter[str], what: str) -> str:
    """How many problems or suspicions there are, and which."""
    total = sum(counts.values())
    kinds = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
    return f"{total or 'no'} {what}{'' if total == 1 else 's'}" + (f" ({kinds})" if kinds else "")


def _processor_seconds() -> float:
    """Processor time of this process and of the children that have ended."""
    return sum(os.times()[:4])


def _identity(value: Any) -> Any:
    """A path stands for its contents, anything else for itself."""
    if isinstance(value, Source):
        return str(value.path)
    if not isinstance(value, Path):
        return value
    if value.is_dir():
        return {
            file.relative_to(value).as_posix(): sha256_of(file) for file in sorted(value.rglob("*")) if file.is_file()
        }
    return sha256_of(value)
