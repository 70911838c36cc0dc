"""What is in a .tflite file: facts, metadata, and what damage ends in."""

import contextlib
import json
from collections import Counter

import numpy as np
import pytest

from speechgru.errors import BundleError
from speechgru.export.flatbuffer import with_metadata
from speechgru.runtime.tflite import ConstantFacts, TensorFacts, describe, foreign_operators, read_metadata

#: What the damaged files below may be asked to do.
FIX = "; copy the folder whole, or export the bundle again"


@pytest.fixture(scope="module")
def models():
    """Models as the converter makes them: two signatures, 8 bits, buffers behind the tables, TensorFlow's operators."""
    import tensorflow as tf

    class Two(tf.Module):
        def __init__(self):
            rng = np.random.default_rng(0)
            self.kernel_XY = tf.Variable(rng.normal(size=[64, 48]).astype(np.float32))
            self.bias_Y = tf.Variable(rng.normal(size=[48]).astype(np.float32))

        @tf.function(input_signature=[tf.TensorSpec([1, None, 64], tf.float32, name="frames")])
        def whole(self, frames):
            return {"scores": tf.nn.log_softmax(frames @ self.kernel_XY + self.bias_Y)}

        @tf.function(
            input_signature=[
                tf.TensorSpec([1, 64], tf.float32, name="frame"),
                tf.TensorSpec([1, 48], tf.float32, name="state"),
            ]
        )
        def step(self, frame, state):
            state = tf.tanh(frame @ self.kernel_XY + self.bias_Y + state)
            return {"state": state, "mean": tf.reduce_mean(state, axis=1)}

        @tf.function(input_signature=[tf.TensorSpec([2, 2], tf.float32, name="x")])
        def foreign(self, x):
            return {"y": tf.linalg.det(x) + tf.linalg.inv(x)}

    module = Two()
    functions = {name: getattr(module, name).get_concrete_function() for name in ("whole", "step", "foreign")}

    def convert(*names, **options):
        converter = tf.lite.TFLiteConverter.from_concrete_functions([functions[name] for name in names], module)
        if options.pop("flex", False):
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
        for name, value in options.items():
            setattr(converter, name, value)
        return converter.convert()

    return {
        "shared": convert("whole", "step"),
        "quantized": convert("whole", "step", optimizations=[tf.lite.Optimize.DEFAULT]),
        "behind": convert("whole", "step", _experimental_use_buffer_offset=True),
        "flex": convert("foreign", flex=True),
    }


def run(content, signature, **inputs):
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_content=content).get_signature_runner(signature)(**inputs)


def unpacked(content):
    """The file by the schema's generated code: another reader than ours."""
    from ai_edge_litert import schema_py_generated

    return schema_py_generated.ModelT.InitFromPackedBuf(content, 0)


# Facts


@pytest.mark.parametrize("name", ["shared", "quantized", "flex"])
def test_facts_are_those_that_the_generated_reader_finds(models, name):
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    facts, model = describe(models[name]), unpacked(models[name])
    names = {value: key for key, value in vars(BuiltinOperator).items() if isinstance(value, int)}
    codes = [
        f"custom:{code.customCode.decode()}" if code.builtinCode == BuiltinOperator.CUSTOM else names[code.builtinCode]
        for code in model.operatorCodes
    ]
    counts = Counter(codes[operator.opcodeIndex] for graph in model.subgraphs for operator in graph.operators)
    assert facts.operators == counts and list(facts.operators.values()) == sorted(counts.values(), reverse=True)
    assert facts.num_operators == sum(counts.values())
    assert facts.subgraphs == tuple(graph.name.decode() for graph in model.subgraphs)
    assert facts.num_tensors == sum(len(graph.tensors) for graph in model.subgraphs)
    sizes = [0 if buffer.data is None else len(buffer.data) for buffer in model.buffers]
    assert facts.buffer_bytes == sum(sizes)
    used = [tensor.buffer for graph in model.subgraphs for tensor in graph.tensors if sizes[tensor.buffer]]
    assert facts.shared_bytes == sum(sizes[k] for k in used) - sum(sizes[k] for k in set(used))
    assert sum(constant.count for constant in facts.constants.values()) == len(set(used))
    assert facts.size_bytes == len(models[name]) and facts.schema_version == model.version == 3


