"""Makes the base, the model of `train.start_from: base`.

    pip install wordfreq
    python scripts/get_kokoro.py build/kokoro
    python scripts/make_base.py --source ../shared/data/speechocean762 --voices build/kokoro

It is trained on the voices of eSpeak NG, Kokoro and SVOX Pico, those of train, which say sentences of speechocean762's
training part, household commands, digits and strings of frequent words, and on the people of that training part but one
in ten, who choose the best weights. The same versions and seed give the same corpus. The other voice engines are left
out, so that they can be tests, and since the voices of some are not for every use.

It learns frequent words as labels, and letters beside them by a second head. What is kept is a run folder of letters
with weights of 16 bits, the words beside them (`words.txt`), and a card: whoever starts from it with letters takes over
the one, and whoever starts with words the other.

It begins from nothing, or goes on from the base that is there, as today's was made from the one before; the card names
both the base that it began from and the overrides. With --spoken manifests of those engines' voices take the place of
the script's own corpus:

    ... --spoken house/train.jsonl=3 --spoken words/train.jsonl=3 train.start_from=base train.max_steps=5000 \\
        augment.ramp_epochs=0 train.sorted_first_epoch=false
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from speechgru.cli import run_command, show_progress
from speechgru.config.base_model import BASE, BASE_FOLDER
from speechgru.config.load import load_config, save_config
from speechgru.corpora import grammar, prepare
from speechgru.corpora.spoken import speak_sentences
from speechgru.errors import ConfigError
from speechgru.files import sha256_of, write_json
from speechgru.progress import Progress
from speechgru.runs import RunFolder, load_checkpoint, save_checkpoint
from speechgru.text import Vocabulary
from speechgru.utterances.manifest import read_manifest
from speechgru.voices import Sources

CARD_NAME = "card.json"
CONFIG = Path(__file__).parents[1] / "configs" / "base_model.yaml"
TIMES_SPOKEN = 2  # each sentence of the people, by two voices
NUM_COMMANDS = 1500  # household commands and digit strings
NUM_WORD_STRINGS = 4000
NUM_SPOKEN = 6500  # of these, drawn: Kokoro needs a second and a half of a core for each of its own
NUM_WORDS = 6000  # the most frequent, each as often as each other: letters in as many surroundings as may be
ENGINES = {"espeak": 2.0, "kokoro": 1.5, "pico": 1.0}
VOICES_SHARE, PEOPLE_SHARE = 6.0, 3.0  # of an epoch: half as many of the 2,340 sentences of people
LEAST_SAID, MOST_RANK = 8, 10_000  # a word is a label that is said so often, and is among so many of wordfreq's list
CORPORA = [
    {
        "name": "speechocean762, training part without its dev speakers",
        "source": "OpenSLR 101",
        "licence": "CC BY 4.0",
        "citation": "Zhang et al. 2021, arXiv 2104.01378",
    },
    {
        "name": "its sentences, household commands, digits and words, spoken by eSpeak NG, Kokoro and SVOX Pico",
        "source": "the project's own, scripts/make_base.py; the list of words is that of wordfreq",
        "licence": "speech made by eSpeak NG (GPL-3.0), Kokoro-82M and SVOX Pico (Apache-2.0), none of which is in it; "
        "wordfreq's list: CC BY-SA 4.0, Robyn Speer",
    },
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="the unpacked speechocean762")
    parser.add_argument("--voices", type=Path, default=None, help="the folder of Kokoro's model and voices")
    parser.add_argument(
        "--spoken", type=_share, action="append", default=[], metavar="MANIFEST=SHARE",
        help="what voices say, with its share of an epoch, that of people being 3; in place of the script's own",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("build/base"), help="folder for corpora and run")
    parser.add_argument("--base", type=Path, default=BASE_FOLDER, help="folder that the base is written to")
    parser.add_argument("--seed", type=int, default=0, help="seed of corpus and training")
    parser.add_argument("overrides", nargs="*", help="section.key=value of the configuration")
    args = parser.parse_args()
    if args.base.exists() and not (args.base / CARD_NAME).is_file():
        raise ConfigError(f"{args.base}: is no base of this script's, and is not overwritten; name another with --base")

    with show_progress() as progress:
        people = prepare("speechocean762", args.out / "people", source=args.source, progress=progress)
        spoken = dict(args.spoken) or _speak(people["train"], args, progress)
        words = _frequent_words([*spoken, people["train"]])
        config = load_config(
            CONFIG,
            [
                f"data.train={json.dumps([str(path) for path in (*spoken, people['train'])])}",
                f"data.train_weights={json.dumps([*spoken.values(), PEOPLE_SHARE])}",
                f"data.dev={json.dumps(str(people['dev']))}",
                f"text.words={json.dumps(words)}",
                f"train.seed={args.seed}",
                *args.overrides,
            ],
        )

        from speechgru.train import train  # TensorFlow takes seconds, and nothing so far needed it

        run = RunFolder(args.out / "run")
        train(config, run.path, progress=progress)
    best = [record for record in run.read_history() if record["kind"] == "dev"]
    keep(run, args.base, seed=args.seed, overrides=args.overrides, dev=min(best, key=lambda record: record["wer"]))
    print(f"base   {args.base}")


def keep(run: RunFolder, base: Path, *, seed: int, overrides: list[str], dev: dict) -> None:
    """Writes what a training needs of a run to start from it: its paths taken out, its weights in 16 bits.

    The run's head of letters becomes the base's, and its words what the base knows beside them.
    """
    from speechgru.scoring.predictions import load_run

    config, vocabulary, model = load_run(run.path)
    arrays, _ = load_checkpoint(run.best)
    started_from = None
    if config.train.start_from == BASE:
        started_from = json.loads((BASE_FOLDER / CARD_NAME).read_text(encoding="utf-8"))["sha256_of_weights"]
    places = {id(variable): place for place, variable in enumerate(model.variables)}
    for number, weight in enumerate(model.encoder.logits.layer.weights):
        name = f"model/{places[id(weight)]}"
        arrays[f"words/{number}"], arrays[name] = arrays[name], arrays[f"spelling/{number}"]
    halves = {
        name: array.astype(np.float16) if array.dtype == np.float32 else array
        for name, array in arrays.items()
        if name.startswith(("model/", "words/"))
    }
    shutil.rmtree(base, ignore_errors=True)
    kept = RunFolder(base)
    letters = Vocabulary(" " + vocabulary.letters)
    data = config.data.model_copy(update={"train": (), "dev": None, "train_weights": ()})
    text = config.text.model_copy(
        update={"unit": "character", "characters": " " + vocabulary.letters, "words": "auto", "unknown_words": "refuse"}
    )
    train = config.train.model_copy(update={"start_from": None})
    save_config(kept.config, config.model_copy(update={"data": data, "text": text, "train": train}))
    letters.save(kept.vocabulary)
    vocabulary.written.save(kept.words)
    # An export of the base knows how long what it learnt is, as that of any run (`RunFolder.read_training_seconds`).
    write_json(kept.provenance, {"training_seconds": run.read_training_seconds()})
    save_checkpoint(kept.best, halves, {"base": True})
    write_json(
        base / CARD_NAME,
        {
            "trained_by": "scripts/make_base.py",
            "seed": seed,
            "overrides": overrides,
            "started_from": started_from,
            "corpora": CORPORA,
            "num_words": len(vocabulary.words),
            "dev": {
                "of": "speakers of speechocean762's training part, in those words",
                "wer": dev["wer"],
                "cer": dev["cer"],
                "step": dev["step"],
            },
            "num_weights": int(sum(array.size for array in halves.values())),
            "sha256_of_weights": sha256_of(kept.best),
        },
    )


def _share(text: str) -> tuple[Path, float]:
    manifest, _, share = text.rpartition("=")
    with contextlib.suppress(ValueError):
        if Path(manifest).is_file() and float(share) > 0:
            return Path(manifest), float(share)
    raise argparse.ArgumentTypeError(f"{text!r}: give a manifest that is there, and its share above 0: MANIFEST=SHARE")


def _speak(people: Path, args: argparse.Namespace, progress: Progress) -> dict[Path, float]:
    """The script's own corpus of voices, and its share."""
    voices = speak_sentences(
        {"train": _sentences(people, seed=args.seed)},
        args.out / "voices",
        engines=ENGINES,
        sources=Sources(folder=args.voices),
        seed=args.seed,
        variety="wide",
        progress=progress,
    )
    return {voices["train"]: VOICES_SHARE}


