"""What other libraries print, and what other projects' settings change: nothing, unless it is asked for."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
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
    """And a file of Keras that holds them is read once they are imported; Keras's own message names their module."""
    keras = pytest.importorskip("keras", reason="needs the training packages (extra train)")
    from speechgru.gru import GRU

    model = keras.Sequential([keras.Input([None, 3]), GRU(2)])
    model.save(tmp_path / "model.keras")
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(
        '{"floatx": "float32", "epsilon": 1e-07, "backend": "tensorflow", "image_data_format": "channels_first"}'
    )
    code = (
        "import sys, speechgru, keras, numpy as np\n"
        "try: keras.saving.load_model(sys.argv[1])\n"
        "except TypeError as error: hint = str(error)\n"
        "print('speechgru.gru' in hint, 'make sure they are all imported' in hint)\n"
        "import speechgru.gru\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "print(model(np.ones([1, 8, 3], np.float32)).numpy().sum())\n"
        "from speechgru.model.layers import ConvSubsampling\n"
        "layer = ConvSubsampling(factor=2, channels=3)\n"
        "outputs, steps = layer(np.ones([1, 8, 5], np.float32), np.array([8], np.int32))\n"
        "print(tuple(outputs.shape), int(steps[0]))"
    )
    out, err = run(code, tmp_path / "model.keras", KERAS_HOME=str(tmp_path / ".keras"), HOME=str(tmp_path))
    hint, total, shapes = out.splitlines()
    assert hint == "True True" and shapes == "(1, 4, 3) 4"
    assert float(total) == pytest.approx(float(model(np.ones([1, 8, 3], np.float32)).numpy().sum()), abs=1e-5)
    # Keras comes first and brings TensorFlow, which since 2.21 prints lines of its own that no setting silences.
    assert [
        line for line in err.splitlines() if not re.match(r"WARNING: All log messages before absl|I\d{4} ", line)
    ] == []


@pytest.mark.parametrize("module", ["gru", "features", "model", "train", "tune.keras_tuner_adapter"])
def test_another_backend_is_refused_before_keras_is_loaded_by_one_message(module, tmp_path):
    """In a library's process; the command sets the backend itself. It needs no TensorFlow, and none is loaded."""
    code = (
        "import sys\n"
        f"try: import speechgru.{module}\n"
        "except ImportError as error: print(error)\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    asked = "speechgru needs Keras on TensorFlow; it is set to 'jax' by "
    out, _ = run(code, KERAS_BACKEND="jax", KERAS_HOME=str(tmp_path))
    assert out == (
        asked + "the environment variable KERAS_BACKEND: unset it, or set it to tensorflow, before Keras is imported\n"
    )
    if module == "gru":
        (tmp_path / "keras.json").write_text('{"backend": "jax"}')
        out, _ = run(code, KERAS_BACKEND="", KERAS_HOME=str(tmp_path))
        assert out == (
            f"{asked}{tmp_path / 'keras.json'}: "
            "set the environment variable KERAS_BACKEND to tensorflow before Keras is imported\n"
        )


def test_a_backend_of_keras_that_is_loaded_already_counts(monkeypatch, tmp_path):
    from types import SimpleNamespace

    from speechgru.keras_backend import require_tensorflow

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    loaded = SimpleNamespace(config=SimpleNamespace(backend=lambda: "torch"))
    monkeypatch.setitem(sys.modules, "keras", loaded)
    with pytest.raises(ImportError, match="it is set to 'torch' in this process: set the environment variable"):
        require_tensorflow()
    # The file counts where nothing else is said, as far as it can be read; Keras passes over one that is broken.
    monkeypatch.delitem(sys.modules, "keras")
    for text in ("{", "[]", '{"floatx": "float32"}', '{"backend": "tensorflow"}'):
        (tmp_path / "keras.json").write_text(text)
        require_tensorflow()
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    require_tensorflow()


@pytest.mark.skipif(os.name == "nt", reason="every user has a home there")
def test_a_user_without_a_home_needs_none_and_the_command_reads_no_settings_of_keras(tmp_path):
    """As in a container that knows no such user; Keras reads /tmp/.keras then, which is anybody's."""
    code = (
        "import os, pwd\n"
        "def unknown(number): raise KeyError(number)\n"
        "pwd.getpwuid = unknown\n"
        "for name in ('HOME', 'XDG_CACHE_HOME', 'KERAS_BACKEND', 'KERAS_HOME'): os.environ.pop(name, None)\n"
        "from speechgru.keras_backend import require_tensorflow\n"
        "from speechgru.voices.cache import default_folder\n"
        "os.access = lambda *_: False\n"
        "require_tensorflow()\n"
        "from speechgru.cli import run_command\n"
        "def command():\n"
        "    print(os.environ['KERAS_HOME'], flush=True)\n"
        "    default_folder()\n"
        "try: run_command(command)\n"
        "except SystemExit as end: assert end.code == 2, end.code"
    )
    out, err = run(code)
    assert out == f"{os.devnull}\n"
    assert "error: there is no folder for caches, as this user has no home; set XDG_CACHE_HOME, or give" in err


def test_notices_of_compiled_code_are_left_out_and_python_is_shown_at_once(tmp_path):
    code = (
        "import os, sys\n"
        "from speechgru.process.notices import without_notices\n"
        "with without_notices(rb'INFO: |I0'):\n"
        "    os.write(2, b'INFO: a delegate\\nI0000 a device\\nan error\\n')\n"
        "    print('progress', file=sys.stderr)\n"
        "    with without_notices(rb'W0'): os.write(2, b'W0000 a pass\\nINFO: inside\\n')\n"
        "print('after', file=sys.stderr)\n"
        "with without_notices(rb'INFO'):\n"
        "    print('stopped', file=sys.stderr)\n"
        "    os._exit(0)\n"
    )
    assert run(code) == ("", "progress\nan error\nafter\nstopped\n")
    everything = run(code, TF_CPP_MIN_LOG_LEVEL="0")[1].splitlines()
    assert {"INFO: a delegate", "I0000 a device", "W0000 a pass", "INFO: inside"} < set(everything)
