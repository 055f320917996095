"""Checks of assignments 5 and 6: right answers in several styles, and wrong ones with the sentence that each gets."""

from functools import lru_cache

import numpy as np
import pytest
from test_checks import heard

import magbook as mb
from magbook import checks

pytestmark = pytest.mark.slow  # each check runs a moment or a film many times

WRONG = {
    "05_walls": ({
        "number": "number, film, field = 7, checks.film_of(7), checks.field_of(7)\nstart = mb.s_state(film)\n",
        "turns": "def turns(m):\n"
                 "    angle = np.arctan2(m[..., 1], m[..., 0])[:, m.shape[1] // 2]\n"
                 "    return (angle.max(axis=1) - angle.min(axis=1)) / (2 * np.pi)\n",
        "smallest": "alpha = 0.09\n"}, 0),
    "06_ringing": ({
        "number": "number = 7\nfilm = checks.film_of(number).replace(alpha=0.01)\n",
        "loudest": "def loudest(t, signal):\n"
                   "    strength = np.abs(np.fft.rfft(signal - signal.mean()))\n"
                   "    return 2 * np.pi * np.fft.rfftfreq(len(signal), t[1] - t[0])[strength.argmax()]\n",
        "ring": "frequency = 30.2e9\n",
        "field": "fields, frequencies = np.arange(5) / 100, np.full(5, 4.8e9)\n"}, 0)}
"""Wrong submissions, as in the other files. In 5 angles jump and the threshold is a neighbour's; in 6 turns are taken for radians."""


def test_numbers_give_films():
    assert checks.film_of(3) == checks.film_of(3) != checks.film_of(4)
    assert (checks.field_of(3) == checks.field_of(3)).all() and (checks.field_of(3) != checks.field_of(4))[:2].all()
    with pytest.raises(ValueError, match="number"):
        checks.film_of("3")


