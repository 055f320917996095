"""magbook: learning the dynamics of magnetization, a book that runs."""

import importlib

from . import dataset, demag, files, film, llg, metrics, ovf, sp4, trajectory
from .film import PERMALLOY, Film
from .llg import energies, relax, s_state, simulate
from .trajectory import Trajectory

__version__ = "0.1.0"
__all__ = ["PERMALLOY", "Film", "ReducedOrderModel", "Trajectory", "autoencoder", "baselines", "bench", "browser", "dataset",
           "demag", "energies", "explore", "export", "fidimag_backend", "files", "film", "llg", "load_rom", "metrics", "modes",
           "ovf", "pca", "plots", "pod", "predictor", "relax", "reproduce", "rom", "s_state", "simulate", "sp4", "training",
           "trajectory"]


def __getattr__(name):
    """Import what is slow to import, or starts Keras, when it is first used: the processes that compute a data set never do."""
    if name in ("autoencoder", "baselines", "bench", "browser", "explore", "export", "fidimag_backend", "modes", "pca", "plots",
                "pod", "predictor", "reproduce", "rom", "training"):
        return importlib.import_module(f".{name}", __name__)
    if name in ("load_rom", "ReducedOrderModel"):
        return getattr(importlib.import_module(".rom", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
