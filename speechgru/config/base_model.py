"""The base: a trained model of letters and frequent words that is kept with the package, for `train.start_from: base`.

Its folder is a run folder of letters, as `scripts/make_base.py` leaves it: configuration, vocabulary, 16-bit weights,
`card.json`, which names what it was trained on, and `provenance.json`: how long its people's sentences were.
`words.txt` is the vocabulary of a second head, whose weights a run of words takes over in place of the letters'.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from speechgru.config.strict_yaml import read_yaml
from speechgru.errors import ConfigError

#: What `train.start_from` says for it. A run of one's own in a folder of that name is `./base`.
BASE = "base"
#: Where it lies in the package.
BASE_FOLDER = Path(__file__).parents[1] / "base"

#: What its weights depend on. A run that starts from it takes these over, key by key.
_TAKEN = {"data": ("sample_rate",), "features": None, "model": None}


def start_folder(source: str | Path) -> Path:
    """The run folder that `train.start_from` means.

    >>> start_folder("runs/first")
    PosixPath('runs/first')
    """
    return BASE_FOLDER if str(source) == BASE else Path(source)


def require_base(folder: Path = BASE_FOLDER) -> None:
    """Whether the base came with this installation.

    Raises:
        ConfigError: it did not.
    """
    if not (folder / "config.yaml").is_file():
        raise ConfigError(
            "train.start_from: this installation has no base; make it with scripts/make_base.py, or name a run folder "
            "(one of your own that is called base is ./base)"
        )


def take_from_base(document: dict[str, Any], folder: Path = BASE_FOLDER) -> None:
    """Gives a configuration that starts from the base the base's model and features, wherever it says nothing itself.

    Args:
        document: the configuration as it was read; changed in place.
        folder: the base.

    Raises:
        ConfigError: this installation has no base.
    """
    train = document.get("train")
    if not isinstance(train, dict) or train.get("start_from") != BASE:
        return
    require_base(folder)
    base, _ = read_yaml(folder / "config.yaml", missing="the base has no configuration")
    for section, keys in _TAKEN.items():
        taken = {key: value for key, value in base[section].items() if keys is None or key in keys}
        own = document.get(section)
        if own is None or isinstance(own, dict):
            document[section] = taken | (own or {})
