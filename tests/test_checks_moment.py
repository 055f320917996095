"""Checks of assignment 1: right answers in several styles, and wrong ones with the sentence that each gets."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from test_checks import heard

import magbook as mb
from magbook import checks

pytestmark = pytest.mark.slow  # each check runs a moment or a film many times

GAMMA = 2.211e5
PINNED = np.array([-1.0, 0, 0])

WRONG = {"01_current": ({
    "rate": "def rate(m, H, alpha, p, a):\n"
            "    torque = np.cross(m, H) + alpha * np.cross(m, np.cross(m, H)) + a[:, None] * np.cross(m, np.cross(m, p))\n"
            "    return -gamma0 / (1 + alpha**2) * torque\n",
    "ends": "def ends(a, alpha, Hk, Ms):\n    return np.tile([1.0, 0, 0], (len(a), 1))\n",
    "critical": "def critical(alpha, Hk, Ms):\n    return alpha * Hk, alpha * Hk\n"}, 2.86)}
"""Of each assignment a wrong submission: its answer cells, and the points that all its checks must give. Here the motion that a
current makes is not damped, no moment ever turns over, and a film's shape costs nothing."""


def cross(a, b):
    """np.cross, which takes ten times as long for few vectors."""
    after = lambda v: v.take([1, 2, 0], axis=-1)
    return after(a * after(b) - after(a) * b)


def by_crosses(m, H, alpha, p, a):
    undamped = -GAMMA * (cross(m, H) + a[:, None] * cross(m, cross(m, p)))
    return (undamped + alpha * cross(m, undamped)) / (1 + alpha**2)


def by_dots(m, H, alpha, p, a):
    """No cross product of a cross product."""
    a, along = a[:, None], lambda v: np.sum(m * v, axis=-1, keepdims=True)
    inwards, towards = H - along(H) * m, p - along(p) * m
    return GAMMA / (1 + alpha**2) * (-cross(m, H) + alpha * inwards + a * towards + alpha * a * cross(m, p))


def by_linear_equations(m, H, alpha, p, a):
    """Gilbert's equation as it stands, solved for each moment."""
    out = np.empty(m.shape)
    for i, (x, y, z) in enumerate(m):
        times = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        out[i] = np.linalg.solve(np.eye(3) - alpha * times, -GAMMA * times @ (H[i] + a[i] * times @ p))
    return out


@pytest.mark.parametrize("f", [by_crosses, by_dots, by_linear_equations])
@pytest.mark.parametrize("seed", range(20))
def test_right_torque(f, seed):
    assert checks.torque(f, points=7, seed=seed) == 7


@pytest.mark.parametrize("f, points, sentence", [
    (lambda m, H, alpha, p, a: 0 * m, 0, "Yours stands still"),
    (lambda m, H, alpha, p, a: -by_crosses(m, H, alpha, p, a), 0, "goes around the other way"),
    (lambda m, H, alpha, p, a: 4e-7 * np.pi * by_crosses(m, H, alpha, p, a), 0, "Yours goes around 1.26e-06 times as fast. That is mu0"),
    (lambda m, H, alpha, p, a: by_crosses(m, H, -alpha, p, a), 4, "its energy would rise"),
    (lambda m, H, alpha, p, a: by_crosses(m, H, alpha, p, -a), 4, "Yours turns away from p"),
    (lambda m, H, alpha, p, a: by_crosses(m, H, alpha, p, 0 * a), 4, "Yours does not."),
    (lambda m, H, alpha, p, a: by_crosses(m, H + a[:, None] * p, alpha, p, 0 * a), 4, "That is m x p, what a field does"),
    (lambda m, H, alpha, p, a: by_crosses(m, H, alpha, p, a) * (1 + alpha**2), 3, "as fast as without damping"),
    (lambda m, H, alpha, p, a: by_crosses(m, H, alpha, p, a) - GAMMA / (1 + alpha**2) * alpha * a[:, None] * np.cross(m, p), 5, "that motion is damped too"),
    (lambda m, H, alpha, p, a: by_crosses(m, H, alpha, p, a) + alpha * GAMMA * H, None, "of the largest rate is along the moment"),
    (lambda m, H, alpha, p, a: by_crosses(m, H, alpha, p, a[0]), 0, "stops with")])
