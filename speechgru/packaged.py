"""The configurations and grammars that come with the package: in a wheel inside it, in a checkout beside it."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent
_CANDIDATES = (_PACKAGE / "configs", _PACKAGE.parent / "configs")

#: The folder of YAML files, one a use; its `grammars` holds grammars. It is missing where a package was taken apart.
CONFIGS = next((folder for folder in _CANDIDATES if (folder / "base.yaml").is_file()), _CANDIDATES[0])


def own_files(folder: Path) -> dict[str, Path]:
    """The YAML files of one of these folders, by their names without `.yaml`.

    Args:
        folder: `CONFIGS` or a folder in it.

    Example:
        >>> own_files(CONFIGS)["base"].name
        'base.yaml'
    """
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def own_file(name: str, folder: Path) -> Path | None:
    """The file that a bare name stands for, unless the current folder has something of that name.

    Args:
        name: as a person wrote it.
        folder: `CONFIGS` or a folder in it.

    Example:
        >>> own_file("my.yaml", CONFIGS) is None
        True
    """
    return None if Path(name).suffix or Path(name).exists() else own_files(folder).get(name)
