"""What several tests share: recordings made on the spot, a tiny corpus, deterministic hypothesis, workers' order."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import json
import math
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from commands import Commands
from hypothesis import HealthCheck, settings
from tones import make_config, write_corpus

from speechgru.config.sections import RunConfig

ROOT = Path(__file__).resolve().parents[1]

# A shell starts what it runs in the background with Ctrl-C ignored, nohup with hangups: the commands that tests start
# would inherit that, and rightly ignore them too.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (getattr(signal, "SIGHUP", None), signal.SIG_DFL)):
    if number is not None and signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

# The same examples on every machine and no deadline: a busy machine must not fail a test.
settings.register_profile(
    "speechgru", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("speechgru")

#: The files that take longest, longest first. Workers get whole files in this order, so that none ends with a long one
#: while the others have nothing left.
LONGEST_FIRST = (
    "test_train.py",
    "test_tune_survival.py",
    "test_train_survival.py",
    "test_export.py",
    "test_tune.py",
    "test_streaming.py",
    "test_train_options.py",
    "test_gru_portable.py",
    "test_pipelines.py",
    "test_gru_fused.py",
    "test_augment.py",
    "test_train_workers.py",
    "test_audio_reading.py",
    "test_web.py",
    "test_export_int8.py",
    "test_adapt.py",
    "test_train_step.py",
    "test_model_description.py",
    "test_augment_voices.py",
    "test_zoo.py",
    "test_recipes.py",
    "test_laws.py",
    "test_model.py",
    "test_beam.py",
    "test_beginning.py",
    "test_cli.py",
    "test_voices.py",
    "test_serve.py",
    "test_types.py",
)


#: The modules whose import compiles machine code where none is kept yet, as in a fresh clone. The first takes longest.
COMPILED = ("speechgru.gru.kernels", "speechgru.features.kernels", "speechgru.model.kernels", "speechgru.ctc_kernel")


def pytest_configure(config: pytest.Config) -> None:
    """Lets every second worker compile from the other end, and load what its neighbour has compiled."""
    worker = getattr(config, "workerinput", {}).get("workerid", "")
    if worker or not config.getoption("numprocesses", default=None):
        gc.disable()  # until the tests are collected: all that the imports make stays
    if worker and importlib.util.find_spec("numba"):
        for module in COMPILED[:: -1 if int(worker.removeprefix("gw")) % 2 else 1]:
            importlib.import_module(module)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts the longest files first where workers share them, who must all call the tests alike."""
    addresses = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if addresses:
        raise pytest.UsageError(f"a test is named by an address, another one in each process: {addresses[0][:200]}")
    if hasattr(config, "workerinput"):
        places = {name: place for place, name in enumerate(LONGEST_FIRST)}
        items.sort(key=lambda item: places.get(item.path.name, len(places)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keeps the garbage collector from the hundreds of thousands of objects of the imports, which stay to the end."""
    _set_apart_what_stays()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Frees what a file's tests leave behind, and keeps the garbage collector from what stays of it."""
    yield
    if nextitem is None or nextitem.path != item.path:
        _set_apart_what_stays()


def _set_apart_what_stays() -> None:
    """Collects garbage, and has the collector never look again at what is left.

    Graphs are many objects. Looking through all that stays, again and again, was 6 % of the processor time of the tests
    of training, and 8 % of an export's.
    """
    gc.collect()
    gc.freeze()


def make_speech(
    seconds: float, *, sample_rate: int = 16000, num_channels: int = 1, seed: int = 0, level: float = 0.3
) -> np.ndarray:
    """Something like speech: voiced syllables of changing pitch and loudness over faint noise, never constant.

    Args:
        seconds: its length.
        sample_rate: Hz.
        num_channels: 1 gives `samples_N`, more give `samples_NC` with different levels.
        seed: another seed, other syllables.
        level: the peak.
    """
    rng = np.random.default_rng([seed, 7])
    num_samples = round(seconds * sample_rate)
    time_N = np.arange(num_samples) / sample_rate
    pitch_N = rng.uniform(90, 220) * (1 + 0.1 * np.sin(2 * math.pi * rng.uniform(0.3, 1) * time_N))
    phase_N = 2 * math.pi * np.cumsum(pitch_N) / sample_rate
    voiced_N = sum(rng.uniform(0.2, 1) / k * np.sin(k * phase_N + rng.uniform(0, 6)) for k in range(1, 9))
    syllables_N = np.sin(math.pi * rng.uniform(3, 5) * time_N) ** 2
    samples_N = voiced_N * syllables_N + 0.02 * rng.standard_normal(num_samples)
    samples_N = (level * samples_N / max(np.abs(samples_N).max(initial=0), 1e-9)).astype(np.float32)
    if num_channels == 1:
        return samples_N
    return samples_N[:, None] * rng.uniform(0.2, 1, num_channels).astype(np.float32)


def write_wav(
    folder: Path,
    name: str = "a.wav",
    *,
    seconds: float = 1.0,
    sample_rate: int = 16000,
    num_channels: int = 1,
    seed: int = 0,
    **options: str,
) -> Path:
    """Writes something like speech.

    Args:
        folder: where; made when it is missing.
        name: the file's name; its suffix names the format.
        seconds: its length.
        sample_rate: Hz.
        num_channels: channels.
        seed: another seed, other syllables.
        **options: `format` and `subtype` for soundfile.
    """
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = make_speech(seconds, sample_rate=sample_rate, num_channels=num_channels, seed=seed)
    soundfile.write(path, samples, sample_rate, **options)
    return path


def write_lines(path: Path, records: Sequence[object]) -> Path:
    """Writes JSON Lines; text goes in as it is, so that a line can be wrong."""
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(name="write_wav")
def _write_wav() -> Callable[..., Path]:
    """The function `write_wav`."""
    return write_wav


@pytest.fixture(name="write_lines")
def _write_lines() -> Callable[..., Path]:
    """The function `write_lines`."""
    return write_lines


@pytest.fixture(name="make_speech")
def _make_speech() -> Callable[..., np.ndarray]:
    """The function `make_speech`."""
    return make_speech


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple]:
    """Runs the command line in this process; gives the exit code and what was printed."""
    from speechgru.cli import console

    def run_command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["speechgru", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            console.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return caught.value.code or 0, out, err

    return run_command


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings beside the repository."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip("../shared/data, the folder of real recordings, is not on this machine")
    return path


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """Runs `speechgru` commands and scripts as processes, of which none imports TensorFlow anew."""
    imported = ("train", "scoring.evaluation", "export", "tune.chief", "tune.oracles")
    commands = Commands(tmp_path_factory.mktemp("commands"), *(f"speechgru.{name}" for name in imported))
    yield commands
    commands.close()


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The synthetic corpus with 60 utterances in all: its manifests by split. Read it, do not change it."""
    pytest.importorskip("espeakng_loader", reason="the synthetic corpus needs espeakng_loader (extra train)")
    from speechgru.corpora import prepare

    return prepare("synthetic", tmp_path_factory.mktemp("tiny_corpus"), utterances=60, workers=1)


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus of tones (`tones.py`), a copy for each module that may add to it."""
    return write_corpus(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="module")
def no_pages() -> Iterator[None]:
    """The trainings of a module write no page, which takes each half a second; test_train_page.py looks at them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("speechgru.train.run.report_run", lambda run: None)
        yield


@contextlib.contextmanager
def shorter_turns() -> Iterator[None]:
    """Exported GRUs write out fewer frames a turn, as wide ones do: tracing time grows with the frames."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("speechgru.gru.portable.MOST_FRAMES", 2)
        yield


@pytest.fixture(scope="module")
def short_turns() -> Iterator[None]:
    """`shorter_turns` for all of a module."""
    with shorter_turns():
        yield


@pytest.fixture
def tones_config(tones: Path, tmp_path: Path) -> Callable[..., RunConfig]:
    """Overrides -> the configuration that trains on the tones."""

    def make(*overrides: str, train: str = "train.jsonl") -> RunConfig:
        return make_config(tones, tmp_path / "config.yaml", *overrides, train=train)

    return make


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Files of a certificate for 127.0.0.1, of its key, and of another certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("makes certificates with openssl")
    folder = tmp_path_factory.mktemp("tls")
    for name in ("sweep", "other"):
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=sweep"
        subprocess.run(
            f"{command} -addext subjectAltName=IP:127.0.0.1 -keyout {name}.key -out {name}.crt".split(),
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
    return folder / "sweep.crt", folder / "sweep.key", folder / "other.crt"
