"""What the fuzz campaign feeds with damaged input: for each kind of file sound examples, and the code that reads it.

A target lays out its examples in a folder of its own (`lay_out`), and reads one of them from its place (`read`), which
gives nothing back or raises an error of a user's mistake.
"""

import contextlib
import json
import shutil
import socket
import struct
from pathlib import Path

import numpy as np
import soundfile
from campaigns import ROOT
from foreign_layouts import ARROW, LAYOUTS, make_tree
from test_audio_fuzz import FORMS

BUNDLES = ROOT / "tests" / "data" / "bundles"
SOUND_N = (0.1 * np.sin(np.arange(1600) / 5)).astype(np.float32)


class Target:
    """A kind of input.

    Args:
        folder: where its examples lie; each file may be damaged.
    """

    #: What its cases are counted as, and how many the goal has of them.
    family, cases = "", 20_000
    #: Words of its language, for mutations.
    words: tuple[str, ...] = ()

    def __init__(self, folder):
        self.folder = Path(folder)

    def lay_out(self):
        """Writes the examples; gives the files that are damaged in turn."""
        raise NotImplementedError

    def read(self, path):
        """Reads what stands in the example's place."""
        raise NotImplementedError


class Audio(Target):
    family, cases = "audio", 100_000

    def lay_out(self):
        for name, (form, subtype, suffix) in FORMS.items():
            rate = 8000 if form != "OGG" or subtype != "OPUS" else 16000
            with contextlib.suppress(soundfile.LibsndfileError):  # a form that this libsndfile cannot write
                soundfile.write(self.folder / f"{name}{suffix}", SOUND_N, rate, format=form, subtype=subtype)
        return sorted(self.folder.iterdir())

    def read(self, path):
        from speechgru.audio.reading import read_blocks, read_header, read_recording

        read_header(path)
        read_recording(path, sample_rate=16000, offset=0.05, duration=0.05)
        for _ in read_blocks(path):
            pass


class Manifests(Target):
    family = "manifests"
    words = ("audio_filepath", "duration", "text", "speaker", "offset", "channel", "NaN", "1e999", "-0", "null", "true")

    def lay_out(self):
        soundfile.write(self.folder / "a.wav", SOUND_N, 8000)
        lines = [
            {"audio_filepath": "a.wav", "duration": 0.2, "text": "größer"},
            {"audio_filepath": "a.wav", "duration": 0.1, "text": "a b", "speaker": "ada", "offset": 0.05, "channel": 1},
            {"audio_filepath": str(self.folder / "a.wav"), "duration": 0.2, "text": "", "lang": "de", "extra": [1, {}]},
        ]
        path = self.folder / "m.jsonl"
        path.write_text("\n".join(map(json.dumps, lines)) + "\n")
        return [path]

    def read(self, path):
        from speechgru.config.sections import RunConfig
        from speechgru.utterances.check import check
        from speechgru.utterances.manifest import read_manifest, write_manifest

        utterances = read_manifest(path)
        write_manifest(path.with_name("again.jsonl"), utterances)
        if len(utterances) < 5:
            check([path], config=RunConfig())


class Configurations(Target):
    family = "configurations"
    words = ("!!bool", "!!int", "!!float", "&a", "*a", "<<:", "null", ".inf", ".nan", "1e400", "0x1F", "~", "- ", "{}")

    def lay_out(self):
        paths = []
        for source in sorted((ROOT / "configs").glob("*.yaml")):
            paths.append(Path(shutil.copy(source, self.folder)))
        sweep = self.folder / "own_sweep.yaml"
        sweep.write_text(
            "base: base.yaml\nset: {data.train: train.jsonl, data.dev: dev.jsonl}\nspace:\n"
            "  model.units: {type: choice, values: [16, 32]}\n"
            "  augment.gain_db: {type: float, min: 0, max: 8, step: 2}\n"
            "tuner: hyperband\nbudget: {trials: 6, epochs: 9}\n"
        )
        return [*paths, sweep]

    def read(self, path):
        from speechgru.config.load import load_config, save_config
        from speechgru.tune.combinations import count_combinations
        from speechgru.tune.sweep_file import load_sweep

        if "sweep" in path.name:
            count_combinations(load_sweep(path).sweep.space)
        else:
            save_config(path.with_name("again.yaml"), load_config(path))


