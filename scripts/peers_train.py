"""The training step of `bench_train.py`: ours, and in the libraries that it is timed beside, with the same weights."""

from dataclasses import dataclass

CLASSES = 30
CLIP_NORM, LEARNING_RATE, WEIGHT_DECAY = 5.0, 1e-3, 1e-3


@dataclass(frozen=True)
class Peer:
    """One implementation of the model and its step.

    Args:
        weights: how many can be trained.
        loss_of: batch -> mean loss of its rows, without dropout and without a change of the weights.
        make_step: batch -> a function without arguments that trains one step on it and returns when it is done.
    """

    weights: int
    loss_of: object
    make_step: object


def keras_optimizer():
    import keras

    return keras.optimizers.AdamW(LEARNING_RATE, weight_decay=WEIGHT_DECAY, global_clipnorm=CLIP_NORM)


def ours(config, *, form="features", ahead=False, **model_options):
    """`TrainStep`, as training has it, fed with features (or samples); and the encoder itself.

    With `ahead` the features of the next step are computed beside a step, as `train.loop` does.
    """
    import tensorflow as tf

    from speechgru.ctc import ctc_loss
    from speechgru.model.build import build_model
    from speechgru.process.memory import keep_freed_memory
    from speechgru.train.ahead import Ahead
    from speechgru.train.optimizers import make_optimizer
    from speechgru.train.step import TrainStep

    keep_freed_memory()  # of the peers as well
    model = build_model(config, CLASSES, **model_options)
    encoder, optimizer = model.encoder.model, make_optimizer(config.train)
    optimizer.build(model.trainable_variables)
    step = TrainStep(model, optimizer, config=config, form=form)

    def make_step(batch):
        arrays = batch if isinstance(batch, dict) else vars(batch)
        rows = len(arrays["num_labels_B"])
        given = {name: tf.constant(array) for name, array in arrays.items()} | {
            "index_B": tf.range(rows),
            "weight_B": tf.ones([rows]),
            "parts_left_B": tf.zeros([rows], tf.int32),
            "epoch_B": tf.zeros([rows]),
            "seed_B2": tf.stack([tf.zeros([rows], tf.int32), tf.range(rows)], axis=1),
        }

        prepared = Ahead(lambda: step.prepare([given])).take if ahead else lambda: [given]

        def one_step():
            step.gather(prepared())
            outcome = step.reduce()
            step.apply(outcome, learning_rate=LEARNING_RATE)
            return outcome.loss

        return one_step

    def loss_of(batch):
        log_mel_BTM, num_frames_B, labels_BL, num_labels_B = map(tf.constant, vars(batch).values())
        logits_BSV, num_steps_B = encoder([log_mel_BTM, num_frames_B], training=False)
        return float(tf.reduce_mean(ctc_loss(logits_BSV, num_steps_B, labels_BL, num_labels_B)))

    weights = sum(int(tf.size(variable.value)) for variable in encoder.trainable_variables)
    return Peer(weights, loss_of, make_step), encoder


def by_operations(config, **options):
    """Ours without compiled code: the fused GRU, TensorFlow's CTC kernel and its operations for all else.

    The step is traced before it is returned: it asks then for what may run.
    """
    from speechgru import native

    settings = config.train.model_copy(update={"ctc": "op"})
    with native.operations_only():
        peer, encoder = ours(config.model_copy(update={"train": settings}), implementation="fused", **options)

    def make_step(batch):
        step = peer.make_step(batch)
        with native.operations_only():
            step()
        return step

    return Peer(peer.weights, peer.loss_of, make_step), encoder


