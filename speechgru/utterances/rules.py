"""The rules for an utterance: one small function for each thing that can be wrong with it.

To add a rule, write a function that gives a message where something is wrong, and add an entry to `RULES` at the end of
this file. That is all: training, the commands `check` and `shard`, the quarantine, `check.leave_out` and the pages
follow it from there. What a rule sees and is made of is in `case`.
"""

from __future__ import annotations

import difflib
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from speechgru import lengths
from speechgru.audio.band import missing_band
from speechgru.audio.mixing import CANCELLING, UNDO_CANCELLING
from speechgru.config.sections import CheckConfig
from speechgru.errors import ConfigError
from speechgru.text import describe_characters, invisible_characters, quoted, words_of_marks
from speechgru.utterances.case import Case, HeldOut, Rule

#: Of fewer utterances than this, none is called unusual.
_OUTLIER_UTTERANCES = 20
#: Texts of one corpus are spoken with at least this spread around their usual length (natural logarithm): without it
#: nothing but a corpus of equally long utterances would be accused.
_LEAST_DEVIATION = 0.15
#: Characters of another recording's name in a message.
_LONG_NAME = 80
#: An MP3's encoder pads, and programs differ about how much of that counts.
_MP3_TOLERANCE_SECONDS = 0.1


# Problems: a message where the utterance cannot be used.


def _ends_early(case: Case) -> str | None:
    return case.measurement.error if case.measurement.ends_early else None


def _no_such_channel(case: Case) -> str | None:
    asked, there = case.utterance.channel, case.measurement.num_channels
    return case.measurement.error or None if asked and there and asked > there else None


def _unreadable(case: Case) -> str | None:
    return case.measurement.error or None


def _no_samples(case: Case) -> str | None:
    return None if case.measurement.num_samples else "holds no samples; record it again"


def _too_short(case: Case) -> str | None:
    least = case.config.data.min_duration_seconds
    return f"{case.seconds:.3f} s, below data.min_duration_seconds ({least:g})" if case.seconds < least else None


def _too_long(case: Case) -> str | None:
    most = case.config.data.max_duration_seconds
    if case.seconds <= most:
        return None
    return f"{case.seconds:.1f} s, above data.max_duration_seconds ({most:g}); cut it into segments (offset, duration)"


def _unknown_character(case: Case) -> str | None:
    return _unknown_entry(case) if case.vocabulary.spelt_with == "character" else None


def _unknown_word(case: Case) -> str | None:
    return _unknown_entry(case) if case.vocabulary.spelt_with == "word" else None


def _unknown_entry(case: Case) -> str | None:
    unknown, unit = case.vocabulary.unwritable(case.text), case.vocabulary.unit
    if not unknown:
        return None
    given = case.config.text.words if unit == "word" else case.config.text.characters
    if case.vocabulary.unknown_label is not None:
        letters = dict.fromkeys(letter for word in unknown for letter in word if letter not in case.vocabulary.letters)
        return (
            f"{describe_characters(unknown)} not in the vocabulary, and cannot be spelt: text.characters lacks "
            f"{', '.join(map(repr, letters))}; add what is missing, or set text.characters to auto"
        )
    if case.config.text.subword_model is not None:
        advice = (
            f"which holds those of text.subword_model; spell {quoted(case.utterance.text)} with them, or find pieces "
            "in the training transcripts (text.subword_model: null)"
        )
        return f"{describe_characters(unknown)} not in the vocabulary, {advice}"
    if given == "auto":
        advice = f"which holds those of the training transcripts; spell {quoted(case.utterance.text)} with them"
    else:
        more = "add them to the grammar" if given == "grammar" else f"add them to text.{unit}s"
        other = ", or let letters spell them (text.unknown_words: spell)" if unit == "word" else ""
        advice = (
            f"spell {quoted(case.utterance.text)} with known {unit}s, {more}, {'' if other else 'or '}let those of the "
            f"training transcripts be known (text.{unit}s: auto){other}"
        )
    return f"{describe_characters(unknown)} not in the vocabulary{', ' if given == 'auto' else '; '}{advice}"


