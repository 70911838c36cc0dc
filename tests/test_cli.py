"""The command line: a mistake ends in one readable message and exit code 2, never in a traceback."""

import dataclasses
import io
import json
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
from rich.console import Console

import speechgru
from speechgru.cli import console as cli
from speechgru.cli.console import progress_bars
from speechgru.errors import UserError
from speechgru.progress import Pace, line_progress

ROOT = Path(__file__).parents[1]
VERBS = (
    "prepare",
    "check",
    "shard",
    "listen",
    "train",
    "report",
    "evaluate",
    "export",
    "inspect",
    "calibrate",
    "transcribe",
    "tune",
    "join",
    "adapt",
    "record",
    "doctor",
    "init",
    "config",
)


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command line in this process; gives the exit code, what was printed, and the message of an error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["speechgru", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        code = caught.value.code
        return (0 if code is None else code), out, err

    return run


@pytest.fixture
def mistaken(run):
    """Runs something that is a mistake; gives its one message."""

    def mistaken(*arguments):
        code, out, err = run(*arguments)
        assert code == 2, err
        assert out == ""
        message = err[err.index("error: ") :].removeprefix("error: ")
        assert message.count("\n") == 1, "one line"
        return message.rstrip("\n")

    return mistaken


@pytest.fixture
def manifest(tmp_path, write_wav, write_lines):
    """Two good utterances."""
    lines = [
        {"audio_filepath": write_wav(tmp_path, f"{k}.wav", seed=k).name, "duration": 1.0, "text": "yes"}
        for k in range(2)
    ]
    return write_lines(tmp_path / "m.jsonl", lines)


@pytest.fixture
def english(tmp_path):
    """A configuration of a model that writes English."""
    path = tmp_path / "english.yaml"
    path.write_text('text: {characters: " \'abcdefghijklmnopqrstuvwxyz"}\n', encoding="utf-8")
    return path


@pytest.fixture
def sick(manifest, write_lines):
    """Two good utterances and two that cannot be used, the second of them with what rich would take for markup."""
    lines = manifest.read_text(encoding="utf-8").splitlines()
    lines.insert(1, json.dumps({"audio_filepath": "none.wav", "duration": 1.0, "text": "yes"}))
    lines.append(json.dumps({"audio_filepath": "0.wav", "duration": 1.0, "text": "é [/red] :smile:"}))
    return write_lines(manifest.with_name("sick.jsonl"), lines)


# Arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chek", "m.jsonl"], "No such command 'chek'."),
        (["--nonsense"], "No such option: --nonsense"),
        (["check"], "Missing argument 'MANIFEST...'. (see `speechgru check --help`)"),
        (["check", "m.jsonl", "--oot", "x"], "No such option: --oot"),
        (["check", "m.jsonl", "--config"], "Option '--config' requires an argument."),
        (["prepare", "synthetic"], "Missing option '--out'. (see `speechgru prepare --help`)"),
        (["prepare", "synthetic", "--out", "x", "--utterancez", "60"], "(did you mean utterances?); its options are"),
        (
            ["prepare", "synthetic", "utterances=3", "--out", "x"],
            "utterances must be a whole number, 12 or more, got 3",
        ),
        (["evaluate", "x", "--manifest", "m.jsonl", "--worst", "-1"], "Invalid value for '--worst':"),
        (["transcribe", "bundle"], "Missing argument"),
        (["train", "x.yaml"], "Missing option '--run'."),
        (["export", "run"], "Missing option '--out'."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_arguments(mistaken, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in mistaken(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_no_command_prints_the_help(run):
    code, out, err = run()
    assert code == 2
    assert all(verb in out + err for verb in VERBS)
    assert "error:" not in err


def test_the_version(run):
    code, out, err = run("--version")
    assert (code, out, err) == (0, f"speechgru {speechgru.__version__}\n", "")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verbs_help_shows_an_example(run, verb):
    code, out, _ = run(verb, "--help")
    assert code == 0
    assert f"Example: speechgru {verb}" in " ".join(out.split())


def test_the_help_teaches_the_usual_way(run):
    code, out, _ = run("--help")
    assert code == 0
    shown = " ".join(out.split())
    assert "prepare -> check -> train -> evaluate -> export -> transcribe" in shown
    assert "2 for a mistake in what was given; 130 after Ctrl-C, 143 after SIGTERM; 70 for a fault of ours" in shown


# Files


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "none.jsonl"], "none.jsonl: no such manifest; `speechgru prepare` writes manifests"),
        (["check", "."], ".: is a folder; name a manifest in it, such as "),
        (
            ["check", "text.jsonl"],
            "text.jsonl:1: is not JSON (Expecting value at column 1): 'turn on'; expected one obj",
        ),
        (["check", "m.jsonl", "--config", "none.yaml"], "none.yaml: no such configuration file; start from one in con"),
        (
            ["check", "m.jsonl", "--config", "key.yaml"],
            "key.yaml:2: unknown key model.unitz; did you mean model.units?",
        ),
        (["check", "m.jsonl", "--config", "no.yaml"], "no.yaml:1: data.dev wants text, got the YAML boolean false; if"),
        (
            ["check", "m.jsonl", "--config", "type.yaml"],
            "type.yaml:1: train.max_steps: should be a valid integer, got 't",
        ),
        (["check", "m.jsonl", "--out", "text.jsonl/x"], "text.jsonl/x: cannot be written, because"),
        (
            ["prepare", "syntetic", "--out", "x"],
            "no corpus is named 'syntetic'; did you mean 'synthetic'? known are syn",
        ),
        (["prepare", "fsdd", "--out", "x", "--source", "none"], "none: no such folder"),
        (["prepare", "folder", "--out", "x", "--source", "none"], "none: no such folder"),
        (["prepare", "folder", "--out", "x"], "folder: needs --source, the folder of your recordings"),
        (["prepare", "synthetic", "--out", "text.jsonl"], "text.jsonl: is a file; name a folder to write"),
        (
            ["prepare", "synthetic", "joined=5", "--out", "x"],
            "synthetic: has no option 'joined'; its options are",
        ),
        (["prepare", "fsdd", "joind=5", "--out", "x"], "fsdd: has no option 'joind' (did you mean joined?)"),
        (["prepare", "fsdd", "seed=5", "--out", "x"], "fsdd: has no option 'seed' (give --seed)"),
        (["prepare", "fsdd", "joined=five", "--out", "x"], "fsdd: joined must be a whole number, got 'five'"),
        (["prepare", "fsdd", "joined", "--out", "x"], "fsdd: expected KEY=VALUE, got 'joined'; its options are joi"),
        (["prepare", "fsdd", "joined=5", "joined=6", "--out", "x"], "fsdd: joined is given twice"),
        (["prepare", "folder", "dev_share=x", "--out", "x"], "folder: dev_share must be a number, got 'x'"),
        (
            ["prepare", "synthetic", "engine=espaek", "--out", "x"],
            "no voice engine is called 'espaek'; did you mean",
        ),
        (["transcribe", "none", "0.wav"], "none: not a bundle (bundle.json is missing); `speechgru export` makes one"),
        (
            ["transcribe", "0.wav", "0.wav"],
            "0.wav: not a bundle (bundle.json is missing); `speechgru export` makes one",
        ),
        (
            ["train", "any.yaml", "--run", "damaged"],
            "damaged: is a bundle (bundle.json); give the run a folder of its own",
        ),
        (["transcribe", "damaged", "0.wav"], "bundle.json: is damaged (Expecting"),
        (
            ["transcribe", "newer", "0.wav"],
            "bundle.json: is of version 999, this speechgru reads up to 3; update speechg",
        ),
        (["evaluate", "damaged", "--manifest", "m.jsonl"], "bundle.json: is damaged (Expecting"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_files(mistaken, manifest, monkeypatch, arguments, message):
    folder = manifest.parent
    monkeypatch.chdir(folder)
    (folder / "text.jsonl").write_text("turn on\n", encoding="utf-8")
    (folder / "key.yaml").write_text("model:\n  unitz: 3\n", encoding="utf-8")
    (folder / "no.yaml").write_text("data: {dev: no}\n", encoding="utf-8")
    (folder / "type.yaml").write_text("train: {max_steps: ten}\n", encoding="utf-8")
    for name, text in (("damaged", "{"), ("newer", '{"bundle_version": 999}')):
        (folder / name).mkdir()
        (folder / name / "bundle.json").write_text(text, encoding="utf-8")
    assert message in mistaken(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "none.yaml", "--run", "r"], "none.yaml: no such configuration file; start from one in configs/"),
        (
            ["train", "ok.yaml", "--run", "r", "train.max_stepz=3"],
            "override 'train.max_stepz=3': unknown key train.max_st",
        ),
        (
            ["train", "ok.yaml", "--run", "r", "train.max_steps=x"],
            "train.max_steps: should be a valid integer, got 'x'",
        ),
        (
            ["train", "ok.yaml", "--run", "r", "train.max_steps"],
            "expected section.key=value, such as train.learning_rat",
        ),
        (["train", "ok.yaml", "--run", "r"], "data.train names no manifest"),
        (
            ["train", "ok.yaml", "--run", "r", "data.train=none.jsonl"],
            "none.jsonl: no such manifest; `speechgru prepare`",
        ),
        (["train", "ok.yaml", "--run", "r", "data.train=text.jsonl"], "text.jsonl:1: is not JSON"),
        (["evaluate", "none", "--manifest", "m.jsonl"], "none: is neither a run folder (config.yaml) nor a bundle"),
        (
            ["export", "none", "--out", "b"],
            "none: not a run folder (config.yaml is missing); `speechgru train` makes one",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_files_for_training(mistaken, manifest, monkeypatch, arguments, message):
    pytest.importorskip("tensorflow", reason="needs the training packages (extra train)")
    monkeypatch.chdir(manifest.parent)
    (manifest.parent / "ok.yaml").write_text("", encoding="utf-8")
    (manifest.parent / "text.jsonl").write_text("turn on\n", encoding="utf-8")
    assert message in mistaken(*arguments)
    assert not (manifest.parent / "b").exists()


def test_several_mistakes_in_a_configuration_are_one_message_of_several_lines(run, manifest):
    config = manifest.with_name("c.yaml")
    config.write_text("model: {unitz: 3}\ntrain: {seed: -1}\n", encoding="utf-8")
    code, _, err = run("check", manifest, "--config", config)
    assert code == 2
    assert err.count("error: ") == 1
    assert "c.yaml:1: unknown key model.unitz" in err
    assert "c.yaml:2: train.seed: should be" in err


def test_training_packages_that_are_not_there_are_reported(mistaken, manifest, tmp_path, monkeypatch):
    ours = {name: module for name, module in sys.modules.items() if name.startswith("speechgru.")}
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    for name in ours.keys() - {"speechgru.cli", "speechgru.errors"}:
        monkeypatch.delitem(sys.modules, name)
    message = mistaken("listen", manifest, "--out", tmp_path / "b")
    # The import that failed has put modules of its own into their packages: the tests to come need the first ones.
    monkeypatch.undo()
    for name, module in ours.items():
        package, _, short = name.rpartition(".")
        setattr(sys.modules[package], short, module)
    assert message == "this needs the training packages (tensorflow): pip install 'speechgru[train]'"


# check


def test_prepare_takes_switches_and_prints_how_a_folder_was_read(run, write_wav, tmp_path):
    source = tmp_path / "mine"
    for number in range(5):
        write_wav(source / f"person{number}", "1.wav", seconds=0.5, seed=number)
        if number < 4:
            (source / f"person{number}" / "1.txt").write_text("yes", encoding="utf-8")
    code, out, _ = run(
        "prepare", "folder", "--source", source, "--out", tmp_path / "out", "--skip-missing", "--speaker-folders"
    )
    assert code == 0
    assert "split by speaker: train 2, dev 1, test 1" in out
    assert "left out: 1 (no transcript); prepared.json names them" in out


def test_check_of_a_healthy_manifest_ends_with_0(run, manifest):
    code, out, err = run("check", manifest)
    assert code == 0
    assert "2 usable" in "".join(out.split("\n"))
    assert "checking m.jsonl: 2 of 2" in err


def test_check_ends_with_1_and_writes_what_can_be_used(run, sick, english, tmp_path):
    code, out, _ = run("check", sick, "--config", english, "--out", tmp_path / "clean.jsonl")
    assert code == 1
    assert len((tmp_path / "clean.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    table = re.sub(r"[\s│┃|]+", "", out)
    assert "nosuchrecording" in table
    assert "'é[/red]:smile:'" in table, "rich must not take a transcript for markup"
    assert "2usable,1unreadable,1unknowncharacter" in table
    assert "│ 2    │" in out
    assert "│ 4    │" in out


def test_check_prints_json_and_nothing_else(run, sick, english, manifest):
    code, out, err = run("check", sick, manifest, "--config", english, "--json")
    assert code == 1
    assert err == ""
    first, second = json.loads(out)
    assert (first["manifest"], first["usable"]) == (str(sick), 2)
    assert first["counts"] == {"unreadable": 1, "unknown character": 1}
    assert [(problem["line"], problem["reason"]) for problem in first["problems"]] == [
        (2, "unreadable"),
        (4, "unknown character"),
    ]
    assert all(problem["message"] for problem in first["problems"])
    suspicions = [(suspicion["line"], suspicion["reason"]) for suspicion in first["suspicions"]]
    assert suspicions == [(1, "leak"), (3, "leak"), (4, "mark")]
    assert first["shared"][0]["manifest"] == str(manifest)
    nothing = {"counts": {}, "suspicion_counts": {}, "problems": [], "suspicions": [], "shared": []}
    assert second == {"manifest": str(manifest), "usable": 2, **nothing}
    assert run("check", manifest, "--json")[0] == 0


def test_many_lines_with_one_fault_are_counted_and_not_repeated(run, write_lines, write_wav, english, tmp_path):
    write_wav(tmp_path, "a.wav", seconds=1.0)
    lines = [{"audio_filepath": "a.wav", "duration": 1.0, "text": f"gr\u00fcn {number}"} for number in range(40)]
    code, out, _ = run("check", write_lines(tmp_path / "german.jsonl", lines), "--config", english)
    assert code == 1 and len(out.splitlines()) < 70
    assert re.sub(r"[\s│┃]+", "", out).count("text.characters:auto") == 5
    assert "35more,inthelines6,7,8," in re.sub(r"[\s│┃]+", "", out)


def test_check_tells_what_is_suspect_and_what_manifests_share(run, manifest, tmp_path):
    test = manifest.with_name("test.jsonl")
    test.write_text(manifest.read_text(encoding="utf-8").splitlines()[0], encoding="utf-8")
    code, out, _ = run(
        "check", test, manifest.rename(manifest.with_name("train.jsonl")), "--report", tmp_path / "doctor"
    )
    assert code == 1
    shown = "".join(out.split())  # a narrow terminal breaks lines anywhere
    assert "train.jsonl:2usable;suspect:1leak" in shown
    assert f"{test}sharesnorecordingwith" in shown and "(speakersunknownin3lines)" in shown
    assert "100.0%ofitstextsand100.0%ofitswords" in shown
    assert "check.htmlshowsitall" in shown
    assert (tmp_path / "doctor" / "check.html").exists()


def test_a_long_list_of_accusations_is_cut_on_a_terminal_and_said_so(run, manifest):
    line = json.dumps({"audio_filepath": "none.wav", "duration": 1.0, "text": "yes"})
    manifest.write_text("\n".join([line] * 103), encoding="utf-8")
    _, out, _ = run("check", manifest)
    shown = " ".join(re.sub(r"[│┃]", " ", out).split())
    assert "98 more, in the lines 6, 7, 8," in shown and "...; --report or --json lists all" in shown
    assert "103 unreadable" in " ".join(out.split())


def test_shard_packs_what_can_be_used_and_says_what_it_did(run, sick, english, tmp_path):
    pytest.importorskip("tensorflow", reason="shards are TFRecord files")
    out = tmp_path / "shards"
    loose = tmp_path / "loose.yaml"
    loose.write_text("data: {max_skipped_share: 1.0}\n" + english.read_text(encoding="utf-8"), encoding="utf-8")
    code, printed, _ = run("shard", sick, "--config", loose, "--out", out)
    assert code == 0
    assert "2 utterances" in printed and "as samples in 1 shard" in printed
    assert "left out" in printed and "skipped.jsonl" in printed
    assert (out / "shards.json").exists()
    code, printed, _ = run("shard", sick, "--config", loose, "--out", out, "--json")
    record = json.loads(printed)
    assert (record["num_records"], record["num_kept"], record["form"]) == (2, 1, "samples")


def test_shards_are_verified_by_their_checksums(run, mistaken, manifest, tmp_path):
    pytest.importorskip("tensorflow", reason="shards are TFRecord files")
    out = tmp_path / "shards"
    assert run("shard", manifest, "--out", out)[0] == 0
    code, printed, _ = run("shard", "--verify", out)
    assert (code, printed) == (0, f"{out}: 1 shard is intact\n")
    content = bytearray((out / "shard-00000.tfrecord").read_bytes())
    content[40] ^= 1
    (out / "shard-00000.tfrecord").write_bytes(content)
    code, printed, err = run("shard", "--verify", out)
    assert code == 2
    assert "shard-00000.tfrecord: is damaged (its SHA-256 is wrong: record 1 of 2); copy it again" in printed
    assert err.endswith(f"error: {out}: 1 of 1 shards are damaged\n")
    code, printed, _ = run("shard", "--verify", out, "--json")
    assert code == 2
    assert len(json.loads(printed)["damages"]) == json.loads(printed)["num_shards"] == 1
    assert mistaken("shard", "--verify", tmp_path).startswith(f"{tmp_path}: holds no shards (no shards.json)")
    assert mistaken("shard", manifest, "--verify", out).startswith("--verify packs nothing; give it alone")
    assert mistaken("shard", manifest).startswith("packing needs manifests and --out")


def test_shards_of_features_are_refused_where_samples_are_augmented(mistaken, manifest, tmp_path):
    pytest.importorskip("tensorflow", reason="shards are TFRecord files")
    message = mistaken("shard", manifest, "--out", tmp_path / "shards", "--form", "features")
    assert "augment.gain_db" in message and "pack samples" in message
    assert "the form must be samples or features" in mistaken(
        "shard", manifest, "--out", tmp_path / "shards", "--form", "x"
    )


def test_listen_writes_a_page(run, manifest, tmp_path):
    pytest.importorskip("tensorflow", reason="augmentation is TensorFlow's")
    code, printed, _ = run("listen", manifest, "--out", tmp_path / "listen", "--count", 1, "--copies", 1, "--json")
    assert code == 0 and json.loads(printed) == {"page": str(tmp_path / "listen" / "index.html")}
    assert (tmp_path / "listen" / "index.html").exists()


def test_check_follows_the_configuration(run, sick, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("text: {characters: auto}\n", encoding="utf-8")
    _, out, _ = run("check", sick, "--config", config, "--json")
    assert [problem["line"] for problem in json.loads(out)[0]["problems"]] == [2]


def test_names_with_brackets_are_no_markup(run, manifest):
    (manifest.parent / "[").mkdir()
    odd = manifest.rename(manifest.parent / "[" / "bold]m:smile:.jsonl")
    (manifest.parent / "0.wav").rename(odd.parent / "0.wav")
    (manifest.parent / "1.wav").rename(odd.parent / "1.wav")
    code, out, _ = run("check", odd)
    assert code == 0
    assert "[/bold]m:smile:.jsonl" in "".join(out.split("\n"))
    assert "no such manifest" in run("check", odd.with_name("[red]none.jsonl"))[2]


def test_json_is_json_where_the_terminal_knows_no_unicode(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    cli.print_json({"text": "é日"})
    stream.flush()
    assert json.loads(stream.buffer.getvalue()) == {"text": "é日"}


# prepare, transcribe


def test_prepare_tells_a_program_what_it_wrote(run, write_wav, tmp_path):
    for number in range(4):
        write_wav(tmp_path / "said", f"{number}.wav", seed=number)
        (tmp_path / "said" / f"{number}.txt").write_text("yes", encoding="utf-8")
    code, out, err = run("prepare", "folder", "--source", tmp_path / "said", "--out", tmp_path / "made", "--json")
    record = json.loads(out)
    assert (code, err) == (0, "") and set(record) == {"train", "dev", "test"}
    assert sum(split["utterances"] for split in record.values()) == 4
    assert record["train"]["manifest"] == str(tmp_path / "made" / "train.jsonl") and record["train"]["seconds"] > 0


def test_prepare_tells_what_it_wrote(run, tmp_path):
    pytest.importorskip("espeakng_loader", reason="the synthetic corpus needs espeakng_loader (extra train)")
    code, out, err = run("prepare", "synthetic", "--out", tmp_path / "s", "utterances=12", "--seed", 3)
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [
        "audio",
        "dev.jsonl",
        "grammar.json",
        "measurements.jsonl",
        "test.jsonl",
        "train.jsonl",
    ]
    assert "utterances" in out
    assert "12 of 12" in err


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A bundle as far as its metadata goes; the model says nothing but blanks."""
    import numpy as np

    from speechgru.runtime import recognizer

    class Silence:
        """In place of `runtime.engine.Engine`."""

        log_probs_SV = np.log(np.array([[0.9, 0.1]] * 5, np.float32))
        streams = False

        def __init__(self, path, **options):
            assert path.name == "model.tflite"

        def recognize(self, samples_N):
            return self.log_probs_SV

    monkeypatch.setattr(recognizer, "Engine", Silence)
    folder = tmp_path / "bundle"
    folder.mkdir()
    metadata = {
        "bundle_version": 1,
        "sample_rate": 8000,
        "step_seconds": 0.02,
        "characters": "a",
        "text": {"lowercase": True, "remove_punctuation": True},
        "models": {"none": {"file": "model.tflite", "size_bytes": 1}},
        "default_form": "none",
        "features": {
            "f_min_hz": 20.0, "f_max_hz": 4000.0, "frame_length": 200, "hop_length": 80, "n_fft": 256, "n_mels": 20
        },
    }  # fmt: skip
    (folder / "bundle.json").write_text(json.dumps(metadata), encoding="utf-8")
    shutil.copy(Path(__file__).parent / "data" / "bundles" / "v1" / "model.tflite", folder)
    return folder


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"turn on the light\n", "cannot be decoded (Format not recognised); it is not a recording in a known format"),
        (b"", "is empty (0 bytes); record or copy it again"),
        (None, "no such recording (No such file or directory)"),
    ],
)
def test_a_file_that_is_no_recording_is_named_after_the_others_texts(
    run, mistaken, spelling, write_wav, tmp_path, content, message
):
    bad, good = tmp_path / "a.wav", write_wav(tmp_path, "good.wav")
    if content is not None:
        bad.write_bytes(content)
    code, out, err = run("transcribe", spelling, bad, good)
    assert code == 2 and "good.wav" in out and "a b" in out and "a.wav: " not in out
    assert err.count("error: ") == 1 and f"error: {bad}: {message}" in err
    code, out, err = run("transcribe", spelling, bad, good, "--json")
    assert code == 2 and f"error: {bad}: {message}" in err
    first, second = json.loads(out)
    assert (first["audio_filepath"], first["text"], first["words"]) == (str(bad), None, [])
    assert first["error"].startswith(f"{bad}: {message}")
    assert (second["text"], second["error"]) == ("a b", None) and first.keys() == second.keys()
    assert mistaken("transcribe", spelling, bad).startswith(f"{bad}: {message}"), "alone, and no empty table"


def test_a_folder_is_its_recordings(run, mistaken, spelling, write_wav, tmp_path):
    folder = tmp_path / "mine"
    for name in ("b.flac", "a.wav", "sub/C.WAV", "._a.wav", ".hidden/d.wav", "__MACOSX/e.wav"):
        write_wav(folder, name, format="WAV")
    (folder / "a.txt").write_text("yes")
    code, out, _ = run("transcribe", spelling, folder, "--json")
    assert code == 0
    paths = [record["audio_filepath"] for record in json.loads(out)]
    assert paths == [str(folder / name) for name in ("a.wav", "b.flac", "sub/C.WAV")]
    (tmp_path / "empty").mkdir()
    message = mistaken("transcribe", spelling, tmp_path / "empty")
    assert message == f"{tmp_path / 'empty'}: is a folder, not a recording; name the file"


def test_transcribing_with_a_form_that_the_bundle_lacks(mistaken, bundle, write_wav, tmp_path):
    message = mistaken("transcribe", bundle, write_wav(tmp_path), "--form", "int8")
    assert message.endswith("bundle: holds no form 'int8'; it has none")


def test_a_run_has_no_forms(mistaken, write_wav, tmp_path):
    (tmp_path / "config.yaml").write_text("", encoding="utf-8")
    message = mistaken("transcribe", tmp_path, write_wav(tmp_path), "--form", "int8")
    assert message == f"{tmp_path}: form 'int8' names a bundle's model, and this is a run; leave --form out"


def test_transcribing_without_the_model_file(bundle, write_wav, tmp_path):
    (bundle / "model.tflite").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "speechgru.cli", "transcribe", bundle, write_wav(tmp_path)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert "model.tflite: is missing from the bundle; copy the folder whole" in done.stderr
    assert "Traceback" not in done.stderr


def test_transcriptions_are_printed_as_a_table_or_as_json(run, bundle, write_wav, tmp_path):
    paths = [write_wav(tmp_path, "stereo.flac", num_channels=2, sample_rate=44100), write_wav(tmp_path, "[b]mono.ogg")]
    code, out, _ = run("transcribe", bundle, *paths)
    assert code == 0
    assert "[b]mono.ogg" in re.sub(r"[\s│┃|]+", "", out)
    code, out, err = run("transcribe", bundle, *paths, "--json")
    assert (code, err) == (0, "")
    first, second = json.loads(out)
    assert (first["audio_filepath"], first["source_rate"], first["num_channels"]) == (str(paths[0]), 44100, 2)
    assert (second["text"], second["words"], second["duration"]) == ("", [], 1.0)


def test_what_a_recording_lacks_is_a_note_beside_its_text(run, spelling, write_wav, make_speech, tmp_path):
    import numpy as np
    import soundfile

    metadata = json.loads((spelling / "bundle.json").read_text())
    metadata["sample_rate"], metadata["features"]["f_max_hz"] = 16000, 8000.0
    (spelling / "bundle.json").write_text(json.dumps(metadata))
    phone = [write_wav(tmp_path, f"phone{k}.wav", sample_rate=8000) for k in range(3)]
    spoken_N = make_speech(1.0)
    soundfile.write(tmp_path / "inverted.wav", np.stack([spoken_N, -spoken_N], axis=1), 16000)
    paths = [write_wav(tmp_path, "good.wav"), *phone, tmp_path / "inverted.wav"]
    code, out, err = run("transcribe", spelling, *paths)
    assert code == 0 and out.count(".wav") == 5
    lines = err.strip().splitlines()[-3:]
    assert lines[2].startswith(f"next: speechgru transcribe {spelling} ")
    assert lines[0] == (
        f"{phone[0]} and 2 more: holds nothing above 4,000 Hz, and the model listens up to 8,000 Hz; "
        "expect errors, or train with data.sample_rate: 8000 for such recordings"
    )
    assert lines[1].startswith(f"{tmp_path / 'inverted.wav'}: its channels cancel each other, one of them is inverted")
    records = json.loads(run("transcribe", spelling, *paths, "--json")[1])
    assert [len(record["notes"]) for record in records] == [0, 1, 1, 1, 1]


def test_word_times_are_shown_where_asked_for(run, spelling, write_wav, tmp_path):
    code, out, _ = run("transcribe", spelling, write_wav(tmp_path), "--words")
    assert code == 0
    assert re.search(r"│ a b +│ 0\.\d\d", out) and re.search(r"│ b +│ 0\.\d\d +│ 0\.08 s │ 0\.10 s", out)
    assert "0.08 s" not in run("transcribe", spelling, write_wav(tmp_path))[1]


# Decoding


@pytest.fixture
def spelling(bundle, monkeypatch):
    """A bundle that recognises "a b", and with less probability other texts, in whatever is said."""
    import numpy as np

    from speechgru.runtime import recognizer

    probs_SV = [[0.1, 0.1, 0.8, 0.0], [0.9, 0.0, 0.1, 0.0], [0.2, 0.8, 0.0, 0.0], [0.9, 0.1, 0.0, 0.0]]
    probs_SV.append([0.1, 0.0, 0.4, 0.5])
    with np.errstate(divide="ignore"):
        log_probs_SV = np.log(np.array(probs_SV, np.float32))
    monkeypatch.setattr(recognizer.Engine, "log_probs_SV", log_probs_SV)
    metadata = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps(metadata | {"characters": " ab"}))
    return bundle


def texts_of(out):
    return [record["text"] for record in json.loads(out)]


def test_hotwords_and_phrases_change_what_is_heard(run, spelling, write_wav, tmp_path):
    recording = write_wav(tmp_path)
    (tmp_path / "hot.txt").write_text("\ufeffA A\t8\r\n\nb\n", encoding="utf-8")
    (tmp_path / "allowed.txt").write_text("A\n", encoding="utf-8")
    for arguments, text in (
        ([], "a b"),
        (["--beam-width", 8], "a b"),
        (["--hotword", "A  a!"], "a a"),
        (["--hotword", "a a=0.01"], "a b"),
        (["--hotwords", tmp_path / "hot.txt"], "a a"),
        (["--phrases", tmp_path / "allowed.txt"], "a"),
        (["--phrases", tmp_path / "allowed.txt", "--repeat-phrases"], "a a"),
    ):
        code, out, _ = run("transcribe", spelling, recording, "--json", *arguments)
        assert (code, texts_of(out)) == (0, [text]), arguments


def test_other_readings_come_with_their_share(run, spelling, write_wav, tmp_path):
    code, out, _ = run("transcribe", spelling, write_wav(tmp_path), "--n-best", 3, "--json")
    (record,) = json.loads(out)
    assert code == 0 and record["text"] == record["n_best"][0]["text"] == "a b"
    assert [reading["text"] for reading in record["n_best"]][:2] == ["a b", "a a"]
    posteriors = [reading["posterior"] for reading in record["n_best"]]
    assert posteriors == sorted(posteriors, reverse=True) and 0 < sum(posteriors) <= 1
    (tmp_path / "long.txt").write_text("abababab\n", encoding="utf-8")
    one = ["transcribe", spelling, write_wav(tmp_path), "--n-best", 2, "--json", "--phrases", tmp_path / "long.txt"]
    (record,) = json.loads(run(*one)[1])
    (silent,) = record["n_best"]
    assert (silent["text"], silent["posterior"]) == ("", 1.0), "nothing is always allowed"
    (record,) = json.loads(run(*one, "--no-silence")[1])
    nothing = {"text": "", "intent": None, "slots": {}, "confidence": 0.0, "posterior": 0.0, "score": None}
    assert record["n_best"] == [nothing], "nothing fits"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--hotword", "a=b"], "hotword 'a=b': the boost after '=' must be a number such as 4.5, got 'b'"),
        (["--hotword", "=3"], "hotword '=3': holds no word; give the text of a hotword"),
        (["--hotword", "a=1", "--hotword", "a=2"], "hotword 'a=2': 'a' stands twice, with the boosts 1 and 2"),
        (["--hotword", "zoo"], "hotword 'zoo': 'z' (U+007A), 'o' (U+006F) are not among the characters that this"),
        (["--hotword", "?!"], "hotword '?!' holds no word: the text rules leave nothing of it; take it out"),
        (["--hotword", "a", "--beam-width", "1"], "a beam width of 1 is greedy decoding, which applies no hotwords"),
        (["--hotwords", "none.txt"], "none.txt: the list of hotwords cannot be read (No such file or directory)"),
        (["--hotwords", "empty.txt"], "empty.txt: holds no hotword; write one a line"),
        (["--hotwords", "boost.txt"], "boost.txt:3: the boost after a tab must be a number such as 4.5, got 'high'"),
        (["--hotwords", "binary.txt"], "binary.txt: is not UTF-8 text: the byte FF in line 2 is none of it; save the"),
        (["--hotwords", "zoo.txt"], "zoo.txt:3: hotword 'Zoo', 'zoo' by the text rules: 'z' (U+007A), 'o' (U+006F)"),
        (["--phrases", "zoo.txt"], "zoo.txt:3: phrase 'Zoo', 'zoo' by the text rules: 'z' (U+007A), 'o' (U+006F) are"),
        (["--phrases", "marks.txt"], "marks.txt:1: phrase '...' holds no word: the text rules leave nothing of it"),
        (["--repeat-phrases"], "phrases shall repeat, but none are given; name their file (--phrases FILE)"),
        (["--no-silence"], "silence shall be no answer, but nothing says what may be; name a file of phrases"),
        (["--threshold", "-1"], "a threshold judges what was found among the texts that may be, but any text may"),
        (["--n-best", "2"], "--n-best prints several texts a recording, which a table has no place for; add --json"),
        (["--n-best", "5", "--json", "--beam-width", "3"], "5 hypotheses of a beam of 3: a beam ends with no more"),
        (["--beam-width", "0"], "Invalid value for '--beam-width'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_wrong_hotwords_and_phrases(mistaken, spelling, write_wav, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    contents = {
        "empty": b"\n \n",
        "boost": b"a\n\nb\thigh\n",
        "binary": b"a\nb\xff\n",
        "zoo": b"a\n\nZoo\n",
        "marks": b"...\na\n",
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.txt").write_bytes(content)
    assert message in mistaken("transcribe", spelling, write_wav(tmp_path), *arguments)


def test_a_bundle_is_scored_by_slices_with_a_page(run, spelling, write_wav, write_lines, tmp_path):
    lines = [
        {"audio_filepath": str(write_wav(tmp_path, f"{k}.wav", seed=k)), "duration": 1.0, "text": text, "room": room}
        for k, (text, room) in enumerate([("A b!", "hall"), ("b b", "attic"), ("a b", "hall")])
    ]
    manifest, page = write_lines(tmp_path / "test.jsonl", lines), tmp_path / "pages" / "errors.html"
    code, out, _ = run(
        "evaluate", spelling, "--manifest", manifest, "--slice", "room", "--report", page, "--hotword", "b"
    )
    assert code == 0
    assert "by room" in out and re.search(r"│ attic +│ 50\.00%", out) and "beam of 16, 1 hotword" in out
    assert "errors.html" in out
    html = page.read_text(encoding="utf-8")
    assert "By room" in html and "beam of 16, 1 hotword" in html
    code, out, _ = run("evaluate", spelling, "--manifest", manifest, "--json", "--beam-width", 4)
    record = json.loads(out)
    assert code == 0 and record["wer"] == 1 / 6 and record["decoding"]["beam_width"] == 4
    assert [entry["field"] for entry in record["slices"]] == ["speaker", "duration"]


def test_a_field_that_is_not_there_is_reported(mistaken, spelling, manifest):
    message = mistaken("evaluate", spelling, "--manifest", manifest, "--slice", "snr")
    assert "no line has the field 'snr' to score by" in message


# The process


def test_an_interrupted_command_ends_with_130(capsys):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as caught:
        cli.run_command(interrupted)
    assert caught.value.code == 130
    assert "stopped; what was written before is kept" in capsys.readouterr().err


def test_a_users_mistake_is_printed_as_it_is(capsys):
    def mistake():
        raise UserError("[red]a[/red] :smile: \\[b] " + "long " * 60)

    with pytest.raises(SystemExit) as caught:
        cli.run_command(mistake)
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: [red]a[/red] :smile: \\[b] " + "long " * 60 + "\n"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_sweep_in_which_no_trial_succeeded_ends_with_1_and_the_commonest_reason(run, monkeypatch, tmp_path, options):
    from speechgru.cli import training
    from speechgru.tune import sweep_file

    @dataclasses.dataclass
    class Result:
        folder: Path = tmp_path
        ended: str = "budget.trials"
        seconds: float = 1.0
        trials: tuple = ()
        best: None = None
        num_redrawn: int = 0

    reasons = ["no memory", "a.wav: no such\nrecording", "a.wav: no such\nrecording"]
    trials = tuple({"status": "failed", "reason": reason, "is_best": False} for reason in reasons)
    monkeypatch.setattr(sweep_file, "load_sweep", lambda *args: None)
    monkeypatch.setattr(
        training, "import_module", lambda name: types.SimpleNamespace(tune=lambda *args, **more: Result(trials=trials))
    )
    code, out, err = run("tune", "sweep.yaml", "--run", tmp_path, *options)
    assert code == 1
    if options:
        assert len(json.loads(out)["trials"]) == 3
    else:
        assert "error: no trial succeeded; 2 of 3: a.wav: no such recording" in err and "3 failed" in out


@pytest.fixture
def ended(capsys):
    """Runs a function as a command; gives the exit code and what was printed on standard error."""

    def ended(error):
        def command():
            raise error

        with pytest.raises(SystemExit) as caught:
            cli.run_command(command)
        return caught.value.code, capsys.readouterr().err

    return ended


def test_a_fault_of_ours_is_one_line_with_how_to_report_it(ended, monkeypatch):
    monkeypatch.delenv("SPEECHGRU_TRACEBACK", raising=False)
    code, err = ended(ZeroDivisionError("a\nb [/red] " + 500 * "c "))
    assert code == 70, "no verdict of a verb"
    assert re.fullmatch(
        rf"error: speechgru {re.escape(speechgru.__version__)} has a fault: ZeroDivisionError in \w+\.py:\d+: "
        r"a b \[/red\] c .*\.\.\.\. Please report it with the command and what it prints with SPEECHGRU_TRACEBACK=1 "
        r"before it, and `speechgru doctor`\n",
        err,
    )
    assert len(err) <= 400
    monkeypatch.setenv("SPEECHGRU_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        ended(ZeroDivisionError())


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(36, "File name too long", "a" * 5000), f"{'a' * 80}...{'a' * 79}: file name too long"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (PermissionError(13, "Permission denied", b"caf\xe9"), "caf\\udce9: permission denied"),
        (MemoryError(), "the memory does not suffice; end other programs, or give less at once"),
    ],
    ids=("name", "disk", "rights", "memory"),
)
def test_what_the_system_refuses_is_a_message(ended, error, message):
    assert ended(error) == (2, f"error: {message}\n")


def test_output_that_nobody_reads_ends_the_command_in_silence(tmp_path):
    command = (
        f"{sys.executable} -c 'from speechgru.cli import run_command\n"
        "run_command(lambda: [print(k) for k in range(100_000)] and None)' | head -n 1; echo ${PIPESTATUS[0]}"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=120)
    assert (done.stdout, done.stderr) == ("0\n141\n", "")


def test_a_message_does_not_steer_the_terminal(ended):
    assert ended(UserError("a\x1b[31m\x07\u202eb\u200c.wav: is empty")) == (
        2,
        "error: a\\x1b[31m\\x07\\u202eb\u200c.wav: is empty\n",
    )


def test_lines_of_progress_are_few(monkeypatch):
    clock = iter(range(0, 10_000, 3))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    lines = []
    report = line_progress(lines.append)
    for done in range(1, 13):
        report("reading", done, 12, "1 left out" if done == 12 else "")
    assert lines == [
        "reading: 5 of 12, about 21 s left",
        "reading: 9 of 12, about 9 s left",
        "reading: 12 of 12, 1 left out",
    ]


def test_progress_without_a_known_number_tells_what_is_done(monkeypatch):
    lines = []
    report = line_progress(lines.append)
    times = iter((0.0, 5.0, 11.0, 12.0))
    monkeypatch.setattr("speechgru.progress.time.monotonic", lambda: next(times))
    for done in (0, 100, 1200, 1300):
        report("reading recordings", done, 0)
    assert lines == ["reading recordings: 1,200"]


def test_a_stage_of_no_units_is_a_message():
    lines = []
    line_progress(lines.append)("starting from another run", 0, 0, "weights of base")
    assert lines == ["starting from another run: weights of base"]


def test_a_stage_that_begins_again_has_its_own_pace():
    pace = Pace()
    assert [pace.seconds_left(done, 10, now=now) for done, now in ((1, 0.0), (6, 5.0))] == [None, 4.0]
    assert [pace.seconds_left(done, 10, now=now) for done, now in ((0, 100.0), (5, 110.0))] == [None, 10.0]


@pytest.mark.parametrize("width", [100, 60, 47, 30])
def test_no_word_of_a_table_is_cut_or_broken(width):
    table = cli.Table("recording", "text", "confidence", "real-time factor")
    short, long = "turn on the light in the kitchen", "Donaudampfschifffahrtsgesellschaft"
    table.add_row("a/folder/with/a/long/name/0.wav", short, "0.98", "0.0016")
    table.add_row("b.wav", long, "0.50", "")
    with (terminal := Console(width=width, file=io.StringIO())).capture() as capture:
        terminal.print(table)
    shown = capture.get()
    assert max(map(len, shown.split("\n"))) <= width and "…" not in shown
    assert {*short.split(), "confidence", "factor", "0.98", "0.50", "0.0016"} <= set(shown.split())
    assert shown.count("f") == (8 if width > 60 else 9), "all of the long ones too"
    assert ("┏" in shown) == (width > 60), "a row's headings above each other"


@pytest.mark.parametrize("width", [80, 120])
def test_a_bar_keeps_its_columns_however_long_its_note_is(width):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    bars = progress_bars(console)
    note = "loss 12.34, best dev WER 12.3%, 1.2 steps/s, 1,234 h of audio/h, 1,234 MB"
    bars.add_task("reading recordings", total=20_000, completed=1_234, note=note)
    with console.capture() as capture:
        console.print(bars.get_renderable())
    (line,) = capture.get().rstrip("\n").split("\n")
    assert re.fullmatch(r"reading recordings [━╸╺ ]{10} +1234/20000 0:00:00 --:-- loss 12\.34, .*\u2026 *", line), line
    assert len(line) <= width


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["check", "none.jsonl"],
            "reading none.jsonl\nerror: none.jsonl: no such manifest; `speechgru prepare` writes manifests\n",
        ),
        (["chek"], "error: No such command 'chek'."),
        (
            ["transcribe", "none", "a.wav"],
            "loading none\nerror: none: not a bundle (bundle.json is missing); `speechgru export` makes one\n",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_as_a_process(tmp_path, arguments, message):
    command = [sys.executable, "-m", "speechgru.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(message)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("script", ["train", "evaluate", "export", "transcribe"])
def test_scripts_are_the_verbs(script):
    text = (ROOT / "scripts" / f"{script}.py").read_text(encoding="utf-8")
    command = [sys.executable, str(ROOT / "scripts" / f"{script}.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("error: Missing ")
    assert f'"{script}"' in text
