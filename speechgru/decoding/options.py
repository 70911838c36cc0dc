"""What a user may ask of decoding, as one value, and the one function that follows it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from speechgru.decoding.beam import beam_decode
from speechgru.decoding.choices import Pruning
from speechgru.decoding.custom_scorer import as_scorer
from speechgru.decoding.grammar import GrammarConstraint
from speechgru.decoding.greedy import greedy_decode
from speechgru.decoding.gru_language import as_gru_language
from speechgru.decoding.hotwords import HOTWORD_BOOST, Hotwords
from speechgru.decoding.hypothesis import Hypothesis
from speechgru.decoding.language import LanguageScorer, WeightedScorer, as_language
from speechgru.decoding.phrases import Phrases
from speechgru.decoding.scorers import PrefixScorer, Scorer, Spelling, compile_together
from speechgru.decoding.settings import DecodingSettings
from speechgru.errors import UserError
from speechgru.grammar import Grammar
from speechgru.language import GRULanguageModel, LanguageModel
from speechgru.text import BLANK_ID, Vocabulary

#: The beam of those who ask for what only a beam can do and name no width.
USUAL_BEAM_WIDTH = 16
#: The fields of language models by the names that `rescore` has for them.
_LANGUAGES = {"language": "language", "gru": "gru_language"}
#: A guard against slips of the keyboard: 100,000,000 looked like a hang.
MAX_BEAM_WIDTH = 10_000


@dataclass(frozen=True)
class DecodingOptions:
    """How to get from log-probabilities to texts; the default is greedy decoding.

    A field that holds a `Scorer` scores the beam's texts, whichever field it is: a new kind of scorer is a field more.

    Args:
        beam_width: prefixes that a beam search keeps a step; 1 is greedy decoding, the best path.
        n_best: hypotheses to give back at most.
        hotwords: phrases to prefer, each with its boost, or phrases alone; kept as `Hotwords`, a mapping.
        hotword_boost: the boost of phrases given alone.
        phrases: the only texts that are allowed.
        grammar: the only sentences that are allowed, which give hypotheses an intent and slots: a `Grammar`, or True
            for the one that the recogniser carries; kept as a `GrammarConstraint`.
        language: a language model, or a `Scorer` that weights one, such as `LanguageScorer`; True for the one that the
            recogniser carries; kept as a `Scorer`.
        gru_language: a GRU language model over labels beside the other one, or a `GRULanguageScorer` that weights it;
            kept as a `Scorer`.
        scorers: what else scores texts, such as a model of your own: each a `PrefixScorer` for the
            recogniser's vocabulary, a function or class that makes one of a vocabulary, or a `Scorer`; kept as
            `Scorer`s.
        rescorers: what scores the texts with which the beam ends, of the same kinds as `scorers`: a second pass, by
            something that is too slow to be asked at every step.
        rescore: which of the language models score these alone too, in place of every step: `language`, `gru`.
        pruning: what else the search may leave out.
        threshold: the least margin (`Hypothesis.margin`) at which a text that was found under a constraint, such as
            phrases, is accepted; None leaves it to the recogniser, which may know one (`speechgru calibrate`), minus
            infinity accepts every text.
        origins: where a hotword or phrase was read, such as `list.txt:3`, for messages.

    Raises:
        UserError: the numbers are out of range, hotwords, phrases, scorers, pruning or several hypotheses are asked of
            greedy decoding, or a scorer is none.
        TextError: a hotword is empty or its boost is not a finite number.

    Example:
        >>> DecodingOptions(beam_width=16, hotwords={"kitchen": 4.0}).description
        'beam of 16, 1 hotword'
    """

    beam_width: int = 1
    n_best: int = 1
    hotwords: Mapping[str, float] | Mapping[str, float | None] | Sequence[str] = ()
    hotword_boost: float = HOTWORD_BOOST
    phrases: Phrases | None = None
    grammar: Grammar | GrammarConstraint | bool | None = None
    language: LanguageModel | Scorer | bool | None = None
    gru_language: GRULanguageModel | Scorer | None = None
    scorers: Sequence[Scorer | PrefixScorer | Callable[[Vocabulary], PrefixScorer]] = ()
    rescorers: Sequence[Scorer | PrefixScorer | Callable[[Vocabulary], PrefixScorer]] = ()
    rescore: Sequence[str] = ()
    pruning: Pruning | None = None
    threshold: float | None = None
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if self.beam_width < 1:
            raise UserError(f"the beam width must be at least 1, got {self.beam_width}")
        if self.beam_width > MAX_BEAM_WIDTH:
            raise UserError(
                f"the beam width must be at most {MAX_BEAM_WIDTH:,}, got {self.beam_width:,}; "
                f"{USUAL_BEAM_WIDTH} is usual"
            )
        if not 1 <= self.n_best <= self.beam_width:
            raise UserError(
                f"{self.n_best} hypotheses of a beam of {self.beam_width}: a beam ends with no more texts than it is "
                "wide, and has one at least; widen it"
            )
        if self.threshold is not None and math.isnan(self.threshold):
            raise UserError("a threshold is a margin, a number of at most 0, got NaN")
        if not isinstance(self.hotwords, Hotwords):
            object.__setattr__(self, "hotwords", Hotwords(self.hotwords, boost=self.hotword_boost))
        object.__setattr__(self, "grammar", _as_constraint(self.grammar))
        object.__setattr__(self, "language", as_language(self.language))
        object.__setattr__(self, "gru_language", as_gru_language(self.gru_language))
        for name in ("scorers", "rescorers"):
            listed = getattr(self, name)
            if not isinstance(listed, Sequence):
                raise UserError(f"{name} must be a list of scorers, got {listed!r}; put it in a list")
            object.__setattr__(self, name, tuple(as_scorer(given) for given in listed))
        self._require_rescoring()
        if self.beam_width == 1 and (self.all_scorers or self.all_rescorers or self.pruning):
            raise UserError(
                "a beam width of 1 is greedy decoding, which applies no hotwords, phrases, grammar, scorers, language "
                f"model or pruning; give a width of 2 or more ({USUAL_BEAM_WIDTH} is usual)"
            )

    @property
    def all_scorers(self) -> tuple[Scorer, ...]:
        """Everything that a beam's texts are scored by at every step: what the fields hold, then `scorers`."""
        fields = self._fields_that_score()
        later = {_LANGUAGES[name] for name in self.rescore}
        return (*(scorer for name, scorer in fields.items() if scorer and name not in later), *self._own_scorers)

    @property
    def _own_scorers(self) -> tuple[Scorer, ...]:
        return cast("tuple[Scorer, ...]", self.scorers)  # `__post_init__` has made them so

    @property
    def all_rescorers(self) -> tuple[Scorer, ...]:
        """Everything that only the texts are scored by with which the beam ends."""
        fields = self._fields_that_score()
        return (*(fields[_LANGUAGES[name]] for name in self.rescore), *self._own_rescorers)

    @property
    def _own_rescorers(self) -> tuple[Scorer, ...]:
        return cast("tuple[Scorer, ...]", self.rescorers)

    @property
    def blank_penalty(self) -> float:
        """What is taken off the blank's log-probability at every step: the most that a language model asks for.

        One that only rescores asks for nothing: the search is done without it.
        """
        asked = (one.complete_weights.blank_penalty for one in self.all_scorers if isinstance(one, WeightedScorer))
        return max((penalty for penalty in asked if penalty is not None), default=0.0)

    def _require_rescoring(self) -> None:
        """Whether every language model that shall rescore is there.

        Raises:
            UserError: one is not, or is none.
        """
        if isinstance(self.rescore, str) or not set(self.rescore) <= _LANGUAGES.keys():
            given = self.rescore if isinstance(self.rescore, str) else ", ".join(map(str, self.rescore))
            raise UserError(f"rescore lists {' and '.join(_LANGUAGES)}, or one of them, got {given!r:.60}")
        object.__setattr__(self, "rescore", tuple(dict.fromkeys(self.rescore)))
        for name in self.rescore:
            if getattr(self, _LANGUAGES[name]) is None:
                flag = {"language": "--language-model", "gru": "--gru-language-model"}[name]
                raise UserError(
                    f"rescore names {name}, and no such language model is given; name its file ({flag} FILE)"
                )

    def _fields_that_score(self) -> dict[str, Scorer]:
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Scorer)}

    @property
    def description(self) -> str:
        """What is done, in a few words."""
        if self.beam_width == 1:
            return "greedy"
        parts = [f"beam of {self.beam_width}", *(scorer.description for scorer in self.all_scorers)]
        parts += [f"rescored by {scorer.description}" for scorer in self.all_rescorers]
        return ", ".join([*parts, "pruned"] if self.pruning else parts)

    def as_record(self) -> dict[str, Any]:
        """The options as JSON-ready fields, for whoever wants to repeat what was done."""
        record = {
            "description": self.description,
            "beam_width": self.beam_width,
            "hotwords": {},
            "phrases": None,
            "repeat_phrases": False,
            "grammar": None,
            "silence": True,
            "language_model": None,
            "gru_language_model": None,
            "scorers": [scorer.description for scorer in self._own_scorers],
            "rescore": list(self.rescore),
            "rescorers": [scorer.description for scorer in self._own_rescorers],
            "pruning": dataclasses.asdict(self.pruning) if self.pruning else None,
            "threshold": self.threshold if self.threshold is None or math.isfinite(self.threshold) else None,
        }
        for scorer in self._fields_that_score().values():
            record |= scorer.as_record()
        return record

    def with_settings(self, settings: DecodingSettings) -> DecodingOptions:
        """The same with numbers that were chosen on recordings; those of what is not asked for change nothing.

        Raises:
            UserError: one is out of range.

        Example:
            >>> DecodingOptions(beam_width=16, hotwords=["attic"]).with_settings(
            ...     DecodingSettings(beam_width=8, hotword_boost=4.0)
            ... ).hotwords
            Hotwords({'attic': 4.0})
        """
        changes: dict[str, Any] = {}
        if settings.beam_width is not None:
            changes["beam_width"] = settings.beam_width
        if settings.hotword_boost is not None:
            changes["hotwords"] = cast("Hotwords", self.hotwords).with_boost(settings.hotword_boost)
        if isinstance(self.language, WeightedScorer):
            changes["language"] = self.language.weighted(settings.language_weights)
        if isinstance(self.gru_language, WeightedScorer):
            changes["gru_language"] = self.gru_language.weighted(settings.gru_weights)
        return dataclasses.replace(self, **changes)

    def with_threshold(self, threshold: float | None) -> DecodingOptions:
        """The same with a recogniser's own threshold, unless these options have one."""
        if threshold is None or self.threshold is not None:
            return self
        return dataclasses.replace(self, threshold=threshold)

    def constrains(self, vocabulary: Vocabulary) -> bool:
        """Whether a scorer forbids texts, so that what is recognised has a margin; of prepared options."""
        scorer = compile_together(self.all_scorers, vocabulary, blank_id=BLANK_ID)
        return scorer is not None and scorer.is_constraint

    def prepared(self, *, normalize: Callable[[str], str], vocabulary: Vocabulary) -> DecodingOptions:
        """The same for one recogniser: its text rules applied to hotwords and phrases, which it must be able to write.

        Whatever a scorer needs time for, such as reading a language model, it does here, once for all utterances.

        Args:
            normalize: the text rules that its transcripts went through (`TextRules.normalize`).
            vocabulary: what it can write.

        Raises:
            TextError: the recogniser cannot write a hotword or phrase, or the rules leave nothing of it, or two
                hotwords become one with two boosts; names it and where it was read.
            UserError: a scorer cannot be made for this vocabulary.
        """
        spelling = Spelling(normalize, vocabulary, self.origins)
        changes: dict[str, Any] = {
            name: scorer.prepared(spelling) for name, scorer in self._fields_that_score().items()
        }
        changes["scorers"] = tuple(scorer.prepared(spelling) for scorer in self._own_scorers)
        changes["rescorers"] = tuple(scorer.prepared(spelling) for scorer in self._own_rescorers)
        return dataclasses.replace(self, **changes)

    def with_grammar_of(self, grammar: Grammar | None) -> DecodingOptions:
        """The same where the recogniser's own grammar is asked for and this is it, or None where it has none."""
        if not isinstance(self.grammar, GrammarConstraint) or self.grammar.grammar is not None:
            return self
        return dataclasses.replace(self, grammar=dataclasses.replace(self.grammar, grammar=grammar))

    def with_language_of(self, own: Callable[[], Scorer | None]) -> DecodingOptions:
        """The same where the recogniser's own language model is asked for and this finds it, or None: it has none."""
        if not isinstance(self.language, LanguageScorer) or self.language.model is not None:
            return self
        found = own()
        return self if found is None else dataclasses.replace(self, language=self.language.instead_of_own(found))

    def is_command(self, text: str) -> bool:
        """Whether a text is one that these options allow: a sentence of the grammar, or one of the phrases.

        Of options that were prepared for a recogniser. Sequences of phrases are not looked for.
        """
        if isinstance(self.grammar, GrammarConstraint):
            return self.grammar.holds(text)
        return isinstance(self.phrases, Phrases) and text in self.phrases.texts

    def understood(self, hypotheses: list[Hypothesis]) -> list[Hypothesis]:
        """Hypotheses with the intents and slots of their texts, where a grammar gives texts a meaning."""
        if not isinstance(self.grammar, GrammarConstraint):
            return hypotheses
        return [self.grammar.understood(hypothesis) for hypothesis in hypotheses]


