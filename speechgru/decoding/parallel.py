"""Beam search over many utterances, in several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from speechgru.decoding.beam import beam_decode
from speechgru.decoding.hypothesis import Hypothesis
from speechgru.errors import UserError
from speechgru.text import Vocabulary


def decode_many(
    utterances: Sequence[np.ndarray], *, vocabulary: Vocabulary, processes: int = 1, **options: Any
) -> list[list[Hypothesis]]:
    """Decodes utterances with `beam_decode`, each on its own.

    Processes are spawned, which takes some tenths of a second each: worth it from some seconds of work on. A spawned
    process imports the main program's file, so that must start its work under `if __name__ == "__main__":`.

    Args:
        utterances: `log_probs_SV` of each.
        vocabulary: the characters or words of the columns.
        processes: how many processes; 1 decodes in this one. The results do not depend on it.
        **options: the other arguments of `beam_decode`.

    Returns:
        The n-best list of each utterance, in the order of `utterances`.

    Raises:
        ValueError: `processes` is below 1, or what `beam_decode` raises; the utterance's number, from 0, before what
            is wrong with an utterance.
    """
    if processes < 1:
        raise ValueError(f"processes must be at least 1, got {processes}")
    options["vocabulary"] = vocabulary
    beam_decode(np.zeros((0, len(vocabulary))), **options)  # what is wrong with the options is said once, and first
    decode = partial(_decode, options=options)
    processes = min(processes, len(utterances))
    if processes <= 1:
        return [decode(numbered) for numbered in enumerate(utterances)]
    # Some chunks a process: long utterances at the end of the list would otherwise all fall to one.
    chunk = max(1, len(utterances) // (8 * processes))
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(decode, enumerate(utterances), chunksize=chunk))


def _decode(numbered: tuple[int, np.ndarray], *, options: dict[str, Any]) -> list[Hypothesis]:
    number, log_probs_SV = numbered
    try:
        return beam_decode(log_probs_SV, **options)
    except ValueError as error:
        kind = type(error) if isinstance(error, UserError) else ValueError
        raise kind(f"utterance {number}: {error}") from error
