"""Scoring a run folder or an exported bundle on a manifest."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speechgru import metrics
from speechgru.decoding import DecodingOptions, Hypothesis
from speechgru.errors import UserError
from speechgru.progress import Progress, silent
from speechgru.scoring.judged import open_judged
from speechgru.scoring.negatives import negative_set
from speechgru.scoring.predictions import Decoded
from speechgru.scoring.recordings import ScoringSet
from speechgru.scoring.rejection import AskedRate, describe_short_negatives, is_command, score_rejection
from speechgru.scoring.trained_run import TrainedRun
from speechgru.scoring.unknown import count_unknown, describe_unknown
from speechgru.utterances.examination import summarize
from speechgru.utterances.manifest import Utterance, distinct_names, read_manifest

#: Fields that every utterance has, the speaker's possibly empty; others come from its manifest's lines.
_FIELDS = ("speaker", "duration", "offset")
#: Up to so many utterances a training's score has its interval.
FEW_UTTERANCES = 100
#: Confusions of each kind that a record keeps.
_MOST_CONFUSIONS = 50


def evaluate(
    path: str | Path | TrainedRun,
    manifest: str | Path,
    *,
    form: str | None = None,
    name: str | None = None,
    slices: Sequence[str] = ("speaker", "duration"),
    batch_size: int = 32,
    decoding: DecodingOptions | None = None,
    negatives: Sequence[str | Path] = (),
    false_accepts_per_hour: float | None = None,
    misses: float | None = None,
    window_seconds: float | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Scores a recogniser on a manifest, and on negatives what it accepts falsely.

    Args:
        path: a run folder or an open run (its best weights, by Keras), or a bundle or one `.tflite` file of it (by
            LiteRT).
        manifest: the utterances with their transcripts.
        form: which of a bundle's models to run; its default when None.
        name: how to call the evaluation; by form and manifest when None.
        slices: fields to score by: `speaker`, `duration`, `offset`, or any other field of the manifest's lines, such
            as `snr`; numbers are put into bins of about equally many utterances.
        batch_size: utterances that a run computes at once; changes the time and no text.
        decoding: beam, hotwords, phrases, which go through the recogniser's text rules; greedy when None.
        negatives: manifests of recordings that hold no command; lines whose text is a sentence of the grammar or one of
            the phrases are left out.
        false_accepts_per_hour: that the chosen threshold allows; 1 where neither this nor `misses` is given.
        misses: the share of commands that the chosen threshold may miss, in its place.
        window_seconds: of a recording that are computed at once, at most, where the model does not stream; None for
            what fits its training (`runtime.Recognizer`).
        progress: called as utterances are done.

    Returns:
        A JSON-ready record: `path` (the recogniser's), `form` and `size_bytes` of the model, `manifest`, `decoding`
        (`DecodingOptions.as_record`), `notes` for people, such as weights that are not a run's best, the record of
        `score`, `unknown`: where the recogniser writes `<unk>` for words that it has no label for, how often it was
        `recognised`, how often of these in place of such a word (`for_unknown_words`), and how many such words the
        references hold (`unknown_words`); an `<unk>` is no word's text, and each counts as an error; else None.
        `commands`: where a grammar was used and lines of the manifest have `intent` and `slots`, of these
        lines `num_commands`, `num_accepted` (intent and every slot right, and not rejected), `acceptance` with
        `acceptance_interval` (95 %, Wilson), and `wrong_slots`: how often each slot was wrong where the intent was
        right; else None. And where there are negatives `negatives` (the manifests) and `rejection` (`score_rejection`,
        of the negatives `num_commands_left_out`, and `num_skipped` with `skipped`: those that could not be read).

    Raises:
        BundleError: `path` is neither a run folder nor a bundle.
        ManifestError: the manifest cannot be read.
        UserError: none of its utterances can be used, or no line of it has a field that is to be scored by.
        TextError: the recogniser cannot write a hotword or phrase.
    """
    asked = AskedRate(false_accepts_per_hour, misses)
    manifest = Path(manifest)
    _require_fields(manifest, slices)
    judged = open_judged(
        path,
        form=form,
        decoding=decoding or DecodingOptions(),
        batch_size=batch_size,
        window_seconds=window_seconds,
    )
    if negatives and not judged.options.constrains(judged.vocabulary):
        raise UserError(
            "false accepts are of a closed set of commands, and nothing says which there are; give their list "
            "(--phrases FILE) or their grammar (--grammar-file FILE, or --grammar where it travels along)"
        )
    # Before the long work: a manifest that cannot be read.
    negative_sets = [
        negative_set(
            each,
            sample_rate=judged.sample_rate,
            is_command=lambda text: judged.options.is_command(judged.text.normalize(text)),
        )
        for each in negatives
    ]
    recordings = ScoringSet(manifest, sample_rate=judged.sample_rate, text=judged.text, needs_words=False)
    decoded = judged.decode(recordings, progress)
    record: dict[str, Any] = {
        "path": str(judged.path.absolute()),
        "form": judged.form,
        "size_bytes": judged.size_bytes,
        "manifest": str(manifest.absolute()),
        "decoding": judged.asked.as_record() | {"threshold": judged.options.as_record()["threshold"]},
    }
    record["notes"] = [*([] if judged.note is None else [judged.note]), *decoded.notes]
    record |= score(decoded, name=name or f"{judged.form}, {manifest.name}", slices=slices)
    record["unknown"] = count_unknown(decoded, judged.vocabulary)
    if record["unknown"] and record["unknown"]["recognised"]:
        record["notes"].append(describe_unknown(record["unknown"]))
    record["commands"] = _score_commands(decoded) if judged.asked.grammar else None
    if negatives:
        record["negatives"] = [str(Path(each).absolute()) for each in negatives]
        others = [judged.decode(each, progress) for each, _ in negative_sets]
        skipped = [problem for each in others for problem in each.problems]
        record["rejection"] = score_rejection(decoded, others, asked=asked, threshold=judged.options.threshold) | {
            "num_commands_left_out": sum(count for _, count in negative_sets),
            "num_skipped": len(skipped),
            "skipped": skipped,
        }
        if note := describe_short_negatives(record["rejection"]):
            record["notes"].append(note)
        if skipped:
            record["notes"].append(f"{len(skipped):,} of the negatives are left out: {summarize(skipped)}")
    return record


