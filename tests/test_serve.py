"""A bundle served to a house, by real clients on the loopback: Wyoming, HTTP and WebSocket."""

import asyncio
import contextlib
import dataclasses
import http.client
import itertools
import json
import os
import shutil
import signal
import socket
import ssl
import stat
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from commands import Commands, needs_fork
from spelt import RATE, STREAMS, WHOLE, say

pytest.importorskip("wyoming", reason="the server needs the extra serve")
pytest.importorskip("uvicorn", reason="the server needs the extra serve")
websockets = pytest.importorskip("websockets", reason="the server needs the extra serve")

from websockets.asyncio.client import connect  # noqa: E402
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402
from wyoming.asr import Transcribe, Transcript, TranscriptChunk  # noqa: E402
from wyoming.audio import AudioChunk, AudioStart, AudioStop  # noqa: E402
from wyoming.client import AsyncClient  # noqa: E402
from wyoming.error import Error  # noqa: E402
from wyoming.info import Describe, Info  # noqa: E402
from wyoming.intent import Intent, NotRecognized, Recognize  # noqa: E402
from wyoming.ping import Ping, Pong  # noqa: E402

from speechgru.decoding import DecodingOptions, EndpointRule  # noqa: E402
from speechgru.errors import UserError  # noqa: E402
from speechgru.grammar import Grammar  # noqa: E402
from speechgru.grammar.nodes import Series, Slot, Text  # noqa: E402
from speechgru.grammar.sentence import Block  # noqa: E402
from speechgru.grammar.sentence import Intent as GrammarIntent  # noqa: E402
from speechgru.network import Address, client_tls  # noqa: E402
from speechgru.runtime import Recognizer  # noqa: E402
from speechgru.runtime.transcription import transcribe  # noqa: E402
from speechgru.serve import Limits, Server, read_token  # noqa: E402
from speechgru.serve.limits import LimitError  # noqa: E402
from speechgru.serve.places import Places  # noqa: E402

TOKEN = "a-token-that-nobody-guesses"
#: Seconds after which a test's client gives up.
PATIENCE = 60.0
#: Another address of this machine, which Linux alone has without being told.
OTHER = "127.0.0.2"
needs_two_addresses = pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is an address on Linux alone")


def pieces_of(samples_N, *, seed=0, most=1200):
    rng, start = np.random.default_rng(seed), 0
    while start < len(samples_N):
        size = int(rng.integers(1, most))
        yield samples_N[start : start + size]
        start += size


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """The bundle that streams, in English, with a grammar of two sentences."""
    folder = Path(shutil.copytree(STREAMS, tmp_path_factory.mktemp("house") / "bundle"))
    nodes = (Text("ab"), Text("bb"), Slot("level", 1, 2))
    grammar = Grammar("en", (*nodes, Series((2,))), (GrammarIntent("Lamp", (Block((0, 3), {"room": "hall"}, 1.0),)),))
    metadata = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(metadata | {"language": "en", "grammar": grammar.as_record()}))
    return folder


@contextlib.contextmanager
def serving(bundle, **options):
    """A server in a thread of its own."""
    server = Server(bundle, wyoming="127.0.0.1:0", **{"http": "127.0.0.1:0", **options})
    loop, started, ended = asyncio.new_event_loop(), threading.Event(), None

    async def main():
        nonlocal ended
        ended = asyncio.Event()
        await server.start()
        started.set()
        await ended.wait()
        await server.stop()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    assert started.wait(PATIENCE)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the server did not end"
        loop.close()


@pytest.fixture(scope="module")
def server(house):
    with serving(house) as server:
        yield server
        assert server.service.num_clients == 0, "a client was not let go"


@pytest.fixture(scope="module")
def offline(house):
    """What the recogniser makes of samples by itself."""
    recognizer = Recognizer(house)
    return lambda samples_N, rate=RATE: recognizer.transcribe(samples_N, rate)


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, PATIENCE))


def wyoming(server):
    return AsyncClient.from_uri(f"tcp://{server.addresses['wyoming']}", read_timeout=PATIENCE)


def stream(server, query="", **options):
    return connect(f"ws://{server.addresses['http']}/stream{query}", **{"compression": None, **options})


def ask(server, method, path, *, body=None, headers=None):
    """A status and what came with it."""
    address = server.addresses["http"]
    connection = http.client.HTTPConnection(address.host, address.port, timeout=PATIENCE)
    connection.request(method, path, body=body, headers=headers or {})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read() or b"null")


