"""The page of a run: right in what it shows, of any run at any time, and safe for any name."""

import json
import math
import re
import sys

import numpy as np
import pytest
from test_report import HOSTILE, Page

from speechgru import cli
from speechgru.config.load import load_config, save_config
from speechgru.errors import BundleError, ConfigError, UserError
from speechgru.report import html
from speechgru.runs import RunFolder
from speechgru.scoring import trained_run
from speechgru.train.history import History, read_lines
from speechgru.train.page import report_run
from speechgru.train.page_tables import example_table
from speechgru.utterances.manifest import Utterance, write_manifest

PROVENANCE = {
    "created": "2024-05-06T07:08:09Z",
    "command": ["speechgru", "train", "my config.yaml"],
    "seed": 1234,
    "commit": None,
    "versions": {"python": "3.11.7", "keras": "3.15.1"},
    "host": {"system": "Linux", "cpus": 2},
}


def train_record(step, **changes):
    return {
        "kind": "train",
        "step": step,
        "epoch": step / 50,
        "loss": 500 / step,
        "learning_rate": 1e-3,
        "gradient_norm": 2.0,
        "padding_share": 0.05,
        "wait_share": 0.02,
        "steps_per_second": 4.0,
        "audio_hours_per_hour": 160.0,
        "memory_mb": 500.0 + step,
        "seconds": step / 4,
    } | changes


def dev_record(step, wer, *, best, **changes):
    return {"kind": "dev", "step": step, "epoch": step / 50, "wer": wer, "cer": wer / 2, "seconds": step / 4} | {
        "best": best,
        **changes,
    }


def session_record(step, **changes):
    return {"kind": "session", "step": step, "epoch": step / 50, "seconds": step / 4, "resumed": step > 0} | changes


def dropped_record(step, reason, value, *names):
    return {"kind": "dropped", "step": step, "epoch": 0, "reason": reason, "utterances": [*names], "value": value}


#: A run of 200 steps that was killed after 100, met everything that can go wrong, and ended.
HISTORY = [
    session_record(0, workers=1),
    *(train_record(step) for step in range(10, 101, 10)),
    dev_record(50, 0.9, best=True),
    dev_record(100, 0.25, best=True),
    session_record(100, workers=2),
    dropped_record(104, "loss", math.inf, "a.wav", "b.wav"),
    {"kind": "infeasible", "step": 105, "epoch": 2, "utterances": ["c.wav"]},
    {"kind": "rescaled", "step": 107, "epoch": 2, "loss_scale": 16384.0},
    *(train_record(step, loss=None if step == 150 else 3.0) for step in range(110, 201, 10)),
    dropped_record(188, "gradient", 913.21, "a.wav", "d.wav"),
    dev_record(150, 0.25, best=False),
    dev_record(200, 0.5, best=False),
    {"kind": "end", "step": 200, "epoch": 4, "reason": "patience", "seconds": 50.0},
]


def write_run(folder, history=HISTORY, *, overrides=(), skipped=(), provenance=PROVENANCE):
    folder.mkdir(parents=True)
    (folder / "given.yaml").write_text("train: {max_steps: 400}\nmodel: {units: 24}\n", encoding="utf-8")
    run = RunFolder(folder)
    save_config(run.config, load_config(folder / "given.yaml", overrides))
    run.provenance.write_text(json.dumps(provenance), encoding="utf-8")
    for path, records in ((run.history, history), (run.skipped, skipped)):
        path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    return folder


def page_of(folder, *, num_pictures=0, **options):
    return Page(report_run(folder, num_pictures=num_pictures, **options).read_text(encoding="utf-8"))


def sections_of(page):
    return [attributes["id"] for attributes in page.all("section")]


def test_one_utterance_shows_how_the_model_learnt():
    said = "turn <on> the lights"
    evaluations = [
        dev_record(step, 1 / step, best=True, example={"reference": said, "hypothesis": f"text {step}"})
        for step in range(1, 41)
    ]
    evaluations[0]["example"]["hypothesis"] = ""
    page = Page(example_table(History([dev_record(0, 1.0, best=True), *evaluations])))
    shown = [text for text in page.texts if text.startswith("text ")]
    assert 8 <= len(shown) <= 12 and shown[-1] == "text 40" and "–" in page.texts
    assert f"What was said: {said}" in page.texts
    assert example_table(History([dev_record(3, 0.5, best=True)])) == ""


