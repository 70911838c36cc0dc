"""The run configuration: one file documents it, and every mistake is reported by file, line, key and cure."""

import functools
import itertools
import re
import unicodedata
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from speechgru.config.load import known_keys, load_config, save_config
from speechgru.config.sections import RunConfig, TextConfig
from speechgru.errors import ConfigError, UserError

CONFIGS = Path(__file__).parents[1] / "configs"
SWEEPS = set(CONFIGS.glob("sweep_*.yaml"))  # `test_tune.py` loads those


@pytest.fixture
def load(tmp_path):
    """Loads a text as a configuration file."""

    def load(text, *overrides):
        path = tmp_path / "run.yaml"
        path.write_text(text, encoding="utf-8")
        return load_config(path, overrides)

    return load


@pytest.fixture
def refused(load, tmp_path):
    """The message with which a text is refused, without the folder's name."""

    def refused(text, *overrides):
        with pytest.raises(ConfigError) as caught:
            load(text, *overrides)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return refused


# The file and the types


def test_base_lists_exactly_the_keys_of_the_types_in_their_order():
    document = yaml.safe_load((CONFIGS / "base.yaml").read_text(encoding="utf-8"))
    assert [f"{section}.{key}" for section, keys in document.items() for key in keys] == known_keys()


def test_base_shows_every_default():
    assert load_config(CONFIGS / "base.yaml") == RunConfig()


def test_every_key_of_base_has_a_comment():
    lines = (CONFIGS / "base.yaml").read_text(encoding="utf-8").split("\n")
    keys = [line for line in lines if re.match(r"  \w+:", line)]
    assert len(keys) == len(known_keys())
    assert not [line for line in keys if not re.search(r"  ?# \w.{4,}", line)]


# Some 300 bytes that stand for a thousand million values.
BOMB = "a: &a [x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in itertools.pairwise("abcdefghij")
)


@pytest.mark.parametrize("path", sorted(set(CONFIGS.glob("*.yaml")) - SWEEPS), ids=lambda path: path.name)
def test_shipped_configurations_load(path):
    assert isinstance(load_config(path), RunConfig)


# What is read


def test_a_run_that_was_begun_with_subwords_of_no_use_is_still_read(tmp_path):
    (tmp_path / "run.yaml").write_text("text: {unit: character, subwords: 150, subword_method: bpe}\n")
    assert load_config(tmp_path / "run.yaml", stored=True).text.subwords == TextConfig().subwords
    with pytest.raises(ConfigError, match="subwords is 150, but unit is character"):
        load_config(tmp_path / "run.yaml")


def test_numbers_are_what_people_mean(load):
    config = load("train: {learning_rate: 1e-3, weight_decay: 2E-4, clip_norm: 1, seed: 0x10, max_steps: 1_000}")
    assert config.train.learning_rate == 0.001
    assert config.train.weight_decay == 2e-4
    assert (config.train.clip_norm, config.train.seed, config.train.max_steps) == (1.0, 16, 1000)


def test_empty_file_and_empty_section_mean_the_defaults(load):
    assert load("") == load("# only a comment\n") == load("augment:\nmodel:\n") == RunConfig()


def test_times_and_dates_stay_text(load):
    assert load("data: {dev: 2024-01-01}").data.dev.endswith("2024-01-01")
    assert load("data: {dev: 12:30}").data.dev.endswith("12:30")


