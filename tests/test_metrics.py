"""Metrics: values worked out by hand, and what holds for any states."""

import numpy as np
import pytest

from magbook import dataset, llg, metrics
from magbook.film import Film
from magbook.metrics import (
    angle_error,
    compare,
    energies,
    energy_error,
    energy_rises,
    film_average_error,
    first_zero,
    horizon,
    kind,
    length_error,
    relative_l2,
    split_l2,
    switching_time,
    twist,
)
from magbook.trajectory import Trajectory

FILM = Film((128e-9, 32e-9, 3e-9), (32, 8))


def unit_vectors(*shape, seed=0):
    m = np.random.default_rng(seed).standard_normal((*shape, 3))
    return (m / np.linalg.norm(m, axis=-1, keepdims=True)).astype(np.float32)


def test_film_average_error_by_hand():
    reference = np.array([[1.0, 0, 0], [0, 1, 0]])
    mean = np.array([[0.7, 0.1, 0], [0, 1, -0.2]])
    assert film_average_error(mean, reference) == pytest.approx((0.3 + 0.1 + 0.2) / 6)
    assert film_average_error(reference, mean) == film_average_error(mean, reference)
    both = film_average_error(np.stack([mean, reference]), np.stack([reference, reference]))
    np.testing.assert_allclose(both, [0.1, 0], atol=1e-15)  # one number a run
    assert film_average_error(mean.astype(np.float32).tolist(), reference.tolist()) == pytest.approx(0.1)


def test_relative_l2_of_known_states():
    m = unit_vectors(4, 3, 5)
    right = np.stack([-m[..., 1], m[..., 0], 0 * m[..., 0]], axis=-1)
    flat = m * [1, 1, 0]
    assert relative_l2(m, m) == 0
    assert relative_l2(-m, m) == pytest.approx(2)
    assert relative_l2(right, flat) == pytest.approx(2**0.5)
    assert relative_l2(0 * m, m) == pytest.approx(1)
    assert relative_l2(1.1 * m, m) == pytest.approx(0.1)


def test_relative_l2_at_each_time():
    m, reference = unit_vectors(4, 3, 5), unit_vectors(4, 3, 5, seed=1)
    at_times = relative_l2(m, reference, (-3, -2, -1))
    assert at_times.shape == (4,)
    assert at_times[2] == pytest.approx(relative_l2(m[2:3], reference[2:3]))
    # unit vectors: every time weighs the same
    assert relative_l2(m, reference) == pytest.approx(np.sqrt(np.mean(at_times**2)))
    # the angle between two unit vectors, and nothing else, decides
    cosine = np.einsum("tyxc,tyxc->t", m, reference) / 15
    np.testing.assert_allclose(at_times, np.sqrt(2 - 2 * cosine), rtol=1e-6)


def test_first_zero():
    t = np.array([0, 1, 2, 3, 4]) * 1e-11
    assert first_zero(t, [1, 0.5, -0.5, 1, -1]) == pytest.approx(1.5e-11)
    assert first_zero(t, [-3, -2, -1, 3, 4]) == pytest.approx(2.25e-11)  # upwards too
    assert np.isnan(first_zero(t, [1, 0.5, 0.1, 0.5, 1]))
    phase = np.linspace(0, 2, 2001)
    assert first_zero(phase, np.cos(phase)) == pytest.approx(np.pi / 2, abs=1e-7)


@pytest.mark.parametrize("turn", [0, 1, np.pi, 2 * np.pi, 5 * np.pi])
def test_twist_of_a_spiral(turn):
    angle = 2.9 + np.linspace(0, turn, 101)  # passes where the arctangent jumps
    spiral = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
    m = np.zeros((7, 101, 3))
    m[..., 0] = 1
    m[3] = spiral  # in the middle row only
    assert twist(m) == pytest.approx(turn, abs=1e-9)
    np.testing.assert_allclose(twist(np.stack([m, m[:, ::-1], 0 * m + [0, 1, 0]])), [turn, turn, 0], atol=1e-9)


