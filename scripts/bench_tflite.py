"""Times exported recognisers beside ONNX Runtime and PyTorch, with the same weights, on one thread of a CPU.

    python scripts/bench_tflite.py            # whole recordings and streams, lengths, sizes, memory: about ten minutes
    python scripts/bench_tflite.py --quick    # a step for every frame only, two lengths, few rounds
    python scripts/bench_tflite.py --widths   # 2 layers of 32, 64, 128 and 256 units behind 40 mels: three minutes

The model has 3 GRU layers of 256 behind 80 mels. All get the same log-mel frames of 4 s of sound and give the same
log-probabilities: normalisation, subsampling convolution, layer normalisation, GRU layers, dense layer, log-softmax.
"a step a frame" does not subsample: 100 GRU steps a second, the hardest; "a step for 2 frames" is the default. The
weights are random, no bias is 0. Before anything is timed, the float forms of all libraries must agree to 1e-3.

- ours: the TFLite forms of `speechgru export` under LiteRT. `dynamic` is what all ratios are taken of.
- onnxruntime: Conv, LayerNormalization, GRU, MatMul and LogSoftmax nodes, in float32 and after `quantize_dynamic`,
  which leaves the GRU in floats. The fastest counts.
- torch: nn.Conv1d, nn.LayerNorm, nn.GRU, nn.Linear in inference mode, in float32 and after its own dynamic
  quantisation. The faster counts.

Streams: 4 s of sound call by call, the state handed on. Ours begin at samples, as a stream does: log-mel is in their
time, and so is cutting the samples. ONNX Runtime gets windows of log-mel frames that were made and cut before, so that
the ratio is to our disadvantage. A forward model answers every 0.1 s; a chunked one every 32 frames, 16 frames late.

With `--widths` the models are those that this project trains: whole recordings from log-mel frames and streams from
samples at each width, in float32 and with 8-bit weights, beside ONNX Runtime's faster form from frames. The figures are
ratios of the processor's time, and the last line's `widths` has them by width.

Libraries take turns within one process, so that a change of the machine's load meets all of them. A turn is a pause
where the library changes (the threads of the one before may still spin), a call that does not count, and calls that do;
a figure is the median of all. Beside it stands the median of the processor time: more than the time where a library
takes more threads than it was given, less where the machine does something else as well, and then the better figure.
Memory is the peak of a process of its own, which loads a library and a model and runs on 4 s of sound once.

The last line is one JSON object. Its ratios say how many times as fast as the other our `dynamic` form is, and
`..._by_processor` the same of the processor's time; `linear` is the time of 32 s over 8 times that of 4 s. What could
not be measured (a library that is not installed, a form that does not convert) is null or missing. Run it on a machine
that does nothing else.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # also runs without an installation

import numpy as np
from bench_features import SAMPLE_RATE, make_samples
from bench_gru import peak_bytes, ratio
from peers_tflite import load_torch, onnx_files, onnx_session, torch_file, torch_quantized, torch_runner, weights_of
from rich.console import Console
from rich.table import Table

SIZE = {"num_layers": 3, "units": 256}
N_MELS, CLASSES, CALIBRATION_SOUNDS = 80, 30, 8
SECONDS = 4.0  # of sound, where nothing else is said
LIBRARIES = ("onnxruntime", "torch")
LENGTHS = (1, 2, 4, 8, 16, 32)
TOLERANCE = 1e-3
FACTORS = {1: "a step a frame", 2: "a step for 2 frames"}
STREAMS = {"forward": {}, "chunked": {"chunk_frames": 32, "lookahead_frames": 16}}
PAUSE_SECONDS, TURN_SECONDS, MOST_CALLS = 0.25, 0.2, 10

console = Console(width=120, highlight=False)


# -- the model ---------------------------------------------------------------------------------------------------------


def make_config(factor, direction="bidirectional", size=SIZE):
    from speechgru.config.sections import RunConfig

    model = {**size, "subsampling_factor": factor, "direction": direction, **STREAMS.get(direction, {})}
    return RunConfig.model_validate({"features": {"n_mels": N_MELS}, "model": model})


def make_graphs(config):
    """Our recogniser with random weights, normalised to the sound that is used here."""
    from speechgru.export.graphs import Graphs
    from speechgru.model.build import build_model

    model = build_model(config, CLASSES, implementation="portable")
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        if variable.name != "kernel" and variable.name != "recurrent_kernel":  # biases are 0 and scales are 1 so far
            variable.assign(variable.numpy() + 0.2 * rng.normal(size=variable.shape))
    graphs = Graphs(model)
    log_mel_TM = graphs.front_end_stages(make_samples(SECONDS))["log_mel"]
    model.front_end.set_statistics(log_mel_TM.mean(axis=0), log_mel_TM.std(axis=0) + 0.1)
    return graphs


# -- ours --------------------------------------------------------------------------------------------------------------


def tflite_files(function, folder, name, forms, calibration=()):
    """Writes the forms of one exported function; paths by form. A form that does not convert is left out."""
    from speechgru.errors import UserError
    from speechgru.export.convert import to_tflite

    paths = {}
    for form in forms:
        try:
            content = to_tflite({name: function}, form=form, calibration=calibration)
        except UserError as error:
            leave_out(f"ours {form} of {name}", error)
            continue
        paths[form] = folder / f"{name}-{form}.tflite"
        paths[form].write_bytes(content)
    return paths


def calibration_inputs(graphs, name):
    """Inputs of a function that int8 is calibrated on: sound of several levels with noise."""
    rng, voice_N = np.random.default_rng(2), make_samples(SECONDS)
    for _ in range(CALIBRATION_SOUNDS):
        samples_N = rng.uniform(0.2, 1.5) * voice_N + rng.uniform(0.001, 0.05) * rng.normal(size=len(voice_N))
        samples_N = samples_N.astype(np.float32)
        yield [(samples_N if name == "recognize" else graphs.front_end_stages(samples_N)["log_mel"])[None]]


def tflite_runner(path):
    """The file's only signature; the arguments are numpy arrays by name."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    (signature,) = interpreter.get_signature_list()
    return interpreter.get_signature_runner(signature)


