"""The commands that campaigns disturb: their corpora, run folders and arguments, all tiny.

A job runs in a folder of its own, `case`, beside `world`, which holds what it reads and which no command may change.
"""

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from campaigns import ROOT, renew
from tones import SAMPLE_RATE, TONES, write_config, write_tones

#: Letters that texts are found again by, and a space, as tones.
LETTERS = {"a": 400.0, "b": 600.0, "c": 900.0, "d": 1350.0, "e": 2000.0, "f": 3000.0, " ": 0.0}
#: A recogniser of them.
BASE = ("train.max_steps=400", "train.evaluate_every_steps=400")
#: Kinds of training, each with other things to keep: an average, parts of a batch, workers, schedules, directions.
TRAININGS = (
    ("model.direction=forward", "train.accumulate=2", "train.ema=0.9", "train.max_steps=30"),
    ("model.direction=forward", "train.max_steps=40", "train.deterministic=true", "data.num_workers=4"),
    ("train.max_steps=27", "train.patience=3", "data.num_workers=2", "train.ema=0.95"),
    ("model.direction=forward", "train.max_steps=29", "train.schedule=plateau", "train.plateau_patience=1",
     "train.optimizer=lion", "train.accumulate=3"),
)  # fmt: skip
TRAINING = ("train.checkpoint_every_steps=3", "train.keep_last=3", "train.evaluate_every_steps=7")


@dataclass(frozen=True)
class Job:
    """A command that is disturbed.

    Args:
        family: what its cases are counted as.
        arguments: of the command line, relative to the folder of the case.
        begins_with: a folder of the world that lies in the case beforehand, such as an older result.
        growing: names of files that say other things on the way than at the end: logs, the best weights, and what
            no manifest names yet.
        variables: further ones of its environment.
        timed: names of files whose times do not count, where two results are compared.
        logs: names of files that say what happened on the way, so that a disturbed command's are other ones.
    """

    family: str
    arguments: tuple[str, ...]
    begins_with: str = ""
    growing: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    timed: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()


def jobs():
    """All of them, by name."""
    quick = ("model.units=8", "model.embedding=4", "train.batch_size=4", "train.max_steps=12", "train.warmup_steps=1",
             "train.evaluate_every_steps=3", "train.checkpoint_every_steps=2")  # fmt: skip
    shards = ("shard", "../world/train.jsonl", "--out", "out", "--shard-megabytes", "0.05", "--config")
    return {
        **{
            f"training-{number}": Job(
                "training",
                ("train", "../world/config.yaml", "--run", "out", *TRAINING, *overrides),
                growing=("*.jsonl", "best.npz"),
            )
            for number, overrides in enumerate(TRAININGS)
        },
        "prepare-folder": Job("prepare", ("prepare", "folder", "--source", "../world/mine", "--out", "out")),
        "prepare-synthetic": Job(
            "prepare",
            ("prepare", "synthetic", "--out", "out", "utterances=24", "workers=2", "--seed", "3"),
            growing=("out/audio/*",),  # the manifests go first and come last
        ),
        "shard": Job("shard", (*shards, "../world/config.yaml"), growing=("unfinished/*",)),
        "shard-features": Job(
            "shard",
            (*shards, "../world/unchanged.yaml", "--form", "features", "--part", "1/2"),
            growing=("unfinished/*",),
        ),
        "merge": Job("merge", ("shard", "--merge", "out"), begins_with="parts"),
        "export": Job("export", ("export", "../world/base", "--out", "out", "--quantize", "none,dynamic")),
        "export-over": Job(
            "export", ("export", "../world/base", "--out", "out", "--quantize", "none"), begins_with="bundle"
        ),
        "adapt": Job(
            "adapt",
            (
                "adapt",
                "../world/base",
                "--recordings",
                "../world/me.jsonl",
                "--run",
                "out",
                "--folds",
                "2",
                "--steps",
                "8",
                "train.learning_rate=1e-2",
            ),
            growing=("*.jsonl", "best.npz"),
        ),
        "language": Job(
            "language train",
            ("language", "train", "../world/texts.txt", "--rules", "../world/base", "--out", "out/lm.ngram"),
        ),
        "language-gru": Job(
            "train-gru",
            ("language", "train-gru", "../world/texts.txt", "--recogniser", "../world/base", "--run", "out", *quick),
            growing=("*.jsonl", "best.npz"),
        ),
        "segment": Job(
            "segment", ("segment", "../world/base", "../world/book.wav", "../world/book.txt", "--out", "out")
        ),
        "tune": Job(
            "sweep",
            ("tune", "../world/sweep.yaml", "--run", "out", "--workers", "1"),
            growing=("*.jsonl", "*.csv", "*.json", "*.txt", "*.html", "*.yaml", "*.npz"),  # it is told by its winner
            variables=(("PYTHONPATH", os.pathsep.join([str(ROOT / "tests" / "quick_trials"), str(ROOT)])),),
            timed=("sweep.html", "trials.csv"),
            logs=("journal.jsonl", "log.txt", "did.txt"),
        ),
    }