def _too_few_steps(case: Case) -> str | None:
    config, labels = case.config, case.vocabulary.encode(case.text, where=case.name)
    speed_share = config.augment.speed_share
    # The fastest copy that training makes is the shortest; quiet added around it only helps.
    num_samples = math.floor(case.measurement.num_samples / (1 + speed_share))
    frames = lengths.num_frames(
        num_samples, n_fft=config.n_fft, hop_length=config.hop_length, center=config.features.center
    )
    steps = lengths.num_steps(frames, subsampling_factor=config.model.subsampling_factor)
    if lengths.is_feasible(steps, labels):
        return None
    faster = f", spoken {speed_share:.0%} faster (augment.speed_share)," if speed_share else ""
    smaller = "or model.subsampling_factor" + (" or augment.speed_share" if speed_share else "")
    return (
        f"{case.seconds:.3f} s{faster} give {steps} steps, too few for the {len(labels)} {case.vocabulary.unit}s of "
        f"{quoted(case.text)} (CTC needs {max(1, lengths.min_steps(labels))}); is the transcript another recording's, "
        f"{smaller} too large?"
    )


# Suspicions: a message where a look is worth while.


def _channels_cancel(case: Case) -> str | None:
    return f"{CANCELLING}; {UNDO_CANCELLING}" if case.measurement.channels_cancel else None


def _silent(case: Case) -> str | None:
    if not case.is_silent or not case.text:  # silence is the right recording of an empty transcript
        return None
    if case.measurement.channels_cancel:
        return f"is silent, since {CANCELLING.split(':')[0]}; {UNDO_CANCELLING}"
    level = f"its loudest sample is at {case.peak_db:.0f} dB" if case.measurement.peak else "all samples are the same"
    return (
        f"is silent ({level}, check.silent_below_db is {case.config.check.silent_below_db:g}), but {quoted(case.text)} "
        "is said to be spoken; record it again"
    )


def _clipped(case: Case) -> str | None:
    share, most = case.measurement.clipped_share, case.config.check.clipped_share
    if case.is_silent or not share or share < most:
        return None
    return (
        f"{share:.1%} of its samples are cut off at the top (check.clipped_share is {most:.1%}); record it with less "
        "gain"
    )


def _dc_offset(case: Case) -> str | None:
    mean, most = case.measurement.mean, case.config.check.dc_offset
    if not mean or abs(mean) < most:
        return None
    return (
        f"its samples lie around {mean:+.3f} of full scale and not around 0 (check.dc_offset is {most:g}); the "
        "recording device is at fault, take the mean off"
    )


def _narrow_band(case: Case) -> str | None:
    measurement, config = case.measurement, case.config
    missing = missing_band(measurement.highest_hz, f_max_hz=config.f_max_hz) if measurement.highest_hz else None
    if missing is None or case.is_silent:
        return None
    fitting = round(2 * measurement.highest_hz)
    if measurement.source_rate <= fitting:
        reason = f"its rate is {measurement.source_rate:,} Hz"
    else:
        reason = (
            f"it was recorded, sent or stored at about {fitting:,} Hz before it became {measurement.source_rate:,} Hz"
        )
    return (
        f"{missing}: {reason}; record it at {config.data.sample_rate} Hz, or set data.sample_rate: {fitting} where "
        "this is what will be recognised"
    )


def _duration_mismatch(case: Case) -> str | None:
    measurement, given = case.measurement, case.utterance.duration
    if case.utterance.segment or not given or measurement.file_seconds is None:
        return None
    tolerance = case.config.check.duration_tolerance_seconds
    if measurement.format.startswith("MP3"):
        tolerance += _MP3_TOLERANCE_SECONDS
    if abs(measurement.file_seconds - given) <= tolerance + 1e-9:
        return None
    return (
        f"is {measurement.file_seconds:.3f} s long, but its line says {given:.3f} s; mend the duration, or add "
        '"offset": 0 where only its beginning is meant'
    )


def _marks(case: Case) -> str | None:
    found = words_of_marks(case.utterance.text, case.config.text.normalize)
    if not found:
        return None
    (mark, words), *others = found.items()
    more = f" (and {len(others)} more)" if others else ""
    return (
        f"{quoted(mark)}{more} is learnt and scored as {quoted(words)}, as if somebody said it; take such marks out of "
        "the text, or leave such recordings out (check.leave_out)"
    )


