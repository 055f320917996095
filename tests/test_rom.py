"""The reduced order model in one piece: states to latents and back, through time, to files, and what it refuses."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator

import keras
import numpy as np
import pytest

from magbook import autoencoder, llg, pca, pod, stepper
from magbook.dataset import SCALE
from magbook.film import Film
from magbook.rom import CHUNK, ReducedOrderModel, load_rom
from magbook.trajectory import Trajectory

FILM = Film((32e-9, 16e-9, 3e-9), (16, 8))
DISC = FILM.replace(mask=lambda x, y: (x / 16e-9)**2 + (y / 8e-9)**2 <= 1)
FAN = {"angle": 180.0, "opening": 44.0, "strength": [22e-3, 41e-3]}
FIELD = (-25e-3, 4e-3)
FIELDS = [FIELD, (-30e-3, 0), (-35e-3, -6e-3)]


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def unit_vectors(*shape, seed=0):
    m = random(*shape, 3, seed=seed)
    return m / np.linalg.norm(m, axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def networks():
    """Untrained: encoder, decoder and predictor of three numbers."""
    return *autoencoder.build(3, (8, 16, 3), (4, 8), seed=1), stepper.build(3, (8, 8), seed=1)


def model(networks, **changes):
    return ReducedOrderModel(*networks, **dict(scale=2.0, reach=1e3, film=FILM, fan=FAN, info={"seed": 1}) | changes)


@pytest.fixture(scope="module")
def rom(networks):
    return model(networks)


@pytest.fixture(scope="module")
def run(rom):
    return rom.simulate(FIELD)


# ---------------------------------------------------------------------------- between states and latents


def test_one_state_and_many(rom):
    m = unit_vectors(2 * CHUNK + 3, 8, 16)
    c = rom.encode(m)
    assert c.shape == (2 * CHUNK + 3, 3) and c.dtype == np.float32 and np.ptp(c, axis=0).min() > 0.1
    back = rom.decode(c)
    assert back.shape == m.shape and back.dtype == np.float32
    for i in (0, CHUNK - 1, CHUNK, 2 * CHUNK + 2):  # also across what goes through the network at once
        one = rom.encode(m[i])
        assert one.shape == (3,) and rom.decode(one).shape == (8, 16, 3)
        np.testing.assert_allclose(one, c[i], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(rom.decode(one), back[i], rtol=1e-5, atol=1e-6)
    nested = rom.encode(m[:6].reshape(2, 3, 8, 16, 3))
    np.testing.assert_allclose(nested.reshape(6, 3), c[:6], rtol=1e-5, atol=1e-6)
    assert rom.decode(nested).shape == (2, 3, 8, 16, 3)
    assert rom.encode(m[:0]).shape == (0, 3) and rom.decode(c[:0]).shape == (0, 8, 16, 3)


def test_states_as_a_data_set_stores_them(rom):
    m = unit_vectors(4, 8, 16)
    np.testing.assert_allclose(rom.encode(np.rint(m * SCALE).astype(np.int16)), rom.encode(m), atol=1e-3)


def test_unit_length(rom):
    c = rom.encode(unit_vectors(4, 8, 16))
    raw, unit = rom.decode(c), rom.decode(c, unit=True)
    assert np.abs(np.linalg.norm(raw, axis=-1) - 1).max() > 0.1
    np.testing.assert_allclose(np.linalg.norm(unit, axis=-1), 1, atol=1e-6)
    np.testing.assert_allclose(unit * np.linalg.norm(raw, axis=-1, keepdims=True), raw, atol=1e-6)


def test_outside_the_mask(networks):
    disc, m = model(networks, film=DISC), unit_vectors(8, 16) * DISC.inside[..., None]
    c = disc.encode(m)
    for unit in (False, True):
        out = disc.decode(c, unit)
        assert np.isfinite(out).all() and not out[~DISC.inside].any() and out[DISC.inside].all()
    m[~DISC.inside] = np.nan
    with pytest.raises(ValueError, match="^m: state 0 is not of unit vectors"):
        disc.encode(m)


def spoiled(value, i=2):
    m = unit_vectors(4, 8, 16)
    m[i, 3, 5] = value
    return m


@pytest.mark.parametrize("m, match", [
    (spoiled(0), "state 2 is not of unit vectors; their squared length is off by up to 1$"),
    (spoiled((0, 1.01, 0), 3), "state 3 is not of unit vectors; .* off by up to 0.0201"),
    (spoiled(np.nan), "state 2 is not of unit vectors"), (spoiled(np.inf), "state 2 is not of unit vectors"),
    (spoiled(0)[2], "state 0 is not of unit vectors"),
    (unit_vectors(8, 17), r"got shape \(8, 17, 3\); \(\.\.\., ny, nx, 3\) = \(\.\.\., 8, 16, 3\) is needed"),
    (unit_vectors(16, 8), r"got shape \(16, 8, 3\)"), (np.ones(3), r"got shape \(3,\)")])
def test_what_is_no_state(rom, m, match):
    with pytest.raises(ValueError, match="^m: " + match):
        rom.encode(m)


@pytest.mark.parametrize("c, match", [
    (np.zeros(4), r"got shape \(4,\); \(\.\.\., 3\) is needed"), (np.zeros((3, 2)), r"got shape \(3, 2\)"), (1.0, r"got shape \(\)"),
    (np.array([[0, 0, 0], [0, np.nan, 0], [np.inf, 0, 0]]), "2 latent states are not finite")])
def test_what_is_no_latent_state(rom, c, match):
    with pytest.raises(ValueError, match="^c: " + match):
        rom.decode(c)


# ---------------------------------------------------------------------------- through time


def test_simulate_gives_a_trajectory(rom, run):
    assert isinstance(run, Trajectory) and run.film == FILM and run.m.dtype == np.float32
    np.testing.assert_allclose(run.t, np.linspace(0, 1e-9, 101), atol=1e-20)
    assert run.m.shape == (101, 8, 16, 3) and run.field.tolist() == [*FIELD, 0]
    assert run.info["solver"] == "reduced order model" and run.info["seed"] == 1


def test_the_first_states_are_the_solvers(run):
    np.testing.assert_array_equal(run.m[:5], llg.simulate(FIELD, FILM, duration=4e-11, progress=False).m)
    np.testing.assert_array_equal(run.m[0], llg.s_state(FILM).astype(np.float32))


def test_what_follows_is_encoded_stepped_and_decoded(rom, run):
    c = rom.rollout(rom.encode(run.m[1:5]), FIELD, 96)
    assert c.shape == (96, 3) and np.ptp(c, axis=0).max() > 0.01
    np.testing.assert_allclose(run.m[5:], rom.decode(c, unit=True), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(run.m, axis=-1), 1, atol=1e-6)


def test_another_start_duration_and_pace(networks):
    slow, start = model(networks, every=2e-11), unit_vectors(8, 16)
    run = slow.simulate((*FIELD, 0), start, duration=2e-10)
    np.testing.assert_allclose(run.t, np.arange(11) * 2e-11, atol=1e-20)
    want = llg.simulate(FIELD, FILM, start, 8e-11, 2e-11, progress=False).m
    np.testing.assert_array_equal(run.m[:5], want)
    assert np.abs(want[1] - want[0]).max() > 0.1


def test_several_fields_one_at_a_time(rom, run, monkeypatch):
    decoded, decode = [], rom.decode
    monkeypatch.setattr(rom, "decode", lambda c, unit: decoded.append(len(c)) or decode(c, unit))
    runs = rom.simulate(FIELDS)
    assert isinstance(runs, Iterator) and decoded == []
    first = next(runs)
    assert decoded == [96] and isinstance(first, Trajectory)
    np.testing.assert_allclose(first.m, run.m, atol=1e-4)  # the same as alone
    rest = list(runs)
    assert [one.field.tolist() for one in rest] == [[-0.03, 0, 0], [-0.035, -0.006, 0]]
    assert all(np.isfinite(one.m).all() and not np.allclose(one.m[50], run.m[50], atol=1e-3) for one in rest)


def test_averages_are_those_of_the_states(rom, run):
    one, several = rom.averages(FIELD), rom.averages(FIELDS)
    assert one.shape == (101, 3) and several.shape == (3, 101, 3)
    np.testing.assert_allclose(one, run.mean, atol=1e-6)
    np.testing.assert_allclose(several, [r.mean for r in rom.simulate(FIELDS)], atol=1e-6)
    assert np.ptp(several[:, 50], axis=0).max() > 1e-4
    assert rom.averages(FIELD, duration=1e-10).shape == (11, 3)


def test_a_rollout_of_many_is_that_of_each(rom):
    first, fields = random(1030, 4, 3), 0.03 * np.tile([-1, 0, 0], (1030, 1)) * (1 + 0.2 * random(1030, 1, seed=1)).clip(0.8, 1.3)
    many = rom.rollout(first, fields, 7)
    assert many.shape == (1030, 7, 3)
    for i in (0, 5, 1023, 1024, 1029):  # also across what is stepped at once
        np.testing.assert_allclose(rom.rollout(first[i], fields[i], 7), many[i], rtol=1e-5, atol=1e-6)


def test_latents_are_scaled_for_the_network(networks):
    """In units of the scale all rollouts are the same."""
    first = random(4, 3)
    one, ten = (model(networks, scale=s).rollout(s * first, FIELD, 20) / s for s in (1, 10))
    np.testing.assert_allclose(one, ten, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("first, fields, match", [
    (np.zeros((3, 3)), FIELD, r"got shape \(1, 3, 3\) for 1 fields; 4 latent states of 3 numbers"),
    (np.zeros((4, 2)), FIELD, "got shape"), (np.zeros((2, 4, 3)), FIELDS, "got shape .* for 3 fields"), (np.zeros(12), FIELD, "got shape"),
    (np.full((4, 3), np.nan), FIELD, "it holds latent states that are not finite")])
def test_what_no_rollout_starts_from(rom, first, fields, match):
    with pytest.raises(ValueError, match="^first: " + match):
        rom.rollout(first, fields)


BAD = [(lambda t: FIELD, "^field: one constant field"), (0.03, "^field: one constant field"), ("x", "^field: one constant field"),
       ([], "^field: "), (np.empty((0, 3)), "^field: one constant field"), ((-0.03, np.nan), "^field: got"),
       ([FIELD, (np.inf, 0)], "^field: got"), ((1, 2, 3, 4), "^field: got shape"), ((-2e4, 3e3), "^field: got .* looks like H in A/m"),
       (np.zeros((2, 2, 3)), "^field: one constant field")]


@pytest.mark.parametrize("field, match", BAD)
def test_what_is_no_constant_field(rom, field, match, monkeypatch):
    monkeypatch.setattr(llg, "simulate", None)  # refused before it starts
    for call in (rom.simulate, rom.averages, lambda field: rom.rollout(np.zeros((4, 3)), field)):
        with pytest.raises(ValueError, match=match):
            call(field)


@pytest.mark.parametrize("match, change", [
    ("^start: got shape", dict(start=np.zeros((16, 8, 3)))), ("^start: unit vectors are needed", dict(start=spoiled(0)[2])),
    ("^start: 1 cells are not finite", dict(start=spoiled(np.nan)[2])), ("^duration: got 1.5e-11", dict(duration=1.5e-11)),
    ("^duration: got 4e-11 s; more than 4e-11 s", dict(duration=4e-11)), ("^duration: got -1", dict(duration=-1)),
    ("^duration: got nan", dict(duration=np.nan)), ("^duration: got None", dict(duration=None))])
def test_what_cannot_be_simulated(rom, match, change, monkeypatch):
    monkeypatch.setattr(llg, "simulate", None)
    for call in (rom.simulate, rom.averages):
        with pytest.raises(ValueError, match=match):
            call(FIELD, **change)


# ---------------------------------------------------------------------------- ensembles, and models of field and time


@pytest.fixture(scope="module")
def ensemble(networks):
    """Three predictors that disagree."""
    return model((*networks[:2], [networks[2], *(stepper.build(3, (8, 8), seed=k) for k in (2, 3))]), widen=1.5)


@pytest.fixture(scope="module")
def timed():
    """Two networks of field and time, untrained, with the encoder and decoder of principal components and their closure."""
    basis = pca.fit(pod.fold(unit_vectors(20, 8, 16)), 8)
    closure, _ = pod.train_decoder(basis, random(20, 8), random(4, 8), latent=3, widths=(8,), epochs=0, progress=False)
    t = np.linspace(1e-11, 2e-10, 20)
    networks = [pod.train_predictor(random(6, 20, 3), 0.03 * random(6, 3), t, (random(2, 20, 3), 0.03 * random(2, 3)),
                                    widths=(8, 8), epochs=0, seed=k, progress=False)[0] for k in (0, 1)]
    return model((*pod.networks(basis, closure), networks), scale=1.0, longest=2e-10)


def test_an_ensemble_rolls_out_to_the_mean_of_its_members(networks, ensemble):
    first = random(2, 4, 3)
    each, c = ensemble.rollout(first, FIELDS[:2], 20, members=True), ensemble.rollout(first, FIELDS[:2], 20)
    assert each.shape == (3, 2, 20, 3) and c.shape == (2, 20, 3) and each.std(axis=0).max() > 0.05
    np.testing.assert_allclose(c, (each[0] + each[1] + each[2]) / 3, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(each[0], model(networks).rollout(first, FIELDS[:2], 20), rtol=1e-6)
    # each on its own from the first step to the last; their steps are not averaged
    np.testing.assert_allclose(ensemble.rollout(first[1], FIELDS[1], 20, members=True), each[:, 1], rtol=1e-5, atol=1e-6)


def test_the_band_is_about_the_mean_of_the_members(networks, ensemble):
    low, high = ensemble.band(FIELD, duration=2e-10)
    means = np.array([model((*networks[:2], one)).averages(FIELD, duration=2e-10) for one in ensemble.networks])
    middle, spread = means.mean(axis=0), means.std(axis=0, ddof=1)
    assert low.shape == high.shape == (21, 3) and spread[5:].max() > 1e-3
    np.testing.assert_allclose((low + high) / 2, middle, atol=1e-5)
    np.testing.assert_allclose((high - low)[5:], 2 * 1.5 * spread[5:], rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(low[:5], high[:5])  # the solver's
    np.testing.assert_allclose(low[:5], means[0, :5], atol=1e-6)


def test_a_band_from_another_start(ensemble):
    start = unit_vectors(8, 16)
    low, high = ensemble.band(FIELD, start, 1e-10)
    np.testing.assert_allclose(low[0], start.mean(axis=(0, 1)), atol=1e-6)
    assert (low <= high).all()


def test_where_there_is_no_band(rom, ensemble, timed):
    with pytest.raises(ValueError, match="^band: this model has one predictor"):
        rom.band(FIELD)
    with pytest.raises(ValueError, match=r"^field: got shape \(3, 2\); one field"):
        ensemble.band(FIELDS)
    with pytest.raises(ValueError, match="^start: this model knows the trajectories from the S-state alone"):
        timed.band(FIELD, unit_vectors(8, 16), 1e-10)
    with pytest.raises(ValueError, match="^network: it goes from"):
        model((*timed_parts(timed), [timed.networks[0], stepper.build(3)]))
    low, high = timed.band(FIELD, duration=2e-10)
    mean = timed.rollout(np.zeros((4, 3)), FIELD, 16, members=True)
    mean = np.array([timed.decode(one, unit=True).mean(axis=(1, 2)) for one in mean]).mean(axis=0)
    assert ((low[5:] <= mean + 1e-6) & (mean <= high[5:] + 1e-6)).all() and (high - low)[5:].max() > 1e-3


def timed_parts(rom):
    return rom.encoder, rom.decoder


def test_field_and_time_say_it_all(timed):
    """The states before are not looked at; the fifth state is that of 0.05 ns, and so on."""
    c = timed.rollout(random(2, 4, 3), FIELDS[:2], 16, members=True)
    np.testing.assert_array_equal(c, timed.rollout(np.zeros((2, 4, 3)), FIELDS[:2], 16, members=True))
    x = np.array([[*FIELDS[1], 5e-11], [*FIELDS[1], 2e-10]], np.float32)
    for one, network in zip(c, timed.networks):
        np.testing.assert_allclose(one[1, [0, -1]], network.predict_on_batch(x), rtol=1e-4, atol=1e-5)
    run = timed.simulate(FIELD, duration=2e-10)
    np.testing.assert_allclose(run.m[5:], timed.decode(c[:, 0].mean(axis=0), unit=True), atol=1e-4)
    np.testing.assert_array_equal(run.m[:5], llg.simulate(FIELD, FILM, duration=4e-11, progress=False).m)


def test_what_a_model_of_field_and_time_does_not_know(timed, monkeypatch):
    monkeypatch.setattr(llg, "simulate", None)  # refused before it starts
    for call in (timed.simulate, timed.averages, timed.band):
        with pytest.raises(ValueError, match="^start: this model knows the trajectories from the S-state alone"):
            call(FIELD, unit_vectors(8, 16), duration=2e-10)
        with pytest.raises(ValueError, match=r"^duration: got 2.1e-10 s; this model knows nothing after 2e-10 s"):
            call(FIELD, duration=2.1e-10)
    with pytest.raises(ValueError, match="^steps: got 17; this model knows nothing after 0.2 ns, so that 16 is the most"):
        timed.rollout(np.zeros((4, 3)), FIELD, 17)
    assert len(timed.rollout(np.zeros((4, 3)), FIELD, 16)) == 16
    (message,) = warned(timed.rollout, np.zeros((4, 3)), (-50e-3, 0), 1)
    assert message.endswith("outside the fan that the model was trained on, by 9.0 mT in strength")


def test_many_networks_are_used_without_a_word(tmp_path):
    """TensorFlow takes the first calls of several networks for one that is traced over and over, and says so."""
    script = tmp_path / "several.py"
    script.write_text("""
