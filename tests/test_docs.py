"""README and docs/ are held true: links lead somewhere, commands are the real ones, examples run, messages exist."""

import ast
import functools
import importlib.util
import io
import json
import re
import shlex
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from language_models import random_model
from pages import DOCS, PAGES, ROOT, blocks, lights, name_of, read, shell_lines, without_blocks
from rich.console import Console
from spelt import RATE, STREAMS, say

from speechgru.cli import app, console
from speechgru.cli.corpus import _fold_flags
from speechgru.config import known_keys, load_config
from speechgru.corpora import find_corpus
from speechgru.grammar import Grammar
from speechgru.language.compact import write_compact
from speechgru.language.kneser_ney import train
from speechgru.runtime import Recognizer
from speechgru.runtime import recognizer as recognizer_module
from speechgru.text import Vocabulary
from speechgru.tune.sweep_file import load_sweep
from speechgru.utterances import read_manifest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def commands_in_text(page):
    """The words of each command that stands inside a line of text, such as `speechgru listen`."""
    text = re.sub(r"\*\*`[^`]*`\*\*", "", without_blocks(page))  # a message that is explained
    for match in re.finditer(r"`((?:speechgru|make|python|pip) [^`]+)`", " ".join(text.split())):
        yield shlex.split(match[1], comments=True)


# -- links -----------------------------------------------------------------------------------------------------------


