"""A device that has LiteRT and NumPy alone: what runs there, and what asks for more."""

import subprocess
import sys
from pathlib import Path

STORED = Path(__file__).parent / "data" / "bundles" / "v3"

#: Of the dependencies, all that a recogniser of arrays does without.
ABSENT = ("pydantic", "pydantic_core", "typer", "rich", "yaml", "rapidfuzz", "soundfile", "soxr", "cffi", "hassil")

_DEVICE = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
import numpy as np
from speechgru.decoding import DecodingOptions
from speechgru.grammar import Block, Grammar, Intent
from speechgru.grammar.nodes import Choice, Text
from speechgru.runtime import Recognizer

recognizer = Recognizer(sys.argv[1])
samples_N = np.load(sys.argv[2])["samples"]
nodes = Text("a"), Text("b"), Text("ab"), Choice((0, 1, 2))
grammar = Grammar("en", nodes, (Intent("Play", (Block((3,), {{}}, 1.0),)),))
options = DecodingOptions(beam_width=4, hotwords={{"ab": 2.0}})
stream = recognizer.stream()
stream.feed(samples_N)
found = recognizer.transcribe(samples_N, recognizer.sample_rate, grammar=grammar)
print(recognizer.transcribe(samples_N, recognizer.sample_rate).text, stream.finish().text, found.text, found.intent)
print(recognizer.transcribe(samples_N, recognizer.sample_rate, options).text)
"""


def test_a_recogniser_needs_litert_and_numpy_alone():
    command = [sys.executable, "-c", _DEVICE, str(STORED), str(STORED / "expected.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["ab ab ab Play", "ab"]
