"""Shards on object stores, and packed by many machines: the same bytes, damage found, failures tried again."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hub_server import READER
from store_servers import make_place, running
from tones import SAMPLE_RATE, make_config

tf = pytest.importorskip("tensorflow", reason="shards are TFRecord files")
pytest.importorskip("fsspec", reason="fsspec (extra stores)")

from speechgru import stores  # noqa: E402
from speechgru.cli import console  # noqa: E402
from speechgru.config.corpus_files import digest_of  # noqa: E402
from speechgru.config.load import save_config  # noqa: E402
from speechgru.dataset import open_corpus, training_batches  # noqa: E402
from speechgru.errors import ConfigError, CorpusError, UserError  # noqa: E402
from speechgru.files import sha256_of  # noqa: E402
from speechgru.process.locked_folder import locked_folder  # noqa: E402
from speechgru.shards.folder import read_summary, verify  # noqa: E402
from speechgru.shards.merge import merge  # noqa: E402
from speechgru.shards.pack import shard  # noqa: E402
from speechgru.shards.parts import Part  # noqa: E402
from speechgru.shards.reader import Shards  # noqa: E402
from speechgru.stores import Store  # noqa: E402
from speechgru.utterances.manifest import read_manifest  # noqa: E402

#: Some shards of some records each.
SMALL = 0.05


@pytest.fixture(scope="module")
def s3():
    with running("s3") as server:
        yield server


@pytest.fixture(scope="module")
def gs():
    with running("gs") as server:
        yield server


@pytest.fixture(scope="module")
def hf():
    with running("hf") as server:
        yield server


@pytest.fixture
def url(request, monkeypatch, tmp_path):
    """An empty folder on a store: in memory, or on a real server on loopback."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(stores, "_WAIT_SECONDS", 0.001)
    if request.param == "memory":
        return f"memory://{tmp_path.name}/shards"
    name = tmp_path.name.replace("_", "-").lower()[:60]
    return f"{make_place(request.param, request.getfixturevalue(request.param), name, monkeypatch)}/shards"


everywhere = pytest.mark.parametrize("url", ["memory", "s3", "gs", "hf"], indirect=True)
in_memory = pytest.mark.parametrize("url", ["memory"], indirect=True)
on_server = pytest.mark.parametrize("url", ["s3"], indirect=True)


@pytest.fixture(scope="module")
def config(tones, tmp_path_factory):
    return make_config(tones, tmp_path_factory.mktemp("config") / "c.yaml", "data.num_workers=1")


@pytest.fixture(scope="module")
def local(tones, config, tmp_path_factory):
    """The corpus of tones packed on the disk."""
    out = tmp_path_factory.mktemp("local") / "shards"
    shard([tones / "train.jsonl"], out, config=config, shard_megabytes=SMALL)
    return out