def test_one_manifest_or_several(load, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load("data: {train: a.jsonl}").data.train == (str(tmp_path / "a.jsonl"),)
    assert load("data: {train: [a.jsonl, /b.jsonl]}").data.train == (str(tmp_path / "a.jsonl"), "/b.jsonl")


def test_paths_are_relative_to_their_file_and_found_from_the_current_folder(tmp_path, monkeypatch):
    folder, here, home = tmp_path / "configs", tmp_path / "here", tmp_path / "home"
    for place in (folder, here, home):
        place.mkdir()
        (place / "both.jsonl").touch()
    (here / "here.jsonl").touch()
    (folder / "words.yaml").touch()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    (folder / "run.yaml").write_text(
        "data: {train: [both.jsonl, here.jsonl, ../none.jsonl, ~/both.jsonl], dev: both.jsonl, negatives: here.jsonl,"
        " grammar: words.yaml}\naugment: {noise_manifest: both.jsonl, noise_kinds: [recorded]}\n"
        "train: {start_from: first}\n"
    )
    config = load_config(folder / "run.yaml")
    expected = (folder / "both.jsonl", here / "here.jsonl", tmp_path / "none.jsonl", home / "both.jsonl")
    assert config.data.train == tuple(map(str, expected))
    assert (config.data.dev, config.data.negatives) == (str(folder / "both.jsonl"), (str(here / "here.jsonl"),))
    assert config.data.grammar == str(folder / "words.yaml")
    assert config.augment.noise_manifest == str(folder / "both.jsonl")
    assert config.train.start_from == str(folder / "first")
    (folder / "run.yaml").write_text("data: {grammar: lights}\ntrain: {start_from: base}\n")
    config = load_config(folder / "run.yaml", ["data.dev=both.jsonl", "data.train=[x.jsonl]"])
    assert (config.data.grammar, config.train.start_from) == ("lights", "base"), "names and no paths"
    assert (config.data.dev, config.data.train) == (str(here / "both.jsonl"), (str(here / "x.jsonl"),))


def test_overrides_are_read_as_yaml_and_the_last_wins(load):
    config = load(
        "model: {units: 64}", "model.units=96", "train.learning_rate=1e-4", " model . units = 7", "data.dev=~"
    )
    assert config.model.units == 7
    assert config.train.learning_rate == 1e-4
    assert config.data.dev is None


def test_an_override_mends_a_wrong_value(load):
    assert load("model: {units: many}", "model.units=3").model.units == 3


# What is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model:\n  unitz: 3", "run.yaml:2: unknown key model.unitz; did you mean model.units?"),
        (
            "model:\n  learning_rate: 3",
            "run.yaml:2: unknown key model.learning_rate; did you mean train.learning_rate?",
        ),
        ("\nmodl:\n  units: 3", "run.yaml:2: unknown key modl; did you mean model?"),
        ("units: 3", "run.yaml:1: unknown key units; did you mean model.units?"),
        (
            "wxyz: 3",
            "run.yaml:1: unknown key wxyz; the known ones are data, check, text, features, augment, model, train",
        ),
        ("model:\n  units: 3\n  units: 4", "run.yaml:3: model.units stands twice; keep one"),
        ("model: {}\ntrain: {}\nmodel: {}", "run.yaml:3: model stands twice; keep one"),
        ("model: 3", "run.yaml:1: model must be a section with keys below it, got 3"),
        ("model:\n  no: 3", "run.yaml:1: the key False is not text; the keys are named in configs/base.yaml"),
        ("- a", "run.yaml: expected sections such as 'model:' with keys below them"),
        (BOMB, "run.yaml: is not valid YAML (its aliases stand for more than 200,000 values; write out what they mean"),
        ("model: &a {units: *a}", "run.yaml: is not valid YAML (an alias stands for what it is in; take it out)"),
        ("model: {units: !!bool abc}", "run.yaml: is not valid YAML (a tag such as !!int or !!bool stands before a v"),
        ("model: {units: !!int ''}", "run.yaml: is not valid YAML (a tag such as !!int or !!bool stands before a v"),
        (f"model: {{units: {'9' * 5000}}}", "run.yaml: is not valid YAML (a number has thousands of digits)"),
        ("model:\n\tunits: 3", "run.yaml:2: is not valid YAML (found character '\\t' that cannot start any token)"),
        ("train: {max_steps: ten}", "run.yaml:1: train.max_steps: should be a valid integer, got 'ten'"),
        ("train: {max_steps: 1.5}", "run.yaml:1: train.max_steps: should be a valid integer, got 1.5"),
        ("train: {seed: true}", "run.yaml:1: train.seed: should be a valid integer, got True"),
        ("train: {max_steps: }", "run.yaml:1: train.max_steps: should be a valid integer, got nothing"),
        ('train: {clip_norm: "1"}', "run.yaml:1: train.clip_norm: should be a valid number, got '1'"),
        ("train: {clip_norm: .nan}", "run.yaml:1: train.clip_norm: should be a finite number, got nan"),
        (
            "augment: {noise_snr_db_max: .inf}",
            "run.yaml:1: augment.noise_snr_db_max: should be a finite number, got inf",
        ),
        ("text: {lowercase: 1}", "run.yaml:1: text.lowercase: should be a valid boolean, got 1"),
        (
            "model: {direction: sideways}",
            "model.direction: should be 'bidirectional', 'forward' or 'chunked', got 'sideways'",
        ),
        (
            "features: {n_mels: 128, mel_scale: htk}",
            "run.yaml:1: 1 of 128 mel filters hold no frequency bin (the first one around 78 Hz); use fewer "
            "features.n_mels or a longer features.frame_length_ms (n_fft is 512)",
        ),
        ("data: {train: 3}", "run.yaml:1: data.train: must be a manifest or a list of manifests, got 3"),
        ("text: {characters: abca}", "text.characters: holds 'a' more than once; each character has one label"),
        ('text: {characters: "a\\tb"}', "text.characters: holds '\\t'; a transcript's only white space is the space"),
        ("text: {unit: phone}", "text.unit: should be 'character', 'subword' or 'word', got 'phone'"),
        ("text: {normalization: NFD}", "text.normalization: should be 'NFC' or 'NFKC', got 'NFD'"),
        ("text: {words: [up]}", "text: words are given, but unit is character; set unit to word, or words to auto"),
        ("text: {unit: word, words: up}", "text.words: must be auto, grammar or a list of words, got 'up'"),
        ("text: {unit: word, words: []}", "text.words: must be auto, grammar or a list of words, got []"),
        (
            "text: {words: grammar}",
            "text: words are given, but unit is character; set unit to word, or words to auto",
        ),
        ("text: {unit: word, unknown_words: spell}", "text: unknown_words is spell, but with words: auto every word"),
        (
            "text: {unit: word, words: [up, on]}",
            "text.words: holds the YAML boolean true; put words such as yes, no, on",
        ),
        (
            "text: {unit: word, words: [7]}",
            "text.words: holds 7, which is not text; put it in quotes, or write the word",
        ),
        (
            "text: {unit: word, words: [up, '##a'], unknown_words: spell, keep_punctuation: '#'}",
            "text: words holds '##a', but with unknown_words: spell <unk>, \u2581 and ## mark what is no word",
        ),
        ("text: {unit: word, words: [up, up]}", "text: words holds 'up' more than once; each word has one label"),
        (
            "text: {unit: word, words: [Up]}",
            "words holds 'Up', which no transcript holds as one word after these rules: ",
        ),
        (
            "text: {unit: word, words: [get up]}",
            "words holds 'get up', which no transcript holds as one word after the",
        ),
        ("train: {ctc: gpu}", "train.ctc: should be 'auto', 'compiled', 'op' or 'xla', got 'gpu'"),
    ],
)
def test_mistakes_are_told_by_place_and_cure(refused, text, message):
    assert message in refused(text)


