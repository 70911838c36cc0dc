"""The house's rules: floors, who imports what, what importing loads."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "speechgru"

#: Every room and its floor; a new one must be put on a floor here.
FLOORS = {
    0: {
        "config",
        "containers",
        "corpus_facts",
        "decoding",
        "errors",
        "examination",
        "files",
        "lengths",
        "manifest",
        "measurement",
        "metrics",
        "progress",
        "recordings",
        "rules",
        "runs",
        "runtime",
        "strict_yaml",
        "text",
        "tflite_file",
    },
    1: {"audio", "augment", "ctc", "features", "gru", "records"},
    2: {"dataset", "model"},
    3: {
        "check",
        "cli",
        "corpora",
        "evaluate",
        "export",
        "inspect",
        "listen",
        "report",
        "shard",
        "train",
        "transcribe",
        "tune",
    },
}
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}

#: Packages that one room alone may import.
ONLY_IN = {
    "keras_tuner": {"tune"},
    "tensorflow_io": {"audio"},
    "ai_edge_litert": {"runtime", "export", "tflite_file"},
}
HEAVY = ("tensorflow", "keras", "tensorflow_io", "keras_tuner", "matplotlib", "librosa", "espeakng_loader")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


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


def test_every_room_stands_on_a_floor():
    rooms = {room_of(path) for path in modules()}
    assert rooms == set(FLOOR_OF), "new or missing rooms: put them on a floor in this test and in the README"


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_go_down_only(path):
    room = room_of(path)
    floor = FLOOR_OF[room]
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] in ("scripts", "pipelines", "tests", "stages"):
            pytest.fail(f"{path} imports {name}: nothing imports scripts, pipelines or tests")
        if parts[0] in ONLY_IN and room not in ONLY_IN[parts[0]]:
            pytest.fail(f"{path} imports {name}: only {ONLY_IN[parts[0]]} may")
        if floor == 0 and parts[0] in HEAVY:
            pytest.fail(f"{path} imports {name}: floor 0 is plain Python and NumPy")
        if parts[0] != "speechgru" or len(parts) < 2 or parts[1] not in FLOOR_OF or parts[1] == room:
            continue
        other = FLOOR_OF[parts[1]]
        sideways = floor in (1, 2) and other == floor
        assert other <= floor and not sideways, f"{path} (floor {floor}) imports {name} (floor {other})"
        if floor == 1:
            assert parts[1] != "config", f"{path}: floor 1 takes plain arguments, never the run configuration"


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_private_modules_of_a_library(path):
    assert not [name for name in imports_of(path) if name.startswith(("keras.src", "tensorflow.python"))]


def test_importing_floor_0_loads_nothing_heavy():
    rooms = ", ".join(f"speechgru.{room}" for room in sorted(FLOORS[0]))
    code = f"import sys, speechgru, {rooms}; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


def test_public_names_are_there():
    import speechgru

    for name in speechgru.__all__:
        assert getattr(speechgru, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = speechgru.nonsense


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
