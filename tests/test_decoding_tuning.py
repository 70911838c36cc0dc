"""The numbers of a beam, chosen on a dev set: the search, the file of numbers, the command."""

import json
import re

import numpy as np
import pytest
import soundfile
from language_models import random_model
from languages import TOY
from spelt import RATE, STREAMS, say

from speechgru import metrics
from speechgru.decoding import (
    DecodingOptions,
    DecodingSettings,
    GRULanguageScorer,
    Hotwords,
    LanguageScorer,
    LanguageWeights,
    options_from_lists,
)
from speechgru.errors import UserError
from speechgru.language import read_language_model
from speechgru.progress import silent
from speechgru.scoring.decoding_search import Axis, DevSet, Errors, Search, axes_of
from speechgru.scoring.decoding_tuning import tune_decoding
from speechgru.scoring.evaluation import evaluate
from speechgru.scoring.judged import open_judged
from speechgru.scoring.recordings import ScoringSet
from speechgru.utterances.manifest import Utterance, write_manifest

TEXTS = ["ab", "b a", "abba", "a b a", "bb", "a", "bab ab", "b"]
#: The stored bundle writes letters without a space between words; some of these texts it cannot get right.
SPOKEN = [text.replace(" ", "") for text in TEXTS]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Noisy tones: a beam has something to choose from."""
    folder = tmp_path_factory.mktemp("tuning")
    utterances = []
    for number, text in enumerate(SPOKEN):
        rng = np.random.default_rng(number)
        samples_N = say(text, seed=number) / 32768
        samples_N = samples_N + 0.25 * rng.standard_normal(len(samples_N))
        soundfile.write(folder / f"{number}.wav", np.clip(samples_N, -1, 1), RATE)
        utterances.append(Utterance(str(folder / f"{number}.wav"), len(samples_N) / RATE, text))
    write_manifest(folder / "dev.jsonl", utterances)
    (folder / "toy.arpa").write_text(TOY)
    return folder


@pytest.fixture(scope="module")
def language(corpus):
    return LanguageScorer(read_language_model(corpus / "toy.arpa"))


# --- the search ---


class Valley:
    """A dev set whose errors are known: a narrow, oblique valley of steps, as a weight and a bonus have it."""

    def __init__(self, best):
        self.best, self.asked = best, []

    def errors(self, options, *, most=None):
        self.asked.append(options)
        weight, bonus = options.language.weights.weight, options.language.weights.word_bonus
        along, across = weight - self.best[0], (bonus - self.best[1]) - 3.0 * (weight - self.best[0])
        words = round(40 * (3 * along**2 + across**2 / 4))
        return Errors(words, words, 0.1, [metrics.ErrorCounts(words, 0, 0, 100)])


@pytest.mark.parametrize("best", [(0.5, 1.0), (1.3, 3.2), (0.1, -0.5), (2.0, 5.0)])
def test_the_search_follows_an_oblique_valley_to_its_bottom_in_few_candidates(language, best):
    options = DecodingOptions(beam_width=8, language=language)
    valley = Valley(best)
    search = Search(valley, options, silent)
    axes = [axis for axis in axes_of(options) if axis.name != "unknown_penalty"]
    search.begin({axis.name: axis.start for axis in axes})
    search.run(axes)
    at_best = valley.errors(options.with_settings(DecodingSettings(**search.best))).words
    assert at_best <= 3, (search.best, at_best)
    assert len(search.tried) < 70
    keys = [tuple(tried.settings.as_record().items()) for tried in search.tried]
    assert len(set(keys)) == len(keys), "nothing is decoded twice"


def test_of_equal_numbers_those_that_were_there_stay():
    axis = Axis("word_bonus", 1.0, (0.0, 2.0), step=1.0, least=-4.0, most=8.0)

    class Flat:
        def errors(self, options, *, most=None):
            return Errors(7, 9, 0.1, [metrics.ErrorCounts(7, 0, 0, 100)])

    search = Search(Flat(), DecodingOptions(beam_width=8), silent)
    search.begin({"word_bonus": 1.0})
    search.run([axis])
    assert search.best == {"word_bonus": 1.0}
    assert search.compare_widths([2, 8, 32]).settings.beam_width == 2, "the narrowest of those with the fewest errors"


def test_a_candidate_is_given_up_once_it_cannot_win_and_is_otherwise_what_evaluate_says(corpus, language):
    options = DecodingOptions(beam_width=8, language=language)
    judged = open_judged(STREAMS, form=None, decoding=options, batch_size=4)
    recordings = ScoringSet(corpus / "dev.jsonl", sample_rate=judged.sample_rate, text=judged.text)
    dev = DevSet.compute(judged, recordings, silent)
    complete = dev.errors(options)
    record = evaluate(STREAMS, corpus / "dev.jsonl", decoding=options)
    assert (complete.words, complete.is_complete) == (record["errors"], True)
    assert [counts.errors for counts in complete.counts] == [each["word_errors"] for each in record["utterances"]]
    assert complete.words > 1
    given_up = dev.errors(options, most=complete.words - 1)
    assert not given_up.is_complete and given_up.words == complete.words
    assert not given_up.is_better_than(complete)
    again = dev.errors(options, most=complete.words)
    assert (again.words, again.characters, again.is_complete) == (complete.words, complete.characters, True)


def test_the_result_is_what_evaluate_gives_with_its_numbers_and_no_worse_than_before(corpus, language):
    options = DecodingOptions(beam_width=8, language=language, hotwords=["ab"])
    result = tune_decoding(STREAMS, corpus / "dev.jsonl", decoding=options)
    again = tune_decoding(STREAMS, corpus / "dev.jsonl", decoding=options)
    assert result.settings == again.settings and len(result.tried) == len(again.tried)
    start = next(tried for tried in result.tried if tried.what == "start")
    assert result.chosen.errors.words <= start.errors.words
    record = evaluate(STREAMS, corpus / "dev.jsonl", decoding=options.with_settings(result.settings))
    assert record["errors"] == result.chosen.errors.words
    assert record["wer"] == pytest.approx(result.wer(result.chosen))
    greedy = evaluate(STREAMS, corpus / "dev.jsonl")
    assert result.wer(result.tried[0]) == pytest.approx(greedy["wer"])
    assert [t.settings.beam_width for t in result.tried if t.what == "width"] == [2, 4, 8, 16, 32]


def test_what_is_tuned_is_what_the_decoding_has(language):
    assert axes_of(DecodingOptions(beam_width=4)) == []
    assert [axis.name for axis in axes_of(DecodingOptions(beam_width=4, language=language))] == [
        "language_weight", "word_bonus", "unknown_penalty", "blank_penalty",
    ]  # fmt: skip
    own = DecodingOptions(beam_width=4, hotwords={"a": 2.0})
    assert axes_of(own) == [], "a boost of its own stays"


def test_test_sets_and_greedy_decoding_are_refused(corpus, tmp_path):
    beam = DecodingOptions(beam_width=4)
    lines = (corpus / "dev.jsonl").read_text().splitlines()
    (tmp_path / "test.jsonl").write_text("\n".join(lines[:2]) + "\n")
    (tmp_path / "dev.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=r"test\.jsonl: is a test set by its name"):
        tune_decoding(STREAMS, tmp_path / "test.jsonl", decoding=beam)
    with pytest.raises(UserError, match=r"dev\.jsonl: shares 2 recordings with the test set .*test\.jsonl, such as"):
        tune_decoding(STREAMS, tmp_path / "dev.jsonl", decoding=beam)
    (tmp_path / "test.jsonl").unlink()
    with pytest.raises(UserError, match="greedy decoding has no numbers"):
        tune_decoding(STREAMS, tmp_path / "dev.jsonl", decoding=DecodingOptions())


# --- the file of numbers ---


def test_numbers_of_the_command_line_come_before_those_of_the_file(corpus, tmp_path):
    path = tmp_path / "decoding.json"
    path.write_text(json.dumps({"beam_width": 12, "hotword_boost": 3.5, "language_weight": 0.9, "word_bonus": -1}))
    how = {"language_model": corpus / "toy.arpa", "hotwords": ["a", "b=2"]}
    options = options_from_lists(**how, settings=path)
    assert options.beam_width == 12 and dict(options.hotwords) == {"a": 3.5, "b": 2.0}
    weights = options.language.weights
    assert (weights.weight, weights.word_bonus, weights.unknown_penalty) == (0.9, -1, None)
    options = options_from_lists(**how, settings=path, beam_width=4, language_weight=0.0)
    assert (options.beam_width, options.language.weights.weight, options.language.weights.word_bonus) == (4, 0.0, -1)
    with pytest.raises(UserError, match="weights of a language model are given, and no model"):
        options_from_lists(settings=path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", r"must be a JSON object of beam_width, hotword_boost, .*, got list"),
        ('{"beam": 3}', r"must be a JSON object of beam_width, .*, got 'beam'"),
        ('{"beam_width": 0}', r"settings\.beam_width is a whole number from 1 to 10,000, got 0"),
        ('{"beam_width": true}', "settings.beam_width is a whole number"),
        ('{"language_weight": -1}', "settings.language_weight is a number from 0 to 1,000, got -1"),
        ('{"word_bonus": NaN}', "settings.word_bonus is a number"),
        ("beam_width: 3", "is no JSON, as `speechgru tune --decoding` writes it"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, content, message):
    (tmp_path / "d.json").write_text(content)
    with pytest.raises(UserError, match=rf"d\.json: {message}"):
        DecodingSettings.read(tmp_path / "d.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="no: the settings of decoding cannot be read"):
        DecodingSettings.read(tmp_path / "no")


def test_hotwords_without_a_boost_get_another_and_the_others_keep_theirs():
    options = DecodingOptions(beam_width=4, hotwords={"kitchen": None, "attic": 2.0}, hotword_boost=5.0)
    assert dict(options.hotwords) == {"kitchen": 5.0, "attic": 2.0}
    changed = options.with_settings(DecodingSettings(hotword_boost=1.5))
    assert dict(changed.hotwords) == {"kitchen": 1.5, "attic": 2.0}
    assert dict(changed.with_settings(DecodingSettings(hotword_boost=9)).hotwords) == {"kitchen": 9.0, "attic": 2.0}
    assert Hotwords(["a b"]).with_boost(3.0) == {"a b": 3.0}


# --- the command ---


def test_the_command_writes_what_evaluate_and_transcribe_take(corpus, tmp_path, monkeypatch, capsys):
    from speechgru.cli import main

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["speechgru", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr()

    out = tmp_path / "my numbers.json"
    model = ["--language-model", corpus / "toy.arpa"]
    code, printed = run("tune", "--decoding", STREAMS, "--manifest", corpus / "dev.jsonl", *model, "--out", out)
    assert code in (0, None) and "chosen" in printed.out and "greedy" in printed.out
    assert re.search(r"│ 16 +│ \d+\.\d\d% │ 0\.\d{4} │", printed.out) and "…" not in printed.out
    assert "next: speechgru evaluate" in printed.err and "--decoding" in printed.err
    record = json.loads(out.read_text())
    assert record["beam_width"] >= 2 and record["tuned"]["utterances"] == len(SPOKEN)
    code, printed = run("evaluate", STREAMS, "--manifest", corpus / "dev.jsonl", *model, "--decoding", out, "--json")
    assert code in (0, None)
    assert json.loads(printed.out)["wer"] == pytest.approx(record["tuned"]["wer"])
    code, printed = run("transcribe", STREAMS, corpus / "0.wav", *model, "--decoding", out, "--json")
    assert code in (0, None) and json.loads(printed.out)[0]["error"] is None
    names, same = tmp_path / "names.txt", corpus / "dev.jsonl"
    names.write_text("abba\n")
    before = same.read_bytes()
    boosted = ["--hotwords", names, "--hotword", "bab=2"]
    code, printed = run("tune", "--decoding", STREAMS, "--manifest", same, *boosted, "--out", tmp_path / "b.json")
    assert code in (0, None), printed.err
    assert f"--hotword bab=2 --hotwords {names} --decoding" in printed.err  # or they count not
    for arguments, message in [
        (["tune", "--decoding", STREAMS, "--manifest", same, *boosted, "--out", same], f"{same}: is what this command"),
        (["tune", "--decoding", STREAMS, "--manifest", same, *boosted, "--out", names], "names.txt: is what this"),
        (["evaluate", STREAMS, "--manifest", same, "--report", same], f"{same}: is what this command reads"),
        (["tune"], "name a sweep file and its folder"),
        (["tune", "--decoding", STREAMS], "name the dev set (--manifest dev.jsonl)"),
        (["tune", "a.yaml", "--run", tmp_path / "s", "--lm"], "name a sweep file and its folder"),
        (["tune", "--decoding", tmp_path, "--manifest", corpus / "dev.jsonl"], "is neither a run folder"),
        (["evaluate", STREAMS, "--manifest", corpus / "dev.jsonl", "--decoding", out], "and no model"),
    ]:
        code, printed = run(*arguments)
        assert code == 2 and message in " ".join(printed.err.split()), printed.err
    assert same.read_bytes() == before and names.read_text() == "abba\n"


def test_a_gru_language_model_is_tuned_by_itself_and_beside_an_n_gram(language):
    gru = random_model("ab ", units=3)
    alone = DecodingOptions(beam_width=8, language=GRULanguageScorer(gru, LanguageWeights(0.7)))
    assert [(axis.name, axis.start) for axis in axes_of(alone)] == [
        ("language_weight", 0.7), ("word_bonus", 0.5), ("blank_penalty", 0.0),
    ]  # fmt: skip
    both = DecodingOptions(beam_width=8, language=language, gru_language=gru)
    names = ["language_weight", "word_bonus", "unknown_penalty", "gru_weight", "gru_word_bonus", "blank_penalty"]
    assert [axis.name for axis in axes_of(both)] == names
    changed = both.with_settings(
        DecodingSettings(gru_weight=0.2, gru_word_bonus=2.0, language_weight=0.9, blank_penalty=1.5)
    )
    assert changed.gru_language.complete_weights == LanguageWeights(0.2, 2.0, blank_penalty=1.5)
    assert changed.language.complete_weights.weight == 0.9
    assert changed.blank_penalty == changed.with_settings(DecodingSettings(beam_width=4)).blank_penalty == 1.5
    assert both.blank_penalty == DecodingOptions(beam_width=8, hotwords=["a"]).blank_penalty == 0.0
    again = next(axis for axis in axes_of(changed) if axis.name == "blank_penalty")
    assert again.start == 1.5, "the search begins where the decoding is"


def test_numbers_of_a_file_serve_a_gru_language_model(tmp_path):
    gru = random_model("ab ", units=3)
    gru.save(tmp_path / "model.gru")
    (tmp_path / "decoding.json").write_text(
        json.dumps({"beam_width": 4, "gru_weight": 0.3, "gru_word_bonus": 1.5, "blank_penalty": 2})
    )
    options = options_from_lists(
        gru_language_model=tmp_path / "model.gru", gru_weight=0.4, settings=tmp_path / "decoding.json"
    )
    weights = LanguageWeights(0.4, 1.5, blank_penalty=2)
    assert options.beam_width == 4 and options.gru_language.complete_weights == weights
    own = options_from_lists(language=True, settings=tmp_path / "decoding.json")
    assert own.gru_language is None and own.blank_penalty == 2
    exported = options_from_lists(language_model=tmp_path / "model.gru", settings=tmp_path / "decoding.json")
    assert exported.language.complete_weights == LanguageWeights(0.3, 1.5, blank_penalty=2), "chosen by either option"
    (tmp_path / "other.json").write_text(json.dumps({"language_weight": 0.7, "word_bonus": 1.0, "blank_penalty": 1}))
    other = options_from_lists(gru_language_model=tmp_path / "model.gru", settings=tmp_path / "other.json")
    assert other.gru_language.complete_weights == LanguageWeights(0.7, 1.0, blank_penalty=1)
    later = options_from_lists(
        gru_language_model=tmp_path / "model.gru", settings=tmp_path / "other.json", rescore=["gru"]
    )
    assert (other.blank_penalty, later.blank_penalty) == (1, 0), "a search without a model is as it was"
    alone = options_from_lists(language_model=tmp_path / "model.gru", blank_penalty=0.5)
    assert alone.language.complete_weights == LanguageWeights(0.5, 0.5, blank_penalty=0.5)
    for given in ({"settings": tmp_path / "decoding.json"}, {"blank_penalty": 1.0}):
        with pytest.raises(UserError, match="weights of a language model are given, and no model"):
            options_from_lists(**given)
