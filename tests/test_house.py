"""The house's rules: floors by module, who imports what, what importing loads."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import LONGEST_FIRST

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "speechgru"

#: The floors from the ground up. A name stands for a module or for a whole room; the longest name that fits a module
#: counts. A module imports from floors below its own, or from its own room on its own floor.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset(
        {
            "errors",
            "fields",
            "jit",
            "keras_backend",
            "lazy",
            "lengths",
            "mel",
            "native",
            "packaged",
            "philox",
            "processors",
            "progress",
            "ranges",
            "visible",
            "yaml_nodes",
        }
    ),
    frozenset({"ctc_kernel", "files", "metrics", "gru", "features", "store_kinds"}),
    frozenset({"audio", "jsonlines", "network", "process", "stores", "text", "timed", "voices"}),
    frozenset({"grammar", "language"}),
    frozenset({"augment", "ctc", "decoding", "runs"}),
    # The section `augment` is made of the stages' keys.
    frozenset({"config"}),
    frozenset({"model", "report", "runtime"}),
    frozenset({"utterances"}),
    frozenset({"corpora", "recording", "shards"}),
    frozenset({"dataset"}),
    # The verbs, one above another.
    frozenset({"align", "doctor", "listen", "scoring", "serve", "web"}),
    frozenset({"export", "train"}),
    frozenset({"adapt", "tune"}),
    frozenset({"cli"}),
)
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}

#: Packages that these modules or rooms alone may import.
ONLY_IN = {
    "apache_beam": {"shards.beam"},
    "fsspec": {"stores"},
    "huggingface_hub": {"stores"},
    "hassil": {"grammar.file"},
    "pyarrow": {"corpora.huggingface"},
    "onnxruntime": {"voices.kokoro", "voices.piper"},
    "piper": {"voices.piper"},
    "keras_tuner": {"tune.keras_tuner_adapter"},
    "tensorflow_io": {"audio.in_graph"},
    "ai_edge_litert": {"runtime", "export"},
    "sentencepiece": {"text.subword_training"},
    "sounddevice": {"recording.microphone"},
    "starlette": {"serve.http_app", "serve.http_protocol"},
    "tflite_micro": {"export.micro.interpreter"},
    "uvicorn": {"serve.http_protocol"},
    "wyoming": {"serve.wyoming_protocol"},
}
HEAVY = (
    "tensorflow",
    "keras",
    "hassil",
    "tensorflow_io",
    "keras_tuner",
    "matplotlib",
    "librosa",
    "fsspec",
    "huggingface_hub",
    "pyarrow",
    "sentencepiece",
    "espeakng_loader",
    "sounddevice",
    "starlette",
    "tflite_micro",
    "uvicorn",
    "wyoming",
)

#: What a device, a notebook or a fast command imports, and which loads none of the heavy packages.
LIGHT = (
    "",
    "align",
    "augment",
    "cli",
    "config",
    "corpora",
    "decoding",
    "doctor",
    "grammar",
    "language",
    "metrics",
    "recording",
    "report",
    "runs",
    "runtime",
    "runtime.transcription",
    "scoring.evaluation",
    "serve",
    "text",
    "timed",
    "tune.chief",
    "tune.worker",
    "utterances",
    "utterances.check",
    "voices",
    "web",
)


def name_of(path: Path) -> str:
    """A module's dotted name below `speechgru`."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


NAMES = {name_of(path) for path in modules()}


def place_of(name: str) -> str:
    """The longest entry of a table of rooms and modules that holds a module."""
    while name not in FLOOR_OF:
        if "." not in name:
            pytest.fail(f"speechgru.{name} stands on no floor: put it on one in this test")
        name = name.rsplit(".", 1)[0]
    return name


