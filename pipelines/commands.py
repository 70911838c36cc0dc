"""From a grammar of commands to a recogniser of people whom it never met, on a device: intents and slots from a file.

    python pipelines/commands.py --grammar configs/grammars/household.yaml --out build/household
    python pipelines/commands.py --grammar configs/grammars/coffee.yaml --people ../shared/data/speechocean762 ...
    python pipelines/commands.py --grammar my.yaml --recordings me --negatives tv.jsonl ...

The grammar's sentences are spoken by every voice engine that is installed but those kept for the test (--test-engines),
and the model starts from the base, which knows letters and 117 people (`train.start_from: base`). With --people, the
training part of speechocean762, it goes on learning from them, and the voices say their sentences too: what is no word
of the grammar is spelt, whoever speaks. With --recordings, such as `speechgru record` makes, it then learns that
person. With negatives, of which --people has some, it learns from which margin on to accept what it finds. Run it again
and finished stages are skipped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from stages import Source, Story

from speechgru.cli import run_command
from speechgru.config.beginning import require_start
from speechgru.config.load import load_config
from speechgru.corpora import prepare
from speechgru.decoding import DecodingOptions
from speechgru.grammar import Grammar
from speechgru.runs import RunFolder

CONFIG = Path(__file__).parents[1] / "configs" / "commands.yaml"
SPLITS = ("train", "dev", "test")
FORMS = ("none", "dynamic")
#: Parts of an epoch: the grammar's sentences, people who say something else, and voices that say the same as they. A
#: spelt sentence has five times the labels of a command, and so of the loss; larger shares of them slow the words down.
SHARES = (12, 1, 1)
BEAM_WIDTH = 16


def _names(text: str) -> list[str]:
    return text.split(",")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grammar", type=Path, required=True, help="sentence templates, YAML")
    parser.add_argument("--out", type=Path, default=Path("build/commands"), help="folder for everything made")
    parser.add_argument("--people", type=Path, default=None, help="the unpacked speechocean762, to learn from as well")
    parser.add_argument("--utterances", type=int, default=4000, help="size of the spoken corpus")
    parser.add_argument("--engines", type=_names, default=None, help="who speaks, such as espeak=2,flite=1")
    parser.add_argument("--train-engines", type=_names, default=None, help="of these, those that speak in train alone")
    parser.add_argument("--test-engines", type=_names, default=None, help="engines that only the test is spoken by")
    parser.add_argument("--voices", type=Path, default=None, help="folder of more voices, for Kokoro, Piper and flite")
    parser.add_argument("--test", type=Path, action="append", default=[], help="manifest of people to score")
    parser.add_argument("--recordings", type=Path, default=None, help="of a person to adapt to: a folder or manifest")
    parser.add_argument(
        "--negatives", type=Path, action="append", default=[],
        help="manifest of recordings without a command, to choose the margin by; with --people their dev part too",
    )  # fmt: skip
    parser.add_argument(
        "--test-negatives", type=Path, action="append", default=[],
        help="the same, on which false accepts are counted then; with --people their test part too",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="seed of corpus and training")
    parser.add_argument("overrides", nargs="*", help="section.key=value of the configuration")
    args = parser.parse_args()
    story = Story(args.out)
    corpus, people, run, bundle = (args.out / name for name in ("corpus", "people", "run", "bundle"))
    report, title = args.out / "report.html", f"Commands of {args.grammar.name}"

    train_manifests, shares, others = [corpus / "train.jsonl"], [], None
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
        train_manifests, shares = [*train_manifests, others, corpus / "others" / "train.jsonl"], list(SHARES)

    # 1. The grammar's sentences, spoken. No person and no sentence is in two splits; an engine kept for the test speaks
    #    in a test of its own.
    spoken = {split: corpus / f"{split}.jsonl" for split in SPLITS}
    tests = {"unknown voices": spoken["test"]}
    tests |= {f"the engine {name}": corpus / f"test_{name}.jsonl" for name in args.test_engines or ()}
    config = load_config(
        CONFIG,
        [
            f"data.train={json.dumps([str(manifest) for manifest in train_manifests])}",
            f"data.train_weights={json.dumps(shares)}",
            f"data.dev={json.dumps(str(spoken['dev']))}",
            f"data.grammar={json.dumps(str(corpus / 'grammar.json'))}",
            f"train.seed={args.seed}",
            *args.overrides,
        ],
    )
    require_start(config)
    options = {
        "utterances": args.utterances,
        "engines": args.engines,
        "train_engines": args.train_engines,
        "test_engines": args.test_engines,
        "voices": args.voices,
        "others": others,
    }
    story.stage(
        "speak the grammar",
        lambda progress: prepare(
            "commands", corpus, seed=args.seed, progress=progress, grammar=args.grammar, **options
        ),
        inputs=[args.grammar, args.seed, json.loads(json.dumps(options, default=str)), *([others] if others else [])],
        outputs=[*spoken.values(), *tests.values(), corpus / "grammar.json", *train_manifests[2:]],
        folder=corpus,
    )

    # 2. The corpus doctor: measured as it was spoken, and without a fault.
    story.check([*spoken.values()], config, clean=args.out / "clean", report=args.out / "check")

    from speechgru.adapt import adapt  # TensorFlow takes seconds, and nothing so far needed it
    from speechgru.export import export
    from speechgru.export.calibration import calibrate
    from speechgru.train import train
    from speechgru.train.page import report_run

    # 3. Training, from the base.
    story.stage(
        "train",
        lambda progress: train(config, run, **story.follow(run, report, progress, title=title)),
        inputs=[*train_manifests, spoken["dev"], config.model_dump(mode="json")],
        outputs=[run],
        resumes=True,
    )
    grammar = Grammar.load(corpus / "grammar.json")
    ways = {"greedy": DecodingOptions(), "grammar": DecodingOptions(beam_width=BEAM_WIDTH, grammar=grammar)}

    # 4. A person's own voice, where it helps that person and harms nobody else.
    if args.recordings:
        adapted = args.out / "adapted"
        story.stage(
            "adapt to a person",
            lambda progress: adapt(run, args.recordings, adapted, progress=progress),
            inputs=[RunFolder(run).best, args.recordings],
            outputs=[adapted / "report" / "adaptation.json"],
            resumes=True,
        )
        adaptation = json.loads((adapted / "report" / "adaptation.json").read_text())
        before, after = (adaptation["person"][side]["wer"] for side in ("before", "after"))
        story.print(f"adapted  {adaptation['verdict']}: WER of the person {before:.1%} before, {after:.1%} expected")
        if adaptation["verdict"] == "better":
            run = adapted
    best = RunFolder(run).best

    # 5. From which margin on a text is accepted: chosen on unknown voices and on what is no command, kept by the run.
    if negatives:
        story.stage(
            "choose what is accepted",
            lambda progress: calibrate(run, spoken["dev"], negatives, decoding=ways["grammar"], progress=progress),
            inputs=[best, spoken["dev"], *negatives, ways["grammar"].as_record()],
            outputs=[RunFolder(run).rejection],
        )

    # 6. One folder for a device, the grammar in it.
    story.stage(
        "export to TFLite",
        lambda progress: export(story.open_run(run), bundle, quantize=FORMS, progress=progress),
        inputs=[best, FORMS, *([RunFolder(run).rejection] if negatives else [])],
        outputs=[bundle],
    )

    # 7. Scores on whom no training met, free and with nothing but the grammar's sentences allowed, and what is accepted
    #    that nobody said.
    scores = []
    for who, manifest in [*tests.items(), *((path.stem, path) for path in args.test)]:
        for way, decoding in ways.items():
            record = run / "report" / f"{manifest.stem}-{way}.json"
            name = f"{who}, {way}"
            against = test_negatives if (manifest, way) == (spoken["test"], "grammar") else ()
            scores.append(
                story.evaluate(
                    bundle, manifest, record, name=name, form="dynamic", decoding=decoding, negatives=against
                )
            )

    # 8. A page, and what a device would make of three recordings.
    transcribed = args.out / "transcripts.json"
    transcripts = story.transcribe(bundle, spoken["test"], transcribed, count=3, decoding=ways["grammar"])
    story.stage(
        "write the report",
        lambda progress: report_run(
            story.open_run(run), report, title=title, evaluations=scores, picture_manifest=spoken["test"]
        ),
        inputs=[best, scores],
        outputs=[report],
    )
    story.print_results(scores, transcripts)
    rejection = next((record["rejection"] for record in scores if record.get("rejection")), None)
    if rejection:
        point = rejection["in_use"] or rejection["chosen"]
        low, high = point["false_accepts_interval"]
        story.print(
            f"accepted {point['false_accepts_per_hour']:.1f} an hour that nobody said ({low:.1f} to {high:.1f}, from "
            f"{rejection['negative_seconds'] / 60:.1f} minutes); with that margin {point['miss_rate']:.1%} of the "
            f"commands are missed or wrong, {rejection['num_wrong'] / rejection['num_commands']:.1%} without any"
        )
    for record in json.loads(transcribed.read_text()):
        slots = "  ".join(f"{name}={value}" for name, value in (record["slots"] or {}).items())
        story.print(f"intent      {record['intent']}  {slots}")
    story.print_stages()
    story.print_paths(report, run / "report" / "test-grammar.html", bundle)


if __name__ == "__main__":
    run_command(main)
