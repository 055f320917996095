"""What a trajectory is like, and how far it is from another, in a number. Chapters 2, 3 and 4 introduce these."""

from __future__ import annotations

import numpy as np


def film_average_error(mean, reference):
    """Mean absolute error of film averages (..., nt, 3) over times and components: (...).

    Both are at the same times, without the start, at which nothing can be wrong.
    """
    return np.abs(np.asarray(mean, float) - reference).mean(axis=(-2, -1))


def relative_l2(m, reference, axis=(-4, -3, -2, -1)):
    r"""The relative L2 error of states (nt, ny, nx, 3), over all cells and times: one number.

    $$\sqrt{\sum |m - m_\mathrm{ref}|^2 \Big/ \sum |m_\mathrm{ref}|^2}$$

    Opposite unit vectors everywhere give 2, right angles the root of 2. axis: (-3, -2, -1) gives it at each time, (nt,).
    """
    m, reference = np.asarray(m), np.asarray(reference)
    return np.sqrt(np.sum((m - reference)**2, axis=axis, dtype=float) / np.sum(reference**2, axis=axis, dtype=float))


def first_zero(t, values):
    """Time of the first change of sign, by linear interpolation; NaN if there is none.

    t: (nt,) in s. values: (nt,), such as the mean of mx: its first zero is the switching time.
    """
    t, values = np.asarray(t, float), np.asarray(values, float)
    turns = np.flatnonzero(np.sign(values[:-1]) != np.sign(values[1:]))
    if not len(turns):
        return np.nan
    i = turns[0]
    return t[i] + (t[i + 1] - t[i]) * values[i] / (values[i] - values[i + 1])


def twist(m):
    """How far the magnetization turns along the middle of the film, in rad: (...) from states (..., ny, nx, 3).

    The in-plane angle is followed from left to right, cell by cell, through the middle row; the twist is its highest
    minus its lowest value. About pi: part of the film has turned over. About 2 pi: 360 degree walls.
    """
    row = np.asarray(m)[..., np.shape(m)[-3] // 2, :, :]
    angle = np.unwrap(np.arctan2(row[..., 1], row[..., 0]), axis=-1)
    return angle.max(axis=-1) - angle.min(axis=-1)
