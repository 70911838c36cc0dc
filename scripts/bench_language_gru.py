"""A GRU language model beside character n-grams: how well each predicts, and what a beam costs with one, on one core.

    python scripts/bench_language_gru.py TEXTS --recogniser RUN --folder FOLDER
    python scripts/bench_language_gru.py TEXTS --recogniser RUN --folder FOLDER --manifest DEV.jsonl --recordings 200

It trains a GRU of each width on all texts but a twentieth (or resumes), and n-grams over characters by modified
Kneser-Ney on the same; then it prints, of that twentieth, perplexity a character and bits a character. With a manifest
it decodes recordings of it, whose log-probabilities are computed beforehand: word and character error rate, and the
decoder's seconds of processor time for each second of audio. Weights are those of the options, not tuned for each line.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # also runs without an installation

from speechgru.audio.reading import read_recording
from speechgru.config.language import language_config
from speechgru.decoding import DecodingOptions, GRULanguageScorer, decode
from speechgru.decoding.language import LanguageWeights
from speechgru.language import GRULanguageModel, Perplexity
from speechgru.language.kneser_ney import train as train_ngram
from speechgru.language.labelled import label_texts, read_texts
from speechgru.metrics import character_errors, total, word_errors
from speechgru.progress import line_progress
from speechgru.runtime.labels import labels_of
from speechgru.train.language import train_language_model
from speechgru.train.language.run import held_out
from speechgru.utterances.manifest import read_manifest

_SPACE = "\u2581"


def of_ngram(model, texts, vocabulary):
    """What scores texts of labels by an n-gram over characters."""

    def score(rows):
        spelt = (" ".join(vocabulary.decode(row.tolist()).replace(" ", _SPACE)) for row in rows)
        return np.array([model.log_prob(text) for text in spelt])

    return Perplexity.of(texts, score).as_record()


def predictions(arguments, vocabulary, rules):
    """Trains, and prints how well each predicts; gives the GRUs by their width."""
    data = language_config(arguments.set, train=[arguments.texts], dev=[]).data
    read = read_texts(arguments.texts)
    texts, _ = label_texts(read, rules=rules, vocabulary=vocabulary, max_labels=data.max_labels)
    is_dev = held_out(texts, data.dev_share)  # as the GRUs' training does
    learnt, dev = texts.chosen(np.flatnonzero(~is_dev)), texts.chosen(np.flatnonzero(is_dev))
    print(f"{len(learnt):,} texts with {len(learnt.labels):,} characters to learn, {len(dev):,} held out")
    print(f"{'model':24} {'kB':>8} {'perplexity':>10} {'bits/character':>14}")
    for order in arguments.orders:
        spelt = (vocabulary.decode(learnt[k].tolist()).replace(" ", _SPACE) for k in range(len(learnt)))
        model = train_ngram([list(text) for text in spelt], order=order).model
        scores = of_ngram(model, dev, vocabulary)
        print(
            f"{f'{order}-gram':24} {'':>8} {scores['perplexity']:10.3f} {scores['bits_per_character']:14.3f}",
            flush=True,
        )
    grus = {}
    for units in arguments.units:
        config = language_config([f"model.units={units}", *arguments.set], train=[arguments.texts], dev=[])
        run = arguments.folder / f"gru{units}"
        result = train_language_model(
            config,
            run,
            vocabulary=vocabulary,
            rules=rules,
            progress=line_progress(lambda line: print(line, file=sys.stderr)),
        )
        grus[units] = GRULanguageModel.load(result.model)
        for form in ("float16", "int8"):
            model, path = grus[units].in_form(form), arguments.folder / f"gru{units}_{form}.gru"
            model.save(path)
            scores = Perplexity.of(dev, model.score).as_record()
            print(
                f"{f'GRU {units} {form}':24} {path.stat().st_size / 1000:8,.0f} {scores['perplexity']:10.3f} "
                f"{scores['bits_per_character']:14.3f}",
                flush=True,
            )
    return grus


def log_probs_of(arguments):
    """Log-probabilities, reference and seconds of some recordings, evenly through the manifest."""
    from speechgru.export.running import open_recognizer

    recognizer = open_recognizer(arguments.recogniser)
    utterances = read_manifest(arguments.manifest)
    chosen = np.unique(np.linspace(0, len(utterances) - 1, arguments.recordings).round().astype(int))
    found = []
    for utterance in (utterances[k] for k in chosen):
        rate = recognizer.sample_rate
        samples_N = read_recording(utterance.audio_filepath, sample_rate=rate).samples_N
        found.append((recognizer.log_probs(samples_N), utterance.text, len(samples_N) / rate))
    return found, recognizer.metadata["step_seconds"]


def decoding(arguments, vocabulary, rules, grus):
    """Prints error rates and speed by way of decoding."""
    recordings, step_seconds = log_probs_of(arguments)
    ways = {"greedy": DecodingOptions(), f"beam of {arguments.beam}": DecodingOptions(beam_width=arguments.beam)}
    for units, model in grus.items():
        scorer = GRULanguageScorer(model, LanguageWeights(arguments.weight, arguments.bonus))
        ways[f"+ GRU {units}"] = DecodingOptions(beam_width=arguments.beam, gru_language=scorer)
        ways[f"+ GRU {units}, rescored"] = DecodingOptions(
            beam_width=arguments.beam, gru_language=scorer, rescore=["gru"]
        )
    seconds_of_audio = sum(seconds for *_, seconds in recordings)
    print(f"{len(recordings):,} recordings, {seconds_of_audio:,.0f} s")
    print(f"{'decoding':24} {'WER':>7} {'CER':>7} {'RTF':>8}")
    for name, options in ways.items():
        began = time.process_time()
        hypotheses = [
            decode(log_probs_SV, vocabulary=vocabulary, step_seconds=step_seconds, options=options)[0].text
            for log_probs_SV, *_ in recordings
        ]
        rtf = (time.process_time() - began) / seconds_of_audio
        references = [rules.normalize(text) for _, text, _ in recordings]
        wer, cer = (
            total(count(*pair) for pair in zip(references, hypotheses, strict=True)).rate
            for count in (word_errors, character_errors)
        )
        print(f"{name:24} {wer:7.2%} {cer:7.2%} {rtf:8.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--recogniser", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="where the models go")
    parser.add_argument("--units", type=int, nargs="*", default=[128, 256])
    parser.add_argument("--orders", type=int, nargs="*", default=[3, 5, 7])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="keys of the GRUs' training")
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--recordings", type=int, default=100)
    parser.add_argument("--beam", type=int, default=16)
    parser.add_argument("--weight", type=float, default=None)
    parser.add_argument("--bonus", type=float, default=None)
    arguments = parser.parse_args()
    vocabulary, rules = labels_of(arguments.recogniser)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    grus = predictions(arguments, vocabulary, rules)
    if arguments.manifest is not None:
        decoding(arguments, vocabulary, rules, grus)


if __name__ == "__main__":
    main()
