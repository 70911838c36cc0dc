"""The recogniser on a device: a bundle, NumPy and LiteRT. Nothing here loads TensorFlow.

    from speechgru.runtime import Recognizer
    recognizer = Recognizer("bundle")
    print(recognizer.transcribe(samples_N, sample_rate).text)

While somebody speaks, with a model whose direction is forward or chunked:

    stream = recognizer.stream(sample_rate)
    for samples_N in microphone:
        print(stream.feed(samples_N).text)
    print(stream.finish().text)

With hotwords, in both:

    from speechgru.decoding import DecodingOptions
    options = DecodingOptions(beam_width=16, hotwords={"kitchen": 4.0})
    print(recognizer.transcribe(samples_N, sample_rate, options).text)
"""

from speechgru.runtime.bundle import BUNDLE_VERSION, METADATA_ENTRY, is_bundle, model_file, read_bundle
from speechgru.runtime.engine import RECOGNIZE, STREAM
from speechgru.runtime.recognizer import Recognizer
from speechgru.runtime.stream import Stream, StreamResult
from speechgru.runtime.windows import Windows

__all__ = [
    "BUNDLE_VERSION",
    "METADATA_ENTRY",
    "RECOGNIZE",
    "STREAM",
    "Recognizer",
    "Stream",
    "StreamResult",
    "Windows",
    "is_bundle",
    "model_file",
    "read_bundle",
]
