"""Real speech: spoken digits, alone and in connected strings, by six people (the Free Spoken Digit Dataset).

    python pipelines/fsdd.py [--source DIR] [--out build/fsdd] [section.key=value ...]

Without --source the recordings are downloaded. Run it again and finished stages are skipped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from stages import Story

from speechgru.check import check
from speechgru.cli import run_command
from speechgru.config import load_config
from speechgru.corpora import prepare
from speechgru.export import export
from speechgru.report.of_run import report_run
from speechgru.train import train

CONFIG = Path(__file__).parents[1] / "configs" / "fsdd.yaml"
FORMS = ("none", "dynamic")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=None, help="folder that holds the recordings already")
    parser.add_argument("--out", type=Path, default=Path("build/fsdd"), help="folder for everything made")
    parser.add_argument("--joined", type=int, default=5, help="digits in a connected string")
    parser.add_argument("--seed", type=int, default=0, help="seed of the joins and of training")
    parser.add_argument("overrides", nargs="*", help="section.key=value of the configuration")
    args = parser.parse_args()

    story = Story(args.out)
    corpus, run, bundle = args.out / "corpus", args.out / "run", args.out / "bundle"
    splits = ("train", "dev", "test")
    isolated = {split: corpus / f"{split}.jsonl" for split in splits}
    joined = {split: corpus / f"{split}_joined.jsonl" for split in splits}
    manifests = [*isolated.values(), *joined.values()]

    # 1. The official split: takes 0 to 4 are the test. Digits of one speaker are joined with short pauses, test
    #    strings from test takes only.
    story.stage(
        "prepare the corpus",
        lambda progress: prepare(
            "fsdd", corpus, source=args.source, seed=args.seed, progress=progress, joined=args.joined
        ),
        inputs=["fsdd", str(args.source), args.seed, args.joined],
        outputs=manifests,
    )

    # 2. The corpus doctor reads every recording once; clean manifests hold what can be used.
    config = load_config(
        CONFIG,
        [
            f"data.train={json.dumps([str(isolated['train']), str(joined['train'])])}",
            f"data.dev={json.dumps(str(joined['dev']))}",
            f"train.seed={args.seed}",
            *args.overrides,
        ],
    )
    story.stage(
        "check it",
        lambda progress: check(manifests, config=config, out=args.out / "clean", progress=progress),
        inputs=[*manifests, config.model_dump(mode="json")],
        outputs=[args.out / "clean"],
    )

    # 3. Training on isolated and connected digits together.
    story.stage(
        "train",
        lambda progress: train(config, run, progress=progress),
        inputs=[isolated["train"], joined["train"], joined["dev"], config.model_dump(mode="json")],
        outputs=[run],
        resumes=True,
    )

    # 4. Connected digits by word error rate; isolated ones by how many are exactly right.
    report_folder = run / "report"
    scores = [story.evaluate(run, joined["test"], report_folder / "joined.json", name="Keras, connected digits")]
    alone = story.evaluate(run, isolated["test"], report_folder / "isolated.json", name="Keras, isolated digits")

    # 5. One folder for a device.
    best = run / "checkpoints" / "best.npz"
    story.stage(
        "export to TFLite",
        lambda progress: export(run, bundle, quantize=FORMS, progress=progress),
        inputs=[best, FORMS],
        outputs=[bundle],
    )

    # 6. Does the exported file hear what Keras heard?
    for form in FORMS:
        out = report_folder / f"joined-{form}.json"
        scores.append(story.evaluate(bundle, joined["test"], out, name=f"TFLite {form}, connected digits", form=form))
    scores.append(alone)

    # 7. Three connected strings through the bundle, as a device would hear them.
    heard = story.transcribe(bundle, joined["test"], args.out / "transcripts.json", count=3)

    # 8. A page to look at.
    report = args.out / "report.html"
    story.stage(
        "write the report",
        lambda progress: report_run(
            run,
            report,
            title="Spoken digits, real recordings",
            evaluations=scores,
            picture_manifest=joined["test"],
            notes=[
                "Official split: the test takes (0 to 4) were never trained on; the six speakers were. "
                f"Connected strings are {args.joined} test recordings of one speaker with short pauses between them."
            ],
        ),
        inputs=[best, scores],
        outputs=[report],
    )

    story.tell_results(scores, heard)
    story.say(f"isolated digits exactly right: {1 - alone['sentence_error_rate']:.1%}")
    story.tell_where(report, report_folder / "joined.html", bundle)


if __name__ == "__main__":
    run_command(main)
