"""What a user can do about what TensorFlow raises in the middle of a training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from speechgru.audio.in_graph import error_of
from speechgru.config.load import load_config
from speechgru.config.sections import RunConfig
from speechgru.errors import DiskError, UserError
from speechgru.runs import RunFolder
from speechgru.train.strategies import Workers

#: What TensorFlow raises when a process of the cluster is gone.
_PEER_GONE = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.CancelledError,
    tf.errors.InternalError,
)


@contextlib.contextmanager
def errors_told(folder: RunFolder, config: RunConfig, workers: Workers) -> Iterator[None]:
    """Turns what TensorFlow raises for a user's reasons into the user's errors.

    Args:
        folder: the run's.
        config: its configuration as it was given.
        workers: the processes that train together.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            f"{folder.path}: the memory does not hold a batch; {advice_on_memory(folder, config)}"
        ) from error
    except tf.errors.OpError as error:
        message = error_of(error)
        if message is not None:
            raise DiskError(
                f"{message} (it could be read when training started; the run resumes from its last checkpoint once it "
                "is there again)"
            ) from error
        if workers.count > 1 and isinstance(error, _PEER_GONE):
            raise UserError(
                f"{folder.path}: another of the {workers.count} workers has ended or cannot be reached; start all of "
                "them again with the same commands, and the run resumes from its last checkpoint"
            ) from error
        raise


def advice_on_memory(folder: RunFolder, config: RunConfig) -> str:
    """What to do where a batch is too large; all of it can be done as it is written.

    Args:
        folder: the run's, which has a checkpoint or not.
        config: its configuration.
    """
    if folder.config.exists():  # with what the corpus's size has chosen
        config = load_config(folder.config, stored=True)
    settings, longest = config.train, config.data.max_duration_seconds
    can_split = settings.batch_frames is not None or settings.accumulate < settings.batch_size
    by_parts = f"raise train.accumulate (now {settings.accumulate}), which computes it in parts"
    smaller = f"lower data.max_duration_seconds (now {longest:g}) or train.batch_size (now {settings.batch_size})"
    if settings.batch_frames is not None:
        smaller = (
            f"lower data.max_duration_seconds (now {longest:g}) and then train.batch_frames ({settings.batch_frames:,})"
        )
    if not folder.is_claimed:
        return f"{by_parts}, or {smaller}" if can_split else smaller
    if can_split and config.model.normalization != "batch":
        return f"{by_parts} to the same result; the same command then resumes the run from its last checkpoint"
    return f"{smaller} in another --run; the last checkpoint of this one is intact"
