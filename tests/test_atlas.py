"""The atlas: field and time to latents by a network, by a spline through known trajectories, and by the better of the two."""

import numpy as np
import pytest

from magbook import applied, baselines
from magbook._keras import keras
from magbook.atlas import NEIGHBOURS, Atlas, Hybrid, Spline, compress, inputs, train
from magbook.dynamics import Ensemble

T = np.linspace(1e-11, 3e-10, 30)
SHORT = dict(widths=(32, 32), epochs=3, batch=64, progress=False)
START = np.float32([20, 0, 0])


def trajectories(fields):
    """(n, 30, 3): three numbers that ring at a pace, with an amplitude, that the field decides."""
    x, y, t = fields[:, 0, None] / -30e-3, fields[:, 1, None] / 10e-3, T / T[-1]
    return 20 * np.stack([np.cos(6 * x * t), (1 + 0.5 * y) * np.sin(6 * x * t), y * t], axis=-1).astype(np.float32)


FIELDS, UNSEEN = applied.fan(60), applied.fan(80)[60:]
LATENTS, VALIDATION = trajectories(FIELDS), (trajectories(UNSEEN), UNSEEN)


def hold(fields, nt=31):
    """Constant fields at all times, (n, nt, 2)."""
    return np.repeat(np.asarray(fields)[:, None, :2], nt, axis=1)


def begin(n):
    return np.repeat(START[None, None], n, axis=0)


def field_and_time(seed=0):
    """A network from field and time to three numbers, untrained."""
    network = keras.Sequential([keras.Input((3,)), keras.layers.Rescaling([30.0, 30.0, 3e9]),
                                keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(3)])
    rng = np.random.default_rng(seed)
    network.set_weights([rng.standard_normal(w.shape) for w in network.get_weights()])
    return network


def make_spline(k=60):
    return Spline(FIELDS[:, :2], *compress(LATENTS, k), START)


def make_hybrid(limit, **options):
    return Hybrid(make_spline(), Ensemble([Atlas(field_and_time(k), START, T[-1]) for k in (0, 1)]), limit, **options)


@pytest.fixture(scope="module")
def spline():
    return make_spline()


# ---------------------------------------------------------------------------- a network of field and time


def test_inputs():
    x = inputs([(-0.03, 0.01, 0), (-0.02, 0, 0)], T[:3])
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, [(-0.03, 0.01, T[0]), (-0.03, 0.01, T[1]), (-0.03, 0.01, T[2]),
                                   (-0.02, 0, T[0]), (-0.02, 0, T[1]), (-0.02, 0, T[2])], rtol=1e-6)
    np.testing.assert_array_equal(x, inputs([(-0.03, 0.01), (-0.02, 0)], T[:3]))


def test_a_network_is_asked_at_every_time():
    one = Atlas(field_and_time(), START, T[-1])
    assert (one.history, one.latent, one.every, one.last) == (0, 3, 1e-11, T[-1])
    c = one.rollout(begin(20), hold(UNSEEN))
    assert c.shape == (20, 31, 3) and c.dtype == np.float32
    np.testing.assert_array_equal(c[:, 0], begin(20)[:, 0])
    for i, k in ((0, 1), (7, 13), (19, 30)):
        x = np.float32([[*UNSEEN[i, :2], k * 1e-11]])
        np.testing.assert_allclose(c[i, k], one.network.predict_on_batch(x)[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one.rollout(begin(20), hold(UNSEEN, 11)), c[:, :11], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(one.rollout(begin(1), hold(UNSEEN[4:5])), c[4:5], rtol=1e-4, atol=1e-5)
    assert one.networks() == {"predictor": one.network}


def test_another_pace():
    slow, fast = (Atlas(field_and_time(), START, T[-1], every) for every in (2e-11, 1e-11))
    np.testing.assert_allclose(slow.rollout(begin(20), hold(UNSEEN, 11)), fast.rollout(begin(20), hold(UNSEEN, 21))[:, ::2],
                               rtol=1e-4, atol=1e-5)


def test_more_than_go_through_at_once():
    one, fields = Atlas(field_and_time(), START, T[-1]), applied.fan(450)
    c = one.rollout(begin(450), hold(fields))
    assert 450 * 30 > 12800
    np.testing.assert_allclose(c[-40:], one.rollout(begin(40), hold(fields[-40:])), rtol=1e-4, atol=1e-5)


def test_a_network_of_something_else_is_refused():
    with pytest.raises(ValueError, match=r"^network: it takes \(4,\); field and time, \(3,\), are needed"):
        Atlas(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]), START, T[-1])


