"""Integration in time: exchange and demagnetizing field at clocks of their own, in one compiled loop. Chapter 1 introduces it.

Units: h = H/Ms and tau = gamma0 Ms t/(1 + alpha^2). States are (3, ny + 2, row), row >= nx + 2, with a border of zeros: a missing
neighbour then adds m = 0 to the sum, and since m x m = 0 that is the free boundary. The slow field has such a border too, so that
the loops of a substep see (3, cells), one row after the other, and go from the first inner cell to the last without a stop: to
begin a loop takes as long as many cells do. The border may take part, since m = 0 makes dm/dtau = 0. The loops' numbers are of
the state's type: numba makes double precision of a single and a whole number, which is half as fast.

Exchange is stiff but local, the demagnetizing field is slow but global. So they get different steps (a multirate
method). And the demagnetizing field is split once more: the part that a five-point stencil can tell (`near_stencil`)
joins the exchange, which costs nothing, and what is left, the slow field, is slower still.

A slow step is made twice. First the slow field is extrapolated through its last four values: that predicts the state at
the end, and the slow field there is computed. Then the step is repeated with the cubic through the new value and the last
three. So there is one evaluation a step. Extrapolation alone, at half of the price, lets the fast modes grow. How far the
new value lies from the parabola through the last three says how large the error is, for nothing: the step follows it.

Where damping allows it, only the second half of the step is repeated. What the new value would have changed in the first
half is small, and is made up for in the second: see `_correction`.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
from threadpoolctl import ThreadpoolController

from ._arguments import instance, number
from .demag import Demag, aligned, compiled, convolve, near_stencil, tensor
from .film import MU0, Film

TOLERANCE = 8e-5
"""Largest root mean square, over the film, of what a slow step may be wrong by, as an angle in rad, at accuracy 1.

It is counted as if the parabola through the last three values had been used, so what is kept is better by far: see `Multirate.estimate`.
"""

STRONG = 0.035
"""In applied fields stronger than this part of Ms, 35 mT for permalloy, the tolerance falls with the square of the field.

