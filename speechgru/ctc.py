"""The CTC loss over real lengths."""

from __future__ import annotations

import tensorflow as tf

from speechgru.text import BLANK_ID


def ctc_loss(logits_BSV: tf.Tensor, num_steps_B: tf.Tensor, labels_BL: tf.Tensor, num_labels_B: tf.Tensor) -> tf.Tensor:
    """The negative natural log-probability of each utterance's labels, summed over all paths that spell them.

    Runs TensorFlow's C++ kernel (sparse labels), which is some twenty times faster on a CPU than the dense path that
    `keras.losses.CTC` takes, always in float32.

    Args:
        logits_BSV: unnormalised scores; class `BLANK_ID` is the blank. Steps beyond a row's length do not count.
        num_steps_B: real steps, integers.
        labels_BL: labels from 1; entries beyond a row's length do not count.
        num_labels_B: real labels, integers; 0 for an empty transcript.

    Returns:
        `loss_B`, float32, in nats; infinite where a row's steps cannot spell its labels for want of blanks between
        equal neighbours.

    Raises:
        tf.errors.InvalidArgumentError: a row has more labels than steps.

    No row of either kind reaches training: `lengths.is_feasible` tells beforehand, and `check` and training leave such
    utterances out and name them.

    Source: Graves et al. 2006, "Connectionist Temporal Classification", equations 6 to 16.
    """
    logits_BSV = tf.cast(logits_BSV, tf.float32)
    num_steps_B = tf.cast(num_steps_B, tf.int32)
    num_labels_B = tf.cast(num_labels_B, tf.int32)
    # The kernel refuses a row without labels. Such a row gets a stand-in label here and its own formula below: the
    # only path that spells nothing is all blanks.
    labels_BL = tf.pad(tf.cast(labels_BL, tf.int32), [[0, 0], [0, 1]])
    is_empty_B = tf.equal(num_labels_B, 0)
    labels_BL = tf.where(is_empty_B[:, None], BLANK_ID + 1, labels_BL)
    indices = tf.where(tf.sequence_mask(tf.maximum(num_labels_B, 1), tf.shape(labels_BL)[1]))
    loss_B = tf.nn.ctc_loss(
        labels=tf.SparseTensor(indices, tf.gather_nd(labels_BL, indices), tf.shape(labels_BL, out_type=tf.int64)),
        logits=logits_BSV,
        label_length=None,
        logit_length=num_steps_B,
        logits_time_major=False,
        blank_index=BLANK_ID,
    )
    blank_log_probs_BS = tf.nn.log_softmax(logits_BSV)[:, :, BLANK_ID]
    is_real_BS = tf.sequence_mask(num_steps_B, tf.shape(logits_BSV)[1])
    all_blank_loss_B = -tf.reduce_sum(tf.where(is_real_BS, blank_log_probs_BS, 0.0), axis=1)
    return tf.where(is_empty_B, all_blank_loss_B, loss_B)
