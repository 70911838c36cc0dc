"""Records of shards read by the workers of a `tf.data` service, in the order that training asks for them.

The service (`tf.data.experimental.service`) is one dispatcher and any number of workers, on machines that see the
folder of shards. Its workers have TensorFlow alone: they read and decode records inside a graph. Augmentation stays
here, and so does the order: what the workers answer carries its place in the plan, and is put there. So training with
a service is, to the bit, training without, and resumes as without.

A worker gives a batch to one trainer once; a batch that comes twice or never ends the training, rather than the count
of its examples being wrong.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from speechgru.errors import AudioError, ConfigError, UserError

#: Batches that are asked for at a time: an epoch of many utterances would not fit into one request.
_ROUND = 1024
#: Seconds that a dispatcher may take to accept a connection, and for which it may be away.
_CONNECT_SECONDS, _AWAY_SECONDS = 5.0, 20.0
#: Batches that wait here.
_WAITING = 16


@dataclass(frozen=True)
class Rows:
    """The records of a batch.

    Args:
        values_BX: float32, padded with zeros: samples, or the numbers of log-mel frame by frame.
        lengths_B: samples or frames of each.
        labels_BL: int32, padded.
        num_labels_B: labels of each.
    """

    values_BX: np.ndarray
    lengths_B: np.ndarray
    labels_BL: np.ndarray
    num_labels_B: np.ndarray


class Service:
    """A dispatcher that training asks for records.

    Args:
        address: `grpc://host:port`.

    Raises:
        ConfigError: it is no such address.
        UserError: nobody answers there.
    """

    def __init__(self, address: str):
        found = re.fullmatch(r"grpc://(\[[0-9a-fA-F:.]+\]|[^:/\s]+):(\d{1,5})", address)
        if found is None:
            raise ConfigError(f"data.service must be an address such as grpc://host:5050, got {address!r:.80}")
        self.address, self._host, self._port = address, found[1].strip("[]"), int(found[2])
        if (reason := self._why_away()) is not None:
            raise UserError(
                f"{address}: no tf.data dispatcher answers there ({reason}); start it, or take data.service out"
            )

    def _why_away(self) -> str | None:
        """Why nobody accepts a connection; None where somebody does."""
        try:
            with socket.create_connection((self._host, self._port), timeout=_CONNECT_SECONDS):
                return None
        except OSError as error:
            return (error.strerror or str(error)).lower()

    def read(
        self, batches: Iterable[np.ndarray], *, places: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    ) -> Iterator[Rows]:
        """The records of batches, in their order.

        Args:
            batches: the places in the corpus of each one's utterances; without end, too.
            places: the files and the first bytes of their records (`Corpus.places`).

        Raises:
            AudioError: the dispatcher is gone, a worker cannot read a record, or a batch came twice or never.
        """
        left = iter(batches)
        while indices := list(itertools.islice(left, _ROUND)):
            yield from self._in_order(_round(indices, places, self.address), len(indices))

    def _in_order(self, answers: tf.data.Dataset, count: int) -> Iterator[Rows]:
        early: dict[int, Rows] = {}
        wanted = 0
        with contextlib.closing(self._watched(answers)) as watched:
            for number, *fields in watched:
                if number in early or number < wanted:
                    raise AudioError(f"{self.address}: gave a batch twice; a worker was lost: restart the service")
                early[number] = Rows(*fields)
                while wanted in early:
                    yield early.pop(wanted)
                    wanted += 1
        if wanted != count:
            raise AudioError(f"{self.address}: lost {count - wanted} batches with a worker; restart the service")

    def _watched(self, answers: tf.data.Dataset) -> Generator[tuple[Any, ...], None, None]:
        """What the workers answer, read by a thread, so that a dispatcher that is gone is no endless wait."""
        got: queue.Queue[Any] = queue.Queue(_WAITING)
        given_up = threading.Event()

        def put(item: Any) -> None:
            while not given_up.is_set():
                with contextlib.suppress(queue.Full):
                    got.put(item, timeout=0.2)
                    return

        def fetch() -> None:
            try:
                for each in answers:
                    put((int(each[0]), *(value.numpy() for value in each[1:])))
                    if given_up.is_set():
                        return
                put(None)
            except tf.errors.OpError as error:
                put(error)

        threading.Thread(target=fetch, daemon=True).start()
        away_since: float | None = None
        try:
            while True:
                try:
                    item = got.get(timeout=1.0)
                except queue.Empty:
                    reason = self._why_away()
                    away_since = None if reason is None else away_since or time.monotonic()
                    if away_since is not None and time.monotonic() - away_since > _AWAY_SECONDS:
                        raise AudioError(f"{self.address}: the tf.data dispatcher is gone ({reason})") from None
                    continue
                if item is None:
                    return
                if isinstance(item, tf.errors.OpError):
                    raise AudioError(f"{self.address}: a worker cannot read ({_shown(item)})") from item
                yield item
        finally:
            given_up.set()


def _shown(error: tf.errors.OpError) -> str:
    return " ".join(str(error.message).split())[:300]


def _round(
    batches: Sequence[np.ndarray], places: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], address: str
) -> tf.data.Dataset:
    """Batches of records, each with its number, in any order, each from one worker."""
    paths, offsets = places(np.concatenate(batches))
    files, file_of = np.unique(paths, return_inverse=True)
    ends = np.cumsum([len(batch) for batch in batches])
    # The files' names and two numbers a record: what the workers need to know.
    names = tf.constant([str(name) for name in files])
    numbers, firsts = tf.constant(file_of.reshape(-1), tf.int32), tf.constant(offsets, tf.int64)
    borders = tf.constant(np.concatenate([[0], ends]), tf.int64)

    @tf.autograph.experimental.do_not_convert
    def one_batch(number: tf.Tensor) -> tf.data.Dataset:
        start, end = borders[number], borders[number + 1]
        rows = tf.data.Dataset.range(start, end).map(lambda row: _read(names[numbers[row]], firsts[row]))
        rows = rows.padded_batch(end - start)
        return rows.map(lambda *fields: (number, *fields))

    whole = tf.data.Dataset.range(len(batches)).interleave(one_batch, cycle_length=2, num_parallel_calls=2)
    return whole.apply(
        tf.data.experimental.service.distribute(
            # Each number goes to one worker, whichever asks next.
            processing_mode=tf.data.experimental.service.ShardingPolicy.DYNAMIC,
            service=address,
        )
    )


def _read(path: tf.Tensor, offset: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """In a graph of TensorFlow's own operations: the record that begins at a byte of a file of shards.

    Returns:
        Values, their length, labels and their number; as `records.decode_record` gives them.
    """
    found = tf.raw_ops.TFRecordDatasetV2(
        filenames=[path], compression_type="", buffer_size=tf.constant(1 << 18, tf.int64), byte_offsets=[offset]
    )
    records = tf.data.experimental.from_variant(found, structure=tf.TensorSpec([], tf.string))
    payload = tf.data.experimental.get_single_element(records.take(1))
    text = tf.io.FixedLenFeature([], tf.string, default_value="")
    numbers = tf.io.VarLenFeature(tf.int64)
    parsed = tf.io.parse_single_example(
        payload, {"samples": text, "log_mel": text, "dtype": text, "shape": numbers, "labels": numbers}
    )
    content = parsed["samples"] + parsed["log_mel"]  # a record has one of them
    values = tf.cond(
        parsed["dtype"] == "int16",
        lambda: tf.cast(tf.io.decode_raw(content, tf.int16), tf.float32) / 32768.0,
        lambda: tf.io.decode_raw(content, tf.float32),
    )
    shape = tf.sparse.to_dense(parsed["shape"])
    labels_L = tf.cast(tf.sparse.to_dense(parsed["labels"]), tf.int32)
    # One form for samples and log-mel: numbers in a row, and how many make a sample or a frame.
    return values, tf.cast(shape[0], tf.int32), labels_L, tf.size(labels_L)
