"""Manifests: what is written is read again, and a line that is not an utterance is named."""

import json
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechgru.errors import ManifestError
from speechgru.utterances.manifest import Utterance, read_manifest, relative_path, write_manifest

GOOD = {"audio_filepath": "a.wav", "duration": 1.5, "text": "yes"}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
seconds = st.integers(0, 10**9).map(lambda microseconds: microseconds / 10**6)
utterances = st.builds(
    Utterance,
    audio_filepath=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=20)
    .filter(lambda name: name not in (".", ".."))
    .map(lambda name: f"/corpus/{name}"),
    duration=seconds,
    text=texts,
    speaker=st.none() | texts,
    offset=seconds,
    extra=st.dictionaries(
        st.sampled_from(["rate", "snr_db", "überhaupt"]), st.integers() | texts | st.none() | st.booleans(), max_size=3
    ),
    segment=st.booleans(),
    channel=st.none() | st.integers(1, 65_535),
)


@given(st.lists(utterances, min_size=1, max_size=5))
def test_what_is_written_is_read_again(tmp_path, given_utterances):
    path = write_manifest(tmp_path / "m.jsonl", given_utterances)
    expected = [
        Utterance(u.audio_filepath, u.duration, u.text, u.speaker, u.offset, u.extra, line, u.segment, u.channel)
        for line, u in enumerate(given_utterances, start=1)
    ]
    assert read_manifest(path) == expected


def test_a_corpus_moves_as_one_folder(tmp_path):
    inside, outside = tmp_path / "corpus" / "audio" / "a.wav", tmp_path / "other" / "b.wav"
    path = write_manifest(
        tmp_path / "corpus" / "m.jsonl", [Utterance(str(inside), 1.0, "a"), Utterance(str(outside), 1.0, "b")]
    )
    written = [json.loads(line)["audio_filepath"] for line in path.read_text(encoding="utf-8").splitlines()]
    assert written == ["audio/a.wav", "../other/b.wav"]
    (tmp_path / "corpus").rename(tmp_path / "moved")
    read = [utterance.audio_filepath for utterance in read_manifest(tmp_path / "moved" / "m.jsonl")]
    assert read == [str(tmp_path / "moved" / "audio" / "a.wav"), str(outside)]


def test_a_path_is_relative_but_where_nothing_is_in_common(tmp_path):
    folder = tmp_path / "data"
    for path in (tmp_path / "data" / "~" / "a.wav", tmp_path / "a b.wav", tmp_path / "data" / "~b.wav"):
        written = write_manifest(folder / "m.jsonl", [Utterance(str(path), 1.0, "a")])
        assert not os.path.isabs(json.loads(written.read_text(encoding="utf-8"))["audio_filepath"])
        assert read_manifest(written)[0].audio_filepath == str(path)
    assert relative_path("/nowhere/a.wav", folder) == "/nowhere/a.wav"


def test_recordings_are_found_as_other_programs_write_their_paths(tmp_path, write_lines, monkeypatch):
    nemo, home = tmp_path / "there" / "clips", tmp_path / "home"
    for name in ("nemo.wav", "Stra\u00dfe/gr\u00fcn.wav"):
        (nemo / name).parent.mkdir(parents=True, exist_ok=True)
        (nemo / name).touch()
    home.mkdir()
    (home / "mine.wav").touch()
    (tmp_path / "far" / "folder").mkdir(parents=True)
    (tmp_path / "far" / "near.wav").touch()
    data = tmp_path / "data"
    data.mkdir()
    (data / "link").symlink_to(tmp_path / "far" / "folder")
    monkeypatch.chdir(tmp_path / "there")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    written = {
        "clips/nemo.wav": nemo / "nemo.wav",  # relative to the working folder
        "x/../a.wav": data / "a.wav",
        "../there/clips/nemo.wav": nemo / "nemo.wav",
        "~/mine.wav": home / "mine.wav",
        unicodedata.normalize("NFD", f"{nemo}/Stra\u00dfe/gr\u00fcn.wav"): nemo / "Stra\u00dfe" / "gr\u00fcn.wav",
        "..\\there\\clips\\nemo.wav": nemo / "nemo.wav",
        "link/../near.wav": data / "near.wav",  # as it reads; where it leads is asked where there is no such folder
        "gone/b.wav": data / "gone" / "b.wav",
    }
    path = write_lines(data / "m.jsonl", [{**GOOD, "audio_filepath": name} for name in written])
    assert [utterance.audio_filepath for utterance in read_manifest(path)] == list(map(str, written.values()))


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_what_a_mark_says_is_how_it_is_read(tmp_path, coding):
    path = tmp_path / "m.jsonl"
    path.write_bytes((json.dumps({**GOOD, "text": "gr\u00fcn"}, ensure_ascii=False) + "\r\n").encode(coding))
    assert [utterance.text for utterance in read_manifest(path)] == ["gr\u00fcn"]


