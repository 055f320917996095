"""The reduced order model in one piece: states to latents and back, through time, to files, and what it refuses."""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np
import pytest

from magbook import applied, autoencoder, closure, llg, pca, stepper, training
from magbook import rom as rom_module
from magbook._keras import sine
from magbook.atlas import Atlas, Hybrid, Spline
from magbook.dataset import SCALE
from magbook.dynamics import Dynamics, Ensemble
from magbook.film import Film
from magbook.rom import CHUNK, SHIPPED, ReducedOrderModel, load_rom
from magbook.stepper import Stepper
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


def stepping(seed=1, widths=(8, 8), scale=2.0, **options):
    """A dynamics of an untrained predictor of three numbers."""
    return Stepper(stepper.build(3, widths, seed=seed), scale, **options)


def hold(*fields, nt=101):
    """Constant fields at all times, (n, nt, 2)."""
    return np.repeat(np.array(fields, float)[:, None, :2], nt, axis=1)


def turning(t):
    """A field that turns within the fan, from -10 degrees of the -x axis to +10 in 1 ns."""
    angle = np.deg2rad(170 + 20e9 * t)
    return 30e-3 * np.cos(angle), 30e-3 * np.sin(angle)


@pytest.fixture(scope="module")
def networks():
    """Untrained: encoder, decoder and a dynamics of three numbers."""
    return *autoencoder.build(3, (8, 16, 3), (4, 8), seed=1), stepping()


def model(networks, dynamics=None, **changes):
    return ReducedOrderModel(*networks[:2], dynamics or networks[2], **dict(largest=1e3, film=FILM, fan=FAN, info={"seed": 1}) | changes)


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


def test_the_first_states_are_the_solvers(rom, run):
    want = llg.simulate(FIELD, FILM, duration=4e-11, progress=False).m
    np.testing.assert_array_equal(run.m[:5], want)
    np.testing.assert_array_equal(rom.first_states(FIELD), want)
    np.testing.assert_array_equal(run.m[0], llg.s_state(FILM).astype(np.float32))


def test_what_follows_is_encoded_stepped_and_decoded(rom, run):
    c = rom.rollout(rom.encode(run.m[:5]), hold(FIELD)[0])
    assert c.shape == (101, 3) and c.dtype == np.float32 and np.ptp(c[5:], axis=0).max() > 0.01
    np.testing.assert_allclose(c[:5], rom.encode(run.m[:5]), rtol=1e-6)
    np.testing.assert_allclose(run.m[5:], rom.decode(c[5:], unit=True), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(run.m, axis=-1), 1, atol=1e-6)


