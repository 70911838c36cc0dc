"""A GRU language model on a device: the probability of the next label of a text, in NumPy alone.

`speechgru language train-gru` trains one on this project's cell (`train.language`) and writes it as one file of some
hundred kB. It knows the labels of one recogniser, so that a beam can ask it label by label
(`decoding.GRULanguageScorer`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from speechgru.errors import LanguageError, TextError
from speechgru.files import atomic_path, open_file, read_file
from speechgru.text import TextRules, Vocabulary

#: How the weights lie on disk; they compute in float32 whatever it is.
Form = Literal["float32", "float16", "int8"]
FORMS: tuple[Form, ...] = ("float32", "float16", "int8")


#: The first bytes of a file, by which anybody tells what it is.
MAGIC = b"speechgru GRU language model 1\n"
#: Bytes of the length of the header, of a file at most, and of its checksum.
_LENGTH_BYTES, _MOST_BYTES, _DIGEST_BYTES = 8, 1 << 30, 32

#: What stands before the first label and behind the last one: the blank's number, since no text holds a blank.
BORDER = 0


def require_form(form: str) -> Form:
    """A form of weights, once it is one.

    Raises:
        LanguageError: it is none.
    """
    for known in FORMS:
        if form == known:
            return known
    raise LanguageError(f"the form of a language model's weights is one of {', '.join(FORMS)}, got {form!r}")


@dataclass(frozen=True)
class GRULayer:
    """The weights of one layer, as `gru.GRUCell` has them: gates in the order z, r, h.

    Args:
        kernel_DG: of the inputs.
        recurrent_kernel_UG: of the state.
        bias_2G: beside the product with the inputs, and beside that with the state.

    Example:
        >>> layer = GRULayer(np.zeros([3, 12]), np.zeros([4, 12]), np.zeros([2, 12]))  # 3 inputs, 4 units
    """

    kernel_DG: np.ndarray
    recurrent_kernel_UG: np.ndarray
    bias_2G: np.ndarray


def is_gru(path: str | Path) -> bool:
    """Whether a file begins as a GRU language model's; False of one that cannot be read."""
    try:
        with open_file(path, most=_MOST_BYTES) as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


