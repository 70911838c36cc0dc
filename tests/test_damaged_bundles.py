"""Bundles that are damaged, or made to harm: one error that names the file, and never the end of the process."""

import io
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechgru.errors import BundleError
from speechgru.export.flatbuffer import sealed, with_metadata
from speechgru.runtime import METADATA_ENTRY, Recognizer, isolated, read_bundle
from speechgru.runtime.engine import naming, require_outputs
from speechgru.runtime.inspection import inspect
from speechgru.runtime.tflite import CHECKSUM_ENTRY, describe, read_metadata, require_intact
from speechgru.runtime.tflite.layout import buffer_spans, root_of

V3 = Path(__file__).parent / "data" / "bundles" / "v3"
EXPECTED = np.load(V3 / "expected.npz")
SOUND = EXPECTED["samples"][:4000]


@pytest.fixture(scope="module")
def content():
    """A `.tflite` file as `export` writes it, with its bundle's metadata and the checksum of everything else."""
    own = json.loads((V3 / "bundle.json").read_text())
    own |= {"models": {"none": {"file": "model.tflite"}}, "checksum": CHECKSUM_ENTRY}
    return sealed((V3 / "model.tflite").read_bytes(), {METADATA_ENTRY: json.dumps(own).encode()})


@pytest.fixture
def alone(content, tmp_path):
    """That file, alone in a folder."""
    path = tmp_path / "alone.tflite"
    path.write_bytes(content)
    return path


# -- the file's own checksum -----------------------------------------------------------------------------------------


def test_a_file_alone_carries_a_checksum_and_is_recognised_by(alone, content):
    assert require_intact(alone) and len(read_metadata(content)[CHECKSUM_ENTRY]) == 32
    np.testing.assert_array_equal(Recognizer(alone).log_probs(SOUND), Recognizer(V3).log_probs(SOUND))
    assert inspect(alone)["models"][0]["has_checksum"]


def mutations(content, generator):
    """A damaged copy: bits flipped, bytes of another place, a hole, something cut out or in between, an end missing."""
    place, size = int(generator.integers(len(content))), int(generator.integers(1, 400))
    other = int(generator.integers(len(content)))
    kind = generator.integers(6)
    if kind == 0:
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(generator.integers(8))
        return bytes(flipped)
    if kind == 1:
        return content[:place] + content[other : other + size] + content[place + size :]
    if kind == 2:
        return content[:place] + bytes(size) + content[place + size :]
    if kind == 3:
        return content[:place] + content[place + size :]
    if kind == 4:
        return content[:place] + generator.bytes(size) + content[place:]
    return content[:place]


def test_whatever_happens_to_a_file_it_is_one_error_that_names_it(alone, content):
    generator = np.random.default_rng(5)
    for _ in range(150):
        damaged = mutations(content, generator)
        if damaged == content:
            continue
        alone.write_bytes(damaged)
        with pytest.raises(BundleError) as caught:
            Recognizer(alone)
        assert str(caught.value).startswith(f"{alone}: ") and "\n" not in str(caught.value)


def test_a_flipped_bit_of_a_weight_is_noticed_unless_nobody_asks(alone, content):
    weights = [content[a : a + n] for a, n in buffer_spans(content, root_of(content)) if 1000 < n < 3000]
    place = content.index(max(weights, key=len)) + 400  # the lowest byte of a float
    damaged = bytearray(content)
    damaged[place] ^= 1
    alone.write_bytes(damaged)
    assert describe(alone).num_weights == describe(V3 / "model.tflite").num_weights, "its tables are intact"
    with pytest.raises(BundleError, match=r"alone\.tflite: is damaged \(its checksum is wrong\); copy the folder"):
        read_bundle(alone)
    assert Recognizer(alone, verify=False).log_probs(SOUND).shape == Recognizer(V3).log_probs(SOUND).shape


