"""A film that can be driven: a latent state that steps in any field, from any start. Chapter 8 introduces it.

A state of an even film is written in principal components that are even or odd in its images, so that an image of a
state is the same numbers with other signs. A network, trained on its own rollouts, gives the change in 10 ps from the state
and the mean of the applied field over them. It needs no state of the solver but the start.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse.linalg import eigsh

from . import llg, training
from ._arguments import array, check_counts, instance, listed, number, pair, said
from ._keras import gelu, keras, layers, ops
from ._tanh import tangent
from .dataset import as_float
from .demag import compiled
from .dynamics import Dynamics
from .files import as_path
from .film import Film

WIDTHS = (256, 256, 256)
"""The hidden layers of the network that steps."""

FIELD_SCALE = 20e-3
"""The network sees the applied field in units of 20 mT."""

GAIN = 0.3
"""The change that the network gives is of this order, in units of its latent inputs."""

STAGES: tuple[dict[str, Any], ...] = (
    {"steps": 1, "epochs": 10, "updates": 200, "batch": 256, "learning_rate": 2e-3},
    {"steps": 4, "epochs": 30, "updates": 200, "batch": 128, "learning_rate": 1.5e-3},
    {"steps": 16, "epochs": 50, "updates": 200, "batch": 64, "learning_rate": 1e-3},
    {"steps": 32, "epochs": 40, "updates": 100, "batch": 64, "learning_rate": 5e-4},
)
"""How far the training looks ahead, from stage to stage."""

HALF, ONE, CUBE, GELU = (np.float32(v) for v in (0.5, 1, 0.044715, np.sqrt(2 / np.pi)))

IMAGES = ((1, 1), (1, -1), (-1, 1), (-1, -1))
"""The signs of the applied field's x and y in the four images of a run: itself, turned about the long axis, the short one, and both."""


def image(m: np.ndarray, x: int, y: int) -> np.ndarray:
    """The image of states (..., ny, nx, 3) that moves in the field (x hx, y hy) as the states do in (hx, hy); x and y are 1 or -1.

    The film is turned by half a turn about its long axis, which reverses hy, about its short one, which reverses hx, or both.
    """
    m = array("m", m, "(..., ny, nx, 3)")
    for name, sign in (("x", x), ("y", y)):
        if number(name, sign) not in (1, -1):
            raise ValueError(f"{name}: got {said(sign)}; 1 or -1 is needed")
    if y < 0:
        m = m[..., ::-1, :, :] * np.array([1, -1, -1], m.dtype)
    if x < 0:
        m = m[..., ::-1, :] * np.array([-1, 1, -1], m.dtype)
    return m


