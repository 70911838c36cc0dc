"""Recordings as a run's best weights recognise them: texts aligned, a player and a picture of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from speechgru import metrics
from speechgru.config.sections import RunConfig
from speechgru.decoding import greedy_decode
from speechgru.errors import UserError
from speechgru.report import html
from speechgru.report.speech_picture import speech_picture
from speechgru.report.utterances import LEGEND_HTML, utterance_card
from speechgru.scoring.probe import Probe
from speechgru.scoring.trained_run import TrainedRun
from speechgru.utterances.examination import read_utterance
from speechgru.utterances.manifest import Utterance, distinct_names, read_manifest


@dataclass(frozen=True)
class Recordings:
    """What the page shows of some recordings.

    Args:
        cards_html: the recordings; empty where none could be drawn.
        num_parameters: how many parameters the model has; None where it was not loaded.
        notes: why recordings are missing.
    """

    cards_html: str = ""
    num_parameters: int | None = None
    notes: Sequence[str] = ()


def recognise(trained: TrainedRun, manifest: str | Path | None, *, most: int) -> Recordings:
    """Recognises at most `most` recordings, evenly through a manifest, with the best weights of a run.

    Args:
        trained: the run.
        manifest: the recordings; None shows none.
        most: how many; 0 loads neither weights nor TensorFlow.
    """
    if most < 1:
        return Recordings()
    try:
        probe, config, model = trained.probe, trained.config, trained.model
    except (UserError, ImportError) as error:
        return Recordings(notes=[f"No recording is drawn: {error}"])
    num_parameters = int(model.count_params())
    if manifest is None:
        return Recordings(num_parameters=num_parameters)
    try:
        utterances = read_manifest(manifest)
    except UserError as error:
        return Recordings(num_parameters=num_parameters, notes=[f"No recording is drawn: {error}"])
    cards, notes = [], []
    chosen = utterances[:: -(-len(utterances) // most)]
    for name, utterance in zip(distinct_names(chosen), chosen, strict=True):
        try:
            cards.append(_card(name, utterance, probe, config))
        except UserError as error:
            notes.append(f"Not drawn: {error}")
    return Recordings(LEGEND_HTML + "".join(cards) if cards else "", num_parameters, notes)


def _card(name: str, utterance: Utterance, probe: Probe, config: RunConfig) -> str:
    """An utterance with its errors marked, its player and its picture."""
    recording = read_utterance(utterance, sample_rate=probe.sample_rate)
    drawn = probe.draw(recording.samples_N)
    hypothesis = greedy_decode(drawn["log_probs_SV"], vocabulary=probe.vocabulary, step_seconds=probe.step_seconds)
    reference = config.text.normalize(utterance.text)
    errors = metrics.word_errors(reference, hypothesis.text)
    card_html = utterance_card(
        {
            "utterance_id": name,
            "audio_filepath": utterance.audio_filepath,
            "offset": utterance.offset,
            "channel": utterance.channel,
            "duration": recording.duration,
            "speaker": utterance.speaker,
            "reference": reference,
            "hypothesis": hypothesis.text,
            "word_errors": errors.errors,
            "words": errors.reference_length,
            "confidence": hypothesis.confidence,
        },
        with_player=True,
    )
    svg = speech_picture(
        **drawn,
        words=hypothesis.words,
        name=f"{name}: log-mel and label probabilities over time",
        description=f"Reference: {reference}. Recognised: {hypothesis.text}.",
    )
    svg_html = html.scroll(svg, name=name, wide=True)
    return f'{card_html}<figure style="margin: .9rem 0">{svg_html}</figure>'
