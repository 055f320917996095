"""Checks of a single moment: its rate with a spin-polarized current, and what the current does to a free layer. Assignment 1."""

from collections.abc import Callable

import numpy as np

from .. import llg
from ..film import PERMALLOY, unit
from ._check import call, generator, grade, ours, tesla

GAMMA = PERMALLOY["gamma0"]


def torque(f: Callable, *, points: float = 4, seed: int = 0) -> float:
    """Check the rate of moments with damping and a spin-polarized current, assignment 1; prints what holds, and returns points.

    f: (m, H, alpha, p, a) -> dm/dt in 1/s, (n, 3), of Gilbert's equation with Slonczewski's torque,
    dm/dt = -gamma0 m x H + alpha m x dm/dt - gamma0 a m x (m x p), solved for dm/dt, gamma0 = 2.211e5 m/(A s). m: (n, 3) unit
    vectors. H: (n, 3) in A/m. alpha: a number. p: (3,), a unit vector. a: (n,) in A/m. points: for all properties. seed: of
    what is drawn. Raises ValueError for points or a seed that is none.
    """
    rng = generator(seed)
    n = 7
    m, direction, p = unit(rng.standard_normal((n, 3))), unit(rng.standard_normal((n, 3))), unit(rng.standard_normal(3))
    strength = rng.uniform(2e4, 8e4, (n, 1))
    H, alpha, a = strength * direction, rng.uniform(0.2, 0.5), rng.uniform(2e4, 8e4, n) * rng.choice([-1, 1], n)
    none = np.zeros(n)

    def rate(m=m, H=H, alpha=alpha, p=p, a=a):
        return call(f, m, H, alpha, p, a, shape=m.shape)

    def share(r, along):
        """How many times `along` is in a rate, the mean over all moments."""
        return np.mean(np.sum(r * along, axis=-1) / np.sum(along**2, axis=-1))

    around, inwards = GAMMA * np.cross(H, m), GAMMA * (H - np.sum(H * m, axis=-1, keepdims=True) * m)

    def precession():
        """Without damping and current a moment goes around its field, gamma0 H radians a second, counter-clockwise seen from the field's tip."""
        r = rate(alpha=0.0, a=none)
        times = share(r, around)
        if abs(times) < 1e-9:
            return "Yours stands still, or does not go around."
        if abs(times + 1) < 1e-6:
            return "Yours goes around the other way: mind the order in m x H, and the minus."
        if not abs(times - 1) < 1e-6:
            return f"Yours goes around {times:.3g} times as fast.{tesla(times)}"
        return None if np.abs(r - around).max() < 1e-6 * np.abs(around).max() else "Yours does, and something else besides."

    def length():
        """A moment keeps its length: whatever acts, its rate is at right angles to it."""
        r = rate()
        along = np.abs(np.sum(r * m, axis=-1)).max() / np.abs(r).max()
        return None if along < 1e-9 else f"In yours {along:.2g} of the largest rate is along the moment."

    def damping():
        """Damping turns a moment towards its field, at alpha gamma0 H sin(angle)/(1 + alpha^2)."""
        times = share(rate(a=none), inwards) / (alpha / (1 + alpha**2))
        if abs(times) < 1e-9:
            return "Yours never comes nearer."
        if times < 0:
            return "Yours turns away from the field: its energy would rise."
        return None if abs(times - 1) < 1e-6 else f"Yours comes nearer {times:.3g} times as fast."

    def slowed():
        """Damping slows the precession down, to gamma0 H/(1 + alpha^2)."""
        times = share(rate(a=none), around) * (1 + alpha**2)
        if abs(times / (1 + alpha**2) - 1) < 1e-6:
            return "Yours goes around as fast as without damping. What comes of alpha m x dm/dt when dm/dt itself is damped?"
        return None if abs(times - 1) < 1e-6 else f"Yours is {times:.3g} times as fast."

    def current():
        """A current alone turns a moment towards p, at gamma0 a sin(angle), and one that flows backwards turns it away."""
        r = rate(H=0 * H, alpha=0.0)
        towards = GAMMA * a[:, None] * (p - np.sum(m * p, axis=-1, keepdims=True) * m)
        times = share(r, towards)
        if abs(times) < 1e-9:
            return "Yours does not." if np.abs(r).max() < 1e-9 * np.abs(towards).max() else "Yours goes around p. That is m x p, what a field does."
        if abs(times + 1) < 1e-6:
            return "Yours turns away from p: m x (m x p) points there, and the torque has a minus."
        if not abs(times - 1) < 1e-6:
            return f"Yours turns {times:.3g} times as fast."
        return None if np.abs(r - towards).max() < 1e-6 * np.abs(towards).max() else "Yours does, and something else besides."

    def gilbert():
        """With all at work, the rate put into Gilbert's equation, on both sides, fulfils it."""
        r = rate()
        right = around + alpha * np.cross(m, r) - GAMMA * a[:, None] * np.cross(m, np.cross(m, p))
        if np.abs(r - right).max() < 1e-6 * np.abs(r).max():
            return None
        times = share(r - right, GAMMA * a[:, None] * alpha * np.cross(m, p))
        return f"Left and right differ by {np.abs(r - right).max() / np.abs(r).max():.2g} of the largest rate." + (
            " The current sets moments in motion, and that motion is damped too." if abs(times) > 0.1 else "")

    def balance():
        """A current against the field, p = -H/|H| and a = alpha H, undoes the damping: the moment goes around for ever, at gamma0 H."""
        one, field = np.tile(direction[0], (n, 1)), np.abs(a)
        r = rate(H=field[:, None] * one, p=-direction[0], a=alpha * field)
        nearer = np.abs(np.sum(r * one, axis=-1)) / (GAMMA * field)
        if nearer.max() > 1e-6:
            return "Yours still turns towards the field or away from it."
        times = share(r, GAMMA * field[:, None] * np.cross(one, m))
        return None if abs(times - 1) < 1e-6 else f"Yours goes around {times:.3g} times as fast."

    return grade([precession, length, damping, slowed, current, gilbert, balance], points, forbidden=(llg.llg,))


