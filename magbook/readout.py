"""A readout: the film average of a latent state without its film. Chapter 8 counts what that spares.

To decode 16,384 cells for three numbers is a waste. Where the decoder ends in components of the film, a few of its cells are enough;
where it is a stack of convolutions, a small network learns what it would say.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from . import training
from ._arguments import array, instance, is_count, pair, said
from ._keras import gelu, keras, layers, ops

CELLS = (8, 16)
"""Cells of half a film, in y and in x, that stand for all of it."""

WIDTHS = (256, 256)
"""The hidden layers of a network that reads."""


def of_cells(decoder: keras.Model, c: np.ndarray, mean: np.ndarray, cells: tuple = CELLS) -> keras.Model:
    """A readout from a few cells, evenly spaced: their vectors, scaled to unit length, and the linear map that fits known averages best.

    decoder: one that `closure.networks` makes. c: latent states (n, latent), and mean: the film averages of what it makes of them, (n, 3).
    cells: (rows, columns). Returns a `keras.Model` from (n, latent) to (n, 3); it shares layers with the decoder.
    Raises ValueError for another kind of decoder, and what does not fit it.
    """
    c, mean = _known(c, mean, latent=instance("decoder", decoder, keras.Model).input_shape[-1])
    parts = [[layer for layer in decoder.layers if isinstance(layer, kind)] for kind in (keras.Sequential, layers.Dense, layers.Reshape)]
    if [len(found) for found in parts] != [1, 1, 1]:
        raise ValueError("decoder: it is not one that `closure.networks` makes")
    (follows,), (restore,), (half,) = parts
    ny, nx, _ = half.target_shape
    if not (isinstance(cells, (tuple, list)) and len(cells) == 2 and all(map(is_count, cells)) and cells[0] <= ny and cells[1] <= nx):
        raise ValueError(f"cells: got {said(cells)}; two whole numbers, rows and columns, are needed, at most the decoder's {ny} and {nx}")
    y, x = (((np.arange(k) + 0.5) * n / k).astype(int) for k, n in zip(cells, (ny, nx)))
    chosen = (3 * (nx * y[:, None] + x).ravel()[:, None] + np.arange(3)).ravel()
    few, read, given = layers.Dense(len(chosen)), layers.Dense(3), keras.Input((c.shape[1],))
    vectors = layers.UnitNormalization(axis=-1)(layers.Reshape((-1, 3))(few(layers.Concatenate()([given, follows(given)]))))
    vectors = keras.Model(given, layers.Flatten()(vectors))
    few.set_weights([w[..., chosen] for w in restore.get_weights()])
    seen = np.column_stack([vectors.predict(c, batch_size=4096, verbose=0), np.ones(len(c), np.float32)])
    fitted = np.linalg.lstsq(seen, mean, rcond=None)[0]
    model = keras.Model(given, read(vectors.output), name="readout")
    read.set_weights([fitted[:-1], fitted[-1]])
    return model


def train(c: np.ndarray, mean: np.ndarray, validation: tuple, folder: str | Path | None = None, *, widths: tuple = WIDTHS, epochs: int = 100,
          batch: int = 512, learning_rate: float = 4e-3, warmup: float | None = 0.02, seed: int = 0, callback: Callable | None = None,
          progress: bool = True) -> tuple[keras.Model, list]:
    """Train a readout for any decoder, a linear map beside a small network: returns (readout, history).

    c: latent states (n, latent), and mean: the film averages of what the decoder makes of them, (n, 3). validation: another such pair.
    widths: of the hidden layers. The rest: as in `autoencoder.train`.
    readout: a `keras.Model` from (n, latent) to (n, 3). history: loss, and "error": how far off the averages of the validation are, in the mean.
    Raises ValueError, naming the argument.
    """
    training.check_options(folder=folder, widths=widths, epochs=epochs, batch=batch, learning_rate=learning_rate, warmup=warmup, seed=seed,
                           callback=callback)
    c, mean = _known(c, mean)
    test, test_mean = pair("validation", validation)
    test, test_mean = _known(test, test_mean, ("validation", "validation"), latent=c.shape[1])
    spread = np.maximum(c.std(axis=0), 1e-6)
    given = keras.Input((c.shape[1],))
    scaled = layers.Rescaling([float(1 / s) for s in spread], [float(-m / s) for m, s in zip(c.mean(axis=0), spread)])(given)
    hidden, glorot = scaled, keras.initializers.GlorotUniform
    for k, width in enumerate(widths):
        hidden = layers.Dense(width, activation=gelu, kernel_initializer=glorot(1000 * int(seed) + k))(hidden)
    read = layers.Dense(3, kernel_initializer=glorot(1000 * int(seed) + len(widths)))
    model = keras.Model(given, read(layers.Concatenate()([scaled, hidden])), name="readout")
    per = max(1, len(c) // batch)
    training.compile_model(model, training.nadam(learning_rate, epochs * per, warmup), lambda true, out: ops.mean((true - out)**2, axis=-1), min(50, per))

    def batches(epoch):
        order = np.random.default_rng((seed, epoch)).permutation(len(c))[:per * batch]
        return {"x": c[order], "y": mean[order], "batch_size": batch}

    def validate():
        return {"error": np.mean(np.abs(model.predict(test, batch_size=4096, verbose=0) - test_mean))}

    settings = dict(network="readout", shape=c.shape, data=training.fingerprint(c, mean, test, test_mean), widths=widths, batch=batch, learning_rate=learning_rate,
                    warmup=warmup, seed=seed)
    history = training.fit(model, batches, validate, folder, epochs=epochs, settings=settings, callback=callback, progress=progress)
    return keras.Model(model.input, model.output, name="readout"), history


def _known(c, mean, names=("c", "mean"), **sizes):
    """Latent states (n, latent) and their film averages (n, 3), checked."""
    c = array(names[0], c, "(n, latent)", finite=True, **sizes).astype(np.float32)
    if not len(c):
        raise ValueError(f"{names[0]}: got shape {c.shape}; one latent state at least is needed")
    return c, array(names[1], mean, "(n, 3)", finite=True, n=len(c)).astype(np.float32)
