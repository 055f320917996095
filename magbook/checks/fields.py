"""Checks of the terms of the effective field: assignments 2 and 3."""

from collections.abc import Callable

import numpy as np

from .. import llg
from ..film import MU0, Film, unit
from ._check import call, generator, given, grade


def _draw_film(rng):
    """A film of some material with cells longer along y than along x: (whole, function that cuts holes into it)."""
    ny, nx = rng.integers(9, 14, 2)
    dx, dy = rng.uniform(2e-9, 4e-9), rng.uniform(5e-9, 7e-9)
    material = dict(Ms=rng.uniform(3e5, 1e6), A=rng.uniform(5e-12, 2e-11))

    def cut(*holes):
        mask = np.ones((ny, nx), bool)
        for rows, columns in holes:
            mask[rows, columns] = False
        return Film((nx * dx, ny * dy, 3e-9), (nx, ny), mask=mask, **material)

    return cut(), cut


def _draw_state(rng, film):
    return unit(rng.standard_normal((film.ny, film.nx, 3))) * film.inside[..., None]


def exchange(f: Callable, *, points: float = 4, seed: int = 0) -> float:
    """Check an exchange field, assignment 2; prints what holds, and returns points.

    f: (m, film) -> H in A/m, (ny, nx, 3), zero outside of the film's mask. m: (ny, nx, 3), zero there too. points: for all
    properties. seed: of the films and states that are drawn. Raises ValueError for points or a seed that is none.
    """
    rng = generator(seed)
    whole, cut = _draw_film(rng)
    ny, nx = whole.ny, whole.nx
    holed = cut((slice(2, 5), slice(3, 6)), (slice(None), nx - 2), (ny - 1, 0))

    def field(m, film):
        return call(f, m, film, shape=m.shape)

    def wave():
        """A spin wave of wave number k feels -2A/(mu0 Ms) k^2 m, along x as along y."""
        for name, d, cells, turn in (("x", whole.dx, (40, 5), False), ("y", whole.dy, (5, 40), True)):
            film = Film((cells[0] * whole.dx, cells[1] * whole.dy, 3e-9), cells, Ms=whole.Ms, A=whole.A)
            k = 0.1 / d
            phase = np.broadcast_to(k * d * np.arange(40), (5, 40))
            m = np.stack([np.cos(phase), np.sin(phase), 0 * phase], axis=-1)
            m = np.ascontiguousarray(m.swapaxes(0, 1)) if turn else m
            inner = (slice(2, -2), slice(2, -2))
            times = np.mean(np.sum(field(m, film)[inner] * m[inner], axis=-1)) / (-2 * film.A / (MU0 * film.Ms) * k**2)
            if abs(times) < 1e-6:
                return f"Along {name} yours is zero: neighbours that disagree must feel each other."
            if not abs(times - 1) < 0.01:
                return f"Along {name} yours is {times:.3g} times that." + (
                    " Are cells dy apart there, and not dx?" if turn and abs(times * (whole.dx / whole.dy)**2 - 1) < 0.01 else "")
        return None

    def uniform():
        """In a uniform state all neighbours agree: there is no exchange field, not at the edges either."""
        h = field(np.tile(unit(rng.standard_normal(3)), (ny, nx, 1)), whole)
        rough = field(_draw_state(rng, whole), whole)
        if np.abs(h).max() <= 1e-6 * np.abs(rough).max():
            return None
        if np.abs(h[1:-1, 1:-1]).max() <= 1e-6 * np.abs(rough).max():
            return "Inside there is none, but at the edges there is: a neighbour that is not there exerts no force."
        return "Yours has one, although all moments are parallel."

    def balance():
        """What one cell does to its neighbour, that one does back: the field of all cells adds up to zero."""
        h = field(_draw_state(rng, holed), holed)
        if np.abs(h[holed.inside].sum(axis=0)).max() <= 1e-6 * np.abs(h).sum():
            return None
        return "Yours does not, in a film with holes: is a missing neighbour taken for one of length zero, or counted on one side only?"

    def edges():
        """An edge is an end: what happens at one does not act on the other."""
        m = _draw_state(rng, whole)
        before = field(m, whole)
        for name, here, there in (("right", np.s_[:, -1], np.s_[:, 0]), ("upper", np.s_[-1], np.s_[0])):
            other = m.copy()
            other[here] = unit(rng.standard_normal(m[here].shape))
            if np.abs(field(other, whole) - before)[there].max() > 1e-9 * np.abs(before).max():
                return f"The {name} edge acts on the opposite one: a film has no neighbour across its border."
        return None

    def holes():
        """A hole is an end too: its two sides do not act on each other, and in it there is no field."""
        middle = nx // 2
        film = cut((slice(None), middle))
        m = _draw_state(rng, film)
        other = m.copy()
        other[:, middle + 1:] = unit(rng.standard_normal(m[:, middle + 1:].shape))
        before, after = field(m, film), field(other, film)
        if np.abs(before - after)[:, :middle].max() > 1e-9 * np.abs(before).max():
            return "Moments on one side of a gap of one cell act on those of the other side."
        if before[:, middle].any():
            return "Yours is not zero where there is no film."
        return None

    def gradient():
        """The field is minus the derivative of an energy: cell i acts on j as j acts on i."""
        a, b = _draw_state(rng, holed), _draw_state(rng, holed)
        one, two = a * field(b, holed), b * field(a, holed)
        if abs(one.sum() - two.sum()) <= 1e-6 * np.abs(one).sum():
            return None
        return "Yours is not: going somewhere on one path and back on another would gain energy."

    return grade([wave, uniform, balance, edges, holes, gradient], points,
                 forbidden=(llg.exchange_field, llg.effective_field, llg.energies))


