"""Applied fields: vectors, polar coordinates, the fan, and signals in time."""

import pickle

import numpy as np
import pytest
from scipy.stats import qmc

from magbook import applied, llg
from magbook.applied import fan
from magbook.film import Film

SIGNALS = [applied.step((-30e-3, 5e-3), at=1e-10, rise=2e-11, before=(10e-3, 0)), applied.pulse((0, 30e-3), 50e-12, at=1e-11, rise=4e-12),
           applied.ramp((40e-3, 0), (-40e-3, 0), 1e-9, back=True), applied.rotating(30e-3, 2e9, 90.0, (0, -5e-3)),
           applied.noise(20e-3, 2e-9, seed=3), applied.piecewise([0, 1e-10, 1e-10, 3e-10], [(0, 0), (1e-2, 0), (0, 1e-2), (0, 0, 5e-3)])]


# ---------------------------------------------------------------------------- vectors


def polar(fields):
    """Direction in degrees and strength in T, by another formula than the module's."""
    z = fields[:, 0] + 1j * fields[:, 1]
    return np.degrees(np.angle(z)) % 360, np.abs(z)


def test_polar_there_and_back():
    strength, direction = np.array([[22e-3, 41e-3], [5e-3, 1.0]]), np.array([0.0, 359.5])
    b = applied.from_polar(strength, direction)
    assert b.shape == (2, 2, 3) and not b[..., 2].any()
    back = applied.to_polar(b)
    np.testing.assert_allclose(back[0], strength, rtol=1e-12)
    np.testing.assert_allclose(back[1], [[0, 359.5]] * 2, atol=1e-9)
    np.testing.assert_allclose(applied.from_polar(25e-3, 170), (-24.62e-3, 4.341e-3, 0), atol=1e-5)  # standard problem 4
    np.testing.assert_allclose(applied.to_polar((-35.5e-3, -6.3e-3)), (36.05e-3, 190.06), rtol=1e-3)


def test_a_constant_field_is_sampled():
    t = np.linspace(0, 1e-9, 7)
    np.testing.assert_array_equal(applied.sample((1e-3, 2e-3), t), [[1e-3, 2e-3, 0]] * 7)


@pytest.mark.parametrize("bad, says", [((np.nan, 0), "every component must be finite"), ((1, 2, 3, 4), "got shape"),
                                       ((0, 2e4), "looks like H in A/m"), ("x", "mu0.H in tesla is needed")])
def test_what_a_function_gives_is_checked_at_each_time(bad, says):
    field = lambda t: bad if t > 1e-10 else (0, 0)
    with pytest.raises((ValueError, TypeError), match=rf"^field: .*{says}.* \(at t = 2e-10 s\)"):
        applied.sample(field, [0, 1e-10, 2e-10])


# ---------------------------------------------------------------------------- the fan


@pytest.mark.parametrize("sampling", ["random", "sobol"])
def test_the_papers_fan(sampling):
    fields = fan(1024, sampling=sampling)
    angle, strength = polar(fields)
    assert fields.shape == (1024, 3) and not fields[:, 2].any()
    for values, low, high in ((angle, 158, 202), (strength, 22e-3, 41e-3)):
        assert values.min() >= low and values.max() <= high
        assert np.ptp(values) > 0.98 * (high - low)
        # uniform: no tenth holds much more than a tenth
        assert np.histogram(values, 10, (low, high))[0].max() < 140
    assert abs(np.corrcoef(angle, strength)[0, 1]) < 0.1
    assert len(fan()) == 200


def test_another_fan():
    angle, strength = polar(fan(200, angle=30, opening=10, strength=(0.1, 0.2)))
    assert 25 <= angle.min() < 27 and 33 < angle.max() <= 35 and 0.1 <= strength.min() and strength.max() <= 0.2
    assert len(np.unique(polar(fan(10, opening=0))[0].round(9))) == 1
    assert np.allclose(polar(fan(10, strength=(0.03, 0.03)))[1], 0.03)


