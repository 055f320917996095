"""Checks of assignment 4: right answers in several styles, and wrong ones with the sentence that each gets."""

import numpy as np
import pytest
from scipy import integrate as scipys
from test_checks import heard

import magbook as mb
from magbook import checks

pytestmark = pytest.mark.slow  # each check runs a moment or a film many times

GAMMA = 2.211e5

WRONG = {"04_time_steps": ({
    "step": "def step(rate, t, y, dt):\n    k = rate(t, y)\n    return y + dt / 2 * (k + rate(t, y + dt * k))\n",
    "integrate": "def integrate(rate, y0, t, tol):\n"
                 "    states = [y0]\n"
                 "    for a, b in zip(t, t[1:]):\n"
                 "        y = states[-1]\n"
                 "        for k in range(300):\n"
                 "            y = step(rate, a + k * (b - a) / 300, y, (b - a) / 300)\n"
                 "        states.append(y)\n"
                 "    return np.array(states)\n",
    "moment": "def moment(m0, H, alpha, t):\n"
              "    def rate(t, m):\n"
              "        mxH = np.cross(m, H)\n"
              "        return -gamma0 * (mxH + alpha * np.cross(m, mxH))\n\n"
              "    return integrate(rate, m0, t, 1e-8)\n"}, 5.2)}
"""Of each assignment a wrong submission: its answer cells, and the points that all its checks must give. Here a stage asks at the
wrong time, all steps are equal, and the factor 1/(1 + alpha^2) is forgotten."""


def heun(rate, t, y, dt):
    k = rate(t, y)
    return y + dt / 2 * (k + rate(t + dt, y + dt * k))


def classical(rate, t, y, dt):
    k1 = rate(t, y)
    k2 = rate(t + dt / 2, y + dt / 2 * k1)
    k3 = rate(t + dt / 2, y + dt / 2 * k2)
    return y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + rate(t + dt, y + dt * k3))


def implicit(rate, t, y, dt):
    """The implicit midpoint rule, by iteration."""
    new = y
    for _ in range(12):
        new = y + dt * rate(t + dt / 2, (y + new) / 2)
    return new


def extrapolated(rate, t, y, dt):
    """Euler's rule twice, and once with half the step."""
    k = rate(t, y)
    half = y + dt / 2 * k
    return 2 * (half + dt / 2 * rate(t + dt / 2, half)) - (y + dt * k)


def euler(rate, t, y, dt):
    return y + dt * rate(t, y)


@pytest.mark.parametrize("f", [heun, classical, implicit, extrapolated])
@pytest.mark.parametrize("seed", range(20))
def test_right_steps(f, seed):
    assert checks.step(f, points=5, seed=seed) == 5


@pytest.mark.parametrize("f, points, sentence", [
    (lambda rate, t, y, dt: y, 0, "Yours moves it by 0 times that"),
    (lambda rate, t, y, dt: dt * rate(t, y), 0, "is it only what is added"),
    (lambda rate, t, y, dt: heun(rate, t, y, dt / 2), 0, "Yours moves it by 0.5 times that"),
    (lambda rate, t, y, dt: heun(rate, t, y, -dt), 0, "Yours moves it by -1 times that"),
    (lambda rate, t, y, dt: [classical(rate, t, y, dt) for _ in range(11)][0], 4, "Yours asks 44 times"),
    (euler, 0, "Euler's rule has 1"),
    (lambda rate, t, y, dt: heun(lambda _, y: rate(t, y), t, y, dt), 4, "At which time does each of your calls ask"),
    (lambda rate, t, y, dt: [euler(rate, t, y, dt) for _ in range(50)][0], 0, "Euler's rule has 1"),
    (lambda rate, t, y, dt: heun(rate, t, y, dt) / np.linalg.norm(heun(rate, t, y, dt)), 0, "Yours brings y to length one"),
    (lambda rate, t, y, dt: 2 * heun(rate, t, y, dt), 0, "Yours leaps"),
    (lambda rate, t, y, dt: heun(rate, t, y, dt) + 1e-9 * np.roll(y, 1, 0), None, "move otherwise than one at a time"),
    (lambda rate, t, y, dt: y.__iadd__(dt * rate(t, y)), 0, "changes the array")])
def test_wrong_steps(f, points, sentence, capsys):
    for seed in range(3):
        got = checks.step(f, points=5, seed=seed)
        assert got == points or points is None and got < 5
        assert sentence in heard(capsys)


def doubling(rate, y0, t, tol, step=classical, order=4):
    """Each step twice: whole, and in halves."""
    y, states = y0, [y0]
    dt = 1e-3 / np.abs(rate(t[0], y0)).max()
    for now, end in zip(t, t[1:]):
        while now < end:
            h = min(dt, end - now)
            coarse, half = step(rate, now, y, h), step(rate, now, y, h / 2)
            fine = step(rate, now + h / 2, half, h / 2)
            error = np.abs(fine - coarse).max()
            dt = h * np.clip(0.9 * (tol / (error + 1e-300))**(1 / (order + 1)), 0.2, 4)
            if error <= tol:
                y, now = fine, end if h == end - now else now + h
        states.append(y)
    return np.array(states)