def error_rates(decoded: Decoded) -> dict[str, Any]:
    """The two numbers of `score` that a training run keeps, `wer` and `cer`, at a fraction of its time.

    Both are None where no reference holds a word. Of few utterances `wer_interval` and `cer_interval` show how little
    they are (95 %, `metrics.error_interval`).
    """
    pairs = [
        (example.text, hypothesis.text)
        for example, hypothesis in zip(decoded.examples, decoded.hypotheses, strict=True)
    ]
    counts = {
        "wer": [metrics.word_errors(*pair) for pair in pairs],
        "cer": [metrics.character_errors(*pair) for pair in pairs],
    }
    rates: dict[str, Any] = {name: metrics.total(each).rate for name, each in counts.items()}
    if len(pairs) <= FEW_UTTERANCES:
        rates |= {f"{name}_interval": metrics.error_interval(each) for name, each in counts.items()}
    return rates


def score(decoded: Decoded, *, name: str, resamples: int = 1000, slices: Sequence[str] = ()) -> dict[str, Any]:
    """Error rates of hypotheses against their references, as a JSON-ready record.

    Args:
        decoded: references and hypotheses.
        name: the evaluation's name.
        resamples: bootstrap resamples for intervals; 0 leaves them out.
        slices: fields of the utterances to score by.

    Returns:
        `wer`, `cer`, `sentence_error_rate`, `substitutions`, `insertions`, `deletions`, `errors` (their sum), `words`,
        `num_utterances`, `audio_seconds`, `rtf`, `num_skipped` with `skipped`, `wer_interval` (95 %,
        `metrics.error_interval`); rates and intervals are None where the references hold no word; and

        - `silence`: of the utterances in which nothing was said, if there are any: `num_utterances`, `audio_seconds`,
          `num_wrong` (in which a word was recognised), `false_words` and `false_words_per_hour`;

        - `slices`: for each field its `field`, its `kind` (`text` or `number`), how many lack it (`num_missing`), and
          `groups`: `value`, or `low` and `high`, with `num_utterances`, `words`, `errors`, `wer`, `wer_interval`;
          texts worst first, numbers in order, those that lack the field last, with none of the three;
        - `confusions`: the most frequent `substitutions` (`reference`, `hypothesis`, `count`, `spoken`), `insertions`
          (`word`, `count`) and `deletions` (`word`, `count`, `spoken`), with how often the word was said in all;
        - `confidence`: how well the words' confidence separates right from wrong: `num_words`, `num_right`, `auc`,
          `calibration_error` and `bins`; None where no word was recognised;
        - `utterances`: each with its `reference`, `hypothesis`, `word_errors`, `words` (in the reference),
          `confidence`, `intent` and `slots` (None and empty without a grammar), `hypothesis_words` (`text`,
          `start_seconds`, `end_seconds`, `confidence`), and where it is from.
    """
    references = [example.text for example in decoded.examples]
    alignments = [
        metrics.align(reference.split(), hypothesis.text.split())
        for reference, hypothesis in zip(references, decoded.hypotheses, strict=True)
    ]
    words = [metrics.count_pairs(pairs) for pairs in alignments]
    total = metrics.total(words)
    record: dict[str, Any] = {
        "name": name,
        "num_utterances": len(references),
        "audio_seconds": decoded.audio_seconds,
        "wer": total.rate,
        "cer": metrics.total(
            metrics.character_errors(reference, hypothesis.text)
            for reference, hypothesis in zip(references, decoded.hypotheses, strict=True)
        ).rate,
        "sentence_error_rate": metrics.sentence_error_rate(words),
        "words": total.reference_length,
        "substitutions": total.substitutions,
        "insertions": total.insertions,
        "deletions": total.deletions,
        "errors": total.errors,
        "rtf": metrics.real_time_factor(decoded.seconds, decoded.audio_seconds),
        "num_skipped": len(decoded.problems),
        "skipped": decoded.problems,
    }
    if resamples:
        record["wer_interval"] = _interval(words, resamples)
    record["silence"] = _silence(decoded, words)
    record["slices"] = [_score_slices(decoded, words, field, resamples=resamples) for field in slices]
    record["confusions"] = _confusions(alignments)
    record["confidence"] = _confidence(decoded.hypotheses, alignments)
    names = distinct_names([example.utterance for example in decoded.examples])
    record["utterances"] = [
        {
            "utterance_id": name,
            "audio_filepath": example.utterance.audio_filepath,
            "offset": example.utterance.offset,
            "channel": example.utterance.channel,
            "duration": duration,
            "speaker": example.utterance.speaker,
            "reference": example.text,
            "hypothesis": hypothesis.text,
            "word_errors": errors.errors,
            "words": errors.reference_length,
            "confidence": hypothesis.confidence,
            "intent": hypothesis.intent,
            "slots": dict(hypothesis.slots),
            "hypothesis_words": [dataclasses.asdict(word) for word in hypothesis.words],
        }
        for name, example, duration, hypothesis, errors in zip(
            names, decoded.examples, decoded.durations, decoded.hypotheses, words, strict=True
        )
    ]
    return record


