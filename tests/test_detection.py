"""False accepts against misses, against counting them one by one; intervals of rates against the textbook's table."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechgru.metrics import DetectionCurve, rate_interval

margins = st.one_of(st.just(-np.inf), st.integers(-6, 0).map(lambda value: value / 2))
commands = st.lists(st.tuples(margins, st.booleans()), min_size=1, max_size=12)
negatives = st.lists(st.integers(-6, 0).map(lambda value: value / 2), max_size=12)


def curve_of(spoken, false_margins, hours=0.5):
    # nothing recognised is never right
    return DetectionCurve(
        [margin for margin, _ in spoken],
        [is_right and margin > -np.inf for margin, is_right in spoken],
        false_margins=false_margins,
        hours=hours,
    )


def counted(spoken, false_margins, threshold):
    """False accepts and misses, written from the definition."""
    accepted = sum(margin >= threshold for margin in false_margins)
    missed = sum(not (is_right and margin > -np.inf and margin >= threshold) for margin, is_right in spoken)
    return accepted, missed


@given(commands, negatives)
def test_every_point_counts_what_its_threshold_does(spoken, false_margins):
    curve = curve_of(spoken, false_margins)
    for point in curve.points:
        assert point[1:] == counted(spoken, false_margins, point.threshold)
        assert curve.at(point.threshold) == point
    for threshold in np.arange(-4, 1, 0.25):
        assert curve.at(threshold)[1:] == counted(spoken, false_margins, threshold)
    thresholds, accepted, missed = zip(*curve.points, strict=True)
    assert list(thresholds) == sorted(set(thresholds))
    assert list(accepted) == sorted(accepted, reverse=True) and list(missed) == sorted(missed)
    assert (accepted[0], accepted[-1], missed[-1]) == (len(false_margins), 0, len(spoken))


@given(commands, negatives, st.sampled_from([0.0, 2.0, 5.0, 100.0]))
def test_an_asked_rate_of_false_accepts_is_kept_with_the_fewest_misses(spoken, false_margins, per_hour):
    curve = curve_of(spoken, false_margins)
    point = curve.at_false_accepts(per_hour)
    assert point.num_false_accepts / 0.5 <= per_hour
    possible = [counted(spoken, false_margins, threshold) for threshold in np.arange(-4, 1.01, 0.25)]
    assert point.num_misses == min(missed for accepted, missed in possible if accepted / 0.5 <= per_hour)


@given(commands, negatives, st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_an_asked_rate_of_misses_is_kept_with_the_fewest_false_accepts(spoken, false_margins, share):
    point = curve_of(spoken, false_margins).at_misses(share)
    possible = [counted(spoken, false_margins, threshold) for threshold in np.arange(-4, 1.01, 0.25)]
    allowed = [accepted for accepted, missed in possible if missed <= share * len(spoken)]
    assert (point is None) == (not allowed), "so many are recognised wrongly that no threshold helps"
    if point is not None:
        assert point.num_misses <= share * len(spoken)
        assert point.num_false_accepts == min(allowed)


@given(commands, negatives)
def test_corners_are_the_points_that_no_other_beats(spoken, false_margins):
    curve = curve_of(spoken, false_margins)
    corners = {point[1:] for point in curve.corners()}
    every = {point[1:] for point in curve.points}
    for accepted, missed in every:
        is_beaten = any(a <= accepted and m <= missed and (a, m) != (accepted, missed) for a, m in every)
        assert ((accepted, missed) in corners) == (not is_beaten)


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    rng = np.random.default_rng(0)
    curve = DetectionCurve(
        rng.normal(-1, 1, 3000), np.ones(3000, bool), false_margins=rng.normal(-3, 1, 5000), hours=10.0
    )
    corners, every = curve.corners(most=50), curve.corners(most=10**6)
    assert len(every) > 500 and 20 < len(corners) <= 52
    assert (corners[0], corners[-1]) == (every[0], every[-1]) and set(corners) <= set(every)


def test_a_point_is_described_with_its_intervals():
    curve = DetectionCurve([-0.1, -0.2, -0.9, -1.0], [True, True, True, False], false_margins=[-0.5, -2.0], hours=0.5)
    described = curve.describe(curve.at_false_accepts(2.0))
    assert described["threshold"] == pytest.approx(-1.45)
    assert (described["num_false_accepts"], described["false_accepts_per_hour"]) == (1, 2.0)
    assert (described["num_misses"], described["miss_rate"]) == (1, 0.25)
    low, high = described["false_accepts_interval"]
    assert (round(low, 3), round(high, 3)) == (0.051, 11.143), "twice those of one event"
    assert described["miss_interval"][0] < 0.25 < described["miss_interval"][1]


@pytest.mark.parametrize(
    ("count", "interval"),
    # The exact limits of a Poisson mean, as tables of them have had since Garwood 1936.
    [(0, (0, 3.689)), (1, (0.0253, 5.572)), (5, (1.623, 11.668)), (10, (4.795, 18.390)), (100, (81.36, 121.63))],
)
def test_a_rate_may_lie_where_poissons_tails_leave_it(count, interval):
    assert rate_interval(count, 1.0) == pytest.approx(interval, rel=1e-3)
    assert rate_interval(count, 4.0) == pytest.approx(np.array(interval) / 4, rel=1e-3)


def test_what_has_no_rate_is_refused():
    with pytest.raises(ValueError, match=r"need a command and negatives of more than 0 s, got 0 commands and 3600 s"):
        DetectionCurve([], [], false_margins=[], hours=1.0)
    with pytest.raises(ValueError, match="got 1 commands and 0 s of negatives"):
        DetectionCurve([0.0], [True], false_margins=[], hours=0.0)
    with pytest.raises(ValueError, match="a rate needs a count of 0 or more and an exposure above 0, got 1 in 0"):
        rate_interval(1, 0.0)