def front_end_function(graphs):
    """What `Graphs.recognize` does before the encoder: samples to normalised log-mel."""
    import tensorflow as tf

    @tf.function(autograph=False)
    def front_end(samples):
        return {"log_mel": graphs.model.front_end.whole(samples, tf.reshape(tf.shape(samples)[1], [1]))[0]}

    return front_end.get_concrete_function(tf.TensorSpec([1, None], tf.float32, name="samples"))


# -- taking turns ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contestant:
    """One that takes turns.

    Args:
        library: whose threads may still spin when it is done.
        run: runs on the sound once; returns log-probabilities where they are compared.
    """

    library: str
    run: Callable[[], Any]


@dataclass(frozen=True)
class Timing:
    """Of one contestant: seconds of a run, the median and the least, and the median of the processor's seconds."""

    median: float
    best: float
    processor: float


def take_turns(contestants, rounds):
    """Lets contestants by name run in turn; their `Timing`s by name."""
    calls, spent, processor = {}, {name: [] for name in contestants}, {name: [] for name in contestants}
    for name, contestant in contestants.items():  # first allocation
        contestant.run()
        start = time.perf_counter()
        contestant.run()
        calls[name] = max(1, min(MOST_CALLS, int(TURN_SECONDS / (time.perf_counter() - start))))
    library = None
    for _ in range(rounds):
        for name, contestant in contestants.items():
            if contestant.library != library:
                time.sleep(PAUSE_SECONDS)
                library = contestant.library
            contestant.run()
            for _ in range(calls[name]):
                start, start_processor = time.perf_counter(), time.process_time()
                contestant.run()
                spent[name].append(time.perf_counter() - start)
                processor[name].append(time.process_time() - start_processor)
    return {
        name: Timing(statistics.median(seconds), min(seconds), statistics.median(processor[name]))
        for name, seconds in spent.items()
    }


