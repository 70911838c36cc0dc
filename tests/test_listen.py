"""The listening page: it plays and shows what augmentation makes, says what was drawn, and harms no other folder."""

from __future__ import annotations

import json
import os
import re
import sys
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

tf = pytest.importorskip("tensorflow", reason="listening runs the augmentation of training")
pytest.importorskip("matplotlib", reason="the pictures' colours are matplotlib's (extra train)")

from matplotlib.image import imread  # noqa: E402

from speechgru.audio.reading import read_recording  # noqa: E402
from speechgru.config.sections import RunConfig  # noqa: E402
from speechgru.dataset import Augmentation, draw_lengths, utterance_reader  # noqa: E402
from speechgru.errors import AudioError, ManifestError, UserError  # noqa: E402
from speechgru.listen.augmented import FrontEnd  # noqa: E402
from speechgru.listen.listening import listen, spread  # noqa: E402
from speechgru.utterances.manifest import read_manifest  # noqa: E402

RATE = 8000
EVERYTHING = {
    "speed_share": 0.2, "reverb_probability": 0.6, "silence_seconds": 0.2, "noise_probability": 0.8, "gain_db": 6.0,
    "noise_kinds": ["white", "pink", "babble"], "noise_snr_db_min": 5.0, "noise_snr_db_max": 20.0,
    "prosody_probability": 0.5, "voice_probability": 0.5, "clipping_probability": 0.5, "transmission_probability": 0.5,
    "frequency_warp_share": 0.2, "time_masks": 2, "time_mask_share": 0.2, "frequency_masks": 2,
    "frequency_mask_share": 0.2,
}  # fmt: skip
NOTHING = {
    "silence_seconds": 0.0, "noise_probability": 0.0, "gain_db": 0.0, "frequency_warp_share": 0.0, "time_masks": 0,
    "frequency_masks": 0,
}  # fmt: skip
HOSTILE = "<script>alert(1)</script> \"><img src=x onerror='alert(2)'> & \u202e\x01 \u0634\u0643\u0631\u0627"


def config_of(augment=EVERYTHING, **sections):
    return RunConfig.model_validate({"data": {"sample_rate": RATE}, "augment": augment, **sections})


@pytest.fixture(name="manifest")
def _manifest(tmp_path, write_wav, write_lines):
    records = []
    for number in range(5):
        path = write_wav(tmp_path / "in", f"{number}.wav", seconds=0.5 + 0.2 * number, sample_rate=RATE, seed=number)
        records.append({"audio_filepath": str(path), "duration": 0, "text": f"word {number}", "speaker": "ada"})
    return write_lines(tmp_path / "in" / "all.jsonl", records)


