"""A language model on the way of a recogniser: from texts by command to a bundle, its texts, streams and scores."""

import hashlib
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from languages import TOY

from speechgru.decoding import DecodingOptions, LanguageScorer, LanguageWeights, options_from_lists
from speechgru.errors import BundleError, LanguageError, TextError, UserError
from speechgru.language import read_language_model
from speechgru.language.compact import pack
from speechgru.language.kneser_ney import train
from speechgru.runtime import Recognizer
from speechgru.runtime import recognizer as recognizer_module
from speechgru.runtime.transcription import transcribe
from speechgru.scoring import evaluate
from speechgru.text import Vocabulary

VOCABULARY = Vocabulary(" abcdefghijklmnopqrstuvwxyz")
TEXTS = ["turn on the light", "turn off the light", "turn on the fan", "the night is long"]
#: What the model of these bundles writes for whatever it gets, and what was said.
HEARD, SAID = "turn on the night", "turn on the light"


@pytest.fixture
def model():
    return train((text.split() for text in TEXTS), order=3).model


@pytest.fixture
def make_bundle(tmp_path, monkeypatch):
    """A language model's file or None -> a bundle that carries it; its model doubts one letter."""
    rows = []
    for heard, said in zip(HEARD, SAID, strict=True):
        row = np.full(len(VOCABULARY), 0.1 / len(VOCABULARY))
        row[VOCABULARY.encode(said)] = 0.4
        row[VOCABULARY.encode(heard)] = 0.5
        blank = np.full(len(VOCABULARY), 0.05 / len(VOCABULARY))
        blank[0] = 0.95
        rows += [row, blank]

    class Engine:
        streams = False

        def __init__(self, path, **options):
            pass

        def recognize(self, samples_N):
            return np.log(np.array(rows, np.float32))

    monkeypatch.setattr(recognizer_module, "Engine", Engine)

    def make(content=None, **changes):
        folder = tmp_path / "bundle"
        folder.mkdir(exist_ok=True)
        record = None
        if content is not None:
            (folder / "language.ngram").write_bytes(content)
            record = {
                "kind": "ngram", "file": "language.ngram", "sha256": hashlib.sha256(content).hexdigest(),
                "weights": LanguageWeights(0.75, 0.5).as_record(), **changes,
            }  # fmt: skip
        metadata = {
            "bundle_version": 3, "sample_rate": 8000, "step_seconds": 0.04, "unit": "character",
            "entries": list(VOCABULARY.entries), "text": {}, "models": {"none": {"file": "model.tflite"}},
            "default_form": "none", "language_model": record,
        }  # fmt: skip
        (folder / "bundle.json").write_text(json.dumps(metadata), encoding="utf-8")
        shutil.copy(Path(__file__).parent / "data" / "bundles" / "v1" / "model.tflite", folder)
        return folder

    return make


def test_a_bundles_language_model_scores_when_asked_with_its_weights(
    make_bundle, model, tmp_path, write_wav, write_lines
):
    bundle = make_bundle(pack(model))
    recognizer = Recognizer(bundle)
    assert recognizer.transcribe(np.ones(4000), 8000).text == HEARD
    options = DecodingOptions(beam_width=8, language=True)
    assert recognizer.transcribe(np.ones(4000), 8000, options).text == SAID
    assert recognizer.language_model.weights == LanguageWeights(0.75, 0.5)
    assert recognizer.prepare(options).language.weights == LanguageWeights(0.75, 0.5)
    weighted = DecodingOptions(beam_width=8, language=LanguageScorer(None, LanguageWeights(weight=0.0)))
    assert recognizer.transcribe(np.ones(4000), 8000, weighted).text == HEARD
    assert recognizer.prepare(weighted).language.weights == LanguageWeights(0.0, 0.5)
    audio = write_wav(tmp_path, seconds=0.5)
    (record,) = transcribe(bundle, [audio], decoding=options)
    assert record["text"] == SAID
    manifest = write_lines(tmp_path / "test.jsonl", [{"audio_filepath": str(audio), "duration": 0.5, "text": SAID}])
    record = evaluate(bundle, manifest, decoding=options)
    assert record["wer"] == 0 and record["decoding"]["language_model"]["model"] == model.description


