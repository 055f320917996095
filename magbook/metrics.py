"""What a trajectory is like, and how far it is from another, in a number. Chapter 5 sets them side by side."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import llg
from ._arguments import array, instance, number, said, truth
from .dataset import decoded
from .film import unit
from .trajectory import Trajectory

RISE = 1e-4
"""Rises of the energy below this share of all that is lost are rounding: `energy_rises` leaves them out."""

LEVEL = 0.1
"""The relative L2 error at which `horizon` ends."""


def compare(run: Trajectory, reference: Trajectory, rom: Any = None, energy: bool = True) -> dict[str, float]:
    """All errors of a trajectory against a reference: a dictionary of named numbers.

    run, reference: `Trajectory`s of one film in one field, at the same times. The start at t = 0, which both are given,
    is left out. Keys, with the function that defines each:

    - "film average": `film_average_error`
    - "L2": `relative_l2`
    - "angle", "angle 99 %": mean and 99th percentile over cells and times of `angle_error`, in degrees
    - "length": mean over cells and times of `length_error`
    - "energy": mean over time of `energy_error`
    - "energy rises": the number of `energy_rises` of the run; NaN in a field that changes, and where an energy is NaN
    - "first zero", "switching time": those of the run less those of the reference, in s, with their sign; see
      `first_zero` and `switching_time`
    - "horizon": `horizon` of the relative L2 error, in s
    - with a rom, a `rom.ReducedOrderModel`, also "L2 autoencoder" and "L2 predictor": see `split_l2`

    energy: False leaves out the energies, which take longer than all the rest.
    States that are not finite give NaN, but for the horizon, which ends before them. Raises TypeError for what is not a trajectory,
    ValueError, naming the argument, for trajectories of different films, times or fields, and of a single state.
    """
    _check_pair(run, reference)
    if rom is not None:
        _check_rom(rom)
    later = reference.t > 0
    t, m, true = reference.t[later], run.m[later], reference.m[later]
    inside = reference.film.inside
    angle = angle_error(m, true)[:, inside]
    errors = {"film average": film_average_error(run.mean[later], reference.mean[later]),
              "L2": relative_l2(m, true),
              "angle": angle.mean(), "angle 99 %": np.percentile(angle, 99),
              "length": length_error(m)[:, inside].mean(),
              **(_energy_errors(run, reference) if truth("energy", energy) else {}),
              **{name: time(run.t, run.mean[:, 0]) - time(reference.t, reference.mean[:, 0])
                 for name, time in (("first zero", first_zero), ("switching time", switching_time))},
              "horizon": horizon(t, relative_l2(m, true, axis=(1, 2, 3)))}
    if rom is not None:
        errors |= {f"L2 {name}": error for name, error in split_l2(m, true, rom).items()}
    return {name: float(error) for name, error in errors.items()}


def _energy_errors(run, reference):
    energy, true_energy = energies(run), energies(reference)
    return {"energy": energy_error(energy, true_energy)[reference.t > 0].mean(),
            "energy rises": energy_rises(energy) if np.ndim(run.field) == 1 and np.isfinite(energy).all() else np.nan}


# ---------------------------------------------------------------------------- of film averages


def film_average_error(mean: ArrayLike, reference: ArrayLike) -> np.ndarray:
    """Mean absolute error of film averages (..., nt, 3) over times and components: (...).

    Both are at the same times, without the start, at which nothing can be wrong. What the paper's Figures 1 and 4 show.
    """
    mean, reference = array("mean", mean, "(..., nt, 3)"), array("reference", reference, "(..., nt, 3)")
    if not mean.shape[-2]:
        raise ValueError(f"mean: got shape {mean.shape}; one time at least is needed")
    try:
        return np.abs(mean.astype(float) - reference).mean(axis=(-2, -1))
    except ValueError as error:
        raise ValueError(f"mean: got shape {mean.shape}; one that goes with that of the reference, {reference.shape}, is needed") from error


def first_zero(t: ArrayLike, values: ArrayLike) -> float:
    """Time of the first change of sign, by linear interpolation; NaN if there is none.

    t: (nt,) in s. values: (nt,), such as the mean of mx. Standard problem 4 asks for this moment of mean mx: half of
    the film's moment has then turned.
    """
    t, values = _series("t", t), _series("values", values, t)
    turns = np.flatnonzero(np.sign(values[:-1]) != np.sign(values[1:]))
    if not len(turns):
        return np.nan
    i = turns[0]
    return t[i] + (t[i + 1] - t[i]) * values[i] / (values[i] - values[i + 1])


def switching_time(t: ArrayLike, mx: ArrayLike, level: float = -0.5) -> float:
    """Time from which mean mx stays below a level, by linear interpolation; NaN if it is not below at the end.

    t: (nt,) in s. mx: (nt,). At the default level three quarters of the way from 1 to -1 are done. Unlike the first
    zero it waits for what comes back, such as an island that walls shut in. Chapter 5.
    """
    t, mx = _series("t", t), _series("mx", mx, t) - number("level", level)
    above = np.flatnonzero(~(mx < 0))
    if not len(above):
        return t[0]
    i = above[-1]
    return np.nan if i == len(t) - 1 else t[i] + (t[i + 1] - t[i]) * mx[i] / (mx[i] - mx[i + 1])


# ---------------------------------------------------------------------------- of states


def relative_l2(m: ArrayLike, reference: ArrayLike, axis: tuple[int, ...] = (-4, -3, -2, -1)) -> np.ndarray:
    r"""The relative L2 error of states (nt, ny, nx, 3), over all cells and times: one number.

    $$\sqrt{\sum |m - m_\mathrm{ref}|^2 \Big/ \sum |m_\mathrm{ref}|^2}$$

    Opposite unit vectors everywhere give 2, right angles the root of 2. axis: (-3, -2, -1) gives it at each time, (nt,).
    """
    m, reference = _alike(m, reference)
    if not m.size:
        raise ValueError(f"m: got shape {m.shape}; one state at least is needed")
    if not (isinstance(axis, tuple) and axis and all(isinstance(a, int) for a in axis)):
        raise TypeError(f"axis: got {said(axis)}; (-4, -3, -2, -1) or (-3, -2, -1) is needed")
    try:
        return np.sqrt(np.sum((m - reference)**2, axis=axis, dtype=float) / np.sum(reference**2, axis=axis, dtype=float))
    except ValueError as error:  # one state has no time
        raise ValueError(f"m: got shape {m.shape}, which has no axes {axis}; (nt, ny, nx, 3) is needed, or another axis") from error


def split_l2(m: np.ndarray, reference: np.ndarray, rom: Any) -> dict[str, float]:
    r"""The two parts of a relative L2 error, for states (nt, ny, nx, 3): {"autoencoder", "predictor"}.

    With D the reference after encoding and decoding, all scaled to unit length,
    "autoencoder" is |D - m_ref| / |m_ref|, what is lost even if each latent state is right, and "predictor" is
    |m - D| / |m_ref|, what wrong latent states add. The whole error is at most their sum, and the root of the sum of
    their squares where the two have nothing to do with each other.
    """
    m, reference = _alike(m, reference)
    if not np.isfinite(reference).all():
        return {"autoencoder": np.nan, "predictor": np.nan}
    held = _check_rom(rom).decode(rom.encode(reference), unit=True)
    added = np.sqrt(np.sum((m - held)**2, dtype=float) / np.sum(reference**2, dtype=float))
    return {"autoencoder": relative_l2(held, reference), "predictor": added}


def angle_error(m: ArrayLike, reference: ArrayLike) -> np.ndarray:
    """The angle between vectors in degrees: (...) from states (..., 3), whatever their lengths.

    By the arctangent of cross and dot product: at small angles the arccosine of the dot product loses half its digits.
    """
    m, reference = _alike(m, reference)
    cross = np.linalg.norm(np.cross(m, reference), axis=-1)
    return np.degrees(np.arctan2(cross, np.sum(m * reference, axis=-1)))


def _alike(m, reference):
    m, reference = (decoded(array(name, states, "(..., 3)")) for name, states in (("m", m), ("reference", reference)))
    if m.shape != reference.shape:
        raise ValueError(f"m: got shape {m.shape}; that of the reference, {reference.shape}, is needed")
    return m, reference


def length_error(m: ArrayLike) -> np.ndarray:
    """How far vectors are from unit length, | |m| - 1 |: (...) from states (..., 3). The LLG equation keeps |m| = 1."""
    return np.abs(np.linalg.norm(decoded(array("m", m, "(..., 3)")), axis=-1) - 1)


def horizon(t: ArrayLike, error: ArrayLike, level: float = LEVEL) -> float:
    """The first time at which an error is above a level: in s; infinite if it never is.

    t: (nt,) in s. error: (nt,), such as the relative L2 error of each state; NaN counts as above. Forecasters of
    chaotic systems call it the valid prediction time; chapter 5.
    """
    t = _series("t", t)
    above = np.flatnonzero(~(_series("error", error, t) <= number("level", level)))
    return t[above[0]] if len(above) else np.inf


def twist(m: ArrayLike) -> np.ndarray:
    """How far the magnetization turns along the middle of the film, in rad: (...) from states (..., ny, nx, 3).

    The in-plane angle is followed from left to right, cell by cell, through the middle row; the twist is its highest
    minus its lowest value. About pi: part of the film has turned over. Beyond 2 pi:
    360 degree walls have formed; below pi there are none. Chapter 2.
    """
    m = decoded(array("m", m, "(..., ny, nx, 3)"))
    if 0 in m.shape[-3:]:
        raise ValueError(f"m: got shape {m.shape}; (..., ny, nx, 3) with at least one cell is needed")
    row = m[..., m.shape[-3] // 2, :, :]
    angle = np.unwrap(np.arctan2(row[..., 1], row[..., 0]), axis=-1)
    return angle.max(axis=-1) - angle.min(axis=-1)


def kind(mx: ArrayLike, twist: ArrayLike) -> str:
    """The kind of reversal, from mean mx (nt,) and twist (nt,) in rad: a text.

    "never switches": mean mx has no zero. "360° walls": the twist passes 2 pi at some time. "domains": else.
    Raises ValueError, naming the argument, for NaN and for fewer than two times.
    """
    mx = _finite("mx", mx)
    twist = _finite("twist", twist, mx)
    if np.isnan(first_zero(np.arange(len(mx)), mx)):
        return "never switches"
    return "360° walls" if np.max(twist) > 2 * np.pi else "domains"


# ---------------------------------------------------------------------------- of energy


def energies(run: Trajectory) -> np.ndarray:
    """The total energy of each state of a trajectory in J, (nt,), by `llg.energies`; NaN for a state that is not finite."""
    instance("run", run, Trajectory)
    fields = np.broadcast_to(run.field, (len(run), 3))
    return np.array([llg.energies(unit(m), run.film, b)["total"] if np.isfinite(m).all() else np.nan
                     for m, b in zip(run.m, fields)])


def energy_error(energy: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """How far energies are off, as a share of what the reference loses in all: (nt,) from energies (nt,) in J."""
    reference = _series("reference", reference)
    energy = _series("energy", energy, reference)
    return np.abs(energy - reference) / (np.max(reference) - np.min(reference))


def energy_rises(energy: ArrayLike, tolerance: float = RISE) -> int:
    r"""The number of steps at which the energy rises, by more than a share of the span of all energies (nt,).

    At a constant field it cannot: by the LLG equation with damping
    $$\dot E = -\frac{\mu_0 M_s \gamma_0 \alpha}{1 + \alpha^2} \int |m \times H|^2\, dV \le 0.$$
    T. L. Gilbert, IEEE Trans. Magn. 40, 3443 (2004).
    Raises ValueError, naming the argument, for NaN and for fewer than two energies.
    """
    energy = _finite("energy", energy)
    return int(np.sum(np.diff(energy) > number("tolerance", tolerance) * np.ptp(energy)))


def _series(name, values, t=None):
    """Numbers (nt,), one for each of the times where these are known."""
    values = array(name, values, "(nt,)", **{} if t is None else {"nt": len(t)}).astype(float)
    if not len(values):
        raise ValueError(f"{name}: there is none")
    return values


def _finite(name, values, t=None):
    """The same, two of them at least, of which none is NaN: from one, or from some, nobody could tell."""
    values = _series(name, values, t)
    if len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"{name}: got {said(values)}; two finite numbers at least are needed")
    return values


def _check_rom(rom):
    if not all(callable(getattr(rom, name, None)) for name in ("encode", "decode")) or isinstance(rom, (str, bytes)):
        raise TypeError(f"rom: got {said(rom)}; a rom.ReducedOrderModel is needed, such as load_rom gives")
    return rom


def _check_pair(run, reference):
    for name, one in (("run", run), ("reference", reference)):
        if not isinstance(one, Trajectory):
            raise TypeError(f"{name}: got {type(one).__name__}; a magbook.Trajectory is needed")
        if len(one) < 2 or one.t[-1] <= 0:
            raise ValueError(f"{name}: got a run with times {said(one.t.tolist())} s; two at least, the last after 0, are needed")
    if run.film != reference.film:
        raise ValueError(f"run: its film, {run.film}, is not the reference's, {reference.film}")
    if run.t.shape != reference.t.shape or not np.allclose(run.t, reference.t, rtol=1e-6, atol=0):
        raise ValueError(f"run: its times ({len(run)}, up to {run.t[-1]:g} s) are not the reference's "
                         f"({len(reference)}, up to {reference.t[-1]:g} s)")
    if not np.allclose(run.field, reference.field, rtol=1e-6, atol=1e-12):
        raise ValueError(f"run: its field, {run.field} T, is not the reference's, {reference.field} T")
