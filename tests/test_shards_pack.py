"""Packing: what training would read, to the last bit; the same files whenever and however often it was stopped."""

import dataclasses
import inspect
import json
import os
import signal

import numpy as np
import pytest
import soundfile
from commands import needs_fork

tf = pytest.importorskip("tensorflow", reason="shards are TFRecord files")

from speechgru import lengths  # noqa: E402
from speechgru.config.load import save_config  # noqa: E402
from speechgru.config.sections import RunConfig  # noqa: E402
from speechgru.dataset import open_corpus  # noqa: E402
from speechgru.errors import AudioError, ConfigError, CorpusError, UserError  # noqa: E402
from speechgru.files import sha256_of  # noqa: E402
from speechgru.model.build import build_front_end  # noqa: E402
from speechgru.process.locked_folder import locked_folder  # noqa: E402
from speechgru.shards import job, records  # noqa: E402
from speechgru.shards import pack as module  # noqa: E402
from speechgru.shards.folder import _checksum, verify  # noqa: E402
from speechgru.shards.pack import shard  # noqa: E402
from speechgru.shards.reader import Shards  # noqa: E402
from speechgru.shards.settings import require_fit  # noqa: E402
from speechgru.utterances.examination import examine, make_vocabulary, read_utterance  # noqa: E402
from speechgru.utterances.manifest import read_manifest  # noqa: E402

QUIET = {"gain_db": 0, "silence_seconds": 0, "noise_probability": 0}


def change(**sections):
    """A configuration with what the tests below depend on fixed, whatever the defaults are."""
    fixed = {"data": {"sample_rate": 16000, "num_workers": 3}, "augment": {}}
    fixed["text"] = {"characters": " 'abcdefghijklmnopqrstuvwxyz"}
    return RunConfig.model_validate({name: fixed.get(name, {}) | sections.get(name, {}) for name in fixed | sections})


