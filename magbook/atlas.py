"""An atlas: the latent state as a function of field and time, from one start. Chapter 7 introduces it.

It knows constant fields and one start, and nothing after its last time; in exchange nothing that it says is fed back, so
that no error grows. Three kinds: a network, after S. Fresca, A. Manzoni, Comput. Methods Appl. Mech. Eng. 388, 114181 (2022);
the thin-plate spline of `baselines`; and both, each where it is better.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.spatial import KDTree

from . import baselines, training
from ._arguments import array, check_counts, instance, number, pair
from ._keras import keras, layers, ops, sine
from .dynamics import Dynamics

WIDTHS = (256, 256, 256, 256)
"""The hidden layers of a network of field and time."""

NEIGHBOURS = 8
"""Training fields around a field that say how rough the spline is there."""


@dataclass(eq=False)
class Atlas(Dynamics):
    """A dynamics that looks up: a network gives the latent state at any field and time.

    network: `keras.Model` from (n, 3), the field's x and y in T and the time in s, to (n, latent). start: (latent,), the
    latent state at t = 0. last: s, after which it knows nothing. every: s between two states of a rollout.
    """

    network: keras.Model
    start: np.ndarray
    last: float
    every: float = 1e-11

    def __post_init__(self):
        self.latent = instance("network", self.network, keras.Model).output_shape[-1]
        training.check_options(every=self.every)
        array("start", self.start, "(latent,)", latent=self.latent)
        number("last", self.last, "s, more than 0, are", 1e-18)
        if self.network.input_shape[1:] != (3,):
            raise ValueError(f"network: it takes {self.network.input_shape[1:]}; field and time, (3,), are needed")

    def rollout(self, first: np.ndarray, fields: np.ndarray) -> np.ndarray:
        """Latent states (n, nt, latent), see `Dynamics.rollout`; a field that changes, and another start, are refused."""
        first, fields = self.checked(first, fields)
        b = _constant(fields, first, self.start)
        t = self.every * np.arange(1, fields.shape[1])
        x = inputs(b, t)
        c = np.empty((len(x), self.latent), np.float32)
        for i in range(0, len(x), 12800):  # the networks are wide, and a hundred trajectories at a time fill the cores
            c[i:i + 12800] = np.asarray(self.network.predict_on_batch(x[i:i + 12800]))
        return np.concatenate([first, c.reshape(len(b), len(t), self.latent)], axis=1)

    def networks(self) -> dict:
        """The network, from the field's x and y in T and the time in s, (n, 3), to the latent state."""
        return {"predictor": self.network}


