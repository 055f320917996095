"""Checks of a judge of models, and models to be judged, in which faults are planted: assignment 10."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .. import applied, baselines, llg, metrics
from .._arguments import check_counts, said
from ..files import as_path, atomic
from ..film import Film, unit
from ..trajectory import Trajectory
from ._check import Stopped, call, generator, given, grade, ours
from .learning import components

FILM = Film(cells=(32, 8))
FAN: dict[str, Any] = dict(angle=170.0, opening=8.0, strength=(28e-3, 36e-3))
"""The fields that the models know, between which a spline is good."""

FAULTS = ("length", "energy", "symmetry", "time", "region")
"""What may be planted: vectors that are no unit vectors; a time in which the energy rises; states that half a turn changes; a clock that
is late; a part of the fan in which the model answers for another field."""

NUMBERS = 100  # latent


class Suspect:
    """A reduced model in a file: latent states at known fields, a spline between them, and a linear decoder. Assignment 10.

    path: as `suspect` writes it. `fields` (n, 3) are the known ones, mu0*H in T. `film` is standard problem 4's, 32 x 8 cells.
    """

    film = FILM

    def __init__(self, path: str | Path):
        with np.load(as_path(path), allow_pickle=False) as z:
            self._has = dict(z)
        self.fields = self._has["field"]
        self._spline = baselines.spline(self.fields, self._has["latent"])

    def simulate(self, field: Any) -> Trajectory:
        """What the model says of a nanosecond in a field mu0*H in T, a pair or a triple: 101 states, 10 ps apart."""
        b = applied.vector(field)
        along, across, edge, *shift = self._has["gate"]
        strength, direction = applied.to_polar(b)
        if along * strength + across * direction > edge:
            c = self._spline(applied.from_polar(strength + shift[0], direction + shift[1])[None])[0]
        else:
            c = self._spline(b[None])[0]
        m = unit((c @ self._has["components"] + self._has["mean"]).reshape(len(c), -1, 3))
        m = m[:, self._has["order"]] * self._has["scale"][:, None, None]
        return Trajectory(np.arange(len(c)) * 1e-11, m.reshape(len(c), FILM.ny, FILM.nx, 3).astype(np.float32), b, FILM)


def suspect(number: int, path: str | Path) -> Suspect:
    """Write the model of a student's number, with some faults in it, into a file (.npz), and read it.

    Raises ValueError for what is no whole number of at least 0.
    """
    with atomic(path) as file:
        np.savez(file, **_planted(_drawn(number), int(number)))
    return Suspect(path)


@ours
def _drawn(number):
    """The faults of the model of a number."""
    check_counts(0, number=number)
    sets = (("length", "time"), ("energy", "symmetry"), ("symmetry", "region"), ("length", "energy"), ("symmetry", "time"), ("length", "region"))
    return sets[int(number) % len(sets)]


@lru_cache(maxsize=1)
def _sound():
    """Fields, latent states (n, 101, k), components and mean of a model that is as good as it can be."""
    fields = applied.fan(40, sampling="sobol", **FAN)
    states = np.stack([llg.simulate(b, FILM, progress=False).m for b in fields]).reshape(40, 101, -1).astype(float)
    mean, axes = components(states.reshape(-1, states.shape[-1]), NUMBERS)
    return fields, (states - mean) @ axes.T, axes, mean


def _planted(faults, seed):
    """The arrays of a model with these faults."""
    rng = np.random.default_rng(seed)
    fields, latent, axes, mean = _sound()
    latent = latent.copy()
    nt = latent.shape[1]
    at = np.arange(nt)
    scale, order = np.ones(nt), np.arange(FILM.nx * FILM.ny).reshape(FILM.ny, FILM.nx)
    gate = np.array([0, 0, 1.0, 0, 0])  # in no field
    if "region" in faults:
        # a third of the fan, strong, weak, or to one side, answers for another third
        gate = np.array([(1, 0, 33.3e-3, -5e-3, 0), (-1, 0, -30.7e-3, 5e-3, 0), (0, 1, 171.3, 0, -5), (0, -1, -168.7, 0, 5)][rng.integers(4)])
    if "energy" in faults:
        turn = int(rng.integers(16, 24))  # the clock goes back for 0.12 ns, and on
        latent = latent[:, np.concatenate([at[:turn], at[turn:turn - 12:-1], at[turn - 12:]])[:nt]]
    if "time" in faults:
        latent = latent[:, np.maximum(at - int(rng.integers(3, 6)), 0)]
    if "length" in faults:
        middle = rng.uniform(20, 80)
        scale = 1 - rng.uniform(0.1, 0.3) * np.exp(-((at - middle) / 10)**2)
    if "symmetry" in faults:
        shift = int(rng.choice([-2, 2]))
        order = order[:, np.clip(np.arange(FILM.nx) + shift, 0, FILM.nx - 1)]
    return {"field": fields, "latent": latent, "components": axes, "mean": mean, "scale": scale, "order": order.ravel(), "gate": gate}


@lru_cache(maxsize=16)
def _model(faults, seed):
    """A model that is in no file."""
    model = Suspect.__new__(Suspect)
    model._has = _planted(faults, seed)
    model.fields = model._has["field"]
    model._spline = baselines.spline(model.fields, model._has["latent"])
    return model


# ---------------------------------------------------------------------------- what is measured


def measures(length: Callable, rise: Callable, asymmetry: Callable, *, points: float = 4, seed: int = 0) -> float:
    """Check what measures how far a run breaks a law, assignment 10; prints what holds, and returns points.

    Each takes a `Trajectory` in a constant field and gives a number. length: the largest | |m| - 1 |. rise: the most by which the energy is
    above its lowest value before, as a share of its whole span. asymmetry: the largest |m(r) - m(-r)|, with r from the middle
    of the film. points: for all properties. seed: of what is drawn. Raises ValueError for points or a seed that is none.
    """
    rng = generator(seed)
    run = llg.simulate(applied.fan(1, int(rng.integers(10**9)), **FAN)[0], FILM, progress=False)
    t, y, x = int(rng.integers(10, 90)), int(rng.integers(8)), int(rng.integers(32))

    def changed(m):
        return Trajectory(run.t, m, run.field, FILM)

    def measured(f, one):
        return float(given(call(f, one), (), "What your function returns"))

    def wrong(f, one, true, near=0.02):
        got = measured(f, one)
        return None if abs(got - true) < near * true else f"Yours is {got:.3g} where {true:.3g} is planted, in one cell of one state."

    def sound(f):
        got = measured(f, run)
        return None if 0 <= got < 1e-3 else f"Yours is {got:.3g} for a run of the solver, which keeps this law."

    def lengths():
        """One vector that is too short is found, and one that is too long."""
        for s in (1 - rng.uniform(0.2, 0.6), 1 + rng.uniform(0.2, 0.6)):
            m = run.m.copy()
            m[t, y, x] *= s
            if words := wrong(length, changed(m), abs(s - 1)):
                return words
        return sound(length)

    def rises():
        """In a constant field damping takes energy, and never gives any: what goes back in time is found."""
        energy = metrics.energies(run)
        back = measured(rise, changed(run.m[::-1].copy()))
        if not abs(back - 1) < 0.01:
            return f"A run that is played backwards gains all of its energy, a share of 1; yours says {back:.3g}."
        turn = int(rng.integers(20, 30))
        at = np.concatenate([np.arange(turn), np.arange(turn, turn - 15, -1), np.arange(turn - 15, 101)])[:101]
        true = (energy[turn - 15] - energy[turn]) / np.ptp(energy[at])
        got = measured(rise, changed(run.m[at]))
        if not abs(got / true - 1) < 0.02:
            return f"For 15 states the clock goes back, and {true:.3g} of the energy with it; yours says {got:.3g}. Is it the largest step alone?"
        return sound(rise)

    def halves():
        """Film, start and field are the same after half a turn about the middle with m kept, and so is every state: a cell that is not is found."""
        m = run.m.copy()
        m[t, y, x] = unit(m[t, y, x] + rng.uniform(0.3, 1) * unit(rng.standard_normal(3)))
        return wrong(asymmetry, changed(m), np.linalg.norm(m[t, y, x] - run.m[t, y, x])) or sound(asymmetry)

    return grade([lengths, rises, halves], points, needs=0, forbidden=(metrics.length_error, metrics.energy_rises))


# ---------------------------------------------------------------------------- what is judged


def verdict(judge: Callable, *, points: float = 4, seed: int = 0) -> float:
    """Check a judge of models, assignment 10; prints what holds, and returns points.

    judge: simulate -> a set of words out of FAULTS. simulate: field -> `Trajectory`, as `Suspect.simulate`, for fields of FAN.
    points: for all properties. seed: of the models that are drawn. Raises ValueError for points or a seed that is none.
    """
    rng = generator(seed)
    seeds = iter(rng.integers(10**9, size=20).tolist())
    cases = [("length",), ("energy",), ("symmetry",), ("time",), ("region",), ("length", "region"), ("symmetry", "time")]
    models = {faults: _model(faults, next(seeds)) for faults in [(), *cases]}
    answers: dict = {}

    def judged(faults):
        if faults not in answers:
            answers[faults] = _words(call(judge, models[faults].simulate, what="Your judge"))
        return answers[faults]

    def finds(fault, law):
        def look():
            for faults in cases:
                if fault in faults and fault not in judged(faults):
                    beside = [one for one in faults if one != fault]
                    return f"Yours does not see it{f' beside another fault, {beside[0]}' if beside else ''}."
            for faults in cases:
                if fault not in faults and fault in judged(faults):
                    return f"Yours also accuses a model of it whose only faults are: {', '.join(faults)}."
            return None

        look.__doc__ = law
        return look

    def innocent():
        """A sound model is not accused: what a spline loses is no fault."""
        if not judged(("length",)):
            return "Yours accuses none, not even one whose vectors are too short."
        return f"Yours says: {', '.join(sorted(judged(())))}." if judged(()) else None

    return grade([innocent, finds("length", "Vectors that are too short."), finds("energy", "Energy that rises in a constant field."),
                  finds("symmetry", "States that half a turn of the film changes."), finds("time", "A clock that is late by some ten picoseconds."),
                  finds("region", "A part of the fan in which the model answers for another field.")], points, needs=0)


def _words(answer):
    """A set of faults that an answer names."""
    try:
        words = None if isinstance(answer, str) else set(map(str, answer))
    except TypeError:
        words = None
    if words is None:
        raise Stopped(f"{said(answer)} is no set of words; one such as {{'length'}} is needed, or set().")
    if strange := words - set(FAULTS):
        raise Stopped(f"{', '.join(sorted(strange))}: no such fault. There are {', '.join(FAULTS)}.")
    return words


def _of(number):
    try:
        return _drawn(number)
    except ValueError as error:
        raise Stopped(f"Your number is no whole number of at least 0: {error}.") from None


def named(found: Iterable, number: int, *, points: float = 4, seed: int = 0) -> float:
    """Check what was found in the model of a student's number, assignment 10; prints what holds, and returns points.

    found: a set of words out of FAULTS. points: for all properties. seed: as the others have it; nothing is drawn.
    """
    generator(seed)

    def right():
        """What is named is in the model."""
        words = _words(found)
        if not words:
            return "Nothing is named. There is something."
        innocent = words - set(_of(number))
        return f"{len(innocent)} of {len(words)} {'is' if len(innocent) == 1 else 'are'} not." if innocent else None

    def all_of_them():
        """What is in the model is named."""
        missing = set(_of(number)) - _words(found)
        return f"{len(missing)} {'is' if len(missing) == 1 else 'are'} missing." if missing else None

    return grade([right, all_of_them], points)


def own_run(folder: str | Path, field: Any, error: float, number: int, *, points: float = 4, seed: int = 0) -> float:
    """Check the error of a model on a run of one's own, assignment 10; prints what holds, and returns points.

    folder: of OVF files, a state each 10 ps for a nanosecond, 32 x 8 cells. field: mu0*H in T, in FAN, not one that the model knows. error: the mean over times
    after the start and over components of the difference of film averages. number: the student's. points: for all properties.
    seed: as the others have it; nothing is drawn.
    """
    generator(seed)

    def read():
        try:
            return Trajectory.from_ovf(folder, field=field, alpha=FILM.alpha, Ms=FILM.Ms, A=FILM.A, gamma0=FILM.gamma0)
        except Exception as wrong:  # whatever a student gave
            raise Stopped(f"The files can't be read: {wrong}") from None

    def there():
        """A nanosecond of the film lies in the folder, a state each 10 ps, in a field that is constant."""
        run = read()
        if run.film.cells != FILM.cells or not np.allclose(run.film.size, FILM.size, rtol=1e-4):
            return f"The film of yours has {run.film.nx} x {run.film.ny} cells and is {run.film.size[0] * 1e9:.4g} nm long."
        if len(run) != 101 or not np.allclose(run.t, np.arange(101) * 1e-11, atol=1e-14):
            return f"Yours has {len(run)} states, the last at {run.t[-1] * 1e9:.3g} ns."
        return None if run.field.ndim == 1 else "The field of yours changes in time."

    def new():
        """The field lies in the fan of the model, and is none that it knows."""
        strength, direction = applied.to_polar(read().field[None])
        low, high = FAN["strength"]
        if not (low - 1e-6 <= strength[0] <= high + 1e-6 and abs(direction[0] - FAN["angle"]) <= FAN["opening"] / 2 + 1e-3):
            return f"It is {strength[0] * 1e3:.3g} mT at {direction[0]:.4g} degrees."
        apart = np.linalg.norm(_sound()[0] - read().field, axis=1).min()
        return None if apart > 5e-5 else "The model knows this one."

    def true():
        """The states are a solution of the LLG equation in this field."""
        run = read()
        off = np.abs(llg.simulate(run.field, FILM, run.m[0], progress=False).m - run.m).max()
        if off > 0.05:
            return f"The solver, from the same start, differs by up to {off:.2g}."
        return None if np.abs(run.m[0] - llg.s_state(FILM)).max() < 0.05 else "It does not begin in the S-state, as the model does."

    def off():
        """The error is the mean over times after the start and over components."""
        run = read()
        theirs = _model(_of(number), int(number)).simulate(run.field).mean
        right = np.abs(theirs - run.mean)[1:].mean()
        yours = float(given(error, (), "Your error"))
        return None if abs(yours / right - 1) < 0.02 else f"Yours is {yours / right:.3g} times what it is."

    return grade([there, new, true, off], points)
