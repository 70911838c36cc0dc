"""To hear and see what training hears and sees."""

from speechgru.listen.listening import listen

__all__ = ["listen"]
