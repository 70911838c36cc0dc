"""The GRU of this project: one set of equations, four ways to run them, and converters from and to other libraries.

    from speechgru.gru import BiGRU
    outputs_BTD = BiGRU(256)(inputs_BTF, lengths=lengths_B)

They train in any model of Keras. A `.keras` file that holds them is read by a process that has imported them, which
Keras does not do by itself: `import speechgru.gru` before `keras.saving.load_model`.

Modules: `cell` (equations, weights), `layer` (GRU and BiGRU), `chunked` (a BiGRU that streams), `sequence` (what these
layers share), `implementations` (the choice among them): `fused` (CPU training; `fused_block`, its steps; `fused_loop`,
its loop), `cudnn` (NVIDIA GPU), `portable` (TFLite); `convert` (Keras, PyTorch, ONNX weights).
"""

from speechgru.keras_backend import require_tensorflow

require_tensorflow()

from speechgru.gru import convert
from speechgru.gru.cell import GRUCell
from speechgru.gru.chunked import ChunkedBiGRU, to_windows, window_lengths
from speechgru.gru.layer import GRU, BiGRU

__all__ = ["GRU", "BiGRU", "ChunkedBiGRU", "GRUCell", "convert", "to_windows", "window_lengths"]
