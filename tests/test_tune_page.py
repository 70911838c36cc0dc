"""The page of a hyperparameter search: right in what it shows and draws, whatever has become of the trials so far."""

import itertools
import math
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter

import pytest
from test_report import HOSTILE, Page

from speechgru.errors import UserError
from speechgru.tune.charts import parameter_chart
from speechgru.tune.dots import Objective, dots_of, value_text
from speechgru.tune.page import report_sweep

SPACE = [
    {"key": "model.units", "kind": "int", "log": False, "range": "32 to 128 in steps of 32", "when": ""},
    {"key": "train.learning_rate", "kind": "float", "log": True, "range": "0.0001 to 0.01", "when": ""},
    {"key": "model.direction", "kind": "choice", "log": False, "range": "forward, chunked", "when": ""},
    {
        "key": "model.chunk_frames",
        "kind": "choice",
        "log": False,
        "range": "8, 16",
        "when": "model.direction is chunked",
    },
    {"key": "augment.speed", "kind": "boolean", "log": False, "range": "false, true", "when": ""},
]
ALL_SECTIONS = [
    *("result", "best", "progress", "hyperparameters", "cost", "trials", "failures", "space", "notes"),
]


def trial_record(name, wer, *, units=64, learning_rate=1e-3, size_mb=0.3, rtf=0.005, values=None, **changes):
    """A completed trial within the limits."""
    direction = {"model.direction": "forward", "augment.speed": True}
    return {
        "trial": name,
        "status": "completed",
        "is_best": False,
        "on_front": [],
        "within_limits": True,
        "reason": None,
        "values": {"model.units": units, "train.learning_rate": learning_rate, **direction, **(values or {})},
        "wer": wer,
        "cer": None if wer is None else wer / 2,
        "loss": None if wer is None else 30 * wer,
        "repeats": [],
        "parameters": 300_000,
        "size_mb": size_mb,
        "rtf": rtf,
        "latency_ms": None,
        "training_seconds": 60.0,
        "total_seconds": 66.0,
        "overhead_seconds": 4.0,
        "ended_after_seconds": 70.0,
        "run": f"sweeps/small/trials/{name}",
        **changes,
    }


def lost_record(name, status, reason):
    """A trial without a score."""
    empty = dict.fromkeys(("cer", "loss", "parameters", "training_seconds", "total_seconds", "overhead_seconds"))
    return trial_record(
        name, None, size_mb=None, rtf=None, status=status, reason=reason, within_limits=None, run="", **empty
    )


#: 0004 has the lowest WER and breaks a limit; 0006 is the best of those that do not.
TRIALS = [
    trial_record("0001", 0.20, units=32, learning_rate=1e-4, size_mb=0.1, rtf=0.002, on_front=["size_mb", "rtf"]),
    lost_record("0002", "failed", "the loss was not finite\nin 12 of 400 steps"),
    trial_record("0003", 0.10, units=96, learning_rate=1e-3, size_mb=0.2, rtf=0.004, on_front=["size_mb", "rtf"]),
    trial_record(
        "0004",
        0.01,
        units=128,
        learning_rate=1e-2,
        size_mb=0.9,
        rtf=0.02,
        within_limits=False,
        reason="breaks max_size_mb: 0.9",
        on_front=["size_mb"],  # a mistake that the page must not repeat
    ),
    trial_record("0005", 0.15, size_mb=0.4, rtf=0.006, values={"model.direction": "chunked", "model.chunk_frames": 8}),
    trial_record("0006", 0.05, size_mb=0.3, rtf=0.005, is_best=True, on_front=["size_mb", "rtf"]),
    lost_record("0007", "refused", "model.units 64 is not a multiple of 48"),
    lost_record("0008", "running", None),
]


