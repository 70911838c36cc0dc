"""`transcribe --microphone`: utterance by utterance, through a sound card that is none and may be unplugged."""

import json
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from spelt import RATE, STREAMS, WHOLE, say

from speechgru.cli import console
from speechgru.decoding import EndpointRule
from speechgru.errors import UserError
from speechgru.recording import LiveMicrophone, dictate, list_microphones
from speechgru.recording import microphone as module
from speechgru.runtime import Recognizer


class PortAudioError(Exception):
    """As sounddevice's."""


class SoundCard:
    """What of sounddevice a microphone needs: each opening plays the next sound, then the device is as `ends` says.

    Args:
        *sounds: what is said, int16.
        rates: the rates that the device has.
        ends: what follows a sound: `unplugged` (the stream ends), `dead` (no block comes any more), or `ctrl-c`.
        back_after: at which look for devices it is there again.
    """

    def __init__(self, *sounds, rates=(RATE,), ends="unplugged", back_after=1):
        self.sounds, self.rates, self.ends, self.back_after = list(sounds), rates, ends, back_after
        self.PortAudioError, self.default = PortAudioError, SimpleNamespace(device=(2, 0))
        self.num_looks, self.open, self.is_there = 0, 0, True

    def query_devices(self, device=None, kind=None):
        everything = [
            {"name": "speaker", "max_input_channels": 0, "default_samplerate": 48000.0},
            {"name": "desk", "max_input_channels": 1, "default_samplerate": 44100.0},
            {"name": "[bold]head\x1bset", "max_input_channels": 2, "default_samplerate": float(self.rates[0])},
        ]
        return everything if kind is None else everything[2]

    def check_input_settings(self, *, device, samplerate, **settings):
        if not self.is_there or device == "attic":
            raise ValueError(f"No input device matching {device!r}")
        if samplerate not in self.rates:
            raise PortAudioError("Invalid sample rate")

    def _terminate(self):
        self.num_looks += 1

    def _initialize(self):
        self.is_there = self.num_looks >= self.back_after and bool(self.sounds)

    def InputStream(self, **settings):
        return CardStream(self, **settings)


class CardStream:
    def __init__(self, card, *, samplerate, blocksize, callback, finished_callback, **settings):
        self.card, self.size, self.callback, self.finished = card, blocksize, callback, finished_callback
        assert samplerate == card.rates[0] and settings["channels"] == 1

    def start(self):
        self.card.open += 1
        self.thread = self.card.thread = threading.Thread(target=self._play, args=(self.card.sounds.pop(0),))
        self.thread.start()

    def _play(self, samples_N):
        block_NC = np.zeros((self.size, 1), np.float32)  # PortAudio's own, used again
        for start in range(0, len(samples_N) - self.size, self.size):
            block_NC[:, 0] = samples_N[start : start + self.size] / 32768
            self.callback(block_NC, self.size, None, None)
        if self.card.ends == "unplugged":
            self.card.is_there = False
            self.finished()

    def abort(self):
        self.thread.join()

    def close(self):
        self.card.open -= 1
        raise PortAudioError("the device is gone")


@pytest.fixture
def plug(monkeypatch):
    """Plugs a card in, and makes nobody wait."""

    def plug(*sounds, **options):
        card = SoundCard(*sounds, **options)
        monkeypatch.setitem(sys.modules, "sounddevice", card)
        monkeypatch.setattr(module, "_SILENT_SECONDS", 0.2)
        monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.01)
        return card

    return plug


def test_utterances_are_those_of_the_stream_and_the_text_grows(plug):
    card, shown = plug(say("ab b aab", pause=1.0)), []
    spoken = dictate(Recognizer(STREAMS), LiveMicrophone(sample_rate=RATE), show=shown.append)
    assert [next(spoken).text for _ in range(3)] == ["ab", "b", "aab"]
    spoken.close()
    assert card.open == 0, "the device is let go of"
    assert [text for text in shown if text] == ["a", "ab", "b", "a", "aa", "aab"]


def test_a_microphone_that_stays_away_is_one_message(plug):
    card, told = plug(say("ab"), back_after=10**9), []
    spoken = dictate(Recognizer(STREAMS), LiveMicrophone(sample_rate=RATE), tell=told.append, patience_seconds=0.05)
    assert next(spoken).text == "ab", "what was said before it was unplugged"
    with pytest.raises(UserError, match=r"there is no microphone \(No input device.*--device \(waited 0\.05 s for it"):
        next(spoken)
    assert told == ["the microphone gives no sound any more; is it unplugged? Waiting for it (Ctrl-C ends)"]
    assert card.open == 0


@pytest.mark.parametrize("ends", ["unplugged", "dead"])
def test_a_microphone_that_comes_back_is_used_again(plug, ends):
    card, told = plug(say("ab"), say("ba", pause=1.0), ends=ends, back_after=3), []
    microphone = LiveMicrophone(sample_rate=RATE, device="headset")
    spoken = dictate(Recognizer(STREAMS), microphone, tell=told.append)
    assert [next(spoken).text for _ in range(2)] == ["ab", "ba"], "what was said before ends with the device"
    spoken.close()
    assert told[0].startswith("the microphone headset gives no sound any more; is it unplugged?")
    assert told[1:] == ["the microphone is back"] and (card.num_looks >= 3 or ends == "dead")


