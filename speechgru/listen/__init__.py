"""Recordings as training augments them, to play and to look at.

>>> import numpy as np, soundfile
>>> from speechgru.config import RunConfig
>>> from speechgru.utterances import Utterance, write_manifest
>>> soundfile.write("a.wav", 0.1 * np.random.default_rng(0).standard_normal(8000), 8000)
>>> manifest = write_manifest("train.jsonl", [Utterance("a.wav", 1.0, "yes")])
>>> config = RunConfig.model_validate({"data": {"sample_rate": 8000}})
>>> page = listen(manifest, config=config, out="listen", count=1, copies=1)
>>> sorted(path.name for path in (page.parent / "audio").iterdir())
['01_copy1.wav', '01_original.wav']
"""

from speechgru.listen.listening import listen

__all__ = ["listen"]
