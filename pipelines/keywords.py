"""From a list of keywords to a device that always listens: and from which score on it reports.

    python pipelines/keywords.py --keywords com-pu-ter jar-vis --out build/keywords
    python pipelines/keywords.py --keywords com-pu-ter jar-vis --people ../shared/data/speechocean762 \\
        --words words.txt --voices build/kokoro --test real.jsonl --test-negatives radio.jsonl

A hyphen parts a keyword: it is spoken as one word, and written as its parts, each of which is listened for by itself.
"Compared" begins as "computer" does, and has no "pu" and no "ter": parted so, real people are missed a third as often.

The keywords, what sounds nearly like them and anything else are spoken by every voice engine that is installed, and a
model that starts from the base, which knows 117 people, learns to tell them apart, first in recordings, then in
stretches of them. With --people, the training part of speechocean762, it goes on learning from real people who say none
of them. With --small it is a forward model of a tenth of the size, from nothing. From which score on a keyword is
reported follows from what nobody said: the dev part of the voices and people, and --negatives. Then recordings that no
training met are listened to as one stream, and keywords missed and accepted falsely are counted. Run it again and
finished stages are skipped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages import Source, Story

from speechgru.cli import run_command
from speechgru.config.beginning import require_start
from speechgru.config.load import load_config
from speechgru.config.sections import RunConfig
from speechgru.corpora import prepare
from speechgru.corpora.keywords import require_keywords
from speechgru.files import write_json
from speechgru.runs import RunFolder
from speechgru.utterances.keywords import join_neighbours, keep_keywords, parts_in, tell_all, write_parts
from speechgru.utterances.manifest import read_manifest, write_manifest

CONFIGS = Path(__file__).parents[1] / "configs"
SPLITS = ("train", "dev", "test")
FORMS = ("none", "dynamic")
#: Dev holds few keywords: one that an 8-bit form writes otherwise is a percent or two.
MAX_WER_CHANGE = 0.05
#: Parts of an epoch: what the voices say, people, and each manifest of --train.
VOICES_SHARE, PEOPLE_SHARE, OTHERS_SHARE = 8, 1, 1
#: Of trainings that go on, where the keywords are known already.
_FURTHER = ("train.sorted_first_epoch=false", "augment.ramp_epochs=0", "train.warmup_steps=20")
_OFTEN = ("train.ema=0.98", "train.evaluate_every_steps=100", "train.checkpoint_every_steps=100")
#: The second training: what is said follows what was said before, as in a stream.
STREAM = (*_FURTHER, *_OFTEN, "train.learning_rate=1e-3", "train.batch_size=8", "train.max_steps=300")
STREAM_SMALL = (
    *(*_FURTHER, *_OFTEN, "train.quiet_start_ms=0"),
    *("train.learning_rate=3e-3", "train.batch_size=12", "train.max_steps=600"),
)
#: The third, of a model from the base: stretches, recordings, and many more of the people who say no keyword.
BOTH = (
    *(*_FURTHER, "train.ema=0.99", "train.evaluate_every_steps=300", "train.checkpoint_every_steps=300"),
    *("train.learning_rate=1e-3", "train.batch_size=12", "train.max_steps=600"),
)
STRETCHES_SHARE, BOTH_VOICES_SHARE, BOTH_OTHERS_SHARE = 2, 2, 3


def _names(text: str) -> list[str]:
    return text.split(",")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--keywords", nargs="+", required=True,
        help="one to ten, each in quotes where it has spaces, with hyphens between its parts",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("build/keywords"), help="folder for everything made")
    parser.add_argument("--small", action="store_true", help="a forward model of a tenth of the size, from nothing")
    parser.add_argument("--people", type=Path, default=None, help="the unpacked speechocean762, to learn from as well")
    parser.add_argument("--words", type=Path, default=None, help="a word a line; those that sound alike are spoken")
    parser.add_argument("--utterances", type=int, default=6000, help="size of the spoken corpus")
    parser.add_argument("--engines", type=_names, default=None, help="who speaks, such as espeak=2,flite=1")
    parser.add_argument("--test-engines", type=_names, default=None, help="engines that only the test is spoken by")
    parser.add_argument("--voices", type=Path, default=None, help="folder of more voices, for Kokoro, Piper and flite")
    parser.add_argument("--language", default="en", help="of the keywords")
    parser.add_argument("--train", type=Path, action="append", default=[], help="manifest of anything to train on too")
    parser.add_argument(
        "--negatives",
        type=Path,
        action="append",
        default=[],
        help="manifest without a keyword, to choose thresholds by",
    )
    parser.add_argument("--test", type=Path, action="append", default=[], help="manifest of people who say keywords")
    parser.add_argument(
        "--test-negatives", type=Path, action="append", default=[],
        help="manifest without a keyword, to count false accepts in; with --people their test part too",
    )  # fmt: skip
    parser.add_argument("--false-accepts-per-hour", type=float, default=0.1, help="of each keyword, at most")
    parser.add_argument("--seed", type=int, default=0, help="seed of corpus and training")
    parser.add_argument("overrides", nargs="*", help="section.key=value of the configuration")
    args = parser.parse_args()
    both_ways = zip(*map(parts_in, args.keywords), strict=True)
    keywords, written = (require_keywords(names) for names in both_ways)
    parts = {spoken: text for spoken, text in zip(keywords, written, strict=True) if spoken != text}
    story = Story(args.out)
    corpus, people, first, run, bundle = (args.out / name for name in ("corpus", "people", "first", "run", "bundle"))
    report, title = args.out / "report.html", f"Keywords: {', '.join(keywords)}"

    corpus_train, corpus_dev = corpus / "train.jsonl", corpus / "dev.jsonl"
    told, alone = args.out / "told.jsonl", args.out / "alone.jsonl"

    numbers: dict[Path, int] = {}

    def parted(manifest: Path) -> Path:
        """Where a manifest is with its keywords in parts; the manifest itself where none has any."""
        number = numbers.setdefault(manifest, len(numbers) + 1)
        return args.out / "parts" / f"{number}_{manifest.name}" if parts else manifest

    def write_parted(*manifests: Path) -> None:
        if parts and manifests:
            story.stage(
                f"part the keywords of {', '.join(f'{one.parent.name}/{one.name}' for one in manifests)}",
                lambda _: [write_parts(one, parted(one), parts) for one in manifests],
                inputs=[*manifests, parts],
                outputs=[*map(parted, manifests)],
            )

    manifests, shares, others = [parted(corpus_train if args.small else told)], [VOICES_SHARE], None
    negatives, test_negatives = list(args.negatives), list(args.test_negatives)
    if args.people:
        story.stage(
            "find the people",
            lambda progress: prepare("speechocean762", people, source=args.people, progress=progress),
            inputs=["speechocean762", Source(args.people)],
            outputs=[people / f"{split}.jsonl" for split in SPLITS],
        )
        others = people / "train.jsonl"
        negatives.append(people / "dev.jsonl")
        test_negatives.append(people / "test.jsonl")
    for number, (manifest, share) in enumerate(
        [*([(others, PEOPLE_SHARE)] if others else []), *((path, OTHERS_SHARE) for path in args.train)], start=1
    ):
        learnt = manifest
        if args.small:  # of what others say it learns the keywords, if any, and that all else is nothing
            learnt = args.out / "others" / f"{number}.jsonl"
            story.stage(
                f"keep the keywords of {manifest.parent.name}/{manifest.name}",
                lambda _, manifest=manifest, learnt=learnt: keep_keywords(manifest, learnt, keywords),
                inputs=[manifest, keywords],
                outputs=[learnt],
            )
        write_parted(learnt)
        manifests, shares = [*manifests, parted(learnt)], [*shares, share]

    # 1. Keywords, what sounds like them, and anything else, spoken. No person is in two splits.
    spoken = {split: corpus / f"{split}.jsonl" for split in SPLITS}
    tests = {"unknown voices": spoken["test"]}
    tests |= {f"the engine {name}": corpus / f"test_{name}.jsonl" for name in args.test_engines or ()}
    words = sorted({word for keyword in written for word in keyword.split()})

    def configure(train: Sequence[Path], *overrides: str, shares: Sequence[int] = shares) -> RunConfig:
        return load_config(
            CONFIGS / ("keywords_small.yaml" if args.small else "keywords.yaml"),
            [
                f"data.train={json.dumps([str(manifest) for manifest in train])}",
                f"data.train_weights={json.dumps(list(shares) if len(shares) > 1 else [])}",
                f"data.dev={json.dumps(str(parted(corpus_dev if args.small else alone)))}",
                f"text.words={json.dumps(words)}",
                f"text.language={json.dumps(args.language)}",
                f"train.seed={args.seed}",
                *overrides,
                *args.overrides,
            ],
        )

    config = configure(manifests)
    require_start(config)
    options = {
        "keywords": keywords,
        "utterances": args.utterances,
        "others": others,
        "words": args.words,
        "language": args.language,
        "engines": args.engines,
        "test_engines": args.test_engines,
        "voices": args.voices,
    }
    story.stage(
        "speak the keywords",
        lambda progress: prepare("keywords", corpus, seed=args.seed, progress=progress, **options),
        inputs=[args.seed, json.loads(json.dumps(options, default=str)), *filter(None, (others, args.words))],
        outputs=[*spoken.values(), *tests.values()],
        folder=corpus,
    )

    # What the base goes on learning from is all that is said, each other word as <unk>; dev holds the keywords alone,
    # since what an unknown word is written as is neither right nor wrong.
    if not args.small:
        story.stage(
            "tell all that is said",
            lambda _: [tell_all(corpus_train, told), _alone(corpus_dev, alone)],
            inputs=[corpus_train, corpus_dev],
            outputs=[told, alone],
        )
        write_parted(told, alone)
    write_parted(*spoken.values())

    # A third of what the voices say sounds nearly like a keyword, as nobody's speech does: no rate an hour is of that.
    usual = {name: args.out / "usual" / f"{path.stem}.jsonl" for name, path in {"dev": spoken["dev"], **tests}.items()}
    story.stage(
        "leave out what sounds alike",
        lambda _: [_without_near(path, usual[name]) for name, path in {"dev": spoken["dev"], **tests}.items()],
        inputs=[spoken["dev"], *tests.values()],
        outputs=[*usual.values()],
    )
    write_parted(*usual.values())
    write_parted(*negatives, *args.test, *test_negatives)

    # 2. The corpus doctor: measured as it was spoken, and without a fault.
    story.check([*map(parted, spoken.values())], config, clean=args.out / "clean", report=args.out / "check")

    from speechgru.export import export  # TensorFlow takes seconds, and nothing so far needed it
    from speechgru.export.calibration import calibrate_keywords
    from speechgru.scoring.keyword_page import report_keywords
    from speechgru.scoring.keywords import evaluate_keywords
    from speechgru.train import train

    # 3. First recordings, then stretches of them: the state of a model that always listens is never a new one. From the
    #    base, at last both, with more of the people: what nobody said shall not be reported.
    def train_run(name: str, config: RunConfig, folder: Path, inputs: Sequence[Any]) -> None:
        page = args.out / f"{folder.name}.html"
        story.stage(
            name,
            lambda progress: train(config, folder, **story.follow(folder, page, progress, title=title)),
            inputs=[*inputs, config.data.dev, config.model_dump(mode="json")],
            outputs=[folder],
            resumes=True,
        )

    train_run("train on recordings", config, first, manifests)
    stretches = [args.out / "stretches" / f"{number}.jsonl" for number in range(len(manifests))]
    story.stage(
        "join recordings",
        lambda _: [join_neighbours(one, out) for one, out in zip(manifests, stretches, strict=True)],
        inputs=manifests,
        outputs=stretches,
    )
    on_stretches = run if args.small else args.out / "second"
    going_on = STREAM_SMALL if args.small else STREAM
    stretch_shares = shares if args.small else [STRETCHES_SHARE] + [1] * (len(stretches) - 1)
    train_run(
        "train on stretches",
        configure(stretches, *going_on, f"train.start_from={json.dumps(str(first))}", shares=stretch_shares),
        on_stretches,
        [*stretches, RunFolder(first).best],
    )
    if not args.small:
        both = [stretches[0], *manifests]
        both_shares = [BOTH_VOICES_SHARE] * 2 + [BOTH_OTHERS_SHARE] * (len(manifests) - 1)
        train_run(
            "train on both",
            configure(both, *BOTH, f"train.start_from={json.dumps(str(on_stretches))}", shares=both_shares),
            run,
            [*both, RunFolder(on_stretches).best],
        )
    best = RunFolder(run).best

    # 4. One folder for a device, and in it from which score on each keyword is reported.
    story.stage(
        "export to TFLite",
        lambda progress: export(
            story.open_run(run), bundle, quantize=FORMS, max_wer_change=MAX_WER_CHANGE, progress=progress
        ),
        inputs=[best, FORMS],
        outputs=[bundle],
    )
    thresholds = args.out / "thresholds.json"
    chosen_by = [*map(parted, (usual["dev"], *negatives))]
    story.stage(
        "choose the thresholds",
        lambda progress: write_json(
            thresholds,
            calibrate_keywords(
                bundle,
                chosen_by,
                written,
                false_accepts_per_hour=args.false_accepts_per_hour,
                names={text: spoken for spoken, text in parts.items()},
                progress=progress,
            ),
        ),
        inputs=[best, *chosen_by, written, args.false_accepts_per_hour],
        outputs=[thresholds],
    )

    # 5. What no training met, as one stream each: who says keywords beside all that holds none.
    scores: list[dict[str, Any]] = []
    for who, manifest in [*((who, usual[who]) for who in tests), *((path.stem, path) for path in args.test)]:
        record = run / "report" / f"{manifest.stem}-keywords.json"
        heard = [*map(parted, (manifest, *test_negatives))]
        story.stage(
            f"evaluate: {who}",
            lambda progress, record=record, heard=heard, who=who: write_json(
                record,
                evaluate_keywords(
                    bundle,
                    heard,
                    written,
                    name=who,
                    false_accepts_per_hour=args.false_accepts_per_hour,
                    progress=progress,
                ),
            ),
            inputs=[thresholds, *heard, who, args.false_accepts_per_hour],
            outputs=[record],
        )
        scores.append(json.loads(record.read_text()))

    # 6. A page.
    story.stage(
        "write the report",
        lambda progress: report_keywords(scores, report, title=title, calibration=json.loads(thresholds.read_text())),
        inputs=[scores, thresholds],
        outputs=[report],
    )
    rows = [
        [
            score["name"],
            found["keyword"],
            f"{found['in_use']['miss_rate']:.1%}",
            f"{found['in_use']['false_accepts_per_hour']:.2f}",
            f"{found['chosen']['miss_rate']:.1%}",
            f"{found['num_commands']:,}",
            f"{found['negative_seconds'] / 3600:.2f}",
        ]
        for score in scores
        for found in score["keywords"]
    ]
    asked = f"missed at {args.false_accepts_per_hour:g} an hour"
    headings = ("", "keyword", "missed", "false an hour", asked, "said", "hours without")
    story.print_table(headings, rows, title="Keywords in a stream")
    story.print(
        f"RTF {scores[0]['rtf']:.4f}, {scores[0]['size_bytes'] / 1000:,.0f} kB; at the bundle's own thresholds, but "
        "where another rate is named"
    )
    story.print_stages()
    story.print(f"report   {report}\nbundle   {bundle}")
    story.print(f"try it   speechgru spot {bundle} RECORDING, or --microphone")


def _alone(manifest: Path, out: Path) -> None:
    """Keeps the recordings in which a keyword is said, and nothing else."""
    write_manifest(
        out, [each for each in read_manifest(manifest, needs_text=False) if each.text and "said" not in each.extra]
    )


def _without_near(manifest: Path, out: Path) -> None:
    """Writes the utterances in which nothing sounds nearly like a keyword."""
    write_manifest(out, [each for each in read_manifest(manifest, needs_text=False) if "near" not in each.extra])


if __name__ == "__main__":
    run_command(main)
