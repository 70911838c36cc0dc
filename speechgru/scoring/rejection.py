"""Commands against negatives: false accepts an hour and misses at every threshold, and the one for an asked rate."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from speechgru.decoding import Hypothesis
from speechgru.errors import UserError
from speechgru.grammar import Grammar
from speechgru.metrics import DetectionCurve, OperatingPoint
from speechgru.scoring.predictions import Decoded
from speechgru.utterances.examination import Examined

#: False accepts an hour that are asked for where nobody asks for a rate.
_USUAL_FALSE_ACCEPTS = 1.0
#: Shares of misses at which a record gives the false accepts.
_MISSES = (0.01, 0.03, 0.05, 0.1)
#: False accepts that a record names.
_MOST_NAMED = 50


@dataclasses.dataclass(frozen=True)
class AskedRate:
    """Which threshold is wanted: the one with the fewest misses or false accepts while the other rate is kept.

    Args:
        false_accepts_per_hour: of negatives, at most; None where misses are asked for.
        misses: share of the commands, at most; 1 false accept an hour where neither is given.

    Raises:
        UserError: both are given, or one is out of range.
    """

    false_accepts_per_hour: float | None = None
    misses: float | None = None

    def __post_init__(self) -> None:
        if self.false_accepts_per_hour is not None and self.misses is not None:
            raise UserError("a threshold follows from false accepts an hour or from misses; ask for one of them")
        if self.misses is None and self.false_accepts_per_hour is None:
            object.__setattr__(self, "false_accepts_per_hour", _USUAL_FALSE_ACCEPTS)
        if self.misses is not None and not 0 <= self.misses <= 1:
            raise UserError(f"misses are a share of the commands from 0 to 1, got {self.misses}")
        if self.false_accepts_per_hour is not None and not 0 <= self.false_accepts_per_hour < float("inf"):
            raise UserError(f"false accepts an hour are 0 or more, got {self.false_accepts_per_hour}")

    def choose(self, curve: DetectionCurve) -> OperatingPoint | None:
        """The point of a curve; None where too many commands are recognised wrongly at any threshold."""
        if self.misses is not None:
            return curve.at_misses(self.misses)
        return curve.at_false_accepts(self.false_accepts_per_hour or 0.0)


def score_rejection(
    commands: Decoded, negatives: Sequence[Decoded], *, asked: AskedRate, threshold: float | None = None
) -> dict[str, Any]:
    """Counts false accepts and misses over all thresholds, as a JSON-ready record.

    A command is a miss where it is not accepted or is recognised wrongly: its intent or slots where its line and the
    hypothesis both have them, else its text. Utterances with neither a word nor an intent are no commands, and are left
    out.

    Args:
        commands: what was recognised in commands, under the constraint that is to be judged.
        negatives: what was recognised in recordings without a command, by manifest (`negative_set`).
        asked: which threshold is wanted.
        threshold: the one in use, if any.

    Returns:
        `num_commands`, `num_wrong` (recognised wrongly, which no threshold helps), `num_negatives`, `negative_seconds`,
        `judged_by` (`text`, or `intent` where any command was), `asked`, and

        - `chosen`: the point for the asked rate (`DetectionCurve.describe`: `threshold`, `num_false_accepts`,
          `false_accepts_per_hour`, `false_accepts_interval`, `num_misses`, `miss_rate`, `miss_interval`), None where
          more commands are recognised wrongly than may be missed;
        - `in_use`: the same of the threshold in use, None without one;
        - `at_misses`: the false accepts at some shares of misses, `misses` and the point's fields;
        - `curve`: `threshold`, `false_accepts_per_hour` and `miss_rate` of the points that no other beats;
        - `false_accepts`: the negatives with the highest margins, each with `audio_filepath`, `offset`, `channel`,
          `duration`, `hypothesis` and `margin`, and whether it is `accepted` at the chosen threshold.

    Raises:
        UserError: no command holds a word, or nothing constrains the search, so that nothing has a margin.
    """
    pairs = [pair for pair in zip(commands.examples, commands.hypotheses, strict=True) if is_command(pair[0])]
    seconds = sum(decoded.audio_seconds for decoded in negatives)
    if not pairs or not seconds:
        raise UserError(
            "false accepts against misses need commands with a text or an intent, and negatives of more than 0 s"
        )
    right, judged_by = [], "text"
    for example, hypothesis in pairs:
        is_right, by = _is_right(example, hypothesis)
        right.append(is_right)
        judged_by = by if by == "intent" else judged_by
    false = [
        (hypothesis.margin, example, hypothesis)
        for decoded in negatives
        for example, hypothesis in zip(decoded.examples, decoded.hypotheses, strict=True)
        if hypothesis.margin is not None
    ]
    false.sort(key=lambda entry: -entry[0])
    curve = DetectionCurve(
        [float("-inf") if hypothesis.margin is None else hypothesis.margin for _, hypothesis in pairs],
        right,
        false_margins=[margin for margin, _, _ in false],
        hours=seconds / 3600,
    )
    chosen = asked.choose(curve)
    at_misses = [(share, curve.at_misses(share)) for share in _MISSES]
    return {
        "num_commands": len(pairs),
        "num_wrong": len(right) - sum(right),
        "num_negatives": sum(len(decoded.examples) for decoded in negatives),
        "negative_seconds": seconds,
        "judged_by": judged_by,
        "asked": dataclasses.asdict(asked),
        "chosen": None if chosen is None else curve.describe(chosen),
        "in_use": None if threshold is None else curve.describe(curve.at(threshold)),
        "at_misses": [{"misses": share} | curve.describe(point) for share, point in at_misses if point is not None],
        "curve": [
            {
                "threshold": point.threshold,
                "false_accepts_per_hour": point.num_false_accepts / curve.hours,
                "miss_rate": point.num_misses / curve.num_commands,
            }
            for point in curve.corners()
        ],
        "false_accepts": [
            {
                "audio_filepath": example.utterance.audio_filepath,
                "offset": example.utterance.offset,
                "channel": example.utterance.channel,
                "duration": example.utterance.duration,
                "hypothesis": hypothesis.text,
                "margin": margin,
                "accepted": chosen is not None and margin >= chosen.threshold,
            }
            for margin, example, hypothesis in false[:_MOST_NAMED]
        ],
    }


def greedy_rejection(
    commands: Decoded, negatives: Sequence[Decoded], *, per_hour: float, grammar: Grammar | None = None
) -> dict[str, float]:
    """What greedy decoding misses where a confidence keeps a rate of false accepts: cheap enough for each evaluation.

    Greedy texts have no margin; in its place is the confidence. A false accept is a text in a negative: a sentence of
    the grammar where there is one, else any.

    Args:
        commands: what was recognised in the dev set.
        negatives: what was recognised in recordings without a command.
        per_hour: false accepts an hour that are allowed.
        grammar: of the commands; None where any text is one.

    Returns:
        `misses` (the share of the utterances with a text that are wrong or not accepted), `false_accepts_per_hour`,
        and `least_confidence`, from which a text counts as accepted.
    """
    pairs = [pair for pair in zip(commands.examples, commands.hypotheses, strict=True) if pair[0].text]
    curve = DetectionCurve(
        [hypothesis.confidence if hypothesis.words else float("-inf") for _, hypothesis in pairs],
        [example.text == hypothesis.text for example, hypothesis in pairs],
        false_margins=[
            hypothesis.confidence
            for decoded in negatives
            for hypothesis in decoded.hypotheses
            if hypothesis.words and (grammar is None or grammar.parse(hypothesis.text) is not None)
        ],
        hours=sum(decoded.audio_seconds for decoded in negatives) / 3600,
    )
    point = curve.at_false_accepts(per_hour)
    return {
        "misses": point.num_misses / curve.num_commands,
        "false_accepts_per_hour": point.num_false_accepts / curve.hours,
        "least_confidence": point.threshold,
    }


def is_command(example: Examined) -> bool:
    """Whether something was said: a line has its words or, where nobody wrote those down, what they mean."""
    return bool(example.text) or example.utterance.extra.get("intent") is not None


def _is_right(example: Examined, hypothesis: Hypothesis) -> tuple[bool, str]:
    """Whether a command was understood, and by what that was judged."""
    expected = example.utterance.extra.get("intent")
    if expected is None or (hypothesis.intent is None and hypothesis.text):
        return example.text == hypothesis.text, "text"
    slots = example.utterance.extra.get("slots") or {}
    return (hypothesis.intent, dict(hypothesis.slots)) == (expected, slots), "intent"


def describe_short_negatives(rejection: dict[str, Any]) -> str:
    """A note where the negatives are too short for the asked rate of false accepts; empty where they are not.

    >>> asked = {"false_accepts_per_hour": 3.0, "misses": None}
    >>> describe_short_negatives({"asked": asked, "negative_seconds": 360.0})
    'the negatives last 0.10 h, in which 3 false accepts an hour are less than one: a single one is too many, and none \
shows little; 0.33 h or more would show the rate'
    >>> describe_short_negatives({"asked": asked, "negative_seconds": 3600.0})
    ''
    """
    rate, hours = rejection["asked"]["false_accepts_per_hour"], rejection["negative_seconds"] / 3600
    if not rate or rate * hours >= 1:
        return ""
    return (
        f"the negatives last {hours:.2f} h, in which {rate:g} false accept{'s' * (rate != 1)} an hour "
        f"{'is' if rate == 1 else 'are'} less than one: a single one is too many, and none shows little; "
        f"{1 / rate:.2f} h or more would show the rate"
    )
