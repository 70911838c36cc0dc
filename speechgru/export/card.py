"""The model card: the bundle's README, for whoever finds the folder and knows nothing of the run."""

from __future__ import annotations

from typing import Any

from speechgru.export.saved_model import SIGNATURES
from speechgru.grammar import Grammar, describe_grammar
from speechgru.runtime.language import describe_language
from speechgru.visible import counted, visible

_HEADINGS = {
    "form": "form",
    "size_bytes": "kB",
    "max_difference": "off by",
    "wer": "WER",
    "rtf": "RTF",
    "stream_difference": "stream off by",
    "stream_rtf": "stream RTF",
    "start_seconds": "start, s",
    "peak_memory_mb": "MB",
}


def parity_rows(parity: list[dict[str, Any]]) -> list[list[str]]:
    """The comparison of forms as text: the headings, then a row a form."""
    shown = {
        "size_bytes": lambda value: f"{value / 1000:,.0f}",
        "max_difference": lambda value: f"{value:.1e}",
        "wer": lambda value: f"{value:.2%}",
        "rtf": lambda value: f"{value:.4f}",
        "stream_difference": lambda value: f"{value:.1e}",
        "stream_rtf": lambda value: f"{value:.4f}",
        "start_seconds": lambda value: f"{value:.2f}",
        "peak_memory_mb": lambda value: f"{value:.0f}",
    }
    keys = [key for key in _HEADINGS if key == "form" or any(key in record for record in parity)]
    rows = [[_HEADINGS[key] for key in keys]]
    for record in parity:
        rows.append(
            [record["form"]] + [shown[key](record[key]) if key in record else "\u2013" for key in keys if key != "form"]
        )
    return rows


#: What `micro_rows` holds.
MICRO_HEADINGS = ("form", "source", "flash, kB", "arena, kB")


def micro_rows(micro: dict[str, Any]) -> list[list[str]]:
    """A microcontroller's forms as text (`MICRO_HEADINGS`), a row each."""
    return [
        [
            form,
            model["source"],
            f"{model['size_bytes'] / 1000:,.1f}",
            f"{model['arena_bytes'] / 1000:,.1f}",
        ]
        for form, model in micro["models"].items()
    ]


def micro_operators(micro: dict[str, Any]) -> str:
    """The operators that a microcontroller's interpreter must have, in a sentence."""
    operators = {form: set(model["operators"]) for form, model in micro["models"].items()}
    common = set.intersection(*operators.values())
    parts = [", ".join(sorted(common))]
    parts += [f"{form} also {', '.join(sorted(own - common))}" for form, own in operators.items() if own - common]
    return "Operators: " + "; ".join(parts) + "."


