"""The predictor: the layers of the paper's Table 2, the look-ahead loss, rollouts, and what training does."""

import warnings

import keras
import numpy as np
import pytest

from magbook import training
from magbook.stepper import HISTORY, Stepper, build, look_ahead, loss, train

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


def one_by_one(network, first, fields):
    """What a rollout is: the network, called once a step with the field at its beginning, in units of 10 mT, and the last four states."""
    out = []
    for trajectory, field in zip(first, fields):
        states = list(trajectory)
        for k in range(len(trajectory) - 1, len(field) - 1):
            x = np.concatenate([[field[k, 0] / 0.01, field[k, 1] / 0.01], states[-4], states[-3], states[-2], states[-1]])
            states.append(np.asarray(network.predict_on_batch(x[None].astype(np.float32)))[0])
        out.append(states)
    return np.array(out)


def hold(fields, nt):
    """Constant fields at all times, (n, nt, 2)."""
    return np.repeat(np.asarray(fields)[:, None, :2], nt, axis=1)


@pytest.fixture(scope="module")
def stepped():
    """(network, its look-ahead over eight steps, first states, fields)"""
    network, first, fields = build(5, seed=3), random(6, 5, 5), 0.03 * random(6, 3, seed=1)
    network.set_weights([1.2 * w + 0.1 * random(*w.shape, seed=i) for i, w in enumerate(network.get_weights())])
    ahead = look_ahead(network, 8)
    keras = lambda fields, first: ahead.predict_on_batch([(fields[:, :2] / 0.01).astype(np.float32), first])
    return network, keras, first, fields


def test_look_ahead_is_the_network_on_its_own_output(stepped):
    network, keras, first, fields = stepped
    out, want = keras(fields, first[:, 1:]), one_by_one(network, first, hold(fields, 13))[:, 5:]
    assert out.shape == (6, 8, 5) and np.abs(np.diff(want, axis=1)).max() > 0.1
    np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(loss(want, out + 0.5), 8 * 5 * 0.25, rtol=1e-4)


