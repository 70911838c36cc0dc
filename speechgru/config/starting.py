"""The configuration that a person would have to write first: from what is asked, by the packaged ones."""

from __future__ import annotations

import re
from pathlib import Path

from speechgru.config.sections import RunConfig
from speechgru.errors import ConfigError
from speechgru.files import read_text, require_file_place, write_text
from speechgru.packaged import CONFIGS

#: What a recogniser is for. It decides the model's direction, which no later step can change.
USES = ("files", "microphone")

_HEADINGS = {
    "files": "For whole recordings, and commands that are transcribed when they end: it cannot stream.",
    "microphone": "For a microphone: it streams, and its text grows while somebody speaks.",
}


def write_config(out: str | Path, *, use: str, data: str | Path, of_grammar: bool = False) -> Path:
    """Writes a configuration to start from.

    Args:
        out: the file.
        use: one of `USES`.
        data: the folder of the manifests that `speechgru prepare` writes, or has written.
        of_grammar: commands of a grammar are recognised, and not whatever the recordings hold.

    Returns:
        The file.

    Raises:
        ConfigError: the file is there already, or `use` is neither.

    Example:
        >>> path = write_config("first.yaml", use="microphone", data="data/mine")
        >>> "direction: chunked" in path.read_text()
        True
    """
    out = Path(out)
    if use not in USES:
        raise ConfigError(f"a recogniser is for {' or '.join(USES)}, got {use!r}")
    require_file_place(out)
    if out.exists():
        raise ConfigError(f"{out}: is there already, and nothing is overwritten; name another file")
    commands, streaming = (_sections(CONFIGS / f"{name}.yaml") for name in ("commands", "streaming"))
    sections = {"data": _data(Path(data), of_grammar)}
    if of_grammar:
        sections |= commands
        if use == "microphone":
            # The base reads whole utterances: a model that streams is learnt from nothing, which takes longer.
            sections["train"] = _without(commands["train"], "start_from", "learning_rate", "max_steps") + (
                "  max_steps: 8000            # from nothing: the base reads whole utterances\n"
            )
    if use == "microphone":
        sections |= {name: streaming[name] for name in ("model", "features")}
    if not of_grammar:
        sections["train"] = streaming["train"]
    heading = f"# {_HEADINGS[use]} `speechgru config` explains each key.\n"
    write_text(out, heading + "".join(sections[name] for name in RunConfig.model_fields if name in sections))
    return out


def _data(folder: Path, of_grammar: bool) -> str:
    """The section `data`: what `speechgru prepare` writes into a folder."""
    lines = [
        "data:",
        f"  train: {_quoted(folder / 'train.jsonl')}",
        f"  dev: {_quoted(folder / 'dev.jsonl')}",
    ]
    if of_grammar:
        lines.append(f"  grammar: {_quoted(folder / 'grammar.json')}  # travels in the bundle: intents and slots")
    return "\n".join(lines) + "\n"


def _quoted(path: Path) -> str:
    """A path in YAML: as it is, where that is the same text."""
    text = path.as_posix()
    return text if re.fullmatch(r"[\w./-]*[a-zA-Z][\w./-]*", text) else "'" + text.replace("'", "''") + "'"


def _sections(path: Path) -> dict[str, str]:
    """The text of each section of a configuration, comments included; the comment before the first is left out."""
    sections: dict[str, str] = {}
    name = ""
    for line in read_text(path).splitlines(keepends=True):
        if match := re.match(r"(\w+):", line):
            name = match[1]
            sections[name] = ""
        if name:
            sections[name] += line
    sections.pop("data", None)
    return sections


def _without(section: str, *keys: str) -> str:
    """A section without the lines of some keys."""
    lines = section.splitlines(keepends=True)
    return "".join(line for line in lines if line.strip().partition(":")[0] not in keys)
