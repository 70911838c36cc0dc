"""The elementary functions of compiled code, beside exact ones, and threads."""

import threading

import numpy as np
import pytest

pytest.importorskip("numba", reason="compiled code needs Numba, which librosa brings (extra train)")

from speechgru import jit, processors


def values(function, x):
    return np.array([function(value) for value in x.astype("float32")])


def test_tanh_and_the_logistic_function():
    x = np.linspace(-20, 20, 40_001).astype("float32")
    exact = np.tanh(x.astype("float64"))
    tanh = values(jit.tanh, x)
    np.testing.assert_allclose(tanh, exact, atol=3e-7)
    assert 1 - 2e-7 < np.abs(tanh).max() <= 1
    near_zero = np.abs(x) < 1e-2
    np.testing.assert_allclose(tanh[near_zero], exact[near_zero], rtol=4e-7)
    np.testing.assert_allclose(values(jit.logistic, x), 1 / (1 + np.exp(-x.astype("float64"))), atol=2e-7)


def test_exp_up_to_zero():
    x = np.concatenate([-np.logspace(-8, np.log10(86.9), 20_000), [0.0]]).astype("float32")
    np.testing.assert_allclose(values(jit.exp, x), np.exp(x.astype("float64")), rtol=3e-7)
    assert jit.exp(np.float32(0)) == 1
    np.testing.assert_allclose(values(jit.exp, np.array([-88.0, -1e4, -1e30])), np.exp(-87.0), rtol=1e-5)


def test_log_from_1_to_3():
    x = np.linspace(1, 3, 20_001).astype("float32")
    np.testing.assert_allclose(values(jit.log_1_to_3, x), np.log(x.astype("float64")), atol=1.5e-7)
    assert jit.log_1_to_3(np.float32(1)) == 0


def test_log():
    x = np.concatenate([np.logspace(-37.9, 38.5, 20_001), np.linspace(0.5, 2, 20_001)]).astype("float32")
    exact = np.log(x.astype("float64"))
    np.testing.assert_allclose(values(jit.log, x), exact, rtol=2e-7, atol=2e-8)
    assert jit.log(np.float32(1)) == 0 and jit.log(np.float32("inf")) == np.inf


@pytest.mark.parametrize("function", [jit.tanh, jit.logistic, jit.exp, jit.log, jit.log_1_to_3])
def test_what_is_no_number_stays_none(function):
    assert np.isnan(function(np.float32("nan")))


def test_tasks_run_beside_each_other_and_their_results_keep_the_order():
    meeting = threading.Barrier(2, timeout=30)
    tasks = [lambda: (meeting.wait(), "first")[1], lambda: (meeting.wait(), "second")[1]]
    assert jit.run_beside(tasks, num_threads=2) == ["first", "second"]
    assert jit.run_beside([], num_threads=2) == []
    with pytest.raises(ZeroDivisionError):
        jit.run_beside([lambda: 1 / 0, lambda: 2], num_threads=2)


@pytest.mark.parametrize(("asked", "threads"), [("1", 1), ("3", 3), ("0", None), ("", None), ("two", None)])
def test_a_computation_takes_the_threads_that_tensorflow_may(monkeypatch, asked, threads):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", asked)
    assert processors.num_threads() == (threads or processors.num_processors())
