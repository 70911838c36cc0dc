"""The language model that is trained: embedding, GRU layers, a dense layer over the labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from speechgru.config.language import LanguageConfig
from speechgru.gru import GRU
from speechgru.language.gru import BORDER, GRULanguageModel, GRULayer
from speechgru.model.build import drawn_from
from speechgru.model.layers import Dropout
from speechgru.text import TextRules, Vocabulary

#: The standard deviation of the first embeddings.
_EMBEDDING_DEVIATION = 0.3


def build_language_model(config: LanguageConfig, num_labels: int) -> keras.Model:
    """`labels_BS`, `num_steps_B` -> `logits_BSV`, with new weights, which `train.seed` draws.

    Step s reads the label before the text's label s, `BORDER` before the first, and predicts that label, `BORDER`
    behind the last: a text of L labels has L + 1 steps.

    Args:
        config: the run's configuration.
        num_labels: labels, `BORDER` included: `len(vocabulary)`.
    """
    settings = config.model
    with drawn_from(config.train.seed):
        labels = keras.Input((None,), name="labels", dtype="int32")
        num_steps = keras.Input((), name="num_steps", dtype="int32")
        # Keras' own embeddings begin so small that a GRU learns next to nothing for the first hundreds of steps.
        first = keras.initializers.RandomNormal(stddev=_EMBEDDING_DEVIATION)
        outputs = keras.layers.Embedding(
            num_labels, settings.embedding, embeddings_initializer=first, dtype="float32", name="embedding"
        )(labels)
        for number in range(settings.num_layers):
            outputs = Dropout(settings.dropout, name=f"dropout_{number}")(outputs)
            outputs = GRU(settings.units, return_sequences=True, dtype="float32", name=f"gru_{number}")(
                outputs, lengths=num_steps
            )
        outputs = Dropout(settings.dropout, name="dropout")(outputs)
        logits = keras.layers.Dense(num_labels, dtype="float32", name="logits")(outputs)
        return keras.Model([labels, num_steps], logits, name="language_model")


def text_losses(model: keras.Model, labels_BL: tf.Tensor, num_labels_B: tf.Tensor, *, training: bool) -> tf.Tensor:
    """The negative log-probability of each text and its end, nats.

    Args:
        model: `build_language_model`'s.
        labels_BL: zeros beyond each text's labels.
        num_labels_B: labels of each.
        training: whether dropout is active.
    """
    border_B1 = tf.fill([tf.shape(labels_BL)[0], 1], BORDER)
    num_steps_B = num_labels_B + 1
    logits_BSV = model([tf.concat([border_B1, labels_BL], axis=1), num_steps_B], training=training)
    following_BS = tf.concat([labels_BL, border_B1], axis=1)  # padding is the end's label already
    nats_BS = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=following_BS, logits=logits_BSV)
    is_real_BS = tf.sequence_mask(num_steps_B, tf.shape(following_BS)[1])
    return tf.reduce_sum(tf.where(is_real_BS, nats_BS, 0.0), axis=1)


def for_device(
    model: keras.Model, config: LanguageConfig, *, vocabulary: Vocabulary, rules: TextRules, facts: Mapping[str, Any]
) -> GRULanguageModel:
    """A trained model as a device computes it.

    Args:
        model: `build_language_model`'s, with weights.
        config: its configuration.
        vocabulary: what its labels stand for.
        rules: the text rules of its texts.
        facts: see `GRULanguageModel`.
    """
    layers = [model.get_layer(f"gru_{number}").get_weights() for number in range(config.model.num_layers)]
    kernel_UV, bias_V = model.get_layer("logits").get_weights()
    return GRULanguageModel(
        vocabulary,
        rules,
        embedding_VE=model.get_layer("embedding").get_weights()[0],
        layers=[GRULayer(*weights) for weights in layers],
        kernel_UV=kernel_UV,
        bias_V=bias_V,
        facts=facts,
    )
