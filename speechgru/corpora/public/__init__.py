"""Corpora that anybody can have, each in the layout that its publisher gives it. One module each.

`source` finds or fetches a copy, `lines` reads its tables, `copies` measures what it names and writes the manifests.
"""
