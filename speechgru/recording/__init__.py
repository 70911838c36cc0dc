"""A person's own voice: which sentences to read, how to record them, whether a recording is good enough.

A grammar of two sentences, and a microphone that is an array:

>>> import numpy as np
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

from speechgru.recording.dictation import dictate
from speechgru.recording.microphone import LiveMicrophone, Microphone, SoundDeviceMicrophone, list_microphones
from speechgru.recording.run import Sitting, record

__all__ = [
    "LiveMicrophone",
    "Microphone",
    "Sitting",
    "SoundDeviceMicrophone",
    "dictate",
    "list_microphones",
    "record",
]
