"""The Landau-Lifshitz-Gilbert equation of a thin film: fields, energies, time integration, relaxation.

Chapter 1 derives every piece; `multirate` takes the steps. The equation, in its explicit (Landau-Lifshitz) form:

    dm/dt = -gamma0/(1 + alpha^2) [m x H + alpha m x (m x H)],   H = H_exchange + H_demag + H_zeeman

The terms are in NumPy and double precision, with states (ny, nx, 3) and fields in A/m.
"""

import time
import warnings
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from . import applied
from ._arguments import are_numbers, array, check_counts, choice, instance, number, said
from ._progress import bar
from .applied import Field
from .demag import Demag
from .files import arrays
from .film import MU0, Film, check_memory, unit
from .multirate import ROUNDED, Descent, Multirate, one_thread, time_steps
from .trajectory import Trajectory

# ---------------------------------------------------------------------------- the terms of the equation


def exchange_field(m: np.ndarray, film: Film) -> np.ndarray:
    """H_exchange = 2A/(mu0 Ms) laplacian(m) in A/m, (ny, nx, 3), by the five-point formula.

    The boundary is free: a neighbour that is missing, at an edge or outside the mask, adds nothing.
    In a film of one layer the six neighbours of a cell are four. m: (ny, nx, 3). Source: chapter 1.
    """
    m = _of("m", m, film)
    h = np.zeros_like(m, dtype=float)
    inside = film.inside[..., None]
    for axis, d in ((1, film.dx), (0, film.dy)):
        low = (slice(None),) * axis + (slice(None, -1),)
        high = (slice(None),) * axis + (slice(1, None),)
        step = (m[high] - m[low]) / d**2 * (inside[high] & inside[low])
        h[low] += step
        h[high] -= step
    return 2 * film.A / (MU0 * film.Ms) * h


def _of(name, vectors, film):
    """Vectors of a film, checked."""
    return array(name, vectors, "(ny, nx, 3)", ny=instance("film", film, Film).ny, nx=film.nx)


@lru_cache(maxsize=8)
def _demag(film):
    return Demag(film)


def demag_field(m: np.ndarray, film: Film) -> np.ndarray:
    """H_demag in A/m, (ny, nx, 3): minus the convolution of Ms m with the Newell tensor. m: (ny, nx, 3)."""
    m = _of("m", m, film)
    h = _demag(film).field(np.moveaxis(m.astype(float), -1, 0))
    return film.Ms * np.moveaxis(h, 0, -1) * film.inside[..., None]


def effective_field(m: np.ndarray, film: Film, field: ArrayLike = (0.0, 0.0)) -> np.ndarray:
    """H = H_exchange + H_demag + H_zeeman in A/m, (ny, nx, 3).

    m: (ny, nx, 3). field: mu0*H_zeeman in tesla, a pair or a triple.
    """
    return exchange_field(m, film) + demag_field(m, film) + applied.vector(field) / MU0


def energies(m: np.ndarray, film: Film, field: ArrayLike = (0.0, 0.0)) -> dict[str, float]:
    """Energies of a state in J: a dictionary with `exchange`, `demag`, `zeeman` and their sum `total`.

    E_exchange = -mu0 Ms/2 sum m.H_exchange dV, E_demag = -mu0 Ms/2 sum m.H_demag dV,
    E_zeeman = -mu0 Ms sum m.H_zeeman dV. m: (ny, nx, 3). field: mu0*H in tesla.
    """
    m = instance("film", film, Film).state(m)
    scale = MU0 * film.Ms * film.cell_volume
    e = {"exchange": -scale / 2 * np.sum(m * exchange_field(m, film)),
         "demag": -scale / 2 * np.sum(m * demag_field(m, film)),
         "zeeman": -scale * np.sum(m * applied.vector(field)) / MU0}
    return e | {"total": sum(e.values())}


def llg(m: np.ndarray, h: np.ndarray, film: Film) -> np.ndarray:
    """dm/dt in 1/s of the LLG equation. m: (ny, nx, 3). h: the effective field in A/m, (ny, nx, 3)."""
    m, h = _of("m", m, film), _of("h", h, film)
    mxh = np.cross(m, h)
    return -film.gamma0 / (1 + film.alpha**2) * (mxh + film.alpha * np.cross(m, mxh))


