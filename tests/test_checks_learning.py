"""Checks of assignments 7 to 9: right answers in several styles, and wrong ones with the sentence that each gets."""

import numpy as np
import pytest

import magbook as mb
from magbook import checks

WRONG = {"07_loss": ({"loss": "def loss(guess, m, weight):\n    return np.sum(np.abs(guess - m) * [1, 1, weight], axis=-1) + np.linalg.norm(guess, axis=-1) - 1"}, 4.14)}

# ---------------------------------------------------------------------------- assignment 7


def by_squares(guess, m, weight):
    return np.sum((guess - m)**2 * [1, 1, weight], axis=-1) + (np.linalg.norm(guess, axis=-1) - 1)**2


def by_distance(guess, m, weight):
    """Distances, as the paper has absolute values."""
    d = guess - m
    return np.hypot(d[:, 0], d[:, 1]) + weight * np.abs(d[:, 2]) + np.abs(np.linalg.norm(guess, axis=-1) - 1) / 2


def by_loops(guess, m, weight):
    """The length by its square, which has no root."""
    costs = []
    for a, b in zip(guess.tolist(), m.tolist()):
        costs.append(((a[0] - b[0])**2 + (a[1] - b[1])**2 + weight * (a[2] - b[2])**2) / 2 + (sum(x**2 for x in a) - 1)**2 / 4)
    return costs


def slope_of_squares(guess, m, weight):
    length = np.linalg.norm(guess, axis=-1, keepdims=True)
    return 2 * (guess - m) * [1, 1, weight] + 2 * (length - 1) * guess / np.maximum(length, 1e-12)


def slope_of_distance(guess, m, weight):
    d, length = guess - m, np.linalg.norm(guess, axis=-1, keepdims=True)
    flat = d * [1, 1, 0]
    return (flat / (np.linalg.norm(flat, axis=-1, keepdims=True) + 1e-12) + weight * np.sign(d) * [0, 0, 1]
            + np.sign(length - 1) * guess / (length + 1e-12) / 2)


def slope_of_loops(guess, m, weight):
    return (guess - m) * [1, 1, weight] + (np.sum(guess**2, axis=-1, keepdims=True) - 1) * guess


def no_length(guess, m, weight):
    return np.sum((guess - m)**2 * [1, 1, weight], axis=-1)


def of_the_chapter(guess, m, weight):
    return np.sum(np.abs(guess - m) * [1, 1, weight], axis=-1) + np.abs(np.linalg.norm(guess, axis=-1) - 1)


def as_printed(guess, m, weight):
    return no_length(guess, m, weight) + 4 * (np.linalg.norm(guess, axis=-1) - 1)


def down(slope, rate, steps):
    def descend(start, m, weight):
        path = [start]
        for _ in range(steps):
            path.append(path[-1] - rate * slope(path[-1], m, weight))
        return np.array(path)
    return descend


def ever_smaller_steps(start, m, weight):
    path, rate = [start], 0.04
    for _ in range(400):
        path.append(path[-1] - rate * slope_of_distance(path[-1], m, weight))
        rate *= 0.99
    return path


def with_momentum(start, m, weight):
    path, speed = [start], 0
    for _ in range(300):
        speed = 0.7 * speed - 0.02 * slope_of_loops(path[-1], m, weight)
        path.append(path[-1] + speed)
    return np.array(path)


@pytest.mark.parametrize("loss, slope", [(by_squares, slope_of_squares), (by_distance, slope_of_distance), (by_loops, slope_of_loops)])
def test_right_losses(loss, slope):
    for seed in range(20):
        assert checks.vector_loss(loss, points=7, seed=seed) == 7
        assert checks.loss_gradient(slope, loss, points=3, seed=seed) == 3


