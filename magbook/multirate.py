"""Integration in time: exchange and demagnetizing field at clocks of their own, in one compiled loop. Chapter 1 introduces it.

Units: h = H/Ms and tau = gamma0 Ms t/(1 + alpha^2). States are (3, ny + 2, nx + 2), with a border of zeros: a missing
neighbour then adds m = 0 to the sum, and since m x m = 0 that is the free boundary.

Exchange is stiff but local, the demagnetizing field is slow but global. So they get different steps (a multirate
method). And the demagnetizing field is split once more: the part that a five-point stencil can tell (`near_stencil`)
joins the exchange, which costs nothing, and what is left, the slow field, is slower still.

A slow step is made twice. First the slow field is extrapolated through its last three values: that predicts the state at
the end, and the slow field there is computed. Then the step is repeated from the same start with the cubic through the new
value and the last three. So there is one evaluation a step. Extrapolation alone, at half of the price, lets the fast modes
grow. How far the new value lies from what was extrapolated says how large the error is, for nothing: the step follows it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
from threadpoolctl import ThreadpoolController

from .demag import Demag, compiled, convolve, near_stencil, tensor
from .film import MU0, Film

TOLERANCE = 7e-5
"""Largest root mean square, over the film, of what a slow step may be wrong by, as an angle in rad, at accuracy 1.