def _invisible_characters(case: Case) -> str | None:
    found = invisible_characters(case.utterance.text)
    if not found:
        return None
    return (
        f"{describe_characters(found)} in {case.utterance.text!a}, which nobody sees or speaks: dropped where the "
        "text is learnt or scored; write the text without"
    )


def _empty_text(case: Case) -> str | None:
    if case.text or case.is_silent or case.measurement.peak is None:
        return None
    what = f"{quoted(case.utterance.text)} holds no word" if case.utterance.text.strip() else "its transcript is empty"
    return f"{what}, but something sounds ({case.peak_db:.0f} dB); write what is said, or leave it out"


# Comparisons: places and messages where a look at several utterances is worth while.


def _text_lengths(cases: Sequence[Case], held_out: Sequence[HeldOut]) -> Iterator[tuple[int, str]]:
    """Transcripts that are much longer or shorter than others of such recordings.

    The usual duration of a text of N characters is fitted to the corpus, as a time for each character and a time
    around them, by medians (Theil's incomplete method: slopes between the halves of the corpus ordered by length), so
    that short commands in a corpus of sentences are not accused for their pauses, and a few wrong lines move nothing.
    """
    spoken = [index for index, case in enumerate(cases) if case.text and not case.is_silent]
    if len(spoken) < _OUTLIER_UTTERANCES:
        return
    characters_N = np.array([len(cases[index].text) for index in spoken], float)
    seconds_N = np.array([cases[index].seconds for index in spoken])
    usual_N = _usual_seconds(characters_N, seconds_N)
    distance_N = np.log(seconds_N / usual_N)
    distance_N -= np.median(distance_N)
    deviation = max(_LEAST_DEVIATION, 1.4826 * float(np.median(np.abs(distance_N))))
    most = cases[0].config.check.text_outlier_deviations
    for index, distance, usual in zip(spoken, distance_N, usual_N, strict=True):
        if abs(distance) <= most * deviation:
            continue
        case = cases[index]
        yield (
            index,
            f"its transcript of {len(case.text)} characters, {quoted(case.text)}, is too "
            f"{'short' if distance > 0 else 'long'} for {case.seconds:.2f} s: such texts take about {usual:.2f} s "
            f"here ({abs(distance) / deviation:.1f} deviations, check.text_outlier_deviations is {most:g}); is it "
            "whole, and this recording's?",
        )


def _usual_seconds(characters_N: np.ndarray, seconds_N: np.ndarray) -> np.ndarray:
    order = np.argsort(characters_N, kind="stable")
    half = len(order) // 2
    low, high = order[:half], order[-half:]
    longer = characters_N[high] > characters_N[low]
    slopes = (seconds_N[high] - seconds_N[low])[longer] / (characters_N[high] - characters_N[low])[longer]
    slope = max(0.0, float(np.median(slopes))) if len(slopes) else 0.0
    around = float(np.median(seconds_N - slope * characters_N))
    if around < 0:
        return characters_N * float(np.median(seconds_N / characters_N))
    return around + slope * characters_N


def _copies(cases: Sequence[Case]) -> Iterator[list[int]]:
    """The lines that hold the same sound. Silence is always the same."""
    by_digest: dict[str, list[int]] = defaultdict(list)
    for index, case in enumerate(cases):
        if case.measurement.digest and not case.is_silent:
            by_digest[case.measurement.digest].append(index)
    return (indices for indices in by_digest.values() if len(indices) > 1)


def _duplicates(cases: Sequence[Case], held_out: Sequence[HeldOut]) -> Iterator[tuple[int, str]]:
    for first, *others in _copies(cases):
        if len({cases[index].text for index in (first, *others)}) == 1:
            for index in others:
                yield index, f"is the same recording as {_place(cases[first])}, with the same text; keep one"


def _conflicts(cases: Sequence[Case], held_out: Sequence[HeldOut]) -> Iterator[tuple[int, str]]:
    for indices in _copies(cases):
        for index in indices:
            text = cases[index].text
            other = next((cases[k] for k in indices if cases[k].text != text), None)
            if other is not None:
                yield (
                    index,
                    f"is the same recording as {_place(other)}, but {quoted(text)} here and {quoted(other.text)} "
                    "there; find out which is right",
                )


