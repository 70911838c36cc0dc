"""What a microcontroller needs for forward models: flash, arena, and how far its forms are off.

    python scripts/bench_micro.py RUN [RUN ...]

Exports each run (`--format micro --quantize none,int8`) to a temporary folder and prints a row a form; then what of the
first run's other forms TensorFlow Lite Micro refuses, and with which words. It needs the extra `micro`.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from speechgru.errors import UserError
from speechgru.export import Graphs, export, to_tflite
from speechgru.export.micro.interpreter import MicroInterpreter
from speechgru.scoring import TrainedRun
from speechgru.scoring.predictions import load_run


def off_by(bundle: Path, metadata: dict, form: str, trained: TrainedRun) -> float:
    """The greatest difference of a golden log-probability of a form from the trained model's."""
    greatest = 0.0
    for case in metadata["golden"]:
        arrays = {
            stage: np.fromfile(bundle / "golden" / record["file"], "<f4").reshape(record["shape"])
            for stage, record in case["arrays"].items()
        }
        expected_SV = trained.predictor.log_probs(arrays["samples"])
        greatest = max(greatest, float(np.abs(arrays[f"log_probs.micro-{form}"] - expected_SV).max()))
    return greatest


def print_sizes(run: str) -> None:
    trained = TrainedRun(run)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        metadata = export(trained, bundle, quantize=["none", "int8"], formats=["micro"], max_wer_change=1.0)
        compared = {record["form"]: record for record in metadata["parity"]}
        settings = metadata["model"]
        for form, model in metadata["micro"]["models"].items():
            record = compared[f"TFLite Micro {form}"]
            row = [
                f"{settings['num_layers']} x {settings['units']}",
                f"{metadata['parameters']:,}",
                form,
                f"{model['size_bytes'] / 1000:.1f}",
                f"{model['arena_bytes'] / 1000:.1f}",
                f"{sum(model['operators'].values())}",
                f"{off_by(bundle, metadata, form, trained):.2g}",
                f"{record['max_difference']:.2g}",
                f"{record['wer']:.2%}",
            ]
            print("| " + " | ".join(row) + " |", flush=True)


def print_refusals(run: str) -> None:
    """What first stands in the way of the stream as other devices run it, and of other forms."""
    _, _, model = load_run(run, implementation="portable")
    graphs = Graphs(model)
    for name, function, form in (
        ("stream", graphs.stream(), "none"),
        ("step", graphs.step(), "dynamic"),
        ("step", graphs.step(), "float16"),
    ):
        try:
            MicroInterpreter(to_tflite({name: function}, form=form))
        except UserError as error:
            print(f"{name}, {form}: {error}")
        else:
            print(f"{name}, {form}: runs")


def main() -> None:
    print("| layers | weights | form | flash, kB | arena, kB | operators | golden off by | dev off by | dev WER |")
    print("|---|---|---|---|---|---|---|---|---|")
    for run in sys.argv[1:]:
        print_sizes(run)
    print_refusals(sys.argv[1])


if __name__ == "__main__":
    main()
