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
from speechgru.errors import UserError
from speechgru.report import html
from speechgru.report.charts import Axis
from speechgru.report.line_chart import error_chart, loss_chart, num_undrawn, points_of, thinned
from speechgru.report.speech_picture import log_mel_png, speech_picture
from speechgru.report.style import COLOURS, NUM_SERIES, style_sheet
from speechgru.report.utterances import (
    MAX_PLAYER_SECONDS,
    MAX_PLAYERS,
    AudioUnavailableError,
    aligned,
    read_wav,
    utterance_card,
    worst_utterances,
)
from speechgru.scoring.sections import evaluation_table, headline, model_table, training, worst, write_report
from speechgru.text import Vocabulary

HOSTILE = (
    "<script>alert(1)</script> \"><img src=x onerror='alert(2)'> & </style></title> "
    "javascript:alert(3) {{x}} \u202e\x00\x07\ud800 \u0634\u0643\u0631\u0627 $a_b$"
)
VOCABULARY = Vocabulary([" ", "<", "&", "a", "$"])
VOID = {"meta", "br", "img"}


class Page(HTMLParser):
    """Checks that elements nest, and keeps elements, attributes, ids and visible text."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.stack, self.elements, self.texts = [], [], []
        self.feed(page)
        self.close()
        assert not self.stack

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.stack):
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


def make_evaluation(**changes):
    return {
        "name": "Keras, test",
        "num_utterances": 1234,
        "audio_seconds": 3725.0,
        "wer": 0.0314,
        "wer_interval": [0.024, 0.0391],
        "cer": 0.0042,
        "sentence_error_rate": 0.2,
        "words": 5000,
        "substitutions": 90,
        "insertions": 30,
        "deletions": 37,
        "rtf": 0.02,
        "utterances": [make_utterance()],
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


HISTORY = [
    {"kind": "train", "step": step, "epoch": 0, "loss": 100 / step, "learning_rate": 1e-3, "seconds": step}
    for step in range(1, 101)
] + [{"kind": "dev", "step": 100, "epoch": 1, "loss": 3.0, "wer": 0.5, "cer": 0.25, "seconds": 9.0}]


def read_back(tmp_path, **parts):
    path = write_report(tmp_path / "deep" / "report.html", **({"title": "A run"} | parts))
    assert path == tmp_path / "deep" / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def whole(tmp_path, **changes):
    return read_back(
        tmp_path,
        **{
            "title": "A run",
            "summary": [("Corpus", "synthetic"), ("Seed", 1)],
            "evaluations": [make_evaluation()],
            "history": HISTORY,
            "pictures": [make_picture()],
            "models": [{"form": "TFLite float32", "size_bytes": 2_100_000, "wer": 0.03, "rtf": 0.01}],
            "notes": ["A note."],
        }
        | changes,
    )


def test_the_whole_report_has_its_sections_in_order(tmp_path):
    page = whole(tmp_path)
    sections = [attributes["id"] for attributes in page.all("section")]
    assert sections == ["result", "run", "models", "training", "errors", "worst", "pictures", "notes"]
    assert [attributes["href"] for attributes in page.all("a")] == [f"#{name}" for name in sections]
    for shown in ("A run", "3.1 %", "95 % interval 2.4 to 3.9 %", "synthetic", "2.1 MB", "A note.", "1,234"):
        assert shown in page.text


def test_the_page_needs_nothing_else_and_runs_nothing(tmp_path):
    page = whole(tmp_path)
    assert not {"script", "link", "iframe", "object", "base", "form"} & {tag for tag, _ in page.elements}
    for _, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert value.startswith(("data:", "#"))
    assert "url(" not in style_sheet() and "@import" not in style_sheet()
    policy = next(entry["content"] for entry in page.all("meta") if "http-equiv" in entry)
    assert policy.startswith("default-src 'none'")


def test_the_page_can_be_used_without_seeing_it(tmp_path):
    page = whole(tmp_path)
    assert page.all("html") == [{"lang": "en"}]
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    assert len(page.all("svg")) == 3
    for drawing in page.all("svg"):
        assert drawing["role"] == "img" and len(drawing["aria-label"]) > 20
    assert len(page.all("caption")) == len(page.all("table")) == 2
    assert all(heading["scope"] in ("col", "row") for heading in page.all("th"))
    assert "Reference: turn on the light. Hypothesis: turn the lights please." in page.text


def test_an_empty_report_is_a_page(tmp_path):
    page = read_back(tmp_path)
    assert not page.all("section") and not page.all("nav")
    assert "A run" in page.text


def test_records_with_nothing_in_them_do_not_stop_the_report(tmp_path):
    page = read_back(tmp_path, evaluations=[{}, {"utterances": [{}]}], history=[{}], models=[{}], notes=[""])
    assert "\u2013" in page.text


def test_hostile_text_is_shown_and_does_nothing(tmp_path):
    evaluation = make_evaluation(
        name=HOSTILE,
        utterances=[
            make_utterance(
                utterance_id=HOSTILE,
                speaker=HOSTILE,
                reference=HOSTILE,
                hypothesis=HOSTILE[::-1],
                audio_filepath=HOSTILE,
                word_errors=4,
            )
        ],
    )
    picture = make_picture(
        title=HOSTILE,
        caption=HOSTILE,
        reference=HOSTILE,
        hypothesis=HOSTILE,
        words=[Word(text=HOSTILE, start_seconds=0.1, end_seconds=0.4, confidence=0.5)],
    )
    page = whole(
        tmp_path,
        title=HOSTILE,
        summary=[(HOSTILE, HOSTILE)],
        evaluations=[evaluation],
        pictures=[picture],
        models=[{"form": HOSTILE, HOSTILE: HOSTILE}],
        notes=[HOSTILE],
    )
    assert not {"script", "img"} & {tag for tag, _ in page.elements}
    assert len(page.all("style")) == len(page.all("body")) == len(page.all("main")) == 1
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert page.text.count("<script>alert(1)</script>") >= 10
    assert not re.search("[\x00\x07]", page.text)


def test_a_place_that_cannot_be_written_is_a_users_mistake(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_report(tmp_path / "file" / "report.html", title="x")


def test_a_report_made_twice_is_the_same(tmp_path):
    first = write_report(tmp_path / "1.html", title="x", history=HISTORY, pictures=[make_picture()])
    second = write_report(tmp_path / "2.html", title="x", history=HISTORY, pictures=[make_picture()])
    assert first.read_bytes() == second.read_bytes()


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
    ],
)
def test_numbers_are_written_as_people_write_them(function, value, shown):
    assert function(value).replace("\u202f", " ") == shown


def test_text_escapes_and_drops_what_html_cannot_hold():
    assert html.text('<a href="x">\'&\ud800\x00') == "&lt;a href=&quot;x&quot;&gt;&#x27;&amp;\ufffd\ufffd"


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


# ------------------------------------------------------------------ tables and headline


def test_the_headline_is_the_first_evaluation():
    shown = Page(headline([make_evaluation(), make_evaluation(wer=0.9)])).text
    for part in ("3.1 %", "0.42 %", "80.0 %", "of 1,234", "0.02", "50 times faster than speech"):
        assert part in shown
    assert "90" not in shown


def test_the_headline_leaves_out_what_was_not_measured():
    shown = Page(headline([{"wer": math.inf}])).text
    assert shown == "Word error rate \u221e"


def test_models_show_unknown_keys_and_dashes_where_they_lack_one():
    page = Page(model_table([{"form": "Keras", "wer": 0.1}, {"form": "TFLite", "size_bytes": 5000, "num_threads": 2}]))
    assert page.text.startswith("The same weights")
    assert page.text.endswith("Model Size WER Num threads Keras \u2013 10.0 % \u2013 TFLite 5 kB \u2013 2")


def test_the_evaluation_table_has_a_row_an_evaluation():
    page = Page(evaluation_table([make_evaluation(), {"name": "empty"}]))
    assert len(page.all("tr")) == 3
    assert "Keras, test 3.1 % 2.4 to 3.9 % 0.42 % 20.0 % 90 30 37 5,000 1,234 1 h 02 min 0.02" in page.text


def test_skipped_utterances_are_said_not_hidden():
    shown = Page(evaluation_table([make_evaluation(num_skipped=2), make_evaluation(name="b", num_skipped=0)])).text
    assert shown.endswith("Keras, test: 2 utterances could not be scored and are not in its numbers.")


# ------------------------------------------------------------------ utterances


def test_the_worst_come_first_and_the_right_ones_not_at_all():
    utterances = [
        make_utterance(utterance_id="right", word_errors=0),
        make_utterance(utterance_id="one of four", word_errors=1, words=4),
        make_utterance(utterance_id="three of four", word_errors=3, words=4, confidence=0.2),
        make_utterance(utterance_id="three of three", word_errors=3, words=3),
        make_utterance(utterance_id="three of four, sure", word_errors=3, words=4, confidence=0.9),
        make_utterance(utterance_id="unsaid", word_errors=None, words=None),
    ]
    chosen = [entry["utterance_id"] for entry in worst_utterances(utterances, most=10)]
    assert chosen == ["three of three", "three of four, sure", "three of four", "one of four"]
    assert [entry["utterance_id"] for entry in worst_utterances(utterances, most=1)] == ["three of three"]


def test_errors_are_marked_by_more_than_colour():
    shown = aligned("turn on the kitchen light", "turn the kitchen lights please")
    assert re.findall(r"<del[^>]*>(.*?)</del>", shown) == ["on", "light"]
    assert re.findall(r"<ins[^>]*>(.*?)</ins>", shown) == ["lights", "please"]
    assert shown.count("\u00b7") == 2
    assert "line-through" in style_sheet() and "underline" in style_sheet()


def test_empty_texts_align():
    assert "(empty)" in aligned("", "") and "(nothing)" in aligned("", "")
    assert "<del" not in aligned("", "one") and "<ins" in aligned("", "one")


def test_the_same_errors_of_a_second_evaluation_are_not_repeated():
    page = Page(worst([make_evaluation(), make_evaluation(name="TFLite, test")]))
    assert len(page.all("article")) == 1
    assert "The same utterances and errors as under Keras, test." in page.text
    assert ["open" in attributes for attributes in page.all("details")] == [True, False]


def test_an_evaluation_without_errors_says_so():
    page = Page(worst([make_evaluation(utterances=[make_utterance(word_errors=0)])]))
    assert "0 of 1 utterances with an error" in page.text and "every utterance was heard right" in page.text
    assert worst([make_evaluation(utterances=[])]) == ""


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
    heard_N, sample_rate = soundfile.read(io.BytesIO(wav))
    assert sample_rate == 8000 and heard_N.shape == samples_N.shape
    np.testing.assert_allclose(heard_N, samples_N, atol=1e-3)
    assert str(tmp_path) not in card.text


def test_a_segment_is_cut_out_of_its_recording(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    samples_N = write_tone(tmp_path / "long.wav", length_seconds=MAX_PLAYER_SECONDS + 2)
    heard_N, _ = soundfile.read(io.BytesIO(read_wav(str(tmp_path / "long.wav"), offset=1.5, duration=0.5)))
    np.testing.assert_allclose(heard_N, samples_N[12000:16000], atol=1e-3)


def test_what_cannot_be_played_says_why(tmp_path):
    (tmp_path / "text.wav").write_text("not a recording")
    write_tone(tmp_path / "empty.wav", length_seconds=0)
    write_tone(tmp_path / "long.wav", length_seconds=MAX_PLAYER_SECONDS + 1)
    write_tone(tmp_path / "short.wav")
    for name, options, reason in (
        ("text.wav", {}, "cannot be read"),
        ("missing.wav", {}, "cannot be read"),
        ("empty.wav", {}, "holds no samples"),
        ("long.wav", {}, "longer than 10 s"),
        ("short.wav", {"offset": 3.0}, "holds no samples"),
        ("short.wav", {"offset": -3.0}, "cannot be read"),
    ):
        with pytest.raises(AudioUnavailableError, match=reason):
            read_wav(str(tmp_path / name), **options)
    card = Page(utterance_card(make_utterance(audio_filepath=None), with_player=True))
    assert "No player: the evaluation names no recording." in card.text
    assert not card.all("audio")


def test_only_the_first_few_can_be_listened_to(tmp_path):
    write_tone(tmp_path / "one.wav")
    utterances = [
        make_utterance(utterance_id=str(number), audio_filepath=str(tmp_path / "one.wav")) for number in range(20)
    ]
    page = Page(worst([make_evaluation(utterances=utterances)]))
    assert len(page.all("audio")) == MAX_PLAYERS
    assert "20 of 20 utterances with an error, the worst 10" in page.text


# ------------------------------------------------------------------ figures


def test_an_axis_maps_its_ends_and_ticks_inside():
    axis = Axis(0.0, 1.2, 400.0, 0.0)
    assert (axis(0.0), axis(1.2)) == (400.0, 0.0)
    assert axis.ticks(6) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2])
    log = Axis(0.7, 70.0, 0.0, 100.0, log=True)
    assert log(7.0) == pytest.approx(50.0)
    assert log.ticks(6) == pytest.approx([1, 2, 5, 10, 20, 50])
    assert Axis(1e-3, 1e4, 0, 1, log=True).ticks(8) == pytest.approx([10.0**power for power in range(-3, 5)])


def test_records_without_a_finite_value_are_left_out_and_counted():
    history = [
        {"kind": "train", "step": 1, "loss": 2.0},
        {"kind": "train", "step": 2, "loss": math.nan},
        {"kind": "train", "step": 3, "loss": None},
        {"kind": "train", "step": 4},
        {"kind": "dev", "step": 4, "loss": 1.0},
    ]
    assert points_of(history, kind="train", key="loss") == [(1.0, 2.0)]
    assert num_undrawn(history, keys=("loss",)) == 2
    assert "2 values are not finite and not drawn" in Page(training(history)).text


def test_long_lines_are_averaged_and_say_so():
    points = [(float(step), float(step % 2)) for step in range(1000)]
    fewer, every = thinned(points, most=250)
    assert every == 4 and len(fewer) == 250
    assert fewer[0] == (1.5, 0.5)
    assert thinned([], most=5) == ([], 1)
    history = [{"kind": "train", "step": step, "loss": 1.0} for step in range(1000)]
    assert "training, mean of 3" in loss_chart(history)


def test_charts_say_in_words_what_they_show():
    label = Page(error_chart(HISTORY)).all("svg")[0]["aria-label"].replace("\u202f", " ")
    assert label.startswith("Dev error rates: WER from 50.0 % at step 100 to 50.0 % at step 100; CER from 25.0 %")


@pytest.mark.parametrize("losses", [[5.0], [0.0, 0.0], [1e-9, 1e9], [-1.0, 2.0], [3.0, 3.0, 3.0]])
def test_odd_curves_are_drawn_inside_the_chart(losses):
    svg = loss_chart([{"kind": "train", "step": step, "loss": loss} for step, loss in enumerate(losses)])
    (points,) = re.findall(r'<polyline class="line"[^>]*points="([^"]*)"', svg)
    xs, ys = np.array([pair.split(",") for pair in points.split()], float).T
    assert (xs >= 52).all() and (xs <= 436).all() and (ys >= 34).all() and (ys <= 250).all()
    assert "nan" not in svg and "inf" not in svg


def test_no_history_is_no_chart():
    assert training([]) == "" and loss_chart([{"kind": "dev", "step": 1}]) == ""


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
    x = Axis(0.0, 0.32, 46, 986)
    assert [float(place) for place, _ in peaks] == pytest.approx(
        [x((step + 0.5) * 0.04) for step in (2, 4, 5, 6)], abs=0.06
    )
    assert len(page.all("rect")) == 2
    assert "ab: 0.04 to 0.20 s, confidence" in page.text


def test_words_that_would_touch_are_written_on_different_lines():
    words = [Word("unmistakably", 0.1 * index, 0.1 * index + 0.05, 1.0) for index in range(3)]
    svg = speech_picture(**picture_arguments(words=words))
    heights = re.findall(r'class="word" x="[\d.]+" y="([\d.]+)"', svg)
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