def _frequent_words(manifests: Iterable[Path]) -> list[str]:
    """The words that are labels: said often enough to be learnt, and usual enough to be met again."""
    from wordfreq import top_n_list

    said = Counter(
        word for manifest in manifests for utterance in read_manifest(manifest) for word in utterance.text.split()
    )
    usual = {word for word in top_n_list("en", MOST_RANK) if re.fullmatch(r"[a-z']*[a-z]{2}|[ai]", word)}
    return sorted(word for word, count in said.items() if count >= LEAST_SAID and word in usual)


def _sentences(people: Path, *, seed: int) -> list[str]:
    rng = np.random.default_rng([seed, 762])
    sentences = [utterance.text for utterance in read_manifest(people)] * TIMES_SPOKEN
    sentences += [grammar.draw_sentence_of("train", rng) for _ in range(NUM_COMMANDS)]
    sentences += _word_strings(rng)
    return [sentences[place] for place in rng.permutation(len(sentences))[:NUM_SPOKEN]]


def _word_strings(rng: np.random.Generator) -> list[str]:
    """Strings of two to six words that people use, in no order."""
    from wordfreq import top_n_list

    words = [word for word in top_n_list("en", 2 * NUM_WORDS) if re.fullmatch(r"[a-z']*[aeiouy][a-z']*", word)]
    return [
        " ".join(words[place] for place in rng.integers(NUM_WORDS, size=rng.integers(2, 7)))
        for _ in range(NUM_WORD_STRINGS)
    ]


if __name__ == "__main__":
    run_command(main)
