"""Checks of the terms of the effective field: assignments 2 and 3."""

from collections.abc import Callable

import numpy as np

from .. import llg
from .._arguments import said
from ..demag import Demag
from ..film import MU0, Film, unit
from ._check import Stopped, call, generator, given, grade, ours, tesla

NEAR = 1e-5
"""So near, as a share of the largest field, is right: it may have been computed in float32."""


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
                state = _draw_state(rng, whole)
                h = field(state, whole)
                if np.abs(np.sum(h * state, axis=-1)).max() < 1e-6 * np.abs(h).max():
                    return "Yours is at right angles to every moment. The whole field is asked for, not only what of it turns a moment."
                return f"Along {name} yours is zero: neighbours that disagree must feel each other."
            if not abs(times - 1) < 0.01:
                return f"Along {name} yours is {times:.3g} times that.{tesla(times)}" + (
                    " Are cells dy apart there, and not dx?" if turn and abs(times * (whole.dx / whole.dy)**2 - 1) < 0.01 else "")
        return None

    def uniform():
        """In a uniform state all neighbours agree: there is no exchange field, not at edges or holes either."""
        direction, rough = unit(rng.standard_normal(3)), field(_draw_state(rng, whole), whole)
        h = field(np.tile(direction, (ny, nx, 1)), whole)
        if np.abs(h).max() <= 1e-6 * np.abs(rough).max():
            h = field(direction * holed.inside[..., None], holed)
            return None if np.abs(h).max() <= 1e-6 * np.abs(rough).max() else "Around holes yours has one: in a hole there is no neighbour."
        if np.abs(h[1:-1, 1:-1]).max() <= 1e-6 * np.abs(rough).max():
            return "Inside there is none, but at the edges there is: a neighbour that is not there exerts no force."
        return "Yours has one, although all moments are parallel."

    def balance():
        """What one cell does to its neighbour, that one does back: the field of all cells adds up to zero."""
        h = field(_draw_state(rng, holed), holed)
        if not h.any():
            return "Yours is zero in a film with holes, whatever the state."
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
        """A moment along the axis feels the anisotropy field 2K/(mu0 Ms), along the axis, and one turned around the opposite; an axis has no arrow."""
        m = np.tile(axis, (film.ny, film.nx, 1))
        h = field(m)
        times = np.mean(h @ axis) / strongest
        if abs(times) < 1e-9:
            return "Yours feels none."
        if not abs(times - 1) < NEAR:
            return f"Yours is {times:.3g} times that.{tesla(times)}"
        if np.abs(h - strongest * axis).max() > NEAR * strongest:
            return "Yours is not along the axis everywhere."
        if np.abs(field(-m) + h).max() > NEAR * strongest:
            return "The field of -m is not the opposite of that of m."
        other = call(f, m, film, K, -axis, shape=m.shape)
        return None if np.abs(other - h).max() < NEAR * strongest else "Yours changes when the axis is turned around."

    def cosine():
        """At an angle to the axis it feels that times the cosine, still along the axis, and at right angles nothing."""
        m = _draw_state(rng, film)
        aside = unit(np.cross(m, axis))
        if (most := np.linalg.norm(field(aside), axis=-1).max() / strongest) > NEAR:
            return f"At right angles yours feels {most:.2g} times the anisotropy field."
        tilted = unit(axis + np.sqrt(3) * aside)  # 60 degrees
        along = field(tilted) @ axis / strongest
        if not np.abs(along - 0.5).max() < NEAR:
            return f"At 60 degrees yours feels {along[0, 0]:.3g} times that along the axis; the cosine is 0.5."
        off = field(tilted) - strongest / 2 * axis
        return None if np.abs(off).max() < NEAR * strongest else "At 60 degrees yours is not along the axis."

    def local():
        """Each moment has its own anisotropy: what one does is nothing to the others."""
        m = _draw_state(rng, film)
        other = m.copy()
        other[0, 0] = unit(rng.standard_normal(3))
        change = np.abs(field(other) - field(m)).max(axis=-1)
        change[0, 0] = 0
        return None if change.max() < NEAR * strongest else "In yours one moment changes the field of others."

    def gradient():
        """Pushed a little, a moment gains the energy that the field says: the field is minus the derivative of -K (m.u)^2."""
        m, push = _draw_state(rng, film), 1e-2 * rng.standard_normal((film.ny, film.nx, 3))
        gained = -K * (np.sum(((m + push) @ axis)**2) - np.sum(((m - push) @ axis)**2)) / 2
        said = -MU0 * film.Ms * np.sum(push * field(m))
        return None if abs(gained - said) < 1e-5 * K * np.abs(push).sum() else f"Yours says {said / gained:.3g} times as much."

    return grade([size, cosine, gradient, local], points)


