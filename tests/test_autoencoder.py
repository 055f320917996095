"""The autoencoder: the layers of the paper's Table 1, its loss worked out by hand, and what training does."""

import keras
import numpy as np
import pytest

from magbook import metrics, training
from magbook._keras import Conv2DTranspose, layers
from magbook.autoencoder import build, loss, train
from magbook.dataset import SCALE

# Kovacs et al. (2019), Table 1 and its caption: type, activation, output shape; then kernel and stride, or dropout rate
TABLE_1 = """
    Conv2D           elu   32 x 128 x 16   4 x 4   2 x 2
    Conv2D           elu   16 x 64 x 32    2 x 2   2 x 2
    Conv2D           elu   8 x 32 x 64     2 x 2   2 x 2
    Conv2D           elu   4 x 16 x 128    2 x 2   2 x 2
    Conv2D           elu   2 x 8 x 256     2 x 2   2 x 2
    Conv2D           elu   1 x 4 x 512     2 x 2   2 x 2
    Flatten          -     2048
    Dropout          -     2048            0.1
    Dense            elu   16
    Dense            elu   2048
    Dropout          -     2048            0.1
    Reshape          -     1 x 4 x 512
    Conv2DTranspose  elu   2 x 8 x 256     2 x 2   2 x 2
    Conv2DTranspose  elu   4 x 16 x 128    2 x 2   2 x 2
    Conv2DTranspose  elu   8 x 32 x 64     2 x 2   2 x 2
    Conv2DTranspose  elu   16 x 64 x 32    2 x 2   2 x 2
    Conv2DTranspose  elu   32 x 128 x 16   2 x 2   2 x 2
    Conv2DTranspose  tanh  64 x 256 x 3    4 x 4   2 x 2
"""
SMALL = dict(latent=3, filters=(4, 8), without_dropout=0.3, batch=8, learning_rate=1e-2, progress=False)
EPOCHS = 6


def states(n, seed=0, ny=8, nx=16):
    """Smooth unit vectors that two numbers describe: an in-plane angle and how it grows along x."""
    a, b = np.random.default_rng(seed).uniform(-1, 1, (2, n, 1, 1))
    angle = 1.5 * a + 2 * b * np.linspace(-0.5, 0.5, nx) + np.zeros((ny, 1))
    mz = 0.1 * a * np.cos(angle)
    flat = np.sqrt(1 - mz**2)
    return np.stack([flat * np.cos(angle), flat * np.sin(angle), mz], axis=-1).astype(np.float32)


STATES, VALIDATION = states(256), states(16, seed=1)


# ---------------------------------------------------------------------------- Table 1


def test_table_1():
    encoder, decoder = build()
    assert encoder.input_shape[1:] == (64, 256, 3) and encoder.output_shape[1:] == decoder.input_shape[1:] == (16,)
    lines = [line.split("  ") for line in TABLE_1.strip().splitlines()]
    lines = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert len(lines) == len(encoder.layers + decoder.layers)
    times = lambda numbers: " x ".join(str(n) for n in numbers)
    for layer, line in zip(encoder.layers + decoder.layers, lines):
        config = layer.get_config()
        there = [type(layer).__name__, config.get("activation", "-"), times(layer.output.shape[1:])]
        if "kernel_size" in config:
            there += [times(config["kernel_size"]), times(config["strides"])]
        if "rate" in config:
            there.append(str(config["rate"]))
        assert there == line


def test_the_decoder_stays_within_unit_components():
    _, decoder = build(3, (8, 16, 3), (4, 8))
    out = decoder.predict_on_batch(1e3 * np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32))
    assert out.shape == (20, 8, 16, 3) and 0.9 < np.abs(out).max() <= 1