def embedded(rate, y0, t, tol):
    """Bogacki and Shampine's pair of orders 3 and 2; steps run on past what is asked for, with a cubic in between."""
    states, y, now, k1 = [y0], y0, t[0], rate(t[0], y0)
    dt = 1e-3 / np.abs(k1).max()
    while len(states) < len(t):
        k2 = rate(now + dt / 2, y + dt / 2 * k1)
        k3 = rate(now + 0.75 * dt, y + 0.75 * dt * k2)
        new = y + dt / 9 * (2 * k1 + 3 * k2 + 4 * k3)
        k4 = rate(now + dt, new)
        error = np.linalg.norm(dt * (-5 / 72 * k1 + k2 / 12 + k3 / 9 - k4 / 8))
        if error <= tol:
            while len(states) < len(t) and t[len(states)] <= now + dt:
                s = (t[len(states)] - now) / dt
                states.append((1 + 2 * s) * (1 - s)**2 * y + s**2 * (3 - 2 * s) * new + dt * s * (1 - s) * ((1 - s) * k1 - s * k4))
            y, now, k1 = new, now + dt, k4
        dt = min(dt * min(5, max(0.2, 0.9 * (tol / (error + 1e-300))**(1 / 3))), 1e6)
    return np.stack(states)


def halving(rate, y0, t, tol):
    """A step that fails is cut in half, one that was far too good is doubled: no formula."""
    y, states, dt = np.array(y0), np.empty((len(t), len(y0))), 1e-4
    for k in range(len(t)):
        now = t[max(k - 1, 0)]
        while now < t[k]:
            h = min(dt, t[k] - now)
            fine = heun(rate, now + h / 2, heun(rate, now, y, h / 2), h / 2)
            error = np.max(np.abs(fine - heun(rate, now, y, h)))
            if error > tol:
                dt = h / 2
            else:
                y, now = fine, t[k] if h == t[k] - now else now + h
                dt = 2 * h if error < tol / 10 else max(h, dt / 4)
        states[k] = y
    return states


@pytest.mark.parametrize("f", [doubling, embedded, halving])
@pytest.mark.parametrize("seed", range(2))
def test_right_integrations(f, seed):
    assert checks.integrate(f, points=5, seed=seed) == 5


def equal(rate, y0, t, tol, n=300, step=classical):
    states = [y0]
    for a, b in zip(t, t[1:]):
        y = states[-1]
        for k in range(n):
            y = step(rate, a + k * (b - a) / n, y, (b - a) / n)
        states.append(y)
    return np.array(states)


def only_longer(rate, y0, t, tol):
    """Steps that never become shorter."""
    y, states, dt = y0, [y0], 1e-3
    for now, end in zip(t, t[1:]):
        while now < end:
            h = min(dt, end - now)
            fine = heun(rate, now + h / 2, heun(rate, now, y, h / 2), h / 2)
            error = np.abs(fine - heun(rate, now, y, h)).max()
            y, now = fine, end if h == end - now else now + h
            dt = max(dt, h * min(0.9 * (tol / (error + 1e-300))**(1 / 3), 4))
        states.append(y)
    return np.array(states)


@pytest.mark.parametrize("f, points, sentence", [
    (lambda rate, y0, t, tol: np.tile(y0, (len(t), 1)), 0, "Yours is off by"),
    (lambda rate, y0, t, tol: doubling(rate, y0, t, tol)[-1], 0, "has shape (3,)"),
    (lambda rate, y0, t, tol: doubling(rate, y0, np.linspace(t[0], t[-1], len(t)), tol), 0, "Yours is off by"),
    (lambda rate, y0, t, tol: np.vstack([doubling(rate, y0, t, tol)[1:], y0]), 0, "is not the one it was given"),
    (lambda rate, y0, t, tol: doubling(rate, y0, t, 1e-6), 4, "does it look at the tolerance"),
    (lambda rate, y0, t, tol: doubling(rate, y0, t, tol, euler, 1), 0, "Yours is off by 0.0"),
    (equal, None, "is the step that turned out too long made anew"),
    (lambda rate, y0, t, tol: equal(rate, y0, t, tol, int(20 * (t[-1] - t[0]))), None, "The steps of yours do not grow"),
    (lambda rate, y0, t, tol: equal(rate, y0, t, tol, 1000), 3, "The steps of yours do not grow"),
    (only_longer, None, "calls and is off by"),
    (lambda rate, y0, t, tol: equal(rate, y0, t, tol, 30_000), 0, "Yours has asked for the rate 100,000 times")])
