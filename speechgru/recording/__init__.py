"""A person's own voice: which sentences to read, how to record them, whether a recording is good enough.

A grammar of two sentences, and a microphone that is an array:

>>> import numpy as np
>>> from speechgru.recording import Microphone, Sitting, record
>>> from types import SimpleNamespace as Sentence
>>> class Lights:
...     def draw(self, rng): return Sentence(text=str(rng.choice(["lights on", "lights off"])))
...     def words(self): return ("lights", "off", "on")
...     def as_record(self): return {"lights": ["on", "off"]}
...     def parse(self, text): return Sentence(intent="Light", slots={"state": text.split()[1]})
>>> class Tone:
...     sample_rate = 16000
...     def start(self): pass
...     def stop(self): return (0.3 * np.sin(np.arange(24000) / 5) * np.hanning(24000)).astype(np.float32)
>>> isinstance(Tone(), Microphone)
True
>>> answers = iter(["", "", "s"])
>>> sitting = record(Lights(), "me", num_prompts=2, microphone=Tone, ask=lambda question: next(answers))
>>> isinstance(sitting, Sitting), sitting.missing, sitting.words_left, sitting.seconds
(True, (2,), ('off',), 1.5)
"""

from __future__ import annotations

from speechgru.lazy import lazy_names

# `doctor` lists microphones, and needs none of what judges a recording.
_LAZY = {
    "LiveMicrophone": "speechgru.recording.microphone",
    "Microphone": "speechgru.recording.microphone",
    "Sitting": "speechgru.recording.run",
    "SoundDeviceMicrophone": "speechgru.recording.microphone",
    "dictate": "speechgru.recording.dictation",
    "list_microphones": "speechgru.recording.microphone",
    "record": "speechgru.recording.run",
}

__all__ = list(_LAZY)

__getattr__ = lazy_names(__name__, _LAZY)
