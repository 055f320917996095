"""Principal components: the best linear compression, by another way of computing it."""

import numpy as np
import pytest

from magbook import pca
from magbook.dataset import SCALE


def states(n=20, ny=4, nx=6, seed=0):
    """Random unit vectors with a few strong common patterns, so that the variances differ."""
    rng = np.random.default_rng(seed)
    c = rng.standard_normal((n, 5)) * [3, 2, 1.5, 1, 0.5]
    m = np.tensordot(c, rng.standard_normal((5, ny, nx, 3)), 1) + 0.3 * rng.standard_normal((n, ny, nx, 3)) + [4, 0, 0]
    return (m / np.linalg.norm(m, axis=-1, keepdims=True)).astype(np.float32)


def l2(model, m, k=None):
    return np.linalg.norm(model.decode(model.encode(m, k)) - m)


def test_against_the_singular_value_decomposition():
    m = states()
    model = pca.fit(m, 6)
    flat = m.reshape(20, -1).astype(float)
    _, s, v = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(model.mean.ravel(), flat.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(model.variance, s[:6]**2 / np.sum(s**2), rtol=1e-4)
    # components have no sign of their own
    np.testing.assert_allclose(np.abs(model.components.reshape(6, -1) @ v[:6].T), np.eye(6), atol=1e-3)
    assert model.components.shape == (6, 4, 6, 3) and model.mean.shape == (4, 6, 3)


def test_of_more_states_than_cells():
    """Then it works with the covariance of the cells instead."""
    m = states(200)
    flat = m.reshape(200, -1).astype(float)
    assert flat.shape[1] < 200
    _, s, v = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    model = pca.fit(m, 6)
    np.testing.assert_allclose(model.variance, s[:6]**2 / np.sum(s**2), rtol=1e-4)
    np.testing.assert_allclose(np.abs(model.components.reshape(6, -1) @ v[:6].T), np.eye(6), atol=1e-3)
    assert model.components.shape == (6, 4, 6, 3) and model.components.dtype == np.float32


def test_components_are_orthonormal_and_ordered():
    model = pca.fit(states(), 8)
    flat = model.components.reshape(8, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(8), atol=1e-4)
    assert (np.diff(model.variance) < 0).all() and 0.9 < model.variance.sum() < 1


def test_as_many_components_as_states_have_hold_everything():
    m = states()
    model = pca.fit(m, 19)
    assert model.variance.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(model.decode(model.encode(m)), m, atol=1e-4)


def test_more_components_are_better_and_the_error_is_the_variance_left():
    m = states()
    model = pca.fit(m, 10)
    errors = np.array([l2(model, m, k) for k in range(1, 11)])
    assert (np.diff(errors) < 0).all()
    total = np.sum((m - m.mean(axis=0))**2, dtype=float)
    np.testing.assert_allclose(errors**2, total * (1 - np.cumsum(model.variance)), rtol=1e-2)


def test_encoding_shapes():
    m = states()
    model = pca.fit(m, 5)
    c = model.encode(m)
    assert c.shape == (20, 5) and model.encode(m[0]).shape == (5,) and model.encode(m.reshape(4, 5, 4, 6, 3)).shape == (4, 5, 5)
    np.testing.assert_allclose(model.encode(m, 2), c[:, :2], atol=1e-5)
    assert model.decode(c[0]).shape == (4, 6, 3) and model.decode(c[:, :2]).shape == (20, 4, 6, 3)
    np.testing.assert_allclose(model.decode(np.zeros(3)), model.mean, atol=1e-7)
    np.testing.assert_allclose(model.encode(model.decode(c)), c, atol=1e-4)


def test_unit_length():
    m = states()
    model = pca.fit(m, 2)
    raw, unit = model.decode(model.encode(m)), model.decode(model.encode(m), unit=True)
    assert np.abs(np.linalg.norm(raw, axis=-1) - 1).max() > 0.05
    np.testing.assert_allclose(np.linalg.norm(unit, axis=-1), 1, atol=1e-6)
    np.testing.assert_allclose(unit * np.linalg.norm(raw, axis=-1, keepdims=True), raw, atol=1e-6)


def test_states_as_they_are_stored():
    m = states()
    stored = np.rint(m * SCALE).astype(np.int16)
    a, b = pca.fit(m, 3), pca.fit(stored, 3)
    np.testing.assert_allclose(a.mean, b.mean, atol=2e-5)
    np.testing.assert_allclose(a.components, b.components, atol=1e-3)
    np.testing.assert_allclose(b.encode(stored), a.encode(m), atol=1e-2)


def test_the_same_states_give_the_same_components():
    """Also their signs, so that a table of coefficients can be computed again."""
    a, b = pca.fit(states(), 4), pca.fit(states(), 4)
    np.testing.assert_array_equal(a.components, b.components)


@pytest.mark.parametrize("k", [0, -1, 20, 21])
def test_more_components_than_there_can_be(k):
    with pytest.raises(ValueError, match=f"^k: got {k}; .* less than the number of states, 20"):
        pca.fit(states(), k)


def test_networks_do_what_the_components_do():
    """As an encoder and a decoder of a reduced order model, with coefficients shifted by an offset."""
    m, offset = states(), np.array([3.0, -2.0, 1.0, 0.5])
    model = pca.fit(m, 4)
    encoder, decoder = pca.networks(model, offset)
    c = np.asarray(encoder.predict_on_batch(m))
    np.testing.assert_allclose(c, model.encode(m) + offset, atol=1e-4)
    np.testing.assert_allclose(decoder.predict_on_batch(c), model.decode(model.encode(m)), atol=1e-4)
    assert (encoder.input_shape, encoder.output_shape) == (decoder.output_shape, decoder.input_shape) == ((None, 4, 6, 3), (None, 4))
    np.testing.assert_allclose(decoder.predict_on_batch(np.float32([offset])), model.mean[None], atol=1e-4)
