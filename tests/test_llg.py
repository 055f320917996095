"""The solver: against fidimag and the published solutions of standard problem 4, against closed forms, against an
integrator of another kind, and the properties that the equation has whatever solves it."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from math import factorial
from pathlib import Path

import numpy as np
import psutil
import pytest
import resonance
from scipy.integrate import solve_ivp

from magbook import applied, demag, llg, multirate, sp4
from magbook.files import shipped
from magbook.film import MU0, Film
from magbook.trajectory import Trajectory

FIELDS = {1: sp4.FIELD_1, 2: sp4.FIELD_2}
TESTED = (Path(__file__).parents[1] / "book/tested.md").read_text()
SP4 = Film()
TINY = Film((64e-9, 32e-9, 3e-9), (16, 8))  # 4 nm cells
BACK = (-0.1, 0.05, 0.02)


def smooth(film):
    """A state that is not uniform, not symmetric and not at rest, and smooth at the edges."""
    x, y = np.meshgrid(film.x / film.size[0], film.y / film.size[1])
    phi = 0.3 + 1.5 * np.cos(np.pi * x) + 0.5 * np.cos(np.pi * y)
    theta = np.pi / 2 - 0.4 * np.sin(2 * np.pi * x) * np.cos(np.pi * y)
    return film.state(np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1))


def random_state(film, seed=0):
    m = np.random.default_rng(seed).standard_normal((film.ny, film.nx, 3))
    return film.state(m / np.linalg.norm(m, axis=-1, keepdims=True))


def run(field, film=SP4, start=None, duration=1e-10, **options):
    return llg.simulate(field, film, start, duration, progress=False, **options)


@pytest.fixture(scope="module")
def sp4_runs():
    """Both fields over 1 ns as a user gets them."""
    return {k: llg.simulate(field, progress=False) for k, field in FIELDS.items()}


@pytest.fixture(scope="module")
def sp4_double():
    return {k: llg.simulate(field, progress=False, precision="double") for k, field in FIELDS.items()}


def picture(folder, name, t, curves):
    """Save what was compared, for whoever sees the test fail; say where. Needs Matplotlib."""
    try:
        import matplotlib

        matplotlib.use("agg")
        from matplotlib import pyplot as plt
    except ImportError:
        return "install Matplotlib to get a picture"
    figure, axes = plt.subplots(2, sharex=True)
    for (label, values), style in zip(curves.items(), ("C0-", "k--")):
        axes[0].plot(t * 1e9, values, style, label=label)
    axes[1].plot(t * 1e9, np.subtract(*curves.values()))
    axes[0].legend(), axes[0].set_ylabel("mean m"), axes[1].set_ylabel("difference"), axes[1].set_xlabel("t / ns")
    figure.savefig(folder / f"{name}.png")
    plt.close(figure)
    return f"picture: {folder / name}.png"


# ---------------------------------------------------------------------------- the terms of the equation


def helix(film, turns=1.0):
    k = 2 * np.pi * turns / film.size[0]
    x, y = np.meshgrid(film.x, film.y)
    return k, np.stack([np.cos(k * x), np.sin(k * x), 0 * x], -1)


def order(errors, ratio=2.0):
    return np.log(np.array(errors[:-1]) / errors[1:]) / np.log(ratio)


def test_exchange_field_of_a_helix():
    """Away from the edges, laplacian m = -k^2 m: to second order in the cell."""
    errors = []
    for n in (32, 64, 128):
        film = Film((100e-9, 20e-9, 3e-9), (n, 4), A=2e-11, Ms=1e6)
        k, m = helix(film)
        want = -2 * 2e-11 / (MU0 * 1e6) * k**2 * m
        errors.append(np.abs(llg.exchange_field(m, film) - want)[:, 1:-1].max() / np.abs(want).max())
    assert errors[-1] < 1e-3
    np.testing.assert_allclose(order(errors), 2, atol=0.05)


@pytest.mark.parametrize("axis", [0, 1])
def test_exchange_field_with_free_edges(axis):
    """dm/dn = 0 at an edge: the angle a cos(pi s/L) keeps it, and then the edge cells are of second order too."""
    errors = []
    for n in (32, 64, 128):
        cells, size = ((n, 3), (100e-9, 9e-9, 3e-9)) if axis == 0 else ((3, n), (9e-9, 100e-9, 3e-9))
        film = Film(size, cells)
        s = (np.meshgrid(film.x, film.y)[axis]) * np.pi / 100e-9
        phi, slope, bend = 0.8 * np.cos(s), -0.8 * np.sin(s) * np.pi / 100e-9, -0.8 * np.cos(s) * (np.pi / 100e-9) ** 2
        m = np.stack([np.cos(phi), 0 * phi, np.sin(phi)], -1)
        laplacian = (bend[..., None] * np.stack([-np.sin(phi), 0 * phi, np.cos(phi)], -1) - slope[..., None] ** 2 * m)
        want = 2 * film.A / (MU0 * film.Ms) * laplacian
        errors.append(np.abs(llg.exchange_field(m, film) - want).max() / np.abs(want).max())
    assert errors[-1] < 1e-3
    np.testing.assert_allclose(order(errors), 2, atol=0.1)


def test_exchange_energy_of_a_helix():
    """A k^2 V."""
    film = Film((200e-9, 10e-9, 5e-9), (800, 2), A=1e-11)
    k, m = helix(film, turns=0.5)
    assert llg.energies(m, film)["exchange"] == pytest.approx(1e-11 * k**2 * 200e-9 * 10e-9 * 5e-9, rel=2e-3)
    assert llg.energies((1, 1, 1), film)["exchange"] == 0


def test_zeeman_energy():
    e = llg.energies((1, 0, 0), TINY, (0.1, 0.2, 0.3))
    assert e["zeeman"] == pytest.approx(-8e5 * 0.1 * 64e-9 * 32e-9 * 3e-9)
    assert e["total"] == pytest.approx(e["exchange"] + e["demag"] + e["zeeman"])


def test_demag_energy_of_a_uniform_cube():
    """mu0 Ms^2/2 * 1/3 * V."""
    film = Film((40e-9,) * 3, (10, 10))
    for m in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)):
        assert llg.energies(m, film)["demag"] == pytest.approx(MU0 * 8e5**2 / 6 * 40e-9**3, rel=1e-6)


@pytest.mark.parametrize("film", [TINY, TINY.replace(mask=lambda x, y: (x / 32e-9) ** 2 + (y / 16e-9) ** 2 <= 1)])
def test_the_field_is_minus_the_gradient_of_the_energy(film):
    """For any turning w(r) of the vectors, dE = -mu0 Ms sum (w x m).H dV."""
    m, field = smooth(film), np.array([0.03, -0.02, 0.05])
    h = llg.effective_field(m, film, field)
    for seed in range(3):
        w, e = np.random.default_rng(seed).standard_normal(m.shape), 1e-5
        turned = [m + s * e * np.cross(w, m) + e * e / 2 * np.cross(w, np.cross(w, m)) for s in (-1, 1)]
        low, high = (llg.energies(film.state(x), film, field)["total"] for x in turned)
        want = -MU0 * film.Ms * film.cell_volume * np.sum(np.cross(w, m) * h * film.inside[..., None])
        assert (high - low) / (2 * e) == pytest.approx(want, rel=1e-5)


def test_llg_right_hand_side():
    """Checked in the Gilbert form, which is implicit: dm/dt = -gamma0 m x H + alpha m x dm/dt."""
    film = TINY.replace(alpha=0.3)
    m, h = random_state(film), 1e5 * random_state(film, 1)
    rate = llg.llg(m, h, film)
    np.testing.assert_allclose(rate, -film.gamma0 * np.cross(m, h) + 0.3 * np.cross(m, rate), rtol=1e-9, atol=1e2)
    np.testing.assert_allclose(np.sum(m * rate, axis=-1), 0, atol=1e-4 * np.abs(rate).max() * 1e-9)


def test_max_torque():
    film = Film((5e-9,) * 3, (1, 1))
    assert llg.max_torque(film.state((1, 0, 0)), film, (0, 0.1, 0)) == pytest.approx(0.1 / MU0 / 8e5)
    assert llg.max_torque(film.state((1, 0, 0)), film, (0.1, 0, 0)) == pytest.approx(0, abs=1e-12)


# ---------------------------------------------------------------------------- the S-state and relaxation


def independent_torque(m, film, field=(0.0, 0.0, 0.0)):
    """max|m x H|/Ms with every sum written out, and the tensor from the charges on the cells' faces."""
    from test_demag import by_charges

    from magbook.demag import tensor

    cell = (film.dx, film.dy, film.thickness)
    n = tensor(film.cells, cell)
    for i, j in ((4, 0), (0, 4), (5, 3)):  # the tensor is right; test_demag looks closer
        want = by_charges((i, j * cell[1] / cell[0], 0), (1, cell[1] / cell[0], cell[2] / cell[0]), (12, 12, 12))
        np.testing.assert_allclose(n[:, j, i], [want[0, 0], want[1, 1], want[2, 2], want[0, 1]], atol=1e-8)
    largest = 0
    for j in range(film.ny):
        for i in range(film.nx):
            h = np.array(field) / MU0
            for q, p, d in ((j, i - 1, film.dx), (j, i + 1, film.dx), (j - 1, i, film.dy), (j + 1, i, film.dy)):
                if 0 <= q < film.ny and 0 <= p < film.nx:
                    h = h + 2 * film.A / (MU0 * film.Ms * d**2) * (m[q, p] - m[j, i])
            for q in range(film.ny):
                for p in range(film.nx):
                    xx, yy, zz, xy = n[:, abs(j - q), abs(i - p)]
                    xy *= np.sign((j - q) * (i - p))
                    mx, my, mz = m[q, p]
                    h = h - film.Ms * np.array([xx * mx + xy * my, xy * mx + yy * my, zz * mz])
            largest = max(largest, np.linalg.norm(np.cross(m[j, i], h)) / film.Ms)
    return largest