def test_two_signatures_share_their_weights(models):
    facts = describe(models["shared"])
    assert {signature.name: signature for signature in facts.signatures}.keys() == {"whole", "step"}
    whole, step = sorted(facts.signatures, key=lambda signature: signature.name, reverse=True)
    assert whole.inputs == (TensorFacts("frames", (1, -1, 64), "float32"),)
    assert whole.outputs == (TensorFacts("scores", (1, -1, 48), "float32"),)
    assert sorted(step.inputs, key=lambda tensor: tensor.name) == [
        TensorFacts("frame", (1, 64), "float32"),
        TensorFacts("state", (1, 48), "float32"),
    ]
    assert {tensor.name: tensor.shape for tensor in step.outputs} == {"state": (1, 48), "mean": (1,)}
    assert facts.num_weights == 64 * 48 + 48, "the kernel and the bias once, no shape or axis"
    assert facts.shared_bytes >= 4 * 64 * 48
    assert facts.duplicate_bytes == 0


def test_weights_of_eight_bits_are_weights(models):
    facts = describe(models["quantized"])
    assert facts.constants["int8"] == ConstantFacts(1, 64 * 48)
    assert facts.num_weights == 64 * 48 + 48
    assert facts.size_bytes < describe(models["shared"]).size_bytes / 2


def test_buffers_behind_the_flatbuffer_are_read_too(models):
    facts, plain = describe(models["behind"]), describe(models["shared"])
    assert (facts.num_weights, facts.operators, facts.constants) == (
        plain.num_weights,
        plain.operators,
        plain.constants,
    )


def test_a_file_without_signatures_has_a_nameless_one():
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.int32, name="x")])
    def double(x):
        return 2 * x

    content = tf.lite.TFLiteConverter.from_concrete_functions([double.get_concrete_function()]).convert()
    model = unpacked(content)
    facts = describe(content)
    if not model.signatureDefs:
        assert [signature.name for signature in facts.signatures] == [None]
    (signature,) = facts.signatures
    assert [tensor.shape for tensor in (*signature.inputs, *signature.outputs)] == [(-1, 3), (-1, 3)]
    assert signature.inputs[0].dtype == "int32"


def test_buffers_of_equal_bytes_are_reported(models):
    """A model that the schema's generated code takes apart, one signature given a copy of the kernel, and packs."""
    import flatbuffers

    model = unpacked(models["shared"])
    kernel = next(t.buffer for t in model.subgraphs[0].tensors if list(t.shape) == [48, 64])
    (shared,) = (t for t in model.subgraphs[1].tensors if t.buffer == kernel)
    shared.buffer = len(model.buffers)
    model.buffers.append(model.buffers[kernel])
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    facts, before = describe(bytes(builder.Output())), describe(models["shared"])
    assert (facts.duplicate_bytes, before.duplicate_bytes) == (4 * 64 * 48, 0)
    assert facts.shared_bytes == before.shared_bytes - 4 * 64 * 48
    assert facts.num_weights == before.num_weights + 64 * 48


def test_operators_that_litert_lacks_are_named(models):
    assert foreign_operators(models["flex"]) == ["custom:FlexMatrixDeterminant", "custom:FlexMatrixInverse"]
    assert foreign_operators(models["shared"]) == foreign_operators(models["quantized"]) == []


def test_a_record_is_json(models):
    record = describe(models["shared"]).as_record()
    assert json.loads(json.dumps(record)) == record
    assert record["signatures"][0]["inputs"][0]["shape"]
    assert record["num_operators"] == sum(record["operators"].values())


# Metadata


def test_metadata_of_the_converter_is_read(models):
    entries = read_metadata(models["shared"])
    assert entries.keys() >= {"min_runtime_version", "CONVERSION_METADATA"}
    assert entries["min_runtime_version"].rstrip(b"\x00").count(b".") == 2
    assert describe(models["shared"]).metadata == {name: len(value) for name, value in entries.items()}


@pytest.mark.parametrize("name", ["shared", "quantized"])
def test_a_model_with_metadata_computes_the_same_bytes(models, name):
    value = json.dumps({"text": "né " * 500}).encode()
    content = with_metadata(models[name], {"speechgru": value, "empty": b"", "ünique": b"\x00\x01"})
    frames = np.random.default_rng(1).normal(size=[1, 7, 64]).astype(np.float32)
    np.testing.assert_array_equal(
        run(content, "whole", frames=frames)["scores"], run(models[name], "whole", frames=frames)["scores"]
    )
    old = read_metadata(models[name])
    assert read_metadata(content) == {**old, "speechgru": value, "empty": b"", "ünique": b"\x00\x01"}
    facts, before = describe(content), describe(models[name])
    for field in ("operators", "signatures", "constants", "num_weights", "shared_bytes", "subgraphs"):
        assert getattr(facts, field) == getattr(before, field)


def test_the_generated_reader_finds_what_was_added(models):
    content = with_metadata(models["shared"], {"speechgru": b"abc"})
    model, before = unpacked(content), unpacked(models["shared"])
    entries = {entry.name.decode(): bytes(model.buffers[entry.buffer].data) for entry in model.metadata}
    assert entries["speechgru"] == b"abc"
    assert len(model.buffers) == len(before.buffers) + 1
    assert [signature.signatureKey for signature in model.signatureDefs] == [
        signature.signatureKey for signature in before.signatureDefs
    ]
    assert model.description == before.description


