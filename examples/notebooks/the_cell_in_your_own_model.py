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
# # The GRU cell as a layer in your own Keras model
#
# `speechgru.gru` is useful without speech: a GRU layer for ragged sequences that trains in machine code on a CPU, runs
# cuDNN's kernel on a GPU, exports to TFLite, and takes the weights of Keras, PyTorch and ONNX exactly.

# %%
import os

import keras
import matplotlib.pyplot as plt
import numpy as np

from speechgru.gru import GRU, BiGRU, convert

IS_SMALL = bool(os.environ.get("SPEECHGRU_SMALL"))  # as the tests run it
keras.utils.set_random_seed(0)

# %% [markdown]
# ## A task: which of two marked numbers is larger?
#
# A sequence of 10 to 40 numbers, two of them marked. The layer must keep the first in its state until the second comes,
# over whatever stands between. Sequences have different lengths: `lengths` travels with the batch, and what follows a
# row's end changes nothing.

# %%
rng = np.random.default_rng(0)


def draw(count):
    """`inputs_BTF` (number, mark), `lengths_B` and whether the second marked number is larger."""
    inputs_BTF, lengths_B = np.zeros([count, 40, 2], "float32"), rng.integers(10, 41, count).astype("int32")
    is_larger_B = np.zeros(count, "float32")
    for row, length in enumerate(lengths_B):
        first, second = np.sort(rng.choice(length, 2, replace=False))
        inputs_BTF[row, :length, 0] = rng.uniform(size=length)
        inputs_BTF[row, [first, second], 1] = 1
        is_larger_B[row] = inputs_BTF[row, second, 0] > inputs_BTF[row, first, 0]
    return inputs_BTF, lengths_B, is_larger_B


train, test = draw(64 if IS_SMALL else 4000), draw(32 if IS_SMALL else 1000)

# %%
inputs = keras.Input([None, 2])
lengths = keras.Input([], dtype="int32")
layer = GRU(32, return_sequences=False)
outputs = keras.layers.Dense(1, activation="sigmoid")(layer(inputs, lengths=lengths))
model = keras.Model([inputs, lengths], outputs)
model.compile(keras.optimizers.Adam(5e-3), "binary_crossentropy", metrics=["accuracy"])
fitted = model.fit(train[:2], train[2], validation_data=(test[:2], test[2]), epochs=1 if IS_SMALL else 15, verbose=0)
print(f"runs as: {layer.explain()}")
print(f"right on sequences that it never saw: {fitted.history['val_accuracy'][-1]:.1%}")

# %% [markdown]
# ## What the update gate does
#
# By the equations of `GRUCell`: z near 1 keeps the state, z near 0 writes it. Where a number is marked, units write.

# %%
kernel, recurrent_kernel, (bias, recurrent_bias) = (np.asarray(weight) for weight in layer.get_weights())
units = layer.units
x_TF, state_U, gates_TU = test[0][0][: test[1][0]], np.zeros(units), []
for x_F in x_TF:
    of_x, of_state = x_F @ kernel + bias, state_U @ recurrent_kernel + recurrent_bias
    z, r = (1 / (1 + np.exp(-(of_x + of_state)[k * units : (k + 1) * units])) for k in (0, 1))
    candidate = np.tanh(of_x[2 * units :] + r * of_state[2 * units :])
    state_U = z * state_U + (1 - z) * candidate
    gates_TU.append(z)
assert np.allclose(state_U, layer(test[0][:1], lengths=test[1][:1])[0], atol=1e-5)  # the layer is these equations
figure, axes = plt.subplots(figsize=(9, 2.5), layout="constrained")
image = axes.imshow(np.transpose(gates_TU), aspect="auto", vmin=0, vmax=1)
axes.set(xlabel="step", ylabel="unit", title=f"update gate; marked: {np.flatnonzero(x_TF[:, 1]).tolist()}")
figure.colorbar(image)
plt.show()

# %% [markdown]
# ## Weights from elsewhere, to the last bit that matters
#
# `convert` knows whose gates stand where. A bidirectional layer of Keras, and the same here:

# %%
theirs = keras.layers.Bidirectional(keras.layers.GRU(8, return_sequences=True))
ours = BiGRU(8)
batch_BTF = rng.normal(size=[3, 20, 5]).astype("float32")
theirs(batch_BTF), ours(batch_BTF)  # builds the weights
convert.write(ours, convert.from_keras(theirs))
difference = np.abs(np.asarray(ours(batch_BTF)) - np.asarray(theirs(batch_BTF))).max()
print(f"largest difference of outputs: {difference:.1e}")
assert difference < 1e-5

# %% [markdown]
# `convert.from_torch`, `from_onnx` and their opposites do the same for PyTorch and ONNX; `reset_after=False` and
# `update_gate="write"` are the textbook's forms ([the equations](../../docs/explanations/gru.md)).