@pytest.mark.slow
@pytest.mark.parametrize("torque", [1e-4, 1e-7, 1e-9])
def test_relax_reaches_the_torque(torque):
    film = Film((100e-9, 40e-9, 5e-9), (12, 5))
    field = (0.002, 0.001, 0.0)
    m = llg.relax(film, field, torque=torque, progress=False)
    assert m.dtype == np.float64 and np.abs(np.linalg.norm(m, axis=-1) - 1).max() < 1e-14
    assert independent_torque(m, film, field) <= torque * 1.001 + 1e-15
    if torque == 1e-9:  # it did some work, and stopped where it was told
        assert independent_torque(llg.relax(film, field, torque=1e-4, progress=False), film, field) > 1e-8


def test_s_state_of_standard_problem_4():
    m = llg.s_state()
    np.testing.assert_allclose(m.mean(axis=(0, 1)), (0.966648, 0.125873, 0), atol=1e-5)
    e = llg.energies(m, SP4)
    assert e["exchange"] == pytest.approx(9.06824e-20, rel=1e-4)
    assert e["demag"] == pytest.approx(5.38053e-19, rel=1e-4)
    assert llg.max_torque(m, SP4) < 5e-6  # it ships in single precision
    np.testing.assert_allclose(m, m[::-1, ::-1], atol=1e-6)
    m[:] = 0  # a copy: nobody's S-state is spoiled
    assert llg.s_state().any()


def test_s_state_ignores_damping():
    m = llg.s_state()
    for change in (dict(alpha=1.0), dict(gamma0=1e5)):
        assert np.array_equal(llg.s_state(SP4.replace(**change)), m)


@pytest.mark.slow
def test_s_state_from_two_sides():
    """From another start, and down from saturation along (1, 1, 1): the same state."""
    film = Film(cells=(64, 16))
    m = llg.s_state(film)
    assert llg.max_torque(m, film) <= 1e-7
    # coarser cells, a neighbouring state
    np.testing.assert_allclose(m.mean(axis=(0, 1)), (0.966648, 0.125873, 0), atol=5e-3)
    for start in ((1, 0.6, 0.3), random_near_x(film)):
        other = llg.relax(film, start=start, torque=1e-7, progress=False)
        np.testing.assert_allclose(other, m, atol=1e-5)
    down = (1, 1, 1)
    for strength in (1.0, 0.3, 0.1, 0.03, 0.01, 0.0):
        down = llg.relax(film, strength * np.ones(3) / 3**0.5, start=down, torque=1e-7 if strength == 0 else 1e-5,
                         progress=False)
    np.testing.assert_allclose(down, m, atol=1e-5)


def random_near_x(film):
    m = np.array([1.0, 0.4, 0.0]) + 0.2 * np.random.default_rng(3).standard_normal((film.ny, film.nx, 3))
    return m / np.linalg.norm(m, axis=-1, keepdims=True)


@pytest.mark.slow
def test_relaxing_is_where_damping_ends():
    """Strongly damped dynamics, left alone, come to the state that relax finds."""
    film = Film((100e-9, 50e-9, 3e-9), (20, 10), alpha=1.0)
    start = film.state((1, 0.25, 0.1))
    end = run((0, 0), film, start, 5e-9, every=1e-9, precision="double").m[-1]
    np.testing.assert_allclose(end, llg.relax(film, torque=1e-9, progress=False), atol=1e-5)


def test_relax_says_when_it_can_not():
    with pytest.raises(RuntimeError, match=r"after 7 iterations max\|m x H\|/Ms is .*e-.*not 1e-06"):
        llg.relax(Film(cells=(32, 8)), iterations=7, progress=False)
    with pytest.raises(RuntimeError, match="not 1e-30"):  # below rounding
        llg.relax(Film((40e-9, 20e-9, 3e-9), (8, 4)), torque=1e-30, iterations=500, progress=False)


def test_energy_of_the_s_state_is_a_minimum():
    film = Film((100e-9, 40e-9, 5e-9), (20, 8))
    m = llg.relax(film, torque=1e-9, progress=False)
    lowest = llg.energies(m, film)["total"]
    for seed in range(5):
        w = 1e-2 * np.random.default_rng(seed).standard_normal(m.shape)
        moved = m + np.cross(w, m)
        assert llg.energies(moved / np.linalg.norm(moved, axis=-1, keepdims=True), film)["total"] > lowest


# ---------------------------------------------------------------------------- standard problem 4


@pytest.mark.parametrize("k", [1, 2])
def test_means_against_fidimag(sp4_runs, k, tmp_path):
    """The largest difference of any mean, at any time of the nanosecond: 2.0e-5 and 5.9e-5 where this was written."""
    mine, reference = sp4_runs[k], sp4.reference("fidimag", k)
    np.testing.assert_allclose(mine.t * 1e9, reference["t_ns"], atol=1e-9)
    for i, name in enumerate(("mx", "my", "mz")):
        off = np.abs(mine.mean[:, i] - reference[name]).max()
        assert off <= 1e-4, picture(tmp_path, name, mine.t, {"magbook": mine.mean[:, i], "fidimag": reference[name]})


@pytest.mark.parametrize("k", [1, 2])
def test_whole_states_against_fidimag(sp4_runs, k):
    """float16, as the reference is stored, is itself off by up to 2.4e-4."""
    with np.load(shipped(f"sp4_fidimag_states_field{k}.npz"), allow_pickle=False) as z:
        assert len(z["t_ns"]) == 8 and z["t_ns"][-1] == pytest.approx(1)
        for t, m in zip(z["t_ns"], z["m"]):
            assert np.abs(sp4_runs[k].at(t * 1e-9) - m.astype(float)).max() <= 2e-3, f"{t} ns"  # required: 5e-3


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 2])
def test_within_the_published_band(sp4_runs, k, tmp_path):
    """At every time within two standard deviations of the mean of the submissions; field 1 within one.

    Field 2 leaves the one-sigma band for a tenth of the time, late, where the submissions disagree most. At t = 0
    and the first few points the deviation is of the order of 1e-5 for mz, hence the floor.
    """
    published = sp4.reference("mumag", k)
    mine = sp4_runs[k]
    np.testing.assert_allclose(published["t_ns"], mine.t[::2] * 1e9, atol=1e-6)
    for i, c in enumerate("xyz"):
        off = np.abs(mine.mean[::2, i] - published[f"m{c}_mean"])
        sigma = published[f"m{c}_std"] + 2e-4
        message = picture(tmp_path, c, mine.t[::2], {"magbook": mine.mean[::2, i], "muMAG": published[f"m{c}_mean"]})
        assert (off <= 2 * sigma).all(), message
        assert (off <= sigma).mean() >= (1.0 if k == 1 else 0.85), message


