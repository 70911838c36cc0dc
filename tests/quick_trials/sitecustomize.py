"""Stands for `speechgru.tune.trial` in the processes of a test: trials that train nothing.

Python runs this file first where its folder is on PYTHONPATH. Like a real trial it keeps a checkpoint at every step,
goes on from the newest, ends with its worker, and writes its outcome last. Every step is noted, so that a test can see
which were done twice. Certain values make it fail, as trials do. Trials that `SLOW_TRIALS` names take half a second, in
which a test can kill them; the others are over at once. That of `FULL_DISK` finds no room at its second step.
"""

import gc
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

gc.disable()  # workers end after seconds, of which the import of TensorFlow is the most

STEPS = 6
SECONDS = {True: 0.1, False: 0.005}  # of a step, by whether the trial is slow
#: Held while a step is noted and kept: the worker may ask it to end between the two.
KEEPING = threading.Lock()


def run(folder):
    from speechgru.files import write_json

    plan = json.loads((folder / "trial.json").read_text())
    units = plan["config"]["model"]["units"]
    if units == 13:
        os._exit(3)
    seconds = SECONDS[folder.name in os.environ.get("SLOW_TRIALS", "").split()]
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir(exist_ok=True)
    first = len(list(checkpoints.glob("step_*.npz")))
    with open(folder / "did.txt", "a") as did:
        did.write(f"process {os.getpid()}\n")
        for step in range(first, STEPS):
            time.sleep(seconds)
            with KEEPING:
                did.write(f"step {step}\n")
                did.flush()
                if step == 1 and folder.name == os.environ.get("FULL_DISK"):
                    raise OSError(28, "No space left on device")
                (checkpoints / f"step_{step:08d}.npz").touch()
            if units == 14 and step == 2:
                os.kill(os.getpid(), 9)  # once: the next process goes on from step 3
            if units == 15 and not (folder / "outcome.json").exists():
                write_json(folder / "outcome.json", {"status": "failed", "score": None, "reason": "NaN, it says"})
                return
    wer = round(abs(units - 20) / 100 + plan["config"]["augment"]["gain_db"] / 1000, 6)
    write_json(
        folder / "outcome.json",
        {"status": "completed", "score": wer, "reason": None, "wer": wer, "cer": wer / 2, "trained_wer": wer}
        | {"parameters": units * 100, "steps": STEPS, "training_seconds": STEPS * seconds, "measuring_seconds": 0.0}
        | {"repeats": [wer], "broken_limits": {}, "environment": {"gpu": os.environ.get("CUDA_VISIBLE_DEVICES")}},
    )


def end_with_parent():
    while os.read(0, 1):
        pass
    end()


def end():
    with KEEPING:
        os._exit(143)


def run_held(trial):
    """Ends the process whatever happens: after an error here Python would go on with the real trial."""
    try:
        from speechgru.files import held, room_for
        from speechgru.process.locked_folder import locked_file

        with (
            held(trial.parents[1], (trial / "trial.json").exists, is_others=True),
            locked_file(trial / ".trial.lock", timeout=30),
            room_for(trial),
        ):
            if not (trial / "outcome.json").exists():
                run(trial)
        os._exit(0)
    except BaseException as error:
        from speechgru.errors import DiskError
        from speechgru.tune.folder import DISK_FAILED

        print(error, flush=True)
        os._exit(DISK_FAILED if isinstance(error, DiskError) else 1)


def raise_memory_error(*args, **options):
    raise MemoryError("no room for a batch")


trial = Path(sys.orig_argv[-1])
if "speechgru.tune.trial" not in sys.orig_argv:
    pass
elif json.loads((trial / "trial.json").read_text())["config"]["model"]["units"] == 12:
    import speechgru.train  # the real trial, with a training that fails

    speechgru.train.train = raise_memory_error
else:
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end).start())
    threading.Thread(target=end_with_parent, daemon=True).start()
    run_held(trial)