def test_wrong_integrations(f, points, sentence, capsys):
    got = checks.integrate(f, points=5)
    assert got == points or points is None and got < 5
    assert sentence in heard(capsys)


@pytest.mark.parametrize("f", [
    lambda rate, y0, t, tol: scipys.solve_ivp(rate, (t[0], t[-1]), y0, t_eval=t, rtol=tol, atol=tol).y.T,
    lambda rate, y0, t, tol: scipys.odeint(rate, y0, t, tfirst=True, rtol=tol, atol=tol),
    lambda rate, y0, t, tol: scipys.DOP853(rate, t[0], y0, t[-1]).y,
    lambda rate, y0, t, tol: scipys.Radau(rate, t[0], y0, t[-1]).y])
def test_ready_made_integrations(f, capsys):
    assert checks.integrate(f) == 0
    assert "is scipy's own, and out of order while this check runs" in heard(capsys)
    t = np.linspace(0, 1, 5)
    f(lambda t, y: -y, np.ones(3), t, 1e-6)  # and in order again


def rate_of(H, alpha, slow=True):
    turn = np.cross(np.eye(3), H)  # m @ turn is m x H; np.cross takes ten times as long for one vector

    def rate(t, m):
        return -GAMMA / (1 + slow * alpha**2) * (m @ turn + alpha * ((m @ H) * m - (m @ m) * H))

    return rate


def by_doubling(m0, H, alpha, t):
    return doubling(rate_of(H, alpha), m0, t, 1e-9)


def by_equal_steps(m0, H, alpha, t):
    y = equal(rate_of(H, alpha), m0, t, 0, 100)
    return y / np.linalg.norm(y, axis=1, keepdims=True)


def by_rotation(m0, H, alpha, t):
    """The closed form, with a frame in which the field is up."""
    size = np.linalg.norm(H)
    first = np.cross(np.cross(H, m0), H)
    frame = np.array([first / np.linalg.norm(first), np.cross(H, first) / np.linalg.norm(np.cross(H, first)), H / size])
    turned = GAMMA * size * t / (1 + alpha**2)
    z = np.tanh(np.arctanh(m0 @ frame[2]) + alpha * turned)
    rho = np.sqrt(1 - z**2)
    return np.stack([rho * np.cos(turned), rho * np.sin(turned), z], axis=1) @ frame


@pytest.mark.parametrize("f, seeds", [(by_doubling, 2), (by_equal_steps, 1), (by_rotation, 20)])
def test_right_precession(f, seeds):
    for seed in range(seeds):
        assert checks.precession(f, points=5, seed=seed) == 5


@pytest.mark.parametrize("f, points, sentence", [
    (lambda m0, H, alpha, t: np.tile(m0, (len(t), 1)), 0, "It never moves"),
    (lambda m0, H, alpha, t: by_rotation(m0, -H, -alpha, t), 0, "It goes around the other way"),
    (lambda m0, H, alpha, t: by_rotation(m0, H, -alpha, t), 0, "Damping drives it away from the field"),
    (lambda m0, H, alpha, t: by_rotation(m0, -H, alpha, t), 0, "both signs are wrong, or H is -H"),
    (lambda m0, H, alpha, t: by_rotation(m0, H, 0, t), 0, "It is not damped"),
    (lambda m0, H, alpha, t: doubling(rate_of(H, alpha, slow=False), m0, t, 1e-9), 0, "The factor 1/(1 + alpha^2) is missing"),
    (lambda m0, H, alpha, t: doubling(rate_of(H, alpha), m0, t, 1e-2), 0, "which tolerance do you give"),
    (lambda m0, H, alpha, t: by_rotation(m0, H, alpha, t) * (1 - 1e-5), 4, "Yours is off by 1e-05"),
    (lambda m0, H, alpha, t: by_rotation(m0, H, alpha or 0.01, t), 4, "Yours changes by"),
    (lambda m0, H, alpha, t: by_rotation(m0, H, alpha, t) if alpha else np.tile(m0, (len(t), 1)), 4, "does not move at all without damping"),
    (lambda m0, H, alpha, t: by_rotation(m0, H, alpha, np.minimum(t, 1e-8)), 4, "Is a time step written down in seconds")])
def test_wrong_precession(f, points, sentence, capsys):
    for seed in range(2):
        assert checks.precession(f, points=5, seed=seed) == points
        assert sentence in heard(capsys)


def test_lazy_precession(capsys):
    def lazy(m0, H, alpha, t):
        """A single cell, so weak that its own field is nothing."""
        film = mb.Film((3e-9, 3e-9, 3e-9), (1, 1), Ms=10, alpha=alpha)
        return mb.simulate(4e-7 * np.pi * H, film, start=m0, duration=t[-1], every=t[1]).m[:, 0, 0]

    assert checks.precession(lazy) == 0
    assert "simulate is the package's own, and out of order" in heard(capsys)