def test_wrong_torque(f, points, sentence, capsys):
    for seed in range(3):
        got = checks.torque(f, points=7, seed=seed)
        assert got == points or points is None and got < 7
        assert sentence in heard(capsys)


def lazy(m, H, alpha, p, a):
    """A current is as good as a field a m x p, so the package's function can be had to do it all."""
    return mb.llg.llg(m[None], (H + a[:, None] * np.cross(m, p))[None], mb.Film(cells=(len(m), 1), alpha=alpha))[0]


def test_lazy_torque(capsys):
    assert checks.torque(lazy) == 0
    assert "llg is the package's own, and out of order" in heard(capsys)


def by_runge_kutta(a, alpha, Hk, Ms, rate=by_crosses, p=PINNED, duration=20e-9):
    def go(m):
        return rate(m, m * [Hk, 0, -Ms], alpha, p, a)

    m, dt = np.tile([np.cos(np.pi / 36), np.sin(np.pi / 36), 0], (len(a), 1)), 10e-12
    for _ in range(round(duration / dt)):
        k1 = go(m)
        k2 = go(m + dt / 2 * k1)
        k3 = go(m + dt / 2 * k2)
        m = m + dt / 6 * (k1 + 2 * k2 + 2 * k3 + go(m + dt * k3))
        m /= np.linalg.norm(m, axis=-1, keepdims=True)
    return m


def by_scipy(a, alpha, Hk, Ms):
    def go(t, y):
        m = y.reshape(-1, 3)
        return by_crosses(m, m * [Hk, 0, -Ms], alpha, PINNED, a).ravel()

    start = np.tile([np.cos(np.pi / 36), np.sin(np.pi / 36), 0], len(a))
    return solve_ivp(go, (0, 20e-9), start, rtol=1e-6, atol=1e-8).y[:, -1].reshape(-1, 3)


def by_midpoint(a, alpha, Hk, Ms):
    """A method of second order, with steps of 4 ps, and from the other rate."""
    def go(m):
        return by_dots(m, m * [Hk, 0, -Ms], alpha, PINNED, a)

    m = np.tile([np.cos(np.pi / 36), np.sin(np.pi / 36), 0], (len(a), 1))
    for _ in range(5000):
        m = m + 4e-12 * go(m + 2e-12 * go(m))
        m /= np.linalg.norm(m, axis=-1, keepdims=True)
    return m


def by_euler(a, alpha, Hk, Ms):
    m = np.tile([np.cos(np.pi / 36), np.sin(np.pi / 36), 0], (len(a), 1))
    for _ in range(2000):
        m = m + 10e-12 * by_dots(m, m * [Hk, 0, -Ms], alpha, PINNED, a)
        m /= np.linalg.norm(m, axis=-1, keepdims=True)
    return m


@pytest.mark.parametrize("f", [by_runge_kutta, by_scipy, by_midpoint])
def test_right_switching(f):
    for seed in range(2):
        assert checks.switching(f, points=5, seed=seed) == 5


