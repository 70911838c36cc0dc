"""A first transcript: a few hundred spoken commands, a minute of training, and what it makes of voices it never met.

    python pipelines/taste.py [--out build/taste] [--utterances N] [section.key=value ...]

It is the quickstart's beginning: a small part of its corpus and of its training, and no scores, no export, no page.
`make quickstart` does all of it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from stages import Story

from speechgru.cli import run_command
from speechgru.cli.console import print_next
from speechgru.config.load import load_config
from speechgru.corpora import prepare

CONFIG = Path(__file__).parents[1] / "configs" / "quickstart.yaml"
#: A minute of training on two cores, and no dev score before its end.
SHORT = ("train.max_steps=400", "train.evaluate_every_steps=400", "train.checkpoint_every_steps=400")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build") / "taste", help="folder for everything made")
    parser.add_argument("--utterances", type=int, default=500, help="size of the corpus")
    parser.add_argument("overrides", nargs="*", help="section.key=value of the configuration")
    args = parser.parse_args()

    corpus, run = args.out / "corpus", args.out / "run"
    train_manifest, dev_manifest, test_manifest = (corpus / f"{split}.jsonl" for split in ("train", "dev", "test"))
    places = [f"data.train={json.dumps(str(train_manifest))}", f"data.dev={json.dumps(str(dev_manifest))}"]
    config = load_config(CONFIG, [*places, *SHORT, *args.overrides])
    story = Story(args.out)
    story.stage(
        "speak the corpus",
        lambda progress: prepare("synthetic", corpus, progress=progress, utterances=args.utterances),
        inputs=["synthetic", args.utterances],
        outputs=[train_manifest, dev_manifest, test_manifest],
        folder=corpus,
    )

    # Importing TensorFlow takes seconds, and nothing so far needed it.
    from speechgru.train import train

    story.stage(
        "train",
        lambda progress: train(config, run, progress=progress),
        inputs=[train_manifest, dev_manifest, config.model_dump(mode="json")],
        outputs=[run],
        resumes=True,
    )
    transcripts = story.transcribe(run, test_manifest, args.out / "transcripts.json", count=5)
    for reference, hypothesis in transcripts:
        story.print(f"reference   {reference}\nhypothesis  {hypothesis}")
    story.print_stages()
    print_next("quickstart", program="make")


if __name__ == "__main__":
    run_command(main)