async def speak(client, samples_N, *, rate=RATE, num_channels=1, seed=0, most=1200):
    """Speaks as Home Assistant does; gives the transcript and the chunks before it."""
    sound = {"rate": rate, "width": 2, "channels": num_channels}
    await client.write_event(Transcribe(language="en").event())
    await client.write_event(AudioStart(**sound).event())
    for piece in pieces_of(samples_N, seed=seed, most=most):
        await client.write_event(AudioChunk(**sound, audio=piece.tobytes()).event())
    await client.write_event(AudioStop().event())
    chunks = []
    while True:
        event = await client.read_event()
        assert event is not None and not Error.is_type(event.type), event
        if TranscriptChunk.is_type(event.type):
            chunks.append(TranscriptChunk.from_event(event).text)
        if Transcript.is_type(event.type):
            return Transcript.from_event(event), chunks


async def converse(socket, samples_N, *, seed=0, dtype=np.int16):
    """Speaks over a WebSocket; gives all answers."""
    answers = [json.loads(await socket.recv())]
    assert answers[0]["type"] == "ready"
    for piece in pieces_of(samples_N, seed=seed):
        await socket.send(np.asarray(piece, dtype).tobytes())
    await socket.send(json.dumps({"type": "end"}))
    while answers[-1]["type"] not in ("final", "error"):
        answers.append(json.loads(await socket.recv()))
    return answers


# -- Wyoming ---------------------------------------------------------------------------------------------------------


def test_home_assistant_learns_languages_streaming_and_intents(server):
    async def describe():
        async with wyoming(server) as client:
            await client.write_event(Describe().event())
            await client.write_event(Ping(text="there?").event())
            return Info.from_event(await client.read_event()), Pong.from_event(await client.read_event())

    info, pong = run(describe())
    (asr,), (intent,) = info.asr, info.intent
    assert asr.models[0].languages == intent.models[0].languages == ["en"]
    assert asr.supports_transcript_streaming and asr.requires_external_vad and asr.installed
    assert pong.text == "there?"
    assert "/" not in json.dumps(info.to_dict()), "no path of this machine"


def test_a_transcript_is_the_offline_text_and_its_chunks_spell_it(server, offline):
    async def several():
        async with wyoming(server) as client:  # one after the other over one connection
            return [await speak(client, say(text, seed=k), seed=k) for k, text in enumerate(("ab", "bba", "a"))]

    for k, (text, (transcript, chunks)) in enumerate(zip(("ab", "bba", "a"), run(several()), strict=True)):
        assert transcript.text == "".join(chunks) == offline(say(text, seed=k)).text == text
        assert transcript.language == "en"


def test_other_rates_and_channels_are_converted(server, offline):
    samples_N = say("abba", rate=22050, pause=2.0)

    async def stereo(**options):
        async with wyoming(server) as client:
            stereo_NC = np.repeat(samples_N, 2).reshape(-1, 2)
            return await speak(client, stereo_NC, rate=22050, num_channels=2, **options)

    assert run(stereo(most=10**9))[0].text == run(stereo())[0].text == offline(samples_N, 22050).text == "abba"


def test_texts_are_understood_where_the_bundle_has_a_grammar(server):
    async def understand(text):
        async with wyoming(server) as client:
            await client.write_event(Recognize(text=text, context={"room": 1}).event())
            return await client.read_event()

    intent = Intent.from_event(run(understand("ab")))
    assert (intent.name, intent.context) == ("Lamp", {"room": 1})
    assert [(entity.name, entity.value) for entity in intent.entities] == [("room", "hall")]
    assert {(e.name, e.value) for e in Intent.from_event(run(understand("BB"))).entities} >= {("level", 2)}
    assert NotRecognized.from_event(run(understand("aa"))).text == "aa"
    assert Error.from_event(run(understand("a" * 5000))).code == "bad-request"


def test_with_a_grammar_as_constraint_what_is_not_accepted_is_an_empty_transcript(house):
    options = DecodingOptions(beam_width=4, grammar=True, threshold=-0.5)
    expected = [Recognizer(house).transcribe(say(text), RATE, options) for text in ("ab", "aaab")]
    assert expected[0].accepted and not expected[1].accepted and expected[1].text

    async def both(server):
        async with wyoming(server) as client:
            return [await speak(client, say(text)) for text in ("ab", "aaab")]

    with serving(house, decoding=options) as server:
        (first, chunks), (second, none) = run(both(server))
    assert (first.text, chunks, second.text, none) == ("ab", ["ab"], "", [])