@pytest.mark.parametrize("sampling", ["random", "sobol"])
def test_a_larger_fan_begins_with_the_smaller(sampling):
    large = fan(300, sampling=sampling)
    for n in (1, 2, 20, 200, 256):
        assert np.array_equal(fan(n, sampling=sampling), large[:n])


@pytest.mark.parametrize("sampling", ["random", "sobol"])
def test_the_seed_decides(sampling):
    a, b, c = (fan(50, seed=s, sampling=sampling) for s in (1, 1, 2))
    assert np.array_equal(a, b) and not np.isclose(a, c).all(axis=1).any()
    np.random.seed(0)  # noqa: NPY002
    assert np.array_equal(fan(50, seed=1, sampling=sampling), a)  # nothing global


PINNED = {  # mT
    "random": [[-29.277379934637, 8.192690304408], [-40.102532348318, 4.943247221840], [-32.903445499697, 1.218508650516]],
    "sobol": [[-28.921227279556, 5.980706658516], [-34.473353761873, -6.572154903154], [-32.253393160814, 10.658262684265]]}


def test_the_seed_gives_these_fields_on_any_machine():
    """Written down, so that another generator, or another order of its numbers, is noticed."""
    np.testing.assert_allclose(fan()[[0, 1, 199], :2] * 1e3, PINNED["random"], atol=1e-9)
    np.testing.assert_allclose(fan(sampling="sobol")[[0, 1, 199], :2] * 1e3, PINNED["sobol"], atol=1e-9)


def test_sobol_is_more_even():
    def discrepancy(sampling, seed):
        angle, strength = polar(fan(200, seed=seed, sampling=sampling))
        return qmc.discrepancy(np.clip(np.stack([(angle - 158) / 44, (strength - 22e-3) / 19e-3], 1), 0, 1))

    even = [discrepancy("sobol", s) for s in range(5)]
    assert max(even) < 0.3 * min(discrepancy("random", s) for s in range(5))


BAD = [("n", v) for v in (0, -1, 2.5, "a", None)] + [
    ("strength", v) for v in ((0.04, 0.02), (-0.01, 0.02), (0.02,), (0.02, np.nan), (0, np.inf), 0.02, "ab", None)] + [
    ("opening", v) for v in (-1, 361, np.nan, "a", None)] + [("angle", v) for v in (np.nan, np.inf, "a", None)] + [
    ("sampling", v) for v in ("halton", None, 3)]


@pytest.mark.parametrize("name, value", BAD)
def test_what_is_not_a_fan(name, value):
    with pytest.raises((ValueError, TypeError), match=f"^{name}: got"):
        fan(**{"n": 4, name: value})


# ---------------------------------------------------------------------------- signals


@pytest.mark.parametrize("signal", SIGNALS, ids=str)
def test_a_signal_is_a_field_in_time_that_says_what_it_is(signal):
    b = applied.sample(signal, np.linspace(0, 3e-9, 50))
    assert b.shape == (50, 3) and np.ptp(b, axis=0).max() > 1e-3
    again = pickle.loads(pickle.dumps(signal))
    assert again == signal and repr(again) == repr(signal) and hash(again) == hash(signal)
    assert any(unit in repr(signal) for unit in ("mT", "table"))
    assert list(signal.breaks) == sorted(set(signal.breaks))


def test_many_times_at_once_are_as_one_by_one():
    """At jumps, before the first and after the last too."""
    t = np.array([0, *np.arange(60) * 5e-12, 1e-10 * (1 - 1e-14), 1e-8])
    for signal in (*SIGNALS, applied.joined(SIGNALS[:3], [1e-10] * 3)):
        assert np.array_equal(signal(t), [signal(s) for s in t]) and np.array_equal(applied.sample(signal, t), signal(t))
    strong = applied.Lines((0, 1e-9), ((0, 0, 0), (2000, 0, 0)), "too strong")
    with pytest.raises(ValueError, match=r"^field: .*A/m.* \(at t = 1e-09 s\)"):
        applied.sample(strong, [0, 1e-9])


