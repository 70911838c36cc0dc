"""Bundles that earlier versions wrote: they load, say what they said, and a damaged one is named.

`scripts/make_stored_bundle.py` made each with the code that wrote its format.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from speechgru.errors import BundleError
from speechgru.runtime import BUNDLE_VERSION, Recognizer, read_bundle
from speechgru.runtime.tflite import describe, foreign_operators

BUNDLES = Path(__file__).parent / "data" / "bundles"

every_bundle = pytest.mark.parametrize("stored", sorted(BUNDLES.iterdir()), ids=lambda path: path.name)


@pytest.fixture
def bundle(stored, tmp_path):
    """A copy of a stored bundle, to be damaged."""
    return Path(shutil.copytree(stored, tmp_path / "bundle"))


def test_the_formats_that_were_written_are_stored():
    """The newest format's own bundle comes with the change that makes it the newest."""
    assert {path.name for path in BUNDLES.iterdir()} >= {"v1", "v2"}


@every_bundle
def test_a_stored_bundle_says_what_it_said(stored):
    expected = np.load(stored / "expected.npz")
    recognizer = Recognizer(stored)
    log_probs_SV = recognizer.log_probs(expected["samples"])
    np.testing.assert_allclose(log_probs_SV, expected["log_probs"], rtol=0, atol=1e-4)
    assert log_probs_SV.shape[0] > 10
    hypothesis = recognizer.transcribe(expected["samples"], recognizer.sample_rate)
    assert hypothesis.text == str(expected["text"]) == "ab"
    assert 0 < hypothesis.words[0].start_seconds < hypothesis.words[0].end_seconds < len(expected["samples"]) / 8000


@every_bundle
def test_a_stored_bundle_is_read_as_of_its_version(stored):
    assert json.loads((stored / "bundle.json").read_text())["bundle_version"] == int(stored.name.removeprefix("v"))
    metadata = read_bundle(stored)
    assert metadata["entries"] == ["a", "b"] and metadata["unit"] == "character"
    for model in metadata["models"].values():
        facts = describe(stored / model["file"])
        assert facts.size_bytes == model["size_bytes"]
        assert facts.signatures[0].inputs[0].shape == (1, -1)
        assert foreign_operators(stored / model["file"]) == []


@every_bundle
def test_a_stored_bundle_tells_of_no_machine(stored):
    """Neither a path nor a tool's name."""
    reported = json.loads((stored / "bundle.json").read_text())["provenance"]
    assert reported["command"] == ["speechgru", "export", "run", "--out", "bundle"]
    assert reported["host"] == {"system": "Linux", "processor": "x86_64", "cpus": 1}


@every_bundle
def test_a_bundle_of_the_future_is_refused(bundle):
    path = bundle / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"bundle_version": BUNDLE_VERSION + 1}))
    with pytest.raises(BundleError) as caught:
        Recognizer(bundle)
    assert str(caught.value) == (
        f"{path}: is of version {BUNDLE_VERSION + 1}, this speechgru reads up to {BUNDLE_VERSION}; update speechgru"
    )


@every_bundle
@pytest.mark.parametrize("damage", [lambda text: text[: len(text) // 2], lambda text: "[]", lambda text: "\x00" * 99])
def test_damaged_metadata_is_named(bundle, damage):
    path = bundle / "bundle.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(BundleError, match="export the bundle again") as caught:
        Recognizer(bundle)
    assert str(caught.value).startswith(f"{path}: ")


@every_bundle
@pytest.mark.parametrize("key", ["sample_rate", "models", "text"])
def test_metadata_that_lacks_something_is_named(bundle, key):
    path = bundle / "bundle.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != key}))
    with pytest.raises(BundleError, match=f"lacks {key}; export the bundle again") as caught:
        Recognizer(bundle)
    assert str(caught.value).startswith(f"{path}: ")


@every_bundle
@pytest.mark.parametrize("share", [0.0, 0.0001, 0.3, 0.7, 0.99])
def test_a_model_cut_short_is_named(bundle, share):
    path = bundle / "model.tflite"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BundleError, match=r"is (damaged|cut short|empty).*; .*export") as caught:
        Recognizer(bundle)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@every_bundle
def test_a_missing_model_is_named(bundle):
    path = bundle / "model.tflite"
    path.unlink()
    with pytest.raises(BundleError) as caught:
        Recognizer(bundle)
    assert str(caught.value) == f"{path}: is missing from the bundle; copy the folder whole"


@every_bundle
def test_a_folder_without_metadata_is_named(bundle):
    (bundle / "bundle.json").unlink()
    with pytest.raises(BundleError) as caught:
        Recognizer(bundle)
    assert str(caught.value) == f"{bundle}: not a bundle (bundle.json is missing); `speechgru export` makes one"