def wall(m: np.ndarray, film: Film, K: float, *, points: float = 4, seed: int = 0) -> float:
    """Check a domain wall at rest in a strip with its easy axis along z, assignment 2; prints what holds, and returns points.

    m: (ny, nx, 3), up on the left and down on the right. film: the strip. K: J/m^3. points: for all properties. seed: as the others have it; nothing is drawn.
    """
    generator(seed)

    def state():
        if not isinstance(film, Film):
            raise Stopped(f"Your film is {said(film)}; a magbook.Film is needed.")
        if not given(K, (), "Your K") > 0:
            raise Stopped(f"Your K is {said(K)}; J/m^3, more than 0, are needed.")
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
        return None if torque < 0.02 else f"The largest torque in yours is {torque:.2g} times K: it would turn on."

    def width():
        """The wall is sqrt(A/K) wide."""
        z = np.clip(state()[0, :, 2], -1 + 1e-12, 1 - 1e-12)
        inner = np.abs(z) < 0.8
        if inner.sum() < 3:
            return "Yours has fewer than three cells between up and down" + (
                "." if (cells := np.sqrt(film.A / K) / film.dx) > 2 else f". With this K sqrt(A/K) is {cells:.2g} cells, and these can't hold a wall so narrow.")
        delta = -1 / np.polyfit(film.x[inner], np.arctanh(z[inner]), 1)[0]
        ratio = delta / np.sqrt(film.A / K)
        return None if abs(ratio - 1) < 0.03 else f"Yours is {ratio:.3g} times as wide."

    return grade([ends, rest, width], points, needs=2)  # the first holds before anything is written


# ---------------------------------------------------------------------------- of another film


@ours
def _dipoles(moment, x, y, z):
    """The field (..., 3) in A/m of a dipole (3,) in A m^2 at x, y, z (...) in m from it."""
    r = np.stack(np.broadcast_arrays(x, y, z), axis=-1)
    size = np.linalg.norm(r, axis=-1, keepdims=True)
    return (3 * np.sum(r * moment, axis=-1, keepdims=True) * r / size**2 - moment) / (4 * np.pi * size**3)


def _moment(film):
    return film.Ms * film.cell_volume


