"""The verb: from a run and a person's recordings to a run that knows the person, or to the reasons why not."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from speechgru import jsonlines
from speechgru.adapt.comparison import (
    compare,
    is_too_much_worse,
    record_of_texts,
    why_not_better_for_the_person,
    why_not_better_in_general,
)
from speechgru.adapt.options import AdaptOptions, configure, with_length
from speechgru.adapt.page import report_adaptation
from speechgru.adapt.recordings import Recordings, deal_folds, examine_recordings, join_words
from speechgru.adapt.trials import FoldResult, choose_length, cross_validate, helpful_lengths, score_lengths
from speechgru.config.differences import find_differences
from speechgru.config.load import load_config
from speechgru.config.resuming import resume
from speechgru.config.sections import RunConfig
from speechgru.corpora.zipped import unpacked
from speechgru.dataset import open_corpus
from speechgru.errors import ConfigError, UserError
from speechgru.files import held, require_unread, sha256_of, write_json, write_text
from speechgru.model.predictor import KerasPredictor
from speechgru.process.locked_folder import locked_folder
from speechgru.progress import Progress, silent
from speechgru.recording.corpus import RECORDINGS_NAME
from speechgru.runs import RunFolder
from speechgru.scoring.evaluation import score
from speechgru.scoring.predictions import decode_recordings
from speechgru.scoring.recordings import KEPT_BYTES, ScoringSet
from speechgru.scoring.trained_run import TrainedRun
from speechgru.train.learner import Learner
from speechgru.train.run import Opened, train
from speechgru.train.transfer import require_layers, start_from
from speechgru.utterances.manifest import read_manifest, write_manifest
from speechgru.utterances.measurement import measurement_key

#: The results of folds, so that an adaptation that was interrupted does not train them again.
FOLDS_NAME = "folds.jsonl"
#: Where recordings that come as an archive are unpacked.
UNPACKED_NAME = "recordings"
#: In the run folder's `report`.
RECORD_NAME, PAGE_NAME = "adaptation.json", "adaptation.html"

#: What stands in `not_better.txt` until the verdict.
_NOT_JUDGED = "not better as far as is known: the adaptation was not finished; the same command resumes it"


@dataclass(frozen=True)
class Adaptation:
    """What adapting did.

    Args:
        run: the adapted run's folder.
        is_better: whether it is worth using: better for the person, and hardly worse in general.
        reasons: why not, in sentences; empty where it is.
        steps: the length that cross-validation chose; 0 where no training makes fewer errors.
        person: of the recordings held out: `before`, `after` and `change_interval`, see `comparison.compare`.
        general: the same of the general set; `after` is None where nothing was trained.
        left_out: a message for each recording that could not be learnt from.
        seconds: seconds that the adaptation took.
        page: the page that shows it all.
        notes: what is left to do, in sentences.
    """

    run: Path
    is_better: bool
    reasons: tuple[str, ...]
    steps: int
    person: dict[str, Any]
    general: dict[str, Any]
    left_out: tuple[str, ...]
    seconds: float
    page: Path
    notes: tuple[str, ...] = ()


def adapt(
    run: str | Path,
    recordings: str | Path,
    out: str | Path,
    *,
    options: AdaptOptions | None = None,
    progress: Progress = silent,
    command: Sequence[str] | None = None,
) -> Adaptation:
    """Fine-tunes a run to a person's voice, as far as that helps the person and harms nobody else.

    1. Cross-validation on the recordings chooses how long to train, and shows what new recordings of the person can
       expect: each is recognised by a training that it was held out from. Of the lengths that make fewer errors, those
       that make the general set too much worse are left out, if there are others.
    2. A training of that length learns from all recordings, with the first corpus mixed in so that nothing is
       forgotten.
    3. Both runs are scored on the general set. A run that is worse is marked so (`not_better.txt`), and `export`
       refuses it.

    The adapted run is a run folder like any other. The same call resumes an adaptation that was interrupted.

    Args:
        run: the run folder to start from.
        recordings: a manifest, a folder that `speechgru record` filled, or one that `prepare folder` understands; or a
            ZIP file of such a folder, as a site's studio saves it, which is unpacked into `out`.
        out: the run folder to write.
        options: how; the defaults when None.
        progress: called after each step.
        command: the command line for `provenance.json`; that of the process when None.

    Returns:
        What was found; `out/report/adaptation.json` holds it too, with every text.

    Raises:
        UserError: too few recordings can be used, the general set or the first corpus is missing, or `out` is another
            run's.
        Interrupted: a signal came in the last training; what was done is kept.
    """
    trained, folder = TrainedRun(run), RunFolder(Path(out))
    if folder.path.absolute() == trained.folder.path.absolute():
        raise UserError(f"{folder.path}: is the run that is adapted; give another --run to write to")
    with held(folder.path):
        return _adapt(trained, recordings, folder, options or AdaptOptions(), progress=progress, command=command)


def _adapt(
    trained: TrainedRun,
    recordings: str | Path,
    folder: RunFolder,
    options: AdaptOptions,
    *,
    progress: Progress,
    command: Sequence[str] | None,
) -> Adaptation:
    """Adapts, into a folder that is held."""
    began = time.monotonic()
    config = configure(trained, folder.path.absolute() / RECORDINGS_NAME, options)
    require_layers(config)
    for path in (config.data.dev, *config.data.negatives, *(path for path, _ in config.augment.manifests.values())):
        read_manifest(str(path), needs_text=False)
    require_unread([config.data.train[-1]], [recordings, Path(recordings) / RECORDINGS_NAME])
    _require_own_folder(folder, config)
    with unpacked(recordings, folder.path / UNPACKED_NAME, progress=progress) as source:
        found = examine_recordings(
            source, config=config, vocabulary=trained.vocabulary, least=options.folds, progress=progress
        )
        key = _key_of(found, config, trained, options)
        _require_same_recordings(folder, key, trained, options)
    folds = deal_folds([examined.text for examined in found.usable], options.folds, seed=config.train.seed)
    with locked_folder(folder.path, activity="is adapting here", advice="wait for it, stop it, or give another --run"):
        write_text(folder.not_better, _NOT_JUDGED + "\n")
        if options.join:
            found, folds = join_words(
                found,
                folds,
                folder.path / "joined",
                most_words=options.join,
                config=config,
                vocabulary=trained.vocabulary,
                progress=progress,
            )
        workbench = _Workbench(config, found, progress=progress)
        before = workbench.score_general("General set, before")
        results = workbench.cross_validate(folds, options.lengths, folder.path / FOLDS_NAME, key=key)
        references = [examined.text for examined in found.usable]
        choice = choose_length(results, references)
        # What serves the person best may forget too much, where another length that serves them does not.
        general_wers = workbench.general_wers(helpful_lengths(choice.texts, references), folder.path / FOLDS_NAME, key)
        harmless = [
            steps
            for steps, wer in general_wers.items()
            if not is_too_much_worse(wer, before["wer"], options.max_forgetting)
        ]
        if harmless:
            choice = choose_length(results, references, allowed=harmless)
    person = compare(
        workbench.record_of("Recordings held out, before", choice.texts[0]),
        workbench.record_of("Recordings held out, after", choice.expected),
    )
    reasons, general = why_not_better_for_the_person(person, choice.steps), compare(before, None)
    if not reasons:
        workbench.train(folder, choice.steps, command)
        general = compare(before, workbench.score_general("General set, after"))
        reasons = why_not_better_in_general(general, options.max_forgetting)
    result = Adaptation(
        run=folder.path,
        is_better=not reasons,
        reasons=tuple(reasons),
        steps=choice.steps,
        person=person,
        general=general,
        left_out=tuple(problem.message for problem in found.left_out),
        seconds=time.monotonic() - began,
        page=folder.report / PAGE_NAME,
        notes=_notes(trained.folder, folder),
    )
    record = {
        "source": str(trained.folder.path.absolute()),
        "recordings": str(Path(recordings).absolute()),
        "verdict": "better" if result.is_better else "not better",
        "reasons": reasons,
        "steps": choice.steps,
        "steps_of_folds": list(choice.steps_of_folds),
        "lengths": [
            {key: value for key, value in workbench.record_of(f"{steps} steps", texts).items() if key != "utterances"}
            | {"general_wer": general_wers.get(steps, before["wer"] if not steps else None)}
            for steps, texts in choice.texts.items()
        ],
        "person": person,
        "general": general,
        "left_out": list(result.left_out),
        "share": options.share,
        "join": options.join,
        "max_forgetting": options.max_forgetting,
        "seconds": result.seconds,
        "notes": list(result.notes),
    }
    write_json(folder.report / RECORD_NAME, record)
    report_adaptation(record, result.page, title=f"Adaptation of {trained.folder.path.absolute().name}")
    if result.is_better:
        folder.not_better.unlink()
    else:
        write_text(folder.not_better, f"not better: {'; '.join(reasons)}\n")
    return result


def _notes(start: RunFolder, adapted: RunFolder) -> tuple[str, ...]:
    if not start.rejection.exists() or adapted.rejection.exists():
        return ()
    return (
        f"{start.path} accepts texts from a margin on that was chosen for its weights, and {adapted.path} accepts all; "
        f"choose a margin for it: speechgru calibrate {adapted.path} --dev ... --negatives ...",
    )


class _Workbench:
    """What all trainings and scores of an adaptation share: one corpus, one learner, one graph of each.

    Args:
        config: of the longest training.
        found: the person's recordings; the configuration's last manifest is written with them.
        progress: called as the work proceeds.
    """

    def __init__(self, config: RunConfig, found: Recordings, *, progress: Progress):
        self._config, self._recordings, self._progress = config, found.usable, progress
        write_manifest(config.data.train[-1], (examined.utterance for examined in found.usable))
        corpus, vocabulary, problems = open_corpus(config, progress=progress)
        if corpus.parts[-1].count != len(found.usable):
            raise UserError(
                f"{config.data.train[-1]}: {len(found.usable)} recordings could be read a moment ago, and now "
                f"{corpus.parts[-1].count}; do not change them while they are learnt from"
            )
        learner = Learner(config, vocabulary, form=corpus.form, strategy=tf.distribute.get_strategy())
        start_from(
            str(config.train.start_from),
            learner.model,
            config=config,
            vocabulary=vocabulary,
            spelling=learner.spelling,
        )
        learner.start_averages()
        self._opened = Opened(corpus, vocabulary, problems, learner)
        self._start = learner.arrays()
        self._predictor = KerasPredictor(learner.shipped)
        self._general = ScoringSet(
            str(config.data.dev), sample_rate=config.data.sample_rate, text=config.text.rules, kept_bytes=KEPT_BYTES
        )

    def score_general(self, name: str) -> dict[str, Any]:
        """Scores the weights as they stand on the general set."""
        self._opened.learner.ship()
        return self._score(name)

    def _score(self, name: str) -> dict[str, Any]:
        decoded = decode_recordings(
            self._predictor,
            self._general,
            vocabulary=self._opened.vocabulary,
            step_seconds=self._config.step_seconds,
            progress=self._progress,
        )
        return {"manifest": str(Path(str(self._config.data.dev)).absolute())} | score(decoded, name=name)

    def cross_validate(
        self, folds: Sequence[Sequence[int]], lengths: Sequence[int], file: Path, *, key: str
    ) -> list[FoldResult]:
        """Trains without each fold; those whose results are in the file by that key are not trained again."""
        records = [record for record in _records_of(file, key) if "fold" in record]
        results = {record["fold"]: FoldResult.from_record(record) for record in records}

        def keep(result: FoldResult) -> None:
            results[result.number] = result
            jsonlines.append(file, {"key": key, **result.as_record()}, durable=True)

        cross_validate(
            self._opened.learner,
            self._predictor,
            config=self._config,
            corpus=self._opened.corpus,
            vocabulary=self._opened.vocabulary,
            recordings=self._recordings,
            folds=[[] if number in results else places for number, places in enumerate(folds)],
            lengths=lengths,
            report=keep,
            progress=self._progress,
        )
        return [results[number] for number in range(len(folds))]

    def general_wers(self, lengths: Sequence[int], file: Path, key: str) -> dict[int, float]:
        """The general set's WER by length; those that are in the file by that key are not trained again."""
        known = [record["general_wers"] for record in _records_of(file, key) if "general_wers" in record]
        if known:
            return {int(steps): wer for steps, wer in known[-1].items()}
        if not lengths:
            return {}
        wers: dict[int, float] = {}

        def score_at(steps: int) -> None:
            wers[steps] = self._score(f"General set, {steps} steps")["wer"]

        score_lengths(
            self._opened.learner,
            config=self._config,
            corpus=self._opened.corpus,
            lengths=lengths,
            score=score_at,
            progress=self._progress,
        )
        jsonlines.append(file, {"key": key, "general_wers": wers}, durable=True)
        return wers

    def train(self, folder: RunFolder, steps: int, command: Sequence[str] | None) -> None:
        """Trains on all recordings, from the start, into the run folder."""
        self._opened.learner.restore(self._start, where="the start of the adaptation")
        config = with_length(self._config, steps)
        train(config, folder.path, progress=self._progress, command=command, opened=self._opened)

    def record_of(self, name: str, texts: Sequence[str]) -> dict[str, Any]:
        """The record of what was recognised of the person's recordings."""
        return record_of_texts(name, self._recordings, texts, sample_rate=self._config.data.sample_rate)


