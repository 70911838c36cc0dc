"""The page of the corpus doctor: what is wrong with which line, and what the manifests contain.

It shows what `check` writes to `check.json`, and reads nothing but that and the recordings to play.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from speechgru.report import html
from speechgru.report.page import Record, write_page
from speechgru.report.utterances import MAX_PLAYER_SECONDS, player
from speechgru.utterances.check_charts import character_chart, histogram, manifest_key
from speechgru.utterances.rules import meanings
from speechgru.visible import counted

#: Lines listed for one reason in one manifest, and players: for one reason, and in all.
_MAX_LINES, _MAX_PLAYERS_A_REASON, _MAX_PLAYERS = 50, 4, 36
_MAX_SPEAKERS, _MAX_NAMES = 20, 12
#: With more accusations than this only the left out are unfolded.
_MAX_UNFOLDED = 40

_FOOTER = (
    "A level is the root mean square of a recording, in dB of full scale. Lengths are those at the rate that training "
    "resamples to. check.json has everything that is shown here, and every line that is not."
)
_CHARTS = (
    ("seconds", "Length in seconds", "s"),
    ("characters_per_second", "Characters a second", ""),
    ("level_db", "Level (root mean square) in dB of full scale", "dB"),
    ("peak_db", "Loudest sample in dB of full scale", "dB"),
)


def write_corpus_report(path: str | Path, record: Record) -> Path:
    """Writes what `check` found as one self-contained HTML file.

    Args:
        path: the file to write.
        record: the contents of `check.json`.

    Returns:
        The path of the file.

    Raises:
        UserError: the file cannot be written.
    """
    manifests = record["manifests"]
    names = short_names([entry["manifest"] for entry in manifests])
    sections = [
        html.section("result", "Result", _headline(manifests), lead=" \u00b7 ".join(names)),
        html.section(
            "reasons",
            "Reasons",
            _reason_table(manifests, names),
            lead="A line that is left out cannot be used, or is suspect for a reason in check.leave_out; training "
            "skips exactly these lines. The other suspect lines are used: check them.",
        ),
        html.section("lines", "Lines", _lines(manifests, names)),
        html.section("between", "Between the manifests", _between(manifests, names)),
        html.section("recordings", "Recordings", _recordings(record, names)),
        html.section("speakers", "Speakers", _speakers(manifests, names)),
        html.section("texts", "Texts", _texts(manifests, names)),
    ]
    title = f"Corpus check of {some(names, most=3)}"
    return write_page(path, title, sections, footer=_FOOTER)


def short_names(paths: Sequence[str]) -> list[str]:
    """The files' names, with as many folders as it takes to distinguish them."""
    parts = [Path(path).parts for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        names = [os.path.join(*part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return list(paths)


def _headline(manifests: Sequence[Record]) -> str:
    lines = sum(entry["utterances"] for entry in manifests)
    left_out = sum(entry["left_out"] for entry in manifests)
    suspect = sum(
        len({accusation["line"] for accusation in entry["accusations"] if not accusation["left_out"]})
        for entry in manifests
    )
    numbers = [
        ("Left out", html.count(left_out), f"{html.percent(left_out / lines)} of all lines" if lines else ""),
        ("Suspect, but used", html.count(suspect), f"{html.percent(suspect / lines)} of all lines"),
        ("Utterances", html.count(lines), f"in {html.count(sum(entry['files'] for entry in manifests))} files"),
        ("Audio", html.rough_time(sum(entry["seconds"] for entry in manifests)), "that can be read"),
    ]
    return html.numbers(numbers)


def _reason_table(manifests: Sequence[Record], names: Sequence[str]) -> str:
    rows, known = [], meanings()
    for reason in dict.fromkeys([*known, *(key for entry in manifests for key in _all_counts(entry))]):
        left_out = [entry["counts"].get(reason, 0) for entry in manifests]
        suspect = [entry["suspicion_counts"].get(reason, 0) for entry in manifests]
        if not any(left_out) and not any(suspect):
            continue
        cells = [
            html.count(first + second) + (f"\n{html.count(first)} left out" if first else "")
            if first + second
            else html.MISSING
            for first, second in zip(left_out, suspect, strict=True)
        ]
        rows.append([f"{reason}\n{known.get(reason, '')}", *cells])
    if not rows:
        return '<p class="quiet">No line has a problem.</p>'
    return html.table(["Reason", *names], rows, caption="Lines by reason; a line may have several.")


def _all_counts(entry: Record) -> list[str]:
    return [*entry["counts"], *entry["suspicion_counts"]]


def _lines(manifests: Sequence[Record], names: Sequence[str]) -> str:
    """Every reason of every manifest with its first lines and some of their recordings."""
    total = sum(len(entry["accusations"]) for entry in manifests)
    players_left = _MAX_PLAYERS
    parts = []
    for entry, name in zip(manifests, names, strict=True):
        by_reason: dict[str, list[Record]] = {}
        for accusation in entry["accusations"]:
            by_reason.setdefault(accusation["reason"], []).append(accusation)
        for reason in sorted(by_reason, key=_severity):
            accusations = by_reason[reason]
            shown = accusations[:_MAX_LINES]
            playable = 0 if reason in ("unreadable", "no samples") else _MAX_PLAYERS_A_REASON
            num_players = min(playable, players_left, len(shown))
            players_left -= num_players
            left_out = sum(accusation["left_out"] for accusation in accusations)
            state = "left out" if left_out == len(accusations) else f"{left_out} left out" if left_out else "used"
            title = f"{name}: {reason}, {counted(len(accusations), 'line')}, {state}"
            rows = "".join(_line_row(line, with_player=k < num_players) for k, line in enumerate(shown))
            more = len(accusations) - len(shown)
            opened = " open" if total <= _MAX_UNFOLDED or left_out else ""
            parts.append(
                f"<details{opened}><summary>{html.text(title)}</summary>"
                + html.scroll(
                    '<table style="table-layout: fixed; min-width: 44rem"><thead><tr>'
                    '<th scope="col" style="width: 4.5rem">Line</th>'
                    '<th scope="col" class="text" style="width: 30%">Recording</th>'
                    f'<th scope="col" class="text">What is wrong</th></tr></thead><tbody>{rows}</tbody></table>',
                    name=title,
                )
                + (f'<p class="quiet">And {counted(more, "line")} more, in check.json.</p>' if more else "")
                + "</details>"
            )
    return "".join(parts)


def _severity(reason: str) -> int:
    known = list(meanings())
    return known.index(reason) if reason in known else len(known)


def _line_row(line: Record, *, with_player: bool) -> str:
    wrap = 'class="text" style="white-space: normal; overflow-wrap: anywhere"'
    offset, duration = line["offset"], line["duration"]
    channel = f"channel {line['channel']}" if line.get("channel") else ""
    known = [
        channel,
        f"at {offset:g} s" if offset else "",
        html.seconds(duration) if duration else "",
        line["speaker"] or "",
    ]
    facts = " \u00b7 ".join(fact for fact in known if fact)
    message = str(line["message"]).removeprefix(f"{line['audio_filepath']}: ")
    player_html = ""
    if with_player:
        player_html = player({**line, "duration": min(duration or MAX_PLAYER_SECONDS, MAX_PLAYER_SECONDS)})
    return (
        f'<tr><th scope="row">{html.count(line["line"])}</th>'
        f'<td {wrap} title="{html.text(line["audio_filepath"])}">'
        f"{html.text(os.path.basename(line['audio_filepath']))}"
        f"<small>{html.text(facts)}</small></td>"
        f'<td {wrap}>{html.text(message)}<small dir="auto">{html.text(line["text"]) or "(no transcript)"}</small>'
        f"{player_html}</td></tr>"
    )


def _speakers_shared(shared: Record) -> str:
    """How many speak in both manifests; as far as that is known."""
    number = len(shared["speakers"])
    if not shared.get("speakers_unknown"):
        return html.count(number)
    return f"{html.count(number)} known" if number else "speakers unknown"


def _between(manifests: Sequence[Record], names: Sequence[str]) -> str:
    """What each two manifests share: facts, which are faults only where the corpus was to be split by them."""
    name_of = dict(zip((entry["manifest"] for entry in manifests), names, strict=True))
    rows, lists = [], []
    for entry, name in zip(manifests, names, strict=True):
        for shared in entry["shared"]:
            pair = f"{name} and {name_of[shared['manifest']]}"
            rows.append(
                [
                    pair,
                    _speakers_shared(shared),
                    html.count(len(shared["recordings"])),
                    html.percent(shared["text_share"]),
                    html.percent(shared["unseen_word_share"]),
                ]
            )
            lists += [(f"{what} in {pair}", some(shared[key])) for what, key in _SHARED_LISTS if shared[key]]
    if not rows:
        return ""
    headings = [
        "Trained on and held out",
        "Speakers\nin both",
        "Files cut\ninto both",
        "Texts seen\nof the second's utterances",
        "Words unseen\nof the second's words",
    ]
    return (
        html.table(
            headings,
            rows,
            caption="Speakers and texts in both make a test easier than new voices and sentences would; whether that "
            "is intended, only the corpus's makers know. Different parts of one file share voice and room.",
        )
        + f'<div style="margin-top: 1rem">{html.definitions(lists, kind="facts")}</div>'
    )


_SHARED_LISTS = (("Speakers", "speakers"), ("Files", "recordings"))


def some(values: Sequence[str], *, most: int = _MAX_NAMES) -> str:
    """The first of a list, paths by their files' names, and how many more there are."""
    return html.first_of([os.path.basename(value) for value in values], most=most)


def _recordings(record: Record, names: Sequence[str]) -> str:
    manifests, charts = record["manifests"], record["histograms"]
    drawn = [(histogram(charts[key], title=title, unit=unit, names=names), title) for key, title, unit in _CHARTS]
    panels = "".join(f"<figure>{svg}<figcaption>{title}</figcaption></figure>" for svg, title in drawn if svg)
    if not panels:
        return ""
    rows = []
    for entry, name in zip(manifests, names, strict=True):
        for kind in entry["recordings"]:
            rows.append(
                [
                    name,
                    f"{html.count(kind['sample_rate'])} Hz",
                    html.count(kind["num_channels"]),
                    kind["format"] or html.MISSING,
                    html.count(kind["utterances"]),
                    _treatment(kind, record["sample_rate"]),
                ]
            )
    return (
        manifest_key(names)
        + f'<div class="panels" style="margin-bottom: 1rem">{panels}</div>'
        + html.table(
            ["Manifest", "Sample rate", "Channels", "Format", "Utterances", "What training does"],
            rows,
            caption="The files as they are. In the charts the last bin includes everything longer or faster.",
        )
    )


def _treatment(kind: Record, sample_rate: int) -> str:
    done = []
    if kind["num_channels"] > 1:
        done.append(f"{kind['num_channels']} channels mixed down to one")
    if kind["sample_rate"] != sample_rate:
        done.append(f"resampled to {sample_rate:,} Hz")
    if kind["sample_rate"] < sample_rate:
        done.append(f"nothing above {kind['sample_rate'] / 2:,.0f} Hz in it")
    return ", ".join(done) or "nothing"


def _speakers(manifests: Sequence[Record], names: Sequence[str]) -> str:
    spoken: dict[str, list[Record | None]] = {}
    for index, entry in enumerate(manifests):
        for speaker in entry["speakers"]:
            if speaker["speaker"] is not None:
                spoken.setdefault(speaker["speaker"], [None] * len(manifests))[index] = speaker
    unknown = sum(
        speaker["utterances"] for entry in manifests for speaker in entry["speakers"] if speaker["speaker"] is None
    )
    notes = f'<p class="quiet">{counted(unknown, "utterance")} without a speaker.</p>' if unknown else ""
    if not spoken:
        return notes
    ordered = sorted(spoken, key=lambda name: -sum(entry["seconds"] for entry in spoken[name] if entry))
    rows = [
        [
            name,
            *(
                f"{html.seconds(entry['seconds'])}\n{counted(entry['utterances'], 'utterance')}"
                if entry
                else html.MISSING
                for entry in spoken[name]
            ),
        ]
        for name in ordered[:_MAX_SPEAKERS]
    ]
    caption = counted(len(ordered), "speaker")
    if len(ordered) > _MAX_SPEAKERS:
        caption += f", the {_MAX_SPEAKERS} with the most audio"
    return html.table(["Speaker", *names], rows, caption=f"{caption}.") + notes


def _texts(manifests: Sequence[Record], names: Sequence[str]) -> str:
    rows = [
        [
            name,
            *(
                html.count(entry[key])
                for key in ("utterances", "distinct_texts", "empty_texts", "words", "distinct_words", "unknown_words")
            ),
        ]
        for entry, name in zip(manifests, names, strict=True)
    ]
    table = html.table(
        ["Manifest", "Utterances", "Different texts", "Empty", "Words", "Different words", "Words that are no label"],
        rows,
        caption="After normalisation, as training reads them.",
    )
    return table + character_chart(manifests) + _repeated(manifests, names)


def _repeated(manifests: Sequence[Record], names: Sequence[str]) -> str:
    rows = [
        [text["text"], html.count(text["utterances"]), name]
        for entry, name in zip(manifests, names, strict=True)
        for text in entry["most_repeated_texts"]
    ]
    if not rows:
        return ""
    table = html.table(
        ["Text", "Utterances", "Manifest"],
        rows,
        caption="The texts of the most utterances. A corpus of commands repeats its texts; in one of sentences that "
        "may be a mistake.",
    )
    return f"<details><summary>The most repeated texts</summary>{table}</details>"
