"""Applied fields mu0*H in tesla: vectors, polar coordinates, the fan, and signals in time. Chapter 1 introduces them."""

from numbers import Real

import numpy as np

SEED = 2019
"""Seed of the fields of the named data sets."""


def vector(field):
    """Check an applied field mu0*H in tesla, a pair (x, y) or a triple: a float64 array (3,).

    Raises ValueError or TypeError for anything else, and for numbers that are not finite.
    """
    try:
        b = np.array(field, dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(f"field: got {field!r}; mu0*H in tesla is needed, a pair or a triple of numbers") from error
    if b.shape not in ((2,), (3,)):
        raise ValueError(f"field: got shape {b.shape}; mu0*H in tesla is needed, a pair (x, y) or a triple")
    if not np.isfinite(b).all():
        raise ValueError(f"field: got {field!r}; every component must be finite")
    if np.abs(b).max() > 1000:
        raise ValueError(f"field: got {field!r}; mu0*H in tesla is needed, and this looks like H in A/m")
    return np.append(b, 0.0) if b.size == 2 else b


def fan(n=200, seed=SEED, *, angle=180.0, opening=44.0, strength=(22e-3, 41e-3), sampling="random"):
    """Fields of a fan: (n, 3), mu0*H in T, in the plane of the film.

    The defaults are the paper's: within 22 degrees of the -x axis, 22 mT to 41 mT, angle and strength uniform.
    angle, opening: middle and full width in degrees. strength: T. seed: the same seed gives the same fields on any
    machine, and the first fields of a larger n are those of a smaller one.
    sampling: "random", as in the paper, or "sobol", a quasi-random sequence that leaves fewer gaps.
    Raises ValueError, naming the argument.
    """
    if not (isinstance(n, (int, np.integer)) and n >= 1):
        raise ValueError(f"n: got {n!r}; a whole number of fields, at least 1, is needed")
    if not (np.shape(strength) == (2,) and _numbers(*strength) and 0 <= strength[0] <= strength[1]):
        raise ValueError(f"strength: got {strength!r}; (lowest, highest) mu0*H in T is needed")
    if not _numbers(angle):
        raise ValueError(f"angle: got {angle!r}; degrees are needed")
    if not (_numbers(opening) and 0 <= opening <= 360):
        raise ValueError(f"opening: got {opening!r}; degrees from 0 to 360 are needed")
    if sampling == "random":
        u = np.random.default_rng(seed).random((n, 2))
    elif sampling == "sobol":
        from scipy.stats import qmc

        u = qmc.Sobol(2, rng=np.random.default_rng(seed)).random_base2(int(np.ceil(np.log2(n))))[:n]
    else:
        raise ValueError(f"sampling: got {sampling!r}; 'random' or 'sobol' is needed")
    low, high = strength
    phi = np.deg2rad(angle + (u[:, 0] - 0.5) * opening)
    size = low + u[:, 1] * (high - low)
    return np.stack([size * np.cos(phi), size * np.sin(phi), np.zeros(n)], axis=1)


def _numbers(*values):
    return all(isinstance(v, Real) and np.isfinite(v) for v in values)


Field = object


def sample(field, t):
    return np.stack([vector(field(s)) for s in t]) if callable(field) else np.repeat(vector(field)[None], len(t), axis=0)


def to_polar(field):
    field = np.asarray(field, float)
    return np.hypot(field[..., 0], field[..., 1]), np.rad2deg(np.arctan2(field[..., 1], field[..., 0])) % 360


FAN = {"angle": 180.0, "opening": 44.0, "strength": [22e-3, 41e-3]}


def from_polar(strength, direction):
    phi = np.deg2rad(direction)
    return np.stack([strength * np.cos(phi), strength * np.sin(phi), 0 * phi], axis=-1)
