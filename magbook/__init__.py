"""magbook: learning the dynamics of magnetization, a book that runs."""

from . import bench, dataset, demag, explore, fidimag_backend, files, film, llg, metrics, ovf, plots, sp4, trajectory
from .film import PERMALLOY, Film
from .llg import energies, relax, s_state, simulate
from .trajectory import Trajectory

__version__ = "0.1.0"
__all__ = ["PERMALLOY", "Film", "Trajectory", "bench", "dataset", "demag", "energies", "explore", "fidimag_backend",
           "files", "film", "llg", "metrics", "ovf", "plots", "relax", "s_state", "simulate", "sp4", "trajectory"]