def test_a_step():
    late = applied.step((-30e-3, 0), at=1e-10, rise=2e-11, before=(10e-3, 0))
    np.testing.assert_allclose(applied.sample(late, [0, 1e-10, 1.1e-10, 1.2e-10, 1e-9])[:, 0], [10e-3, 10e-3, -10e-3, -30e-3, -30e-3], atol=1e-12)
    assert late.breaks == (1e-10, 1.2e-10)
    sharp = applied.step((-30e-3, 0), at=1e-10)
    np.testing.assert_allclose(applied.sample(sharp, [0.9999e-10, 1e-10])[:, 0], [0, -30e-3])
    assert repr(sharp) == "step to (-30, 0) mT at 100 ps, rise 0 ps, from (0, 0) mT"


@pytest.mark.parametrize("rise", [0, 1e-11, 5e-11])
def test_the_area_of_a_pulse_is_field_times_width(rise):
    pulse = applied.pulse((0, 30e-3), width=50e-12, at=20e-12, rise=rise, bias=(-10e-3, 0))
    t = (np.arange(40_000) + 0.5) * 5e-15  # to 0.2 ns
    b = applied.sample(pulse, t)
    np.testing.assert_allclose(b[:, 0], -10e-3, rtol=1e-12)
    np.testing.assert_allclose(b[:, 1].sum() * 5e-15, 30e-3 * 50e-12, rtol=1e-6)
    np.testing.assert_allclose(b[:, 1].max(), 30e-3, rtol=1e-3)


def test_a_jump_on_a_sample_is_seen_there():
    """5 * 1e-11 is a little less than 5e-11."""
    t = np.arange(101) * 1e-11
    for k in range(1, 100):
        for at in (k * 1e-11, float(f"{k}e-11")):
            np.testing.assert_array_equal(applied.sample(applied.step((1e-3, 0), at=at), t)[:, 0], 1e-3 * (np.arange(101) >= k))


def test_a_ramp_there_and_back():
    ramp = applied.ramp((40e-3, 0), (-40e-3, 10e-3), 1e-9, back=True)
    b = applied.sample(ramp, [0, 0.25e-9, 1e-9, 1.75e-9, 2e-9, 9e-9])
    np.testing.assert_allclose(b[:, 0], [40e-3, 20e-3, -40e-3, 20e-3, 40e-3, 40e-3], atol=1e-12)
    np.testing.assert_allclose(b[:, 1], [0, 2.5e-3, 10e-3, 2.5e-3, 0, 0], atol=1e-12)


def test_a_rotating_field_turns_left_once_a_period():
    t = np.linspace(0, 1e-9, 201)
    strength, angle = applied.to_polar(applied.sample(applied.rotating(30e-3, 2e9, direction=90), t))
    np.testing.assert_allclose(strength, 30e-3, rtol=1e-12)
    np.testing.assert_allclose(np.unwrap(np.deg2rad(angle)), np.pi / 2 + 2 * np.pi * 2e9 * t, atol=1e-9)
    back = applied.to_polar(applied.sample(applied.rotating(30e-3, -2e9, direction=90), t))[1]
    np.testing.assert_allclose(np.unwrap(np.deg2rad(back)), np.pi / 2 - 2 * np.pi * 2e9 * t, atol=1e-9)


