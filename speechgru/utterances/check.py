"""The corpus doctor: reads every recording and transcript once and reports what is wrong with which line.

Training follows the same rules (`examination`) and leaves out exactly the utterances that are named here as problems.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from speechgru.config.sections import RunConfig
from speechgru.errors import TextError, UserError
from speechgru.files import require_file_place, require_own_folder, write_json
from speechgru.progress import Progress, silent
from speechgru.text import Vocabulary
from speechgru.utterances.case import Case, HeldOut
from speechgru.utterances.check_page import write_corpus_report
from speechgru.utterances.examination import Examined, Problem, iterate_cases, judge, make_vocabulary
from speechgru.utterances.facts import Facts, gather_facts, histograms, shared_facts
from speechgru.utterances.manifest import Utterance, read_manifest, write_manifest
from speechgru.utterances.measurement import MEASUREMENTS_NAME, MeasurementLog, measurement_files
from speechgru.utterances.rules import require_known

#: What manifests of a split are usually called, in the order of what may be learnt from.
_SPLITS = (
    {"train", "training"},
    {"dev", "development", "valid", "validation", "val"},
    {"test", "testing", "eval", "evaluation"},
)


@dataclass(frozen=True)
class Findings:
    """What `check` found in one manifest.

    Args:
        manifest: the manifest.
        usable: the utterances that training would use.
        problems: why each of the others is left out: one a line.
        suspicions: what else is suspected, of lines that are used and of lines that are left out.
        facts: what the manifest holds.
        shared: what it has in common with each manifest that is held out from it: `manifest`, and the fields of
            `corpus_facts.shared_facts`. No line is at fault for it.
    """

    manifest: Path
    usable: list[Examined]
    problems: list[Problem]
    suspicions: list[Problem]
    facts: Facts = field(repr=False)
    shared: list[dict[str, Any]]

    @property
    def counts(self) -> dict[str, int]:
        """Problems by reason."""
        return dict(Counter(problem.reason for problem in self.problems))

    @property
    def suspicion_counts(self) -> dict[str, int]:
        """Suspicions by reason."""
        return dict(Counter(suspicion.reason for suspicion in self.suspicions))

    def as_record(self) -> dict[str, Any]:
        """The findings as JSON-ready fields, without the facts."""
        return {
            "manifest": str(self.manifest),
            "usable": len(self.usable),
            "counts": self.counts,
            "suspicion_counts": self.suspicion_counts,
            "problems": [problem.as_record(self.manifest) for problem in self.problems],
            "suspicions": [suspicion.as_record(self.manifest) for suspicion in self.suspicions],
            "shared": self.shared,
        }


def check(
    manifests: Sequence[str | Path],
    *,
    config: RunConfig | None = None,
    vocabulary: Vocabulary | None = None,
    out: str | Path | None = None,
    report: str | Path | None = None,
    progress: Progress = silent,
) -> list[Findings]:
    """Examines manifests; writes their usable lines and a report where asked to.

    Recordings that were measured as they were made (`speechgru prepare synthetic`) are not read again, as long as their
    files have not changed.

    Manifests are distinguished by the split in their names (train, dev, test), else by their order: what is held out
    comes later. A recording that is learnt from and held out is suspected where it is learnt from.

    Args:
        manifests: paths.
        config: the run they are meant for; the defaults when None.
        vocabulary: the characters a transcript may hold; by the configuration when None, where `auto` means those of
            the training manifests, if there are such by their names, and else each manifest's own.
        out: the cleaned manifest to write when there is one manifest, or a folder to write each into by its name (a
            folder that exists already is filled so for a single manifest too). Beside it stands what was left
            out, in a manifest whose name ends in `.quarantine`, each line with its `reasons`.
        report: a folder for `check.html`, `check.json` and `measurements.jsonl`. With it an interrupted check resumes
            where it stopped, and a second one reads only what has changed.
        progress: called after each utterance.

    Returns:
        The findings of each manifest.

    Raises:
        ManifestError: a manifest cannot be read, or a line is not an utterance.
        ConfigError: `check.leave_out` names what no rule suspects.
        UserError: the cleaned manifests or the report cannot all be written.
    """
    config = config or RunConfig()
    require_known(config.check)
    paths = [Path(manifest) for manifest in manifests]
    if report is not None:
        require_own_folder(report, kind="the report")
    targets = _targets(paths, out) if out is not None else []
    earlier = [_left_out_before(target, paths) for target in targets]
    lines = [read_manifest(manifest) for manifest in paths]
    vocabularies = [vocabulary] * len(paths) if vocabulary else _vocabularies(config, paths, lines)
    own_log = None if report is None else Path(report) / MEASUREMENTS_NAME
    with MeasurementLog(own_log, known=measurement_files(paths)) as log:
        cases = [
            list(
                iterate_cases(
                    utterances,
                    config=config,
                    vocabulary=characters,
                    progress=progress,
                    stage=f"checking {manifest.name}",
                    log=log,
                )
            )
            for manifest, utterances, characters in zip(paths, lines, vocabularies, strict=True)
        ]
    findings = _judge_manifests(paths, cases)
    for found, target, before in zip(findings, targets, earlier, strict=False):  # no targets without `out`
        write_manifest(_quarantine_of(target), [*before, *_quarantined(found)])  # first: they stand nowhere else
        write_manifest(target, (_without_reasons(examined.utterance) for examined in found.usable))
    if report is not None:
        record = _report_record(findings, config)
        write_json(Path(report) / "check.json", record)
        write_corpus_report(Path(report) / "check.html", record)
    return findings


def _judge_manifests(manifests: Sequence[Path], cases: Sequence[Sequence[Case]]) -> list[Findings]:
    facts = [gather_facts(lines) for lines in cases]
    recordings = (
        [HeldOut(manifest.name, lines) for manifest, lines in zip(manifests, cases, strict=True)]
        if len(manifests) > 1
        else []
    )
    findings = []
    for index, manifest in enumerate(manifests):
        held_out = [other for other in range(len(manifests)) if _is_held_out(other, index, manifests)]
        judgements = judge(cases[index], held_out=[recordings[other] for other in held_out])
        findings.append(
            Findings(
                manifest=manifest,
                usable=[judgement.examined() for judgement in judgements if judgement.problem is None],
                problems=[judgement.problem for judgement in judgements if judgement.problem is not None],
                suspicions=[suspicion for judgement in judgements for suspicion in judgement.suspicions],
                facts=facts[index],
                shared=[
                    {"manifest": str(manifests[other])}
                    | shared_facts(facts[index], cases[index], facts[other], recordings[other])
                    for other in held_out
                ],
            )
        )
    return findings


def _is_held_out(other: int, index: int, manifests: Sequence[Path]) -> bool:
    """Whether what one manifest holds must not be learnt from another: by the splits in their names, or the order."""
    if manifests[other].absolute() == manifests[index].absolute():
        return False
    split, other_split = _split_of(manifests[index]), _split_of(manifests[other])
    if split is None or other_split is None:
        return other > index
    return other_split > split


def is_test(manifest: str | Path) -> bool:
    """Whether a manifest is a test set, by its name.

    >>> is_test("data/mine/test.jsonl"), is_test("data/contest.jsonl")
    (True, False)
    """
    return _split_of(Path(manifest)) == len(_SPLITS) - 1


def _split_of(manifest: Path) -> int | None:
    """Which of `_SPLITS` a manifest's name contains, or None."""
    words = set(re.split(r"[^a-z]+", manifest.name.lower()))
    return next((rank for rank, names in enumerate(_SPLITS) if words & names), None)