@pytest.mark.parametrize("make", [lambda: Atlas(field_and_time(), START, T[-1]), make_spline, lambda: make_hybrid(0.0), lambda: make_hybrid(9.0)])
def test_what_an_atlas_does_not_know(make):
    one, changing, elsewhere = make(), hold(UNSEEN), begin(20)
    changing[3, 17, 1] += 1e-4
    elsewhere[5, 0, 1] = 1
    with pytest.raises(ValueError, match="^field: it changes in time; an atlas knows constant fields alone"):
        one.rollout(begin(20), changing)
    with pytest.raises(ValueError, match="^start: this model knows the trajectories from one start, .*; leave start out"):
        one.rollout(elsewhere, hold(UNSEEN))
    # what a start loses when it is encoded elsewhere, and one time or no run, are no reason
    assert np.isfinite(one.rollout(begin(20) + np.float32(1e-3), hold(UNSEEN))).all()
    np.testing.assert_array_equal(one.rollout(begin(20), hold(UNSEEN, 1)), begin(20))


# ---------------------------------------------------------------------------- a spline through known trajectories


@pytest.mark.parametrize("k", [1, 5, 60])
def test_patterns_hold_trajectories(k):
    """As well as any k patterns can: the error is what is left of the singular values."""
    amplitudes, patterns = compress(LATENTS, k)
    assert amplitudes.shape == (60, k) and patterns.shape == (k, 30, 3)
    off = np.tensordot(amplitudes, patterns, axes=1) - LATENTS
    s = np.linalg.svd(LATENTS.reshape(60, 90).astype(float), compute_uv=False)
    assert np.sum(off**2) == pytest.approx(np.sum(s[k:]**2), rel=1e-3, abs=1e-4)
    flat = patterns.reshape(k, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(k), atol=1e-5)


def test_patterns_are_no_more_than_there_are():
    amplitudes, patterns = compress(LATENTS[:7], 60)
    assert amplitudes.shape == (7, 7) and patterns.shape == (7, 30, 3)


def test_a_spline_says_of_itself(spline):
    assert (spline.history, spline.latent, spline.every, spline.networks()) == (0, 3, 1e-11, {})
    assert spline.last == pytest.approx(T[-1])


def test_the_spline_passes_through_its_trajectories(spline):
    c = spline.rollout(begin(60), hold(FIELDS))
    assert c.dtype == np.float32
    np.testing.assert_allclose(c[:, 1:], LATENTS, atol=1e-3)
    np.testing.assert_array_equal(c[:, 0], begin(60)[:, 0])


def test_the_spline_is_that_of_the_trajectories(spline):
    """Patterns in time change nothing, since every answer is a weighted sum of the training's."""
    want = baselines.spline(FIELDS, LATENTS)(UNSEEN)
    np.testing.assert_allclose(spline.rollout(begin(20), hold(UNSEEN))[:, 1:], want, atol=1e-3)
    np.testing.assert_allclose(spline.rollout(begin(20), hold(UNSEEN, 11))[:, 1:], want[:, :10], atol=1e-3)
    assert np.linalg.norm(want - VALIDATION[0]) < 0.1 * np.linalg.norm(VALIDATION[0])