@ours
def _leaves(alpha, Hk, Ms):
    """Where a small swing about the axis gets from the current what damping takes: J. Z. Sun, Phys. Rev. B 62, 570 (2000)."""
    return alpha * (Hk + Ms / 2)


@ours
def _turns(alpha, Hk, Ms):
    """Where the largest swing does, the one that just reaches the hard axis: a great circle, on which both integrals are elementary."""
    return 2 / np.pi * alpha * np.sqrt(Ms * (Ms + Hk))


def _draw_layer(rng):
    return rng.uniform(0.05, 0.1), rng.uniform(1e4, 4e4), rng.uniform(5e5, 9e5)


def switching(f: Callable, *, points: float = 4, seed: int = 0) -> float:
    """Check where a current takes the moment of a free layer, assignment 1; prints what holds, and returns points.

    f: (a, alpha, Hk, Ms) -> m (n, 3) after 20 ns, from 5 degrees beside +x in the plane, in the field Hk mx along x and
    -Ms mz along z, with p = (-1, 0, 0). a: (n,) in A/m, one current for each moment. alpha: a number. Hk, Ms: A/m. points: for
    all properties. seed: of what is drawn. Raises ValueError for points or a seed that is none.
    """
    alpha, Hk, Ms = _draw_layer(generator(seed))
    times = np.array([0, 2, -2, 0.8, 1.5])
    currents = times * _leaves(alpha, Hk, Ms)
    found: dict[float, np.ndarray] = {}

    def end(one):
        if not found:
            found.update(zip(times.tolist(), call(f, currents, alpha, Hk, Ms, shape=(len(times), 3))))
        return found[one]

    def rest():
        """Without a current the moment comes to rest on its axis, where it began: at (1, 0, 0), with length 1."""
        length = np.linalg.norm(end(0), axis=-1)
        if not abs(length - 1) < 1e-3:
            return f"Yours has length {length:.4g}."
        return None if np.abs(end(0) - [1, 0, 0]).max() < 0.01 else f"Yours is at ({', '.join(f'{c:.3g}' for c in end(0))})."

    def switched():
        """A current of twice alpha (Hk + Ms/2) turns it over, and it comes to rest at (-1, 0, 0)."""
        return None if np.abs(end(2) - [-1, 0, 0]).max() < 0.01 else f"Yours is at ({', '.join(f'{c:.3g}' for c in end(2))})."

    def backwards():
        """The same current backwards holds it where it is."""
        return None if np.abs(end(-2) - [1, 0, 0]).max() < 0.01 else f"Yours is at ({', '.join(f'{c:.3g}' for c in end(-2))})."

    def threshold():
        """It is the film's shape that makes switching costly: 0.8 times alpha (Hk + Ms/2) does not move it, 1.5 times turns it over."""
        if end(0.8)[0] < 0.99:
            return ("Yours leaves its axis at 0.8 times that. Does the demagnetizing field -Ms mz, along z, act on yours? "
                    "And does it still leave with half the step? Steps that are too coarse feed a swing, those of Euler's rule most.")
        return None if end(1.5)[0] < -0.9 else "Yours is not over at 1.5 times that after 20 ns."

    def own():
        """Each moment has a current of its own: in another order they end the same."""
        backwards = call(f, currents[::-1].copy(), alpha, Hk, Ms, shape=(len(times), 3))[::-1]
        return None if np.abs(backwards - [end(one) for one in times.tolist()]).max() < 1e-3 else "Yours do not."

    return grade([rest, switched, backwards, threshold, own], points, needs=2)


