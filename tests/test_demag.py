"""The demagnetizing tensor against closed formulas and quadrature that share nothing with Newell's, and the
convolution against the sum that it stands for."""

import tracemalloc

import numba
import numpy as np
import pytest
from scipy import signal

from magbook import demag
from magbook import film as film_module
from magbook.demag import NEAR, Demag, convolve, near_stencil, tensor
from magbook.film import Film

SHAPES = [(7, 5), (1, 11), (13, 1), (16, 8), (2, 3), (1, 1)]
MANY = [(64, 16), (65, 17), (16, 64), (33, 32), (129, 20), (23, 101), (90, 90), (1024, 1), (1, 300), (2, 500), (1000, 2), (257, 3)]
"""Cells for an FFT: along x, along y; of lengths with and without a last pass of radix 2."""


def aharoni(a, b, c):
    """Demagnetizing factor along c of a uniformly magnetized prism of edges a, b, c: A. Aharoni, J. Appl. Phys. 83,
    3432 (1998), eq. 1."""
    ab, bc, ac, abc = np.hypot(a, b), np.hypot(b, c), np.hypot(a, c), np.sqrt(a * a + b * b + c * c)
    ln = np.log
    return (
        (b**2 - c**2) / (2 * b * c) * ln((abc - a) / (abc + a))
        + (a**2 - c**2) / (2 * a * c) * ln((abc - b) / (abc + b))
        + b / (2 * c) * ln((ab + a) / (ab - a)) + a / (2 * c) * ln((ab + b) / (ab - b))
        + c / (2 * a) * ln((bc - b) / (bc + b)) + c / (2 * b) * ln((ac - a) / (ac + a))
        + 2 * np.arctan(a * b / (c * abc))
        + (a**3 + b**3 - 2 * c**3) / (3 * a * b * c) + (a**2 + b**2 - 2 * c**2) / (3 * a * b * c) * abc
        + c / (a * b) * (ac + bc) - (ab**3 + bc**3 + ac**3) / (3 * a * b * c)) / np.pi


def by_charges(offset, cell, nodes=(8, 8, 8)):
    """N of two cells that do not touch, as the energy of the charges on their faces: Gauss-Legendre quadrature.

    N_ab = 1/(4 pi V) sum over the faces a of one cell and b of the other, sign times the integral of 1/|r - r'|.
    """
    def face(axis, side):
        grids = []
        for k in range(3):
            if k == axis:
                grids.append((np.array([side * cell[k] / 2]), np.array([1.0])))
            else:
                x, w = np.polynomial.legendre.leggauss(nodes[k])
                grids.append((x * cell[k] / 2, w * cell[k] / 2))
        points = np.stack(np.meshgrid(*(g[0] for g in grids), indexing="ij"), -1).reshape(-1, 3)
        weights = np.einsum("i,j,k->ijk", *(g[1] for g in grids)).ravel()
        return points, weights

    n = np.zeros((3, 3))
    for a in range(3):
        for b in range(3):
            for s in (-1, 1):
                for t in (-1, 1):
                    (p, wp), (q, wq) = face(a, s), face(b, t)
                    r = np.linalg.norm(np.asarray(offset) + p[:, None] - q[None], axis=-1)
                    n[a, b] += s * t * wp @ (1 / r) @ wq
    return n / (4 * np.pi * np.prod(cell))


def direct(n, m):
    """-sum_j N[i - j] m[j], cell by cell. n: (4, ny, nx). m: (3, ny, nx)."""
    h = np.zeros_like(m)
    ny, nx = m.shape[1:]
    for j in range(ny):
        for i in range(nx):
            for q in range(ny):
                for p in range(nx):
                    xx, yy, zz, xy = n[:, abs(j - q), abs(i - p)]
                    xy = xy * np.sign((j - q) * (i - p))
                    h[:, j, i] -= np.array([[xx, xy, 0], [xy, yy, 0], [0, 0, zz]]) @ m[:, q, p]
    return h


