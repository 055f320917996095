"""The Landau-Lifshitz-Gilbert equation of a thin film: fields, energies, time integration, relaxation.

Chapter 1 derives every piece. The equation, in its explicit (Landau-Lifshitz) form:

    dm/dt = -gamma0/(1 + alpha^2) [m x H + alpha m x (m x H)],   H = H_exchange + H_demag + H_zeeman

The first half of this module says what the terms are, in NumPy and double precision, with states
(ny, nx, 3) and fields in A/m. The second half integrates them fast, with arrays (3, ny + 2, nx + 2).
"""

import time
from collections.abc import Callable
from functools import lru_cache
from numbers import Real

import numba
import numpy as np
from numpy.typing import ArrayLike

from . import applied
from ._progress import bar
from .applied import Field
from .demag import Demag, near_stencil, tensor
from .files import shipped
from .film import MU0, Film, check_memory
from .trajectory import Trajectory

# ---------------------------------------------------------------------------- the terms of the equation


def exchange_field(m: np.ndarray, film: Film) -> np.ndarray:
    """H_exchange = 2A/(mu0 Ms) laplacian(m) in A/m, (ny, nx, 3), by the five-point formula.

    The boundary is free: a neighbour that is missing, at an edge or outside the mask, adds nothing.
    In a film of one layer the six neighbours of a cell are four. m: (ny, nx, 3). Source: chapter 1.
    """
    h = np.zeros_like(m, dtype=float)
    inside = film.inside[..., None]
    for axis, d in ((1, film.dx), (0, film.dy)):
        low = (slice(None),) * axis + (slice(None, -1),)
        high = (slice(None),) * axis + (slice(1, None),)
        step = (m[high] - m[low]) / d**2 * (inside[high] & inside[low])
        h[low] += step
        h[high] -= step
    return 2 * film.A / (MU0 * film.Ms) * h


@lru_cache(maxsize=8)
def _demag(film):
    return Demag(film)


def demag_field(m: np.ndarray, film: Film) -> np.ndarray:
    """H_demag in A/m, (ny, nx, 3): minus the convolution of Ms m with the Newell tensor. m: (ny, nx, 3)."""
    h = _demag(film).field(np.moveaxis(np.asarray(m, float), -1, 0))
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
    m = film.state(m)
    scale = MU0 * film.Ms * film.cell_volume
    e = {"exchange": -scale / 2 * np.sum(m * exchange_field(m, film)),
         "demag": -scale / 2 * np.sum(m * demag_field(m, film)),
         "zeeman": -scale * np.sum(m * applied.vector(field)) / MU0}
    return e | {"total": sum(e.values())}


def llg(m: np.ndarray, h: np.ndarray, film: Film) -> np.ndarray:
    """dm/dt in 1/s of the LLG equation. m: (ny, nx, 3). h: the effective field in A/m, (ny, nx, 3)."""
    mxh = np.cross(m, h)
    return -film.gamma0 / (1 + film.alpha**2) * (mxh + film.alpha * np.cross(m, mxh))


def max_torque(m: np.ndarray, film: Film, field: ArrayLike = (0.0, 0.0)) -> float:
    """max|m x H|/Ms over all cells: 0 at equilibrium. m: (ny, nx, 3). field: mu0*H in tesla."""
    return np.linalg.norm(np.cross(m, effective_field(m, film, field)), axis=-1).max() / film.Ms


# ---------------------------------------------------------------------------- integration in time
#
# Units from here on: h = H/Ms and tau = gamma0 Ms t/(1 + alpha^2). States carry a border of zeros: a
# missing neighbour then adds m = 0 to the sum, and since m x m = 0 that is the free boundary.
#
# Exchange is stiff but local, the demagnetizing field is slow but global. So they get different steps
# (a multirate method). And the demagnetizing field is split once more: the part that a five-point stencil
# can tell (`near_stencil`) joins the exchange, which costs nothing, and what is left is slower still.


compiled = numba.njit(cache=True, fastmath=True, error_model="numpy")