def test_the_page_shows_the_contents_of_the_run_folder(tmp_path):
    skipped = [
        {"manifest": "/data/train.jsonl", "line": 3, "reason": "silent", "message": "x.wav: is silent"},
        {"manifest": "/data/train.jsonl", "line": 4, "reason": "silent", "message": "y.wav: is silent"},
        {"manifest": "/data/dev.jsonl", "line": 1, "reason": "unreadable", "message": "z.wav: no such recording"},
    ]
    overrides = ["data.train=[one.jsonl, two.jsonl]", "data.dev=dev.jsonl"]
    page = page_of(write_run(tmp_path / "my run", overrides=overrides, skipped=skipped))
    assert sections_of(page) == [
        *("result", "run", "curves", "unlearnt", "skipped", "processes", "configuration", "provenance")
    ]
    assert [attributes["href"] for attributes in page.all("a")] == [f"#{name}" for name in sections_of(page)]
    for part in (
        "Training of my run",
        "trained on one.jsonl, two.jsonl \u00b7 the dev set had not improved for long enough (patience)",
        "Best dev WER 25.0 % at step 100, CER 12.5 %",
        "Steps 200 of 400",
        "Time 50 s",
        "Audio an hour 160 h 4 steps a second",
        "Peak memory 700 MB",
        "2 x 24 GRU, bidirectional, 2 frames a step",
        "Resumed once",
        "Epochs 4.0",
        "Replicas 2",
        "Padding in batches 5.0 %",
        "Dropped batches 2",
        "Utterances with too few steps 1",
        "Loss scale 16,384, changed once",
        "Error rates on the dev set; the ring marks the best, at step 100",
        "CTC loss; 1 value is not finite and not drawn",
        "100 the best 2.0 25.0 % 12.5 % 25.0 s",
        "a.wav in a dropped batch 104 (loss inf), 188 (gradient 913) 2",
        "c.wav too few steps for its text 105 1",
        "silent no sound, but a transcript 2 \u2013",
        "unreadable missing, empty, damaged or truncated, or not a recording \u2013 1",
        "3 utterances were left out",
        "z.wav: no such recording",
        "1 begun 0 0.00 s 1 2 resumed 100 25.0 s 2",
        "model.units 24 (default 128)",
        "subsampling_channels: 128",
        "Command speechgru train 'my config.yaml'",
        "Seed 1234",
        "Versions python 3.11.7, keras 3.15.1",
    ):
        assert part in page.text, part


def test_the_page_is_written_where_it_is_wanted(tmp_path):
    run = write_run(tmp_path / "run")
    assert report_run(run, num_pictures=0) == run / "report" / "training.html"
    out = tmp_path / "elsewhere" / "page.html"
    assert report_run(str(run), str(out), num_pictures=0) == out
    assert out.read_bytes() == (run / "report" / "training.html").read_bytes(), "the same run, the same page"
    with pytest.raises(UserError, match="cannot be written"):
        report_run(run, run / "config.yaml" / "page.html", num_pictures=0)


def test_a_folder_that_is_not_a_run_is_refused(tmp_path):
    with pytest.raises(BundleError, match=r"none: not a run folder \(config\.yaml is missing\)"):
        report_run(tmp_path / "none")
    run = write_run(tmp_path / "run")
    (run / "config.yaml").write_text("model: {unitz: 3}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"did you mean model\.units"):
        report_run(run)


def test_the_page_needs_nothing_else_and_can_be_used_without_seeing_it(tmp_path):
    page = page_of(write_run(tmp_path / "run"))
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.elements}
    for _, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert value.startswith(("data:", "#"))
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    assert len(page.all("svg")) == 6
    assert all(drawing["role"] == "img" for drawing in page.all("svg"))
    assert all(drawing.endswith("resumed at step 100") for drawing in page.drawings)


# ------------------------------------------------------------------ whenever it is asked for


