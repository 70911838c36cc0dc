"""The page of one evaluation: well-formed, self-contained, safe for any text, and right in what it shows."""

import json
import math
import re

import pytest
from test_report import HOSTILE, Page, write_tone

from speechgru.errors import UserError
from speechgru.report.utterances import aligned
from speechgru.scoring.charts import rate_bar, reliability_chart
from speechgru.scoring.page import report_evaluation, report_evaluations


def make_group(**changes):
    group = {"num_utterances": 10, "words": 50, "errors": 5, "wer": 0.1, "wer_interval": [0.05, 0.2]}
    return group | changes


def make_utterance(**changes):
    return {
        "utterance_id": "one.wav",
        "audio_filepath": "nowhere/one.wav",
        "offset": 0.0,
        "speaker": "ada",
        "duration": 1.0,
        "reference": "turn on the light",
        "hypothesis": "turn the lights",
        "word_errors": 2,
        "words": 4,
        "confidence": 0.83,
        "hypothesis_words": [
            {"text": text, "start_seconds": 0.2 * place, "end_seconds": 0.2 * place + 0.1, "confidence": 0.83}
            for place, text in enumerate(["turn", "the", "lights"])
        ],
    } | changes


def make_record(**changes):
    return {
        "path": "nowhere/run",
        "form": "Keras",
        "size_bytes": None,
        "manifest": "corpus/test.jsonl",
        "name": "Keras, test",
        "num_utterances": 30,
        "audio_seconds": 61.0,
        "wer": 0.1,
        "wer_interval": [0.05, 0.2],
        "cer": 0.04,
        "sentence_error_rate": 0.5,
        "words": 200,
        "substitutions": 12,
        "insertions": 3,
        "deletions": 5,
        "rtf": 0.02,
        "num_skipped": 1,
        "skipped": [{"message": "gone.wav: no such recording", "reason": "unreadable"}],
        "slices": [
            {
                "field": "speaker",
                "kind": "text",
                "num_missing": 10,
                "groups": [
                    make_group(value="bob"),
                    make_group(value="ada", errors=0, wer=0.0, wer_interval=[0, 0.0713]),
                    make_group(),
                ],
            },
            {
                "field": "duration",
                "kind": "number",
                "num_missing": 0,
                "groups": [make_group(low=0.31, high=0.42), make_group(low=0.43, high=65.0)],
            },
            {"field": "snr", "kind": "number", "num_missing": 0, "groups": [make_group(low=5.0, high=5.0)]},
        ],
        "confusions": {
            "substitutions": [{"reference": "light", "hypothesis": "lights", "count": 12, "spoken": 40}],
            "insertions": [{"word": "please", "count": 3}],
            "deletions": [{"word": "on", "count": 5, "spoken": 20}],
        },
        "confidence": {
            "num_words": 100,
            "num_right": 83,
            "auc": 0.912,
            "calibration_error": 0.034,
            "bins": [
                {"low": 0.5, "high": 0.7, "num_words": 20, "mean_confidence": 0.6, "share_right": 0.4,
                 "right_interval": [0.22, 0.61]},
                {"low": 0.99, "high": 1.0, "num_words": 80, "mean_confidence": 0.995, "share_right": 0.95,
                 "right_interval": [0.88, 0.98]},
            ],
        },
        "utterances": [make_utterance()],
    } | changes  # fmt: skip


def page_of(tmp_path, record, **options):
    path = report_evaluation(json.loads(json.dumps(record)), tmp_path / "pages" / "test.html", **options)
    return Page(path.read_text(encoding="utf-8"))


def test_the_page_shows_the_contents_of_the_record(tmp_path):
    page = page_of(tmp_path, make_record())
    for part in (
        "Keras, test",
        "test.jsonl \u00b7 30 utterances \u00b7 1 min 01 s of audio",
        "10.0 % 95 % interval 5.0 to 20.0 %",
        "Substituted 12 6.0 %",
        "Deleted 5 2.5 %",
        "Inserted 3 1.5 %",
        "All errors 20 10.0 %",
        "bob 10.0 % 5.0 to 20.0 % 5 50 10",
        "(not given) 10.0 %",
        "0.31 to 0.42 s 10.0 %",
        "0.43 s to 1 min 05 s 10.0 %",
        "Word error rate by duration, in bins of about equally many utterances.",
        "Word error rate by snr.",
        "Substituted The most frequent first. Reference Recognised Times In references light lights 12 40",
        "please 3",
        "on 5 20",
        "in 91.2 % of all cases (area under the ROC curve 0.912",
        "Confidence is 3.4 % away",
        "0.99 to 1 80 0.995 95.0 % 88.0 to 98.0 %",
        "1 of 1 utterances with an error",
        "1 utterance could not be scored and is not in the numbers: gone.wav: no such recording",
        "The worst utterances are not drawn: nowhere/run: not a run folder",
    ):
        assert part in page.text, part


