"""What TensorBoard shows: read back from its own files, without growing, and never failing in silence."""

import gc
import io
import math
import warnings

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="TensorBoard's files are written by TensorFlow")
accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

from speechgru.config.load import load_config  # noqa: E402
from speechgru.decoding import Hypothesis, Word, greedy_decode  # noqa: E402
from speechgru.errors import AudioError, UserError  # noqa: E402
from speechgru.files import held  # noqa: E402
from speechgru.model.build import build_model  # noqa: E402
from speechgru.model.predictor import KerasPredictor  # noqa: E402
from speechgru.text import Vocabulary  # noqa: E402
from speechgru.train import tensorboard as watching  # noqa: E402
from speechgru.utterances.examination import Examined  # noqa: E402
from speechgru.utterances.manifest import Utterance  # noqa: E402

VOCABULARY = Vocabulary(" abc")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A configuration and a model that predicts nothing but `b`."""
    file = tmp_path_factory.mktemp("tiny") / "tiny.yaml"
    file.write_text("data: {sample_rate: 8000}\nmodel: {units: 8, num_layers: 1, subsampling_channels: 8}\n")
    config = load_config(file)
    model = build_model(config, len(VOCABULARY))
    model.encoder.logits.layer.weights[1].assign(np.array([0, 0, 0, 9, 0], np.float32))
    return config, model


@pytest.fixture(scope="module")
def predict(tiny):
    """The model's predictor: traced once for all tests."""
    return KerasPredictor(tiny[1])


@pytest.fixture
def make_watch(tiny, tmp_path, write_wav):
    """A watch over one or two utterances of one name, or over those given; its logs in `logs`."""

    def make(logs=tmp_path / "logs", examples=None, count=2):
        if examples is None:
            paths = [write_wav(tmp_path / f"{k}", "one.wav", seed=k, seconds=0.5 + 4 * k) for k in range(count)]
            examples = [
                Examined(Utterance(str(path), 0.0, ""), text, (), 0)
                for path, text in zip(paths, ["a *b* <b>c</b>", "_c_"], strict=False)
            ]
        return watching.TensorBoardWriter(logs, config=tiny[0], vocabulary=VOCABULARY, examples=examples)

    return make


def read_back(logs):
    """All that TensorBoard finds: by name, a list of steps and values."""
    read = accumulators.EventAccumulator(str(logs), size_guidance={accumulators.TENSORS: 0}).Reload()
    return {
        tag: [(event.step, tf.make_ndarray(event.tensor_proto)) for event in read.Tensors(tag)]
        for tag in read.Tags()["tensors"]
    }


def test_the_numbers_of_a_record_have_curves(make_watch, tmp_path):
    watch = make_watch(examples=[])
    watch.write_record({"kind": "session", "step": 0, "epoch": 0.0, "seconds": 0.5, "resumed": False, "workers": 2})
    watch.write_record({"kind": "train", "step": 10, "epoch": 0.5, "loss": 3.5, "learning_rate": 1e-3, "note": "text"})
    record = {"kind": "train", "step": 20, "epoch": 1.0, "loss": None, "names": ["a"], "learning_rate": math.inf}
    watch.write_record(record)
    found = read_back(tmp_path / "logs")  # before the end: TensorBoard follows
    watch.close()
    assert found.keys() == {"session/seconds", "session/workers", "train/loss", "train/learning_rate"}
    assert found["train/loss"] == [(10, 3.5)]
    assert found["session/workers"] == [(0, 2.0)]
    assert [(step, pytest.approx(float(value))) for step, value in found["train/learning_rate"]] == [
        (10, 1e-3),
        (20, math.inf),
    ]


def test_the_examples_have_picture_text_and_sound(make_watch, tiny, tmp_path, predict):
    soundfile = pytest.importorskip("soundfile")
    watch = make_watch()
    watch.write_examples(tiny[1], 100, predictor=predict)
    watch.write_examples(tiny[1], 200, predictor=predict)
    watch.close()
    found = read_back(tmp_path / "logs")
    assert found.keys() == {
        f"{what}/0{k + 1} one.wav" for what in ("recognised", "transcripts", "audio") for k in range(2)
    }
    for k, (text, width) in enumerate([("a *b* <b>c</b>", 800), ("_c_", 900)]):
        name = f"0{k + 1} one.wav"
        pictures = found[f"recognised/{name}"]
        assert [step for step, _ in pictures] == [100, 200]
        image_HWC = tf.io.decode_png(pictures[0][1][2]).numpy()
        assert image_HWC.shape[::2] == (460, 3) and width <= image_HWC.shape[1] < width + 10
        assert [step for step, _ in found[f"transcripts/{name}"]] == [100, 200]
        shown = found[f"transcripts/{name}"][1][1].item().decode()
        assert shown == f"    reference   {text}\n    hypothesis  b", "indented: Markdown must not read it"
        ((step, sound),) = found[f"audio/{name}"]
        samples_N, sample_rate = soundfile.read(io.BytesIO(sound[0, 0]))
        assert (step, sample_rate, len(samples_N)) == (100, 8000, (0.5 + 4 * k) * 8000)