@pytest.mark.parametrize(
    "text", ["data: {dev: no}", "data: {train: no}", "text: {characters: off}", "model: {direction: on}"]
)
def test_a_bare_no_where_text_is_wanted_says_to_quote_it(refused, text):
    message = refused(text)
    assert re.search(r"run.yaml:1: \w+\.\w+ wants text, got the YAML boolean (true|false)", message)
    assert message.endswith('put it in quotes: "no"')


def test_a_quoted_no_is_text_and_a_bare_one_a_switch(load):
    assert load('text: {characters: "no"}').text.characters == "no"
    assert load("text: {lowercase: no}").text.lowercase is False


@pytest.mark.parametrize(
    ("key", "value", "bound"),
    [
        ("data.sample_rate", 100, "greater than or equal to 4000"),
        ("data.max_skipped_share", 1.5, "less than or equal to 1"),
        ("data.num_workers", 0, "greater than or equal to 1"),
        ("features.hop_length_ms", 0, "greater than 0"),
        ("features.frame_length_ms", "1e9", "less than or equal to 1000"),
        ("augment.time_mask_share", -0.1, "greater than or equal to 0"),
        ("model.dropout", 1, "less than 1"),
        ("model.subsampling_factor", 9, "less than or equal to 8"),
        ("model.num_layers", 0, "greater than or equal to 1"),
        ("train.seed", -1, "greater than or equal to 0"),
        ("train.seed", 2**31, "less than 2147483648"),
        ("train.learning_rate", 0, "greater than 0"),
    ],
)
def test_ranges_are_checked(refused, key, value, bound):
    assert f"override '{key}={value}': {key}: should be {bound}, got" in refused("", f"{key}={value}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "features:\n  f_max_hz: 9000",
            "run.yaml:2: features.f_max_hz (9000) must not exceed half of data.sample_rate (8000)",
        ),
        (
            "data: {sample_rate: 8000}\nfeatures:\n  f_min_hz: 4000",
            "run.yaml:3: features.f_min_hz (4000) must be below",
        ),
        (
            "features: {hop_length_ms: 0.01}",
            "run.yaml:1: features.hop_length_ms and frame_length_ms must span at least",
        ),
        ("data: {min_duration_seconds: 40}", "run.yaml:1: data.min_duration_seconds must be below data.max_duration"),
        ("augment: {noise_snr_db_min: 50}", "run.yaml:1: augment: noise_snr_db_min (50.0) must not exceed"),
    ],
)
def test_keys_that_do_not_go_together_are_reported(refused, text, message):
    assert message in refused(text)


