"""Checks of assignments 2 and 3: right answers in several styles, and wrong ones with the sentence that each gets."""

import numpy as np
import pytest
from scipy import ndimage, signal
from test_checks import heard

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
    (lambda m, film: by_loops(m, film) - np.sum(by_loops(m, film) * m, axis=-1, keepdims=True) * m, 0, "at right angles to every moment"),
    (lambda m, film: MU0 * by_loops(m, film), 0, "That is mu0"),
    (square_cells, 0, "Are cells dy apart there"),
    (zero_outside, 4, "a neighbour that is not there exerts no force"),
    (periodic, 2, "The right edge acts on the opposite one: a film has no neighbour across its border"),
    (holes_forgotten, 3, "Yours is not zero where there is no film"),
    (one_sided, None, "going somewhere on one path")])
def test_wrong_exchange(f, points, sentence, capsys):
    for seed in range(3):
        got = checks.exchange(f, points=6, seed=seed)
        assert got == points or points is None and got < 6
        assert sentence in heard(capsys)


@pytest.mark.parametrize("f", [mb.llg.exchange_field, lambda m, film: mb.llg.effective_field(m, film) - mb.llg.demag_field(m, film)])
def test_lazy_exchange(f, capsys):
    assert checks.exchange(f) == 0
    assert "out of order while this check runs: write it yourself" in heard(capsys)


def right_anisotropy(m, film, K, axis):
    return 2 * K / (MU0 * film.Ms) * (m @ axis)[..., None] * axis


def by_einsum(m, film, K, axis):
    return np.einsum("yxi,i,j->yxj", m, axis, axis) * (2 * K / MU0 / film.Ms)


def cell_by_cell(m, film, K, axis):
    h = np.empty(m.shape)
    for place in np.ndindex(m.shape[:2]):
        h[place] = 2 * K * sum(a * b for a, b in zip(m[place], axis)) * np.array(axis) / (MU0 * film.Ms)
    return h


def in_single_precision(m, film, K, axis):
    return np.float32(2 * K / (MU0 * film.Ms)) * (m.astype(np.float32) @ axis.astype(np.float32))[..., None] * axis.astype(np.float32)


@pytest.mark.parametrize("f", [right_anisotropy, by_einsum, cell_by_cell, in_single_precision])
@pytest.mark.parametrize("seed", range(3))
def test_right_anisotropy(f, seed):
    assert checks.anisotropy(f, points=4, seed=seed) == 4


@pytest.mark.parametrize("f, points, sentence", [
    (lambda m, film, K, axis: 0 * m, 0, "Yours feels none"),
    (lambda m, film, K, axis: right_anisotropy(m, film, K, axis) / 2, 0, "Yours is 0.5 times that"),
    (lambda m, film, K, axis: -right_anisotropy(m, film, K, axis), 0, "Yours is -1 times that"),
    (lambda m, film, K, axis: MU0 * right_anisotropy(m, film, K, axis), 0, "Yours is 1.26e-06 times that. That is mu0, which stands between T and A/m"),
    (lambda m, film, K, axis: 2 * K / (MU0 * film.Ms) * np.tile(axis, (*m.shape[:2], 1)), 0, "not the opposite of that of m"),
    (lambda m, film, K, axis: 2 * K / (MU0 * film.Ms) * np.abs(m @ axis)[..., None] * axis, 0, "not the opposite of that of m"),
    (lambda m, film, K, axis: 2 * K / (MU0 * film.Ms) * m, 2, "At right angles yours feels 1 times"),
    (lambda m, film, K, axis: right_anisotropy(m, film, K, axis) * ((m @ axis)**2)[..., None], 2, "At 60 degrees yours feels 0.125 times that"),
    (lambda m, film, K, axis: right_anisotropy(m, film, K, np.abs(axis)), 0, "times that"),
    (lambda m, film, K, axis: right_anisotropy(np.broadcast_to(m.mean((0, 1)), m.shape), film, K, axis), 2, "one moment changes the field of others")])
