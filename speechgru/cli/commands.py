"""Every command: importing this module registers them, in the order in which help lists them."""

from speechgru.cli import (  # noqa: F401
    aligning,
    beginning,
    bundle,
    corpus,
    doctoring,
    grammar,
    gru_language,
    language,
    person,
    rejection,
    scoring,
    serving,
    sharding,
    spotting,
    training,
    transcribing,
    web,
)