def test_each_field_left_out(spline):
    """Against a spline through all others, as a share of a trajectory's length."""
    length = np.sqrt(np.mean(np.sum(LATENTS.astype(float)**2, axis=(1, 2))))
    for i in (0, 17, 59):
        others = np.delete(np.arange(60), i)
        off = baselines.spline(FIELDS[others], LATENTS[others])(FIELDS[i:i + 1])[0] - LATENTS[i]
        assert spline.left_out[i] == pytest.approx(np.linalg.norm(off) / length, rel=1e-3)
    assert spline.left_out.shape == (60,)


def test_roughness_is_that_of_the_neighbours(spline):
    rough = spline.roughness(UNSEEN)
    assert rough.shape == (20,)
    x, new = baselines.coordinates(FIELDS), baselines.coordinates(UNSEEN)
    for k in (0, 9, 19):
        near = np.argsort(np.linalg.norm(x - new[k], axis=1))[:NEIGHBOURS]
        assert rough[k] == pytest.approx(spline.left_out[near].mean())
    np.testing.assert_array_equal(spline.roughness(UNSEEN[:, :2]), rough)


def test_it_is_rough_where_the_film_changes_fast():
    """Trajectories that turn around at 180 degrees, and else hardly change."""
    fields = applied.fan(200)
    turn = np.tanh((baselines.coordinates(fields)[:, :1] - 180) / 0.5)[..., None] * np.ones((1, 10, 2))
    spline = Spline(fields[:, :2], *compress(turn.astype(np.float32)), np.zeros(2))
    at = lambda degrees: applied.fan(1, angle=degrees, opening=0.0, strength=(30e-3, 30e-3))
    assert spline.roughness(at(180.0))[0] > 10 * max(spline.roughness(at(a))[0] for a in (165.0, 195.0))


# ---------------------------------------------------------------------------- the better of the two


