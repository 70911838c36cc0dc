"""The sweep's port: who may call, what a call may say, and that nobody keeps it from others."""

import json
import os
import socket
import threading
import time

import pytest

from speechgru.errors import UserError
from speechgru.files import open_log
from speechgru.network import Address, client_tls, read_token_file, server_tls
from speechgru.process.signals import Stopped
from speechgru.tune import port as port_module
from speechgru.tune.folder import SweepFolder, TrialFolder
from speechgru.tune.heartbeat import Heartbeats
from speechgru.tune.journal import Journal
from speechgru.tune.port import IDLE, RUNNING, Client, Listener, Port, Ticket

TOKEN = "a-token-that-nobody-guesses"
HERE = Address("127.0.0.1", 0)
#: What no worker is called.
BAD_NAMES = [
    "", ".", "..", "../outside", "a/b", "a\\b", "nul\0", "esc\x1b[2J", "turned\u202e", "x" * 151, ".hidden", " ", "a b",
    "a:b", None, 3, 1e400, ["a"], {"a": 1}, True,
]  # fmt: skip


class Trials:
    """A desk with one trial."""

    def __init__(self):
        self.asked = []

    def create_trial(self, tuner_id):
        self.asked.append(tuner_id)
        return Ticket("0000", RUNNING) if len(self.asked) > 1 else Ticket("", IDLE)

    def end_trial(self, trial_id):
        self.asked.append(trial_id)
        if trial_id != "0000":
            raise UserError(f"the sweep has no trial {trial_id}")


class Served:
    """A port in this process, and what it logged."""

    def __init__(self, **options):
        self.desk, self.log = Trials(), []
        listener = Listener(HERE, **options)
        self.port = Port(self.desk, TOKEN, [listener], log=self.log.append)
        (self.address,) = self.port.addresses

    def client(self, token=TOKEN, **options):
        return Client(self.address, token, **{"stopped": lambda: False} | options)

    def connect(self):
        return socket.create_connection((self.address.host, self.address.port), timeout=20)

    def send(self, line):
        """What is answered to some bytes; None where the connection is closed."""
        with self.connect() as connection:
            connection.sendall(line)
            answer = b""
            while block := connection.recv(4096):
                answer += block
        return json.loads(answer) if answer else None

    def call(self, call):
        return self.send(b"speechgru-sweep-1 " + TOKEN.encode() + b" " + json.dumps(call).encode() + b"\n")


@pytest.fixture
def served():
    served = Served()
    with served.port:
        yield served


def test_a_worker_gets_a_trial_and_reports_its_end(served):
    client = served.client()
    assert client.greet()
    assert client.create_trial("host-0") == Ticket("", IDLE)
    assert client.create_trial("host-0") == Ticket("0000", RUNNING)
    client.end_trial("0000")
    assert served.desk.asked == ["host-0", "host-0", "0000"]
    with pytest.raises(UserError, match=r"127\.0\.0\.1:\d+: the chief refuses: the sweep has no trial 0001$"):
        client.end_trial("0001")


@pytest.mark.parametrize("token", ["", "a", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "tök€n"])
def test_without_the_token_no_call_reaches_the_sweep(served, token):
    line = b"speechgru-sweep-1 " + token.encode() + b' {"call": "next", "worker": "host-0"}\n'
    assert "show the sweep's token" in served.send(line)["refused"]
    with pytest.raises(UserError, match="the chief refuses: show the sweep's token, which is in the file `token`"):
        served.client(token).create_trial("host-0")
    assert served.desk.asked == []


def test_refused_calls_are_logged_once_in_a_while(served):
    for _ in range(20):
        served.send(b"speechgru-sweep-1 guess {}\n")
    assert len(served.log) == 1 and "refused a call without the sweep's token" in served.log[0]
    assert TOKEN not in served.log[0] and "guess" not in served.log[0]
    served.port._refused.close()
    assert "refused 19 calls" in served.log[1] and "the last from 127.0.0.1" in served.log[1]


