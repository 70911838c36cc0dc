"""The pages that are written by hand, and the commands and examples that stand in them."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
#: Every page that is written by hand.
PAGES = [
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md")),
    *sorted(ROOT.glob("examples/*/README.md")),
]  # fmt: skip
#: Programs that begin a line of a shell block; other lines of blocks without a language are output and equations.
PROGRAMS = ("speechgru", "python", "make", "pip", "npm", "curl", "source", "tensorboard")
#: The languages of blocks that a shell runs.
SHELL = ("", "sh", "shell", "bash", "console")


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def read(page):
    return page.read_text(encoding="utf-8")


def blocks(page):
    """(language, text) of each block of code; one inside a list without its indentation."""
    for language, text, _ in blocks_after(page):
        yield language, text


def blocks_after(page):
    """(language, text, what stands on the page before it) of each block of code."""
    whole = read(page)
    for match in re.finditer(r"^( *)```(\w*)\n(.*?)^\1```$", whole, flags=re.DOTALL | re.MULTILINE):
        yield match[2], re.sub(f"(?m)^{match[1]}", "", match[3]), whole[: match.start()]


def without_blocks(page):
    return re.sub(r"^ *```.*?^ *```$", "", read(page), flags=re.DOTALL | re.MULTILINE)


def shell_lines(page):
    """The words of each command of the page's blocks, without variables before it and comments behind it."""
    for language, text in blocks(page):
        if language in SHELL:
            yield from commands_of(text)


def commands_of(text):
    """The words of each command of a shell's block."""
    for line in text.replace("\\\n", " ").splitlines():
        program = re.match(r"(?:[A-Z_]+=(?:'[^']*'|\S*) +)*(\S+)", line.strip())
        if program and (program[1] in PROGRAMS or program[1].endswith("/python")):
            words = shlex.split(line, comments=True)
            yield words[words.index(program[1]) :]


def lights():
    """The grammar of the first tutorial."""
    return next(text for kind, text in blocks(DOCS / "tutorials" / "first_commands.md") if kind == "yaml")
