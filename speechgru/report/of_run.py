"""The report of a run folder: gathers what `write_report` shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.decoding import greedy_decode
from speechgru.evaluate import load_run
from speechgru.examination import read_utterance
from speechgru.manifest import Utterance, read_manifest
from speechgru.report import write_report
from speechgru.runs import RunFolder


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
        utterances = read_manifest(picture_manifest)
        for utterance in utterances[:: max(1, len(utterances) // num_pictures)][:num_pictures]:
            pictures.append(_picture(utterance, config, vocabulary, model))
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


def _picture(utterance: Utterance, config: Any, vocabulary: Any, model: Any) -> dict[str, Any]:
    samples_N = read_utterance(utterance, sample_rate=config.data.sample_rate).samples_N
    samples_BN, num_samples_B = samples_N[None], np.array([len(samples_N)], np.int32)
    log_mel_BTM, _ = model.get_layer("front_end").get_layer("log_mel")(samples_BN, num_samples_B)
    logits_BSV, _ = model([samples_BN, num_samples_B], training=False)
    logits_SV = np.asarray(logits_BSV[0], np.float64)
    log_probs_SV = logits_SV - np.logaddexp.reduce(logits_SV, axis=1, keepdims=True)
    hypothesis = greedy_decode(log_probs_SV, vocabulary=vocabulary, step_seconds=config.step_seconds)
    return {
        "title": f"{utterance.utterance_id}, {utterance.duration:.1f} s",
        "caption": f"Speaker {utterance.speaker}." if utterance.speaker else "",
        "log_mel_TM": np.asarray(log_mel_BTM[0]),
        "log_probs_SV": log_probs_SV,
        "vocabulary": vocabulary,
        "step_seconds": config.step_seconds,
        "frame_seconds": config.hop_length / config.data.sample_rate,
        "reference": utterance.text,
        "hypothesis": hypothesis.text,
        "words": list(hypothesis.words),
    }
