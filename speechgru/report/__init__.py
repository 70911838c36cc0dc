"""A small drawing library: HTML, charts and pictures of speech. Every page of a verb is made of it; it knows no verb.

Text is escaped by `html`; a page needs no network, no script and no other file.
"""