@pytest.mark.parametrize("loss, points, sentence", [
    (lambda g, m, w: np.zeros(len(m)), 0, "a vector at right angles to the truth costs 0"),
    (lambda g, m, w: by_squares(g, m, w) + 1, 0, "Yours costs up to 1 at the truth"),
    (lambda g, m, w: by_squares(g, m, w).mean(), 0, "has shape ()"),
    (lambda g, m, w: by_squares(g, m, w) / by_squares(g, m, w).max().clip(1e-9), None, "the company that it is in"),
    (no_length, 6, "One that is too short costs no more"),
    (of_the_chapter, None, "some cost no more than turned by"),
    (of_the_chapter, None, "A sum of absolute values knows where x and y are"),
    (as_printed, None, "Vectors that are too short cost less than the truth: is the sign of |guess| - 1 kept?"),
    (lambda g, m, w: by_squares(mb.film.unit(g), m, w), 5, "Vectors that are too short cost nothing"),
    (lambda g, m, w: by_squares(g, m, 1), 6, "yours costs 1 times as much"),
    (lambda g, m, w: by_squares(g, m, w**2), 6, "the weight is squared"),
    (lambda g, m, w: by_squares(g, m, w) + 0.5 * np.maximum(g[:, 2] - m[:, 2], 0)**2, None, "Up and down do not cost the same")])
def test_wrong_losses(loss, points, sentence, capsys):
    for seed in range(3):
        got = checks.vector_loss(loss, points=7, seed=seed)
        assert sentence in capsys.readouterr().out
        assert got == points or points is None and got < 7


def test_lazy_loss(capsys):
    assert checks.vector_loss(lambda g, m, w: [float(mb.autoencoder.loss(a[None, None], b[None, None], (1, 1, w))) for a, b in zip(m, g)]) == 0
    assert "loss is the package's own, and out of order" in capsys.readouterr().out


@pytest.mark.parametrize("slope, loss, points, sentence", [
    (lambda g, m, w: 0 * m, by_squares, 0, "differences of your loss say"),
    (lambda g, m, w: 0 * m, lambda g, m, w: np.zeros(len(m)), 0, "there is no way down"),
    (lambda g, m, w: -slope_of_squares(g, m, w), by_squares, 0, "the opposite sign: it points downhill"),
    (lambda g, m, w: 2 * (g - m) * [1, 1, w], by_squares, 0, "differences of your loss say"),
    (lambda g, m, w: slope_of_squares(g, m, w) / (len(m) - 1), by_squares, 0, "differences of your loss say"),
    (lambda g, m, w: 2 * (g - m) * [1, 1, w] + 2 * (1 - 1 / np.linalg.norm(g, axis=-1, keepdims=True)) * g, by_squares, 2, "is not finite everywhere"),
    (lambda g, m, w: 2 * (g - m) * [1, 1, w] + 2 * (1 - 1 / (np.linalg.norm(g, axis=-1, keepdims=True) + 1e-12)) * (g + 1e-7), by_squares, 2, "elsewhere"),
    (lambda g, m, w: slope_of_squares(g, m, w).sum(axis=-1), by_squares, 0, "has shape (30,)")])
def test_wrong_gradients(slope, loss, points, sentence, capsys):
    for seed in range(3):
        assert checks.loss_gradient(slope, loss, points=3, seed=seed) == points
        assert sentence in capsys.readouterr().out


@pytest.mark.parametrize("descend, loss", [(down(slope_of_squares, 0.04, 200), by_squares), (with_momentum, by_loops), (ever_smaller_steps, by_distance)])
def test_right_descents(descend, loss):
    for seed in range(20):
        assert checks.descent(descend, loss, points=3, seed=seed) == 3


@pytest.mark.parametrize("descend, loss, points, sentence", [
    (lambda start, m, w: m, by_squares, 0, "has shape (30, 3)"),
    (lambda start, m, w: np.array([start, m]), by_squares, 0, "Yours has 2 guesses"),
    (lambda start, m, w: np.linspace(start, m, 50), by_squares, 2, "one goes off by"),
    (lambda start, m, w: down(slope_of_squares, 0.04, 200)(0 * m, m, w), by_squares, 0, "Your first guess is not the start"),
    (down(slope_of_squares, 0.04, 5), by_squares, 2, "of 30 do not"),
    (down(slope_of_squares, -0.001, 20), by_squares, 1, "one goes off by 180 degrees"),
    (down(slope_of_squares, 0.2, 20), by_squares, 2, "of 30 do not")])
def test_wrong_descents(descend, loss, points, sentence, capsys):
    for seed in range(3):
        assert checks.descent(descend, loss, points=3, seed=seed) == points
        assert sentence in capsys.readouterr().out
