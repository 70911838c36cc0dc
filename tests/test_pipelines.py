"""The stories end to end at the size of a minute: every verb, the report, and the skipping of finished stages."""

import json
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from commands import needs_fork

from speechgru.utterances.examination import read_utterance
from speechgru.utterances.manifest import read_manifest

pytest.importorskip("tensorflow", reason="the pipelines train")
pytest.importorskip("espeakng_loader", reason="the quickstart's corpus is spoken by eSpeak NG")

pytestmark = needs_fork
ROOT = Path(__file__).parents[1]
TINY = [
    "model.units=8",
    "model.num_layers=1",
    "train.max_steps=4",
    "train.batch_size=8",
    "train.evaluate_every_steps=2",
]
#: The base has its own width.
FROM_NOTHING = ["train.start_from=null", "train.freeze=[]"]
#: The quickstart's, of the few words that a minute's corpus holds.
QUICK = [*TINY, *FROM_NOTHING, "text.words=auto", "data.grammar=null"]


@pytest.fixture
def tell(commands):
    """Runs a pipeline as a person would and gives what it printed."""

    def tell(name, *arguments):
        command = commands.start(*arguments, script=ROOT / "pipelines" / f"{name}.py")
        status, said = command.wait(seconds=600.0)
        assert status == 0, said
        return command.printed

    return tell


def stages_run(printed):
    return len(re.findall(r"^── ?", printed, flags=re.MULTILINE))


@pytest.mark.slow
def test_a_taste_ends_with_transcripts_and_what_comes_next(commands, tmp_path):
    out = tmp_path / "taste"
    arguments = ["--out", out, "--utterances", 60, *QUICK]
    status, printed = commands.start(*arguments, script=ROOT / "pipelines" / "taste.py").wait()
    assert status == 0 and printed.count("hypothesis") == 5, printed
    assert printed.endswith("next: make quickstart\n")
    assert (out / "examples" / "1.wav").is_file() and (out / "run" / "report" / "training.html").is_file()


def test_quickstart_goes_through_every_verb_and_skips_what_is_done(commands, tell, tmp_path):
    out = tmp_path / "quickstart"
    printed = tell("quickstart", "--out", out, "--utterances", 60, *QUICK)
    assert "Results" in printed and printed.count("hypothesis") == 5, "of each of two evaluations one, and three"
    assert re.search(r"^60 recordings: no problems, ", printed, flags=re.MULTILINE)
    before, trained, _ = re.split(r"^(train: \d+ s)$", printed, flags=re.MULTILINE)
    assert trained and before.count(f"report   {out / 'report.html'}") == 2, "the page is there while training goes on"
    assert all(f"step {step}: word error rate" in before for step in (2, 4))
    for name in (
        "report.html",
        "bundle/bundle.json",
        "bundle/model.tflite",
        "run/config.yaml",
        "run/report/training.html",
    ):
        assert (out / name).is_file(), name
    assert (out / "check" / "check.html").is_file()
    stages = json.loads((out / "stages.json").read_text())
    assert all(stage["seconds"] >= 0 and stage["processor_seconds"] >= 0 for stage in stages.values())
    assert all(re.search(rf"^│ {name} +│ +[0-9.]+ +│", printed, flags=re.MULTILINE) for name in stages)
    texts = [record["text"] for record in json.loads((out / "transcripts.json").read_text())]
    for number, utterance in enumerate(read_manifest(out / "corpus" / "test.jsonl")[:3], start=1):
        samples_N, sample_rate = soundfile.read(out / "examples" / f"{number}.wav", dtype="float32")
        original = read_utterance(utterance, sample_rate=16_000)
        assert sample_rate == 16_000
        np.testing.assert_allclose(samples_N, original.samples_N, atol=2**-14)
    assert len(texts) == 3
    for name in ("test", "test-none", "test-dynamic"):
        scores = json.loads((out / "run" / "report" / f"{name}.json").read_text())
        assert scores["num_utterances"] > 0 and scores["num_skipped"] == 0
    page = (out / "report.html").read_text()
    assert "Word error rate" in page and "TFLite dynamic" in page and "<svg" in page

    again = tell("quickstart", "--out", out, "--utterances", 60, *QUICK)
    assert again.count("already done") == len(stages)
    assert stages_run(again) == 0

    (out / "transcripts.json").unlink()
    third = tell("quickstart", "--out", out, "--utterances", 60, *QUICK)
    assert "transcribe 3 recordings: already done" not in third and "train: already done" in third

    changed = commands.start(
        "--out", out, "--utterances", 60, *QUICK, "train.max_steps=2", script=ROOT / "pipelines" / "quickstart.py"
    )
    deadline = time.monotonic() + 600.0
    while "run.old1" not in changed.printed and changed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    changed.send(signal.SIGKILL)  # what follows is what was seen above
    changed.wait()
    assert "run.old1" in changed.printed, "a run of another configuration is moved aside, not lost"
    assert (out / "run.old1" / "config.yaml").is_file()
    assert "prepare the corpus: already done" in changed.printed and "train: already done" not in changed.printed


