"""What holds of whatever hypothesis draws: films, fields and starts."""

import os
import tempfile

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from magbook import llg, ovf
from magbook.film import MU0, Film, unit
from magbook.trajectory import Trajectory

MORE = int(os.environ.get("MAGBOOK_EXAMPLES", 1))  # so many times as many examples, and others each time


def examples(n):
    return settings(max_examples=n * MORE, derandomize=MORE == 1, deadline=None, database=None, print_blob=False,
                    suppress_health_check=list(HealthCheck))


# ---------------------------------------------------------------------------- physics


@st.composite
def films(draw):
    """Small films of every material, some with a mask."""
    nx, ny = draw(st.integers(1, 7)), draw(st.integers(1, 5))
    dx, dy, dz = (1e-9 * draw(st.floats(2, 6)) for _ in range(3))
    mask = draw(st.none() | st.lists(st.booleans(), min_size=nx * ny, max_size=nx * ny).filter(any).map(lambda one: np.reshape(one, (ny, nx))))
    return Film((nx * dx, ny * dy, dz), (nx, ny), Ms=draw(st.floats(2e5, 1.7e6)), A=draw(st.floats(5e-12, 3e-11)), alpha=draw(st.floats(0.01, 1)), mask=mask)


FIELDS = st.tuples(*[st.floats(-0.2, 0.2)] * 3)
SEEDS = st.integers(0, 2**32)


def state(film, seed):
    """Vectors that point anywhere, but not far from their neighbours'."""
    rng = np.random.default_rng(seed)
    return film.state(unit(rng.standard_normal(3) + 0.5 * rng.standard_normal((film.ny, film.nx, 3))) * film.inside[..., None])


def run(film, field, start):
    return llg.simulate(field, film, start, duration=2e-11, every=5e-12, progress=False)


@examples(20)
@given(film=films(), field=FIELDS, seed=SEEDS)
def test_vectors_keep_their_length_and_energy_falls(film, field, seed):
    m = run(film, field, state(film, seed)).m
    np.testing.assert_allclose(np.linalg.norm(m, axis=-1), np.broadcast_to(film.inside, m.shape[:-1]), atol=1e-5)
    energy = np.array([llg.energies(one, film, field)["total"] for one in m])
    assert np.diff(energy).max() < 1e-5 * MU0 * film.Ms**2 * film.cell_volume * film.inside.sum()


def mirrored(vectors, axis):
    """What a mirror makes of axial vectors: those along its normal stay, others turn. axis: 0 for x, 1 for y."""
    turned = -np.asarray(vectors)
    turned[..., axis] *= -1
    return turned


@examples(20)
@given(film=films(), field=FIELDS, seed=SEEDS, axis=st.sampled_from([0, 1]))
def test_mirror_images_run_alike(film, field, seed, axis):
    start = state(film, seed)
    other = film.replace(mask=np.flip(film.inside, 1 - axis))
    image = run(other, mirrored(field, axis), mirrored(np.flip(start, 1 - axis), axis)).m
    np.testing.assert_allclose(mirrored(np.flip(image, 2 - axis), axis), run(film, field, start).m, atol=1e-4)


# ---------------------------------------------------------------------------- files


@examples(20)
@given(film=films(), field=FIELDS, seed=SEEDS, nt=st.integers(1, 4), every=st.floats(1e-15, 1e-9))
def test_what_is_saved_is_what_is_loaded(film, field, seed, nt, every):
    m = np.stack([state(film, seed + k) for k in range(nt)]).astype(np.float32)
    one = Trajectory(np.arange(nt) * every, m, field, film)
    with tempfile.TemporaryDirectory() as folder:
        one.save(f"{folder}/run.npz")
        other = Trajectory.load(f"{folder}/run.npz")
        ovf.write(f"{folder}/m.ovf", m[0], (film.dx, film.dy, film.thickness), time=every)
        there, cell, time = ovf.read(f"{folder}/m.ovf")
    assert other.film == film
    for name in ("t", "m", "field"):
        np.testing.assert_array_equal(getattr(other, name), getattr(one, name))
    np.testing.assert_array_equal(there, m[0])
    np.testing.assert_allclose((*cell, time), (film.dx, film.dy, film.thickness, every), rtol=1e-12)
