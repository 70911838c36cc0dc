"""How to decode, as options of the commands that transcribe; and the table of what a threshold does."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from speechgru.cli.console import Table

if TYPE_CHECKING:
    from speechgru.decoding import DecodingOptions

BeamWidth = Annotated[
    int | None,
    typer.Option(min=1, help="Texts that a beam search follows; 1 is greedy. 16 where the options below need one."),
]
Hotword = Annotated[
    list[str] | None, typer.Option("--hotword", metavar="TEXT[=BOOST]", help="A phrase to prefer; may be repeated.")
]
Hotwords = Annotated[
    Path | None, typer.Option("--hotwords", help="File with such a phrase a line, its boost after a tab or none.")
]
Phrases = Annotated[Path | None, typer.Option("--phrases", help="File with the only texts allowed, one a line.")]
RepeatPhrases = Annotated[bool, typer.Option("--repeat-phrases", help="Allow any sequence of the phrases.")]
Silence = Annotated[
    bool, typer.Option("--silence/--no-silence", help="With phrases or a grammar: whether nothing may be the answer.")
]
GrammarFlag = Annotated[
    bool, typer.Option("--grammar", help="Allow only sentences of the recogniser's grammar; show intent and slots.")
]
GrammarFile = Annotated[
    Path | None, typer.Option("--grammar-file", help="Another grammar to use so: a file of sentence templates.")
]
OwnLanguage = Annotated[
    bool, typer.Option("--lm", help="Score texts by the language model that the recogniser carries.")
]
LanguageModel = Annotated[
    Path | None,
    typer.Option("--language-model", help="Another one to use so: .ngram, ARPA, KenLM's binary file, or a GRU's."),
]
LanguageWeight = Annotated[
    float | None,
    typer.Option("--language-weight", min=0, help="What its log-probabilities count beside the recogniser's."),
]
WordBonus = Annotated[
    float | None,
    typer.Option("--word-bonus", help="What each word is given: a language model favours few words."),
]
UnknownPenalty = Annotated[
    float | None,
    typer.Option("--unknown-penalty", min=0, help="What each word unknown to it costs beside; inf allows none."),
]
BlankPenalty = Annotated[
    float | None,
    typer.Option(
        "--blank-penalty",
        min=0,
        max=100,
        help="Beside a language model: taken off the blank, which writes nothing, at each step; more writes more.",
    ),
]
Settings = Annotated[
    Path | None,
    typer.Option("--decoding", help="Numbers that `tune --decoding` chose, where none are given here."),
]
WindowSeconds = Annotated[
    float | None,
    typer.Option(
        help="Compute at most so much of a recording at once (inf: all), where a model does not stream. Else what "
        "fits its training; 120 of bundles that do not know it."
    ),
]
GRULanguageFile = Annotated[
    Path | None,
    typer.Option("--gru-language-model", help="A GRU language model that scores texts too (`language train-gru`)."),
]
GRUWeight = Annotated[
    float | None, typer.Option("--gru-weight", min=0, help="What its log-probabilities count; 0.5 where none is given.")
]
GRUWordBonus = Annotated[
    float | None, typer.Option("--gru-word-bonus", help="What each word of a text is given then; else 0.5.")
]
Rescore = Annotated[
    list[str] | None,
    typer.Option(
        "--rescore",
        metavar="gru|language",
        help="Let this language model score only the texts with which the beam ends; may be repeated.",
    ),
]
Scorer = Annotated[
    list[str] | None,
    typer.Option(
        "--scorer",
        metavar="FILE.py:FUNCTION[=ARGUMENT]",
        help="Python code of yours, which is run, that scores texts; may be repeated.",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(max=0, help="Least margin of a text that is accepted; the recogniser's own where none is given."),
]
Negatives = Annotated[
    list[Path] | None,
    typer.Option("--negatives", help="Manifest of recordings without a command; may be repeated."),
]
FalseAccepts = Annotated[
    float | None,
    typer.Option("--false-accepts-per-hour", min=0, help="Choose the threshold that keeps this rate; 1 by default."),
]
Misses = Annotated[
    float | None,
    typer.Option("--misses", min=0, max=100, help="Or the one that misses at most this percentage of the commands."),
]


@dataclass(frozen=True)
class DecodingFlags:
    """How to decode, as the command line gives it: an option of that name for each field (`with_decoding`)."""

    beam_width: BeamWidth = None
    hotword: Hotword = None
    hotwords: Hotwords = None
    phrases: Phrases = None
    repeat_phrases: RepeatPhrases = False
    grammar: GrammarFlag = False
    grammar_file: GrammarFile = None
    lm: OwnLanguage = False
    language_model: LanguageModel = None
    language_weight: LanguageWeight = None
    word_bonus: WordBonus = None
    unknown_penalty: UnknownPenalty = None
    blank_penalty: BlankPenalty = None
    settings: Settings = None
    silence: Silence = True
    gru_language_model: GRULanguageFile = None
    gru_weight: GRUWeight = None
    gru_word_bonus: GRUWordBonus = None
    rescore: Rescore = None
    scorer: Scorer = None
    threshold: Threshold = None

    @property
    def files(self) -> list[Path | None]:
        """What is read, so that nothing is written over it."""
        return [
            self.hotwords,
            self.phrases,
            self.grammar_file,
            self.language_model,
            self.gru_language_model,
            self.settings,
        ]

    def options(self, *, n_best: int = 1) -> DecodingOptions:
        """What they ask for.

        Raises:
            UserError: as `options_from_lists`.
        """
        from speechgru.decoding import options_from_lists

        return options_from_lists(
            n_best=n_best,
            hotwords=self.hotword or (),
            hotword_file=self.hotwords,
            phrase_file=self.phrases,
            language=self.lm,
            rescore=self.rescore or (),
            scorers=self.scorer or (),
            **{name: getattr(self, name) for name in _GIVEN_AS_THEY_ARE},
        )


#: The fields that `options_from_lists` takes by the same name.
_GIVEN_AS_THEY_ARE = (
    *("beam_width", "repeat_phrases", "grammar", "grammar_file", "language_model", "language_weight", "word_bonus"),
    *("unknown_penalty", "blank_penalty", "settings", "silence"),
    *("gru_language_model", "gru_weight", "gru_word_bonus", "threshold"),
)
#: The options of GRU language models, which not every command has.
GRU_FLAGS = ("gru_language_model", "gru_weight", "gru_word_bonus", "rescore")


def with_decoding(*, without: Iterable[str] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of `DecodingFlags`, in the place of its parameter `flags`, which is made of them.

    Args:
        without: fields for which the command has no option.
    """
    hints = get_type_hints(DecodingFlags, include_extras=True)
    fields = [field for field in dataclasses.fields(DecodingFlags) if field.name not in frozenset(without)]
    options = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields
    ]

    def change(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def changed(**given: Any) -> None:
            command(flags=DecodingFlags(**{field.name: given.pop(field.name) for field in fields}), **given)

        own = get_type_hints(command, include_extras=True)
        parameters: list[inspect.Parameter] = []
        for name, parameter in inspect.signature(command).parameters.items():
            here = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=own[name])
            parameters += options if name == "flags" else [here]
        # Typer reads both.
        changed.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": None}
        changed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return changed

    return change


