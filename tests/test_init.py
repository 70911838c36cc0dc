"""`speechgru init` and `speechgru config`: a configuration to start from, and what may stand in one."""

import json
import re
import sys
from unittest.mock import ANY

import pytest
import yaml

from speechgru.cli import console
from speechgru.config import known_keys, load_config
from speechgru.config.explained import explain, packaged_files, summaries
from speechgru.config.starting import USES, write_config
from speechgru.errors import ConfigError
from speechgru.packaged import CONFIGS


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs the command line in an empty folder; gives the exit code and what was printed on each stream."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["speechgru", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            console.main()
        return caught.value.code or 0, *capsys.readouterr()

    return run


@pytest.fixture
def answers(monkeypatch):
    """Gives `init` a person who answers."""

    def answer(*given):
        left = list(given)
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr("builtins.input", lambda prompt: left.pop(0))

    return answer


# init


@pytest.mark.parametrize("of_grammar", [True, False])
@pytest.mark.parametrize("use", USES)
def test_what_init_writes_is_a_configuration_of_the_right_direction(tmp_path, use, of_grammar):
    path = write_config(tmp_path / "my.yaml", use=use, data="data/my house", of_grammar=of_grammar)
    config = load_config(path)
    assert (config.model.direction == "bidirectional") == (use == "files")
    assert config.data.dev == str(tmp_path / "data" / "my house" / "dev.jsonl")
    assert (config.data.grammar is not None) == of_grammar == (config.text.words == "grammar")
    # The base reads whole utterances.
    assert (config.train.start_from == "base") == (of_grammar and use == "files")
    assert "#" in path.read_text(encoding="utf-8"), "it says why"


def test_init_overwrites_nothing(tmp_path, run):
    (tmp_path / "my.yaml").write_text("data: {}\n", encoding="utf-8")
    code, _, err = run("init", "my.yaml", "--use", "files", "--grammar", "household")
    assert code == 2 and "my.yaml: is there already, and nothing is overwritten" in err
    with pytest.raises(ConfigError, match="is there already"):
        write_config(tmp_path / "my.yaml", use="files", data="data")
    assert (tmp_path / "my.yaml").read_text(encoding="utf-8") == "data: {}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "what will it transcribe: give --use files or --use microphone"),
        (["--use", "files"], "what is it made from: give --grammar FILE or --recordings FOLDER"),
        (["--use", "phone"], "--use is files or microphone, got 'phone'"),
        (["--use", "files", "--recordings", "none"], "none: no such folder"),
        (["--use", "files", "--recordings", "."], ".: holds neither recordings nor a train.jsonl"),
        (
            ["--use", "files", "--recordings", ".", "--grammar", "digits"],
            "--grammar and --recordings exclude each other",
        ),
        (["--use", "files", "--grammar", "none.yaml"], "none.yaml"),
    ],
)
def test_without_a_terminal_init_says_which_option_is_missing_or_wrong(tmp_path, run, monkeypatch, arguments, message):
    pytest.importorskip("hassil", reason="reads grammars with hassil (extra train)")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    code, _, err = run("init", "my.yaml", *arguments)
    assert code == 2 and message in err
    assert not (tmp_path / "my.yaml").exists()


def test_init_asks_first_whether_the_model_must_stream(tmp_path, run, answers):
    pytest.importorskip("hassil", reason="reads grammars with hassil (extra train)")
    answers("x", "mic", "g", "digits")
    code, out, err = run("init", "my.yaml")
    assert code == 0, err
    assert re.search(
        "What will it transcribe.*files: .*never stream.*microphone: .*What is it made from", err, re.DOTALL
    )
    assert out == "my.yaml: for microphone, from a grammar\n"
    assert err.splitlines()[-1] == "next: speechgru prepare commands --grammar digits --out data/my"
    assert load_config(tmp_path / "my.yaml").model.direction == "chunked"