def max_torque(m: np.ndarray, film: Film, field: ArrayLike = (0.0, 0.0)) -> float:
    """max|m x H|/Ms over all cells: 0 at equilibrium. m: (ny, nx, 3). field: mu0*H in tesla."""
    return np.linalg.norm(np.cross(m, effective_field(m, film, field)), axis=-1).max() / film.Ms


# ---------------------------------------------------------------------------- integration in time


def check_run(field: Field, film: Film, start: ArrayLike | None, duration: float, every: float, accuracy: float,
              precision: str, progress: bool = True) -> tuple[np.ndarray, Callable, np.ndarray, np.ndarray]:
    """Check the arguments of `simulate`, whichever solver runs it.

    Returns (times of the samples (nt,), field as a function of t -> (3,) tesla, fields at the samples,
    (3,) if constant, else (nt, 3), start (ny, nx, 3)). Raises as `simulate` says.
    """
    instance("film", film, Film)
    seconds = 1e-18, 1e-3, "s are needed, at most 1e-3. Was it given in ns?"
    for name, value, (low, high, needed) in (("duration", duration, seconds), ("every", every, seconds),
                                             ("accuracy", accuracy, (1e-3, 1e3, "a number from 0.001 to 1000 is needed"))):
        if not (are_numbers(value) and value > 0):
            raise ValueError(f"{name}: got {said(value)}; a number greater than 0 is needed")
        if not low <= value <= high:
            raise ValueError(f"{name}: got {value!r}; {needed}")
    choice("precision", precision, "single", "double")
    if not duration / every < 2**53:
        raise ValueError(f"duration: got {duration:g} s, which is too many samples, one each {every:g} s")
    samples = round(duration / every)
    if samples < 1 or abs(samples * every - duration) > max(1e-6 * every, 1e-12 * duration):
        raise ValueError(f"duration: got {duration:g} s, which is not a multiple of every = {every:g} s; "
                         f"{max(samples, 1) * every:g} s would be")
    size = {"single": 4, "double": 8}[precision]
    check_memory((samples + 1) * film.nx * film.ny * 3 * size + 40 * film.nx * film.ny * 3 * 8,
                 f"A run of {samples + 1} states of {film.nx} x {film.ny} cells")
    t = np.arange(samples + 1) * every
    if callable(field):
        fields = applied.sample(field, t)
        field_at = lambda s: applied.vector(field(s))
    else:
        fields = applied.vector(field)
        field_at = lambda s: fields
    return t, field_at, fields, s_state(film, progress) if start is None else film.state(start, "start")


