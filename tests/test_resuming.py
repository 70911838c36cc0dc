"""What a run folder that is there means for the configuration that is given: claimed, moved, lengthened, refused."""

import json
import shutil

import pytest

from speechgru.config import RunConfig, load_config, save_config
from speechgru.config.corpus_files import digest_of, digests_of, require_files
from speechgru.config.resuming import Resumption, resume, with_keys
from speechgru.config.sizing import SIZED_KEYS, choose_by_size, describe_choice
from speechgru.errors import ConfigError, ManifestError
from speechgru.files import write_json
from speechgru.runs import RunFolder
from speechgru.utterances import Utterance, write_manifest

LINES = [Utterance("a.wav", 1.0, "yes"), Utterance("b.wav", 0.5, "no", offset=2.0)]


@pytest.fixture
def corpus(tmp_path):
    """A folder with a manifest of two utterances, whose recordings nobody asks for."""
    return write_manifest(tmp_path / "corpus" / "train.jsonl", LINES).parent


@pytest.fixture
def given(corpus, tmp_path):
    """Overrides -> the configuration of a file."""
    file = tmp_path / "given.yaml"
    file.write_text(f"data: {{train: {corpus}/train.jsonl, dev: {corpus}/train.jsonl}}\n")
    return lambda *overrides: load_config(file, overrides)


@pytest.fixture
def begun(tmp_path):
    """A configuration -> a run folder that it has trained in up to a step; 0 ended before its first checkpoint."""

    def begin(config, step=10, *, digests=True):
        folder = RunFolder(tmp_path / "run")
        folder.checkpoints.mkdir(parents=True)
        save_config(folder.config, config)
        write_json(folder.provenance, {"seed": 0} | ({"corpus": digests_of(config)} if digests else {}))
        folder.history.write_text("")
        if step:
            folder.checkpoint(step).write_bytes(b"")
        return folder

    return begin


def test_a_start_that_reached_no_checkpoint_stands_in_nobodys_way(begun, given):
    other = given("model.units=8", "train.max_steps=3")
    folder = begun(given(), step=0)
    assert resume(folder, other) == Resumption(other, {}, ())
    for name in ("step_00000001.npz", "best.npz", "last.npz", "step_00000001.damaged"):
        kept = folder.checkpoints / name
        kept.write_bytes(b"")
        with pytest.raises(ConfigError, match=r"model\.units \(128 there, 8 now\).*another --run"):
            resume(folder, given("model.units=8"))
        kept.rename(folder.checkpoints / f".{name}")  # half-written, by a process that was killed
        assert resume(folder, given("model.units=8")).notes == ()