@pytest.mark.parametrize(
    "override", ["", "=", "a=b", "model.units", "model=3", "model.units.x=3", ".units=3", "model.=3"]
)
def test_an_override_of_another_form_is_refused(refused, override):
    expected = f"override {override!r}: expected section.key=value, such as train.learning_rate=1e-3"
    assert refused("", override) == expected


def test_an_override_is_named_in_its_error(refused):
    assert refused("", "modle.units=3") == "override 'modle.units=3': unknown key modle; did you mean model?"
    assert refused("", "model.unit=3").startswith(
        "override 'model.unit=3': unknown key model.unit; did you mean model."
    )
    assert refused("model: {units: 4}", "model.units=x").startswith("override 'model.units=x': model.units: should be")
    assert refused("", "model.units=[").startswith("override 'model.units=[': the value is not valid YAML")
    assert "\n" not in refused("", "model.units=[")


def test_all_mistakes_are_told_at_once(refused):
    assert len(refused("model: {unitz: 3}\ntrain: {max_steps: 0, seed: x}").split("\n")) == 3


@pytest.mark.parametrize(
    "text",
    [
        "model: &x {units: *x}", "train: {seed: !!int abc}", "train: {clip_norm: !!float abc}", "a: !!timestamp x",
        "!!int abc: 3", "model: !!python/object:os.system {}", "? [a, b]\n: c", "a: b\n---\nc: d", 'x: "\x01"', "a: *b",
        "model: {units: 3\n",
    ],
)  # fmt: skip
def test_broken_yaml_is_one_message(refused, text):
    message = refused(text)
    assert re.match(r"run.yaml(:\d+)?: is not valid YAML \(.+\)$", message), message


@given(st.text(alphabet="mode l:units{}[]&*!?-#'\"\n\t|>%@`,1.e~", max_size=40))
def test_any_text_is_a_configuration_or_one_readable_error(tmp_path, text):
    path = tmp_path / "any.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        loaded, message = load_config(path), str(path)
    except ConfigError as error:
        loaded, message = RunConfig(), str(error)
    assert isinstance(loaded, RunConfig)
    assert message.startswith(str(path))


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: no such configuration file; start from one in configs/"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match=r"is a folder; name a YAML file, and none is in it$"):
        load_config(tmp_path)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"is a folder; name a YAML file, such as .*binary\.yaml"):
        load_config(tmp_path)
    with pytest.raises(ConfigError, match=r"binary\.yaml: begins with the mark of UTF-16 text, and is none"):
        load_config(binary)


# What is kept


#: YAML reads some of these as numbers, booleans or nothing where they stand without quotes.
_TRICKY = [
    "0123456789",
    "1e3",
    "no",
    "yes",
    "~",
    "null",
    ".5",
    "0x1f",
    "12:3",
    "=",
    "",
    "-",
    "? ",
    "#a",
    "{a",
    "é日😀",
    "auto",
]
_CHARACTERS = st.sampled_from(_TRICKY) | st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs"]) | st.just(" "), max_size=12
).map(lambda text: "".join(dict.fromkeys(text))).filter(functools.partial(unicodedata.is_normalized, "NFC"))


