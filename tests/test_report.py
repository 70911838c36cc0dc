"""The report: well-formed, self-contained, safe for any transcript, readable in both themes, right in its numbers."""

from __future__ import annotations

import base64
import io
import math
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser

import numpy as np
import pytest

from speechgru.decoding import Word
from speechgru.report import html
from speechgru.report.axis import category_axis, linear_axis, log_axis, round_ticks, time_axis
from speechgru.report.frame import Frame
from speechgru.report.shapes import label, shape, svg_element
from speechgru.report.speech_picture import log_mel_png, speech_picture
from speechgru.report.style import COLOURS, NUM_SERIES, style_sheet
from speechgru.report.utterances import (
    MAX_PLAYER_SECONDS,
    AudioUnavailableError,
    aligned,
    read_wav,
    utterance_card,
)
from speechgru.text import Vocabulary

HOSTILE = (
    "<script>alert(1)</script> \"><img src=x onerror='alert(2)'> & </style></title> "
    "javascript:alert(3) {{x}} \u202e\x00\x07\ud800 \u0634\u0643\u0631\u0627 $a_b$"
)
VOCABULARY = Vocabulary([" ", "<", "&", "a", "$"])
VOID = {"meta", "br", "img"}


class Page(HTMLParser):
    """Checks that elements nest, and keeps elements, attributes, visible text, and drawings as they are read aloud."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.stack, self.elements, self.texts, self.drawings = [], [], [], []
        self.feed(page)
        self.close()
        assert not self.stack

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "svg" and "aria-label" in dict(attrs):
            self.drawings.append(dict(attrs)["aria-label"].replace("\u202f", " "))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if self.stack[-1:] == ["desc"]:
            self.drawings[-1] += f": {data}".replace("\u202f", " ")
        elif not {"style", "script"} & set(self.stack):
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split()).replace("\u202f", " ")

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def make_utterance(**changes):
    return {
        "utterance_id": "one.wav",
        "audio_filepath": "nowhere/one.wav",
        "speaker": "ada",
        "duration": 1.5,
        "reference": "turn on the light",
        "hypothesis": "turn the lights please",
        "word_errors": 3,
        "words": 4,
        "confidence": 0.83,
    } | changes


def make_picture(steps=30, **changes):
    generator = np.random.default_rng(3)
    logits = generator.normal(size=(steps, len(VOCABULARY))) * 3
    return {
        "title": "one.wav",
        "caption": "a caption",
        "log_mel_TM": generator.normal(size=(4 * steps, 20)).astype(np.float32),
        "log_probs_SV": logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)),
        "vocabulary": VOCABULARY,
        "frame_seconds": 0.01,
        "step_seconds": 0.04,
        "reference": "a a",
        "hypothesis": "a",
    } | changes


def test_reports_may_be_drawn_in_threads():
    expected = [speech_picture(**picture_arguments(seed)) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda seed: speech_picture(**picture_arguments(seed)), range(4))) == expected


# ------------------------------------------------------------------ pieces


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0314, "3.1 %"),
        (0.0, "0 %"),
        (0.00314, "0.31 %"),
        (0.00996, "1.0 %"),
        (1.5, "150.0 %"),
        (math.inf, "\u221e"),
        (math.nan, "\u2013"),
        (None, "\u2013"),
        ("3", "\u2013"),
    ],
)
def test_percent(value, shown):
    assert html.percent(value).replace("\u202f", " ") == shown


@pytest.mark.parametrize(
    ("function", "value", "shown"),
    [
        (html.interval, [0.02, 0.04], "2.0 to 4.0 %"),
        (html.interval, None, ""),
        (html.interval, [0.02, None], ""),
        (html.interval, [0.0, math.inf], "0 to \u221e"),
        (html.size, 999, "999 bytes"),
        (html.size, 612_000, "612 kB"),
        (html.size, 999_700, "1 MB"),
        (html.size, 2_153_211, "2.15 MB"),
        (html.size, None, "\u2013"),
        (html.seconds, 0.42, "0.42 s"),
        (html.seconds, 59.96, "1 min 00 s"),
        (html.seconds, 125, "2 min 05 s"),
        (html.seconds, 3725, "1 h 02 min"),
        (html.seconds, math.nan, "\u2013"),
        (html.real_time, 0.02, "50 times faster than speech"),
        (html.real_time, 0.5, "2.0 times faster than speech"),
        (html.real_time, 2.5, "2.5 times slower than speech"),
        (html.real_time, 0, ""),
        (html.count, 525312, "525,312"),
        (html.plain, 0.0052, "0.0052"),
        (html.plain, True, "yes"),
        (html.plain, None, "\u2013"),
        (html.plain, [1, "a"], "1, a"),
        (html.plain, math.inf, "inf"),
        (html.heading_of, "size_bytes", "Size bytes"),
        (html.share_tick, 0.025, "2.5 %"),
    ],
)
def test_numbers_are_written_as_people_write_them(function, value, shown):
    assert function(value).replace("\u202f", " ") == shown


def test_text_escapes_what_html_cannot_hold_and_what_turns_lines_around():
    shown = html.text('<a href="x">\'&\ud800\x00\u202e')
    assert shown == "&lt;a href=&quot;x&quot;&gt;&#x27;&amp;\\ud800\\x00\\u202e"


# ------------------------------------------------------------------ style


def luminance(colour):
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    """WCAG 2.2, definition of contrast ratio."""
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_enough_contrast(theme):
    colours = COLOURS[theme]
    pairs = [(name, ground) for name in ("text", "muted", "accent") for ground in ("page", "card")]
    pairs += [("lost", "lost-back"), ("wrong", "wrong-back")]
    pairs += [(f"series-{number}", "card") for number in range(1, NUM_SERIES + 1)]
    for name, ground in pairs:
        assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)


def test_every_colour_used_is_in_both_themes():
    assert COLOURS["light"].keys() == COLOURS["dark"].keys()
    used = set(re.findall(r"var\(--([a-z0-9-]+)\)", style_sheet()))
    assert used <= COLOURS["light"].keys()
    assert {f"series-{number}" for number in range(1, NUM_SERIES + 1)} <= COLOURS["light"].keys()


# ------------------------------------------------------------------ utterances


def test_errors_are_marked_by_more_than_colour():
    shown = aligned("turn on the kitchen light", "turn the kitchen lights please")
    assert re.findall(r"<del[^>]*>(.*?)</del>", shown) == ["on", "light"]
    assert re.findall(r"<ins[^>]*>(.*?)</ins>", shown) == ["lights", "please"]
    assert shown.count("\u00b7") == 2
    assert "line-through" in style_sheet() and "underline" in style_sheet()


def test_empty_texts_align():
    assert "(empty)" in aligned("", "") and "(nothing)" in aligned("", "")
    assert "<del" not in aligned("", "one") and "<ins" in aligned("", "one")


def write_tone(path, *, length_seconds=1.0, sample_rate=8000, channels=2):
    soundfile = pytest.importorskip("soundfile")
    times = np.arange(round(length_seconds * sample_rate)) / sample_rate
    samples_N = (0.5 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)
    soundfile.write(path, np.stack([samples_N] * channels, axis=1), sample_rate)
    return samples_N


def test_a_recording_is_embedded_as_it_is(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    samples_N = write_tone(tmp_path / "one.flac")
    card = Page(utterance_card(make_utterance(audio_filepath=str(tmp_path / "one.flac")), with_player=True))
    (player,) = card.all("audio")
    assert "controls" in player and "one.wav" in player["aria-label"]
    wav = base64.b64decode(player["src"].removeprefix("data:audio/wav;base64,"))
    read_N, sample_rate = soundfile.read(io.BytesIO(wav))
    assert sample_rate == 8000 and read_N.shape == samples_N.shape
    np.testing.assert_allclose(read_N, samples_N, atol=1e-3)
    assert str(tmp_path) not in card.text


def test_a_segment_is_cut_out_of_its_recording(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    samples_N = write_tone(tmp_path / "long.wav", length_seconds=MAX_PLAYER_SECONDS + 2)
    read_N, _ = soundfile.read(io.BytesIO(read_wav(str(tmp_path / "long.wav"), offset=1.5, duration=0.5)))
    np.testing.assert_allclose(read_N, samples_N[12000:16000], atol=1e-3)


def test_what_cannot_be_played_names_the_reason(tmp_path):
    (tmp_path / "text.wav").write_text("not a recording")
    write_tone(tmp_path / "empty.wav", length_seconds=0)
    write_tone(tmp_path / "long.wav", length_seconds=MAX_PLAYER_SECONDS + 1)
    write_tone(tmp_path / "short.wav")
    for name, options, reason in (
        ("text.wav", {}, "cannot be read"),
        ("missing.wav", {}, "cannot be read"),
        ("empty.wav", {}, "has no samples"),
        ("long.wav", {}, "longer than 10 s"),
        ("short.wav", {"offset": 3.0}, "has no samples"),
        ("short.wav", {"offset": -3.0}, "cannot be read"),
    ):
        with pytest.raises(AudioUnavailableError, match=reason):
            read_wav(str(tmp_path / name), **options)
    card = Page(utterance_card(make_utterance(audio_filepath=None), with_player=True))
    assert "No player: the evaluation names no recording." in card.text
    assert not card.all("audio")


# ------------------------------------------------------------------ figures


def labels_of(axis):
    return [tick.label for tick in axis.ticks]


def test_an_axis_maps_its_ends_and_has_its_ticks_inside():
    axis = linear_axis(0.0, 1.2)
    assert (axis.pixel(0.0, 400, 0), axis.pixel(1.2, 400, 0)) == (400.0, 0.0)
    assert labels_of(axis) == ["0", "0.2", "0.4", "0.6", "0.8", "1", "1.2"]
    log = log_axis(0.7, 70.0)
    assert log.pixel(7.0, 0, 100) == pytest.approx(50.0)
    assert labels_of(log) == ["1", "2", "5", "10", "20", "50"]
    assert labels_of(log_axis(1e-5, 1e2, most=8))[:3] == ["10\u207b\u2075", "0.0001", "0.001"]
    assert labels_of(log_axis(2.1, 2.9)) == ["2.2", "2.4", "2.6", "2.8"], "too few of 1, 2, 5 within a decade"
    assert labels_of(linear_axis(0.3, 4.7, most=12, whole=True)) == ["1", "2", "3", "4"]


@pytest.mark.parametrize("seed", range(20))
def test_ticks_are_round_evenly_apart_and_about_as_many_as_asked_for(seed):
    generator = np.random.default_rng(seed)
    low = float(generator.normal() * 10.0 ** generator.integers(-6, 6))
    high, most = low + float(10.0 ** generator.uniform(-7, 7)), int(generator.integers(3, 13))
    ticks = round_ticks(low, high, most=most)
    slack = 1e-6 * (high - low)
    assert all(low - slack <= tick <= high + slack for tick in ticks)
    assert most // 2.5 - 1 <= len(ticks) <= most + 1
    gaps = np.diff(ticks)
    np.testing.assert_allclose(gaps, gaps[:1].repeat(len(gaps)), rtol=1e-6)


def test_only_the_last_tick_of_time_has_the_unit():
    assert labels_of(time_axis(2.3)) == ["0", "0.5", "1", "1.5", "2 s"]
    assert labels_of(time_axis(0.001))[-1].endswith(" s")


def texts_of(svg):
    """The visible texts of a chart with their places, and how far each is turned."""
    found = re.findall(r'<text [^>]*x="([-\d.]+)" y="([-\d.]+)"(?: transform="rotate\(([-\d.]+)[^>]*)?>([^<]*)<', svg)
    return {words: (float(x), float(y), float(turned or 0)) for x, y, turned, words in found}


def test_a_frame_draws_its_axes_below_what_is_added():
    frame = Frame(linear_axis(0, 10, name="step"), linear_axis(0, 1, name="loss"), width=400, height=200)
    frame.add('<circle class="mine" r="1"/>')
    svg = frame.svg("A loss", description="It falls.")
    page = Page(svg)
    assert page.drawings == ["A loss: It falls."]
    (drawing,) = page.all("svg")
    assert drawing["role"] == "img" and drawing["width"] == "100%" and drawing["viewbox"] == "0 0 400 200"
    assert [attributes.get("class") for attributes in page.all("line")].count("grid") == 7, (
        "six ticks and the base line"
    )
    assert svg.index('class="mine"') > svg.rindex('class="grid"')
    texts = texts_of(svg)
    assert texts["step"][0] == frame.right and texts["loss"][1] < frame.top
    assert texts["1"] == (frame.left - 7, frame.top + 4, 0) and texts["0.4"][1] == pytest.approx(frame.y(0.4) + 4)
    assert frame.x(0) == frame.left and frame.y(0) == frame.bottom


def test_names_below_a_frame_are_slanted_where_they_would_touch():
    short_names, long_names = ["a", "b", "c"], [f"a rather long name {number}" for number in range(6)]
    level, slanted = (
        Frame(category_axis(names), linear_axis(0, 1), width=320, height=200) for names in (short_names, long_names)
    )
    assert level.height == 200 and slanted.height > 200
    assert all(texts_of(level.svg("x"))[name][2] == 0 for name in short_names)
    turned = [entry for entry in texts_of(slanted.svg("x")).values() if entry[2]]
    assert len(turned) == 6
    assert 'class="mark"' in Frame(linear_axis(0, 1), linear_axis(0, 1), width=9, height=9, grid="").svg("x")


def test_a_tick_that_would_touch_the_one_before_is_not_written():
    frame = Frame(linear_axis(0, 10, at=[0, 1, 1.1, 5]), linear_axis(2, 3, at=[]), width=200, height=100)
    assert list(texts_of(frame.svg("x"))) == ["0", "1", "5"]


def test_shapes_escape_what_they_show():
    page = Page(
        label(0, 0, HOSTILE, title=HOSTILE)
        + shape("circle", title=HOSTILE, kind=HOSTILE)
        + svg_element([], width=1, height=1, name=HOSTILE, description=HOSTILE)
    )
    assert {tag for tag, _ in page.elements} == {"text", "title", "circle", "svg", "desc"}
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert page.text.count("<script>alert(1)</script>") == 3


def test_a_key_names_marks_and_lines():
    page = Page(html.key([("\u25cf", "red", "a <b>"), ("dashed", "blue", "CER")]))
    assert page.text == "\u25cf a <b> CER"
    assert [span["class"] for span in page.all("span") if "class" in span] == ["key", "key", "dashed sample"]
    assert html.key([]) == ""


def picture_arguments(seed=3, **changes):
    picture = make_picture(steps=20 + seed, **changes)
    return {
        key: picture[key] for key in ("log_mel_TM", "log_probs_SV", "vocabulary", "frame_seconds", "step_seconds")
    } | {key: value for key, value in changes.items() if key == "words"}


def test_a_picture_writes_every_label_at_its_peak_and_marks_words():
    vocabulary = Vocabulary([" ", "a", "b"])
    path = [0, 2, 2, 0, 3, 1, 2, 0]
    probs_SV = np.full((len(path), 4), 0.05)
    probs_SV[range(len(path)), path] = 0.85
    probs_SV[2] = [0.02, 0.01, 0.96, 0.01]  # the second step of the first "a" is its peak
    svg = speech_picture(
        np.zeros((16, 10)), np.log(probs_SV), vocabulary=vocabulary, frame_seconds=0.02, step_seconds=0.04
    )
    page = Page(svg)
    peaks = re.findall(r'class="peak"[^>]* x="([\d.]+)"[^>]*>(.)<', svg)
    assert [character for _, character in peaks] == ["a", "b", "\u2423", "a"]
    x = time_axis(0.32)
    assert [float(place) for place, _ in peaks] == pytest.approx(
        [x.pixel((step + 0.5) * 0.04, 46, 986) for step in (2, 4, 5, 6)], abs=0.06
    )
    assert len(page.all("rect")) == 2
    assert "ab: 0.04 to 0.20 s, confidence" in page.text


def test_words_that_would_touch_are_written_on_different_lines():
    words = [Word("unmistakably", 0.1 * index, 0.1 * index + 0.05, 1.0) for index in range(3)]
    svg = speech_picture(**picture_arguments(words=words))
    heights = re.findall(r'class="word"[^>]* y="([\d.]+)"', svg)
    assert len(heights) == 3 and len(set(heights)) > 1


@pytest.mark.parametrize(("frames", "steps"), [(0, 0), (1, 1), (5, 0), (0, 3)])
def test_the_shortest_recordings_have_a_picture(frames, steps):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = speech_picture(
            np.zeros((frames, 8), np.float32),
            np.full((steps, len(VOCABULARY)), -math.log(len(VOCABULARY))),
            vocabulary=VOCABULARY,
            frame_seconds=0.01,
            step_seconds=0.04,
        )
    assert Page(svg).all("svg") and "nan" not in svg


def test_a_log_mel_is_bright_where_it_is_loud_and_low_bands_lie_below():
    from matplotlib.image import imread

    log_mel_TM = np.zeros((6, 4), np.float32)
    log_mel_TM[5, 0] = 10.0
    image = imread(io.BytesIO(log_mel_png(log_mel_TM)))
    assert image.shape[:2] == (4, 6)
    brightness = image[..., :3].sum(axis=-1)
    assert brightness.argmax() == np.ravel_multi_index((3, 5), (4, 6))


@pytest.mark.parametrize("odd", [-np.inf, np.inf, np.nan])
def test_a_log_mel_with_odd_values_is_still_drawn(odd):
    log_mel_TM = np.arange(24, dtype=np.float32).reshape(6, 4)
    log_mel_TM[2, 2] = odd
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert log_mel_png(log_mel_TM).startswith(b"\x89PNG")
        assert log_mel_png(np.full((3, 3), odd)).startswith(b"\x89PNG")


def test_a_picture_of_other_shapes_is_refused():
    with pytest.raises(ValueError, match=r"axes \(frames, mels\), got shape \(4,\)"):
        speech_picture(**picture_arguments(log_mel_TM=np.zeros(4)))
    with pytest.raises(ValueError, match="columns and the vocabulary"):
        speech_picture(**picture_arguments(log_probs_SV=np.zeros((4, 3))))