def imports_of(path: Path) -> list[str]:
    """Full names of all modules that a file imports, at its top or inside functions."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write it out"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def imports_of_ours(path: Path) -> set[str]:
    """The modules of the package that a file imports, below `speechgru`."""
    found = set()
    for name in imports_of(path):
        if name.startswith("speechgru."):
            name = name.removeprefix("speechgru.")
            while name not in NAMES and "." in name:
                name = name.rsplit(".", 1)[0]
            if name in NAMES:  # else one of the package's own names, such as its version
                found.add(name)
    return found


def is_within(name: str, places: set[str]) -> bool:
    return any(name == place or name.startswith(place + ".") for place in places)


def test_every_floor_has_its_rooms():
    for entry in FLOOR_OF:
        assert entry in NAMES, f"{entry} is on a floor of this test and not in the house"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_go_down_only(path):
    name = name_of(path)
    for other in imports_of(path):
        package = other.split(".")[0]
        if package in ("scripts", "pipelines", "tests", "examples", "stages"):
            pytest.fail(f"{path} imports {other}: nothing imports scripts, pipelines, examples or tests")
        if package in ONLY_IN and not is_within(name, ONLY_IN[package]):
            pytest.fail(f"{path} imports {other}: only {ONLY_IN[package]} may")
    place = place_of(name)
    for other in imports_of_ours(path):
        below = place_of(other)
        if below != place:
            assert FLOOR_OF[below] < FLOOR_OF[place], (
                f"{name} (floor {FLOOR_OF[place]}) imports {other} (floor {FLOOR_OF[below]}): imports go down only"
            )


def test_no_modules_import_each_other_in_a_circle():
    imports = {name_of(path): imports_of_ours(path) for path in modules()}
    left = dict(imports)
    while left:
        free = [name for name, others in left.items() if not (others - {name}) & left.keys()]
        assert free, f"a circle among {sorted(left)}"
        for name in free:
            del left[name]


def test_no_module_has_the_name_of_one_of_pythons():
    # A program that is started in the package's folder would import it in place of Python's.
    assert not {path.stem for path in PACKAGE.glob("*")} & sys.stdlib_module_names


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_no_private_modules_of_a_library(path):
    assert not [name for name in imports_of(path) if name.startswith(("keras.src", "tensorflow.python"))]


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_no_folder_is_made_again_that_was_taken_away(path):
    """`files.make_folder` and `process.locked_folder` look whether it was; these do not, nor do locks by themselves."""
    makers = {"files.claims": ("makedirs(", "FileLock("), "process.locked_folder": ("parents=True", "makedirs(")}
    text = path.read_text(encoding="utf-8")
    assert not [word for word in makers.get(name_of(path), ("parents=True", "makedirs(", "FileLock(")) if word in text]


def test_commands_that_write_into_a_folder_hold_it():
    """The command does, or its verb: by `held`, by `locked_folder`, or as it fills a folder beside and renames it."""
    in_its_verb = {
        "adapt": "adapt.run", "export": "files.folders", "prepare": "corpora", "shard": "shards.pack",
        "web": "files.folders", "train": "train.run", "train_gru": "train.run", "tune": "tune.chief",
    }  # fmt: skip
    for name in in_its_verb.values():
        path = next(path for path in modules() if name_of(path) == name)
        text = path.read_text(encoding="utf-8")
        assert re.search(r"\b(held|held_alone|locked_folder|temporary_folder)\(", text), name
    asking, holding = set(), set()
    for path in (path for path in modules() if name_of(path).startswith("cli.")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                calls = [call.func for call in ast.walk(node) if isinstance(call, ast.Call)]
                called = {function.id for function in calls if isinstance(function, ast.Name)}
                asking |= {node.name} if "require_own_folder" in called else set()
                holding |= {node.name} if {"held", "held_alone"} & called else set()
    assert len(asking) > 8 and not asking - holding - in_its_verb.keys()


def test_light_rooms_load_nothing_heavy():
    rooms = ", ".join(f"speechgru.{room}".rstrip(".") for room in LIGHT)
    code = f"import sys, {rooms}; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


def test_public_names_are_there():
    import speechgru

    for name in speechgru.__all__:
        assert getattr(speechgru, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = speechgru.nonsense


def test_checkers_of_types_see_the_names_that_are_loaded_lazily():
    import speechgru

    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (checked,) = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {alias.name: node.module for node in checked.body for alias in node.names}
    assert typed == {**dict.fromkeys(speechgru._PACKAGES, "speechgru"), **speechgru._LAZY}
    assert {*typed, "__version__"} == set(speechgru.__all__)


def test_a_verbs_package_is_reached_from_the_package_alone():
    verbs = "speechgru.train.train, speechgru.scoring.evaluate, speechgru.export.export, speechgru.tune.tune"
    code = f"import sys, speechgru; assert 'tensorflow' not in sys.modules; print([callable(v) for v in ({verbs})])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == str([True] * 4)


def test_nothing_names_a_registry_or_a_folder_of_somebodys_machine():
    # Written in pieces, so that this file does not name them.
    forbidden = ["pypi" + ".org", "files.python" + "hosted", "index" + "-url", "/ro" + "ot/", "/wo" + "rk/"]
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.split("\n"):
        path = ROOT / name
        if name and path.is_file() and path.suffix in (".py", ".md", ".toml", ".txt", ".yaml", ".sh", ""):
            text = path.read_text(encoding="utf-8", errors="replace")
            assert not [word for word in forbidden if word in text], name


def test_each_file_of_tests_that_starts_first_exists_and_is_named_once():
    existing = {path.name for path in (ROOT / "tests").glob("test_*.py")}
    assert sorted(set(LONGEST_FIRST) & existing) == sorted(LONGEST_FIRST)