def test_a_bundles_blank_penalty_counts_and_bundles_of_before_have_none(make_bundle, model):
    options = DecodingOptions(beam_width=8, language=True)
    weights = LanguageWeights(0.75, 0.5, blank_penalty=1.5)
    recognizer = Recognizer(make_bundle(pack(model), weights=weights.as_record()))
    assert recognizer.prepare(options).blank_penalty == 1.5
    asked = DecodingOptions(beam_width=8, language=LanguageScorer(None, LanguageWeights(blank_penalty=0.5)))
    assert recognizer.prepare(asked).blank_penalty == 0.5
    penalised, plain = (
        recognizer.transcribe(np.ones(4000), 8000, DecodingOptions(beam_width=8, language=LanguageScorer(model, one)))
        for one in (weights, LanguageWeights(0.75, 0.5))
    )
    assert recognizer.transcribe(np.ones(4000), 8000, options).score == penalised.score < plain.score
    of_before = {"weight": 0.75, "word_bonus": 0.5, "unknown_penalty": None, "known_words_only": False}
    recognizer = Recognizer(make_bundle(pack(model), weights=of_before))
    assert recognizer.prepare(options).blank_penalty == 0.0
    with pytest.raises(BundleError, match=r"blank_penalty is a number from 0 to 100, got -1"):
        Recognizer(make_bundle(pack(model), weights={**of_before, "blank_penalty": -1})).prepare(options)
    with pytest.raises(BundleError, match=r"bundle.*: the weight of a language model is a number"):
        Recognizer(make_bundle(pack(model), weights={**of_before, "weight": -1})).prepare(options)


def test_any_other_model_scores_in_its_place(make_bundle, model):
    recognizer = Recognizer(make_bundle())
    assert recognizer.language_model is None
    with pytest.raises(UserError, match=r"this recogniser carries no language model; give one \(--language-model FILE"):
        recognizer.transcribe(np.ones(4000), 8000, DecodingOptions(beam_width=8, language=True))
    assert recognizer.transcribe(np.ones(4000), 8000, DecodingOptions(beam_width=8, language=model)).text == SAID


def test_a_model_whose_words_are_written_otherwise_is_refused(make_bundle, model, tmp_path):
    recognizer = Recognizer(make_bundle())
    large = model.rewritten(str.upper)
    with pytest.raises(
        TextError, match="the language model: writes 'FAN' where this recogniser writes 'fan', and so most"
    ):
        recognizer.transcribe(np.ones(4000), 8000, DecodingOptions(beam_width=8, language=large))
    (tmp_path / "large.ngram").write_bytes(pack(large))
    options = options_from_lists(language_model=tmp_path / "large.ngram")
    with pytest.raises(TextError, match=r"/large\.ngram: writes 'FAN' where"):
        recognizer.transcribe(np.ones(4000), 8000, options)
    again = large.rewritten(str.lower)
    assert [list(again.scores(text)) for text in TEXTS] == [list(model.scores(text)) for text in TEXTS]
    with pytest.raises(
        LanguageError, match=r"the rules make no word of its own of \d of 9 words, such as 'l' of 'long'"
    ):
        model.rewritten(lambda word: word[:1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": "0"}, r"language\.ngram: is damaged \(its checksum is wrong\)"),
        ({"kind": "dream"}, r"carries a language model of the kind 'dream', this speechgru reads ngram"),
        ({"file": "none.ngram"}, r"none\.ngram: is missing from the bundle; copy the folder whole"),
    ],
)
def test_a_damaged_bundle_is_found_when_the_model_is_asked_for(make_bundle, model, changes, message):
    recognizer = Recognizer(make_bundle(pack(model), **changes))
    assert recognizer.transcribe(np.ones(4000), 8000).text == HEARD
    with pytest.raises(BundleError, match=message):
        recognizer.transcribe(np.ones(4000), 8000, DecodingOptions(beam_width=8, language=True))


@pytest.mark.parametrize("file", ["../language.ngram", "/dev/zero", ".."])
def test_a_bundle_names_no_language_model_outside_itself(make_bundle, model, file):
    with pytest.raises(BundleError, match="the language model is said to be in"):
        Recognizer(make_bundle(pack(model), file=file))


# --- on the command line ---


def test_from_texts_to_transcripts_by_command(run_command, make_bundle, tmp_path, write_wav):
    bundle, audio = make_bundle(), write_wav(tmp_path, seconds=0.5)
    (tmp_path / "rooms texts ü.txt").write_text("\n".join(TEXTS).upper() + "\n\n!?\n", encoding="utf-8")
    out = tmp_path / "lm ü.ngram"
    code, printed, _ = run_command(
        "language", "train", tmp_path / "rooms texts ü.txt", "--rules", bundle, "--out", out, "--json"
    )
    record = json.loads(printed)
    assert code == 0 and record["description"] == "3-gram model of 9 words"
    assert (record["sentences"], record["text_words"], record["ngrams"][0]) == (4, 16, 12)
    assert len(record["notes"]) == 3 and record["size_bytes"] == out.stat().st_size < 2000
    code, printed, _ = run_command("transcribe", bundle, audio, "--json", "--language-model", out)
    assert (code, json.loads(printed)[0]["text"]) == (0, SAID)
    options = ["--language-weight", 0.5, "--word-bonus", 0.5, "--unknown-penalty", "inf"]
    code, printed, _ = run_command("transcribe", bundle, audio, "--json", "--language-model", out, *options)
    assert (code, json.loads(printed)[0]["text"]) == (0, SAID)
    code, printed, _ = run_command("language", "show", out, "--text", tmp_path / "rooms texts ü.txt", "--json")
    measured = json.loads(printed)["measured"]
    assert (measured["words"], measured["unknown_words"]) == (16, 0) and 1 < measured["perplexity"] < 5
    assert run_command("language", "show", out, "--text", tmp_path / "rooms texts ü.txt")[0] == 0


