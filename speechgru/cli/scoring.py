"""Commands that transcribe: evaluate, calibrate, transcribe, and what is kept for them as negatives."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from speechgru.cli.console import (
    JsonFlag,
    app,
    err,
    import_module,
    needs_training_packages,
    print_json,
    show_progress,
    terminal,
    whole_column,
)
from speechgru.errors import UserError
from speechgru.grammar import describe_slots

#: How to decode, alike in `evaluate` and `transcribe`.
_BeamWidth = Annotated[
    int | None,
    typer.Option(min=1, help="Texts that a beam search follows; 1 is greedy. 16 where the options below need one."),
]
_Hotword = Annotated[
    list[str] | None, typer.Option("--hotword", metavar="TEXT[=BOOST]", help="A phrase to prefer; may be repeated.")
]
_Hotwords = Annotated[
    Path | None, typer.Option("--hotwords", help="File with such a phrase a line, its boost after a tab or none.")
]
_Phrases = Annotated[Path | None, typer.Option("--phrases", help="File with the only texts allowed, one a line.")]
_RepeatPhrases = Annotated[bool, typer.Option("--repeat-phrases", help="Allow any sequence of the phrases.")]
_Silence = Annotated[
    bool, typer.Option("--silence/--no-silence", help="With phrases or a grammar: whether nothing may be the answer.")
]
_GrammarFlag = Annotated[
    bool, typer.Option("--grammar", help="Allow only sentences of the recogniser's grammar; show intent and slots.")
]
_GrammarFile = Annotated[
    Path | None, typer.Option("--grammar-file", help="Another grammar to use so: a file of sentence templates.")
]
_Scorer = Annotated[
    list[str] | None,
    typer.Option(
        "--scorer",
        metavar="FILE.py:FUNCTION[=ARGUMENT]",
        help="Python code of yours, which is run, that scores texts; may be repeated.",
    ),
]
_Threshold = Annotated[
    float | None,
    typer.Option(max=0, help="Least margin of a text that is accepted; the recogniser's own where none is given."),
]
_Negatives = Annotated[
    list[Path] | None,
    typer.Option("--negatives", help="Manifest of recordings without a command; may be repeated."),
]
_FalseAccepts = Annotated[
    float | None,
    typer.Option("--false-accepts-per-hour", min=0, help="Choose the threshold that keeps this rate; 1 by default."),
]
_Misses = Annotated[
    float | None,
    typer.Option("--misses", min=0, max=100, help="Or the one that misses at most this percentage of the commands."),
]


@app.command()
def evaluate(
    run_or_bundle: Annotated[Path, typer.Argument(help="A run folder or an exported bundle.")],
    manifest: Annotated[Path, typer.Option(help="What to score on.")],
    form: Annotated[str | None, typer.Option(help="Which of a bundle's models to run; see `export`.")] = None,
    worst: Annotated[int, typer.Option(min=0, help="How many of the worst utterances to show.")] = 5,
    slices: Annotated[
        list[str] | None,
        typer.Option("--slice", metavar="FIELD", help="Score by this field; may be repeated. Else speaker, duration."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="HTML file to write: slices, confusions, the worst with sound.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Utterances that a run computes at once.")] = 32,
    beam_width: _BeamWidth = None,
    hotword: _Hotword = None,
    hotwords: _Hotwords = None,
    phrases: _Phrases = None,
    repeat_phrases: _RepeatPhrases = False,
    grammar: _GrammarFlag = False,
    grammar_file: _GrammarFile = None,
    silence: _Silence = True,
    scorer: _Scorer = None,
    threshold: _Threshold = None,
    negatives: _Negatives = None,
    false_accepts_per_hour: _FalseAccepts = None,
    misses: _Misses = None,
    as_json: JsonFlag = False,
) -> None:
    """Score a run or a bundle: WER, CER, every utterance's errors, and on negatives what it accepts falsely.

    A command is missed when it is not accepted or recognised wrongly.
    Example: `speechgru evaluate runs/first --manifest data/mine/test.jsonl --slice speaker --report errors.html`
    """
    from speechgru.decoding import options_from_lists

    decoding = options_from_lists(
        beam_width=beam_width,
        hotwords=hotword or (),
        hotword_file=hotwords,
        phrase_file=phrases,
        repeat_phrases=repeat_phrases,
        grammar=grammar,
        grammar_file=grammar_file,
        silence=silence,
        scorers=scorer or (),
        threshold=threshold,
    )
    from speechgru.runtime import is_bundle

    if not is_bundle(run_or_bundle):
        needs_training_packages(lambda: import_module("tensorflow"))
    from speechgru.scoring.evaluation import evaluate as verb

    with show_progress(quiet=as_json) as progress:
        record = verb(
            run_or_bundle,
            manifest,
            form=form,
            slices=slices or ("speaker", "duration"),
            batch_size=batch_size,
            decoding=decoding,
            negatives=negatives or (),
            false_accepts_per_hour=false_accepts_per_hour,
            misses=None if misses is None else misses / 100,
            progress=progress,
        )
    if report is not None:
        import_module("speechgru.scoring.page").report_evaluation(record, report)
    if as_json:
        print_json(record)
        return
    table = Table("measure", "value", title=record["name"])
    interval = _describe_interval(record["wer_interval"])
    for name, value in {
        "decoding": record["decoding"]["description"],
        "WER": _describe_rate(record["wer"]) + (f"  (95 % interval {interval})" if interval else ""),
        "CER": _describe_rate(record["cer"]),
        "sentences with errors": f"{record['sentence_error_rate']:.2%}",
        **_commands_row(record["commands"]),
        "substitutions, insertions, deletions": "{substitutions}, {insertions}, {deletions}".format(**record),
        "words, utterances": f"{record['words']:,}, {record['num_utterances']:,}",
        "real-time factor": f"{record['rtf']:.4f}",
        "could not be read": str(record["num_skipped"]),
        **_describe_silence(record["silence"]),
    }.items():
        table.add_row(name, value)
    terminal.print(table)
    if "rejection" in record:
        terminal.print(_rejection_table(record["rejection"]))
    for entry in record["slices"] if slices else ():
        table = Table(entry["field"], "WER", "95 % interval", "words", "utterances", title=f"by {entry['field']}")
        for group in entry["groups"]:
            # resampling no error would look like certainty
            interval = _describe_interval(group["wer_interval"]) if group["errors"] else ""
            table.add_row(
                _describe_group(group),
                _describe_rate(group["wer"]),
                interval or "–",
                f"{group['words']:,}",
                f"{group['num_utterances']:,}",
            )
        terminal.print(table)
    bad = sorted((u for u in record["utterances"] if u["word_errors"]), key=lambda u: -u["word_errors"])[:worst]
    if bad:
        table = Table(whole_column("utterance"), "reference", "hypothesis", "errors", title="the worst")
        for utterance in bad:
            table.add_row(
                utterance["utterance_id"],
                utterance["reference"],
                utterance["hypothesis"],
                str(utterance["word_errors"]),
            )
        terminal.print(table)
    if report is not None:
        terminal.print(f"{report} shows it all", soft_wrap=True)


def _describe_rate(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:.2%}"


def _describe_interval(interval: Any) -> str:
    return "" if interval is None else f"{interval[0]:.2%} to {interval[1]:.2%}"


def _describe_silence(silence: dict[str, Any] | None) -> dict[str, str]:
    """False words where nothing was said, as a row; none where something was said everywhere."""
    if silence is None:
        return {}
    number = f"{silence['false_words']:,} in {silence['audio_seconds'] / 3600:.3g} h without a word"
    return {"false words": f"{number}, {silence['false_words_per_hour']:,.1f} an hour"}


def _rejection_table(rejection: dict[str, Any]) -> Table:
    """Thresholds by what they do: the one for the asked rate, the one in use, and some shares of misses."""
    number, wrong = rejection["num_commands"], rejection["num_wrong"]
    table = Table(
        whole_column("threshold for"),
        whole_column("margin"),
        "false accepts an hour",
        "misses",
        title=f"{number:,} {'command' if number == 1 else 'commands'}, {wrong:,} recognised wrongly, against "
        f"{rejection['negative_seconds'] / 3600:.2f} h of negatives (95 % intervals)",
    )
    asked = rejection["asked"]
    if asked["misses"] is not None:
        wanted = f"{100 * asked['misses']:g} % misses (asked)"
    else:
        wanted = f"{asked['false_accepts_per_hour']:g} an hour (asked)"
    rows = {wanted: rejection["chosen"], "in use": rejection["in_use"]}
    rows |= {f"{100 * point['misses']:g} % misses": point for point in rejection["at_misses"]}
    for name, point in rows.items():
        if point is not None:
            low, high = point["false_accepts_interval"]
            table.add_row(
                name,
                f"{point['threshold']:.3f}",
                f"{point['false_accepts_per_hour']:.2f} ({low:.2f} to {high:.2f})",
                f"{point['miss_rate']:.2%} ({_describe_interval(point['miss_interval'])})",
            )
        elif name == wanted:
            table.add_row(name, "none", "–", "more are recognised wrongly")
    return table


def _commands_row(commands: dict[str, Any] | None) -> dict[str, str]:
    """How many commands were accepted, where a grammar gives texts a meaning and the manifest knows it."""
    if commands is None:
        return {}
    low, high = commands["acceptance_interval"]
    return {"commands with intent and slots right": f"{commands['acceptance']:.2%}  ({low:.2%} to {high:.2%})"}


def _describe_group(group: dict[str, Any]) -> str:
    """A slice's group: its value, its range, or that it has none."""
    if "value" in group:
        return str(group["value"])
    if "low" not in group:
        return "(not given)"
    low, high = f"{group['low']:g}", f"{group['high']:g}"
    return low if low == high else f"{low} to {high}"


