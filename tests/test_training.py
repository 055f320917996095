"""Training: what a kill, damage or other settings do to it, and that the best weights come back."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from magbook import training
from magbook.training import Batches, compile_model, fit, nadam

X = np.random.default_rng(0).standard_normal((64, 3)).astype(np.float32)
Y = np.sin(X @ np.float32([[1], [2], [-1]]))


@functools.cache
def compiled():
    """A small network and its first state; with dropout, whose random numbers are part of what must survive."""
    dense = lambda n, seed, **options: keras.layers.Dense(n, kernel_initializer=keras.initializers.GlorotUniform(seed), **options)
    model = keras.Sequential([keras.Input((3,)), dense(16, 1, activation="elu"), keras.layers.Dropout(0.5, seed=2), dense(1, 3)])
    compile_model(model, nadam(0.02, 6 * 4), "mse")
    model.optimizer.build(model.trainable_variables)
    variables = model.variables + model.optimizer.variables
    return model, variables, [keras.ops.convert_to_numpy(v) for v in variables]


def network():
    """The network as at first. There is one only: to make its graph takes longer than to train it."""
    model, variables, values = compiled()
    for variable, value in zip(variables, values):
        variable.assign(value)
    return model


def train(folder=None, epochs=6, model=None, **options):
    """Returns (model, history)."""
    model = model or network()
    options = dict(settings={"width": 16, "seed": 0}, progress=False) | options
    options.setdefault("validate", lambda: {"error": np.mean((model.predict_on_batch(X) - Y)**2), "other": 1})
    batches = lambda epoch: {"x": Batches(64, 16, lambda i: (X[i], Y[i]), (0, epoch))}
    return model, fit(model, batches, options.pop("validate"), folder, epochs=epochs, **options)


def names(folder):
    return sorted(p.name for p in Path(folder).iterdir())


def assert_equal(weights, others, rtol=0):
    for a, b in zip(weights, others, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """(folder, weights, history) of a training that nothing has stopped."""
    folder = tmp_path_factory.mktemp("undisturbed")
    model, history = train(folder)
    return folder, model.get_weights(), history


def assert_same(folder, model, history, undisturbed):
    """The same history, best weights and last weights."""
    its_folder, its_weights, its_history = undisturbed
    for key in ("epoch", "loss", "error", "other"):
        np.testing.assert_allclose([row[key] for row in history], [row[key] for row in its_history], rtol=1e-5)
    assert_equal(model.get_weights(), its_weights, 1e-5)
    assert names(folder) == names(its_folder) == ["best.npz", "epoch-00006.npz", "history.json"]
    last = [list(np.load(one / "epoch-00006.npz").values()) for one in (folder, its_folder)]
    assert_equal(*last, 1e-5)


# ---------------------------------------------------------------------------- optimizer and batches


def test_learning_rate_rises_then_falls_to_zero():
    optimizer = nadam(1e-3, 1000, warmup=0.1)
    rate = []
    for step in (0, 50, 100, 550, 1000):
        optimizer.iterations.assign(step)
        rate.append(float(optimizer.learning_rate))
    np.testing.assert_allclose(rate, [0, 0.5e-3, 1e-3, 0.5e-3, 0], atol=1e-9)  # half a cosine is at half its height midway
    assert float(nadam(1e-4, 1000, warmup=None).learning_rate) == pytest.approx(1e-4)
    assert nadam(1e-4, 1000).global_clipnorm is None and nadam(1e-4, 1000, clip=0.5).global_clipnorm == 0.5
    assert isinstance(optimizer, keras.optimizers.Nadam)


def drawn(n, size, seed, count=None):
    batches = Batches(n, size, lambda i: (i, i), seed, count)
    return [batches[k][0] for k in range(len(batches))]


def test_every_sample_once_an_epoch_in_another_order():
    first, again, other = (drawn(64, 16, seed) for seed in ((0, 0), (0, 0), (0, 1)))
    assert [len(i) for i in first] == [16] * 4
    assert np.array_equal(np.sort(np.concatenate(first)), np.arange(64))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert all(np.array_equal(i, np.sort(i)) for i in first)  # the states are read from a large array


def test_the_last_short_batch_is_left_out():
    assert [len(i) for i in drawn(70, 16, 0)] == [16] * 4
    assert [len(i) for i in drawn(5, 16, 0)] == [5]  # but not where it is the only one


@pytest.mark.parametrize("n, often", [(64, {0, 1}), (10, {3, 4}), (32, {1})])
def test_as_many_batches_as_asked_for(n, often):
    """Of many samples a part, of few more passes, each sample about as often."""
    batches = drawn(n, 8, 0, count=4)
    assert [len(i) for i in batches] == [8] * 4
    assert set(np.bincount(np.concatenate(batches), minlength=n)) == often


@pytest.mark.parametrize("backend, jit, updates", [("tensorflow", False, 7), ("jax", True, 7), ("torch", False, 1)])
def test_each_back_end_in_its_own_way(backend, jit, updates, monkeypatch):
    """PyTorch refuses several updates in a call, and JAX takes forty times longer without its compiler."""
    given = {}

    class Model:
        def compile(self, *args, **options):
            given.update(options)

    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    compile_model(Model(), None, None, 7)
    assert given == {"jit_compile": jit, "steps_per_execution": updates}


# ---------------------------------------------------------------------------- networks, and their dropout


def scaled(first=2, widths=(8, 8), last=3, seed=0, begin=np.sin, **options):
    """`training.dense` between layers that divide by 10 and multiply by 5."""
    begin = keras.ops.sin if begin is np.sin else begin
    return training.dense(first, widths, last, seed, begin, keras.layers.Rescaling(0.1), keras.layers.Rescaling(5.0), **options)


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


@pytest.mark.parametrize("detail", [None, 2.0])
def test_a_dense_network_by_hand(detail):
    """Scaled, a first activation, gelu from there on, none at the end, scaled back."""
    model, x = scaled(detail=detail), 10 * np.random.default_rng(0).standard_normal((50, 2)).astype(np.float32)
    (a, p), (b, q), (c, r) = zip(*[iter(model.get_weights())] * 2)
    assert [w.shape for w in (a, b, c)] == [(2, 8), (8, 8), (8, 3)]
    want = 5 * (gelu(np.sin(x / 10 @ a + p) @ b + q) @ c + r)
    np.testing.assert_allclose(model.predict_on_batch(x), want, rtol=1e-4, atol=1e-5)


def test_detail_spreads_the_first_layer():
    """Its weights are normal, as wide as asked for, and its phases are all over the circle; the other layers do not change."""
    (a, p, *rest), (b, q, *its_rest) = (scaled(widths=(2000, 3), detail=detail).get_weights() for detail in (None, 4.0))
    assert np.abs(a).max() < 0.1 and not p.any()
    assert b.std() == pytest.approx(4, rel=0.05) and -np.pi <= q.min() < -3 and 3 < q.max() <= np.pi
    assert_equal(rest, its_rest)


def test_the_seed_decides_a_dense_network():
    for options in ({}, {"detail": 1.0}):
        first, again, other = (scaled(seed=seed, **options).get_weights() for seed in (1000, 1000, 2000))
        assert_equal(first, again)
        assert not any(np.array_equal(a, b) for a, b in zip(first[::2], other[::2]))


@pytest.mark.slow
def test_a_bare_network_has_forgotten_how_it_was_trained():
    model, _ = train()
    bare = training.bare(model)
    np.testing.assert_array_equal(bare.predict_on_batch(X), model.predict_on_batch(X))
    assert model.compiled and not bare.compiled
    assert "compile_config" not in json.loads(bare.to_json()) or not json.loads(bare.to_json())["compile_config"]
    assert_equal(bare.get_weights(), model.get_weights())


def test_dropout_is_changed_in_the_parts_named():
    part = lambda seed: keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.5, seed=seed), keras.layers.Dense(3)])
    one, other = part(1), part(2)
    model = keras.Sequential([one, other])
    compile_model(model, nadam(0.02, 4), "mse")
    traced = model.train_function = object()
    training.set_dropout(model, (one, other), 0.5)  # nothing to change: what is traced stays
    assert model.train_function is traced
    training.set_dropout(model, (one,), 0.0)
    assert [network.layers[0].rate for network in (one, other)] == [0.0, 0.5] and model.train_function is None


# ---------------------------------------------------------------------------- stopped and resumed


class Stopped(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 4])
def test_stopped_between_epochs(tmp_path, undisturbed, after):
    def stop(history):
        if len(history) == after:
            raise Stopped

    with pytest.raises(Stopped):
        train(tmp_path, callback=stop)
    seen = []
    model, history = train(tmp_path, callback=lambda history: seen.append(len(history)))
    assert seen == list(range(after + 1, 7))  # what was done is not done again
    assert_same(tmp_path, model, history, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["best.npz", "epoch-00003.npz", "history.json"])
def test_stopped_while_an_epoch_is_written(tmp_path, undisturbed, name, monkeypatch):
    replace = os.replace

    def stop(source, target):
        there = json.loads((tmp_path / "history.json").read_text()) if (tmp_path / "history.json").exists() else {"history": []}
        if Path(target).name == name and len(there["history"]) == 2:
            raise Stopped
        replace(source, target)

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(Stopped):
        train(tmp_path)
    monkeypatch.undo()
    assert len(json.loads((tmp_path / "history.json").read_text())["history"]) == 2
    assert_same(tmp_path, *train(tmp_path), undisturbed)


@pytest.mark.slow
def test_a_full_disk(small_disk, fill, undisturbed):
    """The epoch that found no room is lost, and the training goes on from the one before once there is."""
    with pytest.raises(OSError, match=r"No space left on device.*while writing.*\.(npz|json)"):
        train(small_disk / "kept", callback=lambda history: len(history) == 3 and fill())
    assert len(json.loads((small_disk / "kept" / "history.json").read_text())["history"]) == 3
    (small_disk / "filler").unlink()
    assert_same(small_disk / "kept", *train(small_disk / "kept"), undisturbed)


KILLED = """
import os, signal, sys
sys.path[:0] = [sys.argv[2], sys.argv[3]]
import test_training as t
epochs = []
def validate():
    epochs.append(1)
    if len(epochs) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"error": t.np.mean((model.predict_on_batch(t.X) - t.Y)**2), "other": 1}