def simulate(field: Field, film: Film = Film(), start: ArrayLike | None = None, duration: float = 1e-9, every: float = 1e-11, *,
             accuracy: float = 1.0, precision: str = "single", progress: bool = True) -> Trajectory:
    """Integrate the LLG equation; returns a `Trajectory` with a state at 0, every, 2 every, ... duration.

    field: mu0*H in tesla, a pair (x, y) or a triple; or a function of the time in s that returns one, see `applied`.
        Steps end where it says in `breaks` that it jumps, and where it is seen to. A function is asked every 0.3 ps
        (of permalloy) and averaged: shorter than that, it must say in `breaks` where it is.
    film: the `Film`, standard problem 4's by default. start: a state (ny, nx, 3) of unit vectors, or one
        vector for a uniform state; None for the film's S-state (`s_state`).
    duration, every: s. duration must be a multiple of every.
    accuracy: divides the largest time steps (`multirate.time_steps`), and its third power the tolerance that they shrink for.
        At 1 the film average of standard problem 4 is right to 2e-5 over 1 ns, that of other films and materials, and of fields that
        jump, to some 2e-4, in few fields above 0.1 Ms to 1e-3 only. No setting helps from a random start, where rounding alone changes the end.
        `info["estimate"]` adds up what the steps were wrong by; it does not know how the film goes on from there.
    precision: of the states that are returned, "single", which is exact enough for every figure in this book, or "double". It is that
        of the computation too, unless the field at the time of a state is stronger than 0.05 Ms: then all is computed in double.
    progress: show a bar if the run takes over two seconds.
    Raises ValueError or TypeError naming the argument, MemoryError before allocating too much, and
    FloatingPointError if the state is no longer finite. Warns if the energy rises in a constant field.
    Chapter 1 introduces it.
    """
    t, field_at, fields, start = check_run(field, film, start, duration, every, accuracy, precision, progress)
    accuracy = float(accuracy)  # JSON takes no number of NumPy's
    substep = time_steps(film, accuracy=accuracy)[1]
    if duration / substep > 1e9:  # hours or days, in compiled code that no Ctrl-C ends
        raise ValueError(f"film: its cells, Ms and A ask for steps of {substep:.0e} s, which makes {duration / substep:.0e} in a duration of "
                         f"{duration:g} s; at most 1e9 can be taken. Are size, Ms and A in m, A/m and J/m?")
    dtype = {"single": np.float32, "double": np.float64}[precision]
    strong = np.linalg.norm(np.atleast_2d(fields), axis=-1).max() > ROUNDED * MU0 * film.Ms
    clock = time.perf_counter()
    clockwork = Multirate(film, start, accuracy, np.float64 if strong else dtype)
    spacing = 0.05 / (film.gamma0 * film.Ms * accuracy)  # of the times at which a field in time is asked for
    m = np.empty((len(t), film.ny, film.nx, 3), dtype)
    m[0] = start
    lowest, risen, i = np.inf, False, 1
    # Of a film of few cells many states in a call, but no more than some 20 ms of computing: the bar moves, and Ctrl-C is heard.
    # A state takes a slow step at least, which is seven times the spacing
    at_once = max(1, int(7e5 / (film.nx * film.ny * max(every / spacing, 7))))
    with one_thread(), bar(total=len(t) - 1, desc="LLG", unit="state", show=progress) as done:
        while i < len(t):
            if callable(field):
                for piece in _pieces(field, field_at, t[i - 1], t[i], spacing):
                    clockwork.advance(*piece)
                states = clockwork.state.transpose(1, 2, 0)[None]
            else:
                states, energies = clockwork.record(min(at_once, len(t) - i), every, fields)
                for energy in energies:
                    risen |= film.alpha > 0 and energy > lowest + 1e-4
                    lowest = min(lowest, energy)
            for state in states:
                m[i] = state
                if not np.isfinite(m[i]).all():
                    raise FloatingPointError(f"the state is no longer finite at t = {t[i]:g} s; try accuracy = {2 * accuracy:g}")
                i += 1
            done.update(len(states))
    if risen:
        warnings.warn(f"the energy rises in a constant field, which damping forbids: the time step is too long; "
                      f"try accuracy = {2 * accuracy:g}", RuntimeWarning, stacklevel=2)
    info = {"solver": "magbook", "accuracy": accuracy, "precision": precision, "field evaluations": clockwork.evaluations,
            "steps made anew": clockwork.anew, "estimate": clockwork.estimate, "seconds": {"total": time.perf_counter() - clock}}
    return Trajectory(t, m, fields, film, info)


def _pieces(field, field_at, begin, end, spacing):
    """A field in time from begin to end, cut where it jumps or bends: where it says so in `breaks`, or where it is seen to.

    Yields (duration, mu0*H at the middles of equal parts of it (n, 3), whether it jumps at the beginning).
    """
    def sample(low, high):
        n = max(1, int(np.ceil((high - low) / spacing - 1e-6)))
        middles = low + (np.arange(n) + 0.5) / n * (high - low)
        return middles, applied.sample(field, middles)

    middles, values = sample(begin, end)
    near = 1e-6 * spacing  # a jump that rounding has moved off the time of a state is at it: no piece is that short
    if hasattr(field, "breaks"):
        cuts = [begin if s < begin + near else s for s in field.breaks if begin - near <= s < end - near]
    else:
        cuts = _jumps(field_at, np.array([begin, *middles, end - near]), np.array([field_at(begin), *values, field_at(end - near)]))
    if not cuts:
        yield end - begin, values, False
        return
    edges = [begin, *(s for s in cuts if s > begin), end]
    for low, high in zip(edges, edges[1:]):
        yield high - low, sample(low, high)[1], low in cuts


