"""Times a beam with an n-gram language model beside pyctcdecode with the same file, and counts the errors of both.

    python scripts/bench_language.py                    # a made language of 2,000 words
    python scripts/bench_language.py --text FILE        # sentences of a text, one a line
    python scripts/bench_language.py --set soft         # a model that has doubts everywhere
    python scripts/bench_language.py --quick            # fewer utterances, the beam of 16

A model of order 3 is trained on nine tenths of the sentences (`speechgru language train`), and written as an ARPA file,
which pyctcdecode reads by KenLM, and as a compact file. Sentences of the last tenth are "spoken": posteriors as a model
gives them, with doubts of which the language model may solve some. Both search with the same width, weights and limits
(labels below a log-probability of -5 are impossible, prefixes more than 10 below the best are dropped), and add the
same for each text; the beams differ in what they count, so a text may be lost by the one and not by the other. Seconds
are one core's; the decoders run in turn, each repetition has utterances of its own, so that neither knows their words
from before, and the medians count.

The last line is one JSON object: the word error rates greedy, with the beam alone, with the language model, and
pyctcdecode's; the share of equal texts; the lowest ratio of our speed to pyctcdecode's; the model's sizes in bytes.
What cannot be measured (no pyctcdecode or KenLM) is null.
"""

import argparse
import importlib.util
import json
import logging
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # also runs without an installation

from bench_decoding import PRUNED, posteriors, speeds, spoken

from speechgru.decoding import LanguageScorer, LanguageWeights, beam_decode, greedy_decode
from speechgru.language import read_language_model
from speechgru.language.files import write_language_model
from speechgru.language.kneser_ney import train
from speechgru.metrics import total, word_errors
from speechgru.text import Vocabulary, normalize_text

BEAMS = [16, 64]
WEIGHT, BONUS, UNKNOWN = 0.5, 1.5, 10.0  # pyctcdecode's alpha, beta and, as common logarithm, unk_score_offset
STEP_SECONDS = 0.04
#: How sure the model is: nearly always, or with doubts everywhere.
SETS = {
    "peaky": {"sharpness": 14.0, "noise": 2.0, "doubts": 0.06},
    "soft": {"sharpness": 8.0, "noise": 2.0, "doubts": 0.12},
}


def made_sentences(num_sentences=40_000, num_words=2_000, seed=4):
    """Sentences by a random walk over made words: each has a dozen that follow it often, and any may follow."""
    rng = np.random.default_rng(seed)
    onsets = [*"bdfgklmnprstvw", "st", "tr", "pl"]
    vowels = [*"aeiou", "ai", "ou"]
    words = set()
    while len(words) < num_words:
        words.add("".join(rng.choice(onsets) + rng.choice(vowels) for _ in range(rng.integers(1, 4))))
    words = sorted(words)
    usual = 1 / np.arange(1, num_words + 1)
    usual /= usual.sum()
    after = rng.choice(num_words, (num_words, 12), p=usual)
    sentences = []
    for _ in range(num_sentences):
        word, sentence = rng.choice(num_words, p=usual), []
        for _ in range(rng.integers(4, 14)):
            sentence.append(words[word])
            word = after[word, rng.integers(0, 12)] if rng.random() < 0.85 else rng.choice(num_words, p=usual)
        sentences.append(" ".join(sentence))
    return sentences


