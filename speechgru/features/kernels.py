"""Log-mel of utterances as machine code: as many frames side by side as a vector register has numbers.

A tile is `LANES` frames. Its numbers lie in rows of one number a frame, so that every step of the transform is a
vector instruction over whole rows, and a tile stays in the first two caches from the samples to the logarithm.

The transform of N real samples is one of H = N / 2 complex numbers z[n] = x[2n] + i x[2n+1], by Stockham's method,
which puts out its numbers in order: every pass turns sequences of n numbers into four of n / 4 (the last one, where
needed, two into two). With Z its outcome,

    E[k] = (Z[k] + conj Z[H-k]) / 2,  O[k] = (Z[k] - conj Z[H-k]) / 2i,  X[k] = E[k] + exp(-2 pi i k / N) O[k].

Source: Van Loan 1992, "Computational Frameworks for the Fast Fourier Transform", sections 1.7 and 4.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import boolean, float32, int64
from numba.core import cgutils, types
from numba.extending import intrinsic

from speechgru.jit import LANES, entry, given, inner, log

#: Stands in for a power of 0 under the square root, as in `log_mel`.
_LEAST_POWER = np.float32(1e-30)
_ZERO = np.float32(0.0)

_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_ALL_FIRST = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
_INT = types.int64


def _constant(number: int) -> Any:
    return ir.Constant(ir.IntType(64), number)


class _Code:
    """The instructions of one intrinsic over rows.

    Args:
        context, builder, signature, values: as Numba gives them.
    """

    def __init__(self, context: Any, builder: Any, signature: Any, values: Any) -> None:
        self.builder, self._context, self._signature, self.values = builder, context, signature, values

    def place(self, position: int, index: Any) -> Any:
        """Where a number of the array argument at `position` stands."""
        array = self._context.make_array(self._signature.args[position])(
            self._context, self.builder, self.values[position]
        )
        return self.builder.gep(array.data, [index])

    def load(self, pointer: Any, number: int = 0) -> Any:
        """The row `number` rows after a place, as a vector."""
        return self.builder.load(self._row(pointer, number), align=4)

    def store(self, vector: Any, pointer: Any, number: int = 0) -> None:
        """The inverse of `load`."""
        self.builder.store(vector, self._row(pointer, number), align=4)

    def copies(self, pointer: Any, number: int) -> Any:
        """A number, as often as a row has places."""
        value = self.builder.load(self.builder.gep(pointer, [_constant(number)]))
        first = self.builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(first, ir.Constant(_VECTOR, ir.Undefined), _ALL_FIRST)

    def sum(self, a: Any, b: Any) -> Any:
        """Of complex rows."""
        return tuple(self.builder.fadd(x, y) for x, y in zip(a, b, strict=True))

    def difference(self, a: Any, b: Any) -> Any:
        """Of complex rows."""
        return tuple(self.builder.fsub(x, y) for x, y in zip(a, b, strict=True))

    def product(self, a: Any, b: Any) -> Any:
        """Of complex rows."""
        flags, builder = ("contract",), self.builder
        real = builder.fsub(builder.fmul(a[0], b[0], flags=flags), builder.fmul(a[1], b[1], flags=flags), flags=flags)
        return real, builder.fadd(
            builder.fmul(a[0], b[1], flags=flags), builder.fmul(a[1], b[0], flags=flags), flags=flags
        )

    def square(self, a: Any) -> Any:
        """The squared magnitude of a complex row."""
        flags, builder = ("contract",), self.builder
        return builder.fadd(builder.fmul(a[0], a[0], flags=flags), builder.fmul(a[1], a[1], flags=flags), flags=flags)

    def _row(self, pointer: Any, number: int) -> Any:
        moved = self.builder.gep(pointer, [_constant(number * LANES)])
        return self.builder.bitcast(moved, _VECTOR.as_pointer())


def _make_butterfly(radix: int, *, turns: bool) -> Callable[..., Any]:
    """An intrinsic that computes `radix` complex rows from as many: a transform of `radix`, then a turn of each row.

    It takes X, the place of the first complex row in it, and how many complex rows lie from one to the next; the same
    of Y; and the turns with the place of the first one, a complex number for each row but the first. Without `turns`
    no row is turned.
    """

    @intrinsic
    def butterfly(
        typing_context: Any,
        x: Any,
        x_row: Any,
        x_step: Any,
        y: Any,
        y_row: Any,
        y_step: Any,
        turns_: Any,
        first_turn: Any,
    ) -> Any:
        signature = types.void(x, _INT, _INT, y, _INT, _INT, turns_, _INT)

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            code = _Code(context, builder, signature, values)
            _, x_row, x_step, _, y_row, y_step, _, first_turn = values
            width = _constant(2 * LANES)

            def place(position: int, row: Any, step: Any, number: int) -> Any:
                row = builder.add(row, builder.mul(step, _constant(number)))
                return code.place(position, builder.mul(row, width))

            inputs = []
            for number in range(radix):
                pointer = place(0, x_row, x_step, number)
                inputs.append((code.load(pointer), code.load(pointer, 1)))
            if radix == 2:
                outputs = [code.sum(*inputs), code.difference(*inputs)]
            else:
                a, b, c, d = inputs
                even, odd, real, imaginary = (
                    code.sum(a, c),
                    code.sum(b, d),
                    code.difference(a, c),
                    code.difference(b, d),
                )
                turned = (builder.fneg(imaginary[1]), imaginary[0])  # i (b - d)
                outputs = [
                    code.sum(even, odd),
                    code.difference(real, turned),
                    code.difference(even, odd),
                    code.sum(real, turned),
                ]
            for number, output in enumerate(outputs):
                if turns and number:
                    turn = code.place(6, first_turn)
                    output = code.product(
                        output, (code.copies(turn, 2 * number - 2), code.copies(turn, 2 * number - 1))
                    )
                pointer = place(3, y_row, y_step, number)
                code.store(output[0], pointer)
                code.store(output[1], pointer, 1)
            return context.get_dummy_value()

        return signature, generate

    return butterfly


_butterfly_4, _last_butterfly_4 = _make_butterfly(4, turns=True), _make_butterfly(4, turns=False)
_last_butterfly_2 = _make_butterfly(2, turns=False)


@intrinsic
def _power_pair(
    typing_context: Any, z: Any, row: Any, mirrored: Any, turns: Any, turn: Any, power: Any, low: Any, high: Any
) -> Any:
    """|X[k]|^2 and |X[H-k]|^2 from the complex rows `row` and `mirrored` of Z, into rows `low` and `high` of `power`.

    X[H-k] is the conjugate of E[k] - exp(...) O[k].
    """
    signature = types.void(z, _INT, _INT, turns, _INT, power, _INT, _INT)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = _Code(context, builder, signature, values)
        _, row, mirrored, _, turn, _, low, high = values
        first, second = (code.place(0, builder.mul(place, _constant(2 * LANES))) for place in (row, mirrored))
        (a, b), (c, d) = ((code.load(pointer), code.load(pointer, 1)) for pointer in (first, second))
        half = ir.Constant(_VECTOR, [0.5] * LANES)
        even = (builder.fmul(half, builder.fadd(a, c)), builder.fmul(half, builder.fsub(b, d)))
        odd = (builder.fmul(half, builder.fadd(b, d)), builder.fmul(half, builder.fsub(c, a)))
        pointer = code.place(3, turn)
        odd = code.product(odd, (code.copies(pointer, 0), code.copies(pointer, 1)))
        for place, value in ((low, code.sum(even, odd)), (high, code.difference(even, odd))):
            code.store(code.square(value), code.place(5, builder.mul(place, _constant(LANES))))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _window_and_turn(
    typing_context: Any, samples: Any, start: Any, hop: Any, window: Any, first: Any, x: Any, row: Any
) -> Any:
    """`LANES` samples of each frame, under the window, into as many rows of X: a square matrix, transposed.

    The frames' samples begin at `start` of `samples`, `hop` from each other; `first` is the place in the window.
    """
    signature = types.void(samples, _INT, _INT, window, _INT, x, _INT)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = _Code(context, builder, signature, values)
        _, start, hop, _, first, _, row = values
        window = code.load(code.place(3, first))
        rows = []
        for lane in range(LANES):
            place = builder.add(start, builder.mul(hop, _constant(lane)))
            rows.append(builder.fmul(code.load(code.place(0, place)), window))
        # A transposition by halves: row i is interleaved with row i + LANES / 2, again and again.
        low = [number // 2 + (LANES if number % 2 else 0) for number in range(LANES)]
        high = [place + LANES // 2 for place in low]
        masks = [ir.Constant(ir.VectorType(ir.IntType(32), LANES), mask) for mask in (low, high)]
        for _ in range(LANES.bit_length() - 1):
            halves = zip(rows[: LANES // 2], rows[LANES // 2 :], strict=True)
            rows = [builder.shuffle_vector(one, other, mask) for one, other in halves for mask in masks]
        pointer = code.place(5, builder.mul(row, _constant(LANES)))
        for number, vector in enumerate(rows):
            code.store(vector, pointer, number)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _filter(
    typing_context: Any, weights: Any, first_weight: Any, count: Any, power: Any, first_bin: Any, mel: Any, row: Any
) -> Any:
    """One filter's sum over `count` rows of `power`, into a row of `mel`."""
    signature = types.void(weights, _INT, _INT, power, _INT, mel, _INT)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = _Code(context, builder, signature, values)
        _, first_weight, count, _, first_bin, _, row = values
        total = cgutils.alloca_once_value(builder, ir.Constant(_VECTOR, [0.0] * LANES))
        with cgutils.for_range(builder, count) as loop:
            weight = code.copies(code.place(0, builder.add(first_weight, loop.index)), 0)
            of_bin = code.load(code.place(3, builder.mul(builder.add(first_bin, loop.index), _constant(LANES))))
            part = builder.fmul(weight, of_bin, flags=("contract",))
            builder.store(builder.fadd(builder.load(total), part, flags=("contract",)), total)
        code.store(builder.load(total), code.place(5, builder.mul(row, _constant(LANES))))
        return context.get_dummy_value()

    return signature, generate