def by_scipy(n, m):
    """The same sum for many cells. n: (4, ny, nx). m: (3, ny, nx)."""
    ny, nx = m.shape[1:]
    x, y = np.arange(1 - nx, nx), np.arange(1 - ny, ny)
    xx, yy, zz, xy = n[:, abs(y)[:, None], abs(x)[None]]
    xy = xy * np.sign(y[:, None] * x[None])
    none = np.zeros_like(xy)
    kernel = np.array([[xx, xy, none], [xy, yy, none], [none, none, zz]])
    return -np.array([sum(signal.fftconvolve(m[b], kernel[a, b])[ny - 1:2 * ny - 1, nx - 1:2 * nx - 1] for b in range(3)) for a in range(3)])


def random_state(nx, ny, seed=0):
    m = np.random.default_rng(seed).standard_normal((3, ny, nx))
    return m / np.linalg.norm(m, axis=0)


# ---------------------------------------------------------------------------- one cell


def test_cube():
    n = tensor((1, 1), (5e-9, 5e-9, 5e-9))
    np.testing.assert_allclose(n[:, 0, 0], [1 / 3, 1 / 3, 1 / 3, 0], atol=1e-13)


@pytest.mark.parametrize("a, b, c", [(1, 1, 1), (2, 1, 1), (500, 125, 3), (1, 10, 1), (1.953, 1.953, 3), (5, 5, 0.5),
                                     (1, 30, 7)])
def test_prism_of_any_shape(a, b, c):
    """Aharoni's factors, along every axis."""
    n = tensor((1, 1), (a * 1e-9, b * 1e-9, c * 1e-9))[:, 0, 0]
    np.testing.assert_allclose(n[:3], [aharoni(b, c, a), aharoni(a, c, b), aharoni(a, b, c)], atol=1e-9)
    assert n[:3].sum() == pytest.approx(1, abs=1e-9) and abs(n[3]) < 1e-15


def test_the_closed_formula_is_right():
    """Aharoni's own limits, so that the ruler is checked too."""
    assert aharoni(1, 1, 1) == pytest.approx(1 / 3, abs=1e-14)
    assert aharoni(1, 1, 1000) == pytest.approx(0, abs=1e-3) and aharoni(1, 1000, 1) == pytest.approx(0.5, abs=1e-3)
    assert aharoni(1, 2, 3) + aharoni(2, 3, 1) + aharoni(3, 1, 2) == pytest.approx(1, abs=1e-13)


def test_long_prism_and_thin_plate():
    prism = tensor((1, 1), (2000e-9, 1e-9, 1e-9))[:3, 0, 0]
    np.testing.assert_allclose(prism, [0, 0.5, 0.5], atol=1e-3)
    plate = tensor((1, 1), (1000e-9, 1000e-9, 1e-9))[:3, 0, 0]
    np.testing.assert_allclose(plate, [0, 0, 1], atol=1e-2)
    assert plate[2] < 1 and plate[:2].min() > 0


# ---------------------------------------------------------------------------- two cells


@pytest.mark.parametrize("cell", [(1, 1, 1), (1.953, 1.953, 3), (4, 1, 2), (2, 2, 0.2), (1, 1, 8)])
def test_trace_is_one_on_itself_and_zero_elsewhere(cell):
    n = tensor((48, 40), tuple(d * 1e-9 for d in cell))
    trace = n[:3].sum(axis=0)
    assert trace[0, 0] == pytest.approx(1, abs=1e-11)
    trace[0, 0] = 0
    np.testing.assert_allclose(trace, 0, atol=2e-11)


@pytest.mark.parametrize("cell", [(1.0, 1.0, 1.0), (1.953, 1.953, 3.0), (2.0, 1.0, 0.5)])
def test_against_quadrature_of_the_surface_charges(cell):
    n = tensor((32, 32), tuple(d * 1e-9 for d in cell))
    for i, j in ((3, 0), (0, 4), (3, 2), (5, 7), (12, 3), (21, 4), (4, 25)):
        want = by_charges((i * cell[0], j * cell[1], 0), cell, (10, 10, 10))
        got = n[:, j, i]
        np.testing.assert_allclose(got, [want[0, 0], want[1, 1], want[2, 2], want[0, 1]], atol=2e-9,
                                   rtol=2e-6, err_msg=str((i, j)))
        np.testing.assert_allclose(want[[0, 1], 2], 0, atol=1e-12)  # why N_xz and N_yz are not stored


