"""The one family of errors that a user's input can cause."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake in what the user gave: a file, a key, a value.

    The message describes what was received, what was expected and how to fix it, and names the file or
    utterance. The command line prints it alone and exits with code 2; it never shows a traceback.
    """


class ConfigError(UserError):
    """A configuration file or override that cannot be used."""


class ManifestError(UserError):
    """A manifest that cannot be read, or a line of it that is not an utterance."""


class AudioError(UserError):
    """A recording that cannot be turned into samples."""


class TextError(UserError):
    """A transcript or vocabulary that cannot be used."""


class GrammarError(UserError):
    """A grammar's file that cannot be read, or says what cannot be understood."""


class LanguageError(UserError):
    """A language model's file that cannot be read, or texts that none can be made of."""


class CorpusError(UserError):
    """A corpus that is not where it was said to be, or is not what it should be."""


class BundleError(UserError):
    """A run folder or an exported bundle that is missing, damaged or of another version."""


class DiskError(UserError):
    """A place that cannot be written or read any more: full, read-only, failing, not the user's, or gone.

    What was being done is not at fault: it is neither kept as failed nor left out, and the same command does it once
    the place is well again.
    """


class Interrupted(Exception):  # noqa: N818
    """Somebody asked the process to end, and what it did is kept: nothing went wrong, so it is not an error.

    Args:
        message: what is kept and how to resume.
        code: the exit status: 128 and the signal's number.
    """

    def __init__(self, message: str, *, code: int):
        super().__init__(message)
        self.code = code
