"""Tones that the stored bundles write as letters: what the tests of servers and microphones say."""

from pathlib import Path

import numpy as np

BUNDLES = Path(__file__).parent / "data" / "bundles"
#: A bundle that streams and one that does not. Both write a low tone as "a" and a high one as "b".
STREAMS, WHOLE = BUNDLES / "v3", BUNDLES / "v2"
RATE = 8000
TONES_HZ = {"a": 500.0, "b": 1500.0}


def say(text, *, seed=0, rate=RATE, pause=0.0):
    """Tones that spell a text, at full 16-bit resolution; a space is a pause of a second."""
    rng = np.random.default_rng([seed, 3])
    parts = [0.003 * rng.normal(size=round(rate * 0.1))]
    for letter in text:
        if letter == " ":
            parts.append(0.003 * rng.normal(size=rate))
            continue
        count = round(rate * rng.uniform(0.12, 0.2))
        parts.append(0.3 * np.sin(2 * np.pi * TONES_HZ[letter] * np.arange(count) / rate))
        parts.append(0.003 * rng.normal(size=round(rate * 0.06)))
    parts.append(0.003 * rng.normal(size=round(rate * pause)))
    return np.rint(32767 * np.concatenate(parts)).astype(np.int16)
