"""A sitting at the microphone: prompt, record, judge at once, offer again; ended at any time, nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from speechgru.recording.corpus import RecordingFolder, missing_prompts
from speechgru.recording.microphone import Microphone
from speechgru.recording.quality import Quality, judge_recording

#: Asks for a line and gives it, stripped and in lower case; an `EOFError` ends the sitting.
Ask = Callable[[str], str]
#: Prints a line.
Tell = Callable[[str], None]


def record_prompts(
    folder: RecordingFolder, prompts: Sequence[str], microphone: Microphone, *, ask: Ask, tell: Tell
) -> None:
    """Goes through the prompts that were not recorded yet, until the person ends it.

    Each recording is written as soon as it is accepted, so that Ctrl-C at any moment loses at most the one that was
    being made.

    Args:
        folder: where the recordings are kept.
        prompts: all of them.
        microphone: records.
        ask: asks the person for a line.
        tell: shows the person a line.

    Raises:
        UserError: the folder cannot be written.
    """
    number: int | None = None
    waiting = missing_prompts(prompts, folder.recorded())
    tell(f"{len(prompts) - len(waiting)} of {len(prompts)} prompts are recorded.")
    last = 0
    while waiting:
        number = waiting[0]
        text = prompts[number - 1]
        tell(f"\n{number} of {len(prompts)}:  {text}")
        back = ", r repeats the last one" if last else ""
        try:
            answer = ask(f"Enter begins, s skips{back}, q ends: ")
            if answer == "q":
                return
            if answer == "s":
                waiting.pop(0)
            elif answer == "r" and last:
                waiting.insert(0, last)
                last = 0
            elif not answer and _record(folder, number, text, microphone, ask=ask, tell=tell):
                waiting.pop(0)
                last = number
        except EOFError:
            return


def _record(folder: RecordingFolder, number: int, text: str, microphone: Microphone, *, ask: Ask, tell: Tell) -> bool:
    """Records one prompt; gives whether it was kept."""
    samples_N = _listen(microphone, ask)
    quality = judge_recording(samples_N, microphone.sample_rate, text)
    for message in (*quality.problems, *quality.suspicions):
        tell(message)
    if not quality.is_good and (quality.problems or ask("Enter offers the prompt again, k keeps it: ") != "k"):
        return False
    folder.keep(number, text, samples_N, microphone.sample_rate)
    tell(describe(quality))
    return True


def _listen(microphone: Microphone, ask: Ask) -> np.ndarray:
    """What is said until the person presses Enter; the microphone is off afterwards, whatever happens."""
    try:
        microphone.start()
        ask("recording ... Enter ends: ")
    except BaseException:
        microphone.stop()
        raise
    return microphone.stop()


def describe(quality: Quality) -> str:
    """A kept recording in a line.

    >>> describe(Quality(1.5, -12.3, (), ()))
    'kept: 1.5 s, loudest sample at -12 dB'
    """
    return f"kept: {quality.seconds:.1f} s, loudest sample at {quality.peak_db:.0f} dB"
