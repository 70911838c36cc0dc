"""Any sentence from any text: voices that read a book, letters against subwords, and language models beside them.

    python pipelines/open_vocabulary.py --text book.txt [--out build/open] [--test-engines flite] ...
    python pipelines/open_vocabulary.py --corpus data/mine ...

The text's sentences are spoken by every voice engine that is installed. In the test sentences and voices are new, and
so is a fifth of the different words (`prepare sentences unseen_words=0.2`). A corpus that was prepared before has
train.jsonl, dev.jsonl and test.jsonl, and perhaps language.txt, what a language model may read. For each kind of label
a model is trained from the base, and a GRU language model of its labels; an n-gram model serves both. What a language
model counts is chosen on dev (`tune --decoding`), and the test is scored from the exported file. Run it again and
finished stages are skipped.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from stages import Story

from speechgru.cli import run_command
from speechgru.config.beginning import require_start
from speechgru.config.load import load_config
from speechgru.corpora import prepare
from speechgru.corpora.sentences import LANGUAGE_NAME
from speechgru.decoding import DecodingOptions, DecodingSettings, LanguageScorer
from speechgru.errors import UserError
from speechgru.files import write_json
from speechgru.language import GRULanguageModel, read_language_model
from speechgru.language.files import write_language_model
from speechgru.language.kneser_ney import train as train_ngrams
from speechgru.language.texts import TextFiles
from speechgru.progress import Progress
from speechgru.runs import RunFolder

CONFIG = Path(__file__).parents[1] / "configs" / "open_vocabulary.yaml"
SPLITS = ("train", "dev", "test")
UNITS = ("character", "subword")
FORM = "dynamic"


def _names(text: str) -> list[str]:
    return text.split(",")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, default=None, help="the text whose sentences are spoken")
    parser.add_argument("--corpus", type=Path, default=None, help="a corpus that is there, in place of a text")
    parser.add_argument("--out", type=Path, default=Path("build/open"), help="folder for everything made")
    parser.add_argument("--utterances", type=int, default=9000, help="size of the spoken corpus")
    parser.add_argument("--engines", type=_names, default=None, help="who speaks, such as espeak=2,festival=1")
    parser.add_argument("--test-engines", type=_names, default=None, help="engines that only a test is spoken by")
    parser.add_argument("--units", type=_names, default=list(UNITS), help="of character and subword, which to train")
    parser.add_argument("--subwords", type=int, default=200, help="how many pieces the subwords are")
    parser.add_argument("--order", type=int, default=3, help="words of the n-gram model's longest n-grams")
    parser.add_argument("--language-steps", type=int, default=3000, help="steps of the GRU language models' training")
    parser.add_argument("--beam-width", type=int, default=32, help="texts that the beam follows")
    parser.add_argument("--seed", type=int, default=0, help="seed of corpus and training")
    parser.add_argument("overrides", nargs="*", help="section.key=value of the configuration")
    args = parser.parse_args()
    if (args.text is None) == (args.corpus is None):
        raise UserError("give --text, whose sentences are spoken, or --corpus, which was prepared before")
    story = Story(args.out)
    corpus = args.corpus or args.out / "corpus"

    # 1. The text, spoken: no sentence and no person is in two splits, and the rarest words of test are in no other.
    manifests = {split: corpus / f"{split}.jsonl" for split in SPLITS}
    tests = {"": manifests["test"]}
    tests |= {f"{engine}, ": corpus / f"test_{engine}.jsonl" for engine in args.test_engines or ()}
    options = {"utterances": args.utterances, "engines": args.engines, "test_engines": args.test_engines}
    if args.text is not None:
        story.stage(
            "speak the text",
            lambda progress: prepare(
                "sentences", corpus, seed=args.seed, progress=progress, text=args.text, unseen_words=0.2, **options
            ),
            inputs=[args.text, args.seed, options],
            outputs=[*manifests.values(), *tests.values(), corpus / LANGUAGE_NAME],
            folder=corpus,
        )
    texts = corpus / LANGUAGE_NAME
    texts = texts if texts.is_file() else manifests["train"]

    # 2. An n-gram model of words, which serves letters and subwords.
    ngrams = args.out / f"{args.order}-gram.ngram"
    rules = load_config(CONFIG, args.overrides).text.rules

    def count(progress: Progress) -> None:
        model = train_ngrams(TextFiles([texts], rules.normalize, progress), order=args.order, progress=progress).model
        write_language_model(model, ngrams)

    story.stage("train the n-gram model", count, inputs=[texts, args.order], outputs=[ngrams])

    rows = []
    for unit in args.units:
        rows += _one_unit(args, story, unit, manifests=manifests, tests=tests, texts=texts, ngrams=ngrams)
    story.print_table(
        ["labels", "test", "decoding", "WER", "95 % interval", "CER", "kB", "real-time factor"],
        [[str(row[key]) for key in ("unit", "test", "way", "wer", "interval", "cer", "kb", "rtf")] for row in rows],
        title="Open vocabulary",
    )
    write_json(args.out / "results.json", rows)
    story.print_stages()


def _one_unit(
    args: argparse.Namespace,
    story: Story,
    unit: str,
    *,
    manifests: dict[str, Path],
    tests: dict[str, Path],
    texts: Path,
    ngrams: Path,
) -> list[dict[str, Any]]:
    """Trains, tunes, exports and scores one kind of label; the rows of the table."""
    folder = args.out / unit
    run, language_run, bundle = folder / "run", folder / "language", folder / "bundle"
    labels = ["text.unit=subword", f"text.subwords={args.subwords}", "text.characters=auto"]
    config = load_config(
        CONFIG,
        [
            f"data.train={json.dumps(str(manifests['train']))}",
            f"data.dev={json.dumps(str(manifests['dev']))}",
            f"train.seed={args.seed}",
            *(labels if unit == "subword" else []),
            *args.overrides,
        ],
    )
    require_start(config)

    from speechgru.config.language import language_config
    from speechgru.export import export
    from speechgru.scoring.decoding_tuning import tune_decoding
    from speechgru.train import train
    from speechgru.train.language import train_language_model

    # 3. Training, from the base.
    story.stage(
        f"train, {unit}",
        lambda progress: train(
            config, run, **story.follow(run, folder / "report.html", progress, title=f"Open vocabulary: {unit}")
        ),
        inputs=[manifests["train"], manifests["dev"], config.model_dump(mode="json")],
        outputs=[run],
        resumes=True,
    )
    best = RunFolder(run).best

    # 4. A GRU language model of the same labels.
    steps = [f"train.max_steps={args.language_steps}", "model.units=256"]
    language = language_config(steps, train=[texts], dev=[manifests["dev"]])
    trained = story.open_run(run)
    story.stage(
        f"train a GRU language model, {unit}",
        lambda progress: train_language_model(
            language, language_run, vocabulary=trained.vocabulary, rules=trained.config.text.rules, progress=progress
        ),
        inputs=[texts, manifests["dev"], best, steps],
        outputs=[language_run / "model.gru"],
        resumes=True,
    )

    # 5. What they count, each by itself and both together: chosen on dev.
    gru = language_run / "model.gru"
    models = {"n-gram": (ngrams,), "GRU": (gru,), "n-gram and GRU": (ngrams, gru)}
    settings = {}
    for name, files in models.items():
        chosen = folder / f"decoding-{name.replace(' ', '-')}.json"

        def tune(progress: Progress, files: tuple[Path, ...] = files, chosen: Path = chosen) -> None:
            asked = _options(args.beam_width, files)
            found = tune_decoding(trained, manifests["dev"], decoding=asked, progress=progress)
            kept = dataclasses.replace(found.settings, beam_width=args.beam_width)
            write_json(chosen, {**kept.as_record(), "tuned": {"wer": found.wer(found.chosen)}})

        story.stage(
            f"choose what language models count: {name}, {unit}",
            tune,
            inputs=[best, *files, manifests["dev"], args.beam_width],
            outputs=[chosen],
        )
        settings[name] = DecodingSettings.read(chosen)

    # 6. One folder for a device, the n-gram model in it.
    story.stage(
        f"export, {unit}",
        lambda progress: export(
            trained, bundle, quantize=(FORM,), language_model=ngrams,
            language_weights=settings["n-gram"].language_weights, progress=progress,
        ),
        inputs=[best, ngrams, settings["n-gram"].as_record()],
        outputs=[bundle],
    )  # fmt: skip

    # 7. The test, from the exported file; the n-gram model is the one that travels in it.
    ways = {"greedy": DecodingOptions(), "beam": DecodingOptions(beam_width=args.beam_width)}
    for name, files in models.items():
        way = f"beam, {name}"
        ways[way] = _options(args.beam_width, files).with_settings(settings[name])
        if ngrams in files:
            ways[way] = dataclasses.replace(ways[way], language=LanguageScorer(None, settings[name].language_weights))
    rows = []
    for test, manifest in tests.items():
        for way, decoding in ways.items():
            record = story.evaluate(
                bundle,
                manifest,
                run / "report" / f"{manifest.stem}-{way.replace(',', '').replace(' ', '-')}.json",
                name=f"{test}{unit}, {way}",
                form=FORM,
                decoding=decoding,
            )
            rows.append(_row(record, unit=unit, test=manifest.stem, way=way))
    return rows


def _options(beam_width: int, files: tuple[Path, ...]) -> DecodingOptions:
    """A beam with an n-gram model, a GRU language model, or both."""
    given: dict[str, Any] = {}
    for file in files:
        if file.suffix == ".gru":
            given["gru_language"] = GRULanguageModel.load(file)
        else:
            given["language"] = read_language_model(file)
    return DecodingOptions(beam_width=beam_width, **given)


def _row(record: dict[str, Any], *, unit: str, test: str, way: str) -> dict[str, Any]:
    low, high = record["wer_interval"]
    return {
        "unit": unit,
        "test": test,
        "way": way,
        "wer": f"{record['wer']:.1%}",
        "interval": f"{low:.1%} to {high:.1%}",
        "cer": f"{record['cer']:.1%}",
        "kb": f"{record['size_bytes'] / 1000:,.0f}",
        "rtf": f"{record['rtf']:.4f}",
    }


if __name__ == "__main__":
    run_command(main)
