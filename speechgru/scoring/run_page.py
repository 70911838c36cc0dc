"""The report of a run folder: gathers what `write_report` shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speechgru.decoding import greedy_decode
from speechgru.runs import RunFolder
from speechgru.scoring.predictions import load_run
from speechgru.scoring.probe import Ear, ear_of_run
from speechgru.scoring.sections import write_report
from speechgru.utterances.examination import read_utterance
from speechgru.utterances.manifest import Utterance, read_manifest


def report_run(
    run: str | Path,
    out: str | Path,
    *,
    title: str,
    evaluations: Sequence[dict[str, Any]],
    picture_manifest: str | Path | None = None,
    num_pictures: int = 2,
    notes: Sequence[str] = (),
) -> Path:
    """Writes the HTML report of a run.

    Args:
        run: the run folder.
        out: the HTML file to write.
        title: the page's title.
        evaluations: records of `evaluate.evaluate`, the headline's first; the table of model forms shows those on the
            first one's manifest.
        picture_manifest: recordings to draw with the model's output; none when None.
        num_pictures: how many of them, evenly through the manifest.
        notes: paragraphs for the end.

    Returns:
        `out`.
    """
    folder = RunFolder(Path(run)).require()
    config, vocabulary, model = load_run(folder.path)
    history = folder.read_history()
    model_settings, train_settings = config.model, config.train
    trained = [record for record in history if record["kind"] == "train"]
    summary = [
        (
            "Model",
            f"{model_settings.num_layers} x {model_settings.units} GRU, {model_settings.direction}, "
            f"{model_settings.subsampling_factor} frames a step",
        ),
        ("Parameters", f"{model.count_params():,}"),
        ("Trained for", f"{trained[-1]['step']:,} steps of {train_settings.batch_size}, {trained[-1]['seconds']:.0f} s")
        if trained
        else ("Trained for", "no step yet"),
        ("Front end", f"{config.features.n_mels} mel filters at {config.data.sample_rate:,} Hz"),
        ("Seed", str(train_settings.seed)),
    ]
    pictures = []
    if picture_manifest is not None:
        ear, utterances = ear_of_run(config, vocabulary, model), read_manifest(picture_manifest)
        for utterance in utterances[:: max(1, len(utterances) // num_pictures)][:num_pictures]:
            pictures.append(_picture(utterance, ear))
    return write_report(
        out,
        title=title,
        summary=summary,
        evaluations=evaluations,
        history=history,
        pictures=pictures,
        models=[
            {**{key: record[key] for key in ("form", "size_bytes", "wer", "rtf")}, "parameters": model.count_params()}
            for record in evaluations
            if record["manifest"] == evaluations[0]["manifest"]
        ],
        notes=notes,
    )


def _picture(utterance: Utterance, ear: Ear) -> dict[str, Any]:
    heard = ear.hear(read_utterance(utterance, sample_rate=ear.sample_rate).samples_N)
    hypothesis = greedy_decode(heard["log_probs_SV"], vocabulary=ear.vocabulary, step_seconds=ear.step_seconds)
    return heard | {
        "title": f"{utterance.utterance_id}, {utterance.duration:.1f} s",
        "caption": f"Speaker {utterance.speaker}." if utterance.speaker else "",
        "reference": utterance.text,
        "hypothesis": hypothesis.text,
        "words": list(hypothesis.words),
    }