def test_wrong_anisotropy(f, points, sentence, capsys):
    for seed in range(3):
        assert checks.anisotropy(f, points=4, seed=seed) == points
        assert sentence in heard(capsys)


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
    (profile(1.2), 0, "it would turn on"), (profile(0.7), 0, "times K: it would turn on"), (1.1 * profile(), 0, "The lengths of yours go from 1.1"),
    (profile(shift=70e-9), 0, "never was one"), (np.sign(profile()) * [0, 0, 1], 2, "fewer than three cells"), (profile()[0], 0, "has shape (120, 3)"),
    (profile() * np.nan, 0, "not finite"), (None, 0, "Your answer is")])
def test_wrong_walls(m, points, sentence, capsys):
    assert checks.wall(m, STRIP, K, points=3) == points
    assert sentence in heard(capsys)


def test_a_wall_that_the_cells_do_not_hold(capsys):
    assert checks.wall(np.sign(profile()) * [0, 0, 1], STRIP, 25 * K, points=3) == 2
    assert "sqrt(A/K) is 1.2 cells, and these can't hold a wall so narrow" in heard(capsys)


# ---------------------------------------------------------------------------- of another film

WRONG["03_stray_field"] = ({
    "stray": "def stray(m, film, height):\n"
             "    i, j = np.fft.fftfreq(film.nx) * film.nx, np.fft.fftfreq(film.ny) * film.ny\n"
             "    r = np.stack(np.broadcast_arrays(i[None, :] * film.dx, j[:, None] * film.dy, height), axis=-1)\n"
             "    size = np.linalg.norm(r, axis=-1)[..., None, None]\n"
             "    K = (3 * r[..., :, None] * r[..., None, :] / size**2 - np.eye(3)) / (4 * np.pi * size**3)\n"
             "    K = np.fft.fft2(film.Ms * film.cell_volume * K, axes=(0, 1))\n"
             "    return np.fft.ifft2(np.einsum('yxab,yxb->yxa', K, np.fft.fft2(m, axes=(0, 1))), axes=(0, 1)).real\n",
    "coupling": "def coupling(a, b, film, height):\n"
                "    return -mu0 / 2 * film.Ms * film.cell_volume * np.sum(a * stray(b, film, height))\n",
    "decay": "def decay(film, period):\n    return period / 2\n"}, 1.67)
"""A wrong submission, as in the other files: a Fourier transform without padding, a half too many, and a guess."""


def kernel(x, y, z):
    """(..., 3, 3): the field of a unit dipole."""
    r = np.stack(np.broadcast_arrays(x, y, z), axis=-1)
    size = np.linalg.norm(r, axis=-1)[..., None, None]
    return (3 * r[..., :, None] * r[..., None, :] / size**2 - np.eye(3)) / (4 * np.pi * size**3)


def pair_by_pair(m, film, height):
    y, x = (c.ravel() for c in np.meshgrid(film.y, film.x, indexing="ij"))
    K = kernel(x[:, None] - x, y[:, None] - y, height)
    return film.Ms * film.cell_volume * np.einsum("ijab,jb->ia", K, m.reshape(-1, 3)).reshape(m.shape)


def cell_after_cell(m, film, height):
    h = np.zeros(m.shape)
    for j, i in np.ndindex(film.ny, film.nx):
        if m[j, i].any():
            h += kernel(film.x[None, :] - film.x[i], film.y[:, None] - film.y[j], height) @ m[j, i]
    return film.Ms * film.cell_volume * h


def by_convolution(m, film, height):
    i, j = np.arange(1 - film.nx, film.nx) * film.dx, np.arange(1 - film.ny, film.ny) * film.dy
    K = film.Ms * film.cell_volume * kernel(i[None, :], j[:, None], height)
    return np.stack([sum(signal.fftconvolve(m[..., b], K[..., a, b], mode="full")[film.ny - 1:2 * film.ny - 1, film.nx - 1:2 * film.nx - 1]
                         for b in range(3)) for a in range(3)], axis=-1)


