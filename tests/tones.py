"""A corpus of tones, which a tiny model learns in seconds: what the tests of training train on."""

import json

import numpy as np

from speechgru.config.load import load_config
from speechgru.runs import RunFolder, load_checkpoint
from speechgru.utterances.manifest import Utterance, write_manifest

SAMPLE_RATE = 8000
#: What of a history is a matter of the machine's mood.
TIMES = ("seconds", "wait_share", "steps_per_second", "audio_hours_per_hour", "memory_mb")
#: Two "words" that anybody can tell apart: a low and a high tone.
TONES = {"a": 500.0, "b": 1500.0}


def write_tones(folder, name, text, rng, sample_rate=SAMPLE_RATE):
    import soundfile

    parts = [0.003 * rng.normal(size=int(sample_rate * 0.1))]
    for letter in text:
        count = int(sample_rate * rng.uniform(0.12, 0.2))
        parts.append(0.3 * np.sin(2 * np.pi * TONES[letter] * np.arange(count) / sample_rate))
        parts.append(0.003 * rng.normal(size=int(sample_rate * 0.06)))
    samples_N = np.concatenate(parts)
    path = folder / name
    soundfile.write(path, samples_N, sample_rate)
    return Utterance(str(path), len(samples_N) / sample_rate, text, speaker=f"s{rng.integers(3)}")


def write_corpus(folder):
    """60 training and 12 dev utterances of tones."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 60), ("dev", 12)):
        texts = ["".join(rng.choice(["a", "b"], size=rng.integers(1, 5))) for _ in range(count)]
        utterances = [write_tones(folder, f"{split}{k}.wav", text, rng) for k, text in enumerate(texts)]
        write_manifest(folder / f"{split}.jsonl", utterances)
    return folder


def write_config(corpus, file, *, train="train.jsonl"):
    """A configuration file that a tiny model learns the tones by, in twelve steps or more."""
    file.write_text(
        f"data: {{train: {json.dumps(str(corpus / train))}, dev: {json.dumps(str(corpus / 'dev.jsonl'))}, "
        "sample_rate: 8000}\n"
        "text: {characters: ab}\n"
        "features: {n_mels: 20}\n"
        "augment: {frequency_masks: 0, time_masks: 0, gain_db: 3.0}\n"
        "model: {units: 16, num_layers: 1, subsampling_channels: 16, dropout: 0.2}\n"
        "train: {batch_size: 8, max_steps: 12, warmup_steps: 2, evaluate_every_steps: 6, "
        "checkpoint_every_steps: 4, learning_rate: 1e-2, show_examples: 0}\n"
    )
    return file


def make_config(corpus, file, *overrides, train="train.jsonl"):
    return load_config(write_config(corpus, file, train=train), overrides)


def weights_of(run):
    """Arrays and state of a run's newest checkpoint."""
    return load_checkpoint(RunFolder(run).list_checkpoints()[0])


def history_of(run):
    """What a run did, without the machine's mood and without where its sessions began and ended."""
    return [
        {key: value for key, value in record.items() if key not in TIMES}
        for record in RunFolder(run).read_history()
        if record["kind"] not in ("session", "end")
    ]


def assert_same_weights(one, other):
    """The newest checkpoints of two runs hold the same bits."""
    (arrays, state), (others, other_state) = weights_of(one), weights_of(other)
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, others[name], err_msg=name)
    assert state["best_wer"] == other_state["best_wer"]


class Killed(Exception):
    """Stands for the process's sudden end."""


def kill_at(step):
    def progress(stage, done, total, note=""):
        if stage == "training" and done == step:
            raise Killed

    return progress