def times_as_fast(key, timings, *, mine, library):
    """The answer's ratio of a library's fastest contestant to `mine`, and the same of the processor's time."""
    answer = {}
    for name, field in ((key, "median"), (f"{key}_by_processor", "processor")):
        peers = [getattr(timing, field) for peer, timing in timings.items() if peer.startswith(library)]
        ours = getattr(timings[mine], field) if mine in timings else None
        answer[name] = ratio(ours, min(peers, default=None))
    return answer


def compare_outputs(contestants, expected, *, exact):
    """Largest difference of log-probabilities by name.

    Raises:
        SystemExit: one of `exact` differs by more than the tolerance: its time would say nothing.
    """
    differences = {}
    for name, contestant in contestants.items():
        found = contestant.run()
        if found.shape != expected.shape:
            raise SystemExit(f"{name} gives log-probabilities of shape {found.shape}, expected {expected.shape}")
        differences[name] = float(np.abs(found - expected).max())
        if name in exact and not differences[name] < TOLERANCE:
            raise SystemExit(f"{name} is another model: its log-probabilities are {differences[name]:.2g} away")
    return differences


def print_timings(title, timings, *, reference, seconds, differences=None):
    """A table of one contest; `seconds` is the length of the sound of one run."""
    table = Table("", *(["difference"] if differences else []), title=title, title_justify="left")
    for column in ("ms", "least ms", "ms / s of sound", "x ours dynamic", "processor ms"):
        table.add_column(column, justify="right")
    for name, timing in timings.items():
        if differences:
            difference = f"{differences[name]:.1e}" if name in differences else ""
        table.add_row(
            name,
            *([difference] if differences else []),
            f"{1e3 * timing.median:.2f}",
            f"{1e3 * timing.best:.2f}",
            f"{1e3 * timing.median / seconds:.2f}",
            f"{timing.median / timings[reference].median:.2f}" if reference in timings else "",
            f"{1e3 * timing.processor:.2f}",
        )
    console.print(table)


def leave_out(what, why):
    console.print(f"{what} is left out: {' '.join(str(why).split())[:300]}", markup=False)


# -- whole recordings --------------------------------------------------------------------------------------------------


def offline(factor, folder, *, libraries, rounds, lengths, size):
    """Everything about whole recordings at one subsampling factor; returns the answer's keys, sizes and memory."""
    import tensorflow as tf

    config = make_config(factor, size=size)
    graphs = make_graphs(config)
    weights = weights_of(graphs, config)
    samples_1N = make_samples(SECONDS)[None]
    log_mel_1TM = graphs.front_end_stages(samples_1N[0])["log_mel"][None]
    features = graphs.features()
    ours, whole = (
        tflite_files(function, folder, name, ("none", "dynamic", "float16", "int8"), calibration_inputs(graphs, name))
        for name, function in (("features", features), ("recognize", graphs.recognize()))
    )
    front_end = tflite_files(front_end_function(graphs), folder, "front_end", ["none"])
    files = {f"ours {form}": path for form, path in ours.items()}
    contestants = {}
    for name, path in files.items():
        runner = tflite_runner(path)
        contestants[name] = Contestant("litert", lambda runner=runner: runner(log_mel=log_mel_1TM)["log_probs"])
    if "onnxruntime" in libraries:
        for name, path in onnx_files(weights, folder, "features").items():
            files[name], session = path, onnx_session(path)
            contestants[name] = Contestant(
                "onnxruntime", lambda session=session: session.run(None, {"log_mel": log_mel_1TM})[0]
            )
    if "torch" in libraries:
        files["torch float32"] = folder / "features.pt"
        torch_file(weights, files["torch float32"])
        module = load_torch(files["torch float32"])
        modules = {"torch float32": module}
        try:
            modules["torch int8"] = torch_quantized(module)
        except (AttributeError, RuntimeError) as error:
            leave_out("torch int8", error)
        for name, form in modules.items():
            run = torch_runner(form)
            contestants[name] = Contestant("torch", lambda run=run: run(log_mel_1TM))
    for form, path in whole.items():
        runner = tflite_runner(path)
        contestants[f"ours {form}, from samples"] = Contestant(
            "litert", lambda runner=runner: runner(samples=samples_1N)["log_probs"]
        )
    expected = features(log_mel=tf.constant(log_mel_1TM))["log_probs"].numpy()
    exact = {"ours none", "onnxruntime float32", "torch float32", "ours none, from samples"}
    differences = compare_outputs(contestants, expected, exact=exact)
    runner = tflite_runner(front_end["none"])
    contestants["its front end alone"] = Contestant("litert", lambda: runner(samples=samples_1N)["log_mel"])
    timings = take_turns(contestants, rounds)
    print_timings(
        f"Whole recordings of {SECONDS:g} s, {FACTORS[factor]}, {config.model.num_layers} bidirectional layers of "
        f"{config.model.units}, from log-mel frames unless said",
        timings,
        reference="ours dynamic",
        seconds=SECONDS,
        differences=differences,
    )
    samples_name = "ours dynamic, from samples"
    samples_time = timings[samples_name].median if samples_name in timings else None
    front_end_time = timings["its front end alone"].median
    answer = {
        **times_as_fast("offline_vs_onnxruntime", timings, mine="ours dynamic", library="onnxruntime"),
        **times_as_fast("offline_vs_torch", timings, mine="ours dynamic", library="torch"),
        **times_as_fast("offline_float32_vs_onnxruntime", timings, mine="ours none", library="onnxruntime"),
        "rtf": samples_time and round(samples_time / SECONDS, 5),
        "front_end_share": samples_time and round(front_end_time / samples_time, 3),
        "differences": {name: float(f"{difference:.2g}") for name, difference in differences.items()},
    }
    if not lengths:
        return answer
    answer |= over_lengths(graphs, whole.get("dynamic"), files, lengths=lengths, rounds=rounds)
    stored = files | {f"ours {form}, from samples": path for form, path in whole.items()}
    answer["sizes_mib"] = {name: round(path.stat().st_size / 2**20, 2) for name, path in stored.items()}
    answer["memory_mib"] = memory(stored)
    return answer


