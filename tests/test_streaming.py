"""Law 6: a stream is the whole recording, however it is cut; and what a recogniser makes of it."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from word_penalty import WordPenalty

tf = pytest.importorskip("tensorflow", reason="the streams are held against the Keras model; it is not installed")

from speechgru import lengths  # noqa: E402
from speechgru.config.sections import RunConfig  # noqa: E402
from speechgru.errors import UserError  # noqa: E402
from speechgru.export import Graphs  # noqa: E402
from speechgru.model.build import build_model  # noqa: E402
from speechgru.runtime import Windows  # noqa: E402

pytestmark = pytest.mark.usefixtures("short_turns")
NUM_CLASSES = 5

MODELS = {
    "forward": ({}, {"direction": "forward"}),
    "forward, one frame a step, long hop": (
        {"hop_length_ms": 45.0, "deltas": 2},
        {"direction": "forward", "subsampling_factor": 1, "normalization": "batch"},
    ),
    "forward, looking ahead": (
        {"deltas": 1, "center": False},
        {"direction": "forward", "lookahead_frames": 6, "reset_after": False},
    ),
    "forward, looking ahead past a chunk": (
        {}, {"direction": "forward", "lookahead_frames": 20, "normalization": "none"}
    ),
    "chunked": ({}, {"direction": "chunked", "chunk_frames": 12, "lookahead_frames": 6, "subsampling_factor": 3}),
    "chunked, nothing ahead": (
        {"center": False, "normalization": "none"},
        {"direction": "chunked", "chunk_frames": 4, "update_gate": "write"},
    ),
    "chunked, more ahead than a chunk": (
        {"deltas": 2, "preemphasis": 0.9, "mel_scale": "htk"},
        {"direction": "chunked", "chunk_frames": 4, "lookahead_frames": 10},
    ),
    "forward, running mean": (
        {"normalization": "running", "running_seconds": 0.1, "deltas": 1},
        {"direction": "forward", "lookahead_frames": 4},
    ),
    "chunked, pcen": (
        {"compression": "pcen", "pcen_seconds": 0.05, "normalization": "running"},
        {"direction": "chunked", "chunk_frames": 8, "lookahead_frames": 4},
    ),
    "chunked, odd hop": (
        {"hop_length_ms": 9.875, "center": False, "preemphasis": 0.5, "spectrum": "magnitude"},
        {"direction": "chunked", "chunk_frames": 8, "lookahead_frames": 4, "normalization": "batch", "num_layers": 1},
    ),
}  # fmt: skip


def configure(features, model):
    return RunConfig.model_validate(
        {
            "data": {"sample_rate": 8000},
            "features": {"n_mels": 8, **features},
            "model": {"units": 6, "subsampling_channels": 7, **model},
        }
    )


def build(config, *, implementation="portable", seed=1, scale=0.5):
    """A model whose every weight and statistic is one that a mistake would show in."""
    model = build_model(config, NUM_CLASSES, implementation=implementation)
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        values = scale * rng.normal(size=weight.shape)
        weight.assign(np.abs(values) + 0.5 if "variance" in weight.path or "deviation" in weight.path else values)
    return model


@pytest.fixture(scope="module")
def built():
    """Of a name in `MODELS`: the model, its log-probabilities of whole recordings, one call of its stream."""
    made = {}

    def make(name):
        if name not in made:
            config = configure(*MODELS[name])
            model = build(config)
            stream = Graphs(model).stream()

            def call(inputs):
                return {
                    key: value.numpy()
                    for key, value in stream(**{k: tf.constant(v) for k, v in inputs.items()}).items()
                }

            whole = tf.function(
                lambda samples, count: tf.nn.log_softmax(model([samples, count], training=False)[0]),
                input_signature=[tf.TensorSpec([1, None]), tf.TensorSpec([1], tf.int32)],
            )
            made[name] = model, whole, call
        return made[name]

    return make


def streamed(model, call, samples_N, cuts):
    windows = Windows(call, geometry=model.stream_geometry(), states=model.state_shapes())
    results = []
    for piece_N in np.split(samples_N, cuts):
        results += windows.feed(piece_N)
    return np.concatenate([np.zeros([0, NUM_CLASSES], np.float32), *results, *windows.finish()])


@pytest.mark.parametrize("name", MODELS)
def test_law_6_any_chopping_gives_the_log_probs_of_the_whole(built, name):
    model, whole, call = built(name)
    geometry = model.stream_geometry()
    rng = np.random.default_rng(0)
    around = [geometry.first_samples, geometry.first_samples + 3 * geometry.chunk_samples]
    for count in [1, 79, 80, 81, 400, 2399, 4001, *(a + d for a in around for d in (-1, 0, 1))]:
        samples_N = (0.3 * rng.normal(size=count)).astype(np.float32)
        steps = geometry.num_steps(count)
        expected_SV = whole(samples_N[None], np.array([count], np.int32))[0] if steps else np.zeros([0, NUM_CLASSES])
        for pieces in (1, 9):
            cuts = np.sort(rng.integers(0, count + 1, size=pieces - 1))
            actual_SV = streamed(model, call, samples_N, cuts)
            assert actual_SV.shape == (steps, NUM_CLASSES)
            np.testing.assert_allclose(actual_SV, expected_SV, atol=2e-5, err_msg=f"{count} samples cut at {cuts}")


@pytest.mark.parametrize("name", ["forward, looking ahead", "chunked"])
def test_an_answer_comes_as_soon_as_its_samples_are_there(built, name):
    model, _, call = built(name)
    geometry = model.stream_geometry()
    windows = Windows(call, geometry=geometry, states=model.state_shapes())
    step = geometry.subsampling_factor * geometry.hop_length
    reported = 0
    for sample in range(4000):
        for log_probs_SV in windows.feed(np.zeros(1, np.float32)):
            first, reported = reported, reported + len(log_probs_SV)
            if reported:  # samples from the first one of each step until its answer
                least, greatest = sample + 1 - (reported - 1) * step, sample + 1 - first * step
                assert geometry.latency_samples[0] == least
                assert greatest <= geometry.latency_samples[1]
    assert reported > 10


@given(
    frame_length=st.integers(2, 12),
    n_fft=st.integers(0, 8),
    hop_length=st.integers(1, 9),
    center=st.booleans(),
    slope_frames=st.sampled_from([0, 2, 4]),
    leading_samples=st.integers(0, 1),
    factor=st.integers(1, 4),
    chunk_steps=st.integers(1, 5),
    lookahead_steps=st.integers(0, 6),
    delay_steps=st.integers(0, 6),
    num_samples=st.integers(0, 400),
)
@settings(max_examples=300)
def test_law_3_the_calls_of_a_stream_give_each_step_once(
    frame_length, n_fft, hop_length, center, slope_frames, leading_samples, factor, chunk_steps, lookahead_steps,
    delay_steps, num_samples,
):  # fmt: skip
    geometry = lengths.StreamGeometry(
        frame_length=frame_length, n_fft=frame_length + n_fft, hop_length=hop_length, center=center,
        slope_frames=slope_frames, leading_samples=leading_samples, subsampling_factor=factor, chunk_steps=chunk_steps,
        lookahead_steps=lookahead_steps, delay_steps=delay_steps,
    )  # fmt: skip
    steps = geometry.num_steps(num_samples)
    given_steps = []
    for call in range(geometry.num_calls(num_samples)):
        part = geometry.steps_of(call, num_steps=steps)
        first = call * chunk_steps - delay_steps
        given_steps += [first + place for place in range(chunk_steps)[part]]
        first_sample, end_sample, first_frame, end_frame = geometry.bounds(call, num_samples=num_samples)
        assert first_sample >= 0 and end_sample <= geometry.window_samples
        assert first_frame >= 0 and end_frame <= geometry.window_frames
        if call < geometry.num_ready_calls(num_samples):
            assert geometry.bounds(call) == (first_sample, end_sample, first_frame, end_frame)
    assert given_steps == list(range(steps))
    assert geometry.context_samples >= geometry.samples_before
    ready = geometry.num_ready_calls(num_samples)
    if ready:
        needed = geometry.first_samples + (ready - 1) * geometry.chunk_samples
        assert needed <= num_samples < needed + geometry.chunk_samples


@pytest.mark.parametrize(
    ("features", "model", "message"),
    [
        ({}, {}, "model.direction is bidirectional: .* train with model.direction forward or chunked"),
        (
            {"normalization": "utterance"},
            {"direction": "forward"},
            "features.normalization is utterance: .*, running or",
        ),
    ],
)
def test_what_cannot_stream_says_which_key_to_change(features, model, message):
    built = build_model(configure(features, model), NUM_CLASSES)
    assert built.stream_record() is None
    with pytest.raises(UserError, match=message):
        built.stream_geometry()


# --- The recogniser -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory):
    """A recogniser of a chunked model with random weights that writes a label now and then."""
    from speechgru.export.convert import to_tflite
    from speechgru.files import write_json
    from speechgru.runtime import BUNDLE_VERSION, Recognizer

    config = configure({}, {"direction": "chunked", "chunk_frames": 8, "lookahead_frames": 4})
    model = build(config, seed=11, scale=1.0)
    graphs = Graphs(model)
    folder = tmp_path_factory.mktemp("bundle")
    functions = {"recognize": graphs.recognize(), "stream": graphs.stream()}
    (folder / "model.tflite").write_bytes(to_tflite(functions, form="dynamic"))
    metadata = {
        "bundle_version": BUNDLE_VERSION, "sample_rate": 8000, "step_seconds": config.step_seconds,
        "unit": "character", "entries": list(" abc"), "text": {}, "models": {"dynamic": {"file": "model.tflite"}},
        "default_form": "dynamic", "stream": model.stream_record(),
        "features": {"n_fft": config.n_fft, "hop_length": config.hop_length, "center": True},
    }  # fmt: skip
    write_json(folder / "bundle.json", metadata)
    return Recognizer(folder)


def sound(seconds, *, sample_rate=8000, seed=0):
    """Bursts of noise with pauses between them."""
    rng = np.random.default_rng(seed)
    samples_N = rng.normal(size=round(seconds * sample_rate))
    loud_N = np.repeat(rng.integers(0, 2, size=len(samples_N) // 500 + 1), 500)[: len(samples_N)]
    return (samples_N * (0.001 + 0.3 * loud_N)).astype(np.float32)


def feed_all(stream, samples_N, size):
    transcripts = [stream.feed(samples_N[start : start + size]) for start in range(0, len(samples_N), size)]
    return [utterance for one in transcripts for utterance in one.ended], stream.finish()


@pytest.mark.parametrize("sample_rate", [8000, 11025])
def test_a_stream_hears_what_the_whole_recording_says(recognizer, sample_rate):
    from speechgru.decoding import DecodingOptions

    samples_N = sound(1.5, sample_rate=sample_rate)
    scored = DecodingOptions(beam_width=4, n_best=2, scorers=[WordPenalty(-1.0)])
    for options in (None, DecodingOptions(beam_width=4, n_best=2), scored):
        expected = recognizer.transcribe_n_best(samples_N, sample_rate, options)
        assert expected[0].text
        for size in (37, 800, 10**6):
            stream = recognizer.stream(sample_rate, options)
            ended, last = feed_all(stream, samples_N, size)
            assert not ended and last.text == expected[0].text and last.words == expected[0].words
            assert [one.text for one in stream.finish_n_best()] == [one.text for one in expected]


def test_partial_results_grow_into_the_final_one(recognizer):
    samples_N, stream, texts = sound(3), recognizer.stream(), []
    for start in range(0, len(samples_N), 100):
        texts.append(stream.feed(samples_N[start : start + 100]).text)
    final = stream.finish().text
    assert len(set(texts)) > 3, "it does not wait for the end"
    assert all(final.startswith(text.rstrip()) for text in texts), "greedy decoding takes nothing back"


def test_endpoints_do_not_depend_on_how_the_samples_come_and_begin_anew(recognizer):
    from speechgru.decoding import EndpointRule

    rule = EndpointRule(trailing_seconds=0.1, start_seconds=0.3, max_seconds=1.5)
    samples_N = sound(6, seed=1)
    results = []
    for size in (1, 333, 10**6):
        stream = recognizer.stream(endpoint=rule)
        ended, last = feed_all(stream, samples_N, size)
        results.append([*ended, last])
    assert results[0] == results[1] == results[2]
    assert len(results[0]) > 2
    times = [word.start_seconds for utterance in results[0] for word in utterance.words]
    assert times == sorted(times) and times[-1] > 3, "times count from the stream's beginning"
    # The first utterance is the beginning of the whole; a later one is a recording of its own.
    whole = recognizer.transcribe(samples_N, 8000)
    assert whole.text.startswith(results[0][0].text)


@pytest.mark.parametrize("with_endpoints", [False, True])
def test_a_buffer_may_be_filled_again_once_it_was_fed(recognizer, with_endpoints):
    from speechgru.decoding import EndpointRule

    rule = EndpointRule(trailing_seconds=0.1, max_seconds=1.5) if with_endpoints else None
    samples_N, buffer_N = sound(3), np.empty(100, np.float32)
    results = []
    for reuses in (False, True):
        stream, ended = recognizer.stream(endpoint=rule), []
        for start in range(0, len(samples_N), 100):
            buffer_N[:] = samples_N[start : start + 100]
            ended += stream.feed(buffer_N if reuses else buffer_N.copy()).ended
            buffer_N[:] = np.nan
        results.append([*ended, stream.finish()])
    assert results[0] == results[1]


def test_a_stream_refuses_what_is_no_sound_and_ends_once(recognizer):
    stream = recognizer.stream()
    with pytest.raises(ValueError, match="samples must be one channel"):
        stream.feed(np.zeros([2, 5], np.float32))
    with pytest.raises(ValueError, match="finite numbers"):
        stream.feed(np.array([0.0, np.nan]))
    assert stream.finish() == stream.finish()
    with pytest.raises(ValueError, match="the stream has been finished; begin another"):
        stream.feed(np.zeros(5, np.float32))


def test_many_streams_and_threads_share_one_model(recognizer):
    sounds = [sound(1.5, seed=seed) for seed in range(8)]
    expected = [recognizer.transcribe(samples_N, 8000).text for samples_N in sounds]
    streams, transcripts = [recognizer.stream() for _ in sounds], [""] * len(sounds)
    for start in range(0, len(sounds[0]), 170):  # in turns
        for stream, samples_N in zip(streams, sounds, strict=True):
            stream.feed(samples_N[start : start + 170])
    assert [stream.finish().text for stream in streams] == expected

    def listen(number):  # at once, with whole recordings between
        stream = recognizer.stream()
        for start in range(0, len(sounds[number]), 170):
            stream.feed(sounds[number][start : start + 170])
            if start % 1700 == 0:
                recognizer.log_probs(sounds[number][:2000])
        transcripts[number] = stream.finish().text

    threads = [threading.Thread(target=listen, args=[number]) for number in range(len(sounds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert transcripts == expected


def test_a_long_recording_goes_through_the_stream_and_is_the_whole(recognizer, monkeypatch):
    from speechgru.runtime import Recognizer, computing

    samples_N = sound(3)
    log_probs_SV, expected = recognizer.log_probs(samples_N), recognizer.transcribe(samples_N, 8000)
    streaming = Recognizer(recognizer.bundle, window_seconds=1.0)
    monkeypatch.setattr(computing, "_BLOCK", 3000)
    at_once = "only a short one is computed at once"
    monkeypatch.setattr(computing.Computing, "_recognize", lambda self, samples_N: pytest.fail(at_once))
    assert streaming.window_for(len(samples_N)) is None
    np.testing.assert_allclose(streaming.log_probs(samples_N), log_probs_SV, atol=1e-4)
    found = streaming.transcribe(samples_N, 8000)
    assert (found.text, found.words) == (expected.text, expected.words)


def test_in_eight_bits_a_stream_is_the_whole_too(recognizer):
    samples_N = sound(2)
    np.testing.assert_allclose(
        recognizer.stream_log_probs(samples_N, piece=123), recognizer.log_probs(samples_N), atol=1e-4
    )
