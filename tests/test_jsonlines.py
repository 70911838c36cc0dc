import json
import os

import pytest

from speechgru import jsonlines
from speechgru.errors import UserError
from speechgru.jsonlines import Appender, append, encode_line, read_lines, read_records, write_lines

RECORDS = [{"step": 1, "text": "tuò"}, {"step": 2}, {"step": 3, "nested": {"a": [1, None]}}]


def test_what_is_appended_is_read_in_order(tmp_path):
    path = tmp_path / "new" / "log.jsonl"
    for record in RECORDS:
        append(path, record)
    assert read_records(path) == RECORDS
    assert [line.number for line in read_lines(path)] == [1, 2, 3]
    assert path.read_text(encoding="ascii") == "".join(json.dumps(record) + "\n" for record in RECORDS)


def test_a_file_cut_at_any_byte_gives_its_complete_lines_and_is_whole_after_the_next_append(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonlines, "_BLOCK", 7)  # the last newline lies several blocks before the end
    path = tmp_path / "log.jsonl"
    write_lines(path, RECORDS, ascii_only=False)
    content = path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        complete = RECORDS[: sum(end <= cut for end in ends)]
        assert read_records(path) == complete
        append(path, {"step": 9})
        assert read_records(path) == [*complete, {"step": 9}]
        assert path.read_bytes() == content[: max([0, *(end for end in ends if end <= cut)])] + b'{"step": 9}\n'


def test_damaged_lines_have_their_number_and_a_reason(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a": 1}\n\n{"a"\n[2]\n\xff\xfe{\n' + b"[" * 100_000 + b'\n{"a": 3}\n{"torn')
    lines = list(read_lines(path))
    assert [(line.number, line.record) for line in lines] == [
        (1, {"a": 1}), (3, None), (4, None), (5, None), (6, None), (7, {"a": 3}),
    ]  # fmt: skip
    assert [bool(line.error) for line in lines] == [False, True, True, True, True, False]
    assert "expected a JSON object, got list" in lines[2].error
    assert read_records(path) == [{"a": 1}, {"a": 3}]


def test_a_missing_file_has_no_lines_and_a_folder_is_an_error(tmp_path):
    assert list(read_lines(tmp_path / "none.jsonl")) == []
    with pytest.raises(OSError):
        list(read_lines(tmp_path))


def test_a_durable_record_and_its_new_file_are_flushed_to_the_disk(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_ino))
    path = tmp_path / "log.jsonl"
    append(path, {"a": 1})
    assert flushed == []
    path.unlink()
    append(path, {"a": 1}, durable=True)
    assert flushed == [path.stat().st_ino, tmp_path.stat().st_ino]
    append(path, {"a": 2}, durable=True)
    assert flushed[2:] == [path.stat().st_ino]


def test_a_full_disk_is_named_and_leaves_nothing_that_counts(tmp_path):
    resource = pytest.importorskip("resource", reason="needs POSIX limits")
    path, limits = tmp_path / "log.jsonl", resource.getrlimit(resource.RLIMIT_FSIZE)
    append(path, {"a": 1})
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        with (
            Appender(path) as appender,
            pytest.raises(UserError, match=r"log\.jsonl: cannot be written \(File too large\); what was finished"),
        ):
            appender.append({"text": "x" * 50})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.stat().st_size == 20
    assert read_records(path) == [{"a": 1}]
    append(path, {"a": 2})
    assert path.read_bytes() == b'{"a": 1}\n{"a": 2}\n'


def test_a_rewrite_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "log.jsonl"
    write_lines(path, RECORDS)

    def broken():
        yield {"a": 1}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_lines(path, broken())
    assert read_records(path) == RECORDS
    assert os.listdir(tmp_path) == ["log.jsonl"]


def test_half_a_character_is_refused_where_it_would_be_written_as_it_is():
    assert encode_line({"name": "\udcff"}) == b'{"name": "\\udcff"}\n'
    with pytest.raises(UnicodeEncodeError):
        encode_line({"name": "\udcff"}, ascii_only=False)