def headings(page):
    """The anchors of a page's headings, as code hosts and the site make them."""
    titles = re.findall(r"^#+ (.+)$", without_blocks(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@every_page
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", " ".join(without_blocks(page).split())):
        assert "://" not in target, f"{target}: pages name other hosts in words, since nobody checks such links here"
        file, _, heading = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        assert found.exists(), f"{name_of(page)} links to {target}"
        assert not heading or heading in headings(found), (
            f"{name_of(page)} links to {target}: {sorted(headings(found))}"
        )


def test_every_page_is_reached_from_the_home_page():
    seen, left = set(), [DOCS / "index.md"]
    while left:
        page = left.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        targets = re.findall(r"\]\(([^)\s#]+)", without_blocks(page))
        left += [(page.parent / target).resolve() for target in targets if (page.parent / target).is_file()]
    missing = set(DOCS.rglob("*.md")) - seen
    assert not missing, f"no page leads to {sorted(map(name_of, missing))}"


def test_the_readme_is_what_a_newcomer_reads():
    lines = read(ROOT / "README.md").splitlines()
    assert len(lines) <= 150
    text = "\n".join(lines)
    for what in ("make quickstart ", "make test ", "](docs/quickstart.png)", "eSpeak NG", "](docs/results.md)"):
        assert what in text


def test_every_figure_of_the_scoreboard_has_its_command_and_date():
    page = read(DOCS / "results.md")
    rows = re.findall(r"^\| .* \|$", page.split("## Scoreboard")[1].split("\n## ")[0], flags=re.MULTILINE)[1:]
    assert len(rows) >= 20
    for row in rows:
        what, figure, _, command, seed, cores, date = (cell.strip() for cell in row.strip("|").split("|"))
        assert what and re.search(r"\d", figure), row
        assert "`" in command and seed and cores, row
        assert re.fullmatch(r"20\d\d-\d\d-\d\d, [0-9a-f]{7}", date), row


def test_the_readme_s_shares_are_those_of_the_results():
    text, results = without_blocks(ROOT / "README.md"), read(DOCS / "results.md")
    shares = re.findall(r"\d+(?:\.\d+)? %", text)
    assert len(shares) >= 5
    assert not set(shares) - set(re.findall(r"\d+(?:\.\d+)? %", results))
    table = next(block for _, block in blocks(ROOT / "README.md") if "Keras" in block)
    assert table in dict.fromkeys(block for _, block in blocks(DOCS / "howto" / "quickstart.md"))
    for share in re.findall(r"^(?:Keras|TFLite dynamic) +(\S+)%", table, flags=re.MULTILINE):
        assert f"{share} %" in results


# -- commands --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parse():
    """The words of a command -> (its function's name, the arguments that it would be called with).

    The command line is the real one but for the functions, which are not called.
    """
    called = []

    def recorded(callback):
        @functools.wraps(callback)
        def record(*args, **kwargs):
            called.append((callback.__name__, kwargs))

        return record

    def copy_of(group):
        copy = typer.Typer(name=group.info.name, no_args_is_help=True, add_completion=False)
        for command in group.registered_commands:
            options = {"name": command.name, "cls": command.cls, "context_settings": command.context_settings}
            copy.command(**options)(recorded(command.callback))
        for below in group.registered_groups:
            copy.add_typer(copy_of(below.typer_instance), name=below.name or below.typer_instance.info.name)
        return copy

    command = typer.main.get_command(copy_of(app))

    def parse(words):
        called.clear()
        assert words[0] == "speechgru"
        command(words[1:], standalone_mode=False)
        assert len(called) == 1, words
        return called[0]

    return parse


def check_keys(overrides, tmp_path, *, config=None):
    """Reads `KEY=VALUE` as training does, over a configuration of the repository or the defaults."""
    file = ROOT / config if config and (ROOT / config).is_file() else tmp_path / "my.yaml"
    if file.parent == tmp_path:
        file.write_text("data: {train: a.jsonl, dev: b.jsonl}\n", encoding="utf-8")
    load_config(file, ["data.train=a.jsonl", *(one for one in overrides if not one.startswith("data.grammar="))])


@every_page
def test_every_command_of_a_block_is_one_that_the_command_line_takes(page, parse, tmp_path):
    for words in shell_lines(page):
        if words[0] == "speechgru":
            name, given = parse(words)
            if name == "prepare":
                corpus = find_corpus(given["corpus"])
                switches = {key for key, option in corpus.options.items() if option.kind is bool}
                corpus.parse_options(_fold_flags(given["options"] or [], switches=switches))
            if name in ("train", "adapt", "tune"):
                config = given.get("config")
                check_keys(given.get("overrides") or [], tmp_path, config=config and str(config))
            for word in words:
                if word.startswith("configs/"):
                    assert (ROOT / word).exists(), f"{name_of(page)}: {word}"
        else:
            check_program(words, page)


@every_page
def test_commands_inside_text_have_verbs_and_options_that_exist(page, tmp_path):
    groups = {group.name: group.typer_instance for group in app.registered_groups}
    for words in commands_in_text(page):
        if words[0] != "speechgru":
            check_program(words, page)
            continue
        verbs, rest = app, [word for word in words[1:] if word not in ("VERB", "...")]
        if not rest or rest[0].startswith("--"):
            continue  # speechgru --help
        if rest[0] in groups:
            verbs, rest = groups[rest[0]], rest[1:]
        callbacks = {one.name or one.callback.__name__: one.callback for one in verbs.registered_commands}
        assert rest[0] in callbacks, f"{name_of(page)}: {' '.join(words)}"
        known = options_of(callbacks[rest[0]])
        for word in rest[1:]:
            if word.startswith("--") and rest[0] != "prepare":
                assert word.split("=")[0] in known | {"--help"}, f"{name_of(page)}: {' '.join(words)}"


@functools.cache
def options_of(callback):
    lone = typer.Typer(add_completion=False)
    lone.command()(callback)
    command = typer.main.get_command(lone)
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


@every_page
def test_keys_inside_text_exist(page):
    sections = {key.split(".")[0] for key in known_keys()}
    for code in re.findall(r"`([^`\n]+)`", without_blocks(page)):
        for section, key in re.findall(r"(?<![\w./-])([a-z]+)\.([a-z_]+)(?=[=:,\s\]]|$)", code):
            if section in sections and not code.startswith(("speechgru.", "import ")) and "(" not in code:
                exists = f"{section}.{key}" in known_keys() or (section, key) in FILES_LIKE_KEYS
                assert exists, f"{name_of(page)}: {code} names no key of the configuration"


#: Files whose names look like a key.
FILES_LIKE_KEYS = {("model", "tflite"), ("text", "py"), ("train", "jsonl"), ("train", "py"), ("train", "train")}


def check_program(words, page):
    """Whether a command of another program is one of ours, and has the options that it is given."""
    where = f"{name_of(page)}: {' '.join(words)}"
    program, *rest = words
    if program == "make":
        targets = re.findall(r"^([\w$()/.-]+):", read(ROOT / "Makefile"), flags=re.MULTILINE)
        known = {target.replace("$(VENV)", ".venv") for target in targets}
        for word in rest:
            assert "=" in word or word in known or "-C" in rest or page.parent.parent.name == "examples", where
    elif program == "pip":
        extras = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
        for word in rest:
            for extra in (re.search(r"^(?:\.|speechgru)\[(.+)\]$", word) or ["", ""])[1].split(","):
                assert not extra or extra in extras, where
    elif (program == "python" or program.endswith("/python")) and rest[:1] != ["-m"]:
        script = ROOT / rest[0]
        assert script.is_file(), where
        # A pipeline may take further options of one that it is made of.
        text = "".join(
            read(file) for file in [script, *script.parent.glob("*.py")] if file == script or "pipelines" in rest[0]
        )
        for word in rest[1:]:
            if word.startswith("--"):
                assert f'"{word.split("=")[0]}"' in text, where


def test_lines_that_are_wrong_are_found(parse, tmp_path):
    """What the tests above stand on: a mistyped option, a missing argument, a key that is not there."""
    name, given = parse(["speechgru", "transcribe", "bundle", "a.wav", "--n-best", "3"])
    assert (name, given["audio"], given["n_best"]) == ("transcribe", [Path("a.wav")], 3)
    for wrong in ("train my.yaml --runn a", "train my.yaml", "trane my.yaml --run a", "evaluate a --manifest"):
        with pytest.raises(Exception, match=r"(?i)no such|missing|requires"):
            parse(["speechgru", *wrong.split()])
    with pytest.raises(Exception, match="unit"):
        check_keys(["model.unitz=3"], tmp_path)
    page = tmp_path / "page.md"
    page.write_text("a\n\n```\nTF_CONFIG='{\"a\": 1}' \\\n  speechgru train a.yaml --run b # c\nreference  x\n```\n")
    assert list(shell_lines(page)) == [["speechgru", "train", "a.yaml", "--run", "b"]]


# -- configurations, grammars, sweeps, manifests ---------------------------------------------------------------------


@every_page
def test_yaml_and_json_blocks_are_read_by_what_reads_them(page, tmp_path):
    for number, (language, text) in enumerate(blocks(page)):
        file = tmp_path / f"{number}.yaml"
        if language == "json":
            for line in text.splitlines():
                manifest = tmp_path / "a.jsonl"
                manifest.write_text(line + "\n", encoding="utf-8")
                assert len(read_manifest(manifest)) == 1
        if language != "yaml":
            continue
        file.write_text(text, encoding="utf-8")
        if re.search(r"^space:", text, flags=re.MULTILINE):
            (tmp_path / "my.yaml").write_text("data: {train: a.jsonl, dev: b.jsonl}\n", encoding="utf-8")
            assert load_sweep(file).sweep.budget
        elif re.search(r"^intents:", text, flags=re.MULTILINE):
            assert Grammar.load(file).intents
        else:
            load_config(file, ["data.train=a.jsonl"])


# -- examples in Python ----------------------------------------------------------------------------------------------

PYTHON = [(page, number) for page in PAGES for number, (kind, _) in enumerate(blocks(page)) if kind == "python"]
HEARD = "turn on the kitchen light"


@pytest.fixture
def letters(monkeypatch):
    """A folder with a bundle whose model writes `HEARD` whatever it gets; gives a function that makes it."""
    vocabulary = Vocabulary(" 'abcdefghijklmnopqrstuvwxyz")
    rows = []
    for label in vocabulary.encode(HEARD):
        for on in (label, 0):
            rows.append(np.full(len(vocabulary), 0.1 / (len(vocabulary) - 1)))
            rows[-1][on] = 0.9

    class Engine:
        streams = False

        def __init__(self, path, **options):
            pass

        def recognize(self, samples_N):
            return np.log(np.array(rows, np.float32))

    def make(folder, *, grammar=None):
        monkeypatch.setattr(recognizer_module, "Engine", Engine)
        metadata = {
            "bundle_version": 3, "sample_rate": RATE, "step_seconds": 0.04, "unit": "character",
            "entries": list(vocabulary.entries), "text": {}, "models": {"none": {"file": "model.tflite"}},
            "default_form": "none", "grammar": grammar and grammar.as_record(),
        }  # fmt: skip
        folder.mkdir()
        (folder / "bundle.json").write_text(json.dumps(metadata), encoding="utf-8")
        shutil.copy(ROOT / "tests" / "data" / "bundles" / "v1" / "model.tflite", folder)
        return folder

    return make


@pytest.mark.parametrize(("page", "number"), PYTHON, ids=[f"{name_of(page)}-{number}" for page, number in PYTHON])
def test_python_of_the_pages_runs(page, number, letters, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = list(blocks(page))[number][1]
    if "keras" in text:
        pytest.importorskip("keras", reason="the example is of a Keras layer")
    samples = say("ab").astype(np.float32) / 32768
    soundfile.write("hello.wav", samples, RATE)
    (tmp_path / "lights.yaml").write_text(lights(), encoding="utf-8")
    write_compact(train([HEARD.split()], order=2).model, "lm.ngram")
    given = {"samples": samples, "sample_rate": RATE}
    if "keyword_stream(" in text:
        listening = Recognizer(STREAMS).keyword_stream(RATE, {"ab": 0.0})
        recognizer = types.SimpleNamespace(keyword_stream=lambda sample_rate: listening)
        given |= {"recognizer": recognizer, "microphone": np.array_split(samples, 5)}
    elif "stream(" in text:
        given |= {"recognizer": Recognizer(STREAMS), "microphone": np.array_split(samples, 5)}
    else:
        pytest.importorskip("hassil", reason="a grammar's file is read with hassil (extra train)")
        letters(tmp_path / "bundle", grammar=Grammar.load("lights.yaml"))
        given["recognizer"] = Recognizer("bundle")
        if "model.gru" in text:  # one that finds every text as probable as any other
            (tmp_path / "runs" / "language").mkdir(parents=True)
            random_model(given["recognizer"].vocabulary, scale=0.01).save("runs/language/model.gru")
    exec(compile(text, name_of(page), "exec"), given)
    if "hypothesis" in given:
        assert given["hypothesis"].text == HEARD
        if "grammar" in text:
            assert (given["hypothesis"].intent, given["hypothesis"].slots) == (
                "Light",
                {"state": "on", "room": "kitchen"},
            )
    if "last" in given:
        assert given["last"].text == "ab"


def test_the_first_page_s_grammar_is_that_of_the_page_on_grammars():
    assert lights() == next(text for kind, text in blocks(DOCS / "howto" / "grammars.md") if kind == "yaml")


# -- commands that are quick enough to run -----------------------------------------------------------------------------

#: (page, how a line of it begins): run in this order in one folder.
QUICK = [
    ("tutorials/first_commands.md", "speechgru grammar check lights.yaml"),
    ("tutorials/first_commands.md", "speechgru transcribe bundle hello.wav --grammar --json"),
    ("howto/decoding.md", 'speechgru transcribe bundle hello.wav --hotword "living room=4"'),
    ("howto/decoding.md", "speechgru transcribe bundle hello.wav --n-best 3 --json"),
    ("howto/decoding.md", "speechgru transcribe bundle hello.wav --phrases commands.txt"),
    ("howto/language_models.md", "speechgru language train sentences.txt --rules bundle --out lm.ngram"),
    ("howto/language_models.md", "speechgru language show lm.ngram --text dev.txt"),
    ("howto/language_models.md", "speechgru transcribe bundle hello.wav --language-model lm.ngram"),
    ("howto/recordings.md", "speechgru prepare folder --source my_recordings --out data/mine"),
    ("howto/tiny_corpora.md", "speechgru prepare folder --source my_recordings --out data/mine folds=5"),
    (
        "tutorials/big_corpus.md",
        "speechgru check data/big/train.jsonl data/big/dev.jsonl data/big/test.jsonl --out clean",
    ),
    ("howto/audio_formats.md", "speechgru transcribe bundle recordings"),
    ("tutorials/your_voice.md", "speechgru record --grammar lights.yaml --out me --from recordings"),
    ("tutorials/your_voice.md", "speechgru negatives add tv.wav --to tv.jsonl"),
]


def test_quick_commands_of_the_pages_run(letters, write_wav, tmp_path, monkeypatch, capsys):
    pytest.importorskip("hassil", reason="a grammar's file is read with hassil (extra train)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "err", Console(file=io.StringIO(), stderr=True))
    (tmp_path / "lights.yaml").write_text(lights(), encoding="utf-8")
    for name in ("commands.txt", "sentences.txt", "dev.txt"):
        (tmp_path / name).write_text(f"{HEARD}\nstop\n", encoding="utf-8")
    letters(tmp_path / "bundle", grammar=Grammar.load("lights.yaml"))
    for name in ("hello.wav", "tv.wav"):
        write_wav(tmp_path, name)
    for number in range(1, 13):
        write_wav(tmp_path / "recordings", f"{number}.wav", seconds=1.5 + number / 10, seed=number)
        write_wav(tmp_path / "my_recordings", f"{number}.wav", seconds=1.5, seed=number)
        (tmp_path / "my_recordings" / f"{number}.txt").write_text(HEARD, encoding="utf-8")
    for split in ("train", "dev", "test"):
        (tmp_path / "data" / "big").mkdir(parents=True, exist_ok=True)
        place = {"train": 1, "dev": 2, "test": 3}[split]
        line = {
            "audio_filepath": str(tmp_path / "recordings" / f"{place}.wav"),
            "duration": 1.5 + place / 10,
            "text": HEARD,
        }
        (tmp_path / "data" / "big" / f"{split}.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    for page, beginning in QUICK:
        wanted = shlex.split(beginning)
        words = next(one for one in shell_lines(DOCS / page) if one[: len(wanted)] == wanted)
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            console.main()
        printed = capsys.readouterr().out
        expected = {"record": (0, 1)}.get(words[1], (0,))  # recordings of tones may be refused as too long or short
        assert (ended.value.code or 0) in expected, f"{' '.join(words)}: {printed}"
    assert (tmp_path / "tv.jsonl").is_file() and (tmp_path / "me" / "prompts.txt").is_file()
    assert {path.name for path in (tmp_path / "clean").iterdir()} >= {"train.jsonl", "dev.jsonl", "test.jsonl"}


# -- messages ----------------------------------------------------------------------------------------------------------


def texts_of_the_program():
    """All texts of the package's source on one line each, what is filled in as three dots; and the Makefile."""
    texts = [" ".join(read(ROOT / "Makefile").split())]
    for file in (ROOT / "speechgru").rglob("*.py"):
        for node in ast.walk(ast.parse(read(file))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(" ".join(node.value.split()))
            elif isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "..." for part in node.values]
                texts.append(" ".join("".join(map(str, parts)).split()))
    return "\n".join(texts).replace("`", "")


def test_messages_of_the_page_on_faults_are_those_of_the_program():
    program = texts_of_the_program()
    for message in re.findall(r"\*\*`([^*]+)`\*\*", read(DOCS / "troubleshooting.md")):
        for part in re.split(r"\.\.\.|`, `|\bN\b|\bM\b", message):
            part = " ".join(part.split()).strip(" ,;:")
            assert len(part) < 4 or part in program or part in OTHERS, f"no message of the program has {part!r}"


#: Messages of other programs.
OTHERS = ("No matching distribution found",)


# -- the reference -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "scripts" / "make_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_has_every_command_with_every_option(reference):
    page = reference.command_line()
    for words, callback in reference.commands():
        section = page.split(f"## {words}\n")[1].split("\n## ")[0]
        missing = {name for name in options_of(callback) if name.startswith("--")} - set(
            re.findall(r"--[\w-]+", section)
        )
        assert not missing, f"{words} lacks {missing}"


def test_the_reference_has_every_key_with_its_meaning_and_its_default(reference):
    keys = {
        f"{section}.{key}": (default, meaning)
        for section, (_, rows) in reference.base_keys().items()
        for key, default, meaning in rows
    }
    assert set(keys) == set(known_keys())
    assert all(default and meaning for default, meaning in keys.values())
    assert keys["data.train"][1].endswith("has none such beside it"), "a meaning goes on in the next lines"
    page = reference.configuration()
    assert "| `units` | `128` | whole number from 1 |" in page and "`bidirectional`, `forward`, `chunked`" in page


def test_docstrings_become_markdown(reference):
    text = (
        "Purpose of `it` and <unk>.\n\nArgs:\n    one: first\n        goes on.\n    *two: second.\n\n    >>> 1\n    1\n"
    )
    assert reference.docstring("A.\n\n    x = y * z\n\nB *c*.") == "A.\n\n```text\nx = y * z\n```\n\nB \\*c\\*."
    made = reference.docstring(text)
    assert made.startswith("Purpose of `it` and \\<unk>.\n\n**Args**\n\n- `one`: first goes on.\n- `*two`: second.")


def test_every_public_room_has_a_page(reference):
    """Rooms with an `__all__` that is of one's own, but for the command line and what others write their files with."""
    pytest.importorskip("tensorflow", reason="rooms that train import it")
    listed = {"speechgru" if room == "speechgru" else f"speechgru.{room}" for room in reference.ROOMS}
    rooms = {
        ".".join(("speechgru", *path.parent.relative_to(ROOT / "speechgru").parts))
        for path in (ROOT / "speechgru").rglob("__init__.py")
        if re.search(r"^__all__", read(path), flags=re.MULTILINE)
    }
    assert rooms - listed == {"speechgru.cli", "speechgru.files"}
    page = reference.python_room("gru")
    assert "{py:class} GRUCell(units: int, *, reset_after: bool = True" in page and "h' = z * h + (1 - z) * n" in page


def test_the_site_s_pages_are_staged_with_links_that_stay_inside(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    make_docs = importlib.import_module("make_docs")
    monkeypatch.setattr(make_docs, "write_reference", lambda out: None)
    staged = tmp_path / "staged"
    make_docs.stage(staged)
    links = [
        (page, target.partition("#")[0])
        for page in staged.rglob("*.md")
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", read(page), flags=re.DOTALL))
    ]
    assert len(links) > 100
    for page, target in links:
        found = (page.parent / target).resolve() if target else page
        assert found.exists() and found.is_relative_to(staged.resolve()), f"{page.relative_to(staged)}: {target}"
    contents = read(staged / "index.md").split("```{toctree}")[1:]
    entries = [line for part in contents for line in part.split("```")[0].splitlines() if line and line[0] != ":"]
    pages = {page.relative_to(staged).with_suffix("").as_posix() for page in staged.rglob("*.md")}
    generated = {"reference/command_line", "reference/configuration", "reference/python/index"}
    assert len(entries) == len(set(entries)) and set(entries) - generated == pages - {"index"}
