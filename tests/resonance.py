"""Where a slow step lets noise grow: the linear analysis of the multirate method, and the drawing of it in `book/tested.md`.

python tests/resonance.py writes book/_assets/resonance.svg, in a minute.

Near a uniform state along x a plane wave is a pair z = (my, mz) with dz/dtau = F z + S p, where F holds exchange and the near
part of the demagnetizing field, p(t) = -R z is the slow field, and S = ((alpha, 1), (-1, alpha)). A slow step predicts with
the cubic through p now, one, two and three steps ago, and corrects with the cubic through the predicted value and the last
three. So it maps (z, p, p one, two and three steps ago) by a matrix, and the wave grows by the largest of its eigenvalues a step.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.linalg import expm

from magbook import Film, multirate
from magbook.demag import near_stencil, tensor
from magbook.film import MU0

PREDICTED, CORRECTED = (0, -1, -2, -3), (1, 0, -1, -2)


def waves(film, n=16):
    """For each wave of an endless film: F (..., 2, 2) without its damping, as the pair of stiffnesses, and R (..., 2)."""
    near = tensor((n, n), (film.dx, film.dy, film.thickness))
    kx, ky = np.meshgrid(2 * np.pi * np.fft.rfftfreq(2 * n), 2 * np.pi * np.fft.fftfreq(2 * n))
    x, y = np.arange(1 - n, n), np.arange(1 - n, n)
    wave = np.cos(kx[..., None] * x)[..., None, :] * np.cos(ky[..., None] * y)[..., :, None]
    whole = [np.einsum("abyx,yx->ab", wave, near[c][np.abs(y)][:, np.abs(x)]) for c in (1, 2)]
    stencil = near_stencil(near)
    told = [stencil[c, 0] + 2 * stencil[c, 1] * np.cos(kx) + 2 * stencil[c, 2] * np.cos(ky) for c in (1, 2)]
    exchange = 2 * film.A / (MU0 * film.Ms**2) * ((2 - 2 * np.cos(kx)) / film.dx**2 + (2 - 2 * np.cos(ky)) / film.dy**2)
    return [exchange + one for one in told], [one - known for one, known in zip(whole, told)]


def integrals(F, nodes):
    """exp(F), and for each node the integral of exp(F (1 - u)) L(u) over a step, L the polynomial that is 1 there and 0 at the others."""
    n, batch = len(nodes), F.shape[:-2]
    whole = np.zeros((*batch, 2 * n + 2, 2 * n + 2))
    whole[..., :2, :2] = F
    for k in range(n):
        whole[..., 2 * k:2 * k + 2, 2 * k + 2:2 * k + 4] = np.eye(2)
    E = expm(whole)
    moments = [E[..., :2, 2 * k + 2:2 * k + 4] * np.prod(np.arange(1, k + 1)) for k in range(n)]
    shares = np.linalg.inv(np.array(nodes, float)[:, None] ** np.arange(n))
    return E[..., :2, :2], [sum(moments[k] * shares[k, j] for k in range(n)) for j in range(n)]


def growth(film, step, stiff, rest):
    """The largest growth of any wave in a slow step, as log of an eigenvalue."""
    alpha, T = film.alpha, film.gamma0 * film.Ms / (1 + film.alpha**2) * step
    F = T * np.moveaxis(np.array([[-alpha * stiff[0], -stiff[1]], [stiff[0], -alpha * stiff[1]]]), (0, 1), (-2, -1))
    S, R = T * np.array([[alpha, 1], [-1, alpha]]), np.zeros((*F.shape[:-2], 2, 2))
    R[..., 0, 0], R[..., 1, 1] = -rest[0], -rest[1]
    E, first = integrals(F, PREDICTED)
    _, second = integrals(F, CORRECTED)
    n = 2 + 2 * len(PREDICTED)
    z = np.zeros((*F.shape[:-2], 2, n))
    z[..., :2] = E
    predicted, corrected = z.copy(), z.copy()
    for weight, node in zip(first, PREDICTED):
        predicted[..., 2 - 2 * node:4 - 2 * node] += weight @ S
    new = R @ predicted
    for weight, node in zip(second, CORRECTED):
        if node == 1:
            corrected += weight @ S @ new
        else:
            corrected[..., 2 - 2 * node:4 - 2 * node] += weight @ S
    matrix = np.zeros((*F.shape[:-2], n, n))
    matrix[..., :2, :], matrix[..., 2:4, :] = corrected, new
    matrix[..., 4:, 2:n - 2] = np.eye(n - 4)
    return np.log(np.abs(np.linalg.eigvals(matrix)).max(axis=-1)).flat[1:].max()  # not the uniform one, which is no wave


def main():
    """Draw the growth over the step, for permalloy, 10 nm thick, in cells of 5 nm."""
    plt.rcParams |= {"svg.hashsalt": "magbook", "font.size": 12, "text.color": "#808080", "axes.edgecolor": "#808080",
                     "axes.labelcolor": "#808080", "xtick.color": "#808080", "ytick.color": "#808080"}
    figure, axes = plt.subplots(figsize=(7, 3.4))
    for alpha, color in ((0.02, "#3b82c4"), (0.01, "#2f9e6e"), (0.005, "#c8553d")):
        film = Film((320e-9, 160e-9, 10e-9), (64, 32), alpha=alpha)
        taken, _, (low, _) = multirate.time_steps(film)
        turns = np.linspace(0.5, 1.6, 111)
        steps = turns / multirate.RESONANCE[0] * low
        parts = waves(film)
        per_ns = [growth(film, step, *parts) * 1e-9 / step for step in steps]
        axes.plot(turns, per_ns, color=color, lw=2, label=f"α = {alpha:g}")
        axes.plot(taken / low * multirate.RESONANCE[0], growth(film, taken, *parts) * 1e-9 / taken, "o", color=color)
    axes.axvspan(*multirate.RESONANCE, color="#808080", alpha=0.18, lw=0)
    axes.axhline(0, color="#808080", lw=0.8)
    axes.set(xlabel="ωT/π, how far the grid's fastest mode turns in a slow step", ylabel="growth of noise (1/ns)", ylim=(-10, None), xlim=(0.5, 1.6))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(Path(__file__).parents[1] / "book/_assets/resonance.svg", transparent=True, metadata={"Date": None})


if __name__ == "__main__":
    main()