def test_the_seed_decides():
    first, again, other = ([w for model in build(3, (8, 16, 3), (4, 8), seed=s) for w in model.get_weights()] for s in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not any(np.array_equal(a, b) for a, b in zip(first[::2], other[::2]))  # every second one is a bias, zero
    flat = [w.ravel()[:6] for w in first[::2]]
    assert not any(np.allclose(a / np.abs(a).max(), b / np.abs(b).max()) for i, a in enumerate(flat) for b in flat[:i])


def test_what_a_student_can_turn():
    encoder, decoder = build(5, (16, 32, 3), (4, 8, 16), activation="tanh", dropout=0.25)
    assert encoder.output_shape == (None, 5) and decoder.output_shape == (None, 16, 32, 3)
    configs = [layer.get_config() for layer in encoder.layers + decoder.layers]
    assert {c["activation"] for c in configs if "activation" in c} == {"tanh"}
    assert {c["rate"] for c in configs if "rate" in c} == {0.25}


@pytest.mark.parametrize("shape", [(63, 256, 3), (64, 250, 3), (64, 256, 2), (32, 256, 3), (0, 256, 3)])
def test_a_grid_that_cannot_be_halved(shape):
    with pytest.raises(ValueError, match="^shape: got .* divisible by 64 is needed for 6 convolutions"):
        build(shape=shape)


# ---------------------------------------------------------------------------- the loss


def losses(m, out, **options):
    """As NumPy has them, whatever Keras runs on."""
    return keras.ops.convert_to_numpy(loss(m, out, **options))


def cost(m, out, **options):
    """Of one-cell states."""
    one = lambda v: np.array(v, np.float32).reshape(1, 1, 3)
    return float(losses(one(m), one(out), **options))


@pytest.mark.parametrize("out, value", [
    ((1, 0, 0), 0),
    ((0.6, 0, 0.8), 0.4 + 10 * 0.8),  # of unit length: all of it is L1, and z weighs 10
    ((0.6, 0.8, 0), 0.4 + 0.8),
    ((0.5, 0, 0), 0.5 + 0.5),  # too short by a half
    ((1.5, 0, 0), 0.5 + 0.5),  # too long by a half costs the same: |m| - 1 without the bars would pay 0.5 here
    ((0, 0, 0), 1 + 1),
    ((-1, 0, 0), 2),
    ((1, 0, 0.75), 7.5 + 0.25)])
def test_loss_by_hand(out, value):
    assert cost((1, 0, 0), out) == pytest.approx(value, abs=2e-6)


def test_loss_weights():
    assert cost((0, 1, 0), (0, 0.5, 0), length=3) == pytest.approx(0.5 + 3 * 0.5)
    assert cost((0, 1, 0), (0, 0.5, 0), length=0) == pytest.approx(0.5)
    assert cost((0, 0.6, 0.8), (0.3, 0.4, 0), weights=(1, 2, 3), length=0) == pytest.approx(0.3 + 2 * 0.2 + 3 * 0.8)


def test_loss_is_the_mean_over_cells_of_each_state():
    m = np.zeros((2, 1, 2, 3), np.float32)
    m[..., 0] = 1
    out = m.copy()
    out[1, 0, 1] = (0.6, 0, 0.8)
    np.testing.assert_allclose(losses(m, out), [0, 8.4 / 2], atol=1e-6)


def test_the_slope_is_finite_at_zero_length():
    """A step from an output of zero vectors, where the root in L2 has no slope."""
    model = keras.Sequential([keras.Input((1, 1, 3)), keras.layers.Dense(3, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(1e-3), loss)
    m = np.float32([[[[0.48, 0.64, 0.6]]]])
    assert not model.predict_on_batch(m).any()
    before = losses(m, model.predict_on_batch(m))[0]
    model.train_on_batch(m, m)
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert losses(m, model.predict_on_batch(m))[0] < before


# ---------------------------------------------------------------------------- training


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(encoder, decoder, history)"""
    return train(STATES, VALIDATION, tmp_path_factory.mktemp("trained"), epochs=EPOCHS, **SMALL)


def test_it_learns(trained):
    encoder, decoder, history = trained
    out = decoder.predict_on_batch(encoder.predict_on_batch(VALIDATION))
    constant = metrics.relative_l2(np.broadcast_to(STATES.mean(axis=0), VALIDATION.shape), VALIDATION)
    assert metrics.relative_l2(out, VALIDATION) < 0.5 * constant
    assert history[-1]["loss"] < 0.5 * history[0]["loss"] and len(history) == EPOCHS


def test_the_history_is_of_the_validation_states_and_the_best_comes_back(trained):
    encoder, decoder, history = trained
    out = decoder.predict_on_batch(encoder.predict_on_batch(VALIDATION))
    best = min(history, key=lambda row: row["error"])
    assert best["error"] == pytest.approx(metrics.relative_l2(out, VALIDATION), rel=1e-4)
    assert best["validation"] == pytest.approx(losses(VALIDATION, out).mean(), rel=1e-4)


@pytest.mark.slow
def test_stopped_and_resumed_the_same(tmp_path, trained):
    class Stopped(Exception):
        pass

    def stop(history):
        if len(history) == 5:  # of which four were with dropout
            raise Stopped

    with pytest.raises(Stopped):
        train(STATES, VALIDATION, tmp_path, epochs=EPOCHS, callback=stop, **SMALL)
    encoder, decoder, history = train(STATES, VALIDATION, tmp_path, epochs=EPOCHS, **SMALL)
    for key in ("loss", "error", "validation"):
        np.testing.assert_allclose([row[key] for row in history], [row[key] for row in trained[2]], rtol=1e-5)
    for model, its_model in zip((encoder, decoder), trained):
        for a, b in zip(model.get_weights(), its_model.get_weights()):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="holds a training that differs in dropout, seed, weights; give another folder"):
        train(STATES, VALIDATION, tmp_path, epochs=EPOCHS, dropout=0.2, seed=1, weights=(1, 1, 1), **SMALL)


def test_the_seed_decides_weights_and_order(monkeypatch):
    orders = []
    monkeypatch.setattr(training, "fit", lambda model, batches, *rest, **options: orders.append(
        [np.concatenate(batches(epoch)["x"].indices) for epoch in (0, 0, 1)]))
    for seed in (3, 4):
        encoder, decoder, _ = train(STATES, VALIDATION, epochs=2, **SMALL, seed=seed)
        for model, fresh in zip((encoder, decoder), build(3, (8, 16, 3), (4, 8), seed=seed)):
            assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), fresh.get_weights()))
    (first, again, later), (other, *_) = orders
    assert np.array_equal(first, again)
    assert not np.array_equal(first, later) and not np.array_equal(first, other)


def test_the_number_of_updates_can_be_set(monkeypatch):
    """Whatever the number of states; the learning rate then falls to zero over all of them."""
    asked = []
    monkeypatch.setattr(training, "nadam", lambda rate, steps, warmup: asked.append(steps) or keras.optimizers.SGD(rate))
    monkeypatch.setattr(training, "fit", lambda model, batches, *rest, **options: asked.append(
        [len(i) for i in batches(0)["x"].indices]))
    for states in (STATES, STATES[:20]):
        train(states, VALIDATION, epochs=6, updates=5, **SMALL | {"batch": 16})
        assert asked[-2:] == [30, [16] * 5]


def test_dropout_rests_at_the_end(monkeypatch):
    """In the last 3 of 10 epochs; the layers that come back have it again, for who trains on."""
    dropouts = lambda *parts: {layer.rate for part in parts for layer in part.layers if isinstance(layer, keras.layers.Dropout)}
    rates = []

    def fit(model, batches, *rest, epochs, **options):
        for epoch in range(epochs):
            batches(epoch)
            rates.append(dropouts(*model.layers))

    monkeypatch.setattr(training, "fit", fit)
    encoder, decoder, _ = train(STATES, VALIDATION, epochs=10, **SMALL, dropout=0.2)
    assert rates == [{0.2}] * 7 + [{0}] * 3 and dropouts(encoder, decoder) == {0.2}


@pytest.mark.slow
def test_a_batch_larger_than_all_states():
    """The loss of the one update is that of the first weights; of states as a data set stores them, without dropout."""
    stored = np.rint(STATES[:5] * SCALE).astype(np.int16)
    _, _, (row,) = train(stored, VALIDATION[:3], epochs=1, **SMALL | {"batch": 1000, "dropout": 0.5, "without_dropout": 1})
    encoder, decoder = build(3, (8, 16, 3), (4, 8))
    first = losses(STATES[:5], decoder.predict_on_batch(encoder.predict_on_batch(STATES[:5])))
    assert row["loss"] == pytest.approx(first.mean(), rel=1e-4)


def test_a_training_begins_with_what_another_latent_size_has_learned(tmp_path, trained):
    encoder, decoder, _ = trained
    other = {"epochs": 0, **SMALL, "latent": SMALL["latent"] + 1}
    begun = train(STATES, VALIDATION, begin=(encoder, decoder), **other)[:2]
    fresh = train(STATES, VALIDATION, **other)[:2]
    anew = 0
    for ours, theirs, first in zip(*([layer for network in pair[:2] for layer in network.layers] for pair in (begun, trained, fresh))):
        taken = [w.shape for w in ours.get_weights()] == [w.shape for w in theirs.get_weights()]
        anew += not taken
        for weight, same in zip(ours.get_weights(), (theirs if taken else first).get_weights(), strict=True):
            np.testing.assert_array_equal(weight, same)
    assert anew == 2  # the last layer of the encoder and the first of the decoder
    train(STATES[:8], VALIDATION, tmp_path / "it", begin=(encoder, decoder), **other | {"epochs": 1})
    with pytest.raises(ValueError, match="differs in begin"):  # a training from elsewhere does not go on
        train(STATES[:8], VALIDATION, tmp_path / "it", **other | {"epochs": 2})


def test_no_epochs():
    encoder, decoder, history = train(STATES.tolist(), VALIDATION.tolist(), epochs=0, **SMALL)
    assert history == [] and encoder.input_shape == decoder.output_shape == (None, 8, 16, 3)


@pytest.mark.slow
def test_a_training_that_diverges_says_so():
    with pytest.raises(RuntimeError, match="the loss is nan .* after epoch 1; a lower learning rate is needed"):
        train(STATES[:16], VALIDATION, epochs=3, **SMALL | {"learning_rate": 1e30}, warmup=None)


def spoiled(value):
    m = STATES.copy()
    m[3, 2, 1, 0] = value
    return m


@pytest.mark.parametrize("match, change", [
    ("^states: it holds values that are not finite", dict(states=spoiled(np.nan))),
    ("^validation: it holds values that are not finite", dict(validation=spoiled(np.inf))),
    (r"^states: got shape \(8, 16, 3\); \(n, ny, nx, 3\) is needed", dict(states=STATES[0])),
    (r"^states: got shape \(0, 8, 16, 3\)", dict(states=STATES[:0])),
    (r"^states: got shape \(256, 8, 16, 2\)", dict(states=STATES[..., :2])),
    (r"^validation: got shape \(16, 8, 16\)", dict(validation=VALIDATION[..., 0])),
    (r"^validation: got states of shape \(8, 8, 3\); the training states have \(8, 16, 3\)", dict(validation=VALIDATION[:, :, :8])),
    (r"^shape: got \(8, 14, 3\).* divisible by 4", dict(states=STATES[:, :, :14], validation=VALIDATION[:, :, :14])),
    ("^batch: got 0", dict(batch=0)), ("^updates: got 0", dict(updates=0)), ("^latent: got 2.5", dict(latent=2.5))])
def test_what_cannot_be_trained_on(tmp_path, match, change):
    with pytest.raises(ValueError, match=match):
        train(**{"states": STATES, "validation": VALIDATION, "folder": tmp_path / "new", "epochs": 1, **SMALL, **change})
    assert not (tmp_path / "new").exists()


def test_a_name_is_no_array_of_states(tmp_path):
    with pytest.raises(TypeError, match="^states: got 'paper'; real numbers are needed"):
        train("paper", VALIDATION, tmp_path / "new", epochs=1, **SMALL)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kernel, strides, activation", [((2, 2), 2, "elu"), ((4, 4), 2, "tanh"), ((3, 2), (3, 2), None), ((1, 1), 1, "relu")])
def test_a_transposed_convolution_is_that_of_keras(kernel, strides, activation):
    options = dict(strides=strides, padding="same", activation=activation, bias_initializer="random_normal")
    one, other = (kind(5, kernel, **options) for kind in (Conv2DTranspose, layers.Conv2DTranspose))
    x = np.random.default_rng(0).standard_normal((3, 4, 6, 7)).astype(np.float32)
    shape = np.shape(one(x))
    other(x)
    other.set_weights(one.get_weights())
    assert shape == (3, 4 * one.strides[0], 6 * one.strides[1], 5) == tuple(one.compute_output_shape((3, 4, 6, 7)))
    np.testing.assert_allclose(np.asarray(one(x)), np.asarray(other(x)), atol=1e-5)