A strong field can make what a step leaves grow a thousand times, while it drives the film out of an unstable equilibrium.
"""

ROUNDED = 0.05
"""In fields stronger than this part of Ms, what rounding leaves in single precision grows too far as well: see `llg.simulate`."""

DAMPED = 0.02
"""With less damping steps shrink as its root, and the tolerance as their third power, to a hundredth: what steps leave rings on, and adds up."""

TIMES = np.array([0, 1 / 2, 1])
"""When in a substep, as a part of it, the stages of the Runge-Kutta method ask for a field."""

LEAST = 3
"""Enough substeps to correct a slow step, however short the waves: they keep their phase. To predict it, what is stable will do."""

FINEST = 5
"""No substep needs to be shorter than one in so many of the largest that is stable: the classical method is exact enough there."""

HALVED = 6, 12
"""With so many substeps, from and to, only the second half of a slow step is repeated, unless alpha is below `DAMPED`: elsewhere waves may grow."""

RESONANCE = 0.8, 1.4
"""Where no slow step may put the fastest mode of the grid: between these multiples of pi. See `time_steps`."""


# Indices are unsigned where they go back by a cell or a row: numba lets negative ones count from the end, and a loop that must look
# for them works on one cell at a time.
_index = np.uintp
_ONE = _index(1)


@compiled
def _inner(m, row):
    """The cells of m, (3, cells), from the first inner one to the last."""
    return range(row + _ONE, _index(m.shape[1]) - row - _ONE)


@compiled
def _rate(m, slow, stencil, alpha, row, i):
    """dm/dtau in cell i. m, slow: (3, cells). stencil: (3, 3), a row a component: own cell, along x, along y. row: cells in a row.

    i and row are unsigned, see `_index`.
    """
    mx, my, mz = m[0, i], m[1, i], m[2, i]
    hx = (slow[0, i] + stencil[0, 0] * mx + stencil[0, 1] * (m[0, i - _ONE] + m[0, i + _ONE])
          + stencil[0, 2] * (m[0, i - row] + m[0, i + row]))
    hy = (slow[1, i] + stencil[1, 0] * my + stencil[1, 1] * (m[1, i - _ONE] + m[1, i + _ONE])
          + stencil[1, 2] * (m[1, i - row] + m[1, i + row]))
    hz = (slow[2, i] + stencil[2, 0] * mz + stencil[2, 1] * (m[2, i - _ONE] + m[2, i + _ONE])
          + stencil[2, 2] * (m[2, i - row] + m[2, i + row]))
    # m x h + alpha m x (m x h) = m x g with g = h + alpha m x h
    gx = hx + alpha * (my * hz - mz * hy)
    gy = hy + alpha * (mz * hx - mx * hz)
    gz = hz + alpha * (mx * hy - my * hx)
    return mz * gy - my * gz, mx * gz - mz * gx, my * gx - mx * gy


@compiled
def _stage(out, u, weight, m, slow, stencil, alpha, row):
    """out = u + weight dm/dtau(m), one stage of a Runge-Kutta step; u, out: (3, cells), the others as in `_rate`.

    Fast because it is one loop, so that every number is read once, and because out is another array than m and u, so that the
    compiler works on 8 or 16 cells at a time.
    """
    for i in _inner(m, row):
        rx, ry, rz = _rate(m, slow, stencil, alpha, row, i)
        out[0, i], out[1, i], out[2, i] = u[0, i] + weight * rx, u[1, i] + weight * ry, u[2, i] + weight * rz


@compiled
def _last(m, a, b, c, weight, slow, stencil, alpha, row):
    """m <- (a + 2 b + c - m)/3 + weight dm/dtau(c), the last stage of the classical Runge-Kutta step.

    It adds up differences from m, which rounding spares.
    """
    third, two = m.dtype.type(1 / 3), m.dtype.type(2)
    for i in _inner(m, row):
        rx, ry, rz = _rate(c, slow, stencil, alpha, row, i)
        mx, my, mz = m[0, i], m[1, i], m[2, i]
        m[0, i] = mx + (third * ((a[0, i] - mx) + two * (b[0, i] - mx) + (c[0, i] - mx)) + weight * rx)
        m[1, i] = my + (third * ((a[1, i] - my) + two * (b[1, i] - my) + (c[1, i] - my)) + weight * ry)
        m[2, i] = mz + (third * ((a[2, i] - mz) + two * (b[2, i] - mz) + (c[2, i] - mz)) + weight * rz)


@compiled
def _copy(out, m):
    """out <- m, both (3, cells). A loop, as elsewhere in place of `out[:] = m`, which takes numba seconds to compile."""
    for k in range(3):
        for i in range(m.shape[1]):
            out[k, i] = m[k, i]


@compiled
def _mix(early, late, knots, w, uniform):
    """early, late = w[n, 0] a + w[n, 1] b + ... + w[n, 4] e + uniform[n]: the slow field at two times, n = 0, 1, of its values at the knots.

    All are (3, cells). Both at once, since to read the values takes longer than to add them up. The last is not read where it counts nothing.
    """
    a, b, c, d, e = knots
    (p0, p1, p2, p3, p4), (q0, q1, q2, q3, q4) = w[0], w[1]
    for k in range(3):
        u, v = uniform[0, k], uniform[1, k]
        if p4 == 0 and q4 == 0:
            for i in range(early.shape[1]):
                early[k, i] = p0 * a[k, i] + p1 * b[k, i] + p2 * c[k, i] + p3 * d[k, i] + u
                late[k, i] = q0 * a[k, i] + q1 * b[k, i] + q2 * c[k, i] + q3 * d[k, i] + v
        else:
            for i in range(early.shape[1]):
                early[k, i] = p0 * a[k, i] + p1 * b[k, i] + p2 * c[k, i] + p3 * d[k, i] + p4 * e[k, i] + u
                late[k, i] = q0 * a[k, i] + q1 * b[k, i] + q2 * c[k, i] + q3 * d[k, i] + q4 * e[k, i] + v


@compiled
def _normalize(out, m, tiny):
    """out <- m/|m| in every cell; tiny keeps those that are 0, outside the mask and in the border, at 0."""
    one = m.dtype.type(1)
    for i in range(m.shape[1]):
        mx, my, mz = m[0, i], m[1, i], m[2, i]
        scale = one / np.sqrt(mx * mx + my * my + mz * mz + tiny)
        out[0, i], out[1, i], out[2, i] = mx * scale, my * scale, mz * scale


@compiled
def _apart(a, b):
    """The largest difference of two vectors, (3,)."""
    return max(abs(a[0] - b[0]), abs(a[1] - b[1]), abs(a[2] - b[2]))


@compiled
def _substeps(out, start, halfway, keep, knots, weights, zeeman, stencil, alpha, tau, row, work, slow):
    """out <- the state after len(zeeman) substeps of tau from `start`; halfway <- that before substep `keep`.

    start, halfway, out, work[0..3]: (3, cells), start is left as it is. knots: the slow field at five times, each (3, cells).
    weights: (n, 3, 5), how to mix them in each substep, see `_weights`. zeeman: (n, 3, 3), see `_average`. slow: (2, 3, cells), scratch.
    Each substep is the classical Runge-Kutta method of fourth order. Where, as here, eigenvalues are nearly imaginary, few
    methods are stable for a larger step a stage: |omega| h < 2.83.
    """
    a, b, c, m = work
    early, late = slow
    _copy(m, start)
    number = m.dtype.type
    half, whole, sixth = number(tau / 2), number(tau), number(tau / 6)
    for n in range(len(zeeman)):
        if n == keep:
            _copy(halfway, m)
        if n == 0 or _apart(zeeman[n, 0], zeeman[n - 1, 2]) > 1e-9:  # else it is what the substep before ended with
            _mix(late, early, knots, weights[n], zeeman[n])
        _stage(a, m, half, m, late, stencil, alpha, row)
        _mix(early, late, knots, weights[n, 1:], zeeman[n, 1:])
        _stage(b, m, half, a, early, stencil, alpha, row)
        _stage(c, m, whole, b, early, stencil, alpha, row)
        _last(m, a, b, c, sixth, late, stencil, alpha, row)
    _normalize(out, m, m.dtype.type(1e-30))


@compiled
def _polynomial(out, nodes, count, left, at):
    """out <- coefficients, constant first, of the polynomial that is 1 at `at` and 0 at nodes[:count], but for the one left out."""
    out[:] = 0
    out[0] = 1
    for i in range(count):
        if i != left:
            for q in range(len(out) - 1, 0, -1):
                out[q] = (out[q - 1] - nodes[i] * out[q]) / (at - nodes[i])
            out[0] *= -nodes[i] / (at - nodes[i])


@compiled
def _value(polynomial, at):
    total = 0.0
    for q in range(len(polynomial) - 1, -1, -1):
        total = total * at + polynomial[q]
    return total


@compiled
def _repeated_from(substeps, fewest, most):
    """The substep from which on a slow step of so many is repeated. fewest, most: see `HALVED`, of other numbers all are."""
    return (substeps + (substeps > 7)) // 2 if fewest <= substeps <= most else 0


@compiled
def _correction(out, nodes, count, begin):
    """out <- coefficients of w: what the new value adds to the slow field is w times its distance from the prediction.

    Through the new value and the last three, w is the cubic that is 1 at the end and 0 at nodes[:3]. That is what it is where the
    whole step is repeated, begin = 0. Where only what follows `begin` is, a straight line is added, by which the state at the end
    comes out the same, to second order in the angle that a wave turns by: it has the integral of w up to `begin` and the
    first moment about the end.
    """
    _polynomial(out, nodes, min(count, 3), -1, 1.0)
    area, moment, rest = 0.0, 0.0, 1 - begin
    for q in range(len(out)):
        area += out[q] * begin ** (q + 1) / (q + 1)
        moment += out[q] * (begin ** (q + 1) / (q + 1) - begin ** (q + 2) / (q + 2))
    slope = 12 / rest**3 * (area * rest / 2 - moment)
    out[0] += area / rest - slope * (1 + begin) / 2
    out[1] += slope


@compiled
def _weights(out, nodes, count, begin, corrected):
    """out[n, :, j] <- weight of the slow field's value j at each of `TIMES` in substep n. out: (n, 3, 5).

    nodes: times of the known values, in slow steps from now, `count` of them. To predict, the values are these, the latest first.
    Corrected, the new value goes before them. begin: see `_correction`.
    """
    out[:] = 0
    shares, w, ahead = np.zeros((4, 5)), np.zeros(5), 0
    for j in range(count):
        _polynomial(shares[j], nodes, count, j, nodes[j])
    if corrected:
        _correction(w, nodes, count, begin)
        ahead = 1
        if begin == 0:
            count = min(count, 3)  # what is left of the oldest is 0
    for n in range(len(out)):
        for k in range(len(TIMES)):
            at = (n + TIMES[k]) / len(out)
            new = out[n, k, 0] = _value(w, at)
            for j in range(count):
                out[n, k, ahead + j] = _value(shares[j], at) - new * _value(shares[j], 1.0)


@compiled
def _integrals(fields, part):
    """The integral of a field, from 0 to each multiple of part, (n + 1, 3), and its largest strength. fields: its means between, (n, 3)."""
    table, square = np.zeros((len(fields) + 1, 3)), 0.0
    for n in range(len(fields)):
        for c in range(3):
            table[n + 1, c] = table[n, c] + fields[n, c] * part
        square = max(square, fields[n, 0] ** 2 + fields[n, 1] ** 2 + fields[n, 2] ** 2)
    return table, np.sqrt(square)


@compiled
def _integral(table, at, c):
    i = min(int(at), len(table) - 2)
    return table[i, c] + (at - i) * (table[i + 1, c] - table[i, c])


@compiled
def _average(out, table, spacing, t, step):
    """out[n] <- the applied field at each of `TIMES` in substep n: on the line through its means over both halves.

    table: the field's integral from 0 to each multiple of spacing, (n, 3). So a pulse has its area, however short.
    """
    half = step / len(out) / spacing / 2
    for n in range(len(out)):
        low = t / spacing + 2 * n * half
        for c in range(3):
            begin, middle, end = _integral(table, low, c), _integral(table, low + half, c), _integral(table, low + 2 * half, c)
            mean, slope = (end - begin) / (2 * half * spacing), 2 * (end - 2 * middle + begin) / (half * spacing)
            for k in range(len(TIMES)):
                out[n, k, c] = mean + slope * (TIMES[k] - 0.5)


@compiled
def _surprise(new, a, b, c, nodes, cells):
    """Root mean square over cells of new less the parabola through a, b, c at `nodes`, one slow step from now.

    new, a, b, c: the slow field, 0 in the border. cells: how many there are without it.
    """
    number = new.dtype.type
    w = np.ones(3)
    for j in range(3):
        for i in range(3):
            if i != j:
                w[j] *= (1 - nodes[i]) / (nodes[j] - nodes[i])
    w0, w1, w2, total = number(w[0]), number(w[1]), number(w[2]), number(0)
    for k in range(3):
        for i in range(new.shape[1]):
            total += (new[k, i] - w0 * a[k, i] - w1 * b[k, i] - w2 * c[k, i]) ** 2
    return np.sqrt(total / cells)


@compiled
def _energy(m, slow, stencil, zeeman):
    """Energy in mu0 Ms^2 times the volume of a cell, the sum over cells; m, slow, the slow field of m: (3, ny + 2, row)."""
    total = 0.0
    for k in range(3):
        for y in range(1, m.shape[1] - 1):
            for x in range(1, m.shape[2] - 1):
                own = m[k, y, x]
                # exchange counts differences, which rounding spares
                near = (stencil[k, 1] * (m[k, y, x - 1] + m[k, y, x + 1]) + stencil[k, 2] * (m[k, y - 1, x] + m[k, y + 1, x])
                        + stencil[k, 0] * own)
                total -= own * ((slow[k, y, x] + near) / 2 + zeeman[k])
    return total


@compiled
def _advance(states, energies, field, m, duration, table, spacing, past, order, when, known, step, limits, stencil, alpha, rate,
             cells, demag, work, slow, weights, zeeman):
    """m <- the state after `duration` in s; table, spacing: see `_average`. Returns the state of the clockwork.

    states: (n, ny, nx, 3). Where n > 0 it goes on for n times the duration, in a constant field, (3,), and the state after each goes
    there, and its energy into `energies`: a call from Python takes as long as a film of few cells takes for 10 ps.
    cells: how many the grid has. past: (5, 3, ny + 2, row), in this order: the slow field now, one, two, three slow steps ago, and room for the next.
    when: (4,), how long ago that was. known: how many of them count. step: s, the slow step to try. limits: (largest slow step, largest
    substep, tolerance, between which slow steps none may lie, and between how many substeps only half of them are repeated).
    Returns (known, step, evaluations, steps made anew, sum of the surprises).
    """
    largest, substep, tolerance, low, high, fewest, most = limits
    state, fields, row = m.reshape(3, -1), past.reshape(5, 3, -1), _index(m.shape[2])
    start, halfway, nodes, seen = work[4], work[5], np.zeros(4), (0, 0, 0)
    evaluations, anew, total = 0, 0, 0.0
    for sample in range(max(1, len(states))):
        t = 0.0
        while duration - t > 1e-9 * duration:
            n = max(1, int(np.ceil((duration - t) / step - 1e-6)))
            while low < (duration - t) / n < high:
                n += 1
            now = (duration - t) / n
            few = int(np.ceil(now / substep))
            many = max(few, min(LEAST, int(np.ceil(FINEST * now / substep))))
            begin = _repeated_from(few, fewest, most) if known == 4 else 0
            if many > len(zeeman):
                weights, zeeman = np.zeros((2, many, len(TIMES), 5), weights.dtype), np.zeros((many, len(TIMES), 3), zeeman.dtype)
                seen = 0, 0, 0
            changed = seen != (few, many, known)
            for j in range(known):
                node = -when[j] / now
                changed |= abs(node - nodes[j]) > 1e-9
                nodes[j] = node
            if changed:
                _weights(weights[0, :few], nodes, known, 0.0, False)
                _weights(weights[1, :many], nodes, known, begin / many, True)
                seen = few, many, known
            _copy(start, state)
            surprise = 0.0
            # To predict, and to correct. The first step has no past to predict from, so it is corrected twice
            for turn in range(2 if known > 1 else 3):
                substeps, ahead = few, 0
                if turn:
                    convolve(past[order[4]], m, demag)
                    evaluations += 1
                    if known > 2:
                        surprise = rate * now * _surprise(fields[order[4]], fields[order[0]], fields[order[1]], fields[order[2]], nodes, cells)
                        if surprise > 4 * tolerance:
                            break
                    substeps, ahead = many, 1
                knots = fields[order[-ahead]], fields[order[1 - ahead]], fields[order[2 - ahead]], fields[order[3 - ahead]], fields[order[3]]
                _average(zeeman[:substeps], table, spacing, t, now)
                mixing, tau = weights[ahead], stencil.dtype.type(rate * now / substeps)
                origin, first, keep = (halfway, begin, -1) if turn else (start, 0, begin)
                _substeps(state, origin, halfway, keep, knots, mixing[first:substeps], zeeman[first:substeps], stencil, alpha, tau, row, work[:4], slow)
            # The surprise grows as the third power of the step
            wanted = now * min(2.0, max(0.3, 0.9 * (tolerance / max(surprise, 1e-30)) ** (1 / 3)))
            if surprise > 4 * tolerance:
                _copy(state, start)
                anew += 1
                step = wanted
                continue
            last = order[4]
            for j in range(4, 0, -1):
                order[j] = order[j - 1]
            order[0] = last
            for j in range(3, 0, -1):
                when[j] = when[j - 1] + now
            when[0] = 0
            known = min(known + 1, 4)
            t += now
            total += surprise
            step = min(largest, wanted if wanted < now else max(step, wanted))
        if len(states):
            for k in range(3):
                for y in range(states.shape[1]):
                    for x in range(states.shape[2]):
                        states[sample, y, x, k] = m[k, y + 1, x + 1]
            energies[sample] = _energy(m, past[order[0]], stencil, field)
    return known, step, evaluations, anew, total


def time_steps(film: Film, field: float = 0.0, accuracy: float = 1.0) -> tuple[float, float, tuple[float, float]]:
    """The largest steps that the integrator takes, in s: (slow step, substep, slow steps that are left out, from and to).

    The slow step is at most 0.37/(gamma0 (Ms + H)), 2.1 ps for permalloy: a third of a radian of the fastest precession that
    demagnetizing and applied field can drive. It shrinks as the root of the damping below alpha = 0.02, to 0.03 of that.
    The substep obeys the stability limit of the Runge-Kutta method, with a margin, |omega| h < 2.75, at the fastest mode that
    the grid can hold: omega = gamma0 (2A/(mu0 Ms) 4 (1/dx^2 + 1/dy^2) + Ms + H)/sqrt(1 + alpha^2).
    A mode that turns by half a turn in a slow step is driven by its own slow field, with a sign that changes from step to step:
    a resonance, which damping must hold down. The mode that the five-point stencil tells worst is the grid's fastest, so
    no slow step puts that one there. The page "What is tested" has the analysis.
    field: mu0*H in tesla. accuracy: see `llg.simulate`. Raises ValueError or TypeError, naming the argument.
    """
    applied = number("field", field, "a strength in T, at least 0, is", 0) / MU0
    accuracy = number("accuracy", accuracy, "a number from 0.001 to 1000 is", 1e-3, 1e3)
    instance("film", film, Film)
    slow = 0.37 / (film.gamma0 * (film.Ms + applied)) * np.clip(np.sqrt(film.alpha / DAMPED), 0.03, 1)
    exchange = 2 * film.A / (MU0 * film.Ms) * 4 * ((film.nx > 1) / film.dx**2 + (film.ny > 1) / film.dy**2)
    fastest = film.gamma0 * (exchange + film.Ms + applied) / np.sqrt(1 + film.alpha**2)
    low, high = (k * np.pi / fastest for k in RESONANCE)
    slow = slow / accuracy
    return (low if low < slow < high else slow), 2.75 / fastest / max(1.0, accuracy), (low, high)


@lru_cache(maxsize=8)
def _split(film, dtype):
    """The stencil of the fast field, (3, 3), and the `Demag` of the slow one. Kept: to make them takes as long as 100 steps of few cells."""
    exchange = 2 * film.A / (MU0 * film.Ms**2) * np.array([0, 1 / film.dx**2, 1 / film.dy**2])
    near = near_stencil(tensor(film.cells, (film.dx, film.dy, film.thickness)))
    stencil = np.ascontiguousarray(exchange - near, dtype)
    # What rounding took from the stencil goes into the convolution, so that nothing is lost
    return stencil, Demag(film, exchange - stencil.astype(float), dtype)


class Multirate:
    """The film's state, and the clockwork that takes it on in time.

    film: the `Film`. start: (ny, nx, 3). accuracy: see `llg.simulate`. dtype: of all arrays. The state is `state`, (3, ny, nx).
    """

    def __init__(self, film: Film, start: np.ndarray, accuracy: float, dtype: type):
        self.film, self.accuracy, self.unit = film, accuracy, MU0 * film.Ms  # the unit of mu0*H, in T
        self.stencil, demag = _split(film, dtype)
        self.demag = demag.prepared()
        row = film.nx + 2 + (-2 - film.nx) % 8 * (film.nx > 64)  # more of the border, so that all rows begin as the first does
        self.m = aligned((3, film.ny + 2, row), dtype, 1)  # the first inner cell of a row begins a line of the cache
        self.state[:] = np.moveaxis(start, -1, 0)
        self.rate = film.gamma0 * film.Ms / (1 + film.alpha**2)
        flat = 3, (film.ny + 2) * row
        self.work = tuple(aligned(flat, dtype, 1) for _ in range(6))
        self.scratch = (aligned(flat, dtype, 1), aligned(flat, dtype, 1)), np.zeros((2, 0, 3, 5), dtype), np.zeros((0, 3, 3), dtype)
        self.past, self.order, self.when = aligned((5, *self.m.shape), dtype, 1), np.arange(5), np.zeros(4)
        convolve(self.past[0], self.m, self.demag)
        self.evaluations, self.anew, self.surprises = 1, 0, 0.0
        self.known, self.step = 1, 0.0
        self.strength, self.limits = -1.0, ()
        self.cells = film.inside.sum()

    @property
    def state(self) -> np.ndarray:
        return self.m[:, 1:-1, 1:self.film.nx + 1]

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
        if jumps:
            self.known = 1
        self._run(np.empty((0, 1, 1, 3), self.m.dtype), np.empty(0), duration, fields)

    def record(self, n: int, every: float, field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """On by n times `every` in s, in the constant field mu0*H in T, (3,).

        Returns the states that come, (n, ny, nx, 3), and their energies in mu0 Ms^2, means over the film, (n,).
        """
        states, energies = np.empty((n, self.film.ny, self.film.nx, 3), self.m.dtype), np.empty(n)
        self._run(states, energies, every, field[None])
        return states, energies / self.cells

    def _run(self, states, energies, duration, fields):
        """`_advance`, with the steps that this field allows."""
        spacing = duration / len(fields)
        table, strength = _integrals(fields, spacing / self.unit)
        if strength != self.strength:  # to ask takes as long as a film of few cells takes for 10 ps
            slow, substep, gap = time_steps(self.film, strength, self.accuracy)
            tolerance = TOLERANCE / self.accuracy**3 / max(1.0, strength / self.unit / STRONG) ** 2 * np.clip(self.film.alpha / DAMPED, 0.04, 1) ** 1.5
            halved = HALVED if self.film.alpha >= DAMPED else (0, 0)
            self.strength, self.limits = strength, (slow, substep, tolerance, *gap, *halved)
        # Without a past it feels its way
        step = min(self.step, self.limits[0]) if self.known > 1 else self.limits[0] / 64
        self.known, self.step, evaluations, anew, surprises = _advance(
            states, energies, fields[0] / self.unit, self.m, duration, table, spacing, self.past, self.order, self.when, self.known, step,
            self.limits, self.stencil, self.m.dtype.type(self.film.alpha), self.rate, self.film.nx * self.film.ny, self.demag, self.work,
            *self.scratch)
        self.evaluations += evaluations
        self.anew += anew
        self.surprises += surprises


# ---------------------------------------------------------------------------- downhill: `llg.relax`


@compiled
def _descend(m, field, stencil, demag, slow, before, now, begun, torque, steps):
    """m <- up to `steps` steps further downhill, see `llg.relax`. Returns (how many were taken, largest |m x h|).

    before, now: (2, 3, ny, nx): m and m x (m x h) at the step before; m x h and m x (m x h). begun: steps taken so far.
    """
    ny, nx = m.shape[1] - 2, m.shape[2] - 2
    largest = 0.0
    for n in range(begun, begun + steps):
        convolve(slow, m, demag)
        largest, mm, mg, gg = 0.0, 0.0, 0.0, 0.0
        for j in range(ny):
            for i in range(nx):
                y, x = j + 1, i + 1
                mx, my, mz = m[0, y, x], m[1, y, x], m[2, y, x]
                hx = slow[0, y, x] + field[0] + stencil[0, 1] * (m[0, y, x - 1] + m[0, y, x + 1]) + stencil[0, 2] * (m[0, y - 1, x] + m[0, y + 1, x])
                hy = slow[1, y, x] + field[1] + stencil[1, 1] * (m[1, y, x - 1] + m[1, y, x + 1]) + stencil[1, 2] * (m[1, y - 1, x] + m[1, y + 1, x])
                hz = slow[2, y, x] + field[2] + stencil[2, 1] * (m[2, y, x - 1] + m[2, y, x + 1]) + stencil[2, 2] * (m[2, y - 1, x] + m[2, y + 1, x])
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
        self.room = np.zeros_like(self.m), *np.zeros((2, 2, 3, film.ny, film.nx))
        self.begun = 0
        convolve(self.room[0], self.m, self.demag)  # loaded first: from numba's cache, the loop brings a copy along that rounds otherwise

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


@lru_cache(maxsize=1)
def _controller():
    """Of all libraries of matrix products that are loaded by then: numba's, which is SciPy's, must be, or it would go unlimited."""
    import scipy.linalg.cython_blas  # noqa: F401

    return ThreadpoolController()


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
