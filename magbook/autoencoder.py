"""The autoencoder: 64 x 256 x 3 numbers to 16 and back, by convolutions. Chapter 3 introduces it.

A. Kovacs et al., Learning magnetization dynamics, J. Magn. Magn. Mater. 491, 165548 (2019), Table 1.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from . import training
from ._arguments import array, is_count, said
from ._keras import Conv2DTranspose, keras, layers, ops
from .dataset import as_float

FILTERS = (16, 32, 64, 128, 256, 512)
"""Table 1: the filters of the six convolutions; each halves the grid in both directions."""

WEIGHTS = (1.0, 1.0, 10.0)
"""What an error of mx, my and mz costs: in a soft film mz is small, and would else not be learned."""


def build(latent: int = 16, shape: tuple = (64, 256, 3), filters: tuple = FILTERS, *, activation: str = "elu",
          dropout: float = 0.1, seed: int = 0) -> tuple[keras.Sequential, keras.Sequential]:
    """The encoder and the decoder of Table 1, untrained: two `keras.Sequential`.

    latent: numbers that a state is squeezed into. shape: (ny, nx, 3); both must divide by 2 as often as there are
    filters. Convolutions have stride 2, a kernel of 4 x 4 first and last and of 2 x 2 between.
    Raises ValueError for a shape that cannot be halved so often.
    """
    training.check_options(latent=latent, filters=filters, dropout=dropout, seed=seed)
    latent, seed = int(latent), int(seed)
    if not filters or len(filters) > 30:
        raise ValueError(f"filters: got {said(filters)}; at least one is needed, for each of which the grid is halved")
    if not (isinstance(shape, (tuple, list)) and len(shape) == 3 and all(is_count(n, 0) for n in shape)):
        raise ValueError(f"shape: got {said(shape)}; (ny, nx, 3) is needed")
    ny, nx, components = shape
    half = 2 ** len(filters)
    if components != 3 or ny % half or nx % half or not ny or not nx:
        raise ValueError(f"shape: got {shape}; (ny, nx, 3) with ny and nx divisible by {half} is needed "
                         f"for {len(filters)} convolutions")
    small = (ny // half, nx // half, filters[-1])
    flat = int(np.prod(small))
    seeds = iter(range(1000 * seed, 1000 * seed + 1000))

    def weighted(layer, *args, **options):
        return layer(*args, kernel_initializer=keras.initializers.GlorotUniform(next(seeds)), **options)

    def conv(layer, n, kernel, activation=activation):
        return weighted(layer, n, kernel, strides=2, padding="same", activation=activation)

    encoder = keras.Sequential([
        keras.Input(shape),
        conv(layers.Conv2D, filters[0], 4),
        *(conv(layers.Conv2D, n, 2) for n in filters[1:]),
        layers.Flatten(),
        layers.Dropout(dropout, seed=next(seeds)),
        weighted(layers.Dense, latent, activation=activation)], name="encoder")
    decoder = keras.Sequential([
        keras.Input((latent,)),
        weighted(layers.Dense, flat, activation=activation),
        layers.Dropout(dropout, seed=next(seeds)),
        layers.Reshape(small),
        *(conv(Conv2DTranspose, n, 2) for n in filters[-2::-1]),
        conv(Conv2DTranspose, 3, 4, "tanh")], name="decoder")
    return encoder, decoder


def loss(m: Any, m_out: Any, weights: tuple = WEIGHTS, length: float = 1.0) -> Any:
    r"""L1 + L2 of the paper, averaged over the cells instead of summed: (...) from states (..., ny, nx, 3).

    $$L_1 = \sum_c w_c |m_c - \tilde m_c|, \qquad L_2 = \big|\, |\tilde m| - 1 \,\big|$$

    The paper prints L2 without the outer bars; chapter 3 shows what that does. weights: of x, y and z.
    length: weight of L2.
    """
    l1 = ops.sum(ops.abs(m - m_out) * ops.array(weights, "float32"), axis=-1)
    # The tiny number keeps the slope of the root finite at zero length
    l2 = ops.abs(ops.sqrt(ops.sum(m_out**2, axis=-1) + 1e-12) - 1)
    return ops.mean(l1 + length * l2, axis=(-2, -1))


def train(states: np.ndarray, validation: np.ndarray, folder: str | Path | None = None, *, latent: int = 16,
          filters: tuple = FILTERS, weights: tuple = WEIGHTS, length: float = 1.0, activation: str = "elu", dropout: float = 0.1,
          without_dropout: float = 0.0, epochs: int = 60, updates: int | None = None, batch: int = 32, learning_rate: float = 2e-3,
          warmup: float | None = 0.02, seed: int = 0, begin: tuple | None = None, callback: Callable | None = None,
          progress: bool = True) -> tuple[keras.Sequential, keras.Sequential, list]:
    """Train an autoencoder; returns (encoder, decoder, history).

    states, validation: (n, ny, nx, 3), unit vectors as floats or as a data set stores them (16-bit, `dataset.states`).
    folder: where the training is kept and resumed from, as in `training.fit`; None for nowhere.
    latent, filters, activation, dropout: as `build` takes them. weights, length: as `loss` takes them.
    without_dropout: the share of the epochs, the last ones, without dropout. It keeps weights from leaning on each other, but it
    is noise, and a fit that is to become precise must do without. epochs: passes over the states; with `updates`, each
    of so many updates instead, whatever the number of states. batch: states an update. learning_rate, warmup: as
    `training.nadam` takes them; the paper's is 1e-4, constant (warmup=None).
    seed: of the first weights, the order of the states and the dropout. begin: an (encoder, decoder) that was trained, with another
    latent, say: layers whose weights have the same shapes begin with its weights.
    callback, progress: as in `training.fit`. history: loss, and on the validation states "error", the relative L2
    error, and "validation", the loss.
    Raises ValueError for states of another shape or with values that are not finite.
    """
    training.check_options(folder=folder, latent=latent, filters=filters, length=length, dropout=dropout, without_dropout=without_dropout, epochs=epochs,
                           **({} if updates is None else {"updates": updates}), batch=batch, learning_rate=learning_rate, warmup=warmup, seed=seed, callback=callback)
    array("weights", weights, "(3,)", finite=True)
    states, validation = _states("states", states), _states("validation", validation)
    if states.shape[1:] != validation.shape[1:]:
        raise ValueError(f"validation: got states of shape {validation.shape[1:]}; the training states have "
                         f"{states.shape[1:]}")
    encoder, decoder = build(latent, states.shape[1:], filters, activation=activation, dropout=dropout, seed=seed)
    if begin is not None:
        _take_over((encoder, decoder), begin)
    model = keras.Sequential([encoder, decoder])
    steps = epochs * (updates or max(1, len(states) // batch))
    training.compile_model(model, training.nadam(learning_rate, steps, warmup), lambda m, out: loss(m, out, weights, length))

    def make(i):
        m = as_float(states[i])
        return m, m

    def batches(epoch):
        if epoch >= round((1 - without_dropout) * epochs):
            training.set_dropout(model, (encoder, decoder), 0.0)
        return {"x": training.Batches(len(states), batch, make, (seed, epoch), updates)}

    def validate():
        total, wrong, cost = 0.0, 0.0, 0.0
        for i in range(0, len(validation), batch):
            m = as_float(validation[i:i + batch])
            out = model.predict_on_batch(m)
            total, wrong = total + np.sum(m**2, dtype=float), wrong + np.sum((out - m)**2, dtype=float)
            cost += float(ops.sum(loss(m, out, weights, length)))
        return {"error": np.sqrt(wrong / total), "validation": cost / len(validation)}

    settings = dict(network="autoencoder", states=states.shape, data=training.fingerprint(states, validation), latent=latent, filters=filters, weights=weights,
                    length=length, activation=activation, dropout=dropout, without_dropout=without_dropout, **({} if updates is None else {"updates": updates}), batch=batch,
                    learning_rate=learning_rate, warmup=warmup, seed=seed,
                    **({} if begin is None else {"begin": training.fingerprint(*(w for network in begin for w in network.get_weights()))}))
    history = training.fit(model, batches, validate, folder, epochs=epochs, settings=settings, callback=callback,
                           progress=progress)
    training.set_dropout(model, (encoder, decoder), dropout)
    return encoder, decoder, history


def _take_over(networks, begin):
    """Give layers the weights that other networks have at their places, where the shapes are the same."""
    if not (isinstance(begin, (tuple, list)) and [type(one) for one in begin] == [keras.Sequential] * 2):
        raise TypeError(f"begin: got {said(begin)}; an encoder and a decoder, as `train` returns them, are needed")
    for network, other in zip(networks, begin):
        for layer, trained in zip(network.layers, other.layers):
            weights = trained.get_weights()
            if [w.shape for w in layer.get_weights()] == [w.shape for w in weights]:
                layer.set_weights(weights)


def _states(name, states):
    states = array(name, states, "(n, ny, nx, 3)")
    if not len(states):
        raise ValueError(f"{name}: got shape {states.shape}; (n, ny, nx, 3) is needed")
    if states.dtype != np.int16 and not np.isfinite(states).all():
        raise ValueError(f"{name}: it holds values that are not finite")
    return states
