"""What the synthetic corpus says: household commands with open slots, and digit strings.

A sentence is drawn by expanding a template; every slot of it holds phrases, which may hold slots again. Numbers
are written as the words that are spoken. To which split a sentence belongs is a property of the sentence itself
(a hash of it), so no seed and no size can put one sentence into two splits.
"""

from __future__ import annotations

import hashlib
import re

import numpy as np

#: The splits in the order in which they are written.
SPLITS = ("train", "dev", "test")

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_DIGITS = _ONES[:10]


def number_words(number: int) -> str:
    """A number in words, as it is spoken: 21 -> "twenty one".

    Args:
        number: 0 to 100.

    Raises:
        ValueError: the number is outside that range.
    """
    if not 0 <= number <= 100:
        raise ValueError(f"number must be 0 to 100, got {number}")
    if number == 100:
        return "one hundred"
    if number < 20:
        return _ONES[number]
    tens, ones = _TENS[number // 10 - 2], number % 10
    return f"{tens} {_ONES[ones]}" if ones else tens


def _numbers(start: int, stop: int, step: int = 1) -> tuple[str, ...]:
    return tuple(number_words(number) for number in range(start, stop + 1, step))


# A phrase stands as often as it should be drawn.
_SLOTS: dict[str, tuple[str, ...]] = {
    "room": (
        "kitchen", "bedroom", "bathroom", "living room", "hall", "office", "garage", "garden", "attic", "basement",
        "dining room", "guest room", "nursery", "study",
    ),
    "light": ("lights", "light", "lamp", "ceiling light", "floor lamp"),
    "device": (
        "heater", "fan", "television", "radio", "coffee machine", "washing machine", "dishwasher", "oven", "alarm",
        "air conditioner", "kettle", "vacuum cleaner", "speaker", "humidifier", "printer",
    ),
    "cover": ("blinds", "curtains", "window", "door", "shutters", "gate"),
    "colour": ("red", "green", "blue", "yellow", "orange", "purple", "pink", "warm white", "cold white"),
    "onoff": ("on", "off"),
    "turn": ("turn", "switch"),
    "updown": ("up", "down"),
    "percent": _numbers(1, 99) + _numbers(11, 19) * 2 + _numbers(10, 100, 10) * 4,
    "degrees": _numbers(5, 30),
    "minutes": _numbers(1, 60) + _numbers(11, 19) + _numbers(10, 60, 10) * 2,
    "hours": _numbers(1, 24),
    "volume": _numbers(0, 10),
    "count": _numbers(2, 12),
    "hour": _numbers(1, 12),
    "minute": _numbers(10, 59) + _numbers(11, 19) + _numbers(15, 45, 15) * 3,
    "past": ("five", "ten", "quarter", "twenty", "half"),
    "before": ("five", "ten", "quarter", "twenty"),
    "part": ("in the morning", "in the afternoon", "in the evening", "tonight", "tomorrow"),
    "time": (
        "{hour} o'clock", "{hour} o'clock", "{hour} {minute}", "{hour} {minute}", "{past} past {hour}",
        "{before} to {hour}", "{hour} o'clock {part}", "{hour} {minute} {part}", "noon", "midnight",
    ),
    "day": ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "tomorrow", "today"),
    "span": (
        "{minutes} minutes", "{minutes} minutes", "{minutes} seconds", "{hours} hours", "one hour", "half an hour",
        "an hour and a half",
    ),
    "music": ("jazz", "rock", "classical music", "folk music", "the radio", "piano music", "dance music", "my songs"),
    "mood": ("quiet", "happy", "slow", "new", "old", "loud"),
    "food": (
        "milk", "bread", "butter", "eggs", "cheese", "apples", "rice", "coffee", "tea", "sugar", "potatoes",
        "onions", "soap", "bananas", "chicken", "salt",
    ),
    "goods": ("{food}", "{food}", "{food} and {food}", "{count} {food}"),
    "list": ("shopping list", "shopping list", "list"),
    "person": ("mum", "dad", "anna", "peter", "grandma", "the doctor", "maria", "david", "my sister", "my brother"),
    "please": ("", "", "", "please "),
    "end": ("", "", "", " please", " now"),
    "task": (
        "call {person}", "water the plants", "feed the cat", "walk the dog", "take out the rubbish", "buy {food}",
        "clean the {room}", "pay the bills",
    ),
    "place": ("in the {room}", "in the {room}", "upstairs", "downstairs", "outside"),
}  # fmt: skip