def sweep_record(trials=TRIALS, **changes):
    return {
        "title": "Sweep small",
        "tuner": "random",
        "seed": 7,
        "repeats": 1,
        "workers": 2,
        "objective": {"metric": "wer", "direction": "min"},
        "limits": {"max_size_mb": 0.5, "max_rtf": 0.01},
        "form": "dynamic",
        "front_against": ["size_mb", "rtf"],
        "space": SPACE,
        "trials": trials,
        "seconds": 480.0,
        "ended": None,
        "best": next((trial["trial"] for trial in trials if trial["is_best"]), None),
        "commands": ["speechgru train sweeps/small/best.yaml --run runs/best"],
        "notes": ["RTF is of one thread."],
        **changes,
    }


def page_of(tmp_path, record):
    """The page and its figures: every SVG must be well-formed XML too."""
    path = report_sweep(record, tmp_path / "sweep" / "index.html")
    written = path.read_text(encoding="utf-8")
    return Page(written), [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", written, re.S)]


def sections_of(page):
    return [attributes["id"] for attributes in page.all("section")]


def drawn(svg, kind):
    """The elements of an SVG that have a class."""
    return [element for element in svg.iter() if kind in element.get("class", "").split()]


def named(svg):
    """Every dot by its trial: where it lies, and its classes."""
    found = {}
    for circle in drawn(svg, "dot"):
        name = re.match(r"\w+", circle.find("title").text).group()
        found[name] = (float(circle.get("cx")), float(circle.get("cy")), set(circle.get("class").split()))
    return found


def corners(svg, kind):
    (line,) = drawn(svg, kind)
    return [tuple(map(float, point.split(","))) for point in line.get("points").split()]


def rows_of(page_path):
    """The names of the trials in the order of the table."""
    table = page_path.read_text(encoding="utf-8").split('<section id="trials"')[1].split("</section>")[0]
    return re.findall(r'<th scope="row" class="text">(\w+)', table), table


def test_every_section_shows_the_contents_of_the_record(tmp_path):
    page, svgs = page_of(tmp_path, sweep_record())
    assert sections_of(page) == ALL_SECTIONS
    assert [attributes["href"] for attributes in page.all("a")] == [f"#{name}" for name in ALL_SECTIONS]
    for part in (
        "Random search for the lowest WER \u00b7 seed 7 \u00b7 2 workers \u00b7 size at most 0.5 MB \u00b7 "
        "RTF at most 0.01 \u00b7 measured on the TFLite file of form dynamic",
        "Best WER 5.0 % trial 0006",
        "Trials 8 5 completed (1 over the limits), 1 failed, 1 refused, 1 running",
        "Time 8.0 min in progress",
        "Overhead a trial 4.00 s",
        "The best trial, 0006",
        "train.learning_rate 0.001 model.direction forward augment.speed true",
        "Size 0.3 MB RTF 0.005 Parameters 300,000 Training 1 min 00 s Run folder sweeps/small/trials/0006",
        "speechgru train sweeps/small/best.yaml --run runs/best",
        "0002: failed the loss was not finite in 12 of 400 steps",
        "0007: refused model.units 64 is not a multiple of 48",
        "train.learning_rate float, logarithmic 0.0001 to 0.01 always",
        "model.chunk_frames choice 8, 16 where model.direction is chunked",
        "RTF is of one thread.",
    ):
        assert part in page.text
    assert len(svgs) == 1 + len(SPACE) + 2
    assert not page.all("script")


def test_a_sweep_that_ended_gives_the_reason(tmp_path):
    page, _ = page_of(tmp_path, sweep_record(ended="the time was over"))
    assert "ended: the time was over" in page.text
    assert "goes on" not in page.text


def test_a_trial_over_the_limits_is_neither_in_the_best_so_far_line_nor_best(tmp_path):
    for best in ("0006", "0004"):  # even where the record says so
        page, (svg, *_) = page_of(tmp_path, sweep_record(best=best))
        dots = named(svg)
        assert {name for name, (*_, kinds) in dots.items() if "over" in kinds} == {"0004"}
        line = corners(svg, "best-so-far")
        heights = [dots[name][1] for name in ("0001", "0003", "0006")]
        assert sorted({top for _, top in line}) == sorted(heights)  # downwards is better, and larger
        assert max(top for _, top in line) < dots["0004"][1]
        assert [name for name, (*_, kinds) in dots.items() if "best" in kinds] == (["0006"] if best == "0006" else [])
        assert "trial 0004" not in page.text
    assert "best" in sections_of(page) and "The best trial" not in page.text  # only the next steps are left


def test_the_best_so_far_line_steps_at_a_better_trial(tmp_path):
    _, (svg, *_) = page_of(tmp_path, sweep_record())
    dots, line = named(svg), corners(svg, "best-so-far")
    assert line[0] == dots["0001"][:2]
    for name in ("0003", "0006"):
        left, top, _ = dots[name]
        assert (left, top) in line
        assert (left, line[line.index((left, top)) - 1][1]) in line
    assert line[-1][0] > dots["0006"][0] and line[-1][1] == dots["0006"][1]
    assert all(one[0] == other[0] or one[1] == other[1] for one, other in itertools.pairwise(line))


def test_failed_and_refused_trials_are_crosses_on_the_base_line(tmp_path):
    _, (svg, *others) = page_of(tmp_path, sweep_record())
    assert [cross.find("title").text for cross in drawn(svg, "cross")] == ["0002: failed", "0007: refused"]
    bottom = max(float(line.get("y1")) for line in drawn(svg, "grid"))
    for cross in drawn(svg, "cross"):
        top = float(re.match(r"M[\d.]+,([\d.]+)l8,8", cross.get("d")).group(1))
        assert top + 4 == pytest.approx(bottom)
    assert not any(drawn(other, "cross") for other in others)


def test_several_trainings_of_a_trial_are_drawn_and_described(tmp_path):
    trials = [trial_record("0001", 0.1, repeats=[0.08, 0.12], is_best=True), trial_record("0002", 0.2, repeats=[0.2])]
    page, (svg, *_) = page_of(tmp_path, sweep_record(trials, repeats=2))
    (line,) = drawn(svg, "spread")
    assert float(line.get("x1")) == named(svg)["0001"][0]
    assert float(line.get("y2")) < named(svg)["0001"][1] < float(line.get("y1"))
    assert "trial 0001, trainings 8.0 to 12.0 %" in page.text
    assert "2 trainings a trial" in page.text


def test_the_front_is_a_step_line_through_its_trials_with_their_names(tmp_path):
    _, svgs = page_of(tmp_path, sweep_record())
    fronts = svgs[-2:]
    for svg in fronts:
        dots, line = named(svg), corners(svg, "front")
        for name in ("0001", "0003", "0006"):
            assert dots[name][:2] in line
        assert dots["0004"][:2] not in line and dots["0005"][:2] not in line
        labels = [element.text for element in svg.iter() if element.tag == "text"]
        assert {"0001", "0003", "0006"} <= set(labels) and "0004" not in labels
        assert "over" in dots["0004"][2] and "best" in dots["0006"][2]
    assert not any(drawn(svg, "front") for svg in svgs[:-2])


def test_what_a_limit_forbids_is_shaded(tmp_path):
    _, svgs = page_of(tmp_path, sweep_record(limits={"max_size_mb": 0.5}))
    size, rtf = svgs[-2:]
    (line,), (shade,) = drawn(size, "limit"), drawn(size, "forbidden")
    edge = float(line.get("x1"))
    assert edge == float(line.get("x2")) == float(shade.get("x"))
    assert named(size)["0005"][0] < edge < named(size)["0004"][0] < edge + float(shade.get("width"))
    assert max(left for left, _ in corners(size, "front")) == edge
    assert not drawn(rtf, "limit") and not drawn(rtf, "forbidden")


def test_costs_are_on_a_logarithmic_axis(tmp_path):
    trials = [trial_record(f"000{k}", 0.1 * k, size_mb=10.0**-k) for k in (1, 2, 3)]
    _, svgs = page_of(tmp_path, sweep_record(trials))
    places = [named(svgs[-2])[f"000{k}"][0] for k in (1, 2, 3)]
    assert places[0] - places[1] == pytest.approx(places[1] - places[2], abs=0.15) != 0


@pytest.mark.parametrize("log", [True, False])
def test_a_hyperparameter_has_the_axis_it_is_searched_on(log):
    trials = [trial_record(f"000{k}", 0.1 * k, learning_rate=10.0**-k) for k in (1, 2, 3)]
    objective = Objective("wer")
    dots = dots_of(trials, best=None, objective=objective)
    dimension = {"key": "train.learning_rate", "kind": "float", "log": log}
    svg = ElementTree.fromstring(parameter_chart(dimension, dots, objective=objective))
    high, middle, low = (named(svg)[f"000{k}"][0] for k in (1, 2, 3))
    share = (middle - low) / (high - low)
    assert share == pytest.approx(0.5 if log else (0.01 - 0.001) / (0.1 - 0.001), abs=0.01)


def test_equal_values_of_a_choice_lie_apart_but_nearer_than_other_values():
    trials = [
        trial_record(f"{k:04d}", 0.1, values={"model.direction": ("chunked", "forward", None)[k % 3]})
        for k in range(60)
    ]
    objective = Objective("wer")
    dots = dots_of(trials, best=None, objective=objective)
    chart = parameter_chart(SPACE[2], dots, objective=objective)
    assert chart == parameter_chart(SPACE[2], dots, objective=objective)
    svg = ElementTree.fromstring(chart)
    places = named(svg)
    columns = [sorted(places[f"{k:04d}"][0] for k in range(start, 60, 3)) for start in range(3)]
    assert all(len(set(column)) == 20 for column in columns)
    assert columns[0][-1] < columns[1][0] and columns[1][-1] < columns[2][0]
    assert [bar.find("title").text.replace("\u202f", " ") for bar in drawn(svg, "median")] == [
        *("chunked 10.0 % (median of 20)", "forward 10.0 % (median of 20)", "null 10.0 % (median of 20)")
    ]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("int", [8000, 16000, 24000, 32000, 48000, 64000, 96000, 100_000]),
        ("choice", ["a_name_without_an_end_to_it", "b", "c", "d", "e_name_without_an_end_to_it", "f", "g", "h"]),
    ],
)
def test_the_names_below_a_chart_stay_inside_it(kind, values):
    trials = [trial_record(f"000{k}", 0.1, values={"key": value}) for k, value in enumerate(values)]
    objective = Objective("wer")
    dots = dots_of(trials, best=None, objective=objective)
    chart = parameter_chart({"key": "key", "kind": kind, "log": kind == "int"}, dots, objective=objective)
    svg = ElementTree.fromstring(chart)
    _, _, width, height = map(float, svg.get("viewBox").split())
    names = [element for element in drawn(svg, "tick") if float(element.get("y")) > 180]
    assert len(names) >= 4
    for element in names:
        left, length = float(element.get("x")), 6.6 * len(element.text)
        if element.get("transform"):
            assert left >= length * math.cos(math.radians(35))
            assert float(element.get("y")) + length * math.sin(math.radians(35)) <= height
        else:
            assert length / 2 <= left <= width - length / 2


