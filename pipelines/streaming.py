"""Recognisers that answer while somebody speaks: what not waiting costs, and whether every exported form agrees.

    python pipelines/streaming.py [section.key=value ...] [--corpus synthetic fsdd] [--source DIR]
        [--models forward forward_ahead chunked bidirectional] [--forms none float16 dynamic int8]
        [--out build/streaming]

Trains the same model four times: forward, forward with a look-ahead, chunked, and bidirectional, which waits for the
end. Run it again and finished stages are skipped; a killed run resumes where it stopped. Ends with a table, a page and
one line of JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsdd
import numpy as np
import quickstart
from stages import Source, Story

from pipelines.streaming_page import report_streaming
from speechgru.cli import run_command
from speechgru.config.load import load_config
from speechgru.config.sections import RunConfig
from speechgru.corpora import prepare
from speechgru.decoding import Hypothesis
from speechgru.export import QUANTIZATIONS, export
from speechgru.files import write_json
from speechgru.progress import Progress
from speechgru.runs import RunFolder
from speechgru.runtime import Recognizer
from speechgru.scoring.evaluation import score
from speechgru.scoring.predictions import decode_recordings, transcribe_recordings
from speechgru.scoring.recordings import Batch, ScoringSet
from speechgru.text import Vocabulary
from speechgru.train import train

MODELS = ("forward", "forward_ahead", "chunked", "bidirectional")
FORMS = ("none", "float16", "dynamic", "int8")
#: Frames of a chunk and of a look-ahead, about 320 and 160 ms: whole steps of each corpus' recipe.
FRAMES = {"synthetic": (36, 18), "fsdd": (32, 16)}
#: Seconds of a stream's pieces: no multiple of a frame, so that chunks are cut anywhere.
PIECE_SECONDS = 0.037


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="section.key=value of the configuration, of all models")
    parser.add_argument("--corpus", nargs="+", choices=list(FRAMES), default=["synthetic"], help="one or both")
    parser.add_argument("--source", type=Path, default=None, help="folder that holds the digits' recordings already")
    parser.add_argument("--utterances", type=int, default=10_000, help="size of the synthetic corpus")
    parser.add_argument("--joined", type=int, default=5, help="digits in a connected string of fsdd")
    parser.add_argument("--seed", type=int, default=0, help="seed of the synthetic corpus and of training")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS, help="some of them")
    parser.add_argument("--forms", nargs="+", choices=QUANTIZATIONS, default=FORMS, help="TFLite forms, default first")
    parser.add_argument("--out", type=Path, default=Path("build/streaming"), help="folder for everything made")
    args = parser.parse_args()
    story = Story(args.out)
    rows = [row for name in args.corpus for row in compare(story, name, args)]

    # 6. A page to look at.
    report, shown = args.out / "report.html", f"TFLite {args.forms[0]}"
    story.stage(
        "write the report",
        lambda progress: report_streaming(rows, report, shown=shown, notes=[_note(args)]),
        inputs=[rows, shown, _note(args)],
        outputs=[report],
    )
    for corpus in args.corpus:
        print_scores(story, [row for row in rows if row["corpus"] == corpus], title=f"{corpus}: WER on the test set")
    story.print(f"report   {report}")
    story.print(json.dumps({"rows": rows}))


def compare(story: Story, name: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """One corpus and all models on it, a row each."""
    # 1. The corpus, as `fsdd.py` and `quickstart.py` have it.
    corpus = args.out / name / "corpus"
    manifests = prepare_corpus(story, name, corpus, args)
    rows = []
    for model in args.models:
        folder, title = args.out / name / model, f"{name}, {model}"
        run, bundle = folder / "run", folder / "bundle"

        # 2. Training: the models differ in how much of the future they may use, and in nothing else.
        config = configure(name, corpus, model, seed=args.seed, overrides=args.overrides)
        train_run(story, title, config, manifests, run)

        # 3. Every form that there is, each compared with Keras on dev recordings before anything is kept.
        def export_run(progress: Progress, run: Path = run, bundle: Path = bundle) -> None:
            export(run, bundle, quantize=args.forms, formats=("tflite", "savedmodel"), progress=progress)

        story.stage(
            f"export: {title}",
            export_run,
            inputs=[run / "checkpoints" / "best.npz", list(args.forms)],
            outputs=[bundle],
        )

        # 4. The test set through each of them, whole recordings.
        scores = score_forms(story, title, run, bundle, manifests["test"], forms=args.forms)

        # 5. And as streams, for models that need not wait.
        metadata = json.loads((bundle / "bundle.json").read_text())
        streams = {}
        if metadata["stream"] is not None:
            streams = score_streams(story, title, bundle, manifests["test"], scores, forms=args.forms)
        keras = scores["Keras"]
        latency = metadata["latency_seconds"]
        rows.append(
            {
                "corpus": name,
                "model": model,
                "label": describe(config),
                "latency_seconds": latency["greatest"] if latency else keras["audio_seconds"] / keras["num_utterances"],
                "is_whole": latency is None,
                "parameters": metadata["parameters"],
                "num_utterances": keras["num_utterances"],
                "scores": {form: figures_of(record) for form, record in scores.items()},
                "streams": {form: figures_of(record) for form, record in streams.items()},
            }
        )
    return rows


def prepare_corpus(story: Story, name: str, corpus: Path, args: argparse.Namespace) -> dict[str, Path]:
    """The manifests by split; `train` may be several."""
    if name == "fsdd":
        outputs = [*fsdd.isolated_manifests(corpus).values(), *fsdd.joined_manifests(corpus).values()]
        options, inputs = {"source": args.source, "joined": args.joined}, [Source(args.source), args.joined]
        scored = fsdd.joined_manifests(corpus)
    else:
        scored = {split: corpus / f"{split}.jsonl" for split in ("train", "dev", "test")}
        outputs = list(scored.values())
        options, inputs = {"seed": args.seed, "utterances": args.utterances}, [args.seed, args.utterances]
    story.stage(
        f"prepare the corpus: {name}",
        lambda progress: prepare(name, corpus, progress=progress, **options),
        inputs=[name, *inputs],
        outputs=outputs,
        folder=None if name == "fsdd" else corpus,  # which may hold its download
    )
    return scored


def configure(name: str, corpus: Path, model: str, *, seed: int, overrides: Sequence[str]) -> RunConfig:
    """The recipe of a corpus with one of the models."""
    chunk, ahead = FRAMES[name]
    keys = {
        "forward": ["model.direction=forward"],
        "forward_ahead": ["model.direction=forward", f"model.lookahead_frames={ahead}"],
        "chunked": ["model.direction=chunked", f"model.chunk_frames={chunk}", f"model.lookahead_frames={ahead}"],
        "bidirectional": ["model.direction=bidirectional"],
    }[model]
    if name == "fsdd":
        return fsdd.configure(corpus, seed=seed, overrides=[*keys, *overrides])
    data = [f"data.{split}={json.dumps(str(corpus / f'{split}.jsonl'))}" for split in ("train", "dev")]
    return load_config(quickstart.CONFIGS / "quickstart_full.yaml", [*data, f"train.seed={seed}", *keys, *overrides])


def describe(config: RunConfig) -> str:
    """A model by what it waits for."""
    model, hop = config.model, config.features.hop_length_ms
    if model.direction == "chunked":
        return f"chunked, {model.chunk_frames * hop:g} + {model.lookahead_frames * hop:g} ms"
    ahead = f", {model.lookahead_frames * hop:g} ms ahead" if model.lookahead_frames else ""
    return model.direction + ahead


def train_run(story: Story, title: str, config: RunConfig, manifests: dict[str, Path], run: Path) -> None:
    """Trains, or resumes."""
    stage, stages = f"train: {title}", story.folder / "stages.json"
    # A run folder of other inputs is moved aside. One that this story knows nothing of is left to training, which goes
    # on where it stands, or refuses one of another configuration.
    is_known = stages.exists() and stage in json.loads(stages.read_text())
    story.stage(
        stage,
        lambda progress: train(config, run, progress=progress),
        inputs=[manifests["train"], manifests["dev"], config.model_dump(mode="json")],
        outputs=[run if is_known else run / "checkpoints" / "best.npz"],
        resumes=True,
    )


def score_forms(
    story: Story, title: str, run: Path, bundle: Path, manifest: Path, *, forms: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The test set's records by the form's name: Keras, SavedModel, and each of TFLite."""
    report = run / "report"
    records = {"Keras": story.evaluate(run, manifest, report / "test.json", name=f"{title}: Keras")}
    out, name = report / "test-savedmodel.json", f"{title}: SavedModel"
    story.stage(
        f"evaluate: {name}",
        lambda progress: write_json(out, evaluate_saved_model(bundle, run, manifest, name=name, progress=progress)),
        inputs=[bundle, manifest, name],
        outputs=[out],
    )
    records["SavedModel"] = json.loads(out.read_text())
    for form in forms:
        out = report / f"test-{form}.json"
        records[f"TFLite {form}"] = story.evaluate(bundle, manifest, out, name=f"{title}: TFLite {form}", form=form)
    return records


