"""Many rooms over one server, for minutes, at the pace of speaking: delays, memory, and whether each text is right.

    python scripts/bench_serve.py BUNDLE MANIFEST [--streams 50] [--minutes 5] [--hostile 4] [--form dynamic]

Each stream is somebody who speaks one recording after the other, in pieces of 0.1 s; three of four by WebSocket, the
fourth by Wyoming. `--hostile` adds clients that stall, die, flood the server or send rubbish, over and over: the first
four by Wyoming, the next four by WebSocket, and so on.
`--as-fast-as-possible` sends without pauses, for the throughput. The server is a process of its own.

The last line is JSON. `num_different`: texts that are not the whole recording's; `num_dropped`: speakers that the
server refused or disconnected. `end_ms`: from the sound's end to its text, `p50`, `p99` and `max`;
`word_ms`: the same from a word's end, as the recogniser has it, until the stream's text
holds all of it (by WebSocket, of bundles that stream). A piece is sent once it is spoken, so up to 100 ms of a word's
delay are the client's. `latency_ms`: what the model itself waits for. `rss_mb`: of the server after a third of the
time and at the end, `memory_growth` the second over the first. `cores`: processor seconds of the server a second;
`streams_a_core`: how many speakers a processor of its own would suffice for.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient

from speechgru.audio.reading import read_recording
from speechgru.cli import run_command
from speechgru.errors import UserError
from speechgru.runtime import Recognizer
from speechgru.utterances.manifest import read_manifest

#: Seconds of sound in a message, as sound cards and Home Assistant give it.
PIECE_SECONDS = 0.1
#: Seconds that somebody is silent between two recordings, at most.
PAUSE_SECONDS = 1.0


class Load:
    """What the clients share: recordings, their texts, and what was measured.

    Args:
        recognizer: gives the offline texts.
        manifest: the recordings, of which 100 are spoken.
        addresses: of the server, by protocol.
        until: when to begin no more recordings, of `time.perf_counter`.
        is_paced: whether to speak at the pace of speaking.
    """

    def __init__(self, recognizer: Recognizer, manifest: Path, addresses: dict[str, str], *, is_paced: bool):
        self.rate, self.addresses, self.is_paced = recognizer.sample_rate, addresses, is_paced
        self.sounds = []
        for one in read_manifest(manifest)[:100]:
            path, segment = one.audio_filepath, {"offset": one.offset, "duration": one.duration}
            samples_N = read_recording(path, sample_rate=self.rate, **segment).samples_N
            self.sounds.append(np.rint(32767 * samples_N.clip(-1, 1)).astype("<i2"))
        if not self.sounds:
            raise UserError(f"{manifest}: holds no recording to speak")
        self.expected = [recognizer.transcribe(samples_N, self.rate) for samples_N in self.sounds]
        self.until = 0.0
        self.counts: Counter[str] = Counter()
        self.num_samples = 0
        self.end_ms: list[float] = []
        self.word_ms: list[float] = []

    @property
    def seconds_left(self) -> float:
        """Seconds in which recordings are still begun; a moment at least."""
        return max(0.1, self.until - time.perf_counter())

    async def pieces(self, number: int, began: float):
        """The pieces of a recording, each when it has been spoken."""
        samples_N, size = self.sounds[number], round(PIECE_SECONDS * self.rate)
        for start in range(0, len(samples_N), size):
            piece_N = samples_N[start : start + size]
            if self.is_paced:
                await asyncio.sleep(began + (start + len(piece_N)) / self.rate - time.perf_counter())
            self.num_samples += len(piece_N)
            yield piece_N.tobytes()

    def record(self, number: int, text: str, *, ended: float) -> None:
        """Keeps what one recording gave."""
        self.end_ms.append(1000 * (time.perf_counter() - ended))
        self.counts["recordings"] += 1
        self.counts["different"] += text != self.expected[number].text


async def _speak_on(speak, load: Load, numbers) -> None:
    """Lets somebody speak; one whom the server leaves alone is counted, and begins again."""
    while time.perf_counter() < load.until:
        try:
            await speak(load, numbers)
        except (OSError, WebSocketException):
            load.counts["dropped"] += 1
            await asyncio.sleep(0.1)


async def speak_by_websocket(load: Load, numbers) -> None:
    """Speaks one recording after the other over one WebSocket."""
    rng = np.random.default_rng(next(numbers))
    address = f"ws://{load.addresses['http']}/stream?sample_rate={load.rate}"
    async with connect(address, compression=None, ping_interval=None) as socket:
        await socket.recv()
        while time.perf_counter() < load.until:
            number = next(numbers) % len(load.sounds)
            began = time.perf_counter()
            reading = asyncio.create_task(_read_texts(load, socket, number, began))
            async for piece in load.pieces(number, began):
                await socket.send(piece)
            ended = time.perf_counter()
            await socket.send('{"type": "end"}')
            load.record(number, await reading, ended=ended)
            await asyncio.sleep(rng.uniform(0, PAUSE_SECONDS) * load.is_paced)


async def _read_texts(load: Load, socket, number: int, began: float) -> str:
    """Reads until the final text; records when each word had come."""
    words, come = load.expected[number].words, 0
    while True:
        answer = json.loads(await socket.recv())
        if answer["type"] == "error":
            raise ConnectionError(answer["error"])
        now, shown = time.perf_counter(), answer["text"].split()
        while come < len(words) and shown[: come + 1] == [word.text for word in words[: come + 1]]:
            if load.is_paced:
                load.word_ms.append(1000 * (now - began - words[come].end_seconds))
            come += 1
        if answer["type"] == "final":
            return answer["text"]


async def speak_by_wyoming(load: Load, numbers) -> None:
    """Speaks as Home Assistant does: a connection for each recording."""
    rng, sound = np.random.default_rng(next(numbers)), {"rate": load.rate, "width": 2, "channels": 1}
    while time.perf_counter() < load.until:
        number = next(numbers) % len(load.sounds)
        async with AsyncClient.from_uri(f"tcp://{load.addresses['wyoming']}") as client:
            await client.write_event(Transcribe().event())
            await client.write_event(AudioStart(**sound).event())
            async for piece in load.pieces(number, time.perf_counter()):
                await client.write_event(AudioChunk(**sound, audio=piece).event())
            ended = time.perf_counter()
            await client.write_event(AudioStop().event())
            while (event := await client.read_event()) is not None and not Transcript.is_type(event.type):
                pass
            load.record(number, "" if event is None else Transcript.from_event(event).text, ended=ended)
        await asyncio.sleep(rng.uniform(0, PAUSE_SECONDS) * load.is_paced)


async def misbehave(load: Load, kind: int) -> None:
    """Stalls, dies, floods or sends rubbish, over and over: four kinds by Wyoming, then the same by WebSocket."""
    rng = np.random.default_rng(kind)
    way = _misbehave_by_websocket if kind % 8 >= 4 else _misbehave_by_wyoming
    while time.perf_counter() < load.until:
        load.counts["misdeeds"] += 1
        with contextlib.suppress(OSError, WebSocketException, asyncio.TimeoutError):
            await way(load, kind % 4, rng)
        await asyncio.sleep(0.1)


async def _misbehave_by_wyoming(load: Load, kind: int, rng: np.random.Generator) -> None:
    host, port = load.addresses["wyoming"].rsplit(":", 1)
    chunk = AudioChunk(rate=load.rate, width=2, channels=1, audio=rng.bytes(2 * load.rate)).event()
    head = json.dumps({"type": chunk.type, "data": chunk.data, "payload_length": len(chunk.payload)}).encode() + b"\n"
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        if kind == 0:  # stalls in the midst of a piece
            writer.write(head + chunk.payload[:100])
            await asyncio.wait_for(reader.read(), load.seconds_left)
        elif kind == 1:  # dies
            writer.write(head + chunk.payload[:100])
            await writer.drain()
            await asyncio.sleep(0.1)
            writer.transport.abort()
        elif kind == 2:  # floods, and reads nothing
            while time.perf_counter() < load.until:
                writer.write(head + chunk.payload)
                await asyncio.wait_for(writer.drain(), load.seconds_left)
        else:
            writer.write(rng.bytes(100_000))
            await asyncio.wait_for(reader.read(), 1)
    finally:
        writer.close()


async def _misbehave_by_websocket(load: Load, kind: int, rng: np.random.Generator) -> None:
    address = f"ws://{load.addresses['http']}/stream?sample_rate={load.rate}"
    async with connect(address, compression=None, ping_interval=None, close_timeout=1, max_queue=1) as socket:
        await socket.send(rng.bytes(2 * load.rate))
        if kind == 0:  # stalls: neither sends nor reads
            await asyncio.sleep(load.seconds_left)
        elif kind == 1:  # dies without a closing handshake
            socket.transport.abort()
        elif kind == 2:  # floods, and reads nothing
            while time.perf_counter() < load.until:
                await asyncio.wait_for(socket.send(rng.bytes(2 * load.rate)), load.seconds_left)
        else:
            await socket.send(rng.choice(["end", "{", '{"type": "end", "more": 1}', "x" * 100_000]))
            await asyncio.wait_for(socket.wait_closed(), 1)


async def run_load(load: Load, process: subprocess.Popen, *, num_streams: int, num_hostile: int, seconds: float):
    """Lets all clients speak; gives the server's memory by the second."""
    load.until = time.perf_counter() + seconds
    speakers = [speak_by_wyoming if k % 4 == 3 else speak_by_websocket for k in range(num_streams)]
    clients = [_speak_on(speak, load, itertools.count(7 * k)) for k, speak in enumerate(speakers)]
    clients += [misbehave(load, kind) for kind in range(num_hostile)]
    memory = []

    async def watch() -> None:
        for k in range(13):
            memory.append((k * seconds / 12, resident_mb(process.pid)))
            await asyncio.sleep(seconds / 12)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*clients)
    await watching
    return memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--hostile", type=int, default=0)
    parser.add_argument("--form", default=None)
    parser.add_argument("--as-fast-as-possible", action="store_true")
    args = parser.parse_args()

    recognizer = Recognizer(args.bundle, form=args.form)
    form = () if args.form is None else ("--form", args.form)
    # Whoever died is a client until what came of them has been computed.
    room = ("--max-clients", str(args.streams + 8 * args.hostile + 8))
    command = [sys.executable, "-m", "speechgru.cli", "serve", str(args.bundle), *form, *room]
    command += ["--wyoming", "127.0.0.1:0", "--http", "127.0.0.1:0", "--language", "en", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            listens = process.stdout.readline()
            if not listens:
                raise UserError(f"the server did not start: {process.stderr.read().strip()}")
            addresses = {
                name: address.removeprefix("http://") for name, address in json.loads(listens)["addresses"].items()
            }
            load = Load(recognizer, args.manifest, addresses, is_paced=not args.as_fast_as_possible)
            began, busy = time.perf_counter(), processor_seconds(process.pid)
            memory = asyncio.run(
                run_load(load, process, num_streams=args.streams, num_hostile=args.hostile, seconds=60 * args.minutes)
            )
            seconds, busy = time.perf_counter() - began, processor_seconds(process.pid) - busy
        finally:
            process.send_signal(signal.SIGTERM)
            code, printed = process.wait(30), process.stderr.read()

    console = Console()
    console.print(f"the server: {printed.strip()}", markup=False)
    table = Table("second", "the server's resident memory, MB", title=f"{args.streams} streams, {args.hostile} hostile")
    for second, megabytes in memory:
        table.add_row(f"{second:.0f}", f"{megabytes:.1f}")
    console.print(table)
    delays = {"end_ms": of_delays(load.end_ms), "word_ms": of_delays(load.word_ms)}
    table = Table("delay, ms", "number", "p50", "p99", "max")
    for name, values in (("the sound's end to its text", load.end_ms), ("a word's end to its text", load.word_ms)):
        record = of_delays(values)
        table.add_row(
            name, f"{len(values):,}", *(f"{record[key]:.0f}" for key in ("p50", "p99", "max")) if record else ()
        )
    console.print(table)
    latency = recognizer.metadata.get("latency_seconds")
    settled = memory[len(memory) // 3][1]
    result = {
        "streams": args.streams,
        "hostile": args.hostile,
        "misdeeds": load.counts["misdeeds"],
        "seconds": round(seconds, 1),
        "num_recordings": load.counts["recordings"],
        "num_different": load.counts["different"],
        "num_dropped": load.counts["dropped"],
        **delays,
        "latency_ms": latency and {name: round(1000 * value) for name, value in latency.items()},
        "rss_mb": [settled, memory[-1][1]],
        "memory_growth": round(memory[-1][1] / settled, 4),
        "audio_seconds_per_second": round(load.num_samples / load.rate / seconds, 1),
        "cores": round(busy / seconds, 3),
        "streams_a_core": round(load.num_samples / load.rate / busy),
        "exit_code": code,
    }
    console.print(
        f"{load.counts['recordings']:,} recordings, {load.counts['different']} differ from the whole recording's text, "
        f"{load.counts['dropped']} speakers were dropped; "
        f"{result['audio_seconds_per_second']:.1f} seconds of speech a second by {result['cores']:.2f} cores"
    )
    print(json.dumps(result))


def of_delays(values: list[float]) -> dict[str, float] | None:
    """The median, the 99th percentile and the largest; None of none."""
    if not values:
        return None
    p50, p99 = np.percentile(values, [50, 99])
    return {"p50": round(float(p50), 1), "p99": round(float(p99), 1), "max": round(max(values), 1)}


def resident_mb(pid: int) -> float:
    """Memory of a process that is in use now, MB (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def processor_seconds(pid: int) -> float:
    """Seconds that a process has computed (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    run_command(main)
