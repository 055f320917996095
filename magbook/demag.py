"""The demagnetizing field: the Newell tensor, and its convolution by FFT. Chapter 1 introduces both.

Notation: h = H/Ms and m are dimensionless; h_demag[i] = -sum_j N[i - j] m[j], with N the demagnetization
tensor of two cells (A. J. Newell, W. Williams, D. J. Dunlop, J. Geophys. Res. 98, 9551 (1993)).
Arrays here have the component first, (3, ny, nx): each component is contiguous, as FFTs want it.
"""

from functools import lru_cache
from itertools import product

import numba
import numpy as np
import scipy.fft
from numpy.typing import DTypeLike

from .film import Film, check_memory

NEAR = 20
"""Cells nearer than this many cell lengths get Newell's exact formula, others the quadrature of `_far`.

Newell's formula takes differences of large numbers, and its rounding error grows with the sixth power
of the distance; the quadrature's error falls with it. At 20 cells both are below 1e-7 of the value.
"""


@lru_cache(maxsize=8)
def tensor(cells: tuple[int, int], cell: tuple[float, float, float]) -> np.ndarray:
    """Demagnetization tensor between cells of one layer.

    cells: (nx, ny). cell: (dx, dy, dz) in m.
    Returns (4, ny, nx): N_xx, N_yy, N_zz, N_xy at the offset of i cells along x and j along y, i, j >= 0.
    N_xz and N_yz vanish within a layer. N_xy is odd in either offset, the others are even.
    """
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

    n: (4, ny, nx) from `tensor`. Returns (3, 3): rows x, y, z.
    """
    kx, ky = (2 * np.pi * np.fft.fftfreq(2 * size) for size in (n.shape[2], n.shape[1]))
    kx, ky = np.meshgrid(kx[:n.shape[2] + 1], ky)
    k = np.hypot(kx, ky)
    weight = np.divide(1, k**1.1, out=np.zeros_like(k), where=k > 0).ravel()
    basis = np.stack([np.ones_like(kx), 2 * np.cos(kx), 2 * np.cos(ky)], axis=-1).reshape(-1, 3)
    spectra = _spectrum(n, (2 * n.shape[1], 2 * n.shape[2]))[:3].reshape(3, -1)
    # lstsq gives the smallest solution where a direction has one cell only and cos(k) tells nothing
    return np.stack([np.linalg.lstsq(basis * weight[:, None], s * weight, rcond=1e-10)[0] for s in spectra])


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
    return scipy.fft.rfft2(padded).real


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _multiply(m, n):
    """m <- -N m in Fourier space, in place: one pass over the memory."""
    for j in range(m.shape[1]):
        for i in range(m.shape[2]):
            x, y = m[0, j, i], m[1, j, i]
            m[0, j, i] = -(n[0, j, i] * x + n[3, j, i] * y)
            m[1, j, i] = -(n[3, j, i] * x + n[1, j, i] * y)
            m[2, j, i] = -n[2, j, i] * m[2, j, i]


class Demag:
    """The demagnetizing field of a film as a convolution, zero-padded so that no image of it acts.

    film: the `Film`. without: a stencil (3, 3) as `near_stencil` gives it; its part is left out of the field.
    dtype: precision of the transforms.
    Raises MemoryError before allocating if the grid is too large.
    """

    def __init__(self, film: Film, without: np.ndarray | None = None, dtype: DTypeLike = np.float64):
        self.ny, self.nx = film.ny, film.nx
        self.shape = tuple(scipy.fft.next_fast_len(2 * n - 1, real=True) for n in (self.ny, self.nx))
        check_memory(60 * 8 * self.ny * self.nx, f"The demagnetization tensor of {self.nx} x {self.ny} cells")
        n = tensor(film.cells, (film.dx, film.dy, film.thickness))
        if without is not None:
            n = n.copy()
            n[:3, 0, 0] -= without[:, 0]
            n[:3, 0, 1:2] -= without[:, 1:2]
            n[:3, 1:2, 0] -= without[:, 2:3]
        self.spectrum = _spectrum(n, self.shape).astype(dtype)
        self.evaluations = 0

    def field(self, m: np.ndarray) -> np.ndarray:
        """h = H_demag/Ms, (3, ny, nx), of m, (3, ny, nx). In units of Ms, so dimensionless.

        Three quarters of the padded grid are zeros. The first transform runs over the filled rows only,
        and the last one back over the rows that are wanted: half of the work of an FFT in two dimensions.
        """
        self.evaluations += 1
        rows = scipy.fft.rfft(m, self.shape[1], axis=2)
        full = scipy.fft.fft(rows, self.shape[0], axis=1)
        _multiply(full, self.spectrum)
        rows = scipy.fft.ifft(full, axis=1, overwrite_x=True)[:, :self.ny]
        # contiguous, so that the loops that read it are compiled to whole vectors of cells
        return np.ascontiguousarray(scipy.fft.irfft(rows, self.shape[1], axis=2)[:, :, :self.nx])