def test_latents_are_those_behind_the_states(rom, run):
    one, several = rom.latents(FIELD), rom.latents([*FIELDS, turning])
    assert one.shape == (101, 3) and several.shape == (4, 101, 3)
    np.testing.assert_allclose(one[:5], rom.encode(run.m[:5]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(rom.decode(one[5:], unit=True), run.m[5:], atol=1e-4)
    np.testing.assert_allclose(several[0], one, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(rom.latents(turning, duration=2e-10), several[3, :21], rtol=1e-4, atol=1e-5)
    assert np.ptp(several[:, 50], axis=0).max() > 1e-3


def test_another_start_duration_and_pace(networks):
    slow, start = model(networks, stepping(every=2e-11)), unit_vectors(8, 16)
    run = slow.simulate((*FIELD, 0), start, duration=2e-10)
    np.testing.assert_allclose(run.t, np.arange(11) * 2e-11, atol=1e-20)
    want = llg.simulate(FIELD, FILM, start, 8e-11, 2e-11, progress=False).m
    np.testing.assert_array_equal(run.m[:5], want)
    assert slow.every == 2e-11 and np.abs(want[1] - want[0]).max() > 0.1


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


def test_a_field_in_time(rom):
    """The first states and every step see the field as it is then."""
    run = rom.simulate(turning, duration=3e-10)
    np.testing.assert_array_equal(run.m[:5], llg.simulate(turning, FILM, duration=4e-11, progress=False).m)
    np.testing.assert_allclose(run.field, [(*turning(t), 0) for t in run.t], atol=1e-15)
    c = rom.rollout(rom.encode(run.m[:5]), run.field)
    np.testing.assert_allclose(run.m[5:], rom.decode(c[5:], unit=True), atol=1e-4)
    held = rom.simulate(turning(0), duration=3e-10)
    assert np.abs(held.m[20] - run.m[20]).max() > 1e-3


def test_constants_are_fields_in_time(rom, run):
    np.testing.assert_allclose(rom.simulate(lambda t: FIELD).m, run.m, atol=1e-4)


@pytest.mark.parametrize("order", [1, -1])
def test_a_list_of_constants_and_fields_in_time(rom, order):
    fields = [FIELD, turning, (*FIELDS[1], 0), np.array(FIELDS[2])][::order]
    mean, runs = rom.averages(fields, duration=1e-10), list(rom.simulate(fields, duration=1e-10))
    assert mean.shape == (4, 11, 3) and len(runs) == 4
    for field, one, run in zip(fields, mean, runs):
        np.testing.assert_allclose(one, rom.averages(field, duration=1e-10), atol=1e-5)
        np.testing.assert_allclose(one, run.mean, atol=1e-6)
        assert run.field.shape == ((11, 3) if callable(field) else (3,))


def test_averages_are_those_of_the_states(rom, run):
    one, several = rom.averages(FIELD), rom.averages(FIELDS)
    assert one.shape == (101, 3) and several.shape == (3, 101, 3)
    np.testing.assert_allclose(one, run.mean, atol=1e-6)
    np.testing.assert_allclose(several, [r.mean for r in rom.simulate(FIELDS)], atol=1e-6)
    assert np.ptp(several[:, 50], axis=0).max() > 1e-4
    assert rom.averages(FIELD, duration=1e-10).shape == (11, 3)


def test_a_rollout_of_many_is_that_of_each(rom):
    first = random(1030, 5, 3)
    fields = 0.03 * np.tile([-1.0, 0], (1030, 12, 1)) * (1 + 0.2 * random(1030, 12, 1, seed=1)).clip(0.8, 1.3)
    many = rom.rollout(first, fields)
    assert many.shape == (1030, 12, 3)
    for i in (0, 5, 127, 128, 1029):  # also across what is stepped at once
        np.testing.assert_allclose(rom.rollout(first[i], fields[i]), many[i], rtol=1e-5, atol=1e-6)


def test_fields_may_have_a_third_component(rom):
    first, fields = random(2, 5, 3), hold(*FIELDS[:2], nt=20)
    three = np.concatenate([fields, np.zeros((2, 20, 1))], axis=2)
    np.testing.assert_array_equal(rom.rollout(first, three), rom.rollout(first, fields))


@pytest.mark.parametrize("first, fields, match", [
    (np.zeros((4, 3)), hold(FIELD)[0], r"first: got shape \(1, 4, 3\); \(n, 1 \+ history, latent\) = \(n, 5, 3\) is needed"),
    (np.zeros((5, 2)), hold(FIELD)[0], r"first: got shape \(1, 5, 2\)"), (np.zeros((2, 4, 3)), hold(FIELD, FIELD), "first: got shape"),
    (np.zeros(15), hold(FIELD), "first: got shape"), (np.full((5, 3), np.nan), hold(FIELD)[0], "first: it holds numbers that are not finite"),
    (np.zeros((2, 5, 3)), hold(*FIELDS), r"fields: got shape \(3, 101, 2\); \(n, nt, 2\), for 2 runs of at least 5 times, is needed"),
    (np.zeros((5, 3)), hold(FIELD), "fields: got shape"), (np.zeros((5, 3)), FIELD, "fields: got shape"),
    (np.zeros((5, 3)), hold(FIELD)[0, :4], r"fields: got shape \(1, 4, 2\)"), (np.zeros((5, 3)), hold(FIELD)[0, :, :1], "fields: got shape"),
    (np.zeros((5, 3)), np.full((101, 2), np.inf), "fields: it holds numbers that are not finite")])
def test_what_no_rollout_starts_from(rom, first, fields, match):
    with pytest.raises(ValueError, match="^" + match):
        rom.rollout(first, fields)


BAD = [(0.03, TypeError, "got 0.03"), (None, TypeError, "got None"), ("x", TypeError, "got 'x'"), ([], ValueError, "there is none"),
       (np.empty((0, 3)), ValueError, "there is none"), ((-0.03, np.nan), ValueError, "got"), ([FIELD, (np.inf, 0)], ValueError, "got"),
       ((1, 2, 3, 4), ValueError, "got shape"), ((-2e4, 3e3), ValueError, "got .* looks like H in A/m"),
       (np.zeros((2, 2, 3)), ValueError, r"got shape \(2, 3\)"), ([FIELD, "x"], TypeError, "got 'x'"), ([FIELD, 0.03], ValueError, "got shape"),
       (lambda t: 0.03, ValueError, "got shape"), (lambda t: None, (TypeError, ValueError), "got"),
       ([FIELD, lambda t: (0, np.nan if t > 5e-10 else 0)], ValueError, "got")]


@pytest.mark.parametrize("field, kind, match", BAD)
def test_what_is_no_field(rom, field, kind, match, monkeypatch):
    monkeypatch.setattr(llg, "simulate", None)  # refused before it starts
    for call in (rom.simulate, rom.averages, rom.latents, rom.band):
        with pytest.raises(kind, match="^field: " + match):
            call(field)


@pytest.mark.parametrize("match, change", [
    ("^start: got shape", dict(start=np.zeros((16, 8, 3)))), ("^start: unit vectors are needed", dict(start=spoiled(0)[2])),
    ("^start: 1 cells are not finite", dict(start=spoiled(np.nan)[2])), ("^duration: got 1.5e-11", dict(duration=1.5e-11)),
    ("^duration: got 4e-11 s; more than 4e-11 s", dict(duration=4e-11)), ("^duration: got -1", dict(duration=-1)),
    ("^duration: got nan", dict(duration=np.nan)), ("^duration: got None", dict(duration=None))])
def test_what_cannot_be_simulated(rom, match, change, monkeypatch):
    monkeypatch.setattr(llg, "simulate", None)
    for call in (rom.simulate, rom.averages, rom.latents, rom.band):
        with pytest.raises(ValueError, match=match):
            call(FIELD, **change)


# ---------------------------------------------------------------------------- ensembles, and what knows one start


@pytest.fixture(scope="module")
def ensemble(networks):
    """Three predictors that disagree."""
    return model(networks, Ensemble([networks[2], stepping(2), stepping(3)], coverage=1.5))


@pytest.fixture(scope="module")
def halves():
    """Encoder and decoder of principal components and their closure, untrained, and the latent state of the film's S-state."""
    basis = pca.fit(closure.fold(unit_vectors(20, 8, 16)), 8)
    rest, _ = closure.train(basis, random(20, 8), random(4, 8), latent=3, widths=(8,), epochs=0, progress=False)
    encoder, decoder = closure.networks(basis, rest)
    return encoder, decoder, np.asarray(encoder.predict_on_batch(llg.s_state(FILM)[None].astype(np.float32)))[0]


def field_and_time(seed):
    """A network from field and time to three numbers, untrained."""
    scale = keras.layers.Rescaling
    return training.dense(3, (8, 8), 3, seed, sine, scale([30.0, 30.0, 5e9]), scale(2.0), 1.0)


def atlas_of(start, seed=0):
    return Atlas(field_and_time(seed), start, last=2e-10)


def spline_of(start):
    return Spline(applied.fan(30)[:, :2], random(30, 4), random(4, 20, 3), start)


@pytest.fixture(scope="module")
def timed(halves):
    """An ensemble of two atlases: it needs no state of the solver."""
    start = halves[2]
    return model(halves, Ensemble([atlas_of(start), atlas_of(start, 5)]))


@pytest.fixture(scope="module")
def hybrid(halves):
    """A spline, and above a middling roughness an ensemble of two atlases."""
    start = halves[2]
    slow = spline_of(start)
    limit = float(np.median(slow.roughness(slow.fields)))
    return model(halves, Hybrid(slow, Ensemble([atlas_of(start), atlas_of(start, 5)]), limit, coverage=1.5))


def test_the_band_is_about_the_answer(networks, ensemble):
    low, high = ensemble.band(FIELD, duration=2e-10)
    means = np.array([model(networks, one).averages(FIELD, duration=2e-10) for one in ensemble.dynamics.members])
    spread = means.std(axis=0, ddof=1)
    assert low.shape == high.shape == (21, 3) and spread[5:].max() > 1e-3
    np.testing.assert_allclose((low + high) / 2, ensemble.averages(FIELD, duration=2e-10), atol=1e-5)
    np.testing.assert_allclose((high - low)[5:], 2 * 1.5 * spread[5:], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(low[:5], high[:5], atol=1e-12)  # the solver's
    np.testing.assert_allclose(low[:5], means[0, :5], atol=1e-6)


def test_a_band_from_another_start_and_in_a_field_in_time(ensemble):
    start = unit_vectors(8, 16)
    for field in (FIELD, turning):
        low, high = ensemble.band(field, start, 1e-10)
        np.testing.assert_allclose(low[0], start.mean(axis=(0, 1)), atol=1e-6)
        assert (low <= high).all()
        np.testing.assert_allclose((low + high) / 2, ensemble.averages(field, start, 1e-10), atol=1e-5)


def test_a_band_asks_the_solver_once(ensemble, monkeypatch):
    asked, solve = [], llg.simulate
    monkeypatch.setattr(llg, "simulate", lambda *args, **options: asked.append(args) or solve(*args, **options))
    ensemble.band(FIELD, duration=1e-10)
    assert len(asked) == 1


def test_the_band_of_a_masked_film_is_of_its_cells(networks):
    disc = model(networks, Ensemble([networks[2], stepping(2)]), film=DISC)
    low, high = disc.band(FIELD, duration=1e-10)
    np.testing.assert_allclose((low + high) / 2, disc.averages(FIELD, duration=1e-10), atol=1e-5)
    members = np.array([model(networks, one, film=DISC).averages(FIELD, duration=1e-10) for one in disc.dynamics.members])
    np.testing.assert_allclose((high - low) / 2, 2 * members.std(axis=0, ddof=1), rtol=1e-3, atol=1e-6)


def test_the_band_of_a_hybrid(hybrid):
    """As wide as its networks disagree, about its own answer, be that the spline's."""
    slow = hybrid.dynamics.slow
    fields = slow.fields[slow.roughness(slow.fields).argsort()[[0, -1]]]
    assert hybrid.dynamics.asks_fast(fields).tolist() == [False, True]
    for field in fields:
        low, high = hybrid.band(field, duration=2e-10)
        np.testing.assert_allclose((low + high) / 2, hybrid.averages(field, duration=2e-10), atol=1e-5)
        assert (high - low)[1:].max() > 1e-3


def test_where_there_is_no_band(rom, ensemble, halves):
    for lone in (rom, model(halves, atlas_of(halves[2]))):
        with pytest.raises(ValueError, match="^band: this model's dynamics is one; an ensemble of at least two is needed"):
            lone.band(FIELD, duration=1e-10)
    for fields in (FIELDS, [turning]):
        with pytest.raises(ValueError, match=f"^field: got a list of {len(fields)}; one field is needed"):
            ensemble.band(fields)


def test_a_model_that_needs_no_solver(timed, halves, monkeypatch):
    monkeypatch.setattr(llg, "simulate", None)
    run = timed.simulate(FIELD, duration=2e-10)
    np.testing.assert_array_equal(run.m[0], llg.s_state(FILM).astype(np.float32))
    c = timed.rollout(halves[2][None], hold(FIELD, nt=21)[0])
    np.testing.assert_allclose(run.m[1:], timed.decode(c[1:], unit=True), atol=1e-4)
    np.testing.assert_allclose(timed.latents(FIELD, duration=2e-10), c, rtol=1e-4, atol=1e-5)
    assert timed.averages(FIELDS, duration=1e-11).shape == (3, 2, 3)


@pytest.mark.parametrize("which", ["timed", "hybrid"])
def test_what_an_atlas_does_not_know(which, request):
    known = request.getfixturevalue(which)
    for call in (known.simulate, known.averages, known.latents, known.band):
        ask = lambda *args, call=call, **options: call(*args, **options) if call != known.simulate else call(*args, **options).m
        with pytest.raises(ValueError, match="^start: this model knows the trajectories from one start"):
            ask(FIELD, unit_vectors(8, 16), duration=2e-10)
        with pytest.raises(ValueError, match="^field: it changes in time; an atlas knows constant fields alone"):
            ask(turning, duration=2e-10)
        with pytest.raises(ValueError, match="^duration: got 2.1e-10 s; this model knows nothing after 2e-10 s"):
            ask(FIELD, duration=2.1e-10)
    known.simulate(FIELD, llg.s_state(FILM), duration=2e-10)  # the one that it knows may be given
    known.simulate(lambda t: FIELD, duration=2e-10)  # as a function that does not change


@pytest.mark.slow
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
    rom = ReducedOrderModel(encoder, decoder, stepper.Stepper(stepper.build(3), 1.0), film=film)
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
    assert warned(rom.latents, field, duration=5e-11) == [message]


def test_a_field_in_time_is_warned_of_where_it_is_farthest(rom):
    rising = lambda t: (-30e-3 - 2e-3 * t / 1e-11, 0)
    assert warned(rom.latents, rising, duration=5e-11) == []
    (message,) = warned(rom.latents, rising, duration=1e-10)
    assert message.startswith("UserWarning: mu0*H = (-50.0, 0.0, 0.0) mT is outside") and message.endswith("by 9.0 mT in strength")


def test_outside_the_fan_it_runs_and_warns_once(rom, ensemble):
    for call in (rom.simulate, rom.averages, rom.latents):
        (message,) = warned(call, [*FIELDS, (-50e-3, 0)], duration=5e-11)
        assert message.startswith("UserWarning: 1 of 4 fields are outside the fan, the first: mu0*H = (-50.0, 0.0, 0.0) mT")
        assert message.endswith("by 9.0 mT in strength")
    assert len(warned(ensemble.band, (-50e-3, 0), duration=5e-11)) == 1
    with pytest.warns(UserWarning, match="outside the fan"):
        assert np.isfinite(rom.simulate((-50e-3, 0), duration=1e-10).m).all()


@pytest.mark.parametrize("field", [polar(22e-3, 180), polar(41e-3, 180), polar(30e-3, 158), polar(30e-3, 202), polar(30e-3, -160)])
def test_the_edge_of_the_fan_is_inside(rom, field):
    assert warned(rom.latents, field, duration=5e-11) == []


def test_a_pulse_between_two_samples_is_not_overlooked_in_silence(networks):
    rom = model(networks, fan=None)
    short = applied.pulse((0, 20e-3), width=4e-12, at=63e-12, bias=(-30e-3, 5e-3))
    (message,) = warned(rom.latents, short, duration=1e-10)
    assert message.startswith("UserWarning: field: between 6e-11 s and 7e-11 s it does what its values at these times do not show, by up to 20.0 mT")
    for seen in (applied.rotating(30e-3, 3e9), applied.step((-30e-3, 0), at=5e-11), applied.ramp((0, 0), (-30e-3, 0), 1e-10),
                 applied.pulse((0, 20e-3), width=3e-11, at=2e-11, rise=1e-11)):
        assert warned(rom.latents, seen, duration=1e-10) == []


@pytest.mark.parametrize("name", ["paper", "atlas", 3])
def test_a_name_that_is_taken_or_none(name):
    with pytest.raises(ValueError, match="^name: got"):
        rom_module.model(name)


def test_without_a_fan_no_field_is_outside(networks):
    assert warned(model(networks, fan=None).latents, (0.5, 0), duration=5e-11) == []


def drifting():
    """A predictor that adds the field, in units of 10 mT, to the last state, and cannot fall below -1."""
    network = stepper.build(3, ())
    kernel = np.zeros((14, 3))
    kernel[0], kernel[-3:] = 1, np.eye(3)
    network.set_weights([kernel, np.zeros(3)])
    return Stepper(network, 2.0)


@dataclass(eq=False)
class Excursion(Dynamics):
    """Out of all bounds at one time, and back."""

    latent: int = 3
    every: float = 1e-11

    def rollout(self, first, fields):
        c = np.repeat(first, fields.shape[1], axis=1)
        c[:, 4] = 100
        return c


@pytest.mark.parametrize("answer", [lambda first, fields: first, lambda first, fields: np.zeros((len(first), fields.shape[1], 3))])
def test_a_dynamics_that_gives_something_else_is_told_so(networks, answer):
    rom = model(networks, Excursion(), fan=None)
    rom.dynamics.rollout = answer
    with pytest.raises(ValueError, match="^dynamics: its rollout, of shape .* begin with `first`"):
        rom.rollout(np.ones((1, 3)), np.zeros((8, 2)))


def test_numbers_of_numpy_are_saved_as_numbers(networks, tmp_path):
    rom = model(networks, fan=FAN | {"strength": np.array([22e-3, 41e-3])}, info={"seed": np.int64(3)})
    rom.save(tmp_path / "rom.npz")
    back = load_rom(tmp_path / "rom.npz")
    assert back.fan == FAN and back.info == {"seed": 3}


def test_what_comes_back_from_a_runaway_is_not_believed(networks):
    rom = model(networks, Excursion(), largest=10, fan=None)
    with pytest.warns(RuntimeWarning, match="ran away"):
        c = rom.rollout(np.ones((1, 3)), np.zeros((8, 2)))
    assert np.isfinite(c[:4]).all() and np.isnan(c[4:]).all()


def test_a_rollout_that_runs_away(networks):
    rom = model(networks, drifting(), largest=10, fan=None)
    fields = hold((-30e-3, 0), (30e-3, 0), (15e-3, 0), (0, 30e-3), nt=13)
    with pytest.warns(RuntimeWarning, match=r"^2 of 4 rollouts ran away, the first at mu0\*H = \(30.0, 0.0\) mT after 8 "
                                            "steps; they are NaN from there on") as caught:
        c = rom.rollout(np.full((4, 5, 3), 1.9), fields)
    assert len(caught) == 1
    # 30 mT add 6 at each step, and 20 is twice the range
    np.testing.assert_allclose(c[1, 4:, 0], [1.9, 7.9, 13.9, 19.9, *[np.nan] * 5], rtol=1e-5)
    np.testing.assert_allclose(c[2, 4:, 1], [1.9, 4.9, 7.9, 10.9, 13.9, 16.9, 19.9, np.nan, np.nan], rtol=1e-5)
    # the others never learn of it
    np.testing.assert_allclose(c[3], [[1.9, 1.9, 1.9]] * 13, rtol=1e-5)
    np.testing.assert_allclose(c[0], rom.rollout(np.full((5, 3), 1.9), fields[0]), rtol=1e-6)
    assert (-2 <= c[0]).all() and (c[0, 5:] < 1.9).all()


def test_a_step_sees_the_field_at_its_beginning(networks):
    """A field that jumps at the eighth time moves the state from the ninth on."""
    rom = model(networks, drifting(), fan=None)
    fields = np.zeros((13, 2))
    fields[8:, 0] = 10e-3
    c = rom.rollout(np.full((5, 3), 1.9), fields)
    np.testing.assert_allclose(c[:, 0], [1.9] * 9 + [3.9, 5.9, 7.9, 9.9], rtol=1e-5)


def test_a_runaway_is_not_returned_as_physics(networks):
    rom = model(networks, drifting(), largest=10, fan=None)
    fields = [(-30e-3, 0), (300e-3, 0)]
    (message,) = warned(rom.averages, fields, duration=1e-10)
    assert "1 of 2 rollouts ran away" in message and "(300.0, 0.0, 0.0) mT after 5 steps" in message
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
    network.set_weights([factor * w for w in networks[2].network.get_weights()])
    rom = model(networks, Stepper(network, 2.0))
    (message,) = warned(rom.rollout, random(5, 3), hold(FIELD)[0])
    assert message.startswith("RuntimeWarning: 1 of 1 rollouts ran away")
    with pytest.warns(RuntimeWarning, match="ran away"):
        c = rom.rollout(random(5, 3), hold(FIELD)[0])
    assert np.isnan(c[-1]).all() and np.isfinite(c[:5]).all()


# ---------------------------------------------------------------------------- what fits together


def test_networks_that_do_not_fit(networks):
    encoder, decoder, dynamics = networks
    other_encoder, other_decoder = autoencoder.build(4, (8, 16, 3), (4, 8))
    four = Stepper(stepper.build(4), 1.0)
    for name, two in {"encoder": (decoder, decoder), "decoder": (encoder, other_decoder)}.items():
        with pytest.raises(ValueError, match=rf"^{name}: it goes from \(.*\) to \(.*\); from .* is needed"):
            model(two, dynamics)
    with pytest.raises(ValueError, match=r"^encoder: it goes from \(8, 16, 3\) to \(3,\); from \(64, 256, 3\) to \(3,\)"):
        model(networks, film=Film())
    with pytest.raises(ValueError, match="^dynamics: its latent states have 4 numbers, the encoder's 3"):
        model(networks, four)
    assert model((other_encoder, other_decoder), four).latent == 4


# ---------------------------------------------------------------------------- files


KINDS = {"stepper": lambda start: stepping(every=2e-11), "residual": lambda start: Stepper(stepper.build(3, residual=True), 3.0, True),
         "atlas": atlas_of, "spline": spline_of, "ensemble": lambda start: Ensemble([stepping(1), stepping(2)], 1.7),
         "hybrid": lambda start: Hybrid(spline_of(start), atlas_of(start), 0.3),
         "hybrid of an ensemble": lambda start: Hybrid(spline_of(start), Ensemble([atlas_of(start), atlas_of(start, 5)]), 0.3, 1.1),
         "ensemble of hybrids": lambda start: Ensemble([Hybrid(spline_of(start), atlas_of(start, k), 0.3) for k in (0, 5)])}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("half", [False, True])
def test_round_trip(tmp_path, halves, kind, half):
    dynamics = KINDS[kind](halves[2])
    rom = model(halves, dynamics)
    rom.save(tmp_path / "new" / "rom.npz", half)
    m, c, fields = unit_vectors(2, 8, 16), random(4, 3), hold(*applied.fan(4), nt=20)
    first = random(4, 5, 3) if dynamics.history else np.broadcast_to(halves[2], (4, 1, 3)).astype(np.float32)
    want, off = dynamics.rollouts(first, fields), 2e-2 if half else 0
    for back in (ReducedOrderModel.load(tmp_path / "new" / "rom.npz"), load_rom(str(tmp_path / "new" / "rom.npz"))):
        for name in ("largest", "film", "every", "fan", "info", "latent"):
            assert getattr(back, name) == getattr(rom, name), name
        assert type(back.dynamics) is type(dynamics)
        for name in ("history", "every", "last", "latent", "coverage", "limit", "residual", "scale"):
            assert getattr(back.dynamics, name, None) == getattr(dynamics, name, None), name
        for ours, theirs in ((back.encode(m), rom.encode(m)), (back.decode(c), rom.decode(c)),
                             (back.dynamics.rollouts(first, fields), want)):
            assert np.abs(ours - theirs).max() <= off * np.abs(theirs).max()


def test_sixteen_bits_lose_nothing_but_of_weights(tmp_path, halves, hybrid):
    hybrid.save(tmp_path / "single.npz")
    hybrid.save(tmp_path / "half.npz", half=True)
    assert (tmp_path / "half.npz").stat().st_size < (tmp_path / "single.npz").stat().st_size
    with np.load(tmp_path / "single.npz") as one, np.load(tmp_path / "half.npz") as other:
        assert one.files == other.files
        one, other = ({name: z[name] for name in z.files if name not in ("header", "inside")} for z in (one, other))
    weights = {name for name in one if name.rpartition(".")[2].isdigit()}
    assert len({name for name in weights if name.startswith("dynamics")}) == 12  # two networks of three layers
    assert {(one[name].dtype, other[name].dtype) for name in weights} == {(np.dtype(np.float32), np.dtype(np.float16))}
    assert one.keys() - weights and all(np.array_equal(one[name], other[name]) for name in one.keys() - weights)
    # what was rounded is not rounded again
    back = load_rom(tmp_path / "half.npz")
    back.save(tmp_path / "again.npz", half=True)
    m = unit_vectors(3, 8, 16)
    np.testing.assert_array_equal(load_rom(tmp_path / "again.npz").encode(m), back.encode(m))


def test_round_trip_of_a_masked_film(tmp_path, networks):
    film = DISC.replace(alpha=0.1)
    disc = model(networks, film=film, fan=None, info=None)
    disc.save(tmp_path / "disc.npz")
    back = load_rom(tmp_path / "disc.npz")
    assert back.film == film and np.array_equal(back.film.inside, film.inside) and back.fan == {} and back.info == {}


@dataclass(eq=False)
class Resting(Dynamics):
    """A dynamics of who reads the book: what was, stays."""

    latent: int
    every: float = 1e-11

    def rollout(self, first, fields):
        return np.repeat(first, fields.shape[1], axis=1)


def test_a_dynamics_of_ones_own_runs_but_is_not_saved(tmp_path, networks):
    rom = model(networks, Resting(3))
    run = rom.simulate(turning, duration=1e-10)
    np.testing.assert_allclose(run.m[1:], np.broadcast_to(rom.decode(rom.encode(run.m[0]), unit=True), run.m[1:].shape), atol=1e-5)
    for one in (rom, model(networks, Ensemble([Resting(3), Resting(3)]))):
        with pytest.raises(ValueError, match="^dynamics: a file can name a kind that is in a module of magbook, not .*Resting"):
            one.save(tmp_path / "rom.npz")
    assert not list(tmp_path.iterdir())


def test_it_can_go_on_being_used_without_what_made_it(tmp_path, rom, run):
    """A loaded model simulates, from the file alone."""
    rom.save(tmp_path / "rom.npz")
    np.testing.assert_allclose(load_rom(tmp_path / "rom.npz").simulate(FIELD).m, run.m, atol=1e-5)


@pytest.fixture
def saved(tmp_path, rom):
    rom.save(tmp_path / "rom.npz")
    with np.load(tmp_path / "rom.npz", allow_pickle=False) as z:
        return tmp_path / "rom.npz", dict(z)


def refused(path, why=""):
    for load in (ReducedOrderModel.load, load_rom):
        with pytest.raises(ValueError, match=f"is not a reduced order model that can be read.*{why}") as caught:
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
    np.savez(path, **arrays | {"header": json.dumps(header | {"format": "magbook reduced order model 1"})})
    with pytest.raises(ValueError, match="rom.npz is not .*: its format is 'magbook reduced order model 1', not "):
        load_rom(path)


@pytest.mark.parametrize("change", [
    {"encoder.0": None}, {"dynamics.network.1": np.zeros(99)}, {"decoder.2": np.array(["x"])}, {"header": "{"}, {"header": "[]"},
    {"header": None}, {"inside": np.ones(3)}])
def test_what_does_not_fit_together_is_refused(saved, change):
    path, arrays = saved
    assert all(name in arrays for name in change)
    np.savez(path, **{k: v for k, v in (arrays | change).items() if v is not None})
    refused(path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [
    ["files", "atomic"], ["llg", "simulate"], ["film", "Film"], ["rom", "ReducedOrderModel"], ["stepper", "HISTORY"], ["dynamics", "np"],
    ["nowhere", "Stepper"], ["stepper", "Nothing"], ["os.path", "join"], ["..os", "mkdir"], ["", "keras"], ["dynamics", "Dynamics"],
    [], ["stepper"], "Stepper", None, 3])
def test_a_kind_that_is_no_dynamics_is_refused(saved, kind, monkeypatch):
    """And nothing of that name is called."""
    path, arrays = saved
    header = json.loads(str(arrays["header"]))
    assert header["dynamics"]["kind"] == ["stepper", "Stepper"]
    header["dynamics"] |= {"kind": kind, "fields": {}}
    np.savez(path, **arrays | {"header": json.dumps(header)})
    for name in ("llg.simulate", "files.atomic"):
        monkeypatch.setattr(f"magbook.{name}", lambda *args, **options: pytest.fail("it was called"))
    refused(path)


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"unheard_of": 1}, {"network": None}, {"network": 3}, {"scale": None}])
def test_a_dynamics_with_other_fields_is_refused(saved, change):
    path, arrays = saved
    header = json.loads(str(arrays["header"]))
    fields = header["dynamics"]["fields"] | change
    header["dynamics"]["fields"] = {name: value for name, value in fields.items() if value is not None}
    np.savez(path, **arrays | {"header": json.dumps(header)})
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
    model(networks, Stepper(evil, 1.0)).save(tmp_path / "evil.npz")
    refused(tmp_path / "evil.npz")
    assert not os.path.exists(folder)


@pytest.mark.parametrize("name, change", [
    ("encoder.0", lambda w: w + np.float32(1e-3)), ("decoder.1", lambda w: -w - 1), ("dynamics.network.0", lambda w: w[::-1]),
    ("encoder.0", lambda w: w.astype(np.float64)), ("inside", lambda w: w & (np.arange(w.shape[1]) > 0))])
def test_altered_numbers_are_noticed_by_the_file_itself(saved, name, change):
    path, arrays = saved
    assert not np.array_equal(arrays[name], change(arrays[name])) or arrays[name].dtype != change(arrays[name]).dtype
    np.savez(path, **arrays | {name: change(arrays[name])})
    refused(path, "their checksum is another")
    np.savez(path, **arrays | {"another": np.zeros(3)})
    refused(path, "their checksum is another")


def test_weights_that_are_not_finite_are_refused_also_without_a_checksum(saved, rom):
    path, arrays = saved
    header = json.loads(str(arrays["header"]))
    del header["sha256"]
    np.savez(path, **arrays | {"header": json.dumps(header)})
    latents = np.ones((2, rom.latent), np.float32)
    np.testing.assert_array_equal(load_rom(path).decode(latents), rom.decode(latents))  # a file of an older version
    for name in ("encoder.0", "dynamics.network.3"):
        w = arrays[name].copy()
        w.flat[-1] = np.nan
        np.savez(path, **arrays | {"header": json.dumps(header), name: w})
        refused(path, f"{name}: it holds numbers that are not finite")


@pytest.mark.slow
@pytest.mark.parametrize("change, says", [
    ({"class_name": "Lambda"}, "keras.layers.Lambda"), ({"class_name": "BatchNormalization"}, "keras.layers.BatchNormalization"),
    ({"module": "os"}, "os.Dense"), ({"module": "magbook.files"}, "magbook.files.Dense"), ({"class_name": ["Dense"]}, "Dense"),
    ({"class_name": "function", "module": "builtins", "config": "exec"}, "exec"), ({"class_name": "keras.src.layers.Dense"}, "src.layers.Dense")])
def test_a_network_of_other_layers_is_refused_before_keras_builds_it(saved, change, says, monkeypatch):
    path, arrays = saved
    header = json.loads(str(arrays["header"]))
    layers = header["dynamics"]["fields"]["network"]["network"]["config"]["layers"]
    layers[-1] |= change
    np.savez(path, **arrays | {"header": json.dumps(header)})
    with monkeypatch.context() as patch:
        build = keras.models.model_from_json
        patch.setattr(keras.models, "model_from_json", lambda text: pytest.fail("it was built") if json.dumps(change)[1:-1] in text else build(text))
        refused(path, f"a network in it names .*{says}.*, which is not among AveragePooling2D, ")


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_full_disk(small_disk, fill, rom):
    path = small_disk / "rom.npz"
    rom.save(path)
    filler, there = fill(), path.read_bytes()
    with pytest.raises(OSError, match="No space left on device.*while writing.*rom.npz"):
        rom.save(path)
    assert path.read_bytes() == there and sorted(p.name for p in small_disk.iterdir()) == ["filler", "rom.npz"]
    load_rom(path)
    filler.unlink()
    rom.save(path)
    m = unit_vectors(8, 16)
    np.testing.assert_array_equal(load_rom(path).encode(m), rom.encode(m))


# ---------------------------------------------------------------------------- models by name


@pytest.fixture
def names(monkeypatch):
    """What is registered, without what a test adds."""
    monkeypatch.setattr(rom_module, "MODELS", dict(rom_module.MODELS))


def test_a_registered_model_is_found(names, networks):
    made = []

    @rom_module.model("resting")
    def rest():
        made.append(model(networks, Resting(3)))
        return made[-1]

    assert made == [] and rom_module.registered()["resting"] is rest  # made when it is asked for
    assert load_rom("resting") is made[0] and len(made) == 1


def test_what_a_caller_does_to_the_list_changes_nothing(names):
    rom_module.registered()["mine"] = lambda: None
    assert "mine" not in rom_module.registered()


@pytest.mark.slow
def test_what_ships_and_a_file_go_first(names, tmp_path, rom, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rom.save("resting")
    rom_module.model("resting")(lambda: pytest.fail("it was made"))
    for name in (*SHIPPED, "resting"):
        assert load_rom(name).latent == {"resting": 3, "driven": 64}.get(name, 16)


def test_an_unknown_name_lists_what_there_is(names):
    rom_module.model("resting")(lambda: None)
    with pytest.raises(FileNotFoundError, match="^load_rom: there is no file nothing, and no model of this name; there are ") as caught:
        load_rom("nothing")
    for name in (*SHIPPED, "resting"):
        assert f"'{name}'" in str(caught.value)


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
    m, first = unit_vectors(n, 8, 16), 2 * random(n, 5, 3)
    fields = np.array((2 * FIELDS)[:n])
    assert_close(onnx["encoder"](m), rom.encode(m))
    assert_close(onnx["decoder"](first[:, 0]), rom.decode(first[:, 0]))
    # in magbook's own units: tesla, and latents as the encoder gives them
    assert_close(onnx["predictor"](fields, first[:, 1:]), rom.rollout(first, hold(*fields, nt=6))[:, 5])


def test_an_onnx_predictor_steps_through_time(rom, onnx):
    states, fields = list(random(5, 3)), np.array([turning(1e-11 * k) for k in range(25)])
    want = rom.rollout(np.array(states), fields)
    for b in fields[4:24]:
        states.append(onnx["predictor"](b[None], np.array([states[-4:]]))[0])
    np.testing.assert_allclose(states, want, atol=1e-5 * np.abs(want).max(), rtol=1e-5)


@pytest.mark.slow
def test_onnx_of_a_residual_predictor(networks, tmp_path):
    rom, first = model(networks, Stepper(stepper.build(3, residual=True), 3.0, True)), random(5, 5, 3)
    assert_close(exported(rom, tmp_path)["predictor"](hold(FIELD, nt=5)[0], first[:, 1:]), rom.rollout(first, hold(*[FIELD] * 5, nt=6))[:, 5])


@pytest.mark.slow
def test_onnx_of_a_driven_model(tmp_path):
    rom = load_rom("driven")
    functions, first = exported(rom, tmp_path), 0.3 * random(5, rom.latent)
    steps = hold(*[FIELD] * 5, nt=2)
    assert_close(functions["predictor"](first, steps[:, 1]), rom.dynamics.rollout(first[:, None], steps)[:, 1])
    assert_close(functions["decoder"](first), rom.decode(first))


@pytest.mark.slow
def test_onnx_of_field_and_time(hybrid, tmp_path):
    """Also the layers that only this model has: gelu, sine, a film made of its half, and a grid made finer."""
    functions = exported(hybrid, tmp_path)
    assert set(functions) == {"encoder", "decoder", "predictor", "predictor1"}
    m, c = unit_vectors(5, 8, 16), random(5, 3)
    assert_close(functions["encoder"](m), hybrid.encode(m))
    assert_close(functions["decoder"](c), hybrid.decode(c))
    want = hybrid.dynamics.fast.rollouts(hybrid.dynamics.slow.start[None, None], hold(FIELD, nt=21))[:, 0, 1:]
    x = np.array([[*FIELD, t] for t in 1e-11 * np.arange(1, 21)])
    for name, one in zip(("predictor", "predictor1"), want):
        assert_close(functions[name](x), one)