@app.command()
def calibrate(
    run_or_bundle: Annotated[Path, typer.Argument(help="A run folder or an exported bundle.")],
    dev: Annotated[Path, typer.Option(help="Manifest of commands that were not trained on.")],
    negatives: Annotated[list[Path], typer.Option(help="Manifest of recordings without a command; may be repeated.")],
    false_accepts_per_hour: _FalseAccepts = None,
    misses: _Misses = None,
    form: Annotated[str | None, typer.Option(help="Which of a bundle's models to run; see `export`.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Utterances that a run computes at once.")] = 32,
    beam_width: _BeamWidth = None,
    hotword: _Hotword = None,
    hotwords: _Hotwords = None,
    phrases: _Phrases = None,
    repeat_phrases: _RepeatPhrases = False,
    grammar: _GrammarFlag = False,
    grammar_file: _GrammarFile = None,
    silence: _Silence = True,
    scorer: _Scorer = None,
    as_json: JsonFlag = False,
) -> None:
    """Choose the margin below which a text is not accepted, and keep it in the run or bundle.

    A run's exports have it too. A threshold is for the decoding that it was chosen with: give the same options.
    Example: `speechgru calibrate bundle --dev dev.jsonl --negatives noise.jsonl --grammar --misses 3`
    """
    from speechgru.decoding import options_from_lists

    decoding = options_from_lists(
        beam_width=beam_width,
        hotwords=hotword or (),
        hotword_file=hotwords,
        phrase_file=phrases,
        repeat_phrases=repeat_phrases,
        grammar=grammar,
        grammar_file=grammar_file,
        silence=silence,
        scorers=scorer or (),
    )
    verb = needs_training_packages(lambda: import_module("speechgru.export.calibration").calibrate)
    with show_progress(quiet=as_json) as progress:
        record = verb(
            run_or_bundle,
            dev,
            negatives,
            form=form,
            false_accepts_per_hour=false_accepts_per_hour,
            misses=None if misses is None else misses / 100,
            batch_size=batch_size,
            decoding=decoding,
            progress=progress,
        )
    if as_json:
        print_json(record)
        return
    terminal.print(_rejection_table(record["rejection"]))
    terminal.print(
        f"{run_or_bundle} accepts a text from the margin {record['rejection']['chosen']['threshold']:.3f} on",
        soft_wrap=True,
    )


