"""What is in a .tflite file, read without an interpreter; a damaged one ends in one sentence.

Its operators, and what a recogniser must know:

    from speechgru.runtime.tflite import describe, read_metadata
    print(describe("bundle/model.tflite").operators)
    read_metadata("bundle/model.tflite")["speechgru"]
"""

from speechgru.runtime.tflite.facts import (
    ConstantFacts,
    SignatureFacts,
    TensorFacts,
    TFLiteFacts,
    describe,
    foreign_operators,
)
from speechgru.runtime.tflite.metadata import CHECKSUM_ENTRY, read_metadata, require_intact

__all__ = [
    "CHECKSUM_ENTRY",
    "ConstantFacts",
    "SignatureFacts",
    "TFLiteFacts",
    "TensorFacts",
    "describe",
    "foreign_operators",
    "read_metadata",
    "require_intact",
]