def test_the_bar_of_a_choice_is_at_the_median():
    trials = [trial_record(f"000{k}", wer) for k, wer in enumerate((0.1, 0.2, 0.9))]
    objective = Objective("wer")
    dots = dots_of(trials, best=None, objective=objective)
    svg = ElementTree.fromstring(parameter_chart(SPACE[2], dots, objective=objective))
    (bar,) = drawn(svg, "median")
    assert float(re.search(r",([\d.]+)h", bar.get("d")).group(1)) == named(svg)["0001"][1]


def test_a_hyperparameter_shows_only_the_trials_that_searched_it(tmp_path):
    page, svgs = page_of(tmp_path, sweep_record())
    charts = dict(zip([dimension["key"] for dimension in SPACE], svgs[1:-2], strict=True))
    assert list(named(charts["model.chunk_frames"])) == ["0005"]
    assert Counter(len(named(chart)) for chart in charts.values()) == {5: 4, 1: 1}
    assert "over" in named(charts["model.units"])["0004"][2]
    assert "best" in named(charts["model.units"])["0006"][2]
    assert "where model.direction is chunked" in page.text and "logarithmic axis" in page.text


def test_objectives_that_are_far_apart_are_on_a_logarithmic_axis(tmp_path):
    trials = [trial_record(f"000{k}", 10.0**-k) for k in (0, 1, 2)]
    _, (svg, *_) = page_of(tmp_path, sweep_record(trials))
    tops = [named(svg)[f"000{k}"][1] for k in (0, 1, 2)]
    assert tops[1] - tops[0] == pytest.approx(tops[2] - tops[1], abs=0.15)