def pyctcdecode_decoder(vocabulary, arpa):
    """A function (log_probs_SV, beam_width) -> text, or None without the packages."""
    if not all(map(importlib.util.find_spec, ("pyctcdecode", "kenlm"))):
        return None
    logging.disable(logging.WARNING)
    from pyctcdecode import build_ctcdecoder

    decoder = build_ctcdecoder(
        ["", *vocabulary.characters], str(arpa), alpha=WEIGHT, beta=BONUS, unk_score_offset=-UNKNOWN
    )
    return lambda log_probs_SV, beam_width: decoder.decode_beams(
        log_probs_SV, beam_width=beam_width, beam_prune_logp=-10.0, token_min_logp=-5.0
    )[0][0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a fifth of the utterances, and the beam of 16 only")
    parser.add_argument("--text", type=Path, help="sentences, one a line, instead of made ones")
    parser.add_argument("--set", choices=SETS, default="peaky", help="how sure the model is")
    parser.add_argument("--utterances", type=int, default=100)
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()

    sentences = made_sentences()
    if arguments.text:
        lines = arguments.text.read_text(encoding="utf-8").splitlines()
        sentences = [text for text in map(normalize_text, lines) if text]
    held_out = sentences[9::10]
    trained = train((text.split() for number, text in enumerate(sentences) if number % 10 != 9), order=3)
    for note in trained.notes:
        print(note)
    vocabulary = Vocabulary.from_texts([*sentences, " "])
    number = arguments.utterances // 5 if arguments.quick else arguments.utterances
    rng = np.random.default_rng(6)
    references, sets = [], []
    for _ in range(1 + arguments.repetitions):  # the first set is scored, each of the others timed once
        texts = [held_out[place] for place in rng.choice(len(held_out), number, replace=False)]
        paths = [spoken(text, vocabulary, rng) for text in texts]
        sets.append([posteriors(path_S, len(vocabulary), rng, **SETS[arguments.set]) for path_S in paths])
        references.append(texts)
    references, utterances = references[0], sets.pop(0)

    with tempfile.TemporaryDirectory() as folder:
        arpa, compact = Path(folder) / "lm.arpa", Path(folder) / "lm.ngram"
        write_language_model(trained.model, arpa)
        write_language_model(trained.model, compact)
        sizes = {"arpa": arpa.stat().st_size, "compact": compact.stat().st_size}
        peer = pyctcdecode_decoder(vocabulary, arpa)
        run(utterances, references, sets, vocabulary, read_language_model(compact), peer, sizes, arguments)


def run(utterances, references, sets, vocabulary, model, peer, sizes, arguments):
    weights = LanguageWeights(WEIGHT, BONUS, WEIGHT * UNKNOWN * np.log(10))
    language = LanguageScorer(model, weights)

    def ours(log_probs_SV, beam_width, scorers):
        options = {"vocabulary": vocabulary, "step_seconds": STEP_SECONDS, "pruning": PRUNED}
        return beam_decode(log_probs_SV, beam_width=beam_width, scorers=scorers, **options)[0].text

    def greedy(log_probs_SV):
        return greedy_decode(log_probs_SV, vocabulary=vocabulary, step_seconds=STEP_SECONDS).text

    print(
        f"{len(utterances)} utterances of {np.mean([*map(len, utterances)]):.0f} steps of {STEP_SECONDS * 1e3:.0f} ms; "
        f"{model.description}: ARPA {sizes['arpa'] / 1e3:,.0f} kB, compact {sizes['compact'] / 1e3:,.0f} kB"
    )
    print(f"{'':28s}{'WER':>9s}{'s of speech a s':>17s}{'ours/pyctc':>12s}{'equal texts':>13s}")
    answer = {"wer_greedy": None, "wer_beam": None, "wer_language": None, "wer_pyctcdecode": None}
    answer |= {"equal_texts": None, "lowest_vs_pyctcdecode": None, "bytes_arpa": sizes["arpa"]}
    answer |= {"bytes_compact": sizes["compact"]}
    answer["wer_greedy"] = row("greedy", {"greedy": greedy}, "greedy", utterances, references, sets)[0]
    ratios, equal = [], []
    for beam_width in [16] if arguments.quick else BEAMS:
        columns = {
            "beam": lambda log_probs_SV, width=beam_width: ours(log_probs_SV, width, []),
            "with the language model": lambda log_probs_SV, width=beam_width: ours(log_probs_SV, width, [language]),
            "pyctcdecode": peer and (lambda log_probs_SV, width=beam_width: peer(log_probs_SV, width)),
        }
        for name, key in zip(columns, ("wer_beam", "wer_language", "wer_pyctcdecode"), strict=True):
            if columns[name]:
                wer, ratio, same = row(f"{name}, {beam_width}", columns, name, utterances, references, sets)
                answer[key] = wer
                if name == "with the language model" and ratio:
                    ratios.append(ratio)
                    equal.append(same)
    answer["lowest_vs_pyctcdecode"] = min(ratios, default=None)
    answer["equal_texts"] = min(equal, default=None)
    print(json.dumps(answer))


def row(title, columns, name, utterances, references, sets):
    """Prints one decoder's errors and speed; gives the rate, the ratio to pyctcdecode's speed and the equal texts."""
    texts = [columns[name](log_probs_SV) for log_probs_SV in utterances]
    wer = round(total(map(word_errors, references, texts)).rate, 4)
    ratio = same = None
    cells = f"{'':>12s}{'':>13s}"
    if name == "with the language model" and columns["pyctcdecode"]:
        speed = speeds(columns, sets, STEP_SECONDS)
        ratio = round(speed[name] / speed["pyctcdecode"], 1)
        peers = [columns["pyctcdecode"](log_probs_SV) for log_probs_SV in utterances]
        same = round(float(np.mean([ours == peer for ours, peer in zip(texts, peers, strict=True)])), 3)
        cells = f"{ratio:12.1f}{same:13.1%}"
    else:
        speed = speeds({name: columns[name]}, sets, STEP_SECONDS)
    print(f"{title:28s}{wer:9.2%}{speed[name]:17,.0f}{cells}", flush=True)
    return wer, ratio, same


if __name__ == "__main__":
    main()
