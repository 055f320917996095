"""Normal modes: how a film rings when it is hardly disturbed. Chapter 6 compares them with neurons.

A small disturbance v of an equilibrium m0 is perpendicular to it. To first order, and without damping, LLG says

    dv/dt = gamma0 m0 x K v,    K v = (m0.H0) v - H[v],

with H0 the effective field of m0 and H[v] the exchange and demagnetizing field of v. K, within the planes
perpendicular to m0, is the second derivative of the energy: symmetric, and positive at a minimum. Therefore
everything swings, v = Re[phi exp(i omega t)], with real frequencies: i omega phi = gamma0 m0 x K phi.
M. d'Aquino et al., J. Comput. Phys. 228, 6130 (2009).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike
from scipy.sparse.linalg import LinearOperator, cg, eigs

from . import applied
from ._arguments import array, instance, is_count, number
from .files import arrays, atomic
from .film import MU0, Film, unit
from .llg import demag_field, effective_field, exchange_field, max_torque, s_state


@dataclass(eq=False)
class Modes:
    """Normal modes of an equilibrium, the slowest first.

    frequency: (k,) in Hz. shape: phi above, (k, ny, nx, 3), complex, its longest vector of length 1, its phase such
    that the real part swings in the film's plane as far as it can. parity: (k,), 1 for an even mode, phi(-x, -y) =
    phi(x, y), -1 for an odd one, 0 for neither, as where m0 is not even. state: m0, (ny, nx, 3).
    """

    frequency: np.ndarray
    shape: np.ndarray
    parity: np.ndarray
    state: np.ndarray

    def amplitudes(self, v: np.ndarray) -> np.ndarray:
        """How much of each mode is in a disturbance: complex c (..., k), with v = sum 2 Re[c phi] over all modes.

        c = sum m0.(phi* x v) / sum m0.(phi* x phi). v: (..., ny, nx, 3), perpendicular to the state.
        """
        v = array("v", v, "(..., ny, nx, 3)", ny=self.state.shape[0], nx=self.state.shape[1])
        return np.tensordot(v, self._dual(), axes=([-3, -2, -1], [-3, -2, -1])) / self._norm()

    def decay(self, alpha: float) -> np.ndarray:
        """The rate in 1/s at which each amplitude falls with small Gilbert damping: (k,), to first order in alpha.

        alpha omega sum |phi|^2 / (i sum m0.(phi* x phi)): large where the precession is a narrow ellipse.
        """
        alpha = number("alpha", alpha, "Gilbert damping, at least 0, is", 0)
        squares = np.sum(np.abs(self.shape)**2, axis=(1, 2, 3))
        return alpha * 2 * np.pi * self.frequency * squares / (1j * self._norm()).real

    def _dual(self):
        return np.cross(self.state, self.shape.conj())  # m0.(phi* x v) = v.(m0 x phi*)

    def _norm(self):
        return np.sum(self._dual() * self.shape, axis=(1, 2, 3))


def find(film: Film = Film(), field: ArrayLike = (0.0, 0.0), state: np.ndarray | None = None, k: int = 12) -> Modes:
    """The k slowest normal modes of an equilibrium: `Modes`.

    film: the `Film`; its damping plays no part. field: mu0*H in T. state: a minimum of the energy in it,
    (ny, nx, 3), as `llg.relax` finds; by default the film's S-state, for zero field.
    With two components in the plane perpendicular to m0 the equation is K u = i omega J u, where J turns by 90 degrees.
    An Arnoldi iteration finds the largest 1/omega; each of its steps solves K u = b by conjugate gradients. Lengths and
    angles are those of the inner product of K, in which K^-1 J is antisymmetric.
    Twelve modes of 256 x 64 cells take ten seconds on one core. Raises ValueError for a k too large for the grid, and
    for a state that is no equilibrium or no minimum.
    """
    instance("film", film, Film)
    field = applied.vector(field)
    state = s_state(film) if state is None else film.state(state)
    n = np.count_nonzero(film.inside)
    if not (is_count(k) and k < n):
        raise ValueError(f"k: got {k!r}; at least 1 and less than the number of cells, {n}, is needed")
    torque = max_torque(state, film, field)
    if torque > 1e-4:
        raise ValueError(f"state: max|m x H|/Ms is {torque:.1e}; an equilibrium, below 1e-4, is needed; see relax")
    basis = _basis(state)[:, film.inside]
    precondition = _precondition(film)
    along = np.sum(state * effective_field(state, film, field), axis=-1)[film.inside] / film.Ms

    def stiffness(u):
        u, v = u.reshape(2, n), np.zeros_like(state)
        v[film.inside] = np.einsum("an,anc->nc", u, basis)
        h = (exchange_field(v, film) + demag_field(v, film))[film.inside] / film.Ms
        return (along * u - np.einsum("nc,anc->an", h, basis)).ravel()

    def solve(b):
        u, failed = cg(K, b, rtol=1e-8, maxiter=1000, M=operator(precondition))
        if failed or u @ b <= 0:
            raise ValueError("state: it is an equilibrium, but the energy has no minimum there")
        return u

    def operator(function):
        return LinearOperator((2 * n, 2 * n), function, dtype=float)

    K = operator(stiffness)
    J = operator(lambda u: np.concatenate([u[n:], -u[:n]]))
    start = np.random.default_rng(0).standard_normal(2 * n)
    values, vectors = eigs(J, 2 * k, K, Minv=operator(solve), tol=1e-8, v0=start)  # in pairs, -i/omega and i/omega
    omega = (1 / values).imag
    order = np.argsort(omega)[k:]
    shape = np.zeros((k, *state.shape), complex)
    shape[:, film.inside] = np.einsum("ank,anc->knc", vectors[:, order].reshape(2, n, k), basis)
    shape = np.array([_standard(one, state) for one in shape])
    return Modes(omega[order] * film.gamma0 * film.Ms / (2 * np.pi), shape, _parity(shape), state)


def load() -> Modes:
    """The first 64 normal modes of standard problem 4's S-state, which ship with the book."""
    z = arrays("modes.npz")
    frequency, parity, half = (z[name] for name in ("frequency", "parity", "half"))
    state = s_state()
    u = half[:, 0].astype(np.float32) + 1j * half[:, 1].astype(np.float32)
    u = np.concatenate([u, parity[:, None, None, None] * u[:, :, ::-1, ::-1]], axis=2)
    return Modes(frequency, np.einsum("kayx,ayxc->kyxc", u, _basis(state)), parity, state)