def test_a_rollout_is_the_look_ahead_without_keras(stepped):
    network, keras, first, fields = stepped
    out = Stepper(network, 1.0).rollout(first, hold(fields, 13))
    assert out.dtype == np.float32 and out.shape == (6, 13, 5)
    np.testing.assert_array_equal(out[:, :5], first)
    np.testing.assert_allclose(out[:, 5:], keras(fields, first[:, 1:]), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(Stepper(network, 1.0).rollout(first[2:3], hold(fields, 8)[2:3]), out[2:3, :8], rtol=1e-5, atol=1e-5)


def test_a_rollout_in_a_field_that_changes(stepped):
    """Against the network itself, and, where the field rests for eight steps, against Keras."""
    network, keras, first, fields = stepped
    changing = np.concatenate([hold(fields, 12), hold(-fields[::-1], 9), 0.03 * random(6, 9, 2, seed=7)], axis=1)
    out = Stepper(network, 1.0).rollout(first, changing)
    np.testing.assert_allclose(out, one_by_one(network, first, changing), rtol=1e-4, atol=1e-5 * np.abs(out).max())
    np.testing.assert_allclose(out[:, 5:13], keras(fields, first[:, 1:]), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(out[:, 13:21], keras(-fields[::-1], out[:, 9:13]), rtol=1e-4, atol=1e-5 * np.abs(out).max())
    # the past is not changed by what the field does later, nor is the last field looked at
    later = changing.copy()
    later[:, 20:] = 0
    np.testing.assert_array_equal(Stepper(network, 1.0).rollout(first, later)[:, :21], out[:, :21])
    assert np.abs(Stepper(network, 1.0).rollout(first, later)[:, 21] - out[:, 21]).max() > 0.01


def test_a_hundred_steps_of_rollout_and_keras(stepped):
    network, keras, first, fields = stepped
    long = Stepper(network, 1.0).rollout(first, hold(fields, 101))
    # any eight of them are what Keras makes of the four before
    for k in (10, 60, 84):
        np.testing.assert_allclose(long[:, k + 4:k + 12], keras(fields, long[:, k:k + 4]), rtol=1e-5, atol=1e-5 * np.abs(long).max())


def test_the_start_is_not_looked_at(stepped):
    network, _, first, fields = stepped
    other = first.copy()
    other[:, 0] = 1e3
    one, two = (Stepper(network, 1.0).rollout(c, hold(fields, 20)) for c in (first, other))
    np.testing.assert_array_equal(one[:, 1:], two[:, 1:])
    np.testing.assert_array_equal(two[:, 0], other[:, 0])


def test_a_dynamics_of_four_states(stepped):
    one = Stepper(stepped[0], 2.0, every=2e-11)
    assert (one.history, one.latent, one.every, one.last) == (HISTORY, 5, 2e-11, np.inf) and HISTORY == 4


def test_latents_are_scaled_for_the_network(stepped):
    """In units of the scale all rollouts are the same; the given states come back as they were."""
    network, _, first, fields = stepped
    one, ten = (Stepper(network, s).rollout(np.float32(s) * first, hold(fields, 20)) for s in (1.0, 10.0))
    np.testing.assert_allclose(one, ten / 10, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(ten[:, :5], np.float32(10) * first)


def test_what_is_rolled_out_is_left_alone(stepped):
    network, _, first, fields = stepped
    before, b = first.copy(), hold(fields, 20)
    Stepper(network, 3.0).rollout(first, b)
    np.testing.assert_array_equal(first, before)
    np.testing.assert_array_equal(b, hold(fields, 20))


def test_a_residual_network_gives_the_change():
    network, first, fields = build(5, (8, 8), residual=True, seed=3), random(6, 5, 5), 0.03 * random(6, 3, seed=1)
    network.set_weights([w + 0.1 * random(*w.shape, seed=i) for i, w in enumerate(network.get_weights())])
    assert network.layers[-1].get_config()["activation"] == "linear"
    scaled = (fields[:, :2] / 0.01).astype(np.float32)
    change = network.predict_on_batch(np.concatenate([scaled, first[:, 1:].reshape(6, -1)], axis=1))
    assert change.min() < -1.1  # below what elu could put out
    out = Stepper(network, 1.0, residual=True).rollout(first, hold(fields, 13))
    np.testing.assert_allclose(out[:, 5], first[:, 4] + change, rtol=1e-5, atol=1e-5)
    ahead = look_ahead(network, 8, residual=True).predict_on_batch([scaled, first[:, 1:]])
    np.testing.assert_allclose(out[:, 5:], ahead, rtol=1e-4, atol=1e-5 * np.abs(ahead).max())


@pytest.mark.parametrize("residual", [False, True])
def test_the_network_in_magbook_s_units(residual):
    """What is exported takes tesla and latents as they are, and gives the next."""
    one, first, fields = Stepper(build(5, seed=2, residual=residual), 7.0, residual), 7 * random(6, 5, 5), 0.03 * random(6, 2)
    (network,) = one.networks().values()
    out = np.asarray(network.predict_on_batch([fields, first[:, 1:]]))
    np.testing.assert_allclose(out, one.rollout(first, hold(fields, 6))[:, 5], rtol=1e-4, atol=1e-5)


def test_networks_that_are_no_predictor():
    for network in (build(5, activation="tanh"), build(5, residual=True)):
        with pytest.raises(ValueError, match="^network: it has an activation other than elu, the one that a rollout computes"):
            Stepper(network, 1.0)
    inner = keras.Sequential([keras.Input((12,)), keras.layers.Dense(3, activation="elu")])
    with pytest.raises(ValueError, match=r"^network: it goes from \(12,\) to \(3,\); from \(2 \+ 4 latent,\) to \(latent,\) is needed"):
        Stepper(inner, 1.0)


def test_loss_by_hand():
    c = np.float32([[[1, 2], [3, 4]], [[0, 0], [0, 0]]])
    out = np.float32([[[1, 1], [0, 4]], [[1, 0], [0, -2]]])
    np.testing.assert_allclose(loss(c, out), [1 + 9, 1 + 4])  # squared distances, summed over the steps


# ---------------------------------------------------------------------------- training


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(stepper, history)"""
    return train(*LATENTS, VALIDATION, tmp_path_factory.mktemp("trained"), **SHORT)


def whole_rollouts(stepper):
    """Relative L2 error of the validation fields' rollouts, from four states to the end: of each."""
    c, fields = VALIDATION
    first = np.concatenate([np.zeros((len(c), 1, 3)), c[:, :4]], axis=1)  # and a start that nobody looks at
    out = stepper.rollout(first, hold(fields, 41))[:, 5:]
    return np.sqrt(np.sum((out - c[:, 4:])**2, axis=(1, 2)) / np.sum(c[:, 4:]**2, axis=(1, 2)))


def test_it_learns(trained):
    stepper, history = trained
    c = VALIDATION[0][:, 4:]
    mean = np.broadcast_to(LATENTS[0][:, 4:].mean(axis=0), c.shape)
    constant = np.sqrt(np.sum((mean - c)**2, axis=(1, 2)) / np.sum(c**2, axis=(1, 2)))
    assert isinstance(stepper, Stepper) and whole_rollouts(stepper).mean() < 0.6 * constant.mean()
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]


def test_the_history_is_of_whole_rollouts_and_the_best_comes_back(trained):
    stepper, history = trained
    assert min(row["error"] for row in history) == pytest.approx(whole_rollouts(stepper).mean(), rel=1e-4)


def test_scale_is_the_standard_deviation(trained):
    assert trained[0].scale == pytest.approx(np.std(LATENTS[0].astype(float)), rel=1e-5) and trained[0].scale > 5


@pytest.mark.slow
def test_a_residual_network_learns():
    options = SHORT | {"steps": 8, "epochs": 3, "dropout": 0.0, "learning_rate": 1e-2}
    stepper, history = train(*LATENTS, VALIDATION, **options, residual=True, every=2e-11)
    error = whole_rollouts(stepper).mean()
    assert stepper.residual and stepper.every == 2e-11
    assert min(row["error"] for row in history) == pytest.approx(error, rel=1e-3)
    assert error < 0.5 and history[-1]["loss"] < 0.2 * history[0]["loss"]


@pytest.mark.slow
def test_stopped_and_resumed_the_same(tmp_path, trained):
    class Stopped(Exception):
        pass

    def stop(history):
        if len(history) == 2:
            raise Stopped

    with pytest.raises(Stopped):
        train(*LATENTS, VALIDATION, tmp_path, callback=stop, **SHORT)
    stepper, history = train(*LATENTS, VALIDATION, tmp_path, **SHORT)
    assert stepper.scale == trained[0].scale
    for key in ("loss", "error"):
        np.testing.assert_allclose([row[key] for row in history], [row[key] for row in trained[1]], rtol=1e-4)
    for a, b in zip(stepper.network.get_weights(), trained[0].network.get_weights()):
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
    stepper, _ = train(*LATENTS, VALIDATION, **SHORT | {"steps": 1, "epochs": 10, "updates": 1}, without_dropout=0.3)
    assert rates == [[0.02, 0.02]] * 7 + [[0, 0]] * 3
    assert [layer.rate for layer in stepper.network.layers if hasattr(layer, "rate")] == [0.02, 0.02]


@pytest.mark.slow
def test_a_training_that_diverges_says_so():
    with warnings.catch_warnings(), pytest.raises(RuntimeError, match="the loss is (nan|inf).*lower learning rate"):
        warnings.simplefilter("error", RuntimeWarning)  # and floods nobody with what NumPy thinks of infinity
        train(*LATENTS, VALIDATION, **SHORT | {"steps": 1, "learning_rate": 1e20}, warmup=None)


@pytest.mark.slow
def test_a_rollout_that_runs_away_counts_as_bad_not_as_no_number():
    options = SHORT | {"steps": 1, "epochs": 1, "updates": 1, "learning_rate": 1e6}
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        _, history = train(*LATENTS, VALIDATION, **options, warmup=None)
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
    stepper, history = train(LATENTS[0].tolist(), LATENTS[1][:, :2].tolist(), VALIDATION, **SHORT | {"epochs": 0})
    assert history == [] and stepper.scale > 0