@pytest.mark.slow  # half a minute; the corpus, grammars, rejection and their scores have tests of their own
def test_commands_come_from_a_grammar_and_end_as_intents_of_a_bundle(tell, tmp_path):
    grammar = tmp_path / "lamp.yaml"
    grammar.write_text(
        "language: en\nintents:\n  Light:\n    data:\n      - sentences: ['lights {state}']\n"
        "lists:\n  state: {values: ['on', 'off']}\n"
    )
    out = tmp_path / "commands"
    arguments = ["--grammar", grammar, "--out", out, "--utterances", 40, "--engines", "espeak"]
    # Steps enough to be silent: what an untrained model says of whole words is not what its 8-bit form says.
    long = ("train.max_steps=40", "train.evaluate_every_steps=20", "train.learning_rate=0.01")
    noise_N = np.random.default_rng(0).normal(0.0, 0.1, 16000)
    soundfile.write(tmp_path / "noise.wav", noise_N, 16000)
    noise = tmp_path / "noise.jsonl"
    noise.write_text(json.dumps({"audio_filepath": "noise.wav", "duration": 1.0, "text": ""}) + "\n")
    arguments += ["--negatives", noise, "--test-negatives", noise]
    printed = tell("commands", *arguments, *TINY, *FROM_NOTHING, *long)
    assert printed.count("hypothesis") == 5 and printed.count("intent      ") == 3
    assert "an hour that nobody said" in printed
    threshold = json.loads((out / "run" / "rejection.json").read_text())["threshold"]
    against = json.loads((out / "run" / "report" / "test-grammar.json").read_text())
    assert against["negatives"] == [str(noise)] and against["rejection"]["in_use"]["threshold"] == threshold
    for name in ("report.html", "bundle/model.tflite", "run/grammar.json", "run/report/test-grammar.html"):
        assert (out / name).is_file(), name
    scores = [json.loads((out / "run" / "report" / f"test-{way}.json").read_text()) for way in ("greedy", "grammar")]
    assert [score["decoding"]["grammar"] is not None for score in scores] == [False, True]
    for record in json.loads((out / "transcripts.json").read_text()):
        assert record["text"] in ("", "lights on", "lights off")
        assert record["intent"] == ("Light" if record["text"] else None)
    assert (out / "run" / "vocabulary.txt").read_text().split("\n")[1:5] == ["lights", "off", "on", "<unk>"]
    assert json.loads((out / "bundle" / "bundle.json").read_text())["entries"] == ["lights", "off", "on", "<unk>"]


@pytest.mark.slow  # half a minute; the corpus, the stream, its scores and thresholds have tests of their own
@pytest.mark.parametrize("small", [True, False])
def test_keywords_end_as_a_bundle_that_listens_for_them(small, tell, tmp_path):
    out, words = tmp_path / "keywords", tmp_path / "words.txt"
    words.write_text("commuter\nservice\n")
    arguments = ["--keywords", "computer", "--out", out, "--utterances", 100, "--engines", "espeak", "--words", words]
    noise = tmp_path / "noise.jsonl"
    soundfile.write(tmp_path / "noise.wav", np.random.default_rng(0).normal(0.0, 0.1, 16000), 16000)
    noise.write_text(json.dumps({"audio_filepath": "noise.wav", "duration": 1.0, "text": ""}) + "\n")
    arguments += ["--train", noise, "--negatives", noise, "--test-negatives", noise]
    arguments += ["--small"] if small else FROM_NOTHING
    long = ("train.max_steps=40", "train.evaluate_every_steps=20", "train.learning_rate=0.01")
    printed = tell("keywords", *arguments, *TINY, *long)
    assert "Keywords in a stream" in printed and "unknown voices" in printed
    metadata = json.loads((out / "bundle" / "bundle.json").read_text())
    assert metadata["entries"] == (["computer"] if small else ["computer", "<unk>"])
    assert list(metadata["keywords"]["thresholds"]) == ["computer"]
    (found,) = json.loads((out / "run" / "report" / "test-keywords.json").read_text())["keywords"]
    assert found["num_commands"] > 0 and found["in_use"]["threshold"] == metadata["keywords"]["thresholds"]["computer"]
    assert "Keywords: computer" in (out / "report.html").read_text()
    again = tell("keywords", *arguments, *TINY, *long)
    assert again.count("already done") == len(json.loads((out / "stages.json").read_text()))