def critical(f: Callable, *, points: float = 4, seed: int = 0) -> float:
    """Check the two currents at which a free layer begins to swing and turns over, assignment 1; prints what holds, and returns points.

    f: (alpha, Hk, Ms) -> (a1, a2) in A/m, for the layer of `switching`: from a1 on a small swing grows, from a2 on the moment
    turns over. points: for all properties. seed: of what is drawn. Raises ValueError for points or a seed that is none.
    """
    alpha, Hk, Ms = _draw_layer(generator(seed))
    other = 1.5 * alpha, Hk, 0.6 * Ms
    found: dict[tuple, np.ndarray] = {}

    def of(layer):
        if layer not in found:
            found[layer] = call(f, *layer, shape=(2,))
        return found[layer]

    def nearly(times):
        return " How far apart are the currents that you try?" if abs(times - 1) < 0.15 else ""

    def grows():
        """A swing grows once the current gives more than damping takes, from a1 = alpha (Hk + Ms/2) on (to a twentieth)."""
        times = of((alpha, Hk, Ms))[0] / _leaves(alpha, Hk, Ms)
        return None if abs(times - 1) < 0.05 else f"Yours grows from {times:.3g} times that on.{nearly(times)}"

    def over():
        """A wide swing is harder to feed than a small one: the moment turns over only from a2 on, a tenth to a third above a1."""
        first, second = of((alpha, Hk, Ms))
        if second < 1.03 * first:
            return "Your two currents are the same. Between them the moment neither rests nor turns over: look at m there for a while."
        times = second / _turns(alpha, Hk, Ms)
        return None if abs(times - 1) < 0.06 else f"Your second current is {second / first:.3g} times the first; here it should be {second / first / times:.3g} times.{nearly(times)}"

    def elsewhere():
        """In a layer with more damping and less magnetization both currents are again what feeds a small swing and the widest one."""
        first, second = of(other) / (_leaves(*other), _turns(*other))
        if abs(first - 1) < 0.05 and abs(second - 1) < 0.06:
            return None
        return f"There yours are {first:.3g} and {second:.3g} times what is needed."

    return grade([grows, over, elsewhere], points)