@pytest.mark.parametrize(
    "junk", [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\0", b"\n", b"\0" * 9, b"speechgru-sweep-2 x y\n"]
)
def test_what_speaks_another_protocol_is_refused_at_once(served, junk):
    began = time.monotonic()
    assert "refused" in served.send(junk)
    assert time.monotonic() - began < 5 and served.desk.asked == []


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_a_name_that_is_none_of_a_worker_is_refused_and_not_kept(served, name, tmp_path):
    refused = served.call({"call": "next", "worker": name})["refused"]
    assert refused.startswith("a worker's name has letters, digits and the marks - _ . alone, got ")
    assert refused.isascii() and refused.isprintable() and len(refused) < 200
    assert served.desk.asked == []
    with pytest.raises(UserError, match="a worker's name"):
        SweepFolder(tmp_path).beat(name)


@pytest.mark.parametrize(
    "number", ["", "1", "../0000", "0000/..", "0" * 11, "\u0660" * 4, 0, None, [], "0000\n"], ids=ascii
)
def test_a_number_that_is_none_of_a_trial_is_refused(served, number, tmp_path):
    assert (
        "a trial's number is a text of four digits or more"
        in served.call({"call": "ended", "trial": number})["refused"]
    )
    assert served.desk.asked == []
    with pytest.raises(UserError, match="a trial's number"):
        SweepFolder(tmp_path).trial(number)


@pytest.mark.parametrize("call", [None, [], 1, "next", {}, {"call": "stop"}, {"call": ["next"]}, {"trial": "0000"}])
def test_a_call_that_is_none_is_refused(served, call):
    assert served.call(call)["refused"].startswith("a call is next, with a worker")
    assert "refused" in served.send(b"speechgru-sweep-1 " + TOKEN.encode() + b" " + b"[" * 4000 + b"\n")


def test_who_is_silent_or_too_long_winded_keeps_nobody_waiting(served, monkeypatch):
    monkeypatch.setattr(port_module, "_MOST_OPEN_OF_ONE", 8)
    silent = [served.connect() for _ in range(7)]
    assert served.client().greet()
    crowd = [served.connect() for _ in range(9)]
    assert crowd[-1].recv(1) == b"", "there is no more room for one address"
    assert any("too many at a time" in line for line in served.log)
    for each in (*silent, *crowd):
        each.close()
    with served.connect() as endless, pytest.raises(OSError, match=r"reset|pipe|closed|aborted"):
        endless.sendall((b"speechgru-sweep-1 " + b"x" * 4096) * 10_000)
    assert served.desk.asked == []


def test_a_client_that_sends_nothing_is_cut_off(served, monkeypatch):
    monkeypatch.setattr(port_module, "_SECONDS", 0.2)
    with served.connect() as silent, served.connect() as slow:
        slow.sendall(b"speechgru-")
        assert silent.recv(1) == slow.recv(1) == b""


def test_an_address_has_one_port(served):
    with pytest.raises(
        UserError, match=rf"^{served.address}: cannot be listened on \(address already in use\); give an"
    ):
        Port(Trials(), TOKEN, [Listener(HERE), Listener(served.address)], log=print)


def test_a_port_that_was_left_is_free_again():
    served = Served()
    with served.port:
        assert served.client().greet()
    assert not served.client().greet()
    with Port(Trials(), TOKEN, [Listener(served.address)], log=print):
        assert served.client().greet()


def test_a_client_waits_for_a_chief_until_it_is_stopped(monkeypatch):
    monkeypatch.setattr(port_module, "_IDLE_SECONDS", 0.01)
    served = Served()
    with served.port:
        pass
    looks = iter([False, False, True])
    with pytest.raises(Stopped):
        served.client(stopped=lambda: next(looks)).create_trial("host-0")
    monkeypatch.setattr(port_module, "_CHIEF_SECONDS", 0.0)
    with pytest.raises(Stopped):
        served.client().create_trial("host-0")


@pytest.mark.parametrize(
    "answer", [b"{}\n", b"[]\n", b"\xff\n", b'{"status": "RUNNING"}\n', b'{"status": "RUNNING", "trial": "../../x"}\n']
)
def test_a_worker_believes_no_chief_that_answers_something_else(answer):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        address = Address("127.0.0.1", server.getsockname()[1])
        with pytest.raises(UserError, match=r"as no chief of this version does|a trial's number"):
            Client(address, TOKEN, stopped=lambda: False).create_trial("host-0")


# -- TLS -------------------------------------------------------------------------------------------------------------


def test_tls_is_for_who_trusts_the_certificate(certificate, monkeypatch):
    monkeypatch.setattr(port_module, "_SECONDS", 1.0)
    trusted, key, other = certificate
    served = Served(tls=server_tls(trusted, key))
    with served.port:
        assert served.client(tls=client_tls(trusted)).greet()
        with pytest.raises(UserError, match="refuses: show the sweep's token"):
            served.client("another-token-of-mine", tls=client_tls(trusted)).greet()
        with pytest.raises(UserError, match=r"its certificate is not trusted \(.*\); give the chief's with --tls-cert"):
            served.client(tls=client_tls(other)).create_trial("host-0")
        assert not served.client().greet(), "plain words are not understood"
        elsewhere = Client(Address("localhost", served.address.port), TOKEN, tls=client_tls(trusted), stopped=lambda: 0)
        with pytest.raises(UserError, match="make it for the host's name or address that --chief names"):
            elsewhere.greet()
    assert served.desk.asked == []


def test_a_chief_without_tls_is_named_as_one(served, certificate):
    with pytest.raises(UserError, match=r"speaks no TLS \(.*\); leave --tls-certificate out"):
        served.client(tls=client_tls(certificate[0])).greet()


def test_files_that_are_no_certificates_are_named(certificate, tmp_path):
    trusted, _, other = certificate
    with pytest.raises(UserError, match=r"sweep\.crt, .*other\.crt: not a certificate and its key in PEM"):
        server_tls(trusted, other)
    with pytest.raises(UserError, match=r"none\.crt: not a certificate in PEM \(no such file"):
        client_tls(tmp_path / "none.crt")
    (tmp_path / "text.crt").write_text("no certificate")
    with pytest.raises(UserError, match=r"text\.crt: not a certificate in PEM"):
        client_tls(tmp_path / "text.crt")


# -- the folder ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with names")
def test_a_pipe_in_the_sweeps_folder_blocks_nothing(tmp_path):
    sweep, read = SweepFolder(tmp_path), []
    trial = sweep.trial("0000")
    for path in (sweep.beat("w-0"), sweep.status, sweep.token, sweep.journal, trial.outcome, trial.plan, trial.log):
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path, 0o600)

    def look():
        heartbeats = Heartbeats(sweep)
        read.append([heartbeats.is_alive("w-0"), heartbeats.is_alive("w-0")])
        for fails in (
            trial.read_outcome,
            trial.read_plan,
            lambda: read_token_file(sweep.token),
            lambda: trial.is_claimed,
        ):
            with pytest.raises(UserError, match=r"(?i)it is a device or a pipe, not a file"):
                fails()
        for fails in (lambda: Journal(sweep.journal), lambda: open_log(trial.log)):
            with pytest.raises(UserError, match=r"not a file|cannot be written \(No such device"):
                fails()
        read.append("all")

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(10)
    assert read == [[True, True], "all"], "unknown ones count as alive for a minute"


