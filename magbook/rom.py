"""The reduced order model: a film's dynamics in a few numbers, from encoder, dynamics and decoder. Chapter 4.

A. Kovacs et al., Learning magnetization dynamics, J. Magn. Magn. Mater. 491, 165548 (2019).
"""

import dataclasses
import hashlib
import importlib
import json
import pkgutil
import warnings
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from . import _decoding, _fmu, applied, llg
from ._arguments import array, instance, listed, said, truth
from ._keras import keras
from ._progress import bar
from .applied import Field
from .comparison import Comparison
from .dataset import as_float
from .dynamics import Dynamics
from .files import as_path, atomic, shipped
from .film import Film, check_memory
from .film import unit as to_unit
from .trajectory import Trajectory

FORMAT = "magbook reduced order model 2"
CHUNK = 64  # states that go through a network at once, 12 MB each way, and fields whose runs start at once
SHIPPED = ("paper", "atlas", "driven")
PARTS = ("encoder", "decoder", "dynamics", "readout")
LAYERS = {"AveragePooling2D", "Concatenate", "Conv2D", "Conv2DTranspose", "Cropping2D", "DTypePolicy", "Dense", "Dropout", "Flatten", "Flip",
          "Functional", "InputLayer", "Rescaling", "Reshape", "Sequential", "UnitNormalization", "UpSampling2D", "__keras_tensor__"}
"""What a network in a file may be made of. Keras would build whatever a file names; this package loads nothing but these."""

_FUNCTIONS, _LAYER = ("magbook>gelu", "magbook>sine"), ("magbook._keras", "Conv2DTranspose")
MODELS: dict[str, Callable[[], "ReducedOrderModel"]] = {}
"""Functions that make models, by the names that `model` registered."""


