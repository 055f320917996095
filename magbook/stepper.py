"""The stepper: the next latent state from the last four and the applied field, again and again. Chapter 4 introduces it.

The paper calls its network the predictor. A. Kovacs et al., Learning magnetization dynamics, J. Magn. Magn. Mater. 491, 165548 (2019), Table 2.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import applied, training
from ._arguments import array, instance, number, pair, truth
from ._keras import keras, layers, ops
from .dynamics import Dynamics

HISTORY = 4
"""Latent states that the predictor looks at: the present one and three before it."""

FIELD_SCALE = 10e-3
"""The predictor is given the applied field in units of 10 mT, so that its inputs are of order one."""

WIDTHS = (64, 64, 32, 32, 16)
"""Table 2: the widths of the hidden layers, with a dropout after each pair. The output has the width of the latent."""


def build(latent: int = 16, widths: tuple = WIDTHS, *, residual: bool = False, activation: str = "elu", dropout: float = 0.02,
          seed: int = 0) -> keras.Sequential:
    """The network of Table 2, untrained: a `keras.Sequential` from (n, 2 + 4 latent) to (n, latent).

    The input is the field's x and y in units of `FIELD_SCALE`, then four latent states, the oldest first. The output is
    the next latent state; of a residual network it is the change from the last, and its last layer is linear.
    """
    training.check_options(latent=latent, widths=widths, dropout=dropout, seed=seed)
    latent, seed, residual = int(latent), int(seed), truth("residual", residual)
    stack = [keras.Input((2 + HISTORY * latent,))]
    for k, width in enumerate((*widths, latent)):
        initial = keras.initializers.GlorotUniform(1000 * seed + 2 * k)
        linear = residual and k == len(widths)
        stack.append(layers.Dense(width, activation=None if linear else activation, kernel_initializer=initial))
        if k % 2 and k < len(widths):
            stack.append(layers.Dropout(dropout, seed=1000 * seed + 2 * k + 1))
    return keras.Sequential(stack, name="predictor")


def look_ahead(network: keras.Model, steps: int, residual: bool = False) -> keras.Model:
    """A Keras model that applies the network `steps` times to its own output.

    From [fields (n, 2), first four states (n, 4, latent)] to the states that follow, (n, steps, latent).
    """
    training.check_options(steps=steps)
    residual = truth("residual", residual)
    latent = instance("network", network, keras.Model).output_shape[-1]
    field, first = keras.Input((2,)), keras.Input((HISTORY, latent))
    states = [first[:, k] for k in range(HISTORY)]
    for _ in range(steps):
        out = network(ops.concatenate([field, *states[-HISTORY:]], axis=-1))
        states.append(states[-1] + out if residual else out)
    return keras.Model([field, first], ops.stack(states[HISTORY:], axis=1))


def loss(c: Any, c_out: Any) -> Any:
    """The look-ahead loss of the paper: squared distances of latent states (..., steps, latent), summed over steps."""
    return ops.sum((c - c_out)**2, axis=(-2, -1))


@dataclass(eq=False)
class Stepper(Dynamics):
    """A dynamics that steps: the network looks at four latent states and the field, and its answer is the next of the four.

    network: `keras.Model` from (n, 2 + 4 latent) to (n, latent), as `build` makes it. scale: by which latent states are
    divided before the network sees them. residual: as `build` was told. every: s between two states.
    Raises ValueError where the network is not of this kind.
    """

    network: keras.Model
    scale: float
    residual: bool = False
    every: float = 1e-11

    history = HISTORY

    def __post_init__(self):
        self.latent = instance("network", self.network, keras.Model).output_shape[-1]
        self.residual = truth("residual", self.residual)
        number("scale", self.scale, "a number greater than 0 is", 1e-30)
        training.check_options(every=self.every)
        if self.network.input_shape[1:] != (2 + HISTORY * self.latent,):
            raise ValueError(f"network: it goes from {self.network.input_shape[1:]} to {self.network.output_shape[1:]}; "
                             f"from (2 + {HISTORY} latent,) to (latent,) is needed")
        elu = keras.activations.elu
        hidden = self.network.layers[:-1] if self.residual else self.network.layers
        if any(getattr(layer, "activation", elu) is not elu for layer in hidden):
            raise ValueError("network: it has an activation other than elu, the one that a rollout computes")
        self._weights = self.network.get_weights()

    def rollout(self, first: np.ndarray, fields: np.ndarray) -> np.ndarray:
        """Latent states (n, nt, latent), see `Dynamics.rollout`. Each step is given the field at its beginning.

        The start itself is not looked at: the networks of the paper never saw it.
        """
        first, fields = self.checked(first, fields)
        c = np.empty((*fields.shape[:2], self.latent), np.float32)
        c[:, :1 + HISTORY] = first
        # 128 rows: the work stays in the cache, and below the size at which matrix products wake more threads, which
        # takes longer than they do
        for i in range(0, len(c), 128):
            part = c[i:i + 128, 1:]
            part[:, :HISTORY] /= np.float32(self.scale)
            with np.errstate(over="ignore", invalid="ignore"):
                _roll(self._weights, part, fields[i:i + 128, HISTORY:] / FIELD_SCALE, self.residual)
                part *= np.float32(self.scale)
        c[:, :1 + HISTORY] = first
        return c

    def networks(self) -> dict:
        """The predictor, from mu0*H in T, (n, 2), and four latent states, (n, 4, latent), the oldest first, to the next."""
        field, first = keras.Input((2,), name="field"), keras.Input((HISTORY, self.latent), name="latents")
        scaled = ops.reshape(first / self.scale, (-1, HISTORY * self.latent))
        out = self.network(ops.concatenate([field / FIELD_SCALE, scaled], axis=-1)) * self.scale
        return {"predictor": keras.Model([field, first], first[:, -1] + out if self.residual else out)}


def _roll(weights, states, fields, residual):
    """Fill states (n, nt, latent), of which the first four are there, step by step. fields: (n, nt - 3, 2), as the network takes them.

    Plain NumPy: for a network this small, starting a Keras model costs a hundred times more than the six matrix products
    of a step.
    """
    n, nt, latent = states.shape
    x = np.empty((n, 2 + HISTORY * latent), np.float32)
    for k in range(HISTORY, nt):
        x[:, :2] = fields[:, k - HISTORY]
        x[:, 2:] = states[:, k - HISTORY:k].reshape(n, -1)
        y = x
        for i in range(0, len(weights), 2):
            y = y @ weights[i] + weights[i + 1]
            if not (residual and i == len(weights) - 2):
                y = np.maximum(y, np.exp(np.minimum(y, 0)) - 1)  # elu
        states[:, k] = states[:, k - 1] + y if residual else y


def train(latents: np.ndarray, fields: np.ndarray, validation: tuple, folder: str | Path | None = None, *, steps: int = 8,
          widths: tuple = WIDTHS, residual: bool = False, dropout: float = 0.02, without_dropout: float = 0.0, noise: float = 0.0,
          epochs: int = 100, updates: int = 500, batch: int = 256, learning_rate: float = 1e-3, warmup: float | None = 0.02,
          seed: int = 0, every: float = 1e-11, callback: Callable | None = None, progress: bool = True) -> tuple[Stepper, list]:
    """Train a predictor on latent trajectories; returns (stepper, history).

    latents: (n, nt, latent), one trajectory for each field, evenly spaced in time. fields: (n, 3), mu0*H in T.
    validation: the same pair for the validation fields. folder: as in `training.fit`.
    steps: how far the loss looks ahead. noise: standard deviation of the Gaussian noise on the first four states of a
    window, in units of the scale. widths, residual, dropout: as `build` takes them. without_dropout: as in `autoencoder.train`.
    epochs: of `updates` steps of the optimizer each, with windows drawn at random. learning_rate, warmup: as in
    `training.nadam`. seed: of the first weights, the windows, the noise and the dropout.
    every: s between two states of a trajectory.
    The stepper's scale is the standard deviation of the latents. Unscaled they reach a hundred, and first weights are
    drawn for inputs of order one.
    history: loss, and "error": the relative L2 error of the validation fields' whole rollouts. A good loss over a few
    steps says little about a hundred, so the best weights are chosen by that.
    Raises ValueError, naming the argument, for shapes that do not fit and values that are not finite.
    """
    training.check_options(folder=folder, steps=steps, widths=widths, dropout=dropout, without_dropout=without_dropout, noise=noise, epochs=epochs,
                           updates=updates, batch=batch, learning_rate=learning_rate, warmup=warmup, seed=seed, every=every, callback=callback)
    residual = truth("residual", residual)
    latents, fields = _trajectories("latents", latents, fields)
    test, test_fields = _trajectories("validation", *pair("validation", validation))
    n, nt, latent = latents.shape
    if test.shape[1:] != latents.shape[1:]:
        raise ValueError(f"validation: got trajectories of shape {test.shape[1:]}; those of the training have "
                         f"{latents.shape[1:]}")
    if nt < HISTORY + steps:
        raise ValueError(f"steps: got {steps}; trajectories of {nt} states allow at most {nt - HISTORY}")
    scale = float(latents.std())
    latents, test = latents / np.float32(scale), test / np.float32(scale)
    network = build(latent, widths, residual=residual, dropout=dropout, seed=seed)
    model = look_ahead(network, steps, residual)
    # The network is small: without several updates in a call, half the time goes into calling
    training.compile_model(model, training.nadam(learning_rate, epochs * updates, warmup), loss, min(50, updates))
    inputs = (fields[:, :2] / FIELD_SCALE).astype(np.float32)
    test_inputs = np.repeat(test_fields[:, None, :2] / FIELD_SCALE, nt, axis=1)

    def batches(epoch):
        if epoch >= round((1 - without_dropout) * epochs):
            training.set_dropout(model, (network,), 0.0)
        rng = np.random.default_rng((seed, epoch))
        run = rng.integers(n, size=updates * batch)
        window = latents[run[:, None], rng.integers(nt - HISTORY - steps + 1, size=run.size)[:, None]
                         + np.arange(HISTORY + steps)]
        first = window[:, :HISTORY] + noise * rng.standard_normal((run.size, HISTORY, latent), np.float32)
        return dict(x=[inputs[run], first], y=window[:, HISTORY:], batch_size=batch)

    def validate():
        with np.errstate(over="ignore", invalid="ignore"):
            states = np.concatenate([test[:, :HISTORY], np.empty_like(test[:, HISTORY:])], axis=1)
            _roll(network.get_weights(), states, test_inputs, residual)
            out = states[:, HISTORY:]
            wrong = np.linalg.norm(out - test[:, HISTORY:], axis=(1, 2)) / np.linalg.norm(test[:, HISTORY:], axis=(1, 2))
        return {"error": np.mean(np.minimum(np.nan_to_num(wrong, nan=1e3), 1e3))}

    settings = dict(network="predictor", latents=latents.shape, data=training.fingerprint(latents, inputs, test, test_inputs), steps=steps, widths=widths, residual=residual,
                    dropout=dropout, without_dropout=without_dropout, noise=noise, updates=updates, batch=batch,
                    learning_rate=learning_rate, warmup=warmup, seed=seed)
    history = training.fit(model, batches, validate, folder, epochs=epochs, settings=settings, callback=callback,
                           progress=progress)
    training.set_dropout(model, (network,), dropout)
    return Stepper(network, scale, residual, every), history


def _trajectories(name, latents, fields):
    latents = array(name, latents).astype(np.float32)
    if latents.ndim != 3 or latents.shape[1] <= HISTORY or not len(latents):
        raise ValueError(f"{name}: got shape {latents.shape}; (n, nt, latent) with more than {HISTORY} times is needed")
    fields = array("fields" if name == "latents" else name, fields, "(...)")
    if not fields.ndim or len(fields) != len(latents):
        raise ValueError(f"{name}: got {len(fields) if fields.ndim else 'a number for'} fields for {len(latents)} trajectories; one for each is needed")
    if not np.isfinite(latents).all():
        raise ValueError(f"{name}: it holds values that are not finite")
    return latents, np.array([applied.vector(b) for b in fields])