def stock_keras(config, encoder):
    """What Keras has, with the weights of our encoder."""
    import keras
    import tensorflow as tf

    from speechgru.gru import convert

    settings, factor = config.model, config.model.subsampling_factor
    convolution = keras.layers.Conv1D(
        settings.subsampling_channels, 2 * factor + 1, strides=factor, activation="relu", name="subsampling"
    )
    outputs = inputs = keras.Input([None, config.features.n_mels])
    outputs = convolution(keras.layers.ZeroPadding1D(factor)(outputs))
    for number in range(settings.num_layers):
        outputs = keras.layers.Dropout(settings.dropout)(outputs)
        outputs = keras.layers.LayerNormalization(name=f"norm_{number}")(outputs)
        layer = keras.layers.GRU(settings.units, return_sequences=True)
        outputs = keras.layers.Bidirectional(layer, name=f"gru_{number}")(outputs)
    outputs = keras.layers.Dropout(settings.dropout)(outputs)
    model = keras.Model(inputs, keras.layers.Dense(CLASSES, name="logits")(outputs))
    for layer in encoder.layers:
        if layer.name.startswith("gru_"):
            model.get_layer(layer.name).set_weights(convert.to_keras(convert.read(layer)))
        elif layer.weights and not layer.name.startswith("dropout"):
            model.get_layer(layer.name).set_weights(layer.get_weights())
    model.compile(optimizer=keras_optimizer(), loss=keras.losses.CTC())

    def make_step(batch):
        log_mel_BTM, labels_BL = tf.constant(batch.log_mel_BTM), tf.constant(batch.labels_BL)
        return lambda: float(model.train_on_batch(log_mel_BTM, labels_BL))

    return Peer(
        sum(int(tf.size(variable.value)) for variable in model.trainable_variables),
        lambda batch: float(model.test_on_batch(batch.log_mel_BTM, batch.labels_BL)),
        make_step,
    )


def of_torch(config, encoder, *, packed):
    """What PyTorch has, with the weights of our encoder."""
    import torch
    from torch import nn
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    from speechgru.gru import convert

    settings, factor = config.model, config.model.subsampling_factor

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            channels, units = settings.subsampling_channels, settings.units
            self.subsampling = nn.Conv1d(
                config.features.n_mels, channels, 2 * factor + 1, stride=factor, padding=factor
            )
            widths = [channels] + [2 * units] * (settings.num_layers - 1)
            self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-3) for width in widths)
            self.grus = nn.ModuleList(nn.GRU(width, units, batch_first=True, bidirectional=True) for width in widths)
            self.dropout = nn.Dropout(settings.dropout)
            self.logits = nn.Linear(2 * units, CLASSES)

        def forward(self, log_mel_BTM, num_steps_B):
            outputs = self.subsampling(log_mel_BTM.transpose(1, 2)).relu().transpose(1, 2)
            for norm, gru in zip(self.norms, self.grus, strict=True):
                outputs = norm(self.dropout(outputs))
                if packed:
                    outputs = pack_padded_sequence(outputs, num_steps_B, batch_first=True)
                outputs, _ = gru(outputs)
                if packed:
                    outputs, _ = pad_packed_sequence(outputs, batch_first=True)
            return self.logits(self.dropout(outputs))

    model = Encoder()
    taken = {layer.name: [torch.tensor(array) for array in layer.get_weights()] for layer in encoder.layers}
    with torch.no_grad():
        for module, (kernel, bias) in ((model.subsampling, taken["subsampling"]), (model.logits, taken["logits"])):
            module.weight.copy_(kernel.permute(*reversed(range(kernel.ndim))))
            module.bias.copy_(bias)
        for number, (norm, gru) in enumerate(zip(model.norms, model.grus, strict=True)):
            norm.load_state_dict(dict(zip(("weight", "bias"), taken[f"norm_{number}"], strict=True)))
            state = convert.to_torch([convert.read(encoder.get_layer(f"gru_{number}"))])
            gru.load_state_dict({name: torch.as_tensor(array) for name, array in state.items()})
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)

    def mean_loss(batch):
        log_mel_BTM, num_frames_B, labels_BL, num_labels_B = batch
        num_steps_B = (num_frames_B + factor - 1) // factor
        log_probs_BSV = model(log_mel_BTM, num_steps_B).log_softmax(-1)
        loss_B = nn.functional.ctc_loss(
            log_probs_BSV.transpose(0, 1), labels_BL, num_steps_B, num_labels_B, blank=0, reduction="none"
        )
        return loss_B.mean()

    def loss_of(batch):
        model.eval()
        with torch.no_grad():
            return float(mean_loss([torch.tensor(array) for array in vars(batch).values()]))

    def make_step(batch):
        tensors = [torch.tensor(array) for array in vars(batch).values()]
        model.train()

        def step():
            optimizer.zero_grad()
            loss = mean_loss(tensors)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
            optimizer.step()
            return loss.item()

        return step

    return Peer(sum(parameter.numel() for parameter in model.parameters()), loss_of, make_step)


def make_peers(config, *, with_torch):
    """All implementations by name, with the same weights."""
    peer, encoder = ours(config)
    peers = {"ours": peer, "ours, operations": by_operations(config)[0], "keras": stock_keras(config, encoder)}
    if with_torch:
        peers["torch"] = of_torch(config, encoder, packed=False)
        peers["torch, packed"] = of_torch(config, encoder, packed=True)
    return peers