def test_an_endpoint_gives_the_transcript_before_the_client_ends(house):
    async def listen(server):
        sound = {"rate": RATE, "width": 2, "channels": 1}
        async with wyoming(server) as client:
            await client.write_event(Describe().event())
            info = Info.from_event(await client.read_event())
            await client.write_event(AudioStart(**sound).event())
            samples_N = say("ab", pause=1.0)
            await client.write_event(AudioChunk(**sound, audio=samples_N.tobytes()).event())
            texts = []
            while not texts or not Transcript.is_type(texts[-1].type):
                texts.append(await client.read_event())
            # What follows belongs to nobody, and the next utterance begins anew.
            await client.write_event(AudioChunk(**sound, audio=samples_N.tobytes()).event())
            await client.write_event(AudioStop().event())
            again, _ = await speak(client, say("ba", pause=0.2))
            return info, Transcript.from_event(texts[-1]), again

    with serving(house, endpoint=EndpointRule(trailing_seconds=0.4)) as server:
        info, transcript, again = run(listen(server))
    assert (transcript.text, again.text) == ("ab", "ba")
    assert info.asr[0].requires_external_vad is False


def test_a_bundle_that_does_not_stream_answers_at_the_end(tmp_path):
    expected = Recognizer(WHOLE).transcribe(say("ab"), RATE).text

    async def both(server):
        async with wyoming(server) as client:
            await client.write_event(Describe().event())
            info = Info.from_event(await client.read_event())
            spoken, chunks = await speak(client, say("ab"))
        async with stream(server) as socket:
            answers = await converse(socket, say("ab"))
        return info, spoken.text, chunks, [answer["type"] for answer in answers], answers[-1]["text"]

    with serving(WHOLE) as server:
        info, text, chunks, types, final = run(both(server))
    assert text == final == expected == "ab" and chunks == [] and types == ["ready", "final"]
    assert info.asr[0].models[0].languages == [] and not info.intent, "it states none, and knows none"


def test_another_language_is_refused_by_name(server):
    async def ask_for(language):
        async with wyoming(server) as client:
            await client.write_event(Transcribe(language=language).event())
            with contextlib.suppress(OSError):
                await client.write_event(Ping().event())
            return await client.read_event()

    assert "writes en, and 'de'" in Error.from_event(run(ask_for("de"))).text
    assert Pong.is_type(run(ask_for("en-GB")).type)