DONE = {"status": "completed", "score": 0.5, "reason": None, "wer": 0.5, "cer": 0.5, "parameters": 9, "repeats": [0.5]}
DONE |= {"broken_limits": {}, "training_seconds": 1.0, "measuring_seconds": 0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "done"}, "status is completed, failed or refused, got 'done'"),
        ({"status": ["failed"]}, "status is completed, failed or refused"),
        ({"score": float("nan")}, "score is a number from 0, got nan"),
        ({"score": None}, "score is a number from 0, got None"),
        ({"wer": "0.5"}, "wer is a number from 0, got '0.5'"),
        ({"wer": True}, "wer is a number from 0, got True"),
        ({"parameters": 10**400}, "parameters is a number from 0, got 1000"),
        ({"rtf": -1}, "rtf is a number from 0, got -1"),
        ({"repeats": 3}, "repeats is a list"),
        ({"repeats": [None]}, "repeats is a number from 0, got None"),
        ({"broken_limits": {"max_rtf": "x"}}, "max_rtf is a number from 0"),
        ({"reason": 3}, "reason is a text, got 3"),
    ],
)
def test_a_trials_outcome_has_types_and_ranges(tmp_path, change, message):
    trial = TrialFolder(tmp_path / "0000")
    trial.path.mkdir()
    trial.outcome.write_text(json.dumps(DONE))
    assert trial.read_outcome() == DONE
    trial.outcome.write_text(json.dumps(DONE | change))
    with pytest.raises(UserError) as caught:
        trial.read_outcome()
    assert str(caught.value).startswith(f"{trial.outcome}: is damaged ({message}")
    assert "remove it, and the trial continues from its checkpoint" in str(caught.value)
