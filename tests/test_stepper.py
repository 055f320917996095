"""The predictor: the layers of the paper's Table 2, the look-ahead loss, rollouts, and what training does."""

import warnings

import numpy as np
import pytest

from magbook import training
from magbook.stepper import build, look_ahead, loss, rollout, train

# Kovacs et al. (2019), Table 2 and its caption: type, activation, output shape, dropout rate
TABLE_2 = """
    Dense    elu  64
    Dense    elu  64
    Dropout  -    64  0.02
    Dense    elu  32
    Dense    elu  32
    Dropout  -    32  0.02
    Dense    elu  16
    Dense    elu  16
"""
SHORT = dict(steps=2, epochs=4, updates=100, batch=32, learning_rate=3e-3, progress=False)


def latents(n, seed=0, nt=40):
    """(latents, fields) of three numbers that ring about a place, at a pace, that the field decides."""
    rng = np.random.default_rng(seed)
    fields = np.stack([rng.uniform(-40e-3, -20e-3, n), rng.uniform(-15e-3, 15e-3, n), np.zeros(n)], axis=1)
    x, y = fields[:, 0, None] / -30e-3, fields[:, 1, None] / 15e-3
    phase = 0.3 * x * np.arange(nt)
    ring = np.exp(-0.02 * np.arange(nt)) * (1 + 0.3 * y)
    return 30 * np.stack([ring * np.cos(phase), ring * np.sin(phase), y * (1 - ring)], axis=-1).astype(np.float32), fields


LATENTS, VALIDATION = latents(30), latents(8, seed=1)


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# ---------------------------------------------------------------------------- Table 2


def test_table_2():
    network = build()
    assert network.input_shape == (None, 66)  # two components of the field and four states of 16 numbers
    lines = [line.split() for line in TABLE_2.strip().splitlines()]
    assert len(lines) == len(network.layers)
    for layer, line in zip(network.layers, lines):
        config = layer.get_config()
        there = [type(layer).__name__, config.get("activation", "-"), *map(str, layer.output.shape[1:])]
        if "rate" in config:
            there.append(str(config["rate"]))
        assert there == line