def test_a_device_without_the_bundles_rate_is_used_at_its_own(plug):
    plug(say("abba", rate=44100, pause=1.2), rates=(44100,))
    microphone = LiveMicrophone(sample_rate=RATE)
    assert microphone.sample_rate == 44100
    assert next(dictate(Recognizer(STREAMS), microphone, endpoint=EndpointRule(trailing_seconds=0.4))).text == "abba"


def test_sound_that_comes_faster_than_it_is_recognised_is_counted_when_it_is_lost(plug, monkeypatch):
    monkeypatch.setattr(module, "_MAX_WAITING", 3)
    card, told = plug(say("ab", pause=1.5), ends="dead"), []
    microphone = LiveMicrophone(sample_rate=RATE)

    def slow(text):
        """As a machine that computes for longer than the sound lasts."""
        card.thread.join()

    spoken = dictate(Recognizer(STREAMS), microphone, show=slow, tell=told.append, patience_seconds=0)
    with pytest.raises(UserError):
        list(spoken)
    # A busy machine may lose some before the text is shown, and tells of them apart.
    lost = [int(each.split()[0]) for each in told if "pieces of sound were lost: this machine is too slow" in each]
    assert sum(lost) == microphone.num_lost > 10


def test_ctrl_c_ends_the_last_utterance(plug):
    class Interrupting(LiveMicrophone):
        def blocks(self):
            try:
                yield from super().blocks()
            except UserError:
                raise KeyboardInterrupt from None

    card = plug(say("ab"))
    spoken = dictate(Recognizer(STREAMS), Interrupting(sample_rate=RATE))
    assert next(spoken).text == "ab"
    with pytest.raises(KeyboardInterrupt):
        next(spoken)
    assert card.open == 0


def test_microphones_are_listed_with_the_systems_choice(plug):
    plug()
    assert list_microphones() == [
        {"number": 1, "name": "desk", "num_channels": 1, "sample_rate": 44100, "is_default": False},
        {"number": 2, "name": "[bold]head\x1bset", "num_channels": 2, "sample_rate": RATE, "is_default": True},
    ]


@pytest.fixture
def command(monkeypatch, capsys):
    def run(*arguments, lines=()):
        left = list(lines)

        def answer(*question):
            if not left:
                raise EOFError
            return left.pop(0)

        monkeypatch.setattr("builtins.input", answer)
        monkeypatch.setattr(sys, "argv", ["speechgru", "transcribe", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            console.main()
        out, err = capsys.readouterr()
        return ended.value.code, out, " ".join(err.split())

    return run


def test_the_command_prints_an_utterance_a_line(plug, command):
    plug(say("ab b", pause=1.0), ends="dead")
    code, out, err = command(STREAMS, "--microphone", "--once", "--endpoint", "0.3")
    assert (code, out) == (0, "ab\n") and err == f"loading {STREAMS} speak; Ctrl-C ends"
    plug(say("b", pause=1.5), ends="dead")
    code, out, _ = command(STREAMS, "--microphone", "--once", "--json")
    assert code == 0 and json.loads(out)["text"] == "b" and out.count("\n") == 1
    plug()
    code, out, _ = command("--list-microphones")
    assert code == 0 and "2 (default)" in out and "44,100" in out and "\x1b" not in out and "[bold]" in out


def test_without_streams_one_pushes_to_talk(monkeypatch, command):
    class Held:
        def __init__(self, *, sample_rate, device, for_corpus):
            self.sample_rate, self.device, self.left = sample_rate, device, [say("ab"), say("b")]

        def start(self):
            pass

        def stop(self):
            return (self.left.pop(0) / 32768).astype(np.float32)

    monkeypatch.setattr("speechgru.recording.SoundDeviceMicrophone", Held)
    code, out, err = command(WHOLE, "--microphone", lines=["", "", "", ""])
    assert (code, out) == (0, "ab\nb\n") and err.startswith(f"loading {WHOLE} press Enter and speak")
    assert command(WHOLE, "--microphone", "--once", lines=["", ""])[:2] == (0, "ab\n")
    assert command(WHOLE, "--microphone", "--endpoint", "1")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([STREAMS], "Missing argument 'AUDIO...': give recordings, or speak into --microphone"),
        ([STREAMS, "a.wav", "--microphone"], "exclude each other"),
        ([STREAMS, "a.wav", "--once"], "--once belongs to --microphone"),
        ([STREAMS, "a.wav", "--device", "desk"], "--device belongs to --microphone"),
        ([STREAMS, "--microphone", "--words"], "leave them out with --microphone"),
        (
            [STREAMS, "--microphone", "--device", "attic"],
            "there is no microphone attic (No input device matching 'attic')",
        ),
    ],
)
def test_mistakes_are_one_message(plug, command, arguments, message):
    plug()
    code, out, err = command(*arguments)
    assert code == 2 and not out and message in err, err


def test_a_missing_package_is_one_message(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UserError, match=r"pip install 'speechgru\[microphone\]'; or give recordings as files"):
        LiveMicrophone(sample_rate=RATE)