def test_a_speaker_has_one_name_however_it_is_written(tmp_path, write_lines):
    lines = [{**GOOD, "speaker": unicodedata.normalize(form, "Zo\u00eb")} for form in ("NFC", "NFD")]
    assert {utterance.speaker for utterance in read_manifest(write_lines(tmp_path / "m.jsonl", lines))} == {"Zo\u00eb"}


def test_paths_are_relative_to_the_manifest_not_to_the_current_folder(tmp_path, write_lines, monkeypatch):
    (tmp_path / "data").mkdir()
    write_lines(tmp_path / "data" / "m.jsonl", [GOOD])
    monkeypatch.chdir(tmp_path)
    (utterance,) = read_manifest("data/m.jsonl")
    assert utterance.audio_filepath == str(tmp_path / "data" / "a.wav")


def test_optional_fields_and_fields_of_others_are_kept(tmp_path, write_lines):
    record = {**GOOD, "speaker": "ada", "offset": 0.25, "snr_db": 20.5, "tags": ["a", {"b": None}]}
    (utterance,) = read_manifest(write_lines(tmp_path / "m.jsonl", [record]))
    assert (utterance.speaker, utterance.offset, utterance.duration) == ("ada", 0.25, 1.5)
    assert utterance.extra == {"snr_db": 20.5, "tags": ["a", {"b": None}]}
    assert utterance.utterance_id == "a.wav@0.250"
    written = write_manifest(tmp_path / "again.jsonl", [utterance])
    assert json.loads(written.read_text(encoding="utf-8")) == record


def test_an_offset_makes_a_segment_be_it_0(tmp_path, write_lines):
    path = write_lines(tmp_path / "m.jsonl", [GOOD, {**GOOD, "offset": 0}, {**GOOD, "offset": 0.5}])
    read = read_manifest(path)
    assert [utterance.segment for utterance in read] == [False, True, True]
    write_manifest(path, read)
    assert ["offset" in json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == [
        utterance.segment for utterance in read
    ]
    assert Utterance("/a.wav", 1.0, "a", offset=2.0).segment, "without being given it"


def test_a_line_may_name_a_channel(tmp_path, write_lines):
    lines = [{"audio_filepath": "call.wav", "duration": 2.0, "text": "yes", "channel": 2}]
    lines.append({"audio_filepath": "call.wav", "duration": 1.0, "text": "no", "channel": 1, "offset": 0.5})
    given = read_manifest(write_lines(tmp_path / "m.jsonl", lines))
    assert [utterance.channel for utterance in given] == [2, 1]
    assert [utterance.utterance_id for utterance in given] == ["call.wav#2", "call.wav#1@0.500"]
    assert not any(utterance.extra for utterance in given)
    assert read_manifest(write_manifest(tmp_path / "again.jsonl", given)) == given


def test_lines_are_counted_as_an_editor_counts_them(tmp_path, write_lines):
    path = write_lines(tmp_path / "m.jsonl", ["", GOOD, "   ", {**GOOD, "text": "a\u2028b\u0085c"}, GOOD, ""])
    assert [utterance.line for utterance in read_manifest(path)] == [2, 4, 5]


@pytest.mark.parametrize(
    "encode", [lambda text: text.replace("\n", "\r\n").encode(), lambda text: text.encode("utf-8-sig")]
)
def test_what_other_systems_editors_write_is_read(tmp_path, encode):
    path = tmp_path / "m.jsonl"
    path.write_bytes(encode(json.dumps(GOOD) + "\n" + json.dumps(GOOD) + "\n"))
    assert [utterance.text for utterance in read_manifest(path)] == ["yes", "yes"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "turn on the light",
            "is not JSON (Expecting value at column 1): 'turn on the light'; expected one object a line",
        ),
        ('{"audio_filepath": "a.wav", ', "is not JSON (Expecting property name"),
        ("{'audio_filepath': 'a.wav'}", 'such as {"audio_filepath": "a.wav", "duration": 1.5, "text": "yes"}'),
        ("[]", "expected a JSON object, got list"),
        ("null", "expected a JSON object, got NoneType"),
        ("{}", "lacks audio_filepath and duration and text; got the keys (none)"),
        ({"audio_filepath": "a.wav", "dur": 1}, "lacks duration and text; got the keys audio_filepath, dur"),
        ({**GOOD, "audio_filepath": ""}, "audio_filepath is empty; give the path of a recording"),
        ({**GOOD, "audio_filepath": 7}, "audio_filepath must be text in quotes, got 7"),
        ({**GOOD, "text": None}, "text must be text in quotes, got None"),
        ({**GOOD, "text": 7}, "text must be text in quotes, got 7"),
        ({**GOOD, "speaker": 7}, "speaker must be text in quotes, got 7"),
        ({**GOOD, "duration": "1.5"}, "duration must be a number of seconds, 0 or more, got '1.5'"),
        ({**GOOD, "duration": True}, "duration must be a number of seconds, 0 or more, got True"),
        ({**GOOD, "duration": None}, "duration must be a number of seconds, 0 or more, got None"),
        ({**GOOD, "duration": -1}, "duration must be a number of seconds, 0 or more, got -1"),
        ({**GOOD, "offset": float("nan")}, "offset must be a number of seconds, 0 or more, got nan"),
        ({**GOOD, "offset": float("inf")}, "offset must be a number of seconds, 0 or more, got inf"),
        ({**GOOD, "channel": 0}, "channel must be a channel's number from 1 on, got 0; give another name to a field"),
        ({**GOOD, "channel": "left"}, "channel must be a channel's number from 1 on, got 'left'"),
        ({**GOOD, "channel": True}, "channel must be a channel's number from 1 on, got True"),
        ({**GOOD, "channel": 10**400}, "channel must be a channel's number from 1 on, got 1000000"),
        ({**GOOD, "duration": 10**400}, "duration must be a number of seconds, 0 or more, got 1000000000"),
        ({**GOOD, "offset": 10**12}, "offset must be a number of seconds, 0 or more, got 1000000000000"),
        ({**GOOD, "text": [1] * 500}, "..."),
        ({**GOOD, "audio_filepath": "a\0.wav"}, "audio_filepath holds a null character"),
        ({**GOOD, "text": "\ud800"}, "half of a character, which UTF-8 cannot hold"),
        ("[" * 100_000, ":2: is n"),  # "not JSON" or "nested too deeply", by the version of Python
        ('{"duration": ' + "9" * 5000 + "}", "is not JSON ("),
    ],
)
def test_a_line_that_is_not_an_utterance_is_named(tmp_path, write_lines, line, message):
    path = write_lines(tmp_path / "m.jsonl", [GOOD, line, GOOD])
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))