@inner
def _transform(x: Any, y: Any, turns: Any, half: int) -> Any:
    """The complex transform of `half` rows of x; gives whether it stands in y, else in x. Both are overwritten."""
    n, s, turn, in_y = half, 1, 0, True
    while n > 4:
        quarter = n // 4
        for p in range(quarter):
            for q in range(s):
                _butterfly_4(x, q + s * p, s * quarter, y, q + 4 * s * p, s, turns, turn)
            turn += 6
        n, s = quarter, 4 * s
        x, y, in_y = y, x, not in_y
    for q in range(s):
        if n == 4:
            _last_butterfly_4(x, q, s, y, q, s, turns, 0)
        else:
            _last_butterfly_2(x, q, s, y, q, s, turns, 0)
    return in_y


@inner
def _logarithms(mel: Any, floor: Any, count: int) -> None:
    for i in range(count):
        value = log(max(mel[i], floor))
        mel[i] = value if mel[i] == mel[i] else mel[i]


@inner
def _roots(power: Any, count: int) -> None:
    for i in range(count):
        power[i] = np.sqrt(max(power[i], _LEAST_POWER))


@inner
def _cut_out(samples: Any, first: int, num_samples: int, preemphasis: Any, piece: Any, count: int) -> None:
    """`count` samples from `first` on, emphasised, zeros where there are none."""
    begin, end = min(max(0, -first), count), max(0, min(count, num_samples - first))
    for i in range(begin):
        piece[i] = _ZERO
    if preemphasis == _ZERO:
        for i in range(begin, end):
            piece[i] = samples[first + i]
    else:
        for i in range(begin, end):
            place = first + i
            piece[i] = samples[place] - preemphasis * (samples[place - 1] if place > 0 else _ZERO)
    for i in range(max(begin, end), count):
        piece[i] = _ZERO