def _leaks(cases: Sequence[Case], held_out: Sequence[HeldOut]) -> Iterator[tuple[int, str]]:
    for index, case in enumerate(cases):
        if not case.measurement.digest or case.is_silent:
            continue
        for others in held_out:
            there = others.find(case)
            if there is not None:
                where = others.name + (f":{there.line}" if there.line else "")
                yield index, f"is also in {where} ({_short(there.utterance_id)}); what is tested must not be trained on"
                break


def _place(case: Case) -> str:
    return f"line {case.utterance.line} ({_short(case.utterance.utterance_id)})"


def _short(name: str) -> str:
    """A name in a message that names another one already: a long one by its two ends."""
    return name if len(name) <= _LONG_NAME else f"{name[: _LONG_NAME // 2]}...{name[-_LONG_NAME // 2 :]}"


#: Problems in this order: the first one found is the line's. Comparisons too, each among the lines that those before it
#: left in. One name may stand for a problem and a suspicion.
RULES: tuple[Rule, ...] = (
    Rule("duration mismatch", "problem", "the line gives another duration than the recording has", _ends_early),
    Rule("no such channel", "problem", "the line names a channel that the recording lacks", _no_such_channel),
    Rule("unreadable", "problem", "missing, empty, damaged or truncated, or not a recording", _unreadable),
    Rule("no samples", "problem", "a recording without samples", _no_samples),
    Rule("too short", "problem", "below data.min_duration_seconds", _too_short),
    Rule("too long", "problem", "above data.max_duration_seconds", _too_long),
    Rule("unknown character", "problem", "the vocabulary lacks a character of the transcript", _unknown_character),
    Rule("unknown word", "problem", "the vocabulary lacks a word of the transcript", _unknown_word),
    Rule("too few steps", "problem", "the model has fewer output steps than the transcript needs", _too_few_steps),
    Rule("silent", "suspicion", "no sound, but a transcript", _silent),
    Rule("clipped", "suspicion", "recorded too loud: its peaks are cut off", _clipped),
    Rule("dc offset", "suspicion", "the samples are not centred on 0", _dc_offset),
    Rule("channels cancel", "suspicion", "one channel is the other one upside down", _channels_cancel),
    Rule(
        "duration mismatch", "suspicion", "the line gives another duration than the recording has", _duration_mismatch
    ),
    Rule(
        "invisible character",
        "suspicion",
        "zero-width spaces, soft hyphens or control characters in the text, which are dropped",
        _invisible_characters,
    ),
    Rule("mark", "suspicion", "a mark in brackets, such as <unk> or [laughter], which counts as a word", _marks),
    Rule("narrow band", "suspicion", "the upper part of what the model listens to is missing", _narrow_band),
    Rule("empty text", "suspicion", "sound, but no transcript", _empty_text),
    Rule("leak", "suspicion", "the recording is held out in another manifest", compare=_leaks),
    Rule("conflict", "suspicion", "the same recording with another text", compare=_conflicts),
    Rule("duplicate", "suspicion", "the same recording and text again", compare=_duplicates),
    Rule(
        "text length",
        "suspicion",
        "much more or less text than other recordings of this length",
        compare=_text_lengths,
    ),
)


def suspicions() -> tuple[str, ...]:
    """The reasons that `check.leave_out` may name."""
    return tuple(dict.fromkeys(rule.name for rule in RULES if rule.level == "suspicion"))


def meanings() -> dict[str, str]:
    """What each reason means, the gravest first."""
    found: dict[str, str] = {}
    for rule in RULES:
        found.pop(rule.name, None)  # a problem that is also a suspicion is shown with the suspicions
        found[rule.name] = rule.meaning
    return found


def require_known(check: CheckConfig) -> None:
    """Refuses a configuration that leaves out what no rule suspects.

    Raises:
        ConfigError: names the reason and the nearest known one.
    """
    known = suspicions()
    for reason in check.leave_out:
        if reason not in known:
            near = difflib.get_close_matches(reason, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigError(f"check.leave_out: no suspicion is called {reason!r}; {hint}known are {', '.join(known)}")
