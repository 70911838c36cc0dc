"""From a run to a bundle: one folder, or one file of it, that hears what training heard.

`verb` tells the story; `graphs` traces what is exported, `forms` converts it to TFLite and `joining` makes one file of
several functions, `saved_model` writes for servers, `parity` compares every form with the trained model, `golden` and
`card` write what travels along.
"""

from speechgru.export.bundle import FORMATS, export
from speechgru.export.convert import QUANTIZATIONS, to_tflite
from speechgru.export.graphs import Graphs, stream_geometry, stream_record

__all__ = ["FORMATS", "QUANTIZATIONS", "Graphs", "export", "stream_geometry", "stream_record", "to_tflite"]
