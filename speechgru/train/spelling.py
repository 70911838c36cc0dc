"""Learning letters beside words: a second head over the encoder, which training has and no export.

A recogniser of a grammar's words learns little from people who say anything else, and the more of them there are, the
more of its one softmax goes to what it shall never write. So the two are kept apart: the model's own classes are the
words and one class for any other word, and a dense layer of its own, with a blank of its own, spells everything that is
said, character by character, from the same outputs of the last recurrent layer. Its CTC loss teaches the encoder how
people sound (multi-task learning: Caruana 1997), and the words' head what they mean.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from speechgru.config.sections import TrainConfig
from speechgru.ctc import ctc_loss, is_feasible, quiet_start_loss
from speechgru.model.build import AcousticModel
from speechgru.text import BLANK_ID, FIRST_LETTER, Vocabulary


class Spelling:
    """The second head: a dense layer over the letters, and the labels that it learns from.

    Make it under the strategy's scope, before the optimizer is built.

    Args:
        model: the recogniser, whose encoder it stands on.
        vocabulary: words with letters (`Vocabulary.with_letters`).
        settings: the section `train` of the configuration.

    Attributes:
        characters: what it writes, the space between words first; the blank is label 0, and they follow.
        layer: the dense layer.
        encoder: `features_BTD`, `num_frames_B` -> `outputs_BSD` of the last recurrent layer, `logits_BSV`,
            `num_steps_B`: the model's encoder, with what the head stands on.
    """

    def __init__(self, model: AcousticModel, vocabulary: Vocabulary, settings: TrainConfig):
        encoder = model.encoder
        self.characters = (" ", *vocabulary.letters)
        self.encoder = keras.Model(encoder.model.inputs, [encoder.logits.layer.input, *encoder.model.outputs])
        # The seed is of its own, so that the model's first weights are those that it has without this head.
        initializer = keras.initializers.GlorotUniform(seed=settings.seed)
        self.layer = keras.layers.Dense(
            len(self.characters) + 1, dtype="float32", kernel_initializer=initializer, name="spelling"
        )
        self.layer.build(encoder.logits.layer.input.shape)
        self._unknown_label = vocabulary.unknown_label
        self._weight, self._ctc = settings.spelling_weight, settings.ctc
        self._word_V, self._spelt_VC = (tf.constant(table) for table in _tables(vocabulary, self.characters))

    def words(self, labels_BL: tf.Tensor, num_labels_B: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The labels that the words' head learns: a word that is spelt is one label, `UNKNOWN_WORD`.

        Args:
            labels_BL: the vocabulary's labels; entries beyond a row's length do not count.
            num_labels_B: real labels.

        Returns:
            The same two for the model's classes.
        """
        return _without_zeros(tf.gather(self._word_V, _masked(labels_BL, num_labels_B)))

    def letters(self, labels_BL: tf.Tensor, num_labels_B: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The labels that this head learns: the characters of all words, with one space between two.

        Args: as in `words`.

        Returns:
            The same two for `characters`.
        """
        spelt_BLC = tf.gather(self._spelt_VC, _masked(labels_BL, num_labels_B))
        letters_BK, num_letters_B = _without_zeros(tf.reshape(spelt_BLC, [tf.shape(labels_BL)[0], -1]))
        # Each word begins with its space: the first one's is between no two.
        return letters_BK[:, 1:], tf.maximum(num_letters_B - 1, 0)

    def loss(
        self,
        outputs_BSD: tf.Tensor,
        num_steps_B: tf.Tensor,
        labels_BL: tf.Tensor,
        num_labels_B: tf.Tensor,
        *,
        quiet_steps: int = 0,
    ) -> tf.Tensor:
        """What it costs that the letters are not yet known, `train.spelling_weight` times.

        Args:
            outputs_BSD: of the last recurrent layer.
            num_steps_B: real steps.
            labels_BL, num_labels_B: the vocabulary's labels, as in `words`.
            quiet_steps: as in `ctc.quiet_start_loss`.

        Returns:
            `loss_B`, float32, in nats; 0 where a row has too few steps for its letters, or its transcript itself says
            `UNKNOWN_WORD`, so that nobody knows them.
        """
        letters_BK, num_letters_B = self.letters(labels_BL, num_labels_B)
        logits_BSC = self.layer(outputs_BSD)
        loss_B = ctc_loss(logits_BSC, num_steps_B, letters_BK, num_letters_B, implementation=self._ctc)
        if quiet_steps:
            loss_B += quiet_start_loss(logits_BSC, num_steps_B, quiet_steps=quiet_steps)
        is_known_B = tf.reduce_all(_masked(labels_BL, num_labels_B) != self._unknown_label, axis=1)
        is_counted_B = is_known_B & is_feasible(num_steps_B, letters_BK, num_letters_B)
        return self._weight * tf.where(is_counted_B, loss_B, 0.0)

    def take_over(self, kernel_DV: np.ndarray, bias_V: np.ndarray, characters: tuple[str, ...]) -> None:
        """Gives it the weights of another run's layer over characters, of the blank and of all that both have.

        Args:
            kernel_DV, bias_V: that layer's weights.
            characters: what its classes from 1 on are.
        """
        there = {character: label for label, character in enumerate(characters, start=BLANK_ID + 1)}
        both = {label: there[one] for label, one in enumerate(self.characters, start=1) if one in there}
        both[BLANK_ID] = BLANK_ID
        for weight, weight_there in zip(self.layer.weights, (kernel_DV, bias_V), strict=True):
            values = weight.numpy()
            values[..., list(both)] = weight_there[..., list(both.values())]
            weight.assign(values)


def _tables(vocabulary: Vocabulary, characters: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """For each label of the vocabulary: that of the words' head, and its characters' labels; 0 stands for none."""
    labels = {character: label for label, character in enumerate(characters, start=1)}
    word_of, spelt = [0], [""]
    for label, entry in enumerate(vocabulary.entries, start=BLANK_ID + 1):
        if label < len(vocabulary):
            word_of.append(label)
            spelt.append(" " + entry)
        else:
            is_first = entry.startswith(FIRST_LETTER)
            word_of.append(vocabulary.unknown_label or 0 if is_first else 0)
            spelt.append(" " * is_first + entry[-1])
    spelt_VC = np.zeros((len(spelt), max(map(len, spelt))), np.int32)
    for row_C, text in zip(spelt_VC, spelt, strict=True):
        row_C[: len(text)] = [labels.get(character, 0) for character in text]
    return np.array(word_of, np.int32), spelt_VC


def _masked(labels_BL: tf.Tensor, num_labels_B: tf.Tensor) -> tf.Tensor:
    """The labels, with 0 beyond each row's."""
    return labels_BL * tf.sequence_mask(num_labels_B, tf.shape(labels_BL)[1], dtype=labels_BL.dtype)


def _without_zeros(labels_BL: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The labels of each row moved together at its front, and how many they are."""
    ragged = tf.ragged.boolean_mask(labels_BL, labels_BL > 0)
    return ragged.to_tensor(), tf.cast(ragged.row_lengths(), tf.int32)