def over_lengths(graphs, whole, files, *, lengths, rounds):
    """The table of time over length; returns the answer's keys."""
    if whole is None:
        return {}
    contestants = {}
    for length in lengths:
        runner, samples_1N = tflite_runner(whole), make_samples(length)[None]
        contestants["ours dynamic, from samples", length] = Contestant(
            "litert", lambda runner=runner, samples_1N=samples_1N: runner(samples=samples_1N)
        )
    if "onnxruntime float32" in files:
        session = onnx_session(files["onnxruntime float32"])
        for length in lengths:
            inputs = {"log_mel": graphs.front_end_stages(make_samples(length))["log_mel"][None]}
            contestants["onnxruntime float32, from frames", length] = Contestant(
                "onnxruntime", lambda inputs=inputs: session.run(None, inputs)
            )
    timings = take_turns(contestants, rounds)
    names = list(dict.fromkeys(name for name, _ in contestants))
    table = Table("seconds of sound", title="Time over length: ms, and ms / s of sound", title_justify="left")
    for name in names:
        table.add_column(name, justify="right")
        table.add_column("/ s", justify="right")
    for length in lengths:
        cells = [1e3 * timings[name, length].median for name in names]
        table.add_row(str(length), *(f"{value:.2f}" for cell in cells for value in (cell, cell / length)))
    medians = {name: [timings[name, length].median for length in lengths] for name in names}
    slopes = {name: float(np.polyfit(np.log(lengths), np.log(values), 1)[0]) for name, values in medians.items()}
    console.print(table)
    console.print("time grows as length to the power of " + ", ".join(f"{slopes[name]:.3f} ({name})" for name in names))
    mine = names[0]
    short, long = timings[mine, 4], timings[mine, 32]
    return {
        "linear": round(long.median / (8 * short.median), 3),
        "linear_by_processor": round(long.processor / (8 * short.processor), 3),
        "length_exponent": round(slopes[mine], 3),
    }


# -- streams -----------------------------------------------------------------------------------------------------------


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


# -- widths ------------------------------------------------------------------------------------------------------------

WIDTHS, WIDTHS_LAYERS, WIDTHS_MELS = (32, 64, 128, 256), 2, 40


