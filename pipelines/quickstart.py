"""From nothing to a recogniser of spoken commands that runs without TensorFlow, in a few minutes on two cores.

    python pipelines/quickstart.py [--out build/quickstart] [--utterances N] [section.key=value ...]

Run it again and finished stages are skipped; kill it and training resumes where it stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from stages import Story

from speechgru.cli import run_command
from speechgru.config.load import load_config
from speechgru.corpora import prepare
from speechgru.export import export
from speechgru.train import train
from speechgru.train.page import report_run
from speechgru.utterances.check import check

CONFIG = Path(__file__).parents[1] / "configs" / "quickstart.yaml"
FORMS = ("none", "dynamic")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/quickstart"), help="folder for everything made")
    parser.add_argument("--utterances", type=int, default=10_000, help="size of the corpus")
    parser.add_argument("--seed", type=int, default=0, help="seed of corpus and training")
    parser.add_argument("overrides", nargs="*", help="section.key=value of the configuration")
    args = parser.parse_args()

    story = Story(args.out)
    corpus, run, bundle = args.out / "corpus", args.out / "run", args.out / "bundle"
    train_manifest, dev_manifest, test_manifest = (corpus / f"{split}.jsonl" for split in ("train", "dev", "test"))

    # 1. A corpus: household commands and digits, spoken by eSpeak NG's voices. Train, dev and test share no voice and
    #    no sentence.
    story.stage(
        "prepare the corpus",
        lambda progress: prepare("synthetic", corpus, seed=args.seed, progress=progress, utterances=args.utterances),
        inputs=["synthetic", args.seed, args.utterances],
        outputs=[train_manifest, dev_manifest, test_manifest],
    )

    # 2. The corpus doctor: every recording is read once; a made corpus must be without a fault.
    config = load_config(
        CONFIG,
        [
            f"data.train={json.dumps(str(train_manifest))}",
            f"data.dev={json.dumps(str(dev_manifest))}",
            f"train.seed={args.seed}",
            *args.overrides,
        ],
    )
    story.stage(
        "check it",
        lambda progress: check(
            [train_manifest, dev_manifest, test_manifest], config=config, out=args.out / "clean", progress=progress
        ),
        inputs=[train_manifest, dev_manifest, test_manifest, config.model_dump(mode="json")],
        outputs=[args.out / "clean"],
    )

    # 3. Training: log-mel, two bidirectional GRU layers, CTC.
    story.stage(
        "train",
        lambda progress: train(config, run, progress=progress),
        inputs=[train_manifest, dev_manifest, config.model_dump(mode="json")],
        outputs=[run],
        resumes=True,
    )

    # 4. Scores on voices and sentences that training never met.
    scores = [story.evaluate(run, test_manifest, run / "report" / "test.json", name="Keras")]

    # 5. One folder for a device: samples in, log-probabilities out, in one TFLite graph.
    best = run / "checkpoints" / "best.npz"
    story.stage(
        "export to TFLite",
        lambda progress: export(run, bundle, quantize=FORMS, progress=progress),
        inputs=[best, FORMS],
        outputs=[bundle],
    )

    # 6. Does the exported file give Keras' texts?
    for form in FORMS:
        out = run / "report" / f"test-{form}.json"
        scores.append(story.evaluate(bundle, test_manifest, out, name=f"TFLite {form}", form=form))

    # 7. Three recordings through the bundle, as a device would transcribe them.
    transcripts = story.transcribe(bundle, test_manifest, args.out / "transcripts.json", count=3)

    # 8. A page to look at.
    report = args.out / "report.html"
    story.stage(
        "write the report",
        lambda progress: report_run(
            run,
            report,
            title="Quickstart: spoken commands",
            evaluations=scores,
            picture_manifest=test_manifest,
            notes=["Every voice is eSpeak NG's; train, dev and test share no voice and no sentence."],
        ),
        inputs=[best, scores],
        outputs=[report],
    )

    story.print_results(scores, transcripts)
    story.print_paths(report, run / "report" / "test.html", bundle)


if __name__ == "__main__":
    run_command(main)