def _vocabularies(
    config: RunConfig, manifests: Sequence[Path], lines: Sequence[Sequence[Utterance]]
) -> list[Vocabulary]:
    training = [
        utterance
        for manifest, utterances in zip(manifests, lines, strict=True)
        if _split_of(manifest) == 0
        for utterance in utterances
    ]
    return [_vocabulary_of(config, training or utterances) for utterances in lines]


def _vocabulary_of(config: RunConfig, utterances: Sequence[Utterance]) -> Vocabulary:
    try:
        return make_vocabulary(config, utterances)
    except TextError:
        is_given = config.text.characters != "auto" and config.text.words != "auto"
        if is_given or (config.text.unit == "subword" and any(config.text.normalize(one.text) for one in utterances)):
            raise
        return Vocabulary("a")  # nothing is said in any of them, as in negatives, so that no label is asked for


def _quarantined(found: Findings) -> Iterable[Utterance]:
    """The lines that were left out, with all problems and suspicions of them."""
    reasons: dict[int, list[dict[str, str]]] = defaultdict(list)
    for accusation in (*found.problems, *found.suspicions):
        reasons[accusation.utterance.line].append({"reason": accusation.reason, "message": accusation.message})
    for problem in found.problems:
        utterance = _without_reasons(problem.utterance)
        yield replace(utterance, extra=utterance.extra | {"reasons": reasons[utterance.line]})