def test_the_command_has_a_way_around_the_checksum_and_a_process_for_strangers_bundles(
    alone, content, run_command, tmp_path
):
    weights = [content[a : a + n] for a, n in buffer_spans(content, root_of(content)) if 1000 < n < 3000]
    damaged = bytearray(content)
    damaged[content.index(max(weights, key=len)) + 400] ^= 1
    soundfile.write(tmp_path / "said.wav", EXPECTED["samples"], 8000)
    code, out, err = run_command("transcribe", alone, tmp_path / "said.wav", "--isolated", "--json")
    assert (code, json.loads(out)[0]["text"]) == (0, str(EXPECTED["text"])), err
    alone.write_bytes(damaged)
    code, out, err = run_command("transcribe", alone, tmp_path / "said.wav")
    assert (code, out) == (2, "") and "its checksum is wrong" in err
    code, out, err = run_command("transcribe", alone, tmp_path / "said.wav", "--no-verify", "--json")
    assert (code, json.loads(out)[0]["text"]) == (0, str(EXPECTED["text"])), err
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    for flag in ("--isolated", "--no-verify"):
        code, _, err = run_command("transcribe", tmp_path / "run", tmp_path / "said.wav", flag)
        assert code == 2 and f"{flag} is for a bundle, and this is a run, which is trusted; leave it out" in err


def test_a_file_that_has_lost_its_checksum_says_so(alone, content):
    entries = {CHECKSUM_ENTRY: b""}
    alone.write_bytes(with_metadata(content, entries))
    with pytest.raises(BundleError, match=r"is damaged \(its checksum is cut short\)"):
        read_bundle(alone)
    alone.write_bytes(content.replace(CHECKSUM_ENTRY.encode() + b"\0", CHECKSUM_ENTRY.upper().encode() + b"\0"))
    with pytest.raises(BundleError, match=r"is damaged \(its checksum is gone\); copy the file again"):
        read_bundle(alone)
    assert read_bundle(alone, verify=False)["sample_rate"] == 8000


def test_a_file_of_before_there_were_checksums_is_read_and_said_to_have_none(alone):
    own = json.loads((V3 / "bundle.json").read_text()) | {"models": {"none": {"file": "model.tflite"}}}
    alone.write_bytes(with_metadata((V3 / "model.tflite").read_bytes(), {METADATA_ENTRY: json.dumps(own).encode()}))
    assert not require_intact(alone)
    assert len(Recognizer(alone).log_probs(SOUND)) and not inspect(alone)["models"][0]["has_checksum"]
    assert inspect(V3)["models"][0]["has_checksum"], "bundle.json has one"


def test_a_file_in_a_folder_is_held_by_its_own_checksum_where_the_folder_has_none(content, tmp_path):
    shutil.copytree(V3, tmp_path / "bundle")
    metadata = json.loads((V3 / "bundle.json").read_text())
    metadata["models"]["none"] = {"file": "model.tflite"}
    (tmp_path / "bundle" / "bundle.json").write_text(json.dumps(metadata))
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 1
    (tmp_path / "bundle" / "model.tflite").write_bytes(damaged)
    with pytest.raises(BundleError, match=r"model\.tflite: is damaged \(its checksum is wrong\)"):
        Recognizer(tmp_path / "bundle")


# -- the fields of bundle.json ---------------------------------------------------------------------------------------