def test_a_run_that_has_just_begun_has_a_page(tmp_path):
    run = write_run(tmp_path / "run", history=[], overrides=["data.dev=dev.jsonl"])
    for path in (RunFolder(run).history, RunFolder(run).skipped, RunFolder(run).provenance):
        path.unlink()
    page = page_of(run)
    assert sections_of(page) == ["result", "run", "configuration", "notes"]
    for part in (
        "no step is done yet",
        "Best dev WER \u2013 not scored yet",
        "Steps 0 of 400",
        "provenance.json is missing or cannot be read.",
    ):
        assert part in page.text, part


def test_a_run_in_progress_has_a_page(tmp_path):
    run = write_run(tmp_path / "run", history=HISTORY[:3])
    with open(RunFolder(run).history, "a", encoding="utf-8") as stream:
        stream.write('{"kind": "train", "step": 30, "lo')
    page = page_of(run)
    assert "notes" not in sections_of(page), "a line that is being written is no fault"
    assert "no end is recorded: it still trains, or was killed" in page.text
    assert "Best dev WER \u2013 no dev manifest" in page.text and "Steps 20 of 400" in page.text
    assert "Resumed never" in page.text
    assert len(page.all("svg")) == 5, "no empty chart of error rates"


def test_a_history_from_before_there_were_so_many_keys_has_a_page(tmp_path):
    keys = ("kind", "step", "epoch", "loss", "learning_rate", "padding_share", "wait_share", "seconds", "wer", "cer")
    old = [
        {key: record[key] for key in keys if key in record} for record in HISTORY if record["kind"] in ("train", "dev")
    ]
    page = page_of(write_run(tmp_path / "run", history=old, overrides=["train.max_steps=200"]))
    assert "all steps are done" in page.text
    assert "Best dev WER 25.0 % at step 150" in page.text, "of equals the later one was kept"
    for absent in ("Resumed", "Peak memory", "Audio an hour", "Norm of the gradient", "Dropped"):
        assert absent not in page.text
    assert sections_of(page) == ["result", "run", "curves", "configuration", "provenance"]


def test_the_reason_for_the_end_is_that_of_the_last_end_record():
    def end(*records):
        return History(records).end(max_steps=100)

    stopped = {"kind": "end", "step": 50, "reason": "max_minutes"}
    assert end(train_record(50), stopped) == "its time was up (max_minutes)"
    assert end(train_record(50), stopped, session_record(50)).startswith("no end is recorded")
    assert end(stopped, session_record(50), stopped | {"reason": "interrupted"}) == "it was interrupted"
    assert end(stopped | {"reason": "the moon"}) == "the moon"
    assert end({"kind": "end"}) == "ended"
    assert end(train_record(100)) == "all steps are done"
    assert History([train_record(100)]).end(max_steps=None).startswith("no end is recorded")


def test_a_run_that_characters_decide_shows_their_rate_first_and_where_it_may_lie(tmp_path):
    best = dev_record(100, 1.0, best=True, cer=0.36, cer_interval=[0.2, 0.5], wer_interval=[0.8, 1.0])
    history = [session_record(0, monitor="cer"), best]
    page = page_of(write_run(tmp_path / "run", history))
    assert "Best dev CER 36.0 % at step 100, WER 100.0 %; 95 % interval 20.0 % to 50.0 %" in page.text
    noted = [session_record(step, notes=["chosen for 24 utterances"]) for step in (0, 50)]
    page = page_of(write_run(tmp_path / "older", [*noted, session_record(60), best]))
    assert page.text.count("chosen for 24 utterances") == 1
    assert "Best dev WER 100.0 % at step 100, CER 36.0 %; 95 % interval 80.0 % to 100.0 %" in page.text


def test_the_best_is_the_last_that_was_marked():
    marked = [dev_record(10, 0.5, best=True), dev_record(20, 0.5, best=False), dev_record(30, math.nan, best=True)]
    assert History(marked).best["step"] == 10
    assert History([{"kind": "dev", "step": 10}, {"kind": "dev", "wer": 0.1}]).best is None