def test_switching_time():
    t = np.arange(6) * 1e-10
    assert switching_time(t, [1, 0, -1, 0, -1, -1]) == pytest.approx(3.5e-10)  # it came back once
    assert switching_time(t, [1, 1, 1, 0, -0.25, -0.75]) == pytest.approx(4.5e-10)
    assert np.isnan(switching_time(t, [1, 0, -1, -1, -1, 0])) and np.isnan(switching_time(t, [1, 1, 1, 1, 1, 1]))
    assert switching_time(t, [-0.6, -0.7, -0.8, -0.9, -1, -1]) == 0
    assert switching_time(t, [1, 0, -1, 0, -1, -1], level=0.5) == pytest.approx(0.5e-10)
    assert np.isnan(switching_time(t, [1, 0, -1, -1, np.nan, np.nan]))  # nobody knows


@pytest.mark.parametrize("degrees", [0, 1e-6, 0.01, 45, 90, 179.99, 180])
def test_angle_error_whatever_the_lengths(degrees):
    a = np.deg2rad(degrees)
    m, reference = np.array([[np.cos(a), 0, np.sin(a)]]) * 0.3, np.array([[7.0, 0, 0]])
    np.testing.assert_allclose(angle_error(m, reference), [degrees], rtol=1e-6, atol=1e-12)


def test_length_error():
    m = np.array([[0.9, 0, 0], [0, 0, -1.2], [0.6, 0, 0.8]])
    np.testing.assert_allclose(length_error(m), [0.1, 0.2, 0], atol=1e-12)


def test_horizon():
    t = np.arange(1, 6) * 1e-11
    assert horizon(t, [0.01, 0.1, 0.11, 0.05, 0.3]) == pytest.approx(3e-11)  # at the level is not above it
    assert horizon(t, [0.01, 0.1, 0.11, 0.05, 0.3], level=0.2) == pytest.approx(5e-11)
    assert horizon(t, np.zeros(5)) == np.inf
    assert horizon(t, [0, np.nan, 0, 0, 0]) == pytest.approx(2e-11)


def test_kinds_of_reversal():
    down, small, large = np.linspace(1, -1, 9), np.full(9, 3.0), np.full(9, 3.0)
    large[4] = 6.5
    assert kind(down, small) == "domains" and kind(down, large) == "360° walls"
    assert kind(np.linspace(1, 0.5, 9), large) == "never switches"
    assert kind(down, np.full(9, 6.0)) == "domains" and kind(down, np.full(9, 6.3)) == "360° walls"  # 2 pi is 6.28


# ---------------------------------------------------------------------------- energy


@pytest.fixture(scope="module")
def run():
    """A small film that switches."""
    return llg.simulate((-60e-3, 10e-3), FILM, duration=5e-10, progress=False)


def test_energies_are_the_solvers(run):
    e = energies(run)
    assert e.shape == (len(run),)
    assert e[7] == pytest.approx(llg.energies(run.m[7], FILM, run.field)["total"], rel=1e-6)
    # a field that changes counts as it is at each time
    swept = Trajectory(run.t, run.m, np.linspace([0, 0, 0], run.field, len(run)), FILM)
    assert energies(swept)[0] == pytest.approx(llg.energies(run.m[0], FILM)["total"], rel=1e-6)
    assert energies(swept)[-1] == pytest.approx(e[-1], rel=1e-6)


def test_the_solvers_energy_never_rises(run):
    """The tolerance is one that a right answer passes, and backwards in time it rises all along."""
    e = energies(run)
    assert energy_rises(e) == 0
    falls = np.sum(-np.diff(e) > metrics.RISE * np.ptp(e))
    assert energy_rises(e[::-1]) == falls > 30
    assert run.m.dtype == np.float32 and energy_rises(e, tolerance=1e-6) == 0  # with room to spare


