"""The better model: folded states, what follows from the first principal components, and field and time to latents."""

import numpy as np
import pytest
from magbook.pod import coefficients, fold, inputs, networks, train_decoder, train_predictor

from magbook import pca
from magbook.dataset import SCALE
from magbook.metrics import relative_l2

NY, NX = 8, 16
DECODER = dict(latent=2, widths=(32, 32), epochs=10, batch=16, learning_rate=1e-2, progress=False)
PREDICTOR = dict(widths=(32, 32), epochs=3, batch=64, progress=False)
T = np.linspace(1e-11, 3e-10, 30)


def walls(n, seed=0):
    """Even states with a pair of walls as far from the middle as one number says: no plane holds them."""
    place = np.random.default_rng(seed).uniform(0.2, 0.9, (n, 1, 1))
    y, x = np.meshgrid(np.linspace(-1, 1, NY), np.linspace(-1, 1, NX), indexing="ij")
    angle = np.pi / (1 + np.exp(8 * (np.abs(x + 0.3 * y) - place)))
    return np.stack([np.cos(angle), np.sin(angle) * np.cos(place), np.sin(angle) * np.sin(place)], axis=-1).astype(np.float32)


def trajectories(n, seed=0):
    """(latents, fields): three numbers that ring at a pace, with an amplitude, that the field decides."""
    fields = np.random.default_rng(seed).uniform((-40e-3, -10e-3, 0), (-20e-3, 10e-3, 0), (n, 3))
    x, y, t = fields[:, 0, None] / -30e-3, fields[:, 1, None] / 10e-3, T / T[-1]
    return 20 * np.stack([np.cos(6 * x * t), (1 + 0.5 * y) * np.sin(6 * x * t), y * t], axis=-1).astype(np.float32), fields


STATES, UNSEEN = walls(600), walls(100, seed=1)
LATENTS, VALIDATION = trajectories(60), trajectories(15, seed=1)


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
    return train_decoder(basis, *c, tmp_path_factory.mktemp("closure"), **DECODER)


@pytest.fixture(scope="module")
def stepless(tmp_path_factory):
    """(network of field and time, history)"""
    return train_predictor(*LATENTS, T, VALIDATION, tmp_path_factory.mktemp("network"), **PREDICTOR)


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


# ---------------------------------------------------------------------------- field and time


def test_inputs():
    x = inputs([(-0.03, 0.01, 0), (-0.02, 0, 0)], T[:3])
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, [(-0.03, 0.01, T[0]), (-0.03, 0.01, T[1]), (-0.03, 0.01, T[2]),
                                   (-0.02, 0, T[0]), (-0.02, 0, T[1]), (-0.02, 0, T[2])], rtol=1e-6)
    np.testing.assert_array_equal(x, inputs([(-0.03, 0.01), (-0.02, 0)], T[:3]))


def test_it_learns_a_function_of_field_and_time():
    network, history = train_predictor(*LATENTS, T, VALIDATION, **PREDICTOR | {"epochs": 50, "batch": 32, "detail": 1.0})
    latents, fields = VALIDATION
    out = network.predict(inputs(fields, T), verbose=0).reshape(latents.shape)
    assert np.linalg.norm(out - latents) < 0.05 * np.linalg.norm(latents)
    each = np.sqrt(np.sum((out - latents)**2, axis=(1, 2)) / np.sum(latents**2, axis=(1, 2)))
    assert min(row["error"] for row in history) == pytest.approx(each.mean(), rel=1e-3)


# ---------------------------------------------------------------------------- training


def learn(what, basis, c, folder=None, **options):
    if what == "closure":
        return train_decoder(basis, *c, folder, **DECODER | {"epochs": 3} | options)
    return train_predictor(*LATENTS, T, VALIDATION, folder, **PREDICTOR | options)


@pytest.mark.parametrize("what", ["closure", "network"])
def test_stopped_and_resumed_the_same(tmp_path, basis, c, what):
    class Stopped(Exception):
        pass

    def stop(history):
        if len(history) == 2:
            raise Stopped

    network, history = learn(what, basis, c)  # the same seed, the same weights
    with pytest.raises(Stopped):
        learn(what, basis, c, tmp_path, callback=stop)
    again, its_history = learn(what, basis, c, tmp_path)
    for key in ("loss", "error"):
        np.testing.assert_allclose([row[key] for row in its_history], [row[key] for row in history], rtol=1e-4)
    for a, b in zip(again.get_weights(), network.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="holds a training that differs in seed, widths; give another folder"):
        learn(what, basis, c, tmp_path, seed=1, widths=(8,))


@pytest.mark.parametrize("what", ["closure", "network"])
def test_the_seed_decides_the_first_weights(basis, c, what):
    first, again, other = (learn(what, basis, c, epochs=0, seed=seed)[0].get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    kernels = [k for k, w in enumerate(first) if w.ndim == 2]
    assert len(kernels) == 3 and not any(np.array_equal(first[k], other[k]) for k in kernels)


@pytest.mark.parametrize("match, change", [
    (r"^c: got shape \(600, 23\); \(n, 24\)", dict(c=lambda c: c[:, :23])), (r"^c: got shape \(600,\)", dict(c=lambda c: c[:, 0])),
    ("^c: .* and a latent of less", dict(latent=24)), (r"^validation: got shape \(100, 23\)", dict(validation=lambda c: c[:, :23])),
    ("^latent: got 0", dict(latent=0)), ("^batch: got 0.5", dict(batch=0.5))])
def test_what_a_closure_is_not_trained_on(tmp_path, basis, c, match, change):
    change = dict(change)
    states, validation = (change.pop(name, lambda c: c)(one) for name, one in zip(("c", "validation"), c))
    with pytest.raises(ValueError, match=match):
        train_decoder(basis, states, validation, tmp_path / "new", **DECODER | change)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("match, change", [
    (r"^latents: got shape \(60, 29, 3\) for 60 fields and 30 times", dict(latents=LATENTS[0][:, :29])),
    (r"^latents: got shape \(60, 30, 3\) for 59 fields", dict(fields=LATENTS[1][:59])),
    ("^latents: got shape .* 29 times", dict(t=T[:29])), (r"^latents: got shape \(30, 3\)", dict(latents=LATENTS[0][0])),
    (r"^validation: got shape \(15, 30, 2\)", dict(validation=(VALIDATION[0][..., :2], VALIDATION[1]))),
    ("^validation: got shape .* for 14 fields", dict(validation=(VALIDATION[0], VALIDATION[1][:14]))),
    ("^batch: got 0", dict(batch=0))])
def test_what_a_network_is_not_trained_on(tmp_path, match, change):
    arguments = dict(latents=LATENTS[0], fields=LATENTS[1], t=T, validation=VALIDATION, folder=tmp_path / "new")
    with pytest.raises(ValueError, match=match):
        train_predictor(**arguments | PREDICTOR | change)
    assert not (tmp_path / "new").exists()
