"""From a bundle to a static site: its model, its grammar, its golden vectors and the page around them."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.decoding import DecodingOptions, Hypothesis, decode
from speechgru.decoding.grammar import GrammarConstraint
from speechgru.decoding.keywords import REFRACTORY_SECONDS, WINDOW_SECONDS, KeywordSpotter
from speechgru.decoding.options import USUAL_BEAM_WIDTH
from speechgru.decoding.scorers import Spelling
from speechgru.errors import BundleError, GrammarError, TextError
from speechgru.files import (
    atomic_folder,
    encode_json,
    make_folder,
    read_file,
    read_text,
    require_nothing_else,
    room_for,
)
from speechgru.grammar import Grammar
from speechgru.recording.prompts import choose_prompts
from speechgru.report.style import style_sheet
from speechgru.runtime import model_file, read_bundle
from speechgru.runtime.bundle import require_own_files
from speechgru.runtime.keywords import names_in
from speechgru.text import TextRules, Vocabulary
from speechgru.web.litert import CORE, FILES, litert_packages, version_of

#: What a site is known by, and what its pages read.
SITE_NAME = "site.json"
#: What lies in a site beside it and files of these suffixes.
_ENTRIES, _SUFFIXES = ("golden", "grammar.json", "litert"), (".html", ".js", ".css", ".tflite")

#: Front-end settings that the page needs, for lengths and for its picture.
_FEATURES = (
    "frame_length",
    "hop_length",
    "n_fft",
    "n_mels",
    "mel_scale",
    "f_min_hz",
    "f_max_hz",
    "spectrum",
    "center",
    "preemphasis",
    "log_floor",
)

#: Sentences that the studio asks for, as many as `speechgru record` does.
_NUM_PROMPTS = 30

#: How far a value that a browser computes may be from a golden one where the bundle does not state it. 8-bit forms
#: round otherwise on other processors.
_TOLERANCE = {"none": 1e-3, "float16": 1e-2, "dynamic": 0.2, "int8": 0.25}


def write_site(
    bundle: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    form: str | None = None,
    runtime: str | os.PathLike[str] | None = None,
    golden: bool = True,
) -> dict[str, Any]:
    """Writes a static site that runs a bundle in a browser; nothing of it is on another server.

    Args:
        bundle: the folder that `speechgru export` wrote, or one `.tflite` file of it.
        out: the site's folder; one that is there is replaced once the new one is complete.
        form: which of the bundle's models; its default when None.
        runtime: a folder with LiteRT.js from npm (`litert.litert_packages`); fetched with npm when None.
        golden: whether the bundle's golden vectors travel along, for the self-check; they may hold a recording of the
            dev set.

    Returns:
        A JSON-ready record: `site` (the folder), `form`, `litert` (its version), `streams`, `grammar` (whether the page
        has one), `golden` (cases), `bytes_on_the_wire` (gzipped, what a browser loads before it can recognise: `page`,
        `runtime`, `model`), and `notes`, a sentence each.

    Raises:
        BundleError: the bundle is missing, damaged, lacks the form or its version says too little for a page.
        UserError: LiteRT.js is missing, or `out` holds what is not of a site.
    """
    bundle, out = Path(bundle), Path(out)
    require_nothing_else(out, kind="site", made=_ENTRIES, suffixes=_SUFFIXES)
    metadata = read_bundle(bundle)
    form = form or metadata["default_form"]
    if form not in list(metadata["models"]):
        raise BundleError(f"{bundle}: holds no form {form!r}; it has {', '.join(metadata['models']) or 'none'}")
    model = model_file(bundle, metadata, form)
    if metadata["bundle_version"] < 3 or not set(_FEATURES[:3]) <= set(metadata.get("features") or {}):
        raise BundleError(f"{bundle}: is of an older version that has no signatures for a page; export it again")
    notes: list[str] = []
    record = _site_record(metadata, form) | {"model": model.name, "keywords": _keywords_of(bundle, metadata, notes)}
    grammar = _grammar_of(metadata, notes)
    record["grammar"] = None if grammar is None else grammar_record(grammar)
    with (
        room_for(out),
        litert_packages(None if runtime is None else Path(runtime)) as packages,
        atomic_folder(out) as made,
    ):
        _copy_pages(made)
        for place, (name, file) in FILES.items():
            _copy(packages[name] / file, made / "litert" / place)
        record["litert"] = version_of(packages[CORE])
        _copy(model, made / model.name)
        record["golden"] = _copy_golden(bundle, made / "golden", metadata, form, grammar) if golden else []
        record["prompts"] = [] if grammar is None else _prompts(grammar)
        if grammar is not None and grammar.grammar is not None:
            (made / "grammar.json").write_text(grammar.grammar.to_json(), encoding="utf-8")
        (made / SITE_NAME).write_bytes(encode_json(record))
        sizes = _sizes(made, model.name)
    if not record["golden"]:
        notes.append("the self-check has nothing to compare with: the bundle's golden vectors are not part of the site")
    return {
        "site": str(out),
        "form": form,
        "litert": record["litert"],
        "streams": record["stream"] is not None,
        "grammar": record["grammar"] is not None,
        "golden": [case["name"] for case in record["golden"]],
        "bytes_on_the_wire": sizes,
        "notes": notes,
    }


def _site_record(metadata: dict[str, Any], form: str) -> dict[str, Any]:
    """What the pages read of a bundle's metadata: nothing of the machine that made it."""
    rejection, stream = metadata.get("rejection") or {}, metadata["stream"]
    model = metadata.get("model") or {}
    return {
        **{key: metadata.get(key) for key in ("speechgru_version", "sample_rate", "step_seconds")},
        **{key: metadata.get(key) for key in ("subsampling_factor", "unit", "entries", "latency_seconds")},
        "features": {key: metadata["features"][key] for key in _FEATURES if key in metadata["features"]},
        "direction": model.get("direction"),
        "form": form,
        "stream": stream and {"geometry": stream["geometry"], "states": stream["states"]},
        "threshold": rejection.get("threshold"),
        "beam_width": USUAL_BEAM_WIDTH,
    }