@dataclass(eq=False)
class Spline(Dynamics):
    """A dynamics that interpolates: the thin-plate spline through the latent trajectories of the training fields.

    fields: (n, 2), mu0*H in T, of the training. amplitudes: (n, k), and patterns: (k, nt, latent), whose product are their
    trajectories from `every` on: k patterns in time hold them. start: (latent,), the latent state at t = 0.
    """

    fields: np.ndarray
    amplitudes: np.ndarray
    patterns: np.ndarray
    start: np.ndarray
    every: float = 1e-11

    def __post_init__(self):
        self.fields = array("fields", self.fields, "(n, 2 or 3)").astype(float)
        self.amplitudes = array("amplitudes", self.amplitudes, "(n, k)", n=len(self.fields)).astype(float)
        self.patterns = array("patterns", self.patterns, "(k, nt, latent)", k=self.amplitudes.shape[1]).astype(float)
        array("start", self.start, "(latent,)", latent=self.patterns.shape[2])
        training.check_options(every=self.every)
        self.latent, self.last = self.patterns.shape[2], self.every * self.patterns.shape[1]

    @cached_property
    def surface(self) -> Callable:
        """From fields (n, 2) to amplitudes (n, k)."""
        return baselines.spline(self.fields, self.amplitudes)

    @cached_property
    def left_out(self) -> np.ndarray:
        """How far off the spline is at each training field if that one is left out, (n,), as a share of a trajectory's length."""
        off = np.linalg.norm(baselines.spline_left_out(self.fields, self.amplitudes), axis=1)
        return off / np.sqrt(np.mean(np.sum(self.amplitudes**2, axis=1)))

    @cached_property
    def tree(self) -> KDTree:
        """The training fields, as `roughness` searches them."""
        return KDTree(baselines.coordinates(self.fields))

    def roughness(self, fields: np.ndarray) -> np.ndarray:
        """How fast the film changes with the field about fields (n, 2): the mean of `left_out` at the nearest training fields."""
        count = range(1, min(NEIGHBOURS, len(self.fields)) + 1)
        nearest = self.tree.query(baselines.coordinates(fields, "fields"), count)[1]
        return self.left_out[nearest].mean(axis=1)

    def rollout(self, first: np.ndarray, fields: np.ndarray) -> np.ndarray:
        """Latent states (n, nt, latent), see `Dynamics.rollout`; a field that changes, and another start, are refused."""
        first, fields = self.checked(first, fields)
        b = _constant(fields, first, self.start)
        nt = fields.shape[1] - 1
        c = self.surface(b) @ self.patterns.reshape(len(self.patterns), -1)[:, :nt * self.latent]  # a view, where a slice in time would be copied
        return np.concatenate([first, c.reshape(len(b), nt, self.latent).astype(np.float32)], axis=1)


@dataclass(eq=False)
class Hybrid(Dynamics):
    """A dynamics that asks one of two: the spline where the film changes slowly with the field, networks where it changes fast.

    slow: a `Spline`. fast: an `Atlas`, or an ensemble of them. limit: the roughness of the spline above which the networks
    are asked; it was chosen on validation fields. coverage: as in `dynamics.Ensemble`, for the band of this answer.
    Raises ValueError where the two differ in latent or every.
    """

    slow: Spline
    fast: Dynamics
    limit: float
    coverage: float = 2.0

    def __post_init__(self):
        for name, part in (("slow", self.slow), ("fast", self.fast)):
            instance(name, part, Dynamics)
        for name, value in (("limit", self.limit), ("coverage", self.coverage)):
            number(name, value)
        one, other = ((part.latent, part.every) for part in (self.slow, self.fast))
        if one != other:
            raise ValueError(f"slow: its (latent, every) are {one}, those of fast {other}")
        (self.latent, self.every), self.last = one, min(self.fast.last, self.slow.last)

    def asks_fast(self, fields: np.ndarray) -> np.ndarray:
        """Are the networks asked at fields (n, 2 or 3)? Booleans (n,)."""
        return self.slow.roughness(fields) > self.limit

    def rollout(self, first: np.ndarray, fields: np.ndarray) -> np.ndarray:
        """Latent states (n, nt, latent), see `Dynamics.rollout`; a field that changes, and another start, are refused."""
        first, fields = self.checked(first, fields)
        fast = self.asks_fast(fields[:, 0])
        c = np.empty((*fields.shape[:2], self.latent), np.float32)
        for one, here in ((self.fast, fast), (self.slow, ~fast)):
            if here.any():
                c[here] = one.rollout(first[here], fields[here])
        return c

    def rollouts(self, first: np.ndarray, fields: np.ndarray) -> np.ndarray:
        """The members of the networks, moved so that their mean is the answer: what they disagree about doubts the spline too."""
        members = self.fast.rollouts(first, fields)
        return members + (self.rollout(first, fields) - members.mean(axis=0))

    def networks(self) -> dict:
        """Those of `fast`; a spline is no network."""
        return self.fast.networks()


