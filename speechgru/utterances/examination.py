"""Which utterances can be used, and why the others cannot: the one judgement that `check` and training follow.

`measurement` reads a recording once, `rules` holds what is asked of it; here every line is judged by them.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechgru.audio.reading import Recording, read_recording
from speechgru.config.beginning import read_grammar
from speechgru.config.sections import RunConfig
from speechgru.errors import AudioError
from speechgru.progress import Progress, silent
from speechgru.text import Vocabulary
from speechgru.text.subword_training import train_subwords
from speechgru.utterances import rules
from speechgru.utterances.case import Case, HeldOut
from speechgru.utterances.manifest import Utterance
from speechgru.utterances.measurement import MeasurementLog, measure_all


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an utterance cannot be used, or what is suspected of it.

    Args:
        utterance: the line.
        reason: the name of a rule, such as `too short`.
        message: what is wrong and how to mend it.
    """

    utterance: Utterance
    reason: str
    message: str

    def as_record(self, manifest: str | Path) -> dict[str, object]:
        """The problem as JSON-ready fields."""
        return {
            "manifest": str(manifest),
            "line": self.utterance.line,
            "audio_filepath": self.utterance.audio_filepath,
            "reason": self.reason,
            "message": self.message,
        }


def summarize(problems: Sequence[Mapping[str, Any]], *, most: int = 3) -> str:
    """How many problems there are of each kind, the most frequent first, each with its first message.

    Args:
        problems: records with `reason` and `message`, as `Problem.as_record` makes them.
        most: kinds that are shown.

    Example:
        >>> print(summarize([{"reason": "too short", "message": f"{name}.wav: 0.050 s"} for name in "ab"]))
        2 too short, such as a.wav: 0.050 s
    """
    counts = Counter(problem["reason"] for problem in problems)
    first = {problem["reason"]: problem["message"] for problem in reversed(problems)}
    lines = [
        f"{count:,} {reason}, such as {first[reason]}" if count > 1 else f"1 {reason}: {first[reason]}"
        for reason, count in counts.most_common(most)
    ]
    left = counts.total() - sum(count for _, count in counts.most_common(most))
    return "\n".join([*lines, f"and {left:,} for other reasons"] if left else lines)


