"""magbook: learning the dynamics of magnetization, a book that runs."""

from . import demag, film, llg, ovf, sp4, trajectory
from .film import PERMALLOY, Film
from .llg import energies, relax, s_state, simulate
from .trajectory import Trajectory

__version__ = "0.1.0"
__all__ = ["PERMALLOY", "Film", "Trajectory", "demag", "energies", "film", "llg", "ovf", "relax",
           "s_state", "simulate", "sp4", "trajectory"]