def anisotropy(f: Callable, *, points: float = 4, seed: int = 0) -> float:
    """Check the field of a uniaxial anisotropy, assignment 2; prints what holds, and returns points.

    f: (m, film, K, axis) -> H in A/m, (ny, nx, 3), of the energy density -K (m.u)^2 with K in J/m^3 and u the unit vector
    `axis` (3,). m: (ny, nx, 3). points: for all properties. seed: of what is drawn. Raises ValueError for points or a seed
    that is none.
    """
    rng = generator(seed)
    film, _ = _draw_film(rng)
    K, axis = rng.uniform(2e4, 2e5), unit(rng.standard_normal(3))
    strongest = 2 * K / (MU0 * film.Ms)

    def field(m):
        return call(f, m, film, K, axis, shape=m.shape)

    def size():
        """A moment along the axis feels the anisotropy field 2K/(mu0 Ms), along the axis."""
        h = field(np.tile(axis, (film.ny, film.nx, 1)))
        times = np.mean(h @ axis) / strongest
        if abs(times) < 1e-9:
            return "Yours feels none."
        if not abs(times - 1) < 1e-6:
            return f"Yours is {times:.3g} times that."
        return None if np.abs(h - strongest * axis).max() < 1e-6 * strongest else "Yours is not along the axis everywhere."

    def even():
        """An axis has no arrow: turned around it is the same axis, and a moment turned around feels the opposite field."""
        m = _draw_state(rng, film)
        h = field(m)
        if np.abs(field(-m) + h).max() > 1e-9 * strongest:
            return "The field of -m is not the opposite of that of m."
        other = call(f, m, film, K, -axis, shape=m.shape)
        return None if np.abs(other - h).max() < 1e-9 * strongest else "Yours changes when the axis is turned around."

    def across():
        """A moment at right angles to the axis feels nothing."""
        m = unit(np.cross(_draw_state(rng, film), axis))
        return None if np.abs(field(m)).max() < 1e-9 * strongest else "Yours does."

    def local():
        """Each moment has its own anisotropy: what one does is nothing to the others."""
        m = _draw_state(rng, film)
        other = m.copy()
        other[0, 0] = unit(rng.standard_normal(3))
        change = np.abs(field(other) - field(m)).max(axis=-1)
        change[0, 0] = 0
        return None if change.max() < 1e-9 * strongest else "In yours one moment changes the field of others."

    def gradient():
        """Pushed a little, a moment gains the energy that the field says: the field is minus the derivative of -K (m.u)^2."""
        m, push = _draw_state(rng, film), 1e-6 * rng.standard_normal((film.ny, film.nx, 3))
        gained = -K * (np.sum(((m + push) @ axis)**2) - np.sum(((m - push) @ axis)**2)) / 2
        said = -MU0 * film.Ms * np.sum(push * field(m))
        return None if abs(gained - said) < 1e-5 * K * np.abs(push).sum() else f"Yours says {said / gained:.3g} times as much."

    return grade([size, even, across, local, gradient], points)


def wall(m: np.ndarray, film: Film, K: float, *, points: float = 4, seed: int = 0) -> float:
    """Check a domain wall at rest in a strip with its easy axis along z, assignment 2; prints what holds, and returns points.

    m: (ny, nx, 3), up on the left and down on the right. film: the strip. K: J/m^3. points: for all properties. seed: as the others have it; nothing is drawn.
    """
    generator(seed)

    def state():
        return given(m, (film.ny, film.nx, 3))

    def ends():
        """Moments of length one point up in the left half and down in the right."""
        length = np.linalg.norm(state(), axis=-1)
        if np.abs(length - 1).max() > 1e-6:
            return f"The lengths of yours go from {length.min():.3g} to {length.max():.3g}."
        if state()[:, 0, 2].min() < 0.9 or state()[:, -1, 2].max() > -0.9:
            return "One of the ends has turned: the wall has left the strip, or there never was one."
        return None

    def rest():
        """At rest no moment feels a torque."""
        a = np.pad(state(), ((1, 1), (1, 1), (0, 0)), mode="edge")
        bend = (a[1:-1, 2:] - 2 * a[1:-1, 1:-1] + a[1:-1, :-2]) / film.dx**2 + (a[2:, 1:-1] - 2 * a[1:-1, 1:-1] + a[:-2, 1:-1]) / film.dy**2
        h = film.A * bend
        h[..., 2] += K * state()[..., 2]
        torque = np.linalg.norm(np.cross(state(), h), axis=-1).max() / K
        return None if torque < 0.02 else f"The largest torque in yours is {torque:.2g} K: it would turn on."

    def width():
        """The wall is sqrt(A/K) wide."""
        z = np.clip(state()[0, :, 2], -1 + 1e-12, 1 - 1e-12)
        inner = np.abs(z) < 0.8
        if inner.sum() < 3:
            return "Yours has fewer than three cells: one moment stands between up and down."
        delta = -1 / np.polyfit(film.x[inner], np.arctanh(z[inner]), 1)[0]
        ratio = delta / np.sqrt(film.A / K)
        return None if abs(ratio - 1) < 0.03 else f"Yours is {ratio:.3g} times as wide."

    return grade([ends, rest, width], points, needs=2)  # the first holds before anything is written