def compress(latents: np.ndarray, k: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Trajectories (n, nt, latent) as amplitudes (n, k) of patterns (k, nt, latent), by singular values."""
    check_counts(k=k)
    latents = array("latents", latents, "(n, nt, latent)", finite=True)
    u, s, v = np.linalg.svd(latents.reshape(len(latents), -1), full_matrices=False)
    return u[:, :k] * s[:k], v[:k].reshape(-1, *latents.shape[1:])


def train(latents: np.ndarray, fields: np.ndarray, t: np.ndarray, validation: tuple, start: np.ndarray,
          folder: str | Path | None = None, *, widths: tuple = WIDTHS, detail: float = 3.0, epochs: int = 60, batch: int = 512,
          learning_rate: float = 4e-3, warmup: float | None = 0.02, seed: int = 0, callback: Callable | None = None,
          progress: bool = True) -> tuple[Atlas, list]:
    """Train the latent state as a function of field and time: returns (atlas, history).

    latents: (n, nt, latent), trajectories that all begin in one state, each in a constant field. fields: (n, 3), mu0*H
    in T. t: (nt,) in s, even and without the start. validation: (latents, fields) of the validation fields.
    start: (latent,), the latent state of the start.
    detail: spread of the frequencies of the first layer, by which it sees small changes of its input. widths: of the
    hidden layers. The rest: as in `autoencoder.train`. The loss is the squared distance of latent states.
    history: loss, and "error": the relative L2 error of the validation fields' trajectories.
    Raises ValueError, naming the argument.
    """
    training.check_options(folder=folder, widths=widths, detail=detail, epochs=epochs, batch=batch, learning_rate=learning_rate,
                           warmup=warmup, seed=seed, callback=callback)
    latents, t = array("latents", latents, "(n, nt, latent)", finite=True), array("t", t, "(nt,)", finite=True)
    start = array("start", start, "(latent,)", finite=True, latent=latents.shape[2])
    fields = array("fields", fields, "(n, 2 or 3)", finite=True)
    test = pair("validation", validation)
    validation = array("validation", test[0], finite=True), array("validation", test[1], "(n, 2 or 3)", finite=True)
    for name, c, b in (("latents", latents, fields), ("validation", *validation)):
        if c.shape != (len(b), len(t), latents.shape[-1]):
            raise ValueError(f"{name}: got shape {c.shape} for {len(b)} fields and {len(t)} times; (n, nt, latent) is needed")
    x, y = inputs(fields, t), latents.reshape(-1, latents.shape[-1])
    middle, half = (x.max(axis=0) + x.min(axis=0)) / 2, (x.max(axis=0) - x.min(axis=0)) / 2
    model = training.dense(3, widths, y.shape[1], 1000 * int(seed), sine,
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

    settings = dict(network="field and time", shape=latents.shape, data=training.fingerprint(x, y, x_validation, y_validation), widths=widths, detail=detail, batch=batch,
                    learning_rate=learning_rate, warmup=warmup, seed=seed)
    history = training.fit(model, batches, validate, folder, epochs=epochs, settings=settings, callback=callback,
                           progress=progress)
    return Atlas(training.bare(model), np.asarray(start, np.float32), float(t[-1]), float(t[0])), history


def inputs(fields: np.ndarray, t: np.ndarray) -> np.ndarray:
    """What the network of field and time takes for every field (n, 2 or 3) in T and time (nt,) in s: (n * nt, 3)."""
    fields, t = array("fields", fields, "(n, 2 or 3)").astype(np.float32), array("t", t, "(nt,)")
    return np.column_stack([np.repeat(fields[:, :2], len(t), axis=0), np.tile(t, len(fields))]).astype(np.float32)


def _constant(fields, first, start):
    """The constant fields (n, 2) of runs that begin in `start`; anything else is refused."""
    if len(fields) and np.ptp(fields, axis=1).max() > 1e-9:
        raise ValueError("field: it changes in time; an atlas knows constant fields alone")
    if np.abs(first[:, 0] - start).max() > 1e-2 * np.abs(start).max():
        raise ValueError("start: this model knows the trajectories from one start, the film's S-state; leave start out")
    return fields[:, 0]