def test_init_takes_recordings_and_corpora_that_are_prepared(tmp_path, run, write_wav):
    write_wav(tmp_path / "mine")
    code, _, err = run("init", "a.yaml", "--use", "files", "--recordings", "mine")
    assert (code, err) == (0, "reading mine\nnext: speechgru prepare folder --source mine --out data/a\n")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "train.jsonl").touch()
    code, _, err = run("init", "b.yaml", "--use", "files", "--recordings", "corpus")
    assert (code, err) == (0, "reading corpus\nnext: speechgru train b.yaml --run runs/b\n")
    assert load_config(tmp_path / "b.yaml").data.train == (str(tmp_path / "corpus" / "train.jsonl"),)


def test_init_tells_a_program_what_it_wrote_and_what_is_next(run, answers):
    code, out, err = run("init", "my.yaml", "--use", "files", "--grammar", "digits", "--json")
    written = json.loads(out)
    assert (code, err) == (0, "") and written["config"] == "my.yaml" and written["recordings"] is None
    assert written["next"] == ["speechgru", "prepare", "commands", "--grammar", "digits", "--out", "data/my"]
    answers("files")  # a program is asked nothing, even at a terminal
    assert run("init", "b.yaml", "--json") == (2, "", ANY)
    assert run("init", "my.yaml", "--use", "files", "--grammar", "digits", "--json")[:2] == (2, "")


# config


def test_every_key_is_explained_by_base_yaml_and_the_types():
    explained = explain()
    assert list(explained) == list(dict.fromkeys(explained)) and set(explained) == set(known_keys())
    assert all(each.meaning and each.kind for each in explained.values())
    assert explained["train.ema"].kind == "a number, 0 or more, below 1"
    assert explained["train.monitor"].meaning.endswith("then dev's CTC loss, and then the earlier are kept")
    base = yaml.safe_load((CONFIGS / "base.yaml").read_text(encoding="utf-8"))
    for key, each in explained.items():
        section, name = key.split(".")
        assert yaml.safe_load(each.default) == base[section][name], key


def test_every_packaged_file_says_what_it_is_for():
    assert set(summaries()) == set(packaged_files()) >= {"base", "commands", "grammars/household"}
    assert all(len(summary) >= 20 for summary in summaries().values())


def test_config_prints_files_as_they_are(run):
    code, out, err = run("config", "commands")
    assert code == 0 and out == (CONFIGS / "commands.yaml").read_text(encoding="utf-8")
    assert err == "next: speechgru train commands --run runs/first data.train=TRAIN data.dev=DEV\n"
    assert json.loads(run("config", "grammars/digits", "--json")[1])["name"] == "grammars/digits"


def test_config_lists_files_and_explains_sections_and_keys(run):
    assert "quickstart" in run("config")[1]
    assert json.loads(run("config", "--json")[1])["sections"][0] == "data"
    (key,) = json.loads(run("config", "model.units", "--json")[1])
    assert key == {
        "key": "model.units",
        "default": "128",
        "kind": "a whole number, 1 or more",
        "meaning": "width of each, per direction",
    }
    assert {each["key"].split(".")[0] for each in json.loads(run("config", "check", "--json")[1])} == {"check"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [("commads", "commands"), ("units", "model.units"), ("digits", "grammars/digits"), ("model.unitz", "model.units")],
)
def test_config_knows_what_was_meant(run, name, hint):
    code, out, err = run("config", name)
    assert (code, out) == (2, "") and f"did you mean {hint}?" in err


def test_a_packaged_configuration_is_named_without_its_folder_and_its_files_are_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load_config("quickstart")
    assert config.data.dev == str(tmp_path / "data" / "synthetic" / "dev.jsonl")
    assert config.data.grammar == str(CONFIGS / "grammars" / "household.yaml")
    (tmp_path / "quickstart").write_text("model: {units: 8}\n", encoding="utf-8")
    assert load_config("quickstart").model.units == 8, "a file of one's own comes first"