class ReducedOrderModel:
    """Encoder, dynamics in latent space, and decoder, for one film.

    encoder: `keras.Model` from (n, ny, nx, 3) to (n, latent); decoder: back. dynamics: a `dynamics.Dynamics`; it says
    how many states it needs from the solver, at which times it answers, and which fields it takes.
    largest: the largest absolute value in a latent state of the training data; a rollout that leaves twice this range
    has run away. held: to what relative L2 error the latent states hold those of the training; a start that is twice as far off
    is refused. film: the `Film`. fan: the fields that it was trained on: angle, opening and strength as `applied.fan`
    takes them. info: how it was made. readout: `keras.Model` from (n, latent) to film averages (n, 3), see `readout`; None where
    states are decoded for them. Raises ValueError where the parts do not fit together or do not fit the film.
    """

    def __init__(self, encoder: keras.Model, decoder: keras.Model, dynamics: Dynamics, *, largest: float = np.inf,
                 held: float = np.inf, film: Film = Film(), fan: dict | None = None, info: dict | None = None,
                 readout: keras.Model | None = None):
        instance("film", film, Film)
        networks = {"encoder": encoder, "decoder": decoder} | ({} if readout is None else {"readout": readout})
        for name, network in networks.items():
            instance(name, network, keras.Model)
        instance("dynamics", dynamics, Dynamics)
        for name, most in (("largest", largest), ("held", held)):
            if not (isinstance(most, (int, float, np.floating)) and most > 0):
                raise ValueError(f"{name}: got {said(most)}; a number greater than 0, or infinity, is needed")
        for name, value in (("fan", fan), ("info", info)):
            if value is not None:
                instance(name, value, dict)
        self.encoder, self.decoder = encoder, decoder
        self.dynamics: Any = dynamics  # of whatever kind, whose own attributes a caller may ask for
        self.largest, self.held, self.film, self.fan, self.info = float(largest), float(held), film, dict(fan or {}), dict(info or {})
        self.readout = readout
        self._last_start: tuple = (None, None)
        state, latent = (film.ny, film.nx, 3), encoder.output_shape[-1]
        shapes = {"encoder": (state, (latent,)), "decoder": ((latent,), state), "readout": ((latent,), (3,))}
        for name, network in networks.items():
            there, needed = (network.input_shape[1:], network.output_shape[1:]), shapes[name]
            if there != needed:
                raise ValueError(f"{name}: it goes from {there[0]} to {there[1]}; from {needed[0]} to {needed[1]} "
                                 "is needed")
        if dynamics.latent != latent:
            raise ValueError(f"dynamics: its latent states have {dynamics.latent} numbers, the encoder's {latent}")

    @property
    def latent(self) -> int:
        """How many numbers a latent state has."""
        return self.dynamics.latent

    @property
    def every(self) -> float:
        """The time between two states in s."""
        return self.dynamics.every

    # ------------------------------------------------------------------ between states and latents

    def encode(self, m: np.ndarray) -> np.ndarray:
        """Latent states (..., latent) of states (..., ny, nx, 3), which must be unit vectors to 1e-3.

        Raises ValueError for another shape, values that are not finite, and other lengths.
        """
        m = as_float(array("m", m))
        if m.shape[-3:] != (self.film.ny, self.film.nx, 3):
            raise ValueError(f"m: got shape {m.shape}; (..., ny, nx, 3) = (..., {self.film.ny}, {self.film.nx}, 3) is needed")
        flat = m.reshape(-1, *m.shape[-3:])
        for i, one in enumerate(flat):
            off = np.abs((np.einsum("yxc,yxc->yx", one, one) - 1) * self.film.inside).max()
            if not off <= 2e-3:  # also where it is NaN
                raise ValueError(f"m: state {i} is not of unit vectors; their squared length is off by up to {off:.3g}")
        return _apply(self.encoder, flat).reshape(*m.shape[:-3], self.latent)

    def decode(self, c: np.ndarray, unit: bool = False) -> np.ndarray:
        """States (..., ny, nx, 3) of latent states (..., latent), as the network puts them out.

        unit: scale the vectors to unit length. Raises ValueError for another shape and values that are not finite.
        """
        c = array("c", c).astype(np.float32)
        if c.shape[-1:] != (self.latent,):
            raise ValueError(f"c: got shape {c.shape}; (..., {self.latent}) is needed")
        if not np.isfinite(c).all():
            raise ValueError(f"c: {np.count_nonzero(~np.isfinite(c).all(axis=-1))} latent states are not finite")
        shape = (*c.shape[:-1], self.film.ny, self.film.nx, 3)
        check_memory(4 * float(np.prod(shape)), "Decoding")
        flat, products = c.reshape(-1, self.latent), _decoding.products(self.decoder)
        m = (_apply(self.decoder, flat) if products is None else _decoding.decode(products, flat, *shape[-3:-1])).reshape(shape)
        if truth("unit", unit):
            m = to_unit(m)
        m[..., ~self.film.inside, :] = 0
        return m

    def read(self, c: np.ndarray) -> np.ndarray:
        """Film averages (..., 3) of latent states (..., latent): as the dynamics knows them, or the readout, or else of decoded states at unit length.

        Raises ValueError for another shape, and for values that are not finite.
        """
        c = array("c", c, "(..., latent)", finite=True, latent=self.latent).astype(np.float32)
        mean = self.dynamics.averages(c)
        if mean is not None:
            return mean
        flat = c.reshape(-1, self.latent)
        if self.readout is not None:
            mean = _apply(self.readout, flat, 1024)
        else:
            mean = np.concatenate([self.decode(flat[i:i + CHUNK], unit=True)[:, self.film.inside].mean(axis=1, dtype=float)
                                   for i in range(0, len(flat), CHUNK)] or [np.empty((0, 3))])
        return mean.reshape(*c.shape[:-1], 3)

    # ------------------------------------------------------------------ through time

    def simulate(self, field: Field, start: np.ndarray | None = None, duration: float = 1e-9) -> Any:
        """A `Trajectory` from the networks, or an iterator of them for a list of fields, one at a time in memory.

        field: mu0*H in T, a pair or a triple, or a function of t in s; or (n, 3), or a list of any of them. start: the
        state at t = 0, (ny, nx, 3); by default the film's S-state. duration: s.
        The start is given, and the next `dynamics.history` states come from the solver, in the paper four. What follows
        is the dynamics', decoded and scaled to unit length. A field outside the fan of the training gives a warning that
        says by how much, and so does one that does between two of the model's times what its values there do not show, for a dynamics
        that sees no means.
        Raises ValueError for what the dynamics cannot answer, naming the argument.
        """
        runs = (self._trajectory(*one) for one in self._runs(*self._arguments(field, start, duration)))
        return next(runs) if _single(field) else runs

    def averages(self, field: Field, start: np.ndarray | None = None, duration: float = 1e-9) -> np.ndarray:
        """The film average of what `simulate` gives, (nt, 3), or (n, nt, 3) for n fields, in bounded memory.

        They come from latent states as `read` says; those of the start and of the solver's states are their own.
        """
        mean = np.concatenate([self._averages(first, c) for first, c, _ in self._chunks(*self._arguments(field, start, duration))])
        return mean[0] if _single(field) else mean

    def latents(self, field: Field, start: np.ndarray | None = None, duration: float = 1e-9) -> np.ndarray:
        """The latent states behind what `simulate` gives, that of the start first: (nt, latent), or (n, nt, latent)."""
        c = np.concatenate([c for _, c, _ in self._chunks(*self._arguments(field, start, duration))])
        return c[0] if _single(field) else c

    def band(self, field: Field, start: np.ndarray | None = None,
             duration: float = 1e-9) -> tuple[np.ndarray, np.ndarray]:
        """Where the film average lies, says an ensemble: its lower and upper edge, two arrays (nt, 3).

        The film average, plus and minus `coverage` standard deviations of the members', which was set so that on the
        validation fields the band holds nine values of ten. Raises ValueError for a model that is no ensemble.
        """
        given, fields, start = self._arguments(field, start, duration)
        if not _single(field):
            raise ValueError(f"field: got a list of {len(given)}; one field is needed")
        first = self.first_states(given[0], start)
        encoded = self.encode(first)
        (middle,) = self._averages([first], self.rollout(encoded[None], fields))
        c = self.dynamics.rollouts(encoded[None], fields[..., :2])[:, 0]
        if len(c) < 2:
            raise ValueError("band: this model's dynamics is one; an ensemble of at least two is needed")
        members = self._averages([first], c)
        off = self.dynamics.coverage * members.std(axis=0, ddof=1)
        return middle - off, middle + off

    # ------------------------------------------------------------------ beside a run of one's own

    def compare(self, run: Trajectory) -> Comparison:
        """How good this model is on a run of one's own, such as `Trajectory.from_ovf` reads: a `comparison.Comparison`.

        run: a `Trajectory` of a film of the model's size. It is taken on the model's cells and at its times, see `Trajectory.resample`;
        each difference from what the model knows, of cells, material, start, field and times, is said in a sentence. The model
        begins with the run's own first states and follows the run's field. Its answer stands beside what encoder and
        decoder alone make of the run, and beside the start, held: the simplest answer there is.
        Raises ValueError for a film of another size or shape, and a run that is too short. Own films: "Bring your own film".
        """
        instance("run", run, Trajectory)
        array("run", run.m, finite=True)
        words, ours = self._differences(run), self.film
        last = run.t[0] + min(self.dynamics.last * (1 + 1e-9), run.t[-1] - run.t[0])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            whole = run.t <= last + 1.5 * self.every  # one more, which the last of the new states lies before
            field = run.field if run.field.ndim == 1 else run.field[whole]
            try:
                near = Trajectory(run.t[whole], run.m[whole], field, run.film).resample(ours, self.every)
            except ValueError as error:
                raise ValueError(f"run: {error}") from error
            if not np.array_equal(near.film.inside, ours.inside):
                raise ValueError(f"run: its film has another shape; {np.count_nonzero(near.film.inside != ours.inside)} cells differ from the model's")
            nt, n = int(np.sum(near.t <= last + 1e-3 * self.every)), 1 + self.dynamics.history
            if nt <= n:
                raise ValueError(f"run: it lasts {run.t[-1] - run.t[0]:g} s; more than {self.dynamics.history * self.every:g} s is needed")
            t, m = np.arange(nt) * self.every, near.m[:nt]
            fields = np.array(np.broadcast_to(near.field, (len(near), 3))[:nt])
            near = Trajectory(t, m, near.field if near.field.ndim == 1 else fields, near.film, run.info)
            # The start of a magnetic run, as the training data had it, decides what a model can follow
            off = np.sqrt(np.mean(np.sum((m[0] - llg.s_state(ours))[ours.inside]**2, axis=-1)))
            held = self.encode(m)
            seen = fields.copy()
            if self.dynamics.means:  # between the run's times the field is taken to go straight
                seen[1:] = (fields[1:] + fields[:-1]) / 2
            states = {"the model": self._trajectory(m[:n], self.rollout(held[:n], seen), near.field).m,
                      "encoder and decoder alone": self.decode(held, unit=True), "the start, held": np.broadcast_to(m[:1], m.shape)}
        moves = self.dynamics.means  # a model that sees the field between two states has learned from fields that move, and many starts
        if off > 0.1 and not moves:
            words.append(f"The run does not begin in the S-state, from which the model's training began: it is off by {off:.2f} (L2).")
        if self.fan:
            if text := self._outside(fields):
                words.append(f"The field {text}.")
            if np.ptp(fields, axis=0).max() > 1e-6 and not moves:
                words.append("The field changes in time; the model was trained in constant fields.")
        words += [f"{str(one.message).removeprefix('every: ')}." for one in caught if one.category in (UserWarning, RuntimeWarning)]
        return Comparison(near, {name: Trajectory(t, one, near.field, near.film) for name, one in states.items()}, words)

    def _differences(self, run):
        """What film and clock of a run are that the model's are not, in sentences."""
        its, ours, words = run.film, self.film, []
        lengths = lambda film: f"{' × '.join(f'{1e9 * length:.4g}' for length in film.size)} nm"
        if not np.allclose(its.size, ours.size, rtol=0.01, atol=0):
            raise ValueError(f"run: its film is {lengths(its)}; this model knows one film alone, of {lengths(ours)}")
        if not np.allclose(its.size, ours.size, rtol=1e-6, atol=0):
            words.append(f"The run's film is {lengths(its)}; it is taken for the model's, {lengths(ours)}.")
        if its.cells != ours.cells:
            words.append(f"The run has {its.nx} × {its.ny} cells, the model {ours.nx} × {ours.ny}: each state is put on the model's.")
        for name, unit in (("Ms", "A/m"), ("A", "J/m"), ("alpha", ""), ("gamma0", "m/(A s)")):
            mine, its_own = getattr(ours, name), getattr(its, name)
            if not np.isclose(its_own, mine, rtol=1e-3, atol=0):
                words.append(f"The run's {name} is {its_own:.4g} {unit}".rstrip() + f"; the model answers for {mine:.4g}.")
        if assumed := run.info.get("assumed"):
            words.append(f"Not in the files and not given: {', '.join(assumed)}; permalloy's were taken.")
        if run.t[0] != 0:
            words.append(f"The run's clock begins at {1e9 * run.t[0]:.4g} ns; its first state is taken for the model's start.")
        steps = np.diff(run.t)
        if len(steps) and not np.allclose(steps, self.every, rtol=1e-3, atol=0):
            words.append(f"The run has states {1e12 * steps.min():.3g} to {1e12 * steps.max():.3g} ps apart, the model one each "
                        f"{1e12 * self.every:.3g} ps: a cubic runs through the run's.")
        if run.t[-1] - run.t[0] > self.dynamics.last * (1 + 1e-9):
            words.append(f"The model knows nothing after {1e9 * self.dynamics.last:.4g} ns; what the run has later is left out.")
        return words

    def rollout(self, first: np.ndarray, fields: np.ndarray) -> np.ndarray:
        """Latent states (nt, latent) from those at the beginning, or (n, nt, latent) of n runs at once.

        first: (1 + history, latent) or (n, ...), `every` apart: the start, and what the dynamics needs beside it.
        fields: mu0*H in T at the nt times, (nt, 2 or 3) or (n, ...), or its means for a dynamics with `means`. As `latents`, without the solver.
        Where a rollout leaves twice the range of all latent states of the training, it has run away: from there on it is
        NaN, and a warning says so.
        """
        first, fields = array("first", first).astype(np.float32), array("fields", fields).astype(float)
        one = first.ndim == 2
        if one:
            first, fields = first[None], fields[None]
        needed = (1 + self.dynamics.history, self.latent)
        if first.shape[1:] != needed:
            raise ValueError(f"first: got shape {first.shape}; (n, 1 + history, latent) = (n, {needed[0]}, {needed[1]}) is needed")
        if fields.ndim != 3 or len(fields) != len(first) or fields.shape[2] not in (2, 3) or fields.shape[1] < needed[0]:
            raise ValueError(f"fields: got shape {fields.shape}; (n, nt, 2), for {len(first)} runs of at least {needed[0]} times, "
                             "is needed")
        for name, values in (("first", first), ("fields", fields)):
            if not np.isfinite(values).all():
                raise ValueError(f"{name}: it holds numbers that are not finite")
        if (fields.shape[1] - 1) * self.every > self.dynamics.last * (1 + 1e-9):
            raise ValueError(f"duration: got {(fields.shape[1] - 1) * self.every:g} s; this model knows nothing after "
                             f"{self.dynamics.last:g} s")
        c = self.dynamics.rollout(first, fields[..., :2])
        if c.shape != (*fields.shape[:2], self.latent) or not (np.abs(c[:, :needed[0]] - first) <= 1e-5 * (1 + np.abs(first))).all():  # a mean is rounded
            raise ValueError(f"dynamics: its rollout, of shape {c.shape}, should be {(*fields.shape[:2], self.latent)} and begin with "
                             "`first`")
        away = ~(np.abs(c).max(axis=-1) <= 2 * self.largest)
        if away.any():
            away = np.maximum.accumulate(away, axis=1)
            c = np.where(away[..., None], np.float32(np.nan), c)
            i = int(away.any(axis=1).argmax())
            warnings.warn(f"{np.count_nonzero(away.any(axis=1))} of {len(c)} rollouts ran away, the first at mu0*H = "
                          f"{_mT(fields[i, away[i].argmax()])} after {away[i].argmax()} steps; they are NaN from there on",
                          RuntimeWarning, stacklevel=2)
        return c[0] if one else c

    def first_states(self, field: Field, start: np.ndarray | None = None) -> np.ndarray:
        """The start and the states that the dynamics needs from the solver, (1 + history, ny, nx, 3)."""
        n = self.dynamics.history
        if n:
            return llg.simulate(field, self.film, start, n * self.every, self.every, progress=False).m
        return (llg.s_state(self.film) if start is None else self.film.state(start, "start"))[None].astype(np.float32)

    def _runs(self, given, fields, start):
        """Yield (first states, all latent states, the field as it was given) of each run."""
        for first, c, part in self._chunks(given, fields, start):
            yield from zip(cycle(first), c, [b if callable(b) else applied.vector(b) for b in part])

    def _chunks(self, given, fields, start):
        """Yield (first states, latent states (n, nt, latent), the fields as they were given) of n runs at a time; where all begin with the
        start alone, that stands once for all n."""
        size = CHUNK if self.dynamics.history else 2 * CHUNK
        chunks = range(0, len(given), size)
        for i in bar(chunks, desc="rollouts", unit=f"{size} fields") if len(chunks) > 1 else chunks:
            part = slice(i, i + size)
            if self.dynamics.history:
                first = [self.first_states(b, start) for b in given[part]]
                encoded = [self.encode(m) for m in first]
            else:
                first, encoded = [start[None].astype(np.float32)], [self._encoded(start)] * len(given[part])
            yield first, self.rollout(np.stack(encoded), fields[part]), given[part]

    def _arguments(self, field, start, duration):
        """The fields of all runs as a list, their values (n, nt, 3) at the times of a run, and the start, checked."""
        given = _list(field)
        t, *_, start = llg.check_run(given[0], self.film, start, duration, self.every, 1.0, "single")
        if len(t) <= 1 + self.dynamics.history:
            raise ValueError(f"duration: got {duration:g} s; more than {self.dynamics.history * self.every:g} s is needed")
        moves = any(map(callable, given))
        if moves:
            fields = np.stack([applied.sample(b, t) for b in given])
            if self.dynamics.means:
                fields[:, 1:] = [applied.means(b, t) for b in given]
            else:
                _warn_between(given, t, fields)
        else:  # a thousand of them should cost no more than their answers
            fields = np.broadcast_to(applied.vectors(given)[:, None], (len(given), len(t), 3))
        if self.fan:
            self._warn_outside(fields if moves else fields[:, :1])
        if np.isfinite(self.held):
            self._encoded(start)
        return given, fields, start

    def _encoded(self, start):
        """A start's latent state (1, latent), kept for the next call with the same start; one that the latent states cannot hold is
        refused: nothing that follows could be right."""
        key = start.tobytes()
        if self._last_start[0] != key:
            m = start[None].astype(np.float32)
            c = self.encode(m)
            if np.isfinite(self.held):
                off = float(np.sqrt(np.sum((self.decode(c, unit=True) - m)**2) / np.sum(m**2)))
                if off > 2 * self.held:
                    raise ValueError(f"start: this model's {self.latent} numbers hold it to a relative L2 error of {off:.2g}; of the runs that "
                                     f"it was trained on they hold all states to {self.held:.2g}")
            self._last_start = key, c
        return self._last_start[1]

    def _warn_outside(self, fields):
        """Warn of fields (n, nt, 3) outside of the fan, by the first of them."""
        outside = (self._over(fields) > 1e-6).any(axis=(1, 2))
        if outside.any():
            count = "" if len(fields) == 1 else f"{np.count_nonzero(outside)} of {len(fields)} fields are outside the fan, the first: "
            warnings.warn(f"{count}{self._outside(fields[outside.argmax()])}", UserWarning, stacklevel=4)

    def _over(self, fields):
        """By how much fields (..., 3) are outside of the fan, (..., 3): in strength in mT, in angle in degrees, and out of the plane in mT."""
        low, high = self.fan["strength"]
        size, angle = applied.to_polar(fields)
        return np.stack([np.maximum(low - size, size - high) * 1e3,
                         np.abs((angle - self.fan["angle"] + 180) % 360 - 180) - self.fan["opening"] / 2,
                         np.abs(fields[..., 2]) * 1e3], axis=-1)

    def _outside(self, field):
        """By how much a field (nt, 3) is outside of the fan, at the farthest of its times, in words; or None."""
        over = self._over(field)
        if not (over > 1e-6).any():
            return None
        k = int(over.max(axis=1).argmax())
        by = [f"{v:.1f} {what}" for v, what in zip(over[k], ("mT in strength", "degrees in angle", "mT out of the plane")) if v > 1e-6]
        return f"mu0*H = {_mT(field[k])} is outside the fan that the model was trained on, by {' and '.join(by)}"

    def _averages(self, first, c):
        """Film averages (n, nt, 3) of latent states (n, nt, latent), of runs that begin with the states `first`, n of them or one for all."""
        mean, whole = np.full((*c.shape[:2], 3), np.nan), np.isfinite(c).all(axis=2)
        mean[whole] = self.read(c[whole])
        share = self.film.inside.ravel() / np.count_nonzero(self.film.inside)
        mean[:, :len(first[0])] = [share @ one.reshape(len(one), -1, 3) for one in first]
        return mean

    def _trajectory(self, first, c, field):
        m = np.full((len(c), *first.shape[1:]), np.nan, np.float32)
        whole = np.isfinite(c).all(axis=1)
        whole[:len(first)] = False
        m[whole] = self.decode(c[whole], unit=True)
        m[:len(first)] = first
        info = {"solver": "reduced order model", "latent": self.latent, **self.info}
        return Trajectory(np.arange(len(m)) * self.every, m, field, self.film, info)

    # ------------------------------------------------------------------ files

    def save(self, path: str | Path, half: bool = False) -> None:
        """Write everything to one `.npz` file, whole or not at all. half: weights in 16 bits, half the size.

        `load` takes networks that are made of `LAYERS` alone.
        """
        arrays: dict[str, Any] = {}
        half = truth("half", half)
        parts = {name: _pack(name, getattr(self, name), arrays, np.float16 if half else np.float32) for name in PARTS}
        arrays["inside"] = self.film.inside
        known = {(w.shape, w.tobytes()): name for name, w in arrays.items() if name.startswith("decoder")}
        same = {name: known[w.shape, w.tobytes()] for name, w in arrays.items() if name.startswith("readout") and (w.shape, w.tobytes()) in known}
        arrays = {name: w for name, w in arrays.items() if name not in same}  # what the readout shares with the decoder is written once
        header = {"format": FORMAT, "sha256": _digest(arrays), **parts, "same": same, "largest": self.largest, "held": self.held, "film": self.film.describe(), "fan": self.fan,
                  "info": self.info}
        with atomic(path) as file:
            np.savez_compressed(file, **arrays, header=np.array(json.dumps(header, default=lambda value: np.asarray(value).tolist())))

    @classmethod
    def load(cls, path: str | Path) -> "ReducedOrderModel":
        """Read what `save` wrote. Raises ValueError, naming the file, if it is damaged, altered or foreign.

        The file's checksum of all its arrays tells that; files of older versions have none. No number may be NaN, and no
        network made of anything but `LAYERS`.
        """
        path = as_path(path)
        try:
            with np.load(path, allow_pickle=False) as z:
                arrays = dict(z)
            header = json.loads(str(arrays.pop("header")))
            if header["format"] != FORMAT:
                raise ValueError(f"its format is {header['format']!r}, not {FORMAT!r}")
            if header.get("sha256", _digest(arrays)) != _digest(arrays):
                raise ValueError("its numbers were altered: their checksum is another")
            for name, values in arrays.items():
                array(name, values, finite=True)
            arrays |= {name: arrays[of] for name, of in header.get("same", {}).items()}
            encoder, decoder, dynamics, readout = (_unpack(header.get(name), arrays) for name in PARTS)
            film = Film(**header["film"] | {"mask": arrays["inside"]})
            return cls(encoder, decoder, dynamics, film=film, readout=readout, **{name: header[name] for name in ("largest", "held", "fan", "info") if name in header})
        except FileNotFoundError:
            raise
        except Exception as error:  # a damaged archive raises a dozen kinds
            raise ValueError(f"{path} is not a reduced order model that can be read: {error}") from error

    def to_onnx(self, folder: str | Path) -> list[Path]:
        """Write `encoder.onnx`, `decoder.onnx`, the networks of the dynamics, and `readout.onnx` where there is one, into a folder; return their paths.

        Inputs and outputs are in magbook's units, see `Dynamics.networks` of each kind: the paper's predictor takes the
        field mu0*H in T, (n, 2), and four latent states, (n, 4, latent), the oldest first, and gives the next.
        Needs `tf2onnx` with Keras on TensorFlow, or what `keras.Model.export` asks for on another back end.
        """
        folder = as_path(folder, "folder")
        folder.mkdir(parents=True, exist_ok=True)
        models = {"encoder": self.encoder, "decoder": self.decoder, **self.dynamics.networks()} | ({} if self.readout is None else {"readout": self.readout})
        for name, model in models.items():
            model([np.zeros((1, *shape[1:]), np.float32) for shape in model.input_shape]
                  if isinstance(model.input_shape, list) else np.zeros((1, *model.input_shape[1:]), np.float32))
            model.export(folder / f"{name}.onnx", format="onnx", verbose=False)
        return [folder / f"{name}.onnx" for name in models]

    def to_fmu(self, path: str | Path, start: np.ndarray | None = None) -> None:
        """Write a functional mock-up unit (FMI 2.0, co-simulation), which circuit simulators run without Python.

        Its inputs are hx and hy in T, its outputs mx, my and mz. path: the file, `.fmu`. start: the state that it begins in, (ny, nx, 3); by
        default the film's S-state. A unit takes the field to be constant within a communication step, which may be of any length: the model
        steps in the mean over `every`, and between two of its states the outputs go in a straight line to the one that the mean so far leads
        to. It holds its C source and, where there is a C compiler (`$CC`, `cc`, `gcc` or `clang`), what that makes of it for this machine; where
        there is none a warning says so.
        Raises ValueError for a dynamics that is not that of chapter 8, and a start that the model cannot hold, RuntimeError where the compiler fails.
        """
        parts = self.dynamics.parts()
        if parts is None:
            raise ValueError(f"dynamics: {type(self.dynamics).__name__} cannot be written as a unit; a driven model, such as load_rom('driven'), is needed")
        first = self._encoded(llg.s_state(self.film) if start is None else self.film.state(start, "start"))
        size = " x ".join(f"{1e9 * length:g}" for length in self.film.size)
        _fmu.write(path, parts, first[0], self.every, f"Film average of a magnetic film, {size} nm, in a field")