RUBBISH = {
    "noise": np.random.default_rng(0).bytes(3000) + b"\n",
    "no line": b"x" * 200_000,
    "no record": b"[1, 2]\n",
    "deep": b"[" * 60_000 + b"\n",
    "no type": b'{"data": {}}\n',
    "data that is a list": b'{"type": "describe", "data": [1]}\n',
    "a payload of no size": b'{"type": "audio-chunk", "payload_length": 9e18}\n',
    "a long payload": b'{"type": "audio-chunk", "payload_length": 4000000000}\n',
    "less than nothing": b'{"type": "audio-chunk", "payload_length": -1}\n',
    "long data": b'{"type": "describe", "data_length": 400000000}\n',
    "no rate": b'{"type": "audio-start", "data": {"width": 2, "channels": 1}}\n',
    "a rate of none": b'{"type": "audio-start", "data": {"rate": 0, "width": 2, "channels": 1}}\n',
    "three bytes": b'{"type": "audio-start", "data": {"rate": 8000, "width": 3, "channels": 1}}\n',
    "half a sample": b'{"type": "audio-chunk", "data": {"rate": 8000, "width": 2, "channels": 1}, '
    b'"payload_length": 3}\nabc',
    "half a character": b'{"type": "ping", "data": {"text": "\\ud800"}}\n',
    "half a character in the context": b'{"type": "recognize", "data": {"text": "a", "context": {"b": "\\udfff"}}}\n',
    "no number": b'{"type": "ping", "data": {"text": NaN}}\n',
    "a number beyond all": b'{"type": "ping", "data": {"text": 1e999}}\n',
    "a text that is none": b'{"type": "recognize", "data": {"text": {}}}\n',
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


def test_rubbish_is_answered_and_harms_nobody_else(server, offline):
    """A client speaks all the while."""

    async def rubbish(sent):
        address = server.addresses["wyoming"]
        reader, writer = await asyncio.open_connection(address.host, address.port)
        answer = b""
        with contextlib.suppress(OSError):
            writer.write(sent)
            await writer.drain()
            answer = await reader.read()
        writer.close()
        return answer

    async def all_of_it():
        async with wyoming(server) as client:
            spoken = asyncio.create_task(speak(client, say("abab", pause=1.0)))
            answers = await asyncio.gather(*map(rubbish, RUBBISH.values()))
            return await spoken, answers

    (transcript, _), answers = run(all_of_it())
    assert transcript.text == offline(say("abab", pause=1.0)).text
    for name, answer in zip(RUBBISH, answers, strict=True):
        assert b'"error"' in answer and b"fault" not in answer, (name, answer)


# -- HTTP ------------------------------------------------------------------------------------------------------------


def test_a_posted_recording_gives_what_transcribe_gives(server, house, tmp_path):
    path = tmp_path / "ab.flac"
    left_N, right_N = say("ab", rate=16000), say("bb", rate=16000)
    soundfile.write(path, np.stack([left_N[:8000], right_N[:8000]], axis=1), 16000)
    for query, channel in (("", None), ("?channel=1", 1)):
        (expected,) = transcribe(house, [path], channel=channel)
        status, record = ask(server, "POST", f"/transcribe{query}", body=path.read_bytes())
        assert status == 200
        assert record.pop("rtf") >= 0 and expected.pop("rtf") >= 0 and expected.pop("audio_filepath") == str(path)
        assert record == expected


@pytest.mark.parametrize(
    ("body", "path", "headers", "status", "message"),
    [
        (b"", "/transcribe", {}, 400, "empty"),
        (b"hello", "/transcribe", {}, 422, "no recording of a form"),
        (b"#EXTM3U\nfile:///etc/hostname\n", "/transcribe", {}, 422, "no recording of a form"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt nonsense", "/transcribe", {}, 422, "the recording: "),
        (b"RIFF", "/transcribe?channel=x", {}, 400, "channel is a whole number"),
        (b"--x", "/transcribe", {"content-type": "multipart/form-data; boundary=x"}, 400, "curl --data-binary"),
        (b"", "/transcribe", {"content-length": "1000000000"}, 413, "at most 64,000,000 bytes"),
    ],
)
def test_what_is_no_recording_is_refused_without_a_path(server, body, path, headers, status, message):
    found, record = ask(server, "POST", path, body=body, headers=headers)
    assert found == status and message in record["error"], record
    assert not any(place in record["error"] for place in ("/tmp", "speechgru-serve", str(Path.home())))


def test_health_and_info_tell_of_no_machine(server, house):
    assert ask(server, "GET", "/health") == (200, {"status": "ok"})
    status, record = ask(server, "GET", "/info")
    assert status == 200 and record["streams"] and record["intents"] and record["language"] == "en"
    assert str(house) not in json.dumps(record) and house.name not in json.dumps(record)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": "localhost:1"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_pages_of_other_sites_cannot_use_a_server_of_this_machine(server, headers, status):
    assert ask(server, "GET", "/info", headers=headers)[0] == status


def test_a_page_of_the_servers_own_origin_may_use_it(server):
    address = str(server.addresses["http"])
    assert ask(server, "GET", "/info", headers={"Origin": f"http://{address}"})[0] == 200


def test_http_with_a_certificate_is_https_alone(house, certificate, tmp_path):
    trusted, key, other = certificate
    with serving(house, tls=(trusted, key), token=TOKEN) as server:
        address = server.addresses["http"]
        assert server.scheme == "https"

        def ask_safely(trusted, token):
            tls = client_tls(trusted)
            connection = http.client.HTTPSConnection(address.host, address.port, timeout=PATIENCE, context=tls)
            connection.request("GET", "/info", headers={"Authorization": f"Bearer {token}"})
            return connection.getresponse().status

        assert ask_safely(trusted, TOKEN) == 200 and ask_safely(trusted, "another-token-of-mine") == 401
        with pytest.raises(ssl.SSLCertVerificationError):
            ask_safely(other, TOKEN)
        with pytest.raises((http.client.HTTPException, OSError)):
            ask(server, "GET", "/info", headers={"Authorization": f"Bearer {TOKEN}"})
    with pytest.raises(UserError, match="not a certificate and its key in PEM"):
        Server(house, http="127.0.0.1:0", tls=(key, other))


# -- WebSocket -------------------------------------------------------------------------------------------------------


def test_a_stream_shows_the_text_as_it_comes_and_ends_with_the_offline_one(server, offline):
    async def one(query, dtype, scale):
        async with stream(server, query) as socket:
            return await converse(socket, say("abba", pause=0.5) * scale, dtype=dtype)

    expected = offline(say("abba", pause=0.5))
    for query, dtype, scale in (("", np.int16, 1), ("?format=float32", np.float32, 1 / 32768)):
        *partials, final = run(one(query, dtype, scale))[1:]
        assert final["text"] == expected.text and final["words"][0]["start_seconds"] == expected.words[0].start_seconds
        assert final["duration"] == pytest.approx(len(say("abba", pause=0.5)) / RATE)
        assert [partial["text"] for partial in partials] == ["a", "ab", "abb", "abba"]
        assert all(p["seconds"] < q["seconds"] for p, q in itertools.pairwise(partials))


def test_many_streams_share_the_model_and_each_has_its_own_text(server, offline):
    texts = ["".join(np.random.default_rng(k).choice(["a", "b"], size=1 + k % 5)) for k in range(24)]

    async def all_at_once():
        async def one(k):
            async with stream(server) as socket:
                return (await converse(socket, say(texts[k], seed=k), seed=k))[-1]["text"]

        return await asyncio.gather(*map(one, range(len(texts))))

    found = run(all_at_once())
    assert found == [offline(say(text, seed=k)).text for k, text in enumerate(texts)]
    assert sum(map(str.__eq__, found, texts)) > 20, "and they are what was said"


def test_an_endpoint_of_the_clients_parts_utterances(server):
    async def three():
        async with stream(server, "?endpoint=0.3") as socket:
            return await converse(socket, say("ab b aa", pause=1.0))

    answers = run(three())
    assert [answer["text"] for answer in answers if answer["type"] == "utterance"] == ["ab", "b", "aa"]
    assert answers[-1]["text"] == ""


def test_push_to_talk_says_several_things_over_one_connection(server):
    async def twice():
        async with stream(server) as socket:
            texts = [(await converse(socket, say("ab")))[-1]["text"]]
            await socket.send(say("ba").tobytes())
            await socket.send('{"type": "end"}')
            while (answer := json.loads(await socket.recv()))["type"] != "final":
                pass
            return [*texts, answer["text"]]

    assert run(twice()) == ["ab", "ba"]


@pytest.mark.parametrize(
    ("query", "sent", "message"),
    [
        ("?sample_rate=3", None, "sample_rate"),
        ("?sample_rate=many", None, "whole number"),
        ("?format=mp3", None, "int16, int32, float32"),
        ("?channels=0", None, "1 to 16 channels"),
        ("?endpoint=soon", None, "endpoint is a number of seconds"),
        ("?volume=11", None, "unknown option 'volume'"),
        ("", b"abc", "whole samples"),
        ("", "hello", "messages are samples"),
        ("", "[" * 50_000, "messages are samples"),
        ("?format=float32", np.float32([np.nan]).tobytes(), "finite"),
        ("?format=float32", np.float32([1e6]).tobytes(), "full scale is 1"),
    ],
)
def test_what_is_no_stream_gets_one_message(server, query, sent, message):
    async def mistaken():
        async with stream(server, query) as socket:
            answers = []
            with contextlib.suppress(ConnectionClosed):
                if sent is not None:
                    await socket.send(sent)
                while True:
                    answers.append(json.loads(await socket.recv()))
            return answers[-1], socket.close_code

    answer, code = run(mistaken())
    assert answer["type"] == "error" and message in answer["error"], answer
    assert code == 1008


# -- a token ---------------------------------------------------------------------------------------------------------


def test_a_token_opens_http_and_websocket_and_nothing_else_does(house):
    async def open_stream(**options):
        async with stream(server, **options) as socket:
            return json.loads(await socket.recv())["type"]

    with serving(house, token=TOKEN) as server:
        assert ask(server, "GET", "/health")[0] == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": "Bearer é"}):
            status, record = ask(server, "GET", "/info", headers=headers)
            assert status == 401 and "token" in record["error"] and TOKEN not in record["error"]
        good = {"Authorization": f"Bearer {TOKEN}"}
        assert ask(server, "GET", "/info", headers=good)[0] == 200
        assert ask(server, "GET", "/info", headers=good | {"Host": "any.example"})[0] == 200
        with pytest.raises(InvalidStatus) as caught:
            run(open_stream())
        assert caught.value.response.status_code == 401
        assert run(open_stream(additional_headers=good)) == "ready"
        assert run(open_stream(subprotocols=["speechgru", f"token.{TOKEN}"])) == "ready"


def test_an_address_that_others_reach_needs_a_token_or_trust(house):
    with pytest.raises(UserError, match=r"0\.0\.0\.0:0: other machines reach this address, so a token is needed"):
        Server(house, http="0.0.0.0:0")
    with pytest.raises(UserError, match=r"the Wyoming protocol knows no token.*--trust-network"):
        Server(house, wyoming="[::]:0")
    Server(house, http="0.0.0.0:0", token=TOKEN)
    Server(house, wyoming="0.0.0.0:0", trust_network=True)


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_a_missing_token_is_made_for_its_owner_alone(tmp_path):
    token = read_token(tmp_path / "token", {"SPEECHGRU_TOKEN": "x" * 20})
    assert len(token) >= 40 and stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert read_token(tmp_path / "token", {}) == token
    assert read_token(None, {"SPEECHGRU_TOKEN": f" {TOKEN}\n"}) == TOKEN and read_token(None, {}) is None
    (tmp_path / "token").chmod(0o640)
    with pytest.raises(UserError, match=r"token: others than its owner may use it \(mode 640\); chmod 600"):
        read_token(tmp_path / "token", {})
    for bad, message in (
        ("short", "5 characters, and 16 are the least"),
        ("ünicode" * 4, "letters, digits and the ma"),
    ):
        with pytest.raises(UserError, match=message):
            read_token(None, {"SPEECHGRU_TOKEN": bad})


@pytest.mark.parametrize(
    "text",
    ["", "8080", ":8080", "localhost", "localhost:http", "localhost:99999", "::1:80", "a b:1", f"a:{'9' * 5000}"],
)
def test_what_is_no_address_is_refused(text, house):
    with pytest.raises(UserError, match=r"HOST:PORT|brackets|no such host"):
        Server(house, http=text)


def test_an_address_in_use_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"127\.0\.0\.1:{port}: cannot be listened on \(address already in use\)"):
            Address("127.0.0.1", port).listen()


# -- limits ----------------------------------------------------------------------------------------------------------


NARROW = Limits(max_clients=4, max_seconds=2.0, max_megabytes=0.1, max_recordings=1, idle_seconds=20.0)


@pytest.fixture(scope="module")
def narrow(house):
    """A server that allows little."""
    with serving(house, limits=NARROW) as server:
        yield server


@pytest.fixture(scope="module")
def fair(house):
    """A server that lets an address have two of its clients, this machine's too."""
    limits = Limits(max_clients=8, max_clients_per_address=2, max_recordings=2, idle_seconds=20.0)
    with serving(house, limits=limits) as server:
        yield server


@pytest.fixture(scope="module")
def strict(house):
    """And one that waits for nobody; what a busy machine may miss is not tried with it."""
    with serving(house, limits=dataclasses.replace(NARROW, idle_seconds=1.0)) as server:
        yield server


def wait_for_nobody(server):
    deadline = time.monotonic() + PATIENCE
    while server.service.num_clients:
        assert time.monotonic() < deadline, f"{server.service.num_clients} clients were not let go"
        time.sleep(0.01)


def test_more_clients_than_may_be_are_told_to_come_back(narrow):
    async def crowd():
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(4):
                socket = await stack.enter_async_context(stream(narrow))
                await socket.recv()
            with pytest.raises(InvalidStatus) as caught:
                await stack.enter_async_context(stream(narrow))
            async with wyoming(narrow) as client:
                error = Error.from_event(await client.read_event())
            posted = await asyncio.to_thread(ask, narrow, "POST", "/transcribe", body=b"RIFF")
            return caught.value.response, error, posted

    response, error, (status, record) = run(crowd())
    assert response.status_code == status == 503 and response.headers["retry-after"] == "5"
    assert (
        error.code == "limit" and error.text == record["error"] == "all 4 places for clients are taken; try again later"
    )
    wait_for_nobody(narrow)
    assert ask(narrow, "GET", "/info")[0] == 200


@needs_two_addresses
def test_one_address_has_its_share_and_another_still_finds_a_place(fair):
    async def crowd():
        async with contextlib.AsyncExitStack() as stack:
            await (await stack.enter_async_context(stream(fair))).recv()
            await (await stack.enter_async_context(wyoming(fair))).write_event(Ping().event())
            while fair.service.num_clients < 2:
                await asyncio.sleep(0.01)
            with pytest.raises(InvalidStatus) as caught:
                await stack.enter_async_context(stream(fair))
            async with wyoming(fair) as client:
                error = Error.from_event(await client.read_event())
            other = await stack.enter_async_context(stream(fair, local_addr=(OTHER, 0)))
            return caught.value.response, error, (await converse(other, say("ab")))[-1]

    response, error, final = run(crowd())
    assert response.status_code == 429 and response.headers["retry-after"] == "5"
    assert error.code == "limit" and error.text == json.loads(response.body)["error"]
    assert error.text.startswith("this address has 2 clients here already, the most that one may have; end one")
    assert final["text"] == "ab"
    wait_for_nobody(fair)
    assert ask(fair, "GET", "/info")[0] == 200


@needs_two_addresses
@pytest.mark.parametrize("protocol", ["http", "wyoming"])
def test_silent_connections_of_one_address_keep_no_other_out(fair, protocol):
    address, share = fair.addresses[protocol], 2 * 2 + 16
    opened = [socket.create_connection((address.host, address.port), timeout=PATIENCE) for _ in range(share + 3)]
    for each in opened[share:]:
        with contextlib.suppress(ConnectionResetError):
            assert each.recv(1) == b"", "the server has closed it"
    with socket.create_connection((address.host, address.port), timeout=PATIENCE, source_address=(OTHER, 0)) as other:
        other.sendall(b"GET /health HTTP/1.1\r\n\r\n" if protocol == "http" else b'{"type": "ping"}\n')
        assert other.recv(1000)
    for each in opened:
        each.close()
    wait_for_nobody(fair)


@needs_two_addresses
def test_recordings_that_never_end_leave_one_place_to_another_address(fair, tmp_path):
    address, waiting, answers = fair.addresses["http"], [], []
    soundfile.write(tmp_path / "ab.flac", say("ab"), RATE)
    body = (tmp_path / "ab.flac").read_bytes()
    for _ in range(2):  # the second is not read yet: a recording more would be the last that may be received
        waiting.append(http.client.HTTPConnection(address.host, address.port, timeout=PATIENCE))
        waiting[-1].putrequest("POST", "/transcribe")
        waiting[-1].putheader("content-length", str(len(body)))
        waiting[-1].endheaders(body[:4])
        while fair.service.num_clients < len(waiting):
            time.sleep(0.01)
    other = http.client.HTTPConnection(address.host, address.port, timeout=PATIENCE, source_address=(OTHER, 0))
    other.request("POST", "/transcribe", body=body)
    answers.append(other.getresponse())
    for each in waiting:
        each.send(body[4:])
        answers.append(each.getresponse())
    assert [(each.status, json.loads(each.read())["text"]) for each in answers] == [(200, "ab")] * 3


def test_an_address_is_counted_as_whoever_has_it():
    """By default this machine's own addresses may have all: a reverse proxy's clients come by them."""
    houses = [
        ("192.0.2.7", "::ffff:192.0.2.7"),
        ("2001:db8::1", "2001:db8::ffff:1"),
        ("fe80::1%eth0", "fe80::2%eth0"),
        ("", ""),
    ]
    places = Places.of_clients(Limits(max_clients_per_address=1))
    for first, second in houses:
        places.take(first)
        with pytest.raises(LimitError, match="this address has 1 client here already"):
            places.take(second)
        places.leave(second)
        places.take(first)
    places.take("2001:db8:0:1::1")
    places.take("127.0.0.1")
    with pytest.raises(LimitError, match="this address"):
        places.take("::ffff:127.0.0.1")
    assert len(places) == len(houses) + 2

    places = Places.of_clients(Limits())
    for host in ("192.0.2.7",) * 16 + ("127.0.0.1", "::1") * 20:
        places.take(host)
    with pytest.raises(LimitError, match="this address has 16 clients here already"):
        places.take("192.0.2.7")
    for k in range(8):
        places.take(f"198.51.100.{k}")
    with pytest.raises(LimitError, match="all 64 places for clients are taken; try again later"):
        places.take("203.0.113.1")


def test_what_is_too_long_or_too_large_is_refused(narrow, tmp_path):
    long_N = say("ab", pause=3.0)

    async def talk():
        async with stream(narrow) as socket:
            return (await converse(socket, long_N))[-1]

    async def talk_wyoming():
        async with wyoming(narrow) as client:
            with contextlib.suppress(OSError):
                await client.write_event(AudioStart(rate=RATE, width=2, channels=1).event())
                for piece in pieces_of(long_N):
                    await client.write_event(AudioChunk(rate=RATE, width=2, channels=1, audio=piece.tobytes()).event())
            while not Error.is_type((event := await client.read_event()).type):
                pass
            return Error.from_event(event)

    assert run(talk())["error"] == "an utterance may last 2 s here; end it sooner"
    assert run(talk_wyoming()).code == "limit"
    soundfile.write(tmp_path / "long.flac", long_N, RATE)
    status, record = ask(narrow, "POST", "/transcribe", body=(tmp_path / "long.flac").read_bytes())
    assert (status, record["error"]) == (422, "the recording: is longer than 2 s; cut it")
    chunked = iter([b"RIFF", *[b"\0" * 50_000] * 4])
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        assert ask(narrow, "POST", "/transcribe", body=chunked)[0] == 413
    wait_for_nobody(narrow)


def test_an_endless_stream_may_last_where_endpoints_part_it(narrow):
    async def talk():
        async with stream(narrow, "?endpoint=0.3") as socket:
            return await converse(socket, say("ab b a ab", pause=1.0))

    answers = run(talk())
    assert [answer["text"] for answer in answers if answer["type"] == "utterance"] == ["ab", "b", "a", "ab"]


def test_a_client_that_stalls_or_dies_is_let_go(strict):
    async def stall():
        address = strict.addresses["http"], strict.addresses["wyoming"]
        silent = [await asyncio.open_connection(each.host, each.port) for each in address]
        half = await asyncio.open_connection(address[1].host, address[1].port)
        half[1].write(b'{"type": "audio-chunk", "payload_length": 1000}\n' + b"\0" * 10)
        async with stream(strict) as socket:
            await socket.recv()
            await socket.send(say("a").tobytes())
            ends = await asyncio.gather(*(reader.read() for reader, _ in [*silent, half]))
            answers = []
            with contextlib.suppress(ConnectionClosed):
                while True:
                    answers.append(json.loads(await socket.recv()))
        return ends, answers[-1], socket.close_code

    ends, answer, code = run(stall())
    assert ends == [b"", b"", b""] and answer["error"] == "nothing came for too long; begin again" and code == 1013

    def die(kind, sent):
        address = strict.addresses[kind]
        with socket.create_connection((address.host, address.port)) as client:
            client.sendall(sent)
            time.sleep(0.05)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # as a machine that is gone

    die("wyoming", AudioStart(rate=RATE, width=2, channels=1).event().type.encode())
    die("http", b"POST /transcribe HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\nRIFF")
    die("http", b"GET /stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")  # fmt: skip
    wait_for_nobody(strict)


def test_a_client_that_reads_nothing_is_cut_while_others_are_served(strict, offline):
    async def flood():
        address = strict.addresses["wyoming"]
        _, writer = await asyncio.open_connection(address.host, address.port, limit=1)
        line = json.dumps({"type": "ping", "data": {"text": "x" * 60_000}}).encode() + b"\n"
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while True:
                writer.write(line)
                await writer.drain()
        return time.monotonic() - began

    async def both():
        flooding = asyncio.create_task(flood())
        async with wyoming(strict) as client:
            texts = [(await speak(client, say("ab", seed=k)))[0].text for k in range(3)]
        return texts, await flooding

    texts, seconds = run(both())
    assert texts == [offline(say("ab", seed=k)).text for k in range(3)]
    assert seconds < 10
    wait_for_nobody(strict)


def test_connections_that_ask_for_nothing_are_counted_too(strict):
    address, most = strict.addresses["http"], strict.service.limits.max_connections
    opened = [socket.create_connection((address.host, address.port), timeout=PATIENCE) for _ in range(most + 8)]
    refused = 0
    for each in opened[most:]:
        with contextlib.suppress(ConnectionResetError):
            each.recv(1)
        refused += 1
    assert refused == 8
    assert all(each.recv(1) == b"" for each in opened[:most]), "the others are cut once they were silent for too long"
    for each in opened:
        each.close()
    assert ask(strict, "GET", "/info")[0] == 200


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "many"])
def test_a_limit_is_a_number_above_0(value):
    with pytest.raises(UserError, match="max_seconds must be a number above 0"):
        Limits(max_seconds=value)