@dataclass(frozen=True, slots=True)
class Examined:
    """A usable utterance, its labels and its length.

    Args:
        utterance: the line.
        text: the normalised transcript.
        labels: its labels.
        num_samples: samples at the configured rate.
    """

    utterance: Utterance
    text: str
    labels: tuple[int, ...]
    num_samples: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on one line.

    Args:
        case: the line.
        problem: why it is left out; None where it is used.
        suspicions: what else is suspected.
    """

    case: Case
    problem: Problem | None
    suspicions: tuple[Problem, ...] = ()

    @property
    def accusations(self) -> tuple[Problem, ...]:
        """All accusations, the reason for leaving it out first."""
        return self.suspicions if self.problem is None else (self.problem, *self.suspicions)

    def and_suspect(self, suspicion: Problem) -> Judgement:
        """The same with one suspicion more, which leaves the line out where `check.leave_out` names it."""
        if self.problem is None and suspicion.reason in self.case.config.check.leave_out:
            return dataclasses.replace(self, problem=suspicion)
        return dataclasses.replace(self, suspicions=(*self.suspicions, suspicion))

    def examined(self) -> Examined:
        """The usable utterance; only where there is no problem."""
        case = self.case
        labels = case.vocabulary.encode(case.text, where=case.name)
        return Examined(case.utterance, case.text, tuple(labels), case.measurement.num_samples)


def vocabulary_of(config: RunConfig) -> Vocabulary | None:
    """The labels, where the configuration or its grammar names them all; None where transcripts do.

    Raises: as `make_vocabulary`.
    """
    return None if config.text.follows_transcripts else make_vocabulary(config, ())


def make_vocabulary(config: RunConfig, utterances: Sequence[Utterance]) -> Vocabulary:
    """The configured characters or words; those of the training transcripts where `auto`, or of the grammar.

    Subwords are those of `text.subword_model`, or found in the training transcripts. Where `text.unknown_words` is
    `spell`, letters follow the words: `text.characters`, or where they are `auto` those of the training transcripts;
    and those of the words in any case.

    Raises:
        ConfigError: the words are those of the grammar, and there is none.
        GrammarError: the words are those of the grammar, and it cannot be read.
        TextError: the transcripts or the grammar hold none, or not so many subwords; or the subword model is none.
        UserError: subwords are to be found, and the package that finds them is missing.
    """
    text = config.text
    if text.unit == "subword":
        if text.subword_model is not None:
            return Vocabulary.of_subword_file(text.subword_model)
        spoken = (text.normalize(utterance.text) for utterance in utterances)
        return Vocabulary.of_subwords(train_subwords(spoken, count=text.subwords, method=text.subword_method))
    entries: str | Sequence[str] = text.words if text.unit == "word" else text.characters
    if entries == "auto":
        return Vocabulary.from_texts((text.normalize(utterance.text) for utterance in utterances), unit=text.unit)
    if entries == "grammar" and text.unit == "word":
        grammar = read_grammar(config)
        texts = () if grammar is None else grammar.words()
        entries = Vocabulary.from_texts(map(text.normalize, texts), unit="word").entries
    if text.unknown_words != "spell":
        return Vocabulary(entries, unit=text.unit)
    letters = sorted(set().union(*entries))
    if text.characters == "auto":
        letters = sorted(set(letters).union(*(text.normalize(utterance.text) for utterance in utterances)))
    else:
        letters = [*text.characters, *letters]
    return Vocabulary.with_letters(entries, (letter for letter in letters if letter != " "))


def examine(
    utterances: Sequence[Utterance],
    *,
    config: RunConfig,
    vocabulary: Vocabulary,
    progress: Progress = silent,
    stage: str = "reading recordings",
    held_out: Sequence[Utterance] = (),
    log: MeasurementLog | None = None,
) -> tuple[list[Examined], list[Problem]]:
    """Reads every recording and transcript and sorts the usable from the rest, each in the given order.

    Args:
        utterances: what to read.
        config: sample rate, limits, front end and subsampling, and the suspicions to leave out.
        vocabulary: the characters or words that a transcript may hold.
        progress: called after each utterance.
        stage: the words that `progress` gets.
        held_out: what must not be trained on; read only where `check.leave_out` names `leak`.
        log: measurements that are known already; such recordings are not read.

    Returns:
        The usable, and one problem for each of the others.

    Raises:
        ConfigError: `check.leave_out` names what no rule suspects.
    """
    rules.require_known(config.check)
    kept_away = []
    if held_out and "leak" in config.check.leave_out:
        cases = iterate_cases(
            held_out, config=config, vocabulary=vocabulary, progress=progress, stage="reading held-out", log=log
        )
        kept_away = [HeldOut("the held-out recordings", list(cases))]
    cases = iterate_cases(utterances, config=config, vocabulary=vocabulary, progress=progress, stage=stage, log=log)
    if any(rule.name in config.check.leave_out for rule in rules.RULES if rule.compare is not None):
        judgements: Iterable[Judgement] = judge(list(cases), held_out=kept_away)
    else:  # each by itself, so that of a large corpus only the examined lines stay in memory
        judgements = map(judge_alone, cases)
    usable, problems = [], []
    for judgement in judgements:
        if judgement.problem is None:
            usable.append(judgement.examined())
        else:
            problems.append(judgement.problem)
    return usable, problems


def iterate_cases(
    utterances: Sequence[Utterance],
    *,
    config: RunConfig,
    vocabulary: Vocabulary,
    progress: Progress = silent,
    stage: str = "reading recordings",
    log: MeasurementLog | None = None,
) -> Iterator[Case]:
    """Measures every utterance and brings its text to the form that is learnt.

    Args:
        utterances: what to read.
        config: the run that they are meant for.
        vocabulary: the characters or words that a transcript may hold.
        progress: called after each utterance; its note is how many are known to be left out.
        stage: the words that `progress` gets.
        log: where measurements are kept and found.
    """
    data = config.data
    measurements = measure_all(utterances, sample_rate=data.sample_rate, num_workers=data.num_workers, log=log)
    left_out = 0
    for done, (utterance, measurement) in enumerate(zip(utterances, measurements, strict=True), start=1):
        case = Case(utterance, config.text.normalize(utterance.text), measurement, config, vocabulary)
        left_out += judge_alone(case).problem is not None
        progress(stage, done, len(utterances), f"{left_out} left out" if left_out else "")
        yield case


def judge(cases: Sequence[Case], *, held_out: Sequence[HeldOut] = ()) -> list[Judgement]:
    """Judges the lines of one manifest: each alone, then those that are left beside each other.

    Args:
        cases: the lines.
        held_out: recordings that none of them may hold.

    Returns:
        A judgement a line, in order.
    """
    judgements = [judge_alone(case) for case in cases]
    for rule in rules.RULES:
        if rule.compare is None:
            continue
        # What is left out by now cannot accuse another: the only readable copy of two is not a duplicate.
        kept = [place for place, judgement in enumerate(judgements) if judgement.problem is None]
        for index, message in rule.compare([cases[place] for place in kept], held_out):
            place = kept[index]
            suspicion = Problem(cases[place].utterance, rule.name, f"{cases[place].name}: {message}")
            judgements[place] = judgements[place].and_suspect(suspicion)
    return judgements


def judge_alone(case: Case) -> Judgement:
    """Judges one line by itself: its first problem, and whatever is suspected of what can be read."""
    problem = next(_accuse(case, "problem"), None)
    judgement = Judgement(case, problem)
    if not case.measurement.num_samples:
        return judgement
    for suspicion in _accuse(case, "suspicion"):
        judgement = judgement.and_suspect(suspicion)
    return judgement


def _accuse(case: Case, level: str) -> Iterator[Problem]:
    for rule in rules.RULES:
        message = rule.judge(case) if rule.judge is not None and rule.level == level else None
        if message is not None:
            yield Problem(case.utterance, rule.name, message if case.measurement.error else f"{case.name}: {message}")


def read_utterance(utterance: Utterance, *, sample_rate: int) -> Recording:
    """Reads what a manifest's line names: its segment of the file, and its channel.

    Raises:
        AudioError: it cannot be read, the file ends before the end of the named segment, or lacks the channel.
    """
    return read_recording(
        utterance.audio_filepath,
        sample_rate=sample_rate,
        offset=utterance.offset,
        duration=utterance.duration or None,
        channel=utterance.channel,
    )


def read_usable(utterance: Utterance, *, sample_rate: int) -> Recording | Problem:
    """Reads what a manifest's line names, or gives the reason why nobody can use it: what scoring asks of it."""
    try:
        recording = read_utterance(utterance, sample_rate=sample_rate)
    except AudioError as error:
        return Problem(utterance, "unreadable", str(error))
    if len(recording.samples_N) == 0:
        return Problem(utterance, "no samples", f"{utterance.audio_filepath}: holds no samples; record it again")
    return recording