def test_the_table_has_the_best_first_and_what_is_over_the_limits_after_what_is_not(tmp_path):
    path = report_sweep(sweep_record(), tmp_path / "sweep.html")
    names, table = rows_of(path)
    assert names == ["0006", "0003", "0005", "0001", "0004", "0002", "0007", "0008"]
    assert table.count(">best<") == 1
    assert "over the limits<small>breaks max_size_mb: 0.9</small>" in table
    assert "<small>the loss was not finite in 12 of 400 steps</small>" in table
    assert "best<small>on the front of size and RTF</small>" in table


def test_the_table_has_only_what_differs_and_only_costs_that_were_measured(tmp_path):
    path = report_sweep(sweep_record(), tmp_path / "sweep.html")
    head = Page(rows_of(path)[1].split("<thead>")[1].split("</thead>")[0]).text
    assert head == (
        "Trial Status WER units model learning_rate train direction model chunk_frames model "
        "CER loss Size MB RTF Parameters Training In all"
    )
    assert "The same in all: augment.speed true." in Page(path.read_text(encoding="utf-8")).text
    bare = dict.fromkeys(("size_mb", "rtf", "parameters", "cer", "loss", "training_seconds", "total_seconds"))
    path = report_sweep(sweep_record([trial_record("0001", 0.1) | bare]), tmp_path / "sweep.html")
    assert Page(rows_of(path)[1].split("<thead>")[1].split("</thead>")[0]).text == "Trial Status WER"