# -- the command -----------------------------------------------------------------------------------------------------


@needs_fork
def test_the_command_serves_until_a_signal_and_ends_with_its_code(tmp_path):
    commands = Commands(tmp_path, "speechgru.serve.http_protocol", "speechgru.serve.wyoming_protocol", "speechgru.cli")
    try:
        begun = []
        for number in (signal.SIGTERM, signal.SIGINT):
            begun.append(
                (
                    number,
                    commands.start("serve", STREAMS, "--wyoming", "127.0.0.1:0", "--http", "localhost:0", "--json"),
                )
            )
        for number, command in begun:
            deadline = time.monotonic() + PATIENCE
            log = Path(f"{command._log}.err")  # there once the command has begun
            while "http://" not in (printed := log.read_text() if log.exists() else ""):
                assert command.poll() is None and time.monotonic() < deadline, printed
                time.sleep(0.05)
            while not command.printed.endswith("}\n"):  # where it listens, for a program, once it does
                assert command.poll() is None and time.monotonic() < deadline, printed
                time.sleep(0.05)
            addresses = json.loads(command.printed)["addresses"]
            assert addresses["http"].startswith("http://localhost:") and addresses["wyoming"].startswith("127.0.0.1:")
            ports = [int(addresses[name].rpartition(":")[2]) for name in ("http", "wyoming")]
            clients = [socket.create_connection(("127.0.0.1", each)) for each in ports]
            clients[1].sendall(b'{"type": "ping"}\n')
            assert b"pong" in clients[1].recv(1000), "it is served while the server is told to end"
            command.send(number)
            code, printed = command.wait(seconds=PATIENCE)
            for client in clients:
                client.close()
            assert code == 128 + number
            assert "does not state its language" in printed and printed.rstrip().endswith("stopped; nobody came")
            assert "xception" not in printed and "Traceback" not in printed, printed
        code, printed = commands.start("serve", tmp_path / "nothing", "--http", "127.0.0.1:0").wait(seconds=PATIENCE)
        assert code == 2 and "not a bundle" in printed
    finally:
        commands.close()