class Page(HTMLParser):
    """Checks that elements nest, and keeps elements and visible text."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.stack, self.elements, self.texts = [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self.stack

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if "style" not in self.stack:
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split()).replace("\u202f", " ")

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def files_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def record_of(page):
    return json.loads((page.parent / "listen.json").read_text(encoding="utf-8"))


def test_the_folder_holds_what_its_record_says_and_the_page_links_it(manifest, tmp_path):
    reports = []
    page = listen(
        manifest, config=config_of(), out=tmp_path / "new" / "out", count=3, copies=2,
        progress=lambda *report: reports.append(report),
    )  # fmt: skip
    assert page == tmp_path / "new" / "out" / "index.html"
    record = record_of(page)
    assert set(files_in(page.parent)) == {*record["files"], "listen.json"}
    assert [utterance["index"] for utterance in record["utterances"]] == [0, 2, 4]
    assert reports[-1] == ("augmenting", 3, 3, "")
    read = Page(page)
    sounds = [attributes["src"] for attributes in read.all("audio")]
    pictures = [attributes["href"] for attributes in read.all("image")]
    assert sorted(sounds + pictures + ["index.html"]) == sorted(record["files"])
    for link in sounds + pictures:
        assert (page.parent / unquote(link)).is_file() and not link.startswith(("/", "file:", "http"))
    assert len(sounds) == 3 * 3 and len(pictures) == 3 * (1 + 2 * 2)
    for shown in (
        "0.wav", "word 2", "speaker ada", "Copy 2", "3 of 5 recordings", "up to 20 % faster or slower",
        "pitch up to 5 semitones", "formants × ",
    ):  # fmt: skip
        assert shown in read.text


def test_the_page_runs_nothing_and_fetches_nothing_from_elsewhere(manifest, tmp_path):
    page = listen(manifest, config=config_of(), out=tmp_path / "out", count=1, copies=1)
    read = Page(page)
    policy = next(entry["content"] for entry in read.all("meta") if "http-equiv" in entry)
    assert policy.startswith("default-src 'none'; ") and "script" not in policy and "http" not in policy
    assert not {"script", "link", "iframe", "object", "base", "form"} & {tag for tag, _ in read.elements}
    assert str(tmp_path) not in page.read_text(encoding="utf-8"), "the folder can be given away"
    identifiers = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    for attributes in read.all("a"):
        assert attributes["href"].removeprefix("#") in identifiers
    for tag, attributes in read.elements:
        assert tag not in ("svg", "audio") or attributes["aria-label"]


def test_a_hostile_transcript_shows_itself(manifest, tmp_path, write_lines):
    line = json.loads(manifest.read_text().splitlines()[0])
    hostile = write_lines(tmp_path / "hostile.jsonl", [{**line, "text": HOSTILE, "speaker": HOSTILE}])
    read = Page(listen(hostile, config=config_of(), out=tmp_path / "out", count=1, copies=1))
    assert "<script>alert(1)</script>" in read.text
    assert not read.all("script") and not read.all("img")


def test_the_sounds_are_the_recordings_and_what_training_gets(manifest, tmp_path):
    config = config_of()
    page = listen(manifest, config=config, out=tmp_path / "out", count=2, copies=3, seed=5)
    utterances = read_manifest(manifest)
    augmentation = Augmentation(config, read_speech=utterance_reader(utterances, config=config))
    for entry in record_of(page)["utterances"]:
        samples_N = read_recording(entry["audio_filepath"], sample_rate=RATE).samples_N
        played_N, rate = soundfile.read(page.parent / entry["original"]["audio"], dtype="float32")
        assert rate == RATE
        np.testing.assert_allclose(played_N, samples_N, atol=1 / 32768)
        for epoch, copy in enumerate(entry["copies"]):
            assert copy["seed"] == [5 * 7919 + epoch, entry["index"]]
            augmented_N, _ = augmentation.augment_samples(
                samples_N, tf.constant(copy["seed"], tf.int32), draw_lengths(5, epoch, len(utterances))[entry["index"]]
            )
            played_N, _ = soundfile.read(page.parent / copy["audio"], dtype="float32")
            np.testing.assert_allclose(played_N, augmented_N / max(1, np.abs(augmented_N).max()), atol=1.1 / 32768)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode there")
def test_a_folder_whose_name_is_not_utf8_is_written(manifest, tmp_path):
    page = listen(manifest, config=config_of(NOTHING), out=tmp_path / os.fsdecode(b"caf\xe9"), count=1, copies=1)
    assert all(
        (page.parent / name).is_file() for name in json.loads((page.parent / "listen.json").read_text())["files"]
    )


def test_what_is_too_loud_for_a_file_is_lowered_and_said_so(manifest, tmp_path):
    page = listen(manifest, config=config_of({**NOTHING, "gain_db": 40.0}), out=tmp_path / "out", count=5, copies=3)
    copies = [copy for entry in record_of(page)["utterances"] for copy in entry["copies"]]
    loud = [copy for copy in copies if copy["peak"] > 1]
    assert loud and len(loud) < len(copies)
    for copy in copies:
        played_N, _ = soundfile.read(page.parent / copy["audio"], dtype="float32")
        assert np.abs(played_N).max() == pytest.approx(min(1.0, copy["peak"]), abs=1e-4)
        assert (copy["lowered_db"] > 0) == (copy in loud)
    assert Page(page).text.count("quieter than what training gets") == len(loud)


def test_pictures_have_a_pixel_a_frame_and_filter_and_their_masks_where_said(manifest, tmp_path):
    config = config_of()
    page = listen(manifest, config=config, out=tmp_path / "out", count=2, copies=3)
    hop_seconds = config.hop_length / RATE
    masked = 0
    for entry in record_of(page)["utterances"]:
        for copy in entry["copies"]:
            sound_samples = soundfile.info(page.parent / copy["audio"]).frames
            augmented, final = (imread(page.parent / name) for name in copy["pictures"])
            assert augmented.shape[:2] == final.shape[:2] == (40, 1 + sound_samples // config.hop_length)
            hidden_T = np.zeros(final.shape[1], bool)
            for start, end in copy["time_masks_seconds"]:
                hidden_T[round(start / hop_seconds) : round(end / hop_seconds)] = True
            masked += hidden_T.sum()
            assert np.unique(final[:, hidden_T].reshape(-1, final.shape[2]), axis=0).shape[0] <= 1, (
                "one colour under the masks"
            )
            assert final[:, ~hidden_T].std() > 0.05
    assert masked
    assert Page(page).text.count("hidden") > 3


def test_nothing_switched_on_gives_the_recording_again(manifest, tmp_path):
    page = listen(manifest, config=config_of(NOTHING), out=tmp_path / "out", count=2, copies=1)
    for entry in record_of(page)["utterances"]:
        (copy,) = entry["copies"]
        assert copy["draws"] == {} and copy["frequency_warp"] == 1
        for one, two in (
            (entry["original"]["audio"], copy["audio"]),
            (entry["original"]["picture"], copy["pictures"][0]),
            (copy["pictures"][0], copy["pictures"][1]),
        ):
            assert (page.parent / one).read_bytes() == (page.parent / two).read_bytes()
    assert "nothing drawn" in Page(page).text and "not warped; nothing hidden" in Page(page).text


@pytest.mark.parametrize("mel_scale", ["slaney", "htk"])
def test_the_axis_puts_a_tone_where_it_is(mel_scale):
    config = config_of(NOTHING, features={"mel_scale": mel_scale, "normalization": "none"})
    front_end = FrontEnd(config)
    for hz in (300, 1000, 2200, 3600):
        log_mel_TM = front_end.features(np.sin(2 * np.pi * hz * np.arange(RATE) / RATE).astype(np.float32))
        assert abs(log_mel_TM[10:-10].mean(axis=0).argmax() - front_end.place_of(hz)) < 1
        assert front_end.hz_of(front_end.place_of(hz)) == pytest.approx(hz, abs=1)
    assert front_end.share_of(front_end.place_of(config.f_max_hz)) > 1 - 1 / 40


@pytest.mark.parametrize("normalization", ["global", "utterance", "none"])
def test_normalization_is_that_of_the_run(manifest, tmp_path, make_speech, normalization):
    config = config_of(features={"normalization": normalization})
    page = listen(manifest, config=config, out=tmp_path / "out", count=2, copies=1)
    said = {"global": "in place of the corpus's", "utterance": "each copy's own", "none": "not at all"}
    assert said[normalization] in Page(page).text
    front_end = FrontEnd(config)
    quiet_N, loud_N = (make_speech(0.5, sample_rate=RATE, level=level) for level in (0.01, 0.5))
    front_end.learn([quiet_N, loud_N])
    means = [front_end.features(samples_N).mean() for samples_N in (quiet_N, loud_N)]
    if normalization == "global":
        assert means[0] < -0.2 and sum(means) == pytest.approx(0, abs=1e-3)
    else:
        assert np.allclose(means, 0, atol=1e-3) == (normalization == "utterance")


def test_slopes_beside_the_log_mel_change_no_picture_of_it(manifest, tmp_path):
    plain, with_slopes = (
        listen(manifest, config=config_of(features={"deltas": deltas}), out=tmp_path / str(deltas), count=1, copies=2)
        for deltas in (0, 2)
    )
    assert record_of(plain)["utterances"] == record_of(with_slopes)["utterances"]
    for name in record_of(plain)["files"]:
        if name.endswith(".png"):
            one, two = (imread(page.parent / name) for page in (plain, with_slopes))
            np.testing.assert_allclose(one, two, atol=0.02)


def test_the_same_call_gives_the_same_bytes_and_another_seed_others(manifest, tmp_path):
    one, two, other = (
        files_in(listen(manifest, config=config_of(), out=tmp_path / name, count=2, copies=2, seed=seed).parent)
        for name, seed in (("one", None), ("two", 0), ("other", 1))
    )
    assert one == two
    assert one["audio/01_original.wav"] == other["audio/01_original.wav"]
    assert one["audio/01_copy1.wav"] != other["audio/01_copy1.wav"] != one["audio/01_copy2.wav"]


def test_an_earlier_folder_is_written_over_and_nothing_else_in_it_touched(manifest, tmp_path):
    out = tmp_path / "out"
    listen(manifest, config=config_of(NOTHING), out=out, count=4, copies=3)
    (out / "notes.txt").write_text("mine")
    page = listen(manifest, config=config_of(NOTHING), out=out, count=1, copies=1)
    assert set(files_in(out)) == {*record_of(page)["files"], "listen.json", "notes.txt"}


def test_a_call_that_was_stopped_leaves_a_folder_for_the_next(manifest, tmp_path):
    def stop(*said):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        listen(manifest, config=config_of(NOTHING), out=tmp_path / "out", progress=stop)
    assert not (tmp_path / "out" / "index.html").exists()
    assert listen(manifest, config=config_of(NOTHING), out=tmp_path / "out", count=1, copies=1).is_file()


def test_other_folders_and_files_are_refused_and_left_alone(manifest, tmp_path):
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "index.html").write_text("mine")
    with pytest.raises(UserError, match=r"thesis: holds other things; name a new folder"):
        listen(manifest, config=config_of(NOTHING), out=other)
    assert files_in(other) == {"index.html": b"mine"}
    with pytest.raises(UserError, match=r"index\.html: is a file; name a folder"):
        listen(manifest, config=config_of(NOTHING), out=other / "index.html")
    for damaged in ("{", "[" * 9999, "[]", '{"files": 3}', '{"files": [3]}'):
        (other / "listen.json").write_text(damaged)
        with pytest.raises(UserError, match=r"listen\.json: cannot be read as the record of an earlier"):
            listen(manifest, config=config_of(NOTHING), out=other)
    (tmp_path / "keep.wav").write_text("mine")
    named = ["../keep.wav", "audio/../../keep.wav", "notes.txt", "a\0b", "audio/09_original.wav"]
    (other / "listen.json").write_text(json.dumps({"files": named}))
    (other / "notes.txt").write_text("mine")
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "09_original.wav").write_text("mine")
    (other / "audio").symlink_to(tmp_path / "music")
    listen(manifest, config=config_of(NOTHING), out=other, count=1, copies=1)
    assert (tmp_path / "keep.wav").read_text() == "mine", "a record that names other folders' files deletes none"
    assert (other / "notes.txt").read_text() == (tmp_path / "music" / "09_original.wav").read_text() == "mine"


def test_unusable_input_is_named_before_anything_is_written(manifest, tmp_path, write_lines, write_wav):
    out = tmp_path / "out"
    with pytest.raises(ManifestError, match=r"gone\.jsonl: no such manifest"):
        listen(tmp_path / "gone.jsonl", config=config_of(), out=out)
    for name, value in (("count", 0), ("copies", -1)):
        with pytest.raises(UserError, match=f"{name} is how many to write, at least 1; got {value}"):
            listen(manifest, config=config_of(), out=out, **{name: value})
    gone = write_lines(tmp_path / "a.jsonl", [{"audio_filepath": "gone.wav", "duration": 1, "text": "a"}])
    with pytest.raises(AudioError, match=r"gone\.wav: no such recording"):
        listen(gone, config=config_of(), out=out)
    write_wav(tmp_path, "empty.wav", seconds=0.0)
    empty = write_lines(tmp_path / "b.jsonl", [{"audio_filepath": "empty.wav", "duration": 0, "text": "a"}])
    with pytest.raises(AudioError, match=r"empty\.wav: 0 samples hold no frame"):
        listen(empty, config=config_of(), out=out)
    with pytest.raises(ManifestError, match=r"noise\.jsonl: no such manifest"):
        listen(
            manifest, out=out,
            config=config_of({"noise_kinds": ["recorded"], "noise_manifest": str(tmp_path / "noise.jsonl")}),
        )  # fmt: skip
    assert not out.exists()


def test_recorded_noise_and_rooms_are_applied_and_a_missing_one_is_named(manifest, tmp_path, write_wav, write_lines):
    for name, seconds in (("hum", 3.0), ("room", 0.2)):
        write_wav(tmp_path, f"{name}.wav", seconds=seconds, seed=9)
        write_lines(tmp_path / f"{name}.jsonl", [{"audio_filepath": f"{name}.wav", "duration": 0, "text": ""}])
    config = config_of(
        {
            **NOTHING, "noise_probability": 1.0, "noise_kinds": ["recorded"], "reverb_probability": 1.0,
            "noise_manifest": str(tmp_path / "hum.jsonl"), "reverb_manifest": str(tmp_path / "room.jsonl"),
        }
    )  # fmt: skip
    page = listen(manifest, config=config, out=tmp_path / "out", count=1, copies=1)
    (copy,) = record_of(page)["utterances"][0]["copies"]
    assert copy["draws"].keys() == {"reverberated", "noise_kind", "noise_snr_db"}
    assert "a recorded room" in Page(page).text and re.search(
        r"recorded noise, \d+ dB below the speech", Page(page).text
    )
    (tmp_path / "hum.wav").unlink()
    with pytest.raises(AudioError, match=r"hum\.wav: no such recording"):
        listen(manifest, config=config, out=tmp_path / "out", count=1, copies=1)


@given(total=st.integers(1, 300), count=st.integers(1, 300))
def test_utterances_are_spread_evenly(total, count):
    places = spread(total, count)
    assert len(places) == min(total, count) and places == sorted(set(places))
    assert places[0] >= 0 and places[-1] < total
    if 1 < count <= total:
        assert places[0] == 0 and places[-1] == total - 1
        gaps = np.diff(places)
        assert gaps.max() - gaps.min() <= 1


def test_copies_are_joined_with_their_neighbours_as_training_joins_them(tmp_path, write_wav, write_lines):
    records = []
    for number in range(5):
        path = write_wav(tmp_path / "in", f"{number}.wav", seconds=0.5, sample_rate=RATE, seed=number)
        records.append({"audio_filepath": str(path), "duration": 0.5, "text": f"word {number}"})
    manifest = write_lines(tmp_path / "in" / "all.jsonl", records)
    data = {"sample_rate": RATE, "joined_share": 1.0, "joined_seconds": 2.0}
    page = listen(manifest, config=config_of(NOTHING, data=data), out=tmp_path / "out", count=1, copies=3)
    (utterance,) = record_of(page)["utterances"]
    for copy in utterance["copies"]:
        seconds = len(read_recording(page.parent / copy["audio"]).samples_N) / RATE
        count = len(copy["joined_with"])
        assert 1 <= count <= 3 and 0.5 * (1 + count) + 0.1 * count <= seconds <= 2.02
    assert ", joined with" in Page(page).text