import numpy as np
from magbook import autoencoder, stepper
from magbook.film import Film
from magbook.rom import ReducedOrderModel
film = Film((32e-9, 16e-9, 3e-9), (16, 8))
for seed in range(4):
    encoder, decoder = autoencoder.build(3, (8, 16, 3), (4, 8), seed=seed)
    rom = ReducedOrderModel(encoder, decoder, stepper.build(3), scale=1, reach=1, film=film)
    for n in (1, 5, 3):
        m = rom.decode(np.zeros((n, 3)))
        rom.encode(np.broadcast_to([1, 0, 0], m.shape))
""")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "retracing" not in done.stderr


# ---------------------------------------------------------------------------- outside what was learned


def warned(call, *args, **options):
    """The warnings of a call. What is said of an argument points at the line that gave it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(*args, **options)
    caught = [w for w in caught if w.category in (UserWarning, RuntimeWarning)]  # a back end has its own to give
    assert all(w.filename == __file__ for w in caught if w.category is UserWarning)
    return [f"{w.category.__name__}: {w.message}" for w in caught]


def polar(strength, degrees, z=0.0):
    return strength * np.cos(np.deg2rad(degrees)), strength * np.sin(np.deg2rad(degrees)), z


@pytest.mark.parametrize("field, by", [
    ((-50e-3, 0), "9.0 mT in strength"), ((-20e-3, 0), "2.0 mT in strength"), (polar(30e-3, 140), "18.0 degrees in angle"),
    (polar(30e-3, -140), "18.0 degrees in angle"), ((30e-3, 0), "158.0 degrees in angle"),
    ((-30e-3, 0, -5e-3), "5.0 mT out of the plane"),
    (polar(45e-3, 205, 1e-3), "4.0 mT in strength and 3.0 degrees in angle and 1.0 mT out of the plane")])
