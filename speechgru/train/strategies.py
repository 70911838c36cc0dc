"""Who trains: one process, or several that share each batch.

One CPU or GPU needs nothing. Several GPUs of a machine train together by themselves (MirroredStrategy). Several
machines do when each runs the same command with its own `TF_CONFIG` (MultiWorkerMirroredStrategy):

    TF_CONFIG='{"cluster": {"worker": ["one:12345", "two:12345"]}, "task": {"type": "worker", "index": 0}}'

Worker 0 is the chief: it writes the run folder, scores the dev set and decides; the others follow what it shares, so
they need the recordings, but not its disk.
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import tensorflow as tf

from speechgru.errors import ConfigError, UserError

#: Numbers that one collective carries when the chief shares a message.
_BLOCK = 1 << 16


class Workers:
    """The processes of a run and this one's place among them.

    Args:
        strategy: what they share batches by; the current one when None.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        self.strategy = strategy or tf.distribute.get_strategy()
        resolver = self.strategy.cluster_resolver
        tasks = resolver.cluster_spec().as_dict().get("worker", []) if resolver is not None else []
        #: Processes in all.
        self.count = max(1, len(tasks))
        #: This one's number.
        self.index = resolver.task_id or 0 if self.count > 1 else 0
        #: Replicas in all: one for each GPU, or for each process without one.
        self.num_replicas = self.strategy.num_replicas_in_sync
        self.num_local = self.num_replicas // self.count
        self._sum = tf.function(self._sum_blocks, autograph=False, input_signature=[tf.TensorSpec([_BLOCK], tf.int32)])

    @property
    def is_chief(self) -> bool:
        """Whether this process writes and decides."""
        return self.index == 0

    @property
    def local_replicas(self) -> range:
        """The numbers of this process's replicas."""
        return range(self.index * self.num_local, (self.index + 1) * self.num_local)

    def share(self, message: bytes | None) -> bytes:
        """What the chief says, in every process.

        Args:
            message: the chief's; ignored of the others.
        """
        if self.count == 1:
            return message or b""
        length = int(self._share_block(np.array([len(message or b"")]))[0])
        numbers = np.frombuffer(message or b"\0" * length, np.uint8)
        blocks = [self._share_block(numbers[start : start + _BLOCK]) for start in range(0, length, _BLOCK)]
        return np.concatenate([np.zeros(0), *blocks])[:length].astype(np.uint8).tobytes()

    def share_json(self, value: Any) -> Any:
        """The same for a value that JSON can hold."""
        return json.loads(self.share(json.dumps(value).encode()))

    def _share_block(self, numbers: np.ndarray) -> np.ndarray:
        block = np.zeros(_BLOCK, np.int32)
        if self.is_chief:
            block[: len(numbers)] = numbers
        return self._sum(block).numpy() // self.num_local

    def _sum_blocks(self, block: tf.Tensor) -> tf.Tensor:
        def on_replica() -> tf.Tensor:
            mine = tf.identity(block)  # on this replica's device; an argument is on none and cannot be summed
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, mine)

        return self.strategy.experimental_local_results(self.strategy.run(on_replica))[0]


def choose_strategy() -> tf.distribute.Strategy:
    """Several machines where `TF_CONFIG` names them, several GPUs where this one has them, else neither.

    Raises:
        ConfigError: `TF_CONFIG` cannot be used.
        UserError: TensorFlow was used before, so that it cannot join a cluster any more.
    """
    given = os.environ.get("TF_CONFIG")
    if given:
        _check_cluster(given)
        try:
            return tf.distribute.MultiWorkerMirroredStrategy()
        except RuntimeError as error:
            raise UserError(
                f"TF_CONFIG: this process cannot join the cluster ({error}); call train before anything else that uses "
                "TensorFlow, or use `speechgru train`"
            ) from error
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _check_cluster(given: str) -> None:
    expected = (
        'expected {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}, the index '
        "another on each machine"
    )
    try:
        parsed = json.loads(given)
        workers, task = parsed["cluster"]["worker"], parsed["task"]
        index = task["index"]
        right = task["type"] == "worker" and isinstance(index, int) and 0 <= index < len(workers)
        right = right and set(parsed["cluster"]) == {"worker"} and all(isinstance(w, str) and ":" in w for w in workers)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"TF_CONFIG: {error!r} in {given!r}; {expected}") from error
    if not right:
        raise ConfigError(f"TF_CONFIG: got {given!r}; {expected}")
