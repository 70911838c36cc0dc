"""Bundles: every form of every direction gives what the model gives, or nothing is written."""

import contextlib
import json
import shutil

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="export converts TensorFlow graphs; it is not installed")

from ai_edge_litert.interpreter import Interpreter, OpResolverType  # noqa: E402
from conftest import shorter_turns  # noqa: E402
from languages import TOY  # noqa: E402
from tones import make_config  # noqa: E402

from speechgru.audio.in_graph import has_tensorflow_io  # noqa: E402
from speechgru.audio.reading import read_recording  # noqa: E402
from speechgru.config.load import save_config  # noqa: E402
from speechgru.decoding import DecodingOptions, LanguageWeights, greedy_decode  # noqa: E402
from speechgru.errors import BundleError, UserError  # noqa: E402
from speechgru.export import QUANTIZATIONS, export, parity  # noqa: E402
from speechgru.export import bundle as verb  # noqa: E402
from speechgru.grammar import Block, Grammar, Intent  # noqa: E402
from speechgru.grammar.nodes import Choice, Series, Slot, Text  # noqa: E402
from speechgru.model.build import build_model  # noqa: E402
from speechgru.runs import RunFolder, save_checkpoint  # noqa: E402
from speechgru.runtime import Recognizer, read_bundle  # noqa: E402
from speechgru.runtime.inspection import inspect  # noqa: E402
from speechgru.runtime.tflite import require_intact  # noqa: E402
from speechgru.scoring import TrainedRun, trained_run  # noqa: E402
from speechgru.scoring.evaluation import evaluate  # noqa: E402
from speechgru.scoring.page import report_evaluation  # noqa: E402
from speechgru.scoring.predictions import load_run  # noqa: E402
from speechgru.scoring.run_windows import in_windows  # noqa: E402
from speechgru.text import Vocabulary  # noqa: E402
from speechgru.train.page import report_run  # noqa: E402
from speechgru.utterances.manifest import read_manifest  # noqa: E402

VOCABULARY = Vocabulary("ab")
#: "a", "b" or "ab", and what they mean.
GRAMMAR = Grammar(
    "en",
    (Text("a"), Text("b"), Series((0, 1)), Slot("tone", 0, 1), Choice((3, 1, 2))),
    (Intent("Play", (Block((4,), {"by": "hand"}, 1.0),)),),
)
#: The directions, each with other settings of a model's parts.
DIRECTIONS = {
    "bidirectional": (),
    "forward": (
        "model.direction=forward", "model.lookahead_frames=6", "model.normalization=batch", "model.reset_after=false",
    ),
    "chunked": (
        "model.direction=chunked", "model.chunk_frames=12", "model.lookahead_frames=6", "model.subsampling_factor=3",
        "model.update_gate=write", "features.deltas=1",
    ),
}  # fmt: skip
#: The forms that each is exported in: all of one direction, and of the others those that streams compute otherwise.
FORMS = {"bidirectional": QUANTIZATIONS, "forward": ("none", "dynamic"), "chunked": ("none", "dynamic", "int8")}


def make_run(folder, config, *, vocabulary=VOCABULARY, seed=0):
    """A run that nobody trained: its weights are random, and every one of them matters."""
    model = build_model(config, len(vocabulary))
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        values = 0.4 * rng.normal(size=weight.shape)
        weight.assign(np.abs(values) + 0.5 if "deviation" in weight.path or "variance" in weight.path else values)
    run = RunFolder(folder)
    folder.mkdir()
    save_config(run.config, config)
    vocabulary.save(run.vocabulary)
    save_checkpoint(
        run.best, {f"model/{k}": variable.numpy() for k, variable in enumerate(model.variables)}, {"step": 1}
    )
    return folder


@pytest.fixture
def run(tones_config, tmp_path):
    """The folder of a small untrained run."""
    return make_run(tmp_path / "run", tones_config("model.units=40"))