@pytest.mark.parametrize(("metric", "shown"), [("cer", "Best CER 2.5 %"), ("loss", "Best loss 1.5")])
def test_the_objective_may_be_another(tmp_path, metric, shown):
    page, (svg, *_) = page_of(tmp_path, sweep_record(objective={"metric": metric, "direction": "min"}))
    assert shown in page.text
    assert svg.get("aria-label") == f"{metric if metric == 'loss' else 'CER'} of the trials in order"


def test_a_sweep_without_trials_shows_what_it_will_search(tmp_path):
    page, svgs = page_of(tmp_path, sweep_record([], commands=[], notes=[]))
    assert sections_of(page) == ["result", "space"]
    assert "Best WER \u2013 no trial has completed" in page.text
    assert not svgs


def test_a_sweep_of_failures_shows_their_reasons(tmp_path):
    trials = [lost_record(f"{k:04d}", "failed", "out of memory") for k in range(1, 4)]
    page, svgs = page_of(tmp_path, sweep_record([*trials, lost_record("0004", "refused", None)], commands=[]))
    assert sections_of(page) == ["result", "trials", "failures", "space", "notes"]
    assert "0001, 0002, 0003: failed out of memory 0004: refused no reason was recorded" in page.text
    assert not svgs


def test_a_sweep_where_all_are_over_the_limits_has_no_best(tmp_path):
    trials = [trial_record("0001", 0.1, within_limits=False, reason="breaks max_rtf: 0.1", is_best=True)]
    page, (svg, *others) = page_of(tmp_path, sweep_record(trials, commands=[]))
    assert "Best WER \u2013 no completed trial is within the limits" in page.text
    assert "best" not in sections_of(page)
    assert not drawn(svg, "best-so-far") and not any(drawn(other, "front") for other in others)


def test_one_trial_is_enough(tmp_path):
    page, svgs = page_of(tmp_path, sweep_record([TRIALS[-3]]))
    assert sections_of(page) == [name for name in ALL_SECTIONS if name != "failures"]
    assert all(list(named(svg)) == ["0006"] for svg in svgs if named(svg))
    assert len(corners(svgs[0], "best-so-far")) == 3