def test_a_hybrid_asks_the_spline_below_its_limit_and_the_networks_above():
    rough = np.sort(make_spline().roughness(UNSEEN))
    one = make_hybrid((rough[11] + rough[12]) / 2)
    fast = one.asks_fast(UNSEEN)
    assert np.count_nonzero(fast) == 8 and (one.slow.roughness(UNSEEN)[fast] > one.limit).all()
    c, b, first = one.rollout(begin(20), hold(UNSEEN)), hold(UNSEEN), begin(20)
    np.testing.assert_allclose(c[fast], one.fast.rollout(first, b)[fast], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(c[~fast], one.slow.rollout(first, b)[~fast], rtol=1e-4, atol=1e-4)
    assert np.abs(one.fast.rollout(first, b) - one.slow.rollout(first, b)).max() > 1


@pytest.mark.parametrize("limit, fast", [(0.0, True), (1e9, False)])
def test_a_hybrid_may_ask_one_alone(limit, fast):
    one = make_hybrid(limit)
    assert (one.asks_fast(UNSEEN) == fast).all()
    np.testing.assert_array_equal(one.rollout(begin(20), hold(UNSEEN)), (one.fast if fast else one.slow).rollout(begin(20), hold(UNSEEN)))


def test_what_the_networks_disagree_about_is_about_the_answer():
    """The members are moved and keep their distances: their mean is the answer, be it the spline's."""
    one = make_hybrid(float(np.median(make_spline().roughness(UNSEEN))))
    members, own = one.rollouts(begin(20), hold(UNSEEN)), one.fast.rollouts(begin(20), hold(UNSEEN))
    assert members.shape == (2, 20, 31, 3)
    np.testing.assert_allclose(members.mean(axis=0), one.rollout(begin(20), hold(UNSEEN)), atol=1e-4)
    np.testing.assert_allclose(members[0] - members[1], own[0] - own[1], atol=1e-4)
    fast = one.asks_fast(UNSEEN)
    np.testing.assert_allclose(members[:, fast], own[:, fast], atol=1e-4)
    assert np.abs(members[:, ~fast] - own[:, ~fast]).max() > 1


def test_a_hybrid_says_of_itself():
    slow, short = make_spline(), Atlas(field_and_time(), START, T[9])
    one = Hybrid(slow, short, 0.1)
    assert (one.history, one.latent, one.every, one.last, one.coverage) == (0, 3, 1e-11, T[9], 2.0)
    assert one.networks() == {"predictor": short.network} and set(make_hybrid(0.1).networks()) == {"predictor", "predictor1"}
    assert one.rollouts(begin(20), hold(UNSEEN, 10)).shape == (1, 20, 10, 3)


def test_parts_that_do_not_fit_are_refused():
    two = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    for fast in (Atlas(two, START[:2], T[-1]), Atlas(field_and_time(), START, T[-1], 2e-11)):
        with pytest.raises(ValueError, match=r"^slow: its \(latent, every\) are \(3, 1e-11\), those of fast \(.*\)"):
            Hybrid(make_spline(), fast, 0.1)


# ---------------------------------------------------------------------------- training


def learn(folder=None, **options):
    return train(LATENTS, FIELDS, T, VALIDATION, START, folder, **SHORT | options)


@pytest.mark.slow
def test_it_learns_a_function_of_field_and_time():
    one, history = learn(epochs=50, batch=32, detail=1.0)
    assert isinstance(one, Atlas) and one.every == pytest.approx(1e-11) and one.last == pytest.approx(3e-10)
    out, latents = one.rollout(begin(20), hold(UNSEEN))[:, 1:], VALIDATION[0]
    assert np.linalg.norm(out - latents) < 0.05 * np.linalg.norm(latents)
    each = np.sqrt(np.sum((out - latents)**2, axis=(1, 2)) / np.sum(latents**2, axis=(1, 2)))
    assert min(row["error"] for row in history) == pytest.approx(each.mean(), rel=1e-3)


@pytest.mark.slow
def test_a_folder_with_another_training_is_refused(tmp_path):
    learn(tmp_path, epochs=1)
    with pytest.raises(ValueError, match="holds a training that differs in seed, widths; give another folder"):
        learn(tmp_path, epochs=1, seed=1, widths=(8,))


def test_the_seed_decides_the_first_weights():
    first, again, other = (learn(epochs=0, seed=seed)[0].network.get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    kernels = [k for k, w in enumerate(first) if w.ndim == 2]
    assert len(kernels) == 3 and not any(np.array_equal(first[k], other[k]) for k in kernels)


@pytest.mark.parametrize("match, change", [
    (r"^latents: got shape \(60, 29, 3\) for 60 fields and 30 times", dict(latents=LATENTS[:, :29])),
    (r"^latents: got shape \(60, 30, 3\) for 59 fields", dict(fields=FIELDS[:59])),
    ("^latents: got shape .* 29 times", dict(t=T[:29])), (r"^latents: got shape \(30, 3\)", dict(latents=LATENTS[0])),
    (r"^validation: got shape \(20, 30, 2\)", dict(validation=(VALIDATION[0][..., :2], UNSEEN))),
    ("^validation: got shape .* for 19 fields", dict(validation=(VALIDATION[0], UNSEEN[:19]))),
    ("^batch: got 0", dict(batch=0))])
def test_what_cannot_be_trained_on(tmp_path, match, change):
    arguments = dict(latents=LATENTS, fields=FIELDS, t=T, validation=VALIDATION, start=START, folder=tmp_path / "new")
    with pytest.raises(ValueError, match=match):
        train(**arguments | SHORT | change)
    assert not (tmp_path / "new").exists()


def test_a_hybrid_of_few_training_fields_knows_how_rough_its_spline_is():
    """Fewer than the neighbours that are asked: all of them are."""
    rng = np.random.default_rng(0)
    fields = applied.fan(5, 0)
    spline = Spline(fields, rng.standard_normal((5, 2)), rng.standard_normal((2, 4, 3)), np.zeros(3))
    np.testing.assert_allclose(spline.roughness(fields[:2]), spline.left_out.mean())
