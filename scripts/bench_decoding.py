"""Times speechgru's decoders beside pyctcdecode and flashlight-text on the same log-probabilities.

    python scripts/bench_decoding.py                  # simulated posteriors, peaky and soft
    python scripts/bench_decoding.py --quick          # peaky ones, the beam of 16
    python scripts/bench_decoding.py --npz FILE       # a model's own

A figure is seconds of speech decoded in a second of one core's time: the median of the repetitions, in which the
decoders run in turn, so that a change of the machine's load meets all of them. No decoder has a language model.
"pruned" is pyctcdecode's default for both: labels below a log-probability of -5 count as impossible, prefixes more than
10 below the best are dropped; flashlight-text has the second limit only. "all" leaves out nothing but what the beam's
width cuts. The beams differ in what they count: pyctcdecode and flashlight-text keep a text apart for an end in a
blank, so the same width holds fewer texts there. What cannot be measured (no such package) is null.

FILE holds one array [steps, labels] of natural-log probabilities an utterance, under any name, beside `characters` (the
labels from 1 on, a text; label 0 is the blank) and `step_seconds`.

The last line is one JSON object: the real-time figures of greedy decoding and of a beam of 16, without pruning, on the
first set; our speed over pyctcdecode's at a beam of 16, both pruned, there; and the lowest such ratio of all that was
measured.
"""

import argparse
import importlib.util
import json
import logging
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # also runs without an installation

from speechgru.decoding import Phrases, Pruning, beam_decode, greedy_decode
from speechgru.text import Vocabulary

BEAMS = [8, 16, 64]
PRUNED = Pruning(token_log_prob=-5.0, beam_log_prob=-10.0)
BOOST = 6.0

TEXT = """
the of and to in that it is was for on with he be by at you are his had not this have from but which she they or an her
were there been their more will would who all one could time little about people other some way than may letter happen
tree coffee address bottle different summer yellow hello tomorrow well's it's don't we'll
"""


