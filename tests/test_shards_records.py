"""Shards: what goes in comes out to the last bit, from any place, by any reader; whatever is damaged is found."""

import dataclasses
import hashlib
import json
import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

tf = pytest.importorskip("tensorflow", reason="shards are TFRecord files")

from speechgru.audio.in_graph import error_of  # noqa: E402
from speechgru.errors import AudioError, CorpusError, UserError  # noqa: E402
from speechgru.shards import places  # noqa: E402
from speechgru.shards import records as module  # noqa: E402
from speechgru.shards.folder import verify, write_shard, write_summary  # noqa: E402
from speechgru.shards.reader import Shards  # noqa: E402
from speechgru.shards.records import INDEX_DTYPE, EncodedRecord, Record, compact_samples, decode_record, encode_record  # noqa: E402
from speechgru.text import Vocabulary  # noqa: E402

VOCABULARY = Vocabulary(" 'abcdefghijklmnopqrstuvwxyz")


def bits(values):
    return np.ascontiguousarray(values, np.float32).view(np.uint32)


def make_record(number, *, form="samples", exact=None):
    """A record of random length; every third one holds samples that 16 bits cannot."""
    rng = np.random.default_rng([number, 5])
    num_samples = int(rng.integers(1, 900))
    exact = number % 3 > 0 if exact is None else exact
    if form == "samples" and exact:
        values = (rng.integers(-32768, 32768, num_samples) / 32768).astype(np.float32)
    elif form == "samples":
        values = rng.normal(size=num_samples).astype(np.float32)
    else:
        values = rng.normal(size=(1 + num_samples // 160, 4)).astype(np.float32)
    labels_L = rng.integers(1, 28, rng.integers(0, 9)).astype(np.int32)
    text = VOCABULARY.decode(labels_L)
    speaker = None if number % 2 else f"s{number}"
    return Record(f"{number}.wav", f"/a/{number}.wav", number / 7, 1 / 3, speaker, text, labels_L, values), num_samples


def write_shards(folder, num_records, *, form="samples", max_bytes=4000.0):
    """A folder of shards of made-up records; gives the records."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [make_record(number, form=form) for number in range(num_records)]
    encoded = iter([encode_record(record, num_samples=count) for record, count in made])
    shards, done = [], 0
    while done < num_records:
        shards.append(write_shard(folder, len(shards), encoded, max_bytes=max_bytes))
        done += shards[-1].num_records
    write_summary(
        folder,
        shards,
        form=form,
        sample_rate=16000,
        num_features=None if form == "samples" else 4,
        vocabulary=VOCABULARY,
        settings={"data": {"sample_rate": 16000}},
        sources={"num_skipped": 0},
    )
    return [record for record, _ in made]


def assert_same(record, expected):
    assert record.values.dtype == np.float32 and record.values.shape == expected.values.shape
    np.testing.assert_array_equal(bits(record.values), bits(expected.values))
    np.testing.assert_array_equal(record.labels_L, expected.labels_L)
    plain = [field.name for field in dataclasses.fields(Record) if field.name not in ("values", "labels_L")]
    assert [getattr(record, name) for name in plain] == [getattr(expected, name) for name in plain]


def flip(path, position, bit):
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


@pytest.fixture
def shards(tmp_path):
    """A folder of several shards of samples, and its records."""
    return tmp_path / "shards", write_shards(tmp_path / "shards", 23)


whole_numbers = st.lists(st.integers(-32768, 32767), max_size=30)
floats = st.lists(st.floats(width=32, allow_nan=False), max_size=30)


@given(whole_numbers, floats)
def test_samples_are_kept_to_the_last_bit_and_16_bits_where_these_do(whole, others):
    samples_N = np.array(whole, np.float32) / np.float32(32768)
    assert compact_samples(samples_N).dtype == np.int16
    for values in (samples_N, np.array(others, np.float32), np.append(samples_N, np.array(others, np.float32))):
        is_whole = all(
            -32768 <= float(value) * 32768 <= 32767
            and float(value) * 32768 == int(float(value) * 32768)
            and not (value == 0 and np.signbit(value))
            for value in values
        )
        compact = compact_samples(values)
        assert compact.dtype == (np.int16 if is_whole else np.float32)
        record = Record("a", "/a", 0.0, 0.0, None, "", np.array([], np.int32), values)
        restored = decode_record(encode_record(record, num_samples=len(values)).payload).values
        np.testing.assert_array_equal(bits(restored), bits(values))


@pytest.mark.parametrize("value", [-0.0, 1.0, -1.0 - 2**-15, 2**-16, np.float32(3e38)])
def test_one_sample_that_16_bits_cannot_hold_makes_all_float(value):
    samples_N = np.array([0.5, value, -1.0], np.float32)
    assert compact_samples(samples_N).dtype == np.float32
    assert compact_samples(samples_N[::2]).dtype == np.int16


utf8_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    name=utf8_text,
    text=utf8_text,
    speaker=st.none() | utf8_text,
    offset=st.floats(0, 1e6),
    labels=st.lists(st.integers(1, 2**31 - 1), max_size=8),
    num_frames=st.integers(0, 5),
)
def test_a_record_comes_back_whole_and_has_one_form_only(name, text, speaker, offset, labels, num_frames):
    values = np.random.default_rng(0).normal(size=(num_frames, 3)).astype(np.float32)
    record = Record(name, f"/{name}\udcff", offset, offset / 3, speaker, text, np.array(labels, np.int32), values)
    encoded = encode_record(record, num_samples=5)
    assert_same(decode_record(encoded.payload), record)
    assert encode_record(record, num_samples=5) == encoded
    repeats = sum(labels[k] == labels[k + 1] for k in range(len(labels) - 1))
    assert (encoded.num_samples, encoded.num_labels, encoded.min_steps) == (5, len(labels), len(labels) + repeats)


def test_a_record_that_is_too_long_is_named(monkeypatch):
    monkeypatch.setattr(module, "_MAX_PAYLOAD", (1 << 24) + 1000)
    record, count = make_record(0)
    record = dataclasses.replace(record, values=np.full(300, 0.1, np.float32))
    with pytest.raises(
        AudioError, match=r"/a/0\.wav: 1,200 bytes are too many for a record \(2 GiB\); cut it into seg"
    ):
        encode_record(record, num_samples=count)


def parse_tfrecord(content):
    """(offset, payload) of each record, by the framing: length, its CRC, payload, its CRC."""
    found, place = [], 0
    while place < len(content):
        (size,) = struct.unpack_from("<Q", content, place)
        found.append((place + 12, content[place + 12 : place + 12 + size]))
        place += 12 + size + 4
    return found


@settings(max_examples=30)
@given(sizes=st.lists(st.integers(0, 300), min_size=1, max_size=25), max_bytes=st.integers(1, 700))
def test_an_index_says_where_each_record_lies_and_shards_close_when_full(tmp_path_factory, sizes, max_bytes):
    folder = tmp_path_factory.mktemp("index")
    rng = np.random.default_rng(len(sizes))
    made = [EncodedRecord(rng.bytes(size), int(rng.integers(99)), number, size) for number, size in enumerate(sizes)]
    expected, full = [[]], 0  # the slow reference
    for number, record in enumerate(made):
        expected[-1].append(number)
        full += 16 + len(record.payload)
        if full >= max_bytes and number + 1 < len(made):
            expected.append([])
            full = 0
    items, found = iter(made), []
    while sum(shard.num_records for shard in found) < len(made):
        found.append(write_shard(folder, len(found), items, max_bytes=max_bytes))
    assert [shard.num_records for shard in found] == [len(numbers) for numbers in expected]
    for shard, numbers in zip(found, expected, strict=True):
        content, index = (folder / shard.file).read_bytes(), np.load(folder / shard.index)
        assert (shard.size_bytes, shard.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert shard.index_sha256 == hashlib.sha256((folder / shard.index).read_bytes()).hexdigest()
        assert index.dtype == INDEX_DTYPE
        for entry, number, (offset, payload) in zip(index, numbers, parse_tfrecord(content), strict=True):
            assert payload == made[number].payload
            assert (entry["offset"], entry["size"], entry["crc32"]) == (offset, len(payload), zlib.crc32(payload))
            assert entry["num_samples"] == made[number].num_samples
            assert (entry["num_labels"], entry["min_steps"]) == (number, sizes[number])


@settings(max_examples=15)
@given(num_records=st.integers(1, 12), max_bytes=st.integers(1, 9000))
def test_every_record_is_found_in_any_order(tmp_path_factory, num_records, max_bytes):
    folder = tmp_path_factory.mktemp("order")
    expected = write_shards(folder, num_records, max_bytes=max_bytes)
    opened = Shards.open(folder)
    assert len(opened) == num_records
    for index in np.random.default_rng(0).permutation(num_records):
        assert_same(opened.read(index), expected[index])
        assert opened.utterance_id(index) == expected[index].utterance_id
        content = (folder / f"shard-{opened.shard_of[index]:05d}.tfrecord").read_bytes()
        assert expected[index].audio_filepath.encode() in content
    assert opened.num_samples.tolist() == [len(record.values) for record in expected]
    assert opened.num_labels.tolist() == [len(record.labels_L) for record in expected]
    for wrong in (-1, num_records):
        with pytest.raises(IndexError, match=f"has {num_records} records, from 0; got {wrong}"):
            opened.read(wrong)


def test_what_is_known_of_a_folder(shards):
    folder, expected = shards
    opened = Shards.open(folder)
    assert (opened.form, opened.sample_rate, opened.num_features) == ("samples", 16000, None)
    assert opened.vocabulary == VOCABULARY
    assert opened.settings == {"data": {"sample_rate": 16000}}
    assert opened.seconds == pytest.approx(sum(len(record.values) for record in expected) / 16000)
    assert opened.shard_of.max() + 1 == len(opened.summary["shards"]) > 3
    assert opened.num_samples.dtype == opened.min_steps.dtype == np.int32


def test_an_open_folder_takes_32_bytes_a_record_at_most(shards):
    folder, _ = shards
    opened = Shards.open(folder)
    held = sum(value.nbytes for value in vars(opened).values() if isinstance(value, np.ndarray) and len(value) > 20)
    assert held <= 32 * len(opened)


def test_tensorflow_reads_the_files_without_us(shards):
    folder, expected = shards
    paths = [str(folder / shard["file"]) for shard in Shards.open(folder).summary["shards"]]
    wanted = {
        **{name: tf.io.FixedLenFeature([], tf.string) for name in ("utterance_id", "samples", "dtype", "text")},
        "speaker": tf.io.FixedLenFeature([], tf.string, default_value="nobody"),
        "shape": tf.io.FixedLenFeature([1], tf.int64),
        "labels": tf.io.RaggedFeature(tf.int64),
    }
    parsed = tf.data.TFRecordDataset(paths).map(lambda payload: tf.io.parse_single_example(payload, wanted))
    for example, record in zip(parsed, expected, strict=True):
        if example["dtype"] == b"int16":
            samples_N = tf.cast(tf.io.decode_raw(example["samples"], tf.int16), tf.float32) / 32768.0
        else:
            samples_N = tf.io.decode_raw(example["samples"], tf.float32)
        np.testing.assert_array_equal(bits(samples_N), bits(record.values))
        assert example["shape"].numpy().tolist() == [len(record.values)]
        assert example["labels"].numpy().tolist() == record.labels_L.tolist()
        assert example["speaker"].numpy().decode() == (record.speaker or "nobody")
        assert example["text"].numpy().decode() == record.text


@pytest.mark.parametrize("form", ["samples", "features"])
def test_a_graph_reads_records_by_their_number(tmp_path, form):
    expected = write_shards(tmp_path, 12, form=form)
    opened = Shards.open(tmp_path)
    order = np.random.default_rng(1).permutation(12)
    dataset = tf.data.Dataset.from_tensor_slices(order).map(opened.load, num_parallel_calls=4)
    shape = [None] if form == "samples" else [None, 4]
    assert [spec.shape.as_list() for spec in dataset.element_spec] == [shape, [None]]
    for index, (values, labels_L) in zip(order, dataset, strict=True):
        np.testing.assert_array_equal(bits(values), bits(expected[index].values))
        np.testing.assert_array_equal(labels_L, expected[index].labels_L)
    values, _ = opened.load(tf.constant(3))
    np.testing.assert_array_equal(values, expected[3].values)


def test_a_graph_names_which_record_is_damaged(shards):
    folder, _ = shards
    opened = Shards.open(folder)
    flip(folder / "shard-00001.tfrecord", 40, 3)
    first = int(np.flatnonzero(opened.shard_of == 1)[0])
    with pytest.raises(tf.errors.OpError) as caught:
        list(tf.data.Dataset.from_tensors(first).map(opened.load))
    count = opened.summary["shards"][1]["num_records"]
    assert error_of(caught.value) == (
        f"{folder / 'shard-00001.tfrecord'}: record 1 of {count} is damaged (its checksum is wrong); "
        "copy it again, or run the same `speechgru shard` command, which writes damaged shards anew"
    )


@pytest.mark.parametrize("has_pread", [True, False])
def test_many_threads_read_at_once_from_few_open_files(shards, monkeypatch, has_pread):
    folder, expected = shards
    monkeypatch.setattr(places._Local, "most_open", 2)
    if not has_pread:  # as on Windows
        monkeypatch.delattr(os, "pread", raising=False)
    opened = Shards.open(folder)
    order = np.random.default_rng(2).integers(0, len(opened), 800)

    def read(index):
        np.testing.assert_array_equal(opened.read(index).values, expected[index].values)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, order))
    if os.path.isdir("/proc/self/fd"):
        names = os.listdir("/proc/self/fd")
        targets = [os.readlink(f"/proc/self/fd/{name}") for name in names if os.path.exists(f"/proc/self/fd/{name}")]
        assert sum(target.startswith(str(folder)) for target in targets) <= 2


def test_a_flipped_bit_anywhere_in_a_shard_is_found(tmp_path):
    write_shards(tmp_path, 4, max_bytes=3000)
    path = tmp_path / "shard-00000.tfrecord"
    content = path.read_bytes()
    index = np.load(tmp_path / "shard-00000.index.npy")
    in_payload = np.zeros(len(content), bool)
    row_of = np.zeros(len(content), int)
    for row, entry in enumerate(index):
        in_payload[entry["offset"] : entry["offset"] + entry["size"]] = True
        row_of[entry["offset"] : entry["offset"] + entry["size"]] = row
    assert len(index) > 1
    rng = np.random.default_rng(0)
    framing = np.flatnonzero(~in_payload)
    for position in (*framing, *rng.choice(np.flatnonzero(in_payload), 150, replace=False)):
        flip(path, position, int(rng.integers(8)))
        opened = Shards.open(tmp_path)
        (message,) = verify(tmp_path)
        if in_payload[position]:
            row = int(row_of[position])
            with pytest.raises(
                AudioError, match=rf"shard-00000\.tfrecord: record {row + 1} of {len(index)} is damaged"
            ):
                opened.read(row)
            assert f"its SHA-256 is wrong: record {row + 1} of {len(index)})" in message
        else:
            assert "its SHA-256 is wrong: between the records)" in message
        path.write_bytes(content)
    assert verify(tmp_path) == []


def test_a_flipped_bit_in_an_index_or_in_the_summary_is_found_at_once(tmp_path):
    write_shards(tmp_path, 3)
    rng = np.random.default_rng(0)
    index = tmp_path / "shard-00000.index.npy"
    content = index.read_bytes()
    for position in rng.choice(len(content), 60, replace=False):
        flip(index, position, int(rng.integers(8)))
        with pytest.raises(CorpusError, match=r"shard-00000\.index\.npy: is damaged \(its SHA-256 is wrong\); copy it"):
            Shards.open(tmp_path)
        assert len(verify(tmp_path)) == 1
        index.write_bytes(content)
    summary = tmp_path / "shards.json"
    content = summary.read_bytes()
    for position in rng.choice(len(content), 300, replace=False):
        if not chr(content[position]).isspace():
            flip(summary, position, int(rng.integers(8)))
            with pytest.raises(CorpusError, match=r"shards\.json: (is damaged|is of version|does not describe shards)"):
                Shards.open(tmp_path)
            summary.write_bytes(content)


def test_verifying_names_each_file_and_reports_its_progress(shards):
    folder, _ = shards
    flip(folder / "shard-00000.tfrecord", 30, 0)
    flip(folder / "shard-00002.index.npy", 130, 0)
    with open(folder / "shard-00003.tfrecord", "ab") as stream:
        stream.write(b"x")
    (folder / "shard-00004.tfrecord").unlink()
    calls = []
    messages = verify(folder, progress=lambda *arguments: calls.append(arguments))
    expected = ["shard-00000.tfrecord: is damaged", "shard-00002.index.npy: is damaged", "shard-00003.tfrecord: has "]
    for message, part in zip(messages, [*expected, "shard-00004.tfrecord: cannot be read (No such file"], strict=True):
        assert part in message
        assert message.endswith(
            "copy it again, or run the same `speechgru shard` command, which writes damaged shards anew"
        )
    count = len(json.loads((folder / "shards.json").read_text(encoding="utf-8"))["shards"])
    assert calls[-1] == ("verifying shards", count, count, "4 damaged")
    assert [done for _, done, _, _ in calls] == list(range(1, count + 1))


def test_a_missing_or_changed_shard_is_found_at_opening(shards):
    folder, _ = shards
    path = folder / "shard-00002.tfrecord"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(
        CorpusError, match=rf"shard-00002\.tfrecord: has {len(content) - 1:,} bytes, not {len(content):,}"
    ):
        Shards.open(folder)
    path.unlink()
    with pytest.raises(CorpusError, match=r"shard-00002\.tfrecord: cannot be read \(No such file or directory\); copy"):
        Shards.open(folder)
    path.write_bytes(content)
    (folder / "shard-00002.index.npy").unlink()
    with pytest.raises(CorpusError, match=r"shard-00002\.index\.npy: cannot be read"):
        Shards.open(folder)


def test_a_shard_that_goes_while_it_is_read_is_named(shards):
    folder, _ = shards
    opened = Shards.open(folder)
    (folder / "shard-00000.tfrecord").write_bytes(b"short")
    with pytest.raises(AudioError, match=r"shard-00000\.tfrecord: record 2 of \d+ is damaged"):
        opened.read(1)
    last = len(opened) - 1
    (folder / opened.summary["shards"][-1]["file"]).unlink()
    with pytest.raises(
        AudioError, match=r"tfrecord: record \d+ of \d+ cannot be read \(No such file or directory\); copy"
    ):
        opened.read(last)


def test_a_folder_that_holds_no_finished_shards_is_refused(tmp_path):
    with pytest.raises(
        CorpusError, match=r"nowhere: holds no shards \(no shards\.json\); `speechgru shard` writes them"
    ):
        Shards.open(tmp_path / "nowhere")
    write_shards(tmp_path / "s", 3)
    summary = tmp_path / "s" / "shards.json"
    fields = json.loads(summary.read_text(encoding="utf-8"))
    summary.unlink()
    with pytest.raises(CorpusError, match=r"s: the shards are not finished \(no shards\.json\); run the same `speech"):
        Shards.open(tmp_path / "s")
    for change, message in (
        ({"version": 3}, "is of version 3, this program reads versions 1 to 2; pack the shards again or install"),
        ({"format": "x"}, "does not describe shards"),
        ({"vocabulary": "abc"}, r"is damaged \(its checksum is wrong\)"),
    ):
        summary.write_text(json.dumps({**fields, **change}), encoding="utf-8")
        with pytest.raises(CorpusError, match=message):
            Shards.open(tmp_path / "s")
    summary.write_text("[1", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"shards\.json: is damaged \(Expecting"):
        Shards.open(tmp_path / "s")
    (tmp_path / "file").touch()
    with pytest.raises(CorpusError, match=r"cannot be read \(Not a directory\); name a folder of shards"):
        Shards.open(tmp_path / "file")


def test_a_folder_that_cannot_be_written_is_named_and_the_first_error_counts(tmp_path):
    (tmp_path / "file").touch()
    record = EncodedRecord(b"x", 1, 1, 1)
    with pytest.raises(UserError, match=r"shard-00000\.tfrecord: cannot be written \("):
        write_shard(tmp_path / "file", 0, iter([record]), max_bytes=1)

    def broken():
        yield record
        raise AudioError("the first error")

    with pytest.raises(AudioError, match="the first error"):
        write_shard(tmp_path, 0, broken(), max_bytes=100)
    assert os.listdir(tmp_path) == ["file"]


ODD = [None, True, -1, 1.5, 10**30, 1 << 44, float("inf"), "x", "../../etc/passwd", "a\0b", "\ud800", [], [1], {}]


def leaves(value, path=()):
    """The places of a JSON value's parts, of lists the first alone."""
    for key in value if isinstance(value, dict) else range(min(1, len(value))) if isinstance(value, list) else ():
        yield (*path, key)
        yield from leaves(value[key], (*path, key))


def test_whatever_a_strangers_summary_says_is_read_or_one_error(tmp_path):
    """Its checksum is anybody's to compute: names must stay in the folder, and numbers in what is there."""
    write_shards(tmp_path, 3)
    file = tmp_path / "shards.json"
    summary = json.loads(file.read_text())
    del summary["checksum"]
    num_refused = 0
    for path in leaves(summary):
        for odd in (*ODD, KeyError):
            changed = json.loads(json.dumps(summary))
            place = changed
            for key in path[:-1]:
                place = place[key]
            if odd is KeyError:
                del place[path[-1]]
            else:
                place[path[-1]] = odd
            checksum = hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()
            file.write_text(json.dumps(changed | {"checksum": checksum}))
            try:
                Shards.open(tmp_path).read(0)
            except CorpusError:
                num_refused += 1
    assert num_refused > 200


@pytest.mark.parametrize(
    ("field", "value"), [("offset", -1), ("offset", 1 << 62), ("size", -1), ("size", (1 << 31) - 1), (None, None)]
)
def test_an_index_that_names_what_is_not_in_its_shard_is_refused(tmp_path, field, value):
    write_shards(tmp_path, 3)
    path, file = tmp_path / "shard-00000.index.npy", tmp_path / "shards.json"
    index = np.load(path)
    if field is None:
        index = np.zeros((3, 1 << 10), np.float64)
    else:
        index[field][0] = value
    np.save(path, index)
    summary = json.loads(file.read_text())
    del summary["checksum"]
    summary["shards"][0]["index_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    checksum = hashlib.sha256(json.dumps(summary, sort_keys=True).encode()).hexdigest()
    file.write_text(json.dumps(summary | {"checksum": checksum}))
    with pytest.raises(CorpusError, match=r"shard-00000\.index\.npy: is no index of \d records .*; copy it again"):
        Shards.open(tmp_path)
    assert "is no index of" in verify(tmp_path)[0]


def test_room_for_what_is_fetched_is_made_of_what_was_fetched_alone(tmp_path):
    """A configuration may name a folder of somebody's own shards as the cache."""
    pytest.importorskip("fsspec", reason="stores (extra stores)")
    for name in ("shard-00000.tfrecord", "mine.tfrecord", f"{'a' * 64}.tfrecord"):
        (tmp_path / name).write_bytes(bytes(100))
    place = places.place_of("memory://bucket/shards", cache=tmp_path, cache_gigabytes=1e-9)
    place._make_room(100)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.tfrecord", "shard-00000.tfrecord"]