negatives_app = typer.Typer(help="Recordings in which nobody gave a command.", no_args_is_help=True)
app.add_typer(negatives_app, name="negatives")


@negatives_app.command("add")
def add_negatives(
    recordings: Annotated[list[Path], typer.Argument(help="Recordings in which something was found that nobody said.")],
    to: Annotated[Path, typer.Option(help="The manifest to add them to; made when missing.")],
    as_json: JsonFlag = False,
) -> None:
    """Add your own false accepts to a manifest of negatives.

    Give it to `evaluate` and `calibrate` as negatives, and to training: as data.negatives, or as one of data.train.
    Example: `speechgru negatives add tv.wav door.wav --to data/negatives.jsonl`
    """
    from speechgru.utterances.negatives import add_negatives as verb

    done = verb(recordings, to)
    if as_json:
        print_json({**dataclasses.asdict(done), "manifest": str(done.manifest)})
        return
    known = f", {done.num_known:,} were there already" if done.num_known else ""
    terminal.print(
        f"{done.manifest}: {done.num_added:,} added{known}; {done.seconds / 60:.1f} minutes in all", soft_wrap=True
    )


@app.command()
def transcribe(
    bundle: Annotated[Path, typer.Argument(help="The bundle folder.")],
    audio: Annotated[list[Path], typer.Argument(help="Recordings: any format, rate, channel count, length.")],
    form: Annotated[str | None, typer.Option(help="Which of the bundle's models to run.")] = None,
    beam_width: _BeamWidth = None,
    n_best: Annotated[int, typer.Option(min=1, help="Other readings to print too, with --json.")] = 1,
    hotword: _Hotword = None,
    hotwords: _Hotwords = None,
    phrases: _Phrases = None,
    repeat_phrases: _RepeatPhrases = False,
    grammar: _GrammarFlag = False,
    grammar_file: _GrammarFile = None,
    silence: _Silence = True,
    scorer: _Scorer = None,
    threshold: _Threshold = None,
    words: Annotated[bool, typer.Option("--words", help="Show when each word was said.")] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="Show the text while it is spoken, at the pace of speaking.")
    ] = False,
    endpoint: Annotated[
        float | None, typer.Option(help="With --stream: an utterance ends after this many seconds of silence.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Turn recordings into text with the bundle alone (no TensorFlow).

    Example: `speechgru transcribe bundle hello.wav --hotword kitchen --json`
    """
    from speechgru.decoding import EndpointRule, options_from_lists
    from speechgru.runtime.transcription import transcribe as verb

    if endpoint is not None and not stream:
        raise UserError("--endpoint cuts a stream into utterances; add --stream")
    if n_best > 1 and not as_json:
        raise UserError("--n-best prints several texts a recording, which a table has no place for; add --json")
    decoding = options_from_lists(
        beam_width=beam_width,
        n_best=n_best,
        hotwords=hotword or (),
        hotword_file=hotwords,
        phrase_file=phrases,
        repeat_phrases=repeat_phrases,
        grammar=grammar,
        grammar_file=grammar_file,
        silence=silence,
        scorers=scorer or (),
        threshold=threshold,
    )
    if stream:
        rule = None if endpoint is None else EndpointRule(trailing_seconds=endpoint)
        records = [_transcribe_live(bundle, path, form, decoding, rule, quiet=as_json) for path in audio]
    else:
        with show_progress(quiet=as_json) as progress:
            records = verb(bundle, audio, form=form, decoding=decoding, progress=progress)
    if as_json:
        print_json(records)
        return
    is_judged = any(record["accepted"] is not None for record in records)
    meanings = ["intent", "slots"] if decoding.grammar else []
    judgement = ["accepted"] if is_judged else []
    columns = [*meanings, "confidence", *judgement, *(["from", "to"] if words else [])]
    table = Table(whole_column("recording"), "text", *columns)
    for record in records:
        meaning = [record["intent"] or "–", describe_slots(record["slots"])] if meanings else []
        accepted = [{True: "yes", False: "no", None: ""}[record["accepted"]]] if is_judged else []
        table.add_row(record["audio_filepath"], record["text"], *meaning, f"{record['confidence']:.2f}", *accepted)
        for word in record["words"] if words else ():
            times = (f"{word[key]:.2f} s" for key in ("start_seconds", "end_seconds"))
            empty = [""] * len(meaning)
            table.add_row("", word["text"], *empty, f"{word['confidence']:.2f}", *[""] * len(accepted), *times)
    terminal.print(table)


def _transcribe_live(
    bundle: Path, path: Path, form: str | None, decoding: Any, endpoint: Any, *, quiet: bool
) -> dict[str, Any]:
    """One recording at the pace of speaking: on a terminal its text grows in a line, elsewhere a change is a line."""
    from rich.live import Live

    from speechgru.runtime.transcription import transcribe_live

    shown = ""

    def listener(seconds: float, result: Any) -> None:
        nonlocal shown
        for hypothesis in result.ended:
            meaning = f"  {hypothesis.intent} {describe_slots(hypothesis.slots)}" if hypothesis.intent else ""
            note = meaning + ("  (not accepted)" if hypothesis.accepted is False else "")
            err.print(f"{seconds:6.2f} s  {escape(hypothesis.text + note)}", highlight=False, soft_wrap=True)
        if result.text != shown:
            shown = result.text
            if live is not None:
                live.update(escape(shown))
            elif shown:
                err.print(f"{seconds:6.2f} s  {escape(shown)} ...", highlight=False, soft_wrap=True)

    live = Live("", console=err, transient=True) if err.is_terminal and not quiet else None
    with live or contextlib.nullcontext():
        return transcribe_live(
            bundle,
            path,
            listener=(lambda seconds, result: None) if quiet else listener,
            form=form,
            decoding=decoding,
            endpoint=endpoint,
        )
