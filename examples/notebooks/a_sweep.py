# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A sweep under a device's limits
#
# Which width and which learning rate, if the file may have 400 kB? Every trial is a training of its own, whose exported
# file is measured and scored as a device would run it.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt

import speechgru
from speechgru.tune.sweep_file import load_sweep

IS_SMALL = bool(os.environ.get("SPEECHGRU_SMALL"))  # as the tests run it
FOLDER = Path("notebook_sweep")

# %%
manifests = speechgru.corpora.prepare("synthetic", FOLDER / "corpus", utterances=24 if IS_SMALL else 800)
(FOLDER / "my.yaml").write_text(f"""
data: {{train: corpus/train.jsonl, dev: corpus/dev.jsonl}}
features: {{n_mels: 20}}
model: {{num_layers: 1, subsampling_channels: 32}}
train: {{max_steps: {2 if IS_SMALL else 300}, batch_size: 16, show_examples: 0}}
""")
(FOLDER / "sweep.yaml").write_text(f"""
base: my.yaml
space:
  model.units: {{type: int, min: 32, max: 160, step: 32}}
  train.learning_rate: {{type: float, min: 1e-3, max: 1e-2, log: true}}
tuner: random
objective: wer
limits: {{form: dynamic, max_size_mb: 0.4}}
front: [size_mb]
budget: {{trials: {1 if IS_SMALL else 8}}}
""")

# %% [markdown]
# The same call resumes a sweep that was stopped or killed. Each trial is a run folder that every other verb accepts.

# %%
result = speechgru.tune.tune(load_sweep(FOLDER / "sweep.yaml"), FOLDER / "sweep")
for trial in result.trials:
    print({name: trial.get(name) for name in ("trial", "status", "values", "wer", "size_mb", "is_best")})

# %% [markdown]
# ## What less costs

# %%
completed = [trial for trial in result.trials if trial.get("wer") is not None and trial.get("size_mb")]
figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
axes.scatter([trial["size_mb"] for trial in completed], [100 * trial["wer"] for trial in completed])
axes.axvline(0.4, linestyle="--", color="grey")
axes.set(xlabel="size of the 8-bit file, MB", ylabel="WER of dev, %")
plt.show()
print(f"train it anew: speechgru train {result.best} --run runs/best")
