"""What `speechgru export --format micro` writes: the front end in C, and the model under TensorFlow Lite Micro."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the models are exported from TensorFlow; it is not installed")

import tensorflow as tf
from test_export import make_run
from tones import make_config

from speechgru import lengths
from speechgru.cli import console as cli
from speechgru.config.sections import RunConfig
from speechgru.decoding import greedy_decode
from speechgru.errors import BundleError, UserError
from speechgru.export import export
from speechgru.export.convert import to_tflite
from speechgru.export.graphs import Graphs
from speechgru.export.micro.folder import MicroModels
from speechgru.export.micro.interpreter import MicroInterpreter, least_arena
from speechgru.export.micro.sources import SETTINGS, TABLES, write_front_end
from speechgru.export.micro.steps import run_steps
from speechgru.model.build import build_model
from speechgru.runtime import Recognizer, read_bundle
from speechgru.runtime.golden import check_golden
from speechgru.runtime.tflite import SignatureFacts, TensorFacts, describe
from speechgru.text import Vocabulary

ROOT = Path(__file__).parents[1]
FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror", "-O1"]
VOCABULARY = Vocabulary(' äb"')
FORWARD = {"direction": "forward", "units": 24, "num_layers": 2, "subsampling_channels": 24}

needs_tflite_micro = pytest.mark.skipif(
    importlib.util.find_spec("tflite_micro") is None,
    reason="TensorFlow Lite Micro's interpreter is not installed (extra micro)",
)


# -- the front end in C ------------------------------------------------------------------------------------------------

#: Front ends that differ in what their code does.
FRONT_ENDS = {
    "as it is usually": {},
    "pre-emphasis, magnitudes, an odd window, no centring": {
        **{"preemphasis": 0.97, "spectrum": "magnitude", "frame_length_ms": 25.125, "center": False},
        **{"normalization": "none", "mel_scale": "htk"},
    },
    "PCEN and a running mean": {"compression": "pcen", "normalization": "running", "preemphasis": 0.5},
    "hops longer than windows": {"frame_length_ms": 8.0, "hop_length_ms": 11.0, "n_mels": 10},
    "an odd window, centred": {"frame_length_ms": 20.125, "normalization": "running", "f_max_hz": 3000.0},
}
#: Samples of recordings: none, hardly any, a window's half and whole, a transform's, and some more.
COUNTS = (0, 1, 80, 81, 160, 200, 255, 256, 400, 4001)


def make_model(features, model=FORWARD, vocabulary=VOCABULARY):
    config = RunConfig.model_validate(
        {"data": {"sample_rate": 8000}, "features": {"n_mels": 20} | features, "model": model}
    )
    made = build_model(config, len(vocabulary), implementation="portable")
    rng = np.random.default_rng(1)
    for weight in made.weights:
        values = 0.4 * rng.normal(size=weight.shape)
        weight.assign(np.abs(values) + 0.5 if "deviation" in weight.path or "variance" in weight.path else values)
    return made


class FrontEnd:
    """A model's front end, compiled.

    Args:
        folder: where it is written and built.
        features: the section `features` of its configuration.
    """

    def __init__(self, folder, features):
        self.folder, self.model = folder, make_model(features)
        write_front_end(folder, self.model, vocabulary=VOCABULARY, signature=SignatureFacts(None, (), ()))
        sources = [folder / "speechgru_front_end.c", folder / TABLES, ROOT / "tests" / "micro_front_end.c"]
        command = ["cc", *FLAGS, f"-I{folder}", *map(str, sources), "-o", str(folder / "run"), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def run(self, samples_N, *options, piece):
        """What it gives of some samples: log_mel_TM, features_TD, windows_SKD, and what the program prints."""
        files = [self.folder / name for name in ("log_mel", "features", "windows")]
        done = subprocess.run(
            [str(self.folder / "run"), str(piece), *map(str, files), *options],
            input=np.ascontiguousarray(samples_N, "<f4").tobytes(),
            capture_output=True,
            check=True,
            timeout=60,
        )
        width = self.model.front_end.num_features
        found = [np.fromfile(file, "<f4").reshape(-1, width) for file in files]
        factor = self.model.encoder.subsampling.factor
        return *found[:2], found[2].reshape(-1, 2 * factor + 1, width), done.stdout.decode()


@pytest.fixture(scope="module")
def front_ends(tmp_path_factory):
    """A name of `FRONT_ENDS` -> it, compiled once."""
    if not shutil.which("cc"):
        pytest.skip("there is no C compiler named cc")
    known = {}

    def make(name):
        if name not in known:
            known[name] = FrontEnd(tmp_path_factory.mktemp("front_end"), FRONT_ENDS[name])
        return known[name]

    return make


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_the_front_end_in_c_gives_the_features_of_training_at_every_length(front_ends, make_speech, name):
    front_end = front_ends(name)
    stages, factor = Graphs(front_end.model).front_end_stages, front_end.model.encoder.subsampling.factor
    for count in COUNTS:
        samples_N = make_speech(1.0, sample_rate=8000, seed=count)[:count]
        expected = stages(samples_N)
        log_mel_TM, features_TD, windows_SKD, _ = front_end.run(samples_N, piece=1 + count % 300)
        assert log_mel_TM.shape == expected["log_mel"].shape, count
        np.testing.assert_allclose(log_mel_TM, expected["log_mel"], rtol=0, atol=1e-4)
        np.testing.assert_allclose(features_TD, expected["features"], rtol=0, atol=2e-4)
        num_steps = lengths.num_steps(len(features_TD), subsampling_factor=factor)
        padded_TD = np.pad(features_TD, [(factor, num_steps * factor + factor + 1 - len(features_TD)), (0, 0)])
        starts = range(0, num_steps * factor, factor)
        assert len(windows_SKD) == num_steps
        for window_KD, start in zip(windows_SKD, starts, strict=True):
            np.testing.assert_array_equal(window_KD, padded_TD[start : start + 2 * factor + 1])


def test_digital_silence_and_full_scale_are_finite_and_right_in_c(front_ends):
    front_end = front_ends("PCEN and a running mean")
    for samples_N in (np.zeros(4000, np.float32), np.sign(np.sin(np.arange(4000, dtype=np.float32)))):
        expected = Graphs(front_end.model).front_end_stages(samples_N)["features"]
        _, features_TD, *_ = front_end.run(samples_N, piece=100)
        np.testing.assert_allclose(features_TD, expected, rtol=0, atol=1e-3)


def test_16_bit_pcm_gives_what_its_floats_give_in_c(front_ends, make_speech):
    samples_N = np.round(make_speech(0.2, sample_rate=8000) * 32767).astype(np.float32) / 32768
    as_floats, as_pcm = (
        front_ends("as it is usually").run(samples_N, *options, piece=77)[1] for options in ((), ("pcm16",))
    )
    np.testing.assert_array_equal(as_pcm, as_floats)


def test_labels_and_the_best_path_in_c(front_ends):
    *_, printed = front_ends("as it is usually").run(np.zeros(100, np.float32), piece=100)
    text, labels, size = printed.rsplit(" ", 2)
    assert (text, labels) == ("  ä", "3") and 1000 < int(size) < 4000
    assert '"\\303\\244"' in (front_ends("as it is usually").folder / TABLES).read_text()


def test_the_front_end_compiles_as_cpp_too(front_ends):
    if not shutil.which("c++"):
        pytest.skip("there is no C++ compiler named c++")
    folder = front_ends("as it is usually").folder
    source = '#include "speechgru_front_end.h"\nint main() { static SpeechGruSteps s; speechgru_steps_begin(&s); }\n'
    command = ["c++", "-xc++", "-std=c++17", "-Wall", "-Wextra", "-Werror", f"-I{folder}", "-fsyntax-only", "-"]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# -- the model ---------------------------------------------------------------------------------------------------------

#: Models of one step that differ in their operators.
MODELS = {
    "look-ahead": {"lookahead_frames": 4},
    "none": {"normalization": "batch", "update_gate": "write"},
    "the textbook's gates": {"reset_after": False, "normalization": "none", "subsampling_factor": 1},
}


def signature_of(step):
    """What a concrete function takes and gives."""
    inputs = [(tensor.op.name, tensor) for tensor in step.inputs if tensor.dtype != tf.resource]
    return SignatureFacts(
        "step",
        *(
            tuple(TensorFacts(name, tuple(tensor.shape), tensor.dtype.name) for name, tensor in tensors)
            for tensors in (inputs, step.structured_outputs.items())
        ),
    )


def tensors_of(inputs):
    return {name: tf.constant(values) for name, values in inputs.items()}


@pytest.mark.parametrize("name", MODELS)
def test_law_6_single_steps_are_the_whole_recording(make_speech, name):
    model = make_model({}, FORWARD | MODELS[name])
    graphs = Graphs(model)
    step, samples_N = graphs.step(), make_speech(0.7, sample_rate=8000)
    expected = graphs.recognize()(samples=samples_N[None])["log_probs"][0].numpy()
    delay = model.stream_geometry().delay_steps
    signature = signature_of(step)
    runs = run_steps(
        lambda inputs: {key: value.numpy() for key, value in step(**tensors_of(inputs)).items()},
        graphs.front_end_stages(samples_N)["features"],
        signature=signature,
        delay_steps=delay,
    )
    found = np.concatenate([outputs["log_probs"] for _, outputs in runs])[delay:]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert ("num_steps" in {tensor.name for tensor in signature.inputs}) == bool(delay)


@pytest.fixture(scope="module")
def exported(tones, tmp_path_factory):
    """A bundle with both forms for a microcontroller, of a forward model that nobody trained, and its metadata."""
    pytest.importorskip("tflite_micro", reason="TensorFlow Lite Micro's interpreter is not installed (extra micro)")
    folder = tmp_path_factory.mktemp("micro")
    overrides = ("model.direction=forward", "model.units=32", "model.num_layers=2", "model.lookahead_frames=4")
    run = make_run(folder / "run", make_config(tones, folder / "config.yaml", *overrides))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("speechgru.export.parity._weigh", lambda *arguments: {})  # a process for each form
        options = {"quantize": ("none", "int8"), "formats": ["micro"], "max_wer_change": 1.0}
        return folder / "bundle", export(run, folder / "bundle", **options)


def read_golden(bundle, case, stage):
    record = case["arrays"][stage]
    return np.fromfile(bundle / "golden" / record["file"], "<f4").reshape(record["shape"])


@pytest.mark.parametrize("form", ["none", "int8"])
def test_the_golden_vectors_pass_under_tensorflow_lite_micro_in_the_stated_arena(exported, form):
    bundle, metadata = exported
    micro = json.loads((bundle / "micro" / "micro.json").read_text())
    assert micro == json.loads(json.dumps(metadata["micro"])) == read_bundle(bundle)["micro"]
    model = micro["models"][form]
    content = (bundle / "micro" / model["file"]).read_bytes()
    interpreter = MicroInterpreter(content, arena_bytes=model["arena_bytes"])
    golden = json.loads((bundle / "golden" / "golden.json").read_text())
    tolerance = golden["tolerance"][f"log_probs.micro-{form}"]
    assert tolerance >= (1e-3 if form == "none" else 1e-2)
    for case in golden["cases"]:
        features_TD = read_golden(bundle, case, "features")
        runs = run_steps(
            interpreter.run, features_TD, signature=interpreter.signature, delay_steps=micro["delay_steps"]
        )
        log_probs_SV = np.concatenate([outputs["log_probs"] for _, outputs in runs])[micro["delay_steps"] :]
        expected_SV = read_golden(bundle, case, f"log_probs.micro-{form}")
        np.testing.assert_allclose(log_probs_SV, expected_SV, rtol=0, atol=1e-6)
        text = greedy_decode(log_probs_SV, vocabulary=Vocabulary("ab"), step_seconds=0.02).text
        assert text == case["texts"][f"micro-{form}"]


def test_what_a_bundle_says_of_a_microcontroller_is_so(exported):
    bundle, metadata = exported
    models = metadata["micro"]["models"]
    names = [[tensor["name"] for tensor in metadata["micro"]["signature"][way]] for way in ("inputs", "outputs")]
    assert sorted(names[0]) == ["ahead", "features", "num_steps", "state_0", "state_1"]
    assert sorted(names[1]) == ["ahead", "log_probs", "state_0", "state_1"]
    for form, model in models.items():
        content = (bundle / "micro" / model["file"]).read_bytes()
        assert describe(content).operators == model["operators"] and len(content) == model["size_bytes"]
        assert "WHILE" not in model["operators"] and model["operators"]["FULLY_CONNECTED"] == 6
        assert ("QUANTIZE" in model["operators"]) == (form == "int8")
        with pytest.raises(UserError, match="TensorFlow Lite Micro does not run this model: "):
            MicroInterpreter(content, arena_bytes=model["arena_bytes"] - 1024)
    assert models["int8"]["size_bytes"] < 0.65 * models["none"]["size_bytes"]
    compared = {record["form"]: record for record in metadata["parity"]}
    assert compared["TFLite Micro none"]["max_difference"] < 1e-4 and "rtf" not in compared["TFLite Micro none"]
    assert 1e-4 < compared["TFLite Micro int8"]["max_difference"] < 2.0
    card = (bundle / "README.md").read_text()
    assert (
        "## A microcontroller" in card
        and "Recognizer(" not in card
        and f"{models['int8']['arena_bytes'] / 1000:,.1f}" in card
    )
    settings = (bundle / "micro" / SETTINGS).read_text()
    for way, listed in zip(("INPUT", "OUTPUT"), names, strict=True):
        for place, name in enumerate(listed):
            assert f"#define SPEECHGRU_{way}_{name.upper()} {place} " in settings


def test_a_bundle_of_microcontrollers_forms_alone_is_not_said_to_pass_under_litert(exported):
    bundle, _ = exported
    with pytest.raises(BundleError, match="has no form for LiteRT, so that nothing can be checked here"):
        check_golden(bundle)
    with pytest.raises(BundleError, match="it has none for LiteRT"):
        Recognizer(bundle)


def test_the_models_arrays_are_the_files_and_the_golden_log_mel_is_that_of_c(exported, tmp_path):
    if not shutil.which("cc"):
        pytest.skip("there is no C compiler named cc")
    bundle, _ = exported
    folder = bundle / "micro"
    program = tmp_path / "print.c"
    program.write_text(
        '#include <stdio.h>\n#include "speechgru_model_float32.h"\n#include "speechgru_model_int8.h"\n'
        "int main(void) {\n"
        "  fwrite(speechgru_model_float32, SPEECHGRU_MODEL_FLOAT32_BYTES, 1, stdout);\n"
        "  fwrite(speechgru_model_int8, SPEECHGRU_MODEL_INT8_BYTES, 1, stdout);\n"
        "  return ((size_t)speechgru_model_int8 | (size_t)speechgru_model_float32) % 16 != 0;\n}\n"
    )
    models = [folder / f"speechgru_model_{name}" for name in ("float32", "int8")]
    sources = [program, *(f"{model}.c" for model in models)]
    subprocess.run(["cc", "-std=c99", f"-I{folder}", *map(str, sources), "-o", str(tmp_path / "print")], check=True)
    printed = subprocess.run([str(tmp_path / "print")], capture_output=True, check=True).stdout
    assert printed == b"".join(model.with_suffix(".tflite").read_bytes() for model in models)
    sources = [folder / "speechgru_front_end.c", folder / TABLES, ROOT / "tests" / "micro_front_end.c"]
    command = ["cc", *FLAGS, "-O3", f"-I{folder}", *map(str, sources), "-o", str(tmp_path / "front_end"), "-lm"]
    subprocess.run(command, check=True)
    files = [str(tmp_path / name) for name in ("log_mel", "features", "windows")]
    golden = json.loads((bundle / "golden" / "golden.json").read_text())
    for case in golden["cases"]:
        samples_N = read_golden(bundle, case, "samples")
        command = [str(tmp_path / "front_end"), "160", *files]
        subprocess.run(command, input=samples_N.tobytes(), capture_output=True, check=True)
        for stage, file in zip(("log_mel", "features"), files[:2], strict=True):
            expected = read_golden(bundle, case, stage)
            np.testing.assert_allclose(np.fromfile(file, "<f4").reshape(expected.shape), expected, rtol=0, atol=1e-3)


# -- what does not fit -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"model": {"direction": "bidirectional"}}, "train with model.direction"),
        ({"model": {"direction": "chunked"}}, "model.direction is chunked: .* train with model.direction forward"),
        ({"features": {"deltas": 1}}, "features.deltas is 1: .* train with features.deltas 0"),
        ({"features": {"normalization": "utterance"}}, "train with features.normalization global, running or none"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_with_the_key_to_change(sections, message):
    model = make_model(sections.get("features", {}), FORWARD | sections.get("model", {}))
    with pytest.raises(UserError, match=message):
        MicroModels(Graphs(model), vocabulary=VOCABULARY)


@pytest.mark.parametrize("form", ["dynamic", "float16"])
def test_forms_without_kernels_are_refused_before_anything_is_loaded(tones_config, tmp_path, monkeypatch, capsys, form):
    run = make_run(tmp_path / "run", tones_config("model.direction=forward"))
    arguments = ["export", str(run), "--out", str(tmp_path / "bundle"), "--format", "micro", "--quantize", form]
    monkeypatch.setattr(sys, "argv", ["speechgru", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    said = " ".join(capsys.readouterr().err.split())
    assert caught.value.code == 2 and f"the form {form} does not run on a microcontroller" in said
    assert "--quantize none,int8" in said and not (tmp_path / "bundle").exists()


def test_without_the_interpreter_the_package_to_install_is_named(tones_config, tmp_path, monkeypatch):
    run = make_run(tmp_path / "run", tones_config("model.direction=forward"))
    monkeypatch.setitem(sys.modules, "tflite_micro", None)
    with pytest.raises(UserError, match="pip install tflite-micro, "):
        export(run, tmp_path / "bundle", formats=["micro"])


@needs_tflite_micro
def test_an_operator_that_the_interpreter_lacks_is_named():
    @tf.function(autograph=False, input_signature=[tf.TensorSpec([1, 8], tf.float32, name="samples")])
    def transform(samples):
        return {"spectrum": tf.math.real(tf.signal.rfft(samples))}

    content = to_tflite({"transform": transform.get_concrete_function()}, form="none")
    with pytest.raises(UserError, match=r"does not run this model: .*RFFT2D"):
        least_arena(content)


def test_a_model_too_small_for_8_bits_is_refused_in_one_sentence(make_speech):
    pytest.importorskip("tflite_micro", reason="TensorFlow Lite Micro's interpreter is not installed (extra micro)")
    small = FORWARD | {"units": 4, "num_layers": 1, "subsampling_channels": 4}
    models = MicroModels(Graphs(make_model({}, small)), vocabulary=VOCABULARY)
    with pytest.raises(UserError, match=r"large enough for 8-bit weights .*; leave the form int8 out"):
        models.make("int8", recordings=[make_speech(0.1, sample_rate=8000)])
