"""The microphone: what a session needs of one, and the one of sounddevice."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from speechgru.errors import UserError

_ELSEWHERE = "or record elsewhere, one file a line of prompts.txt, and give their folder with --from"


@runtime_checkable
class Microphone(Protocol):
    """Records between `start` and `stop`; tests have one that gives arrays."""

    #: Hz.
    sample_rate: int

    def start(self) -> None:
        """Begins to record."""

    def stop(self) -> np.ndarray:
        """Ends the recording; gives its `samples_N`, float32 in [-1, 1]. Without a start, none."""


class SoundDeviceMicrophone:
    """The system's microphone, by sounddevice and PortAudio (extra `record`).

    Args:
        sample_rate: Hz to record at.
        device: the device's number or a part of its name; the system's choice when None.

    Raises:
        UserError: sounddevice or PortAudio is not installed, or there is no such microphone; says how to get it.
    """

    def __init__(self, *, sample_rate: int = 16000, device: int | str | None = None):
        self.sample_rate = sample_rate
        self._blocks: list[np.ndarray] = []
        self._sounddevice = _import_sounddevice()
        self._stream: Any = None
        self._device = device
        try:
            self._sounddevice.check_input_settings(device=device, channels=1, samplerate=sample_rate, dtype="float32")
        except Exception as error:  # PortAudioError, and ValueError of a device that is not there
            raise UserError(
                f"no microphone records {sample_rate:,} Hz here ({error}); connect one, name one with --device, give "
                f"another --sample-rate, {_ELSEWHERE}"
            ) from error

    def start(self) -> None:
        """Begins to record."""
        self._blocks = []

        def keep(block_NC: np.ndarray, count: int, time: Any, status: Any) -> None:
            self._blocks.append(block_NC[:, 0].copy())  # the block is the library's, and used again

        self._stream = self._sounddevice.InputStream(
            samplerate=self.sample_rate, channels=1, dtype="float32", device=self._device, callback=keep
        )
        self._stream.start()

    def stop(self) -> np.ndarray:
        """Ends the recording; gives its samples."""
        if self._stream is None:
            return np.empty(0, np.float32)
        self._stream.stop()
        self._stream.close()
        self._stream = None
        return np.concatenate([np.empty(0, np.float32), *self._blocks])


def _import_sounddevice() -> Any:
    """The package, or one message that says what is missing.

    Raises:
        UserError: it or PortAudio is not installed.
    """
    try:
        import sounddevice
    except ModuleNotFoundError as error:
        raise UserError(
            f"recording from a microphone needs sounddevice: pip install 'speechgru[record]'; {_ELSEWHERE}"
        ) from error
    except OSError as error:  # the package without the system's library
        raise UserError(
            f"recording from a microphone needs PortAudio ({error}); install it (Debian: apt install libportaudio2), "
            f"{_ELSEWHERE}"
        ) from error
    return sounddevice