CONFIG = change()
#: Some shards of some records each.
SMALL = 0.06


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A manifest of 14 utterances in many formats, rates and channels, among them segments. Do not change it."""
    from conftest import write_lines, write_wav

    folder = tmp_path_factory.mktemp("corpus")
    kinds = [
        (".wav", {}, 16000, 1),
        (".wav", {"subtype": "PCM_24"}, 16000, 1),
        (".wav", {"subtype": "FLOAT"}, 16000, 1),
        (".wav", {"subtype": "ULAW"}, 16000, 1),
        (".flac", {}, 16000, 1),
        (".flac", {}, 44100, 2),
        (".ogg", {}, 16000, 1),
        (".mp3", {}, 22050, 1),
        (".wav", {}, 8000, 1),
        (".wav", {}, 16000, 2),
        (".aiff", {}, 16000, 1),
    ]
    lines = []
    for number, (suffix, options, rate, channels) in enumerate(kinds):
        path = write_wav(
            folder, f"a{number}{suffix}", seconds=0.5 + number / 20, sample_rate=rate, num_channels=channels,
            seed=number, **options,
        )  # fmt: skip
        speaker = {"speaker": f"s{number % 3}"} if number % 2 else {}
        text = "Yes, it's on!" if number % 4 else ""
        lines.append(
            {"audio_filepath": path.name, "duration": soundfile.info(path).duration, "text": text, "snr": 3, **speaker}
        )
    for offset in (0.0, 0.2501, 0.31):
        lines.append({"audio_filepath": "a5.flac", "duration": 0.3003, "offset": offset, "text": "nö", "speaker": "ö"})
    return write_lines(folder / "train.jsonl", lines)


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pack(corpus, out, config=CONFIG, **options):
    options = {"shard_megabytes": SMALL, **options}
    return shard([corpus], out, config=config, **options)


AUTO = change(text={"characters": "auto"})


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """The corpus packed at one go, and its files."""
    out = tmp_path_factory.mktemp("whole") / "shards"
    pack(corpus, out, AUTO)
    return out, files_of(out)


def bits(values):
    return np.ascontiguousarray(values, np.float32).view(np.uint32)


@pytest.mark.parametrize("sample_rate", [16000, 11025])
def test_samples_are_those_of_the_recordings_to_the_last_bit(corpus, tmp_path, sample_rate):
    config = change(data={"sample_rate": sample_rate}, text={"characters": "auto"})
    summary = pack(corpus, tmp_path / "s", config)
    utterances = read_manifest(corpus)
    opened = Shards.open(tmp_path / "s")
    assert (len(opened), opened.sample_rate, opened.form) == (14, sample_rate, "samples")
    assert (summary.num_records, summary.num_skipped, summary.num_kept) == (14, 0, 0)
    assert summary.num_shards > 3
    vocabulary = make_vocabulary(config, utterances)
    usable, _ = examine(utterances, config=config, vocabulary=vocabulary)
    assert opened.vocabulary == vocabulary
    kinds = set()
    for index, utterance in enumerate(utterances):
        record = opened.read(index)
        samples_N = read_utterance(utterance, sample_rate=sample_rate).samples_N
        np.testing.assert_array_equal(bits(record.values), bits(samples_N))
        np.testing.assert_array_equal(bits(opened.load(tf.constant(index))[0]), bits(samples_N))
        for name in ("utterance_id", "audio_filepath", "offset", "duration", "speaker", "text"):
            assert getattr(record, name) == getattr(utterance, name)
        assert tuple(record.labels_L) == usable[index].labels
        assert opened.num_samples[index] == usable[index].num_samples == len(samples_N)
        assert opened.num_labels[index] == len(usable[index].labels)
        assert opened.min_steps[index] == lengths.min_steps(usable[index].labels)
        kinds.add(records.compact_samples(samples_N).dtype.name)
    assert kinds == ({"int16", "float32"} if sample_rate == 16000 else {"float32"})
    assert summary.seconds == pytest.approx(sum(example.num_samples for example in usable) / sample_rate)
    assert verify(tmp_path / "s") == []


def test_features_are_the_front_ends_before_normalisation(corpus, tmp_path):
    config = change(augment=QUIET, text={"characters": "auto"}, features={"n_mels": 24, "hop_length_ms": 12.5})
    summary = pack(corpus, tmp_path / "s", config, form="features")
    assert summary.form == "features" and summary.num_shards > 1
    layer = build_front_end(config).log_mel
    opened = Shards.open(tmp_path / "s")
    assert opened.form == "features"
    for index, utterance in enumerate(read_manifest(corpus)):
        samples_N = read_utterance(utterance, sample_rate=16000).samples_N
        log_mel_BTM, _ = layer(samples_N[None], np.array([len(samples_N)], np.int32))
        values, _ = opened.load(tf.constant(index))
        np.testing.assert_allclose(values, log_mel_BTM[0], rtol=1e-5, atol=1e-5)
        num_frames = lengths.num_frames(int(opened.num_samples[index]), n_fft=512, hop_length=200, center=True)
        assert values.shape == (num_frames, opened.num_features)
    again = pack(corpus, tmp_path / "again", change(data={"num_workers": 1}, **_sections(config)), form="features")
    assert files_of(tmp_path / "again") == files_of(tmp_path / "s")
    assert again == dataclasses.replace(summary, out=tmp_path / "again")


def _sections(config):
    return {name: config.model_dump()[name] for name in ("augment", "text", "features")}


def test_features_cannot_be_augmented_as_samples(corpus, tmp_path):
    loud = {"augment": QUIET | {"gain_db": 3.0, "speed_share": 0.1}, "features": {"dither": 1e-5}}
    message = (
        r"cannot be augmented as samples, but these are on: augment\.speed_share \(0\.1\), augment\.gain_db \(3\), "
        r"features\.dither \(1e-05\); set them to 0 \(augment\.speed_share=0 augment\.gain_db=0 features\.dither=0\), "
        r"or pack samples \(--form samples\)"
    )
    with pytest.raises(ConfigError, match=message):
        pack(corpus, tmp_path / "s", change(**loud), form="features")
    assert not (tmp_path / "s").exists()
    for key in ("silence_seconds", "noise_probability", "reverb_probability", "equalizer_db"):
        with pytest.raises(ConfigError, match=rf"on: augment\.{key} \(0\.1\)"):
            pack(corpus, tmp_path / "s", change(augment=QUIET | {key: 0.1}), form="features")


def test_the_bytes_depend_on_the_corpus_alone(corpus, whole, tmp_path):
    _, files = whole
    for number, num_workers in enumerate((1, 2, 8)):
        config = change(data={"num_workers": num_workers}, text={"characters": "auto"}, train={"seed": number})
        pack(corpus, tmp_path / str(number), config)
        assert files_of(tmp_path / str(number)) == files
    names = [
        name for k in range(len(files) // 2 - 1) for name in (f"shard-{k:05d}.index.npy", f"shard-{k:05d}.tfrecord")
    ]
    assert sorted(files) == [*names, "shards.json", "skipped.jsonl"]


def test_manifests_stand_behind_each_other_and_are_named(corpus, tmp_path, write_lines):
    first = corpus.read_text(encoding="utf-8").split("\n")[:3]
    paths = [write_lines(corpus.parent / f"part{k}.jsonl", lines) for k, lines in enumerate([first, first[1:]])]
    shard(paths, tmp_path / "s", config=CONFIG)
    opened = Shards.open(tmp_path / "s")
    assert [opened.utterance_id(k) for k in range(5)] == ["a0.wav", "a1.wav", "a2.wav", "a1.wav", "a2.wav"]
    for path, stored, count in zip(paths, opened.summary["manifests"], (3, 2), strict=True):
        assert stored == {"path": str(path), "sha256": sha256_of(path), "num_utterances": count}
    assert opened.summary["num_records"] == 5
    assert opened.settings["text"]["characters"] == CONFIG.text.characters


def test_what_training_would_leave_out_is_listed(tmp_path, write_wav, write_lines):
    for number in range(4):
        write_wav(tmp_path, f"{number}.wav", seed=number)
    names = ["0.wav", "missing.wav", "1.wav", "2.wav", "3.wav"]
    texts = ["yes", "yes", "größe", "yes", "no"]
    lines = [{"audio_filepath": n, "duration": 1.0, "text": t} for n, t in zip(names, texts, strict=True)]
    manifest = write_lines(tmp_path / "m.jsonl", lines)
    out = tmp_path / "s"
    message = (
        r"2 of 5 utterances cannot be used, more than data\.max_skipped_share \(0\.3\) allows; "
        r".+skipped\.jsonl lists all:\n  .+missing\.wav: no such recording"
    )
    with pytest.raises(UserError, match=message):
        pack(manifest, out, change(data={"max_skipped_share": 0.3}))
    summary = pack(manifest, out, change(data={"max_skipped_share": 0.4}))
    assert (summary.num_records, summary.num_skipped) == (3, 2)
    skipped = [json.loads(line) for line in (out / "skipped.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    assert [(record["line"], record["reason"]) for record in skipped] == [(2, "unreadable"), (3, "unknown character")]
    opened = Shards.open(out)
    assert [opened.utterance_id(k) for k in range(3)] == ["0.wav", "2.wav", "3.wav"]
    leaky = write_lines(tmp_path / "dev.jsonl", lines[3:4])
    config = change(data={"max_skipped_share": 0.7, "dev": str(leaky)}, check={"leave_out": ["leak"]})
    pack(manifest, tmp_path / "no_leak", config)
    opened = Shards.open(tmp_path / "no_leak")
    assert [opened.utterance_id(k) for k in range(len(opened))] == ["0.wav", "3.wav"]


class Stop(Exception):
    pass


def each_moment(action, patch):
    """Calls `action` before everything that is written for good: a record, a flush to disk, a renaming."""
    for owner, name in (
        (os, "replace"),
        (os, "fsync"),
        (tf.io.TFRecordWriter, "write"),
        (tf.io.TFRecordWriter, "close"),
    ):
        original = getattr(owner, name)

        def replaced(*arguments, original=original):
            action()
            return original(*arguments)

        patch(owner, name, replaced)


def count_moments(corpus, out):
    count = [0]

    def action():
        count[0] += 1

    with pytest.MonkeyPatch.context() as context:
        each_moment(action, context.setattr)
        pack(corpus, out, AUTO)
    return count[0]


def test_a_run_that_fails_at_any_moment_resumes_to_the_same_files(corpus, whole, tmp_path):
    _, files = whole
    num_moments = count_moments(corpus, tmp_path / "count")
    assert num_moments > 40
    kept = []
    for moment in range(1, num_moments + 1, 2):
        out, left = tmp_path / str(moment), [moment]

        def action(left=left):
            left[0] -= 1
            if left[0] == 0:
                raise Stop

        with pytest.MonkeyPatch.context() as context:
            each_moment(action, context.setattr)
            with pytest.raises(Stop):
                pack(corpus, out, AUTO)
        kept.append(pack(corpus, out, AUTO).num_kept)
        assert files_of(out) == files, moment
    assert kept == sorted(kept) and kept[0] == 0 and kept[-1] == (len(files) - 2) // 2


KILLED = """
import os, signal, sys
import tensorflow as tf
from speechgru.config import load_config
from speechgru.shards.pack import shard