def rejection_table(rejection: dict[str, Any]) -> Table:
    """Thresholds by what they do: the one for the asked rate, the one in use, and some shares of misses."""
    number, wrong = rejection["num_commands"], rejection["num_wrong"]
    left_out = rejection.get("num_commands_left_out", 0)
    table = Table(
        "threshold for",
        "margin",
        "false accepts an hour",
        "misses",
        title=f"{number:,} {'command' if number == 1 else 'commands'}, {wrong:,} recognised wrongly, against "
        f"{rejection['negative_seconds'] / 3600:.2f} h of negatives (95 % intervals)",
        caption=f"{left_out:,} of the negatives are commands, and left out" if left_out else None,
    )
    asked = rejection["asked"]
    if asked["misses"] is not None:
        wanted = f"{100 * asked['misses']:g} % misses (asked)"
    else:
        wanted = f"{asked['false_accepts_per_hour']:g} an hour (asked)"
    rows = {wanted: rejection["chosen"], "in use": rejection["in_use"]}
    rows |= {f"{100 * point['misses']:g} % misses": point for point in rejection["at_misses"]}
    for name, point in rows.items():
        if point is not None:
            low, high = point["false_accepts_interval"]
            table.add_row(
                name,
                f"{point['threshold']:.3f}",
                f"{point['false_accepts_per_hour']:.2f} ({low:.2f} to {high:.2f})",
                f"{point['miss_rate']:.2%} ({describe_interval(point['miss_interval'])})",
            )
        elif name == wanted:
            table.add_row(name, "none", "–", "more are recognised wrongly")
    return table


def describe_interval(interval: Any) -> str:
    """Both ends in percent; empty where there is no interval."""
    return "" if interval is None else f"{interval[0]:.2%} to {interval[1]:.2%}"