It is counted as if the extrapolated field had been used, so what is kept is better by far: see `Multirate.estimate`.
"""

RESONANCE = 0.8, 1.4
"""Where no slow step may put the fastest mode of the grid: between these multiples of pi. See `time_steps`."""


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
def _mix(out, a, b, c, d, w, uniform):
    """out = w[0] a + w[1] b + w[2] c + w[3] d + uniform: the slow field in one substep."""
    w0, w1, w2, w3 = w
    for k in range(3):
        for j in range(out.shape[1]):
            for i in range(out.shape[2]):
                out[k, j, i] = w0 * a[k, j, i] + w1 * b[k, j, i] + w2 * c[k, j, i] + w3 * d[k, j, i] + uniform[k]


@compiled
def _mix_ends(a, m):
    """a <- 5/4 a - 1/4 m, where the last stage starts from."""
    for c in range(3):
        for y in range(m.shape[1]):
            for x in range(m.shape[2]):
                a[c, y, x] += (a[c, y, x] - m[c, y, x]) / 4


@compiled
def _normalize(out, m, tiny):
    """out <- m/|m| in every cell; tiny keeps the cells outside the mask, which are 0, at 0."""
    for y in range(m.shape[1]):
        for x in range(m.shape[2]):
            mx, my, mz = m[0, y, x], m[1, y, x], m[2, y, x]
            scale = 1 / np.sqrt(mx * mx + my * my + mz * mz + tiny)
            out[0, y, x], out[1, y, x], out[2, y, x] = mx * scale, my * scale, mz * scale


@compiled
def _substeps(out, start, knots, weights, zeeman, stencil, alpha, tau, work, slow):
    """out <- the state after one slow step from `start`, in len(zeeman) substeps of tau.

    start, out, work[0..3]: (3, ny + 2, nx + 2), start is left as it is. knots: the slow field at four times, each
    (3, ny, nx). weights: (n, 4), how to mix them in each substep. zeeman: (n, 3). slow: (3, ny, nx), scratch.
    Each substep is the third-order, five-stage Runge-Kutta method of Guerra and Ullrich (Geosci. Model Dev. 9,
    2007 (2016)): few others are stable for so large a step a stage where, as here, eigenvalues are nearly
    imaginary, |omega| h < 3.87.
    """
    a, b, c, m = work
    m[:] = start
    for n in range(len(zeeman)):
        _mix(slow, knots[0], knots[1], knots[2], knots[3], weights[n], zeeman[n])
        _stage(a, m, tau / 5, m, slow, stencil, alpha)
        _stage(b, m, tau / 5, a, slow, stencil, alpha)
        _stage(c, m, tau / 3, b, slow, stencil, alpha)
        _stage(b, m, tau * 2 / 3, c, slow, stencil, alpha)
        _mix_ends(a, m)
        _stage(c, a, tau * 3 / 4, b, slow, stencil, alpha)
        m, c = c, m
    _normalize(out, m, m.dtype.type(1e-30))


@compiled
def _weights(out, nodes, count, substeps):
    """out[n, j] <- weight of the value at nodes[j] in the mean, over substep n, of the polynomial through `count` values.

    nodes: times in slow steps from now. out: (at least substeps, 4); weights of no value are 0.
    """
    out[:] = 0
    for j in range(count):
        lagrange, degree, scale = np.zeros(5), 0, 1.0  # its coefficients, constant first
        lagrange[0] = 1
        for i in range(count):
            if i != j:
                for q in range(degree, -1, -1):
                    lagrange[q + 1] += lagrange[q]
                    lagrange[q] *= -nodes[i]
                degree += 1
                scale *= nodes[j] - nodes[i]
        for n in range(substeps):
            total, low, high = 0.0, n / substeps, (n + 1) / substeps
            for q in range(degree + 1):
                total += lagrange[q] / (q + 1) * (high ** (q + 1) - low ** (q + 1))
            out[n, j] = total * substeps / scale


@compiled
def _average(out, table, spacing, t, step, substeps):
    """out[n] <- mean of the applied field over substep n. table: its integral from 0 to each multiple of spacing, (n, 3)."""
    for n in range(substeps):
        low, high = (t + n * step / substeps) / spacing, (t + (n + 1) * step / substeps) / spacing
        i, j = min(int(low), len(table) - 2), min(int(high), len(table) - 2)
        for c in range(3):
            begin = table[i, c] + (low - i) * (table[i + 1, c] - table[i, c])
            end = table[j, c] + (high - j) * (table[j + 1, c] - table[j, c])
            out[n, c] = (end - begin) / (high - low) / spacing


@compiled
def _surprise(new, a, b, c, nodes):
    """Root mean square over cells of new less the parabola through a, b, c at `nodes`, one slow step from now."""
    number = new.dtype.type
    w = np.ones(3)
    for j in range(3):
        for i in range(3):
            if i != j:
                w[j] *= (1 - nodes[i]) / (nodes[j] - nodes[i])
    w0, w1, w2, total = number(w[0]), number(w[1]), number(w[2]), number(0)
    for k in range(3):
        for j in range(new.shape[1]):
            for i in range(new.shape[2]):
                total += (new[k, j, i] - w0 * a[k, j, i] - w1 * b[k, j, i] - w2 * c[k, j, i]) ** 2
    return np.sqrt(total / (new.shape[1] * new.shape[2]))


@compiled
def _energy(m, slow, stencil, zeeman):
    """Energy in mu0 Ms^2 times the volume of a cell, the sum over cells; slow: the slow field of m, (3, ny, nx)."""
    total = 0.0
    for k in range(3):
        for j in range(slow.shape[1]):
            for i in range(slow.shape[2]):
                y, x = j + 1, i + 1
                own = m[k, y, x]
                # exchange counts differences, which rounding spares
                near = (stencil[k, 1] * (m[k, y, x - 1] + m[k, y, x + 1]) + stencil[k, 2] * (m[k, y - 1, x] + m[k, y + 1, x])
                        + stencil[k, 0] * own)
                total -= own * ((slow[k, j, i] + near) / 2 + zeeman[k])
    return total


@compiled
def _advance(m, duration, table, spacing, past, order, when, known, step, limits, stencil, alpha, rate, demag, work, slow,
             weights, zeeman):
    """m <- the state after `duration` in s; table, spacing: see `_average`. Returns the state of the clockwork.

    past: (5, 3, ny, nx), in this order: the slow field now, one, two, three slow steps ago, and room for the next.
    when: (4,), how long ago that was. known: how many of them count. step: s, the slow step to try. limits: (largest slow step, largest
    substep, least number of substeps, tolerance, and between which slow steps none may lie).
    Returns (known, step, evaluations, steps made anew, sum of the surprises).
    """
    largest, substep, least, tolerance, low, high = limits
    start, nodes = work[4], np.zeros(4)
    t, evaluations, anew, total = 0.0, 0, 0, 0.0
    while duration - t > 1e-9 * duration:
        n = max(1, int(np.ceil((duration - t) / step - 1e-6)))
        while low < (duration - t) / n < high:
            n += 1
        now = (duration - t) / n
        a, b, c, new = past[order[0]], past[order[1]], past[order[2]], past[order[4]]
        substeps = max(int(least), int(np.ceil(now / substep)))
        tau = stencil.dtype.type(rate * now / substeps)
        if substeps > len(weights):
            weights, zeeman = np.zeros((substeps, 4), weights.dtype), np.zeros((substeps, 3), zeeman.dtype)
        _average(zeeman, table, spacing, t, now, substeps)
        start[:] = m
        count = min(known, 3)
        for j in range(count):
            nodes[j] = -when[j] / now
        _weights(weights, nodes, count, substeps)
        _substeps(m, start, (a, b, c, c), weights, zeeman[:substeps], stencil, alpha, tau, work[:4], slow)
        surprise = 0.0
        # The first step has no past to predict from, so it is corrected twice
        for _ in range(1 if known > 1 else 2):
            convolve(new, m, demag)
            evaluations += 1
            if known > 2:
                surprise = rate * now * _surprise(new, a, b, c, nodes)
                if surprise > 4 * tolerance:
                    break
            nodes[0], nodes[1], nodes[2], nodes[3] = 1, -when[0] / now, -when[1] / now, -when[2] / now
            _weights(weights, nodes, count + 1, substeps)
            _substeps(m, start, (new, a, b, c), weights, zeeman[:substeps], stencil, alpha, tau, work[:4], slow)
        # The surprise grows as the third power of the step
        wanted = now * min(2.0, max(0.3, 0.9 * (tolerance / max(surprise, 1e-30)) ** (1 / 3)))
        if surprise > 4 * tolerance:
            m[:] = start
            anew += 1
            step = wanted
            continue
        order[1:], order[0] = order[:4].copy(), order[4]
        when[1:] = when[:3] + now
        when[0] = 0
        known = min(known + 1, 3)
        t += now
        total += surprise
        step = min(largest, wanted if wanted < now else max(step, wanted))
    return known, step, evaluations, anew, total


def time_steps(film: Film, field: float = 0.0, accuracy: float = 1.0) -> tuple[float, float, tuple[float, float]]:
    """The largest steps that the integrator takes, in s: (slow step, substep, slow steps that are left out, from and to).

    The slow step is at most 0.32/(gamma0 (Ms + H)), 1.8 ps for permalloy: a third of a radian of the fastest precession that
    demagnetizing and applied field can drive. It shrinks as the root of the damping below alpha = 0.02.
    The substep obeys the stability limit of the Runge-Kutta method, |omega| h < 3.6 (3.0 for large alpha), at the fastest
    mode that the grid can hold: omega = gamma0 (2A/(mu0 Ms) 4 (1/dx^2 + 1/dy^2) + Ms + H)/sqrt(1 + alpha^2).
    A mode that turns by half a turn in a slow step is driven by its own slow field, with a sign that changes from step to step:
    a resonance, which damping must hold down. The mode that the five-point stencil tells worst is the grid's fastest, so
    no slow step puts that one there. The page "What is tested" has the analysis.
    field: mu0*H in tesla. accuracy: see `llg.simulate`.
    """
    applied = field / MU0
    slow = 0.32 / (film.gamma0 * (film.Ms + applied)) * np.clip(np.sqrt(50 * film.alpha), 0.2, 1)
    exchange = 2 * film.A / (MU0 * film.Ms) * 4 * ((film.nx > 1) / film.dx**2 + (film.ny > 1) / film.dy**2)
    fastest = film.gamma0 * (exchange + film.Ms + applied) / np.sqrt(1 + film.alpha**2)
    limit = 3.6 if film.alpha < 0.15 else 3.0
    low, high = (k * np.pi / fastest for k in RESONANCE)
    slow = slow / accuracy
    return (low if low < slow < high else slow), limit / fastest / max(1.0, accuracy), (low, high)


class Multirate:
    """The film's state, and the clockwork that takes it on in time.

    film: the `Film`. start: (ny, nx, 3). accuracy: see `llg.simulate`. dtype: of all arrays. The state is `state`, (3, ny, nx).
    """

    def __init__(self, film: Film, start: np.ndarray, accuracy: float, dtype: type):
        self.film, self.accuracy, self.unit = film, accuracy, MU0 * film.Ms  # the unit of mu0*H, in T
        exchange = 2 * film.A / (MU0 * film.Ms**2) * np.array([0, 1 / film.dx**2, 1 / film.dy**2])
        near = near_stencil(tensor(film.cells, (film.dx, film.dy, film.thickness)))
        self.stencil = (exchange - near).astype(dtype)
        # What rounding took from the stencil goes into the convolution, so that nothing is lost
        self.demag = Demag(film, exchange - self.stencil.astype(float), dtype).prepared()
        self.m = np.zeros((3, film.ny + 2, film.nx + 2), dtype)
        self.state[:] = np.moveaxis(start, -1, 0)
        self.rate = film.gamma0 * film.Ms / (1 + film.alpha**2)
        self.work = tuple(np.zeros_like(self.m) for _ in range(5))
        self.scratch = np.zeros((3, film.ny, film.nx), dtype), np.zeros((0, 4), dtype), np.zeros((0, 3), dtype)
        self.past, self.order, self.when = np.zeros((5, 3, film.ny, film.nx), dtype), np.arange(5), np.zeros(4)
        convolve(self.past[0], self.m, self.demag)
        self.evaluations, self.anew, self.surprises = 1, 0, 0.0
        self.known, self.step = 1, 0.0

    @property
    def state(self) -> np.ndarray:
        return self.m[:, 1:-1, 1:-1]

    @property
    def estimate(self) -> float:
        """About how far the film average may be off at the end, by the surprises so far.

        What is kept is better than what surprised by the next power of the step: some 500 times, found by trying many films.
        """
        return self.surprises / 500

    def advance(self, duration: float, fields: np.ndarray, jumps: bool) -> None:
        """On by `duration` in s. fields: mu0*H in T, (n, 3), at the middles of n equal parts of it.

        jumps: whether the field jumps or bends at the beginning; then the past is forgotten.
        """
        slow, substep, gap = time_steps(self.film, np.linalg.norm(fields, axis=1).max(), self.accuracy)
        if jumps:
            self.known = 1
        # Without a past it feels its way; the substep is at most a fifth of the slow step, over which the slow field is its mean
        step = min(self.step, slow) if self.known > 1 else slow / 64
        limits = (slow, substep, 5.0, TOLERANCE / self.accuracy**3, *gap)
        spacing = duration / len(fields)
        table = np.concatenate([np.zeros((1, 3)), np.cumsum(fields, axis=0) * spacing]) / self.unit
        self.known, self.step, evaluations, anew, surprises = _advance(
            self.m, duration, table, spacing, self.past, self.order, self.when, self.known, step, limits, self.stencil,
            self.m.dtype.type(self.film.alpha), self.rate, self.demag, self.work, *self.scratch)
        self.evaluations += evaluations
        self.anew += anew
        self.surprises += surprises

    def energy(self, field: np.ndarray) -> float:
        """Energy in mu0 Ms^2, a mean over the film, in the field mu0*H in T, (3,)."""
        cells = self.film.inside.sum()
        return _energy(self.m, self.past[self.order[0]], self.stencil, field / self.unit) / cells


# ---------------------------------------------------------------------------- downhill: `llg.relax`


@compiled
def _descend(m, field, stencil, demag, slow, before, now, begun, torque, steps):
    """m <- up to `steps` steps further downhill, see `llg.relax`. Returns (how many were taken, largest |m x h|).

    before, now: (2, 3, ny, nx): m and m x (m x h) at the step before; m x h and m x (m x h). begun: steps taken so far.
    """
    ny, nx = slow.shape[1], slow.shape[2]
    largest = 0.0
    for n in range(begun, begun + steps):
        convolve(slow, m, demag)
        largest, mm, mg, gg = 0.0, 0.0, 0.0, 0.0
        for j in range(ny):
            for i in range(nx):
                y, x = j + 1, i + 1
                mx, my, mz = m[0, y, x], m[1, y, x], m[2, y, x]
                hx = slow[0, j, i] + field[0] + stencil[0, 1] * (m[0, y, x - 1] + m[0, y, x + 1]) + stencil[0, 2] * (m[0, y - 1, x] + m[0, y + 1, x])
                hy = slow[1, j, i] + field[1] + stencil[1, 1] * (m[1, y, x - 1] + m[1, y, x + 1]) + stencil[1, 2] * (m[1, y - 1, x] + m[1, y + 1, x])
                hz = slow[2, j, i] + field[2] + stencil[2, 1] * (m[2, y, x - 1] + m[2, y, x + 1]) + stencil[2, 2] * (m[2, y - 1, x] + m[2, y + 1, x])
                tx, ty, tz = my * hz - mz * hy, mz * hx - mx * hz, mx * hy - my * hx
                gx, gy, gz = my * tz - mz * ty, mz * tx - mx * tz, mx * ty - my * tx
                largest = max(largest, tx * tx + ty * ty + tz * tz)
                if n:
                    ax, ay, az = mx - before[0, 0, j, i], my - before[0, 1, j, i], mz - before[0, 2, j, i]
                    bx, by, bz = gx - before[1, 0, j, i], gy - before[1, 1, j, i], gz - before[1, 2, j, i]
                    mm += ax * ax + ay * ay + az * az
                    mg += ax * bx + ay * by + az * bz
                    gg += bx * bx + by * by + bz * bz
                now[0, 0, j, i], now[0, 1, j, i], now[0, 2, j, i] = tx, ty, tz
                now[1, 0, j, i], now[1, 1, j, i], now[1, 2, j, i] = gx, gy, gz
        largest = np.sqrt(largest)
        if largest <= torque:
            return n - begun, largest
        # The two Barzilai-Borwein lengths in turn; the cap keeps a first wild guess from jumping
        top, bottom = (mm, mg) if n % 2 else (mg, gg)
        length = min(abs(top / bottom), 10.0) if n and bottom != 0 else 0.01
        for j in range(ny):
            for i in range(nx):
                # An exact rotation about the torque: Cayley's formula for m' - m = -length (m' + m)/2 x (m x h)
                s = length**2 * (now[0, 0, j, i] ** 2 + now[0, 1, j, i] ** 2 + now[0, 2, j, i] ** 2)
                for k in range(3):
                    before[0, k, j, i], before[1, k, j, i] = m[k, j + 1, i + 1], now[1, k, j, i]
                    m[k, j + 1, i + 1] = ((4 - s) * m[k, j + 1, i + 1] - 4 * length * now[1, k, j, i]) / (4 + s)
    return steps, largest


class Descent:
    """A film on its way downhill. film: the `Film`. field: mu0*H in T, (3,). The state is `state`, (ny, nx, 3)."""

    def __init__(self, film: Film, field: np.ndarray):
        self.film, self.field = film, field / (MU0 * film.Ms)
        self.stencil = np.zeros((3, 3)) + 2 * film.A / (MU0 * film.Ms**2) * np.array([0, 1 / film.dx**2, 1 / film.dy**2])
        self.demag = Demag(film).prepared()
        self.m = np.zeros((3, film.ny + 2, film.nx + 2))
        self.room = np.zeros((3, film.ny, film.nx)), *np.zeros((2, 2, 3, film.ny, film.nx))
        self.begun = 0

    @property
    def state(self) -> np.ndarray:
        return np.moveaxis(self.m[:, 1:-1, 1:-1], 0, -1).copy()

    @state.setter
    def state(self, m: np.ndarray) -> None:
        self.m[:, 1:-1, 1:-1] = np.moveaxis(m, -1, 0)
        self.begun = 0

    def go(self, torque: float, steps: int) -> tuple[int, float]:
        """Up to so many steps, until max|m x H|/Ms is below the torque: how many were taken, and the torque that is left."""
        with one_thread():
            taken, largest = _descend(self.m, self.field, self.stencil, self.demag, *self.room, self.begun, torque, steps)
        self.begun += taken
        return taken, largest


# ---------------------------------------------------------------------------- one core


_controller = lru_cache(maxsize=1)(ThreadpoolController)
_running, _lock, _limit = 0, threading.Lock(), []


@contextmanager
def one_thread() -> Iterator[None]:
    """Matrix products on one core, while any run lasts: they are small, and other runs may want the other cores."""
    global _running
    with _lock:
        if not _running:
            _limit.append(_controller().limit(limits=1))
            _limit[0].__enter__()
        _running += 1
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if not _running:
                _limit.pop().__exit__(None, None, None)