def by_unwrap(m):
    angle = np.unwrap(np.arctan2(m[..., 1], m[..., 0])[:, m.shape[1] // 2])
    return np.ptp(angle, axis=-1) / (2 * np.pi)


def by_steps(m):
    """The angle between neighbours, added up."""
    out = []
    for state in m:
        x, y = state[len(state) // 2, :, 0], state[len(state) // 2, :, 1]
        step = np.arctan2(x[:-1] * y[1:] - y[:-1] * x[1:], x[:-1] * x[1:] + y[:-1] * y[1:])
        angle = [0, *np.cumsum(step)]
        out.append((max(angle) - min(angle)) / 2 / np.pi)
    return out


def by_complex_numbers(m):
    z = (m[..., 0] + 1j * m[..., 1])[:, m.shape[1] // 2]
    angle = np.cumsum(np.angle(z[:, 1:] / z[:, :-1]), axis=1)
    angle = np.insert(angle, 0, 0, axis=1)
    return (angle.max(axis=1) - angle.min(axis=1)) / (2 * np.pi)


@pytest.mark.parametrize("f", [by_unwrap, by_steps, by_complex_numbers])
@pytest.mark.parametrize("seed", range(20))
def test_right_turns(f, seed):
    assert checks.turns(f, points=4, seed=seed) == 4


def ends(m):
    angle = np.unwrap(np.arctan2(m[..., 1], m[..., 0])[:, m.shape[1] // 2])
    return np.abs(angle[:, -1] - angle[:, 0]) / (2 * np.pi)


@pytest.mark.parametrize("f, points, sentence", [
    (lambda m: np.zeros(len(m)), 0, "Yours are 0"),
    (lambda m: by_unwrap(m) * 2 * np.pi, 0, "Yours are in radians"),
    (lambda m: np.ptp(np.arctan2(m[..., 1], m[..., 0])[:, m.shape[1] // 2], axis=1) / 2 / np.pi, 0, "jumps from pi to -pi"),
    (ends, 3, "turns forth and back yours says"),
    (lambda m: np.unwrap(np.arctan2(m[..., 1], m[..., 0])[:, m.shape[1] // 2])[:, -1] / 2 / np.pi, 0, "✗ Moments that go around evenly"),
    (lambda m: np.max([by_unwrap(m[:, [j]]) for j in range(m.shape[1])], axis=0), 3, "In yours other rows matter"),
    (lambda m: by_unwrap(m[:, ::-1]), 3, "In yours other rows matter"),
    (lambda m: by_unwrap(m).max(), 0, "has shape ()"),
    (lambda m: np.ceil(by_unwrap(m)), 0, "turns yours says")])
def test_wrong_turns(f, points, sentence, capsys):
    for seed in range(3):
        assert checks.turns(f, points=4, seed=seed) == points
        assert sentence in heard(capsys)


def test_lazy_turns(capsys):
    assert checks.turns(lambda m: mb.metrics.twist(m) / (2 * np.pi)) == 0
    assert "twist is the package's own, and out of order" in heard(capsys)


def threshold(number):
    def most(alpha):
        film = checks.film_of(number).replace(alpha=alpha)
        return by_unwrap(mb.simulate(checks.field_of(number), film, progress=False).m).max()

    low, high = 0.01, 0.3
    while high / low > 1.005:
        middle = np.sqrt(low * high)
        low, high = (middle, high) if most(middle) > 1 else (low, middle)
    return np.sqrt(low * high)


def test_the_smallest_damping(capsys):
    for number in (*range(4), 20_261_234):
        alpha = threshold(number)
        assert 0.015 < alpha < 0.2
        for right in (alpha, 0.97 * alpha, np.float32(1.03 * alpha)):
            assert checks.damping(right, number, points=3) == 3
        capsys.readouterr()
        assert checks.damping(1.1 * alpha, number, points=3) == 2
        assert "There is a smaller damping without one" in heard(capsys)
        assert checks.damping(0.9 * alpha, number, points=3) == 2
        assert "a wall. Yours is too small" in heard(capsys)


@pytest.mark.parametrize("alpha, number, sentence", [
    (0.5, 1, "There is a smaller damping without one"), (0.01, 1, "Yours is too small"), (0, 1, "one between 0 and 1"), (None, 1, "a number is needed"),
    ([0.05], 1, "has shape (1,)"), (0.05, "12345", "Your number is no whole number"), (0.05, None, "Your number is no whole number"),
    (0.0528, 4, "film of number 4 turns")])
def test_wrong_dampings(alpha, number, sentence, capsys):
    assert checks.damping(alpha, number) == 0
    assert sentence in heard(capsys)


def by_padding(t, signal):
    strength = np.abs(np.fft.rfft((signal - signal.mean()) * np.hanning(len(t)), 10 * len(t)))
    return np.fft.rfftfreq(10 * len(t), t[1] - t[0])[strength.argmax()]


def by_bins(t, signal):
    strength = np.abs(np.fft.rfft(signal))
    return (1 + strength[1:].argmax()) / (t[1] - t[0]) / len(t)


def by_sums(t, signal):
    """No Fourier transform: the best sine and cosine among many."""
    f = np.arange(0.5e9, 12e9, 0.05e9)
    return f[np.abs(np.exp(-2j * np.pi * np.outer(f, t)) @ (signal - np.mean(signal))).argmax()]


@pytest.mark.parametrize("f", [by_padding, by_bins, by_sums])
@pytest.mark.parametrize("seed", range(20))
def test_right_tones(f, seed):
    assert checks.loudest(f, points=4, seed=seed) == 4


@pytest.mark.parametrize("f, points, sentence", [
    (lambda t, signal: 0, 0, "yours says 0 Hz"),
    (lambda t, signal: 2 * np.pi * by_bins(t, signal), 0, "radians in a second, not turns"),
    (lambda t, signal: by_bins(t, signal) / 1e9, 0, "Is that in GHz"),
    (lambda t, signal: 1 + np.abs(np.fft.rfft(signal))[1:].argmax(), 0, "That is the number of the bin"),
    (lambda t, signal: np.fft.rfftfreq(len(t))[1 + np.abs(np.fft.rfft(signal))[1:].argmax()], 0, "how far apart are the times?"),
    (lambda t, signal: np.fft.rfftfreq(len(t), t[1] - t[0])[np.abs(np.fft.rfft(signal)).argmax()], 3, "yours says 0 Hz"),
    (lambda t, signal: by_bins(np.arange(len(t)) * 1e-11, signal), 3, "yours says"),
    (lambda t, signal: np.sum(np.diff(np.sign(signal - signal.mean())) != 0) / (t[-1] - t[0]), 0, "counted twice"),
    (lambda t, signal: np.fft.rfftfreq(len(t), t[1] - t[0])[np.flatnonzero(np.abs(np.fft.rfft(signal - signal.mean())) > 20)[-1]], None, "yours says"),
    (lambda t, signal: np.abs(np.fft.rfft(signal)), 0, "a number is needed")])
def test_wrong_tones(f, points, sentence, capsys):
    got = checks.loudest(f, points=4)
    assert got == points or points is None and got < 4
    assert sentence in heard(capsys)


@lru_cache
def rung(number, bias):
    film = checks.film_of(number).replace(alpha=0.01)
    pulse = mb.applied.pulse((0, 5e-3), width=50e-12, bias=(bias, 0))
    return mb.simulate(pulse, film, start=mb.relax(film, (bias, 0), progress=False), duration=5e-9, progress=False)


def ring(number, bias, loudest, begin=6):
    run = rung(number, bias)
    return loudest(run.t[begin:], run.mean[begin:, 2])


RINGS = np.array([4.97, 5.717, 6.364, 6.99, 7.556]) * 1e9
"""Of the film of number 0, from `ring`."""


@pytest.mark.parametrize("number", range(3))
def test_right_ringing(number):
    ways = (by_padding, 6), (by_bins, 0), (by_sums, 40)
    for loudest, begin in ways:
        assert checks.ringing(ring(number, 0, loudest, begin), number, points=2) == 2
    assert checks.stiffening([ring(number, k * 0.01, *ways[k % 3]) for k in range(5)], number, points=3) == 3


@pytest.mark.parametrize("factor, number, sentence", [
    (2 * np.pi, 0, "2 pi times as high"), (1e-9, 0, "seems to be in GHz"), (0, 0, "Yours says 0 GHz"), (2, 0, "Yours says 9.94 GHz"), (1.1, 0, "Yours says 5.47 GHz"),
    (np.ones(2), 0, "has shape (2,)"), (np.nan, 0, "not finite"), (1, 3, "Yours says 4.97 GHz"), (1, 1.5, "no whole number")])
def test_wrong_ringing(factor, number, sentence, capsys):
    assert checks.ringing(factor * RINGS[0], number) == 0
    assert sentence in heard(capsys)


@pytest.mark.parametrize("change, points, sentence", [
    (lambda f: 0 * f, 0, "In 0 mT: Yours says 0 GHz"), (lambda f: f / 1e9, 0, "In 0 mT: Yours seems to be in GHz"), (lambda f: f[::-1], 0, "In 0 mT: Yours says 7"),
    (lambda f: f[0] + 0 * f, 0, "Yours goes 4.97, 4.97"), (lambda f: f[0] * np.sqrt(1 + np.arange(5) / 8), 1, "mT: Yours"),
    (lambda f: f[0] + (f[4] - f[0]) * (np.arange(5) / 4)**2, 2, "In 10 mT: Yours"), (lambda f: f[:4], 0, "has shape (4,)")])
def test_wrong_stiffening(change, points, sentence, capsys):
    assert checks.stiffening(change(RINGS), 0, points=3) == points
    assert sentence in heard(capsys)
