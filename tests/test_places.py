"""What one verb made, another verb does not write into, replace or lose."""

import json
import re
import sys

import pytest
from languages import TOY

from speechgru import cli
from speechgru.errors import UserError
from speechgru.files import require_nothing_else, require_own_folder
from speechgru.files.places import MARKS


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["speechgru", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return ended.value.code or 0, " ".join((printed.out + printed.err).split())

    return run


@pytest.fixture
def folders(tmp_path):
    """A folder of each kind, as far as its mark."""
    for kind, mark in MARKS.items():
        (tmp_path / kind.replace(" ", "_")).mkdir()
        (tmp_path / kind.replace(" ", "_") / mark).write_text("{}")
    (tmp_path / "m.jsonl").write_text(json.dumps({"audio_filepath": "a.wav", "duration": 1.0, "text": "a"}) + "\n")
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    (tmp_path / "lm.arpa").write_text(TOY)
    return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


#: Each verb that writes a folder, as it is typed, and what it calls that.
VERBS = [
    (["train", "commands", "--run"], "the run"),
    (["tune", "sweep_device", "data.dev=m.jsonl", "--run"], "the sweep"),
    (["adapt", "run", "--recordings", "m.jsonl", "--run"], "the run"),
    (["language", "train-gru", "m.jsonl", "--recogniser", "bundle", "--run"], "the language model's run"),
    (["prepare", "folder", "--source", "."], "the manifests"),
    (["check", "m.jsonl", "--report"], "the report"),
    (["check", "m.jsonl", "m.jsonl", "--out"], "the manifests"),
    (["shard", "m.jsonl", "--out"], "the corpus of shards"),
    (["listen", "m.jsonl", "--out"], "the sounds"),
    (["record", "--out"], "the recordings"),
    (["segment", "bundle", "a.wav", "m.jsonl", "--out"], "the segments"),
    (["splice", "m.jsonl", "--grammar", "g.yaml", "--out"], "the spliced sentences"),
    (["export", "run", "--out"], "the bundle"),
    (["web", "bundle", "--out"], "the site"),
]


@pytest.mark.parametrize(("arguments", "whose"), VERBS, ids=lambda value: value[0] if isinstance(value, list) else "")
def test_no_verb_writes_into_a_bundle_or_a_site_of_another(run, folders, tmp_path, arguments, whose):
    if "prepare" in arguments:
        arguments = [*arguments, "--out"]
    for kind in ("bundle", "site"):
        code, printed = run(*arguments, f"{kind}/deep/er")
        assert code == 2 and printed.endswith(
            f"error: {kind}/deep/er: lies in a {kind} ({kind}/{MARKS[kind]}), which is replaced whole when it is "
            f"written again; give {whose} a folder of its own"
        )
        if whose != f"the {kind}":
            code, printed = run(*arguments, kind)
            assert code == 2 and f"{kind}: is a {kind} ({MARKS[kind]}); give {whose} a folder of its own" in printed
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == folders


@pytest.mark.parametrize("kind", ["run", "language model's run", "sweep"])
def test_what_resumes_is_not_begun_among_another_kinds_files(folders, tmp_path, kind):
    for other in MARKS:
        folder = tmp_path / other.replace(" ", "_")
        if other == kind:
            require_own_folder(folder, kind=kind)
            continue
        with pytest.raises(UserError, match=re.escape(f"is a {other} ({MARKS[other]}); give the {kind} a folder")):
            require_own_folder(folder, kind=kind)
    require_own_folder(tmp_path / "run" / "report", kind="the report")


def test_a_folder_that_is_replaced_whole_holds_nothing_of_somebody_else(tmp_path):
    made = {"kind": "bundle", "made": ["README.md", "golden"], "suffixes": (".tflite",)}
    require_nothing_else(tmp_path / "new", **made)
    (tmp_path / "b").mkdir()
    require_nothing_else(tmp_path / "b", **made)
    for name in ("bundle.json", "README.md", "model.tflite"):
        (tmp_path / "b" / name).write_text("")
    require_nothing_else(tmp_path / "b", **made)
    for name in ("my notes.txt", "zoë.json"):
        (tmp_path / "b" / name).write_text("")
    with pytest.raises(UserError, match=r"b: would be replaced whole, and my notes\.txt and 1 more in it is not"):
        require_nothing_else(tmp_path / "b", **made)
    with pytest.raises(UserError, match=r"is not a bundle \(bundle\.json is missing\); choose another --out"):
        require_nothing_else(tmp_path / "b" / "README.md", **made)


def test_a_language_model_is_not_written_over_what_it_is_made_of(run, folders, tmp_path):
    for arguments in (
        ["language", "convert", "lm.arpa", "./lm.arpa"],
        ["language", "convert", "lm.arpa", "lm.ngram", "--rules", "lm.ngram"],
        ["language", "train", "lm.arpa", "--out", "lm.arpa"],
    ):
        (tmp_path / "lm.ngram").write_bytes(b"{}")
        code, printed = run(*arguments)
        assert code == 2 and "is what this command reads, and would be lost; name another file" in printed
    assert (tmp_path / "lm.arpa").read_text() == TOY


def test_a_page_takes_no_other_files_place(run, folders, tmp_path):
    for arguments in (
        ["report", "run", "--out", "run/config.yaml"],
        ["evaluate", "run", "--manifest", "m.jsonl", "--report", "a.wav"],
    ):
        code, printed = run(*arguments)
        assert code == 2 and f"{arguments[-1]}: exists, and its name is no page's; name a new file" in printed
    assert {path: path.read_bytes() for path in folders} == folders


def test_shards_in_a_commands_memory_are_refused(run, folders):
    for arguments in (["m.jsonl", "--out", "memory://x/y"], ["--merge", "MEMORY://x"], ["--verify", "memory://x"]):
        code, printed = run("shard", *arguments)
        assert code == 2 and "lies in this command's memory, and is gone when it ends; name a folder" in printed