def simulated(name, num_utterances=12, seconds=8.0, step_seconds=0.04):
    """Posteriors as a trained model gives them: spikes of one step among blanks, with doubts, some in the wrong place.

    Args:
        name: "peaky" (a well-trained model: nearly every step is sure) or "soft".
        num_utterances: how many.
        seconds: the length of each.
        step_seconds: seconds from one step to the next.
    """
    sharpness, noise = {"peaky": (14.0, 2.0), "soft": (5.0, 1.5)}[name]
    words = TEXT.split()
    vocabulary = Vocabulary.from_texts([*words, " "])
    num_steps = round(seconds / step_seconds)
    utterances = []
    for number in range(num_utterances):
        rng = np.random.default_rng([number, 11])
        path_S = spoken("".join(f"{rng.choice(words)} " for _ in range(num_steps // 4)), vocabulary, rng)[:num_steps]
        utterances.append(posteriors(path_S, len(vocabulary), rng, sharpness=sharpness, noise=noise))
    return utterances, vocabulary, step_seconds


def spoken(text, vocabulary, rng, *, margin=3):
    """The label of each step where a text is spoken, mostly the blank: a spike for each letter, 0 to 3 steps apart."""
    path, before = [0] * margin, 0
    for label in vocabulary.encode(text):
        path += [0] * (label == before)  # a blank between equal labels
        path += [label] + [0] * int(rng.integers(0, 4))
        before = label
    return np.array(path + [0] * margin)


def posteriors(path_S, num_labels, rng, *, sharpness, noise, doubts=0.06):
    """Log-probabilities about a path, with noise, and at a share of the steps another label as probable as the path's.

    Args:
        path_S: the label of each step.
        num_labels: of the vocabulary, blank included.
        rng: draws.
        sharpness, noise: of the logits, how far the path's is above the others and how far all deviate.
        doubts: the share.
    """
    logits_SV = rng.normal(0.0, noise, (len(path_S), num_labels))
    logits_SV[range(len(path_S)), path_S] += sharpness
    doubtful_S = rng.random(len(path_S)) < doubts
    logits_SV[doubtful_S, rng.integers(0, num_labels, doubtful_S.sum())] += sharpness
    log_probs_SV = logits_SV - np.log(np.exp(logits_SV).sum(axis=1, keepdims=True))
    return log_probs_SV.astype(np.float32)


def from_file(path):
    with np.load(path) as arrays:
        missing = {"characters", "step_seconds"} - set(arrays)
        if missing:
            raise SystemExit(f"{path}: lacks {', '.join(sorted(missing))}; see --help")
        utterances = [arrays[name] for name in arrays if name not in ("characters", "step_seconds")]
        return utterances, Vocabulary("".join(arrays["characters"].tolist())), float(arrays["step_seconds"])


def pyctcdecode_decoder(vocabulary):
    """A function (log_probs_SV, beam_width, **hotword options), or None without the package."""
    if not importlib.util.find_spec("pyctcdecode"):
        return None
    logging.disable(logging.WARNING)  # it warns about the missing language model
    from pyctcdecode import build_ctcdecoder

    decoder = build_ctcdecoder(["", *vocabulary.characters])
    return lambda log_probs_SV, beam_width, **options: decoder.decode_beams(
        log_probs_SV, beam_width=beam_width, beam_prune_logp=-10.0, token_min_logp=-5.0, **options
    )


def flashlight_decoder(vocabulary):
    """A function (log_probs_SV, beam_width), or None without the package."""
    if not importlib.util.find_spec("flashlight"):
        return None
    from flashlight.lib.text import decoder as peer

    decoders = {}

    def decode(log_probs_SV, beam_width):
        if beam_width not in decoders:
            options = peer.LexiconFreeDecoderOptions(
                beam_size=beam_width,
                beam_size_token=len(vocabulary),
                beam_threshold=10.0,
                lm_weight=0.0,
                sil_score=0.0,
                log_add=True,
                criterion_type=peer.CriterionType.CTC,
            )
            decoders[beam_width] = peer.LexiconFreeDecoder(options, peer.ZeroLM(), -1, 0, [])
        log_probs_SV = np.ascontiguousarray(log_probs_SV, np.float32)
        return decoders[beam_width].decode(log_probs_SV.ctypes.data, *log_probs_SV.shape)

    return decode


def runners(utterances, vocabulary, step_seconds, beams):
    """The rows of the table: name -> {column: function that decodes one utterance, or None where missing}."""
    common = {"vocabulary": vocabulary, "step_seconds": step_seconds}
    pyctcdecode, flashlight = pyctcdecode_decoder(vocabulary), flashlight_decoder(vocabulary)
    words = sorted({word for one in utterances for word in greedy_decode(one, **common).text.split()})
    hotwords = words[:: max(1, len(words) // 20)]

    def ours(**options):
        return lambda log_probs_SV: beam_decode(log_probs_SV, **common, **options)

    def peer(decoder, *arguments, **options):
        return decoder and (lambda log_probs_SV: decoder(log_probs_SV, *arguments, **options))

    rows = {"greedy": {"all": lambda log_probs_SV: greedy_decode(log_probs_SV, **common)}}
    for width in beams:
        rows[f"beam {width}"] = {
            "all": ours(beam_width=width),
            "pruned": ours(beam_width=width, pruning=PRUNED),
            "pyctcdecode": peer(pyctcdecode, width),
            "flashlight": peer(flashlight, width),
        }
        rows[f"beam {width}, {len(hotwords)} hotwords"] = {
            "all": ours(beam_width=width, hotwords=hotwords, hotword_boost=BOOST),
            "pruned": ours(beam_width=width, hotwords=hotwords, hotword_boost=BOOST, pruning=PRUNED),
            "pyctcdecode": peer(pyctcdecode, width, hotwords=hotwords, hotword_weight=BOOST),
        }
        phrases = Phrases(words, repeat=" " in vocabulary.characters)
        rows[f"beam {width}, {len(words)} phrases"] = {"all": ours(beam_width=width, phrases=phrases)}
    return rows


def speeds(columns, sets, step_seconds):
    """Seconds of speech a second of one core's time: the medians of the columns, run in turn.

    Args:
        columns: functions that decode one utterance, or None.
        sets: of each repetition its utterances; where they differ, no decoder meets one that it remembers.
        step_seconds: seconds from one step to the next.
    """
    present = {name: function for name, function in columns.items() if function}
    for function in present.values():  # the first call compiles a list
        function(sets[0][0])
    rates = {name: [] for name in present}
    for utterances in sets:
        for name, function in present.items():
            start = time.process_time()
            for log_probs_SV in utterances:
                function(log_probs_SV)
            rates[name].append(step_seconds * sum(map(len, utterances)) / (time.process_time() - start))
    return {name: statistics.median(values) for name, values in rates.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the first set and the beam of 16 only")
    parser.add_argument("--npz", type=Path, help="log-probabilities of a model instead of simulated ones")
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()

    sets = {str(arguments.npz): from_file(arguments.npz)} if arguments.npz else {}
    for name in () if arguments.npz else ("peaky",) if arguments.quick else ("peaky", "soft"):
        sets[name] = simulated(name)
    for package, module in (("pyctcdecode", "pyctcdecode"), ("flashlight-text", "flashlight")):
        if not importlib.util.find_spec(module):
            print(f"{package} is not installed and not measured")

    answer = {"greedy_realtime": None, "beam16_realtime": None, "beam16_vs_pyctcdecode": None}
    ratios = []
    names = ["all", "pruned", "pyctcdecode", "flashlight"]
    for set_name, (utterances, vocabulary, step_seconds) in sets.items():
        blanks = np.concatenate(utterances)[:, 0] > np.log(0.99)
        print(
            f"\n{set_name}: {len(utterances)} utterances of {np.mean([*map(len, utterances)]):.0f} steps of "
            f"{step_seconds * 1e3:.0f} ms, {len(vocabulary)} labels, {blanks.mean():.0%} of the steps sure of the "
            f"blank; seconds of speech a second, medians of {arguments.repetitions}"
        )
        print(f"{'':26s}" + "".join(f"{name:>13s}" for name in names) + f"{'ours/pyctc':>12s}")
        rows = runners(utterances, vocabulary, step_seconds, [16] if arguments.quick else BEAMS)
        for row, columns in rows.items():
            speed = speeds(columns, [utterances] * arguments.repetitions, step_seconds)
            ratio = round(speed["pruned"] / speed["pyctcdecode"], 1) if "pyctcdecode" in speed else None
            ratios += [ratio] if ratio else []
            cells = "".join(f"{speed[name]:13,.0f}" if name in speed else f"{'-':>13s}" for name in names)
            print(f"{row:26s}{cells}{ratio or '-':>12}", flush=True)
            if answer["greedy_realtime"] is None and row == "greedy":
                answer["greedy_realtime"] = round(speed["all"])
            if answer["beam16_realtime"] is None and row == "beam 16":
                answer["beam16_realtime"] = round(speed["all"])
                answer["beam16_vs_pyctcdecode"] = ratio
    answer["lowest_vs_pyctcdecode"] = min(ratios, default=None)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