def test_the_pictures_follow_the_weights(make_watch, tiny, tmp_path, predict):
    model = tiny[1]
    bias = model.encoder.logits.layer.weights[1]
    before, watch = bias.numpy(), make_watch(count=1)
    try:
        watch.write_examples(model, 1, predictor=predict)
        bias.assign(np.array([0, 0, 9, 0, 0], np.float32))
        watch.write_examples(model, 2, predictor=predict)
    finally:
        bias.assign(before)
        watch.close()
    (_, first), (_, second) = read_back(tmp_path / "logs")["transcripts/01 one.wav"]
    assert first.item().endswith(b"hypothesis  b") and second.item().endswith(b"hypothesis  a")


def test_showing_again_and_again_keeps_nothing(make_watch, tiny, predict):
    from matplotlib import pyplot
    from matplotlib.figure import Figure

    def figures():  # of type(entry): a proxy's __class__ may be gone
        gc.collect()
        return [entry for entry in gc.get_objects() if issubclass(type(entry), Figure)]

    of_others = figures()
    watch = make_watch(count=1)
    for step in range(3):
        watch.write_examples(tiny[1], step, predictor=predict)
    watch.close()
    assert not [entry for entry in figures() if not any(entry is other for other in of_others)]
    assert pyplot.get_fignums() == []


def test_without_examples_nothing_is_shown(make_watch, tiny, tmp_path, predict):
    watch = make_watch(examples=[])
    watch.write_examples(tiny[1], 100, predictor=predict)
    watch.close()
    assert read_back(tmp_path / "logs") == {}


def test_closing_twice_does_no_harm(make_watch):
    watch = make_watch(examples=[])
    watch.close()
    watch.close()


def test_a_recording_that_is_gone_is_named(make_watch, tiny, tmp_path, predict):
    watch = make_watch()
    (tmp_path / "0" / "one.wav").unlink()
    with pytest.raises(AudioError, match=r"0/one\.wav: no such recording"):
        watch.write_examples(tiny[1], 1, predictor=predict)
    watch.close()


def test_a_folder_that_cannot_be_written_is_named(make_watch, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/logs: TensorBoard's curves cannot be written \(Not a directory\); "):
        make_watch(tmp_path / "file" / "logs")


@pytest.mark.parametrize("what", ["record", "show"])
def test_a_full_disk_is_told_at_once(make_watch, tiny, what, predict):
    resource = pytest.importorskip("resource", reason="limits the size of files in place of filling a disk")
    watch = make_watch(count=1)

    def write():
        for step in range(100):
            if what == "show":
                watch.write_examples(tiny[1], step, predictor=predict)
            else:
                watch.write_record({"kind": "train", "step": step, "loss": 1.0})

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(UserError, match=r"logs: TensorBoard's curves cannot be written \(.*File too large"):
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    watch.close()


# ------------------------------------------------------------------ the picture


def draw(num_frames=40, num_steps=20, *, vocabulary=VOCABULARY, **changes):
    rng = np.random.default_rng(0)
    logits_SV = 3 * rng.normal(size=(num_steps, len(vocabulary)))
    log_probs_SV = logits_SV - np.logaddexp.reduce(logits_SV, axis=1, keepdims=True)
    parts = {
        "log_mel_TM": rng.normal(size=(num_frames, 10)),
        "log_probs_SV": log_probs_SV,
        "vocabulary": vocabulary,
        "frame_seconds": 0.01,
        "step_seconds": 0.02,
        "hypothesis": greedy_decode(log_probs_SV, vocabulary=vocabulary, step_seconds=0.02),
        "title": "reference   a\nhypothesis  b",
    }
    return watching.recognition_image(**parts | changes)


def test_the_log_mel_stands_above_with_its_low_bands_below():
    log_mel_TM = np.zeros((10, 4))
    log_mel_TM[8, 0] = 10.0
    image_HWC = draw(log_mel_TM=log_mel_TM, log_probs_SV=np.zeros((0, 5)), hypothesis=Hypothesis(), title="")
    assert image_HWC.dtype == np.uint8 and image_HWC.shape == (460, 800, 3)
    bright_HW = (image_HWC[..., 0] > 230) & (image_HWC[..., 2] < 220)  # magma's end is a light yellow
    rows, columns = np.nonzero(bright_HW)
    assert 180 < rows.mean() < 270, "the lowest band of the upper part"
    assert 0.82 < (columns.mean() - 56) / (800 - 72) < 0.88, "the ninth frame of ten"


def test_odd_texts_are_drawn_as_they_are():
    vocabulary = Vocabulary([" ", "$", "\u4e2d", "\u0634", "\\"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image_HWC = draw(
            vocabulary=vocabulary, title="reference   $a_{b$ \\frac \u4e2d\u6587 \U0001f600\nhypothesis  $$"
        )
        draw(vocabulary=Vocabulary(["turn", "on"], unit="word"), title="")
        draw(title=f"reference   {'very ' * 500}long")
    assert image_HWC.std() > 10


@pytest.mark.parametrize(("frames", "steps"), [(0, 0), (1, 1), (5, 0), (0, 3)])
def test_the_shortest_recordings_have_a_picture(frames, steps):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw(frames, steps).shape == (460, 800, 3)


def test_long_recordings_are_wider_but_not_without_end():
    assert draw(1000, 500).shape[1] == 2000
    assert draw(6000, 3000, hypothesis=Hypothesis(words=(Word("a", 1.0, 2.0, 1.0),))).shape[1] == 2400


def test_the_event_file_of_a_run_that_is_taken_away_does_not_bring_it_back(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    with held(run):
        run.rename(tmp_path / "away")
        with pytest.raises(UserError, match="run: is gone, moved or removed"):
            watching.CurveWriter(run / "logs")
    assert not run.exists()
