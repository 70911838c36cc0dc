"""A bundle in a browser tab: a static site that runs it with LiteRT.js."""

from speechgru.web.site import write_site

__all__ = ["write_site"]