@pytest.mark.parametrize("f, points, sentence", [
    (lambda a, alpha, Hk, Ms: np.tile([0.0, 0, 1], (len(a), 1)), 0, "Yours is at (0, 0, 1)"),
    (lambda a, alpha, Hk, Ms: 1.1 * by_runge_kutta(a, alpha, Hk, Ms, duration=3e-9), 0, "Yours has length 1.1"),
    (lambda a, alpha, Hk, Ms: np.tile([1.0, 0, 0], (len(a), 1)), 0, "Yours is at (1, 0, 0)"),
    (lambda a, alpha, Hk, Ms: by_runge_kutta(a, alpha, Hk, Ms, p=-PINNED), 0, "Yours is at (1, "),
    (lambda a, alpha, Hk, Ms: by_runge_kutta(np.abs(a), alpha, Hk, Ms), 4, "Yours is at (-1"),
    (lambda a, alpha, Hk, Ms: by_runge_kutta(a, alpha, Hk, 0), 4, "Does the demagnetizing field -Ms mz"),
    (by_euler, 4, "Steps that are too coarse feed a swing"),
    (lambda a, alpha, Hk, Ms: by_runge_kutta(a, alpha, Hk, Ms, duration=0.1e-9), 0, "Yours is at (1, -0.0"),
    (lambda a, alpha, Hk, Ms: by_runge_kutta(np.sort(a), alpha, Hk, Ms)[0], 0, "has shape (3,)"),
    (lambda a, alpha, Hk, Ms: by_runge_kutta(a - a[0], alpha, Hk, Ms), 4, "Yours do not")])
def test_wrong_switching(f, points, sentence, capsys):
    got = checks.switching(f, points=5)
    assert got == points or points is None and got < 5
    assert sentence in heard(capsys)


def in_one_run(alpha, Hk, Ms):
    a = alpha * (Hk + Ms / 2) * np.linspace(0.9, 1.4, 51)
    m = by_runge_kutta(a, alpha, Hk, Ms)
    return a[Hk * (1 - m[:, 0]**2) + Ms * m[:, 2]**2 > Hk * np.sin(np.pi / 36)**2].min(), a[m[:, 0] < -0.9].min()


def by_theory(alpha, Hk, Ms):
    return alpha * (Hk + Ms / 2), 2 / np.pi * alpha * np.sqrt(Ms * (Ms + Hk))


def by_bisection(alpha, Hk, Ms):
    """Two bisections at once."""
    low, high = np.full(2, 0.5 * alpha * Ms), np.full(2, alpha * Ms)
    for _ in range(6):
        a = (low + high) / 2
        m = by_runge_kutta(a, alpha, Hk, Ms)
        beyond = np.array([Hk * (1 - m[0, 0]**2) + Ms * m[0, 2]**2 > Hk * np.sin(np.pi / 36)**2 or m[0, 0] < 0, m[1, 0] < -0.9])
        low, high = np.where(beyond, low, a), np.where(beyond, a, high)
    return np.array([low, high]).mean(axis=0)


@pytest.mark.parametrize("f, seeds", [(in_one_run, 2), (by_theory, 20), (by_bisection, 1)])
def test_right_critical(f, seeds):
    for seed in range(seeds):
        assert checks.critical(f, points=3, seed=seed) == 3


@pytest.mark.parametrize("f, points, sentence", [
    (lambda alpha, Hk, Ms: (0, 0), 0, "Yours grows from 0 times that on"),
    (lambda alpha, Hk, Ms: alpha * Hk, 0, "has shape ()"),
    (lambda alpha, Hk, Ms: (alpha * Hk, alpha * Hk), 0, "Yours grows from 0."),
    (lambda alpha, Hk, Ms: (alpha * (Hk + Ms), 1.3 * alpha * (Hk + Ms)), 0, "Yours grows from 1."),
    (lambda alpha, Hk, Ms: 1.08 * np.array(by_theory(alpha, Hk, Ms)), 0, "How far apart are the currents that you try?"),
    (lambda alpha, Hk, Ms: 2 * (by_theory(alpha, Hk, Ms)[0],), 1, "Your two currents are the same"),
    (lambda alpha, Hk, Ms: (by_theory(alpha, Hk, Ms)[0], 2 * by_theory(alpha, Hk, Ms)[0]), 1, "Your second current is 2 times the first"),
    (lambda alpha, Hk, Ms: by_theory(0.0819, Hk, Ms), None, "There yours are")])
def test_wrong_critical(f, points, sentence, capsys):
    got = checks.critical(f, points=3)
    assert got == points or points is None and got < 3
    assert sentence in heard(capsys)
