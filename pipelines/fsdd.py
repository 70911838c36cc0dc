"""Real speech: spoken digits, alone and in connected strings, by six people (the Free Spoken Digit Dataset).

    python pipelines/fsdd.py [section.key=value ...] [--source DIR] [--out build/fsdd] [--seeds 0 1 2]

Without --source the recordings are downloaded. Run it again and finished stages are skipped. `fsdd_speakers.py` leaves
out each speaker in turn.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages import Source, Story

from speechgru.cli import run_command
from speechgru.config.load import load_config
from speechgru.config.sections import RunConfig
from speechgru.corpora import prepare
from speechgru.export import export
from speechgru.train import train
from speechgru.train.page import report_run
from speechgru.utterances.check import check

CONFIG = Path(__file__).parents[1] / "configs" / "fsdd.yaml"
FORMS = ("none", "dynamic")
_SPLITS = ("train", "dev", "test")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="section.key=value of the configuration")
    parser.add_argument("--source", type=Path, default=None, help="folder that holds the recordings already")
    parser.add_argument("--out", type=Path, default=None, help="folder for everything made")
    parser.add_argument("--joined", type=int, default=5, help="digits in a connected string")
    parser.add_argument("--held-out-speaker", default=None, help="test on this one, train on the others")
    parser.add_argument(
        "--seeds", type=_seed, nargs="+", default=[0], help="of training, a run each; the first one's is exported"
    )
    args = parser.parse_args()

    speaker, seed = args.held_out_speaker, args.seeds[0]
    out = args.out or Path("build") / (f"fsdd-{speaker}" if speaker else "fsdd")
    story = Story(out)
    corpus, run, bundle = out / "corpus", out / "run", out / "bundle"
    isolated, joined = isolated_manifests(corpus), joined_manifests(corpus)
    manifests = [*isolated.values(), *joined.values()]

    # 1. The official split: takes 0 to 4 are the test; or all takes of one speaker. Digits of one speaker are joined
    #    with short pauses, test strings from test takes only. All seeds train on the same strings.
    story.stage(
        "prepare the corpus",
        lambda progress: prepare(
            "fsdd", corpus, source=args.source, progress=progress, joined=args.joined, held_out_speaker=speaker
        ),
        inputs=["fsdd", Source(args.source), args.joined, speaker],
        outputs=manifests,
    )

    # 2. The corpus doctor reads every recording once; clean manifests hold what can be used.
    config = configure(corpus, seed=seed, overrides=args.overrides)
    story.stage(
        "check it",
        lambda progress: check(manifests, config=config, out=out / "clean", progress=progress),
        inputs=[*manifests, config.model_dump(mode="json")],
        outputs=[out / "clean"],
    )

    # 3. Training on isolated and connected digits together; connected ones are scored by word error rate, isolated
    #    ones by how many are exactly right. Other seeds show how much of it was luck.
    connected, alone = train_and_score(story, config, corpus, run)
    rows = [row_of({"seed": seed}, run, connected, alone)]
    for other in args.seeds[1:]:
        other_run = out / f"run-{other}"
        other_config = configure(corpus, seed=other, overrides=args.overrides)
        scores = train_and_score(story, other_config, corpus, other_run, label=f", seed {other}")
        rows.append(row_of({"seed": other}, other_run, *scores))

    # 4. One folder for a device.
    best = run / "checkpoints" / "best.npz"
    story.stage(
        "export to TFLite",
        lambda progress: export(run, bundle, quantize=FORMS, progress=progress),
        inputs=[best, FORMS],
        outputs=[bundle],
    )

    # 5. Does the exported file give Keras' texts?
    scores = [connected]
    report_folder = run / "report"
    for form in FORMS:
        record = report_folder / f"joined-{form}.json"
        name = f"TFLite {form}, connected digits"
        scores.append(story.evaluate(bundle, joined["test"], record, name=name, form=form))
    scores.append(alone)

    # 6. Three connected strings through the bundle, as a device would transcribe them.
    transcripts = story.transcribe(bundle, joined["test"], out / "transcripts.json", count=3)

    # 7. A page to look at.
    report = out / "report.html"
    known = (
        f"Split by speaker: {speaker} is the test, with all takes; the other five were trained on."
        if speaker
        else "Official split: the test takes (0 to 4) were never trained on; the six speakers were."
    )
    story.stage(
        "write the report",
        lambda progress: report_run(
            run,
            report,
            title="Spoken digits, real recordings",
            evaluations=scores,
            picture_manifest=joined["test"],
            notes=[
                f"{known} Connected strings are {args.joined} test recordings of one speaker with short pauses between "
                "them."
            ],
        ),
        inputs=[best, scores],
        outputs=[report],
    )

    story.print_results(scores, transcripts)
    story.print(f"isolated digits exactly right: {1 - alone['sentence_error_rate']:.1%}")
    story.print_paths(report, report_folder / "joined.html", bundle)
    print_rows(story, rows, title=f"Speaker {speaker} held out" if speaker else "The official split")


def isolated_manifests(corpus: Path) -> dict[str, Path]:
    """The manifests of single digits by split."""
    return {split: corpus / f"{split}.jsonl" for split in _SPLITS}


def joined_manifests(corpus: Path) -> dict[str, Path]:
    """The manifests of connected digits by split."""
    return {split: corpus / f"{split}_joined.jsonl" for split in _SPLITS}


def configure(
    corpus: Path, *, seed: int, overrides: Sequence[str], config: Path = CONFIG, also: Sequence[Path] = ()
) -> RunConfig:
    """The recipe's configuration for a prepared corpus, and for what else is trained on."""
    train_manifests = [str(manifests(corpus)["train"]) for manifests in (isolated_manifests, joined_manifests)]
    train_manifests += [str(manifest.absolute()) for manifest in also]
    return load_config(
        config,
        [
            f"data.train={json.dumps(train_manifests)}",
            f"data.dev={json.dumps(str(joined_manifests(corpus)['dev']))}",
            f"train.seed={seed}",
            *overrides,
        ],
    )