model = t.network()
t.train(sys.argv[1], model=model, validate=validate)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_killed(tmp_path, undisturbed, root):
    process = subprocess.run([sys.executable, "-c", KILLED, tmp_path, root, root / "tests"], capture_output=True)
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    assert names(tmp_path) == ["best.npz", "epoch-00003.npz", "history.json"]
    assert_same(tmp_path, *train(tmp_path), undisturbed)


def test_a_finished_training_only_loads(tmp_path, undisturbed):
    folder, its_weights, its_history = undisturbed

    def never(epoch):
        raise AssertionError("it trained")

    model = network()
    assert fit(model, never, never, folder, epochs=6, settings={"seed": 0, "width": 16}, progress=False) == its_history
    assert_equal(model.get_weights(), its_weights)


@pytest.mark.slow
def test_more_epochs_later(tmp_path, undisturbed):
    assert len(train(tmp_path, epochs=2)[1]) == 2
    assert_same(tmp_path, *train(tmp_path), undisturbed)


# ---------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("settings, what", [({"width": 8, "seed": 0}, "width"), ({"width": 16, "seed": 1}, "seed"),
                                            ({"width": 8, "seed": 1}, "seed, width"), ({"width": 16}, "seed"),
                                            ({"width": 16, "seed": 0, "more": (1, 2)}, "more")])
