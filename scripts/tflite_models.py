"""The recogniser of `bench_tflite.py` with random weights, and its exported files under LiteRT."""

import numpy as np
from bench_features import make_samples
from contests import leave_out

SIZE = {"num_layers": 3, "units": 256}
N_MELS, CLASSES, CALIBRATION_SOUNDS = 80, 30, 8
SECONDS = 4.0  # of sound, where nothing else is said
FACTORS = {1: "a step a frame", 2: "a step for 2 frames"}
STREAMS = {"forward": {}, "chunked": {"chunk_frames": 32, "lookahead_frames": 16}}


def make_config(factor, direction="bidirectional", size=SIZE, *, n_mels=N_MELS):
    from speechgru.config.sections import RunConfig

    model = {**size, "subsampling_factor": factor, "direction": direction, **STREAMS.get(direction, {})}
    return RunConfig.model_validate({"features": {"n_mels": n_mels}, "model": model})


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