_GIVEN_VECTOR, _PLACES = given(float32, 1), given(int64, 1)


@entry(
    given(float32, 2),
    _PLACES,
    _PLACES,
    int64,
    int64,
    int64,
    float32,
    _GIVEN_VECTOR,
    _GIVEN_VECTOR,
    _GIVEN_VECTOR,
    given(int64, 2),
    _GIVEN_VECTOR,
    boolean,
    float32,
    _GIVEN_VECTOR,
    _GIVEN_VECTOR,
    int64,
    int64,
    float32[::1],
    float32[::1],
    float32[::1],
    float32[::1],
    float32[:, :, ::1],
)
def log_mel(
    samples_BN: np.ndarray,
    num_samples_B: np.ndarray,
    num_frames_B: np.ndarray,
    n_fft: int,
    hop_length: int,
    first_sample: int,
    preemphasis: float,
    window: np.ndarray,
    turns: np.ndarray,
    last_turns: np.ndarray,
    filters_M3: np.ndarray,
    weights: np.ndarray,
    is_power: bool,
    log_floor: float,
    mean_M: np.ndarray,
    deviation_M: np.ndarray,
    first: int,
    step: int,
    piece: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    mel: np.ndarray,
    log_mel_BTM: np.ndarray,
) -> None:
    """Computes tiles `first`, `first + step`, ... of a batch, counted over rows of whole tiles.

    Args:
        samples_BN, num_samples_B: as `LogMel` gets them.
        num_frames_B: frames of each row.
        n_fft, hop_length: as of `LogMel`; the first a power of two, 32 or more.
        first_sample: the first sample under the window of frame 0, perhaps below 0.
        preemphasis: as of `LogMel`.
        window: zeros behind it make it a multiple of `LANES`.
        turns: of the passes of the transform (`make_turns`).
        last_turns: exp(-2 pi i k / n_fft) for k from 0 to n_fft / 4.
        filters_M3: of each filter its first bin, its number of bins, and where its weights begin.
        weights: of all filters.
        is_power, log_floor: whether the filters sum powers or magnitudes; the least sum.
        mean_M, deviation_M: of the normalisation; 0 and 1 for none.
        piece: space for `(LANES - 1) * hop_length + len(window)` samples.
        x, y: space for `LANES` numbers each for as many rows as the window has, and `n_fft + 2` at least.
        mel: space for `LANES` numbers a filter.
        log_mel_BTM: filled, with zeros beyond each row's frames.
    """
    num_rows, num_frames, num_filters = log_mel_BTM.shape
    half, covered = n_fft // 2, len(window)
    tiles = -(-num_frames // LANES)
    for tile in range(first, num_rows * tiles, step):
        b, t = tile // tiles, tile % tiles * LANES
        real = max(0, min(LANES, num_frames_B[b] - t))
        for frame in range(t + real, min(num_frames, t + LANES)):
            for m in range(num_filters):
                log_mel_BTM[b, frame, m] = _ZERO
        if real == 0:
            continue
        count = (LANES - 1) * hop_length + covered
        _cut_out(samples_BN[b], first_sample + t * hop_length, num_samples_B[b], preemphasis, piece, count)
        for n in range(0, covered, LANES):
            _window_and_turn(piece, n, hop_length, window, n, x, n)
        for i in range(LANES * covered, LANES * n_fft):
            x[i] = _ZERO
        z, power = (y, x) if _transform(x, y, turns, half) else (x, y)
        for k in range(half // 2 + 1):
            _power_pair(z, k, (half - k) % half, last_turns, 2 * k, power, k, half - k)
        if not is_power:
            _roots(power, LANES * (half + 1))
        for m in range(num_filters):
            _filter(weights, filters_M3[m, 2], filters_M3[m, 1], power, filters_M3[m, 0], mel, m)
        _logarithms(mel, log_floor, LANES * num_filters)
        for m in range(num_filters):
            mean, deviation = mean_M[m], deviation_M[m]
            for lane in range(LANES):
                mel[LANES * m + lane] = (mel[LANES * m + lane] - mean) / deviation
        for lane in range(real):
            for m in range(num_filters):
                log_mel_BTM[b, t + lane, m] = mel[LANES * m + lane]


def make_turns(half: int) -> np.ndarray:
    """The turns of all passes of a transform of `half` complex numbers, float32, in the order of their use."""
    turns, n = [], half
    while n > 4:
        angles_P = np.arange(n // 4) / n
        turns.append(np.exp(-2j * np.pi * angles_P[:, None] * np.arange(1, 4)).ravel())
        n //= 4
    numbers = np.concatenate([*turns, np.zeros(0, complex)])
    return np.stack([numbers.real, numbers.imag], axis=1).ravel().astype(np.float32)