def test_energy_error_and_rises_by_hand():
    reference, energy = np.array([4.0, 3, 2, 0]), np.array([4.0, 2, 3, 2.9999])
    np.testing.assert_allclose(energy_error(energy, reference), [0, 0.25, 0.25, 0.749975])
    assert energy_rises(energy) == 1 and energy_rises(energy, tolerance=0.6) == 0
    assert energy_rises(energy[::-1]) == 1  # the tiny one is below the tolerance


# ---------------------------------------------------------------------------- all of them


def changed(run, m=None, **other):
    return Trajectory(**{"t": run.t, "m": run.m if m is None else m, "field": run.field, "film": run.film} | other)


def turned(run, degrees):
    """Every vector turned about z; the start too, which does not count."""
    a = np.deg2rad(degrees)
    x, y, z = np.moveaxis(run.m, -1, 0)
    return changed(run, np.stack([np.cos(a) * x - np.sin(a) * y, np.sin(a) * x + np.cos(a) * y, z], axis=-1))


class Half:
    """A model of the states that keeps half of mz, and scales to unit length."""

    encode = staticmethod(lambda m: m)

    @staticmethod
    def decode(c, unit):
        m = c * np.float32([1, 1, 0.5])
        return m / np.linalg.norm(m, axis=-1, keepdims=True)


def test_a_run_against_itself(run):
    errors = compare(run, run, Half)
    zero = {k: v for k, v in errors.items() if k not in ("horizon", "L2 autoencoder", "L2 predictor", "length")}
    assert set(zero.values()) == {0.0} and errors["length"] < 1e-6 and errors["horizon"] == np.inf
    assert errors["L2 autoencoder"] == errors["L2 predictor"] > 0  # it makes good what the other loses


def test_every_state_turned_by_five_degrees(run):
    errors = compare(turned(run, 5), run)
    in_plane = np.sqrt(np.mean(run.m[1:, ..., 0]**2 + run.m[1:, ..., 1]**2, dtype=float))
    assert errors["L2"] == pytest.approx(2 * np.sin(np.deg2rad(2.5)) * in_plane, rel=1e-5)
    assert 4 < errors["angle"] <= 5.001 and errors["angle 99 %"] == pytest.approx(5, abs=1e-3)
    assert errors["horizon"] == np.inf and errors["length"] < 1e-6
    assert errors["film average"] == pytest.approx(film_average_error(turned(run, 5).mean[1:], run.mean[1:]))
    assert compare(turned(run, 8), run)["horizon"] == pytest.approx(run.t[1])


def test_a_run_that_is_late(run):
    late = changed(run, np.concatenate([run.m[:1], run.m[:-1]]))
    errors = compare(late, run)
    assert errors["first zero"] == pytest.approx(1e-11, rel=1e-6) == errors["switching time"]
    early = compare(changed(run, np.concatenate([run.m[1:], run.m[-1:]])), run)
    assert early["first zero"] == pytest.approx(-1e-11, rel=1e-6)


def test_what_the_start_is_does_not_count(run):
    other = run.m.copy()
    other[0] = other[0][::-1]
    a, b = (compare(changed(run, m), run) for m in (run.m, other))
    assert all(a[k] == b[k] for k in a if k != "energy rises")


def test_the_split_of_the_l2_error(run):
    m = turned(run, 3).m
    parts = split_l2(m, run.m, Half)
    whole = relative_l2(m, run.m)
    assert whole <= parts["autoencoder"] + parts["predictor"] and parts["predictor"] <= whole + parts["autoencoder"]
    perfect = split_l2(Half.decode(run.m, True), run.m, Half)
    assert perfect["predictor"] == 0 and perfect["autoencoder"] == pytest.approx(parts["autoencoder"])


