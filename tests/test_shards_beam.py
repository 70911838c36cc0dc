"""The shard job as an Apache Beam pipeline: the bytes of one run, by the runner that runs here."""

import sys

import pytest
from tones import make_config

tf = pytest.importorskip("tensorflow", reason="shards are TFRecord files")

from speechgru.errors import ConfigError, UserError  # noqa: E402
from speechgru.shards.beam import shard_by_beam  # noqa: E402
from speechgru.shards.folder import verify  # noqa: E402
from speechgru.shards.pack import shard  # noqa: E402

#: Some shards of some records each.
SMALL = 0.05


@pytest.fixture
def config(tones, tmp_path):
    return make_config(tones, tmp_path / "c.yaml", "check.leave_out=[silent]", "data.num_workers=1")


def named(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_the_pipeline_writes_the_bytes_of_one_run_and_is_run_again_without_harm(tones, config, tmp_path):
    pytest.importorskip("apache_beam", reason="apache-beam (extra beam)")
    manifests = [tones / "train.jsonl"]
    shard(manifests, tmp_path / "one", config=config, shard_megabytes=SMALL)
    for _ in range(2):
        summary = shard_by_beam(manifests, tmp_path / "beam", config=config, num_parts=3, shard_megabytes=SMALL)
        assert summary.num_records == 60
        assert named(tmp_path / "beam") == named(tmp_path / "one")
    assert verify(tmp_path / "beam") == []


def test_what_an_element_refuses_ends_the_pipeline_with_one_message(tones, config, tmp_path):
    pytest.importorskip("apache_beam", reason="apache-beam (extra beam)")
    (tmp_path / "beam").mkdir()
    (tmp_path / "beam" / "part-00002-of-00002").write_text("in the way")
    with pytest.raises(UserError, match="part-00002-of-00002"):
        shard_by_beam([tones / "dev.jsonl"], tmp_path / "beam", config=config, num_parts=2)


def test_what_is_asked_for_wrongly_is_refused_before_anything_runs(tones, config, tmp_path, monkeypatch):
    for number in (0, -1, True, "4"):
        with pytest.raises(ConfigError, match="num_parts must be a number from 1"):
            shard_by_beam([tones / "dev.jsonl"], tmp_path / "out", config=config, num_parts=number)
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(UserError, match=r"pip install 'speechgru\[beam\]'"):
        shard_by_beam([tones / "dev.jsonl"], tmp_path / "out", config=config, num_parts=2)
