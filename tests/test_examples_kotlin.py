"""The Kotlin program of `examples/kotlin`: built with this machine's compilers, it gives the Python runtime's texts."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from speechgru.runtime import Recognizer

ROOT = Path(__file__).parents[1]
BUNDLE = ROOT / "tests" / "data" / "bundles" / "v3"

pytestmark = pytest.mark.slow  # the compiler takes ten seconds


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The words of the command that runs it."""
    if missing := [name for name in ("make", "cc", "java", "javac", "kotlinc") if not shutil.which(name)]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    found = importlib.util.find_spec("ai_edge_litert")
    litert = Path(found.submodule_search_locations[0]) if found else None
    if litert is None or not (litert / "libLiteRt.so").is_file():
        pytest.skip("ai-edge-litert with libLiteRt.so is not installed")
    folder = Path(shutil.copytree(ROOT / "examples", tmp_path_factory.mktemp("kotlin") / "examples")) / "kotlin"
    command = ["make", "-C", str(folder), f"LITERT={litert}", "CFLAGS=-O1 -Werror"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and ".kt:" not in done.stderr, done.stdout + done.stderr
    return ["java", f"-Djava.library.path={folder}", "-jar", str(folder / "speechgru.jar")]


def run(program, *arguments, **options):
    return subprocess.run([*program, *map(str, arguments)], capture_output=True, timeout=120, check=False, **options)


def test_it_gives_the_texts_of_the_python_runtime_and_passes_the_golden_check(program, tmp_path):
    import soundfile

    said_N = np.load(BUNDLE / "expected.npz")["samples"]
    pcm_N = np.round(32767 * np.concatenate([said_N, np.zeros(4000), said_N])).astype("<i2")
    soundfile.write(tmp_path / "ä.wav", pcm_N, 8000, subtype="PCM_16")
    expected = Recognizer(BUNDLE).transcribe(pcm_N, 8000).text
    done = run(program, BUNDLE, tmp_path / "ä.wav")
    assert done.returncode == 0 and done.stdout.decode().splitlines()[-1] == expected == "abab"
    done = run(program, BUNDLE, "--stream", input=pcm_N.tobytes())
    *partial, last = done.stdout.decode().splitlines()
    assert last == expected and "~ a" in partial and "~ ab" in partial
    done = run(program, BUNDLE, "--check")
    assert done.returncode == 0 and done.stdout.decode().splitlines()[-1] == "passed"


def test_what_it_cannot_use_is_refused_in_one_line(program, tmp_path):
    (tmp_path / "a.wav").write_text("no sound")
    for arguments, message in (
        ((tmp_path, "--check"), f"speechgru: {tmp_path}/bundle.json: cannot be read; give the folder"),
        ((BUNDLE, "--form", "int8", "--check"), f"speechgru: {BUNDLE}: holds no form 'int8'"),
        ((BUNDLE, tmp_path / "a.wav"), f"{tmp_path}/a.wav: not a WAV file; convert it: sox IN -c 1 -b 16 -r 8000"),
        ((BUNDLE, tmp_path / "no.wav"), f"{tmp_path}/no.wav: cannot be read"),
        ((BUNDLE,), "usage: BUNDLE [--form FORM] FILE.wav"),
    ):
        done = run(program, *arguments)
        assert done.returncode == 2 and message in done.stderr.decode(), done.stderr.decode()
        assert "at speechgru" not in done.stderr.decode(), "no trace of the stack"
    damaged = shutil.copytree(BUNDLE, tmp_path / "damaged")
    golden = damaged / "golden" / "speech.log_probs.none.f32"
    golden.write_bytes((0.8 * np.fromfile(golden, "<f4")).astype("<f4").tobytes())
    done = run(program, damaged, "--check")
    assert done.returncode == 1 and done.stdout.decode().splitlines()[-1] == "FAILED"
