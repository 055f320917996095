"""Applied fields mu0*H in tesla: vectors, polar coordinates, the fan, and signals in time. Chapter 1 introduces them."""

import numpy as np


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