def _keywords_of(bundle: Path, metadata: dict[str, Any], notes: list[str]) -> dict[str, Any] | None:
    """What the bundle was calibrated to listen for, as the page's `KeywordSpotter` reads it; None of others.

    Raises:
        BundleError: what the bundle holds of it is damaged.
    """
    if metadata.get("keywords") is None:
        return None
    if metadata["stream"] is None:
        notes.append("the page transcribes and spots no keyword: the bundle's model does not stream")
        return None
    vocabulary, names = Vocabulary.from_record(metadata), names_in(metadata, name=bundle)
    try:
        words = [
            {
                "text": names.get(text, text),
                "labels": list(map(int, vocabulary.encode(text, where="a keyword"))),
                "threshold": float(least),
            }
            for text, least in metadata["keywords"]["thresholds"].items()
        ]
        if not words or not all(word["labels"] for word in words):
            raise ValueError("a keyword has no letter, or there is none")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{bundle}: its thresholds of keywords are damaged ({error!r}); export and calibrate it again"
        ) from error
    return {"window_seconds": WINDOW_SECONDS, "refractory_seconds": REFRACTORY_SECONDS, "words": words}


def _grammar_of(metadata: dict[str, Any], notes: list[str]) -> GrammarConstraint | None:
    """The bundle's grammar, ready for its vocabulary; None where it has none, or one that it cannot write."""
    if metadata["grammar"] is None:
        return None
    spelling = Spelling(TextRules(**metadata["text"]).normalize, Vocabulary.from_record(metadata))
    try:
        return GrammarConstraint(Grammar.from_record(metadata["grammar"])).prepared(spelling)
    except (GrammarError, TextError) as error:
        notes.append(f"the page goes without the bundle's grammar: {error}")
        return None


def grammar_record(constraint: GrammarConstraint) -> dict[str, Any]:
    """A grammar as the page reads it: what may be said by the text rules, and what its sentences mean.

    Args:
        constraint: with a grammar, and prepared for a recogniser.

    Returns:
        JSON-ready: the `nodes`, the `intents` in order, `Parser.as_record`, and `graph` (`SentenceGraph.as_record`).
    """
    grammar, normalize = constraint.grammar, constraint.normalize
    assert grammar is not None
    intents = [
        {
            "name": intent.name,
            "weight": intent.weight,
            "blocks": [
                {"slots": dict(block.slots), "sentences": list(block.sentences), "weight": block.weight}
                for block in intent.blocks
            ],
        }
        for intent in grammar.intents
    ]
    return {
        "nodes": grammar.as_record()["nodes"],
        "intents": intents,
        **grammar.parser(normalize).as_record(),
        "graph": grammar.graph(normalize).as_record(),
    }


def _prompts(constraint: GrammarConstraint) -> list[dict[str, Any]]:
    """The sentences that the studio asks for: those that `speechgru record` would, with their meanings."""
    grammar = constraint.grammar
    assert grammar is not None
    sentences = ((text, grammar.parse(text)) for text in choose_prompts(grammar, _NUM_PROMPTS))
    return [
        {"text": text, "intent": sentence and sentence.intent, "slots": dict(sentence.slots) if sentence else {}}
        for text, sentence in sentences
    ]