# ---------------------------------------------------------------------------- models by name


def model(name: str) -> Callable:
    """Register a function that makes a model, under a name: `load_rom` finds it, and chapter 5 puts it into its tables.

        @rom.model("repeat the last state")
        def repeat(): ...
    """
    if not isinstance(name, str) or not name or name in SHIPPED:
        raise ValueError(f"name: got {said(name)}; a text is needed, and not that of a model that ships")

    def register(function):
        MODELS[name] = function
        return function

    return register


def registered() -> dict[str, Callable[[], ReducedOrderModel]]:
    """The functions that the modules of this package registered, by name."""
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__, f"{__package__}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return dict(MODELS)


def load_rom(name: str | Path = "paper") -> ReducedOrderModel:
    """A trained `ReducedOrderModel`, shipped with the book: "paper", the networks of the paper; "atlas", that of chapter 7;
    "driven", that of chapter 8.

    Or one in a file, by its path, or one that a module of the package registered with `model`.
    """
    path = as_path(name, "name")
    if name in SHIPPED:
        return ReducedOrderModel.load(shipped(f"rom_{name}.npz"))
    if path.exists():
        return ReducedOrderModel.load(path)
    if name in registered():
        return MODELS[name]()
    known = ", ".join(repr(one) for one in (*SHIPPED, *MODELS))
    raise FileNotFoundError(f"load_rom: there is no file {name}, and no model of this name; there are {known}")


