"""Training: from a configuration and manifests to a run folder, or on from the state that the folder holds.

From two recordings to a text, through every verb that needs a trained run. It trains two steps, so the text is poor:

>>> import numpy as np, soundfile
>>> from speechgru.config import RunConfig
>>> from speechgru.utterances import Utterance, read_manifest, write_manifest
>>> for name, seconds in (("yes", 1.0), ("no", 0.5)):
...     soundfile.write(f"{name}.wav", 0.1 * np.random.default_rng(0).standard_normal(round(8000 * seconds)), 8000)
>>> manifest = write_manifest("train.jsonl", [Utterance("yes.wav", 1.0, "yes"), Utterance("no.wav", 0.5, "no")])
>>> config = RunConfig.model_validate(
...     {
...         "data": {"train": ["train.jsonl"], "dev": "train.jsonl", "sample_rate": 8000},
...         "features": {"n_mels": 8},
...         "model": {"num_layers": 1, "units": 4, "subsampling_channels": 4, "direction": "forward"},
...         "train": {"batch_size": 2, "max_steps": 2, "warmup_steps": 1, "evaluate_every_steps": 2},
...     }
... )
>>> result = train(config, "run")
>>> isinstance(result, TrainingResult), result.steps, result.ended, result.num_train
(True, 2, 'max_steps', 2)
>>> learning_rate_at(0, settings=config.train, num_steps=2) == config.train.learning_rate
True
>>> make_optimizer(config.train).get_config()["weight_decay"] == config.train.weight_decay
True

>>> from speechgru.scoring import evaluate, load_run
>>> evaluate("run", "train.jsonl")["words"]
2
>>> loaded, vocabulary, model = load_run("run")
>>> model.name, len(vocabulary)
('speechgru', 6)

>>> from speechgru.export import export
>>> bundle = export("run", "bundle", quantize=["none"], max_wer_change=1.0)
>>> from speechgru.runtime import Recognizer, is_bundle, read_bundle
>>> is_bundle("bundle"), read_bundle("bundle")["sample_rate"]
(True, 8000)
>>> from speechgru.runtime.tflite import describe
>>> sorted(signature.name for signature in describe("bundle/model.tflite").signatures)
['recognize', 'stream']
>>> recognizer = Recognizer("bundle")
>>> samples_N, rate = soundfile.read("yes.wav", dtype="float32")
>>> whole = recognizer.transcribe(samples_N, rate)
>>> stream = recognizer.stream(rate)
>>> partial = stream.feed(samples_N[:4000])
>>> partial = stream.feed(samples_N[4000:])
>>> stream.finish().text == whole.text
True
"""

from speechgru.keras_backend import require_tensorflow

require_tensorflow()

from speechgru.train.feature_statistics import corpus_statistics
from speechgru.train.optimizers import learning_rate_at, make_optimizer
from speechgru.train.run import TrainingResult, train

__all__ = ["TrainingResult", "corpus_statistics", "learning_rate_at", "make_optimizer", "train"]
