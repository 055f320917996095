"""The driven model: symmetries of the film and of the model, its parts, its training, and the one that ships."""

import numpy as np
import pytest

from magbook import applied, dataset, driven, llg, metrics, sp4
from magbook._keras import keras
from magbook.driven import IMAGES, Driven, Projected
from magbook.dynamics import Dynamics
from magbook.film import Film, unit
from magbook.made import ch8
from magbook.rom import ReducedOrderModel, load_rom

FILM = Film((128e-9, 32e-9, 3e-9), (32, 8))
SIGNAL = applied.joined([applied.rotating(40e-3, 2e9), applied.step((-60e-3, 11e-3))], [1e-10, 1e-10])


def mirrored(signal, x, y):
    return lambda t: signal(t) * (x, y, 1)


@pytest.fixture(scope="module")
def run():
    return llg.simulate(SIGNAL, FILM, duration=2e-10, progress=False)


@pytest.fixture(scope="module")
def basis(run):
    """Six components of a run and its images, and their parities."""
    return driven.components(run.m[1:], 6)


@pytest.fixture(scope="module")
def model(basis):
    """An untrained one, with weights that are not small."""
    whole, parities = basis
    network = driven.network(np.linspace(1, 0.3, 6), (16, 16), seed=3)
    for layer in network.layers[1:-1]:
        layer.set_weights([w + 0.3 * np.random.default_rng(1).standard_normal(w.shape) for w in layer.get_weights()])
    return Driven(network, parities, whole.mean(axis=(1, 2)))


def fields(n, nt, seed=0):
    return np.random.default_rng(seed).uniform(-45e-3, 45e-3, (n, nt, 2)).astype(np.float32)


def firsts(n, latent=6, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 1, latent)).astype(np.float32)


# ---------------------------------------------------------------------------- symmetry


@pytest.mark.slow
@pytest.mark.parametrize("x, y", IMAGES)
def test_the_image_of_a_run_is_a_run(run, x, y):
    other = llg.simulate(mirrored(SIGNAL, x, y), FILM, driven.image(run.m[0], x, y), 2e-10, progress=False)
    np.testing.assert_allclose(other.m, driven.image(run.m, x, y), atol=2e-4)
    assert np.ptp(run.mean[:, 0]) > 0.5  # something happened


def test_a_film_stays_even(run):
    np.testing.assert_allclose(run.m, run.m[:, ::-1, ::-1], atol=2e-4)


def test_images_are_a_group():
    m = np.random.default_rng(0).standard_normal((2, 4, 8, 3))
    for x, y in IMAGES:
        np.testing.assert_array_equal(driven.image(driven.image(m, x, y), x, y), m)
        np.testing.assert_array_equal(driven.image(driven.image(m, x, 1), 1, y), driven.image(m, x, y))


def test_the_image_of_a_field_is_its_mirror_image():
    """What a uniform state in a field is turned to: its mean goes with the field."""
    m = np.broadcast_to([0.6, 0.8, 0.0], (4, 8, 3))
    for x, y in IMAGES:
        np.testing.assert_allclose(driven.image(m, x, y)[0, 0], (0.6 * x, 0.8 * y, 0))


def test_components_are_orthonormal_and_of_one_parity_each(run, basis):
    whole, parities = basis
    flat = whole.reshape(6, -1)
    np.testing.assert_allclose(flat @ flat.T / (FILM.nx * FILM.ny), np.eye(6), atol=1e-5)
    encoder, _ = driven.networks(whole)
    c = encoder.predict_on_batch(run.m)
    for x, y in IMAGES:
        signs = np.where(parities[:, 0] < 0, x, 1) * np.where(parities[:, 1] < 0, y, 1)
        np.testing.assert_allclose(encoder.predict_on_batch(np.ascontiguousarray(driven.image(run.m, x, y))), signs * c, atol=1e-5)


