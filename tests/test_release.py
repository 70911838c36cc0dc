"""What a release publishes: the sdist, the wheel that is built from it, and an environment that has the wheel alone."""

import email.parser
import importlib.metadata
import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

import speechgru

ROOT = Path(__file__).parents[1]

#: What somebody does first with an installed package, from any folder.
_FIRST_USE = """
import sys
from pathlib import Path
import speechgru.runtime
from speechgru.config import load_config
from speechgru.config.base_model import BASE_FOLDER
from speechgru.packaged import CONFIGS

config = load_config("commands", ["data.train=mine/train.jsonl", "data.dev=mine/dev.jsonl"])
print(config.train.start_from, config.model.units, Path(config.data.dev) == Path("mine/dev.jsonl").absolute())
print(Path(load_config("quickstart").data.grammar).name)
places = [Path(speechgru.__file__), CONFIGS, BASE_FOLDER]
print(all(Path(sys.prefix).resolve() in place.resolve().parents for place in places), "tensorflow" in sys.modules)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist and the wheel, as `make wheel` builds them."""
    pytest.importorskip("build", reason="needs build (extra dev)")
    pytest.importorskip("hatchling", reason="needs hatchling (extra dev)")
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return sdist, wheel


def test_the_version_is_one(built):
    version = speechgru.__version__
    sdist, wheel = built
    assert (sdist.name, wheel.name) == (f"speechgru-{version}.tar.gz", f"speechgru-{version}-py3-none-any.whl")
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == version
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_wheel_holds_the_package_its_configurations_and_the_base(built):
    with zipfile.ZipFile(built[1]) as wheel:
        names = set(wheel.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        fields = email.parser.Parser().parsestr(wheel.read(metadata).decode())
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "speechgru", "configs"], capture_output=True, text=True, check=False
    )
    if not listed.returncode:
        tracked = {re.sub("^configs/", "speechgru/configs/", name) for name in listed.stdout.split("\n") if name}
        assert tracked - names == set()
    assert {name.split("/")[0] for name in names} == {"speechgru", metadata.split("/")[0]}
    assert not [name for name in names if "__pycache__" in name or name.endswith((".nbi", ".nbc"))]
    assert f"{metadata.split('/')[0]}/licenses/LICENSE" in names
    assert (fields["License-Expression"], fields["Requires-Python"]) == ("Apache-2.0", ">=3.10")
    assert fields["Description-Content-Type"] == "text/markdown"
    # The project has no public home yet, and none is invented.
    assert fields.get_all("Project-URL") is None and fields["Home-page"] is None


def test_the_sdist_holds_what_tests_and_pipelines_need(built):
    with tarfile.open(built[0]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert names >= {"Makefile", "constraints.txt", "tests/test_release.py", "pipelines/quickstart.py", "CITATION.cff"}
    assert not [name for name in names if name.startswith((".venv", "build/", "dist/", "data/", "runs/"))]


def test_the_wheel_works_with_its_declared_dependencies_alone(built, tmp_path):
    # The packages that it declares are linked from the environment of the tests, and no others: no network is needed.
    site = make_environment(tmp_path / "venv")
    with zipfile.ZipFile(built[1]) as wheel:
        wheel.extractall(site)
    for distribution in declared(["speechgru"]):
        for part in {Path(file).parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (site / part).exists():
                (site / part).symlink_to(Path(distribution.locate_file(part)).resolve())
    use(tmp_path, command=[tmp_path / "venv" / "bin" / "python", "-m", "speechgru.cli"])


@pytest.mark.slow
def test_the_wheel_installs_into_an_empty_environment(built, tmp_path):
    make_environment(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", built[1]]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode and "connection" in done.stderr:
        pytest.skip(f"needs a package registry: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    use(tmp_path, command=[tmp_path / "venv" / "bin" / "speechgru"])


def make_environment(folder, *, with_pip=False):
    """An empty virtual environment; gives its `site-packages`."""
    if os.name != "posix":
        pytest.skip("links files, and names folders, as POSIX does")
    venv.create(folder, with_pip=with_pip, symlinks=True)
    return folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def declared(names):
    """The distributions that some need, without extras, as far as they are installed here; not themselves."""
    from packaging.requirements import Requirement

    found, left = {}, list(names)
    while left:
        for line in importlib.metadata.requires(left.pop()) or ():
            requirement = Requirement(line)
            if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
                continue
            if requirement.name.lower() not in found:
                found[requirement.name.lower()] = importlib.metadata.distribution(requirement.name)
                left.append(requirement.name)
    return list(found.values())


def use(folder, *, command):
    """Uses an installation as a newcomer would, from an empty folder."""
    empty = folder / "empty"
    empty.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}

    def run(*arguments):
        done = subprocess.run(
            [str(argument) for argument in arguments],
            cwd=empty, env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run(*command, "--version") == f"speechgru {speechgru.__version__}\n"
    assert "prepare" in run(*command, "--help")
    assert run(folder / "venv" / "bin" / "python", "-c", _FIRST_USE).splitlines() == [
        "base 160 True",
        "household.yaml",
        "True False",
    ]