@compiled
def _stage(out, u, weight, m, slow, stencil, alpha):
    """out = u + weight dm/dtau(m), one stage of a Runge-Kutta step.

    m, u, out: (3, ny + 2, nx + 2). slow: (3, ny, nx), the slow field. stencil: (3, 3), one row a component: own cell,
    neighbours along x, along y. Fast because it is one loop, so that every number is read once, and because
    out is another array than m and u, so that the compiler works on 8 or 16 cells at a time.
    """
    for j in range(slow.shape[1]):
        for i in range(slow.shape[2]):
            y, x = j + 1, i + 1
            mx, my, mz = m[0, y, x], m[1, y, x], m[2, y, x]
            hx = (slow[0, j, i] + stencil[0, 0] * mx + stencil[0, 1] * (m[0, y, x - 1] + m[0, y, x + 1])
                  + stencil[0, 2] * (m[0, y - 1, x] + m[0, y + 1, x]))
            hy = (slow[1, j, i] + stencil[1, 0] * my + stencil[1, 1] * (m[1, y, x - 1] + m[1, y, x + 1])
                  + stencil[1, 2] * (m[1, y - 1, x] + m[1, y + 1, x]))
            hz = (slow[2, j, i] + stencil[2, 0] * mz + stencil[2, 1] * (m[2, y, x - 1] + m[2, y, x + 1])
                  + stencil[2, 2] * (m[2, y - 1, x] + m[2, y + 1, x]))
            # m x h + alpha m x (m x h) = m x g with g = h + alpha m x h
            gx = hx + alpha * (my * hz - mz * hy)
            gy = hy + alpha * (mz * hx - mx * hz)
            gz = hz + alpha * (mx * hy - my * hx)
            out[0, y, x] = u[0, y, x] - weight * (my * gz - mz * gy)
            out[1, y, x] = u[1, y, x] - weight * (mz * gx - mx * gz)
            out[2, y, x] = u[2, y, x] - weight * (mx * gy - my * gx)


@compiled
def _mix(out, knots, w0, w1, w2, uniform):
    """out = w0 knots[0] + w1 knots[1] + w2 knots[2] + uniform: the slow field in one substep."""
    for c in range(3):
        for j in range(out.shape[1]):
            for i in range(out.shape[2]):
                out[c, j, i] = w0 * knots[0][c, j, i] + w1 * knots[1][c, j, i] + w2 * knots[2][c, j, i] + uniform[c]


@compiled
def _mix_ends(a, m):
    """a <- 5/4 a - 1/4 m, where the last stage starts from."""
    for c in range(3):
        for y in range(m.shape[1]):
            for x in range(m.shape[2]):
                a[c, y, x] += (a[c, y, x] - m[c, y, x]) / 4


@compiled
def _normalize(m, tiny):
    """|m| = 1 in every cell, in place; tiny keeps the cells outside the mask, which are 0, at 0."""
    for y in range(m.shape[1]):
        for x in range(m.shape[2]):
            mx, my, mz = m[0, y, x], m[1, y, x], m[2, y, x]
            scale = 1 / np.sqrt(mx * mx + my * my + mz * mz + tiny)
            m[0, y, x], m[1, y, x], m[2, y, x] = mx * scale, my * scale, mz * scale


@compiled
def _substeps(start, knots, weights, zeeman, stencil, alpha, h, work, slow):
    """The state after one slow step from `start`, in len(weights) substeps; returns one of the arrays of `work`.

    start, work[0..3]: (3, ny + 2, nx + 2), start is left as it is. knots: the slow field at three times, each
    (3, ny, nx). weights: (n, 3), how to mix them in each substep. zeeman: (n, 3). h: the substep in tau, times
    1/5, 1/3, 2/3, 3/4. slow: (3, ny, nx), scratch.
    Each substep is the third-order, five-stage Runge-Kutta method of Guerra and Ullrich (Geosci. Model Dev. 9,
    2007 (2016)): few others are stable for so large a step a stage where, as here, eigenvalues are nearly
    imaginary, |omega| h < 3.87.
    """
    a, b, c, m = work
    m[:] = start
    for n in range(len(weights)):
        _mix(slow, knots, weights[n, 0], weights[n, 1], weights[n, 2], zeeman[n])
        _stage(a, m, h[0], m, slow, stencil, alpha)
        _stage(b, m, h[0], a, slow, stencil, alpha)
        _stage(c, m, h[1], b, slow, stencil, alpha)
        _stage(b, m, h[2], c, slow, stencil, alpha)
        _mix_ends(a, m)
        _stage(c, a, h[3], b, slow, stencil, alpha)
        m, c = c, m
    _normalize(m, m.dtype.type(1e-30))
    return m