def over_widths(folder, *, rounds):
    """The table of widths; returns the answer's `widths`."""
    table = Table("units", "", title="Over widths, a step a frame", title_justify="left")
    for column in (
        "ours float32, processor ms",
        "dynamic",
        "onnxruntime",
        "x float32",
        "x dynamic",
        "KiB",
        "dynamic KiB",
    ):
        table.add_column(column, justify="right")
    answer = {}
    for units in WIDTHS:
        size = {"num_layers": WIDTHS_LAYERS, "units": units}
        answer[units] = {}
        for name, contest in (
            ("whole", contest_of_whole),
            *((direction, contest_of_stream(direction)) for direction in STREAMS),
        ):
            own = folder / f"{units}-{name}"
            own.mkdir()
            timings, sizes, front_end = contest(size, own, rounds)
            ours = {form: timings[f"ours {form}"].processor for form in ("none", "dynamic")}
            theirs = min(timing.processor for peer, timing in timings.items() if peer.startswith("onnxruntime"))
            ratios = {form: round(theirs / seconds, 3) for form, seconds in ours.items()}
            answer[units][name] = {"float32": ratios["none"], "dynamic": ratios["dynamic"]}
            if front_end is not None:
                answer[units]["front_end_ms"] = round(1e3 * front_end, 3)
            table.add_row(
                str(units),
                name,
                *(f"{1e3 * seconds:.2f}" for seconds in (ours["none"], ours["dynamic"], theirs)),
                *(f"{ratios[form]:.2f}" for form in ("none", "dynamic")),
                *(f"{sizes[form] / 2**10:.0f}" for form in ("none", "dynamic")),
            )
    console.print(table)
    console.print(
        f"{SECONDS:g} s of sound, {WIDTHS_LAYERS} layers, {WIDTHS_MELS} mels. Whole recordings begin at frames, "
        "our streams at samples. Front end alone, ms: "
        + ", ".join(f"{found['front_end_ms']:.2f}" for found in answer.values())
    )
    return answer


def contest_of_whole(size, folder, rounds):
    """Whole recordings from frames: timings, sizes of our files by form, seconds of the front end alone."""
    import tensorflow as tf

    config = make_config(1, size=size)
    graphs = make_graphs(config)
    samples_1N = make_samples(SECONDS)[None]
    log_mel_1TM = graphs.front_end_stages(samples_1N[0])["log_mel"][None]
    features = graphs.features()
    files = tflite_files(features, folder, "features", ["none", "dynamic"])
    contestants = {}
    for form, path in files.items():
        runner = tflite_runner(path)
        contestants[f"ours {form}"] = Contestant(
            "litert", lambda runner=runner: runner(log_mel=log_mel_1TM)["log_probs"]
        )
    for name, path in onnx_files(weights_of(graphs, config), folder, "features").items():
        session = onnx_session(path)
        contestants[name] = Contestant(
            "onnxruntime", lambda session=session: session.run(None, {"log_mel": log_mel_1TM})[0]
        )
    expected = features(log_mel=tf.constant(log_mel_1TM))["log_probs"].numpy()
    compare_outputs(contestants, expected, exact={"ours none", "onnxruntime float32"})
    front_end = tflite_runner(tflite_files(front_end_function(graphs), folder, "front_end", ["none"])["none"])
    contestants["front end"] = Contestant("litert", lambda: front_end(samples=samples_1N)["log_mel"])
    timings = take_turns(contestants, rounds)
    sizes = {form: path.stat().st_size for form, path in files.items()}
    return timings, sizes, timings["front end"].processor


def contest_of_stream(direction):
    """The contest of one direction's streams; ours begin at samples, ONNX Runtime's at frames."""

    def contest(size, folder, rounds):
        config = make_config(1, direction, size)
        graphs = make_graphs(config)
        contestants, files, _ = stream_contestants(graphs, config, folder, forms=["none", "dynamic"], with_onnx=True)
        contestants = {name.removesuffix(", from samples"): one for name, one in contestants.items()}
        return take_turns(contestants, rounds), {form: path.stat().st_size for form, path in files.items()}, None

    return contest


# -- memory ------------------------------------------------------------------------------------------------------------