def named(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def on_store(url):
    store = Store(url)
    return {name: store.read(name) for name in store.names("*.*")}


def with_train(config, path):
    return config.model_copy(update={"data": config.data.model_copy(update={"train": (str(path),)})})


@everywhere
def test_shards_on_a_store_are_those_on_a_disk(url, tones, config, local):
    summary = shard([tones / "train.jsonl"], url, config=config, shard_megabytes=SMALL)
    assert (summary.num_records, summary.num_kept, summary.out) == (60, 0, url) and summary.num_shards > 4
    assert on_store(url) == named(local)
    assert not list(stores.cache_folder().rglob("*.tfrecord"))
    assert digest_of(url) == digest_of(local) and verify(url) == []
    again = shard([tones / "train.jsonl"], url, config=config, shard_megabytes=SMALL)
    assert again.num_kept == again.num_shards
    there, here = Shards.open(url), Shards.open(local)
    for index in (59, 0):
        assert np.array_equal(there.read(index).values, here.read(index).values)
    kept = list(stores.cache_folder().rglob("*.tfrecord"))
    assert len(kept) == 2 and all(sha256_of(path) == path.stem for path in kept)


@in_memory
def test_training_reads_a_store_as_a_disk(url, tones, config, local):
    summary = shard([tones / "train.jsonl"], url, config=config, shard_megabytes=SMALL)

    def batches(path, start):
        settings = with_train(config, path)
        corpus, _, problems = open_corpus(settings)
        assert not problems
        return list(training_batches(corpus, config=settings, start_step=start).take(10))

    for there, here in zip(batches(url, 3), batches(local, 3), strict=True):
        assert all(np.array_equal(there[key], here[key]) for key in here)
    assert len(list(stores.cache_folder().rglob("*.tfrecord"))) == summary.num_shards


@on_server
def test_the_commands_pack_to_s3_train_from_there_and_verify(url, tones, config, tmp_path, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["speechgru", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            console.main()
        printed = "".join(capsys.readouterr())
        assert "Traceback" not in printed
        return caught.value.code or 0, printed

    save_config(tmp_path / "c.yaml", config)
    code, printed = run("shard", tones / "train.jsonl", "--config", tmp_path / "c.yaml", "--out", url,
                        "--shard-megabytes", SMALL)  # fmt: skip
    assert code == 0 and f"data.train={url}" in printed.replace("\n", ""), printed
    assert run("shard", "--verify", url)[0] == 0
    code, printed = run("train", tmp_path / "c.yaml", "--run", tmp_path / "run", f"data.train={url}",
                        "train.max_steps=2", "data.dev=null")  # fmt: skip
    assert code == 0, printed
    store = Store(url)
    content = bytearray(store.read("shard-00001.tfrecord"))
    content[40] ^= 1
    (tmp_path / "bad").write_bytes(content)
    store.put(tmp_path / "bad", "shard-00001.tfrecord")
    code, printed = run("shard", "--verify", url)
    assert code == 2 and "shard-00001.tfrecord: is damaged" in printed
    for path in stores.cache_folder().rglob("*.tfrecord"):
        path.unlink()
    code, printed = run("train", tmp_path / "c.yaml", "--run", tmp_path / "run2", f"data.train={url}",
                        "train.max_steps=9", "data.dev=null")  # fmt: skip
    assert code == 2 and "is damaged: its SHA-256 is wrong" in printed and "shard-00001" in printed
    code, printed = run("train", tmp_path / "c.yaml", "--run", tmp_path / "run3", f"data.train={url}-missing")
    assert code == 2 and "holds no shards" in printed
    bucket = "s3://no-such-bucket-anywhere/shards"
    code, printed = run("shard", tones / "train.jsonl", "--config", tmp_path / "c.yaml", "--out", bucket)
    assert code == 2 and bucket in printed.replace("\n", ""), printed


@pytest.mark.parametrize("url", ["hf"], indirect=True)
def test_packing_without_rights_ends_before_a_recording_is_read(url, tones, run_command, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", READER)
    monkeypatch.setattr("speechgru.shards.job.examine", None)
    for address, message in (
        (url, "skipped.jsonl: the store answers: "),
        (url.replace("/ann/", "/bob/"), "the Hub has no such repository"),
    ):
        code, _, said = run_command("shard", tones / "train.jsonl", "--out", address)
        assert code == 2 and address in said and message in said and "HF_TOKEN" in said


@in_memory
def test_a_job_that_was_stopped_is_resumed_to_the_same_bytes(url, tones, config, local, monkeypatch):
    puts = []
    put = Store.put

    def killed(self, path, name):
        puts.append(name)
        if len(puts) == 6:
            raise KeyboardInterrupt
        put(self, path, name)

    monkeypatch.setattr(Store, "put", killed)
    with pytest.raises(KeyboardInterrupt):
        shard([tones / "train.jsonl"], url, config=config, shard_megabytes=SMALL)
    monkeypatch.setattr(Store, "put", put)
    with pytest.raises(CorpusError, match=r"not finished \(no shards.json\)"):
        Shards.open(url)
    summary = shard([tones / "train.jsonl"], url, config=config, shard_megabytes=SMALL)
    assert summary.num_kept == 2 and on_store(url) == named(local)


@in_memory
def test_what_fails_for_a_moment_is_tried_again_and_what_stays_wrong_is_one_message(url, monkeypatch, tmp_path):
    store = Store(url)
    (tmp_path / "a").write_bytes(b"content")
    failures = iter([OSError("broken pipe"), TimeoutError("slow")])
    real = type(store._files).put_file

    def fails(self, *arguments, **options):
        error = next(failures, None)
        if error is not None:
            raise error
        return real(self, *arguments, **options)

    monkeypatch.setattr(type(store._files), "put_file", fails)
    store.put(tmp_path / "a", "a")
    assert store.read("a") == b"content"
    failures = iter([OSError("no network")] * 9)
    with pytest.raises(UserError, match=rf"{url}/a: the store answers after 5 attempts: no network; look at"):
        store.put(tmp_path / "a", "a")
    failures = iter([PermissionError("Access Denied")] * 2)
    with pytest.raises(UserError, match="the store answers: Access Denied"):
        store.put(tmp_path / "a", "a")
    with pytest.raises(CorpusError, match="SHA-256 is wrong"):
        store.fetch("a", tmp_path / "b", size=7, sha256="0" * 64)
    with pytest.raises(CorpusError, match="after 5 attempts: has 7 bytes, not 8"):
        store.fetch("a", tmp_path / "b", size=8, sha256="0" * 64)
    assert not (tmp_path / "b").exists()


@in_memory
def test_a_small_cache_makes_room_and_many_threads_read_right(url, tones, config, local, tmp_path):
    shard([tones / "train.jsonl"], url, config=config, shard_megabytes=SMALL)
    there = Shards.open(url, cache=tmp_path / "kept", cache_gigabytes=1.2e-4)
    there._place.most_open = 1
    here = Shards.open(local)
    faults = []

    def read(seed):
        for index in np.random.default_rng(seed).permutation(60):
            if not np.array_equal(there.read(index).values, here.read(index).values):
                faults.append(index)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, range(4)))
    assert not faults
    assert sum(path.stat().st_size for path in (tmp_path / "kept").iterdir()) < 3e5


@pytest.mark.parametrize("address", ["nonsense://a/b", "s3+odd://x"])
def test_an_address_that_is_none_is_one_message(address):
    with pytest.raises(UserError, match="is no store that fsspec knows"):
        Store(address)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s3://", "s3://: names no place"),
        ("gs:///a", "gs:///a: names no place"),
        ("memory:///", "memory:///: lies in this command's"),
    ],
)
def test_an_address_without_a_place_is_no_folder_here(address, message, tones, run_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for arguments in ((tones / "train.jsonl", "--out", address), ("--verify", address), ("--merge", address)):
        code, _, said = run_command("shard", *arguments)
        assert code == 2 and message in said
    assert not list(tmp_path.glob("s3*"))


# -- parts -----------------------------------------------------------------------------------------------------------


def alone(config):
    """The configuration without rules that compare utterances."""
    return config.model_copy(update={"check": config.check.model_copy(update={"leave_out": ("silent",)})})


def pack_parts(manifests, out, config, count):
    for number in range(count, 0, -1):
        yield shard(manifests, out, config=config, shard_megabytes=SMALL, part=Part(number, count))


@pytest.mark.parametrize("count", [1, 3, 7])
def test_parts_hold_each_utterance_once_and_merged_they_are_the_bytes_of_one_run(tones, config, tmp_path, count):
    manifests = [tones / "train.jsonl", tones / "dev.jsonl"]
    config = alone(config)
    shard(manifests, tmp_path / "one", config=config, shard_megabytes=SMALL)
    summaries = list(pack_parts(manifests, tmp_path / "parts", config, count))
    assert sum(summary.num_records for summary in summaries) == 72
    assert max(s.seconds for s in summaries) < 2 * min(s.seconds for s in summaries)
    merged = merge(tmp_path / "parts")
    assert merged.num_records == 72
    assert named(tmp_path / "parts") == named(tmp_path / "one")
    assert verify(tmp_path / "parts") == []


@in_memory
def test_parts_on_a_store_are_merged_there(url, tones, config, tmp_path):
    config = alone(config)
    shard([tones / "train.jsonl"], tmp_path / "one", config=config, shard_megabytes=SMALL)
    list(pack_parts([tones / "train.jsonl"], url, config, 2))
    assert merge(url).out == url
    assert on_store(url) == named(tmp_path / "one")
    assert set(Store(url + "/part-00001-of-00002").names("*")) >= {"plan.jsonl", "shards.json"}


@pytest.fixture
def parts(tones, config, tmp_path):
    list(pack_parts([tones / "train.jsonl"], tmp_path / "parts", alone(config), 3))
    return tmp_path / "parts"


def test_a_part_is_finished_with_its_plan_alone(tones, config, tmp_path, monkeypatch):
    """The disk was full between the two: the same command found the part finished, and merging lacked its plan."""

    def pack():
        return list(pack_parts([tones / "train.jsonl"], tmp_path / "parts", alone(config), 1))

    with monkeypatch.context() as patched:

        def fail(_):
            raise UserError("no space left")

        patched.setattr("speechgru.shards.job.Job.keep_plan", fail)
        with pytest.raises(UserError, match="no space left"):
            pack()
        assert not list((tmp_path / "parts").rglob("shards.json"))
    pack()
    assert merge(tmp_path / "parts").num_records == 60


def test_a_folder_of_parts_that_is_taken_away_does_not_come_back(parts, monkeypatch):
    real = locked_folder

    def take_away(path, **options):
        parts.rename(parts.with_name("away"))
        return real(path, **options)

    monkeypatch.setattr("speechgru.shards.merge.locked_folder", take_away)
    with pytest.raises(UserError, match="parts: is gone, moved or removed"):
        merge(parts)
    assert not parts.exists()


def test_a_missing_unfinished_damaged_or_foreign_part_is_named(parts, tones, config, tmp_path):
    two = parts / "part-00002-of-00003"
    two.rename(tmp_path / "aside")
    with pytest.raises(CorpusError, match="lacks 1 of 3 parts: 2/3; pack them with --part"):
        merge(parts)
    shard([tones / "dev.jsonl"], parts, config=alone(config), shard_megabytes=SMALL, part=Part(2, 3))
    with pytest.raises(CorpusError, match=r"part-00002-of-00003: is a part of another corpus than part 1: .*dev.jsonl"):
        merge(parts)
    for path in two.iterdir():
        path.unlink()
    two.rmdir()
    (tmp_path / "aside").rename(two)
    path = two / "shard-00000.tfrecord"
    content = path.read_bytes()
    path.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    with pytest.raises(
        CorpusError, match=r"part-00002-of-00003.shard-00000.tfrecord: is damaged \(a record's checksum"
    ):
        merge(parts)
    assert not (parts / "shards.json").exists()
    path.write_bytes(content)
    (two / "shards.json").rename(tmp_path / "summary")
    with pytest.raises(CorpusError, match=r"part-00002-of-00003: the shards are not finished"):
        merge(parts)
    (tmp_path / "summary").rename(two / "shards.json")
    (parts / "part-00001-of-00002").mkdir()
    with pytest.raises(CorpusError, match="holds parts of 2 and of 3"):
        merge(parts)
    with pytest.raises(CorpusError, match="holds no parts"):
        merge(tmp_path / "nothing")


def test_parts_that_are_not_merged_are_named_by_all_that_read_shards(tones, config, tmp_path, run_command):
    save_config(tmp_path / "small.yaml", alone(config))
    out = tmp_path / "parts"
    said = []
    for number in (1, 2):
        command = ("shard", tones / "train.jsonl", "--config", tmp_path / "small.yaml", "--out", out)
        code, *printed = run_command(*command, "--part", f"{number}/2")
        assert code == 0
        said.append("".join(printed))
    assert f"{out}: lacks 1 of 2 parts: 2/2; pack them with --part" in said[0] and "next:" not in said[0]
    assert f"next: speechgru shard --merge {out}" in said[1]
    message = f"holds parts that are not merged; `speechgru shard --merge {out}` makes shards of them"
    with pytest.raises(CorpusError, match=message):
        verify(out)
    data = config.data.model_copy(update={"train": (str(out),)})
    with pytest.raises(CorpusError, match=message):
        open_corpus(config.model_copy(update={"data": data}))
    (out / "part-00001-of-00002" / "shards.json").unlink()
    data = config.data.model_copy(update={"train": (str(out / "part-00001-of-00002"),)})
    with pytest.raises(CorpusError, match=r"the shards are not finished \(no shards\.json\)"):
        open_corpus(config.model_copy(update={"data": data}))


def test_parts_are_asked_for_rightly(tones, config, tmp_path):
    for text in ("0/3", "4/3", "3", "a/b", "1/0"):
        with pytest.raises(ConfigError, match="a part is NUMBER/ALL"):
            Part.parse(text)
    leaking = config.model_copy(update={"check": config.check.model_copy(update={"leave_out": ("duplicate",)})})
    with pytest.raises(ConfigError, match=r"check.leave_out: \[duplicate\] compares all of them"):
        shard([tones / "train.jsonl"], tmp_path / "out", config=leaking, part=Part(1, 2))


def test_more_parts_than_utterances_leave_some_empty(tones, config, tmp_path):
    lines = (tones / "train.jsonl").read_text().splitlines(keepends=True)[:3]
    manifest = tones / "three.jsonl"
    manifest.write_text("".join(lines))
    summaries = list(pack_parts([manifest], tmp_path / "parts", alone(config), 5))
    assert sorted(summary.num_records for summary in summaries)[0] == 0
    assert merge(tmp_path / "parts").num_records == 3
    assert read_summary(tmp_path / "parts")["sample_rate"] == SAMPLE_RATE


def test_too_much_that_cannot_be_used_is_refused_when_parts_are_merged(tones, config, tmp_path):
    utterances = read_manifest(tones / "train.jsonl")[:4]
    lines = [{"audio_filepath": u.audio_filepath, "duration": u.duration, "text": u.text} for u in utterances]
    lines[1]["audio_filepath"] = lines[2]["audio_filepath"] = "missing.wav"
    manifest = tmp_path / "some.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    list(pack_parts([manifest], tmp_path / "parts", alone(config), 2))
    with pytest.raises(UserError, match="2 of 4 utterances cannot be used"):
        merge(tmp_path / "parts")


def test_a_summary_of_packing_is_json_ready(tones, config, tmp_path):
    summary = shard([tones / "dev.jsonl"], tmp_path / "out", config=alone(config))
    assert json.dumps({**dataclasses.asdict(summary), "out": str(summary.out)})