class _Stepper:
    """One slow step at a time: predict, evaluate the slow field there once, correct.

    Within a step the slow field is a polynomial in time. The predictor extrapolates it through its last three
    values; the corrector steps again, from the same start, with the parabola through the predicted value
    and the last two. That is third order with one evaluation a step. Extrapolation alone, at half of the
    price, lets the fast modes grow.
    """

    def __init__(self, film, start, field_at, step, substeps, dtype):
        self.film, self.field_at = film, field_at
        self.step, self.substeps = step, substeps
        exchange = 2 * film.A / (MU0 * film.Ms**2) * np.array([0, 1 / film.dx**2, 1 / film.dy**2])
        near = near_stencil(tensor(film.cells, (film.dx, film.dy, film.thickness)))
        self.stencil = (exchange - near).astype(dtype)
        # What rounding took from the stencil goes into the convolution, so that nothing is lost
        self.demag = Demag(film, without=exchange - self.stencil.astype(float), dtype=dtype)
        self.m = np.zeros((3, film.ny + 2, film.nx + 2), dtype)
        self.state[:] = np.moveaxis(start, -1, 0)
        self.work = tuple(np.zeros_like(self.m) for _ in range(4))
        self.slow = np.zeros((3, film.ny, film.nx), dtype)
        self.past = [self.slow_field()]  # the slow field now, one step ago, two steps ago
        tau = film.gamma0 * film.Ms / (1 + film.alpha**2) * step / substeps
        self.h = np.array([1 / 5, 1 / 3, 2 / 3, 3 / 4], dtype) * dtype(tau)
        self.seconds = {"demag": 0.0, "stencil": 0.0}

    @property
    def state(self):
        return self.m[:, 1:-1, 1:-1]

    def slow_field(self):
        return self.demag.field(self.state)

    def integrate(self, start, knots, times, zeeman):
        """self.m <- one step on from start; the slow field passes through `knots` at `times`, in steps from now."""
        dtype = self.m.dtype
        weights = np.zeros((self.substeps, 3), dtype)
        weights[:, :len(times)] = _interpolation(tuple(times), self.substeps)
        knots = tuple(knots) + (knots[-1],) * (3 - len(knots))
        self.m[:] = _substeps(start, knots, weights, zeeman, self.stencil, dtype.type(self.film.alpha), self.h,
                              self.work, self.slow)

    def advance(self, t):
        """From time t in s to t + step."""
        middles = t + (np.arange(self.substeps) + 0.5) * self.step / self.substeps
        zeeman = (np.array([self.field_at(s) for s in middles]) / (MU0 * self.film.Ms)).astype(self.m.dtype)
        start, past = self.m.copy(), self.past
        clock = [time.perf_counter()]
        self.integrate(start, past, range(0, -len(past), -1), zeeman)
        # The first step has no past to predict from, so it is corrected twice
        for _ in range(1 if len(past) > 1 else 2):
            clock.append(time.perf_counter())
            new = self.slow_field()
            clock.append(time.perf_counter())
            self.integrate(start, [new] + past[:2], range(1, 1 - len(past[:2]) - 1, -1), zeeman)
        clock.append(time.perf_counter())
        self.past = [new] + past[:2]
        for name, spans in (("stencil", np.diff(clock)[0::2]), ("demag", np.diff(clock)[1::2])):
            self.seconds[name] += float(spans.sum())


@lru_cache(maxsize=32)
def _interpolation(times, substeps):
    """Weights (substeps, len(times)) of values at `times` in the mean of their polynomial over each substep."""
    powers = np.arange(len(times))
    edges = np.linspace(0, 1, substeps + 1)[:, None] ** (powers + 1) / (powers + 1)
    vandermonde = np.array(times, float)[:, None] ** powers
    return np.diff(edges, axis=0) * substeps @ np.linalg.inv(vandermonde)


