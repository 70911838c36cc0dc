"""The recogniser on a device: a bundle, NumPy and LiteRT. Nothing here loads TensorFlow.

    from speechgru.runtime import Recognizer
    recognizer = Recognizer("bundle")
    print(recognizer.transcribe(samples_N, sample_rate).text)

While somebody speaks, with a model whose direction is forward or chunked:

    stream = recognizer.stream(sample_rate)
    for samples_N in microphone:
        print(stream.feed(samples_N).text)
    print(stream.finish().text)

Always listening for the keywords that it was trained for (pipelines/keywords.py):

stream = recognizer.keyword_stream(sample_rate)
for samples_N in microphone:
    for found in stream.feed(samples_N):
        print(found.keyword, found.seconds, found.score)

With hotwords, in both kinds of transcribing:

    from speechgru.decoding import DecodingOptions
    options = DecodingOptions(beam_width=16, hotwords={"kitchen": 4.0})
    print(recognizer.transcribe(samples_N, sample_rate, options).text)
"""

from speechgru.runtime.bundle import BUNDLE_VERSION, METADATA_ENTRY, is_bundle, model_file, read_bundle
from speechgru.runtime.engine import RECOGNIZE, STREAM
from speechgru.runtime.keywords import KeywordStream
from speechgru.runtime.recognizer import Recognizer
from speechgru.runtime.stream import Stream, StreamResult
from speechgru.runtime.windows import Windows

__all__ = [
    "BUNDLE_VERSION",
    "METADATA_ENTRY",
    "RECOGNIZE",
    "STREAM",
    "KeywordStream",
    "Recognizer",
    "Stream",
    "StreamResult",
    "Windows",
    "is_bundle",
    "model_file",
    "read_bundle",
]
