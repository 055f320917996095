"""The reduced order model: a film's dynamics in a few numbers, from encoder, predictor and decoder. Chapter 4.

A. Kovacs et al., Learning magnetization dynamics, J. Magn. Magn. Mater. 491, 165548 (2019).
"""

import json
import warnings
from pathlib import Path

import numpy as np

from . import applied, llg, stepper
from ._keras import keras, ops
from ._progress import bar
from .dataset import as_float
from .files import atomic, shipped
from .film import Film, check_memory
from .pod import inputs
from .stepper import FIELD_SCALE, HISTORY
from .trajectory import Trajectory

FORMAT = "magbook reduced order model 1"
SCALARS = ("scale", "reach", "widen", "longest", "every", "fan", "info")  # what a file holds beside weights and film
CHUNK = 64  # states that go through a network at once, 12 MB each way, and fields whose runs start at once


class ReducedOrderModel:
    """Encoder, predictor in latent space, and decoder, for one film in constant fields.

    encoder: `keras.Model` from (n, ny, nx, 3) to (n, latent); decoder: back. network: the predictor, of either kind:
    - from (n, 2 + 4 latent) to (n, latent), as `predictor.build` makes it, which steps from the last four states;
    - from (n, 3), field and time, to (n, latent), as `pod.train_predictor` makes it, which knows the trajectories from the
      film's S-state and no time after `longest`, in s.
    Or a list of several of one kind, an ensemble: what is predicted is the mean of their rollouts.
    scale: by which latent states are divided before a network that steps sees them. widen: half the width of an ensemble's
    `band`, in standard deviations. reach: the largest absolute value in a latent state of the training data; a rollout that
    leaves twice this range has run away. film: the `Film`. every: s between two states. fan: the fields that it was
    trained on: angle, opening and strength as `applied.fan` takes them. info: how it was made.
    Raises ValueError where the networks do not fit together or do not fit the film.
    """

    def __init__(self, encoder, decoder, network, *, scale, reach, widen=2.0, longest=np.inf, film=Film(),
                 every=1e-11, fan=None, info=None):
        self.encoder, self.decoder = encoder, decoder
        self.networks = list(network) if isinstance(network, (list, tuple)) else [network]
        self.stepping = self.networks[0].input_shape[-1] != 3
        self.widen, self.longest = float(widen), float(longest)
        self.scale, self.reach, self.film, self.every = float(scale), float(reach), film, float(every)
        self.fan, self.info = dict(fan or {}), dict(info or {})
        state, latent = (film.ny, film.nx, 3), encoder.output_shape[-1]
        self.latent = latent
        for name, model, shapes in (("encoder", encoder, (state, (latent,))), ("decoder", decoder, ((latent,), state)),
                                    *(("network", one, ((2 + HISTORY * latent if self.stepping else 3,), (latent,)))
                                      for one in self.networks)):
            there = (model.input_shape[1:], model.output_shape[1:])
            if there != shapes:
                raise ValueError(f"{name}: it goes from {there[0]} to {there[1]}; from {shapes[0]} to {shapes[1]} "
                                 "is needed")
        elu = keras.activations.elu
        if self.stepping and any(getattr(layer, "activation", elu) is not elu
                                 for one in self.networks for layer in one.layers):
            raise ValueError("network: it has an activation other than elu, the one that `stepper.rollout` computes")
        self._weights = [network.get_weights() for network in self.networks]

    # ------------------------------------------------------------------ between states and latents

    def encode(self, m):
        """Latent states (..., latent) of states (..., ny, nx, 3), which must be unit vectors to 1e-3.

        Raises ValueError for another shape, values that are not finite, and other lengths.
        """
        m = as_float(m)
        if m.shape[-3:] != (self.film.ny, self.film.nx, 3):
            raise ValueError(f"m: got shape {m.shape}; (..., ny, nx, 3) = (..., {self.film.ny}, {self.film.nx}, 3) is needed")
        flat = m.reshape(-1, *m.shape[-3:])
        for i, one in enumerate(flat):
            off = np.abs((np.einsum("yxc,yxc->yx", one, one) - 1) * self.film.inside).max()
            if not off <= 2e-3:  # also where it is NaN
                raise ValueError(f"m: state {i} is not of unit vectors; their squared length is off by up to {off:.3g}")
        return _apply(self.encoder, flat).reshape(*m.shape[:-3], self.latent)

    def decode(self, c, unit=False):
        """States (..., ny, nx, 3) of latent states (..., latent), as the network puts them out.

        unit: scale the vectors to unit length. Raises ValueError for another shape and values that are not finite.
        """
        c = np.asarray(c, np.float32)
        if c.shape[-1:] != (self.latent,):
            raise ValueError(f"c: got shape {c.shape}; (..., {self.latent}) is needed")
        if not np.isfinite(c).all():
            raise ValueError(f"c: {np.count_nonzero(~np.isfinite(c).all(axis=-1))} latent states are not finite")
        shape = (*c.shape[:-1], self.film.ny, self.film.nx, 3)
        check_memory(4 * np.prod(shape), "Decoding")
        m = _apply(self.decoder, c.reshape(-1, self.latent)).reshape(shape)
        if unit:
            m /= np.linalg.norm(m, axis=-1, keepdims=True)
        m[..., ~self.film.inside, :] = 0
        return m

    # ------------------------------------------------------------------ through time

    def rollout(self, first, fields, steps=96, members=False):
        """Latent states that follow the first four: (steps, latent), or (n, steps, latent) for n fields at once.

        first: (4, latent) or (n, 4, latent), `every` apart; a network of field and time has no use for their values.
        fields: mu0*H in T, (2,) or (3,), or one for each.
        members: instead of the mean of an ensemble each network's own, (members, ...).
        A field outside the fan of the training gives a warning that says by how much. Where a rollout leaves twice the
        range of all latent states of the training, it has run away: from there on it is NaN, and a warning says so.
        """
        return self._rollout(first, self._fields(fields), steps, members)

    def _rollout(self, first, fields, steps, members=False):
        first = np.asarray(first, np.float32)
        one = first.ndim == 2
        first = first.reshape(-1, *first.shape[-2:])
        if first.shape[1:] != (HISTORY, self.latent) or len(first) != len(fields):
            raise ValueError(f"first: got shape {first.shape} for {len(fields)} fields; {HISTORY} latent states of "
                             f"{self.latent} numbers are needed for each")
        if not np.isfinite(first).all():
            raise ValueError("first: it holds latent states that are not finite")
        if (HISTORY + steps) * self.every > self.longest * (1 + 1e-9):
            raise ValueError(f"steps: got {steps}; this model knows nothing after {self.longest * 1e9:g} ns, so that "
                             f"{round(self.longest / self.every) - HISTORY} is the most")
        c = np.empty((len(self.networks), len(first), steps, self.latent), np.float32)
        # 128 rows: the work stays in the cache, and below the size at which matrix products wake more threads, which
        # takes longer than they do
        for i in range(0, len(first), 128):
            part = slice(i, i + 128)
            with np.errstate(over="ignore", invalid="ignore"):
                for network, weights, out in zip(self.networks, self._weights, c):
                    if self.stepping:
                        out[part] = self.scale * stepper.rollout(weights, first[part] / np.float32(self.scale),
                                                                   fields[part], steps)
                    else:
                        t = self.every * np.arange(HISTORY + 1, HISTORY + steps + 1)
                        out[part] = _apply(network, inputs(fields[part], t), 128 * 100).reshape(-1, steps, self.latent)
        if members:
            return c[:, 0] if one else c
        c = c.mean(axis=0) if len(c) > 1 else c[0]
        away = np.maximum.accumulate(~(np.abs(c).max(axis=-1) <= 2 * self.reach), axis=1)
        if away.any():
            c[away] = np.nan
            i = int(away.any(axis=1).argmax())
            warnings.warn(f"{np.count_nonzero(away.any(axis=1))} of {len(c)} rollouts ran away, the first at mu0*H = "
                          f"{_mT(fields[i])} after {away[i].argmax() + 1} steps; they are NaN from there on",
                          RuntimeWarning, stacklevel=3)
        return c[0] if one else c

    def simulate(self, field, start=None, duration=1e-9):
        """A `Trajectory` from the networks, or an iterator of them for fields (n, 3), one at a time in memory.

        field: mu0*H in T, constant. start: the state at t = 0, (ny, nx, 3); by default the film's S-state.
        duration: s. The start and the first four states come from the solver, as in the paper; what follows is the
        predictor's, decoded and scaled to unit length.
        """
        runs = (self._trajectory(*one) for one in self._run(self._fields(field), start, duration))
        return next(runs) if np.ndim(field) == 1 else runs

    def averages(self, field, start=None, duration=1e-9):
        """The film average of what `simulate` gives, (nt, 3), or (n, nt, 3) for fields (n, 3), in bounded memory."""
        mean = np.stack([self._trajectory(*one).mean for one in self._run(self._fields(field), start, duration)])
        return mean[0] if np.ndim(field) == 1 else mean

    def band(self, field, start=None, duration=1e-9):
        """Where the film average lies, says an ensemble: its lower and upper edge, two arrays (nt, 3).

        The mean of the members' film averages, plus and minus `widen` of their standard deviations, which was set so that
        on the validation fields the band holds nine values of ten. Raises ValueError for a model of one network.
        """
        if len(self.networks) < 2:
            raise ValueError("band: this model has one predictor; an ensemble of at least two is needed")
        if np.ndim(field) != 1:
            raise ValueError(f"field: got shape {np.shape(field)}; one field, a pair or a triple in T, is needed")
        t, b, start = self._arguments(self._fields(field)[:1], start, duration)
        first = self.first_states(b[0], start)
        c = self._rollout(self.encode(first[1:]), b, len(t) - len(first), members=True)
        member = np.array([self.decode(one, unit=True).mean(axis=(1, 2), dtype=float) for one in c])
        begin = first.mean(axis=(1, 2), dtype=float)
        middle, off = member.mean(axis=0), self.widen * member.std(axis=0, ddof=1)
        return np.vstack([begin, middle - off]), np.vstack([begin, middle + off])

    def first_states(self, field, start=None):
        """The start and the next four states, (5, ny, nx, 3), from the solver."""
        return llg.simulate(field, self.film, start, HISTORY * self.every, self.every, progress=False).m

    def _run(self, fields, start, duration):
        """Yield (first five states, the latent states that follow, field) of each run, a chunk of fields at a time."""
        t, fields, start = self._arguments(fields, start, duration)
        steps = len(t) - 1 - HISTORY

        def runs():
            for i in bar(range(0, len(fields), CHUNK), desc="rollouts", unit=f"{CHUNK} fields",
                         show=len(fields) > CHUNK):
                part = fields[i:i + CHUNK]
                first = [self.first_states(b, start) for b in part]
                yield from zip(first, self._rollout(np.stack([self.encode(m[1:]) for m in first]), part, steps), part)

        return runs()

    def _arguments(self, fields, start, duration):
        """The times of a run, its fields and its start, checked."""
        if start is not None and not self.stepping:
            raise ValueError("start: this model knows the trajectories from the S-state alone; leave start out")
        t, *_, start = llg.check_run(fields[0], self.film, start, duration, self.every, 1.0, "single")
        if len(t) <= 1 + HISTORY:
            raise ValueError(f"duration: got {duration:g} s; more than {HISTORY * self.every:g} s is needed")
        if t[-1] > self.longest * (1 + 1e-9):
            raise ValueError(f"duration: got {duration:g} s; this model knows nothing after {self.longest:g} s")
        return t, fields, start

    def _trajectory(self, first, c, field):
        m = np.full((len(first) + len(c), *first.shape[1:]), np.nan, np.float32)
        m[:len(first)] = first
        whole = np.isfinite(c).all(axis=1)
        m[len(first):][whole] = self.decode(c[whole], unit=True)
        info = {"solver": "reduced order model", "latent": self.latent, **self.info}
        return Trajectory(np.arange(len(m)) * self.every, m, field, self.film, info)

    def _fields(self, fields):
        if callable(fields) or np.ndim(fields) not in (1, 2) or not len(fields):
            raise ValueError("field: one constant field, a pair or a triple in T, is needed, or one for each run")
        b = np.array([applied.vector(one) for one in np.atleast_2d(fields)])
        if self.fan:
            low, high = self.fan["strength"]
            size, angle = np.hypot(b[:, 0], b[:, 1]), np.rad2deg(np.arctan2(b[:, 1], b[:, 0])) - self.fan["angle"]
            over = np.stack([np.maximum(low - size, size - high) * 1e3,
                             np.abs((angle + 180) % 360 - 180) - self.fan["opening"] / 2, np.abs(b[:, 2]) * 1e3], axis=1)
            outside = (over > 1e-6).any(axis=1)
            if outside.any():
                i = int(outside.argmax())
                by = [f"{v:.1f} {what}" for v, what in zip(over[i], ("mT in strength", "degrees in angle",
                                                                     "mT out of the plane")) if v > 1e-6]
                count = "" if len(b) == 1 else f"{np.count_nonzero(outside)} of {len(b)} fields are outside the fan, the first: "
                warnings.warn(f"{count}mu0*H = {_mT(b[i])} is outside the fan that the model was trained on, by "
                              f"{' and '.join(by)}", UserWarning, stacklevel=3)
        return b

    # ------------------------------------------------------------------ files

    def save(self, path, half=False):
        """Write everything to one `.npz` file, whole or not at all. half: weights in 16 bits, half the size."""
        networks = {"encoder": self.encoder, "decoder": self.decoder,
                    **{f"network{k or ''}": network for k, network in enumerate(self.networks)}}
        weights = {f"{name}.{i}": w.astype(np.float16 if half else np.float32)
                   for name, model in networks.items() for i, w in enumerate(model.get_weights())}
        header = {"format": FORMAT, **{name: getattr(self, name) for name in SCALARS}, "film": self.film.describe(),
                  "networks": {name: json.loads(model.to_json()) for name, model in networks.items()}}
        with atomic(path) as file:
            np.savez_compressed(file, header=json.dumps(header), inside=self.film.inside, **weights)

    @classmethod
    def load(cls, path):
        """Read what `save` wrote. Raises ValueError, naming the file, if it is damaged or foreign."""
        try:
            with np.load(path, allow_pickle=False) as z:
                header = json.loads(str(z["header"]))
                if header["format"] != FORMAT:
                    raise ValueError(f"its format is {header['format']!r}, not {FORMAT!r}")
                networks = {}
                for name, config in header["networks"].items():
                    model = keras.models.model_from_json(json.dumps(_of_any_keras(config)))
                    model.set_weights([z[f"{name}.{i}"].astype(np.float32) for i in range(len(model.get_weights()))])
                    networks[name] = model
                film = Film(**header["film"] | {"mask": z["inside"]})
                return cls(networks.pop("encoder"), networks.pop("decoder"), list(networks.values()), film=film,
                           **{name: header[name] for name in SCALARS if name in header})
        except FileNotFoundError:
            raise
        except Exception as error:  # a damaged archive raises a dozen kinds
            raise ValueError(f"{path} is not a reduced order model that can be read: {error}") from error

    def to_onnx(self, folder):
        """Write `encoder.onnx`, `decoder.onnx` and `predictor.onnx` into a folder; return their paths.

        More members of an ensemble are `predictor1.onnx` and so on: average their rollouts, not their steps.

        Inputs and outputs are in magbook's units: the predictor takes the field mu0*H in T, (n, 2), and four latent
        states, (n, 4, latent), the oldest first, and gives the next, (n, latent). That of field and time takes the field's
        x and y in T and the time in s, (n, 3). Needs `tf2onnx` with Keras on TensorFlow, or what `keras.Model.export` asks
        for on another back end.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        models = {"encoder": self.encoder, "decoder": self.decoder}
        for k, network in enumerate(self.networks):
            if not self.stepping:
                models[f"predictor{k or ''}"] = network
                continue
            field, first = keras.Input((2,), name="field"), keras.Input((HISTORY, self.latent), name="latents")
            x = ops.concatenate([field / FIELD_SCALE, ops.reshape(first / self.scale, (-1, HISTORY * self.latent))], axis=-1)
            models[f"predictor{k or ''}"] = keras.Model([field, first], network(x) * self.scale)
        for name, model in models.items():
            model([np.zeros((1, *shape[1:]), np.float32) for shape in model.input_shape]
                  if isinstance(model.input_shape, list) else np.zeros((1, *model.input_shape[1:]), np.float32))
            model.export(folder / f"{name}.onnx", format="onnx", verbose=False)
        return [folder / f"{name}.onnx" for name in models]


def load_rom(name="paper"):
    """A trained `ReducedOrderModel`, shipped with the book: "paper", the networks of the paper; "best", those of chapter 7.

    Or one in a file, by its path.
    """
    if name in ("paper", "best"):
        return ReducedOrderModel.load(shipped(f"rom_{name}.npz"))
    if not Path(name).exists():
        raise FileNotFoundError(f"load_rom: there is no file {name}, and no model of this name; 'paper' and 'best' ship with "
                                "the book")
    return ReducedOrderModel.load(name)


def _of_any_keras(config):
    """A network's configuration without what an older Keras may not know and a trained network does not need."""
    if isinstance(config, list):
        return [_of_any_keras(one) for one in config]
    if not isinstance(config, dict):
        return config
    return {key: _of_any_keras(value) for key, value in config.items()
            if not key.endswith("_initializer") and (key, value) != ("quantization_config", None)}


def _apply(model, x, chunk=CHUNK):
    """A network on many inputs, a chunk at a time."""
    return np.concatenate([np.asarray(model.predict_on_batch(x[i:i + chunk])) for i in range(0, len(x), chunk)]
                          or [np.empty((0, *model.output_shape[1:]), np.float32)])


def _mT(b):
    return f"({', '.join(f'{v * 1e3:.1f}' for v in b)}) mT"
