"""A grammar: from a file in Home Assistant's syntax to sentences, their meaning, and the record that travels."""

import collections
import json
import math
import subprocess
import sys
from pathlib import Path

import home_assistant_intents
import numpy as np
import pytest

from speechgru.errors import GrammarError
from speechgru.grammar import Grammar, Sentence, describe_slots

INTENTS = Path(home_assistant_intents.__file__).parent / "data"

LAMPS = """
language: en
skip_words: [please]
intents:
  Light:
    data:
      - sentences:
          - "(turn|switch) {state} [the] {room} light[s]"
          - "<set> the {room} light[s] to {brightness} percent"
        slots: {domain: light}
  Timer:
    weight: 2
    data:
      - sentences: ["timer ({minutes} minutes;now)"]
      - sentences: ["wait {1..3:minutes} minutes"]
        weight: 3
lists:
  state: {values: [on, off]}
  room: {values: [kitchen, {in: "living room", out: lounge}, {in: "[big] hall"}]}
  brightness: {range: {from: 10, to: 30, step: 10}}
  minutes: {range: {from: 1, to: 2, fractions: halves, multiplier: 60}}
expansion_rules:
  set: "(set|put)"
"""


def grammar_of(tmp_path, text, name="my.yaml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return Grammar.load(path)


@pytest.fixture
def lamps(tmp_path):
    return grammar_of(tmp_path, LAMPS)


@pytest.mark.parametrize(
    ("text", "intent", "slots"),
    [
        ("turn on the kitchen lights", "Light", {"state": "on", "room": "kitchen", "domain": "light"}),
        ("switch off living room light", "Light", {"state": "off", "room": "lounge", "domain": "light"}),
        (
            "put the big hall light to twenty percent",
            "Light",
            {"room": "big hall", "brightness": 20, "domain": "light"},
        ),
        ("Turn ON the Kitchen lights!", "Light", {"state": "on", "room": "kitchen", "domain": "light"}),
        ("please turn on the hall light", "Light", {"state": "on", "room": "hall", "domain": "light"}),
        ("turn on the hall light please", "Light", {"state": "on", "room": "hall", "domain": "light"}),
        ("timer one point five minutes now", "Timer", {"minutes": 90}),
        ("timer now two minutes", "Timer", {"minutes": 120}),
        ("wait three minutes", "Timer", {"minutes": 3}),
    ],
)
def test_a_text_of_the_grammar_has_its_meaning(lamps, text, intent, slots):
    read = lamps.parse(text)
    assert (read.intent, dict(read.slots)) == (intent, slots)
    assert all(type(read.slots[name]) is type(value) for name, value in slots.items())


@pytest.mark.parametrize(
    "text",
    ["", "please", "turn", "turn on the", "turn on the kitchen lightss", "turn on thekitchen light", "timer now"],
)
def test_a_text_outside_the_grammar_has_none(lamps, text):
    assert lamps.parse(text) is None


def test_the_number_of_sentences_is_that_of_all_ways_to_say_one(lamps):
    # 2 verbs, 2 states, with or without "the", 4 rooms, 2 endings; 2 verbs, 4 rooms, 2 endings, 3 numbers; 4 numbers
    # in 2 orders; 3 numbers
    assert dict(lamps.ways) == {"Light": 2 * 2 * 2 * 4 * 2 + 2 * 4 * 2 * 3, "Timer": 4 * 2 + 3}
    assert lamps.num_sentences == 64 + 48 + 11


def test_the_words_are_those_that_sentences_hold(lamps):
    rng = np.random.default_rng(0)
    drawn = {word for _ in range(3000) for word in lamps.draw(rng).text.split()}
    assert set(lamps.words()) == drawn
    assert {"light", "lights", "living", "thirty", "please"} <= drawn


def test_what_is_drawn_is_read_back(lamps):
    rng = np.random.default_rng(1)
    for sentence in (lamps.draw(rng) for _ in range(500)):
        read = lamps.parse(sentence.text)
        assert (read.text, read.intent, dict(read.slots)) == (sentence.text, sentence.intent, dict(sentence.slots))


def test_draws_are_even_over_intents_by_weight_then_over_templates_values_and_optional_parts(lamps):
    rng = np.random.default_rng(2)
    drawn = [lamps.draw(rng) for _ in range(6000)]
    share = collections.Counter(sentence.intent for sentence in drawn)
    assert share["Timer"] / 6000 == pytest.approx(2 / 3, abs=0.03)
    timers = [sentence for sentence in drawn if sentence.intent == "Timer"]
    assert sum("wait" in sentence.text for sentence in timers) / len(timers) == pytest.approx(3 / 4, abs=0.03)
    rooms = collections.Counter(s.slots["room"] for s in drawn if s.intent == "Light")
    total = sum(rooms.values())
    assert rooms["kitchen"] / total == pytest.approx(1 / 3, abs=0.04)
    assert (rooms["hall"] / total, rooms["big hall"] / total) == pytest.approx((1 / 6, 1 / 6), abs=0.04)
    numbers = collections.Counter(s.slots["brightness"] for s in drawn if "brightness" in s.slots)
    assert [numbers[value] / sum(numbers.values()) for value in (10, 20, 30)] == pytest.approx([1 / 3] * 3, abs=0.06)
    assert sum(s.text.startswith("please") for s in drawn) / 6000 == pytest.approx(0.1, abs=0.02)


def test_a_value_that_stands_twice_is_drawn_twice_as_often(tmp_path):
    text = "language: en\nintents: {A: {data: [{sentences: ['a {x}', 'b (||c)']}]}}\nlists: {x: {values: [p, p, q]}}"
    grammar = grammar_of(tmp_path, text)
    rng = np.random.default_rng(3)
    counts = collections.Counter(grammar.draw(rng).text for _ in range(3000))
    assert counts["a p"] / (counts["a p"] + counts["a q"]) == pytest.approx(2 / 3, abs=0.04)
    assert counts["b"] / (counts["b"] + counts["b c"]) == pytest.approx(2 / 3, abs=0.04)
    assert grammar.num_sentences == 4


def test_a_draw_for_a_split_gives_sentences_of_it(tmp_path):
    grammar = grammar_of(tmp_path, LAMPS.replace("to: 30, step: 10", "to: 1000"))
    assert grammar.is_split
    rng = np.random.default_rng(4)
    for split in ("train", "dev", "test"):
        drawn = {grammar.draw(rng, split).text for _ in range(30)}
        assert {grammar.split_of(text) for text in drawn} == {split}
    with pytest.raises(ValueError, match="split must be train, dev, test or None, got 'valid'"):
        grammar.draw(rng, "valid")


def test_a_small_grammar_is_not_split(lamps):
    assert not lamps.is_split
    rng = np.random.default_rng(5)
    drawn = {lamps.draw(rng, "dev").text for _ in range(100)}
    assert {lamps.split_of(text) for text in drawn} == {"train", "dev", "test"}


def test_the_record_travels_as_json_and_is_read_without_hassil_and_yaml(lamps, tmp_path):
    lamps.save(tmp_path / "grammar.json")
    code = (
        "import sys\n"
        "from speechgru.grammar import Grammar\n"
        f"grammar = Grammar.load({str(tmp_path / 'grammar.json')!r})\n"
        "print(grammar.parse('wait two minutes').slots['minutes'], grammar.digest)\n"
        "print([name for name in ('hassil', 'yaml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == [f"2 {lamps.digest}", "[]"]
    again = Grammar.load(tmp_path / "grammar.json")
    assert again == lamps and hash(again) == hash(lamps)
    assert again != Grammar.from_record({**lamps.as_record(), "language": "de"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "the grammar has format 2, and this version of speechgru reads 1"),
        ({"intents": {}}, "a sentence is missing"),
        ({"intents": {"x": {"weight": 1, "data": [{"weight": 1, "slots": {}, "sentences": [{}]}]}}}, "a sentence is"),
        ({"intents": {"x": {"weight": 1, "data": [{"weight": 1, "slots": {}, "sentences": [0.5]}]}}}, "a sentence is"),
        ({"intents": {"x": {"weight": 1, "data": []}}}, "the intent x has no sentence"),
        ({"intents": {"x": {"weight": math.nan, "data": [{"weight": 1, "slots": {}, "sentences": [0]}]}}}, "a weight"),
        ({"nodes": ["a"] + [["series", place] for place in range(2000)]}, "node 100 .* more than 100 levels deep"),
        ({"nodes": ["a"] + [["series", place, place] for place in range(40)]}, "a sentence of 16384 characters"),
        ({"nodes": [["choice"]]}, "node 0 of the grammar is damaged"),
        ({"nodes": [["series", 0]]}, r"node 0 of the grammar is damaged: \['series', 0\]"),
        ({"nodes": [["verse"]]}, "node 0 of the grammar is damaged"),
        ({"skip_words": None}, "the grammar is damaged"),
    ],
)
def test_a_damaged_record_is_refused(lamps, change, message):
    with pytest.raises(GrammarError, match=message):
        Grammar.from_record({**lamps.as_record(), **change})


@pytest.mark.parametrize(
    ("rule", "sentence", "message"),
    [
        ("<r{before}> <r{before}>", "<r40>", "my.yaml:17: the template '<r12> <r12>' can be a sentence of 16383 char"),
        ("[<r{before}>] [<r{before}>]", "<r40>", "can be a sentence of 16383 characters, more than 10,000"),
        ("(<r{before}>|b)", "<r999>", "is nested too deeply, in brackets or in rules"),
        ("a", "(" * 2000 + "a" + "|b)" * 2000, "is nested too deeply, in brackets or in rules"),
    ],
)
def test_rules_that_would_fill_the_memory_or_the_stack_are_refused(tmp_path, rule, sentence, message):
    rules = {f"r{number}": rule.format(before=number - 1) for number in range(1, 1000)}
    lines = [f'  {name}: "{text}"' for name, text in {"r0": "a", **rules}.items()]
    (tmp_path / "my.yaml").write_text(
        "\n".join(["language: en", f'intents: {{x: {{data: [{{sentences: ["go {sentence}"]}}]}}}}',
                   "expansion_rules:", *lines])
    )  # fmt: skip
    with pytest.raises(GrammarError, match=message):
        Grammar.load(tmp_path / "my.yaml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("language: en", "", "my.yaml: the key language is missing; write, for example, language: en"),
        ("{state} [the]", "{stat} [the]", r"my.yaml:8: there is no list {stat}; is state meant\?"),
        ("<set> the", "<sett> the", r"my.yaml:9: there is no rule <sett>; is set meant\?"),
        ("(set|put)", "(set|<set>)", "my.yaml:23: the rule <set> contains itself \\(set -> set\\)"),
        (
            "{state} [the]",
            "{state} [the",
            r"my.yaml:8: .* cannot be read \(its \[ at character \d+ has no \]\)",
        ),
        ("to: 30", "to: 5", "my.yaml:20: the range of the list brightness must rise, from 10 to 5 by 10"),
        ("to: 30, step: 10", "to: 300000", "my.yaml:20: the list brightness has 299,991 numbers, more than 20,000"),
        ("weight: 2", "weight: -1", "my.yaml:5|weight must be a number above 0, got -1"),
        ("values: [on, off]", "value: [on, off]", "my.yaml:18: the list state must have the key values or range"),
        ("halves", "thirds", "fractions of the list minutes must be halves or tenths, got 'thirds'"),
        ("state: {values", "room: {values", "my.yaml:19: room stands twice; keep one"),
        ("skip_words: [please]", "skip_words: please", "skip_words must be a list of words, got 'please'"),
        (
            "(turn|switch) {state} [the] {room} light[s]",
            "[please]",
            "my.yaml:8: the template .* can be said without a w",
        ),
        ('"wait {1..3', '- "wait {1..3', "my.yaml:15: is not valid YAML"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(tmp_path, old, new, message):
    assert old in LAMPS
    with pytest.raises(GrammarError, match=message):
        grammar_of(tmp_path, LAMPS.replace(old, new, 1))


def test_a_grammar_is_read_as_editors_write_it_or_its_line_is_named(tmp_path):
    path = tmp_path / "my.yaml"
    for coding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_bytes(LAMPS.encode(coding))
        assert Grammar.load(path).language == "en"
    path.write_bytes(b"\xff\xfe" + LAMPS.encode() + b"\n" * (len(LAMPS) % 2 == 0))
    with pytest.raises(GrammarError, match=r"my.yaml: begins with the mark of UTF-16 text, and is none; save"):
        Grammar.load(path)
    path.write_bytes(LAMPS.replace("light", "lamp\u00e9", 1).encode("latin-1"))
    with pytest.raises(GrammarError, match=r"my.yaml: is not UTF-8 text: the byte E9 in line 8 is none of it; save"):
        Grammar.load(path)


def test_a_grammar_that_is_not_there_is_an_error(tmp_path):
    for name in ("no.yaml", "no.json"):
        with pytest.raises(GrammarError, match=f"{name}: there is no such grammar"):
            Grammar.load(tmp_path / name)
    with pytest.raises(GrammarError, match=r"the folder holds no .yaml or .json file"):
        Grammar.load(tmp_path)


def test_the_files_of_a_folder_are_one_grammar(tmp_path):
    first, second = LAMPS.split("lists:")
    (tmp_path / "sentences").mkdir()
    (tmp_path / "sentences" / "a.yaml").write_text(first)
    grammar_of(tmp_path, LAMPS)
    (tmp_path / "sentences" / "b.yaml").write_text("language: en\nlists:" + second)
    assert Grammar.load(tmp_path / "sentences") == Grammar.load(tmp_path / "my.yaml")
    (tmp_path / "sentences" / "c.yaml").write_text("language: de")
    with pytest.raises(GrammarError, match=r"c.yaml:1: language is 'de' here and 'en' in another file"):
        Grammar.load(tmp_path / "sentences")


def test_what_has_no_values_is_left_out_and_noted(tmp_path):
    grammar = grammar_of(
        tmp_path,
        """
language: en
intents:
  Play:
    data:
      - sentences: ["play {song}", "play [the song {song}] loudly", "louder [by 10[%]]"]
        requires_context: {area: kitchen}
        colour: blue
  Name: {data: [{sentences: ["call {name}"]}]}
lists: {song: {wildcard: true}}
""",
    )
    assert [intent.name for intent in grammar.intents] == ["Play"]
    assert grammar.parse("play loudly") and grammar.parse("louder by ten") and not grammar.parse("play")
    assert grammar.num_sentences == 3
    text = "\n".join(grammar.notes)
    assert "one template, " in text and "my.yaml:6: 'play {song}': the list {song} has no values; write some" in text
    assert "my.yaml:9: 'call {name}': the list {name} has no values" in text
    assert "1 template without an alternative or optional part: the list {song} has no values" in text
    assert "% is a written sign; write the word that is said" in text
    assert "my.yaml:8: the key colour of intent Play is not used" in text
    assert "1 block of sentences depends on Home Assistant's state" in text
    with pytest.raises(
        GrammarError, match=r"the grammar allows no sentence \(left out: one template, .*{name} has no va"
    ):
        grammar_of(tmp_path, "language: en\nintents: {N: {data: [{sentences: ['call {name}']}]}}")


@pytest.mark.parametrize("language", ["en", "fr", "nb", "ur"])
def test_the_files_of_home_assistant_load(language):
    grammar = Grammar.load(INTENTS / f"{language}.json")
    assert len(grammar.intents) >= 4 and grammar.num_sentences > 100
    assert json.loads(json.dumps(grammar.as_record())) == grammar.as_record()
    rng = np.random.default_rng(6)
    for sentence in (grammar.draw(rng) for _ in range(20)):
        assert grammar.parse(sentence.text) is not None, sentence


def test_slots_are_described_on_one_line():
    sentence = Sentence("a", "A", {"area": "hall", "level": 2})
    assert describe_slots(sentence.slots) == "area=hall, level=2" and describe_slots({}) == "-"


@pytest.mark.parametrize(
    ("name", "text", "intent", "slots"),
    [
        ("household", "please set the floor lamp", None, {}),
        (
            "household",
            "set the living room ceiling light to eighty five percent now",
            "SetLight",
            {"room": "living room", "light": "ceiling light", "percent": 85},
        ),
        ("household", "wake me at ten to seven please", "SetAlarm", {"minutes_to": 10, "hour": 7}),
        (
            "household",
            "remind me to buy milk on monday",
            "Remind",
            {"task": "buy milk", "food": "milk", "day": "monday"},
        ),
        ("household", "seven zero two", "Digits", {"digits": "seven zero two"}),
        ("digits", "nine nine nine", "Digits", {"digits": "nine nine nine"}),
        (
            "coffee",
            "can I have a small double shot dark roast latte with a lot of brown sugar and some skim milk",
            "orderDrink",
            {
                "size": "small",
                "numberOfShots": "double shot",
                "roast": "dark roast",
                "coffeeDrink": "latte",
                "sugarAmount": "a lot of brown sugar",
                "milkAmount": "some skim milk",
            },
        ),
        ("coffee", "drip coffee", "orderDrink", {"coffeeDrink": "drip coffee"}),
    ],
)
def test_the_grammars_of_the_package_mean_what_they_should(name, text, intent, slots):
    read = Grammar.load(name).parse(text)
    assert (intent, slots) == (None, {}) if read is None else (read.intent, dict(read.slots)) == (intent, slots)


def test_the_household_grammar_is_drawn_as_its_weights_say():
    grammar = Grammar.load("household")
    assert not grammar.notes and len(grammar.words()) > 200
    rng = np.random.default_rng(7)
    drawn = [grammar.draw(rng) for _ in range(4000)]
    share = collections.Counter(sentence.intent for sentence in drawn)
    assert share["Digits"] / 4000 == pytest.approx(1 / 4, abs=0.03)
    assert share["SetLight"] / 4000 == pytest.approx(11 / 120, abs=0.02)
    lengths = collections.Counter(len(s.text.split()) for s in drawn if s.intent == "Digits")
    assert sorted(lengths) == list(range(1, 9)) and min(lengths.values()) > 0.5 * max(lengths.values())
    percents = [s.slots["percent"] for s in drawn if "percent" in s.slots]
    assert sum(percent % 10 == 0 for percent in percents) / len(percents) == pytest.approx(0.25 + 0.625 / 11, abs=0.1)


def test_brackets_without_end_are_refused_and_do_not_end_the_process(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text("language: en\nintents: " + "[" * 100_000, encoding="utf-8")
    with pytest.raises(GrammarError, match=r"my\.yaml:2: is nested more than 100 levels deep; close its brackets"):
        Grammar.load(path)