@pytest.mark.slow
@pytest.mark.parametrize("k, zero", [(1, 0.13847e-9), (2, 0.13678e-9)])
def test_first_zero_of_mx(k, zero):
    fine = run(FIELDS[k], duration=1.5e-10, every=1e-12)
    x = fine.mean[:, 0]
    i = np.flatnonzero(x < 0)[0]
    assert fine.t[i] - fine.t[i - 1] == pytest.approx(1e-12)
    crossing = fine.t[i - 1] + 1e-12 * x[i - 1] / (x[i - 1] - x[i])
    assert crossing == pytest.approx(zero, abs=1.5e-14)


def test_what_is_returned(sp4_runs):
    r = sp4_runs[1]
    assert r.m.shape == (101, 64, 256, 3) and r.m.dtype == np.float32 and r.film == SP4
    np.testing.assert_allclose(r.t, np.linspace(0, 1e-9, 101), atol=1e-20)
    assert r.field.tolist() == list(sp4.FIELD_1)
    np.testing.assert_allclose(r.m[0], llg.s_state(), atol=1e-7)
    assert r.info["solver"] == "magbook" and r.info["field evaluations"] < 1000
    assert run((0, 0), TINY, (1, 0, 0), precision="double").m.dtype == np.float64


@pytest.mark.parametrize("kind", [np.int64, np.float32, np.float64, int])
def test_numbers_of_numpy_s_are_taken_and_saved(tmp_path, kind):
    r = run((0, 0), TINY, (1, 0, 0), 2e-12, every=np.float64(1e-12), accuracy=kind(2))
    r.save(tmp_path / "run.npz")
    assert Trajectory.load(tmp_path / "run.npz").info["accuracy"] == 2


# ---------------------------------------------------------------------------- length, precision, symmetry, energy


def test_length_is_one_to_rounding(sp4_runs, sp4_double):
    for k in FIELDS:
        for runs, tolerance in ((sp4_runs, 3e-7), (sp4_double, 1e-14)):
            assert np.abs(np.linalg.norm(runs[k].m.astype(float), axis=-1) - 1).max() <= tolerance


def test_single_precision_is_enough(sp4_runs, sp4_double):
    """1e-6 over the nanosecond, where this was written."""
    for k in FIELDS:
        np.testing.assert_allclose(sp4_runs[k].mean, sp4_double[k].mean, atol=2e-5)
        np.testing.assert_allclose(sp4_runs[k].m[:31], sp4_double[k].m[:31], atol=2e-4)


@pytest.mark.parametrize("k", [1, 2])
def test_inversion_symmetry_is_kept(sp4_runs, sp4_double, k):
    """m(-x, -y) = m(x, y), since S-state, field and equation have it.

    What is left grows from the 1.4e-8 of the shipped S-state's rounding: not at all in double precision; in single
    to 4e-6 (field 1) and 4e-5 (field 2).
    """
    def asymmetry(r):
        return max(np.abs(m - m[::-1, ::-1]).max() for m in r.m)

    assert asymmetry(sp4_runs[k]) < 2e-4
    assert asymmetry(sp4_double[k]) < 1e-6


MIRRORS = {  # of m, an axial vector: which components change sign, and which axes are turned round
    "x": ((1, -1, -1), (1,)), "y": ((-1, 1, -1), (0,)), "z": ((-1, -1, 1), ())}


@pytest.mark.parametrize("mirror", MIRRORS)
def test_mirror_symmetries(mirror):
    signs, axes = MIRRORS[mirror]
    reflect = lambda m: np.flip(m, axes) * signs
    start, options = smooth(TINY), dict(film=TINY, duration=5e-11, precision="double")
    a = run(BACK, start=start, **options)
    b = run(np.multiply(BACK, signs), start=reflect(start), **options)
    assert np.abs(a.m[-1] - a.m[0]).max() > 0.1
    for one, other in zip(a.m, b.m):
        np.testing.assert_allclose(other, reflect(one), atol=1e-11)


def test_x_and_y_are_alike():
    """A film turned by 90 degrees does the same."""
    tall = Film((32e-9, 64e-9, 3e-9), (8, 16))
    turn = lambda m: np.stack([-m[..., 1], m[..., 0], m[..., 2]], -1)  # of vectors, counter-clockwise
    start = smooth(TINY)
    a = run(BACK, TINY, start, 5e-11, precision="double", accuracy=8)
    b = run(turn(np.array(BACK)), tall, turn(np.rot90(start, -1)), 5e-11, precision="double", accuracy=8)
    for one, other in zip(a.m, b.m):  # what joins the exchange is not quite the same in x and in y
        np.testing.assert_allclose(other, turn(np.rot90(one, -1)), atol=1e-6)


@pytest.mark.parametrize("k", [1, 2])
def test_energy_never_rises(sp4_runs, k):
    energy = np.array([llg.energies(m, SP4, FIELDS[k])["total"] for m in sp4_runs[k].m])
    # single precision of m is worth some 1e-24 J here; the least that it falls by in 0.01 ns is 6e-22 J
    assert np.diff(energy).max() < 0
    assert energy[0] - energy[-1] > 5e-18


@pytest.mark.parametrize("alpha", [0.02, 0.5, 2.0])
def test_rate_of_dissipation(alpha):
    """dE/dt = -mu0 Ms alpha gamma0/(1 + alpha^2) sum |m x H|^2 dV."""
    film = TINY.replace(alpha=alpha)
    every = 5e-14
    r = run(BACK, film, smooth(film), 4 * every, every=every, precision="double", accuracy=2)
    e = [llg.energies(m, film, BACK)["total"] for m in r.m]
    rate = (e[0] - 8 * e[1] + 8 * e[3] - e[4]) / (12 * every)  # fourth order
    mxh = np.cross(r.m[2], llg.effective_field(r.m[2], film, BACK))
    want = -MU0 * 8e5 * alpha * 2.211e5 / (1 + alpha**2) * np.sum(mxh**2) * film.cell_volume
    assert want < 0 and rate == pytest.approx(want, rel=2e-3)


def test_energy_is_kept_without_damping():
    film = TINY.replace(alpha=0)
    r = run(BACK, film, smooth(film), 2e-10, accuracy=4, precision="double")
    e = np.array([llg.energies(m, film, BACK) | {} for m in r.m])
    total = np.array([x["total"] for x in e])
    exchanged = np.ptp([x["zeeman"] for x in e])
    assert exchanged > 1e-20 and np.ptp(total) < 1e-4 * exchanged


def test_time_runs_backwards_without_damping():
    """m -> -m, H -> -H turns time round: back to the start."""
    film = TINY.replace(alpha=0)
    start = smooth(film)
    there = run(BACK, film, start, 5e-11, accuracy=8, precision="double").m[-1]
    back = run(-np.array(BACK), film, -there, 5e-11, accuracy=8, precision="double").m[-1]
    assert np.abs(there - start).max() > 0.5
    np.testing.assert_allclose(-back, start, atol=1e-5)


# ---------------------------------------------------------------------------- closed forms


@pytest.mark.parametrize("alpha, field", [(0.0, 0.3), (0.02, 0.3), (0.1, 0.1), (1.0, 0.2), (0.02, -0.3)])
def test_macrospin(alpha, field):
    """One cubic cell has no torque of its own: mz = tanh(artanh mz(0) + alpha w t), phi = phi(0) + w t with
    w = gamma0 H/(1 + alpha^2)."""
    film = Film((5e-9,) * 3, (1, 1), alpha=alpha)
    r = run((0, 0, field), film, film.state((0.8, 0.3, -0.2)), 2e-10, every=1e-12, accuracy=2)
    w = 2.211e5 * field / (4e-7 * np.pi) / (1 + alpha**2)
    x, y, z = r.m[:, 0, 0].T.astype(float)
    np.testing.assert_allclose(z, np.tanh(np.arctanh(z[0]) + alpha * w * r.t), atol=2e-5)
    phase = np.unwrap(np.arctan2(y, x))
    moving = np.hypot(x, y) > 1e-2
    assert abs(w) * r.t[-1] > 2
    np.testing.assert_allclose((phase - phase[0])[moving], (w * r.t)[moving], atol=1e-3)