def train_and_score(
    story: Story, config: RunConfig, corpus: Path, run: Path, *, label: str = ""
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Trains a run and scores its best weights, in stages that `label` distinguishes from others of the story.

    Returns:
        The records of `speechgru.scoring.evaluate` for the connected and the isolated test digits.
    """
    isolated, joined = isolated_manifests(corpus), joined_manifests(corpus)
    story.stage(
        f"train{label}",
        lambda progress: train(config, run, progress=progress),
        inputs=[isolated["train"], joined["train"], joined["dev"], config.model_dump(mode="json")],
        outputs=[run],
        resumes=True,
    )
    report_folder = run / "report"
    return (
        story.evaluate(run, joined["test"], report_folder / "joined.json", name=f"Keras, connected digits{label}"),
        story.evaluate(run, isolated["test"], report_folder / "isolated.json", name=f"Keras, isolated digits{label}"),
    )


def row_of(key: dict[str, Any], run: Path, connected: dict[str, Any], alone: dict[str, Any]) -> dict[str, Any]:
    """A run's figures for `print_rows`, its own `key` first."""
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    return key | {
        "connected_wer": connected["wer"],
        "connected_wer_interval": connected["wer_interval"],
        "isolated_exact": 1.0 - alone["sentence_error_rate"],
        "training_seconds": round(max(record["seconds"] for record in history if "seconds" in record), 1),
    }


def print_rows(story: Story, rows: Sequence[dict[str, Any]], *, title: str) -> None:
    """Prints a table of runs with their mean, then all of it as one line of JSON."""
    mean = {key: sum(row[key] for row in rows) / len(rows) for key in ("connected_wer", "isolated_exact")}
    key, *_ = rows[0]
    table = [
        [
            str(row[key]),
            f"{row['connected_wer']:.2%}",
            "{:.2%} to {:.2%}".format(*row["connected_wer_interval"]),
            f"{row['isolated_exact']:.1%}",
            f"{row['training_seconds']:.0f}",
        ]
        for row in rows
    ]
    table.append(["mean", f"{mean['connected_wer']:.2%}", "", f"{mean['isolated_exact']:.1%}", ""])
    story.print_table(
        [key.replace("_", " "), "connected WER", "95 % interval", "isolated exact", "training, s"], table, title=title
    )
    story.print(json.dumps({"rows": list(rows), "mean": mean}))


def _seed(value: str) -> int:
    if not value.isdecimal():
        raise argparse.ArgumentTypeError(
            f"{value!r} is not a seed (a whole number); section.key=value goes before --seeds"
        )
    return int(value)


if __name__ == "__main__":
    run_command(main)
