"""Numbers of a search that were chosen on recordings, in a file: what `speechgru tune --decoding` writes."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechgru.decoding.language import LanguageWeights
from speechgru.errors import UserError
from speechgru.fields import number, optional, record, whole
from speechgru.files import read_text

#: A file of settings is no larger.
_MOST_BYTES = 1 << 20
_FIELDS = {
    "beam_width": optional(whole(1, 10_000)),
    **dict.fromkeys(("hotword_boost", "word_bonus", "gru_word_bonus"), optional(number(-1e3, 1e3))),
    **dict.fromkeys(("language_weight", "unknown_penalty", "gru_weight"), optional(number(0, 1e3))),
    "blank_penalty": optional(number(0, 1e2)),
}


@dataclass(frozen=True)
class DecodingSettings:
    """Numbers of `DecodingOptions`, each as the command line calls it; None leaves it as it is.

    Args:
        beam_width: texts that the search follows.
        hotword_boost: of hotwords without a boost of their own.
        language_weight: what a language model's log-probabilities count.
        word_bonus: what each word is given beside.
        unknown_penalty: what each word costs that the language model does not know.
        gru_weight: what the log-probabilities of a GRU language model beside it count.
        gru_word_bonus: what each word is given beside that.
        blank_penalty: what is taken off the blank at every step where there is a language model of either kind.

    Example:
        >>> DecodingSettings(beam_width=16).over(DecodingSettings(8, language_weight=0.7)).as_record()
        {'beam_width': 16, 'language_weight': 0.7}
    """

    beam_width: int | None = None
    hotword_boost: float | None = None
    language_weight: float | None = None
    word_bonus: float | None = None
    unknown_penalty: float | None = None
    gru_weight: float | None = None
    gru_word_bonus: float | None = None
    blank_penalty: float | None = None

    @property
    def language_weights(self) -> LanguageWeights:
        """What a language model counts."""
        return LanguageWeights(self.language_weight, self.word_bonus, self.unknown_penalty, self.blank_penalty)

    @property
    def gru_weights(self) -> LanguageWeights:
        """What a GRU language model beside it counts."""
        return LanguageWeights(self.gru_weight, self.gru_word_bonus, blank_penalty=self.blank_penalty)

    @property
    def weights_of_only_gru(self) -> LanguageWeights:
        """What a GRU language model counts where there is no other, whichever option its numbers were chosen by."""
        return self.gru_weights.over(self.language_weights)

    def over(self, other: DecodingSettings) -> DecodingSettings:
        """These, and another's where these say nothing."""
        return dataclasses.replace(other, **self.as_record())

    def as_record(self) -> dict[str, Any]:
        """The numbers that are set, JSON-ready."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}

    @classmethod
    def read(cls, path: str | Path) -> DecodingSettings:
        """What `speechgru tune --decoding` wrote, or a JSON object of such numbers; `tuned` says how they were chosen.

        Raises:
            UserError: the file cannot be read, or holds something else.
        """
        try:
            values = json.loads(read_text(path, most=_MOST_BYTES))
        except OSError as error:
            raise UserError(f"{path}: the settings of decoding cannot be read ({error.strerror or error})") from error
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: is no JSON, as `speechgru tune --decoding` writes it ({error})") from error
        unknown = sorted(values.keys() - _FIELDS.keys() - {"tuned"}) if isinstance(values, dict) else []
        if not isinstance(values, dict) or unknown:
            raise UserError(
                f"{path}: must be a JSON object of {', '.join(_FIELDS)}, "
                f"got {', '.join(map(repr, unknown)) or type(values).__name__}"
            )
        try:
            record({}, _FIELDS)({key: value for key, value in values.items() if key != "tuned"}, "settings")
        except ValueError as error:
            raise UserError(f"{path}: {error}") from error
        return cls(**{name: values.get(name) for name in _FIELDS})


def rounded(value: float) -> float:
    """A number without the noise of its last digits, as settings are written."""
    return float(f"{value:.6g}") if math.isfinite(value) else value
