"""The Free Spoken Digit Dataset: the official split, joined digits, and a download that trusts nothing."""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import http.server
import io
import shutil
import tarfile
import threading
import time
import urllib.parse
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechgru.corpora import archive, connected, download, fsdd, prepare
from speechgru.errors import CorpusError
from speechgru.utterances.manifest import Utterance, read_manifest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "fsdd"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/fsdd is not on this machine")
WORDS = "zero one two three four five six seven eight nine".split()  # noqa: SIM905


def write_recordings(folder: Path, takes=(0, 4, 5, 9, 10, 11, 49)) -> Path:
    """A small dataset of the same form: bursts over faint noise."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for digit in (0, 3, 7):
        for speaker in ("ada", "bob"):
            for take in takes:
                samples = 0.001 * rng.standard_normal(rng.integers(1600, 4000))
                samples[200:1400] += 0.3 * np.sin(np.arange(1200) * (0.1 + 0.05 * digit))
                soundfile.write(folder / f"{digit}_{speaker}_{take}.wav", samples, 8000, subtype="PCM_16")
    return folder


@pytest.fixture
def source(tmp_path) -> Path:
    write_recordings(tmp_path / "source" / "recordings")
    return tmp_path / "source"


def take_of(name: str) -> int:
    return int(name.removesuffix(".wav").split("_")[2])


@pytest.mark.parametrize("inner", ["", "recordings"])
def test_split_is_by_take_and_audio_stays(source, tmp_path, inner):
    before = sorted(path.name for path in (source / "recordings").iterdir())
    manifests = prepare("fsdd", tmp_path / "out", source=source / inner)
    assert list(manifests) == ["train", "dev", "test"]
    for split, takes in (("train", {10, 11, 49}), ("dev", {5, 9}), ("test", {0, 4})):
        utterances = read_manifest(manifests[split])
        assert {take_of(u.utterance_id) for u in utterances} == takes
        assert len(utterances) == 6 * len(takes)
        for u in utterances:
            assert Path(u.audio_filepath).parent == source / "recordings"
            assert u.text == WORDS[int(u.utterance_id[0])]
            assert u.speaker == u.utterance_id.split("_")[1]
            assert u.duration == pytest.approx(soundfile.info(u.audio_filepath).duration, abs=1e-6)
    assert sorted(path.name for path in (source / "recordings").iterdir()) == before
    assert not (tmp_path / "out" / "joined").exists()


def test_a_held_out_speaker_is_the_test_set_and_in_no_other(source, tmp_path):
    manifests = prepare_joined(source, tmp_path / "out", held_out_speaker="bob")
    splits = {"train": ("ada", {10, 11, 49}), "dev": ("ada", {5, 9}), "test": ("bob", {0, 4, 5, 9, 10, 11, 49})}
    for split, (speaker, takes) in splits.items():
        utterances = read_manifest(manifests[split])
        assert len(utterances) == 3 * len(takes)
        assert {u.speaker for u in utterances} == {speaker}
        assert {take_of(u.utterance_id) for u in utterances} == takes
        joined = read_manifest(manifests[f"{split}_joined"])
        assert len(joined) == {"train": 60, "dev": 8, "test": 12}[split]
        names = {name for u in joined for name in u.extra["recordings"]}
        assert {name.split("_")[1] for name in names} == {speaker}
        assert {take_of(name) for name in names} <= takes


def test_speakers_that_are_not_there_are_named(source, tmp_path):
    with pytest.raises(CorpusError, match=r"one of the speakers in .*recordings, ada, bob, got 'eve'"):
        prepare("fsdd", tmp_path / "out", source=source, held_out_speaker="eve")
    assert not (tmp_path / "out").exists(), "refused before anything is written"
    for path in (source / "recordings").glob("*_ada_*.wav"):
        path.unlink()
    with pytest.raises(CorpusError, match=r"no recording for the train set; expected takes 5-9 \(dev\) and 10-49"):
        prepare("fsdd", tmp_path / "out", source=source, held_out_speaker="bob")


def prepare_joined(source, out, **options):
    return prepare("fsdd", out, source=source, joined=4, joined_train=60, joined_dev=8, joined_test=12, **options)


def test_joined_digits_come_from_one_speaker_and_their_own_split(source, tmp_path):
    manifests = prepare_joined(source, tmp_path / "out")
    splits = {"train": {10, 11, 49}, "dev": {5, 9}, "test": {0, 4}}
    for split, takes in splits.items():
        utterances = read_manifest(manifests[f"{split}_joined"])
        assert len(utterances) == {"train": 60, "dev": 8, "test": 12}[split]
        counts = {len(u.text.split()) for u in utterances}
        assert counts == ({1, 2, 3, 4} if split == "train" else {4})
        assert {u.speaker for u in utterances} == {"ada", "bob"}
        for u in utterances:
            assert u.text.split() == [WORDS[int(name[0])] for name in u.extra["recordings"]]
            assert {name.split("_")[1] for name in u.extra["recordings"]} == {u.speaker}
            assert {take_of(name) for name in u.extra["recordings"]} <= takes


def test_joins_say_where_the_recordings_stand(source, tmp_path):
    manifests = prepare_joined(source, tmp_path / "out")
    bare_edges = 0
    for u in read_manifest(manifests["train_joined"]) + read_manifest(manifests["test_joined"]):
        samples, sample_rate = soundfile.read(u.audio_filepath, dtype="int16")
        assert sample_rate == 8000
        assert len(samples) == round(u.duration * 8000)
        silent = np.ones(len(samples), bool)
        for (start, end), name in zip(u.extra["joins"], u.extra["recordings"], strict=True):
            word, _ = soundfile.read(source / "recordings" / name, dtype="int16")
            np.testing.assert_array_equal(samples[round(start * 8000) : round(end * 8000)], word)
            silent[round(start * 8000) : round(end * 8000)] = False
        pauses = [b[0] - a[1] for a, b in zip(u.extra["joins"], u.extra["joins"][1:], strict=False)]
        assert all(0.0498 < pause < 0.3 for pause in pauses)
        bare_edges += (u.extra["joins"][0][0] == 0) + (u.extra["joins"][-1][1] == pytest.approx(u.duration))
        if silent.sum() > 800:  # the recordings' own noise of 0.001, neither digital silence nor louder
            assert 0.0005 < np.std(samples[silent] / 32768) < 0.002
    assert bare_edges > 0


def test_digits_of_train_alone_are_cut_tight(source, tmp_path):
    whole, tight = (
        prepare_joined(source, tmp_path / name, joined_tight=share) for name, share in (("a", 0.0), ("b", 1.0))
    )
    lengths = [
        round(8000 * (end - start))
        for utterance in read_manifest(tight["train_joined"])
        for start, end in utterance.extra["joins"]
    ]
    # The burst of 1,200 samples, from within a block to within another, and at most 20 ms on either side.
    assert min(lengths) >= 1200 - 2 * 40 and max(lengths) <= 1200 + 2 * 40 + 2 * 160 and len(set(lengths)) > 5
    for split in ("dev", "test"):
        one, other = (read_manifest(manifests[f"{split}_joined"]) for manifests in (whole, tight))
        for before, after in zip(one, other, strict=True):
            assert Path(before.audio_filepath).read_bytes() == Path(after.audio_filepath).read_bytes()


def test_joined_list_follows_from_the_seed(source, tmp_path):
    def digest(out: Path, **options) -> str:
        prepare_joined(source, out, **options)
        files = sorted(path for path in out.rglob("*") if path.is_file() and "joined" in str(path.relative_to(out)))
        return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()

    first = digest(tmp_path / "a")
    assert first == digest(tmp_path / "b")
    assert first != digest(tmp_path / "b", seed=1)
    assert first == digest(tmp_path / "b", seed=0)


def test_every_recording_is_joined_about_equally_often(source, tmp_path):
    utterances = read_manifest(prepare_joined(source, tmp_path / "out")["test_joined"])
    names = [name for u in utterances for name in u.extra["recordings"]]
    assert {names.count(name) for name in names} == {4}
    assert len(set(names)) == 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"joined": 1}, "joined must be 0"),
        ({"joined": -1}, "joined must be a whole number, 0 to 50, got -1"),
        ({"joined": 5, "joined_dev": 0}, "joined_dev must be a whole number, 1 to 999999, got 0"),
        ({"seed": 0.5}, "seed must be a whole number"),
        ({"joined": 5, "joined_tight": 1.5}, "joined_tight must be a share, 0 to 1, got 1.5"),
        ({"join": 5}, r"no option 'join' \(did you mean joined\?\)"),
    ],
)
def test_wrong_arguments_are_named(source, tmp_path, options, message):
    with pytest.raises(CorpusError, match=message):
        prepare("fsdd", tmp_path / "out", source=source, **options)


def test_wrong_source_is_named(source, tmp_path):
    with pytest.raises(CorpusError, match=r"nowhere: no such folder"):
        prepare("fsdd", tmp_path / "out", source=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match=r"empty: holds no recordings.*7_theo_12\.wav"):
        prepare("fsdd", tmp_path / "out", source=tmp_path / "empty")
    for path in (source / "recordings").glob("*_[04].wav"):
        path.unlink()
    with pytest.raises(CorpusError, match="has no recording for the test set"):
        prepare("fsdd", tmp_path / "out", source=source)


def test_unusable_recordings_are_named(source, tmp_path):
    (source / "recordings" / "0_ada_0.wav").write_text("not audio")
    soundfile.write(source / "recordings" / "3_bob_5.wav", np.zeros(100), 16000)
    with pytest.raises(CorpusError, match=r"0_ada_0\.wav \(cannot be decoded .*\), 3_bob_5\.wav \(100 samples, 160"):
        prepare("fsdd", tmp_path / "out", source=source)
    (source / "recordings" / "seven.wav").write_text("")
    with pytest.raises(CorpusError, match=r"seven\.wav is not named digit_speaker_take\.wav"):
        prepare("fsdd", tmp_path / "out", source=source)


@needs_shared
def test_real_recordings_have_the_official_split_and_checksum(tmp_path):
    manifests = prepare("fsdd", tmp_path, source=SHARED)
    assert {split: len(read_manifest(path)) for split, path in manifests.items()} == {
        "train": 2400,
        "dev": 300,
        "test": 300,
    }
    assert fsdd.content_checksum(SHARED / "recordings") == fsdd.CONTENT_SHA256


@needs_shared
def test_real_speakers_can_be_held_out(tmp_path):
    manifests = prepare("fsdd", tmp_path, source=SHARED, held_out_speaker="theo")
    counts = {split: len(read_manifest(path)) for split, path in manifests.items()}
    assert counts == {"train": 2000, "dev": 250, "test": 500}


# Downloading: from a server on this machine only.


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def answer(self, *headers, status=200):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def drip(self, piece):
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                self.wfile.write(piece)
                time.sleep(0.02)

    def do_GET(self):
        kind, _, value = urllib.parse.unquote(self.path)[1:].partition("?")
        if kind == "cut.tar.gz":
            self.answer(("Content-Length", "100000"))
            self.wfile.write(b"x" * 500)
        elif kind == "length":
            self.answer(*(("Content-Length", each) for each in value.split("&")))
            self.wfile.write(b"x" * 500)
        elif kind == "to":
            self.answer(("Location", value), status=302)
        elif kind == "partial":
            self.answer(status=206)
        elif kind == "drip":
            self.answer(("Content-Length", "100000"))
            self.drip(b"x")
        elif kind == "headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
            self.drip(b"x")
        else:
            super().do_GET()


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    (tmp_path / "www").mkdir()
    handler = functools.partial(Quiet, directory=tmp_path / "www")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture
def release(source, tmp_path, server, monkeypatch) -> str:
    """The small dataset as a release on the server, known by its checksum."""
    with tarfile.open(tmp_path / "www" / "v.tar.gz", "w:gz") as packed:
        packed.add(source, arcname="free-spoken-digit-dataset-1.0.10")
    monkeypatch.setattr(fsdd, "URL", f"{server}/v.tar.gz")
    monkeypatch.setattr(fsdd, "CONTENT_SHA256", fsdd.content_checksum(source / "recordings"))
    return fsdd.URL


def test_download_gives_what_the_folder_gives(release, source, tmp_path):
    calls = []
    out = tmp_path / "out"
    manifests = prepare("fsdd", out, progress=lambda *call: calls.append(call))
    local = prepare("fsdd", tmp_path / "local", source=source)
    for split, path in manifests.items():
        fetched = read_manifest(path)
        assert [(u.utterance_id, u.text, u.duration) for u in fetched] == [
            (u.utterance_id, u.text, u.duration) for u in read_manifest(local[split])
        ]
        assert all(Path(u.audio_filepath).is_relative_to(out) for u in fetched)
        assert str(out) not in path.read_text()  # the folder can be moved
    assert sorted(path.name for path in out.iterdir()) == ["dev.jsonl", "raw", "test.jsonl", "train.jsonl"]
    done = [call[1:3] for call in calls if call[0] == "downloading"]
    assert done[-1][0] == done[-1][1] > 0


def test_second_run_needs_no_network(release, tmp_path, monkeypatch):
    prepare("fsdd", tmp_path / "out")
    monkeypatch.setattr(fsdd, "URL", "http://127.0.0.1:9/nothing.tar.gz")
    prepare("fsdd", tmp_path / "out")
    next((tmp_path / "out" / "raw" / "recordings").iterdir()).unlink()
    with pytest.raises(CorpusError, match=r"remove it to download anew.*checksum"):
        prepare("fsdd", tmp_path / "out")


def test_nothing_of_the_users_is_removed_by_a_download(release, tmp_path, monkeypatch):
    out = tmp_path / "mine"
    for name in ("raw/take 1.wav", "unpacked/notes.txt", "fsdd.tar.gz"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("mine")
    with pytest.raises(CorpusError, match=r"mine/raw: is where the recordings would go, and is not theirs; move it"):
        prepare("fsdd", out)
    (out / "raw").rename(out / "my recordings")
    prepare("fsdd", out)
    assert [(out / name).read_text() for name in ("my recordings/take 1.wav", "unpacked/notes.txt", "fsdd.tar.gz")] == [
        "mine"
    ] * 3
    assert (out / "raw" / "recordings").is_dir() and not list(out.glob(".speechgru*"))


def test_other_recordings_are_refused(release, tmp_path, monkeypatch):
    monkeypatch.setattr(fsdd, "CONTENT_SHA256", "0" * 64)
    with pytest.raises(CorpusError, match=rf"{release}: its 42 recordings have the checksum .*--source"):
        prepare("fsdd", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("path", "message"),
    [("/missing.tar.gz", "HTTP Error 404"), ("/cut.tar.gz", "broke off after 500 of 100,000 bytes"), (None, "refused")],
)
def test_failed_download_names_the_url_and_leaves_nothing(server, tmp_path, monkeypatch, path, message):
    url = f"{server}{path}" if path else "http://127.0.0.1:9/v.tar.gz"
    monkeypatch.setattr(fsdd, "URL", url)
    with pytest.raises(CorpusError, match=message) as caught:
        prepare("fsdd", tmp_path / "out")
    assert str(caught.value).startswith(f"{url}: ")
    assert "--source" in str(caught.value)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_download_larger_than_expected_is_refused(server, tmp_path):
    (tmp_path / "www" / "big").write_bytes(b"0" * 2000)
    with pytest.raises(CorpusError, match="larger than the 1,000 bytes"):
        download.download(f"{server}/big", tmp_path / "to" / "big", max_bytes=1000, advice="use --source")
    assert not list((tmp_path / "to").iterdir())


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("to?ftp://127.0.0.1/v", "ftp://127.0.0.1/v is not https"),
        ("to?file:///etc/passwd", "'file:///etc/passwd' is not allowed"),
        ("to?http://example.org/v", "http://example.org/v is not https"),
        ("to?http://127.0.0.1.example.org/v", "http://127.0.0.1.example.org/v is not https"),
        ("to?http://user@example.org#@127.0.0.1/", "is not https"),
        ("to?/to%3F/missing", "HTTP Error 404"),
        ("length?-5", "the server gives the length '-5'"),
        ("length?5e2", "the server gives the length '5e2'"),
        ("length?500&400", "the server gives the length '400, 500'"),
        ("partial", "the server answers 206"),
    ],
)
def test_a_server_that_says_what_it_should_not_is_refused(server, tmp_path, path, reason):
    with pytest.raises(CorpusError) as caught:
        download.download(f"{server}/{path}", tmp_path / "to" / "v", max_bytes=1000, advice="use --source")
    message = str(caught.value)
    assert message.startswith(f"{server}/{path}: cannot be downloaded (") and message.endswith("; use --source")
    assert reason in message
    assert list((tmp_path / "to").iterdir()) == []


@pytest.mark.parametrize("path", ["drip", "headers"])
def test_a_slow_drip_ends_in_time(server, tmp_path, path):
    began = time.monotonic()
    with pytest.raises(CorpusError, match=f"/{path}: takes more than 0 s; try again, or use --source"):
        download.download(f"{server}/{path}", tmp_path / "v", max_bytes=10**6, max_seconds=0.3, advice="use --source")
    assert time.monotonic() - began < 2 and not (tmp_path / "v").exists()


def test_a_length_that_is_too_large_is_refused_before_anything_comes(server, tmp_path):
    with pytest.raises(CorpusError, match="larger than the 400 bytes"):
        download.download(f"{server}/length?500", tmp_path / "v", max_bytes=400, advice="use --source")


@pytest.mark.parametrize(
    "url", ["http://example.org/v", "ftp://127.0.0.1/v", "file:///etc/passwd", "data:,a", "https:", "v"]
)
def test_what_is_not_https_is_not_asked(tmp_path, monkeypatch, url):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("asked"))
    with pytest.raises(CorpusError, match="is not https"):
        download.download(url, tmp_path / "v", max_bytes=10, advice="use --source")


def test_https_does_not_lead_back_to_this_machine():
    import urllib.request

    request = urllib.request.Request("https://example.org/v")
    with pytest.raises(OSError, match="is not https"):
        download._Redirects().redirect_request(request, io.BytesIO(), 302, "Found", {}, "http://127.0.0.1/v")


# Unpacking: archives that want more than they should.


def member(name: str, *, data: bytes = b"data", **fields) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data) if fields.get("type", tarfile.REGTYPE) == tarfile.REGTYPE else 0
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def pack(path: Path, *members) -> Path:
    with tarfile.open(path, "w:gz") as packed:
        for info, data in members:
            packed.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return path


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([member("/etc/passwd")], "'/etc/passwd' has an absolute path"),
        ([member("C:/windows")], "absolute path or a drive"),
        ([member("a\\..\\..\\b")], "absolute path or a drive"),
        ([member("../outside")], r"'\.\./outside' has '\.\.' in its path"),
        ([member("a/../../outside")], r"has '\.\.' in its path"),
        ([member("a", type=tarfile.SYMTYPE, linkname="/etc")], "'a' is neither a file nor a folder"),
        ([member("a", type=tarfile.LNKTYPE, linkname="good")], "'a' is neither a file nor a folder"),
        ([member("a", type=tarfile.CHRTYPE)], "'a' is neither a file nor a folder"),
        ([member("a", type=tarfile.FIFOTYPE)], "'a' is neither a file nor a folder"),
        ([member("good")], "'good' stands in it twice"),
        ([member("good/inner")], "'good/inner' cannot have its folder"),
        ([member("big", data=bytes(300_000))], "unpacks to more than 200,000 bytes"),
        ([member(f"file{number}") for number in range(20)], "more than 10 files"),
    ],
)
def test_malicious_archives_are_refused_whole(tmp_path, bad, message):
    packed = pack(tmp_path / "a.tar.gz", member("good"), *bad)
    (tmp_path / "to").mkdir()
    with pytest.raises(CorpusError, match=message) as caught:
        archive.unpack(packed, tmp_path / "to" / "folder", max_members=10, max_bytes=200_000)
    assert str(caught.value).startswith(str(packed))
    assert not list((tmp_path / "to").iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "to"]


def test_header_that_unpacks_to_gigabytes_is_refused_without_reading_them(tmp_path):
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 4 << 30
    packed = tmp_path / "bomb.tar.gz"
    with gzip.open(packed, "wb") as stream:
        stream.write(info.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(20):
            stream.write(bytes(1 << 20))
    with pytest.raises(CorpusError, match="unpacks to more than 1,000,000 bytes"):
        archive.unpack(packed, tmp_path / "folder", max_members=10, max_bytes=1_000_000)


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "not gzip"])
def test_damaged_archives_are_refused(tmp_path, damage):
    packed = pack(tmp_path / "a.tar.gz", member("good", data=np.random.default_rng(0).bytes(50_000)))
    data = packed.read_bytes()
    packed.write_bytes(
        {"cut": data[:20_000], "garbage": gzip.compress(b"x" * 5000), "empty": b"", "not gzip": b"hello"}[damage]
    )
    with pytest.raises(CorpusError, match=r"is not a whole \.tar\.gz"):
        archive.unpack(packed, tmp_path / "folder", max_members=10, max_bytes=200_000)
    assert not (tmp_path / "folder").exists()


def test_good_archive_is_unpacked_and_not_over_another(tmp_path):
    members = [member("top/", type=tarfile.DIRTYPE), member("top/a/b.wav", data=b"sound"), member("./top/c")]
    packed = pack(tmp_path / "a.tar.gz", *members)
    archive.unpack(packed, tmp_path / "folder", max_members=10, max_bytes=200_000)
    assert (tmp_path / "folder" / "top" / "a" / "b.wav").read_bytes() == b"sound"
    assert (tmp_path / "folder" / "top" / "c").read_bytes() == b"data"
    with pytest.raises(CorpusError, match="stands already"):
        archive.unpack(packed, tmp_path / "folder", max_members=10, max_bytes=200_000)
    shutil.rmtree(tmp_path / "folder")
    archive.unpack(packed, tmp_path / "folder", max_members=10, max_bytes=200_000)


def test_parts_of_a_recording_are_joined_and_not_the_whole_of_it(tmp_path):
    samples = (1000 * np.sin(np.arange(8000) * 0.3)).astype(np.int16)
    soundfile.write(tmp_path / "both.wav", samples, 8000, subtype="PCM_16")
    parts = [
        Utterance(str(tmp_path / "both.wav"), 0.25, "one", "ada", offset=0.0, segment=True),
        Utterance(str(tmp_path / "both.wav"), 0.125, "two", "ada", offset=0.5),
    ]
    joined = connected.join(
        parts, tmp_path / "joined", num_utterances=2, num_words=range(2, 3), sample_rate=8000, seed=[0]
    )
    for utterance in joined:
        written, _ = soundfile.read(utterance.audio_filepath, dtype="int16")
        for word, (start, end) in zip(utterance.text.split(), utterance.extra["joins"], strict=True):
            expected = samples[:2000] if word == "one" else samples[4000:5000]
            np.testing.assert_array_equal(written[round(8000 * start) : round(8000 * end)], expected)


def test_a_word_cut_tight_loses_what_a_telephone_hears_softly_even_where_it_is_loud():
    """A "six": 100 ms of hiss at 6 kHz, and a vowel of 500 Hz, 6 dB louder."""
    rate, rng = 16000, np.random.default_rng(0)
    seconds = np.arange(3200) / rate
    hiss_N = np.sin(2 * np.pi * 6000 * seconds[:1600] + rng.uniform(0, 6)) * 8000
    word_N = np.concatenate([hiss_N, np.sin(2 * np.pi * 500 * seconds) * 16000]).astype(np.int16)
    lengths = [len(connected.without_soft_ends(word_N, np.random.default_rng(number), rate)) for number in range(60)]
    is_whole = np.array(lengths) > 4600
    assert 0.1 < is_whole.mean() < 0.4, "the hiss stays where all of it is heard, in a fifth of the draws"
    assert all(3200 <= length <= 3600 for length in np.array(lengths)[~is_whole]), "and else the vowel is left"
    for short_N in (np.zeros(0, np.int16), np.ones(200, np.float32)):
        np.testing.assert_array_equal(connected.without_soft_ends(short_N, rng, rate), short_N)


def test_a_click_that_is_louder_than_its_word_leaves_the_word():
    samples_N = (300 * np.sin(np.arange(4000) * 0.3)).astype(np.int16)
    samples_N[100:110] = 30_000
    for number in range(20):
        cut_N = connected.without_soft_ends(samples_N, np.random.default_rng(number), 8000)
        assert len(cut_N) > 0.9 * len(samples_N)
    silent_N = np.zeros(4000, np.int16)
    np.testing.assert_array_equal(connected.without_soft_ends(silent_N, np.random.default_rng(0), 8000), silent_N)
