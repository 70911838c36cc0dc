"""The command that serves a bundle."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from speechgru.cli.console import JsonFlag, app, err, print_beginning
from speechgru.cli.decoding import GRU_FLAGS, DecodingFlags, with_decoding
from speechgru.visible import visible_json


@app.command()
@with_decoding(without=GRU_FLAGS)
def serve(
    bundle: Annotated[Path, typer.Argument(help="The bundle folder.")],
    wyoming: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Listen for Home Assistant here, such as 127.0.0.1:10300.")
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Listen for HTTP and WebSocket here, such as 127.0.0.1:8080."),
    ] = None,
    form: Annotated[str | None, typer.Option(help="Which of the bundle's models to run.")] = None,
    *,
    flags: DecodingFlags,
    endpoint: Annotated[
        float | None, typer.Option(help="End an utterance after this many seconds of silence; else its client does.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="What is spoken, such as en, where the bundle does not state it.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token that HTTP's clients must show; made where it is missing.")
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(help="File of a certificate (PEM): HTTP is then https alone.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="File of the certificate's key.")] = None,
    trust_network: Annotated[
        bool, typer.Option("--trust-network", help="Let other machines use Wyoming, which knows no token.")
    ] = False,
    origin: Annotated[
        list[str] | None, typer.Option(help="Web pages that may use HTTP: https://example.org; may be repeated.")
    ] = None,
    max_clients: Annotated[int, typer.Option(min=1, help="Clients at a time; further ones are refused.")] = 64,
    max_clients_per_address: Annotated[
        int | None,
        typer.Option(min=1, help="Those of one address (IPv6: of one /64); 16, and all for this machine's own."),
    ] = None,
    max_seconds: Annotated[float, typer.Option(help="Seconds of a recording or utterance.")] = 300,
    max_megabytes: Annotated[float, typer.Option(help="Megabytes of a recording.")] = 64,
    idle_seconds: Annotated[float, typer.Option(help="Disconnect a client that is silent for so long.")] = 30,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the model.")] = 1,
    as_json: JsonFlag = False,
) -> None:
    """Serve a bundle to a house: Home Assistant (Wyoming), HTTP and WebSocket (extra `serve`).

    POST /transcribe takes a recording, the WebSocket /stream samples as they come. Beyond this machine, HTTP needs a
    token: --token-file, or the environment's SPEECHGRU_TOKEN. Ctrl-C ends it with 130, SIGTERM with 143. With --json
    it prints where it listens once it does.
    Example: `speechgru serve bundle --wyoming 127.0.0.1:10300 --http 127.0.0.1:8080`
    """
    print_beginning(f"loading {bundle}")
    from speechgru.decoding import EndpointRule
    from speechgru.network import certificate_and_key
    from speechgru.serve import Limits, read_token
    from speechgru.serve import serve as verb

    limits = Limits(
        max_clients=max_clients,
        max_clients_per_address=max_clients_per_address,
        max_seconds=max_seconds,
        max_megabytes=max_megabytes,
        idle_seconds=idle_seconds,
    )
    decoding = flags.options()

    def started(addresses: dict[str, str]) -> None:
        if as_json:
            record = {"bundle": str(bundle), "addresses": addresses}
            print(visible_json(json.dumps(record, ensure_ascii=False)), flush=True)  # a program waits for this line

    verb(
        bundle,
        started=started,
        listener=lambda line: err.print(escape(line), soft_wrap=True, highlight=False),
        wyoming=wyoming,
        http=http,
        form=form,
        decoding=decoding,
        endpoint=None
        if endpoint is None
        else EndpointRule(trailing_seconds=endpoint, max_seconds=min(30.0, limits.max_seconds)),
        language=language,
        token=read_token(token_file, os.environ) if http is not None else None,
        tls=certificate_and_key(tls_certificate, tls_key),
        trust_network=trust_network,
        origins=origin or (),
        limits=limits,
        num_threads=threads,
    )
