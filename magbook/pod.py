"""A better model in sixteen numbers: principal components, what follows from them, and when. Chapter 7 introduces it.

Latent states are the first principal components (POD) of a state; a network adds the components that follow from these,
and another gives the latent state at any field and time. What is known is built in: a film in a uniform field stays even
under inversion, m(-x, -y) = m(x, y), so that half of it is enough, and a state is made of unit vectors.

The first network after J. Barnett, C. Farhat, Y. Maday, J. Comput. Phys. 492, 112420 (2023), the second after S. Fresca,
A. Manzoni, Comput. Methods Appl. Mech. Eng. 388, 114181 (2022).
"""

import numpy as np

from . import training
from ._keras import keras, layers, ops
from .dataset import as_float
from .metrics import relative_l2

MODES = 192
"""Principal components of a decoded state; without the others, an unseen state is off by 2.5 %."""

WIDTHS = (256, 256, 256, 256)
"""The hidden layers of either network."""


@keras.saving.register_keras_serializable("magbook")
def gelu(x):
    """The Gaussian error linear unit, by its formula with tanh: the exact one has no counterpart in ONNX.

    D. Hendrycks and K. Gimpel, arXiv:1606.08415 (2016).
    """
    return keras.activations.gelu(x, approximate=True)


@keras.saving.register_keras_serializable("magbook")
def sine(x):
    """sin(x), for a first layer that sees fine detail in its few inputs. M. Tancik et al., arXiv:2006.10739 (2020)."""
    return ops.sin(x)


def fold(states):
    """The left half of states at half the resolution, (n, ny/2, nx/4, 3), unit vectors, of states (n, ny, nx, 3).

    For an even state nothing is lost but detail below two cells.
    """
    front = keras.Sequential(_front(np.shape(states)[1:]))
    return np.concatenate([np.asarray(front.predict_on_batch(as_float(states[i:i + 100])))
                           for i in range(0, len(states), 100)])