class Grammars(Target):
    family = "grammars"
    words = ("{a}", "[b]", "(c|d)", "<e>", "|", ";", "in:", "out:", "range", "values", "sentences", "requires_context")

    def lay_out(self):
        text = (
            'language: en\nintents:\n  Set:\n    data:\n      - sentences:\n          - "set the {room} light[s] to '
            '{level} percent [please]"\n          - "(turn|switch) on <all> lamps"\n        slots: {scene: evening}\n'
            "lists:\n  room: {values: [kitchen, {in: hall, out: 3}]}\n  level: {range: {from: 10, to: 100, step: 10}}\n"
            'expansion_rules: {all: "[all] [the]"}\n'
        )
        (self.folder / "g.yaml").write_text(text)
        from speechgru.grammar import Grammar

        Grammar.load(self.folder / "g.yaml").save(self.folder / "g.json")
        return [self.folder / "g.yaml", self.folder / "g.json"]

    def read(self, path):
        from speechgru.grammar import Grammar

        grammar = Grammar.load(path)
        grammar.draw(np.random.default_rng(0))
        grammar.parse("set the kitchen light to 20 percent")
        grammar.summary()


class Bundles(Target):
    """Models have a checksum from version 3 on. Older ones run as they are, in a library in C++ that trusts them."""

    family = "bundles"

    def lay_out(self):
        from speechgru.export.flatbuffer import sealed
        from speechgru.runtime import METADATA_ENTRY
        from speechgru.runtime.tflite import CHECKSUM_ENTRY

        for version in ("v1", "v2", "v3"):
            shutil.copytree(BUNDLES / version, self.folder / version, ignore=shutil.ignore_patterns("*.npz", "*.md"))
        own = json.loads((BUNDLES / "v3" / "bundle.json").read_text())
        own |= {"models": {"none": {"file": "model.tflite"}}, "checksum": CHECKSUM_ENTRY}
        content = sealed((BUNDLES / "v3" / "model.tflite").read_bytes(), {METADATA_ENTRY: json.dumps(own).encode()})
        (self.folder / "alone.tflite").write_bytes(content)
        return [self.folder / "alone.tflite", *sorted(self.folder.glob("v*/bundle.json")),
                self.folder / "v3" / "model.tflite"]  # fmt: skip

    def read(self, path):
        from speechgru.runtime import Recognizer
        from speechgru.runtime.inspection import inspect

        bundle = path if path.name == "alone.tflite" else path.parent
        inspect(bundle)
        recognizer = Recognizer(bundle)
        recognizer.transcribe(SOUND_N, 8000)
        if recognizer.streams:
            recognizer.stream_log_probs(SOUND_N, piece=500)


class Journals(Target):
    family = "journals"
    words = ("began", "ended", "moved", "completed", "failed", "refused", "0000", "9999", "worker", "score", "NaN")

    def lay_out(self):
        events = [
            {"event": "began", "trial": "0000", "seconds": 0.5, "worker": "a-0", "values": {"model.units": 16},
             "raw": {"values": {}}},
            {"event": "began", "trial": "0001", "seconds": 0.6, "worker": "a-1", "values": {"model.units": 32},
             "raw": None},
            {"event": "ended", "trial": "0000", "seconds": 3.0, "status": "completed", "score": 0.25, "reason": None},
            {"event": "moved", "trial": "0001", "seconds": 4.0, "worker": "b-0"},
            {"event": "ended", "trial": "0001", "seconds": 9.0, "status": "failed", "score": None, "reason": "NaN"},
        ]  # fmt: skip
        sweep = self.folder / "sweep"
        for number, units in (("0000", 16), ("0001", 32)):
            trial = sweep / "trials" / number
            trial.mkdir(parents=True)
            (trial / "trial.json").write_text(json.dumps({"values": {"model.units": units}, "config": {}, "raw": None}))
            (trial / "outcome.json").write_text(json.dumps({"status": "failed", "score": None, "reason": "x"}))
        (sweep / "journal.jsonl").write_text("\n".join(map(json.dumps, events)) + "\n")
        return [sweep / "journal.jsonl", *sorted(sweep.glob("trials/*/*.json"))]

    def read(self, path):
        from speechgru.tune.folder import SweepFolder
        from speechgru.tune.journal import Journal

        sweep = SweepFolder(self.folder / "sweep")
        kept = sweep.journal.read_bytes()
        try:
            journal = Journal(sweep.journal)
            Journal(sweep.journal)  # what was mended is read again
            journal.append({"event": "ended", "trial": "0001", "seconds": 9.0, "status": "failed", "score": None})
            for number in ("0000", "0001"):
                with contextlib.suppress(ValueError):
                    sweep.trial(number).read_plan()
                sweep.trial(number).read_outcome()
        finally:
            sweep.journal.write_bytes(kept)