@pytest.fixture(scope="module")
def exported(tones, tmp_path_factory):
    """A direction -> its untrained run, opened, its bundle in `FORMS`, and what `export` returned; to read only.

    The chunked one is exported as wide models are, which takes half the time.
    """
    known = {}

    def make(direction):
        if direction not in known:
            folder = tmp_path_factory.mktemp(direction)
            config = make_config(tones, folder / "config.yaml", *DIRECTIONS[direction], "model.units=40")
            run, out = make_run(folder / "run", config), folder / "bundle"
            if direction == "chunked":
                GRAMMAR.save(RunFolder(run).grammar)
                (folder / "toy.arpa").write_text(TOY)
            forms = {"quantize": FORMS[direction], "formats": ["tflite", "savedmodel"]}
            if direction == "chunked":
                forms |= {"language_model": folder / "toy.arpa", "language_weights": LanguageWeights(0.25)}
            trained = TrainedRun(run)
            with shorter_turns() if direction == "chunked" else contextlib.nullcontext():
                known[direction] = trained, out, export(trained, out, **forms, max_wer_change=1.0)
        return known[direction]

    return make


def test_an_open_run_is_loaded_and_traced_once_for_scores_pages_and_export(run, tones, tmp_path, monkeypatch):
    folder, manifest = run, tones / "dev.jsonl"
    plain, loaded = evaluate(folder, manifest), []
    monkeypatch.setattr(
        trained_run, "load_run", lambda path, **options: loaded.append(path) or load_run(path, **options)
    )
    trained = TrainedRun(folder)
    assert loaded == [], "nothing is loaded before it is asked for"
    record = evaluate(trained, manifest)
    page = report_evaluation(record, tmp_path / "scores.html", probe=trained.probe)
    export(trained, tmp_path / "bundle", max_wer_change=1.0)
    report_run(trained, tmp_path / "run.html", evaluations=[record])
    assert loaded == [folder] and trained.predictor._predict.experimental_get_tracing_count() == 1
    assert record | {"rtf": 0.0} == plain | {"rtf": 0.0}
    assert "<svg" in page.read_text() and "<svg" in (tmp_path / "run.html").read_text()
    with pytest.raises(BundleError, match=r"nowhere: .*run"):
        TrainedRun(tmp_path / "nowhere")


def test_a_run_is_a_recogniser_as_its_export_is(exported, tones):
    from speechgru.export.running import open_recognizer

    trained, out, _ = exported("chunked")
    run, bundle = open_recognizer(trained.folder.path), Recognizer(out, form="none")
    samples_N = read_recording(sorted(tones.rglob("*.wav"))[0], sample_rate=run.sample_rate).samples_N
    np.testing.assert_allclose(run.log_probs(samples_N), bundle.log_probs(samples_N), atol=1e-3)
    assert run.streams and run.grammar == GRAMMAR
    np.testing.assert_allclose(run.stream_log_probs(samples_N, piece=999), run.log_probs(samples_N), atol=1e-3)
    assert run.transcribe(samples_N, run.sample_rate).text == bundle.transcribe(samples_N, run.sample_rate).text
    described = {key: run.metadata[key] for key in run.metadata.keys() - {"provenance"}}
    assert described == {key: bundle.metadata[key] for key in described}


def test_a_run_is_scored_in_the_windows_that_its_export_computes(exported, tones):
    trained, out, _ = exported("bidirectional")
    rate, wavs = trained.config.data.sample_rate, sorted(tones.rglob("*.wav"))
    recordings = [read_recording(wav, sample_rate=rate).samples_N for wav in wavs[:6]]
    joined_N = np.concatenate(recordings)
    whole_SV = trained.predictor.log_probs(joined_N)
    for seconds in (None, 1.0):
        run, bundle = in_windows(trained, window_seconds=seconds), Recognizer(out, form="none", window_seconds=seconds)
        found_SV = run.log_probs(joined_N)
        np.testing.assert_allclose(found_SV, bundle.log_probs(joined_N), atol=1e-3)
        differs = found_SV.shape != whole_SV.shape or np.abs(found_SV - whole_SV).max() > 1e-3
        assert differs == (bundle.window_for(len(joined_N)) is not None) == (seconds is not None)
    num_samples_B = np.array([len(joined_N), len(recordings[0])], np.int32)
    samples_BN = np.stack([joined_N, np.pad(recordings[0], (0, len(joined_N) - len(recordings[0])))])
    rows_BSV, num_steps_B = run.batch_log_probs(samples_BN, num_samples_B)
    np.testing.assert_allclose(rows_BSV[0], found_SV, atol=1e-4)
    np.testing.assert_allclose(rows_BSV[1, : num_steps_B[1]], run.log_probs(recordings[0]), atol=1e-4)
    with pytest.raises(UserError, match=r"a window is a number of seconds above 0, got 0\.0"):
        in_windows(trained, window_seconds=0.0)