def _jumps(field_at, times, values):
    """Where a field jumps between two of these times: where it still changes as much, however near one looks."""
    found = []
    for k in np.flatnonzero(np.linalg.norm(np.diff(values, axis=0), axis=1) > 1e-4):  # T
        (low, high), (a, b) = times[k:k + 2], values[k:k + 2]
        change = np.linalg.norm(b - a)
        for _ in range(30):
            middle = (low + high) / 2
            value = field_at(middle)
            if np.linalg.norm(value - a) > np.linalg.norm(b - value):
                high, b = middle, value
            else:
                low, a = middle, value
        if np.linalg.norm(b - a) > 0.5 * change:
            found.append(high)
    return found


# ---------------------------------------------------------------------------- equilibrium


def relax(film: Film = Film(), field: ArrayLike = (0.0, 0.0), start: ArrayLike = (1.0, 0.25, 0.1), torque: float = 1e-6, *,
          iterations: int = 100_000, progress: bool = True) -> np.ndarray:
    """The equilibrium downhill of `start`: a state (ny, nx, 3) with max|m x H|/Ms <= torque.

    Steepest descent of the energy that turns each vector about its own torque, so that |m| = 1 at every
    step, with step lengths after Barzilai and Borwein (L. Exl et al., J. Appl. Phys. 115, 17D118 (2014)).
    An equilibrium that a small push leaves for less energy, such as all moments along the hard axis, is left.
    film: the `Film`. field: mu0*H in tesla. start: (ny, nx, 3), or one vector for a uniform state.
    Raises RuntimeError if the torque is not reached in so many iterations, and says what was.
    """
    instance("film", film, Film)
    field = applied.vector(field)
    m = film.state(start, "start")
    check_counts(iterations=iterations)
    torque = number("torque", torque, "max|m x H|/Ms greater than 0 is", 1e-300)
    descent, saddle, taken = Descent(film, field), None, 0
    descent.state = m
    with bar(desc="relax", unit="step", show=progress) as steps:
        while taken < iterations:
            n, largest = descent.go(torque, min(50, iterations - taken))
            taken += n
            steps.set_postfix_str(f"torque {largest:.1e}", refresh=False)
            steps.update(n)
            if largest <= torque:
                m = descent.state
                energy = energies(m, film, field)["total"]
                if saddle and energy > saddle[0] - 1e-6 * abs(saddle[0]):
                    return saddle[1]  # the push led back, or round to one like it
                saddle = energy, m
                descent.state = _pushed(m, film)
    if saddle and energies(descent.state, film, field)["total"] >= saddle[0]:
        return saddle[1]  # it was reached, and the push has not led further down
    raise RuntimeError(f"relax: after {iterations} iterations max|m x H|/Ms is {largest:.2e}, not {torque:g}; "
                       "allow more iterations or a larger torque")


def _pushed(m, film):
    """A state, each vector turned by some hundredths of a radian, all together and each by itself; always the same."""
    push = np.array([0.02, -0.02, 0.02]) + 0.02 * np.random.default_rng(0).standard_normal(m.shape)
    return unit((m + push) * film.inside[..., None])


_s_states: dict[tuple, np.ndarray] = {}


def s_state(film: Film = Film(), progress: bool = True) -> np.ndarray:
    """The S-state, equilibrium at zero field reached from (1, 0.25, 0.1): a state (ny, nx, 3).

    Standard problem 4's is shipped in `data/sp4_s_state.npz`; another film's is relaxed and kept in memory.
    It depends on geometry, Ms and A alone. progress: show a bar if it takes over two seconds.
    """
    instance("film", film, Film)
    key = film.size, film.cells, film.Ms, film.A, None if film.mask is None else film.mask.tobytes()
    m = _s_states.get(key)
    if m is None:
        film = film.replace(alpha=0.0, gamma0=1.0)
        m = film.state(arrays("sp4_s_state.npz")["m"]) if film == Film(alpha=0.0, gamma0=1.0) else relax(film, torque=1e-7, progress=progress)
        _s_states[key] = m
        for old in list(_s_states)[:-8]:
            del _s_states[old]
    return m.copy()
