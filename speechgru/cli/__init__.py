"""The `speechgru` command; importing this room registers every command."""

from speechgru.cli import bundle, corpus, scoring, training  # noqa: F401  (each registers its commands)
from speechgru.cli.console import app, main, run_command, show_progress

__all__ = ["app", "main", "run_command", "show_progress"]