@given(
    characters=_CHARACTERS,
    rate=st.floats(1e-12, 1e12),
    floor=st.floats(1e-300, 1),
    dropout=st.floats(0, 1, exclude_max=True),
    steps=st.integers(1, 10**9),
    f_max_hz=st.none() | st.floats(3000, 8000),
    dev=st.none() | st.text("ab/é: #'\"no~-", min_size=1, max_size=9).map(lambda name: f"/x{name}y"),
)
def test_a_saved_configuration_loads_as_itself(tmp_path, characters, rate, floor, dropout, steps, f_max_hz, dev):
    config = RunConfig.model_validate(
        {
            "data": {"dev": dev},
            "text": {"characters": characters},
            "features": {"log_floor": floor, "f_max_hz": f_max_hz},
            "model": {"dropout": dropout},
            "train": {"learning_rate": rate, "max_steps": steps},
        }
    )
    save_config(tmp_path / "saved.yaml", config)
    assert load_config(tmp_path / "saved.yaml") == config


def test_a_saved_configuration_holds_every_key(tmp_path):
    save_config(tmp_path / "saved.yaml", RunConfig(text=TextConfig(characters="ab")))
    document = yaml.safe_load((tmp_path / "saved.yaml").read_text(encoding="utf-8"))
    assert [f"{section}.{key}" for section, keys in document.items() for key in keys] == known_keys()


def test_words_are_kept_as_they_are(tmp_path):
    text = TextConfig(unit="word", words=["no", "1e3", "50%"], keep_punctuation="%")
    save_config(tmp_path / "saved.yaml", RunConfig(text=text))
    assert load_config(tmp_path / "saved.yaml").text == text


def test_texts_are_normalised_by_every_rule():
    assert TextConfig().normalize("Don\u2019t \ufb01ne-tune 50%!") == "don't \ufb01ne tune 50"
    rules = TextConfig(normalization="NFKC", lowercase=False, keep_punctuation="-%")
    assert rules.normalize("Don\u2019t \ufb01ne-tune 50%!") == "Don't fine-tune 50%"
    assert TextConfig(remove_punctuation=False).normalize("Stop!") == "stop!"


def test_a_vocabulary_is_read_in_the_form_that_transcripts_have(load):
    decomposed = unicodedata.normalize("NFD", "a\u00e9\u00fc")
    assert len(decomposed) == 5 and load(f"text: {{characters: {decomposed!r}}}").text.characters == "a\u00e9\u00fc"
    words = load(f"text: {{unit: word, words: [{decomposed!r}]}}").text.words
    assert words == ("a\u00e9\u00fc",)


def test_a_runs_file_from_before_a_key_means_what_was_done_then(tmp_path, load):
    old = "text: {lowercase: true, remove_punctuation: true, characters: ab}"
    assert load(old).text.normalization == "NFC"
    path = tmp_path / "config.yaml"
    path.write_text(old)
    assert load_config(path, stored=True).text == TextConfig(characters="ab", normalization="NFKC")
    save_config(path, RunConfig())
    assert load_config(path, stored=True) == RunConfig()


def test_a_configuration_cannot_be_changed_after_it_is_made():
    config = RunConfig()
    with pytest.raises(ValueError, match="frozen"):
        config.model.units = 3


def test_lengths_in_samples():
    config = RunConfig.model_validate({"data": {"sample_rate": 8000}, "model": {"subsampling_factor": 3}})
    assert (config.frame_length, config.hop_length, config.n_fft) == (200, 80, 256)
    assert (config.f_max_hz, config.step_seconds) == (4000, 0.03)


def test_its_errors_are_user_errors():
    assert issubclass(ConfigError, UserError)
    assert issubclass(UserError, ValueError)


def test_a_language_is_a_tag_and_norwegian_a_text(load, refused):
    assert load("text: {language: pt-BR}").text.language == "pt-BR" and load("").text.language is None
    assert load('text: {language: "no"}').text.language == "no"
    assert "got the YAML boolean false" in refused("text: {language: no}")
    assert "a tag such as en, de or pt-BR, got 'English language'" in refused("text: {language: English language}")
