"""What `speechgru tune --decoding` does on the command line."""

from __future__ import annotations

from pathlib import Path

from speechgru.cli.console import (
    Table,
    needs_training_packages,
    number_column,
    print_beginning,
    print_json,
    print_next,
    print_notes,
    show_progress,
    terminal,
)
from speechgru.cli.decoding import describe_interval
from speechgru.files import require_file_place, require_unread
from speechgru.visible import counted


def tune_the_beam(
    recogniser: Path,
    manifest: Path,
    *,
    form: str | None,
    beam_width: int | None,
    hotword: list[str] | None,
    hotwords: Path | None,
    lm: bool,
    language_model: Path | None,
    gru_language_model: Path | None,
    out: Path,
    test: Path,
    as_json: bool,
) -> None:
    """Chooses the numbers of a beam on a dev set, and writes them."""
    print_beginning(f"scoring {recogniser} on {manifest}")
    from speechgru.decoding import options_from_lists
    from speechgru.decoding.options import USUAL_BEAM_WIDTH
    from speechgru.files import write_json
    from speechgru.scoring.decoding_tuning import as_file, tune_decoding

    require_file_place(out)
    require_unread([out], [recogniser, manifest, hotwords, language_model, gru_language_model])
    options = options_from_lists(
        beam_width=beam_width or USUAL_BEAM_WIDTH,
        hotwords=hotword or (),
        hotword_file=hotwords,
        language=lm,
        language_model=language_model,
        gru_language_model=gru_language_model,
    )
    with show_progress(quiet=as_json) as progress:
        result = needs_training_packages(
            lambda: tune_decoding(recogniser, manifest, decoding=options, form=form, progress=progress)
        )
    record = as_file(result, recogniser=str(recogniser), manifest=str(manifest))
    write_json(out, record)
    if as_json:
        print_json(
            dict(record)
            | {
                "tried": [
                    tried.settings.as_record()
                    | {"what": tried.what, "word_errors": tried.errors.words, "complete": tried.errors.is_complete}
                    for tried in result.tried
                ]
            }
        )
        return
    print_notes(result.notes)
    table = Table(
        "",
        "numbers",
        *map(number_column, ("beam width", "WER", "RTF")),
        title=f"{recogniser} on {manifest}: {counted(result.num_utterances, 'utterance')}, "
        f"{counted(result.num_words, 'word')}",
    )
    for tried in result.tried:
        values = tried.settings.as_record()
        beam_width = values.pop("beam_width")
        wer = f"{result.wer(tried):.2%}"
        table.add_row(
            "chosen" if tried is result.chosen else tried.what,
            ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in values.items()),
            str(beam_width),
            wer if tried.errors.is_complete else f"over {wer}",
            f"{result.rtf(tried):.4f}" if tried.errors.is_complete else "",
        )
    terminal.print(table)
    interval = f" (95 % interval {describe_interval(result.interval)})" if result.interval else ""
    before = result.wer(result.tried[1])
    terminal.print(
        f"{out}: WER {result.wer(result.chosen):.2%}{interval}, {before:.2%} before, "
        f"{result.wer(result.tried[0]):.2%} greedy",
        soft_wrap=True,
    )
    given: list[str | Path] = ["--lm"] if lm else ["--language-model", language_model] if language_model else []
    given += ["--gru-language-model", gru_language_model] if gru_language_model else []
    given += [part for phrase in hotword or () for part in ("--hotword", phrase)]
    given += ["--hotwords", hotwords] if hotwords else []
    given += ["--form", form] if form else []
    print_next("evaluate", recogniser, "--manifest", test, *given, "--decoding", out)