def test_records_with_nothing_or_nonsense_in_them_do_not_stop_the_page(tmp_path):
    kinds = ("session", "train", "dev", "dropped", "infeasible", "rescaled", "end", "unheard-of", None, 3)
    values = (None, "text", [1], {"a": 1}, True, math.nan, -math.inf)
    keys = {key for record in HISTORY for key in record}
    history = [{"kind": kind} for kind in kinds] + [{}]
    history += [dict.fromkeys(keys, value) | {"kind": kind} for kind in kinds for value in values]
    history += [{"kind": kind, "step": 7, "utterances": [None, 3], "value": "much"} for kind in kinds]
    page = page_of(write_run(tmp_path / "run", history=history, skipped=[{}, {"reason": None}], provenance={"a": [{}]}))
    assert "Steps 7 of 400" in page.text
    assert "in a dropped batch" in page.text


def test_lines_that_are_not_records_are_named(tmp_path):
    run = write_run(tmp_path / "run", history=[])
    good = json.dumps(train_record(10)).encode()
    RunFolder(run).history.write_bytes(b"\n".join([good, b"[1]", b"\xff\xfe{", b"", good.replace(b"10", b"20"), b"{"]))
    page = page_of(run)
    assert "history.jsonl: lines 2, 3 are not records, and missing from this page." in page.text
    assert "Steps 20 of 400" in page.text
    assert read_lines(tmp_path / "none.jsonl") == ([], [])
    RunFolder(run).history.unlink()
    RunFolder(run).history.mkdir()
    assert "history.jsonl cannot be read (Is a directory)." in page_of(run).text


def test_long_lists_are_cut_and_the_cut_is_reported(tmp_path):
    history = [dropped_record(step, "loss", 1.0, *(f"{k:02d}.wav" for k in range(45))) for step in range(1, 10)]
    history += [dev_record(step, 0.5, best=False) for step in range(1, 51)]
    skipped = [{"manifest": "m.jsonl", "reason": "silent", "message": f"message {k} ends"} for k in range(25)]
    shown = page_of(write_run(tmp_path / "run", history=history, skipped=skipped)).text
    assert "00.wav in a dropped batch 1 (loss 1), 2 (loss 1), 3 (loss 1), 4 (loss 1) and 5 more 9" in shown
    assert "39.wav" in shown and "40.wav" not in shown and "5 more are in history.jsonl." in shown
    assert "Scores on the dev set, the last 40 of 50." in shown
    assert "message 19 ends" in shown and "message 20 ends" not in shown and "the first 20" in shown


def test_hostile_names_show_themselves_and_nothing_else(tmp_path):
    history = [
        session_record(0, **{HOSTILE: HOSTILE, "workers": HOSTILE, "host": {HOSTILE: HOSTILE}}),
        train_record(10),
        dropped_record(10, HOSTILE, 1.0, HOSTILE),
        {"kind": "infeasible", "step": 10, "utterances": [HOSTILE]},
        {"kind": "end", "step": 10, "reason": HOSTILE},
    ]
    skipped = [{"manifest": HOSTILE, "reason": HOSTILE, "message": HOSTILE}]
    name = "<b>&run"
    page = page_of(
        write_run(
            tmp_path / name,
            history=history,
            skipped=skipped,
            provenance={HOSTILE: HOSTILE, "command": [HOSTILE, "x"]},
            overrides=[f"data.dev={json.dumps('<script>alert(1)</script>')}"],
        )
    )
    assert not {"script", "img", "b"} & {tag for tag, _ in page.elements}
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert f"Training of {name}" in page.text
    assert page.text.count("<script>alert(1)</script>") >= 12
    assert not re.search("[\x00\x07]", page.text)