def by_newell(m, film, height):
    """Both cells with their shape, exactly: Newell's tensor between two layers."""
    demag = mb.demag
    i, j = np.arange(1 - film.nx, film.nx), np.arange(1 - film.ny, film.ny)
    d = np.array([film.dx, film.dy, film.thickness]) / film.dx
    x, y = np.meshgrid(i * d[0], j * d[1])
    r, N = (x, y, np.full(x.shape, height / film.dx)), np.empty((*x.shape, 3, 3))
    for a in range(3):
        b, c = (a + 1) % 3, (a + 2) % 3
        N[..., a, a] = demag._second_differences(demag._f, r[a], r[b], r[c], d[a], d[b], d[c])
        N[..., a, b] = N[..., b, a] = demag._second_differences(demag._g, r[a], r[b], r[c], d[a], d[b], d[c])
    far = np.hypot(x, y) ** 2 + (height / film.dx)**2 > 40**2
    N[far] = -kernel(*(one[far] for one in r)) * np.prod(d)
    return -film.Ms * np.stack([sum(signal.fftconvolve(m[..., b], N[..., a, b])[film.ny - 1:2 * film.ny - 1, film.nx - 1:2 * film.nx - 1]
                                    for b in range(3)) for a in range(3)], axis=-1)


@pytest.mark.slow
@pytest.mark.parametrize("f", [pair_by_pair, cell_after_cell, by_convolution, by_newell])
def test_right_stray(f):
    for seed in range(20 if f is by_convolution else 5):
        assert checks.stray(f, points=6, seed=seed) == 6


def padded_too_little(m, film, height):
    """A film taken for a ring."""
    i, j = np.fft.fftfreq(film.nx) * film.nx, np.fft.fftfreq(film.ny) * film.ny
    K = np.fft.fft2(film.Ms * film.cell_volume * kernel(i[None, :] * film.dx, j[:, None] * film.dy, height), axes=(0, 1))
    return np.fft.ifft2(np.einsum("yxab,yxb->yxa", K, np.fft.fft2(m, axes=(0, 1))), axes=(0, 1)).real


def without_a_corner(m, film, height):
    m = m.copy()
    m[-1, -1] = 0
    return pair_by_pair(m, film, height)


@pytest.mark.parametrize("f, points, sentence", [
    (lambda m, film, height: 0 * m, 0, "Yours has no field there"),
    (lambda m, film, height: -pair_by_pair(m, film, height), 0, "Yours is -1 times as strong"),
    (lambda m, film, height: 4e-7 * np.pi * pair_by_pair(m, film, height), 0, "Yours is 1.26e-06 times as strong"),
    (lambda m, film, height: pair_by_pair(m * [1, 1, 0], film, height), 0, "points elsewhere than a dipole's"),
    (lambda m, film, height: pair_by_pair(m[::-1, ::-1], film, height)[::-1, ::-1], 3, "It is the field on the other side"),
    (lambda m, film, height: pair_by_pair(m, film, -height), 3, "It is the field on the other side"),
    (lambda m, film, height: pair_by_pair(m, mb.Film((film.nx * film.dy, film.ny * film.dx, 3e-9), film.cells, Ms=film.Ms), height), 3, "Are cells dx apart along x"),
    (lambda m, film, height: pair_by_pair(m, film, abs(height)), 5, "does not care whether the height is negative"),
    (padded_too_little, None, "The right edge acts on the opposite one"),
    (without_a_corner, 3, "where the upper right corner acts on cells near the upper right corner"),
    (lambda m, film, height: pair_by_pair(mb.film.unit(m), film, height), 5, "Yours do not."),
    (lambda m, film, height: pair_by_pair(m, film, height)[0], 0, "has shape")])
def test_wrong_stray(f, points, sentence, capsys):
    for seed in range(3):
        got = checks.stray(f, points=6, seed=seed)
        assert got == points or points is None and got < 6
        assert sentence in heard(capsys)


@pytest.mark.parametrize("f", [lambda m, film, height: mb.llg.demag_field(m, film),
                               lambda m, film, height: np.moveaxis(mb.demag.Demag(film).field(np.moveaxis(m, -1, 0)), 0, -1) * film.Ms])
def test_lazy_stray(f, capsys):
    assert checks.stray(f) == 0
    assert "the package's own, and out of order" in heard(capsys)


def by_field(a, b, film, height, stray=by_convolution):
    return -MU0 * film.Ms * film.cell_volume * np.sum(a * stray(b, film, height))


