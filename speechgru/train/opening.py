"""What a training opens and writes before its first step, and what must hold of it by then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speechgru.config.corpus_files import digests_of
from speechgru.config.load import save_config
from speechgru.config.sections import RunConfig
from speechgru.dataset import Corpus, heard_seconds, make_sampler
from speechgru.decoding import GrammarConstraint, Spelling
from speechgru.errors import ConfigError, UserError
from speechgru.files import write_json
from speechgru.grammar import Grammar
from speechgru.runs import RunFolder, make_provenance
from speechgru.scoring.negatives import negative_set
from speechgru.scoring.recordings import KEPT_BYTES, ScoringSet
from speechgru.text import Vocabulary
from speechgru.train.strategies import Workers
from speechgru.utterances.examination import Problem, read_usable
from speechgru.utterances.manifest import read_manifest


def open_scored(
    config: RunConfig, grammar: Grammar | None, workers: Workers
) -> tuple[ScoringSet | None, list[ScoringSet], list[str]]:
    """The dev set, the recordings without a command, and what a person should know of them; no recording is read."""
    negatives: list[ScoringSet] = []
    notes: list[str] = []
    if config.data.dev is None or not workers.is_chief:
        return None, negatives, notes
    dev = ScoringSet(
        config.data.dev, sample_rate=config.data.sample_rate, text=config.text.rules, kept_bytes=KEPT_BYTES
    )
    constraint = None
    if grammar is not None and config.data.negatives:
        constraint = GrammarConstraint(grammar, normalize=config.text.normalize)
    for manifest in config.data.negatives:
        recordings, num_commands = negative_set(
            manifest,
            sample_rate=config.data.sample_rate,
            kept_bytes=KEPT_BYTES // len(config.data.negatives),
            is_command=(lambda text: False) if constraint is None else constraint.holds,
        )
        negatives.append(recordings)
        if num_commands:
            notes.append(f"{manifest}: {num_commands:,} of the negatives are sentences of the grammar, and left out")
    return dev, negatives, notes


def subwords_of(folder: RunFolder, config: RunConfig, workers: Workers) -> Vocabulary | None:
    """The subwords that a run which resumes has learnt; None of one that begins, or has other labels.

    Another version of SentencePiece, or a changed transcript, might find others; and a model's file may be gone.
    """
    record = None
    is_theirs = config.text.subword_model is not None and Path(config.text.subword_model).exists()
    if workers.is_chief and config.text.unit == "subword" and not is_theirs and folder.is_claimed:
        record = Vocabulary.load(folder.vocabulary).as_record()
    record = workers.share_json(record)
    return None if record is None else Vocabulary.from_record(record)


def require_readable(config: RunConfig) -> None:
    """Reads the recordings that augmentation uses: better now than in the middle of the night.

    Raises:
        UserError: one cannot be read.
    """
    for manifest, _ in config.augment.manifests.values():
        for utterance in read_manifest(manifest, needs_text=False):
            read = read_usable(utterance, sample_rate=config.data.sample_rate)
            if isinstance(read, Problem):
                raise UserError(f"{manifest}:{utterance.line}: {read.message}")


def require_writable(grammar: Grammar | None, config: RunConfig, vocabulary: Vocabulary) -> None:
    """Whether the run can write the sentences of its grammar.

    Raises:
        TextError: the vocabulary lacks a character or word of it.
    """
    if grammar is not None:
        GrammarConstraint(grammar).prepared(Spelling(config.text.normalize, vocabulary))


def require_same_vocabulary(folder: RunFolder, vocabulary: Vocabulary) -> None:
    """Whether the labels are still those that the run has learnt: a corpus or a grammar may give others since.

    Raises:
        ConfigError: they are not.
    """
    if not folder.is_claimed or not folder.vocabulary.is_file():
        return
    before = Vocabulary.load(folder.vocabulary)
    if before == vocabulary:
        return
    gone, new = sorted({*before.entries} - {*vocabulary.entries}), sorted({*vocabulary.entries} - {*before.entries})
    changes = [
        f"{what} {', '.join(map(repr, found[:8]))}" for what, found in (("lost", gone), ("has new", new)) if found
    ]
    raise ConfigError(
        f"{folder.path}: the corpus or grammar gives other labels than the run has learnt ("
        f"{' and '.join(changes) or 'in another order'}); bring back what it was trained on, or give another --run "
        f"with train.start_from={folder.path}, which may have other labels"
    )


def require_same_corpus(workers: Workers, facts: Sequence[int | str]) -> None:
    """Whether every process found the same utterances and labels.

    Raises:
        UserError: this one did not.
    """
    chiefs = workers.share_json(list(facts))
    if list(facts) != chiefs:
        raise UserError(
            f"worker {workers.index} can use {facts[0]:,} utterances with {len(facts) - 1} labels, the chief "
            f"{chiefs[0]:,} with {len(chiefs) - 1}; every machine needs the same manifests and recordings"
        )


def write_beginning(
    folder: RunFolder, config: RunConfig, corpus: Corpus, command: Sequence[str] | None, *, sized: Mapping[str, Any]
) -> None:
    """Writes the configuration, and of a run that begins now its origin, what its size chose, and what it hears."""
    known = folder.read_provenance()
    if not folder.is_claimed:
        known = make_provenance(seed=config.train.seed, command=command) | {"sized": sorted(sized)}
    if known and "corpus" not in known:
        seconds = heard_seconds(
            make_sampler(corpus, config=config), frame_seconds=config.hop_length / config.data.sample_rate
        )
        write_json(folder.provenance, known | {"corpus": digests_of(config), "training_seconds": seconds})
    save_config(folder.config, config)


def keep_grammar(folder: RunFolder, grammar: Grammar | None) -> None:
    """Keeps a copy of the grammar in the run folder."""
    if grammar is None:
        folder.grammar.unlink(missing_ok=True)
    else:
        grammar.save(folder.grammar)
