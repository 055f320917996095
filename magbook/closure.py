"""Sixteen principal components, and what follows from them: an encoder and a decoder for even films. Chapter 7 introduces it.

Latent states are the first principal components of a state; a network, the closure, adds the components that follow from
these. What is known is built in: a film in a uniform field stays even under inversion, m(-x, -y) = m(x, y), so that half of
it is enough, and a state is made of unit vectors.

After J. Barnett, C. Farhat, Y. Maday, J. Comput. Phys. 492, 112420 (2023).
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from . import training
from ._arguments import array, check_counts, instance
from ._keras import gelu, keras, layers, ops
from .dataset import as_float
from .metrics import relative_l2
from .pca import PCA

COMPONENTS = 192
"""Principal components of a decoded state; without the others, an unseen state is off by 2.5 %."""

WIDTHS = (256, 256, 256, 256)
"""The hidden layers of the closure."""


def fold(states: np.ndarray) -> np.ndarray:
    """The left half of states at half the resolution, (n, ny/2, nx/4, 3), unit vectors, of states (n, ny, nx, 3).

    For an even state nothing is lost but detail below two cells.
    """
    shape = array("states", states, "(n, ny, nx, 3)").shape
    if shape[1] < 2 or shape[2] < 4:
        raise ValueError(f"states: got shape {shape}; (n, ny, nx, 3) with at least 2 x 4 cells is needed")
    front = keras.Sequential(_front(shape[1:]))
    return np.concatenate([np.asarray(front.predict_on_batch(as_float(states[i:i + 100])))
                           for i in range(0, len(states), 100)])


def _front(shape):
    return [keras.Input(shape), layers.AveragePooling2D(2), layers.Cropping2D(((0, 0), (0, shape[1] // 4))),
            layers.UnitNormalization(axis=-1)]


def coefficients(basis: PCA, states: np.ndarray, chunk: int = 4096) -> np.ndarray:
    """The coefficients (n, k) of many folded states (n, ny, nx, 3) in principal components, in bounded memory."""
    check_counts(chunk=chunk)
    states = array("states", states, "(n, ny, nx, 3)")
    return np.concatenate([instance("basis", basis, PCA).encode(states[i:i + chunk]) for i in range(0, max(1, len(states)), chunk)])


def train(basis: PCA, c: np.ndarray, validation: np.ndarray, folder: str | Path | None = None, *, latent: int = 16,
          widths: tuple = WIDTHS, epochs: int = 40, batch: int = 256, learning_rate: float = 6e-3, warmup: float | None = 0.02,
          seed: int = 0, callback: Callable | None = None, progress: bool = True) -> tuple[keras.Sequential, list]:
    """Train what follows from the first principal components: returns (closure, history).

    basis: a `pca.PCA` of folded states. c, validation: coefficients (n, k) of states in it. latent: of these k are known;
    the closure, a `keras.Sequential`, gives the others, (n, k - latent), from them. widths: of its hidden layers.
    folder, epochs, batch, learning_rate, warmup, seed: as in `autoencoder.train`.
    The loss is the distance of a state from the one meant, relative to the length of a state: components are orthonormal, so
    it is that of the coefficients, without the cost of building states.
    history: loss, and "error", the relative L2 error of the validation states at unit length.
    Raises ValueError, naming the argument.
    """
    training.check_options(folder=folder, latent=latent, widths=widths, epochs=epochs, batch=batch, learning_rate=learning_rate,
                           warmup=warmup, seed=seed, callback=callback)
    instance("basis", basis, PCA)
    c, validation = (array(name, given, finite=True) for name, given in (("c", c), ("validation", validation)))
    if c.ndim != 2 or not len(c) or c.shape[1] != len(basis.components) or not latent < c.shape[1]:
        raise ValueError(f"c: got shape {c.shape}; (n, {len(basis.components)}) is needed, and a latent of less")
    if validation.ndim != 2 or not len(validation) or validation.shape[1:] != c.shape[1:]:
        raise ValueError(f"validation: got shape {validation.shape}; (n, {c.shape[1]}) is needed")
    length = float(np.sqrt(basis.mean.size / 3))  # of a state, as a vector
    spread = c[:, :latent].std(axis=0)
    model = training.dense(latent, widths, c.shape[1] - latent, 1000 * int(seed), gelu,
                           layers.Rescaling([float(1 / s) for s in spread]), layers.Rescaling(float(c.std())))
    per = max(1, len(c) // batch)
    training.compile_model(model, training.nadam(learning_rate, epochs * per, warmup),
                           lambda c, out: ops.sqrt(ops.sum((c - out)**2, axis=-1) / length**2 + 1e-8), min(20, per))
    reference = basis.decode(validation, unit=True)

    def batches(epoch):
        order = np.random.default_rng((seed, epoch)).permutation(len(c))[:per * batch]
        return {"x": c[order, :latent], "y": c[order, latent:], "batch_size": batch}

    def validate():
        rest = model.predict(validation[:, :latent], batch_size=1024, verbose=0)
        return {"error": relative_l2(basis.decode(np.hstack([validation[:, :latent], rest]), unit=True), reference)}

    settings = dict(network="closure", shape=c.shape, data=training.fingerprint(c, validation), latent=latent, widths=widths, batch=batch,
                    learning_rate=learning_rate, warmup=warmup, seed=seed)
    history = training.fit(model, batches, validate, folder, epochs=epochs, settings=settings, callback=callback,
                           progress=progress)
    return training.bare(model), history


def networks(basis: PCA, closure: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Encoder and decoder of the whole film, from principal components of folded states and their closure."""
    ny, nx, _ = instance("basis", basis, PCA).mean.shape
    instance("closure", closure, keras.Model)
    k, flat = len(basis.components), basis.mean.size
    latent = closure.input_shape[-1]
    components, mean = basis.components.reshape(k, flat), basis.mean.ravel()
    project, restore = layers.Dense(latent), layers.Dense(flat)
    encoder = keras.Sequential([*_front((2 * ny, 4 * nx, 3)), layers.Flatten(), project], name="encoder")
    c = keras.Input((latent,))
    x = layers.Reshape((ny, nx, 3))(restore(layers.Concatenate()([c, closure(c)])))
    x = layers.Concatenate(axis=2)([x, ops.flip(x, axis=(1, 2))])
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    decoder = keras.Model(c, layers.UnitNormalization(axis=-1)(x), name="decoder")
    project.set_weights([components[:latent].T, -components[:latent] @ mean])
    restore.set_weights([components, mean])
    return encoder, decoder