@pytest.fixture
def changed(tmp_path):
    """A copy of the bundle with changed metadata."""
    folder = Path(shutil.copytree(V3, tmp_path / "bundle", ignore=shutil.ignore_patterns("golden")))

    def change(path, value):
        metadata = json.loads((V3 / "bundle.json").read_text())
        *parents, last = path
        place = metadata
        for key in parents:
            place = place[key]
        place[last] = value
        (folder / "bundle.json").write_text(json.dumps(metadata))
        return folder

    return change


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["sample_rate"], 1e308, "sample_rate is a whole number from 1,000 to 768,000, got 1e+308"),
        (["sample_rate"], float("nan"), "sample_rate is a whole number from 1,000 to 768,000, got nan"),
        (["sample_rate"], True, "sample_rate is a whole number"),
        (["sample_rate"], 10**30, "sample_rate is a whole number"),
        (["step_seconds"], 0, "step_seconds is a number from 0.0001 to 60, got 0"),
        (["step_seconds"], 0.0001, "step_seconds is less than a sample"),
        (["bundle_version"], 0, "bundle_version is a whole number from 1"),
        (["entries"], ["a", 3], "entries[1] is a text, got 3"),
        (["blank_id"], 2, "blank_id is a whole number from 0 to 0, got 2"),
        (["models"], [], "models is an object, got []"),
        (["models", "none"], {}, "models.none.file is missing"),
        (["models", "none", "size_bytes"], -1, "models.none.size_bytes is a whole number from 0"),
        (["default_form"], ["none"], "default_form is a text, got ['none']"),
        (["features", "hop_length"], 0, "features.hop_length is a whole number from 1"),
        (["features", "n_fft"], "512", "features.n_fft is a whole number from 1 to 1,048,576, got '512'"),
        (["features", "mean"], [1.0, None], "features.mean[1] is a number"),
        (["stream", "geometry", "hop_length"], 0, "stream.geometry.hop_length is a whole number from 1"),
        (["stream", "geometry", "center"], 1, "stream.geometry.center is true or false, got 1"),
        (["stream", "geometry", "chunk_steps"], 10**9, "stream.geometry.chunk_steps is a whole number from 1 to 4,096"),
        (["stream", "states", "context"], [1, 2**24], "stream is of more than 16,777,216 samples or values"),
        (["stream", "states", "context"], [1, -5], "stream.states.context[1] is a whole number from 1"),
        (["stream", "geometry"], {}, "stream.geometry.frame_length is missing"),
        (["rejection"], {"threshold": "high"}, "rejection.threshold is a number"),
        (["dev", "wer"], float("inf"), "dev.wer is a number"),
        (["latency_seconds"], 3, "latency_seconds is an object, got 3"),
        (["parity"], [3], "parity[0] is an object, got 3"),
        (["saved_model"], "all", "saved_model is a list, got 'all'"),
        (["grammar"], 5, "grammar is an object, got 5"),
        (["parameters"], "\x1b[2J\u202e", r"parameters is a whole number from 0 to 9,007,199,254,740,992, got '\x1b"),
    ],
)
def test_a_field_of_another_type_or_beyond_its_range_is_named(changed, path, value, message):
    folder = changed(path, value)
    with pytest.raises(BundleError) as caught:
        Recognizer(folder)
    assert f"{folder / 'bundle.json'}: is damaged ({message}" in str(caught.value)
    assert str(caught.value).endswith("; export the bundle again") and str(caught.value).isprintable()


