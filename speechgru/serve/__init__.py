"""A bundle for a house: one model, many rooms, by Home Assistant's Wyoming protocol, HTTP and WebSocket.

It listens on this machine alone unless told otherwise, and says what clients may use:

>>> Limits(max_clients=8, max_seconds=20).idle_seconds
30.0
>>> Server("bundle", http="0.0.0.0:8080")
Traceback (most recent call last):
speechgru.errors.UserError: 0.0.0.0:8080: other machines reach this address, so a token is needed; ...
>>> serve("bundle")
Traceback (most recent call last):
speechgru.errors.UserError: nothing to serve by; give an address for Wyoming (--wyoming) or HTTP (--http), or both
>>> import pathlib
>>> token = read_token("house.token", {})
>>> token == pathlib.Path("house.token").read_text().strip() == read_token("house.token", {})
True
"""

from speechgru.network import read_token
from speechgru.serve.limits import Limits
from speechgru.serve.run import Server, serve

__all__ = ["Limits", "Server", "read_token", "serve"]
