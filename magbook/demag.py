"""The demagnetizing field: the Newell tensor, and its convolution. Chapter 1 introduces both.

Notation: h = H/Ms and m are dimensionless; h_demag[i] = -sum_j N[i - j] m[j], with N the demagnetization
tensor of two cells (A. J. Newell, W. Williams, D. J. Dunlop, J. Geophys. Res. 98, 9551 (1993)).
Arrays here have the component first, (3, ny, nx): each component is contiguous.
"""

import contextlib
import warnings
from collections.abc import Callable
from functools import lru_cache
from itertools import product
from typing import Any

import numba
import numpy as np
from numba.core.caching import FunctionCache
from numpy.typing import DTypeLike

from ._arguments import array, check_counts, instance, number, said
from .film import Film, check_memory

NEAR = 20
"""Cells nearer than this many cell lengths get Newell's exact formula, others the quadrature of `_far`.

Newell's formula takes differences of large numbers, and its rounding error grows with the sixth power
of the distance; the quadrature's error falls with it. At 20 cells both are below 1e-7 of the value for
cubes, 1e-6 for cells of 5 x 5 x 1, and 1e-4 for 50 x 50 x 1, as measured.
"""


def tensor(cells: tuple[int, int], cell: tuple[float, float, float]) -> np.ndarray:
    """Demagnetization tensor between cells of one layer.

    cells: (nx, ny). cell: (dx, dy, dz) in m.
    Returns (4, ny, nx): N_xx, N_yy, N_zz, N_xy at the offset of i cells along x and j along y, i, j >= 0.
    N_xz and N_yz vanish within a layer. N_xy is odd in either offset, the others are even.
    Raises ValueError or TypeError, naming the argument, and MemoryError before allocating too much.
    """
    nx, ny = array("cells", cells, "(2,)").tolist()
    for n in (nx, ny):
        check_counts(cells=n)
    check_memory(8.0 * 40 * nx * ny, f"cells: the demagnetization tensor of {nx} x {ny} cells")
    dx, dy, dz = (number("cell", d, "lengths greater than 0 are", 1e-30, 1e30) for d in array("cell", cell, "(3,)").tolist())
    return _tensor((nx, ny), (dx, dy, dz)).copy()


@lru_cache(maxsize=8)
def _tensor(cells, cell):
    (nx, ny), (dx, dy, dz) = cells, np.array(cell) / max(cell)
    y, x = np.meshgrid(np.arange(ny) * dy, np.arange(nx) * dx, indexing="ij")
    near = np.hypot(x, y) <= NEAR
    n = _far(x, y, dx, dy, dz)
    x, y, z = x[near], y[near], np.zeros(np.count_nonzero(near))
    n[0][near] = _second_differences(_f, x, y, z, dx, dy, dz)
    n[1][near] = _second_differences(_f, y, x, z, dy, dx, dz)  # the same function, axes exchanged
    n[2][near] = _second_differences(_f, z, y, x, dz, dy, dx)
    n[3][near] = _second_differences(_g, x, y, z, dx, dy, dz)
    return n


def _second_differences(function, x, y, z, dx, dy, dz):
    """Newell's eq. 19 and 28: the second difference along each axis of a function of the offset."""
    weight = {-1: -1, 0: 2, 1: -1}
    total = sum(weight[a] * weight[b] * weight[c] * function(x + a * dx, y + b * dy, z + c * dz)
                for a, b, c in product(weight, repeat=3))
    return total / (4 * np.pi * dx * dy * dz)


def _ratio(a, b):
    """a/b, and 0 where b is 0: every term it stands in is then multiplied by 0."""
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0)


def _f(x, y, z):
    """Newell's f, eq. 27."""
    x, y, z = abs(x), abs(y), abs(z)
    r = np.sqrt(x**2 + y**2 + z**2)
    return (y / 2 * (z**2 - x**2) * np.arcsinh(_ratio(y, np.hypot(x, z)))
            + z / 2 * (y**2 - x**2) * np.arcsinh(_ratio(z, np.hypot(x, y)))
            - x * y * z * np.arctan(_ratio(y * z, x * r))
            + (2 * x**2 - y**2 - z**2) * r / 6)