# ---------------------------------------------------------------------------- parts as numbers


def _pack(name, value, arrays, dtype):
    """What JSON can hold of a part of a model; arrays and weights go into `arrays` under names that begin with `name`."""
    if isinstance(value, Dynamics):
        module, _, kind = type(value).__module__.rpartition(".")
        if module != __package__:
            raise ValueError(f"dynamics: a file can name a kind that is in a module of magbook, not {type(value)!r}")
        return {"kind": [kind, type(value).__name__],
                "fields": {f.name: _pack(f"{name}.{f.name}", getattr(value, f.name), arrays, dtype) for f in dataclasses.fields(value)}}
    if isinstance(value, keras.Model):
        arrays |= {f"{name}.{i}": w.astype(dtype) for i, w in enumerate(value.get_weights())}
        return {"network": json.loads(value.to_json()), "weights": name}
    if isinstance(value, np.ndarray):
        small = value.astype(dtype)  # where that loses nothing, as in what was rounded before
        arrays[name] = small if np.array_equal(small, value) else value
        return {"array": name}
    if isinstance(value, (list, tuple)):
        return [_pack(f"{name}.{i}", one, arrays, dtype) for i, one in enumerate(value)]
    return value


def _unpack(node, arrays):
    """The part that `_pack` described."""
    if isinstance(node, list):
        return [_unpack(one, arrays) for one in node]
    if not isinstance(node, dict):
        return node
    if "array" in node:
        return arrays[node["array"]]
    if "network" in node:
        network = keras.models.model_from_json(json.dumps(_checked(_of_any_keras(node["network"]))))
        network.set_weights([arrays[f"{node['weights']}.{i}"].astype(np.float32) for i in range(len(network.get_weights()))])
        return network
    module, name = node["kind"]
    kind = getattr(importlib.import_module(f"{__package__}.{module}"), name) if module.isidentifier() else None
    if not (isinstance(kind, type) and issubclass(kind, Dynamics)):
        raise ValueError(f"{module}.{name} is no dynamics")
    return kind(**{name: _unpack(value, arrays) for name, value in node["fields"].items()})