def time_steps(film: Film, every: float, field: ArrayLike = (0.0, 0.0, 0.0), accuracy: float = 1.0) -> tuple[int, int]:
    """The steps that the integrator takes: (slow steps a sample, substeps a slow step).

    The slow step is at most 0.32/(gamma0 (Ms + H) accuracy), 1.7 ps for permalloy in 40 mT: a third of a radian of the
    fastest precession that demagnetizing and applied field can drive. It is halved below alpha = 0.01, where damping
    no longer holds down what extrapolation feeds to the fast modes. The substep obeys the stability limit of the
    Runge-Kutta method, |omega| h < 3.6 (3.0 for large alpha), at the fastest mode that the grid can hold:
    omega = gamma0 (2A/(mu0 Ms) 4 (1/dx^2 + 1/dy^2) + Ms + H)/sqrt(1 + alpha^2).
    It is at most a sixth of the slow step, over which the slow field is replaced by its mean.
    every: s between samples. field: mu0*H in tesla. accuracy: see `simulate`.
    """
    applied = np.linalg.norm(field) / MU0
    slow = 0.32 / (film.gamma0 * (film.Ms + applied) * accuracy) * (1 if film.alpha >= 0.01 else 0.5)
    steps = int(np.ceil(every / slow - 1e-9))
    exchange = 2 * film.A / (MU0 * film.Ms) * 4 * ((film.nx > 1) / film.dx**2 + (film.ny > 1) / film.dy**2)
    fastest = film.gamma0 * (exchange + film.Ms + applied) / np.sqrt(1 + film.alpha**2)
    limit = (3.6 if film.alpha < 0.15 else 3.0) / max(1.0, accuracy)
    return steps, max(6, int(np.ceil(every / steps * fastest / limit)))


def check_run(field: Field, film: Film, start: ArrayLike | None, duration: float, every: float, accuracy: float,
              precision: str) -> tuple[np.ndarray, Callable, np.ndarray, np.ndarray]:
    """Check the arguments of `simulate`, whichever solver runs it.

    Returns (times of the samples (nt,), field as a function of t -> (3,) tesla, fields at the samples,
    (3,) if constant, else (nt, 3), start (ny, nx, 3)). Raises as `simulate` says.
    """
    if not isinstance(film, Film):
        raise TypeError(f"film: got {film!r}; a magbook.Film is needed")
    for name, value in (("duration", duration), ("every", every), ("accuracy", accuracy)):
        if not (isinstance(value, Real) and np.isfinite(value) and value > 0):
            raise ValueError(f"{name}: got {value!r}; a number greater than 0 is needed")
    if precision not in ("single", "double"):
        raise ValueError(f"precision: got {precision!r}; 'single' or 'double' is needed")
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
    return t, field_at, fields, s_state(film) if start is None else film.state(start, "start")


def simulate(field: Field, film: Film = Film(), start: ArrayLike | None = None, duration: float = 1e-9, every: float = 1e-11, *,
             accuracy: float = 1.0, precision: str = "single", progress: bool = True) -> Trajectory:
    """Integrate the LLG equation; returns a `Trajectory` with a state at 0, every, 2 every, ... duration.

    field: mu0*H in tesla, a pair (x, y) or a triple; or a function of the time in s that returns one, see `applied`.
        Where it jumps, let it jump at a multiple of every: a jump inside a step is smeared over the step.
    film: the `Film`, standard problem 4's by default. start: a state (ny, nx, 3) of unit vectors, or one
        vector for a uniform state; None for the film's S-state (`s_state`).
    duration, every: s. duration must be a multiple of every.
    accuracy: divides both time steps; the error falls as its third power. At 1 the film average of standard
        problem 4 on 256 x 64 cells is right to 1e-4 over 1 ns, and the time steps come from `time_steps`.
    precision: "single", which is exact enough for every figure in this book, or "double".
    progress: show a bar if the run takes over two seconds.
    Raises ValueError or TypeError naming the argument, MemoryError before allocating too much, and
    FloatingPointError if the state is no longer finite.
    Chapter 1 introduces it.
    """
    t, field_at, fields, start = check_run(field, film, start, duration, every, accuracy, precision)
    # a field in time may peak between samples
    seen = [field_at(s) for s in np.linspace(0, t[-1], 10 * len(t))] if callable(field) else [fields]
    steps, substeps = time_steps(film, every, max(seen, key=np.linalg.norm), accuracy)
    dtype = {"single": np.float32, "double": np.float64}[precision]
    clock = time.perf_counter()
    stepper = _Stepper(film, start, field_at, every / steps, substeps, dtype)
    m = np.empty((len(t), film.ny, film.nx, 3), dtype)
    m[0] = start
    for i in bar(range(1, len(t)), desc="LLG", unit="state", show=progress):
        for k in range(steps):
            stepper.advance(t[i - 1] + k * stepper.step)
        m[i] = np.moveaxis(stepper.state, 0, -1)
        if not np.isfinite(m[i]).all():
            raise FloatingPointError(f"the state is no longer finite at t = {t[i]:g} s; try accuracy = {2 * accuracy:g}")
    info = {"solver": "magbook", "accuracy": accuracy, "precision": precision,
            "step": stepper.step, "substeps": substeps, "field evaluations": stepper.demag.evaluations,
            "seconds": {"total": time.perf_counter() - clock, **stepper.seconds}}
    return Trajectory(t, m, fields, film, info)