class Checkpoints(Target):
    family = "checkpoints"

    def lay_out(self):
        from speechgru.runs import RunFolder, save_checkpoint

        run = RunFolder(self.folder / "run")
        arrays = {"model/0": np.arange(12, dtype=np.float32).reshape(3, 4), "optimizer/0": np.array(7)}
        save_checkpoint(run.checkpoint(3), arrays, {"step": 3, "best_wer": 0.5})
        run.append_history({"kind": "session", "step": 0, "resumed": False})
        run.append_history({"kind": "train", "step": 3, "loss": 1.5})
        (run.path / "vocabulary.txt").write_text("<blank>\n|\na\nb\n")
        return [run.checkpoint(3), run.history, run.path / "vocabulary.txt"]

    def read(self, path):
        from speechgru.runs import RunFolder, load_checkpoint
        from speechgru.text import Vocabulary

        if path.suffix == ".npz":
            load_checkpoint(path)
        elif path.suffix == ".txt":
            Vocabulary.load(path)
        else:
            RunFolder(self.folder / "run").read_history()


class LanguageModels(Target):
    family = "language models"
    words = (
        "\\data\\",
        "\\1-grams:",
        "\\end\\",
        "ngram 1=",
        "<s>",
        "</s>",
        "<unk>",
        "-99",
        "inf",
        "nan",
        "\t",
        "1e400",
    )

    def lay_out(self):
        import gzip

        from speechgru.language import read_language_model
        from speechgru.language.files import write_language_model

        data = ROOT / "tests" / "data" / "language"
        for source in data.glob("toy_[pt]*.bin"):
            shutil.copy(source, self.folder)
        (self.folder / "toy.arpa").write_text(
            "\\data\\\nngram 1=4\nngram 2=2\n\n\\1-grams:\n-1\t<unk>\n-99\t<s>\t-0.3\n-0.7\t</s>\n-0.5\ta\t-0.2\n\n"
            "\\2-grams:\n-0.2\t<s> a\n-0.3\ta </s>\n\n\\end\\\n"
        )
        model = read_language_model(self.folder / "toy.arpa")
        write_language_model(model, self.folder / "toy.ngram")
        (self.folder / "toy.arpa.gz").write_bytes(gzip.compress((self.folder / "toy.arpa").read_bytes()))
        return sorted(self.folder.iterdir())

    def read(self, path):
        from speechgru.language import read_language_model

        read_language_model(path).log_prob("a b a")


class Tables(Target):
    family = "tables"
    words = ("\t", ",", '"', "nan", "-1", "1e9", "../x", "|", "/dev/zero", "file://", "s3://x", "rec-1", "0", "cat a |")

    def lay_out(self):
        files = []
        for layout in LAYOUTS:
            if layout in ARROW:
                continue
            root = self.folder / layout.replace(" ", "_")
            root.mkdir()
            corpus, source = make_tree(layout, root)
            (root / "corpus.json").write_text(json.dumps([corpus, str(source)]))
            files += [
                path for path in sorted(root.rglob("*"))
                if path.is_file() and path.suffix not in (".wav", ".flac") and path.name != "corpus.json"
            ]  # fmt: skip
        return files

    def read(self, path):
        from speechgru.corpora import prepare

        root = next(each for each in path.parents if (each / "corpus.json").exists())
        corpus, source = json.loads((root / "corpus.json").read_text())
        prepare(corpus, self.folder / "out", source=source)