class GRULanguageModel:
    """log p(next label | labels before), with the beginning and the end of an utterance.

    With e the label before, U_e its embedding, and the cell's equations in `gru.GRUCell` (reset_after, "keep"):

        h = GRU(U_e, h)
        p(next label) = softmax(h V + b)

    Label 0 is the beginning where it is read, and the end where it is predicted; the others are the vocabulary's.
    The state and the product of the embedding with the first kernel are float32: the latter is one row of a table.

    Args:
        vocabulary: the labels of the recogniser that it was trained for.
        rules: the text rules that its texts went through, the recogniser's.
        embedding_VE: of each label.
        layers: the first one's inputs are the embeddings.
        kernel_UV, bias_V: of the logits.
        facts: JSON-ready facts about it for people: what it was trained on, its perplexity.
        form: how the matrices lie on disk; their numbers are rounded to it.

    Raises:
        ValueError: the shapes do not fit each other.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> layer = GRULayer(rng.normal(size=[3, 12]), rng.normal(size=[4, 12]), np.zeros([2, 12]))
        >>> model = GRULanguageModel(
        ...     Vocabulary("ab"), TextRules(), embedding_VE=rng.normal(size=[3, 3]), layers=[layer],
        ...     kernel_UV=rng.normal(size=[4, 3]), bias_V=np.zeros(3),
        ... )  # fmt: skip
        >>> states_BKU, log_probs_BV = model.step(model.first_states(2), [0, 0])
        >>> bool(np.allclose(np.exp(log_probs_BV).sum(axis=1), 1))
        True
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        rules: TextRules,
        *,
        embedding_VE: np.ndarray,
        layers: Sequence[GRULayer],
        kernel_UV: np.ndarray,
        bias_V: np.ndarray,
        facts: Mapping[str, Any] | None = None,
        form: Form = "float32",
    ):
        self.vocabulary, self.rules, self.facts, self.form = vocabulary, rules, dict(facts or {}), require_form(form)
        self._arrays = {"embedding": embedding_VE, "kernel": kernel_UV, "bias": bias_V}
        for number, layer in enumerate(layers):
            self._arrays[f"layer{number}/kernel"] = layer.kernel_DG
            self._arrays[f"layer{number}/recurrent_kernel"] = layer.recurrent_kernel_UG
            self._arrays[f"layer{number}/bias"] = layer.bias_2G
        arrays = {name: np.ascontiguousarray(array, np.float32) for name, array in self._arrays.items()}
        self._arrays = {name: _Packed.of(name, array, form).numbers for name, array in arrays.items()}
        self.num_layers, self.units = len(layers), len(kernel_UV)
        self._require_shapes()
        first, *others = (self._layer(number) for number in range(self.num_layers))
        # A label's inputs to the first layer's gates; the biases beside the inputs never change.
        self._table_VG = self._arrays["embedding"] @ first.kernel_DG + first.bias_2G[0]
        self._layers = (first, *others)
        self._kernel_UV, self._bias_V = self._arrays["kernel"], self._arrays["bias"]

    def _layer(self, number: int) -> GRULayer:
        return GRULayer(*(self._arrays[f"layer{number}/{name}"] for name in ("kernel", "recurrent_kernel", "bias")))

    def _require_shapes(self) -> None:
        labels, units, width = len(self.vocabulary), self.units, self._arrays["embedding"].shape[-1]
        expected: dict[str, tuple[int, ...]] = {"embedding": (labels, width), "kernel": (units, labels)}
        expected["bias"] = (labels,)
        for number in range(self.num_layers):
            expected[f"layer{number}/kernel"] = (units if number else width, 3 * units)
            expected[f"layer{number}/recurrent_kernel"] = (units, 3 * units)
            expected[f"layer{number}/bias"] = (2, 3 * units)
        found = {name: array.shape for name, array in self._arrays.items()}
        if not self.num_layers or found != expected:
            raise ValueError(f"the weights of {labels} labels should have the shapes {expected}, got {found}")

    @property
    def description(self) -> str:
        """What it is, in a few words for a table: `GRU of 128 units over 28 characters`."""
        layers = f"{self.num_layers} x " if self.num_layers > 1 else ""
        return f"GRU of {layers}{self.units} units over {len(self.vocabulary) - 1} {self.vocabulary.unit}s"

    @property
    def num_weights(self) -> int:
        """Numbers that were learnt."""
        return sum(array.size for array in self._arrays.values())

    def first_states(self, rows: int = 1) -> np.ndarray:
        """The states before any label, float32 [rows, layers, units]."""
        return np.zeros((rows, self.num_layers, self.units), np.float32)

    def step(self, states_BKU: np.ndarray, labels_B: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reads one label in each of several texts.

        Args:
            states_BKU: the states before it.
            labels_B: the label that each text goes on with; `BORDER` begins one.

        Returns:
            The states after it, and `log_probs_BV` of the labels that may follow, `BORDER` for the end.
        """
        after_BKU = np.empty_like(states_BKU)
        inputs_BG, units = self._table_VG[np.asarray(labels_B)], self.units
        for number, layer in enumerate(self._layers):
            h_BU = states_BKU[:, number]
            if number:
                inputs_BG = after_BKU[:, number - 1] @ layer.kernel_DG + layer.bias_2G[0]
            products_BG = h_BU @ layer.recurrent_kernel_UG + layer.bias_2G[1]
            gates_BG = _sigmoid(inputs_BG[:, : 2 * units] + products_BG[:, : 2 * units])
            z_BU, r_BU = gates_BG[:, :units], gates_BG[:, units:]
            candidate_BU = np.tanh(inputs_BG[:, 2 * units :] + r_BU * products_BG[:, 2 * units :])
            # z * h + (1 - z) * candidate with one product less
            after_BKU[:, number] = candidate_BU + z_BU * (h_BU - candidate_BU)
        return after_BKU, _log_softmax(after_BKU[:, -1] @ self._kernel_UV + self._bias_V)

    def log_probs(self, labels: Sequence[int]) -> np.ndarray:
        """Natural-log probabilities of what may follow each beginning of a text, [1 + number of labels, V]."""
        states_BKU, rows = self.first_states(), []
        for label in (BORDER, *labels):
            states_BKU, log_probs_BV = self.step(states_BKU, [label])
            rows.append(log_probs_BV[0])
        return np.stack(rows)

    def score(self, texts: Sequence[Sequence[int] | np.ndarray]) -> np.ndarray:
        """The natural-log probabilities of texts that end after their labels, float64, computed together.

        Args:
            texts: the labels of each.
        """
        lengths_B = np.array([len(labels) for labels in texts], int)
        scores_B, states_BKU = np.zeros(len(texts)), self.first_states(len(texts))
        read_B = np.full(len(texts), BORDER)
        rows = np.arange(len(texts))
        for place in range(lengths_B.max(initial=-1) + 1):
            is_left_B = lengths_B[rows] >= place
            rows, states_BKU, read_B = rows[is_left_B], states_BKU[is_left_B], read_B[is_left_B]
            states_BKU, log_probs_BV = self.step(states_BKU, read_B)
            read_B = np.array([texts[row][place] if place < lengths_B[row] else BORDER for row in rows.tolist()])
            scores_B[rows] += log_probs_BV[np.arange(len(rows)), read_B]
        return scores_B

    # -- files -------------------------------------------------------------------------------------------------------

    def in_form(self, form: Form) -> GRULanguageModel:
        """The same model with its weights rounded to another form."""
        return self._of_arrays(self.vocabulary, self.rules, self._arrays, self.num_layers, facts=self.facts, form=form)

    def save(self, path: str | Path) -> None:
        """Writes it as one file with a checksum, atomically.

        Raises:
            UserError: the file cannot be written.
        """
        content, places = bytearray(), []
        for name, array in self._arrays.items():
            packed = _Packed.of(name, array, self.form)
            places.append({"name": name, "type": packed.stored.dtype.str, "shape": array.shape, "at": len(content)})
            content += packed.stored.tobytes()
            if packed.scales is not None:
                places[-1]["scales_at"] = len(content)
                content += packed.scales.tobytes()
        header = {
            "vocabulary": self.vocabulary.as_record(),
            "rules": dataclasses.asdict(self.rules),
            "num_layers": self.num_layers,
            "form": self.form,
            "facts": self.facts,
            "arrays": places,
        }
        head = json.dumps(header, ensure_ascii=False).encode()
        body = MAGIC + len(head).to_bytes(_LENGTH_BYTES, "little") + head + bytes(content)
        with atomic_path(path) as temporary:
            temporary.write_bytes(body + hashlib.sha256(body).digest())

    @classmethod
    def load(cls, path: str | Path) -> GRULanguageModel:
        """Reads what `save` wrote.

        Raises:
            LanguageError: the file cannot be read, is no such model, or is damaged.
        """
        try:
            content = read_file(path, most=_MOST_BYTES)
        except OSError as error:
            raise LanguageError(f"{path}: the language model cannot be read ({error.strerror or error})") from error
        return cls.unpack(content, name=str(path))

    @classmethod
    def unpack(cls, content: bytes, *, name: str) -> GRULanguageModel:
        """Reads the bytes of a file.

        Args:
            content: what `save` wrote.
            name: what messages name.

        Raises:
            LanguageError: they are no such model, or damaged.
        """
        if not content.startswith(MAGIC):
            raise LanguageError(
                f"{name}: not a GRU language model; `speechgru language train-gru` writes one as model.gru in its run"
            )
        body, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
        if hashlib.sha256(body).digest() != digest:
            raise LanguageError(f"{name}: the language model is damaged (its checksum is wrong); copy it once more")
        try:
            return cls._parse(body)
        except (ValueError, KeyError, TypeError, AttributeError, TextError, RecursionError) as error:
            raise LanguageError(f"{name}: another version's language model ({error}); train it again") from error

    @classmethod
    def _parse(cls, body: bytes) -> GRULanguageModel:
        start = len(MAGIC) + _LENGTH_BYTES
        end = start + int.from_bytes(body[len(MAGIC) : start], "little")
        header = json.loads(body[start:end])
        arrays = {place["name"]: _Packed.read(body, end, place).numbers for place in header["arrays"]}
        vocabulary, rules = Vocabulary.from_record(header["vocabulary"]), TextRules.stored(header["rules"])
        return cls._of_arrays(
            vocabulary, rules, arrays, header["num_layers"], facts=header["facts"], form=header["form"]
        )

    @classmethod
    def _of_arrays(
        cls,
        vocabulary: Vocabulary,
        rules: TextRules,
        arrays: Mapping[str, np.ndarray],
        num_layers: int,
        *,
        facts: Mapping[str, Any],
        form: Form,
    ) -> GRULanguageModel:
        names = ("kernel", "recurrent_kernel", "bias")
        return cls(
            vocabulary,
            rules,
            embedding_VE=arrays["embedding"],
            layers=[GRULayer(*(arrays[f"layer{number}/{name}"] for name in names)) for number in range(num_layers)],
            kernel_UV=arrays["kernel"],
            bias_V=arrays["bias"],
            facts=facts,
            form=form,
        )


