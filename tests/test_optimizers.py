"""Adam in one operation: Keras' weights after some steps, by its own variables."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from speechgru.config.sections import TrainConfig
from speechgru.train.optimizers import make_optimizer


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_in_one_operation_moves_the_weights_as_keras_does(name):
    peers = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}
    theirs = peers[name](0.01, beta_2=0.98, **({"weight_decay": 0.1} if name == "adamw" else {}))
    theirs.exclude_from_weight_decay(var_names=["bias"])
    ours = make_optimizer(TrainConfig(optimizer=name, learning_rate=0.01, weight_decay=0.1))
    rng = np.random.default_rng(0)
    first = [rng.normal(size=[3, 4]).astype("float32"), rng.normal(size=4).astype("float32")]
    gradients = [[rng.normal(size=array.shape).astype("float32") for array in first] for _ in range(4)]
    ours, theirs = (trained(optimizer, first, gradients) for optimizer in (ours, theirs))
    assert np.abs(ours[0] - first[0]).min() > 1e-3
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-6)


def trained(optimizer, first, gradients):
    """The weights after a step for each gradient, at a falling rate, and the optimizer's own variables."""
    weights = [keras.Variable(first[0], name="kernel"), keras.Variable(first[1], name="bias")]
    optimizer.build(weights)

    @tf.function
    def apply(*parts):
        optimizer.apply(list(parts), weights)

    for number, parts in enumerate(gradients):
        optimizer.learning_rate.assign(0.01 / (1 + number))
        apply(*map(tf.constant, parts))
    return [np.array(variable) for variable in (*weights, *optimizer.variables)]
