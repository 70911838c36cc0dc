"""The widths of `bench_tflite.py --widths`: the models that this project trains, beside ONNX Runtime."""

from bench_features import make_samples
from contests import Contestant, compare_outputs, console, take_turns
from peers_tflite import onnx_files, onnx_session, weights_of
from rich.table import Table
from tflite_models import SECONDS, STREAMS, front_end_function, make_config, make_graphs, tflite_files, tflite_runner
from tflite_streams import stream_contestants

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

    config = make_config(1, size=size, n_mels=WIDTHS_MELS)
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
        config = make_config(1, direction, size, n_mels=WIDTHS_MELS)
        graphs = make_graphs(config)
        contestants, files, _ = stream_contestants(graphs, config, folder, forms=["none", "dynamic"], with_onnx=True)
        contestants = {name.removesuffix(", from samples"): one for name, one in contestants.items()}
        return take_turns(contestants, rounds), {form: path.stat().st_size for form, path in files.items()}, None

    return contest
