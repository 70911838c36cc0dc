"""The pages of an export and of streaming models: right in what they say, self-contained, safe for any text."""

import json
import math
import re

import pytest
from test_report import HOSTILE, Page

from pipelines.streaming_page import report_streaming, tradeoff_chart
from speechgru.export.page import report_export

SIGNATURES = {"serving_default": "`samples` [B, N] -> `log_probs` [B, S, V]"}


def make_form(form, **changes):
    return {
        "form": form,
        "size_bytes": 2_350_000,
        "max_difference": 1.8e-5,
        "wer": 0.03,
        "wer_change": 0.0,
        "rtf": 0.0025,
        "stream_difference": 9.5e-7,
        "stream_rtf": 0.0043,
        "start_seconds": 0.4,
        "peak_memory_mb": 52.4,
    } | changes


def make_metadata(**changes):
    arrays = {"samples": {"file": "speech.samples.f32", "shape": [2377]}}
    arrays["log_probs.none"] = {"file": "speech.log_probs.none.f32", "shape": [15, 3]}
    keras = {"form": "Keras", "max_difference": 0.0, "wer": 0.03, "wer_change": 0.0}
    saved_model = keras | {"form": "SavedModel", "size_bytes": 4_043_982, "rtf": 0.049}
    return {
        "speechgru_version": "0.1.0",
        "sample_rate": 8000,
        "step_seconds": 0.02,
        "unit": "character",
        "entries": [" ", "a", "b"],
        "text": {"lowercase": True, "remove_punctuation": True, "keep_punctuation": "%", "normalization": "NFC"},
        "features": {"n_mels": 20, "f_min_hz": 20.0, "f_max_hz": 4000.0, "frame_length_ms": 25.0,
                     "hop_length_ms": 10.0, "normalization": "global"},
        "model": {"direction": "chunked", "chunk_frames": 32, "lookahead_frames": 16, "num_layers": 2, "units": 128},
        "parameters": 523_995,
        "latency_seconds": {"least": 0.1925, "greatest": 0.4925},
        "stream": {
            "geometry": {"chunk_steps": 16, "lookahead_steps": 8, "delay_steps": 0},
            "sizes": {"chunk_samples": 2560, "first_samples": 3940, "window_samples": 4228, "window_frames": 51},
            "states": {"context": [1, 1668], "state_0": [1, 128], "state_1": [1, 128]},
        },
        "stream_obstacle": None,
        "dev": {"step": 60, "wer": 0.0312, "cer": 0.01},
        "provenance": {"created": "2026-11-25T22:00:25Z", "commit": "6b927107cd06fb039b9e"},
        "default_form": "dynamic",
        "models": {
            "dynamic": {"file": "model.tflite", "size_bytes": 881_000, "sha256": "d79467c4695d552031ee7c98c5b9946f"},
            "none": {"file": "model-none.tflite", "size_bytes": 2_350_000, "sha256": "7421"},
        },
        "saved_model": ["serving_default", "features"],
        "parity_utterances": 200,
        "parity": [
            keras,
            make_form("TFLite none"),
            make_form("TFLite float16", max_difference=0.0017),
            make_form("TFLite dynamic", size_bytes=881_000, max_difference=0.29, wer=0.032, wer_change=0.002),
            make_form("TFLite int8", wer=0.029, wer_change=-0.001),
            saved_model,
        ],
        "golden": [{"name": "speech", "sample_rate": 8000, "arrays": arrays, "texts": {"none": "a b", "dynamic": ""}}],
    } | changes  # fmt: skip


def without_stream():
    """The metadata of a bidirectional model, as `export` gives it."""
    streamed = ("stream_difference", "stream_rtf")
    parity = [{key: value for key, value in form.items() if key not in streamed} for form in make_metadata()["parity"]]
    model = make_metadata()["model"] | {"direction": "bidirectional", "lookahead_frames": 0}
    obstacle = "model.direction is bidirectional; train with model.direction forward or chunked"
    return make_metadata(parity=parity, model=model, latency_seconds=None, stream=None, stream_obstacle=obstacle)


def page_of(tmp_path, metadata, **options):
    path = report_export(json.loads(json.dumps(metadata)), tmp_path / "report" / "export.html", **options)
    assert path == tmp_path / "report" / "export.html"
    return Page(path.read_text(encoding="utf-8"))


def assert_needs_nothing(page):
    """Nothing from elsewhere, nothing that runs, and nothing that a reader who cannot see misses."""
    assert not {"script", "link", "iframe", "object", "img"} & {tag for tag, _ in page.elements}
    for _, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert value.startswith(("#", "data:"))
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    assert len(page.all("caption")) == len(page.all("table"))


# The export


