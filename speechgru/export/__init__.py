"""From a run to a bundle: one folder, or one file of it, that computes what the trained model computes.

`bundle` is the verb; `graphs` traces what is exported, `convert` makes TFLite files of it (`float16`, `int8`,
`flatbuffer`), `saved_model` writes for servers, `parity` compares every form with the trained model, `golden` and
`card` write what travels along, `page` shows it.

>>> from speechgru.config import RunConfig
>>> from speechgru.model import build_model
>>> config = RunConfig.model_validate({"data": {"sample_rate": 8000}, "model": {"units": 8, "num_layers": 1}})
>>> graphs = Graphs(build_model(config, 30, implementation="portable"))
>>> content = to_tflite({"recognize": graphs.recognize()}, form="none")
>>> content[4:8]
b'TFL3'
"""

from speechgru.export.bundle import FORMATS, export
from speechgru.export.convert import QUANTIZATIONS, to_tflite
from speechgru.export.graphs import Graphs
from speechgru.export.saved_model import SavedModelPredictor

__all__ = ["FORMATS", "QUANTIZATIONS", "Graphs", "SavedModelPredictor", "export", "to_tflite"]
