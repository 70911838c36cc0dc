"""What other libraries print, and what other projects' settings change: nothing, unless it is asked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BUNDLE = Path(__file__).parent / "data" / "bundles" / "v3"
RECOGNIZE = (
    "import sys, numpy as np; from speechgru.runtime import Recognizer; r = Recognizer(sys.argv[1]);"
    "x = np.zeros(4000, np.float32); print(repr(r.transcribe(x, 8000).text)); s = r.stream(); s.feed(x); s.finish();"
    "print('our own line', file=sys.stderr)"
)


def run(code, *arguments, **variables):
    """What a program printed on standard output and standard error."""
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"} | variables
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=300, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_a_recogniser_prints_nothing_unless_asked():
    out, err = run(RECOGNIZE, BUNDLE)
    assert out in ("''\n", "'a'\n", "'b'\n") and err == "our own line\n"
    assert "XNNPACK delegate" in run(RECOGNIZE, BUNDLE, TF_CPP_MIN_LOG_LEVEL="0")[1]


def test_layers_are_imported_in_silence_and_need_nothing_of_keras_json(tmp_path):
    pytest.importorskip("tensorflow", reason="needs the training packages (extra train)")
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(
        '{"floatx": "float32", "epsilon": 1e-07, "backend": "tensorflow", "image_data_format": "channels_first"}'
    )
    code = (
        "import numpy as np; from speechgru.gru import GRU; from speechgru.model.layers import ConvSubsampling;"
        "layer = ConvSubsampling(factor=2, channels=3);"
        "outputs, steps = layer(np.ones([1, 8, 5], np.float32), np.array([8], np.int32));"
        "print(tuple(outputs.shape), int(steps[0]))"
    )
    out, err = run(code, KERAS_HOME=str(tmp_path / ".keras"), HOME=str(tmp_path))
    assert out == "(1, 4, 3) 4\n"
    assert err == ""