def score_streams(
    story: Story, title: str, bundle: Path, manifest: Path, scores: dict[str, Any], *, forms: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The records of streams by the form's name, with `num_different`: texts that are not the whole recording's."""
    records = {}
    for form in forms:
        out, name = bundle.parent / "run" / "report" / f"test-{form}-stream.json", f"{title}: stream of TFLite {form}"
        story.stage(
            f"evaluate: {name}",
            lambda progress, form=form, out=out, name=name: write_json(
                out, evaluate_stream(bundle, manifest, form=form, name=name, progress=progress)
            ),
            inputs=[bundle, manifest, form, name],
            outputs=[out],
        )
        record = json.loads(out.read_text())
        pairs = zip(record["utterances"], scores[f"TFLite {form}"]["utterances"], strict=True)
        record["num_different"] = sum(one["hypothesis"] != other["hypothesis"] for one, other in pairs)
        records[f"TFLite {form}"] = record
    return records


def evaluate_saved_model(bundle: Path, run: Path, manifest: Path, *, name: str, progress: Progress) -> dict[str, Any]:
    """Scores the SavedModel by its signature for batches, as a server would call it."""
    from speechgru.export.saved_model import SavedModelPredictor

    folder = RunFolder(run)
    config, vocabulary = load_config(folder.config, stored=True), Vocabulary.load(folder.vocabulary)
    path = bundle / "saved_model"
    predictor = SavedModelPredictor(path)
    one_second = np.zeros([1, config.data.sample_rate], np.float32)
    predictor.batch_log_probs(one_second, np.array([config.data.sample_rate], np.int32))  # the first call is slow
    decoded = decode_recordings(
        predictor,
        ScoringSet(manifest, sample_rate=config.data.sample_rate, text=config.text.rules),
        vocabulary=vocabulary,
        step_seconds=config.step_seconds,
        progress=progress,
    )
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    head = {
        "path": str(bundle.absolute()),
        "form": "SavedModel",
        "size_bytes": size,
        "manifest": str(manifest.absolute()),
    }
    return head | score(decoded, name=name)


def evaluate_stream(bundle: Path, manifest: Path, *, form: str, name: str, progress: Progress) -> dict[str, Any]:
    """Scores a bundle's stream, fed in small pieces."""
    recognizer = Recognizer(bundle, form=form)
    piece = round(PIECE_SECONDS * recognizer.sample_rate)

    def transcribe(batch: Batch) -> list[Hypothesis]:
        stream, (samples_N,) = recognizer.stream(), batch.samples_BN
        for start in range(0, len(samples_N), piece):
            stream.feed(samples_N[start : start + piece])
        return [stream.finish()]

    recordings = ScoringSet(manifest, sample_rate=recognizer.sample_rate, text=recognizer.text_rules)
    decoded = transcribe_recordings(transcribe, recordings, progress=progress)
    head = {
        "path": str(bundle.absolute()),
        "form": f"stream of TFLite {form}",
        "size_bytes": recognizer.size_bytes,
        "manifest": str(manifest.absolute()),
    }
    return head | score(decoded, name=name)


def figures_of(record: dict[str, Any]) -> dict[str, Any]:
    """What the table and the page need of a record."""
    keys = ("wer", "wer_interval", "rtf", "size_bytes", "num_different")
    return {key: record[key] for key in keys if key in record}


def print_scores(story: Story, rows: Sequence[dict[str, Any]], *, title: str) -> None:
    """Prints the rows of a corpus, a column each: many forms side by side are too wide for a terminal."""

    def rates(kind: str, form: str) -> list[str]:
        return [f"{row[kind][form]['wer']:.2%}" if form in row[kind] else "\u2013" for row in rows]

    table = [["latency", *("whole" if row["is_whole"] else f"{row['latency_seconds']:.2f} s" for row in rows)]]
    table += [[form, *rates("scores", form)] for form in rows[0]["scores"]]
    streamed = dict.fromkeys(form for row in rows for form in row["streams"])
    table += [[f"{form}, stream", *rates("streams", form)] for form in streamed]
    story.print_table(["", *(row["label"] for row in rows)], table, title=title)
    for row in rows:
        for form, record in row["streams"].items():
            if record["num_different"]:
                story.print(
                    f"{row['label']}: as a stream {form} gives {record['num_different']:,} of "
                    f"{row['num_utterances']:,} recordings otherwise than whole"
                )


def _note(args: argparse.Namespace) -> str:
    return (
        "The models of a corpus have the same layers, recipe and seed. A forward model uses nothing of what is yet to "
        "come, or so much of it as its label says; a chunked one is bidirectional inside a window of a chunk and what "
        "is ahead of it, and was trained so; a bidirectional one reads everything first. Every voice of the synthetic "
        "corpus is eSpeak NG's, and its test has other voices and sentences than training; the test of fsdd is "
        f"connected strings of {args.joined} digits, from real recordings of speakers that training knew."
    )


if __name__ == "__main__":
    run_command(main)