def _without_reasons(utterance: Utterance) -> Utterance:
    """A line of a quarantine that was mended is a line like any other."""
    reasons = utterance.extra.get("reasons")
    ours = isinstance(reasons, list) and all(
        isinstance(entry, dict) and entry.keys() == {"reason", "message"} for entry in reasons
    )
    if not ours:
        return utterance
    return replace(utterance, extra={key: value for key, value in utterance.extra.items() if key != "reasons"})


def _targets(manifests: Sequence[Path], out: str | Path) -> list[Path]:
    """Where each cleaned manifest goes; refused before the long reading, so that none of it is in vain."""
    out = Path(out)
    if len(manifests) == 1 and not out.is_dir():
        require_file_place(out)
        return [out]
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; several cleaned manifests need a folder")
    require_own_folder(out, kind="the manifests")
    targets = [out / manifest.name for manifest in manifests]
    for target in targets:
        require_file_place(target)
    written = Counter(path for target in targets for path in (target, _quarantine_of(target)))
    twice = [path.name for path, count in written.items() if count > 1]
    if twice:
        raise UserError(
            f"{out}: {len(manifests)} manifests, and several would be written to {twice[0]}; clean one at a time"
        )
    return targets


def _left_out_before(target: Path, manifests: Sequence[Path]) -> list[Utterance]:
    """What an earlier check left out of a manifest that is cleaned where it is: its quarantine alone has it."""
    quarantine = _quarantine_of(target)
    if not quarantine.is_file() or not any(target.exists() and os.path.samefile(target, path) for path in manifests):
        return []
    return read_manifest(quarantine, needs_text=False)


def _quarantine_of(target: Path) -> Path:
    return target.with_name(f"{target.stem}.quarantine{target.suffix}")


def _report_record(findings: Sequence[Findings], config: RunConfig) -> dict[str, Any]:
    """All that `check.json` holds, and `check.html` shows."""

    def accusations(found: Findings) -> list[dict[str, Any]]:
        left_out = {problem.utterance.line for problem in found.problems}
        ordered = sorted((*found.problems, *found.suspicions), key=lambda entry: entry.utterance.line)
        return [
            {
                "line": entry.utterance.line,
                "audio_filepath": entry.utterance.audio_filepath,
                "offset": entry.utterance.offset,
                "channel": entry.utterance.channel,
                "duration": entry.utterance.duration,
                "text": entry.utterance.text,
                "speaker": entry.utterance.speaker,
                "reason": entry.reason,
                "message": entry.message,
                "left_out": entry.utterance.line in left_out,
            }
            for entry in ordered
        ]

    return {
        "sample_rate": config.data.sample_rate,
        "rules": config.check.model_dump(mode="json"),
        "manifests": [
            {
                "manifest": str(found.manifest),
                "usable": len(found.usable),
                "left_out": len(found.problems),
                "counts": found.counts,
                "suspicion_counts": found.suspicion_counts,
                **found.facts.as_record(),
                "accusations": accusations(found),
                "shared": found.shared,
            }
            for found in findings
        ],
        "histograms": histograms([found.facts for found in findings]),
    }
