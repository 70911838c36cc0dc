"""Recordings as training augments them, to play and to look at."""

from speechgru.listen.listening import listen

__all__ = ["listen"]
