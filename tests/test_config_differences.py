import pytest

from speechgru.config.differences import Difference, find_differences
from speechgru.config.sections import RunConfig


@pytest.mark.parametrize(
    ("there", "here", "expected"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 2}}, []),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}}, ["a.b (1 there, 3 now)"]),
        ({"a": 1, "b": 1}, {"b": 2, "c": 3}, ["b (1 there, 2 now)", "c (None there, 3 now)", "a (1 there, None now)"]),
        ({"a": ["x", "y"]}, {"a": ["x"]}, ["a (['x', 'y'] there, ['x'] now)"]),
        ({"a": [{"p": 1}, {"p": 2}]}, {"a": [{"p": 1}]}, ["a[1].p (2 there, None now)"]),
        ({"a": None}, {"a": {"p": "x", "q": None}}, ["a.p (None there, 'x' now)"]),
        ({"a": {"p": 1}}, {"a": "plain"}, ["a ({'p': 1} there, 'plain' now)"]),
        ({"a": {"p": 1}}, {"a": ["x"]}, ["a ({'p': 1} there, ['x'] now)"]),
        ({"a": {}}, {"a": None}, ["a ({} there, None now)"]),
        ({"a": True}, {"a": 1}, []),
    ],
)
def test_every_key_that_differs_is_named_with_both_values(there, here, expected):
    assert [str(found) for found in find_differences(there, here)] == expected


def test_keys_and_sections_that_may_differ_are_passed_over():
    there, here = {"data": {"a": 1, "b": 1}, "train": {"c": 1}}, {"data": {"a": 2, "b": 2}, "train": {"c": 2}}
    found = find_differences(there, here, may_differ={"data.a", "train"})
    assert found == [Difference("data.b", 1, 2)]
    assert found[0].describe(there="in the shards") == "data.b (1 in the shards, 2 now)"


def test_configurations_differ_in_what_was_changed():
    config = RunConfig()
    changed = config.model_copy(update={"model": config.model.model_copy(update={"units": 7})})
    found = find_differences(config.model_dump(), changed.model_dump())
    assert [difference.key for difference in found] == ["model.units"]