def _of_any_keras(config):
    """A network's configuration without what an older Keras may not know and a trained network does not need."""
    if isinstance(config, list):
        return [_of_any_keras(one) for one in config]
    if not isinstance(config, dict):
        return config
    return {key: _of_any_keras(value) for key, value in config.items()
            if not key.endswith("_initializer") and (key, value) != ("quantization_config", None)}


def _checked(config):
    """A network's configuration, if all that Keras would build by it is known."""
    if isinstance(config, list):
        return [_checked(one) for one in config]
    if not isinstance(config, dict):
        return config
    if "class_name" in config:
        module, kind, name = (str(config.get(key)) for key in ("module", "class_name", "config"))
        if not (kind in LAYERS and module.partition(".")[0] in ("keras", "None") or kind == "function" and name in _FUNCTIONS
                or (module, kind) == _LAYER):
            raise ValueError(f"a network in it names {name if kind == 'function' else f'{module}.{kind}':.60}, which is not among {', '.join(sorted(LAYERS))}")
    return {key: _checked(value) for key, value in config.items()}


def _digest(arrays):
    """The SHA-256 of arrays and their names."""
    total = hashlib.sha256()
    for name, values in sorted(arrays.items()):
        total.update(f"{name} {values.dtype.str} {values.shape} ".encode() + np.ascontiguousarray(values).tobytes())
    return total.hexdigest()


