"""Metrics: values worked out by hand, and what holds for any states."""

import numpy as np
import pytest

from magbook.metrics import film_average_error, first_zero, relative_l2, twist


def unit_vectors(*shape, seed=0):
    m = np.random.default_rng(seed).standard_normal((*shape, 3))
    return (m / np.linalg.norm(m, axis=-1, keepdims=True)).astype(np.float32)


def test_film_average_error_by_hand():
    reference = np.array([[1.0, 0, 0], [0, 1, 0]])
    mean = np.array([[0.7, 0.1, 0], [0, 1, -0.2]])
    assert film_average_error(mean, reference) == pytest.approx((0.3 + 0.1 + 0.2) / 6)
    assert film_average_error(reference, mean) == film_average_error(mean, reference)
    both = film_average_error(np.stack([mean, reference]), np.stack([reference, reference]))
    np.testing.assert_allclose(both, [0.1, 0], atol=1e-15)  # one number a run
    assert film_average_error(mean.astype(np.float32).tolist(), reference.tolist()) == pytest.approx(0.1)


def test_relative_l2_of_known_states():
    m = unit_vectors(4, 3, 5)
    right = np.stack([-m[..., 1], m[..., 0], 0 * m[..., 0]], axis=-1)
    flat = m * [1, 1, 0]
    assert relative_l2(m, m) == 0
    assert relative_l2(-m, m) == pytest.approx(2)
    assert relative_l2(right, flat) == pytest.approx(2**0.5)
    assert relative_l2(0 * m, m) == pytest.approx(1)
    assert relative_l2(1.1 * m, m) == pytest.approx(0.1)


def test_relative_l2_at_each_time():
    m, reference = unit_vectors(4, 3, 5), unit_vectors(4, 3, 5, seed=1)
    at_times = relative_l2(m, reference, (-3, -2, -1))
    assert at_times.shape == (4,)
    assert at_times[2] == pytest.approx(relative_l2(m[2:3], reference[2:3]))
    # unit vectors: every time weighs the same
    assert relative_l2(m, reference) == pytest.approx(np.sqrt(np.mean(at_times**2)))
    # the angle between two unit vectors, and nothing else, decides
    cosine = np.einsum("tyxc,tyxc->t", m, reference) / 15
    np.testing.assert_allclose(at_times, np.sqrt(2 - 2 * cosine), rtol=1e-6)


def test_first_zero():
    t = np.array([0, 1, 2, 3, 4]) * 1e-11
    assert first_zero(t, [1, 0.5, -0.5, 1, -1]) == pytest.approx(1.5e-11)
    assert first_zero(t, [-3, -2, -1, 3, 4]) == pytest.approx(2.25e-11)  # upwards too
    assert np.isnan(first_zero(t, [1, 0.5, 0.1, 0.5, 1]))
    phase = np.linspace(0, 2, 2001)
    assert first_zero(phase, np.cos(phase)) == pytest.approx(np.pi / 2, abs=1e-7)


@pytest.mark.parametrize("turn", [0, 1, np.pi, 2 * np.pi, 5 * np.pi])
def test_twist_of_a_spiral(turn):
    angle = 2.9 + np.linspace(0, turn, 101)  # passes where the arctangent jumps
    spiral = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
    m = np.zeros((7, 101, 3))
    m[..., 0] = 1
    m[3] = spiral  # in the middle row only
    assert twist(m) == pytest.approx(turn, abs=1e-9)
    np.testing.assert_allclose(twist(np.stack([m, m[:, ::-1], 0 * m + [0, 1, 0]])), [turn, turn, 0], atol=1e-9)
