"""Checks of steps in time, and of what they make of a moment in a field. Assignment 4."""

from collections.abc import Callable

import numpy as np
from scipy import integrate as scipys

from .. import llg
from ..film import PERMALLOY, unit
from ._check import Stopped, call, generator, grade, ours

GAMMA = PERMALLOY["gamma0"]

READY_MADE = (scipys.solve_ivp, scipys.odeint, scipys.ode, scipys.OdeSolver)
"""What integrates for students who should write it themselves."""


def _counted(rate, most=100_000):
    """A rate that notes when it is asked, and stops who asks for ever: (rate, the times at which it was asked)."""
    asked: list[float] = []

    def noting(t, y):
        asked.append(t)
        if len(asked) > most:
            raise Stopped(f"Yours has asked for the rate {most:,} times and is not done.")
        return rate(t, y)

    return noting, asked


@ours
def _damped(m0, H, alpha, t):
    """The closed form of a damped precession: the moment (nt, 3) at the times t, in a constant field H (3,) in A/m."""
    size = np.linalg.norm(H)
    up = H / size
    across = m0 - (m0 @ up) * up
    theta, first = np.arctan2(np.linalg.norm(across), m0 @ up), unit(across)
    turned = GAMMA * size * np.asarray(t) / (1 + alpha**2)
    now = 2 * np.arctan(np.tan(theta / 2) * np.exp(-alpha * turned))
    return (np.cos(now)[:, None] * up + (np.sin(now) * np.cos(turned))[:, None] * first
            + (np.sin(now) * np.sin(turned))[:, None] * np.cross(up, first))


def _draw_moment(rng):
    """(m0, H, alpha): a moment more than 30 degrees away from its field and from the opposite of it."""
    while True:
        m0, direction = unit(rng.standard_normal((2, 3)))
        if abs(m0 @ direction) < 0.85:
            return m0, rng.uniform(2e4, 1e5) * direction, rng.uniform(0.05, 0.15)


def _turning(alpha):
    """The rate of a damped moment in a field of size one along z, in units in which it turns by one radian."""
    def rate(t, m):
        x, y, z = np.asarray(m).T  # np.cross takes ten times as long for one vector
        return np.array([-y - alpha * x * z, x - alpha * y * z, alpha * (x * x + y * y)]).T

    return rate


def step(f: Callable, *, points: float = 4, seed: int = 0) -> float:
    """Check a step in time, assignment 4; prints what holds, and returns points.

    f: (rate, t, y, dt) -> y at t + dt, of the shape of y, where dy/dt = rate(t, y). t, dt: numbers. y: an array of any shape.
    points: for all properties. seed: of what is drawn. Raises ValueError for points or a seed that is none.
    """
    rng = generator(seed)
    start, alpha, pace = unit(rng.standard_normal(3)), rng.uniform(0.1, 0.3), rng.uniform(0.5, 2)

    def run(rate, y, end, n):
        """All states of n equal steps."""
        states = [y]
        for k in range(n):
            states.append(call(f, rate, k * end / n, states[-1], end / n, shape=y.shape))
        return np.array(states)

    def order(rate, y, end, true):
        """The power of the step that the largest error of a run goes with, from 60 and 120 steps."""
        errors = [np.abs(run(rate, y, end, n) - true(np.linspace(0, end, n + 1))).max() for n in (60, 120)]
        return np.inf if errors[1] < 1e-12 else np.log2(errors[0] / errors[1])

    def short():
        """A short step moves y by dt times its rate."""
        y, rate = rng.standard_normal(3), _turning(alpha)
        new, size = call(f, rate, 0.0, y, 1e-5, shape=(3,)), np.abs(rate(0, y)).max()
        moved = (new - y) / 1e-5
        if np.abs(moved - rate(0, y)).max() < 1e-3 * size:
            return None
        if np.abs(new).max() < 1e-3 * np.abs(y).max():
            return "Yours returns next to nothing: is it only what is added to y?"
        if abs(np.linalg.norm(new) - 1) < 1e-9:
            return "Yours brings y to length one. A step is for any equation, and this y has another length."
        if np.abs(moved).max() > 100 * size:
            return "Yours leaps, however short the step."
        return f"Yours moves it by {np.sum(moved * rate(0, y)) / np.sum(rate(0, y)**2):.3g} times that."

    def halved():
        """Half the step makes the error of a whole run at least four times smaller: the order is 2 or more."""
        def true(t):  # this closed form has the 1 + alpha^2 in it that the rate of `_turning` has not
            return _damped(start, np.array([0, 0, 1 / GAMMA]), alpha, t * (1 + alpha**2))

        p = order(_turning(alpha), start, 4.0, true)
        return None if p > 1.7 else f"In yours the order is {p:.2g}. Euler's rule has 1: it takes the rate at the beginning for that of the whole step."

    def timed():
        """The same where the rate depends on the time: it is asked for at the time at which y is taken."""
        y = rng.uniform(1, 2, 2)
        p = order(lambda t, y: pace * np.cos(2 * t) * y, y, 3.0, lambda t: y * np.exp(pace * np.sin(2 * t) / 2)[:, None])
        return None if p > 1.7 else f"In yours the order is {p:.2g}. At which time does each of your calls ask?"

    def calls():
        """A step asks for the rate a fixed, small number of times: forty at most."""
        rate, asked = _counted(_turning(alpha))
        run(rate, start, 1.0, 10)
        return None if 10 <= len(asked) <= 400 else f"Yours asks {len(asked) / 10:g} times."

    def shapes():
        """y may be an array of any shape, such as that of all moments of a film."""
        y = rng.standard_normal((2, 4, 3))
        whole = call(f, _turning(alpha), 0.0, y, 0.1, shape=y.shape)
        single = np.array([[call(f, _turning(alpha), 0.0, one, 0.1, shape=(3,)) for one in row] for row in y])
        return None if np.abs(whole - single).max() < 1e-9 else "In yours moments side by side move otherwise than one at a time."

    return grade([short, halved, timed, calls, shapes], points, needs=2, forbidden=READY_MADE)  # Euler's rule is given


