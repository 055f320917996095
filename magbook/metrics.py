"""What a trajectory is like, in a number. Chapter 2 introduces these; chapter 5 adds errors of one against another."""

from __future__ import annotations

import numpy as np


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