def test_a_group_without_an_error_shows_how_little_that_says(tmp_path):
    assert "ada 0 % 0 to 7.1 % 0 50 10" in page_of(tmp_path, make_record()).text


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(tmp_path):
    page = page_of(tmp_path, make_record())
    assert not page.all("script") and not page.all("link") and not page.all("iframe")
    for _, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert value.startswith(("#", "data:"))
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))


def test_a_hostile_record_shows_itself_and_nothing_else(tmp_path):
    hostile = HOSTILE.replace("\ud800", "")
    record = make_record(
        name=hostile,
        path=hostile,
        form=hostile,
        manifest=hostile,
        slices=[{"field": hostile, "kind": "text", "num_missing": 0, "groups": [make_group(value=hostile)]}],
        confusions={
            "substitutions": [{"reference": hostile, "hypothesis": hostile, "count": 1, "spoken": 1}],
            "insertions": [{"word": hostile, "count": 1}],
            "deletions": [{"word": hostile, "count": 1, "spoken": 1}],
        },
        skipped=[{"message": hostile}],
        utterances=[make_utterance(utterance_id=hostile, speaker=hostile, reference=hostile, hypothesis=hostile)],
    )
    page = page_of(tmp_path, record)
    assert not page.all("script") and not page.all("img")
    assert page.text.count("<script>alert(1)</script>") >= 8


def test_a_record_of_an_older_version_still_makes_a_page(tmp_path):
    old = {key: make_record()[key] for key in ("name", "wer", "cer", "num_utterances")}
    page = page_of(tmp_path, old)
    assert "10.0 %" in page.text
    assert [attributes["id"] for attributes in page.all("section")] == ["result"]
    assert page_of(tmp_path, make_record(confidence=None, slices=[], confusions={}))


def test_a_perfect_evaluation_is_described_as_one(tmp_path):
    record = make_record(
        wer=0.0, wer_interval=[0.0, 0.07], substitutions=0, insertions=0, deletions=0, skipped=[],
        slices=[{"field": "speaker", "kind": "text", "num_missing": 3, "groups": [make_group(errors=0, wer=0.0)]}],
        confusions={"substitutions": [], "insertions": [], "deletions": []},
        confidence=make_record()["confidence"] | {"auc": None},
        utterances=[make_utterance(word_errors=0)],
    )  # fmt: skip
    shown = page_of(tmp_path, record).text
    assert "every utterance was recognised without an error" in shown
    assert "95 % interval 0 to 7.0 %" in shown, "in the headline too"
    assert "No utterance has a speaker." in shown
    assert "nothing to distinguish" in shown
    assert "Substituted The most" not in shown and "not drawn" not in shown


def test_long_tables_are_cut_and_the_cut_is_reported(tmp_path):
    record = make_record(
        slices=[
            {"field": "speaker", "kind": "text", "num_missing": 0,
             "groups": [make_group(value=f"speaker {number}") for number in range(25)]}
        ],
        confusions={"insertions": [{"word": f"word{number}", "count": 1} for number in range(40)]},
        skipped=[{"message": f"{number}.wav: gone"} for number in range(13)],
    )  # fmt: skip
    shown = page_of(tmp_path, record).text
    assert "speaker 19" in shown and "speaker 20" not in shown and "5 more groups are in the record." in shown
    assert "word11" in shown and "word12" not in shown and "28 more are in the record." in shown
    assert "9.wav: gone" in shown and "10.wav" not in shown and "and 3 more." in shown


def numbers_of(svg, attribute):
    return [float(value) for value in re.findall(rf'\b{attribute}="(-?[\d.]+)"', svg)]


def test_a_bar_is_as_long_as_its_rate_and_stays_inside():
    half = rate_bar(0.1, interval=[0.05, 0.15], overall=0.12, highest=0.2)
    assert re.search(r'<rect class="bar" x="1" y="4" width="129"', half)
    assert half.count('class="range"') == 3 and half.count('class="overall"') == 1
    cut = rate_bar(2.0, interval=[0.5, math.inf], highest=2.0)
    assert cut.count('class="range"') == 2, "an interval that is cut has no end mark"
    assert max(numbers_of(cut, "x2")) <= 260
    for rate in (None, math.inf, math.nan):
        assert "<rect" not in rate_bar(rate, highest=1.0)
    assert "nan" not in rate_bar(0.0, interval=[0.0, 0.0], overall=0.0, highest=0.0)