def test_the_page_of_an_export_shows_the_metadata(tmp_path):
    page = page_of(tmp_path, make_metadata(), signatures=SIGNATURES)
    for part in (
        "form dynamic, the bundle's default \u00b7 200 recordings compared",
        "Word error rate 3.2 % the trained model 3.0 %",
        "Size 881 kB",
        "Latency 0.49 s of sound at most",
        "Keras \u2013 0 3.0 % 0 % \u2013 \u2013 \u2013 \u2013 \u2013",
        "TFLite none 2,350 1.8\u00b710\u207b\u2075 3.0 % 0 % 0.0025 9.5\u00b710\u207b\u2077 0.0043 0.40 s 52.4 MB",
        "TFLite float16 2,350 0.0017",
        "TFLite dynamic 881 0.29 3.2 % +0.20 %",
        "TFLite int8 2,350 1.8\u00b710\u207b\u2075 2.9 % -0.10 %",
        "SavedModel 4,044 0 3.0 % 0 % 0.049 \u2013",
        "one channel at 8,000 Hz",
        "3 characters: \u2423ab",
        "NFC, in small letters, without punctuation other than %",
        "2 x 128 GRU, chunked, 320 ms at a time, 160 ms ahead",
        "523,995",
        "0.19 to 0.49 s of sound",
        "WER 3.1 %, CER 1.0 %",
        "New samples a call 2,560 samples, 320 ms",
        "context 1 \u00d7 1,668 1,668 6.67 kB",
        "float32: 1,924 numbers, 7.7 kB",
        "model.tflite dynamic the default 881 kB d79467c4695d5520",
        "log_probs.none 15 \u00d7 3",
        "dynamic (nothing)",
        "is a recording of the dev set",
        "serving_default samples [B, N] -> log_probs [B, S, V] features",
    ):
        assert part in page.text, part
    assert [attributes["id"] for attributes in page.all("section")] == [
        *("result", "forms", "io", "stream", "files", "golden", "savedmodel")
    ]
    assert_needs_nothing(page)


def test_the_page_of_a_bundle_without_a_stream_gives_the_reason(tmp_path):
    page = page_of(tmp_path, without_stream())
    assert "Latency all of the recording: it does not stream" in page.text
    assert "It transcribes complete recordings only: model.direction is bidirectional; train with" in page.text
    assert "RTF of a stream" not in page.text and "New samples a call" not in page.text
    assert "TFLite none 2,350 1.8\u00b710\u207b\u2075 3.0 % 0 % 0.0025 0.40 s 52.4 MB" in page.text
    assert_needs_nothing(page)


def test_the_page_of_an_export_without_tflite_shows_the_saved_model(tmp_path):
    parity = [form for form in without_stream()["parity"] if not form["form"].startswith("TFLite")]
    page = page_of(tmp_path, without_stream() | {"default_form": None, "models": {}, "parity": parity, "golden": []})
    assert "Size 4.04 MB" in page.text and "SavedModel 4,044" in page.text
    assert not {"files", "golden"} & {attributes["id"] for attributes in page.all("section")}


def test_hostile_metadata_is_shown_and_does_nothing(tmp_path):
    hostile = HOSTILE.replace("\ud800", "")
    case = {"name": hostile, "arrays": {hostile: {"file": hostile, "shape": [1]}}, "texts": {hostile: hostile}}
    metadata = make_metadata(
        entries=[hostile],
        unit="word",
        default_form=hostile,
        models={hostile: {"file": hostile, "size_bytes": 1, "sha256": hostile}},
        saved_model=[hostile],
        parity=[make_form(hostile)],
        golden=[case],
        provenance={"created": hostile, "commit": hostile},
    )
    metadata["stream"]["states"] = {hostile: [1, 2]}
    page = page_of(tmp_path, metadata, signatures={hostile: hostile})
    assert_needs_nothing(page)
    assert page.text.count("<script>alert(1)</script>") >= 10


def test_metadata_with_nothing_in_it_makes_a_page(tmp_path):
    assert not page_of(tmp_path, {}).all("section")


# The error rate against the latency


def make_point(**changes):
    point = {"series": "digits", "label": "forward", "latency_seconds": 0.1125, "wer": 0.05}
    return point | {"wer_interval": [0.04, 0.062], "is_whole": False} | changes


def drawn(points):
    """The chart's page, the places of its marks, and of its labels by text."""
    svg = tradeoff_chart(points)
    marks = [float(x) for x in re.findall(r'<circle [^>]*cx="([\d.]+)"', svg)]
    labels = re.findall(r'<text style="[^"]*" text-anchor="middle" x="([\d.]+)" y="([\d.]+)">([^<]*)</text>', svg)
    return Page(svg), marks, [(text, float(x), float(y)) for x, y, text in labels]