def test_there_is_no_front_where_none_is_asked_for_or_measured(tmp_path):
    page, _ = page_of(tmp_path, sweep_record(front_against=[], limits={}, form=None))
    assert "cost" not in sections_of(page)
    assert "TFLite" not in page.text
    unmeasured = [trial | {"size_mb": None, "rtf": 0.0} for trial in TRIALS]
    assert "cost" not in sections_of(page_of(tmp_path, sweep_record(unmeasured))[0])


@pytest.mark.parametrize("wer", [0.0, 0.05, 1.0, 1e-9, 7.5])
def test_equal_objectives_can_be_drawn(tmp_path, wer):
    trials = [trial_record(f"000{k}", wer, repeats=[wer, wer], is_best=k == 1) for k in (1, 2, 3)]
    _, svgs = page_of(tmp_path, sweep_record(trials))
    for svg in svgs:
        _, _, width, height = map(float, svg.get("viewBox").split())
        assert all(0 < left < width and 0 < top < height for left, top, _ in named(svg).values())


def test_objectives_that_differ_in_their_last_digit_are_drawn_as_equal(tmp_path):
    trials = [trial_record("0001", 0.3), trial_record("0002", 0.1 + 0.2)]
    _, (svg, *_) = page_of(tmp_path, sweep_record(trials))
    assert named(svg)["0001"][1] == named(svg)["0002"][1]


@pytest.mark.parametrize("missing", [None, math.nan, math.inf, -math.inf])
def test_numbers_that_are_missing_or_not_finite_are_left_out(tmp_path, missing):
    numbers = [
        *("wer", "cer", "loss", "parameters", "size_mb", "rtf", "latency_ms"),
        *("training_seconds", "total_seconds", "overhead_seconds", "ended_after_seconds"),
    ]
    trials = [TRIALS[0] | dict.fromkeys(numbers, missing) | {"repeats": [missing, 0.1]}, TRIALS[2]]
    page, svgs = page_of(tmp_path, sweep_record(trials))
    assert list(named(svgs[0])) == ["0003"]
    assert "1 trial without a finite WER not drawn" in page.text
    assert rows_of(tmp_path / "sweep" / "index.html")[0] == ["0003", "0001"]


def test_whatever_the_record_contains_shows_itself_and_does_nothing(tmp_path):
    odd = [HOSTILE, None, "", [], [HOSTILE, 1, None], True, 1, 1.0, 0.5, 10**12, "\u0437\u0432\u0443\u043a" * 30]
    trials = [
        trial_record(HOSTILE + str(k), 0.1 + k / 100, values={"model.direction": value, "model.units": value})
        for k, value in enumerate(odd)
    ]
    trials[0]["is_best"] = True
    trials[1] |= {"within_limits": False, "reason": HOSTILE}
    trials += [lost_record("f", "failed", HOSTILE), lost_record("r", "refused", HOSTILE * 20)]
    space = [*SPACE, {"key": HOSTILE, "kind": "choice", "log": False, "range": HOSTILE, "when": HOSTILE}]
    trials[2]["values"][HOSTILE] = HOSTILE
    page, _ = page_of(
        tmp_path,
        sweep_record(trials, title=HOSTILE, ended=HOSTILE, commands=[HOSTILE], notes=[HOSTILE], space=space),
    )
    assert sections_of(page) == ALL_SECTIONS
    assert not page.all("script") and not page.all("img")
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.text.count("<script>alert(1)</script>") > 10


def test_what_is_null_or_empty_is_not_taken_for_what_was_not_searched():
    assert [*map(value_text, (None, True, "", [], [None, 2.5], "forward", 512))] == [
        *("null", "true", '""', "[]", "[null, 2.5]", "forward", "512")
    ]


def test_a_page_that_cannot_be_written_is_the_users_mistake(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be written"):
        report_sweep(sweep_record(), tmp_path / "file" / "sweep.html")
