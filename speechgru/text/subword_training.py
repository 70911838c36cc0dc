"""Training of subwords, by the package sentencepiece: the one module that needs it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable

from speechgru.errors import TextError, UserError
from speechgru.text.messages import describe_characters
from speechgru.text.subwords import WORD_BEGINNING, Method, Subwords

#: Of what SentencePiece says of a number of pieces that texts do not have, or do not suffice for.
_TOO_MANY = re.compile(r"Vocabulary size too high.*?<= (\d+)")
#: The results of several threads are added up in their order: of another number, sums would be rounded otherwise.
_NUM_THREADS = 4


def train_subwords(texts: Iterable[str], *, count: int, method: Method) -> Subwords:
    """Finds the pieces that suit texts.

    Every character of the texts becomes a piece, so that each of them can be written. The same texts give the same
    pieces, in one version of SentencePiece; what a run has learnt is in its `vocabulary.txt`.

    Args:
        texts: normalised texts; empty ones do not count.
        count: how many pieces.
        method: `unigram` or `bpe`.

    Raises:
        UserError: the package sentencepiece is missing.
        TextError: the texts are empty, have more characters than `count`, or not so many pieces.
    """
    try:
        import sentencepiece
    except ImportError:
        raise UserError(
            "text.unit subword finds its pieces by the package sentencepiece, which is missing; "
            "pip install 'speechgru[train]', or give a model (text.subword_model)"
        ) from None
    texts = [text for text in texts if text]
    if not texts:
        raise TextError(
            "no transcript holds a character, so there are no subwords; give data.train recordings in which something "
            "is said, or a model (text.subword_model)"
        )
    characters = set("".join(texts))
    if WORD_BEGINNING in characters:
        raise TextError(
            f"transcripts hold {WORD_BEGINNING!r} (U+2581), which marks the beginning of a word among subwords; take "
            "it out of the texts, or set text.remove_punctuation to true"
        )
    single = (characters | {WORD_BEGINNING}) - {" "}
    if count < len(single):
        raise TextError(
            f"text.subwords is {count}, but the transcripts have {len(single)} different characters, each of which is "
            "a piece; give more"
        )
    content = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=content,
            model_type=method,
            vocab_size=count + 1,  # SentencePiece counts what stands for an unknown character too
            character_coverage=1.0,
            normalization_rule_name="identity",
            max_sentence_length=max(10, *(len(text.encode()) for text in texts)),
            num_threads=_NUM_THREADS,
            unk_id=0,
            unk_piece="\x01",  # which no text holds: "<unk>" in one, with punctuation kept, is text like any other
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        found = _TOO_MANY.search(str(error))
        if found:
            raise TextError(
                f"text.subwords is {count}, but the transcripts give at most {int(found[1]) - 1} pieces; give "
                "fewer, or more transcripts"
            ) from None
        reason = " ".join(str(error).split())
        raise TextError(f"SentencePiece finds no {count} pieces in the transcripts (text.subwords): {reason}") from None
    subwords = Subwords.parse(content.getvalue())
    if missing := sorted(single - {*subwords.pieces}):
        raise TextError(
            f"{describe_characters(missing)} not among the pieces that SentencePiece finds; take it out of the "
            "transcripts"
        )
    return subwords