# (weight, template)
_TEMPLATES: tuple[tuple[float, str], ...] = (
    (4, "{please}{turn} {onoff} the {room} {light}{end}"),
    (2, "{please}{turn} the {room} {light} {onoff}{end}"),
    (2, "{turn} {onoff} the {light} {place}"),
    (3, "{please}{turn} {onoff} the {device}{end}"),
    (2, "{turn} the {device} {place} {onoff}"),
    (3, "set the {room} {light} to {percent} percent{end}"),
    (2, "dim the {light} {place} to {percent} percent"),
    (2, "make the {room} {light} brighter{end}"),
    (2, "make the {light} {place} {colour}"),
    (2, "change the {room} {light} to {colour}{end}"),
    (3, "set the {room} to {degrees} degrees{end}"),
    (2, "make it {degrees} degrees in the {room}"),
    (1, "how warm is it {place}"),
    (1, "is the {cover} {place} locked"),
    (2, "{please}open the {room} {cover}{end}"),
    (2, "{please}shut the {cover} {place}"),
    (1, "lock the {room} door{end}"),
    (1, "open the {cover} to {percent} percent"),
    (3, "set a timer for {span}{end}"),
    (1, "how long is left on the {minutes} minute timer"),
    (1, "cancel the timer for {span}"),
    (2, "start the {device} in {span}"),
    (3, "wake me at {time}{end}"),
    (2, "set an alarm for {time} on {day}"),
    (1, "{please}cancel my {time} alarm"),
    (3, "remind me to {task} at {time}"),
    (3, "remind me to {task} on {day}"),
    (5, "play {music} {place}"),
    (2, "play something {mood}{end}"),
    (2, "play {mood} songs by {person}"),
    (2, "{turn} the volume {updown} to {volume}"),
    (1, "{turn} {updown} the {device} {place}"),
    (1, "set the {device} to level {volume}"),
    (1, "skip {count} songs{end}"),
    (1, "stop the music {place}"),
    (5, "add {goods} to my {list}"),
    (2, "take {food} off my {list}"),
    (1, "what's on my {list} for {day}"),
    (1, "what's the weather like on {day}"),
    (1, "will it rain at {time}"),
    (3, "{please}call {person}{end}"),
    (2, "tell {person} i'll be home at {time}"),
    (1, "don't {turn} {onoff} the {device} before {time}"),
    (1, "good night {turn} everything off {place}"),
    (1, "is the {device} still {onoff}"),
    (1, "who is at the {cover}"),
)

_DIGIT_STRING_SHARE = 0.25
_MAX_DIGITS = 8
_SPLIT_SHARES = {"train": 0.80, "dev": 0.07, "test": 0.13}
_SLOT = re.compile(r"\{(\w+)\}")
_WEIGHTS = np.array([weight for weight, _ in _TEMPLATES]) / sum(weight for weight, _ in _TEMPLATES)


def split_of(sentence: str) -> str:
    """The one split that a sentence belongs to: decided by its SHA-256, about 80 : 7 : 13."""
    share = int.from_bytes(hashlib.sha256(sentence.encode()).digest()[:8], "big") / 2**64
    for split, width in _SPLIT_SHARES.items():
        if share < width:
            return split
        share -= width
    return SPLITS[-1]


def draw_sentence(rng: np.random.Generator) -> str:
    """Draws a command (three of four) or a string of 1 to 8 digits.

    Args:
        rng: the source of chance; it moves on.

    Returns:
        Lower-case words of a-z and the apostrophe, single spaces: exactly what is spoken.
    """
    if rng.random() < _DIGIT_STRING_SHARE:
        return " ".join(_DIGITS[digit] for digit in rng.integers(0, 10, size=rng.integers(1, _MAX_DIGITS + 1)))
    sentence = _TEMPLATES[rng.choice(len(_TEMPLATES), p=_WEIGHTS)][1]
    while "{" in sentence:
        sentence = _SLOT.sub(lambda slot: _SLOTS[slot[1]][rng.integers(len(_SLOTS[slot[1]]))], sentence)
    return sentence


def draw_sentence_of(split: str, rng: np.random.Generator) -> str:
    """Draws sentences until one belongs to `split`."""
    while split_of(sentence := draw_sentence(rng)) != split:
        pass
    return sentence


def is_digit_string(sentence: str) -> bool:
    """Whether a sentence is nothing but digits."""
    return all(word in _DIGITS for word in sentence.split())