def _interval(counts: Sequence[metrics.ErrorCounts], resamples: int) -> list[float] | None:
    """The interval of a word error rate; None where no reference holds a word."""
    interval = metrics.error_interval(counts, num_samples=resamples)
    return None if interval is None else list(interval)


def _silence(decoded: Decoded, words: Sequence[metrics.ErrorCounts]) -> dict[str, Any] | None:
    """The false words of utterances in which none was said."""
    silent = [
        (counts.errors, duration)
        for example, counts, duration in zip(decoded.examples, words, decoded.durations, strict=True)
        if not is_command(example)
    ]
    if not silent:
        return None
    false_words, seconds = sum(errors for errors, _ in silent), sum(duration for _, duration in silent)
    return {
        "num_utterances": len(silent),
        "audio_seconds": seconds,
        "num_wrong": sum(errors > 0 for errors, _ in silent),
        "false_words": false_words,
        "false_words_per_hour": false_words / seconds * 3600,
    }


def _score_commands(decoded: Decoded) -> dict[str, Any] | None:
    wanted = [
        (example.utterance.extra["intent"], example.utterance.extra.get("slots") or {}, hypothesis)
        for example, hypothesis in zip(decoded.examples, decoded.hypotheses, strict=True)
        if isinstance(example.utterance.extra.get("intent"), str)
    ]
    if not wanted:
        return None
    num_right = 0
    wrong_slots: Counter[str] = Counter()
    for intent, slots, hypothesis in wanted:
        if hypothesis.intent != intent or hypothesis.accepted is False:
            continue
        wrong = [name for name in {*slots, *hypothesis.slots} if slots.get(name) != hypothesis.slots.get(name)]
        wrong_slots.update(wrong)
        num_right += not wrong
    return {
        "num_commands": len(wanted),
        "num_accepted": num_right,
        "acceptance": num_right / len(wanted),
        "acceptance_interval": list(metrics.share_interval(num_right, len(wanted))),
        "wrong_slots": dict(wrong_slots.most_common()),
    }