@pytest.mark.slow
@pytest.mark.parametrize("cell", [(1, 1, 100), (20, 1, 1), (1, 30, 0.5)])
def test_very_elongated_cells(cell):
    n = tensor((40, 40), tuple(d * 1e-9 for d in cell))
    assert np.isfinite(n).all()
    nodes = tuple(10 + 2 * int(d / min(cell)) if d > 5 * min(cell) else 10 for d in cell)
    for i, j in ((8, 8), (8, 5), (5, 9)):
        want = by_charges((i * cell[0], j * cell[1], 0), cell, np.minimum(nodes, 60))
        np.testing.assert_allclose(n[:, j, i], [want[0, 0], want[1, 1], want[2, 2], want[0, 1]], atol=1e-7)


def test_far_cells_are_dipoles():
    n = tensor((120, 120), (2e-9, 2e-9, 2e-9))
    for i, j in ((60, 0), (0, 70), (50, 50), (100, 30), (119, 119)):
        r2 = float(i * i + j * j)
        dipole = np.array([r2 - 3 * i * i, r2 - 3 * j * j, r2, -3 * i * j]) / (4 * np.pi * r2**2.5)
        np.testing.assert_allclose(n[:, j, i], dipole, rtol=1e-5, atol=1e-13)  # a cube has no quadrupole moment


def test_the_seam_between_the_two_formulas_does_not_show():
    """Across the seam, both formulas must give what the surface charges say."""
    cell = (1.953e-9, 1.953e-9, 3e-9)
    n, edge = tensor((40, 40), cell), NEAR * max(cell) / cell[0]
    assert 28 < edge < 34
    for i in range(27, 36):
        want = by_charges((i * cell[0] * 1e9, 2 * cell[1] * 1e9, 0), (1.953, 1.953, 3.0), (6, 6, 6))
        np.testing.assert_allclose(n[:, 2, i], [want[0, 0], want[1, 1], want[2, 2], want[0, 1]], rtol=4e-7)


def test_symmetry_of_the_axes():
    a, b = tensor((12, 30), (2e-9, 3e-9, 4e-9)), tensor((30, 12), (3e-9, 2e-9, 4e-9))
    np.testing.assert_allclose(a[[1, 0, 2, 3]], np.swapaxes(b, 1, 2), rtol=1e-6, atol=1e-11)
    assert max(abs(a[3, 0]).max(), abs(a[3, :, 0]).max()) < 1e-14  # N_xy is odd


def test_only_the_ratio_of_the_edges_counts():
    np.testing.assert_allclose(tensor((9, 9), (2e-9, 2e-9, 3e-9)), tensor((9, 9), (2e-3, 2e-3, 3e-3)), atol=1e-12)


# ---------------------------------------------------------------------------- the whole film


@pytest.mark.parametrize("size, cells", [((500e-9, 125e-9, 3e-9), (128, 32)), ((60e-9, 60e-9, 60e-9), (12, 12)),
                                         ((100e-9, 100e-9, 1e-9), (9, 31)), ((90e-9, 10e-9, 10e-9), (90, 1)),
                                         ((10e-9, 800e-9, 4e-9), (2, 50)), ((20e-9, 20e-9, 200e-9), (20, 20))])
def test_uniform_film_has_the_factors_of_its_prism(size, cells):
    """The mean field of a uniform film is that of one prism, whatever the cells: every entry of the tensor counts."""
    film = Film(size, cells)
    demagnetize = Demag(film)
    a, b, c = size
    for axis, want in enumerate((aharoni(b, c, a), aharoni(a, c, b), aharoni(a, b, c))):
        m = np.zeros((3, film.ny, film.nx))
        m[axis] = 1
        h = demagnetize.field(m).mean(axis=(1, 2))
        assert -h[axis] == pytest.approx(want, abs=1e-10)
        np.testing.assert_allclose(np.delete(h, axis), 0, atol=1e-12)


@pytest.mark.parametrize("cells", SHAPES)
def test_convolution_is_the_direct_sum(cells):
    film = Film((cells[0] * 3e-9, cells[1] * 2e-9, 4e-9), cells)
    m = random_state(*cells)
    demagnetize = Demag(film)
    want = direct(tensor(cells, (film.dx, film.dy, film.thickness)), m)
    np.testing.assert_allclose(demagnetize.field(m), want, atol=1e-13)
    single = Demag(film, dtype=np.float32).field(m.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, want, atol=1e-6)


