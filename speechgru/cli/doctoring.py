"""The command that looks at the machine."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from speechgru.cli.console import JsonFlag, Table, app, print_beginning, print_json, print_next, terminal


@app.command()
def doctor(
    tensorflow: Annotated[
        bool, typer.Option("--tensorflow", help="Also load TensorFlow, which takes seconds, and list its devices.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show what this machine has for speechgru, what is missing, and how to get it.

    What a report of a fault needs, with no path of this machine in it. Ends with code 1 where something is wrong; what
    is merely not installed is not.
    Example: `speechgru doctor --json`
    """
    print_beginning("looking at this machine")
    from speechgru.doctor import examine

    record = examine(load_tensorflow=tensorflow)
    if as_json:
        print_json(record)
    else:
        _print_record(record)
        print_next("init", "my.yaml")
    if record["problems"]:
        raise typer.Exit(1)


def _print_record(record: dict[str, Any]) -> None:
    table = Table("this machine", "")
    for name, value in _facts(record).items():
        table.add_row(name, value)
    terminal.print(table)
    packages = ", ".join(f"{name} {version}" for name, version in record["packages"].items())
    terminal.print(f"packages: {packages}", highlight=False, soft_wrap=True)
    table = Table("for", "here", "how to get it")
    for extra in record["extras"].values():
        missing = extra["missing"]
        how = f"{extra['get']} (missing: {', '.join(missing)})" if missing else ""
        table.add_row(extra["for"], "no" if missing else "yes", how)
    for name, engine in record["engines"].items():
        table.add_row(f"voices: {name}", "yes" if engine["found"] else "no", engine["reason"])
    for name, program in record["programs"].items():
        table.add_row(
            f"program {name}", "yes" if program["found"] else "no", "" if program["found"] else program["for"]
        )
    terminal.print(table)
    for problem in record["problems"]:
        terminal.print(f"wrong: {problem}", style="yellow", soft_wrap=True)


def _facts(record: dict[str, Any]) -> dict[str, str]:
    """What the table says of the machine, in words."""
    system, compiled, disk = record["system"], record["compiled_code"], record["system"]["disk_free_gb"]
    gpus = [f"{gpu['name']}, {gpu['memory']}, driver {gpu['driver']}" for gpu in record["gpus"]]
    microphones = [f"{device['number']}: {device['name']}" for device in record["microphones"]["devices"]]
    loaded = record["tensorflow"]
    commit = record["speechgru"]["commit"]
    facts = {
        "speechgru": record["speechgru"]["version"] + (f", commit {commit[:12]}" if commit else ""),
        "Python": f"{record['python']['version']} ({record['python']['implementation']})",
        "system": system["platform"],
        "processor": f"{system['processor'] or system['machine']}, {system['cores']} cores for this process",
        "memory": "" if system["memory_gb"] is None else f"{system['memory_gb']:g} GB",
        "disk": f"{disk['here']:g} GB free here, {disk['temporary']:g} GB for temporary files",
        "GPU": "\n".join([*gpus, record["gpu_note"]]),
        "TensorFlow's devices": ", ".join(loaded["devices"]) if loaded else "",
        "compiled code": ("allowed" if compiled["allowed"] else "not allowed")
        + (f": {compiled['reason']}" if compiled["reason"] else "")
        + (f"; kept {compiled['kept']}" if compiled["kept"] else ""),
        "microphones": "\n".join(microphones) or record["microphones"]["reason"],
        "environment": ", ".join(f"{name}={value}" for name, value in record["environment"].items()),
    }
    return {name: value for name, value in facts.items() if value}
