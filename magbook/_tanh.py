"""The hyperbolic tangent for compiled loops: a processor works out eight of it at a time, where exponentials come one by one."""

from typing import Any

import numpy as np

from .demag import compiled

# A quotient of two polynomials, the highest power first. It is Eigen's for single precision, right to 5e-7; from MOST on the tangent is 1.
MOST = np.float32(7.9053111)
ABOVE = tuple(np.float32(v) for v in (-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
                                      1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03))
BELOW = tuple(np.float32(v) for v in (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03))


@compiled
def tangent(u: Any) -> tuple[Any, Any]:
    """The hyperbolic tangent of a number as (numerator, denominator), since what is made of it may need one division for both."""
    u = max(-MOST, min(MOST, u))
    above, below = ABOVE[0], BELOW[0]
    for k in range(1, len(ABOVE)):
        above = above * u * u + ABOVE[k]
    for k in range(1, len(BELOW)):
        below = below * u * u + BELOW[k]
    return u * above, below
