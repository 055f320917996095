"""Where a slow step lets noise grow: the linear analysis of the multirate method, and the drawing of it in `book/tested.md`.

python tests/resonance.py writes book/_assets/resonance.svg, in a minute, and prints where repeating half of a step would let noise grow.

Near a uniform state along x a plane wave is a pair z = (my, mz) with dz/dtau = F z + S p, where F holds exchange and the near
part of the demagnetizing field, p(t) = -R z is the slow field, and S = ((alpha, 1), (-1, alpha)). A slow step predicts with
the cubic through p now, one, two and three steps ago, and corrects with a polynomial times the distance of the new p from the
predicted one: through the new value and the last three, or so that only what follows `begin` need be repeated. So it maps
(z, p, p one, two and three steps ago) by a matrix, and the wave grows by the largest of its eigenvalues a step.
"""

from itertools import product
from pathlib import Path

import numpy as np
from scipy.linalg import expm

from magbook import Film, multirate
from magbook.demag import near_stencil, tensor
from magbook.film import MU0

PAST = (0, -1, -2, -3)


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


def integrals(F, polynomials, begin=0.0):
    """exp(F), and for each polynomial L, its coefficients, the integral of exp(F (1 - u)) L(u) from `begin` to the end of a step."""
    degree, batch, rest = max(map(len, polynomials)), F.shape[:-2], 1 - begin
    whole = np.zeros((*batch, 2 * degree + 2, 2 * degree + 2))
    whole[..., :2, :2] = F * rest
    for k in range(degree):
        whole[..., 2 * k:2 * k + 2, 2 * k + 2:2 * k + 4] = np.eye(2)
    E = expm(whole)
    moments = [rest * E[..., :2, 2 * k + 2:2 * k + 4] * np.prod(np.arange(1, k + 1)) for k in range(degree)]
    inner = [np.polynomial.Polynomial(p)(np.polynomial.Polynomial((begin, rest))).coef for p in polynomials]  # u = begin + rest v
    return expm(F), [sum(m * c for m, c in zip(moments, p)) for p in inner]


def growth(film, step, stiff, rest, begin=0.0):
    """The largest growth of any wave in a slow step, as log of an eigenvalue. begin: from which part of the step on it is repeated."""
    alpha, T = film.alpha, film.gamma0 * film.Ms / (1 + film.alpha**2) * step
    F = T * np.moveaxis(np.array([[-alpha * stiff[0], -stiff[1]], [stiff[0], -alpha * stiff[1]]]), (0, 1), (-2, -1))
    S, R = T * np.array([[alpha, 1], [-1, alpha]]), np.zeros((*F.shape[:-2], 2, 2))
    R[..., 0, 0], R[..., 1, 1] = -rest[0], -rest[1]
    shares = np.linalg.inv(np.array(PAST, float)[:, None] ** np.arange(4)).T  # polynomials that are 1 now, or one, two, three steps ago
    E, weights = integrals(F, shares)
    n = 2 + 2 * len(PAST)
    predicted = np.zeros((*F.shape[:-2], 2, n))
    predicted[..., :2] = E
    for k, weight in enumerate(weights):
        predicted[..., 2 + 2 * k:4 + 2 * k] += weight @ S
    new = R @ predicted
    distance = new.copy()
    for k, share in enumerate(shares):
        distance[..., 2 + 2 * k:4 + 2 * k] -= share.sum() * np.eye(2)  # the polynomial at the end of the step
    w = np.zeros(5)
    multirate._correction(w, np.array(PAST, float), 4, begin)
    matrix = np.zeros((*F.shape[:-2], n, n))
    matrix[..., :2, :] = predicted + integrals(F, [w], begin)[1][0] @ S @ distance
    matrix[..., 2:4, :] = new
    matrix[..., 4:, 2:n - 2] = np.eye(n - 4)
    return np.log(np.abs(np.linalg.eigvals(matrix)).max(axis=-1)).flat[1:].max()  # not the uniform one, which is no wave


MATERIALS = {"permalloy": {}, "iron": dict(Ms=1.7e6, A=2.1e-11), "cobalt": dict(Ms=1.4e6, A=3e-11), "YIG": dict(Ms=1.4e5, A=3.7e-12)}


def halved(alphas=(0.02, 0.05), thick=(1, 5, 20, 80), cells=(1.0, 1.5, 2.0, 2.5, 3.0), shares=(1, 0.85, 0.7, 0.5), n=8):
    """Films in which half of a slow step is repeated: (which, growth of noise in 1/ns) for steps that are shares of the largest.

    thick, cells: nm. n: how many waves an axis.
    """
    for (name, material), alpha, z, dx in product(MATERIALS.items(), alphas, thick, cells):
        film = Film((32 * dx * 1e-9, 16 * dx * 1e-9, z * 1e-9), (32, 16), alpha=alpha, **material)
        slow, substep, _ = multirate.time_steps(film)
        parts = waves(film, n)
        for share in shares:
            step, count = share * slow, int(np.ceil(share * slow / substep))
            begin = multirate._repeated_from(count, *multirate.HALVED)
            if begin and film.alpha >= multirate.DAMPED:
                yield f"{name}, alpha = {alpha}, {z} nm thick, cells of {dx} nm, {count} substeps", growth(film, step, *parts, begin / count) * 1e-9 / step


def main():
    """Draw the growth over the step, for permalloy, 10 nm thick, in cells of 5 nm."""
    import matplotlib.pyplot as plt

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
    for name, per_ns in halved((0.02,), (2, 5, 10, 20, 40, 80), np.arange(1.25, 7.1, 0.25), (1, 0.97, 0.94, 0.9, 0.85, 0.8, 0.7, 0.6), 20):
        if per_ns > 0:
            print(f"{name}: {per_ns:.1f}/ns")


if __name__ == "__main__":
    main()
