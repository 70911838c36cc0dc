"""The corpus doctor: reads every recording and transcript once and says what is wrong with which line.

Training follows the same rules (`examination`) and leaves out exactly the utterances that are named here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from speechgru.config import RunConfig
from speechgru.errors import UserError
from speechgru.examination import Examined, Problem, examine, make_vocabulary
from speechgru.manifest import read_manifest, write_manifest
from speechgru.progress import Progress, silent
from speechgru.text import Vocabulary


@dataclass(frozen=True)
class Findings:
    """What `check` found in one manifest."""

    manifest: Path
    usable: list[Examined]
    problems: list[Problem]

    @property
    def counts(self) -> dict[str, int]:
        """Problems by reason."""
        return dict(Counter(problem.reason for problem in self.problems))


def check(
    manifests: Sequence[str | Path],
    *,
    config: RunConfig | None = None,
    vocabulary: Vocabulary | None = None,
    out: str | Path | None = None,
    progress: Progress = silent,
) -> list[Findings]:
    """Examines manifests and, with `out`, writes their usable lines.

    Args:
        manifests: paths.
        config: the run they are meant for; the defaults when None.
        vocabulary: the characters a transcript may hold; by the configuration when None.
        out: the cleaned manifest to write when there is one manifest, or a folder to write each into by its name (a
            folder that is there already is taken as one for a single manifest too).
        progress: told after each utterance.

    Returns:
        The findings of each manifest.

    Raises:
        ManifestError: a manifest cannot be read, or a line is not an utterance.
        UserError: the cleaned manifests cannot all be written to `out`.
    """
    config = config or RunConfig()
    manifests = [Path(manifest) for manifest in manifests]
    targets = _targets(manifests, out) if out is not None else []
    findings = []
    for manifest in manifests:
        utterances = read_manifest(manifest)
        usable, problems = examine(
            utterances,
            config=config,
            vocabulary=vocabulary or make_vocabulary(config, utterances),
            progress=progress,
            stage=f"checking {manifest.name}",
        )
        findings.append(Findings(manifest, usable, problems))
    for found, target in zip(findings, targets, strict=False):  # no targets without `out`
        write_manifest(target, [examined.utterance for examined in found.usable])
    return findings


def _targets(manifests: Sequence[Path], out: str | Path) -> list[Path]:
    """Where each cleaned manifest goes; said before the long reading, so that none of it is in vain."""
    out = Path(out)
    if len(manifests) == 1 and not out.is_dir():
        return [out]
    names = [manifest.name for manifest in manifests]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{out}: {len(manifests)} manifests, and several are named {twice[0]}; clean one at a time")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; several cleaned manifests need a folder")
    return [out / name for name in names]
