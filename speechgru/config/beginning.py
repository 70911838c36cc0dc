"""What a run begins with beside its corpus: another run's weights and a grammar; loads no TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from speechgru.config.base_model import BASE, require_base, start_folder
from speechgru.config.differences import find_differences
from speechgru.config.load import load_config
from speechgru.config.resuming import with_keys
from speechgru.config.sections import RunConfig
from speechgru.config.sizing import is_set, model_of_start
from speechgru.errors import ConfigError, UserError
from speechgru.grammar import Grammar
from speechgru.runs import RunFolder, load_checkpoint
from speechgru.text import Vocabulary

#: Sections that say what the weights mean, beside `data.sample_rate`, and the one key of them that does not.
_SECTIONS = ("features", "model")
_MAY_DIFFER = "model.dropout"
#: Labels that a message names at most, and keys whose two values it compares; it tells how to set all of them.
_NAMED, _COMPARED = 8, 4


def require_beginning(config: RunConfig) -> None:
    """Whether the run that it starts from and its grammar can be used: a moment's work, before what takes long.

    Args:
        config: the configuration of a run that has no checkpoint yet; later the start is not needed any more.

    Raises:
        ConfigError: `train.start_from` names no run with weights, or those of another model; or `text.words` asks for
            a grammar that `data.grammar` does not name.
        GrammarError: the grammar cannot be read.
        TextError: `text.subword_model` names no model.
    """
    read_grammar(config)
    if config.text.subword_model is not None:
        Vocabulary.of_subword_file(config.text.subword_model)
    require_start(config)


def require_start(config: RunConfig) -> None:
    """Whether the run that `train.start_from` names can be started from.

    Raises:
        ConfigError: it is no run with weights, or its weights are another model's.
    """
    source = config.train.start_from
    if source is None:
        return
    if source == BASE:
        require_base()
    folder = RunFolder(start_folder(source))
    try:
        file = folder.require().require_weights()
        there = load_config(folder.config, stored=True)
        known_vocabulary(folder, "word")
        load_checkpoint(file)
    except UserError as error:
        raise ConfigError(f"train.start_from: {error}") from error
    require_same_model(folder, there, with_start_model(config))


def with_start_model(config: RunConfig) -> RunConfig:
    """A configuration with the size of the model that it starts from, where it is silent about its own."""
    start = config.train.start_from
    taken = {} if start is None else model_of_start(start)
    return with_keys(config, {key: value for key, value in taken.items() if not is_set(config, key)})


def read_grammar(config: RunConfig) -> Grammar | None:
    """The grammar that `data.grammar` names; None where it names none and none is needed.

    Raises:
        ConfigError: the words are those of the grammar, and there is none.
        GrammarError: it cannot be read.
    """
    if config.data.grammar is not None:
        return Grammar.load(config.data.grammar)
    if config.text.unit == "word" and config.text.words == "grammar":
        raise ConfigError(
            "text.words is grammar, but data.grammar names none; set it to the grammar's file, such as the "
            "grammar.json that prepare commands writes beside the manifests, or set text.words to auto"
        )
    return None


def require_same_model(source: RunFolder, there: RunConfig, here: RunConfig) -> None:
    """Whether weights of one configuration serve in a model of another one.

    Args:
        source: whose weights they are, for the message.
        there: its configuration.
        here: `data.sample_rate`, all of `features` and all of `model` but `dropout` must be the same; and a chunked
            model takes a bidirectional one's weights, or the other way.

    Raises:
        ConfigError: they do not; names every key with the value there.
    """
    # null in one, and the number that it stands for in the other
    may_differ = {"features.f_max_hz"} if there.f_max_hz == here.f_max_hz else ()
    differing = find_differences(_what_weights_depend_on(there), _what_weights_depend_on(here), may_differ=may_differ)
    if not differing:
        return
    found = "; ".join(
        f"{one.key} is {_text(one.there)} there and {_text(one.here)} here" for one in differing[:_COMPARED]
    )
    found += f"; and {len(differing) - _COMPARED} more" if len(differing) > _COMPARED else ""
    wanted = " ".join(f"{one.key}={_text(one.there)}" for one in differing)
    raise ConfigError(
        f"train.start_from: the weights of {source.path} are for another model: {found}. Configure this run as that "
        f"one was ({wanted}), or start from another run"
    )


def require_trained_labels(config: RunConfig, vocabulary: Vocabulary) -> None:
    """Whether the labels that are new to the run's start may be learnt.

    Args:
        config: of a run that has no checkpoint yet, whose beginning is right (`require_beginning`).
        vocabulary: its labels.

    Raises:
        ConfigError: `train.freeze` holds the layer that writes them.
    """
    source = config.train.start_from
    if source is None or "logits" not in config.train.freeze:
        return
    folder = start_folder(source)
    new = new_entries(vocabulary, known_vocabulary(RunFolder(folder), vocabulary.unit))
    if new:
        raise ConfigError(
            f"train.freeze holds logits, but {len(new)} labels are new to {folder} and could not be learnt "
            f"({', '.join(map(repr, new[:_NAMED]))}); leave logits out"
        )


def known_vocabulary(folder: RunFolder, unit: str) -> Vocabulary:
    """What a run knows for one of `unit` that starts from it: its labels, or its words beside its characters.

    Raises:
        TextError: a file of it is missing or damaged.
    """
    there = Vocabulary.load(folder.vocabulary)
    return Vocabulary.load(folder.words) if unit == "word" != there.unit and folder.words.is_file() else there


def new_entries(vocabulary: Vocabulary, there: Vocabulary) -> Sequence[str]:
    """The entries that a model writes and another one does not, in order; words and characters share none."""
    known = set(there.written.entries) if vocabulary.unit == there.unit else set()
    return tuple(entry for entry in vocabulary.written.entries if entry not in known)


def _what_weights_depend_on(config: RunConfig) -> dict[str, Any]:
    values: dict[str, Any] = {"data.sample_rate": config.data.sample_rate}
    for section in _SECTIONS:
        values |= {f"{section}.{key}": value for key, value in getattr(config, section).model_dump().items()}
    del values[_MAY_DIFFER], values["model.chunk_frames"]
    if config.model.direction == "chunked":
        # The same weights over windows: a bidirectional model can learn to stream, with any chunk and look-ahead.
        values["model.direction"], values["model.lookahead_frames"] = "bidirectional", 0
    return values


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
