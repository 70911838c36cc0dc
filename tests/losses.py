"""A Keras callback for the tests of training; in a file of its own, since importing Keras is dear."""

import keras


class Losses(keras.callbacks.Callback):
    """Keeps the loss of each step in `values`."""

    def __init__(self):
        super().__init__()
        self.values = []

    def on_train_batch_end(self, batch, logs=None):
        self.values.append(logs["loss"])
