"""The page of an export: how its forms compare with the trained model, and what a device or a port must know.

It shows the contents of `bundle.json`, and reads nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speechgru.report import html
from speechgru.report.page import Record, write_page

#: Labels shown of a vocabulary; `bundle.json` has all.
_MAX_LABELS = 60
_RAISED = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
_FOOTER = (
    "A real-time factor (RTF) is seconds of computing per second of audio. Error rates are all errors over all words "
    "of the references. The numbers are those of bundle.json."
)
_FORMS_LEAD = (
    "Each form transcribed the same recordings as the trained model, one at a time on one thread. The largest "
    "difference is that of any log-probability from the trained model's; of a stream, which is fed in small pieces, "
    "from the same form on the complete recording. Start and memory are those of a process that does nothing else."
)


def report_export(metadata: Record, out: str | Path, *, signatures: Mapping[str, str] | None = None) -> Path:
    """Writes an export as a self-contained HTML page: the forms compared, input and output, stream, files, vectors.

    Args:
        metadata: what `export` returned, or `bundle.json` read back. Parts that it lacks are left out of the page.
        out: the HTML file to write; its folder is made when missing, an older file is replaced atomically.
        signatures: the inputs and outputs of each signature of the SavedModel, by name, with code between backticks;
            without it only the names are shown.

    Returns:
        `out`.

    Raises:
        UserError: the file cannot be written.
    """
    sections = [
        html.section("result", "Result", _headline(metadata), lead=_lead(metadata)),
        html.section("forms", "How the forms compare", _forms(metadata), lead=_FORMS_LEAD),
        html.section("io", "Input and output", _facts(metadata)),
        html.section("stream", "The stream", _stream(metadata), lead=_stream_lead(metadata)),
        html.section("files", "Files", _files(metadata)),
        html.section("golden", "Golden vectors", _golden(metadata), lead=_golden_lead(metadata)),
        html.section("savedmodel", "The SavedModel's signatures", _signatures(metadata, signatures or {})),
    ]
    return write_page(out, "The exported recogniser", sections, footer=_FOOTER)


def _lead(metadata: Record) -> str:
    facts = []
    if metadata.get("default_form"):
        facts.append(f"form {metadata['default_form']}, the bundle's default")
    if html.is_number(metadata.get("parity_utterances")):
        facts.append(f"{html.count(metadata['parity_utterances'])} recordings compared")
    return " \u00b7 ".join(facts)


def _headline(metadata: Record) -> str:
    """The default form in large numbers, and how far the float forms are from the trained model."""
    forms = {str(record.get("form")): record for record in metadata.get("parity") or ()}
    if not forms:
        return ""
    trained, others = forms.get("Keras", {}), [record for name, record in forms.items() if name != "Keras"]
    chosen = forms.get(f"TFLite {metadata.get('default_form')}") or (others[0] if others else trained)
    trained_wer = html.percent(trained.get("wer"))
    numbers = [
        ("Word error rate", html.percent(chosen.get("wer")), f"the trained model {trained_wer}" if trained else ""),
        ("Size", html.size(chosen.get("size_bytes")), ""),
        ("Real-time factor", html.real_time_factor(chosen.get("rtf")), html.real_time(chosen.get("rtf"))),
        ("Largest difference", _difference(chosen.get("max_difference")), "of a log-probability"),
    ]
    if "latency_seconds" in metadata:
        latency = metadata["latency_seconds"]
        numbers.append(
            ("Latency", html.seconds(latency["greatest"]), "of sound at most")
            if latency
            else ("Latency", "all", "of the recording: it does not stream")
        )
    return html.numbers([entry for entry in numbers if entry[1] != html.MISSING])


def _forms(metadata: Record) -> str:
    parity: Sequence[Record] = metadata.get("parity") or ()
    if not parity:
        return ""
    columns = [
        ("size_bytes", "kB", lambda value: f"{value / 1000:,.0f}"),
        ("max_difference", "Largest\ndifference", _difference),
        ("wer", "WER", html.percent),
        ("wer_change", "WER\nchange", _change),
        ("rtf", "RTF", html.real_time_factor),
        ("stream_difference", "Largest\nof a stream", _difference),
        ("stream_rtf", "RTF\nof a stream", html.real_time_factor),
        ("start_seconds", "Start", html.seconds),
        ("peak_memory_mb", "Peak\nmemory", lambda value: html.size(value * 1e6)),
    ]
    columns = [column for column in columns if any(html.is_number(record.get(column[0])) for record in parity)]
    return html.table(
        ["Form", *(heading for _, heading, _ in columns)],
        [
            [
                html.plain(record.get("form")),
                *(
                    describe(record[key]) if html.is_number(record.get(key)) else html.MISSING
                    for key, _, describe in columns
                ),
            ]
            for record in parity
        ],
        caption=f"{html.count(metadata.get('parity_utterances'))} recordings of the dev set. A WER's change is "
        "absolute: from 3.0 % to 3.2 % it is +0.20 %.",
    )


def _difference(value: Any) -> str:
    if not html.is_number(value) or math.isnan(value):
        return html.MISSING
    if value == 0 or 0.001 <= value < 1000 or math.isinf(value):
        return f"{value:.2g}"
    digits, power = f"{value:.1e}".split("e")
    return f"{digits}\u00b710{str(int(power)).translate(_RAISED)}"


def _change(value: Any) -> str:
    return ("+" if html.is_number(value) and value > 0 else "") + html.percent(value)


def _facts(metadata: Record) -> str:
    model, features = metadata.get("model") or {}, metadata.get("features") or {}
    dev, provenance = metadata.get("dev"), metadata.get("provenance") or {}
    facts: list[tuple[str, Any]] = []
    if "sample_rate" in metadata:
        facts.append(("Input", f"one channel at {metadata['sample_rate']:,} Hz; other rates are resampled"))
    if metadata.get("entries"):
        facts.append(("Output", _labels(metadata["entries"], str(metadata.get("unit", "label")))))
    if metadata.get("text"):
        facts.append(("Texts it was trained on", _rules(metadata["text"])))
    if model:
        facts.append(("Model", f"{model.get('num_layers')} x {model.get('units')} GRU, {_direction(metadata)}"))
    facts += [
        ("Weights", metadata.get("parameters")),
        ("A step every", f"{1000 * metadata['step_seconds']:g} ms" if "step_seconds" in metadata else None),
    ]
    if features:
        facts.append(
            (
                "Front end",
                f"{features.get('n_mels')} mel filters, {html.plain(features.get('f_min_hz'))} to "
                f"{html.plain(features.get('f_max_hz'))} Hz, windows of {features.get('frame_length_ms'):g} ms every "
                f"{features.get('hop_length_ms'):g} ms, normalisation {features.get('normalization')}",
            )
        )
    if "latency_seconds" in metadata:
        facts.append(("Latency", _latency(metadata["latency_seconds"])))
    facts += [
        ("Dev set, all of it", f"WER {html.percent(dev['wer'])}, CER {html.percent(dev['cer'])}" if dev else None),
        ("Exported", provenance.get("created")),
        ("By", f"speechgru {metadata['speechgru_version']}" if "speechgru_version" in metadata else None),
        ("Commit", str(provenance["commit"])[:12] if provenance.get("commit") else None),
    ]
    return html.definitions([(name, value) for name, value in facts if value is not None], kind="facts")


def _labels(entries: Sequence[str], unit: str) -> str:
    shown = [entry.replace(" ", "\u2423") for entry in entries[:_MAX_LABELS]]
    left = len(entries) - len(shown)
    return (
        f"{len(entries):,} {unit}s: "
        + ("" if unit == "character" else ", ").join(shown)
        + (f" and {left:,} more" if left else "")
    )


def _rules(rules: Record) -> str:
    parts = [str(rules["normalization"])] if rules.get("normalization") else []
    if rules.get("lowercase"):
        parts.append("in small letters")
    if rules.get("remove_punctuation"):
        kept = rules.get("keep_punctuation")
        parts.append("without punctuation" + (f" other than {kept}" if kept else ""))
    return ", ".join(parts)


def _direction(metadata: Record) -> str:
    model, hop = metadata["model"], (metadata.get("features") or {}).get("hop_length_ms")
    direction = str(model.get("direction"))
    if not html.is_number(hop):
        return direction
    ahead = f"{hop * model['lookahead_frames']:g} ms ahead" if model.get("lookahead_frames") else "no look-ahead"
    if direction == "chunked":
        return f"{direction}, {hop * model['chunk_frames']:g} ms at a time, {ahead}"
    return f"{direction}, {ahead}" if direction == "forward" else direction


def _latency(latency: Record | None) -> str:
    if not latency:
        return "the complete recording: it does not stream"
    return f"{latency['least']:.2f} to {latency['greatest']:.2f} s of sound, from a step's first sample to its answer"


def _stream_lead(metadata: Record) -> str:
    if not metadata.get("stream"):
        return ""
    return (
        "The signature stream takes new samples and the state before them, and returns log-probabilities and the state "
        "after them. The bundle's README.md explains how to call it."
    )


def _stream(metadata: Record) -> str:
    stream = metadata.get("stream")
    if not stream:
        obstacle = metadata.get("stream_obstacle")
        return (
            f'<p class="quiet">It transcribes complete recordings only: {html.text(obstacle)}.</p>' if obstacle else ""
        )
    sizes, geometry, rate = stream["sizes"], stream["geometry"], metadata["sample_rate"]

    def samples(number: int) -> str:
        return f"{number:,} samples, {1000 * number / rate:.4g} ms"

    facts_html = html.definitions(
        [
            ("New samples a call", samples(sizes["chunk_samples"])),
            ("Steps a call returns", geometry["chunk_steps"]),
            ("Before the first call", samples(sizes["first_samples"])),
            ("The window of a call", f"{samples(sizes['window_samples'])}, {sizes['window_frames']} frames"),
            ("Steps computed ahead", geometry["lookahead_steps"]),
            ("Steps of delay", geometry["delay_steps"]),
        ],
        kind="facts",
    )
    shapes = {name: list(shape) for name, shape in stream["states"].items()}
    total = sum(math.prod(shape) for shape in shapes.values())
    table_html = html.table(
        ["State", "Shape", "Numbers", "Size"],
        [
            [name, _shape(shape), html.count(math.prod(shape)), html.size(4 * math.prod(shape))]
            for name, shape in shapes.items()
        ],
        caption=f"The state of one stream, float32: {html.count(total)} numbers, {html.size(4 * total)}.",
    )
    return f'{facts_html}<div class="part">{table_html}</div>'


def _shape(shape: Sequence[int]) -> str:
    return " \u00d7 ".join(f"{length:,}" for length in shape)


def _files(metadata: Record) -> str:
    models: Mapping[str, Record] = metadata.get("models") or {}
    if not models:
        return ""
    return html.table(
        ["File", "Form", "Size", "SHA-256"],
        [
            [
                html.plain(record.get("file")),
                form + ("\nthe default" if form == metadata.get("default_form") else ""),
                html.size(record.get("size_bytes")),
                html.plain(str(record.get("sha256") or "")[:16]),
            ]
            for form, record in models.items()
        ],
        caption="Each file is a bundle by itself: its own metadata has all of this. Checksums are cut to 16 digits.",
        text_columns=2,
    )


def _golden_lead(metadata: Record) -> str:
    lead = "The input and the expected output of each stage, for testing a port (golden/golden.json)."
    if any(case.get("name") == "speech" for case in metadata.get("golden") or ()):
        lead += " The case speech is a recording of the dev set: leave golden/ out where it must not travel."
    return lead


def _golden(metadata: Record) -> str:
    cases: Sequence[Record] = metadata.get("golden") or ()
    if not cases:
        return ""
    arrays = dict.fromkeys(stage for case in cases for stage in case["arrays"])
    array_table_html = html.table(
        ["Stage", *(str(case["name"]) for case in cases)],
        [
            [stage, *(_shape(case["arrays"][stage]["shape"]) if stage in case["arrays"] else "" for case in cases)]
            for stage in arrays
        ],
        caption="Shapes of the arrays, raw little-endian float32.",
    )
    forms = dict.fromkeys(form for case in cases for form in case["texts"])
    text_table_html = html.table(
        ["Form", *(str(case["name"]) for case in cases)],
        [[form, *(case["texts"].get(form) or "(nothing)" for case in cases)] for form in forms],
        caption="What each form transcribes.",
        text_columns=1 + len(cases),
    )
    return f'<div class="panels"><div>{array_table_html}</div><div>{text_table_html}</div></div>'


def _signatures(metadata: Record, described: Mapping[str, str]) -> str:
    inner = "".join(
        f"<dt><code>{html.text(name)}</code></dt><dd>{_with_code(described.get(name, ''))}</dd>"
        for name in metadata.get("saved_model") or ()
    )
    return f'<dl class="texts">{inner}</dl>' if inner else ""


def _with_code(line: str) -> str:
    """A line of Markdown whose only marks are backticks."""
    parts = line.split("`")
    return "".join(
        f"<code>{html.text(part)}</code>" if place % 2 else html.text(part) for place, part in enumerate(parts)
    )