def test_a_field_outside_the_fan_is_warned_of(rom, field, by):
    b = ", ".join(f"{v * 1e3:.1f}" for v in (*field, 0)[:3])
    message = f"UserWarning: mu0*H = ({b}) mT is outside the fan that the model was trained on, by {by}"
    assert warned(rom.rollout, np.zeros((4, 3)), field, 1) == [message]


def test_outside_the_fan_it_runs_and_warns_once(rom):
    for call in (rom.simulate, rom.averages):
        (message,) = warned(call, [*FIELDS, (-50e-3, 0)], duration=5e-11)
        assert message.startswith("UserWarning: 1 of 4 fields are outside the fan, the first: mu0*H = (-50.0, 0.0, 0.0) mT")
        assert message.endswith("by 9.0 mT in strength")
    with pytest.warns(UserWarning, match="outside the fan"):
        assert np.isfinite(rom.simulate((-50e-3, 0), duration=1e-10).m).all()


@pytest.mark.parametrize("field", [polar(22e-3, 180), polar(41e-3, 180), polar(30e-3, 158), polar(30e-3, 202), polar(30e-3, -160)])
def test_the_edge_of_the_fan_is_inside(rom, field):
    assert warned(rom.rollout, np.zeros((4, 3)), field, 1) == []


def test_without_a_fan_no_field_is_outside(networks):
    assert warned(model(networks, fan=None).rollout, np.zeros((4, 3)), (0.5, 0), 1) == []