def model_card(metadata: dict[str, Any]) -> str:
    """The README of a bundle, in Markdown."""
    model, features = metadata["model"], metadata["features"]
    entries = metadata["entries"]
    shown = "".join(entries) if metadata["unit"] == "character" else " ".join(entries[:40])
    latency = metadata["latency_seconds"]
    facts = {
        "Input": f"one channel at {metadata['sample_rate']:,} Hz; other rates are resampled by the recogniser",
        "Writes": f"{len(entries)} {metadata['unit']}s: `{shown}`" + (" ..." if len(entries) > 40 else ""),
        "Model": f"{model['num_layers']} GRU layers of {model['units']}, {model['direction']}, "
        f"{metadata['parameters']:,} weights, a step every {metadata['step_seconds'] * 1000:g} ms",
        "Front end": f"{features['n_mels']} mel filters, windows of {features['frame_length_ms']:g} ms every "
        f"{features['hop_length_ms']:g} ms, normalisation {features['normalization']}",
        "Latency": f"{latency['least']:.2f} to {latency['greatest']:.2f} s of sound from a step's first sample to its "
        "answer"
        if latency
        else "the whole recording: it does not stream",
        "Trained with": f"speechgru {metadata['speechgru_version']}, seed {metadata['provenance']['seed']}, exported "
        f"{metadata['provenance']['created']}",
    }
    if metadata.get("language") is not None:
        facts["Language"] = metadata["language"]
    if metadata.get("grammar") is not None:
        summary = Grammar.from_record(metadata["grammar"]).summary()
        facts["Grammar"] = f"{describe_grammar(summary)} ({summary['language']}); `transcribe --grammar` uses it"
    if metadata.get("language_model") is not None:
        facts["Language model"] = f"{describe_language(metadata['language_model'])}; `transcribe --lm` uses it"
    if metadata["dev"] is not None:
        facts["Dev set, all of it"] = f"WER {metadata['dev']['wer']:.2%}, CER {metadata['dev']['cer']:.2%}"
    rejection = metadata.get("rejection")
    if rejection is not None:
        facts["Accepts a text"] = (
            f"from the margin {rejection['threshold']:.3f} on: {rejection['false_accepts_per_hour']:.2f} false accepts "
            f"an hour and {rejection['miss_rate']:.1%} misses of {counted(rejection['num_commands'], 'command')} "
            f"({rejection['decoding']})"
        )
    parts = [
        "# A speech recogniser",
        "\n".join(f"- **{name}**: {value}" for name, value in facts.items()),
        f"## How the forms compare\n\nOn {metadata['parity_utterances']} recordings, one at a time on one thread. *Off "
        "by*: the largest difference of a log-probability from the trained model's, and of a stream from whole "
        "recordings. *RTF*: seconds of computing per second of sound. *Start* and *MB*: until a process has loaded the "
        "model, and its peak memory.\n\n" + _table(parity_rows(metadata["parity"])),
        *([_USE] if metadata["models"] else []),  # LiteRT's
        "`bundle.json` says all that the recogniser needs; each `.tflite` file holds the same in its own metadata, "
        "under `speechgru`. `golden/` holds samples with the numbers that every stage must give, for a port to another "
        "language: `golden.json` lists them, with a `tolerance` for each stage and form (`log_probs.dynamic`: larger "
        "for 8-bit forms, where other kernels round some activations to the next unit). Texts must be the same.",
    ]
    if metadata.get("grammar") is not None:
        parts.append(_GRAMMAR)
    if any(case["name"] == "speech" for case in metadata["golden"]):
        parts.append(
            "`golden/speech.samples.f32` is one of these recordings: leave `golden/` out where it must not travel, or "
            "export with `--no-golden-speech`."
        )
    if metadata["stream"] is not None:
        parts.append(_STREAM.format(**metadata["stream"]["geometry"], **metadata["stream"]["sizes"]))
    if metadata.get("micro") is not None:
        micro = metadata["micro"]
        parts += [_MICRO, _table([list(MICRO_HEADINGS), *micro_rows(micro)]), micro_operators(micro)]
    if metadata["saved_model"]:
        lines = "\n".join(f"- `{name}`: {SIGNATURES[name]}" for name in metadata["saved_model"])
        parts.append(f"## The SavedModel's signatures\n\n{lines}")
    return visible("\n\n".join(parts) + "\n")


def _table(rows: list[list[str]]) -> str:
    """Rows as Markdown, the first of them the headings."""
    heading, *others = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in [heading, ["---"] * len(heading), *others])


_USE = """## How to use it

```python
from speechgru.runtime import Recognizer  # pip install speechgru: no TensorFlow

recognizer = Recognizer("this folder")  # or one .tflite file of it
print(recognizer.transcribe(samples, sample_rate).text)
```"""

_MICRO = """## A microcontroller

`micro/` is for TensorFlow Lite Micro: one step a run, features and state in, log-probabilities and state out; the model
as C, and its front end (`speechgru_front_end.h` says how to use it). *Arena*: memory that the interpreter needs on a
machine of 64 bits; one of 32 bits needs less. `micro.json` says the same. In `golden/`, `features` are the frames that
the front end must give and `log_probs.micro-FORM` what the model must."""

_GRAMMAR = """## Intents and slots

The grammar travels in the bundle. With it only its sentences are recognised, or nothing, and each has a meaning:

```python
found = recognizer.transcribe(samples, sample_rate, grammar=True)
print(found.text, found.intent, found.slots)
```"""

_STREAM = """## The stream, for a port

The signature `stream` computes {chunk_steps} steps from {chunk_samples} new samples a call. Inputs: `samples`
[1, {chunk_samples}]; `bounds` int32 [4]; the state, which begins as zeros and goes from each call's outputs into the
next call's inputs of the same names.

1. `context` [1, {context_samples}] does not begin as zeros alone: it is {samples_before} zeros, then the first
   {prefilled_samples} samples of the recording. Call 0 has the {chunk_samples} samples after them, and so on.
2. `bounds` says which samples and frames of the call's window (context and samples, {window_samples} samples,
   {window_frames} frames) belong to the recording: [first sample, end of samples, first frame, end of frames]. Call k
   begins at sample k * {chunk_samples} - {samples_before} and at frame k * {chunk_frames} - {frames_before} of the
   recording; what lies before 0 does not belong, and at the recording's end what lies beyond its samples and its frames
   (`num_frames` in `speechgru/lengths.py`).
3. The steps of call k are k * {chunk_steps} - {delay_steps} and those after; steps below 0, and from the recording's
   number of steps on, are to be thrown away. At the end give zeros as samples until all steps have come."""
