"""How well a voice is recognised that was never trained on: each of the six speakers of real digits left out in turn.

    python pipelines/fsdd_speakers.py [section.key=value ...] [--source DIR] [--out build/fsdd-speakers] [--seed N]

Six runs of the recipe of `fsdd.py`: six times its time. Run it again and finished speakers are skipped; a killed run
resumes where it stopped. Ends with a table, a page and one line of JSON.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fsdd import configure, isolated_manifests, joined_manifests, print_rows, row_of, train_and_score
from stages import Story

from speechgru.cli import run_command
from speechgru.corpora import prepare
from speechgru.scoring.page import report_evaluations
from speechgru.utterances.manifest import read_manifest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="section.key=value of the configuration")
    parser.add_argument("--source", type=Path, default=None, help="folder that holds the recordings already")
    parser.add_argument("--out", type=Path, default=Path("build/fsdd-speakers"), help="folder for everything made")
    parser.add_argument("--joined", type=int, default=5, help="digits in a connected string")
    parser.add_argument("--seed", type=int, default=0, help="seed of training")
    parser.add_argument("--speakers", nargs="+", default=None, help="only these, in this order")
    args = parser.parse_args()
    story = Story(args.out)

    # 1. The recordings, downloaded once where there is no --source, and who speaks in them.
    official = args.out / "official"
    story.stage(
        "find the speakers",
        lambda progress: prepare("fsdd", official, source=args.source, progress=progress),
        inputs=["fsdd", str(args.source)],
        outputs=list(isolated_manifests(official).values()),
    )
    source = args.source or official / "raw"
    speakers = args.speakers or sorted({utterance.speaker for utterance in read_manifest(official / "test.jsonl")})

    # 2. For each the corpus without them, training on the others, and all they said as the test: single digits, and
    #    connected ones joined from them.
    rows, strings, singles = [], [], []
    for speaker in speakers:
        corpus, run = args.out / speaker / "corpus", args.out / speaker / "run"

        def prepare_without(progress, speaker=speaker, corpus=corpus):
            prepare("fsdd", corpus, source=source, progress=progress, joined=args.joined, held_out_speaker=speaker)

        story.stage(
            f"prepare the corpus without {speaker}",
            prepare_without,
            inputs=["fsdd", str(args.source), args.joined, speaker],
            outputs=[*isolated_manifests(corpus).values(), *joined_manifests(corpus).values()],
        )
        config = configure(corpus, seed=args.seed, overrides=args.overrides)
        connected, alone = train_and_score(story, config, corpus, run, label=f", {speaker} held out")
        rows.append(row_of({"speaker": speaker}, run, connected, alone))
        strings.append(connected)
        singles.append(alone)

    # 3. A page to look at, the worst speaker first.
    scores = [record for records in (strings, singles) for record in sorted(records, key=lambda each: -each["wer"])]
    report = args.out / "report.html"
    story.stage(
        "write the report",
        lambda progress: report_evaluations(
            scores,
            report,
            title="Spoken digits of unknown voices",
            notes=[
                "Each speaker in turn is the test, with all takes, while the dev and training takes of the others "
                f"train. Connected strings are {args.joined} recordings of the speaker with short pauses between them. "
                "The intervals show how much the strings matter, not how much other speakers would."
            ],
        ),
        inputs=[scores],
        outputs=[report],
    )
    story.print(f"report   {report}")
    print_rows(story, rows, title="Each speaker held out in turn")


if __name__ == "__main__":
    run_command(main)