def drifting():
    """A predictor that adds the field, in units of 10 mT, to the last state, and cannot fall below -1."""
    network = stepper.build(3, ())
    kernel = np.zeros((14, 3))
    kernel[0], kernel[-3:] = 1, np.eye(3)
    network.set_weights([kernel, np.zeros(3)])
    return network


def test_a_rollout_that_runs_away(networks):
    rom = model((*networks[:2], drifting()), scale=2, reach=10, fan=None)
    fields = [(-30e-3, 0), (30e-3, 0), (15e-3, 0), (0, 30e-3)]
    with pytest.warns(RuntimeWarning, match=r"^2 of 4 rollouts ran away, the first at mu0\*H = \(30.0, 0.0, 0.0\) mT after 4 "
                                            "steps; they are NaN from there on") as caught:
        c = rom.rollout(np.full((4, 4, 3), 1.9), fields, 8)
    assert len(caught) == 1
    # 30 mT add 6 at each step, and 20 is twice the range
    np.testing.assert_allclose(c[1, :, 0], [7.9, 13.9, 19.9, *[np.nan] * 5], rtol=1e-5)
    np.testing.assert_allclose(c[2, :, 1], [4.9, 7.9, 10.9, 13.9, 16.9, 19.9, np.nan, np.nan], rtol=1e-5)
    # the others never learn of it
    np.testing.assert_allclose(c[3], [[1.9, 1.9, 1.9]] * 8, rtol=1e-5)
    np.testing.assert_allclose(c[0], rom.rollout(np.full((4, 3), 1.9), fields[0], 8), rtol=1e-6)
    assert (-2 <= c[0]).all() and (c[0] < 1.9).all()