def test_ferromagnetic_resonance():
    """Kittel: a small uniform motion of a cuboid in a field along x has w^2 = gamma0^2 (H + (Ny - Nx) Ms)(H + (Nz - Nx) Ms),
    with demagnetizing factors from Aharoni's formula."""
    from test_demag import aharoni

    a, b, c = 40e-9, 20e-9, 5e-9
    film = Film((a, b, c), (1, 1), alpha=0.0)  # one cell, so that it stays uniform
    nx, ny, nz = aharoni(b, c, a), aharoni(a, c, b), aharoni(a, b, c)
    h = 0.05 / MU0
    w = 2.211e5 * np.sqrt((h + (ny - nx) * 8e5) * (h + (nz - nx) * 8e5))
    r = run((0.05, 0, 0), film, film.state((1, 0.002, 0)), 3e-10, every=1e-12, accuracy=2, precision="double")
    my = r.m[:, 0, 0, 1]
    np.testing.assert_allclose(my, my[0] * np.cos(w * r.t), atol=2e-3 * my[0])


def test_spin_wave_of_exchange():
    """A standing wave, nearly without dipoles: w = gamma0 (H + 2A k^2/(mu0 Ms)) with the k^2 of the lattice."""
    film = Film((200e-9, 5e-9, 5e-9), (40, 1), Ms=1e3, A=1e-14, alpha=0.0)
    k2 = 4 / film.dx**2 * np.sin(np.pi * 3 / (2 * 40)) ** 2  # three half waves
    w = film.gamma0 * (0.2 / MU0 + 2 * 1e-14 * k2 / (MU0 * 1e3))
    wave = 1e-3 * np.cos(3 * np.pi * film.x / 200e-9)
    start = film.state(np.stack([wave, 0 * wave, np.sqrt(1 - wave**2)], -1)[None])
    r = run((0, 0, 0.2), film, start, 2e-10, every=2e-12, accuracy=4, precision="double")
    amplitude = (r.m[:, 0, :, 0] @ wave) / (wave @ wave)
    np.testing.assert_allclose(amplitude, np.cos(w * r.t), atol=0.02)


# ---------------------------------------------------------------------------- another integrator


def pulse(t):
    return (0.05 * np.exp(-(((t - 4e-11) / 1e-11) ** 2)), 0.02, 0.1 * np.exp(-(((t - 6e-11) / 5e-12) ** 2)))


def sine(t):
    return (0, 20e-3 * np.sin(2 * np.pi * 10e9 * t), 0)