def _as_constraint(grammar: Grammar | GrammarConstraint | bool | None) -> GrammarConstraint | None:
    if grammar is None or isinstance(grammar, GrammarConstraint):
        return grammar
    if isinstance(grammar, bool):
        return GrammarConstraint(None) if grammar else None
    if not isinstance(grammar, Grammar):
        raise UserError(f"grammar must be a Grammar, or True for the recogniser's own, got {grammar!r:.60}")
    return GrammarConstraint(grammar)


def decode(
    log_probs_SV: np.ndarray, *, vocabulary: Vocabulary, step_seconds: float, options: DecodingOptions
) -> list[Hypothesis]:
    """Decodes one utterance as the options say.

    Args:
        log_probs_SV: natural-log probabilities, one row a step of the utterance, one column a label.
        vocabulary: the characters or words of the columns.
        step_seconds: seconds from one step to the next.
        options: what to do; hotwords and phrases as the vocabulary writes them (`DecodingOptions.prepared`).

    Returns:
        Up to `options.n_best` hypotheses, the best first, at least one.

    Raises:
        ValueError: the log-probabilities do not fit the vocabulary.
        TextError: the vocabulary cannot write a hotword or phrase.
    """
    if options.beam_width == 1:
        return [greedy_decode(log_probs_SV, vocabulary=vocabulary, step_seconds=step_seconds)]
    hypotheses = beam_decode(
        log_probs_SV,
        vocabulary=vocabulary,
        step_seconds=step_seconds,
        beam_width=options.beam_width,
        n_best=options.n_best,
        scorers=options.all_scorers,
        pruning=options.pruning,
        threshold=options.threshold,
        rescorers=options.all_rescorers,
        blank_penalty=options.blank_penalty,
    )
    return options.understood(hypotheses)