@given(st.binary(max_size=60) | st.text("{}[]\"':,audio_filepath0.1e9 \n\\u", max_size=60).map(str.encode))
def test_any_file_is_a_manifest_or_one_readable_error(tmp_path, content):
    path = tmp_path / "any.jsonl"
    path.write_bytes(content)
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("wrong", "ending"),
    [
        ((2,), "got the keys a"),
        ((2, 4), "got the keys a. Line 4 is not an utterance either"),
        ((2, 3, 5), "got the keys a. The lines 3 and 5 are not utterances either"),
        (range(2, 1003), ". 1,000 more lines are not utterances either: 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, ..."),
    ],
)
def test_all_lines_that_are_not_utterances_are_named_at_once(tmp_path, write_lines, wrong, ending):
    lines = [{"a": 1} if number in wrong else GOOD for number in range(1, max(wrong) + 2)]
    path = write_lines(tmp_path / "m.jsonl", lines)
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(f"{path}:2: lacks audio_filepath and duration and text;")
    assert str(caught.value).endswith(ending)
    assert len(str(caught.value)) < 400 + len(str(path))


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(ManifestError, match=r"none\.jsonl: no such manifest; `speechgru prepare` writes manifests"):
        read_manifest(tmp_path / "none.jsonl")
    with pytest.raises(ManifestError, match=r"is a folder; name a manifest, a file of .*; none is in this folder"):
        read_manifest(tmp_path)
    for name in ("dev.jsonl", "measurements.jsonl"):
        (tmp_path / name).touch()
    with pytest.raises(ManifestError, match=r"is a folder; name a manifest in it, such as .*dev\.jsonl"):
        read_manifest(tmp_path)
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n \n", encoding="utf-8")
    with pytest.raises(ManifestError, match=r"empty\.jsonl: holds no utterance; a manifest has one JSON object a line"):
        read_manifest(empty)
    empty.write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(ManifestError, match=r"empty\.jsonl: is not UTF-8 text: the byte 8B in line 1 .*; a manifest"):
        read_manifest(empty)


def test_a_crash_while_writing_leaves_the_old_manifest(tmp_path):
    path = write_manifest(tmp_path / "m.jsonl", [Utterance("/a.wav", 1.0, "old")])

    def crashing():
        yield Utterance("/a.wav", 1.0, "new")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write_manifest(path, crashing())
    assert [utterance.text for utterance in read_manifest(path)] == ["old"]
    assert os.listdir(tmp_path) == ["m.jsonl"]


def test_a_relative_path_is_written_relative_to_the_manifest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_manifest("data/m.jsonl", [Utterance("data/audio/../a.wav", 1.0, "a"), Utterance("b.wav", 1.0, "b")])
    read = [utterance.audio_filepath for utterance in read_manifest("data/m.jsonl")]
    assert read == [str(tmp_path / "data" / "a.wav"), str(Path(tmp_path) / "b.wav")]