def by_field_of_the_upper(a, b, film, height):
    return -MU0 * film.Ms * film.cell_volume * np.vdot(b, by_convolution(a, film, -height))


def by_pairs(a, b, film, height):
    y, x = (c.ravel() for c in np.meshgrid(film.y, film.x, indexing="ij"))
    r = np.stack(np.broadcast_arrays(x[:, None] - x, y[:, None] - y, height), axis=-1)
    size, a, b = np.linalg.norm(r, axis=-1), a.reshape(-1, 3), b.reshape(-1, 3)
    one = a @ b.T - 3 * np.einsum("ia,ija->ij", a, r) * np.einsum("jb,ijb->ij", b, r) / size**2
    return MU0 / (4 * np.pi) * (film.Ms * film.cell_volume)**2 * np.sum(one / size**3)


@pytest.mark.parametrize("f", [by_field, by_field_of_the_upper, by_pairs])
def test_right_coupling(f):
    for seed in range(20):
        assert checks.coupling(f, points=4, seed=seed) == 4


@pytest.mark.parametrize("f, points, sentence", [
    (lambda a, b, film, height: 0, 0, "Yours is zero"),
    (lambda a, b, film, height: by_field(a, b, film, height) / 2, 0, "The half belongs to a film in its own field"),
    (lambda a, b, film, height: -by_field(a, b, film, height), 0, "Yours is -1 times that"),
    (lambda a, b, film, height: by_field(a, b, film, height) / MU0, 0, "Yours is 7.96e+05 times that"),
    (lambda a, b, film, height: by_field(a * [0, 0, 1], b, film, height), 0, "Along x yours is 0 times that"),
    (lambda a, b, film, height: by_field(a, b, film, abs(height)), 3.2, " J and "),
    (lambda a, b, film, height: by_field(a, b, film, height) * (1 + 1e-3 * a[0, 0, 0]), None, "Yours is not."),
    (lambda a, b, film, height: a * by_convolution(b, film, height), 0, "a number is needed")])
def test_wrong_coupling(f, points, sentence, capsys):
    for seed in range(3):
        got = checks.coupling(f, points=4, seed=seed)
        assert got == points or points is None and got < 4
        assert sentence in heard(capsys)


def stripes(film, period):
    m = np.zeros((film.ny, film.nx, 3))
    m[..., 2] = np.cos(2 * np.pi * film.x / period)
    return m


def by_two_heights(film, period):
    one, two = (np.abs(by_convolution(stripes(film, period), film, h)[16, 24:40, 2]).max() for h in (period / 5, period / 2))
    return 0.3 * period / np.log(one / two)


def by_a_line(film, period):
    heights = np.linspace(2 * film.dx, 0.6 * period, 8)
    rms = [np.sqrt(np.mean(by_convolution(stripes(film, period), film, h)[12:20, 16:48]**2)) for h in heights]
    return -1 / np.polyfit(heights, np.log(rms), 1)[0]


@pytest.mark.slow
@pytest.mark.parametrize("f", [by_two_heights, by_a_line, lambda film, period: period / (2 * np.pi)])
def test_right_decay(f):
    for seed in range(20):
        assert checks.decay(f, points=2, seed=seed) == 2


@pytest.mark.parametrize("f, points, sentence", [
    (lambda film, period: 0, 0, "Yours needs 0 times that"),
    (lambda film, period: period, 0, "Yours needs 6.28 times that"),
    (lambda film, period: by_two_heights(film, period) * np.log(2), 0, "Yours needs 0."),
    (lambda film, period: -by_two_heights(film, period), 0, "Yours needs -1"),
    (lambda film, period: 12 * film.dx / 2 / np.pi, 0, "Of these yours needs 0.75 times"),
    (lambda film, period: by_two_heights(film, period) * 1e9, 0, "e+09 times that"),
    (lambda film, period: stripes(film, period), 0, "a number is needed")])
def test_wrong_decay(f, points, sentence, capsys):
    for seed in range(3):
        assert checks.decay(f, points=2, seed=seed) == points
        assert sentence in heard(capsys)
