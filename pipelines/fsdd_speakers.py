"""How well a voice is recognised that was never trained on: each of the six speakers of real digits left out in turn.

    python pipelines/fsdd_speakers.py [section.key=value ...] [--source DIR] [--out build/fsdd-speakers] [--seed N]
    python pipelines/fsdd_speakers.py --adapt ...
    speechgru prepare commands --grammar configs/grammars/digits.yaml --out data/digits
    python pipelines/fsdd_speakers.py --config configs/fsdd_voices.yaml --also data/digits/train.jsonl ...

Six runs of a recipe, by default that of `fsdd.py`: six times its time. With --also further voices are trained on, none
of them of the six. With --adapt each run then learns its speaker from three takes of each digit, 30 recordings, and is
tested before and after on strings of other takes. Run it again and finished speakers are skipped; a killed run resumes
where it stopped. Ends with tables, a page and one line of JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fsdd import CONFIG, configure, isolated_manifests, joined_manifests, print_rows, row_of, train_and_score
from stages import Source, Story

from speechgru.adapt import AdaptOptions, adapt
from speechgru.cli import run_command
from speechgru.corpora import prepare
from speechgru.corpora.connected import join
from speechgru.progress import Progress
from speechgru.runs import RunFolder
from speechgru.scoring.page import report_evaluations
from speechgru.utterances.manifest import Utterance, read_manifest, write_manifest

#: Takes of each digit that a run learns its speaker from, and takes that strings for the test are joined from: none is
#: both.
LEARNT_TAKES, TESTED_TAKES = range(3), range(10, 50)
NUM_STRINGS = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="section.key=value of the configuration")
    parser.add_argument("--source", type=Path, default=None, help="folder that holds the recordings already")
    parser.add_argument("--out", type=Path, default=Path("build/fsdd-speakers"), help="folder for everything made")
    parser.add_argument("--config", type=Path, default=CONFIG, help="the recipe of each run")
    parser.add_argument("--also", type=Path, action="append", default=[], help="manifest that every run trains on too")
    parser.add_argument("--joined", type=int, default=5, help="digits in a connected string")
    parser.add_argument("--tight", type=float, default=0.0, help="share of the joined digits that are cut tight")
    parser.add_argument("--seed", type=int, default=0, help="seed of training")
    parser.add_argument("--speakers", nargs="+", default=None, help="only these, in this order")
    parser.add_argument("--adapt", action="store_true", help="then learn each speaker from 30 recordings")
    args = parser.parse_args()
    story = Story(args.out)

    # 1. The recordings, downloaded once where there is no --source, and who speaks in them.
    official = args.out / "official"
    story.stage(
        "find the speakers",
        lambda progress: prepare("fsdd", official, source=args.source, progress=progress),
        inputs=["fsdd", Source(args.source)],
        outputs=list(isolated_manifests(official).values()),
    )
    source = args.source or official / "raw"
    speakers = args.speakers or sorted({utterance.speaker for utterance in read_manifest(official / "test.jsonl")})

    # 2. For each the corpus without them, training on the others, and all they said as the test: single digits, and
    #    connected ones joined from them.
    rows, strings, singles, adaptations = [], [], [], []
    for speaker in speakers:
        corpus, run = args.out / speaker / "corpus", args.out / speaker / "run"

        def prepare_without(progress, speaker=speaker, corpus=corpus):
            prepare(
                "fsdd", corpus, source=source, progress=progress,
                joined=args.joined, joined_tight=args.tight, held_out_speaker=speaker,
            )  # fmt: skip

        story.stage(
            f"prepare the corpus without {speaker}",
            prepare_without,
            inputs=["fsdd", Source(args.source), args.joined, args.tight, speaker],
            outputs=[*isolated_manifests(corpus).values(), *joined_manifests(corpus).values()],
        )
        config = configure(corpus, seed=args.seed, overrides=args.overrides, config=args.config, also=args.also)
        connected, alone = train_and_score(story, config, corpus, run, label=f", {speaker} held out")
        rows.append(row_of({"speaker": speaker}, run, connected, alone))
        strings.append(connected)
        singles.append(alone)
        if args.adapt:
            adaptations.append(adapt_and_score(story, corpus, run, args.out / speaker, speaker, joined=args.joined))

    # 3. A page to look at, the worst speaker first.
    scores = [record for records in (strings, singles) for record in sorted(records, key=lambda each: -each["wer"])]
    scores += [record for adaptation in adaptations for record in (adaptation["before"], adaptation["after"])]
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
    if adaptations:
        print_adaptations(story, adaptations)
    print_rows(story, rows, title="Each speaker held out in turn")


def adapt_and_score(
    story: Story, corpus: Path, run: Path, folder: Path, speaker: str, *, joined: int
) -> dict[str, Any]:
    """Teaches a run its speaker, and scores it before and after on strings of takes that it never met.

    Where the adapted run is refused, the run stays as it was, and so does its score.
    """
    takes: dict[int, list[Utterance]] = {}
    for utterance in read_manifest(corpus / "test.jsonl"):  # files are named digit_speaker_take.wav
        takes.setdefault(int(Path(utterance.audio_filepath).stem.split("_")[2]), []).append(utterance)
    learnt, tested, adapted = folder / "learnt.jsonl", folder / "tested.jsonl", folder / "adapted"

    def prepare_speaker(progress: Progress) -> None:
        write_manifest(learnt, [utterance for take in LEARNT_TAKES for utterance in takes[take]])
        digits = [utterance for take in TESTED_TAKES for utterance in takes[take]]
        lines = join(
            digits, folder / "tested", num_utterances=NUM_STRINGS, num_words=range(joined, joined + 1),
            sample_rate=8000, seed=(0, 3), progress=progress,
        )  # fmt: skip
        write_manifest(tested, lines)

    story.stage(
        f"choose recordings of {speaker}",
        prepare_speaker,
        inputs=[corpus / "test.jsonl", joined, NUM_STRINGS],
        outputs=[learnt, tested],
    )
    story.stage(
        f"learn {speaker} from 30 recordings",
        lambda progress: adapt(run, learnt, adapted, options=AdaptOptions(join=joined), progress=progress),
        inputs=[RunFolder(run).best, learnt, joined],
        outputs=[adapted / "report" / "adaptation.json"],
        resumes=True,
    )
    record = json.loads((adapted / "report" / "adaptation.json").read_text())
    names = {side: f"{speaker} {side} 30 recordings" for side in ("before", "after")}
    before = story.evaluate(run, tested, folder / "before.json", name=names["before"])
    after = before | {"name": names["after"]}
    if record["verdict"] == "better":
        after = story.evaluate(adapted, tested, folder / "after.json", name=names["after"])
    return {"speaker": speaker, "before": before, "after": after, "adaptation": record}


def print_adaptations(story: Story, adaptations: Sequence[dict[str, Any]]) -> None:
    """Prints what 30 recordings brought each speaker, the mean, and all of it as one line of JSON."""
    rows = []
    for entry in adaptations:
        adaptation = entry["adaptation"]
        rows.append(
            {
                "speaker": entry["speaker"],
                "before_wer": entry["before"]["wer"],
                "wer": entry["after"]["wer"],
                "wer_interval": entry["after"]["wer_interval"],
                "verdict": adaptation["verdict"],
                "steps": adaptation["steps"],
                "expected_wer": adaptation["person"]["after"]["wer"],
                "general_before_wer": adaptation["general"]["before"]["wer"],
                "general_wer": (adaptation["general"]["after"] or adaptation["general"]["before"])["wer"],
                "seconds": round(adaptation["seconds"], 1),
            }
        )
    mean = {key: sum(row[key] for row in rows) / len(rows) for key in ("before_wer", "wer", "general_wer")}
    table = [
        [
            row["speaker"],
            f"{row['before_wer']:.2%}",
            f"{row['wer']:.2%}",
            "{:.2%} to {:.2%}".format(*row["wer_interval"]),
            f"{row['general_before_wer']:.2%} to {row['general_wer']:.2%}",
            f"{row['steps']}, {row['verdict']}",
            f"{row['seconds']:.0f}",
        ]
        for row in rows
    ]
    table.append(["mean", f"{mean['before_wer']:.2%}", f"{mean['wer']:.2%}", "", "", "", ""])
    headings = ["speaker", "WER before", "after", "95 % interval", "the others, before to after", "steps", "s"]
    story.print_table(headings, table, title="Each speaker learnt from 30 recordings")
    story.print(json.dumps({"adapted": rows, "adapted_mean": mean}))


if __name__ == "__main__":
    run_command(main)
