"""The microphone: what a session needs of one, and the one of sounddevice."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np

from speechgru.errors import UserError

#: Seconds of sound in a block of a microphone that is listened to, and how many blocks wait before some are lost.
_BLOCK_SECONDS, _MAX_WAITING = 0.05, 400
#: Seconds without a block after which a microphone is gone: unplugged ones end, or stay and give nothing.
_SILENT_SECONDS = 2.0
#: Seconds from one attempt to open a microphone again to the next.
_PAUSE_SECONDS = 1.0

_ELSEWHERE = "or record elsewhere, one file a line of prompts.txt, and give their folder with --from"

_FILES = "or give recordings as files"


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
        for_corpus: whether `speechgru record` asks, whose other ways a message then names.

    Raises:
        UserError: sounddevice or PortAudio is not installed, or there is no such microphone; says how to get it.
    """

    def __init__(self, *, sample_rate: int = 16000, device: int | str | None = None, for_corpus: bool = True):
        self.sample_rate = sample_rate
        self._blocks: list[np.ndarray] = []
        otherwise = _ELSEWHERE if for_corpus else _FILES
        self._sounddevice = _import_sounddevice(otherwise)
        self._stream: Any = None
        self._device = device
        try:
            self._sounddevice.check_input_settings(device=device, channels=1, samplerate=sample_rate, dtype="float32")
        except Exception as error:  # PortAudioError, and ValueError of a device that is not there
            raise UserError(
                f"no microphone records {sample_rate:,} Hz here ({error}); connect one, name one with --device, "
                f"{'give another --sample-rate, ' if for_corpus else ''}{otherwise}"
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


class MicrophoneLostError(UserError):
    """A microphone that gives no sound any more."""


class LiveMicrophone:
    """The system's microphone while somebody speaks, by sounddevice and PortAudio (extra `microphone`).

    It is open from the first block that is asked for, until `close`.

    Args:
        sample_rate: Hz that are wanted; where the device has no such rate, its own is used.
        device: the device's number or a part of its name; the system's choice when None.

    Raises:
        UserError: sounddevice or PortAudio is not installed, or there is no such microphone; says how to get it.
    """

    def __init__(self, *, sample_rate: int, device: int | str | None = None):
        self._sounddevice = _import_sounddevice(_FILES)
        self._wanted, self._device = sample_rate, device
        self._stream: Any = None
        self._blocks: queue.Queue[np.ndarray | None] = queue.Queue()
        #: Hz of the samples.
        self.sample_rate = self._possible_rate()
        #: Blocks that came while too many others waited, and are lost.
        self.num_lost = 0

    def blocks(self) -> Iterator[np.ndarray]:
        """`samples_N` as they come, float32 in [-1, 1], some 0.05 s each.

        Raises:
            MicrophoneLostError: it was unplugged, or gives nothing any more.
        """
        if self._stream is None:
            self._open()
        while True:
            try:
                samples_N = self._blocks.get(timeout=_SILENT_SECONDS)
            except queue.Empty:
                samples_N = None
            if samples_N is None:
                self.close()
                raise MicrophoneLostError(f"the microphone{self._name} gives no sound any more; is it unplugged?")
            yield samples_N

    def reopen(self, *, patience_seconds: float) -> None:
        """Waits until it is there again, and opens it.

        Raises:
            UserError: it was not back in this time.
        """
        deadline = time.monotonic() + patience_seconds
        while True:
            # PortAudio knows the devices that there were when it began; there is no public way to let it look again.
            with contextlib.suppress(Exception):
                self._sounddevice._terminate()
                self._sounddevice._initialize()
            try:
                self.sample_rate = self._possible_rate()
                self._open()
                return
            except UserError as error:
                if time.monotonic() >= deadline:
                    raise UserError(f"{error} (waited {patience_seconds:g} s for it to come back)") from error
            time.sleep(_PAUSE_SECONDS)

    def close(self) -> None:
        """Lets go of the device; what it had recorded and nobody asked for is dropped."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with contextlib.suppress(Exception):  # PortAudioError of a device that is gone
                stream.abort()
                stream.close()
        self._blocks = queue.Queue()

    @property
    def _name(self) -> str:
        return "" if self._device is None else f" {self._device}"

    def _possible_rate(self) -> int:
        """The wanted rate, or the device's own."""
        try:
            with contextlib.suppress(self._sounddevice.PortAudioError):
                self._check(self._wanted)
                return self._wanted
            own = round(self._sounddevice.query_devices(self._device, "input")["default_samplerate"])
            self._check(own)
            return own
        except Exception as error:  # PortAudioError, and ValueError of a device that is not there
            raise UserError(
                f"there is no microphone{self._name} ({error}); connect one, or name one of --list-microphones with "
                "--device"
            ) from error

    def _check(self, sample_rate: int) -> None:
        self._sounddevice.check_input_settings(device=self._device, channels=1, samplerate=sample_rate, dtype="float32")

    def _open(self) -> None:
        blocks = self._blocks = queue.Queue()

        def keep(block_NC: np.ndarray, count: int, time: Any, status: Any) -> None:
            if blocks.qsize() < _MAX_WAITING:
                blocks.put(block_NC[:, 0].copy())  # the block is the library's, and used again
            else:
                self.num_lost += 1

        try:
            self._stream = self._sounddevice.InputStream(
                samplerate=self.sample_rate,
                channels=1,
                dtype="float32",
                device=self._device,
                blocksize=round(_BLOCK_SECONDS * self.sample_rate),
                callback=keep,
                finished_callback=lambda: blocks.put(None),
            )
            self._stream.start()
        except Exception as error:  # PortAudioError
            raise UserError(
                f"the microphone{self._name} cannot be opened ({error}); does another program use it?"
            ) from error


def list_microphones() -> list[dict[str, Any]]:
    """The devices that record.

    Returns:
        JSON-ready records: `number`, `name`, `num_channels`, `sample_rate` (its own, Hz), `is_default`.

    Raises:
        UserError: sounddevice or PortAudio is not installed.
    """
    sounddevice = _import_sounddevice(_FILES)
    default = sounddevice.default.device[0]
    return [
        {
            "number": number,
            "name": device["name"],
            "num_channels": device["max_input_channels"],
            "sample_rate": round(device["default_samplerate"]),
            "is_default": number == default,
        }
        for number, device in enumerate(sounddevice.query_devices())
        if device["max_input_channels"]
    ]


def _import_sounddevice(otherwise: str) -> Any:
    """The package, or one message that says what is missing.

    Args:
        otherwise: what a person can do without it.

    Raises:
        UserError: it or PortAudio is not installed.
    """
    try:
        import sounddevice
    except ModuleNotFoundError as error:
        raise UserError(
            f"recording from a microphone needs sounddevice: pip install 'speechgru[microphone]'; {otherwise}"
        ) from error
    except OSError as error:  # the package without the system's library
        raise UserError(
            f"recording from a microphone needs PortAudio ({error}); install it (Debian: apt install libportaudio2), "
            f"{otherwise}"
        ) from error
    return sounddevice