def integrate(f: Callable, *, points: float = 4, seed: int = 0) -> float:
    """Check an integration that chooses its own steps, assignment 4; prints what holds, and returns points.

    f: (rate, y0, t, tol) -> y (nt, 3) at the times t (nt,), y0 first, where dy/dt = rate(t, y); tol: the error that one step may
    make. y0: (3,). points: for all properties. seed: of what is drawn. Raises ValueError for points or a seed that is none.
    """
    rng = generator(seed)
    start, alpha = unit(rng.standard_normal(3)), rng.uniform(0.1, 0.3)
    t = np.cumsum([0, *rng.uniform(0.5, 5, 7)])
    field = np.array([0, 0, 1 / GAMMA])
    true = _damped(start, field, alpha, t * (1 + alpha**2))
    y0 = rng.standard_normal(3)

    def run(rate, y, t, tol):
        rate, asked = _counted(rate)
        return call(f, rate, y, t, tol, shape=(len(t), 3)), len(asked)

    def closed():
        """A damped moment is where the closed form has it, at all times that were asked for, to 1e-3 at a tolerance of 1e-6."""
        y, _ = run(_turning(alpha), start, t, 1e-6)
        off = np.abs(y - true).max(axis=1)
        if off[0] > 1e-12:
            return "The first state of yours is not the one it was given."
        return None if off.max() < 1e-3 else f"Yours is off by {off[off > 1e-3][0]:.2g} at t = {t[off > 1e-3][0]:.3g}."

    def obeyed():
        """A hundredth of the tolerance makes the error at least ten times smaller."""
        runs = [run(_turning(alpha), start, t, tol) for tol in (1e-5, 1e-7)]
        errors = [np.abs(y - true).max() for y, _ in runs]
        if not runs[1][1] > runs[0][1]:
            return f"Yours asks {runs[1][1]:,} times for the rate with either: does it look at the tolerance?"
        if errors[1] < max(errors[0] / 10, 1e-9):
            return None
        return f"In yours it goes from {errors[0]:.2g} to {errors[1]:.2g}."

    def quiet():
        """Where nothing happens any more it takes long steps: a hundred times the time costs less than four times the calls."""
        def fading(t, y):
            return np.exp(-t**2) * y0

        short, few = run(fading, 0 * y0, np.array([0, 10.0]), 1e-6)
        counted, asked = _counted(fading)
        long, many = call(f, counted, 0 * y0, np.array([0, 1000.0]), 1e-6, shape=(2, 3)), len(asked)
        times = np.unique(asked)
        gaps, early = np.diff(times), times[:-1] < 2
        if np.abs(np.stack([short[-1], long[-1]]) - np.sqrt(np.pi) / 2 * y0).max() > 1e-3:
            return "Yours does not end where it should: is the step that turned out too long made anew?"
        if not early.sum() > 2 or gaps[~early].max() < 30 * np.median(gaps[early]):
            return "The steps of yours do not grow: they are as long where all is over as where it happens."
        return None if many < 4 * few else f"In yours {few:,} calls become {many:,}."

    def followed():
        """A field that grows twentyfold on the way is followed, to 1e-2: the steps become shorter again."""
        when, width, little = rng.uniform(2, 4), 0.2, 0.02
        turning = _turning(little)
        y, calls = run(lambda t, m: (10.5 + 9.5 * np.tanh((t - when) / width)) * turning(t, m), start, np.array([0, 6.0]), 1e-6)
        turned = 10.5 * 6 + 9.5 * width * (np.log(np.cosh((6 - when) / width)) - np.log(np.cosh(when / width)))
        off = np.abs(y[-1] - _damped(start, field, little, [turned * (1 + little**2)])[0]).max()
        return None if off < 1e-2 else f"Yours took {calls:,} calls and is off by {off:.2g}."

    def calls():
        """At a tolerance of 1e-6 three turns of a moment cost less than 10,000 calls."""
        most = run(_turning(alpha), start, np.array([0, 6 * np.pi]), 1e-6)[1]
        return None if most < (10_000 if seed == 0 else 20_000) else f"Yours asks {most:,} times."

    return grade([closed, obeyed, quiet, followed, calls], points, forbidden=READY_MADE)


