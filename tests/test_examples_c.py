"""The C program of `examples/c`: built with this machine's compiler, it gives what the Python runtime gives."""

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("tensorflow", reason="the bundles are exported from TensorFlow; it is not installed")

from test_export import make_run
from tones import make_config

from speechgru.export import export
from speechgru.runtime import Recognizer
from speechgru.text import Vocabulary

ROOT = Path(__file__).parents[1]
STORED = ROOT / "tests" / "data" / "bundles"
LATER = STORED / "v3"  # the format that the program reads; a model that streams, and was trained

#: A model of each kind that the program treats in its own way, with its forms; one writes a letter beyond ASCII.
KINDS = {
    "forward": (Vocabulary(" äb"), ("none", "dynamic"), ("model.direction=forward", "model.lookahead_frames=6")),
    "bidirectional": (Vocabulary(["on", "off"], unit="word"), ("none", "int8"), ("features.center=false",)),
}
FORMS = [(kind, form) for kind, (_, forms, _) in KINDS.items() for form in forms]
every_form = pytest.mark.parametrize(("kind", "form"), FORMS, ids=["-".join(pair) for pair in FORMS])


@pytest.fixture(scope="module")
def litert():
    """The folder of LiteRT's shared library."""
    found = importlib.util.find_spec("ai_edge_litert")
    folder = Path(found.submodule_search_locations[0]) if found else None
    if folder is None or not (folder / "libLiteRt.so").is_file():
        pytest.skip("ai-edge-litert with libLiteRt.so is not installed")
    return folder