def test_other_settings_are_refused(undisturbed, settings, what):
    folder = undisturbed[0]
    before = {name: (folder / name).read_bytes() for name in names(folder)}
    with pytest.raises(ValueError, match=f"{folder} holds a training that differs in {what}; give another folder"):
        train(folder, settings=settings)
    assert {name: (folder / name).read_bytes() for name in names(folder)} == before


@pytest.mark.parametrize("name", ["history.json", "best.npz", "epoch-00006.npz"])
@pytest.mark.parametrize("damage", ["cut", "empty", "other", "missing"])
def test_damage_is_named(tmp_path, undisturbed, name, damage):
    shutil.copytree(undisturbed[0], tmp_path, dirs_exist_ok=True)
    whole = (tmp_path / name).read_bytes()
    if damage == "missing" and name != "history.json":  # a folder without it holds no training yet
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes({"cut": whole[:len(whole) // 2], "other": b"[1, 2]"}.get(damage, b""))
    with pytest.raises(ValueError, match=f"{name} is .*damaged.*delete the folder to start anew"):
        train(tmp_path)


@pytest.mark.parametrize("there", ["{}", '{"settings": {}, "history": [{}]}', '{"settings": 1, "history": 2}', "null",
                                   '{"settings": {"width": 16, "seed": 0}, "history": []}'])
def test_a_history_of_something_else_is_named(tmp_path, there):
    (tmp_path / "history.json").write_text(there)
    with pytest.raises(ValueError, match="history.json is damaged"):
        train(tmp_path, epochs=2)


@pytest.mark.parametrize("value", [0, -1, 1.5, None, "3", np.nan])
def test_counts(value):
    training.check_counts(batch=1, steps=np.int64(3))
    with pytest.raises(ValueError, match=f"^batch: got {value!r}; a whole number"):
        training.check_counts(steps=2, batch=value)


# ---------------------------------------------------------------------------- what comes back


@pytest.mark.parametrize("keep", [True, False])
def test_the_best_weights_come_back(tmp_path, keep):
    model, errors, weights = network(), [3.0, 1.0, 2.0, 1.0], []

    def validate():
        weights.append(model.get_weights())
        return {"error": errors[len(weights) - 1]}

    _, history = train(tmp_path if keep else None, 4, model, validate=validate)
    assert [row["error"] for row in history] == errors and [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert_equal(model.get_weights(), weights[1])
    assert not np.array_equal(weights[1][0], weights[3][0])


def test_the_best_of_a_stopped_training_is_not_forgotten(tmp_path):
    best = train(tmp_path, 1, validate=lambda: {"error": 1.0})[0].get_weights()
    model, history = train(tmp_path, 3, validate=lambda: {"error": 2.0})
    assert [row["error"] for row in history] == [1.0, 2.0, 2.0]
    assert_equal(model.get_weights(), best)


def test_no_epochs(tmp_path):
    first = network().get_weights()
    for folder in (tmp_path, None):
        model, history = train(folder, epochs=0)
        assert history == []
        assert_equal(model.get_weights(), first)
    assert names(tmp_path) == []


@pytest.mark.parametrize("keep", [True, False])
def test_the_callback_sees_each_epoch(tmp_path, keep):
    seen = []
    _, history = train(tmp_path if keep else None, 3, callback=lambda history: seen.append([dict(row) for row in history]))
    assert seen == [history[:1], history[:2], history[:3]]
    assert all(row["seconds"] > 0 and row["loss"] > 0 and row["other"] == 1.0 for row in history)


@pytest.mark.parametrize("error", [np.nan, np.inf])
def test_an_error_that_is_not_finite_ends_the_training(tmp_path, error):
    errors = iter([1.0, error])
    with pytest.raises(RuntimeError, match="after epoch 2; a lower learning rate is needed"):
        train(tmp_path, validate=lambda: {"error": next(errors)})
    assert names(tmp_path) == ["best.npz", "epoch-00001.npz", "history.json"]  # what was good stays


def test_a_loss_that_is_not_finite_ends_the_training():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    compile_model(model, keras.optimizers.SGD(1e30), "mse")
    with pytest.raises(RuntimeError, match="the loss is (nan|inf).*a lower learning rate is needed"):
        train(model=model, validate=lambda: {"error": 1.0})


def test_other_data_are_another_training(tmp_path):
    a = np.random.default_rng(0).normal(size=(3, 4))
    assert training.fingerprint(a) == training.fingerprint(a.copy()) != training.fingerprint(a + 1e-9)
    assert len({training.fingerprint(b) for b in (a, a.T, a.astype(np.float32), a.reshape(-1), a[:2])}) == 5
    assert training.fingerprint(a, a[0]) != training.fingerprint(a[0], a)


def test_a_flipped_bit_in_the_history_is_noticed(tmp_path):
    model, history = train(tmp_path, epochs=2)
    path, rng = tmp_path / "history.json", np.random.default_rng(0)
    whole = path.read_bytes()
    for _ in range(200):
        flipped = bytearray(whole)
        flipped[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(flipped)
        try:
            there = train(tmp_path, epochs=2, model=model)[1]
        except ValueError as error:
            assert "history.json is damaged" in str(error)
        else:  # a blank, or the word checksum itself
            assert there == history
    # one of an older version has none
    there = json.loads(whole)
    del there["checksum"]
    path.write_text(json.dumps(there))
    assert train(tmp_path, epochs=2)[1] == history


@pytest.mark.slow
def test_a_flipped_bit_in_what_is_kept_is_noticed(tmp_path):
    train(tmp_path)
    path, rng = tmp_path / "best.npz", np.random.default_rng(0)
    raw = path.read_bytes()
    kept = [list(np.load(path).values())]
    for _ in range(40):
        flipped = bytearray(raw)
        flipped[rng.integers(len(raw))] ^= 1 << rng.integers(8)
        path.write_bytes(flipped)
        try:
            model, _ = train(tmp_path)
        except ValueError as error:
            assert "damaged" in str(error)
        else:  # a bit that says nothing, such as one of the archive's dates
            assert_equal(model.get_weights(), kept[0][:len(model.get_weights())], 0)
