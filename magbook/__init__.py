"""magbook: learning the dynamics of magnetization, a book that runs."""

import importlib

from . import dataset, demag, files, film, llg, metrics, ovf, sp4, trajectory
from .film import PERMALLOY, Film
from .llg import energies, relax, s_state, simulate
from .trajectory import Trajectory

__version__ = "0.1.0"
__all__ = ["PERMALLOY", "Film", "Trajectory", "bench", "dataset", "demag", "energies", "explore", "fidimag_backend",
           "files", "film", "llg", "metrics", "ovf", "plots", "relax", "s_state", "simulate", "sp4", "trajectory"]


def __getattr__(name):
    """Import what is slow to import when it is first used: the processes that compute a data set never do."""
    if name in ("bench", "explore", "fidimag_backend", "plots"):
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