@pytest.mark.parametrize("name", ["shared", "quantized", "flex"])
def test_constants_are_aligned_as_the_schema_demands(models, name):
    from speechgru.runtime.tflite.layout import buffer_spans, root_of

    content = with_metadata(models[name], {"a": b"x", "longer name": b"y" * 1001})
    assert all(start % 16 == 0 for start, size in buffer_spans(content, root_of(content)) if size)


def test_replaced_entries_are_gone(models):
    once = with_metadata(models["shared"], {"speechgru": b"1" * 1000, "other": b"kept"})
    again = with_metadata(once, {"speechgru": b"2" * 5})
    assert read_metadata(again) == {**read_metadata(once), "speechgru": b"2" * 5}
    assert b"1" * 1000 not in again


# Damage


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x20\x00", r"is cut short \(2 bytes\)"),
        (b"PK\x03\x04 and so on, as archives begin", "not a TFLite file"),
        (b"\xff\xff\xff\xffTFL3" + bytes(50), r"is damaged or cut short \(an offset points outside the file\)"),
        (b"\x08\x00\x00\x00TFL3" + bytes(50), r"is damaged \(a table has no layout\)"),
        (None, "is missing"),
        ("folder", "cannot be read"),
    ],
)
def test_what_is_no_model_is_named_with_the_fix(tmp_path, content, message):
    path = tmp_path / "model.tflite"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    for reader in (describe, read_metadata, foreign_operators):
        with pytest.raises(BundleError, match=message) as caught:
            reader(path)
        assert str(caught.value).startswith(f"{path}: ") and str(caught.value).endswith(FIX)
        assert "\n" not in str(caught.value)


def test_a_model_cut_short_anywhere_is_refused(models):
    for name, content in models.items():
        for size in np.random.default_rng(0).integers(0, len(content) - 64, size=60):
            for reader in (describe, foreign_operators):
                with pytest.raises(BundleError, match="the TFLite model: ") as caught:
                    reader(content[:size])
                assert str(caught.value).endswith(FIX), name
            with contextlib.suppress(BundleError):  # it reads less, which may be whole
                assert read_metadata(content[:size]) == read_metadata(content)


@pytest.mark.parametrize("name", ["shared", "quantized", "behind", "flex"])
@pytest.mark.parametrize("with_entries", [False, True], ids=["as converted", "with metadata"])
def test_flipped_bytes_end_in_facts_or_one_sentence(models, name, with_entries):
    content = models[name]
    if with_entries and name != "behind":  # the schema's code moves no buffers behind the tables
        content = with_metadata(content, {"speechgru": b"{}"})
    rng = np.random.default_rng(len(name) + with_entries)
    messages = set()
    for _ in range(400):
        damaged = bytearray(content)
        # Half of the flips hit the tables in front, where a byte matters.
        end = len(content) if rng.random() < 0.5 else min(len(content), 1500)
        for position in rng.integers(0, end, size=rng.integers(1, 5)):
            damaged[position] ^= int(rng.integers(1, 256))
        for reader in (describe, read_metadata):
            try:
                found = reader(bytes(damaged))
            except BundleError as error:
                messages.add(str(error))
            else:
                json.dumps(found.as_record() if reader is describe else len(found), allow_nan=False)
    assert len(messages) > 3, "the flips reach what is read"
    assert all(message.startswith("the TFLite model: ") and "\n" not in message for message in messages)


def test_noise_behind_a_models_beginning_ends_in_one_sentence():
    rng = np.random.default_rng(0)
    for _ in range(500):
        noise = bytearray(rng.integers(0, 256, size=rng.integers(8, 3000), dtype=np.uint8).tobytes())
        noise[:8] = int(rng.integers(8, 64)).to_bytes(4, "little") + b"TFL3"
        with pytest.raises(BundleError):
            describe(bytes(noise))


def test_a_constant_of_another_size_than_its_shape_is_named(models):
    """The list of the kernel's sizes is changed; LiteRT, too, would refuse it."""
    content = models["quantized"]
    sizes = np.array([2, 48, 64], "<i4").tobytes()  # a vector: its count, then its items
    assert content.count(sizes) >= 1
    damaged = content.replace(sizes, np.array([2, 48, 65], "<i4").tobytes())
    with pytest.raises(BundleError, match=r"the constant '.*' of shape \[48, 65\] and type \w+ has \d+ bytes"):
        describe(damaged)


def test_importing_it_loads_no_schema():
    import subprocess
    import sys

    code = (
        "import sys, speechgru.runtime.tflite; print([m for m in sys.modules if 'litert' in m or 'flatbuffers' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