def stray(f: Callable, *, points: float = 4, seed: int = 0) -> float:
    """Check the stray field of one film in another above it, assignment 3; prints what holds, and returns points.

    f: (m, film, height) -> H in A/m, (ny, nx, 3), at the centres of the cells of an equal film. m: (ny, nx, 3), vectors of any
    length, 1 for Ms. height: m, from centre to centre, negative below; at least three cells. points: for all properties. seed: of
    what is drawn. Raises ValueError for points or a seed that is none.
    """
    rng = generator(seed)
    film, _ = _draw_film(rng)
    height = 4 * film.dy

    def field(m, film, height=height):
        return call(f, m, film, height, shape=m.shape)

    def single(film, row, column):
        """A state with one moment, and its dipole field at all cells `height` above."""
        m = np.zeros((film.ny, film.nx, 3))
        m[row, column] = unit(rng.standard_normal(3))
        x, y = film.x - film.x[column], film.y - film.y[row]
        return m, lambda x=x, y=y, h=height: _dipoles(_moment(film) * m[row, column], x[None, :], y[:, None], h)

    def far():
        """From far away a film is one dipole, with the moment of all its cells."""
        m = unit(_draw_state(rng, film) + 2 * unit(rng.standard_normal(3)))
        away = 300 * film.size[1]
        h = field(m, film, away)
        true = _dipoles(_moment(film) * m.sum(axis=(0, 1)), film.x[None, :] - film.size[0] / 2, film.y[:, None] - film.size[1] / 2, away)
        times = np.sum(h * true) / np.sum(true**2)
        if abs(times) < 1e-9:
            return "Yours has no field there."
        if np.abs(h - times * true).max() > 0.03 * np.abs(times * true).max():
            return "The field of yours points elsewhere than a dipole's."
        return None if abs(times - 1) < 0.03 else f"Yours is {times:.3g} times as strong.{tesla(times)}"

    def near():
        """Close by, the field of a single cell is that of a dipole in its middle (to a tenth or so, at four cells' distance)."""
        row, column = rng.integers(2, film.ny - 2), rng.integers(2, film.nx - 2)
        m, dipole = single(film, row, column)
        h, x, y = field(m, film), film.x - film.x[column], film.y - film.y[row]

        def is_like(true):
            return np.abs(h - true).max() < 0.12 * np.abs(true).max()

        if is_like(dipole()):
            return None
        for words, other in (("It is the field on the other side: is the offset that of the cell that acts, seen from the one that feels?", dipole(-x, -y)),
                             ("Are cells dx apart along x, and dy along y?", dipole(x / film.dx * film.dy, y / film.dy * film.dx))):
            if is_like(other):
                return f"Yours is not. {words}"
        return f"Yours differs by up to {np.abs(h - dipole()).max() / np.abs(dipole()).max():.2g} of the largest field."

    def copies():
        """There is one film, and no copies of it beside it: what an edge does to the opposite edge comes from far."""
        for name, cells in (("right", (40, 4)), ("upper", (4, 40))):
            long = Film((cells[0] * film.dx, cells[1] * film.dy, 3e-9), cells, Ms=film.Ms)
            m, dipole = single(long, cells[1] - 1, cells[0] - 1)
            h, true = field(m, long)[0, 0], dipole()[0, 0]
            if np.linalg.norm(h - true) > 0.12 * np.linalg.norm(true):
                times = np.linalg.norm(h) / np.linalg.norm(true)
                return f"The {name} edge acts on the opposite one {times:.3g} times as strongly as it should." + (
                    " A Fourier transform takes the end of the array for a neighbour of its beginning; zeros between them keep them apart."
                    if times > 2 else "")
        return None

    def corners():
        """Corners are cells like all others: each acts on all cells, and on itself from above, as a dipole does."""
        for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
            m, dipole = single(film, row, column)
            off = np.abs(field(m, film) - dipole()).max(axis=-1) / np.abs(dipole()).max()
            if off.max() > 0.12:
                where = [f"the {'upper' if j else 'lower'} {'right' if i else 'left'} corner" for j, i in ((row, column), np.array(
                    np.unravel_index(off.argmax(), off.shape)) > np.array(off.shape) / 2)]
                return f"Yours is off where {where[0]} acts on cells near {where[1]}."
        return None

    def adds():
        """Fields add up: that of two states together is the sum of those of each."""
        a, b = _draw_state(rng, film), _draw_state(rng, film)
        h = field(a, film)
        return None if np.abs(field(a + 2 * b, film) - h - 2 * field(b, film)).max() < 1e-6 * np.abs(h).max() else "Yours do not."

    def reciprocity():
        """What the lower film does to the upper one, that one does back: the energy of a in the field of b, from below, is that of b in a's, from above."""
        a, b = _draw_state(rng, film), _draw_state(rng, film)
        one, two = a * field(b, film), b * field(a, film, -height)
        if abs(one.sum() - two.sum()) < 1e-6 * np.abs(one).sum():
            return None
        same = np.array_equal(field(b, film), field(b, film, -height))
        return "Yours are not the same." + (" Your field does not care whether the height is negative." if same else "")

    return grade([far, near, copies, corners, adds, reciprocity], points, forbidden=(llg.demag_field, llg.effective_field, Demag))


