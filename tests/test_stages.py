"""Stages of a pipeline: run again when what they read has changed, and nothing old is lost without a word."""

import importlib
import json
import os
import shutil
from pathlib import Path

import pytest
from conftest import write_lines, write_wav

PIPELINES = Path(__file__).parents[1] / "pipelines"


@pytest.fixture(scope="module")
def stages():
    """The module that pipelines share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PIPELINES))
        return importlib.import_module("stages")


@pytest.fixture
def run(stages, tmp_path, capsys):
    """Runs one stage over a manifest in a story of its own, as another call would; gives what was printed, or None
    where it was skipped."""
    (tmp_path / "corpus").mkdir()
    manifest = write_lines(
        tmp_path / "corpus" / "train.jsonl",
        [{"audio_filepath": name, "duration": 1.0, "text": "yes"} for name in ("a.wav", "a.wav", "b.wav")],
    )
    for seed, name in enumerate(("a.wav", "b.wav", "c.wav")):
        write_wav(tmp_path / "corpus", name, seconds=0.1, seed=seed)

    def run(*inputs, resumes=False, folder=None, outputs=("out",)):
        paths, ran = [tmp_path / output for output in outputs], []

        def work(progress):
            ran.append(1)
            for path in paths:
                (path if "." not in path.name else path.parent).mkdir(parents=True, exist_ok=True)
                if "." in path.name:
                    path.write_text("made")

        story = stages.Story(tmp_path)
        story.stage("work", work, inputs=[manifest, *inputs], outputs=paths, folder=folder, resumes=resumes)
        printed = " ".join(capsys.readouterr().out.split())
        assert ("already done" in printed) == (not ran)
        return printed if ran else None

    return run


def change(path, *, byte=100):
    """Another sound of the same size, at the same time."""
    status, content = path.stat(), bytearray(path.read_bytes())
    content[byte] ^= 0x55
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def test_a_changed_recording_runs_the_stage_again_and_an_untouched_copy_does_not(run, tmp_path):
    assert run() and not run()
    change(tmp_path / "corpus" / "c.wav")  # which the manifest does not name
    os.utime(tmp_path / "corpus" / "a.wav")
    shutil.copy(tmp_path / "corpus" / "b.wav", tmp_path / "b.wav")
    shutil.move(tmp_path / "b.wav", tmp_path / "corpus" / "b.wav")
    assert not run(), "the same bytes at another time"
    change(tmp_path / "corpus" / "b.wav")
    printed = run(resumes=True)
    assert "the old one is kept as out.old1, because recordings that it was made from have changed" in printed
    assert (tmp_path / "out.old1").is_dir() and not run()
    (tmp_path / "corpus" / "b.wav").unlink()
    assert "out.old2" in run()


def test_a_folder_of_recordings_is_an_input_too(run, stages, tmp_path):
    source = tmp_path / "source"
    write_wav(source / "deep", "a.wav", seconds=0.1)
    assert run(stages.Source(source), stages.Source(None)) and not run(stages.Source(source), stages.Source(None))
    change(source / "deep" / "a.wav")
    assert run(stages.Source(source), stages.Source(None))
    write_wav(source / "deep", "b.wav", seconds=0.1)
    assert run(stages.Source(source), stages.Source(None))


def test_stages_of_an_earlier_version_are_not_run_again(run, tmp_path):
    run()
    record = json.loads((tmp_path / "stages.json").read_text())
    assert record["work"].pop("recordings")
    (tmp_path / "stages.json").write_text(json.dumps(record))
    assert not run(), "it knew nothing of recordings"
    change(tmp_path / "corpus" / "b.wav")
    assert run(), "but it does now"


def test_an_old_corpus_is_moved_aside_whole_and_other_files_are_said_to_be_written_anew(run, tmp_path):
    made, outputs = tmp_path / "made", ("made/train.jsonl", "made/dev.jsonl")
    assert "kept as" not in run("grammar", folder=made, outputs=outputs)
    (made / "audio.wav").write_text("spoken")
    assert not run("grammar", folder=made, outputs=outputs)
    printed = run("another grammar", folder=made, outputs=outputs)
    assert (
        "made: the old one is kept as made.old1, because its inputs have changed; another --out keeps both" in printed
    )
    assert (tmp_path / "made.old1" / "audio.wav").is_file() and not (made / "audio.wav").exists()
    printed = run("a third grammar", outputs=outputs)
    assert printed.count("its inputs have changed; it is written anew") == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}'])
def test_damaged_checksums_are_made_anew(run, tmp_path, content):
    run()
    (tmp_path / "recordings.json").write_text(content)
    assert not run()