@pytest.fixture(scope="module")
def program(litert, tmp_path_factory):
    """The program, built by its own Makefile; a warning is an error here."""
    if not shutil.which("make") or not shutil.which("cc"):
        pytest.skip("there is no make, or no C compiler named cc")
    folder = Path(shutil.copytree(ROOT / "examples" / "c", tmp_path_factory.mktemp("c") / "c"))
    command = ["make", "-C", str(folder), f"LITERT={litert}", "CFLAGS=-O1 -Werror"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "speechgru"


@pytest.fixture(scope="module")
def bundles(tones, tmp_path_factory):
    """A kind -> its bundle, of a model that nobody trained."""
    known = {}

    def make(kind):
        if kind not in known:
            vocabulary, forms, overrides = KINDS[kind]
            folder = tmp_path_factory.mktemp(kind)
            config = make_config(tones, folder / "config.yaml", *overrides)
            run = make_run(folder / "run", config, vocabulary=vocabulary)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("speechgru.export.parity._weigh", lambda *arguments: {})  # a process for each form
                export(run, folder / "bundle", quantize=forms, max_wer_change=1.0)
            known[kind] = folder / "bundle"
        return known[kind]

    return make


def run_program(program, *arguments, **options):
    return subprocess.run(
        [str(program), *map(str, arguments)], capture_output=True, check=False, timeout=100, **options
    )


def refusal(program, *arguments, **options):
    """What the program refuses with; LiteRT's own lines may stand before it."""
    done = run_program(program, *arguments, **options)
    assert done.returncode == 2 and done.stdout == b""
    line = done.stderr.decode().rstrip("\n").split("\n")[-1]
    assert line.startswith("speechgru: ")
    return line.removeprefix("speechgru: ")


def pcm_of(samples_N):
    return np.round(samples_N * 32767).astype("<i2")


@pytest.fixture
def recording(tmp_path, make_speech):
    """Two seconds as a WAV file, and the samples that both programs read from it."""
    pcm_N = pcm_of(make_speech(2.0, sample_rate=8000))
    soundfile.write(tmp_path / "a.wav", pcm_N, 8000, subtype="PCM_16")
    return tmp_path / "a.wav", pcm_N


@every_form
def test_a_recordings_text_and_numbers_are_those_of_the_python_runtime(
    program, bundles, recording, tmp_path, kind, form
):
    path, pcm_N = recording
    recognizer, out = Recognizer(bundles(kind), form=form), tmp_path / "log_probs.f32"
    done = run_program(program, bundles(kind), "--form", form, "--log-probs", out, path)
    assert done.returncode == 0, done.stderr
    expected_SV = recognizer.log_probs(pcm_N / np.float32(32768))
    log_probs_SV = np.fromfile(out, "<f4").reshape(-1, len(recognizer.vocabulary))
    assert log_probs_SV.shape == expected_SV.shape and log_probs_SV.shape[0] > 50
    np.testing.assert_allclose(log_probs_SV, expected_SV, rtol=0, atol=1e-4)  # the same kernels, of the same library
    assert done.stdout.decode() == recognizer.transcribe(pcm_N, 8000).text + "\n"


@pytest.mark.parametrize("form", ["none", "dynamic"])
def test_a_stream_of_standard_input_ends_in_the_whole_recordings_text(program, bundles, recording, form):
    path, pcm_N = recording
    recognizer = Recognizer(bundles("forward"), form=form)
    done = run_program(program, bundles("forward"), "--form", form, "--stream", input=pcm_N.tobytes())
    assert done.returncode == 0, done.stderr
    *partial, last = done.stdout.decode().split("\n")[:-1]
    assert last == recognizer.transcribe_file(path).text
    assert partial and all(line.startswith("~ ") for line in partial)
    assert len(set(partial)) == len(partial) and {len(line) for line in partial} != {2}


def test_text_comes_while_the_sound_does(program, recording):
    samples_N = np.load(LATER / "expected.npz")["samples"]
    with subprocess.Popen(
        [str(program), str(LATER), "--stream"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        process.stdin.write(pcm_of(samples_N).tobytes())
        process.stdin.flush()
        assert process.stdout.readline() == b"~ a\n", "before standard input has ended"
        rest, _ = process.communicate(timeout=60)
    assert rest.decode().split("\n")[-2] == "ab" and process.returncode == 0


@every_form
def test_the_golden_vectors_pass_in_c(program, bundles, kind, form):
    bundle = bundles(kind)
    done = run_program(program, bundle, "--form", form, "--check")
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    *lines, verdict = done.stdout.decode().splitlines()
    assert verdict == "passed"
    ways = ("whole", "stream") if kind == "forward" else ("whole",)
    tolerance = json.loads((bundle / "golden" / "golden.json").read_text())["tolerance"][f"log_probs.{form}"]
    expected = [f"{case} {form} ({way}): off by" for case in ("sound", "speech") for way in ways]
    assert [re.sub("off by.*", "off by", line) for line in lines] == expected
    assert all(f"allowed are {tolerance:.2g}; " in line for line in lines)


def test_a_bundle_of_before_the_forms_tolerances_is_checked_by_the_old_one(program):
    done = run_program(program, LATER, "--check")
    assert done.returncode == 0 and done.stdout.decode().count("allowed are 0.01; ") == 4


@pytest.mark.parametrize("stage", ["samples", "log_probs.none"])
def test_a_check_fails_where_numbers_differ(program, tmp_path, stage):
    bundle = Path(shutil.copytree(LATER, tmp_path / "bundle"))
    path = bundle / "golden" / f"speech.{stage}.f32"
    path.write_bytes((0.8 * np.fromfile(path, "<f4")).astype("<f4").tobytes())
    done = run_program(program, bundle, "--check")
    assert done.returncode == 1 and done.stdout.decode().splitlines()[-1] == "FAILED"
    assert [line.endswith(": FAILED") for line in done.stdout.decode().splitlines()[:-1]] == [False, False, True, True]


def test_one_file_is_enough(program, recording, tmp_path):
    file = Path(shutil.copy(LATER / "model.tflite", tmp_path / "alone.tflite"))
    done = run_program(program, "alone.tflite", recording[0].name, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.decode().strip() == Recognizer(file).transcribe_file(recording[0]).text


@pytest.mark.parametrize(("count", "way"), [(0, "stream"), (1, "stream"), (0, "file"), (1, "file"), (200, "file")])
def test_hardly_any_sound_gives_no_text_and_no_fault(program, bundles, tmp_path, count, way):
    pcm_N = np.zeros(count, "<i2")
    soundfile.write(tmp_path / "a.wav", pcm_N, 8000, subtype="PCM_16")
    bundle = LATER if way == "stream" else bundles("bidirectional")
    how = {"input": pcm_N.tobytes()} if way == "stream" else {}
    done = run_program(program, bundle, *(["--stream"] if way == "stream" else [tmp_path / "a.wav"]), **how)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().strip() == Recognizer(bundle).transcribe(pcm_N, 8000).text


def test_what_it_cannot_use_is_refused_in_one_line(program, bundles, recording, tmp_path):
    path, _ = recording
    assert refusal(program, tmp_path, path) == (
        f"{tmp_path}/bundle.json: cannot be read; "
        "give the folder that `speechgru export` wrote, or a .tflite file of it"
    )
    assert refusal(program, LATER, "--form", "int8", path) == f"{LATER}: holds no form 'int8'; it has none"
    assert "transcribes whole recordings only: model.direction is bidirectional" in refusal(
        program, bundles("bidirectional"), "--stream", input=b""
    )
    assert refusal(program, LATER, "--stream", input=b"abc") == (
        "standard input ended inside a sample; give 16-bit PCM, little-endian, one channel"
    )
    soundfile.write(tmp_path / "b.wav", np.zeros([100, 2]), 44100, subtype="PCM_24")
    assert refusal(program, LATER, tmp_path / "b.wav") == (
        f"{tmp_path}/b.wav: has 2 channels of 24 bits at 44100 Hz; convert it: sox IN.wav -c 1 -b 16 -r 8000 OUT.wav"
    )
    assert refusal(program, LATER, Path(__file__)).startswith(f"{__file__}: not a WAV file, or cut short; convert it: ")
    assert "holds no metadata of a bundle" in refusal(program, STORED / "v2" / "model.tflite", path)
    for version, fix in ((2, "export the bundle again"), (9, "update the program")):
        content, count = re.subn(
            rb'("bundle_version": ?)3', rb"\g<1>%d" % version, (LATER / "model.tflite").read_bytes()
        )
        (tmp_path / "other.tflite").write_bytes(content)
        assert count == 1 and refusal(program, tmp_path / "other.tflite", path) == (
            f"{tmp_path}/other.tflite: is of version {version}, this program reads version 3; {fix}"
        )
    assert b"usage: speechgru BUNDLE" in run_program(program).stderr


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.01, 0.3, 0.7, 0.99])
def test_a_file_cut_short_is_named_and_never_crashes(program, recording, tmp_path, share):
    bundle = Path(shutil.copytree(LATER, tmp_path / "bundle"))
    file = bundle / "model.tflite"
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    assert refusal(program, bundle, recording[0]) == (
        f"{file}: is damaged ({int(share * len(content))} of {len(content)} bytes); copy the bundle again"
    )
    assert refusal(program, file, recording[0]) == f"{file}: is damaged, or no .tflite file; copy the bundle again"


def test_a_missing_model_and_one_of_another_program_are_named(program, recording, tmp_path):
    bundle = Path(shutil.copytree(LATER, tmp_path / "bundle"))
    file = bundle / "model.tflite"
    file.write_bytes(file.read_bytes().replace(b"speechgru\0", b"something\0"))
    assert refusal(program, bundle, recording[0]) == (
        f"{file}: holds no metadata of a bundle; give a file that `speechgru export` wrote"
    )
    described = bundle / "bundle.json"
    described.write_text(described.read_text().replace('"model.tflite"', '"../model.tflite"'))
    assert refusal(program, bundle, recording[0]) == (
        f"{described}: is damaged ('../model.tflite' is no name of a file in the bundle); export the bundle again"
    )
    described.write_text(described.read_text().replace("../", ""))
    file.unlink()
    assert refusal(program, bundle, recording[0]) == f"{file}: is missing from the bundle; copy the folder whole"
    assert refusal(program, file, recording[0]) == (
        f"{file}: is missing; give the folder that `speechgru export` wrote, or a .tflite file of it"
    )
