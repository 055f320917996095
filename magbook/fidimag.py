"""fidimag as a second solver: the arguments of `llg.simulate`, the same `Trajectory`, none of its numerics.

fidimag (M.-A. Bisotti et al., J. Open Res. Softw. 6, 22 (2018)) has its own demagnetizing tensor, its own
exchange and an adaptive integrator in double precision, so it can tell whether ours is right.
This is written for fidimag 3.0, which is optional and imported only when a run starts.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import ode

from ._progress import bar
from .applied import Field
from .film import MU0, Film
from .llg import check_run
from .trajectory import Trajectory

INSTALL = "https://fidimag.readthedocs.io/en/latest/install.html"
"""Where fidimag says how to install it."""


def _fidimag():
    """The module `fidimag`, imported. Raises ImportError, saying how to get it, where that fails."""
    try:
        import fidimag
        import fidimag.micro  # where its extensions do not load, only this line raises
    except ImportError as error:
        raise ImportError("This needs fidimag, which is on no package registry: it is built from source, "
                          f"as its documentation says, {INSTALL}", name="fidimag") from error
    return fidimag


def _simulation(film, name):
    """A `fidimag.micro.Sim` of the film with exchange and demagnetizing field. When run, it writes `name`.txt."""
    fidimag = _fidimag()
    # x runs first in fidimag's list of cells, as it does in our (ny, nx) arrays when raveled
    mesh = fidimag.common.CuboidMesh(nx=film.nx, ny=film.ny, nz=1, unit_length=1e-9,
                                     dx=1e9 * film.dx, dy=1e9 * film.dy, dz=1e9 * film.thickness)
    sim = fidimag.micro.Sim(mesh, name=str(name), driver="llg", integrator="scipy")
    sim.Ms = np.where(film.inside, film.Ms, 0.0).ravel()
    sim.driver.alpha = film.alpha
    sim.driver.gamma = film.gamma0
    sim.add(fidimag.micro.UniformExchange(film.A))
    sim.add(fidimag.micro.Demag())
    return sim


def _integrate_with(sim, tolerance):
    """Give fidimag's scipy integrator its dopri5, and return a list that gets what its right-hand side raises.

    fidimag would make the dopri5 itself, but then it stops after 500 steps between two samples. And scipy drops
    an exception from the right-hand side, Ctrl-C included, and raises a ValueError about a tuple.
    """
    raised, solver = [], sim.driver.integrator

    def rhs(t, y):
        try:
            return solver.rhs(t, y)
        except BaseException as error:
            raised.append(error)
            raise

    solver.ode = ode(rhs).set_integrator("dopri5", rtol=tolerance, atol=tolerance, nsteps=1_000_000_000)
    solver.ode.set_initial_value(sim.spin.copy(), 0.0)
    solver.integrator_created = True
    return raised


def simulate(field: Field, film: Film = Film(), start: ArrayLike | None = None, duration: float = 1e-9, every: float = 1e-11, *,
             accuracy: float = 1.0, precision: str = "single", progress: bool = True) -> Trajectory:
    """`llg.simulate` by fidimag: the same arguments, checked by the same code, and the same `Trajectory`.

    Two of them mean something else here:
    accuracy: the integrator is scipy's dopri5 with rtol = atol = 1e-8/accuracy^3. So the error falls as the
        third power of accuracy, and 1 is the tolerance of the reference runs.
    precision: of the states that are returned. fidimag computes in double.
    Raises ImportError where fidimag cannot be imported, what `llg.simulate` raises, and FloatingPointError
    also where the integrator gives up. fidimag runs on OMP_NUM_THREADS threads.
    """
    fidimag = _fidimag()
    t, field_at, fields, start = check_run(field, film, start, duration, every, accuracy, precision)
    clock, tolerance = time.perf_counter(), 1e-8 / accuracy**3
    m = np.empty((len(t), film.ny, film.nx, 3), np.float32 if precision == "single" else np.float64)
    m[0] = start
    # fidimag writes a table as it runs, and nothing turns that off
    with tempfile.TemporaryDirectory(prefix="magbook-") as folder:
        sim = _simulation(film, Path(folder) / "run")
        if callable(field):
            # TimeZeeman takes a fixed direction times a function of time, so there is one for each axis
            for k, axis in enumerate(np.eye(3)):
                sim.add(fidimag.micro.TimeZeeman(axis, lambda s, k=k: field_at(s)[k] / MU0, name=f"Zeeman_{'xyz'[k]}"))
        else:
            sim.add(fidimag.micro.Zeeman(fields / MU0))
        sim.set_m(start.ravel())
        raised = _integrate_with(sim, tolerance)
        for i in bar(range(1, len(t)), desc="fidimag", unit="state", show=progress):
            try:
                sim.driver.run_until(t[i])
            except (RuntimeError, ValueError) as error:
                if raised:
                    raise raised[0] from None
                raise FloatingPointError(f"fidimag gave up before t = {t[i]:g} s: {error}") from error
            m[i] = sim.spin.reshape(film.ny, film.nx, 3)
            if not np.isfinite(m[i]).all():
                raise FloatingPointError(f"the state is no longer finite at t = {t[i]:g} s; "
                                         f"try accuracy = {2 * accuracy:g}")
    info = {"solver": f"fidimag {fidimag.__version__}", "accuracy": float(accuracy), "precision": precision,
            "tolerance": tolerance, "field evaluations": sim.driver.integrator.rhs_evals(),
            "seconds": {"total": time.perf_counter() - clock}}
    return Trajectory(t, m, fields, film, info)
