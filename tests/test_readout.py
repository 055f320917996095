"""A readout of film averages, against films decoded whole; those that ship, in fields that no training saw."""

from dataclasses import dataclass

import numpy as np
import pytest

from magbook import applied, closure, dynamics, pca, readout
from magbook._keras import keras
from magbook.dynamics import Dynamics
from magbook.film import Film, unit
from magbook.rom import ReducedOrderModel, load_rom

NY, NX, LATENT = 8, 16, 3
SHORT = dict(widths=(32, 32), epochs=10, batch=32, learning_rate=1e-2, progress=False)


def whole(decoder, c):
    return unit(decoder.predict(c, verbose=0)).mean(axis=(1, 2))


@pytest.fixture(scope="module")
def networks():
    """(encoder, decoder) of smooth even films in components that nobody trained, and of the film's mean as the greatest."""
    rng = np.random.default_rng(0)
    y, x = np.meshgrid(np.linspace(-1, 0, NY // 2), np.linspace(-1, 0, NX // 4), indexing="ij")
    waves = np.stack([np.cos(k * np.pi * x + n * y) for k, n in ((0, 0), (1, 0), (0, 1), (1, 1), (2, 1), (2, 2))])
    states = unit(np.einsum("nkc,kyx->nyxc", rng.standard_normal((300, 6, 3)) * [[1], [0.5], [0.5], [0.3], [0.2], [0.2]], waves)).astype(np.float32)
    basis = pca.fit(states, 12)
    c = closure.coefficients(basis, states)
    follows, _ = closure.train(basis, c, c[:20], latent=LATENT, widths=(8,), epochs=3, batch=16, progress=False)
    return closure.networks(basis, follows)


@pytest.fixture(scope="module")
def known(networks):
    """Latent states to learn from and others, and the averages of both."""
    c = (2 * np.random.default_rng(1).standard_normal((1100, LATENT))).astype(np.float32)
    mean = whole(networks[1], c)
    return c[:1000], mean[:1000], c[1000:], mean[1000:]


def off(model, c, mean):
    return np.abs(model.predict(c, verbose=0) - mean).mean()


def linear_off(c, mean, unseen, unseen_mean):
    """How far off the linear map is that fits what is known best."""
    fitted = np.linalg.lstsq(np.c_[c, np.ones(len(c))], mean, rcond=None)[0]
    return np.abs(np.c_[unseen, np.ones(len(unseen))] @ fitted - unseen_mean).mean()


@pytest.mark.slow
def test_few_cells_stand_for_all(networks, known):
    c, mean, unseen, unseen_mean = known
    one, eight = (off(readout.of_cells(networks[1], c, mean, cells), unseen, unseen_mean) for cells in ((1, 1), (2, 4)))
    assert eight < one / 3 and eight < linear_off(*known) / 5 and eight < 0.01


@pytest.mark.slow
def test_what_it_shares_with_the_decoder_is_written_once(networks, known, tmp_path, monkeypatch):
    monkeypatch.setattr(dynamics, "Still", Still, raising=False)  # a file's kinds are in modules of the package
    monkeypatch.setattr(Still, "__module__", "magbook.dynamics")
    model = readout.of_cells(networks[1], *known[:2], (2, 4))
    film = Film((80e-9, 40e-9, 5e-9), (NX, NY))
    sizes = []
    for name, read in (("without", None), ("with", model)):
        ReducedOrderModel(*networks, Still(), film=film, readout=read).save(tmp_path / f"{name}.npz")
        with np.load(tmp_path / f"{name}.npz") as z:
            sizes.append(sum(z[one].size for one in z.files if one != "header"))
    assert sizes[1] - sizes[0] == 12 * 24 + 24 + 24 * 3 + 3  # rows of the components, and the linear map
    again = ReducedOrderModel.load(tmp_path / "with.npz")
    np.testing.assert_array_equal(again.readout.predict(known[2], verbose=0), model.predict(known[2], verbose=0))
    np.testing.assert_array_equal(again.decoder.predict(known[2], verbose=0), networks[1].predict(known[2], verbose=0))


@dataclass(eq=False)
class Still(Dynamics):
    """It stays where it is."""

    latent, every = LATENT, 1e-11

    def rollout(self, first, fields):
        return np.repeat(first, fields.shape[1], axis=1)


@pytest.mark.slow
def test_a_trained_one_beats_a_linear_map(known, tmp_path):
    c, mean, unseen, unseen_mean = known
    network, history = readout.train(c, mean, (unseen, unseen_mean), tmp_path, **SHORT)
    assert off(network, unseen, unseen_mean) < linear_off(*known) / 2
    assert min(row["error"] for row in history) == pytest.approx(off(network, unseen, unseen_mean), rel=1e-4)


@pytest.mark.slow
def test_a_training_that_stopped_goes_on_to_the_same(known, tmp_path):
    c, mean, *test = known
    straight, _ = readout.train(c, mean, test, **SHORT | dict(epochs=3))

    def stop(history):
        if len(history) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        readout.train(c, mean, test, tmp_path, callback=stop, **SHORT | dict(epochs=3))
    resumed, history = readout.train(c, mean, test, tmp_path, **SHORT | dict(epochs=3))
    assert len(history) == 3
    for one, other in zip(straight.get_weights(), resumed.get_weights()):
        np.testing.assert_allclose(one, other, atol=1e-6)
    with pytest.raises(ValueError, match="differs in data"):
        readout.train(c, mean + 1e-3, test, tmp_path, **SHORT)


def test_what_does_not_fit_is_refused(networks, known):
    c, mean, *_ = known
    with pytest.raises(ValueError, match="^decoder: it is not one"):
        readout.of_cells(keras.Sequential([keras.Input((LATENT,)), keras.layers.Dense(6)]), c, mean)
    with pytest.raises(ValueError, match=r"^cells: got \(5, 4\); .* at most the decoder's 4 and 4"):
        readout.of_cells(networks[1], c, mean, (5, 4))
    with pytest.raises(ValueError, match=r"^mean: got shape \(999, 3\); \(n, 3\) is needed, with n = 1000"):
        readout.of_cells(networks[1], c, mean[1:])
    with pytest.raises(ValueError, match=r"^c: got shape \(1000, 2\); \(n, latent\) is needed, with latent = 3"):
        readout.of_cells(networks[1], c[:, :2], mean)
    with pytest.raises(ValueError, match=r"^validation: got shape"):
        readout.train(c, mean, (c[:, :2], mean), **SHORT)
    with pytest.raises(ValueError, match=r"^readout: it goes from \(3,\) to \(8, 16, 3\)"):
        ReducedOrderModel(*networks, Still(), film=Film((80e-9, 40e-9, 5e-9), (NX, NY)), readout=networks[1])


def test_a_model_reads_as_its_dynamics_knows_or_its_readout_or_its_decoder(networks, known):
    c, film = known[2], Film((80e-9, 40e-9, 5e-9), (NX, NY))
    given = readout.of_cells(networks[1], *known[:2], (2, 4))
    knows = Still()
    knows.averages = lambda c: 0 * c + 7
    plain, with_readout, with_both = (ReducedOrderModel(*networks, one, film=film, readout=read) for one, read in (
        (Still(), None), (Still(), given), (knows, given)))
    np.testing.assert_allclose(plain.read(c), whole(networks[1], c), atol=1e-6)
    np.testing.assert_allclose(with_readout.read(c), given.predict(c, verbose=0), atol=1e-6)
    np.testing.assert_array_equal(with_both.read(c), np.full((len(c), 3), 7))
    several = c[:90].reshape(9, 10, LATENT)
    np.testing.assert_allclose(with_readout.read(several), with_readout.read(c[:90]).reshape(9, 10, 3), atol=1e-6)
    assert plain.read(c[:0]).shape == (0, 3)
    with pytest.raises(ValueError, match="^c: it holds numbers that are not finite"):
        plain.read(c * np.nan)


@pytest.mark.slow
@pytest.mark.parametrize("name, own_error", [("atlas", 0.0041), ("paper", 0.0168)])
def test_those_that_ship_are_an_order_better_than_their_models(name, own_error):
    """On fields that no training drew, over 1 ns; what the models themselves are off by is chapter 8's, from the hundred fields that test them."""
    rom = load_rom(name)
    fields = applied.fan(12, seed=77, **rom.fan)
    read, drawn = rom.averages(fields), np.stack([run.mean for run in rom.simulate(fields)])
    n = 1 + rom.dynamics.history
    np.testing.assert_allclose(read[:, :n], drawn[:, :n], atol=1e-6)
    wrong = np.abs(read - drawn)[:, n:].mean(axis=(1, 2))
    assert np.median(wrong) < own_error / 9 and wrong.max() < own_error / 2