def test_a_runaway_is_not_returned_as_physics(networks):
    rom = model((*networks[:2], drifting()), scale=2, reach=10, fan=None)
    fields = [(-30e-3, 0), (300e-3, 0)]
    (message,) = warned(rom.averages, fields, duration=1e-10)
    assert "1 of 2 rollouts ran away" in message and "(300.0, 0.0, 0.0) mT after 1 steps" in message
    with pytest.warns(RuntimeWarning, match="ran away"):
        kept, lost = rom.simulate(fields, duration=1e-10)
    assert np.isfinite(kept.m).all() and np.isfinite(lost.m[:5]).all() and np.isnan(lost.m[5:]).all()
    with pytest.warns(RuntimeWarning, match="ran away"):
        mean = rom.averages(fields, duration=1e-10)
    assert np.isfinite(mean[0]).all() and np.isfinite(mean[1, :5]).all() and np.isnan(mean[1, 5:]).all()
    np.testing.assert_allclose(mean[0], kept.mean, atol=1e-6)


@pytest.mark.parametrize("factor", [30, 1e8, 1e30])
def test_an_overflow_is_a_runaway(networks, factor):
    """Also past what single precision holds, where inf - inf is no number; one warning says so, not NumPy's."""
    network = stepper.build(3, (8, 8))
    network.set_weights([factor * w for w in networks[2].get_weights()])
    rom = model((*networks[:2], network))
    (message,) = warned(rom.rollout, random(4, 3), FIELD, 96)
    assert message.startswith("RuntimeWarning: 1 of 1 rollouts ran away")
    with pytest.warns(RuntimeWarning, match="ran away"):
        assert np.isnan(rom.rollout(random(4, 3), FIELD, 96)[-1]).all()