def test_no_other_six_hold_more_of_a_run_and_its_images(run, basis):
    """Against the singular values of all four images at once."""
    states = np.concatenate([driven.image(run.m[1:], x, y) for x, y in IMAGES]).reshape(80, -1)
    best = np.linalg.svd(states, compute_uv=False)[6:]
    flat = basis[0].reshape(6, -1)
    left = states - states @ flat.T @ flat / (FILM.nx * FILM.ny)
    assert np.linalg.norm(left) == pytest.approx(np.linalg.norm(best), rel=1e-2)


@pytest.mark.slow
def test_the_model_moves_images_as_images(model):
    first, b = firsts(5), fields(5, 40)
    c = model.rollout(first, b)
    assert 0.1 < np.abs(c[:, -1] - first[:, 0]).max() < 1e3
    for x, y in IMAGES:
        flips = np.where(model.parities[:, 0] < 0, x, 1) * np.where(model.parities[:, 1] < 0, y, 1)
        np.testing.assert_allclose(model.rollout((first * flips).astype(np.float32), b * np.float32([x, y])), c * flips, rtol=1e-5, atol=1e-5)


# ---------------------------------------------------------------------------- the parts


def test_a_rollout_begins_with_the_start_and_sees_no_field_before_it_acts(model):
    first, b = firsts(3), fields(3, 20)
    c = model.rollout(first, b)
    np.testing.assert_array_equal(c[:, :1], first)
    other = b.copy()
    other[:, 0], other[:, 12:] = 1.0, 0.0
    np.testing.assert_array_equal(model.rollout(first, other)[:, :12], c[:, :12])
    assert np.abs(model.rollout(first, other)[:, 12] - c[:, 12]).min() > 0


