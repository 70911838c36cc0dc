"""The charts of a training: every finite value inside the frame, and the others counted."""

import math
import re

import numpy as np
import pytest
from test_report import Page
from test_train_page import HISTORY as RUN

from speechgru.train.charts import curves, error_chart, loss_chart, num_undrawn, thinned
from speechgru.train.history import Course, History, points_of

HISTORY = [
    {"kind": "train", "step": step, "epoch": 0, "loss": 100 / step, "learning_rate": 1e-3, "seconds": step}
    for step in range(1, 101)
] + [{"kind": "dev", "step": 100, "epoch": 1, "loss": 3.0, "wer": 0.5, "cer": 0.25, "seconds": 9.0}]


def test_charts_mark_where_it_was_resumed_what_was_dropped_and_the_best():
    course = Course(last_step=400, resumed=[100.0], dropped=[104, 104.1, 188], best_step=100)
    errors = Page(error_chart(RUN, course=course))
    (ring,) = [circle for circle in errors.all("circle") if circle["r"] == "7"]
    assert float(ring["cx"]) == pytest.approx(52 + (460 - 24 - 52) * 100 / 400, abs=0.1)
    marks = [line for line in errors.all("line") if line.get("class") == "blank"]
    assert [line["x1"] for line in marks] == [ring["cx"]]
    assert "resumed at step 100" in errors.text and "best at step 100: 25.0 %" in errors.text
    ticks = [line for line in errors.all("line") if line.get("class") == "lost-tick"]
    assert len(ticks) == 2, "those on one pixel are one"
    assert 'class="blank"' not in error_chart(RUN)
    assert loss_chart([], course=course) == "", "marks alone are no chart"


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
    assert "2 values are not finite and not drawn" in Page(curves(History(history))).text


def test_long_lines_are_averaged_and_named_so():
    points = [(float(step), float(step % 2)) for step in range(1000)]
    fewer, every = thinned(points, most=250)
    assert every == 4 and len(fewer) == 250
    assert fewer[0] == (1.5, 0.5)
    assert thinned([], most=5) == ([], 1)
    history = [{"kind": "train", "step": step, "loss": 1.0} for step in range(1000)]
    assert "training, mean of 3" in loss_chart(history)


def test_charts_describe_in_words_what_they_show():
    (spoken,) = Page(error_chart(HISTORY)).drawings
    assert spoken.startswith("Dev error rates: WER from 50.0 % at step 100 to 50.0 % at step 100; CER from 25.0 %")


@pytest.mark.parametrize("losses", [[5.0], [0.0, 0.0], [1e-9, 1e9], [-1.0, 2.0], [3.0, 3.0, 3.0]])
def test_odd_curves_are_drawn_inside_the_chart(losses):
    svg = loss_chart([{"kind": "train", "step": step, "loss": loss} for step, loss in enumerate(losses)])
    (points,) = re.findall(r'<polyline class="line"[^>]*points="([^"]*)"', svg)
    xs, ys = np.array([pair.split(",") for pair in points.split()], float).T
    assert (xs >= 52).all() and (xs <= 436).all() and (ys >= 12).all() and (ys <= 230).all()
    assert "nan" not in svg and "inf" not in svg


def test_no_history_is_no_chart():
    assert curves(History([])) == "" and loss_chart([{"kind": "dev", "step": 1}]) == ""
