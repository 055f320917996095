"""Checks of assignments 2 and 3: right answers in several styles, and wrong ones with the sentence that each gets."""

import numpy as np
import pytest
from scipy import ndimage

import magbook as mb
from magbook import checks

MU0 = 4e-7 * np.pi

WRONG = {"02_exchange": ({"anisotropy": "def anisotropy(m, film, K, axis):\n    return -2 * K / (mu0 * film.Ms) * (m @ axis)[..., None] * axis"}, 4)}


def scale(film):
    return 2 * film.A / (MU0 * film.Ms)


def by_loops(m, film):
    h = np.zeros(m.shape)
    ny, nx = film.inside.shape
    for y in range(ny):
        for x in range(nx):
            for dy, dx, d in ((0, 1, film.dx), (0, -1, film.dx), (1, 0, film.dy), (-1, 0, film.dy)):
                if 0 <= y + dy < ny and 0 <= x + dx < nx and film.inside[y, x] and film.inside[y + dy, x + dx]:
                    h[y, x] += scale(film) * (m[y + dy, x + dx] - m[y, x]) / d**2
    return h


def by_padding(m, film):
    p, there = np.pad(m, ((1, 1), (1, 1), (0, 0))), np.pad(film.inside, 1)
    h = 0
    for dy, dx, d in ((0, 1, film.dx), (0, -1, film.dx), (1, 0, film.dy), (-1, 0, film.dy)):
        window = np.s_[1 + dy:1 + dy + film.ny, 1 + dx:1 + dx + film.nx]
        h = h + (p[window] - m) / d**2 * (there[window] & film.inside)[..., None]
    return scale(film) * h


def by_a_matrix(m, film):
    """A graph Laplacian of the cells."""
    n = film.nx * film.ny
    number, L = np.arange(n).reshape(film.ny, film.nx), np.zeros((n, n))
    for a, b, d in ((np.s_[:, :-1], np.s_[:, 1:], film.dx), (np.s_[:-1], np.s_[1:], film.dy)):
        both = (film.inside[a] & film.inside[b]).ravel()
        for i, j in zip(number[a].ravel()[both], number[b].ravel()[both]):
            L[i, j] += 1 / d**2
            L[j, i] += 1 / d**2
            L[i, i] -= 1 / d**2
            L[j, j] -= 1 / d**2
    return scale(film) * (L @ m.reshape(n, 3)).reshape(m.shape)


def periodic(m, film):
    h = sum((np.roll(m, s, axis) - m) / d**2 for axis, d in ((1, film.dx), (0, film.dy)) for s in (1, -1))
    return scale(film) * h * film.inside[..., None]


def zero_outside(m, film):
    """A neighbour that is missing counted as a moment of length zero."""
    x, y = 1 / film.dx**2, 1 / film.dy**2
    kernel = np.array([[0, y, 0], [x, -2 * x - 2 * y, x], [0, y, 0]])
    return scale(film) * film.inside[..., None] * np.stack([ndimage.convolve(m[..., c], kernel, mode="constant") for c in range(3)], axis=-1)


def holes_forgotten(m, film):
    return by_padding(m, mb.Film(film.size, film.cells, Ms=film.Ms, A=film.A))


def square_cells(m, film):
    return by_padding(m, mb.Film((film.nx * film.dx, film.ny * film.dx, 3e-9), film.cells, Ms=film.Ms, A=film.A, mask=film.inside))


def one_sided(m, film):
    h = np.zeros(m.shape)
    there = (film.inside[:, 1:] & film.inside[:, :-1])[..., None]
    h[:, :-1] += 2 * (m[:, 1:] - m[:, :-1]) / film.dx**2 * there
    there = (film.inside[1:] & film.inside[:-1])[..., None]
    h[:-1] += 2 * (m[1:] - m[:-1]) / film.dy**2 * there
    return scale(film) * h


@pytest.mark.parametrize("f", [by_loops, by_padding, by_a_matrix])
@pytest.mark.parametrize("seed", range(3))
def test_right_exchange(f, seed):
    assert checks.exchange(f, points=6, seed=seed) == 6


@pytest.mark.parametrize("f, points, sentence", [
    (lambda m, film: 0 * m, 0, "Along x yours is zero"),
    (lambda m, film: by_loops(m, film) / 2, 0, "Along x yours is 0.5 times that"),
    (lambda m, film: -by_loops(m, film), 0, "Along x yours is -0.999 times that"),
    (square_cells, 0, "Are cells dy apart there"),
    (zero_outside, 4, "a neighbour that is not there exerts no force"),
    (periodic, 3, "The right edge acts on the opposite one: a film has no neighbour across its border"),
    (holes_forgotten, 4, "Yours is not zero where there is no film"),
    (one_sided, None, "going somewhere on one path")])