@dataclass(frozen=True)
class _Packed:
    """An array as it lies on disk.

    Args:
        stored: its numbers, little endian.
        scales: of 8-bit numbers the factor of each column.
    """

    stored: np.ndarray
    scales: np.ndarray | None = None

    @classmethod
    def of(cls, name: str, array: np.ndarray, form: Form) -> _Packed:
        """An array rounded to a form; biases stay as they are."""
        if form == "float32" or name.endswith("bias"):
            return cls(array.astype("<f4"))
        if form == "float16":
            return cls(array.astype("<f2"))
        scales = np.maximum(np.abs(array).max(axis=0), 1e-12).astype("<f4") / np.float32(127)
        return cls(np.round(array / scales).astype("i1"), scales)

    @classmethod
    def read(cls, body: bytes, start: int, place: Mapping[str, Any]) -> _Packed:
        """The array that a header has at a place."""
        shape = tuple(place["shape"])
        stored = np.frombuffer(body, place["type"], math.prod(shape), start + place["at"]).reshape(shape)
        if "scales_at" not in place:
            return cls(stored)
        return cls(stored, np.frombuffer(body, "<f4", shape[-1], start + place["scales_at"]))

    @property
    def numbers(self) -> np.ndarray:
        """What is computed with, float32."""
        numbers = self.stored.astype(np.float32)
        return numbers if self.scales is None else numbers * self.scales


def _sigmoid(values: np.ndarray) -> np.ndarray:
    """The logistic function by the one that NumPy has fast and that cannot overflow."""
    return 0.5 * np.tanh(0.5 * values) + np.float32(0.5)


def _log_softmax(logits_BV: np.ndarray) -> np.ndarray:
    shifted_BV = logits_BV - logits_BV.max(axis=1, keepdims=True)
    # Rounding must not give more than a probability of 1.
    return np.minimum(shifted_BV - np.log(np.exp(shifted_BV).sum(axis=1, keepdims=True)), np.float32(0))