@pytest.mark.parametrize(
    ("value", "shown"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1.0 min"), (3600, "1.0 h"), (math.nan, "\u2013")]
)
def test_a_rough_time_has_one_unit(value, shown):
    assert html.rough_time(value).replace("\u202f", " ") == shown


# ------------------------------------------------------------------ recordings


@pytest.fixture
def spoken_run(tmp_path, write_wav):
    """A run folder with a dev manifest of seven utterances, one of them gone; without weights."""
    folder = tmp_path / "corpus"
    utterances = [
        Utterance(str(write_wav(folder, f"{k}.wav", seed=k)), 1.0, "Turn ON", speaker=f"speaker {k}") for k in range(7)
    ]
    (folder / "3.wav").unlink()
    write_manifest(folder / "dev.jsonl", utterances)
    return write_run(tmp_path / "run", overrides=[f"data.dev={folder / 'dev.jsonl'}"])


def test_a_run_without_weights_explains_why_no_recording_is_drawn(spoken_run):
    page = page_of(spoken_run, num_pictures=3)
    assert "recognised" not in sections_of(page)
    assert "No recording is drawn: " in page.text


def test_without_tensorflow_the_page_lacks_its_recordings_alone(spoken_run, monkeypatch):
    def load_run(path, **options):
        raise ModuleNotFoundError("No module named 'tensorflow'")

    monkeypatch.setattr(trained_run, "load_run", load_run)
    page = page_of(spoken_run, num_pictures=3)
    assert "No recording is drawn: No module named 'tensorflow'" in page.text
    assert "Best dev WER 25.0 %" in page.text


def test_dev_utterances_are_played_and_drawn(spoken_run, monkeypatch):
    pytest.importorskip("tensorflow", reason="a model needs TensorFlow")
    from speechgru.model.build import build_model
    from speechgru.text import Vocabulary

    def load_run(path, **options):
        overrides = ["model.units=8", "model.num_layers=1", "model.subsampling_channels=8"]
        config, vocabulary = load_config(path / "config.yaml", overrides), Vocabulary(" abc")
        model = build_model(config, len(vocabulary))
        bias = model.encoder.logits.layer.weights[1]
        bias.assign(np.array([0, 0, 9, 0, 0], np.float32))
        return config, vocabulary, model

    monkeypatch.setattr(trained_run, "load_run", load_run)
    page = page_of(spoken_run, num_pictures=3)
    assert "recognised" in sections_of(page)
    cards = re.findall(r"(\d\.wav) 2 errors in 2 words speaker speaker \d 1\.00 s", page.text)
    assert cards == ["0.wav", "6.wav"], "evenly through the manifest, but for what is gone"
    assert re.search(r"Not drawn: .*3\.wav: no such recording", page.text)
    assert page.text.count("Reference: turn on. Recognised: a.") == 2, "the reference as the rules make it"
    assert len(page.all("audio")) == 2
    drawn = [drawing for drawing in page.drawings if "log-mel" in drawing]
    assert len(drawn) == 2 and drawn[0].endswith("Reference: turn on. Recognised: a.")
    assert re.search(r"Parameters [\d,]+ ", page.text)


# ------------------------------------------------------------------ the command


def test_the_command_prints_where_the_page_is(tmp_path, monkeypatch, capsys):
    run = write_run(tmp_path / "run")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")  # the command sets it; other tests may want their GPU back

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["speechgru", "report", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return caught.value.code, *capsys.readouterr()

    code, out, _ = command(run, "--out", tmp_path / "page.html")
    assert code == 0 and out == f"{tmp_path / 'page.html'}: open it in a browser\n"
    assert (tmp_path / "page.html").is_file()
    code, out, err = command(tmp_path / "none")
    assert code == 2 and out == "" and "not a run folder" in err and "Traceback" not in err
    code, out, _ = command("--help")
    assert code == 0 and "Example: speechgru report" in " ".join(out.split())


# ------------------------------------------------------------------ with evaluations


def evaluation(name, form, **changes):
    return {
        "name": name,
        "form": form,
        "manifest": "test.jsonl",
        "num_utterances": 1234,
        "audio_seconds": 3725.0,
        "wer": 0.0314,
        "wer_interval": [0.024, 0.0391],
        "cer": 0.0042,
        "sentence_error_rate": 0.2,
        "words": 5000,
        "substitutions": 90,
        "insertions": 30,
        "deletions": 37,
        "rtf": 0.02,
        "size_bytes": None,
        "utterances": [
            {
                "utterance_id": "one.wav",
                "reference": "turn on",
                "hypothesis": "turn off",
                "word_errors": 1,
                "words": 2,
            }
        ],
    } | changes


def test_a_form_that_was_decoded_in_two_ways_has_a_row_of_its_own_for_each(tmp_path):
    ways = {"greedy": 0.3, "beam of 16, only sentences of the grammar": 0.1}
    evaluations = [
        evaluation(f"test, {way}", "TFLite dynamic", wer=wer, decoding={"description": way})
        for way, wer in ways.items()
    ]
    run = write_run(tmp_path / "run")
    page = page_of(run, title="Commands", evaluations=evaluations, out=tmp_path / "two.html")
    assert "Model Decoding Size WER" in page.text
    assert "TFLite dynamic greedy \u2013 30.0 %" in page.text
    assert "TFLite dynamic beam of 16, only sentences of the grammar \u2013 10.0 %" in page.text
    page = page_of(run, title="Commands", evaluations=evaluations[:1], out=tmp_path / "one.html")
    assert "Model Size WER" in page.text, "one way needs no name"


def test_evaluations_come_first_and_the_training_after_them(tmp_path):
    evaluations = [
        evaluation("Keras, test", "Keras"),
        evaluation("TFLite none, test", "TFLite none", size_bytes=2_100_000, rtf=0.01),
        evaluation("Keras, other", "Keras other", manifest="other.jsonl", wer=0.5),
    ]
    run = write_run(tmp_path / "run")
    page = page_of(run, title="Digits", evaluations=evaluations, notes=["A note."], out=tmp_path / "deep" / "page.html")
    assert sections_of(page) == [
        *("result", "run", "models", "errors", "curves", "worst", "unlearnt", "processes"),
        *("configuration", "provenance", "notes"),
    ]
    for part in (
        "Digits",
        "Result Keras, test \u00b7 1,234 utterances \u00b7 1 h 02 min of audio",
        "Word error rate 3.1 % 95 % interval 2.4 to 3.9 %",
        "Best dev WER 25.0 % at step 100",
        "Keras \u2013 3.1 % 0.02 50 times faster than speech TFLite none 2.1 MB 3.1 %",
        "Keras, other 50.0 %",
        "The same utterances and errors as under Keras, test.",
        "A note.",
    ):
        assert part in page.text, part
    assert "Keras other" not in page.text, "a form is compared with others on the same manifest"


def test_hostile_evaluations_show_themselves_and_nothing_else(tmp_path):
    hostile = evaluation(
        HOSTILE,
        HOSTILE,
        utterances=[
            {
                "utterance_id": HOSTILE,
                "speaker": HOSTILE,
                "reference": HOSTILE,
                "hypothesis": HOSTILE[::-1],
                "audio_filepath": HOSTILE,
                "word_errors": 4,
                "words": 4,
            }
        ],
    )
    page = page_of(write_run(tmp_path / "run"), title=HOSTILE, evaluations=[hostile], notes=[HOSTILE])
    assert not {"script", "img"} & {tag for tag, _ in page.elements}
    assert len(page.all("style")) == len(page.all("body")) == len(page.all("main")) == 1
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert page.text.count("<script>alert(1)</script>") >= 8
    assert not re.search("[\x00\x07]", page.text)


def test_evaluations_with_nothing_in_them_do_not_stop_the_page(tmp_path):
    page = page_of(write_run(tmp_path / "run", history=[]), evaluations=[{}, {"utterances": [{}]}], notes=[""])
    assert "Word error rate \u2013" in page.text


# ------------------------------------------------------------------ a real run


def test_a_loss_that_is_not_finite_stops_before_the_weights_and_the_page_names_the_utterances(tones_config, tmp_path):
    pytest.importorskip("tensorflow", reason="training needs TensorFlow")
    from speechgru.train import train

    overrides = ("train.learning_rate=1e38", "train.warmup_steps=0", "train.max_dropped_in_a_row=3")
    config, run = tones_config(*overrides, "model.direction=forward", "data.dev=null"), RunFolder(tmp_path / "run")
    with pytest.raises(UserError, match=r"of 3 steps in a row, up to step \d+, is not a finite number.*lower train"):
        train(config, run.path)
    dropped = [entry for entry in run.read_history() if entry["kind"] == "dropped"]
    assert len(dropped) == 3 and all(len(entry["utterances"]) in (4, 8) for entry in dropped)
    page = Page((run.path / "report" / "training.html").read_text(encoding="utf-8"))
    assert all(f"{entry['utterances'][0]} in a dropped batch" in page.text for entry in dropped)