def test_the_title_names_what_was_scored_and_few_words_are_no_curve(tmp_path):
    record = make_record(name="dynamic, test.jsonl", path="/home/ann/runs/mine")
    record["confidence"]["bins"] = [{**entry, "num_words": 4} for entry in record["confidence"]["bins"]]
    page = Page(report_evaluation(record, tmp_path / "page.html", num_pictures=0).read_text(encoding="utf-8"))
    assert "dynamic, test.jsonl: runs/mine" in page.text and "no curve is drawn" in page.text
    assert not [svg for svg in page.all("svg") if "confidence" in str(svg).lower()]


def test_the_reliability_chart_describes_in_words_what_it_shows():
    chart = reliability_chart(make_record()["confidence"]["bins"])
    (spoken,) = Page(chart).drawings
    assert (
        spoken == "Share of right words by confidence: 40.0 % right at 0.60 (20 words); 95.0 % right at 0.99 (80 words)"
    )
    assert reliability_chart([]) == ""


def test_words_show_their_time_and_confidence_when_pointed_at():
    entry = make_utterance()
    shown = aligned(entry["reference"], entry["hypothesis"], words=entry["hypothesis_words"])
    titles = re.findall(r'title="([^"]*)"', shown)
    assert "the, 0.20 to 0.30 s, confidence 0.83" in titles and "light" in titles
    assert "confidence" not in aligned("a b", "a b", words=entry["hypothesis_words"]), "times of another text"


def test_the_worst_are_drawn_with_the_recogniser_that_was_scored(tmp_path):
    pytest.importorskip("tensorflow", reason="a run needs TensorFlow; it is not installed")
    from speechgru.config.load import save_config
    from speechgru.config.sections import RunConfig
    from speechgru.model.build import build_model
    from speechgru.runs import RunFolder, save_checkpoint
    from speechgru.text import Vocabulary

    config = RunConfig.model_validate(
        {"data": {"sample_rate": 8000}, "features": {"n_mels": 20}, "model": {"units": 8, "subsampling_channels": 8}}
    )
    run, vocabulary = RunFolder(tmp_path / "run"), Vocabulary(" abc")
    run.path.mkdir()
    save_config(run.config, config)
    vocabulary.save(run.vocabulary)
    variables = build_model(config, len(vocabulary)).variables
    save_checkpoint(run.best, {f"model/{k}": variable.numpy() for k, variable in enumerate(variables)}, {})
    write_tone(tmp_path / "one.wav")
    record = make_record(
        path=str(run.path),
        utterances=[
            make_utterance(audio_filepath=str(tmp_path / "one.wav")),
            make_utterance(utterance_id="gone.wav", audio_filepath=str(tmp_path / "gone.wav"), word_errors=1),
        ],
    )
    page = page_of(tmp_path, record)
    (spoken,) = [drawing for drawing in page.drawings if "log-mel" in drawing]
    assert spoken == (
        "one.wav: log-mel and label probabilities over time: Reference: turn on the light. Recognised: turn the lights."
    )
    assert "lights: 0.40 to 0.50 s, confidence 0.83" in page.text, "the words of the record, not recognised again"
    assert "2 errors in 4 words. Speaker ada." in page.text
    assert "Not drawn: " in page.text and "gone.wav: no such recording" in page.text
    assert not any("log-mel" in drawing for drawing in page_of(tmp_path, record, num_pictures=0).drawings)


def test_several_evaluations_are_side_by_side(tmp_path):
    records = [make_record(), make_record(name="Keras, dev", wer=0.2, utterances=[])]
    path = report_evaluations(records, tmp_path / "deep" / "page.html", title="Two sets", notes=["A note."])
    page = Page(path.read_text(encoding="utf-8"))
    assert [attributes["id"] for attributes in page.all("section")] == ["result", "errors", "worst", "notes"]
    for part in ("Two sets", "Keras, test \u00b7 30 utterances", "Keras, dev 20.0 %", "one.wav", "A note."):
        assert part in page.text, part
    assert not Page(report_evaluations([], path, title="None").read_text(encoding="utf-8")).all("section")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        report_evaluations(records, tmp_path / "file" / "page.html", title="x")