def _key_of(found: Recordings, config: RunConfig, trained: TrainedRun, options: AdaptOptions) -> str:
    """What the results of folds depend on, as a hash."""
    rate = config.data.sample_rate
    lines = [[each.text, *measurement_key(each.utterance, sample_rate=rate)] for each in found.usable]
    start = sha256_of(trained.folder.best)
    parts = [config.model_dump(mode="json"), start, options.lengths, options.folds, options.join]
    return hashlib.sha256(json.dumps([*parts, lines]).encode()).hexdigest()


def _records_of(file: Path, key: str) -> list[dict[str, Any]]:
    return [record for record in jsonlines.read_records(file) if record.get("key") == key]


def _require_same_recordings(folder: RunFolder, key: str, trained: TrainedRun, options: AdaptOptions) -> None:
    """Whether a run that is in the folder learnt from these very recordings: it would be taken for finished.

    Raises:
        ConfigError: it learnt from others.
    """
    known = [record for record in _records_of(folder.path / FOLDS_NAME, key) if "fold" in record]
    if folder.is_claimed and len(known) < options.folds:
        raise ConfigError(
            f"{folder.path}: holds an adaptation to other recordings, or of {trained.folder.path} as it was before; "
            "give another --run"
        )


def _require_own_folder(folder: RunFolder, config: RunConfig) -> None:
    """Whether the folder is free, or holds this very adaptation: better refused now than after minutes.

    Raises:
        ConfigError: it holds another run, or what a run would overwrite and none has written.
    """
    if not folder.is_claimed:
        resume(folder, config)
        return
    stored = load_config(folder.config, stored=True).model_dump()
    lengths = ("train.max_steps", "train.evaluate_every_steps")
    changed = find_differences(stored, config.model_dump(), may_differ=lengths)
    if changed:
        raise ConfigError(
            f"{folder.path}: holds a run of another configuration: {'; '.join(map(str, changed))}; give another --run"
        )