def test_wrong_exchange(f, points, sentence, capsys):
    for seed in range(3):
        got = checks.exchange(f, points=6, seed=seed)
        assert got == points or points is None and got < 6
        assert sentence in capsys.readouterr().out


@pytest.mark.parametrize("f", [mb.llg.exchange_field, lambda m, film: mb.llg.effective_field(m, film) - mb.llg.demag_field(m, film)])
def test_lazy_exchange(f, capsys):
    assert checks.exchange(f) == 0
    assert "out of order while this check runs: write it yourself" in capsys.readouterr().out


def right_anisotropy(m, film, K, axis):
    return 2 * K / (MU0 * film.Ms) * (m @ axis)[..., None] * axis


def by_einsum(m, film, K, axis):
    return np.einsum("yxi,i,j->yxj", m, axis, axis) * (2 * K / MU0 / film.Ms)


def cell_by_cell(m, film, K, axis):
    h = np.empty(m.shape)
    for place in np.ndindex(m.shape[:2]):
        h[place] = 2 * K * sum(a * b for a, b in zip(m[place], axis)) * np.array(axis) / (MU0 * film.Ms)
    return h


@pytest.mark.parametrize("f", [right_anisotropy, by_einsum, cell_by_cell])
@pytest.mark.parametrize("seed", range(3))
def test_right_anisotropy(f, seed):
    assert checks.anisotropy(f, points=5, seed=seed) == 5


@pytest.mark.parametrize("f, points, sentence", [
    (lambda m, film, K, axis: 0 * m, 0, "Yours feels none"),
    (lambda m, film, K, axis: right_anisotropy(m, film, K, axis) / 2, 0, "Yours is 0.5 times that"),
    (lambda m, film, K, axis: -right_anisotropy(m, film, K, axis), 0, "Yours is -1 times that"),
    (lambda m, film, K, axis: MU0 * right_anisotropy(m, film, K, axis), 0, "Yours is 1.26e-06 times that"),
    (lambda m, film, K, axis: 2 * K / (MU0 * film.Ms) * np.tile(axis, (*m.shape[:2], 1)), 2, "not the opposite of that of m"),
    (lambda m, film, K, axis: 2 * K / (MU0 * film.Ms) * np.abs(m @ axis)[..., None] * axis, 3, "not the opposite of that of m"),
    (lambda m, film, K, axis: 2 * K / (MU0 * film.Ms) * m, 3, "Yours does."),
    (lambda m, film, K, axis: right_anisotropy(m, film, K, np.abs(axis)), 0, "times that"),
    (lambda m, film, K, axis: right_anisotropy(np.broadcast_to(m.mean((0, 1)), m.shape), film, K, axis), 3, "one moment changes the field of others")])
def test_wrong_anisotropy(f, points, sentence, capsys):
    for seed in range(3):
        assert checks.anisotropy(f, points=5, seed=seed) == points
        assert sentence in capsys.readouterr().out


STRIP = mb.Film((120e-9, 4e-9, 1e-9), (120, 2), Ms=6e5, A=1.5e-11)
K = 4e5


def profile(width=1.0, shift=0.0):
    """What theory says of an infinite film."""
    z = -np.tanh((STRIP.x - 60e-9 - shift) / (width * np.sqrt(STRIP.A / K)))
    return np.repeat(np.stack([np.sqrt(1 - z**2), 0 * z, z], axis=-1)[None], 2, axis=0)


@pytest.mark.parametrize("m", [profile(), profile(shift=2e-9), profile()[..., [1, 0, 2]]])
def test_right_walls(m):
    assert checks.wall(m, STRIP, K, points=3) == 3


@pytest.mark.parametrize("m, points, sentence", [
    (profile(1.2), 0, "it would turn on"), (profile(0.7), 0, "it would turn on"), (1.1 * profile(), 0, "The lengths of yours go from 1.1"),
    (profile(shift=70e-9), 0, "never was one"), (np.sign(profile()) * [0, 0, 1], 2, "fewer than three cells"), (profile()[0], 0, "has shape (120, 3)"),
    (profile() * np.nan, 0, "not finite"), (None, 0, "Your answer is")])
def test_wrong_walls(m, points, sentence, capsys):
    assert checks.wall(m, STRIP, K, points=3) == points
    assert sentence in capsys.readouterr().out