def _front(shape):
    return [keras.Input(shape), layers.AveragePooling2D(2), layers.Cropping2D(((0, 0), (0, shape[1] // 4))),
            layers.UnitNormalization(axis=-1)]


def coefficients(basis, states, chunk=4096):
    """The coefficients (n, k) of many folded states (n, ny, nx, 3) in principal components, in bounded memory."""
    return np.concatenate([basis.encode(states[i:i + chunk]) for i in range(0, len(states), chunk)])


def train_decoder(basis, c, validation, folder=None, *, latent=16, widths=WIDTHS, epochs=40, batch=256,
                  learning_rate=6e-3, warmup=0.02, seed=0, callback=None, progress=True):
    """Train what follows from the first principal components: returns (closure, history).

    basis: a `pca.PCA` of folded states. c, validation: coefficients (n, k) of states in it. latent: of these k are known;
    the closure, a `keras.Sequential`, gives the others, (n, k - latent), from them. widths: of its hidden layers.
    folder, epochs, batch, learning_rate, warmup, seed: as in `autoencoder.train`.
    The loss is the distance of a state from the one meant, relative to the length of a state: modes are orthonormal, so
    it is that of the coefficients, without the cost of building states.
    history: loss, and "error", the relative L2 error of the validation states at unit length.
    Raises ValueError, naming the argument.
    """
    training.check_counts(latent=latent, batch=batch)
    if c.ndim != 2 or c.shape[1] != len(basis.modes) or not latent < c.shape[1]:
        raise ValueError(f"c: got shape {c.shape}; (n, {len(basis.modes)}) is needed, and a latent of less")
    if validation.shape[1:] != c.shape[1:]:
        raise ValueError(f"validation: got shape {validation.shape}; (n, {c.shape[1]}) is needed")
    length = float(np.sqrt(basis.mean.size / 3))  # of a state, as a vector
    spread = c[:, :latent].std(axis=0)
    model = _network(latent, widths, c.shape[1] - latent, 1000 * seed, gelu,
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

    settings = dict(network="closure", shape=c.shape, latent=latent, widths=widths, batch=batch,
                    learning_rate=learning_rate, warmup=warmup, seed=seed)
    history = training.fit(model, batches, validate, folder, epochs=epochs, settings=settings, callback=callback,
                           progress=progress)
    return _bare(model), history


def train_predictor(latents, fields, t, validation, folder=None, *, widths=WIDTHS, detail=3.0, epochs=60, batch=512,
                    learning_rate=4e-3, warmup=0.02, seed=0, callback=None, progress=True):
    """Train the latent state as a function of field and time: returns (network, history).

    latents: (n, nt, latent), trajectories that all begin in one state, each in a constant field. fields: (n, 3), mu0*H
    in T. t: (nt,) in s. validation: (latents, fields) of the validation fields.
    network: a `keras.Sequential` from (n, 3), the field's x and y in T and the time in s, to (n, latent).
    detail: spread of the frequencies of the first layer, by which it sees small changes of its input. widths: of the
    hidden layers. The rest: as in `autoencoder.train`. The loss is the squared distance of latent states.
    history: loss, and "error": the relative L2 error of the validation fields' trajectories.
    Raises ValueError, naming the argument.
    """
    training.check_counts(batch=batch)
    for name, c, b in (("latents", latents, fields), ("validation", *validation)):
        if c.shape != (len(b), len(t), latents.shape[-1]):
            raise ValueError(f"{name}: got shape {c.shape} for {len(b)} fields and {len(t)} times; (n, nt, latent) is needed")
    x, y = inputs(fields, t), latents.reshape(-1, latents.shape[-1])
    middle, half = (x.max(axis=0) + x.min(axis=0)) / 2, (x.max(axis=0) - x.min(axis=0)) / 2
    model = _network(3, widths, y.shape[1], 1000 * seed, sine,
                     layers.Rescaling([float(1 / s) for s in half], [float(-m / s) for m, s in zip(middle, half)]),
                     layers.Rescaling(float(y.std())), detail)
    per = max(1, len(x) // batch)
    training.compile_model(model, training.nadam(learning_rate, epochs * per, warmup),
                           lambda c, out: ops.mean((c - out)**2, axis=-1), min(20, per))
    x_validation, y_validation = inputs(validation[1], t), np.asarray(validation[0])

    def batches(epoch):
        order = np.random.default_rng((seed, epoch)).permutation(len(x))[:per * batch]
        return {"x": x[order], "y": y[order], "batch_size": batch}

    def validate():
        off = model.predict(x_validation, batch_size=4096, verbose=0).reshape(y_validation.shape) - y_validation
        return {"error": np.mean(np.linalg.norm(off, axis=(1, 2)) / np.linalg.norm(y_validation, axis=(1, 2)))}

    settings = dict(network="field and time", shape=latents.shape, widths=widths, detail=detail, batch=batch,
                    learning_rate=learning_rate, warmup=warmup, seed=seed)
    history = training.fit(model, batches, validate, folder, epochs=epochs, settings=settings, callback=callback,
                           progress=progress)
    return _bare(model), history


def inputs(fields, t):
    """What the network of field and time takes for every field (n, 2 or 3) in T and time (nt,) in s: (n * nt, 3)."""
    fields = np.asarray(fields, np.float32)
    return np.column_stack([np.repeat(fields[:, :2], len(t), axis=0), np.tile(t, len(fields))]).astype(np.float32)


def _network(first, widths, last, seed, begin, before, after, detail=None):
    """Hidden layers with an activation `begin`, then gelu, between two layers that scale to and from order one."""
    glorot, normal = keras.initializers.GlorotUniform, keras.initializers.RandomNormal
    dense = [layers.Dense(w, activation=None if k == len(widths) else gelu if k else begin,
                          kernel_initializer=normal(stddev=detail, seed=seed) if detail and not k else glorot(seed + k),
                          bias_initializer=keras.initializers.RandomUniform(-np.pi, np.pi, seed) if detail and not k
                          else "zeros") for k, w in enumerate((*widths, last))]
    return keras.Sequential([keras.Input((first,)), before, *dense, after])


def _bare(model):
    """The same layers without loss and optimizer, which a file of the network should not hold."""
    return keras.Sequential([keras.Input(model.input_shape[1:]), *model.layers])


def networks(basis, closure):
    """Encoder and decoder of the whole film, from principal components of folded states and their closure."""
    ny, nx, _ = basis.mean.shape
    k, flat = len(basis.modes), basis.mean.size
    latent = closure.input_shape[-1]
    modes, mean = basis.modes.reshape(k, flat), basis.mean.ravel()
    project, restore = layers.Dense(latent), layers.Dense(flat)
    encoder = keras.Sequential([*_front((2 * ny, 4 * nx, 3)), layers.Flatten(), project], name="encoder")
    c = keras.Input((latent,))
    x = layers.Reshape((ny, nx, 3))(restore(layers.Concatenate()([c, closure(c)])))
    x = layers.Concatenate(axis=2)([x, ops.flip(x, axis=(1, 2))])
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    decoder = keras.Model(c, layers.UnitNormalization(axis=-1)(x), name="decoder")
    project.set_weights([modes[:latent].T, -modes[:latent] @ mean])
    restore.set_weights([modes, mean])
    return encoder, decoder