def _g(x, y, z):
    """Newell's g, eq. 32."""
    r = np.sqrt(x**2 + y**2 + z**2)
    return (x * y * z * np.arcsinh(_ratio(z, np.hypot(x, y)))
            + y / 6 * (3 * z**2 - y**2) * np.arcsinh(_ratio(x, np.hypot(y, z)))
            + x / 6 * (3 * z**2 - x**2) * np.arcsinh(_ratio(y, np.hypot(x, z)))
            - z**3 / 6 * np.arctan(_ratio(x * y, z * r))
            - z * y**2 / 2 * np.arctan(_ratio(x * z, y * r))
            - z * x**2 / 2 * np.arctan(_ratio(y * z, x * r))
            - x * y * r / 3)


def _far(x, y, dx, dy, dz):
    """Point dipoles, averaged over both cells.

    The offset of a point of one cell from a point of the other has a triangular density along each axis.
    The three nodes 0, +-sqrt(0.4) d with weights 7/12, 5/24, 5/24 integrate it exactly to fifth order.
    """
    n = np.zeros((4, *x.shape))
    nodes = ((-np.sqrt(0.4), 5 / 24), (0.0, 7 / 12), (np.sqrt(0.4), 5 / 24))
    for (a, wa), (b, wb), (c, wc) in product(nodes, repeat=3):
        px, py, pz = x + a * dx, y + b * dy, c * dz
        r2 = px**2 + py**2 + pz**2
        r2[0, 0] = 1  # a cell on itself is not far: the caller fills it in
        dipole = wa * wb * wc * dx * dy * dz / (4 * np.pi) / r2**2.5
        n += dipole * np.stack([r2 - 3 * px**2, r2 - 3 * py**2, r2 - 3 * pz**2, -3 * px * py])
    return n


def near_stencil(n: np.ndarray) -> np.ndarray:
    """The part of the demagnetizing field that a cell and its four neighbours can tell.

    A five-point stencil s = (own, along x, along y) per component, fitted to the tensor by least squares
    in Fourier space, N(k) ~ own + 2 along_x cos(kx) + 2 along_y cos(ky). Long waves carry the motion, so
    they weigh most, as 1/k^1.1: found by trying, and not critical. What the stencil leaves over is
    handled in full by `Demag`, so the choice changes no field, only what is stepped how often (see `llg`).

    n: (4, ny, nx) from `tensor`. Returns (3, 3): rows x, y, z. Raises ValueError or TypeError for what is no tensor.
    """
    n = array("n", n, "(4, ny, nx)", finite=True)
    if not n.size:
        raise ValueError(f"n: got shape {n.shape}; one cell at least is needed")
    kx, ky = (2 * np.pi * np.fft.fftfreq(2 * size) for size in (n.shape[2], n.shape[1]))
    kx, ky = np.meshgrid(kx[:n.shape[2] + 1], ky)
    k = np.hypot(kx, ky)
    weight = np.divide(1, k**1.1, out=np.zeros_like(k), where=k > 0).ravel()
    basis = np.stack([np.ones_like(kx), 2 * np.cos(kx), 2 * np.cos(ky)], axis=-1).reshape(-1, 3)
    spectra = _spectrum(n, (2 * n.shape[1], 2 * n.shape[2]))[:3].reshape(3, -1)
    # lstsq gives the smallest solution where a direction has one cell only and cos(k) tells nothing
    return np.linalg.lstsq(basis * weight[:, None], (spectra * weight).T, rcond=1e-10)[0].T


def _spectrum(n, shape):
    """Fourier transform of the tensor on the padded grid: real, since N(-r) = N(r)."""
    ny, nx = n.shape[1:]
    padded = np.zeros((4, *shape))
    odd = np.array([1, 1, 1, -1])[:, None, None]
    padded[:, :ny, :nx] = n
    if nx > 1:
        padded[:, :ny, 1 - nx:] = odd * n[:, :, :0:-1]
    if ny > 1:
        padded[:, 1 - ny:] = odd * padded[:, ny - 1:0:-1]
    return np.fft.rfft2(padded).real