class Served(Target):
    """Bytes for a server on this machine, each case a connection of its own; a fault is what its log names."""

    protocol = ""

    def __init__(self, folder):
        super().__init__(folder)
        self._server, self._faults = None, []

    def read(self, path):
        if self._server is None:
            self._start()
        with socket.create_connection((self._address.host, self._address.port), timeout=5) as connection:
            connection.settimeout(0.2)
            with contextlib.suppress(OSError):
                connection.sendall(path.read_bytes())
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 16):
                    pass
        if self._faults:
            raise self._faults.pop()

    def _start(self):
        from test_serve import serving

        from speechgru.serve import http_protocol, wyoming_protocol

        for module in (http_protocol, wyoming_protocol):
            module.report_fault = lambda error, where: self._faults.append(error)
        self._server = serving(BUNDLES / "v3")
        self._address = self._server.__enter__().addresses[self.protocol]


class Wyoming(Served):
    family, protocol = "Wyoming", "wyoming"
    words = ("transcribe", "audio-start", "audio-chunk", "audio-stop", "describe", "recognize", "payload_length",
             "data_length", "rate", "width", "channels", "ping")  # fmt: skip

    def lay_out(self):
        sound = (32767 * SOUND_N).astype("<i2").tobytes()
        form = {"rate": 8000, "width": 2, "channels": 1}
        events = [("describe", {}, b""), ("ping", {"text": "x"}, b""), ("transcribe", {"language": "en"}, b""),
                  ("audio-start", form, b""), ("audio-chunk", form, sound), ("audio-stop", {}, b""),
                  ("recognize", {"text": "ab"}, b"")]  # fmt: skip
        inline = self.folder / "inline"
        inline.write_bytes(b"".join(
            json.dumps({"type": kind, "data": data, "payload_length": len(payload)}).encode() + b"\n" + payload
            for kind, data, payload in events
        ))  # fmt: skip
        behind = self.folder / "behind"
        with open(behind, "wb") as stream:
            for kind, data, payload in events:
                text = json.dumps(data).encode()
                head = {"type": kind, "data_length": len(text), "payload_length": len(payload)}
                stream.write(json.dumps(head).encode() + b"\n" + text + payload)
        return [inline, behind]


class WebSocket(Served):
    family, protocol = "WebSocket", "http"
    words = ("GET", "POST", "/stream", "/transcribe", "Upgrade: websocket", "Content-Length:", "chunked", "Host:",
             "sample_rate", "format", "end", "?sample_rate=8000", "Sec-WebSocket-Key:")  # fmt: skip

    def lay_out(self):
        opening = (
            b"GET /stream?sample_rate=8000 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        sound = (32767 * SOUND_N).astype("<i2").tobytes()
        frames = self.frame(2, sound) + self.frame(1, b'{"type": "end"}') + self.frame(9, b"x") + self.frame(8, b"")
        (self.folder / "stream").write_bytes(opening + frames)
        body = self.folder / "a.wav"
        soundfile.write(body, SOUND_N, 8000)
        content = body.read_bytes()
        body.unlink()
        post = b"POST /transcribe HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(content)
        (self.folder / "post").write_bytes(post + content)
        return [self.folder / "post", self.folder / "stream"]

    @staticmethod
    def frame(kind, data):
        """A masked frame, as clients send them; the mask is 0."""
        size = struct.pack(">BBH", 0x80 | kind, 0x80 | 126, len(data))
        return size + bytes(4) + data


TARGETS = {
    target.family: target
    for target in (Audio, Manifests, Configurations, Grammars, Bundles, Journals, Checkpoints, LanguageModels, Tables,
                   Wyoming, WebSocket)
}  # fmt: skip
