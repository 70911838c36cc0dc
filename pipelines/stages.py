"""What the pipelines share: stages that are skipped when their outputs are there and their inputs have not changed."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# TensorFlow's start-up chatter says nothing to a reader of the story; set before TensorFlow is loaded.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rich.console import Console
from rich.table import Table

from speechgru.cli import show_progress
from speechgru.files import sha256_of, write_json
from speechgru.progress import Progress
from speechgru.runtime.transcription import transcribe
from speechgru.scoring.evaluation import evaluate
from speechgru.scoring.page import report_evaluation
from speechgru.utterances.manifest import read_manifest


class Story:
    """The stages of one pipeline, printed to the terminal and recorded in `stages.json`.

    A stage is known by its inputs: the values it is given and the contents of the files it reads. Code is not among
    them: after changing code, delete the folder (or the stage's outputs).

    Args:
        folder: where the pipeline writes everything.
    """

    def __init__(self, folder: Path):
        self.folder, self.console = folder, Console()
        self._file = folder / "stages.json"
        self._done: dict[str, Any] = json.loads(self._file.read_text()) if self._file.exists() else {}

    def stage(
        self,
        name: str,
        work: Callable[[Progress], Any],
        *,
        inputs: Sequence[Any],
        outputs: Sequence[Path],
        resumes: bool = False,
    ) -> None:
        """Runs `work`, or skips it.

        Args:
            name: what the stage does, in a few words.
            work: the stage; gets a progress listener.
            inputs: paths of files (by content) and JSON-ready values that decide the outputs.
            outputs: the files or folders that `work` makes.
            resumes: whether `work` resumes where an interrupted one stopped, given the same inputs. Otherwise, and
                when its inputs have changed, old outputs are moved aside first and nothing is lost.
        """
        fingerprint = hashlib.sha256(json.dumps([_identity(value) for value in inputs]).encode()).hexdigest()
        before = self._done.get(name, {})
        same = before.get("inputs") == fingerprint
        if same and before.get("finished") and all(output.exists() for output in outputs):
            self.console.print(f"[dim]{name}: already done[/]")
            return
        if not (same and resumes):
            for output in outputs:
                if output.is_dir():
                    self._move_aside(output)
        self._done[name] = {"inputs": fingerprint, "finished": False}
        write_json(self._file, self._done)
        self.console.rule(f"[bold]{name}", align="left")
        started = time.monotonic()
        with show_progress() as progress:
            work(progress)
        seconds = time.monotonic() - started
        self._done[name] = {"inputs": fingerprint, "finished": True, "seconds": round(seconds, 1)}
        write_json(self._file, self._done)
        self.console.print(f"[dim]{name}: {seconds:.0f} s[/]")

    def evaluate(
        self, recogniser: Path, manifest: Path, out: Path, *, name: str, form: str | None = None
    ) -> dict[str, Any]:
        """Scores a run's best weights, or one form of a bundle, and gives the record, which is kept in `out`.

        Beside it stands a page of the same name that shows the errors.
        """
        best = recogniser / "checkpoints" / "best.npz"
        page = out.with_suffix(".html")

        def work(progress: Progress) -> None:
            record = evaluate(recogniser, manifest, form=form, name=name, progress=progress)
            write_json(out, record)
            report_evaluation(record, page)

        self.stage(
            f"evaluate: {name}",
            work,
            inputs=[best if best.exists() else recogniser, manifest, form, name],
            outputs=[out, page],
        )
        return json.loads(out.read_text())

    def transcribe(self, bundle: Path, manifest: Path, out: Path, *, count: int) -> list[tuple[str, str]]:
        """Transcribes a few of a manifest's recordings as a device would; gives references and hypotheses."""
        utterances = read_manifest(manifest)
        chosen = utterances[:: max(1, len(utterances) // count)][:count]
        paths = [utterance.audio_filepath for utterance in chosen]
        self.stage(
            f"transcribe {count} recordings",
            lambda progress: write_json(out, transcribe(bundle, paths, progress=progress)),
            inputs=[bundle, manifest, count],
            outputs=[out],
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

    def print_paths(self, report: Path, errors: Path, bundle: Path) -> None:
        """Prints where to look and what to type next."""
        command = os.path.relpath(Path(sys.executable).with_name("speechgru"))
        self.print(f"report   {report}\nerrors   {errors}\nbundle   {bundle}")
        self.print(f"try it   {command} transcribe {bundle} RECORDING.wav")

    def print(self, line: str) -> None:
        """Prints a line."""
        self.console.print(line, highlight=False, soft_wrap=True)

    def _move_aside(self, output: Path) -> None:
        number = 1
        while (target := output.with_name(f"{output.name}.old{number}")).exists():
            number += 1
        output.rename(target)
        self.print(f"{output}: its inputs have changed; the old one is kept as {target.name}")


def _identity(value: Any) -> Any:
    """A path stands for its contents, anything else for itself."""
    if not isinstance(value, Path):
        return value
    if value.is_dir():
        return {
            file.relative_to(value).as_posix(): sha256_of(file) for file in sorted(value.rglob("*")) if file.is_file()
        }
    return sha256_of(value)