# ---------------------------------------------------------------------------- what fits together


def test_networks_that_do_not_fit(networks):
    encoder, decoder, network = networks
    other_encoder, other_decoder = autoencoder.build(4, (8, 16, 3), (4, 8))
    for name, three in {"encoder": (decoder, decoder, network), "decoder": (encoder, other_decoder, network),
                        "network": (encoder, decoder, stepper.build(4))}.items():
        with pytest.raises(ValueError, match=rf"^{name}: it goes from \(.*\) to \(.*\); from .* is needed"):
            model(three)
    with pytest.raises(ValueError, match=r"^encoder: it goes from \(8, 16, 3\) to \(3,\); from \(64, 256, 3\) to \(3,\)"):
        model(networks, film=Film())
    with pytest.raises(ValueError, match="^network: it has an activation other than elu"):
        model((encoder, decoder, stepper.build(3, activation="tanh")))
    model((other_encoder, other_decoder, stepper.build(4)))


# ---------------------------------------------------------------------------- files


def test_round_trip(tmp_path, rom):
    rom.save(tmp_path / "new" / "rom.npz")
    m, first = unit_vectors(3, 8, 16), random(2, 4, 3)
    for back in (ReducedOrderModel.load(tmp_path / "new" / "rom.npz"), load_rom(str(tmp_path / "new" / "rom.npz"))):
        for name in ("scale", "reach", "film", "every", "fan", "info", "latent"):
            assert getattr(back, name) == getattr(rom, name), name
        np.testing.assert_array_equal(back.encode(m), rom.encode(m))
        np.testing.assert_array_equal(back.decode(first), rom.decode(first))
        np.testing.assert_array_equal(back.rollout(first, FIELDS[:2]), rom.rollout(first, FIELDS[:2]))