def test_the_seed_decides():
    first, again, other = (build(seed=seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not any(np.array_equal(a, b) for a, b in zip(first[::2], other[::2]))  # every second one is a bias, zero


# ---------------------------------------------------------------------------- several steps


def one_by_one(network, first, fields, steps):
    """What the look-ahead is: the network, called once a step with the field in units of 10 mT and the last four states."""
    out = []
    for trajectory, field in zip(first, fields):
        states = list(trajectory)
        for _ in range(steps):
            x = np.concatenate([[field[0] / 0.01, field[1] / 0.01], states[-4], states[-3], states[-2], states[-1]])
            states.append(np.asarray(network.predict_on_batch(x[None].astype(np.float32)))[0])
        out.append(states[4:])
    return np.array(out)


@pytest.fixture(scope="module")
def stepped():
    """(network, its look-ahead over eight steps, first states, fields, the states that follow, one by one)"""
    network, first, fields = build(5, seed=3), random(6, 4, 5), 0.03 * random(6, 3, seed=1)
    network.set_weights([1.2 * w + 0.1 * random(*w.shape, seed=i) for i, w in enumerate(network.get_weights())])
    ahead = look_ahead(network, 8)
    keras = lambda first: ahead.predict_on_batch([(fields[:, :2] / 0.01).astype(np.float32), first])
    return network, keras, first, fields, one_by_one(network, first, fields, 8)


def test_look_ahead_is_the_network_on_its_own_output(stepped):
    _, keras, first, _, want = stepped
    out = keras(first)
    assert out.shape == (6, 8, 5) and np.abs(np.diff(want, axis=1)).max() > 0.1
    np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(loss(want, out + 0.5), 8 * 5 * 0.25, rtol=1e-4)


def test_rollout_is_the_look_ahead_without_keras(stepped):
    network, _, first, fields, want = stepped
    out = rollout(network.get_weights(), first, fields, 8)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(rollout(network.get_weights(), first[2:3], fields[2:3], 3), want[2:3, :3], rtol=1e-5, atol=1e-5)


def test_a_hundred_steps_of_rollout_and_keras(stepped):
    network, keras, first, fields, _ = stepped
    long = rollout(network.get_weights(), first, fields, 96)
    # any eight of them are what Keras makes of the four before
    for k in (10, 60, 84):
        np.testing.assert_allclose(long[:, k + 4:k + 12], keras(long[:, k:k + 4]), rtol=1e-5, atol=1e-5 * np.abs(long).max())


def test_a_residual_network_gives_the_change():
    network, first, fields = build(5, (8, 8), residual=True, seed=3), random(6, 4, 5), 0.03 * random(6, 3, seed=1)
    network.set_weights([w + 0.1 * random(*w.shape, seed=i) for i, w in enumerate(network.get_weights())])
    assert network.layers[-1].get_config()["activation"] == "linear"
    scaled = (fields[:, :2] / 0.01).astype(np.float32)
    change = network.predict_on_batch(np.concatenate([scaled, first.reshape(6, -1)], axis=1))
    assert change.min() < -1.1  # below what elu could put out
    out = rollout(network.get_weights(), first, fields, 8, residual=True)
    np.testing.assert_allclose(out[:, 0], first[:, 3] + change, rtol=1e-5, atol=1e-5)
    ahead = look_ahead(network, 8, residual=True).predict_on_batch([scaled, first])
    np.testing.assert_allclose(out, ahead, rtol=1e-4, atol=1e-5 * np.abs(ahead).max())
    assert np.abs(out - rollout(network.get_weights(), first, fields, 8)).max() > 0.1


def test_loss_by_hand():
    c = np.float32([[[1, 2], [3, 4]], [[0, 0], [0, 0]]])
    out = np.float32([[[1, 1], [0, 4]], [[1, 0], [0, -2]]])
    np.testing.assert_allclose(loss(c, out), [1 + 9, 1 + 4])  # squared distances, summed over the steps


# ---------------------------------------------------------------------------- training


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(network, scale, history)"""
    return train(*LATENTS, VALIDATION, tmp_path_factory.mktemp("trained"), **SHORT)


def whole_rollouts(network, scale):
    """Relative L2 error of the validation fields' rollouts, from four states to the end: of each."""
    c, fields = VALIDATION
    out = scale * rollout(network.get_weights(), c[:, :4] / np.float32(scale), fields, 36)
    return np.sqrt(np.sum((out - c[:, 4:])**2, axis=(1, 2)) / np.sum(c[:, 4:]**2, axis=(1, 2)))


def test_it_learns(trained):
    network, scale, history = trained
    c = VALIDATION[0][:, 4:]
    mean = np.broadcast_to(LATENTS[0][:, 4:].mean(axis=0), c.shape)
    constant = np.sqrt(np.sum((mean - c)**2, axis=(1, 2)) / np.sum(c**2, axis=(1, 2)))
    assert whole_rollouts(network, scale).mean() < 0.6 * constant.mean()
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]


def test_the_history_is_of_whole_rollouts_and_the_best_comes_back(trained):
    network, scale, history = trained
    assert min(row["error"] for row in history) == pytest.approx(whole_rollouts(network, scale).mean(), rel=1e-4)


def test_scale_is_the_standard_deviation(trained):
    assert trained[1] == pytest.approx(np.std(LATENTS[0].astype(float)), rel=1e-5) and trained[1] > 5


def test_a_residual_network_learns():
    options = SHORT | {"steps": 8, "epochs": 3, "dropout": 0.0, "learning_rate": 1e-2}
    network, scale, history = train(*LATENTS, VALIDATION, **options, residual=True)
    c, fields = VALIDATION
    out = scale * rollout(network.get_weights(), c[:, :4] / np.float32(scale), fields, 36, residual=True)
    error = np.mean(np.linalg.norm(out - c[:, 4:], axis=(1, 2)) / np.linalg.norm(c[:, 4:], axis=(1, 2)))
    assert min(row["error"] for row in history) == pytest.approx(error, rel=1e-3)
    assert error < 0.5 and history[-1]["loss"] < 0.2 * history[0]["loss"]


def test_stopped_and_resumed_the_same(tmp_path, trained):
    class Stopped(Exception):
        pass

    def stop(history):
        if len(history) == 2:
            raise Stopped

    with pytest.raises(Stopped):
        train(*LATENTS, VALIDATION, tmp_path, callback=stop, **SHORT)
    network, scale, history = train(*LATENTS, VALIDATION, tmp_path, **SHORT)
    assert scale == trained[1]
    for key in ("loss", "error"):
        np.testing.assert_allclose([row[key] for row in history], [row[key] for row in trained[2]], rtol=1e-4)
    for a, b in zip(network.get_weights(), trained[0].get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="holds a training that differs in noise, steps, widths; give another folder"):
        train(*LATENTS, VALIDATION, tmp_path, **SHORT | {"steps": 5}, noise=0.1, widths=(8,))


@pytest.fixture
def drawn(monkeypatch):
    """What `train` would train on: a function of its options -> its epochs' (fields, first states, states that follow)."""
    seen = []
    monkeypatch.setattr(training, "fit", lambda model, batches, *rest, **options: seen.append(
        [(*batch["x"], batch["y"]) for batch in map(batches, (0, 0, 1))]))

    def draw(**options):
        train(*LATENTS, VALIDATION, **SHORT | {"steps": 1} | options)
        return seen[-1]

    return draw


def test_windows_are_pieces_of_one_trajectory_with_its_field(drawn):
    field, first, after = drawn(steps=4)[0]
    assert field.shape == (3200, 2) and first.shape == after.shape == (3200, 4, 3)
    c = LATENTS[0] / np.float32(LATENTS[0].std())
    windows = np.concatenate([first, after], axis=1)
    starts = np.zeros(33, int)
    for k in range(3200):
        run = int(np.abs(LATENTS[1][:, :2] / 0.01 - field[k]).sum(axis=1).argmin())
        start = int(np.abs(c[run, :33] - windows[k, 0]).sum(axis=1).argmin())
        np.testing.assert_allclose(windows[k], c[run, start:start + 8], atol=1e-5)
        starts[start] += 1
    assert starts.min() > 30  # of each of the 33 places where a window can start, a hundred on average


def test_noise_is_on_the_first_states_only(drawn):
    (_, plain, after), *_ = drawn()
    (_, noisy, its_after), *_ = drawn(noise=0.05)
    assert (noisy - plain).std() == pytest.approx(0.05, rel=0.02) and abs((noisy - plain).mean()) < 1e-3
    np.testing.assert_array_equal(after, its_after)


def test_the_seed_decides_the_windows(drawn):
    (_, first, _), (_, again, _), (_, later, _) = drawn(noise=0.1)
    other = drawn(noise=0.1, seed=1)[0][1]
    assert np.array_equal(first, again) and not np.isclose(first, later).all(axis=(1, 2)).any()
    assert not np.isclose(first, other).all(axis=(1, 2)).any()


def test_dropout_rests_at_the_end(monkeypatch):
    rates = []

    def fit(model, batches, *rest, epochs, **options):
        for epoch in range(epochs):
            batches(epoch)
            network = next(layer for layer in model.layers if layer.name == "predictor")
            rates.append([layer.rate for layer in network.layers if hasattr(layer, "rate")])

    monkeypatch.setattr(training, "fit", fit)
    network, _, _ = train(*LATENTS, VALIDATION, **SHORT | {"steps": 1, "epochs": 10, "updates": 1}, settle=0.3)
    assert rates == [[0.02, 0.02]] * 7 + [[0, 0]] * 3
    assert [layer.rate for layer in network.layers if hasattr(layer, "rate")] == [0.02, 0.02]


def test_a_training_that_diverges_says_so():
    with warnings.catch_warnings(), pytest.raises(RuntimeError, match="the loss is (nan|inf).*lower learning rate"):
        warnings.simplefilter("error", RuntimeWarning)  # and floods nobody with what NumPy thinks of infinity
        train(*LATENTS, VALIDATION, **SHORT | {"steps": 1, "learning_rate": 1e20}, warmup=None)


def test_a_rollout_that_runs_away_counts_as_bad_not_as_no_number():
    options = SHORT | {"steps": 1, "epochs": 1, "updates": 1, "learning_rate": 1e6}
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        _, _, history = train(*LATENTS, VALIDATION, **options, warmup=None)
    assert history[0]["error"] == 1000


def spoiled(value):
    c = LATENTS[0].copy()
    c[3, 2, 1] = value
    return c


@pytest.mark.parametrize("match, change", [
    ("^latents: it holds values that are not finite", dict(latents=spoiled(np.nan))),
    ("^validation: it holds values that are not finite", dict(validation=(spoiled(np.inf), LATENTS[1]))),
    (r"^latents: got shape \(40, 3\); \(n, nt, latent\) with more than 4 times", dict(latents=LATENTS[0][0])),
    (r"^latents: got shape \(30, 4, 3\)", dict(latents=LATENTS[0][:, :4])),
    (r"^latents: got shape \(0, 40, 3\)", dict(latents=LATENTS[0][:0], fields=[])),
    ("^latents: got 29 fields for 30 trajectories", dict(fields=LATENTS[1][1:])),
    ("^validation: got 7 fields for 8 trajectories", dict(validation=(VALIDATION[0], VALIDATION[1][1:]))),
    (r"^validation: got trajectories of shape \(40, 2\); those of the training have \(40, 3\)",
     dict(validation=(VALIDATION[0][..., :2], VALIDATION[1]))),
    (r"^validation: got trajectories of shape \(39, 3\)", dict(validation=(VALIDATION[0][:, :39], VALIDATION[1]))),
    ("^field: got", dict(fields=np.full((30, 3), np.nan))),
    ("^field: got .* looks like H in A/m", dict(fields=LATENTS[1] / (4e-7 * np.pi))),
    ("^steps: got 37; trajectories of 40 states allow at most 36", dict(steps=37)),
    ("^steps: got 0; a whole number", dict(steps=0)), ("^batch: got -1", dict(batch=-1)),
    ("^updates: got 0", dict(updates=0))])
def test_what_cannot_be_trained_on(tmp_path, match, change):
    arguments = {"latents": LATENTS[0], "fields": LATENTS[1], "validation": VALIDATION, "folder": tmp_path / "new"}
    with pytest.raises(ValueError, match=match):
        train(**arguments | SHORT | change)
    assert not (tmp_path / "new").exists()


def test_pairs_of_fields_are_fields():
    _, scale, history = train(LATENTS[0].tolist(), LATENTS[1][:, :2].tolist(), VALIDATION, **SHORT | {"epochs": 0})
    assert history == [] and scale > 0
