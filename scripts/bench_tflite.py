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
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # also runs without an installation

import numpy as np
from bench_features import make_samples
from bench_gru import peak_bytes
from contests import Contestant, compare_outputs, console, leave_out, print_timings, take_turns, times_as_fast
from peers_tflite import load_torch, onnx_files, onnx_session, torch_file, torch_quantized, torch_runner, weights_of
from rich.table import Table
from tflite_models import (
    FACTORS,
    N_MELS,
    SECONDS,
    SIZE,
    STREAMS,
    calibration_inputs,
    front_end_function,
    make_config,
    make_graphs,
    tflite_files,
    tflite_runner,
)
from tflite_streams import print_first_results, streaming
from tflite_widths import over_widths

LIBRARIES = ("onnxruntime", "torch")
LENGTHS = (1, 2, 4, 8, 16, 32)


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