def test_round_trip_in_sixteen_bits(tmp_path, rom):
    rom.save(tmp_path / "single.npz")
    rom.save(tmp_path / "half.npz", half=True)
    for name, dtype in (("single", np.float32), ("half", np.float16)):
        with np.load(tmp_path / f"{name}.npz") as z:
            assert {z[k].dtype for k in z.files if "." in k} == {np.dtype(dtype)}
    back, m, first = load_rom(tmp_path / "half.npz"), unit_vectors(3, 8, 16), random(4, 3)
    for a, b in ((back.encode(m), rom.encode(m)), (back.decode(first), rom.decode(first)),
                 (back.rollout(first, FIELD, 20), rom.rollout(first, FIELD, 20))):
        assert 0 < np.abs(a - b).max() < 5e-3 * np.abs(b).max()
    # what was rounded is not rounded again
    back.save(tmp_path / "again.npz", half=True)
    np.testing.assert_array_equal(load_rom(tmp_path / "again.npz").encode(m), back.encode(m))


def test_round_trip_of_a_masked_film(tmp_path, networks):
    film = DISC.replace(alpha=0.1)
    disc = model(networks, film=film, fan=None, info=None, every=2e-11)
    disc.save(tmp_path / "disc.npz")
    back = load_rom(tmp_path / "disc.npz")
    assert back.film == film and np.array_equal(back.film.inside, film.inside) and back.every == 2e-11 and back.fan == {}


def test_round_trip_of_an_ensemble(tmp_path, ensemble, timed):
    for rom, steps in ((ensemble, 20), (timed, 16)):
        rom.save(tmp_path / "rom.npz")
        back = load_rom(tmp_path / "rom.npz")
        assert len(back.networks) == len(rom.networks) and back.stepping is rom.stepping
        assert (back.widen, back.longest) == (rom.widen, rom.longest)
        first, m = random(4, 3), unit_vectors(2, 8, 16)
        np.testing.assert_array_equal(back.rollout(first, FIELD, steps, members=True), rom.rollout(first, FIELD, steps, members=True))
        np.testing.assert_array_equal(back.encode(m), rom.encode(m))
        np.testing.assert_array_equal(back.decode(first), rom.decode(first))


def test_it_can_go_on_being_used_without_what_made_it(tmp_path, rom, run):
    """A loaded model simulates, from the file alone."""
    rom.save(tmp_path / "rom.npz")
    np.testing.assert_allclose(load_rom(tmp_path / "rom.npz").simulate(FIELD).m, run.m, atol=1e-5)


@pytest.fixture
def saved(tmp_path, rom):
    rom.save(tmp_path / "rom.npz")
    with np.load(tmp_path / "rom.npz", allow_pickle=False) as z:
        return tmp_path / "rom.npz", dict(z)


def refused(path):
    for load in (ReducedOrderModel.load, load_rom):
        with pytest.raises(ValueError, match="is not a reduced order model that can be read") as caught:
            load(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_refused(saved, share):
    path, _ = saved
    whole = path.read_bytes()
    path.write_bytes(whole[:int(share * len(whole))])
    refused(path)


def test_foreign_files_are_refused(tmp_path, saved, run):
    (tmp_path / "notes.txt").write_text("my notes")
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "arrays.npz", a=np.zeros(3))
    run.save(tmp_path / "trajectory.npz")
    (tmp_path / "folder").mkdir()
    for name in ("notes.txt", "array.npy", "arrays.npz", "trajectory.npz", "folder"):
        refused(tmp_path / name)
    for load in (ReducedOrderModel.load, load_rom):
        with pytest.raises(FileNotFoundError, match="nowhere.npz"):
            load(tmp_path / "nowhere.npz")


def test_a_file_of_a_later_keras_is_read(saved, rom):
    """Keras 3.15 writes how weights were drawn in words that 3.10, Colab's, does not know."""
    path, arrays = saved
    header = str(arrays["header"]).replace('"config": {"seed": ', '"config": {"unheard_of": null, "seed": ')
    assert "unheard_of" in header
    np.savez(path, **arrays | {"header": header})
    latents = np.ones((2, rom.latent), np.float32)
    np.testing.assert_array_equal(load_rom(path).decode(latents), rom.decode(latents))


def test_another_format_is_named(saved):
    path, arrays = saved
    header = json.loads(str(arrays["header"]))
    np.savez(path, **arrays | {"header": json.dumps(header | {"format": "magbook reduced order model 2"})})
    with pytest.raises(ValueError, match="rom.npz is not .*: its format is 'magbook reduced order model 2', not "):
        load_rom(path)


@pytest.mark.parametrize("change", [
    {"encoder.0": None}, {"network.1": np.zeros(99)}, {"decoder.2": np.array(["x"])}, {"header": "{"}, {"header": "[]"},
    {"header": None}, {"inside": np.ones(3)}])
