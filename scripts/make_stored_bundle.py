"""Stores a tiny bundle of today's format for later tests: python scripts/make_stored_bundle.py OUT [KEY=VALUE ...].

`python scripts/make_stored_bundle.py tests/data/bundles/v3` trains for seconds on tones, exports, and writes the bundle
and `expected.npz` beside its files: `samples` (half a second that spells "ab"), and the `log_probs` and `text` that the
default form gives for it. `tests/test_stored_bundles.py` holds every later version to them. Run it in a checkout of the
code that writes the format; once stored, a bundle is not made again. Further arguments are keys of the configuration.

A bundle records where it was made. This one must name no machine: the command and the host are given neutral values, in
`NOWHERE` below, before the export reads them.
"""

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import soundfile

from speechgru.config.load import load_config
from speechgru.export import export
from speechgru.runtime import Recognizer
from speechgru.train import train
from speechgru.utterances.manifest import Utterance, write_manifest

SAMPLE_RATE = 8000
TONES_HZ = {"a": 500.0, "b": 1500.0}
CONFIG = """
data: {{train: {train}, dev: {dev}, sample_rate: {sample_rate}}}
text: {{characters: ab}}
features: {{frame_length_ms: 16, hop_length_ms: 8, n_mels: 8}}
augment: {{noise_probability: 0, gain_db: 0, frequency_masks: 0, time_masks: 0}}
model: {{units: 8, num_layers: 1, subsampling_channels: 8, dropout: 0.0}}
train: {{batch_size: 8, max_steps: 600, warmup_steps: 5, evaluate_every_steps: 100, checkpoint_every_steps: 600,
        learning_rate: 2e-2}}
"""
#: What the bundle says of the machine that made it: (where the export looks, what it finds there).
NOWHERE = (
    (sys, "argv", ["speechgru", "export", "run", "--out", "bundle"]),
    (platform, "platform", lambda: "Linux"),
    (platform, "machine", lambda: "x86_64"),
    (os, "cpu_count", lambda: 1),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("out", type=Path, help="folder to write, such as tests/data/bundles/v3")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="configuration, such as model.units=4")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        run = make_run(Path(temporary), arguments.overrides)
        with contextlib.ExitStack() as nowhere:
            for where, name, value in NOWHERE:
                nowhere.enter_context(mock.patch.object(where, name, value))
            export(run, arguments.out)
        forbidden = [temporary, str(Path.home()), str(Path(__file__).parents[1])]
    recognizer = Recognizer(arguments.out)
    samples_N = spell("ab", np.random.default_rng(1))
    expected = {
        "samples": samples_N,
        "log_probs": recognizer.log_probs(samples_N),
        "text": np.array(recognizer.transcribe(samples_N, SAMPLE_RATE).text),
    }
    np.savez_compressed(arguments.out / "expected.npz", **expected)
    for path in filter(Path.is_file, sorted(arguments.out.rglob("*"))):
        content = path.read_bytes()
        found = [word for word in forbidden if word and word.encode() in content]
        if found:
            sys.exit(f"{path} names this machine: {', '.join(found)}")
        print(f"{path}: {len(content):,} bytes")
    print(f"recognised {str(expected['text'])!r}")


def make_run(folder: Path, overrides: list[str]) -> Path:
    """A run that distinguishes the two tones."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 60), ("dev", 12)):
        utterances = []
        for k in range(count):
            text = "".join(rng.choice(list(TONES_HZ), size=rng.integers(1, 5)))
            samples_N = spell(text, rng)
            path = folder / f"{split}{k}.wav"
            soundfile.write(path, samples_N, SAMPLE_RATE)
            utterances.append(Utterance(str(path), len(samples_N) / SAMPLE_RATE, text))
        write_manifest(folder / f"{split}.jsonl", utterances)
    manifests = {split: json.dumps(str(folder / f"{split}.jsonl")) for split in ("train", "dev")}
    (folder / "config.yaml").write_text(CONFIG.format(sample_rate=SAMPLE_RATE, **manifests))
    train(load_config(folder / "config.yaml", overrides), folder / "run")
    return folder / "run"


def spell(text: str, rng: np.random.Generator) -> np.ndarray:
    """`samples_N`: a tone a letter, between faint noise, as 16-bit audio holds them."""
    parts = [0.003 * rng.normal(size=int(SAMPLE_RATE * 0.08))]
    for letter in text:
        time_N = np.arange(int(SAMPLE_RATE * rng.uniform(0.12, 0.2))) / SAMPLE_RATE
        parts.append(0.3 * np.sin(2 * np.pi * TONES_HZ[letter] * time_N))
        parts.append(0.003 * rng.normal(size=int(SAMPLE_RATE * 0.06)))
    return (np.round(np.concatenate(parts) * 2**15) / 2**15).astype(np.float32)


if __name__ == "__main__":
    main()