def test_noise_has_its_strength_and_nothing_above_its_cutoff():
    t = np.arange(1000) * 2e-12
    b = applied.sample(applied.noise(20e-3, 2e-9, cutoff=3e9, seed=5), t)
    assert np.sqrt(np.mean(np.sum(b**2, axis=1))) == pytest.approx(20e-3, rel=1e-9) and not b[:, 2].any()
    power = np.abs(np.fft.rfft(b[:, :2], axis=0))**2
    waves = np.fft.rfftfreq(1000, 2e-12)
    assert power[waves > 3.01e9].sum() < 1e-20 * power.sum() and power[(waves > 0) & (waves < 3.01e9)].min() > 1e-6 * power.max()
    np.testing.assert_allclose(applied.noise(20e-3, 2e-9, seed=5)(3.3e-10), applied.noise(20e-3, 2e-9, seed=5)(2.33e-9), atol=1e-12)
    assert applied.noise(20e-3, 2e-9, seed=5) == applied.noise(20e-3, 2e-9, seed=5) != applied.noise(20e-3, 2e-9, seed=6)
    np.testing.assert_allclose(applied.noise(20e-3, 2e-9)(0.0), (1.39876e-3, 0.38682e-3, 0), atol=1e-8)  # on every machine


@pytest.mark.parametrize("make, name", [
    (lambda: applied.from_polar("a", 3), "strength"), (lambda: applied.from_polar(1e-3, [None, {}]), "direction"),
    (lambda: applied.to_polar(3.0), "fields"), (lambda: applied.to_polar("ab"), "fields"), (lambda: applied.sample((0, 0), 5), "t"),
    (lambda: applied.step((0, 0), rise=-1e-12), "rise"), (lambda: applied.step((0, np.inf)), "field"),
    (lambda: applied.step((0, 0), at=np.nan), "at"), (lambda: applied.step((0, 0), before=(0, np.nan)), "before"), (lambda: applied.pulse((0, 0), width=0), "width"),
    (lambda: applied.pulse((0, 0), width=1e-12, rise=2e-12), "width"), (lambda: applied.ramp((0, 0), (0, 1), 0.0), "duration"),
    (lambda: applied.piecewise([0, 2e-9, 1e-9], [(0, 0)] * 3), "times"), (lambda: applied.piecewise([0, 1e-9], [(0, 0)]), "times"),
    (lambda: applied.piecewise([], []), "times"), (lambda: applied.piecewise([0], [(0, 0, 0, 0)]), "fields"), (lambda: applied.piecewise([0], 3), "fields"),
    (lambda: applied.piecewise("ab", [(0, 0)] * 2), "times"), (lambda: applied.ramp((0, 0), "x", 1e-9), "end"),
    (lambda: applied.rotating(1e-3, np.inf), "strength, frequency, direction"), (lambda: applied.rotating(1e5, 1e9), "strength"), (lambda: applied.rotating(1e-3, 1e9, bias="x"), "bias"),
    (lambda: applied.noise(-1e-3, 1e-9), "strength"), (lambda: applied.noise(1e-3, 1e-10), "cutoff"),
    (lambda: applied.noise(1e-3, "1 ns"), "duration"), (lambda: applied.noise(1e-3, 0), "duration"),
    (lambda: applied.noise(1e-3, 1e-9, "3 GHz"), "cutoff"), (lambda: applied.noise(1e-3, 1e-9, seed="a"), "seed")])
def test_what_is_no_signal(make, name):
    with pytest.raises((ValueError, TypeError), match=f"^{name}: got"):
        make()


def test_the_film_answers_a_step_at_once_as_a_constant_field():
    film, options = Film((64e-9, 32e-9, 3e-9), (16, 8)), dict(duration=1e-10, progress=False)
    b = (-60e-3, 20e-3)
    one, other = llg.simulate(b, film, **options), llg.simulate(applied.step(b), film, **options)
    np.testing.assert_array_equal(one.m, other.m)
    assert other.field.shape == (11, 3) and np.array_equal(other.field, [one.field] * 11)


# ---------------------------------------------------------------------------- signals one after another