def test_a_model_is_converted_back_and_forth_by_command(run_command, make_bundle, tmp_path):
    (tmp_path / "toy.arpa").write_text(TOY.replace("\tab", "\tAB").replace(" ab", " AB"))
    bundle = make_bundle()
    code, _, err = run_command("language", "convert", tmp_path / "toy.arpa", tmp_path / "toy.ngram", "--rules", bundle)
    assert code == 0 and f"next: speechgru transcribe {bundle} HELLO.wav --language-model" in err
    code, _, err = run_command("language", "convert", tmp_path / "toy.ngram", tmp_path / "again.arpa.gz")
    assert code == 0 and "next: speechgru transcribe bundle HELLO.wav --language-model" in err
    (tmp_path / "plain.arpa").write_text(TOY)
    expected = list(read_language_model(tmp_path / "plain.arpa").scores("a ab b none"))
    found = list(read_language_model(tmp_path / "again.arpa.gz").scores("a ab b none"))
    assert [each[1] for each in found] == pytest.approx([each[1] for each in expected], abs=1e-5)


def test_manifests_and_packed_texts_are_read(run_command, tmp_path, write_lines):
    write_lines(
        tmp_path / "train.jsonl", [{"audio_filepath": "a.wav", "duration": 1.0, "text": text} for text in TEXTS]
    )
    code, printed, _ = run_command(
        "language", "train", tmp_path / "train.jsonl", "--out", tmp_path / "a.arpa", "--json", "--order", 2
    )
    assert code == 0 and json.loads(printed)["sentences"] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", "texts.txt", "--out", "lm.bin"],
            "lm.bin: the name says the form of a language model; end it in",
        ),
        (["train", "none.txt", "--out", "lm.ngram"], "none.txt: the text cannot be read (No such file or directory)"),
        (["train", "empty.txt", "--out", "lm.ngram"], "the texts hold no word; give some in which something is said"),
        (["train", "sound.wav", "--out", "lm.ngram"], "sound.wav:1: holds a zero byte, so it is no text"),
        (
            ["train", "latin.txt", "--out", "lm.ngram"],
            "latin.txt:2: the byte E4 is not UTF-8 text; save the file as UTF-8",
        ),
        (["train", "bad.jsonl", "--out", "lm.ngram"], 'bad.jsonl:1: a line of a manifest is an object with a "text"'),
        (["train", "texts.txt", "--out", "lm.ngram", "--prune", "a"], "--prune takes whole numbers, one an order"),
        (["train", "texts.txt", "--out", "lm.ngram", "--prune", "1"], "the counts to prune are one an order from 0 on"),
        (["train", "texts.txt", "--out", "lm.ngram", "--rules", "texts.txt"], "texts.txt: is neither a run folder"),
        (["train", "texts.txt", "--out", "lm.ngram", "--no-normalize", "--rules", "."], "exclude each other"),
        (["convert", "texts.txt", "lm.ngram"], "texts.txt:1: the file ends where \\data\\ should stand"),
        (["show", "none.arpa"], "none.arpa: the language model cannot be read (No such file or directory)"),
    ],
)
def test_a_mistake_is_one_message(run_command, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text("turn on\n")
    Path("empty.txt").write_text("\n ?! \n")
    Path("sound.wav").write_bytes(b"RIFF\0\0\0\0")
    Path("latin.txt").write_bytes(b"one\ngr\xe4ulich\n")
    Path("bad.jsonl").write_text('{"texts": "a"}\n')
    code, out, err = run_command("language", *arguments)
    assert (code, out) == (2, "") and "Traceback" not in err
    assert message in err.splitlines()[-1] and err.count("error: ") == 1
    assert not Path("lm.ngram").exists()


def test_weights_without_a_model_are_refused(run_command, make_bundle):
    code, _, err = run_command("transcribe", make_bundle(), "a.wav", "--language-weight", 1)
    assert (
        code == 2 and "and no model; name its file (--language-model FILE), or use the recogniser's own (--lm)" in err
    )
    assert math.isinf(LanguageWeights(unknown_penalty=math.inf).unknown_penalty)