@pytest.mark.parametrize("mirror", [True, False])
def test_what_is_trained_and_what_rolls_out_agree(model, mirror):
    one = model if mirror else Driven(model.network, None, model.readout)
    first, b = firsts(4), fields(4, 7)
    ahead = driven.look_ahead(driven.step(one.network, one.parities), 6)
    np.testing.assert_allclose(ahead.predict_on_batch([first[:, 0], b[:, 1:]]), one.rollout(first, b)[:, 1:], rtol=1e-4, atol=1e-5)
    next_one = one.networks()["predictor"].predict_on_batch([first[:, 0], b[:, 1]])
    np.testing.assert_allclose(next_one, one.rollout(first, b)[:, 1], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_thousand_fields_at_once_are_a_thousand_fields(model, basis):
    encoder, decoder = driven.networks(basis[0])
    rom = ReducedOrderModel(encoder, decoder, model, film=FILM, fan={"angle": 0, "opening": 360, "strength": [0, 45e-3]})
    many = applied.fan(130, 3, angle=0, opening=360, strength=(0, 45e-3))
    mean = rom.averages(many, duration=1e-10)
    for k in (0, 1, 127, 128, 129):  # also across what is rolled out at once
        one, b = mean[k], many[k]
        np.testing.assert_allclose(one, rom.averages(b, duration=1e-10), atol=1e-5)
        np.testing.assert_allclose(one[1:], model.averages(rom.latents(lambda t, b=b: b, duration=1e-10))[1:], atol=1e-5)
    np.testing.assert_allclose(mean[:, 0], np.tile(llg.s_state(FILM).mean(axis=(0, 1)), (130, 1)), atol=1e-6)


def test_an_average_that_runs_away_is_nan(model, basis):
    rom = ReducedOrderModel(*driven.networks(basis[0]), model, film=FILM, largest=1e-3)
    with pytest.warns(RuntimeWarning, match="2 of 2 rollouts ran away"):
        mean = rom.averages([(0.01, 0), (0, 0.01)], duration=1e-10)
    assert np.isfinite(mean[:, 0]).all() and np.isnan(mean[:, 1:]).all()


@pytest.mark.parametrize("name, wrong", [("network", dict(network=keras.Sequential([keras.Input((9,)), keras.layers.Dense(6)]))), ("readout", dict(readout=np.ones((6, 3))))])
def test_parts_that_do_not_fit(model, name, wrong):
    with pytest.raises((ValueError, TypeError), match=f"^{name}: "):
        Driven(**dict(network=model.network, parities=model.parities, readout=model.readout) | wrong)


def test_film_averages_need_no_decoding(run, basis):
    """They are those of what the components hold, before it is scaled to unit vectors."""
    whole, parities = basis
    encoder, _ = driven.networks(whole)
    c = encoder.predict_on_batch(run.m)
    one = Driven(driven.network(np.ones(6), (4,)), parities, whole.mean(axis=(1, 2)))
    np.testing.assert_allclose(one.averages(c), np.tensordot(c, whole, axes=1).mean(axis=(1, 2)), atol=1e-5)


@pytest.mark.slow
def test_nothing_learned_and_nothing_left_out_is_the_solver():
    film = Film((32e-9, 16e-9, 3e-9), (8, 4))
    q = np.linalg.qr(np.random.default_rng(0).standard_normal((96, 96)))[0]
    whole = q.reshape(96, 4, 8, 3) * np.sqrt(32)
    one = Projected(whole, film, every=1e-12, substeps=40)
    start, signal = llg.s_state(film), applied.rotating(60e-3, 5e9)
    want = llg.simulate(signal, film, start, 3e-11, 1e-12, progress=False)
    first = np.tensordot(start, whole, axes=([0, 1, 2], [1, 2, 3]))[None, None] / 32
    b = np.concatenate([np.zeros((1, 3)), applied.means(signal, want.t)])[None, :, :2]
    c = one.rollout(first.astype(np.float32), b)
    np.testing.assert_allclose(np.tensordot(c[0], whole, axes=1), want.m, atol=2e-3)
    np.testing.assert_allclose(one.averages(c)[0], want.mean, atol=1e-3)


# ---------------------------------------------------------------------------- training

STAGES = [dict(steps=1, epochs=3, updates=20, batch=32, learning_rate=1e-2), dict(steps=4, epochs=2, updates=10, batch=16, learning_rate=3e-3)]


def turning(n, seed):
    """Trajectories of two damped numbers that follow the field, and a third that follows their product: of definite parities."""
    b = fields(n, 31, seed)
    c = np.zeros((n, 31, 3), np.float32)
    c[:, 0] = np.random.default_rng(seed).uniform(-1, 1, (n, 3))
    for k in range(1, 31):
        c[:, k, :2] = 0.95 * c[:, k - 1, :2] + 5 * b[:, k]
        c[:, k, 2] = 0.9 * c[:, k - 1, 2] + 0.3 * c[:, k - 1, 0] * c[:, k - 1, 1]
    return c, b


PARITIES, READOUT = np.array([[-1, 1], [1, -1], [-1, -1]]), np.eye(3)


def trained(folder=None, stages=STAGES, **options):
    return driven.train(*turning(40, 0), turning(8, 1), PARITIES, READOUT, folder, widths=(24,), stages=stages, progress=False, **options)


@pytest.mark.slow
def test_training_learns_and_each_stage_resumes_to_the_same(tmp_path):
    dynamics, history = trained(tmp_path / "whole")
    assert [row["epoch"] for row in history] == [1, 2, 3, 1, 2]
    assert history[-1]["error"] < 0.5 * history[0]["error"]

    class Stopped(Exception):
        pass

    def stop(history):
        if history[-1]["epoch"] == 2 and len(history) == 2:
            raise Stopped

    with pytest.raises(Stopped):
        trained(tmp_path / "parts", callback=stop)
    again, other = trained(tmp_path / "parts")
    for a, b in zip(dynamics.network.get_weights(), again.network.get_weights()):
        np.testing.assert_array_equal(a, b)
    assert [row["error"] for row in other] == [row["error"] for row in history]


def test_a_rollout_that_runs_away_counts_as_two():
    class Away(Driven):
        def rollout(self, first, fields):
            c = np.repeat(first, fields.shape[1], axis=1)
            c[0, 5:] = np.nan
            return c

    c, b = turning(2, 0)
    errors = driven.rollout_errors(Away(driven.network(np.ones(3), (4,)), PARITIES, READOUT), c, b, 10)
    assert errors.shape == (6,) and errors[0] > 1 and errors.max() <= 2


@pytest.mark.parametrize("name, wrong", [
    ("latents", dict(latents=np.zeros((2, 5)))), ("latents", dict(fields=np.zeros((2, 5, 2)))), ("fields", dict(fields=np.zeros((4, 31, 3)))), ("parities", dict(parities=[[1, 1]] * 3)),
    ("readout", dict(readout=np.zeros((2, 3)))), ("noise", dict(noise=-1)), ("weight", dict(weight=np.nan)), ("validation", dict(validation=3)),
    ("stages", dict(stages=[STAGES[0] | {"steps": 31}])), ("stages", dict(stages=[{"steps": 3}])), ("stages", dict(stages=5))])
def test_what_cannot_be_trained(name, wrong):
    c, b = turning(4, 0)
    good = dict(latents=c, fields=b, validation=(c, b), parities=PARITIES, readout=READOUT)
    with pytest.raises((ValueError, TypeError), match=f"^{name}: "):
        driven.train(**good | wrong)


# ---------------------------------------------------------------------------- other networks in its place


@pytest.mark.parametrize("fed_back", [False, True])
def test_a_recurrent_network_moves_images_as_images_and_sees_no_field_before_it_acts(fed_back):
    one = ch8.Rolled(ch8.recurrent(np.array([1, 0.5, 0.2]), PARITIES, fed_back, width=8), READOUT)
    first, b = firsts(5, 3), fields(5, 12)
    c = one.rollout(first, b)
    np.testing.assert_array_equal(c[:, :1], first)
    for x, y in IMAGES:
        flips = np.where(PARITIES[:, 0] < 0, x, 1) * np.where(PARITIES[:, 1] < 0, y, 1)
        np.testing.assert_allclose(one.rollout((first * flips).astype(np.float32), b * np.float32([x, y])), c * flips, rtol=1e-5, atol=1e-6)
    other = b.copy()
    other[:, 0], other[:, 8:] = 1.0, 0.0
    np.testing.assert_allclose(one.rollout(first, other)[:, :8], c[:, :8], rtol=1e-5, atol=1e-6)
    assert np.abs(one.rollout(first, other)[:, 8] - c[:, 8]).max() > 1e-3


def test_a_step_downhill_never_raises_the_energy():
    """Whatever its weights, in the field that it sees; a step that falls by itself is as it was."""
    rng = np.random.default_rng(0)
    root = rng.standard_normal((3, 3))
    stiffness, scale = root @ root.T, np.array([1, 0.5, 0.2])
    one, plain = ch8.step_downhill(scale, PARITIES, stiffness, READOUT), driven.step(driven.network(scale), PARITIES)
    c, b = 3 * rng.standard_normal((500, 3)).astype(np.float32), fields(500, 1)[:, 0]

    def energy(c):
        return np.einsum("ni,ij,nj->n", c, stiffness, c) / 2 - (c[:, :2] * b).sum(axis=1)

    free, held = plain.predict_on_batch([c, b]), one.predict_on_batch([c, b])
    rises = energy(free) > energy(c)
    assert 50 < rises.sum() < 450
    np.testing.assert_allclose(energy(held)[rises], energy(c)[rises], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(held[~rises], free[~rises], rtol=1e-5, atol=1e-6)


def test_the_energy_of_latent_states_is_the_films():
    film, rng = dataset.COARSE, np.random.default_rng(0)
    one, other = (unit(rng.standard_normal((film.ny, film.nx, 3))) for _ in range(2))
    whole = np.stack([one, unit(np.cross(one, other))])  # at right angles, so that all these are of unit vectors
    c, b = np.array([(np.cos(a), np.sin(a)) for a in range(5)]), np.array([20e-3, -5e-3])
    ours = np.einsum("ni,ij,nj->n", c, ch8.energy(whole), c) / 2 - np.tensordot(c, whole, 1).mean(axis=(1, 2))[:, :2] @ b
    theirs = [llg.energies(m, film, b)["total"] for m in np.tensordot(c, whole, 1)]
    np.testing.assert_allclose(ours, np.array(theirs) / (film.Ms * film.cell_volume * film.nx * film.ny), rtol=1e-5)


def test_an_affine_step_is_affine_in_the_field_and_moves_images_as_images():
    step = ch8.step_affine(np.array([1, 0.5, 0.2]), PARITIES)
    c, b = firsts(50, 3)[:, 0], fields(50, 2)
    zero, one, other, between = (step.predict_on_batch([c, x]) for x in (0 * b[:, 0], b[:, 0], b[:, 1], b[:, 0] / 4 + b[:, 1] / 2))
    np.testing.assert_allclose(between, zero / 4 + one / 4 + other / 2, atol=1e-5)
    assert np.abs(one - zero).min(axis=0).max() > 1e-4 and np.abs((one - zero)[1:] - (one - zero)[:-1]).max() > 1e-2
    for x, y in IMAGES:
        flips = np.float32(np.where(PARITIES[:, 0] < 0, x, 1) * np.where(PARITIES[:, 1] < 0, y, 1))
        np.testing.assert_allclose(step.predict_on_batch([c * flips, b[:, 0] * np.float32([x, y])]), one * flips, atol=1e-6)


def test_a_polynomial_finds_the_rule_that_is_one():
    """`turning` steps by a product of two numbers: of degree 2. It moves images as images, and no state becomes longer than one."""
    (c, b), validation = turning(40, 0), turning(8, 1)
    c, validation = c / 4, (validation[0] / 4, validation[1])  # so that no state is longer than one
    one, ridge = ch8.fitted(c, b, validation, PARITIES, READOUT, 2)
    assert ridge <= 1e-6 and one.coefficients.shape == (21, 3)
    np.testing.assert_allclose(one.rollout(validation[0][:, :1], validation[1]), validation[0], atol=1e-3)
    first, driving = firsts(5, 3) / 4, fields(5, 12)
    for x, y in IMAGES:
        flips = np.float32(np.where(PARITIES[:, 0] < 0, x, 1) * np.where(PARITIES[:, 1] < 0, y, 1))
        np.testing.assert_allclose(one.rollout(first * flips, driving * np.float32([x, y])), one.rollout(first, driving) * flips, atol=1e-6)
    assert np.linalg.norm(one.rollout(first, 100 * driving)[:, 1:], axis=-1).max() <= 1 + 1e-5


def test_products_are_those_of_up_to_so_many_numbers():
    x = np.array([[2.0, 3.0], [5.0, 7.0]])
    np.testing.assert_array_equal(ch8.products(x, ch8.factors(2, 2)), [[1, 2, 3, 4, 6, 9], [1, 5, 7, 25, 35, 49]])
    assert len(ch8.factors(4, 3)) == 35


def test_a_sum_over_few_cells_comes_near_to_that_over_all(run, basis):
    """A cell's weight is how many it stands for: ones are the whole sum. Those chosen are positive, and more of them do better."""
    whole, parities = basis
    c = np.tensordot(run.m[1:], whole, axes=([1, 2, 3], [1, 2, 3])).astype(np.float32) / 256
    b, first = fields(1, 21), c[None, :1]
    every = Projected(whole, FILM).rollout(first, b)
    np.testing.assert_array_equal(Projected(whole, FILM, weights=np.ones((8, 32))).rollout(first, b), every)
    off = []
    for n in (4, 20):
        weights = ch8.few_cells(whole, FILM, c, fields(len(c), 1)[:, 0], parities, n)
        assert weights.min() == 0 and (weights > 0).sum() == n
        off.append(np.abs(Projected(whole, FILM, weights=weights).rollout(first, b) - every).max())
    assert off[1] < 0.1 * off[0] and weights.sum() == pytest.approx(256, rel=0.1)


def test_all_components_leave_nothing_over_and_some_do():
    """In each image; eight cells that are even under inversion have twelve components, four of each sign of mean mx and my."""
    film, rng = Film((16e-9, 8e-9, 3e-9), (4, 2)), np.random.default_rng(0)
    sizes = 2, 4, 4, 2
    parts = [np.linalg.svd(driven._part(rng.standard_normal((k, 2, 4, 3)), *signs).reshape(k, -1), full_matrices=False)[2] for k, signs in zip(sizes, IMAGES)]
    whole, parities = np.sqrt(8) * np.concatenate(parts).reshape(12, 2, 4, 3).astype(np.float32), np.repeat(IMAGES, sizes, axis=0)
    m = rng.standard_normal((50, 2, 4, 3))
    m, b = unit(m + m[:, ::-1, ::-1]), fields(50, 1)[:, 0]
    c, rates = (m.reshape(50, -1) @ whole.reshape(12, -1).T / 8).astype(np.float32), ch8.true_rates(whole, film, m, b)
    pairs, driving = ch8.left_over(Projected(whole, film), parities, c, b, rates)
    assert np.abs(1e-11 * rates).max() > 0.1
    np.testing.assert_allclose(pairs[:, 1], pairs[:, 0], atol=1e-5)
    np.testing.assert_allclose(np.abs(pairs[:, 0]), np.abs(c), atol=1e-6)
    assert (pairs[:, 0, driven._leading(parities)] >= 0).all() and (np.abs(driving) == np.abs(b)[:, None]).all()
    fewer = np.arange(12)[::2]
    pairs, _ = ch8.left_over(Projected(whole[fewer], film), parities[fewer], c[:, fewer], b, rates[:, fewer])
    assert np.abs(pairs[:, 1] - pairs[:, 0]).max() > 0.1


def test_a_closure_that_adds_nothing_is_the_projected_equation(run, basis):
    """In the image that it is asked about, of whatever cells; the others are its images, also where it adds something."""
    whole, parities = basis
    weights = np.zeros((8, 32))
    weights[::3, 1::4] = 11
    one = Projected(whole, FILM, weights=weights, substeps=2)
    c, b = np.tensordot(run.m, whole, axes=([1, 2, 3], [1, 2, 3])).astype(np.float32) / 256, fields(len(run.m), 2)
    c = np.where((parities == (-1, 1)).all(axis=1) | (parities == (1, -1)).all(axis=1), np.abs(c), c)  # the upper right
    network = driven.network(np.linspace(1, 0.3, 6), (16,))
    step = ch8.step_closed(one, network, parities)
    moved = step.predict_on_batch([c, b[:, 1]])
    for x, y in IMAGES:
        flips = np.float32(np.where(parities[:, 0] < 0, x, 1) * np.where(parities[:, 1] < 0, y, 1))
        np.testing.assert_allclose(step.predict_on_batch([c * flips, b[:, 1] * np.float32([x, y])]), moved * flips, atol=1e-5)
    network.set_weights([0 * w for w in network.get_weights()])
    bare = one.rollout(c[:, None], b)[:, 1]
    assert np.abs(bare - moved).max() > 1e-2
    np.testing.assert_allclose(step.predict_on_batch([c, b[:, 1]]), bare, atol=1e-5)
    np.testing.assert_allclose(ch8.in_turn(ch8.Stepped(step)).predict_on_batch([c, b[:, [1, 1]]])[:, 0], bare, atol=1e-5)


@pytest.mark.slow
def test_the_solver_on_few_cells_is_the_solver_until_it_is_corrected(basis):
    """Then its vectors still have length one, and images are images. In a constant field: of others the cell sees means."""
    run = llg.simulate((-60e-3, 11e-3), FILM, duration=1e-10, progress=False)
    whole, parities = basis
    cell = ch8.CorrectedCell(FILM, whole, parities, np.linspace(1, 0.3, 6), substeps=12)
    model = ch8.in_turn(cell)
    b = np.full((1, 10, 2), (-60e-3, 11e-3), np.float32)
    first = ch8.as_numbers(run.m[:1].astype(np.float32))
    np.testing.assert_allclose(model.predict_on_batch([first, b])[0], ch8.as_numbers(run.m[1:]), atol=1e-3)
    cell.change.trainable_weights[-2].assign(0.1 * np.random.default_rng(0).standard_normal(cell.change.trainable_weights[-2].shape))
    moved = model.predict_on_batch([first, b])[0]
    assert np.abs(moved - ch8.as_numbers(run.m[1:])).max() > 5e-3
    np.testing.assert_allclose((16 * moved.reshape(-1, 3, 256)**2).sum(axis=1), 1 / 16, rtol=1e-4)
    for x, y in IMAGES[1:]:
        other = model.predict_on_batch([ch8.as_numbers(driven.image(run.m[:1], x, y).astype(np.float32)), b * np.float32([x, y])])[0]
        there = np.moveaxis(moved.reshape(-1, 3, 8, 32), 1, -1)
        np.testing.assert_allclose(other, np.moveaxis(driven.image(there, x, y), -1, 1).reshape(len(other), -1), atol=1e-4)


@pytest.mark.slow
def test_a_recurrent_network_learns_what_a_step_learns():
    known, validation = turning(40, 0), turning(8, 1)
    model = ch8.recurrent(driven.scales(known[0]), PARITIES, True, width=24)
    stages = [dict(steps=8, epochs=4, updates=30, batch=32, learning_rate=1e-2)]
    history = driven.fit(lambda steps: model, lambda: ch8.Rolled(model, READOUT), known, validation, READOUT, stages=stages, progress=False)
    assert history[-1]["error"] < 0.5 * driven.rollout_errors(Still(), *validation).mean()


class Still(Dynamics):
    """Nothing moves."""

    latent, every, means = 3, 1e-11, True

    def rollout(self, first, fields):
        return np.repeat(first, fields.shape[1], axis=1)

    def averages(self, c):
        return c @ READOUT


@pytest.mark.slow
def test_a_step_from_the_past_remembers_what_was():
    """What it answers is again a trajectory with its past, and the film was at rest before it began."""
    c, b = turning(3, 0)
    past = ch8.delayed(c, 4)
    np.testing.assert_array_equal(past[:, 0], np.tile(c[:, 0], 4))
    np.testing.assert_array_equal(past[:, 9].reshape(3, 4, 3), c[:, 9:5:-1])
    step = ch8.step_from_the_past(driven.scales(past), PARITIES)
    one = ch8.Rolled(driven.look_ahead(step, 30), np.pad(READOUT, ((0, 9), (0, 0))))
    out = one.rollout(past[:, :1], b)
    newest = out[:, :, :3]
    assert np.abs(newest[:, -1] - newest[:, 0]).max() > 0.1
    np.testing.assert_allclose(out, ch8.delayed(newest, 4), atol=1e-5)
    np.testing.assert_allclose(one.averages(out), newest, atol=1e-6)


# ---------------------------------------------------------------------------- the one that ships


@pytest.fixture(scope="module")
def shipped():
    return load_rom("driven")


def test_it_is_small(shipped, root):
    assert (root / "data" / "rom_driven.npz").stat().st_size < 5e6
    assert shipped.latent <= 64 and shipped.dynamics.history == 0 and shipped.film == dataset.COARSE


@pytest.mark.slow
def test_it_beats_the_solver_on_a_grid_of_more_numbers(shipped):
    """Signals of the test runs, from the start and from where the film is after 1 ns."""
    signals = dataset.fields("driven")
    for i in dataset.split(len(signals))["test"][:3]:
        true = llg.simulate(signals[i], shipped.film, duration=2e-9, progress=False)
        coarse = llg.simulate(signals[i], Film(cells=(16, 4)), duration=2e-9, progress=False)
        off, rival = (metrics.film_average_error(one[1:], true.mean[1:]) for one in (shipped.averages(signals[i], duration=2e-9), coarse.mean))
        assert off < 0.06 and off < rival
        late = lambda t, i=i: signals[i](t + 1e-9)
        assert metrics.film_average_error(shipped.averages(late, true.m[100])[1:], true.mean[101:]) < 0.06


@pytest.mark.slow
def test_its_film_averages_are_those_of_its_states(shipped):
    run = shipped.simulate(sp4.FIELD_1)
    np.testing.assert_allclose(shipped.averages(sp4.FIELD_1), run.mean, atol=0.03)


@pytest.mark.slow
def test_it_starts_from_images_and_says_what_it_cannot_hold(shipped):
    start = llg.s_state(shipped.film)
    mean = shipped.averages(sp4.FIELD_1)
    b = np.array(sp4.FIELD_1)
    np.testing.assert_allclose(shipped.averages(b * (-1, 1, 1), driven.image(start, -1, 1)), mean * (-1, 1, -1), atol=1e-4)
    x, y = np.meshgrid(shipped.film.x - shipped.film.x.mean(), shipped.film.y - shipped.film.y.mean())
    vortex = np.stack([-y, x, np.full_like(x, 5e-9)], axis=-1)
    vortex /= np.linalg.norm(vortex, axis=-1, keepdims=True)
    with pytest.raises(ValueError, match=r"^start: this model's \d+ numbers hold it to a relative L2 error of 1\.4"):
        shipped.averages(sp4.FIELD_1, vortex)
    with pytest.warns(UserWarning, match="outside the fan"):
        shipped.averages((60e-3, 0))


def test_a_start_that_cannot_be_held_is_refused_before_the_first_step(basis, model, run):
    whole, _ = basis
    rom = ReducedOrderModel(*driven.networks(whole), model, film=FILM, held=0.2)
    rom.averages(SIGNAL, run.m[5], duration=1e-10)
    walls = np.where(np.arange(32) % 8 < 4, 1.0, -1.0)[:, None] * np.ones((8, 32, 1)) * (0, 1, 0)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^start: this model's 6 numbers hold it to a relative L2 error of \d.*; .* to 0.2$"):
            rom.averages(SIGNAL, walls, duration=1e-10)


def test_a_file_holds_it(basis, model, run, tmp_path):
    rom = ReducedOrderModel(*driven.networks(basis[0]), model, film=FILM, held=0.5)
    rom.save(tmp_path / "rom.npz")
    again = ReducedOrderModel.load(tmp_path / "rom.npz")
    assert again.held == 0.5 and again.dynamics.means
    np.testing.assert_allclose(again.averages(SIGNAL, duration=1e-10), rom.averages(SIGNAL, duration=1e-10), atol=1e-5)


@pytest.mark.slow
def test_a_run_of_ones_own_in_a_field_that_moves():
    """It is no difference that the field moves, nor that the run begins elsewhere, and the model sees the field's means."""
    rom, ramp = load_rom("driven"), applied.ramp((10e-3, 20e-3), (-30e-3, 10e-3), 0.5e-9)
    start = llg.relax(rom.film, (0, 30e-3), progress=False)
    run = llg.simulate(ramp, rom.film, start, 1e-9, progress=False)
    found = rom.compare(run)
    assert found.differences == []
    theirs = metrics.film_average_error(rom.averages(ramp, start, 1e-9), run.mean)
    assert found.errors["the model"]["film average"] == pytest.approx(theirs, abs=1e-3) and theirs < 0.03