@pytest.mark.parametrize("name", ["config.yaml", "vocabulary.txt", "grammar.json", "skipped.jsonl", "history.jsonl"])
def test_files_that_no_run_has_written_are_not_overwritten(given, tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_text("mine\n")
    with pytest.raises(ConfigError, match=rf"run: holds {name}, and no run that wrote it; .*another --run"):
        resume(RunFolder(tmp_path / "run"), given())
    assert resume(RunFolder(tmp_path), given()).notes == (), "a folder with files of other names may be one's own"


@pytest.mark.parametrize(
    "override",
    [
        "data.num_workers=5", "data.max_skipped_share=0.5", "train.accumulate=4", "train.max_dropped_in_a_row=3",
        "train.patience=9", "train.max_minutes=3", "train.checkpoint_every_steps=7", "train.keep_last=5",
        "train.show_examples=0", "train.ctc=op", "train.deterministic=true",
    ],
)  # fmt: skip
def test_what_changes_no_step_may_change(begun, given, override):
    folder = begun(given())
    config = given(override)
    resumed = resume(folder, config)
    assert resumed.config == config and resumed.notes == ()
    assert set(resumed.kept) <= SIZED_KEYS, "a run from before sizes counted is not sized when it resumes"


def test_parts_of_a_batch_count_where_its_statistics_are_learnt_from(begun, given):
    folder = begun(given("model.normalization=batch"))
    with pytest.raises(ConfigError, match=r"train\.accumulate \(1 there, 4 now\)"):
        resume(folder, given("model.normalization=batch", "train.accumulate=4"))


@pytest.mark.parametrize("override", ["train.evaluate_every_steps=7", "train.seed=3", "data.max_duration_seconds=3"])
def test_what_changes_a_result_may_not_change(begun, given, override):
    with pytest.raises(ConfigError, match="holds a run of another configuration"):
        resume(begun(given()), given(override))


def test_a_key_that_is_newer_than_the_run_keeps_what_was_done_then(begun, given):
    """`quiet_start_ms` is 0 in runs from before it was a key; asked for, another value is another run."""
    folder = begun(given("model.direction=forward"))
    lines = folder.config.read_text().splitlines(keepends=True)
    folder.config.write_text("".join(line for line in lines if "quiet_start_ms" not in line))
    resumed = resume(folder, given("model.direction=forward"))
    assert resumed.kept["train.quiet_start_ms"] == resumed.config.train.quiet_start_ms == 0.0
    for asked, shown in (("150.0", r"150\.0"), ("null", "None")):
        with pytest.raises(ConfigError, match=rf"train\.quiet_start_ms \(0\.0 there, {shown} now\)"):
            resume(folder, given("model.direction=forward", f"train.quiet_start_ms={asked}"))


# -- what the size of a corpus chooses -------------------------------------------------------------------------------


def test_the_size_of_a_corpus_chooses_what_nobody_sets(given):
    tiny = choose_by_size(given(), 24)
    config = with_keys(given(), tiny)
    assert tiny.keys() == SIZED_KEYS - {"model.num_layers"}
    assert (config.train.batch_size, config.model.units) == (8, 64)
    passes = config.train.evaluate_every_steps * config.train.batch_size / 24
    assert passes < 20, "a dev score comes before thirty recordings are known by heart"
    assert choose_by_size(given(), 200) == {"train.batch_size": 16, "train.evaluate_every_steps": 100}
    assert choose_by_size(given(), 300) == {}
    assert RunConfig.model_validate(config.model_dump()) == config, "the values go together"


@pytest.mark.parametrize(
    ("override", "own"),
    [
        ("train.batch_size=32", "train.batch_size"), ("model.units=128", "model.units"),
        ("train.max_epochs=20.0", "train.max_steps"), ("train.batch_frames=4000", "train.batch_size"),
    ],
)  # fmt: skip
def test_what_somebody_sets_is_theirs_be_it_the_default(given, override, own):
    assert own not in choose_by_size(given(override), 24)
    assert len(choose_by_size(given(override), 24)) == 5


def test_a_batch_can_be_computed_in_the_parts_that_were_asked_for(given):
    assert choose_by_size(given("train.accumulate=12"), 24)["train.batch_size"] == 12


def test_a_start_from_another_run_has_its_model(given, begun):
    folder = begun(given("model.units=48", "model.num_layers=3"))
    chosen = choose_by_size(given(f"train.start_from={folder.path}"), 24)
    assert {key: chosen[key] for key in chosen if key.startswith("model.")} == {
        "model.units": 48, "model.subsampling_channels": 128, "model.num_layers": 3
    }  # fmt: skip
    assert choose_by_size(given(f"train.start_from={folder.path}"), 3000)["model.units"] == 48
    from_base = given("train.start_from=base")
    assert from_base.model == with_keys(from_base, choose_by_size(from_base, 24)).model


def test_a_sized_run_is_resumed_by_the_same_file_and_by_no_other_size(given, begun):
    sized = choose_by_size(given(), 24)
    folder = begun(with_keys(given(), sized))
    with pytest.raises(ConfigError, match=r"train\.batch_size \(8 there, 32 now\)"):
        resume(folder, given())  # somebody had set it, and does not any more
    write_json(folder.provenance, {"seed": 0, "sized": sorted(sized)})
    resumed = resume(folder, given())
    assert resumed.config == with_keys(given(), sized) and choose_by_size(resumed.config, 24) == {}
    with pytest.raises(ConfigError, match=r"train\.batch_size \(8 there, 32 now\)"):
        resume(folder, given("train.batch_size=32"))


def test_the_choice_is_said_as_it_could_be_set(given):
    said = describe_choice(choose_by_size(given(), 24), 24)
    values = [word for word in said.split() if "=" in word]
    assert with_keys(given(), choose_by_size(given(), 24)) == given(*values)


# -- a corpus that lies elsewhere ------------------------------------------------------------------------------------


@pytest.mark.parametrize("digests", [True, False])
def test_a_corpus_may_move(begun, given, corpus, tmp_path, digests):
    folder = begun(given(), digests=digests)
    shutil.copytree(corpus, tmp_path / "elsewhere")
    if digests:
        shutil.rmtree(corpus)
    where = tmp_path / "elsewhere" / "train.jsonl"
    resumed = resume(folder, given(f"data.train={where}", f"data.dev={where}"))
    assert resumed.config.data.train == (str(where),)
    assert [note.split()[0] for note in resumed.notes] == ["data.dev", "data.train"]
    assert all("the same utterances" in note for note in resumed.notes)


@pytest.mark.parametrize("change", ["order", "text", "fewer", "gone"])
def test_a_corpus_that_is_another_one_is_refused_with_the_way_out(begun, given, corpus, tmp_path, change):
    folder = begun(given(), digests=change != "gone")
    lines = {
        "order": LINES[::-1],
        "text": [LINES[0], Utterance("b.wav", 0.5, "on", offset=2.0)],
        "fewer": LINES[:1],
        "gone": LINES,
    }[change]
    other = write_manifest(tmp_path / "other.jsonl", lines)
    shutil.rmtree(corpus)
    with pytest.raises(ConfigError, match=r"data\.train.*put a link to it where it was, or correct its path in .*run"):
        resume(folder, given(f"data.train={other}", f"data.dev={other}"))
    if change == "gone":  # the advice can be followed as it is written
        folder.config.write_text(folder.config.read_text().replace(str(corpus / "train.jsonl"), str(other)))
        assert resume(folder, given(f"data.train={other}", f"data.dev={other}")).notes == ()


def test_a_manifest_that_has_changed_since_is_said(begun, given, corpus):
    folder = begun(given())
    write_manifest(corpus / "train.jsonl", LINES[:1])
    notes = resume(folder, given()).notes
    assert notes == tuple(
        f"{key} holds other utterances than when the run began, which it resumes with"
        for key in ("data.train", "data.dev")
    )


def test_a_digest_is_of_the_utterances_and_not_of_where_they_lie(corpus, tmp_path):
    lines = [json.loads(line) for line in (corpus / "train.jsonl").read_text().splitlines()]
    moved = [line | {"audio_filepath": f"D:\\corpus\\{line['audio_filepath'].split('/')[-1]}"} for line in lines]
    (tmp_path / "moved.jsonl").write_text("".join(json.dumps(line) + "\n" for line in moved))
    assert digest_of(tmp_path / "moved.jsonl") == digest_of(corpus / "train.jsonl") is not None
    assert digest_of(tmp_path / "none.jsonl") is None and digest_of(tmp_path) is None
    (tmp_path / "moved.jsonl").write_text("".join(json.dumps(line | {"channel": 2}) + "\n" for line in moved))
    assert digest_of(tmp_path / "moved.jsonl") != digest_of(corpus / "train.jsonl"), "another channel, another sound"


def test_a_run_whose_start_has_moved_needs_it_no_more(begun, given, tmp_path):
    folder = begun(given(f"train.start_from={tmp_path}/gone"))
    assert resume(folder, given(f"train.start_from={tmp_path}/moved")).notes == ()
    (tmp_path / "gone").mkdir()
    with pytest.raises(ConfigError, match=r"train\.start_from"):
        resume(folder, given(f"train.start_from={tmp_path}/moved"))


def test_a_start_from_the_base_is_no_other_start(begun, given, tmp_path):
    config = RunConfig.model_validate(given().model_dump() | {"train": {"start_from": "base"}})
    with pytest.raises(ConfigError, match=r"train\.start_from \('base' there"):
        resume(begun(config), given(f"train.start_from={tmp_path}/other"))


# -- a run of another length -----------------------------------------------------------------------------------------


def test_a_cosine_cannot_be_lengthened_and_the_way_out_is_named(begun, given):
    folder = begun(given(), step=1500)
    with pytest.raises(
        ConfigError, match=r"train\.max_steps \(1500 there, 3000 now\).*another --run with train\.start_from=\S*run$"
    ):
        resume(folder, given("train.max_steps=3000"))


@pytest.mark.parametrize("schedule", ["constant", "noam", "plateau"])
@pytest.mark.parametrize(("step", "more"), [(1500, False), (1400, True)])
def test_other_schedules_can_and_it_is_said_what_that_does(begun, given, schedule, step, more):
    common = (f"train.schedule={schedule}",)
    folder = begun(given(*common), step=step)
    (note,) = resume(folder, given(*common, "train.max_steps=3000")).notes
    assert "train.max_steps (1500 there, 3000 now)" in note and f"with train.schedule {schedule} its steps are" in note
    assert ("the dev score at step 1,400 counts" in note) == more
    assert resume(folder, given(*common, "train.max_epochs=50.0")).config.train.max_epochs == 50.0
    with pytest.raises(ConfigError, match=rf"has done {step:,} steps already; give more"):
        resume(folder, given(*common, "train.max_steps=1000"))


# -- before anything long is done ------------------------------------------------------------------------------------


def test_a_file_that_is_not_there_is_named_with_its_key(given, corpus):
    require_files(given())
    for override in ("data.dev=nowhere.jsonl", "augment.reverb_manifest=nowhere.jsonl", f"data.train={corpus}/x.jsonl"):
        with pytest.raises(ManifestError, match=rf"no such manifest.*\({override.split('=')[0]} names it\)"):
            require_files(given(override))
    with pytest.raises(ConfigError, match=r"data\.train names no manifest"):
        require_files(given("data.train=[]"))