def _score_slices(
    decoded: Decoded, words: Sequence[metrics.ErrorCounts], field: str, *, resamples: int
) -> dict[str, Any]:
    values = [
        duration if field == "duration" else _field_of(example.utterance, field)
        for example, duration in zip(decoded.examples, decoded.durations, strict=True)
    ]
    groups, num_missing = [], 0
    for part in metrics.slice_by(values):
        counts = [words[index] for index in part.indices]
        total = metrics.total(counts)
        group: dict[str, Any] = {"value": part.value} if part.value is not None else {}
        if part.low is not None:
            group |= {"low": part.low, "high": part.high}
        num_missing += len(counts) if not group else 0
        group |= {
            "num_utterances": len(counts),
            "words": total.reference_length,
            "errors": total.errors,
            "wer": total.rate,
        }
        if resamples:
            group["wer_interval"] = _interval(counts, resamples)
        groups.append(group)
    kind = "number" if any("low" in group for group in groups) else "text"
    if kind == "text":
        groups.sort(key=lambda group: ("value" not in group, -(group["wer"] or 0.0)))
    return {"field": field, "kind": kind, "num_missing": num_missing, "groups": groups}


def _field_of(utterance: Utterance, field: str) -> Any:
    value = getattr(utterance, field) if field in _FIELDS else utterance.extra.get(field)
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value


def _require_fields(manifest: Path, fields: Sequence[str]) -> None:
    """Says before the long work that a field cannot be scored by."""
    utterances = read_manifest(manifest)
    known = {*_FIELDS, *(key for utterance in utterances for key in utterance.extra)}
    for field in fields:
        if field not in known:
            raise UserError(
                f"{manifest}: no line has the field {field!r} to score by; there are {', '.join(sorted(known))}"
            )
        for utterance in utterances:
            value = _field_of(utterance, field)
            if isinstance(value, list | dict):
                raise UserError(
                    f"{manifest}:{utterance.line}: {field} is {value!r}; a field to score by holds a number or a text"
                )


def _confusions(alignments: Sequence[Sequence[metrics.AlignedPair]]) -> dict[str, Any]:
    found = metrics.confusions(alignments)
    return {
        "substitutions": [
            {"reference": reference, "hypothesis": hypothesis, "count": count, "spoken": found.spoken[reference]}
            for reference, hypothesis, count in found.substitutions[:_MOST_CONFUSIONS]
        ],
        "insertions": [{"word": word, "count": count} for word, count in found.insertions[:_MOST_CONFUSIONS]],
        "deletions": [
            {"word": word, "count": count, "spoken": found.spoken[word]}
            for word, count in found.deletions[:_MOST_CONFUSIONS]
        ],
    }


def _confidence(
    hypotheses: Sequence[Hypothesis], alignments: Sequence[Sequence[metrics.AlignedPair]]
) -> dict[str, Any] | None:
    confidences, right = [], []
    for hypothesis, pairs in zip(hypotheses, alignments, strict=True):
        for word, is_right in zip(hypothesis.words, metrics.words_right(pairs), strict=True):
            confidences.append(word.confidence)
            right.append(is_right)
    if not confidences:
        return None
    bins = metrics.reliability(confidences, right)
    return {
        "num_words": len(right),
        "num_right": sum(right),
        "auc": metrics.area_under_curve(confidences, right),
        "calibration_error": metrics.calibration_error(bins),
        "bins": [entry._asdict() for entry in bins],
    }