def leaves(value, path=()):
    """The places of a record's values; of a list the first alone."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from leaves(value[key], (*path, key))
    elif isinstance(value, list) and value:
        yield from leaves(value[0], (*path, 0))


def test_whatever_a_field_holds_there_is_text_or_one_error(changed):
    paths = [path for path in leaves(json.loads((V3 / "bundle.json").read_text())) if path]
    generator, refused = np.random.default_rng(3), []
    junk = [None, True, -1, 0, 1, 3.5, 10**400, 1e308, float("nan"), "", "x" * 5000, [], [None], {}, {"a": 1}]
    for path in paths:
        for place in generator.choice(len(junk), 2, replace=False):
            folder = changed(path, junk[place])
            try:
                recognizer = Recognizer(folder)
                recognizer.transcribe(SOUND[:1500], 8000)
                if recognizer.streams:
                    recognizer.stream_log_probs(SOUND[:1500], piece=500)
            except BundleError as error:
                refused.append(str(error))
    assert len(refused) > len(paths)
    assert all(each.startswith(str(folder)) and "\n" not in each for each in refused)


def test_metadata_that_are_a_pipe_or_too_large_are_refused(changed, monkeypatch):
    folder = changed(["sample_rate"], 8000)
    monkeypatch.setattr("speechgru.runtime.bundle._MOST_BYTES", 100)
    with pytest.raises(BundleError, match=r"bundle\.json: is damaged .*such a file at most 100"):
        Recognizer(folder)
    if hasattr(os, "mkfifo"):
        (folder / "bundle.json").unlink()
        os.mkfifo(folder / "bundle.json")
        with pytest.raises(BundleError, match=r"bundle\.json: is damaged .*it is a device or a pipe, not a file"):
            read_bundle(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
def test_a_bundle_that_leads_elsewhere_is_not_copied(tmp_path):
    """A stranger's copy would be sent back, or published as a site, with the user's own files in it."""
    from speechgru.export.calibration import _keep_in_bundle
    from speechgru.web.site import _copy_golden

    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("mine")
    bundle = Path(shutil.copytree(V3, tmp_path / "bundle"))
    for number, put in enumerate((
        lambda path: path.symlink_to(tmp_path / "secret" / "key"),
        lambda path: path.symlink_to("../../secret"),
        lambda path: path.symlink_to("."),  # copied, it would hold itself for ever
        lambda path: path.symlink_to("nowhere"),
        os.mkfifo,
    )):  # fmt: skip
        link = bundle / "golden" / f"{number}.bin"
        put(link)
        for copy in (
            lambda: _keep_in_bundle(bundle, {}),
            lambda: _copy_golden(bundle, tmp_path / "site", {}, "none", None),
        ):
            with pytest.raises(BundleError, match=rf"{number}\.bin: (is a link that leads out|not a file)"):
                copy()
        link.unlink()
    (bundle / "golden" / "also.json").symlink_to("golden.json")
    _keep_in_bundle(bundle, {"keywords": None})
    assert (bundle / "golden" / "also.json").read_bytes() == (bundle / "golden" / "golden.json").read_bytes()


def test_a_model_that_does_not_fit_the_metadata_is_named(changed):
    folder = changed(["entries"], ["a", "b", "c"])
    with pytest.raises(BundleError, match=r"tflite: cannot be run \(it gives numbers of the shape .* for 4 labels"):
        Recognizer(folder).log_probs(SOUND)
    with (
        pytest.raises(BundleError, match=r"^m\.tflite: cannot be run \(it gives NaN: its weights are damaged"),
        naming("m.tflite"),
    ):
        require_outputs({}, {"log_probs": np.full([1, 3, 4], np.nan, np.float32)}, num_labels=4)
    folder = changed(["stream", "states"], {"context": [1, 512]})
    with pytest.raises(BundleError, match=r"model\.tflite: cannot be run"):
        Recognizer(folder).stream_log_probs(SOUND, piece=1000)


# -- a process of its own --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer(V3, isolated=True)


def test_a_model_in_a_process_of_its_own_gives_the_same(recognizer):
    np.testing.assert_array_equal(recognizer.log_probs(SOUND), Recognizer(V3).log_probs(SOUND))
    np.testing.assert_array_equal(recognizer.stream_log_probs(SOUND, piece=700), recognizer.log_probs(SOUND))
    assert recognizer.transcribe(EXPECTED["samples"], 8000).text == str(EXPECTED["text"])


def test_a_file_that_cannot_be_loaded_there_says_what_it_says_here(changed):
    folder = changed(["models", "none"], {"file": "model.tflite"})
    content = bytearray((V3 / "model.tflite").read_bytes())
    content[4] ^= 1
    (folder / "model.tflite").write_bytes(content)
    for is_isolated in (False, True):
        with pytest.raises(BundleError, match=r"model\.tflite: .*TFLite file|model\.tflite: is damaged") as caught:
            Recognizer(folder, isolated=is_isolated, verify=False)
        assert str(caught.value).startswith(str(folder))


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="the system knows no such signals")
def test_the_death_and_the_silence_of_the_process_are_exceptions(recognizer, monkeypatch):
    monkeypatch.setattr(isolated, "_CALL_SECONDS", 0.3)
    monkeypatch.setattr(isolated, "_TIMES_AS_LONG", 0.0)
    process = recognizer._computing._engine._process
    process.send_signal(signal.SIGSTOP)
    with pytest.raises(BundleError, match=r"tflite: has kept the process that ran it busy for too long; export"):
        recognizer.log_probs(SOUND)
    other = Recognizer(V3, isolated=True)
    other._computing._engine._process.send_signal(signal.SIGSEGV)
    for _ in range(2):
        with pytest.raises(BundleError, match=r"tflite: has ended the process that ran it \(SIGSEGV\); export"):
            other.transcribe(SOUND, 8000)
    pid = other._computing._engine._process.pid
    del other
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({}, "arrays is missing"),
        ({"arrays": [{"name": "x", "dtype": "|O8", "shape": [1]}]}, "dtype is one of <f4, <i4, got '|O8'"),
        ({"arrays": [{"name": "x", "dtype": "<f4", "shape": [-1]}]}, "shape[0] is a whole number"),
        ({"arrays": [{"name": "x", "dtype": "<f4", "shape": [2**20, 2**20]}]}, "more numbers than any model gives"),
        ([], "it is an object, got []"),
    ],
)
def test_an_answer_of_the_process_is_believed_as_far_as_it_is_checked(head, message):
    content = json.dumps(head).encode()
    with pytest.raises(ValueError) as caught:
        isolated._read(io.BytesIO(len(content).to_bytes(4, "little") + content))
    assert message in str(caught.value)
    with pytest.raises(ValueError, match="a head of 4,294,967,295 bytes"):
        isolated._read(io.BytesIO(b"\xff" * 9))
    with pytest.raises(EOFError):
        isolated._read(io.BytesIO(b"\x05\0\0\0{}"))