def memory(files):
    """The table of peak memory; returns MiB by contestant."""
    table = Table("", title=f"One process that runs on {SECONDS:g} s once", title_justify="left")
    for column in ("file MiB", "peak MiB", "of it before loading", "loading ms", "first run ms"):
        table.add_column(column, justify="right")
    peaks = {}
    for name, path in files.items():
        command = [sys.executable, __file__, "--memory-of", str(path)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = json.loads(answer.strip().splitlines()[-1])
        peaks[name] = round(found["peak"] / 2**20, 1)
        table.add_row(
            name,
            f"{path.stat().st_size / 2**20:.2f}",
            f"{found['peak'] / 2**20:.0f}",
            f"{found['before'] / 2**20:.0f}",
            f"{1e3 * found['load']:.0f}",
            f"{1e3 * found['run']:.0f}",
        )
    console.print(table)
    return peaks


def print_memory(path):
    """Loads a file's library and the file and runs it, in this process; prints one JSON object."""
    log_mel_1TM = np.random.default_rng(0).normal(size=[1, round(100 * SECONDS) + 1, N_MELS]).astype(np.float32)
    before, start = peak_bytes(), time.perf_counter()
    if path.suffix == ".tflite":
        runner = tflite_runner(path)
        (name,) = runner.get_input_details()
        given = {name: make_samples(SECONDS)[None] if name == "samples" else log_mel_1TM}
        run = lambda: runner(**given)  # noqa: E731
    elif path.suffix == ".onnx":
        session = onnx_session(path)
        run = lambda: session.run(None, {"log_mel": log_mel_1TM})  # noqa: E731
    else:
        runner = torch_runner(load_torch(path))
        run = lambda: runner(log_mel_1TM)  # noqa: E731
    loaded = time.perf_counter()
    run()
    done = time.perf_counter()
    print(json.dumps({"before": before, "peak": peak_bytes(), "load": loaded - start, "run": done - loaded}))


def installed(name):
    if name == "onnxruntime" and not importlib.util.find_spec("onnx"):
        leave_out(name, "onnx is not installed")
        return False
    if not importlib.util.find_spec(name):
        leave_out(name, "it is not installed")
        return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a step a frame, two lengths, 3 rounds")
    parser.add_argument("--repetitions", type=int, default=11, help="rounds; at least 7 for a figure to be quoted")
    parser.add_argument("--units", type=int, default=SIZE["units"], help="another width, to try the script itself")
    parser.add_argument("--widths", action="store_true", help="the small models of this project, from 32 to 256 units")
    parser.add_argument("--without", nargs="+", default=[], choices=LIBRARIES, help="as where it is not installed")
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        print_memory(arguments.memory_of)
        return

    rounds = 3 if arguments.quick else arguments.repetitions
    size = SIZE | {"units": arguments.units}
    libraries = [name for name in LIBRARIES if name not in arguments.without and installed(name)]
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    console.print(f"{os.cpu_count()} processors{load}, one thread each; medians of {rounds} rounds")
    if arguments.widths:
        if "onnxruntime" not in libraries:
            raise SystemExit("--widths compares with ONNX Runtime; install onnx and onnxruntime")
        global N_MELS
        N_MELS = WIDTHS_MELS
        with tempfile.TemporaryDirectory() as temporary:
            print(json.dumps({"widths": over_widths(Path(temporary), rounds=rounds)}))
        return
    answer, first_results = {}, {}
    with tempfile.TemporaryDirectory() as temporary:
        for factor, meaning in list(FACTORS.items())[: 1 if arguments.quick else None]:
            folder = Path(temporary) / str(factor)
            folder.mkdir()
            suffix = "" if factor == 1 else f"_factor_{factor}"
            lengths = () if suffix else (4, 32) if arguments.quick else LENGTHS
            common = {"libraries": libraries, "rounds": rounds, "size": size}
            found = offline(factor, folder, lengths=lengths, **common)
            for direction in STREAMS:
                streamed, first = streaming(direction, factor, folder, **common)
                found |= streamed
                if first is not None:
                    first_results[f"{direction}, {meaning}"] = first
            answer |= {f"{key}{suffix}": value for key, value in found.items()}
        print_first_results(first_results)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