def test_states_that_are_not_finite(run):
    m = run.m.copy()
    m[20:] = np.nan
    errors = compare(changed(run, m), run)
    assert np.isnan([errors[k] for k in ("film average", "L2", "angle", "angle 99 %", "length", "energy",
                                         "switching time")]).all()
    assert errors["horizon"] == pytest.approx(run.t[20]) and np.isnan(errors["energy rises"])
    gone = compare(changed(run, run.m * np.nan), run)  # it ran away at once
    assert np.isnan([gone[k] for k in gone if k != "horizon"]).all() and gone["horizon"] == run.t[1]


@pytest.mark.parametrize("call, name", [
    (lambda one: compare(one, one), "run"), (lambda one: compare(one, changed(one, one.m[:0], t=one.t[:0])), "run"),
    (lambda one: film_average_error(one.mean[1:], one.mean[1:]), "mean"),
    (lambda one: relative_l2(one.m[1:], one.m[1:]), "m"), (lambda one: relative_l2(one.m[1:], one.m[1:], (-3, -2, -1)), "m"),
    (lambda one: kind(one.mean[:, 0], twist(one.m)), "mx"), (lambda one: kind([np.nan] * 3, [0, 0, 0]), "mx"),
    (lambda one: kind([1, 0, -1], [0, np.nan, 7]), "twist"), (lambda one: energy_rises(energies(one)), "energy"),
    (lambda one: energy_rises([np.nan] * 3), "energy"), (lambda one: energy_rises([3, np.nan, 4, 5]), "energy")])
def test_nobody_can_tell_from_nan_or_a_single_state(run, call, name):
    with pytest.raises(ValueError, match=f"^{name}: got"):
        call(changed(run, run.m[:1], t=run.t[:1]))


def test_only_the_film_counts():
    film = Film((128e-9, 32e-9, 3e-9), (32, 8), mask=lambda x, y: np.abs(x) + 0 * y < 40e-9)
    run = llg.simulate((-40e-3, 5e-3), film, duration=2e-11, progress=False)
    errors = compare(turned(run, 2), run)
    assert errors["length"] < 1e-6 and 1.5 < errors["angle"] <= 2.001
    assert compare(run, run)["energy"] == 0


def test_in_a_field_that_changes_energy_may_rise(run):
    swept = changed(run, field=np.linspace([0, 0, 0], run.field, len(run)))
    assert np.isnan(compare(swept, swept)["energy rises"])


@pytest.mark.parametrize("what, other", [
    ("film", lambda r: changed(r, film=r.film.replace(alpha=0.1))),
    ("film", lambda r: Trajectory(r.t, r.m[:, ::2, ::2], r.field, Film(r.film.size, (16, 4)))),
    ("times", lambda r: changed(r, r.m[:-1], t=r.t[:-1])), ("times", lambda r: changed(r, t=2 * r.t)),
    ("field", lambda r: changed(r, field=r.field + [0, 1e-4, 0])),
])
def test_what_cannot_be_compared(run, what, other):
    with pytest.raises(ValueError, match=f"^run: its {what}"):
        compare(other(run), run)
    for pair, name in (((run.m, run), "run"), ((run, run.mean), "reference")):
        with pytest.raises(TypeError, match=f"^{name}: got ndarray; a magbook.Trajectory is needed"):
            compare(*pair)


def test_states_of_a_data_set_are_numbers_too():
    rng = np.random.default_rng(0)
    a, b = (m / np.linalg.norm(m, axis=-1, keepdims=True) for m in rng.normal(size=(2, 3, 4, 5, 3)))
    stored = [np.rint(m * dataset.SCALE).astype(np.int16) for m in (a, b)]
    for function in (metrics.relative_l2, metrics.angle_error):
        np.testing.assert_allclose(function(*stored), function(a, b), rtol=1e-3)
    assert metrics.length_error(stored[0]).max() < 1e-4


@pytest.mark.parametrize("function", ["relative_l2", "angle_error"])
def test_shapes_that_only_broadcast_are_refused(function):
    with pytest.raises(ValueError, match=r"^m: got shape \(10, 2, 2, 3\)"):
        getattr(metrics, function)(np.ones((10, 2, 2, 3)), np.ones((1, 2, 2, 3)))