def compiled(function: Callable) -> Callable:
    """Compile a function of loops, and keep what comes out for other processes where there is a place for it."""
    loop: Any = numba.njit(fastmath=True, error_model="numpy", nogil=True)(function)
    # neither the package's folder nor the user's cache can be written to; numba was told to compile nothing
    with contextlib.suppress(RuntimeError, AttributeError):
        loop._cache = _Cache(loop.py_func)
    return loop


class _Cache(FunctionCache):
    """Numba's, where a full disk costs time alone."""

    full = False  # for all of them, so that it is said once

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except OSError as error:
            if not _Cache.full:
                warnings.warn(f"what was compiled cannot be kept, so each process compiles anew: {error.strerror}, {self.cache_path}",
                              RuntimeWarning, stacklevel=2)
            _Cache.full = True


def _fast_axis(nx, ny):
    """Axis of the FFT, the longer: 1 along x, 2 along y. 0 for none, where products along both take less time, as measured."""
    if nx * ny <= 800 and max(nx, ny) <= 250:
        return 0
    return 2 if ny > nx else 1


def _fast_order(length):
    """Frequency in each row, (length,), after the passes of `_multiply_fast`."""
    order, twos = np.zeros(1, int), length.bit_length() - 2
    for radix in [2] * (twos % 2) + [4] * (twos // 2) + [2]:  # from the last pass to the first
        order = (np.arange(radix)[:, None] + radix * order).ravel()
    return order


def _cos_sin(cells, columns):
    """Cosines and sines of the frequencies, 0 from `cells` on, at one half of the cells, (half, columns), and both transposed."""
    x = np.arange((cells + 1) // 2) - (cells - 1) / 2
    phase = 2 * np.pi / (2 * cells - 1) * np.outer(x, np.arange(columns))
    cos, sin = (a * (np.arange(columns) < cells) for a in (np.cos(phase), np.sin(phase)))
    return cos, sin, cos.T, sin.T


def aligned(shape: tuple[int, ...], dtype: DTypeLike, first: int = 0) -> np.ndarray:
    """Zeros, number `first` of which begins a line of the cache: elsewhere every other vector of numbers would lie across two lines."""
    size, line = int(np.prod(shape)), 64 // np.dtype(dtype).itemsize
    a = np.zeros(size + line, dtype)
    begin = (-first - a.ctypes.data // a.itemsize) % line
    return a[begin:begin + size].reshape(shape)


inlined = numba.njit(inline="always")
"""For a function of which `convolve` is made. Compiled on its own too, it would be optimized twice: that takes seconds more."""


class Demag:
    """The demagnetizing field of a film as a convolution, zero-padded so that no image of it acts.

    A Fourier transform that a compiled loop can call. Of few cells: by matrix products along both axes, with cosines and sines,
    which is as fast as an FFT or faster. Of many: by an FFT along the longer axis, and a product along the shorter. Along the axis
    of a product the tensor is even or odd, so about the middle of the film even and odd parts stay apart, each half as long: that
    halves both the work and the matrices.
    film: the `Film`. without: a stencil (3, 3) as `near_stencil` gives it; its part is left out of the field.
    dtype: of the transforms, np.float64 or np.float32.
    Raises ValueError or TypeError, naming the argument, and MemoryError before allocating if the grid is too large.
    """

    def __init__(self, film: Film, without: np.ndarray | None = None, dtype: type = np.float64):
        ny, nx = self.ny, self.nx = instance("film", film, Film).ny, film.nx
        if not (isinstance(dtype, type) and dtype in (np.float32, np.float64)):
            raise TypeError(f"dtype: got {said(dtype)}; numpy.float64 or numpy.float32 is needed")
        self.axis, short, length = _fast_axis(nx, ny), min(nx, ny), max(8, 1 << (2 * max(nx, ny) - 1).bit_length())
        columns = short + -short % 8  # whole vectors of numbers: no loop has a rest
        check_memory(8 * (8 * ny * nx + length * (24 * short + 10 * columns) + 4 * short**2), f"The demagnetization tensor of {nx} x {ny} cells")
        n = tensor(film.cells, (film.dx, film.dy, film.thickness))
        if without is not None:
            without = array("without", without, "(3, 3)", finite=True)
            n[:3, 0, 0] -= without[:, 0]
            n[:3, 0, 1:2] -= without[:, 1:2]
            n[:3, 1:2, 0] -= without[:, 2:3]
        n[3] *= -1  # of sin(kx x) sin(ky y), which is odd twice
        if self.axis:
            spectrum = _spectrum(n if self.axis == 2 else n.transpose(0, 2, 1), (length, 2 * short - 1))
            spectrum *= -np.where(np.arange(short), 2, 1) / ((2 * short - 1) * length)  # a frequency and its negative are one here
            self.spectrum = aligned((length, 4, columns), dtype)
            self.spectrum[:, :, :short] = spectrum.transpose(1, 0, 2)[_fast_order(length)]
            phase = 2 * np.pi / length * np.arange(length)[None]
            matrices = (np.cos(phase), np.sin(phase)) * 2 + _cos_sin(short, columns)
        else:
            spectrum = _spectrum(n, (2 * ny - 1, 2 * nx - 1))[:, :ny]
            for axis, cells in ((1, ny), (2, nx)):
                spectrum *= np.expand_dims(np.where(np.arange(cells), 2, 1) / (2 * cells - 1), (0, 3 - axis))
            self.spectrum = np.ascontiguousarray(spectrum, dtype)
            matrices = _cos_sin(nx, nx) + _cos_sin(ny, ny)
        self.matrices = tuple(np.ascontiguousarray(a, dtype) for a in matrices)

    def prepared(self) -> tuple:
        """What `convolve` takes: axis of the FFT, cells along the other, spectrum, matrices, and room to work, which belongs to one thread.

        All is of one type for all films, so that nothing is compiled anew for another.
        """
        ny, nx = self.ny, self.nx
        if self.axis:
            length, _, columns = self.spectrum.shape
            shapes = (0, 0, 0), (0, 0, 0), (2, max(nx, ny), 3, (min(nx, ny) + 1) // 2), (2, length, 3, columns)
        else:
            shapes = (2, 3 * ny, (nx + 1) // 2), (2, 3 * ny, nx), (2, (ny + 1) // 2, 2, 3 * nx), (2, ny, 2, 3 * nx)
        return self.axis, min(nx, ny), self.spectrum, self.matrices, tuple(aligned(shape, self.spectrum.dtype) for shape in shapes)

    def field(self, m: np.ndarray) -> np.ndarray:
        """h = H_demag/Ms, (3, ny, nx), of m, (3, ny, nx). In units of Ms, so dimensionless."""
        m = array("m", m, "(3, ny, nx)", ny=self.ny, nx=self.nx)
        padded = np.zeros((3, self.ny + 2, self.nx + 2), self.spectrum.dtype)  # rows in a row, whatever m is: no loop is compiled anew
        padded[:, 1:-1, 1:-1] = m
        h = np.empty_like(padded)
        convolve(h, padded, self.prepared())
        return h[:, 1:-1, 1:-1].copy()


@inlined
def _fold(out, a):
    """Rows of a, (2, n, ...), from both ends: out[0, :, p] <- their sums, out[1, :, p] <- their differences, for p = 0, 1."""
    n = a.shape[1]
    for p in range(2):
        for j in range(n // 2):
            for i in range(a.shape[2]):
                out[0, j, p, i], out[1, j, p, i] = a[p, j, i] + a[p, n - 1 - j, i], a[p, j, i] - a[p, n - 1 - j, i]
        if n % 2:
            for i in range(a.shape[2]):
                out[0, n // 2, p, i] = a[p, n // 2, i]


@inlined
def _unfold(out, a):
    """out, (2, n, ...), from the even parts a[0, :, p] and the odd parts a[1, :, p] about the middle, for p = 0, 1."""
    n = out.shape[1]
    for p in range(2):
        for j in range(n // 2):
            for i in range(out.shape[2]):
                out[p, j, i], out[p, n - 1 - j, i] = a[0, j, p, i] + a[1, j, p, i], a[0, j, p, i] - a[1, j, p, i]
        if n % 2:
            for i in range(out.shape[2]):
                out[p, n // 2, i] = a[0, n // 2, p, i]


@compiled
def _product(a, b, out):
    """out <- a b, matrices. Where a is small, BLAS takes longer to begin than these loops to end."""
    if a.size > 128:
        np.dot(a, b, out)
        return
    for k in range(out.shape[0]):
        for i in range(out.shape[1]):
            out[k, i] = a[k, 0] * b[0, i]
        for j in range(1, len(b)):
            for i in range(out.shape[1]):
                out[k, i] += a[k, j] * b[j, i]


@inlined
def _multiply(f, n):
    """f <- -N f, f: (2, ny, 2, 3, nx), even and odd along y, even and odd along x. The tensor's xy turns even-even into odd-odd."""
    for j in range(n.shape[1]):
        for p in range(2):
            for q in range(2):
                x, y, z, sign = f[p, j, q, 0], f[1 - p, j, 1 - q, 1], f[p, j, q, 2], n.dtype.type(1 if p == q else -1)
                for i in range(n.shape[2]):
                    xx, yy, xy = n[0, j, i], n[1, j, i], sign * n[3, j, i]
                    x[i], y[i] = -(xx * x[i] + xy * y[i]), -(yy * y[i] + xy * x[i])
                for i in range(n.shape[2]):
                    z[i] *= -n[2, j, i]


@inlined
def _convolve_products(out, m, spectrum, matrices, rooms):
    """`convolve` by products along both axes."""
    ends, rows, sides, waves = rooms
    ny, nx = spectrum.shape[1:]
    for j in range(ny):
        for c in range(3):
            for i in range(nx // 2):
                left, right = m[c, j + 1, i + 1], m[c, j + 1, nx - i]
                ends[0, 3 * j + c, i], ends[1, 3 * j + c, i] = left + right, left - right
            if nx % 2:
                ends[0, 3 * j + c, nx // 2] = m[c, j + 1, nx // 2 + 1]
    for p in range(2):  # cosines of what is even, sines of what is odd
        np.dot(ends[p], matrices[p], rows[p])
    _fold(sides, rows.reshape(2, ny, 3 * nx))
    for p in range(2):
        _product(matrices[6 + p], sides[p].reshape(-1, 6 * nx), waves[p].reshape(ny, 6 * nx))
    _multiply(waves.reshape(2, ny, 2, 3, nx), spectrum)
    for p in range(2):
        _product(matrices[4 + p], waves[p].reshape(ny, 6 * nx), sides[p].reshape(-1, 6 * nx))
    _unfold(rows.reshape(2, ny, 3 * nx), sides)
    for p in range(2):
        np.dot(rows[p], matrices[2 + p], ends[p])
    for j in range(ny):
        for c in range(3):
            for i in range(nx // 2):
                even, odd = ends[0, 3 * j + c, i], ends[1, 3 * j + c, i]
                out[c, j + 1, i + 1], out[c, j + 1, nx - i] = even + odd, even - odd
            if nx % 2:
                out[c, j + 1, nx // 2 + 1] = ends[0, 3 * j + c, nx // 2]


@inlined
def _fold_fast(sides, m, ny):
    """sides, (2, nx, 3, half of ny) <- sums and differences of the rows of m, with its border, from both ends."""
    half = ny // 2
    for i in range(sides.shape[1]):
        for c in range(3):
            for j in range(half):
                top, bottom = m[c, j + 1, i + 1], m[c, ny - j, i + 1]
                sides[0, i, c, j], sides[1, i, c, j] = top + bottom, top - bottom
            if ny % 2:
                sides[0, i, c, half] = m[c, half + 1, i + 1]


@inlined
def _unfold_fast(out, sides, ny):
    """The inside of out from its even and odd parts: the inverse of `_fold_fast`, but for a factor 2."""
    half = ny // 2
    for i in range(sides.shape[1]):
        for c in range(3):
            for j in range(half):
                even, odd = sides[0, i, c, j], sides[1, i, c, j]
                out[c, j + 1, i + 1], out[c, ny - j, i + 1] = even + odd, even - odd
            if ny % 2:
                out[c, half + 1, i + 1] = sides[0, i, c, half]


# The passes of the FFT along the rows of w, (2, length, ...): real and imaginary parts, w[:, a, i] for all i at once, in place.
# Forward, a pass of radix r turns n rows into r times n/r, of frequencies k = 0, r, 2r ..., then k = 1, r + 1, 2r + 1 ...; rows are
# not put in order, since the tensor lies in theirs. `_back` undoes the pass, but for a factor r. cos, sin: of 2 pi k/length.


@inlined
def _twos(w, cells, cos, sin):
    """All rows, of which those from `cells` on stand for zeros."""
    half = w.shape[1] // 2
    for a in range(cells):
        b, c, s = a + half, cos[a], sin[a]
        for i in range(w.shape[2]):
            x, y = w[0, a, i], w[1, a, i]
            w[0, b, i], w[1, b, i] = x * c + y * s, y * c - x * s
    for a in range(cells, half):
        b = a + half
        for i in range(w.shape[2]):
            w[0, a, i] = w[1, a, i] = w[0, b, i] = w[1, b, i] = 0


@inlined
def _twos_back(w, cells, cos, sin):
    half = w.shape[1] // 2
    for a in range(cells):
        b, c, s = a + half, cos[a], sin[a]
        for i in range(w.shape[2]):
            x, y = w[0, b, i], w[1, b, i]
            w[0, a, i] += x * c - y * s
            w[1, a, i] += y * c + x * s


@inlined
def _turns(cos, sin, k):
    """Cosine and sine of once, twice and three times the angle of frequency k."""
    return cos[k], sin[k], cos[2 * k], sin[2 * k], cos[3 * k], sin[3 * k]


@inlined
def _fours(w, first, n, cos, sin):
    q, step = n // 4, len(cos) // n
    for j in range(q):
        c1, s1, c2, s2, c3, s3 = _turns(cos, sin, j * step)
        a = first + j
        b, c, d = a + q, a + 2 * q, a + 3 * q
        for i in range(w.shape[2]):
            ar, ai, br, bi, cr, ci, dr, di = w[0, a, i], w[1, a, i], w[0, b, i], w[1, b, i], w[0, c, i], w[1, c, i], w[0, d, i], w[1, d, i]
            pr, pi, qr, qi, rr, ri, sr, si = ar + cr, ai + ci, ar - cr, ai - ci, br + dr, bi + di, br - dr, bi - di
            ur, ui, vr, vi, tr, ti = qr + si, qi - sr, pr - rr, pi - ri, qr - si, qi + sr
            w[0, a, i], w[1, a, i] = pr + rr, pi + ri
            w[0, b, i], w[1, b, i] = ur * c1 + ui * s1, ui * c1 - ur * s1
            w[0, c, i], w[1, c, i] = vr * c2 + vi * s2, vi * c2 - vr * s2
            w[0, d, i], w[1, d, i] = tr * c3 + ti * s3, ti * c3 - tr * s3


@inlined
def _fours_back(w, first, n, cos, sin):
    q, step = n // 4, len(cos) // n
    for j in range(q):
        c1, s1, c2, s2, c3, s3 = _turns(cos, sin, j * step)
        a = first + j
        b, c, d = a + q, a + 2 * q, a + 3 * q
        for i in range(w.shape[2]):
            ar, ai = w[0, a, i], w[1, a, i]
            br, bi = w[0, b, i] * c1 - w[1, b, i] * s1, w[1, b, i] * c1 + w[0, b, i] * s1
            cr, ci = w[0, c, i] * c2 - w[1, c, i] * s2, w[1, c, i] * c2 + w[0, c, i] * s2
            dr, di = w[0, d, i] * c3 - w[1, d, i] * s3, w[1, d, i] * c3 + w[0, d, i] * s3
            pr, pi, qr, qi, rr, ri, sr, si = ar + cr, ai + ci, ar - cr, ai - ci, br + dr, bi + di, br - dr, bi - di
            w[0, a, i], w[1, a, i] = pr + rr, pi + ri
            w[0, b, i], w[1, b, i] = qr - si, qi + sr
            w[0, c, i], w[1, c, i] = pr - rr, pi - ri
            w[0, d, i], w[1, d, i] = qr + si, qi - sr


@inlined
def _pairs(w, first, n):
    """Sums and differences of neighbours: radix 2, where no factor is left, so forward and back are the same."""
    for a in range(first, first + n, 2):
        b = a + 1
        for p in range(2):
            for i in range(w.shape[2]):
                w[p, a, i], w[p, b, i] = w[p, a, i] + w[p, b, i], w[p, a, i] - w[p, b, i]


@inlined
def _multiply_rows(w, n, first, last):
    """w <- -N w. w: (2, length, 3, ny), of which the rows from first to last. n: -N, (length, 4, ny)."""
    for a in range(first, last):
        for i in range(w.shape[3]):
            xx, yy, xy = n[a, 0, i], n[a, 1, i], n[a, 3, i]
            xr, yr, xi, yi = w[0, a, 0, i], w[0, a, 1, i], w[1, a, 0, i], w[1, a, 1, i]
            w[0, a, 0, i], w[0, a, 1, i] = xx * xr + xy * yr, yy * yr + xy * xr
            w[1, a, 0, i], w[1, a, 1, i] = xx * xi + xy * yi, yy * yi + xy * xi
        for p in range(2):
            for i in range(w.shape[3]):
                w[p, a, 2, i] *= n[a, 2, i]


@inlined
def _multiply_fast(waves, spectrum, cells, cos, sin):
    """waves <- the convolution with the tensor along the rows, of which `cells` are there. waves: (2, length, 3, ny).

    Depth first: a block of rows goes through all passes, and back, as far as it can on its own. So most passes find their rows in
    the cache.
    """
    length = waves.shape[1]
    w, half, rest = waves.reshape(2, length, -1), length // 2, length // 2
    _twos(w, cells, cos, sin)
    while rest % 4 == 0:
        rest //= 4
    step = 4 * rest
    for first in range(0, length, step):
        n, last = half, first + step
        while n >= step:
            if first % n == 0:
                _fours(w, first, n, cos, sin)
            n //= 4
        if rest == 2:
            _pairs(w, first, step)
        _multiply_rows(waves, spectrum, first, last)
        if rest == 2:
            _pairs(w, first, step)
        n = step
        while n <= half:
            if last % n == 0:
                _fours_back(w, last - n, n, cos, sin)
            n *= 4
    _twos_back(w, cells, cos, sin)


@compiled
def convolve(out: np.ndarray, m: np.ndarray, prepared: tuple) -> None:
    """out <- h = H_demag/Ms of m, both (3, ny + 2, nx + 2 or more), m with a border of zeros; that of out stays as it is. prepared: see `Demag`."""
    axis, ny, spectrum, matrices, rooms = prepared
    if axis == 0:
        _convolve_products(out, m, spectrum, matrices, rooms)
        return
    _, _, sides, waves = rooms  # x is the longer axis here, y the shorter, whichever they are in m
    nx = sides.shape[1]
    _fold_fast(sides, m.transpose(0, axis, 3 - axis), ny)
    halves, rows = sides.reshape(2, 3 * nx, -1), waves.reshape(2, -1, waves.shape[3])
    for p in range(2):
        np.dot(halves[p], matrices[4 + p], rows[p, :3 * nx])
    _multiply_fast(waves, spectrum, nx, matrices[0][0], matrices[1][0])
    for p in range(2):
        np.dot(rows[p, :3 * nx], matrices[6 + p], halves[p])
    _unfold_fast(out.transpose(0, axis, 3 - axis), sides, ny)