def _copy(source: Path, place: Path) -> None:
    """A file's content; permissions of a package may shut a web server out."""
    make_folder(place.parent)
    shutil.copyfile(source, place)
    place.chmod(0o644)


def _copy_pages(made: Path) -> None:
    for source in resources.files("speechgru.web").joinpath("page").iterdir():
        if source.name.endswith((".html", ".js", ".css")):
            (made / source.name).write_bytes(source.read_bytes())
    # The look of all pages, then that of these.
    style = made / "style.css"
    style.write_text(f"{style_sheet()}\n{style.read_text(encoding='utf-8')}", encoding="utf-8")


def _copy_golden(
    bundle: Path, folder: Path, metadata: dict[str, Any], form: str, grammar: GrammarConstraint | None
) -> list[dict[str, Any]]:
    """Copies the golden vectors of one form, and computes what decoding them must give; gives the cases."""
    listed = bundle / "golden" / "golden.json"
    if not listed.is_file():
        return []
    require_own_files(listed.parent)
    try:
        stored = json.loads(read_text(listed))
        cases = [case for case in stored["cases"] if f"log_probs.{form}" in case["arrays"]]
        return [_golden_case(case, listed.parent, folder, stored, metadata, form, grammar) for case in cases]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{listed}: is damaged ({error!r}); copy the bundle again, or export it again") from error


def _golden_case(
    case: dict[str, Any],
    source: Path,
    folder: Path,
    stored: dict[str, Any],
    metadata: dict[str, Any],
    form: str,
    grammar: GrammarConstraint | None,
) -> dict[str, Any]:
    arrays = {}
    for stage, name in (("samples", "samples"), ("log_mel", "log_mel"), ("log_probs", f"log_probs.{form}")):
        if name in case["arrays"]:
            file = case["arrays"][name]["file"]
            _copy(source / Path(file).name, folder / Path(file).name)
            arrays[stage] = Path(file).name
    log_probs_SV = np.frombuffer(read_file(folder / arrays["log_probs"]), "<f4").reshape(
        case["arrays"][f"log_probs.{form}"]["shape"]
    )
    how: dict[str, Any] = {
        "vocabulary": Vocabulary.from_record(metadata),
        "step_seconds": metadata["step_seconds"],
    }
    threshold = (metadata.get("rejection") or {}).get("threshold")
    options = {
        "greedy": DecodingOptions(),
        "beam": DecodingOptions(beam_width=USUAL_BEAM_WIDTH),
    }
    if grammar is not None:
        options["grammar"] = DecodingOptions(beam_width=USUAL_BEAM_WIDTH, grammar=grammar, threshold=threshold)
    return {
        "name": case["name"],
        "arrays": arrays,
        "tolerance": {
            "log_mel": stored["tolerance"]["log_mel"],
            "log_probs": _tolerance(stored["tolerance"], form),
        },
        "text": case["texts"][form],
        "keywords": _detections(log_probs_SV, metadata, **how),
        "decoded": {
            name: hypothesis_record(decode(log_probs_SV, options=asked, **how)[0]) for name, asked in options.items()
        },
    }


def _detections(log_probs_SV: np.ndarray, metadata: dict[str, Any], **how: Any) -> list[dict[str, Any]] | None:
    if metadata.get("keywords") is None or metadata["stream"] is None:
        return None
    names = metadata["keywords"].get("names")
    return [
        dataclasses.asdict(each)
        for each in KeywordSpotter(metadata["keywords"]["thresholds"], names=names, **how).feed(log_probs_SV)
    ]


def _tolerance(stored: dict[str, Any], form: str) -> float:
    """How far log-probabilities may be from the golden ones: what the bundle states for the form."""
    of_form = stored.get(f"log_probs.{form}")
    return float(of_form if of_form is not None else max(stored["log_probs"], _TOLERANCE.get(form, 0.0)))


def hypothesis_record(hypothesis: Hypothesis) -> dict[str, Any]:
    """A hypothesis as the page writes it; minus infinity, which JSON lacks, is None."""
    record = dataclasses.asdict(hypothesis)
    score = record["score"] if np.isfinite(record["score"]) else None
    return record | {"score": score, "slots": dict(hypothesis.slots)}


def _sizes(made: Path, model: str) -> dict[str, int]:
    """Bytes that a browser loads before it can recognise, gzipped as servers send them."""
    parts = {
        "page": [
            path for path in made.iterdir() if path.suffix in (".js", ".css", ".json") or path.name == "index.html"
        ],
        "runtime": [made / "litert" / name for name in FILES if "compat" not in name],
        "model": [made / model],
    }
    return {name: sum(len(gzip.compress(path.read_bytes(), 6)) for path in paths) for name, paths in parts.items()}