def coupling(f: Callable, *, points: float = 4, seed: int = 0) -> float:
    """Check the energy of one film in the field of another below it, assignment 3; prints what holds, and returns points.

    f: (a, b, film, height) -> energy in J of the upper state a in the field of the lower state b. a, b: (ny, nx, 3). height: m,
    from centre to centre, negative if the film of a is the lower one. points: for all properties. seed: of what is drawn. Raises
    ValueError for points or a seed that is none.
    """
    rng = generator(seed)
    film, _ = _draw_film(rng)
    away = 300 * film.size[1]
    whole = _moment(film) * film.nx * film.ny
    scale = MU0 * whole**2 / (4 * np.pi * away**3)
    a, b = _draw_state(rng, film), _draw_state(rng, film)

    def energy(a, b, height=4 * film.dy):
        return float(call(f, a, b, film, height, shape=()))

    def uniform(*direction):
        return np.broadcast_to(np.array(direction, float), (film.ny, film.nx, 3)).copy()

    def upright():
        """Two films magnetized up, one far above the other, attract: their energy is -2 mu0 M^2/(4 pi d^3), with M the moment of each."""
        times = energy(uniform(0, 0, 1), uniform(0, 0, 1), away) / (-2 * scale)
        if abs(times) < 1e-9:
            return "Yours is zero."
        return None if abs(times - 1) < 0.02 else f"Yours is {times:.3g} times that." + (
            " The half belongs to a film in its own field, where each pair is counted twice." if abs(times - 0.5) < 0.01 else "")

    def flat():
        """Magnetized in the plane they would rather be opposite: parallel, their energy is +mu0 M^2/(4 pi d^3)."""
        for one in ((1, 0, 0), (0, 1, 0)):
            times = energy(uniform(*one), uniform(*one), away) / scale
            if not abs(times - 1) < 0.02:
                return f"Along {'xy'[one[1]]} yours is {times:.3g} times that."
        return None

    def opposite():
        """With one film turned around the energy is the opposite."""
        off = abs(energy(-a, b) + energy(a, b)) + abs(energy(a, -b) + energy(a, b))
        return None if off < 1e-6 * abs(energy(a, b)) else "Yours is not."

    def both():
        """The energy belongs to both: of a in the field of b it is that of b in the field of a."""
        one, two = energy(a, b), energy(b, a, -4 * film.dy)
        return None if abs(one - two) < 1e-6 * max(abs(one), abs(two)) else f"Yours is {one:.3g} J and {two:.3g} J."

    def cells():
        """Films close to each other are no two dipoles: each cell acts on each, from where it is."""
        j, i = film.ny - 1, film.nx - 1
        a, b = uniform(0, 0, 0), uniform(0, 0, 0)
        a[j, i], b[0, 0] = unit(rng.standard_normal(3)), unit(rng.standard_normal(3))
        r = np.array([film.x[i] - film.x[0], film.y[j] - film.y[0], 4 * film.dy])
        true = -MU0 * _moment(film) * a[j, i] @ _dipoles(_moment(film) * b[0, 0], *r)
        largest = MU0 * _moment(film)**2 / (4 * np.pi * np.linalg.norm(r)**3)
        got = energy(a, b)
        return None if abs(got - true) < 0.12 * largest else f"For one cell in a corner of each, opposite corners, it is {true:.3g} J, and yours is {got:.3g} J."

    return grade([upright, flat, opposite, both, cells], points, needs=2, forbidden=(llg.demag_field, llg.effective_field, llg.energies, Demag))


def decay(f: Callable, *, points: float = 4, seed: int = 0) -> float:
    """Check over which height the field of stripes decays, assignment 3; prints what holds, and returns points.

    f: (film, period) -> the height in m over which the field of a film with mz = cos(2 pi x/period) falls to 1/e. points: for
    all properties. seed: of what is drawn. Raises ValueError for points or a seed that is none.
    """
    d = generator(seed).uniform(1.5e-9, 3e-9)
    film = Film((64 * d, 32 * d, 2e-9), (64, 32))

    def share(cells):
        return float(call(f, film, cells * d, shape=())) / (cells * d / (2 * np.pi))

    def size():
        """Stripes look blurred from above: their field falls to 1/e over the period divided by 2 pi (to a twentieth)."""
        times = share(12)
        return None if abs(times - 1) < 0.05 else f"Yours needs {times:.3g} times that."

    def wider():
        """Stripes wider by a third are seen from a third further."""
        times = share(16)
        return None if abs(times - 1) < 0.05 else f"Of these yours needs {times:.3g} times the period divided by 2 pi."

    return grade([size, wider], points, needs=2, forbidden=(llg.demag_field, Demag))
