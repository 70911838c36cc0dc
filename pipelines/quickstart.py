"""From a grammar to a recogniser of spoken commands that runs without TensorFlow, in a few minutes on two cores.

    python pipelines/quickstart.py [--full] [--out build/quickstart] [--utterances N] [section.key=value ...]

Run it again and finished stages are skipped; kill it and training resumes where it stopped. Training starts from the
base (`train.start_from: base`). With --full the model learns letters, which spell any word, from nothing, and training
takes longer.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from stages import Story

from speechgru.cli import run_command
from speechgru.config.base_model import BASE
from speechgru.config.load import load_config
from speechgru.corpora import prepare

CONFIGS = Path(__file__).parents[1] / "configs"
FORMS = ("none", "dynamic")
TITLE = "Quickstart: spoken commands"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="learn letters, which spell any word, in place of words")
    parser.add_argument("--out", type=Path, default=None, help="folder for everything made")
    parser.add_argument("--utterances", type=int, default=None, help="size of the corpus")
    parser.add_argument("--seed", type=int, default=0, help="seed of corpus and training")
    parser.add_argument("overrides", nargs="*", help="section.key=value of the configuration")
    args = parser.parse_args()

    name = "quickstart_full" if args.full else "quickstart"
    utterances = args.utterances or (10_000 if args.full else 7_000)  # the base has heard much already
    out = args.out or Path("build") / name.replace("_", "-")
    corpus, run, bundle, report = out / "corpus", out / "run", out / "bundle", out / "report.html"
    train_manifest, dev_manifest, test_manifest = (corpus / f"{split}.jsonl" for split in ("train", "dev", "test"))
    config = load_config(
        CONFIGS / f"{name}.yaml",
        [
            f"data.train={json.dumps(str(train_manifest))}",
            f"data.dev={json.dumps(str(dev_manifest))}",
            f"train.seed={args.seed}",
            *args.overrides,
        ],
    )
    story = Story(out)

    # 1. A corpus: household commands and digits, spoken by eSpeak NG's voices. Train, dev and test share no voice and
    #    no sentence.
    story.stage(
        "prepare the corpus",
        lambda progress: prepare("synthetic", corpus, seed=args.seed, progress=progress, utterances=utterances),
        inputs=["synthetic", args.seed, utterances],
        outputs=[train_manifest, dev_manifest, test_manifest],
        folder=corpus,
    )

    # 2. The corpus doctor: a made corpus must be without a fault. It was measured as it was spoken.
    story.check([train_manifest, dev_manifest, test_manifest], config, clean=out / "clean", report=out / "check")

    # Importing TensorFlow takes seconds, and nothing so far needed it.
    from speechgru.export import export
    from speechgru.train import train
    from speechgru.train.page import report_run

    # 3. Training: log-mel, two bidirectional GRU layers, CTC. Each dev evaluation shows a transcript and a new page.
    story.stage(
        "train",
        lambda progress: train(config, run, **story.follow(run, report, progress, title=TITLE)),
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
        lambda progress: export(story.open_run(run), bundle, quantize=FORMS, progress=progress),
        inputs=[best, FORMS],
        outputs=[bundle],
    )

    # 6. Does the exported file give Keras' texts?
    for form in FORMS:
        record = run / "report" / f"test-{form}.json"
        scores.append(story.evaluate(bundle, test_manifest, record, name=f"TFLite {form}", form=form))

    # 7. Three recordings through the bundle, as a device would transcribe them.
    transcripts = story.transcribe(bundle, test_manifest, out / "transcripts.json", count=3)

    # 8. A page to look at.
    story.stage(
        "write the report",
        lambda progress: report_run(
            story.open_run(run),
            report,
            title=TITLE,
            evaluations=scores,
            picture_manifest=test_manifest,
            notes=[
                "Every voice is eSpeak NG's; train, dev and test share no voice and no sentence.",
                *_notes_on_the_base(config.train.start_from),
            ],
        ),
        inputs=[best, scores],
        outputs=[report],
    )

    story.print_results(scores, transcripts)
    story.print_stages()
    story.print_paths(report, run / "report" / "test.html", bundle, has_grammar=config.data.grammar is not None)


def _notes_on_the_base(source: str | None) -> list[str]:
    if source != BASE:
        return []
    return ["Training started from the base, which 117 people and other voices than those of dev and test made."]


if __name__ == "__main__":
    run_command(main)