ELLIPSE = TINY.replace(mask=lambda x, y: (x / 32e-9) ** 2 + (y / 16e-9) ** 2 <= 1)
AGAINST = {  # film, field, accuracy, tolerance of a mean, of a cell
    "permalloy": (TINY, BACK, 4, 2e-6, 2e-5),
    "a field that swings": (TINY, sine, 4, 2e-6, 3e-5),
    "a pulse": (TINY, pulse, 4, 2e-6, 3e-5),
    "no damping": (TINY.replace(alpha=0), BACK, 4, 2e-6, 2e-5),
    "alpha = 1": (TINY.replace(alpha=1), BACK, 4, 1e-6, 1e-5),
    "alpha = 5": (TINY.replace(alpha=5), BACK, 4, 1e-6, 1e-5),
    "cobalt": (TINY.replace(Ms=1.4e6, A=3e-11), BACK, 4, 3e-6, 3e-5),
    "YIG": (TINY.replace(Ms=1.4e5, A=3.7e-12, alpha=1e-3), BACK, 8, 3e-6, 3e-4),
    "cubic cells of 5 nm": (Film((80e-9, 40e-9, 5e-9), (16, 8)), BACK, 4, 2e-6, 2e-5),
    "20 nm thick": (Film((32e-9, 16e-9, 20e-9), (16, 8)), BACK, 8, 2e-6, 1e-4),
    "an ellipse": (ELLIPSE, BACK, 4, 2e-6, 5e-5),
    "one row": (Film((128e-9, 4e-9, 4e-9), (32, 1)), BACK, 4, 1e-6, 1e-5),
    "one column": (Film((4e-9, 64e-9, 4e-9), (1, 16)), BACK, 4, 1e-6, 1e-5),
    "1 T": (TINY, (0, 0.2, 1.0), 8, 3e-6, 3e-5),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", AGAINST)
def test_against_another_integrator(name):
    """The public right-hand side in the hands of SciPy's DOP853 at 1e-10."""
    film, field, accuracy, of_mean, of_cell = AGAINST[name]
    field_at = field if callable(field) else lambda t: field
    start, t = smooth(film), np.arange(11) * 1e-11

    def rate(s, y):
        m = y.reshape(start.shape)
        return llg.llg(m, llg.effective_field(m, film, field_at(s)), film).ravel()

    solution = solve_ivp(rate, (0, t[-1]), start.ravel(), "DOP853", t_eval=t, rtol=1e-10, atol=1e-11, max_step=2e-12)
    want = solution.y.T.reshape(-1, *start.shape)
    mine = run(field, film, start, accuracy=accuracy)
    assert np.abs(want[-1] - want[0]).max() > 0.1
    np.testing.assert_allclose(mine.mean, want[:, film.inside].mean(axis=1), atol=of_mean)
    np.testing.assert_allclose(mine.m, want, atol=of_cell)
    # and as a user gets it, without turning anything
    np.testing.assert_allclose(run(field, film, start).mean, mine.mean, atol=1e-3)


def test_field_as_a_function_is_the_field(sp4_runs):
    a, b = run(BACK, TINY, smooth(TINY)), run(lambda t: BACK, TINY, smooth(TINY))
    assert np.array_equal(a.m, b.m)
    assert a.field.shape == (3,) and b.field.shape == (11, 3) and (b.field == BACK).all()
    r = run(sine, TINY, smooth(TINY))
    np.testing.assert_allclose(r.field[:, 1], 20e-3 * np.sin(0.2 * np.pi * np.arange(11)), atol=1e-12)


# ---------------------------------------------------------------------------- convergence


@pytest.mark.slow
def test_errors_fall_with_the_step():
    film = Film(cells=(64, 16))
    options = dict(film=film, duration=3e-10, precision="double")
    exact = run(sp4.FIELD_1, accuracy=16, **options)
    errors = [np.abs(run(sp4.FIELD_1, accuracy=a, **options).m - exact.m).max() for a in (1, 2, 4)]
    assert errors[0] < 2e-4 and order(errors)[0] > 2 and errors[2] < 5e-6, errors


def test_errors_fall_with_the_step_in_a_changing_field():
    options = dict(film=TINY, start=smooth(TINY), duration=1e-10, precision="double")
    exact = run(pulse, accuracy=16, **options)
    errors = [np.abs(run(pulse, accuracy=a, **options).m - exact.m).max() for a in (1, 2, 4)]
    assert errors[0] < 5e-5 and (order(errors) > 1.3).all(), errors


@pytest.mark.parametrize("k", [1, 2])
def test_grids_converge(k, sp4_runs):
    """Mean m of the first 0.15 ns on cells of 7.8, 3.9 and 1.95 nm."""
    coarse, middle = (run(FIELDS[k], Film(cells=c), duration=1.5e-10, accuracy=2).mean for c in ((64, 16), (128, 32)))
    fine = sp4_runs[k].mean[:16]
    a, b = np.abs(coarse - middle).max(), np.abs(middle - fine).max()
    assert b < 0.02 and a > 2 * b


def test_the_split_changes_nothing(monkeypatch):
    """What steps with the exchange and what with the slow field is a matter of speed: with no near part at all, the same."""
    options = dict(film=TINY, start=smooth(TINY), accuracy=16, precision="double")
    monkeypatch.setattr(multirate, "_split", multirate._split.__wrapped__)  # which keeps nothing
    split = run(BACK, **options)
    for other in (np.zeros((3, 3)), np.array([[0.3, -0.1, 0.05], [0.1, 0.1, 0.0], [0.2, 0.0, 0.2]])):
        monkeypatch.setattr(multirate, "near_stencil", lambda n, other=other: other)
        whole = run(BACK, **options)
        assert not np.array_equal(split.m, whole.m)
        np.testing.assert_allclose(split.m, whole.m, atol=3e-6)


def test_precisions_meet():
    options = dict(film=TINY, start=smooth(TINY), accuracy=4)
    np.testing.assert_allclose(run(BACK, **options).m, run(BACK, precision="double", **options).m, atol=1e-5)


def test_samples_do_not_depend_on_how_often():
    options = dict(film=TINY, start=smooth(TINY), accuracy=4, precision="double")
    often, seldom = run(BACK, every=1e-12, **options), run(BACK, every=5e-11, **options)
    np.testing.assert_allclose(often.m[::50], seldom.m, atol=3e-5)


# ---------------------------------------------------------------------------- the rule for the time steps


def material(name, cells, cell, alpha, **change):
    film = Film(tuple(n * d for n, d in zip((*cells, 1), cell)), cells, alpha=alpha)
    return film.replace(**{"permalloy": {}, "cobalt": dict(Ms=1.4e6, A=3e-11), "YIG": dict(Ms=1.4e5, A=3.7e-12)}[name],
                        **change)


STRESS = {
    "permalloy, no damping": (material("permalloy", (64, 16), (8e-9, 8e-9, 3e-9), 0.0), sp4.FIELD_1),
    "permalloy, alpha = 0.1": (material("permalloy", (64, 16), (8e-9, 8e-9, 3e-9), 0.1), sp4.FIELD_1),
    "permalloy, alpha = 5": (material("permalloy", (64, 16), (8e-9, 8e-9, 3e-9), 5.0), sp4.FIELD_1),
    "cobalt, 5 nm": (material("cobalt", (48, 16), (5e-9, 5e-9, 5e-9), 0.02), (-0.2, 0.05)),
    "cobalt, 2 nm": (material("cobalt", (32, 16), (2e-9, 2e-9, 2e-9), 0.02), (-0.2, 0.05)),
    "YIG, 5 nm": (material("YIG", (48, 16), (5e-9, 5e-9, 5e-9), 0.001), sp4.FIELD_2),
    "YIG, 2 nm": (material("YIG", (32, 16), (2e-9, 2e-9, 2e-9), 0.02), sp4.FIELD_2),
    "permalloy, 20 nm thick": (material("permalloy", (48, 24), (2e-9, 2e-9, 20e-9), 0.02), (-0.1, 0.02)),
    "long cells": (material("permalloy", (32, 32), (8e-9, 1e-9, 3e-9), 0.02), sp4.FIELD_2),
    "one row": (material("permalloy", (100, 1), (5e-9, 5e-9, 5e-9), 0.02), (-0.3, 0.05)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STRESS)
def test_steps_are_stable_and_right(name):
    """At the default accuracy, from the S-state, 1 ns: finite, and every mean right to 1e-3."""
    film, field = STRESS[name]
    a = run(field, film, duration=1e-9)
    b = run(field, film, duration=1e-9, accuracy=4)
    assert np.isfinite(a.m).all()
    np.testing.assert_allclose(a.mean, b.mean, atol=1e-3)


STRONG = {"1 T along z": (material("permalloy", (64, 16), (8e-9, 8e-9, 3e-9), 0.02), (0, 0, 1.0)),
          "5 T along z": (material("permalloy", (64, 16), (8e-9, 8e-9, 3e-9), 0.02), (0, 0, 5.0)),
          "YIG, 2 T": (material("YIG", (64, 32), (2e-9, 2e-9, 2e-9), 0.02), (0.0, 0.1, 2.0)),
          "20 nm thick, alpha = 0.005": (material("permalloy", (48, 24), (2e-9, 2e-9, 20e-9), 0.005), (-0.1, 0.02))}


@pytest.mark.slow
@pytest.mark.parametrize("name", STRONG)
def test_steps_follow_the_field(name):
    """Where the applied field, not the demagnetizing field, turns m fastest."""
    film, field = STRONG[name]
    a, b = (run(field, film, duration=5e-10, accuracy=k) for k in (1, 4))
    np.testing.assert_allclose(a.mean, b.mean, atol=1e-3)


NM = 1e-9
TILTED = (1, 0.1, 0.05)
RIGHT = {  # film, field, start, duration, how far the film average may be off
    "iron": (Film((300 * NM, 100 * NM, 5 * NM), (96, 32), Ms=1.7e6, A=2.1e-11, alpha=0.005), (-0.12, 0.02), TILTED, 1e-9, 2e-4),
    "iron from its S-state": (Film((300 * NM, 100 * NM, 5 * NM), (96, 32), Ms=1.7e6, A=2.1e-11, alpha=0.005), (-0.12, 0.02), None, 1e-9, 2e-4),
    "cobalt": (Film((300 * NM, 100 * NM, 5 * NM), (96, 32), Ms=1.4e6, A=3e-11, alpha=0.01), (-0.12, 0.02), TILTED, 1e-9, 2e-4),
    "a ring": (Film((200 * NM, 200 * NM, 10 * NM), (64, 64), mask=lambda x, y: (50 * NM < np.hypot(x, y)) & (np.hypot(x, y) < 100 * NM)),
               (-0.05, 0.01), TILTED, 1e-9, 2e-4),
    "1 nm cells": (Film((80 * NM, 40 * NM, 3 * NM), (80, 40)), (-0.1, 0.02), TILTED, 0.5e-9, 2e-4),
    "half a nm": (Film((32 * NM, 16 * NM, 2 * NM), (64, 32)), (-0.1, 0.02), TILTED, 0.3e-9, 2e-4),
    "20 nm thick": (Film((240 * NM, 120 * NM, 20 * NM), (64, 32)), (-0.15, 0.02), TILTED, 1e-9, 2e-4),
    "a ramp": (Film(cells=(128, 32)), applied.ramp((0, 0), (-0.05, -0.003), 50e-12), None, 1e-9, 2e-4),
    "a pulse": (Film(cells=(128, 32), alpha=0.008), applied.pulse((0, 0.1), width=10e-12, at=13e-12), None, 1e-9, 2e-4),
    "a strong pulse": (Film(cells=(128, 32), alpha=0.008), applied.pulse((0, 1), width=2e-12, at=13.2e-12), None, 1e-9, 2e-4),
    "a pulse that doesn't say": (Film(cells=(128, 32), alpha=0.008), lambda t: (0, float(13.2e-12 <= t < 15.2e-12)), None, 1e-9, 2e-4),
    "10 nm thick, 5 nm cells": (Film((320 * NM, 160 * NM, 10 * NM), (64, 32)), (-0.06, 0.005), TILTED, 1e-9, 2e-4),
    "50 nm thick": (Film((240 * NM, 120 * NM, 50 * NM), (64, 32)), (-0.2, 0.02), TILTED, 1e-9, 2e-4),
    "cobalt, strongly driven": (material("cobalt", (32, 16), (2e-9, 2e-9, 2e-9), 0.001), (-0.2, 0.05), None, 1e-9, 2e-4),
    "permalloy, strongly driven": (Film((240 * NM, 120 * NM, 10 * NM), (64, 32)), (-0.297, -0.042), None, 1e-9, 2e-4),
    "hardly damped": (Film((224 * NM, 112 * NM, 10 * NM), (64, 32), alpha=0.005), (-0.06, 0.005), TILTED, 1e-9, 2e-4),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RIGHT)
def test_right_without_turning_anything(name):
    """Against ourselves with steps four times smaller, in double precision: materials, grids and fields that are hard."""
    film, field, start, duration, tolerance = RIGHT[name]
    a, b = run(field, film, start, duration), run(field, film, start, duration, accuracy=4, precision="double")
    off = np.abs(a.mean - b.mean).max()
    assert off < tolerance, off
    assert a.info["steps made anew"] < 20 and 0.02 * off < a.info["estimate"] < 1e-3


@pytest.mark.slow
def test_fields_of_the_fan_are_right():
    """Fields that nothing was tuned on. In single cells a bar of 5e-3 holds but where knots a few cells wide burst."""
    film = Film(cells=(128, 32))
    for field in applied.fan(8, seed=2026):
        a, b = run(field, film, duration=1e-9), run(field, film, duration=1e-9, accuracy=4, precision="double")
        assert np.abs(a.mean - b.mean).max() < 1e-4, field
        assert np.abs(a.m - b.m).max() < 1e-2, field


@pytest.mark.slow
@pytest.mark.parametrize("precision, left", [("single", 1e-6), ("double", 1e-10)])
def test_a_film_that_rings_down_comes_to_rest(precision, left):
    r = run(sp4.FIELD_1, Film(cells=(64, 16)), duration=1.5e-8, precision=precision)
    assert np.ptp(r.mean[1400:], axis=0).max() < left


def test_what_the_method_damps():
    """The table in "What is tested": a wave on a uniform film in its substeps, by the polynomial of the classical Runge-Kutta method."""
    frequency, damping, slow = (np.array([float(x) for x in line.split("|")[2:-1]]) for line in (
        next(line for line in TESTED.splitlines() if line.startswith(f"| {name}")) for name in ("Frequency (GHz)", "Damping added", "Too slow by")))
    slowest, substep, _ = multirate.time_steps(SP4, 0.025)
    angle = 2e9 * np.pi * frequency * 2e-12 / np.ceil(2e-12 / substep)  # five slow steps in 10 ps
    assert 2e-12 < slowest
    growth = sum((1j * angle) ** k / factorial(k) for k in range(5))
    np.testing.assert_allclose(-np.log(np.abs(growth)) / angle, damping, rtol=0.05)
    np.testing.assert_allclose(1 - np.angle(growth) / angle, slow, rtol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("widths, cells, remanence, coercive", [  # widths of the film in exchange lengths
    pytest.param(0.1, (10, 2), (1.0, 0.0), 0.05707, id="limit"),
    pytest.param(10, (100, 20), (0.9989, 0.0), 0.05454, id="10"),
    pytest.param(20, (200, 40), (0.9701, 0.0819), 0.04991, id="20", marks=pytest.mark.slow)])
def test_standard_problem_2(widths, cells, remanence, coercive):
    """Remanence and the field along (1, 1, 1), in units of Ms, where its mean passes zero.

    As OOMMF has them (muMAG, standard problem 2), in the limit of a small film as M. J. Donahue et al. derive it,
    J. Appl. Phys. 87, 5520 (2000).
    """
    d = widths * np.sqrt(2 * 1.3e-11 / (MU0 * 8e5**2))
    film, m = Film((5 * d, d, 0.1 * d), cells), (1, 0.3, 0.0)
    for share, positive in ((0, True), (0.9, True), (0.97, True), (0.995, True), (1.005, False)):
        m = llg.relax(film, -share * coercive * MU0 * film.Ms / np.sqrt(3) * np.ones(3), m, progress=False)
        if not share:
            np.testing.assert_allclose(m.mean(axis=(0, 1))[:2], remanence, atol=5e-4)
        assert (m.sum() > 0) == positive, share


def test_a_strong_short_pulse_has_its_area():
    """A macrospin turns about z by gamma0 times the area of the pulse, however the samples lie."""
    film = Film((5e-9,) * 3, (1, 1), alpha=0.0)
    for begin, width in ((13.1e-12, 0.2e-12), (13.13e-12, 3.01e-12), (9.9e-12, 0.2e-12)):
        r = run(applied.pulse((0, 0, 5.0), width=width, at=begin), film, (1, 0, 0), 3e-11, precision="double")
        turned = np.arctan2(r.m[-1, 0, 0, 1], r.m[-1, 0, 0, 0])
        area = 2.211e5 * 5.0 / MU0 * width
        assert turned == pytest.approx((area + np.pi) % (2 * np.pi) - np.pi, abs=1e-4)


@pytest.mark.parametrize("jump", [13.337e-12, 9.9e-12, 9.95e-12, 19.99e-12, 1e-11, 2e-11])
def test_a_jump_is_found(jump):
    """Wherever it lies between the states, or at one."""
    film = Film((5e-9,) * 3, (1, 1), alpha=0.0)
    r = run(lambda t: (0, 0, 1.0 if t > jump else 0.0), film, (1, 0, 0), 2e-11, precision="double")
    turned = np.arctan2(r.m[-1, 0, 0, 1], r.m[-1, 0, 0, 0])
    assert turned == pytest.approx(2.211e5 / MU0 * (2e-11 - jump), abs=1e-5)


@pytest.mark.parametrize("towards", [0, 1])
def test_a_jump_that_rounding_moved_off_the_time_of_a_state_is_at_it(towards):
    """Else a piece of 1e-25 s would be stepped through, and the next step would look back at it: all was lost."""
    values = [(0, 0), (30e-3, 20e-3), (-30e-3, 30e-3), (10e-3, -40e-3)]
    runs = []
    for moved in (False, True):
        times = [np.nextafter(t, towards) if moved else t for t in np.array([10, 20, 29]) * 1e-11]
        runs.append(run(applied.piecewise(np.repeat(times, 2), np.repeat(values, 2, axis=0)[1:-1]), TINY, smooth(TINY), 4e-10).m)
    np.testing.assert_allclose(*runs, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("thick", [3, 10, 20, 40])
@pytest.mark.parametrize("alpha", [0.0005, 0.005, 0.01, 0.02])
def test_noise_never_grows(thick, alpha):
    """A film at rest with a little noise: energy falls, on every grid. With cells of 5 nm it once rose; see `multirate.time_steps`."""
    rng = np.random.default_rng(0)
    for cell in (1, 2, 2.25, 3, 3.5, 4, 4.5, 5, 5.5, 6, 8):
        film = Film((24 * cell * NM, 12 * cell * NM, thick * NM), (24, 12), alpha=alpha)
        start = np.array([1.0, 0, 0]) + 3e-3 * rng.normal(size=(12, 24, 3))
        start /= np.linalg.norm(start, axis=-1, keepdims=True)
        r = run((0.1, 0), film, start, 5e-10, every=5e-11)
        e = np.array([llg.energies(m, film, (0.1, 0))["total"] for m in r.m]) / (MU0 * 8e5**2 * 24 * 12 * film.cell_volume)
        # the film goes on from the uniform state to its own, so energy falls in any case; rounding is worth 1e-8
        assert np.diff(e).max() < 3e-7, (cell, e)


@pytest.mark.slow
def test_where_half_a_step_is_repeated_waves_decay():
    """By the linear analysis, which is drawn in "What is tested"; and with less damping they would not, so there the whole step is."""
    films = dict(resonance.halved((0.02,), (3, 20), (1.5, 2, 2.5, 3, 4, 5), (1, 0.9, 0.8, 0.6), 16))
    assert len(films) > 25 and max(films.values()) < 0, max(films, key=films.get)
    hardly = Film((64 * NM, 32 * NM, 3 * NM), (32, 16), alpha=0.005)
    assert not list(resonance.halved(alphas=(0.005,), thick=(3,), cells=(2,)))
    step, parts = 0.8 * multirate.time_steps(hardly)[0], resonance.waves(hardly, 12)
    assert resonance.growth(hardly, step, *parts) < 0 < resonance.growth(hardly, step, *parts, 0.5)


@pytest.mark.parametrize("begin", [0, 3 / 7, 1 / 2, 5 / 9])
def test_half_of_a_correction_weighs_as_much_as_the_whole(begin):
    """The integral of s (s + 1) (s + 2)/6 over a step is 3/8, and its moment about the end 19/180, wherever the correction begins."""
    w = np.zeros(5)
    multirate._correction(w, np.array([0.0, -1, -2, -3]), 4, begin)
    w = np.polynomial.Polynomial(w)
    for polynomial, whole in ((w, 3 / 8), (w * np.polynomial.Polynomial((1, -1)), 19 / 180)):
        assert polynomial.integ(lbnd=begin)(1) == pytest.approx(whole, rel=1e-12)
    if begin == 0:
        np.testing.assert_allclose(w(np.array([1, 0, -1, -2])), (1, 0, 0, 0), atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("cell, thick", [(2, 3), (1.75, 3), (2, 20)])
def test_half_of_a_step_is_as_good_as_the_whole(cell, thick, monkeypatch):
    film = Film((64 * cell * NM, 24 * cell * NM, thick * NM), (64, 24))
    exact = run((-0.06, 0.02), film, TILTED, 3e-10, accuracy=4, precision="double")
    half = run((-0.06, 0.02), film, TILTED, 3e-10)
    monkeypatch.setattr(multirate, "HALVED", (0, 0))
    whole = run((-0.06, 0.02), film, TILTED, 3e-10)
    assert not np.array_equal(half.m, whole.m)
    off = [np.abs(r.m - exact.m).max() for r in (half, whole)]
    assert off[0] < 1.5 * off[1] + 2e-6, off


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0, 1e-4])
@pytest.mark.parametrize("cell, thick, change", [(2, 10, {}), (3, 10, {}), (6, 20, dict(Ms=1.4e5, A=3.65e-12))])
def test_noise_on_an_equilibrium_never_grows(cell, thick, change, alpha):
    """With hardly any damping, too: it once did, and slowly, so that a film went on for nanoseconds before one saw it."""
    film = Film((20 * cell * NM, 10 * cell * NM, thick * NM), (20, 10), alpha=alpha, **change)
    rest = llg.relax(film, (0, 0), (1, 0.1, 0.05), 1e-5, progress=False)
    start = rest + 3e-3 * np.random.default_rng(3).normal(size=rest.shape)
    start /= np.linalg.norm(start, axis=-1, keepdims=True)
    r = run((0, 0), film, start, 3e-9, every=2.5e-10)
    above = np.array([llg.energies(m, film, (0, 0))["total"] for m in r.m]) - llg.energies(rest, film, (0, 0))["total"]
    assert above[0] > 0 and np.diff(above).max() < 3e-3 * above[0], above / above[0]


def test_energy_that_rises_is_said(monkeypatch):
    monkeypatch.setattr(multirate, "RESONANCE", (0, 0))
    monkeypatch.setattr(multirate, "TOLERANCE", np.inf)
    film = Film((320 * NM, 160 * NM, 10 * NM), (64, 32))
    with pytest.warns(RuntimeWarning, match="the energy rises in a constant field.*accuracy = 2"):
        run((-0.06, 0.005), film, TILTED, 1e-9)


@pytest.mark.slow
def test_bits_do_not_depend_on_what_was_loaded_first():
    """Compiled loops come from numba's cache with copies of what they call, and of two copies the process takes that which came first."""
    script = """if True:
        import magbook as mb, numpy as np, sys
        film = mb.Film((200e-9, 100e-9, 3e-9), (64, 32))
        for what in sys.argv[1:]:
            if what == "demag":
                mb.demag.Demag(film).field(np.zeros((3, 32, 64)))
                mb.demag.Demag(film, dtype=np.float32).field(np.zeros((3, 32, 64)))
            elif what == "simulate":
                a = mb.simulate((0.01, 0.02), film, (1, 0.2, 0.1), 1e-10, progress=False).m
            else:
                b = mb.llg.relax(film, (0, 0), (1, 0.2, 0.1), progress=False)
        print(a.tobytes().hex()[-4000:], b.tobytes().hex()[-4000:])
    """
    orders = ("demag", "simulate", "relax"), ("relax", "simulate"), ("simulate", "demag", "relax")
    subprocess.run([sys.executable, "-c", script, *orders[1]], capture_output=True, check=True)  # from here on all is in the cache
    said = {subprocess.run([sys.executable, "-c", script, *order], capture_output=True, check=True, text=True).stdout for order in orders}
    assert len(said) == 1


@pytest.mark.slow
def test_a_run_takes_one_core_whatever_came_first():
    """A process that began by relaxing a film once let products of matrices have all cores from then on."""
    script = """if True:
        import magbook as mb
        from magbook.multirate import one_thread
        from threadpoolctl import threadpool_info
        mb.llg.relax(mb.Film((40e-9, 20e-9, 3e-9), (8, 4)), (0, 0), (1, 0.1, 0), progress=False)
        with one_thread():
            print(*[library["num_threads"] for library in threadpool_info()])"""
    several = {name: "2" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    told = subprocess.run([sys.executable, "-c", script], env=os.environ | several, capture_output=True, text=True, check=True).stdout
    assert set(told.split()) == {"1"}


def test_threads_give_the_same():
    alone = [run((b, 0.005), TINY, smooth(TINY)).m for b in (-0.02, -0.03, -0.04)]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda b: run((b, 0.005), TINY, smooth(TINY)).m, (-0.02, -0.03, -0.04)))
    assert all(np.array_equal(*pair) for pair in zip(alone, together))


@pytest.mark.parametrize("alpha", [0.0, 0.001, 0.02, 1.0])
def test_the_worst_start_stays_bounded(alpha):
    """Random directions hold the fastest modes that the grid has. Energy must fall, or stay where nothing damps."""
    film = Film((64e-9, 32e-9, 3e-9), (32, 16), alpha=alpha)
    r = run((0.05, 0), film, random_state(film), 3e-10)
    e = np.array([llg.energies(m, film, (0.05, 0))["total"] for m in r.m])
    assert np.isfinite(e).all()
    # the fastest modes lose energy also to the integrator; none may win any
    assert np.diff(e).max() < 2e-3 * abs(e[0])


def test_steps_follow_the_setting():
    slow, fast, _ = multirate.time_steps(SP4)
    slow2, fast2, _ = multirate.time_steps(SP4, accuracy=2)
    assert slow2 == pytest.approx(slow / 2) and fast2 == pytest.approx(fast / 2)
    # half the cell, four times the frequency of the stiffest mode
    slow3, fast3, _ = multirate.time_steps(SP4.replace(cells=(512, 128)))
    assert slow3 == slow and 3.2 < fast / fast3 < 4.5
    # damping holds less down, and a strong field turns faster
    assert multirate.time_steps(SP4.replace(alpha=0.005))[0] == pytest.approx(slow / 2)
    assert multirate.time_steps(SP4, field=1.0)[0] == pytest.approx(slow / 2, rel=0.01)


# ---------------------------------------------------------------------------- a mask


def test_ellipse():
    film = Film((200e-9, 100e-9, 3e-9), (64, 32), mask=lambda x, y: (x / 100e-9) ** 2 + (y / 50e-9) ** 2 <= 1)
    r = run((-0.06, 0.01, 0), film, duration=3e-10)
    assert (r.m[:, ~film.inside] == 0).all()
    assert np.abs(np.linalg.norm(r.m[:, film.inside].astype(float), axis=-1) - 1).max() < 3e-7
    assert np.abs(r.mean[-1] - r.mean[0]).max() > 0.1
    e = np.array([llg.energies(m, film, (-0.06, 0.01, 0))["total"] for m in r.m])
    assert np.diff(e).max() < 0
    volume = film.inside.sum() * film.cell_volume
    assert volume == pytest.approx(np.pi * 100e-9 * 50e-9 * 3e-9, rel=2e-2)
    up = film.state((0, 0, 1))
    assert llg.energies(up, film, (0, 0, 0.1))["zeeman"] == pytest.approx(-8e5 * 0.1 * volume)
    # a thin ellipse magnetized across has most of mu0 Ms^2/2 V
    assert 0.85 < llg.energies(up, film)["demag"] / (MU0 * 8e5**2 / 2 * volume) < 0.98
    # the field that the film makes outside of itself is no part of the effective field's energy, nor of the state
    assert (llg.demag_field(up, film)[~film.inside] == 0).all()


def test_a_mask_is_the_smaller_film():
    """A rectangle cut out of a larger one moves as the rectangle alone."""
    large = Film((96e-9, 48e-9, 3e-9), (24, 12), mask=lambda x, y: (abs(x) < 32e-9) & (abs(y) < 16e-9))
    assert large.inside.sum() == 16 * 8
    start = np.zeros((12, 24, 3))
    start[2:-2, 4:-4] = smooth(TINY)
    a = run(BACK, large, start, precision="double", accuracy=4)
    b = run(BACK, TINY, smooth(TINY), precision="double", accuracy=4)
    np.testing.assert_allclose(a.m[:, 2:-2, 4:-4], b.m, atol=2e-5)  # they differ in what joins the exchange
    np.testing.assert_allclose(a.mean, b.mean, atol=1e-6)


def test_separated_halves_have_no_exchange():
    film = Film((68e-9, 32e-9, 3e-9), (17, 8), mask=lambda x, y: (abs(x) > 2e-9) & (y < 1))
    assert not film.inside[:, 8].any() and film.inside.sum() == 16 * 8
    m = np.zeros((8, 17, 3))
    m[:, :8], m[:, 9:] = (1, 0, 0), (0, 1, 0)
    assert not llg.exchange_field(m, film).any() and llg.energies(m, film)["exchange"] == 0
    touching = Film((64e-9, 32e-9, 3e-9), (16, 8))
    assert llg.exchange_field(np.delete(m, 8, axis=1), touching).any()
    # with next to no dipoles, a half turns as it would alone
    weak = dict(Ms=1e3, A=1e-14)
    film, alone = film.replace(**weak), Film((32e-9, 32e-9, 3e-9), (8, 8), **weak)
    start = np.zeros((8, 17, 3))
    start[:, :8], start[:, 9:] = smooth(alone), (0, 0, 1)
    a = run((0.1, 0.2, 0), film, start, precision="double")
    b = run((0.1, 0.2, 0), alone, smooth(alone), precision="double")
    np.testing.assert_allclose(a.m[:, :, :8], b.m, atol=2e-2)


def test_a_mask_of_everything_changes_nothing():
    a = run(BACK, TINY, smooth(TINY))
    b = run(BACK, TINY.replace(mask=np.ones((8, 16), bool)), smooth(TINY))
    assert np.array_equal(a.m, b.m)


# ---------------------------------------------------------------------------- bad input


def late(t):
    return (np.nan, 0) if t > 1.5e-11 else (0.01, 0)


BAD = {
    "field": [None, 0.1, "x", (1,), (1, 2, 3, 4), [], (np.nan, 0), (0, 0, np.inf), (1j, 0), [[0, 0, 0]],
              lambda t: None, lambda t: "x", lambda t: 0.1, lambda t: (np.nan, 0), lambda t: [1] * 5, late],
    "film": [None, "permalloy", {"cells": (4, 4)}, Film],
    "start": [(0, 0, 0), (1, 0), "random", np.ones((8, 16, 3)), np.zeros((8, 16, 3)), np.full((8, 16, 3), np.nan),
              np.ones((16, 8, 3)), np.ones((64, 256, 3))],
    "duration": [0, -1e-10, np.nan, np.inf, None, "1 ns", [1e-10], 1.05e-10, 1e-12, 1e300],
    "every": [0, -1e-11, np.nan, np.inf, None, "10 ps"],
    "accuracy": [0, -1, np.nan, np.inf, None, "high"],
    "precision": [None, "half", 32, np.float32],
}


@pytest.mark.parametrize("name, value", [(k, v) for k, values in BAD.items() for v in values])
def test_bad_input(name, value):
    with pytest.raises((ValueError, TypeError), match=f"^{name}: got|^{name}: .*(unit|finite)"):
        llg.simulate(**{"field": (0, 0), "film": TINY, "start": (1, 0, 0), "duration": 1e-10, "every": 1e-11,
                        "progress": False, name: value})


def test_errors_of_a_field_function_come_through():
    def field(t):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        run(field, TINY, (1, 0, 0))


def test_duration_that_is_no_multiple_says_what_would_be():
    with pytest.raises(ValueError, match=r"duration: got 1e-09 s, .* every = 3e-11 s; 9.9e-10 s would be"):
        llg.simulate((0, 0), TINY, duration=1e-9, every=3e-11)
    assert len(run((0, 0), TINY, (1, 0, 0), 3e-11, every=1e-11)) == 4  # 3e-11/1e-11 is not 3 in floating point


@pytest.mark.parametrize("name, value", [("torque", v) for v in (0, -1, np.nan, "small", None, [1e-6])]
                         + [("iterations", v) for v in (0, -1, "many", 1.5, None)]
                         + [("field", (np.nan, 0)), ("field", None), ("start", (0, 0, 0)), ("start", np.ones((3, 3))),
                            ("film", None), ("film", "x")])
def test_bad_input_of_relax(name, value):
    with pytest.raises((ValueError, TypeError), match=f"^{name}: "):
        llg.relax(**{"film": TINY, "progress": False, name: value})


def test_bad_input_of_energies():
    with pytest.raises(ValueError, match="^state: got shape"):
        llg.energies(np.ones((3, 3, 3)), TINY)
    with pytest.raises(ValueError, match="^field: got"):
        llg.energies((1, 0, 0), TINY, (np.nan, 0))


def test_too_much_is_refused_before_allocating(monkeypatch):
    monkeypatch.setattr(llg, "Multirate", lambda *a: pytest.fail("it began"))
    huge, before = Film(cells=(2_000_000, 1_000_000)), psutil.Process().memory_info().rss
    for start in (None, (1, 0, 0)):
        with pytest.raises(MemoryError, match="101 states of 2000000 x 1000000 cells needs about .* GB .*available"):
            llg.simulate((0, 0), huge, start)
    with pytest.raises(MemoryError, match="states of 256 x 64 cells"):  # a long run of a small film
        llg.simulate((0, 0), duration=1e-3, every=1e-11)
    for function in (llg.relax, llg.s_state):
        with pytest.raises(MemoryError, match="2000000 x 1000000 cells"):
            function(huge)
    assert psutil.Process().memory_info().rss - before < 1e8


def test_memory_of_double_precision_is_counted_as_double(monkeypatch):
    asked = []
    monkeypatch.setattr(llg, "check_memory", lambda needed, what: asked.append(needed))
    for precision in ("single", "double"):
        llg.check_run((0, 0), TINY, (1, 0, 0), 1e-8, 1e-11, 1.0, precision)
    assert asked[1] - asked[0] == pytest.approx(1001 * 16 * 8 * 3 * 4)


@pytest.mark.parametrize("cells", [(32, 8), (256, 64)])
@pytest.mark.parametrize("every", [1e-11, 1e-16])
def test_no_call_keeps_ctrl_c_waiting(cells, every, monkeypatch):
    """Many states of few cells in a call, so that calling costs nothing, but no more than a twentieth of a second takes."""
    film, asked = Film(cells=cells), []
    monkeypatch.setattr(llg.Multirate, "record", lambda self, n, *_: (asked.append(n) or np.zeros((n, 1, 1, 1)), np.zeros(n)))
    run((0, 0), film, (1, 0, 0), 1000 * every, every=every)
    steps = max(every / multirate.time_steps(film)[0], 1)
    assert sum(asked) == 1000 and max(asked) * steps < 0.05 / (1e-7 * film.nx * film.ny) and (cells[0] > 32 or len(asked) < 50)


def test_not_finite_is_an_error(monkeypatch):
    monkeypatch.setattr(llg.Multirate, "record", lambda *_: (np.array([1, 1, np.nan])[:, None, None, None], np.zeros(3)))
    with pytest.raises(FloatingPointError, match="no longer finite at t = 3e-11 s; try accuracy = 2"):
        run((0, 0), TINY, (1, 0, 0))


@pytest.mark.parametrize("start, field", [((0, 1, 0), (0, 0)), ((0, 0, 1), (0, 0)), ((1, 0, 0), (-0.5, 0))])
def test_relaxing_leaves_a_saddle(start, field):
    """All along the hard axis, out of the plane, or against a strong field: no torque, and no minimum."""
    film = Film((64e-9, 16e-9, 3e-9), (16, 4))
    m = llg.relax(film, field, start, progress=False)
    assert llg.max_torque(m, film, field) <= 1e-6
    best = llg.relax(film, field, (-1, 0.2, 0.1), progress=False)
    assert llg.energies(m, film, field)["total"] == pytest.approx(llg.energies(best, film, field)["total"], rel=1e-4)


def test_durations_in_nanoseconds_are_asked_about():
    for name in ("duration", "every"):
        with pytest.raises(ValueError, match=f"^{name}: got 1; s are needed.*Was it given in ns"):
            llg.simulate((0, 0), TINY, **{name: 1})


def test_compiled_where_nothing_can_be_kept(monkeypatch):
    njit = demag.numba.njit

    def nowhere(*given, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*given, **options)

    monkeypatch.setattr(demag.numba, "njit", nowhere)
    assert demag.compiled(lambda x: x + 1)(1) == 2


def test_progress_bar_can_be_off(capsys):
    run((0, 0), TINY, (1, 0, 0))
    run((0, 0), Film((200e-9, 190e-9, 20e-9), (40, 38)), duration=1e-11)  # its start is relaxed first
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("change", [dict(size=(1e-12, 1e-12, 1e-12)), dict(Ms=10.0, A=1e-9), dict(A=1e-8, Ms=20.0)])
def test_a_film_that_would_take_for_ever_is_refused(change):
    """Before it begins: compiled code hears no Ctrl-C."""
    with pytest.raises(ValueError, match=r"^film: its cells, Ms and A ask for steps of \de-\d\d s"):
        llg.simulate((0.01, 0), TINY.replace(**change), (1, 0, 0), progress=False)
