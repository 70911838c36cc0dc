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
# # Train a recogniser and look inside
#
# Some hundred spoken commands, a minute or two of training, and then: what the model sees (log-mel), and what it says
# step by step (label probabilities).

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import speechgru
from speechgru.decoding import greedy_decode
from speechgru.scoring.trained_run import open_run
from speechgru.utterances.examination import read_utterance

IS_SMALL = bool(os.environ.get("SPEECHGRU_SMALL"))  # as the tests run it
FOLDER = Path("notebook_train")

# %% [markdown]
# ## A corpus
#
# eSpeak NG's voices say household commands; nobody is recorded. Voices and sentences of `test` are in no other split.

# %%
manifests = speechgru.corpora.prepare("synthetic", FOLDER / "corpus", utterances=24 if IS_SMALL else 800)
utterances = speechgru.read_manifest(manifests["test"])
print(f"{len(utterances)} to test with, such as {utterances[0].text!r} by {utterances[0].speaker}")

# %% [markdown]
# ## Training
#
# A configuration is a file with what differs from the defaults, and overrides as on the command line.

# %%
config = speechgru.load_config(
    "quickstart",
    [
        f"data.train={manifests['train']}",
        f"data.dev={manifests['dev']}",
        f"train.max_steps={2 if IS_SMALL else 500}",
        f"train.evaluate_every_steps={2 if IS_SMALL else 100}",
    ],
)
result = speechgru.train.train(config, FOLDER / "run")
print(f"{result.steps} steps in {result.seconds:.0f} s, {result.num_parameters:,} weights, WER {result.best_wer:.1%}")

# %%
trained = open_run(FOLDER / "run")
history = trained.folder.read_history()
steps = [record for record in history if record["kind"] == "train"]
scores = [record for record in history if record["kind"] == "dev"]
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
left.plot([record["step"] for record in steps], [record["loss"] for record in steps])
left.set(xlabel="step", ylabel="CTC loss, nats an utterance")
right.plot([record["step"] for record in scores], [100 * record["wer"] for record in scores], marker="o")
right.set(xlabel="step", ylabel="WER of dev, %", ylim=(0, None))
plt.show()

# %% [markdown]
# ## What it sees and says
#
# `log_probs_SV` has a row a step (40 ms) and a column a label; label 0 is CTC's blank, which stands for nothing. Greedy
# decoding takes each step's best label, joins equal neighbours and drops the blanks.

# %%
probe, utterance = trained.probe, utterances[0]
recording = read_utterance(utterance, sample_rate=probe.sample_rate)
drawn = probe.draw(recording.samples_N)
log_mel_TM, log_probs_SV = drawn["log_mel_TM"], drawn["log_probs_SV"]
hypothesis = greedy_decode(log_probs_SV, vocabulary=probe.vocabulary, step_seconds=probe.step_seconds)
print(f"reference   {utterance.text}\nhypothesis  {hypothesis.text}")
for word in hypothesis.words:
    print(f"{word.start:5.2f} to {word.end:5.2f} s  {word.confidence:4.0%}  {word.text}")

# %%
names = ["blank", *("space" if entry == " " else entry for entry in probe.vocabulary.entries)]
figure, (top, bottom) = plt.subplots(2, 1, figsize=(9, 6), sharex=True, layout="constrained")
seconds = len(log_mel_TM) * probe.frame_seconds
top.imshow(log_mel_TM.T, origin="lower", aspect="auto", extent=(0, seconds, 0, log_mel_TM.shape[1]))
top.set(ylabel="mel band", title=utterance.text)
seconds = len(log_probs_SV) * probe.step_seconds
bottom.imshow(np.exp(log_probs_SV.T), aspect="auto", cmap="Greys", extent=(0, seconds, len(names), 0))
bottom.set(xlabel="seconds", ylabel="label", yticks=np.arange(len(names)) + 0.5, yticklabels=names)
bottom.tick_params(axis="y", labelsize=6)
plt.show()