def components(states: np.ndarray, k: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """The first k principal components (k, ny, nx, 3) of states (n, ny, nx, 3) and of their images, without a mean, and their parities.

    The components of such a set are even or odd in each image: its parities (k, 2) are the signs that a coefficient
    takes where the field's x, and where its y, changes sign. They are found for each pair of signs alone, on a quarter of the film.
    """
    states = array("states", states, "(n, ny, nx, 3)", finite=True)
    check_counts(k=k)
    n, ny, nx, _ = states.shape
    if n < 1 or ny % 2 or nx % 2 or nx * ny < 4:
        raise ValueError(f"states: got shape {states.shape}; an even number of cells each way is needed")
    if k > 3 * nx * ny // 8:
        raise ValueError(f"k: got {k}; at most {3 * nx * ny // 8} of so few cells are needed")
    found = []
    for px, py in IMAGES:
        x = np.concatenate([_part(as_float(states[i:i + 500]), px, py)[:, :ny // 2, :nx // 2] for i in range(0, len(states), 500)])
        x = x.reshape(len(x), -1)
        values, vectors = eigsh((x.T @ x / len(x)).astype(float), min(k, x.shape[1] - 1), v0=np.ones(x.shape[1]))
        found += [(value, v.reshape(ny // 2, nx // 2, 3), px, py) for value, v in zip(values, vectors.T)]
    found = sorted(found, key=lambda one: -one[0])[:k]
    whole = np.zeros((k, ny, nx, 3), np.float32)
    for one, (_, quarter, px, py) in zip(whole, found):
        one[:ny // 2, :nx // 2] = quarter
        one[:] = _part(one, px, py)
        one *= np.sqrt(nx * ny) / np.linalg.norm(one)
    return whole, np.array([(px, py) for *_, px, py in found])


def _part(m, px, py):
    """The part of states (..., ny, nx, 3) that is even under inversion and has these parities."""
    m = (m + m[..., ::-1, ::-1, :]) / 2
    return (m + px * image(m, -1, 1) + py * image(m, 1, -1) + px * py * image(m, -1, -1)) / 4


# ---------------------------------------------------------------------------- the dynamics


@dataclass(eq=False)
class Driven(Dynamics):
    """A dynamics that steps in any field, from any latent state: a network gives the change from one state to the next.

    It is asked about one image of each state only, that in which the film's mean points to the upper right, and answers for all
    four: images are exact. network: `keras.Model` from (n, latent + 2), a latent state and the mean of mu0*H in T over
    the interval, to (n, latent), the change. parities: (latent, 2), as `components` gives them; None for a network that is asked
    about all states as they are, and knows no symmetry. readout: (latent, 3), whose
    product with a latent state is its film average. every: s between two states. Raises ValueError where they do not fit.
    """

    network: keras.Model
    parities: np.ndarray | None
    readout: np.ndarray
    every: float = 1e-11

    means = True

    def __post_init__(self):
        self.latent = instance("network", self.network, keras.Model).output_shape[-1]
        training.check_options(every=self.every)
        self.parities = None if self.parities is None else _parities(self.parities, self.latent)
        self.readout = array("readout", self.readout, "(latent, 3)", latent=self.latent).astype(np.float32)
        if self.network.input_shape[1:] != (self.latent + 2,):
            raise ValueError(f"network: it takes {self.network.input_shape[1:]}; a latent state and a field, ({self.latent + 2},), are needed")
        if self.parities is not None:
            follows = [(self.parities == signs).all(axis=1) for signs in ((-1, 1), (1, -1), (-1, -1))]  # of mx, my and mz
            if np.abs(self.readout[~np.stack(follows, axis=1)]).max(initial=0) > 1e-3:
                raise ValueError("readout: a film average is read from coefficients whose parities are another's; those of `components` are needed")
        self._weights = _weights(self.network)
        parities = np.ones((self.latent, 2)) if self.parities is None else self.parities
        leading = (0, 0) if self.parities is None else tuple(_leading(self.parities))  # what `_roll` takes
        self._compiled = (tuple(self._weights[::2]), tuple(self._weights[1::2]), self.parities is not None, leading, parities < 0)

    def rollout(self, first: np.ndarray, fields: np.ndarray) -> np.ndarray:
        """Latent states (n, nt, latent), see `Dynamics.rollout`: fields[:, k] is the mean over the interval that ends at the k-th time."""
        first, fields = self.checked(first, fields)
        c = np.empty((*fields.shape[:2], self.latent), np.float32)
        c[:, :1] = first
        for i in range(0, len(c), 128):  # as in `stepper`
            _roll(*self._compiled, c[i:i + 128], fields[i:i + 128].astype(np.float32))
        return c

    def averages(self, c: np.ndarray) -> np.ndarray:
        """Film averages (..., 3) of latent states (..., latent). Components are sums of cells, and so is the average: it is linear."""
        return c @ self.readout

    def networks(self) -> dict:
        """The predictor, from a latent state (n, latent) and mu0*H in T (n, 2), the mean over `every`, to the next latent state."""
        return {"predictor": step(self.network, self.parities)}

    def parts(self) -> dict:
        """Weights and biases of the layers in turn, with all scales in them; parities and leading (2,), the coefficients whose signs tell the
        images apart, or None and zeros; and the readout."""
        return {"weights": self._weights, "parities": self.parities, "leading": [0, 0] if self.parities is None else _leading(self.parities),
                "readout": self.readout}


def network(scale: np.ndarray, widths: tuple = WIDTHS, seed: int = 0, field_scale: float = FIELD_SCALE) -> keras.Sequential:
    """The network that steps, untrained, from (n, latent + 2) to (n, latent). scale: (latent,), what it divides latent states by; field_scale: mu0*H in T
    that it divides the field by."""
    of = [float(s) for s in array("scale", scale, "(latent,)", finite=True)]
    if not of or min(of) <= 0:
        raise ValueError(f"scale: got {said(scale)}; numbers greater than 0 are needed")
    training.check_options(widths=widths, seed=seed)
    unit = 1 / number("field_scale", field_scale, "mu0*H in T, more than 0, is", 1e-12, 1000)
    return training.dense(len(of) + 2, widths, len(of), 1000 * int(seed), gelu,
                          layers.Rescaling([*(1 / s for s in of), unit, unit]), layers.Rescaling([GAIN * s for s in of]))


def step(network: keras.Model, parities: np.ndarray | None) -> keras.Model:
    """One step as a Keras model, from [latent states (n, latent), mean fields (n, 2) in T] to the next states: what is trained."""
    latent = instance("network", network, keras.Model).output_shape[-1]
    c, b = keras.Input((latent,), name="latents"), keras.Input((2,), name="field")
    if parities is None:
        return keras.Model([c, b], c + network(ops.concatenate([c, b], axis=-1)))
    signs, flips = turned(c, parities)
    return keras.Model([c, b], c + flips * network(ops.concatenate([flips * c, signs * b], axis=-1)))


def turned(c: keras.KerasTensor, parities: np.ndarray) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """What turns a latent state (n, latent) in Keras to its image whose mean points to the upper right: signs (n, 2) of the field, flips (n, latent)."""
    parities = _parities(parities, instance("c", c, keras.KerasTensor).shape[-1])
    signs = ops.where(ops.take(c, _leading(parities), axis=1) < 0, -1.0, 1.0)
    return signs, ops.where(parities[:, 0] < 0, signs[:, :1], 1.0) * ops.where(parities[:, 1] < 0, signs[:, 1:], 1.0)


def _leading(parities):
    """The first coefficients that change their sign with the field's x alone, and with its y alone: they follow mean mx and my."""
    return [int((parities == signs).all(axis=1).argmax()) for signs in ((-1, 1), (1, -1))]


def _parities(parities, latent):
    parities = array("parities", parities, "(latent, 2)", latent=latent)
    if not (np.abs(parities) == 1).all() or not all((parities == signs).all(axis=1).any() for signs in ((-1, 1), (1, -1))):
        raise ValueError("parities: pairs of 1 and -1 are needed, (-1, 1) and (1, -1) among them")
    return parities.astype(np.float32)


def _weights(network):
    """The weights of a network of `training.dense`, those of the layers that scale taken into its first and its last."""
    weights = network.get_weights()
    before, after = (np.asarray(network.layers[k].scale, np.float32) for k in (0, -1))
    weights[0] = weights[0] * np.broadcast_to(before, len(weights[0]))[:, None]
    return [*weights[:-2], weights[-2] * after, weights[-1] * after]


@compiled
def _gelu(x):
    """The activation of numbers x (n,), in place."""
    for i in range(len(x)):
        above, below = tangent(GELU * (x[i] + CUBE * x[i] * x[i] * x[i]))
        x[i] = HALF * x[i] * (ONE + above / below)


@compiled
def _roll(matrices, biases, mirrored, leading, odd, states, fields):
    """Fill states (n, nt, latent), of which the first is there, step by step. fields: (n, nt, 2) in T. mirrored: is the network asked about one
    image alone? leading: see `_leading`. odd: (latent, 2), which coefficients change their sign with the field's x, and with its y.

    Compiled, since a step of one state takes ten microseconds, no longer than Python takes to call a function of NumPy ten times.
    """
    n, nt, latent = states.shape
    given, flips, signs = np.empty((n, latent + 2), np.float32), np.ones((n, latent), np.float32), np.ones((n, 2), np.float32)
    for k in range(1, nt):
        for r in range(n):
            if mirrored:
                for axis in range(2):
                    signs[r, axis] = -1 if states[r, k - 1, leading[axis]] < 0 else 1
                for i in range(latent):
                    flips[r, i] = 1
                    for axis in range(2):
                        if odd[i, axis]:
                            flips[r, i] *= signs[r, axis]
            for i in range(latent):
                given[r, i] = flips[r, i] * states[r, k - 1, i]
            for axis in range(2):
                given[r, latent + axis] = signs[r, axis] * fields[r, k, axis]
        x = given
        for layer in range(len(matrices)):
            x = np.dot(x, matrices[layer]) + biases[layer]
            if layer < len(matrices) - 1:
                _gelu(x.reshape(-1))
        for r in range(n):
            for i in range(latent):
                states[r, k, i] = states[r, k - 1, i] + flips[r, i] * x[r, i]


# ---------------------------------------------------------------------------- training


def train(latents: np.ndarray, fields: np.ndarray, validation: tuple, parities: np.ndarray | None, readout: np.ndarray,
          folder: str | Path | None = None, *, widths: tuple = WIDTHS, stages: Sequence[dict] = STAGES, noise: float = 0.003,
          weight: float = 3.0, seed: int = 0, every: float = 1e-11, field_scale: float = FIELD_SCALE, begin: Driven | None = None,
          callback: Callable | None = None, progress: bool = True) -> tuple[Driven, list]:
    """Train the step on latent trajectories, looking ahead farther from stage to stage; returns (driven, history).

    latents: (n, nt, latent), trajectories with their starts. fields: (n, nt, 2), mu0*H in T, the mean over the interval that
    ends at each time. validation: the same pair of runs that choose the weights. parities, readout, every: as `Driven` takes them.
    stages: dictionaries of steps, how far the loss looks ahead; epochs, of `updates` steps of the optimizer each; batch; and
    learning_rate. folder: as in `training.fit`, one inside for each stage. noise: on the first state of a window, in units
    of what the network's input is scaled by. weight: of the film average in the loss, which is the distance of latent states
    plus that. widths: of the hidden layers. seed: of the first weights, the windows and the noise. field_scale: as `network` takes it.
    begin: what to go on from, with its widths, in place of an untrained network.
    history: loss, and "error", the mean error of the film average in rollouts of the validation runs over 2 ns, or all they last.
    Raises ValueError, naming the argument.
    """
    training.check_options(widths=widths, seed=seed, every=every)
    latents, fields = _trajectories("latents", latents, fields)
    readout, latent = array("readout", readout, "(latent, 3)", latent=latents.shape[2]).astype(np.float32), latents.shape[2]
    model = network(scales(latents), widths, seed, field_scale)
    if begin is not None:
        model = keras.models.clone_model(instance("begin", begin, Driven).network)
        if begin.latent != latent:
            raise ValueError(f"begin: it steps {begin.latent} numbers; the latent states have {latent}")
        model.set_weights(begin.network.get_weights())
        widths = tuple(len(bias) for bias in model.get_weights()[1:-1:2])
    settings: dict[str, Any] = dict(network="driven", widths=widths, mirrored=parities is not None)
    if begin is not None:
        settings["begin"] = training.fingerprint(*begin.network.get_weights())
    if field_scale != FIELD_SCALE:
        settings["field_scale"] = field_scale
    history = fit(partial(look_ahead, step(model, parities)), lambda: Driven(model, parities, readout, every), (latents, fields), validation,
                  readout, folder, stages=stages, noise=noise, weight=weight, seed=seed, settings=settings, callback=callback, progress=progress)
    return Driven(model, parities, readout, every), history


def fit(ahead: Callable[[int], keras.Model], dynamics: Callable[[], Dynamics], known: tuple, validation: tuple, readout: np.ndarray,
        folder: str | Path | None = None, *, stages: Sequence[dict] = STAGES, noise: float = 0.003, weight: float = 3.0, seed: int = 0,
        settings: dict | None = None, callback: Callable | None = None, progress: bool = True) -> list[dict]:
    """Train whatever looks ahead, of whatever kind, as `train` does; returns the history.

    ahead: from a number of steps to a Keras model from [first states (n, latent), fields (n, steps, 2) in T] to (n, steps, latent), all of which
    share their weights. dynamics: () -> the `Dynamics` that has them, for the validation runs. known: latents and fields of the training, as
    `train` takes them. settings: what else the training depends on. All others as `train` takes them. Raises ValueError, naming the argument.
    """
    training.check_options(folder=folder, noise=noise, seed=seed, callback=callback)
    for name, one in (("ahead", ahead), ("dynamics", dynamics)):
        if not callable(one):
            raise TypeError(f"{name}: got {said(one)}; a function is needed")
    weight = number("weight", weight, "a number from 0 is", 0)
    (latents, fields), (test, test_fields) = (_trajectories(name, *pair(name, one)) for name, one in (("known", known), ("validation", validation)))
    nt, latent = latents.shape[1:]
    if test.shape[2] != latent:
        raise ValueError(f"validation: got latent states of {test.shape[2]} numbers; those of the training have {latent}")
    readout, history = array("readout", readout, "(latent, 3)", latent=latent).astype(np.float32), []

    def loss(true, out):
        off = true - out
        square = ops.sum(off**2, axis=-1) + weight * ops.sum(ops.matmul(off, readout)**2, axis=-1)
        return ops.mean(ops.sqrt(square + 1e-8), axis=-1)  # a distance, and not its square: what no one can predict counts less

    def validate():
        return {"error": np.mean(rollout_errors(dynamics(), test, test_fields))}

    for k, stage in enumerate(check_stages(stages, nt)):
        steps, epochs, updates, batch = (int(stage[name]) for name in ("steps", "epochs", "updates", "batch"))
        model = instance("ahead", ahead(steps), keras.Model)
        training.compile_model(model, training.nadam(stage["learning_rate"], epochs * updates, clip=1.0), loss, min(50, updates))
        batches = partial(_windows, latents, fields, np.float32(noise) * scales(latents), (seed, k), steps, updates, batch)
        depends = dict(latents=latents.shape, data=training.fingerprint(latents, fields, test, test_fields, readout), stages=list(stages[:k + 1]),
                       noise=noise, weight=weight, seed=seed) | instance("settings", {} if settings is None else settings, dict)
        history += training.fit(model, batches, validate, folder and as_path(folder) / f"{k}-{steps}-steps", epochs=epochs, settings=depends,
                                callback=callback, progress=progress)
    return history


def scales(latents: np.ndarray) -> np.ndarray:
    """What the network that steps divides latent states by, (latent,), of trajectories (n, nt, latent): between equal sizes, where small
    coefficients are as loud as large ones, and their own."""
    size = np.sqrt(np.mean(array("latents", latents, "(n, nt, latent)")**2, axis=(0, 1)))
    return np.sqrt(size * np.median(size))


def _windows(latents, fields, noise, seed, steps, updates, batch, epoch):
    """What an epoch is trained on: windows of `steps` intervals anywhere in the trajectories, with noise on their first states."""
    rng = np.random.default_rng((*seed, epoch))
    n, nt, latent = latents.shape
    run, begin = rng.integers(n, size=(updates * batch, 1)), rng.integers(nt - steps, size=(updates * batch, 1))
    window, driving = latents[run, begin + np.arange(steps + 1)], fields[run, begin + np.arange(1, steps + 1)]
    return dict(x=[window[:, 0] + noise * rng.standard_normal((len(run), latent), np.float32), driving], y=window[:, 1:], batch_size=batch)


def images(latents: np.ndarray, fields: np.ndarray, parities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Trajectories (n, nt, latent) and their fields (n, nt, 2) with their images: four times as many."""
    latents, fields = _trajectories("latents", latents, fields)
    parities = _parities(parities, latents.shape[2])
    flips = [np.where(parities[:, 0] < 0, x, 1) * np.where(parities[:, 1] < 0, y, 1) for x, y in IMAGES]
    return (np.concatenate([latents * one.astype(latents.dtype) for one in flips]),
            np.concatenate([fields * np.array(one, fields.dtype) for one in IMAGES]))


def look_ahead(one: keras.Model, steps: int) -> keras.Model:
    """A Keras model that takes `steps` steps: from [first states (n, latent), fields (n, steps, 2) in T] to (n, steps, latent)."""
    training.check_options(steps=steps)
    if not isinstance(instance("one", one, keras.Model).input_shape, list):
        raise ValueError("one: it takes one input; a model as `step` makes it is needed")
    first, fields = keras.Input(one.input_shape[0][1:]), keras.Input((steps, 2))
    states = [first]
    for k in range(steps):
        states.append(one([states[-1], fields[:, k]]))
    return keras.Model([first, fields], ops.stack(states[1:], axis=1))


def rollout_errors(dynamics: Dynamics, latents: np.ndarray, fields: np.ndarray, nt: int = 200) -> np.ndarray:
    """Film average errors (n * windows,) of rollouts in the windows of nt intervals that trajectories (n, ...) hold, each from its true start.

    Errors are at most 2: a rollout that runs away is no worse than that.
    """
    instance("dynamics", dynamics, Dynamics)
    check_counts(nt=nt)
    latents, fields = _trajectories("latents", latents, fields)
    nt = min(nt, latents.shape[1] - 1)
    begins = range(0, latents.shape[1] - nt, nt)
    true, driving = (np.concatenate([x[:, k:k + nt + 1] for k in begins]) for x in (latents, fields))
    with np.errstate(over="ignore", invalid="ignore"):
        off = np.abs(dynamics.averages(dynamics.rollout(true[:, :1], driving) - true))[:, 1:]
    return np.minimum(np.nan_to_num(off, nan=2.0), 2.0).mean(axis=(1, 2))


def check_stages(stages: Sequence[dict], nt: int) -> Sequence[dict]:
    """The stages of a training on trajectories of nt states, if they are such. Raises ValueError or TypeError that begins with `stages`."""
    check_counts(nt=nt)
    names = set(STAGES[0])
    for stage in listed("stages", stages, "a list of dictionaries"):
        if not (isinstance(stage, dict) and set(stage) == names):
            raise ValueError(f"stages: got {said(stage)}; a dictionary of {', '.join(sorted(names))} is needed")
        training.check_options(**stage)
        if not stage["steps"] < nt:
            raise ValueError(f"stages: got {stage['steps']} steps; trajectories of nt = {nt} states allow at most {nt - 1}")
    return stages


def _trajectories(name, latents, fields):
    latents = array(name, latents, "(n, nt, latent)", finite=True).astype(np.float32)
    fields = array("fields" if name == "latents" else name, fields, "(n, nt, 2)", finite=True).astype(np.float32)
    if fields.shape[:2] != latents.shape[:2]:
        raise ValueError(f"{name}: got shape {latents.shape} for fields of shape {fields.shape}; (n, nt, latent) and (n, nt, 2) are needed")
    return latents, fields


# ---------------------------------------------------------------------------- the film


def networks(whole: np.ndarray) -> tuple[keras.Sequential, keras.Sequential]:
    """Encoder and decoder from components (k, ny, nx, 3) of `components`: the decoder's states are unit vectors."""
    whole = array("whole", whole, "(k, ny, nx, 3)").astype(np.float32)
    k, *shape = whole.shape
    flat = whole.reshape(k, -1)
    encoder = keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(k, use_bias=False)], name="encoder")
    decoder = keras.Sequential([keras.Input((k,)), layers.Dense(flat.shape[1], use_bias=False), layers.Reshape(shape),
                                layers.UnitNormalization(axis=-1)], name="decoder")
    encoder.layers[1].set_weights([flat.T / (shape[0] * shape[1])])
    decoder.layers[0].set_weights([flat])
    return encoder, decoder


# ---------------------------------------------------------------------------- nothing learned


@dataclass(eq=False)
class Projected(Dynamics):
    r"""The LLG equation itself on components, nothing learned (Galerkin): what is missing is what the other components do.

    $$\dot c = \tfrac1N P^\mathsf{T} \dot m(P c,\; \mathbf H(P) c + \mathbf h)$$

    whole: components (k, ny, nx, 3). film: the `Film`. substeps: of the classical Runge-Kutta method between two states.
    weights: (ny, nx), how many cells each stands for in the sum over cells; None for one each. Those of weight 0 are left out.
    The effective field is linear in m, so that of each component is computed once. It costs as many cells as the sum has.
    """

    whole: np.ndarray
    film: Film
    every: float = 1e-11
    substeps: int = 5
    weights: np.ndarray | None = None

    means = True

    def __post_init__(self):
        check_counts(substeps=self.substeps)
        training.check_options(every=self.every)
        self.whole = array("whole", self.whole, "(k, ny, nx, 3)", ny=instance("film", self.film, Film).ny, nx=self.film.nx).astype(np.float32)
        self.latent = len(self.whole)
        weights = np.ones(self.whole.shape[1:3]) if self.weights is None else self.weights
        weights = array("weights", weights, "(ny, nx)", finite=True, ny=self.film.ny, nx=self.film.nx).astype(np.float32).reshape(-1)
        forces = np.array([llg.exchange_field(one, self.film) + llg.demag_field(one, self.film) for one in self.whole], np.float32)
        self._states, self._forces = (np.ascontiguousarray(np.moveaxis(x, -1, 0).reshape(3, self.latent, -1)[..., weights != 0])
                                      for x in (self.whole, forces))  # (3, k, cells)
        self._tests = self._states * (weights[weights != 0] / len(weights))

    def _rates(self, c, h):
        """dm/dt in 1/s, (3, n, cells), in the cells of the sum, of latent states (n, k) in fields (n, 2) in A/m."""
        def cross(u, v):
            return np.stack([u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]])

        m, torque = c @ self._states, c @ self._forces
        torque[:2] += h.T[..., None]
        torque = cross(m, torque)
        return (torque + np.float32(self.film.alpha) * cross(m, torque)) * np.float32(-self.film.gamma0 / (1 + self.film.alpha**2))

    def _slopes(self, c, h):
        """dc/dt in 1/s, (n, k), as `_rates` takes them."""
        return np.einsum("cnx,ckx->nk", self._rates(c, h), self._tests, optimize=True)

    def rollout(self, first: np.ndarray, fields: np.ndarray) -> np.ndarray:
        """Latent states (n, nt, latent), see `Dynamics.rollout`."""
        first, fields = self.checked(first, fields)
        c, slope = np.empty((*fields.shape[:2], self.latent), np.float32), self._slopes
        c[:, :1], dt = first, np.float32(self.every / self.substeps)
        for k in range(1, c.shape[1]):
            one, h = c[:, k - 1], np.float32(fields[:, k, :2] / llg.MU0)
            for _ in range(self.substeps):
                k1 = slope(one, h)
                k2 = slope(one + dt / 2 * k1, h)
                k3 = slope(one + dt / 2 * k2, h)
                one = one + dt / 6 * (k1 + 2 * k2 + 2 * k3 + slope(one + dt * k3, h))
            c[:, k] = one
        return c

    def averages(self, c: np.ndarray) -> np.ndarray:
        """Film averages (..., 3) of latent states (..., latent)."""
        return c @ self.whole.mean(axis=(1, 2))