def test_the_chart_can_be_read_without_seeing_it():
    page, _, _ = drawn([make_point(), make_point(label="bidirectional", latency_seconds=2.6, wer=0.0, is_whole=True)])
    (svg,) = page.all("svg")
    assert svg["role"] == "img"
    assert page.drawings[0] == (
        "Word error rate by latency: digits, forward: WER 5.0 % (4.0 to 6.2 %) at 0.11 s; digits, bidirectional: "
        "WER 0 % (4.0 to 6.2 %) at the complete utterance, on average 2.60 s"
    )


def test_each_point_has_its_place_its_interval_and_its_label():
    points = [make_point(latency_seconds=latency, label=f"{latency} s") for latency in (0.1, 0.4, 1.6)]
    page, marks, labels = drawn(points)
    assert marks[1] - marks[0] == pytest.approx(marks[2] - marks[1], abs=0.2), "the axis is logarithmic"
    assert len(page.all("path")) == 3
    assert [label for label, _, _ in labels] == ["0.1 s", "0.4 s", "1.6 s"]


def test_a_series_has_its_own_colour_and_shape_and_a_whole_utterance_is_hollow():
    page, _, _ = drawn([make_point(), make_point(series="commands", is_whole=True)])
    styles = [
        attributes["style"] for tag, attributes in page.elements if tag in ("circle", "rect") and "style" in attributes
    ]
    assert sum("--series-1" in style for style in styles) == sum("--series-2" in style for style in styles) == 1
    assert len(page.all("circle")) == len(page.all("rect")) == 1
    assert "\u25cf digits \u25a0 commands" in page.text, "the key has the same shapes"
    assert sum("fill: var(--card)" in style for style in styles) == 1
    assert "digits" in page.text and "commands" in page.text


def test_labels_of_close_points_cover_neither_each_other_nor_leave_the_chart():
    _, _, labels = drawn([make_point(series=f"corpus {number}", label="chunked, 320 + 160 ms") for number in range(4)])
    for number, (label, x, y) in enumerate(labels):
        assert 3.5 * len(label) <= x <= 640 - 3.5 * len(label)
        for _, other_x, other_y in labels[:number]:
            assert abs(x - other_x) > 7 * len(label) or abs(y - other_y) >= 11


@pytest.mark.parametrize("change", [{"wer": math.nan}, {"wer": None}, {"latency_seconds": 0.0}])
def test_a_point_without_a_place_is_not_drawn(change):
    assert tradeoff_chart([make_point(**change)]) == ""
    assert tradeoff_chart([make_point(), make_point(**change)]) == tradeoff_chart([make_point()])


def test_a_chart_of_no_errors_is_a_chart():
    assert "<svg" in tradeoff_chart([make_point(wer=0.0, wer_interval=None)])


# Streaming models


def make_row(**changes):
    score = {"wer": 0.05, "wer_interval": [0.04, 0.062], "rtf": 0.005, "size_bytes": 881_000}
    return {
        "corpus": "digits",
        "label": "forward",
        "latency_seconds": 0.1125,
        "is_whole": False,
        "scores": {"Keras": score | {"size_bytes": None}, "TFLite none": score},
        "streams": {"TFLite none": score | {"num_different": 0}},
    } | changes


def test_the_page_of_streaming_models_shows_their_cost(tmp_path):
    right = {"wer": 0.0, "wer_interval": [0.0, 0.015], "rtf": 0.004, "size_bytes": 2_350_000}
    whole = make_row(label="bidirectional", latency_seconds=2.6, is_whole=True, streams={})
    whole["scores"] = {"Keras": right | {"size_bytes": None}, "TFLite none": right}
    odd = make_row(corpus="commands")
    odd["streams"] = {"TFLite none": odd["streams"]["TFLite none"] | {"num_different": 3}}
    out = report_streaming([make_row(), whole, odd], tmp_path / "r.html", shown="TFLite none", notes=["A note."])
    page = Page(out.read_text(encoding="utf-8"))
    for part in (
        "forward 0.11 s 5.0 % 4.0 to 6.2 % 5.0 % 4.0 to 6.2 %",
        "bidirectional 2.60 s complete, mean 0 % 0 to 1.5 % 0 % 0 to 1.5 %",
        "forward 5.0 % same texts",
        "forward 5.0 % 3 differ",
        "bidirectional 2.35 MB RTF 0.004",
        "A note.",
    ):
        assert part in page.text, part
    assert len(page.all("svg")) == 1
    assert_needs_nothing(page)


def test_hostile_names_of_models_are_shown_and_do_nothing(tmp_path):
    row = make_row(corpus=HOSTILE, label=HOSTILE)
    row["scores"][HOSTILE] = row["scores"]["TFLite none"]
    out = report_streaming([row], tmp_path / "r.html", shown=HOSTILE, notes=[HOSTILE])
    page = Page(out.read_text(encoding="utf-8"))
    assert_needs_nothing(page)
    assert page.text.count("<script>alert(1)</script>") >= 5
