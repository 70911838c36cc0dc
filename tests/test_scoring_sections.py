"""Sections that pages of scores share: right in their numbers, and nothing repeated or hidden."""

import math

from test_report import Page, write_tone

from speechgru.scoring.sections import MAX_PLAYERS, evaluation_table, headline, model_table, worst, worst_utterances


def make_utterance(**changes):
    return {
        "utterance_id": "one.wav",
        "audio_filepath": "nowhere/one.wav",
        "speaker": "ada",
        "duration": 1.5,
        "reference": "turn on the light",
        "hypothesis": "turn the lights please",
        "word_errors": 3,
        "words": 4,
        "confidence": 0.83,
    } | changes


def make_evaluation(**changes):
    return {
        "name": "Keras, test",
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
        "utterances": [make_utterance()],
    } | changes


def test_the_headline_is_the_first_evaluation():
    shown = Page(headline([make_evaluation(), make_evaluation(wer=0.9)])).text
    for part in ("3.1 %", "0.42 %", "80.0 %", "of 1,234", "0.02", "50 times faster than speech"):
        assert part in shown
    assert "90" not in shown


def test_the_headline_leaves_out_what_was_not_measured():
    shown = Page(headline([{"wer": math.inf}])).text
    assert shown == "Word error rate \u221e"


def test_models_show_unknown_keys_and_dashes_where_they_lack_one():
    page = Page(model_table([{"form": "Keras", "wer": 0.1}, {"form": "TFLite", "size_bytes": 5000, "num_threads": 2}]))
    assert page.text.startswith("The same weights")
    assert page.text.endswith("Model Size WER Num threads Keras \u2013 10.0 % \u2013 TFLite 5 kB \u2013 2")


def test_the_evaluation_table_has_a_row_an_evaluation():
    page = Page(evaluation_table([make_evaluation(), {"name": "empty"}]))
    assert len(page.all("tr")) == 3
    assert "Keras, test 3.1 % 2.4 to 3.9 % 0.42 % 20.0 % 90 30 37 5,000 1,234 1 h 02 min 0.02" in page.text


def test_skipped_utterances_are_counted_below_the_table():
    shown = Page(evaluation_table([make_evaluation(num_skipped=2), make_evaluation(name="b", num_skipped=0)])).text
    assert shown.endswith("Keras, test: 2 utterances could not be scored and are not in its numbers.")


def test_the_worst_come_first_and_the_right_ones_not_at_all():
    utterances = [
        make_utterance(utterance_id="right", word_errors=0),
        make_utterance(utterance_id="one of four", word_errors=1, words=4),
        make_utterance(utterance_id="three of four", word_errors=3, words=4, confidence=0.2),
        make_utterance(utterance_id="three of three", word_errors=3, words=3),
        make_utterance(utterance_id="three of four, sure", word_errors=3, words=4, confidence=0.9),
        make_utterance(utterance_id="unsaid", word_errors=None, words=None),
    ]
    chosen = [entry["utterance_id"] for entry in worst_utterances(utterances, most=10)]
    assert chosen == ["three of three", "three of four, sure", "three of four", "one of four"]
    assert [entry["utterance_id"] for entry in worst_utterances(utterances, most=1)] == ["three of three"]


def test_the_same_errors_of_a_second_evaluation_are_not_repeated():
    page = Page(worst([make_evaluation(), make_evaluation(name="TFLite, test")]))
    assert len(page.all("article")) == 1
    assert "The same utterances and errors as under Keras, test." in page.text
    assert ["open" in attributes for attributes in page.all("details")] == [True, False]


def test_an_evaluation_without_errors_is_described_as_one():
    page = Page(worst([make_evaluation(utterances=[make_utterance(word_errors=0)])]))
    assert (
        "0 of 1 utterances with an error" in page.text
        and "every utterance was recognised without an error" in page.text
    )
    assert worst([make_evaluation(utterances=[])]) == ""


def test_only_the_first_few_can_be_listened_to(tmp_path):
    write_tone(tmp_path / "one.wav")
    utterances = [
        make_utterance(utterance_id=str(number), audio_filepath=str(tmp_path / "one.wav")) for number in range(20)
    ]
    page = Page(worst([make_evaluation(utterances=utterances)]))
    assert len(page.all("audio")) == MAX_PLAYERS
    assert "20 of 20 utterances with an error, the worst 10" in page.text
