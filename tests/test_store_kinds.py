"""What each kind of store is reached by, and which of its errors stay."""

import json
import sys

import pytest

from speechgru.errors import UserError
from speechgru.store_kinds import is_final, is_refusal
from speechgru.stores import Store


@pytest.mark.parametrize(
    ("address", "library", "extra"),
    [
        ("s3://bucket/a", "s3fs", "stores"),
        ("gs://bucket/a", "gcsfs", "gs"),
        ("hf://datasets/ann/a", "huggingface_hub", "hf"),
    ],
)
def test_a_missing_library_is_told_with_what_brings_it(address, library, extra, monkeypatch):
    registry = pytest.importorskip("fsspec.registry", reason="fsspec (extra stores)")
    monkeypatch.setattr(registry, "registry", {})
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        UserError, match=rf"^{address}: a package .* is missing .*: pip install 'speechgru\[{extra}\]'$"
    ):
        Store(address)


class _Answer(Exception):
    def __init__(self, status):
        self.status = status


@pytest.mark.parametrize(
    ("reason", "stays", "refuses"),
    [
        (_Answer(403), True, True),
        (_Answer(404), True, False),
        (_Answer(412), False, False),  # others write just now
        (_Answer(429), False, False),
        (_Answer(503), False, False),
        (PermissionError("Access Denied"), True, True),
        (OSError("Forbidden: b/bucket"), True, True),
        (type("NoCredentialsError", (Exception,), {})("Unable to locate credentials"), True, True),
        (ValueError("no bucket's name"), True, False),
        (json.JSONDecodeError("cut", "{", 1), False, False),
        (ConnectionResetError(), False, False),
        (TimeoutError(), False, False),
    ],
)
def test_what_another_attempt_may_change_is_tried_again(reason, stays, refuses):
    assert (is_final(reason), is_refusal(reason)) == (stays, refuses)