@pytest.mark.parametrize("cells", MANY)
def test_convolution_of_many_cells_is_the_same_sum(cells):
    film = Film((cells[0] * 3e-9, cells[1] * 2e-9, 4e-9), cells)
    assert Demag(film).axis == (2 if cells[1] > cells[0] else 1)
    m = random_state(*cells)
    want = by_scipy(tensor(cells, (film.dx, film.dy, film.thickness)), m)
    np.testing.assert_allclose(Demag(film).field(m), want, atol=1e-13)
    single = Demag(film, dtype=np.float32).field(m.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, want, atol=3e-6)


def test_the_sum_by_scipy_is_the_direct_one():
    m, n = random_state(7, 5), tensor((7, 5), (3e-9, 2e-9, 4e-9))
    np.testing.assert_allclose(by_scipy(n, m), direct(n, m), atol=1e-13)


def test_few_cells_go_without_an_fft():
    assert [demag._fast_axis(*cells) for cells in ((1, 1), (40, 20), (20, 40), (250, 3), (3, 250))] == [0] * 5
    assert [demag._fast_axis(*cells) for cells in ((41, 20), (29, 29), (251, 1), (2**20, 1))] == [1] * 4
    assert [demag._fast_axis(*cells) for cells in ((20, 41), (28, 29), (1, 251), (1, 2**20))] == [2] * 4


@pytest.mark.parametrize("cells", [(40, 20), (20, 40), (41, 20), (20, 41), (267, 3), (3, 267), (250, 3), (251, 3), (29, 29), (6, 4), (1, 1), (2, 2),
                                   (1, 5), (2, 1), (4, 3), (3, 9), (5, 12), (13, 13)])
def test_both_ways_agree(cells, monkeypatch):
    """Where the one takes over from the other, and where it never would."""
    film = Film((cells[0] * 3e-9, cells[1] * 2e-9, 4e-9), cells)
    m, fields = random_state(*cells), []
    for axis in (0, 2 if cells[1] > cells[0] else 1):
        monkeypatch.setattr(demag, "_fast_axis", lambda *_, axis=axis: axis)
        fields.append(Demag(film, without=np.arange(9.0).reshape(3, 3) / 10).field(m))
    np.testing.assert_allclose(*fields, atol=1e-13)