#: What the server of commands imports beforehand.
MODULES = (
    *("train", "train.language.run", "scoring.evaluation", "export", "adapt", "align.segmenting", "shards"),
    *("tune.chief", "tune.oracles", "corpora.synthetic"),
    # Machine code, which each process would load anew.
    *("model.kernels", "gru.kernels", "features.kernels", "ctc_kernel", "augment.prosody_kernel")
    * (importlib.util.find_spec("numba") is not None),
)


def make_world(folder, commands):
    """Makes what the jobs read, unless it is there: a corpus, a run, a bundle, shards, texts, a long recording.

    Args:
        folder: the campaign's; the world is `folder/world`.
        commands: the server of commands.
    """
    world = folder / "world"
    if (world / "done").exists():
        return world
    renew(world)
    rng = np.random.default_rng(0)
    TONES.update(LETTERS)
    for split, count in (("train", 60), ("dev", 12)):
        write_split(world, split, [sentence(rng, 5) for _ in range(count)], rng)
    config = write_config(world, world / "config.yaml")
    text = config.read_text().replace("characters: ab", f"characters: '{''.join(sorted(LETTERS))}'")
    text = text.replace("n_mels: 20", "n_mels: 20, hop_length_ms: 25")  # as many steps a letter as speech has
    config.write_text(text)
    unchanged = "silence_seconds: 0, noise_probability: 0"  # samples that no training changes, for shards of features
    (world / "unchanged.yaml").write_text(text.replace("gain_db: 3.0", f"gain_db: 0, {unchanged}"))
    (world / "sweep.yaml").write_text(
        "base: config.yaml\nspace:\n  model.units: {type: choice, values: [16, 24]}\n"
        "  augment.gain_db: {type: float, min: 0, max: 8, step: 2}\ntuner: random\nbudget: {trials: 3}\n"
    )
    mine = world / "mine"
    mine.mkdir()
    rows = ["file,text"]
    for number in range(9):
        text = sentence(rng, 2)
        write_tones(mine, f"own {number}.wav", text, rng)
        rows.append(f"own {number}.wav,{text}")
    (mine / "transcripts.csv").write_text("\n".join(rows) + "\n")
    lines = [sentence(rng, 5) for _ in range(300)]
    (world / "texts.txt").write_text("\n".join(lines) + "\n")
    TONES.update({letter: 1.2 * hz for letter, hz in LETTERS.items()})
    write_split(world, "me", [sentence(rng, 2) for _ in range(10)], rng)
    TONES.update(LETTERS)
    write_book(world, [sentence(rng, 12, least=10) for _ in range(8)], rng)
    run(commands, world, "train", "config.yaml", "--run", "base", *BASE)
    run(commands, world, "export", "base", "--out", "bundle")
    for part in ("1/2", "2/2"):
        run(commands, world, "shard", "train.jsonl", "--config", "config.yaml", "--out", "parts", "--part", part,
            "--shard-megabytes", "0.05")  # fmt: skip
    (world / "done").touch()
    return world


def run(commands, folder, *arguments):
    """Runs a command that must succeed."""
    status, said = commands.start(*arguments, cwd=folder).wait()
    if status != 0:
        raise SystemExit(f"{' '.join(map(str, arguments))} ended with {status}: {said}")


def sentence(rng, most, *, least=1):
    """Words of six letters."""
    return " ".join(
        "".join(rng.choice(list("abcdef"), rng.integers(1, 4))) for _ in range(rng.integers(least, most + 1))
    )


def write_split(world, name, texts, rng):
    """Recordings of tones, and their manifest."""
    from speechgru.utterances.manifest import write_manifest

    utterances = [write_tones(world, f"{name}{number}.wav", text, rng) for number, text in enumerate(texts)]
    write_manifest(world / f"{name}.jsonl", utterances)


def write_book(world, texts, rng):
    """One long recording of sentences, and its text."""
    parts = []
    for text in texts:
        write_tones(world, "sentence.wav", text, rng)
        parts.append(soundfile.read(world / "sentence.wav", dtype="float32")[0])
        parts.append(0.003 * rng.normal(size=SAMPLE_RATE // 6).astype(np.float32))
    soundfile.write(world / "book.wav", np.concatenate(parts), SAMPLE_RATE)
    (world / "sentence.wav").unlink()
    (world / "book.txt").write_text(".\n".join(texts) + ".\n")


def environment_of(job):
    """The variables that a job's processes have, beside those of a disk."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", **dict(job.variables)}


def start(commands, job, case: Path, variables=()):
    """Starts a job in its case."""
    return commands.start(*job.arguments, cwd=case, environment={**environment_of(job), **dict(variables)})