def test_the_command_transcribes_a_run_and_names_its_export(exported, tones, tmp_path, monkeypatch, capsys):
    from speechgru.cli import main

    trained, out, _ = exported("chunked")
    shutil.copytree(trained.folder.path, tmp_path / "run")
    best = RunFolder(tmp_path / "run").best
    best.rename(RunFolder(tmp_path / "run").checkpoint(1))
    wav = sorted(tones.rglob("*.wav"))[0]

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["speechgru", "transcribe", *map(str, arguments), str(wav)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        return capsys.readouterr()

    (record,) = json.loads(run(out, "--json").out)
    printed = run(tmp_path / "run")
    assert record["text"] in " ".join(printed.out.split())
    assert "the newest checkpoint: no dev score has chosen any yet" in printed.err
    assert printed.err.splitlines()[-1] == f"next: speechgru export {tmp_path / 'run'} --out bundle"


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_law_5_the_forms_of_every_direction_are_compared_and_load(exported, tones, tmp_path, direction):
    trained, out, metadata = exported(direction)
    compared = {record["form"]: record for record in metadata["parity"]}
    assert list(compared) == ["Keras", *(f"TFLite {form}" for form in FORMS[direction]), "SavedModel"]
    assert compared["TFLite none"]["max_difference"] < 1e-3 and compared["SavedModel"]["max_difference"] < 1e-3
    assert direction != "bidirectional" or 1e-6 < compared["TFLite float16"]["max_difference"] < 0.05
    assert 1e-4 < compared["TFLite dynamic"]["max_difference"] < 1.0
    card = (out / "README.md").read_text()
    for form in FORMS[direction]:
        record = compared[f"TFLite {form}"]
        assert f"| TFLite {form} | {record['size_bytes'] / 1000:,.0f} |" in card
        assert record["start_seconds"] > 0 and 20 < record["peak_memory_mb"] < 400 and record["rtf"] > 0
        assert ("stream_difference" in record) == (direction != "bidirectional")
        assert record.get("stream_difference", 0.0) < 1e-3, "a stream is the whole, in 8 bits too"
    assert compared["TFLite dynamic"]["size_bytes"] < compared["TFLite none"]["size_bytes"]
    assert json.loads((out / "bundle.json").read_text())["parity"] == metadata["parity"]
    page = (trained.folder.path / "report" / "export.html").read_text()
    assert "dynamic" in page and "SavedModel" in page
    assert ("## The stream, for a port" in card) == (direction != "bidirectional")
    facts = inspect(out)
    assert all(model["foreign_operators"] == [] for model in facts["models"])
    names = ["recognize"] if direction == "bidirectional" else ["recognize", "stream"]
    assert all([one["name"] for one in model["signatures"]] == names for model in facts["models"])
    # One file of the bundle is a bundle, wherever it lies.
    shutil.copy(out / "model-dynamic.tflite", tmp_path / "alone.tflite")
    assert require_intact(tmp_path / "alone.tflite"), "it has a checksum of its own"
    alone, whole = Recognizer(tmp_path / "alone.tflite"), Recognizer(out, form="dynamic")
    samples_N = read_recording(read_manifest(tones / "dev.jsonl")[0].audio_filepath).samples_N
    np.testing.assert_array_equal(alone.log_probs(samples_N), whole.log_probs(samples_N))
    # A grammar travels in the folder and in each file of it.
    assert alone.grammar == whole.grammar == (GRAMMAR if direction == "chunked" else None)
    assert ("- **Grammar**: 1 intent, 3 sentences, 2 slots: by, tone (en)" in card) == (direction == "chunked")
    assert facts["grammar"] == (GRAMMAR.summary() if direction == "chunked" else None)
    if direction == "chunked":
        found = alone.transcribe(samples_N, alone.sample_rate, grammar=True)
        assert found.text in ("", "a", "b", "ab") and (found.intent == "Play") == bool(found.text)
        # And so does a language model, with its weights.
        assert "- **Language model**: 3-gram model of 3 words, 1 kB; `transcribe --lm` uses it" in card
        assert facts["language_model"]["kind"] == "ngram" and facts["language_model"]["weights"]["weight"] == 0.25
        for one in (alone, whole):
            assert one.language_model.weights.weight == 0.25 and one.language_model.model.knows("ab")
        options = DecodingOptions(beam_width=4, language=True)
        found = [one.transcribe(samples_N, one.sample_rate, options) for one in (alone, whole)]
        assert found[0] == found[1]
        spoken = evaluate(out, tones / "dev.jsonl", form="dynamic", decoding=options)["decoding"]["language_model"]
        assert (spoken["weight"], spoken["word_bonus"]) == (0.25, 1.0)
    assert alone.form == "dynamic" and alone.vocabulary == whole.vocabulary and alone.streams == whole.streams
    by_file = evaluate(tmp_path / "alone.tflite", tones / "dev.jsonl")
    assert by_file["wer"] == evaluate(out, tones / "dev.jsonl", form="dynamic")["wer"]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_law_5_keras_saved_model_and_tflite_agree_on_the_same_samples(exported, direction):
    """At every border: no whole frame, one, and many; in a batch, alone, and from features."""
    trained, out, _ = exported(direction)
    served = tf.saved_model.load(str(out / "saved_model")).signatures
    recognizer, rng = Recognizer(out, form="none"), np.random.default_rng(1)
    for count in (80, 161, 1000, 4001, 7999):
        samples_BN = 0.3 * rng.normal(size=[1, count]).astype(np.float32)
        num_samples_B = np.array([count], np.int32)
        expected_BSV = trained.predictor.batch_log_probs(samples_BN, num_samples_B)[0]
        log_mel_BTM = trained.model.front_end.log_mel(samples_BN, num_samples_B)[0]
        outputs_of = {
            "SavedModel, batch": served["serving_default"](
                samples=tf.constant(samples_BN), num_samples=tf.constant(num_samples_B)
            )["log_probs"],
            "SavedModel": served["recognize"](samples=tf.constant(samples_BN))["log_probs"],
            "SavedModel, features": served["features"](log_mel=log_mel_BTM)["log_probs"],
            "TFLite": recognizer.log_probs(samples_BN[0])[None],
        }
        for name, log_probs_BSV in outputs_of.items():
            np.testing.assert_allclose(log_probs_BSV, expected_BSV, atol=1e-3, err_msg=f"{name}, {count} samples")


def test_the_signatures_of_two_functions_share_their_weights(exported):
    _, out, _ = exported("forward")
    (model,) = [model for model in inspect(out)["models"] if model["form"] == "none"]
    assert model["duplicate_bytes"] == 0
    assert model["shared_bytes"] > 4 * 2 * 40 * 3 * 40


def test_golden_vectors_are_what_comes_out(exported):
    _, out, _ = exported("chunked")
    golden = json.loads((out / "golden" / "golden.json").read_text())
    assert [case["name"] for case in golden["cases"]] == ["sound", "speech"]
    recognizers = {form: Recognizer(out, form=form) for form in ("none", "dynamic")}
    for case in golden["cases"]:
        arrays = {
            stage: np.fromfile(out / "golden" / record["file"], "<f4").reshape(record["shape"])
            for stage, record in case["arrays"].items()
        }
        assert arrays["log_mel"].shape[1] == 20 and arrays["features"].shape == (len(arrays["log_mel"]), 40)
        for form, recognizer in recognizers.items():
            log_probs_SV = recognizer.log_probs(arrays["samples"])
            assert np.abs(log_probs_SV - arrays[f"log_probs.{form}"]).max() <= golden["tolerance"][f"log_probs.{form}"]
            text = greedy_decode(log_probs_SV, vocabulary=recognizer.vocabulary, step_seconds=0.03).text
            assert text == case["texts"][form]
    assert "one of these recordings" in (out / "README.md").read_text()


@pytest.mark.parametrize("form", QUANTIZATIONS)
def test_a_forms_tolerance_allows_other_kernels_and_no_other_sound(exported, form):
    _, out, _ = exported("bidirectional")
    golden = json.loads((out / "golden" / "golden.json").read_text())
    tolerance = golden["tolerance"][f"log_probs.{form}"]
    assert golden["tolerance"]["log_probs"] == 1e-2 and tolerance >= (1e-3 if form in ("none", "float16") else 1e-2)
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # LiteRT's own kernels in place of XNNPACK's
    file = out / read_bundle(out)["models"][form]["file"]
    other = Interpreter(str(file), experimental_op_resolver_type=resolver).get_signature_runner("recognize")
    for case in golden["cases"]:
        samples_N = np.fromfile(out / "golden" / case["arrays"]["samples"]["file"], "<f4")
        record = case["arrays"][f"log_probs.{form}"]
        expected_SV = np.fromfile(out / "golden" / record["file"], "<f4").reshape(record["shape"])
        assert np.abs(other(samples=samples_N[None])["log_probs"][0] - expected_SV).max() <= tolerance
        late_N = np.roll(samples_N, 8)  # a millisecond
        assert np.abs(other(samples=late_N[None])["log_probs"][0] - expected_SV).max() > tolerance


def test_a_form_that_hears_something_else_leaves_everything_as_it_was(run, exported, tmp_path, monkeypatch):
    folder, out = run, tmp_path / "bundle"
    shutil.copytree(exported("bidirectional")[1], out)
    before = (out / "bundle.json").read_bytes()
    monkeypatch.setattr(parity, "FLOAT_TOLERANCE", 1e-12)
    with pytest.raises(
        BundleError, match=r"TFLite none differs from the trained model by .* allowed are 1e-12; nothing"
    ):
        export(folder, out, max_wer_change=1.0)
    monkeypatch.undo()

    def deafened(self, form, **options):
        """The form of a model whose last layer was lost."""
        content = bytearray(real(self, form, **options))
        kernel = folder_logits(folder)
        place = bytes(content).find(kernel)
        assert place > 0
        content[place : place + len(kernel)] = bytes(len(kernel))
        return bytes(content)

    real = verb.Conversions.to_tflite
    monkeypatch.setattr(verb.Conversions, "to_tflite", deafened)
    monkeypatch.setattr(parity, "FLOAT_TOLERANCE", 1e9)
    monkeypatch.setattr(
        parity.Parity, "_wer_of", lambda self, texts: 0.1 + 0.2 * len(self.forms) if hasattr(self, "forms") else 0.1
    )
    with pytest.raises(
        BundleError, match=r"TFLite none has a word error rate of 30.00% on 12 recordings, 20.00% above"
    ):
        export(folder, out, max_wer_change=0.19)
    assert (out / "bundle.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [], "nothing half-made"


def folder_logits(folder):
    """The bytes of the last layer's kernel as TFLite stores them."""
    from speechgru.scoring.predictions import load_run

    return np.asarray(load_run(folder)[2].encoder.logits.layer.kernel).T.astype("<f4").tobytes()


def test_16_bit_weights_leave_the_front_end_alone(exported):
    """TensorFlow's own float16 form rounds the log-mel floor to 0, and gives NaN in digital silence."""
    _, out, _ = exported("bidirectional")
    assert np.isfinite(Recognizer(out, form="float16").log_probs(np.zeros(4000, np.float32))).all()
    (model,) = [model for model in inspect(out)["models"] if model["form"] == "float16"]
    halves = model["constants"]["float16"]
    assert halves["count"] > 3 and halves["size_bytes"] > halves["count"] * 2 * 1024, "large constants only"


def test_recordings_to_compare_on_are_needed_and_stay_home_when_asked(run, tones, tones_config, tmp_path):
    folder = make_run(tmp_path / "moved", tones_config().model_copy(
        update={"data": tones_config().data.model_copy(update={"dev": str(tmp_path / "gone.jsonl")})}
    ))  # fmt: skip
    with pytest.raises(
        UserError, match=r"gone.jsonl: the exported forms are compared on the run's recordings, and this"
    ):
        export(folder, tmp_path / "bundle")
    options = {"manifest": tones / "train.jsonl", "max_wer_change": 1.0}
    metadata = export(folder, tmp_path / "bundle", **options, golden_speech=False)
    assert metadata["parity_utterances"] == 60
    assert [path.name for path in (tmp_path / "bundle" / "golden").glob("speech*")] == []
    assert "one of these recordings" not in (tmp_path / "bundle" / "README.md").read_text()
    with pytest.raises(UserError, match="the allowed change of WER is a fraction of 1, got 50"):
        export(folder, tmp_path / "bundle", max_wer_change=50)


@pytest.mark.skipif(not has_tensorflow_io(), reason="tensorflow-io is not installed: no signature for encoded bytes")
def test_the_saved_model_hears_files_and_says_what_it_cannot_read(exported, tones, tmp_path):
    import soundfile

    trained, out, metadata = exported("bidirectional")
    assert metadata["saved_model"] == ["serving_default", "recognize", "features", "audio"]
    served = tf.saved_model.load(str(out / "saved_model")).signatures
    path = read_manifest(tones / "dev.jsonl")[0].audio_filepath
    samples_N = read_recording(path).samples_N
    expected = served["recognize"](samples=tf.constant(samples_N[None]))["log_probs"]
    for suffix in ("wav", "flac", "ogg"):
        soundfile.write(tmp_path / f"a.{suffix}", samples_N, 8000)
        log_probs = served["audio"](audio=tf.constant((tmp_path / f"a.{suffix}").read_bytes()))["log_probs"]
        np.testing.assert_allclose(log_probs, expected, atol=1e-2 if suffix != "ogg" else 10)
    soundfile.write(tmp_path / "fast.wav", samples_N, 16000)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"the recording.+s rate is not the model.+s 8000 Hz"):
        served["audio"](audio=tf.constant((tmp_path / "fast.wav").read_bytes()))
    with pytest.raises(tf.errors.InvalidArgumentError, match="not a WAV of 16 bits"):
        served["audio"](audio=tf.constant(b"hello"))
    options = {"formats": ["savedmodel"], "max_wer_change": 1.0}
    shutil.copytree(trained.folder.path, tmp_path / "run")  # exporting writes a page there
    without = export(tmp_path / "run", tmp_path / "bundle", **options, audio_signature=False)
    assert without["saved_model"] == ["serving_default", "recognize", "features"]
    assert without["default_form"] is None


def test_a_damaged_model_is_found_before_it_is_heard(exported, tmp_path):
    out = tmp_path / "bundle"
    shutil.copytree(exported("bidirectional")[1], out)
    content = bytearray((out / "model.tflite").read_bytes())
    content[len(content) // 2] ^= 1
    (out / "model.tflite").write_bytes(content)
    with pytest.raises(BundleError, match=r"model.tflite: is damaged \(its checksum is wrong\); copy the bundle again"):
        Recognizer(out, form="none")
    (out / "model.tflite").write_bytes(content[:1000])
    with pytest.raises(BundleError, match=r"model.tflite: is damaged \(1,000 of [\d,]+ bytes\)"):
        Recognizer(out, form="none")
    with pytest.raises(BundleError, match=r"model.tflite: .*damaged"):
        read_bundle(out / "model.tflite")
    (tmp_path / "text.tflite").write_text("hello")
    with pytest.raises(BundleError, match=r"text.tflite: "):
        Recognizer(tmp_path / "text.tflite")


@pytest.mark.parametrize("file", ["/dev/zero", "../model.tflite", "..", "", None, "sub\\model.tflite", "a\0b"])
def test_a_bundle_names_no_file_outside_itself(exported, tmp_path, file):
    out = tmp_path / "bundle"
    shutil.copytree(exported("bidirectional")[1], out)
    metadata = json.loads((out / "bundle.json").read_text())
    metadata["models"]["none"] = {"file": file}
    (out / "bundle.json").write_text(json.dumps(metadata))
    reason = r"the model none is said to be in .*, which is no n|models\.none\.file is a text"
    with pytest.raises(BundleError, match=rf"bundle\.json: is damaged \({reason}"):
        Recognizer(out, form="none")


def test_an_operator_that_litert_lacks_is_named():
    from speechgru.export import to_tflite

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([2, 2], tf.float32, name="samples")])
    def solve(samples):
        return {"log_probs": tf.linalg.inv(samples)}

    message = r"the TFLite form 'none' of solve needs operators that LiteRT lacks, .*: custom:FlexMatrixInverse"
    with pytest.raises(UserError, match=message):
        to_tflite({"solve": solve.get_concrete_function()}, form="none")