def test_what_does_not_fit_together_is_refused(saved, change):
    path, arrays = saved
    np.savez(path, **{k: v for k, v in (arrays | change).items() if v is not None})
    refused(path)


@pytest.mark.parametrize("name", ["header", "encoder.0", "inside"])
def test_a_pickle_is_never_run(tmp_path, saved, name):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    path, arrays = saved
    np.savez(path, **arrays | {name: np.array([Evil()], dtype=object)})
    refused(path)
    assert not (tmp_path / "owned").exists()


def test_code_in_a_layer_is_never_run(tmp_path, networks):
    """A Keras layer can hold a Python function, which a file from elsewhere must not bring along."""
    folder = str(tmp_path / "owned")
    evil = keras.Sequential([keras.Input((14,)), keras.layers.Lambda(
        lambda x: (__import__("os").makedirs(folder, exist_ok=True), x[:, :3])[1], output_shape=(3,))])
    if os.path.exists(folder):
        os.rmdir(folder)
    model((*networks[:2], evil)).save(tmp_path / "evil.npz")
    refused(tmp_path / "evil.npz")
    assert not os.path.exists(folder)


def test_a_flipped_byte_is_found_or_harmless(saved, rom):
    path, _ = saved
    whole, rng, m = path.read_bytes(), np.random.default_rng(0), unit_vectors(8, 16)
    for i in rng.choice(len(whole), 25, replace=False):
        damaged = bytearray(whole)
        damaged[i] ^= rng.integers(1, 256)
        path.write_bytes(damaged)
        try:
            back = load_rom(path)
        except ValueError:
            continue
        np.testing.assert_array_equal(back.encode(m), rom.encode(m))


# ---------------------------------------------------------------------------- ONNX


@pytest.fixture(scope="module")
def onnx(tmp_path_factory, rom):
    folder = tmp_path_factory.mktemp("onnx") / "new"
    functions = exported(rom, folder)
    assert set(functions) == {"encoder", "decoder", "predictor"} == {path.stem for path in folder.glob("*.onnx")}
    return functions


def exported(rom, folder):
    """The exported networks: name -> a function of its named inputs."""
    pytest.importorskip("tf2onnx")
    runtime = pytest.importorskip("onnxruntime")
    paths = rom.to_onnx(folder)
    sessions = {path.stem: runtime.InferenceSession(path, providers=["CPUExecutionProvider"]) for path in paths}
    return {name: lambda *x, s=s: s.run(None, {i.name: v.astype(np.float32) for i, v in zip(s.get_inputs(), x)})[0]
            for name, s in sessions.items()}


def assert_close(a, b):
    assert a.shape == b.shape and np.abs(a - b).max() <= 1e-5 * np.abs(b).max()


@pytest.mark.parametrize("n", [1, 5])
def test_onnx_agrees_with_keras(rom, onnx, n):
    m, first = unit_vectors(n, 8, 16), 2 * random(n, 4, 3)
    fields = np.array((2 * FIELDS)[:n])
    assert_close(onnx["encoder"](m), rom.encode(m))
    assert_close(onnx["decoder"](first[:, 0]), rom.decode(first[:, 0]))
    # in magbook's own units: tesla, and latents as the encoder gives them
    assert_close(onnx["predictor"](fields, first), rom.rollout(first, fields, 1)[:, 0])


def test_an_onnx_predictor_steps_through_time(rom, onnx):
    states = list(random(4, 3))
    for _ in range(20):
        states.append(onnx["predictor"](np.array([FIELD]), np.array([states[-4:]]))[0])
    want = rom.rollout(np.array(states[:4]), FIELD, 20)
    np.testing.assert_allclose(states[4:], want, atol=1e-5 * np.abs(want).max(), rtol=1e-5)


def test_onnx_of_field_and_time(timed, tmp_path):
    """Also the layers that only this model has: gelu, sine, a film made of its half, and a grid made finer."""
    functions = exported(timed, tmp_path)
    assert set(functions) == {"encoder", "decoder", "predictor", "predictor1"}
    m, c = unit_vectors(5, 8, 16), random(5, 3)
    assert_close(functions["encoder"](m), timed.encode(m))
    assert_close(functions["decoder"](c), timed.decode(c))
    want = timed.rollout(np.zeros((4, 3)), FIELD, 16, members=True)
    x = np.array([[*FIELD, t] for t in 1e-11 * np.arange(5, 21)])
    for name, one in zip(("predictor", "predictor1"), want):
        assert_close(functions[name](x), one)
