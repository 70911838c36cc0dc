"""Builds the site from docs/: python scripts/make_docs.py [--out build/site].

The pages are staged in a folder beside, where the reference is written from the code (`make_reference.py`) and links to
what lies outside docs/ are made links to copies: CONTRIBUTING, CHANGELOG and an example's README become pages, other
files lie in the site as they are. Sphinx then builds it strictly: a link to a page, a heading or a picture that is not
there ends the build, and so does a page that no list of contents names. Nothing is fetched.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from make_reference import ROOT, write_reference

DOCS = ROOT / "docs"
#: Files outside docs/ that are pages of the site.
PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "README.md": "index.md",
    "SECURITY.md": "security.md",
}
#: The contents: captions with what stands first under them; further pages of a folder follow by name.
CONTENTS = {
    "Tutorials": [
        "tutorials/first_commands", "tutorials/your_voice", "tutorials/sweep", "tutorials/*",
        "repository/examples/notebooks/index",
    ],
    "How to": ["howto/install", "howto/quickstart", "howto/recordings", "howto/grammars", "keywords", "howto/*"],
    "Devices": [
        "howto/devices", "howto/streaming", "raspberry_pi", "microcontrollers", "repository/examples/*/index",
        "serving",
    ],
    "Explanations": ["explanations/gru", "explanations/ctc", "explanations/*"],
    "Reference": [
        "reference/index", "reference/command_line", "reference/configuration", "reference/python/index",
        "reference/*", "repository/**/index", "glossary",
    ],
    "The project": [
        "results", "benchmarks", "decisions", "troubleshooting", "security", "contributing", "changelog", "*",
    ],
}  # fmt: skip
_LINK = re.compile(r"(\]\()([^)\s]+)(\))")
#: A block of code; that, or code inside a line.
_BLOCK = re.compile(r"(^ *```.*?^ *```$)", flags=re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"(^ *```.*?^ *```$|`[^`\n]+`)", flags=re.DOTALL | re.MULTILINE)
_DATE = re.compile(r"(?<=\b20\d\d)-(?=\d\d-\d\d\b)|(?<=\b20\d\d-\d\d)-(?=\d\d\b)")
_UNIT = re.compile(r"(?<=\d) (?=(?:%|ms|kB|MB|MiB|dB|Hz|min)(?!\w))")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site", help="folder of the site")
    parser.add_argument("--staged", type=Path, default=ROOT / "build" / "site-source", help="folder for the pages")
    arguments = parser.parse_args()
    stage(arguments.staged)
    command = ["-m", "sphinx", "--builder", "html", "--fail-on-warning", "--keep-going", "--quiet"]
    doctrees = ["--doctree-dir", str(arguments.staged.with_name(f"{arguments.staged.name}-doctrees"))]
    done = subprocess.run([sys.executable, *command, *doctrees, str(arguments.staged), str(arguments.out)], check=False)
    if done.returncode:
        sys.exit(done.returncode)
    print(f"{arguments.out / 'index.html'}: open it in a browser")


def stage(out: Path) -> None:
    """Writes everything that Sphinx reads.

    Args:
        out: the folder; what it held is removed.
    """
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(DOCS, out, ignore=shutil.ignore_patterns("__pycache__"))
    write_reference(out / "reference")
    for name, page in PAGES.items():
        if page != "index.md":
            shutil.copy(ROOT / name, out / page)
    for page in sorted(out.rglob("*.md")):
        _relink(page, out)
    index = out / "index.md"
    index.write_text(index.read_text(encoding="utf-8") + contents(out), encoding="utf-8")


def contents(staged: Path) -> str:
    """The lists of contents, by caption; a pattern stands for the pages that no earlier entry of its list names.

    A page that another list names by itself, or an earlier pattern, is left out of a pattern's: none stands twice.
    """
    named = {"index", *(entry for entries in CONTENTS.values() for entry in entries if "*" not in entry)}
    lines = []
    for caption, entries in CONTENTS.items():
        lines += ["", "```{toctree}", ":hidden:", f":caption: {caption}", ""]
        for entry in entries:
            if "*" not in entry:
                lines.append(entry)
                continue
            found = sorted(page.relative_to(staged).with_suffix("").as_posix() for page in staged.glob(f"{entry}.md"))
            lines += [page for page in found if page not in named]
            named.update(found)
        lines.append("```")
    return "\n".join(lines) + "\n"


def _relink(page: Path, staged: Path) -> None:
    """Makes links of a staged page to what lies outside docs/ links to copies in the site."""
    original = _origin(page, staged)

    def relink(match: re.Match[str]) -> str:
        target, _, heading = match[2].partition("#")
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        found = Path(os.path.normpath(original.parent / target))
        # Where the link leads inside docs/, it leads there inside the staged folder too.
        copy = _copy_of(found, staged)
        link = os.path.relpath(copy, page.parent).replace(os.sep, "/")
        return f"{match[1]}{link}{'#' * bool(heading)}{heading}{match[3]}"

    # Code keeps what looks like a link. A date, and a number with its unit, stay on one line.
    parts = _CODE.split(page.read_text(encoding="utf-8"))
    for place in range(0, len(parts), 2):
        parts[place] = _DATE.sub("\u2011", _UNIT.sub("\u00a0", parts[place]))
    text = "".join(parts)
    parts = _BLOCK.split(text)
    parts = [part if place % 2 else _LINK.sub(relink, part) for place, part in enumerate(parts)]
    page.write_text("".join(parts), encoding="utf-8")


def _origin(page: Path, staged: Path) -> Path:
    """The file of the repository that a staged page is a copy of; for a generated one, where it would be."""
    relative = page.relative_to(staged)
    outside = {copy: name for name, copy in PAGES.items() if copy != "index.md"}
    if relative.as_posix() in outside:
        return ROOT / outside[relative.as_posix()]
    if relative.parts[0] == "repository":
        return ROOT / relative.relative_to("repository").with_name("README.md")
    return DOCS / relative


def _copy_of(found: Path, staged: Path) -> Path:
    """Where the site has a file or folder of the repository; copies it there."""
    if found.is_relative_to(DOCS):
        return staged / found.relative_to(DOCS)
    if not found.is_relative_to(ROOT):
        raise SystemExit(f"{found}: a page links to it, and it lies outside the repository")
    relative = found.relative_to(ROOT)
    if relative.as_posix() in PAGES:
        return staged / PAGES[relative.as_posix()]
    readme = found / "README.md" if found.is_dir() else found
    if readme.name == "README.md" and readme.is_file():
        page = staged / "repository" / readme.parent.relative_to(ROOT) / "index.md"
        if not page.exists():
            page.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(readme, page)
            _relink(page, staged)
        return page
    if found.is_dir():
        return _listing(found, staged)
    copy = staged / "repository" / relative
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(found, copy)
    return copy


def _listing(folder: Path, staged: Path) -> Path:
    """A page that lists the files of a folder."""
    relative = folder.relative_to(ROOT)
    page = staged / "repository" / relative / "index.md"
    lines = [f"# {relative.as_posix()}", ""]
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        copy = _copy_of(file, staged)
        lines.append(f"- [{file.name}]({os.path.relpath(copy, page.parent).replace(os.sep, '/')})")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return page


if __name__ == "__main__":
    main()