@pytest.mark.parametrize("cells", [(12, 9), (65, 20), (20, 65)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_only_the_inside_is_written_and_nothing_is_left_over(cells, dtype):
    """Rows may be longer than the film; a call does not depend on those before, and gives the same bits."""
    nx, ny = cells
    prepared = Demag(Film(cells=cells), dtype=dtype).prepared()
    m, out = np.zeros((3, ny + 2, nx + 5), dtype), np.full((3, ny + 2, nx + 5), 7, dtype)
    m[:, 1:-1, 1:nx + 1] = random_state(nx, ny)
    convolve(out, m, prepared)
    border = out.copy()
    border[:, 1:-1, 1:nx + 1] = 7
    assert (border == 7).all()
    np.testing.assert_allclose(out[:, 1:-1, 1:nx + 1], Demag(Film(cells=cells)).field(random_state(nx, ny)), atol=1e-5)
    first = out.copy()
    convolve(out, np.where(m, dtype(1e3), dtype(0)), prepared)
    convolve(out, m, prepared)
    np.testing.assert_array_equal(out, first)


def test_one_type_for_all_films():
    types = {numba.typeof(Demag(Film(cells=cells)).prepared()) for cells in ((1, 1), (20, 4), (64, 32), (32, 64), (3, 500))}
    assert len(types) == 1


@pytest.mark.parametrize("cells", SHAPES + MANY)
def test_what_a_stencil_takes_out_is_exactly_the_stencil(cells):
    film = Film((cells[0] * 3e-9, cells[1] * 2e-9, 4e-9), cells)
    m, s = random_state(*cells), np.arange(9.0).reshape(3, 3) / 10
    padded = np.pad(m, ((0, 0), (1, 1), (1, 1)))
    own, along_x, along_y = (s[:, k, None, None] for k in range(3))
    stencil = (own * m + along_x * (padded[:, 1:-1, 2:] + padded[:, 1:-1, :-2])
               + along_y * (padded[:, 2:, 1:-1] + padded[:, :-2, 1:-1]))
    np.testing.assert_allclose(Demag(film, without=s).field(m) - stencil, Demag(film).field(m), atol=1e-13)


@pytest.mark.parametrize("cells", [(12, 7), (65, 20), (20, 65)])
def test_a_reciprocal_operator(cells):
    """m1 . N m2 = m2 . N m1, and the demagnetizing energy of no state is negative."""
    nx, ny = cells
    field = Demag(Film((nx * 5e-9, ny * 5e-9, 3e-9), cells)).field
    for seed in range(10):
        a, b = random_state(nx, ny, seed), random_state(nx, ny, seed + 100)
        assert np.sum(a * field(b)) == pytest.approx(np.sum(b * field(a)), abs=1e-11)
        assert -np.sum(a * field(a)) > 0
    # closed flux, smooth or not: small, not negative
    checker = np.indices((ny, nx)).sum(axis=0) % 2 * 2.0 - 1
    m = np.stack([checker, 0 * checker, 0 * checker])
    assert -np.sum(m * field(m)) > 0


def test_field_of_a_lone_cell_is_a_dipole_far_away():
    film = Film((101 * 4e-9, 101 * 4e-9, 4e-9), (101, 101))
    m = np.zeros((3, 101, 101))
    m[:, 50, 50] = (0.6, 0.0, 0.8)
    h = Demag(film).field(m)
    x, y = np.meshgrid(np.arange(101) - 50, np.arange(101) - 50)
    r = np.hypot(x, y).clip(1)
    far = r > 25
    want = np.stack([0.6 * (3 * x**2 / r**2 - 1), 0.6 * 3 * x * y / r**2, -0.8 + 0 * x], 0)[:, far] / (4 * np.pi * r[far] ** 3)
    np.testing.assert_allclose(h[:, far], want, atol=2e-4 * np.abs(want).max())


# ---------------------------------------------------------------------------- the near part


def test_near_stencil_takes_most_of_a_smooth_field():
    """What it is for: of a long wave, little is left for the slow part."""
    film = Film()
    n = tensor(film.cells, (film.dx, film.dy, film.thickness))
    s = near_stencil(n)
    assert s.shape == (3, 3)
    x, y = np.meshgrid(film.x, film.y)
    wave = np.sin(np.pi * x / film.size[0]) * np.sin(np.pi * y / film.size[1])
    for axis in range(3):
        m = np.zeros((3, 64, 256))
        m[axis] = wave
        whole, rest = Demag(film).field(m)[axis], Demag(film, without=s).field(m)[axis]
        if axis == 2:
            assert np.abs(whole).max() > 0.9 and np.abs(rest).max() < 0.1 * np.abs(whole).max()
    assert s[2, 0] + 2 * s[2, 1] + 2 * s[2, 2] == pytest.approx(1, abs=0.1)


# ---------------------------------------------------------------------------- memory


def test_a_grid_too_large_is_refused_before_allocating(monkeypatch):
    monkeypatch.setattr(demag, "tensor", lambda *a: pytest.fail("it began to compute"))
    with pytest.raises(MemoryError, match="2000000 x 1000000 cells needs about .* GB"):
        Demag(Film(cells=(2_000_000, 1_000_000)))


@pytest.mark.parametrize("cells", [(301, 263), (256, 64), (40, 800), (2000, 1), (28, 28)])
def test_the_estimate_of_memory_is_honest(cells, monkeypatch):
    """What is really allocated stays under the estimate, and is of its order."""
    estimates = []
    monkeypatch.setattr(demag, "check_memory", lambda needed, what: estimates.append(needed))
    demag._tensor.cache_clear()
    film = Film((500e-9, 500e-9, 3e-9), cells)
    tracemalloc.start()
    Demag(film).prepared()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    demag._tensor.cache_clear()
    assert 0.2 * estimates[0] < peak < 1.05 * estimates[0]
    assert film_module.check_memory is not demag.check_memory
