"""False accepts against misses of a recogniser: what counts, what is chosen, and what is kept in runs and bundles."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import write_lines

from speechgru.decoding import DecodingOptions, Hypothesis, Phrases, Word
from speechgru.errors import AudioError, BundleError, UserError
from speechgru.files import write_text
from speechgru.grammar import Grammar
from speechgru.runs import RunFolder
from speechgru.runtime import Recognizer, read_bundle
from speechgru.scoring import Decoded, evaluate, score
from speechgru.scoring.negatives import negative_set
from speechgru.scoring.rejection import AskedRate, greedy_rejection, score_rejection
from speechgru.utterances.examination import Examined
from speechgru.utterances.manifest import Utterance, read_manifest
from speechgru.utterances.negatives import add_negatives

BUNDLE = Path(__file__).parent / "data" / "bundles" / "v3"


def make_decoded(*rows, seconds=1.0):
    """Rows of (reference, recognised text, margin) or with the fields of the line and of the hypothesis behind."""
    examples, hypotheses = [], []
    for place, (reference, text, margin, *more) in enumerate(rows):
        extra, found = more or ({}, {})
        utterance = Utterance(f"/{place}.wav", seconds, reference, extra=extra)
        examples.append(Examined(utterance, reference, (), round(8000 * seconds)))
        words = tuple(Word(word, 0.0, 0.1, 0.9) for word in text.split())
        hypotheses.append(Hypothesis(text=text, words=words, margin=margin, **found))
    return Decoded(examples=examples, hypotheses=hypotheses, seconds=0.1, sample_rate=8000, problems=[])


COMMANDS = make_decoded(
    ("lights on", "lights on", -0.1),
    ("lights off", "lights off", -0.4),
    ("lights off", "lights on", -0.2),  # recognised wrongly
    ("open", "", None),  # nothing recognised
    ("", "lights on", -0.1),  # no command
)
NEGATIVES = [
    make_decoded(("", "lights on", -0.3), ("", "", None), seconds=900.0),
    make_decoded(("", "open", -2.0), seconds=1800.0),
]


def test_a_command_is_missed_where_it_is_not_accepted_or_wrong():
    record = score_rejection(COMMANDS, NEGATIVES, asked=AskedRate(), threshold=-1.0)
    assert (record["num_commands"], record["num_wrong"], record["judged_by"]) == (4, 2, "text")
    assert (record["num_negatives"], record["negative_seconds"]) == (3, 3600.0)
    chosen = record["chosen"]
    assert chosen["threshold"] == pytest.approx(-1.2), "in the middle: one false accept an hour is allowed"
    assert (chosen["num_false_accepts"], chosen["num_misses"], chosen["miss_rate"]) == (1, 2, 0.5)
    assert record["in_use"]["threshold"] == -1.0 and record["in_use"]["num_false_accepts"] == 1
    none = score_rejection(COMMANDS, NEGATIVES, asked=AskedRate(false_accepts_per_hour=0.0))["chosen"]
    assert none["threshold"] == pytest.approx(-0.2) and none["num_misses"] == 3
    assert [(entry["hypothesis"], entry["accepted"]) for entry in record["false_accepts"]] == [
        ("lights on", True), ("open", False)
    ]  # fmt: skip
    assert record["false_accepts"][0]["audio_filepath"] == "/0.wav"
    json.dumps(record, allow_nan=False)


def test_more_wrong_commands_than_may_be_missed_have_no_threshold():
    record = score_rejection(COMMANDS, NEGATIVES, asked=AskedRate(misses=0.25))
    assert record["chosen"] is None and record["at_misses"] == []
    assert score_rejection(COMMANDS, NEGATIVES, asked=AskedRate(misses=0.5))["chosen"]["num_false_accepts"] == 1


def test_commands_with_an_intent_are_judged_by_it():
    on = {"intent": "switch", "slots": {"on": True, "level": 3}}
    commands = make_decoded(
        ("lights on", "lamps on", -0.1, on, on),
        ("lights on", "lights on", -0.1, on, {"intent": "switch", "slots": {"on": False}}),
        ("lights on", "", None, on, {}),
        ("lights on", "lights on", -0.1, on, {}),  # no grammar was asked for: by text
        ("", "lamps on", -0.1, on, on),  # nobody wrote down its words
    )
    record = score_rejection(commands, NEGATIVES, asked=AskedRate())
    assert (record["num_commands"], record["num_wrong"], record["judged_by"]) == (5, 2, "intent")
    assert score(commands, name="commands")["silence"] is None, "something was said in each"


def test_training_counts_a_negative_only_where_the_grammar_has_its_text(tmp_path):
    def greedy(*texts):
        return make_decoded(*((reference, text, None) for reference, text in texts), seconds=900.0)

    commands = greedy(("lights on", "lights on"), ("lights off", "lights of"), ("", ""))
    negatives = [greedy(("", "lights on"), ("", "his on"), ("", ""), ("", ""))]
    (tmp_path / "light.yaml").write_text('{language: en, intents: {Light: {data: [{sentences: ["lights (on|off)"]}]}}}')
    grammar = Grammar.load(tmp_path / "light.yaml")
    free = greedy_rejection(commands, negatives, per_hour=1.0)
    assert (free["false_accepts_per_hour"], free["misses"]) == (0.0, 1.0), "two of equal confidence are too many"
    assert greedy_rejection(commands, negatives, per_hour=2.0)["misses"] == 0.5
    bound = greedy_rejection(commands, negatives, per_hour=1.0, grammar=grammar)
    assert (bound["false_accepts_per_hour"], bound["misses"]) == (1.0, 0.5)


def test_rates_that_cannot_be_asked_for():
    for wrong, message in (
        ({"false_accepts_per_hour": 1.0, "misses": 0.1}, "ask for one of them"),
        ({"misses": 1.5}, "misses are a share of the commands from 0 to 1, got 1.5"),
        ({"false_accepts_per_hour": -1.0}, "false accepts an hour are 0 or more, got -1"),
    ):
        with pytest.raises(UserError, match=message):
            AskedRate(**wrong)
    with pytest.raises(UserError, match="need commands with a text or an intent, and negatives of more than 0 s"):
        score_rejection(make_decoded(("", "a", -1.0)), NEGATIVES, asked=AskedRate())


def test_a_rate_over_no_words_is_null_and_false_words_count_by_the_hour():
    decoded = make_decoded(("", "one two", None), ("", "", None), seconds=1800.0)
    record = score(decoded, name="silence", slices=("duration",))
    assert (record["wer"], record["cer"], record["wer_interval"], record["errors"]) == (None, None, None, 2)
    (group,) = record["slices"][0]["groups"]
    assert (group["wer"], group["errors"], group["wer_interval"]) == (None, 2, None)
    assert record["silence"] == {
        "num_utterances": 2, "audio_seconds": 3600.0, "num_wrong": 1, "false_words": 2, "false_words_per_hour": 2.0
    }  # fmt: skip
    json.dumps(record, allow_nan=False)
    mixed = score(make_decoded(("one", "one", None), ("", "two", None)), name="mixed")
    assert (mixed["wer"], mixed["silence"]["false_words"]) == (1.0, 1)
    low, high = mixed["wer_interval"]
    assert (low, high) == (0.0, 1.0), "of the draws that hold a word"
    json.dumps(mixed, allow_nan=False)
    assert score(make_decoded(("one", "one", None)), name="speech")["silence"] is None


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """What the stored bundle recognises as `ab`, a command, and negatives: short and long noise, and silence."""
    folder = tmp_path_factory.mktemp("recordings")
    spoken_N = np.load(BUNDLE / "expected.npz")["samples"]
    noise_N = 0.1 * np.random.default_rng(0).standard_normal(8000 * 24)
    for name, samples_N in (("ab", spoken_N), ("short", noise_N[:8000]), ("long", noise_N), ("nobody", noise_N[:0])):
        soundfile.write(folder / f"{name}.wav", samples_N if len(samples_N) else np.zeros(8000), 8000)
    seconds = len(spoken_N) / 8000
    write_lines(folder / "dev.jsonl", [{"audio_filepath": "ab.wav", "duration": seconds, "text": "ab"}])
    write_lines(
        folder / "noise.jsonl",
        [
            {"audio_filepath": "short.wav", "duration": 1.0},
            {"audio_filepath": "long.wav", "duration": 0.0, "text": "said by nobody"},
            {"audio_filepath": "nobody.wav", "duration": 1.0, "text": ""},
        ],
    )
    return folder


OPTIONS = DecodingOptions(beam_width=4, phrases=Phrases(["ab", "ba"]))


def test_long_negatives_are_decoded_in_parts(recordings):
    negatives, num_commands = negative_set(recordings / "noise.jsonl", sample_rate=8000)
    assert num_commands == 0
    assert [example.text for example in negatives] == [""] * 5
    assert [example.num_samples for example in negatives] == [8000, 64000, 64000, 64000, 8000]


def test_a_bundle_is_scored_on_negatives(recordings):
    record = evaluate(
        BUNDLE, recordings / "dev.jsonl", decoding=OPTIONS, negatives=[recordings / "noise.jsonl"], misses=0.0
    )
    json.dumps(record, allow_nan=False)
    rejection = record["rejection"]
    assert (rejection["num_commands"], rejection["num_wrong"], rejection["num_negatives"]) == (1, 0, 5)
    assert rejection["negative_seconds"] == 26.0 and rejection["chosen"]["num_misses"] == 0
    assert record["negatives"] == [str(recordings / "noise.jsonl")]


def test_a_command_among_the_negatives_is_no_negative(recordings, write_lines, tmp_path):
    lines = [json.loads(line) for line in (recordings / "noise.jsonl").read_text().splitlines()]
    for line in lines:
        line["audio_filepath"] = str(recordings / line["audio_filepath"])
    lines[0]["text"], lines[1]["text"] = "Ab.", "abba"
    negatives = write_lines(tmp_path / "noise.jsonl", lines)
    found = evaluate(BUNDLE, recordings / "dev.jsonl", decoding=OPTIONS, negatives=[negatives], misses=0.0)["rejection"]
    assert (found["num_commands_left_out"], found["num_negatives"], found["negative_seconds"]) == (1, 4, 25.0)
    write_lines(negatives, lines[:1])
    with pytest.raises(UserError, match="a command is spoken in each of its recordings, and none is a negative"):
        evaluate(BUNDLE, recordings / "dev.jsonl", decoding=OPTIONS, negatives=[negatives])


def test_negatives_that_cannot_be_read_are_named_and_counted(recordings, write_lines, tmp_path):
    lines = [json.loads(line) for line in (recordings / "noise.jsonl").read_text().splitlines()]
    for line in lines:
        line["audio_filepath"] = str(recordings / line["audio_filepath"])
    lines[0]["audio_filepath"] = str(recordings / "nowhere.wav")
    negatives = write_lines(tmp_path / "noise.jsonl", lines)
    record = evaluate(BUNDLE, recordings / "dev.jsonl", decoding=OPTIONS, negatives=[negatives], misses=0.0)
    found = record["rejection"]
    assert (found["num_skipped"], found["num_negatives"]) == (1, 4)
    assert found["skipped"][0]["audio_filepath"].endswith("nowhere.wav") and record["num_skipped"] == 0
    (note,) = record["notes"]
    assert note.startswith("1 of the negatives are left out: ") and "nowhere.wav" in note


def test_without_a_closed_set_there_are_no_false_accepts(recordings):
    with pytest.raises(UserError, match=r"nothing says which there are; give their list \(--phrases FILE\)"):
        evaluate(BUNDLE, recordings / "dev.jsonl", negatives=[recordings / "noise.jsonl"])


def test_a_bundle_keeps_its_threshold(recordings, tmp_path):
    pytest.importorskip("tensorflow", reason="bundles are written with the training packages; TensorFlow is missing")
    from speechgru.export.calibration import calibrate

    bundle = Path(shutil.copytree(BUNDLE, tmp_path / "bundle"))
    chosen = calibrate(bundle, recordings / "dev.jsonl", [recordings / "noise.jsonl"], misses=0.0, decoding=OPTIONS)
    threshold = chosen["rejection"]["chosen"]["threshold"]
    kept = read_bundle(bundle)["rejection"]
    assert (kept["threshold"], kept["dev"], kept["negatives"]) == (threshold, "dev.jsonl", ["noise.jsonl"])
    assert kept["decoding"] == "beam of 4, one of 2 phrases" and kept["asked"]["misses"] == 0.0
    assert f"from the margin {threshold:.3f} on" in (bundle / "README.md").read_text(encoding="utf-8")
    alone = Path(shutil.copy(bundle / "model.tflite", tmp_path / "alone.tflite"))
    spoken_N = np.load(BUNDLE / "expected.npz")["samples"]
    for place in (bundle, alone):
        recognizer = Recognizer(place)
        assert recognizer.threshold == threshold
        found = recognizer.transcribe(spoken_N, 8000, OPTIONS)
        assert (found.text, found.accepted) == ("ab", True)
        silent = recognizer.transcribe(np.zeros(8000), 8000, OPTIONS)
        assert (silent.text, silent.accepted) == ("", False), "nothing is no command"
        overridden = DecodingOptions(beam_width=4, phrases=Phrases(["ab"]), threshold=0.0)
        assert recognizer.transcribe(spoken_N, 8000, overridden).accepted is False
        assert recognizer.transcribe(spoken_N, 8000).accepted is None, "nothing constrains it"
    assert Recognizer(BUNDLE).transcribe(spoken_N, 8000, OPTIONS).accepted is None, "no threshold is known"
    with pytest.raises(BundleError, match=r"model.tflite: is part of the bundle .*; calibrate that"):
        calibrate(bundle / "model.tflite", recordings / "dev.jsonl", [recordings / "noise.jsonl"], decoding=OPTIONS)
    wrong = DecodingOptions(beam_width=4, phrases=Phrases(["ba"]))
    with pytest.raises(UserError, match=r"1 of 1 commands are recognised wrongly, so no threshold misses only 3\.0%"):
        calibrate(bundle, recordings / "dev.jsonl", [recordings / "noise.jsonl"], misses=0.03, decoding=wrong)


def test_a_page_shows_false_accepts_against_misses(recordings, tmp_path):
    from test_report import Page

    from speechgru.scoring.page import report_evaluation

    record = evaluate(BUNDLE, recordings / "dev.jsonl", decoding=OPTIONS)
    record["rejection"] = score_rejection(COMMANDS, NEGATIVES, asked=AskedRate(), threshold=-0.25)
    record["negatives"] = ["noise.jsonl"]
    record["silence"] = score(make_decoded(("", "one", None)), name="silence")["silence"]
    page = Page(report_evaluation(record, tmp_path / "page.html").read_text(encoding="utf-8"))
    for part in (
        "What was not said",
        "Asked for -1.200 1.00 0.03 to 5.57 50.0 % 15.0 to 85.0 %",
        "In use -0.250 0.00 0.00 to 3.69 75.0 %",
        "4 commands, 2 of them recognised wrongly (by text); 1 h 00 min of negatives.",
        "0.wav 0.00 s open -2.000 no",
        "without a word: 3,600.0 an hour",
    ):
        assert part in page.text.replace("\u202f", " "), part


def test_false_accepts_of_ones_own_are_added_once(recordings, tmp_path):
    manifest = tmp_path / "data" / "mine.jsonl"
    added = add_negatives([recordings / "short.wav", recordings / "long.wav"], manifest)
    assert (added.num_added, added.num_known, added.seconds) == (2, 0, 25.0)
    added = add_negatives([recordings / "long.wav", recordings / "nobody.wav"], manifest)
    assert (added.num_added, added.num_known, added.seconds) == (1, 1, 26.0)
    utterances = read_manifest(manifest)
    assert [(Path(each.audio_filepath).name, each.text) for each in utterances] == [
        ("short.wav", ""), ("long.wav", ""), ("nobody.wav", "")
    ]  # fmt: skip
    before = manifest.read_bytes()
    with pytest.raises(AudioError, match=r"gone\.wav"):
        add_negatives([recordings / "ab.wav", recordings / "gone.wav"], manifest)
    assert manifest.read_bytes() == before, "all or nothing"
    with pytest.raises(UserError, match=r"dev\.jsonl:1: has the text 'ab', and negatives have none"):
        add_negatives([recordings / "ab.wav"], recordings / "dev.jsonl")
    with pytest.raises(UserError, match="no recording is given"):
        add_negatives([], manifest)


def test_the_commands_report_what_is_accepted(recordings, tmp_path, capsys, monkeypatch):
    from speechgru import cli

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["speechgru", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return ended.value.code, printed.out, printed.err

    (tmp_path / "list.txt").write_text("ab\nba\n", encoding="utf-8")
    phrases = ["--phrases", tmp_path / "list.txt", "--beam-width", 4]
    manifest = ["--manifest", recordings / "dev.jsonl", "--negatives", recordings / "noise.jsonl"]
    code, out, err = run("evaluate", BUNDLE, *manifest, *phrases, "--misses", 3)
    assert code == 0, err
    for part in ("3 % misses (asked)", "1 command, 0 recognised wrongly, against 0.01 h of negatives", "10 % misses"):
        assert part in " ".join(out.split()), out
    assert "in use" not in out, "no threshold is"
    code, out, err = run("evaluate", BUNDLE, *manifest)
    assert code == 2 and "(--phrases FILE) or their grammar" in err
    transcribe = ["transcribe", BUNDLE, recordings / "ab.wav", *phrases]
    for threshold, accepted in ((-50, "yes"), (0, "no")):
        code, out, _ = run(*transcribe, "--threshold", threshold)
        assert code == 0 and "accepted" in out and accepted in out.split(), out
    code, out, _ = run(*transcribe, "--json", "--threshold", -50)
    (record,) = json.loads(out)
    assert record["accepted"] is True and -50 < record["margin"] <= 0
    code, out, _ = run("negatives", "add", recordings / "short.wav", "--to", tmp_path / "mine.jsonl")
    assert code == 0 and "1 added; 0.0 minutes in all" in out
    code, out, _ = run("negatives", "add", recordings / "short.wav", "--to", tmp_path / "mine.jsonl", "--json")
    assert json.loads(out)["num_known"] == 1


def test_a_damaged_threshold_of_a_run_is_named(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.read_rejection() is None
    folder.rejection.write_text('{"threshold": -1.5, "miss_rate": 0.1}', encoding="utf-8")
    assert folder.read_rejection() == {"threshold": -1.5, "miss_rate": 0.1}
    folder.rejection.write_text("{", encoding="utf-8")
    with pytest.raises(BundleError, match=r"rejection.json: is damaged .*; calibrate the run again"):
        folder.read_rejection()


def test_a_run_that_is_taken_away_while_it_is_calibrated_does_not_come_back(tmp_path, monkeypatch):
    from speechgru.export import calibration

    run = RunFolder(tmp_path / "run")
    write_text(run.config, "")
    write_text(run.best, "")

    def evaluate(path, *manifests, **options):
        path.rename(tmp_path / "away")
        facts = dict.fromkeys(("asked", "judged_by", "num_commands", "num_negatives", "negative_seconds"))
        return {"rejection": {"chosen": {"threshold": 0.1}, **facts}, "decoding": {"description": ""}, "form": None}

    monkeypatch.setattr(calibration, "evaluate", evaluate)
    with pytest.raises(UserError, match=r"run: is gone, moved or removed while this command worked there"):
        calibration.calibrate(run.path, "dev.jsonl", ["noise.jsonl"])
    assert [path.name for path in tmp_path.iterdir()] == ["away"]
