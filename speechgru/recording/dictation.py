"""Somebody speaks to a recogniser: utterance by utterance, from a microphone that may be unplugged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from speechgru.decoding import DecodingOptions, EndpointRule, Hypothesis
from speechgru.recording.microphone import MicrophoneLostError
from speechgru.runtime import Recognizer

#: Seconds that are waited for a microphone that was unplugged.
PATIENCE_SECONDS = 60.0


class SoundSource(Protocol):
    """What is listened to: `LiveMicrophone`, or in tests arrays."""

    #: Hz.
    sample_rate: int
    #: Blocks that were lost, because too many waited.
    num_lost: int

    def blocks(self) -> Iterator[np.ndarray]:
        """`samples_N` as they come; raises `MicrophoneLostError` where no more come."""

    def reopen(self, *, patience_seconds: float) -> None:
        """Waits until it is there again; raises `UserError` where it is not."""

    def close(self) -> None:
        """Lets go of it."""


def dictate(
    recognizer: Recognizer,
    microphone: SoundSource,
    *,
    decoding: DecodingOptions | None = None,
    endpoint: EndpointRule | None = None,
    show: Callable[[str], None] = lambda text: None,
    tell: Callable[[str], None] = lambda line: None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Iterator[Hypothesis]:
    """Recognises what is said into a microphone until nobody asks for more.

    An unplugged microphone ends an utterance: the person gets a line, and recognition resumes once it is back. Ctrl-C
    ends the last utterance, which is given before `KeyboardInterrupt` is raised.

    Args:
        recognizer: of a bundle that streams.
        microphone: is open from the first utterance that is asked for until the last.
        decoding: beam, hotwords, phrases, a grammar; greedy when None.
        endpoint: when an utterance is over; after 0.8 s of silence when None.
        show: called with the present utterance's text whenever it has changed.
        tell: called with lines for the person, about the microphone.
        patience_seconds: how long to wait for a microphone that is gone.

    Yields:
        Each utterance that holds a word, once it is over.

    Raises:
        UserError: the bundle's model transcribes whole recordings only, or the microphone did not come back.
    """
    rule = endpoint or EndpointRule()
    shown, lost = "", 0
    try:
        while True:
            stream = recognizer.stream(microphone.sample_rate, decoding, endpoint=rule)
            try:
                for samples_N in microphone.blocks():
                    result = stream.feed(samples_N)
                    yield from result.ended
                    if result.text != shown:
                        show(shown := result.text)
                    if microphone.num_lost > lost:
                        tell(f"{microphone.num_lost - lost} pieces of sound were lost: this machine is too slow")
                        lost = microphone.num_lost
                yield from _last_of(stream.finish())
                return  # a source that ends by itself
            except MicrophoneLostError as error:
                yield from _last_of(stream.finish())
                tell(f"{error} Waiting for it (Ctrl-C ends)")
                microphone.reopen(patience_seconds=patience_seconds)
                tell("the microphone is back")
            except KeyboardInterrupt:
                yield from _last_of(stream.finish())
                raise
    finally:
        microphone.close()


def _last_of(hypothesis: Hypothesis) -> list[Hypothesis]:
    """The utterance that an end cut short; nothing where nothing was said."""
    return [hypothesis] if hypothesis.words else []