def save(modes: Modes, path: str | Path) -> None:
    """Write modes as `load` reads them: two components, the lower half of the film, 16 bits a number."""
    instance("modes", modes, Modes)
    u = np.einsum("kyxc,ayxc->kayx", modes.shape, _basis(modes.state))[:, :, :modes.state.shape[0] // 2]
    with atomic(path) as file:
        np.savez_compressed(file, frequency=modes.frequency, parity=modes.parity,
                            half=np.stack([u.real, u.imag], axis=1).astype(np.float16))


def _basis(m):
    """Two unit vectors perpendicular to m in each cell, (2, ny, nx, 3): the first in the film's plane, e1 x e2 = m."""
    other = np.where(np.abs(m[..., 2:]) > 0.9, [1.0, 0, 0], [0, 0, 1.0])
    first = unit(np.cross(other, m))
    return np.stack([first, np.cross(m, first)])


def _precondition(film):
    """A function that nearly solves K u = b: as if m0 were uniform and the demagnetizing field that of plane waves.

    A cosine transform does it for exchange; of the demagnetizing field 1 is left out of plane, and k thickness/4 in it,
    the mean over the directions of a wave. The 0.02 is what a film of finite size opposes to a uniform motion.
    """
    kx, ky = np.meshgrid(np.pi * np.arange(film.nx) / film.nx, np.pi * np.arange(film.ny) / film.ny)
    exchange = 2 * film.A / (MU0 * film.Ms**2) * 4 * ((np.sin(kx / 2) / film.dx)**2 + (np.sin(ky / 2) / film.dy)**2)
    wave = np.hypot(kx / film.dx, ky / film.dy) * film.thickness / 4
    stiffness = np.stack([exchange + wave + 0.02, exchange + 1])

    def solve(b):
        u = np.zeros_like(stiffness)
        u[:, film.inside] = b.reshape(2, -1)
        u = scipy.fft.dctn(u, axes=(1, 2), norm="ortho") / stiffness
        return scipy.fft.idctn(u, axes=(1, 2), norm="ortho")[:, film.inside].ravel()

    return solve


def _standard(shape, state):
    """A mode with the phase and length that `Modes` promises; its largest swing in the lower half is positive."""
    inplane = np.sum(shape * _basis(state)[0], axis=-1)
    shape = shape * np.exp(-0.5j * np.angle(np.sum(inplane**2)))
    swing = np.sum(shape * _basis(state)[0], axis=-1).real[:(len(state) + 1) // 2]
    shape *= np.sign(swing.flat[np.abs(swing).argmax()])
    return shape / np.linalg.norm(shape, axis=-1).max()


def _parity(shape):
    overlap = np.sum(shape.conj() * shape[:, ::-1, ::-1], axis=(1, 2, 3)).real
    overlap /= np.sum(np.abs(shape)**2, axis=(1, 2, 3))
    return np.where(np.abs(overlap) > 0.99, np.sign(overlap), 0).astype(int)
