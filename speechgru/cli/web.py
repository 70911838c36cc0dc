"""The command that puts a bundle on a web page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speechgru.cli.console import JsonFlag, app, print_beginning, print_json, print_next, terminal
from speechgru.files import require_own_folder


@app.command()
def web(
    bundle: Annotated[Path, typer.Argument(help="The bundle folder, or one .tflite file of it.")],
    out: Annotated[Path, typer.Option(help="The site's folder to write.")],
    form: Annotated[
        str | None, typer.Option(help="Which of the bundle's models, such as dynamic; else its default.")
    ] = None,
    runtime: Annotated[
        Path | None,
        typer.Option(help="A folder that holds LiteRT.js (npm install @litertjs/core); else npm fetches it."),
    ] = None,
    golden: Annotated[
        bool, typer.Option(help="Golden vectors, which may hold a recording of the dev set, for the self-check.")
    ] = True,
    as_json: JsonFlag = False,
) -> None:
    """Write a static site that runs a bundle in a browser: microphone, recordings, self-check.

    Nothing leaves the browser, and the page loads nothing from other servers. Any web server can serve the folder;
    browsers give a page the microphone over https or from localhost.
    Example: `speechgru web bundle --out site`, then `python -m http.server --directory site`
    """
    print_beginning(f"reading {bundle}")
    from speechgru.web import write_site as verb

    require_own_folder(out, kind="site")
    record = verb(bundle, out, form=form, runtime=runtime, golden=golden)
    if as_json:
        print_json(record)
        return
    sizes = record["bytes_on_the_wire"]
    megabytes = {name: f"{size / 1e6:.2f}" for name, size in (*sizes.items(), ("all", sum(sizes.values())))}
    terminal.print(
        f"{record['site']}: the {record['form']} form, {megabytes['all']} MB over the wire where the server compresses "
        f"(model {megabytes['model']}, LiteRT.js {megabytes['runtime']}, page {megabytes['page']})",
        soft_wrap=True,
    )
    for note in record["notes"]:
        terminal.print(note, style="yellow", soft_wrap=True)
    terminal.print("look at it on http://localhost:8000, once it is served:", soft_wrap=True)
    print_next("python", "-m", "http.server", "--directory", record["site"], program="")