# ---------------------------------------------------------------------------- equilibrium


def relax(film: Film = Film(), field: ArrayLike = (0.0, 0.0), start: ArrayLike = (1.0, 0.25, 0.1), torque: float = 1e-6, *,
          iterations: int = 100_000, progress: bool = True) -> np.ndarray:
    """The equilibrium downhill of `start`: a state (ny, nx, 3) with max|m x H|/Ms <= torque.

    Steepest descent of the energy that turns each vector about its own torque, so that |m| = 1 at every
    step, with step lengths after Barzilai and Borwein (L. Exl et al., J. Appl. Phys. 115, 17D118 (2014)).
    film: the `Film`. field: mu0*H in tesla. start: (ny, nx, 3), or one vector for a uniform state.
    Raises RuntimeError if the torque is not reached in so many iterations, and says what was.
    """
    if not isinstance(film, Film):
        raise TypeError(f"film: got {film!r}; a magbook.Film is needed")
    field = applied.vector(field)
    m = film.state(start, "start")
    if not (isinstance(iterations, (int, np.integer)) and iterations >= 1):
        raise ValueError(f"iterations: got {iterations!r}; a whole number of at least 1 is needed")
    if not (isinstance(torque, Real) and torque > 0):
        raise ValueError(f"torque: got {torque!r}; max|m x H|/Ms greater than 0 is needed")
    before = None
    with bar(desc="relax", unit="step", show=progress) as steps:
        for n in range(iterations):
            mxh = np.cross(m, effective_field(m, film, field)) / film.Ms
            largest = np.linalg.norm(mxh, axis=-1).max()
            if largest <= torque:
                return m
            descent = np.cross(m, mxh)  # minus the part of h that is perpendicular to m
            if before is None:
                length = 0.01
            else:
                dm, dg = m - before[0], descent - before[1]
                # the two Barzilai-Borwein lengths in turn; the cap keeps a first wild guess from jumping
                pair = (np.sum(dm * dm), np.sum(dm * dg)) if n % 2 else (np.sum(dm * dg), np.sum(dg * dg))
                length = min(abs(pair[0] / pair[1]), 10.0) if pair[1] else 0.01
            before = m, descent
            # an exact rotation about the torque: Cayley's formula for m' - m = -length (m' + m)/2 x (m x h)
            s = length**2 * np.sum(mxh**2, axis=-1, keepdims=True)
            m = ((4 - s) * m - 4 * length * descent) / (4 + s)
            steps.set_postfix_str(f"torque {largest:.1e}", refresh=False)
            steps.update()
    raise RuntimeError(f"relax: after {iterations} iterations max|m x H|/Ms is {largest:.2e}, not {torque:g}; "
                       "allow more iterations or a larger torque")


def s_state(film: Film = Film()) -> np.ndarray:
    """The S-state, equilibrium at zero field reached from (1, 0.25, 0.1): a state (ny, nx, 3).

    Standard problem 4's is shipped in `data/sp4_s_state.npz`; another film's is relaxed and kept in memory.
    It depends on geometry, Ms and A alone.
    """
    return _s_state(film.replace(alpha=0.0, gamma0=1.0)).copy()


@lru_cache(maxsize=8)
def _s_state(film):
    if film == Film(alpha=0.0, gamma0=1.0):
        with np.load(shipped("sp4_s_state.npz"), allow_pickle=False) as z:
            return film.state(z["m"])
    return relax(film, torque=1e-7)
