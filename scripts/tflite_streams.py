"""Streams of `bench_tflite.py`: ours from samples, ONNX Runtime's from log-mel frames, and the first result of one."""

import statistics
import time

import numpy as np
from bench_features import SAMPLE_RATE, make_samples
from contests import Contestant, compare_outputs, console, print_timings, take_turns, times_as_fast
from peers_tflite import onnx_files, onnx_session, weights_of
from rich.table import Table
from tflite_models import FACTORS, SECONDS, make_config, make_graphs, tflite_files, tflite_runner


def stream_of_ours(path, model, samples_N):
    """Feeds all complete chunks of a recording, as `Recognizer.stream` does; returns its log-probabilities [S, V]."""
    from speechgru.runtime import Windows

    runner, geometry, states = tflite_runner(path), model.stream_geometry(), model.state_shapes()

    def run():
        windows = Windows(lambda inputs: runner(**inputs), geometry=geometry, states=states)
        return np.concatenate(windows.feed(samples_N))

    return run


def stream_of_onnx(path, windows, states):
    """The same calls from log-mel frames."""
    session = onnx_session(path)
    names = [output.name for output in session.get_outputs()]

    def run():
        state, results = states, []
        for window_1TM in windows:
            log_probs_1SV, *after = session.run(names, {"log_mel": window_1TM, **state})
            state = dict(zip(state, after, strict=True))
            results.append(log_probs_1SV[0])
        return np.concatenate(results)

    return run


def windows_of(log_mel_TM, mean_M, geometry, num_calls):
    """The frames of each call's window. Before the recording stands what normalisation makes 0."""
    before_RM = np.tile(mean_M, [geometry.frames_before, 1])
    padded_1TM = np.concatenate([before_RM, log_mel_TM])[None]
    starts = [call * geometry.chunk_frames for call in range(num_calls)]
    return [np.ascontiguousarray(padded_1TM[:, start : start + geometry.window_frames]) for start in starts]


def stream_contestants(graphs, config, folder, *, forms, with_onnx):
    """Those that stream the same recording, our files by form, and how far each is from the model."""
    geometry, samples_N = graphs.model.stream_geometry(), make_samples(SECONDS)
    num_calls = geometry.num_ready_calls(len(samples_N))
    ours = tflite_files(graphs.stream(), folder, "stream", forms)
    contestants = {
        f"ours {form}, from samples": Contestant("litert", stream_of_ours(path, graphs.model, samples_N))
        for form, path in ours.items()
    }
    if with_onnx:
        weights = weights_of(graphs, config)
        log_mel_TM = graphs.front_end_stages(samples_N)["log_mel"]
        windows = windows_of(log_mel_TM, weights.mean_M, geometry, num_calls)
        states = {
            f"state_{number}": np.zeros([1, 1, config.model.units], np.float32)
            for number in range(config.model.num_layers)
        }
        for name, path in onnx_files(weights, folder, "stream", geometry=geometry).items():
            contestants[name] = Contestant("onnxruntime", stream_of_onnx(path, windows, states))
    recognized = graphs.recognize()(samples=samples_N[None])["log_probs"][0].numpy()
    expected = recognized[: num_calls * geometry.chunk_steps]
    differences = compare_outputs(contestants, expected, exact={"ours none, from samples", "onnxruntime float32"})
    return contestants, ours, differences


def streaming(direction, factor, folder, *, libraries, rounds, size):
    """One model that streams; returns the answer's keys, and the row of the table of first results."""
    config = make_config(factor, direction, size)
    graphs = make_graphs(config)
    folder = folder / direction
    folder.mkdir()
    geometry, samples_N = graphs.model.stream_geometry(), make_samples(SECONDS)
    num_calls = geometry.num_ready_calls(len(samples_N))
    seconds = num_calls * geometry.chunk_samples / SAMPLE_RATE
    contestants, ours, differences = stream_contestants(
        graphs, config, folder, forms=["none", "dynamic"], with_onnx="onnxruntime" in libraries
    )
    timings = take_turns(contestants, rounds)
    print_timings(
        f"Streams of a {direction} model, {FACTORS[factor]}: {num_calls} calls, {seconds:g} s of sound, "
        f"{geometry.chunk_samples / SAMPLE_RATE:g} s a call",
        timings,
        reference="ours dynamic, from samples",
        seconds=seconds,
        differences=differences,
    )
    prefix = "streaming" if direction == "forward" else f"streaming_{direction}"
    mine = "ours dynamic, from samples"
    answer = times_as_fast(f"{prefix}_vs_onnxruntime", timings, mine=mine, library="onnxruntime")
    answer[f"{prefix}_call_ms"] = {name: round(1e3 * timing.median / num_calls, 3) for name, timing in timings.items()}
    first = first_result(ours.get("dynamic"), graphs.model, samples_N, rounds)
    answer[f"{prefix}_first_result_seconds"] = first and round(first["sound"] + first["first"], 4)
    return answer, first


def first_result(path, model, samples_N, rounds):
    """Seconds: of sound until a stream's first result, and of computing it, by a file that was just loaded."""
    if path is None:
        return None
    geometry = model.stream_geometry()
    load, first, later = [], [], []
    for _ in range(rounds):
        start = time.perf_counter()
        run = stream_of_ours(path, model, samples_N[: geometry.first_samples])
        load.append(time.perf_counter() - start)
        for seconds in (first, later):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
    least, greatest = (samples / SAMPLE_RATE for samples in geometry.latency_samples)
    return {
        "sound": geometry.first_samples / SAMPLE_RATE,
        "least": least,
        "greatest": greatest,
        "load": statistics.median(load),
        "first": statistics.median(first),
        "later": statistics.median(later),
    }


def print_first_results(rows):
    table = Table("", title="A stream's first result (dynamic)", title_justify="left")
    for column in ("needs s of sound", "a step waits s", "loading ms", "first call ms", "first of a later stream ms"):
        table.add_column(column, justify="right")
    for name, row in rows.items():
        table.add_row(
            name,
            f"{row['sound']:.3f}",
            f"{row['least']:.3f} to {row['greatest']:.3f}",
            *(f"{1e3 * row[key]:.2f}" for key in ("load", "first", "later")),
        )
    console.print(table)