def test_signals_one_after_another():
    pulse, turn = applied.pulse((0, 30e-3), 1e-10, rise=2e-11, bias=(5e-3, 0)), applied.rotating(20e-3, 1e9)
    both = applied.joined([pulse, turn, applied.step((1e-3, 0), at=1e-10)], [3e-10, 5e-10, 1e-9])
    for t in (0.0, 5e-11, 2.9e-10):
        np.testing.assert_array_equal(both(t), pulse(t))
    for t in (3e-10, 4.3e-10, 7.99e-10):
        np.testing.assert_allclose(both(t), turn(t - 3e-10), atol=1e-15)
    np.testing.assert_array_equal([both(8.5e-10), both(5e-9)], [(0, 0, 0), (1e-3, 0, 0)])
    np.testing.assert_allclose(both.breaks, [0, 2e-11, 1e-10, 1.2e-10, 3e-10, 8e-10, 9e-10], atol=1e-18)
    assert pickle.loads(pickle.dumps(both)) == both and "rotating" in repr(both)
    other = applied.joined([pulse, turn, applied.step((1e-3, 0), at=1e-10)], [3e-10, 5.1e-10, 1e-9])
    assert applied.describe(both) != applied.describe(other)
    with pytest.raises(ValueError, match="^durations: got"):
        applied.joined([pulse, turn], [1e-9, 0])


def test_driven_signals_are_of_all_kinds_below_the_largest_and_the_same_for_every_n():
    signals = applied.driven(60, 5, 4e-9, 45e-3)
    assert signals[:7] == applied.driven(7, 5, 4e-9, 45e-3) and signals[0] != applied.driven(1, 6, 4e-9, 45e-3)[0]
    b = np.array([applied.sample(one, np.arange(0, 4e-9, 1e-11)) for one in signals])
    size, angle = applied.to_polar(b)
    assert 44e-3 < size.max() < 45.5e-3 and 0.015 < size.mean() < 0.03 and not b[..., 2].any()
    assert (np.histogram(angle, np.arange(0, 361, 45))[0] > 0.05 * angle.size).all()  # no direction is left out
    texts = " ".join(map(repr, signals))
    assert all(word in texts for word in ("step", "table", "pulse", "ramp", "rotating", "noise"))


@pytest.mark.slow
def test_kicks_are_strong_and_short_and_go_in_all_directions():
    t = np.arange(0, 4e-9, 1e-12)
    size, angle = applied.to_polar(np.array([applied.sample(one, t) for one in applied.driven(60, 5, kinds=["kick"])]))
    strong = size > 0.35 * 45e-3
    lasts = [len(part) for run in strong for part in np.split(run, np.flatnonzero(np.diff(run)) + 1)[:-1] if part[0]]
    assert size.max() < 45.1e-3 and strong[:, :200].any(axis=1).all()
    assert min(lasts) > 20 and max(lasts) < 200 and len(lasts) > 120  # ps
    assert (np.histogram(angle[strong], np.arange(0, 361, 45))[0] > 0.05 * strong.sum()).all()


def test_means_over_intervals():
    t = np.linspace(0, 1e-9, 11)
    np.testing.assert_allclose(applied.means(applied.ramp((0, 0), (10e-3, 0), 1e-9), t)[:, 0], np.arange(0.5, 10) * 1e-3, atol=1e-12)
    jump = applied.means(applied.step((8e-3, 0), at=3e-10), t)[:, 0]  # at the time of a state nothing is smeared
    np.testing.assert_array_equal(jump, np.where(np.arange(10) >= 3, 8e-3, 0))
    assert applied.means(applied.step((8e-3, 0), at=3.25e-10), t)[3, 0] == pytest.approx(6e-3)
    np.testing.assert_array_equal(applied.means((1e-3, 2e-3), t), np.broadcast_to([1e-3, 2e-3, 0], (10, 3)))
    wave = applied.means(applied.rotating(10e-3, 1e9), t)  # of a wave its mean, up to a thousandth
    whole = 10e-3 * np.diff(np.sin(2e9 * np.pi * t)) / (2e9 * np.pi * 1e-10)
    np.testing.assert_allclose(wave[:, 0], whole, atol=3e-5)
