"""Closure: half of an even film, what follows from its first principal components, and an encoder and a decoder from both."""

import numpy as np
import pytest

from magbook import pca
from magbook.closure import coefficients, fold, networks, train
from magbook.dataset import SCALE
from magbook.metrics import relative_l2

NY, NX = 8, 16
SHORT = dict(latent=2, widths=(32, 32), epochs=10, batch=16, learning_rate=1e-2, progress=False)


def walls(n, seed=0):
    """Even states with a pair of walls as far from the middle as one number says: no plane holds them."""
    place = np.random.default_rng(seed).uniform(0.2, 0.9, (n, 1, 1))
    y, x = np.meshgrid(np.linspace(-1, 1, NY), np.linspace(-1, 1, NX), indexing="ij")
    angle = np.pi / (1 + np.exp(8 * (np.abs(x + 0.3 * y) - place)))
    return np.stack([np.cos(angle), np.sin(angle) * np.cos(place), np.sin(angle) * np.sin(place)], axis=-1).astype(np.float32)


STATES, UNSEEN = walls(600), walls(100, seed=1)


@pytest.fixture(scope="module")
def basis():
    return pca.fit(fold(STATES), 24)


@pytest.fixture(scope="module")
def c(basis):
    """Coefficients of the states to learn from, and of others."""
    return tuple(coefficients(basis, fold(m)) for m in (STATES, UNSEEN))


@pytest.fixture(scope="module")
def trained(basis, c, tmp_path_factory):
    """(closure, history)"""
    return train(basis, *c, tmp_path_factory.mktemp("closure"), **SHORT)


# ---------------------------------------------------------------------------- half of an even film


def test_fold_averages_two_by_two_and_keeps_the_left_half():
    assert fold(STATES).shape == (600, NY // 2, NX // 4, 3)
    m = STATES[:103]  # more than go through at once
    folded = fold(m)
    np.testing.assert_allclose(np.linalg.norm(folded, axis=-1), 1, atol=1e-6)
    for i, y, x in ((0, 0, 0), (50, 2, 3), (102, 3, 1)):
        mean = sum(m[i, 2 * y + dy, 2 * x + dx].astype(float) for dy in (0, 1) for dx in (0, 1))
        np.testing.assert_allclose(folded[i, y, x], mean / np.linalg.norm(mean), atol=1e-6)


def test_the_other_half_of_an_even_state_is_the_same():
    np.testing.assert_allclose(STATES[:9, ::-1, ::-1], STATES[:9], atol=1e-6)
    np.testing.assert_allclose(fold(STATES[:9, ::-1, ::-1]), fold(STATES[:9]), atol=1e-6)


def test_stored_states_fold_the_same():
    np.testing.assert_allclose(fold(np.rint(STATES[:5] * SCALE).astype(np.int16)), fold(STATES[:5]), atol=1e-4)


def test_coefficients_do_not_depend_on_the_chunk(basis, c):
    np.testing.assert_allclose(coefficients(basis, fold(STATES), chunk=7), c[0], atol=1e-4)


# ---------------------------------------------------------------------------- what follows from the first components


def test_the_closure_beats_components_alone(basis, c, trained):
    closure, history = trained
    known = c[1][:, :2]
    whole = np.hstack([known, closure.predict(known, verbose=0)])
    reference = basis.decode(c[1], unit=True)
    alone = relative_l2(basis.decode(known, unit=True), reference)
    ours = relative_l2(basis.decode(whole, unit=True), reference)
    assert ours < 0.2 * alone
    assert min(row["error"] for row in history) == pytest.approx(ours, rel=1e-4)


def test_networks_of_the_whole_film(basis, c, trained):
    closure, _ = trained
    encoder, decoder = networks(basis, closure)
    latents = encoder.predict(UNSEEN, verbose=0)
    np.testing.assert_allclose(latents, c[1][:, :2], atol=1e-4)
    m = decoder.predict(latents, verbose=0)
    assert m.shape == UNSEEN.shape
    np.testing.assert_allclose(np.linalg.norm(m, axis=-1), 1, atol=1e-6)
    np.testing.assert_allclose(m[:, ::-1, ::-1], m, atol=1e-5)
    # what it paints is the state, up to the folding and what the closure misses, and not its mirror image
    assert relative_l2(m, UNSEEN) < 0.2 < 0.5 < relative_l2(m[:, :, ::-1], UNSEEN)
    # and it has about the numbers that it was painted from
    assert np.linalg.norm(encoder.predict(m, verbose=0) - latents) < 0.1 * np.linalg.norm(latents)


# ---------------------------------------------------------------------------- training


def learn(basis, c, folder=None, **options):
    return train(basis, *c, folder, **SHORT | {"epochs": 3} | options)


@pytest.mark.slow
def test_a_folder_with_another_training_is_refused(tmp_path, basis, c):
    learn(basis, c, tmp_path, epochs=1)
    with pytest.raises(ValueError, match="holds a training that differs in seed, widths; give another folder"):
        learn(basis, c, tmp_path, epochs=1, seed=1, widths=(8,))


def test_the_seed_decides_the_first_weights(basis, c):
    first, again, other = (learn(basis, c, epochs=0, seed=seed)[0].get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    kernels = [k for k, w in enumerate(first) if w.ndim == 2]
    assert len(kernels) == 3 and not any(np.array_equal(first[k], other[k]) for k in kernels)


@pytest.mark.parametrize("match, change", [
    (r"^c: got shape \(600, 23\); \(n, 24\)", dict(c=lambda c: c[:, :23])), (r"^c: got shape \(600,\)", dict(c=lambda c: c[:, 0])),
    ("^c: .* and a latent of less", dict(latent=24)), (r"^validation: got shape \(100, 23\)", dict(validation=lambda c: c[:, :23])),
    ("^latent: got 0", dict(latent=0)), ("^batch: got 0.5", dict(batch=0.5))])
def test_what_cannot_be_trained_on(tmp_path, basis, c, match, change):
    change = dict(change)
    states, validation = (change.pop(name, lambda c: c)(one) for name, one in zip(("c", "validation"), c))
    with pytest.raises(ValueError, match=match):
        train(basis, states, validation, tmp_path / "new", **SHORT | change)
    assert not (tmp_path / "new").exists()