left = int(sys.argv[4])

def action():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

each_moment(action, setattr)
shard([sys.argv[1]], sys.argv[2], config=load_config(sys.argv[3]), shard_megabytes=float(sys.argv[5]))
"""


@needs_fork
def test_a_process_that_is_killed_resumes_to_the_same_files(corpus, whole, commands, tmp_path):
    _, files = whole
    save_config(tmp_path / "config.yaml", AUTO)
    moments = np.random.default_rng(0).choice(np.arange(5, 45), 3, replace=False)
    for moment in moments:
        out = tmp_path / str(moment)
        code = f"{inspect.getsource(each_moment)}\n{KILLED}"
        status, printed = commands.run(code, corpus, out, tmp_path / "config.yaml", moment, SMALL)
        assert status == -signal.SIGKILL, printed
        assert any(path.name.startswith(".") for path in out.rglob("*"))  # it left something half done
        with pytest.raises(CorpusError, match=r"not finished|holds no shards"):
            Shards.open(out)
        calls = []
        summary = pack(corpus, out, AUTO, progress=lambda *arguments, calls=calls: calls.append(arguments))
        assert files_of(out) == files
        if summary.num_kept:
            assert not any(stage.startswith("reading") for stage, *_ in calls)
            assert ("verifying finished shards", summary.num_kept, summary.num_kept, "") in calls
        assert calls[-1][:3] == ("packing", 14, 14)


def stop_after(corpus, out, num_shards, monkeypatch, config=AUTO):
    """Leaves an unfinished job of N shards."""
    original = module.write_shard

    def write(folder, number, *arguments, **options):
        if number == num_shards:
            raise Stop
        return original(folder, number, *arguments, **options)

    with monkeypatch.context() as context:
        context.setattr(module, "write_shard", write)
        with pytest.raises(Stop):
            pack(corpus, out, config)


def test_a_finished_shard_that_was_damaged_is_written_anew(corpus, whole, tmp_path, monkeypatch):
    _, files = whole
    for finished in (False, True):
        out = tmp_path / str(finished)
        if finished:
            pack(corpus, out, AUTO)
        else:
            stop_after(corpus, out, 4, monkeypatch)
        content = bytearray(files["shard-00001.tfrecord"])
        content[100] ^= 4
        (out / "shard-00001.tfrecord").write_bytes(content)
        (out / "shard-00003.index.npy").unlink()
        calls = []
        summary = pack(corpus, out, AUTO, progress=lambda *arguments, calls=calls: calls.append(arguments))
        assert files_of(out) == files
        assert summary.num_kept == (summary.num_shards if finished else 4) - 2
        note = next(note for stage, done, _, note in calls if stage == "verifying finished shards" and done == 2)
        assert "1 to write anew, the last because: " in note and "shard-00001.tfrecord: is damaged" in note


def test_a_finished_job_needs_nothing_but_the_shards(corpus, whole, monkeypatch):
    out, files = whole
    monkeypatch.setattr(module, "read_utterance", None)
    monkeypatch.setattr(job, "examine", None)
    summary = pack(corpus, out, AUTO)
    assert summary.num_kept == summary.num_shards
    assert files_of(out) == files


def test_a_folder_of_somebody_elses_that_has_the_name_of_the_jobs_own_stays(corpus, whole, tmp_path):
    thesis = tmp_path / "out" / "unfinished" / "thesis.txt"
    thesis.parent.mkdir(parents=True)
    thesis.write_text("precious")
    pack(corpus, thesis.parents[1], AUTO)
    pack(corpus, thesis.parents[1], AUTO)  # a finished job drops its state, too
    assert thesis.read_text() == "precious"
    assert [path.name for path in thesis.parent.iterdir()] == ["thesis.txt"]


def test_another_job_does_not_go_on_in_the_folder(corpus, tmp_path, monkeypatch, write_lines):
    manifest = write_lines(tmp_path / "m.jsonl", [])
    manifest.write_bytes(corpus.read_bytes().replace(b': "a', b': "' + str(corpus.parent).encode() + b"/a"))
    stop_after(manifest, tmp_path / "a", 2, monkeypatch)
    pack(manifest, tmp_path / "b", AUTO)
    for out, what in ((tmp_path / "a", "unfinished shards"), (tmp_path / "b", "shards")):
        before = files_of(out)
        for config, options, message in (
            (change(text={"lowercase": False}), {}, r"text\.lowercase \(True there, False now\)"),
            (change(data={"sample_rate": 8000}), {}, r"data\.sample_rate \(16000 there, 8000 now\)"),
            (AUTO, {"shard_megabytes": 1}, r"shard_megabytes \(0\.06 there, 1\.0 now\)"),
            (change(augment=QUIET), {"form": "features"}, r"form \('samples' there, 'features' now\)"),
            (change(check={"leave_out": []}), {}, r"check\.leave_out \(\['silent', .+\] there, \[\] now\)"),
        ):
            with pytest.raises(
                ConfigError, match=rf"{out.name}: holds {what} of another command: .*{message}.*; give the"
            ):
                pack(manifest, out, config, **options)
        with pytest.raises(ConfigError, match=r"manifests\[1\]\.path \(None there, '.+train\.jsonl' now\)"):
            shard([manifest, corpus], out, config=AUTO, shard_megabytes=SMALL)
        assert files_of(out) == before
    with open(manifest, "a", encoding="utf-8") as stream:
        stream.write(json.dumps({"audio_filepath": str(corpus.parent / "a0.wav"), "duration": 0.5, "text": "x"}) + "\n")
    with pytest.raises(
        ConfigError, match=r"manifests\[0\]\.sha256 \('.{64}' there, '.{64}' now\); manifests\[0\]\.num_utt"
    ):
        pack(manifest, tmp_path / "a", AUTO)
    (tmp_path / "b" / "shards.json").unlink()
    with pytest.raises(
        ConfigError, match=r"b: holds shards of a job that is not known .+; choose another --out, or empty"
    ):
        pack(manifest, tmp_path / "b", AUTO)


def test_what_does_not_change_the_shards_may_change(corpus, whole):
    out, files = whole
    config = change(
        text={"characters": "auto"}, data={"num_workers": 1, "max_skipped_share": 0.0}, model={"units": 7},
        augment={"gain_db": 9.0}, train={"batch_size": 2},
    )  # fmt: skip
    pack(corpus, out, config)
    assert files_of(out) == files


def test_a_recording_that_changes_while_it_is_packed_is_named(tmp_path, write_wav, write_lines, monkeypatch):
    paths = [write_wav(tmp_path, f"{number}.wav", seed=number) for number in range(6)]
    manifest = write_lines(
        tmp_path / "m.jsonl", [{"audio_filepath": path.name, "duration": 0, "text": "yes"} for path in paths]
    )
    stop_after(manifest, tmp_path / "s", 1, monkeypatch, CONFIG)
    good = paths[4].read_bytes()
    write_wav(tmp_path, "4.wav", seconds=1.1)
    with pytest.raises(AudioError, match=r"4\.wav: has 17600 samples now, 16000 when the job began; a corpus must not"):
        pack(manifest, tmp_path / "s")
    paths[4].unlink()
    with pytest.raises(
        AudioError, match=r"4\.wav: no such recording .+ \(it could be read when the job began; finished"
    ):
        pack(manifest, tmp_path / "s")
    paths[4].write_bytes(good)
    assert pack(manifest, tmp_path / "s").num_kept == 2  # two recordings a shard: two more shards could be written
    write_wav(tmp_path, "0.wav", seconds=1.1)
    (tmp_path / "s" / "shard-00000.tfrecord").write_bytes(b"")
    with pytest.raises(
        CorpusError, match=r"s: has damaged shards, and the recordings have changed since they were pack"
    ):
        pack(manifest, tmp_path / "s")
    write_wav(tmp_path, "0.wav", subtype="FLOAT")  # as long, but its records are larger
    with pytest.raises(
        CorpusError, match=r"shard-00000\.tfrecord: was damaged, and holds 1 records now, 2 before: the re"
    ):
        pack(manifest, tmp_path / "s")


def test_a_full_disk_keeps_what_is_finished(corpus, whole, tmp_path):
    resource = pytest.importorskip("resource", reason="needs POSIX limits")
    _, files = whole
    sizes = [len(content) for name, content in sorted(files.items()) if name.endswith(".tfrecord")]
    first = next(number for number, size in enumerate(sizes) if size > sizes[0])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(sizes[:first]), before[1]))
    try:
        message = rf"shard-0000{first}\.tfrecord: cannot be written \(File too large\); what was finished before is k"
        with pytest.raises(UserError, match=message):
            pack(corpus, tmp_path / "s", AUTO)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert pack(corpus, tmp_path / "s", AUTO).num_kept == first > 0
    assert files_of(tmp_path / "s") == files


@pytest.mark.parametrize("moment", ["replace", "fsync"])
def test_a_disk_that_fails_is_named(corpus, tmp_path, monkeypatch, moment):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, moment, fail)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
        pack(corpus, tmp_path / "s", AUTO)


def test_two_processes_do_not_write_one_folder(corpus, tmp_path):
    holder = rf"s: process {os.getpid()} is writing shards here; wait for it"
    with locked_folder(tmp_path / "s", activity="works", advice="wait"), pytest.raises(UserError, match=holder):
        pack(corpus, tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_request_that_makes_no_sense_is_refused(corpus, tmp_path):
    with pytest.raises(ConfigError, match="no manifest to pack"):
        shard([], tmp_path / "s", config=CONFIG)
    with pytest.raises(ConfigError, match="the form must be samples or features, got 'wav'"):
        pack(corpus, tmp_path / "s", form="wav")
    for megabytes in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="shard_megabytes must be a number above 0, got "):
            pack(corpus, tmp_path / "s", shard_megabytes=megabytes)
    with pytest.raises(ConfigError, match=r"data\.audio_engine is tensorflow_io, but shards are read with soundfile"):
        pack(corpus, tmp_path / "s", change(data={"audio_engine": "tensorflow_io"}))
    with pytest.raises(UserError, match="is not UTF-8"):
        pack(corpus, tmp_path / "\udcff")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: is a file; shards need a folder"):
        pack(corpus, tmp_path / "file")
    assert os.listdir(tmp_path) == ["file"]


def test_words_are_packed_and_used_as_words(corpus, tmp_path):
    config = change(text={"unit": "word"})
    pack(corpus, tmp_path / "s", config)
    shards = Shards.open(tmp_path / "s")
    utterances = read_manifest(corpus)
    assert shards.vocabulary == make_vocabulary(config, utterances) and shards.vocabulary.unit == "word"
    for index in (0, 5):
        labels = shards.read(index).labels_L.tolist()
        assert shards.vocabulary.decode(labels) == config.text.normalize(utterances[index].text)
    require_fit(shards, config)
    require_fit(shards, change(text={"unit": "word", "words": list(shards.vocabulary.entries)}))
    with pytest.raises(ConfigError, match=r"text\.unit \('word' in the shards, 'character' now\)"):
        require_fit(shards, AUTO)
    with pytest.raises(ConfigError, match=r"text\.words \(\[.+\] in the shards, \['on'\] now\)"):
        require_fit(shards, change(text={"unit": "word", "words": ["on"]}))
    with pytest.raises(ConfigError, match=r"text\.keep_punctuation \('' in the shards, '-' now\)"):
        require_fit(shards, change(text={"unit": "word", "keep_punctuation": "-"}))


def test_shards_keep_the_letters_of_their_transcripts(corpus, tmp_path):
    """A configuration alone does not know the letters of words that are spelt: they are those of what was packed."""
    text = {"unit": "word", "words": ["on"], "unknown_words": "spell", "characters": "auto"}
    pack(corpus, tmp_path / "s", change(text=text))
    shards = Shards.open(tmp_path / "s")
    assert shards.vocabulary.words == ("on",) and shards.vocabulary.letters
    require_fit(shards, change(text=text))
    opened = open_corpus(change(text=text, data={"train": [str(tmp_path / "s")]}))
    assert opened[1] == shards.vocabulary
    with pytest.raises(ConfigError, match=r"text\.characters"):
        require_fit(shards, change(text=text | {"characters": "z"}))


def test_shards_of_the_first_version_are_read_and_kept_with_the_rules_of_their_day(corpus, tmp_path):
    """They held the vocabulary as text, and no text rule but two: texts were brought to NFKC."""
    old_rules = change(text={"characters": "auto", "normalization": "NFKC"})
    pack(corpus, tmp_path / "s", old_rules)
    vocabulary = Shards.open(tmp_path / "s").vocabulary
    path = tmp_path / "s" / "shards.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    del summary["checksum"]
    summary |= {"version": 1, "vocabulary": "".join(vocabulary.entries)}
    for key in ("unit", "words", "normalization", "keep_punctuation"):
        del summary["settings"]["text"][key]
    path.write_text(json.dumps(summary | {"checksum": _checksum(summary)}), encoding="utf-8")
    before = files_of(tmp_path / "s")
    shards = Shards.open(tmp_path / "s")
    assert shards.vocabulary == vocabulary
    require_fit(shards, old_rules)
    with pytest.raises(ConfigError, match=r"text\.normalization \('NFKC' in the shards, 'NFC' now\)"):
        require_fit(shards, AUTO)
    assert pack(corpus, tmp_path / "s", old_rules).num_kept > 0, "the same job: nothing to do"
    assert files_of(tmp_path / "s") == before


def test_shards_are_used_only_with_the_settings_that_made_them(corpus, whole, tmp_path):
    samples = Shards.open(whole[0])
    require_fit(samples, AUTO)
    require_fit(samples, change(text={"characters": " 'einostyö"}, features={"n_mels": 20}))
    message = (
        r"was packed with another configuration: data\.sample_rate \(16000 in the shards, 8000 now\); "
        r"text\.lowercase \(True in the shards, False now\); text\.characters \(.+ö\" in the shards, 'ab' now\)"
    )
    with pytest.raises(ConfigError, match=message):
        require_fit(samples, change(data={"sample_rate": 8000}, text={"lowercase": False, "characters": "ab"}))
    config = change(augment=QUIET, text={"characters": "auto"})
    pack(corpus, tmp_path / "f", config, form="features")
    features = Shards.open(tmp_path / "f")
    require_fit(
        features, change(augment=QUIET, text={"characters": "auto"}, features={"normalization": "none", "deltas": 1})
    )
    with pytest.raises(
        ConfigError, match=r"features\.n_mels \(40 in the shards, 41 now\); give the same values, or pack"
    ):
        require_fit(features, change(augment=QUIET, text={"characters": "auto"}, features={"n_mels": 41}))
    with pytest.raises(
        ConfigError, match=r"cannot be augmented as samples, but these are on: augment\.silence_seconds"
    ):
        require_fit(features, change(augment={"gain_db": 1.0}, text={"characters": "auto"}))