def _apply(model, x, chunk=CHUNK):
    """A network on many inputs, a chunk at a time."""
    return np.concatenate([np.asarray(model.predict_on_batch(x[i:i + chunk])) for i in range(0, len(x), chunk)]
                          or [np.empty((0, *model.output_shape[1:]), np.float32)])


def _mT(b):
    return f"({', '.join(f'{v * 1e3:.1f}' for v in b)}) mT"


def _single(field):
    """Is it one field, and not a list of them?"""
    return callable(field) or (len(field) > 0 and not callable(field[0]) and np.ndim(field[0]) == 0)


def _warn_between(given, t, fields):
    """Warn of fields in time that leave, between two samples, the range of both: a model sees the samples alone."""
    for field, sampled in zip(given, fields):
        if callable(field):
            between = np.stack([applied.sample(field, t[:-1] + share * np.diff(t)) for share in (0.125, 0.375, 0.625, 0.875)])
            low, high = np.minimum(sampled[:-1], sampled[1:]), np.maximum(sampled[:-1], sampled[1:])
            off = np.maximum(low - between, between - high)
            if off.max() > 0.05 * max(np.abs(sampled).max(), np.abs(between).max()):
                k = int(off.max(axis=(0, 2)).argmax())
                warnings.warn(f"field: between {t[k]:g} s and {t[k + 1]:g} s it does what its values at these times do not show, by up to "
                              f"{off.max() * 1e3:.1f} mT; this model sees the field at its own times alone", UserWarning, stacklevel=4)
                return


def _list(field):
    """The fields of one or several runs, as a list that is not empty."""
    what = "mu0*H in T, a function of t, or a list of either,"
    if isinstance(field, (str, bytes, dict)):
        raise TypeError(f"field: got {said(field)}; {what} is needed")
    given = [field] if callable(field) else listed("field", field, what)
    if given and _single(given):
        given = [field]
    if not given:
        raise ValueError("field: there is none")
    return given