def precession(f: Callable, *, points: float = 4, seed: int = 0) -> float:
    """Check the motion of a damped moment in a constant field, assignment 4; prints what holds, and returns points.

    f: (m0, H, alpha, t) -> m (nt, 3), of the Landau-Lifshitz-Gilbert equation with gamma0 = 2.211e5 m/(A s). m0: (3,). H: (3,) in
    A/m. t: (nt,) in s. points: for all properties. seed: of what is drawn. Raises ValueError for points or a seed that is none.
    """
    m0, H, alpha = _draw_moment(generator(seed))
    slack = 1 if seed == 0 else 5  # who passes at home passes in the course, where other moments go farther
    turn = 2 * np.pi / (GAMMA * np.linalg.norm(H))
    t = np.linspace(0, 4 * turn, 33)
    found: dict[str, np.ndarray] = {}

    def run():
        if not found:
            found["m"] = call(f, m0, H, alpha, t, shape=(len(t), 3))
        return found["m"]

    def closed():
        """It goes around its field and comes nearer as the closed form says, over four turns, to 1e-4."""
        off = np.abs(run() - _damped(m0, H, alpha, t)).max()
        if off < 1e-4 * slack:
            return None
        for words, other in (("It goes around the other way", _damped(m0, -H, -alpha, t)),
                             ("It goes around the other way, and away from the field: both signs are wrong, or H is -H", _damped(m0, -H, alpha, t)),
                             ("Damping drives it away from the field", _damped(m0, H, -alpha, t)),
                             ("The factor 1/(1 + alpha^2) is missing", _damped(m0, H, alpha, t * (1 + alpha**2))),
                             ("It is not damped", _damped(m0, H, 0.0, t)), ("It never moves", np.tile(m0, (len(t), 1)))):
            if np.abs(run() - other).max() < 1e-3:
                return f"Yours is off by {off:.2g}. {words}."
        return f"Yours is off by {off:.2g}. How large are your steps, and which tolerance do you give?"

    def length():
        """Its length stays one, to 1e-6."""
        off = np.abs(np.linalg.norm(run(), axis=-1) - 1).max()
        return None if off < 1e-6 * slack else f"Yours is off by {off:.2g}. A smaller tolerance helps, or to bring it back to one."

    def falls():
        """With damping its energy in the field, -mu0 m.H, falls from each time to the next."""
        rises = np.diff(-run() @ H)
        return None if (rises < 0).all() else f"Yours rises {np.sum(rises >= 0)} times."

    def kept():
        """Without damping the energy stays what it was, to 1e-5 over three turns."""
        m = call(f, m0, H, 0.0, np.linspace(0, 3 * turn, 11), shape=(11, 3))
        off = np.abs((m - m0) @ H).max() / np.linalg.norm(H)
        if np.abs(call(f, m0, H, 0.0, np.array([0, turn / 2]), shape=(2, 3))[1] - m0).max() < 1e-3:
            return "Yours does not move at all without damping."
        return None if off < 1e-5 * slack else f"Yours changes by {off:.2g} of the largest it could be."

    def scaled():
        """The equation has no time of its own: in a field a thousand times smaller all goes the same way, a thousand times slower."""
        slow = call(f, m0, H / 1000, alpha, t * 1000, shape=(len(t), 3))
        return None if np.abs(slow - _damped(m0, H, alpha, t)).max() < 1e-4 * slack else "In yours it does not. Is a time step written down in seconds?"

    return grade([closed, length, falls, kept, scaled], points, forbidden=(llg.simulate, *READY_MADE))