@pytest.mark.slow  # a minute; the corpus, subwords, language models and the search on dev have tests of their own
def test_open_vocabulary_compares_letters_and_subwords_with_language_models(tell, tmp_path):
    out, book = tmp_path / "open", tmp_path / "book.txt"
    rivers, verbs, places = (
        ("rhine", "elbe", "oder", "inn", "lech", "isar", "saale"),
        ("runs", "falls", "turns"),
        ("a town", "a sea", "a hill"),
    )
    book.write_text("\n\n".join(f"The {one} {two} to {three}." for one in rivers for two in verbs for three in places))
    arguments = ["--text", book, "--out", out, "--utterances", 60, "--engines", "espeak", "--language-steps", 10]
    arguments += ["--subwords", 20, "--beam-width", 4]
    printed = tell("open_vocabulary", *arguments, *TINY, *FROM_NOTHING)
    rows = json.loads((out / "results.json").read_text())
    assert [(row["unit"], row["way"]) for row in rows] == [
        (unit, way)
        for unit in ("character", "subword")
        for way in ("greedy", "beam", "beam, n-gram", "beam, GRU", "beam, n-gram and GRU")
    ]  # fmt: skip
    assert "Open vocabulary" in printed and (out / "subword" / "bundle" / "model.tflite").is_file()
    metadata = json.loads((out / "character" / "bundle" / "bundle.json").read_text())
    assert metadata["language_model"]
    chosen = json.loads((out / "character" / "decoding-n-gram.json").read_text())
    assert chosen["beam_width"] == 4 and chosen["language_weight"] >= 0
    again = tell("open_vocabulary", *arguments, *TINY, *FROM_NOTHING)
    assert again.count("already done") == len(json.loads((out / "stages.json").read_text()))


@pytest.mark.slow  # half a minute; streams, their scores and the page have tests of their own
def test_streaming_compares_models_and_goes_on_with_a_run_that_it_finds(tell, tmp_path):
    out, arguments = tmp_path / "streaming", ["--utterances", 60, "--models", "chunked", "--forms", "none", "dynamic"]
    printed = tell("streaming", *TINY, "--out", out, *arguments)
    folder = out / "synthetic" / "chunked"
    for name in ("run/config.yaml", "bundle/bundle.json", "bundle/saved_model/saved_model.pb"):
        assert (folder / name).is_file(), name
    (row,) = json.loads(printed.splitlines()[-1])["rows"]
    assert row["label"] == "chunked, 360 + 180 ms" and not row["is_whole"] and 0.54 < row["latency_seconds"] < 0.7
    assert list(row["scores"]) == ["Keras", "SavedModel", "TFLite none", "TFLite dynamic"]
    keras, saved_model, tflite = (row["scores"][form]["wer"] for form in ("Keras", "SavedModel", "TFLite none"))
    assert keras == saved_model == tflite == row["streams"]["TFLite none"]["wer"]
    assert row["streams"]["TFLite none"]["num_different"] == 0
    assert "TFLite dynamic, stream" in printed and "chunked" in printed
    page = (out / "report.html").read_text()
    assert "Error rate against latency" in page and "same texts" in page and "<svg" in page

    stages = json.loads((out / "stages.json").read_text())
    del stages["train: synthetic, chunked"]
    (out / "stages.json").write_text(json.dumps(stages))
    history = (folder / "run" / "history.jsonl").read_bytes()
    again = tell("streaming", *TINY, "--out", out, *arguments)
    assert again.count("already done") == len(stages), "a finished run is found finished"
    assert (folder / "run" / "history.jsonl").read_bytes() == history and not (folder / "run.old1").exists()


@pytest.mark.slow  # prepares, checks and scores thousands of real recordings: about two minutes
def test_fsdd_goes_through_every_verb(tell, tmp_path, shared_data):
    out = tmp_path / "fsdd"
    # After four steps it writes something everywhere, and the least rounding, of 8 bits, is too many errors to export.
    steps = ["train.max_steps=80", "train.evaluate_every_steps=40"]
    printed = tell("fsdd", "--source", shared_data / "fsdd", "--out", out, *TINY, *steps)
    assert "isolated digits exactly right" in printed
    assert json.loads((out / "run" / "report" / "joined.json").read_text())["num_utterances"] == 300
    assert json.loads((out / "run" / "report" / "isolated.json").read_text())["num_utterances"] == 300


@pytest.mark.slow  # trains on five real people, and then on thirty recordings of the sixth: minutes
def test_a_real_person_is_learnt_from_thirty_recordings(tell, tmp_path, shared_data):
    out = tmp_path / "speakers"
    printed = tell(
        "fsdd_speakers", "train.max_steps=800", "--adapt", "--source", shared_data / "fsdd", "--out", out,
        "--speakers", "theo",
    )  # fmt: skip
    (row,) = next(json.loads(line)["adapted"] for line in printed.splitlines() if line.startswith('{"adapted"'))
    assert row["verdict"] == "better" and row["wer"] < row["before_wer"] / 2
    assert row["general_wer"] <= row["general_before_wer"] + 0.01, "the others are not forgotten"
    learnt, tested = ((out / "theo" / f"{name}.jsonl").read_text() for name in ("learnt", "tested"))
    takes = {int(take) for take in re.findall(r"_theo_(\d+)\.wav", tested)}
    assert learnt.count("_theo_") == 30 and min(takes) == 10, "nothing that is tested was learnt"
    assert not (out / "theo" / "adapted" / "not_better.txt").exists()


def test_a_wrong_override_ends_in_one_message_and_code_2(commands, tmp_path):
    arguments = ["--out", tmp_path, "--utterances", "60", "model.unitz=3"]
    status, said = commands.start(*arguments, script=ROOT / "pipelines" / "quickstart.py").wait()
    assert status == 2 and "did you mean model.units?" in said and "Traceback" not in said
